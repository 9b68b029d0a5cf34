"""What CARv2 puts around a CARv1: a header, and an index (ipld.io/specs/transport/car/carv2)."""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from secrets import token_bytes
from typing import Final, Self

from ipfs import varint
from ipfs.cid import DIGEST_BYTES_MAX, HashCode
from ipfs.errors import LimitExceeded, MalformedBytes

PRAGMA: Final = bytes.fromhex("0aa16776657273696f6e02")
"""A CARv1 header that says {"version": 2} and nothing else."""

_HEADER: Final = struct.Struct("<16sQQQ")
HEADER_BYTES: Final = _HEADER.size

_FULLY_INDEXED: Final = 1 << 127
"""The one characteristic there is: the left-most bit of 128."""

INDEX_SORTED: Final = 0x0400
MULTIHASH_INDEX_SORTED: Final = 0x0401

_COUNT: Final = struct.Struct("<i")
_CODE: Final = struct.Struct("<Q")
_WIDTH: Final = struct.Struct("<IQ")
_OFFSET: Final = struct.Struct("<Q")

_GROUPS_MAX: Final = 256
"""Hash functions of one index, or widths of one function."""

_KEY_BYTES: Final = 16
_SUM_BYTES: Final = 32
_SUM_MODULUS: Final = 1 << 8 * _SUM_BYTES


@dataclass(frozen=True, slots=True)
class CarV2Header:
    """Where the parts are, counted from the first byte of the file; no index is offset 0.

    is_fully_indexed:  the index tells even of identity CIDs; if not, it may
    Raises `MalformedBytes` if parts overlap.
    """

    data_offset: int
    data_bytes: int
    index_offset: int
    is_fully_indexed: bool = False

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
        characteristics = _FULLY_INDEXED if self.is_fully_indexed else 0
        return _HEADER.pack(
            characteristics.to_bytes(16), self.data_offset, self.data_bytes, self.index_offset
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the header of `HEADER_BYTES` bytes. Raises `MalformedBytes`."""
        bits, data_offset, data_bytes, index_offset = _HEADER.unpack(data)
        characteristics = int.from_bytes(bits)
        if characteristics & ~_FULLY_INDEXED:
            raise MalformedBytes("CAR", "characteristics that nobody has given a meaning")
        return cls(data_offset, data_bytes, index_offset, bool(characteristics))


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
    """Yield the entries of any kind of index, one at a time.

    take:        returns exactly so many of the bytes that come next
    data_bytes:  of the CARv1 that the offsets lie in
    Raises `MalformedBytes`, `LimitExceeded`.
    """
    codec = take(2)
    if codec == varint.encode(MULTIHASH_INDEX_SORTED):
        for _ in range(_count(take(_COUNT.size))):
            (code,) = _CODE.unpack(take(_CODE.size))
            yield from _widths(take, code, data_bytes, _count(take(_COUNT.size)))
    elif codec == varint.encode(INDEX_SORTED):
        yield from _widths(take, None, data_bytes, _count(take(_COUNT.size)))
    else:
        # Of the first draft, which had no codec; a codec not known here is too high for a count.
        yield from _widths(take, None, data_bytes, _count(codec + take(_COUNT.size - len(codec))))


class IndexCheck:
    """Whether an index tells of the blocks that were read, where each is, and of nothing else.

    Takes the same memory for any number of them in any order: of each hash function it keeps a
    sum of hashes (Clarke et al. 2003, MSet-Add-Hash).
    """

    def __init__(self) -> None:
        # Who knew it could make another index of the same sums.
        self._key = token_bytes(_KEY_BYTES)
        self._read: dict[int | None, int] = {}
        self._told: dict[int | None, int] = {}

    def read(self, section: IndexEntry) -> None:
        """Count in a block that was read, as its entry should be."""
        self._add(self._read, section)

    def told(self, entry: IndexEntry) -> None:
        """Count in an entry of the index."""
        self._add(self._told, entry)

    def agrees(self, *, is_fully_indexed: bool) -> bool:
        """Whether all was told that was read; of identity CIDs all or none, if none may be."""
        hashed = {code: total for code, total in self._read.items() if code != HashCode.IDENTITY}
        return any(
            self._told in (sums, _without_codes(sums))
            for sums in ([self._read] if is_fully_indexed else [self._read, hashed])
        )

    def _add(self, sums: dict[int | None, int], entry: IndexEntry) -> None:
        place = entry.digest + _OFFSET.pack(entry.offset)
        summand = int.from_bytes(blake2b(place, digest_size=_SUM_BYTES, key=self._key).digest())
        sums[entry.hash_code] = (sums.get(entry.hash_code, 0) + summand) % _SUM_MODULUS


def _without_codes(sums: dict[int | None, int]) -> dict[int | None, int]:
    return {None: sum(sums.values()) % _SUM_MODULUS} if sums else {}


def _widths(
    take: Callable[[int], bytes], code: int | None, data_bytes: int, count: int
) -> Iterator[IndexEntry]:
    for _ in range(count):
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


def _count(data: bytes) -> int:
    (count,) = _COUNT.unpack(data)
    if not 0 <= count <= _GROUPS_MAX:
        raise LimitExceeded("groups of a CAR index", limit=_GROUPS_MAX, asked=count)
    return int(count)
