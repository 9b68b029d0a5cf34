"""Slow peers, greedy ones and crowds: who survives, who is cut, and by which rule."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from ipfs.errors import PeerHungUp
from ipfs.host import PeerAddress, Stream
from ipfs.p2p.limits import DEFAULT_LIMITS, NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.multistream import encode_line
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.swarm import Swarm
from ipfs.p2p.yamux import ACK, DATA, INITIAL_WINDOW_BYTES, RST, SYN, WINDOW_UPDATE
from tests.support.bitswap import until
from tests.support.proxy import Fate, proxy_to
from tests.support.raw_peer import RawPeer, raw_peer

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
ECHO = "/test/echo/1.0.0"
WAIT = "/test/wait/1.0.0"
WINDOWFUL_BYTES = INITIAL_WINDOW_BYTES - 1000
"""What a stream takes beside its negotiation while nobody reads."""

GO_AWAY_PROTOCOL_ERROR = bytes.fromhex("000300000000000000000001")


@asynccontextmanager
async def running_host(limits: NetworkLimits = DEFAULT_LIMITS) -> AsyncIterator[Swarm]:
    async with Swarm(Identity.generate(), listen=[LOOPBACK], limits=limits) as host:
        host.handle(ECHO, echo)
        host.handle(WAIT, wait)
        yield host


async def echo(stream: Stream) -> None:
    while data := await stream.read(1 << 16):
        await stream.write(data)


async def wait(_: Stream) -> None:
    await asyncio.Event().wait()


def at(host: Swarm, *addresses: Multiaddr) -> PeerAddress:
    return PeerAddress(host.peer_id, addresses or host.addresses)


async def lives(host: Swarm) -> bool:
    """Whether the host still serves an honest peer."""
    async with Swarm(Identity.generate()) as honest:
        await honest.connect(at(host))
        return await honest.ping(host.peer_id) > 0


def frame(kind: int, flags: int, stream_id: int, value: int = 0) -> bytes:
    return struct.pack(">BBHII", 0, kind, flags, stream_id, value)


async def hear_frames(peer: RawPeer, count: int, *, kind: int, flags: int) -> None:
    """Return when so many frames without a body were heard, whatever is said between."""
    heard, found = b"", 0
    while found < count:
        heard += await peer.hear()
        while len(heard) >= 12:
            _, its_kind, its_flags, _, value = struct.unpack(">BBHII", heard[:12])
            end = 12 + (value if its_kind == DATA else 0)
            if len(heard) < end:
                break
            heard = heard[end:]
            found += (its_kind, its_flags) == (kind, flags)


async def test_pieces_of_400_bytes_are_as_good_as_any() -> None:
    payload = random.Random(0).randbytes(500_000)
    async with (
        running_host() as host,
        proxy_to(host.addresses[0], Fate(piece_bytes=400)) as (address, _),
        Swarm(Identity.generate()) as honest,
    ):
        await honest.connect(at(host, address))
        stream, _ = await honest.open_stream(host.peer_id, [ECHO])
        async with asyncio.TaskGroup() as group:
            group.create_task(stream.write(payload))
            received = bytearray()
            while len(received) < len(payload):
                received += await stream.read(1 << 18)
        assert received == payload


async def test_of_ten_thousand_streams_at_once_as_many_as_allowed_are_served() -> None:
    async with running_host() as host, raw_peer(host.addresses[0]) as peer:
        await peer.upgrade(Identity.generate())
        opening = b"".join(frame(WINDOW_UPDATE, SYN, number) for number in range(1, 20_001, 2))
        refused_count = 10_000 - DEFAULT_LIMITS.streams_per_connection_max
        async with asyncio.TaskGroup() as group:
            group.create_task(peer.say(opening))
            await hear_frames(peer, refused_count, kind=WINDOW_UPDATE, flags=RST)
        # The connection lives: what was accepted can be talked on.
        await peer.say(say_on(1, encode_line("/multistream/1.0.0")))
        await peer.hear_until(encode_line("/multistream/1.0.0"))
        assert await lives(host)


def say_on(stream_id: int, data: bytes) -> bytes:
    return frame(DATA, 0, stream_id, len(data)) + data


async def test_ten_thousand_streams_one_after_the_other_are_served() -> None:
    async with running_host() as host, raw_peer(host.addresses[0]) as peer:
        await peer.upgrade(Identity.generate())
        request = encode_line("/multistream/1.0.0") + encode_line("/ipfs/ping/1.0.0")
        for start in range(1, 20_001, 200):
            ids = range(start, start + 200, 2)
            said = [
                frame(WINDOW_UPDATE, SYN, number)
                + say_on(number, request)
                + frame(WINDOW_UPDATE, 4, number)
                for number in ids
            ]
            async with asyncio.TaskGroup() as group:
                group.create_task(peer.say(b"".join(said)))
                await hear_frames(peer, len(ids), kind=DATA, flags=4)


async def test_a_peer_that_resets_what_it_opens_over_and_over_is_cut_off() -> None:
    async with running_host() as host, raw_peer(host.addresses[0]) as peer:
        await peer.upgrade(Identity.generate())
        count = DEFAULT_LIMITS.stream_resets_burst + 200
        churn = [
            frame(WINDOW_UPDATE, SYN, number) + frame(WINDOW_UPDATE, RST, number)
            for number in range(1, 2 * count, 2)
        ]
        with suppress(ConnectionError):
            await peer.say(b"".join(churn))
        assert GO_AWAY_PROTOCOL_ERROR in await peer.hear_to_end()
        assert await lives(host)


async def test_a_trickle_is_cut_where_a_time_is_set_and_lives_where_none_is() -> None:
    limits = NetworkLimits(handshake_seconds=1.0, negotiation_seconds=0.5, keepalive_seconds=0.2)
    async with running_host(limits) as host:
        async with raw_peer(host.addresses[0]) as slow:
            hearing = asyncio.create_task(slow.hear_to_end())
            with suppress(ConnectionError):
                while not hearing.done():
                    await slow.say(b"\x13")
                    await asyncio.wait([hearing], timeout=0.02)
            await hearing
        async with raw_peer(host.addresses[0]) as slow:
            await slow.upgrade(Identity.generate())
            resets = asyncio.create_task(
                hear_frames(slow, 2, kind=WINDOW_UPDATE, flags=RST)
            )  # Of identify, which is never answered, and of the stream below.
            await slow.say(frame(WINDOW_UPDATE, SYN, 1) + frame(DATA, 0, 1, 5000))
            while not resets.done():
                await slow.say(b"\x01")
                await asyncio.wait([resets], timeout=0.02)
            assert len(host.connected_peers()) == 1


async def test_a_crowd_from_one_ip_leaves_room_for_others() -> None:
    async with running_host() as host, AsyncExitStack() as crowd:
        endpoint = host.addresses[0].tcp_endpoint
        assert endpoint is not None
        for _ in range(1000):
            _, writer = await asyncio.open_connection(*endpoint, local_addr=("127.0.0.2", 0))
            crowd.callback(writer.close)
        assert await lives(host)
        most = DEFAULT_LIMITS.connections_per_ip_max
        await until(lambda: len(host._roster.connections) <= most + 1)


async def test_the_greediest_pays_when_all_hold_too_much() -> None:
    limits = NetworkLimits(held_bytes_max=4 * INITIAL_WINDOW_BYTES)
    async with (
        running_host(limits) as host,
        Swarm(Identity.generate()) as greedy,
        Swarm(Identity.generate()) as modest,
    ):
        await modest.connect(at(host))
        stream, _ = await modest.open_stream(host.peer_id, [WAIT])
        await stream.write(bytes(WINDOWFUL_BYTES))
        await greedy.connect(at(host))
        left: list[PeerId] = []
        host.on_peer(lambda peer_id, connected: None if connected else left.append(peer_id))
        streams = [(await greedy.open_stream(host.peer_id, [WAIT]))[0] for _ in range(6)]
        with suppress(PeerHungUp):
            for stream in streams:
                await stream.write(bytes(WINDOWFUL_BYTES))
        with pytest.raises(PeerHungUp):
            await streams[0].read(1)
        assert left == [greedy.peer_id]
        assert await modest.ping(host.peer_id) > 0
        assert host._budget.held_bytes <= INITIAL_WINDOW_BYTES


async def test_streams_of_one_peer_are_bounded_over_all_its_connections() -> None:
    limits = NetworkLimits(streams_per_peer_max=3)
    async with running_host(limits) as host, AsyncExitStack() as stack:
        identity = Identity.generate()
        peers = [await stack.enter_async_context(raw_peer(host.addresses[0])) for _ in range(2)]
        for peer in peers:
            await peer.upgrade(identity)
        opening = frame(WINDOW_UPDATE, SYN, 1) + frame(WINDOW_UPDATE, SYN, 3)
        await peers[0].say(opening)
        await hear_frames(peers[0], 2, kind=WINDOW_UPDATE, flags=ACK)
        await peers[1].say(opening)
        await hear_frames(peers[1], 1, kind=WINDOW_UPDATE, flags=RST)
        assert await lives(host)
