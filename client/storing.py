"""The walk from a path to proven copies, read top to bottom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chain.deal import Deal, DealProposal, DealState
from chain.ledger import LedgerUnreachable
from chain.messages import CancelProposal, ReserveEscrow
from chain.sender import Refused
from chain.units import Epoch, ProviderId
from client.errors import DealFellThrough, NotEnoughProviders, PieceTooLarge
from client.prepare import Prepared
from client.selection import Candidate, Offer, Quote, StorageTerms, largest_piece_bytes, quote
from client.session import Payer, Session
from ipfs.errors import PeerError
from ipfs.host import NetworkError
from market.ask import network_cid, verify_ask
from market.messages import Progress, Reject, SignedProposal, Status
from proofs.registry import parameters_of

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
    """What `store` promises when it returns: these deals are active, each replica proven."""

    prepared: Prepared
    deals: tuple[Deal, ...]


async def find_candidates(session: Session) -> tuple[Candidate, ...]:
    """Return who sells storage on this network, each with the ask it signed just now.

    Found on the DHT under the network's CID and checked against the ledger's registry; who the
    registry knows and the DHT did not name is asked as well. Who does not answer is left out.
    """
    registry = {provider.peer_id: provider for provider in await session.ledger.providers()}
    peers = {str(peer.peer_id): peer for peer in session.registered_peers(registry.values())}
    for peer in await session.find_on_dht(network_cid(session.chain_id)):
        if str(peer.peer_id) in registry:
            peers[str(peer.peer_id)] = peer
    head = await session.ledger.head()

    async def candidate(peer_id: str) -> Candidate | None:
        try:
            signed = await session.request_ask(peers[peer_id])
            provider = registry[peer_id]
            verify_ask(
                signed, provider=provider, chain_id=session.chain_id, epoch=head.header.epoch
            )
        except (NetworkError, PeerError, TimeoutError) as error:
            session.log(f"provider {registry[peer_id].id} gave no ask: {error}")
            return None
        return Candidate(provider, signed.ask, peers[peer_id])

    found = await session.together([candidate(peer_id) for peer_id in peers])
    return tuple(one for one in found if one is not None)


async def quote_piece(session: Session, prepared: Prepared, terms: StorageTerms) -> Quote:
    """Return the exact total for a piece. Raises `PieceTooLarge`, `NotEnoughProviders`."""
    candidates = await find_candidates(session)
    head = await session.ledger.head()
    _check_fits(prepared, terms, candidates)
    return quote(
        candidates,
        terms,
        piece_cid=prepared.piece_cid,
        piece_size_bytes=prepared.piece_size_bytes,
        policy=session.policy,
        head_epoch=head.header.epoch,
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
    that a repeated `store` goes on and never pays twice.
    Raises `InsufficientFunds`, `NotEnoughProviders`.
    """
    resumed = await _open_proposals(session, payer, prepared)
    busy = {signed.proposal.provider_id for signed in resumed}
    offers = iter(
        offer
        for offer in (*agreed.chosen, *agreed.spares)
        if offer.candidate.provider.id not in busy
    )
    begun = [*resumed[: terms.copies], *[None] * (terms.copies - len(resumed))]
    deals = await session.together(
        [_secure_copy(session, payer, prepared, terms, offers, one, report) for one in begun]
    )
    return Stored(prepared, tuple(deals))


async def missing_copies(
    session: Session, payer: Payer, prepared: Prepared, terms: StorageTerms
) -> int:
    """Return how many copies are still to be paid for."""
    return max(0, terms.copies - len(await _open_proposals(session, payer, prepared)))


async def _secure_copy(
    session: Session,
    payer: Payer,
    prepared: Prepared,
    terms: StorageTerms,
    offers: Iterator[Offer],
    begun: SignedProposal | None,
    report: Report,
) -> Deal:
    """Bring a deal that was begun to its proof, else ask one provider after the other."""
    if begun is not None:
        try:
            return await _until_active(session, payer, begun, report)
        except DealFellThrough as error:
            report(Step(Stage.FELL_THROUGH, begun.proposal.provider_id, error.reason))
    reasons: dict[ProviderId, str] = {}
    for offer in offers:
        provider_id = offer.candidate.provider.id
        try:
            signed = await _agree(session, payer, prepared, terms, offer, report)
            await payer.sender.send(ReserveEscrow(proposal=signed.proposal))
            report(Step(Stage.RESERVED, provider_id))
            return await _until_active(session, payer, signed, report)
        except (DealFellThrough, NetworkError, PeerError, TimeoutError) as error:
            reasons[provider_id] = str(error) or type(error).__name__
            report(Step(Stage.FELL_THROUGH, provider_id, reasons[provider_id]))
    raise NotEnoughProviders(needed=1, found=0, reasons=reasons)


