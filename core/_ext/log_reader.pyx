"""Reading segments of the write-ahead log, one checked record at a time.

A reader sees the file through a window of 1 MiB that it moves forward, so that scanning takes few
system calls and the checksum runs over bytes that are still in the processor's cache. The window is
made larger for a record that does not fit. Nothing of a record is believed before its CRC is right,
and its length is compared with the file's before anything is allocated for it.

What becomes of damaged records is decided elsewhere: log_recovery.pyx for a log that is opened, the
cursor below for a feed (where everything up to the end it is given has to be whole).
"""
import os

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.stddef cimport size_t
from libc.string cimport memcmp, memcpy, memset

from .census cimport LOG_CURSOR, count_birth, count_death
from .files cimport OPEN_READ, FileSystem, FileSystemHandle, file_close, file_pread, file_size, fs_open
from .hashing cimport crc32c
from .log cimport LOG_HEADER_BYTES, LOG_RECORD_HEADER_BYTES
from .log_segments cimport LOG_PATH_BYTES, log_path
from .platform cimport get_u32, get_u64, put_u32, put_u64
from .status cimport CORRUPTION, NEWER_FORMAT, NO_MEMORY, NO_OFFSET, NOT_FOUND, fail, raise_status

cdef extern from "string.h" nogil:
    char *strdup(const char *text) noexcept

cdef enum:
    HEADER_CRC_OFFSET = 48


# ---- names and headers ---------------------------------------------------------------------------

cdef int log_damaged(const char *directory, uint64_t number, uint64_t offset, const char *message) noexcept nogil:
    cdef char path[LOG_PATH_BYTES]
    if log_path(directory, number, path) < 0:
        return fail(CORRUPTION, message, directory, offset)
    return fail(CORRUPTION, message, path, offset)


cdef void log_header_put(char *out, const SegmentHeader *header) noexcept nogil:
    memset(out, 0, LOG_HEADER_BYTES)
    memcpy(out, b"PHANTLOG", 8)
    put_u32(out + 8, LOG_FORMAT_VERSION)
    put_u64(out + 16, header.number)
    put_u64(out + 24, header.start_lsn)
    put_u64(out + 32, header.durable_lsn)
    put_u64(out + 40, header.size)
    put_u32(out + HEADER_CRC_OFFSET, crc32c(0, out, HEADER_CRC_OFFSET))


# 1: valid, now in reader.header; 0: damaged; NEWER_FORMAT. `number` 0 accepts any.
cdef int _header_get(SegmentReader *reader, const char *p, uint64_t number) noexcept nogil:
    if memcmp(p, b"PHANTLOG", 8) != 0 or get_u32(p + HEADER_CRC_OFFSET) != crc32c(0, p, HEADER_CRC_OFFSET):
        return 0
    if get_u32(p + 8) > LOG_FORMAT_VERSION:
        return fail(NEWER_FORMAT, "the log was written by a newer version", reader.file.path, <uint64_t> NO_OFFSET)
    if number != 0 and get_u64(p + 16) != number:
        return 0                     # a recycled file that was not begun anew
    reader.header.number = get_u64(p + 16)
    reader.header.start_lsn = get_u64(p + 24)
    reader.header.durable_lsn = get_u64(p + 32)
    reader.header.size = get_u64(p + 40)
    return 1


# ---- one segment ---------------------------------------------------------------------------------

cdef int _open_path(SegmentReader *reader, FileSystemHandle *fs, const char *path, uint64_t number) noexcept nogil:
    cdef char header[LOG_HEADER_BYTES]
    cdef int64_t result
    cdef int status
    file_close(reader.file)
    reader.file = NULL
    reader.window_size = 0
    memset(&reader.header, 0, sizeof(SegmentHeader))
    reader.header.number = number
    status = fs_open(fs, path, OPEN_READ, &reader.file)
    if status < 0:
        return status
    result = file_size(reader.file)
    if result < 0:
        return <int> result
    reader.file_bytes = reader.limit = <uint64_t> result
    result = file_pread(reader.file, header, LOG_HEADER_BYTES, 0)
    if result < 0:
        return <int> result
    status = _header_get(reader, header, number) if result == LOG_HEADER_BYTES else 0
    if status < 0:
        return status
    reader.header_valid = status == 1
    reader.seed = log_seed(reader.header.number)
    return 0


