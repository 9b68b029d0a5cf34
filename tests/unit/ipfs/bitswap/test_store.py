"""A store as a loop asks it: whoever reads much lets others have their turn."""

import asyncio

from ipfs.bitswap.store import Stored
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import Codec

READ_COUNT = 100


async def test_reading_at_once_lets_others_have_their_turn() -> None:
    turn_count = 0

    async def take_turns() -> None:
        nonlocal turn_count
        while True:
            turn_count += 1
            await asyncio.sleep(0)

    block = Block.of(Codec.RAW, b"x")
    store = MemoryBlockstore()
    store.put([block])
    others = asyncio.create_task(take_turns())
    for _ in range(READ_COUNT):
        assert await Stored(store).load([block.cid]) == [block]
    others.cancel()
    assert turn_count >= READ_COUNT
