"""CommP of a piece and CommD of a sector; where pieces lie in it."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from proofs import kernels
from proofs.fr32 import QUAD_PADDED_BYTES, QUAD_PAYLOAD_BYTES
from proofs.hashing import NODE_BYTES, is_truncated, node_hash
from proofs.kernels.arrays import ByteArray
from proofs.merkle import fill_upper_rows
from proofs.parameters import PIECE_NODES_MIN
from proofs.pool import Pending, Pool

PIECE_BYTES_MIN: Final = PIECE_NODES_MIN * NODE_BYTES
"""The smallest padded piece."""

_CHUNK_QUADS: Final = 1 << 14
_CHUNK_HEIGHT: Final = 16
_PENDING_MAX: Final = 8
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
        return _height(self.padded_size_bytes)

    @property
    def padding_bytes(self) -> int:
        """Return how many zero bytes after the payload fill the piece."""
        return capacity_bytes(self.padded_size_bytes) - self.payload_bytes


def padded_size(payload_bytes: int) -> int:
    """Return the size in bytes of the smallest piece that holds a payload."""
    quads = max(1, -(-payload_bytes // QUAD_PAYLOAD_BYTES))
    return QUAD_PADDED_BYTES << (quads - 1).bit_length()


def capacity_bytes(padded_size_bytes: int) -> int:
    """Return how much payload a piece has room for."""
    return padded_size_bytes // QUAD_PADDED_BYTES * QUAD_PAYLOAD_BYTES


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
    """Hashes a payload as it streams by; holds a few megabytes of it.

    pool:  hashes the chunks, on as many cores as it has threads; None for this thread alone
    """

    def __init__(self, pool: Pool | None = None) -> None:
        self._pool = pool
        self._subtrees = _Subtrees()
        self._pending: deque[tuple[Pending[bytes], ByteArray]] = deque()
        self._chunk = np.empty(_CHUNK_PAYLOAD_BYTES, np.uint8)
        self._filled_bytes = 0
        self._payload_bytes = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the payload."""
        left = np.frombuffer(data, np.uint8)
        self._payload_bytes += left.size
        while left.size:
            start = self._filled_bytes
            taken = left[: _CHUNK_PAYLOAD_BYTES - start]
            self._chunk[start : start + taken.size] = taken
            self._filled_bytes += taken.size
            left = left[taken.size :]
            if self._filled_bytes == _CHUNK_PAYLOAD_BYTES:
                self._hash_chunk()

    def finish(self) -> PieceCommitment:
        """Return the commitment to everything taken so far; nothing may follow."""
        while self._pending:
            self._collect()
        if self._filled_bytes:
            size = padded_size(self._filled_bytes)
            payload_bytes = size // QUAD_PADDED_BYTES * QUAD_PAYLOAD_BYTES
            self._chunk[self._filled_bytes : payload_bytes] = 0
            self._subtrees.append(_root_of(self._chunk[:payload_bytes]), _height(size))
        size = padded_size(self._payload_bytes)
        return PieceCommitment(self._subtrees.root(_height(size)), size, self._payload_bytes)

    def _hash_chunk(self) -> None:
        self._filled_bytes = 0
        if self._pool is None:
            self._subtrees.append(_root_of(self._chunk), _CHUNK_HEIGHT)
        else:
            self._pending.append((self._pool.submit(_root_of, self._chunk), self._chunk))
            is_full = len(self._pending) > _PENDING_MAX
            self._chunk = self._collect() if is_full else np.empty_like(self._chunk)

    def _collect(self) -> ByteArray:
        """Take the oldest root that was asked for; return its chunk, to be filled again."""
        root, chunk = self._pending.popleft()
        self._subtrees.append(root.result(), _CHUNK_HEIGHT)
        return chunk


class _Scratch(threading.local):
    """A chunk's padded nodes and the tree above them; new memory would cost half the time."""

    def __init__(self) -> None:
        self.nodes = np.empty((2 << _CHUNK_HEIGHT, NODE_BYTES), np.uint8)


_SCRATCH: Final = _Scratch()


def _root_of(payload: ByteArray) -> bytes:
    """Return the root over a power of two of quads, a chunk at most."""
    count = payload.size // QUAD_PAYLOAD_BYTES * 4
    leaves, upper = _SCRATCH.nodes[:count], _SCRATCH.nodes[count : 2 * count - 1]
    kernels.level().pad(payload, leaves.reshape(-1))
    fill_upper_rows(leaves, upper)
    root: bytes = upper[-1].tobytes()
    return root


def _height(padded_bytes: int) -> int:
    return (padded_bytes // NODE_BYTES).bit_length() - 1


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
    return subtrees.root(_height(sector_size_bytes))
