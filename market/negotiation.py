r"""Agreeing on a deal: both halves of the conversation, without I/O.

client    UNSAID --propose()--> PROPOSED --Accept | Reject--> ANSWERED
provider  LISTENING --Propose--> CONSIDERING --accept() | reject()--> ANSWERED
                    \--unsound Propose--> ANSWERED
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from chain.keys import Address, SigningKey
from chain.units import Epoch, ProviderId
from ipfs.cid import CID
from ipfs.errors import OutOfTurn, PeerError
from market.messages import REASON_CHARACTERS_MAX, Accept, Propose, Reject, RejectCode


class AcceptanceForged(PeerError):
    """The acceptance is not signed by the provider's worker: it binds nobody."""

    code = "acceptance-forged"


class Stage(Enum):
    """How far one half is."""

    UNSAID = auto()
    PROPOSED = auto()
    LISTENING = auto()
    CONSIDERING = auto()
    ANSWERED = auto()


class ClientNegotiation:
    """The client's half: propose once, then exactly one answer to that proposal.

    worker:  who must have signed an acceptance, as the ledger's registry says

    Knows nothing of streams, clocks or tasks. Anything else the peer says raises `OutOfTurn`.
    """

    def __init__(self, proposal: Propose, *, worker: Address) -> None:
        self._proposal = proposal
        self._worker = worker
        self._stage = Stage.UNSAID
        self.answer: Accept | Reject | None = None

    def propose(self) -> Propose:
        """Return the message to send first."""
        assert self._stage is Stage.UNSAID, "a proposal is made once"
        self._stage = Stage.PROPOSED
        return self._proposal

    def receive(self, message: object) -> None:
        """Take the provider's answer. Raises `OutOfTurn`, `AcceptanceForged`."""
        match self._stage, message:
            case Stage.PROPOSED, Accept(proposal_cid=cid) if cid == self._proposal.proposal.cid:
                if not message.is_signed_by(self._worker):
                    raise AcceptanceForged(f"not signed by {self._worker}")
                self.answer = message
            case Stage.PROPOSED, Reject(proposal_cid=cid) if cid == self._proposal.proposal.cid:
                self.answer = message
            case stage, _:
                raise OutOfTurn(f"{type(message).__name__} while {stage.name}")
        self._stage = Stage.ANSWERED


@dataclass(frozen=True, slots=True)
class Listener:
    """What a provider must know to tell a sound proposal from one that is not for it, or stale.

    is_known:  whether a proposal was answered with an acceptance before
    """

    chain_id: str
    provider_id: ProviderId
    head_epoch: Epoch
    is_known: Callable[[CID], bool]


class ProviderNegotiation:
    """The provider's half: hear one proposal, give exactly one answer.

    What makes a proposal unsound whatever the terms is refused here; whether the terms are
    good enough is the caller's to decide while CONSIDERING.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._stage = Stage.LISTENING
        self._proposal: Propose | None = None
        self.answer: Accept | Reject | None = None

    def receive(self, message: Propose) -> None:
        """Take the proposal; an unsound one is answered at once. Raises `OutOfTurn`."""
        if self._stage is not Stage.LISTENING:
            raise OutOfTurn(f"a proposal while {self._stage.name}")
        self._proposal = message
        self._stage = Stage.CONSIDERING
        if unsound := _why_unsound(message, self._listener):
            self.reject(*unsound)

    def accept(self, *, fetch_by_epoch: Epoch, worker: SigningKey) -> Accept:
        """Return the acceptance, which is binding: make it durable before it is sent."""
        accept = Accept.sign(
            self._considered().proposal.cid, fetch_by_epoch=fetch_by_epoch, worker=worker
        )
        self.answer, self._stage = accept, Stage.ANSWERED
        return accept

    def reject(self, code: RejectCode, reason: str) -> Reject:
        """Return the rejection."""
        proposal_cid = self._considered().proposal.cid
        reject = Reject(proposal_cid=proposal_cid, code=code, reason=reason[:REASON_CHARACTERS_MAX])
        self.answer, self._stage = reject, Stage.ANSWERED
        return reject

    def _considered(self) -> Propose:
        assert self._stage is Stage.CONSIDERING, "one answer to one proposal"
        assert self._proposal is not None, "what is considered was received"
        return self._proposal


def _why_unsound(message: Propose, listener: Listener) -> tuple[RejectCode, str] | None:
    proposal = message.proposal
    if proposal.chain_id != listener.chain_id:
        return RejectCode.CHAIN, f"this provider is on chain {listener.chain_id}"
    if proposal.provider_id != listener.provider_id:
        return RejectCode.NOT_FOR_ME, f"this is provider {listener.provider_id}"
    if not message.signed_proposal.is_authentic():
        return RejectCode.SIGNATURE, f"not signed by {proposal.client}"
    if listener.is_known(proposal.cid):
        return RejectCode.REPLAYED, "this proposal was accepted before; ask for its status"
    if proposal.publish_by_epoch <= listener.head_epoch:
        return (
            RejectCode.EXPIRED,
            f"to be published by epoch {proposal.publish_by_epoch}; it is {listener.head_epoch}",
        )
    return None
