"""Key tuples: values as bytes whose order is the order of the values, and which can be read back.

    NULL            00 first or FF last, as the column says
    int and kin     -16 .. 221 in the first byte; else its length there, and the bytes, highest first
    float           8 bytes, sign turned, all turned if negative
    text, bytes     00 as 01 01, 01 as 01 02; ends with 00
    decimal         sign, exponent, two digits a byte with "more follow" in the lowest bit
    interval        whole days and the rest, then months and days to tell equal ones apart
    uuid            16 bytes
    any             class of the value, then as above; containers end with 00

A first byte that could be taken for a NULL's gets 01 or FE in front. No value's bytes are the beginning of another's,
so a tuple's bytes are the beginning of just those keys that begin with its values. A descending column has all bytes of
its values inverted.

In ANY numbers compare across kinds, a float counting as the decimal that repr() shows. So equal numbers have one key,
and it comes back as one of them (key_values.pyx, number_value).
"""
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memchr, memcmp

from .document cimport Container, MAX_DOCUMENT_DEPTH, container_finish, container_open, container_piece, piece_end
from .keys cimport Input, input_close, input_open
from .key_values cimport (NUMBER_MINUS_INFINITY, NUMBER_NAN, Source, key_damaged, key_invert, next_byte,
                          put_any_number, put_decimal, put_fixed, put_float, put_guarded_text, put_int, put_text,
                          read_any_number, read_decimal, read_fixed, read_float, read_guarded_text, read_int, read_text)
from .platform cimport get_u64, put_u64
from .record cimport FIELD_NULL, FIELD_VALUE, value_append, value_to_python
from .scalars cimport (BSON_TIMESTAMP_BYTES, Buffer, DAY_MICROSECONDS, OBJECT_ID_BYTES, Span, UUID_BYTES, VALUE_ANY,
                       VALUE_ARRAY, VALUE_BINARY, VALUE_BOOL, VALUE_BSON_TIMESTAMP, VALUE_BYTES, VALUE_CODE, VALUE_DATE,
                       VALUE_DECIMAL, VALUE_FLOAT, VALUE_INT, VALUE_INTERVAL, VALUE_JSON, VALUE_MAX_KEY, VALUE_MIN_KEY,
                       VALUE_NULL, VALUE_OBJECT_ID, VALUE_REGEX, VALUE_TEXT, VALUE_TIME, VALUE_TIMESTAMP,
                       VALUE_TIMESTAMPTZ, VALUE_UUID, buffer_append, buffer_byte, buffer_free, buffer_init, fits_32,
                       float_append, float_get, int_append, int_get, is_scalar, span_append, span_get)
from .status cimport CORRUPTION, NO_MEMORY, NO_OFFSET, fail, raise_status

cdef extern from *:
    uint64_t swap_bytes "__builtin_bswap64"(uint64_t value) noexcept nogil
    bint add_overflows "__builtin_add_overflow"(int64_t a, int64_t b, int64_t *sum) noexcept nogil

cdef enum:
    STACK_BYTES = 512
    STACK_ENDS = 64
    # classes of ANY, in their order; on disk. Numbers stand between null and text.
    ANY_END = 0x00
    ANY_MIN_KEY = 0x08
    ANY_NULL = 0x10
    ANY_TEXT = 0x30
    ANY_OBJECT = 0x40
    ANY_ARRAY = 0x50
    ANY_BYTES = 0x60
    ANY_BINARY = 0x64
    ANY_UUID = 0x68
    ANY_OBJECT_ID = 0x6C
    ANY_FALSE = 0x70
    ANY_TRUE = 0x71
    ANY_DATE = 0x78
    ANY_TIMESTAMP = 0x79
    ANY_TIMESTAMPTZ = 0x7A
    ANY_TIME = 0x7B
    ANY_INTERVAL = 0x7C
    ANY_BSON_TIMESTAMP = 0x80
    ANY_REGEX = 0x88
    ANY_CODE = 0x90
    ANY_MAX_KEY = 0xF0
    NAME_FOLLOWS = 0x01              # in an object, before each name


cdef inline int checked(int status) except -1:
    return raise_status(status) if status < 0 else 0


# -------------------------------------------------------------------- scalars

