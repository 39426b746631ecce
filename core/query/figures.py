"""What planning knows of a table: how many rows, and what stands in its columns.

    ANALYZE          stored with the catalog, of the whole table
    a sample         taken when a statement is planned and there is nothing stored, or too much has changed since:
                     the first rows are counted, of those and of places all over the table a thousand are looked at

So no statement waits for statistics, a new table has some at once, and after much change a plan is made anew. How many
rows have changed is counted by who changes them (`note`), in this process; figures of before are right enough.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core._ext.row_reads import sample_rows
from phantomdb.core.catalog.objects import ColumnStatistics, Table
from phantomdb.core.tables.layout import ROWS_PREFIX, TableLayout
from phantomdb.core.tables.rows import TableStore
from phantomdb.core.values import Kind

COUNTED_ROWS = 20_000                    # counted one by one, in some milliseconds; beyond, the number is a guess
MOST_FACTOR = 50.0                       # of what was counted, where keys are no numbers: a wild guess
SAMPLED_ROWS = 1000
SAMPLED_PIECES = 20
MOST_COMMON = 20                         # values kept, if they are more common than the average
SLICES = 50                              # of a histogram
CHANGED_FRACTION = 0.1                   # of the rows, and so many more, may change before figures are stale
CHANGED_ROWS = 500
LONGEST_CHARACTERS = 200                 # of a value that is kept
INTERPOLATED_BYTES = 12
NULL_BYTES = 0.125                       # what any value takes beside itself

# Kinds whose values can be compared and kept; of others the nulls are known alone.
COMPARED = frozenset({Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.TEXT, Kind.BYTES, Kind.DATE, Kind.TIME,
                      Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.UUID})


class TableFigures:
    """Of one table at one time. `changed_limit`: stale when more rows than that have been noted."""

    def __init__(self, row_count: float, changed_limit: float, columns: Mapping[int, ColumnStatistics],
                 table: Table | None = None, places: Sequence[int] = (), sample: Sequence[Sequence[Any]] = ()) -> None:
        self.row_count, self.changed_limit = row_count, changed_limit
        self._columns: dict[int, ColumnStatistics | None] = dict(columns)
        self._table, self._places, self._sample = table, places, sample

    def column(self, number: int) -> ColumnStatistics | None:
        """Of a stored column; None: nothing is known."""
        if number not in self._columns:
            self._columns[number] = self._computed(number)
        return self._columns[number]

    def _computed(self, number: int) -> ColumnStatistics | None:
        if self._table is None or number not in self._places or not self._sample:
            return None
        place = self._places.index(number)
        return column_statistics([row[place] for row in self._sample], self._table, number, self.row_count)


def column_statistics(values: Sequence[Any], table: Table, number: int, row_count: float) -> ColumnStatistics:
    """Of a column, from the values of some of its rows."""
    type_ = table.column_by_id(number).type
    there = [value for value in values if value is not None]
    null_fraction = 1 - len(there) / len(values)
    if not there:
        return ColumnStatistics(1.0, 0.0, average_bytes=NULL_BYTES)
    average_bytes = sum(map(_bytes, there)) / len(values) + NULL_BYTES
    count = round(row_count * (1 - null_fraction))
    if type_.kind not in COMPARED:
        return ColumnStatistics(null_fraction, float(count), average_bytes=average_bytes)
    counts = Counter(value for value in there if value == value)            # NaN is in no order of Python's
    distinct = float(count)
    if not _is_unique(table, number):
        distinct = distinct_estimate(list(counts.values()), len(there), count)
    average = len(there) / max(1, len(counts))
    common = [(value, times) for value, times in counts.most_common(MOST_COMMON)
              if (times > 1 and times > average) or len(counts) <= MOST_COMMON]
    known = {value for value, _ in common}
    rest = sorted(value for value in there if value == value and value not in known)
    slices = min(SLICES, len(rest) - 1)
    bounds = [rest[len(rest) * at // slices if at < slices else -1] for at in range(slices + 1)] if slices > 0 else []
    return ColumnStatistics(
        null_fraction, distinct, tuple((value, times / len(values)) for value, times in common if _is_short(value)),
        tuple(bounds) if all(map(_is_short, bounds)) else (), average_bytes)


def _bytes(value: Any) -> int:
    """About how much a value takes."""
    return len(value) if isinstance(value, (str, bytes)) else 8 if isinstance(value, (int, float)) else 16


def _is_short(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) or len(value) <= LONGEST_CHARACTERS


def distinct_estimate(times: Sequence[int], seen: int, row_count: int) -> float:
    """How many different values all rows have; `times`: how often each value of a sample of `seen` rows is in it (Haas
    and Stokes, as in PostgreSQL)."""
    different, once = len(times), sum(1 for found in times if found == 1)
    if seen >= row_count or not once:
        return float(different)
    if once == different:                                    # all different: a key, as far as one can see
        return float(row_count)
    estimate = seen * different / (seen - once + once * seen / row_count)
    return min(float(row_count), max(float(different), estimate))


def _is_unique(table: Table, number: int) -> bool:
    return table.primary_key == (number,) or any(
        index.is_unique and len(index.columns) == 1 and index.columns[0].column == number and not index.columns[0].path
        and index.predicate is None for index in table.indexes)


class FiguresCache:
    """Of one database. All threads may share it; two that ask at once may both look."""

    def __init__(self, tables: TableStore) -> None:
        self._tables = tables
        self.changed: dict[int, int] = {}                    # rows noted, by table
        self._analyzed: dict[int, int] = {}                  # ... when ANALYZE looked at it
        self._known: dict[int, tuple[Table, TableFigures]] = {}

    def note(self, table: int, count: int) -> None:
        """So many rows of the table have been changed, or are about to be."""
        self.changed[table] = self.changed.get(table, 0) + count

    def analyzed(self, table: int) -> None:
        """ANALYZE has stored what it found."""
        self._analyzed[table] = self.changed.get(table, 0)
        self._known.pop(table, None)

    def is_stale(self, table: int, figures: TableFigures) -> bool:
        return self.changed.get(table, 0) > figures.changed_limit

    def of(self, table: Table) -> TableFigures:
        """The figures, looked up or made now."""
        found = self._known.get(table.id)
        if found is not None and found[0] is table and not self.is_stale(table.id, found[1]):
            return found[1]
        made = self._made(table)
        self._known[table.id] = table, made
        return made

    def _made(self, table: Table) -> TableFigures:
        changed = self.changed.get(table.id, 0)
        stored = self._tables.catalogs.statistics(table.id)
        if stored is not None:
            limit = self._analyzed.get(table.id, 0) + stored.row_count * CHANGED_FRACTION + CHANGED_ROWS
            if changed <= limit:
                return TableFigures(float(stored.row_count), limit, stored.columns)
        layout = self._tables.layouts.of(table)
        start, stop = layout.range()
        places = [column.id for column in table.columns if column.type.kind in COMPARED]
        reader = layout.reader(self._tables.store.engine, places)
        count, _, reached, sample = sample_rows(reader, None, start, stop, COUNTED_ROWS, SAMPLED_ROWS)
        rows = float(count)
        if count == COUNTED_ROWS:
            way = _Way(self._tables, layout, reached)
            rows *= max(1.0, way.length if way.is_number else min(way.length, MOST_FACTOR))
            size = SAMPLED_ROWS // SAMPLED_PIECES
            # as much of what was counted as its part of the whole
            sample = sample[::max(1, round(way.length))]
            for piece in range(1, SAMPLED_PIECES):
                at = way.key_at(piece / SAMPLED_PIECES)
                if reached < at < stop:
                    sample += reader.range(None, at, stop, size)
        return TableFigures(rows, changed + rows * CHANGED_FRACTION + CHANGED_ROWS, {}, table, places, sample)


# -------------------------------------------------------------------- places between keys

class _Way:
    """From the first key of a table to the last. What is between two keys is guessed: by their numbers, where the
    primary key begins with an integer, else by their bytes. `length`: of the whole, if as far as `reached` is 1."""

    def __init__(self, tables: TableStore, layout: TableLayout, reached: bytes) -> None:
        keys = KeySpace(tables.store.engine, ROWS_PREFIX)
        start, stop = layout.range()
        self._layout = layout
        self._first, last = (next((key for key, _ in keys.scan(start, stop, is_reverse, 1)), start)
                             for is_reverse in (False, True))
        self.is_number = layout.keys.types[0].kind is Kind.INT
        most = min(len(self._first), len(last))
        self._skipped = next((at for at in range(most) if self._first[at] != last[at]), most)
        self._low, self._high = self._number(self._first), self._number(last)
        self.length = (self._high - self._low) / max(1, self._number(reached) - self._low)

    def _number(self, key: bytes) -> int:
        if self.is_number:
            value: Any = self._layout.keys.decode(key)[0]
            return int(value)
        part = key[self._skipped:self._skipped + INTERPOLATED_BYTES]
        return int.from_bytes(part.ljust(INTERPOLATED_BYTES, b"\0"), "big")

    def key_at(self, fraction: float) -> bytes:
        number = int(self._low + (self._high - self._low) * fraction)
        if self.is_number:
            return self._layout.keys.prefix_of((number,))
        return self._first[:self._skipped] + number.to_bytes(INTERPOLATED_BYTES, "big")
