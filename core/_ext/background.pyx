"""The doors between the engine and its background work, which is plain Python (core/background.py).

Everything here runs a few times a second at most: waiting for something to do, handing out immutable
memtables, installing the tables a flush or compaction made, log housekeeping, figures for stats().
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, malloc

from .compaction cimport ValueLogHandle
from .engine cimport TIMESTAMP_LOGICAL_BITS, TIMESTAMP_STEP, Engine
from .guard cimport guard_poll, guard_synchronize
from .log cimport (log_bytes, log_current_segment, log_durable_lsn, log_end_lsn, log_prepare, log_release,
                   log_wait_durable)
from .memtable cimport Memtable, MemtableHandle, memtable_retain
from .platform cimport (add_u64, coarse_unix_ms, condition_broadcast, condition_wait_ms, load_u32, load_u64, mutex_lock,
                        mutex_unlock, store_u32, store_u64)
from .status cimport raise_status
from .table cimport Table, TableCacheHandle, TableHandle, table_retain
from .values cimport value_log_remove, value_log_roll, value_log_sync
from .view cimport Level, Partition, View, view_gather_tombstones, view_new, view_release

FLUSH, COMPACT, LOG, STOP = 1, 2, 4, 8          # WorkFlag of engine.pxd


def wait_for_work(Engine engine not None, uint32_t mask, uint64_t timeout_ms):
    """Waits until one of the work flags in `mask` is set, clears and returns them; 0 when the time is up.
    STOP is returned without being cleared."""
    cdef uint32_t got
    with nogil:
        mutex_lock(&engine.work_mutex)
        if not engine.work & (mask | 8):
            condition_wait_ms(&engine.work_condition, &engine.work_mutex, timeout_ms)
        got = engine.work & (mask | 8)
        engine.work &= ~(mask & ~<uint32_t> 8)
        mutex_unlock(&engine.work_mutex)
    return got


def wake(Engine engine not None, uint32_t flags):
    """Sets work flags and wakes the threads that wait for them."""
    with nogil:
        engine.wake(flags)


def take_file_number(Engine engine not None):
    """A file number never used before in this database."""
    return add_u64(&engine.next_file_number, 1)


def next_file_number(Engine engine not None):
    """The number the next file will get (what the manifest must remember)."""
    return load_u64(&engine.next_file_number)


def immutable_memtables(Engine engine not None, uint32_t partition):
    """Memtables that wait to be flushed, oldest first."""
    cdef Partition *place
    cdef uint32_t i
    handles = []
    with nogil:
        mutex_lock(&engine.commit_mutex)
    place = &engine.view.partitions[partition]
    for i in range(place.memtable_count - 1, 0, -1):
        handles.append(MemtableHandle.wrap(place.memtables[i]))
    mutex_unlock(&engine.commit_mutex)
    return handles


def rotate(Engine engine not None, uint32_t partition):
    """Makes the active memtable immutable so that it can be flushed; False when it is empty."""
    cdef int status = 0
    cdef Memtable *active
    with nogil:
        mutex_lock(&engine.commit_mutex)
        active = engine.view.partitions[partition].memtables[0]
        if active.entry_count or active.tombstone_count:
            status = engine._rotate(partition, engine.memtable_bytes)
            if status == 0:
                status = 1
        mutex_unlock(&engine.commit_mutex)
    if status < 0:
        raise_status(status)
    return status == 1


def cut(Engine engine not None):
    """For each partition its memtables with all that is committed now, oldest first, and nothing later: a batch over
    several partitions is in them whole or not at all."""
    cdef Partition *place
    cdef uint32_t i, j
    cdef int status = 0
    with nogil:
        mutex_lock(&engine.commit_mutex)
        for i in range(engine.partition_count):
            place = &engine.view.partitions[i]
            if status == 0 and (place.memtables[0].entry_count or place.memtables[0].tombstone_count):
                status = engine._rotate(i, engine.memtable_bytes)
    try:
        if status < 0:
            raise_status(status)
        handles = [[] for i in range(engine.partition_count)]
        for i in range(engine.partition_count):
            place = &engine.view.partitions[i]
            for j in range(place.memtable_count - 1, 0, -1):
                handles[i].append(MemtableHandle.wrap(place.memtables[j]))
        return handles
    finally:
        mutex_unlock(&engine.commit_mutex)


def freeze(Engine engine not None):
    """Commits wait from here on until thaw()."""
    cdef int status
    with nogil:
        mutex_lock(&engine.commit_mutex)
        status = engine.check_usable()
        if status == 0:
            engine.frozen = True
        mutex_unlock(&engine.commit_mutex)
    if status < 0:
        raise_status(status)


def thaw(Engine engine not None):
    """Commits go on."""
    with nogil:
        mutex_lock(&engine.commit_mutex)
        engine.frozen = False
        condition_broadcast(&engine.room_condition)
        mutex_unlock(&engine.commit_mutex)


def reserve_ts(Engine engine not None):
    """A commit timestamp larger than all before, which no commit will get."""
    cdef uint64_t ts
    with nogil:
        mutex_lock(&engine.commit_mutex)
        ts = max(engine.last_ts + TIMESTAMP_STEP, coarse_unix_ms() << TIMESTAMP_LOGICAL_BITS)
        engine.last_ts = ts
        mutex_unlock(&engine.commit_mutex)
    return ts


def publish_ingest(Engine engine not None, uint64_t ts, bytes first, bytes last):
    """Makes `ts` visible, at which the tables just installed have the keys from `first` to `last` (None: the ingest
    failed). The engine is frozen, and all older commits are on disk."""
    if first is not None:
        engine.ingests.append((ts, first, last))
    with nogil:
        mutex_lock(&engine.snapshot_mutex)
        store_u64(&engine.visible_ts, ts)
        mutex_unlock(&engine.snapshot_mutex)
        engine.wake(0)


def has_tombstones(Engine engine not None, uint32_t but):
    """Whether the memtables of any partition but `but` have range tombstones."""
    cdef uint32_t i, j
    cdef bint found = False
    with nogil:
        mutex_lock(&engine.commit_mutex)
        for i in range(engine.partition_count):
            for j in range(engine.view.partitions[i].memtable_count):
                if i != but and engine.view.partitions[i].memtables[j].tombstone_count:
                    found = True
        mutex_unlock(&engine.commit_mutex)
    return found


def oldest_log_segment(Engine engine not None):
    """(segment, partition): the oldest log segment a memtable still needs, and that memtable's partition.
    With empty memtables only, it is the current segment and None."""
    cdef uint64_t oldest
    cdef uint32_t i, j
    cdef Memtable *memtable
    cdef object owner = None
    with nogil:
        mutex_lock(&engine.commit_mutex)
    oldest = log_current_segment(engine.log)
    for i in range(engine.partition_count):
        for j in range(engine.view.partitions[i].memtable_count):
            memtable = engine.view.partitions[i].memtables[j]
            if not memtable.entry_count and not memtable.tombstone_count:
                continue
            if memtable.first_log_segment < oldest:
                oldest = memtable.first_log_segment
                owner = i
    mutex_unlock(&engine.commit_mutex)
    return oldest, owner


cdef Table **_table_array(list handles) except NULL:
    cdef Table **tables = <Table **> malloc((len(handles) + 1) * sizeof(Table *))
    cdef TableHandle handle
    cdef size_t i = 0
    if tables == NULL:
        raise MemoryError()
    for handle in handles:
        tables[i] = table_retain(handle.table)
        i += 1
    return tables


cdef int _fill_tables(Partition *place, list levels) except -1:
    """`levels[0]` newest first, deeper ones ascending; empty levels are left out of the view."""
    cdef uint32_t count = 0
    place.level0 = _table_array(levels[0])
    place.level0_count = len(levels[0])
    place.levels = <Level *> calloc(len(levels), sizeof(Level))
    if place.levels == NULL:
        raise MemoryError()
    for tables in levels[1:]:
        if tables:
            place.levels[count].tables = _table_array(tables)
            place.levels[count].count = len(tables)
            count += 1
            place.level_count = count
    return 0


def install(Engine engine not None, list partitions, list flushed not None):
    """Makes `partitions` (for each a list of levels, each a list of TableHandle) the tables of the view and
    drops the `flushed` memtables from it, in one step."""
    cdef View *view = view_new(engine.partition_count)
    cdef Partition *place
    cdef Partition *old
    cdef Memtable *memtable
    cdef MemtableHandle handle
    cdef uint32_t i, j
    cdef bint dropped
    if view == NULL:
        raise MemoryError()
    try:
        for i, levels in enumerate(partitions):
            _fill_tables(&view.partitions[i], levels)
        if view_gather_tombstones(view) < 0:
            raise MemoryError()
    except BaseException:
        view_release(view)
        raise
    with nogil:
        mutex_lock(&engine.commit_mutex)
    for i in range(engine.partition_count):
        place, old = &view.partitions[i], &engine.view.partitions[i]
        place.memtables = <Memtable **> malloc((old.memtable_count + 1) * sizeof(Memtable *))
        if place.memtables == NULL:
            mutex_unlock(&engine.commit_mutex)
            view_release(view)
            raise MemoryError()
        for j in range(old.memtable_count):
            memtable = old.memtables[j]
            dropped = False
            for handle in flushed:
                dropped = dropped or handle.memtable == memtable
            if not dropped:
                place.memtables[place.memtable_count] = memtable_retain(memtable)
                place.memtable_count += 1
    engine._replace_view(view)
    condition_broadcast(&engine.room_condition)
    mutex_unlock(&engine.commit_mutex)
    with nogil:
        guard_poll(engine.guard)


def reclaim(Engine engine not None):
    """Waits until no reader is left that was inside before, and frees what was unlinked until then: old views, with
    them the last reference on tables, with those their cached blocks."""
    cdef int step
    with nogil:
        for step in range(4):
            guard_synchronize(engine.guard)
            if engine.guard.deferred_count == 0:
                break


def table_cache(Engine engine not None):
    """The engine's table cache, for making TableHandle objects."""
    return TableCacheHandle.wrap(engine.tables, engine)