cdef int put_interval(const char *value, size_t size, Buffer *out) noexcept nogil:
    cdef Span span
    cdef int64_t days, rest
    cdef int status = span_get(value, size, &span)
    if status < 0:
        return status
    rest = span.microseconds % DAY_MICROSECONDS
    days = span.months * 30 + span.days + span.microseconds // DAY_MICROSECONDS
    if rest < 0:
        rest += DAY_MICROSECONDS
        days -= 1
    status = put_int(days, out)
    if status == 0:
        status = put_int(rest, out)
    if status == 0:
        status = put_int(span.months, out)
    return put_int(span.days, out) if status == 0 else status


cdef int read_interval(Source *source, Buffer *out) noexcept nogil:
    cdef Span span
    cdef int64_t days, rest
    cdef int status = read_int(source, &days)
    if status == 0:
        status = read_int(source, &rest)
    if status == 0:
        status = read_int(source, &span.months)
    if status == 0:
        status = read_int(source, &span.days)
    if status < 0:
        return status
    if (not fits_32(span.months) or not fits_32(span.days) or not 0 <= rest < DAY_MICROSECONDS
            or not -(<int64_t> 1 << 40) < days < <int64_t> 1 << 40):
        return key_damaged()
    days -= span.months * 30 + span.days
    if days < 0:                                            # towards zero, where the product fits
        days += 1
        rest -= DAY_MICROSECONDS
    if not -106751991 <= days <= 106751991 or add_overflows(days * DAY_MICROSECONDS, rest, &span.microseconds):
        return key_damaged()
    return span_append(out, &span)


cdef int put_scalar(int kind, const char *value, size_t size, Buffer *out) noexcept nogil:
    cdef int64_t number
    cdef double real
    cdef int status
    if kind == VALUE_TEXT or kind == VALUE_BYTES:
        return put_guarded_text(value, size, out)
    if kind == VALUE_FLOAT:
        status = float_get(value, size, &real)
        return put_float(real, out) if status == 0 else status
    if kind == VALUE_DECIMAL:
        return put_decimal(value, size, out)
    if kind == VALUE_INTERVAL:
        return put_interval(value, size, out)
    if kind == VALUE_UUID:
        return put_fixed(value, UUID_BYTES, out) if size == UUID_BYTES else key_damaged()
    status = int_get(value, size, &number)
    return put_int(number, out) if status == 0 else status


cdef int read_scalar(int kind, Source *source, Buffer *out) noexcept nogil:
    cdef char fixed[UUID_BYTES]
    cdef int64_t number
    cdef double real
    cdef int status
    if kind == VALUE_TEXT or kind == VALUE_BYTES:
        return read_guarded_text(source, out)
    if kind == VALUE_FLOAT:
        status = read_float(source, &real)
        return float_append(out, real) if status == 0 else status
    if kind == VALUE_DECIMAL:
        return read_decimal(source, out)
    if kind == VALUE_INTERVAL:
        return read_interval(source, out)
    if kind == VALUE_UUID:
        status = read_fixed(source, fixed, UUID_BYTES)
        return buffer_append(out, fixed, UUID_BYTES) if status == 0 else status
    status = read_int(source, &number)
    return int_append(out, number) if status == 0 else status


# -------------------------------------------------------------------- any value

cdef struct Member:                  # of an object
    const char *name
    size_t name_size
    const char *value
    size_t value_size


cdef int compare_members(const void *a, const void *b) noexcept nogil:
    cdef const Member *left = <const Member *> a
    cdef const Member *right = <const Member *> b
    cdef size_t common = left.name_size if left.name_size < right.name_size else right.name_size
    cdef int order = memcmp(left.name, right.name, common)
    if order:
        return order
    return (left.name_size > right.name_size) - (left.name_size < right.name_size)


cdef int put_members(const Container *container, Buffer *out, int depth) noexcept nogil:
    """By name, so that equal objects have equal keys."""
    cdef size_t count = container.piece_count // 2, i
    cdef Member *members = <Member *> malloc((count + 1) * sizeof(Member))
    cdef int status = 0
    if members == NULL:
        return fail(NO_MEMORY, "no memory for a key", NULL, <uint64_t> NO_OFFSET)
    for i in range(count):
        if status == 0:
            status = container_piece(container, 2 * i, &members[i].name, &members[i].name_size)
        if status == 0:
            status = container_piece(container, 2 * i + 1, &members[i].value, &members[i].value_size)
    if status == 0:
        qsort(members, count, sizeof(Member), compare_members)
    for i in range(count):
        if status == 0:
            status = buffer_byte(out, NAME_FOLLOWS)
        if status == 0:
            status = put_text(members[i].name, members[i].name_size, out)
        if status == 0:
            status = put_any(members[i].value, members[i].value_size, out, depth + 1)
    free(members)
    return status


