"""Bitswap where upload is limited: who is sent blocks, in which order."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from random import Random

import pytest

from ipfs.bitswap.connection import Lane, read_frames
from ipfs.bitswap.messages import PROTOCOL_ID, Message, Want
from ipfs.bitswap.sender import Upload, UploadLimit
from ipfs.bitswap.stream import Bitswap
from ipfs.block import Block
from ipfs.exchange import DagLimits, fetch_dag
from ipfs.host import Stream
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from ipfs.p2p.peer_id import Identity, PeerId
from tests.support.bitswap import ScriptedPeer, leaf, node, silent, store_of, tree, until, where

LEAVES = [leaf(number, 100_000) for number in range(6)]


@asynccontextmanager
async def provider(
    network: MemoryNetwork, blocks: Iterable[Block], limit: UploadLimit
) -> AsyncIterator[tuple[MemoryHost, Bitswap]]:
    host = network.add_host()
    async with Bitswap(host, store_of(blocks), upload_limit=limit) as bitswap:
        yield host, bitswap


def limit(*, slots: int = 4, first: frozenset[PeerId] = frozenset()) -> UploadLimit:
    return UploadLimit(
        bytes_per_second=1e9,
        regular_slots=slots,
        priority_of=lambda peer_id: int(peer_id in first),
        random=Random(0),
    )


async def test_many_peers_get_all_they_want_through_a_limit() -> None:
    blocks = tree(30)
    limits = DagLimits(blocks_max=1_000, bytes_max=1 << 30)
    async with MemoryNetwork() as network, provider(network, blocks, limit(slots=1)) as (far, _):

        async def get() -> int:
            async with node(network) as (_, bitswap, _):
                fetching = fetch_dag(
                    bitswap, blocks[-1].cid, limits=limits, idle_timeout_s=30, peers=[where(far)]
                )
                return (await fetching).block_count

        assert await asyncio.gather(*(get() for _ in range(6))) == [len(blocks)] * 6


WANTS = Message(wants=tuple(Want(block.cid) for block in LEAVES))


async def ask_and_not_read(network: MemoryNetwork, host: MemoryHost) -> asyncio.Event:
    """Want everything of a host, and take none of it until the event is set."""
    slow, is_asked, may_read = network.add_host(), asyncio.Event(), asyncio.Event()

    async def listen(stream: Stream) -> None:
        is_asked.set()
        await may_read.wait()
        async for _ in read_frames(stream):
            pass

    slow.handle(PROTOCOL_ID, listen)
    slow.add_addresses(where(host))
    await Lane(slow, host.peer_id).send(lambda _: WANTS)
    await is_asked.wait()
    return may_read


def block_count(stranger: ScriptedPeer) -> int:
    return sum(len(message.blocks) for message in stranger.heard)


async def test_a_peer_that_takes_its_time_keeps_its_slot_and_the_others_wait() -> None:
    async with MemoryNetwork() as network, provider(network, LEAVES, limit(slots=0)) as (host, _):
        may_read = await ask_and_not_read(network, host)
        other = ScriptedPeer(network, silent)
        await other.say(where(host), WANTS)
        for _ in range(50):
            await asyncio.sleep(0)
        assert block_count(other) == 0, "the one slot is taken"
        may_read.set()
        await until(lambda: block_count(other) == len(LEAVES))


async def test_whoever_waits_is_told_what_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipfs.bitswap.sender.QUEUED_SECONDS", 0.01)
    async with MemoryNetwork() as network, provider(network, LEAVES, limit(slots=0)) as (host, _):
        await ask_and_not_read(network, host)
        other = ScriptedPeer(network, silent)
        await other.say(where(host), WANTS)
        await until(lambda: bool(other.heard))
        assert other.heard[0].blocks == ()
        assert other.heard[0].pending_bytes == sum(len(block.data) for block in LEAVES)


async def test_a_peer_with_a_priority_is_served_though_all_slots_are_taken() -> None:
    async with MemoryNetwork() as network:
        first = ScriptedPeer(network, silent)
        chosen = limit(slots=1, first=frozenset([first.host.peer_id]))
        async with provider(network, LEAVES, chosen) as (host, _):
            for _ in range(2):
                await ask_and_not_read(network, host)
            await first.say(where(host), WANTS)
            await until(lambda: block_count(first) == len(LEAVES))


async def test_only_blocks_that_were_asked_for_earn_anything_and_once() -> None:
    asked, junk = LEAVES[0], LEAVES[1]
    async with MemoryNetwork() as network, provider(network, [], limit()) as (host, bitswap):
        giver, fraud = ScriptedPeer(network, silent), ScriptedPeer(network, silent)
        with bitswap.fetch([giver.address], idle_timeout_s=30) as fetching:
            fetching.want([asked.cid])
            await until(lambda: bool(giver.heard))
            await fraud.say(where(host), Message(blocks=(junk,)))
            await until(lambda: bitswap.tally(fraud.host.peer_id).blocks_received == 1)
            await giver.say(where(host), Message(blocks=(asked, asked)))
            await giver.say(where(host), Message(blocks=(asked,)))
            await until(lambda: bitswap.tally(giver.host.peer_id).blocks_received == 3)
        choker = bitswap._upload._choker
        assert choker is not None
        now_s = asyncio.get_running_loop().time()
        gifts = {peer_id: it.size_bytes(now_s) for peer_id, it in choker._gifts.items()}
        assert gifts == {giver.host.peer_id: len(asked.data)}


async def test_a_peer_that_came_back_keeps_its_new_place_when_the_old_one_ends() -> None:
    upload = Upload(limit())
    peer_id = Identity.from_seed(bytes(32)).peer_id
    with ExitStack() as old:
        old.enter_context(upload.queued(peer_id))
        with upload.queued(peer_id):
            old.close()
            assert await upload.turn(peer_id)
