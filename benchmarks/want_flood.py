"""What a flood of wants costs the others: fetches by an honest peer, with and without a flood.

    python -m benchmarks.want_flood [--fetches 200]

The node under test is a process of its own, and so is the flooder, which says wants for absent
blocks and cancels of them as fast as the node listens, a million altogether. The honest peer
fetches files of 1 MiB, one after another, over TCP on loopback, in turns with and without a flood.
"""

import argparse
import asyncio
import io
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from benchmarks.many_providers import LIMITS, MIB, running_node
from ipfs.bitswap.connection import Lane
from ipfs.bitswap.messages import Message, Want
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.exchange import fetch_dag
from ipfs.host import PeerAddress
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.profiles import PROFILES

FLOOD_ENTRIES = 1_000_000
MESSAGE_WANTS = 2_048
ROUNDS = 4
MUST = 2.0


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run this script in another process until the body ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.want_flood", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


def import_files(store: MemoryBlockstore, count: int) -> list[CID]:
    random = Random(0)
    contents = (io.BytesIO(random.randbytes(MIB)) for _ in range(count))
    return [import_file(it, store, PROFILES["unixfs-v0-2015"]).cid for it in contents]


async def serve(count: int) -> None:
    store = MemoryBlockstore()
    import_files(store, count)
    async with running_node(store) as (address, _):
        print(address.addresses[0].with_peer_id(address.peer_id), flush=True)
        await asyncio.get_running_loop().create_future()


async def flood(address: PeerAddress) -> None:
    cids = [CID.of(Codec.RAW, n.to_bytes(4)) for n in range(MESSAGE_WANTS)]
    messages = [Message(wants=tuple(Want(cid, cancel=it) for cid in cids)) for it in (False, True)]
    async with Swarm(Identity.generate()) as host:
        await host.connect(address)
        lane = Lane(host, address.peer_id)
        for turn in range(FLOOD_ENTRIES // MESSAGE_WANTS):
            message = messages[turn % 2]
            await lane.send(lambda _: message)  # noqa: B023 - it is called before the next turn
            print(turn, flush=True)


async def milliseconds_to_fetch(roots: list[CID], address: PeerAddress) -> list[float]:
    """Fetch the files one after another; return how long each took."""
    async with running_node(MemoryBlockstore()) as (_, bitswap):
        taken_ms = []
        for root in roots:
            started_s = time.perf_counter()
            await fetch_dag(bitswap, root, limits=LIMITS, idle_timeout_s=30, peers=[address])
            taken_ms.append(1_000 * (time.perf_counter() - started_s))
    return taken_ms[1:]


async def measure(count: int) -> None:
    roots = import_files(MemoryBlockstore(), count)
    alone_ms: list[float] = []
    flooded_ms: list[float] = []
    async with running("--serve", str(count)) as server:
        assert server.stdout is not None
        line = (await server.stdout.readline()).decode().strip()
        for _ in range(ROUNDS):
            alone_ms += await milliseconds_to_fetch(roots, PeerAddress.parse(line))
            async with running("--flood", line) as flooder:
                assert flooder.stdout is not None
                for _ in range(8):
                    await flooder.stdout.readline()
                flooded_ms += await milliseconds_to_fetch(roots, PeerAddress.parse(line))
    for name, taken_ms in (("alone", alone_ms), ("under a flood", flooded_ms)):
        print(f"{name}: p50 {statistics.median(taken_ms):.0f} ms, p99 {p99(taken_ms):.0f} ms")
    print(f"p99 under a flood: {p99(flooded_ms) / p99(alone_ms):.2f} x (at most {MUST})")


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fetches", type=int, default=200)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--flood", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
    elif options.flood:
        asyncio.run(flood(PeerAddress.parse(options.flood)))
    else:
        asyncio.run(measure(options.fetches // ROUNDS))


if __name__ == "__main__":
    main()
