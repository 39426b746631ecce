"""Connections to DuckDB, and what a statement puts in front of it.

    Session     one connection, for one statement at a time: slots scan_0, scan_1, ... and prepared statements
    Slot        a table for DuckDB, another one in each statement
    Stream      a table that is made while DuckDB reads it

Registering a table costs half a millisecond, a slot that stays registered nothing. A slot tells DuckDB its number of
rows, by which joins are ordered. A text that comes a second time is prepared: binding and planning are most of a small
statement. What was prepared stays good, because a slot of the same columns may hold other rows.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from phantomdb.core.query import vector_values
from phantomdb.core.query.lower import InputTable
from phantomdb.core.query.plan import Expression, Scan, VirtualTable
from phantomdb.core.query.vector_functions import VectorFunctions

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH_ROWS = 122_880                 # of a result; DuckDB's own row group
STREAM_ROWS = 8_192                  # of one that is streamed: some batches of it are in memory, of rows of any width
PREPARED_TEXTS = 100                 # of a session
SMALL_ROWS = 10_000                  # of a result: what is prepared gives its rows all at once


@dataclass(frozen=True, slots=True)
class Stream:
    """A table that is not in memory. `open` begins to read it, each time with the same rows; `row_count` is a guess."""

    schema: pa.Schema
    row_count: int
    open: Callable[[], Iterable[pa.RecordBatch]]


class Source(Protocol):
    """The tables as a statement sees them: its snapshot, with its own writes."""

    def scan(self, scan: Scan | VirtualTable, conditions: Sequence[Expression]) -> pa.Table | Stream:
        """The columns of the scan in their order (names do not matter), of the types vector_values.arrow_type says; a
        scan without columns has one of any type, for its number of rows. Rows for which one of `conditions` is not true
        may be left out. A stream is read by threads of DuckDB, by one at a time."""


# -------------------------------------------------------------------- slots

def _slot_class() -> type[Any]:
    """A class DuckDB asks for a number of rows; without it there is none, and joins may come in a worse order."""
    try:
        from duckdb._sources import ArrowScanSource
    except ImportError:
        return _Slot
    return type("Slot", (_Slot, ArrowScanSource), {})


class _Slot:
    schema_is_stable = False             # of DuckDB's class: it may not keep what it was told once
    one_shot = False

    def __init__(self) -> None:
        self.obj = None                  # of DuckDB's class as well
        self.clear()

    def clear(self) -> None:
        """Stands for nothing."""
        self._data: pa.Table | Stream | None = None
        self._check: Callable[[], None] | None = None
        self.failure: Exception | None = None

    def set(self, data: pa.Table | Stream, check: Callable[[], None] | None = None) -> None:
        """`check` is called for each batch of a stream, and raises to end the statement."""
        self._data, self._check = data, check

    def rows(self) -> int | None:
        data = self._data
        return None if data is None else data.row_count if isinstance(data, Stream) else data.num_rows

    def __arrow_c_schema__(self) -> object:
        import pyarrow as pa
        schema = pa.schema([("x", pa.null())]) if self._data is None else self._data.schema
        return schema.__arrow_c_schema__()

    def stream(self, columns: Sequence[int] | None, _filters: Sequence[Any]) -> tuple[object, bool]:
        data = self._data
        if columns is None or data is None or isinstance(data, Stream):
            return self.__arrow_c_stream__(), False
        return data.select(list(columns)).__arrow_c_stream__(), True

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Opened once for each time that DuckDB reads the table."""
        import pyarrow as pa
        data = self._data
        assert data is not None
        if not isinstance(data, Stream):
            return data.__arrow_c_stream__(requested_schema)
        return pa.RecordBatchReader.from_batches(data.schema, self._batches(data)).__arrow_c_stream__(requested_schema)

    def _batches(self, data: Stream) -> Iterator[pa.RecordBatch]:
        """DuckDB tells no more of an error than its text: the error itself is kept here."""
        try:
            for batch in data.open():
                if self._check is not None:
                    self._check()
                yield batch
        except Exception as error:
            self.failure = error
            raise


