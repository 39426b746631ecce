"""Tables as Arrow for the vector executor: the transaction's own snapshot, its uncommitted writes included.

    columns in memory      the table has not changed since they were read, and this transaction wrote nothing
    scan                   decoded by core/_ext/arrow_reader without the GIL

Either way the whole table counts as read: a transaction that also writes is validated against it.
"""
from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core._ext.arrow_reader import FROM_KEY, FROM_RECORD, FROM_ROW_KEY, ArrowColumn, ArrowReader
from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.errors import InvalidArgument
from phantomdb.core.query import plan
from phantomdb.core.query.column_cache import CachedColumn
from phantomdb.core.query.errors import NumericValueOutOfRange
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression
from phantomdb.core.tables.layout import ROWS_PREFIX, TableLayout
from phantomdb.core.tables.rows import RowTransaction
from phantomdb.core.values import BYTES, Kind, Type

if TYPE_CHECKING:
    import pyarrow as pa

    from phantomdb.core.query.engine import QueryEngine

DECIMAL_DIGITS = 38
ID_BYTES = 4


class TransactionSource:
    """What a statement of one transaction may scan."""

    def __init__(self, engine: QueryEngine, rows: RowTransaction, database: str, parameters: Sequence[Any]) -> None:
        self.engine, self.rows, self.database, self._parameters = engine, rows, database, parameters

    def scan(self, node: plan.Scan | plan.VirtualTable) -> pa.Table:
        """The columns of the node in their order; see vector.Source."""
        if isinstance(node, plan.VirtualTable):
            return self._virtual(node)
        if node.as_of is not None:
            return self._as_of(node)
        return self._table(node, self.rows.layout(node.table), self.rows)

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

    def _as_of(self, node: plan.Scan) -> pa.Table:
        """The same at an earlier moment, through a transaction that only reads."""
        from phantomdb.core._ext.transaction import TransactionCore
        assert node.as_of is not None
        moment = compile_expression(node.as_of, {}, EvaluationContext(self._parameters))(())
        timestamp = moment_of(moment, self.rows.now)
        core = TransactionCore(self.engine.store.engine, False, timestamp, 1 << 20)
        try:
            catalog = self.engine.tables.catalogs.as_of(timestamp)
            reader: Any = _Past(core)
            past = RowTransaction(reader, catalog, self.rows.layouts, self.rows.sequences)
            return self._table(node, past.layout(node.table), past)
        finally:
            core.rollback()

    # ---------------------------------------------------------------- reading

    def _table(self, node: plan.Scan, layout: TableLayout, rows: RowTransaction) -> pa.Table:
        wanted = [(item.source, item.column.type) for item in node.columns]
        if node.for_update:                                  # nobody waits: the commit is refused when a row changed
            rows.space.cover(*layout.range(), True)
        if layout.expiry is not None:
            return self._living(layout, rows, wanted)
        if not wanted:                                       # how many rows there are, all the same
            source = layout.table.primary_key[0] if not layout.has_hidden_key else plan.ROW_KEY
            wanted = [(source, BYTES if source == plan.ROW_KEY else layout.table.column_by_id(source).type)]
        return self._columns(layout, rows, wanted)

    def _columns(self, layout: TableLayout, rows: RowTransaction, wanted: Sequence[tuple[int, Type]]) -> pa.Table:
        from phantomdb.core.query.vector_values import arrow_type
        types = dict(wanted)
        start, stop = layout.range()
        if rows.transaction.core.write_count or rows is not self.rows:
            return self._read(layout, rows, wanted)
        rows.space.cover(start, stop)
        keys = KeySpace(self.engine.store.engine, ROWS_PREFIX)
        columns = [CachedColumn(source, arrow_type(type_)) for source, type_ in wanted]
        return self.engine.columns.get(
            layout.table.id, columns, rows.transaction.snapshot_timestamp,
            lambda older, newer: not keys.changed_since(older, start, stop),
            lambda missing: self._read(layout, rows, [(column.source, types[column.source]) for column in missing]))

    def _read(self, layout: TableLayout, rows: RowTransaction, wanted: Sequence[tuple[int, Type]]) -> pa.Table:
        import pyarrow as pa
        scales: dict[int, int] = {}
        start, stop = layout.range()
        while True:
            columns = [_arrow_column(layout, source, type_, scales.get(source, 0)) for source, type_ in wanted]
            reader = ArrowReader(rows.space.scan(start, stop), ID_BYTES, layout.keys.codec, layout.record_codec,
                                 columns)
            try:
                batches = [pa.record_batch(batch) for batch in reader]
            except InvalidArgument:
                # a numeric column without a declared scale: read again with the scale it asked for
                asked = {source: column.needed_scale for (source, _), column in zip(wanted, columns, strict=True)
                         if column.needed_scale > scales.get(source, 0)}
                if not asked or max(asked.values()) > DECIMAL_DIGITS:
                    raise NumericValueOutOfRange("a numeric value has more than 38 digits, which queries over whole "
                                                 "tables do not support") from None
                scales |= asked
                continue
            if batches:
                return pa.Table.from_batches(batches)
            return pa.Table.from_batches([], schema=_schema(reader))

    @staticmethod
    def _living(layout: TableLayout, rows: RowTransaction, wanted: Sequence[tuple[int, Type]]) -> pa.Table:
        """A table whose rows expire: row by row, without those that have."""
        from phantomdb.core.query.arrow_rows import table_of
        places = [layout.positions.get(source, -1) for source, _ in wanted]
        made = [tuple([row_key if place < 0 else row[place] for place in places]) for row_key, row in rows.scan(layout)]
        if not wanted:
            return table_of(["nothing"], [BYTES], [(b"",)] * len(made))
        return table_of([str(source) for source, _ in wanted], [type_ for _, type_ in wanted], made)


class _Past:
    """As much of a transaction as reading takes."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.snapshot_timestamp = core.snapshot_timestamp


def _schema(reader: ArrowReader) -> pa.Schema:
    import pyarrow as pa
    return pa.schema(reader)


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
