"""Decoded columns of tables, kept in memory as Arrow for as long as the table's rows do not change.

    key     (table, stored column, Arrow type of the column)
    entry   the column, and the timestamp at which it was read

All columns of a table here were read in one state of it, so they have their rows in the same order and may stand side
by side. A reader whose snapshot sees that state takes what is there and reads only what is missing; when the table has
changed since, its columns are dropped. Readers of older rows than those here are to read for themselves.

Bounded in bytes, those of columns being read included: the least recently used column goes first. A table takes at most
half of the budget; columns that would take more are not kept.
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


Fits = Callable[[int], bool]                                 # asked while reading: are so many bytes in all all right
# These columns, in this order, at the reader's snapshot; None: they did not fit.
Read = Callable[[Sequence[CachedColumn], Fits], "pa.Table | None"]


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
    too_large: frozenset[CachedColumn] | None = None         # columns that did not fit


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
        """Larger tables are not kept."""
        return self._budget_bytes // TABLE_SHARE

    def statistics(self) -> Statistics:
        with self._mutex:
            return Statistics(self._hits, self._misses, self._bytes)

    def find(self, table: int, columns: Sequence[CachedColumn], snapshot_ts: int, is_unchanged: Unchanged
             ) -> pa.Table | None:
        """As get(), if all columns are here."""
        with self._mutex:
            entry = self._tables.get(table)
            if entry is None or any((table, column) not in self._columns for column in columns):
                return None
            entry.readers += 1
        try:
            with entry.lock:
                if not self._is_same(entry, snapshot_ts, is_unchanged):
                    return None
                with self._mutex:
                    found = self._found(table, columns)
                    self._hits += len(found)
                return _table([found[column] for column in columns]) if len(found) == len(set(columns)) else None
        finally:
            self._leave(entry, table)

    def get(self, table: int, columns: Sequence[CachedColumn], snapshot_ts: int, is_unchanged: Unchanged,
            read: Read) -> pa.Table | None:
        """The columns of a table as seen at `snapshot_ts`, in the order asked for and named "0", "1", ... There
        is at least one. None: they are not kept, because they are too large, or what is here is of newer rows.

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
            self._leave(entry, table)

    def measured(self, table: int, bytes_: int) -> None:
        """Columns that were too large have so many bytes now: they may fit again."""
        with self._mutex:
            entry = self._tables.get(table)
            if entry is not None and bytes_ <= self.table_bytes_max:
                entry.too_large = None
                self._forget_if_empty(table)

    def _get(self, entry: _Table, table: int, columns: Sequence[CachedColumn], snapshot_ts: int,
             is_unchanged: Unchanged, read: Read) -> pa.Table | None:
        is_same = self._is_same(entry, snapshot_ts, is_unchanged)
        if entry.as_of > snapshot_ts and not is_same:
            return None
        with self._mutex:
            if not is_same:
                self._drop_table(table)
            found = self._found(table, columns)
            missing = [column for column in dict.fromkeys(columns) if column not in found]
            self._hits += len(found)
            self._misses += len(missing)
        if missing:
            if entry.too_large is not None and entry.too_large <= set(columns):
                return None
            fresh = self._read(entry, table, columns, missing, read)
            if fresh is None:
                return None
            if found and fresh.num_rows != entry.row_count:
                raise AssertionError("a table that did not change has another number of rows")
            found.update(zip(missing, fresh.columns, strict=True))
            self._keep(entry, table, snapshot_ts, fresh.num_rows, {column: found[column] for column in missing})
        else:
            entry.as_of = max(entry.as_of, snapshot_ts)      # the state is the same: the next comparison is shorter
        return _table([found[column] for column in columns])

    @staticmethod
    def _is_same(entry: _Table, snapshot_ts: int, is_unchanged: Unchanged) -> bool:
        """Whether the snapshot sees what is here."""
        older, newer = sorted((entry.as_of, snapshot_ts))
        return entry.as_of >= 0 and (older == newer or is_unchanged(older, newer))

    def _read(self, entry: _Table, table: int, columns: Sequence[CachedColumn], missing: Sequence[CachedColumn],
              read: Read) -> pa.Table | None:
        """What is read counts as held. Other columns make room for it, those of its own table too."""
        taken = 0

        def fits(size: int) -> bool:
            nonlocal taken
            with self._mutex:
                self._bytes += size - taken
                taken = size
                own = [key for key in self._columns if key[0] == table]
                held = sum(self._columns[key].nbytes for key in own)
                for key in own:
                    if held + size > self.table_bytes_max and key[1] not in columns:
                        held -= self._columns[key].nbytes
                        self._drop(*key)
                self._shrink(table)
                return bool(held + size <= self.table_bytes_max)
        try:
            fresh = read(missing, fits)
        finally:
            with self._mutex:
                self._bytes -= taken
        if fresh is None:
            entry.too_large = frozenset(columns)
        return fresh

    def _keep(self, entry: _Table, table: int, snapshot_ts: int, row_count: int,
              columns: dict[CachedColumn, pa.ChunkedArray]) -> None:
        with self._mutex:
            entry.as_of, entry.row_count = max(entry.as_of, snapshot_ts), row_count
            for key, column in columns.items():
                self._columns[table, key] = column
                self._bytes += column.nbytes
            self._shrink(table)

    def drop(self, table: int) -> None:
        """Forgets a table: dropped, or rewritten."""
        with self._mutex:
            self._forget(table)

    def clear(self) -> None:
        with self._mutex:
            for table in list(self._tables):
                self._forget(table)

    def _leave(self, entry: _Table, table: int) -> None:
        with self._mutex:
            entry.readers -= 1
            self._forget_if_empty(table)

    # ---- under the mutex

    def _found(self, table: int, columns: Sequence[CachedColumn]) -> dict[CachedColumn, pa.ChunkedArray]:
        found = {column: self._columns[table, column] for column in columns if (table, column) in self._columns}
        for column in found:
            self._columns.move_to_end((table, column))
        return found

    def _shrink(self, spared: int) -> None:
        """Down to the budget, by columns of other tables."""
        for owner, column in list(self._columns):
            if self._bytes <= self._budget_bytes:
                return
            if owner != spared:
                self._drop(owner, column)
                self._forget_if_empty(owner)

    def _drop(self, table: int, column: CachedColumn) -> None:
        self._bytes -= self._columns.pop((table, column)).nbytes

    def _drop_table(self, table: int) -> None:
        for owner, column in [key for key in self._columns if key[0] == table]:
            self._drop(owner, column)
        entry = self._tables.get(table)
        if entry is not None:
            entry.as_of = -1

    def _forget(self, table: int) -> None:
        self._drop_table(table)
        if (entry := self._tables.get(table)) is not None:
            entry.too_large = None
        self._forget_if_empty(table)

    def _forget_if_empty(self, table: int) -> None:
        entry = self._tables.get(table)
        if entry is not None and not entry.readers and entry.too_large is None and not any(
                owner == table for owner, _ in self._columns):
            del self._tables[table]


def _table(columns: Sequence[pa.ChunkedArray]) -> pa.Table:
    import pyarrow as pa
    return pa.Table.from_arrays(list(columns), names=[str(position) for position in range(len(columns))])
