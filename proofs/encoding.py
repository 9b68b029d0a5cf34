"""Proofs as bytes: two roots, then 32-byte nodes whose number both sides know beforehand."""

from proofs.errors import ProofRejected
from proofs.hashing import NODE_BYTES
from proofs.kernels.arrays import NodeArray
from proofs.merkle import as_nodes


def decode_nodes(proof: bytes, *, expected_bytes: int) -> tuple[tuple[bytes, bytes], NodeArray]:
    """Return a stranger's proof as CommC and CommRLast, and the nodes that follow them.

    Raises: `ProofRejected` if it has any other length.
    """
    if len(proof) != expected_bytes:
        raise ProofRejected(f"the proof is {len(proof)} bytes, not {expected_bytes}")
    trees = (proof[:NODE_BYTES], proof[NODE_BYTES : 2 * NODE_BYTES])
    return trees, as_nodes(proof)[2:]
