"""Reading through an index: which index, and which part of it, is decided elsewhere.

    layout.keys.range(equal, low, high)  ->  scan_index  ->  row keys  ->  fetch  ->  rows
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from phantomdb.core.errors import CorruptionError
from phantomdb.core.tables.layout import IndexLayout, Row, TableLayout
from phantomdb.core.tables.rows import RowTransaction
from phantomdb.core.values import Value

FETCHED_ROWS = 64                    # asked for in one call


def scan_index(rows: RowTransaction, index: IndexLayout, start: bytes, stop: bytes, *, reverse: bool = False
               ) -> Iterator[bytes]:
    """The row keys of the entries between two keys, in the order of the index; of a multi-key index each row once."""
    row_key = index.row_key
    found = (row_key(key, value) for key, value in rows.space.scan(start, stop, reverse))
    return _once(found) if index.index.is_multi_key else found


def _once(row_keys: Iterable[bytes]) -> Iterator[bytes]:
    seen: set[bytes] = set()
    for row_key in row_keys:
        if row_key not in seen:
            seen.add(row_key)
            yield row_key


def find(rows: RowTransaction, index: IndexLayout, values: tuple[Value, ...]) -> Iterator[bytes]:
    """The row keys of the entries with these values, one for each column of the index."""
    if index.is_distinct(values) and not index.index.is_deferrable:
        row_key = rows.space.get(index.keys.prefix_of(values))
        return iter(() if row_key is None else (row_key,))
    return scan_index(rows, index, *index.keys.range(values))


def fetch(rows: RowTransaction, layout: TableLayout, row_keys: Iterable[bytes]) -> Iterator[tuple[bytes, Row]]:
    """(row key, row) of each, in their order, without those that have expired. CorruptionError: one is not there."""
    is_alive = rows.life_test(layout)
    prefix, decode = layout.keys.prefix, layout.decode
    waiting = iter(row_keys)
    while batch := list(islice(waiting, FETCHED_ROWS)):
        keys = [prefix + row_key for row_key in batch]
        for row_key, key, record in zip(batch, keys, rows.space.multi_get(keys), strict=True):
            if record is None:
                raise CorruptionError(f'an index of table "{layout.table.name}" leads to a row that is not there')
            row = decode(key, record)
            if is_alive is None or is_alive(row):
                yield row_key, row
