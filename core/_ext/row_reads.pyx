"""Operators that read tables: a row by its key, a row by a unique index, the rows of a range. See row_operators.pyx.

What makes a key, and the tests a row must pass, are expressions over the frame, so the same operator serves a constant
and the inner side of a join. Rows are decoded outside of the read guard, as row_reader.pyx says.
"""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .key_tuple cimport KEY_NULL_FIRST, KeyCodec, KeyColumn
from .keys cimport MAX_KEY_BYTES, PREFIX_BYTES
from .row_expressions cimport RowExpression
from .row_operators cimport Execution, Operator, fill, passes, values_of
from .row_reader cimport ROWS_PREFIX, RowReader, _RowKeys, _Rows
from .scalars cimport Buffer, buffer_append, buffer_free, buffer_init
from .scan cimport Row, Scan
from .status cimport CORRUPTION, NO_OFFSET, fail, raise_status
from .transaction cimport TransactionCore

cdef enum:
    STACK_BYTES = 256


cdef inline int checked(int status) except -1:
    return raise_status(status) if status < 0 else 0


@cython.final
cdef class PointRead(Operator):
    """The row of a table whose key has the values of `key`, at `base` of the frame, if all `tests` are true."""

    cdef RowReader reader
    cdef tuple key
    cdef tuple tests
    cdef Py_ssize_t base
    cdef bint is_done

    def __init__(self, RowReader reader not None, key, tests, Py_ssize_t base):
        self.reader, self.key, self.tests, self.base = reader, tuple(key), tuple(tests), base

    cdef int start(self, Execution execution) except -1:
        self.is_done = False
        return 0

    cdef int next(self, Execution execution) except -1:
        cdef list values
        cdef tuple row
        if self.is_done:
            return 0
        self.is_done = True
        values = values_of(self.key, execution.frame)
        if values is None:
            return 0
        execution.count_row()
        row = self.reader.point(execution.core, execution.snapshot, values)
        if row is None:
            return 0
        fill(execution.frame, self.base, row)
        return passes(self.tests, execution.frame)


@cython.final
cdef class UniqueRead(Operator):
    """PointRead by the key of a unique index, all of whose entries have the unique form where no value is NULL.
    `prefix` and `index`: of its keys."""

    cdef RowReader reader
    cdef bytes prefix
    cdef KeyCodec index
    cdef tuple key
    cdef tuple tests
    cdef Py_ssize_t base
    cdef bint is_done

    def __init__(self, RowReader reader not None, bytes prefix not None, KeyCodec index not None, key, tests,
                 Py_ssize_t base):
        self.reader, self.index, self.key, self.tests, self.base = reader, index, tuple(key), tuple(tests), base
        self.prefix = bytes((ROWS_PREFIX,)) + prefix

    cdef int start(self, Execution execution) except -1:
        self.is_done = False
        return 0

    cdef int next(self, Execution execution) except -1:
        cdef list values
        cdef tuple row
        if self.is_done:
            return 0
        self.is_done = True
        values = values_of(self.key, execution.frame)
        if values is None:
            return 0
        execution.count_row()
        row = self.read(execution, values)
        if row is None:
            return 0
        fill(execution.frame, self.base, row)
        return passes(self.tests, execution.frame)

    cdef tuple read(self, Execution execution, list values):
        cdef char key_storage[STACK_BYTES]
        cdef char storage[STACK_BYTES]
        cdef bytes prefix = self.reader.prefix
        cdef Buffer key, entry
        buffer_init(&key, key_storage, STACK_BYTES)
        buffer_init(&entry, storage, STACK_BYTES)
        try:
            checked(buffer_append(&key, PyBytes_AS_STRING(self.prefix), PyBytes_GET_SIZE(self.prefix)))
            self.index.append(values, self.index.count, &key)
            if key.size > MAX_KEY_BYTES + PREFIX_BYTES:     # no row has it
                return None
            checked(buffer_append(&entry, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix)))
            if self.reader.read(execution.core, execution.snapshot, key.data, key.size, &entry) == 0:
                return None
            return self.reader.point_at(execution.core, execution.snapshot, entry.data, entry.size)
        finally:
            buffer_free(&key)
            buffer_free(&entry)


