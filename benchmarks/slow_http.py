"""What a crowd of half-open HTTP connections costs the others: p99 of a request, with and without.

    python -m benchmarks.slow_http [--requests 2000]

The server is a process of its own, and so is the crowd: 2,000 connections, a third of which say
nothing, a third half a header, a third a body of a byte a second. Who is cut comes again at once.
The honest client asks for a few bytes a hundred times a second, on a new connection each time, in
turns with and without the crowd.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from litestar import Litestar, get, post
from litestar.params import JSONBody

from chain.http import serving

CROWD = 2_000
ROUNDS = 2
PAUSE_SECONDS = 0.01
MUST_MS = 1_000
WORDS = (
    b"",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX-",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n[",
)
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@get("/")
async def hello() -> str:
    return "hello"


@post("/")
async def count(data: JSONBody[list[int]]) -> int:
    return len(data)


async def serve() -> None:
    app = Litestar([hello, count], openapi_config=None)
    async with serving(app, host="127.0.0.1", port=0) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


async def crowd(port: int) -> None:
    """Hold the connections until killed; say a line once all are open."""
    opened = asyncio.Semaphore(0)

    async def hold(words: bytes) -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(words)
            opened.release()
            hearing = asyncio.create_task(reader.read())
            while not hearing.done():
                writer.write(b"1" if words.endswith(b"[") else b"")
                await asyncio.wait([hearing], timeout=1)
            with suppress(ConnectionError):
                await hearing
            writer.close()

    async with asyncio.TaskGroup() as tasks:
        for number in range(CROWD):
            tasks.create_task(hold(WORDS[number % len(WORDS)]))
            await opened.acquire()
        print("all are open", flush=True)


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[str]:
    """Run this script in another process until the body ends; gives the line that it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.slow_http", *arguments), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def milliseconds_to_answer(port: int, requests: int) -> list[float]:
    """Ask one after the other, pausing; return how long each took."""
    taken_ms = []
    for _ in range(requests):
        started_s = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        answer = await reader.read()
        taken_ms.append(1_000 * (time.perf_counter() - started_s))
        assert answer.endswith(b"hello"), answer
        writer.close()
        await asyncio.sleep(PAUSE_SECONDS)
    return taken_ms


async def measure(requests: int) -> None:
    alone_ms: list[float] = []
    beside_ms: list[float] = []
    async with running("--serve") as url:
        port = urlsplit(url).port
        assert port is not None
        for _ in range(ROUNDS):
            alone_ms += await milliseconds_to_answer(port, requests // ROUNDS)
            async with running("--crowd", str(port)):
                beside_ms += await milliseconds_to_answer(port, requests // ROUNDS)
    for name, taken_ms in (("alone", alone_ms), ("beside the crowd", beside_ms)):
        print(
            f"{name}: p50 {statistics.median(taken_ms):.1f} ms, p99 {p99(taken_ms):.1f} ms, "
            f"slowest {max(taken_ms):.1f} ms"
        )
    ratio = p99(beside_ms) / p99(alone_ms)
    print(f"p99 beside the crowd: {ratio:.1f} x; {p99(beside_ms):.0f} ms of at most {MUST_MS}")


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--crowd", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
    elif options.crowd:
        asyncio.run(crowd(options.crowd))
    else:
        asyncio.run(measure(options.requests))


if __name__ == "__main__":
    main()
