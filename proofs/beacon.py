"""The beacon's randomness: BLS12-381 signatures, public keys in G1, signatures in G2.

Ciphersuite `BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_` (draft-irtf-cfrg-bls-signature). A
signature is unique for its key and message, so whoever holds the key can't choose the randomness.
"""

import hmac
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Final, Protocol

from proofs.hashing import FIELD_MODULUS

PUBLIC_KEY_BYTES: Final = 48
SIGNATURE_BYTES: Final = 96


class Backend(Protocol):
    """What a BLS library must offer. Every verification refuses infinity and small subgroups."""

    def public_key(self, secret: int) -> bytes:
        """Return the compressed public key."""

    def sign(self, secret: int, message: bytes) -> bytes:
        """Return the compressed signature."""

    def is_public_key(self, public_key: bytes) -> bool:
        """Return whether the bytes are one valid key in its only encoding."""

    def verify(
        self, public_key: bytes, message: bytes, signature: bytes, domain: bytes = ...
    ) -> bool:
        """Return whether the signature is the key's on the message."""

    def verify_short(
        self, public_key: bytes, message: bytes, signature: bytes, domain: bytes
    ) -> bool:
        """Return whether the signature, in G1, is on the message by the key, in G2."""


@cache
def backend() -> Backend:
    """Return arkworks, or py_ecc where arkworks has no wheel: the same bytes, 300 times slower."""
    try:
        from proofs import bls_arkworks
    except ImportError:
        from proofs import bls_py_ecc

        return bls_py_ecc
    return bls_arkworks


@dataclass(frozen=True, slots=True)
class BeaconKey:
    """A secret key and its public key."""

    secret: int = field(repr=False)
    public_key: bytes

    @classmethod
    def from_seed(cls, ikm: bytes) -> "BeaconKey":
        """Derive the key of at least 32 secret bytes (draft-irtf-cfrg-bls-signature §2.3)."""
        secret = derive_secret(ikm)
        return cls(secret, backend().public_key(secret))

    def sign(self, message: bytes) -> bytes:
        """Return the signature on a message: 96 bytes."""
        return backend().sign(self.secret, message)


def derive_secret(ikm: bytes) -> int:
    """Return the secret scalar of a seed: HKDF-SHA-256, never zero."""
    if len(ikm) < 32:
        raise ValueError("a beacon key needs at least 32 bytes of seed")
    salt, secret, length = b"BLS-SIG-KEYGEN-SALT-", 0, 48
    while not secret:
        salt = sha256(salt).digest()
        extracted = hmac.digest(salt, ikm + b"\0", "sha256")
        info = length.to_bytes(2, "big")
        first = hmac.digest(extracted, info + b"\1", "sha256")
        second = hmac.digest(extracted, first + info + b"\2", "sha256")
        secret = int.from_bytes((first + second)[:length], "big") % FIELD_MODULUS
    return secret


def is_public_key(public_key: bytes) -> bool:
    """Return whether the bytes are one valid public key, infinity and non-members refused."""
    return backend().is_public_key(public_key)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether a signature is the key's on the message; any malformed bytes are not."""
    return backend().verify(public_key, message, signature)


def randomness(signature: bytes) -> bytes:
    """Return the 32 bytes that a beacon's signature gives (drand: the hash of the signature)."""
    return sha256(signature).digest()
