"""`holdfast provider scrub`: bit rot is known before the window that would fail of it."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chain.units import SectorNumber
from cli.exits import NO_KEYS, OK, USAGE, VERIFICATION_FAILED
from cli.main import app
from proofs.sealed import MANIFEST, REPLICA, TREE_R_LAST
from provider.disk import SectorDisk
from provider.keys import create_keys
from tests.support.sectors import flip_bit, seal_sector

RUN = CliRunner()
FAST = 10**9


def sectors_in(folder: Path, *numbers: int) -> SectorDisk:
    for number in numbers:
        sector = seal_sector(folder)
        place = folder / "sectors" / str(number)
        place.mkdir(parents=True)
        sector.folder.rename(place / "replica")
    return SectorDisk(folder)


async def scrubbed(disk: SectorDisk, number: int) -> tuple[str, ...]:
    return await disk.scrub(SectorNumber(number), bytes_per_second=FAST, report=lambda _: None)


async def test_damage_is_remembered_until_a_scrub_finds_none(tmp_path: Path) -> None:
    disk = sectors_in(tmp_path, 3, 12)
    assert disk.sealed() == (3, 12)
    replica = disk.replica_folder(SectorNumber(12)) / REPLICA
    flip_bit(replica, 70)
    assert await scrubbed(disk, 3) == ()
    [found] = await scrubbed(disk, 12)
    assert found == "replica, bytes 64 to 128: does not hash to the node above"
    assert await SectorDisk(tmp_path).damages() == {12: (found,)}
    flip_bit(replica, 70)
    assert await scrubbed(disk, 12) == ()
    assert await disk.damages() == {}


async def test_a_disk_that_fails_everywhere_is_told_in_few_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.disk.DAMAGES_TOLD_MAX", 3)
    disk = sectors_in(tmp_path, 0)
    for at in range(0, 2048, 256):
        flip_bit(disk.replica_folder(SectorNumber(0)) / REPLICA, at)
    *told, rest = await scrubbed(disk, 0)
    assert len(told) == 3
    assert rest == "and 5 places more"


async def test_a_sector_cleared_meanwhile_is_not_damaged(tmp_path: Path) -> None:
    disk = sectors_in(tmp_path, 0)
    cleared = disk.replica_folder(SectorNumber(0))

    def clear(_: int) -> None:
        (cleared / MANIFEST).unlink(missing_ok=True)
        (cleared / TREE_R_LAST).unlink(missing_ok=True)

    found = await disk.scrub(SectorNumber(0), bytes_per_second=FAST, report=clear)
    assert found == ()
    assert await disk.damages() == {}
    assert disk.sealed() == ()


async def test_reading_waits_for_its_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, waits = sectors_in(tmp_path, 0), list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("provider.disk.asyncio.sleep", sleep)
    read: list[int] = []
    await disk.scrub(SectorNumber(0), bytes_per_second=1, report=read.append)
    total_bytes = sum(read)
    assert total_bytes - 60 < max(waits) <= total_bytes, "a byte a second, less what it took"
    assert waits == sorted(waits)


def test_the_command_tells_and_ends_with_what_it_found(tmp_path: Path) -> None:
    home = ["--home", str(tmp_path), "--json"]
    assert RUN.invoke(app, ["provider", "scrub", *home]).exit_code == NO_KEYS
    folder = tmp_path / "provider"
    create_keys(folder)
    empty = RUN.invoke(app, ["provider", "scrub", *home])
    assert empty.exit_code == OK, empty.output
    disk = sectors_in(folder, 5)
    whole = RUN.invoke(app, ["provider", "scrub", *home, "--rate", "1GB"])
    assert whole.exit_code == OK, whole.output
    assert json.loads(whole.stdout.splitlines()[-1])["sectors"] == 1
    os.truncate(disk.replica_folder(SectorNumber(5)) / REPLICA, 1000)
    rotten = RUN.invoke(app, ["provider", "scrub", *home, "--rate", "1GB"])
    assert rotten.exit_code == VERIFICATION_FAILED
    damage, error = map(json.loads, rotten.stdout.splitlines())
    assert (damage["type"], damage["sector"]) == ("damage", 5)
    assert "cut short" in damage["what"]
    assert error["code"] == "sector-damaged"
    wrong = RUN.invoke(app, ["provider", "scrub", *home, "--rate", "quickly"])
    assert wrong.exit_code == USAGE
