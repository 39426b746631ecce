"""Records: the fields of a row, each found without the others.

    count and flags | bitmap of NULLs, if any | ends of the fields but the last | values, one behind the other

Ends are 1, 2 or 4 bytes wide, so a record of short fields spends a byte on each. A record may have fewer fields than
its table has columns now: those were added later, and readers are told so.
"""
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc
from libc.string cimport memmove, memset

from .document cimport document_append, document_to_python
from .keys cimport Input, input_close, input_open
from .objects cimport json_null, scalar_append, scalar_to_python
from .platform cimport put_u16, put_u32
from .scalars cimport (Buffer, VALUE_ANY, VALUE_ARRAY, VALUE_BOOL, VALUE_UUID, buffer_free, buffer_init, buffer_reserve)
from .status cimport CORRUPTION, NO_OFFSET, TOO_LARGE, fail, raise_status

cdef enum:
    STACK_BYTES = 1024
    STACK_FIELDS = 128


cdef inline int checked(int status) except -1:
    return raise_status(status) if status < 0 else 0


cdef int value_append(int kind, object value, Buffer *out) except -1:
    if kind <= VALUE_UUID:
        return scalar_append(kind, value, out)
    if kind == VALUE_ARRAY and not isinstance(value, (list, tuple)):
        raise TypeError(f"a value must be a list, not {type(value).__name__} ({value!r:.80})")
    return document_append(None if value is json_null() else value, out)


cdef object value_to_python(int kind, const char *p, size_t size):
    cdef object value
    if kind <= VALUE_UUID:
        return scalar_to_python(kind, p, size)
    value = document_to_python(p, size)
    if value is None:
        value = json_null()
    if kind == VALUE_ARRAY and not isinstance(value, list):
        raise_status(fail(CORRUPTION, "an array is another value", NULL, <uint64_t> NO_OFFSET))
    return value


