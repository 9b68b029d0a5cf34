"""CARs: a DAG as one stream of bytes (ipld.io/specs/transport/car, versions 1 and 2)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ipfs import dag_cbor, varint
from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.byte_source import ByteSource, read_up_to
from ipfs.car_v2 import (
    HEADER_BYTES,
    PRAGMA,
    CarV2Header,
    IndexCheck,
    IndexEntry,
    decode_index,
    encode_index,
)
from ipfs.cid import CID
from ipfs.dag import walk
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError

HEADER_BYTES_MAX: Final = 1 << 20
"""Some 25,000 roots; go-car takes 32 MiB."""

SECTION_BYTES_MAX: Final = 8 << 20
"""go-car's bound."""

_SKIP_BYTES: Final = 1 << 16


class CarVersionUnsupported(PeerError):
    """The CAR is of a version that is not read here, or not in that place."""

    code = "car-version-unsupported"

    def __init__(self, version: int) -> None:
        super().__init__(f"CAR version {version} is not supported, only 1 and 2 are")
        self.version = version


def write_car(roots: Sequence[CID], blocks: Iterable[Block]) -> Iterator[bytes]:
    """Yield the CAR of these blocks in this order, in pieces of at most one block."""
    yield encode_header(roots)
    for block in blocks:
        yield encode_section(block)
        yield block.data


def car_of(store: Blockstore, root: CID) -> Iterator[bytes]:
    """Yield the CAR of a whole DAG: one root, depth first, no block twice.

    Its bytes depend on the DAG alone, so client and provider make the same piece of it.
    Raises as `ipfs.dag.walk` does.
    """
    return write_car((root,), (store.get(cid) for cid in walk(store, root)))


def car_v2_of(store: Blockstore, root: CID) -> Iterator[bytes]:
    """Yield the same CAR as `car_of` does, in a CARv2 with an index of all its blocks.

    The DAG is walked twice, because its size comes first; nothing is written that must be gone
    back to, so a pipe will do.
    """
    header = CarV2Header.around(car_size_bytes(store, root))
    yield PRAGMA + header.encode()
    yield (car_header := encode_header((root,)))
    offset = len(car_header)
    places = []
    for cid in walk(store, root):
        block = store.get(cid)
        section = encode_section(block)
        yield section
        yield block.data
        places.append((cid.multihash, offset))
        offset += len(section) + len(block.data)
    yield from encode_index(places)


def car_size_bytes(store: Blockstore, root: CID) -> int:
    """Return the length of `car_of`, without reading the leaves."""
    size_bytes = len(encode_header((root,)))
    for cid in walk(store, root):
        section_bytes = len(cid.encode()) + store.size_bytes(cid)
        size_bytes += len(varint.encode(section_bytes)) + section_bytes
    return size_bytes


class CarReader:
    """Reads a CAR of either version, checking every block against its CID; holds one at a time.

    Raises `MalformedBytes`, `LimitExceeded`, `WrongBlock`, `CarVersionUnsupported`: for the
    header when made, for a block when iterated to. Roots need not be among the blocks.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = _Counted(source)
        self._v2: CarV2Header | None = None
        version, self.roots = self._read_header()
        if version == 2:
            self._v2 = CarV2Header.decode(self._source.exactly(HEADER_BYTES))
            self._source.skip_to(self._v2.data_offset)
            self._source.end_at(self._v2.data_offset + self._v2.data_bytes)
            version, self.roots = self._read_header()
        if version != 1:
            raise CarVersionUnsupported(version)

    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks in order, each checked; then check that the index, if any, is theirs."""
        check = IndexCheck()
        at = self._source.at
        while (section := self._frame("CAR section", limit=SECTION_BYTES_MAX)) is not None:
            cid, data_at = CID.decode_prefix(section)
            yield Block.checked(cid, section[data_at:])
            if self._v2 is not None:
                check.read(IndexEntry(cid.hash_code, cid.digest, at - self._v2.data_offset))
            at = self._source.at
        if self._v2 is not None:
            self._check_rest(self._v2, check)

    def _check_rest(self, header: CarV2Header, check: IndexCheck) -> None:
        self._source.end_at(None)
        if header.index_offset:
            self._source.skip_to(header.index_offset)
            for entry in decode_index(self._source.exactly, data_bytes=header.data_bytes):
                check.told(entry)
            if not check.agrees(is_fully_indexed=header.is_fully_indexed):
                raise MalformedBytes("CAR index", "of other blocks than those before it")
        if self._source.read(1):
            raise MalformedBytes("CAR", "bytes behind its end")

    def _read_header(self) -> tuple[int, tuple[CID, ...]]:
        header = self._frame("CAR header", limit=HEADER_BYTES_MAX)
        if header is None:
            raise MalformedBytes("CAR", "empty")
        return _parse_header(header)

    def _frame(self, what: str, *, limit: int) -> bytes | None:
        prefix = self._source.read(1)
        if not prefix:
            return None
        while prefix[-1] & 0x80 and len(prefix) < varint.VARINT_BYTES_MAX:
            prefix += self._source.exactly(1)
        length, _ = varint.decode(prefix)
        if length > limit:
            raise LimitExceeded(what, limit=limit, asked=length)
        return self._source.exactly(length)


class _Counted:
    """A source that knows where it stands, and may be told to end sooner than it does."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.at = 0
        self._end: int | None = None

    def read(self, count: int) -> bytes:
        """Return `count` bytes, fewer only at the end. Raises `MalformedBytes` if it ends early."""
        if self._end is not None:
            count = min(count, self._end - self.at)
        data = read_up_to(self._source, count) if count else b""
        self.at += len(data)
        if self._end is not None and len(data) < count:
            raise MalformedBytes("CAR", "truncated")
        return data

    def exactly(self, count: int) -> bytes:
        """Return `count` bytes. Raises `MalformedBytes` if there are fewer."""
        data = self.read(count)
        if len(data) < count:
            raise MalformedBytes("CAR", "truncated")
        return data

    def skip_to(self, offset: int) -> None:
        """Pass over bytes up to an offset from where the source began."""
        while self.at < offset:
            self.exactly(min(offset - self.at, _SKIP_BYTES))
        if self.at > offset:
            raise MalformedBytes("CAR", "a part that lies behind")

    def end_at(self, offset: int | None) -> None:
        """End at this offset; None to end where the source does."""
        self._end = offset


def encode_section(block: Block) -> bytes:
    """Return what goes before a block's data in a CAR: the length of both, and the CID."""
    cid = block.cid.encode()
    return varint.encode(len(cid) + len(block.data)) + cid


def encode_header(roots: Sequence[CID]) -> bytes:
    """Return how a CAR of version 1 begins."""
    header = dag_cbor.encode({"roots": list(roots), "version": 1})
    return varint.encode(len(header)) + header


def _parse_header(data: bytes) -> tuple[int, tuple[CID, ...]]:
    """Return the version and the roots, which version 2 has further on."""
    header = dag_cbor.decode(data)
    version = header.get("version") if isinstance(header, dict) else None
    if not isinstance(header, dict) or type(version) is not int:
        raise MalformedBytes("CAR header", "no version")
    if version == 2 and len(header) == 1:
        return version, ()
    if version != 1:
        raise CarVersionUnsupported(version)
    roots = header.get("roots")
    if not isinstance(roots, list) or len(header) != 2:
        raise MalformedBytes("CAR header", "roots and version are due, nothing else")
    if not all(isinstance(root, CID) for root in roots):
        raise MalformedBytes("CAR header", "a root that is no CID")
    return version, tuple(roots)
