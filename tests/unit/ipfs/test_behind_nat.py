"""A client that nobody can dial, and a network that cuts: what a deal or a fetch needs works."""

import io
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import MemoryBlockstore
from ipfs.exchange import DagLimits, DagUnavailable, fetch_dag
from ipfs.host import PeerAddress, PeerUnreachable, Stream
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from ipfs.unixfs.importer import import_file
from tests.support.bitswap import until
from tests.support.proxy import Fate, proxy_to

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
FILE = random.Random(3).randbytes(3_000_000)
LIMITS = DagLimits(blocks_max=100, bytes_max=4_000_000)
ECHO = "/test/echo/1.0.0"


@asynccontextmanager
async def node(*listen: Multiaddr) -> AsyncIterator[tuple[Swarm, Bitswap, MemoryBlockstore]]:
    store = MemoryBlockstore()
    limits = NetworkLimits(redial_seconds=(0.05,) * 20)
    async with (
        Swarm(Identity.generate(), listen=listen, limits=limits) as host,
        Bitswap(host, store) as bitswap,
    ):
        yield host, bitswap, store


async def echo(stream: Stream) -> None:
    while data := await stream.read(1 << 16):
        await stream.write(data)


async def test_a_provider_fetches_from_a_client_that_listens_nowhere() -> None:
    async with (
        node(LOOPBACK) as (provider, bitswap, empty),
        node() as (client, _, full),
    ):
        root = import_file(io.BytesIO(FILE), full).cid
        assert client.addresses == ()
        await client.connect(PeerAddress(provider.peer_id, provider.addresses))
        await until(lambda: provider.connected_peers() == (client.peer_id,))
        peers = [PeerAddress(client.peer_id)]
        await fetch_dag(bitswap, root, limits=LIMITS, idle_timeout_s=10, peers=peers)
        assert set(empty) == set(full)


async def test_a_provider_opens_streams_to_such_a_client_until_it_has_gone() -> None:
    async with node(LOOPBACK) as (provider, _, _):
        async with node() as (client, _, _):
            client.handle(ECHO, echo)
            await client.connect(PeerAddress(provider.peer_id, provider.addresses))
            await until(lambda: provider.connected_peers() == (client.peer_id,))
            stream, _ = await provider.open_stream(client.peer_id, [ECHO])
            await stream.write(b"hello")
            assert await stream.read(5) == b"hello"
        await until(lambda: provider.connected_peers() == ())
        with pytest.raises(PeerUnreachable):
            await provider.open_stream(client.peer_id, [ECHO])


async def test_a_connection_that_breaks_is_dialled_again_by_whoever_dialled_it() -> None:
    async with (
        node(LOOPBACK) as (provider, _, _),
        proxy_to(provider.addresses[0], Fate()) as (address, proxy),
        node() as (client, _, _),
    ):
        client.handle(ECHO, echo)
        comings: list[bool] = []
        provider.on_peer(lambda _, connected: comings.append(connected))
        await client.connect(PeerAddress(provider.peer_id, (address,)))
        proxy.cut_all()
        await until(lambda: comings == [True, False, True])
        stream, _ = await provider.open_stream(client.peer_id, [ECHO])
        await stream.write(b"again")
        assert await stream.read(5) == b"again"


async def test_a_connection_that_was_closed_is_not_dialled_again() -> None:
    async with node() as (client, _, _):
        async with node(LOOPBACK) as (provider, _, _):
            await client.connect(PeerAddress(provider.peer_id, provider.addresses))
        await until(lambda: client.connected_peers() == ())
        assert not [task for task in client._tasks if "_redial" in repr(task)]


async def test_a_retrieval_completes_though_connections_are_slow_and_most_are_lost() -> None:
    fates = (Fate(bytes_max=600_000, delay_s=0.001), Fate(bytes_max=1_300_000), Fate(delay_s=0.001))
    async with (
        node(LOOPBACK) as (provider, _, full),
        proxy_to(provider.addresses[0], *fates) as (address, proxy),
        node() as (_, bitswap, empty),
    ):
        root = import_file(io.BytesIO(FILE), full).cid
        peers = [PeerAddress(provider.peer_id, (address,))]
        is_whole = False
        while not is_whole:
            with suppress(DagUnavailable):
                await fetch_dag(bitswap, root, limits=LIMITS, idle_timeout_s=10, peers=peers)
                is_whole = True
        assert proxy.cut_count == 2
        assert set(empty) == set(full)


async def test_the_dialler_tries_until_the_network_lets_it_through() -> None:
    fates = (Fate(bytes_max=0), Fate(bytes_max=100), Fate(bytes_max=300), Fate())
    async with (
        node(LOOPBACK) as (provider, _, _),
        proxy_to(provider.addresses[0], *fates) as (address, _),
        node() as (client, _, _),
    ):
        peer = PeerAddress(provider.peer_id, (address,))
        for _ in range(3):
            with pytest.raises(PeerUnreachable):
                await client.connect(peer)
        await client.connect(peer)
        assert await client.ping(provider.peer_id) > 0
