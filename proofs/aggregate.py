"""Many small pieces as one (FRC-0058): an index at the end says where each lies, for proofs.

    | piece, biggest first | piece | … | zeros | index: an entry of 64 bytes a piece |

Whoever is shown an inclusion proof knows, against the aggregate's commitment alone, that the
piece is in it and that the index says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from proofs.errors import ProofRejected
from proofs.hashing import NODE_BYTES, node_hash
from proofs.merkle import InclusionProof, verify_inclusion
from proofs.piece import (
    PieceCommitment,
    PiecesDontFit,
    capacity_bytes,
    layout,
)
from proofs.subtree import Place, SparseTree

ENTRY_BYTES: Final = 2 * NODE_BYTES
AGGREGATE_BYTES_MIN: Final = 512
"""The least index takes 256 bytes, so a piece of 128 fits beside it."""

_BYTES_PER_ENTRY: Final = 2048 * ENTRY_BYTES
_ENTRIES_MIN: Final = 4
_ENTRY_HEIGHT: Final = 1
_CHECKSUM_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class AggregateInclusion:
    """Shows one piece in an aggregate.

    piece:  the piece's root as the leaf, its place counted in pieces of its size
    entry:  its index entry, hashed, as the leaf; its place counted in entries
    """

    piece: InclusionProof
    entry: InclusionProof


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Pieces in one bigger piece, in the order in which they lie.

    offsets_bytes:  of each piece, in the padded aggregate
    """

    size_bytes: int
    pieces: tuple[PieceCommitment, ...]
    offsets_bytes: tuple[int, ...]
    tree: SparseTree

    @property
    def commitment(self) -> PieceCommitment:
        """Return the commitment to the aggregate: its payload reaches to the index's end."""
        return PieceCommitment(self.tree.root, self.size_bytes, capacity_bytes(self.size_bytes))

    def prove(self, position: int) -> AggregateInclusion:
        """Prove that one piece is in it, by its position in `pieces`."""
        piece, offset = self.pieces[position], self.offsets_bytes[position]
        entry_index = _first_entry(self.size_bytes) + position
        return AggregateInclusion(
            piece=self.tree.prove(piece.height, offset // piece.padded_size_bytes),
            entry=self.tree.prove(_ENTRY_HEIGHT, entry_index),
        )


def aggregate(pieces: Sequence[PieceCommitment], size_bytes: int) -> Aggregate:
    """Lay pieces out in an aggregate, the biggest first so that no room is lost between them.

    size_bytes:  padded, a power of two

    Raises: `PiecesDontFit`, `ValueError` if no aggregate has that size.
    """
    if size_bytes < AGGREGATE_BYTES_MIN or size_bytes & (size_bytes - 1):
        raise ValueError("an aggregate is a power of two of at least 512 bytes")
    ordered = tuple(sorted(pieces, key=lambda piece: -piece.height))
    index_bytes = entries_max(size_bytes) * ENTRY_BYTES
    if len(ordered) > entries_max(size_bytes):
        raise PiecesDontFit(f"the index has room for {entries_max(size_bytes)} pieces")
    sizes = [piece.padded_size_bytes for piece in ordered]
    offsets = layout(sizes, size_bytes - index_bytes)
    subtrees: dict[Place, bytes] = {}
    for position, (piece, offset) in enumerate(zip(ordered, offsets, strict=True)):
        subtrees[piece.height, offset // piece.padded_size_bytes] = piece.root
        entry = _first_entry(size_bytes) + position
        subtrees[_ENTRY_HEIGHT, entry] = _entry_hash(piece, offset)
    height = (size_bytes // NODE_BYTES).bit_length() - 1
    return Aggregate(size_bytes, ordered, offsets, SparseTree(height, subtrees))


def verify_aggregated(
    proof: AggregateInclusion, piece: PieceCommitment, aggregated: PieceCommitment
) -> int:
    """Check that a piece lies in an aggregate and stands in its index; return its offset.

    Raises: `ProofRejected`.
    """
    size_bytes = aggregated.padded_size_bytes
    if proof.piece.leaf != piece.root:
        raise ProofRejected("the proof is another piece's")
    verify_inclusion(
        proof.piece, root=aggregated.root, leaf_count=size_bytes // piece.padded_size_bytes
    )
    offset = proof.piece.leaf_index * piece.padded_size_bytes
    first_entry = _first_entry(size_bytes)
    if offset + piece.padded_size_bytes > first_entry * ENTRY_BYTES:
        raise ProofRejected("the piece lies over the index")
    if proof.entry.leaf_index < first_entry:
        raise ProofRejected("the entry lies outside the index")
    if proof.entry.leaf != _entry_hash(piece, offset):
        raise ProofRejected("the index does not name the piece there")
    verify_inclusion(proof.entry, root=aggregated.root, leaf_count=size_bytes // ENTRY_BYTES)
    return offset


def entries_max(size_bytes: int) -> int:
    """Return how many entries the index of an aggregate has room for: about one in 128 KiB."""
    return max(_ENTRIES_MIN, 1 << (size_bytes // _BYTES_PER_ENTRY - 1).bit_length())


def entry_bytes(piece: PieceCommitment, offset_bytes: int) -> bytes:
    """Return a piece's entry in the index: root, offset, size, and a checksum of 126 bits."""
    place = offset_bytes.to_bytes(8, "little") + piece.padded_size_bytes.to_bytes(8, "little")
    body = piece.root + place
    digest = sha256(body + bytes(_CHECKSUM_BYTES)).digest()[:_CHECKSUM_BYTES]
    # A node's top two bits are zero, in the index too.
    return body + digest[:-1] + bytes((digest[-1] & 0x3F,))


def _entry_hash(piece: PieceCommitment, offset_bytes: int) -> bytes:
    entry = entry_bytes(piece, offset_bytes)
    return node_hash(entry[:NODE_BYTES], entry[NODE_BYTES:])


def _first_entry(size_bytes: int) -> int:
    return size_bytes // ENTRY_BYTES - entries_max(size_bytes)
