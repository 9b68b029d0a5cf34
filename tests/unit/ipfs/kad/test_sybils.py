"""Crowds of made-up peers around a key: they add lies to what is found, and hide nobody."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager

from ipfs.errors import PeerHungUp
from ipfs.framing import encode_frame
from ipfs.host import Host, PeerAddress, Stream
from ipfs.kad.keyspace import key_of
from ipfs.kad.messages import AddProvider, Response, decode_request, encode_request
from ipfs.kad.parameters import PUBLIC_PROTOCOL_ID
from ipfs.kad.stream import Kademlia
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from tests.support.kad import CAT, nearest, peer, providers_of, read_frames, where

IDENTITIES = {
    it.peer_id: it
    for it in (Identity.from_seed(bytes([1, n >> 8, n & 255]).ljust(32)) for n in range(1500))
}
NEAR = nearest(key_of(CAT.multihash), IDENTITIES, 100)
NOWHERE = Multiaddr.parse("/ip4/203.1.1.1/tcp/1")


class Town:
    """Honest servers, each in a network of its own, and Sybils that share one."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.hosts: list[MemoryHost] = []
        self.nodes: list[Kademlia] = []
        self.sybils: list[MemoryHost] = []

    async def settle(self, count: int) -> None:
        for number in range(count):
            identity = Identity.from_seed(number.to_bytes(32))
            host = self.network.add_host(identity, ip4=f"5.{number}.0.1")
            self.hosts.append(host)
            self.nodes.append(Kademlia(host, protocol_id=PUBLIC_PROTOCOL_ID))
            await self.nodes[-1].bootstrap([where(it) for it in self.hosts[:1] if it is not host])
            await self.greet()

    async def greet(self) -> None:
        for node in self.nodes:
            await node.greet()

    async def invade(self, peer_ids: Iterable[PeerId], *, networks: int = 1) -> None:
        """Let Sybils come, each known to two honest nodes to begin with."""
        for number, peer_id in enumerate(peer_ids):
            ip4 = f"6.{number % networks}.0.{number + 1}"
            sybil = self.network.add_host(IDENTITIES[peer_id], ip4=ip4)
            sybil.handle(PUBLIC_PROTOCOL_ID, self.lie)
            self.sybils.append(sybil)
        for number, sybil in enumerate(self.sybils):
            for place in (number, number + 1):
                await sybil.connect(where(self.hosts[place % len(self.hosts)]))
        await self.greet()

    async def lie(self, stream: Stream) -> None:
        """Tell of Sybils only, of forty false providers, and of true ones at a false address."""
        try:
            [frame] = await read_frames(stream)
        except PeerHungUp:
            return
        request = decode_request(frame)
        if not isinstance(request, AddProvider):
            false = [PeerAddress(it.peer_id, (NOWHERE,)) for it in self.hosts]
            false += [PeerAddress(peer(number), (NOWHERE,)) for number in range(40)]
            crowd = tuple(where(it) for it in self.sybils[:20])
            answer = Response(request.message_type, crowd, tuple(false[:40]))
            await stream.write(encode_frame(answer.encode()))
        await stream.close_write()


@asynccontextmanager
async def town(count: int) -> AsyncIterator[Town]:
    async with MemoryNetwork() as network:
        opened = Town(network)
        await opened.settle(count)
        yield opened


def found_at(found: list[PeerAddress], host: Host) -> bool:
    """Whether a host was found where it is, and not only where it is not."""
    return any(it.peer_id == host.peer_id and {*host.addresses} <= {*it.addresses} for it in found)


async def test_three_in_ten_that_lie_about_providers_hide_none() -> None:
    async with town(28) as it:
        await it.invade(NEAR[:12], networks=12)
        await it.nodes[3].provide(CAT)
        for node in it.nodes[5:10]:
            found = await providers_of(node)
            assert found_at(found, it.hosts[3])
            assert len(found) <= 200


async def test_a_hundred_ids_around_a_key_in_one_network_keep_nobody_from_it() -> None:
    async with town(24) as it:
        await it.invade(NEAR)
        keepers = await it.nodes[3].provide(CAT)
        assert keepers == 20
        kept = [node for node in it.nodes if node._records.providers(CAT.multihash, 0)]
        assert len(kept) >= 20 - 3, "few of the keepers are Sybils, though all are nearer"
        for node in it.nodes[5:8]:
            assert found_at(await providers_of(node), it.hosts[3])


async def test_a_hundred_ids_that_announce_themselves_displace_nobody_from_elsewhere() -> None:
    async with town(8) as it:
        await it.nodes[3].provide(CAT)
        for number, peer_id in enumerate(NEAR):
            sybil = it.network.add_host(IDENTITIES[peer_id], ip4=f"6.0.0.{number + 1}")
            request = AddProvider(CAT.multihash, (where(sybil),))
            for host in it.hosts:
                await announce(sybil, host, request)
        for host, node in zip(it.hosts[4:], it.nodes[4:], strict=True):
            told = node._records.providers(CAT.multihash, 0)
            assert len(told) == 40, "as many of a key as there may be"
            assert where(it.hosts[3]) in told[:2], "one of each network comes first"
            async with aclosing(node.find_providers(CAT)) as found:
                first = [await anext(found) for _ in range(2)]
            assert where(it.hosts[3]) in first, host


async def announce(sybil: MemoryHost, host: MemoryHost, request: AddProvider) -> None:
    await sybil.connect(where(host))
    stream, _ = await sybil.open_stream(host.peer_id, [PUBLIC_PROTOCOL_ID])
    await stream.write(encode_frame(encode_request(request)))
    await stream.close_write()
    assert await stream.read(1) == b""
