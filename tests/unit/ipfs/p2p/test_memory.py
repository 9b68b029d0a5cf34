"""The memory network keeps the promises of the `Host` port, and its faults are faults."""

import asyncio

import pytest

from ipfs.errors import PeerError, PeerHungUp
from ipfs.host import Host, PeerAddress, PeerUnreachable, ProtocolUnsupported, Stream
from ipfs.p2p.memory import PIPE_BYTES_MAX, MemoryNetwork

ECHO = "/test/echo/1.0.0"


async def echo(stream: Stream) -> None:
    while data := await stream.read(1 << 16):
        await stream.write(data)


async def read_to_end(stream: Stream) -> bytes:
    received = bytearray()
    while data := await stream.read(1 << 16):
        received += data
    return bytes(received)


def at(host: Host) -> PeerAddress:
    return PeerAddress(host.peer_id, host.addresses)


async def test_two_hosts_talk_and_know_what_the_other_speaks() -> None:
    async with MemoryNetwork() as network:
        alice, bob = network.add_host(), network.add_host()
        bob.handle(ECHO, echo)
        identified: list[tuple[object, ...]] = []
        alice.on_identified(lambda peer_id, protocols: identified.append((peer_id, *protocols)))
        await alice.connect(at(bob))
        assert identified == [(bob.peer_id, ECHO)]
        assert bob.connected_peers() == (alice.peer_id,)
        assert bob.known_addresses(alice.peer_id) == alice.addresses
        stream, protocol_id = await alice.open_stream(bob.peer_id, ["/other", ECHO])
        assert (stream.peer_id, protocol_id) == (bob.peer_id, ECHO)
        await stream.write(b"hello")
        await stream.close_write()
        assert await read_to_end(stream) == b"hello"
        with pytest.raises(ProtocolUnsupported):
            await alice.open_stream(bob.peer_id, ["/other"])


async def test_a_slow_reader_slows_its_sender() -> None:
    async with MemoryNetwork() as network:
        alice, bob = network.add_host(), network.add_host()
        answered = asyncio.Event()

        async def wait(stream: Stream) -> None:
            await answered.wait()
            assert len(await read_to_end(stream)) == 2 * PIPE_BYTES_MAX

        bob.handle(ECHO, wait)
        await alice.connect(at(bob))
        stream, _ = await alice.open_stream(bob.peer_id, [ECHO])
        writing = asyncio.create_task(stream.write(bytes(2 * PIPE_BYTES_MAX)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not writing.done()
        answered.set()
        await writing
        await stream.close_write()
        assert await read_to_end(stream) == b""


async def test_a_host_that_is_down_is_unreachable_and_its_streams_are_reset() -> None:
    async with MemoryNetwork() as network:
        alice, bob = network.add_host(), network.add_host()
        bob.handle(ECHO, echo)
        seen: list[bool] = []
        alice.on_peer(lambda _, connected: seen.append(connected))
        await alice.connect(at(bob))
        stream, _ = await alice.open_stream(bob.peer_id, [ECHO])
        network.take_down(bob.peer_id)
        with pytest.raises(PeerHungUp):
            await stream.read(1)
        with pytest.raises(PeerUnreachable) as refused:
            await alice.connect(at(bob))
        assert list(refused.value.answers) == list(bob.addresses)
        network.bring_up(bob.peer_id)
        await alice.connect(at(bob))
        assert seen == [True, False, True]


async def test_a_peer_without_a_known_address_is_unreachable() -> None:
    async with MemoryNetwork() as network:
        alice, bob = network.add_host(), network.add_host()
        with pytest.raises(PeerUnreachable):
            await alice.open_stream(bob.peer_id, [ECHO])


async def test_a_peer_fault_in_a_handler_resets_that_stream_only() -> None:
    async with MemoryNetwork() as network:
        alice, bob = network.add_host(), network.add_host()

        async def complain(stream: Stream) -> None:
            await stream.read(1)
            raise PeerError("nonsense")

        bob.handle(ECHO, echo)
        bob.handle("/test/complain", complain)
        await alice.connect(at(bob))
        good, _ = await alice.open_stream(bob.peer_id, [ECHO])
        bad, _ = await alice.open_stream(bob.peer_id, ["/test/complain"])
        await bad.write(b"!")
        with pytest.raises(PeerHungUp):
            await bad.read(1)
        await good.write(b"x")
        assert await good.read(1) == b"x"


async def test_a_bug_in_a_handler_comes_out_of_the_network() -> None:
    async def broken(stream: Stream) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with MemoryNetwork() as network:
            alice, bob = network.add_host(), network.add_host()
            bob.handle(ECHO, broken)
            await alice.connect(at(bob))
            await alice.open_stream(bob.peer_id, [ECHO])
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(ZeroDivisionError)
