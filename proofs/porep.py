"""Proof of replication: this replica was made by labelling, from this data, for this sector.

Each challenge opens a replica node, its data node, its column, and its 14 parents' columns; the
verifier recomputes the node's label in every layer and its encoding. Challenges are drawn over the
whole sector, and over each piece: of a small one the sector's own would hit nothing. The bytes:

    comm_c, comm_r_last
    a multiproof (`multiproof.py`) of the challenged nodes of the replica, and one of the data
    the columns of those nodes and all their parents, each once and from left to right: a label
    per layer; then the siblings above the columns' hashes, as in a multiproof

Every item is a 32-byte node, so a proof's length follows from its statement.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proofs import kernels
from proofs.encoding import decode_nodes
from proofs.errors import ProofRejected
from proofs.graph import Graph
from proofs.hashing import LAST_BYTE_MAX, NODE_BYTES, comm_r, tagged_draws
from proofs.kernels.arrays import NodeArray
from proofs.multiproof import distinct, prove_leaves, sibling_count, siblings, verify_leaves
from proofs.parameters import BASE_DEGREE, DEGREE, ProofParameters
from proofs.replica import (
    check_piece_ranges,
    check_sector_name,
    encode,
    label,
    replica_id,
)
from proofs.sealed import (
    TREE_C,
    TREE_D,
    NodeFile,
    WrongSector,
    layer_name,
    open_replica,
    open_tree,
    read_manifest,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PorepStatement:
    """What a proof of replication proves; every field comes from the ledger."""

    parameters: ProofParameters
    chain_id: bytes
    provider_id: int
    sector_number: int
    ticket: bytes
    comm_d: bytes
    comm_r: bytes
    seed: bytes
    piece_ranges: tuple[tuple[int, int], ...]
    """Each piece's first node, and the first node after it."""

    def __post_init__(self) -> None:
        check_sector_name(self.provider_id, self.sector_number)
        check_piece_ranges(self.piece_ranges, self.parameters)
        if any(len(node) != 32 for node in (self.ticket, self.comm_d, self.comm_r, self.seed)):
            raise ValueError("tickets, commitments and seeds are 32 bytes")

    @property
    def replica_id(self) -> bytes:
        """Return the id that every label of the replica hashes."""
        return replica_id(
            provider_id=self.provider_id,
            sector_number=self.sector_number,
            ticket=self.ticket,
            comm_d=self.comm_d,
            porep_id=self.parameters.porep_id,
        )


def longest_proof_bytes(parameters: ProofParameters, *, piece_count: int) -> int:
    """Return what no proof about a sector of so many pieces is longer than."""
    depth = parameters.tree_depth
    opening = 2 * (1 + depth) + (1 + DEGREE) * (parameters.layers + depth)
    count = parameters.porep_challenge_count + parameters.piece_challenge_count * piece_count
    return NODE_BYTES * (2 + count * opening)


def challenges(statement: PorepStatement) -> tuple[int, ...]:
    """Return the challenged nodes: those over the sector, then each piece's.

    Never node 0, whose label has no parents to check.
    """
    return tuple(_challenges(statement))


def _challenges(statement: PorepStatement) -> Iterator[int]:
    parameters = statement.parameters
    everything, count = (1, parameters.node_count), parameters.porep_challenge_count
    yield from _draw(statement, "porep-challenge", everything, count)
    for start, end in statement.piece_ranges:
        count = parameters.piece_challenge_count
        yield from _draw(statement, "porep-piece-challenge", (max(1, start), end), count)


def _draw(statement: PorepStatement, tag: str, nodes: tuple[int, int], count: int) -> Iterator[int]:
    start, end = nodes
    parts = (statement.chain_id, statement.comm_r, statement.replica_id, statement.seed)
    borders = (number.to_bytes(8, "big") for number in nodes)
    for drawn in tagged_draws(tag, *parts, *borders, count=count):
        yield start + drawn % (end - start)


