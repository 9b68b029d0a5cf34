"""A deal: what two parties signed, and how far the ledger has settled it."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chain.keys import Address
from chain.units import Atto, DealId, Epoch, ProviderId, SectorNumber
from ipfs.cid import CID
from ipfs.record import Record

LABEL_BYTES_MAX = 256


class RetrievalTerms(Record):
    """What the provider keeps unsealed, and what a GiB of it costs to fetch."""

    keeps_unsealed: bool = True
    price_atto_per_gib: Atto = Atto(0)


class DealProposal(Record):
    """What client and provider agree on: keep this piece, over these epochs, for this money.

    Frozen, and valid by construction: a proposal that exists makes sense on its own. Whether
    it is acceptable *now*, with these balances, `reserve_escrow` and `publish_deals` decide.
    Its CID is its name, and is good once.
    """

    piece_cid: CID
    piece_size_bytes: Annotated[int, Field(ge=128, le=2**50)]
    """The padded size: a power of two."""

    root_cid: CID
    client: Address
    provider_id: ProviderId
    label: str = ""
    start_epoch: Epoch
    end_epoch: Epoch
    """The first epoch nobody pays for."""

    publish_by_epoch: Epoch
    price_atto_per_epoch: Atto
    collateral_atto: Atto
    retrieval_terms: RetrievalTerms = RetrievalTerms()
    chain_id: str
    nonce: Annotated[int, Field(ge=0, le=2**53)]
    """Tells two proposals with the same terms apart."""

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        if self.end_epoch <= self.start_epoch:
            raise ValueError("a deal must end after it starts")
        if self.publish_by_epoch > self.start_epoch:
            raise ValueError("a deal is published before it starts")
        if self.piece_size_bytes & (self.piece_size_bytes - 1):
            raise ValueError("a piece's size is a power of two")
        if len(self.label.encode()) > LABEL_BYTES_MAX:
            raise ValueError(f"a label has at most {LABEL_BYTES_MAX} bytes")
        return self

    @property
    def duration_epochs(self) -> int:
        """Return the number of epochs paid for; the last one is `end_epoch - 1`."""
        return self.end_epoch - self.start_epoch

    @property
    def payment_atto(self) -> Atto:
        """Return the whole price: what the client's quote said, to the atto."""
        return Atto(self.price_atto_per_epoch * self.duration_epochs)


class Reservation(Record):
    """A client's money, set aside for one proposal until it is published or lapses."""

    kind: Literal["reservation"] = "reservation"
    proposal: DealProposal

    @property
    def key(self) -> str:
        """Return where the state keeps it."""
        return f"reservation/{self.proposal.cid}"

    @property
    def due_epoch(self) -> Epoch:
        """Return when it releases the money by itself."""
        return Epoch(self.proposal.publish_by_epoch + 1)


class UsedProposal(Record):
    """Remembers that a proposal was used, since it is good once, and which deal it became."""

    kind: Literal["used-proposal"] = "used-proposal"
    proposal_cid: CID
    publish_by_epoch: Epoch
    deal_id: DealId | None = None

    @property
    def key(self) -> str:
        """Return where the state keeps it."""
        return f"proposal/{self.proposal_cid}"

    @property
    def due_epoch(self) -> Epoch | None:
        """Return when it is forgotten: the proposal itself has expired by then."""
        return Epoch(self.publish_by_epoch + 1) if self.deal_id is None else None


class DealState(StrEnum):
    """Where a published deal stands; what came before is in docs/protocols/deal.md."""

    PUBLISHED = "published"
    ACTIVE = "active"
    FAULTY = "faulty"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"
    LAPSED = "lapsed"
    """Never proven: not pre-committed by its start, or not proven in time after that."""

    @property
    def is_live(self) -> bool:
        """Whether a sector holds it and its money can still move."""
        return self in (DealState.PUBLISHED, DealState.ACTIVE, DealState.FAULTY)


class Deal(Record):
    """A deal on the ledger.

    At every moment: paid + refunded + unsettled = the proposal's payment. The client's account
    locks `unsettled_atto`, the provider's owner `collateral_atto`, while the deal is live.
    """

    kind: Literal["deal"] = "deal"
    id: DealId
    proposal: DealProposal
    state: DealState = DealState.PUBLISHED
    published_epoch: Epoch
    sector_number: SectorNumber | None = None
    settled_until_epoch: Epoch
    """Every epoch before this is paid or refunded; starts at the proposal's start."""

    paid_atto: Atto = Atto(0)
    refunded_atto: Atto = Atto(0)
    collateral_atto: Atto
    """What is left of the provider's collateral."""

    compensation_atto: Atto = Atto(0)
    """What the client received of the provider's collateral and deposit."""

    windows_proven: Annotated[int, Field(ge=0)] = 0
    windows_missed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _is_settled_within_its_time(self) -> Self:
        if not self.proposal.start_epoch <= self.settled_until_epoch <= self.proposal.end_epoch:
            raise ValueError("a deal is settled within its own time")
        return self

    @property
    def key(self) -> str:
        """Return where the state keeps it."""
        return f"deal/{self.id:016d}"

    @property
    def due_epoch(self) -> Epoch | None:
        """Return when the ledger must move it, if nobody did before."""
        if self.state is DealState.PUBLISHED:
            is_waiting = self.sector_number is None
            return Epoch(self.proposal.start_epoch + 1) if is_waiting else None
        return self.proposal.end_epoch if self.state.is_live else None

    @property
    def is_settled(self) -> bool:
        """Whether every epoch is paid or refunded: no window asks about it any more."""
        return self.settled_until_epoch == self.proposal.end_epoch

    @property
    def unsettled_atto(self) -> Atto:
        """Return what the client still has locked for it."""
        if not self.state.is_live:
            return Atto(0)
        remaining_epochs = self.proposal.end_epoch - self.settled_until_epoch
        return Atto(self.proposal.price_atto_per_epoch * remaining_epochs)
