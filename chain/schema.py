"""Which version of its tables a database was made with: another version is refused by name."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    func,
    insert,
    inspect,
    or_,
    select,
)

NAMING: Final = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""How constraints are named, so that every version of a database calls them the same."""

_VERSIONS: Final = Table("schema_version", MetaData(), Column("version", Integer, nullable=False))


class OtherSchema(Exception):
    """The database was made by another version of this program, whose records may not be ours.

    found:  its version; None: it was made before versions were written down
    """

    code = "other-schema"

    def __init__(self, database: str, *, found: int | None, needed: int) -> None:
        super().__init__(
            f"{database} was made by another version of holdfast: its schema is "
            f"{'of no version' if found is None else f'version {found}'}, this one reads {needed}"
        )
        self.database = database
        self.found = found
        self.needed = needed


def has_tables(engine: Engine, tables: MetaData, *, version: int) -> bool:
    """Whether the database was made with this version of the tables. Raises `OtherSchema`."""
    with engine.connect() as connection:
        names = set(inspect(connection).get_table_names())
        is_versioned = _VERSIONS.name in names
        found = connection.scalar(select(_VERSIONS.c.version)) if is_versioned else None
    if found is None and not names & tables.tables.keys():
        return False
    if found != version:
        database = engine.url.render_as_string(hide_password=True)
        raise OtherSchema(database, found=found, needed=version)
    return True


def make_tables(engine: Engine, tables: MetaData, *, version: int) -> None:
    """Make the tables in a database that has none. Raises `OtherSchema`."""
    is_new = not has_tables(engine, tables, version=version)
    with engine.begin() as connection:
        if is_new:
            # The version comes first: tables without one would be refused after a crash.
            _VERSIONS.create(connection, checkfirst=True)
            connection.execute(insert(_VERSIONS).values(version=version))
        tables.create_all(connection)


def damages(connection: Connection, tables: MetaData, *, version: int) -> Iterator[str]:
    """Yield what is wrong with a SQLite file whatever it holds; of other databases, nothing.

    Its pages, its indexes, its tables' definitions, and the kinds of their values. Reads all of
    it. Raises `DatabaseDamaged`.
    """
    if connection.dialect.name != "sqlite":
        return
    connection.exec_driver_sql("PRAGMA cell_size_check = ON")
    for (found,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if found != "ok":
            yield found
    made = create_engine("sqlite://")
    make_tables(made, tables, version=version)
    with made.connect() as other:
        if _definitions(connection) != _definitions(other):
            yield "its tables are defined otherwise"
    for table in tables.sorted_tables:
        misfits = (func.typeof(column).not_in(_kinds(column)) for column in table.columns)
        if connection.scalar(select(func.count()).select_from(table).where(or_(*misfits))):
            yield f"{table.name} holds a value of another type"


def _definitions(connection: Connection) -> set[tuple[str, ...]]:
    found = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_schema")
    return {tuple(row) for row in found}


def _kinds(column: Column[Any]) -> tuple[str, ...]:
    """Return what SQLite may call the values of a column."""
    match column.type:
        case Integer():
            kind = "integer"
        case LargeBinary():
            kind = "blob"
        case _:
            kind = "text"
    return (kind, "null") if column.nullable else (kind,)
