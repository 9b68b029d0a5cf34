"""`holdfast ipfs` against a stock Kubo: what either adds, the other fetches."""

import asyncio
import os
from pathlib import Path

from tests.support.holdfast import NO_LEDGER, User
from tests.support.kubo import running_kubo


async def test_what_kubo_adds_we_get_and_what_we_provide_kubo_downloads(tmp_path: Path) -> None:
    from_kubo, from_us = os.urandom(700_000), os.urandom(1_300_000)
    (tmp_path / "theirs").write_bytes(from_kubo)
    (tmp_path / "ours").write_bytes(from_us)
    user = User(tmp_path / "user", NO_LEDGER)
    async with running_kubo(tmp_path) as kubo:
        theirs = await kubo.add_file(tmp_path / "theirs")
        same = user.says(
            "ipfs", "add", "-n", "--profile", "unixfs-v0-2015", str(tmp_path / "theirs")
        )
        assert same.result["cid"] == theirs
        out = tmp_path / "out"
        got = ("ipfs", "get", theirs, "--peer", kubo.dial_address, "-o", str(out))
        (await asyncio.to_thread(user.says, *got)).result  # noqa: B018
        assert out.read_bytes() == from_kubo

        ours = user.says("ipfs", "add", str(tmp_path / "ours")).result["cid"]
        with user.runs("ipfs", "provide", ours, "--peer", kubo.dial_address):
            await kubo.download(ours, tmp_path / "downloaded")
        assert (tmp_path / "downloaded").read_bytes() == from_us


async def test_kubo_keeps_the_names_that_we_publish_and_tells_them(tmp_path: Path) -> None:
    alice, bob = User(tmp_path / "alice", NO_LEDGER), User(tmp_path / "bob", NO_LEDGER)
    async with running_kubo(tmp_path) as kubo:
        via = ("--peer", kubo.dial_address)

        def story() -> None:
            for root in ("bafkqaaa", "bafkqaaik"):
                published = alice.says("ipfs", "name", "publish", root, *via).result
            told = bob.says("ipfs", "name", "resolve", published["name"], *via).result
            assert (told["value"], published["sequence"]) == ("/ipfs/bafkqaaik", 1)

        await asyncio.to_thread(story)
