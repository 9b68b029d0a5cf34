"""Clients that hold connections and say little: they are cut in time, and nobody waits for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import httpx
import pytest
from litestar import Litestar, get, post
from litestar.params import JSONBody

from chain.http import serving

CROWD = 100
HALF_A_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-"
A_BODY_TO_COME = (
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n["
)


@get("/")
async def hello() -> str:
    return "hello"


@post("/echo")
async def echo(data: JSONBody[list[int]]) -> int:
    return len(data)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = Litestar([hello, echo], openapi_config=None)
    async with serving(app, host="127.0.0.1", port=0, body_seconds_max=5) as address:
        yield address


async def crowd_says(stack: AsyncExitStack, url: str, words: bytes) -> list[asyncio.StreamReader]:
    port = int(url.rpartition(":")[2])
    readers = []
    for _ in range(CROWD):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.close)
        writer.write(words)
        readers.append(reader)
    return readers


async def is_ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass


async def test_a_crowd_that_says_half_of_something_is_cut_and_others_are_served(url: str) -> None:
    # One connection a request: an idle one is cut as well, maybe just when it is used again.
    fresh = httpx.Limits(max_keepalive_connections=0)
    async with (
        AsyncExitStack() as stack,
        httpx.AsyncClient(limits=fresh, timeout=60, trust_env=False) as honest,
    ):
        crowd = [
            reader
            for words in (b"", HALF_A_REQUEST, A_BODY_TO_COME)
            for reader in await crowd_says(stack, url, words)
        ]
        assert (await honest.get(url)).text == "hello"
        async with asyncio.timeout(120):
            await asyncio.gather(*map(is_ended, crowd))
        assert (await honest.post(f"{url}/echo", json=[1, 2, 3])).json() == 3


async def test_a_body_that_trickles_is_not_waited_for(url: str) -> None:
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(A_BODY_TO_COME)
    ended = asyncio.create_task(is_ended(reader))
    with suppress(ConnectionError):
        while not ended.done():
            writer.write(b"1")
            await writer.drain()
            await asyncio.wait([ended], timeout=0.02)
    writer.close()
