"""Two sectors sealed together are what each is alone, however far either was, and may die."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from proofs import kernels
from proofs.parameters import ProofType
from proofs.registry import parameters_of
from proofs.seal import SectorToSeal, seal, seal_together
from proofs.sealed import JOURNAL, MANIFEST, SealedCommitments, WrongSector, layer_name
from tests.support.sectors import some_bytes, write_pieces

SMALL = parameters_of(ProofType.SDR_2KIB)
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Sector:
    """One of several: what it is made of, and what it must become."""

    replica_id: bytes
    data_path: Path
    folder: Path
    sealed_alone: SealedCommitments

    def told(self, stages: list[str]) -> SectorToSeal:
        """Return it as it is sealed; its stages are put down as they are told."""

        def tell(stage: str, *_: int) -> None:
            if stage not in stages:
                stages.append(stage)

        return SectorToSeal(self.replica_id, self.data_path, self.folder, tell)


def make(folder: Path, number: int) -> Sector:
    home = folder / str(number)
    home.mkdir()
    _, data_path = write_pieces((some_bytes(f"payload {number}", 900),), SMALL, home)
    replica_id = some_bytes(f"replica {number}", 31) + b"\1"
    alone = seal(SMALL, replica_id, data_path, home / "alone")
    return Sector(replica_id, data_path, home / "together", alone)


@pytest.fixture
def pair(tmp_path: Path) -> list[Sector]:
    return [make(tmp_path, number) for number in range(2)]


def seal_all(sectors: Sequence[Sector]) -> list[list[str]]:
    """Seal them together, hold them to what they are alone; return what each was told."""
    stages: list[list[str]] = [[] for _ in sectors]
    wanted = [sector.told(told) for sector, told in zip(sectors, stages, strict=True)]
    with ThreadPoolExecutor(2) as pool:
        found = seal_together(SMALL, wanted, pool)
    assert found == [sector.sealed_alone for sector in sectors]
    for sector in sectors:
        alone = sector.folder.with_name("alone")
        for path in sorted(alone.iterdir()):
            if path.name != JOURNAL:
                assert (sector.folder / path.name).read_bytes() == path.read_bytes(), path.name
    return stages


@pytest.mark.parametrize("name", kernels.available())
@pytest.mark.parametrize("count", [1, 2, 3])
def test_together_is_as_alone_at_every_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, count: int
) -> None:
    sectors = [make(tmp_path, number) for number in range(count)]
    monkeypatch.setattr(kernels, "level", lambda: kernels.level_of(name))
    first, *others = seal_all(sectors)
    assert first == ["tree D", "layer 1", "layer 2", "replica and columns", "tree C", "tree R"]
    assert others == [first] * (count - 1)


def half_sealed(sector: Sector, layers: int) -> None:
    """Leave of a sealed sector what was whole after so many layers."""
    seal(SMALL, sector.replica_id, sector.data_path, sector.folder)
    names = {JOURNAL, "tree_d", *map(layer_name, range(1, layers + 1))}
    for path in list(sector.folder.iterdir()):
        if path.name not in names:
            path.unlink()


@pytest.mark.parametrize(("layers", "missing"), [(1, ["layer 2"]), (2, [])])
def test_who_is_behind_catches_up_and_nothing_whole_is_made_again(
    pair: list[Sector], layers: int, missing: list[str]
) -> None:
    ahead, behind = pair
    half_sealed(ahead, layers)
    trees = ["replica and columns", "tree C", "tree R"]
    assert seal_all([behind, ahead]) == [
        ["tree D", "layer 1", "layer 2", *trees],
        [*missing, *trees],
    ]
    assert seal_all([behind, ahead]) == [[], []]


def test_one_that_is_whole_or_torn_does_not_keep_the_other(pair: list[Sector]) -> None:
    whole, torn = pair
    seal(SMALL, whole.replica_id, whole.data_path, whole.folder)
    seal(SMALL, torn.replica_id, torn.data_path, torn.folder)
    (torn.folder / MANIFEST).unlink()
    (torn.folder / layer_name(2)).write_bytes(bytes(SMALL.sector_size_bytes))
    assert seal_all(pair) == [[], ["layer 2"]]


def test_a_folder_of_another_sector_stops_both_before_anything_is_made(pair: list[Sector]) -> None:
    first, second = pair
    shutil.copytree(first.folder.with_name("alone"), second.folder)
    with pytest.raises(WrongSector):
        seal_all([first, second])
    shutil.rmtree(second.folder)
    seal_all([first, second])


SEAL_AND_DIE = """
import os, sys
from pathlib import Path
from proofs.parameters import ProofType
from proofs.registry import parameters_of
from proofs.seal import SectorToSeal, seal_together

def die(stage, done, total):
    if stage == sys.argv[1] and done == total:
        os.kill(os.getpid(), 9)

sectors = [
    SectorToSeal(bytes.fromhex(replica_id), Path(data), Path(folder), die)
    for replica_id, data, folder in zip(*[iter(sys.argv[2:])] * 3)
]
seal_together(parameters_of(ProofType.SDR_2KIB), sectors)
"""


@pytest.mark.parametrize("stage", ["tree D", "layer 1", "layer 2", "tree C", "tree R"])
def test_killed_together_each_goes_on_from_its_own_journal(pair: list[Sector], stage: str) -> None:
    arguments = [
        text
        for sector in pair
        for text in (sector.replica_id.hex(), str(sector.data_path), str(sector.folder))
    ]
    killed = subprocess.run(
        [sys.executable, "-c", SEAL_AND_DIE, stage, *arguments], cwd=ROOT, check=False
    )
    assert killed.returncode == -9
    first, second = pair
    seal_all([second])
    seal_all([first])
