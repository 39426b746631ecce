"""The change feed: committed batches in commit order, from the past if it is still known, then live.

    from_ts ----- catch up ----- T ------------ log ------------> now ... live
                  versions in (from_ts, T]      records, up to visible_ts

The log is the feed: its records are the batches, in order. When the log no longer reaches back to
`from_ts`, the versions themselves do, within the retention window: all versions newer than
`from_ts`, sorted by timestamp and grouped, are the same batches (deletes are versions too). A feed
pins its log segment and registers its position like a snapshot, so nothing it still needs is collected.

What ingest() added is not in the log. The engine lists those batches; when the feed has given out all records
before one, it takes the batch from the tables.
"""
from bisect import bisect_right
from operator import itemgetter

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc

from .batch cimport Operation, operation_get
from .block cimport KIND_DELETE, KIND_PUT, KIND_RANGE_DELETE
from .cursor cimport Cursor, RangeTombstone, compare_keys
from .engine cimport Engine
from .guard cimport guard_enter, guard_exit
from .keys cimport PREFIX_BYTES
from .keyspace cimport load_value, read_key
from .log cimport log_current_segment, log_end_lsn, log_oldest_segment, log_pin, log_unpin
from .log_reader cimport LogCursor, log_cursor_close, log_cursor_next, log_cursor_open
from .merge cimport merge_cursor
from .platform cimport (add_u32, condition_wait_ms, load_ptr, load_u32, load_u64, monotonic_ns, mutex_lock,
                        mutex_unlock, sub_u32)
from .status cimport CLOSED, FEED_LOST, NO_MEMORY, NO_OFFSET, fail, raise_status
from .view cimport View, view_release, view_retain, view_source_limit, view_sources, view_tombstones


cdef enum:
    SYNC_WAIT_MS = 10                # between looks whether a sync that was under way has ended


