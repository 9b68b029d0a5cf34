"""What every block store promises, held against each of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, Blockstore, MemoryBlockstore
from ipfs.cid import CID, Codec, HashCode
from ipfs.disk import DiskBlockstore
from ipfs.errors import WrongBlock
from ipfs.object_store import ObjectBlockstore


@pytest.fixture(params=["memory", "disk", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blockstore]:
    match request.param:
        case "memory":
            yield MemoryBlockstore()
        case "disk":
            with DiskBlockstore(tmp_path / "store") as disk:
                yield disk
        case _:
            with ObjectBlockstore(MemoryStore()) as objects:
                yield objects


BLOCK = Block.of(Codec.RAW, b"bytes")
EMPTY = Block.of(Codec.DAG_PB, b"", version=0)
OTHER = Block.of(Codec.DAG_CBOR, b"\xa0")


def names(store: Blockstore) -> set[bytes]:
    return {cid.multihash for cid in store}


def test_what_was_put_is_there_until_deleted(store: Blockstore) -> None:
    store.put([BLOCK, EMPTY])
    assert (store.get(BLOCK.cid), store.get(EMPTY.cid)) == (BLOCK, EMPTY)
    assert (store.size_bytes(BLOCK.cid), store.size_bytes(EMPTY.cid)) == (5, 0)
    assert names(store) == {BLOCK.cid.multihash, EMPTY.cid.multihash}
    store.delete([BLOCK.cid, OTHER.cid])
    assert not store.has(BLOCK.cid)
    assert names(store) == {EMPTY.cid.multihash}
    store.put([BLOCK])
    assert store.get(BLOCK.cid) == BLOCK


def test_what_was_not_put_is_not_found(store: Blockstore) -> None:
    assert not store.has(BLOCK.cid)
    for read in (store.get, store.size_bytes):
        with pytest.raises(BlockNotFound) as caught:
            read(BLOCK.cid)
        assert caught.value.cid == BLOCK.cid


def test_bytes_are_found_under_every_cid_that_names_them(store: Blockstore) -> None:
    store.put([EMPTY])
    as_raw = CID.of(Codec.RAW, b"")
    assert store.get(EMPTY.cid.as_v1()) == Block(EMPTY.cid.as_v1(), b"")
    assert store.get(as_raw) == Block(as_raw, b"")
    store.put([Block(as_raw, b"")])
    assert len(list(store)) == 1
    store.delete([as_raw])
    assert not store.has(EMPTY.cid)


def test_nothing_is_put_and_deleted(store: Blockstore) -> None:
    store.put([])
    store.delete([])
    assert list(store) == []


def test_more_blocks_than_a_page(store: Blockstore) -> None:
    blocks = [Block.of(Codec.RAW, number.to_bytes(2)) for number in range(2_500)]
    store.put(blocks)
    assert sorted(store) == sorted(block.cid for block in blocks)


def test_a_block_is_what_its_cid_says_or_refused() -> None:
    assert Block.checked(BLOCK.cid, b"bytes") == BLOCK
    inline = CID.from_digest(Codec.RAW, HashCode.IDENTITY, b"x")
    assert Block.checked(inline, b"x").data == b"x"
    for cid, data in ((BLOCK.cid, b"other"), (inline, b"y"), (inline, b"")):
        with pytest.raises(WrongBlock):
            Block.checked(cid, data)
