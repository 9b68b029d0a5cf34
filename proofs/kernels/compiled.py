"""The loops around the compression, compiled by numba; `numba_level.py` prepares their arguments.

Each exists in two dialects that share one body, inlined with the dialect as a literal. Arrays are
of uint32 words; a node is 8 of them, little-endian as it lies in memory.
"""

from typing import Any, Final

import numba

from proofs.kernels.intrinsics import (
    LANES,
    copy_node,
    hash_blocks,
    hash_pairs_portable,
    hash_pairs_sha_ni,
    pad_quad,
    unpad_quad,
)
from proofs.kernels.jit import compiled
from proofs.parameters import BASE_DEGREE, LABEL_PARENTS

LABEL_BLOCKS: Final = 20
"""Compressions of one label: the header, 18 pairs of parents, the last parent with padding."""

HEADER_WORD: Final = 0
PARENTS_WORD: Final = 16
LAST_WORD: Final = PARENTS_WORD + 14 * 8
MESSAGE_WORDS: Final = LAST_WORD + 16
"""Where the parts of a label's message lie: header, parents, last block."""

_HEADER_NODE_WORD = HEADER_WORD + 10


@numba.njit(inline="always")
def _swap_bytes(word: Any) -> Any:
    return (word >> 24) | (word >> 8 & 0xFF00) | (word << 8 & 0xFF0000) | (word << 24)


@numba.njit(inline="always")
def _label_nodes(
    sha_ni: Any, lanes: Any, first: Any, parents: Any, sources: Any,
    messages: Any, blocks: Any, wanted: Any, targets: Any,
) -> None:  # fmt: skip
    """Label the nodes from `first` on, one after the other, as each needs the one before.

    Of as many sectors as there are lanes, in lockstep.

    parents:   (count, 6) in the first layer, else (count, 14)
    sources:   (lanes, 2), addresses of each sector's layer, and of the one before
    messages:  (lanes, MESSAGE_WORDS), header and padding filled in
    blocks:    (LABEL_BLOCKS, lanes), addresses, all in the messages
    wanted:    (LABEL_BLOCKS, lanes), addresses; the first ones become the next labels' parents,
               which may be anywhere: without it a quarter of the time is waiting for them
    targets:   (lanes,), scratch
    """
    degree = parents.shape[1]
    last = PARENTS_WORD + (LABEL_PARENTS - 1) % degree * 8
    for row in range(parents.shape[0]):
        following = row + 1 if row + 1 < parents.shape[0] else row
        for lane in range(lanes):
            message = numba.uint64(messages[lane].ctypes.data)
            messages[lane, _HEADER_NODE_WORD] = _swap_bytes(numba.uint32(first + row))
            for column in range(degree):
                source = sources[lane, 0 if column < BASE_DEGREE else 1]
                parent = numba.uint64(32) * numba.uint64(parents[row, column])
                copy_node(source + parent, message + numba.uint64(4 * PARENTS_WORD + 32 * column))
                coming = numba.uint64(32) * numba.uint64(parents[following, column])
                wanted[column, lane] = source + coming
            copy_node(message + numba.uint64(4 * last), message + numba.uint64(4 * LAST_WORD))
            targets[lane] = sources[lane, 0] + numba.uint64(32) * numba.uint64(first + row)
        hash_blocks(
            sha_ni, lanes, numba.uint64(blocks.ctypes.data), numba.uint64(wanted.ctypes.data),
            LABEL_BLOCKS, numba.uint64(targets.ctypes.data),
        )  # fmt: skip


@numba.njit(inline="always")
def _pair_up(indices: Any, row: Any, count: Any, siblings: Any, used: Any, pairs: Any) -> Any:
    """Lay out a row's pairs, and put down where the nodes above go.

    indices:  (count), of the row's known nodes, rising; then of those above
    used:     how many of the siblings are
    returns:  how many pairs there are, and how many siblings are used now
    """
    pair, at = 0, 0
    while at < count:
        index = indices[at]
        mine = 8 * numba.int64(index & numba.uint64(1))
        is_both = at + 1 < count and indices[at + 1] == index ^ numba.uint64(1)
        for word in range(8):
            other = row[at + 1, word] if is_both else siblings[used, word]
            pairs[pair, mine + word] = row[at, word]
            pairs[pair, 8 - mine + word] = other
        indices[pair] = index >> numba.uint64(1)
        pair += 1
        at += 2 if is_both else 1
        used += 0 if is_both else 1
    return pair, used


