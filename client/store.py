"""What only the client knows: the proposals it signed, so that an interrupted store goes on."""

from pathlib import Path
from typing import Final

from sqlalchemy import MetaData
from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel, create_engine, select

from chain.schema import make_tables
from ipfs.cid import CID
from market.messages import SignedProposal

SCHEMA_VERSION: Final = 1
"""Goes up with every change of the tables, or of what the records in them look like."""


class ClientTable(SQLModel, registry=registry(metadata=MetaData())):
    """The client's own tables; SQLModel's default registry is shared by every store."""


class ProposalRow(ClientTable, table=True):
    """One proposal. The record is the truth; other columns exist to be queried."""

    __tablename__ = "proposals"

    proposal_cid: str = Field(primary_key=True)
    root_cid: str = Field(index=True)
    record: bytes


class ClientStore:
    """The client's memory, in one SQLite file.

    Raises `OtherSchema` for a file that another version made.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(f"sqlite:///{path}")
        make_tables(self._engine, ClientTable.metadata, version=SCHEMA_VERSION)

    def remember(self, signed: SignedProposal) -> None:
        """Keep a proposal; it is on the disk when this returns."""
        proposal = signed.proposal
        row = ProposalRow(
            proposal_cid=str(proposal.cid),
            root_cid=str(proposal.root_cid),
            record=signed.encode(),
        )
        with Session(self._engine) as session, session.begin():
            session.merge(row)

    def proposals(self, root_cid: CID) -> tuple[SignedProposal, ...]:
        """Return every proposal ever signed for a DAG."""
        query = select(ProposalRow).where(ProposalRow.root_cid == str(root_cid))
        with Session(self._engine) as session:
            return tuple(SignedProposal.decode(row.record) for row in session.exec(query))

    def close(self) -> None:
        """Let the file go."""
        self._engine.dispose()