cdef int put_container(const char *p, size_t size, Buffer *out, int depth) noexcept nogil:
    cdef Container container
    cdef const char *piece
    cdef size_t piece_size, i
    cdef int status = container_open(p, size, &container)
    if status < 0:
        return status
    if depth == MAX_DOCUMENT_DEPTH:
        return fail(CORRUPTION, "a document is nested too deeply", NULL, <uint64_t> NO_OFFSET)
    status = buffer_byte(out, ANY_OBJECT if container.kind == VALUE_JSON else ANY_ARRAY)
    if container.kind == VALUE_JSON:
        if status == 0:
            status = put_members(&container, out, depth)
    else:
        for i in range(container.piece_count):
            if status == 0:
                status = container_piece(&container, i, &piece, &piece_size)
            if status == 0:
                status = put_any(piece, piece_size, out, depth + 1)
    return buffer_byte(out, ANY_END) if status == 0 else status


cdef int any_class(int kind) noexcept nogil:
    if kind == VALUE_BYTES:
        return ANY_BYTES
    if kind == VALUE_DATE:
        return ANY_DATE
    if kind == VALUE_TIME:
        return ANY_TIME
    if kind == VALUE_TIMESTAMP:
        return ANY_TIMESTAMP
    if kind == VALUE_TIMESTAMPTZ:
        return ANY_TIMESTAMPTZ
    if kind == VALUE_INTERVAL:
        return ANY_INTERVAL
    if kind == VALUE_UUID:
        return ANY_UUID
    if kind == VALUE_OBJECT_ID:
        return ANY_OBJECT_ID
    if kind == VALUE_REGEX:
        return ANY_REGEX
    if kind == VALUE_MIN_KEY:
        return ANY_MIN_KEY
    if kind == VALUE_MAX_KEY:
        return ANY_MAX_KEY
    if kind == VALUE_BSON_TIMESTAMP:
        return ANY_BSON_TIMESTAMP
    if kind == VALUE_BINARY:
        return ANY_BINARY
    return ANY_CODE if kind == VALUE_CODE else ANY_TEXT


cdef int put_bson(int kind, const char *p, size_t size, Buffer *out) noexcept nogil:
    """What only documents hold, behind its class."""
    cdef char stamp[BSON_TIMESTAMP_BYTES]
    cdef const char *zero
    cdef int status
    if kind == VALUE_OBJECT_ID:
        return put_fixed(p, size, out) if size == OBJECT_ID_BYTES else key_damaged()
    if kind == VALUE_BSON_TIMESTAMP:
        if size != BSON_TIMESTAMP_BYTES:
            return key_damaged()
        put_u64(stamp, swap_bytes(get_u64(p)))
        return put_fixed(stamp, BSON_TIMESTAMP_BYTES, out)
    if kind == VALUE_REGEX:
        zero = <const char *> memchr(p, 0, size)
        if zero == NULL:
            return key_damaged()
        status = put_text(p, zero - p, out)
        return put_text(zero + 1, size - (zero + 1 - p), out) if status == 0 else status
    if kind == VALUE_MIN_KEY or kind == VALUE_MAX_KEY:
        return 0 if size == 0 else key_damaged()
    return put_text(p, size, out)                           # the subtype of a binary is its first byte


cdef int read_bson(int kind, Source *source, Buffer *out) noexcept nogil:
    cdef char fixed[OBJECT_ID_BYTES]
    cdef int status
    if kind == VALUE_OBJECT_ID:
        status = read_fixed(source, fixed, OBJECT_ID_BYTES)
        return buffer_append(out, fixed, OBJECT_ID_BYTES) if status == 0 else status
    if kind == VALUE_BSON_TIMESTAMP:
        status = read_fixed(source, fixed, BSON_TIMESTAMP_BYTES)
        put_u64(fixed, swap_bytes(get_u64(fixed)))
        return buffer_append(out, fixed, BSON_TIMESTAMP_BYTES) if status == 0 else status
    if kind == VALUE_MIN_KEY or kind == VALUE_MAX_KEY:
        return 0
    status = read_text(source, out)
    if kind == VALUE_REGEX and status == 0:
        status = buffer_byte(out, 0)
        if status == 0:
            status = read_text(source, out)
    return status


