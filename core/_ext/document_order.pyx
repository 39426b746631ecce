"""The order of documents: classes as in key tuples, numbers by their exact value across kinds, NaN before all of them.

It differs from key tuples (key_tuple.pyx) in three things, where MongoDB's documentation says so: NaN comes first and
not last, an object is compared member by member in its own order (class, name, value) and not by sorted names, and a
float is the number it is, not the decimal it shows as.
"""
from libc.math cimport ldexp
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stddef cimport size_t
from libc.stdio cimport snprintf
from libc.string cimport memcmp

from .document cimport Container, DOCUMENT_KIND_MASK, MAX_DOCUMENT_DEPTH, container_open, container_piece
from .keys cimport Input, input_close, input_open
from .objects cimport float_parse
from .platform cimport get_u64
from .scalars cimport (BSON_TIMESTAMP_BYTES, Buffer, DAY_MICROSECONDS, DECIMAL_INFINITY, DECIMAL_MINUS_INFINITY,
                       DECIMAL_NEGATIVE, DECIMAL_POSITIVE, Number, Span, VALUE_ARRAY, VALUE_BOOL,
                       VALUE_BSON_TIMESTAMP, VALUE_DATE, VALUE_DECIMAL, VALUE_FLOAT, VALUE_INT, VALUE_INTERVAL,
                       VALUE_JSON, VALUE_MAX_KEY, VALUE_MIN_KEY, VALUE_NULL, VALUE_TIMESTAMPTZ, buffer_free,
                       buffer_init, digits_append, float_get, int_get, is_scalar, number_get, number_parse,
                       number_text, span_get)
from .status cimport CORRUPTION, NO_OFFSET, fail, raise_status

cdef enum:
    STACK_DIGITS = 128
    EXACT_DIGITS = 1100              # more than any double has
    # the classes, in their order
    CLASS_MIN_KEY = 0x08
    CLASS_NULL = 0x10
    CLASS_NUMBER = 0x20
    CLASS_TEXT = 0x30
    CLASS_OBJECT = 0x40
    CLASS_ARRAY = 0x50
    CLASS_BYTES = 0x60
    CLASS_BINARY = 0x64
    CLASS_UUID = 0x68
    CLASS_OBJECT_ID = 0x6C
    CLASS_BOOL = 0x70
    CLASS_DATE = 0x78
    CLASS_TIMESTAMP = 0x79
    CLASS_TIMESTAMPTZ = 0x7A
    CLASS_TIME = 0x7B
    CLASS_INTERVAL = 0x7C
    CLASS_BSON_TIMESTAMP = 0x80
    CLASS_REGEX = 0x88
    CLASS_CODE = 0x90
    CLASS_MAX_KEY = 0xF0


cdef inline int damaged() noexcept nogil:
    return fail(CORRUPTION, "a document is damaged", NULL, <uint64_t> NO_OFFSET)


cdef int document_class(int first) noexcept nogil:
    cdef int *classes = [CLASS_NULL, CLASS_BOOL, CLASS_NUMBER, CLASS_NUMBER, CLASS_NUMBER, CLASS_TEXT, CLASS_BYTES,
                         CLASS_DATE, CLASS_TIME, CLASS_TIMESTAMP, CLASS_TIMESTAMPTZ, CLASS_INTERVAL, CLASS_UUID,
                         CLASS_OBJECT, CLASS_ARRAY, -1, CLASS_OBJECT_ID, CLASS_REGEX, CLASS_MIN_KEY, CLASS_MAX_KEY,
                         CLASS_BSON_TIMESTAMP, CLASS_BINARY, CLASS_CODE]
    if not is_scalar(first):
        first &= DOCUMENT_KIND_MASK
        if first != VALUE_JSON and first != VALUE_ARRAY:
            return -1
    return classes[first]


cdef inline int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size) noexcept nogil:
    cdef int order = memcmp(a, b, a_size if a_size < b_size else b_size)
    return order if order else (a_size > b_size) - (a_size < b_size)


# -------------------------------------------------------------------- numbers

cdef int compare_int_float(int64_t a, double b) noexcept nogil:
    """`b` is no NaN."""
    cdef int64_t whole
    if b >= ldexp(1.0, 63):
        return -1
    if b < -ldexp(1.0, 63):
        return 1
    whole = <int64_t> b
    if a != whole:
        return 1 if a > whole else -1
    return (b < whole) - (b > whole)