@compiled
def climb_sha_ni(indices: Any, row: Any, siblings: Any, depth: Any, pairs: Any) -> None:
    """Replace leaves by the root that they lead to together, in the row's first place.

    indices:   (n), of the leaves, rising; scratch afterwards
    row:       (n, 8), the leaves; as pairs, up to a multiple of the lanes
    siblings:  (as many as it takes, 8)
    pairs:     (n, 16), scratch
    """
    source, target = numba.uint64(pairs.ctypes.data), numba.uint64(row.ctypes.data)
    count, used = len(indices), 0
    for _ in range(depth):
        count, used = _pair_up(indices, row, count, siblings, used, pairs)
        for first in range(0, count, LANES):
            hash_pairs_sha_ni(source + numba.uint64(64 * first), target + numba.uint64(32 * first))


@compiled
def climb_portable(indices: Any, row: Any, siblings: Any, depth: Any, pairs: Any) -> None:
    """Replace leaves by a root without SHA-NI; see `climb_sha_ni`."""
    source, target = numba.uint64(pairs.ctypes.data), numba.uint64(row.ctypes.data)
    count, used = len(indices), 0
    for _ in range(depth):
        count, used = _pair_up(indices, row, count, siblings, used, pairs)
        for first in range(0, count, LANES):
            hash_pairs_portable(
                source + numba.uint64(64 * first), target + numba.uint64(32 * first)
            )


@numba.njit(inline="always")
def _hash_rows(
    sha_ni: Any, lanes: Any, source: Any, block_count: Any, blocks: Any, targets: Any, nodes: Any
) -> None:
    """Hash rows of whole blocks, padding included, into truncated nodes; some in lockstep.

    source:   address of the first row
    blocks:   (block_count, lanes), scratch
    targets:  (lanes,), scratch
    nodes:    (n, 8)
    """
    table = numba.uint64(blocks.ctypes.data)
    for first in range(0, nodes.shape[0], lanes):
        for lane in range(lanes):
            row = first + lane if first + lane < nodes.shape[0] else first
            for block in range(block_count):
                blocks[block, lane] = source + numba.uint64(64 * (row * block_count + block))
            targets[lane] = numba.uint64(nodes[row].ctypes.data)
        hash_blocks(sha_ni, lanes, table, table, block_count, numba.uint64(targets.ctypes.data))


@compiled
def hash_rows_sha_ni(source: Any, block_count: Any, blocks: Any, targets: Any, nodes: Any) -> None:
    """Hash rows with SHA-NI, in pairs; see `_hash_rows`."""
    _hash_rows(True, 2, source, block_count, blocks, targets, nodes)


@compiled
def hash_rows_portable(
    source: Any, block_count: Any, blocks: Any, targets: Any, nodes: Any
) -> None:
    """Hash rows without SHA-NI, one by one; see `_hash_rows`."""
    _hash_rows(False, 1, source, block_count, blocks, targets, nodes)


@compiled
def label_nodes_sha_ni(
    first: Any, parents: Any, sources: Any, messages: Any, blocks: Any, wanted: Any, targets: Any
) -> None:
    """Label one sector with SHA-NI; see `_label_nodes`."""
    _label_nodes(True, 1, first, parents, sources, messages, blocks, wanted, targets)


@compiled
def label_pairs_sha_ni(
    first: Any, parents: Any, sources: Any, messages: Any, blocks: Any, wanted: Any, targets: Any
) -> None:
    """Label two sectors with SHA-NI: each hashes while the other waits; see `_label_nodes`."""
    _label_nodes(True, 2, first, parents, sources, messages, blocks, wanted, targets)


@compiled
def label_nodes_portable(
    first: Any, parents: Any, sources: Any, messages: Any, blocks: Any, wanted: Any, targets: Any
) -> None:
    """Label one sector without SHA-NI; see `_label_nodes`."""
    _label_nodes(False, 1, first, parents, sources, messages, blocks, wanted, targets)


@compiled
def pad_quads(source: Any, target: Any, count: Any) -> None:
    """Pad so many quads from one address on to another."""
    for quad in range(count):
        pad_quad(source + 127 * quad, target + 128 * quad)


@compiled
def unpad_quads(source: Any, target: Any, count: Any) -> None:
    """Unpad so many quads from one address on to another."""
    for quad in range(count):
        unpad_quad(source + 128 * quad, target + 127 * quad)


@compiled
def hash_all_pairs_sha_ni(source: Any, target: Any, count: Any) -> None:
    """Hash so many pairs, a multiple of the lanes, from one address on into nodes at another."""
    for lane in range(0, count, LANES):
        hash_pairs_sha_ni(source + 64 * lane, target + 32 * lane)


@compiled
def hash_all_pairs_portable(source: Any, target: Any, count: Any) -> None:
    """Hash so many pairs, a multiple of the lanes, from one address on into nodes at another."""
    for lane in range(0, count, LANES):
        hash_pairs_portable(source + 64 * lane, target + 32 * lane)
