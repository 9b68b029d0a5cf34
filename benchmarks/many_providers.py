"""One CID from three providers that each upload at the same limited rate, against from one.

    python -m benchmarks.many_providers [--mib 24] [--mib-per-second 4] [--rounds 3]

All peers are in this process, over TCP on loopback; providers keep blocks in memory and upload
through the limit that an operator would set. The client checks every block and stores it durably.
Each fetch is by a client that starts with nothing, from providers that it has not met.
"""

import argparse
import asyncio
import io
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

from ipfs.bitswap.sender import UploadLimit
from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import Blockstore, MemoryBlockstore
from ipfs.cid import CID
from ipfs.disk import DiskBlockstore
from ipfs.exchange import DagLimits, fetch_dag
from ipfs.host import PeerAddress
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.profiles import PROFILES

MIB = 1024 * 1024
LISTEN = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
LIMITS = DagLimits(blocks_max=1 << 20, bytes_max=1 << 40)
PROVIDER_COUNT = 3
MUST, AIM = 2.5, 2.9


@asynccontextmanager
async def running_node(
    store: Blockstore, limit: UploadLimit | None = None
) -> AsyncIterator[tuple[PeerAddress, Bitswap]]:
    async with (
        Swarm(Identity.generate(), listen=[LISTEN]) as host,
        Bitswap(host, store, upload_limit=limit) as bitswap,
    ):
        yield PeerAddress(host.peer_id, host.addresses), bitswap


async def seconds_to_fetch(root: CID, providers: Sequence[PeerAddress], folder: Path) -> float:
    """Fetch a DAG into an empty store; return how long it took."""
    with DiskBlockstore(folder) as store:
        async with running_node(store) as (_, bitswap):
            started_s = time.perf_counter()
            await fetch_dag(bitswap, root, limits=LIMITS, idle_timeout_s=30, peers=providers)
            return time.perf_counter() - started_s


async def measure(mib: int, mib_per_second: float, rounds: int, folder: Path) -> None:
    content = Random(0).randbytes(mib * MIB)
    store = MemoryBlockstore()
    root = import_file(io.BytesIO(content), store, PROFILES["unixfs-v0-2015"]).cid
    ratios = []
    for number in range(rounds):
        async with AsyncExitStack() as stack:
            providers = []
            for _ in range(PROVIDER_COUNT):
                limit = UploadLimit(bytes_per_second=mib_per_second * MIB)
                address, _ = await stack.enter_async_context(running_node(store, limit))
                providers.append(address)
            one_s = await seconds_to_fetch(root, providers[:1], folder / f"{number}-one")
            all_s = await seconds_to_fetch(root, providers, folder / f"{number}-all")
        ratios.append(one_s / all_s)
        print(
            f"one provider {mib / one_s:.1f} MiB/s   "
            f"{PROVIDER_COUNT} providers {mib / all_s:.1f} MiB/s   {ratios[-1]:.2f} x"
        )
    median = statistics.median(ratios)
    print(f"{median:.2f} x one provider, best {max(ratios):.2f} (must {MUST}, aim {AIM})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=24)
    parser.add_argument("--mib-per-second", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = measure(options.mib, options.mib_per_second, options.rounds, Path(folder))
        asyncio.run(work)


if __name__ == "__main__":
    main()
