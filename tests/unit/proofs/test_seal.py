"""Sealing is reversible, idempotent and starts over when it was torn."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proofs import porep, post
from proofs.graph import Graph
from proofs.hashing import column_hash, comm_r
from proofs.merkle import as_nodes, build_rows
from proofs.replica import encode, label, prover_id
from proofs.seal import seal, write_sector_data
from proofs.sealed import MANIFEST, WrongSector, drop_proving_cache
from proofs.unseal import read_piece, unseal
from tests.support.sectors import SealedSector, seal_sector, some_bytes


@pytest.fixture
def sector(tmp_path: Path) -> SealedSector:
    return seal_sector(tmp_path)


def seal_again(sector: SealedSector) -> bytes:
    return seal(sector.parameters, sector.replica_id, sector.data_path, sector.folder).comm_r


def test_sealing_commits_to_what_the_readable_functions_say(sector: SealedSector) -> None:
    parameters, data = sector.parameters, as_nodes(sector.data_path.read_bytes())
    graph = Graph(parameters.node_count, parameters.porep_id)
    layers: list[list[bytes]] = []
    for number in range(1, parameters.layers + 1):
        labels = [label(sector.replica_id, number, 0, ())]
        for node in range(1, parameters.node_count):
            parents = graph.parents(node)
            known = [labels[parent] for parent in parents[:6]]
            known += [layers[-1][parent] for parent in parents[6:] if layers]
            labels.append(label(sector.replica_id, number, node, known))
        layers.append(labels)
    columns = b"".join(column_hash(b"".join(column)) for column in zip(*layers, strict=True))
    replica = b"".join(
        encode(node.tobytes(), key) for node, key in zip(data, layers[-1], strict=True)
    )
    comm_c = build_rows(as_nodes(columns))[-1].tobytes()
    comm_r_last = build_rows(as_nodes(replica))[-1].tobytes()
    assert sector.commitments.comm_d == build_rows(data)[-1].tobytes()
    assert sector.commitments.comm_c == comm_c
    assert sector.commitments.comm_r_last == comm_r_last
    assert sector.commitments.comm_r == comm_r(comm_c, comm_r_last)


def test_unsealing_gives_the_data_back(sector: SealedSector, tmp_path: Path) -> None:
    drop_proving_cache(sector.folder, sector.parameters)
    target = tmp_path / "unsealed"
    unseal(sector.parameters, sector.replica_id, sector.folder, target)
    assert target.read_bytes() == sector.data_path.read_bytes()
    assert [path.name for path in tmp_path.glob("unsealed*")] == ["unsealed"]
    for payload, offset in zip(sector.payloads, sector.offsets_bytes, strict=True):
        read_piece(target, offset, len(payload), tmp_path / "payload")
        assert (tmp_path / "payload").read_bytes() == payload


def test_a_piece_of_data_cut_short_is_an_error(sector: SealedSector, tmp_path: Path) -> None:
    os.truncate(sector.data_path, 1500)
    with pytest.raises(OSError, match="cut short"):
        read_piece(sector.data_path, 1024, 900, tmp_path / "payload")


def test_a_whole_sector_is_not_sealed_again(sector: SealedSector) -> None:
    sector.data_path.unlink()
    assert seal_again(sector) == sector.commitments.comm_r
    drop_proving_cache(sector.folder, sector.parameters)
    drop_proving_cache(sector.folder, sector.parameters)
    assert seal_again(sector) == sector.commitments.comm_r


def test_a_torn_sector_is_begun_again(sector: SealedSector) -> None:
    (sector.folder / MANIFEST).rename(sector.folder / f"{MANIFEST}.new")
    (sector.folder / "layer-1").write_bytes(b"half a layer")
    (sector.folder / "replica").unlink()
    assert seal_again(sector) == sector.commitments.comm_r
    porep.verify(sector.porep_statement(), porep.prove(sector.porep_statement(), sector.folder))


def test_a_folder_of_another_sector_is_left_alone(sector: SealedSector, tmp_path: Path) -> None:
    other = some_bytes("other", 32)[:-1] + b"\0"
    with pytest.raises(WrongSector):
        seal(sector.parameters, other, sector.data_path, sector.folder)
    with pytest.raises(WrongSector):
        unseal(sector.parameters, other, sector.folder, tmp_path / "unsealed")
    assert seal_again(sector) == sector.commitments.comm_r


def test_the_proving_cache_is_only_for_replication(sector: SealedSector) -> None:
    whole = sum(path.stat().st_size for path in sector.folder.iterdir())
    drop_proving_cache(sector.folder, sector.parameters)
    left = sum(path.stat().st_size for path in sector.folder.iterdir())
    assert left < 3 * sector.parameters.sector_size_bytes < whole
    statement = sector.window_statement()
    post.verify(statement, post.prove(statement, sector.folder))
    with pytest.raises(FileNotFoundError):
        porep.prove(sector.porep_statement(), sector.folder)


def test_progress_ends_where_it_said_it_would(sector: SealedSector, tmp_path: Path) -> None:
    stages: dict[str, list[tuple[int, int]]] = {}

    def watch(stage: str, done: int, total: int) -> None:
        stages.setdefault(stage, []).append((done, total))

    seal(sector.parameters, sector.replica_id, sector.data_path, tmp_path / "again", watch)
    assert {"tree D", "layer 1", "layer 2", "tree C", "tree R"} <= set(stages)
    for steps in stages.values():
        assert steps[-1][0] == steps[-1][1]


def test_data_that_is_no_sector_is_refused(sector: SealedSector, tmp_path: Path) -> None:
    for bad in (bytes(1024), b"\xff" * 2048):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(ValueError, match="the data"):
            seal(sector.parameters, sector.replica_id, tmp_path / "bad", tmp_path / "folder")


def test_a_piece_past_the_end_of_the_sector_is_refused(tmp_path: Path) -> None:
    (tmp_path / "piece").write_bytes(bytes(254))
    with pytest.raises(ValueError, match="end of the sector"):
        write_sector_data([(tmp_path / "piece", 1920)], 2048, tmp_path / "data")


def test_a_full_disk_is_an_error_before_it_is_written_to(tmp_path: Path) -> None:
    code = """
import resource, sys
import errno
import os
import subprocess
import sys
from pathlib import Path
from proofs.sealed import create_nodes
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    create_nodes(Path(sys.argv[1]), 1 << 16)
except OSError as error:
    print("refused", error.errno)
"""
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "nodes")],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"refused {errno.EFBIG}\n"


def test_a_prover_id_is_a_varint() -> None:
    assert prover_id(1000) == bytes([0xE8, 0x07]) + bytes(30)
    assert prover_id(0) == bytes(32)
    assert prover_id((1 << 63) - 1) == b"\xff" * 8 + b"\x7f" + bytes(23)
