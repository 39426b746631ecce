"""LocalStore: one node's database. Opens and closes it, owns the tree of tables and its changes.

    engine (Cython)      commits and reads: view = memtables + tables
    manifest + tree      which tables exist; every change is an Edit: manifest first, then the engine's view
    background.py        threads that decide and do: flush, compaction, log upkeep

A change of the tree happens in one order, so that a crash at any point leaves a tree that is whole:
new table files are synced, then their folder, then the manifest records the edit, then the engine
shows the new view, and only then are the old files free to go (when their last reader is gone).
"""
from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phantomdb.core import picker
from phantomdb.core._ext import background as doors
from phantomdb.core._ext.engine import Engine
from phantomdb.core._ext.files import BridgedFileSystem, PosixFileSystem
from phantomdb.core._ext.table import TableHandle
from phantomdb.core.background import Background
from phantomdb.core.errors import CorruptionError, FileMissing, PhantomError, StorageError
from phantomdb.core.locks import LockTable
from phantomdb.core.manifest import LOCK, Manifest, database_exists, orphans, table_name, values_name
from phantomdb.core.options import Options
from phantomdb.core.tree import Edit, TableMeta, Tree, ValueFileMeta, table_properties

if TYPE_CHECKING:
    from phantomdb.core._ext.memtable import MemtableHandle

ABANDON_S = 5.0                      # how long the interpreter's exit waits for calls that take long
DURABILITIES = {"none": 0, "interval": 1, "commit": 2}           # Durability of engine.pxd


def as_file_system(given: Any) -> Any:
    """The disk for None; a Python object with the methods of core/filesystems.py is bridged."""
    if given is None:
        return PosixFileSystem()
    if isinstance(given, (PosixFileSystem, BridgedFileSystem)):
        return given
    return BridgedFileSystem(given)


def _references(tables: Iterable[TableMeta]) -> dict[int, int]:
    total: dict[int, int] = {}
    for table in tables:
        for number, count in table.value_files:
            total[number] = total.get(number, 0) + count
    return total


