"""The keys of single values: bytes that compare as the values do. core/_ext/key_tuple.pyx says how they look."""
from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memcmp, memcpy, memset

from .objects cimport float_parse, float_text
from .platform cimport get_u64, put_u64
from .scalars cimport (Buffer, DECIMAL_INFINITY, DECIMAL_MINUS_INFINITY, DECIMAL_NAN, DECIMAL_NEGATIVE,
                       DECIMAL_POSITIVE, Number, VALUE_DECIMAL, VALUE_FLOAT, VALUE_INT, buffer_append, buffer_byte,
                       buffer_free, buffer_init, buffer_reserve, digits_append, float_append, float_get, int_append,
                       int_get, leading_zeros, number_append, number_get, number_parse, number_text)
from .status cimport CORRUPTION, NO_OFFSET, fail

cdef extern from *:
    uint64_t swap_bytes "__builtin_bswap64"(uint64_t value) noexcept nogil

cdef enum:
    STACK_DIGITS = 128
    # a decimal that ends in zeros is written out with up to so many of them, as declared ones can have
    PLAIN_ZEROS_MAX = 1000


cdef int key_damaged() noexcept nogil:
    return fail(CORRUPTION, "a key is damaged", NULL, <uint64_t> NO_OFFSET)


# -------------------------------------------------------------------- integers and floats

cdef int put_int(int64_t value, Buffer *out) noexcept nogil:
    cdef uint64_t magnitude = <uint64_t> (value ^ (value >> 63))
    cdef int size, status = buffer_reserve(out, 9)
    if status < 0:
        return status
    if INT_INLINE_MIN <= value <= INT_INLINE_MAX:
        out.data[out.size] = <char> (value + INT_BIAS)
        out.size += 1
        return 0
    size = 8 - leading_zeros(magnitude) // 8
    out.data[out.size] = <char> (INT_NEGATIVE - size if value < 0 else INT_POSITIVE + size)
    put_u64(out.data + out.size + 1, swap_bytes(<uint64_t> value << (64 - 8 * size)))
    out.size += 1 + size
    return 0


cdef int read_int(Source *source, int64_t *out) noexcept nogil:
    cdef int first = next_byte(source), size, i
    cdef uint64_t value
    if first <= 0 or first == 0xFF:
        return key_damaged()
    if INT_NEGATIVE <= first <= INT_POSITIVE:
        out[0] = first - <int> INT_BIAS
        return 0
    size = <int> INT_NEGATIVE - first if first < INT_NEGATIVE else first - <int> INT_POSITIVE
    if source.end - source.p < size:
        return key_damaged()
    value = <uint64_t> -1 if first < INT_NEGATIVE else 0
    for i in range(size):
        value = value << 8 | (source.p[i] ^ source.mask)
    source.p += size
    out[0] = <int64_t> value
    return 0


