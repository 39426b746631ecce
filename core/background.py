"""Background work: plain Python threads that decide, and call into the core (which drops the GIL) to do.

    flush thread         immutable memtables -> one level-0 table each time, as soon as there is one
    compaction threads   picker.pick -> write_tables -> LocalStore.change
    log thread           spare log segments; the periodic sync of durability "interval"

An error here does not stop the process: it is kept, writers are told as soon as they would have to
wait for the work that fails (so a full disk is an error, not a hang), and the work is tried again,
so that writing resumes by itself when there is space.
"""
from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phantomdb.core import picker
from phantomdb.core._ext import background as doors
from phantomdb.core._ext.compaction import Cancel, CompactionCancelled, RateLimiter, write_tables
from phantomdb.core._ext.handover import hand_over
from phantomdb.core.errors import CorruptionError, DatabaseClosed, DiskFull, OutOfMemory
from phantomdb.core.picker import Compaction
from phantomdb.core.tree import TableMeta, table_meta

if TYPE_CHECKING:
    from phantomdb.core._ext.compaction import CompactionResult
    from phantomdb.core._ext.memtable import MemtableHandle
    from phantomdb.core.store import LocalStore

RETRY_S = 0.25                       # between attempts of work that failed
IDLE_CHECK_S = 5.0                   # compactions that only time makes useful (expired versions)
LOG_SEGMENTS_KEPT_FACTOR = 4         # the log may be this many write buffers long before old memtables are flushed
WHOLE_TABLE_BYTES = 1 << 40          # a flush makes one table


def _status_of(error: BaseException) -> int:
    for kind, status in ((DiskFull, -3), (CorruptionError, -4), (OutOfMemory, -1)):
        if isinstance(error, kind):
            return status
    return -2


