"""Blocks and CARs over real HTTP, which a client verifies itself (ipfs/gateway-conformance)."""

import tracemalloc
from collections.abc import Iterable
from itertools import islice

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.car import car_of
from ipfs.cid import CID, Codec, HashCode
from ipfs.dag import DEPTH_MAX
from ipfs.dag_pb import PBLink, PBNode
from ipfs.gateway.cars import Everything
from ipfs.gateway.supply import Supply
from ipfs.p2p.memory import MemoryNetwork
from ipfs.plan import run
from ipfs.unixfs.tree import resolve
from tests.support.bitswap import leaf, node, parent, where
from tests.support.client_town import Gossip
from tests.support.gateway import add_fixture, cids_in, gateway_over

TWO_FILES = "dc35ad7f66fddaad"
MIXED = "d16aa6f6baf4254b"
SHARDED = "c4a1c55b99df34a2"
CBOR_LINKS = "70f15e80a948cb73"
LACKS_A_BLOCK = "b1a7a27d03a65b00"
DUPLICATES = "52ba43df5a78d92b"

EMPTY = "bafkqaaa"
CAR = {"Accept": "application/vnd.ipld.car"}


def names_to(store: MemoryBlockstore, root: CID, *names: str) -> list[CID]:
    """Return the CIDs on a path through plain folders."""
    return [run(resolve(root, names[:count]), store.get) for count in range(len(names) + 1)]


def children(store: MemoryBlockstore, cid: CID) -> list[CID]:
    return [link.cid for link in PBNode.decode(store.get(cid).data).links]


async def car(client: httpx.AsyncClient, path: str, **query: str) -> list[CID]:
    """Return the CIDs of a CAR answer, whose blocks were checked."""
    params = {"format": "car", **{name.replace("_", "-"): text for name, text in query.items()}}
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return cids_in(answer.content)


async def test_the_probe_that_clients_begin_with_is_answered() -> None:
    async with gateway_over(MemoryBlockstore()) as client:
        raw = await client.get(f"/ipfs/{EMPTY}?format=raw")
        assert (raw.status_code, raw.content) == (200, b"")
        answer = await client.get(f"/ipfs/{EMPTY}?format=car")
        assert cids_in(answer.content) == []
        assert CID.parse(EMPTY).encode() in answer.content
        assert (await client.head(f"/ipfs/{EMPTY}")).status_code == 200


async def test_a_raw_block_is_the_block_and_nothing_a_browser_would_show() -> None:
    store = MemoryBlockstore()
    root = add_fixture(store, TWO_FILES)
    async with gateway_over(store) as client:
        by_query = await client.get(f"/ipfs/{root}?format=raw")
        by_header = await client.get(
            f"/ipfs/{root}", headers={"Accept": "application/vnd.ipld.raw"}
        )
        for answer in (by_query, by_header):
            assert answer.content == store.get(root).data
            assert answer.headers["content-type"] == "application/vnd.ipld.raw"
            assert answer.headers["content-disposition"] == f'attachment; filename="{root}.bin"'
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["etag"] == f'"{root}.raw"'
        assert by_header.headers["content-location"] == f"/ipfs/{root}?format=raw"
        part = await client.get(f"/ipfs/{root}?format=raw", headers={"Range": "bytes=2-5"})
        assert part.content == store.get(root).data[2:6]
        known = {"If-None-Match": f'"{root}.raw"'}
        assert (await client.get(f"/ipfs/{root}?format=raw", headers=known)).status_code == 304


async def test_a_car_says_what_it_is() -> None:
    store = MemoryBlockstore()
    root = add_fixture(store, TWO_FILES)
    async with gateway_over(store) as client:
        answer = await client.get(f"/ipfs/{root}", headers=CAR)
        assert answer.headers["content-type"] == (
            "application/vnd.ipld.car; version=1; order=dfs; dups=n"
        )
        assert answer.headers["content-disposition"] == f'attachment; filename="{root}.car"'
        assert answer.headers["accept-ranges"] == "none"
        assert answer.content == b"".join(car_of(store, root))
        urls = ("", "&dag-scope=entity", "&dag-scope=block", "&car-dups=y", "&entity-bytes=0:1")
        etags = [
            (await client.head(f"/ipfs/{root}?format=car{url}")).headers["etag"] for url in urls
        ]
        assert len(set(etags)) == len(urls)
        again = await client.get(f"/ipfs/{root}?format=car", headers={"If-None-Match": etags[0]})
        assert again.status_code == 304
        assert (await client.get(f"/ipfs/{root}?format=car&car-version=2")).status_code == 406


