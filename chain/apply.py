"""The state machine: what one message changes, and what time changes by itself.

A block of epoch e is `advance_epoch` over the state, then its messages in order, each over what
the one before left. Everything is pure: the same blocks give the same state, byte for byte.
"""

from dataclasses import dataclass
from typing import assert_never

from chain import accounts, deals, providers, proving, sectors
from chain.block import Receipt
from chain.deal import Deal, Reservation, UsedProposal
from chain.errors import (
    Expired,
    ExpiresTooLate,
    InsufficientFunds,
    LedgerError,
    WrongChain,
    WrongNonce,
    WrongSignature,
)
from chain.keys import Address
from chain.messages import (
    CancelProposal,
    DeclareFaults,
    DrawFaucet,
    Message,
    PostAsk,
    PreCommitSectors,
    ProveCommitSectors,
    PublishDeals,
    RegisterProvider,
    ReserveEscrow,
    SectorProof,
    SignedMessage,
    SubmitWindowPost,
    Transfer,
    UpdateProvider,
    item_count,
    spoken_for,
)
from chain.provider import Provider
from chain.sector import Sector, SectorState, sector_key
from chain.statements import seed_epoch
from chain.units import Atto, Epoch
from chain.view import Draft, LedgerView, Transition


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a message changed, and what is said about it."""

    transition: Transition
    receipt: Receipt


def admit(view: LedgerView, signed: SignedMessage) -> None:
    """Check that a message may enter the block that `view` is the state of.

    Raises: `WrongChain`, `WrongSignature`, `WrongNonce`, `Expired`, `ExpiresTooLate`,
    `InsufficientFunds` for the fee. Such a message changes nothing, not even the nonce.
    """
    message = signed.message
    if message.chain_id != view.chain_id:
        raise WrongChain("the message is for another chain")
    accounts.require_network(view, message.sender)
    if not signed.is_authentic():
        raise WrongSignature("the signature is not the sender's")
    expected = view.account(message.sender).nonce
    if message.nonce != expected:
        raise WrongNonce(expected=expected, found=message.nonce)
    if message.expires_epoch < view.epoch:
        raise Expired("the message", expired_epoch=message.expires_epoch, current_epoch=view.epoch)
    latest_epoch = Epoch(view.epoch + view.policy.message_epochs_max)
    if message.expires_epoch > latest_epoch:
        raise ExpiresTooLate(expires_epoch=message.expires_epoch, latest_epoch=latest_epoch)
    payer, fee_atto = fee_payer(view, message), fee_of(view, message)
    free_atto = view.account(payer).free_atto
    if free_atto < fee_atto:
        raise InsufficientFunds(payer, needed_atto=fee_atto, available_atto=free_atto)


def apply(view: LedgerView, signed: SignedMessage) -> Outcome:
    """Return what a message changes. A refused one spends its nonce and fee and nothing else.

    Raises: what `admit` raises.
    """
    admit(view, signed)
    message = signed.message
    draft = Draft(view)
    draft.write(charge(view, message))
    fee_atto, refusal, settled = fee_of(view, message), None, Transition()
    try:
        settled = _settle(draft, message)
    except LedgerError as error:
        refusal = error
    draft.write(settled)
    if refusal is None and _holds_a_valid_proof(message, settled):
        accounts.move(draft, view.ledger, fee_payer(view, message), fee_atto)
        fee_atto = Atto(0)
    receipt = Receipt(
        message_id=signed.id,
        epoch=view.epoch,
        code=refusal.code if refusal else None,
        detail=str(refusal or ""),
        refusals=settled.refusals,
        fee_atto=fee_atto,
        created_ids=settled.created_ids,
    )
    return Outcome(draft.transition(), receipt)


def charge(view: LedgerView, message: Message) -> Transition:
    """Return the nonce spent and the fee paid: all that is known before a message is settled.

    A node holds it on top of its view for messages that wait. Raises: `InsufficientFunds`.
    """
    draft = Draft(view)
    sender = draft.account(message.sender)
    draft.put(sender.evolve(nonce=sender.nonce + 1))
    accounts.move(draft, fee_payer(view, message), view.ledger, fee_of(view, message))
    return draft.transition()


def fee_of(view: LedgerView, message: Message) -> Atto:
    """Return what the message costs, by its items; a valid proof's fee comes back.

    A proof that a sector waits for costs no more than its payer has free: nobody with all of
    their money locked may lose it for want of a fee that would come back.
    """
    if isinstance(message.body, DrawFaucet):
        return Atto(0)
    fee_atto = Atto(view.policy.message_fee_atto * item_count(message.body))
    if _is_waited_for(view, message):
        return min(fee_atto, view.account(fee_payer(view, message)).free_atto)
    return fee_atto


def fee_payer(view: LedgerView, message: Message) -> Address:
    """Return who pays: the sender, but for a provider's worker its owner."""
    provider = _provider_worked_for(view, message)
    return message.sender if provider is None else provider.owner


