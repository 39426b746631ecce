"""Values that are no containers, as bytes: the one form all codecs of rows share.

    kind               bytes
    bool, int          the integer, as few bytes as hold it; none for zero
    float              4 bytes where these hold it exactly, else 8
    decimal            a form, then integer or digits: 1.50 stays 1.50
    text, bytes        as they are
    date               days since 1970-01-01, as an integer
    time               microseconds since midnight, as an integer
    timestamp, ...tz   microseconds since 1970-01-01 (UTC), as an integer
    interval           months, days, microseconds as varints
    uuid               16 bytes
    object id          12 bytes
    regex              pattern, a zero, options
    min key, max key   none
    bson timestamp     8 bytes, little-endian: seconds in the upper half, a counter in the lower
    binary             its subtype as one byte, then the bytes
    code               as text

core/_ext/objects.pyx turns them into Python objects. How long a value is, its surroundings say. What is read was
written by someone else: every length and range is checked, and damage is a status, never a wild read.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdio cimport snprintf
from libc.stdlib cimport malloc, realloc
from libc.string cimport memcpy, memmove

from .platform cimport get_u64, put_u32, put_u64
from .status cimport CORRUPTION, INVALID, NO_MEMORY, NO_OFFSET, fail

cdef enum:
    SMALL_DIGITS = 18                # so many fit 64 bits
    STACK_DIGITS = 128


# -------------------------------------------------------------------- buffer and numbers

cdef int buffer_grow(Buffer *buffer, size_t extra) noexcept nogil:
    cdef size_t capacity = (buffer.size + extra) * 2 + 64
    cdef char *grown
    if buffer.is_borrowed:
        grown = <char *> malloc(capacity)
        if grown != NULL and buffer.size:
            memcpy(grown, buffer.data, buffer.size)
    else:
        grown = <char *> realloc(buffer.data, capacity)
    if grown == NULL:
        return fail(NO_MEMORY, "no memory for a row", NULL, <uint64_t> NO_OFFSET)
    buffer.data, buffer.capacity, buffer.is_borrowed = grown, capacity, False
    return 0


cdef inline int damaged(const char *message) noexcept nogil:
    return fail(CORRUPTION, message, NULL, <uint64_t> NO_OFFSET)


cdef int float_append(Buffer *out, double value) noexcept nogil:
    cdef float narrow = <float> value
    cdef uint32_t bits
    cdef uint64_t wide
    cdef int status = buffer_reserve(out, 8)
    if status < 0:
        return status
    if <double> narrow == value:
        memcpy(&bits, &narrow, 4)
        put_u32(out.data + out.size, bits)
        out.size += 4
    else:
        memcpy(&wide, &value, 8)
        put_u64(out.data + out.size, wide)
        out.size += 8
    return 0


cdef int float_get(const char *p, size_t size, double *out) noexcept nogil:
    cdef float narrow
    if size == 8:
        memcpy(out, p, 8)
    elif size == 4:
        memcpy(&narrow, p, 4)
        out[0] = narrow
    else:
        return damaged("a float has a wrong size")
    return 0


cdef int varint_append(Buffer *out, int64_t value) noexcept nogil:
    cdef uint64_t left = (<uint64_t> value << 1) ^ <uint64_t> (value >> 63)
    cdef int status = buffer_reserve(out, VARINT_BYTES)
    if status < 0:
        return status
    while left >= 128:
        out.data[out.size] = <char> (left | 128)
        out.size += 1
        left >>= 7
    out.data[out.size] = <char> left
    out.size += 1
    return 0


cdef const char *varint_read(const char *p, const char *end, int64_t *out) noexcept nogil:
    cdef uint64_t value = 0
    cdef int shift = 0
    cdef uint8_t byte
    while p < end and shift < 64:
        byte = <uint8_t> p[0]
        p += 1
        value |= <uint64_t> (byte & 127) << shift
        shift += 7
        if byte < 128:
            out[0] = <int64_t> (value >> 1) ^ -<int64_t> (value & 1)
            return p
    return NULL


cdef int span_append(Buffer *out, const Span *span) noexcept nogil:
    cdef int status = varint_append(out, span.months)
    if status == 0:
        status = varint_append(out, span.days)
    if status == 0:
        status = varint_append(out, span.microseconds)
    return status


cdef int span_get(const char *p, size_t size, Span *out) noexcept nogil:
    cdef const char *end = p + size
    p = varint_read(p, end, &out.months)
    if p != NULL:
        p = varint_read(p, end, &out.days)
    if p != NULL:
        p = varint_read(p, end, &out.microseconds)
    if p != end or not fits_32(out.months) or not fits_32(out.days) or out.microseconds < MIN_SPAN_MICROSECONDS:
        return damaged("an interval is damaged")
    return 0


# -------------------------------------------------------------------- decimals

cdef int digits_append(Buffer *out, uint64_t value) noexcept nogil:
    cdef char reversed_digits[20]
    cdef int count = 0
    cdef int status = buffer_reserve(out, 20)
    if status < 0:
        return status
    while True:
        reversed_digits[count] = <char> (48 + value % 10)
        count += 1
        value //= 10
        if value == 0:
            break
    while count:
        count -= 1
        out.data[out.size] = reversed_digits[count]
        out.size += 1
    return 0


cdef int number_get(const char *p, size_t size, Number *out, Buffer *digits) noexcept nogil:
    cdef const char *end = p + size
    cdef int64_t value
    cdef int status
    cdef uint8_t form
    digits.size = 0
    out.exponent, out.digit_count = 0, 0
    if size == 0:
        return damaged("a decimal has no bytes")
    form = <uint8_t> p[0]
    if form <= DECIMAL_SMALL_MAX:
        status = int_get(p + 1, size - 1, &value)
        if status < 0:
            return status
        out.form = DECIMAL_NEGATIVE if value < 0 else DECIMAL_POSITIVE
        out.exponent = <int> DECIMAL_SCALE_BIAS - <int> form
        status = digits_append(digits, -<uint64_t> value if value < 0 else <uint64_t> value)
        out.digit_count = digits.size
        return status
    out.form = form
    if form > DECIMAL_NEGATIVE:
        return 0 if form <= DECIMAL_NAN and size == 1 else damaged("a decimal has an unknown form")
    p = varint_read(p + 1, end, &out.exponent)
    if p == NULL or p == end:
        return damaged("a decimal is cut off")
    status = buffer_reserve(digits, 2 * (end - p))
    if status < 0:
        return status
    while p < end:
        if <uint8_t> p[0] > 99:
            return damaged("a decimal has an impossible digit")
        digits.data[digits.size] = <char> (48 + <uint8_t> p[0] // 10)
        digits.data[digits.size + 1] = <char> (48 + <uint8_t> p[0] % 10)
        digits.size += 2
        p += 1
    if digits.data[0] == 48:                                # made even
        digits.size -= 1
        memmove(digits.data, digits.data + 1, digits.size)
    out.digit_count = digits.size
    return 0


cdef int number_append(Buffer *out, const Number *number, const char *digits) noexcept nogil:
    cdef size_t count = number.digit_count, i
    cdef int64_t value = 0
    cdef bint is_negative = number.form == DECIMAL_NEGATIVE
    cdef int status
    if number.form > DECIMAL_NEGATIVE:
        return buffer_byte(out, number.form)
    while count > 1 and digits[0] == 48:
        digits += 1
        count -= 1
    if (count <= SMALL_DIGITS and <int> DECIMAL_SCALE_BIAS - <int> DECIMAL_SMALL_MAX <= number.exponent
            <= <int> DECIMAL_SCALE_BIAS and not (is_negative and digits[0] == 48)):
        for i in range(count):
            value = value * 10 + (digits[i] - 48)
        status = buffer_byte(out, <int> (DECIMAL_SCALE_BIAS - number.exponent))
        return int_append(out, -value if is_negative else value) if status == 0 else status
    status = buffer_byte(out, number.form)
    if status == 0:
        status = varint_append(out, number.exponent)
    if status == 0:
        status = buffer_reserve(out, count // 2 + 1)
    if status < 0:
        return status
    if count % 2:
        out.data[out.size] = digits[0] - 48
        out.size += 1
        digits += 1
        count -= 1
    for i in range(0, count, 2):
        out.data[out.size] = <char> ((digits[i] - 48) * 10 + (digits[i + 1] - 48))
        out.size += 1
    return 0


cdef int no_decimal() noexcept nogil:
    return fail(INVALID, "a decimal NaN that signals, has a sign or a payload cannot be stored", NULL,
                <uint64_t> NO_OFFSET)


cdef int number_parse(const char *text, size_t size, Buffer *out) noexcept nogil:
    cdef char storage[STACK_DIGITS]
    cdef Buffer digits
    cdef Number number
    cdef const char *end = text + size
    cdef int64_t exponent = 0
    cdef bint is_fraction = False, is_exponent_negative = False
    cdef int status = 0
    number.form, number.exponent = DECIMAL_POSITIVE, 0
    if text < end and text[0] == 45:                        # minus
        number.form = DECIMAL_NEGATIVE
        text += 1
    if text < end and (text[0] == 73 or text[0] == 105):    # Infinity, inf
        return buffer_byte(out, DECIMAL_MINUS_INFINITY if number.form == DECIMAL_NEGATIVE else DECIMAL_INFINITY)
    if text < end and (text[0] == 78 or text[0] == 110):    # NaN, nan
        return buffer_byte(out, DECIMAL_NAN) if size == 3 else no_decimal()
    buffer_init(&digits, storage, STACK_DIGITS)
    status = buffer_reserve(&digits, size)
    while status == 0 and text < end and text[0] != 69 and text[0] != 101:      # E, e
        if text[0] == 46:                                   # point
            is_fraction = True
        elif 48 <= text[0] <= 57:
            digits.data[digits.size] = text[0]
            digits.size += 1
            number.exponent -= is_fraction
        else:
            status = no_decimal()
        text += 1
    if status == 0 and text < end:
        text += 1
        if text < end and (text[0] == 43 or text[0] == 45):
            is_exponent_negative = text[0] == 45
            text += 1
        while text < end and exponent < <int64_t> 1 << 58:
            exponent = exponent * 10 + (text[0] - 48)
            text += 1
        number.exponent += -exponent if is_exponent_negative else exponent
    number.digit_count = digits.size
    if status == 0:
        status = number_append(out, &number, digits.data) if digits.size else no_decimal()
    buffer_free(&digits)
    return status


cdef int put_exponent(Buffer *out, int64_t exponent) noexcept nogil:
    cdef int status = buffer_append(out, b"E+" if exponent >= 0 else b"E-", 2)
    return digits_append(out, -<uint64_t> exponent if exponent < 0 else <uint64_t> exponent) if status == 0 else status


cdef int number_text(const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef char storage[STACK_DIGITS]
    cdef Buffer digits
    cdef Number number
    cdef int64_t point
    cdef size_t whole
    cdef int status
    buffer_init(&digits, storage, STACK_DIGITS)
    status = number_get(p, size, &number, &digits)
    if status == 0 and number.form > DECIMAL_NEGATIVE:
        if number.form == DECIMAL_NAN:
            return buffer_append(out, b"NaN", 3)
        if number.form == DECIMAL_INFINITY:
            return buffer_append(out, b"Infinity", 8)
        return buffer_append(out, b"-Infinity", 9)
    if status == 0:
        status = buffer_reserve(out, digits.size + 40)
    if status < 0:
        buffer_free(&digits)
        return status
    if number.form == DECIMAL_NEGATIVE:
        buffer_byte(out, 45)
    point = number.exponent + <int64_t> digits.size
    if number.exponent > 0 or point <= -6:
        point = 1
    whole = <size_t> point if point > 0 else 0
    if whole == 0:
        buffer_append(out, b"0.000000", 2 - point)
        buffer_append(out, digits.data, digits.size)
    else:
        buffer_append(out, digits.data, whole)
        if digits.size > whole:
            buffer_byte(out, 46)
            buffer_append(out, digits.data + whole, digits.size - whole)
    if point != number.exponent + <int64_t> digits.size:
        status = put_exponent(out, number.exponent + <int64_t> digits.size - 1)
    buffer_free(&digits)
    return status


# -------------------------------------------------------------------- text and calendar

cdef bint is_utf8(const char *p, size_t size) noexcept nogil:
    """RFC 3629: shortest forms only, no surrogates, nothing above U+10FFFF."""
    cdef const uint8_t *at = <const uint8_t *> p
    cdef const uint8_t *end = at + size
    cdef uint8_t byte, low, high
    cdef int more
    while at < end:
        if end - at >= 8 and not get_u64(at) & <uint64_t> 0x8080808080808080:
            at += 8
            continue
        byte = at[0]
        at += 1
        if byte < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= byte <= 0xDF:
            more = 1
        elif 0xE0 <= byte <= 0xEF:
            more = 2
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:
                high = 0x9F
        elif 0xF0 <= byte <= 0xF4:
            more = 3
            if byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
        else:
            return False
        if end - at < more or not low <= at[0] <= high:
            return False
        if more > 1 and at[1] & 0xC0 != 0x80:
            return False
        if more > 2 and at[2] & 0xC0 != 0x80:
            return False
        at += more
    return True


cdef int64_t days_from_civil(int64_t year, int64_t month, int64_t day) noexcept nogil:
    """Days since 1970-01-01; years begin in March and eras of 400 years repeat (Hinnant, chrono-compatible dates)."""
    cdef int64_t era, of_era, of_year
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


cdef void civil_from_days(int64_t days, Civil *out) noexcept nogil:
    cdef int64_t of_400, year, of_year, month
    days += 719468
    of_400 = days % 146097
    year = (of_400 - of_400 // 1460 + of_400 // 36524 - of_400 // 146096) // 365
    of_year = of_400 - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    out.day = <int> (of_year - (153 * month + 2) // 5 + 1)
    out.month = <int> (month + 3 if month < 10 else month - 9)
    out.year = <int> (year + days // 146097 * 400 + (out.month <= 2))


cdef int moment_get(int kind, const char *p, size_t size, int64_t *out) noexcept nogil:
    cdef int64_t low = MIN_DAYS * DAY_MICROSECONDS, high = (MAX_DAYS + 1) * DAY_MICROSECONDS
    cdef int status = int_get(p, size, out)
    if status < 0:
        return status
    if kind == VALUE_DATE:
        low, high = MIN_DAYS, MAX_DAYS + 1
    elif kind == VALUE_TIME:
        low, high = 0, DAY_MICROSECONDS
    if not low <= out[0] < high:
        return damaged("a date or time is out of range")
    return 0


cdef int clock_text(int64_t microseconds, Buffer *out) noexcept nogil:
    """hh:mm:ss and as many decimals as count; more than 24 hours are fine."""
    cdef char text[48]
    cdef int64_t seconds = microseconds // 1000000
    cdef int fraction = <int> (microseconds % 1000000)
    cdef int length = snprintf(text, sizeof(text), "%02lld:%02d:%02d", <long long> (seconds // 3600),
                               <int> (seconds // 60 % 60), <int> (seconds % 60))
    if fraction:
        length += snprintf(text + length, sizeof(text) - length, ".%06d", fraction)
        while text[length - 1] == 48:
            length -= 1
    return buffer_append(out, text, length)


cdef int interval_text(const char *p, size_t size, Buffer *out) noexcept nogil:
    """As core/values.py Interval.__str__."""
    cdef Span span
    cdef char text[128]
    cdef const char **unit = [b"year", b"mon", b"day"]
    cdef int64_t counts[3]
    cdef bint is_after_negative = False
    cdef int length = 0, i
    cdef int status = span_get(p, size, &span)
    if status < 0:
        return status
    counts[0], counts[1], counts[2] = span.months // 12, span.months % 12, span.days     # towards zero
    for i in range(3):
        if counts[i]:
            length += snprintf(text + length, sizeof(text) - length, "%s%lld %s%s ",
                               b"+" if is_after_negative and counts[i] > 0 else b"", <long long> counts[i], unit[i],
                               b"s" if counts[i] != 1 else b"")
            is_after_negative = counts[i] < 0
    if span.microseconds == 0 and length:
        return buffer_append(out, text, length - 1)
    status = buffer_append(out, text, length)
    if status == 0 and (span.microseconds < 0 or is_after_negative):
        status = buffer_byte(out, 45 if span.microseconds < 0 else 43)
    if status < 0:
        return status
    return clock_text(-span.microseconds if span.microseconds < 0 else span.microseconds, out)


cdef int uuid_text(const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef const char *hexadecimal = b"0123456789abcdef"
    cdef int status = buffer_reserve(out, UUID_TEXT_BYTES)
    cdef char *to
    cdef int i
    if size != UUID_BYTES:
        return damaged("a uuid has a wrong size")
    if status < 0:
        return status
    to = out.data + out.size
    for i in range(UUID_BYTES):
        if i == 4 or i == 6 or i == 8 or i == 10:
            to[0] = 45
            to += 1
        to[0] = hexadecimal[<uint8_t> p[i] >> 4]
        to[1] = hexadecimal[<uint8_t> p[i] & 15]
        to += 2
    out.size += UUID_TEXT_BYTES
    return 0


cdef int moment_text(int kind, const char *p, size_t size, Buffer *out) noexcept nogil:
    cdef char text[16]
    cdef Civil civil
    cdef int64_t value, days
    cdef int status
    if kind == VALUE_INTERVAL:
        return interval_text(p, size, out)
    if kind == VALUE_UUID:
        return uuid_text(p, size, out)
    status = moment_get(kind, p, size, &value)
    if status < 0:
        return status
    if kind == VALUE_TIME:
        return clock_text(value, out)
    days = value
    if kind != VALUE_DATE:
        days = value // DAY_MICROSECONDS - (value % DAY_MICROSECONDS < 0)
    civil_from_days(days, &civil)
    snprintf(text, sizeof(text), "%04d-%02d-%02d", civil.year, civil.month, civil.day)
    status = buffer_append(out, text, 10)
    if kind == VALUE_DATE or status < 0:
        return status
    status = buffer_byte(out, 84)                           # T
    if status == 0:
        status = clock_text(value - days * DAY_MICROSECONDS, out)
    if status == 0 and kind == VALUE_TIMESTAMPTZ:
        status = buffer_append(out, b"+00:00", 6)
    return status
