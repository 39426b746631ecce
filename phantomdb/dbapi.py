"""DB-API 2.0 (PEP 249) over an embedded database.

    connection = phantomdb.dbapi.connect("data")
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO item VALUES (?, ?)", (1, "a"))

A connection is a session. Unless `autocommit`, its first statement begins a transaction, which commit() or rollback()
ends; BEGIN and COMMIT as texts do the same. Connections to one path share one open database in the process: the last
one closes it.

Rows are tuples of the Python types in core/values.py; a type in `description` is one of its Types, which compares equal
to STRING, BINARY, NUMBER, DATETIME or ROWID.
"""
from __future__ import annotations

import datetime
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from msgspec import Struct

from phantomdb.core.database import Database
from phantomdb.core.options import Options
from phantomdb.core.values import Kind, Type
from phantomdb.dbapi_errors import (
    TRANSLATED, DatabaseError, DataError, Error, IntegrityError, InterfaceError, InternalError, NotSupportedError,
    OperationalError, ProgrammingError, Warning, translated,  # noqa: A004
)

if TYPE_CHECKING:
    import pyarrow as pa

    from phantomdb.core.query.result import Result
    from phantomdb.core.transactions import Isolation

__all__ = [
    "BINARY", "DATETIME", "NUMBER", "ROWID", "STRING", "Binary", "Connection", "Cursor", "DataError", "DatabaseError",
    "Date", "DateFromTicks", "Error", "IntegrityError", "InterfaceError", "InternalError", "NotSupportedError",
    "OperationalError", "ProgrammingError", "Time", "TimeFromTicks", "Timestamp", "TimestampFromTicks", "Warning",
    "apilevel", "connect", "paramstyle", "threadsafety"]

apilevel = "2.0"
threadsafety = 1                         # threads may share the module, and a connection only one after the other
paramstyle = "qmark"                     # numeric ($1, :1) and named (:name) are understood as well

Parameters = Sequence[Any] | Mapping[str, Any]
_BEGINNINGS = ("begin", "start")         # these begin the transaction themselves


# -------------------------------------------------------------------- types

class TypeObject:
    """Equal to the types it stands for."""

    def __init__(self, name: str, *kinds: Kind) -> None:
        self.name, self.kinds = name, frozenset(kinds)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Type):
            return other.kind in self.kinds
        return self is other

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name


STRING = TypeObject("STRING", Kind.TEXT, Kind.UUID, Kind.JSON, Kind.ARRAY, Kind.ANY, Kind.NULL)
BINARY = TypeObject("BINARY", Kind.BYTES)
NUMBER = TypeObject("NUMBER", Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.DECIMAL)
DATETIME = TypeObject("DATETIME", Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.INTERVAL)
ROWID = TypeObject("ROWID")

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> datetime.date:  # noqa: N802  (its name in PEP 249)
    """The day of `ticks` seconds since 1970, in the local zone."""
    return datetime.date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> datetime.time:  # noqa: N802
    """The time of day of `ticks` seconds since 1970, in the local zone."""
    return datetime.time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime.datetime:  # noqa: N802
    """The moment `ticks` seconds after 1970, in the local zone."""
    return datetime.datetime(*time.localtime(ticks)[:6])


# -------------------------------------------------------------------- databases that connections share

class _Shared:
    """An open database and how many connections have it."""

    def __init__(self, database: Database, options: Mapping[str, Any]) -> None:
        self.database, self.options, self.count = database, dict(options), 0


_shared: dict[str, _Shared] = {}         # by real path; guarded by the mutex
_mutex = threading.Lock()


def _take(path: str, options: Mapping[str, Any]) -> Database:
    with _mutex:
        found = _shared.get(path)
        if found is not None and (found.database.store.is_closed or found.database.store.engine.in_child):
            found = None
        if found is None:
            found = _shared[path] = _Shared(Database(path, Options(**options)), options)
        elif options and options != found.options:
            raise InterfaceError(f"{path} is open in this process with other options: {found.options}")
        found.count += 1
        return found.database


