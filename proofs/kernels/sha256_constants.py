"""SHA-256's constants, computed rather than typed. Spec: FIPS 180-4 §4.2.2, §5.1.1, §5.3.3."""

from functools import cache
from math import isqrt
from typing import Final

_WORD: Final = 0xFFFFFFFF


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root(value: int) -> int:
    low, high = 0, 1 << (value.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= value else (low, middle - 1)
    return low


ROUND_CONSTANTS: Final = tuple(_cube_root(prime << 96) & _WORD for prime in _primes(64))
"""The first 32 bits of the fractional parts of the cube roots of the first 64 primes."""

INITIAL_STATE: Final = tuple(isqrt(prime << 64) & _WORD for prime in _primes(8))
"""The same of the square roots of the first eight."""

PADDING_OF_64_BYTES: Final = (0x80000000, *(0,) * 14, 64 * 8)
"""The words of the block that follows a message of 64 bytes."""


@cache
def scheduled(words: tuple[int, ...]) -> tuple[int, ...]:
    """Return the 64 words of a block's message schedule."""
    schedule = list(words)
    for index in range(16, 64):
        early, late = schedule[index - 15], schedule[index - 2]
        small = _turn(early, 7) ^ _turn(early, 18) ^ early >> 3
        large = _turn(late, 17) ^ _turn(late, 19) ^ late >> 10
        schedule.append(schedule[index - 16] + small + schedule[index - 7] + large & _WORD)
    return tuple(schedule)


def _turn(word: int, count: int) -> int:
    return (word >> count | word << (32 - count)) & _WORD


def padding(message_bytes: int) -> bytes:
    """Return what follows a message of this many bytes."""
    zeros = -(message_bytes + 9) % 64
    return b"\x80" + bytes(zeros) + (8 * message_bytes).to_bytes(8, "big")