async def test_a_car_proves_its_path() -> None:
    store = MemoryBlockstore()
    root = add_fixture(store, TWO_FILES)
    path = names_to(store, root, "subdir", "ascii.txt")
    async with gateway_over(store) as client:
        url = f"/ipfs/{root}/subdir"
        assert await car(client, f"{url}/ascii.txt") == path
        assert await car(client, f"{url}/ascii.txt", dag_scope="block") == path
        assert await car(client, url, dag_scope="block") == path[:2]
        assert await car(client, f"/ipfs/{root}", dag_scope="entity") == [root]
        missing = await client.get(f"{url}/i-do-not-exist?format=car")
        assert missing.status_code == 404


async def test_a_car_of_an_entity_is_the_whole_file_and_of_all_the_whole_dag() -> None:
    store = MemoryBlockstore()
    root = add_fixture(store, MIXED)
    path = names_to(store, root, "subdir", "multiblock.txt")
    parts = children(store, path[-1])
    async with gateway_over(store) as client:
        url = f"/ipfs/{root}/subdir/multiblock.txt"
        assert await car(client, url, dag_scope="entity") == path + parts
        assert await car(client, url, dag_scope="all") == path + parts
        assert await car(client, url, entity_bytes="0:*") == path + parts
        assert set(await car(client, f"/ipfs/{root}/subdir")) == set(store)


@pytest.mark.parametrize(
    ("entity_bytes", "parts"),
    [
        ("512:*", slice(2, None)),
        ("512:1023", slice(2, 4)),
        ("512:-256", slice(2, 4)),
        ("-5:*", slice(3, None)),
        ("-9999:*", slice(None)),
        ("-9999:-3", slice(0, 4)),
        ("0:0", slice(0, 1)),
        ("0:99999", slice(None)),
        ("10:5", slice(0, 0)),
        ("0:-9999", slice(0, 0)),
    ],
)
async def test_bytes_of_an_entity_bring_the_blocks_that_hold_them(
    entity_bytes: str, parts: slice
) -> None:
    store = MemoryBlockstore()
    root = add_fixture(store, MIXED)
    file = names_to(store, root, "subdir", "multiblock.txt")[-1]
    async with gateway_over(store) as client:
        found = await car(client, f"/ipfs/{file}", entity_bytes=entity_bytes)
        assert found == [file, *children(store, file)[parts]]
        beyond = await client.get(f"/ipfs/{file}?format=car&entity-bytes=1026:*")
        assert (beyond.status_code, beyond.json()["code"]) == (400, "bad-request")


async def test_a_block_outside_the_range_need_not_be_here() -> None:
    store = MemoryBlockstore()
    root = add_fixture(store, LACKS_A_BLOCK)
    async with gateway_over(store) as client:
        for entity_bytes in ("0:1000", "2200:*"):
            found = await car(client, f"/ipfs/{root}", entity_bytes=entity_bytes)
            assert len(found) == 2
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"/ipfs/{root}?format=car")


async def test_a_sharded_folder_is_its_shards() -> None:
    store = MemoryBlockstore()
    root = add_fixture(store, SHARDED)
    async with gateway_over(store) as client:
        found = await car(client, f"/ipfs/{root}/1.txt", dag_scope="block")
        assert found[0] == root
        assert 2 < len(found) < 6
        shards = await car(client, f"/ipfs/{root}", dag_scope="entity")
        assert shards == await car(client, f"/ipfs/{root}", entity_bytes="0:*")
        linked = {cid for shard in shards for cid in children(store, shard)}
        assert set(shards) - {root} < linked


async def test_links_in_dag_cbor_are_followed_by_path_and_not_by_entity() -> None:
    store = MemoryBlockstore()
    root = add_fixture(store, CBOR_LINKS)
    [_, document] = names_to(store, root, "document")
    async with gateway_over(store) as client:
        single = await car(client, f"/ipfs/{document}/files/single")
        assert single[0] == document
        assert len(single) == 2
        entity = await car(client, f"/ipfs/{root}/document", dag_scope="entity")
        assert entity == [root, document]


