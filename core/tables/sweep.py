"""Rows that have expired are removed, with their entries, a few in each transaction.

    index with a time to live     | oldest moment ........ now - ttl | .................... |
                                    entries of expired rows: batch, batch, batch

A transaction reads at one snapshot and is checked for the keys it writes only: whoever gives a row more time writes the
row, and one of the two runs again. Foreign keys to the table are kept as by a DELETE; a row that they forbid to remove
stays, invisible, and is looked at again by the next sweep.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from phantomdb.core.catalog.objects import IndexState, Table
from phantomdb.core.query.errors import IntegrityViolation
from phantomdb.core.tables.layout import TableLayout
from phantomdb.core.tables.rows import RowTransaction, TableStore
from phantomdb.core.tables.statement import RowStatement
from phantomdb.core.tables.work import run_step
from phantomdb.core.transactions import Transaction

BATCH_ROWS = 200


class Swept(NamedTuple):
    """What became of rows that had expired."""

    removed: int = 0
    kept: int = 0                    # a foreign key forbids to remove them

    def plus(self, other: Swept) -> Swept:
        return Swept(self.removed + other.removed, self.kept + other.kept)


def sweep_table(tables: TableStore, table: int, check: Callable[[], None] = lambda: None) -> Swept:
    """Removes the rows of a table that have expired. Nothing happens when it is gone. `check`: called before each
    transaction; may raise to stop. RetryableConflict: no batch came through for a minute."""
    total = Swept()
    place: tuple[int, bytes] | None = (0, b"")

    def step(transaction: Transaction) -> tuple[Swept, tuple[int, bytes] | None]:
        check()
        return _sweep_some(tables.rows(transaction), table, *(place or (0, b"")))

    while place is not None:
        swept, place = run_step(tables, step, "snapshot")
        total = total.plus(swept)
    return total


def _sweep_some(rows: RowTransaction, table: int, first: int, start: bytes) -> tuple[Swept, tuple[int, bytes] | None]:
    """Removes the next rows: of range number `first` from the key `start` on; where to go on, None at the end."""
    found = rows.catalog.get(table)
    if not isinstance(found, Table) or not _expires(found):
        return Swept(), None
    layout = rows.layout(table)
    assert layout.expiry is not None
    row_keys: dict[bytes, None] = {}                         # a row may have several entries
    entry_count, place = 0, None
    for number, (index, (low, high)) in enumerate(layout.expiry.expired(rows.now)):
        if number < first:
            continue
        begin = max(low, start) if number == first else low
        if begin >= high:
            continue
        for key, value in rows.space.scan(begin, high, False, BATCH_ROWS - entry_count):
            row_keys[index.row_key(key, value)] = None
            entry_count += 1
            place = number, key + b"\0"
        if entry_count == BATCH_ROWS:
            return _remove(rows, layout, list(row_keys)), place
    return _remove(rows, layout, list(row_keys)), None


def _expires(table: Table) -> bool:
    return any(index.ttl_s is not None and index.state is IndexState.PUBLIC for index in table.indexes)


def _remove(rows: RowTransaction, layout: TableLayout, row_keys: list[bytes]) -> Swept:
    """Removes those of the rows that have expired: the rows decide, whatever the index says."""
    gone = []
    assert layout.expiry is not None
    keys = [layout.key_of(row_key) for row_key in row_keys]
    for row_key, key, record in zip(row_keys, keys, rows.space.multi_get(keys), strict=True):
        if record is not None:
            row = layout.decode(key, record)
            if not layout.expiry.is_alive(row, rows.now):
                gone.append((row_key, row))
    rows.pending.set_mode(None, False)                       # nobody will make good what a deferred check finds
    is_parent = any(key.target == layout.table.id for key in layout.table.foreign_keys) or (
        bool(rows.catalog.referencing(layout.table.id)))
    # One statement each where a foreign key may refuse some. Its actions pass over rows that have expired, so those
    # that wait for their turn stay as they were read.
    statements = [[item] for item in gone] if is_parent else [gone]
    removed = 0
    for some in statements:
        mark, statement = rows.transaction.core.mark(), RowStatement(rows)
        writer = statement.writer(layout.table.id)
        try:
            for row_key, row in some:
                writer.remove(row_key, row)
            statement.finish()
            removed += len(some)
        except IntegrityViolation:
            rows.transaction.core.rollback_to(mark)
    return Swept(removed, len(gone) - removed)
