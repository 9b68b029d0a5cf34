"""What is true of every state between two blocks, as one readable list."""

from collections import Counter
from collections.abc import Iterator

from chain.account import Account
from chain.deadline import close_of
from chain.deal import Deal, DealState, Reservation, UsedProposal
from chain.keys import Address
from chain.sector import Sector, SectorState
from chain.view import LedgerView


def violations(view: LedgerView) -> Iterator[str]:
    """Yield what is broken, as sentences; reads the whole state.

    Run after every block in tests, and by `holdfast ledger audit`.
    """
    yield from _money(view)
    yield from _names(view)
    for entity in view.scan(""):
        if isinstance(entity, Deal):
            yield from (f"deal {entity.id}: {broken}" for broken in _deal(view, entity))
        elif isinstance(entity, Sector):
            name = f"sector {entity.provider_id}/{entity.number}"
            yield from (f"{name}: {broken}" for broken in _sector(view, entity))


def _money(view: LedgerView) -> Iterator[str]:
    locked: Counter[Address] = Counter()
    owed: Counter[Address] = Counter()
    total_atto = 0
    for entity in view.scan(""):
        match entity:
            case Account():
                total_atto += entity.balance_atto
                locked[entity.address] = entity.locked_atto
            case Reservation(proposal=proposal):
                owed[proposal.client] += proposal.payment_atto
            case Deal(proposal=proposal):
                owed[proposal.client] += entity.unsettled_atto
                owed[view.provider(proposal.provider_id).owner] += entity.collateral_atto
            case Sector():
                owed[view.provider(entity.provider_id).owner] += entity.deposit_atto
            case _:
                pass
    minted_atto = view.counters().minted_atto
    if total_atto != minted_atto:
        yield f"money is conserved: {total_atto} atto in accounts, {minted_atto} minted"
    for address in locked.keys() | owed.keys():
        if locked[address] != owed[address]:
            yield f"{address} locks {locked[address]} atto, its promises need {owed[address]}"


def _names(view: LedgerView) -> Iterator[str]:
    counters = view.counters()
    for entity in view.scan(""):
        match entity:
            case Deal() if view.deal_of(entity.proposal.cid) != entity:
                yield f"deal {entity.id} is not found by its proposal"
            case Deal() if entity.id >= counters.next_deal_id:
                yield f"deal {entity.id} has a number that was not given out"
            case Reservation() if not _is_reserved_once(view, entity):
                yield f"reservation {entity.proposal.cid} is of no used proposal, or of a deal"
            case _:
                pass
    for provider in view.providers():
        if provider.id >= counters.next_provider_id:
            yield f"provider {provider.id} has a number that was not given out"


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
    holders = [
        sector
        for sector in view.sectors_of(proposal.provider_id)
        if deal.id in sector.deal_ids and sector.number == deal.sector_number
    ]
    if len(holders) != (deal.sector_number is not None):
        yield f"it is in {len(holders)} sectors"
    for sector in holders:
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
    if bool(sector.missed) != (sector.state is SectorState.FAULTY):
        yield f"it is {sector.state} after {len(sector.missed)} missed windows"
