"""Multibase: text that names its own alphabet (multiformats/multibase).

All its bases but base256emoji, which no CID is written in: few of its 256 signs are in any vector.
"""

import base64
from collections.abc import Iterator
from typing import Final

from ipfs.errors import MalformedBytes

TEXT_CHARACTERS_MAX: Final = 1024
"""Longer text is no CID, and base58 costs the square of its length."""

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_BASE32_HEX: Final = "0123456789abcdefghijklmnopqrstuv"
_NUMBER_BASES: Final = {
    "9": "0123456789",
    "k": _BASE36,
    "K": _BASE36.upper(),
    "z": _BASE58,
    "Z": "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ",
}
_BIT_BASES: Final = {
    "0": (1, "01"),
    "7": (3, "01234567"),
    "f": (4, "0123456789abcdef"),
    "F": (4, "0123456789ABCDEF"),
    "b": (5, _BASE32),
    "B": (5, _BASE32.upper()),
    "c": (5, _BASE32),
    "C": (5, _BASE32.upper()),
    "v": (5, _BASE32_HEX),
    "V": (5, _BASE32_HEX.upper()),
    "t": (5, _BASE32_HEX),
    "T": (5, _BASE32_HEX.upper()),
    "h": (5, "ybndrfg8ejkmcpqxot1uwisza345h769"),
    "m": (6, _BASE64 + "+/"),
    "u": (6, _BASE64 + "-_"),
    "M": (6, _BASE64 + "+/"),
    "U": (6, _BASE64 + "-_"),
}
_PADDED_TO: Final = {"c": 8, "C": 8, "t": 8, "T": 8, "M": 4, "U": 4}
"""How many characters make whole bytes, where "=" fills them up."""


def encode(prefix: str, data: bytes) -> str:
    """Return `data` as text in the base that `prefix` names, prefix first."""
    if prefix == "b":
        return "b" + base64.b32encode(data).decode().rstrip("=").lower()
    if prefix in _NUMBER_BASES:
        return prefix + _encode_number(data, _NUMBER_BASES[prefix])
    bits, alphabet = _BIT_BASES[prefix]
    number, missing_bits = int.from_bytes(data), -len(data) * 8 % bits
    number <<= missing_bits
    count = (len(data) * 8 + missing_bits) // bits
    mask = (1 << bits) - 1
    digits = "".join(alphabet[number >> bits * index & mask] for index in reversed(range(count)))
    return prefix + digits + "=" * (-count % _PADDED_TO.get(prefix, 1))


def decode(text: str) -> bytes:
    """Return the bytes of multibase text. Raises `MalformedBytes`.

    Bases whose alphabet has one case take either, as the specification says.
    """
    if not 1 <= len(text) <= TEXT_CHARACTERS_MAX:
        raise MalformedBytes("multibase", f"{len(text)} characters")
    prefix, digits = text[0], text[1:]
    if prefix in _NUMBER_BASES:
        return _decode_number(digits, _NUMBER_BASES[prefix])
    if prefix not in _BIT_BASES:
        raise MalformedBytes("multibase", "unknown base")
    bits, alphabet = _BIT_BASES[prefix]
    if group := _PADDED_TO.get(prefix):
        padded, digits = digits, digits.rstrip("=")
        if len(padded) != len(digits) + -len(digits) % group:
            raise MalformedBytes("multibase", "not padded as it should be")
    number = 0
    for value in _values(digits, alphabet):
        number = number << bits | value
    spare_bits = len(digits) * bits % 8
    if spare_bits >= bits or number & (1 << spare_bits) - 1:
        raise MalformedBytes("multibase", "spare bits are not zero")
    return (number >> spare_bits).to_bytes(len(digits) * bits // 8)


def encode_base58(data: bytes) -> str:
    """Return bare base58btc, as CIDv0 and peer ids are written."""
    return _encode_number(data, _BASE58)


def decode_base58(text: str) -> bytes:
    """Return the bytes of bare base58btc. Raises `MalformedBytes`."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise MalformedBytes("base58", f"{len(text)} characters")
    return _decode_number(text, _BASE58)


def _values(digits: str, alphabet: str) -> Iterator[int]:
    if not digits.isascii():
        raise MalformedBytes("multibase", "a character outside its alphabet")
    if alphabet == alphabet.lower():
        digits = digits.lower()
    elif alphabet == alphabet.upper():
        digits = digits.upper()
    values = {character: value for value, character in enumerate(alphabet)}
    for character in digits:
        if character not in values:
            raise MalformedBytes("multibase", "a character outside its alphabet")
        yield values[character]


def _encode_number(data: bytes, alphabet: str) -> str:
    leading = len(data) - len(data.lstrip(b"\0"))
    number, digits = int.from_bytes(data), []
    while number:
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return alphabet[0] * leading + "".join(reversed(digits))


def _decode_number(text: str, alphabet: str) -> bytes:
    number = 0
    for value in _values(text, alphabet):
        number = number * len(alphabet) + value
    leading = len(text) - len(text.lstrip(alphabet[0]))
    return bytes(leading) + number.to_bytes((number.bit_length() + 7) // 8)
