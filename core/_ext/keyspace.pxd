# Keyspaces: what a program reads and writes. A keyspace is the engine's keys behind one prefix byte.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .engine cimport Engine
from .keys cimport Key

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

cdef class Reader:
    cdef readonly Engine engine
    cdef uint8_t prefix
    cdef uint64_t snapshot_ts        # 0: always the newest
    cdef bint is_closed

cdef class KeySpace(Reader):
    pass

cdef class Snapshot(Reader):
    pass
