# Write-ahead log: numbered segments of one endless byte sequence. See docs/formats.md for the bytes.
#
#   segment 7                        segment 8 (recycled, mapped)
#   +--------+-----+-----+-----+     +--------+-----+-----+ - - - stale bytes of its former life - -
#   | header | rec | rec | rec |     | header | rec | rec |
#   +--------+-----+-----+-----+     +--------+-----+-----+ - - - - - - - - - - - - - - - - - - - -
#   start_lsn=S7                     start_lsn=S8 = end of segment 7
#
#   record := crc u32 | payload_size u32 | commit_ts u64 | durable_lsn u64 | payload | pad to 8
#
# A position (LSN) is a byte offset in the endless sequence (headers of segments not counted). The
# CRC is seeded with the segment's number, so stale bytes of a recycled file never pass. `durable_lsn`
# says what was already synced when the record was written: at recovery, damage below the largest
# durable_lsn seen later is corruption (an error); damage above it is a torn tail (cut off).
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .files cimport FileSystemHandle
from .log_segments cimport Segment, SegmentPool
from .platform cimport condition_t, mutex_t

cdef enum:
    LOG_HEADER_BYTES = 64
    LOG_RECORD_HEADER_BYTES = 24

cdef struct Log:
    SegmentPool pool                 # has a lock of its own
    bint zero_fill                   # constant
    # guarded by the caller's commit lock
    uint64_t offset                  # of the next record in the current segment's file
    uint32_t seed                    # of the current segment
    char *buffer                     # a record on its way to a file that is not mapped
    size_t buffer_bytes
    # guarded by `mutex`
    mutex_t mutex
    condition_t synced               # `syncing` has ended
    Segment *oldest
    Segment *current                 # the last of the list; replaced with the commit lock held, too
    uint64_t end_lsn                 # also read atomically without it
    uint64_t durable_lsn             # likewise
    bint syncing                     # a thread syncs: no other does, and unsynced segments are not released
    uint32_t failed                  # a sync failed: for ever; also read atomically
    int failed_errno
    uint64_t *pins                   # segment numbers; release keeps those and newer ones
    size_t pin_count
    size_t pin_capacity

# Called for each record in order while recovering; a status < 0 stops the recovery with that status,
# 1 says "this record's outside data (value log) is not there": treat it as torn or corrupt by its lsn.
ctypedef int (*log_apply)(void *context, uint64_t segment, uint64_t commit_ts, const char *payload,
                          size_t size) noexcept nogil

# Opens the log of `directory`: replays every segment with number >= first_segment through `apply`,
# cuts a torn tail, removes older segments, and starts a fresh segment for new records.
# `zero_fill`: durability "commit": zeros are written into new segments ahead of use, and a sync covers
# all that is appended, whoever asked (else only what was asked for: the values of the rest may not be synced).
cdef int log_open(FileSystemHandle *fs, const char *directory, uint64_t first_segment, uint64_t segment_bytes,
                  bint zero_fill, log_apply apply, void *context, Log **out) noexcept nogil
# Appends one record; the caller holds the commit lock. `end_lsn` receives the position after it.
# After a failure (NO_SPACE, IO_ERROR) nothing was appended and appending may be tried again.
cdef int log_append(Log *log, const char *payload, size_t size, uint64_t commit_ts, uint64_t *end_lsn) noexcept nogil
# Returns when everything before `lsn` is on disk; concurrent callers share one fdatasync (group
# commit: the first becomes leader, the others wait). No lock of the engine may be held. A failed
# sync fails this and every later call with FAILED, but for what was on disk before: of the rest it
# is unknown what the disk kept.
cdef int log_wait_durable(Log *log, uint64_t lsn) noexcept nogil
cdef uint64_t log_end_lsn(Log *log) noexcept nogil               # after the last record appended
cdef uint64_t log_durable_lsn(Log *log) noexcept nogil
cdef uint64_t log_current_segment(Log *log) noexcept nogil       # number of the segment being written
# Segments below `number` are no longer needed: kept for reuse (a few) or removed.
cdef int log_release(Log *log, uint64_t number) noexcept nogil
# Makes the next segment ready ahead of need (allocate, zero); for a background thread.
cdef int log_prepare(Log *log) noexcept nogil
# Keeps `segment` and newer ones whatever is released (a change feed reads them); FEED_LOST when it is
# gone already. Pins are counted; what they held back goes with the first log_release after log_unpin.
cdef int log_pin(Log *log, uint64_t segment) noexcept nogil
cdef void log_unpin(Log *log, uint64_t segment) noexcept nogil
cdef uint64_t log_oldest_segment(Log *log) noexcept nogil        # number of the oldest that is not released
# Bytes of headers and records in all live segments.
cdef uint64_t log_bytes(Log *log) noexcept nogil
# Syncs (unless failed), closes. `remove_all`: every byte is in tables, leave no segment behind.
cdef int log_close(Log *log, bint remove_all) noexcept nogil
