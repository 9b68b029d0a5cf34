"""Blocks over HTTP from a gateway in a process of its own, against a bare one in the same run.

    python -m benchmarks.gateway [--mib 256] [--connections 4] [--rounds 3] [--loop uvloop]

The client asks for raw blocks of 256 KiB (`?format=raw`), keep-alive, several connections at a
time, from a durable store on disk: each block is read and hashed before it is sent. The bare server
sends as many bytes of memory through asyncio alone, to the same client: what is left between the
two is the store, the hashing, the HTTP server and the gateway. The client is the same plain reader
for both and checks sizes only; server and client share the machine's cores.
"""

import argparse
import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from chain.http import serving
from ipfs.bitswap.stream import Bitswap
from ipfs.block import Block
from ipfs.cid import Codec
from ipfs.disk import DiskBlockstore
from ipfs.gateway.api import create_app
from ipfs.gateway.gateway import Gateway
from ipfs.gateway.supply import Supply
from ipfs.p2p.memory import MemoryNetwork

BLOCK_BYTES = 256 << 10
MIB = 1 << 20


async def serve(folder: Path) -> None:
    """Be the gateway, until standard input ends."""
    async with MemoryNetwork() as network:
        with DiskBlockstore(folder) as blocks:
            async with Bitswap(network.add_host(), blocks) as exchange:
                app = create_app(Gateway(Supply(exchange), now_ns=time.time_ns))
                async with serving(app, host="127.0.0.1", port=0) as url:
                    await _until_stdin_ends(url)


async def serve_bare() -> None:
    """Be a server that does nothing but send a block's worth of bytes, until stdin ends."""
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {BLOCK_BYTES}\r\n\r\n".encode()
    body = os.urandom(BLOCK_BYTES)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.writelines((head, body))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await _until_stdin_ends(f"http://127.0.0.1:{port}")


async def _until_stdin_ends(url: str) -> None:
    started = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = used.ru_utime + used.ru_stime - started.ru_utime - started.ru_stime
    sys.stdout.write(f"{used.ru_maxrss // 1024} {cpu_seconds}\n")


class Server:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.peak_mib = 0
        self.cpu_seconds = 0.0


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Server]:
    """Run this module as a server."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.gateway", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    server = Server(process, (await process.stdout.readline()).decode().strip())
    yield server
    process.stdin.close()
    peak_mib, cpu_seconds = (await process.stdout.readline()).split()
    server.peak_mib, server.cpu_seconds = int(peak_mib), float(cpu_seconds)
    await process.wait()


async def read_all(url: str, paths: Sequence[str], connections: int) -> float:
    """Ask for all paths over some kept-alive connections; return the seconds."""
    at = urlsplit(url)
    ahead = iter(paths)

    async def read_some() -> None:
        reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=MIB)
        for path in ahead:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(BLOCK_BYTES)
        writer.close()

    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(read_some())
    return time.perf_counter() - start


async def measure(size_mib: int, connections: int, rounds: int, loop: str) -> None:
    """Print the figures."""
    count = size_mib * MIB // BLOCK_BYTES
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        with DiskBlockstore(Path(folder)) as store:
            for _ in range(count):
                block = Block.of(Codec.RAW, os.urandom(BLOCK_BYTES))
                store.put([block])
                paths.append(f"/ipfs/{block.cid}?format=raw")
        ours: list[float] = []
        bare: list[float] = []
        async with (
            running("--serve", folder, "--loop", loop) as gateway,
            running("--serve-bare", "--loop", loop) as limit,
        ):
            for _ in range(rounds):
                ours.append(size_mib * MIB / 1e6 / await read_all(gateway.url, paths, connections))
                bare.append(size_mib * MIB / 1e6 / await read_all(limit.url, paths, connections))
    sent_mb = rounds * size_mib * MIB / 1e6
    for name, figures, server in (
        ("gateway", ours, gateway),
        ("bare asyncio", bare, limit),
    ):
        told = ", ".join(f"{figure:.0f}" for figure in figures)
        print(f"{name:13} {statistics.median(figures):6.0f} MB/s, best {max(figures):.0f} ({told})")
        print(f"{'':13} {sent_mb / server.cpu_seconds:6.0f} MB a second of the server's CPU")
    ratio = max(one / other for one, other in zip(ours, bare, strict=True))
    print(f"best ratio of a round: {ratio:.2f}; gateway peak {gateway.peak_mib} MiB")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--serve-bare", action="store_true")
    said = parser.parse_args()
    if said.serve is not None:
        work = serve(said.serve)
    elif said.serve_bare:
        work = serve_bare()
    else:
        work = measure(said.mib, said.connections, said.rounds, said.loop)
    if said.loop == "uvloop":
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)


if __name__ == "__main__":
    main()
