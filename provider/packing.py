"""Which published pieces share a sector, and when it is time to seal it."""

from collections.abc import Iterable
from dataclasses import dataclass

from chain.units import Epoch
from ipfs.cid import CID
from proofs.piece import PiecesDontFit, layout


@dataclass(frozen=True, slots=True)
class LoosePiece:
    """A published piece that has no sector yet.

    seal_by_epoch:  when sealing must begin for the deal to start in time
    """

    proposal_cid: CID
    piece_size_bytes: int
    published_epoch: Epoch
    seal_by_epoch: Epoch


@dataclass(frozen=True, slots=True)
class Packing:
    """How sectors are filled.

    wait_epochs:  how long a piece waits for company
    """

    sector_size_bytes: int
    pieces_max: int
    wait_epochs: int


Pack = tuple[LoosePiece, ...]
"""The pieces of one sector, in the order in which they lie."""


def pack(pieces: Iterable[LoosePiece], packing: Packing) -> tuple[Pack, ...]:
    """Return the pieces as sectors: the first that fits, largest piece first.

    In that order pieces that are powers of two lie without a gap.
    """
    packs: list[Pack] = []
    for piece in sorted(pieces, key=lambda piece: (-piece.piece_size_bytes, piece.proposal_cid)):
        for at, others in enumerate(packs):
            if _fits((*others, piece), packing):
                packs[at] = (*others, piece)
                break
        else:
            packs.append((piece,))
    return tuple(packs)


def due_epoch(pack: Pack, packing: Packing) -> Epoch:
    """Return when a sector is sealed with what it has by then; a full one at once."""
    if _is_full(pack, packing):
        return Epoch(0)
    return Epoch(
        min(min(piece.published_epoch + packing.wait_epochs, piece.seal_by_epoch) for piece in pack)
    )


def _is_full(pack: Pack, packing: Packing) -> bool:
    used_bytes = sum(piece.piece_size_bytes for piece in pack)
    return used_bytes == packing.sector_size_bytes or len(pack) == packing.pieces_max


def _fits(pack: Pack, packing: Packing) -> bool:
    try:
        layout([piece.piece_size_bytes for piece in pack], packing.sector_size_bytes)
    except PiecesDontFit:
        return False
    return len(pack) <= packing.pieces_max
