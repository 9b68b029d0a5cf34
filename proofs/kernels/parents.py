"""Parents of many nodes at once with NumPy; held equal to `proofs/graph.py`."""

from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from proofs.graph import Graph, feistel_round
from proofs.kernels.arrays import ParentArray
from proofs.parameters import BASE_DEGREE, DEGREE, EXPANSION_DEGREE

_Words: TypeAlias = npt.NDArray[np.uint32]
_Longs: TypeAlias = npt.NDArray[np.uint64]

_CHACHA_CONSTANTS = np.frombuffer(b"expand 32-byte k", "<u4")


def parents(graph: Graph, first: int, count: int) -> ParentArray:
    """Return the parents of nodes first … first + count - 1; about 0.5 µs a node."""
    assert graph.predecessor_first, "only V1_1 graphs are sealed"
    rows = np.empty((count, DEGREE), np.uint32)
    nodes = np.arange(first, first + count, dtype=np.uint32)
    _base_parents(graph, nodes, rows)
    slots = np.arange(first * EXPANSION_DEGREE, (first + count) * EXPANSION_DEGREE, dtype=np.uint64)
    rows[:, BASE_DEGREE:] = (_permute(graph, slots) // np.uint64(EXPANSION_DEGREE)).reshape(
        count, -1
    )
    return rows


def _base_parents(graph: Graph, nodes: _Words, rows: ParentArray) -> None:
    degree = np.uint64(BASE_DEGREE - 1)
    # Nodes 0 and 1 have no draws; they compute as node 2 and are set after.
    metanodes = np.maximum(nodes, 2).astype(np.uint64) * degree
    # Exact: five times a node number is never a power of two, so the exponent is the ceiling.
    bucket_counts = np.frexp(metanodes.astype(np.float64))[1].astype(np.uint64)
    draws = _chacha8_draws(fixed_words(graph), nodes)
    for column in range(BASE_DEGREE - 1):
        buckets = draws[2 * column] % bucket_counts + np.uint64(1)
        farthest = np.minimum(metanodes, np.uint64(1) << buckets)
        nearest = np.maximum(np.uint64(2), farthest >> np.uint64(1))
        distances = nearest + draws[2 * column + 1] % (farthest - nearest + np.uint64(1))
        sampled = ((metanodes - distances) // degree).astype(np.uint32)
        rows[:, column + 1] = np.where(sampled == nodes, nodes - np.uint32(1), sampled)
    rows[:, 0] = nodes - np.uint32(1)
    rows[nodes < 2, :BASE_DEGREE] = 0


def _chacha8_draws(fixed: _Words, nodes: _Words) -> list[_Longs]:
    """Return the first ten draws of every node's stream: one whole block and a quarter."""
    words = _chacha8_block(fixed, nodes, 0) + _chacha8_block(fixed, nodes, 1)[:4]
    return [
        high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64)
        for low, high in zip(words[::2], words[1::2], strict=True)
    ]


def _chacha8_block(fixed: _Words, nodes: _Words, block_number: int) -> list[_Words]:
    counter = (block_number, 0, 0, 0)
    start = [np.full(nodes.shape, word, np.uint32) for word in fixed]
    start += [nodes, *(np.full(nodes.shape, word, np.uint32) for word in counter)]
    words = [word.copy() for word in start]
    spare = np.empty_like(nodes)
    for _ in range(4):
        for shift in (0, 1):
            for column in range(4):
                a, b, c, d = (words[4 * row + (column + shift * row) % 4] for row in range(4))
                _mix(a, b, d, 16, spare)
                _mix(c, d, b, 12, spare)
                _mix(a, b, d, 8, spare)
                _mix(c, d, b, 7, spare)
    return [np.add(word, first, out=word) for word, first in zip(words, start, strict=True)]


def _mix(left: _Words, right: _Words, turned: _Words, bits: int, spare: _Words) -> None:
    """Do a quarter of ChaCha's quarter round in place; `spare` saves an allocation."""
    left += right
    turned ^= left
    np.right_shift(turned, np.uint32(32 - bits), out=spare)
    turned <<= np.uint32(bits)
    turned |= spare


def _permute(graph: Graph, slots: _Longs) -> _Longs:
    slots = _feistel(graph, slots)
    while True:
        [outside] = np.nonzero(slots >= graph.node_count * EXPANSION_DEGREE)
        if not len(outside):
            return slots
        slots[outside] = _feistel(graph, slots[outside])


def _feistel(graph: Graph, slots: _Longs) -> _Longs:
    half_bits = np.uint64(graph.feistel_half_bits)
    left, right = slots >> half_bits, slots & ((np.uint64(1) << half_bits) - np.uint64(1))
    for table in feistel_tables(graph):
        left, right = right, left ^ table[right]
    return left << half_bits | right


@cache
def feistel_tables(graph: Graph) -> _Words:
    """Return each round's output for every input: (3, 2^17) at 32 GiB."""
    half_bits = graph.feistel_half_bits
    return np.array(
        [
            [feistel_round(right, key, half_bits) for right in range(1 << half_bits)]
            for key in graph.feistel_keys
        ],
        np.uint32,
    )


def fixed_words(graph: Graph) -> _Words:
    """Return the words before a node's number in ChaCha's state: constants and seed."""
    return np.concatenate([_CHACHA_CONSTANTS, np.frombuffer(graph.drg_seed, "<u4")])
