"""SQLite as the stores here use it, with names of ours for what may be wrong with its file."""

import errno
import sqlite3
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event

from ipfs.sqlite import is_damage, is_full

IS_WRITING: Final = "holdfast_is_writing"
"""The execution option of an engine whose transactions write."""


class DatabaseFull(OSError):
    """There is no room for what was to be written: nothing of it was, all else is still read."""

    code: ClassVar[str] = "database-full"

    def __init__(self, database: str) -> None:
        super().__init__(f"{database} has no room for more: free space on its disk")
        self.errno = errno.ENOSPC
        self.database = database


class DatabaseDamaged(Exception):
    """The database is not what was written to it."""

    code: ClassVar[str] = "database-damaged"

    def __init__(self, database: str, what: str) -> None:
        super().__init__(f"{database} is damaged: {what}")
        self.database = database
        self.what = what


def open_engine(url: str) -> Engine:
    """Return the engine of any SQLAlchemy URL.

    On SQLite whatever is done with it may raise `DatabaseFull` or `DatabaseDamaged`.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        event.listen(engine, "handle_error", _named)
    return engine


def _prepare(connection: Any, _: object) -> None:
    # The driver would begin transactions by itself, later than asked and never IMMEDIATE.
    connection.isolation_level = None
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except UnicodeDecodeError as error:
        raise sqlite3.OperationalError("a name in it is no text") from error
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 5000")


def _begin(connection: Connection) -> None:
    # A reader that turns writer can meet another one and fail; a writer says so at once.
    is_writing = connection.get_execution_options().get(IS_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _named(context: ExceptionContext) -> BaseException | None:
    error, database = context.original_exception, str(context.engine.url if context.engine else "")
    if not isinstance(error, sqlite3.Error):
        return None
    if is_full(error):
        return DatabaseFull(database)
    # The driver's own complaint is of bytes that are no text; SQLite's errors have a number.
    if is_damage(error) or not hasattr(error, "sqlite_errorcode"):
        return DatabaseDamaged(database, str(error))
    return None