class Background:
    """The threads of one store, and the work they do (which close and compact also do themselves)."""

    def __init__(self, store: LocalStore) -> None:
        self.store, self.engine, self.options = store, store.engine, store.options
        self._is_stopped = False                                 # writers wait for compactions
        self._errors: dict[str, Exception] = {}                  # of work that failed and is tried again, by kind
        self.flushed_bytes = self.compacted_bytes = self.flush_count = self.compaction_count = 0
        self.compaction_seconds = 0.0
        self._cancel = Cancel()
        self._limiter = RateLimiter(self.options.compaction_bytes_per_second)
        self._values = doors.value_log(self.engine)
        self._flush_mutex = threading.Lock()
        self._busy: set[int] = set()                             # numbers of tables in a compaction; store.mutex
        self._pointers: list[dict[int, bytes]] = [{} for _ in store.tree.partitions]
        self._idle = threading.Condition(store.mutex)            # a compaction ended
        self._threads = [self._thread("flush", self._flush_loop), self._thread("log", self._log_loop)]
        self._threads += [self._thread(f"compact-{i}", self._compaction_loop)
                          for i in range(self.options.compaction_threads)]
        for thread in self._threads:
            thread.start()
        doors.wake(self.engine, doors.FLUSH | doors.COMPACT | doors.LOG)

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=target, name=f"phantomdb-{name}", daemon=True)

    def cancel(self) -> None:
        """Gives up the compactions under way, those of compact_all() included."""
        self._cancel.set()

    def stop(self) -> None:
        """Ends the threads; a compaction under way is given up, a flush is finished."""
        self.cancel()
        doors.wake(self.engine, doors.STOP)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _attempt(self, kind: str, work: Callable[[], bool]) -> bool:
        """Does some work; whether to go on: there was some, or it failed. A failure is kept for writers."""
        try:
            did = work()
        except CompactionCancelled:
            return False
        except Exception as error:  # noqa: BLE001  whatever it is: writers must be told, and the thread must live
            self._errors[kind] = error
            self._tell_writers()
            time.sleep(RETRY_S)
            return True
        self._succeeded(kind)
        return did

    def _succeeded(self, kind: str) -> None:
        if self._errors.pop(kind, None) is not None:
            self._tell_writers()

    def _tell_writers(self) -> None:
        """Those with a full memtable wait for a flush, and when level 0 is full for a compaction."""
        error = self._errors.get("flush") or (self._errors.get("compact") if self._is_stopped else None)
        doors.set_failure(self.engine, 0 if error is None else _status_of(error))

    # ---------------------------------------------------------------- flush

    def _flush_loop(self) -> None:
        while not doors.wait_for_work(self.engine, doors.FLUSH, 60_000) & doors.STOP:
            while self._attempt("flush", self._flush_some):
                if self._cancel.is_set():
                    return

    def _flush_some(self) -> bool:
        did = False
        for partition in range(self.store.manifest.partitions):
            with self._flush_mutex:
                did = self._flush_partition(partition) or did
        if did:
            self.store.release_log()
            self.store.drop_unused()
            doors.wake(self.engine, doors.COMPACT)
        return did

    def _flush_partition(self, partition: int) -> bool:
        """All immutable memtables of the partition into one table of level 0."""
        return self._flush_memtables(partition, doors.immutable_memtables(self.engine, partition))

    def _flush_memtables(self, partition: int, memtables: list[MemtableHandle]) -> bool:
        if not memtables:
            return False
        if self.store.manifest.partitions > 1:
            # A table must not outlive the log: of a batch over several partitions, the others' part is only there.
            doors.sync(self.engine)
        else:
            doors.sync_values(self.engine)
        snapshots, horizon = self.engine.collectable(round(self.options.retention_s * 1000))
        levels = self.store.tree.partitions[partition]
        result = self._write(partition, list(reversed(memtables)), WHOLE_TABLE_BYTES, snapshots, horizon,
                             deeper=_ranges(table for level in levels for table in level))
        added = [table_meta(made, partition, 0) for made in result.tables]
        # None has any when an empty one had to make way for a transaction that takes a larger one.
        written = [memtable.timestamps[1] for memtable in memtables if memtable.timestamps]
        self.store.change(added=added, flushed=memtables, flushed_ts=[(partition, max(written))] if written else [])
        self.flush_count += 1
        self.flushed_bytes += result.bytes_written
        self._succeeded("flush")
        self.set_pressure()
        return True

    def flush_all(self) -> None:
        """Flushes what is immutable now, in the calling thread."""
        for partition in range(self.store.manifest.partitions):
            with self._flush_mutex:
                self._flush_partition(partition)
        self.store.release_log()
        self.store.drop_unused()
        doors.wake(self.engine, doors.COMPACT)

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Inside the block the tables hold every commit made before it, and none made later."""
        with self._flush_mutex:
            for partition, memtables in enumerate(doors.cut(self.engine)):
                self._flush_memtables(partition, memtables)
            yield

    def flush_last(self) -> bool:
        """At close, after stop(): True when every write is in a table and the log may go."""
        for partition in range(self.store.manifest.partitions):
            doors.rotate(self.engine, partition)
            self._flush_partition(partition)
        self.store.drop_unused()
        return True

    # ---------------------------------------------------------------- compaction

    def _compaction_loop(self) -> None:
        while not doors.wait_for_work(self.engine, doors.COMPACT, round(IDLE_CHECK_S * 1000)) & doors.STOP:
            while self._attempt("compact", self._compact_some):
                if self._cancel.is_set():
                    return

    def _compact_some(self) -> bool:
        with self.store.mutex:
            job = self._pick()
            if job is None:
                return False
            self._busy.update(table.number for table in job.tables)
        self._run(job)
        return True

    def _pick(self) -> Compaction | None:
        """store.mutex held."""
        tree = self.store.tree
        collect = picker.value_files_to_collect(tree.value_files, doors.oldest_value_file(self.engine))
        snapshots, horizon = self.engine.collectable(round(self.options.retention_s * 1000))
        best: Compaction | None = None
        for partition, levels in enumerate(tree.partitions):
            found = picker.pick(partition, levels, self.options, busy=self._busy, pointers=self._pointers[partition],
                                collect=collect, horizon_ts=min([horizon, *snapshots]))
            if found is not None and (best is None or found.score > best.score):
                best = found
        return best

    def _run(self, job: Compaction) -> None:
        """Does a picked compaction whose tables are marked busy."""
        began = time.monotonic()
        try:
            if job.kind == "trivial_move":
                moved = [replace(table, level=job.output_level) for table in job.tables]
                self.store.change(added=moved, removed=job.tables)
            else:
                self._merge(job)
            self.compaction_count += 1
        finally:
            self.compaction_seconds += time.monotonic() - began
            with self.store.mutex:
                self._busy.difference_update(table.number for table in job.tables)
                self._pointers[job.partition][job.input_level] = job.pointer
                self._idle.notify_all()
        self.store.drop_unused()
        self.set_pressure()
        doors.wake(self.engine, doors.COMPACT)

    def _merge(self, job: Compaction) -> None:
        with self.store.mutex:
            self.store.value_file_holds += 1                     # value files it may append to stay until the change
        try:
            self._merge_tables(job)
        finally:
            with self.store.mutex:
                self.store.value_file_holds -= 1

    def _merge_tables(self, job: Compaction) -> None:
        snapshots, horizon = self.engine.collectable(round(self.options.retention_s * 1000))
        collect = picker.value_files_to_collect(self.store.tree.value_files, doors.oldest_value_file(self.engine))
        sources = [self.store.handles_of(run) for run in job.inputs]
        added: list[TableMeta] = []
        for start, stop in job.subranges:
            result = self._write(job.partition, sources, self.options.table_bytes, snapshots, horizon,
                                 deeper=job.deeper, start=start, stop=stop, cancel=self._cancel,
                                 limiter=self._limiter, relocate=collect, values=self._values)
            added += [table_meta(made, job.partition, job.output_level) for made in result.tables]
            self.compacted_bytes += result.bytes_written
        if collect:
            doors.sync_values(self.engine)
        self.store.change(added=added, removed=job.tables)
        with self.store.mutex:
            made = [self.store.handles[meta.number] for meta in added if meta.number in self.store.handles]
        for replaced in (handle for run in sources for handle in run):
            if self._cancel.is_set() or len(made) < len(added):      # another compaction replaced some already
                break
            hand_over(replaced, made)

    def _write(self, partition: int, sources: list[Any], target_bytes: int, snapshots: list[int], horizon: int,
               **more: Any) -> CompactionResult:
        # A range delete is in every partition, and readers take those of all together: as long as another partition
        # has any, what is newer than they are must show it. First the memtables, as they become tables.
        elsewhere = doors.has_tombstones(self.engine, partition) or any(
            table.tombstone_count for table in self.store.tree.tables() if table.partition != partition)
        return write_tables(
            self.store.file_system, self.store.directory, sources,
            next_number=lambda: doors.take_file_number(self.engine), block_bytes=self.options.block_bytes,
            compress=self.options.compression == "lz4", target_bytes=target_bytes, snapshots=snapshots,
            horizon=horizon, forget_ts=not elsewhere, **more)

    def compact_all(self) -> None:
        """Everything that is in tables now goes to the bottom level; runs in the calling thread, beside the others."""
        with self.store.mutex:
            before, until_ts = self.store.tree.next_file_number, doors.visible_ts(self.engine)
        for partition in range(self.store.manifest.partitions):
            while True:
                self.store.check_usable()
                with self.store.mutex:
                    levels = self.store.tree.partitions[partition]
                    job = picker.pick_full(partition, levels, self.options, before=before, until_ts=until_ts,
                                           busy=self._busy)
                    if job is None and self._busy:
                        self._idle.wait(1.0)
                        continue
                    if job is None:
                        break
                    self._busy.update(table.number for table in job.tables)
                try:
                    self._run(job)
                except CompactionCancelled:
                    raise DatabaseClosed from None

    def is_free(self, partition: int, smallest: bytes, largest: bytes) -> bool:
        """Whether no compaction under way makes tables that may overlap the range; store.mutex held."""
        busy = [table for levels in self.store.tree.partitions[partition] for table in levels
                if table.number in self._busy]
        return not busy or largest < min(table.smallest for table in busy) or smallest > max(
            table.largest for table in busy)

    def set_pressure(self) -> None:
        """Slows writers down while compaction is behind."""
        delay, stopped = 0.0, False
        for levels in self.store.tree.partitions:
            wanted = picker.write_delay(len(levels[0]), picker.pending_bytes(levels, self.options), self.options)
            if wanted == "stop":
                stopped = True
            else:
                delay = max(delay, wanted)
        doors.set_back_pressure(self.engine, round(delay * 1e9 / 1024), stopped)
        self._is_stopped = stopped
        if self._errors:
            self._tell_writers()

    # ---------------------------------------------------------------- log

    def _log_loop(self) -> None:
        interval = self.options.durability == "interval"
        timeout_ms = self.options.sync_interval_ms if interval else 60_000
        while not doors.wait_for_work(self.engine, doors.LOG, timeout_ms) & doors.STOP:
            while self._attempt("log", self._keep_log):
                if self._cancel.is_set():
                    return

    def _keep_log(self) -> bool:
        if self.options.durability == "interval":
            doors.sync(self.engine)
        doors.prepare_log(self.engine)
        limit = LOG_SEGMENTS_KEPT_FACTOR * max(self.options.memtable_bytes, self.options.log_segment_bytes)
        if doors.log_length(self.engine) > limit:
            _, partition = doors.oldest_log_segment(self.engine)
            if partition is not None:                            # a partition that is rarely written keeps the log
                doors.rotate(self.engine, partition)
        return False

    def figures(self) -> dict[str, Any]:
        return {"flushes": self.flush_count, "flushed_bytes": self.flushed_bytes,
                "compactions": self.compaction_count, "compacted_bytes": self.compacted_bytes,
                "compaction_seconds": self.compaction_seconds,
                "background_error": next((str(error) for error in list(self._errors.values())), None)}


def _ranges(tables: Any) -> list[tuple[bytes, bytes]]:
    """Sorted, disjoint hulls of the tables' key ranges."""
    ranges: list[tuple[bytes, bytes]] = []
    for table in sorted(tables, key=lambda table: table.smallest):
        if ranges and table.smallest <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], table.largest))
        else:
            ranges.append((table.smallest, table.largest))
    return ranges
