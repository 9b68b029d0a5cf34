"""Blocks as objects, against a real S3 server on loopback and a folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import obstore
import pytest
from obstore.store import LocalStore, from_url

from ipfs.block import Block
from ipfs.blockstore import BlockCorrupt, BlockNotFound
from ipfs.cid import CID, Codec
from ipfs.object_store import ObjectBlockstore, ObjectStoreFailed
from ipfs.pins.pin import Pin
from ipfs.pins.store import PinStore
from ipfs.repository import Repository
from tests.support.s3 import BUCKET, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[Mapping[str, str]]:
    with s3_server() as settings:
        yield settings


@pytest.fixture
def store(server: Mapping[str, str], request: pytest.FixtureRequest) -> Iterator[ObjectBlockstore]:
    url = f"s3://{BUCKET}/{request.node.name}"
    with ObjectBlockstore.at(url, server, allow_http=True) as store:
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
    store: ObjectBlockstore, server: Mapping[str, str], request: pytest.FixtureRequest
) -> None:
    store.put([block(1), block(2)])
    objects = from_url(
        f"s3://{BUCKET}/{request.node.name}",
        config=cast("Any", dict(server)),
        client_options={"allow_http": True},
    )
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


def test_a_server_that_is_gone_or_refuses_is_said_so(server: Mapping[str, str]) -> None:
    with ObjectBlockstore.at("s3://no-such-bucket", server, allow_http=True) as store:
        with pytest.raises(ObjectStoreFailed):
            store.put([block(1)])
        with pytest.raises(ObjectStoreFailed):
            list(store)
    with pytest.raises(ObjectStoreFailed):
        ObjectBlockstore.at("gopher://old", {})


def test_a_folder_will_do(tmp_path: Path) -> None:
    with ObjectBlockstore(LocalStore(tmp_path)) as store:
        store.put([block(1), block(2)])
        store.delete([block(1).cid, block(3).cid])
        assert multihashes(store) == {block(2).cid.multihash}
        assert store.get(block(2).cid) == block(2)
