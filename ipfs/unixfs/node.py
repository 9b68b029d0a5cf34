"""UnixFS nodes: what a block says about files and folders (specs.ipfs.tech/unixfs).

`Header` is the protobuf message in a DAG-PB node's data; `read_node` checks that header and
links agree, and returns what the node *is*.
"""

import unicodedata
from dataclasses import dataclass
from enum import IntEnum
from itertools import takewhile
from typing import Final, Self, assert_never

from ipfs import protobuf
from ipfs.block import Block
from ipfs.cid import CID, Codec
from ipfs.dag_pb import PBLink, PBNode
from ipfs.errors import MalformedBytes
from ipfs.unixfs.errors import ShardingUnsupported, UnsafeEntry

NAME_BYTES_MAX: Final = 255
"""What file systems take (Linux NAME_MAX)."""

_TARGET_BYTES_MAX: Final = 4096
"""Linux PATH_MAX."""


class NodeType(IntEnum):
    """The type field of the header."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    HAMT_SHARD = 5


@dataclass(frozen=True, slots=True)
class Header:
    """The protobuf message `Data` of UnixFS; None means that the field is absent."""

    type: NodeType
    data: bytes | None = None
    file_bytes: int | None = None
    block_bytes: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """Return the message, its fields in order of their numbers, as Kubo writes it."""
        out = bytearray(protobuf.encode_varint_field(1, self.type))
        if self.data is not None:
            out += protobuf.encode_bytes_field(2, self.data)
        if self.file_bytes is not None:
            out += protobuf.encode_varint_field(3, self.file_bytes)
        for size_bytes in self.block_bytes:
            out += protobuf.encode_varint_field(4, size_bytes)
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the header. Raises `MalformedBytes`.

        Fields 5 to 8 (sharding, mode, mtime) and unknown ones are passed over: they do not change
        the content.
        """
        node_type: NodeType | None = None
        content: bytes | None = None
        file_bytes: int | None = None
        block_bytes: list[int] = []
        seen: set[int] = set()
        for number, _, value in protobuf.fields(data):
            if number in seen and number != 4:
                raise MalformedBytes("UnixFS", f"field {number} twice")
            seen.add(number)
            match number:
                case 1:
                    node_type = _node_type(protobuf.expect_int(value, "UnixFS"))
                case 2:
                    content = protobuf.expect_bytes(value, "UnixFS")
                case 3:
                    file_bytes = protobuf.expect_int(value, "UnixFS")
                case 4:
                    block_bytes.append(protobuf.expect_int(value, "UnixFS"))
                case _:
                    pass
        if node_type is None:
            raise MalformedBytes("UnixFS", "no type")
        return cls(node_type, content, file_bytes, tuple(block_bytes))


@dataclass(frozen=True, slots=True)
class Part:
    """A child of a file node and how many bytes of the file it stands for."""

    cid: CID
    size_bytes: int


@dataclass(frozen=True, slots=True)
class File:
    """A file, or a part of one: its own bytes, then those of its parts."""

    data: bytes
    parts: tuple[Part, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Return how many bytes the file has."""
        return len(self.data) + sum(part.size_bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Entry:
    """A named child of a directory."""

    name: str
    cid: CID


@dataclass(frozen=True, slots=True)
class Directory:
    """A plain directory; its names are safe to write to a disk and differ from each other."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link; where it points is for the reader to judge."""

    target: str


Node = File | Directory | Symlink


def read_node(block: Block) -> Node:
    """Return what the block is.

    Raises `MalformedBytes` where sizes and links disagree, `UnsafeEntry` for a name that no
    directory may hold, `ShardingUnsupported`.
    """
    match block.cid.codec:
        case Codec.RAW:
            return File(block.data)
        case Codec.DAG_PB:
            node = PBNode.decode(block.data)
        case codec:
            raise MalformedBytes("UnixFS", f"codec {codec:#x} is no file")
    if node.data is None:
        raise MalformedBytes("UnixFS", "a node without a header")
    header = Header.decode(node.data)
    match header.type:
        case NodeType.FILE | NodeType.RAW:
            return _file(header, node.links)
        case NodeType.DIRECTORY:
            return Directory(_entries(node.links))
        case NodeType.SYMLINK:
            return Symlink(_target(header, node.links))
        case NodeType.HAMT_SHARD:
            raise ShardingUnsupported
        case NodeType.METADATA:
            raise MalformedBytes("UnixFS", "metadata nodes are obsolete")
        case _:
            assert_never(header.type)


def check_name(name: str) -> None:
    """Refuse a name that could leave its folder or fool a terminal. Raises `UnsafeEntry`."""
    if name in {"", ".", ".."}:
        raise UnsafeEntry(name, "not a name")
    if "/" in name or any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise UnsafeEntry(name, "a name holds no slash and no control character")
    if len(name.encode()) > NAME_BYTES_MAX:
        raise UnsafeEntry(name[:40] + "…", f"a name has at most {NAME_BYTES_MAX} bytes")


def check_target(target: str, *, path: tuple[str, ...]) -> None:
    """Refuse a symbolic link that leaves the tree. Raises `UnsafeEntry`.

    path:  the link's own names, from the root of the tree; () is the root itself
    """
    steps = [step for step in target.split("/") if step not in {"", "."}]
    climbs = len(list(takewhile(lambda step: step == "..", steps)))
    # A ".." after a name could climb out through another link.
    if target.startswith("/") or climbs >= len(path) or ".." in steps[climbs:]:
        raise UnsafeEntry("/".join(path), f"a symbolic link to {target!r} leaves the folder")
    if not target or "\0" in target or len(target.encode()) > _TARGET_BYTES_MAX:
        raise UnsafeEntry("/".join(path), "no target of a symbolic link")


def _node_type(value: int) -> NodeType:
    try:
        return NodeType(value)
    except ValueError:
        raise MalformedBytes("UnixFS", f"type {value}") from None


def _file(header: Header, links: tuple[PBLink, ...]) -> File:
    if len(header.block_bytes) != len(links):
        raise MalformedBytes("UnixFS", f"{len(links)} links, {len(header.block_bytes)} sizes")
    parts = tuple(
        Part(link.cid, size_bytes)
        for link, size_bytes in zip(links, header.block_bytes, strict=True)
    )
    file = File(header.data or b"", parts)
    if file.size_bytes != (header.file_bytes if header.file_bytes is not None else file.size_bytes):
        raise MalformedBytes("UnixFS", f"{file.size_bytes} bytes, {header.file_bytes} claimed")
    return file


def _entries(links: tuple[PBLink, ...]) -> tuple[Entry, ...]:
    names: set[str] = set()
    for link in links:
        name = link.name or ""
        check_name(name)
        if name in names:
            raise UnsafeEntry(name, "two entries have this name")
        names.add(name)
    return tuple(Entry(link.name or "", link.cid) for link in links)


def _target(header: Header, links: tuple[PBLink, ...]) -> str:
    if links:
        raise MalformedBytes("UnixFS", "a symbolic link with children")
    try:
        return (header.data or b"").decode()
    except UnicodeDecodeError:
        raise MalformedBytes("UnixFS", "a symbolic link's target is not UTF-8") from None