def _give_back(path: str, database: Database) -> None:
    with _mutex:
        found = _shared.get(path)
        if found is None or found.database is not database:
            return
        found.count -= 1
        if found.count:
            return
        del _shared[path]
    database.close()


def connect(database: str | os.PathLike[str] | Database, *, autocommit: bool = False,
            isolation: Isolation = "serializable", name: str = "main", **options: Any) -> Connection:
    """Opens a connection to the database in a folder, with the options of phantomdb.open(), or to one that is open.
    `name`: which of the databases in it (CREATE DATABASE). Connections to one path share its options."""
    if isolation not in ("serializable", "snapshot"):
        raise InterfaceError(f"isolation must be 'serializable' or 'snapshot', not {isolation!r}")
    if isinstance(database, Database):
        if options:
            raise InterfaceError("options are for a path: this database is open already")
        return Connection(database, None, autocommit, isolation, name)
    path = os.path.realpath(os.fspath(database))
    try:
        opened = _take(path, options)
    except TRANSLATED as error:
        raise translated(error) from error
    try:
        return Connection(opened, path, autocommit, isolation, name)
    except BaseException:
        _give_back(path, opened)
        raise


# -------------------------------------------------------------------- connections

class Connection:
    """Made by connect(). As a context manager it commits at the end of the block, or rolls back on an exception; it
    stays open."""

    Warning, Error, InterfaceError, DatabaseError = Warning, Error, InterfaceError, DatabaseError
    DataError, OperationalError, IntegrityError = DataError, OperationalError, IntegrityError
    InternalError, ProgrammingError, NotSupportedError = InternalError, ProgrammingError, NotSupportedError

    def __init__(self, database: Database, path: str | None, autocommit: bool, isolation: Isolation, name: str) -> None:
        from phantomdb.core.frontends import frontend
        self._path = path
        try:
            session = database.session(name)
            session.default_isolation = isolation
            if session.catalog.database(name) is None:
                raise ProgrammingError(f'database "{name}" does not exist')
            self._sql = frontend("sql").session(session)
        except TRANSLATED as error:
            raise translated(error) from error
        self._session = session
        self._database: Database | None = database
        self._autocommit = autocommit

    @property
    def database(self) -> Database:
        """The open database."""
        self._check()
        assert self._database is not None
        return self._database

    @property
    def autocommit(self) -> bool:
        """Whether each statement is a transaction of its own. Setting it commits what is open."""
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if value != self._autocommit:
            self.commit()
            self._autocommit = value

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._session.in_transaction

    @property
    def notices(self) -> list[str]:
        """What the last statement remarked."""
        return list(self._sql.notices)

    def cursor(self) -> Cursor:
        self._check()
        return Cursor(self)

    def execute(self, operation: str, parameters: Parameters = ()) -> Cursor:
        """cursor().execute()"""
        if self._database is None:
            self._check()
        cursor = Cursor(self)
        result = cursor._result = self._run(operation, parameters)
        cursor.rowcount = result.row_count
        return cursor

    def executemany(self, operation: str, rows: Iterable[Parameters]) -> Cursor:
        """cursor().executemany()"""
        self._check()
        return Cursor(self).executemany(operation, rows)

    def commit(self) -> None:
        """Without a transaction it does nothing. OperationalError with sqlstate 40001: another transaction changed what
        this one read; it was rolled back, and may be run again."""
        self._check()
        if self._session.in_transaction:
            try:
                self._session.commit()
            except TRANSLATED as error:
                raise translated(error) from error

    def rollback(self) -> None:
        """Without a transaction it does nothing."""
        self._check()
        try:
            self._session.rollback()
        except TRANSLATED as error:
            raise translated(error) from error

    def interrupt(self) -> None:
        """From any thread: ends the query that runs, if it is one over whole tables. Short ones run to their end."""
        self._session.interrupt()

    def close(self) -> None:
        """Rolls back what is open. Closing twice is fine."""
        database, self._database = self._database, None
        if database is None:
            return
        try:
            if not database.store.is_closed:
                self._session.close()
        finally:
            if self._path is not None:
                _give_back(self._path, database)

    def _check(self) -> None:
        if self._database is None:
            raise InterfaceError("the connection is closed")

    def _run(self, operation: str, parameters: Parameters) -> Result:
        try:
            if not self._autocommit and self._session.rows is None and not (
                    operation.lstrip()[:5].lower().startswith(_BEGINNINGS)):
                self._session.begin()
            return self._sql.execute(operation, parameters)  # type: ignore[no-any-return]
        except TRANSLATED as error:
            raise translated(error) from error

    def __enter__(self) -> Connection:
        self._check()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()

    def __del__(self) -> None:
        if getattr(self, "_database", None) is not None:
            self.close()


