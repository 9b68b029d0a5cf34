"""CARs: other implementations' files, our own bytes, and what is refused."""

import hashlib
import io
from typing import Any

import pytest

from ipfs import dag_cbor, varint
from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, MemoryBlockstore
from ipfs.car import CarReader, CarVersionUnsupported, car_of, car_size_bytes, write_car
from ipfs.cid import CID, Codec
from ipfs.dag import walk
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError, WrongBlock
from ipfs.unixfs.chunker import FixedSize
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.profiles import ImportSettings
from tests.support.unixfs_vectors import content
from tests.support.vectors import foreign, foreign_path

SMALL = ImportSettings(chunker=FixedSize(100), links_per_node_max=3)


def test_cars_of_other_implementations_read_as_they_said() -> None:
    read: list[int] = []
    for row in foreign("car.json")["cars"]:
        data = foreign_path(row["bytes"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        if not row["accept"]:
            with pytest.raises(PeerError):
                list(CarReader(io.BytesIO(data)))
            continue
        reader = CarReader(io.BytesIO(data))
        blocks = list(reader)
        assert [str(root) for root in reader.roots] == row["roots"]
        assert len(blocks) == row["blocks"], row["file"]
        version = row.get("version", 1)
        if version == 1:
            assert b"".join(write_car(reader.roots, blocks)) == data, row["file"]
        read.append(version)
    assert (read.count(1), read.count(2)) == (39, 6)


def test_a_car_is_the_same_from_whichever_store_made_it() -> None:
    store, other = MemoryBlockstore(), MemoryBlockstore()
    root = import_file(io.BytesIO(content(2_000) * 2), store, SMALL).cid
    car = b"".join(car_of(store, root))
    blocks = list(CarReader(io.BytesIO(car)))
    other.put(reversed(blocks))
    assert b"".join(car_of(other, root)) == car
    assert car_size_bytes(store, root) == len(car)
    assert [block.cid for block in blocks] == list(walk(store, root))
    assert len({block.cid for block in blocks}) == len(blocks), "no block twice"
    assert blocks[0].cid == root, "parents first"


def test_a_dag_with_a_hole_makes_no_car() -> None:
    store = MemoryBlockstore()
    root = import_file(io.BytesIO(content(2_000)), store, SMALL).cid
    *_, last = walk(store, root)
    store.delete([last])
    with pytest.raises(BlockNotFound) as caught:
        list(car_of(store, root))
    assert caught.value.cid == last


def car_bytes() -> bytes:
    block = Block.of(Codec.RAW, b"some bytes")
    return b"".join(write_car([block.cid], [block]))


def test_a_car_cut_short_anywhere_but_between_blocks_is_refused() -> None:
    car = car_bytes()
    header_bytes = 1 + car[0]
    for end in range(len(car)):
        if end == header_bytes:
            assert list(CarReader(io.BytesIO(car[:end]))) == []
            continue
        with pytest.raises(MalformedBytes):
            list(CarReader(io.BytesIO(car[:end])))


def test_a_changed_byte_of_a_block_or_its_digest_is_noticed() -> None:
    car = car_bytes()
    for position in range(len(car) - len(b"some bytes") - 32, len(car)):
        changed = bytearray(car)
        changed[position] ^= 1
        with pytest.raises(PeerError):
            list(CarReader(io.BytesIO(changed)))


def test_a_wrong_block_has_its_own_error() -> None:
    car = car_bytes()
    with pytest.raises(WrongBlock):
        list(CarReader(io.BytesIO(car[:-1] + b"X")))


def framed(header: Any) -> bytes:
    data = dag_cbor.encode(header)
    return varint.encode(len(data)) + data


ROOT = CID.of(Codec.RAW, b"")


@pytest.mark.parametrize(
    "header",
    [
        {"version": 1},
        {"roots": [ROOT]},
        {"roots": ROOT, "version": 1},
        {"roots": ["x"], "version": 1},
        {"roots": [ROOT], "version": 1, "more": 1},
        {"roots": [ROOT], "version": True},
        [],
    ],
)
def test_a_header_is_roots_and_version_and_nothing_else(header: Any) -> None:
    with pytest.raises(MalformedBytes):
        CarReader(io.BytesIO(framed(header)))


def test_other_versions_are_refused_by_number() -> None:
    with pytest.raises(CarVersionUnsupported) as caught:
        CarReader(io.BytesIO(framed({"roots": [ROOT], "version": 3})))
    assert caught.value.version == 3


class Unreadable(io.BytesIO):
    """Fails the test if more is asked for than a length prefix needs."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 < size <= 9
        return super().read(size)


@pytest.mark.parametrize("length", [(8 << 20) + 1, 1 << 30, 1 << 62])
def test_a_claimed_length_is_refused_before_it_is_read(length: int) -> None:
    with pytest.raises(LimitExceeded):
        CarReader(Unreadable(varint.encode(length)))
