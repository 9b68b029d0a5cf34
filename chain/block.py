"""Blocks: what one epoch settled, under the ledger's signature."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chain.keys import Address, SigningKey, is_signed_by
from chain.messages import SignedMessage
from chain.policy import Policy
from chain.sector import Node
from chain.units import Atto, Epoch
from ipfs.cid import CID
from ipfs.record import Record

BLOCK_SIGNATURE = "block"
BeaconSignature = Annotated[bytes, Field(min_length=96, max_length=96)]
BeaconKey = Annotated[bytes, Field(min_length=48, max_length=48)]


class Allocation(Record):
    """Money that an account has from the start."""

    address: Address
    amount_atto: Atto


class Genesis(Record):
    """Where a chain begins. Its CID is the chain's id, so everything here is agreed on."""

    policy: Policy
    ledger_address: Address
    """Whose key signs the blocks; also the account that fees go to."""

    beacon_public_key: BeaconKey
    beacon_is_drand: Literal[False] = False
    """The ledger's own key, whose operator could know challenges early.

    Nothing here follows drand yet, so a genesis that claims it would be believed unchecked.
    """

    timestamp_milliseconds: Annotated[int, Field(ge=0, le=2**53)]
    allocations: tuple[Allocation, ...] = ()

    @model_validator(mode="after")
    def _is_of_one_network(self) -> Self:
        for address in (self.ledger_address, *(each.address for each in self.allocations)):
            if not address.startswith(f"{self.policy.address_prefix}1"):
                raise ValueError(f"{address} is an address of another network")
        return self

    @property
    def chain_id(self) -> str:
        """Return the chain's id, as every message names it."""
        return str(self.cid)


class Refusal(Record):
    """One item of a batch that was refused; the others stand."""

    index: Annotated[int, Field(ge=0)]
    code: str
    detail: str


class Receipt(Record):
    """What became of a message. A refused one spent its nonce and fee and changed nothing else."""

    message_id: CID
    epoch: Epoch
    code: str | None = None
    """None: done. Else the refusal's code."""

    detail: str = ""
    refusals: tuple[Refusal, ...] = ()
    fee_atto: Atto
    created_ids: tuple[int, ...] = ()
    """Numbers the ledger gave out: deals, or a provider; in the order of the items that stood."""

    @property
    def is_done(self) -> bool:
        """Whether the message as a whole stood (single items may still be refused)."""
        return self.code is None


class Verdict(Record):
    """What the ledger found of one proof; kept in the block, so that a replay can do without bytes.

    statement_digest:  SHA-256 over everything the proof was checked against
    """

    statement_digest: Node
    proof_cid: CID
    is_valid: bool


class Header(Record):
    """One epoch. The roots make every receipt and entity provable from this alone."""

    chain_id: str
    epoch: Epoch
    timestamp_milliseconds: Annotated[int, Field(ge=0, le=2**53)]
    parent: CID | None
    beacon: BeaconSignature
    message_root: Node
    receipt_root: Node
    verdict_root: Node
    state_root: Node


class SignedHeader(Record):
    """A header under the ledger's signature."""

    header: Header
    signature: bytes

    @classmethod
    def sign(cls, header: Header, key: SigningKey) -> "SignedHeader":
        """Return the header, signed."""
        return cls(header=header, signature=key.sign(BLOCK_SIGNATURE, header.cid.encode()))

    def is_signed_by(self, ledger: Address) -> bool:
        """Whether this ledger's key signed it."""
        return is_signed_by(ledger, BLOCK_SIGNATURE, self.header.cid.encode(), self.signature)


class Beacon(Record):
    """The beacon of one closed epoch: its signature, and the 32 bytes that this gives."""

    epoch: Epoch
    signature: BeaconSignature
    randomness: bytes


class LedgerBlock(Record):
    """A header and what it commits to, in order."""

    signed_header: SignedHeader
    messages: tuple[SignedMessage, ...]
    receipts: tuple[Receipt, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def header(self) -> Header:
        """Return the header itself."""
        return self.signed_header.header
