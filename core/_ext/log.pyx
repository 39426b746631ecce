"""The write-ahead log: a commit is safe once its record is.

Appending is a memory copy. A segment's file is allocated and mapped before use, so that the copy
needs no system call, survives the death of the process, and cannot meet a full disk. Durability is
a second, separate step in which threads share the work (group commit):

    commit A   append | wait_durable: leader, fdatasync ........ | done
    commit B     append | wait_durable: waits ................... | leader, fdatasync .... | done
    commit C        append | wait_durable: waits ................ | waits ................ | done
    durable_lsn  ------------------------------------------------> A ---------------------> B, C

Segments live through these states; arrows on the left cost the appending thread nothing but a
header of 64 bytes:

    log_prepare (background)   spare file renamed, or new file; allocated, zeroed, mapped, named on disk
        | full: the next takes over
    current --> sealed, unsynced --> sealed --> log_release: spare (up to 3) or removed

Order on disk, which recovery (log_recovery.pyx) relies on:
- the name of a segment is on disk before a record is written to it, so a gap in the numbers is damage;
- segments dropped at recovery are gone from the disk before their numbers are used again;
- the segment before `number` stays until the header of `number` is on disk.

Locks, outermost first: the caller's commit lock (appending), the pool's (creating and removing files,
log_segments.pyx), `mutex` (positions and the list of segments; never held during a file operation).
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.stddef cimport size_t
from libc.string cimport memcpy, memset

from .census cimport LOG, count_birth, count_death
from .files cimport OPEN_WRITE, FileSystemHandle, file_close, file_pwrite, file_sync, fs_open, fs_sync_dir
from .hashing cimport crc32c
from .log_reader cimport SegmentHeader, log_header_put, log_record_bytes, log_seed
from .log_recovery cimport RecoveredSegment, Recovery, log_list, log_recover, log_recovery_free
from .log_segments cimport (LOG_PATH_BYTES, Segment, log_path, segment_free, segment_grain, segments_free,
                            segments_init, segments_lock, segments_prepare, segments_recycle, segments_unlink,
                            segments_unlock)
from .platform cimport (condition_broadcast, condition_destroy, condition_init, condition_wait, load_u32, load_u64,
                        mutex_destroy, mutex_init, mutex_lock, mutex_unlock, put_u32, put_u64, store_u32, store_u64)
from .status cimport FAILED, FEED_LOST, INVALID, NOT_FOUND, NO_MEMORY, NO_OFFSET, TOO_LARGE, error_detail, fail

cdef enum:
    MAX_PAYLOAD_BYTES = 0xFFFFFF00


# ---- segments ------------------------------------------------------------------------------------

# Gives the prepared segment its header and makes it the current one; after failure it is still prepared.
cdef int _begin_prepared(Log *log) noexcept nogil:
    cdef Segment *segment = log.pool.prepared
    cdef char bytes_[LOG_HEADER_BYTES]
    cdef SegmentHeader header
    cdef int status
    header.number = segment.number
    header.start_lsn = log.end_lsn
    header.durable_lsn = load_u64(&log.durable_lsn)
    header.size = segment.size
    log_header_put(bytes_, &header)
    status = file_pwrite(segment.file, bytes_, LOG_HEADER_BYTES, 0)
    if status < 0:
        return status
    segment.start_lsn = segment.synced_lsn = log.end_lsn
    mutex_lock(&log.mutex)
    if log.current == NULL:
        log.oldest = segment
    else:
        log.current.end_lsn = log.end_lsn
        log.current.next = segment
    log.current = segment
    mutex_unlock(&log.mutex)
    log.pool.prepared = NULL
    log.offset = LOG_HEADER_BYTES
    log.seed = log_seed(segment.number)
    return 0


# The current segment has no room for `record_bytes`.
cdef int _switch_segment(Log *log, uint64_t record_bytes) noexcept nogil:
    cdef uint64_t size = segment_grain(LOG_HEADER_BYTES + record_bytes)
    cdef int status
    if size < log.pool.segment_bytes:
        size = log.pool.segment_bytes
    segments_lock(&log.pool)
    status = segments_prepare(&log.pool, log.current.number + 1, size, False)
    if status == 0:
        status = _begin_prepared(log)
    segments_unlock(&log.pool)
    return status


cdef int log_prepare(Log *log) noexcept nogil:
    cdef int status
    segments_lock(&log.pool)         # `current` changes only with this lock
    status = segments_prepare(&log.pool, log.current.number + 1, log.pool.segment_bytes, log.zero_fill)
    segments_unlock(&log.pool)
    return status


# ---- appending -----------------------------------------------------------------------------------

cdef int _fail_stopped(Log *log) noexcept nogil:
    fail(FAILED, "writing stopped because a sync of the log failed; what reached the disk is unknown",
         log.pool.directory, <uint64_t> NO_OFFSET)
    error_detail().errno_value = log.failed_errno
    return FAILED


# One write for a whole record, so that a crash test sees records as steps.
cdef int _write_buffered(Log *log, const char *header, const char *payload, size_t size,
                         size_t record_bytes) noexcept nogil:
    cdef char *buffer = log.buffer
    if record_bytes > log.buffer_bytes:
        buffer = <char *> realloc(log.buffer, record_bytes)
        if buffer == NULL:
            return fail(NO_MEMORY, NULL, log.pool.directory, <uint64_t> NO_OFFSET)
        log.buffer = buffer
        log.buffer_bytes = record_bytes
    memcpy(buffer, header, LOG_RECORD_HEADER_BYTES)
    if size:
        memcpy(buffer + LOG_RECORD_HEADER_BYTES, payload, size)
    memset(buffer + LOG_RECORD_HEADER_BYTES + size, 0, record_bytes - LOG_RECORD_HEADER_BYTES - size)
    return file_pwrite(log.current.file, buffer, record_bytes, log.offset)


cdef int log_append(Log *log, const char *payload, size_t size, uint64_t commit_ts, uint64_t *end_lsn) noexcept nogil:
    cdef char header[LOG_RECORD_HEADER_BYTES]
    cdef uint64_t record_bytes = log_record_bytes(size)
    cdef char *target
    cdef int status = 0
    if load_u32(&log.failed):
        return _fail_stopped(log)
    if size > <size_t> MAX_PAYLOAD_BYTES:
        return fail(TOO_LARGE, "the transaction is over 4 GiB", NULL, <uint64_t> NO_OFFSET)
    if record_bytes > log.current.size - log.offset:
        status = _switch_segment(log, record_bytes)
        if status < 0:
            return status
    put_u32(header + 4, <uint32_t> size)
    put_u64(header + 8, commit_ts)
    put_u64(header + 16, load_u64(&log.durable_lsn))
    put_u32(header, crc32c(crc32c(log.seed, header + 4, LOG_RECORD_HEADER_BYTES - 4), payload, size))
    if log.current.file.map != NULL:
        target = log.current.file.map + log.offset
        memcpy(target, header, LOG_RECORD_HEADER_BYTES)
        if size:
            memcpy(target + LOG_RECORD_HEADER_BYTES, payload, size)
    else:
        status = _write_buffered(log, header, payload, size, record_bytes)
        if status < 0:
            return status
    log.offset += record_bytes
    mutex_lock(&log.mutex)
    store_u64(&log.end_lsn, log.end_lsn + record_bytes)
    mutex_unlock(&log.mutex)
    end_lsn[0] = log.end_lsn
    return 0


# ---- durability ----------------------------------------------------------------------------------

# The calling thread has `syncing`. Gives it back with the outcome of its syncs.
cdef int _end_syncing(Log *log, int status) noexcept nogil:
    cdef int errno_value = error_detail().errno_value if status < 0 else 0
    mutex_lock(&log.mutex)
    if status < 0:
        log.failed_errno = errno_value
        store_u32(&log.failed, 1)
    log.syncing = False
    condition_broadcast(&log.synced)
    mutex_unlock(&log.mutex)
    return _fail_stopped(log) if status < 0 else 0


# Syncs all that has been appended. The calling thread has `syncing`, so the segments walked here stay. What
# was not asked for counts as durable in durability "commit" only, where values are synced before their record
# is appended: otherwise those of the newest records may not be on disk.
cdef int _sync_to_end(Log *log, uint64_t asked) noexcept nogil:
    cdef Segment *first
    cdef Segment *segment
    cdef Segment *last
    cdef uint64_t target
    cdef int status = 0
    mutex_lock(&log.mutex)
    target = log.end_lsn if log.zero_fill else asked
    last = log.current
    first = log.oldest
    while first != last and first.file == NULL:
        first = first.next
    mutex_unlock(&log.mutex)
    segment = first
    while segment != last and status == 0:
        if segment.synced_lsn < segment.end_lsn or not segment.header_synced:
            status = file_sync(segment.file)
        segment = segment.next
    if status == 0 and last.synced_lsn < target:
        status = file_sync(last.file)
    if status < 0:
        return status
    segment = first
    while segment != last:           # sealed: no other thread uses the file
        file_close(segment.file)
        segment = segment.next
    mutex_lock(&log.mutex)
    while first != last:
        first.file = NULL
        first.synced_lsn = first.end_lsn
        first.header_synced = True
        first = first.next
    if last.synced_lsn < target:
        last.synced_lsn = target
        last.header_synced = True
    store_u64(&log.durable_lsn, target)
    mutex_unlock(&log.mutex)
    return 0


cdef int log_wait_durable(Log *log, uint64_t lsn) noexcept nogil:
    cdef int status = 0
    if load_u64(&log.durable_lsn) >= lsn:        # whatever failed later: others may see this commit already
        return 0
    mutex_lock(&log.mutex)           # `failed` may be asked only together with durable_lsn, which may have moved
    if lsn > log.end_lsn:
        status = fail(INVALID, "nothing has been logged at that position yet", log.pool.directory, lsn)
    while status == 0 and log.durable_lsn < lsn:
        if log.failed:
            status = _fail_stopped(log)
        elif log.syncing:
            condition_wait(&log.synced, &log.mutex)
        else:
            log.syncing = True
            mutex_unlock(&log.mutex)
            status = _end_syncing(log, _sync_to_end(log, lsn))
            mutex_lock(&log.mutex)
    mutex_unlock(&log.mutex)
    return status


cdef uint64_t log_end_lsn(Log *log) noexcept nogil:
    return load_u64(&log.end_lsn)


cdef uint64_t log_durable_lsn(Log *log) noexcept nogil:
    return load_u64(&log.durable_lsn)


cdef uint64_t log_current_segment(Log *log) noexcept nogil:
    cdef uint64_t number
    mutex_lock(&log.mutex)
    number = log.current.number
    mutex_unlock(&log.mutex)
    return number


cdef uint64_t log_oldest_segment(Log *log) noexcept nogil:
    cdef uint64_t number
    mutex_lock(&log.mutex)
    number = log.oldest.number
    mutex_unlock(&log.mutex)
    return number


cdef uint64_t log_bytes(Log *log) noexcept nogil:
    cdef uint64_t count
    mutex_lock(&log.mutex)
    count = log.end_lsn - log.oldest.start_lsn
    count += (log.current.number - log.oldest.number + 1) * LOG_HEADER_BYTES
    mutex_unlock(&log.mutex)
    return count


# ---- giving back segments ------------------------------------------------------------------------

cdef int log_pin(Log *log, uint64_t segment) noexcept nogil:
    cdef uint64_t *grown
    cdef int status = 0
    mutex_lock(&log.mutex)
    if segment < log.oldest.number:
        status = fail(FEED_LOST, NULL, log.pool.directory, <uint64_t> NO_OFFSET)
    elif log.pin_count == log.pin_capacity:
        grown = <uint64_t *> realloc(log.pins, (2 * log.pin_capacity + 8) * sizeof(uint64_t))
        if grown == NULL:
            status = fail(NO_MEMORY, NULL, log.pool.directory, <uint64_t> NO_OFFSET)
        else:
            log.pins = grown
            log.pin_capacity = 2 * log.pin_capacity + 8
    if status == 0:
        log.pins[log.pin_count] = segment
        log.pin_count += 1
    mutex_unlock(&log.mutex)
    return status


cdef void log_unpin(Log *log, uint64_t segment) noexcept nogil:
    cdef size_t i
    mutex_lock(&log.mutex)
    for i in range(log.pin_count):
        if log.pins[i] == segment:
            log.pin_count -= 1
            log.pins[i] = log.pins[log.pin_count]
            break
    mutex_unlock(&log.mutex)


# Recovery can begin at segment `number` without the one before it once this returned 0.
cdef int _sync_header(Log *log, uint64_t number) noexcept nogil:
    cdef Segment *segment
    cdef int status
    mutex_lock(&log.mutex)
    while log.syncing:
        condition_wait(&log.synced, &log.mutex)
    segment = log.oldest
    while segment.number < number:
        segment = segment.next
    if segment.header_synced:
        mutex_unlock(&log.mutex)
        return 0
    if log.failed:
        mutex_unlock(&log.mutex)
        return _fail_stopped(log)
    log.syncing = True
    mutex_unlock(&log.mutex)
    status = file_sync(segment.file)
    if status == 0:
        segment.header_synced = True
    return _end_syncing(log, status)


# Takes the oldest segment from the list if it may go; NULL when it may not.
cdef Segment *_take_released(Log *log, uint64_t limit) noexcept nogil:
    cdef Segment *segment
    mutex_lock(&log.mutex)
    segment = log.oldest
    if segment.number >= limit or (log.syncing and segment.file != NULL):
        segment = NULL               # a segment that is being synced goes the next time
    else:
        log.oldest = segment.next
    mutex_unlock(&log.mutex)
    return segment


cdef int _release(Log *log, uint64_t number) noexcept nogil:
    cdef Segment *segment
    cdef uint64_t limit = number
    cdef uint64_t oldest
    cdef size_t i
    cdef int status
    mutex_lock(&log.mutex)
    if limit > log.current.number:
        limit = log.current.number
    for i in range(log.pin_count):
        if log.pins[i] < limit:
            limit = log.pins[i]
    oldest = log.oldest.number
    mutex_unlock(&log.mutex)
    if limit <= oldest:
        return 0
    status = _sync_header(log, limit)
    while status == 0:
        segment = _take_released(log, limit)
        if segment == NULL:
            break
        status = segments_recycle(&log.pool, segment.number, segment.size)
        segment_free(segment)
    return status


cdef int log_release(Log *log, uint64_t number) noexcept nogil:
    cdef int status
    segments_lock(&log.pool)
    status = _release(log, number)
    segments_unlock(&log.pool)
    return status


# ---- opening and closing -------------------------------------------------------------------------

cdef void _free(Log *log) noexcept nogil:
    cdef Segment *segment
    while log.oldest != NULL:
        segment = log.oldest
        log.oldest = segment.next
        segment_free(segment)
    segments_free(&log.pool)
    condition_destroy(&log.synced)
    mutex_destroy(&log.mutex)
    free(log.pins)
    free(log.buffer)
    free(log)
    count_death(LOG)


# Puts a replayed segment in the list, to be synced with the first records of this session: what was
# read may be in the page cache only.
cdef int _adopt(Log *log, const RecoveredSegment *recovered) noexcept nogil:
    cdef char path[LOG_PATH_BYTES]
    cdef Segment *segment = <Segment *> calloc(1, sizeof(Segment))
    cdef int status
    if segment == NULL:
        return fail(NO_MEMORY, NULL, log.pool.directory, <uint64_t> NO_OFFSET)
    if log.current == NULL:
        log.oldest = segment
    else:
        log.current.next = segment
    log.current = segment
    segment.number = recovered.number
    segment.size = recovered.size
    segment.start_lsn = segment.synced_lsn = recovered.start_lsn
    segment.end_lsn = recovered.end_lsn
    if segment.start_lsn < log.durable_lsn:
        segment.header_synced = True
        segment.synced_lsn = log.durable_lsn if log.durable_lsn < segment.end_lsn else segment.end_lsn
        if segment.synced_lsn == segment.end_lsn:
            return 0
    status = log_path(log.pool.directory, segment.number, path)
    return fs_open(log.pool.fs, path, OPEN_WRITE, &segment.file) if status == 0 else status


# `numbers`: what is in the folder. Segments in [first, number) were replayed, the next is to be `number`.
cdef int _start(Log *log, uint64_t first, uint64_t number, const uint64_t *numbers, size_t count) noexcept nogil:
    cdef size_t i = count
    cdef int status = 0
    # From the last to the first, so that a crash in between leaves no gap.
    while status == 0 and i > 0 and numbers[i - 1] >= number:
        i -= 1
        status = segments_unlink(&log.pool, numbers[i])
    if status == 0 and i < count:
        status = fs_sync_dir(log.pool.fs, log.pool.directory)
    while i > 0 and numbers[i - 1] >= first:
        i -= 1
    if status == 0 and i > 0 and log.oldest != NULL:
        status = _sync_header(log, log.oldest.number)
    while status == 0 and i > 0:     # older ones: the newest become spares
        i -= 1
        status = segments_recycle(&log.pool, numbers[i], log.pool.segment_bytes)     # whatever size it has
    if status == 0:
        status = segments_prepare(&log.pool, number, log.pool.segment_bytes, False)
    if status == 0:
        status = _begin_prepared(log)
    if status == 0 and log.oldest.number == number:  # no segment before it tells where it starts
        status = _sync_header(log, number)
    return status


cdef int _open(Log *log, uint64_t first_segment, log_apply apply, void *context, Recovery *recovery,
               const uint64_t *numbers, size_t count) noexcept nogil:
    cdef uint64_t first = first_segment if first_segment > 0 else 1
    cdef size_t i
    cdef int status = log_recover(log.pool.fs, log.pool.directory, first, numbers, count, apply, context, recovery)
    if status < 0:
        return status
    while recovery.count > 0 and (recovery.segments[recovery.count - 1].start_lsn
                                  == recovery.segments[recovery.count - 1].end_lsn):
        recovery.count -= 1          # without records: begun anew, so that reopening leaves no trail of files
    log.end_lsn = recovery.end_lsn
    log.durable_lsn = recovery.durable_lsn if recovery.count > 0 else recovery.end_lsn
    for i in range(recovery.count):
        status = _adopt(log, &recovery.segments[i])
        if status < 0:
            return status
    return _start(log, first, first + recovery.count, numbers, count)


cdef int log_open(FileSystemHandle *fs, const char *directory, uint64_t first_segment, uint64_t segment_bytes,
                  bint zero_fill, log_apply apply, void *context, Log **out) noexcept nogil:
    cdef Log *log = <Log *> calloc(1, sizeof(Log))
    cdef Recovery recovery
    cdef uint64_t *numbers = NULL
    cdef size_t count = 0
    cdef int status
    out[0] = NULL
    if log == NULL:
        return fail(NO_MEMORY, NULL, directory, <uint64_t> NO_OFFSET)
    count_birth(LOG)
    mutex_init(&log.mutex)
    condition_init(&log.synced)
    log.zero_fill = zero_fill
    memset(&recovery, 0, sizeof(Recovery))
    status = segments_init(&log.pool, fs, directory, segment_bytes)
    if status == 0 and segment_bytes == 0:
        status = fail(INVALID, "the segment size of the log must not be 0", directory, <uint64_t> NO_OFFSET)
    if status == 0:
        status = log_list(fs, directory, &numbers, &count)
    if status == 0:
        status = _open(log, first_segment, apply, context, &recovery, numbers, count)
    log_recovery_free(&recovery)
    free(numbers)
    if status < 0:
        _free(log)
        return status
    out[0] = log
    return 0


cdef int log_close(Log *log, bint remove_all) noexcept nogil:
    cdef uint64_t oldest = log.oldest.number
    cdef uint64_t number = log.current.number
    cdef int status = 0
    if not remove_all and not log.failed:
        status = log_wait_durable(log, log.end_lsn)
    if status == 0 and (log.pool.prepared != NULL or remove_all):
        # Also what a failed attempt left there: alone, it would look like the end of a log with a gap.
        status = segments_unlink(&log.pool, number + 1)
        if status == NOT_FOUND:
            status = 0
    if remove_all:
        # From the last to the first, so that a crash in between leaves no gap; spares do not count.
        while status == 0 and number >= oldest:
            status = segments_unlink(&log.pool, number)
            number -= 1
        while status == 0 and log.pool.spare_count > 0:
            log.pool.spare_count -= 1
            status = segments_unlink(&log.pool, log.pool.spares[log.pool.spare_count])
        if status == 0:
            status = fs_sync_dir(log.pool.fs, log.pool.directory)
    _free(log)
    return status
