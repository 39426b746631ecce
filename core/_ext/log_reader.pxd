# Reading log segments: recovery, the change feed, `phantomdb inspect`. See log.pxd for the format.
#
#   log_recover ----+
#   LogCursor ------+--> SegmentReader --> window of 1 MiB, checked record by record --> LogRecord
#   LogSegment -----+
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .files cimport FileHandle, FileSystem, FileSystemHandle
from .hashing cimport crc32c
from .log cimport LOG_RECORD_HEADER_BYTES

cdef enum:
    LOG_FORMAT_VERSION = 1           # written to disk
    LOG_WINDOW_BYTES = 0x100000     # read at a time; grows for a record that is larger

cdef enum LogPosition:
    NO_BOUND = 0xFFFFFFFFFFFFFFFF    # the end of a segment's records is not known
    BEFORE_ALL = 0xFFFFFFFFFFFFFFFF  # "position -1": every durable_lsn is above it
    HIGHEST_LSN = 0x1000000000000    # no log gets this long

cdef struct SegmentHeader:
    uint64_t number
    uint64_t start_lsn               # of the first record
    uint64_t durable_lsn             # what was synced when the segment was begun
    uint64_t size                    # bytes of the file, header included

cdef struct LogRecord:               # `payload` is borrowed until the reader's next call
    uint64_t offset                  # in the segment's file
    uint64_t lsn
    uint64_t end_lsn                 # of the next record
    uint64_t commit_ts
    uint64_t durable_lsn
    const char *payload
    size_t payload_size

cdef struct SegmentReader:           # all zero before the first open
    FileHandle *file
    SegmentHeader header             # `number` is set even when the header is damaged
    bint header_valid
    uint32_t seed                    # of the records' CRCs
    uint64_t file_bytes
    uint64_t limit                   # nothing at or beyond this offset is looked at; file_bytes after an open
    char *window                     # the file's bytes [window_offset, window_offset + window_size)
    size_t window_capacity
    uint64_t window_offset
    size_t window_size

# Walks records across segments; for the change feed. One thread at a time.
cdef struct LogCursor:
    LogRecord record                 # where it stands, after a move returned 1
    SegmentReader reader             # reader.header.number: the segment it stands in
    FileSystemHandle *fs
    char *directory
    uint64_t next_lsn
    uint64_t bound                   # start_lsn of the next segment as far as known

cdef inline uint64_t log_record_bytes(uint64_t payload_size) noexcept nogil:
    return (LOG_RECORD_HEADER_BYTES + payload_size + 7) & ~<uint64_t> 7

# What the CRCs of a segment's records begin with.
cdef inline uint32_t log_seed(uint64_t number) noexcept nogil:
    return crc32c(0, &number, 8)

# CORRUPTION with the segment's path.
cdef int log_damaged(const char *directory, uint64_t number, uint64_t offset, const char *message) noexcept nogil
# The 64 bytes of a header.
cdef void log_header_put(char *out, const SegmentHeader *header) noexcept nogil

# Opens a segment, keeping the window of the one before. A damaged header is no failure: see header_valid.
cdef int log_reader_open(SegmentReader *reader, FileSystemHandle *fs, const char *directory,
                         uint64_t number) noexcept nogil
cdef void log_reader_close(SegmentReader *reader) noexcept nogil
# 1: a valid record begins at `offset`; 0: none does; < 0: status.
cdef int log_reader_record(SegmentReader *reader, uint64_t offset, LogRecord *out) noexcept nogil
# 1: at or after `offset` a valid record with above < durable_lsn <= highest begins; 0: none; < 0: status.
cdef int log_reader_search(SegmentReader *reader, uint64_t offset, uint64_t above, uint64_t highest,
                           LogRecord *out) noexcept nogil

# Stands before the first record of `segment`. The caller pins the segment (log_pin) as long as the cursor lives.
cdef int log_cursor_open(FileSystemHandle *fs, const char *directory, uint64_t segment,
                         LogCursor **out) noexcept nogil
# 1: cursor.record is the next one; 0: the next one is not below `end_lsn`; < 0: status. `end_lsn` must not
# be beyond what has been appended; a later call may give a larger one.
cdef int log_cursor_next(LogCursor *cursor, uint64_t end_lsn) noexcept nogil
cdef void log_cursor_close(LogCursor *cursor) noexcept nogil     # NULL is allowed

cdef class LogSegment:
    cdef SegmentReader reader
    cdef FileSystem file_system
    cdef uint64_t offset             # after the last record found
    cdef readonly str path
    cdef readonly str end_reason     # None until the iteration has ended

cdef class LogFeed:
    cdef LogCursor *cursor
    cdef FileSystem file_system