cdef int compare_digits(const Number *a, const char *a_digits, const Number *b, const char *b_digits) noexcept nogil:
    """Numbers of the forms DECIMAL_POSITIVE and DECIMAL_NEGATIVE."""
    cdef size_t a_count = a.digit_count, b_count = b.digit_count, i, longest
    cdef int64_t a_point, b_point
    cdef int order = 0, a_sign, b_sign, x, y
    while a_count and a_digits[0] == 48:
        a_digits += 1
        a_count -= 1
    while b_count and b_digits[0] == 48:
        b_digits += 1
        b_count -= 1
    a_sign = 0 if a_count == 0 else -1 if a.form == DECIMAL_NEGATIVE else 1
    b_sign = 0 if b_count == 0 else -1 if b.form == DECIMAL_NEGATIVE else 1
    if a_sign != b_sign or a_sign == 0:
        return a_sign - b_sign
    a_point, b_point = a.exponent + <int64_t> a_count, b.exponent + <int64_t> b_count
    if a_point != b_point:
        order = 1 if a_point > b_point else -1
    else:
        longest = a_count if a_count > b_count else b_count
        for i in range(longest):
            x = a_digits[i] if i < a_count else 48
            y = b_digits[i] if i < b_count else 48
            if x != y:
                order = 1 if x > y else -1
                break
    return order * a_sign


cdef int exact_number(int kind, const char *p, size_t size, Number *out, Buffer *digits) noexcept nogil:
    """A finite number with all its digits."""
    cdef char text[EXACT_DIGITS + 40]
    cdef Buffer parsed
    cdef int64_t whole
    cdef double real
    cdef int status, length
    if kind == VALUE_DECIMAL:
        return number_get(p, size, out, digits)
    if kind == VALUE_INT:
        status = int_get(p, size, &whole)
        if status == 0:
            status = digits_append(digits, -<uint64_t> whole if whole < 0 else <uint64_t> whole)
        out.form = DECIMAL_NEGATIVE if whole < 0 else DECIMAL_POSITIVE
        out.exponent, out.digit_count = 0, digits.size
        return status
    status = float_get(p, size, &real)
    if status < 0:
        return status
    length = snprintf(text, sizeof(text), "%.*e", <int> EXACT_DIGITS, real)
    buffer_init(&parsed, NULL, 0)
    status = number_parse(text, length, &parsed)
    if status == 0:
        status = number_get(parsed.data, parsed.size, out, digits)
    buffer_free(&parsed)
    return status


cdef int nearest_float(int kind, const char *p, size_t size, double *out) noexcept nogil:
    """A number as the float next to it; NaN and the infinities as themselves."""
    cdef char storage[STACK_DIGITS]
    cdef Buffer text
    cdef int64_t whole
    cdef int status
    if kind == VALUE_FLOAT:
        return float_get(p, size, out)
    if kind == VALUE_INT:
        status = int_get(p, size, &whole)
        out[0] = <double> whole
        return status
    buffer_init(&text, storage, STACK_DIGITS)
    status = number_text(p, size, &text)
    if status == 0:
        status = float_parse(text.data, text.size, out)
    buffer_free(&text)
    return status


cdef int compare_decimals(int a_kind, const char *a, size_t a_size, int b_kind, const char *b, size_t b_size,
                          int *order) noexcept nogil:
    """Where at least one is a decimal: by their floats, which keep order, and where these are equal by all digits."""
    cdef char a_storage[STACK_DIGITS]
    cdef char b_storage[STACK_DIGITS]
    cdef Buffer a_digits, b_digits
    cdef Number a_number, b_number
    cdef double x, y
    cdef bint a_nan, b_nan
    cdef int status = nearest_float(a_kind, a, a_size, &x)
    if status == 0:
        status = nearest_float(b_kind, b, b_size, &y)
    if status < 0:
        return status
    a_nan, b_nan = x != x, y != y
    if a_nan or b_nan:
        order[0] = b_nan - a_nan
        return 0
    if x != y:
        order[0] = 1 if x > y else -1
        return 0
    buffer_init(&a_digits, a_storage, STACK_DIGITS)
    buffer_init(&b_digits, b_storage, STACK_DIGITS)
    if x - x != 0:                                          # infinite, or a finite decimal too large for a float
        status = infinite_order(a_kind, a, a_size, b_kind, b, b_size, x, order)
        if status != 1:
            return status
    status = exact_number(a_kind, a, a_size, &a_number, &a_digits)
    if status == 0:
        status = exact_number(b_kind, b, b_size, &b_number, &b_digits)
    if status == 0:
        order[0] = compare_digits(&a_number, a_digits.data, &b_number, b_digits.data)
    buffer_free(&a_digits)
    buffer_free(&b_digits)
    return status