# -------------------------------------------------------------------- cursors

class Cursor(Struct, eq=False, weakref=True):      # a Struct is made in less time than other objects
    """Made by Connection.cursor(). Runs one statement at a time."""

    connection: Connection
    _result: Result | None = None
    _is_closed: bool = False
    rowcount: int = -1
    arraysize: int = 1
    lastrowid: ClassVar[None] = None     # rows have keys of any type: RETURNING tells them

    @property
    def description(self) -> list[tuple[str, Type, None, None, int | None, int | None, None]] | None:
        """(name, type, None, None, precision, scale, None) of each column; None for a statement without rows."""
        result = self._result
        if result is None or not result.has_rows:
            return None
        return [(name, type_, None, None, type_.precision, type_.scale, None)
                for name, type_ in zip(result.names, result.types, strict=True)]

    def execute(self, operation: str, parameters: Parameters = ()) -> Cursor:
        """Runs a statement; gives the cursor itself. The errors of PEP 249."""
        if self._is_closed or self.connection._database is None:
            self._refuse()
        self._result, self.rowcount = None, -1
        result = self._result = self.connection._run(operation, parameters)
        self.rowcount = result.row_count
        return self

    def executemany(self, operation: str, rows: Iterable[Parameters]) -> Cursor:
        """Runs a statement that changes rows once for each row of parameters: all or none."""
        if self._is_closed or self.connection._database is None:
            self._refuse()
        self._result, self.rowcount = None, -1
        connection = self.connection
        try:
            if not connection._autocommit and not connection._session.in_transaction:
                connection._session.begin()
            self.rowcount = connection._sql.execute_many(operation, list(rows))
        except TRANSLATED as error:
            raise translated(error) from error
        return self

    def _rows(self) -> Result:
        result = self._result
        if self._is_closed or self.connection._database is None:
            self._refuse()
        if result is None or not result.has_rows:
            raise InterfaceError("there is no result to fetch from")
        return result

    def _refuse(self) -> NoReturn:
        raise InterfaceError("the cursor is closed" if self._is_closed else "the connection is closed")

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; None when there is none."""
        return self._rows().fetchone()

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next `size` rows (None: `arraysize`), or fewer at the end."""
        return self._rows().fetchmany(self.arraysize if size is None else size)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""
        result = self._result
        if result is None or not result.names or self.connection._database is None:
            result = self._rows()
        return result.fetchall()

    def arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        return self._rows().arrow()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        row = self._rows().fetchone()
        if row is None:
            raise StopIteration
        return row

    def close(self) -> None:
        """Closing twice is fine."""
        self._result, self._is_closed = None, True

    def setinputsizes(self, sizes: object) -> None:
        """Does nothing, as PEP 249 allows."""

    def setoutputsize(self, size: object, column: object = None) -> None:
        """Does nothing, as PEP 249 allows."""

    def callproc(self, name: str, parameters: Sequence[Any] = ()) -> NoReturn:
        """NotSupportedError: there are no stored procedures."""
        raise NotSupportedError("there are no stored procedures")

    def nextset(self) -> None:
        """There is one result at most."""
        if self._is_closed or self.connection._database is None:
            self._refuse()

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
