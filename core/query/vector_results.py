"""The rows of a statement that DuckDB runs: Arrow batches as they come, or Python rows made of them."""
from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.errors import PhantomError
from phantomdb.core.query import vector_values
from phantomdb.core.query.errors import OutOfQueryMemory
from phantomdb.core.query.plan import Query
from phantomdb.core.query.vector_functions import translate
from phantomdb.core.values import Kind, Type

if TYPE_CHECKING:
    import pyarrow as pa

    from phantomdb.core.query.vector_sessions import Session
    from phantomdb.core.query.vector_watch import Watch


class VectorResult:
    """The rows of a statement, for one thread at a time. `close` ends a statement of which no more is wanted; so does
    the garbage collector."""

    def __init__(self, release: Callable[[Session, Watch], None], session: Session, watch: Watch, query: Query) -> None:
        self.names = query.names
        self.types = tuple(column.type for column in query.columns)
        self._session, self._watch = session, watch
        self._pending: deque[pa.RecordBatch] = deque()
        self._all: list[pa.RecordBatch] | None = None        # of a result that is not streamed
        self._rows: list[tuple[Any, ...]] = []               # made, not yet fetched
        self._at = 0
        self._end = weakref.finalize(self, release, session, watch)
        self._schema: pa.Schema | None = None

    def start(self, sql: str, parameters: Sequence[Any], bytes_max: int) -> None:
        """Runs the text: the first batch, and more as long as they have `bytes_max` in all. OutOfQueryMemory: all do
        not fit; 0 stands for the first batch only."""
        session = self._session
        reader = self._call(lambda: session.run(sql, parameters, is_streamed=not bytes_max))
        self._watch.reader = reader
        self._schema = self._result_schema(reader.schema)
        size = row_count = 0
        while (batch := self._next()) is not None:
            self._pending.append(batch)
            size += batch.nbytes
            row_count += batch.num_rows
            if not bytes_max:
                return
            if size > bytes_max:
                raise OutOfQueryMemory("the result is larger than query_memory_bytes; stream it, or ask for less")
        session.learn(sql, parameters, row_count)
        self.close()
        self._all = list(self._pending) if bytes_max else None

    def profile(self, sql: str, parameters: Sequence[Any]) -> str:
        """Runs the text for what it took, as JSON of DuckDB."""
        text: str = self._call(lambda: self._session.cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", list(parameters) or None).fetchall())[0][1]
        return text

    def _call(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except Exception as error:       # noqa: BLE001 - of DuckDB, of Arrow, of the source's stream
            translated = self._translate(error)
            self.close()
            raise translated from None

    def _translate(self, error: Exception) -> BaseException:
        return (self._session.failure() or (error if isinstance(error, PhantomError) else None)
                or self._watch.cancellation.reason() or translate(error))

    def _next(self) -> pa.RecordBatch | None:
        """The next batch of DuckDB; None at the end."""
        reader = self._watch.reader
        if reader is None:
            return None

        def read() -> pa.RecordBatch | None:
            try:
                return reader.read_next_batch()
            except StopIteration:
                return None
        batch = self._call(read)
        return None if batch is None else self._converted(batch)

    def _result_schema(self, schema: pa.Schema) -> pa.Schema:
        import pyarrow as pa
        fields = []
        found_types = schema.types if self.types else []         # of no columns: one that tells the number of rows
        for name, type_, found in zip(self.names, self.types, found_types, strict=True):
            fields.append(pa.field(name, found if _is_open(type_) else vector_values.arrow_type(type_)))
        return pa.schema(fields)

    def _converted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa
        assert self._schema is not None
        if not self.types:
            return batch
        columns = [column if column.type == field.type else column.cast(field.type)
                   for column, field in zip(batch.columns, self._schema, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches not yet fetched, as Arrow."""
        return map(self._shown, self._unfetched())

    def _shown(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa
        return pa.RecordBatch.from_arrays([vector_values.shown(column, type_) for column, type_ in
                                           zip(batch.columns, self.types, strict=bool(self.types))],
                                          schema=self._shown_schema())

    def _shown_schema(self) -> pa.Schema:
        import pyarrow as pa
        assert self._schema is not None
        return pa.schema([field if _is_open(type_) else field.with_type(vector_values.shown_type(type_))
                          for field, type_ in zip(self._schema, self.types, strict=True)])

    def _unfetched(self) -> Iterator[pa.RecordBatch]:
        while self._pending:
            yield self._pending.popleft()
        while (batch := self._next()) is not None:
            yield batch
        self.close()

    def close(self) -> None:
        """Ends the statement; its session serves others."""
        self._end()

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """The next rows, at most `size`; none at the end."""
        found: list[tuple[Any, ...]] = []
        while len(found) < size:
            if self._at == len(self._rows):
                batch = next(self._unfetched(), None)
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
        for batch in self._unfetched():
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
        return pa.Table.from_batches(self._remaining(), self._shown_schema())

    def _remaining(self) -> Iterator[pa.RecordBatch]:
        return self.batches() if self._all is None else map(self._shown, self._all)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The same, batch by batch."""
        import pyarrow as pa
        return pa.RecordBatchReader.from_batches(self._shown_schema(), self._remaining()).__arrow_c_stream__(
            requested_schema)


def _is_open(type_: Type) -> bool:
    """The type in Arrow is the one that comes: a decimal without precision, or an array of them."""
    while type_.element is not None:
        type_ = type_.element
    return type_.kind is Kind.DECIMAL and type_.precision is None
