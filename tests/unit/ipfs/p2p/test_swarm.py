"""The host over real sockets on loopback: it carries, it dials well, it answers well."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest

from ipfs.errors import PeerError, PeerHungUp
from ipfs.host import PeerAddress, PeerUnreachable, ProtocolUnsupported, Stream
from ipfs.p2p.limits import DEFAULT_LIMITS, NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr, TcpEndpoint
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.swarm import Swarm

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
WEBSOCKET = Multiaddr.parse("/ip4/127.0.0.1/tcp/0/ws")
over_both = pytest.mark.parametrize("listen", [LOOPBACK, WEBSOCKET], ids=["tcp", "ws"])
ECHO = "/test/echo/1.0.0"
HASH = "/test/hash/1.0.0"


@asynccontextmanager
async def two_hosts(
    listen: Multiaddr = LOOPBACK, *, limits: NetworkLimits = DEFAULT_LIMITS
) -> AsyncIterator[tuple[Swarm, Swarm]]:
    """Two hosts that know each other's addresses, not yet connected."""
    async with (
        Swarm(Identity.generate(), listen=[listen]) as alice,
        Swarm(Identity.generate(), listen=[listen], limits=limits) as bob,
    ):
        bob.handle(ECHO, echo)
        alice.add_addresses(at(bob))
        yield alice, bob


def at(host: Swarm) -> PeerAddress:
    return PeerAddress(host.peer_id, host.addresses)


async def echo(stream: Stream) -> None:
    while data := await stream.read(1 << 16):
        await stream.write(data)


async def read_to_end(stream: Stream) -> bytes:
    received = bytearray()
    while data := await stream.read(1 << 18):
        received += data
    return bytes(received)


def next_peer_event(host: Swarm) -> "asyncio.Future[tuple[PeerId, bool]]":
    future = asyncio.get_running_loop().create_future()
    host.on_peer(
        lambda peer_id, connected: (
            None if future.done() else future.set_result((peer_id, connected))
        )
    )
    return future


@pytest.fixture
def closed_address() -> Iterator[Multiaddr]:
    """An address where nothing listens, and nothing will."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield Multiaddr.tcp(TcpEndpoint(*sock.getsockname()))


@pytest.fixture
def silent_address() -> Iterator[Multiaddr]:
    """An address that takes connections and says nothing."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield Multiaddr.tcp(TcpEndpoint(*sock.getsockname()))


@over_both
async def test_twenty_megabytes_each_way_at_once_arrive_whole(listen: Multiaddr) -> None:
    payloads = [random.Random(seed).randbytes(20_000_000) for seed in (1, 2)]
    received = asyncio.get_running_loop().create_future()

    async def exchange(stream: Stream) -> None:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read_to_end(stream))
            await stream.write(payloads[1])
            await stream.close_write()
        received.set_result(sha256(reading.result()).digest())

    async with two_hosts(listen) as (alice, bob):
        bob.handle(HASH, exchange)
        stream, _ = await alice.open_stream(bob.peer_id, [HASH])
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read_to_end(stream))
            await stream.write(payloads[0])
            await stream.close_write()
        assert await received == sha256(payloads[0]).digest()
        assert sha256(reading.result()).digest() == sha256(payloads[1]).digest()


@over_both
async def test_many_streams_share_a_connection(listen: Multiaddr) -> None:
    async with two_hosts(listen) as (alice, bob):

        async def ask(number: int) -> None:
            stream, _ = await alice.open_stream(bob.peer_id, [ECHO])
            payload = random.Random(number).randbytes(50_000)
            await stream.write(payload)
            await stream.close_write()
            assert await read_to_end(stream) == payload

        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(ask(number))
        assert alice.connected_peers() == (bob.peer_id,)


@over_both
async def test_both_sides_identify_each_other_and_learn_of_new_protocols(listen: Multiaddr) -> None:
    async with two_hosts(listen) as (alice, bob):
        heard: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()
        alice.on_identified(lambda _, protocol_ids: heard.put_nowait(tuple(protocol_ids)))
        told = asyncio.get_running_loop().create_future()
        bob.on_identified(lambda peer_id, _: told.set_result(peer_id))
        await alice.connect(at(bob))
        assert ECHO in await heard.get()
        assert await told == alice.peer_id
        assert bob.known_addresses(alice.peer_id) == alice.addresses
        assert alice.peer_agent(bob.peer_id).startswith("holdfast/")
        bob.handle("/test/new", echo)
        assert "/test/new" in await heard.get()
        assert "/test/new" in alice.peer_protocols(bob.peer_id)


