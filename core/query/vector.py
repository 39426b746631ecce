"""The vector executor: a plan, printed as SQL, run by DuckDB over Arrow data that the source of the statement gives.

    VectorExecutor    one DuckDB instance in memory, bounded, spilling into a folder; it has no tables of its own
      Session         one connection to it; each running statement has one to itself       (vector_sessions.py)
      VectorResult    Arrow batches as they come, rows made of them                        (vector_results.py)
      Watch           stops a statement from another thread                                (vector_watch.py)

DuckDB sees nothing but the text we print and the Arrow data we register: reading files, loading extensions, finding
Python variables by name and changing settings are all switched off. It is imported when the first statement runs.
"""
from __future__ import annotations

import atexit
import json
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.errors import DatabaseClosed
from phantomdb.core.query import context
from phantomdb.core.query.cancellation import Cancellation
from phantomdb.core.query.lower import Lowered, lower
from phantomdb.core.query.lower_expressions import Environment
from phantomdb.core.query.plan import Query
from phantomdb.core.query.vector_functions import StatementFunctions, VectorFunctions
from phantomdb.core.query.vector_results import VectorResult
from phantomdb.core.query.vector_sessions import Session, Source
from phantomdb.core.query.vector_watch import Watch, Watchdog
from phantomdb.core.values import Value

if TYPE_CHECKING:
    import duckdb

IDLE_SESSIONS_MAX = 8
PRINTED_QUERIES = 200                # whose text is kept
MIBIBYTE = 1 << 20


class VectorExecutor:
    """Thread safe; statements run side by side. `temporary_folder`: where DuckDB spills, removed by `close`."""

    def __init__(self, *, memory_limit_bytes: int, temporary_folder: str | None = None, temporary_bytes: int = 0,
                 thread_count: int | None = None) -> None:
        self._memory_limit_bytes, self._thread_count = memory_limit_bytes, thread_count
        self._temporary_folder, self._temporary_bytes = temporary_folder, temporary_bytes
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._functions: VectorFunctions | None = None
        self._idle: list[Session] = []
        self._printed: OrderedDict[int, tuple[Query, Lowered]] = OrderedDict()     # by id of the query, which is kept
        self._watchdog = Watchdog()
        self._is_closed = False

    def run(self, query: Query, parameters: Sequence[Value], source: Source, *, cancel: Cancellation | None = None,
            is_streamed: bool = False) -> VectorResult:
        """Runs a statement to its end; streamed: up to its first rows, the others are computed as they are asked for,
        and `source` must give the same rows until then. A result that is not streamed is at most as large as the memory
        limit.

        Errors: those of the functions in the statement; StatementTimeout, StatementCancelled; OutOfQueryMemory;
        StatementTooComplex; FeatureNotSupported; what `source` raises; DatabaseClosed."""
        result, lowered = self._begun(query, parameters, source, cancel)
        try:
            result.start(lowered.sql, lowered.parameters, 0 if is_streamed else self._memory_limit_bytes)
        except BaseException:
            result.close()
            raise
        return result

    def profile(self, query: Query, parameters: Sequence[Value], source: Source, *, cancel: Cancellation | None = None
                ) -> dict[str, Any]:
        """Runs a statement; instead of its rows, what each of DuckDB's operators took, as EXPLAIN (ANALYZE, FORMAT
        JSON) of DuckDB has it. Errors as of run()."""
        result, lowered = self._begun(query, parameters, source, cancel)
        try:
            found: dict[str, Any] = json.loads(result.profile(lowered.sql, lowered.parameters))
            return found
        finally:
            result.close()

    def _begun(self, query: Query, parameters: Sequence[Value], source: Source, cancel: Cancellation | None
               ) -> tuple[VectorResult, Lowered]:
        """A session with the statement's tables bound."""
        session = self._take_session()
        watch = Watch(session, cancel or Cancellation())
        result = VectorResult(self._release, session, watch, query)
        try:
            watch.functions = functions = session.functions.statement(context.current())
            lowered = self._lowered(query, parameters, functions)
            session.bind(lowered.tables, source, watch.cancellation.check)
            self._watchdog.add(watch)
            watch.cancellation.check()
        except BaseException:
            result.close()
            raise
        return result, lowered

    def close(self) -> None:
        """Statements still running end with StatementCancelled or DatabaseClosed."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            connection, self._connection = self._connection, None
        self._watchdog.close()
        for session in idle:
            session.close()
        if connection is not None:
            connection.close()

    def _lowered(self, query: Query, parameters: Sequence[Value], functions: StatementFunctions) -> Lowered:
        """The text of a query. It is kept where it depends on nothing but the query."""
        if (found := self._printed.get(id(query))) is not None:
            return found[1]
        environment = Environment(functions, parameters)
        lowered = lower(query, environment)
        if not parameters and not environment.asks_context:
            with self._lock:
                self._printed[id(query)] = query, lowered
                while len(self._printed) > PRINTED_QUERIES:
                    self._printed.popitem(last=False)
        return lowered

    # ---- sessions

    def _take_session(self) -> Session:
        with self._lock:
            if self._is_closed:
                raise DatabaseClosed
            if self._idle:
                return self._idle.pop()
            if self._connection is None:
                self._connection = self._connect()
                self._functions = VectorFunctions(self._connection)
                _open.add(self)
            assert self._functions is not None
            return Session(self._connection.cursor(), self._functions)

    def _release(self, session: Session, watch: Watch) -> None:
        """The statement of `session` has ended."""
        watch.end()
        self._watchdog.remove(watch)
        session.clear()
        with self._lock:
            if not self._is_closed and len(self._idle) < IDLE_SESSIONS_MAX:
                self._idle.append(session)
                return
        session.close()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        import duckdb
        config: dict[str, Any] = {
            "memory_limit": f"{max(self._memory_limit_bytes // MIBIBYTE, 1)}MiB",
            "autoinstall_known_extensions": False, "autoload_known_extensions": False,
            "allow_community_extensions": False, "python_enable_replacements": False,
            "temp_directory": self._temporary_folder or "",
        }
        if self._temporary_folder:
            config["max_temp_directory_size"] = f"{max(self._temporary_bytes // MIBIBYTE, 1)}MiB"
        if self._thread_count:
            config["threads"] = self._thread_count
        connection = duckdb.connect(":memory:", config=config)
        for setting in ("TimeZone = 'UTC'", "max_expression_depth = 5000", "order_by_non_integer_literal = true",
                        "enable_external_access = false", "lock_configuration = true"):
            connection.execute(f"SET GLOBAL {setting}")         # a plain SET is of this connection, not of its cursors
        return connection


# DuckDB complains on stderr of connections that are open when the interpreter ends.
_open: weakref.WeakSet[VectorExecutor] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for executor in list(_open):
        executor.close()