@cython.final
cdef class RangeRead(Operator):
    """The rows of a table between two keys of its own or of an index, in key order or backwards, if all `tests` are
    true.

    `index`: None, or what decodes the keys of the index. `equal`: what the first values of the keys are. `bounds`: None
    when that is all; else (is `low` inclusive, is `high` inclusive) for the next value, which is not NULL.
    """

    cdef RowReader reader
    cdef bytes prefix
    cdef KeyCodec codec
    cdef KeyCodec index
    cdef tuple equal
    cdef RowExpression low
    cdef RowExpression high
    cdef tuple bounds
    cdef tuple tests
    cdef Py_ssize_t base
    cdef bint is_reverse
    # of a run
    cdef _Rows rows                  # None: there are no more
    cdef _RowKeys keys
    cdef uint32_t key_next

    def __init__(self, RowReader reader not None, bytes prefix not None, KeyCodec codec not None, KeyCodec index, equal,
                 RowExpression low, RowExpression high, tuple bounds, tests, Py_ssize_t base, bint is_reverse):
        self.reader, self.prefix, self.codec, self.index = reader, prefix, codec, index
        self.equal, self.low, self.high, self.bounds = tuple(equal), low, high, bounds
        self.tests, self.base, self.is_reverse = tuple(tests), base, is_reverse

    cdef int start(self, Execution execution) except -1:
        cdef list equal
        cdef object low = None, high = None, begin, stop
        self.finish()
        equal = values_of(self.equal, execution.frame)
        if equal is None:
            return 0
        if self.low is not None:
            low = self.low.value(execution.frame)
            if low is None:
                return 0
        if self.high is not None:
            high = self.high.value(execution.frame)
            if high is None:
                return 0
        if self.bounds is None:
            begin = self.prefix + self.codec.encode(equal, len(equal)) if equal else self.prefix
            if PyBytes_GET_SIZE(begin) > MAX_KEY_BYTES:      # no row has it
                return 0
            stop = behind(begin)
        else:
            begin, stop = self.between(equal, low, high)
            if begin >= stop:
                stop = begin                                # read all the same: it counts as read
        self.rows = _Rows.__new__(_Rows)
        self.rows.begin(execution.engine, execution.core, execution.snapshot, begin, stop, None, self.is_reverse)
        if self.index is not None:
            self.keys = _RowKeys.__new__(_RowKeys)
            self.key_next = 0
        return 0

    cdef int next(self, Execution execution) except -1:
        cdef tuple row
        while self.rows is not None:
            row = self.through(execution) if self.index is not None else self.straight(execution)
            if row is None:
                self.rows.end()
                self.rows = None
                return 0
            fill(execution.frame, self.base, row)
            if passes(self.tests, execution.frame):
                return 1
        return 0

    cdef tuple between(self, list equal, object low, object high):
        """The keys that begin with `equal` and go on with a value from `low` to `high`; None: no bound."""
        cdef Py_ssize_t count = len(equal) + 1
        cdef bytes prefix = self.prefix + self.codec.encode(equal, count - 1) if equal else self.prefix
        cdef bytes null = self.edge(equal, None), edge
        cdef const KeyColumn *column = &self.codec.column_array[count - 1]
        cdef bytes begin = prefix, stop = null
        cdef bint low_inclusive = self.bounds[0], high_inclusive = self.bounds[1]
        if column.null_byte == KEY_NULL_FIRST:
            begin, stop = behind(null), behind(prefix)
        if column.mask:                                      # descending
            low, high, low_inclusive, high_inclusive = high, low, high_inclusive, low_inclusive
        if low is not None:
            edge = self.edge(equal, low)
            begin = edge if low_inclusive else behind(edge)
        if high is not None:
            edge = self.edge(equal, high)
            stop = behind(edge) if high_inclusive else edge
        return begin, stop

    cdef bytes edge(self, list equal, object value):
        return self.prefix + self.codec.encode([*equal, value], len(equal) + 1)

    cdef tuple straight(self, Execution execution):
        """The next row of the table, or of an index that has all that is wanted; None."""
        cdef size_t skipped = PyBytes_GET_SIZE(self.prefix)
        cdef Row *row = self.rows.next()
        cdef Scan scan = self.rows.scan
        if row == NULL:
            return None
        execution.count_row()
        if row.key_size < skipped:
            checked(fail(CORRUPTION, "a key is shorter than its prefix", NULL, <uint64_t> NO_OFFSET))
        return self.reader.decode(scan.buffer + row.key_offset + skipped, row.key_size - skipped,
                                  scan.buffer + row.value_offset, row.value_size)

    cdef tuple through(self, Execution execution):
        """The row to which the next entry of the index leads; None."""
        cdef _RowKeys keys = self.keys
        cdef uint32_t at = self.key_next
        if at == keys.count:
            at = 0
            if keys.gather(self.rows, self.reader.prefix, self.index) == 0:
                return None
            keys.prefetch(execution.engine)
        self.key_next = at + 1
        execution.count_row()
        return self.reader.point_at(execution.core, execution.snapshot, keys.bytes.data + keys.ends[at],
                                    keys.ends[at + 1] - keys.ends[at])

    cdef int finish(self) except -1:
        cdef _Rows rows = self.rows
        self.rows = None
        if rows is not None and rows.scan is not None:
            rows.leave()
        return 0


