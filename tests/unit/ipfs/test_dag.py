"""Walking DAGs of any codec."""

import pytest

from ipfs import dag_cbor
from ipfs.block import BLOCK_BYTES_MAX, Block
from ipfs.blockstore import BlockNotFound, MemoryBlockstore
from ipfs.cid import CID, Codec, HashCode
from ipfs.dag import NODES_BYTES_MAX, links_of, walk
from ipfs.dag_pb import PBLink, PBNode
from ipfs.errors import LimitExceeded, MalformedBytes


@pytest.fixture
def store() -> MemoryBlockstore:
    return MemoryBlockstore()


def raw(store: MemoryBlockstore, data: bytes) -> CID:
    block = Block.of(Codec.RAW, data)
    store.put([block])
    return block.cid


def node(store: MemoryBlockstore, *children: CID) -> CID:
    block = Block.of(Codec.DAG_PB, PBNode(tuple(map(PBLink, children))).encode())
    store.put([block])
    return block.cid


def test_links_are_found_wherever_they_are() -> None:
    one, two = CID.of(Codec.RAW, b"1"), CID.of(Codec.DAG_CBOR, b"2", version=1)
    value = {"a": [one, {"b": two}], "c": [[[one]]], "d": "text", "e": None}
    encoded = dag_cbor.encode(value)
    assert list(links_of(Block.of(Codec.DAG_CBOR, encoded))) == [one, two, one]
    node = PBNode((PBLink(two), PBLink(one)))
    assert list(links_of(Block.of(Codec.DAG_PB, node.encode()))) == [two, one]
    assert list(links_of(Block.of(Codec.RAW, encoded))) == []
    with pytest.raises(MalformedBytes, match="codec"):
        list(links_of(Block.of(Codec.DAG_JSON, b"{}")))


def test_the_walk_is_depth_first_and_meets_each_block_once(store: MemoryBlockstore) -> None:
    a, b, c = (raw(store, letter) for letter in (b"a", b"b", b"c"))
    left, right = node(store, a, b), node(store, b, c, a)
    root = node(store, left, right, left)
    assert list(walk(store, root)) == [root, left, a, b, right, c]


def test_the_walk_stops_where_a_block_is_missing(store: MemoryBlockstore) -> None:
    missing = CID.of(Codec.RAW, b"missing")
    root = node(store, raw(store, b"a"), missing, raw(store, b"b"))
    with pytest.raises(BlockNotFound) as caught:
        list(walk(store, root))
    assert caught.value.cid == missing


def test_identity_cids_are_followed_and_not_met(store: MemoryBlockstore) -> None:
    leaf = raw(store, b"leaf")
    inline = CID.from_digest(Codec.DAG_PB, HashCode.IDENTITY, PBNode((PBLink(leaf),)).encode())
    root = node(store, inline)
    assert list(walk(store, root)) == [root, leaf]


def test_a_chain_ends_somewhere(store: MemoryBlockstore) -> None:
    root = raw(store, b"leaf")
    for _ in range(128):
        root = node(store, root)
    assert len(list(walk(store, root))) == 129
    with pytest.raises(LimitExceeded, match="depth"):
        list(walk(store, node(store, root)))


def test_a_dag_may_be_told_how_many_blocks_it_has(store: MemoryBlockstore) -> None:
    root = node(store, *(raw(store, bytes((value,))) for value in range(9)))
    assert len(list(walk(store, root, blocks_max=10))) == 10
    with pytest.raises(LimitExceeded, match="blocks"):
        list(walk(store, root, blocks_max=9))


def test_a_dag_that_shares_everything_is_walked_once(store: MemoryBlockstore) -> None:
    root = raw(store, b"leaf")
    for _ in range(60):
        root = node(store, root, root)
    assert len(list(walk(store, root))) == 61


def test_links_are_read_as_they_are_asked_for() -> None:
    """What is wrong is found where it is: a walk need not read 65,536 links to follow one."""
    good = PBNode((PBLink(CID.of(Codec.RAW, b"1")),)).encode()
    cbor = dag_cbor.encode([CID.of(Codec.RAW, b"1"), b"x"])[:-1] + b"y"
    for codec, data in ((Codec.DAG_PB, good + b"\xff"), (Codec.DAG_CBOR, cbor + b"\xff")):
        links = links_of(Block.of(codec, data))
        assert next(links) == CID.of(Codec.RAW, b"1")
        with pytest.raises(MalformedBytes):
            next(links)


def test_nodes_on_the_way_down_have_only_so_many_bytes(store: MemoryBlockstore) -> None:
    """A walk holds the nodes above it, so as many of the largest as it may, and no more."""
    root = raw(store, b"leaf")
    for _ in range(NODES_BYTES_MAX // BLOCK_BYTES_MAX):
        data = PBNode((PBLink(root),), bytes(BLOCK_BYTES_MAX - 48)).encode()
        assert BLOCK_BYTES_MAX - 8 < len(data) <= BLOCK_BYTES_MAX
        block = Block.of(Codec.DAG_PB, data)
        store.put([block])
        root = block.cid
    assert len(list(walk(store, root))) == NODES_BYTES_MAX // BLOCK_BYTES_MAX + 1
    one_too_many = Block.of(Codec.DAG_PB, PBNode((PBLink(root),), bytes(1_000)).encode())
    store.put([one_too_many])
    with pytest.raises(LimitExceeded, match="way down"):
        list(walk(store, one_too_many.cid))
