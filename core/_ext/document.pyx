"""Documents: JSON and more as bytes, of which a field or a path is read without the rest.

    scalar       | kind | value (scalars.pyx)                        how long it is, its container says
    container    | kind and width | count | ends ... | pieces ...    array: values; object: name, value, name, value ...

An end is where a piece ends among the pieces, 1, 2 or 4 bytes wide, so that any piece is found at once. Names keep
their order and are searched one after the other. Elements tell their own kinds, which is why JSON, arrays and the
fields of flexible tables are all documents. An int of more than 64 bits is kept as a decimal.
"""
import decimal as _decimal

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memchr, memcmp, memcpy, memmove

from cpython.bytes cimport PyBytes_FromStringAndSize

from .keys cimport Input, input_close, input_open
from .objects cimport (float_text, registered_to_python, registered_value, scalar_append, scalar_kind,
                       scalar_to_python, text_utf8)
from .platform cimport get_u16, get_u32, get_u64, put_u16, put_u32
from .scalars cimport (BSON_TIMESTAMP_BYTES, Buffer, DECIMAL_NEGATIVE, VALUE_ARRAY, VALUE_BINARY, VALUE_BOOL,
                       VALUE_BSON_TIMESTAMP, VALUE_BYTES, VALUE_CODE, VALUE_DECIMAL, VALUE_INT, VALUE_JSON,
                       VALUE_MAX_KEY, VALUE_MIN_KEY, VALUE_NULL, VALUE_REGEX, VALUE_TEXT, VALUE_TIMESTAMP,
                       VALUE_TIMESTAMPTZ, VALUE_UUID, buffer_append, buffer_byte, buffer_free, buffer_init,
                       buffer_reserve, digits_append, float_get, int_append, int_get, is_scalar, is_utf8, moment_text,
                       number_parse, number_text)
from .status cimport CORRUPTION, NO_OFFSET, TOO_LARGE, fail, raise_status

cdef object _Decimal = _decimal.Decimal

cdef enum:
    STACK_BYTES = 1024
    STACK_ENDS = 64
    WIDTH_SHIFT = 4                  # of the first byte of a container


cdef class _Missing:
    def __repr__(self):
        return "MISSING"

    def __bool__(self):
        return False


MISSING = _Missing()
MAX_DEPTH = MAX_DOCUMENT_DEPTH


cdef inline int damaged(const char *message) noexcept nogil:
    return fail(CORRUPTION, message, NULL, <uint64_t> NO_OFFSET)


cdef inline int checked(int status) except -1:
    return raise_status(status) if status < 0 else 0


# -------------------------------------------------------------------- containers

cdef inline uint64_t read_end(const char *p, int width) noexcept nogil:
    if width == 1:
        return <uint8_t> p[0]
    return get_u16(p) if width == 2 else get_u32(p)


cdef int container_open(const char *p, size_t size, Container *out) noexcept nogil:
    cdef int first
    cdef uint64_t count
    if size < 2:
        return damaged("a container is cut off")
    first = <uint8_t> p[0]
    out.kind = first & DOCUMENT_KIND_MASK
    out.width = 1 << (first >> WIDTH_SHIFT)
    if (out.kind != VALUE_JSON and out.kind != VALUE_ARRAY) or first >> WIDTH_SHIFT > 2:
        return damaged("a value of an unknown kind")
    if size < 1 + <size_t> out.width:
        return damaged("a container is cut off")
    count = read_end(p + 1, out.width)
    out.piece_count = count * 2 if out.kind == VALUE_JSON else count
    size -= 1 + out.width
    if out.piece_count * out.width > size:
        return damaged("a container is cut off")
    out.ends = p + 1 + out.width
    out.payload = out.ends + out.piece_count * out.width
    out.payload_size = size - out.piece_count * out.width
    return 0


cdef int container_piece(const Container *container, uint64_t index, const char **p, size_t *size) noexcept nogil:
    cdef const char *at = container.ends + index * container.width
    cdef uint64_t start = 0, end = read_end(at, container.width)
    if index:
        start = read_end(at - container.width, container.width)
    if start > end or end > container.payload_size:
        return damaged("a piece of a container is out of bounds")
    p[0] = container.payload + start
    size[0] = end - start
    return 0


