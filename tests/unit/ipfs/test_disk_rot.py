"""Bits that flip on the disk: each is found, none is served, and what can be mended is."""

import random
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from ipfs.block import Block
from ipfs.blockstore import BlockNotFound
from ipfs.cid import CID, Codec
from ipfs.disk import DiskBlockstore
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
    assert report.block_count >= len(LIVE)
    assert told == sorted(told)
    assert (
        told[-1]
        == report.read_bytes
        == sum(path.stat().st_size for path in whole.glob("*.segment"))
    )
