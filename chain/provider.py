"""A provider: who owns it, who signs its proofs, where it is reached, what it asks."""

from typing import Annotated, Literal

from pydantic import FailFast, Field

from chain.keys import Address, SigningKey, is_signed_by
from chain.units import BYTES_PER_GIB, Atto, Epoch, ProviderId
from ipfs.record import Record
from proofs.parameters import ProofType

ADDRESSES_MAX = 16
Multiaddrs = Annotated[
    tuple[Annotated[str, Field(max_length=256)], ...],
    FailFast(),
    Field(max_length=ADDRESSES_MAX),
]
"""Where a peer is reached, without the /p2p part."""

ASK_SIGNATURE = "ask"


class Ask(Record):
    """What a provider sells, and for how much; good until it expires or a newer one is signed."""

    provider_id: ProviderId
    chain_id: str
    proof_type: ProofType
    """The kind of sector that it seals."""

    price_atto_per_gib_epoch: Atto
    piece_size_bytes_min: Annotated[int, Field(ge=128, le=2**53)]
    piece_size_bytes_max: Annotated[int, Field(ge=128, le=2**53)]
    duration_epochs_max: Annotated[int, Field(ge=1, le=2**53)]
    retrieval_price_atto_per_gib: Atto = Atto(0)
    expires_epoch: Epoch

    def price_atto_per_epoch(self, piece_size_bytes: int) -> Atto:
        """Return what this piece costs an epoch, rounded up to the atto."""
        return Atto(-(-self.price_atto_per_gib_epoch * piece_size_bytes // BYTES_PER_GIB))


class SignedAsk(Record):
    """An ask under its worker's signature, as it travels between peers."""

    ask: Ask
    signature: bytes

    @classmethod
    def sign(cls, ask: Ask, worker: SigningKey) -> "SignedAsk":
        """Return the ask, signed."""
        return cls(ask=ask, signature=worker.sign(ASK_SIGNATURE, ask.cid.encode()))

    def is_signed_by(self, worker: Address) -> bool:
        """Whether this worker signed it."""
        return is_signed_by(worker, ASK_SIGNATURE, self.ask.cid.encode(), self.signature)


class Provider(Record):
    """A provider in the ledger's registry.

    owner:    the money key, which can stay cold; earnings and collateral are its account's
    worker:   signs proofs, asks and publications; their fees are the owner's
    peer_id:  the network identity that answers for it
    """

    kind: Literal["provider"] = "provider"
    id: ProviderId
    owner: Address
    worker: Address
    peer_id: Annotated[str, Field(max_length=128)]
    addresses: Multiaddrs = ()

    ask: Ask | None = None

    @property
    def key(self) -> str:
        """Return where the state keeps it."""
        return f"provider/{self.id:016d}"

    @property
    def due_epoch(self) -> None:
        """Return None: a provider never moves by itself."""
        return
