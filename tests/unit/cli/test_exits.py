"""Which errors are answers, and how a command ends by them."""

import json
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from chain.errors import NotFound
from chain.store import DATABASE_NAME
from cli.exits import VERIFICATION_FAILED, code_of
from cli.main import app

RUN = CliRunner()


def test_only_our_codes_are_ours() -> None:
    assert code_of(NotFound("deal", 7)) == "not-found"
    theirs = OperationalError("SELECT 1", {}, Exception("locked"))
    assert theirs.code == "e3q8"
    assert code_of(theirs) is None
    assert code_of(FileNotFoundError(2, "none")) == "not-found"


@pytest.mark.parametrize("junk", [b"no database at all " * 500, b"SQLite format 3\0" + bytes(8176)])
def test_a_ledger_that_is_none_fails_its_audit_in_words(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(junk)
    audited = RUN.invoke(app, ["ledger", "audit", str(tmp_path), "--json"])
    assert audited.exit_code == VERIFICATION_FAILED, audited.output
    error = json.loads(audited.stdout.splitlines()[-1])
    assert error["code"] == "audit-failed"
    assert "damaged" in error["detail"]