cdef bytes behind(bytes prefix):
    """The first key behind all that begin with `prefix`, which begins with an id."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(prefix)
    cdef const unsigned char *data = <const unsigned char *> PyBytes_AS_STRING(prefix)
    while data[size - 1] == 0xFF:
        size -= 1
    return prefix[:size - 1] + bytes((data[size - 1] + 1,))


cdef inline uint64_t mixed(uint64_t number) noexcept nogil:
    """Another number, as if by chance."""
    number = (number ^ (number >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    number = (number ^ (number >> 27)) * <uint64_t> 0x94D049BB133111EB
    return number ^ (number >> 31)


def sample_rows(RowReader reader not None, TransactionCore core, bytes start not None, bytes stop not None,
                uint64_t most, uint64_t kept):
    """Looks at the rows with start <= key < stop, `most` at most, as the transaction sees them, or with None as of now:
    (how many they are, their bytes, the last key, `kept` of them by chance: a reservoir, the same for the same rows).
    """
    cdef _Rows rows = _Rows.__new__(_Rows)
    cdef uint64_t count = 0, size = 0, place, snapshot = 0
    cdef size_t skipped = PyBytes_GET_SIZE(reader.prefix) - PREFIX_BYTES
    cdef bytes last = start
    cdef list found = []
    cdef Scan scan
    cdef Row *row
    if core is not None:
        core.require_open()
        snapshot = core.snapshot_ts
    rows.begin(reader.engine, core, snapshot, start, stop, most, False)
    scan = rows.scan
    while (row := rows.next()) != NULL:
        place = count if count < kept else mixed(count) % (count + 1)
        count += 1
        size += row.key_size + row.value_size
        if place < kept:
            if row.key_size < skipped:
                checked(fail(CORRUPTION, "a key is shorter than its prefix", NULL, <uint64_t> NO_OFFSET))
            values = reader.decode(scan.buffer + row.key_offset + skipped, row.key_size - skipped,
                                   scan.buffer + row.value_offset, row.value_size)
            if count <= kept:
                found.append(values)
            else:
                found[place] = values
        if count == most:
            last = PyBytes_FromStringAndSize(scan.buffer + row.key_offset, row.key_size)
    rows.end()
    scan.close()
    return count, size, last, found
