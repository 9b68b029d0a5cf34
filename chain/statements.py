"""What the ledger asks to be proven: built by the same functions on both sides of the wire."""

from collections.abc import Mapping, Sequence

from chain import randomness
from chain.deal import Deal, DealProposal
from chain.policy import Policy
from chain.sector import Sector
from chain.units import Epoch
from ipfs.errors import MalformedBytes
from ipfs.piece_cid import parse_piece_cid
from proofs.hashing import NODE_BYTES
from proofs.parameters import ProofParameters, ProofType
from proofs.piece import PieceCommitment, comm_d, layout
from proofs.porep import PorepStatement
from proofs.post import WindowStatement
from proofs.registry import parameters_of


def piece_commitment(proposal: DealProposal) -> PieceCommitment:
    """Return CommP as the proposal names it.

    Raises: `MalformedBytes` if its piece CID names no piece, or one of another size.
    """
    info = parse_piece_cid(proposal.piece_cid)
    size = proposal.piece_size_bytes
    if info.padded_bytes not in (None, size):
        raise MalformedBytes("piece CID", f"a piece of {info.padded_bytes} bytes, not {size}")
    # A version 1 CID does not say the payload: as much as fits.
    payload_bytes = size // 128 * 127 if info.payload_bytes is None else info.payload_bytes
    return PieceCommitment(info.root, size, payload_bytes)


def data_commitment(proof_type: ProofType, proposals: Sequence[DealProposal]) -> bytes:
    """Return CommD of a sector that holds these proposals' pieces, laid out in this order.

    Raises: `MalformedBytes` as `piece_commitment`, `PiecesDontFit`.
    """
    pieces = [piece_commitment(proposal) for proposal in proposals]
    return comm_d(pieces, parameters_of(proof_type).sector_size_bytes)


def seed_epoch(policy: Policy, sector: Sector) -> Epoch:
    """Return the epoch whose beacon draws the sector's replication challenges."""
    return Epoch(sector.precommit_epoch + policy.seed_delay_epochs)


def replication_statement(
    *,
    chain_id: str,
    sector: Sector,
    deals: Sequence[Deal],
    ticket_beacon: bytes,
    seed_beacon: bytes,
) -> PorepStatement:
    """Return what `ProveCommitSectors` must prove of a sector.

    deals:          all that were sealed into it, in the order of its `deal_ids`
    ticket_beacon:  the randomness of the sector's ticket_epoch, 32 bytes
    seed_beacon:    that of its `seed_epoch`
    """
    parameters, provider_id = parameters_of(sector.proof_type), sector.provider_id
    return PorepStatement(
        parameters=parameters,
        chain_id=chain_id.encode(),
        provider_id=provider_id,
        sector_number=sector.number,
        ticket=randomness.ticket(ticket_beacon, chain_id=chain_id, provider_id=provider_id),
        comm_d=sector.comm_d,
        comm_r=sector.comm_r,
        seed=randomness.replication_seed(
            seed_beacon, chain_id=chain_id, provider_id=provider_id, number=sector.number
        ),
        piece_ranges=tuple(_piece_ranges(parameters, deals)),
    )


def challenged_epochs(policy: Policy, sector: Sector) -> tuple[Epoch, ...]:
    """Return the epochs whose beacons a live sector must answer now: those missed, then the open.

    Of the missed ones only the newest, so that the proof's length is bounded.
    """
    assert sector.window_epoch is not None, "only a sector with a window is challenged"
    return (*sector.missed[-policy.recovery_windows_max :], sector.window_epoch)


def window_statement(
    *,
    chain_id: str,
    policy: Policy,
    sector: Sector,
    deals: Sequence[Deal],
    beacons: Mapping[Epoch, bytes],
) -> WindowStatement:
    """Return what `SubmitWindowPost` must prove of a sector.

    deals:    all that were sealed into it, in the order of its `deal_ids`
    beacons:  the randomness of its `challenged_epochs`, 32 bytes each
    """
    parameters = parameters_of(sector.proof_type)
    return WindowStatement(
        parameters=parameters,
        chain_id=chain_id.encode(),
        provider_id=sector.provider_id,
        sector_number=sector.number,
        comm_r=sector.comm_r,
        seeds=tuple(
            randomness.window_seed(
                beacons[epoch], chain_id=chain_id, provider_id=sector.provider_id
            )
            for epoch in challenged_epochs(policy, sector)
        ),
        # Not "live": a deal may end while its window is open; the statement must not change then.
        piece_ranges=tuple(
            piece_range
            for deal, piece_range in zip(deals, _piece_ranges(parameters, deals), strict=True)
            if not deal.is_settled
        ),
    )


def _piece_ranges(parameters: ProofParameters, deals: Sequence[Deal]) -> list[tuple[int, int]]:
    sizes = [deal.proposal.piece_size_bytes for deal in deals]
    offsets = layout(sizes, parameters.sector_size_bytes)
    return [
        (offset // NODE_BYTES, (offset + size) // NODE_BYTES)
        for offset, size in zip(offsets, sizes, strict=True)
    ]
