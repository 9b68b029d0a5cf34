"""A scrub finds every flipped bit, and nothing in a whole sector."""

import os
import random
from pathlib import Path

import pytest

from proofs import post
from proofs.hashing import NODE_BYTES
from proofs.scrub import SCRUBBED_PER_BYTE, Damage, scrub
from proofs.sealed import MANIFEST, REPLICA, TREE_R_LAST
from tests.support.cheats import is_rejected
from tests.support.sectors import SealedSector, seal_sector

NODES = 64


@pytest.fixture(scope="module")
def sector(tmp_path_factory: pytest.TempPathFactory) -> SealedSector:
    return seal_sector(tmp_path_factory.mktemp("scrubbed"))


def damages_of(folder: Path) -> list[Damage]:
    return [damage for checked in scrub(folder) for damage in checked.damages]


def test_a_whole_sector_is_read_once_and_passes(sector: SealedSector) -> None:
    steps = list(scrub(sector.folder))
    assert not any(checked.damages for checked in steps)
    rows = sum((NODES >> row) + (NODES >> row + 1) for row in range(6))
    read_bytes = sum(checked.read_bytes for checked in steps)
    assert read_bytes == (rows + 1) * NODE_BYTES
    size_bytes = sector.parameters.sector_size_bytes
    assert SCRUBBED_PER_BYTE * size_bytes * 0.95 < read_bytes <= SCRUBBED_PER_BYTE * size_bytes


@pytest.mark.parametrize("name", [REPLICA, TREE_R_LAST, MANIFEST])
def test_one_flipped_bit_is_found_where_it_is(sector: SealedSector, name: str) -> None:
    path, luck = sector.folder / name, random.Random(name)
    whole = path.read_bytes()
    try:
        for bit in luck.sample(range(8 * len(whole)), 400):
            at, rotten = bit // 8, bytearray(whole)
            rotten[at] ^= 1 << bit % 8
            path.write_bytes(rotten)
            damages = damages_of(sector.folder)
            assert damages, at
            if name == MANIFEST:
                assert [damage.file for damage in damages] == [MANIFEST]
                continue
            assert any(
                damage.file == name and damage.start_byte <= at < damage.end_byte
                for damage in damages
            ), at
            assert len(damages) <= 2, "only what the bit touches is reported"
    finally:
        path.write_bytes(whole)
    assert not damages_of(sector.folder)


def test_a_lost_region_is_told_as_one(sector: SealedSector) -> None:
    path = sector.folder / REPLICA
    whole = path.read_bytes()
    for start, end in ((0, 2048), (512, 1024), (0, 64), (1984, 2048)):
        path.write_bytes(whole[:start] + bytes(end - start) + whole[end:])
        [damage] = damages_of(sector.folder)
        assert (damage.file, damage.start_byte, damage.end_byte) == (REPLICA, start, end)
    path.write_bytes(whole)


def test_what_passes_is_proven_and_what_would_fail_is_found(sector: SealedSector) -> None:
    """A scrub misses nothing that a window could find."""
    path, window = sector.folder / REPLICA, sector.window_statement()
    whole = path.read_bytes()
    failed = 0
    try:
        for node in range(NODES):
            rotten = bytearray(whole)
            rotten[node * NODE_BYTES] ^= 1
            path.write_bytes(rotten)
            fails = is_rejected(post.verify, window, post.prove(window, sector.folder))
            failed += fails
            assert damages_of(sector.folder) or not fails
    finally:
        path.write_bytes(whole)
    assert failed


@pytest.mark.parametrize("name", [REPLICA, TREE_R_LAST])
def test_what_is_gone_is_told_and_the_rest_still_checked(tmp_path: Path, name: str) -> None:
    sector = seal_sector(tmp_path)
    os.truncate(sector.folder / name, 100)
    assert "cut short" in str(damages_of(sector.folder)[0])
    (sector.folder / name).unlink()
    assert "No such file" in str(damages_of(sector.folder)[0])


def test_a_manifest_that_is_none_is_damage(tmp_path: Path) -> None:
    sector = seal_sector(tmp_path)
    path = sector.folder / MANIFEST
    path.write_text("{")
    assert [damage.file for damage in damages_of(sector.folder)] == [MANIFEST]
    path.unlink()
    assert not list(scrub(sector.folder)), "without a manifest there is no sector"
