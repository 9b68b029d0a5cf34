"""Proofs: the one of replication, the one of every window, and what one costs that is missed."""

from collections import Counter
from collections.abc import Iterable, Sequence

from chain import accounts, batch, settlement
from chain.deadline import (
    close_of,
    declared_lately,
    give_way,
    is_final,
    last_declaration_epoch,
    next_opening,
    next_window,
)
from chain.deal import Deal, DealState
from chain.errors import AlreadyExists, NotAllowed, ProofInvalid, TooEarly, TooLate, WrongState
from chain.keys import Address
from chain.messages import DeclareFaults, ProveCommitSectors, SectorProof, SubmitWindowPost
from chain.policy import Policy
from chain.provider import Provider
from chain.providers import worked_by
from chain.sector import Sector, SectorState
from chain.sectors import terminate
from chain.statements import (
    challenged_epochs,
    replication_statement,
    seed_epoch,
    window_statement,
)
from chain.units import Epoch, SectorNumber
from chain.view import Draft, LedgerView, Transition


def prove_commit_sectors(view: LedgerView, sender: Address, body: ProveCommitSectors) -> Transition:
    """Take proofs of replication, each alone.

    Raises: `NotFound`, `NotAllowed`.
    """
    provider = worked_by(view, body.provider_id, sender)
    return batch.each(
        view,
        body.proofs,
        lambda over, item: prove_commit_sector(over, provider, item),
        name_of=lambda item: item.number,
        items_max=view.policy.prove_commit_batch_max,
    )


def prove_commit_sector(view: LedgerView, provider: Provider, item: SectorProof) -> Transition:
    """Activate a sector and its deals; the deposit comes back.

    The time from a deal's start to now was not proven: its price is the client's again.

    Raises: `NotFound`, `WrongState`, `TooEarly`, `ProofInvalid`.
    """
    sector = view.sector(provider.id, item.number)
    if sector.state is not SectorState.PRECOMMITTED:
        raise WrongState(
            f"sector {sector.number}", state=sector.state, needed=SectorState.PRECOMMITTED
        )
    seeded_at = seed_epoch(view.policy, sector)
    if seeded_at >= view.epoch:
        raise TooEarly(f"the challenges of sector {sector.number} are drawn at {seeded_at}")
    statement = replication_statement(
        chain_id=view.chain_id,
        sector=sector,
        deals=view.deals_of(sector),
        ticket_beacon=view.beacon(sector.ticket_epoch),
        seed_beacon=view.beacon(seeded_at),
    )
    if not view.verdict(statement, item.proof_cid):
        raise ProofInvalid(f"sector {sector.number} was not proven to be replicated")
    draft = Draft(view)
    accounts.unlock(draft, provider.owner, sector.deposit_atto)
    first_start = min(deal.proposal.start_epoch for deal in draft.deals_of(sector))
    for deal in draft.deals_of(sector):
        activated = settlement.refund_until(draft, deal, max(deal.settled_until_epoch, view.epoch))
        draft.put(activated.evolve(state=DealState.ACTIVE))
    active = sector.evolve(
        state=SectorState.ACTIVE,
        deposit_atto=0,
        deadline_index=quietest_deadline(
            view.policy, view.sectors_of(provider.id), after_epoch=max(view.epoch, first_start)
        ),
    )
    draft.put(_with_next_window(draft, active, after_epoch=view.epoch))
    return draft.transition()


def quietest_deadline(policy: Policy, sectors: Iterable[Sector], *, after_epoch: Epoch) -> int:
    """Return the deadline with the fewest live sectors; of equals, the one that opens soonest.

    after_epoch:  when there is something to be paid for: a window before that earns nothing
    """
    taken = Counter(sector.deadline_index for sector in sectors if sector.state.is_live)
    return min(
        range(policy.deadlines_per_period),
        key=lambda index: (taken[index], next_opening(policy, index, after_epoch=after_epoch)),
    )


def submit_window_post(view: LedgerView, sender: Address, body: SubmitWindowPost) -> Transition:
    """Take the answers to one window's challenges, each sector alone.

    Raises: `NotFound`, `NotAllowed`.
    """
    provider = worked_by(view, body.provider_id, sender)
    return batch.each(
        view,
        body.proofs,
        lambda over, item: prove_window(over, provider, body.window_epoch, item),
        name_of=lambda item: item.number,
        items_max=view.policy.window_proofs_batch_max,
    )


