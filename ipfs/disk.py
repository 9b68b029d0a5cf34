"""Blocks on a disk: append-only segments hold them, an SQLite index finds them.

The segments are the truth. The index may lag behind them after a crash, or be lost: opening the
store reads what it has not seen yet.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import ClassVar, Final, Self

from ipfs.block import Block
from ipfs.blockstore import BlockNotFound
from ipfs.cid import CID
from ipfs.segment import Found, Kind, SegmentWriter, read_data, scan

SEGMENT_BYTES_MAX: Final = 256 << 20
"""A full segment is closed; small enough to be rewritten in a second or two."""

_RECLAIM_FRACTION_MIN: Final = 64
"""A segment with less dead than this part of a full one is not worth rewriting."""

_BATCH_BYTES: Final = 16 << 20
_PAGE_ROWS: Final = 1000

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS segments (id INTEGER PRIMARY KEY, indexed_bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    multihash BLOB PRIMARY KEY,
    cid BLOB NOT NULL,
    segment INTEGER NOT NULL,
    data_at INTEGER NOT NULL,
    data_bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blocks_by_segment ON blocks (segment);
"""

_POINT_AT: Final = """
INSERT INTO blocks VALUES (?, ?, ?, ?, ?) ON CONFLICT (multihash) DO UPDATE
SET cid = excluded.cid, segment = excluded.segment, data_at = excluded.data_at,
    data_bytes = excluded.data_bytes
WHERE (excluded.segment, excluded.data_at) > (segment, data_at)
"""
"""The newest copy of a block wins, in whatever order segments are read."""


class StoreLocked(Exception):
    """Another process, or another store in this one, has the folder open."""

    code: ClassVar[str] = "store-locked"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"the block store {folder} is in use by another process")
        self.folder = folder


class BlockCorrupt(BlockNotFound):
    """The disk gave back other bytes than were stored; the block counts as lost."""


