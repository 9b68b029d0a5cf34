"""Proof of replication: this replica was made by labelling, from this data, for this sector.

Each challenge opens a replica node, its data node, its column, and its 14 parents' columns; the
verifier recomputes the node's label in every layer and its encoding. Challenges are drawn over the
whole sector, and over each piece: of a small one the sector's own would hit nothing. The bytes:

    comm_c, comm_r_last
    per challenge:  replica node, path | data node, path | 15 columns (the node's, its parents' in
                    order), each: a label per layer, path

Every item is a 32-byte node, so a proof's length follows from its statement.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from proofs.encoding import NodeReader, encode_inclusion
from proofs.errors import ProofRejected
from proofs.graph import Graph
from proofs.hashing import NODE_BYTES, column_hash, comm_r, is_truncated, tagged_hash
from proofs.merkle import InclusionProof, prove_inclusion, verify_inclusion
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
    everything = (1, parameters.node_count)
    for index in range(parameters.porep_challenge_count):
        yield _challenge(statement, "porep-challenge", everything, index)
    for start, end in statement.piece_ranges:
        for index in range(parameters.piece_challenge_count):
            yield _challenge(statement, "porep-piece-challenge", (max(1, start), end), index)


def _challenge(statement: PorepStatement, tag: str, nodes: tuple[int, int], index: int) -> int:
    start, end = nodes
    digest = tagged_hash(
        tag,
        statement.chain_id,
        statement.comm_r,
        statement.replica_id,
        statement.seed,
        *(number.to_bytes(8, "big") for number in (start, end, index)),
    )
    return start + int.from_bytes(digest, "big") % (end - start)


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
    parameters = statement.parameters
    expected_bytes = proof_bytes(parameters, piece_count=len(statement.piece_ranges))
    reader = NodeReader(proof, expected_bytes=expected_bytes)
    comm_c, comm_r_last = reader.node(), reader.node()
    if comm_r(comm_c, comm_r_last) != statement.comm_r:
        raise ProofRejected("the trees are not those of CommR")
    graph = Graph(parameters.node_count, parameters.porep_id)
    for challenge in challenges(statement):
        _verify_challenge(statement, graph, challenge, reader, comm_c, comm_r_last)


def _verify_challenge(
    statement: PorepStatement,
    graph: Graph,
    challenge: int,
    reader: NodeReader,
    comm_c: bytes,
    comm_r_last: bytes,
) -> None:
    parameters = statement.parameters
    count, depth = parameters.node_count, parameters.tree_depth
    replica = reader.inclusion(challenge, depth)
    verify_inclusion(replica, root=comm_r_last, leaf_count=count)
    data = reader.inclusion(challenge, depth)
    verify_inclusion(data, root=statement.comm_d, leaf_count=count)
    if not is_truncated(data.leaf):
        raise ProofRejected("a data node is not below 2^254")

    column, *parents = (
        _read_column(reader, parameters, node, comm_c)
        for node in (challenge, *graph.parents(challenge))
    )
    replica_id = statement.replica_id
    for layer in range(parameters.layers):
        labels = [parent[layer] for parent in parents[:BASE_DEGREE]]
        if layer:
            labels += [parent[layer - 1] for parent in parents[BASE_DEGREE:]]
        if label(replica_id, layer + 1, challenge, labels) != column[layer]:
            raise ProofRejected(f"a label of layer {layer + 1} is not that of its parents")
    if encode(data.leaf, column[-1]) != replica.leaf:
        raise ProofRejected("a replica node does not encode its data")


def _read_column(
    reader: NodeReader, parameters: ProofParameters, node: int, comm_c: bytes
) -> list[bytes]:
    """Return a node's label in every layer, proven to be under CommC."""
    labels = [reader.node() for _ in range(parameters.layers)]
    proof = InclusionProof(
        column_hash(b"".join(labels)), node, reader.siblings(parameters.tree_depth)
    )
    verify_inclusion(proof, root=comm_c, leaf_count=parameters.node_count)
    return labels
