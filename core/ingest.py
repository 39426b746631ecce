"""ingest(): sorted pairs become tables directly, past log and memtable, and appear all at once.

    write      tables are written and synced beside the database; nobody sees them, a crash leaves orphans
    flush      what is in memtables goes to tables, so that little is left for the next step
    freeze     commits wait; the last memtables are flushed, so that all older versions lie below the new tables
    install    a timestamp is drawn, the manifest records the tables with it, the view shows them
    publish    the timestamp becomes visible; commits go on

One edit of the manifest is the whole of it: a crash leaves either all pairs or none. Commits wait for the
flush of what came in during a flush, and one append to the manifest; reads never wait.

A table goes to the deepest level in use where nothing lies over it or beside it, so that loading an empty
database, or behind its last key, costs no compaction.
"""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phantomdb.core._ext import background as doors
from phantomdb.core._ext.ingest import IngestWriter
from phantomdb.core.errors import StorageError
from phantomdb.core.tree import TableMeta, overlapping, table_meta

if TYPE_CHECKING:
    from phantomdb.core.store import LocalStore

FLUSHES_BEFORE = 2                   # each leaves what was written during it: the second far less than the first


def ingest(store: LocalStore, prefix: int, pairs: Iterable[tuple[bytes, bytes]] | Mapping[bytes, bytes],
           check: Callable[[], None] | None = None) -> int:
    """Adds the pairs, sorted by key and distinct, to the keyspace of `prefix`; how many there were. InvalidArgument
    names the first key that is out of order, and nothing is added then. `check` is called at the last moment, while
    commits wait: it raises if the pairs may no longer be added."""
    with store.use():
        options = store.options
        writer = IngestWriter(store.engine, prefix, block_bytes=options.block_bytes,
                              compress=options.compression == "lz4", target_bytes=options.table_bytes)
        try:
            try:
                writer.add_all(pairs)
                writer.finish()
            except BaseException:
                writer.discard()
                raise
            if writer.tables:
                _install(store, writer, check)
        finally:
            writer.close()
        return writer.count


def _install(store: LocalStore, writer: IngestWriter, check: Callable[[], None] | None) -> None:
    """Tables that were not installed for certain are removed; of others the next change of the manifest decides."""
    engine = store.engine
    installing = False
    with store.ingest_mutex:
        try:
            for _ in range(FLUSHES_BEFORE):
                store.flush()
            doors.freeze(engine)
            try:
                doors.sync(engine)               # what becomes visible with the timestamp must not be lost below it
                store.flush()
                if check is not None:
                    check()
                timestamp = doors.reserve_ts(engine)
                first = None
                try:
                    with store.mutex:
                        installing = True
                        store.change(added=[_placed(store, _meta(made, timestamp)) for made in writer.tables])
                    first = writer.first
                finally:                         # what has been given out becomes visible, come what may
                    doors.publish_ingest(engine, timestamp, first, writer.last)
            finally:
                doors.thaw(engine)
            # No log could tell of this edit. If that fails the next edit starts a new manifest, which does as well.
            with store.mutex, contextlib.suppress(StorageError):
                store.manifest.seal()
        except BaseException:
            if not installing:
                writer.discard()
            raise
    store.background.set_pressure()
    doors.wake(engine, doors.COMPACT)


def _meta(made: Mapping[str, Any], timestamp: int) -> TableMeta:
    return replace(table_meta(made, made["partition"], 0), base_ts=timestamp, min_ts=timestamp, max_ts=timestamp)


def _placed(store: LocalStore, table: TableMeta) -> TableMeta:
    """The table on the level where it belongs; store.mutex held.

    Level 0 is always right: it is ordered by time. Deeper, nothing above may overlap (it would be older), nothing
    beside, and no compaction may be about to put something there.
    """
    levels = store.tree.partitions[table.partition]
    if not store.background.is_free(table.partition, table.smallest, table.largest):
        return table
    deepest = 0
    for depth, level in enumerate(levels):
        if depth == 0 and any(other.overlaps(table.smallest, table.largest) for other in level):
            break
        if depth and overlapping(level, table.smallest, table.largest):
            break
        deepest = depth
    if deepest < len(levels) - 1 and not levels[deepest]:        # levels in the middle are filled from above, when due
        return table
    return replace(table, level=deepest)
