import asyncio
from contextlib import aclosing

import pytest

from ipfs.cid import CID, Codec
from ipfs.errors import PeerHungUp
from ipfs.framing import encode_frame
from ipfs.host import PeerAddress, Stream, StreamHandler
from ipfs.kad.keyspace import key_of
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
from ipfs.kad.stream import Kademlia, Mode
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.routing import Routing
from tests.support.kad import Clock, dht, nearest, peer, read_frames, where

CAT = CID.of(Codec.RAW, b"cat")


async def providers_of(node: Routing, cid: CID = CAT, count_max: int = 20) -> list[PeerAddress]:
    return [provider async for provider in node.find_providers(cid, count_max=count_max)]


async def test_what_one_node_provides_any_other_finds() -> None:
    async with dht(25) as net:
        assert await net.nodes[3].provide(CAT) == 20
        for node in net.nodes[:3] + net.nodes[4:]:
            assert await providers_of(node) == [where(net.hosts[3])]
        assert await providers_of(net.nodes[3]) == [], "we know that we have it"


async def test_the_record_lies_with_the_nodes_nearest_to_the_block() -> None:
    async with dht(25) as net:
        await net.nodes[3].provide(CAT)
        others = {host.peer_id for host in net.hosts} - {net.hosts[3].peer_id}
        keepers = set(nearest(key_of(CAT.multihash), others, 20))
        asker = net.host()
        for host in net.hosts[:25]:
            await asker.connect(where(host))
            stream, _ = await asker.open_stream(host.peer_id, [LAN_PROTOCOL_ID])
            await stream.write(encode_frame(encode_request(GetProviders(CAT.multihash))))
            await stream.close_write()
            [frame] = await read_frames(stream)
            response = decode_response(frame, GetProviders(CAT.multihash))
            expected = (
                {net.hosts[3].peer_id}
                if host.peer_id in keepers | {net.hosts[3].peer_id}
                else set()
            )
            assert {it.peer_id for it in response.provider_peers} == expected


async def test_every_version_of_a_cid_is_one_block_to_find() -> None:
    async with dht(5) as net:
        cid = CID.of(Codec.DAG_PB, b"node", version=0)
        await net.nodes[1].provide(cid)
        assert await providers_of(net.nodes[2], cid.as_v1()) == [where(net.hosts[1])]


async def test_many_providers_are_found_each_once_and_no_more_than_asked() -> None:
    async with dht(12) as net:
        for node in net.nodes[:6]:
            await node.provide(CAT)
        found = await providers_of(net.nodes[11])
        assert sorted(it.peer_id.multihash for it in found) == sorted(
            host.peer_id.multihash for host in net.hosts[:6]
        )
        assert len(await providers_of(net.nodes[11], count_max=2)) == 2


async def test_an_iterator_closed_early_leaves_nothing_running() -> None:
    async with dht(12) as net:
        await net.nodes[1].provide(CAT)
        before = asyncio.all_tasks()
        async with aclosing(net.nodes[11].find_providers(CAT)) as found:
            async for _ in found:
                break
        left = {task for task in asyncio.all_tasks() - before if "answer" not in repr(task)}
        assert not left


async def test_a_third_of_the_nodes_die_and_the_rest_still_find() -> None:
    async with dht(30) as net:
        await net.nodes[3].provide(CAT)
        net.die(range(20, 30))
        for node in net.nodes[:3] + net.nodes[4:20]:
            assert await providers_of(node) == [where(net.hosts[3])]


async def test_the_dead_leave_the_table_and_the_silent_are_asked_for_a_sign_of_life() -> None:
    async with dht(10) as net:
        dead = net.hosts[7].peer_id
        assert dead in net.nodes[2].table
        net.die([7])
        net.clock.passes(hours=1)
        await net.nodes[2].upkeep()
        assert dead not in net.nodes[2].table
        assert net.hosts[8].peer_id in net.nodes[2].table


async def test_nobody_to_tell_is_zero_and_is_told_later() -> None:
    async with MemoryNetwork() as network:
        clock, host, late = Clock(), network.add_host(), network.add_host()
        node = Kademlia(host, clock=clock)
        network.take_down(late.peer_id)
        assert await node.bootstrap([where(late)]) == 0
        assert await node.provide(CAT) == 0
        assert await providers_of(node) == []
        assert await node.find_peer(late.peer_id) is None

        other = Kademlia(late, clock=clock)
        network.bring_up(late.peer_id)
        await node.upkeep()
        assert late.peer_id in node.table
        assert await providers_of(other) == [where(host)]


