"""What a provider should be doing now: facts → duties, most urgent first.

Nothing here reacts to events; an event only changes a fact. Every open promise and every sector
has a duty, or waits for something named until an epoch named: nothing waits for ever.

    promise  escrow → FetchPiece → Publish → Assign → its sector's → DropPromise
    sector   Seal → PreCommit → ProveCommit → Trim, AnswerWindow … → ClearSector
    damage   Scrub … → DeclareDamage, Mend
"""

from collections.abc import Iterable, Iterator

from chain.deadline import declared_lately, last_declaration_epoch, open_windows
from chain.deal import DealProposal, DealState
from chain.policy import Policy
from chain.sector import Sector, SectorState
from chain.statements import seed_epoch
from chain.units import Epoch, SectorNumber
from provider.admission import last_publish_epoch
from provider.duties import (
    AnswerWindow,
    Assign,
    ClearSector,
    DeclareDamage,
    DropPromise,
    Duty,
    FetchPiece,
    Mend,
    OfferAsk,
    PreCommit,
    ProveCommit,
    Publish,
    Scrub,
    Seal,
    Trim,
    Wait,
)
from provider.facts import Facts
from provider.offer import is_offered
from provider.packing import LoosePiece, due_epoch, pack
from provider.promise import Promise, SectorPlan


def agenda(facts: Facts) -> tuple[Duty, ...]:
    """Return everything that should be under way now, most urgent first."""
    duties: list[Duty] = [*_window_duties(facts), *_declarations(facts), *_assignments(facts)]
    steps = [promise_step(promise, facts) for promise in facts.promises]
    steps += [plan_step(plan, facts) for plan in facts.plans]
    duties += [step for step in steps if not isinstance(step, Wait)]
    duties += _upkeep(facts)
    if not is_offered(facts.posted_ask, facts.offer, head_epoch=facts.head_epoch):
        duties.append(OfferAsk(facts.head_epoch, facts.offer))
    return tuple(sorted(duties, key=lambda duty: (duty.urgency, duty.due_epoch, repr(duty))))


def promise_step(promise: Promise, facts: Facts) -> Duty | Wait:
    """Return what one open promise needs now."""
    deal = facts.deals.get(promise.proposal_cid)
    if deal is None:
        return _unpublished_step(promise, facts)
    if deal.state is DealState.PUBLISHED:
        if (number := facts.planned.get(promise.proposal_cid)) is not None:
            sector = facts.sectors.get(number)
            last_epoch = sector.prove_by_epoch if sector else deal.proposal.start_epoch
            return Wait(f"sector {number} to be proven", Epoch(last_epoch + 1))
        return Wait("company in a sector", Epoch(deal.proposal.start_epoch + 1))
    if deal.state.is_live:
        return Wait("the end of the deal", deal.proposal.end_epoch)
    return DropPromise(facts.head_epoch, (promise.proposal_cid,), f"the deal is {deal.state}")


def plan_step(plan: SectorPlan, facts: Facts) -> Duty | Wait:
    """Return what one planned or sealed sector needs now, its windows aside."""
    sector = facts.sectors.get(plan.number)
    if sector is None:
        return _uncommitted_step(plan, facts)
    if sector.state is SectorState.PRECOMMITTED:
        challenge_epoch = seed_epoch(facts.policy, sector)
        if facts.head_epoch < challenge_epoch:
            return Wait("its challenge", challenge_epoch)
        if facts.head_epoch < sector.prove_by_epoch:
            return ProveCommit(sector.prove_by_epoch, plan.number)
        return Wait("the ledger to give it up", Epoch(sector.prove_by_epoch + 1))
    if sector.state.is_live:
        return _wait_for_window(sector, plan, facts)
    return ClearSector(facts.head_epoch, plan.number)


def _wait_for_window(sector: Sector, plan: SectorPlan, facts: Facts) -> Wait:
    if sector.window_epoch is None or sector.close_epoch is None:
        # Each of its deals is settled to its end already, and ends there.
        deals = [facts.deals[cid] for cid in plan.proposal_cids if cid in facts.deals]
        last_epoch = max((deal.proposal.end_epoch for deal in deals), default=facts.head_epoch)
        return Wait("its deals to end", Epoch(last_epoch + 1))
    is_open = sector.window_epoch <= facts.head_epoch
    return Wait("its window", sector.close_epoch if is_open else sector.window_epoch)


def _unpublished_step(promise: Promise, facts: Facts) -> Duty | Wait:
    cids = (promise.proposal_cid,)
    rule = facts.rule(facts.proof_type)
    publish_by_epoch = last_publish_epoch(promise.proposal, rule)
    if facts.head_epoch > publish_by_epoch:
        return DropPromise(facts.head_epoch, cids, "not published in time")
    is_reserved = promise.proposal_cid in facts.reserved
    if promise.is_received:
        if is_reserved:
            return Publish(publish_by_epoch, cids)
        return DropPromise(facts.head_epoch, cids, "the client took its money back")
    last_fetch_epoch = promise.acceptance.fetch_by_epoch
    if facts.head_epoch > last_fetch_epoch:
        lacking = "blocks" if is_reserved else "money"
        return DropPromise(facts.head_epoch, cids, f"the {lacking} did not come in time")
    if is_reserved:
        return FetchPiece(last_fetch_epoch, cids)
    return Wait("the client's money to be set aside", Epoch(last_fetch_epoch + 1))


