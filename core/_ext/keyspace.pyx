"""Keyspaces and snapshots: bytes in, bytes out.

A point read runs with the GIL as long as all it needs is in memory (that takes less time than giving
the GIL away and getting it back) and starts over without the GIL when a block must be read from disk.
"""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from .batch cimport operation_put, operation_size
from .block cimport KIND_DELETE, KIND_POINTER, KIND_PUT, KIND_RANGE_DELETE
from .cursor cimport Found
from .engine cimport DURABILITY_COMMIT, Engine
from .guard cimport guard_enter, guard_exit
from .hashing cimport key_hash, slot_of_hash
from .keys cimport (Input, Key, MAX_VALUE_BYTES, PREFIX_BYTES, bound_build, input_close, input_open, key_build,
                    key_free)
from .platform cimport add_u32, load_ptr, load_u64, sub_u32
from .scan cimport Scan, open_scan
from .status cimport BUSY, CORRUPTION, NO_OFFSET, SNAPSHOT_CLOSED, TOO_LARGE, fail, raise_status
from .values cimport VALUE_POINTER_BYTES, ValuePointer, value_log_append, value_log_read, value_log_sync
from .view cimport View, view_changed_range, view_get, view_prefetch

cdef enum:
    STACK_PAYLOAD_BYTES = 8192       # a single put up to this size is encoded on the stack
    GIL_COMMIT_BYTES = 32768         # larger commits give the GIL away at once
    PREFETCH_KEYS = 16


# -------------------------------------------------------------------- writing

cdef int payload_reserve(Payload *payload, size_t extra) except -1:
    cdef size_t capacity
    cdef char *grown
    if payload.size + extra <= payload.capacity:
        return 0
    capacity = (payload.size + extra) * 2 + 256
    grown = <char *> realloc(payload.data, capacity)
    if grown == NULL:
        raise MemoryError()
    payload.data, payload.capacity = grown, capacity
    return 0


cdef int value_too_large() except -1:
    fail(TOO_LARGE, "a value is larger than 1 GiB (MAX_VALUE_BYTES)", NULL, <uint64_t> NO_OFFSET)
    return raise_status(TOO_LARGE)


cdef int store_value(Engine engine, const char *key, size_t key_size, const char *value, size_t value_size,
                     char *pointer) except -1:
    cdef int status = engine.check_usable()
    if status < 0:
        return raise_status(status)
    with nogil:
        status = value_log_append(engine.values, key, key_size, value, value_size, <ValuePointer *> pointer)
        if status == 0 and engine.durability == DURABILITY_COMMIT:
            # before the log record: another thread's sync may make that durable at any moment
            status = value_log_sync(engine.values)
    if status < 0:
        return raise_status(status)
    return 0


cdef inline uint32_t slot_for(Engine engine, const char *key, size_t key_size) noexcept nogil:
    """The slot of an internal key; keyspaces partition by the user's whole key."""
    return slot_of_hash(key_hash(key + PREFIX_BYTES, key_size - PREFIX_BYTES))


cdef int payload_add(Engine engine, Payload *payload, uint8_t prefix, object key, object value) except -1:
    cdef Key built
    cdef Input given
    cdef char pointer[VALUE_POINTER_BYTES]
    cdef int kind = KIND_PUT
    given.data, given.size, given.is_buffer = NULL, 0, False
    key_build(&built, prefix, key)
    try:
        if value is None:
            kind = KIND_DELETE
        else:
            input_open(&given, value, "a value")
            if given.size > engine.value_threshold:
                if given.size > MAX_VALUE_BYTES:
                    value_too_large()
                store_value(engine, built.data, built.size, given.data, given.size, pointer)
                input_close(&given)
                given.data, given.size, given.is_buffer = pointer, sizeof(ValuePointer), False
                kind = KIND_POINTER
        payload_reserve(payload, operation_size(built.size, given.size))
        payload.size = operation_put(payload.data + payload.size, kind, slot_for(engine, built.data, built.size),
                                     built.data, built.size, given.data, given.size) - payload.data
    finally:
        input_close(&given)
        key_free(&built)
    return 0


cdef uint64_t commit_payload(Engine engine, const char *data, size_t size) except 0:
    cdef uint64_t commit_ts = 0, end_lsn = 0
    cdef int status = BUSY
    if size <= GIL_COMMIT_BYTES:
        status = engine.commit(data, size, NULL, False, &commit_ts, &end_lsn)
    if status == BUSY:
        with nogil:
            engine.pay_delay()
            status = engine.commit(data, size, NULL, True, &commit_ts, &end_lsn)
    if status == 0 and engine.durability == DURABILITY_COMMIT:
        with nogil:
            status = engine.finish_commit(commit_ts, end_lsn)
    if status < 0:
        raise_status(status)
    return commit_ts


