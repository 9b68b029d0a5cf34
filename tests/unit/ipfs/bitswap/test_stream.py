import asyncio
import errno
import sqlite3
import threading

import pytest

from ipfs import varint
from ipfs.bitswap.connection import Lane, Tally, read_frames
from ipfs.bitswap.messages import (
    PROTOCOL_ID,
    PROTOCOL_IDS,
    Message,
    Presence,
    PresenceType,
    Want,
    WantType,
)
from ipfs.bitswap.session import DONT_HAVE, BlockUnavailable
from ipfs.bitswap.stream import DISCONNECTED, Bitswap
from ipfs.bitswap.wantlist import WANTS_PER_PEER_MAX
from ipfs.block import BLOCK_BYTES_MAX, Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.errors import PeerHungUp, PeerTooSlow, WrongBlock
from ipfs.framing import encode_frame
from ipfs.host import PeerAddress, Stream
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from tests.support.bitswap import ScriptedPeer, leaf, node, silent, store_of, until, where

IDLE_S = 60.0


async def fetch(bitswap: Bitswap, blocks: list[Block], *peers: MemoryHost) -> list[Block]:
    arrived: list[Block] = []
    with bitswap.fetch([where(host) for host in peers], idle_timeout_s=IDLE_S) as fetching:
        fetching.want(block.cid for block in blocks)
        while len(arrived) < len(blocks):
            arrived += await fetching.receive()
    return arrived


async def test_two_nodes_fetch_from_each_other_at_once() -> None:
    ours = [leaf(number, 200_000) for number in range(20)]
    theirs = [Block.of(Codec.RAW, bytes([number]) * BLOCK_BYTES_MAX) for number in range(3)]
    async with (
        MemoryNetwork() as network,
        node(network, ours) as (near_host, near, _),
        node(network, theirs) as (far_host, far, _),
    ):
        got = await asyncio.gather(fetch(near, theirs, far_host), fetch(far, ours, near_host))
        tally = near.tally(far_host.peer_id)
        assert {block.cid for block in got[0]} == {block.cid for block in theirs}
        assert {block.cid for block in got[1]} == {block.cid for block in ours}
        assert (tally.blocks_sent, tally.blocks_received) == (20, 3)
        assert tally.bytes_sent > 20 * 200_000
        assert tally.bytes_received > 3 * BLOCK_BYTES_MAX
        assert near.tally(near_host.peer_id) == Tally()


async def test_two_fetches_of_one_block_both_get_it() -> None:
    block = leaf(1)
    async with (
        MemoryNetwork() as network,
        node(network, [block]) as (far, _, _),
        node(network) as (_, near, _),
    ):
        got = await asyncio.gather(*(fetch(near, [block], far) for _ in range(3)))
        assert got == [[block]] * 3


async def test_an_absent_block_is_said_to_be_absent() -> None:
    async with (
        MemoryNetwork() as network,
        node(network) as (far, _, _),
        node(network) as (_, near, _),
    ):
        with pytest.raises(BlockUnavailable) as caught:
            await near.get(leaf(1).cid, [where(far)], idle_timeout_s=IDLE_S)
        assert caught.value.answers == {far.peer_id: DONT_HAVE}


async def test_a_block_that_comes_later_is_sent_to_the_peer_that_waits() -> None:
    kept, offered = leaf(1), leaf(2)
    async with MemoryNetwork() as network, node(network) as (host, bitswap, store):
        stranger = ScriptedPeer(network, silent)
        await stranger.say(
            where(host), Message(wants=(Want(kept.cid, send_dont_have=True), Want(offered.cid)))
        )
        await until(lambda: len(stranger.heard) == 1)
        assert stranger.heard[0].presences == (Presence(kept.cid, PresenceType.DONT_HAVE),)
        await bitswap.keep([kept])
        store.put([offered])
        await bitswap.offer([offered.cid])
        await until(lambda: len(stranger.heard) == 3)
        assert [message.blocks for message in stranger.heard[1:]] == [(kept,), (offered,)]


async def test_a_block_that_goes_before_it_is_sent_is_said_to_be_absent() -> None:
    class Fickle(MemoryBlockstore):
        def size_bytes(self, cid: CID) -> int:
            return 9

    block = leaf(1)
    async with MemoryNetwork() as network:
        host, stranger = network.add_host(), ScriptedPeer(network, silent)
        async with Bitswap(host, Fickle()):
            await stranger.say(where(host), Message(wants=(Want(block.cid, send_dont_have=True),)))
            await until(lambda: len(stranger.heard) == 1)
    assert stranger.heard[0].presences == (Presence(block.cid, PresenceType.DONT_HAVE),)


