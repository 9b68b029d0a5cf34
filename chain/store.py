"""The ledger on a disk: any SQL database, one transaction a block, the records' bytes as truth."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, bindparam, delete, func, insert
from sqlmodel import Session, col, select

from chain.block import Genesis, LedgerBlock, Receipt, SignedHeader
from chain.deal import Deal, Reservation
from chain.errors import NotFound
from chain.fingerprint import Fingerprint
from chain.keys import Address
from chain.merkle import StateTree
from chain.randomness import drawn_from
from chain.schema import damages, has_tables, make_tables
from chain.sqlite import IS_WRITING, open_engine
from chain.tables import (
    ROWS,
    SCHEMA_VERSION,
    BlockRow,
    EntityRow,
    GenesisRow,
    LedgerTable,
    ProofRow,
    ProposalRow,
    ReceiptRow,
    Row,
    block_row,
    entity_row,
    genesis_row,
    proposal_row,
    receipt_row,
    table_of,
)
from chain.units import Epoch, ProviderId
from chain.view import Entity, Stored, Transition
from ipfs.block import Block
from ipfs.cid import CID

DATABASE_NAME: Final = "ledger.sqlite"
"""In a node's data folder, unless its settings name another database."""


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
        self._insert(GenesisRow, [genesis_row(genesis)])

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
        self._insert(EntityRow, [entity_row(entity) for entity in transition.writes])
        proposed = [
            proposal_row(entity)
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
        self._insert(BlockRow, [block_row(block)])
        self._insert(ReceiptRow, [receipt_row(receipt) for receipt in block.receipts])

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

    def proofs(self) -> Iterator[tuple[CID, Epoch]]:
        """Yield the proofs whose bytes are kept, and until when."""
        kept = self._session.exec(select(ProofRow.cid, ProofRow.expires_epoch))
        return ((CID.parse(cid), Epoch(expires_epoch)) for cid, expires_epoch in kept)

    def damages(self) -> Iterator[str]:
        """Yield what of this is no ledger, whatever happened in it; reads everything.

        A file that is damaged, and rows that are not as their records say. Raises
        `DatabaseDamaged`, `MalformedBytes`.
        """
        connection = self._session.connection()
        yield from damages(connection, LedgerTable.metadata, version=SCHEMA_VERSION)
        for kind, row_of in ROWS.items():
            for row in self._rows(kind):
                if row != row_of(row["record"]):
                    yield f"a row of {kind.__tablename__} is not its record's"
        proposed = (each for each in self.entities() if isinstance(each, Deal | Reservation))
        for kept, right in zip_longest(self._rows(ProposalRow), map(proposal_row, proposed)):
            if kept != right:
                yield f"the row of the proposal {(right or kept)['key']} is another"

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

    def _rows(self, kind: type[LedgerTable]) -> Iterator[Row]:
        table = table_of(kind)
        found = self._session.connection().execute(table.select().order_by(*table.primary_key))
        return (dict(row) for row in found.mappings())

    def _delete(self, table: type[LedgerTable], keys: Sequence[str]) -> None:
        [primary] = table_of(table).primary_key
        if keys:
            self._session.connection().execute(
                delete(table).where(primary == bindparam("wanted")),
                [{"wanted": key} for key in keys],
            )

    def _insert(self, table: type[LedgerTable], rows: Sequence[Row]) -> None:
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
        self._engine = open_engine(url)
        self._writing = self._engine.execution_options(**{IS_WRITING: True})
        self._is_written = False

    def __str__(self) -> str:
        """Return where it is, without a password."""
        return self._engine.url.render_as_string(hide_password=True)

    def create_tables(self) -> None:
        """Make the tables if there are none, in order to write. Raises `OtherSchema`."""
        self._is_written = True
        if self._file is not None:
            Fingerprint(self._file).drop()
        make_tables(self._writing, LedgerTable.metadata, version=SCHEMA_VERSION)

    def has_tables(self) -> bool:
        """Whether there is a ledger to read; looking for it makes none. Raises `OtherSchema`."""
        if self._file is not None and not self._file.exists():
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

    def is_as_closed(self) -> bool:
        """Whether the file is what it was when its writer closed it, as far as anybody knows."""
        return self._file is None or Fingerprint(self._file).fits()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
        # What is left of a log is still to come into the file.
        if self._is_written and self._file is not None and not _log_of(self._file).exists():
            Fingerprint(self._file).take()

    @property
    def _file(self) -> Path | None:
        url = self._engine.url
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None

    @contextmanager
    def _open(self, engine: Engine) -> Iterator[LedgerTransaction]:
        with Session(engine) as session, session.begin():
            yield LedgerTransaction(session)


def _log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")
