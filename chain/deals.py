"""From a proposal to a deal, and how a deal ends when its time is over."""

from collections.abc import Iterator

from chain import accounts, batch, settlement
from chain.deal import Deal, DealProposal, DealState, Reservation, UsedProposal
from chain.errors import AlreadyExists, Expired, NotAllowed, TermsRefused, WrongChain
from chain.keys import Address
from chain.messages import CancelProposal, PublishDeals, ReserveEscrow
from chain.policy import Policy
from chain.provider import Provider
from chain.providers import worked_by
from chain.statements import piece_commitment
from chain.view import Draft, LedgerView, Transition
from ipfs.cid import CID
from ipfs.errors import MalformedBytes
from proofs.registry import parameters_of


def reserve_escrow(view: LedgerView, sender: Address, body: ReserveEscrow) -> Transition:
    """Set the whole price of a proposal aside, before a byte moves.

    Raises: `NotAllowed`, `WrongChain`, `NotFound`, `Expired`, `TermsRefused`, `AlreadyExists`,
    `InsufficientFunds`.
    """
    proposal = body.proposal
    if sender != proposal.client:
        raise NotAllowed("a proposal is signed by its client")
    if proposal.chain_id != view.chain_id:
        raise WrongChain("the proposal is for another chain")
    view.provider(proposal.provider_id)
    if proposal.publish_by_epoch < view.epoch:
        raise Expired(
            "the proposal",
            expired_epoch=proposal.publish_by_epoch,
            current_epoch=view.epoch,
        )
    for rule in broken_terms(view.policy, proposal):
        raise TermsRefused(rule)
    used = UsedProposal(proposal_cid=proposal.cid, publish_by_epoch=proposal.publish_by_epoch)
    if view.get(used.key) is not None:
        raise AlreadyExists("the proposal", proposal.cid)
    draft = Draft(view)
    accounts.lock(draft, sender, proposal.payment_atto)
    draft.put(used, Reservation(proposal=proposal))
    return draft.transition()


def broken_terms(policy: Policy, proposal: DealProposal) -> Iterator[str]:
    """Yield the network's rules that a proposal's terms break, as sentences for people."""
    period_epochs = policy.proving_period_epochs
    if proposal.duration_epochs < policy.deal_periods_min * period_epochs:
        yield f"a deal lasts {policy.deal_periods_min * period_epochs} epochs at least"
    if proposal.duration_epochs > policy.deal_periods_max * period_epochs:
        yield f"a deal lasts {policy.deal_periods_max * period_epochs} epochs at most"
    size_max = max(parameters_of(rule.proof_type).sector_size_bytes for rule in policy.sectors)
    if proposal.piece_size_bytes > size_max:
        yield f"no sector of this network holds more than {size_max} bytes"
    collateral_atto = policy.collateral_atto(
        piece_size_bytes=proposal.piece_size_bytes,
        duration_epochs=proposal.duration_epochs,
        price_atto_per_epoch=proposal.price_atto_per_epoch,
    )
    if proposal.collateral_atto < collateral_atto:
        yield f"the provider's collateral is {collateral_atto} atto at least"
    try:
        piece_commitment(proposal)
    except MalformedBytes as error:
        yield str(error)


def cancel_proposal(view: LedgerView, sender: Address, body: CancelProposal) -> Transition:
    """Free the money of a proposal that is not published.

    Raises: `NotFound`, `NotAllowed`.
    """
    reservation = view.reservation(body.proposal_cid)
    if sender != reservation.proposal.client:
        raise NotAllowed("a proposal is cancelled by its client")
    draft = Draft(view)
    release(draft, reservation)
    return draft.transition()


def release(draft: Draft, reservation: Reservation) -> None:
    """Free a reservation's money: it was cancelled, or nobody published it in time."""
    accounts.unlock(draft, reservation.proposal.client, reservation.proposal.payment_atto)
    draft.remove(reservation)


def publish_deals(view: LedgerView, sender: Address, body: PublishDeals) -> Transition:
    """Turn reservations into deals, each alone (specs-actors `market_actor.go`, Publish…Deals).

    Raises: `NotFound`, `NotAllowed`.
    """
    provider = worked_by(view, body.provider_id, sender)
    return batch.each(
        view,
        body.proposal_cids,
        lambda over, proposal_cid: publish_deal(over, provider, proposal_cid),
        name_of=str,
        items_max=view.policy.publish_batch_max,
    )


def publish_deal(view: LedgerView, provider: Provider, proposal_cid: CID) -> Transition:
    """Open a deal on its reservation and lock the provider's side of it.

    Raises: `NotFound` (also once it lapsed), `NotAllowed`, `InsufficientFunds`.
    """
    reservation = view.reservation(proposal_cid)
    proposal = reservation.proposal
    if proposal.provider_id != provider.id:
        raise NotAllowed(f"the proposal is to provider {proposal.provider_id}")
    counters = view.counters()
    deal = Deal(
        id=counters.next_deal_id,
        proposal=proposal,
        published_epoch=view.epoch,
        settled_until_epoch=proposal.start_epoch,
        collateral_atto=proposal.collateral_atto,
    )
    used = UsedProposal(
        proposal_cid=proposal_cid, publish_by_epoch=proposal.publish_by_epoch, deal_id=deal.id
    )
    draft = Draft(view)
    accounts.lock(draft, provider.owner, deal.collateral_atto)
    draft.remove(reservation)
    draft.put(deal, used, counters.evolve(next_deal_id=deal.id + 1))
    done = draft.transition()
    return Transition(writes=done.writes, removes=done.removes, created_ids=(deal.id,))


def end_due(draft: Draft, deal: Deal) -> Deal:
    """End a deal whose time is over, if it can be told yet how."""
    match deal.state:
        case DealState.PUBLISHED:
            deal = settlement.end(draft, deal, DealState.LAPSED)
        case DealState.ACTIVE if deal.is_settled:
            deal = settlement.end(draft, deal, DealState.COMPLETED)
        case DealState.FAULTY if deal.is_settled:
            deal = settlement.end(draft, deal, DealState.FAILED)
        case _:
            # Its last window was drawn anew after a halt of the ledger and is still open.
            return deal
    draft.put(deal)
    return deal
