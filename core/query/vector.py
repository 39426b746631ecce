"""The vector executor: a plan, printed as SQL, run by DuckDB over Arrow data that the source of the statement gives.

    VectorExecutor    one DuckDB instance in memory, bounded, spilling into a folder; it has no tables of its own
    _Session          one connection to it; each running statement has one to itself
    VectorResult      Arrow batches as they come, rows made of them
    Cancellation      stops a statement from another thread

DuckDB sees nothing but the text we print and the Arrow data we register: reading files, loading extensions, finding
Python variables by name and changing settings are all switched off. It is imported when the first statement runs.

A connection keeps a few slots registered: objects that stand for a table and give another one for each statement.
Registering costs half a millisecond, a slot nothing. Only a large table is registered itself, because DuckDB orders
joins by the number of rows, which it does not ask of a slot.
"""
from __future__ import annotations

import heapq
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from phantomdb.core.errors import DatabaseClosed, PhantomError
from phantomdb.core.query import context, vector_values
from phantomdb.core.query.errors import OutOfQueryMemory, StatementCancelled, StatementTimeout
from phantomdb.core.query.lower import InputTable, lower
from phantomdb.core.query.lower_expressions import Environment
from phantomdb.core.query.plan import Query, Scan, VirtualTable
from phantomdb.core.query.vector_functions import StatementFunctions, VectorFunctions, translate
from phantomdb.core.values import Kind, Type, Value

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LARGE_ROWS = 20_000                  # from here on the number of rows is worth telling DuckDB
IDLE_SESSIONS_MAX = 8
BATCH_ROWS = 122_880                 # of a result; DuckDB's own row group
INTERRUPT_INTERVAL_S = 0.05          # an interrupt that comes before DuckDB has begun is lost: it is repeated
MIBIBYTE = 1 << 20


class Source(Protocol):
    """The tables as a statement sees them: its snapshot, with its own writes."""

    def scan(self, scan: Scan | VirtualTable) -> Any:
        """A pyarrow Table, or any object with __arrow_c_stream__: the columns of the scan in their order (names do not
        matter), of the types vector_values.arrow_type says; a scan without columns has one of any type, for its number
        of rows. Called again for the same scan when DuckDB reads a stream twice; then it gives the same rows."""