async def test_a_ping_comes_back() -> None:
    async with two_hosts() as (alice, bob):
        assert await alice.ping(bob.peer_id) > 0
        assert await bob.ping(alice.peer_id) > 0


async def test_the_first_protocol_that_the_peer_speaks_is_taken() -> None:
    async with two_hosts() as (alice, bob):
        _, protocol_id = await alice.open_stream(bob.peer_id, ["/test/unknown", ECHO])
        assert protocol_id == ECHO
        with pytest.raises(ProtocolUnsupported):
            await alice.open_stream(bob.peer_id, ["/test/unknown", "/test/other"])


@over_both
async def test_somebody_else_than_the_peer_dialled_is_refused(listen: Multiaddr) -> None:
    somebody = Identity.generate().peer_id
    async with two_hosts(listen) as (alice, bob):
        with pytest.raises(PeerUnreachable) as caught:
            await alice.connect(PeerAddress(somebody, bob.addresses))
        assert caught.value.peer_id == somebody
        assert str(bob.peer_id) in caught.value.answers[bob.addresses[0]]
        assert alice.connected_peers() == ()


@pytest.mark.parametrize("dead", ["closed_address", "silent_address"])
async def test_the_next_address_is_tried_when_one_is_dead(
    dead: str, request: pytest.FixtureRequest
) -> None:
    async with two_hosts() as (_, bob), Swarm(Identity.generate()) as carol:
        addresses = (request.getfixturevalue(dead), *bob.addresses)
        await carol.connect(PeerAddress(bob.peer_id, addresses))
        assert carol.connected_peers() == (bob.peer_id,)
        assert carol.known_addresses(bob.peer_id)[0] == bob.addresses[0]


async def test_an_unreachable_peer_says_what_each_address_answered(
    closed_address: Multiaddr, silent_address: Multiaddr
) -> None:
    quic = Multiaddr.parse("/ip4/127.0.0.1/udp/1/quic-v1")
    peer_id = Identity.generate().peer_id
    async with Swarm(
        Identity.generate(), limits=NetworkLimits(handshake_seconds=0.05, dial_stagger_seconds=0.01)
    ) as alice:
        addresses = (quic, closed_address, silent_address)
        with pytest.raises(PeerUnreachable) as caught:
            await alice.connect(PeerAddress(peer_id, addresses))
        assert set(caught.value.answers) == set(addresses)
        with pytest.raises(PeerUnreachable, match="no address"):
            await alice.open_stream(Identity.generate().peer_id, [ECHO])


@over_both
async def test_a_slow_reader_slows_its_sender_and_nobody_else(listen: Multiaddr) -> None:
    async with two_hosts(listen) as (alice, bob):
        may_read = asyncio.Event()
        received = asyncio.get_running_loop().create_future()

        async def dawdle(stream: Stream) -> None:
            await may_read.wait()
            received.set_result(len(await read_to_end(stream)))

        bob.handle(HASH, dawdle)
        slow, _ = await alice.open_stream(bob.peer_id, [HASH])
        writing = asyncio.create_task(slow.write(bytes(5_000_000)))
        for _ in range(20):
            await alice.ping(bob.peer_id)
        assert not writing.done()
        may_read.set()
        await writing
        await slow.close_write()
        assert await received == 5_000_000


async def test_a_peer_fault_in_a_handler_resets_that_stream_only() -> None:
    async with two_hosts() as (alice, bob):

        async def complain(stream: Stream) -> None:
            await stream.read(1)
            raise PeerError("nonsense")

        bob.handle(HASH, complain)
        good, _ = await alice.open_stream(bob.peer_id, [ECHO])
        bad, _ = await alice.open_stream(bob.peer_id, [HASH])
        await bad.write(b"!")
        with pytest.raises(PeerHungUp):
            await bad.read(1)
        await good.write(b"x")
        assert await good.read(1) == b"x"


