"""The embedded database as a program holds it: keyspace, snapshots, transactions, upkeep."""
from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from phantomdb.core._ext import background as doors
from phantomdb.core._ext.keyspace import KeySpace, Snapshot
from phantomdb.core._ext.status import register_exception
from phantomdb.core.catalog.keys import CATALOG_PREFIX
from phantomdb.core.catalog.upkeep import NO_UPKEEP, needs_upkeep
from phantomdb.core.errors import CLOSED, DatabaseClosed, InvalidArgument
from phantomdb.core.options import Options
from phantomdb.core.store import LocalStore
from phantomdb.core.transactions import Isolation, Transaction, run

if TYPE_CHECKING:
    from phantomdb.core.query.engine import QueryEngine
    from phantomdb.core.query.result import Result
    from phantomdb.core.query.session import Session
    from phantomdb.core.tables.changes import RowBatch

T = TypeVar("T")

KV_PREFIX = 0x6B                     # b"k": the raw keyspace; other prefixes belong to catalog and tables
TIMESTAMP_LOGICAL_BITS = 18
RUN_TIMEOUT_S = 30.0

AsOf = int | datetime | timedelta | None


def timestamp_of(as_of: AsOf) -> int:
    """A commit timestamp from one (int), a moment (datetime; naive ones are UTC), or a time ago (timedelta)."""
    if as_of is None:
        return 0
    if isinstance(as_of, timedelta):
        as_of = datetime.now(UTC) - abs(as_of)
    if isinstance(as_of, datetime):
        moment = as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)
        # the whole millisecond counts: everything committed up to and in it
        as_of = (int(moment.timestamp() * 1000) << TIMESTAMP_LOGICAL_BITS) | ((1 << TIMESTAMP_LOGICAL_BITS) - 2)
    if isinstance(as_of, bool) or not isinstance(as_of, int):
        raise TypeError(f"as_of must be a timestamp, datetime or timedelta, not {type(as_of).__name__}")
    if as_of <= 0:
        raise InvalidArgument("as_of must be a positive timestamp, or a moment after 1970")
    return as_of


def moment_of(timestamp: int) -> datetime:
    """When a commit timestamp was given out, in UTC."""
    return datetime.fromtimestamp((timestamp >> TIMESTAMP_LOGICAL_BITS) / 1000, UTC)


class KeyValue(KeySpace):
    """`db.kv`: ordered bytes to bytes. get, put, delete, multi_get, write, scan, delete_range are inherited."""

    def __init__(self, database: Database, prefix: int) -> None:
        super().__init__(database.store.engine, prefix)
        self._database = database                                # keeps it open as long as the keyspace is used

    def snapshot(self, as_of: AsOf = None) -> Snapshot:
        """The keyspace as of now, or as of an earlier moment inside the retention window."""
        return self.snapshot_at(timestamp_of(as_of))

    def compact(self) -> None:
        """Merges everything into the bottom level."""
        self._database.compact()


