"""Tables as Arrow for the vector executor: the transaction's own snapshot, its uncommitted writes included.

    few rows               conditions and a key or an index say which: the row executor gets them
    columns in memory      the table has not changed since they were read, and this transaction wrote nothing
    a table                what fits EAGER_BYTES is read at once
    a stream               all else is read while DuckDB asks for it, a batch at a time

Scans are decoded by core/_ext/arrow_reader without the GIL. What is read, or stands for it, counts as read: a
transaction that also writes is validated against it.
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phantomdb.core._ext.arrow_reader import FROM_KEY, FROM_RECORD, FROM_ROW_KEY, ArrowColumn, ArrowReader
from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.errors import InvalidArgument
from phantomdb.core.query import context, plan
from phantomdb.core.query.access import Access, choose
from phantomdb.core.query.cancellation import Cancellation
from phantomdb.core.query.column_cache import CachedColumn, Fits
from phantomdb.core.query.errors import NumericTooWide, QueryError
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression
from phantomdb.core.query.optimizer import conjunction
from phantomdb.core.query.vector_sessions import Stream
from phantomdb.core.tables.indexes import scan_index
from phantomdb.core.tables.layout import ROWS_PREFIX, ByteRange, TableLayout
from phantomdb.core.tables.rows import RowTransaction
from phantomdb.core.values import BYTES, Kind, Type

if TYPE_CHECKING:
    import pyarrow as pa

    from phantomdb.core.query.engine import QueryEngine

DECIMAL_DIGITS = 38
ID_BYTES = 4
EAGER_BYTES = 8 << 20                # of a table, or a part of it, that is not kept

Wanted = Sequence[tuple[int, Type]]  # stored columns and their types


@dataclass(frozen=True, slots=True)
class _Part:
    """What conditions leave of a table. `rows`: the scan under them, for the row executor; None: they are no help."""

    access: Access
    rows: plan.Query | None


class TransactionSource:
    """What a statement of one transaction may scan."""

    def __init__(self, engine: QueryEngine, rows: RowTransaction, database: str, parameters: Sequence[Any]) -> None:
        self.engine, self.rows, self.database, self._parameters = engine, rows, database, parameters
        self._check = (context.current().cancellation or Cancellation()).check

    def scan(self, node: plan.Scan | plan.VirtualTable, conditions: Sequence[plan.Expression]) -> pa.Table | Stream:
        """The columns of the node in their order; see vector_sessions.Source."""
        if isinstance(node, plan.VirtualTable):
            return self._virtual(node)
        rows = self.rows if node.as_of is None else self._past(node.as_of)
        layout = rows.layout(node.table)
        part = self._part(node, layout, conditions) if conditions else None
        if part is not None and part.rows is not None and rows is self.rows and (
                found := self._selected(part.rows)) is not None:
            return found
        wanted = [(item.source, item.column.type) for item in node.columns]
        if not wanted:                                       # how many rows there are, all the same
            source = layout.table.primary_key[0] if not layout.has_hidden_key else plan.ROW_KEY
            wanted = [(source, BYTES if source == plan.ROW_KEY else layout.table.column_by_id(source).type)]
        key_range = None if part is None else self._range(part.access, layout)
        reading = _Reading(layout, rows, wanted, key_range or layout.range(), self._check,
                           max(1, round(self.engine.figures.of(layout.table).row_count)))
        if rows is not self.rows or rows.transaction.core.write_count or layout.expiry is not None:
            found = reading.table(_is_small)
            return reading.stream() if found is None else found
        return self._columns(reading, key_range is not None)

    def _virtual(self, node: plan.VirtualTable) -> pa.Table:
        """A table made from the catalog."""
        from phantomdb.core.catalog import virtual
        from phantomdb.core.query.arrow_rows import table_of
        schema, _, name = node.name.rpartition(".")
        found = virtual.find(schema, name)
        assert found is not None
        made = list(found.rows(virtual.VirtualContext(self.rows.catalog, self.database)))
        if not node.columns:
            return table_of(["nothing"], [BYTES], [(b"",)] * len(made))
        types = [item.column.type for item in node.columns]
        return table_of([str(place) for place in range(len(types))], types,
                        [tuple([row[item.source] for item in node.columns]) for row in made])

    def _past(self, as_of: plan.Expression) -> RowTransaction:
        """The rows of an earlier moment, through a transaction that only reads and ends with its last reader."""
        from phantomdb.core._ext.transaction import TransactionCore
        timestamp = moment_of(self._value(as_of), self.rows.now)
        reader: Any = _Past(TransactionCore(self.engine.store.engine, False, timestamp, 1 << 20))
        return RowTransaction(reader, self.engine.tables.catalogs.as_of(timestamp), self.rows.layouts,
                              self.rows.sequences)

    def _value(self, expression: plan.Expression) -> Any:
        """Of one that depends on no row."""
        return compile_expression(expression, {}, EvaluationContext(self._parameters))(())

    # ---------------------------------------------------------------- parts

    def _part(self, node: plan.Scan, layout: TableLayout, conditions: Sequence[plan.Expression]) -> _Part:
        def make(node: plan.Scan) -> _Part:
            access = choose(layout.table, node, conditions, self.engine.figures.of(layout.table))
            condition = conjunction(conditions)
            assert condition is not None
            columns = tuple(item.column for item in node.columns)
            query = plan.Query(plan.Filter(node, condition), tuple(column.name for column in columns), columns)
            return _Part(access, None if access.is_everything else query)
        return self.engine.prepared.derived(node, make)

    def _selected(self, query: plan.Query) -> pa.Table | None:
        """The rows that a key or an index leads to; None: too many for that."""
        from phantomdb.core.query.arrow_rows import table_of
        prepared = self.engine.prepared.of(query, self.rows.catalog)
        found = prepared.rows(self.rows.transaction.core, self._parameters, rows=self.rows, check=self._check)
        if found is None:
            return None
        if not query.columns:
            return table_of(["nothing"], [BYTES], [(b"",)] * len(found))
        return table_of([str(place) for place in range(len(query.columns))],
                        [column.type for column in query.columns], found)

    def _range(self, access: Access, layout: TableLayout) -> ByteRange | None:
        """The part of the primary key that has all rows of an access; None: all of it."""
        if access.index is not None or access.is_everything or access.choices:
            return None
        try:
            equal = [self._value(expression) for expression in access.equal]
            low = None if access.low is None else self._value(access.low.expression)
            high = None if access.high is None else self._value(access.high.expression)
        except QueryError:                                   # DuckDB raises it where it is reached, if it is
            return None
        if None in equal or (low is None and access.low is not None) or (high is None and access.high is not None):
            start, _ = layout.range()
            return start, start                              # nothing is equal to NULL
        return layout.keys.range(equal, low, high, low_inclusive=access.low is None or access.low.is_inclusive,
                                 high_inclusive=access.high is None or access.high.is_inclusive)

    # ---------------------------------------------------------------- columns in memory

    def _columns(self, reading: _Reading, is_part: bool) -> pa.Table | Stream:
        from phantomdb.core.query.vector_values import arrow_type
        cache, rows, layout = self.engine.columns, reading.rows, reading.layout
        rows.space.cover(*reading.range)
        keys = KeySpace(self.engine.store.engine, ROWS_PREFIX)
        start, stop = layout.range()
        types = dict(reading.wanted)
        columns = [CachedColumn(source, arrow_type(type_)) for source, type_ in reading.wanted]
        snapshot = rows.transaction.snapshot_timestamp

        def is_unchanged(older: int, newer: int) -> bool:
            return not keys.changed_since(older, start, stop)

        def read(missing: Sequence[CachedColumn], fits: Fits) -> pa.Table | None:
            return reading.of([(column.source, types[column.source]) for column in missing]).table(fits)

        if is_part:                                          # a small part is read by itself, to keep no large table
            found = cache.find(layout.table.id, columns, snapshot, is_unchanged)
            if found is None:
                found = reading.table(_is_small)
            if found is not None:
                return found
        found = cache.get(layout.table.id, columns, snapshot, is_unchanged, read)
        return reading.stream(lambda size: cache.measured(layout.table.id, size)) if found is None else found


class _Reading:
    """Columns of a table between two keys, read as often as asked."""

    def __init__(self, layout: TableLayout, rows: RowTransaction, wanted: Wanted, range_: ByteRange,
                 check: Callable[[], None], row_count: int) -> None:
        self.layout, self.rows, self.wanted, self.range = layout, rows, wanted, range_
        self._check, self._row_count = check, row_count
        self._scales: dict[int, int] = {}                    # of numerics without a declared one

    def of(self, wanted: Wanted) -> _Reading:
        """Other columns of all rows."""
        return _Reading(self.layout, self.rows, wanted, self.layout.range(), self._check, self._row_count)

    def table(self, fits: Fits) -> pa.Table | None:
        """All of it; None: it does not fit."""
        import pyarrow as pa
        while True:
            batches, size = [], 0
            try:
                for batch in self._batches():
                    size += batch.nbytes
                    if not fits(size):
                        return None
                    batches.append(batch)
                return pa.Table.from_batches(batches, self._schema())
            except _OtherScale:
                continue

    def stream(self, at_end: Callable[[int], None] | None = None) -> Stream:
        """A batch at a time, decoded when it is asked for. `at_end` is told how many bytes all had."""
        free = [(source, type_) for source, type_ in self.wanted if _is_free(type_)]
        if free:                                             # nothing can be read again once DuckDB has begun
            first = _Reading(self.layout, self.rows, free, self.range, self._check, self._row_count)
            first.measure()
            self._scales = first._scales

        def batches() -> Iterator[pa.RecordBatch]:
            size = 0
            for batch in self._batches():
                size += batch.nbytes
                yield batch
            if at_end is not None:
                at_end(size)
        return Stream(self._schema(), self._row_count, batches)

    def measure(self) -> None:
        """Reads all of it, for the scales of numerics alone."""
        while True:
            try:
                for _ in self._batches():
                    pass
                return
            except _OtherScale:
                continue

    def _schema(self) -> pa.Schema:
        import pyarrow as pa
        reader = self._reader(self._columns())
        reader.close()
        return pa.schema(reader)

    def _columns(self) -> list[ArrowColumn]:
        return [_arrow_column(self.layout, source, type_, self._scales.get(source, 0)) for source, type_ in self.wanted]

    def _reader(self, columns: Sequence[ArrowColumn]) -> ArrowReader:
        return ArrowReader(self.rows.space.scan(*self.range), ID_BYTES, self.layout.keys.codec,
                           self.layout.record_codec, columns)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """_OtherScale: read again."""
        import pyarrow as pa
        expired = self._expired()
        columns = self._columns()
        row_key = [ArrowColumn("row key", FROM_ROW_KEY, 0, int(Kind.BYTES))] if expired else []
        try:
            for batch in self._reader([*columns, *row_key]):
                self._check()
                made = pa.record_batch(batch)
                yield _without(made, expired) if expired else made
        except InvalidArgument:
            asked = {source: column.needed_scale for (source, _), column in zip(self.wanted, columns, strict=True)
                     if column.needed_scale > self._scales.get(source, 0)}
            if not asked or max(asked.values()) > DECIMAL_DIGITS:
                raise NumericTooWide("the numeric values of a column need more than 38 digits, which this query "
                                     "does not support") from None
            self._scales |= asked
            raise _OtherScale from None

    def _expired(self) -> list[bytes]:
        """Row keys of rows that are still in the table, and of which nobody is to know."""
        if self.layout.expiry is None:
            return []
        return [row_key for index, (start, stop) in self.layout.expiry.expired(self.rows.now)
                for row_key in scan_index(self.rows, index, start, stop)
                if self.rows.get(self.layout, row_key) is None]


def _is_small(size: int) -> bool:
    return size <= EAGER_BYTES


def _without(batch: pa.RecordBatch, row_keys: Sequence[bytes]) -> pa.RecordBatch:
    """The rows whose key, which is the last column, is none of these; without that column."""
    import pyarrow as pa
    import pyarrow.compute
    *others, last = range(batch.num_columns)
    gone = pyarrow.compute.is_in(batch.column(last), value_set=pa.array(row_keys, pa.binary()))
    return batch.select(others).filter(pyarrow.compute.invert(gone))


class _OtherScale(Exception):
    """A numeric column without a declared scale has a value that needs more digits: read again."""


def _is_free(type_: Type) -> bool:
    while type_.element is not None:
        type_ = type_.element
    return type_.kind is Kind.DECIMAL and (type_.precision is None or type_.precision > DECIMAL_DIGITS)


class _Past:
    """As much of a transaction as reading takes."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.snapshot_timestamp = core.snapshot_timestamp


