"""Trees of which only subtrees are known: the rest is zeros. Pieces lie in sectors like this."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from proofs.errors import ProofRejected
from proofs.hashing import NODE_BYTES, node_hash
from proofs.merkle import InclusionProof, verify_inclusion
from proofs.piece import PieceCommitment, layout, zero_commitment

Place: TypeAlias = tuple[int, int]
"""Of a node in a tree: its height, leaves at 0, and its index in that row."""

_SECTOR_BYTES_MAX: Final = 1 << 50


class SparseTree:
    """A tree of 2^height leaves from the roots of subtrees in it, zeros everywhere else."""

    def __init__(self, height: int, subtrees: Mapping[Place, bytes]) -> None:
        self.height = height
        self._rows: list[dict[int, bytes]] = [{} for _ in range(height + 1)]
        for (row, index), root in subtrees.items():
            if not (0 <= row <= height and 0 <= index < 1 << height - row):
                raise ValueError(f"a tree of height {height} has no place {row}:{index}")
            self._rows[row][index] = root
        for row in range(height):
            for parent in {index // 2 for index in self._rows[row]}:
                if parent in self._rows[row + 1]:
                    raise ValueError(f"a subtree lies inside another one, {row + 1}:{parent}")
                pair = self.node(row, 2 * parent), self.node(row, 2 * parent + 1)
                self._rows[row + 1][parent] = node_hash(*pair)

    @property
    def root(self) -> bytes:
        """Return the root of the whole tree."""
        return self.node(self.height, 0)

    def node(self, row: int, index: int) -> bytes:
        """Return a node that is not below a subtree's root."""
        return self._rows[row].get(index, zero_commitment(row))

    def prove(self, row: int, index: int) -> InclusionProof:
        """Prove that a subtree lies where it lies; it is the leaf of the smaller tree above."""
        siblings = tuple(
            self.node(row + level, index >> level ^ 1) for level in range(self.height - row)
        )
        return InclusionProof(self.node(row, index), index, siblings)


def prove_piece(
    pieces: Sequence[PieceCommitment], position: int, sector_size_bytes: int
) -> InclusionProof:
    """Prove that one of a sector's pieces is in it, from the commitments alone.

    position:  of the piece among `pieces`, which lie in the sector in this order
    returns:   the piece's root as the leaf, its place counted in pieces of its size

    Raises: `PiecesDontFit`.
    """
    sizes = [piece.padded_size_bytes for piece in pieces]
    offsets = layout(sizes, sector_size_bytes)
    tree = SparseTree(
        _height(sector_size_bytes),
        {
            (piece.height, offset // size): piece.root
            for piece, offset, size in zip(pieces, offsets, sizes, strict=True)
        },
    )
    return tree.prove(pieces[position].height, offsets[position] // sizes[position])


def verify_piece(
    proof: InclusionProof, piece: PieceCommitment, *, comm_d: bytes, sector_size_bytes: int
) -> int:
    """Check that a piece lies in the sector with this CommD; return its offset in bytes.

    The sizes are the verifier's own: a path proves nothing about how much lies below its leaf.

    Raises: `ProofRejected`.
    """
    if proof.leaf != piece.root:
        raise ProofRejected("the proof is another piece's")
    leaf_count = sector_size_bytes // piece.padded_size_bytes
    verify_inclusion(proof, root=comm_d, leaf_count=leaf_count)
    return proof.leaf_index * piece.padded_size_bytes


def _height(size_bytes: int) -> int:
    assert NODE_BYTES <= size_bytes <= _SECTOR_BYTES_MAX, "a size is the verifier's own"
    return (size_bytes // NODE_BYTES).bit_length() - 1
