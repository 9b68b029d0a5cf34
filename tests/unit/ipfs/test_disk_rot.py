"""Bits that flip on the disk: each is found, none is served, and what can be mended is."""

import hashlib
import random
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs.block import Block
from ipfs.blockstore import BlockNotFound
from ipfs.cid import CID, Codec, HashCode
from ipfs.disk import DiskBlockstore
from ipfs.disk_reader import DiskReader
from ipfs.segments.record import checksum
from ipfs.segments.scrub import ScrubReport

SEGMENT_BYTES = 20_000
PLACES = 120
BLOCKS = [
    Block.of(Codec.RAW, random.Random(number).randbytes(200 + number * 61 % 3_000))
    for number in range(60)
]
DELETED = BLOCKS[5::9]
LIVE = [block for block in BLOCKS if block not in DELETED]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rot") / "whole"
    with DiskBlockstore(folder, segment_bytes_max=SEGMENT_BYTES) as store:
        for block in BLOCKS:
            store.put([block])
        store.delete(block.cid for block in DELETED)
    return folder


def damaged_copy(whole: Path, folder: Path, places: list[tuple[str, int]]) -> Path:
    """Return a copy of the store with one bit flipped at each place."""
    shutil.copytree(whole, folder)
    for name, bit in places:
        data = bytearray((folder / name).read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(data)
    return folder


def places_in(whole: Path, pattern: str, count: int, *, seed: int) -> list[tuple[str, int]]:
    luck = random.Random(seed)
    files = sorted(whole.glob(pattern))
    sizes = [path.stat().st_size for path in files]
    chosen = luck.choices(files, sizes, k=count)
    return [(path.name, luck.randrange(path.stat().st_size * 8)) for path in chosen]


def read_all(store: DiskBlockstore) -> set[CID]:
    """Return what can be read, every byte right."""
    read = set()
    for block in BLOCKS:
        with suppress(BlockNotFound):
            assert store.get(block.cid).data == block.data
            read.add(block.cid)
    return read


@pytest.mark.parametrize("place", range(PLACES))
def test_one_flipped_bit_is_found_and_costs_a_block_at_most(
    place: int, whole: Path, tmp_path: Path
) -> None:
    pattern = "*.segment" if place % 2 else "index.*"
    [(name, bit)] = places_in(whole, pattern, 1, seed=place)
    folder = damaged_copy(whole, tmp_path / "store", [(name, bit)])
    with DiskBlockstore(folder, segment_bytes_max=SEGMENT_BYTES) as store:
        report = store.scrub()
        assert not report.is_clean
        if pattern == "*.segment":
            assert any(d.start <= bit // 8 < d.end for d in report.damage), report
        present = read_all(store)
        lost = {block.cid for block in LIVE} - present
        assert present <= {block.cid for block in LIVE}, "nothing deleted came back"
        assert lost == set(report.lost)
        assert len(lost) <= (pattern == "*.segment")
        again = store.scrub()
        assert not again.damage, "the damaged segment was written anew"
        store.put(block for block in LIVE if block.cid in lost)
    with DiskBlockstore(folder) as store:
        assert store.scrub().is_clean
        assert read_all(store) == {block.cid for block in LIVE}


def test_reads_alone_never_give_a_wrong_byte(whole: Path, tmp_path: Path) -> None:
    for seed in range(40):
        folder = damaged_copy(whole, tmp_path / str(seed), places_in(whole, "*", 8, seed=seed))
        with DiskBlockstore(folder, segment_bytes_max=SEGMENT_BYTES) as store:
            assert len(read_all(store)) >= len(LIVE) - 8
        shutil.rmtree(folder)


def test_a_thousand_bits_at_once_are_all_found(whole: Path, tmp_path: Path) -> None:
    places = places_in(whole, "*.segment", 1_000, seed=7)
    flipped = {place for place in places if places.count(place) % 2}
    folder = damaged_copy(whole, tmp_path / "store", places)
    by_id = {path.name: int(path.name.split("-")[0]) for path in whole.glob("*.segment")}
    with DiskBlockstore(folder, segment_bytes_max=SEGMENT_BYTES) as store:
        report = store.scrub()
        for name, bit in flipped:
            assert any(
                damage.segment == by_id[name] and damage.start <= bit // 8 < damage.end
                for damage in report.damage
            )
        present = read_all(store)
        assert present.isdisjoint(report.lost)
        assert present | set(report.lost) == {block.cid for block in LIVE}


@pytest.mark.parametrize(
    "lie",
    [
        "UPDATE blocks SET data_at = data_at + 1 WHERE multihash = :multihash",
        "UPDATE blocks SET segment = segment + 1 WHERE multihash = :multihash",
        "UPDATE blocks SET data_bytes = data_bytes - 1 WHERE multihash = :multihash",
        "UPDATE blocks SET cid = x'00' WHERE multihash = :multihash",
        "UPDATE blocks SET checksum = zeroblob(16) WHERE multihash = :multihash",
        "DELETE FROM blocks WHERE multihash = :multihash",
        "UPDATE dead SET multihash = x'1234'",
        "UPDATE dead SET data_at = data_at + 1",
        "UPDATE segments SET indexed_bytes = indexed_bytes - 1",
    ],
)
def test_an_index_that_lies_is_made_anew(lie: str, whole: Path, tmp_path: Path) -> None:
    folder = damaged_copy(whole, tmp_path / "store", [])
    (folder / "index.sha256").unlink()
    with DiskBlockstore(folder, segment_bytes_max=SEGMENT_BYTES) as store:
        with sqlite3.connect(folder / "index.sqlite") as database:
            database.execute(lie, {"multihash": LIVE[3].cid.multihash})
        database.close()
        report = store.scrub()
        assert report.index_was_wrong
        assert not report.damage
        assert read_all(store) == {block.cid for block in LIVE}
        assert not store.scrub().damage


def test_a_checksum_that_rotted_costs_no_block(whole: Path, tmp_path: Path) -> None:
    folder = damaged_copy(whole, tmp_path / "store", [])
    with DiskBlockstore(folder) as store:
        with sqlite3.connect(folder / "index.sqlite") as database:
            database.execute("UPDATE blocks SET checksum = zeroblob(16)")
        database.close()
        assert read_all(store) == {block.cid for block in LIVE}


def test_an_index_that_was_closed_with_other_tables_is_made_anew(
    whole: Path, tmp_path: Path
) -> None:
    folder = damaged_copy(whole, tmp_path / "store", [])
    index = folder / "index.sqlite"
    with sqlite3.connect(index) as database:
        database.execute("ALTER TABLE blocks DROP COLUMN checksum")
        database.execute("PRAGMA user_version = 2")
    database.close()
    (folder / "index.sha256").write_bytes(hashlib.sha256(index.read_bytes()).digest())
    with DiskReader(folder) as reader:
        assert {cid for cid in reader if reader.get(cid)} == {block.cid for block in LIVE}


def poly1305(key: bytes, data: bytes) -> bytes:
    """RFC 8439, 2.5.1, in its own words."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    accumulator = 0
    for start in range(0, len(data), 16):
        number = int.from_bytes(data[start : start + 16] + b"\1", "little")
        accumulator = (accumulator + number) * r % (2**130 - 5)
    return ((accumulator + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


@given(data=st.binary(max_size=100), bit=st.integers(min_value=0))
def test_a_checksum_is_poly1305_under_the_digest_and_changes_with_any_bit(
    data: bytes, bit: int
) -> None:
    cid = CID.of(Codec.RAW, data)
    assert checksum(cid, data) == poly1305(cid.digest, data)
    if data:
        rotten = bytearray(data)
        rotten[bit % len(data)] ^= 1 << bit % 8
        assert checksum(cid, bytes(rotten)) != checksum(cid, data)


@pytest.mark.parametrize("digest_bytes", [20, 64])
def test_a_checksum_needs_no_digest_of_32_bytes(digest_bytes: int) -> None:
    code = {20: HashCode.SHA1, 64: HashCode.SHA2_512}[digest_bytes]
    cid = CID.of(Codec.RAW, b"data", hash_code=code)
    assert len(cid.digest) == digest_bytes
    assert checksum(cid, b"data") == poly1305(cid.digest[:32].ljust(32, b"\0"), b"data")


def test_an_index_torn_apart_while_it_is_open_is_made_anew(whole: Path, tmp_path: Path) -> None:
    folder = damaged_copy(whole, tmp_path / "store", [])
    with DiskBlockstore(folder, segment_bytes_max=SEGMENT_BYTES) as store:
        index = folder / "index.sqlite"
        index.write_bytes(index.read_bytes()[:8192] + b"\xff" * (index.stat().st_size - 8192))
        report = store.scrub()
        assert report.index_was_wrong
        assert read_all(store) == {block.cid for block in LIVE}


def test_a_store_in_order_scrubs_clean(whole: Path, tmp_path: Path) -> None:
    folder = damaged_copy(whole, tmp_path / "store", [])
    told: list[int] = []
    with DiskBlockstore(folder) as store:
        report: ScrubReport = store.scrub(on_progress=told.append)
    assert report.is_clean
    assert report.block_count == len(LIVE)
    assert told == sorted(told)
    assert (
        told[-1]
        == report.read_bytes
        == sum(path.stat().st_size for path in whole.glob("*.segment"))
    )
