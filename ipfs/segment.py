"""Segments: files that blocks are appended to, and that can be read again after any crash.

A record is a head, a CID, and the block's bytes; a tombstone has no bytes:

    magic 4 | kind 1 | CID bytes 1 | data bytes 4 | CRC-32 of all this and the CID 4 | CID | data

The CRC vouches for where the next record starts, the CID for the data. Reading ends at a damaged
head: where the next record would start is unknown.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final, Self

from ipfs.block import Block
from ipfs.cid import CID
from ipfs.errors import MalformedBytes

_MAGIC: Final = b"HfS1"
_HEAD: Final = struct.Struct(">4sBBI")
_CRC: Final = struct.Struct(">I")


class Kind(IntEnum):
    """What a record says about its CID."""

    BLOCK = 1
    TOMBSTONE = 2


@dataclass(frozen=True, slots=True)
class Found:
    """A record met in a segment; its data is intact if `data_matches`."""

    kind: Kind
    cid: CID
    data_at: int
    data_bytes: int
    data_matches: bool


class SegmentWriter:
    """Appends records to one segment file; `sync` makes them durable."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self.size_bytes = size_bytes

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a segment, new or not, to append to it; its name is durable when this returns."""
        file = path.open("ab")
        folder_fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder_fd)
        finally:
            os.close(folder_fd)
        return cls(file, file.tell())

    def append_block(self, block: Block) -> int:
        """Append a block; return where its data starts."""
        self._append_head(Kind.BLOCK, block.cid, len(block.data))
        data_at = self.size_bytes
        self._file.write(block.data)
        self.size_bytes += len(block.data)
        return data_at

    def append_tombstone(self, cid: CID) -> None:
        """Append the news that a block was deleted."""
        self._append_head(Kind.TOMBSTONE, cid, 0)

    def sync(self) -> None:
        """Return when everything appended is on the disk."""
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append_head(self, kind: Kind, cid: CID, data_bytes: int) -> None:
        name = cid.encode()
        head = _HEAD.pack(_MAGIC, kind, len(name), data_bytes)
        head += _CRC.pack(zlib.crc32(head + name)) + name
        self._file.write(head)
        self.size_bytes += len(head)


def read_data(path: Path, data_at: int, data_bytes: int) -> bytes:
    """Return these bytes of a segment, fewer if it ends before."""
    with path.open("rb") as file:
        return os.pread(file.fileno(), data_bytes, data_at)


def scan(path: Path, start: int) -> Iterator[Found]:
    """Yield the records from `start` on, up to the end of the file or the first torn one."""
    with path.open("rb") as file:
        file.seek(start)
        while (record := _read_record(file)) is not None:
            yield record


def _read_record(file: BinaryIO) -> Found | None:
    head = file.read(_HEAD.size + _CRC.size)
    if len(head) < _HEAD.size + _CRC.size:
        return None
    magic, kind, cid_bytes, data_bytes = _HEAD.unpack_from(head)
    name = file.read(cid_bytes)
    (crc,) = _CRC.unpack_from(head, _HEAD.size)
    if magic != _MAGIC or crc != zlib.crc32(head[: _HEAD.size] + name):
        return None
    try:
        cid = CID.decode(name)
    except MalformedBytes:
        return None
    data_at = file.tell()
    data = file.read(data_bytes)
    if len(data) < data_bytes:
        return None
    matches = kind == Kind.TOMBSTONE or cid.matches(data)
    return Found(Kind(kind), cid, data_at, data_bytes, matches)
