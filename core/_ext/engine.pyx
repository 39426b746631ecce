"""The engine: one log, one cache and one view over all partitions; commits, snapshots, exchange of views.

Why readers need no lock. All that a read touches hangs on one pointer, the view. A reader announces
itself (guard.pxd), loads the view and then the newest visible timestamp, in this order: a view
installed by a compaction may lack versions that only readers older than its garbage-collection
horizon could see, and a timestamp loaded after the view is never older than that horizon.

Why a commit is atomic. Its writes are one log record and carry one timestamp, larger than any that a
reader may use until `visible_ts` moves; it moves when they are all in the memtables and, in durability
"commit", on disk. Commits are validated and stamped one at a time under the commit lock: that order
is the serial order. The waiting for the disk happens outside the lock, shared by all who wait.
"""
cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from .batch cimport Operation, operation_get
from .block cimport KIND_POINTER, KIND_RANGE_DELETE
from .cache cimport cache_free, cache_new, cache_set_budget
from .files cimport FileSystem
from .guard cimport guard_defer, guard_enter, guard_exit, guard_free, guard_new, guard_synchronize
from .hashing cimport key_hash
from .log cimport log_append, log_close, log_current_segment, log_open, log_wait_durable
from .memtable cimport (MEMTABLE_MIN_CAPACITY, Memtable, memtable_add_tombstone, memtable_defer_order,
                        memtable_entry_bytes, memtable_insert, memtable_new, memtable_release, memtable_restore_order)
from .platform cimport (add_u32, add_u64, coarse_unix_ms, condition_broadcast, condition_destroy, condition_init,
                        condition_wait_ms, full_fence, get_u64, load_u32, load_u64, monotonic_ns, mutex_destroy,
                        mutex_init, mutex_lock, mutex_trylock, mutex_unlock, sleep_us, store_ptr, store_u32, store_u64,
                        sub_u32, watch_forks)
from .read_set cimport read_set_key, read_set_key_count, read_set_range, read_set_range_count
from .status cimport (BUSY, CLOSED, CONFLICT, CORRUPTION, FAILED, FORKED, INVALID, NOT_FOUND, NO_MEMORY, NO_OFFSET,
                      SNAPSHOT_TOO_OLD, TOO_LARGE, error_detail, fail, raise_status)
from .table cimport table_cache_free, table_cache_new
from .values cimport ValuePointer, value_log_adopt, value_log_close, value_log_new, value_log_read, value_log_sync
from .view cimport Partition, View, view_changed_key, view_changed_range, view_new, view_release, view_with_memtable

cdef extern from *:
    """
    static const uint32_t *phantomdb_fork_counter(void) { return &phantomdb_fork_generation; }
    """
    const uint32_t *phantomdb_fork_counter() noexcept nogil

watch_forks()

cdef enum:
    DELAY_GRAIN_NS = 1000000         # back-pressure sleeps in steps of a millisecond, not for each put
    MAX_PARTITIONS = 256
    MAX_VALUE_BYTES = 1 << 30        # core/limits.py has the same


cdef void _free_view(void *view) noexcept nogil:
    view_release(<View *> view)


cdef uint64_t _next_number(void *context) noexcept nogil:
    return add_u64(<uint64_t *> context, 1)


cdef int _replay(void *context, uint64_t segment, uint64_t commit_ts, const char *payload,
                 size_t size) noexcept nogil:
    return (<Engine> context).replay_record(segment, commit_ts, payload, size)


