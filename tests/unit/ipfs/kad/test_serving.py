import asyncio

import pytest

from ipfs.errors import PeerHungUp
from ipfs.framing import encode_frame
from ipfs.host import PeerAddress, Stream, StreamHandler
from ipfs.kad.messages import (
    AddProvider,
    FindNode,
    GetProviders,
    MessageType,
    Ping,
    Request,
    Response,
    decode_request,
    decode_response,
    encode_request,
)
from ipfs.kad.parameters import LAN_PROTOCOL_ID, PUBLIC_PROTOCOL_ID, KadParameters
from ipfs.kad.stream import Kademlia
from ipfs.p2p.memory import MemoryNetwork
from ipfs.p2p.multiaddr import Multiaddr
from tests.support.kad import (
    CAT,
    dht,
    never_answer,
    open_to,
    peer,
    providers_of,
    read_frames,
    where,
)


async def test_one_stream_carries_many_requests_and_one_response_to_each() -> None:
    async with dht(3) as net:
        asker = net.host()
        stream = await open_to(net.hosts[0], asker)
        requests: list[Request] = [
            Ping(),
            AddProvider(CAT.multihash, (where(asker),)),
            GetProviders(CAT.multihash),
            FindNode(net.hosts[1].peer_id.multihash),
        ]
        for byte in b"".join(encode_frame(encode_request(it)) for it in requests):
            await stream.write(bytes([byte]))
        await stream.close_write()
        ping, providers, peers = await read_frames(stream)
        assert decode_response(ping, requests[0]) == Response(MessageType.PING)
        assert decode_response(providers, requests[2]).provider_peers == (where(asker),)
        assert where(net.hosts[1]) in decode_response(peers, requests[3]).closer_peers


@pytest.mark.parametrize(
    "data",
    [
        encode_frame(b"\x08\x04"),
        encode_frame(encode_request(AddProvider(CAT.multihash, (PeerAddress(peer(1)),)))),
        b"\x80\x80\x80\x80\x80\x20",
        encode_frame(b"\x08\x05")[:-1],
    ],
    ids=["no key", "for another provider", "2^40 bytes", "cut"],
)
async def test_a_peer_at_fault_loses_its_stream_and_nothing_else(data: bytes) -> None:
    async with dht(2) as net:
        host = net.host()
        stream = await open_to(net.hosts[0], host)
        await stream.write(data)
        await stream.close_write()
        with pytest.raises(PeerHungUp):
            await stream.read(1)
        again = await open_to(net.hosts[0], host)
        await again.write(encode_frame(encode_request(Ping())))
        assert len(await read_frames(again, until_end=False)) == 1


async def test_an_active_stream_outlives_the_patience_with_an_idle_one() -> None:
    async with MemoryNetwork() as network:
        host = network.add_host()
        Kademlia(host, parameters=KadParameters(idle_seconds_max=0.5))
        stream = await open_to(host, network.add_host())
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + 0.75
        while loop.time() < ends_at:
            await stream.write(encode_frame(encode_request(Ping())))
            assert await read_frames(stream, until_end=False)


async def test_a_crowd_of_requests_lets_others_run_in_between() -> None:
    async with dht(1) as net:
        stream = await open_to(net.hosts[0], net.host())
        await stream.write(encode_frame(encode_request(Ping())) * 1000)
        await stream.close_write()
        first = await stream.read(1 << 16)
        rest = await read_frames(stream)
        assert rest, f"{len(first)} bytes were written before we could read any"


async def test_a_peer_that_serves_no_more_leaves_the_table() -> None:
    async with dht(2) as net:
        assert net.hosts[1].peer_id in net.nodes[0].table
        net.hosts[1]._handlers.clear()
        net.network.disconnect_all(net.hosts[1].peer_id)
        await net.hosts[0].connect(where(net.hosts[1]))
        assert net.hosts[1].peer_id not in net.nodes[0].table


async def test_who_says_to_serve_is_in_the_table_once_it_answered() -> None:
    async with MemoryNetwork() as network:
        host, other = network.add_host(), network.add_host()
        node = Kademlia(host)
        Kademlia(other)
        await other.connect(where(host))
        assert other.peer_id not in node.table
        await node.greet()
        assert other.peer_id in node.table


async def test_a_crowd_that_says_to_serve_is_remembered_no_further_than_the_limit() -> None:
    async with MemoryNetwork() as network:
        host = network.add_host()
        node = Kademlia(host, parameters=KadParameters(newcomers_max=3))
        crowd = [network.add_host() for _ in range(5)]
        for other in crowd:
            Kademlia(other)
            await other.connect(where(host))
        await node.greet()
        assert set(node.table) == {other.peer_id for other in crowd[2:]}


