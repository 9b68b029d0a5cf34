"""What drand publishes: rounds of randomness that a threshold of its members signed.

Source: drand's protocol specification; the schemes of its `crypto/schemes.go`.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Final

from proofs.bls import PublicKey
from proofs.errors import ProofRejected

_LONG_DOMAIN: Final = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_"
_SHORT_DOMAIN: Final = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
_ROUND_END: Final = 1 << 64


class Scheme(StrEnum):
    """How a chain signs."""

    CHAINED = "pedersen-bls-chained"
    """Over the signature before and the round; signatures of 96 bytes."""

    UNCHAINED = "pedersen-bls-unchained"
    """Over the round alone."""

    UNCHAINED_SHORT = "bls-unchained-g1-rfc9380"
    """Over the round alone, keys in G2, signatures of 48 bytes in G1."""


@dataclass(frozen=True)
class DrandChain:
    """One of drand's chains, by what never changes about it.

    chain_hash:  its name, 32 bytes
    """

    chain_hash: bytes
    scheme: Scheme
    public_key: bytes
    genesis_seconds: int
    period_seconds: int

    @cached_property
    def key(self) -> PublicKey:
        """Return the public key, checked once. Raises `ProofRejected`."""
        return PublicKey(self.public_key)

    def round_at(self, unix_seconds: float) -> int:
        """Return the number of the newest round that is due; 0 before the first."""
        return max(0, int((unix_seconds - self.genesis_seconds) // self.period_seconds) + 1)

    def due_seconds(self, number: int) -> int:
        """Return when a round is due; the first one is round 1."""
        return self.genesis_seconds + (number - 1) * self.period_seconds


@dataclass(frozen=True, slots=True)
class Round:
    """One published round.

    previous_signature:  of the round before, which a chained scheme signs too; else empty
    """

    number: int
    signature: bytes
    previous_signature: bytes = b""

    @property
    def randomness(self) -> bytes:
        """Return the 32 bytes that the round gives."""
        return sha256(self.signature).digest()


QUICKNET: Final = DrandChain(
    bytes.fromhex("52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"),
    Scheme.UNCHAINED_SHORT,
    bytes.fromhex(
        "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a"
        "2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76"
        "eae8991ef5ece45a"
    ),
    genesis_seconds=1_692_803_367,
    period_seconds=3,
)
"""The chain of three seconds (drand's published chain info)."""


def verify_round(chain: DrandChain, published: Round) -> None:
    """Check that a chain signed a round. A signature is unique: there is no other randomness.

    Raises: `ProofRejected`.
    """
    if not 1 <= published.number < _ROUND_END:
        raise ProofRejected("no chain has such a round")
    is_short = chain.scheme is Scheme.UNCHAINED_SHORT
    if chain.key.is_in_g2 is not is_short:
        raise ProofRejected("the scheme has keys of the other group")
    body = published.previous_signature + published.number.to_bytes(8, "big")
    domain = _SHORT_DOMAIN if is_short else _LONG_DOMAIN
    if not chain.key.verify(sha256(body).digest(), published.signature, domain):
        raise ProofRejected("the chain did not sign this round")
