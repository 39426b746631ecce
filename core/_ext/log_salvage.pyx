"""The log read without being opened: for verify, which must judge as opening does, and for repair."""
import os

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.stddef cimport size_t
from libc.string cimport memset

from .files cimport FileSystem
from .log cimport LOG_HEADER_BYTES
from .log_reader cimport (BEFORE_ALL, HIGHEST_LSN, NO_BOUND, LogCursor, LogRecord, SegmentReader, log_cursor_close,
                          log_cursor_next, log_cursor_open, log_reader_close,
                          log_reader_open, log_reader_record, log_reader_search, log_record_bytes)
from .log_recovery cimport Recovery, log_list, log_recover, log_recovery_free
from .status cimport FAILED, NO_OFFSET, fail, raise_status


cdef int _apply(void *context, uint64_t segment, uint64_t commit_ts, const char *payload,
                size_t size) noexcept with gil:
    cdef list state = <list> context                 # [apply, exception]
    try:
        return 1 if state[0](segment, commit_ts, PyBytes_FromStringAndSize(payload, size)) else 0
    except BaseException as error:
        state[1] = error
        return fail(FAILED, NULL, NULL, <uint64_t> NO_OFFSET)


def replay_log(FileSystem file_system not None, str directory not None, uint64_t first_segment, apply not None):
    """Calls apply(segment, commit_ts, payload) for each record that opening the database would replay, in order, and
    raises what opening would raise. `apply` returns True when a value that the record points to is not there.
    Returns the position after the last record."""
    cdef bytes encoded = os.fsencode(directory)
    cdef const char *text = encoded
    cdef list state = [apply, None]
    cdef void *context = <void *> state
    cdef Recovery recovery
    cdef uint64_t *numbers = NULL
    cdef uint64_t end_lsn
    cdef size_t count = 0
    cdef int status
    memset(&recovery, 0, sizeof(Recovery))
    with nogil:
        status = log_list(&file_system.handle, text, &numbers, &count)
        if status == 0:
            status = log_recover(&file_system.handle, text, first_segment, numbers, count, _apply, context, &recovery)
        end_lsn = recovery.end_lsn
        log_recovery_free(&recovery)
        free(numbers)
    if state[1] is not None:
        raise state[1]
    if status < 0:
        raise_status(status)
    return end_lsn


def salvage_segment(FileSystem file_system not None, str directory not None, uint64_t number):
    """What is whole in segment `number`, wherever it stands: ([(offset, commit_ts, payload), ...], [(offset, bytes) of
    each piece of damage with something whole behind it, ...])."""
    cdef bytes encoded = os.fsencode(directory)
    cdef const char *text = encoded
    cdef SegmentReader reader, following
    cdef LogRecord record
    cdef uint64_t offset = LOG_HEADER_BYTES, bound = <uint64_t> NO_BOUND
    cdef int status
    records, damage = [], []
    memset(&reader, 0, sizeof(SegmentReader))
    memset(&following, 0, sizeof(SegmentReader))
    try:
        status = log_reader_open(&reader, &file_system.handle, text, number)
        if status < 0:
            raise_status(status)
        if not reader.header_valid:
            reader.header.start_lsn = <uint64_t> HIGHEST_LSN     # unknown; accept every record
        elif file_system.exists(os.path.join(directory, "%012d.log" % (number + 1))):
            # beyond the start of the next segment stands what an earlier recovery has cut off
            if log_reader_open(&following, &file_system.handle, text, number + 1) == 0 and following.header_valid:
                bound = following.header.start_lsn
        while True:
            with nogil:
                status = log_reader_record(&reader, offset, &record)
                if status == 0:
                    status = log_reader_search(&reader, offset + 8, <uint64_t> BEFORE_ALL,
                                               reader.header.start_lsn + reader.limit, &record)
            if status < 0:
                raise_status(status)
            if status == 0 or record.lsn >= bound:
                break
            if record.offset > offset:
                damage.append((offset, record.offset - offset))
            records.append((record.offset, record.commit_ts,
                            PyBytes_FromStringAndSize(record.payload, record.payload_size)))
            offset = record.offset + log_record_bytes(record.payload_size)
        if reader.header_valid and bound != <uint64_t> NO_BOUND and \
                reader.header.start_lsn + (offset - LOG_HEADER_BYTES) < bound:
            damage.append((offset, bound - reader.header.start_lsn - (offset - LOG_HEADER_BYTES)))
        if not reader.header_valid and records:
            damage.insert(0, (0, LOG_HEADER_BYTES))
        return records, damage
    finally:
        log_reader_close(&reader)
        log_reader_close(&following)


def check_records(FileSystem file_system not None, str directory not None, uint64_t segment, uint64_t end_lsn):
    """Reads all records of a log in use, from the first of `segment` up to position `end_lsn`, all of which must be
    whole. (records, bytes); the caller sees to it that the segment stays."""
    cdef bytes encoded = os.fsencode(directory)
    cdef const char *text = encoded
    cdef LogCursor *cursor = NULL
    cdef uint64_t count = 0, size = 0
    cdef int status
    with nogil:
        status = log_cursor_open(&file_system.handle, text, segment, &cursor)
        if status == 0:
            status = log_cursor_next(cursor, end_lsn)
            while status == 1:
                count += 1
                size += cursor.record.end_lsn - cursor.record.lsn
                status = log_cursor_next(cursor, end_lsn)
            log_cursor_close(cursor)
    if status < 0:
        raise_status(status)
    return count, size