async def test_a_block_that_the_disk_does_not_give_is_said_to_be_absent_and_others_are_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost, whole, unknown = leaf(1), leaf(2), leaf(3)

    class Scratched(MemoryBlockstore):
        def get(self, cid: CID) -> Block:
            if cid == lost.cid:
                raise OSError(errno.EIO, "a bad place")
            return super().get(cid)

        def get_at_once(self, cid: CID) -> None:
            return None

        def size_bytes(self, cid: CID) -> int:
            if cid == unknown.cid:
                raise sqlite3.OperationalError("disk I/O error")
            return 9

    store = Scratched()
    store.put([lost, whole])
    async with MemoryNetwork() as network:
        host, stranger = network.add_host(), ScriptedPeer(network, silent)
        async with Bitswap(host, store):
            wanted = (lost, whole, unknown)
            wants = tuple(Want(block.cid, send_dont_have=True) for block in wanted)
            await stranger.say(where(host), Message(wants=wants))
            await until(lambda: len(stranger.heard) == 2)
    absent = {presence for message in stranger.heard for presence in message.presences}
    assert absent == {Presence(it.cid, PresenceType.DONT_HAVE) for it in (lost, unknown)}
    assert [block for message in stranger.heard for block in message.blocks] == [whole]
    assert "a bad place" in caplog.text
    assert "disk I/O error" in caplog.text


async def test_a_flood_of_wants_is_cut_and_others_are_served() -> None:
    block = leaf(1)
    async with (
        MemoryNetwork() as network,
        node(network, [block]) as (host, bitswap, _),
        node(network) as (_, other, _),
    ):
        stranger = ScriptedPeer(network, silent)
        for turn in range(4):
            wants = [Want(leaf(2_000 + turn * 1_000 + index, 4).cid) for index in range(1_000)]
            await stranger.say(where(host), Message(wants=tuple(wants)))
        assert await fetch(other, [block], host) == [block]
        await until(lambda: len(bitswap.wants_of(stranger.host.peer_id)) >= 1_000)
        assert len(bitswap.wants_of(stranger.host.peer_id)) <= WANTS_PER_PEER_MAX


async def test_all_that_we_want_is_said_again_when_the_stream_was_reset() -> None:
    heard: list[Message] = []

    async def listen(stream: Stream) -> None:
        async for frame in read_frames(stream):
            heard.append(Message.decode(frame))
            raise PeerHungUp("enough of this stream")

    first, second = leaf(1), leaf(2)
    async with MemoryNetwork() as network, node(network) as (_, bitswap, _):
        far = network.add_host()
        far.handle(PROTOCOL_ID, listen)
        with bitswap.fetch([where(far)], idle_timeout_s=IDLE_S) as fetching:
            fetching.want([first.cid])
            await until(lambda: len(heard) == 1)
            fetching.want([second.cid])
            await until(lambda: len(heard) == 2)
    assert [want.cid for want in heard[1].wants] == [first.cid, second.cid]
    assert [message.full for message in heard] == [True, True]


@pytest.mark.parametrize("protocol_id", PROTOCOL_IDS)
async def test_older_versions_are_answered_in_their_own(protocol_id: str) -> None:
    block = Block.of(Codec.DAG_PB, b"old", version=0)
    heard: list[Message] = []

    async def listen(stream: Stream) -> None:
        async for frame in read_frames(stream):
            message = Message.decode(frame)
            heard.append(message)

    async with MemoryNetwork() as network, node(network, [block]) as (host, bitswap, _):
        stranger = network.add_host()
        stranger.handle(protocol_id, listen)
        stranger.add_addresses(where(host))
        stream, _ = await stranger.open_stream(host.peer_id, [protocol_id])
        await stream.write(encode_frame(Message(wants=(Want(block.cid),)).encode(protocol_id)))
        await until(lambda: len(heard) == 1)
        assert heard[0].blocks == (block,)
        asked = leaf(1).cid
        with bitswap.fetch([where(stranger)], idle_timeout_s=IDLE_S) as fetching:
            fetching.want([asked])
            await until(lambda: len(heard) == 2)
    assert [want.cid for want in heard[1].wants] == [asked]


