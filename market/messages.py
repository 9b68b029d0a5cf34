"""What client and provider say to each other before the ledger hears of it."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from chain.deal import DealProposal
from chain.keys import Address, SigningKey, is_signed_by
from chain.provider import Multiaddrs
from chain.units import Epoch
from ipfs.cid import CID
from ipfs.record import Record

ASK_PROTOCOL: Final = "/holdfast/ask/1.0.0"
DEAL_PROTOCOL: Final = "/holdfast/deal/1.0.0"
FRAME_BYTES_MAX: Final = 16 * 1024
"""Three times the largest message: a proposal with every address that fits beside it."""

PROPOSAL_SIGNATURE: Final = "proposal"
ACCEPTANCE_SIGNATURE: Final = "acceptance"
REASON_CHARACTERS_MAX: Final = 512

ByteCount = Annotated[int, Field(ge=0, le=2**53)]
Reason = Annotated[str, Field(max_length=REASON_CHARACTERS_MAX)]


class AskRequest(Record):
    """What do you sell, and for how much? Answered by a `SignedAsk`."""

    kind: Literal["ask-request"] = "ask-request"


class SignedProposal(Record):
    """A proposal under its client's signature."""

    proposal: DealProposal
    signature: bytes

    @classmethod
    def sign(cls, proposal: DealProposal, client: SigningKey) -> "SignedProposal":
        """Return the proposal, signed."""
        signature = client.sign(PROPOSAL_SIGNATURE, proposal.cid.encode())
        return cls(proposal=proposal, signature=signature)

    def is_authentic(self) -> bool:
        """Whether the signature is the client's that the proposal names."""
        proposal = self.proposal
        return is_signed_by(
            proposal.client, PROPOSAL_SIGNATURE, proposal.cid.encode(), self.signature
        )


class Propose(Record):
    """Will you keep this? The blocks are served by the peer named here."""

    kind: Literal["propose"] = "propose"
    signed_proposal: SignedProposal
    client_peer_id: Annotated[str, Field(max_length=128)]
    client_addresses: Multiaddrs

    @property
    def proposal(self) -> DealProposal:
        """Return the proposal itself."""
        return self.signed_proposal.proposal


class Accept(Record):
    """The provider's promise to fetch, publish and seal, once the money is set aside.

    fetch_by_epoch:  the client's blocks must all have come by then, or the promise lapses
    signature:       the worker's, over the proposal's CID
    """

    kind: Literal["accept"] = "accept"
    proposal_cid: CID
    fetch_by_epoch: Epoch
    signature: bytes

    @classmethod
    def sign(cls, proposal_cid: CID, *, fetch_by_epoch: Epoch, worker: SigningKey) -> "Accept":
        """Return the acceptance, signed."""
        signature = worker.sign(ACCEPTANCE_SIGNATURE, proposal_cid.encode())
        return cls(proposal_cid=proposal_cid, fetch_by_epoch=fetch_by_epoch, signature=signature)

    def is_signed_by(self, worker: Address) -> bool:
        """Whether this worker signed it."""
        return is_signed_by(
            worker, ACCEPTANCE_SIGNATURE, self.proposal_cid.encode(), self.signature
        )


class RejectCode(StrEnum):
    """Why a provider says no. The codes are protocol: clients act on them."""

    SIGNATURE = "signature"
    """Not signed by the client that the proposal names."""

    CHAIN = "chain"
    NOT_FOR_ME = "not-for-me"
    """It names another provider."""

    EXPIRED = "expired"
    """Its time to be published is over, or too near."""

    REPLAYED = "replayed"
    """This proposal was answered before; ask for its status."""

    PROOF_TYPE = "proof-type"
    """The network does not take the kind of sector that is asked for."""

    PRICE_TOO_LOW = "price-too-low"
    PIECE_TOO_SMALL = "piece-too-small"
    PIECE_TOO_LARGE = "piece-too-large"
    PIECE_CID = "piece-cid"
    """The piece's CID is no piece commitment, or says another size."""

    DURATION = "duration"
    START = "start"
    """It starts before a sector could be sealed, or too far ahead."""

    COLLATERAL = "collateral"
    FUNDS = "funds"
    """The client's account does not have the price now: reserving it would be refused."""

    NO_SPACE = "no-space"
    BUSY = "busy"
    """Try again later: too much is under way."""


class Reject(Record):
    """The provider's no: a code for programs, a sentence for people."""

    kind: Literal["reject"] = "reject"
    proposal_cid: CID
    code: RejectCode
    reason: Reason


class StatusRequest(Record):
    """How does my proposal stand? And where its client's blocks are to be fetched by now.

    client_addresses:  believed of the peer that proposed, which may have moved since
    """

    kind: Literal["status-request"] = "status-request"
    proposal_cid: CID
    client_addresses: Multiaddrs = ()


class Progress(StrEnum):
    """How far a provider is with a proposal."""

    UNKNOWN = "unknown"
    """It was never accepted here."""

    AWAITS_ESCROW = "awaits-escrow"
    TRANSFERRING = "transferring"
    RECEIVED = "received"
    PUBLISHED = "published"
    SEALING = "sealing"
    SEALED = "sealed"
    PROVEN = "proven"
    DROPPED = "dropped"


class Status(Record):
    """How a proposal stands.

    done_bytes, total_bytes:  of the transfer, or of the sealing while that is under way
    acceptance:               again, for a client that lost it
    detail:                   why it was dropped, or what is waited for
    """

    kind: Literal["status"] = "status"
    proposal_cid: CID
    progress: Progress
    done_bytes: ByteCount = 0
    total_bytes: ByteCount = 0
    acceptance: Accept | None = None
    detail: Reason = ""


class DealRequest(Record):
    """One thing a client says on a deal stream."""

    body: Annotated[Propose | StatusRequest, Field(discriminator="kind")]


class DealReply(Record):
    """The one answer to it."""

    body: Annotated[Accept | Reject | Status, Field(discriminator="kind")]
