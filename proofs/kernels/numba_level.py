"""The compiled kernels behind the same functions as `hashlib_level.py`, in either dialect."""

from collections.abc import Callable, Sequence
from typing import Any

import numba.core.registry
import numpy as np

from proofs.fr32 import QUAD_PADDED_BYTES, QUAD_PAYLOAD_BYTES
from proofs.graph import Graph
from proofs.hashing import NODE_BYTES
from proofs.kernels import compiled, field, hashlib_level
from proofs.kernels.arrays import ByteArray, Chain, IndexArray, NodeArray, ParentArray
from proofs.kernels.compiled_parents import find_parents
from proofs.kernels.compiled_poseidon import hash_all_elements
from proofs.kernels.intrinsics import LANES
from proofs.kernels.parents import feistel_tables, fixed_words
from proofs.kernels.poseidon_rounds import rounds_of
from proofs.kernels.sha256_constants import padding
from proofs.parameters import DEGREE, EXPANSION_DEGREE


class NumbaLevel:
    """SHA-256 trees and labels in one dialect of the compression."""

    def __init__(self, *, sha_ni: bool) -> None:
        self._pairs: Callable[..., Any]
        self._climb: Callable[..., Any]
        self._rows: Callable[..., Any]
        self._labels: Sequence[Callable[..., Any]]
        if sha_ni:
            self._pairs = compiled.hash_all_pairs_sha_ni
            self._climb = compiled.climb_sha_ni
            self._rows, self._rows_lanes = compiled.hash_rows_sha_ni, 2
            self._labels = (compiled.label_nodes_sha_ni, compiled.label_pairs_sha_ni)
        else:
            self._pairs = compiled.hash_all_pairs_portable
            self._climb = compiled.climb_portable
            self._rows, self._rows_lanes = compiled.hash_rows_portable, 1
            self._labels = (compiled.label_nodes_portable,)

    def pad(self, payload: ByteArray, target: ByteArray) -> None:
        """Write (128 k) fr32-padded bytes for (127 k) payload bytes."""
        quads, left = divmod(payload.size, QUAD_PAYLOAD_BYTES)
        assert not left, "fr32 pads whole quads"
        assert target.size == quads * QUAD_PADDED_BYTES, "the target fits"
        compiled.pad_quads(_address(payload), _address(target), np.uint64(quads))

    def unpad(self, padded: ByteArray, target: ByteArray) -> None:
        """Write (127 k) payload bytes for (128 k) fr32-padded bytes."""
        quads, left = divmod(padded.size, QUAD_PADDED_BYTES)
        assert not left, "fr32 unpads whole quads"
        assert target.size == quads * QUAD_PAYLOAD_BYTES, "the target fits"
        compiled.unpad_quads(_address(padded), _address(target), np.uint64(quads))

    def parents(self, graph: Graph, first: int, count: int) -> ParentArray:
        """Return the 6 and 8 parents of each node from `first` on."""
        assert graph.predecessor_first, "only V1_1 graphs are sealed"
        rows = np.empty((count, DEGREE), np.uint32)
        find_parents(
            np.uint64(first), rows, fixed_words(graph), feistel_tables(graph),
            np.uint64(graph.feistel_half_bits), np.uint64(graph.node_count * EXPANSION_DEGREE),
            np.empty(16, np.uint64),
        )  # fmt: skip
        return rows

    def hash_pairs(self, source: NodeArray, target: NodeArray) -> None:
        """Hash (2 n) nodes, pair by pair, into (n)."""
        if len(target) % LANES:
            hashlib_level.hash_pairs(source, target)
        else:
            self._pairs(_address(source), _address(target), np.uint64(len(target)))

    def climb(self, leaves: IndexArray, nodes: NodeArray, depth: int) -> bytes:
        """Return the root that leaves lead to together; see `hashlib_level.climb`."""
        count = len(leaves)
        lanes = -(-count // LANES) * LANES
        words = np.ascontiguousarray(nodes).view(np.uint32)
        row = np.zeros((lanes, 8), np.uint32)
        row[:count] = words[:count]
        pairs = np.zeros((lanes, 16), np.uint32)
        self._climb(leaves.copy(), row, words[count:], depth, pairs)
        root: bytes = row[0].tobytes()
        return root

    def hash_messages(self, messages: ByteArray, target: NodeArray) -> None:
        """Hash (n, length) messages into (n) truncated nodes."""
        count, length = messages.shape
        if length == 64:
            self.hash_pairs(np.ascontiguousarray(messages).reshape(-1, 32), target)
            return
        tail = np.frombuffer(padding(length), np.uint8)
        rows = np.empty((count, length + tail.size), np.uint8)
        rows[:, :length], rows[:, length:] = messages, tail
        block_count = rows.shape[1] // 64
        self._rows(
            _address(rows), block_count, np.empty((block_count, self._rows_lanes), np.uint64),
            np.empty(self._rows_lanes, np.uint64), target.view(np.uint32),
        )  # fmt: skip

    def hash_elements(self, rows: ByteArray, target: NodeArray) -> None:
        """Hash (n, 32 × arity) bytes into (n) elements; see `hashlib_level.hash_elements`."""
        arity, rest = divmod(rows.shape[1], NODE_BYTES)
        assert not rest, "elements lie side by side"
        assert target.shape == (len(rows), NODE_BYTES), "the target fits"
        rounds = rounds_of(arity)
        if not field.are_elements(rows.reshape(-1, NODE_BYTES)):
            raise ValueError("an input is no element of the field")
        hash_all_elements(
            _address(rows), _address(target), np.uint64(len(rows)), rounds,
            np.empty_like(rounds.constants[0]), np.empty_like(rounds.constants[0]),
        )  # fmt: skip

    def label_nodes(self, chains: Sequence[Chain], first: int, parents: ParentArray) -> None:
        """Label the nodes from `first` ≥ 1 on, in place; see `hashlib_level.label_nodes`."""
        for start in range(0, len(chains), len(self._labels)):
            together = chains[start : start + len(self._labels)]
            self._label_together(together, first, np.ascontiguousarray(parents))

    def _label_together(self, chains: Sequence[Chain], first: int, parents: ParentArray) -> None:
        pairs, lanes = parents.shape[1] // 2, len(chains)
        messages = np.zeros((lanes, compiled.MESSAGE_WORDS), np.uint32)
        for message, chain in zip(messages, chains, strict=True):
            message[: len(chain.header) // 4] = np.frombuffer(chain.header, np.uint32)
        tail = np.frombuffer(padding(64 * compiled.LABEL_BLOCKS - 32), np.uint32)
        messages[:, compiled.LAST_WORD + 8 :] = tail
        words = [
            compiled.HEADER_WORD,
            *(compiled.PARENTS_WORD + 16 * (pair % pairs) for pair in range(18)),
            compiled.LAST_WORD,
        ]
        starts = np.array([_address(message) for message in messages], np.uint64)
        blocks = np.array(words, np.uint64)[:, None] * np.uint64(4) + starts
        sources = [[_address(chain.layer), _address(chain.previous)] for chain in chains]
        self._labels[lanes - 1](
            first, parents, np.array(sources, np.uint64), messages, blocks, blocks.copy(),
            np.empty(lanes, np.uint64),
        )  # fmt: skip


def _address(array: ByteArray | Any) -> np.uint64:
    assert array.flags.c_contiguous, "an address says nothing about strides"
    return np.uint64(array.ctypes.data)


def compiles_for_sha_ni() -> bool:
    """Return whether numba's effective target has SHA-NI: LLVM aborts the process if it lacks it.

    Not the machine's CPUID: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may have narrowed the target.
    """
    features = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[2]
    return "+sha" in features.split(",")
