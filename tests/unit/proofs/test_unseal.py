"""Unsealing gives back what was sealed, any part of it, and makes no label that it need not."""

import os
from pathlib import Path

import pytest

from proofs.sealed import REPLICA
from proofs.unseal import NodeRange, labels_to_unseal, unseal
from tests.support.sectors import SealedSector, seal_sector


@pytest.fixture
def sector(tmp_path: Path) -> SealedSector:
    return seal_sector(tmp_path)


@pytest.mark.parametrize(("first", "end"), [(0, 1), (0, 64), (1, 2), (31, 33), (40, 64), (63, 64)])
def test_a_range_is_that_range_of_the_data(
    sector: SealedSector, tmp_path: Path, first: int, end: int
) -> None:
    nodes, target, told = NodeRange(first, end), tmp_path / "range", dict[str, int]()

    def tell(stage: str, done: int, total: int) -> None:
        told[stage] = done
        assert done <= total

    unseal(sector.parameters, sector.replica_id, sector.folder, target, nodes, tell)
    assert target.read_bytes() == sector.data_path.read_bytes()[32 * first : 32 * end]
    assert told == {"layer 1": 64, "layer 2": end}
    assert sum(told.values()) == labels_to_unseal(sector.parameters, nodes)


@pytest.mark.parametrize(("first", "end"), [(-1, 3), (3, 3), (5, 4)])
def test_no_nodes_are_no_range(first: int, end: int) -> None:
    with pytest.raises(ValueError, match="no nodes"):
        NodeRange(first, end)


def test_nodes_past_the_end_are_refused(sector: SealedSector, tmp_path: Path) -> None:
    for nodes in (NodeRange(64, 65), NodeRange(0, 65)):
        with pytest.raises(ValueError, match="no node 64"):
            unseal(sector.parameters, sector.replica_id, sector.folder, tmp_path / "none", nodes)
    assert not (tmp_path / "none").exists()


def test_a_replica_cut_short_is_an_error_of_the_disk(sector: SealedSector, tmp_path: Path) -> None:
    os.truncate(sector.folder / REPLICA, 2000)
    with pytest.raises(OSError, match="cut short"):
        unseal(sector.parameters, sector.replica_id, sector.folder, tmp_path / "data")
