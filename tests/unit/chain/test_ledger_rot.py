"""Bits that flip in a ledger's file: each is found, and no wrong state is served."""

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chain.audit import AuditFailed, audit_folder
from chain.schema import OtherSchema
from chain.sqlite import DatabaseDamaged
from chain.store import DATABASE_NAME, LedgerStore
from ipfs.errors import PeerError
from tests.support.nodes import SealingProvider, stepped_ledger

PLACES = 1_000


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ledger of a few blocks, closed in order."""
    folder = tmp_path_factory.mktemp("rot")

    async def settle() -> None:
        with stepped_ledger(folder / "ledger") as on:
            await on.funds("alice", "bob")
            bob = await SealingProvider.registers(on, "bob", folder)
            await bob.stores("alice")

    asyncio.run(settle())
    return folder / "ledger"


def contents(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as database:
        return [*database.iterdump()]


def is_damage_found(folder: Path) -> bool:
    """Whether an audit fails before it replays anything."""
    store = LedgerStore(f"sqlite:///{folder / DATABASE_NAME}")
    try:
        store.has_tables()
        with store.reading() as history:
            return any(history.damages())
    except (DatabaseDamaged, OtherSchema, PeerError):
        return True
    finally:
        store.close()


def flipped(whole: bytes, bit: int) -> bytes:
    rotten = bytearray(whole)
    rotten[bit // 8] ^= 1 << bit % 8
    return bytes(rotten)


def test_of_a_closed_ledger_any_flipped_bit_is_found(closed: Path) -> None:
    path, luck = closed / DATABASE_NAME, random.Random(1)
    whole = path.read_bytes()
    audit_folder(closed)
    store = LedgerStore(f"sqlite:///{path}")
    try:
        for place in range(PLACES):
            path.write_bytes(flipped(whole, luck.randrange(8 * len(whole))))
            assert not store.is_as_closed()
            if place % 100 == 0:
                with pytest.raises((AuditFailed, OtherSchema)):
                    audit_folder(closed)
    finally:
        path.write_bytes(whole)
        store.close()
    audit_folder(closed)


def test_without_a_fingerprint_what_is_not_found_changes_nothing(
    closed: Path, tmp_path: Path
) -> None:
    """As of a running ledger, or one that was killed: SQLite leaves gaps, which nobody reads."""
    whole, right, luck = (closed / DATABASE_NAME).read_bytes(), contents(closed), random.Random(2)
    used = [at for at, byte in enumerate(whole) if byte]
    found = 0
    for place in range(PLACES):
        at = luck.choice(used) if place % 2 else luck.randrange(len(whole))
        (tmp_path / DATABASE_NAME).write_bytes(flipped(whole, 8 * at + luck.randrange(8)))
        if is_damage_found(tmp_path):
            found += 1
        elif contents(tmp_path) != right:
            with pytest.raises(AuditFailed):
                audit_folder(tmp_path)
            found += 1
    assert found > PLACES // 2


def test_a_state_that_decayed_is_not_served(closed: Path, tmp_path: Path) -> None:
    shutil.copytree(closed, tmp_path / "ledger")
    with closing(sqlite3.connect(tmp_path / "ledger" / DATABASE_NAME)) as database, database:
        database.execute("DELETE FROM entities WHERE key LIKE 'account/%'")
    with (
        pytest.raises(DatabaseDamaged, match="not what its newest block signs"),
        stepped_ledger(tmp_path / "ledger"),
    ):
        pass
