"""Where the rows of a table and the entries of its indexes stand, and the functions between rows and bytes.

    row      t | table id | primary key                      -> record of the other columns
    index    t | index id | indexed values | row key         -> (empty)
    unique   t | index id | indexed values                   -> row key

A row is a tuple of values in the order of `table.columns`. Its *row key* is the key tuple of its primary key, without
the table's id. The keyspace given by a transaction has the prefix `t` already, so keys here begin with the id.

A unique entry has the non-unique form when one of its values is NULL (NULLs are distinct), and while a deferred
constraint is violated. The value tells the form: a row key is never empty.

A TableLayout is made once for each definition of a table and used by all threads: everything that does not depend on
the row is computed when it is made.
"""
from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from operator import itemgetter
from typing import Any
from uuid import UUID

from phantomdb.core._ext.engine import Engine
from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core._ext.record import RecordCodec
from phantomdb.core._ext.row_reader import FROM_KEY, FROM_RECORD, FROM_ROW_KEY, RowReader
from phantomdb.core._ext.row_writer import RowWriter
from phantomdb.core.catalog.objects import ROW_ID, Column, Index, IndexColumn, IndexState, Table
from phantomdb.core.query.errors import ProgramLimitExceeded
from phantomdb.core.query.evaluate import EvaluationContext, Evaluator, compile_expression
from phantomdb.core.query.plan import ROW_KEY
from phantomdb.core.query.rewrite import columns_of
from phantomdb.core.tables.expiry import Expiry
from phantomdb.core.values import JSON_NULL, MAX_DECIMAL_PRECISION, Interval, Kind, Type, Value

ROWS_PREFIX = 0x74                   # `t`
ID_BYTES = 4
MAX_ENTRIES_PER_ROW = 10_000         # of one multi-key index

Row = tuple[Value, ...]
ByteRange = tuple[bytes, bytes]      # start <= key < stop

_NO_CONTEXT = EvaluationContext()    # expressions of a definition have no parameters and no subqueries
_DIGITS = Context(prec=MAX_DECIMAL_PRECISION + 1)


def id_prefix(number: int) -> bytes:
    """What all keys of a table or index begin with."""
    return number.to_bytes(ID_BYTES, "big")


def id_range(number: int) -> ByteRange:
    """All keys of a table or index."""
    return id_prefix(number), id_prefix(number + 1)


