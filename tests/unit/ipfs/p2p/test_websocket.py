"""Strangers at a WebSocket's door, and who is no WebSocket behind it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

from ipfs.host import PeerAddress, PeerUnreachable
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr, TcpEndpoint
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from ipfs.p2p.upgrade import Upgrade
from ipfs.p2p.websocket import MESSAGE_BYTES_MAX
from tests.support.raw_peer import RawPeer, raw_socket

WEBSOCKET = Multiaddr.parse("/ip4/127.0.0.1/tcp/0/ws")
LIMITS = NetworkLimits(handshake_seconds=0.5, unsent_reply_bytes_max=1024)


@pytest.fixture
async def host() -> AsyncIterator[Swarm]:
    async with Swarm(Identity.generate(), listen=[WEBSOCKET], limits=LIMITS) as swarm:
        yield swarm


async def lives(host: Swarm) -> bool:
    """Whether the host still serves an honest peer."""
    async with Swarm(Identity.generate()) as honest:
        await honest.connect(PeerAddress(host.peer_id, host.addresses))
        return await honest.ping(host.peer_id) > 0


class RawWebSocket:
    """The dialling end of a WebSocket: says any frame, and hears the payloads of the other end."""

    def __init__(self, peer: RawPeer) -> None:
        self._peer = peer
        self._websocket = ClientProtocol(WebSocketURI(False, "localhost", 80, "/", ""))

    async def open(self) -> None:
        self._websocket.send_request(self._websocket.connect())
        await self._flush()
        while self._websocket.state is State.CONNECTING:
            self._websocket.receive_data(await self._peer.hear())
        self._websocket.events_received()

    async def say(self, *frames: Frame) -> None:
        for frame in frames:
            self._websocket.send_frame(frame)
        await self._flush()

    async def hear(self) -> bytes:
        self._websocket.receive_data(await self._peer.hear())
        frames = [event for event in self._websocket.events_received() if isinstance(event, Frame)]
        return b"".join(frame.data for frame in frames if frame.opcode is Opcode.BINARY)

    async def _flush(self) -> None:
        await self._peer.say(b"".join(self._websocket.data_to_send()))


@asynccontextmanager
async def raw_websocket(host: Swarm) -> AsyncIterator[tuple[RawWebSocket, RawPeer]]:
    endpoint = host.addresses[0].websocket_endpoint
    assert endpoint is not None
    async with raw_socket(endpoint) as peer:
        websocket = RawWebSocket(peer)
        await websocket.open()
        yield websocket, peer


def binary(data: bytes, *, is_last: bool = True) -> Frame:
    return Frame(Opcode.BINARY, data, is_last)


def pieces(data: bytes, size_bytes: int) -> Iterable[Frame]:
    """Return one message in fragments of a size, the last one empty."""
    starts = range(0, len(data), size_bytes)
    for start in starts:
        opcode = Opcode.CONT if start else Opcode.BINARY
        yield Frame(opcode, data[start : start + size_bytes], False)
    yield Frame(Opcode.CONT, b"", True)


async def test_messages_may_be_cut_anyhow_and_pings_come_between(host: Swarm) -> None:
    async with raw_websocket(host) as (websocket, _):
        upgrade = Upgrade(Identity.generate(), is_initiator=True, expected_peer=host.peer_id)
        await websocket.say(*pieces(upgrade.start(), 3))
        while upgrade.result is None:
            out = upgrade.receive(await websocket.hear())
            await websocket.say(Frame(Opcode.PING, b"?"), *pieces(out, 7) if out else ())


@pytest.mark.parametrize(
    "hostile",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x13/multistream/1.0.0\n",
        b"\xff" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000,
        b"GET /" + b"a" * 100_000,
    ],
)
async def test_who_opens_no_websocket_is_cut_off(host: Swarm, hostile: bytes) -> None:
    endpoint = host.addresses[0].websocket_endpoint
    assert endpoint is not None
    async with raw_socket(endpoint) as stranger:
        with suppress(ConnectionError):
            await stranger.say(hostile)
        await stranger.hear_to_end()
    assert await lives(host)


async def test_a_stranger_that_says_half_a_request_is_cut_off(host: Swarm) -> None:
    endpoint = host.addresses[0].websocket_endpoint
    assert endpoint is not None
    async with raw_socket(endpoint) as stranger:
        await stranger.say(b"GET / HTTP/1.1\r\n")
        assert await stranger.hear_to_end() == b""


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(Opcode.TEXT, b"/multistream/1.0.0")],
        [binary(bytes(MESSAGE_BYTES_MAX + 1))],
        [binary(bytes(600_000), is_last=False), Frame(Opcode.CONT, bytes(600_000), False)],
        [Frame(Opcode.CONT, b"", True)],
        [binary(b"garbage")],
        [Frame(Opcode.CLOSE, b"")],
    ],
)
async def test_a_frame_against_the_rules_ends_the_connection(
    host: Swarm, frames: list[Frame]
) -> None:
    async with raw_websocket(host) as (websocket, peer):
        with suppress(ConnectionError):
            await websocket.say(*frames)
        await peer.hear_to_end()
    assert await lives(host)


async def test_a_peer_that_pings_and_does_not_read_is_cut_off(host: Swarm) -> None:
    async with raw_websocket(host) as (websocket, _):
        ping = Frame(Opcode.PING, bytes(125))
        with suppress(ConnectionError):
            while True:
                await websocket.say(*[ping] * 1000)
    assert await lives(host)


async def test_where_no_websocket_answers_the_dial_fails() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    address = Multiaddr.websocket(TcpEndpoint(*server.sockets[0].getsockname()))
    async with server, Swarm(Identity.generate()) as host:
        with pytest.raises(PeerUnreachable, match="404"):
            await host.connect(PeerAddress(Identity.generate().peer_id, (address,)))
