"""Names of a client: made once, kept from others, and remembered with what they point at."""

import stat
import time
from pathlib import Path

import pytest

from client.errors import KeyExists, KeyNameUnusable, KeyNotFound, WalletUnreadable
from client.keys import SELF, Keys
from ipfs.ipns import IpnsRecord, validity_at


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys")


def test_a_key_is_the_same_each_time_and_nobody_elses_to_read(keys: Keys, tmp_path: Path) -> None:
    made = keys.make("site")
    assert Keys(tmp_path / "keys").find("site").peer_id == made.peer_id
    assert keys.find(SELF).peer_id == keys.find(SELF).peer_id != made.peer_id
    assert keys.names() == [SELF, "site"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").glob("*.key")}
    assert modes == {0o600}
    with pytest.raises(KeyExists):
        keys.make("site")


def test_what_is_no_key_is_refused(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(KeyNotFound):
        keys.find("other")
    for name in ("", "..", "a/b", ".hidden", "x" * 65, "é", "a\n"):
        with pytest.raises(KeyNameUnusable):
            keys.make(name)
    keys.make("cut")
    (tmp_path / "keys" / "cut.key").write_bytes(b"short")
    with pytest.raises(WalletUnreadable):
        keys.find("cut")


def test_one_process_at_a_time_is_self(keys: Keys) -> None:
    with keys.being_self() as first, keys.being_self() as second, keys.being_self() as third:
        assert first.peer_id == keys.find(SELF).peer_id
        assert len({first.peer_id, second.peer_id, third.peer_id}) == 3
    with keys.being_self() as again:
        assert again.peer_id == first.peer_id


def test_what_a_name_was_pointed_at_is_remembered(keys: Keys) -> None:
    owner = keys.make("site")
    assert keys.last_record("site") is None
    validity = validity_at(time.time_ns() + 10**12)
    record = IpnsRecord.create(owner, "/ipfs/bafkqaaa", sequence=7, validity=validity)
    keys.remember("site", record)
    assert keys.last_record("site") == record
    assert record.sequence_for("/ipfs/bafkqaaa") == 7
    assert record.sequence_for("/ipfs/bafkqaab") == 8