cdef int piece_end(const Buffer *out, size_t start, Buffer *ends) noexcept nogil:
    cdef int status = buffer_reserve(ends, 4)
    if status < 0:
        return status
    if out.size - start > <uint32_t> 0xFFFFFFFF:
        return fail(TOO_LARGE, "a document is larger than 4 GiB", NULL, <uint64_t> NO_OFFSET)
    put_u32(ends.data + ends.size, <uint32_t> (out.size - start))
    ends.size += 4
    return 0


cdef int container_finish(Buffer *out, size_t start, int kind, Buffer *ends, size_t ends_start) noexcept nogil:
    cdef size_t payload_size = out.size - start, pieces = (ends.size - ends_start) // 4
    cdef size_t count = pieces // 2 if kind == VALUE_JSON else pieces, header, i
    cdef size_t largest = payload_size if payload_size > count else count
    cdef int shift = 0 if largest < 256 else 1 if largest < 65536 else 2
    cdef int width = 1 << shift
    cdef const char *from_ = ends.data + ends_start
    cdef char *to
    cdef int status
    header = 1 + width + pieces * width
    status = buffer_reserve(out, header)
    if status < 0:
        return status
    to = out.data + start
    memmove(to + header, to, payload_size)
    to[0] = <char> (kind | shift << WIDTH_SHIFT)
    to += 1
    if width == 1:
        to[0] = <char> count
        for i in range(pieces):
            to[1 + i] = from_[4 * i]
    elif width == 2:
        put_u16(to, <uint16_t> count)
        for i in range(pieces):
            memcpy(to + 2 + 2 * i, from_ + 4 * i, 2)
    else:
        put_u32(to, <uint32_t> count)
        memcpy(to + 4, from_, 4 * pieces)
    out.size += header
    ends.size = ends_start
    return 0


# -------------------------------------------------------------------- Python objects

cdef int too_deep() except -1:
    return raise_status(fail(TOO_LARGE, "a document is nested more than 100 deep (MAX_DOCUMENT_DEPTH)", NULL,
                             <uint64_t> NO_OFFSET))


cdef int put_moment(object value, Buffer *out) except -1:
    """A moment as BSON has it: whole milliseconds; without a zone it is in UTC."""
    cdef size_t start
    cdef int64_t moment
    checked(buffer_byte(out, VALUE_TIMESTAMPTZ))
    start = out.size
    scalar_append(scalar_kind(value), value, out)
    checked(int_get(out.data + start, out.size - start, &moment))
    moment -= (moment % 1000 + 1000) % 1000
    out.size = start
    return checked(int_append(out, moment))


cdef int put_registered(object value, Buffer *out) except -1:
    """0: it is not of a registered class."""
    cdef object written = registered_value(value), payload
    cdef const char *text
    cdef Py_ssize_t size
    if written is None:
        return 0
    payload = written[1]
    checked(buffer_byte(out, written[0]))
    if isinstance(payload, str):
        text = text_utf8(payload, &size)
        checked(number_parse(text, size, out))
    else:
        checked(buffer_append(out, payload, len(payload)))
    return 1


cdef int put_value(object value, Buffer *out, Buffer *ends, int depth, bint is_bson) except -1:
    cdef int kind = scalar_kind(value)
    cdef size_t start, ends_start
    cdef Py_ssize_t size
    cdef const char *text
    if kind >= 0:
        if kind == VALUE_DECIMAL and isinstance(value, int):             # over 64 bits
            if is_bson:
                raise OverflowError("an int in a document has at most 64 bits")
            value = _Decimal(value)
        if is_bson and (kind == VALUE_TIMESTAMP or kind == VALUE_TIMESTAMPTZ):
            return put_moment(value, out)
        checked(buffer_byte(out, kind))
        return 0 if kind == VALUE_NULL else scalar_append(kind, value, out)
    if depth == MAX_DOCUMENT_DEPTH:
        return too_deep()
    start, ends_start = out.size, ends.size
    if isinstance(value, dict):
        for name, item in (<dict> value).items():
            if not isinstance(name, str):
                raise TypeError(f"a name in a document must be str, not {type(name).__name__} ({name!r:.80})")
            text = text_utf8(name, &size)
            if is_bson and memchr(text, 0, size) != NULL:
                raise ValueError(f"a name in a document must not contain the character of code 0 ({name!r:.80})")
            checked(buffer_append(out, text, size))
            checked(piece_end(out, start, ends))
            put_value(item, out, ends, depth + 1, is_bson)
            checked(piece_end(out, start, ends))
        return checked(container_finish(out, start, VALUE_JSON, ends, ends_start))
    if isinstance(value, (list, tuple)):
        for item in value:
            put_value(item, out, ends, depth + 1, is_bson)
            checked(piece_end(out, start, ends))
        return checked(container_finish(out, start, VALUE_ARRAY, ends, ends_start))
    if put_registered(value, out):
        return 0
    raise TypeError(f"a document cannot hold {type(value).__name__} ({value!r:.80})")


