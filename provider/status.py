"""How promises, deals and sectors stand, for clients and for the operator."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Self

from pydantic import Field

from chain.deal import Deal, DealState
from chain.provider import Ask
from chain.sector import Sector
from chain.units import Atto, Epoch, ProviderId, SectorNumber
from ipfs.cid import CID
from ipfs.record import Record
from market.messages import ByteCount, Progress, Status
from proofs.hashing import NODE_BYTES
from provider.agenda import plan_step, promise_step
from provider.duties import Duty, Wait
from provider.facts import Facts
from provider.promise import Promise, SectorPlan
from provider.sealing import SealingProgress

Count = Annotated[int, Field(ge=0, le=2**53)]


class Step(Record):
    """What comes next: a duty that is due, or what is waited for and until when."""

    what: str
    until_epoch: Epoch


class DealStatus(Record):
    """One promise, and the deal it became."""

    status: Status
    root_cid: CID
    piece_size_bytes: ByteCount
    deal: Deal | None
    next: Step | None


class SectorStatus(Record):
    """One sector: what we gave its number to, and how the ledger has it."""

    plan: SectorPlan
    sector: Sector | None
    stage: str = ""
    """Of the sealing, while that is under way."""

    done_bytes: ByteCount = 0
    total_bytes: ByteCount = 0
    bytes_per_second: ByteCount = 0
    seconds_left: ByteCount | None = None
    """Of the stage."""

    next: Step


class Earnings(Record):
    """What deals have brought the owner, and what they hold; over all deals, ended ones too."""

    paid_atto: Atto
    """For proven time."""

    ahead_atto: Atto
    """What clients have set aside for time that is not settled yet."""

    collateral_atto: Atto
    """The owner's own money that deals hold now."""

    lost_atto: Atto
    """What clients were compensated with."""

    @classmethod
    def of(cls, deals: Iterable[Deal]) -> Self:
        """Return the sums over a provider's deals."""
        every = tuple(deals)
        return cls(
            paid_atto=Atto(sum(deal.paid_atto for deal in every)),
            ahead_atto=Atto(sum(deal.unsettled_atto for deal in every)),
            collateral_atto=Atto(sum(deal.collateral_atto for deal in every)),
            lost_atto=Atto(sum(deal.compensation_atto for deal in every)),
        )


class ProviderStatus(Record):
    """The provider as a whole.

    head_milliseconds:               what the head says the time is, since 1970
    windows_proven, windows_missed:  over all deals, as the ledger counts them
    under_way:                       duties that are being done now
    troubles:                        what failed last, of duties that are still due; what the last
                                     scrub found
    """

    provider_id: ProviderId
    peer_id: str
    addresses: tuple[str, ...]
    head_epoch: Epoch
    head_milliseconds: Count
    epoch_seconds: Count
    ask: Ask
    deals: dict[str, int] = Field(default_factory=dict)
    sectors: dict[str, int] = Field(default_factory=dict)
    next_window_epoch: Epoch | None
    used_bytes: ByteCount
    free_bytes: ByteCount
    earnings: Earnings
    windows_proven: int
    windows_missed: int
    under_way: tuple[str, ...]
    troubles: tuple[str, ...]


def status_of(
    promise: Promise,
    facts: Facts,
    *,
    transfers: Mapping[CID, int],
    sealing: Mapping[SectorNumber, SealingProgress],
) -> Status:
    """Return how one promise stands, as its client is told."""
    cid = promise.proposal_cid
    total_bytes = promise.proposal.piece_size_bytes
    done_bytes, detail = 0, ""
    if promise.closed_because is not None:
        progress, detail = Progress.DROPPED, promise.closed_because
    elif (deal := facts.deals.get(cid)) is None:
        progress = _before_publication(promise, facts)
        done_bytes = total_bytes if promise.is_received else transfers.get(cid, 0)
    elif deal.state is not DealState.PUBLISHED:
        progress, done_bytes = Progress.PROVEN, total_bytes
        detail = f"the deal is {deal.state}"
    else:
        progress, under_way = _before_proof(cid, facts, sealing)
        if under_way is not None:
            detail = under_way.stage
            done_bytes = under_way.done_nodes * NODE_BYTES
            total_bytes = under_way.total_nodes * NODE_BYTES
    return Status(
        proposal_cid=cid,
        progress=progress,
        done_bytes=done_bytes,
        total_bytes=total_bytes,
        acceptance=promise.acceptance,
        detail=detail,
    )


def deal_status(promise: Promise, status: Status, facts: Facts) -> DealStatus:
    """Return how one promise stands, as the operator is told."""
    return DealStatus(
        status=status,
        root_cid=promise.proposal.root_cid,
        piece_size_bytes=promise.proposal.piece_size_bytes,
        deal=facts.deals.get(promise.proposal_cid),
        next=_step(promise_step(promise, facts)) if promise.is_open else None,
    )


def sector_status(
    plan: SectorPlan, facts: Facts, sealing: Mapping[SectorNumber, SealingProgress]
) -> SectorStatus:
    """Return how one sector stands."""
    under_way = sealing.get(plan.number)
    return SectorStatus(
        plan=plan,
        sector=facts.sectors.get(plan.number),
        stage=under_way.stage if under_way else "",
        done_bytes=under_way.done_nodes * NODE_BYTES if under_way else 0,
        total_bytes=under_way.total_nodes * NODE_BYTES if under_way else 0,
        bytes_per_second=under_way.nodes_per_second * NODE_BYTES if under_way else 0,
        seconds_left=under_way.seconds_left if under_way else None,
        next=_step(plan_step(plan, facts)),
    )


def _before_publication(promise: Promise, facts: Facts) -> Progress:
    if promise.is_received:
        return Progress.RECEIVED
    is_reserved = promise.proposal_cid in facts.reserved
    return Progress.TRANSFERRING if is_reserved else Progress.AWAITS_ESCROW


def _before_proof(
    cid: CID, facts: Facts, sealing: Mapping[SectorNumber, SealingProgress]
) -> tuple[Progress, SealingProgress | None]:
    for plan in facts.plans:
        if cid in plan.proposal_cids:
            if plan.sealed is not None:
                return Progress.SEALED, None
            return Progress.SEALING, sealing.get(plan.number)
    return Progress.PUBLISHED, None


def _step(step: Duty | Wait) -> Step:
    if isinstance(step, Wait):
        return Step(what=step.what, until_epoch=step.until_epoch)
    return Step(what=type(step).__name__, until_epoch=step.due_epoch)
