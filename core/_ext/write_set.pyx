"""The own writes of one transaction: appended for commit, indexed for reading one's own writes.

Until it commits, a transaction's writes are nobody else's business, so they live in plain memory in
two forms. The *payload* is the encoded batch of batch.pxd in call order; commit hands it to the log
as it stands. The *index* is a memtable over the same operations, in which the sequence number of an
operation takes the place of the commit timestamp; it exists only if the transaction asks for what
it wrote. (RocksDB keeps the same pair as `WriteBatchWithIndex`, but indexes at every write.)

    add ------> payload            get  few operations: walk the payload, the last match counts
                   |                    more: catch up the index, ask it
                   | catch up      scan    catch up the index, cursor over it
                   v               rollback   cut the payload; drop the index if it holds too much
                 index

Catching up inserts the operations that came since the last time. When the index is full, one of
twice the size is built from the payload and the old one is released; cursors keep the old one alive.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp

from .batch cimport Operation, operation_get, operation_put, operation_size
from .block cimport KIND_DELETE, KIND_POINTER, KIND_PUT, KIND_RANGE_DELETE
from .census cimport WRITE_SET, count_birth, count_death
from .cursor cimport Cursor, Found, RangeTombstone, compare_keys
from .hashing cimport key_hash, slot_of_hash
from .memtable cimport (memtable_add_tombstone, memtable_cursor, memtable_get, memtable_insert, memtable_new,
                        memtable_release)
from .merge cimport covering_tombstone
from .status cimport CORRUPTION, INVALID, NO_MEMORY, NO_OFFSET, OK, TOO_LARGE, fail, raise_status

cdef uint64_t LAST_SEQUENCE = <uint64_t> 0xFFFFFFFFFFFFFFFF
cdef size_t FIRST_PAYLOAD_BYTES = 256
cdef size_t FIELD_BYTES_MAX = <size_t> 0xFFFFFFFF        # sizes in an operation have 32 bits
cdef uint64_t INDEX_BYTES_MAX = <uint64_t> 1 << 35       # what a memtable can address


cdef WriteSet *write_set_new(size_t limit_bytes) noexcept nogil:
    cdef WriteSet *write_set = <WriteSet *> calloc(1, sizeof(WriteSet))
    if write_set != NULL:
        count_birth(WRITE_SET)
        write_set.limit_bytes = limit_bytes
    return write_set


cdef void _drop_index(WriteSet *write_set) noexcept nogil:
    if write_set.index != NULL:
        memtable_release(write_set.index)
    write_set.index = NULL
    write_set.indexed_bytes = 0
    write_set.indexed_count = 0


cdef void write_set_free(WriteSet *write_set) noexcept nogil:
    if write_set == NULL:
        return
    _drop_index(write_set)
    free(write_set.payload)
    free(write_set)
    count_death(WRITE_SET)


cdef size_t _charged_bytes(const WriteSet *write_set) noexcept nogil:
    return write_set.payload_size + write_set.operation_count * WRITE_SET_OPERATION_BYTES


cdef int _fail_too_large(const WriteSet *write_set) noexcept nogil:
    cdef char message[160]
    snprintf(message, sizeof(message),
             "the transaction's writes are over the limit of %llu bytes (write_set_bytes); commit in smaller parts",
             <unsigned long long> write_set.limit_bytes)
    return fail(TOO_LARGE, message, NULL, <uint64_t> NO_OFFSET)


cdef int _reserve_payload(WriteSet *write_set, size_t more) noexcept nogil:
    cdef size_t capacity = write_set.payload_capacity
    cdef char *payload
    if more <= capacity - write_set.payload_size:
        return OK
    if capacity == 0:
        capacity = FIRST_PAYLOAD_BYTES
    while capacity - write_set.payload_size < more:
        capacity *= 2
    payload = <char *> realloc(write_set.payload, capacity)
    if payload == NULL:
        return fail(NO_MEMORY, NULL, NULL, <uint64_t> NO_OFFSET)
    write_set.payload = payload
    write_set.payload_capacity = capacity
    return OK


cdef int write_set_add(WriteSet *write_set, int kind, uint32_t slot, const char *key, size_t key_size,
                       const char *value, size_t value_size) noexcept nogil:
    cdef size_t size
    cdef size_t left = write_set.limit_bytes
    cdef int status
    if kind < KIND_PUT or kind > KIND_RANGE_DELETE or slot > 0xFFFF:
        return fail(INVALID, "not a kind of write or not a slot", NULL, <uint64_t> NO_OFFSET)
    if key_size > FIELD_BYTES_MAX or value_size > FIELD_BYTES_MAX:
        return _fail_too_large(write_set)
    size = operation_size(key_size, value_size)
    left -= _charged_bytes(write_set)            # what was added before kept to the limit
    if left < size + WRITE_SET_OPERATION_BYTES:
        return _fail_too_large(write_set)
    status = _reserve_payload(write_set, size)
    if status < 0:
        return status
    operation_put(write_set.payload + write_set.payload_size, kind, slot, key, key_size, value, value_size)
    write_set.payload_size += size
    write_set.operation_count += 1
    return OK


# ---- the index

cdef int _fail_payload() noexcept nogil:
    return fail(CORRUPTION, "the transaction's own writes cannot be read back", NULL, <uint64_t> NO_OFFSET)


# Inserts the operations that are not in the index yet. TOO_LARGE: it is full, some may be in already.
cdef int _index_rest(WriteSet *write_set) noexcept nogil:
    cdef const char *p = write_set.payload + write_set.indexed_bytes
    cdef const char *end = write_set.payload + write_set.payload_size
    cdef Operation operation
    cdef uint64_t sequence
    cdef int status
    while p < end:
        p = operation_get(p, end, &operation)
        if p == NULL:
            return _fail_payload()
        sequence = write_set.indexed_count + 1
        if operation.kind == KIND_RANGE_DELETE:
            status = memtable_add_tombstone(write_set.index, operation.key, operation.key_size,
                                            operation.value, operation.value_size, sequence)
        else:
            status = memtable_insert(write_set.index, operation.key, operation.key_size,
                                     key_hash(operation.key, operation.key_size), sequence,
                                     operation.kind, operation.value, operation.value_size)
        if status < 0:
            return status
        write_set.indexed_bytes = p - write_set.payload
        write_set.indexed_count = sequence
    return OK


# Brings the index up to date, making it, or a larger one, where needed.
cdef int _catch_up(WriteSet *write_set) noexcept nogil:
    cdef uint64_t capacity = WRITE_SET_FIRST_INDEX_BYTES
    cdef int status = TOO_LARGE
    if write_set.index != NULL:
        capacity = write_set.index.capacity * 2
        status = _index_rest(write_set)
    while capacity < _charged_bytes(write_set):
        capacity *= 2
    while status == TOO_LARGE and capacity <= INDEX_BYTES_MAX:
        _drop_index(write_set)
        write_set.index = memtable_new(capacity)
        if write_set.index == NULL:
            return fail(NO_MEMORY, NULL, NULL, <uint64_t> NO_OFFSET)
        status = _index_rest(write_set)
        capacity *= 2
    return status


# Walks the payload; the last operation that touches the key decides.
cdef int _get_by_walk(const WriteSet *write_set, const char *key, size_t key_size, Found *out) noexcept nogil:
    cdef const char *p = write_set.payload
    cdef const char *end = write_set.payload + write_set.payload_size
    cdef Operation operation
    cdef uint64_t sequence = 0
    cdef int found = 0
    while p < end:
        p = operation_get(p, end, &operation)
        if p == NULL:
            return _fail_payload()
        sequence += 1
        if operation.kind == KIND_RANGE_DELETE:
            if (compare_keys(operation.key, operation.key_size, key, key_size) > 0
                    or compare_keys(key, key_size, operation.value, operation.value_size) >= 0):
                continue
            operation.kind = KIND_DELETE
            operation.value_size = 0
        elif operation.key_size != key_size or memcmp(operation.key, key, key_size) != 0:
            continue
        out.kind = operation.kind
        out.ts = sequence
        out.value = operation.value
        out.value_size = operation.value_size
        found = 1
    return found


cdef int write_set_get(WriteSet *write_set, const char *key, size_t key_size, uint64_t hash_value,
                       Found *out) noexcept nogil:
    cdef uint64_t deleted_at
    cdef int found
    if write_set.operation_count <= WRITE_SET_LINEAR_OPERATIONS:
        return _get_by_walk(write_set, key, key_size, out)
    found = _catch_up(write_set)
    if found < 0:
        return found
    found = memtable_get(write_set.index, key, key_size, hash_value, LAST_SEQUENCE, out)
    if found < 0 or write_set.index.tombstone_count == 0:
        return found
    deleted_at = covering_tombstone(write_set.index.tombstones, write_set.index.tombstone_count, key, key_size,
                                    LAST_SEQUENCE)
    if deleted_at == 0 or (found and out.ts > deleted_at):
        return found
    out.kind = KIND_DELETE
    out.ts = deleted_at
    out.value = NULL
    out.value_size = 0
    return 1


cdef int write_set_cursor(WriteSet *write_set, Cursor **out) noexcept nogil:
    cdef int status = _catch_up(write_set)
    if status < 0:
        return status
    out[0] = memtable_cursor(write_set.index)
    if out[0] == NULL:
        return fail(NO_MEMORY, NULL, NULL, <uint64_t> NO_OFFSET)
    return OK


cdef int write_set_tombstones(WriteSet *write_set, const RangeTombstone **out, size_t *count) noexcept nogil:
    cdef int status = _catch_up(write_set)
    if status < 0:
        return status
    out[0] = write_set.index.tombstones
    count[0] = write_set.index.tombstone_count
    return OK


cdef int write_set_rollback(WriteSet *write_set, uint64_t mark) noexcept nogil:
    cdef const char *p = write_set.payload
    cdef const char *end = write_set.payload + write_set.payload_size
    cdef Operation operation
    cdef uint64_t count = 0
    if mark == write_set.payload_size:
        return OK
    while p != NULL and p < end and <uint64_t> (p - write_set.payload) < mark:
        p = operation_get(p, end, &operation)
        count += 1
    if p == NULL or <uint64_t> (p - write_set.payload) != mark:
        return fail(INVALID, "not a mark of this transaction", NULL, <uint64_t> NO_OFFSET)
    write_set.payload_size = mark
    write_set.operation_count = count
    if write_set.indexed_bytes > mark:
        _drop_index(write_set)
    return OK


# ---- seen from Python

cdef class WriteSetProbe:
    """A write set that tests and tools can reach; the engine uses the C functions."""
    cdef WriteSet *_write_set

    def __cinit__(self, size_t limit_bytes=1 << 30):
        self._write_set = write_set_new(limit_bytes)
        if self._write_set == NULL:
            raise MemoryError

    def __dealloc__(self):
        write_set_free(self._write_set)

    def __len__(self):
        return write_set_count(self._write_set)

    def put(self, bytes key not None, bytes value not None, bint pointer=False):
        """Write `value`, which is a pointer into the value log when `pointer` is set."""
        self._add(KIND_POINTER if pointer else KIND_PUT, key, value)

    def delete(self, bytes key not None):
        """Delete one key."""
        self._add(KIND_DELETE, key, b"")

    def delete_range(self, bytes start not None, bytes stop not None):
        """Delete all keys in [start, stop)."""
        self._add(KIND_RANGE_DELETE, start, stop)

    cdef int _add(self, int kind, bytes key, bytes value) except -1:
        cdef uint32_t slot = slot_of_hash(key_hash(<const char *> key, len(key)))
        cdef int status = write_set_add(self._write_set, kind, slot, key, len(key), value, len(value))
        if status < 0:
            raise_status(status)
        return 0

    def get(self, bytes key not None):
        """(kind, sequence, value) of the latest own write of `key`, or None."""
        cdef Found found
        cdef int status = write_set_get(self._write_set, key, len(key), key_hash(<const char *> key, len(key)),
                                        &found)
        if status < 0:
            raise_status(status)
        return (found.kind, found.ts, found.value[:found.value_size]) if status else None

    def scan(self):
        """An iterator over (key, sequence, kind, value): keys ascending, newest write first."""
        cdef WriteSetScan scan = WriteSetScan.__new__(WriteSetScan)
        cdef int status = write_set_cursor(self._write_set, &scan._cursor)
        if status < 0:
            raise_status(status)
        scan._sequence = write_set_count(self._write_set)
        return scan

    def tombstones(self):
        """[(start, stop, sequence)] of the own range deletes."""
        cdef const RangeTombstone *tombstones
        cdef size_t count, i
        cdef int status = write_set_tombstones(self._write_set, &tombstones, &count)
        if status < 0:
            raise_status(status)
        return [(tombstones[i].start[:tombstones[i].start_size], tombstones[i].stop[:tombstones[i].stop_size],
                 tombstones[i].ts) for i in range(count)]

    def mark(self):
        """A number for `rollback`."""
        return write_set_mark(self._write_set)

    def rollback(self, uint64_t mark):
        """Forget all writes made since `mark` was taken."""
        cdef int status = write_set_rollback(self._write_set, mark)
        if status < 0:
            raise_status(status)

    def payload(self):
        """The encoded operations in call order, as commit logs them."""
        cdef const char *data
        cdef size_t size
        write_set_payload(self._write_set, &data, &size)
        return data[:size]

    def index_bytes(self):
        """Capacity of the index, 0 while there is none."""
        return self._write_set.index.capacity if self._write_set.index != NULL else 0


cdef class WriteSetScan:
    """Iterator of WriteSetProbe.scan: the writes that were there when it was made."""
    cdef Cursor *_cursor
    cdef uint64_t _sequence
    cdef bint _started

    def __dealloc__(self):
        if self._cursor != NULL:
            self._cursor.free(self._cursor)

    def __iter__(self):
        return self

    def __next__(self):
        cdef Cursor *cursor = self._cursor
        cdef int status = cursor.next(cursor) if self._started else cursor.seek_first(cursor)
        self._started = True
        while status == 1 and cursor.ts > self._sequence:
            status = cursor.next(cursor)
        if status < 0:
            raise_status(status)
        if status == 0:
            raise StopIteration
        return cursor.key[:cursor.key_size], cursor.ts, cursor.kind, cursor.value[:cursor.value_size]
