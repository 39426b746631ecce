"""The column cache: one state of a table, read once, within its bytes."""
from __future__ import annotations

import threading
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core.query.column_cache import CachedColumn, ColumnCache, Fits, Read

A, B, C = (CachedColumn(source, pa.int64()) for source in (1, 2, 3))


class Table:
    """A table with a history: at each timestamp in `changes` its rows change."""

    def __init__(self, *changes: int, rows: int = 10) -> None:
        self.changes, self.rows = changes, rows
        self.reads: list[list[CachedColumn]] = []
        self.newest = 0                  # timestamp read at

    def state(self, ts: int) -> int:
        return sum(change <= ts for change in self.changes)

    def is_unchanged(self, older: int, newer: int) -> bool:
        assert older <= newer
        return self.state(older) == self.state(newer)

    def values(self, column: CachedColumn, ts: int) -> list[int]:
        return [column.source * 1000 + self.state(ts)] * (self.rows + self.state(ts))

    def reader(self, ts: int) -> Read:
        def read(columns: Sequence[CachedColumn], fits: Fits) -> pa.Table | None:
            self.reads.append(list(columns))
            made = pa.table({f"any{number}": self.values(column, ts) for number, column in enumerate(columns)})
            return made if fits(made.nbytes) else None
        return read

    def get(self, cache: ColumnCache, ts: int, *columns: CachedColumn, number: int = 1) -> bool:
        """Reads and checks; whether it fits."""
        there = cache.find(number, columns, ts, self.is_unchanged)
        read_before = len(self.reads)
        found = cache.get(number, columns, ts, self.is_unchanged, self.reader(ts))
        assert there is None or (there == found and len(self.reads) == read_before)
        self.newest = max(self.newest, ts)
        if found is None:
            size = sum(8 * len(self.values(column, ts)) for column in set(columns))
            assert size > cache.table_bytes_max or not self.is_unchanged(ts, self.newest)
            return False
        assert found.column_names == [str(place) for place in range(len(columns))]
        for place, column in enumerate(columns):
            assert found.column(place).to_pylist() == self.values(column, ts)
        return True


def test_what_is_there_is_not_read_again() -> None:
    cache, table = ColumnCache(1 << 20), Table(50)
    table.get(cache, 10, A, B)
    table.get(cache, 20, B, A)
    table.get(cache, 20, C, A)
    assert table.reads == [[A, B], [C]]
    statistics = cache.statistics()
    assert (statistics.hits, statistics.misses, statistics.bytes) == (5, 3, 3 * 80)


def test_a_changed_table_is_read_anew_and_its_old_columns_go() -> None:
    cache, table = ColumnCache(1 << 20), Table(50)
    table.get(cache, 49, A, B)
    table.get(cache, 50, A)
    table.get(cache, 60, B, A)
    assert table.reads == [[A, B], [A], [B]]
    assert cache.statistics().bytes == 2 * 88


def test_an_older_snapshot_neither_uses_nor_disturbs() -> None:
    cache, table = ColumnCache(1 << 20), Table(50)
    assert table.get(cache, 60, A)
    assert not table.get(cache, 10, A)
    assert table.get(cache, 55, A)       # older, but of the same state
    assert table.get(cache, 70, A)
    assert table.reads == [[A]]


def test_the_type_is_part_of_the_key() -> None:
    cache, table = ColumnCache(1 << 20), Table()
    table.get(cache, 1, A)
    table.get(cache, 1, CachedColumn(1, pa.int32()))
    assert len(table.reads) == 2


def test_the_least_recently_used_goes_first() -> None:
    cache = ColumnCache(800)             # ten columns of 80 bytes
    tables = [Table() for _ in range(11)]
    for number in range(10):
        tables[number].get(cache, 1, A, number=number)
    tables[0].get(cache, 1, A, number=0)
    tables[10].get(cache, 1, A, number=10)
    assert cache.statistics().bytes == 800
    tables[0].get(cache, 1, A, number=0)
    tables[1].get(cache, 1, A, number=1)
    assert [len(table.reads) for table in tables] == [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]