async def test_a_malformed_message_costs_its_stream_and_nothing_else() -> None:
    block = leaf(1)
    async with MemoryNetwork() as network, node(network, [block]) as (host, _, _):
        stranger = ScriptedPeer(network, silent)
        stranger.host.add_addresses(where(host))
        stream, _ = await stranger.host.open_stream(host.peer_id, [PROTOCOL_ID])
        await stream.write(encode_frame(b"\x0b"))
        with pytest.raises(PeerHungUp):
            await stream.read(1)
        await stranger.say(where(host), Message(wants=(Want(block.cid),)))
        await until(lambda: len(stranger.heard) == 1)
        assert stranger.heard[0].blocks == (block,)


async def test_a_stream_that_ends_is_ended_by_us_too() -> None:
    async with MemoryNetwork() as network, node(network) as (host, _, _):
        stranger = network.add_host()
        stranger.add_addresses(where(host))
        stream, _ = await stranger.open_stream(host.peer_id, [PROTOCOL_ID])
        await stream.write(encode_frame(Message().encode()))
        await stream.close_write()
        assert await stream.read(1) == b""


async def drip(stream: Stream) -> None:
    while True:
        await stream.write(b"a")
        await asyncio.sleep(0)


async def test_a_message_that_drips_is_cut() -> None:
    outcome: list[BaseException] = []

    async def listen(stream: Stream) -> None:
        try:
            async for _ in read_frames(stream, frame_seconds_max=0.05):
                pass
        except PeerTooSlow as error:
            outcome.append(error)
            raise

    async with MemoryNetwork() as network:
        near, far = network.add_host(), network.add_host()
        far.handle(PROTOCOL_ID, listen)
        near.add_addresses(where(far))
        stream, _ = await near.open_stream(far.peer_id, [PROTOCOL_ID])
        await stream.write(varint.encode(2_000_000))
        with pytest.raises(PeerHungUp):
            await drip(stream)
    assert [type(error) for error in outcome] == [PeerTooSlow]


async def test_silence_between_messages_is_not_cut_and_half_a_message_is() -> None:
    frames: list[bytes] = []

    async def listen(stream: Stream) -> None:
        frames.extend([frame async for frame in read_frames(stream, frame_seconds_max=0.1)])

    async with MemoryNetwork() as network:
        near, far = network.add_host(), network.add_host()
        far.handle(PROTOCOL_ID, listen)
        near.add_addresses(where(far))
        stream, _ = await near.open_stream(far.peer_id, [PROTOCOL_ID])
        await stream.write(encode_frame(b"one")[:2])
        await asyncio.sleep(0)
        await stream.write(encode_frame(b"one")[2:])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await stream.read(1)
        await stream.write(encode_frame(b"two"))
        await stream.close_write()
        assert await stream.read(1) == b""
        assert frames == [b"one", b"two"]

        cut, _ = await near.open_stream(far.peer_id, [PROTOCOL_ID])
        await cut.write(encode_frame(b"three")[:-1])
        await cut.close_write()
        with pytest.raises(PeerHungUp):
            await cut.read(1)


async def test_blocks_that_nobody_asked_for_are_counted_and_drop_the_peer_from_fetches() -> None:
    wanted, unwanted = leaf(1), leaf(2)
    async with MemoryNetwork() as network, node(network) as (host, bitswap, store):
        liar = ScriptedPeer(network, silent)
        await liar.say(where(host), Message(blocks=(unwanted,)))
        with bitswap.fetch([liar.address], idle_timeout_s=IDLE_S) as fetching:
            fetching.want([wanted.cid])
            await liar.say(where(host), Message(blocks=(unwanted,)))
            with pytest.raises(BlockUnavailable) as caught:
                await fetching.receive()
        assert caught.value.answers == {liar.host.peer_id: WrongBlock.code}
        await until(lambda: bitswap.tally(liar.host.peer_id).blocks_unasked == 2)
        assert list(store) == []


async def test_a_fetch_that_is_left_takes_its_wants_back() -> None:
    async with MemoryNetwork() as network, node(network) as (_, bitswap, _):
        far = ScriptedPeer(network, silent)
        with bitswap.fetch([far.address], idle_timeout_s=IDLE_S) as fetching:
            fetching.want([leaf(1).cid])
            await until(lambda: len(far.heard) == 1)
        await until(lambda: len(far.heard) == 2)
    assert [want.cancel for message in far.heard for want in message.wants] == [False, True]


