"""The change feed of rows: what each commit did to which table, decoded by the catalog of that commit.

    feed of prefix t        batch 17:  put t|item|1,  put t|item_a|5|1,  delete t|item|2,  delete t|item_a|7|2
    catalog as of 17        item is a table, item_a is an index
    changes                 RowBatch(17, (item 1 -> row, item 2 -> nothing))

It is the feed of core/feed.py: in the order of commits, live, and resumed with the timestamp of a batch. Entries of
indexes say nothing new and are passed over. Rows that expire are deleted when the sweeper comes by (sweep.py).

The catalog changes seldom: as long as its version row is what it was, the one of the batch before is right. When it is
not, the catalog as of the batch is read; a feed that has fallen behind the retention window then has lost its way.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.keys import CATALOG_PREFIX, VERSION_KEY
from phantomdb.core.catalog.objects import Table
from phantomdb.core.errors import FeedLost, SnapshotTooOld
from phantomdb.core.feed import Batch, batches_of, open_feed
from phantomdb.core.tables.layout import ID_BYTES, ROWS_PREFIX, Row
from phantomdb.core.tables.rows import TableStore
from phantomdb.core.values import Value


class RowChange(NamedTuple):
    """One row of a commit. `key`: the values of its primary key, or its row id where it has none. `new` None: it was
    deleted. `old`: what it was before, where the feed was asked for it; None when it was not there. `key` None: all
    rows of the table were removed at once, by TRUNCATE or DROP TABLE."""

    table: Table
    key: tuple[Value, ...] | None
    old: Row | None
    new: Row | None

    def values(self, row: Row | None) -> dict[str, Value] | None:
        """`old` or `new` by the names of columns."""
        return None if row is None else {
            column.name: value for column, value in zip(self.table.columns, row, strict=True)}


class RowBatch(NamedTuple):
    """What one commit did, in the order of its writes. `timestamp` is the token to go on from."""

    timestamp: int
    changes: tuple[RowChange, ...]


def watch_rows(tables: TableStore, wanted: Collection[int] | None = None, since: int | None = None, *,
               with_old: bool = False, timeout_s: float | None = None) -> Iterator[RowBatch]:
    """Commits after `since` (None: after now) that changed rows of the tables with ids `wanted` (None: of any), then
    live ones as they come. Complete from the moment of this call. Ends after `timeout_s` without a commit; None waits
    for ever. FeedLost: `since`, or the reader, is too far back."""
    cursor = open_feed(tables.store, ROWS_PREFIX, since)
    try:
        decoder = _Decoder(tables, wanted, with_old, cursor.position_ts if since is None else since)
    except SnapshotTooOld:
        cursor.close()
        raise FeedLost from None
    return _decoded(decoder, batches_of(cursor, timeout_s))


def _decoded(decoder: _Decoder, batches: Iterator[Batch]) -> Iterator[RowBatch]:
    try:
        for batch in batches:
            try:
                changes = decoder.decode(batch)
            except SnapshotTooOld:
                raise FeedLost from None
            if changes:
                yield RowBatch(batch.timestamp, changes)
    finally:
        decoder.close()


class _Decoder:
    """Stands at one timestamp: has the catalog, and if asked for, the rows as of it. SnapshotTooOld: it cannot."""

    def __init__(self, tables: TableStore, wanted: Collection[int] | None, with_old: bool, timestamp: int) -> None:
        self._tables, self._wanted = tables, None if wanted is None else frozenset(wanted)
        self._catalog_keys = KeySpace(tables.store.engine, CATALOG_PREFIX)
        self._row_keys = KeySpace(tables.store.engine, ROWS_PREFIX)
        self._catalog, self._version = self._catalog_as_of(timestamp)
        self._before = self._row_keys.snapshot_at(timestamp) if with_old else None

    def close(self) -> None:
        if self._before is not None:
            self._before.close()
            self._before = None

    def _catalog_as_of(self, timestamp: int) -> tuple[Catalog, bytes | None]:
        """With its version row."""
        with self._catalog_keys.snapshot_at(timestamp) as snapshot:
            return self._tables.catalogs.as_of(timestamp), snapshot.get(VERSION_KEY)

    def decode(self, batch: Batch) -> tuple[RowChange, ...]:
        """Goes on to the batch."""
        older = self._catalog
        if self._catalog_keys.get(VERSION_KEY) != self._version:
            self._catalog, self._version = self._catalog_as_of(batch.timestamp)
        before = self._before
        if before is not None:
            self._before = self._row_keys.snapshot_at(batch.timestamp)
        found: list[RowChange] = []
        emptied: set[int] = set()
        for key, value, stop in batch.changes:
            number = int.from_bytes(key[:ID_BYTES], "big")
            table = self._catalog.get(number)
            if not isinstance(table, Table):
                table = older.get(number)                    # dropped, or an index
            if not isinstance(table, Table) or (self._wanted is not None and number not in self._wanted):
                continue
            if stop is not None:
                emptied.add(number)
                found.append(RowChange(table, None, None, None))
                continue
            layout = self._tables.layouts.of(table)
            # By the layout of now: a column that has come since has the value it shows in older rows.
            record = None if before is None or number in emptied else before.get(key)
            found.append(RowChange(table, layout.keys.decode(key), None if record is None else layout.decode(
                key, record), None if value is None else layout.decode(key, value)))
        if before is not None:
            before.close()
        return tuple(found)
