"""What is known of proofs: each checked once, its verdict kept under everything it was about."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import NamedTuple

from chain.block import Verdict
from chain.view import Judge, Statement
from ipfs import dag_cbor
from ipfs.cid import CID
from proofs.errors import ProofRejected
from proofs.porep import PorepStatement
from proofs.registry import verify_replication, verify_window


class Question(NamedTuple):
    """Whether the proof under a CID holds for a statement.

    The whole statement, so that no answer is ever taken for another question's (CVE-2025-59941).
    """

    statement: Statement
    proof_cid: CID

    @property
    def statement_digest(self) -> bytes:
        """Return the SHA-256 of everything that the proof is checked against."""
        fields = [type(self.statement).__name__, asdict(self.statement)]
        return hashlib.sha256(dag_cbor.encode(fields)).digest()

    def verdict(self, *, is_valid: bool) -> Verdict:
        """Return the answer, as a block keeps it."""
        return Verdict(
            statement_digest=self.statement_digest, proof_cid=self.proof_cid, is_valid=is_valid
        )


def holds(statement: Statement, proof: bytes) -> bool:
    """Whether a proof's bytes show what the statement says. Slow: up to a second."""
    try:
        if isinstance(statement, PorepStatement):
            verify_replication(statement, proof)
        else:
            verify_window(statement, proof)
    except ProofRejected:
        return False
    return True


class Answers(Judge):
    """The judge of one block: answers each question once, and remembers what it was asked.

    answer:  what is known, or found out by checking the bytes; may raise `ProofUnverified`
    """

    def __init__(self, answer: Callable[[Question], bool]) -> None:
        self._answer = answer
        self._given: dict[Question, bool] = {}

    def __call__(self, statement: Statement, proof_cid: CID) -> bool:
        """Whether the proof under this CID holds for the statement."""
        question = Question(statement, proof_cid)
        if question not in self._given:
            self._given[question] = self._answer(question)
        return self._given[question]

    @property
    def questions(self) -> Iterable[Question]:
        """Return what was asked, in order."""
        return self._given.keys()

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Return what was answered, in the order in which it was asked."""
        return tuple(
            question.verdict(is_valid=is_valid) for question, is_valid in self._given.items()
        )
