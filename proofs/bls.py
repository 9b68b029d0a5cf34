"""BLS signatures on BLS12-381: keys in G1 and signatures in G2, or the other way round.

Source: draft-irtf-cfrg-bls-signature-05, its names; stricter in one thing: infinity is nobody's
key and nobody's signature. A signature is unique for its key and message.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any, Final, Protocol

from proofs.errors import ProofRejected
from proofs.hashing import FIELD_MODULUS

DOMAIN: Final = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_DOMAIN: Final = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
G1_BYTES: Final = 48
G2_BYTES: Final = 96


class Curve(Protocol):
    """What a library must know of the curve. Points are its own, hence `Any`.

    Reading refuses what is no point, no member of the subgroup, infinity, or another encoding.
    """

    @property
    def MINUS_G1(self) -> Any:  # noqa: N802 - a constant of a module
        """The generator of G1, negated."""

    @property
    def MINUS_G2(self) -> Any:  # noqa: N802
        """The generator of G2, negated."""

    def read_g1(self, compressed: bytes) -> Any | None:
        """Return the point of 48 bytes."""

    def read_g2(self, compressed: bytes) -> Any | None:
        """Return the point of 96 bytes."""

    def write_g1(self, point: Any) -> bytes:
        """Return the 48 bytes of a point."""

    def write_g2(self, point: Any) -> bytes:
        """Return the 96 bytes of a point."""

    def hash_to_g1(self, message: bytes, domain: bytes) -> Any:
        """Return the point that a message is signed as in G1 (RFC 9380)."""

    def hash_to_g2(self, message: bytes, domain: bytes) -> Any:
        """Return the point that a message is signed as in G2 (RFC 9380)."""

    def multiply(self, point: Any, scalar: int) -> Any:
        """Return a multiple of a point."""

    def add(self, points: Sequence[Any]) -> Any:
        """Return the sum of one point or more, of one group."""

    def pairings_cancel(self, in_g1: Sequence[Any], in_g2: Sequence[Any]) -> bool:
        """Return whether the product of the pairings, pair by pair, is one."""


@cache
def curve() -> Curve:
    """Return arkworks, or py_ecc where arkworks has no wheel: the same bytes, 200 times slower."""
    try:
        from proofs import bls_arkworks
    except ImportError:
        from proofs import bls_py_ecc

        return bls_py_ecc
    return bls_arkworks


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that was checked once (KeyValidate), to verify much with.

    compressed:  48 bytes in G1, its signatures in G2; or 96 bytes in G2, its signatures in G1

    Raises: `ProofRejected` where the bytes are no key.
    """

    compressed: bytes
    library: Curve = field(default_factory=curve, repr=False, compare=False)
    point: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        read = self.library.read_g2 if self.is_in_g2 else self.library.read_g1
        point = read(self.compressed)
        if point is None:
            raise ProofRejected("not a BLS public key")
        object.__setattr__(self, "point", point)

    @property
    def is_in_g2(self) -> bool:
        """Whether it is of the long kind, whose signatures are the short ones."""
        return len(self.compressed) == G2_BYTES

    def verify(self, message: bytes, signature: bytes, domain: bytes = DOMAIN) -> bool:
        """Return whether the key signed the message; any malformed bytes are no signature."""
        known = self.library
        if self.is_in_g2:
            if (signed := known.read_g1(signature)) is None:
                return False
            hashed = known.hash_to_g1(message, domain)
            return known.pairings_cancel([hashed, signed], [self.point, known.MINUS_G2])
        if (signed := known.read_g2(signature)) is None:
            return False
        hashed = known.hash_to_g2(message, domain)
        return known.pairings_cancel([self.point, known.MINUS_G1], [hashed, signed])


@dataclass(frozen=True, slots=True)
class ProvenKey:
    """A key in G1 whose holder showed that it knows the secret (PopVerify): may be summed.

    A sum that holds anybody's bare key is worth nothing: a rogue one cancels the others in it.

    Raises: `ProofRejected` where the possession is not the key's.
    """

    key: PublicKey
    possession: bytes

    def __post_init__(self) -> None:
        key = self.key
        if key.is_in_g2 or not key.verify(key.compressed, self.possession, POSSESSION_DOMAIN):
            raise ProofRejected("nobody showed to hold this key")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A secret scalar whose public key is in G1."""

    scalar: int = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.scalar < FIELD_MODULUS:
            raise ValueError("a secret key lies between zero and the group's order")

    @classmethod
    def from_seed(cls, ikm: bytes) -> "SecretKey":
        """Derive the key of at least 32 secret bytes (KeyGen)."""
        return cls(derive_scalar(ikm))

    @property
    def public_key(self) -> bytes:
        """Return the public key, 48 bytes."""
        known = curve()
        return known.write_g1(known.multiply(known.MINUS_G1, FIELD_MODULUS - self.scalar))

    def sign(self, message: bytes, domain: bytes = DOMAIN) -> bytes:
        """Return the signature on a message, 96 bytes."""
        known = curve()
        return known.write_g2(known.multiply(known.hash_to_g2(message, domain), self.scalar))

    def prove_possession(self) -> bytes:
        """Return what makes a `ProvenKey` of the public key, 96 bytes (PopProve)."""
        return self.sign(self.public_key, POSSESSION_DOMAIN)


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """Return the one signature that stands for all of these, 96 bytes.

    Raises: `ProofRejected` where one is no signature; whose they are is not checked.
    """
    known = curve()
    points = [known.read_g2(signature) for signature in signatures]
    if not points or any(point is None for point in points):
        raise ProofRejected("nothing to aggregate, or not all of it are signatures")
    return known.write_g2(known.add(points))


def fast_aggregate_verify(keys: Sequence[ProvenKey], message: bytes, signature: bytes) -> bool:
    """Return whether these keys, one or more, all signed one message."""
    if not keys:
        return False
    known = keys[0].key.library
    total = known.write_g1(known.add([proven.key.point for proven in keys]))
    try:
        return PublicKey(total, known).verify(message, signature)
    except ProofRejected:  # keys that cancel each other are nobody's
        return False


def aggregate_verify(signers: Sequence[tuple[ProvenKey, bytes]], signature: bytes) -> bool:
    """Return whether each of these keys, one or more, signed its own message."""
    if not signers:
        return False
    known = signers[0][0].key.library
    if (signed := known.read_g2(signature)) is None:
        return False
    points = [proven.key.point for proven, _ in signers]
    hashed = [known.hash_to_g2(message, DOMAIN) for _, message in signers]
    return known.pairings_cancel([*points, known.MINUS_G1], [*hashed, signed])


def derive_scalar(ikm: bytes) -> int:
    """Return the secret scalar of a seed: HKDF-SHA-256, never zero (KeyGen)."""
    if len(ikm) < 32:
        raise ValueError("a BLS key needs at least 32 bytes of seed")
    salt, scalar, length = b"BLS-SIG-KEYGEN-SALT-", 0, 48
    while not scalar:
        salt = sha256(salt).digest()
        extracted = hmac.digest(salt, ikm + b"\0", "sha256")
        info = length.to_bytes(2, "big")
        first = hmac.digest(extracted, info + b"\1", "sha256")
        second = hmac.digest(extracted, first + info + b"\2", "sha256")
        scalar = int.from_bytes((first + second)[:length], "big") % FIELD_MODULUS
    return scalar
