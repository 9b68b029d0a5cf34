"""CARv1: a DAG as one stream of bytes (ipld.io/specs/transport/car/carv1)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ipfs import dag_cbor, varint
from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.byte_source import ByteSource, read_up_to
from ipfs.cid import CID
from ipfs.dag import walk
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError

HEADER_BYTES_MAX: Final = 1 << 20
"""Some 25,000 roots; go-car takes 32 MiB."""

SECTION_BYTES_MAX: Final = 8 << 20
"""go-car's bound."""


class CarVersionUnsupported(PeerError):
    """The CAR is of a version that is not read here."""

    code = "car-version-unsupported"

    def __init__(self, version: int) -> None:
        super().__init__(f"CAR version {version} is not supported, only 1 is")
        self.version = version


def write_car(roots: Sequence[CID], blocks: Iterable[Block]) -> Iterator[bytes]:
    """Yield the CAR of these blocks in this order, in pieces of at most one block."""
    yield _header(roots)
    for block in blocks:
        cid = block.cid.encode()
        yield varint.encode(len(cid) + len(block.data)) + cid
        yield block.data


def car_of(store: Blockstore, root: CID) -> Iterator[bytes]:
    """Yield the CAR of a whole DAG: one root, depth first, no block twice.

    Its bytes depend on the DAG alone, so client and provider make the same piece of it.
    Raises as `ipfs.dag.walk` does.
    """
    return write_car((root,), (store.get(cid) for cid in walk(store, root)))


def car_size_bytes(store: Blockstore, root: CID) -> int:
    """Return the length of `car_of`, without reading the leaves."""
    size_bytes = len(_header((root,)))
    for cid in walk(store, root):
        section_bytes = len(cid.encode()) + store.size_bytes(cid)
        size_bytes += len(varint.encode(section_bytes)) + section_bytes
    return size_bytes


class CarReader:
    """Reads a CARv1, checking every block against its CID; holds one block at a time.

    Raises `MalformedBytes`, `LimitExceeded`, `WrongBlock`, `CarVersionUnsupported`: for the
    header when made, for a block when iterated to. Roots need not be among the blocks.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        header = self._frame("CAR header", limit=HEADER_BYTES_MAX)
        if header is None:
            raise MalformedBytes("CAR", "empty")
        self.roots = _read_header(header)

    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks in order, each checked."""
        while (section := self._frame("CAR section", limit=SECTION_BYTES_MAX)) is not None:
            cid, data_at = CID.decode_prefix(section)
            yield Block.checked(cid, section[data_at:])

    def _frame(self, what: str, *, limit: int) -> bytes | None:
        prefix = self._source.read(1)
        if not prefix:
            return None
        while prefix[-1] & 0x80 and len(prefix) < varint.VARINT_BYTES_MAX:
            prefix += self._exactly(1)
        length, _ = varint.decode(prefix)
        if length > limit:
            raise LimitExceeded(what, limit=limit, asked=length)
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = read_up_to(self._source, count)
        if len(data) < count:
            raise MalformedBytes("CAR", "truncated")
        return data


def _header(roots: Sequence[CID]) -> bytes:
    header = dag_cbor.encode({"roots": list(roots), "version": 1})
    return varint.encode(len(header)) + header


def _read_header(data: bytes) -> tuple[CID, ...]:
    header = dag_cbor.decode(data)
    version = header.get("version") if isinstance(header, dict) else None
    if not isinstance(header, dict) or type(version) is not int:
        raise MalformedBytes("CAR header", "no version")
    if version != 1:
        raise CarVersionUnsupported(version)
    roots = header.get("roots")
    if not isinstance(roots, list) or len(header) != 2:
        raise MalformedBytes("CAR header", "roots and version are due, nothing else")
    if not all(isinstance(root, CID) for root in roots):
        raise MalformedBytes("CAR header", "a root that is no CID")
    return tuple(roots)