def prove_window(
    view: LedgerView, provider: Provider, window_epoch: Epoch, item: SectorProof
) -> Transition:
    """Pay a sector's deals up to the window that it answered; a faulty sector is well again.

    An invalid proof changes nothing: a better one may follow while the window is open.

    Raises: `NotFound`, `WrongState`, `TooEarly`, `TooLate`, `ProofInvalid`.
    """
    sector = view.sector(provider.id, item.number)
    _check_is_next(sector, window_epoch)
    if window_epoch >= view.epoch:
        raise TooEarly(f"the challenges of the window of {window_epoch} are not drawn yet")
    deals = view.deals_of(sector)
    statement = window_statement(
        chain_id=view.chain_id,
        policy=view.policy,
        sector=sector,
        deals=deals,
        beacons={epoch: view.beacon(epoch) for epoch in challenged_epochs(view.policy, sector)},
    )
    if not view.verdict(statement, item.proof_cid):
        raise ProofInvalid(f"sector {sector.number} was not proven to be there")
    draft = Draft(view)
    for deal in _unsettled(deals):
        paid = settlement.pay_until(draft, deal, _settles_until(view.policy, sector, deal))
        draft.put(paid.evolve(state=DealState.ACTIVE, windows_proven=deal.windows_proven + 1))
    well = sector.evolve(state=SectorState.ACTIVE, missed=())
    draft.put(_with_next_window(draft, well, after_epoch=_last_response(sector)))
    return draft.transition()


def _check_is_next(sector: Sector, window_epoch: Epoch) -> None:
    if not sector.state.is_live or sector.window_epoch is None:
        raise WrongState(f"sector {sector.number}", state=sector.state, needed="a window to answer")
    if window_epoch < sector.window_epoch:
        raise TooLate(f"the window of {window_epoch} is closed; {sector.window_epoch} is next")
    if window_epoch > sector.window_epoch:
        raise TooEarly(f"the window of {sector.window_epoch} comes before that of {window_epoch}")


def declare_faults(view: LedgerView, sender: Address, body: DeclareFaults) -> Transition:
    """Take the provider's word that sectors will miss a window, each alone.

    Raises: `NotFound`, `NotAllowed`.
    """
    provider = worked_by(view, body.provider_id, sender)
    return batch.each(
        view,
        body.numbers,
        lambda over, number: declare_fault(over, provider, body.window_epoch, number),
        name_of=lambda number: number,
        items_max=view.policy.declared_faults_batch_max,
    )


def declare_fault(
    view: LedgerView, provider: Provider, window_epoch: Epoch, number: SectorNumber
) -> Transition:
    """Make a sector faulty now, so that missing its next window costs no fee.

    No money moves: a valid proof in that window makes the sector well and is paid like any other.

    Raises: `NotFound`, `WrongState`, `TooEarly`, `TooLate`, `AlreadyExists`, `NotAllowed`.
    """
    policy, sector = view.policy, view.sector(provider.id, number)
    _check_is_next(sector, window_epoch)
    last_epoch = last_declaration_epoch(policy, window_epoch)
    if view.epoch > last_epoch:
        raise TooLate(f"faults in the window of {window_epoch} were declared until {last_epoch}")
    if sector.is_declared:
        raise AlreadyExists(f"the fault of sector {number} in the window of", window_epoch)
    lately = declared_lately(policy, sector)
    if len(lately) >= policy.declared_faults_max:
        raise NotAllowed(f"sector {number} was declared faulty for {lately} already")
    draft = Draft(view)
    for deal in _unsettled(draft.deals_of(sector)):
        draft.put(deal.evolve(state=DealState.FAULTY))
    draft.put(sector.evolve(state=SectorState.FAULTY, declared=(*lately, window_epoch)))
    return draft.transition()