def value_log(Engine engine not None):
    """The engine's value log, for compactions that relocate values."""
    return ValueLogHandle.wrap(engine.values, engine)


def set_back_pressure(Engine engine not None, uint64_t delay_ns_per_kib, bint stopped):
    """Slows writers down by so much for each KiB they write, or makes them wait at the next full memtable."""
    with nogil:
        mutex_lock(&engine.commit_mutex)
        engine.delay_ns_per_kib = delay_ns_per_kib
        store_u32(&engine.stopped, stopped)
        if not stopped:
            condition_broadcast(&engine.room_condition)
        mutex_unlock(&engine.commit_mutex)


def sync(Engine engine not None):
    """Everything committed before the call is on disk when it returns."""
    cdef int status
    cdef uint64_t end_lsn
    with nogil:
        end_lsn = log_end_lsn(engine.log)
        status = value_log_sync(engine.values)              # a log record must not outlive its value
        if status == 0:
            status = log_wait_durable(engine.log, end_lsn)
    if status < 0:
        store_u32(&engine.failed, 1)
        raise_status(status)


def sync_values(Engine engine not None):
    """The value log is on disk: needed before a table that points into it is installed."""
    cdef int status
    with nogil:
        status = value_log_sync(engine.values)
    if status < 0:
        raise_status(status)


