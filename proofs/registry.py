"""The only list of proof types: their parameters, and who proves and verifies them."""

from pathlib import Path
from typing import Final

from proofs import porep, post
from proofs.parameters import ProofParameters, ProofType
from proofs.porep import PorepStatement
from proofs.post import WindowStatement

_REGISTERED: Final = {
    parameters.proof_type: parameters
    for parameters in (
        ProofParameters(
            proof_type=ProofType.SDR_2KIB,
            registered_proof_id=5,
            sector_size_bytes=2 << 10,
            layers=2,
            porep_challenge_count=2,
            for_tests=True,
        ),
        ProofParameters(
            proof_type=ProofType.SDR_8MIB,
            registered_proof_id=6,
            sector_size_bytes=8 << 20,
            layers=2,
            porep_challenge_count=2,
            for_tests=True,
        ),
        ProofParameters(
            proof_type=ProofType.SDR_512MIB,
            registered_proof_id=7,
            sector_size_bytes=512 << 20,
            layers=11,
            porep_challenge_count=176,
        ),
        ProofParameters(
            proof_type=ProofType.SDR_32GIB,
            registered_proof_id=8,
            sector_size_bytes=32 << 30,
            layers=11,
            porep_challenge_count=176,
        ),
        ProofParameters(
            proof_type=ProofType.SDR_64GIB,
            registered_proof_id=9,
            sector_size_bytes=64 << 30,
            layers=11,
            porep_challenge_count=176,
        ),
    )
}


def parameters_of(proof_type: ProofType) -> ProofParameters:
    """Return what prover and verifier of this type must agree on."""
    return _REGISTERED[proof_type]


def longest_proof_bytes(parameters: ProofParameters, *, piece_count: int, seed_count: int) -> int:
    """Return what no proof about a sector of so many pieces is longer than.

    seed_count:  of the windows that one proof of spacetime answers
    """
    return max(
        porep.longest_proof_bytes(parameters, piece_count=piece_count),
        post.longest_proof_bytes(parameters, seed_count=seed_count, piece_count=piece_count),
    )


def prove_replication(statement: PorepStatement, folder: Path) -> bytes:
    """Prove that the folder's sector was sealed as the ledger says. See `porep.prove`."""
    return porep.prove(statement, folder)


def verify_replication(statement: PorepStatement, proof: bytes) -> None:
    """Check a proof of replication.

    Raises: `ProofRejected`.
    """
    porep.verify(statement, proof)


def prove_window(statement: WindowStatement, folder: Path) -> bytes:
    """Prove that the folder's replica is still there. See `post.prove`."""
    return post.prove(statement, folder)


def verify_window(statement: WindowStatement, proof: bytes) -> None:
    """Check a proof of spacetime.

    Raises: `ProofRejected`.
    """
    post.verify(statement, proof)
