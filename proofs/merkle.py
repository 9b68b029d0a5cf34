"""Binary Merkle trees of nodes: build rows, prove that a leaf is in one, verify it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from proofs import kernels
from proofs.errors import ProofRejected
from proofs.hashing import NODE_BYTES, node_hash
from proofs.kernels.arrays import ByteArray, NodeArray

Progress: TypeAlias = Callable[[int], None]
"""Told how many nodes more are done."""


class Row(Protocol):
    """One row of a tree: an array, or nodes in a file, read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any:
        """Return a node, as something that `bytes` takes."""


_CHUNK_NODES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A leaf, where it is, and its siblings from the bottom up."""

    leaf: bytes
    leaf_index: int
    siblings: tuple[bytes, ...]


def as_nodes(data: bytes | ByteArray) -> NodeArray:
    """Return bytes as an array of shape (n, 32), without copying."""
    return np.frombuffer(data, np.uint8).reshape(-1, NODE_BYTES)


def build_rows(leaves: NodeArray) -> list[NodeArray]:
    """Return the whole tree over 2^k leaves, leaves first; row h holds n / 2^h nodes."""
    upper = np.empty((len(leaves) - 1, NODE_BYTES), np.uint8)
    fill_upper_rows(leaves, upper)
    return rows_over(leaves, upper)


def rows_over(leaves: NodeArray, upper: NodeArray) -> list[NodeArray]:
    """Return a tree's rows as views: its leaves, and the n - 1 nodes above them, row by row."""
    count = len(leaves)
    if count < 1 or count & (count - 1) or len(upper) != count - 1:
        raise ValueError(f"no tree has {count} leaves and {len(upper)} nodes above them")
    rows, start = [leaves], 0
    while count > 1:
        count //= 2
        rows.append(upper[start : start + count])
        start += count
    return rows


def fill_upper_rows(leaves: NodeArray, upper: NodeArray, progress: Progress | None = None) -> None:
    """Compute the n - 1 nodes above n leaves into `upper`; both may be memory-mapped."""
    level = kernels.level()
    rows = rows_over(leaves, upper)
    for source, target in pairwise(rows):
        for start in range(0, len(target), _CHUNK_NODES):
            end = min(start + _CHUNK_NODES, len(target))
            level.hash_pairs(source[2 * start : 2 * end], target[start:end])
            if progress:
                progress(end - start)


def prove_inclusion(rows: Sequence[Row], leaf_index: int) -> InclusionProof:
    """Prove that one leaf is in the tree.

    rows:        the whole tree, leaves first; row h holds n / 2^h nodes of 32 bytes
    leaf_index:  0 <= leaf_index < n
    returns:     log2(n) siblings, bottom up

    Raises `IndexError` if there is no such leaf. Reads one node per row, so a row may be a
    file. With `rows[h:]` it proves a subtree of 2^h leaves: a piece in its sector.
    Node hash: rust-fil-proofs `filecoin-hashers/src/sha256.rs`.
    """
    if not 0 <= leaf_index < len(rows[0]):
        raise IndexError(leaf_index)
    siblings = tuple(bytes(row[leaf_index >> height ^ 1]) for height, row in enumerate(rows[:-1]))
    return InclusionProof(bytes(rows[0][leaf_index]), leaf_index, siblings)


def verify_inclusion(proof: InclusionProof, *, root: bytes, leaf_count: int) -> None:
    """Check that a leaf is in the tree with this root and exactly this many leaves.

    The count is the verifier's own: without it the root passes as a leaf with no siblings.

    Raises: `ProofRejected`.
    """
    assert not leaf_count & (leaf_count - 1), "in any other tree two indices share a path"
    if not 0 <= proof.leaf_index < leaf_count:
        raise ProofRejected("the leaf is outside the tree")
    if len(proof.siblings) != leaf_count.bit_length() - 1:
        raise ProofRejected("the path has not the tree's depth")
    if any(len(node) != NODE_BYTES for node in (proof.leaf, *proof.siblings)):
        raise ProofRejected("a node is not 32 bytes")
    node, index = proof.leaf, proof.leaf_index
    for sibling in proof.siblings:
        node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
        index >>= 1
    if node != root:
        raise ProofRejected("the path does not lead to the root")
