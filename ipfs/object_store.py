"""Blocks as objects in S3, Azure, GCS, or a folder: for who outgrows a disk.

Needs the extra `holdfast[object-store]`.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar, Final, Self, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from ipfs import multibase
from ipfs.block import Block
from ipfs.blockstore import BlockCorrupt, BlockNotFound
from ipfs.cid import CID, Codec
from ipfs.errors import MalformedBytes

_REQUESTS_MAX: Final = 32
"""Under way at a time: a request takes tens of milliseconds, however little it asks."""

_PAGE_OBJECTS: Final = 1_000

_RETRIES_MAX: Final = 3
_RETRY_TIMEOUT: Final = timedelta(seconds=30)
"""Of one request. Who needs it for longer asks again; obstore's own 10 hold a read for a minute."""

T = TypeVar("T")


class ObjectStoreFailed(OSError):
    """The object store did not do what it was asked; its own words say why."""

    code: ClassVar[str] = "object-store-failed"


class BlockUnreachable(ObjectStoreFailed, BlockNotFound):
    """The block may be there, but can't be had now: whoever serves blocks goes on without it."""

    def __init__(self, cid: CID, reason: str) -> None:
        OSError.__init__(self, reason)
        self.cid = cid


class ObjectBlockstore:
    """A `Blockstore` in an object store; any number of processes may have it open.

    An object's name is the multihash of its block in base32, behind two letters of it that spread
    the objects over folders. Every read is checked against the CID; a put writes the block again
    where it is already, and so mends it. Safe to use from many threads. Every call raises
    `ObjectStoreFailed` when the store can't be reached or refuses; of one block to be read that is
    `BlockUnreachable`.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._requests = ThreadPoolExecutor(_REQUESTS_MAX)

    @classmethod
    def at(cls, url: str) -> Self:
        """Open `s3://bucket/prefix`, `gs://…`, `abfss://container@account.dfs…` or `file:///…`.

        A folder is only for trying out: what is put there is not synced, and may go with the power.
        Region, endpoint, keys and so on are the environment's, by their usual names (`AWS_REGION`).
        """
        with _as_failure():
            return cls(
                from_url(
                    url,
                    retry_config={"max_retries": _RETRIES_MAX, "retry_timeout": _RETRY_TIMEOUT},
                )
            )

    def require_reachable(self) -> None:
        """Raise `ObjectStoreFailed` unless the store is there and lets us list it."""
        next(iter(self), None)

    def close(self) -> None:
        """Wait for what is under way."""
        self._requests.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, cid: CID) -> Block:
        """Return the block. Raises `BlockNotFound`, `BlockCorrupt`."""
        with _as_failure(cid):
            data = bytes(obstore.get(self._objects, _name(cid)).bytes())
        if not cid.matches(data):
            raise BlockCorrupt(cid)
        return Block(cid, data)

    def get_at_once(self, cid: CID) -> None:
        """Return None: every read waits for the network."""

    def has(self, cid: CID) -> bool:
        """Whether the block is here."""
        try:
            self.size_bytes(cid)
        except BlockUnreachable:
            raise
        except BlockNotFound:
            return False
        return True

    def size_bytes(self, cid: CID) -> int:
        """Return the size of the block's data. Raises `BlockNotFound`."""
        with _as_failure(cid):
            return int(obstore.head(self._objects, _name(cid))["size"])

    def put(self, blocks: Iterable[Block]) -> None:
        """Store the blocks, all durable when this returns."""
        unique = {block.cid.multihash: block for block in blocks}
        self._each(self._put_one, unique.values())

    def delete(self, cids: Iterable[CID]) -> None:
        """Forget the blocks; absent ones are no error."""
        self._each(self._delete_one, {cid.multihash: cid for cid in cids}.values())

    def __iter__(self) -> Iterator[CID]:
        """Iterate over what is stored, as raw CIDs; the codec is not kept."""
        with _as_failure():
            for page in obstore.list(self._objects, chunk_size=_PAGE_OBJECTS):
                yield from filter(None, (_cid(each["path"]) for each in page))

    def _put_one(self, block: Block) -> None:
        with _as_failure():
            obstore.put(self._objects, _name(block.cid), block.data)

    def _delete_one(self, cid: CID) -> None:
        with _as_failure():
            try:
                obstore.delete(self._objects, _name(cid))
            except FileNotFoundError:
                return

    def _each(self, request: Callable[[T], None], items: Iterable[T]) -> None:
        for done in [self._requests.submit(request, item) for item in items]:
            done.result()


def _name(cid: CID) -> str:
    text = multibase.encode("b", cid.multihash)
    return f"{text[-2:]}/{text}"


def _cid(name: str) -> CID | None:
    """Return whose object it is; None for one that is none of ours."""
    try:
        cid = CID(1, Codec.RAW, multibase.decode(name.rpartition("/")[2]))
    except MalformedBytes:
        return None
    return cid if name.endswith(_name(cid)) else None


@contextmanager
def _as_failure(cid: CID | None = None) -> Iterator[None]:
    """Turn the library's errors into ours; what is not there is `cid`, if one was asked for."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        if cid is not None and isinstance(error, FileNotFoundError):
            raise BlockNotFound(cid) from error
        # What follows is the library's own state, for its makers.
        reason = str(error).partition("\n\nDebug source")[0]
        if cid is not None:
            raise BlockUnreachable(cid, reason) from error
        raise ObjectStoreFailed(reason) from error
