"""CommP of a piece and CommD of a sector; where pieces lie in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from proofs.fr32 import QUAD_PADDED_BYTES, QUAD_PAYLOAD_BYTES
from proofs.hashing import NODE_BYTES, is_truncated, node_hash
from proofs.kernels import fr32
from proofs.merkle import as_nodes, build_rows
from proofs.parameters import PIECE_NODES_MIN

PIECE_BYTES_MIN: Final = PIECE_NODES_MIN * NODE_BYTES
"""The smallest padded piece."""

_CHUNK_QUADS: Final = 1 << 13
_CHUNK_PAYLOAD_BYTES: Final = _CHUNK_QUADS * QUAD_PAYLOAD_BYTES


class PiecesDontFit(ValueError):
    """The pieces, aligned as they must be, need more than the sector has."""


@dataclass(frozen=True, slots=True)
class PieceCommitment:
    """CommP: what a piece is, and how big. The PieceCID v2 says the same (FRC-0069)."""

    root: bytes
    padded_size_bytes: int
    payload_bytes: int

    def __post_init__(self) -> None:
        size = self.padded_size_bytes
        if size < PIECE_BYTES_MIN or size & (size - 1):
            raise ValueError("a padded piece is a power of two of at least 128 bytes")
        if len(self.root) != NODE_BYTES or not is_truncated(self.root):
            raise ValueError("a commitment is one node below 2^254")
        if self.padding_bytes < 0 or self.payload_bytes < 0:
            raise ValueError("the payload must fit its piece")

    @property
    def height(self) -> int:
        """Return the height of the piece's tree: log2 of its nodes."""
        return (self.padded_size_bytes // NODE_BYTES).bit_length() - 1

    @property
    def padding_bytes(self) -> int:
        """Return how many zero bytes after the payload fill the piece."""
        capacity = self.padded_size_bytes // QUAD_PADDED_BYTES * QUAD_PAYLOAD_BYTES
        return capacity - self.payload_bytes


def padded_size(payload_bytes: int) -> int:
    """Return the size in bytes of the smallest piece that holds a payload."""
    quads = max(1, -(-payload_bytes // QUAD_PAYLOAD_BYTES))
    return QUAD_PADDED_BYTES << (quads - 1).bit_length()


@cache
def zero_commitment(height: int) -> bytes:
    """Return the root over 2^height zero nodes."""
    if height == 0:
        return bytes(NODE_BYTES)
    below = zero_commitment(height - 1)
    return node_hash(below, below)


class _Subtrees:
    """The roots of a tree that grows from the left, as a binary counter holds its digits."""

    def __init__(self) -> None:
        self._roots: list[tuple[int, bytes]] = []
        self._node_count = 0

    def append(self, root: bytes, height: int) -> None:
        """Put a subtree at the next place aligned to its size; zeros fill what is between."""
        self._align(height)
        self._add(root, height)

    def root(self, height: int) -> bytes:
        """Return the root of the tree of this height, what is missing filled with zeros."""
        if not self._roots:
            return zero_commitment(height)
        self._align(height)
        [(found, root)] = self._roots
        assert found == height, "the subtrees outgrew the tree"
        return root

    def _align(self, height: int) -> None:
        while self._node_count % (1 << height):
            lowest, _ = self._roots[-1]
            self._add(zero_commitment(lowest), lowest)

    def _add(self, root: bytes, height: int) -> None:
        self._node_count += 1 << height
        while self._roots and self._roots[-1][0] == height:
            _, left = self._roots.pop()
            root, height = node_hash(left, root), height + 1
        self._roots.append((height, root))


class CommPHasher:
    """Hashes a payload as it streams by; holds a megabyte of it at most."""

    def __init__(self) -> None:
        self._subtrees = _Subtrees()
        self._pending = bytearray()
        self._payload_bytes = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes of the payload."""
        self._payload_bytes += len(data)
        self._pending += data
        whole = len(self._pending) // _CHUNK_PAYLOAD_BYTES * _CHUNK_PAYLOAD_BYTES
        for start in range(0, whole, _CHUNK_PAYLOAD_BYTES):
            self._append(self._pending[start : start + _CHUNK_PAYLOAD_BYTES])
        del self._pending[:whole]

    def finish(self) -> PieceCommitment:
        """Return the commitment to everything taken so far; nothing may follow."""
        if self._pending:
            size = padded_size(len(self._pending))
            payload_bytes = size // QUAD_PADDED_BYTES * QUAD_PAYLOAD_BYTES
            self._append(self._pending.ljust(payload_bytes, b"\0"))
            self._pending.clear()
        size = padded_size(self._payload_bytes)
        root = self._subtrees.root((size // NODE_BYTES).bit_length() - 1)
        return PieceCommitment(root, size, self._payload_bytes)

    def _append(self, payload: bytearray) -> None:
        rows = build_rows(as_nodes(fr32.pad(np.frombuffer(bytes(payload), np.uint8))))
        self._subtrees.append(rows[-1].tobytes(), len(rows) - 1)


def comm_p(payload: bytes) -> PieceCommitment:
    """Return the commitment to a payload that is in memory."""
    hasher = CommPHasher()
    hasher.update(payload)
    return hasher.finish()


def layout(sizes_bytes: Sequence[int], sector_size_bytes: int) -> tuple[int, ...]:
    """Return the offset of each padded piece in a sector: the next multiple of its own size.

    Raises: `PiecesDontFit`. Source: rust-fil-proofs `filecoin-proofs/src/pieces.rs`.
    """
    offsets, end = [], 0
    for size in sizes_bytes:
        start = -(-end // size) * size
        offsets.append(start)
        end = start + size
    if end > sector_size_bytes:
        raise PiecesDontFit(f"the pieces need {end} bytes, the sector has {sector_size_bytes}")
    return tuple(offsets)


def comm_d(pieces: Sequence[PieceCommitment], sector_size_bytes: int) -> bytes:
    """Return the root of a sector's data from its pieces' commitments alone, laid out in order.

    Raises: `PiecesDontFit`.
    """
    layout([piece.padded_size_bytes for piece in pieces], sector_size_bytes)
    subtrees = _Subtrees()
    for piece in pieces:
        subtrees.append(piece.root, piece.height)
    return subtrees.root((sector_size_bytes // NODE_BYTES).bit_length() - 1)