def _provider_worked_for(view: LedgerView, message: Message) -> Provider | None:
    """Return the provider that the message speaks for, if its worker sent it."""
    provider_id = spoken_for(message.body)
    if provider_id is None:
        return None
    provider = view.get(f"provider/{provider_id:016d}")
    if isinstance(provider, Provider) and provider.worker == message.sender:
        return provider
    return None


def _is_waited_for(view: LedgerView, message: Message) -> bool:
    """Whether a provider's worker brings a proof that a sector can't go on without, now."""
    provider = _provider_worked_for(view, message)
    if provider is None:
        return False

    def sector_of(proof: SectorProof) -> Sector | None:
        found = view.get(sector_key(provider.id, proof.number))
        return found if isinstance(found, Sector) else None

    match message.body:
        case ProveCommitSectors(proofs=proofs):
            return any(_awaits_replication(view, sector_of(proof)) for proof in proofs)
        case SubmitWindowPost(proofs=proofs, window_epoch=window_epoch):
            sectors = (sector_of(proof) for proof in proofs)
            return window_epoch < view.epoch and any(
                sector is not None and sector.window_epoch == window_epoch for sector in sectors
            )
        case _:
            return False


def _awaits_replication(view: LedgerView, sector: Sector | None) -> bool:
    if sector is None or sector.state is not SectorState.PRECOMMITTED:
        return False
    return seed_epoch(view.policy, sector) < view.epoch


def _holds_a_valid_proof(message: Message, settled: Transition) -> bool:
    match message.body:
        case ProveCommitSectors(proofs=proofs) | SubmitWindowPost(proofs=proofs):
            return len(settled.refusals) < len(proofs)
        case _:
            return False


def _settle(view: LedgerView, message: Message) -> Transition:
    sender = message.sender
    match message.body:
        case Transfer() as body:
            return accounts.transfer(view, sender, body)
        case DrawFaucet() as body:
            return accounts.draw_faucet(view, sender, body)
        case RegisterProvider() as body:
            return providers.register_provider(view, sender, body)
        case UpdateProvider() as body:
            return providers.update_provider(view, sender, body)
        case PostAsk() as body:
            return providers.post_ask(view, sender, body)
        case ReserveEscrow() as body:
            return deals.reserve_escrow(view, sender, body)
        case CancelProposal() as body:
            return deals.cancel_proposal(view, sender, body)
        case PublishDeals() as body:
            return deals.publish_deals(view, sender, body)
        case PreCommitSectors() as body:
            return sectors.pre_commit_sectors(view, sender, body)
        case ProveCommitSectors() as body:
            return proving.prove_commit_sectors(view, sender, body)
        case SubmitWindowPost() as body:
            return proving.submit_window_post(view, sender, body)
        case DeclareFaults() as body:
            return proving.declare_faults(view, sender, body)
        case unknown:
            assert_never(unknown)


def advance_epoch(view: LedgerView, *, is_after_gap: bool = False) -> Transition:
    """Return what moves by itself at the view's epoch, before any message of its block.

    is_after_gap:  the ledger halted for longer than `Policy.void_gap_epochs` before this epoch;
                   the windows that were open then are drawn anew
    """
    draft = Draft(view)
    if is_after_gap:
        for sector in [found for found in draft.scan("sector/") if isinstance(found, Sector)]:
            proving.reopen_window(draft, sector)
    for sector in [due for due in draft.due(view.epoch) if isinstance(due, Sector)]:
        if sector.state is SectorState.PRECOMMITTED:
            sectors.give_up_unproven(draft, sector)
        else:
            proving.miss_window(draft, sector)
    for deal in [due for due in draft.due(view.epoch) if isinstance(due, Deal)]:
        ended = deals.end_due(draft, deal)
        if ended.sector_number is not None:
            sector = draft.sector(ended.proposal.provider_id, ended.sector_number)
            sectors.expire_if_over(draft, sector)
    for due in list(draft.due(view.epoch)):
        match due:
            case Reservation():
                deals.release(draft, due)
            case UsedProposal():
                draft.remove(due)
            case _:
                assert isinstance(due, Deal), "everything else that was due has moved"
    return draft.transition()