cdef int log_reader_open(SegmentReader *reader, FileSystemHandle *fs, const char *directory,
                             uint64_t number) noexcept nogil:
    cdef char path[LOG_PATH_BYTES]
    cdef int status = log_path(directory, number, path)
    if status < 0:
        return status
    return _open_path(reader, fs, path, number)


cdef void log_reader_close(SegmentReader *reader) noexcept nogil:
    file_close(reader.file)
    free(reader.window)
    memset(reader, 0, sizeof(SegmentReader))


# 1: *out points at [offset, offset + size) of the file; 0: that is beyond the limit; < 0: status.
cdef int _reader_view(SegmentReader *reader, uint64_t offset, size_t size, const char **out) noexcept nogil:
    cdef size_t wanted
    cdef int64_t result
    if offset < reader.window_offset or offset + size > reader.window_offset + reader.window_size:
        if offset > reader.limit or size > reader.limit - offset:
            return 0
        if size > reader.window_capacity:
            free(reader.window)
            reader.window_size = 0
            reader.window_capacity = LOG_WINDOW_BYTES if size < LOG_WINDOW_BYTES else size
            reader.window = <char *> malloc(reader.window_capacity)
            if reader.window == NULL:
                reader.window_capacity = 0
                return fail(NO_MEMORY, NULL, reader.file.path, offset)
        wanted = reader.window_capacity
        if reader.limit - offset < wanted:
            wanted = <size_t> (reader.limit - offset)
        reader.window_size = 0
        result = file_pread(reader.file, reader.window, wanted, offset)
        if result < 0:
            return <int> result
        reader.window_offset = offset
        reader.window_size = <size_t> result
        if reader.window_size < size:
            return 0
    out[0] = reader.window + (offset - reader.window_offset)
    return 1


cdef int log_reader_record(SegmentReader *reader, uint64_t offset, LogRecord *out) noexcept nogil:
    cdef const char *p = NULL
    cdef uint64_t payload_size
    cdef int status = _reader_view(reader, offset, LOG_RECORD_HEADER_BYTES, &p)
    if status <= 0:
        return status
    payload_size = get_u32(p + 4)
    out.lsn = reader.header.start_lsn + (offset - LOG_HEADER_BYTES)
    out.durable_lsn = get_u64(p + 16)
    if out.durable_lsn > out.lsn:
        return 0
    status = _reader_view(reader, offset, log_record_bytes(payload_size), &p)
    if status <= 0:
        return status
    if crc32c(reader.seed, p + 4, LOG_RECORD_HEADER_BYTES - 4 + payload_size) != get_u32(p):
        return 0
    out.offset = offset
    out.end_lsn = out.lsn + log_record_bytes(payload_size)
    out.commit_ts = get_u64(p + 8)
    out.payload = p + LOG_RECORD_HEADER_BYTES
    out.payload_size = payload_size
    return 1


cdef int log_reader_search(SegmentReader *reader, uint64_t offset, uint64_t above, uint64_t highest,
                           LogRecord *out) noexcept nogil:
    cdef const char *p = NULL
    cdef size_t i, steps
    cdef uint64_t lowest = above + 1                # BEFORE_ALL gives 0
    cdef uint64_t width = highest + 1 - lowest
    cdef int status
    if highest < lowest:
        return 0
    while offset + LOG_RECORD_HEADER_BYTES <= reader.limit:
        status = _reader_view(reader, offset, LOG_RECORD_HEADER_BYTES, &p)
        if status <= 0:
            return status
        steps = (reader.window_offset + reader.window_size - offset - LOG_RECORD_HEADER_BYTES) // 8 + 1
        i = 0
        while i < steps and get_u64(p + 8 * i + 16) - lowest >= width:
            i += 1
        offset += 8 * i
        if i < steps:
            status = log_reader_record(reader, offset, out)
            if status != 0:
                return status
            offset += 8
    return 0


