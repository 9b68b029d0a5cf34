"""`holdfast ipfs name`: a folder that changes under a name that stays, between processes."""

import asyncio
from pathlib import Path

from tests.support.holdfast import NO_LEDGER, User
from tests.support.kad import meeting_point


async def test_a_name_leads_to_the_folder_that_it_was_pointed_at_last(tmp_path: Path) -> None:
    async with meeting_point() as server, meeting_point() as forgetful:
        await asyncio.to_thread(story, tmp_path, server, forgetful)


def story(folder: Path, address: str, elsewhere: str) -> None:
    alice, bob = User(folder / "alice", NO_LEDGER), User(folder / "bob", NO_LEDGER)
    via = ("--peer", address)
    roots = []
    for number in (1, 2):
        (folder / "site").mkdir(exist_ok=True)
        (folder / "site" / "page").write_text(f"edition {number}")
        roots.append(alice.says("ipfs", "add", str(folder / "site")).result["cid"])

    name = alice.says("ipfs", "key", "gen", "site").result["id"]
    assert name.startswith("k51")
    for sequence, root in enumerate(roots):
        published = alice.says("ipfs", "name", "publish", root, "--key", "site", *via).result
        assert (published["name"], published["value"]) == (name, f"/ipfs/{root}")
        assert published["sequence"] == sequence
    assert bob.says("ipfs", "name", "resolve", name, *via).result["value"] == f"/ipfs/{roots[1]}"

    with alice.runs("ipfs", "provide", roots[1], *via):
        read = bob.says("ipfs", "stat", f"/ipns/{name}/page", *via).result
        assert read["content_bytes"] == len("edition 2")
        assert bob.says("ipfs", "pin", "add", f"/ipns/{name}", *via).result["cid"] == roots[1]
    alias = alice.says("ipfs", "name", "publish", f"/ipns/{name}/page", *via).result
    assert alias["value"] == f"/ipns/{name}/page"
    told = bob.says("ipfs", "name", "resolve", alias["name"], *via).result
    assert told["value"] == f"/ipfs/{roots[1]}/page"
    again = alice.says(
        "ipfs", "name", "publish", roots[0], "--key", "site", "--peer", elsewhere, "-t", "1h"
    ).result
    assert again["sequence"] == 2, "its owner remembers what a network has forgotten"
    assert again["valid_until"] < published["valid_until"]