def _arrow_column(layout: TableLayout, source: int, type_: Type, scale: int) -> ArrowColumn:
    name = str(source)
    if source == plan.ROW_KEY:
        return ArrowColumn(name, FROM_ROW_KEY, 0, int(Kind.BYTES))
    table = layout.table
    if source in table.primary_key and not layout.has_hidden_key:
        return _typed(name, FROM_KEY, table.primary_key.index(source), type_, scale)
    default = None
    if source != plan.DOCUMENT:
        default = table.column_by_id(source).missing
    return _typed(name, FROM_RECORD, table.record_columns.index(source), type_, scale, default)


def _typed(name: str, source: int, position: int, type_: Type, scale: int, default: Any = None) -> ArrowColumn:
    element = None
    if type_.kind is Kind.ARRAY and type_.element is not None:
        element = _typed("item", source, position, type_.element, scale)
    precision = DECIMAL_DIGITS
    if type_.kind is Kind.DECIMAL and type_.precision is not None and type_.precision <= DECIMAL_DIGITS:
        precision, scale = type_.precision, type_.scale or 0
    return ArrowColumn(name, source, position, int(type_.kind), type_.bits or 64, precision, scale, element, default)


def moment_of(value: Any, now: datetime.datetime) -> int:
    """A commit timestamp from what AS OF SYSTEM TIME says: one, a moment, or a time ago ('-10s', an interval)."""
    from phantomdb.core.database import timestamp_of
    from phantomdb.core.query import casts
    from phantomdb.core.query.errors import InvalidParameterValue, QueryError
    from phantomdb.core.values import INTERVAL, TEXT, TIMESTAMPTZ, Interval
    if isinstance(value, str):
        text = value.strip()
        if text.isdigit():
            return timestamp_of(int(text))
        for type_ in (TIMESTAMPTZ, INTERVAL):
            try:
                value = casts.cast(text.lstrip("-") if type_ is INTERVAL else text, TEXT, type_, True)
                break
            except QueryError:
                continue
    if isinstance(value, Interval):
        return timestamp_of(now - datetime.timedelta(days=abs(value.months) * 30 + abs(value.days),
                                                     microseconds=abs(value.microseconds)))
    if isinstance(value, (int, datetime.datetime)) and not isinstance(value, bool):
        return timestamp_of(value)
    raise InvalidParameterValue("AS OF SYSTEM TIME takes a timestamp, a moment, or a time ago such as '-10s'")
