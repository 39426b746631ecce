# Values as bytes, and the buffer they are appended to. All codecs of rows meet here: records and documents hold values
# in this form, keys and Arrow columns are made from it, and objects.pyx turns it into Python objects.
from libc.stdint cimport int64_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from .platform cimport get_u16, get_u32, get_u64, put_u64
from .status cimport CORRUPTION, NO_OFFSET, fail

# core/values.py Kind; on disk
cdef enum ValueKind:
    VALUE_NULL = 0
    VALUE_BOOL = 1
    VALUE_INT = 2
    VALUE_FLOAT = 3
    VALUE_DECIMAL = 4
    VALUE_TEXT = 5
    VALUE_BYTES = 6
    VALUE_DATE = 7
    VALUE_TIME = 8
    VALUE_TIMESTAMP = 9
    VALUE_TIMESTAMPTZ = 10
    VALUE_INTERVAL = 11
    VALUE_UUID = 12
    VALUE_JSON = 13
    VALUE_ARRAY = 14
    VALUE_ANY = 15
    # in documents only
    VALUE_OBJECT_ID = 16
    VALUE_REGEX = 17
    VALUE_MIN_KEY = 18
    VALUE_MAX_KEY = 19
    VALUE_BSON_TIMESTAMP = 20
    VALUE_BINARY = 21
    VALUE_CODE = 22

# Whether a document's first byte begins a value that is no container. Containers have kind and width in theirs
# (document.pxd), which leaves 16 to 28 free for scalars.
cdef inline bint is_scalar(int first) noexcept nogil:
    return first <= VALUE_UUID or VALUE_OBJECT_ID <= first <= VALUE_CODE

# The first byte of a decimal: up to DECIMAL_SMALL_MAX it is the scale plus DECIMAL_SCALE_BIAS, and an integer
# follows; else one of these. On disk.
cdef enum DecimalForm:
    DECIMAL_SCALE_BIAS = 64
    DECIMAL_SMALL_MAX = 127
    DECIMAL_POSITIVE = 128           # exponent as zigzag varint, then two digits a byte
    DECIMAL_NEGATIVE = 129
    DECIMAL_INFINITY = 130
    DECIMAL_MINUS_INFINITY = 131
    DECIMAL_NAN = 132

cdef enum:
    UUID_BYTES = 16
    UUID_TEXT_BYTES = 36
    OBJECT_ID_BYTES = 12
    BSON_TIMESTAMP_BYTES = 8
    MIN_DAYS = -719162               # 0001-01-01, from 1970-01-01
    MAX_DAYS = 2932896               # 9999-12-31
    VARINT_BYTES = 10                # the longest one

cdef extern from *:
    """
    static const int64_t phantomdb_day_us = 86400000000LL;
    """
    const int64_t DAY_MICROSECONDS "phantomdb_day_us"
    const int64_t MIN_SPAN_MICROSECONDS "-INT64_MAX"         # so that each interval has its opposite
    int leading_zeros "__builtin_clzll"(uint64_t value) noexcept nogil

# One owner, who calls buffer_free.
cdef struct Buffer:
    char *data
    size_t size
    size_t capacity
    bint is_borrowed                 # data is the caller's array; growing moves it to the heap

cdef int buffer_grow(Buffer *buffer, size_t extra) noexcept nogil

# `storage` may be NULL: nothing is held before the first append.
cdef inline void buffer_init(Buffer *buffer, char *storage, size_t capacity) noexcept nogil:
    buffer.data, buffer.size, buffer.capacity, buffer.is_borrowed = storage, 0, capacity, True

cdef inline void buffer_free(Buffer *buffer) noexcept nogil:
    if not buffer.is_borrowed:
        free(buffer.data)
    buffer.data, buffer.size, buffer.capacity, buffer.is_borrowed = NULL, 0, 0, True

# Room for so many bytes more; 0 or NO_MEMORY.
cdef inline int buffer_reserve(Buffer *buffer, size_t extra) noexcept nogil:
    if buffer.capacity - buffer.size >= extra:
        return 0
    return buffer_grow(buffer, extra)

cdef inline int buffer_append(Buffer *buffer, const char *data, size_t size) noexcept nogil:
    cdef int status = buffer_reserve(buffer, size)
    if status < 0:
        return status
    if size:
        memcpy(buffer.data + buffer.size, data, size)
    buffer.size += size
    return 0

cdef inline int buffer_byte(Buffer *buffer, int byte) noexcept nogil:
    cdef int status = buffer_reserve(buffer, 1)
    if status < 0:
        return status
    buffer.data[buffer.size] = <char> byte
    buffer.size += 1
    return 0

