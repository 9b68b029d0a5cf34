"""Pins in an SQLite file."""

import sqlite3
from pathlib import Path
from threading import Lock
from typing import Final, Self

from ipfs.cid import CID
from ipfs.errors import MalformedBytes
from ipfs.pins.pin import Pin, PinNotFound, PinsDamaged
from ipfs.sqlite import is_damage

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS pins (
    multihash BLOB NOT NULL,
    reason TEXT NOT NULL,
    record BLOB NOT NULL,
    record_cid BLOB NOT NULL,
    PRIMARY KEY (multihash, reason)
) WITHOUT ROWID;
"""


class PinStore:
    """`Pins` in a file, each beside its own CID, so that a flipped bit shows. Safe with threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = Lock()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._database.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _SCHEMA
            )
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise self._judged(error) from error

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, pin: Pin) -> None:
        """Write a pin down, in place of one of the same CID and reason. Raises `PinsDamaged`."""
        row = (pin.root.multihash, pin.reason, pin.encode(), pin.cid.encode())
        self._change("INSERT OR REPLACE INTO pins VALUES (?, ?, ?, ?)", row)

    def remove(self, cid: CID, reason: str | None = None) -> None:
        """Strike the CID's pins, or that for one reason. Raises `PinNotFound`, `PinsDamaged`."""
        if reason is None:
            struck = self._change("DELETE FROM pins WHERE multihash = ?", (cid.multihash,))
        else:
            struck = self._change(
                "DELETE FROM pins WHERE multihash = ? AND reason = ?", (cid.multihash, reason)
            )
        if not struck:
            raise PinNotFound(cid, reason)

    def strike(self, pin: Pin) -> None:
        """Strike this pin unless it is gone, or another was written in its place."""
        self._change(
            "DELETE FROM pins WHERE multihash = ? AND reason = ? AND record_cid = ?",
            (pin.root.multihash, pin.reason, pin.cid.encode()),
        )

    def all(self) -> tuple[Pin, ...]:
        """Return every pin, after a look at the whole file. Raises `PinsDamaged`."""
        with self._lock:
            try:
                [verdict] = self._database.execute("PRAGMA integrity_check(1)").fetchone()
                rows = self._database.execute("SELECT * FROM pins").fetchall()
            except sqlite3.DatabaseError as error:
                raise self._judged(error) from error
        if verdict != "ok":
            raise PinsDamaged(f"{self._path}: {verdict}")
        return tuple(self._pin(*row) for row in rows)

    def _change(self, statement: str, values: tuple[bytes | str, ...]) -> int:
        """Change the table, durably; return how many rows it was."""
        with self._lock:
            try:
                return self._database.execute(statement, values).rowcount
            except sqlite3.DatabaseError as error:
                raise self._judged(error) from error

    def _pin(self, multihash: bytes, reason: str, record: bytes, record_cid: bytes) -> Pin:
        try:
            pin = Pin.decode(record)
        except MalformedBytes as error:
            raise PinsDamaged(f"{self._path}: {error}") from error
        if (pin.cid.encode(), pin.root.multihash, pin.reason) != (
            record_cid,
            multihash,
            reason,
        ):
            raise PinsDamaged(f"{self._path}: the pin of {pin.root} is not as it was written")
        return pin

    def _judged(self, error: sqlite3.DatabaseError) -> Exception:
        return PinsDamaged(f"{self._path}: {error}") if is_damage(error) else error
