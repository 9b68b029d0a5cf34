"""Joining the network without money: through the registry where there is one, and without it."""

from collections.abc import AsyncIterator
from io import BytesIO

import pytest
import pytest_asyncio

from chain.messages import RegisterProvider
from client.config import ClientConfig
from client.plumbing.session import open_network
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import Codec
from ipfs.dag import links_of
from ipfs.exchange import DagUnavailable
from ipfs.host import PeerAddress
from ipfs.kad.stream import Kademlia
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from ipfs.unixfs.chunker import FixedSize
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.profiles import ImportSettings
from tests.support.gateway import gateway_over
from tests.support.kad import where
from tests.support.nodes import SteppedLedger

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")


@pytest_asyncio.fixture
async def server() -> AsyncIterator[PeerAddress]:
    async with Swarm(Identity.generate(), listen=[LOOPBACK]) as host:
        Kademlia(host)
        yield where(host)


async def test_registered_providers_are_joined_through(
    on: SteppedLedger, config: ClientConfig, server: PeerAddress
) -> None:
    await on.funds("somebody")
    for peer_id, addresses in ((str(server.peer_id), server.addresses), ("nonsense", ("nowhere",))):
        entry = RegisterProvider(
            worker=on.address("somebody"), peer_id=peer_id, addresses=tuple(map(str, addresses))
        )
        await on.does("somebody", entry)
    async with open_network(config, MemoryBlockstore()) as network:
        assert network.host.connected_peers() == (server.peer_id,)
        assert len(network.routing.table) == 1


async def test_without_a_ledger_or_with_another_networks_the_named_peers_are_joined_through(
    config: ClientConfig, server: PeerAddress
) -> None:
    down = config.model_copy(update={"ledger_url": "http://127.0.0.1:9"})
    foreign = config.model_copy(update={"network": "laptop"})
    for each in (down, foreign):
        async with open_network(each, MemoryBlockstore(), [server]) as network:
            assert len(network.routing.table) == 1
        async with open_network(each, MemoryBlockstore()) as network:
            assert len(network.routing.table) == 0


async def test_only_who_provides_can_be_dialled(config: ClientConfig) -> None:
    async with open_network(config, MemoryBlockstore()) as visitor:
        assert visitor.host.addresses == ()
    us = Identity.generate()
    async with open_network(config, MemoryBlockstore(), provider=us) as provider:
        assert provider.host.peer_id == us.peer_id
        assert len(provider.host.addresses) == 1


async def test_gateways_of_known_peers_serve_where_bitswap_reaches_nobody(
    config: ClientConfig,
) -> None:
    theirs, ours = MemoryBlockstore(), MemoryBlockstore()
    settings = ImportSettings(chunker=FixedSize(1000))
    root = import_file(BytesIO(bytes(range(256)) * 40), theirs, settings).cid
    async with gateway_over(theirs) as http:
        address = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{http.base_url.port}/http")
        keeper = PeerAddress(Identity.generate().peer_id, (address,))
        async with open_network(config, ours, [keeper]) as network:
            [part, *_] = links_of(theirs.get(root))
            assert await network.get(part, root=root) == theirs.get(part)
            await network.bring(root, lambda _blocks, _bytes: None)
            assert set(ours) == set(theirs)
            with pytest.raises(DagUnavailable):
                await network.get(Block.of(Codec.RAW, b"nobody has this").cid, root=root)
