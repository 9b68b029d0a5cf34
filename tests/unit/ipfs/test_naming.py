import asyncio
import time

import pytest

from ipfs.errors import PeerError
from ipfs.framing import encode_frame
from ipfs.host import Stream
from ipfs.ipns import IpnsRecord, IpnsValidator, RecordExpired, routing_key, validity_at
from ipfs.kad.keyspace import key_of
from ipfs.kad.messages import (
    GetValue,
    MessageType,
    PutValue,
    Response,
    ValueRecord,
    decode_request,
    decode_response,
)
from ipfs.kad.messages import encode_request as encode
from ipfs.kad.parameters import LAN_PROTOCOL_ID
from ipfs.kad.stream import Kademlia
from ipfs.kad.values import StaleValue
from ipfs.naming import NameNotPublished, publish, resolve
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from ipfs.p2p.peer_id import Identity, PeerId
from tests.support.kad import dht, nearest, open_to, read_frames, where

ALICE = Identity.from_seed(b"alice".ljust(32))
NAME = ALICE.peer_id
KEY = routing_key(NAME)
CAT, DOG = "/ipfs/bafkqaa3dmf2a", "/ipfs/bafkqaa3en5tq"
NOW_NS = time.time_ns()
HOUR_NS = 3600 * 10**9


def record_of(path: str, sequence: int, *, hours: float = 48, of: Identity = ALICE) -> IpnsRecord:
    validity = validity_at(NOW_NS + int(hours * HOUR_NS))
    return IpnsRecord.create(of, path, sequence=sequence, validity=validity)


async def kept_by(server: MemoryHost, asker: MemoryHost) -> bytes | None:
    """Return the value that one server alone tells."""
    stream = await open_to(server, asker)
    await stream.write(encode_frame(encode(GetValue(KEY))))
    await stream.close_write()
    [frame] = await read_frames(stream)
    record = decode_response(frame, GetValue(KEY)).record
    return None if record is None else record.value


async def test_a_name_resolves_everywhere_to_what_it_was_pointed_at_last() -> None:
    async with dht(25) as net:
        first = await publish(net.nodes[3], ALICE, CAT, now_ns=NOW_NS)
        second = await publish(net.nodes[9], ALICE, DOG, now_ns=NOW_NS)
        assert (first.sequence, second.sequence) == (0, 1)
        for node in net.nodes:
            found = await resolve(node, NAME, now_ns=NOW_NS)
            assert found is not None
            assert (found.path, found.sequence) == (DOG, 1)


async def test_the_record_lies_with_the_twenty_nearest_and_whoever_published_it() -> None:
    async with dht(25) as net:
        record = await publish(net.nodes[3], ALICE, CAT, now_ns=NOW_NS)
        publisher = net.hosts[3].peer_id
        others = {host.peer_id for host in net.hosts} - {publisher}
        keepers = {publisher, *nearest(key_of(KEY), others, 20)}
        asker = net.host()
        for host in net.hosts[:25]:
            expected = record.encode() if host.peer_id in keepers else None
            assert await kept_by(host, asker) == expected


async def test_publishing_the_same_again_only_makes_it_last_longer() -> None:
    async with dht(3) as net:
        first = await publish(net.nodes[0], ALICE, CAT, now_ns=NOW_NS)
        again = await publish(net.nodes[1], ALICE, CAT, now_ns=NOW_NS + HOUR_NS)
        assert again.sequence == first.sequence
        assert again.expires_at_ns == first.expires_at_ns + HOUR_NS
        assert await resolve(net.nodes[2], NAME, now_ns=NOW_NS) == again


async def test_whoever_resolves_brings_those_behind_up_to_date() -> None:
    async with dht(6) as net:
        await publish(net.nodes[0], ALICE, CAT, now_ns=NOW_NS)
        net.die([5])
        newer = await publish(net.nodes[1], ALICE, DOG, now_ns=NOW_NS)
        net.network.bring_up(net.hosts[5].peer_id)
        asker = net.host()
        stale = await kept_by(net.hosts[5], asker)
        assert stale is not None
        assert stale != newer.encode()

        reader = Kademlia(asker, clock=net.clock)
        assert await reader.bootstrap([where(host) for host in net.hosts[:6]]) == 6
        assert await resolve(reader, NAME, now_ns=NOW_NS) == newer
        await reader.repair()
        assert await kept_by(net.hosts[5], asker) == newer.encode()


