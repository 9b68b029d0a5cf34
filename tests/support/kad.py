"""Peers and small DHTs to test with."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from ipfs.cid import CID, Codec
from ipfs.errors import MalformedBytes, PeerHungUp
from ipfs.framing import FrameReader, encode_frame
from ipfs.host import Host, PeerAddress, Stream, StreamHandler
from ipfs.kad.keyspace import Key, key_of
from ipfs.kad.messages import MESSAGE_BYTES_MAX, Response, decode_request
from ipfs.kad.parameters import LAN_PROTOCOL_ID
from ipfs.kad.stream import Kademlia, Mode
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.swarm import Swarm
from ipfs.routing import Routing

CAT = CID.of(Codec.RAW, b"cat")


def peer(number: int) -> PeerId:
    """Return one of many peer ids that nobody holds a key of, spread evenly over the key space."""
    return PeerId(b"\x12\x20" + hashlib.sha256(b"peer %d" % number).digest())


def nearest(target: Key, peers: Iterable[PeerId], count: int) -> list[PeerId]:
    """Return the peers nearest to a key by looking at every one: the slow oracle."""
    return sorted(peers, key=lambda it: key_of(it.multihash) ^ target)[:count]


def where(host: Host) -> PeerAddress:
    """Return what somebody needs to dial the host."""
    return PeerAddress(host.peer_id, host.addresses)


class HighestWins:
    """A validator of numbers in digits: under any key, the highest is the best."""

    def validate(self, key: bytes, value: bytes) -> None:
        """Refuse what is no number."""
        if not value.isdigit():
            raise MalformedBytes("number", repr(value))

    def select(self, values: Sequence[bytes]) -> int:
        """Return where the highest is."""
        return max(range(len(values)), key=lambda index: int(values[index]))


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, *, hours: float) -> None:
        """Let time go by."""
        self.now += hours * 3600


class Dht:
    """Servers of one DHT in one process, each joined through the first."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.clock = Clock()
        self.hosts: list[MemoryHost] = []
        self.nodes: list[Kademlia] = []

    def host(self) -> MemoryHost:
        """Return a new host, always the same ones in the same order."""
        host = self.network.add_host(Identity.from_seed(len(self.hosts).to_bytes(32, "big")))
        self.hosts.append(host)
        return host

    async def grow(self, count: int) -> None:
        """Add servers, which join one after the other."""
        for _ in range(count):
            node = Kademlia(self.host(), clock=self.clock)
            self.nodes.append(node)
            if len(self.nodes) > 1:
                assert await node.bootstrap([where(self.hosts[0])])
            await self.greet()

    async def greet(self) -> None:
        """Have every server ask who has connected to it, as `run` does."""
        for node in self.nodes:
            await node.greet()

    def die(self, numbers: Iterable[int]) -> None:
        """Take some hosts off the network."""
        for number in numbers:
            self.network.take_down(self.hosts[number].peer_id)


@asynccontextmanager
async def dht(count: int) -> AsyncIterator[Dht]:
    """Open a DHT of so many servers."""
    async with MemoryNetwork() as network:
        opened = Dht(network)
        await opened.grow(count)
        yield opened


async def read_frames(stream: Stream, *, until_end: bool = True) -> list[bytes]:
    """Return every frame up to the end of the stream, or the first ones to arrive together."""
    reader = FrameReader(frame_bytes_max=MESSAGE_BYTES_MAX)
    frames: list[bytes] = []
    while data := await stream.read(1 << 16):
        frames += reader.feed(data)
        if frames and not until_end:
            return frames
    if not reader.is_between_frames:
        raise PeerHungUp("cut within a frame")
    return frames


async def providers_of(
    node: Routing, cid: CID = CAT, count_max: int | None = None
) -> list[PeerAddress]:
    """Return every provider that a node finds."""
    return [provider async for provider in node.find_providers(cid, count_max=count_max)]


async def open_to(server: Host, asker: Host) -> Stream:
    """Open a stream by hand."""
    await asker.connect(where(server))
    stream, _ = await asker.open_stream(server.peer_id, [LAN_PROTOCOL_ID])
    return stream


def tell_of(provider: PeerAddress) -> StreamHandler:
    """Answer whatever is asked with one provider."""

    async def tell(stream: Stream) -> None:
        [frame] = await read_frames(stream)
        response = Response(decode_request(frame).message_type, (), (provider,))
        await stream.write(encode_frame(response.encode()))
        await stream.close_write()

    return tell


async def never_answer(stream: Stream) -> None:
    """Read whatever comes, and say nothing."""
    while await stream.read(1 << 16):
        pass
    await asyncio.Event().wait()


@asynccontextmanager
async def meeting_point() -> AsyncIterator[str]:
    """Run a DHT server on loopback; lend the address that others join through."""
    async with Swarm(Identity.generate(), listen=[Multiaddr.parse("/ip4/127.0.0.1/tcp/0")]) as host:
        Kademlia(host, mode=Mode.SERVER)
        yield f"{host.addresses[0]}/p2p/{host.peer_id}"
