# Scans: an iterator of rows over a range, at one timestamp.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .cursor cimport Cursor, RangeTombstone
from .engine cimport Engine
from .merge cimport ReadCursor
from .view cimport View

cdef struct Row:                     # offsets into the buffer of a Scan
    size_t key_offset
    size_t value_offset
    uint32_t key_size
    uint32_t value_size


cdef class Scan:
    cdef Engine engine
    cdef View *view                  # pinned: tables and memtables of the moment the scan began
    cdef ReadCursor *cursor
    cdef RangeTombstone *tombstones
    cdef char *buffer
    cdef size_t buffer_size
    cdef size_t buffer_capacity
    cdef Row *rows
    cdef uint32_t row_count
    cdef uint32_t row_next
    cdef uint32_t row_goal           # rows of the next refill: grows from small to large
    cdef uint64_t remaining          # of the limit
    cdef bint is_filling             # a thread is inside refill(), perhaps without the GIL
    cdef int state                   # 0 running, 1 at the end
    cdef object owner                # snapshot or transaction that must stay open; None for a keyspace
    cdef int refill(self) except -1
    cdef object take_row(self)
    cdef int fill(self) noexcept nogil
    cdef int append_row(self) noexcept nogil
    cdef void release(self) noexcept
    cdef int gather(self) noexcept nogil

# Starts a scan of [start, stop) in the keyspace of `prefix` at `snapshot` (0: the newest). `extra` (NULL
# or owned by the scan from here on) is a further, newest source; `hidden` are further tombstones.
cdef Scan open_scan(Engine engine, uint8_t prefix, object start, object stop, bint reverse, object limit,
                    uint64_t snapshot, Cursor *extra, const RangeTombstone *hidden, size_t hidden_count)
