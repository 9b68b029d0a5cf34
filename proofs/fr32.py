"""fr32 padding: 254 bits of payload in every 256, so that each node is a field element.

Every 127 bytes become 128. Source: rust-fil-proofs `fr32/src/padding.rs`. These are the readable
functions; `kernels/fr32.py` does the same to megabytes.
"""

from typing import Final

QUAD_PAYLOAD_BYTES: Final = 127
QUAD_PADDED_BYTES: Final = 128

_ELEMENT_BITS: Final = 254
_ELEMENT_MASK: Final = (1 << _ELEMENT_BITS) - 1


def pad(payload: bytes) -> bytes:
    """Return the payload as field elements; its length is a multiple of 127 bytes."""
    if len(payload) % QUAD_PAYLOAD_BYTES:
        raise ValueError("fr32 pads multiples of 127 bytes")
    return b"".join(
        _pad_quad(payload[start : start + QUAD_PAYLOAD_BYTES])
        for start in range(0, len(payload), QUAD_PAYLOAD_BYTES)
    )


def unpad(padded: bytes) -> bytes:
    """Return the payload inside field elements; the length is a multiple of 128 bytes."""
    if len(padded) % QUAD_PADDED_BYTES:
        raise ValueError("fr32 unpads multiples of 128 bytes")
    return b"".join(
        _unpad_quad(padded[start : start + QUAD_PADDED_BYTES])
        for start in range(0, len(padded), QUAD_PADDED_BYTES)
    )


def _pad_quad(payload: bytes) -> bytes:
    bits = int.from_bytes(payload, "little")
    return b"".join(
        (bits >> (_ELEMENT_BITS * element) & _ELEMENT_MASK).to_bytes(32, "little")
        for element in range(4)
    )


def _unpad_quad(padded: bytes) -> bytes:
    bits = 0
    for element in range(4):
        node = int.from_bytes(padded[32 * element : 32 * element + 32], "little")
        bits |= (node & _ELEMENT_MASK) << (_ELEMENT_BITS * element)
    return bits.to_bytes(QUAD_PAYLOAD_BYTES, "little")
