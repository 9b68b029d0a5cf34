"""MurmurHash3 x64: where an entry goes in a sharded directory. Not cryptographic."""

from typing import Final

_MASK: Final = (1 << 64) - 1
_C1: Final = 0x87C37B91114253D5
_C2: Final = 0x4CF5AD432745937F


def murmur3_x64_64(data: bytes) -> int:
    """Return the first 64 bits of the 128-bit x64 variant, seed 0 (Appleby, smhasher)."""
    h1 = h2 = 0
    whole_bytes = len(data) & ~15
    for at in range(0, whole_bytes, 16):
        h1 ^= _scramble1(int.from_bytes(data[at : at + 8], "little"))
        h1 = (_rotate(h1, 27) + h2) * 5 + 0x52DCE729 & _MASK
        h2 ^= _scramble2(int.from_bytes(data[at + 8 : at + 16], "little"))
        h2 = (_rotate(h2, 31) + h1) * 5 + 0x38495AB5 & _MASK
    tail = data[whole_bytes:]
    h2 ^= _scramble2(int.from_bytes(tail[8:], "little"))
    h1 ^= _scramble1(int.from_bytes(tail[:8], "little"))
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = h1 + h2 & _MASK
    h2 = h2 + h1 & _MASK
    return _avalanche(h1) + _avalanche(h2) & _MASK


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & _MASK


def _scramble1(lane: int) -> int:
    return _rotate(lane * _C1 & _MASK, 31) * _C2 & _MASK


def _scramble2(lane: int) -> int:
    return _rotate(lane * _C2 & _MASK, 33) * _C1 & _MASK


def _avalanche(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33
