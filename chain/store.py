"""The ledger on a disk: any SQL database, one transaction a block, the records' bytes as truth."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    String,
    bindparam,
    delete,
    event,
    func,
    insert,
)
from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel, col, create_engine, select

from chain.block import Genesis, LedgerBlock, Receipt, SignedHeader
from chain.deal import Deal, Reservation
from chain.errors import NotFound
from chain.keys import Address
from chain.merkle import StateTree
from chain.randomness import drawn_from
from chain.schema import has_tables, make_tables
from chain.units import Epoch, ProviderId
from chain.view import Entity, Stored, Transition
from ipfs.block import Block
from ipfs.cid import CID

DATABASE_NAME: Final = "ledger.sqlite"
"""In a node's data folder, unless its settings name another database."""

SCHEMA_VERSION: Final = 3
"""Goes up with every change of the tables, or of what the records in them look like."""

_NAMING: Final = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
_KEY: Final = String().with_variant(String(collation="C"), "postgresql")
"""Keys are scanned in the order of their bytes, as Python compares them."""


class LedgerTable(SQLModel, registry=registry()):
    """A table of the ledger. SQLModel's own registry is shared by every store in the process."""

    metadata = MetaData(naming_convention=_NAMING)


class GenesisRow(LedgerTable, table=True):
    """Where the chain began. One row."""

    __tablename__ = "genesis"
    chain_id: str = Field(primary_key=True)
    record: bytes


class EntityRow(LedgerTable, table=True):
    """One entity of the state. The record is the truth; other columns exist to be queried."""

    __tablename__ = "entities"
    key: str = Field(primary_key=True, sa_type=_KEY)
    due_epoch: int | None = Field(default=None, index=True)
    record: bytes


class ProposalRow(LedgerTable, table=True):
    """Who agreed on what, for each deal and reservation."""

    __tablename__ = "proposals"
    key: str = Field(primary_key=True, sa_type=_KEY)
    proposal_cid: str = Field(index=True)
    client: str = Field(index=True)
    provider_id: int = Field(index=True)
    root_cid: str = Field(index=True)


class BlockRow(LedgerTable, table=True):
    """One epoch."""

    __tablename__ = "blocks"
    epoch: int = Field(primary_key=True)
    header: bytes
    """The signed header alone: most readers want no more."""

    record: bytes


class ReceiptRow(LedgerTable, table=True):
    """What became of one message."""

    __tablename__ = "receipts"
    message_id: str = Field(primary_key=True)
    epoch: int = Field(index=True)
    record: bytes


class ProofRow(LedgerTable, table=True):
    """One proof's bytes, for as long as anyone may ask for them."""

    __tablename__ = "proofs"
    cid: str = Field(primary_key=True)
    expires_epoch: int = Field(index=True)
    data: bytes


