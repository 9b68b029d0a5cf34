"""Identify: what is said is heard, in one message or several, and nothing else is believed."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from ipfs import protobuf
from ipfs.errors import LimitExceeded, PeerError, PeerHungUp
from ipfs.framing import encode_frame
from ipfs.host import PeerAddress, Stream
from ipfs.p2p.identify import (
    ADDRESSES_MAX,
    IDENTIFY,
    MESSAGE_BYTES_MAX,
    MESSAGES_MAX,
    PROTOCOLS_MAX,
    PeerInfo,
    WrongIdentity,
    hear_identity,
    tell_identity,
)
from ipfs.p2p.limits import DEFAULT_LIMITS
from ipfs.p2p.memory import MemoryNetwork
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity

BOB = Identity.from_seed(bytes(32))
INFO = PeerInfo(
    public_key=BOB.public_key,
    addresses=(Multiaddr.parse("/ip4/127.0.0.1/tcp/1"), Multiaddr.parse("/ip6/::1/udp/1/quic-v1")),
    protocol_ids=("/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"),
    observed_address=Multiaddr.parse("/ip4/127.0.0.1/tcp/2"),
    protocol_version="ipfs/0.1.0",
    agent_version="holdfast/0.1.0",
)


async def hear(tell: Callable[[Stream], Awaitable[None]]) -> PeerInfo:
    """Hear what a handler of Bob's tells."""
    async with MemoryNetwork() as network:
        alice, bob = network.add_host(), network.add_host(BOB)
        bob.handle(IDENTIFY, tell)
        await alice.connect(PeerAddress(bob.peer_id, bob.addresses))
        stream, _ = await alice.open_stream(bob.peer_id, [IDENTIFY])
        return await hear_identity(stream)


def saying(*messages: bytes) -> Callable[[Stream], Awaitable[None]]:
    async def tell(stream: Stream) -> None:
        for message in messages:
            await stream.write(message)

    return tell


async def test_what_a_peer_tells_is_heard() -> None:
    assert await hear(lambda stream: tell_identity(stream, INFO)) == INFO
    assert PeerInfo.decode(INFO.encode()) == INFO


async def test_what_is_too_long_for_one_message_continues_in_the_next() -> None:
    message = INFO.encode()
    fields = [protobuf.encode_bytes_field(3, f"/p/{i}".encode()) for i in range(3)]
    heard = await hear(saying(*map(encode_frame, (message, *fields))))
    assert heard.protocol_ids == (*INFO.protocol_ids, "/p/0", "/p/1", "/p/2")
    assert heard.addresses == INFO.addresses


def test_an_address_of_an_unknown_kind_hides_no_other() -> None:
    unknown = protobuf.encode_bytes_field(2, bytes.fromhex("ffff7f01"))
    more = protobuf.encode_bytes_field(8, b"a signed record") + protobuf.encode_varint_field(9, 1)
    assert PeerInfo.decode(unknown + INFO.encode() + more) == INFO


async def test_a_key_that_is_not_of_the_connection_is_refused() -> None:
    other = protobuf.encode_bytes_field(1, Identity.generate().public_key.encode())
    with pytest.raises(WrongIdentity):
        await hear(saying(encode_frame(other)))


async def test_a_peer_that_says_nothing_or_half_is_refused() -> None:
    for message in (b"", encode_frame(INFO.encode())[:-1]):
        with pytest.raises(PeerHungUp):
            await hear(saying(message))


async def test_a_peer_that_says_too_much_is_refused() -> None:
    for messages in ([encode_frame(b"\x1a\x00")] * 11, [encode_frame(bytes(8193))]):
        with pytest.raises(LimitExceeded):
            await hear(saying(*messages))


def test_of_long_lists_the_first_are_believed() -> None:
    addresses = tuple(Multiaddr.parse(f"/ip4/10.0.0.1/tcp/{port}") for port in range(200))
    protocol_ids = tuple(f"/p/{number}" for number in range(400))
    said = replace(INFO, addresses=addresses, protocol_ids=protocol_ids)
    heard = PeerInfo.decode(said.encode())
    assert heard.addresses == addresses[:ADDRESSES_MAX]
    assert heard.protocol_ids == protocol_ids[:PROTOCOLS_MAX]
    assert DEFAULT_LIMITS.addresses_per_peer_max == ADDRESSES_MAX


def test_a_flood_of_small_fields_is_refused_before_it_costs_much() -> None:
    with pytest.raises(LimitExceeded, match="message fields"):
        PeerInfo.decode(b"\x12\x00" * (MESSAGES_MAX * MESSAGE_BYTES_MAX // 2))


@pytest.mark.parametrize(
    "hostile",
    [
        b"\xff",
        b"\x1a\x05abc",
        protobuf.encode_varint_field(3, 1),
        protobuf.encode_bytes_field(1, b"no key"),
        protobuf.encode_bytes_field(3, b"\xff"),
        protobuf.encode_bytes_field(6, b"a" * 513),
    ],
)
def test_what_is_no_identity_is_refused(hostile: bytes) -> None:
    with pytest.raises(PeerError):
        PeerInfo.decode(hostile)