async def test_nobody_waits_for_a_peer_that_gives_values_and_takes_none() -> None:
    async with dht(3) as net:
        record = await publish(net.nodes[0], ALICE, CAT, now_ns=NOW_NS)
        handed = asyncio.Event()

        async def tell_and_never_take(stream: Stream) -> None:
            [frame] = await read_frames(stream)
            request = decode_request(frame)
            if isinstance(request, PutValue):
                handed.set()
                await asyncio.Event().wait()
            await stream.write(encode_frame(Response(request.message_type).encode()))
            await stream.close_write()

        mute = net.host()
        mute.handle(LAN_PROTOCOL_ID, tell_and_never_take)
        reader = Kademlia(net.host(), clock=net.clock)
        await reader.bootstrap([where(net.hosts[0]), where(mute)])
        repairing = asyncio.create_task(reader.repair())
        assert await resolve(reader, NAME, now_ns=NOW_NS) == record
        await handed.wait()
        assert not repairing.done()
        repairing.cancel()


async def test_a_record_is_forgotten_after_two_days_and_when_it_ends() -> None:
    async with MemoryNetwork() as network:
        now_ns, now = NOW_NS, 0.0
        host, keeper = network.add_host(), network.add_host()
        node, other = (
            Kademlia(it, clock=lambda: now, validator=IpnsValidator(lambda: now_ns))
            for it in (host, keeper)
        )
        await node.bootstrap([where(keeper)])
        assert await node.put_value(KEY, record_of(CAT, 0, hours=1).encode()) == 1
        assert await resolve(other, NAME, now_ns=now_ns) is not None
        now_ns += HOUR_NS
        assert await resolve(other, NAME, now_ns=now_ns) is None, "its owner's hour is over"

        assert await node.put_value(KEY, record_of(CAT, 1, hours=1000).encode()) == 1
        now += 48 * 3600
        assert await resolve(other, NAME, now_ns=now_ns) is None, "two days are over"
        await other.upkeep()
        assert len(other._values) == 0


async def test_what_is_stale_expired_or_of_another_is_not_taken() -> None:
    async with dht(4) as net:
        kept = await publish(net.nodes[0], ALICE, DOG, now_ns=NOW_NS, sequence_min=7)
        with pytest.raises(StaleValue):
            await net.nodes[1].put_value(KEY, record_of(CAT, 6).encode())
        with pytest.raises(RecordExpired):
            await net.nodes[1].put_value(KEY, record_of(CAT, 8, hours=-1).encode())
        mallory = record_of(CAT, 9, of=Identity.generate()).encode()
        with pytest.raises(PeerError):
            await net.nodes[1].put_value(KEY, mallory)
        assert await resolve(net.nodes[2], NAME, now_ns=NOW_NS) == kept


async def test_who_refuses_a_stale_value_stays_in_the_table() -> None:
    async with dht(3) as net:
        late = Kademlia(net.host(), clock=net.clock)
        await late.bootstrap([where(net.hosts[0])])
        await publish(net.nodes[0], ALICE, DOG, now_ns=NOW_NS, sequence_min=7)
        late._values.forget_expired(net.clock() + 1e9)
        assert await late.put_value(KEY, record_of(CAT, 6).encode()) == 0
        assert len(late.table) == 3


async def test_forgeries_and_old_records_that_servers_tell_are_not_believed() -> None:
    async with dht(3) as net:
        good = await publish(net.nodes[0], ALICE, CAT, now_ns=NOW_NS, sequence_min=3)
        lies = [
            record_of(DOG, 9, of=Identity.generate()).encode(),
            record_of(DOG, 9, hours=-1).encode(),
            record_of(DOG, 2).encode(),
            b"",
        ]
        for lie in lies:
            liar = net.host()

            async def tell(stream: Stream, lie: bytes = lie) -> None:
                await read_frames(stream)
                response = Response(MessageType.GET_VALUE, record=ValueRecord(KEY, lie))
                await stream.write(encode_frame(response.encode()))
                await stream.close_write()

            liar.handle(LAN_PROTOCOL_ID, tell)
            reader = Kademlia(net.host(), clock=net.clock)
            await reader._host.connect(where(liar))
            await reader.bootstrap([where(net.hosts[0])])
            assert await resolve(reader, NAME, now_ns=NOW_NS) == good


async def test_a_name_that_nobody_keeps_is_none_and_publishing_to_nobody_says_so() -> None:
    async with dht(1) as net:
        assert await resolve(net.nodes[0], NAME, now_ns=NOW_NS) is None
        with pytest.raises(NameNotPublished):
            await publish(net.nodes[0], ALICE, CAT, now_ns=NOW_NS)


async def test_a_network_that_lies_about_a_name_is_caught_by_its_reader() -> None:
    class Liar:
        async def put_value(self, key: bytes, value: bytes) -> int:
            return 0

        async def get_value(self, key: bytes) -> bytes:
            return record_of(CAT, 0, of=Identity.generate()).encode()

    name: PeerId = NAME
    with pytest.raises(PeerError):
        await resolve(Liar(), name, now_ns=NOW_NS)
