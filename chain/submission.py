"""A message on its way to a node, with the proofs that travel beside it."""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import FailFast, Field

from chain.errors import LedgerError
from chain.messages import ITEMS_MAX, SignedMessage
from chain.policy import Policy
from ipfs.block import Block
from ipfs.errors import MalformedBytes, WrongBlock
from ipfs.record import Record

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Of everything but proofs: a full batch takes a tenth of it."""


class WrongProofs(LedgerError):
    """The proofs beside a message are not those that it names, or one is too long."""

    code = "wrong-proofs"


class Submission(Record):
    """What is posted to a node, as DAG-CBOR.

    proofs:  the bytes under the message's `proof_cids`, each once, in their order
    """

    signed: SignedMessage
    proofs: Annotated[tuple[bytes, ...], FailFast(), Field(max_length=ITEMS_MAX)] = ()

    @classmethod
    def of(cls, signed: SignedMessage, proofs: Sequence[Block]) -> "Submission":
        """Return the submission of a message and its proofs. Raises `WrongProofs`."""
        found = {proof.cid: proof.data for proof in proofs}
        named = dict.fromkeys(signed.message.proof_cids)
        if found.keys() != named.keys():
            raise WrongProofs("a message travels with exactly the proofs that it names")
        return cls(signed=signed, proofs=tuple(found[cid] for cid in named))

    def proof_blocks(self, policy: Policy) -> tuple[Block, ...]:
        """Return the proofs under their CIDs, checked. Raises `WrongProofs`."""
        named = dict.fromkeys(self.signed.message.proof_cids)
        if len(named) != len(self.proofs):
            raise WrongProofs(f"{len(named)} proofs are named, {len(self.proofs)} came")
        if any(len(proof) > policy.proof_bytes_max for proof in self.proofs):
            raise WrongProofs(f"a proof has at most {policy.proof_bytes_max} bytes")
        try:
            return tuple(map(Block.checked, named, self.proofs))
        except (WrongBlock, MalformedBytes) as error:
            raise WrongProofs(str(error)) from error


def proofs_bytes_max(policy: Policy) -> int:
    """Return how long the proofs of a message are together: a batch of the longest."""
    return policy.prove_commit_batch_max * policy.proof_bytes_max


def submission_bytes_max(policy: Policy) -> int:
    """Return how long a submission can be."""
    return proofs_bytes_max(policy) + MESSAGE_BYTES_MAX
