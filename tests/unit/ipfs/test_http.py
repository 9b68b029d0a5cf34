"""How we ask over HTTP: connections are used again, but not once a server may be cutting them."""

import asyncio
import re
from pathlib import Path

import pytest

from chain.http import HEADER_MILLISECONDS
from ipfs.http import IDLE_SECONDS_MAX, http_client

ROOT = Path(__file__).parents[3]
PACKAGES = ("ipfs", "proofs", "chain", "market", "provider", "client", "cli")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def test_a_connection_is_used_again_until_it_was_idle_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while (await reader.read(1 << 16)).endswith(b"\r\n\r\n"):
            writer.write(ANSWER)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, http_client() as client:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for idle_seconds, seen in ((0.0, 1), (IDLE_SECONDS_MAX, 1), (IDLE_SECONDS_MAX + 0.1, 2)):
            now += idle_seconds
            assert (await client.get(url)).text == "hello"
            assert connections == seen


def test_our_clients_let_go_well_before_our_servers_cut() -> None:
    assert 2 * IDLE_SECONDS_MAX * 1_000 <= HEADER_MILLISECONDS


def test_there_is_no_other_client() -> None:
    others = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"httpx\.(Async)?Client\(", path.read_text())
    ]
    assert others == [ROOT / "ipfs" / "http.py"]
