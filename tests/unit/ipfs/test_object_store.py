"""Blocks as objects, against a real S3 server on loopback and a folder."""

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store, from_url

from ipfs.block import Block
from ipfs.blockstore import BlockCorrupt, BlockNotFound
from ipfs.cid import CID, Codec
from ipfs.object_store import BlockUnreachable, ObjectBlockstore, ObjectStoreFailed
from ipfs.pins.pin import Pin
from ipfs.pins.store import PinStore
from ipfs.repository import Repository
from tests.support.s3 import BUCKET, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def store(server: None, request: pytest.FixtureRequest) -> Iterator[ObjectBlockstore]:
    with ObjectBlockstore.at(f"s3://{BUCKET}/{request.node.name}") as store:
        store.require_reachable()
        yield store


def block(number: int, size_bytes: int = 1_000) -> Block:
    return Block.of(Codec.RAW, number.to_bytes(4) * (size_bytes // 4))


def multihashes(cids: Iterator[CID] | ObjectBlockstore) -> set[bytes]:
    return {cid.multihash for cid in cids}


def test_blocks_come_and_go_over_s3(store: ObjectBlockstore) -> None:
    blocks = [block(number) for number in range(1_050)] + [block(5_000, 2 << 20)]
    store.put(blocks)
    assert multihashes(store) == {each.cid.multihash for each in blocks}
    assert [store.get(each.cid) for each in blocks[::100]] == blocks[::100]
    assert store.size_bytes(blocks[-1].cid) == 2 << 20
    store.delete(each.cid for each in [*blocks[:600], block(9_999)])
    assert multihashes(store) == {each.cid.multihash for each in blocks[600:]}
    with pytest.raises(BlockNotFound):
        store.get(blocks[0].cid)
    assert not store.has(blocks[0].cid)


def test_wrong_bytes_are_never_given_and_a_put_mends_them(
    store: ObjectBlockstore, request: pytest.FixtureRequest
) -> None:
    store.put([block(1), block(2)])
    objects = from_url(f"s3://{BUCKET}/{request.node.name}")
    name = next(each["path"] for page in obstore.list(objects) for each in page)
    obstore.put(objects, name, b"other bytes")
    obstore.put(objects, "notes/readme", b"none of ours")
    read = []
    for each in (block(1), block(2)):
        try:
            read.append(store.get(each.cid))
        except BlockCorrupt as error:
            bad = error.cid
    assert len(read) == 1
    assert len(multihashes(store)) == 2
    store.put([block(1), block(2)])
    assert store.get(bad).cid == bad


def test_garbage_is_collected_from_it_like_from_a_disk(
    store: ObjectBlockstore, tmp_path: Path
) -> None:
    with PinStore(tmp_path / "pins.sqlite") as pins:
        repository = Repository(store, pins)
        store.put([block(1), block(2)])
        repository.pin(Pin(root=block(1).cid))
        assert repository.collect().removed_count == 1
    assert multihashes(store) == {block(1).cid.multihash}


def test_a_server_that_refuses_is_said_so(server: None) -> None:
    with ObjectBlockstore.at("s3://no-such-bucket") as store:
        with pytest.raises(ObjectStoreFailed):
            store.put([block(1)])
        with pytest.raises(ObjectStoreFailed):
            store.require_reachable()
    with pytest.raises(ObjectStoreFailed):
        ObjectBlockstore.at("gopher://old")


def test_a_block_that_cannot_be_asked_for_is_neither_there_nor_gone(
    server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    with ObjectBlockstore.at(f"s3://{BUCKET}") as store:
        for read in (store.get, store.size_bytes, store.has):
            with pytest.raises(BlockUnreachable) as caught:
                read(block(1).cid)
            assert isinstance(caught.value, BlockNotFound)
            assert (caught.value.code, caught.value.cid) == ("object-store-failed", block(1).cid)
            assert "127.0.0.1:1" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("s3://bucket", S3Store),
        ("gs://bucket/with/prefix", GCSStore),
        ("abfss://container@account.dfs.core.windows.net/prefix", AzureStore),
    ],
)
def test_a_url_says_whose_store_it_is(url: str, kind: type[object]) -> None:
    with ObjectBlockstore.at(url) as store:
        assert isinstance(store._objects, kind)


def test_a_folder_will_do(tmp_path: Path) -> None:
    with ObjectBlockstore(LocalStore(tmp_path)) as store:
        store.put([block(1), block(2)])
        store.delete([block(1).cid, block(3).cid])
        assert multihashes(store) == {block(2).cid.multihash}
        assert store.get(block(2).cid) == block(2)
