"""Rows written one at a time: a tuple of values becomes key, record and index entries in the transaction's write set.

    insert   key free? unique entries free?  (reads that the commit validates)  -> row, entries
    update   entries of what has changed, record                                the primary key stays
    delete   entries, row

This is core/tables/writer.py for the plain case: indexes over columns, one entry for each row, none of them partial or
deferrable. What is not plain is refused before anything is written (False), and the caller does it itself; so nothing
here raises for a row that breaks a constraint. When a call raises, part of its writes may be there: the caller goes
back to a mark.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp

from .block cimport KIND_DELETE, KIND_PUT
from .engine cimport Engine
from .hashing cimport key_hash, slot_of_hash
from .key_tuple cimport KeyCodec, key_append, key_append_null
from .keys cimport MAX_KEY_BYTES, PREFIX_BYTES, key_too_long
from .record cimport RecordCodec, value_append
from .row_reader cimport ROWS_PREFIX, ROW_STACK_BYTES, is_current, read_committed, read_own, remember
from .scalars cimport Buffer, buffer_append, buffer_free, buffer_init
from .status cimport raise_status
from .transaction cimport TransactionCore
from .write_set cimport write_set_add, write_set_count

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    bint PyUnicode_CheckExact(object value) noexcept
    bint PyLong_CheckExact(object value) noexcept
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1

cdef enum:
    STACK_BYTES = 512
    STACK_ENDS = 32
    WRITTEN_FIRST = 64               # a power of two


cdef inline int checked(int status) except -1:
    return raise_status(status) if status < 0 else 0


def begin(Engine engine not None, bint serializable, size_t limit_bytes, bytes version not None,
          bytes fence not None):
    """A new transaction, which does not commit when the row at the internal key `fence`, the definition of a table, has
    changed meanwhile; None: the catalog is not that of `version`."""
    cdef TransactionCore core = TransactionCore(engine, serializable, 0, limit_bytes)
    if not is_current(engine, core.snapshot_ts, version):
        core.rollback()
        return None
    remember(core, PyBytes_AS_STRING(fence), PyBytes_GET_SIZE(fence),
             key_hash(PyBytes_AS_STRING(fence), PyBytes_GET_SIZE(fence)))
    return core


# -------------------------------------------------------------------- keys written by one call

cdef inline size_t written_place(const Written *written, uint64_t hash_value) noexcept nogil:
    """Where the hash is, or the free place where it belongs."""
    cdef size_t place = hash_value & (written.size - 1)
    while written.slots[place] and written.slots[place] != hash_value:
        place = (place + 1) & (written.size - 1)
    return place


cdef int written_add(Written *written, uint64_t hash_value) except -1:
    cdef Written larger
    cdef size_t i
    hash_value |= 1                  # none is 0
    if 2 * written.count >= written.size:
        larger.size = 2 * written.size if written.size else <size_t> WRITTEN_FIRST
        larger.count = written.count
        larger.slots = <uint64_t *> calloc(larger.size, sizeof(uint64_t))
        if larger.slots == NULL:
            raise MemoryError()
        for i in range(written.size):
            if written.slots[i]:
                larger.slots[written_place(&larger, written.slots[i])] = written.slots[i]
        free(written.slots)
        written[0] = larger
    i = written_place(written, hash_value)
    written.count += written.slots[i] == 0
    written.slots[i] = hash_value
    return 0


cdef bint is_taken(TransactionCore core, const char *key, size_t key_size, Written *written) except -1:
    """Whether there is something at a key that is to be written now. The commit validates it."""
    cdef uint64_t hash_value
    if written == NULL:
        return read_own(core, key, key_size, True, NULL)
    hash_value = key_hash(key, key_size)
    if written.size and written.slots[written_place(written, hash_value | 1)]:
        return read_own(core, key, key_size, True, NULL)
    remember(core, key, key_size, hash_value)
    if read_committed(core.engine, key, key_size, hash_value, core.snapshot_ts, NULL):
        return True
    written_add(written, hash_value)
    return False


# -------------------------------------------------------------------- writes


cdef int add(TransactionCore core, int kind, const char *key, size_t key_size, const char *value,
             size_t value_size) except -1:
    """One write; a large value goes to the value log."""
    if key_size > MAX_KEY_BYTES + PREFIX_BYTES:
        return key_too_long()
    if value_size > core.engine.value_threshold:
        return core.add_write(<uint8_t> key[0],
                              PyBytes_FromStringAndSize(key + PREFIX_BYTES, key_size - PREFIX_BYTES),
                              PyBytes_FromStringAndSize(value, value_size))
    return checked(write_set_add(core.writes, kind,
                                 slot_of_hash(key_hash(key + PREFIX_BYTES, key_size - PREFIX_BYTES)),
                                 key, key_size, value, value_size))


cdef bint put_values(KeyCodec codec, const uint32_t *positions, tuple row, Buffer *out) except -1:
    """Appends the key of the row's values at `positions`, one for each column; whether one is NULL."""
    cdef char storage[STACK_BYTES]
    cdef Buffer scratch
    cdef uint32_t i
    cdef bint has_null = False
    cdef object value
    buffer_init(&scratch, storage, STACK_BYTES)
    try:
        for i in range(codec.count):
            value = <object> PyTuple_GET_ITEM(row, positions[i])
            if value is None:
                has_null = True
                checked(key_append_null(&codec.column_array[i], out))
                continue
            scratch.size = 0
            value_append(codec.column_array[i].kind, value, &scratch)
            checked(key_append(&codec.column_array[i], scratch.data, scratch.size, out))
    finally:
        buffer_free(&scratch)
    return has_null


