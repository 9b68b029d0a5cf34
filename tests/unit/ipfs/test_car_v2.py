"""CARv2: its header, its index in both kinds, and what is refused."""

import io
import struct
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from ipfs import varint
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.car import (
    CarReader,
    CarVersionUnsupported,
    car_of,
    car_v2_of,
    encode_header,
    encode_section,
)
from ipfs.car_v2 import PRAGMA, CarV2Header, IndexCheck, IndexEntry, decode_index, encode_index
from ipfs.cid import CID, Codec, HashCode
from ipfs.errors import MalformedBytes, PeerError
from ipfs.unixfs.chunker import FixedSize
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.profiles import ImportSettings
from tests.support.unixfs_vectors import content
from tests.support.vectors import foreign, foreign_path

SMALL = ImportSettings(chunker=FixedSize(100), links_per_node_max=3)


@pytest.fixture
def dag() -> tuple[MemoryBlockstore, CID]:
    store = MemoryBlockstore()
    return store, import_file(io.BytesIO(content(1_000)), store, SMALL).cid


class Pipe:
    """Gives few bytes at a time, and cannot be gone back in."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._ahead = pieces, b""

    def read(self, size: int, /) -> bytes:
        self._ahead = self._ahead or next((piece for piece in self._pieces if piece), b"")
        data, self._ahead = self._ahead[: min(size, 7)], self._ahead[min(size, 7) :]
        return data


def test_what_is_written_through_a_pipe_is_read_from_one(dag: tuple[MemoryBlockstore, CID]) -> None:
    store, root = dag
    reader = CarReader(Pipe(car_v2_of(store, root)))
    assert reader.roots == (root,)
    assert list(reader) == list(CarReader(io.BytesIO(b"".join(car_of(store, root)))))


def test_the_data_is_the_car_of_version_one_and_the_index_finds_every_block(
    dag: tuple[MemoryBlockstore, CID],
) -> None:
    store, root = dag
    car, car_v2 = b"".join(car_of(store, root)), b"".join(car_v2_of(store, root))
    header = CarV2Header.decode(car_v2[len(PRAGMA) : len(PRAGMA) + 40])
    assert car_v2[header.data_offset : header.index_offset] == car
    source = io.BytesIO(car_v2[header.index_offset :])
    entries = list(decode_index(source.read, data_bytes=header.data_bytes))
    assert source.read() == b""
    assert {entry.digest for entry in entries} == {cid.digest for cid in store}
    for entry in entries:
        length, cid_at = varint.decode(car, entry.offset)
        cid, data_at = CID.decode_prefix(car, cid_at)
        assert (cid.hash_code, cid.digest) == (entry.hash_code, entry.digest)
        assert cid.matches(car[data_at : cid_at + length])


def _multihash(entry: IndexEntry) -> bytes:
    assert entry.hash_code is not None
    return CID.from_digest(Codec.RAW, entry.hash_code, entry.digest).multihash


OF_A_DRAFT = "0100"
"""How the index of one fixture begins, which has no codec: with the count of its widths."""


def test_indexes_of_other_implementations_find_their_blocks() -> None:
    kinds = set()
    for row in foreign("car.json")["cars"]:
        if row.get("version") != 2:
            continue
        data = foreign_path(row["bytes"]).read_bytes()
        header = CarV2Header.decode(data[len(PRAGMA) : len(PRAGMA) + 40])
        if not header.index_offset:
            continue
        kind = data[header.index_offset : header.index_offset + 2].hex()
        kinds.add(kind)
        source = io.BytesIO(data[header.index_offset :])
        entries = list(decode_index(source.read, data_bytes=header.data_bytes))
        blocks = list(CarReader(io.BytesIO(data)))
        indexed = [block for block in blocks if block.cid.hash_code != HashCode.IDENTITY]
        assert len(entries) == len(indexed)
        for entry in entries:
            _, cid_at = varint.decode(data, header.data_offset + entry.offset)
            cid, _ = CID.decode_prefix(data, cid_at)
            assert cid.digest == entry.digest
            assert entry.hash_code in {None, cid.hash_code}
        if kind != OF_A_DRAFT:
            places = [(_multihash(entry), entry.offset) for entry in entries]
            assert b"".join(encode_index(places)) == data[header.index_offset :]
    assert kinds == {"8108", OF_A_DRAFT}


def test_the_older_kind_of_index_is_read() -> None:
    digests = sorted(CID.of(Codec.RAW, bytes([at])).digest for at in range(3))
    entries = b"".join(digest + struct.pack("<Q", at) for at, digest in enumerate(digests))
    index = b"\x80\x08" + struct.pack("<iIQ", 1, 40, len(entries)) + entries
    assert list(decode_index(io.BytesIO(index).read, data_bytes=3)) == [
        IndexEntry(None, digest, at) for at, digest in enumerate(digests)
    ]


def test_an_index_keeps_functions_and_widths_apart() -> None:
    cids = [
        CID.of(Codec.RAW, b"a"),
        CID.of(Codec.RAW, b"b", hash_code=HashCode.SHA2_512),
        CID.of(Codec.RAW, b"c"),
        CID.from_digest(Codec.RAW, HashCode.IDENTITY, b"abc"),
        CID.from_digest(Codec.RAW, HashCode.IDENTITY, b"abcd"),
    ]
    index = b"".join(encode_index((cid.multihash, at) for at, cid in enumerate(cids)))
    entries = decode_index(io.BytesIO(index).read, data_bytes=len(cids))
    assert set(entries) == {
        IndexEntry(cid.hash_code, cid.digest, at) for at, cid in enumerate(cids)
    }


def test_cut_short_anywhere_it_is_refused(dag: tuple[MemoryBlockstore, CID]) -> None:
    store, root = dag
    car = b"".join(car_v2_of(store, root))
    for end in range(len(car)):
        with pytest.raises(PeerError):
            list(CarReader(io.BytesIO(car[:end])))


BLOCK = Block.of(Codec.RAW, b"some bytes")


def car_v2(
    data_offset: int, data_bytes: int, index_offset: int, rest: bytes, *, characteristics: int = 0
) -> bytes:
    places = struct.pack("<QQQ", data_offset, data_bytes, index_offset)
    return PRAGMA + characteristics.to_bytes(16) + places + rest


def car_v1() -> bytes:
    store = MemoryBlockstore()
    store.put([BLOCK])
    return b"".join(car_of(store, BLOCK.cid))


def test_room_between_the_parts_is_passed_over() -> None:
    car = car_v1()
    index = b"".join(encode_index([(BLOCK.cid.multihash, 59)]))
    data = car_v2(60, len(car), 70 + len(car), bytes(9) + car + bytes(10) + index)
    reader = CarReader(io.BytesIO(data))
    assert list(reader) == [BLOCK]
    indexless = CarReader(io.BytesIO(car_v2(51, len(car), 0, car)))
    assert list(indexless) == [BLOCK]


@pytest.mark.parametrize(
    ("data_offset", "data_bytes", "index_offset"),
    [(50, 0, 0), (51, 0, 0), (51, -1, 0), (51, 1, 0), (51, 0, 52), (1 << 40, 0, 0)],
)
def test_parts_that_are_not_where_they_are_said_to_be_are_refused(
    data_offset: int, data_bytes: int, index_offset: int
) -> None:
    car = car_v1()
    size = data_bytes + len(car) if (data_offset, index_offset) != (51, 0) or data_bytes else 0
    with pytest.raises(PeerError):
        list(CarReader(io.BytesIO(car_v2(data_offset, size, index_offset, car))))


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"\x55",
        b"\x82\x08\x00\x00",
        b"\x80\x80\xc0\x01",
        b"\x81\x08" + struct.pack("<i", -1),
        b"\x81\x08" + struct.pack("<i", 1 << 30),
        b"\x80\x08" + struct.pack("<iIQ", 1, 7, 7) + bytes(7),
        b"\x80\x08" + struct.pack("<iIQ", 1, 1 << 31, 1 << 40),
        b"\x80\x08" + struct.pack("<iIQ", 1, 40, 41) + bytes(41),
        b"\x80\x08" + struct.pack("<iIQ", 1, 9, 18) + b"b" + bytes(8) + b"a" + bytes(8),
        b"\x80\x08" + struct.pack("<iIQ", 1, 9, 9) + b"a" + b"\xff" * 8,
    ],
)
def test_an_index_that_is_none_is_refused(index: bytes) -> None:
    car = car_v1()
    with pytest.raises(PeerError):
        list(CarReader(io.BytesIO(car_v2(51, len(car), 51 + len(car), car + index))))


def test_a_car_of_version_two_holds_one_of_version_one() -> None:
    inner = car_v2(51, len(car_v1()), 0, car_v1())
    with pytest.raises(CarVersionUnsupported):
        CarReader(io.BytesIO(car_v2(51, len(inner), 0, inner)))


BLOCKS = (
    BLOCK,
    Block(CID.of(Codec.RAW, b"more", hash_code=HashCode.SHA2_512), b"more"),
    Block(CID.of(Codec.RAW, b"itself", hash_code=HashCode.IDENTITY), b"itself"),
    BLOCK,
)
FULLY_INDEXED = 1 << 127


WriteIndex = Callable[[Sequence[IndexEntry]], bytes]


def indexed_car(index: WriteIndex, *, characteristics: int = 0) -> bytes:
    """Return the CAR of all `BLOCKS`, and the index that is made of their right entries."""
    car, entries = encode_header([BLOCK.cid]), []
    for block in BLOCKS:
        entries.append(IndexEntry(block.cid.hash_code, block.cid.digest, len(car)))
        car += encode_section(block) + block.data
    end = 51 + len(car)
    return car_v2(51, len(car), end, car + index(entries), characteristics=characteristics)


def with_codes(entries: Sequence[IndexEntry]) -> bytes:
    return b"".join(encode_index((_multihash(entry), entry.offset) for entry in entries))


def without_codes(entries: Sequence[IndexEntry]) -> bytes:
    widths: dict[int, list[bytes]] = {}
    for entry in entries:
        widths.setdefault(len(entry.digest) + 8, []).append(
            entry.digest + struct.pack("<Q", entry.offset)
        )
    groups = [
        struct.pack("<IQ", width, width * len(told)) + b"".join(sorted(told))
        for width, told in sorted(widths.items())
    ]
    return b"\x80\x08" + struct.pack("<i", len(groups)) + b"".join(groups)


def of_a_draft(entries: Sequence[IndexEntry]) -> bytes:
    return without_codes(entries)[2:]


def hashed(entries: Sequence[IndexEntry]) -> list[IndexEntry]:
    return [entry for entry in entries if entry.hash_code != HashCode.IDENTITY]


kinds = pytest.mark.parametrize("write", [with_codes, without_codes, of_a_draft])


@kinds
def test_an_index_tells_of_all_blocks_or_of_all_but_those_that_carry_themselves(
    write: WriteIndex,
) -> None:
    for car in (
        indexed_car(write),
        indexed_car(write, characteristics=FULLY_INDEXED),
        indexed_car(lambda entries: write(hashed(entries))),
    ):
        assert list(CarReader(io.BytesIO(car))) == list(BLOCKS)
        with pytest.raises(MalformedBytes):
            list(CarReader(io.BytesIO(car + b"\0")))


@kinds
def test_an_index_of_other_blocks_or_places_is_refused(
    write: WriteIndex,
) -> None:
    code = CID.of(Codec.RAW, b"absent")
    absent = IndexEntry(code.hash_code, code.digest, 1)
    for car in (
        indexed_car(lambda entries: write(hashed(entries)), characteristics=FULLY_INDEXED),
        indexed_car(lambda entries: write(entries[1:])),
        indexed_car(lambda entries: write([*entries, entries[0]])),
        indexed_car(lambda entries: write([*entries[1:], absent])),
        indexed_car(lambda entries: write([replace(entries[0], offset=7), *entries[1:]])),
        indexed_car(lambda _: write([])),
    ):
        with pytest.raises(MalformedBytes):
            list(CarReader(io.BytesIO(car)))


@pytest.mark.parametrize("bit", [0, 7, 64, 126])
def test_a_characteristic_without_a_meaning_is_refused(bit: int) -> None:
    car = car_v1()
    with pytest.raises(MalformedBytes):
        CarReader(io.BytesIO(car_v2(51, len(car), 0, car, characteristics=1 << bit)))


def test_what_comes_behind_the_data_is_an_index_or_refused() -> None:
    car = car_v1()
    with pytest.raises(MalformedBytes):
        list(CarReader(io.BytesIO(car_v2(51, len(car), 0, car + b"\0"))))


def test_the_check_of_an_index_takes_no_memory_by_the_block() -> None:
    check = IndexCheck()
    entries = (IndexEntry(HashCode.SHA2_256, bytes(32), offset) for offset in range(20_000))
    tracemalloc.start()
    for entry in entries:
        check.read(entry)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 10_000
