"""The state as transitions read it, the changes they make, and a state that lives in memory."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field

from chain.account import Account
from chain.block import Refusal
from chain.deal import Deal, Reservation, UsedProposal
from chain.errors import NotFound
from chain.keys import Address
from chain.policy import Policy
from chain.provider import Provider
from chain.sector import Sector, sector_key
from chain.units import Atto, DealId, Epoch, ProviderId, SectorNumber
from ipfs.cid import CID
from ipfs.record import Record
from proofs.porep import PorepStatement
from proofs.post import WindowStatement

Statement = PorepStatement | WindowStatement


class Counters(Record):
    """The numbers that the ledger gives out next, and the money it has made."""

    kind: Literal["counters"] = "counters"
    next_deal_id: DealId = DealId(1)
    next_provider_id: ProviderId = ProviderId(1)
    minted_atto: Atto = Atto(0)

    @property
    def key(self) -> str:
        """Return where the state keeps it."""
        return "counters"

    @property
    def due_epoch(self) -> None:
        """Return None: counters never move by themselves."""
        return


Entity = Account | Reservation | UsedProposal | Deal | Provider | Sector | Counters


class Stored(Record):
    """Any entity, as its record's bytes are read back."""

    entity: Annotated[Entity, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Transition:
    """The new values of the entities that one step changed.

    writes:       each entity at most once
    removes:      keys of entities that are no more
    refusals:     items of a batch that were refused
    created_ids:  numbers that the step gave out
    """

    writes: tuple[Entity, ...] = ()
    removes: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    created_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        keys = [entity.key for entity in self.writes] + list(self.removes)
        assert len(keys) == len(set(keys)), "an entity written twice loses a write"


class LedgerView(ABC):
    """The state at one epoch. Reading never changes it."""

    def __init__(self, *, policy: Policy, chain_id: str, ledger: Address, epoch: Epoch) -> None:
        self.policy = policy
        self.chain_id = chain_id
        self.ledger = ledger
        """The account that fees go to."""
        self.epoch = epoch
        """The epoch that is being closed."""

    @abstractmethod
    def get(self, key: str) -> Entity | None:
        """Return the entity under a key, None if there is none."""

    @abstractmethod
    def scan(self, prefix: str) -> Iterator[Entity]:
        """Yield the entities whose keys start with `prefix`, in the order of their keys."""

    @abstractmethod
    def due(self, epoch: Epoch) -> Iterator[Entity]:
        """Yield the entities whose `due_epoch` is at most `epoch`, in the order of their keys."""

    @abstractmethod
    def beacon(self, epoch: Epoch) -> bytes:
        """Return the 32 bytes of randomness of an epoch that was closed, or is being closed."""

    @abstractmethod
    def verdict(self, statement: Statement, proof_cid: CID) -> bool:
        """Whether the proof under this CID holds for the statement. Raises `ProofUnverified`."""

    def account(self, address: Address) -> Account:
        """Return the account, empty if it was never used."""
        found = self.get(f"account/{address}")
        return found if isinstance(found, Account) else Account(address=address)

    def provider(self, provider_id: ProviderId) -> Provider:
        """Return the provider. Raises `NotFound`."""
        found = self.get(f"provider/{provider_id:016d}")
        if not isinstance(found, Provider):
            raise NotFound("provider", provider_id)
        return found

    def providers(self) -> Iterator[Provider]:
        """Yield the registry."""
        return (found for found in self.scan("provider/") if isinstance(found, Provider))

    def reservation(self, proposal_cid: CID) -> Reservation:
        """Return the reservation for a proposal. Raises `NotFound`."""
        found = self.get(f"reservation/{proposal_cid}")
        if not isinstance(found, Reservation):
            raise NotFound("reservation for", proposal_cid)
        return found

    def deal_of(self, proposal_cid: CID) -> Deal | None:
        """Return the deal that a proposal became, None if it is not published."""
        used = self.get(f"proposal/{proposal_cid}")
        if not isinstance(used, UsedProposal) or used.deal_id is None:
            return None
        return self.deal(used.deal_id)

    def deal(self, deal_id: DealId) -> Deal:
        """Return the deal. Raises `NotFound`."""
        found = self.get(f"deal/{deal_id:016d}")
        if not isinstance(found, Deal):
            raise NotFound("deal", deal_id)
        return found

    def deals(self) -> Iterator[Deal]:
        """Yield all deals, oldest first."""
        return (found for found in self.scan("deal/") if isinstance(found, Deal))

    def sector(self, provider_id: ProviderId, number: SectorNumber) -> Sector:
        """Return the sector. Raises `NotFound`."""
        found = self.get(sector_key(provider_id, number))
        if not isinstance(found, Sector):
            raise NotFound(f"sector of provider {provider_id}:", number)
        return found

    def sectors_of(self, provider_id: ProviderId) -> Iterator[Sector]:
        """Yield the provider's sectors, by number."""
        found = self.scan(f"sector/{provider_id:016d}/")
        return (sector for sector in found if isinstance(sector, Sector))

    def deals_of(self, sector: Sector) -> tuple[Deal, ...]:
        """Return the deals in a sector, in the order in which their pieces lie."""
        return tuple(self.deal(deal_id) for deal_id in sector.deal_ids)

    def counters(self) -> Counters:
        """Return the numbers given out next."""
        found = self.get("counters")
        return found if isinstance(found, Counters) else Counters()


class Draft(LedgerView):
    """A view with changes on top; nothing below is touched."""

    def __init__(self, base: LedgerView) -> None:
        super().__init__(
            policy=base.policy, chain_id=base.chain_id, ledger=base.ledger, epoch=base.epoch
        )
        self._base = base
        self._changed: dict[str, Entity | None] = {}
        self._refusals: list[Refusal] = []
        self._created_ids: list[int] = []

    def write(self, transition: Transition) -> None:
        """Put the changes on top."""
        self.put(*transition.writes)
        self._changed.update((key, None) for key in transition.removes)
        self._refusals += transition.refusals
        self._created_ids += transition.created_ids

    def put(self, *entities: Entity) -> None:
        """Put new values of these entities on top."""
        self._changed.update((entity.key, entity) for entity in entities)

    def remove(self, *entities: Entity) -> None:
        """Let these entities be no more."""
        self._changed.update((entity.key, None) for entity in entities)

    def refuse(self, refusal: Refusal) -> None:
        """Note that one item of a batch was refused."""
        self._refusals.append(refusal)

    def transition(self) -> Transition:
        """Return everything that was put on top, as one transition over the base."""
        return Transition(
            writes=tuple(entity for entity in self._changed.values() if entity is not None),
            removes=tuple(
                key
                for key, entity in self._changed.items()
                if entity is None and self._base.get(key) is not None
            ),
            refusals=tuple(self._refusals),
            created_ids=tuple(self._created_ids),
        )

    def get(self, key: str) -> Entity | None:
        """Return the entity under a key, changes first."""
        return self._changed[key] if key in self._changed else self._base.get(key)

    def scan(self, prefix: str) -> Iterator[Entity]:
        """Yield the entities whose keys start with `prefix`, in the order of their keys."""
        changed = (entity for key, entity in self._changed.items() if key.startswith(prefix))
        return self._merge(self._base.scan(prefix), changed)

    def due(self, epoch: Epoch) -> Iterator[Entity]:
        """Yield what is due at `epoch` or was before, in the order of the keys."""
        changed = (entity for entity in self._changed.values() if _is_due(entity, epoch))
        return self._merge(self._base.due(epoch), changed)

    def beacon(self, epoch: Epoch) -> bytes:
        """Return the randomness of an epoch."""
        return self._base.beacon(epoch)

    def verdict(self, statement: Statement, proof_cid: CID) -> bool:
        """Whether the proof holds for the statement."""
        return self._base.verdict(statement, proof_cid)

    def _merge(self, below: Iterable[Entity], changed: Iterable[Entity | None]) -> Iterator[Entity]:
        kept = [entity for entity in below if entity.key not in self._changed]
        merged = kept + [entity for entity in changed if entity is not None]
        return iter(sorted(merged, key=lambda entity: entity.key))


class MemoryLedger(LedgerView):
    """The state in a dict: stories, simulations, replays.

    judge:    checks proofs; given the statement and the proof's CID
    beacons:  randomness by epoch, 32 bytes each
    """

    def __init__(self, *, policy: Policy, chain_id: str, ledger: Address, judge: "Judge") -> None:
        super().__init__(policy=policy, chain_id=chain_id, ledger=ledger, epoch=Epoch(0))
        self.beacons: dict[Epoch, bytes] = {}
        self._judge = judge
        self._entities: dict[str, Entity] = {}

    @property
    def entities(self) -> Mapping[str, Entity]:
        """Return the whole state, by key."""
        return self._entities

    def at(self, epoch: Epoch, beacon: bytes) -> Self:
        """Move on to an epoch; everything read from now on is read in it."""
        self.epoch = epoch
        self.beacons[epoch] = beacon
        return self

    def write(self, transition: Transition) -> None:
        """Make the changes."""
        self._entities.update((entity.key, entity) for entity in transition.writes)
        for key in transition.removes:
            del self._entities[key]

    def get(self, key: str) -> Entity | None:
        """Return the entity under a key, None if there is none."""
        return self._entities.get(key)

    def scan(self, prefix: str) -> Iterator[Entity]:
        """Yield the entities whose keys start with `prefix`, in the order of their keys."""
        keys = sorted(key for key in self._entities if key.startswith(prefix))
        return (self._entities[key] for key in keys)

    def due(self, epoch: Epoch) -> Iterator[Entity]:
        """Yield what is due at `epoch` or was before, in the order of the keys."""
        due = (entity for entity in self._entities.values() if _is_due(entity, epoch))
        return iter(sorted(due, key=lambda entity: entity.key))

    def beacon(self, epoch: Epoch) -> bytes:
        """Return the randomness of an epoch."""
        return self.beacons[epoch]

    def verdict(self, statement: Statement, proof_cid: CID) -> bool:
        """Whether the proof holds for the statement."""
        return self._judge(statement, proof_cid)


class Judge(ABC):
    """Says whether a proof holds. The node's knows what was verified, an audit's what was said."""

    @abstractmethod
    def __call__(self, statement: Statement, proof_cid: CID) -> bool:
        """Whether the proof under this CID holds for the statement. Raises `ProofUnverified`."""


def _is_due(entity: Entity | None, epoch: Epoch) -> bool:
    return entity is not None and entity.due_epoch is not None and entity.due_epoch <= epoch
