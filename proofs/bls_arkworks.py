"""BLS by py-arkworks-bls12381: about 2 ms a signature or verification."""

from typing import Final, TypeVar

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

DOMAIN: Final = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"

_Point = TypeVar("_Point", G1Point, G2Point)


def public_key(secret: int) -> bytes:
    """Return the compressed public key."""
    return bytes((G1Point() * _scalar(secret)).to_compressed_bytes())


def sign(secret: int, message: bytes) -> bytes:
    """Return the compressed signature."""
    return bytes((G2Point.hash_to_curve(message, DOMAIN) * _scalar(secret)).to_compressed_bytes())


def is_public_key(public_key: bytes) -> bool:
    """Return whether the bytes are one valid key in its only encoding."""
    return _point(G1Point, public_key) is not None


def verify(public_key: bytes, message: bytes, signature: bytes, domain: bytes = DOMAIN) -> bool:
    """Return whether the signature is the key's on the message."""
    key, signed = _point(G1Point, public_key), _point(G2Point, signature)
    if key is None or signed is None:
        return False
    hashed = G2Point.hash_to_curve(message, domain)
    return bool(GT.pairing_check([key, -G1Point()], [hashed, signed]))


def verify_short(public_key: bytes, message: bytes, signature: bytes, domain: bytes) -> bool:
    """Return whether the signature, in G1, is on the message by the key, in G2."""
    key, signed = _point(G2Point, public_key), _point(G1Point, signature)
    if key is None or signed is None:
        return False
    hashed = G1Point.hash_to_curve(message, domain)
    return bool(GT.pairing_check([hashed, signed], [key, -G2Point()]))


def _scalar(secret: int) -> Scalar:
    return Scalar.from_be_bytes(secret.to_bytes(32, "big"))


def _point(kind: type[_Point], compressed: bytes) -> _Point | None:
    try:
        point = kind.from_compressed_bytes(compressed)
    except ValueError:  # not a point, or not one of the subgroup
        return None
    # Infinity with stray bits still decodes, so the encoding is compared too.
    if point == kind.identity() or bytes(point.to_compressed_bytes()) != compressed:
        return None
    return point
