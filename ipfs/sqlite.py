"""What SQLite's errors say of the disk below, for every store here that keeps one."""

import errno
import sqlite3
from typing import Final

DISK_FAULTS: Final = (OSError, sqlite3.Error)
"""What a fault of a store's disk comes as: of its files, or of its index."""


def is_full(error: OSError | sqlite3.Error) -> bool:
    """Whether a file or a database could not grow for want of room."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    return _code(error) == sqlite3.SQLITE_FULL


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is not what SQLite wrote."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _code(error: sqlite3.Error) -> int:
    # The low byte of an extended code is the kind. Some errors of the module itself have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
