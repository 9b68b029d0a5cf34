"""The walk from a path to proven copies, read top to bottom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chain.deal import LABEL_BYTES_MAX, Deal, DealProposal, DealState
from chain.errors import AlreadyExists, Expired, InsufficientFunds, LedgerError
from chain.keys import Address
from chain.ledger import LedgerUnreachable
from chain.messages import CancelProposal, ReserveEscrow
from chain.units import Epoch, ProviderId
from client.errors import ClientError, DealFellThrough, NotEnoughProviders, PieceTooLarge
from client.finding import find_candidates
from client.prepare import Prepared
from client.selection import Offer, Quote, StorageTerms, largest_piece_bytes, quote
from client.session import Payer, Session
from ipfs.errors import PeerError
from ipfs.host import NetworkError
from market.messages import Progress, Reject, SignedProposal

AGREEMENT_EPOCHS: Final = 4
"""Besides the transfer: a block for the money and one for the deals, each seen a block later."""


class Stage(StrEnum):
    """Where a copy stands, for whoever watches."""

    ASKED = "asked"
    REJECTED = "rejected"
    ACCEPTED = "accepted"
    RESERVED = "reserved"
    TRANSFERRING = "transferring"
    PUBLISHED = "published"
    SEALING = "sealing"
    ACTIVE = "active"
    FELL_THROUGH = "fell-through"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened on the way."""

    stage: Stage
    provider_id: ProviderId
    detail: str = ""
    done_bytes: int = 0
    total_bytes: int = 0


Report = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Stored:
    """What `store` promises when it returns: each of these deals has had its replica proven."""

    prepared: Prepared
    deals: tuple[Deal, ...]


@dataclass(frozen=True, slots=True)
class _Order:
    """One piece to be kept, at whose cost, and who is told how it goes."""

    session: Session
    payer: Payer
    prepared: Prepared
    terms: StorageTerms
    report: Report


async def quote_piece(
    session: Session, prepared: Prepared, terms: StorageTerms, payer: Payer | None = None
) -> Quote:
    """Return the exact total for a piece. Raises `PieceTooLarge`, `NotEnoughProviders`.

    payer:  whose deals for the file that were begun count as copies: the quote is for the others
    """
    begun = () if payer is None else await _begun(session, payer, prepared, terms)
    candidates = await find_candidates(session)
    head = await session.head()
    bytes_max = largest_piece_bytes(candidates, terms)
    if bytes_max is not None and prepared.piece_size_bytes > bytes_max:
        raise PieceTooLarge(car_bytes=prepared.car_bytes, piece_bytes_max=bytes_max)
    return quote(
        candidates,
        terms,
        piece_cid=prepared.piece_cid,
        piece_size_bytes=prepared.piece_size_bytes,
        policy=session.policy,
        head_epoch=head.header.epoch,
        keepers={owner for owner, _ in begun},
    )


async def missing_copies(
    session: Session, payer: Payer, prepared: Prepared, terms: StorageTerms
) -> int:
    """Return how many copies are still to be paid for."""
    begun = await _begun(session, payer, prepared, terms)
    return max(0, terms.copies - len({owner for owner, _ in begun}))


async def require_funds(session: Session, payer: Payer, agreed: Quote, missing: int) -> None:
    """Check that the payer can pay for so many copies of a quote. Raises `InsufficientFunds`."""
    account = (await session.ledger.sender(payer.address)).account
    prices = sorted((offer.total_atto for offer in agreed.chosen), reverse=True)[:missing]
    needed_atto = sum(prices) + len(prices) * session.policy.message_fee_atto
    if needed_atto > account.free_atto:
        raise InsufficientFunds(
            payer.address, needed_atto=needed_atto, available_atto=account.free_atto
        )