cdef int put_any(const char *p, size_t size, Buffer *out, int depth) noexcept nogil:
    """The key of a document."""
    cdef int64_t number
    cdef int kind, status
    if size == 0:
        return key_damaged()
    kind = <uint8_t> p[0]
    p += 1
    size -= 1
    if kind == VALUE_NULL:
        return buffer_byte(out, ANY_NULL)
    if kind == VALUE_BOOL:
        status = int_get(p, size, &number)
        return buffer_byte(out, ANY_TRUE if number else ANY_FALSE) if status == 0 else status
    if VALUE_INT <= kind <= VALUE_DECIMAL:
        return put_any_number(kind, p, size, out)
    if not is_scalar(kind):
        return put_container(p - 1, size + 1, out, depth)
    status = buffer_byte(out, any_class(kind))
    if status < 0:
        return status
    if kind > VALUE_UUID:
        return put_bson(kind, p, size, out)
    if kind == VALUE_TEXT or kind == VALUE_BYTES:
        return put_text(p, size, out)
    return put_scalar(kind, p, size, out)


cdef int read_container(Source *source, int first, Buffer *out, Buffer *ends, int depth) noexcept nogil:
    cdef size_t start = out.size, ends_start = ends.size
    cdef int byte, status = 0
    if depth == MAX_DOCUMENT_DEPTH:
        return key_damaged()
    while status == 0:
        byte = next_byte(source)
        if byte == ANY_END:
            break
        if first == ANY_OBJECT:
            if byte != NAME_FOLLOWS:
                return key_damaged()
            status = read_text(source, out)
            if status == 0:
                status = piece_end(out, start, ends)
            byte = next_byte(source)
        if status == 0:
            status = read_any(source, byte, out, ends, depth + 1)
        if status == 0:
            status = piece_end(out, start, ends)
    if status < 0:
        return status
    return container_finish(out, start, VALUE_JSON if first == ANY_OBJECT else VALUE_ARRAY, ends, ends_start)


cdef int read_any(Source *source, int first, Buffer *out, Buffer *ends, int depth) noexcept nogil:
    """Appends the document whose key has the first byte `first`, which was read already."""
    cdef int kind, status
    if NUMBER_MINUS_INFINITY <= first <= NUMBER_NAN:
        return read_any_number(source, first, out)
    if first == ANY_OBJECT or first == ANY_ARRAY:
        return read_container(source, first, out, ends, depth)
    if first == ANY_NULL:
        return buffer_byte(out, VALUE_NULL)
    if first == ANY_FALSE or first == ANY_TRUE:
        status = buffer_byte(out, VALUE_BOOL)
        return int_append(out, first == ANY_TRUE) if status == 0 else status
    for kind in range(VALUE_TEXT, VALUE_CODE + 1):
        if is_scalar(kind) and any_class(kind) == first:
            status = buffer_byte(out, kind)
            if status < 0:
                return status
            if kind > VALUE_UUID:
                return read_bson(kind, source, out)
            if kind == VALUE_TEXT or kind == VALUE_BYTES:
                return read_text(source, out)
            return read_scalar(kind, source, out)
    return key_damaged()


# -------------------------------------------------------------------- columns

cdef int key_append(const KeyColumn *column, const char *value, size_t value_size, Buffer *out) noexcept nogil:
    cdef size_t start = out.size
    cdef int status
    if column.kind <= VALUE_UUID:
        status = put_scalar(column.kind, value, value_size, out)
    else:
        status = put_any(value, value_size, out, 0)
    if status == 0 and column.mask:
        key_invert(out, start)
    return status


cdef int key_append_null(const KeyColumn *column, Buffer *out) noexcept nogil:
    return buffer_byte(out, column.null_byte)


cdef int key_read(const KeyColumn *column, const char **p, const char *end, Buffer *out, Buffer *ends) noexcept nogil:
    cdef Source source
    cdef int status
    if p[0] == end:
        return key_damaged()
    if <uint8_t> p[0][0] == column.null_byte:
        p[0] += 1
        return FIELD_NULL
    source.p, source.end, source.mask = <const uint8_t *> p[0], <const uint8_t *> end, column.mask
    if column.kind <= VALUE_UUID:
        status = read_scalar(column.kind, &source, out)
    else:
        ends.size = 0
        status = read_any(&source, next_byte(&source), out, ends, 0)
    p[0] = <const char *> source.p
    return FIELD_VALUE if status == 0 else status


