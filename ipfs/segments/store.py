"""The index of the segments, in SQLite: where each block is, and what is dead and buried where.

Made from the segments alone, so it can always be thrown away and made anew. Not safe to use from
many threads: its owner lets one in at a time.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ipfs.block import Block
from ipfs.cid import CID, HashCode
from ipfs.segments.record import Found, Kind, checksum
from ipfs.segments.scrub import Entry
from ipfs.sqlite import is_damage

INDEX_NAME: Final = "index.sqlite"
_SEAL_NAME: Final = "index.sha256"
_VERSION: Final = 3
_PAGE_ROWS: Final = 1000

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS segments (id INTEGER PRIMARY KEY, indexed_bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    multihash BLOB PRIMARY KEY,
    cid BLOB NOT NULL,
    segment INTEGER NOT NULL,
    data_at INTEGER NOT NULL,
    data_bytes INTEGER NOT NULL,
    checksum BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blocks_by_segment ON blocks (segment);
CREATE TABLE IF NOT EXISTS dead (
    segment INTEGER NOT NULL,
    data_at INTEGER NOT NULL,
    data_bytes INTEGER NOT NULL,
    multihash BLOB NOT NULL,
    tombstone_segment INTEGER NOT NULL,
    PRIMARY KEY (segment, data_at)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS dead_by_multihash ON dead (multihash);
CREATE INDEX IF NOT EXISTS dead_by_tombstone ON dead (tombstone_segment);
"""
"""dead: records whose block is deleted, rotten, or written anew elsewhere; a tombstone in
`tombstone_segment` (0: none) keeps them from coming back when the index is made anew."""

_DIE: Final = """
INSERT OR REPLACE INTO dead
SELECT segment, data_at, data_bytes, multihash, ? FROM blocks WHERE multihash = ?
"""
_DIE_AT: Final = _DIE + " AND segment = ? AND data_at = ?"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the data of a block is, and by which checksum it is still what was put."""

    segment: int
    data_at: int
    data_bytes: int
    checksum: bytes

    @classmethod
    def of(cls, block: Block, segment: int, data_at: int) -> Self:
        """Return where a block was written."""
        return cls(segment, data_at, len(block.data), checksum(block.cid, block.data))

    def holds(self, cid: CID, data: bytes) -> bool:
        """Whether `data`, read from here, is the block's."""
        # An identity CID's digest is no key: under one of zeros, all bytes have the same checksum.
        is_keyed = cid.hash_code != HashCode.IDENTITY
        # If it is the checksum that has rotted, the block still answers for itself.
        return (is_keyed and checksum(cid, data) == self.checksum) or cid.matches(data)


class _Finder:
    """Finds blocks by multihash in an open index."""

    _database: sqlite3.Connection

    def find(self, multihash: bytes) -> Place | None:
        """Return where a block is."""
        row = self._database.execute(
            "SELECT segment, data_at, data_bytes, checksum FROM blocks WHERE multihash = ?",
            (multihash,),
        ).fetchone()
        return None if row is None else Place(*row)

    def page(self, after: bytes) -> list[tuple[bytes, CID]]:
        """Return the next blocks behind a multihash, in order."""
        rows = self._database.execute(
            "SELECT multihash, cid FROM blocks WHERE multihash > ? ORDER BY multihash LIMIT ?",
            (after, _PAGE_ROWS),
        )
        return [(multihash, CID.decode(cid)) for multihash, cid in rows]


def every_cid(page: Callable[[bytes], list[tuple[bytes, CID]]]) -> Iterator[CID]:
    """Yield every block of an index, a page at a time; those that come or go may be met or not."""
    last = b""
    while found := page(last):
        yield from (cid for _, cid in found)
        last = found[-1][0]


