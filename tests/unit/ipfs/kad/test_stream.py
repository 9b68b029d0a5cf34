import asyncio
from collections import Counter
from contextlib import aclosing
from random import Random

import pytest

from ipfs.cid import CID, Codec
from ipfs.framing import encode_frame
from ipfs.host import PeerAddress, Stream
from ipfs.kad.keyspace import key_of, shared_prefix_bits
from ipfs.kad.messages import (
    GetProviders,
    Response,
    decode_request,
    decode_response,
    encode_request,
)
from ipfs.kad.parameters import LAN_PROTOCOL_ID, KadParameters
from ipfs.kad.remote import Walker
from ipfs.kad.stream import Kademlia, Mode
from ipfs.p2p.memory import MemoryNetwork
from tests.support.kad import (
    CAT,
    Clock,
    dht,
    nearest,
    never_answer,
    peer,
    providers_of,
    read_frames,
    tell_of,
    where,
)


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


def requests_under_way() -> int:
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return names.count(Walker._try.__qualname__)


async def test_an_iterator_closed_early_leaves_nothing_running() -> None:
    async with MemoryNetwork() as network:
        teller, mute, host = network.add_host(), network.add_host(), network.add_host()
        teller.handle(LAN_PROTOCOL_ID, tell_of(where(teller)))
        mute.handle(LAN_PROTOCOL_ID, never_answer)
        node = Kademlia(host)
        await host.connect(where(teller))
        await host.connect(where(mute))
        async with aclosing(node.find_providers(CAT)) as found:
            assert await anext(found) == where(teller)
            assert requests_under_way() == 1
        assert requests_under_way() == 0


async def test_a_keeper_finds_what_it_keeps_when_nobody_else_is_left() -> None:
    async with dht(5) as net:
        await net.nodes[1].provide(CAT)
        net.die([0, 1, 2, 3])
        assert await providers_of(net.nodes[4]) == [where(net.hosts[1])]


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


async def test_the_silent_are_pinged_even_where_no_lookup_passes() -> None:
    async with dht(16) as net:
        few = KadParameters(k=2, beta=1, refresh_prefix_bits_max=0)
        host = net.host()
        node = Kademlia(host, parameters=few, clock=net.clock)
        for server in net.hosts[:16]:
            await host.connect(where(server))
        await node.greet()
        known = node.table.closest(key_of(host.peer_id.multihash), 16)
        assert len(known) > 4
        net.die(number for number in range(16) if net.hosts[number].peer_id in known[2:])
        net.clock.passes(hours=1)
        await node.upkeep()
        assert not set(known[2:]) & set(node.table)
        assert set(known[:2]) <= set(node.table)


async def test_upkeep_fills_every_bucket_that_the_network_can_fill() -> None:
    async with dht(16) as net:
        host = net.host()
        few = KadParameters(k=2, beta=1)
        node = Kademlia(host, parameters=few, clock=net.clock, random=Random(1))
        await host.connect(where(net.hosts[0]))
        await node.upkeep()

        own = key_of(host.peer_id.multihash)
        keys = [key_of(server.peer_id.multihash) for server in net.hosts[:16]]
        reachable = Counter(shared_prefix_bits(own, key) for key in keys)
        held = Counter(shared_prefix_bits(own, key_of(it.multihash)) for it in node.table)
        assert held == {bucket: min(count, 2) for bucket, count in reachable.items()}


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


async def test_records_last_two_days_and_are_renewed_after_22_hours() -> None:
    async with dht(6) as net:
        provider, asker = net.nodes[1], net.nodes[4]
        await provider.provide(CAT)
        net.clock.passes(hours=21)
        await provider.upkeep()
        net.clock.passes(hours=26.9)
        assert await providers_of(asker) == [where(net.hosts[1])]
        net.clock.passes(hours=0.1)
        assert await providers_of(asker) == [], "after 21 hours it was too early to renew"

        await provider.upkeep()
        net.clock.passes(hours=22)
        await provider.upkeep()
        net.clock.passes(hours=47.9)
        assert await providers_of(asker) == [where(net.hosts[1])]


async def test_what_is_withdrawn_is_announced_no_more_and_forgotten_in_two_days() -> None:
    async with dht(6) as net:
        provider, asker = net.nodes[1], net.nodes[4]
        await provider.provide(CAT)
        provider.unprovide(CAT)
        provider.unprovide(CAT)
        assert len(provider._records) == 0
        assert await providers_of(asker) == [where(net.hosts[1])], "others can't be made to forget"
        net.clock.passes(hours=22)
        await provider.upkeep()
        net.clock.passes(hours=26)
        assert await providers_of(asker) == []

        await provider.provide(CAT)
        assert await providers_of(asker) == [where(net.hosts[1])]


async def test_many_announcements_are_renewed_in_a_sweep_and_all_are_found() -> None:
    async with dht(6) as net:
        cids = [CID.of(Codec.RAW, b"block %d" % number) for number in range(30)]
        for cid in cids:
            await net.nodes[1].provide(cid)
        net.clock.passes(hours=22)
        await net.nodes[1].upkeep()
        net.clock.passes(hours=47.9)
        for cid in cids:
            assert await providers_of(net.nodes[4], cid) == [where(net.hosts[1])]


async def test_upkeep_forgets_the_records_that_have_expired() -> None:
    async with dht(2) as net:
        await net.nodes[0].provide(CAT)
        assert len(net.nodes[1]._records) == 1
        net.clock.passes(hours=48)
        await net.nodes[1].upkeep()
        assert len(net.nodes[1]._records) == 0


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


async def test_run_tries_again_what_found_nobody_until_it_is_cancelled() -> None:
    async with MemoryNetwork() as network:
        host, late = network.add_host(), network.add_host()
        node = Kademlia(host, parameters=KadParameters(retry_seconds=0))
        other = Kademlia(late)
        network.take_down(late.peer_id)
        await node.bootstrap([where(late)])
        assert await node.provide(CAT) == 0

        running = asyncio.create_task(node.run())
        network.bring_up(late.peer_id)
        async with asyncio.timeout(60):
            while not await providers_of(other):  # noqa: ASYNC110 - a record lands without event
                await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


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
