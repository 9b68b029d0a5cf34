"""Proofs as bytes: a sequence of 32-byte nodes whose number both sides know beforehand."""

from collections.abc import Iterable

from proofs.errors import ProofRejected
from proofs.hashing import NODE_BYTES
from proofs.merkle import InclusionProof


class NodeReader:
    """Reads a stranger's proof node by node; one of any other length never gets this far.

    Raises: `ProofRejected`.
    """

    def __init__(self, proof: bytes, *, expected_bytes: int) -> None:
        if len(proof) != expected_bytes:
            raise ProofRejected(f"the proof is {len(proof)} bytes, not {expected_bytes}")
        self._proof = proof
        self._at = 0

    def node(self) -> bytes:
        """Return the next node."""
        start, self._at = self._at, self._at + NODE_BYTES
        assert self._at <= len(self._proof), "the expected length covers every read"
        return self._proof[start : self._at]

    def siblings(self, depth: int) -> tuple[bytes, ...]:
        """Return the siblings of a path, bottom up."""
        return tuple(self.node() for _ in range(depth))

    def inclusion(self, leaf_index: int, depth: int) -> InclusionProof:
        """Return a leaf and its path. Where it must be is the verifier's to say."""
        return InclusionProof(self.node(), leaf_index, self.siblings(depth))


def encode_inclusion(proof: InclusionProof) -> Iterable[bytes]:
    """Return the nodes of a leaf and its path, as `NodeReader.inclusion` reads them."""
    return (proof.leaf, *proof.siblings)
