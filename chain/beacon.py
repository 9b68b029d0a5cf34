"""Whose randomness a chain takes: the ledger's own key, or drand."""

from dataclasses import asdict
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chain.randomness import beacon_message
from chain.units import Epoch
from ipfs.record import Record
from proofs.bls import PublicKey
from proofs.drand import QUICKNET, DrandChain, Round, Scheme, verify_round
from proofs.errors import ProofRejected

BeaconSignature = Annotated[bytes, Field(min_length=48, max_length=96)]
Seconds = Annotated[int, Field(ge=0, le=2**43)]


class OwnBeacon(Record):
    """The ledger's own key signs the epoch. Whoever holds it knows every challenge ahead."""

    kind: Literal["own"] = "own"
    public_key: Annotated[bytes, Field(min_length=48, max_length=48)]

    @cached_property
    def _key(self) -> PublicKey:
        return PublicKey(self.public_key)

    def verify(self, signature: bytes, *, chain_id: str, epoch: Epoch) -> None:
        """Check the signature of an epoch. Raises: `ProofRejected`."""
        if not self._key.verify(beacon_message(chain_id, epoch), signature):
            raise ProofRejected("the ledger's beacon key did not sign this epoch")


class DrandBeacon(Record):
    """A drand chain signs its rounds: a block has the time of a round, and carries its signature.

    chain_hash:  drand's name for it, 32 bytes
    public_key:  96 bytes where signatures are short, else 48
    """

    kind: Literal["drand"] = "drand"
    chain_hash: Annotated[bytes, Field(min_length=32, max_length=32)]
    scheme: Scheme
    public_key: Annotated[bytes, Field(min_length=48, max_length=96)]
    genesis_seconds: Seconds
    period_seconds: Annotated[int, Field(ge=1, le=86_400)]

    @model_validator(mode="after")
    def _is_unchained(self) -> Self:
        if self.scheme is Scheme.CHAINED:
            raise ValueError("a header has no room for the signature that a chained round signs")
        return self

    @classmethod
    def of(cls, chain: DrandChain) -> Self:
        """Return a chain as a genesis names it."""
        return cls(**asdict(chain))

    @property
    def chain(self) -> DrandChain:
        """Return the chain, whose key is checked once."""
        return self._chain

    @cached_property
    def _chain(self) -> DrandChain:
        return DrandChain(**self.model_dump(exclude={"kind"}))

    @property
    def is_quicknet(self) -> bool:
        """Whether it is drand's own: any other chain's key may be in one hand."""
        return self.chain == QUICKNET

    def round_due(self, milliseconds: int) -> int | None:
        """Return the round that is due at just this time since 1970, None if none is."""
        number = self.chain.round_at(milliseconds // 1_000)
        is_due = number > 0 and self.due_milliseconds(number) == milliseconds
        return number if is_due else None

    def due_milliseconds(self, number: int) -> int:
        """Return when a round is due, in milliseconds since 1970."""
        return self.chain.due_seconds(number) * 1_000

    def first_round_from(self, milliseconds: int) -> int:
        """Return the first round that is due at this time or later."""
        since_seconds = -(-milliseconds // 1_000) - self.genesis_seconds
        return max(0, -(-since_seconds // self.period_seconds)) + 1

    def verify(self, signature: bytes, *, timestamp_milliseconds: int) -> None:
        """Check the signature of the round of a block's time. Raises: `ProofRejected`."""
        number = self.round_due(timestamp_milliseconds)
        if number is None:
            raise ProofRejected("no round of drand is due at the block's time")
        verify_round(self.chain, Round(number, signature))


ChainBeacon = Annotated[OwnBeacon | DrandBeacon, Field(discriminator="kind")]
