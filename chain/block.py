"""Blocks: what one epoch settled, under the ledger's signature."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from chain.beacon import BeaconSignature, ChainBeacon, DrandBeacon, OwnBeacon
from chain.keys import Address, SigningKey, is_signed_by
from chain.messages import SignedMessage
from chain.policy import MAIN, Policy
from chain.sector import Node
from chain.units import Atto, Epoch
from ipfs.cid import CID
from ipfs.record import Record
from proofs.errors import ProofRejected

BLOCK_SIGNATURE = "block"


class Allocation(Record):
    """Money that an account has from the start."""

    address: Address
    amount_atto: Atto


class Genesis(Record):
    """Where a chain begins. Its CID is the chain's id, so everything here is agreed on."""

    policy: Policy
    ledger_address: Address
    """Whose key signs the blocks; also the account that fees go to."""

    beacon: ChainBeacon
    timestamp_milliseconds: Annotated[int, Field(ge=0, le=2**53)]
    allocations: tuple[Allocation, ...] = ()

    @model_validator(mode="after")
    def _is_of_one_network(self) -> Self:
        for address in (self.ledger_address, *(each.address for each in self.allocations)):
            if not address.startswith(f"{self.policy.address_prefix}1"):
                raise ValueError(f"{address} is an address of another network")
        return self

    @model_validator(mode="after")
    def _keeps_time_with_its_beacon(self) -> Self:
        if self.policy.name == MAIN.name and not self.beacon_is_drand:
            raise ValueError("main takes its randomness from drand's quicknet")
        if isinstance(self.beacon, DrandBeacon):
            if self.policy.epoch_seconds % self.beacon.period_seconds:
                raise ValueError("an epoch must be a number of drand's rounds")
            if self.beacon.round_due(self.timestamp_milliseconds) is None:
                raise ValueError("a chain that follows drand begins when a round is due")
        return self

    @property
    def beacon_is_drand(self) -> bool:
        """Whether nobody, not even the operator, knows a challenge early."""
        return isinstance(self.beacon, DrandBeacon) and self.beacon.is_quicknet

    def earliest_milliseconds(self, parent: "Header | None") -> int:
        """Return the first time that a block on top of `parent` may have.

        Rounds of drand are never used twice, nor quicker than the epochs that they stand for.
        """
        if parent is None:
            return self.timestamp_milliseconds
        return parent.timestamp_milliseconds + self._epoch_milliseconds_min

    @property
    def _epoch_milliseconds_min(self) -> int:
        follows_drand = isinstance(self.beacon, DrandBeacon)
        return self.policy.epoch_seconds * 1_000 if follows_drand else 0

    def verify_beacon(self, header: "Header") -> None:
        """Check that a header has the randomness of its epoch, or of its time.

        Raises: `ProofRejected`.
        """
        began = self.timestamp_milliseconds + header.epoch * self._epoch_milliseconds_min
        if header.timestamp_milliseconds < began:
            raise ProofRejected("so many epochs have not passed since the chain began")
        match self.beacon:
            case OwnBeacon() as own:
                own.verify(header.beacon, chain_id=self.chain_id, epoch=header.epoch)
            case DrandBeacon() as drand:
                timestamp = header.timestamp_milliseconds
                drand.verify(header.beacon, timestamp_milliseconds=timestamp)

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
    """96 bytes by the ledger's own key, 48 of quicknet."""

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