class DiskBlockstore:
    """A `Blockstore` in a folder; one at a time may have it open. Safe to use from many threads.

    A put is on the disk when it returns, with one fsync a call: put many blocks at once. Every
    read is checked against the CID. A segment that is mostly deleted is rewritten, so space comes
    back with the deletions after. Errors of the disk (`OSError`, `sqlite3.Error`) rise; what was
    being put then is not acknowledged, and what was acknowledged before stays.

    Raises `StoreLocked`.
    """

    def __init__(self, folder: Path, *, segment_bytes_max: int = SEGMENT_BYTES_MAX) -> None:
        self._folder = folder
        self._segment_bytes_max = segment_bytes_max
        self._mutex = RLock()
        self._writer: SegmentWriter | None = None
        self._writer_id = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_fd = _lock(folder)
        try:
            self._index = _open_index(folder / "index.sqlite")
            self._catch_up()
        except BaseException:
            os.close(self._lock_fd)
            raise

    def close(self) -> None:
        """Release the folder."""
        with self._mutex:
            self._close_writer()
            self._index.close()
            os.close(self._lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, cid: CID) -> Block:
        """Return the block. Raises `BlockNotFound`, `BlockCorrupt`."""
        with self._mutex:
            segment, data_at, data_bytes = self._place(cid)
            data = read_data(self._path(segment), data_at, data_bytes)
        if not cid.matches(data):
            self._forget(cid, segment, data_at)
            raise BlockCorrupt(cid)
        return Block(cid, data)

    def has(self, cid: CID) -> bool:
        """Whether the block is here."""
        with self._mutex:
            return self._find(cid) is not None

    def size_bytes(self, cid: CID) -> int:
        """Return the size of the block's data. Raises `BlockNotFound`."""
        with self._mutex:
            return self._place(cid)[2]

    def put(self, blocks: Iterable[Block]) -> None:
        """Store the blocks, all on the disk when this returns."""
        with self._mutex:
            new = {block.cid.multihash: block for block in blocks if not self.has(block.cid)}
            if new:
                self._append(new.values())

    def delete(self, cids: Iterable[CID]) -> None:
        """Forget the blocks; absent ones are no error."""
        with self._mutex:
            places = {cid: place for cid in cids if (place := self._find(cid))}
            if not places:
                return
            with self._appending() as writer:
                for cid in places:
                    writer.append_tombstone(cid)
                writer.sync()
                with self._transaction():
                    self._index.executemany(
                        "DELETE FROM blocks WHERE multihash = ?",
                        [(cid.multihash,) for cid in places],
                    )
                    self._mark_indexed(self._writer_id, writer.size_bytes)
            for segment in {place[0] for place in places.values()}:
                self._reclaim(segment)

    def __iter__(self) -> Iterator[CID]:
        """Iterate over what is stored; blocks that come or go meanwhile may be met or not."""
        last = b""
        while True:
            with self._mutex:
                rows = self._index.execute(
                    "SELECT multihash, cid FROM blocks WHERE multihash > ?"
                    " ORDER BY multihash LIMIT ?",
                    (last, _PAGE_ROWS),
                ).fetchall()
            if not rows:
                return
            yield from (CID.decode(cid) for _, cid in rows)
            last = rows[-1][0]

    def _find(self, cid: CID) -> tuple[int, int, int] | None:
        row: tuple[int, int, int] | None = self._index.execute(
            "SELECT segment, data_at, data_bytes FROM blocks WHERE multihash = ?",
            (cid.multihash,),
        ).fetchone()
        return row

    def _place(self, cid: CID) -> tuple[int, int, int]:
        place = self._find(cid)
        if place is None:
            raise BlockNotFound(cid)
        return place

    def _append(self, blocks: Iterable[Block]) -> None:
        """Append blocks and let the index point at them, wherever it pointed before."""
        with self._appending() as writer:
            rows = [
                (
                    block.cid.multihash,
                    block.cid.encode(),
                    self._writer_id,
                    writer.append_block(block),
                    len(block.data),
                )
                for block in blocks
            ]
            writer.sync()
            with self._transaction():
                self._index.executemany(_POINT_AT, rows)
                self._mark_indexed(self._writer_id, writer.size_bytes)
        if writer.size_bytes >= self._segment_bytes_max:
            self._close_writer()

    @contextmanager
    def _appending(self) -> Iterator[SegmentWriter]:
        """Lend the open segment; on any error abandon it, its tail left to the next opening."""
        if self._writer is None:
            self._writer_id = max(self._segment_ids(), default=0) + 1
            self._writer = SegmentWriter.open(self._path(self._writer_id))
        try:
            yield self._writer
        except BaseException:
            self._close_writer()
            raise

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _reclaim(self, segment: int) -> None:
        """Move what lives out of a mostly dead segment, then remove it."""
        path = self._path(segment)
        (live_bytes,) = self._index.execute(
            "SELECT COALESCE(SUM(data_bytes), 0) FROM blocks WHERE segment = ?", (segment,)
        ).fetchone()
        dead_bytes_min = max(live_bytes, self._segment_bytes_max // _RECLAIM_FRACTION_MIN)
        if path.stat().st_size - live_bytes < dead_bytes_min:
            return
        if segment == self._writer_id:
            self._close_writer()
        for batch in self._live_blocks(segment):
            self._append(batch)
        # In this order: rows without a file are dropped at the next opening, but a file without
        # rows would be read again, and bring back what was deleted.
        path.unlink()
        with self._transaction():
            self._drop(segment)

    def _live_blocks(self, segment: int) -> Iterator[list[Block]]:
        """Yield the intact blocks of a segment, in batches worth one fsync."""
        rows = self._index.execute(
            "SELECT cid, data_at, data_bytes FROM blocks WHERE segment = ? ORDER BY data_at",
            (segment,),
        ).fetchall()
        batch: list[Block] = []
        batch_bytes = 0
        for name, data_at, data_bytes in rows:
            cid = CID.decode(name)
            data = read_data(self._path(segment), data_at, data_bytes)
            if cid.matches(data):
                batch.append(Block(cid, data))
                batch_bytes += data_bytes
            if batch_bytes >= _BATCH_BYTES:
                yield batch
                batch, batch_bytes = [], 0
        if batch:
            yield batch

    def _forget(self, cid: CID, segment: int, data_at: int) -> None:
        """Drop a place that holds wrong bytes, so that the block can be put anew."""
        with self._mutex, self._transaction():
            self._index.execute(
                "DELETE FROM blocks WHERE multihash = ? AND segment = ? AND data_at = ?",
                (cid.multihash, segment, data_at),
            )

    def _drop(self, segment: int) -> None:
        self._index.execute("DELETE FROM blocks WHERE segment = ?", (segment,))
        self._index.execute("DELETE FROM segments WHERE id = ?", (segment,))

    def _catch_up(self) -> None:
        """Bring the index up to date with the segments; go on with the last one if it is whole."""
        ids = self._segment_ids()
        indexed = dict(self._index.execute("SELECT id, indexed_bytes FROM segments").fetchall())
        is_whole = False
        size_bytes = 0
        with self._transaction():
            for gone in indexed.keys() - set(ids):
                self._drop(gone)
            for segment in ids:
                size_bytes = self._path(segment).stat().st_size
                indexed_bytes = indexed.get(segment, 0)
                if indexed_bytes != size_bytes:
                    indexed_bytes = self._index_tail(segment, indexed_bytes, size_bytes)
                is_whole = indexed_bytes == size_bytes
        if is_whole and size_bytes < self._segment_bytes_max:
            self._writer_id = ids[-1]
            self._writer = SegmentWriter.open(self._path(ids[-1]))

    def _index_tail(self, segment: int, start: int, size_bytes: int) -> int:
        """Index what was appended from `start` on; return where the last whole record ends."""
        if start > size_bytes:
            self._drop(segment)
            start = 0
        # What the index names counts as durable from here on, so make it so.
        with self._path(segment).open("rb") as file:
            os.fsync(file.fileno())
        for found in scan(self._path(segment), start):
            start = found.data_at + found.data_bytes
            if found.kind is Kind.TOMBSTONE:
                # A later copy of the block outlives a tombstone that is read late.
                self._index.execute(
                    "DELETE FROM blocks WHERE multihash = ? AND (segment, data_at) < (?, ?)",
                    (found.cid.multihash, segment, found.data_at),
                )
            elif found.data_matches:
                self._index.execute(_POINT_AT, _row(found, segment))
        self._mark_indexed(segment, start)
        return start

    def _mark_indexed(self, segment: int, indexed_bytes: int) -> None:
        self._index.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?)", (segment, indexed_bytes)
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._index.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._index.execute("ROLLBACK")
            raise
        self._index.execute("COMMIT")

    def _segment_ids(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.segment"))

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:08d}.segment"


def _row(found: Found, segment: int) -> tuple[bytes, bytes, int, int, int]:
    return found.cid.multihash, found.cid.encode(), segment, found.data_at, found.data_bytes


def _lock(folder: Path) -> int:
    lock_fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        raise StoreLocked(folder) from None
    return lock_fd


def _open_index(path: Path) -> sqlite3.Connection:
    """Open the index; a damaged one is thrown away, because the segments can make it again."""
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    index = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # NORMAL never corrupts; the commits that it may lose are read from the segments again.
        index.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)
    except BaseException:
        index.close()
        raise
    return index