class Database:
    """An open database. All threads may share it; use it in a `with` statement or close() it."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        self.store = LocalStore(path, options)
        self.kv = KeyValue(self, KV_PREFIX)
        self._mutex = threading.Lock()
        self._queries: QueryEngine | None = None                 # guarded by the mutex
        self._threads = threading.local()                        # sessions of frontends, by name
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()     # all of them; guarded by the mutex
        if needs_upkeep(self.store.engine):
            threading.Thread(target=_begin_upkeep, args=(weakref.ref(self),), name="phantomdb-tables",
                             daemon=True).start()
        _open_databases.add(self)

    @property
    def path(self) -> str:
        return self.store.directory

    @property
    def options(self) -> Options:
        return self.store.options

    @property
    def timestamp(self) -> int:
        """Commit timestamp of the newest visible commit."""
        self.store.check_usable()
        return int(doors.visible_ts(self.store.engine))

    def transaction(self, *, isolation: Isolation = "serializable") -> Transaction:
        """A new transaction; strictly serializable unless isolation="snapshot"."""
        return Transaction(self.store, KV_PREFIX, isolation, None, self)

    def run(self, function: Callable[[Transaction], T], *, isolation: Isolation = "serializable",
            timeout_s: float = RUN_TIMEOUT_S) -> T:
        """Calls `function(txn)`, commits and returns its result; starts again on a conflict. The function must
        therefore have no effect besides those on the transaction."""
        return run(lambda age: Transaction(self.store, KV_PREFIX, isolation, age, self), function, timeout_s=timeout_s)

    @property
    def queries(self) -> QueryEngine:
        """What sessions share; made when the first one needs it."""
        with self._mutex:
            if self._queries is None:
                self.store.check_usable()
                from phantomdb.core.query.engine import QueryEngine
                self._queries = QueryEngine(self.store)
            return self._queries

    def session(self, name: str = "main", user: str = "phantomdb") -> Session:
        """A new session on the database `name` in it: for frontends. Programs use sql() or phantomdb.dbapi."""
        from phantomdb.core.query.session import Session
        return Session(self, name, user)

    def sql(self, text: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Result:
        """Runs SQL: each statement in a transaction of its own, unless it begins one. Parameters are `?`, `$1` or
        `:name`. Each thread has a session to itself."""
        result: Result = self.frontend("sql").execute(text, parameters)
        return result

    def frontend(self, name: str) -> Any:
        """This thread's session of the frontend `name`."""
        sessions: dict[str, Any] | None = getattr(self._threads, "sessions", None)
        if sessions is None:
            sessions = self._threads.sessions = {}
        found = sessions.get(name)
        if found is None:
            from phantomdb.core.frontends import frontend
            session = self.session()
            with self._mutex:
                self._sessions.add(session)
            found = sessions[name] = frontend(name).session(session)
        return found

    def load(self, table: str, data: Any, columns: Sequence[str] | None = None, *, schema: str = "public") -> int:
        """Adds the rows of an Arrow table or reader, a pandas or polars frame, or anything else with
        __arrow_c_stream__ to a table; how many. All become visible at once, or none does. Columns go by name, or in the
        order of `columns`; those not given get their defaults. Errors as of INSERT; LimitExceeded."""
        from phantomdb.core.query.load import load
        return load(self.session(), table, data, columns, schema=schema)

    def stats(self) -> dict[str, Any]:
        """Figures of the moment: levels, amplification, memory, counters."""
        result = self.store.stats()
        with self._mutex:
            queries = self._queries
        result.update(NO_UPKEEP if queries is None else queries.upkeep.figures())
        return result

    def sync(self) -> None:
        """Everything committed so far is on disk when it returns, whatever the durability."""
        self.store.sync()

    def flush(self) -> None:
        """Brings everything committed so far into tables."""
        self.store.flush()

    def compact(self) -> None:
        """Merges everything into the bottom level and drops what nobody can read any more."""
        self.store.compact()

    def checkpoint(self, path: str | os.PathLike[str]) -> None:
        """A second database at `path` (which must not exist) with the state of now; tables are shared by hard links,
        so it costs little time and space."""
        from phantomdb.core.maintenance import checkpoint
        checkpoint(self.store, path)

    def verify(self, progress: Callable[[str, int, int], None] | None = None) -> dict[str, int]:
        """Reads and checks every byte of tables and value files, and whether the indexes of tables have the entries of
        their rows; CorruptionError names the first damage."""
        from phantomdb.core.maintenance import verify_store
        counts = verify_store(self.store, progress)
        if any(True for _ in KeySpace(self.store.engine, CATALOG_PREFIX).scan(None, None, False, 1)):
            from phantomdb.core.tables.agreement import check_tables
            with self.transaction(isolation="snapshot") as transaction:
                counts.update(check_tables(self.queries.tables.rows(transaction)))
        return counts

    def ingest(self, pairs: Iterable[tuple[bytes, bytes]]) -> int:
        """Adds sorted, distinct (key, value) pairs as finished tables, past log and memtable; all become visible at
        once. Returns how many there were."""
        from phantomdb.core.ingest import ingest
        return ingest(self.store, KV_PREFIX, pairs)

    def watch(self, from_ts: int | None = None, *, timeout_s: float | None = None) -> Iterator[Any]:
        """Committed batches in commit order: those after `from_ts` (default: after now), then live ones as they
        come. Ends after `timeout_s` without a commit; None waits for ever."""
        from phantomdb.core.feed import watch
        return watch(self.store, KV_PREFIX, from_ts, timeout_s)

    def changes(self, tables: Iterable[str] | None = None, since: int | None = None, *, with_old: bool = False,
                timeout_s: float | None = None) -> Iterator[RowBatch]:
        """watch() for tables: commits that changed rows of `tables` ("item" or "schema.item"; None: any), decoded.
        `since` is the timestamp of the last batch that was seen (None: from now on). With `with_old`, a change has the
        row as it was before, too. UndefinedTable; FeedLost: `since`, or the reader, is too far back."""
        from phantomdb.core.tables.changes import watch_rows
        wanted = None if tables is None else self.queries.table_ids(tables)
        return watch_rows(self.queries.tables, wanted, since, with_old=with_old, timeout_s=timeout_s)

    def close(self) -> None:
        """Waits for calls in flight, flushes, and closes all files. Closing twice is fine."""
        _open_databases.discard(self)
        with self._mutex:
            queries, self._queries = self._queries, None
            sessions = list(self._sessions)
        if not self.store.engine.in_child and not self.store.is_closed:
            for session in sessions:
                session.close()
        if queries is not None and not self.store.engine.in_child and not self.store.is_closed:
            queries.close()
        self.store.close()

    def __enter__(self) -> Database:
        self.store.check_usable()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "kv"):
            if self._queries is not None and not self.store.engine.in_child:
                self._queries.upkeep.stop(waits=False)
            self.store.abandon()

    def __repr__(self) -> str:
        return f"<phantomdb.Database {self.path!r}{' closed' if self.store.is_closed else ''}>"


def _begin_upkeep(reference: weakref.ref[Database]) -> None:
    """Loads what tables need, in a thread of its own: the program may want bytes only."""
    with contextlib.suppress(DatabaseClosed):
        if (database := reference()) is not None:
            _ = database.queries


_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def _closed_at_exit(*given: Any, **more: Any) -> BaseException:
    """Daemon threads run on while the interpreter ends. Those that use a database then end without a word."""
    if threading.current_thread() is threading.main_thread():
        return DatabaseClosed(*given, **more)
    return SystemExit()


def _abandon_all() -> None:
    register_exception(CLOSED, _closed_at_exit)
    for database in list(_open_databases):
        database.store.abandon()


atexit.register(_abandon_all)
