"""A network that loses, and one that falls apart and heals: what was begun is finished."""

import asyncio
import io
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import MemoryBlockstore
from ipfs.exchange import DagLimits, DagUnavailable, fetch_dag
from ipfs.host import PeerAddress
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.profiles import PROFILES
from tests.support.bitswap import until
from tests.support.proxy import Fate, Proxy, proxy_to

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
FILE = random.Random(3).randbytes(4_000_000)
STORE = MemoryBlockstore()
ROOT = import_file(io.BytesIO(FILE), STORE, PROFILES["unixfs-v0-2015"]).cid
WHOLE = set(STORE)
LIMITS = DagLimits(blocks_max=100, bytes_max=8_000_000)


@asynccontextmanager
async def node(
    *listen: Multiaddr, limits: NetworkLimits
) -> AsyncIterator[tuple[Swarm, Bitswap, MemoryBlockstore]]:
    store = MemoryBlockstore()
    async with (
        Swarm(Identity.generate(), listen=listen, limits=limits) as host,
        Bitswap(host, store) as bitswap,
    ):
        yield host, bitswap, store


@asynccontextmanager
async def provider_behind(fate: Fate) -> AsyncIterator[tuple[Swarm, Bitswap, PeerAddress, Proxy]]:
    """Run a provider of the file that is reached through a proxy only."""
    async with (
        node(LOOPBACK, limits=NetworkLimits()) as (provider, served, full),
        proxy_to(provider.addresses[0], fate) as (address, proxy),
    ):
        full.put(STORE.get(cid) for cid in WHOLE)
        yield provider, served, PeerAddress(provider.peer_id, (address,)), proxy


async def fetch(
    bitswap: Bitswap, peer: PeerAddress, proxy: Proxy, *, parts_after: int | None = None
) -> None:
    """Fetch the file; the network parts, once, when so many blocks have come."""

    def on_progress(block_count: int, _: int) -> None:
        if parts_after is not None and block_count >= parts_after and not proxy.parted_count:
            proxy.part()

    await fetch_dag(
        bitswap,
        ROOT,
        limits=LIMITS,
        idle_timeout_s=60,
        peers=[peer],
        on_progress=on_progress,
    )


async def test_a_retrieval_completes_though_three_pieces_in_ten_are_lost() -> None:
    lossy = Fate(piece_bytes=8_192, lost_share=0.3, again_s=0.002)
    async with (
        provider_behind(lossy) as (_, _, peer, proxy),
        node(limits=NetworkLimits()) as (_, bitswap, store),
    ):
        await fetch(bitswap, peer, proxy)
        assert set(store) == WHOLE
        assert proxy.lost_count > 100


async def test_a_partition_shorter_than_patience_is_waited_for() -> None:
    async with (
        provider_behind(Fate(piece_bytes=8_192)) as (_, _, peer, proxy),
        node(limits=NetworkLimits()) as (_, bitswap, store),
    ):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fetch(bitswap, peer, proxy, parts_after=3))
            await until(lambda: proxy.parted_count == 1)
            proxy.heal()
        assert set(store) == WHOLE
        assert proxy.cut_count == 0


async def test_after_a_partition_that_outlasts_patience_a_retrieval_resumes() -> None:
    short = NetworkLimits(keepalive_seconds=0.1, redial_seconds=(0.05,) * 3)
    async with (
        provider_behind(Fate(piece_bytes=8_192)) as (provider, served, peer, proxy),
        node(limits=short) as (client, bitswap, store),
    ):
        gone = asyncio.Event()
        provider.on_peer(lambda _, connected: None if connected else gone.set())
        with pytest.raises(DagUnavailable):
            await fetch(bitswap, peer, proxy, parts_after=3)
        had = set(store)
        assert 3 <= len(had) < len(WHOLE), "what had come was kept"
        proxy.heal()
        proxy.cut_all()
        # Not whether it is connected now: it dials again at once.
        await until(gone.is_set)
        await fetch(bitswap, peer, proxy)
        assert set(store) == WHOLE
        assert served.tally(client.peer_id).blocks_sent == len(WHOLE) - len(had)
