"""The catalog in the store: loaded as of any moment, saved by a transaction, kept in memory while it is the newest.

    transaction        snapshot s ........................................ commit
    catalog.at         version row of now = the one in memory, which was there at s or before?   -> the one in memory
                       else the version row as of s; known by its content or loaded

A change of the catalog is rows like any other: the objects that changed, and the version row, which each change reads
and writes, so of two at a time one commits. A statement that writes rows does not read the version row: it would
conflict with every change of anything. It reads the fence of each object it used (`fence_key`): the object's own row,
which is written anew when the object, or a foreign key to it, changes.

Database "main" and schema "public" have no rows as long as nobody changed them. One that was dropped has an empty row.
"""
from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core._ext.transaction import TransactionKeySpace
from phantomdb.core.catalog.catalog import IMPLIED, Catalog
from phantomdb.core.catalog.codec import decode, encode
from phantomdb.core.catalog.keys import (
    CATALOG_PREFIX,
    OBJECTS,
    STATISTICS,
    VERSION_KEY,
    after,
    counter_key,
    object_key,
    statistics_key,
    upkeep_key,
)
from phantomdb.core.catalog.objects import CatalogObject, ForeignKey, Table, TableStatistics
from phantomdb.core.errors import CorruptionError, SnapshotTooOld
from phantomdb.core.query.errors import QueryError

if TYPE_CHECKING:
    from phantomdb.core.store import LocalStore
    from phantomdb.core.transactions import Transaction

VERSION_BYTES = 16
RECENT_COUNT = 16                    # catalogs kept by version: changes not yet committed, and what older snapshots see

fence_key: Callable[[int], bytes] = object_key


class Reader(Protocol):
    """A Snapshot or TransactionKeySpace of the catalog's prefix."""

    def get(self, key: bytes, /) -> bytes | None: ...
    def scan(self, start: bytes, stop: bytes, /) -> Iterator[tuple[bytes, bytes]]: ...


# -------------------------------------------------------------------- rows

def load_version(reader: Reader) -> int:
    """Version of the catalog; 0 where it was never changed."""
    return _version_of(reader.get(VERSION_KEY))


def load(reader: Reader, new_id: Callable[[], int]) -> Catalog:
    """The catalog as the reader sees it. CorruptionError."""
    found = dict(IMPLIED)
    for key, data in reader.scan(OBJECTS, after(OBJECTS)):
        number = int.from_bytes(key[1:], "big")
        if not data:
            found.pop(number, None)
            continue
        item = decode(data, object)
        if not isinstance(item, CatalogObject) or item.id != number:
            raise CorruptionError(f"the row of object {number} of the catalog holds something else")
        found[number] = item
    try:
        return Catalog(found.values(), load_version(reader), new_id)
    except QueryError as error:                                  # a name that is there twice
        raise CorruptionError(f"the catalog contradicts itself: {error}") from error


def save(keys: TransactionKeySpace, before: Catalog, catalog: Catalog) -> None:
    """Writes what `catalog`, made out of `before`, has changed. CorruptionError: `before` is not what is stored."""
    if load_version(keys) != before.version:                     # and counts the row as read: see the head
        raise CorruptionError("a catalog is saved over one that it was not made of")
    if catalog.version == before.version:
        return
    touched: set[int] = set()                                    # tables with other foreign keys to them than before
    for number in catalog.objects.differences(before.objects):
        old, item = before.objects.get(number), catalog.objects.get(number)
        touched |= {key.target for key in _keys_of(old) ^ _keys_of(item)}
        _mark_upkeep(keys, number, old, item)
        if item is not None:
            keys.put(object_key(number), encode(item))
            continue
        if number in IMPLIED:
            keys.put(object_key(number), b"")
        else:
            keys.delete(object_key(number))
        keys.delete(statistics_key(number))
        keys.delete(counter_key(number))
    for number in touched:
        target = catalog.objects.get(number)
        if target is not None and target is before.objects.get(number):
            keys.put(object_key(number), encode(target))
    keys.put(VERSION_KEY, catalog.version.to_bytes(VERSION_BYTES, "big"))


def _mark_upkeep(keys: TransactionKeySpace, number: int, old: CatalogObject | None, item: CatalogObject | None) -> None:
    """Whoever opens the database sees by these rows, without the rest of the catalog, whether there is work to do."""
    needed, needs = (isinstance(one, Table) and one.needs_upkeep for one in (old, item))
    if needs and not needed:
        keys.put(upkeep_key(number), b"")
    elif needed and not needs:
        keys.delete(upkeep_key(number))


