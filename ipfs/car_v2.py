"""What CARv2 puts around a CARv1: a header, and an index (ipld.io/specs/transport/car/carv2)."""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Self

from ipfs import varint
from ipfs.cid import DIGEST_BYTES_MAX
from ipfs.errors import LimitExceeded, MalformedBytes

PRAGMA: Final = bytes.fromhex("0aa16776657273696f6e02")
"""A CARv1 header that says {"version": 2} and nothing else."""

_HEADER: Final = struct.Struct("<16sQQQ")
HEADER_BYTES: Final = _HEADER.size

INDEX_SORTED: Final = 0x0400
MULTIHASH_INDEX_SORTED: Final = 0x0401

_COUNT: Final = struct.Struct("<i")
_CODE: Final = struct.Struct("<Q")
_WIDTH: Final = struct.Struct("<IQ")
_OFFSET: Final = struct.Struct("<Q")

_GROUPS_MAX: Final = 256
"""Hash functions of one index, or widths of one function."""


@dataclass(frozen=True, slots=True)
class CarV2Header:
    """Where the parts are, counted from the first byte of the file; no index is offset 0.

    Raises `MalformedBytes` if parts overlap.
    """

    data_offset: int
    data_bytes: int
    index_offset: int

    def __post_init__(self) -> None:
        if self.data_offset < len(PRAGMA) + HEADER_BYTES:
            raise MalformedBytes("CAR", "the data begins inside the header")
        if self.data_bytes == 0:
            raise MalformedBytes("CAR", "no data")
        if 0 < self.index_offset < self.data_offset + self.data_bytes:
            raise MalformedBytes("CAR", "the index begins inside the data")

    @classmethod
    def around(cls, data_bytes: int) -> Self:
        """Return the header that leaves no room between the parts."""
        data_offset = len(PRAGMA) + HEADER_BYTES
        return cls(data_offset, data_bytes, data_offset + data_bytes)

    def encode(self) -> bytes:
        """Return the bytes, which follow the pragma."""
        return _HEADER.pack(bytes(16), self.data_offset, self.data_bytes, self.index_offset)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the header of `HEADER_BYTES` bytes; characteristics are passed over."""
        _, data_offset, data_bytes, index_offset = _HEADER.unpack(data)
        return cls(data_offset, data_bytes, index_offset)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where the section of a block begins, counted from the first byte of the CARv1.

    hash_code:  None in the older kind of index, which does not keep it
    """

    hash_code: int | None
    digest: bytes
    offset: int


def encode_index(places: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
    """Yield a MultihashIndexSorted of (multihash, offset of the section) pairs."""
    entries = []
    for multihash, offset in places:
        code, length_at = varint.decode(multihash)
        digest = multihash[varint.decode(multihash, length_at)[1] :]
        entries.append((code, len(digest), digest, offset))
    entries.sort()
    by_code = [(code, list(group)) for code, group in groupby(entries, key=lambda entry: entry[0])]
    yield varint.encode(MULTIHASH_INDEX_SORTED) + _COUNT.pack(len(by_code))
    for code, of_code in by_code:
        by_width = [(width, list(group)) for width, group in groupby(of_code, lambda e: e[1])]
        yield _CODE.pack(code) + _COUNT.pack(len(by_width))
        for width, of_width in by_width:
            yield _WIDTH.pack(width + _OFFSET.size, len(of_width) * (width + _OFFSET.size))
            for _, _, digest, offset in of_width:
                yield digest + _OFFSET.pack(offset)


def decode_index(take: Callable[[int], bytes], *, data_bytes: int) -> Iterator[IndexEntry]:
    """Yield the entries of either kind of index, one at a time; none for kinds not known here.

    take:        returns exactly so many of the bytes that come next
    data_bytes:  of the CARv1 that the offsets lie in
    Raises `MalformedBytes`, `LimitExceeded`.
    """
    codec = take(2)
    if codec == varint.encode(INDEX_SORTED):
        yield from _widths(take, None, data_bytes)
    elif codec == varint.encode(MULTIHASH_INDEX_SORTED):
        for _ in range(_count(take)):
            (code,) = _CODE.unpack(take(_CODE.size))
            yield from _widths(take, code, data_bytes)


def _widths(
    take: Callable[[int], bytes], code: int | None, data_bytes: int
) -> Iterator[IndexEntry]:
    for _ in range(_count(take)):
        width, group_bytes = _WIDTH.unpack(take(_WIDTH.size))
        if not _OFFSET.size <= width <= DIGEST_BYTES_MAX + _OFFSET.size:
            raise MalformedBytes("CAR index", f"entries of {width} bytes")
        if group_bytes % width:
            raise MalformedBytes("CAR index", "a part of an entry")
        previous = b""
        for _ in range(group_bytes // width):
            entry = take(width)
            digest, (offset,) = entry[: -_OFFSET.size], _OFFSET.unpack(entry[-_OFFSET.size :])
            if digest < previous or offset >= data_bytes:
                raise MalformedBytes("CAR index", "entries out of order, or out of the data")
            previous = digest
            yield IndexEntry(code, digest, offset)


def _count(take: Callable[[int], bytes]) -> int:
    (count,) = _COUNT.unpack(take(_COUNT.size))
    if not 0 <= count <= _GROUPS_MAX:
        raise LimitExceeded("groups of a CAR index", limit=_GROUPS_MAX, asked=count)
    return int(count)
