"""Everything that can be said to the ledger, and how it is signed."""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import FailFast, Field, model_validator

from chain.deal import DealProposal
from chain.keys import Address, SigningKey, is_signed_by
from chain.provider import Ask, Multiaddrs
from chain.sector import Node
from chain.units import Atto, DealId, Epoch, ProviderId, SectorNumber
from ipfs.cid import CID
from ipfs.record import Record
from proofs.parameters import ProofType

MESSAGE_SIGNATURE = "message"
ITEMS_MAX = 1024
"""No policy allows a larger batch; this bounds what is parsed before the policy is asked."""

Item = TypeVar("Item")
Items = Annotated[tuple[Item, ...], FailFast(), Field(min_length=1, max_length=ITEMS_MAX)]
"""What a batch consists of. The first bad item ends the parsing: a list of errors takes longer."""


class Transfer(Record):
    """Give money to another account."""

    kind: Literal["transfer"] = "transfer"
    to: Address
    amount_atto: Atto


class DrawFaucet(Record):
    """Mint money for the sender, where the policy has a faucet. Costs no fee."""

    kind: Literal["draw-faucet"] = "draw-faucet"
    amount_atto: Atto


class RegisterProvider(Record):
    """Enter the registry; the sender becomes the owner."""

    kind: Literal["register-provider"] = "register-provider"
    worker: Address
    peer_id: Annotated[str, Field(max_length=128)]
    addresses: Multiaddrs


class UpdateProvider(Record):
    """Tell where the provider is reached now. From its worker or owner."""

    kind: Literal["update-provider"] = "update-provider"
    provider_id: ProviderId
    peer_id: Annotated[str, Field(max_length=128)]
    addresses: Multiaddrs


class PostAsk(Record):
    """Put the provider's current ask into the registry. From its worker."""

    kind: Literal["post-ask"] = "post-ask"
    ask: Ask


class ReserveEscrow(Record):
    """Set aside the price of a proposal. From its client, whose signature this is."""

    kind: Literal["reserve-escrow"] = "reserve-escrow"
    proposal: DealProposal


class CancelProposal(Record):
    """Free the money of a proposal that is not published yet. From its client."""

    kind: Literal["cancel-proposal"] = "cancel-proposal"
    proposal_cid: CID


class PublishDeals(Record):
    """Open deals on reserved proposals whose pieces were received. From the worker."""

    kind: Literal["publish-deals"] = "publish-deals"
    provider_id: ProviderId
    proposal_cids: Items[CID]


class SectorPreCommit(Record):
    """One sealed sector: what it holds, and the commitment to its replica."""

    number: SectorNumber
    proof_type: ProofType
    comm_d: Node
    comm_r: Node
    ticket_epoch: Epoch
    deal_ids: Items[DealId]


class PreCommitSectors(Record):
    """Commit to replicas before their challenge is known. From the worker."""

    kind: Literal["pre-commit-sectors"] = "pre-commit-sectors"
    provider_id: ProviderId
    sectors: Items[SectorPreCommit]

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.deal_count > ITEMS_MAX:
            raise ValueError(f"{self.deal_count} deals; a message names {ITEMS_MAX} at most")
        return self

    @property
    def deal_count(self) -> int:
        """Return how many deals it names, in all of its sectors."""
        return sum(len(sector.deal_ids) for sector in self.sectors)


class SectorProof(Record):
    """One sector's proof; the bytes travel beside the message, as a block under this CID."""

    number: SectorNumber
    proof_cid: CID


class ProveCommitSectors(Record):
    """Answer the replication challenges. From the worker."""

    kind: Literal["prove-commit-sectors"] = "prove-commit-sectors"
    provider_id: ProviderId
    proofs: Items[SectorProof]


class SubmitWindowPost(Record):
    """Answer the challenges of one window, sector by sector. From the worker."""

    kind: Literal["submit-window-post"] = "submit-window-post"
    provider_id: ProviderId
    window_epoch: Epoch
    proofs: Items[SectorProof]


class DeclareFaults(Record):
    """Say, before a window opens, that these sectors will miss it. From the worker."""

    kind: Literal["declare-faults"] = "declare-faults"
    provider_id: ProviderId
    window_epoch: Epoch
    numbers: Items[SectorNumber]


Body = (
    Transfer
    | DrawFaucet
    | RegisterProvider
    | UpdateProvider
    | PostAsk
    | ReserveEscrow
    | CancelProposal
    | PublishDeals
    | PreCommitSectors
    | ProveCommitSectors
    | SubmitWindowPost
    | DeclareFaults
)


def spoken_for(body: Body) -> ProviderId | None:
    """Return the provider that a message speaks for, None if its sender speaks for itself."""
    match body:
        case (
            UpdateProvider(provider_id=provider_id)
            | PublishDeals(provider_id=provider_id)
            | PreCommitSectors(provider_id=provider_id)
            | ProveCommitSectors(provider_id=provider_id)
            | SubmitWindowPost(provider_id=provider_id)
            | DeclareFaults(provider_id=provider_id)
            | PostAsk(ask=Ask(provider_id=provider_id))
        ):
            return provider_id
        case _:
            return None


def item_count(body: Body) -> int:
    """Return how much there is to settle in a message: the work that it makes grows with it."""
    match body:
        case PublishDeals(proposal_cids=items):
            return len(items)
        case PreCommitSectors():
            return body.deal_count
        case ProveCommitSectors(proofs=proofs) | SubmitWindowPost(proofs=proofs):
            return len(proofs)
        case DeclareFaults(numbers=numbers):
            return len(numbers)
        case _:
            return 1


class Message(Record):
    """One thing said once, by one sender, to one chain. Its CID is its id."""

    chain_id: str
    sender: Address
    nonce: Annotated[int, Field(ge=0, le=2**53)]
    expires_epoch: Epoch
    """The last block that takes it."""

    body: Annotated[Body, Field(discriminator="kind")]

    @property
    def proof_cids(self) -> tuple[CID, ...]:
        """Return the proofs that travel beside it."""
        match self.body:
            case ProveCommitSectors(proofs=proofs) | SubmitWindowPost(proofs=proofs):
                return tuple(proof.proof_cid for proof in proofs)
            case _:
                return ()


class SignedMessage(Record):
    """A message under its sender's signature."""

    message: Message
    signature: bytes

    @classmethod
    def sign(cls, message: Message, key: SigningKey) -> "SignedMessage":
        """Return the message, signed."""
        signature = key.sign(MESSAGE_SIGNATURE, message.cid.encode())
        return cls(message=message, signature=signature)

    @property
    def id(self) -> CID:
        """Return the message's id: a hash of what was said, never of the signature."""
        return self.message.cid

    def is_authentic(self) -> bool:
        """Whether the signature is the sender's."""
        return is_signed_by(
            self.message.sender, MESSAGE_SIGNATURE, self.message.cid.encode(), self.signature
        )