class LocalStore:
    """An open database. `mutex` guards tree, manifest and handles; it is never held while waiting for a lock of
    the engine that a writer may hold for long."""

    def __init__(self, directory: str | os.PathLike[str], options: Options) -> None:
        self.directory = os.path.abspath(os.fspath(directory))
        self.file_system = as_file_system(options.file_system)
        self.locks = LockTable()
        self.mutex = threading.RLock()
        self._closing = threading.Lock()
        self.ingest_mutex = threading.Lock()                     # held while an ingest's tables are installed
        self._users: list[int] = []                              # threads inside use(); guarded by the mutex
        self._unused = threading.Condition(self.mutex)
        self.is_closed = False
        if not options.create and not database_exists(self.file_system, self.directory):
            raise FileMissing("there is no database; create=True makes one", path=self.directory)
        if not database_exists(self.file_system, self.directory):
            self.file_system.make_dir(self.directory)
            self.file_system.sync_dir(os.path.dirname(self.directory))   # the folder's own name must last as well
        self._lock_file = self.file_system.lock(os.path.join(self.directory, LOCK))
        try:
            self._open(options)
        except BaseException:
            self._lock_file.release()
            raise

    def _open(self, options: Options) -> None:
        if database_exists(self.file_system, self.directory):
            self.manifest, tree = Manifest.open(self.file_system, self.directory, options)
        else:
            self._require_no_tables()
            self.manifest, tree = Manifest.create(self.file_system, self.directory, options, options.partitions or 1)
        self.options = options = replace(options, partitions=self.manifest.partitions)
        self._require_files(tree)
        self.engine = Engine(
            self.file_system, self.directory, partitions=self.manifest.partitions,
            memtable_bytes=options.memtable_capacity_bytes, cache_bytes=options.block_cache_bytes,
            block_bytes=options.block_bytes, max_open_tables=options.max_open_tables,
            durability=DURABILITIES[options.durability], value_threshold=options.value_threshold_bytes,
            value_file_bytes=options.value_file_bytes, log_segment_bytes=options.log_segment_bytes,
            next_file_number=tree.next_file_number, last_ts=tree.last_ts, gc_floor_ts=tree.gc_floor_ts)
        self._table_cache = doors.table_cache(self.engine)
        self.handles: dict[int, TableHandle] = {}
        self._retired: list[tuple[TableHandle, TableMeta]] = []
        self._flushed: list[MemtableHandle] = []                 # a scan may still read them, and values through them
        self.value_file_holds = 0                                # who needs every value file to stay; mutex
        for meta in tree.tables():
            self.handles[meta.number] = self._handle(meta)
        doors.install(self.engine, self._view_levels(tree), [])
        # Every batch after this timestamp is in the log; older ones went with their segments.
        self.log_complete_from_ts = tree.last_ts
        self.replayed_values = set(self.engine.recover(tree.first_log_segment, tree.flushed_ts))
        for name in orphans(self.file_system, self.directory, tree, value_files_in_log=self.replayed_values):
            with contextlib.suppress(StorageError):              # what stays is an orphan at the next open, too
                self.file_system.unlink(os.path.join(self.directory, name))
        self.background = Background(self)

    # ---------------------------------------------------------------- the tree

    @property
    def tree(self) -> Tree:
        return self.manifest.tree

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _require_no_tables(self) -> None:
        """Tables in a folder without CURRENT are a database that lost it, or half a copy: no place for a new one."""
        for name in self.file_system.list_dir(self.directory):
            if name.endswith((".table", ".values")):
                raise CorruptionError("CURRENT is not there, but tables are; see `phantomdb repair`",
                                      path=self.path(name))

    def _require_files(self, tree: Tree) -> None:
        """All files the tree names must be there; else nothing may be removed as an orphan."""
        there = set(self.file_system.list_dir(self.directory))
        named = [table_name(table.number) for table in tree.tables()]
        named += [values_name(file.number) for file in tree.value_files if file.garbage_bytes < file.total_bytes]
        for name in named:
            if name not in there:
                if self.manifest.lost_its_end:
                    raise CorruptionError(f"{name} is not there, and the manifest's last record is damaged",
                                          path=self.path(self.manifest.name))
                raise CorruptionError("a file of the database is not there", path=self.path(name))

    def _handle(self, meta: TableMeta) -> TableHandle:
        return TableHandle.create(self._table_cache, self.path(table_name(meta.number)), table_properties(meta))

    def _view_levels(self, tree: Tree) -> list[list[list[TableHandle]]]:
        return [[[self.handles[meta.number] for meta in level] for level in levels] for levels in tree.partitions]

    def handles_of(self, run: Sequence[TableMeta]) -> list[TableHandle]:
        with self.mutex:
            return [self.handles[meta.number] for meta in run]

    def change(self, *, added: Sequence[TableMeta] = (), removed: Sequence[TableMeta] = (),
               flushed: Sequence[MemtableHandle] = (), flushed_ts: Sequence[tuple[int, int]] = ()) -> None:
        """Makes one change of the tree durable and shows it to readers. `flushed_ts`: (partition, timestamp) up to
        which the log is in tables then."""
        with self.mutex:
            before, after = _references(removed), _references(added)
            grown = {number: count - before.get(number, 0) for number, count in after.items()
                     if count > before.get(number, 0)}
            garbage = {number: count - after.get(number, 0) for number, count in before.items()
                       if count > after.get(number, 0)}
            edit = Edit(
                added=tuple(added), removed=tuple(meta.number for meta in removed),
                flushed=tuple(flushed_ts),
                next_file_number=doors.next_file_number(self.engine), last_ts=doors.visible_ts(self.engine),
                gc_floor_ts=doors.gc_floor_ts(self.engine),
                added_value_files=tuple(ValueFileMeta(number, count) for number, count in sorted(grown.items())),
                value_garbage=tuple(sorted(garbage.items())))
            kept = {meta.number for meta in added}
            fresh = {meta.number: self._handle(meta) for meta in added if meta.number not in self.handles}
            self.file_system.sync_dir(self.directory)
            tree = self.manifest.append(edit)
            self.handles.update(fresh)
            doors.install(self.engine, self._view_levels(tree), list(flushed))
            self._flushed += flushed
            for meta in removed:
                if meta.number not in kept:
                    handle = self.handles.pop(meta.number)
                    handle.delete_when_unused()
                    self._retired.append((handle, meta))

    def drop_unused(self) -> None:
        """Lets go of retired tables nobody reads any more, and removes value files nothing points into."""
        doors.reclaim(self.engine)                               # the views that still showed them
        with self.mutex:
            self._flushed = [memtable for memtable in self._flushed if memtable.is_shared()]
            before = len(self._retired)
            self._retired = [(handle, meta) for handle, meta in self._retired if handle.is_shared()]
            if len(self._retired) < before:
                doors.reclaim(self.engine)                       # removes their files
            if self.value_file_holds or not self._dead_value_files():
                return
            doors.roll_values(self.engine)                       # else a file that is written to could get a value
            if dead := self._dead_value_files():                 # between the look and its end
                self.manifest.append(Edit(removed_value_files=tuple(dead)))
                for number in dead:
                    with contextlib.suppress(StorageError):
                        doors.remove_values(self.engine, number)

    def _dead_value_files(self) -> list[int]:
        """Numbers of value files nothing points into; mutex held."""
        in_use = {number for _, meta in self._retired for number, _ in meta.value_files}
        # what memtables, those that only scans still hold included, and unfinished writes may point into
        oldest = min([doors.oldest_value_file(self.engine), *(memtable.first_value_file for memtable in self._flushed)])
        return [file.number for file in self.tree.value_files
                if file.garbage_bytes == file.total_bytes and file.number < oldest and file.number not in in_use]

    def release_log(self) -> None:
        """Remembers which log segments are no longer needed, and gives them back."""
        with self.mutex:
            oldest, _ = doors.oldest_log_segment(self.engine)
            if oldest > self.tree.first_log_segment:
                newest = doors.visible_ts(self.engine)
                self.manifest.append(Edit(first_log_segment=oldest, last_ts=newest))
                self.log_complete_from_ts = newest               # more than the released segments held: safe
                doors.release_log(self.engine, oldest)

    # ---------------------------------------------------------------- work that takes long

    @contextlib.contextmanager
    def use(self) -> Iterator[None]:
        """For a call that makes or reads files for long: close() makes it fail at its next check_usable(), and waits
        until the block is left."""
        with self.mutex:
            self.check_usable()
            self._users.append(threading.get_ident())
        try:
            yield
        finally:
            with self.mutex:
                self._users.remove(threading.get_ident())
                self._unused.notify_all()

    def _wait_for_users(self, timeout_s: float | None = None) -> None:
        with self.mutex:
            self._unused.wait_for(lambda: all(user == threading.get_ident() for user in self._users), timeout_s)

    @contextlib.contextmanager
    def pinned(self, *, flushed: bool = False) -> Iterator[Tree]:
        """The tree of now; all its files stay inside the block. `flushed`: it holds every commit made before, and none
        made later."""
        with self.background.cut() if flushed else contextlib.nullcontext(), self.mutex:
            tree, handles = self.tree, list(self.handles.values())
            self.value_file_holds += 1
        try:
            yield tree
        finally:
            handles.clear()
            with self.mutex:
                self.value_file_holds -= 1
            self.drop_unused()

    # ---------------------------------------------------------------- what programs ask for

    def check_usable(self) -> None:
        """Raises DatabaseClosed or ForkedProcess."""
        self.engine.check()

    def flush(self) -> None:
        """Brings everything committed so far into tables."""
        with self.use():
            for partition in range(self.manifest.partitions):
                doors.rotate(self.engine, partition)
            self.background.flush_all()

    def compact(self) -> None:
        """Flushes, then merges everything into the bottom level, in bounded steps."""
        with self.use():
            self.flush()
            self.background.compact_all()

    def sync(self) -> None:
        """Everything committed so far is on disk when it returns."""
        with self.use():
            doors.sync(self.engine)

    def stats(self) -> dict[str, Any]:
        """Figures of the moment: sizes by level, amplification, memory, counters."""
        with self.use(), self.mutex:
            tree = self.tree
            result: dict[str, Any] = doors.figures(self.engine)
        result.update(self.background.figures())
        levels = [{"level": depth, "tables": 0, "bytes": 0, "entries": 0, "raw_bytes": 0}
                  for depth in range(len(tree.partitions[0]))]
        for meta in tree.tables():
            level = levels[meta.level]
            level["tables"] += 1
            level["bytes"] += meta.file_size
            level["entries"] += meta.entry_count
            level["raw_bytes"] += meta.raw_bytes
        table_bytes = sum(level["bytes"] for level in levels)
        bottom = next((level["bytes"] for level in reversed(levels) if level["bytes"]), 0)
        written = result["bytes_written"]
        result.update(
            partitions=len(tree.partitions), levels=levels, table_bytes=table_bytes,
            value_bytes=sum(file.total_bytes for file in tree.value_files),
            value_garbage_bytes=sum(file.garbage_bytes for file in tree.value_files),
            write_amplification=(written + result["flushed_bytes"] + result["compacted_bytes"]) / written
            if written else 0.0,
            read_amplification=max(len(levels_[0]) + sum(1 for level in levels_[1:] if level)
                                   for levels_ in tree.partitions),
            space_amplification=table_bytes / bottom if bottom else 1.0,
            pending_compaction_bytes=sum(picker.pending_bytes(levels_, self.options) for levels_ in tree.partitions),
            oldest_readable_ts=result.pop("gc_floor_ts", tree.gc_floor_ts), newest_ts=doors.visible_ts(self.engine))
        return result

    # ---------------------------------------------------------------- the end

    def close(self) -> None:
        """Flushes, stops the threads and closes all files. Calls in flight end first; later ones raise
        DatabaseClosed. Closing twice is fine; in a forked child it does nothing."""
        if self.engine.in_child:
            return
        with self._closing:
            if self.is_closed:
                return
            self.is_closed = True
            self.engine.refuse()
            self.background.cancel()
            self._wait_for_users()
            self.background.stop()
            emptied = False
            try:
                emptied = self.background.flush_last()
                self.manifest.seal()                             # the log, which could tell of a lost edit, goes now
            except PhantomError:                                 # the log still has it all
                pass
            finally:
                self._release(emptied)

    def abandon(self) -> None:
        """Stops without flushing, as at the exit of the interpreter: the log has everything."""
        if self.engine.in_child:
            return
        with self._closing:
            if not self.is_closed:
                self.is_closed = True
                self.engine.refuse()
                self.background.cancel()
                self._wait_for_users(ABANDON_S)          # one that waits for its own input may never look
                self.background.stop()
                with contextlib.suppress(PhantomError):          # nobody is left to be told
                    self._release(False)

    def _release(self, log_is_empty: bool) -> None:
        try:
            self.engine.close(log_is_empty)
        finally:
            with self.mutex:
                self.manifest.close()
                self.handles.clear()
                self._retired.clear()
                self._flushed.clear()
            self._lock_file.release()