async def test_a_bug_in_a_handler_comes_out_of_the_host() -> None:
    async def broken(stream: Stream) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with two_hosts() as (alice, bob):
            bob.handle(HASH, broken)
            await alice.open_stream(bob.peer_id, [HASH])
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(ZeroDivisionError)


async def test_an_exception_of_the_body_comes_out_as_it_is() -> None:
    async def run() -> None:
        async with two_hosts():
            raise KeyError("mine")

    with pytest.raises(KeyError):
        await run()


@over_both
async def test_a_peer_that_leaves_is_told_and_its_streams_are_reset(listen: Multiaddr) -> None:
    async with Swarm(Identity.generate()) as alice:
        async with Swarm(Identity.generate(), listen=[listen]) as bob:
            bob.handle(ECHO, echo)
            await alice.connect(at(bob))
            stream, _ = await alice.open_stream(bob.peer_id, [ECHO])
            event = next_peer_event(alice)
        assert await event == (bob.peer_id, False)
        with pytest.raises(PeerHungUp):
            await stream.read(1)
        with pytest.raises(PeerHungUp):
            await stream.write(b"x")
        with pytest.raises(PeerUnreachable):
            await alice.open_stream(bob.peer_id, [ECHO])


async def test_two_dials_at_once_make_one_connection() -> None:
    async with two_hosts() as (alice, bob):
        made: list[bool] = []
        alice.on_peer(lambda _, connected: made.append(connected))
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(alice.connect(at(bob)))
        assert made == [True]
        assert len(alice._roster.connections) == 1


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    async with two_hosts() as (alice, bob):
        stream, _ = await alice.open_stream(bob.peer_id, [ECHO])
        await stream.write(b"half a conversation")
        [address] = bob.addresses
    assert asyncio.all_tasks() == before
    assert address.tcp_endpoint is not None
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection(*address.tcp_endpoint)


async def test_an_announced_address_is_told_in_place_of_the_sockets() -> None:
    public = Multiaddr.parse("/dns4/a.example/tcp/4001")
    async with Swarm(Identity.generate(), listen=[LOOPBACK], announce=[public]) as host:
        assert host.addresses == (public,)


@pytest.mark.parametrize("listen", ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/0/ws"])
async def test_who_listens_on_all_interfaces_tells_the_address_of_each(listen: str) -> None:
    async with (
        Swarm(Identity.generate(), listen=[Multiaddr.parse(listen)]) as host,
        Swarm(Identity.generate()) as other,
    ):
        assert not [address for address in host.addresses if "0.0.0.0" in str(address)]
        *_, loopback = host.addresses
        assert loopback.parts[0].value == "127.0.0.1", "it is of use to this machine alone"
        for address in host.addresses:
            await other.connect(PeerAddress(host.peer_id, (address,)))
        assert other.connected_peers() == (host.peer_id,)


async def test_an_address_that_is_taken_or_of_another_kind_is_not_listened_on() -> None:
    async with Swarm(Identity.generate(), listen=[LOOPBACK]) as first:
        with pytest.raises(OSError, match="in use"):
            await Swarm(Identity.generate(), listen=first.addresses).__aenter__()
    with pytest.raises(ValueError, match="neither plain TCP"):
        await Swarm(
            Identity.generate(), listen=[Multiaddr.parse("/ip4/127.0.0.1/udp/0/quic-v1")]
        ).__aenter__()


async def test_an_address_that_is_told_while_another_is_dialled_is_dialled_too() -> None:
    """The first may have been made up by somebody who wants the peer not to be found."""
    is_dialled, may_hang_up = asyncio.Event(), asyncio.Event()

    async def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_dialled.set()
        await may_hang_up.wait()
        writer.close()

    hole = await asyncio.start_server(swallow, "127.0.0.1", 0)
    nowhere = Multiaddr.tcp(TcpEndpoint(*hole.sockets[0].getsockname()))
    async with (
        hole,
        Swarm(Identity.generate()) as alice,
        Swarm(Identity.generate(), listen=[LOOPBACK]) as bob,
    ):
        dialling = asyncio.create_task(alice.connect(PeerAddress(bob.peer_id, (nowhere,))))
        await is_dialled.wait()
        alice.add_addresses(at(bob))
        may_hang_up.set()
        await dialling
        assert alice.connected_peers() == (bob.peer_id,)
