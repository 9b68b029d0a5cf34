"""A sector: sealed pieces under one commitment, proven again in every window."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from chain.units import Atto, DealId, Epoch, ProviderId, SectorNumber
from ipfs.record import Record
from proofs.parameters import ProofType

Node = Annotated[bytes, Field(min_length=32, max_length=32)]
"""A commitment: one node of 32 bytes."""


def sector_key(provider_id: ProviderId, number: SectorNumber) -> str:
    """Return where the state keeps a sector."""
    return f"sector/{provider_id:016d}/{number:016d}"


class SectorState(StrEnum):
    """Where a sector stands."""

    PRECOMMITTED = "precommitted"
    ACTIVE = "active"
    FAULTY = "faulty"
    EXPIRED = "expired"
    """Its deals are over."""

    TERMINATED = "terminated"
    """Given up: faulty for too long, or never proven."""

    @property
    def is_live(self) -> bool:
        """Whether it must answer windows."""
        return self in (SectorState.ACTIVE, SectorState.FAULTY)


class Sector(Record):
    """A sector on the ledger.

    window_epoch:  the opening of the window that it must answer now, or next
    missed:        openings of the windows missed since its last proof, oldest first; to recover
                   it answers their challenges too
    declared:      openings of the windows that the provider said, before they opened, it would
                   miss; newest last, and only those that still count against the next
    """

    kind: Literal["sector"] = "sector"
    provider_id: ProviderId
    number: SectorNumber
    proof_type: ProofType
    state: SectorState = SectorState.PRECOMMITTED
    comm_d: Node
    comm_r: Node
    ticket_epoch: Epoch
    precommit_epoch: Epoch
    prove_by_epoch: Epoch
    deposit_atto: Atto
    deal_ids: Annotated[tuple[DealId, ...], Field(min_length=1)]
    """In the order in which their pieces lie."""

    deadline_index: Annotated[int, Field(ge=0)] | None = None
    """Fixed when the replica is proven."""

    window_epoch: Epoch | None = None
    close_epoch: Epoch | None = None
    """The first epoch that is too late for the window at `window_epoch`."""

    missed: tuple[Epoch, ...] = ()
    declared: tuple[Epoch, ...] = ()
    forgiven_epoch: Epoch | None = None
    """The last miss that cost no fee."""

    @property
    def key(self) -> str:
        """Return where the state keeps it."""
        return sector_key(self.provider_id, self.number)

    @property
    def is_declared(self) -> bool:
        """Whether its next window is one that it was said to miss."""
        return self.window_epoch is not None and self.window_epoch in self.declared

    @property
    def due_epoch(self) -> Epoch | None:
        """Return when the ledger must move it, if nobody did before."""
        if self.state is SectorState.PRECOMMITTED:
            return Epoch(self.prove_by_epoch + 1)
        return self.close_epoch if self.state.is_live else None
