"""Peers that mean harm: floods, slow readers, wrong bytes. Others are served as if nothing was."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest

from ipfs import protobuf
from ipfs.bitswap.backlog import ARRIVED_BYTES_MAX
from ipfs.bitswap.connection import ENTRIES_PER_SECOND, STREAMS_PER_PEER_MAX, Lane
from ipfs.bitswap.engine import ANSWER_BYTES_MAX
from ipfs.bitswap.messages import MESSAGE_BYTES_MAX, PROTOCOL_ID, Message, Want
from ipfs.bitswap.stream import Bitswap
from ipfs.bitswap.wantlist import WANTS_PER_PEER_MAX
from ipfs.block import BLOCK_BYTES_MAX, Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.errors import PeerHungUp, WrongBlock
from ipfs.exchange import DagLimits, fetch_dag
from ipfs.framing import encode_frame
from ipfs.host import Stream
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from tests.support.bitswap import ScriptedPeer, leaf, node, parent, silent, tree, until, where

LIMITS = DagLimits(blocks_max=1_000, bytes_max=1 << 30)
FLOOD_WANTS = 2_048
HONEST = tree(40)
ABSENT = [leaf(10_000 + number, 4).cid for number in range(FLOOD_WANTS)]


async def is_served(network: MemoryNetwork, host: MemoryHost) -> bool:
    """Whether an honest peer gets the whole of what it asks a host for."""
    async with node(network) as (_, bitswap, store):
        await fetch_dag(
            bitswap, HONEST[-1].cid, limits=LIMITS, idle_timeout_s=30, peers=[where(host)]
        )
        return set(store) == {block.cid for block in HONEST}


def _hundred_thousand() -> Message:
    """Return 4 MiB of wants, whose last word is that they are all."""
    wants = tuple(Want(CID.of(Codec.RAW, number.to_bytes(4)), 0) for number in range(99_000))
    message = Message(wants=wants, full=True)
    assert 0.99 * MESSAGE_BYTES_MAX < len(message.encode()) <= MESSAGE_BYTES_MAX
    return message


FLOODS = {
    "absent blocks": [Message(wants=tuple(Want(cid, send_dont_have=True) for cid in ABSENT))],
    "wants and cancels": [
        Message(wants=tuple(Want(cid, cancel=is_cancel) for cid in ABSENT))
        for is_cancel in (False, True)
    ],
    "wants and cancels at once": [
        Message(
            wants=tuple(
                Want(cid, cancel=is_cancel)
                for cid in ABSENT[: FLOOD_WANTS // 2]
                for is_cancel in (False, True)
            )
        )
    ],
    "one want again and again": [Message(wants=(Want(HONEST[0].cid),) * FLOOD_WANTS)],
    "a hundred thousand at once": [_hundred_thousand()],
    "full wantlists": [Message(wants=tuple(map(Want, ABSENT)), full=True), Message(full=True)],
}


@pytest.mark.parametrize("messages", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_is_listened_to_slowly_and_little_of_it_kept(messages: list[Message]) -> None:
    async with MemoryNetwork() as network, node(network, HONEST) as (host, bitswap, _):
        stranger = ScriptedPeer(network, silent)

        async def flood() -> None:
            for turn in range(1_000_000 // FLOOD_WANTS):
                await stranger.say(where(host), messages[turn % len(messages)])

        flooding = asyncio.create_task(flood())
        heard_of, first_bytes = bitswap._link(stranger.host.peer_id), len(messages[0].encode())
        await until(lambda: heard_of.tally.bytes_received >= first_bytes)
        assert await is_served(network, host)
        assert not flooding.done(), f"a million at {ENTRIES_PER_SECOND} a second take a minute"
        assert len(bitswap.wants_of(stranger.host.peer_id)) <= WANTS_PER_PEER_MAX
        flooding.cancel()
        with suppress(asyncio.CancelledError):
            await flooding
        network.disconnect_all(stranger.host.peer_id)
        assert bitswap.wants_of(stranger.host.peer_id) == ()
        assert not bitswap._links.keys() & {stranger.host.peer_id}


async def test_a_peer_that_goes_in_the_middle_of_a_long_wantlist_leaves_nothing() -> None:
    async with MemoryNetwork() as network, node(network) as (host, bitswap, _):
        stranger = ScriptedPeer(network, silent)
        await stranger.say(where(host), Message(wants=tuple(map(Want, ABSENT))))
        await until(lambda: len(bitswap.wants_of(stranger.host.peer_id)) > 0)
        network.disconnect_all(stranger.host.peer_id)
        await until(lambda: not network._tasks)
        assert bitswap._engine.peer_count == 0


async def test_cids_of_a_kibibyte_cost_their_stream_and_nothing_else() -> None:
    entry = protobuf.encode_bytes_field(1, ABSENT[0].encode() + bytes(1_000))
    wantlist = protobuf.encode_bytes_field(1, entry) * 200
    async with MemoryNetwork() as network, node(network, HONEST) as (host, _, _):
        stranger = network.add_host()
        stranger.add_addresses(where(host))
        stream, _ = await stranger.open_stream(host.peer_id, [PROTOCOL_ID])
        await stream.write(encode_frame(protobuf.encode_bytes_field(1, wantlist)))
        with pytest.raises(PeerHungUp):
            await stream.read(1)
        assert await is_served(network, host)


async def test_a_peer_is_not_listened_to_on_more_than_a_few_streams() -> None:
    async with MemoryNetwork() as network, node(network, HONEST) as (host, _, _):
        stranger = network.add_host()
        stranger.add_addresses(where(host))
        half_open = [
            (await stranger.open_stream(host.peer_id, [PROTOCOL_ID]))[0]
            for _ in range(STREAMS_PER_PEER_MAX + 1)
        ]
        with pytest.raises(PeerHungUp):
            await half_open[-1].read(1)
        for stream in half_open[:-1]:
            await stream.write(b"\xff\xff\x03half of a message")
        assert await is_served(network, host)
        await half_open[0].reset()
        await until(lambda: len(network._tasks) < STREAMS_PER_PEER_MAX + 2)
        again, _ = await stranger.open_stream(host.peer_id, [PROTOCOL_ID])
        await again.write(encode_frame(Message().encode()))
        await again.close_write()
        assert await again.read(1) == b"", "there is room again"


class Counting(MemoryBlockstore):
    """Remembers how much was read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0

    def get(self, cid: CID) -> Block:
        block = super().get(cid)
        self.read_bytes += len(block.data)
        return block

    def size_bytes(self, cid: CID) -> int:
        return len(super().get(cid).data)