# -------------------------------------------------------------------- reading

cdef object load_value(Engine engine, int kind, const char *value, size_t value_size):
    """Called inside the guard (or with the row pinned), so that the value's file cannot go away."""
    cdef ValuePointer pointer
    cdef bytes loaded
    cdef char *target
    cdef int status
    if kind != KIND_POINTER:
        return PyBytes_FromStringAndSize(value, value_size)
    if value_size != sizeof(ValuePointer):
        fail(CORRUPTION, "a value pointer has a wrong size", NULL, <uint64_t> NO_OFFSET)
        raise_status(CORRUPTION)
    memcpy(&pointer, value, sizeof(ValuePointer))
    if pointer.value_size > MAX_VALUE_BYTES:
        fail(CORRUPTION, "a value pointer names an impossible size", NULL, <uint64_t> NO_OFFSET)
        raise_status(CORRUPTION)
    loaded = PyBytes_FromStringAndSize(NULL, pointer.value_size)
    target = PyBytes_AS_STRING(loaded)
    with nogil:
        status = value_log_read(engine.values, &pointer, target)
    if status < 0:
        raise_status(status)
    return loaded


cdef object read_slowly(Engine engine, uint32_t partition, Key *key, uint64_t hash_value, uint64_t snapshot):
    """The same read with permission to wait for the disk."""
    cdef View *view
    cdef Found found
    cdef int status
    cdef uint32_t token
    cdef object value = None
    with nogil:
        token = guard_enter(engine.guard)
        status = engine.check_usable()
        if status == 0:
            view = <View *> load_ptr(<void **> &engine.view)
            status = view_get(view, partition, key.data, key.size, hash_value,
                              snapshot if snapshot else load_u64(&engine.visible_ts), True, &found)
    try:
        if status == 1:
            value = load_value(engine, found.kind, found.value, found.value_size)
    finally:
        guard_exit(engine.guard, token)
    if status < 0:
        raise_status(status)
    return value


cdef object read_key(Engine engine, uint8_t prefix, object key, uint64_t snapshot):
    cdef Key built
    cdef Found found
    cdef View *view
    cdef uint64_t hash_value
    cdef uint32_t token, partition = 0
    cdef int status
    cdef object value = None
    key_build(&built, prefix, key)
    hash_value = key_hash(built.data, built.size)
    if engine.partition_count > 1:
        partition = engine.partition_of(slot_for(engine, built.data, built.size))
    token = guard_enter(engine.guard)
    status = engine.check_usable()
    if status == 0:
        view = <View *> load_ptr(<void **> &engine.view)
        status = view_get(view, partition, built.data, built.size, hash_value,
                          snapshot if snapshot else load_u64(&engine.visible_ts), False, &found)
    if status == 1 and found.kind == KIND_PUT:
        try:
            value = PyBytes_FromStringAndSize(found.value, found.value_size)
        finally:
            guard_exit(engine.guard, token)
            key_free(&built)
        return value
    guard_exit(engine.guard, token)
    try:
        if status == BUSY or status == 1:
            value = read_slowly(engine, partition, &built, hash_value, snapshot)
        elif status < 0:
            raise_status(status)
    finally:
        key_free(&built)
    return value