def _named(data: pa.Table | Stream, names: list[str]) -> pa.Table | Stream:
    import pyarrow as pa
    if not isinstance(data, Stream):
        return data.rename_columns(names)
    schema = pa.schema([field.with_name(name) for field, name in zip(data.schema, names, strict=True)])
    return Stream(schema, data.row_count, lambda: (batch.rename_columns(names) for batch in data.open()))


def _given_rows(table: InputTable) -> pa.Table:
    """Rows computed where the text was printed."""
    import pyarrow as pa
    values: Iterable[Sequence[Any]] = zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns)
    return pa.Table.from_arrays([vector_values.to_arrow(column_values, column.type)
                                 for column_values, column in zip(values, table.columns, strict=True)],
                                [f"c{column.id}" for column in table.columns] or ["x"])


# -------------------------------------------------------------------- sessions

class Session:
    """A connection. `cursor` is for `interrupt` from other threads."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, functions: VectorFunctions) -> None:
        self.cursor, self.functions = cursor, functions
        self.slots: list[_Slot] = []
        self._slot_class = _slot_class()
        self._prepared: OrderedDict[Any, str | None] = OrderedDict()      # None: seen once, with a small result
        self._numbers = 0

    def bind(self, tables: Sequence[InputTable], source: Source, check: Callable[[], None]) -> None:
        """Puts the tables of a statement into the slots. Raises what `source` and `check` raise."""
        for position, table in enumerate(tables):
            check()
            data = _given_rows(table) if table.node is None else _named(
                source.scan(table.node, table.conditions), [f"c{column.id}" for column in table.columns] or ["x"])
            if position == len(self.slots):
                self.slots.append(self._slot_class())
                self.cursor.register(table.name, self.slots[position])
            self.slots[position].set(data, check)

    def run(self, sql: str, parameters: Sequence[Any], *, is_streamed: bool) -> pa.RecordBatchReader:
        """Runs a text over the slots, giving Arrow batches; streamed: as they are computed."""
        if is_streamed or parameters:
            return self._submit(sql, list(parameters) or None, STREAM_ROWS if is_streamed else BATCH_ROWS)
        key = self._key(sql)
        if key not in self._prepared:
            return self._submit(sql, None)
        name = self._prepared[key]
        self._prepared.move_to_end(key)
        if name is None:
            self._numbers += 1
            name = f"prepared_{self._numbers}"
            self.cursor.execute(f"PREPARE {name} AS {sql}").fetchall()
            self._prepared[key] = name
        return self._submit(f"EXECUTE {name}", None)

    def learn(self, sql: str, parameters: Sequence[Any], row_count: int) -> None:
        """After a text has run, with the slots as they were: the next time it is prepared, if that pays."""
        if parameters or row_count > SMALL_ROWS:
            return
        self._prepared.setdefault(self._key(sql), None)
        while len(self._prepared) > PREPARED_TEXTS:
            _, name = self._prepared.popitem(last=False)
            if name is not None:
                self.cursor.execute(f"DEALLOCATE {name}").fetchall()

    def _key(self, sql: str) -> Any:
        """A prepared text is good for tables of these columns, and of about these sizes, by which it was planned."""
        return sql, *((slot._data.schema, (slot.rows() or 0).bit_length() // 2)
                      for slot in self.slots if slot._data is not None)

    def _submit(self, sql: str, parameters: list[Any] | None, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """`_submit` is what DuckDB's own relations run with; it is no public name, but the way through a relation
        binds the text three times, and takes a third longer for a small statement."""
        submit = getattr(self.cursor, "_submit", None)
        if submit is not None:
            return submit(sql, parameters, "stream", batch_rows).arrow_reader()
        return self.cursor.sql(sql, params=parameters).to_arrow_reader(batch_rows)

    def failure(self) -> Exception | None:
        return next((slot.failure for slot in self.slots if slot.failure is not None), None)

    def clear(self) -> None:
        """Lets go of the data of the last statement."""
        for slot in self.slots:
            slot.clear()

    def close(self) -> None:
        self.cursor.close()