cdef int put_fixed(const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef uint8_t first = <uint8_t> p[0]
    cdef int status = 0
    if first < 2 or first > 0xFD:
        status = buffer_byte(out, GUARD_LOW if first < 2 else GUARD_HIGH)
    return buffer_append(out, p, size) if status == 0 else status


cdef int read_fixed(Source *source, char *p, size_t size) noexcept nogil:
    cdef size_t i
    cdef int first
    if source.p == source.end:
        return key_damaged()
    first = source.p[0] ^ source.mask
    source.p += first == GUARD_LOW or first == GUARD_HIGH
    if <size_t> (source.end - source.p) < size:
        return key_damaged()
    for i in range(size):
        p[i] = <char> (source.p[i] ^ source.mask)
    source.p += size
    return 0


cdef int put_float(double value, Buffer *out) noexcept nogil:
    cdef uint64_t bits
    if value != value:
        bits = <uint64_t> 0x7FF8000000000000                # one NaN, after all numbers
    else:
        value += 0.0                                        # -0.0 becomes 0.0
        memcpy(&bits, &value, 8)
    bits = ~bits if bits >> 63 else bits | <uint64_t> 1 << 63
    bits = swap_bytes(bits)
    return put_fixed(<const char *> &bits, 8, out)


cdef int read_float(Source *source, double *out) noexcept nogil:
    cdef uint64_t bits
    cdef int status = read_fixed(source, <char *> &bits, 8)
    if status < 0:
        return status
    bits = swap_bytes(bits)
    bits = bits & ~(<uint64_t> 1 << 63) if bits >> 63 else ~bits
    memcpy(out, &bits, 8)
    return 0


# -------------------------------------------------------------------- text

cdef inline bint has_special(uint64_t word) noexcept nogil:
    """Whether one of its bytes is 0 or 1."""
    word &= <uint64_t> 0xFEFEFEFEFEFEFEFE
    return (word - <uint64_t> 0x0101010101010101) & ~word & <uint64_t> 0x8080808080808080 != 0


cdef int put_text(const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef const char *end = p + size
    cdef char *to
    cdef uint64_t word
    cdef int status = buffer_reserve(out, 2 * size + 9)
    if status < 0:
        return status
    to = out.data + out.size
    while p < end:
        if end - p >= 8:
            word = get_u64(p)
            if not has_special(word):
                put_u64(to, word)
                p += 8
                to += 8
                continue
        if <uint8_t> p[0] > 1:
            to[0] = p[0]
        else:
            to[0] = 1
            to[1] = p[0] + 1
            to += 1
        p += 1
        to += 1
    to[0] = 0
    out.size = to + 1 - out.data
    return 0


cdef int put_guarded_text(const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef int status = 0
    if size == 0 or <uint8_t> p[0] < 2:
        status = buffer_byte(out, GUARD_LOW)
    elif <uint8_t> p[0] > 0xFD:
        status = buffer_byte(out, GUARD_HIGH)
    return put_text(p, size, out) if status == 0 else status


cdef int read_text(Source *source, Buffer *out) noexcept nogil:
    cdef uint64_t word, mask = <uint64_t> 0 - (source.mask & 1)
    cdef char *to
    cdef int byte
    cdef int status = buffer_reserve(out, source.end - source.p)
    if status < 0:
        return status
    to = out.data + out.size
    while True:
        if source.end - source.p >= 8:
            word = get_u64(source.p) ^ mask
            if not has_special(word):
                put_u64(to, word)
                source.p += 8
                to += 8
                continue
        byte = next_byte(source)
        if byte == 1:
            byte = next_byte(source) - 1
            if byte != 0 and byte != 1:
                return key_damaged()
        elif byte <= 0:
            out.size = to - out.data
            return 0 if byte == 0 else key_damaged()
        to[0] = <char> byte
        to += 1


cdef int read_guarded_text(Source *source, Buffer *out) noexcept nogil:
    cdef int first
    if source.p == source.end:
        return key_damaged()
    first = source.p[0] ^ source.mask
    source.p += first == GUARD_LOW or first == GUARD_HIGH
    return read_text(source, out)


# -------------------------------------------------------------------- numbers

cdef int put_number(const Number *number, const char *digits, Buffer *out) noexcept nogil:
    cdef size_t count = number.digit_count, start, i
    cdef int64_t point
    cdef int pair, status
    if number.form > DECIMAL_NEGATIVE:
        return buffer_byte(out, NUMBER_NAN if number.form == DECIMAL_NAN else NUMBER_INFINITY
                           if number.form == DECIMAL_INFINITY else NUMBER_MINUS_INFINITY)
    while count and digits[0] == 48:
        digits += 1
        count -= 1
    point = number.exponent + <int64_t> count               # the value is 0.digits * 10 ** point
    while count and digits[count - 1] == 48:
        count -= 1
    if count == 0:
        return buffer_byte(out, NUMBER_ZERO)
    status = buffer_byte(out, NUMBER_NEGATIVE if number.form == DECIMAL_NEGATIVE else NUMBER_POSITIVE)
    start = out.size
    if status == 0:
        status = put_int(point, out)
    if status == 0:
        status = buffer_reserve(out, count // 2 + 1)
    if status < 0:
        return status
    for i in range(0, count, 2):
        pair = (digits[i] - 48) * 10 + (digits[i + 1] - 48 if i + 1 < count else 0)
        out.data[out.size] = <char> (pair * 2 + (i + 2 < count))
        out.size += 1
    if number.form == DECIMAL_NEGATIVE:
        key_invert(out, start)
    return 0


cdef void key_invert(Buffer *out, size_t start) noexcept nogil:
    cdef size_t i
    for i in range(start, out.size):
        out.data[i] = ~out.data[i]


cdef int read_number(Source *source, int first, Number *number, Buffer *digits) noexcept nogil:
    """After its first byte; digits without zeros at the end. Zero has the digit 0."""
    cdef uint8_t mask = source.mask
    cdef int byte, status
    digits.size = 0
    number.exponent, number.digit_count = 0, 0
    number.form = DECIMAL_POSITIVE
    if first == NUMBER_NAN or first == NUMBER_INFINITY or first == NUMBER_MINUS_INFINITY:
        number.form = (DECIMAL_NAN if first == NUMBER_NAN else DECIMAL_INFINITY if first == NUMBER_INFINITY
                       else DECIMAL_MINUS_INFINITY)
        return 0
    if first == NUMBER_ZERO:
        number.digit_count = 1
        return buffer_byte(digits, 48)
    if first == NUMBER_NEGATIVE:
        number.form = DECIMAL_NEGATIVE
        source.mask = ~source.mask
    elif first != NUMBER_POSITIVE:
        return key_damaged()
    status = read_int(source, &number.exponent)
    while status == 0:
        byte = next_byte(source)
        if byte < 0 or byte > 199:
            status = key_damaged()
            break
        status = buffer_byte(digits, 48 + byte // 20)
        if status == 0:
            status = buffer_byte(digits, 48 + byte // 2 % 10)
        if byte % 2 == 0:
            break
    source.mask = mask
    if status < 0:
        return status
    if digits.data[digits.size - 1] == 48 and digits.size > 1:
        digits.size -= 1
    number.digit_count = digits.size
    number.exponent -= <int64_t> digits.size
    return 0


cdef int write_out(Number *number, Buffer *digits) noexcept nogil:
    """Digits down to the point, as people write whole numbers."""
    cdef int status
    if not 0 < number.exponent <= PLAIN_ZEROS_MAX:
        return 0
    status = buffer_reserve(digits, number.exponent)
    if status < 0:
        return status
    memset(digits.data + digits.size, 48, number.exponent)
    digits.size += number.exponent
    number.digit_count, number.exponent = digits.size, 0
    return 0


cdef int put_decimal(const char *value, size_t size, Buffer *out) noexcept nogil:
    cdef char storage[STACK_DIGITS]
    cdef Buffer digits
    cdef Number number
    cdef int status
    buffer_init(&digits, storage, STACK_DIGITS)
    status = number_get(value, size, &number, &digits)
    if status == 0:
        status = put_number(&number, digits.data, out)
    buffer_free(&digits)
    return status


cdef int put_any_number(int kind, const char *value, size_t size, Buffer *out) noexcept nogil:
    cdef char storage[STACK_DIGITS]
    cdef Buffer text
    cdef Number number
    cdef int64_t whole
    cdef double real
    cdef int status
    if kind == VALUE_DECIMAL:
        return put_decimal(value, size, out)
    buffer_init(&text, storage, STACK_DIGITS)
    if kind == VALUE_INT:
        status = int_get(value, size, &whole)
        if status == 0:
            status = digits_append(&text, -<uint64_t> whole if whole < 0 else <uint64_t> whole)
        number.form = DECIMAL_NEGATIVE if whole < 0 else DECIMAL_POSITIVE
        number.exponent, number.digit_count = 0, text.size
        if status == 0:
            status = put_number(&number, text.data, out)
    else:
        status = float_get(value, size, &real)
        if status == 0 and real != real:
            status = buffer_append(&text, b"nan", 3)        # of whatever sign
        elif status == 0:
            status = float_text(real, &text)
        if status == 0:
            size = text.size
            status = number_parse(text.data, size, &text)
        if status == 0:
            status = put_decimal(text.data + size, text.size - size, out)
    buffer_free(&text)
    return status


cdef bint is_shown(const Number *number, const Buffer *digits, double *real) noexcept nogil:
    """Whether a float shows this number, which has no zeros at its end; that float."""
    cdef char storage[STACK_DIGITS]
    cdef char again_storage[STACK_DIGITS]
    cdef Buffer text, again
    cdef Number other
    cdef bint same = False
    if digits.size > 17:                                    # no float needs more to be told from the others
        return False
    buffer_init(&text, storage, STACK_DIGITS)
    buffer_init(&again, again_storage, STACK_DIGITS)
    if (number_append(&text, number, digits.data) == 0 and number_text(text.data, text.size, &again) == 0
            and float_parse(again.data, again.size, real) == 0):
        again.size = text.size = 0
        if (float_text(real[0], &again) == 0 and number_parse(again.data, again.size, &text) == 0
                and number_get(text.data, text.size, &other, &again) == 0):
            while again.size > 1 and again.data[again.size - 1] == 48:
                again.size -= 1
                other.exponent += 1
            same = (other.form == number.form and other.exponent == number.exponent and again.size == digits.size
                    and memcmp(again.data, digits.data, again.size) == 0)
    buffer_free(&text)
    buffer_free(&again)
    return same


cdef int number_value(Number *number, Buffer *digits, Buffer *out) noexcept nogil:
    """Appends the number as a document: an int where it is whole and fits, else a float that shows it, else a
    decimal."""
    cdef uint64_t magnitude = 0
    cdef double real
    cdef int status
    cdef size_t i
    if number.form > DECIMAL_NEGATIVE:
        real = (NAN if number.form == DECIMAL_NAN else INFINITY if number.form == DECIMAL_INFINITY else -INFINITY)
        status = buffer_byte(out, VALUE_FLOAT)
        return float_append(out, real) if status == 0 else status
    if 0 <= number.exponent and number.exponent + <int64_t> digits.size <= 19:
        for i in range(digits.size + <size_t> number.exponent):
            magnitude = magnitude * 10 + (digits.data[i] - 48 if i < digits.size else 0)
        if magnitude <= (<uint64_t> 1 << 63) - (number.form == DECIMAL_POSITIVE):
            status = buffer_byte(out, VALUE_INT)
            if status < 0:
                return status
            return int_append(out, <int64_t> (-magnitude if number.form == DECIMAL_NEGATIVE else magnitude))
    if is_shown(number, digits, &real):
        status = buffer_byte(out, VALUE_FLOAT)
        return float_append(out, real) if status == 0 else status
    status = buffer_byte(out, VALUE_DECIMAL)
    if status == 0:
        status = write_out(number, digits)
    return number_append(out, number, digits.data) if status == 0 else status


cdef int read_decimal(Source *source, Buffer *out) noexcept nogil:
    cdef char storage[STACK_DIGITS]
    cdef Buffer digits
    cdef Number number
    cdef int status
    buffer_init(&digits, storage, STACK_DIGITS)
    status = read_number(source, next_byte(source), &number, &digits)
    if status == 0:
        status = write_out(&number, &digits)
    if status == 0:
        status = number_append(out, &number, digits.data)
    buffer_free(&digits)
    return status


cdef int read_any_number(Source *source, int first, Buffer *out) noexcept nogil:
    cdef char storage[STACK_DIGITS]
    cdef Buffer digits
    cdef Number number
    cdef int status
    buffer_init(&digits, storage, STACK_DIGITS)
    status = read_number(source, first, &number, &digits)
    if status == 0:
        status = number_value(&number, &digits, out)
    buffer_free(&digits)
    return status
