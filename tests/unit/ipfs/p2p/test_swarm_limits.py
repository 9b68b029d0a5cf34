"""Strangers at the door of a host: each is refused in its turn, and the host lives."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest

from ipfs.host import PeerAddress, PeerUnreachable, Stream
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.multistream import encode_line
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from tests.support.raw_peer import raw_peer

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
LIMITS = NetworkLimits(
    connections_max=3,
    connections_per_peer_max=2,
    streams_max=4,
    handshake_seconds=0.2,
    negotiation_seconds=0.2,
)
GO_AWAY_PROTOCOL_ERROR = bytes.fromhex("000300000000000000000001")
GO_AWAY = bytes.fromhex("000300000000000000000000")
RESET = bytes.fromhex("00010008")
SYN = bytes.fromhex("000100010000000100000000")
SYN_GRANTING_MUCH = bytes.fromhex("000100010000000140000000")
DATA = bytes.fromhex("0000000000000001")


@pytest.fixture
async def host() -> AsyncIterator[Swarm]:
    async with Swarm(Identity.generate(), listen=[LOOPBACK], limits=LIMITS) as swarm:
        yield swarm


async def lives(host: Swarm) -> bool:
    """Whether the host still serves an honest peer."""
    async with Swarm(Identity.generate()) as honest:
        await honest.connect(PeerAddress(host.peer_id, host.addresses))
        return await honest.ping(host.peer_id) > 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(1000),
        b"\xff" * 1000,
        encode_line("/multistream/1.0.0") + encode_line("/noise") + bytes(1000),
        encode_line("/multistream/1.0.0") + encode_line("/plaintext/2.0.0") * 100,
    ],
)
async def test_garbage_ends_its_connection_and_nothing_else(host: Swarm, garbage: bytes) -> None:
    async with raw_peer(host.addresses[0]) as stranger:
        await stranger.say(garbage)
        await stranger.hear_to_end()
    assert await lives(host)
    assert host.connected_peers() == ()


async def test_a_stranger_that_says_nothing_is_cut_off(host: Swarm) -> None:
    async with raw_peer(host.addresses[0]) as stranger:
        assert await stranger.hear_to_end() == b""


async def test_a_frame_against_the_rules_ends_the_connection_with_a_reason(host: Swarm) -> None:
    async with raw_peer(host.addresses[0]) as peer:
        await peer.upgrade(Identity.generate())
        await peer.say(b"\x01" * 12)
        assert (await peer.hear_to_end()).endswith(GO_AWAY_PROTOCOL_ERROR)
    assert await lives(host)


async def test_a_peer_that_asks_and_does_not_read_is_cut_off(host: Swarm) -> None:
    ping = bytes.fromhex("000200010000000000000000")
    async with raw_peer(host.addresses[0]) as peer:
        await peer.upgrade(Identity.generate())
        with suppress(ConnectionError):
            while True:
                await peer.say(ping * 10_000)
    assert await lives(host)


async def test_a_peer_that_grants_much_and_reads_nothing_is_sent_little() -> None:
    has_begun = asyncio.Event()
    sent_bytes = 0

    async def flood(stream: Stream) -> None:
        nonlocal sent_bytes
        has_begun.set()
        for _ in range(100):
            await stream.write(bytes(1 << 20))
            sent_bytes += 1 << 20

    wanted = encode_line("/multistream/1.0.0") + encode_line("/test/flood")
    async with (
        Swarm(Identity.generate(), listen=[LOOPBACK]) as host,
        raw_peer(host.addresses[0]) as greedy,
        Swarm(Identity.generate()) as honest,
    ):
        host.handle("/test/flood", flood)
        await honest.connect(PeerAddress(host.peer_id, host.addresses))
        await greedy.upgrade(Identity.generate())
        await greedy.say(SYN_GRANTING_MUCH + DATA + len(wanted).to_bytes(4) + wanted)
        await has_begun.wait()
        for _ in range(200):
            await honest.ping(host.peer_id)
    # The buffers of two sockets and a reader, and what we hold back.
    assert sent_bytes < 50 << 20


async def test_a_stream_that_agrees_on_nothing_is_reset(host: Swarm) -> None:
    async with raw_peer(host.addresses[0]) as peer:
        await peer.upgrade(Identity.generate())
        await peer.say(SYN)
        await peer.hear_until(RESET)


async def test_a_peer_that_leaves_at_once_is_no_bug_of_ours(host: Swarm) -> None:
    async with raw_peer(host.addresses[0]) as peer:
        await peer.upgrade(Identity.generate(), first_words=GO_AWAY)
        await peer.say(SYN)
        await peer.hear_until(RESET)
    assert await lives(host)


async def test_the_oldest_idle_connection_makes_room_for_one_too_many(host: Swarm) -> None:
    async with AsyncExitStack() as peers:
        crowd = [
            await peers.enter_async_context(raw_peer(host.addresses[0]))
            for _ in range(LIMITS.connections_max)
        ]
        for peer in crowd:
            await peer.upgrade(Identity.generate())
        # Once the host has given up on asking a silent peer who it is, that peer is idle.
        for peer in crowd:
            await peer.hear_until(RESET)
        assert await lives(host)
        await crowd[0].hear_to_end()


async def test_a_connection_too_many_is_refused_while_none_is_idle(host: Swarm) -> None:
    async with AsyncExitStack() as peers:
        for _ in range(LIMITS.connections_max):
            await peers.enter_async_context(raw_peer(host.addresses[0]))
        async with Swarm(Identity.generate()) as late:
            with pytest.raises(PeerUnreachable):
                await late.connect(PeerAddress(host.peer_id, host.addresses))
    assert await lives(host)


async def test_a_connection_too_many_of_one_peer_is_closed(host: Swarm) -> None:
    identity = Identity.generate()
    async with AsyncExitStack() as peers:
        for _ in range(LIMITS.connections_per_peer_max):
            peer = await peers.enter_async_context(raw_peer(host.addresses[0]))
            await peer.upgrade(identity)
        late = await peers.enter_async_context(raw_peer(host.addresses[0]))
        await late.upgrade(identity)
        await late.hear_to_end()
        assert host.connected_peers() == (identity.peer_id,)


async def test_a_host_does_not_connect_to_itself(host: Swarm) -> None:
    with pytest.raises(PeerUnreachable):
        await host.connect(PeerAddress(host.peer_id, host.addresses))
    assert host.connected_peers() == ()


async def test_streams_of_all_peers_together_are_bounded(host: Swarm) -> None:
    async def wait(_: Stream) -> None:
        await asyncio.Event().wait()

    host.handle("/test/wait", wait)
    async with Swarm(Identity.generate()) as greedy:
        await greedy.connect(PeerAddress(host.peer_id, host.addresses))
        for _ in range(LIMITS.streams_max):
            await greedy.open_stream(host.peer_id, ["/test/wait"])
        with pytest.raises(PeerUnreachable):
            await greedy.open_stream(host.peer_id, ["/test/wait"])


async def test_a_peer_that_gives_no_sign_of_life_is_let_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "ipfs.p2p.swarm")
    limits = NetworkLimits(keepalive_seconds=0.05)
    async with (
        Swarm(Identity.generate(), listen=[LOOPBACK], limits=limits) as host,
        raw_peer(host.addresses[0]) as peer,
    ):
        await peer.upgrade(Identity.generate())
        await peer.hear_to_end()
    assert "gives no sign of life" in caplog.text
