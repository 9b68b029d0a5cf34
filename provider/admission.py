"""Whether a sound proposal is good enough: a value, or the reason why not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from chain.deal import DealProposal
from chain.policy import Policy, SectorRule
from chain.provider import Ask
from chain.statements import piece_commitment
from chain.units import Epoch
from ipfs.cid import CID
from ipfs.errors import MalformedBytes
from market.messages import RejectCode
from proofs.parameters import ProofType
from proofs.registry import parameters_of
from provider.answering import Answering
from provider.promise import Promise, SectorPlan
from provider.sealing_plan import SealingPlan

START_AHEAD_PERIODS_MAX: Final = 7
"""Space is not kept free for deals that start later than this, sealing time aside."""

COLLATERAL_FACTOR_MAX: Final = 2
"""How many times the network's least collateral is locked for a client that asks for more."""

FETCH_EPOCHS_MIN: Final = 2
"""An acceptance leaves at least this long for the client's money and blocks to come."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the provider has left to promise.

    used_bytes:     what sectors and unsealed blocks take now, of the operator's limit
    free_bytes:     of that limit and of the disk, what open promises will need taken off
    free_atto:      of the owner's account, collateral for open promises taken off
    sectors_free:   that the disk answers for in time, besides those there are and those to come
    fetches_open:   promises whose blocks have not come yet
    has_blocks_on_disk:  if not, unsealed blocks lie elsewhere and take nothing of it
    """

    used_bytes: int

    free_bytes: int
    free_atto: int
    sectors_free: int
    fetches_open: int
    fetches_open_max: int
    has_blocks_on_disk: bool

    def needed_bytes(self, piece_size_bytes: int, proof_type: ProofType) -> int:
        """Return what one more piece takes on the disk, as if no sector were shared."""
        blocks_bytes = piece_size_bytes if self.has_blocks_on_disk else 0
        return blocks_bytes + sector_bytes(proof_type)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a proposal is rejected."""

    code: RejectCode
    reason: str


def last_publish_epoch(proposal: DealProposal, rule: SectorRule) -> Epoch:
    """Return the last head at which publishing leaves time to seal; may be in the past.

    A deal that is published and not sealed by its start costs the whole collateral.
    """
    seal_by_epoch = max(0, proposal.start_epoch - rule.sealing_epochs)
    return Epoch(min(max(0, proposal.publish_by_epoch - 1), seal_by_epoch))


def fetch_by_epoch(proposal: DealProposal, rule: SectorRule) -> Epoch:
    """Return until when a client's blocks may come."""
    return Epoch(max(0, last_publish_epoch(proposal, rule) - 1))


def sector_bytes(proof_type: ProofType) -> int:
    """Return what a proven sector takes on the disk: replica and tree."""
    return 2 * parameters_of(proof_type).sector_size_bytes


def capacity_left(
    promises: Sequence[Promise],
    plans: Sequence[SectorPlan],
    *,
    published: Collection[CID],
    sealing: SealingPlan,
    answering: Answering,
    limit_bytes: int,
    disk_free_bytes: int,
    has_blocks_on_disk: bool,
    free_atto: int,
    fetches_open_max: int,
) -> Capacity:
    """Return what is left to promise.

    promises, plans:  the open ones, those not cleared
    published:        proposals whose collateral is locked already
    limit_bytes:      the operator's
    """
    planned = {cid for plan in plans for cid in plan.proposal_cids}
    on_disk = promises if has_blocks_on_disk else ()
    unsealed_bytes = sum(promise.proposal.piece_size_bytes for promise in on_disk)
    used_bytes = unsealed_bytes + sum(sector_bytes(plan.proof_type) for plan in plans)
    # Promises may come to share a sector; until they do each counts for one of its own.
    sectors_to_come = sum(promise.proposal_cid not in planned for promise in promises)
    coming_bytes = sectors_to_come * sector_bytes(sealing.proof_type)
    missing_bytes = sum(
        promise.proposal.piece_size_bytes for promise in on_disk if not promise.is_received
    )
    to_lock_atto = sum(
        promise.proposal.collateral_atto
        for promise in promises
        if promise.proposal_cid not in published
    )
    answers_seconds = sectors_to_come * answering.seconds(sealing.proof_type, piece_count=1) + sum(
        answering.seconds(plan.proof_type, piece_count=len(plan.proposal_cids)) for plan in plans
    )
    return Capacity(
        used_bytes=used_bytes,
        free_bytes=min(
            limit_bytes - used_bytes - coming_bytes,
            disk_free_bytes - coming_bytes - missing_bytes - sealing.disk_bytes,
        ),
        free_atto=free_atto - to_lock_atto,
        sectors_free=answering.sectors_free(sealing.proof_type, answers_seconds),
        fetches_open=sum(not promise.is_received for promise in promises),
        fetches_open_max=fetches_open_max,
        has_blocks_on_disk=has_blocks_on_disk,
    )