def _uncommitted_step(plan: SectorPlan, facts: Facts) -> Duty:
    deals = [facts.deals.get(cid) for cid in plan.proposal_cids]
    published = [deal for deal in deals if deal and deal.state is DealState.PUBLISHED]
    start_epoch = min((deal.proposal.start_epoch for deal in published), default=facts.head_epoch)
    if len(published) < len(deals) or start_epoch <= facts.head_epoch:
        return ClearSector(facts.head_epoch, plan.number)
    if plan.sealed is None or not is_ticket_fresh(plan, facts.policy, facts.head_epoch):
        return Seal(start_epoch, plan.number)
    return PreCommit(start_epoch, plan.number)


def is_ticket_fresh(plan: SectorPlan, policy: Policy, head_epoch: Epoch) -> bool:
    """Whether the ledger would still take this sector's ticket in the next block."""
    return (
        plan.ticket_epoch is not None
        and head_epoch + 1 - plan.ticket_epoch <= policy.ticket_age_max_epochs
    )


def _window_duties(facts: Facts) -> Iterator[AnswerWindow]:
    due: dict[tuple[Epoch, Epoch], list[SectorNumber]] = {}
    for sector in open_windows(facts.sectors.values(), head_epoch=facts.head_epoch):
        if sector.is_declared and sector.number in facts.damaged:
            # An answer that happens not to touch the damage would call the sector well.
            continue
        assert sector.close_epoch is not None, "an open window closes"
        assert sector.window_epoch is not None, "an open window was opened"
        last_epoch = Epoch(sector.close_epoch - 1)
        due.setdefault((last_epoch, sector.window_epoch), []).append(sector.number)
    batch = facts.policy.window_proofs_batch_max
    for (last_epoch, window_epoch), numbers in due.items():
        for start in range(0, len(numbers), batch):
            yield AnswerWindow(last_epoch, window_epoch, tuple(numbers[start : start + batch]))


def _declarations(facts: Facts) -> Iterator[DeclareDamage]:
    due: dict[Epoch, list[SectorNumber]] = {}
    for sector in facts.sectors.values():
        if sector.number in facts.damaged and _may_declare(sector, facts):
            assert sector.window_epoch is not None, "only a window is declared"
            due.setdefault(sector.window_epoch, []).append(sector.number)
    batch = facts.policy.declared_faults_batch_max
    for window_epoch, numbers in due.items():
        last_epoch = last_declaration_epoch(facts.policy, window_epoch)
        for start in range(0, len(numbers), batch):
            yield DeclareDamage(last_epoch, window_epoch, tuple(numbers[start : start + batch]))


def _may_declare(sector: Sector, facts: Facts) -> bool:
    """Whether the next block would take it."""
    policy = facts.policy
    return (
        sector.window_epoch is not None
        and not sector.is_declared
        and facts.head_epoch < last_declaration_epoch(policy, sector.window_epoch)
        and len(declared_lately(policy, sector)) < policy.declared_faults_max
    )


def _assignments(facts: Facts) -> Iterator[Assign]:
    for pieces in pack(_loose_pieces(facts), facts.packing):
        if due_epoch(pieces, facts.packing) <= facts.head_epoch:
            seal_by_epoch = min(piece.seal_by_epoch for piece in pieces)
            yield Assign(seal_by_epoch, tuple(piece.proposal_cid for piece in pieces))


def _loose_pieces(facts: Facts) -> Iterable[LoosePiece]:
    for promise in facts.promises:
        deal = facts.deals.get(promise.proposal_cid)
        if deal is None or promise.proposal_cid in facts.planned:
            continue
        is_in_time = deal.proposal.start_epoch > facts.head_epoch
        if is_in_time and deal.state is DealState.PUBLISHED:
            yield LoosePiece(
                proposal_cid=promise.proposal_cid,
                piece_size_bytes=promise.proposal.piece_size_bytes,
                published_epoch=deal.published_epoch,
                seal_by_epoch=_seal_by_epoch(deal.proposal, facts),
            )


def _seal_by_epoch(proposal: DealProposal, facts: Facts) -> Epoch:
    return Epoch(max(0, proposal.start_epoch - facts.rule(facts.proof_type).sealing_epochs))


def _upkeep(facts: Facts) -> Iterator[Trim | Mend | Scrub]:
    for plan in facts.plans:
        sector = facts.sectors.get(plan.number)
        if sector is None or not sector.state.is_live:
            continue
        if not plan.is_trimmed:
            yield Trim(facts.head_epoch, plan.number)
        if plan.number in facts.damaged:
            yield Mend(sector.window_epoch or facts.head_epoch, plan.number)
        due_epoch = facts.head_epoch
        if plan.scrubbed_epoch is not None:
            due_epoch = Epoch(plan.scrubbed_epoch + facts.scrub_interval_epochs)
        if due_epoch <= facts.head_epoch:
            yield Scrub(due_epoch, plan.number)
