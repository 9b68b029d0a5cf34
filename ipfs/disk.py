"""Blocks on a disk: append-only segments hold them, an SQLite index finds them.

The segments are the truth. The index may lag behind them after a crash, or be lost: opening the
store reads what it has not seen yet.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Final, Self

from ipfs.block import Block
from ipfs.blockstore import BlockCorrupt, BlockNotFound, BlockstoreFull
from ipfs.cid import CID, Codec
from ipfs.errors import MalformedBytes
from ipfs.file_lock import LockHeld, take
from ipfs.segments.files import OpenSegments, SegmentReader, SegmentWriter, sync_folder
from ipfs.segments.record import Found, Kind, SegmentFile, scan
from ipfs.segments.scrub import ScrubReport, SegmentReport, compare
from ipfs.segments.store import Place, SegmentIndex, every_cid
from ipfs.sqlite import DISK_FAULTS, is_damage, is_full

SEGMENT_BYTES_MAX: Final = 256 << 20
"""A full segment is closed; small enough to be rewritten in a second or two."""

_DISK_PARTS_MIN: Final = 16
"""A segment is at most this part of its disk: on a small one, rewriting must fit too."""

_RECLAIM_PARTS: Final = 64
"""A segment with less dead than this part of a full one is not worth rewriting."""

_BATCH_BYTES: Final = 16 << 20
_LOCK_NAME: Final = "lock"

log = logging.getLogger(__name__)


class StoreLocked(LockHeld):
    """Another store has the folder open; it is the one that writes there."""

    code = "store-locked"


class DiskBlockstore:
    """A `Blockstore` in a folder; one at a time may have it open. Safe to use from many threads.

    Others may read beside it, by `DiskReader`.

    A put is on the disk when it returns, with one fsync a call: put many blocks at once. Every
    read is held against a checksum of what was put, every scrub against the CID. A segment that
    is mostly deleted is rewritten, so space comes back with the deletions; a put leaves as much
    free as that takes (`BlockstoreFull`). Other errors of the disk (`OSError`, `sqlite3.Error`)
    rise; what was being put then is not acknowledged, and what was acknowledged before stays.

    Raises `StoreLocked`.
    """

    def __init__(self, folder: Path, *, segment_bytes_max: int = SEGMENT_BYTES_MAX) -> None:
        self._folder = folder
        self._writing = RLock()
        """Held to append, fsync included; taken before `_mutex`."""

        self._mutex = RLock()
        """Held to use the index, and never through an fsync: reads go on while others put."""

        self._writer: SegmentWriter | None = None
        folder.mkdir(parents=True, exist_ok=True)
        disk = os.statvfs(folder)
        disk_bytes = disk.f_frsize * disk.f_blocks
        self._segment_bytes_max = min(segment_bytes_max, max(1, disk_bytes // _DISK_PARTS_MIN))
        with ExitStack() as opened:
            lock_fd = take(folder / _LOCK_NAME, StoreLocked)
            opened.callback(os.close, lock_fd)
            self._segments = SegmentFile.all_in(folder)
            self._open_segments = OpenSegments(folder)
            self._index = SegmentIndex(folder)
            opened.callback(self._index.abandon)
            self._catch_up()
            opened.pop_all()
        self._lock_fd: int | None = lock_fd
        if self._index.was_damaged:
            log.warning("the index of %s can't be trusted and is made anew", folder)

    def close(self) -> None:
        """Release the folder; done again, it does nothing."""
        with self._writing, self._mutex:
            lock_fd, self._lock_fd = self._lock_fd, None
            if lock_fd is None:
                return
            try:
                self._close_writer()
                self._open_segments.close()
                self._index.close()
            finally:
                os.close(lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, cid: CID) -> Block:
        """Return the block. Raises `BlockNotFound`, `BlockCorrupt`."""
        with self._mutex:
            place, reader = self._found(cid)
        data = reader.read(place.data_at, place.data_bytes)
        if not place.holds(cid, data):
            with self._mutex, self._index.transaction():
                self._index.forget(cid.multihash, place)
            raise BlockCorrupt(cid)
        return Block(cid, data)

    def get_at_once(self, cid: CID) -> Block | None:
        """Return the block if it is in the page cache and nobody changes the index just now."""
        if not self._mutex.acquire(blocking=False):
            return None
        try:
            place, reader = self._found(cid)
        except (BlockNotFound, OSError):
            return None
        finally:
            self._mutex.release()
        data = reader.read_at_once(place.data_at, place.data_bytes)
        return Block(cid, data) if data is not None and place.holds(cid, data) else None

    def has(self, cid: CID) -> bool:
        """Whether the block is here."""
        with self._mutex:
            return self._index.find(cid.multihash) is not None

    def size_bytes(self, cid: CID) -> int:
        """Return the size of the block's data. Raises `BlockNotFound`."""
        with self._mutex:
            return self._place(cid).data_bytes

    def put(self, blocks: Iterable[Block]) -> None:
        """Store the blocks, all on the disk when this returns. Raises `BlockstoreFull`."""
        with self._writing:
            new = {block.cid.multihash: block for block in blocks if not self.has(block.cid)}
            if new:
                needed_bytes = sum(len(block.data) for block in new.values())
                if needed_bytes + self._segment_bytes_max > self._free_bytes():
                    raise self._full(needed_bytes)
                self._append(list(new.values()), are_new=True)

    def delete(self, cids: Iterable[CID]) -> None:
        """Forget the blocks; absent ones are no error."""
        with self._writing:
            with self._mutex:
                gone = [key for cid in cids if self._index.needs_tombstone(key := cid.multihash)]
                places = [place for key in gone if (place := self._index.find(key))]
            self._bury(gone)
            for segment in sorted({place.segment for place in places}):
                self._reclaim(segment)

    def __iter__(self) -> Iterator[CID]:
        """Iterate over what is stored; blocks that come or go meanwhile may be met or not."""
        return every_cid(self._page)

    def scrub(self, *, on_progress: Callable[[int], None] = lambda _: None) -> ScrubReport:
        """Read everything; find every bit that is not as it was written, and mend what can be.

        Reads and puts go on between one segment and the next.
        on_progress:  called with the bytes read so far
        """
        reports: list[SegmentReport] = []
        lost: list[CID] = []
        for segment in tuple(self._segments.values()):
            with self._writing:
                # A segment may have been rewritten since.
                if segment.id in self._segments:
                    report, lost_here = self._scrub_segment(segment)
                    reports.append(report)
                    lost += lost_here
            on_progress(sum(report.read_bytes for report in reports))
        is_wrong = not all(report.agrees_with_index for report in reports)
        if is_wrong:
            self._rebuild_index()
        return ScrubReport(
            read_bytes=sum(report.read_bytes for report in reports),
            block_count=sum(report.block_count for report in reports),
            damage=tuple(damage for report in reports for damage in report.damage),
            lost=tuple(lost),
            index_was_wrong=is_wrong or self._index.was_damaged,
        )

    def _scrub_segment(self, segment: SegmentFile) -> tuple[SegmentReport, list[CID]]:
        try:
            with self._mutex:
                indexed_bytes = self._index.indexed_bytes().get(segment.id, 0)
                entries = self._index.entries(segment.id)
        except (sqlite3.DatabaseError, MalformedBytes) as error:
            if isinstance(error, sqlite3.DatabaseError) and not is_damage(error):
                raise
            return SegmentReport(0, 0, (), agrees_with_index=False), []
        scanned = scan(self._path(segment), segment, end=indexed_bytes)
        report = compare(segment.id, scanned, entries, indexed_bytes=indexed_bytes)
        must_move = report.damage and report.agrees_with_index
        return report, self._evacuate(segment) if must_move else []

    def _rebuild_index(self) -> None:
        with self._writing, self._mutex:
            self._close_writer()
            self._index.discard()
            self._index = SegmentIndex(self._folder)
            self._catch_up()

    def _page(self, after: bytes) -> list[tuple[bytes, CID]]:
        with self._mutex:
            return self._index.page(after)

    def _place(self, cid: CID) -> Place:
        place = self._index.find(cid.multihash)
        if place is None:
            raise BlockNotFound(cid)
        return place

    def _found(self, cid: CID) -> tuple[Place, SegmentReader]:
        place = self._place(cid)
        return place, self._open_segments.reader(self._segments[place.segment])

    def _append(self, blocks: Sequence[Block], *, are_new: bool) -> None:
        """Append blocks and let the index point at them."""
        with self._appending() as writer:
            starts = writer.append((Kind.BLOCK, block.cid, block.data) for block in blocks)
            writer.sync()
            places = [
                (block.cid, Place.of(block, writer.segment.id, data_at))
                for block, data_at in zip(blocks, starts, strict=True)
            ]
            with self._mutex, self._index.transaction():
                self._index.point(places, are_new=are_new)
                self._index.mark(writer.segment.id, writer.size_bytes)

    def _bury(self, multihashes: Sequence[bytes]) -> None:
        """Append tombstones, and take the blocks out of the index."""
        if not multihashes:
            return
        with self._appending() as writer:
            writer.append((Kind.TOMBSTONE, CID(1, Codec.RAW, key), b"") for key in multihashes)
            writer.sync()
            with self._mutex, self._index.transaction():
                self._index.bury(multihashes, writer.segment.id)
                self._index.mark(writer.segment.id, writer.size_bytes)

    @contextmanager
    def _appending(self) -> Iterator[SegmentWriter]:
        """Lend the open segment; on any error take back what was appended and abandon it."""
        writer = self._writer
        if writer is None:
            # Beyond what is known here: a file whose making failed half-way has its number too.
            segment = SegmentFile.new(max(SegmentFile.all_in(self._folder), default=0) + 1)
            writer = self._writer = SegmentWriter.open(self._folder, segment)
            with self._mutex:
                self._segments[segment.id] = segment
        size_bytes = writer.size_bytes
        try:
            yield writer
        except BaseException as error:
            asked = writer.size_bytes - size_bytes
            self._take_back(writer, size_bytes)
            if isinstance(error, DISK_FAULTS) and is_full(error):
                raise self._full(asked) from error
            raise
        if writer.size_bytes >= self._segment_bytes_max:
            self._close_writer()

    def _take_back(self, writer: SegmentWriter, size_bytes: int) -> None:
        # What is left of it if the disk refuses this too was never acknowledged.
        with suppress(OSError):
            writer.cut(size_bytes)
        self._close_writer()
        if size_bytes == 0:
            with self._mutex:
                self._remove(writer.segment)

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _full(self, needed_bytes: int) -> BlockstoreFull:
        return BlockstoreFull(
            str(self._folder), needed_bytes=needed_bytes, free_bytes=self._free_bytes()
        )

    def _free_bytes(self) -> int:
        disk = os.statvfs(self._folder)
        return disk.f_frsize * disk.f_bavail

    def _reclaim(self, segment_id: int) -> None:
        """Rewrite a mostly dead segment, if there is room for what lives in it."""
        segment = self._segments[segment_id]
        with self._mutex:
            live_bytes = self._index.live_bytes(segment_id)
        dead_bytes = self._path(segment).stat().st_size - live_bytes
        if dead_bytes >= max(live_bytes, self._segment_bytes_max // _RECLAIM_PARTS) and (
            not live_bytes or live_bytes < self._free_bytes()
        ):
            self._evacuate(segment)

    def _evacuate(self, segment: SegmentFile) -> list[CID]:
        """Write what lives in a segment elsewhere, and remove it; return what was rotten."""
        if self._writer is not None and self._writer.segment == segment:
            self._close_writer()
        with self._mutex:
            live = self._index.live(segment.id)
            buried = self._index.tombstones(segment.id)
        lost: list[tuple[CID, Place]] = []
        for batch in self._intact(segment, live, lost):
            self._append(batch, are_new=False)
        self._bury(buried)
        with self._mutex:
            with self._index.transaction():
                for cid, place in lost:
                    self._index.forget(cid.multihash, place)
            # In this order: rows without a file are dropped at the next opening, but a file
            # without rows would be read again.
            self._remove(segment)
            with self._index.transaction():
                self._index.drop(segment.id)
        return [cid for cid, _ in lost]

    def _intact(
        self,
        segment: SegmentFile,
        live: Iterable[tuple[CID, Place]],
        lost: list[tuple[CID, Place]],
    ) -> Iterator[list[Block]]:
        """Yield the blocks of a segment in batches worth one fsync; list the rotten ones."""
        with self._mutex:
            reader = self._open_segments.reader(segment)
        batch: list[Block] = []
        batch_bytes = 0
        for cid, place in live:
            data = reader.read(place.data_at, place.data_bytes)
            if not cid.matches(data):
                lost.append((cid, place))
                continue
            batch.append(Block(cid, data))
            batch_bytes += len(data)
            if batch_bytes >= _BATCH_BYTES:
                yield batch
                batch, batch_bytes = [], 0
        if batch:
            yield batch

    def _remove(self, segment: SegmentFile) -> None:
        self._path(segment).unlink()
        sync_folder(self._folder)
        del self._segments[segment.id]
        self._open_segments.let_go(segment.id)

    def _catch_up(self) -> None:
        """Bring the index up to date with the segments; go on with the last one if it is whole."""
        indexed = self._index.indexed_bytes()
        is_whole = False
        with self._index.transaction():
            for gone in indexed.keys() - self._segments.keys():
                self._index.drop(gone)
            for segment in self._segments.values():
                is_whole = self._replay(segment, indexed.get(segment.id, 0))
        if is_whole:
            last = self._segments[max(self._segments)]
            if self._path(last).stat().st_size < self._segment_bytes_max:
                self._writer = SegmentWriter.open(self._folder, last)

    def _replay(self, segment: SegmentFile, start: int) -> bool:
        """Index what was appended from `start` on; return whether it ends with a whole record."""
        path = self._path(segment)
        size_bytes = path.stat().st_size
        if start == size_bytes:
            return True
        if start > size_bytes:
            self._index.drop(segment.id)
            start = 0
        # What the index names counts as durable from here on, so make it so.
        with path.open("rb") as file:
            os.fsync(file.fileno())
        for found in scan(path, segment, start):
            if isinstance(found, Found):
                self._index.replay(segment.id, found)
                start = found.end
        if start < size_bytes and not self._index.is_new:
            # Torn in a crash: nothing behind what the index knew was rotten for long.
            os.truncate(path, start)
            size_bytes = start
        # With a new index nobody knows whether a bad end was torn or rotted: scrub will tell it.
        self._index.mark(segment.id, size_bytes)
        return start == size_bytes

    def _path(self, segment: SegmentFile) -> Path:
        return self._folder / segment.name