@cython.no_gc_clear                  # its end needs the engine, also inside a dying cycle
cdef class Reader:
    """What a keyspace and a snapshot of it have in common: reading."""

    def __init__(self, Engine engine not None, uint8_t prefix):
        self.engine, self.prefix = engine, prefix

    def check_open(self):
        """Raises SnapshotClosed after close()."""
        if self.is_closed:
            raise_status(SNAPSHOT_CLOSED)

    def get(self, key):
        """The value of `key` (bytes or a buffer), or None."""
        if self.is_closed:
            raise_status(SNAPSHOT_CLOSED)
        return read_key(self.engine, self.prefix, key, self.snapshot_ts)

    def __contains__(self, key):
        return self.get(key) is not None

    def multi_get(self, keys):
        """The values of `keys` in their order, None for a missing one; all as of the same moment."""
        cdef uint64_t snapshot = self.snapshot_ts
        cdef list values
        if self.is_closed:
            raise_status(SNAPSHOT_CLOSED)
        return read_keys(self.engine, self.prefix, keys if type(keys) is list else list(keys), snapshot)

    def scan(self, start=None, stop=None, reverse=False, limit=None):
        """Iterator of (key, value) with start <= key < stop in key order, or from the last to the first with
        `reverse`; at most `limit` of them. It sees the rows of this moment (or of the snapshot)."""
        cdef Scan scan
        if self.is_closed:
            raise_status(SNAPSHOT_CLOSED)
        scan = open_scan(self.engine, self.prefix, start, stop, reverse, limit, self.snapshot_ts, NULL, NULL, 0)
        if self.snapshot_ts:
            scan.owner = self
        return scan

    def range_scan(self, start, count):
        """The first `count` (key, value) pairs with key >= start as a list: scan() for short ranges, in one call."""
        cdef Scan scan = self.scan(start, None, False, count)
        cdef list rows = []
        while not scan.state and scan.refill():
            while scan.row_next != scan.row_count:
                rows.append(scan.take_row())
        return rows

    def changed_since(self, uint64_t timestamp, start=None, stop=None):
        """Whether a key with start <= key < stop was written or deleted after commit timestamp `timestamp`."""
        cdef Key low, high
        cdef uint32_t token
        cdef int status
        low.data = low.storage
        high.data = high.storage
        try:
            bound_build(&low, self.prefix, start, False)
            bound_build(&high, self.prefix, stop, True)
            with nogil:
                token = guard_enter(self.engine.guard)
                status = self.engine.check_usable()
                if status == 0:
                    status = view_changed_range(<View *> load_ptr(<void **> &self.engine.view), low.data, low.size,
                                                high.data, high.size, timestamp)
                guard_exit(self.engine.guard, token)
        finally:
            key_free(&low)
            key_free(&high)
        if status < 0:
            raise_status(status)
        return status == 1

    def __iter__(self):
        return self.scan()


cdef object read_group(Engine engine, View *view, Wanted *wanted, uint32_t count, uint64_t snapshot, list values):
    """Appends the values of a group of keys; inside the guard. The memory of the whole group is requested, step by
    step, before the first key is looked at, so that their cache misses overlap."""
    cdef Found found
    cdef uint32_t i
    cdef int step, status
    for step in range(3):
        for i in range(count):
            view_prefetch(view, wanted[i].partition, wanted[i].key.data, wanted[i].key.size, wanted[i].hash_value, step)
    for i in range(count):
        status = view_get(view, wanted[i].partition, wanted[i].key.data, wanted[i].key.size, wanted[i].hash_value,
                          snapshot, False, &found)
        if status == 1 and found.kind == KIND_PUT:
            values.append(PyBytes_FromStringAndSize(found.value, found.value_size))
        elif status == 0:
            values.append(None)
        elif status == 1 or status == BUSY:
            values.append(read_slowly(engine, wanted[i].partition, &wanted[i].key, wanted[i].hash_value, snapshot))
        else:
            raise_status(status)


cdef list read_keys(Engine engine, uint8_t prefix, list keys, uint64_t snapshot):
    """Point reads as of one moment, a group at a time."""
    cdef Wanted wanted[PREFETCH_KEYS]
    cdef list values = []
    cdef uint64_t pinned = snapshot
    cdef Py_ssize_t position = 0, total = len(keys)
    cdef uint32_t count = 0, i, token
    cdef int status = engine.check_usable()
    if status == 0 and not snapshot:
        with nogil:
            status = engine.open_snapshot(0, &pinned)
    if status < 0:
        raise_status(status)
    try:
        while position < total:
            count = 0
            while count < PREFETCH_KEYS and position < total:
                key_build(&wanted[count].key, prefix, keys[position])
                count += 1
                position += 1
            for i in range(count):
                wanted[i].hash_value = key_hash(wanted[i].key.data, wanted[i].key.size)
                wanted[i].partition = 0
                if engine.partition_count > 1:
                    wanted[i].partition = engine.partition_of(slot_for(engine, wanted[i].key.data, wanted[i].key.size))
            token = guard_enter(engine.guard)
            try:
                status = engine.check_usable()
                if status < 0:
                    raise_status(status)
                read_group(engine, <View *> load_ptr(<void **> &engine.view), wanted, count, pinned, values)
            finally:
                guard_exit(engine.guard, token)
            for i in range(count):
                key_free(&wanted[i].key)
            count = 0
    finally:
        for i in range(count):
            key_free(&wanted[i].key)
        if not snapshot:
            engine.close_snapshot(pinned)
    return values


