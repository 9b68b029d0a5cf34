"""Many leaves of one tree proven together: what their paths share is there once.

A multiproof is the leaves, each once and from left to right, then the siblings that nobody can
compute from them: row by row from the bottom, from left to right. Both sides know how many.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from proofs import kernels
from proofs.errors import ProofRejected
from proofs.kernels.arrays import NodeArray
from proofs.merkle import Row


def distinct(indices: Iterable[int]) -> list[int]:
    """Return leaves as a multiproof has them: each once, from left to right."""
    return sorted(set(indices))


def sibling_count(leaves: Sequence[int], depth: int) -> int:
    """Return how many siblings prove some distinct leaves, at least one.

    The first needs all its path. Each further one needs the siblings up to where it meets its
    neighbour, where either is the other's: one less, and one that the neighbour had.
    """
    meetings = ((left ^ right).bit_length() for left, right in pairwise(leaves))
    return depth + sum(height - 2 for height in meetings)


def siblings(rows: Sequence[Row], leaves: Sequence[int]) -> Iterator[bytes]:
    """Yield the siblings that prove some distinct leaves; rows may be files.

    rows:  the whole tree, leaves first; row h holds n / 2^h nodes of 32 bytes
    """
    known = list(leaves)
    for row in rows[:-1]:
        there = set(known)
        for index in known:
            if index ^ 1 not in there:
                yield bytes(row[index ^ 1])
        known = distinct(index >> 1 for index in known)


def prove_leaves(rows: Sequence[Row], leaves: Sequence[int]) -> Iterator[bytes]:
    """Yield the nodes of a multiproof of some distinct leaves."""
    for index in leaves:
        yield bytes(rows[0][index])
    yield from siblings(rows, leaves)


def verify_leaves(leaves: Sequence[int], nodes: NodeArray, *, depth: int, root: bytes) -> None:
    """Check that leaves are in the tree with this root and 2^depth leaves.

    leaves:  distinct, each below 2^depth
    nodes:   of the multiproof

    Raises: `ProofRejected`.
    """
    assert len(nodes) == len(leaves) + sibling_count(leaves, depth), "lengths are checked before"
    level = kernels.level_for(len(leaves) * depth)
    if level.climb(np.array(leaves, np.uint64), nodes, depth) != root:
        raise ProofRejected("the paths do not lead to the root")
