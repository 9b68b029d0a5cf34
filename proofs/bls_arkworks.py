"""The curve by py-arkworks-bls12381: 1.4 ms a verification."""

from collections.abc import Sequence
from functools import reduce
from operator import add as _plus
from typing import Final, TypeVar

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

MINUS_G1: Final = -G1Point()
MINUS_G2: Final = -G2Point()
_NOTHING: Final = (G1Point.identity(), G2Point.identity())

Point = TypeVar("Point", G1Point, G2Point)


def read_g1(compressed: bytes) -> G1Point | None:
    """Return the point of 48 bytes."""
    return _read(G1Point, compressed)


def read_g2(compressed: bytes) -> G2Point | None:
    """Return the point of 96 bytes."""
    return _read(G2Point, compressed)


def write_g1(point: G1Point) -> bytes:
    """Return the 48 bytes of a point."""
    return bytes(point.to_compressed_bytes())


def write_g2(point: G2Point) -> bytes:
    """Return the 96 bytes of a point."""
    return bytes(point.to_compressed_bytes())


def hash_to_g1(message: bytes, domain: bytes) -> G1Point:
    """Return the point that a message is signed as in G1 (RFC 9380)."""
    return G1Point.hash_to_curve(message, domain)


def hash_to_g2(message: bytes, domain: bytes) -> G2Point:
    """Return the point that a message is signed as in G2 (RFC 9380)."""
    return G2Point.hash_to_curve(message, domain)


def multiply(point: Point, scalar: int) -> Point:
    """Return a multiple of a point."""
    return point * Scalar.from_be_bytes(scalar.to_bytes(32, "big"))


def add(points: Sequence[Point]) -> Point:
    """Return the sum of one point or more, of one group."""
    return reduce(_plus, points)


def pairings_cancel(in_g1: Sequence[G1Point], in_g2: Sequence[G2Point]) -> bool:
    """Return whether the product of the pairings, pair by pair, is one."""
    return bool(GT.pairing_check(list(in_g1), list(in_g2)))


def _read(kind: type[Point], compressed: bytes) -> Point | None:
    try:
        point = kind.from_compressed_bytes(compressed)
    except ValueError:  # not a point, or not one of the subgroup
        return None
    # Infinity with stray bits still decodes, so the encoding is compared too.
    if point in _NOTHING or bytes(point.to_compressed_bytes()) != compressed:
        return None
    return point