def prove(statement: PorepStatement, folder: Path) -> bytes:
    """Prove the replication of a sealed sector; reads nodes, not sectors.

    Raises: `WrongSector` if the folder holds another one, `OSError` if the proving cache is gone.
    """
    manifest = read_manifest(folder)
    if manifest is None or manifest.replica_id != statement.replica_id:
        raise WrongSector(f"{folder} does not hold the sector")
    if manifest.commitments.comm_r != statement.comm_r:
        raise WrongSector(f"{folder} holds another replica than the one committed to")
    count = statement.parameters.node_count
    asked = distinct(challenges(statement))
    opened = distinct(node for row in _with_parents(statement, asked) for node in row)
    nodes = [manifest.commitments.comm_c, manifest.commitments.comm_r_last]
    with ExitStack() as files:
        replica = files.enter_context(open_replica(folder, count))
        data = files.enter_context(open_tree(folder / TREE_D, count))
        columns = files.enter_context(open_tree(folder / TREE_C, count))
        layers = [
            files.enter_context(NodeFile(folder / layer_name(layer + 1)))
            for layer in range(statement.parameters.layers)
        ]
        nodes += prove_leaves(replica, asked)
        nodes += prove_leaves(data, asked)
        for node in opened:
            nodes += (layer.node(node) for layer in layers)
        nodes += siblings(columns, opened)
    return b"".join(nodes)


def verify(statement: PorepStatement, proof: bytes) -> None:
    """Check a proof of replication.

    Raises: `ProofRejected`.
    """
    parameters, depth = statement.parameters, statement.parameters.tree_depth
    asked = distinct(challenges(statement))
    families = _with_parents(statement, asked)
    opened = distinct(node for family in families for node in family)
    leaf_nodes = len(asked) + sibling_count(asked, depth)
    label_nodes = len(opened) * parameters.layers
    node_count = 2 + 2 * leaf_nodes + label_nodes + sibling_count(opened, depth)
    trees, nodes = decode_nodes(proof, expected_bytes=NODE_BYTES * node_count)
    if comm_r(*trees) != statement.comm_r:
        raise ProofRejected("the trees are not those of CommR")
    comm_c, comm_r_last = trees
    ends = (leaf_nodes, 2 * leaf_nodes, 2 * leaf_nodes + label_nodes)
    replica, data, columns, above_columns = np.split(nodes, ends)
    verify_leaves(asked, replica, depth=depth, root=comm_r_last)
    verify_leaves(asked, data, depth=depth, root=statement.comm_d)
    if (data[: len(asked), -1] > LAST_BYTE_MAX).any():
        raise ProofRejected("a data node is not below 2^254")
    leaves = np.empty((len(opened), NODE_BYTES), np.uint8)
    level = kernels.level_for(label_nodes)
    level.hash_messages(columns.reshape(len(opened), -1), leaves)
    verify_leaves(opened, np.concatenate((leaves, above_columns)), depth=depth, root=comm_c)
    labels = dict(zip(opened, _labels(columns, parameters.layers), strict=True))
    for at, family in enumerate(families):
        _verify_labels(statement, family[0], [labels[node] for node in family])
        if encode(bytes(data[at]), labels[family[0]][-1]) != bytes(replica[at]):
            raise ProofRejected("a replica node does not encode its data")


def _with_parents(statement: PorepStatement, nodes: Sequence[int]) -> list[tuple[int, ...]]:
    """Return each node and its 14 parents."""
    graph = Graph(statement.parameters.node_count, statement.parameters.porep_id)
    return [(node, *graph.parents(node)) for node in nodes]


def _labels(columns: NodeArray, layers: int) -> list[list[bytes]]:
    """Return each column's labels, by layer."""
    return [list(map(bytes, column)) for column in columns.reshape(-1, layers, NODE_BYTES)]


def _verify_labels(
    statement: PorepStatement, node: int, columns: Sequence[Sequence[bytes]]
) -> None:
    """Check a node's label in every layer.

    columns:  the node's labels by layer, then its parents'
    """
    column, *parents = columns
    replica_id = statement.replica_id
    for layer in range(statement.parameters.layers):
        labels = [parent[layer] for parent in parents[:BASE_DEGREE]]
        if layer:
            labels += [parent[layer - 1] for parent in parents[BASE_DEGREE:]]
        if label(replica_id, layer + 1, node, labels) != column[layer]:
            raise ProofRejected(f"a label of layer {layer + 1} is not that of its parents")
