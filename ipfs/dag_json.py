"""DAG-JSON, strict both ways: one value has one encoding (ipld.io/specs/codecs/dag-json)."""

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from ipfs.cid import CID
from ipfs.dag_cbor import DEPTH_MAX, ITEMS_MAX, Value
from ipfs.errors import MalformedBytes

_INTEGERS: Final = range(-(1 << 64), 1 << 64)
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_RESERVED: Final = "/"
"""A map with this key alone is a link or bytes, so no other map may have it."""


def encode(value: Any) -> bytes:
    """Return the one encoding of a value of the IPLD data model (tuples count as lists)."""
    return _text(value).encode()


def decode(data: bytes) -> Value:
    """Return the value of these canonical bytes. Raises `MalformedBytes`."""
    if _depth(data) > DEPTH_MAX:
        raise MalformedBytes("DAG-JSON", "nested too deep")
    try:
        plain = json.loads(data.decode(), object_pairs_hook=_map, parse_constant=_refuse)
        value = _Reader().value(plain, depth=0)
        is_canonical = encode(value) == data
    except (ValueError, RecursionError) as error:
        raise MalformedBytes("DAG-JSON", type(error).__name__) from None
    if not is_canonical:
        raise MalformedBytes("DAG-JSON", "not its canonical encoding")
    return value


def _depth(data: bytes) -> int:
    """Return how deep the brackets outside of strings nest, without recursion.

    The parser underneath trusts the interpreter's recursion limit, which some libraries lift.
    """
    depth = deepest = 0
    for byte in _STRING.sub(b"", data):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _text(value: Any) -> str:
    match value:
        case bool() | None | str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            assert value in _INTEGERS, "an integer of the data model has 64 bits"
            return str(value)
        case float():
            assert math.isfinite(value), "DAG-JSON has no NaN and no infinity"
            return _float_text(value)
        case bytes():
            text = base64.b64encode(value).decode().rstrip("=")
            return f'{{"/":{{"bytes":"{text}"}}}}'
        case CID():
            return f'{{"/":"{value}"}}'
        case list() | tuple():
            return "[" + ",".join(map(_text, value)) + "]"
        case Mapping():
            assert _RESERVED not in value, 'no map has the key "/"'
            entries = sorted(value.items(), key=lambda entry: entry[0].encode())
            return "{" + ",".join(f"{_text(key)}:{_text(item)}" for key, item in entries) + "}"
        case _:
            raise AssertionError(f"{type(value).__name__} is not in the IPLD data model")


def _float_text(number: float) -> str:
    """Return the shortest decimal form, its exponent without leading zeros, as JavaScript's."""
    mantissa, e, exponent = repr(number).partition("e")
    return f"{mantissa}e{int(exponent):+}" if e else mantissa


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise MalformedBytes("DAG-JSON", "a key twice")
    return entries


def _refuse(constant: str) -> NoReturn:
    raise MalformedBytes("DAG-JSON", constant)


class _Reader:
    """Turns parsed JSON into the data model, and counts what it meets."""

    def __init__(self) -> None:
        self._items = 0

    def value(self, plain: Any, *, depth: int) -> Value:
        self._items += 1
        if depth > DEPTH_MAX or self._items > ITEMS_MAX:
            raise MalformedBytes("DAG-JSON", "nested too deep, or too many items")
        match plain:
            case dict() if _RESERVED in plain:
                return _link_or_bytes(plain)
            case dict():
                return {key: self.value(item, depth=depth + 1) for key, item in plain.items()}
            case list():
                return [self.value(item, depth=depth + 1) for item in plain]
            case float() if not math.isfinite(plain):
                raise MalformedBytes("DAG-JSON", "a number too large")
            case bool() | None | str() | float():
                return plain
            case int() if plain in _INTEGERS:
                return plain
            case _:
                raise MalformedBytes("DAG-JSON", "an integer of more than 64 bits")


def _link_or_bytes(plain: dict[str, Any]) -> CID | bytes:
    match plain:
        case {"/": str(text)} if len(plain) == 1:
            return CID.parse(text)
        case {"/": {"bytes": str(text), **more}} if len(plain) == 1 and not more:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        case _:
            raise MalformedBytes("DAG-JSON", 'a map with the key "/"')
