"""One home, several processes: servers and readers beside a writer, and a second writer refused."""

import os
from pathlib import Path

import httpx

from client.plumbing.session import open_disk
from tests.support.holdfast import NO_LEDGER, User


def test_what_is_added_while_home_is_served_is_served_and_read_at_once(tmp_path: Path) -> None:
    alice, bob = User(tmp_path / "alice", NO_LEDGER), User(tmp_path / "bob", NO_LEDGER)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old").write_bytes(os.urandom(300_000))
    first = alice.says("ipfs", "add", str(tmp_path / "d")).result["cid"]
    with (
        alice.runs("ipfs", "provide", first) as provider,
        alice.runs("gateway", "--port", "0") as gateway,
    ):
        alice.says("ipfs", "get", first, "-o", str(tmp_path / "out")).result  # noqa: B018
        assert (tmp_path / "out" / "old").read_bytes() == (tmp_path / "d" / "old").read_bytes()

        (tmp_path / "new").write_bytes(os.urandom(400_000))
        second = alice.says("ipfs", "add", str(tmp_path / "new")).result["cid"]
        url = f"{gateway.ready['url']}/ipfs/{second}"
        answer = httpx.get(url, trust_env=False, timeout=120)
        assert answer.content == (tmp_path / "new").read_bytes()
        [address] = provider.ready["addresses"]
        fetched = bob.says("ipfs", "stat", second, "--peer", address).result
        assert fetched["content_bytes"] == 400_000

        alice.says("ipfs", "pin", "rm", second).result  # noqa: B018
        assert alice.says("ipfs", "gc").result["removed"] > 0
        assert httpx.get(url, trust_env=False, timeout=120).status_code >= 400


def test_a_second_writer_is_told_which_process_writes_and_readers_are_not_refused(
    tmp_path: Path,
) -> None:
    alice = User(tmp_path / "alice", NO_LEDGER)
    (tmp_path / "file").write_bytes(b"here")
    here = alice.says("ipfs", "add", str(tmp_path / "file")).result["cid"]
    with open_disk(tmp_path / "alice" / "client"):
        for words in (("add", str(tmp_path / "file")), ("gc",)):
            refused = alice.says("ipfs", *words)
            assert (refused.exit_code, refused.error_code) == (11, "store-locked")
            told = refused.objects[-1]["detail"]
            assert f"process {os.getpid()}" in told
            assert "wait" in told
        assert alice.says("ipfs", "stat", here).result["content_bytes"] == 4
        absent = "bafkreigaknpexyvxt76zgkitavbwx6ejgfheup5oybpm77f3pxzrvwpfdi"
        refused = alice.says("ipfs", "stat", absent)
        assert (refused.exit_code, refused.error_code) == (11, "store-locked")
        assert "not all of it is here" in refused.objects[-1]["detail"]
        assert f"process {os.getpid()}" in refused.objects[-1]["detail"]