async def _agree(
    session: Session,
    payer: Payer,
    prepared: Prepared,
    terms: StorageTerms,
    offer: Offer,
    report: Report,
) -> SignedProposal:
    """Propose and be accepted. Raises `DealFellThrough` on a rejection."""
    head = await session.ledger.head()
    proposal = _proposal(session, payer, prepared, terms, offer, head.header.epoch)
    signed = SignedProposal.sign(proposal, payer.key)
    session.store.remember(signed)
    provider = offer.candidate.provider
    report(Step(Stage.ASKED, provider.id))
    answer = await session.negotiate(offer.candidate.peer, signed, provider.worker)
    if isinstance(answer, Reject):
        report(Step(Stage.REJECTED, provider.id, answer.reason))
        raise DealFellThrough(proposal.cid, f"{answer.code}: {answer.reason}")
    report(Step(Stage.ACCEPTED, provider.id))
    return signed


def _proposal(
    session: Session,
    payer: Payer,
    prepared: Prepared,
    terms: StorageTerms,
    offer: Offer,
    head_epoch: Epoch,
) -> DealProposal:
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
        client=payer.address,
        provider_id=offer.candidate.provider.id,
        label=terms.label,
        start_epoch=Epoch(start),
        end_epoch=Epoch(start + terms.duration_epochs),
        publish_by_epoch=Epoch(publish_by),
        price_atto_per_epoch=offer.price_atto_per_epoch,
        collateral_atto=offer.collateral_atto,
        chain_id=session.chain_id,
        nonce=session.random_nonce(),
    )


async def _until_active(
    session: Session, payer: Payer, signed: SignedProposal, report: Report
) -> Deal:
    """Follow a reserved proposal to its proof. Raises `DealFellThrough`, its money free again."""
    proposal = signed.proposal
    async for head in session.ledger.heads():
        try:
            deal = await session.ledger.deal_of(proposal.cid)
        except LedgerUnreachable as error:
            # `heads` waits until it is back.
            session.log(str(error))
            continue
        if deal is None:
            if head.header.epoch > proposal.publish_by_epoch:
                raise DealFellThrough(proposal.cid, "it was not published in time")
            await _watch_transfer(session, payer, proposal, report)
        elif deal.state is DealState.PUBLISHED:
            stage = Stage.PUBLISHED if deal.sector_number is None else Stage.SEALING
            report(Step(stage, proposal.provider_id, f"deal {deal.id}"))
        elif deal.state.is_live:
            report(Step(Stage.ACTIVE, proposal.provider_id, f"deal {deal.id}"))
            return deal
        else:
            raise DealFellThrough(proposal.cid, f"deal {deal.id} is {deal.state}")
    raise AssertionError("heads never end")


async def _watch_transfer(
    session: Session, payer: Payer, proposal: DealProposal, report: Report
) -> None:
    """Ask the provider how far it is; once it gave up, free the money at once."""
    try:
        status: Status = await session.request_status(proposal)
    except (NetworkError, PeerError, TimeoutError) as error:
        session.log(f"provider {proposal.provider_id} does not say how far it is: {error}")
        return
    if status.progress is Progress.DROPPED:
        try:
            await payer.sender.send(CancelProposal(proposal_cid=proposal.cid))
        except Refused as refusal:
            session.log(f"proposal {proposal.cid} was not cancelled: {refusal}")
        raise DealFellThrough(proposal.cid, status.detail)
    report(
        Step(
            Stage.TRANSFERRING,
            proposal.provider_id,
            status.progress,
            status.done_bytes,
            status.total_bytes,
        )
    )


async def _open_proposals(
    session: Session, payer: Payer, prepared: Prepared
) -> list[SignedProposal]:
    """Return the proposals for this file that already hold money of ours."""
    deals = await session.ledger.deals(client=payer.address, root_cid=prepared.root_cid)
    live = {deal.proposal.cid for deal in deals if deal.state.is_live}
    signed = [
        signed
        for signed in session.store.proposals(prepared.root_cid)
        if signed.proposal.chain_id == session.chain_id
    ]
    for provider_id in {one.proposal.provider_id for one in signed}:
        reservations = await session.ledger.reservations(provider_id)
        live |= {reservation.proposal.cid for reservation in reservations}
    return [one for one in signed if one.proposal.cid in live]


def _check_fits(prepared: Prepared, terms: StorageTerms, candidates: tuple[Candidate, ...]) -> None:
    sizes = largest_piece_bytes(
        one for one in candidates if terms.sector_size_bytes in (None, _sector_bytes(one))
    )
    if sizes and prepared.piece_size_bytes > max(sizes.values()):
        sector_bytes = max(sizes)
        raise PieceTooLarge(
            car_bytes=prepared.car_bytes,
            payload_bytes_max=sector_bytes // 128 * 127,
            sector_size=f"{sector_bytes >> 20} MiB",
        )


def _sector_bytes(candidate: Candidate) -> int:
    return parameters_of(candidate.ask.proof_type).sector_size_bytes
