"""Rows read one at a time: from values of a key to a tuple of values in one call.

    get        values of a key -> key -> own write, or the version at the snapshot -> row
    pair       the same, then the row of another table whose key stands in the first
    range      rows between two keys, in their order
    through    entries of an index between two keys -> row keys -> rows

Inside a transaction (`core`) a read sees its snapshot and its own writes, and is remembered for the commit as by
TransactionKeySpace. Without one it has a snapshot of its own, the newest, and may be told which catalog its caller
knows: when that is not the catalog of the snapshot, the answer is STALE, and the caller has to plan again. So a read
by itself needs no transaction and yet never goes by a definition that is no more.

Bytes are copied out of the engine and decoded outside of the read guard: a Python object made inside could start the
garbage collector, and with it the end of a database, which waits for all readers.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from .block cimport KIND_DELETE, KIND_POINTER
from .cursor cimport Found
from .engine cimport Engine
from .guard cimport guard_enter, guard_exit
from .hashing cimport key_hash, slot_of_hash
from .key_tuple cimport KeyCodec, key_read
from .keys cimport Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, PREFIX_BYTES, key_too_long
from .platform cimport load_ptr
from .record cimport (FIELD_MISSING, FIELD_NULL, FIELD_VALUE, Record, RecordCodec, record_get, record_open,
                      value_to_python)
from .scalars cimport Buffer, buffer_append, buffer_free, buffer_init, buffer_reserve
from .scan cimport Row, Scan, open_scan
from .status cimport BUSY, CORRUPTION, NO_OFFSET, fail, raise_status
from .transaction cimport TransactionCore, TransactionKeySpace
from .values cimport ValuePointer, value_log_read
from .view cimport View, view_get, view_prefetch
from .write_set cimport write_set_get

FROM_KEY = ROW_FROM_KEY
FROM_RECORD = ROW_FROM_RECORD
FROM_ROW_KEY = ROW_FROM_ROW_KEY
STALE = object()

cdef object _stale = STALE
cdef bytes VERSION_KEY = b"cv"       # core/catalog/keys.py has the same: prefix and key of the catalog's version
cdef uint64_t VERSION_HASH = key_hash(PyBytes_AS_STRING(VERSION_KEY), 2)

cdef enum:
    KEY_STACK_BYTES = 256


cdef inline int checked(int status) except -1:
    return raise_status(status) if status < 0 else 0


# -------------------------------------------------------------------- one key

cdef int append_pointed(Engine engine, const char *value, size_t value_size, Buffer *out) noexcept nogil:
    """The value in the value log; called where its file cannot go away."""
    cdef ValuePointer pointer
    cdef int status
    if value_size != sizeof(ValuePointer):
        return fail(CORRUPTION, "a value pointer has a wrong size", NULL, <uint64_t> NO_OFFSET)
    memcpy(&pointer, value, sizeof(ValuePointer))
    if pointer.value_size > MAX_VALUE_BYTES:
        return fail(CORRUPTION, "a value pointer names an impossible size", NULL, <uint64_t> NO_OFFSET)
    status = buffer_reserve(out, pointer.value_size)
    if status == 0:
        status = value_log_read(engine.values, &pointer, out.data + out.size)
    if status == 0:
        out.size += pointer.value_size
    return status


cdef inline uint32_t partition_for(Engine engine, const char *key, size_t key_size) noexcept nogil:
    if engine.partition_count == 1:
        return 0
    return engine.partition_of(slot_of_hash(key_hash(key + PREFIX_BYTES, key_size - PREFIX_BYTES)))


cdef int read_once(Engine engine, const char *key, size_t key_size, uint64_t hash_value, uint64_t snapshot,
                   bint may_block, Buffer *out) noexcept nogil:
    """1 or 0, as read_committed; BUSY: must wait for the disk and may not."""
    cdef Found found
    cdef uint32_t partition = partition_for(engine, key, key_size)
    cdef uint32_t token
    cdef int status
    token = guard_enter(engine.guard)
    status = engine.check_usable()
    if status == 0:
        status = view_get(<View *> load_ptr(<void **> &engine.view), partition, key, key_size, hash_value, snapshot,
                          may_block, &found)
    if status == 1 and out != NULL:
        if found.kind != KIND_POINTER:
            status = buffer_append(out, found.value, found.value_size)
        elif may_block:
            status = append_pointed(engine, found.value, found.value_size, out)
        else:
            status = BUSY
        if status == 0:
            status = 1
    guard_exit(engine.guard, token)
    return status


cdef int read_committed(Engine engine, const char *key, size_t key_size, uint64_t hash_value, uint64_t snapshot,
                        Buffer *out) except -1:
    cdef int status = read_once(engine, key, key_size, hash_value, snapshot, False, out)
    if status == BUSY:
        with nogil:
            status = read_once(engine, key, key_size, hash_value, snapshot, True, out)
    return raise_status(status) if status < 0 else status


cdef int read_own(TransactionCore core, const char *key, size_t key_size, bint is_validated, Buffer *out) except -1:
    cdef Found found
    cdef uint64_t hash_value = key_hash(key, key_size)
    cdef int status = write_set_get(core.writes, key, key_size, hash_value, &found)
    if status < 0:
        raise_status(status)
    if status == 1:
        if found.kind == KIND_DELETE:
            return 0
        if out != NULL and found.kind != KIND_POINTER:
            checked(buffer_append(out, found.value, found.value_size))
        elif out != NULL:
            with nogil:
                status = append_pointed(core.engine, found.value, found.value_size, out)
            checked(status)
        return 1
    core.has_read = True
    if core.tracks_reads or is_validated:
        remember(core, key, key_size, hash_value)
    return read_committed(core.engine, key, key_size, hash_value, core.snapshot_ts, out)


cdef int remember(TransactionCore core, const char *key, size_t key_size, uint64_t hash_value) except -1:
    cdef Key remembered
    remembered.data, remembered.size = <char *> key, key_size
    return core.remember_key(&remembered, hash_value,
                             slot_of_hash(key_hash(key + PREFIX_BYTES, key_size - PREFIX_BYTES)))


cdef bint is_current(Engine engine, uint64_t snapshot, bytes version) except -1:
    cdef char storage[KEY_STACK_BYTES]
    cdef Buffer row
    buffer_init(&row, storage, KEY_STACK_BYTES)
    try:
        return (read_committed(engine, PyBytes_AS_STRING(VERSION_KEY), 2, VERSION_HASH, snapshot, &row) == 1
                and row.size == <size_t> PyBytes_GET_SIZE(version)
                and memcmp(row.data, PyBytes_AS_STRING(version), row.size) == 0)
    finally:
        buffer_free(&row)


# -------------------------------------------------------------------- rows

cdef class RowReader:
    """Reads some values of the rows of one table."""

    def __cinit__(self, Engine engine not None, bytes prefix not None, KeyCodec keys not None,
                  RecordCodec records not None, outputs):
        cdef uint32_t i
        cdef list given = list(outputs)
        self.engine, self.keys, self.records = engine, keys, records
        self.prefix = bytes((ROWS_PREFIX,)) + prefix
        self.count = len(given)
        self.outputs = <RowOutput *> malloc((self.count + 1) * sizeof(RowOutput))
        if self.outputs == NULL:
            raise MemoryError()
        for i in range(self.count):
            source, position, _, _ = given[i]
            if source == ROW_FROM_KEY and 0 <= position < keys.count:
                self.key_depth = max(self.key_depth, position + 1)
            elif source == ROW_FROM_RECORD and 0 <= position < records.count:
                self.reads_record = True
            elif source != ROW_FROM_ROW_KEY:
                raise ValueError(f"no place of a value: {source}, {position}")
            self.outputs[i].source, self.outputs[i].position = source, position
        self.defaults = tuple([default for _, _, default, _ in given])
        self.restores = tuple([restore for _, _, _, restore in given])

    def __dealloc__(self):
        free(self.outputs)

    # ---- what is seen

    cdef int open(self, TransactionCore core, bytes version, uint64_t *snapshot) except -1:
        """1: the snapshot to read at is open; 0: it has another catalog than that of `version`."""
        cdef bint is_known = True
        if core is not None:
            core.require_open()
            snapshot[0] = core.snapshot_ts
            return 1
        checked(self.engine.check_usable())
        checked(self.engine.open_snapshot(0, snapshot))
        if version is None:
            return 1
        try:
            is_known = False
            is_known = is_current(self.engine, snapshot[0], version)
        finally:
            if not is_known:
                self.engine.close_snapshot(snapshot[0])
        return is_known

    cdef int close(self, TransactionCore core, uint64_t snapshot) except -1:
        if core is None:
            self.engine.close_snapshot(snapshot)
        return 0

    cdef int read(self, TransactionCore core, uint64_t snapshot, const char *key, size_t size, Buffer *out) except -1:
        if core is not None:
            return read_own(core, key, size, False, out)
        return read_committed(self.engine, key, size, key_hash(key, size), snapshot, out)

    # ---- points

    def get(self, TransactionCore core, values, bytes version=None):
        """A list of the row whose key has `values`, a list or tuple, or of none; STALE."""
        cdef uint64_t snapshot
        cdef tuple row
        if not self.open(core, version, &snapshot):
            return _stale
        try:
            row = self.point(core, snapshot, values)
            return [] if row is None else [row]
        finally:
            self.close(core, snapshot)

    def pair(self, RowReader other not None, tuple links not None, tuple picks not None, TransactionCore core, values,
             bytes version=None):
        """A list of one row or none: values of the row as in get() and of the row of `other` whose key the first row
        has at `links`. `picks` says which of both, one behind the other. STALE."""
        cdef uint64_t snapshot
        cdef tuple row, second
        if not self.open(core, version, &snapshot):
            return _stale
        try:
            row = self.point(core, snapshot, values)
            if row is None:
                return []
            key = tuple([row[position] for position in links])
            if None in key:
                return []
            second = other.point(core, snapshot, key)
            if second is None:
                return []
            row += second
            return [tuple([row[position] for position in picks])]
        finally:
            self.close(core, snapshot)

    cdef tuple point(self, TransactionCore core, uint64_t snapshot, object values):
        cdef char key_storage[KEY_STACK_BYTES]
        cdef char storage[ROW_STACK_BYTES]
        cdef Buffer key, record
        cdef size_t start = PyBytes_GET_SIZE(self.prefix)
        if type(values) is not tuple and type(values) is not list:
            raise TypeError(f"values of a key must be a tuple or list, not {type(values).__name__}")
        if len(values) != self.keys.count:
            raise ValueError(f"{len(values)} values for a key of {self.keys.count}")
        buffer_init(&key, key_storage, KEY_STACK_BYTES)
        buffer_init(&record, storage, ROW_STACK_BYTES)
        try:
            checked(buffer_append(&key, PyBytes_AS_STRING(self.prefix), start))
            self.keys.append(values, self.keys.count, &key)
            if key.size > MAX_KEY_BYTES + PREFIX_BYTES:
                key_too_long()
            if self.read(core, snapshot, key.data, key.size, &record) == 0:
                return None
            return self.decode(key.data + start, key.size - start, record.data, record.size)
        finally:
            buffer_free(&key)
            buffer_free(&record)

    cdef tuple point_at(self, TransactionCore core, uint64_t snapshot, const char *key, size_t size):
        """The row to which an index leads, by its whole key."""
        cdef char storage[ROW_STACK_BYTES]
        cdef Buffer record
        cdef size_t skipped = PyBytes_GET_SIZE(self.prefix)
        buffer_init(&record, storage, ROW_STACK_BYTES)
        try:
            if self.read(core, snapshot, key, size, &record) == 0:
                checked(fail(CORRUPTION, "an index leads to a row that is not there", NULL, <uint64_t> NO_OFFSET))
            return self.decode(key + skipped, size - skipped, record.data, record.size)
        finally:
            buffer_free(&record)

    # ---- ranges

    def range(self, TransactionCore core, start, stop, limit=None, bint reverse=False, bytes version=None):
        """The rows with start <= key < stop in key order, or backwards; at most `limit`. STALE."""
        cdef _Rows rows = _Rows.__new__(_Rows)
        cdef uint64_t snapshot
        cdef size_t skipped = PyBytes_GET_SIZE(self.prefix) - PREFIX_BYTES
        cdef Row *row
        cdef list found = []
        if not self.open(core, version, &snapshot):
            return _stale
        try:
            rows.begin(self.engine, core, snapshot, start, stop, limit, reverse)
            while (row := rows.next()) != NULL:
                if row.key_size < skipped:
                    checked(fail(CORRUPTION, "a key is shorter than its prefix", NULL, <uint64_t> NO_OFFSET))
                found.append(self.decode(rows.scan.buffer + row.key_offset + skipped, row.key_size - skipped,
                                         rows.scan.buffer + row.value_offset, row.value_size))
            rows.end()
            return found
        finally:
            self.close(core, snapshot)

    def through(self, TransactionCore core, KeyCodec index not None, start, stop, limit=None, bint reverse=False,
                bytes version=None):
        """The rows to which the entries with start <= key < stop of an index with these columns lead, in the order of
        the entries; at most `limit`. STALE. CorruptionError: a row is not there."""
        cdef _Rows rows = _Rows.__new__(_Rows)
        cdef _RowKeys keys = _RowKeys.__new__(_RowKeys)
        cdef uint64_t snapshot
        cdef uint32_t i
        cdef list found = []
        if not self.open(core, version, &snapshot):
            return _stale
        try:
            rows.begin(self.engine, core, snapshot, start, stop, limit, reverse)
            while keys.gather(rows, self.prefix, index):
                keys.prefetch(self.engine)
                for i in range(keys.count):
                    found.append(self.point_at(core, snapshot, keys.bytes.data + keys.ends[i],
                                               keys.ends[i + 1] - keys.ends[i]))
            rows.end()
            return found
        finally:
            self.close(core, snapshot)

    # ---- values

    cdef tuple decode(self, const char *row_key, size_t row_key_size, const char *record, size_t record_size):
        cdef tuple row = PyTuple_New(self.count)
        cdef Record fields
        cdef const char *p
        cdef size_t size
        cdef uint32_t i
        cdef int state
        cdef object value
        if self.key_depth:
            self.decode_key(row_key, row_key_size, row)
        if self.reads_record:
            checked(record_open(record, record_size, &fields))
        for i in range(self.count):
            if self.outputs[i].source == ROW_FROM_RECORD:
                state = record_get(&fields, self.outputs[i].position, &p, &size)
                if state == FIELD_VALUE:
                    value = value_to_python(self.records.kind_array[self.outputs[i].position], p, size)
                elif state == FIELD_NULL:
                    value = None
                elif state == FIELD_MISSING:
                    value = <object> PyTuple_GET_ITEM(self.defaults, i)
                else:
                    raise_status(state)
            elif self.outputs[i].source == ROW_FROM_ROW_KEY:
                value = PyBytes_FromStringAndSize(row_key, row_key_size)
            else:
                continue
            Py_INCREF(value)
            PyTuple_SET_ITEM(row, i, value)
        return row

    cdef int decode_key(self, const char *p, size_t size, tuple row) except -1:
        """Fills in the outputs that come from the key."""
        cdef char storage[KEY_STACK_BYTES]
        cdef const char *end = p + size
        cdef Buffer scratch, ends
        cdef uint32_t position, i
        cdef int state
        cdef object value
        buffer_init(&scratch, storage, KEY_STACK_BYTES)
        buffer_init(&ends, NULL, 0)
        try:
            for position in range(self.key_depth):
                scratch.size = 0
                state = key_read(&self.keys.column_array[position], &p, end, &scratch, &ends)
                checked(state)
                for i in range(self.count):
                    if self.outputs[i].source == ROW_FROM_KEY and self.outputs[i].position == position:
                        value = None
                        if state == FIELD_VALUE:
                            value = self.value(i, self.keys.column_array[position].kind, scratch.data, scratch.size)
                        Py_INCREF(value)
                        PyTuple_SET_ITEM(row, i, value)
            return 0
        finally:
            buffer_free(&scratch)
            buffer_free(&ends)

    cdef object value(self, uint32_t output, int kind, const char *p, size_t size):
        cdef object value = value_to_python(kind, p, size)
        cdef object restore = <object> PyTuple_GET_ITEM(self.restores, output)
        return value if restore is None else restore(value)


cdef class _Rows:
    """The rows of a range on their way; counts as read what was read, no more."""

    cdef int begin(self, Engine engine, TransactionCore core, uint64_t snapshot, object start, object stop,
                   object limit, bint reverse) except -1:
        cdef TransactionKeySpace space
        if core is None:
            self.scan = open_scan(engine, ROWS_PREFIX, start, stop, reverse, limit, snapshot, NULL, NULL, 0)
            return 0
        space = TransactionKeySpace(core, ROWS_PREFIX)
        self.tracked = space.scan(start, stop, reverse, limit)
        self.scan = self.tracked.scan
        return 0

    cdef Row *next(self) except? NULL:
        """The next row, borrowed until the next call; NULL at the end."""
        cdef Scan scan = self.scan
        cdef Row *row
        if scan.row_next == scan.row_count and (scan.state or scan.refill() == 0):
            return NULL
        row = &scan.rows[scan.row_next]
        scan.row_next += 1
        if self.tracked is not None and self.tracked.is_tracked and scan.row_next == scan.row_count:
            self.last = PyBytes_FromStringAndSize(scan.buffer + row.key_offset, row.key_size)
        return row

    cdef int end(self) except -1:
        """All rows were taken."""
        if self.tracked is not None and self.tracked.is_tracked:
            if self.scan.remaining:                         # at the end of the range, not of the limit
                self.tracked.widen(None)
            elif self.last is not None:
                self.tracked.widen(self.last)
        return 0

    cdef int leave(self) except -1:
        """No more rows are wanted: those that were taken count as read."""
        cdef Scan scan = self.scan
        cdef Row *row
        if self.tracked is not None and self.tracked.is_tracked:
            if scan.row_next:
                row = &scan.rows[scan.row_next - 1]
                self.tracked.widen(PyBytes_FromStringAndSize(scan.buffer + row.key_offset, row.key_size))
            elif self.last is not None:
                self.tracked.widen(self.last)
        return 0


cdef class _RowKeys:
    """Whole keys of rows, taken from entries of an index, a group at a time."""

    def __cinit__(self):
        buffer_init(&self.bytes, NULL, 0)
        buffer_init(&self.scratch, NULL, 0)
        buffer_init(&self.spare, NULL, 0)

    def __dealloc__(self):
        buffer_free(&self.bytes)
        buffer_free(&self.scratch)
        buffer_free(&self.spare)

    cdef uint32_t gather(self, _Rows rows, bytes prefix, KeyCodec index) except? 0:
        """The keys of the next rows: how many, 0 at the end."""
        cdef Row *row
        cdef const char *p
        cdef const char *end
        cdef uint32_t i
        self.bytes.size = self.ends[0] = self.count = 0
        while self.count < GROUP_ROWS and (row := rows.next()) != NULL:
            p = rows.scan.buffer + row.value_offset
            end = p + row.value_size
            if row.value_size == 0:                         # the row key stands behind the indexed values
                p = rows.scan.buffer + row.key_offset
                end = p + row.key_size
                p += min(<size_t> (PyBytes_GET_SIZE(prefix) - PREFIX_BYTES), <size_t> row.key_size)
                for i in range(index.count):
                    self.scratch.size = 0
                    checked(key_read(&index.column_array[i], &p, end, &self.scratch, &self.spare))
            checked(buffer_append(&self.bytes, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix)))
            checked(buffer_append(&self.bytes, p, end - p))
            self.count += 1
            self.ends[self.count] = self.bytes.size
        return self.count

    cdef void prefetch(self, Engine engine) noexcept:
        """The memory of the whole group is asked for before the first key is looked at, so that its cache misses
        overlap."""
        cdef uint64_t hashes[GROUP_ROWS]
        cdef uint32_t partitions[GROUP_ROWS]
        cdef const char *key
        cdef size_t size
        cdef View *view
        cdef uint32_t i, token
        cdef int step
        for i in range(self.count):
            key, size = self.bytes.data + self.ends[i], self.ends[i + 1] - self.ends[i]
            hashes[i], partitions[i] = key_hash(key, size), partition_for(engine, key, size)
        token = guard_enter(engine.guard)
        if engine.check_usable() == 0:
            view = <View *> load_ptr(<void **> &engine.view)
            for step in range(3):
                for i in range(self.count):
                    view_prefetch(view, partitions[i], self.bytes.data + self.ends[i], self.ends[i + 1] - self.ends[i],
                                  hashes[i], step)
        guard_exit(engine.guard, token)
