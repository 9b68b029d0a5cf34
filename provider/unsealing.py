"""Getting a piece back out of a sealed sector, when its blocks are gone: what that costs, and how.

It costs most of what sealing the whole sector did, whatever the piece's size (`proofs/unseal.py`).
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chain.statements import piece_commitment
from chain.units import SectorNumber
from ipfs.cid import CID
from proofs.fr32 import QUAD_PADDED_BYTES, QUAD_PAYLOAD_BYTES
from proofs.graph import Graph
from proofs.hashing import NODE_BYTES
from proofs.kernels.arrays import working_nodes
from proofs.labelling import Progress, begin_layer, label_layer
from proofs.parameters import ProofParameters
from proofs.piece import PieceCommitment, layout
from proofs.registry import parameters_of
from proofs.seal import sealing_memory_bytes
from proofs.unseal import NodeRange, labels_to_unseal
from provider.disk import SectorDisk
from provider.sealing import SealingPool
from provider.store import ProviderStore

_TRIAL_NODES: Final = 1 << 16
"""Labelled to know this machine's rate; more than its fastest caches hold."""


class PieceNotSealed(Exception):
    """No sealed sector of ours holds this piece."""

    code = "not-found"

    def __init__(self, cid: CID) -> None:
        super().__init__(f"no sealed sector here holds {cid}")
        self.cid = cid


class PieceDamaged(Exception):
    """What came out of the sector is not the piece that went in: the replica has rotted."""

    code = "sector-damaged"

    def __init__(self, number: SectorNumber) -> None:
        super().__init__(f"sector {number} gave back another piece; run `holdfast provider scrub`")
        self.number = number


@dataclass(frozen=True, slots=True)
class SealedPiece:
    """Where one piece lies.

    offset_bytes:  in the sector's padded data
    """

    number: SectorNumber
    parameters: ProofParameters
    offset_bytes: int
    commitment: PieceCommitment

    @property
    def nodes(self) -> NodeRange:
        """Return the nodes that hold the payload, without the zeros behind it."""
        quads = max(1, -(-self.commitment.payload_bytes // QUAD_PAYLOAD_BYTES))
        first = self.offset_bytes // NODE_BYTES
        return NodeRange(first, first + quads * QUAD_PADDED_BYTES // NODE_BYTES)


@dataclass(frozen=True, slots=True)
class UnsealingCost:
    """What getting a piece back takes.

    seconds_min:   as fast as labels are made here in the fastest memory; large sectors are slower
    memory_bytes:  at most
    disk_bytes:    until it is done; the piece itself stays
    """

    labels: int
    seconds_min: float
    memory_bytes: int
    disk_bytes: int


async def find_piece(store: ProviderStore, cid: CID) -> SealedPiece:
    """Return where a piece lies, by the CID of it, of its data's root or of its proposal.

    Raises `PieceNotSealed`.
    """
    for plan in await store.plans():
        if plan.sealed is None:
            continue
        promises = [await store.promise(proposal_cid) for proposal_cid in plan.proposal_cids]
        proposals = [promise.proposal for promise in promises if promise is not None]
        assert len(proposals) == len(promises), "only what was promised is sealed"
        parameters = parameters_of(plan.proof_type)
        sizes = [proposal.piece_size_bytes for proposal in proposals]
        offsets = layout(sizes, parameters.sector_size_bytes)
        for proposal, offset_bytes in zip(proposals, offsets, strict=True):
            if cid in (proposal.cid, proposal.piece_cid, proposal.root_cid):
                commitment = piece_commitment(proposal)
                return SealedPiece(plan.number, parameters, offset_bytes, commitment)
    raise PieceNotSealed(cid)


def cost_of(piece: SealedPiece) -> UnsealingCost:
    """Return what it takes to get a piece back. Labels a little, to know how fast that is here."""
    labels = labels_to_unseal(piece.parameters, piece.nodes)
    padded_bytes = (piece.nodes.end - piece.nodes.first) * NODE_BYTES
    return UnsealingCost(
        labels=labels,
        seconds_min=labels * _seconds_a_label(),
        memory_bytes=sealing_memory_bytes(piece.parameters),
        disk_bytes=padded_bytes + piece.commitment.payload_bytes,
    )


async def unseal_piece(
    piece: SealedPiece, disk: SectorDisk, pool: SealingPool, target: Path, progress: Progress
) -> None:
    """Write a piece's payload, a CAR, to a file that is whole or not there.

    Cancelled, it leaves nothing behind and begins anew when asked again.

    Raises `PieceDamaged`; `SealingFailed`.
    """
    unfinished = target.with_name(f"{target.name}.part")
    folder = disk.replica_folder(piece.number)
    try:
        found = await pool.unseal(
            piece.parameters, folder, piece.nodes, piece.commitment.payload_bytes, unfinished,
            progress,
        )  # fmt: skip
        if found.root != piece.commitment.root:
            raise PieceDamaged(piece.number)
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _seconds_a_label() -> float:
    graph = Graph(_TRIAL_NODES, bytes(NODE_BYTES))
    previous, layer = (working_nodes(_TRIAL_NODES) for _ in range(2))
    chain = begin_layer(bytes(NODE_BYTES), 2, previous, layer)
    label_layer(graph, 2, [chain], end=2)  # which compiles
    began_seconds = time.monotonic()
    label_layer(graph, 2, [chain])
    return (time.monotonic() - began_seconds) / _TRIAL_NODES