def after(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`. Keys begin with an id, so there is always one."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes((head[-1] + 1,))


def picker(positions: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """sequence -> tuple of its items at `positions`."""
    if len(positions) == 1:
        only = positions[0]
        return lambda values: (values[only],)
    if not positions:
        return lambda values: ()
    return itemgetter(*positions)


class OrderedKeys:
    """Keys of one table or index in the order of some values: encoding, decoding, ranges."""

    __slots__ = ("_changes", "_restores", "codec", "encode", "is_plain", "nulls_first", "prefix", "reversed", "start",
                 "stop", "types")

    def __init__(self, number: int, types: Sequence[Type], descending: Sequence[bool],
                 nulls_first: Sequence[bool]) -> None:
        self.prefix = id_prefix(number)
        self.start, self.stop = id_range(number)
        self.types = tuple(types)
        self.reversed, self.nulls_first = tuple(descending), tuple(nulls_first)
        self.codec = KeyCodec([(int(type_.kind), down, first)
                               for type_, down, first in zip(types, descending, nulls_first, strict=True)])
        # character(n): blanks at the end do not count
        self._changes = [position for position, type_ in enumerate(types) if type_.is_padded]
        self._restores = [(position, restore) for position, type_ in enumerate(types)
                          if (restore := _restoring(type_)) is not None]
        self.is_plain = not self._changes                    # the codec takes values as they are
        # values[, count] -> the key tuple, without the prefix; with `count` only of the first so many values
        self.encode: Callable[..., bytes] = self._encode_changed if self._changes else self.codec.encode

    def decode(self, key: bytes) -> tuple[Value, ...]:
        """The values of a whole key, prefix included."""
        values: Row = self.codec.decode(key, ID_BYTES)       # type: ignore[assignment]
        if not self._restores:
            return values
        restored: list[Any] = list(values)
        for position, restore in self._restores:
            if restored[position] is not None:
                restored[position] = restore(restored[position])
        return tuple(restored)

    def restore(self, position: int) -> Callable[[Any], Any] | None:
        """What makes a value out of what the codec gives, at a place where that is needed."""
        return next((restore for at, restore in self._restores if at == position), None)

    def _encode_changed(self, values: tuple[Value, ...], count: int | None = None) -> bytes:
        changed = list(values)
        for position in self._changes:
            if position < len(changed) and isinstance(text := changed[position], str):
                changed[position] = text.rstrip(" ")
        return self.codec.encode(changed, count)

    def prefix_of(self, values: Sequence[Value]) -> bytes:
        """What the keys of all entries begin with whose first values are `values`."""
        return self.prefix + self.encode(tuple(values), len(values)) if values else self.prefix

    def range(self, equal: Sequence[Value] = (), low: Value = None, high: Value = None, *, low_inclusive: bool = True,
              high_inclusive: bool = True, is_bounded: bool | None = None) -> ByteRange:
        """The keys whose first values are `equal` (None there is NULL itself) and whose next one lies between `low`
        and `high`, None for no bound. With a bound, or `is_bounded`, a NULL there is left out. The order in which the
        column is stored does not matter to the caller."""
        if low is None and high is None and not is_bounded:
            prefix = self.prefix_of(equal)
            return prefix, after(prefix)
        at = len(equal)
        prefix, null = self.prefix_of(equal), self.prefix_of((*equal, None))
        start, stop = (after(null), after(prefix)) if self.nulls_first[at] else (prefix, null)
        if self.reversed[at]:
            low, high, low_inclusive, high_inclusive = high, low, high_inclusive, low_inclusive
        if low is not None:
            edge = self.prefix_of((*equal, low))
            start = edge if low_inclusive else after(edge)
        if high is not None:
            edge = self.prefix_of((*equal, high))
            stop = after(edge) if high_inclusive else edge
        return start, max(start, stop)


def _restoring(type_: Type) -> Callable[[Any], Any] | None:
    """What makes a value out of its key again where the key does not tell all: declared digits, blanks at the end."""
    if type_.kind is Kind.DECIMAL and type_.precision is not None:
        unit = Decimal((0, (1,), -(type_.scale or 0)))
        return lambda value: value.quantize(unit, context=_DIGITS) if value.is_finite() else value
    if type_.is_padded:
        return lambda value: value.ljust(type_.length or 1)
    return None


class IndexLayout:
    """The entries of one index. `inputs`: positions of the columns they depend on."""

    __slots__ = ("_entry_values", "_predicate", "entries", "first_value", "index", "inputs", "keys", "owns_by_value",
                 "plain_positions")

    def __init__(self, index: Index, table: Table, positions: dict[int, int]) -> None:
        self.index = index
        parts = [_IndexPart(part, table, positions, index.is_multi_key) for part in index.columns]
        self.keys = OrderedKeys(index.id, [part.type for part in parts],
                                [part.is_descending for part in index.columns],
                                [part.nulls_first for part in index.columns])
        self._predicate: Evaluator | None = None
        used = {position for part in parts for position in part.inputs}
        if index.predicate is not None:
            self._predicate = compile_expression(index.predicate.bound, positions, _NO_CONTEXT)
            used |= {positions[column] for column in columns_of(index.predicate.bound)}
        self.inputs = frozenset(used)
        self.first_value = parts[0].evaluate
        self._entry_values = _entry_values(parts, index.is_multi_key)
        # (row, row key) -> key -> value of every entry of the row, whole keys
        self.entries: Callable[[Sequence[Value], bytes], dict[bytes, bytes]] = self._all_entries
        positions_of_parts = [part.position for part in parts if part.position is not None]
        has_columns_only = len(positions_of_parts) == len(parts)
        if not index.is_unique and not index.predicate and has_columns_only:
            self.entries = self._plain_entries(positions_of_parts)
        # Two rows may be at one unique key for a while: then an entry is removed only by its owner.
        self.owns_by_value = index.is_unique and (index.is_deferrable or index.state is IndexState.WRITE_ONLY)
        # In the row, of the columns of an index that a RowWriter can keep.
        self.plain_positions: tuple[int, ...] | None = None
        if has_columns_only and not index.predicate and not self.owns_by_value and self.keys.is_plain:
            self.plain_positions = tuple(positions_of_parts)

    def covers(self, row: Sequence[Value]) -> bool:
        """Whether the row is in the index: all are, unless it is partial."""
        return self._predicate is None or self._predicate(row) is True

    def values(self, row: Sequence[Value]) -> list[tuple[Value, ...]]:
        """The tuples of indexed values the row has entries for."""
        return self._entry_values(row) if self.covers(row) else []

    def _plain_entries(self, positions: list[int]) -> Callable[[Sequence[Value], bytes], dict[bytes, bytes]]:
        """`entries` of an index that has one, in the non-unique form, for each row."""
        pick, encode, prefix = picker(positions), self.keys.encode, self.keys.prefix
        return lambda row, row_key: {prefix + encode(pick(row)) + row_key: b""}

    def _all_entries(self, row: Sequence[Value], row_key: bytes) -> dict[bytes, bytes]:
        encode, prefix = self.keys.encode, self.keys.prefix
        found: dict[bytes, bytes] = {}
        for values in self.values(row):
            key = prefix + encode(values)
            if self.is_distinct(values):
                found[key] = row_key
            else:
                found[key + row_key] = b""
        return found

    def is_distinct(self, values: tuple[Value, ...]) -> bool:
        """Whether no other row may have these values."""
        return self.index.is_unique and (None not in values or not self.index.nulls_distinct)

    def row_key(self, key: bytes, value: bytes) -> bytes:
        """The row an entry leads to."""
        return value or key[self.keys.codec.skip(key, ID_BYTES):]


class _IndexPart:
    """One column of an index: what it is computed from, and the type its values have in the key."""

    __slots__ = ("evaluate", "inputs", "is_array", "position", "type")

    def __init__(self, part: IndexColumn, table: Table, positions: dict[int, int], is_multi_key: bool) -> None:
        self.position: int | None = None
        self.is_array = False
        self.evaluate: Callable[[Any], Any]
        if part.expression is not None:
            bound = part.expression.bound
            self.type = bound.type
            self.inputs = {positions[column] for column in columns_of(bound)}
            self.evaluate = compile_expression(bound, positions, _NO_CONTEXT)
        elif part.path:
            assert part.column is not None
            path, position = part.path, positions[part.column]
            self.type, self.inputs = Type(Kind.ANY), {position}
            self.evaluate = lambda row: value_at(row[position], path)
        else:
            assert part.column is not None
            self.position = positions[part.column]
            self.inputs = {self.position}
            self.type = table.columns[self.position].type
            self.evaluate = itemgetter(self.position)
        if is_multi_key and self.type.kind is Kind.ARRAY:
            assert self.type.element is not None
            self.type, self.is_array, self.position = self.type.element, True, None
        elif is_multi_key and self.type.kind in (Kind.JSON, Kind.ANY):
            self.is_array, self.position = True, None
        if self.type.kind is Kind.JSON:
            self.type = Type(Kind.ANY)


def _entry_values(parts: Sequence[_IndexPart], is_multi_key: bool) -> Callable[[Sequence[Any]], list[tuple[Any, ...]]]:
    positions = [part.position for part in parts if part.position is not None]
    if len(positions) == len(parts):
        pick = picker(positions)
        return lambda row: [pick(row)]
    evaluators = [part.evaluate for part in parts]
    if not is_multi_key:
        return lambda row: [tuple([evaluate(row) for evaluate in evaluators])]
    arrays = [part.is_array for part in parts]

    def product(row: Sequence[Any]) -> list[tuple[Any, ...]]:
        choices = [_elements(evaluate(row)) if is_array else [evaluate(row)]
                   for evaluate, is_array in zip(evaluators, arrays, strict=True)]
        count = 1
        for choice in choices:
            count *= len(choice)
        if count > MAX_ENTRIES_PER_ROW:
            raise ProgramLimitExceeded(f"a row would have {count} entries in one index; {MAX_ENTRIES_PER_ROW} is the "
                                       "limit")
        return list(itertools.product(*choices))
    return product


def _elements(value: Any) -> list[Any]:
    """What a multi-key index has of a value: the elements of an array; an empty one counts as NULL."""
    if not isinstance(value, list):
        return [value]
    return [None if item is JSON_NULL else item for item in value] or [None]


def value_at(document: Any, path: Sequence[str | int]) -> Any:
    """The value at `path`; None for a missing one or null. A name reaches into each object of an array: then the
    values found are an array."""
    for depth, step in enumerate(path):
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and isinstance(step, int):
            document = document[step] if -len(document) <= step < len(document) else None
        elif isinstance(document, list):
            rest = path[depth:]
            found = [value_at(item, rest) for item in document if isinstance(item, dict)]
            return list(itertools.chain.from_iterable(item if isinstance(item, list) else [item] for item in found))
        else:
            return None
    return None if document is JSON_NULL else document


class TableLayout:
    """The rows of one definition of a table."""

    __slots__ = ("_dropped", "_pick_key", "_pick_record", "_pick_row", "checks", "defaults", "expiry", "generated",
                 "has_hidden_key", "indexes", "key_positions", "keys", "missing", "not_null", "positions",
                 "record_codec", "record_positions", "table", "writer")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.has_hidden_key = table.has_hidden_key
        columns = table.columns
        self.positions = {column.id: position for position, column in enumerate(columns)}
        key_types = [Type(Kind.INT, 64)] if self.has_hidden_key else [
            table.column_by_id(number).type for number in table.primary_key]
        flags = [False] * len(key_types)
        self.keys = OrderedKeys(table.id, key_types, flags, flags)
        self.key_positions = () if self.has_hidden_key else tuple(self.positions[n] for n in table.primary_key)
        self._pick_key = picker(self.key_positions)

        # A dropped column keeps its place in the record and is NULL: the item behind the row's last.
        stored = [self.positions.get(number, len(columns)) for number in table.record_columns]
        self._dropped = frozenset(at for at, position in enumerate(stored) if position == len(columns))
        self.record_codec = RecordCodec([int(columns[position].type.kind if position < len(columns) else Kind.BOOL)
                                         for position in stored])
        self.record_positions = tuple(-1 if position == len(columns) else position for position in stored)
        pick = picker(stored)
        self._pick_record = _with_null(pick) if self._dropped else pick
        self.missing = tuple(columns[position].missing if position < len(columns) else None for position in stored)
        # from key values + record values to the order of the columns
        places = {} if self.has_hidden_key else {number: at for at, number in enumerate(table.primary_key)}
        first = 1 if self.has_hidden_key else len(places)
        places |= {number: first + at for at, number in enumerate(table.record_columns) if number != ROW_ID}
        self._pick_row = picker([places[column.id] for column in columns])

        self.indexes = tuple(IndexLayout(index, table, self.positions) for index in table.indexes
                             if index.state is not IndexState.DROPPING)
        self.expiry = Expiry.of(self.indexes)
        self.not_null = tuple(position for position, column in enumerate(columns)
                              if not column.is_nullable or column.id in table.primary_key)
        self.checks = tuple((check.name, self._compiled(check.condition.bound))
                            for check in sorted(table.checks, key=lambda check: check.name))
        self.generated = tuple((position, self._compiled(column.generated.bound))
                               for position, column in enumerate(columns) if column.generated is not None)
        self.defaults = tuple(self._default(column) for column in columns)
        # Writes rows without Python objects in between; None where an index is not plain.
        self.writer = self._row_writer()

    def _row_writer(self) -> RowWriter | None:
        indexes = []
        for index in self.indexes:
            if index.plain_positions is None:
                return None
            indexes.append((index.keys.prefix, index.keys.codec, index.plain_positions, index.index.is_unique,
                            index.index.nulls_distinct))
        if not self.keys.is_plain:
            return None
        columns = [(*_taken_values(column.type), position not in self.not_null)
                   for position, column in enumerate(self.table.columns)]
        return RowWriter(columns, self.keys.prefix, self.keys.codec,
                         None if self.has_hidden_key else self.key_positions, self.record_codec,
                         self.record_positions, indexes)

    def reader(self, engine: Engine, sources: Sequence[int]) -> RowReader:
        """Reads of each row the stored columns with these ids, and where it says ROW_KEY, the row key."""
        return RowReader(engine, self.keys.prefix, self.keys.codec, self.record_codec,
                         [self._output(source) for source in sources])

    def _output(self, source: int) -> tuple[int, int, Any, Callable[[Any], Any] | None]:
        if source == ROW_KEY:
            return FROM_ROW_KEY, 0, None, None
        if source in self.table.primary_key:
            position = self.table.primary_key.index(source)
            return FROM_KEY, position, None, self.keys.restore(position)
        position = self.table.record_columns.index(source)
        return FROM_RECORD, position, self.missing[position], None

    def _compiled(self, expression: Any) -> Evaluator:
        return compile_expression(expression, self.positions, _NO_CONTEXT)

    def _default(self, column: Column) -> Evaluator | None:
        return None if column.default is None else self._compiled(column.default.bound)

    # ---- rows and bytes

    def row_key(self, row: Sequence[Value]) -> bytes:
        """The row's key tuple. Not for tables with a hidden key: see hidden_row_key."""
        return self.keys.encode(self._pick_key(row))

    def hidden_row_key(self, row_id: int) -> bytes:
        return self.keys.codec.encode((row_id,))

    def record(self, row: Sequence[Value]) -> bytes:
        return self.record_codec.encode(self._pick_record(row))

    def encode(self, row: Sequence[Value], row_id: int | None = None) -> tuple[bytes, bytes]:
        """(whole key, record); `row_id` for tables with a hidden key."""
        row_key = self.row_key(row) if row_id is None else self.hidden_row_key(row_id)
        return self.keys.prefix + row_key, self.record(row)

    def decode(self, key: bytes, record: bytes) -> Row:
        """The row of a whole key and its record; columns added after it was written have their `missing` value."""
        if self._dropped:
            return self._pick_row(self.keys.decode(key) + self._kept_fields(record))
        return self._pick_row(self.keys.decode(key) + self.record_codec.decode(record, self.missing))

    def _kept_fields(self, record: bytes) -> Row:
        """The record's values; dropped ones, whose kind nobody knows any more, are passed over."""
        field, dropped = self.record_codec.field, self._dropped
        found: list[Any] = [None if at in dropped else field(record, at, missing)
                            for at, missing in enumerate(self.missing)]
        return tuple(found)

    def key_of(self, row_key: bytes) -> bytes:
        """The whole key."""
        return self.keys.prefix + row_key

    def range(self) -> ByteRange:
        return self.keys.start, self.keys.stop

    def index(self, number: int) -> IndexLayout:
        """The layout of index `number`; KeyError when there is none."""
        for layout in self.indexes:
            if layout.index.id == number:
                return layout
        raise KeyError(number)


_CLASSES: dict[Kind, type] = {
    Kind.BOOL: bool, Kind.INT: int, Kind.FLOAT: float, Kind.DECIMAL: Decimal, Kind.TEXT: str, Kind.BYTES: bytes,
    Kind.DATE: datetime.date, Kind.TIME: datetime.time, Kind.TIMESTAMP: datetime.datetime,
    Kind.TIMESTAMPTZ: datetime.datetime, Kind.INTERVAL: Interval, Kind.UUID: UUID}


def _taken_values(type_: Type) -> tuple[type | None, int | None]:
    """(class, limit) of the values that a statement may give a column of the type without a conversion: see RowWriter.
    What the class does not tell, like a missing time zone, the codecs refuse."""
    if type_.is_padded or type_.precision is not None or (type_.kind is Kind.FLOAT and type_.bits != 64):
        return None, None
    if type_.kind is Kind.INT:
        return int, None if type_.bits == 64 else (1 << (type_.bits - 1)) - 1
    return _CLASSES.get(type_.kind), type_.length


def takes_values(type_: Type) -> bool:
    """Whether there are values that a column of the type takes as they are."""
    return _taken_values(type_)[0] is not None


def _with_null(pick: Callable[[Sequence[Any]], tuple[Any, ...]]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    return lambda row: pick((*row, None))


class LayoutCache:
    """Layouts by table, one definition of each: a changed table is a new object and gets a new layout."""

    def __init__(self) -> None:
        self._layouts: dict[int, TableLayout] = {}

    def of(self, table: Table) -> TableLayout:
        """Any thread may ask; two that ask at once may both make it."""
        found = self._layouts.get(table.id)
        if found is None or found.table is not table:
            found = self._layouts[table.id] = TableLayout(table)
        return found

    def keep_only(self, tables: Iterable[int]) -> None:
        """Forgets tables that are there no more."""
        kept = set(tables)
        for number in [number for number in self._layouts if number not in kept]:
            self._layouts.pop(number, None)
