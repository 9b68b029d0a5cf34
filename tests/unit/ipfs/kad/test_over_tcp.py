"""The same node over real sockets, Noise and Yamux."""

from contextlib import AsyncExitStack

from ipfs.kad.stream import Kademlia
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from tests.support.kad import CAT, providers_of, where

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")


async def test_providers_and_peers_are_found_over_tcp_though_some_nodes_die() -> None:
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(
                Swarm(Identity.from_seed(bytes([number] * 32)), listen=[LOOPBACK])
            )
            for number in range(10)
        ]
        nodes = [Kademlia(host) for host in hosts]
        for node in nodes[1:]:
            assert await node.bootstrap([where(hosts[0])])
            for met in nodes:
                await met.greet()
        assert await nodes[3].provide(CAT) == 9
        await hosts[0].close()
        await hosts[1].close()
        for node in (nodes[2], nodes[9]):
            assert await providers_of(node) == [where(hosts[3])]
            assert await node.find_peer(hosts[5].peer_id) == where(hosts[5])
