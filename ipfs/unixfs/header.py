"""The protobuf message in a UnixFS node's data, and the permissions and time it may carry."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Self

from ipfs import protobuf
from ipfs.dag_pb import LINKS_MAX
from ipfs.errors import MalformedBytes

FILE_MODE: Final = 0o644
DIRECTORY_MODE: Final = 0o755
"""What an absent mode means (specs.ipfs.tech/unixfs); such a mode is not written at all."""

_FIELDS_MAX: Final = LINKS_MAX + 64
"""A size for each link, and what else there may come to be."""

_MTIME_BYTES_MAX: Final = 64
"""Seconds and nanoseconds take sixteen."""

_NANOSECONDS: Final = 10**9
_SECONDS_MAX: Final = 1 << 63


class NodeType(IntEnum):
    """The type field of the header."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    HAMT_SHARD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What else a file system knows of an entry; None where it was not kept.

    mode:      permission bits and setuid, setgid, sticky, as `st_mode & 0o7777`
    mtime_ns:  nanoseconds since 1970, may be negative
    """

    mode: int | None = None
    mtime_ns: int | None = None


NO_METADATA: Final = Metadata()


@dataclass(frozen=True, slots=True)
class Header:
    """The protobuf message `Data` of UnixFS; None means that the field is absent."""

    type: NodeType
    data: bytes | None = None
    file_bytes: int | None = None
    block_bytes: tuple[int, ...] = ()
    hash_type: int | None = field(default=None, kw_only=True)
    fanout: int | None = field(default=None, kw_only=True)
    metadata: Metadata = field(default=NO_METADATA, kw_only=True)

    def encode(self) -> bytes:
        """Return the message, its fields in order of their numbers, as Kubo writes it."""
        out = bytearray(protobuf.encode_varint_field(1, self.type))
        if self.data is not None:
            out += protobuf.encode_bytes_field(2, self.data)
        if self.file_bytes is not None:
            out += protobuf.encode_varint_field(3, self.file_bytes)
        for size_bytes in self.block_bytes:
            out += protobuf.encode_varint_field(4, size_bytes)
        if self.hash_type is not None:
            out += protobuf.encode_varint_field(5, self.hash_type)
        if self.fanout is not None:
            out += protobuf.encode_varint_field(6, self.fanout)
        if self.metadata.mode not in {None, self._default_mode()}:
            out += protobuf.encode_varint_field(7, self.metadata.mode or 0)
        if self.metadata.mtime_ns is not None:
            out += protobuf.encode_bytes_field(8, _encode_mtime(self.metadata.mtime_ns))
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the header; unknown fields are passed over.

        Raises `MalformedBytes`, `LimitExceeded`.
        """
        numbers: dict[int, int] = {}
        content: bytes | None = None
        block_bytes: list[int] = []
        mtime_ns: int | None = None
        seen: set[int] = set()
        for number, value in protobuf.FieldReader(fields_max=_FIELDS_MAX).fields(data):
            if number in seen and number != 4:
                raise MalformedBytes("UnixFS", f"field {number} twice")
            seen.add(number)
            match number:
                case 1 | 3 | 5 | 6 | 7:
                    numbers[number] = protobuf.expect_int(value, "UnixFS")
                case 2:
                    content = protobuf.expect_bytes(value, "UnixFS")
                case 4:
                    block_bytes.append(protobuf.expect_int(value, "UnixFS"))
                case 8:
                    mtime_ns = _decode_mtime(protobuf.expect_bytes(value, "UnixFS"))
                case _:
                    pass
        mode = numbers.get(7)
        return cls(
            _node_type(numbers.get(1)),
            content,
            numbers.get(3),
            tuple(block_bytes),
            hash_type=numbers.get(5),
            fanout=numbers.get(6),
            metadata=Metadata(mode=None if mode is None else mode & 0o7777, mtime_ns=mtime_ns),
        )

    def _default_mode(self) -> int:
        is_folder = self.type in {NodeType.DIRECTORY, NodeType.HAMT_SHARD}
        return DIRECTORY_MODE if is_folder else FILE_MODE


def _node_type(value: int | None) -> NodeType:
    if value is None:
        raise MalformedBytes("UnixFS", "no type")
    try:
        return NodeType(value)
    except ValueError:
        raise MalformedBytes("UnixFS", f"type {value}") from None


def _encode_mtime(mtime_ns: int) -> bytes:
    seconds, nanoseconds = divmod(mtime_ns, _NANOSECONDS)
    out = protobuf.encode_varint_field(1, seconds % (1 << 64))
    return out + protobuf.encode_fixed32_field(2, nanoseconds) if nanoseconds else out


def _decode_mtime(data: bytes) -> int:
    seconds = nanoseconds = 0
    if len(data) > _MTIME_BYTES_MAX:
        raise MalformedBytes("UnixFS", "a time has seconds and nanoseconds")
    for number, wire_type, value in protobuf.fields(data):
        match number, wire_type:
            case 1, protobuf.VARINT:
                seconds = protobuf.expect_int(value, "UnixFS")
            case 2, protobuf.FIXED32:
                nanoseconds = int.from_bytes(protobuf.expect_bytes(value, "UnixFS"), "little")
            case _:
                raise MalformedBytes("UnixFS", "a time has seconds and nanoseconds")
    if nanoseconds >= _NANOSECONDS:
        raise MalformedBytes("UnixFS", "a second has fewer nanoseconds")
    signed = seconds - (1 << 64) if seconds >= _SECONDS_MAX else seconds
    return signed * _NANOSECONDS + nanoseconds