class Cancellation:
    """Hand it to `run`, and call `cancel` from any thread: the statement ends with StatementCancelled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.is_cancelled = False

    def cancel(self) -> None:
        with self._lock:
            self.is_cancelled = True
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def add(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._callbacks.append(callback)
            is_cancelled = self.is_cancelled
        if is_cancelled:
            callback()

    def remove(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._callbacks.remove(callback)


class VectorExecutor:
    """Thread safe; statements run side by side. `temporary_folder`: where DuckDB spills, removed by `close`."""

    def __init__(self, *, memory_limit_bytes: int, temporary_folder: str | None = None, temporary_bytes: int = 0,
                 thread_count: int | None = None) -> None:
        self._memory_limit_bytes, self._thread_count = memory_limit_bytes, thread_count
        self._temporary_folder, self._temporary_bytes = temporary_folder, temporary_bytes
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._functions: VectorFunctions | None = None
        self._idle: list[_Session] = []
        self._watchdog = _Watchdog()
        self._is_closed = False

    def run(self, query: Query, parameters: Sequence[Value], source: Source, *, timeout_s: float | None = None,
            cancel: Cancellation | None = None, is_streamed: bool = False) -> VectorResult:
        """Runs a statement to its end; streamed: up to its first rows, the others are computed as they are asked for,
        and `source` must give the same rows until then. A result that is not streamed is at most as large as the memory
        limit.

        Errors: those of the functions in the statement; StatementTimeout, StatementCancelled; OutOfQueryMemory;
        StatementTooComplex; FeatureNotSupported; what `source` raises; DatabaseClosed."""
        session = self._take_session()
        watch = _Watch(session, timeout_s, cancel)
        result = VectorResult(self, session, watch, query)
        try:
            watch.functions = functions = session.functions.statement(context.current())
            lowered = lower(query, Environment(functions, parameters))
            session.bind(lowered.tables, source)
            self._watchdog.add(watch)
            watch.check()
            result.start(lowered.sql, lowered.parameters, 0 if is_streamed else self._memory_limit_bytes)
        except BaseException:
            result.close()
            raise
        return result

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

    # ---- sessions

    def _take_session(self) -> _Session:
        with self._lock:
            if self._is_closed:
                raise DatabaseClosed
            if self._idle:
                return self._idle.pop()
            if self._connection is None:
                self._connection = self._connect()
                self._functions = VectorFunctions(self._connection)
            assert self._functions is not None
            return _Session(self._connection.cursor(), self._functions)

    def release(self, session: _Session, watch: _Watch) -> None:
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
        for setting in ("TimeZone = 'UTC'", "max_expression_depth = 5000", "enable_external_access = false",
                        "lock_configuration = true"):
            connection.execute(f"SET {setting}")
        return connection


# -------------------------------------------------------------------- connections

class _Slot:
    """A table for DuckDB, another one in each statement."""

    __slots__ = ("_data", "_reopen", "_schema", "failure")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._data: Any = None
        self._schema: pa.Schema | None = None
        self._reopen: Callable[[], Any] | None = None
        self.failure: BaseException | None = None

    def set(self, data: Any, reopen: Callable[[], Any] | None) -> None:
        self._data, self._reopen, self._schema = data, reopen, data.schema

    def __arrow_c_schema__(self) -> object:
        import pyarrow as pa
        schema = self._schema or pa.schema([("x", pa.null())])          # registered while it stands for nothing
        return schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A stream that was read already is opened again; a table may be read any number of times."""
        import pyarrow as pa
        data = self._data
        if self._reopen is None:
            return data.__arrow_c_stream__(requested_schema)
        if data is None:
            data = self._reopen()
        self._data = None
        reader = pa.RecordBatchReader.from_batches(data.schema, self._batches(data))
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """DuckDB tells no more of an error than its text: the error itself is kept here."""
        try:
            yield from reader
        except BaseException as error:
            self.failure = error
            raise


def _stream(cursor: Any, sql: str, parameters: list[Any]) -> pa.RecordBatchReader:
    """Runs a text, giving Arrow batches as they are computed. `_submit` is what DuckDB's own relations run with; it is
    no public name, but the way through a relation binds the text three times, which is most of a small statement."""
    submit = getattr(cursor, "_submit", None)
    if submit is not None:
        return submit(sql, parameters or None, "stream", BATCH_ROWS).arrow_reader()
    return cursor.sql(sql, params=parameters or None).to_arrow_reader(BATCH_ROWS)


