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
from tests.support.proxy import Fate, proxy_to

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
FILE = random.Random(3).randbytes(4_000_000)
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


async def test_a_retrieval_completes_though_three_pieces_in_ten_are_lost() -> None:
    lossy = Fate(piece_bytes=8_192, lost_share=0.3, again_s=0.002)
    limits = NetworkLimits()
    async with (
        node(LOOPBACK, limits=limits) as (provider, _, full),
        proxy_to(provider.addresses[0], lossy) as (address, proxy),
        node(limits=limits) as (_, bitswap, empty),
    ):
        root = import_file(io.BytesIO(FILE), full, PROFILES["unixfs-v0-2015"]).cid
        peers = [PeerAddress(provider.peer_id, (address,))]
        await fetch_dag(bitswap, root, limits=LIMITS, idle_timeout_s=60, peers=peers)
        assert set(empty) == set(full)
        assert proxy.lost_count > 100


async def test_a_partition_shorter_than_patience_is_waited_for() -> None:
    async with (
        node(LOOPBACK, limits=NetworkLimits()) as (provider, _, full),
        proxy_to(provider.addresses[0], Fate(piece_bytes=8_192)) as (address, proxy),
        node(limits=NetworkLimits()) as (_, bitswap, empty),
    ):
        root = import_file(io.BytesIO(FILE), full, PROFILES["unixfs-v0-2015"]).cid
        peers = [PeerAddress(provider.peer_id, (address,))]
        parted: list[int] = []

        def part_once(block_count: int, _: int) -> None:
            if block_count >= 3 and not parted:
                parted.append(block_count)
                proxy.part()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                fetch_dag(
                    bitswap,
                    root,
                    limits=LIMITS,
                    idle_timeout_s=60,
                    peers=peers,
                    on_progress=part_once,
                )
            )
            await until(lambda: bool(parted))
            proxy.heal()
        assert set(empty) == set(full)
        assert proxy.cut_count == 0


async def test_after_a_partition_that_outlasts_patience_a_retrieval_resumes() -> None:
    short = NetworkLimits(keepalive_seconds=0.1, redial_seconds=(0.05,) * 3)
    async with (
        node(LOOPBACK, limits=NetworkLimits()) as (provider, served, full),
        proxy_to(provider.addresses[0], Fate(piece_bytes=8_192)) as (address, proxy),
        node(limits=short) as (client, bitswap, empty),
    ):
        root = import_file(io.BytesIO(FILE), full, PROFILES["unixfs-v0-2015"]).cid
        peers = [PeerAddress(provider.peer_id, (address,))]
        parted: list[int] = []

        def part_once(block_count: int, _: int) -> None:
            if block_count >= 3 and not parted:
                parted.append(block_count)
                proxy.part()

        with pytest.raises(DagUnavailable):
            await fetch_dag(
                bitswap,
                root,
                limits=LIMITS,
                idle_timeout_s=60,
                peers=peers,
                on_progress=part_once,
            )
        had = set(empty)
        assert parted[0] <= len(had) < len(set(full)), "what had come was kept"
        proxy.heal()
        proxy.cut_all()
        await until(lambda: client.peer_id not in provider.connected_peers())
        await fetch_dag(bitswap, root, limits=LIMITS, idle_timeout_s=60, peers=peers)
        assert set(empty) == set(full)
        assert served.tally(client.peer_id).blocks_sent == len(set(full)) - len(had)