def roll_values(Engine engine not None):
    """Ends the current value file; returns its number, 0 when there is none."""
    cdef uint64_t number
    with nogil:
        number = value_log_roll(engine.values)
    return number


def remove_values(Engine engine not None, uint64_t file_number):
    """Deletes a value file nothing points into."""
    cdef int status
    with nogil:
        status = value_log_remove(engine.values, file_number)
    if status < 0:
        raise_status(status)


def prepare_log(Engine engine not None):
    """Makes the log's next segment ready."""
    cdef int status
    with nogil:
        status = log_prepare(engine.log)
    if status < 0:
        raise_status(status)


def release_log(Engine engine not None, uint64_t segment):
    """Segments below `segment` may go."""
    cdef int status
    with nogil:
        status = log_release(engine.log, segment)
    if status < 0:
        raise_status(status)


def visible_ts(Engine engine not None):
    """Newest timestamp a reader may use."""
    return load_u64(&engine.visible_ts)


def gc_floor_ts(Engine engine not None):
    """Reads as of an earlier time are refused."""
    return load_u64(&engine.gc_floor_ts)


def figures(Engine engine not None):
    """Counters and gauges of the engine, for stats()."""
    cdef uint32_t i, j
    cdef uint64_t memtable_used = 0, memtable_count = 0, memtable_entries = 0
    cdef Memtable *memtable
    with nogil:
        mutex_lock(&engine.commit_mutex)
    for i in range(engine.partition_count):
        for j in range(engine.view.partitions[i].memtable_count):
            memtable = engine.view.partitions[i].memtables[j]
            memtable_used += load_u64(&memtable.used)
            memtable_entries += memtable.entry_count
            memtable_count += 1
    figures = {
        "commits": engine.commits, "bytes_written": engine.bytes_written, "stall_ns": engine.stall_ns,
        "memtables": memtable_count, "memtable_bytes": memtable_used, "memtable_entries": memtable_entries,
        "log_bytes": log_bytes(engine.log), "log_end_lsn": log_end_lsn(engine.log),
        "log_durable_lsn": log_durable_lsn(engine.log), "delay_ns_per_kib": engine.delay_ns_per_kib,
        "writes_stopped": bool(engine.failed),
    }
    mutex_unlock(&engine.commit_mutex)
    mutex_lock(&engine.cache.mutex)
    figures.update(cache_bytes=engine.cache.used, cache_budget_bytes=engine.cache.budget,
                   cache_inserts=engine.cache.inserts, cache_evictions=engine.cache.evictions)
    mutex_unlock(&engine.cache.mutex)
    figures.update(block_reads=load_u64(&engine.tables.block_reads),
                   block_read_bytes=load_u64(&engine.tables.block_read_bytes),
                   fingerprint_misses=load_u64(&engine.tables.fingerprint_misses),
                   open_tables=load_u32(&engine.tables.open_count), snapshots=engine.snapshot_count)
    return figures


def set_failure(Engine engine not None, int status):
    """Background work fails with `status` (0: no more): writers that would wait for it get this error instead."""
    with nogil:
        mutex_lock(&engine.commit_mutex)
        engine.background_status = status
        condition_broadcast(&engine.room_condition)
        mutex_unlock(&engine.commit_mutex)


def oldest_value_file(Engine engine not None):
    """Value files with a smaller number are pointed into by tables only, not by memtables or unfinished writes."""
    cdef uint64_t oldest
    cdef uint32_t i, j
    with nogil:
        mutex_lock(&engine.commit_mutex)
    oldest = 0 if load_u32(&engine.value_writers) else load_u64(&engine.next_file_number)
    for i in range(engine.partition_count):
        for j in range(engine.view.partitions[i].memtable_count):
            if engine.view.partitions[i].memtables[j].first_value_file < oldest:
                oldest = engine.view.partitions[i].memtables[j].first_value_file
    mutex_unlock(&engine.commit_mutex)
    return oldest


def log_length(Engine engine not None):
    """Bytes in all live log segments."""
    return log_bytes(engine.log)