async def test_few_servers_of_one_public_network_enter_the_table() -> None:
    async with MemoryNetwork() as network:
        host = network.add_host(ip4="1.1.1.1")
        node = Kademlia(host, protocol_id=PUBLIC_PROTOCOL_ID)
        for number in range(12):
            other = network.add_host(ip4=f"8.8.{number}.1" if number < 9 else f"9.{number}.0.1")
            Kademlia(other, protocol_id=PUBLIC_PROTOCOL_ID)
            await other.connect(where(host))
        await node.greet()
        near = [it for it in node.table if "8.8." in str(host.remote_addresses(it)[0])]
        assert len(near) <= 3
        assert len(node.table) - len(near) == 3


async def answer_of_another_type(stream: Stream) -> None:
    await stream.write(encode_frame(Response(MessageType.PING).encode()))
    await stream.close_write()


async def garble(stream: Stream) -> None:
    await stream.write(encode_frame(b"\xff" * 100))


async def end_at_once(stream: Stream) -> None:
    await stream.close_write()


@pytest.mark.parametrize("behave", [never_answer, answer_of_another_type, garble, end_at_once])
async def test_a_server_that_does_not_answer_as_it_should_leaves_the_table(
    behave: StreamHandler,
) -> None:
    async with MemoryNetwork() as network:
        bad, host = network.add_host(), network.add_host()
        bad.handle(LAN_PROTOCOL_ID, behave)
        node = Kademlia(host, parameters=KadParameters(request_seconds_max=0.05))
        await host.connect(where(bad))
        assert bad.peer_id not in node.table, "it only says that it serves the DHT"
        await node.greet()
        assert bad.peer_id not in node.table

        node.table.heard(bad.peer_id, now=0)
        assert await providers_of(node) == []
        assert bad.peer_id not in node.table


@pytest.mark.parametrize("data", [b"", encode_frame(encode_request(Ping()))[:-1]])
async def test_a_stream_that_asks_nothing_is_cut(data: bytes) -> None:
    async with MemoryNetwork() as network:
        host = network.add_host()
        Kademlia(host, parameters=KadParameters(idle_seconds_max=0.01))
        stream = await open_to(host, network.add_host())
        await stream.write(data)
        with pytest.raises(PeerHungUp):
            await stream.read(1)


async def test_a_peer_that_does_not_read_its_answers_is_cut() -> None:
    async with MemoryNetwork() as network:
        host = network.add_host()
        Kademlia(host, parameters=KadParameters(idle_seconds_max=0.05))
        stream = await open_to(host, network.add_host())
        request = encode_frame(encode_request(FindNode(host.peer_id.multihash)))
        with pytest.raises(PeerHungUp):
            await stream.write(request * 100_000)


async def test_a_liar_who_always_knows_someone_nearer_ends_with_the_asks() -> None:
    async with MemoryNetwork() as network:
        liar, host = network.add_host(), network.add_host()
        asked = 0

        async def lie(stream: Stream) -> None:
            nonlocal asked
            [frame] = await read_frames(stream)
            request = decode_request(frame)
            asked += 1
            fakes = [PeerAddress(peer(asked * 20 + i), liar.addresses) for i in range(20)]
            await stream.write(encode_frame(Response(request.message_type, tuple(fakes)).encode()))
            await stream.close_write()

        liar.handle(LAN_PROTOCOL_ID, lie)
        node = Kademlia(host, parameters=KadParameters(asks_max=50))
        await host.connect(where(liar))
        assert await providers_of(node) == []
        assert set(node.table) == {liar.peer_id}, "who only is talked about is not in the table"


async def test_the_public_dht_neither_tells_nor_believes_private_addresses() -> None:
    async with MemoryNetwork() as network:
        public = Multiaddr.parse("/ip4/1.1.1.1/tcp/4001")
        host, teller, told = network.add_host(), network.add_host(), network.add_host()
        node = Kademlia(host, protocol_id=PUBLIC_PROTOCOL_ID)
        heard: list[Request] = []

        async def tell(stream: Stream) -> None:
            [frame] = await read_frames(stream)
            heard.append(request := decode_request(frame))
            if not isinstance(request, AddProvider):
                provider = PeerAddress(peer(1), (*told.addresses, public))
                response = Response(request.message_type, (where(told),), (provider,))
                await stream.write(encode_frame(response.encode()))
            await stream.close_write()

        teller.handle(PUBLIC_PROTOCOL_ID, tell)
        told.handle(PUBLIC_PROTOCOL_ID, tell)
        await host.connect(where(teller))
        assert await providers_of(node) == [PeerAddress(peer(1), (public,))]
        assert await node.provide(CAT) == 1, "the private address of the other was not dialled"
        assert heard[-1] == AddProvider(CAT.multihash, (PeerAddress(host.peer_id),))
