"""Damage on the disk and death while sealing: told as what they are, never proven over."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from proofs import porep, post
from proofs.hashing import NODE_BYTES
from proofs.seal import seal
from proofs.sealed import (
    MANIFEST,
    REPLICA,
    TREE_C,
    TREE_D,
    TREE_R_LAST,
    SealedCommitments,
    WrongSector,
    layer_name,
    read_manifest,
)
from tests.support.cheats import (
    is_rejected,
)
from tests.support.sectors import SealedSector, seal_sector


@pytest.mark.parametrize("name", [REPLICA, TREE_R_LAST, TREE_D, TREE_C, layer_name(1)])
@pytest.mark.parametrize("left", [0.0, 0.25, 0.5])
def test_a_file_cut_short_is_an_error_of_the_disk(tmp_path: Path, name: str, left: float) -> None:
    sector = seal_sector(tmp_path)
    path = sector.folder / name
    os.truncate(path, int(path.stat().st_size * left))
    with pytest.raises(OSError, match="cut short"):
        porep.prove(sector.porep_statement(), sector.folder)


# Of the tree an answer has only what cannot be computed from its leaves.
@pytest.mark.parametrize(("name", "touched_min"), [(REPLICA, 40), (TREE_R_LAST, 3)])
def test_every_rotten_bit_that_an_answer_touches_spoils_it(
    tmp_path: Path, name: str, touched_min: int
) -> None:
    sector = seal_sector(tmp_path)
    window, path = sector.window_statement(), sector.folder / name
    whole = path.read_bytes()
    right = post.prove(window, sector.folder)
    touched = 0
    for start in range(0, len(whole), NODE_BYTES):
        rotten = bytearray(whole)
        rotten[start + start % NODE_BYTES] ^= 1
        path.write_bytes(rotten)
        answer = post.prove(window, sector.folder)
        assert is_rejected(post.verify, window, answer) == (answer != right)
        touched += answer != right
    assert touched >= touched_min


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b"comm_r_last", b"comm_r_lost"),
        lambda text: text.replace(b"sdr-sha256-2KiB", b"sdr-sha256-3KiB"),
        lambda text: text.replace(b'": "', b'": "zz'),
        lambda text: b"[]",
        lambda text: b"7",
        lambda text: b"\xff" * 40,
        lambda text: b'{"proof_type": "sdr-sha256-2KiB", "replica_id": 7}',
        lambda text: text.replace(b'"comm_r": "', b'"comm_r": "00'),
    ],
)
def test_a_damaged_manifest_is_an_error_of_the_disk(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    sector = seal_sector(tmp_path)
    path = sector.folder / MANIFEST
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(OSError, match="manifest is damaged"):
        post.prove(sector.window_statement(), sector.folder)
    with pytest.raises(OSError, match="manifest is damaged"):
        porep.prove(sector.porep_statement(), sector.folder)


def test_a_prover_does_not_answer_for_a_replica_that_it_does_not_have(
    tmp_path: Path,
) -> None:
    sector = seal_sector(tmp_path)
    with pytest.raises(WrongSector):
        porep.prove(replace(sector.porep_statement(), comm_r=bytes(32)), sector.folder)


SEAL_AND_WAIT = """
import sys
from pathlib import Path
from proofs.parameters import ProofType
from proofs.registry import parameters_of
from proofs.seal import seal

def wait(stage, done, total):
    print(stage, flush=True)
    sys.stdin.readline()

replica_id, data, folder = bytes.fromhex(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
seal(parameters_of(ProofType.SDR_2KIB), replica_id, data, folder, wait)
"""


STAGES = ["tree D", "layer 1", "layer 2", "replica and columns", "tree C", "tree R"]


def seal_again(sector: SealedSector, folder: Path) -> tuple[SealedCommitments, list[str]]:
    """Return what sealing comes to, and the stages that it did."""
    stages: dict[str, None] = {}
    with ThreadPoolExecutor(2) as pool:
        found = seal(
            sector.parameters, sector.replica_id, sector.data_path, folder,
            lambda stage, *_: stages.setdefault(stage), pool,
        )  # fmt: skip
    return found, list(stages)


@pytest.mark.parametrize(
    ("name", "made_again"),
    [
        ("tree_d", ["tree D"]),
        ("layer-1", ["layer 1", "layer 2"]),
        ("layer-2", ["layer 2"]),
        ("replica", ["replica and columns", "tree C"]),
        ("tree_c", ["replica and columns", "tree C"]),
        ("tree_r_last", ["tree R"]),
        ("journal.json", STAGES),
        ("manifest.json", []),
    ],
)
@pytest.mark.parametrize("damage", ["cut short", "a bit flipped", "gone"])
def test_a_file_that_is_not_what_it_was_is_made_again(
    tmp_path: Path, name: str, made_again: list[str], damage: str
) -> None:
    sector = seal_sector(tmp_path)
    path = sector.folder / name
    whole = path.read_bytes()
    (sector.folder / MANIFEST).write_text("{")
    match damage:
        case "cut short":
            path.write_bytes(whole[:-3])
        case "a bit flipped":
            path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        case _:
            path.unlink()
    assert seal_again(sector, sector.folder) == (sector.commitments, made_again)
    assert path.read_bytes() == whole
    porep.verify(sector.porep_statement(), porep.prove(sector.porep_statement(), sector.folder))


def test_what_another_sector_left_is_not_gone_on_with(tmp_path: Path) -> None:
    sector = seal_sector(tmp_path)
    (sector.folder / MANIFEST).unlink()
    other = replace(sector, replica_id=bytes(32))
    found, stages = seal_again(other, sector.folder)
    assert found.comm_r != sector.commitments.comm_r
    assert stages == STAGES


@pytest.mark.parametrize(
    "text", ["", "7", "{}", '{"files": 7}', '{"files": {"tree_d": {}}}', "\xff", "[]"]
)
def test_a_damaged_journal_counts_as_none(tmp_path: Path, text: str) -> None:
    sector = seal_sector(tmp_path)
    (sector.folder / MANIFEST).unlink()
    (sector.folder / "journal.json").write_text(text, "latin-1")
    assert seal_again(sector, sector.folder) == (sector.commitments, STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_sealing_that_was_killed_goes_on(tmp_path: Path, stage: str) -> None:
    sector, folder = seal_sector(tmp_path), tmp_path / "again"
    with subprocess.Popen(
        [sys.executable, "-c", SEAL_AND_WAIT, sector.replica_id.hex(), sector.data_path, folder],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "HOLDFAST_KERNELS": "hashlib"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sealing:
        assert sealing.stdin is not None
        assert sealing.stdout is not None
        while sealing.stdout.readline().strip() != stage:
            sealing.stdin.write("\n")
            sealing.stdin.flush()
        sealing.kill()
    assert read_manifest(folder) is None
    with pytest.raises(WrongSector):
        post.prove(sector.window_statement(), folder)
    found, stages = seal_again(sector, folder)
    assert found == sector.commitments
    # A tree over columns is begun with them, as the labels are not kept in memory for it.
    first = "replica and columns" if stage == "tree C" else stage
    assert stages == STAGES[STAGES.index(first) :]
    porep.verify(sector.porep_statement(), porep.prove(sector.porep_statement(), folder))
