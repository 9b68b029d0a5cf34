"""Proofs as bytes: two roots, then 32-byte nodes whose number both sides know beforehand."""

from collections.abc import Iterable

from proofs.errors import ProofRejected
from proofs.hashing import NODE_BYTES
from proofs.kernels.arrays import NodeArray
from proofs.merkle import InclusionProof, as_nodes


def decode_nodes(proof: bytes, *, expected_bytes: int) -> tuple[tuple[bytes, bytes], NodeArray]:
    """Return a stranger's proof as CommC and CommRLast, and the nodes that follow them.

    Raises: `ProofRejected` if it has any other length.
    """
    if len(proof) != expected_bytes:
        raise ProofRejected(f"the proof is {len(proof)} bytes, not {expected_bytes}")
    trees = (proof[:NODE_BYTES], proof[NODE_BYTES : 2 * NODE_BYTES])
    return trees, as_nodes(proof)[2:]


def encode_inclusion(proof: InclusionProof) -> Iterable[bytes]:
    """Return the nodes of a leaf and its path: the leaf, then its siblings from the bottom up."""
    return (proof.leaf, *proof.siblings)
