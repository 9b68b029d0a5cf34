"""Bech32m: text with a checksum that catches what people mistype (BIP-350)."""

from collections.abc import Iterator
from typing import Final

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM: Final = 0x2BC830A3
_CHECKSUM_CHARACTERS: Final = 6
_TEXT_CHARACTERS_MAX: Final = 90


def encode(prefix: str, data: bytes) -> str:
    """Return `data` behind the lower-case `prefix`, checksummed."""
    digits = [*_regroup(data, from_bits=8, to_bits=5, pad=True)]
    polymod = _polymod([*_expand(prefix), *digits, *bytes(_CHECKSUM_CHARACTERS)]) ^ _CHECKSUM
    checksum = [polymod >> 5 * (5 - index) & 31 for index in range(_CHECKSUM_CHARACTERS)]
    return prefix + "1" + "".join(_ALPHABET[digit] for digit in (*digits, *checksum))


def decode(text: str) -> tuple[str, bytes]:
    """Return prefix and data of lower-case bech32m. Raises `ValueError` on any mistake."""
    prefix, separator, tail = text.rpartition("1")
    if not (prefix and separator) or len(text) > _TEXT_CHARACTERS_MAX:
        raise ValueError("no prefix, or too long")
    digits = [_ALPHABET.find(character) for character in tail]
    if len(digits) < _CHECKSUM_CHARACTERS or min(digits) < 0:
        raise ValueError("a character outside the alphabet")
    if not prefix.isascii() or _polymod([*_expand(prefix), *digits]) != _CHECKSUM:
        raise ValueError("the checksum does not match: mistyped?")
    data_digits = digits[:-_CHECKSUM_CHARACTERS]
    return prefix, bytes(_regroup(data_digits, from_bits=5, to_bits=8, pad=False))


def _expand(prefix: str) -> list[int]:
    return [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix)]


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for index, generator in enumerate(_GENERATOR):
            checksum ^= generator if top >> index & 1 else 0
    return checksum


def _regroup(
    values: bytes | list[int], *, from_bits: int, to_bits: int, pad: bool
) -> Iterator[int]:
    accumulator = bits = 0
    for value in values:
        accumulator, bits = accumulator << from_bits | value, bits + from_bits
        while bits >= to_bits:
            bits -= to_bits
            yield accumulator >> bits & (1 << to_bits) - 1
    rest = accumulator & (1 << bits) - 1
    if pad and bits:
        yield rest << to_bits - bits
    elif not pad and (bits >= from_bits or rest):
        raise ValueError("spare bits are not zero")
