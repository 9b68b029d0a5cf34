"""Proof of replication: this replica was made by labelling, from this data, for this sector.

Each challenge opens a replica node, its data node, its column, and its 14 parents' columns; the
verifier recomputes the node's label in every layer and its encoding. Challenges are drawn over the
whole sector, and over each piece: of a small one the sector's own would hit nothing. The bytes:

    comm_c, comm_r_last
    per challenge:  replica node, path | data node, path | 15 columns (the node's, its parents' in
                    order), each: a label per layer, path

Every item is a 32-byte node, so a proof's length follows from its statement.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proofs import kernels
from proofs.encoding import decode_nodes, encode_inclusion
from proofs.errors import ProofRejected
from proofs.graph import Graph
from proofs.hashing import LAST_BYTE_MAX, NODE_BYTES, comm_r, tagged_draws
from proofs.kernels.arrays import ByteArray
from proofs.merkle import prove_inclusion, verify_paths
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


def proof_bytes(parameters: ProofParameters, *, piece_count: int) -> int:
    """Return the exact length of a proof about a sector of so many pieces."""
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
    graph = Graph(count, statement.parameters.porep_id)
    nodes = [manifest.commitments.comm_c, manifest.commitments.comm_r_last]
    with ExitStack() as files:
        replica = files.enter_context(open_replica(folder, count))
        data = files.enter_context(open_tree(folder / TREE_D, count))
        columns = files.enter_context(open_tree(folder / TREE_C, count))
        layers = [
            files.enter_context(NodeFile(folder / layer_name(layer + 1)))
            for layer in range(statement.parameters.layers)
        ]
        for challenge in challenges(statement):
            nodes += encode_inclusion(prove_inclusion(replica, challenge))
            nodes += encode_inclusion(prove_inclusion(data, challenge))
            for node in (challenge, *graph.parents(challenge)):
                nodes += (layer.node(node) for layer in layers)
                nodes += prove_inclusion(columns, node).siblings
    return b"".join(nodes)


def verify(statement: PorepStatement, proof: bytes) -> None:
    """Check a proof of replication.

    Raises: `ProofRejected`.
    """
    parameters, asked = statement.parameters, challenges(statement)
    expected_bytes = proof_bytes(parameters, piece_count=len(statement.piece_ranges))
    trees, openings = decode_nodes(proof, expected_bytes=expected_bytes)
    if comm_r(*trees) != statement.comm_r:
        raise ProofRejected("the trees are not those of CommR")
    comm_c, comm_r_last = trees
    openings = openings.reshape(len(asked), -1, NODE_BYTES)
    depth = parameters.tree_depth
    replica, data, columns = np.split(openings, (1 + depth, 2 + 2 * depth), axis=1)
    verify_paths(asked, replica, root=comm_r_last)
    verify_paths(asked, data, root=statement.comm_d)
    if (data[:, 0, -1] > LAST_BYTE_MAX).any():
        raise ProofRejected("a data node is not below 2^254")
    graph = Graph(parameters.node_count, parameters.porep_id)
    nodes = [(node, *graph.parents(node)) for node in asked]
    columns = columns.reshape(-1, parameters.layers + depth, NODE_BYTES)
    labels = np.ascontiguousarray(columns[:, : parameters.layers])
    _verify_columns([node for row in nodes for node in row], labels, columns, comm_c)
    for at, node in enumerate(asked):
        rows = labels[at * (1 + DEGREE) : (at + 1) * (1 + DEGREE)]
        _verify_labels(statement, node, [list(map(bytes, row)) for row in rows])
        if encode(bytes(data[at, 0]), bytes(rows[0, -1])) != bytes(replica[at, 0]):
            raise ProofRejected("a replica node does not encode its data")


def _verify_columns(
    nodes: Sequence[int], labels: ByteArray, columns: ByteArray, comm_c: bytes
) -> None:
    """Check that nodes' labels are those that CommC commits to.

    labels:   (nodes, layers, 32)
    columns:  (nodes, layers + depth, 32): the labels, and each column's path
    """
    count, layers, _ = labels.shape
    paths = columns[:, layers - 1 :].copy()
    hashes = np.empty((count, NODE_BYTES), np.uint8)
    kernels.level_for(count * layers).hash_messages(labels.reshape(count, -1), hashes)
    paths[:, 0] = hashes
    verify_paths(nodes, paths, root=comm_c)


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
