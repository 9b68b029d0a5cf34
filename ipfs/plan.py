"""Plans: what must be read of a DAG, without a word on where the blocks come from.

A plan is a generator that yields the CID of a block that it needs, is sent that block, and
returns what it was after. The same plan runs over a store, or awaits blocks from a network.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

from ipfs.block import Block
from ipfs.cid import CID
from ipfs.dag import inline_block

T = TypeVar("T")

Plan = Generator[CID, Block, T]


def run(plan: Plan[T], get: Callable[[CID], Block]) -> T:
    """Return what the plan is after; raises what it, or `get`, raises."""
    try:
        cid = next(plan)
        while True:
            cid = plan.send(inline_block(cid) or get(cid))
    except StopIteration as stop:
        result: T = stop.value
        return result


async def fetch(plan: Plan[T], get: Callable[[CID], Awaitable[Block]]) -> T:
    """Do as `run` does, waiting for each block."""
    try:
        cid = next(plan)
        while True:
            cid = plan.send(inline_block(cid) or await get(cid))
    except StopIteration as stop:
        result: T = stop.value
        return result