async def test_records_last_two_days_and_are_renewed_before() -> None:
    async with dht(6) as net:
        await net.nodes[1].provide(CAT)
        net.clock.passes(hours=47)
        assert await providers_of(net.nodes[4]) == [where(net.hosts[1])]
        net.clock.passes(hours=1)
        assert await providers_of(net.nodes[4]) == []

        await net.nodes[1].upkeep()
        net.clock.passes(hours=21)
        await net.nodes[1].upkeep()
        net.clock.passes(hours=26)
        assert len(await providers_of(net.nodes[4])) == 1, "the 21st hour was too early to renew"
        net.clock.passes(hours=1)
        assert await providers_of(net.nodes[4]) == []


async def test_a_client_asks_and_announces_but_is_in_no_table() -> None:
    async with dht(5) as net:
        host = net.host()
        client = Kademlia(host, mode=Mode.CLIENT, clock=net.clock)
        assert await client.bootstrap([where(net.hosts[0])]) == 5
        assert await client.provide(CAT) == 5
        assert await providers_of(net.nodes[4]) == [where(host)]
        assert await net.nodes[4].find_peer(host.peer_id) == where(host)
        assert all(host.peer_id not in node.table for node in net.nodes)


async def test_a_peer_is_found_by_those_who_never_met_it() -> None:
    async with dht(20) as net:
        asker = net.host()
        node = Kademlia(asker, clock=net.clock)
        await node.bootstrap([where(net.hosts[0])])
        net.network.disconnect_all(asker.peer_id)
        assert await node.find_peer(net.hosts[17].peer_id) == where(net.hosts[17])
        assert await node.find_peer(peer(1)) is None


async def test_a_dht_with_another_protocol_id_is_another_dht() -> None:
    async with dht(3) as net:
        stranger = Kademlia(net.host(), protocol_id="/holdfast/kad/1.0.0", clock=net.clock)
        assert await stranger.bootstrap([where(net.hosts[0])]) == 0
        assert len(net.nodes[0].table) == 2


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


async def open_to(net_host: MemoryHost, other: MemoryHost) -> Stream:
    await other.connect(where(net_host))
    stream, _ = await other.open_stream(net_host.peer_id, [LAN_PROTOCOL_ID])
    return stream


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


async def never_answer(stream: Stream) -> None:
    while await stream.read(1 << 16):
        pass
    await asyncio.Event().wait()


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
        assert bad.peer_id in node.table, "it says that it serves the DHT"
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


async def test_providers_whose_address_nobody_told_come_last_and_once() -> None:
    async with MemoryNetwork() as network:
        teller, host = network.add_host(), network.add_host()
        lost, later, known = (PeerAddress(peer(number)) for number in range(3))
        found_later = PeerAddress(later.peer_id, teller.addresses)
        host.add_addresses(PeerAddress(known.peer_id, teller.addresses))

        async def tell(stream: Stream) -> None:
            [frame] = await read_frames(stream)
            message_type = decode_request(frame).message_type
            response = Response(message_type, (), (lost, later, known, found_later))
            await stream.write(encode_frame(response.encode()))
            await stream.close_write()

        teller.handle(LAN_PROTOCOL_ID, tell)
        await host.connect(where(teller))
        assert await providers_of(Kademlia(host)) == [
            PeerAddress(known.peer_id, teller.addresses),
            found_later,
            lost,
        ]


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


async def test_run_tries_again_what_found_nobody_until_it_is_cancelled() -> None:
    async with MemoryNetwork() as network:
        host, late = network.add_host(), network.add_host()
        node = Kademlia(host, parameters=KadParameters(refresh_seconds=0))
        other = Kademlia(late)
        network.take_down(late.peer_id)
        await node.bootstrap([where(late)])
        assert await node.provide(CAT) == 0

        running = asyncio.create_task(node.run())
        network.bring_up(late.peer_id)
        async with asyncio.timeout(10):
            while not await providers_of(other):  # noqa: ASYNC110 - a record lands without event
                await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