cdef class KeySpace(Reader):
    """Ordered bytes to bytes. Each call is a transaction of its own; see Database.transaction() for larger ones."""

    def put(self, key, value):
        """Sets `key` to `value` (bytes or buffers)."""
        cdef char stack[STACK_PAYLOAD_BYTES]
        cdef Key built
        cdef Input given
        cdef size_t size
        if value is None:
            raise TypeError("a value must be bytes or a buffer, not NoneType (delete() removes a key)")
        key_build(&built, self.prefix, key)
        try:
            input_open(&given, value, "a value")
            if given.size > self.engine.value_threshold or built.size + given.size > STACK_PAYLOAD_BYTES - 32:
                input_close(&given)
                write_one(self.engine, self.prefix, key, value)
                return
            size = operation_put(stack, KIND_PUT, slot_for(self.engine, built.data, built.size)
                                 if self.engine.partition_count > 1 else 0,
                                 built.data, built.size, given.data, given.size) - stack
            input_close(&given)
        finally:
            key_free(&built)
        commit_payload(self.engine, stack, size)

    def delete(self, key):
        """Removes `key`; nothing happens when it is not there."""
        write_one(self.engine, self.prefix, key, None)

    def write(self, pairs):
        """Applies all (key, value) pairs at once; a value of None deletes. A mapping may be given as well."""
        cdef Payload payload
        memset(&payload, 0, sizeof(Payload))
        add_u32(&self.engine.value_writers, 1)
        try:
            for key, value in (pairs.items() if hasattr(pairs, "items") else pairs):
                payload_add(self.engine, &payload, self.prefix, key, value)
            if payload.size:
                commit_payload(self.engine, payload.data, payload.size)
        finally:
            sub_u32(&self.engine.value_writers, 1)
            free(payload.data)

    def delete_range(self, start=None, stop=None):
        """Removes all keys with start <= key < stop in one step, however many; None is an open end."""
        cdef Key low, high
        cdef Payload payload
        memset(&payload, 0, sizeof(Payload))
        low.data = low.storage
        high.data = high.storage
        try:
            bound_build(&low, self.prefix, start, False)
            bound_build(&high, self.prefix, stop, True)
            payload_reserve(&payload, operation_size(low.size, high.size))
            payload.size = operation_put(payload.data, KIND_RANGE_DELETE, 0, low.data, low.size, high.data,
                                         high.size) - payload.data
            commit_payload(self.engine, payload.data, payload.size)
        finally:
            key_free(&low)
            key_free(&high)
            free(payload.data)

    def snapshot_at(self, uint64_t timestamp):
        """A Snapshot as of `timestamp` (0: now)."""
        cdef Snapshot snapshot = Snapshot.__new__(Snapshot, self.engine, self.prefix)
        cdef int status
        snapshot.engine, snapshot.prefix, snapshot.is_closed = self.engine, self.prefix, True
        status = self.engine.check_usable()
        if status == 0:
            with nogil:
                status = self.engine.open_snapshot(timestamp, &snapshot.snapshot_ts)
        if status < 0:
            raise_status(status)
        snapshot.is_closed = False
        return snapshot


cdef int write_one(Engine engine, uint8_t prefix, object key, object value) except -1:
    cdef Payload payload
    memset(&payload, 0, sizeof(Payload))
    add_u32(&engine.value_writers, 1)
    try:
        payload_add(engine, &payload, prefix, key, value)
        commit_payload(engine, payload.data, payload.size)
    finally:
        sub_u32(&engine.value_writers, 1)
        free(payload.data)
    return 0


@cython.no_gc_clear                  # its end needs the engine, also inside a dying cycle
cdef class Snapshot(Reader):
    """The keyspace as it was at one moment; stays the same until closed. Use it in a `with` statement."""

    def __init__(self):
        raise TypeError("a Snapshot is made by KeySpace.snapshot()")

    def __dealloc__(self):
        if self.engine is not None and not self.is_closed:
            self.engine.close_snapshot(self.snapshot_ts)

    @property
    def timestamp(self):
        """The commit timestamp it shows: unix milliseconds << 18 | a counter."""
        return self.snapshot_ts

    def close(self):
        """Lets compaction discard what only this snapshot could see. Closing twice is fine."""
        if not self.is_closed:
            self.is_closed = True
            self.engine.close_snapshot(self.snapshot_ts)

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, *error):
        self.close()