# Integers: two's complement, little-endian, as few bytes as hold it; zero has none.
cdef inline int int_size(int64_t value) noexcept nogil:
    if value == 0:
        return 0
    return 8 - (leading_zeros(<uint64_t> (value ^ (value >> 63)) | 1) - 1) // 8

# Room for 8 bytes is needed; the size used.
cdef inline int int_put(char *p, int64_t value) noexcept nogil:
    put_u64(p, <uint64_t> value)
    return int_size(value)

cdef inline int int_get(const char *p, size_t size, int64_t *out) noexcept nogil:
    if size == 0:
        out[0] = 0
    elif size == 1:
        out[0] = <signed char> p[0]
    elif size == 2:
        out[0] = <short> get_u16(p)
    elif size == 3:
        out[0] = (<int64_t> <signed char> p[2] << 16) | get_u16(p)
    elif size == 4:
        out[0] = <int> get_u32(p)
    elif size == 5:
        out[0] = (<int64_t> <signed char> p[4] << 32) | get_u32(p)
    elif size == 6:
        out[0] = (<int64_t> <short> get_u16(p + 4) << 32) | get_u32(p)
    elif size == 7:
        out[0] = (<int64_t> <signed char> p[6] << 48) | (<int64_t> get_u16(p + 4) << 32) | get_u32(p)
    elif size == 8:
        out[0] = <int64_t> get_u64(p)
    else:
        return fail(CORRUPTION, "an integer has more than 8 bytes", NULL, <uint64_t> NO_OFFSET)
    return 0

cdef inline int int_append(Buffer *out, int64_t value) noexcept nogil:
    cdef int status = buffer_reserve(out, 8)
    if status < 0:
        return status
    out.size += int_put(out.data + out.size, value)
    return 0

# Floats: 4 bytes where these hold it exactly, else 8.
cdef int float_append(Buffer *out, double value) noexcept nogil
cdef int float_get(const char *p, size_t size, double *out) noexcept nogil

cdef inline bint fits_32(int64_t value) noexcept nogil:
    return value == <int> value

# Zigzag varints: 7 bits a byte, lowest first.
cdef int varint_append(Buffer *out, int64_t value) noexcept nogil
# The byte behind it, or NULL.
cdef const char *varint_read(const char *p, const char *end, int64_t *out) noexcept nogil

cdef struct Span:                    # an interval
    int64_t months                   # 32 bits
    int64_t days                     # 32 bits
    int64_t microseconds             # 64 bits, but the smallest

cdef int span_append(Buffer *out, const Span *span) noexcept nogil
cdef int span_get(const char *p, size_t size, Span *out) noexcept nogil

cdef struct Number:                  # a decimal: digits * 10 ** exponent
    int form                         # DECIMAL_POSITIVE .. DECIMAL_NAN; the last three have no digits
    int64_t exponent
    size_t digit_count               # at least one; no zero in front, except for zero itself

# Takes a decimal apart; its digits are put into `digits` (emptied first) as ASCII.
cdef int number_get(const char *p, size_t size, Number *out, Buffer *digits) noexcept nogil
# The reverse; `digits` as ASCII, zeros in front are fine.
cdef int number_append(Buffer *out, const Number *number, const char *digits) noexcept nogil
# Appends the decimal that a text of float or Decimal shows; INVALID when it is none that can be stored.
cdef int number_parse(const char *text, size_t size, Buffer *out) noexcept nogil
# Writes a decimal so that decimal.Decimal and JSON read the same number with the same scale.
cdef int number_text(const char *p, size_t size, Buffer *out) noexcept nogil

cdef bint is_utf8(const char *p, size_t size) noexcept nogil
cdef struct Civil:                   # a day of the Gregorian calendar
    int year
    int month
    int day

cdef int64_t days_from_civil(int64_t year, int64_t month, int64_t day) noexcept nogil
cdef void civil_from_days(int64_t days, Civil *out) noexcept nogil    # for days of the years 1 to 9999
# An unsigned integer in ASCII.
cdef int digits_append(Buffer *out, uint64_t value) noexcept nogil
# DATE, TIME, TIMESTAMP, TIMESTAMPTZ as the number of days or microseconds, within what Python's types can hold.
cdef int moment_get(int kind, const char *p, size_t size, int64_t *out) noexcept nogil
# DATE .. UUID as ISO 8601 and RFC 9562 write them.
cdef int moment_text(int kind, const char *p, size_t size, Buffer *out) noexcept nogil