def decide(
    proposal: DealProposal,
    *,
    ask: Ask,
    policy: Policy,
    head_epoch: Epoch,
    capacity: Capacity,
    client_free_atto: int,
) -> Objection | None:
    """Return why not to accept, None to accept. The first objection in a fixed order counts.

    client_free_atto:  of the client's account; without the price there, promises would be free
                       to ask for, and would fill the places of those who pay
    """
    rule = policy.sector_rule(ask.proof_type)
    if rule is None:
        return Objection(
            RejectCode.PROOF_TYPE, f"the network does not take {ask.proof_type} sectors"
        )
    return (
        _object_to_piece(proposal, ask)
        or _object_to_time(proposal, ask, policy, rule, head_epoch)
        or _object_to_money(proposal, ask, policy)
        or _object_for_lack(proposal, ask, capacity, client_free_atto)
    )


def _object_to_piece(proposal: DealProposal, ask: Ask) -> Objection | None:
    size_bytes = proposal.piece_size_bytes
    if size_bytes < ask.piece_size_bytes_min:
        reason = f"{size_bytes} bytes; pieces start at {ask.piece_size_bytes_min}"
        return Objection(RejectCode.PIECE_TOO_SMALL, reason)
    sector_size_bytes = parameters_of(ask.proof_type).sector_size_bytes
    size_bytes_max = min(ask.piece_size_bytes_max, sector_size_bytes)
    if size_bytes > size_bytes_max:
        reason = f"{size_bytes} bytes; pieces end at {size_bytes_max}"
        return Objection(RejectCode.PIECE_TOO_LARGE, reason)
    try:
        piece_commitment(proposal)
    except MalformedBytes as error:
        return Objection(RejectCode.PIECE_CID, str(error))
    return None


def _object_to_time(
    proposal: DealProposal, ask: Ask, policy: Policy, rule: SectorRule, head_epoch: Epoch
) -> Objection | None:
    duration_epochs = proposal.duration_epochs
    period_epochs = policy.proving_period_epochs
    shortest = policy.deal_periods_min * period_epochs
    longest = min(policy.deal_periods_max * period_epochs, ask.duration_epochs_max)
    if not shortest <= duration_epochs <= longest:
        reason = f"{duration_epochs} epochs; deals last {shortest} to {longest}"
        return Objection(RejectCode.DURATION, reason)
    if ask.expires_epoch <= head_epoch:
        return Objection(RejectCode.EXPIRED, f"the ask expired at epoch {ask.expires_epoch}")
    if fetch_by_epoch(proposal, rule) < head_epoch + FETCH_EPOCHS_MIN:
        reason = (
            f"starting at epoch {proposal.start_epoch}, to be published by "
            f"{proposal.publish_by_epoch}, leaves no time to fetch and seal "
            f"({rule.sealing_epochs} epochs); it is {head_epoch}"
        )
        return Objection(RejectCode.START, reason)
    ahead_epochs = 2 * rule.sealing_epochs + START_AHEAD_PERIODS_MAX * period_epochs
    if proposal.start_epoch > head_epoch + ahead_epochs:
        reason = f"it starts over {ahead_epochs} epochs ahead"
        return Objection(RejectCode.START, reason)
    return None


def _object_to_money(proposal: DealProposal, ask: Ask, policy: Policy) -> Objection | None:
    asked_atto = ask.price_atto_per_epoch(proposal.piece_size_bytes)
    if proposal.price_atto_per_epoch < asked_atto:
        reason = f"{proposal.price_atto_per_epoch} atto an epoch; the ask is {asked_atto}"
        return Objection(RejectCode.PRICE_TOO_LOW, reason)
    offered_atto = proposal.retrieval_terms.price_atto_per_gib
    if offered_atto < ask.retrieval_price_atto_per_gib:
        reason = f"retrieval costs {ask.retrieval_price_atto_per_gib} atto a GiB"
        return Objection(RejectCode.PRICE_TOO_LOW, reason)
    least_atto = policy.collateral_atto(
        piece_size_bytes=proposal.piece_size_bytes,
        duration_epochs=proposal.duration_epochs,
        price_atto_per_epoch=proposal.price_atto_per_epoch,
    )
    most_atto = COLLATERAL_FACTOR_MAX * least_atto
    if not least_atto <= proposal.collateral_atto <= most_atto:
        reason = f"{proposal.collateral_atto} atto; {least_atto} to {most_atto} are locked"
        return Objection(RejectCode.COLLATERAL, reason)
    return None


def _object_for_lack(
    proposal: DealProposal, ask: Ask, capacity: Capacity, client_free_atto: int
) -> Objection | None:
    if client_free_atto < proposal.payment_atto:
        reason = f"{proposal.client} has {client_free_atto} atto free, the price is "
        return Objection(RejectCode.FUNDS, f"{reason}{proposal.payment_atto}")
    if capacity.fetches_open >= capacity.fetches_open_max:
        return Objection(RejectCode.BUSY, f"{capacity.fetches_open} pieces are still to come")
    if not capacity.sectors_free:
        reason = "the disk is too slow to answer for another sector in time"
        return Objection(RejectCode.BUSY, reason)
    needed_bytes = capacity.needed_bytes(proposal.piece_size_bytes, ask.proof_type)
    if capacity.free_bytes < needed_bytes:
        reason = f"{needed_bytes} bytes are needed, {max(0, capacity.free_bytes)} are free"
        return Objection(RejectCode.NO_SPACE, reason)
    if capacity.free_atto < proposal.collateral_atto:
        reason = f"the provider cannot lock {proposal.collateral_atto} atto now"
        return Objection(RejectCode.COLLATERAL, reason)
    return None