cdef int append_value(object value, Buffer *out, bint is_bson) except -1:
    cdef char storage[STACK_ENDS * 4]
    cdef Buffer ends
    buffer_init(&ends, storage, STACK_ENDS * 4)
    try:
        return put_value(value, out, &ends, 0, is_bson)
    finally:
        buffer_free(&ends)


cdef int document_append(object value, Buffer *out) except -1:
    return append_value(value, out, False)


cdef int document_append_bson(object value, Buffer *out) except -1:
    return append_value(value, out, True)


cdef object get_bson_scalar(int kind, const char *p, size_t size):
    cdef object value
    if kind == VALUE_DECIMAL:
        return registered_to_python(kind, str(scalar_to_python(kind, p, size)))
    value = scalar_to_python(kind, p, size)
    return value.replace(tzinfo=None) if kind == VALUE_TIMESTAMPTZ else value


cdef object get_value(const char *p, size_t size, int depth, bint is_bson):
    cdef Container container
    cdef const char *piece
    cdef size_t piece_size
    cdef uint64_t i
    cdef int kind
    cdef dict members
    cdef list items
    cdef object name
    if size == 0:
        checked(damaged("a value has no bytes"))
    kind = <uint8_t> p[0]
    if kind == VALUE_NULL:
        return None
    if is_scalar(kind):
        if is_bson and (kind == VALUE_DECIMAL or kind == VALUE_TIMESTAMPTZ):
            return get_bson_scalar(kind, p + 1, size - 1)
        return scalar_to_python(kind, p + 1, size - 1)
    checked(container_open(p, size, &container))
    if depth == MAX_DOCUMENT_DEPTH:
        checked(damaged("a document is nested too deeply"))
    if container.kind == VALUE_ARRAY:
        items = []
        for i in range(container.piece_count):
            checked(container_piece(&container, i, &piece, &piece_size))
            items.append(get_value(piece, piece_size, depth + 1, is_bson))
        return items
    members = {}
    for i in range(0, container.piece_count, 2):
        checked(container_piece(&container, i, &piece, &piece_size))
        name = scalar_to_python(VALUE_TEXT, piece, piece_size)
        checked(container_piece(&container, i + 1, &piece, &piece_size))
        members[name] = get_value(piece, piece_size, depth + 1, is_bson)
    return members


cdef object document_to_python(const char *p, size_t size):
    return get_value(p, size, 0, False)


cdef object document_to_bson(const char *p, size_t size):
    return get_value(p, size, 0, True)


# -------------------------------------------------------------------- paths

cdef int container_find(const Container *container, const char *name, size_t name_size, const char **found,
                   size_t *found_size) noexcept nogil:
    cdef const char *piece
    cdef size_t size
    cdef uint64_t i
    cdef int status
    for i in range(0, container.piece_count, 2):
        status = container_piece(container, i, &piece, &size)
        if status < 0:
            return status
        if size == name_size and memcmp(piece, name, size) == 0:
            status = container_piece(container, i + 1, found, found_size)
            return status if status < 0 else 1
    return 0


cdef int document_find(const char *p, size_t size, tuple path, const char **found, size_t *found_size) except -1:
    cdef Container container
    cdef const char *name
    cdef Py_ssize_t name_size
    cdef int64_t position
    cdef int status
    for step in path:
        if size == 0:
            checked(damaged("a value has no bytes"))
        if is_scalar(<uint8_t> p[0]):
            return 0
        checked(container_open(p, size, &container))
        if isinstance(step, str):
            if container.kind != VALUE_JSON:
                return 0
            name = text_utf8(step, &name_size)
            status = container_find(&container, name, name_size, &p, &size)
            if status == 0:
                return 0
            checked(status)
        elif isinstance(step, int):
            if container.kind != VALUE_ARRAY:
                return 0
            position = step
            if position < 0:
                position += <int64_t> container.piece_count
            if not 0 <= position < <int64_t> container.piece_count:
                return 0
            checked(container_piece(&container, position, &p, &size))
        else:
            raise TypeError(f"a step of a path must be str or int, not {type(step).__name__}")
    found[0], found_size[0] = p, size
    return 1