class _Session:
    """A connection, for one statement at a time."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, functions: VectorFunctions) -> None:
        self.cursor, self.functions = cursor, functions
        self._slots: list[_Slot] = []
        self._large: list[str] = []

    def bind(self, tables: Sequence[InputTable], source: Source) -> None:
        for position, table in enumerate(tables):
            if position == len(self._slots):
                self._slots.append(_Slot())
                self.cursor.register(table.name, self._slots[position])
            self._bind(table, self._slots[position], source)

    def _bind(self, table: InputTable, slot: _Slot, source: Source) -> None:
        import pyarrow as pa
        names = [f"c{column.id}" for column in table.columns] or ["x"]
        node = table.node
        if node is None:
            arrays = [vector_values.to_arrow(values, column.type) for values, column in
                      zip(zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns), table.columns,
                          strict=True)]
            slot.set(pa.Table.from_arrays(arrays, names), None)
            return
        data = source.scan(node)
        if isinstance(data, pa.Table):
            data = data.rename_columns(names)
            slot.set(data, None)
            if data.num_rows >= LARGE_ROWS:
                self.cursor.register(table.name, data)
                self._large.append(table.name)
            return
        slot.set(_named_reader(data, names), lambda: _named_reader(source.scan(node), names))

    def failure(self) -> BaseException | None:
        return next((slot.failure for slot in self._slots if slot.failure is not None), None)

    def clear(self) -> None:
        """Lets go of the data of the last statement."""
        for slot in self._slots:
            slot.clear()
        for name in self._large:
            self.cursor.unregister(name)
            self.cursor.register(name, self._slots[int(name.rpartition("_")[2])])
        self._large.clear()

    def close(self) -> None:
        self.cursor.close()


def _named_reader(data: Any, names: Sequence[str]) -> pa.RecordBatchReader:
    import pyarrow as pa
    reader = data if isinstance(data, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(data)
    if reader.schema.names == list(names):
        return reader
    return pa.RecordBatchReader.from_batches(
        pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)]),
        (batch.rename_columns(list(names)) for batch in reader))


# -------------------------------------------------------------------- stopping

class _Watch:
    """A running statement: when and why it is to stop."""

    def __init__(self, session: _Session, timeout_s: float | None, cancel: Cancellation | None) -> None:
        self.session, self._cancel = session, cancel
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.is_running = True
        self.reader: pa.RecordBatchReader | None = None
        self.functions: StatementFunctions | None = None
        self.lock = threading.Lock()                         # interrupt() only while the statement is running
        self.on_cancel: Callable[[], None] | None = None

    def reason(self) -> StatementCancelled | None:
        if self._cancel is not None and self._cancel.is_cancelled:
            return StatementCancelled()
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return StatementTimeout()
        return None

    def check(self) -> None:
        if (reason := self.reason()) is not None:
            raise reason

    def watch_cancellation(self, callback: Callable[[], None]) -> None:
        if self._cancel is not None:
            self.on_cancel = callback
            self._cancel.add(callback)

    def interrupt(self) -> None:
        with self.lock:
            if self.is_running:
                self.session.cursor.interrupt()

    def end(self) -> None:
        with self.lock:
            self.is_running = False
        if self._cancel is not None and self.on_cancel is not None:
            self._cancel.remove(self.on_cancel)
            self.on_cancel = None
        if self.reader is not None:
            self.reader.close()
            self.reader = None
        if self.functions is not None:
            self.functions.close()


class _Watchdog:
    """One thread that interrupts statements whose time is over, started by the first that has a limit."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._queue: list[tuple[float, int, _Watch]] = []    # when to look, a number to tell equals apart, whom
        self._numbers = 0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, watch: _Watch) -> None:
        watch.watch_cancellation(lambda: self._wake(watch, time.monotonic()))
        if watch.deadline is not None:
            self._wake(watch, watch.deadline)

    def remove(self, watch: _Watch) -> None:
        """An ended statement stays in the queue until its time; so that it is short, old ones go now and then."""
        if len(self._queue) > 1000:
            with self._condition:
                self._queue = [entry for entry in self._queue if entry[2].is_running]
                heapq.heapify(self._queue)

    def _wake(self, watch: _Watch, at: float) -> None:
        with self._condition:
            if self._is_closed:
                return
            self._numbers += 1
            heapq.heappush(self._queue, (at, self._numbers, watch))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="phantomdb-statement-watchdog", daemon=True)
                self._thread.start()
            elif self._queue[0][2] is watch:
                self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._is_closed and (not self._queue or self._queue[0][0] > time.monotonic()):
                    self._condition.wait(self._queue[0][0] - time.monotonic() if self._queue else None)
                if self._is_closed:
                    return
                _, _, watch = heapq.heappop(self._queue)
            if watch.is_running:
                watch.interrupt()
                self._wake(watch, time.monotonic() + INTERRUPT_INTERVAL_S)

    def close(self) -> None:
        with self._condition:
            self._is_closed = True
            self._queue.clear()
            self._condition.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


# -------------------------------------------------------------------- results

