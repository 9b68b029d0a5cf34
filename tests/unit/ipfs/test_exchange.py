from ipfs.exchange import DagLimits, fetch_dag
from ipfs.p2p.memory import MemoryNetwork
from tests.support.bitswap import node, tree, where

ROOMY = DagLimits(blocks_max=10_000, bytes_max=1 << 30)


async def test_a_dag_goes_from_one_host_to_another() -> None:
    blocks = tree(300)
    root = blocks[-1].cid
    progress: list[tuple[int, int]] = []
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (_, bitswap, store),
    ):
        fetched = await fetch_dag(
            bitswap,
            root,
            limits=ROOMY,
            idle_timeout_s=5,
            peers=[where(provider)],
            on_progress=lambda count, size_bytes: progress.append((count, size_bytes)),
        )
    size_bytes = sum(len(block.data) for block in blocks)
    assert (fetched.block_count, fetched.size_bytes) == (len(blocks), size_bytes)
    assert progress[-1] == (len(blocks), size_bytes)
    assert progress == sorted(progress)
    assert {block.cid for block in blocks} == set(store)
