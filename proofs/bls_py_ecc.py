"""BLS by py_ecc, in pure Python: the reference, and the fallback where nothing faster installs."""

import sys
from typing import Any, Final

_RECURSION_LIMIT: Final = sys.getrecursionlimit()

from py_ecc.bls.ciphersuites import G2ProofOfPossession  # noqa: E402 - between reading and resetting

# Importing py_ecc lifts the limit a hundredfold, and then a stranger's deeply nested JSON overflows
# the C stack and ends the process; the curve itself does without.
sys.setrecursionlimit(_RECURSION_LIMIT)

Suite: Final[Any] = G2ProofOfPossession
"""Its byte types are NewTypes of a package that it alone depends on."""


def public_key(secret: int) -> bytes:
    """Return the compressed public key."""
    return bytes(Suite.SkToPk(secret))


def sign(secret: int, message: bytes) -> bytes:
    """Return the compressed signature."""
    return bytes(Suite.Sign(secret, message))


def is_public_key(public_key: bytes) -> bool:
    """Return whether the bytes are one valid key in its only encoding."""
    return len(public_key) == 48 and bool(Suite.KeyValidate(public_key))


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether the signature is the key's on the message."""
    if len(public_key) != 48 or len(signature) != 96:
        return False
    return bool(Suite.Verify(public_key, message, signature))