@cython.no_gc_clear                  # its end needs the engine, also inside a dying cycle
cdef class FeedCursor:
    """Batches of one keyspace as (timestamp, [(key, value or None, stop or None), ...]); `stop` marks a range
    delete of [key, stop). For one thread at a time; core/feed.py is what programs use."""

    cdef readonly Engine engine
    cdef uint8_t prefix
    cdef LogCursor *cursor
    cdef uint64_t pinned_segment
    cdef bint is_pinned
    cdef bint has_record                 # cursor.record was read but is not yet visible
    cdef readonly uint64_t position_ts   # all batches up to here were given out; of a new feed: where it begins
    cdef bint is_registered
    cdef bint is_watching                # counted in engine.watchers
    cdef list caught_up                  # batches taken from versions, newest first; None: none left

    def __cinit__(self, Engine engine not None, uint8_t prefix, object from_ts, uint64_t complete_from_ts):
        """`complete_from_ts`: the log holds every batch after this timestamp."""
        cdef int status
        self.engine, self.prefix = engine, prefix
        self.is_watching = True
        add_u32(&engine.watchers, 1)
        self._pin(from_ts is not None and complete_from_ts <= from_ts)
        with nogil:
            status = engine.open_snapshot(0, &self.position_ts)          # now, and safe from collection
        if status < 0:
            raise_status(status)
        self.is_registered = True
        if from_ts is not None and from_ts < self.position_ts:
            if complete_from_ts <= from_ts:
                self.position_ts, until = from_ts, self.position_ts
                engine.close_snapshot(until)
                with nogil:
                    status = engine.open_snapshot(self.position_ts, &self.position_ts)
                if status < 0:                                           # too old to keep versions for: the log has
                    self.is_registered = False                           # them all the same
            else:
                self._catch_up(from_ts, self.position_ts, bytes([prefix]), None)

    def __dealloc__(self):
        if self.engine is not None:
            self.close()

    cdef int _pin(self, bint from_oldest) except -1:
        """Stands before the first record of the oldest or of the current segment. What older segments hold is
        visible when it returns, so that a feed from now on does not miss a commit that waits for its sync."""
        cdef bytes path = self.engine.directory.encode()
        cdef const char *directory = path
        cdef uint64_t appended_ts = 0
        cdef uint32_t token
        cdef int status
        with nogil:
            token = guard_enter(self.engine.guard)          # close() waits for those inside
            mutex_lock(&self.engine.commit_mutex)
            status = self.engine.check_usable()
            if status == 0:
                appended_ts = self.engine.last_ts
                self.pinned_segment = (log_oldest_segment(self.engine.log) if from_oldest
                                       else log_current_segment(self.engine.log))
                status = log_pin(self.engine.log, self.pinned_segment)
                self.is_pinned = status == 0
            mutex_unlock(&self.engine.commit_mutex)
            if status == 0:
                status = log_cursor_open(&self.engine.file_system.handle, directory, self.pinned_segment, &self.cursor)
            guard_exit(self.engine.guard, token)
            if status == 0:
                mutex_lock(&self.engine.work_mutex)
                while (load_u64(&self.engine.visible_ts) < appended_ts and not load_u32(&self.engine.failed)
                       and self.engine.check_usable() == 0):
                    condition_wait_ms(&self.engine.work_condition, &self.engine.work_mutex, SYNC_WAIT_MS)
                mutex_unlock(&self.engine.work_mutex)
        if status < 0:
            raise_status(status)
        return 0

    cdef void _unpin(self) noexcept nogil:
        cdef uint32_t token = guard_enter(self.engine.guard)
        if self.is_pinned and self.engine.check_usable() == 0:
            log_unpin(self.engine.log, self.pinned_segment)
        guard_exit(self.engine.guard, token)
        self.is_pinned = False

    def close(self):
        """Lets go of log and versions."""
        log_cursor_close(self.cursor)
        self.cursor = NULL
        with nogil:                                         # who has the log's lock may wait for the GIL
            self._unpin()
        if self.is_registered:
            self.engine.close_snapshot(self.position_ts)
            self.is_registered = False
        if self.is_watching:
            self.is_watching = False
            sub_u32(&self.engine.watchers, 1)

    cdef int _catch_up(self, uint64_t from_ts, uint64_t until_ts, bytes first, bytes last) except -1:
        """All versions in (from_ts, until_ts] of internal keys from `first` to `last` (None: the keyspace's last)."""
        cdef View *view
        cdef Cursor **sources
        cdef Cursor *merged
        cdef RangeTombstone *tombstones = NULL
        cdef size_t tombstone_count = 0, i
        cdef uint32_t token
        cdef int moved
        cdef dict batches = {}
        cdef const char *first_key = first
        cdef const char *last_key = NULL
        cdef size_t first_size = len(first), last_size = 0
        if last is not None:
            last_key, last_size = last, len(last)
        token = guard_enter(self.engine.guard)
        view = view_retain(<View *> load_ptr(<void **> &self.engine.view))
        guard_exit(self.engine.guard, token)
        if from_ts < load_u64(&self.engine.gc_floor_ts):    # after the view: what a compaction before it dropped is
            view_release(view)                              # older than the floor that stands now
            fail(FEED_LOST, NULL, NULL, <uint64_t> NO_OFFSET)
            raise_status(FEED_LOST)
        sources = <Cursor **> malloc((view_source_limit(view) + 1) * sizeof(Cursor *))
        merged = NULL
        try:
            with nogil:
                moved = view_sources(view, NULL, 0, NULL, 0, 0, 131072, sources) if sources != NULL else NO_MEMORY
                if moved >= 0:
                    merged = merge_cursor(sources, moved)
                    moved = NO_MEMORY if merged == NULL else merged.seek(merged, first_key, first_size)
            while moved == 1 and merged.key_size and <uint8_t> merged.key[0] == self.prefix:
                if last_key != NULL and compare_keys(merged.key, merged.key_size, last_key, last_size) > 0:
                    break
                if from_ts < merged.ts <= until_ts:
                    value = None
                    if merged.kind != KIND_DELETE:
                        value = load_value(self.engine, merged.kind, merged.value, merged.value_size)
                    batches.setdefault(merged.ts, []).append(
                        (merged.key[PREFIX_BYTES:merged.key_size], value, None))
                with nogil:
                    moved = merged.next(merged)
            if moved >= 0:
                moved = view_tombstones(view, &tombstones, &tombstone_count)
            if moved < 0:
                raise_status(moved)
            for i in range(tombstone_count):
                if from_ts < tombstones[i].ts <= until_ts and <uint8_t> tombstones[i].start[0] == self.prefix:
                    # first in its batch: what the batch wrote inside the range survives it
                    batches.setdefault(tombstones[i].ts, []).insert(0, (
                        tombstones[i].start[PREFIX_BYTES:tombstones[i].start_size], None,
                        tombstones[i].stop[PREFIX_BYTES:tombstones[i].stop_size]))
        finally:
            free(tombstones)
            if merged != NULL:
                merged.free(merged)
            free(sources)
            view_release(view)
        self.caught_up = sorted(batches.items(), reverse=True)
        return 0

    cdef object _value(self, const Operation *operation, uint64_t ts):
        """The value a record wrote; when its value file was collected since, the version itself still has it."""
        if operation.kind == KIND_PUT:
            return operation.value[:operation.value_size]
        key = operation.key[PREFIX_BYTES:operation.key_size]
        return read_key(self.engine, self.prefix, key, ts)

    cdef list _operations(self):
        """The keyspace's share of the record the cursor stands on."""
        cdef const char *p = self.cursor.record.payload
        cdef const char *end = p + self.cursor.record.payload_size
        cdef Operation operation
        cdef list changes = []
        while p != end:
            p = operation_get(p, end, &operation)
            if p == NULL:
                raise ValueError("a log record holds a malformed batch")
            if operation.key_size == 0 or <uint8_t> operation.key[0] != self.prefix:
                continue
            key = operation.key[PREFIX_BYTES:operation.key_size]
            if operation.kind == KIND_RANGE_DELETE:
                changes.append((key, None, operation.value[PREFIX_BYTES:operation.value_size]))
            elif operation.kind == KIND_DELETE:
                changes.append((key, None, None))
            else:
                changes.append((key, self._value(&operation, self.cursor.record.commit_ts), None))
        return changes

    cdef int _move_position(self, uint64_t ts) except -1:
        cdef uint64_t registered
        cdef int status
        status = self.engine.open_snapshot(ts, &registered)     # before the old one goes: else a compaction that
        if self.is_registered:                                  # starts in between would keep neither
            self.engine.close_snapshot(self.position_ts)
        self.is_registered = status == 0
        self.position_ts = ts
        return 0

    cdef tuple _next_ingest(self, uint64_t visible):
        """The first ingest after the position, if `visible` includes it."""
        cdef list ingests = self.engine.ingests
        if not ingests or ingests[len(ingests) - 1][0] <= self.position_ts:
            return None
        ingest = ingests[bisect_right(ingests, self.position_ts, key=itemgetter(0))]
        return ingest if ingest[0] <= visible else None

    def next_batch(self):
        """The next committed batch, or None when there is none yet."""
        cdef uint64_t visible, ingest_ts
        cdef uint32_t token
        cdef tuple ingest
        cdef int status = self.engine.check_usable()
        if status < 0:
            raise_status(status)
        if self.cursor == NULL:
            fail(CLOSED, "the feed is closed", NULL, <uint64_t> NO_OFFSET)
            raise_status(CLOSED)
        while True:
            if self.caught_up:
                return self.caught_up.pop()
            visible = load_u64(&self.engine.visible_ts)
            ingest = self._next_ingest(visible)
            if not self.has_record:
                with nogil:
                    token = guard_enter(self.engine.guard)  # close() waits for those inside
                    status = self.engine.check_usable()
                    if status == 0:
                        status = log_cursor_next(self.cursor, log_end_lsn(self.engine.log))
                    if status == 1:
                        self.has_record = True
                        self._follow_segment()
                    guard_exit(self.engine.guard, token)
                if status < 0:
                    raise_status(status)
            if ingest is not None:
                ingest_ts, first, last = ingest
                if not self.has_record or self.cursor.record.commit_ts > ingest_ts:
                    if <uint8_t> first[0] == self.prefix:
                        self._catch_up(ingest_ts - 1, ingest_ts, first, last)
                    self._move_position(ingest_ts)
                    continue
            if not self.has_record or self.cursor.record.commit_ts > visible:
                return None
            self.has_record = False
            if self.cursor.record.commit_ts <= self.position_ts:
                continue
            changes = self._operations()
            self._move_position(self.cursor.record.commit_ts)
            if changes:
                return self.position_ts, changes

    cdef void _follow_segment(self) noexcept nogil:
        """The cursor went on to another segment: hold that one instead."""
        cdef uint64_t now = self.cursor.reader.header.number
        if now != self.pinned_segment:
            if log_pin(self.engine.log, now) == 0:
                log_unpin(self.engine.log, self.pinned_segment)
                self.pinned_segment = now

    def wait(self, uint64_t timeout_ms):
        """Waits until something newer than the last batch may be there, or the time is up."""
        cdef uint64_t deadline = monotonic_ns() + timeout_ms * 1000000
        with nogil:
            mutex_lock(&self.engine.work_mutex)
            while (load_u64(&self.engine.visible_ts) <= self.position_ts and monotonic_ns() < deadline
                   and self.engine.check_usable() == 0):
                condition_wait_ms(&self.engine.work_condition, &self.engine.work_mutex,
                                  (deadline - monotonic_ns()) // 1000000 + 1)
            mutex_unlock(&self.engine.work_mutex)
