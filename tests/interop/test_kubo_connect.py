"""Kubo and we: connected both ways, each knowing what the other is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ipfs.host import PeerAddress, PeerUnreachable
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.swarm import Swarm
from tests.support.kubo import WEBSOCKET, Kubo, running_kubo

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")


@pytest.fixture
async def kubo(tmp_path: Path) -> AsyncIterator[Kubo]:
    async with running_kubo(tmp_path) as node:
        yield node


def at(kubo: Kubo) -> PeerAddress:
    addresses = tuple(Multiaddr.parse(address) for address in kubo.addresses)
    return PeerAddress(PeerId.parse(kubo.peer_id), addresses)


def identified(host: Swarm) -> asyncio.Future[tuple[PeerId, tuple[str, ...]]]:
    """A future of the first peer that identifies itself."""
    future = asyncio.get_running_loop().create_future()
    host.on_identified(
        lambda peer_id, ids: None if future.done() else future.set_result((peer_id, tuple(ids)))
    )
    return future


async def test_we_dial_kubo(kubo: Kubo) -> None:
    async with Swarm(Identity.generate(), listen=[LOOPBACK]) as host:
        known = identified(host)
        await host.connect(at(kubo))
        async with asyncio.timeout(120):
            peer_id, protocol_ids = await known
        assert str(peer_id) == kubo.peer_id
        assert "/ipfs/bitswap/1.2.0" in protocol_ids
        assert "/ipfs/lan/kad/1.0.0" in protocol_ids
        assert host.peer_agent(peer_id).startswith("kubo/0.22")
        assert set(at(kubo).addresses) <= set(host.known_addresses(peer_id))
        assert 0 < await host.ping(peer_id) < 10
        assert await kubo.peers() == [str(host.peer_id)]


async def test_kubo_dials_us(kubo: Kubo) -> None:
    async with Swarm(Identity.generate(), listen=[LOOPBACK]) as host:
        known = identified(host)
        [address] = host.addresses
        await kubo.connect(str(address.with_peer_id(host.peer_id)))
        async with asyncio.timeout(120):
            peer_id, _ = await known
        assert str(peer_id) == kubo.peer_id
        assert host.connected_peers() == (peer_id,)
        assert await kubo.peers() == [str(host.peer_id)]
        assert 0 < await host.ping(peer_id) < 10


async def test_kubo_and_we_dial_each_other_over_websocket(tmp_path: Path) -> None:
    listen = [Multiaddr.parse(WEBSOCKET)]
    async with (
        running_kubo(tmp_path, listen=WEBSOCKET) as kubo,
        Swarm(Identity.generate()) as dialler,
        Swarm(Identity.generate(), listen=listen) as host,
    ):
        await dialler.connect(at(kubo))
        assert 0 < await dialler.ping(at(kubo).peer_id) < 10
        [address] = host.addresses
        await kubo.connect(str(address.with_peer_id(host.peer_id)))
        assert 0 < await host.ping(at(kubo).peer_id) < 10
        assert set(await kubo.peers()) == {str(dialler.peer_id), str(host.peer_id)}


async def test_kubo_knows_our_addresses_from_identify(kubo: Kubo) -> None:
    async with Swarm(Identity.generate(), listen=[LOOPBACK]) as host:
        known = identified(host)
        await host.connect(at(kubo))
        await known
        [ours] = map(str, host.addresses)
        async with asyncio.timeout(120):
            # Kubo may still be asking who we are, and tells nobody when it knows.
            while not any(ours in told for told in await kubo.find_peer(str(host.peer_id))):
                continue


async def test_a_kubo_that_is_not_the_one_we_dial_is_refused(kubo: Kubo) -> None:
    somebody = Identity.generate().peer_id
    async with Swarm(Identity.generate()) as host:
        with pytest.raises(PeerUnreachable, match="expected"):
            await host.connect(PeerAddress(somebody, at(kubo).addresses))
