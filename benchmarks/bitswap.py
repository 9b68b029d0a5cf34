"""Bitswap between two of our processes, and with Kubo, against Kubo to Kubo in the same run.

    python -m benchmarks.bitswap [--mib 200] [--rounds 5] [--loop uvloop] [--folder DIR]

Four transfers a round, each of a file that the receiver does not have, over TCP on loopback, each
end a process of its own: ours to ours in blocks of 1 MiB; Kubo to ours, ours to Kubo and Kubo to
Kubo in blocks of 256 KiB, Kubo's default. Receivers check every block and store it durably; Kubo
also writes the file out, as its library has no fetch without that. Clocks run from the request to
the whole file; connections are made before, and memory is filled (`benchmarks.page_cache`).
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.page_cache import fill_page_cache
from ipfs.bitswap.stream import Bitswap
from ipfs.cid import CID
from ipfs.disk import DiskBlockstore
from ipfs.exchange import DagLimits, fetch_dag
from ipfs.host import PeerAddress
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.profiles import PROFILES
from tests.support.kubo import Kubo, running_kubo

MIB = 1024 * 1024
LIMITS = DagLimits(blocks_max=1 << 20, bytes_max=1 << 40)
PROFILE_OF_BLOCKS = {"1MiB": "unixfs-v1-2025", "256KiB": "unixfs-v0-2015"}


class Node:
    """One of our nodes in a process of its own: requests and answers are lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.address = ""

    async def call(self, name: str, *arguments: Any) -> Any:
        """Ask for something, and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, *arguments]).encode() + b"\n")
        return await self.hear()

    async def hear(self) -> Any:
        """Return the next answer."""
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def running_node(folder: Path, loop: str) -> AsyncIterator[Node]:
    """Run a node of ours with its store in `folder`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.bitswap", "--serve", str(folder), "--loop", loop),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MIB,
    )
    node = Node(process)
    node.address = await node.hear()
    yield node
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


async def serve(folder: Path) -> None:
    """Be one of our nodes, until standard input ends."""
    listen = [Multiaddr.parse("/ip4/127.0.0.1/tcp/0")]
    with DiskBlockstore(folder) as store:
        async with (
            Swarm(Identity.generate(), listen=listen) as host,
            Bitswap(host, store) as bitswap,
        ):
            answer(str(host.addresses[0].with_peer_id(host.peer_id)))
            while line := await asyncio.to_thread(sys.stdin.readline):
                answer(await obey(host, bitswap, store, json.loads(line)))


async def obey(host: Swarm, bitswap: Bitswap, store: DiskBlockstore, request: list[str]) -> Any:
    """Do what the parent asks, and return its answer."""
    match request:
        case ["add", path, profile]:
            return str(add(Path(path), store, profile))
        case ["connect", address]:
            await host.connect(PeerAddress.parse(address))
            return None
        case ["fetch", cid, address]:
            peers = [PeerAddress.parse(address)]
            fetched = await fetch_dag(
                bitswap, CID.parse(cid), limits=LIMITS, idle_timeout_s=30, peers=peers
            )
            return fetched.size_bytes
        case ["peak"]:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        case _:
            raise ValueError(request)


def add(path: Path, store: DiskBlockstore, profile: str) -> CID:
    with path.open("rb") as file:
        return import_file(file, store, PROFILES[profile]).cid


def answer(value: Any) -> None:
    print(json.dumps(value), flush=True)


class Rounds:
    """Nodes of both kinds, connected, and the files they have not exchanged yet."""

    def __init__(self, folder: Path, mib: int, nodes: list[Node], kubos: list[Kubo]) -> None:
        self._folder = folder
        self._mib = mib
        self._nodes = nodes
        self._kubos = kubos
        self._random = Random(0)

    async def connect(self) -> None:
        """Connect everybody who will exchange."""
        await self._nodes[0].call("connect", self._nodes[1].address)
        for kubo in self._kubos:
            await self._nodes[0].call("connect", kubo.dial_address)
        await self._kubos[0].connect(self._kubos[1].dial_address)

    async def run(self) -> dict[str, float]:
        """Make every transfer once; return the MiB/s of each."""
        ours, theirs = self._nodes
        kubo, other = self._kubos
        seconds = {}
        cid = await theirs.call("add", str(self._new_file()), PROFILE_OF_BLOCKS["1MiB"])
        seconds["ours to ours"] = await self._timed(ours.call("fetch", cid, theirs.address))
        cid = await kubo.add_file(self._new_file())
        seconds["Kubo to ours"] = await self._timed(ours.call("fetch", cid, kubo.dial_address))
        cid = await ours.call("add", str(self._new_file()), PROFILE_OF_BLOCKS["256KiB"])
        seconds["ours to Kubo"] = await self._timed(other.download(cid, self._folder / "out"))
        cid = await kubo.add_file(self._new_file())
        seconds["Kubo to Kubo"] = await self._timed(other.download(cid, self._folder / "out"))
        return {name: self._mib / seconds for name, seconds in seconds.items()}

    async def _timed(self, work: Awaitable[Any]) -> float:
        os.sync()
        fill_page_cache(self._folder)
        started = time.perf_counter()
        await work
        return time.perf_counter() - started

    def _new_file(self) -> Path:
        path = self._folder / "file"
        (self._folder / "out").unlink(missing_ok=True)
        path.write_bytes(b"".join(self._random.randbytes(MIB) for _ in range(self._mib)))
        return path


MUST = {"ours to ours": 4.0, "Kubo to ours": 1.5, "ours to Kubo": 1.0}


async def measure(mib: int, rounds: int, loop: str, folder: Path) -> None:
    """Run rounds and print what they came to."""
    async with AsyncExitStack() as stack:
        nodes, kubos = [], []
        for number in range(2):
            (folder / f"kubo-{number}").mkdir()
            kubos.append(await stack.enter_async_context(running_kubo(folder / f"kubo-{number}")))
            nodes.append(await stack.enter_async_context(running_node(folder / str(number), loop)))
        work = Rounds(folder, mib, nodes, kubos)
        await work.connect()
        await work.run()
        of_rounds = []
        for _ in range(rounds):
            of_rounds.append(speeds := await work.run())
            print("   ".join(f"{name} {speed:4.0f} MiB/s" for name, speed in speeds.items()))
        median = {name: statistics.median(speeds[name] for speeds in of_rounds) for name in speeds}
        for name, must in MUST.items():
            ratio = median[name] / median["Kubo to Kubo"]
            print(f"{name}: {ratio:.2f} x Kubo to Kubo, median against median (must {must})")
        peaks = [await node.call("peak") for node in nodes]
        print(f"peak memory of ours: {max(peaks)} MiB (at most 200)")


def run(work: Coroutine[None, None, None], loop: str) -> None:
    """Run on asyncio's own loop, or on uvloop's."""
    if loop == "uvloop":
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--folder", type=Path, help="where the stores are made, and left no trace")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        run(serve(options.serve), options.loop)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        asyncio.run(measure(options.mib, options.rounds, options.loop, Path(folder)))


if __name__ == "__main__":
    main()