async def store_piece(
    session: Session,
    payer: Payer,
    prepared: Prepared,
    terms: StorageTerms,
    agreed: Quote,
    report: Report,
) -> Stored:
    """Make the deals of a quote and wait until the ledger says that each is proven.

    Deals and open proposals of an earlier, interrupted run for the same file count as copies, so
    that a repeated `store` goes on and never pays twice. A copy that fails leaves the others to
    come to their own end first; the failure is raised then.
    Raises `InsufficientFunds` before anything is proposed, `NotEnoughProviders`, and the
    `LedgerError` that refused a reservation.
    """
    order = _Order(session, payer, prepared, terms, report)
    begun = await _begun(session, payer, prepared, terms)
    keepers = {owner for owner, _ in begun}
    missing = max(0, terms.copies - len(keepers))
    await require_funds(session, payer, agreed, missing)
    offers = iter(
        offer
        for offer in (*agreed.chosen, *agreed.spares)
        if offer.candidate.provider.owner not in keepers
    )
    starts = [*(proposal for _, proposal in begun), *[None] * missing]
    outcomes = await session.together([_outcome(order, offers, start) for start in starts])
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return Stored(prepared, tuple(deal for deal in outcomes if isinstance(deal, Deal)))


async def _outcome(
    order: _Order, offers: Iterator[Offer], begun: DealProposal | None
) -> Deal | ClientError | LedgerError:
    try:
        return await _secure_copy(order, offers, begun)
    except (ClientError, LedgerError) as error:
        return error


async def _secure_copy(order: _Order, offers: Iterator[Offer], begun: DealProposal | None) -> Deal:
    """Bring a deal that was begun to its proof, else ask one provider after the other."""
    reasons: dict[ProviderId, str] = {}

    def fell_through(provider_id: ProviderId, error: Exception) -> None:
        reasons[provider_id] = str(error) or type(error).__name__
        order.report(Step(Stage.FELL_THROUGH, provider_id, reasons[provider_id]))

    if begun is not None:
        try:
            return await _until_proven(order, begun)
        except DealFellThrough as error:
            fell_through(begun.provider_id, error)
    for offer in offers:
        try:
            proposal = await _agree(order, offer)
            await _reserve(order, proposal)
            return await _until_proven(order, proposal)
        except (DealFellThrough, NetworkError, PeerError, TimeoutError) as error:
            fell_through(offer.candidate.provider.id, error)
    raise NotEnoughProviders(needed=1, found=0, reasons=reasons)


async def _agree(order: _Order, offer: Offer) -> DealProposal:
    """Propose and be accepted. Raises `DealFellThrough` on a rejection."""
    session, provider = order.session, offer.candidate.provider
    head = await session.head()
    proposal = _proposal(order, offer, head.header.epoch)
    signed = SignedProposal.sign(proposal, order.payer.key)
    session.store.remember(signed)
    order.report(Step(Stage.ASKED, provider.id))
    answer = await session.negotiate(offer.candidate.peer, signed, provider.worker)
    if isinstance(answer, Reject):
        order.report(Step(Stage.REJECTED, provider.id, answer.reason))
        raise DealFellThrough(proposal.cid, f"{answer.code}: {answer.reason}")
    order.report(Step(Stage.ACCEPTED, provider.id))
    return proposal


