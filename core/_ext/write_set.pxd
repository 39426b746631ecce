# Write set: the own writes of one transaction, in call order for commit and in key order for its reads.
#
#   payload   | put a | put b | delete a | put c | ...       what commit appends to the log, as it is
#               seq 1   seq 2     seq 3    seq 4
#                                    ^ indexed_bytes
#   index     memtable of the operations before indexed_bytes, with ts = sequence number
#
# Writing only appends to the payload. The index is made by the first read that needs it and catches
# up at each later one, so a transaction that only writes, or writes a handful of keys, has none.
#
# One thread at a time (the transaction's lock). Sequence numbers are 1, 2, 3 ... in call order.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .cursor cimport Cursor, Found, RangeTombstone
from .memtable cimport Memtable

cdef enum:
    # charged against the limit for each operation besides its encoded bytes: its nodes in the index
    WRITE_SET_OPERATION_BYTES = 64
    # up to here a walk over the payload is cheaper than an index
    WRITE_SET_LINEAR_OPERATIONS = 8
    WRITE_SET_FIRST_INDEX_BYTES = 65536

cdef struct WriteSet:
    size_t limit_bytes               # of payload_size + operation_count * WRITE_SET_OPERATION_BYTES; constant
    char *payload                    # encoded operations (batch.pxd); NULL before the first
    size_t payload_size
    size_t payload_capacity
    uint64_t operation_count
    Memtable *index                  # NULL until a read needs it
    size_t indexed_bytes             # prefix of the payload that is in the index
    uint64_t indexed_count           # operations in that prefix

cdef WriteSet *write_set_new(size_t limit_bytes) noexcept nogil        # NULL: no memory
cdef void write_set_free(WriteSet *write_set) noexcept nogil           # NULL is fine; open cursors live on
# Copies key and value. A KIND_DELETE has value_size 0; of a KIND_RANGE_DELETE the key is the start
# and the value the stop (exclusive). TOO_LARGE: over the limit, nothing was added.
cdef int write_set_add(WriteSet *write_set, int kind, uint32_t slot, const char *key, size_t key_size,
                       const char *value, size_t value_size) noexcept nogil
# 1: the latest own write of this key in `out`, its ts the sequence number; a covering range delete
# that came later counts as KIND_DELETE. 0: not written here. The value is borrowed until the next
# call with this write set.
cdef int write_set_get(WriteSet *write_set, const char *key, size_t key_size, uint64_t hash_value,
                       Found *out) noexcept nogil
# A cursor over the own puts, pointers and deletes: (key, sequence descending), ts = sequence. It may
# outlive later writes, a rollback and the write set, because it retains the index it was made from.
# It shows all writes made before; of those made after it may or may not show some, so that a scan
# must pass over entries with ts > the operation_count at its start.
cdef int write_set_cursor(WriteSet *write_set, Cursor **out) noexcept nogil
# The own range deletes, ts = sequence. Borrowed until the next call with this write set that adds
# or rolls back, or as long as a cursor made after the last write lives.
cdef int write_set_tombstones(WriteSet *write_set, const RangeTombstone **out, size_t *count) noexcept nogil
# Forgets all operations added since the mark was taken. INVALID: no operation ends at `mark`.
cdef int write_set_rollback(WriteSet *write_set, uint64_t mark) noexcept nogil

# A place to roll back to; good until a rollback to an earlier mark.
cdef inline uint64_t write_set_mark(const WriteSet *write_set) noexcept nogil:
    return write_set.payload_size

cdef inline uint64_t write_set_count(const WriteSet *write_set) noexcept nogil:
    return write_set.operation_count

# Borrowed until the next add; NULL and 0 when nothing was written.
cdef inline void write_set_payload(const WriteSet *write_set, const char **data, size_t *size) noexcept nogil:
    data[0] = write_set.payload
    size[0] = write_set.payload_size