async def never_reads(stream: Stream) -> None:
    await asyncio.get_running_loop().create_future()


async def test_a_slow_reader_makes_us_hold_one_answer_and_keeps_nobody_waiting() -> None:
    large = [leaf(20_000 + number, 300_000) for number in range(20)]
    store = Counting()
    store.put([*HONEST, *large])
    async with MemoryNetwork() as network:
        host = network.add_host()
        async with Bitswap(host, store) as bitswap:
            slow = network.add_host()
            slow.handle(PROTOCOL_ID, never_reads)
            slow.add_addresses(where(host))
            message = Message(wants=tuple(Want(block.cid) for block in large))
            await Lane(slow, host.peer_id).send(lambda _: message)
            await until(lambda: store.read_bytes > 0)
            assert await is_served(network, host)
            held_bytes = store.read_bytes - sum(len(block.data) for block in HONEST)
            assert 0 < held_bytes <= ANSWER_BYTES_MAX
            assert len(bitswap.wants_of(slow.peer_id)) == len(large) - held_bytes // 300_000


class Stuck(MemoryBlockstore):
    """Stores no leaf until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_put = threading.Event()

    def put(self, blocks: Iterable[Block]) -> None:
        batch = list(blocks)
        if any(block.cid.codec == Codec.RAW for block in batch):
            assert self.may_put.wait(60)
        super().put(batch)


async def test_blocks_that_turn_out_large_are_held_only_so_many_at_a_time() -> None:
    tiny = [leaf(40_000 + number, 4) for number in range(10)]
    large = [Block.of(Codec.RAW, bytes([number]) * BLOCK_BYTES_MAX) for number in range(50)]
    root = parent([*tiny, *large])
    store = Stuck()
    async with (
        MemoryNetwork() as network,
        node(network, [*tiny, *large, root]) as (provider, served, _),
    ):
        host = network.add_host()
        async with Bitswap(host, store) as bitswap, asyncio.TaskGroup() as tasks:
            tasks.create_task(
                fetch_dag(
                    bitswap, root.cid, limits=LIMITS, idle_timeout_s=60, peers=[where(provider)]
                )
            )

            def held_bytes() -> int:
                return sum(it._backlog._arrived_bytes for it in bitswap._fetches)

            try:
                await until(lambda: held_bytes() > ARRIVED_BYTES_MAX)
                await until(lambda: not served.wants_of(host.peer_id))
                assert held_bytes() <= ARRIVED_BYTES_MAX + MESSAGE_BYTES_MAX
            finally:
                store.may_put.set()
        assert set(store) == {block.cid for block in (*tiny, *large, root)}


async def test_whoever_holds_most_of_unfinished_messages_pays_when_it_is_too_much() -> None:
    store = MemoryBlockstore()
    store.put(HONEST)
    async with MemoryNetwork() as network:
        host, greedy, modest = network.add_host(), network.add_host(), network.add_host()
        bitswap = Bitswap(host, store, unfinished_bytes_max=2 * MESSAGE_BYTES_MAX)
        half = b"\xff\xff\xff\x01" + bytes(MESSAGE_BYTES_MAX // 2)
        async with bitswap:
            streams = {}
            for stranger, count in ((modest, 1), (greedy, 4)):
                stranger.add_addresses(where(host))
                opened = [
                    (await stranger.open_stream(host.peer_id, [PROTOCOL_ID]))[0]
                    for _ in range(count)
                ]
                for stream in opened:
                    with suppress(PeerHungUp):
                        await stream.write(half)
                streams[stranger] = opened
            for stream in streams[greedy]:
                with pytest.raises(PeerHungUp):
                    await stream.read(1)
            await until(lambda: bitswap._link(greedy.peer_id).held_bytes == 0)
            assert bitswap._link(modest.peer_id).held_bytes > MESSAGE_BYTES_MAX // 2
            assert await is_served(network, host)


WRONG = {
    "one bit": lambda it: Block.of(Codec.RAW, bytes([it.data[0] ^ 1]) + it.data[1:]),
    "truncated": lambda it: Block.of(Codec.RAW, it.data[:-1]),
    "another block": lambda it: leaf(30_000),
    "empty": lambda it: Block.of(Codec.RAW, b""),
    "the right bytes under another codec": lambda it: Block.of(Codec.DAG_CBOR, it.data),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
async def test_wrong_bytes_are_found_at_the_first_block_and_the_next_provider_is_used(
    wrong: Callable[[Block], Block],
) -> None:
    by_cid = {block.cid: block for block in HONEST}

    async def script(message: Message) -> Message | None:
        asked = [by_cid[want.cid] for want in message.wants if not want.cancel]
        return Message(blocks=tuple(map(wrong, asked)))

    async with (
        MemoryNetwork() as network,
        node(network, HONEST) as (good, _, _),
        node(network) as (_, bitswap, store),
    ):
        bad, root = ScriptedPeer(network, script), HONEST[-1].cid
        providers = [bad.address, where(good)]
        fetched = await fetch_dag(bitswap, root, limits=LIMITS, idle_timeout_s=30, peers=providers)
        assert fetched.dropped == {bad.host.peer_id: WrongBlock.code}
        assert bitswap.tally(bad.host.peer_id).blocks_unasked >= 1
        assert set(bad.cids_asked) == {root}, "it was never asked again"
        assert set(store) == set(by_cid)