cdef int put_header(Buffer *out, size_t start, uint32_t count, bint has_nulls, object values,
                    const uint32_t *ends) except -1:
    """Moves the values that stand behind `start` and puts the header before them."""
    cdef size_t payload_size = out.size - start, header = 1
    cdef uint32_t largest = ends[count - 2] if count > 1 else 0, i
    cdef int shift = 0 if largest < 256 else 1 if largest < 65536 else 2
    cdef char *p
    if count >= RECORD_LONG_COUNT:
        header += 2
    if has_nulls:
        header += (count + 7) // 8
    if count:
        header += (count - 1) << shift
    checked(buffer_reserve(out, header))
    p = out.data + start
    memmove(p + header, p, payload_size)
    out.size += header
    p[0] = <char> (shift | (RECORD_HAS_NULLS if has_nulls else 0)
                   | (count if count < RECORD_LONG_COUNT else RECORD_LONG_COUNT) << RECORD_COUNT_SHIFT)
    p += 1
    if count >= RECORD_LONG_COUNT:
        put_u16(p, count)
        p += 2
    if has_nulls:
        memset(p, 0, (count + 7) // 8)
        for i in range(count):
            if values[i] is None:
                p[i >> 3] |= 1 << (i & 7)
        p += (count + 7) // 8
    for i in range(1, count):
        if shift == 0:
            p[i - 1] = <char> ends[i - 1]
        elif shift == 1:
            put_u16(p + 2 * (i - 1), ends[i - 1])
        else:
            put_u32(p + 4 * <size_t> (i - 1), ends[i - 1])
    return 0


cdef class RecordCodec:
    """Rows of columns of these kinds (core/values.py Kind, BOOL .. ANY)."""

    def __cinit__(self, kinds):
        cdef uint32_t i
        self.kinds = tuple(int(kind) for kind in kinds)
        if len(self.kinds) > MAX_FIELDS:
            raise ValueError(f"a record has at most {MAX_FIELDS} fields")
        self.count = len(self.kinds)
        self.kind_array = <uint8_t *> malloc(self.count + 1)
        if self.kind_array == NULL:
            raise MemoryError()
        for i in range(self.count):
            if not VALUE_BOOL <= self.kinds[i] <= VALUE_ANY:
                raise ValueError(f"no kind of a stored value: {self.kinds[i]}")
            self.kind_array[i] = self.kinds[i]

    def __dealloc__(self):
        free(self.kind_array)

    cdef int append(self, object values, Buffer *out) except -1:
        cdef uint32_t stack[STACK_FIELDS]
        cdef uint32_t *ends = stack
        cdef size_t start = out.size
        cdef uint32_t i
        cdef bint has_nulls = False
        cdef tuple row = values if type(values) is tuple else tuple(values)
        if len(row) != self.count:
            raise ValueError(f"{len(row)} values for a record of {self.count} fields")
        if self.count > STACK_FIELDS:
            ends = <uint32_t *> malloc(self.count * sizeof(uint32_t))
            if ends == NULL:
                raise MemoryError()
        try:
            for i in range(self.count):
                value = row[i]
                if value is None:
                    has_nulls = True
                else:
                    value_append(self.kind_array[i], value, out)
                if out.size - start > <uint32_t> 0xFFFFFFFF:
                    raise_status(fail(TOO_LARGE, "a record is larger than 4 GiB", NULL, <uint64_t> NO_OFFSET))
                ends[i] = <uint32_t> (out.size - start)
            return put_header(out, start, self.count, has_nulls, row, ends)
        finally:
            if ends != stack:
                free(ends)

    def encode(self, values):
        """The record of a list or tuple of values, None for NULL."""
        cdef char storage[STACK_BYTES]
        cdef Buffer out
        buffer_init(&out, storage, STACK_BYTES)
        try:
            self.append(values, &out)
            return PyBytes_FromStringAndSize(out.data, out.size)
        finally:
            buffer_free(&out)

    def decode(self, data, defaults=None):
        """All values. Fields the record was written without come from `defaults` (as many as kinds), or are None."""
        cdef Input given
        cdef Record record
        cdef const char *p
        cdef size_t size
        cdef uint32_t i
        cdef int state
        cdef tuple row
        cdef object value
        if defaults is not None and len(defaults) != self.count:
            raise ValueError(f"{len(defaults)} defaults for a record of {self.count} fields")
        input_open(&given, data, "a record")
        try:
            self.open(&given, &record)
            row = PyTuple_New(self.count)
            for i in range(self.count):
                state = record_get(&record, i, &p, &size)
                if state == FIELD_VALUE:
                    value = value_to_python(self.kind_array[i], p, size)
                elif state == FIELD_NULL:
                    value = None
                elif state == FIELD_MISSING:
                    value = None if defaults is None else defaults[i]
                else:
                    raise_status(state)
                Py_INCREF(value)
                PyTuple_SET_ITEM(row, i, value)
            return row
        finally:
            input_close(&given)

    cdef int open(self, const Input *given, Record *record) except -1:
        checked(record_open(given.data, given.size, record))
        if record.count > self.count:
            checked(fail(CORRUPTION, "a record has more fields than its table", NULL, <uint64_t> NO_OFFSET))
        return 0

    def field(self, data, uint32_t index, missing=None):
        """One value; `missing` where the record was written without it."""
        cdef Input given
        cdef Record record
        cdef const char *p
        cdef size_t size
        cdef int state
        if index >= self.count:
            raise IndexError(f"field {index} of a record of {self.count}")
        input_open(&given, data, "a record")
        try:
            self.open(&given, &record)
            state = record_get(&record, index, &p, &size)
            checked(state)
            if state == FIELD_VALUE:
                return value_to_python(self.kind_array[index], p, size)
            return None if state == FIELD_NULL else missing
        finally:
            input_close(&given)

    def field_count(self, data):
        """How many fields the record was written with."""
        cdef Input given
        cdef Record record
        input_open(&given, data, "a record")
        try:
            self.open(&given, &record)
            return record.count
        finally:
            input_close(&given)