# -------------------------------------------------------------------- JSON

cdef int json_string(const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef const char *hexadecimal = b"0123456789abcdef"
    cdef const char *short_escapes = b"btn?fr"
    cdef const char *end = p + size
    cdef uint8_t byte
    cdef int status = buffer_byte(out, 34)
    if not is_utf8(p, size):
        return damaged("a text is no UTF-8")
    if status == 0:
        status = buffer_reserve(out, size + 1)
    while status == 0 and p < end:
        byte = <uint8_t> p[0]
        p += 1
        if byte >= 32 and byte != 34 and byte != 92:
            status = buffer_byte(out, byte)
        elif byte == 34 or byte == 92:
            status = buffer_byte(out, 92)
            if status == 0:
                status = buffer_byte(out, byte)
        elif 8 <= byte <= 13 and byte != 11:
            status = buffer_byte(out, 92)
            if status == 0:
                status = buffer_byte(out, short_escapes[byte - 8])
        else:
            status = buffer_append(out, b"\\u00", 4)
            if status == 0:
                status = buffer_byte(out, hexadecimal[byte >> 4])
            if status == 0:
                status = buffer_byte(out, hexadecimal[byte & 15])
    return buffer_byte(out, 34) if status == 0 else status


cdef int json_bytes(const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef int status = buffer_append(out, b"\"\\\\x", 4)
    if status == 0:
        status = hexadecimal_append(p, size, out)
    return buffer_byte(out, 34) if status == 0 else status


cdef int hexadecimal_append(const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef const char *digits = b"0123456789abcdef"
    cdef size_t i
    cdef int status = buffer_reserve(out, 2 * size)
    if status < 0:
        return status
    for i in range(size):
        out.data[out.size] = digits[<uint8_t> p[i] >> 4]
        out.data[out.size + 1] = digits[<uint8_t> p[i] & 15]
        out.size += 2
    return 0


cdef int json_bson(int kind, const char *p, size_t size, Buffer *out) noexcept nogil:
    """What only documents hold: an object id in hexadecimal, code and a regex's pattern as they are."""
    cdef const char *zero
    cdef uint64_t stamp
    cdef int status
    if kind == VALUE_CODE:
        return json_string(p, size, out)
    if kind == VALUE_REGEX:
        zero = <const char *> memchr(p, 0, size)
        return json_string(p, zero - p, out) if zero != NULL else damaged("a regex is damaged")
    if kind == VALUE_MIN_KEY:
        return buffer_append(out, b"\"MinKey\"", 8)
    if kind == VALUE_MAX_KEY:
        return buffer_append(out, b"\"MaxKey\"", 8)
    if kind == VALUE_BINARY:
        return json_bytes(p + 1, size - 1, out) if size else damaged("a binary is damaged")
    if kind == VALUE_BSON_TIMESTAMP:
        if size != BSON_TIMESTAMP_BYTES:
            return damaged("a timestamp is damaged")
        stamp = get_u64(p)
        status = buffer_byte(out, 34)
        if status == 0:
            status = digits_append(out, stamp >> 32)
        if status == 0:
            status = buffer_byte(out, 58)
        if status == 0:
            status = digits_append(out, stamp & <uint64_t> 0xFFFFFFFF)
        return buffer_byte(out, 34) if status == 0 else status
    status = buffer_byte(out, 34)
    if status == 0:
        status = hexadecimal_append(p, size, out)
    return buffer_byte(out, 34) if status == 0 else status


cdef int json_number(int kind, const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef int64_t number
    cdef double real
    cdef int status
    if kind == VALUE_INT:
        status = int_get(p, size, &number)
        if status == 0 and number < 0:
            status = buffer_byte(out, 45)
        return digits_append(out, -<uint64_t> number if number < 0 else <uint64_t> number) if status == 0 else status
    if kind == VALUE_DECIMAL:
        if size == 1 and <uint8_t> p[0] > DECIMAL_NEGATIVE:              # a name, no number
            return quoted_decimal(p, size, out)
        return number_text(p, size, out)
    status = float_get(p, size, &real)
    if status < 0:
        return status
    if real != real:
        return buffer_append(out, b"\"NaN\"", 5)
    if real - real != 0:
        return buffer_append(out, b"\"Infinity\"", 10) if real > 0 else buffer_append(out, b"\"-Infinity\"", 11)
    return float_text(real, out)


cdef int quoted_decimal(const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef int status = buffer_byte(out, 34)
    if status == 0:
        status = number_text(p, size, out)
    return buffer_byte(out, 34) if status == 0 else status


cdef int json_value(const char *p, size_t size, Buffer *out, int depth) noexcept nogil:
    cdef Container container
    cdef const char *piece
    cdef size_t piece_size
    cdef uint64_t i
    cdef int64_t number
    cdef int kind, status
    cdef bint is_object
    if size == 0:
        return damaged("a value has no bytes")
    kind = <uint8_t> p[0]
    if is_scalar(kind):
        p += 1
        size -= 1
        if kind == VALUE_NULL:
            return buffer_append(out, b"null", 4)
        if kind == VALUE_TEXT:
            return json_string(p, size, out)
        if kind == VALUE_BYTES:
            return json_bytes(p, size, out)
        if kind == VALUE_BOOL:
            status = int_get(p, size, &number)
            if status < 0:
                return status
            return buffer_append(out, b"true", 4) if number else buffer_append(out, b"false", 5)
        if kind <= VALUE_DECIMAL:
            return json_number(kind, p, size, out)
        if kind > VALUE_UUID:
            return json_bson(kind, p, size, out)
        status = buffer_byte(out, 34)
        if status == 0:
            status = moment_text(kind, p, size, out)
        return buffer_byte(out, 34) if status == 0 else status
    status = container_open(p, size, &container)
    if status == 0 and depth == MAX_DOCUMENT_DEPTH:
        status = damaged("a document is nested too deeply")
    if status < 0:
        return status
    is_object = container.kind == VALUE_JSON
    status = buffer_byte(out, 123 if is_object else 91)
    for i in range(container.piece_count):
        if status == 0 and i:
            status = buffer_byte(out, 58 if is_object and i % 2 else 44)
        if status == 0:
            status = container_piece(&container, i, &piece, &piece_size)
        if status == 0:
            status = (json_string(piece, piece_size, out) if is_object and i % 2 == 0
                      else json_value(piece, piece_size, out, depth + 1))
        if status < 0:
            return status
    return buffer_byte(out, 125 if is_object else 93) if status == 0 else status


cdef int document_json(const char *p, size_t size, Buffer *out) noexcept nogil:
    return json_value(p, size, out, 0)


# -------------------------------------------------------------------- what Python calls

def encode(value, bint is_bson=False):
    """A value as a document. TypeError: it cannot be stored; LimitExceeded: nested too deeply. With `is_bson` as
    PyMongo has it: moments in milliseconds, those without a zone in UTC; an int over 64 bits is an OverflowError."""
    cdef char storage[STACK_BYTES]
    cdef Buffer out
    buffer_init(&out, storage, STACK_BYTES)
    try:
        append_value(value, &out, is_bson)
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        buffer_free(&out)


def decode(data, bint is_bson=False):
    """The value. CorruptionError: it is no document. With `is_bson` as PyMongo has it: decimals as Decimal128, moments
    without a zone."""
    cdef Input given
    input_open(&given, data, "a document")
    try:
        return get_value(given.data, given.size, 0, is_bson)
    finally:
        input_close(&given)


def get(data, tuple path not None):
    """The value at a path of names and positions (negative: from the end), or MISSING."""
    cdef Input given
    cdef const char *found
    cdef size_t found_size
    input_open(&given, data, "a document")
    try:
        if document_find(given.data, given.size, path, &found, &found_size) == 0:
            return MISSING
        return document_to_python(found, found_size)
    finally:
        input_close(&given)


def to_json_text(data):
    """JSON in UTF-8 without blanks; what JSON lacks becomes a string."""
    cdef char storage[STACK_BYTES]
    cdef Input given
    cdef Buffer out
    buffer_init(&out, storage, STACK_BYTES)
    input_open(&given, data, "a document")
    try:
        checked(document_json(given.data, given.size, &out))
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        buffer_free(&out)
        input_close(&given)