def miss_window(draft: Draft, sector: Sector) -> None:
    """Settle a window that nobody answered: unpaid, and a fee unless declared or forgiven.

    The fee is in proportion to what goes unpaid: windows that others' deals end with, close
    together, cost no more than one. Missed for too many periods in a row, the sector is given up.
    """
    policy, window_epoch = draft.policy, sector.window_epoch
    assert window_epoch is not None, "only a sector with a window misses one"
    deals = _unsettled(draft.deals_of(sector))
    is_forgiven = not sector.is_declared and _is_forgiven(policy, sector, window_epoch)
    fee_times = 0 if sector.is_declared or is_forgiven else policy.fault_fee_periods
    for deal in deals:
        missed = settlement.refund_until(draft, deal, _settles_until(policy, sector, deal))
        unpaid_atto = missed.refunded_atto - deal.refunded_atto
        missed = settlement.compensate(draft, missed, fee_times * unpaid_atto)
        draft.put(missed.evolve(state=DealState.FAULTY, windows_missed=deal.windows_missed + 1))
    faulty = sector.evolve(
        state=SectorState.FAULTY,
        missed=(*sector.missed, window_epoch),
        forgiven_epoch=window_epoch if is_forgiven else sector.forgiven_epoch,
    )
    longest_epochs = max(deal.proposal.duration_epochs for deal in deals)
    if _missed_periods(policy, faulty) > policy.fault_periods_allowed(longest_epochs):
        terminate(draft, faulty)
    else:
        draft.put(_with_next_window(draft, faulty, after_epoch=_last_response(sector)))


def _missed_periods(policy: Policy, sector: Sector) -> int:
    return 1 + (sector.missed[-1] - sector.missed[0]) // policy.proving_period_epochs


def _is_forgiven(policy: Policy, sector: Sector, window_epoch: Epoch) -> bool:
    if sector.missed:
        return False
    since_epochs = policy.forgiven_miss_periods * policy.proving_period_epochs
    forgiven_epoch = sector.forgiven_epoch
    return forgiven_epoch is None or window_epoch - forgiven_epoch >= since_epochs


def reopen_window(draft: Draft, sector: Sector) -> None:
    """Draw a window anew that was open when the ledger halted; what was declared of it stays.

    So nobody gains time to seal again, and nobody is punished for the ledger's trouble.
    """
    if sector.window_epoch is None or sector.window_epoch >= draft.epoch:
        return
    unsettled = _unsettled(draft.deals_of(sector))
    reopened = give_way(
        draft.policy,
        sector.proof_type,
        draft.epoch,
        after_epoch=draft.epoch,
        proposals=[deal.proposal for deal in unsettled],
    )
    declared = tuple(
        reopened if epoch == sector.window_epoch else epoch for epoch in sector.declared
    )
    draft.put(_with_window(draft.policy, sector.evolve(declared=declared), reopened))


def _unsettled(deals: Iterable[Deal]) -> Sequence[Deal]:
    return [deal for deal in deals if not deal.is_settled]


def _settles_until(policy: Policy, sector: Sector, deal: Deal) -> Epoch:
    """Return up to where the sector's window settles a deal: paid if proven, else refunded."""
    assert sector.window_epoch is not None, "only a window settles"
    if is_final(policy, sector.proof_type, sector.window_epoch, deal.proposal):
        return deal.proposal.end_epoch
    return max(deal.settled_until_epoch, sector.window_epoch)


def _last_response(sector: Sector) -> Epoch:
    assert sector.close_epoch is not None, "a window closes"
    return Epoch(sector.close_epoch - 1)


def _with_next_window(draft: Draft, sector: Sector, *, after_epoch: Epoch) -> Sector:
    """Return the sector with its next window, or without one if all of its deals are settled."""
    assert sector.deadline_index is not None, "a proven sector has its deadline"
    unsettled = _unsettled(draft.deals_of(sector))
    if not unsettled:
        return sector.evolve(window_epoch=None, close_epoch=None)
    window_epoch = next_window(
        draft.policy,
        sector.proof_type,
        deadline_index=sector.deadline_index,
        after_epoch=after_epoch,
        proposals=[deal.proposal for deal in unsettled],
    )
    return _with_window(draft.policy, sector, window_epoch)


def _with_window(policy: Policy, sector: Sector, window_epoch: Epoch) -> Sector:
    close_epoch = close_of(policy, sector.proof_type, window_epoch)
    return sector.evolve(window_epoch=window_epoch, close_epoch=close_epoch)
