"""`holdfast ipfs` between two users and a DHT, each a process: provide, find, fetch."""

import asyncio
import os
from pathlib import Path

from tests.support.holdfast import NO_LEDGER, User
from tests.support.kad import meeting_point


async def test_what_one_provides_another_finds_and_fetches(tmp_path: Path) -> None:
    async with meeting_point() as address:
        await asyncio.to_thread(story, tmp_path, address)


def story(folder: Path, address: str) -> None:
    alice, bob, carol = (User(folder / name, NO_LEDGER) for name in ("alice", "bob", "carol"))
    (folder / "d" / "inner").mkdir(parents=True)
    big = os.urandom(3_000_000)
    (folder / "d" / "big").write_bytes(big)
    (folder / "d" / "inner" / "small").write_bytes(b"small")
    root = alice.says("ipfs", "add", str(folder / "d")).result["cid"]
    via = ("--peer", address)

    met = bob.says("ipfs", "swarm", "connect", address).result
    assert met["agent"].startswith("holdfast/")
    [peer] = bob.says("ipfs", "swarm", "peers", *via).result["peers"]
    assert [f"{at}/p2p/{peer['peer_id']}" for at in peer["addresses"]] == [address]
    nobody = bob.says("ipfs", "findprovs", root, *via)
    assert (nobody.exit_code, nobody.error_code) == (4, "no-provider")

    with alice.runs("ipfs", "provide", root, *via):
        alice_id = bob.says("ipfs", "findprovs", root, *via).objects[0]["peer_id"]
        small = bob.says("ipfs", "ls", f"{root}/inner", *via).result["entries"]
        assert [entry["name"] for entry in small] == ["small"]
        assert len(bob.says("ipfs", "refs", "local").objects) == 3, "only the way there was fetched"
        bob.says("ipfs", "get", root, *via, "-o", str(folder / "out")).result  # noqa: B018
        assert (folder / "out" / "big").read_bytes() == big
        whole = carol.says("ipfs", "ls", root, *via).result["entries"]
        assert [(entry["name"], entry["kind"]) for entry in whole] == [
            ("big", "file"),
            ("inner", "directory"),
        ]
        assert carol.says("ipfs", "ls", root, *via).result["entries"] == whole
        assert whole[0]["bytes"] == len(big)
        read = carol.says("ipfs", "get", f"{root}/big", *via, "-o", str(folder / "part"))
        assert read.result["cid"] == whole[0]["cid"], "whoever has the folder has what is in it"
        carol.says("ipfs", "pin", "add", root, *via).result  # noqa: B018
    told = alice.says("ipfs", "id").result
    assert (told["peer_id"], "listen" in told) == (alice_id, False), "nobody listens by now"
    assert carol.says("ipfs", "gc").result["removed"] == 0
    assert bob.says("ipfs", "gc").result["removed"] > 3


def test_two_who_know_only_each_other_are_a_dht_of_their_own(tmp_path: Path) -> None:
    alice, bob = User(tmp_path / "alice", NO_LEDGER), User(tmp_path / "bob", NO_LEDGER)
    (tmp_path / "file").write_bytes(b"from home to home")
    root = alice.says("ipfs", "add", str(tmp_path / "file")).result["cid"]
    alice_id = alice.says("ipfs", "id").result["peer_id"]
    with alice.runs("ipfs", "provide", root) as serving:
        [address] = serving.ready["addresses"]
        found = bob.says("ipfs", "findprovs", root, "--peer", address)
        assert [each["peer_id"] for each in found.objects[:-1]] == [alice_id]
        assert found.result["count"] == 1
    gone = bob.says("ipfs", "findprovs", root, "--peer", address)
    assert (gone.exit_code, gone.error_code) == (7, "nobody-to-ask")
