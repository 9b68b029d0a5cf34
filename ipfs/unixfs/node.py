"""UnixFS nodes: what a block says about files and folders (specs.ipfs.tech/unixfs).

`read_node` checks that a node's header and its links agree, and returns what the node *is*.
"""

import unicodedata
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, assert_never

from ipfs.block import Block
from ipfs.cid import CID, Codec
from ipfs.dag_pb import PBLink, PBNode
from ipfs.errors import MalformedBytes
from ipfs.unixfs.errors import UnsafeEntry
from ipfs.unixfs.hamt import FANOUT_MAX, HASH_MURMUR3_X64_64, bucket_digits
from ipfs.unixfs.header import NO_METADATA, Header, Metadata, NodeType

NAME_BYTES_MAX: Final = 255
"""What file systems take (Linux NAME_MAX)."""

_TARGET_BYTES_MAX: Final = 4096
"""Linux PATH_MAX."""

_UPPER_HEX: Final = frozenset("0123456789ABCDEF")


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
    metadata: Metadata = NO_METADATA

    @property
    def size_bytes(self) -> int:
        """Return how many bytes the file has."""
        return len(self.data) + sum(part.size_bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Entry:
    """A named child of a directory; `tsize` is what that says of the bytes of all its blocks."""

    name: str
    cid: CID
    tsize: int | None = None


@dataclass(frozen=True, slots=True)
class Directory:
    """A plain directory; its names are safe to write to a disk and differ from each other."""

    entries: tuple[Entry, ...]
    metadata: Metadata = NO_METADATA


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place of a shard that is taken: by an entry, or by a shard below, which has no name."""

    index: int
    name: str
    cid: CID
    tsize: int | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """A sharded directory, or a part of one; `ipfs.unixfs.tree` reads what is below.

    Its names are safe to write to a disk; whether they are in their buckets depends on how far
    the shard is from the root.
    """

    fanout: int
    buckets: tuple[Bucket, ...]
    metadata: Metadata = NO_METADATA


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link; where it points is for the reader to judge."""

    target: str
    metadata: Metadata = NO_METADATA


Node = File | Directory | Shard | Symlink


def read_node(block: Block) -> Node:
    """Return what the block is.

    Raises `MalformedBytes` where header and links disagree, `UnsafeEntry` for a name that no
    directory may hold.
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
            return Directory(_entries(node.links), header.metadata)
        case NodeType.SYMLINK:
            return Symlink(_target(header, node.links), header.metadata)
        case NodeType.HAMT_SHARD:
            return _shard(header, node.links)
        case NodeType.METADATA:
            raise MalformedBytes("UnixFS", "metadata nodes are obsolete")
        case _:
            assert_never(header.type)


def check_name(name: str) -> None:
    """Refuse a name that could leave its folder or fool a terminal. Raises `UnsafeEntry`."""
    if name in {"", ".", ".."}:
        raise UnsafeEntry(name, "not a name")
    if len(name) > NAME_BYTES_MAX or len(name.encode(errors="surrogatepass")) > NAME_BYTES_MAX:
        raise UnsafeEntry(name[:40] + "…", f"a name has at most {NAME_BYTES_MAX} bytes")
    if "/" in name or any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise UnsafeEntry(name, "a name holds no slash and no control character")


def check_target(target: str, *, path: tuple[str, ...]) -> None:
    """Refuse a symbolic link that leaves the tree. Raises `UnsafeEntry`.

    path:  the link's own names, from the root of the tree; () is the root itself
    """
    if not path:
        raise UnsafeEntry(target, "a symbolic link by itself leads nowhere: take its folder")
    steps = [step for step in target.split("/") if step not in {"", "."}]
    climbs = len(list(takewhile(lambda step: step == "..", steps)))
    # A ".." after a name could climb out through another link.
    if target.startswith("/") or climbs >= len(path) or ".." in steps[climbs:]:
        raise UnsafeEntry("/".join(path), f"a symbolic link to {target!r} leaves the folder")
    if not target or "\0" in target or len(target.encode()) > _TARGET_BYTES_MAX:
        raise UnsafeEntry("/".join(path), "no target of a symbolic link")


def _file(header: Header, links: tuple[PBLink, ...]) -> File:
    if len(header.block_bytes) != len(links):
        raise MalformedBytes("UnixFS", f"{len(links)} links, {len(header.block_bytes)} sizes")
    parts = tuple(
        Part(link.cid, size_bytes)
        for link, size_bytes in zip(links, header.block_bytes, strict=True)
    )
    file = File(header.data or b"", parts, header.metadata)
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
    return tuple(Entry(link.name or "", link.cid, link.tsize) for link in links)


def _shard(header: Header, links: tuple[PBLink, ...]) -> Shard:
    fanout, bitfield = header.fanout or 0, header.data or b""
    if header.hash_type != HASH_MURMUR3_X64_64:
        raise MalformedBytes("HAMT", f"hash function {header.hash_type}")
    if not 8 <= fanout <= FANOUT_MAX or fanout.bit_count() != 1:
        raise MalformedBytes("HAMT", f"{fanout} buckets")
    if len(bitfield) > fanout // 8:
        raise MalformedBytes("HAMT", "more bits than buckets")
    if len(links) != int.from_bytes(bitfield).bit_count():
        raise MalformedBytes("HAMT", "the links are not those of the bits")
    digits = bucket_digits(fanout)
    buckets = tuple(_bucket(link, digits) for link in links)
    bits = {1 << bucket.index for bucket in buckets}
    if len(bits) != len(buckets) or sum(bits) != int.from_bytes(bitfield):
        raise MalformedBytes("HAMT", "the links are not those of the bits")
    return Shard(fanout, buckets, header.metadata)


def _bucket(link: PBLink, digits: int) -> Bucket:
    prefix, name = (link.name or "")[:digits], (link.name or "")[digits:]
    if len(prefix) < digits or not _UPPER_HEX.issuperset(prefix):
        raise MalformedBytes("HAMT", f"bucket {prefix!r}")
    if name:
        check_name(name)
    return Bucket(int(prefix, 16), name, link.cid, link.tsize)


def _target(header: Header, links: tuple[PBLink, ...]) -> str:
    if links:
        raise MalformedBytes("UnixFS", "a symbolic link with children")
    try:
        return (header.data or b"").decode()
    except UnicodeDecodeError:
        raise MalformedBytes("UnixFS", "a symbolic link's target is not UTF-8") from None
