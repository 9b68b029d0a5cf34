"""DAG-CBOR, strict both ways: one value has one encoding (ipld.io/specs/codecs/dag-cbor)."""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ipfs.cid import CID
from ipfs.errors import MalformedBytes

Value = None | bool | int | float | str | bytes | CID | list[Any] | dict[str, Any]

DEPTH_MAX: Final = 128
"""Nested deeper, a stranger's bytes are refused before they can exhaust the stack."""

ITEMS_MAX: Final = 1 << 18
"""Items of all lists and maps together: 2 MiB of tiny ones would hold a thread for a second."""

_LINK_TAG: Final = 42


def encode(value: Any) -> bytes:
    """Return the one encoding of a value of the IPLD data model (tuples count as lists)."""
    out = bytearray()
    _encode(value, out)
    return bytes(out)


def decode(data: bytes) -> Value:
    """Return the value of these canonical bytes. Raises `MalformedBytes`."""
    reader = _Reader(data)
    value = reader.value(depth=0)
    reader.expect_end()
    return value


def read_links(data: bytes) -> Iterator[CID]:
    """Yield the links in a value, in its order, each read when its turn comes; nothing is held.

    Raises as `decode` does, at the place that is wrong.
    """
    reader = _Reader(data)
    yield from reader.links(depth=0)
    reader.expect_end()


def _encode(value: Any, out: bytearray) -> None:
    match value:
        case bool() | None:
            out.append({False: 0xF4, True: 0xF5, None: 0xF6}[value])
        case int() if value >= 0:
            _encode_head(0, value, out)
        case int():
            _encode_head(1, -1 - value, out)
        case bytes():
            _encode_head(2, len(value), out)
            out += value
        case str():
            text = value.encode()
            _encode_head(3, len(text), out)
            out += text
        case list() | tuple():
            _encode_head(4, len(value), out)
            for item in value:
                _encode(item, out)
        case Mapping():
            _encode_head(5, len(value), out)
            for key, item in sorted(value.items(), key=lambda entry: _key_order(entry[0].encode())):
                _encode(key, out)
                _encode(item, out)
        case CID():
            _encode_head(6, _LINK_TAG, out)
            link = b"\0" + value.encode()
            _encode_head(2, len(link), out)
            out += link
        case float():
            assert math.isfinite(value), "DAG-CBOR has no NaN and no infinity"
            out += b"\xfb" + struct.pack(">d", value)
        case _:
            raise AssertionError(f"{type(value).__name__} is not in the IPLD data model")


def _encode_head(major: int, argument: int, out: bytearray) -> None:
    if argument < 24:
        out.append(major << 5 | argument)
        return
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * width:
            out.append(major << 5 | info)
            out += argument.to_bytes(width)
            return
    raise AssertionError("an integer of DAG-CBOR has 64 bits")


def _key_order(key: bytes) -> tuple[int, bytes]:
    return len(key), key


class _Reader:
    """Walks the bytes once; allocates nothing that the bytes present do not pay for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._items = 0

    def value(self, *, depth: int) -> Value:
        """Read one value."""
        major, info = self._kind(depth)
        match major:
            case 4:
                return [self.value(depth=depth + 1) for _ in self._entries(self._argument(info))]
            case 5:
                keys = self._keys(self._argument(info), depth + 1)
                return {key: self.value(depth=depth + 1) for key in keys}
            case _:
                return self._scalar(major, info)

    def links(self, *, depth: int) -> Iterator[CID]:
        """Read one value as `value` does, and yield the links in it."""
        major, info = self._kind(depth)
        match major:
            case 4:
                for _ in self._entries(self._argument(info)):
                    yield from self.links(depth=depth + 1)
            case 5:
                for _ in self._keys(self._argument(info), depth + 1):
                    yield from self.links(depth=depth + 1)
            case _:
                found = self._scalar(major, info)
                if isinstance(found, CID):
                    yield found

    def expect_end(self) -> None:
        """Raise `MalformedBytes` if anything is left."""
        if self._position != len(self._data):
            raise MalformedBytes("DAG-CBOR", "trailing bytes")

    def _kind(self, depth: int) -> tuple[int, int]:
        """Read the major type and what goes with it."""
        if depth > DEPTH_MAX:
            raise MalformedBytes("DAG-CBOR", "nested too deep")
        if self._position == len(self._data):
            raise MalformedBytes("DAG-CBOR", "truncated")
        head = self._data[self._position]
        self._position += 1
        return head >> 5, head & 31

    def _scalar(self, major: int, info: int) -> Value:
        if major == 7:
            return self._simple(info)
        argument = self._argument(info)
        match major:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2:
                return self._take(argument)
            case 3:
                return self._text(argument)
            case _:
                return self._link(argument)

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self._position:
            raise MalformedBytes("DAG-CBOR", "truncated")
        start, self._position = self._position, self._position + count
        return self._data[start : self._position]

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise MalformedBytes("DAG-CBOR", "indefinite length")
        width = 1 << info - 24
        argument = int.from_bytes(self._take(width))
        if argument < (24 if width == 1 else 1 << 4 * width):
            raise MalformedBytes("DAG-CBOR", "an integer longer than it needs to be")
        return argument

    def _entries(self, count: int) -> range:
        if count > len(self._data) - self._position:
            raise MalformedBytes("DAG-CBOR", "truncated")
        self._items += count
        if self._items > ITEMS_MAX:
            raise MalformedBytes("DAG-CBOR", f"over {ITEMS_MAX} items")
        return range(count)

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            raise MalformedBytes("DAG-CBOR", "text is not UTF-8") from None

    def _keys(self, count: int, depth: int) -> Iterator[str]:
        """Yield the keys of a map; the value of each is to be read before the next."""
        previous: tuple[int, bytes] | None = None
        for _ in self._entries(count):
            key = self.value(depth=depth)
            if not isinstance(key, str):
                raise MalformedBytes("DAG-CBOR", "a key that is not text")
            order = _key_order(key.encode())
            if previous is not None and order <= previous:
                raise MalformedBytes("DAG-CBOR", "keys out of order, or twice")
            previous = order
            yield key

    def _link(self, tag: int) -> CID:
        if tag != _LINK_TAG:
            raise MalformedBytes("DAG-CBOR", f"tag {tag}")
        major, info = divmod(self._take(1)[0], 32)
        if major != 2:
            raise MalformedBytes("DAG-CBOR", "a link is bytes")
        link = self._take(self._argument(info))
        if link[:1] != b"\0":
            raise MalformedBytes("DAG-CBOR", "a link without its prefix")
        return CID.decode(link[1:])

    def _simple(self, info: int) -> Value:
        match info:
            case 20:
                return False
            case 21:
                return True
            case 22:
                return None
            case 27:
                (number,) = struct.unpack(">d", self._take(8))
                if not math.isfinite(number):
                    raise MalformedBytes("DAG-CBOR", "NaN or infinity")
                return float(number)
            case _:
                raise MalformedBytes("DAG-CBOR", f"simple value {info}")
