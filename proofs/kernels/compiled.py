"""The loops around the compression, compiled by numba; `numba_level.py` prepares their arguments.

Each exists in two dialects that share one body, inlined with the dialect as a literal. Arrays are
of uint32 words; a node is 8 of them, little-endian as it lies in memory.
"""

from typing import Any, Final

import numba

from proofs.kernels.intrinsics import (
    LANES,
    compress,
    hash_pairs_portable,
    hash_pairs_sha_ni,
    pad_quad,
    prefetch,
    unpad_quad,
)
from proofs.kernels.jit import compiled
from proofs.parameters import BASE_DEGREE, LABEL_PARENTS

LABEL_BLOCKS: Final = 20
"""Compressions of one label: the header, 18 pairs of parents, the last parent with padding."""

HEADER_WORD: Final = 0
PARENTS_WORD: Final = 16
LAST_WORD: Final = PARENTS_WORD + 14 * 8
STATE_WORD: Final = LAST_WORD + 16
SCRATCH_WORDS: Final = STATE_WORD + 8
"""Where a label's parts lie in its scratch: header, parents, last block, state."""

_HEADER_NODE_WORD = HEADER_WORD + 10
_STATE_END = STATE_WORD + 8


@numba.njit(inline="always")
def _swap_bytes(word: Any) -> Any:
    return (word >> 24) | (word >> 8 & 0xFF00) | (word << 8 & 0xFF0000) | (word << 24)


@numba.njit(inline="always")
def _take_digest(state: Any, order: Any, node: Any) -> None:
    """Write the state's words a … h as a truncated node."""
    for word in range(8):
        node[word] = _swap_bytes(state[order[word]])
    node[7] &= numba.uint32(0x3FFFFFFF)


@numba.njit(inline="always")
def _label_nodes(
    sha_ni: Any, first: Any, parents: Any, previous: Any, layer: Any,
    scratch: Any, addresses: Any, start: Any, order: Any,
) -> None:  # fmt: skip
    """Label the nodes from `first` on, one after the other, as each needs the one before.

    parents:    (count, 6) in the first layer, else (count, 14)
    previous:   (n, 8), the layer before; not read when there are 6 parents
    layer:      (n, 8), read and written
    scratch:    (SCRATCH_WORDS,), header and padding filled in
    addresses:  (LABEL_BLOCKS + 1,), of each block in turn, then of the state, all in the scratch
    start:      (8,), the initial state in the dialect's order
    order:      (8,), where the dialect keeps the words a … h
    """
    degree = parents.shape[1]
    last = PARENTS_WORD + (LABEL_PARENTS - 1) % degree * 8
    for row in range(parents.shape[0]):
        scratch[_HEADER_NODE_WORD] = _swap_bytes(numba.uint32(first + row))
        for column in range(degree):
            source = layer if column < BASE_DEGREE else previous
            for word in range(8):
                scratch[PARENTS_WORD + 8 * column + word] = source[parents[row, column], word]
        for word in range(8):
            scratch[LAST_WORD + word] = scratch[last + word]
            scratch[STATE_WORD + word] = start[word]
        if row + 1 < parents.shape[0]:
            # Known since long, and anywhere: without it a quarter of the time is waiting for them.
            for column in range(degree):
                source = layer if column < BASE_DEGREE else previous
                prefetch(source.ctypes.data + 32 * numba.int64(parents[row + 1, column]))
        for block in range(LABEL_BLOCKS):
            compress(sha_ni, addresses[LABEL_BLOCKS], addresses[block])
        _take_digest(scratch[STATE_WORD:_STATE_END], order, layer[first + row])


@numba.njit(inline="always")
def _gather(indices: Any, siblings: Any, nodes: Any, height: Any, first: Any, pairs: Any) -> None:
    """Lay out the pairs of eight paths at one height: 16 nodes."""
    for lane in range(LANES):
        path = first + lane
        mine = 8 * numba.int64(indices[path] >> numba.uint64(height) & numba.uint64(1))
        for word in range(8):
            pairs[lane, mine + word] = nodes[path, word]
            pairs[lane, 8 - mine + word] = siblings[path, height, word]


@compiled
def climb_sha_ni(indices: Any, siblings: Any, nodes: Any, pairs: Any) -> None:
    """Replace leaves by the roots that their paths lead to; a multiple of eight of them.

    siblings:  (n, depth, 8)
    nodes:     (n, 8), leaves, then roots
    pairs:     (8, 16), scratch
    """
    source = numba.uint64(pairs.ctypes.data)
    for first in range(0, nodes.shape[0], LANES):
        target = numba.uint64(nodes[first].ctypes.data)
        for height in range(siblings.shape[1]):
            _gather(indices, siblings, nodes, height, first, pairs)
            hash_pairs_sha_ni(source, target)


@compiled
def climb_portable(indices: Any, siblings: Any, nodes: Any, pairs: Any) -> None:
    """Replace leaves by roots without SHA-NI; see `climb_sha_ni`."""
    source = numba.uint64(pairs.ctypes.data)
    for first in range(0, nodes.shape[0], LANES):
        target = numba.uint64(nodes[first].ctypes.data)
        for height in range(siblings.shape[1]):
            _gather(indices, siblings, nodes, height, first, pairs)
            hash_pairs_portable(source, target)


@numba.njit(inline="always")
def _hash_rows(
    sha_ni: Any, blocks: Any, block_count: Any, states: Any, start: Any, order: Any, nodes: Any
) -> None:
    """Hash rows of whole blocks, padding included, into truncated nodes.

    blocks:  address of the first row's first block
    states:  (n, 8), scratch: a state of its own lets each row begin before the last one ends
    """
    for row in range(nodes.shape[0]):
        for word in range(8):
            states[row, word] = start[word]
        state = numba.uint64(states[row].ctypes.data)
        for block in range(block_count):
            compress(sha_ni, state, blocks + 64 * (row * block_count + block))
        _take_digest(states[row], order, nodes[row])


@compiled
def hash_rows_sha_ni(
    blocks: Any, block_count: Any, states: Any, start: Any, order: Any, nodes: Any
) -> None:
    """Hash rows with SHA-NI; see `_hash_rows`."""
    _hash_rows(True, blocks, block_count, states, start, order, nodes)


@compiled
def hash_rows_portable(
    blocks: Any, block_count: Any, states: Any, start: Any, order: Any, nodes: Any
) -> None:
    """Hash rows without SHA-NI; see `_hash_rows`."""
    _hash_rows(False, blocks, block_count, states, start, order, nodes)


@compiled
def label_nodes_sha_ni(
    first: Any, parents: Any, previous: Any, layer: Any,
    scratch: Any, addresses: Any, start: Any, order: Any,
) -> None:  # fmt: skip
    """Label with SHA-NI; see `_label_nodes`."""
    _label_nodes(True, first, parents, previous, layer, scratch, addresses, start, order)


@compiled
def label_nodes_portable(
    first: Any, parents: Any, previous: Any, layer: Any,
    scratch: Any, addresses: Any, start: Any, order: Any,
) -> None:  # fmt: skip
    """Label without SHA-NI; see `_label_nodes`."""
    _label_nodes(False, first, parents, previous, layer, scratch, addresses, start, order)


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
