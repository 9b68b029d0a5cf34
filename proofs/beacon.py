"""What a beacon's signature gives."""

from hashlib import sha256


def randomness(signature: bytes) -> bytes:
    """Return the 32 bytes that a beacon's signature gives (drand: the hash of the signature)."""
    return sha256(signature).digest()
