"""The protobuf wire format, as little of it as IPFS uses; each message keeps its own strictness."""

from collections.abc import Iterator
from typing import Final, TypeVar

from ipfs import varint
from ipfs.errors import LimitExceeded, MalformedBytes

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_FIXED_BYTES: Final = {FIXED64: 8, FIXED32: 4}
_UINT64_BYTES_MAX: Final = 10

_Raw = TypeVar("_Raw", bytes, memoryview)


def encode_varint_field(number: int, value: int) -> bytes:
    """Return one varint field, 0 <= value < 2^64."""
    return varint.encode(number << 3 | VARINT) + _encode_uint64(value)


def encode_fixed32_field(number: int, value: int) -> bytes:
    """Return one field of four bytes, 0 <= value < 2^32."""
    return varint.encode(number << 3 | FIXED32) + value.to_bytes(4, "little")


def encode_bytes_field(number: int, value: bytes) -> bytes:
    """Return one length-delimited field."""
    if number < 16 and len(value) < 0x80:
        return bytes((number << 3 | BYTES, len(value))) + value
    return encode_bytes_head(number, len(value)) + value


def encode_bytes_head(number: int, size_bytes: int) -> bytes:
    """Return what goes before the value of a length-delimited field."""
    return varint.encode(number << 3 | BYTES) + varint.encode(size_bytes)


def fields(data: _Raw) -> Iterator[tuple[int, int, int | _Raw]]:
    """Yield (field number, wire type, value) in the order of the bytes.

    The value is an int for VARINT, else the raw bytes: a view of them if `data` is one. Raises
    `MalformedBytes`; groups are refused.
    """
    position = 0
    while position < len(data):
        key, position = _decode_uint64(data, position)
        number, wire_type = key >> 3, key & 7
        if not 1 <= number < 1 << 29:
            raise MalformedBytes("protobuf", f"field number {number}")
        if wire_type == VARINT:
            value, position = _decode_uint64(data, position)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            length, position = _decode_uint64(data, position)
        elif wire_type in _FIXED_BYTES:
            length = _FIXED_BYTES[wire_type]
        else:
            raise MalformedBytes("protobuf", f"wire type {wire_type}")
        if length > len(data) - position:
            raise MalformedBytes("protobuf", "truncated field")
        yield number, wire_type, data[position : position + length]
        position += length


class FieldReader:
    """Reads the fields of one message and of those inside it, so many of them altogether.

    A field may have two bytes, so that the size of a message alone bounds no work.
    """

    def __init__(self, *, fields_max: int) -> None:
        self._fields_max = fields_max
        self._count = 0

    def fields(self, data: _Raw) -> Iterator[tuple[int, int | _Raw]]:
        """Yield (field number, value) as `fields` does. Raises `LimitExceeded` too."""
        for number, _, value in fields(data):
            self._count += 1
            if self._count > self._fields_max:
                raise LimitExceeded("message fields", limit=self._fields_max, asked=self._count)
            yield number, value


def take_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    """Return the bytes that a minimal length at `position` announces, and where they end.

    For messages that have one encoding. Raises `MalformedBytes`.
    """
    length, start = take_uint64(data, position)
    end = start + length
    if end > len(data):
        raise MalformedBytes("protobuf", "truncated field")
    return data[start:end], end


def take_uint64(data: bytes, position: int) -> tuple[int, int]:
    """Return the number that a minimal varint at `position` is, and where that ends."""
    if position < len(data) and data[position] < 0x80:
        return data[position], position + 1
    value, end = _decode_uint64(data, position)
    if data[end - 1] == 0:
        raise MalformedBytes("protobuf", "a varint longer than it needs to be")
    return value, end


def expect_bytes(value: int | bytes | memoryview, what: str) -> bytes:
    """Return a field's value, a view's copied, where bytes are due. Raises `MalformedBytes`."""
    if isinstance(value, int):
        raise MalformedBytes(what, "a number where bytes are due")
    return bytes(value)


def expect_raw(value: int | _Raw, what: str) -> _Raw:
    """Return a field's value as it is, where bytes are due. Raises `MalformedBytes`."""
    if isinstance(value, int):
        raise MalformedBytes(what, "a number where bytes are due")
    return value


def expect_int(value: int | bytes | memoryview, what: str) -> int:
    """Return a field's value where a number is due. Raises `MalformedBytes`."""
    if isinstance(value, int):
        return value
    raise MalformedBytes(what, "bytes where a number is due")


def _encode_uint64(value: int) -> bytes:
    assert 0 <= value < 1 << 64, "a protobuf varint holds 64 bits"
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _decode_uint64(data: bytes | memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_UINT64_BYTES_MAX):
        if position + index >= len(data):
            raise MalformedBytes("protobuf", "truncated varint")
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> 64:
                raise MalformedBytes("protobuf", "varint over 64 bits")
            return value, position + index + 1
    raise MalformedBytes("protobuf", "varint over 64 bits")
