"""Random DAGs, scattered over random peers: a fetch brings all of them, or says what is missing."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipfs.block import Block
from ipfs.dag import walk
from ipfs.exchange import DagLimits, DagUnavailable, fetch_dag
from ipfs.p2p.memory import MemoryNetwork
from tests.support.bitswap import leaf, node, parent, store_of, where

LIMITS = DagLimits(blocks_max=1_000, bytes_max=1 << 20)


@st.composite
def dags(draw: st.DrawFn) -> list[Block]:
    """Blocks of one DAG, its root last: each node links to any that came before it."""
    blocks = [leaf(number, draw(st.sampled_from([4, 2_000]))) for number in range(3)]
    for _ in range(draw(st.integers(1, 8))):
        children = st.lists(st.sampled_from(blocks), min_size=1, max_size=6)
        blocks.append(parent(draw(children)))
    return blocks


@given(dags(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_dag_is_whole_exactly_if_every_block_is_somewhere(
    blocks: list[Block], data: st.DataObject
) -> None:
    holdings = [data.draw(st.sets(st.sampled_from(blocks)), label="a peer's") for _ in range(3)]
    ours = data.draw(st.sets(st.sampled_from(blocks)), label="ours")
    root = blocks[-1].cid
    reachable = set(walk(store_of(blocks), root))
    somewhere = {block.cid for block in ours.union(*holdings)}

    async def fetch() -> None:
        async with AsyncExitStack() as stack:
            network = await stack.enter_async_context(MemoryNetwork())
            peers = []
            for held in holdings:
                host, _, _ = await stack.enter_async_context(node(network, held))
                peers.append(where(host))
            _, bitswap, store = await stack.enter_async_context(node(network, ours))
            fetching = fetch_dag(bitswap, root, limits=LIMITS, idle_timeout_s=30, peers=peers)
            if reachable <= somewhere:
                assert (await fetching).block_count == len(reachable)
                assert reachable <= set(store)
            else:
                with pytest.raises(DagUnavailable) as caught:
                    await fetching
                assert caught.value.missing in reachable - somewhere
                assert set(caught.value.tried.values()) == {"dont-have"}
            assert {block.cid for block in ours} <= set(store)
            assert set(store) - {block.cid for block in ours} <= reachable

    asyncio.run(fetch())
