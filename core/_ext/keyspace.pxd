# Keyspaces: what a program reads and writes. A keyspace is the engine's keys behind one prefix byte.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .cursor cimport Cursor, RangeTombstone
from .engine cimport Engine
from .keys cimport Key
from .merge cimport ReadCursor
from .view cimport View

# A growing buffer of encoded operations on its way to a commit.
cdef struct Payload:
    char *data
    size_t size
    size_t capacity

cdef int payload_reserve(Payload *payload, size_t extra) except -1
# Encodes one write; a value over the threshold goes to the value log first. `value` None deletes.
cdef int payload_add(Engine engine, Payload *payload, uint8_t prefix, object key, object value) except -1
# Puts the value into the value log, synced in durability "commit"; the caller counts as value writer.
cdef int store_value(Engine engine, const char *key, size_t key_size, const char *value, size_t value_size,
                     char *pointer) except -1
# Commits `data`, waiting without the GIL where needed; returns the commit timestamp.
cdef uint64_t commit_payload(Engine engine, const char *data, size_t size) except 0
# The value behind a row found in a view: plain bytes, or read from the value log.
cdef object load_value(Engine engine, int kind, const char *value, size_t value_size)
# What `key` holds at `snapshot` (0: the newest), or None.
cdef object read_key(Engine engine, uint8_t prefix, object key, uint64_t snapshot)

cdef struct Wanted:                  # one key of a multi_get
    Key key
    uint64_t hash_value
    uint32_t partition

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

# Starts a scan of [start, stop) in the keyspace of `prefix` at `snapshot` (0: the newest). `extra` (NULL
# or owned by the scan from here on) is a further, newest source; `hidden` are further tombstones.
cdef Scan open_scan(Engine engine, uint8_t prefix, object start, object stop, bint reverse, object limit,
                    uint64_t snapshot, Cursor *extra, const RangeTombstone *hidden, size_t hidden_count)

cdef class Reader:
    cdef readonly Engine engine
    cdef uint8_t prefix
    cdef uint64_t snapshot_ts        # 0: always the newest
    cdef bint is_closed

cdef class KeySpace(Reader):
    pass

cdef class Snapshot(Reader):
    pass
