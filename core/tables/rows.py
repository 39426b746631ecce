"""The rows of the database as one transaction has them: what all its statements share.

    RowTransaction      keyspaces, layouts, fences read, checks put off to the end
      RowStatement      one statement: its writers, what is checked when it ends         (statement.py)
        TableWriter     inserts, updates, deletes of one table                           (writer.py)
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from phantomdb.core._ext.transaction import TransactionKeySpace
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.keys import CATALOG_PREFIX
from phantomdb.core.catalog.sequences import SequenceStore
from phantomdb.core.catalog.storage import CatalogCache, fence_key
from phantomdb.core.tables.layout import ROWS_PREFIX, LayoutCache, Row, TableLayout

if TYPE_CHECKING:
    from phantomdb.core.store import LocalStore
    from phantomdb.core.tables.constraints import PendingChecks
    from phantomdb.core.transactions import Transaction


class _Default:
    __slots__ = ()

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = _Default()          # among the values of an insert or update: the column's default


def get_validated(keys: TransactionKeySpace, key: bytes) -> bytes | None:
    """The value of `key`, which must still be the same at commit, whatever the isolation: a fence, the parent of a
    foreign key, the holder of a unique key.
    """
    return keys.get_validated(key)


def cover_validated(keys: TransactionKeySpace, start: bytes, stop: bytes) -> None:
    """No key between `start` and `stop` may come, go or change before the commit, whatever the isolation: the children
    that a parent which goes must not have."""
    keys.cover(start, stop, True)


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class TableStore:
    """What all transactions of a database share of its tables. All threads may use it."""

    def __init__(self, store: LocalStore, clock: Callable[[], datetime.datetime] = utc_now) -> None:
        self.store = store
        self.clock = clock                                   # the moment with a zone, by which rows expire
        self.sequences = SequenceStore(store)
        self.catalogs = CatalogCache(store, self.sequences.new_id)
        self.layouts = LayoutCache()

    def rows(self, transaction: Transaction) -> RowTransaction:
        """The rows as the transaction sees them, with the catalog it sees."""
        return RowTransaction(transaction, self.catalogs.at(transaction), self.layouts, self.sequences, self.clock)


class RowTransaction:
    """One for each transaction that touches rows; as the transaction, for one thread at a time.

    `catalog`: what the transaction sees; set it anew when the transaction changes it.
    """

    __slots__ = ("_clock", "_fenced", "_now", "_pending", "catalog", "catalog_space", "layouts", "sequences", "space",
                 "transaction")

    def __init__(self, transaction: Transaction, catalog: Catalog, layouts: LayoutCache,
                 sequences: SequenceStore, clock: Callable[[], datetime.datetime] = utc_now) -> None:
        self.transaction, self.catalog, self.layouts, self.sequences = transaction, catalog, layouts, sequences
        self.space = TransactionKeySpace(transaction.core, ROWS_PREFIX)
        self.catalog_space = TransactionKeySpace(transaction.core, CATALOG_PREFIX)
        self._fenced: set[int] = set()
        self._clock = clock
        self._now: datetime.datetime | None = None
        self._pending: PendingChecks | None = None

    @property
    def now(self) -> datetime.datetime:
        """The moment by which rows expire: one for the whole transaction."""
        if self._now is None:
            self._now = self._clock()
        return self._now

    @property
    def pending(self) -> PendingChecks:
        """The checks of deferred constraints."""
        if self._pending is None:
            from phantomdb.core.tables.constraints import PendingChecks
            self._pending = PendingChecks(self)
        return self._pending

    def check_deferred(self) -> None:
        """Before the commit: every deferred constraint holds. IntegrityViolation."""
        if self._pending is not None:
            self._pending.check_now()

    def layout(self, table: int) -> TableLayout:
        """UndefinedTable."""
        return self.layouts.of(self.catalog.table(table))

    def fence(self, table: int) -> None:
        """The commit fails when the definition of the table has changed meanwhile. Read once in a transaction."""
        if table not in self._fenced:
            get_validated(self.catalog_space, fence_key(table))
            self._fenced.add(table)

    # ---- rows

    def get(self, layout: TableLayout, row_key: bytes) -> Row | None:
        """The row, or None when it is not there or has expired."""
        key = layout.key_of(row_key)
        record = self.space.get(key)
        if record is None:
            return None
        row = layout.decode(key, record)
        return row if layout.expiry is None or layout.expiry.is_alive(row, self.now) else None

    def scan(self, layout: TableLayout, start: bytes | None = None, stop: bytes | None = None, *,
             reverse: bool = False) -> Iterator[tuple[bytes, Row]]:
        """(row key, row) between two whole keys, without those that have expired."""
        first, last = layout.range()
        decode, skipped = layout.decode, len(layout.keys.prefix)
        is_alive = self.life_test(layout)
        for key, record in self.space.scan(start or first, stop or last, reverse):
            row = decode(key, record)
            if is_alive is None or is_alive(row):
                yield key[skipped:], row

    def life_test(self, layout: TableLayout) -> Callable[[Row], bool] | None:
        """row -> whether it is still there; None where rows do not expire."""
        expiry = layout.expiry
        if expiry is None:
            return None
        now = self.now
        return lambda row: expiry.is_alive(row, now)

    def clear(self, layout: TableLayout) -> None:
        """Removes all rows and entries (TRUNCATE). Foreign keys to the table are the caller's business."""
        self.fence(layout.table.id)
        self.delete_ranges([layout.range(), *((index.keys.start, index.keys.stop) for index in layout.indexes)])

    def delete_ranges(self, ranges: Iterable[tuple[bytes, bytes]]) -> None:
        for start, stop in ranges:
            self.space.delete_range(start, stop)