class VectorResult:
    """The rows of a statement, for one thread at a time. `close` ends a statement of which no more is wanted; so does
    the garbage collector."""

    def __init__(self, executor: VectorExecutor, session: _Session, watch: _Watch, query: Query) -> None:
        self.names = query.names
        self.types = tuple(column.type for column in query.columns)
        self._session, self._watch = session, watch
        self._pending: deque[pa.RecordBatch] = deque()
        self._all: list[pa.RecordBatch] | None = None        # of a result that is not streamed
        self._rows: list[tuple[Any, ...]] = []               # made, not yet fetched
        self._at = 0
        self._end = weakref.finalize(self, executor.release, session, watch)
        self._schema: pa.Schema | None = None

    def start(self, sql: str, parameters: Sequence[Any], bytes_max: int) -> None:
        """Runs the text: the first batch, and more as long as they have `bytes_max` in all. OutOfQueryMemory: all do
        not fit; 0 stands for the first batch only."""
        cursor = self._session.cursor
        reader = self._call(lambda: _stream(cursor, sql, list(parameters)))
        self._watch.reader = reader
        self._schema = self._result_schema(reader.schema)
        size = 0
        while (batch := self._read()) is not None:
            self._pending.append(batch)
            size += batch.nbytes
            if not bytes_max:
                break
            if size > bytes_max:
                raise OutOfQueryMemory("the result is larger than query_memory_bytes; stream it, or ask for less")
        self._all = list(self._pending) if bytes_max else None

    def _call(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except Exception as error:       # noqa: BLE001 - of DuckDB, of Arrow, of the source's stream
            translated = self._translate(error)
            self.close()
            raise translated from None

    def _translate(self, error: Exception) -> BaseException:
        return (self._session.failure() or (error if isinstance(error, PhantomError) else None) or self._watch.reason()
                or translate(error))

    def _read(self) -> pa.RecordBatch | None:
        reader = self._watch.reader
        if reader is None:
            return None

        def next_batch() -> pa.RecordBatch | None:
            try:
                return reader.read_next_batch()
            except StopIteration:
                return None
        batch = self._call(next_batch)
        if batch is None:
            self.close()
            return None
        return self._converted(batch)

    def _result_schema(self, schema: pa.Schema) -> pa.Schema:
        import pyarrow as pa
        fields = []
        for name, type_, found in zip(self.names, self.types, schema.types, strict=True):
            fields.append(pa.field(name, found if _is_open(type_) else vector_values.arrow_type(type_)))
        return pa.schema(fields)

    def _converted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa
        assert self._schema is not None
        columns = [column if column.type == field.type else column.cast(field.type)
                   for column, field in zip(batch.columns, self._schema, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches not yet fetched, as Arrow."""
        while self._pending:
            yield self._pending.popleft()
        while (batch := self._read()) is not None:
            yield batch

    def close(self) -> None:
        """Ends the statement; its session serves others."""
        self._end()

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """The next rows, at most `size`; none at the end."""
        found: list[tuple[Any, ...]] = []
        while len(found) < size:
            if self._at == len(self._rows):
                batch = next(self.batches(), None)
                if batch is None:
                    break
                self._rows, self._at = self._rows_of(batch), 0
            taken = self._rows[self._at:self._at + size - len(found)]
            self._at += len(taken)
            found += taken
        return found

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows not yet fetched."""
        found = self._rows[self._at:]
        self._rows, self._at = [], 0
        for batch in self.batches():
            found += self._rows_of(batch)
        return found

    def _rows_of(self, batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
        if not self.types:
            return [()] * batch.num_rows
        return list(zip(*[vector_values.to_python(column, type_)
                          for column, type_ in zip(batch.columns, self.types, strict=True)], strict=True))

    def arrow(self) -> pa.Table:
        """All rows as a table; of a streamed result those not yet fetched."""
        import pyarrow as pa
        return pa.Table.from_batches(list(self.batches()) if self._all is None else self._all, self._schema)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The same, batch by batch."""
        import pyarrow as pa
        batches = self.batches() if self._all is None else self._all
        return pa.RecordBatchReader.from_batches(self._schema, batches).__arrow_c_stream__(requested_schema)


def _is_open(type_: Type) -> bool:
    """The type in Arrow is the one that comes: a decimal without precision, or an array of them."""
    while type_.element is not None:
        type_ = type_.element
    return type_.kind is Kind.DECIMAL and type_.precision is None
