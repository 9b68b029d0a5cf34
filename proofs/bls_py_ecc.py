"""BLS by py_ecc, in pure Python: the reference, and the fallback where nothing faster installs."""

# ruff: noqa: E402 - between reading the limit and resetting it
import sys
from hashlib import sha256
from typing import Any, Final

_RECURSION_LIMIT: Final = sys.getrecursionlimit()

from py_ecc import optimized_bls12_381
from py_ecc.bls import g2_primitives, hash_to_curve
from py_ecc.bls.ciphersuites import G2ProofOfPossession

# Importing py_ecc lifts the limit a hundredfold, and then a stranger's deeply nested JSON overflows
# the C stack and ends the process; the curve itself does without.
sys.setrecursionlimit(_RECURSION_LIMIT)

Suite: Final[Any] = G2ProofOfPossession
"""Its byte types are NewTypes of a package that it alone depends on; so are the points' below."""

_Curve: Final[Any] = optimized_bls12_381
_Points: Final[Any] = g2_primitives
_Hashing: Final[Any] = hash_to_curve
DOMAIN: Final[bytes] = Suite.DST


def public_key(secret: int) -> bytes:
    """Return the compressed public key."""
    return bytes(Suite.SkToPk(secret))


def sign(secret: int, message: bytes) -> bytes:
    """Return the compressed signature."""
    return bytes(Suite.Sign(secret, message))


def is_public_key(public_key: bytes) -> bool:
    """Return whether the bytes are one valid key in its only encoding."""
    return len(public_key) == 48 and bool(Suite.KeyValidate(public_key))


def verify(public_key: bytes, message: bytes, signature: bytes, domain: bytes = DOMAIN) -> bool:
    """Return whether the signature is the key's on the message."""
    if len(public_key) != 48 or len(signature) != 96:
        return False
    checked = Suite._CoreVerify(public_key, message, signature, domain)  # noqa: SLF001 - any domain
    return bool(checked)


def verify_short(public_key: bytes, message: bytes, signature: bytes, domain: bytes) -> bool:
    """Return whether the signature, in G1, is on the message by the key, in G2."""
    if len(public_key) != 96 or len(signature) != 48:
        return False
    try:
        key, signed = _Points.signature_to_G2(public_key), _Points.pubkey_to_G1(signature)
    except ValueError:  # not a point of the curve, or not in its only encoding
        return False
    for point in (key, signed):
        if _Curve.is_inf(point) or not _Points.subgroup_check(point):
            return False
    hashed = _Hashing.hash_to_G1(message, domain, sha256)
    one_way = _Curve.pairing(key, hashed, final_exponentiate=False)
    other_way = _Curve.pairing(_Curve.neg(_Curve.G2), signed, final_exponentiate=False)
    return bool(_Curve.final_exponentiate(one_way * other_way) == _Curve.FQ12.one())