cdef uint32_t *position_array(object positions, size_t expected, size_t row_size) except NULL:
    cdef list given = list(positions)
    cdef uint32_t *array
    if len(given) != expected:
        raise ValueError(f"{len(given)} positions for a key of {expected}")
    for position in given:
        if not 0 <= position < row_size:
            raise ValueError(f"a row of {row_size} has no position {position}")
    array = <uint32_t *> malloc((len(given) + 1) * sizeof(uint32_t))
    if array == NULL:
        raise MemoryError()
    for i, position in enumerate(given):
        array[i] = position
    return array


cdef class RowWriter:
    """Writes rows of one definition of a table."""

    def __cinit__(self, columns, bytes prefix not None, KeyCodec keys not None, key_positions,
                  RecordCodec records not None, record_positions, indexes):
        cdef list rules = list(columns), places = list(record_positions), parts = list(indexes)
        cdef uint32_t i
        self.prefix = bytes((ROWS_PREFIX,)) + prefix
        self.keys, self.records, self.kept = keys, records, []
        self.column_count = len(rules)
        self.columns = <ColumnRule *> calloc(len(rules) + 1, sizeof(ColumnRule))
        self.record_positions = <int64_t *> malloc((records.count + 1) * sizeof(int64_t))
        self.indexes = <IndexRule *> calloc(len(parts) + 1, sizeof(IndexRule))
        if self.columns == NULL or self.record_positions == NULL or self.indexes == NULL:
            raise MemoryError()
        for i, (value_class, limit, is_nullable) in enumerate(rules):
            self.kept.append(value_class)
            self.columns[i].value_class = NULL if value_class is None else <PyObject *> value_class
            self.columns[i].is_nullable = is_nullable
            self.columns[i].limit = -1 if limit is None else limit
        self.has_hidden_key = key_positions is None
        if not self.has_hidden_key:
            self.key_positions = position_array(key_positions, keys.count, self.column_count)
        if len(places) != records.count:
            raise ValueError(f"{len(places)} positions for a record of {records.count}")
        for i in range(records.count):
            if not -1 <= places[i] < <int64_t> self.column_count:
                raise ValueError(f"a row of {self.column_count} has no position {places[i]}")
            self.record_positions[i] = places[i]
        for index_prefix, codec, positions, is_unique, nulls_distinct in parts:
            self.add_index(index_prefix, codec, positions, is_unique, nulls_distinct)

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.index_count):
            free(self.indexes[i].positions)
        free(self.indexes)
        free(self.columns)
        free(self.key_positions)
        free(self.record_positions)

    cdef int add_index(self, bytes prefix, KeyCodec codec, object positions, bint is_unique,
                       bint nulls_distinct) except -1:
        cdef IndexRule *index = &self.indexes[self.index_count]
        cdef bytes whole = bytes((ROWS_PREFIX,)) + prefix
        self.kept += [whole, codec]
        index.positions = position_array(positions, codec.count, self.column_count)
        index.prefix, index.prefix_size = PyBytes_AS_STRING(whole), PyBytes_GET_SIZE(whole)
        index.codec = <PyObject *> codec
        index.is_unique, index.nulls_distinct = is_unique, nulls_distinct
        self.index_count += 1
        return 0

    # ---- rows and bytes

    cdef bint is_taken_as_it_is(self, tuple row) except -1:
        cdef ColumnRule *rule
        cdef uint32_t i
        cdef int overflow = 0
        cdef int64_t number
        cdef object value
        if PyTuple_GET_SIZE(row) != self.column_count:
            return False
        for i in range(self.column_count):
            rule = &self.columns[i]
            value = <object> PyTuple_GET_ITEM(row, i)
            if value is None:
                if not rule.is_nullable:
                    return False
                continue
            if rule.value_class == NULL or type(value) is not <object> rule.value_class:
                return False
            if rule.limit < 0:
                continue
            if PyLong_CheckExact(value):
                number = PyLong_AsLongLongAndOverflow(value, &overflow)
                if overflow or not -rule.limit - 1 <= number <= rule.limit:
                    return False
            elif PyUnicode_CheckExact(value) and PyUnicode_GET_LENGTH(value) > rule.limit:
                return False
        return True

    cdef int put_key(self, tuple row, object row_id, Buffer *out) except -1:
        checked(buffer_append(out, PyBytes_AS_STRING(self.prefix), PyBytes_GET_SIZE(self.prefix)))
        if self.has_hidden_key:
            return self.keys.append((row_id,), 1, out)
        put_values(self.keys, self.key_positions, row, out)
        return 0

    cdef int put_record(self, tuple row, Buffer *out) except -1:
        cdef tuple fields = PyTuple_New(self.records.count)
        cdef uint32_t i
        cdef object value
        for i in range(self.records.count):
            value = None
            if self.record_positions[i] >= 0:
                value = <object> PyTuple_GET_ITEM(row, self.record_positions[i])
            Py_INCREF(value)
            PyTuple_SET_ITEM(fields, i, value)
        return self.records.append(fields, out)

    cdef bint put_entry(self, const IndexRule *index, tuple row, const char *row_key, size_t row_key_size,
                        Buffer *out) except -1:
        """Appends the key of the row's entry; whether no other row may have it."""
        cdef bint has_null
        checked(buffer_append(out, index.prefix, index.prefix_size))
        has_null = put_values(<KeyCodec> index.codec, index.positions, row, out)
        if index.is_unique and not (has_null and index.nulls_distinct):
            return True
        checked(buffer_append(out, row_key, row_key_size))
        return False

    cdef bint depends_on_change(self, const IndexRule *index, tuple old, tuple new) noexcept:
        cdef uint32_t i
        for i in range((<KeyCodec> index.codec).count):
            if PyTuple_GET_ITEM(old, index.positions[i]) != PyTuple_GET_ITEM(new, index.positions[i]):
                return True
        return False

    # ---- what callers use

    def takes(self, row):
        """Whether each value of the row can be stored as it is: of its column's very class, within its bounds, and
        not None where that is not allowed."""
        return self.is_taken_as_it_is(row if type(row) is tuple else tuple(row))

    def insert(self, TransactionCore core not None, tuple row not None, row_id=None):
        """Adds a row; `row_id` is its hidden key. False: a unique key is taken, and nothing was written."""
        core.require_open()
        if len(row) != self.column_count:
            raise ValueError(f"{len(row)} values for a row of {self.column_count}")
        return self.insert_row(core, row, row_id, NULL)

    def insert_many(self, TransactionCore core not None, rows, first_id=None):
        """Adds rows, lists or tuples, that the columns take as they are (takes()); how many: fewer than all when one
        is refused, which is not written. Hidden keys count up from `first_id`."""
        cdef Written own
        cdef Written *written = &own if write_set_count(core.writes) == 0 else NULL
        cdef size_t count = 0
        cdef tuple values
        cdef object row_id = None
        core.require_open()
        own.slots, own.size, own.count = NULL, 0, 0
        try:
            for row in rows:
                if type(row) is tuple:
                    values = row
                elif type(row) is list:
                    values = tuple(row)
                else:
                    break
                if first_id is not None:
                    row_id = first_id + count
                if write_set_count(core.writes) != count * (1 + self.index_count):
                    written = NULL                          # what gives the rows has written something
                if not self.is_taken_as_it_is(values) or not self.insert_row(core, values, row_id, written):
                    break
                count += 1
        finally:
            free(own.slots)
        return count

    cdef bint insert_row(self, TransactionCore core, tuple row, object row_id, Written *written) except -1:
        cdef char key_storage[STACK_BYTES]
        cdef char record_storage[ROW_STACK_BYTES]
        cdef char entry_storage[ROW_STACK_BYTES]
        cdef size_t end_storage[STACK_ENDS]
        cdef size_t *ends = end_storage         # of the entries in `entries`
        cdef Buffer key, record, entries
        cdef size_t skipped = PyBytes_GET_SIZE(self.prefix), start = 0
        cdef const char *row_key
        cdef size_t row_key_size
        cdef uint32_t i
        cdef bint is_distinct
        buffer_init(&key, key_storage, STACK_BYTES)
        buffer_init(&record, record_storage, ROW_STACK_BYTES)
        buffer_init(&entries, entry_storage, ROW_STACK_BYTES)
        if self.index_count > STACK_ENDS:
            ends = <size_t *> malloc(self.index_count * sizeof(size_t))
            if ends == NULL:
                raise MemoryError()
        try:
            self.put_key(row, row_id, &key)
            if not self.has_hidden_key and is_taken(core, key.data, key.size, written):
                return False
            row_key, row_key_size = key.data + skipped, key.size - skipped
            for i in range(self.index_count):
                is_distinct = self.put_entry(&self.indexes[i], row, row_key, row_key_size, &entries)
                if is_distinct and is_taken(core, entries.data + start, entries.size - start, written):
                    return False
                # the lowest bit tells the form
                ends[i] = entries.size << 1 | is_distinct
                start = entries.size
            self.put_record(row, &record)
            add(core, KIND_PUT, key.data, key.size, record.data, record.size)
            start = 0
            for i in range(self.index_count):
                add(core, KIND_PUT, entries.data + start, (ends[i] >> 1) - start, row_key,
                    row_key_size if ends[i] & 1 else 0)
                start = ends[i] >> 1
            return True
        finally:
            if ends != end_storage:
                free(ends)
            buffer_free(&key)
            buffer_free(&record)
            buffer_free(&entries)

    def update(self, TransactionCore core not None, bytes row_key not None, tuple old not None, tuple new not None):
        """Replaces the row `old` at `row_key` by `new`, where a value that stays is the same object. False: the primary
        key or the columns of a unique index change, and nothing was written."""
        cdef char key_storage[STACK_BYTES]
        cdef char storage[ROW_STACK_BYTES]
        cdef Buffer key, record
        cdef uint32_t i
        core.require_open()
        if len(old) != self.column_count or len(new) != self.column_count:
            raise ValueError(f"{len(old)} and {len(new)} values for rows of {self.column_count}")
        if not self.has_hidden_key:
            for i in range(self.keys.count):
                if old[self.key_positions[i]] is not new[self.key_positions[i]]:
                    return False
        for i in range(self.index_count):
            if self.indexes[i].is_unique and self.depends_on_change(&self.indexes[i], old, new):
                return False
        buffer_init(&key, key_storage, STACK_BYTES)
        buffer_init(&record, storage, ROW_STACK_BYTES)
        try:
            for i in range(self.index_count):
                if self.depends_on_change(&self.indexes[i], old, new):
                    self.change_entries(core, &self.indexes[i], row_key, old, new)
            checked(buffer_append(&key, PyBytes_AS_STRING(self.prefix), PyBytes_GET_SIZE(self.prefix)))
            checked(buffer_append(&key, PyBytes_AS_STRING(row_key), PyBytes_GET_SIZE(row_key)))
            self.put_record(new, &record)
            add(core, KIND_PUT, key.data, key.size, record.data, record.size)
            return True
        finally:
            buffer_free(&key)
            buffer_free(&record)

    cdef int change_entries(self, TransactionCore core, const IndexRule *index, bytes row_key, tuple old,
                            tuple new) except -1:
        """The entry of an index that is not unique."""
        cdef char before_storage[STACK_BYTES]
        cdef char now_storage[STACK_BYTES]
        cdef Buffer before, now
        cdef const char *p = PyBytes_AS_STRING(row_key)
        buffer_init(&before, before_storage, STACK_BYTES)
        buffer_init(&now, now_storage, STACK_BYTES)
        try:
            self.put_entry(index, old, p, PyBytes_GET_SIZE(row_key), &before)
            self.put_entry(index, new, p, PyBytes_GET_SIZE(row_key), &now)
            if before.size == now.size and memcmp(before.data, now.data, now.size) == 0:
                return 0
            add(core, KIND_DELETE, before.data, before.size, NULL, 0)
            return add(core, KIND_PUT, now.data, now.size, NULL, 0)
        finally:
            buffer_free(&before)
            buffer_free(&now)

    def delete(self, TransactionCore core not None, bytes row_key not None, tuple old not None):
        """Removes the row `old` at `row_key`."""
        cdef char storage[STACK_BYTES]
        cdef Buffer key
        cdef const char *p = PyBytes_AS_STRING(row_key)
        cdef uint32_t i
        core.require_open()
        if len(old) != self.column_count:
            raise ValueError(f"{len(old)} values for a row of {self.column_count}")
        buffer_init(&key, storage, STACK_BYTES)
        try:
            for i in range(self.index_count):
                key.size = 0
                self.put_entry(&self.indexes[i], old, p, PyBytes_GET_SIZE(row_key), &key)
                add(core, KIND_DELETE, key.data, key.size, NULL, 0)
            key.size = 0
            checked(buffer_append(&key, PyBytes_AS_STRING(self.prefix), PyBytes_GET_SIZE(self.prefix)))
            checked(buffer_append(&key, p, PyBytes_GET_SIZE(row_key)))
            add(core, KIND_DELETE, key.data, key.size, NULL, 0)
        finally:
            buffer_free(&key)
