"""Clients that hold connections and say little, or hear little: all are cut, and nobody waits."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import httpx
import pytest
from litestar import Litestar, asgi, get, post
from litestar.params import JSONBody
from litestar.types import Receive, Scope, Send

from chain.http import _Guarded, serving

CROWD = 2_000
HALF_A_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-"
A_BODY_TO_COME = (
    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n["
)

WITH_FEW_DESCRIPTORS = """
import asyncio, os, resource
from litestar import Litestar, get
from chain.http import serving

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
all_who_are_let_in = asyncio.Barrier(64)

@get("/")
async def hello() -> str:
    await all_who_are_let_in.wait()
    for opened in [os.open(os.devnull, os.O_RDONLY) for _ in range(64)]:
        os.close(opened)
    return "hello"

async def main() -> None:
    async with serving(Litestar([hello], openapi_config=None), host="127.0.0.1", port=0) as url:
        print(url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@get("/")
async def hello() -> str:
    return "hello"


@post("/echo")
async def echo(data: JSONBody[list[int]]) -> int:
    return len(data)


@asynccontextmanager
async def server(*, body_seconds_max: float) -> AsyncIterator[str]:
    app = Litestar([hello, echo], openapi_config=None)
    async with serving(app, host="127.0.0.1", port=0, body_seconds_max=body_seconds_max) as url:
        yield url


@asynccontextmanager
async def stranger() -> AsyncIterator[httpx.AsyncClient]:
    """Be an honest client. Each request has a connection of its own: an idle one is cut as well."""
    fresh = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=fresh, timeout=60, trust_env=False) as client:
        yield client


class HalfOpen:
    """One of a crowd: it says some words, and then a byte a second if it began a body."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._trickle = b"1" if words is A_BODY_TO_COME else b""
        writer.write(words)

    async def is_cut(self) -> None:
        """Return once the server has ended the connection."""
        hearing = asyncio.create_task(self._hear_to_end())
        while not hearing.done():
            self._writer.write(self._trickle)
            await asyncio.wait([hearing], timeout=1)

    async def _hear_to_end(self) -> None:
        with suppress(ConnectionError):
            while await self._reader.read(1 << 16):
                pass


async def crowd_says(stack: AsyncExitStack, url: str, words: Sequence[bytes]) -> list[HalfOpen]:
    port = int(url.rpartition(":")[2])
    crowd = []
    for number in range(CROWD):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.close)
        crowd.append(HalfOpen(reader, writer, words[number % len(words)]))
    return crowd


async def test_a_crowd_that_says_half_of_something_is_cut() -> None:
    async with server(body_seconds_max=1) as url, AsyncExitStack() as stack, stranger() as honest:
        crowd = await crowd_says(stack, url, (b"", HALF_A_REQUEST, A_BODY_TO_COME))
        await asyncio.gather(*(one.is_cut() for one in crowd))
        assert (await honest.post(f"{url}/echo", json=[1, 2, 3])).json() == 3


async def test_nobody_waits_for_a_crowd() -> None:
    # It would be there for an hour: who is answered did not wait until somebody was cut.
    async with server(body_seconds_max=3_600) as url, AsyncExitStack() as stack:
        await crowd_says(stack, url, (A_BODY_TO_COME,))
        async with stranger() as honest:
            assert (await honest.get(url)).text == "hello"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends what is not read")
async def test_who_reads_nothing_of_its_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.http.UNREAD_SECONDS_MAX", 1)
    cut = asyncio.Event()

    @asgi("/", copy_scope=True)
    async def much(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(1 << 23), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        cut.set()

    async with serving(Litestar([much], openapi_config=None), host="127.0.0.1", port=0) as url:
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            lazy.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            lazy.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(60):
                await cut.wait()


async def test_connections_leave_descriptors_for_everything_else() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITH_FEW_DESCRIPTORS),
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with stranger() as honest:
            answers = await asyncio.gather(*(honest.get(url) for _ in range(3 * 64)))
    finally:
        process.kill()
        # To the end of its output: a pipe that outlives the loop is the next test's failure.
        await process.communicate()
    assert {answer.text for answer in answers} == {"hello"}


async def test_a_request_that_comes_while_the_server_ends_is_ended_too() -> None:
    async def app(*_: object) -> None:
        await asyncio.Event().wait()

    guarded = _Guarded(cast(Litestar, app), ("host",), 60)
    guarded.cancel_all()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(guarded({"headers": [(b"host", b"host")]}, None, None))