cdef class KeyCodec:
    """Keys of columns, each (kind, is_descending, nulls_first); kinds as in core/values.py Kind, BOOL .. ANY."""

    def __cinit__(self, columns):
        cdef uint32_t i
        self.columns = tuple((int(kind), bool(is_descending), bool(nulls_first))
                             for kind, is_descending, nulls_first in columns)
        self.count = len(self.columns)
        self.column_array = <KeyColumn *> malloc((self.count + 1) * sizeof(KeyColumn))
        if self.column_array == NULL:
            raise MemoryError()
        for i in range(self.count):
            kind, is_descending, nulls_first = self.columns[i]
            if not VALUE_BOOL <= kind <= VALUE_ANY:
                raise ValueError(f"no kind of a stored value: {kind}")
            self.column_array[i].kind = kind
            self.column_array[i].mask = 0xFF if is_descending else 0
            self.column_array[i].null_byte = KEY_NULL_FIRST if nulls_first else KEY_NULL_LAST

    def __dealloc__(self):
        free(self.column_array)

    cdef int append(self, object values, uint32_t count, Buffer *out) except -1:
        cdef char storage[STACK_BYTES]
        cdef Buffer scratch
        cdef KeyColumn *column
        cdef uint32_t i
        cdef tuple row = values if type(values) is tuple else tuple(values)
        if len(row) < count or count > self.count:
            raise ValueError(f"{len(row)} values for {count} of {self.count} columns of a key")
        buffer_init(&scratch, storage, STACK_BYTES)
        try:
            for i in range(count):
                value = row[i]
                column = &self.column_array[i]
                if value is None:
                    checked(key_append_null(column, out))
                    continue
                scratch.size = 0
                value_append(column.kind, value, &scratch)
                checked(key_append(column, scratch.data, scratch.size, out))
        finally:
            buffer_free(&scratch)
        return 0

    def encode(self, values, count=None):
        """The key of a list or tuple of values, None for NULL; with `count`, of the first so many."""
        cdef char storage[STACK_BYTES]
        cdef Buffer out
        if count is None and len(values) != self.count:
            raise ValueError(f"{len(values)} values for a key of {self.count} columns")
        buffer_init(&out, storage, STACK_BYTES)
        try:
            self.append(values, self.count if count is None else count, &out)
            return PyBytes_FromStringAndSize(out.data, out.size)
        finally:
            buffer_free(&out)

    def decode(self, data, size_t offset=0):
        """The values of the key that begins at `offset`; what follows it is not looked at."""
        cdef char storage[STACK_BYTES]
        cdef char ends_storage[STACK_ENDS * 4]
        cdef Buffer scratch, ends
        cdef Input given
        cdef const char *p
        cdef const char *end
        cdef uint32_t i
        cdef int state
        cdef tuple row
        cdef object value
        input_open(&given, data, "a key")
        buffer_init(&scratch, storage, STACK_BYTES)
        buffer_init(&ends, ends_storage, STACK_ENDS * 4)
        try:
            if offset > given.size:
                raise ValueError("the offset is behind the key")
            p, end = given.data + offset, given.data + given.size
            row = PyTuple_New(self.count)
            for i in range(self.count):
                scratch.size = 0
                state = key_read(&self.column_array[i], &p, end, &scratch, &ends)
                checked(state)
                value = None
                if state == FIELD_VALUE:
                    value = value_to_python(self.column_array[i].kind, scratch.data, scratch.size)
                Py_INCREF(value)
                PyTuple_SET_ITEM(row, i, value)
            return row
        finally:
            buffer_free(&scratch)
            buffer_free(&ends)
            input_close(&given)

    def skip(self, data, size_t offset=0, count=None):
        """The offset behind the first `count` values (None: all) of the key that begins at `offset`."""
        cdef char storage[STACK_BYTES]
        cdef char ends_storage[STACK_ENDS * 4]
        cdef Buffer scratch, ends
        cdef Input given
        cdef const char *p
        cdef uint32_t wanted = self.count if count is None else count, i
        if wanted > self.count:
            raise ValueError(f"{wanted} of {self.count} columns of a key")
        input_open(&given, data, "a key")
        buffer_init(&scratch, storage, STACK_BYTES)
        buffer_init(&ends, ends_storage, STACK_ENDS * 4)
        try:
            if offset > given.size:
                raise ValueError("the offset is behind the key")
            p = given.data + offset
            for i in range(wanted):
                scratch.size = 0
                checked(key_read(&self.column_array[i], &p, given.data + given.size, &scratch, &ends))
            return p - given.data
        finally:
            buffer_free(&scratch)
            buffer_free(&ends)
            input_close(&given)
