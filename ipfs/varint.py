"""Strict unsigned LEB128: minimal, at most nine bytes (multiformats/unsigned-varint)."""

from typing import Final

from ipfs.errors import MalformedBytes

VARINT_BYTES_MAX: Final = 9
"""63 bits, the specification's bound."""


def encode(value: int) -> bytes:
    """Return the minimal encoding of 0 <= value < 2^63."""
    assert 0 <= value < 1 << 63, "a varint holds 63 bits"
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: bytes | memoryview, offset: int = 0) -> tuple[int, int]:
    """Return the value at `offset` and the offset after it. Raises `MalformedBytes`."""
    value = shift = 0
    for position in range(offset, min(len(data), offset + VARINT_BYTES_MAX)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise MalformedBytes("varint", "not minimal")
            return value, position + 1
        shift += 7
    raise MalformedBytes(
        "varint", "longer than 63 bits" if len(data) - offset >= VARINT_BYTES_MAX else "truncated"
    )