class LedgerTransaction:
    """One snapshot of all that the ledger holds; what is written to it is all kept, or nothing."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def genesis(self) -> Genesis | None:
        """Return where the chain began, None if it has not."""
        record = self._session.exec(select(GenesisRow.record)).first()
        return None if record is None else Genesis.decode(record)

    def begin(self, genesis: Genesis) -> None:
        """Begin a chain; there is none yet."""
        assert self.genesis() is None, "a chain begins once"
        self._session.add(GenesisRow(chain_id=genesis.chain_id, record=genesis.encode()))
        self._session.flush()

    def entity(self, key: str) -> Entity | None:
        """Return the entity under a key, None if there is none."""
        found = self._session.exec(select(EntityRow.record).where(col(EntityRow.key) == key))
        record = found.first()
        return None if record is None else Stored.decode(record).entity

    def entities(self, prefix: str = "") -> Iterator[Entity]:
        """Yield the entities whose keys start with `prefix`, in the order of their keys."""
        wanted = select(EntityRow.record).order_by(col(EntityRow.key))
        if prefix:
            end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
            wanted = wanted.where(col(EntityRow.key) >= prefix, col(EntityRow.key) < end)
        return (Stored.decode(record).entity for record in self._session.exec(wanted))

    def state_tree(self) -> StateTree:
        """Return the tree over the whole state; reads all of it."""
        entries = select(EntityRow.key, EntityRow.record)
        return StateTree.of((key, record) for key, record in self._session.exec(entries))

    def due(self, epoch: Epoch) -> Iterator[Entity]:
        """Yield the entities whose `due_epoch` is at most `epoch`, in the order of their keys."""
        wanted = select(EntityRow.record).where(col(EntityRow.due_epoch) <= epoch)
        found = self._session.exec(wanted.order_by(col(EntityRow.key)))
        return (Stored.decode(record).entity for record in found)

    def write(self, transition: Transition) -> None:
        """Make the changes, the indexes' included."""
        keys = [*transition.removes, *(entity.key for entity in transition.writes)]
        self._delete(EntityRow, keys)
        self._delete(ProposalRow, keys)
        self._insert(EntityRow, [_entity_row(entity) for entity in transition.writes])
        proposed = [
            _proposal_row(entity)
            for entity in transition.writes
            if isinstance(entity, Deal | Reservation)
        ]
        self._insert(ProposalRow, proposed)

    def deals(
        self,
        *,
        client: Address | None = None,
        provider_id: ProviderId | None = None,
        root_cid: CID | None = None,
        proposal_cid: CID | None = None,
    ) -> tuple[Deal, ...]:
        """Return the deals that fit every filter given, oldest first."""
        found = self._proposed(
            "deal/",
            client=client,
            provider_id=provider_id,
            root_cid=None if root_cid is None else str(root_cid),
            proposal_cid=None if proposal_cid is None else str(proposal_cid),
        )
        return tuple(deal for deal in found if isinstance(deal, Deal))

    def reservations(self, provider_id: ProviderId) -> tuple[Reservation, ...]:
        """Return the money set aside for proposals to a provider."""
        found = self._proposed("reservation/", provider_id=provider_id)
        return tuple(entity for entity in found if isinstance(entity, Reservation))

    def append(self, block: LedgerBlock) -> None:
        """Put a block and its receipts on top of the chain."""
        epoch = block.header.epoch
        header, record = block.signed_header.encode(), block.encode()
        self._insert(BlockRow, [{"epoch": epoch, "header": header, "record": record}])
        receipts = [
            {"message_id": str(receipt.message_id), "epoch": epoch, "record": receipt.encode()}
            for receipt in block.receipts
        ]
        self._insert(ReceiptRow, receipts)

    def head(self) -> SignedHeader:
        """Return the newest block's header. Raises `NotFound` before there is one."""
        newest = select(BlockRow.header).order_by(col(BlockRow.epoch).desc()).limit(1)
        record = self._session.exec(newest).first()
        if record is None:
            raise NotFound("block", "at all")
        return SignedHeader.decode(record)

    def header(self, epoch: Epoch) -> SignedHeader:
        """Return an epoch's header. Raises `NotFound`."""
        found = self._session.exec(select(BlockRow.header).where(col(BlockRow.epoch) == epoch))
        record = found.first()
        if record is None:
            raise NotFound("block of epoch", epoch)
        return SignedHeader.decode(record)

    def block(self, epoch: Epoch) -> LedgerBlock:
        """Return an epoch's block. Raises `NotFound`."""
        found = self._session.exec(select(BlockRow.record).where(col(BlockRow.epoch) == epoch))
        record = found.first()
        if record is None:
            raise NotFound("block of epoch", epoch)
        return LedgerBlock.decode(record)

    def beacon(self, epoch: Epoch) -> bytes:
        """Return the 32 bytes of randomness of a closed epoch. Raises `NotFound`."""
        return drawn_from(self.header(epoch).header.beacon)

    def receipt(self, message_id: CID) -> Receipt | None:
        """Return a message's receipt, None if it is in no block."""
        wanted = select(ReceiptRow.record).where(col(ReceiptRow.message_id) == str(message_id))
        record = self._session.exec(wanted).first()
        return None if record is None else Receipt.decode(record)

    def receipt_count(self) -> int:
        """Return how many receipts there are."""
        return self._session.exec(select(func.count()).select_from(ReceiptRow)).one()

    def keep_proofs(self, proofs: Iterable[Block], *, until: Epoch) -> None:
        """Keep proof bytes until an epoch."""
        rows = [{"cid": str(p.cid), "expires_epoch": until, "data": p.data} for p in proofs]
        self._delete(ProofRow, [str(row["cid"]) for row in rows])
        self._insert(ProofRow, rows)

    def drop_proofs(self, *, before: Epoch) -> None:
        """Delete the proof bytes that need not be kept any more."""
        expired = delete(ProofRow).where(col(ProofRow.expires_epoch) < before)
        self._session.connection().execute(expired)

    def proof(self, cid: CID) -> bytes | None:
        """Return a proof's bytes, None if they are not kept."""
        found = self._session.exec(select(ProofRow.data).where(col(ProofRow.cid) == str(cid)))
        return found.first()

    def _proposed(self, prefix: str, **columns: str | int | None) -> Iterator[Entity]:
        wanted = select(EntityRow.record).join(
            ProposalRow, col(ProposalRow.key) == col(EntityRow.key)
        )
        wanted = wanted.where(col(ProposalRow.key).startswith(prefix))
        for name, value in columns.items():
            if value is not None:
                wanted = wanted.where(getattr(ProposalRow, name) == value)
        found = self._session.exec(wanted.order_by(col(ProposalRow.key)))
        return (Stored.decode(record).entity for record in found)

    def _delete(self, table: type[LedgerTable], keys: Sequence[str]) -> None:
        [primary] = table.__table__.primary_key  # type: ignore[attr-defined]  # SQLModel adds it
        if keys:
            self._session.connection().execute(
                delete(table).where(primary == bindparam("wanted")),
                [{"wanted": key} for key in keys],
            )

    def _insert(self, table: type[LedgerTable], rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self._session.connection().execute(insert(table), rows)


def database_url(folder: Path, configured_url: str | None) -> str:
    """Return where a ledger with this data folder is kept, as a SQLAlchemy URL."""
    return configured_url or f"sqlite:///{folder / DATABASE_NAME}"


class LedgerStore:
    """The ledger's unit of work: everything inside `transaction` happens, or none of it.

    url:  any SQLAlchemy URL

    One writer at a time, any number of readers, each in a thread of its own.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._writing = self._engine.execution_options(**{_IS_WRITING: True})

    def __str__(self) -> str:
        """Return where it is, without a password."""
        return self._engine.url.render_as_string(hide_password=True)

    def create_tables(self) -> None:
        """Make the tables if there are none. Raises `OtherSchema`."""
        make_tables(self._writing, LedgerTable.metadata, version=SCHEMA_VERSION)

    def has_tables(self) -> bool:
        """Whether there is a ledger to read; looking for it makes none. Raises `OtherSchema`."""
        url = self._engine.url
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            return False
        return has_tables(self._engine, LedgerTable.metadata, version=SCHEMA_VERSION)

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """Open a transaction to write in; commit on a clean exit, roll back on any exception."""
        with self._open(self._writing) as transaction:
            yield transaction

    @contextmanager
    def reading(self) -> Iterator[LedgerTransaction]:
        """Open a snapshot to read from; nothing that happens meanwhile is seen."""
        with self._open(self._engine) as transaction:
            yield transaction

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _open(self, engine: Engine) -> Iterator[LedgerTransaction]:
        with Session(engine) as session, session.begin():
            yield LedgerTransaction(session)


_IS_WRITING: Final = "holdfast_is_writing"


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The driver would begin transactions by itself, later than asked and never IMMEDIATE.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 5000")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer can meet another one and fail; a writer says so at once.
    is_writing = connection.get_execution_options().get(_IS_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _entity_row(entity: Entity) -> dict[str, Any]:
    record = Stored(entity=entity).encode()
    return {"key": entity.key, "due_epoch": entity.due_epoch, "record": record}


def _proposal_row(entity: Deal | Reservation) -> dict[str, Any]:
    proposal = entity.proposal
    return {
        "key": entity.key,
        "proposal_cid": str(proposal.cid),
        "client": proposal.client,
        "provider_id": proposal.provider_id,
        "root_cid": str(proposal.root_cid),
    }
