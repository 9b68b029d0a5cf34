"""The curve by py_ecc, in pure Python: the reference, and the fallback where no wheel installs."""

# ruff: noqa: E402 - between reading the limit and resetting it
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from hashlib import sha256
from typing import Any, Final

_RECURSION_LIMIT: Final = sys.getrecursionlimit()

from py_ecc import optimized_bls12_381
from py_ecc.bls import g2_primitives, hash_to_curve

# Importing py_ecc lifts the limit a hundredfold, and then a stranger's deeply nested JSON overflows
# the C stack and ends the process; the curve itself does without.
sys.setrecursionlimit(_RECURSION_LIMIT)

# Its byte types are NewTypes of a package that it alone depends on; so are the points'.
_curve: Final[Any] = optimized_bls12_381
_points: Final[Any] = g2_primitives
_hashing: Final[Any] = hash_to_curve

MINUS_G1: Final[Any] = _curve.neg(_curve.G1)
MINUS_G2: Final[Any] = _curve.neg(_curve.G2)


def read_g1(compressed: bytes) -> Any | None:
    """Return the point of 48 bytes."""
    return _read(compressed, 48, _points.pubkey_to_G1)


def read_g2(compressed: bytes) -> Any | None:
    """Return the point of 96 bytes."""
    return _read(compressed, 96, _points.signature_to_G2)


def write_g1(point: Any) -> bytes:
    """Return the 48 bytes of a point."""
    return bytes(_points.G1_to_pubkey(point))


def write_g2(point: Any) -> bytes:
    """Return the 96 bytes of a point."""
    return bytes(_points.G2_to_signature(point))


def hash_to_g1(message: bytes, domain: bytes) -> Any:
    """Return the point that a message is signed as in G1 (RFC 9380)."""
    return _hashing.hash_to_G1(message, domain, sha256)


def hash_to_g2(message: bytes, domain: bytes) -> Any:
    """Return the point that a message is signed as in G2 (RFC 9380)."""
    return _hashing.hash_to_G2(message, domain, sha256)


def multiply(point: Any, scalar: int) -> Any:
    """Return a multiple of a point."""
    return _curve.multiply(point, scalar)


def add(points: Sequence[Any]) -> Any:
    """Return the sum of one point or more, of one group."""
    return reduce(_curve.add, points)


def pairings_cancel(in_g1: Sequence[Any], in_g2: Sequence[Any]) -> bool:
    """Return whether the product of the pairings, pair by pair, is one."""
    product = _curve.FQ12.one()
    for one, other in zip(in_g1, in_g2, strict=True):
        product *= _curve.pairing(other, one, final_exponentiate=False)
    return bool(_curve.final_exponentiate(product) == _curve.FQ12.one())


def _read(compressed: bytes, length: int, decompress: Callable[[bytes], Any]) -> Any | None:
    if len(compressed) != length:
        return None
    try:
        point = decompress(compressed)
    except ValueError:  # not a point of the curve, or not in its only encoding
        return None
    return None if _curve.is_inf(point) or not _points.subgroup_check(point) else point