# ---- cursor --------------------------------------------------------------------------------------

# Moves to the first record of `number`, and learns where that segment ends if it is known already.
cdef int _cursor_enter(LogCursor *cursor, uint64_t number) noexcept nogil:
    cdef SegmentReader next_reader
    cdef int status = log_reader_open(&cursor.reader, cursor.fs, cursor.directory, number)
    if status < 0:
        return status
    if not cursor.reader.header_valid:
        return log_damaged(cursor.directory, number, 0, "the header of a log segment is damaged")
    memset(&next_reader, 0, sizeof(SegmentReader))
    status = log_reader_open(&next_reader, cursor.fs, cursor.directory, number + 1)
    cursor.bound = next_reader.header.start_lsn if status == 0 and next_reader.header_valid else <uint64_t> NO_BOUND
    log_reader_close(&next_reader)
    return 0 if status == NOT_FOUND else status


cdef int log_cursor_open(FileSystemHandle *fs, const char *directory, uint64_t segment,
                         LogCursor **out) noexcept nogil:
    cdef LogCursor *cursor = <LogCursor *> calloc(1, sizeof(LogCursor))
    cdef int status
    out[0] = NULL
    if cursor == NULL:
        return fail(NO_MEMORY, NULL, directory, <uint64_t> NO_OFFSET)
    count_birth(LOG_CURSOR)
    cursor.fs = fs
    cursor.directory = strdup(directory)
    status = NO_MEMORY if cursor.directory == NULL else _cursor_enter(cursor, segment)
    if status < 0:
        log_cursor_close(cursor)
        return status
    cursor.next_lsn = cursor.reader.header.start_lsn
    out[0] = cursor
    return 0


cdef int log_cursor_next(LogCursor *cursor, uint64_t end_lsn) noexcept nogil:
    cdef SegmentReader *reader = &cursor.reader
    cdef uint64_t offset, number
    cdef int64_t size
    cdef int status
    while cursor.next_lsn < end_lsn:
        offset = LOG_HEADER_BYTES + (cursor.next_lsn - reader.header.start_lsn)
        if cursor.next_lsn < cursor.bound:
            # The window must never hold bytes at or beyond end_lsn: they may change after it was read.
            reader.limit = LOG_HEADER_BYTES + (end_lsn - reader.header.start_lsn)
            if reader.limit > reader.file_bytes:
                reader.limit = reader.file_bytes
            status = log_reader_record(reader, offset, &cursor.record)
            if status < 0:
                return status
            if status == 1:
                cursor.next_lsn = cursor.record.end_lsn
                return 1
        number = reader.header.number
        status = _cursor_enter(cursor, number + 1)
        if status == NOT_FOUND or (status == 0 and reader.header.start_lsn != cursor.next_lsn):
            return log_damaged(cursor.directory, number, offset, "a log record is damaged")
        if status < 0:
            return status
    return 0


cdef void log_cursor_close(LogCursor *cursor) noexcept nogil:
    if cursor != NULL:
        log_reader_close(&cursor.reader)
        free(cursor.directory)
        free(cursor)
        count_death(LOG_CURSOR)


# ---- inspection ----------------------------------------------------------------------------------

