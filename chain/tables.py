"""The tables of a ledger, and which rows its records are: the records' bytes are the truth."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import MetaData, String, Table
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from chain.block import Genesis, LedgerBlock, Receipt
from chain.deal import Deal, Reservation
from chain.schema import NAMING
from chain.view import Entity, Stored

SCHEMA_VERSION: Final = 3
"""Goes up with every change of the tables, or of what the records in them look like."""

_KEY: Final = String().with_variant(String(collation="C"), "postgresql")
"""Keys are scanned in the order of their bytes, as Python compares them."""


class LedgerTable(SQLModel, registry=registry()):
    """A table of the ledger. SQLModel's own registry is shared by every store in the process."""

    metadata = MetaData(naming_convention=NAMING)


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


Row = dict[str, Any]


def genesis_row(genesis: Genesis) -> Row:
    """Return the row of where a chain began."""
    return {"chain_id": genesis.chain_id, "record": genesis.encode()}


def entity_row(entity: Entity) -> Row:
    """Return the row of one entity of the state."""
    record = Stored(entity=entity).encode()
    return {"key": entity.key, "due_epoch": entity.due_epoch, "record": record}


def proposal_row(entity: Deal | Reservation) -> Row:
    """Return the row of who agreed on a deal or a reservation."""
    proposal = entity.proposal
    return {
        "key": entity.key,
        "proposal_cid": str(proposal.cid),
        "client": proposal.client,
        "provider_id": proposal.provider_id,
        "root_cid": str(proposal.root_cid),
    }


def block_row(block: LedgerBlock) -> Row:
    """Return the row of one epoch."""
    header, record = block.signed_header.encode(), block.encode()
    return {"epoch": block.header.epoch, "header": header, "record": record}


def receipt_row(receipt: Receipt) -> Row:
    """Return the row of what became of a message."""
    record = receipt.encode()
    return {"message_id": str(receipt.message_id), "epoch": receipt.epoch, "record": record}


ROWS: Final[Mapping[type[LedgerTable], Callable[[bytes], Row]]] = {
    GenesisRow: lambda record: genesis_row(Genesis.decode(record)),
    EntityRow: lambda record: entity_row(Stored.decode(record).entity),
    BlockRow: lambda record: block_row(LedgerBlock.decode(record)),
    ReceiptRow: lambda record: receipt_row(Receipt.decode(record)),
}
"""What a row of each table is, by its record; a proof's has none, a proposal's is an entity's."""


def table_of(kind: type[LedgerTable]) -> Table:
    """Return the table behind a class."""
    found: Table = kind.__table__  # type: ignore[attr-defined]  # SQLModel adds it
    return found