def test_what_is_too_large_is_not_kept() -> None:
    cache, table = ColumnCache(500), Table(50, rows=100)
    assert cache.table_bytes_max == 250
    assert not table.get(cache, 1, A)
    assert not table.get(cache, 1, A, B)                     # not tried again
    assert table.reads == [[A]] and cache.statistics().bytes == 0
    small = Table()
    others = [CachedColumn(number, pa.int64()) for number in (4, 5)]
    assert small.get(cache, 1, A, B, C, number=2)
    assert cache.statistics().bytes == 240
    assert small.get(cache, 1, A, others[0], number=2)       # another column makes room
    assert cache.statistics().bytes == 240
    assert not small.get(cache, 1, A, B, C, *others, number=2)
    table.rows = 10                      # it is smaller now, which nobody knows before it has been streamed
    for size in (251, 251):
        assert cache.get(1, [A], 60, table.is_unchanged, table.reader(60)) is None
        cache.measured(1, size)
    cache.measured(1, 88)
    assert table.get(cache, 60, A)


def test_columns_make_room_while_others_are_read() -> None:
    cache, table = ColumnCache(400), Table()
    for number in range(5):
        table.get(cache, 1, A, number=number)
    held: list[int] = []

    def read(_columns: Sequence[CachedColumn], fits: Fits) -> pa.Table | None:
        assert fits(100) and fits(200)
        held.append(cache.statistics().bytes)
        return None if not fits(201) else pa.table({"a": [1]})
    assert cache.get(9, [A], 1, table.is_unchanged, read) is None
    assert held == [360] and cache.statistics().bytes == 160
    cache.drop(9)
    assert table.get(cache, 1, A, number=9)


def test_drop_and_clear() -> None:
    cache, table = ColumnCache(1 << 20), Table()
    table.get(cache, 1, A, number=1)
    table.get(cache, 1, A, number=2)
    cache.drop(1)
    assert cache.statistics().bytes == 80
    cache.clear()
    assert cache.statistics().bytes == 0
    table.get(cache, 1, A, number=1)
    assert len(table.reads) == 3


def test_an_error_of_the_reader_leaves_nothing_behind() -> None:
    cache, table = ColumnCache(1 << 20), Table()

    def fail(_columns: Sequence[CachedColumn], fits: Fits) -> pa.Table:
        fits(1000)
        raise OSError("disk")
    with pytest.raises(OSError, match="disk"):
        cache.get(1, [A], 5, table.is_unchanged, fail)
    table.get(cache, 5, A)
    assert table.reads == [[A]]


def test_readers_at_once_read_once() -> None:
    cache, table = ColumnCache(1 << 20), Table()
    inside, go = threading.Event(), threading.Event()
    read = table.reader(1)

    def slow(columns: Sequence[CachedColumn], fits: Fits) -> pa.Table | None:
        inside.set()
        assert go.wait(10)
        return read(columns, fits)
    found: list[pa.Table | None] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get(1, [A], 1, table.is_unchanged, slow)))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    assert inside.wait(10)
    Table().get(cache, 1, A, number=2)   # another table does not wait
    go.set()
    for thread in threads:
        thread.join()
    assert len(table.reads) == 1 and len(found) == 4


@given(changes=st.sets(st.integers(1, 30), max_size=5), budget=st.sampled_from([0, 100, 400, 1000, 1 << 20]),
       steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30),
                                st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=3)), max_size=30))
def test_any_history_gives_the_values_of_its_snapshot(changes: set[int], budget: int, steps: list[
        tuple[int, int, list[CachedColumn]]]) -> None:
    cache = ColumnCache(budget)
    tables = [Table(*{change + number for change in changes}, rows=5) for number in range(3)]
    for number, ts, columns in steps:
        tables[number].get(cache, ts, *columns, number=number)
        assert 0 <= cache.statistics().bytes <= budget
