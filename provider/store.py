"""What the ledger cannot know, on a disk: promises, and which sector numbers they were given."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import MetaData
from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel, col, func, select

from chain.schema import NAMING, make_tables
from chain.sqlite import IS_WRITING, open_engine
from chain.units import SectorNumber
from ipfs.cid import CID
from proofs.parameters import ProofType
from provider.promise import Promise, SectorPlan

_T = TypeVar("_T")

SCHEMA_VERSION: Final = 2
"""Goes up with every change of the tables, or of what the records in them look like."""


class ProviderTable(SQLModel, registry=registry()):
    """A table of the provider's. SQLModel's own registry is shared by every store in a process."""

    metadata = MetaData(naming_convention=NAMING)


class PromiseRow(ProviderTable, table=True):
    """One promise. The record is the truth; other columns exist to be queried."""

    __tablename__ = "promises"
    proposal_cid: str = Field(primary_key=True)
    is_open: bool = Field(index=True)
    record: bytes


class SectorPlanRow(ProviderTable, table=True):
    """One sector number, given out once."""

    __tablename__ = "sector_plans"
    number: int = Field(primary_key=True)
    is_cleared: bool = Field(index=True)
    record: bytes


class ProviderStore:
    """Promises and sector plans; whatever a call has changed is durable when it returns.

    url:  a SQLAlchemy URL; an empty database gets its tables

    Raises `OtherSchema` for a database that another version made.
    One process at a time changes it: the daemon's lock on its folder sees to that.
    """

    def __init__(self, url: str) -> None:
        # What reads first and then writes would else meet another writer half-way.
        self._engine = open_engine(url).execution_options(**{IS_WRITING: True})
        make_tables(self._engine, ProviderTable.metadata, version=SCHEMA_VERSION)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    async def add_promise(self, promise: Promise) -> None:
        """Keep a promise that is about to be made."""

        def add(session: Session) -> None:
            session.add(_promise_row(promise))

        await self._run(add)

    async def promise(self, proposal_cid: CID) -> Promise | None:
        """Return the promise for a proposal, closed ones too; None if there was none."""

        def read(session: Session) -> Promise | None:
            row = session.get(PromiseRow, str(proposal_cid))
            return None if row is None else Promise.decode(row.record)

        return await self._run(read)

    async def promises(self, *, closed: bool = False) -> tuple[Promise, ...]:
        """Return the open promises, or all of them."""

        def read(session: Session) -> tuple[Promise, ...]:
            wanted = select(PromiseRow.record).order_by(col(PromiseRow.proposal_cid))
            if not closed:
                wanted = wanted.where(col(PromiseRow.is_open))
            return tuple(Promise.decode(record) for record in session.exec(wanted))

        return await self._run(read)

    async def change_promise(self, proposal_cid: CID, **changes: Any) -> Promise:
        """Return the promise, changed."""

        def change(session: Session) -> Promise:
            row = session.get_one(PromiseRow, str(proposal_cid))
            changed = Promise.decode(row.record).evolve(**changes)
            session.merge(_promise_row(changed))
            return changed

        return await self._run(change)

    async def assign(
        self, proposal_cids: Sequence[CID], proof_type: ProofType, *, above: SectorNumber | None
    ) -> SectorPlan:
        """Give proposals a sector number that was never used, or the one that they have already.

        above:  the highest number that the ledger knows, should it know more than this store
        """

        def assign(session: Session) -> SectorPlan:
            for plan in _plans(session):
                if set(plan.proposal_cids) & set(proposal_cids):
                    assert plan.proposal_cids == tuple(proposal_cids), "a deal lies in one sector"
                    return plan
            highest = session.exec(select(func.max(SectorPlanRow.number))).one()
            used = [number for number in (highest, above) if number is not None]
            plan = SectorPlan(
                number=SectorNumber(max(used, default=-1) + 1),
                proof_type=proof_type,
                proposal_cids=tuple(proposal_cids),
            )
            session.add(_plan_row(plan))
            return plan

        return await self._run(assign)

    async def plan(self, number: SectorNumber) -> SectorPlan:
        """Return what a sector number was given out for."""

        def read(session: Session) -> SectorPlan:
            return SectorPlan.decode(session.get_one(SectorPlanRow, number).record)

        return await self._run(read)

    async def plans(self) -> tuple[SectorPlan, ...]:
        """Return the plans that are not cleared, by number."""
        return await self._run(lambda session: tuple(_plans(session)))

    async def change_plan(self, number: SectorNumber, **changes: Any) -> SectorPlan:
        """Return the plan, changed."""

        def change(session: Session) -> SectorPlan:
            row = session.get_one(SectorPlanRow, number)
            changed = SectorPlan.decode(row.record).evolve(**changes)
            session.merge(_plan_row(changed))
            return changed

        return await self._run(change)

    async def _run(self, step: Callable[[Session], _T]) -> _T:
        """Run one transaction in a thread; a cancelled caller still gets all of it or nothing."""

        def run() -> _T:
            with self._transaction() as session:
                return step(session)

        return await asyncio.to_thread(run)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with Session(self._engine) as session, session.begin():
            yield session


def _plans(session: Session) -> Iterator[SectorPlan]:
    wanted = select(SectorPlanRow.record).where(col(SectorPlanRow.is_cleared).is_(False))
    for record in session.exec(wanted.order_by(col(SectorPlanRow.number))):
        yield SectorPlan.decode(record)


def _promise_row(promise: Promise) -> PromiseRow:
    return PromiseRow(
        proposal_cid=str(promise.proposal_cid), is_open=promise.is_open, record=promise.encode()
    )


def _plan_row(plan: SectorPlan) -> SectorPlanRow:
    return SectorPlanRow(number=plan.number, is_cleared=plan.is_cleared, record=plan.encode())