@cython.final
cdef class LogSegment:
    """One segment's file, for `phantomdb inspect` and `verify`: its header, and its records by iteration.

    A record is (offset, lsn, commit_ts, durable_lsn, payload). When the iteration has ended,
    `end_reason` says why: "end of file", "end of records" (free space, or a torn tail), "damaged
    record" (a later one proves that it had been synced) or "damaged header" (nothing is read then).
    """

    def __init__(self, FileSystem file_system not None, path):
        cdef bytes encoded = os.fsencode(path)
        cdef const char *text = encoded
        cdef int status
        if self.reader.file != NULL:
            raise TypeError("a LogSegment cannot be initialised twice")
        self.file_system = file_system
        self.path = os.fspath(path)
        with nogil:
            status = _open_path(&self.reader, &file_system.handle, text, 0)
        if status < 0:
            raise_status(status)
        self.offset = LOG_HEADER_BYTES

    def __dealloc__(self):
        log_reader_close(&self.reader)

    @property
    def header_valid(self):
        """Whether the header's checksum is right; the other fields are 0 when it is not."""
        return self.reader.header_valid

    @property
    def number(self):
        """The segment's number as in its header."""
        return self.reader.header.number

    @property
    def start_lsn(self):
        """Position of the first record."""
        return self.reader.header.start_lsn

    @property
    def durable_lsn(self):
        """What had been synced when the segment was begun."""
        return self.reader.header.durable_lsn

    @property
    def size(self):
        """Bytes of the file as in its header."""
        return self.reader.header.size

    @property
    def end_offset(self):
        """Where the records found so far end in the file."""
        return self.offset

    def __iter__(self):
        cdef LogRecord record
        cdef uint64_t end_lsn
        cdef int status
        self.offset = LOG_HEADER_BYTES
        self.end_reason = None
        if not self.reader.header_valid:
            self.end_reason = "damaged header"
            return
        while True:
            with nogil:
                status = log_reader_record(&self.reader, self.offset, &record)
            if status < 0:
                raise_status(status)
            if status == 0:
                break
            self.offset += record.end_lsn - record.lsn
            yield (record.offset, record.lsn, record.commit_ts, record.durable_lsn,
                   PyBytes_FromStringAndSize(record.payload, record.payload_size))
        end_lsn = self.reader.header.start_lsn + (self.offset - LOG_HEADER_BYTES)
        with nogil:
            status = log_reader_search(&self.reader, self.offset + 8, end_lsn,
                                    self.reader.header.start_lsn + self.reader.limit, &record)
        if status < 0:
            raise_status(status)
        if status == 1:
            self.end_reason = "damaged record"
        elif self.offset + LOG_RECORD_HEADER_BYTES > self.reader.limit:
            self.end_reason = "end of file"
        else:
            self.end_reason = "end of records"


@cython.final
cdef class LogFeed:
    """Records in commit order across segments, from the first of `segment` on; a LogCursor for Python."""

    def __init__(self, FileSystem file_system not None, directory, uint64_t segment):
        cdef bytes encoded = os.fsencode(directory)
        cdef const char *text = encoded
        cdef LogCursor *cursor = NULL
        cdef int status
        if self.cursor != NULL:
            raise TypeError("a LogFeed cannot be initialised twice")
        with nogil:
            status = log_cursor_open(&file_system.handle, text, segment, &cursor)
        if status < 0:
            raise_status(status)
        self.file_system = file_system
        self.cursor = cursor

    def __dealloc__(self):
        log_cursor_close(self.cursor)

    def read(self, uint64_t end_lsn):
        """All further records before `end_lsn`, as a list of (segment, offset, lsn, commit_ts, payload)."""
        cdef LogCursor *cursor = self.cursor
        cdef LogRecord *record = &cursor.record
        cdef int status
        records = []
        while True:
            with nogil:
                status = log_cursor_next(cursor, end_lsn)
            if status < 0:
                raise_status(status)
            if status == 0:
                return records
            records.append((cursor.reader.header.number, record.offset, record.lsn, record.commit_ts,
                            PyBytes_FromStringAndSize(record.payload, record.payload_size)))
