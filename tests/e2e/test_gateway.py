"""`holdfast gateway` as a process: what another one provides, for anybody with HTTP."""

import asyncio
import os
import signal
from pathlib import Path

import httpx

from ipfs.p2p.peer_id import Identity
from tests.support.holdfast import NO_LEDGER, User
from tests.support.kad import meeting_point


async def test_a_gateway_fetches_what_a_visitor_asks_for(tmp_path: Path) -> None:
    async with meeting_point() as address:
        await asyncio.to_thread(story, tmp_path, address)


def test_a_gateway_asks_those_of_peers_whom_it_cannot_dial(tmp_path: Path) -> None:
    alice, bob = User(tmp_path / "alice", NO_LEDGER), User(tmp_path / "bob", NO_LEDGER)
    big = os.urandom(3_000_000)
    (tmp_path / "big").write_bytes(big)
    root = alice.says("ipfs", "add", str(tmp_path / "big")).result["cid"]
    with alice.runs("gateway", "--port", "0", "--no-fetch") as far:
        port, name = httpx.URL(far.ready["url"]).port, Identity.generate().peer_id
        via = ("--peer", f"/ip4/127.0.0.1/tcp/{port}/http/p2p/{name}")
        with (
            bob.runs("gateway", "--port", "0", *via) as gateway,
            httpx.Client(base_url=gateway.ready["url"], trust_env=False, timeout=120) as http,
        ):
            only = {"Cache-Control": "only-if-cached"}
            assert http.get(f"/ipfs/{root}", headers=only).status_code == 412
            assert http.get(f"/ipfs/{root}").content == big
            assert http.get(f"/ipfs/{root}", headers=only).status_code == 200
            part = {"Range": "bytes=1000000-1000009"}
            assert http.get(f"/ipfs/{root}", headers=part).content == big[1_000_000:1_000_010]


def story(folder: Path, address: str) -> None:
    alice, bob = User(folder / "alice", NO_LEDGER), User(folder / "bob", NO_LEDGER)
    (folder / "site").mkdir()
    big = os.urandom(3_000_000)
    (folder / "site" / "big").write_bytes(big)
    (folder / "site" / "index.html").write_bytes(b"<h1>hello</h1>")
    root = alice.says("ipfs", "add", str(folder / "site")).result["cid"]
    via = ("--peer", address)
    with (
        alice.runs("ipfs", "provide", root, *via),
        bob.runs("gateway", "--port", "0", *via) as gateway,
        httpx.Client(base_url=gateway.ready["url"], trust_env=False, timeout=120) as http,
    ):
        assert http.get(f"/ipfs/{root}/").text == "<h1>hello</h1>"
        assert http.get(f"/ipfs/{root}/big").content == big
        only = {"Cache-Control": "only-if-cached"}
        assert http.get(f"/ipfs/{root}/big", headers=only).status_code == 200
        assert gateway.end(signal.SIGTERM) == 143
    with bob.runs("gateway", "--port", "0", "--no-fetch", *via) as gateway:
        url = gateway.ready["url"]
        answer = httpx.get(f"{url}/ipfs/{root}/", trust_env=False, timeout=120)
        assert answer.status_code == 404