async def test_duplicates_come_once_or_each_time() -> None:
    store = MemoryBlockstore()
    root = add_fixture(store, DUPLICATES)
    async with gateway_over(store) as client:
        once = await car(client, f"/ipfs/{root}")
        often = await car(client, f"/ipfs/{root}", car_dups="y")
        assert len(once) == len(set(once)) < len(often)
        assert set(once) == set(often)
        answer = await client.get(
            f"/ipfs/{root}", headers={"Accept": "application/vnd.ipld.car; dups=y"}
        )
        assert answer.headers["content-type"].endswith("dups=y")
        assert cids_in(answer.content) == often


async def test_blocks_that_are_their_own_cid_are_left_out() -> None:
    inline = Block(CID.of(Codec.RAW, b"tiny", hash_code=HashCode.IDENTITY), b"tiny")
    root = parent([inline, inline])
    store = MemoryBlockstore()
    store.put([root])
    async with gateway_over(store) as client:
        for dups in "yn":
            assert await car(client, f"/ipfs/{root.cid}", car_dups=dups) == [root.cid]


async def test_a_bomb_of_links_is_cut_and_the_gateway_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ipfs.gateway.cars.BLOCKS_MAX", 1_000)
    blocks = [Block.of(Codec.RAW, b"x")]
    for _ in range(40):
        blocks.append(parent([blocks[-1]] * 2))
    store = MemoryBlockstore()
    store.put(blocks)
    async with gateway_over(store) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"/ipfs/{blocks[-1].cid}?format=car&car-dups=y")
        once = await car(client, f"/ipfs/{blocks[-1].cid}")
        assert once == [block.cid for block in reversed(blocks)]


async def test_a_chain_deeper_than_any_file_is_cut() -> None:
    blocks = [Block.of(Codec.RAW, b"x")]
    for _ in range(DEPTH_MAX + 1):
        blocks.append(parent([blocks[-1]]))
    store = MemoryBlockstore()
    store.put(blocks)
    async with gateway_over(store) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"/ipfs/{blocks[-1].cid}?format=car")


async def test_what_is_asked_ahead_is_bounded_however_deep_a_dag_leads() -> None:
    """Each node links to the next one and to leaves that come after all that is below it."""
    leaves = iter([leaf(number, 100_000) for number in range(280)])
    chain: list[list[Block]] = [[parent([])]]
    for _ in range(40):
        siblings = list(islice(leaves, 7))
        chain.append([parent([chain[-1][0], *siblings]), *siblings])
    top = chain[-1][0].cid
    async with (
        MemoryNetwork() as network,
        node(network, [block for level in chain for block in level]) as (far, _, _),
        node(network) as (_, exchange, _),
    ):
        supply = Supply(exchange, routing=Gossip(where(far)), cache_bytes_max=0)
        walk = Everything(top, has_duplicates=False)
        tracemalloc.start()
        with supply.opened(top) as blocks:
            for _ in chain:
                due, *ahead = walk.wanted(8)
                walk.receive(await blocks.get(due, ahead))
            held_bytes, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert held_bytes < 4_000_000, "a few windows of 8 leaves"
            while wanted := walk.wanted(8):
                walk.receive(await blocks.get(wanted[0], wanted[1:]))


def walked(
    blocks: Iterable[Block], root: CID, *, has_duplicates: bool, ahead_count: int
) -> list[CID]:
    store = {block.cid: block for block in blocks}
    walk, found = Everything(root, has_duplicates=has_duplicates), []
    while wanted := walk.wanted(ahead_count):
        found.append(wanted[0])
        walk.receive(store[wanted[0]])
    return found


@given(
    st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=7), st.integers(1, 5)
)
def test_the_walk_is_the_recursive_one(links: list[list[int]], ahead_count: int) -> None:
    """Each node links to some of those before it."""
    blocks: list[Block] = []
    for number, choices in enumerate(links):
        linked = [blocks[choice % number].cid for choice in choices] if number else []
        children = tuple(PBLink(cid, name="", tsize=0) for cid in linked)
        blocks.append(Block.of(Codec.DAG_PB, PBNode(children, bytes([number])).encode()))
    store = {block.cid: block for block in blocks}

    def slow(cid: CID) -> list[CID]:
        below = [link.cid for link in PBNode.decode(store[cid].data).links]
        return [cid, *(one for child in below for one in slow(child))]

    root = blocks[-1].cid
    often = slow(root)
    for has_duplicates, expected in ((True, often), (False, list(dict.fromkeys(often)))):
        found = walked(blocks, root, has_duplicates=has_duplicates, ahead_count=ahead_count)
        assert found == expected
