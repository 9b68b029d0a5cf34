"""How a deal's money moves: towards the provider, back to the client, and at the end.

Each function moves money on the draft and returns the deal as it is then; the caller puts it back.
"""

from chain import accounts
from chain.deal import Deal, DealState
from chain.units import Epoch
from chain.view import Draft


def pay_until(draft: Draft, deal: Deal, epoch: Epoch) -> Deal:
    """Pay the provider for the time from where the deal is settled up to `epoch`."""
    amount_atto = _price_until(deal, epoch)
    owner = draft.provider(deal.proposal.provider_id).owner
    accounts.move_locked(draft, deal.proposal.client, owner, amount_atto)
    return deal.evolve(settled_until_epoch=epoch, paid_atto=deal.paid_atto + amount_atto)


def refund_until(draft: Draft, deal: Deal, epoch: Epoch) -> Deal:
    """Give the client back the price of the time from where the deal is settled up to `epoch`."""
    amount_atto = _price_until(deal, epoch)
    accounts.unlock(draft, deal.proposal.client, amount_atto)
    return deal.evolve(settled_until_epoch=epoch, refunded_atto=deal.refunded_atto + amount_atto)


def compensate(draft: Draft, deal: Deal, amount_atto: int) -> Deal:
    """Give the client this much of the collateral, or all that is left of it."""
    taken_atto = min(amount_atto, deal.collateral_atto)
    owner = draft.provider(deal.proposal.provider_id).owner
    accounts.move_locked(draft, owner, deal.proposal.client, taken_atto)
    return deal.evolve(
        collateral_atto=deal.collateral_atto - taken_atto,
        compensation_atto=deal.compensation_atto + taken_atto,
    )


def end(draft: Draft, deal: Deal, state: DealState) -> Deal:
    """End a deal: what is unsettled is refunded; the collateral goes back only if it completed."""
    deal = refund_until(draft, deal, deal.proposal.end_epoch)
    if state is DealState.COMPLETED:
        owner = draft.provider(deal.proposal.provider_id).owner
        accounts.unlock(draft, owner, deal.collateral_atto)
        return deal.evolve(state=state, collateral_atto=0)
    return compensate(draft, deal, deal.collateral_atto).evolve(state=state)


def _price_until(deal: Deal, epoch: Epoch) -> int:
    assert epoch >= deal.settled_until_epoch, "time is settled once"
    return deal.proposal.price_atto_per_epoch * (epoch - deal.settled_until_epoch)
