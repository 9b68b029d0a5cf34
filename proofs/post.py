"""Proof of spacetime: the replica is still there, now that the seed is known.

The bytes:

    comm_c, comm_r_last
    a multiproof (`multiproof.py`) of all challenged replica nodes

Every item is a 32-byte node, so a proof's length follows from its statement.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proofs.encoding import decode_nodes
from proofs.errors import ProofRejected
from proofs.hashing import NODE_BYTES, comm_r, tagged_draws
from proofs.multiproof import distinct, prove_leaves, sibling_count, verify_leaves
from proofs.parameters import ProofParameters
from proofs.replica import check_piece_ranges, check_sector_name
from proofs.sealed import WrongSector, open_replica, read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowStatement:
    """What a proof of spacetime proves of one sector; every field comes from the ledger."""

    parameters: ProofParameters
    chain_id: bytes
    provider_id: int
    sector_number: int
    comm_r: bytes
    seeds: tuple[bytes, ...]
    """Usually one. Recovering from missed windows answers their seeds as well."""

    piece_ranges: tuple[tuple[int, int], ...]
    """Each live piece's first node, and the first node after it."""

    def __post_init__(self) -> None:
        check_sector_name(self.provider_id, self.sector_number)
        if not self.seeds:
            raise ValueError("there is nothing to answer without a seed")
        if any(len(node) != 32 for node in (self.comm_r, *self.seeds)):
            raise ValueError("commitments and seeds are 32 bytes")
        check_piece_ranges(self.piece_ranges, self.parameters)


def longest_proof_bytes(parameters: ProofParameters, *, seed_count: int, piece_count: int) -> int:
    """Return what no proof that answers so many seeds about so many pieces is longer than."""
    per_seed = parameters.window_challenge_count + parameters.piece_challenge_count * piece_count
    return NODE_BYTES * (2 + seed_count * per_seed * (1 + parameters.tree_depth))


def challenges(statement: WindowStatement) -> tuple[int, ...]:
    """Return the challenged nodes: for each seed those over the sector, then each piece's."""
    return tuple(node for seed in statement.seeds for node in _challenges(statement, seed))


def _challenges(statement: WindowStatement, seed: bytes) -> Iterator[int]:
    parameters = statement.parameters
    everything, count = (0, parameters.node_count), parameters.window_challenge_count
    yield from _draw(statement, seed, "window-challenge", everything, count)
    for piece_range in statement.piece_ranges:
        count = parameters.piece_challenge_count
        yield from _draw(statement, seed, "piece-challenge", piece_range, count)


def _draw(
    statement: WindowStatement, seed: bytes, tag: str, nodes: tuple[int, int], count: int
) -> Iterator[int]:
    start, end = nodes
    numbers = (statement.provider_id, statement.sector_number, start, end)
    parts = (statement.chain_id, seed, *(number.to_bytes(8, "big") for number in numbers))
    for drawn in tagged_draws(tag, *parts, count=count):
        yield start + drawn % (end - start)


def prove(statement: WindowStatement, folder: Path) -> bytes:
    """Answer a window's challenges; reads a node a tree row and challenge, kilobytes in all.

    Raises: `WrongSector` if the folder holds another one, `OSError` from the disk.
    """
    manifest = read_manifest(folder)
    if manifest is None or manifest.commitments.comm_r != statement.comm_r:
        raise WrongSector(f"{folder} does not hold the sector")
    nodes = [manifest.commitments.comm_c, manifest.commitments.comm_r_last]
    with open_replica(folder, statement.parameters.node_count) as rows:
        nodes += prove_leaves(rows, distinct(challenges(statement)))
    return b"".join(nodes)


def verify(statement: WindowStatement, proof: bytes) -> None:
    """Check a proof of spacetime.

    Raises: `ProofRejected`.
    """
    asked, depth = distinct(challenges(statement)), statement.parameters.tree_depth
    node_count = 2 + len(asked) + sibling_count(asked, depth)
    trees, nodes = decode_nodes(proof, expected_bytes=NODE_BYTES * node_count)
    if comm_r(*trees) != statement.comm_r:
        raise ProofRejected("the trees are not those of CommR")
    _, comm_r_last = trees
    verify_leaves(asked, nodes, depth=depth, root=comm_r_last)