async def test_nothing_is_kept_of_a_peer_that_disconnects() -> None:
    async with MemoryNetwork() as network, node(network) as (host, bitswap, _):
        stranger = ScriptedPeer(network, silent)
        wants = (Want(leaf(1).cid, want_type=WantType.HAVE),)
        await stranger.say(where(host), Message(wants=wants))
        await until(lambda: bitswap._engine.peer_count == 1)
        network.disconnect_all(stranger.host.peer_id)
        assert bitswap._engine.peer_count == 0
        assert not bitswap._links
        assert not bitswap._speakers


async def test_a_peer_that_is_gone_before_we_listen_leaves_nothing() -> None:
    async with MemoryNetwork() as network, node(network) as (host, bitswap, _):
        stranger = network.add_host()
        stranger.add_addresses(where(host))
        await stranger.open_stream(host.peer_id, [PROTOCOL_ID])
        network.disconnect_all(stranger.peer_id)
        assert not bitswap._links, "its stream is not listened to yet"
        for _ in range(5):
            await asyncio.sleep(0)
        assert not bitswap._links


async def test_a_peer_that_goes_while_the_store_is_asked_leaves_nothing() -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    class Slow(MemoryBlockstore):
        def size_bytes(self, cid: CID) -> int:
            is_asked.set()
            assert may_answer.wait(120)
            return super().size_bytes(cid)

    first, second = leaf(1), leaf(2)
    messages = [Message(wants=(Want(block.cid),)).encode() for block in (first, second)]
    async with MemoryNetwork() as network:
        host, stranger = network.add_host(), network.add_host()
        async with Bitswap(host, Slow()) as bitswap:
            stranger.add_addresses(where(host))
            stream, _ = await stranger.open_stream(host.peer_id, [PROTOCOL_ID])
            await stream.write(b"".join(map(encode_frame, messages)))
            await until(is_asked.is_set)
            network.disconnect_all(stranger.peer_id)
            may_answer.set()
            await until(lambda: not network._tasks)
            assert bitswap._engine.peer_count == 0
            assert not bitswap._links


async def test_a_peer_that_nobody_can_reach_is_given_up_at_once() -> None:
    async with MemoryNetwork() as network, node(network) as (_, bitswap, _):
        gone, mute = network.add_host(), network.add_host()
        network.take_down(gone.peer_id)
        with pytest.raises(BlockUnavailable) as caught:
            await bitswap.get(leaf(1).cid, [where(gone), where(mute)], idle_timeout_s=60)
        assert caught.value.answers == {
            gone.peer_id: "peer-unreachable",
            mute.peer_id: "protocol-unsupported",
        }


async def test_leaving_ends_the_fetches_and_refuses_streams() -> None:
    cid = leaf(1).cid
    async with MemoryNetwork() as network:
        far, host = ScriptedPeer(network, silent), network.add_host()
        async with Bitswap(host, store_of([])) as bitswap:
            getting = asyncio.ensure_future(bitswap.get(cid, [far.address], idle_timeout_s=60))
            await until(lambda: len(far.heard) == 1)
        with pytest.raises(BlockUnavailable) as caught:
            await getting
        assert caught.value.answers == {far.host.peer_id: DISCONNECTED}
        with pytest.raises(BlockUnavailable):
            await bitswap.get(cid, [far.address], idle_timeout_s=0.02)
        stream, _ = await far.host.open_stream(host.peer_id, [PROTOCOL_ID])
        with pytest.raises(PeerHungUp):
            await stream.read(1)


async def test_an_error_of_the_body_comes_out_as_it_is() -> None:
    async with MemoryNetwork() as network:
        with pytest.raises(KeyError):
            async with Bitswap(network.add_host(), store_of([])):
                raise KeyError


async def test_we_do_not_ask_ourselves() -> None:
    async with MemoryNetwork() as network, node(network) as (host, bitswap, _):
        with pytest.raises(BlockUnavailable) as caught:
            await bitswap.get(leaf(1).cid, [PeerAddress(host.peer_id)], idle_timeout_s=60)
        assert caught.value.answers == {}


async def test_a_peer_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_reads(stream: Stream) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("ipfs.bitswap.connection.MESSAGE_SECONDS_MAX", 0.05)
    async with MemoryNetwork() as network:
        near, far = network.add_host(), network.add_host()
        far.handle(PROTOCOL_ID, never_reads)
        near.add_addresses(where(far))
        message = Message(blocks=(leaf(1, 1_000_000),))
        with pytest.raises(PeerTooSlow):
            await Lane(near, far.peer_id).send(lambda _: message)
