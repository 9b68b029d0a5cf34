"""The graph is Filecoin's, to the bit: digests of rust-fil-proofs' `parent_cache.json`."""

import hashlib
import struct

import numpy as np
import pytest

from proofs import kernels
from proofs.graph import Graph
from proofs.kernels.parents import parents
from proofs.parameters import DEGREE, ProofType
from proofs.registry import parameters_of

CHUNK_NODES = 1 << 14
each_level = pytest.mark.parametrize("name", kernels.available())


def porep_id(registered_proof_id: int) -> bytes:
    return registered_proof_id.to_bytes(32, "little")


@pytest.mark.parametrize(
    ("registered_proof_id", "predecessor_first", "digest"),
    [
        (0, False, "3da49221e2ed55371b86d0bf3d6526fcf128af61bed904f966428db1b531750d"),
        (5, True, "840057702eea7652cf97e04306c30fe57174714d90de156a25eddd6075c25b97"),
    ],
    ids=["V1", "V1_1"],
)
def test_the_parents_of_a_small_sector(
    registered_proof_id: int, predecessor_first: bool, digest: str
) -> None:
    graph = Graph(64, porep_id(registered_proof_id), predecessor_first)
    rows = b"".join(struct.pack(f"<{DEGREE}I", *graph.parents(node)) for node in range(64))
    assert hashlib.sha256(rows).hexdigest() == digest


@each_level
def test_the_parents_of_8_mib(name: str) -> None:
    parents = kernels.level_of(name).parents
    parameters = parameters_of(ProofType.SDR_8MIB)
    graph = Graph(parameters.node_count, parameters.porep_id)
    state = hashlib.sha256()
    for first in range(0, parameters.node_count, CHUNK_NODES):
        state.update(parents(graph, first, CHUNK_NODES).tobytes())
    assert state.hexdigest() == "03cd13565ded97c240a5f52e54295ad127bd0461b57904cb3a4d79b097bbecab"


@pytest.mark.parametrize(
    ("node_count", "first", "count"),
    [
        (64, 0, 64),
        (1 << 18, 100_000, 200),
        (1 << 24, (1 << 24) - 100, 100),
        (1 << 31, (1 << 31) - 20, 20),
    ],
    ids=str,
)
@each_level
def test_the_kernels_agree_with_the_readable_graph(
    name: str, node_count: int, first: int, count: int
) -> None:
    graph = Graph(node_count, porep_id(7))
    expected = [graph.parents(node) for node in range(first, first + count)]
    found = kernels.level_of(name).parents(graph, first, count)
    assert np.array_equal(found, np.array(expected))


def test_a_base_parent_comes_before_its_child() -> None:
    graph = Graph(256, porep_id(5))
    for node in range(2, 256):
        base = graph.parents(node)[:6]
        assert base[0] == node - 1
        assert all(parent < node for parent in base)


def test_every_node_is_an_expansion_parent_eight_times() -> None:
    graph = Graph(128, porep_id(5))
    counts = np.bincount(parents(graph, 0, 128)[:, 6:].ravel(), minlength=128)
    assert (counts == 8).all()


@pytest.mark.parametrize("node", [-1, 64])
def test_a_node_outside_the_graph_has_no_parents(node: int) -> None:
    with pytest.raises(IndexError):
        Graph(64, porep_id(5)).parents(node)