class IndexReader(_Finder):
    """The index as it is now, beside whoever writes it; an empty one until there is one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder.absolute() / INDEX_NAME
        self._inode = 0
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.executescript(_SCHEMA)
        self.refresh()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def refresh(self) -> bool:
        """Go over to the index that is there now; return whether it is not the one before."""
        inode = self._path.stat().st_ino if self._path.exists() else 0
        if inode in {0, self._inode}:
            return False
        database = _open(f"{self._path.as_uri()}?mode=ro")
        [version] = database.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            # Its tables are still being made.
            database.close()
            return False
        self._database.close()
        self._database, self._inode = database, inode
        return True


class SegmentIndex(_Finder):
    """Finds blocks by multihash. Changes belong into `transaction`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seal = folder / _SEAL_NAME
        self.was_damaged = not _is_sound(folder)
        if self.was_damaged:
            _remove(folder / INDEX_NAME)
        self.is_new = not (folder / INDEX_NAME).exists()
        self._seal.unlink(missing_ok=True)
        self._database = _connect(folder / INDEX_NAME)

    def close(self) -> None:
        """Close the file and seal it, so that the next opening notices any bit that flipped."""
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()
        draft = self._seal.with_suffix(".new")
        draft.write_bytes(_digest(self._folder / INDEX_NAME))
        draft.replace(self._seal)

    def abandon(self) -> None:
        """Close the file unsealed: the next opening looks closely at it."""
        self._database.close()

    def discard(self) -> None:
        """Close the file and remove it."""
        self.abandon()
        _remove(self._folder / INDEX_NAME)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes inside, or none."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # A full disk has rolled it back already.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def indexed_bytes(self) -> dict[int, int]:
        """Return how far each segment is indexed."""
        return dict(self._database.execute("SELECT id, indexed_bytes FROM segments").fetchall())

    def mark(self, segment: int, indexed_bytes: int) -> None:
        """Note how far a segment is indexed."""
        self._database.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?)", (segment, indexed_bytes)
        )

    def live(self, segment: int) -> list[tuple[CID, Place]]:
        """Return the blocks that are in a segment, in its order."""
        rows = self._database.execute(
            "SELECT cid, segment, data_at, data_bytes, checksum FROM blocks WHERE segment = ?"
            " ORDER BY data_at",
            (segment,),
        )
        return [(CID.decode(cid), Place(*place)) for cid, *place in rows]

    def live_bytes(self, segment: int) -> int:
        """Return how much of a segment is live data."""
        (live_bytes,) = self._database.execute(
            "SELECT COALESCE(SUM(data_bytes), 0) FROM blocks WHERE segment = ?", (segment,)
        ).fetchone()
        return int(live_bytes)

    def entries(self, segment: int) -> dict[int, Entry]:
        """Return every block record of a segment, dead ones too, by where its data starts."""
        rows = self._database.execute(
            "SELECT data_at, multihash, data_bytes, cid, checksum FROM blocks"
            " WHERE segment = :segment"
            " UNION ALL"
            " SELECT data_at, multihash, data_bytes, NULL, NULL FROM dead WHERE segment = :segment",
            {"segment": segment},
        )
        return {
            data_at: Entry(multihash, data_bytes, None if cid is None else CID.decode(cid), tag)
            for data_at, multihash, data_bytes, cid, tag in rows
        }

    def tombstones(self, segment: int) -> list[bytes]:
        """Return whom the tombstones in a segment keep buried in other ones.

        Not those that are back: the newer record outlives the older one by itself.
        """
        rows = self._database.execute(
            "SELECT DISTINCT multihash FROM dead WHERE tombstone_segment = :segment"
            " AND segment <> :segment AND multihash NOT IN (SELECT multihash FROM blocks)",
            {"segment": segment},
        )
        return [multihash for (multihash,) in rows]

    def needs_tombstone(self, multihash: bytes) -> bool:
        """Whether a record is left that would bring the block back."""
        row = self._database.execute(
            "SELECT 1 FROM blocks WHERE multihash = :multihash UNION ALL"
            " SELECT 1 FROM dead WHERE multihash = :multihash AND tombstone_segment = 0",
            {"multihash": multihash},
        ).fetchone()
        return row is not None

    def point(self, blocks: Iterable[tuple[CID, Place]], *, are_new: bool) -> None:
        """Let blocks be at these places; where they were before is dead.

        are_new:  they are nowhere else, so nothing has to die
        """
        rows = [
            (cid.multihash, cid.encode(), at.segment, at.data_at, at.data_bytes, at.checksum)
            for cid, at in blocks
        ]
        if not are_new:
            self._database.executemany(_DIE, [(0, row[0]) for row in rows])
        self._database.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, ?)", rows)

    def bury(self, multihashes: Sequence[bytes], segment: int) -> None:
        """Note that tombstones for these blocks are in a segment, behind all their records."""
        self._database.executemany(_DIE, [(segment, multihash) for multihash in multihashes])
        only = [(multihash,) for multihash in multihashes]
        self._database.executemany("DELETE FROM blocks WHERE multihash = ?", only)
        self._database.executemany(
            "UPDATE dead SET tombstone_segment = MAX(tombstone_segment, ?) WHERE multihash = ?",
            [(segment, multihash) for multihash in multihashes],
        )

    def forget(self, multihash: bytes, place: Place) -> None:
        """Drop a place that holds wrong bytes, so that the block can be put anew."""
        at = (multihash, place.segment, place.data_at)
        self._database.execute(_DIE_AT, (0, *at))
        self._database.execute(
            "DELETE FROM blocks WHERE multihash = ? AND segment = ? AND data_at = ?", at
        )

    def drop(self, segment: int) -> None:
        """Forget a segment that is gone."""
        self._database.execute("DELETE FROM blocks WHERE segment = ?", (segment,))
        self._database.execute("DELETE FROM dead WHERE segment = ?", (segment,))
        self._database.execute(
            "UPDATE dead SET tombstone_segment = 0 WHERE tombstone_segment = ?", (segment,)
        )
        self._database.execute("DELETE FROM segments WHERE id = ?", (segment,))

    def replay(self, segment: int, found: Found) -> None:
        """Take in a record of a segment whose earlier records, and older segments, were taken in.

        A newer segment may have been too: what it says of the block stands.
        """
        multihash = found.cid.multihash
        if found.kind is Kind.TOMBSTONE:
            self._replay_tombstone(segment, found)
            return
        now = self.find(multihash)
        (buried_in,) = self._database.execute(
            "SELECT COALESCE(MAX(tombstone_segment), 0) FROM dead WHERE multihash = ?",
            (multihash,),
        ).fetchone()
        place = Place(segment, found.data_at, found.data_bytes, found.checksum)
        is_newest = now is None or (now.segment, now.data_at) < (segment, found.data_at)
        if found.data_matches and is_newest and buried_in <= segment:
            self.point([(found.cid, place)], are_new=now is None)
        else:
            tombstone_segment = buried_in if buried_in > segment else 0
            self._database.execute(
                "INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?)",
                (segment, place.data_at, place.data_bytes, multihash, tombstone_segment),
            )

    def _replay_tombstone(self, segment: int, found: Found) -> None:
        multihash, at = found.cid.multihash, (segment, found.data_at)
        now = self.find(multihash)
        if now is not None and (now.segment, now.data_at) < at:
            self.bury([multihash], segment)
        self._database.execute(
            "UPDATE dead SET tombstone_segment = MAX(tombstone_segment, ?)"
            " WHERE multihash = ? AND (segment, data_at) < (?, ?)",
            (segment, multihash, *at),
        )


def _open(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def _connect(path: Path) -> sqlite3.Connection:
    database = _open(path.absolute().as_uri())
    try:
        # NORMAL never corrupts; the commits that it may lose are read from the segments again.
        database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)
        database.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def is_sealed(folder: Path) -> bool:
    """Whether the index was closed, has these tables, and every bit of it is as it was then."""
    try:
        return (folder / _SEAL_NAME).read_bytes() == _digest(folder / INDEX_NAME)
    except FileNotFoundError:
        return False


def _is_sound(folder: Path) -> bool:
    """Whether an index can be trusted; one that was not closed is checked in its structure."""
    path = folder / INDEX_NAME
    if not path.exists():
        return True
    if (folder / _SEAL_NAME).exists():
        return is_sealed(folder)
    database = sqlite3.connect(path, isolation_level=None)
    try:
        [version] = database.execute("PRAGMA user_version").fetchone()
        [verdict] = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return False
    finally:
        database.close()
    return version in {0, _VERSION} and verdict == "ok"


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.sha256(
            _SCHEMA.encode() + hashlib.file_digest(file, "sha256").digest()
        ).digest()


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
