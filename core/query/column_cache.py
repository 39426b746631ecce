"""Decoded columns of tables, kept in memory as Arrow for as long as the table's rows do not change.

    key     (table, stored column, Arrow type of the column)
    entry   the column, and the timestamp at which it was read

All columns of a table here were read in one state of it, so they have their rows in the same order and may stand side
by side. A reader whose snapshot sees that state takes what is there and reads only what is missing; when the table has
changed since, its columns are dropped. Readers of an older snapshot read for themselves and leave the cache alone.

Bounded in bytes: the least recently used column goes first. A table over half of the budget is not kept.
"""
from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_SHARE = 2                      # a table may take one part in so many of the budget

Unchanged = Callable[[int, int], bool]                       # (older timestamp, newer timestamp) -> no row changed


class CachedColumn(NamedTuple):
    """What is asked for: a stored column (core/query/plan.py, ScanColumn.source) and its type in Arrow."""

    source: int
    type: pa.DataType


Read = Callable[[Sequence[CachedColumn]], "pa.Table"]        # these columns, in this order, at the reader's snapshot


@dataclass(slots=True)
class Statistics:
    hits: int = 0                    # columns found
    misses: int = 0                  # columns read
    bytes: int = 0                   # held now


@dataclass(slots=True)
class _Table:
    lock: threading.Lock             # held while missing columns are read, so that two readers read once
    as_of: int = -1
    row_count: int = 0
    readers: int = 0                 # that hold or wait for the lock: the entry stays


class ColumnCache:
    """Thread safe. Sizes are those of Arrow's buffers (nbytes)."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._mutex = threading.Lock()                       # never held while reading
        self._tables: dict[int, _Table] = {}
        self._columns: OrderedDict[tuple[int, CachedColumn], pa.ChunkedArray] = OrderedDict()
        self._bytes = self._hits = self._misses = 0

    @property
    def table_bytes_max(self) -> int:
        """Larger tables are not kept: the caller may as well stream them."""
        return self._budget_bytes // TABLE_SHARE

    def statistics(self) -> Statistics:
        with self._mutex:
            return Statistics(self._hits, self._misses, self._bytes)

    def get(self, table: int, columns: Sequence[CachedColumn], snapshot_ts: int, is_unchanged: Unchanged,
            read: Read) -> pa.Table:
        """The columns of a table as seen at `snapshot_ts`, in the order asked for and named "0", "1", ... There
        is at least one.

        `read` gives columns at `snapshot_ts`, all with the same order of rows whenever no row has changed."""
        with self._mutex:
            entry = self._tables.get(table)
            if entry is None:
                entry = self._tables[table] = _Table(threading.Lock())
            entry.readers += 1
        try:
            with entry.lock:
                return self._get(entry, table, columns, snapshot_ts, is_unchanged, read)
        finally:
            with self._mutex:
                entry.readers -= 1
                self._forget_if_empty(table)

    def _get(self, entry: _Table, table: int, columns: Sequence[CachedColumn], snapshot_ts: int,
             is_unchanged: Unchanged, read: Read) -> pa.Table:
        older, newer = sorted((entry.as_of, snapshot_ts))
        is_same = entry.as_of >= 0 and (older == newer or is_unchanged(older, newer))
        if entry.as_of > snapshot_ts and not is_same:        # an older snapshot: what is here is for newer ones
            with self._mutex:
                self._misses += len(columns)
            return _table(read(columns).columns)
        with self._mutex:
            if not is_same:
                self._drop_table(table)
            found = {column: self._columns[table, column] for column in columns if (table, column) in self._columns}
            for column in found:
                self._columns.move_to_end((table, column))
            missing = [column for column in dict.fromkeys(columns) if column not in found]
            self._hits += len(found)
            self._misses += len(missing)
        if missing:
            fresh = read(missing)
            if found and fresh.num_rows != entry.row_count:
                raise AssertionError("a table that did not change has another number of rows")
            found.update(zip(missing, fresh.columns, strict=True))
            self._keep(entry, table, snapshot_ts, fresh.num_rows, {column: found[column] for column in missing})
        else:
            entry.as_of = max(entry.as_of, snapshot_ts)      # the state is the same: the next comparison is shorter
        return _table([found[column] for column in columns])

    def _keep(self, entry: _Table, table: int, snapshot_ts: int, row_count: int,
              columns: dict[CachedColumn, pa.ChunkedArray]) -> None:
        with self._mutex:
            held = sum(column.nbytes for (owner, _), column in self._columns.items() if owner == table)
            if held + sum(column.nbytes for column in columns.values()) > self.table_bytes_max:
                return
            entry.as_of, entry.row_count = max(entry.as_of, snapshot_ts), row_count
            for key, column in columns.items():
                self._columns[table, key] = column
                self._bytes += column.nbytes
            while self._bytes > self._budget_bytes:
                owner, key = next(iter(self._columns))
                self._drop(owner, key)
                self._forget_if_empty(owner)

    def drop(self, table: int) -> None:
        """Forgets a table: dropped, or rewritten."""
        with self._mutex:
            self._drop_table(table)
            self._forget_if_empty(table)

    def clear(self) -> None:
        with self._mutex:
            for table in list(self._tables):
                self._drop_table(table)
                self._forget_if_empty(table)

    # ---- under the mutex

    def _drop(self, table: int, column: CachedColumn) -> None:
        self._bytes -= self._columns.pop((table, column)).nbytes

    def _drop_table(self, table: int) -> None:
        for owner, column in [key for key in self._columns if key[0] == table]:
            self._drop(owner, column)
        entry = self._tables.get(table)
        if entry is not None:
            entry.as_of = -1

    def _forget_if_empty(self, table: int) -> None:
        entry = self._tables.get(table)
        if entry is not None and not entry.readers and not any(owner == table for owner, _ in self._columns):
            del self._tables[table]


def _table(columns: Sequence[pa.ChunkedArray]) -> pa.Table:
    import pyarrow as pa
    return pa.Table.from_arrays(list(columns), names=[str(position) for position in range(len(columns))])