def _proposal(order: _Order, offer: Offer, head_epoch: Epoch) -> DealProposal:
    session, prepared, terms = order.session, order.prepared, order.terms
    rule = session.policy.sector_rule(offer.candidate.ask.proof_type)
    assert rule is not None, "an ask for sectors that the network does not take was left out"
    config = session.config
    transfer_seconds = max(
        config.transfer_seconds_min, prepared.car_bytes // config.transfer_bytes_per_second_min
    )
    transfer_epochs = -(-transfer_seconds // session.policy.epoch_seconds)
    publish_by = head_epoch + transfer_epochs + AGREEMENT_EPOCHS
    start = publish_by + rule.sealing_epochs
    return DealProposal(
        piece_cid=prepared.piece_cid,
        piece_size_bytes=prepared.piece_size_bytes,
        root_cid=prepared.root_cid,
        client=order.payer.address,
        provider_id=offer.candidate.provider.id,
        label=_label(terms.label),
        start_epoch=Epoch(start),
        end_epoch=Epoch(start + terms.duration_epochs),
        publish_by_epoch=Epoch(publish_by),
        price_atto_per_epoch=offer.price_atto_per_epoch,
        collateral_atto=offer.collateral_atto,
        chain_id=session.chain_id,
        nonce=session.random_nonce(),
    )


def _label(text: str) -> str:
    """Return as much of a text as a label takes; file names need be neither short nor Unicode."""
    return text.encode(errors="replace")[:LABEL_BYTES_MAX].decode(errors="ignore")


async def _reserve(order: _Order, proposal: DealProposal) -> None:
    """Set the price aside, as soon as the ledger answers.

    Raises `DealFellThrough` if that was too late, else the `LedgerError` of the refusal.
    """
    while True:
        try:
            await order.payer.sender.send(ReserveEscrow(proposal=proposal))
            break
        except LedgerUnreachable as error:
            order.session.log(str(error))
            await order.session.next_head()
        except LedgerError as refusal:
            if refusal.code == AlreadyExists.code:
                # Said before the ledger went down, and heard.
                break
            if refusal.code == Expired.code:
                raise DealFellThrough(proposal.cid, str(refusal)) from refusal
            raise
    order.report(Step(Stage.RESERVED, proposal.provider_id))


async def _until_proven(order: _Order, proposal: DealProposal) -> Deal:
    """Follow a reserved proposal to its proof.

    Raises `DealFellThrough` once its money is free again, or settled in an ending for the client.
    """
    async for head in order.session.ledger.heads():
        try:
            deal = await order.session.ledger.deal_of(proposal.cid)
            if deal is None:
                if head.header.epoch > proposal.publish_by_epoch:
                    raise DealFellThrough(proposal.cid, "it was not published in time")
                await _watch_transfer(order, proposal)
            elif _is_proven(order, deal):
                return deal
        except LedgerUnreachable as error:
            # `heads` waits until it is back.
            order.session.log(str(error))
    raise AssertionError("heads never end")


def _is_proven(order: _Order, deal: Deal) -> bool:
    """Whether a deal's replica has been proven. Raises `DealFellThrough` if it never will be."""
    provider_id, name = deal.proposal.provider_id, f"deal {deal.id}"
    match deal.state:
        case DealState.PUBLISHED:
            stage = Stage.PUBLISHED if deal.sector_number is None else Stage.SEALING
            order.report(Step(stage, provider_id, name))
            return False
        case DealState.ACTIVE:
            order.report(Step(Stage.ACTIVE, provider_id, name))
            return True
        case DealState.FAULTY | DealState.COMPLETED:
            # Proven, and more has happened since: nobody looked for a while.
            order.report(Step(Stage.ACTIVE, provider_id, f"{name}, {deal.state} by now"))
            return True
        case DealState.FAILED | DealState.TERMINATED | DealState.LAPSED:
            raise DealFellThrough(deal.proposal.cid, f"{name} is {deal.state}")


async def _watch_transfer(order: _Order, proposal: DealProposal) -> None:
    """Ask the provider how far it is; once it gave up, free the money at once."""
    session, provider_id = order.session, proposal.provider_id
    try:
        status = await session.request_status(proposal)
    except (NetworkError, PeerError, TimeoutError) as error:
        session.log(f"provider {provider_id} does not say how far it is: {error}")
        return
    if status.progress in (Progress.DROPPED, Progress.UNKNOWN):
        try:
            await order.payer.sender.send(CancelProposal(proposal_cid=proposal.cid))
        except LedgerError as refusal:
            # Published after all, or lapsed: the next block tells.
            session.log(f"proposal {proposal.cid} was not cancelled: {refusal}")
            return
        raise DealFellThrough(proposal.cid, status.detail or "the provider does not know it")
    order.report(
        Step(
            Stage.TRANSFERRING, provider_id, status.progress, status.done_bytes, status.total_bytes
        )
    )


async def _begun(
    session: Session, payer: Payer, prepared: Prepared, terms: StorageTerms
) -> list[tuple[Address, DealProposal]]:
    """Return the payer's proposals for the file that hold money now, each with its owner.

    Those for a shorter time than is wanted now don't count, nor those whose proofs are missed.
    """
    deals = await session.ledger.deals(client=payer.address, root_cid=prepared.root_cid)
    begun = [
        deal.proposal for deal in deals if deal.state in (DealState.PUBLISHED, DealState.ACTIVE)
    ]
    said = {
        signed.proposal.cid: signed.proposal
        for signed in session.store.proposals(prepared.root_cid)
        if (signed.proposal.chain_id, signed.proposal.client) == (session.chain_id, payer.address)
    }
    for provider_id in sorted({proposal.provider_id for proposal in said.values()}):
        reservations = await session.ledger.reservations(provider_id)
        begun += [one.proposal for one in reservations if one.proposal.cid in said]
    return [
        ((await session.ledger.provider(proposal.provider_id)).owner, proposal)
        for proposal in begun
        if proposal.duration_epochs >= terms.duration_epochs
    ]
