"""What is in a segment: records that can be found again after any crash, and around any damage.

A record is a head, a CID, and the block's bytes; a tombstone has no bytes:

    marker 8 | kind 1 | CID bytes 1 | data bytes 4 | CRC-32 4 | CID | data

The CRC is of the head and the CID. It vouches for where the next record starts, the CID for the
data. The marker is random and the segment's own, so that no stranger can write a block that reads
like a record: behind a damaged head, the next marker is where reading goes on. It is in the file's
name, where no bit rots.
"""

import re
import secrets
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final, Self

from cryptography.hazmat.primitives.poly1305 import Poly1305

from ipfs.cid import CID
from ipfs.errors import MalformedBytes

_MARKER_BYTES: Final = 8
_HEAD: Final = struct.Struct(">8sBBI")
_CRC: Final = struct.Struct(">I")
_HEAD_BYTES: Final = _HEAD.size + _CRC.size
_NAME: Final = re.compile(r"([0-9]{8,})-([0-9a-f]{16})\.segment")
_SEARCH_BYTES: Final = 1 << 20
_CHECKSUM_KEY_BYTES: Final = 32


def checksum(cid: CID, data: bytes) -> bytes:
    """Return 16 bytes by which rot in a block's data, or another block's, is noticed (ADR 32).

    Poly1305 (RFC 8439) under the digest: other bytes pass with a probability below 2^-85, unless
    somebody has chosen them. Some seven times faster than to compute the digest.
    """
    key = cid.digest[:_CHECKSUM_KEY_BYTES].ljust(_CHECKSUM_KEY_BYTES, b"\0")
    return Poly1305.generate_tag(key, data)


class Kind(IntEnum):
    """What a record says about its CID."""

    BLOCK = 1
    TOMBSTONE = 2


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment by its number, which grows, and its marker."""

    id: int
    marker: bytes

    @classmethod
    def new(cls, number: int) -> Self:
        """Return a segment that is not on the disk yet."""
        return cls(number, secrets.token_bytes(_MARKER_BYTES))

    @classmethod
    def all_in(cls, folder: Path) -> "dict[int, SegmentFile]":
        """Return the segments of a folder by their numbers, in order."""
        found = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
        segments = [cls(int(name[1]), bytes.fromhex(name[2])) for name in found if name]
        return {segment.id: segment for segment in sorted(segments, key=lambda each: each.id)}

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return f"{self.id:08d}-{self.marker.hex()}.segment"

    def head(self, kind: Kind, cid: CID, data_bytes: int) -> bytes:
        """Return what is written before a block's data."""
        name = cid.encode()
        head = _HEAD.pack(self.marker, kind, len(name), data_bytes)
        return head + _CRC.pack(zlib.crc32(head + name)) + name


@dataclass(frozen=True, slots=True)
class Found:
    """A record met in a segment; its data is intact if `data_matches`."""

    kind: Kind
    cid: CID
    data_at: int
    data_bytes: int
    data_matches: bool
    checksum: bytes

    @property
    def end(self) -> int:
        """Return where the next record starts."""
        return self.data_at + self.data_bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes of a segment that are no record: a head is damaged, or an append was torn."""

    start: int
    end: int


def scan(
    path: Path, segment: SegmentFile, start: int = 0, end: int | None = None
) -> Iterator[Found | Gap]:
    """Yield what is between `start` and `end`, in order and without holes; by default all."""
    with path.open("rb") as file:
        size_bytes = file.seek(0, 2)
        stop = size_bytes if end is None else min(end, size_bytes)
        while start < stop:
            found = _read_record(file, segment, start)
            each = found or Gap(start, _next_record(file, segment, start + 1, stop))
            yield each
            start = each.end


def _next_record(file: BinaryIO, segment: SegmentFile, start: int, stop: int) -> int:
    """Return where the next whole record starts, or `stop`."""
    while start < stop:
        file.seek(start)
        window = file.read(_SEARCH_BYTES + _MARKER_BYTES - 1)
        at = window.find(segment.marker)
        if at < 0:
            start += _SEARCH_BYTES
        elif start + at < stop and _read_record(file, segment, start + at) is not None:
            return start + at
        else:
            start += at + 1
    return stop


def _read_record(file: BinaryIO, segment: SegmentFile, start: int) -> Found | None:
    file.seek(start)
    head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return None
    marker, kind, cid_bytes, data_bytes = _HEAD.unpack_from(head)
    name = file.read(cid_bytes)
    (crc,) = _CRC.unpack_from(head, _HEAD.size)
    if marker != segment.marker or crc != zlib.crc32(head[: _HEAD.size] + name):
        return None
    try:
        cid, kind = CID.decode(name), Kind(kind)
    except (MalformedBytes, ValueError):
        return None
    data = file.read(data_bytes)
    if len(data) < data_bytes:
        return None
    matches = kind is Kind.TOMBSTONE or cid.matches(data)
    data_at = start + _HEAD_BYTES + cid_bytes
    return Found(kind, cid, data_at, data_bytes, matches, checksum(cid, data))
