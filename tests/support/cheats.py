"""Provers that commit to what they like, under honest trees: what verifying must see through."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from proofs import porep, post
from proofs.errors import ProofRejected
from proofs.graph import Graph
from proofs.hashing import column_hash, comm_r
from proofs.kernels.arrays import NodeArray
from proofs.merkle import as_nodes, build_rows
from proofs.multiproof import distinct, prove_leaves, siblings
from proofs.parameters import BASE_DEGREE, ProofType
from proofs.porep import PorepStatement
from proofs.post import WindowStatement
from proofs.registry import parameters_of
from proofs.replica import encode, label
from tests.support.sectors import SealedSector

Nodes = Sequence[bytes]
SMALL = parameters_of(ProofType.SDR_2KIB)
COUNT = SMALL.node_count
PARENTS = [Graph(COUNT, SMALL.porep_id).parents(node) for node in range(COUNT)]


@dataclass(frozen=True)
class Commitment:
    """What a prover committed to: labels, replica and data of its choice."""

    data: Nodes
    layers: Sequence[Nodes]
    replica: Nodes

    @cached_property
    def columns(self) -> list[bytes]:
        return [b"".join(labels) for labels in zip(*self.layers, strict=True)]

    @cached_property
    def data_rows(self) -> list[NodeArray]:
        return build_rows(as_nodes(b"".join(self.data)))

    @cached_property
    def column_rows(self) -> list[NodeArray]:
        return build_rows(as_nodes(b"".join(map(column_hash, self.columns))))

    @cached_property
    def replica_rows(self) -> list[NodeArray]:
        return build_rows(as_nodes(b"".join(self.replica)))

    @property
    def roots(self) -> tuple[bytes, bytes]:
        return self.column_rows[-1].tobytes(), self.replica_rows[-1].tobytes()

    @property
    def comm_r(self) -> bytes:
        return comm_r(*self.roots)

    def prove_replication(self, statement: PorepStatement) -> bytes:
        asked = distinct(porep.challenges(statement))
        opened = distinct(node for at in asked for node in (at, *PARENTS[at]))
        nodes = [*self.roots]
        nodes += prove_leaves(self.replica_rows, asked)
        nodes += prove_leaves(self.data_rows, asked)
        nodes += [self.columns[node] for node in opened]
        nodes += siblings(self.column_rows, opened)
        return b"".join(nodes)

    def prove_window(self, statement: WindowStatement) -> bytes:
        asked = distinct(post.challenges(statement))
        return b"".join((*self.roots, *prove_leaves(self.replica_rows, asked)))


def labelled(
    replica_id: bytes, chosen: Mapping[tuple[int, int], bytes] | None = None
) -> list[list[bytes]]:
    """Label every layer honestly, from chosen labels, by (layer, node), as if those were right."""
    chosen = chosen or {}
    layers: list[list[bytes]] = []
    for layer in range(1, SMALL.layers + 1):
        labels: list[bytes] = []
        for node in range(COUNT):
            known = [labels[parent] for parent in PARENTS[node][:BASE_DEGREE] if node]
            known += [
                layers[-1][parent] for parent in PARENTS[node][BASE_DEGREE:] if layers and node
            ]
            honest = label(replica_id, layer, node, known)
            labels.append(chosen.get((layer, node), honest))
        layers.append(labels)
    return layers


def encoded(data: Nodes, keys: Nodes) -> list[bytes]:
    return [encode(plain, key) for plain, key in zip(data, keys, strict=True)]


def nodes_of(path: Path) -> list[bytes]:
    return [node.tobytes() for node in as_nodes(path.read_bytes())]


def is_rejected(verify: Callable[[Any, bytes], None], statement: object, proof: bytes) -> bool:
    try:
        verify(statement, proof)
    except ProofRejected:
        return True
    return False


def honest_prover(sector: SealedSector) -> Commitment:
    data, layers = nodes_of(sector.data_path), labelled(sector.replica_id)
    return Commitment(data, layers, encoded(data, layers[-1]))
