"""The blocks of a folder, read beside the one process that may be writing there."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final, NoReturn, Self

from ipfs.block import Block
from ipfs.blockstore import BlockCorrupt, BlockNotFound
from ipfs.cid import CID
from ipfs.disk import DiskBlockstore, StoreLocked
from ipfs.segments.record import SegmentFile
from ipfs.segments.store import IndexReader, Place, every_cid, is_sealed

_LOOKS_MAX: Final = 3
"""A block may be moved while it is looked for, into a segment that we don't know yet."""


class DiskReader:
    """A `Blockstore` that only reads; any number of them, beside one `DiskBlockstore` at most.

    To put or delete is refused with an `OSError` (EROFS). What the writer puts is found at once,
    and what it deletes or moves is noticed. No file is kept open, so that space comes back with a
    deletion. Every read is checked; what is corrupt counts as such until a writer
    reads it or scrubs. Safe to use from many threads.
    """

    def __init__(self, folder: Path) -> None:
        if not is_sealed(folder):
            # Either somebody writes, who has seen to the index, or nobody does, and a crash left
            # it as it is.
            with suppress(StoreLocked):
                DiskBlockstore(folder).close()
        self._folder = folder
        self._mutex = Lock()
        self._index = IndexReader(folder)
        self._segments = SegmentFile.all_in(folder)

    def close(self) -> None:
        """Let the index go."""
        with self._mutex:
            self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, cid: CID) -> Block:
        """Return the block. Raises `BlockNotFound`, `BlockCorrupt`."""
        data: bytes | None = None
        for _ in range(_LOOKS_MAX):
            place = self._place(cid)
            data = self._read(place)
            if data is not None and place.holds(cid, data):
                return Block(cid, data)
            with self._mutex:
                self._index.refresh()
        raise BlockNotFound(cid) if data is None else BlockCorrupt(cid)

    def get_at_once(self, cid: CID) -> None:
        """Return None: a file is opened for each read."""

    def has(self, cid: CID) -> bool:
        """Whether the block is here."""
        return self._find(cid) is not None

    def size_bytes(self, cid: CID) -> int:
        """Return the size of the block's data. Raises `BlockNotFound`."""
        return self._place(cid).data_bytes

    def put(self, blocks: Iterable[Block]) -> NoReturn:  # noqa: ARG002 - the port's
        """Refuse."""
        self._refuse()

    def delete(self, cids: Iterable[CID]) -> NoReturn:  # noqa: ARG002 - the port's
        """Refuse."""
        self._refuse()

    def __iter__(self) -> Iterator[CID]:
        """Iterate over what is stored; blocks that come or go meanwhile may be met or not."""
        return every_cid(self._page)

    def _refuse(self) -> NoReturn:
        raise OSError(errno.EROFS, "the blocks were opened to be read", str(self._folder))

    def _page(self, after: bytes) -> list[tuple[bytes, CID]]:
        with self._mutex:
            return self._index.page(after)

    def _place(self, cid: CID) -> Place:
        place = self._find(cid)
        if place is None:
            raise BlockNotFound(cid)
        return place

    def _find(self, cid: CID) -> Place | None:
        with self._mutex:
            place = self._index.find(cid.multihash)
            if place is None and self._index.refresh():
                place = self._index.find(cid.multihash)
            return place

    def _read(self, place: Place) -> bytes | None:
        """Return what is at a place; None if its segment is new to us, or is gone."""
        try:
            segment = self._segments[place.segment]
            descriptor = os.open(self._folder / segment.name, os.O_RDONLY | os.O_CLOEXEC)
        except (KeyError, FileNotFoundError):
            self._segments = SegmentFile.all_in(self._folder)
            return None
        try:
            return os.pread(descriptor, place.data_bytes, place.data_at)
        finally:
            os.close(descriptor)
