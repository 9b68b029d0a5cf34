"""A history that holds is found to hold; one byte changed anywhere in it is found."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chain.audit import AuditFailed, audit_folder
from chain.block import LedgerBlock, SignedHeader
from chain.messages import Transfer
from chain.schema import OtherSchema
from chain.store import DATABASE_NAME, LedgerStore
from chain.tables import SCHEMA_VERSION
from chain.units import Atto
from tests.support.nodes import SOME_ATTO, SealingProvider, stepped_ledger

TABLES = {
    "genesis": "record",
    "entities": "record",
    "blocks": "record",
    "receipts": "record",
    "proofs": "data",
}


@pytest_asyncio.fixture
async def honest(tmp_path: Path) -> AsyncIterator[Path]:
    folder = tmp_path / "honest"
    with stepped_ledger(folder) as on:
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        _, number = await bob.activates("alice")
        answer, proof = await bob.window_answer(number)
        await on.does(bob.worker, answer, [proof])
        too_much = Transfer(to=on.address("bob"), amount_atto=Atto(10**30))
        await on.ledger.submit(await on.signed("alice", too_much))
        await on.closes(2)
    yield folder


def tampered(honest: Path, name: str) -> sqlite3.Connection:
    copy = honest.with_name(name)
    shutil.copytree(honest, copy)
    (copy / f"{DATABASE_NAME}.sha256").unlink()
    return sqlite3.connect(copy / DATABASE_NAME)


async def test_an_honest_history_holds(honest: Path) -> None:
    report = audit_folder(honest)
    assert report.verdicts_checked == 2
    assert report.minted_atto == 2 * SOME_ATTO
    assert audit_folder(honest) == report


async def test_a_flipped_bit_is_found_in_every_table(honest: Path) -> None:
    for table, column in TABLES.items():
        with tampered(honest, table) as disk:
            rows = disk.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        for rowid, record in rows[:: max(1, len(rows) // 4)]:
            name = f"{table}-{rowid}"
            disk = tampered(honest, name)
            at = len(record) // 2
            flipped = record[:at] + bytes((record[at] ^ 1,)) + record[at + 1 :]
            with disk:
                disk.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (flipped, rowid))
            disk.close()
            with pytest.raises(AuditFailed):
                audit_folder(honest.with_name(name))
            shutil.rmtree(honest.with_name(name))


async def test_what_is_missing_or_too_much_is_found(honest: Path) -> None:
    for name, change in (
        ("a block", "DELETE FROM blocks WHERE epoch = 3"),
        ("a receipt", "DELETE FROM receipts WHERE rowid = 2"),
        ("an entity", "DELETE FROM entities WHERE key LIKE 'deal/%'"),
        ("the genesis", "DELETE FROM genesis"),
        ("the first block", "DELETE FROM blocks WHERE epoch = 0"),
    ):
        with tampered(honest, name) as disk:
            disk.execute(change)
        disk.close()
        with pytest.raises(AuditFailed):
            audit_folder(honest.with_name(name))


async def test_what_is_kept_beside_the_records_is_found_to_be_wrong(honest: Path) -> None:
    for change in (
        "UPDATE genesis SET chain_id = 'another'",
        "UPDATE entities SET key = key || '1' WHERE key LIKE 'account/%'",
        "UPDATE entities SET due_epoch = due_epoch + 1 WHERE due_epoch IS NOT NULL",
        "UPDATE proposals SET client = 'nobody'",
        "UPDATE proposals SET root_cid = proposal_cid",
        "UPDATE proposals SET key = key || '1'",
        "DELETE FROM proposals",
        "UPDATE blocks SET header = 'a text' WHERE epoch = 2",
        "UPDATE receipts SET epoch = epoch + 1",
        "UPDATE proofs SET expires_epoch = expires_epoch + 1",
        "UPDATE proofs SET cid = 'none' WHERE rowid = 1",
        "DELETE FROM proofs",
        "DROP INDEX ix_receipts_epoch",
    ):
        with tampered(honest, "beside") as disk:
            disk.execute(change)
        disk.close()
        with pytest.raises(AuditFailed):
            audit_folder(honest.with_name("beside"))
        shutil.rmtree(honest.with_name("beside"))


async def test_an_operator_who_signs_another_history_is_found(honest: Path, tmp_path: Path) -> None:
    """Every signature is right, and the roots fit what they cover; but a message was left out."""
    from chain.closing import root_over
    from chain.genesis import open_keys

    keys = open_keys(honest)
    with tampered(honest, "resigned") as disk:
        rows = disk.execute("SELECT epoch, record FROM blocks ORDER BY epoch").fetchall()
        blocks = [LedgerBlock.decode(record) for _, record in rows]
        [lie] = [block for block in blocks if block.header.epoch == 1]
        header = lie.header.evolve(
            message_root=root_over(lie.messages[:1]), receipt_root=root_over(lie.receipts[:1])
        )
        signed = SignedHeader.sign(header, keys.signing)
        forged = lie.evolve(
            signed_header=signed, messages=lie.messages[:1], receipts=lie.receipts[:1]
        )
        disk.execute(
            "UPDATE blocks SET record = ?, header = ? WHERE epoch = 1",
            (forged.encode(), signed.encode()),
        )
    disk.close()
    with pytest.raises(AuditFailed, match="state root") as failed:
        audit_folder(honest.with_name("resigned"))
    assert failed.value.epoch == 1


def test_where_there_is_no_ledger_none_is_made(tmp_path: Path) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"
    for url in (None, elsewhere):
        with pytest.raises(AuditFailed, match="no ledger"):
            audit_folder(tmp_path, configured_url=url)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "elsewhere.sqlite").touch()
    with pytest.raises(AuditFailed, match="no ledger"):
        audit_folder(tmp_path, configured_url=elsewhere)


async def test_a_ledger_is_audited_where_its_settings_keep_it(honest: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.sqlite"
    shutil.copy(honest / DATABASE_NAME, elsewhere)
    (tmp_path / "empty").mkdir()
    report = audit_folder(tmp_path / "empty", configured_url=f"sqlite:///{elsewhere}")
    assert report == audit_folder(honest)


async def test_a_store_of_another_version_is_refused_by_name(honest: Path) -> None:
    with tampered(honest, "newer") as disk:
        disk.execute("UPDATE schema_version SET version = version + 1")
    with tampered(honest, "without") as disk:
        disk.execute("DROP TABLE schema_version")
    for name, said in (("newer", f"version {SCHEMA_VERSION + 1}"), ("without", "of no version")):
        with pytest.raises(OtherSchema, match=said):
            audit_folder(honest.with_name(name))
        store = LedgerStore(f"sqlite:///{honest.with_name(name) / DATABASE_NAME}")
        with pytest.raises(OtherSchema, match=f"this one reads {SCHEMA_VERSION}"):
            store.create_tables()
        store.close()
