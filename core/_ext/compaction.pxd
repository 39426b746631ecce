# Flush and compaction: merges sources into new tables and leaves out what nobody may read any more.
from libc.stdint cimport uint32_t, uint64_t

from .platform cimport mutex_t
from .values cimport ValueLog

cdef struct Bucket:                  # a token bucket, told as the time from which it has tokens again
    mutex_t mutex
    uint64_t bytes_per_second        # constant; 0: unlimited
    uint64_t free_at_ns              # guarded by mutex; monotonic clock

# Returns once `size` more bytes may be written; 1 when `cancelled` (may be NULL) was set meanwhile.
cdef int bucket_take(Bucket *bucket, uint64_t size, const uint32_t *cancelled) noexcept nogil

cdef class RateLimiter:              # shared by threads
    cdef Bucket bucket

cdef class Cancel:
    cdef uint32_t flag               # atomic

cdef class ValueLogHandle:           # lends a value log to write_tables
    cdef ValueLog *values
    cdef object _owner               # keeps the value log open
    cdef bint _owns_values           # made by `create`
    cdef uint64_t _next_number       # of its files, if so
    @staticmethod
    cdef ValueLogHandle wrap(ValueLog *values, object owner)

cdef class CompactionResult:
    cdef readonly list tables
    cdef readonly dict garbage
    cdef readonly uint64_t relocated_bytes
    cdef readonly uint64_t entries_in
    cdef readonly uint64_t entries_out
    cdef readonly uint64_t bytes_written
    cdef readonly double seconds
