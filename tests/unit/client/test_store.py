"""A client's memory opens again, and that of another version is refused, not misread."""

import sqlite3
from pathlib import Path

import pytest

from chain.schema import OtherSchema
from client.store import ClientStore


def test_a_store_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "client.sqlite"
    for _ in range(2):
        ClientStore(path).close()
    with sqlite3.connect(path) as disk:
        disk.execute("UPDATE schema_version SET version = 99")
    disk.close()
    with pytest.raises(OtherSchema, match="version 99"):
        ClientStore(path)