@cython.no_gc_clear                  # its end needs the file system, also inside a dying cycle
cdef class Engine:
    def __cinit__(self, FileSystem file_system not None, str directory not None, *, uint32_t partitions,
                  uint64_t memtable_bytes, uint64_t cache_bytes, size_t block_bytes, uint32_t max_open_tables,
                  int durability, size_t value_threshold, uint64_t value_file_bytes, uint64_t log_segment_bytes,
                  uint64_t next_file_number, uint64_t last_ts, uint64_t gc_floor_ts):
        cdef uint32_t i
        cdef View *view
        cdef bytes path = directory.encode()
        self.file_system, self.directory = file_system, directory
        self.partition_count, self.memtable_bytes, self.cache_bytes = partitions, memtable_bytes, cache_bytes
        self.log_segment_bytes, self.durability, self.value_threshold = log_segment_bytes, durability, value_threshold
        self.fork_counter = phantomdb_fork_counter()
        self.fork_stamp = self.fork_counter[0]
        self.next_file_number = next_file_number
        # Never 0, not even in a new database: to readers 0 means "the newest".
        self.last_ts = self.visible_ts = max(last_ts, <uint64_t> TIMESTAMP_STEP)
        self.gc_floor_ts = gc_floor_ts
        self.closed = 1                                     # until the log is open
        self.ingests = []
        mutex_init(&self.commit_mutex)
        condition_init(&self.room_condition)
        mutex_init(&self.snapshot_mutex)
        mutex_init(&self.work_mutex)
        condition_init(&self.work_condition)
        self.guard = guard_new()
        if self.guard != NULL:
            self.cache = cache_new(cache_bytes, self.guard, block_bytes)
        if self.cache != NULL:
            self.tables = table_cache_new(self.cache, self.guard, &file_system.handle, max_open_tables)
        if self.tables == NULL:
            raise MemoryError()
        self.values = value_log_new(&file_system.handle, path, value_file_bytes, _next_number,
                                    &self.next_file_number)
        view = view_new(partitions)
        if self.values == NULL or view == NULL:
            raise MemoryError()
        self.view = view

    def __dealloc__(self):
        # No reader is left: whoever could read holds a reference to this object.
        if self.fork_counter != NULL and self.fork_counter[0] != self.fork_stamp:
            return                                          # a child must not touch the parent's files
        if self.log != NULL:
            log_close(self.log, False)
        if self.view != NULL:
            view_release(self.view)
        if self.values != NULL:
            value_log_close(self.values)
        if self.guard != NULL:
            guard_free(self.guard)                          # destroys the last tables, which need what follows
        if self.tables != NULL:
            table_cache_free(self.tables)
        if self.cache != NULL:
            cache_free(self.cache)
        free(self.snapshots)
        free(self.replayed_values)
        mutex_destroy(&self.commit_mutex)
        condition_destroy(&self.room_condition)
        mutex_destroy(&self.snapshot_mutex)
        mutex_destroy(&self.work_mutex)
        condition_destroy(&self.work_condition)

    # ---------------------------------------------------------------- small questions

    cdef int check_usable(self) noexcept nogil:
        if self.fork_counter[0] != self.fork_stamp:
            return fail(FORKED, NULL, NULL, <uint64_t> NO_OFFSET)
        if load_u32(&self.closed):
            return fail(CLOSED, NULL, NULL, <uint64_t> NO_OFFSET)
        return 0

    cdef uint32_t partition_of(self, uint32_t slot) noexcept nogil:
        return (slot * self.partition_count) >> 16

    cdef void wake(self, uint32_t flags) noexcept nogil:
        mutex_lock(&self.work_mutex)
        self.work |= flags
        condition_broadcast(&self.work_condition)
        mutex_unlock(&self.work_mutex)

    # ---------------------------------------------------------------- commit

    cdef void _replace_view(self, View *view) noexcept nogil:
        """Commit lock held. Readers of the old view may still be inside the guard."""
        cdef View *old = self.view
        store_ptr(<void **> &self.view, view)
        guard_defer(self.guard, _free_view, old, 1 << 16)
        self._lend_unused_memory()

    cdef void _lend_unused_memory(self) noexcept nogil:
        """Commit lock held. What memtables may take and do not is the cache's for now."""
        cdef uint64_t unused = self.memtable_bytes * MAX_MEMTABLES * self.partition_count
        cdef uint64_t taken
        cdef uint32_t i, j
        if self.cache_bytes == 0:                           # a cache was not wanted
            return
        for i in range(self.partition_count):
            for j in range(self.view.partitions[i].memtable_count):
                taken = self.view.partitions[i].memtables[j].capacity
                unused -= min(taken, unused)                # recovery may make larger ones
        cache_set_budget(self.cache, self.cache_bytes + unused)

    cdef int _rotate(self, uint32_t partition, uint64_t capacity) noexcept nogil:
        """Commit lock held: the active memtable becomes immutable, a fresh one takes the writes."""
        cdef Memtable *fresh = memtable_new(capacity)
        cdef View *view
        if fresh == NULL:
            return fail(NO_MEMORY, "memtable", NULL, <uint64_t> NO_OFFSET)
        fresh.first_value_file = <uint64_t> -1              # it points into none yet
        fresh.first_log_segment = log_current_segment(self.log) if self.log != NULL else 0
        if self.log == NULL:                                # recovery sorts once, at its end
            memtable_defer_order(fresh)
        view = view_with_memtable(self.view, partition, fresh)
        memtable_release(fresh)                             # the view holds it now
        if view == NULL:
            return fail(NO_MEMORY, "view", NULL, <uint64_t> NO_OFFSET)
        self._replace_view(view)
        self.wake(WORK_FLUSH)
        return 0

    cdef int _make_room(self, uint32_t partition, size_t bytes_needed, bint may_wait) noexcept nogil:
        """Commit lock held. 0: the active memtable has room. BUSY: waiting is needed (or was not allowed)."""
        cdef Partition *place = &self.view.partitions[partition]
        cdef Memtable *active = place.memtables[0]
        cdef uint64_t capacity = self.memtable_bytes, taken, began
        cdef uint32_t i
        cdef int status
        if active.used + bytes_needed <= active.capacity:
            return 0
        if self.log == NULL:                                # recovery: nobody could wait, and what was
            # acknowledged under a larger budget must still fit
            return self._rotate(partition, max(capacity, bytes_needed + bytes_needed // 4))
        if bytes_needed > capacity - capacity // 8:         # a transaction that takes a memtable of its own
            capacity = bytes_needed + bytes_needed // 7 + MEMTABLE_MIN_CAPACITY
        taken = capacity
        for i in range(place.memtable_count):
            taken += place.memtables[i].capacity
        if taken > MAX_MEMTABLES * self.memtable_bytes and place.memtable_count == 1:
            status = self._rotate(partition, self.memtable_bytes)       # the active one is such a large one: it goes
            return status if status < 0 else BUSY
        if taken > MAX_MEMTABLES * self.memtable_bytes or load_u32(&self.stopped):
            if self.background_status < 0:                  # an error now is better than waiting for ever
                return fail(self.background_status, "writing waits for a flush that fails", NULL,
                            <uint64_t> NO_OFFSET)
            if not may_wait:
                return BUSY
            began = monotonic_ns()
            self.wake(WORK_FLUSH)
            condition_wait_ms(&self.room_condition, &self.commit_mutex, 100)
            self.stall_ns += monotonic_ns() - began
            return BUSY                                     # the world may have changed: look again
        return self._rotate(partition, capacity)

    cdef int _room_for_batch(self, const char *payload, size_t size, bint may_wait) noexcept nogil:
        """Commit lock held: room for every operation in the partition it belongs to."""
        cdef size_t needed[MAX_PARTITIONS]
        cdef const char *p = payload
        cdef const char *end = payload + size
        cdef Operation operation
        cdef uint32_t i
        cdef int status
        for i in range(self.partition_count):
            needed[i] = 0
        while p != end:
            p = operation_get(p, end, &operation)
            if p == NULL:
                return fail(INVALID, "malformed batch", NULL, <uint64_t> NO_OFFSET)
            if operation.kind != KIND_RANGE_DELETE:
                needed[self.partition_of(operation.slot)] += memtable_entry_bytes(operation.key_size,
                                                                                 operation.value_size)
        for i in range(self.partition_count):
            if self.log != NULL and needed[i] > self.memtable_bytes * 5 // 2:     # 5/8 of all memtables
                return fail(TOO_LARGE, "the transaction does not fit the memtables; commit in smaller parts or open "
                            "with a larger memtable_bytes", NULL, <uint64_t> NO_OFFSET)
        for i in range(self.partition_count):
            if needed[i]:
                status = self._make_room(i, needed[i], may_wait)
                if status < 0:
                    return status
        return 0

    cdef int _validate(self, Validation *validation, const char *payload, size_t size) noexcept nogil:
        """Commit lock held, inside the guard: has anything this transaction relied on changed since its snapshot?"""
        cdef const char *p = payload
        cdef const char *end = payload + size
        cdef const char *key
        cdef const char *stop
        cdef size_t key_size, stop_size, i
        cdef uint64_t hash_value
        cdef uint32_t slot
        cdef Operation operation
        cdef int changed = 0
        if validation.reads != NULL:
            for i in range(read_set_key_count(validation.reads)):
                read_set_key(validation.reads, i, &key, &key_size, &hash_value, &slot)
                changed = view_changed_key(self.view, self.partition_of(slot), key, key_size, hash_value,
                                           validation.since)
                if changed != 0:
                    break
            if changed == 0:
                for i in range(read_set_range_count(validation.reads)):
                    read_set_range(validation.reads, i, &key, &key_size, &stop, &stop_size)
                    changed = view_changed_range(self.view, key, key_size, stop, stop_size, validation.since)
                    if changed != 0:
                        break
        if changed == 0 and validation.written_keys:
            while p != end:
                p = operation_get(p, end, &operation)
                if operation.kind == KIND_RANGE_DELETE:
                    changed = view_changed_range(self.view, operation.key, operation.key_size, operation.value,
                                                 operation.value_size, validation.since)
                else:
                    changed = view_changed_key(self.view, self.partition_of(operation.slot), operation.key,
                                               operation.key_size, key_hash(operation.key, operation.key_size),
                                               validation.since)
                if changed != 0:
                    break
        if changed == 1:
            return fail(CONFLICT, NULL, NULL, <uint64_t> NO_OFFSET)
        return changed

    cdef bint _is_flushed(self, uint32_t partition, uint64_t ts) noexcept nogil:
        """Whether a replayed write is in tables already, or was there and has been dropped since."""
        return self.flushed_ts != NULL and ts <= self.flushed_ts[partition]

    cdef int _apply(self, const char *payload, size_t size, uint64_t ts) noexcept nogil:
        """Commit lock held, room made: the operations go into the memtables."""
        cdef const char *p = payload
        cdef const char *end = payload + size
        cdef Operation operation
        cdef Memtable *active
        cdef uint32_t i
        cdef int status
        while p != end:
            p = operation_get(p, end, &operation)
            if operation.kind == KIND_RANGE_DELETE:
                for i in range(self.partition_count):
                    if self._is_flushed(i, ts):
                        continue
                    status = memtable_add_tombstone(self.view.partitions[i].memtables[0], operation.key,
                                                    operation.key_size, operation.value, operation.value_size, ts)
                    if status < 0:
                        return status
                continue
            if self._is_flushed(self.partition_of(operation.slot), ts):
                continue
            active = self.view.partitions[self.partition_of(operation.slot)].memtables[0]
            if operation.kind == KIND_POINTER and get_u64(operation.value) < active.first_value_file:
                active.first_value_file = get_u64(operation.value)
            status = memtable_insert(active, operation.key, operation.key_size,
                                     key_hash(operation.key, operation.key_size), ts, operation.kind,
                                     operation.value, operation.value_size)
            if status < 0:
                return status
        return 0

    cdef int _commit_locked(self, const char *payload, size_t size, Validation *validation, bint may_wait,
                            uint64_t *commit_ts, uint64_t *end_lsn) noexcept nogil:
        cdef uint64_t ts, now
        cdef uint32_t token
        cdef int status
        while True:
            status = self.check_usable()
            if status == 0 and load_u32(&self.failed):
                status = fail(FAILED, NULL, NULL, <uint64_t> NO_OFFSET)
            if status == 0 and self.frozen:
                if may_wait:
                    condition_wait_ms(&self.room_condition, &self.commit_mutex, 100)
                status = BUSY
            if status == 0:
                status = self._room_for_batch(payload, size, may_wait)
            if status == 0:
                break
            if status != BUSY or not may_wait:
                return status
        now = coarse_unix_ms() << TIMESTAMP_LOGICAL_BITS
        ts = self.last_ts + TIMESTAMP_STEP
        if now > ts:
            ts = now
        if validation != NULL:
            token = guard_enter(self.guard)                 # the commit lock keeps the view, but not its blocks
            status = self._validate(validation, payload, size)
            guard_exit(self.guard, token)
            if status < 0:
                return status
        status = log_append(self.log, payload, size, ts, end_lsn)
        if status < 0:
            return status
        if self.log.current.number != self.log_segment:
            self.log_segment = self.log.current.number
            self.wake(WORK_LOG)                             # the spare segment was taken: make another
        self.last_ts = ts
        status = self._apply(payload, size, ts)
        if status < 0:
            # The log holds what memory could not take: only a reopen brings the two together again.
            store_u32(&self.failed, 1)
            return status
        commit_ts[0] = ts
        if self.durability != DURABILITY_COMMIT:
            store_u64(&self.visible_ts, ts)
            if load_u32(&self.watchers):
                self.wake(0)
        self.commits += 1
        self.bytes_written += size
        if self.delay_ns_per_kib:
            self.delay_debt_ns += (size * self.delay_ns_per_kib) >> 10
        return 0

    cdef int commit(self, const char *payload, size_t size, Validation *validation, bint may_wait,
                    uint64_t *commit_ts, uint64_t *end_lsn) noexcept nogil:
        cdef int status
        if may_wait:
            mutex_lock(&self.commit_mutex)
        elif not mutex_trylock(&self.commit_mutex):
            return BUSY
        elif self.delay_debt_ns > DELAY_GRAIN_NS:           # the caller must first pay, without the GIL
            mutex_unlock(&self.commit_mutex)
            return BUSY
        status = self._commit_locked(payload, size, validation, may_wait, commit_ts, end_lsn)
        if status == 0 and self.durability == DURABILITY_COMMIT:
            add_u32(&self.finishing, 1)                     # close() waits for finish_commit
        mutex_unlock(&self.commit_mutex)
        return status

    cdef int finish_commit(self, uint64_t commit_ts, uint64_t end_lsn) noexcept nogil:
        cdef int status = log_wait_durable(self.log, end_lsn)
        sub_u32(&self.finishing, 1)
        if status < 0:
            store_u32(&self.failed, 1)
            return status
        # Log order is timestamp order: all older commits are on disk as well. Of many that one sync let go
        # only the first to come here finds something to do.
        if commit_ts > load_u64(&self.visible_ts):
            mutex_lock(&self.snapshot_mutex)
            if commit_ts > self.visible_ts:
                store_u64(&self.visible_ts, commit_ts)
            mutex_unlock(&self.snapshot_mutex)
        if load_u32(&self.watchers):
            self.wake(0)
        return 0

    cdef void pay_delay(self) noexcept nogil:
        cdef uint64_t debt = 0
        if self.delay_debt_ns <= DELAY_GRAIN_NS:
            return
        mutex_lock(&self.commit_mutex)
        debt = self.delay_debt_ns
        self.delay_debt_ns = 0
        mutex_unlock(&self.commit_mutex)
        if debt > 100 * DELAY_GRAIN_NS:
            debt = 100 * DELAY_GRAIN_NS
        if debt:
            sleep_us(debt // 1000)

    # ---------------------------------------------------------------- snapshots

    cdef int open_snapshot(self, uint64_t at_ts, uint64_t *ts) noexcept nogil:
        cdef uint64_t *grown
        cdef size_t i
        cdef int status = 0
        mutex_lock(&self.snapshot_mutex)
        if at_ts == 0:
            at_ts = load_u64(&self.visible_ts)
        elif at_ts < self.gc_floor_ts:
            status = SNAPSHOT_TOO_OLD                       # unless another holds it: then all it sees was kept
            for i in range(self.snapshot_count):
                if self.snapshots[i] == at_ts:
                    status = 0
                    break
            if status < 0:
                fail(SNAPSHOT_TOO_OLD, NULL, NULL, <uint64_t> NO_OFFSET)
        elif at_ts > load_u64(&self.visible_ts):
            at_ts = load_u64(&self.visible_ts)
        if status == 0 and self.snapshot_count == self.snapshot_capacity:
            grown = <uint64_t *> realloc(self.snapshots, (self.snapshot_capacity * 2 + 16) * sizeof(uint64_t))
            if grown == NULL:
                status = fail(NO_MEMORY, "snapshots", NULL, <uint64_t> NO_OFFSET)
            else:
                self.snapshots = grown
                self.snapshot_capacity = self.snapshot_capacity * 2 + 16
        if status == 0:
            self.snapshots[self.snapshot_count] = at_ts
            self.snapshot_count += 1
            ts[0] = at_ts
        mutex_unlock(&self.snapshot_mutex)
        return status

    cdef void close_snapshot(self, uint64_t ts) noexcept nogil:
        cdef size_t i
        mutex_lock(&self.snapshot_mutex)
        for i in range(self.snapshot_count):
            if self.snapshots[i] == ts:
                self.snapshot_count -= 1
                self.snapshots[i] = self.snapshots[self.snapshot_count]
                break
        mutex_unlock(&self.snapshot_mutex)

    def collectable(self, uint64_t retention_ms):
        """(sorted open snapshots, horizon): what a compaction that starts now must keep. Reads `as_of` a time
        before the horizon are refused from here on."""
        cdef uint64_t horizon, keep_ms = coarse_unix_ms()
        cdef uint64_t *copy
        cdef size_t count, i
        keep_ms = keep_ms - retention_ms if keep_ms > retention_ms else 0
        with nogil:                                         # whoever holds this lock must not wait for the GIL:
            mutex_lock(&self.snapshot_mutex)                # snapshots are closed with the GIL held
            count = self.snapshot_count
            copy = <uint64_t *> malloc((count + 1) * sizeof(uint64_t))
            horizon = load_u64(&self.visible_ts)
            if retention_ms and keep_ms << TIMESTAMP_LOGICAL_BITS < horizon:    # 0: commits of this millisecond too
                horizon = keep_ms << TIMESTAMP_LOGICAL_BITS
            if copy != NULL:
                if count:
                    memcpy(copy, self.snapshots, count * sizeof(uint64_t))
                if load_u32(&self.watchers):                # a feed's position is among the snapshots: what came
                    for i in range(count):                  # after it must stay, version by version
                        if copy[i] < horizon:
                            horizon = copy[i]
                if horizon > self.gc_floor_ts:
                    self.gc_floor_ts = horizon
                horizon = self.gc_floor_ts
            mutex_unlock(&self.snapshot_mutex)
        if copy == NULL:
            raise MemoryError()
        try:
            return sorted({copy[i] for i in range(count)}), horizon
        finally:
            free(copy)

    # ---------------------------------------------------------------- opening and closing

    cdef int _check_replayed_value(self, const Operation *operation) noexcept nogil:
        """1: the value-log record behind a replayed pointer is not there (lost with unsynced data)."""
        cdef ValuePointer pointer
        cdef char *buffer
        cdef uint64_t *grown
        cdef int status
        if operation.value_size != sizeof(ValuePointer):
            return 1
        memcpy(&pointer, operation.value, sizeof(ValuePointer))
        if pointer.value_size > MAX_VALUE_BYTES:
            return 1
        buffer = <char *> malloc(pointer.value_size + 1)
        if buffer == NULL:
            return fail(NO_MEMORY, "replay", NULL, <uint64_t> NO_OFFSET)
        status = value_log_read(self.values, &pointer, buffer)
        free(buffer)
        if status == CORRUPTION or status == NOT_FOUND:
            self.missing_value = error_detail()[0]
            return 1
        if status < 0:
            return status
        if self.replayed_value_count and self.replayed_values[self.replayed_value_count - 1] == pointer.file_number:
            return 0
        grown = <uint64_t *> realloc(self.replayed_values, (self.replayed_value_count + 1) * sizeof(uint64_t))
        if grown == NULL:
            return fail(NO_MEMORY, "replay", NULL, <uint64_t> NO_OFFSET)
        self.replayed_values = grown
        grown[self.replayed_value_count] = pointer.file_number
        self.replayed_value_count += 1
        return 0

    cdef int replay_record(self, uint64_t segment, uint64_t ts, const char *payload, size_t size) noexcept nogil:
        """One log record back into the memtables; called while the log is opened, by one thread."""
        cdef const char *p = payload
        cdef const char *end = payload + size
        cdef Operation operation
        cdef Memtable *active
        cdef uint32_t partition
        cdef int status
        while p != end:                                     # all of it is checked before any is applied
            p = operation_get(p, end, &operation)
            if p == NULL:
                return fail(CORRUPTION, "log record holds a malformed batch", NULL, <uint64_t> NO_OFFSET)
            if operation.kind == KIND_POINTER and not self._is_flushed(self.partition_of(operation.slot), ts):
                status = self._check_replayed_value(&operation)
                if status != 0:
                    return status
        status = self._room_for_batch(payload, size, False)
        if status < 0:
            return status
        for partition in range(self.partition_count):
            active = self.view.partitions[partition].memtables[0]
            if active.first_log_segment == 0:
                active.first_log_segment = segment
        status = self._apply(payload, size, ts)
        if status < 0:
            return status
        if ts > self.last_ts:
            self.last_ts = ts
        return 0

    def recover(self, uint64_t first_segment, flushed_ts not None):
        """Replays the log from `first_segment` into memtables and opens it for writing. `flushed_ts`: for each
        partition the timestamp up to which its logged writes are in tables already."""
        cdef int status = 0
        cdef uint32_t i, j
        cdef size_t k
        cdef bytes path = self.directory.encode()
        cdef const char *path_chars = path
        cdef bint zero_fill = self.durability == DURABILITY_COMMIT
        self.flushed_ts = <uint64_t *> calloc(self.partition_count, sizeof(uint64_t))
        if self.flushed_ts == NULL:
            raise MemoryError()
        for i, ts in enumerate(flushed_ts):
            self.flushed_ts[i] = ts
        with nogil:
            mutex_lock(&self.commit_mutex)
            for i in range(self.partition_count):
                status = self._rotate(i, self.memtable_bytes)
                if status < 0:
                    break
            mutex_unlock(&self.commit_mutex)
            if status == 0:
                status = log_open(&self.file_system.handle, path_chars, first_segment, self.log_segment_bytes,
                                  zero_fill, _replay, <void *> self, &self.log)
            for i in range(self.partition_count):
                for j in range(self.view.partitions[i].memtable_count):
                    if status == 0:
                        status = memtable_restore_order(self.view.partitions[i].memtables[j])
        free(self.flushed_ts)
        self.flushed_ts = NULL                              # from here on everything is new
        if status == CORRUPTION and self.missing_value.status < 0:
            error_detail()[0] = self.missing_value          # the log record is whole: what it points to is not
            error_detail().status = CORRUPTION
        with nogil:                                         # what a killed process wrote may vanish with the power:
            for k in range(self.replayed_value_count):      # it must not once log or tables count as durable
                if status == 0:
                    status = value_log_adopt(self.values, self.replayed_values[k])
            if status == 0:
                status = value_log_sync(self.values)
        if status < 0:
            raise_status(status)
        for i in range(self.partition_count):               # those without replayed writes begin here
            if self.view.partitions[i].memtables[0].first_log_segment == 0:
                self.view.partitions[i].memtables[0].first_log_segment = log_current_segment(self.log)
        self.visible_ts = self.last_ts
        store_u32(&self.closed, 0)
        return sorted({self.replayed_values[i] for i in range(self.replayed_value_count)})

    def close(self, bint remove_log):
        """Refuses all further use, waits for those inside, closes the log. `remove_log`: every write is in a table."""
        cdef int status = 0
        with nogil:
            mutex_lock(&self.commit_mutex)
            store_u32(&self.closed, 1)
            condition_broadcast(&self.room_condition)
            while load_u32(&self.finishing):
                condition_wait_ms(&self.room_condition, &self.commit_mutex, 1)
            mutex_unlock(&self.commit_mutex)
            full_fence()
            guard_synchronize(self.guard)
            if self.log != NULL:
                status = log_close(self.log, remove_log)
                self.log = NULL
        if status < 0:
            raise_status(status)

    def refuse(self):
        """From here on every call raises DatabaseClosed; background work may still finish."""
        store_u32(&self.closed, 1)

    def check(self):
        """Raises DatabaseClosed or ForkedProcess unless the engine can be used."""
        cdef int status = self.check_usable()
        if status < 0:
            raise_status(status)

    @property
    def is_usable(self):
        return self.fork_counter[0] == self.fork_stamp and not load_u32(&self.closed)

    @property
    def in_child(self):
        """Whether this is a forked child of the process that opened the engine."""
        return self.fork_counter[0] != self.fork_stamp