def save_statistics(keys: TransactionKeySpace | KeySpace, statistics: TableStatistics) -> None:
    """Does not change the version of the catalog."""
    keys.put(statistics_key(statistics.table), encode(statistics))


def load_statistics(reader: Reader, table: int) -> TableStatistics | None:
    """What ANALYZE has found. CorruptionError."""
    data = reader.get(statistics_key(table))
    return None if data is None else decode(data, TableStatistics)


def all_statistics(reader: Reader) -> dict[int, TableStatistics]:
    """By table. CorruptionError."""
    return {int.from_bytes(key[1:], "big"): decode(data, TableStatistics)
            for key, data in reader.scan(STATISTICS, after(STATISTICS))}


def _version_of(row: bytes | None) -> int:
    if row is None:
        return 0
    if len(row) != VERSION_BYTES:
        raise CorruptionError("the version row of the catalog cannot be read")
    return int.from_bytes(row, "big")


def _keys_of(item: CatalogObject | None) -> set[ForeignKey]:
    return set(item.foreign_keys) if isinstance(item, Table) else set()


# -------------------------------------------------------------------- in memory

class _Newest(NamedTuple):
    row: bytes | None                # the version row
    catalog: Catalog
    since_ts: int                    # the catalog is that of every moment from here on, while the row stays


class CatalogCache:
    """The catalogs that transactions ask for. All threads may share it."""

    def __init__(self, store: LocalStore, new_id: Callable[[], int]) -> None:
        self._keys = KeySpace(store.engine, CATALOG_PREFIX)
        self._new_id = new_id
        self._mutex = threading.Lock()                           # guards what is below
        self._recent: OrderedDict[int, Catalog] = OrderedDict()  # by version
        # Transactions that changed the catalog, with their view of it.
        self._changing: WeakKeyDictionary[Transaction, TransactionKeySpace] = WeakKeyDictionary()
        self._newest = _Newest(None, Catalog(new_id=new_id), 0)

    def at(self, transaction: Transaction) -> Catalog:
        """What the transaction must see: the catalog as of its snapshot, with its own changes."""
        if self._changing:
            with self._mutex:
                keys = self._changing.get(transaction)
            if keys is not None:
                return self._known(keys)
        newest = self._newest
        if newest.since_ts <= transaction.snapshot_timestamp and self._keys.get(VERSION_KEY) == newest.row:
            return newest.catalog
        try:
            return self.as_of(transaction.snapshot_timestamp)
        except SnapshotTooOld:
            # The transaction is older than the retention window and may see what nobody else may any more. To read by
            # way of it counts as read, so it will not commit after the change that came in between.
            return self._known(TransactionKeySpace(transaction.core, CATALOG_PREFIX))

    def as_of(self, timestamp: int) -> Catalog:
        """The committed catalog as of a commit timestamp (0: now). SnapshotTooOld."""
        with self._keys.snapshot_at(timestamp) as snapshot:
            row, catalog, timestamp = snapshot.get(VERSION_KEY), self._known(snapshot), snapshot.timestamp
        now = self._keys.get(VERSION_KEY)
        with self._mutex:
            if row == self._newest.row:
                timestamp = min(timestamp, self._newest.since_ts)
            if row == now:
                self._newest = _Newest(row, catalog, timestamp)
        return catalog

    def change(self, transaction: Transaction, catalog: Catalog) -> None:
        """From here on the transaction sees `catalog`, made out of what at() gave it; all others after its commit.
        When it raises, the transaction must be rolled back, or to a savepoint before."""
        keys = TransactionKeySpace(transaction.core, CATALOG_PREFIX)
        save(keys, self.at(transaction), catalog)
        with self._mutex:
            self._changing[transaction] = keys
            self._remember(catalog)

    def statistics(self, table: int) -> TableStatistics | None:
        """The newest that ANALYZE has found."""
        return load_statistics(self._keys, table)

    def _known(self, reader: Reader) -> Catalog:
        version = load_version(reader)
        with self._mutex:
            catalog = self._newest.catalog if self._newest.catalog.version == version else self._recent.get(version)
        if catalog is None:
            catalog = load(reader, self._new_id)
            with self._mutex:
                self._remember(catalog)
        return catalog

    def _remember(self, catalog: Catalog) -> None:
        """The mutex is held."""
        self._recent[catalog.version] = catalog
        self._recent.move_to_end(catalog.version)
        while len(self._recent) > RECENT_COUNT:
            self._recent.popitem(last=False)
