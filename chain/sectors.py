"""Sectors from the commitment to a replica to their end."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from chain import accounts, batch, settlement
from chain.deadline import final_opening
from chain.deal import Deal, DealState
from chain.errors import AlreadyExists, NotAllowed, TooEarly, TooLate, WrongState
from chain.keys import Address
from chain.messages import PreCommitSectors, SectorPreCommit
from chain.provider import Provider
from chain.providers import worked_by
from chain.sector import Sector, SectorState
from chain.statements import data_commitment
from chain.units import Atto, Epoch
from chain.view import Draft, LedgerView, Transition
from proofs.piece import PiecesDontFit


def pre_commit_sectors(view: LedgerView, sender: Address, body: PreCommitSectors) -> Transition:
    """Commit to replicas before their challenges are known, each alone.

    Raises: `NotFound`, `NotAllowed`.
    """
    provider = worked_by(view, body.provider_id, sender)
    return batch.each(
        view,
        body.sectors,
        lambda over, item: pre_commit_sector(over, provider, item),
        name_of=lambda item: item.number,
        items_max=view.policy.precommit_batch_max,
    )


def pre_commit_sector(view: LedgerView, provider: Provider, item: SectorPreCommit) -> Transition:
    """Take a sector's commitments, and a deposit that it will be proven.

    Raises: `AlreadyExists`, `NotAllowed`, `TooEarly`, `TooLate`, `NotFound`, `WrongState`,
    `InsufficientFunds`.
    """
    policy = view.policy
    _check_ticket(view, item.ticket_epoch)
    if policy.sector_rule(item.proof_type) is None:
        raise NotAllowed(f"this network takes no {item.proof_type} sectors")
    deals = _free_deals(view, provider, item)
    try:
        comm_d = data_commitment(item.proof_type, [deal.proposal for deal in deals])
    except PiecesDontFit as error:
        raise NotAllowed(str(error)) from error
    if comm_d != item.comm_d:
        raise NotAllowed("CommD is not that of the deals' pieces in this order")
    period_price_atto = sum(deal.proposal.price_atto_per_epoch for deal in deals)
    sector = Sector(
        provider_id=provider.id,
        number=item.number,
        proof_type=item.proof_type,
        comm_d=comm_d,
        comm_r=item.comm_r,
        ticket_epoch=item.ticket_epoch,
        precommit_epoch=view.epoch,
        prove_by_epoch=_prove_by(view, item, deals),
        deposit_atto=Atto(max(1, period_price_atto * policy.proving_period_epochs)),
        deal_ids=item.deal_ids,
    )
    if view.get(sector.key) is not None:
        raise AlreadyExists(f"sector of provider {provider.id}:", item.number)
    draft = Draft(view)
    accounts.lock(draft, provider.owner, sector.deposit_atto)
    draft.put(sector, *(deal.evolve(sector_number=sector.number) for deal in deals))
    return draft.transition()


def _check_ticket(view: LedgerView, ticket_epoch: Epoch) -> None:
    if ticket_epoch >= view.epoch:
        raise TooEarly(f"the ticket of epoch {ticket_epoch} was not known to anybody")
    oldest_epoch = view.epoch - view.policy.ticket_age_max_epochs
    if ticket_epoch < oldest_epoch:
        raise TooLate(f"the ticket of epoch {ticket_epoch} is too old; {oldest_epoch} is not")


def _free_deals(view: LedgerView, provider: Provider, item: SectorPreCommit) -> Sequence[Deal]:
    if len(item.deal_ids) > view.policy.sector_pieces_max:
        raise NotAllowed(f"a sector holds {view.policy.sector_pieces_max} pieces at most")
    if len(set(item.deal_ids)) < len(item.deal_ids):
        raise NotAllowed("a deal is in a sector once")
    deals = [view.deal(deal_id) for deal_id in item.deal_ids]
    for deal in deals:
        if deal.proposal.provider_id != provider.id:
            raise NotAllowed(f"deal {deal.id} is provider {deal.proposal.provider_id}'s")
        if deal.state is not DealState.PUBLISHED:
            raise WrongState(f"deal {deal.id}", state=deal.state, needed=DealState.PUBLISHED)
        if deal.sector_number is not None:
            raise NotAllowed(f"deal {deal.id} is in sector {deal.sector_number} already")
    return deals


def _prove_by(view: LedgerView, item: SectorPreCommit, deals: Sequence[Deal]) -> Epoch:
    """Return the last epoch in which each deal still has a window of its own ahead."""
    first_final = min(final_opening(view.policy, item.proof_type, deal.proposal) for deal in deals)
    prove_by = min(view.epoch + view.policy.prove_commit_epochs, first_final - 1)
    if prove_by <= view.epoch + view.policy.seed_delay_epochs:
        raise TooLate("a deal ends before the sector could be proven")
    return Epoch(prove_by)


def give_up_unproven(draft: Draft, sector: Sector) -> None:
    """End a sector that was not proven in time: its deals' clients share the deposit.

    They get the collateral as well: else a worthless commitment would be the cheap way out of
    a deal that was never sealed.
    """
    owner = draft.provider(sector.provider_id).owner
    deals = draft.deals_of(sector)
    for deal, share_atto in zip(deals, _deposit_shares(sector, deals), strict=True):
        accounts.move_locked(draft, owner, deal.proposal.client, share_atto)
        lapsed = settlement.end(draft, deal, DealState.LAPSED)
        draft.put(lapsed.evolve(compensation_atto=lapsed.compensation_atto + share_atto))
    draft.put(sector.evolve(state=SectorState.TERMINATED, deposit_atto=0))


def _deposit_shares(sector: Sector, deals: Sequence[Deal]) -> Iterator[int]:
    """Yield each deal's part by price; the parts are whole atto and add up."""
    weights = [deal.proposal.price_atto_per_epoch for deal in deals]
    weights = weights if any(weights) else [Atto(1)] * len(deals)
    total = sum(weights)
    cuts = (sector.deposit_atto * part // total for part in accumulate(weights, initial=0))
    return (after - before for before, after in pairwise(cuts))


def terminate(draft: Draft, sector: Sector) -> None:
    """Give a sector up that was faulty for too long, and its deals with it."""
    for deal in draft.deals_of(sector):
        if deal.state.is_live:
            draft.put(settlement.end(draft, deal, DealState.TERMINATED))
    draft.put(sector.evolve(state=SectorState.TERMINATED, window_epoch=None, close_epoch=None))


def expire_if_over(draft: Draft, sector: Sector) -> None:
    """End a live sector none of whose deals is live any more."""
    if sector.state.is_live and not any(deal.state.is_live for deal in draft.deals_of(sector)):
        draft.put(sector.evolve(state=SectorState.EXPIRED, window_epoch=None, close_epoch=None))