cdef inline bint is_infinite(int kind, const char *p, size_t size) noexcept nogil:
    return kind == VALUE_FLOAT or (size == 1 and (<uint8_t> p[0] == DECIMAL_INFINITY
                                                  or <uint8_t> p[0] == DECIMAL_MINUS_INFINITY))


cdef int infinite_order(int a_kind, const char *a, size_t a_size, int b_kind, const char *b, size_t b_size, double sign,
                        int *order) noexcept nogil:
    """Of two numbers whose floats are the same infinity; 1: neither is infinite itself."""
    cdef bint a_is = is_infinite(a_kind, a, a_size), b_is = is_infinite(b_kind, b, b_size)
    if not a_is and not b_is:
        return 1
    order[0] = a_is - b_is if sign > 0 else b_is - a_is
    return 0


cdef int compare_numbers(int a_kind, const char *a, size_t a_size, int b_kind, const char *b, size_t b_size,
                         int *order) noexcept nogil:
    cdef int64_t i, j
    cdef double x, y
    cdef bint a_nan, b_nan
    cdef int status = 0
    if a_kind == VALUE_DECIMAL or b_kind == VALUE_DECIMAL:
        return compare_decimals(a_kind, a, a_size, b_kind, b, b_size, order)
    if a_kind == VALUE_INT:
        status = int_get(a, a_size, &i)
    else:
        status = float_get(a, a_size, &x)
    if status < 0:
        return status
    if b_kind == VALUE_INT:
        status = int_get(b, b_size, &j)
    else:
        status = float_get(b, b_size, &y)
    if status < 0:
        return status
    a_nan = a_kind == VALUE_FLOAT and x != x
    b_nan = b_kind == VALUE_FLOAT and y != y
    if a_nan or b_nan:
        order[0] = b_nan - a_nan
    elif a_kind == b_kind:
        order[0] = (i > j) - (i < j) if a_kind == VALUE_INT else (x > y) - (x < y)
    elif a_kind == VALUE_INT:
        order[0] = compare_int_float(i, y)
    else:
        order[0] = -compare_int_float(j, x)
    return 0


# -------------------------------------------------------------------- all values

cdef int compare_scalars(int kind, const char *a, size_t a_size, const char *b, size_t b_size,
                         int *order) noexcept nogil:
    """Two values of one kind."""
    cdef Span first, second
    cdef int64_t i, j
    cdef uint64_t x, y
    cdef int status
    order[0] = 0
    if kind == VALUE_NULL or kind == VALUE_MIN_KEY or kind == VALUE_MAX_KEY:
        return 0
    if kind == VALUE_BOOL or VALUE_DATE <= kind <= VALUE_TIMESTAMPTZ:
        status = int_get(a, a_size, &i)
        if status == 0:
            status = int_get(b, b_size, &j)
        order[0] = (i > j) - (i < j)
        return status
    if kind == VALUE_BSON_TIMESTAMP:
        if a_size != BSON_TIMESTAMP_BYTES or b_size != BSON_TIMESTAMP_BYTES:
            return damaged()
        x, y = get_u64(a), get_u64(b)
        order[0] = (x > y) - (x < y)
        return 0
    if kind == VALUE_INTERVAL:
        status = span_get(a, a_size, &first)
        if status == 0:
            status = span_get(b, b_size, &second)
        order[0] = compare_spans(&first, &second) if status == 0 else 0
        return status
    order[0] = compare_bytes(a, a_size, b, b_size)
    return 0


