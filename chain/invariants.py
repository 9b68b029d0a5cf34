"""What is true of every state between two blocks, as one readable list."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from chain.account import Account
from chain.deadline import close_of
from chain.deal import Deal, DealState, Reservation, UsedProposal
from chain.keys import Address
from chain.provider import Provider
from chain.sector import Sector, SectorState, sector_key
from chain.view import Counters, Draft, Entity, LedgerView, Transition


def violations(view: LedgerView) -> Iterator[str]:
    """Yield what is broken, as sentences; reads the whole state.

    Run after every block in tests, and over the last state by `holdfast ledger audit`.
    """
    entities, counters = tuple(view.scan("")), view.counters()
    yield from _unbalanced(_Books.of(view, entities))
    for entity in entities:
        yield from _broken(view, entity, counters)


def violations_of(view: LedgerView, transition: Transition) -> Iterator[str]:
    """Yield what a transition would break of a sound state; reads only what it touches.

    A node runs it before it commits a block, an audit for each one. What it touches are the
    entities that it writes or removes, and the deals and sectors that these are tied to.
    """
    after = Draft(view)
    after.write(transition)
    keys = dict.fromkeys([*(entity.key for entity in transition.writes), *transition.removes])
    replaced = [entity for key in keys if (entity := view.get(key)) is not None]
    changes = _Books.of(after, transition.writes)
    changes.subtract(_Books.of(view, replaced))
    yield from _unbalanced(changes)
    counters, before = after.counters(), view.counters()
    if counters.next_deal_id < before.next_deal_id:
        yield "numbers of deals would be given out again"
    if counters.next_provider_id < before.next_provider_id:
        yield "numbers of providers would be given out again"
    touched = {entity.key: entity for entity in transition.writes}
    for entity in (*replaced, *transition.writes):
        touched.update((tied.key, tied) for tied in _tied_to(after, entity))
    for entity in touched.values():
        yield from _broken(after, entity, counters)


@dataclass(frozen=True, slots=True)
class _Books:
    """Sums over entities: what there is and was minted, what is locked, and what is promised."""

    total_atto: Counter[str]
    locked: Counter[Address]
    owed: Counter[Address]

    @classmethod
    def of(cls, view: LedgerView, entities: Iterable[Entity]) -> "_Books":
        books = cls(Counter(), Counter(), Counter())
        for entity in entities:
            books._enter(view, entity)
        return books

    def subtract(self, others: "_Books") -> None:
        self.total_atto.subtract(others.total_atto)
        self.locked.subtract(others.locked)
        self.owed.subtract(others.owed)

    def _enter(self, view: LedgerView, entity: Entity) -> None:
        match entity:
            case Account():
                self.total_atto["in accounts"] += entity.balance_atto
                self.locked[entity.address] += entity.locked_atto
            case Counters():
                self.total_atto["minted"] += entity.minted_atto
            case Reservation(proposal=proposal):
                self.owed[proposal.client] += proposal.payment_atto
            case Deal(proposal=proposal):
                self.owed[proposal.client] += entity.unsettled_atto
                self.owed[view.provider(proposal.provider_id).owner] += entity.collateral_atto
            case Sector():
                self.owed[view.provider(entity.provider_id).owner] += entity.deposit_atto
            case Provider() | UsedProposal():
                pass
            case _:
                assert_never(entity)


def _unbalanced(books: _Books) -> Iterator[str]:
    total_atto, minted_atto = books.total_atto["in accounts"], books.total_atto["minted"]
    if total_atto != minted_atto:
        yield f"money is conserved: {total_atto} atto in accounts, {minted_atto} minted"
    for address in books.locked.keys() | books.owed.keys():
        locked_atto, owed_atto = books.locked[address], books.owed[address]
        if locked_atto != owed_atto:
            yield f"{address} locks {locked_atto} atto, its promises need {owed_atto}"


def _tied_to(view: LedgerView, entity: Entity) -> Iterator[Entity]:
    keys: tuple[str, ...] = ()
    match entity:
        case Deal(proposal=proposal) if entity.sector_number is not None:
            keys = (sector_key(proposal.provider_id, entity.sector_number),)
        case Sector():
            keys = tuple(f"deal/{deal_id:016d}" for deal_id in entity.deal_ids)
        case UsedProposal(deal_id=None):
            keys = (f"reservation/{entity.proposal_cid}",)
        case UsedProposal(deal_id=deal_id):
            keys = (f"deal/{deal_id:016d}",)
        case _:
            pass
    return (tied for key in keys if (tied := view.get(key)) is not None)


def _broken(view: LedgerView, entity: Entity, counters: Counters) -> Iterator[str]:
    match entity:
        case Deal():
            if view.deal_of(entity.proposal.cid) != entity:
                yield f"deal {entity.id} is not found by its proposal"
            if entity.id >= counters.next_deal_id:
                yield f"deal {entity.id} has a number that was not given out"
            yield from (f"deal {entity.id}: {broken}" for broken in _deal(view, entity))
        case Sector():
            name = f"sector {entity.provider_id}/{entity.number}"
            yield from (f"{name}: {broken}" for broken in _sector(view, entity))
        case Reservation() if not _is_reserved_once(view, entity):
            yield f"reservation {entity.proposal.cid} is of no used proposal, or of a deal"
        case Provider() if entity.id >= counters.next_provider_id:
            yield f"provider {entity.id} has a number that was not given out"
        case _:
            pass


def _is_reserved_once(view: LedgerView, reservation: Reservation) -> bool:
    used = view.get(f"proposal/{reservation.proposal.cid}")
    return isinstance(used, UsedProposal) and used.deal_id is None


def _deal(view: LedgerView, deal: Deal) -> Iterator[str]:
    proposal = deal.proposal
    accounted_atto = deal.paid_atto + deal.refunded_atto + deal.unsettled_atto
    if accounted_atto != proposal.payment_atto:
        yield f"{accounted_atto} atto are accounted for, the price is {proposal.payment_atto}"
    if not deal.state.is_live and (deal.collateral_atto or not deal.is_settled):
        yield f"it is {deal.state}, but its money is not settled"
    if deal.sector_number is None:
        return
    sector = view.get(sector_key(proposal.provider_id, deal.sector_number))
    if not isinstance(sector, Sector) or deal.id not in sector.deal_ids:
        yield f"it is not in sector {deal.sector_number}"
        return
    is_under_proof = deal.state in (DealState.ACTIVE, DealState.FAULTY)
    if is_under_proof != (sector.state.is_live and deal.state.is_live):
        yield f"it is {deal.state} in a sector that is {sector.state}"


def _sector(view: LedgerView, sector: Sector) -> Iterator[str]:
    deals = view.deals_of(sector)
    if any(deal.sector_number != sector.number for deal in deals):
        yield "it holds a deal that is elsewhere"
    if (sector.deposit_atto > 0) != (sector.state is SectorState.PRECOMMITTED):
        yield f"it is {sector.state} with a deposit of {sector.deposit_atto} atto"
    if not sector.state.is_live:
        if sector.window_epoch is not None or sector.close_epoch is not None:
            yield f"it is {sector.state}, but has a window"
        return
    if sector.deadline_index not in range(view.policy.deadlines_per_period):
        yield f"it is in no deadline: {sector.deadline_index}"
    if (sector.window_epoch is None) != all(deal.is_settled for deal in deals):
        yield "it has a window exactly while a deal of it is not settled"
    if sector.window_epoch is not None:
        close_epoch = close_of(view.policy, sector.proof_type, sector.window_epoch)
        if sector.close_epoch != close_epoch or close_epoch <= view.epoch:
            yield f"its window of {sector.window_epoch} should have closed at {close_epoch}"
    if (bool(sector.missed) or sector.is_declared) != (sector.state is SectorState.FAULTY):
        yield f"it is {sector.state} after {len(sector.missed)} missed windows"
    if len(sector.declared) > view.policy.declared_faults_max:
        yield f"its windows of {sector.declared} were all declared faulty"