cdef int compare_spans(const Span *a, const Span *b) noexcept nogil:
    """Whole days and the rest, then months, then days, as in key tuples."""
    cdef int64_t a_days = a.months * 30 + a.days + a.microseconds // DAY_MICROSECONDS
    cdef int64_t b_days = b.months * 30 + b.days + b.microseconds // DAY_MICROSECONDS
    cdef int64_t a_rest = a.microseconds % DAY_MICROSECONDS, b_rest = b.microseconds % DAY_MICROSECONDS
    if a_rest < 0:
        a_rest += DAY_MICROSECONDS
        a_days -= 1
    if b_rest < 0:
        b_rest += DAY_MICROSECONDS
        b_days -= 1
    if a_days != b_days:
        return 1 if a_days > b_days else -1
    if a_rest != b_rest:
        return 1 if a_rest > b_rest else -1
    if a.months != b.months:
        return 1 if a.months > b.months else -1
    return (a.days > b.days) - (a.days < b.days)


cdef int compare_containers(const char *a, size_t a_size, const char *b, size_t b_size, int depth,
                            int *order) noexcept nogil:
    cdef Container first, second
    cdef const char *x
    cdef const char *y
    cdef const char *x_value
    cdef const char *y_value
    cdef size_t x_size, y_size, x_value_size, y_value_size
    cdef uint64_t i, step, common
    cdef int status = container_open(a, a_size, &first)
    if status == 0:
        status = container_open(b, b_size, &second)
    if status == 0 and depth == MAX_DOCUMENT_DEPTH:
        status = damaged()
    if status < 0:
        return status
    step = 2 if first.kind == VALUE_JSON else 1
    common = first.piece_count if first.piece_count < second.piece_count else second.piece_count
    i = step - 1
    while i < common:
        status = container_piece(&first, i, &x_value, &x_value_size)
        if status == 0:
            status = container_piece(&second, i, &y_value, &y_value_size)
        if status == 0 and (x_value_size == 0 or y_value_size == 0):
            status = damaged()
        if status < 0:
            return status
        if step == 2:
            status = container_piece(&first, i - 1, &x, &x_size)
            if status == 0:
                status = container_piece(&second, i - 1, &y, &y_size)
            if status < 0:
                return status
            order[0] = document_class(<uint8_t> x_value[0]) - document_class(<uint8_t> y_value[0])
            if order[0] == 0:
                order[0] = compare_bytes(x, x_size, y, y_size)
            if order[0]:
                return 0
        status = compare_values(x_value, x_value_size, y_value, y_value_size, depth + 1, order)
        if status < 0 or order[0]:
            return status
        i += step
    order[0] = (first.piece_count > second.piece_count) - (first.piece_count < second.piece_count)
    return 0


cdef int compare_values(const char *a, size_t a_size, const char *b, size_t b_size, int depth,
                        int *order) noexcept nogil:
    cdef int a_kind, b_kind, a_class, b_class
    if a_size == 0 or b_size == 0:
        return damaged()
    a_kind, b_kind = <uint8_t> a[0], <uint8_t> b[0]
    a_class, b_class = document_class(a_kind), document_class(b_kind)
    if a_class < 0 or b_class < 0:
        return damaged()
    if a_class != b_class:
        order[0] = a_class - b_class
        return 0
    if a_class == CLASS_NUMBER:
        return compare_numbers(a_kind, a + 1, a_size - 1, b_kind, b + 1, b_size - 1, order)
    if a_class == CLASS_OBJECT or a_class == CLASS_ARRAY:
        return compare_containers(a, a_size, b, b_size, depth, order)
    return compare_scalars(a_kind, a + 1, a_size - 1, b + 1, b_size - 1, order)


cdef int document_compare(const char *a, size_t a_size, const char *b, size_t b_size, int *order) noexcept nogil:
    return compare_values(a, a_size, b, b_size, 0, order)


def compare(a, b):
    """-1, 0 or 1: how two documents stand to each other. CorruptionError: one is none."""
    cdef Input left, right
    cdef int order = 0, status
    input_open(&left, a, "a document")
    try:
        input_open(&right, b, "a document")
        try:
            status = document_compare(left.data, left.size, right.data, right.size, &order)
            if status < 0:
                raise_status(status)
            return (order > 0) - (order < 0)
        finally:
            input_close(&right)
    finally:
        input_close(&left)
