"""Arrow columns in the making, and their way out through the C data interface.

    value of a record --append--> validity | values or offsets | data        one Column
                                  Batch of columns  <--references-- each exported array, children included

Arrow's consumer frees arrays when it likes, from any thread and in any order, and may move a child out of its parent.
So memory hangs on a counted Batch and no Python object, and releasing takes no GIL.
"""
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset, strlen

from .document cimport Container, container_open, container_piece
from .platform cimport add_u32, load_u32, sub_u32
from .scalars cimport (Buffer, DECIMAL_NEGATIVE, DECIMAL_SCALE_BIAS, DECIMAL_SMALL_MAX, Number, Span, VALUE_ANY,
                       VALUE_ARRAY, VALUE_BOOL, VALUE_BYTES, VALUE_DATE, VALUE_DECIMAL, VALUE_FLOAT, VALUE_INT,
                       VALUE_INTERVAL, VALUE_JSON, VALUE_NULL, VALUE_TEXT, VALUE_TIME, VALUE_TIMESTAMP,
                       VALUE_TIMESTAMPTZ, VALUE_UUID, buffer_append, buffer_byte, buffer_free, buffer_init,
                       buffer_reserve, float_get, int_get, is_utf8, moment_get, moment_text, number_get, span_get)
from .status cimport CORRUPTION, INVALID, NO_MEMORY, NO_OFFSET, TOO_LARGE, fail

cdef extern from *:
    ctypedef unsigned long long uint128_t "unsigned __int128"
    bint multiply_overflows "__builtin_mul_overflow"(int64_t a, int64_t b, int64_t *product) noexcept nogil

cdef enum:
    MAX_OFFSET = 0x7FFFFFFF          # of Arrow's 32-bit offsets
    MAX_PRECISION = 38               # of decimal128
    NULLABLE = 2                     # flag of a schema
    STACK_DIGITS = 128
    DATA_FIRST_BYTES = 64            # consumers want a pointer, also where all texts are empty

cdef uint32_t _live_batches = 0
cdef uint128_t _powers[MAX_PRECISION + 1]        # of ten


cdef void fill_powers() noexcept:
    cdef int i
    _powers[0] = 1
    for i in range(1, MAX_PRECISION + 1):
        _powers[i] = _powers[i - 1] * 10


fill_powers()


cdef inline int refused(const char *message) noexcept nogil:
    return fail(INVALID, message, NULL, <uint64_t> NO_OFFSET)


# -------------------------------------------------------------------- validity

cdef inline int bit_append(Buffer *bits, int64_t index, bint value) noexcept nogil:
    cdef int status = 0
    if index % 8 == 0:
        status = buffer_byte(bits, 0)
    if status == 0 and value:
        bits.data[index >> 3] |= 1 << (index & 7)
    return status


cdef inline int present(Column *column) noexcept nogil:
    """Counts a value; its bytes are there already."""
    cdef int status = 0
    if column.null_count:
        status = bit_append(&column.validity, column.length, True)
    column.length += 1
    return status


cdef int first_null(Column *column) noexcept nogil:
    cdef size_t size = (column.length + 7) // 8
    cdef int status = buffer_reserve(&column.validity, size + 1)
    if status < 0:
        return status
    memset(column.validity.data, 0xFF, size)
    if column.length & 7:
        column.validity.data[size - 1] = <char> ((1 << (column.length & 7)) - 1)
    column.validity.size = size
    return 0


cdef int value_width(const ColumnType *type) noexcept nogil:
    """Bytes of a value; 0: bits, -1: offsets and data, -2: offsets and a child."""
    if type.kind == VALUE_BOOL:
        return 0
    if type.kind == VALUE_INT or type.kind == VALUE_FLOAT:
        return type.bits // 8
    if type.kind == VALUE_DECIMAL or type.kind == VALUE_INTERVAL:
        return 16
    if type.kind == VALUE_DATE:
        return 4
    if VALUE_TIME <= type.kind <= VALUE_TIMESTAMPTZ:
        return 8
    return -2 if type.kind == VALUE_ARRAY else -1


cdef inline int offset_append(Column *column, int64_t offset) noexcept nogil:
    cdef int32_t narrow = <int32_t> offset
    if offset > MAX_OFFSET:
        return fail(TOO_LARGE, "a column of one batch is larger than 2 GiB", NULL, <uint64_t> NO_OFFSET)
    return buffer_append(&column.values, <char *> &narrow, 4)


cdef int column_null(Column *column, ColumnType *type) noexcept nogil:
    cdef int width = value_width(type)
    cdef int status = first_null(column) if column.null_count == 0 else 0
    if status == 0:
        status = bit_append(&column.validity, column.length, False)
    if status < 0:
        return status
    if width == 0:
        status = bit_append(&column.values, column.length, False)
    elif width > 0:
        status = buffer_reserve(&column.values, width)
        if status == 0:
            memset(column.values.data + column.values.size, 0, width)
            column.values.size += width
    else:
        status = offset_append(column, column.child.length if width == -2 else <int64_t> column.data.size)
    column.null_count += 1
    column.length += 1
    return status


# -------------------------------------------------------------------- values

cdef int append_bool(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef int64_t value
    cdef int status = int_get(p, size, &value)
    if status == 0:
        status = bit_append(&column.values, column.length, value != 0)
    return present(column) if status == 0 else status


cdef int append_int(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef int64_t value
    cdef int32_t middle
    cdef int16_t narrow
    cdef int status = int_get(p, size, &value)
    if status < 0:
        return status
    middle, narrow = <int32_t> value, <int16_t> value
    if type.bits == 64:
        status = buffer_append(&column.values, <char *> &value, 8)
    elif type.bits == 32 and middle == value:
        status = buffer_append(&column.values, <char *> &middle, 4)
    elif type.bits == 16 and narrow == value:
        status = buffer_append(&column.values, <char *> &narrow, 2)
    else:
        status = refused("an integer has more bits than its column")
    return present(column) if status == 0 else status


cdef int append_float(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef double value
    cdef float narrow
    cdef int status = float_get(p, size, &value)
    if status < 0:
        return status
    if type.bits == 64:
        status = buffer_append(&column.values, <char *> &value, 8)
    else:
        narrow = <float> value
        status = buffer_append(&column.values, <char *> &narrow, 4)
    return present(column) if status == 0 else status


cdef int append_days(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef int64_t value
    cdef int32_t days
    cdef int status = moment_get(type.kind, p, size, &value)
    if status == 0:
        days = <int32_t> value
        status = buffer_append(&column.values, <char *> &days, 4)
    return present(column) if status == 0 else status


cdef int append_microseconds(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef int64_t value
    cdef int status = moment_get(type.kind, p, size, &value)
    if status == 0:
        status = buffer_append(&column.values, <char *> &value, 8)
    return present(column) if status == 0 else status


cdef int append_interval(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef Span span
    cdef int32_t parts[2]
    cdef int64_t nanoseconds
    cdef int status = span_get(p, size, &span)
    if status < 0:
        return status
    parts[0], parts[1] = <int32_t> span.months, <int32_t> span.days
    if multiply_overflows(span.microseconds, 1000, &nanoseconds):
        return refused("an interval is too long for Arrow, which counts nanoseconds")
    status = buffer_append(&column.values, <char *> parts, 8)
    if status == 0:
        status = buffer_append(&column.values, <char *> &nanoseconds, 8)
    return present(column) if status == 0 else status


cdef int needs_scale(ColumnType *type, int64_t scale) noexcept nogil:
    cdef char message[128]
    if scale > MAX_PRECISION:
        return refused("a decimal has more digits after its point than decimal128 can hold")
    if scale > type.needed_scale:
        type.needed_scale = <int> scale
    snprintf(message, sizeof(message), "a decimal needs scale %d, its column has %d", <int> scale, type.scale)
    return refused(message)


cdef int needs_precision(ColumnType *type) noexcept nogil:
    cdef char message[128]
    snprintf(message, sizeof(message), "a decimal has too many digits for precision %d and scale %d", type.precision,
             type.scale)
    return refused(message)


cdef int put_decimal(Column *column, ColumnType *type, uint128_t magnitude, bint is_negative,
                     int64_t scale) noexcept nogil:
    cdef int status
    while scale > type.scale and magnitude % 10 == 0 and magnitude:
        magnitude //= 10
        scale -= 1
    if magnitude:
        if scale > type.scale:
            return needs_scale(type, scale)
        if type.scale - scale > MAX_PRECISION or magnitude >= _powers[type.precision]:
            return needs_precision(type)
        # the product must stay below 10 ** precision
        if type.scale - scale > type.precision or magnitude >= _powers[type.precision - (type.scale - scale)]:
            return needs_precision(type)
        magnitude *= _powers[type.scale - scale]
    if is_negative:
        magnitude = -magnitude
    status = buffer_append(&column.values, <char *> &magnitude, 16)
    return present(column) if status == 0 else status


cdef int append_large_decimal(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef char storage[STACK_DIGITS]
    cdef Buffer digits
    cdef Number number
    cdef uint128_t magnitude = 0
    cdef size_t i
    cdef int status
    buffer_init(&digits, storage, STACK_DIGITS)
    status = number_get(p, size, &number, &digits)
    if status == 0:
        while digits.size > 1 and digits.data[digits.size - 1] == 48:
            digits.size -= 1
            number.exponent += 1
        if number.form > DECIMAL_NEGATIVE:
            status = refused("a decimal NaN or Infinity has no place in an Arrow column")
        elif -number.exponent > type.scale and not (digits.size == 1 and digits.data[0] == 48):
            status = needs_scale(type, -number.exponent)
        elif digits.size > MAX_PRECISION:
            status = needs_precision(type)
        else:
            for i in range(digits.size):
                magnitude = magnitude * 10 + <uint8_t> (digits.data[i] - 48)
            status = put_decimal(column, type, magnitude, number.form == DECIMAL_NEGATIVE, -number.exponent)
    buffer_free(&digits)
    return status


cdef int append_decimal(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef int64_t value
    cdef int scale, status
    if size == 0 or <uint8_t> p[0] > DECIMAL_SMALL_MAX:
        return append_large_decimal(column, type, p, size)
    status = int_get(p + 1, size - 1, &value)
    if status < 0:
        return status
    scale = <uint8_t> p[0] - <int> DECIMAL_SCALE_BIAS
    return put_decimal(column, type, <uint128_t> (-<uint64_t> value if value < 0 else <uint64_t> value), value < 0,
                       scale)


cdef int append_data(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef int status
    if type.kind == VALUE_TEXT and not is_utf8(p, size):
        return fail(CORRUPTION, "a text is no UTF-8", NULL, <uint64_t> NO_OFFSET)
    status = buffer_append(&column.data, p, size)
    if status == 0:
        status = offset_append(column, column.data.size)
    return present(column) if status == 0 else status


cdef int append_uuid(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    """As text."""
    cdef int status = moment_text(VALUE_UUID, p, size, &column.data)
    if status == 0:
        status = offset_append(column, column.data.size)
    return present(column) if status == 0 else status


cdef int append_list(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil:
    cdef Container container
    cdef ColumnType *element = type.element
    cdef const char *piece
    cdef size_t piece_size
    cdef uint64_t i
    cdef int kind
    cdef int status = container_open(p, size, &container)
    if status < 0:
        return status
    if container.kind != VALUE_ARRAY:
        return refused("an array is another value")
    for i in range(container.piece_count):
        status = container_piece(&container, i, &piece, &piece_size)
        if status < 0:
            return status
        if piece_size == 0:
            return fail(CORRUPTION, "a value has no bytes", NULL, <uint64_t> NO_OFFSET)
        kind = <uint8_t> piece[0]
        if kind == VALUE_NULL:
            status = column_null(column.child, element)
        elif element.kind > VALUE_UUID:
            status = element.append(column.child, element, piece, piece_size)
        elif kind == element.kind:
            status = element.append(column.child, element, piece + 1, piece_size - 1)
        else:
            status = refused("an element of an array is not of its column's type")
        if status < 0:
            return status
    status = offset_append(column, column.child.length)
    return present(column) if status == 0 else status


cdef int column_type(ColumnType *type, int kind, int bits, int precision, int scale,
                     ColumnType *element) noexcept nogil:
    cdef const char *format = NULL
    memset(type, 0, sizeof(ColumnType))
    type.kind, type.bits, type.precision, type.scale, type.element = kind, bits, precision, scale, element
    if kind == VALUE_BOOL:
        type.append, format = append_bool, b"b"
    elif kind == VALUE_INT and (bits == 16 or bits == 32 or bits == 64):
        type.append, format = append_int, b"s" if bits == 16 else b"i" if bits == 32 else b"l"
    elif kind == VALUE_FLOAT and (bits == 32 or bits == 64):
        type.append, format = append_float, b"f" if bits == 32 else b"g"
    elif kind == VALUE_DECIMAL and 1 <= precision <= MAX_PRECISION and 0 <= scale <= precision:
        snprintf(type.format, FORMAT_BYTES, "d:%d,%d", precision, scale)
        type.append, format = append_decimal, type.format
    elif kind == VALUE_TEXT or kind == VALUE_BYTES or kind == VALUE_JSON or kind == VALUE_ANY:
        # documents as they are stored: document.decode() reads them
        type.append, format = append_data, b"u" if kind == VALUE_TEXT else b"z"
    elif kind == VALUE_DATE:
        type.append, format = append_days, b"tdD"
    elif kind == VALUE_TIME:
        type.append, format = append_microseconds, b"ttu"
    elif kind == VALUE_TIMESTAMP or kind == VALUE_TIMESTAMPTZ:
        type.append, format = append_microseconds, b"tsu:" if kind == VALUE_TIMESTAMP else b"tsu:UTC"
    elif kind == VALUE_INTERVAL:
        type.append, format = append_interval, b"tin"
    elif kind == VALUE_UUID:
        type.append, format = append_uuid, b"u"
    elif kind == VALUE_ARRAY and element != NULL:
        type.append, format = append_list, b"+l"
    if format == NULL:
        return refused("no such column: its kind, bits, precision, scale and element do not fit each other")
    if format != type.format:
        memcpy(type.format, format, strlen(format) + 1)
    return 0


# -------------------------------------------------------------------- batches

cdef void column_clear(Column *column) noexcept nogil:
    buffer_free(&column.validity)
    buffer_free(&column.values)
    buffer_free(&column.data)
    if column.child != NULL:
        column_clear(column.child)
        free(column.child)


cdef int column_init(Column *column, ColumnType *type, size_t row_count) noexcept nogil:
    cdef int width = value_width(type), status
    buffer_init(&column.validity, NULL, 0)
    buffer_init(&column.values, NULL, 0)
    buffer_init(&column.data, NULL, 0)
    status = buffer_reserve(&column.values, row_count // 8 + 1 if width == 0 else
                            row_count * width if width > 0 else (row_count + 1) * 4)
    if status == 0 and width < 0:
        status = offset_append(column, 0)
    if status == 0 and width == -1:
        status = buffer_reserve(&column.data, DATA_FIRST_BYTES)
    if status == 0 and width == -2:
        column.child = <Column *> calloc(1, sizeof(Column))
        if column.child == NULL:
            return NO_MEMORY
        status = column_init(column.child, type.element, row_count)
    return status


cdef Batch *batch_new(ColumnType **types, uint32_t count, size_t row_count) noexcept nogil:
    cdef Batch *batch = <Batch *> calloc(1, sizeof(Batch))
    cdef uint32_t i
    cdef int status = 0
    if batch == NULL:
        return NULL
    add_u32(&_live_batches, 1)
    batch.references = 1
    batch.columns = <Column *> calloc(count + 1, sizeof(Column))
    if batch.columns == NULL:
        batch_release(batch)
        return NULL
    for i in range(count):
        batch.column_count = i + 1
        status = column_init(&batch.columns[i], types[i], row_count)
        if status < 0:
            batch_release(batch)
            return NULL
    return batch


cdef void buffer_trim(Buffer *buffer) noexcept nogil:
    cdef char *smaller
    if not buffer.is_borrowed and buffer.size and buffer.capacity - buffer.size > buffer.size // 16:
        smaller = <char *> realloc(buffer.data, buffer.size)
        if smaller != NULL:
            buffer.data, buffer.capacity = smaller, buffer.size


cdef void batch_trim(Batch *batch) noexcept nogil:
    cdef uint32_t i
    cdef Column *column
    for i in range(batch.column_count):
        column = &batch.columns[i]
        while column != NULL:
            buffer_trim(&column.validity)
            buffer_trim(&column.values)
            buffer_trim(&column.data)
            column = column.child


cdef void batch_release(Batch *batch) noexcept nogil:
    cdef uint32_t i
    if sub_u32(&batch.references, 1) != 1:
        return
    for i in range(batch.column_count):
        column_clear(&batch.columns[i])
    free(batch.columns)
    free(batch)
    sub_u32(&_live_batches, 1)


cdef uint32_t live_batches() noexcept nogil:
    return load_u32(&_live_batches)


cdef size_t batch_bytes(const Batch *batch) noexcept nogil:
    cdef size_t total = 0
    cdef uint32_t i
    cdef const Column *column
    for i in range(batch.column_count):
        column = &batch.columns[i]
        while column != NULL:
            total += column.data.size
            if column.child != NULL:
                total += column.child.values.size
            column = column.child
    return total


# -------------------------------------------------------------------- the C data interface

cdef struct Holder:                  # private data of an exported array
    Batch *batch
    const void *buffers[3]


cdef void release_array(ArrowArray *array) noexcept nogil:
    cdef Holder *holder = <Holder *> array.private_data
    cdef int64_t i
    for i in range(array.n_children):
        if array.children[i].release != NULL:               # else it was moved out
            array.children[i].release(array.children[i])
        free(array.children[i])
    free(array.children)
    batch_release(holder.batch)
    free(holder)
    array.release = NULL


cdef int begin_array(ArrowArray *out, Batch *batch, int64_t child_count) noexcept nogil:
    """An array without buffers, which can be released; its children are, too."""
    cdef Holder *holder = <Holder *> calloc(1, sizeof(Holder))
    cdef int64_t i
    memset(out, 0, sizeof(ArrowArray))
    if holder == NULL:
        return NO_MEMORY
    holder.batch = batch
    add_u32(&batch.references, 1)
    out.private_data, out.release, out.buffers = holder, release_array, holder.buffers
    if child_count:
        out.children = <ArrowArray **> calloc(child_count, sizeof(ArrowArray *))
        if out.children == NULL:
            return NO_MEMORY
    for i in range(child_count):
        out.children[i] = <ArrowArray *> calloc(1, sizeof(ArrowArray))
        if out.children[i] == NULL:
            return NO_MEMORY
        out.n_children = i + 1
    return 0


cdef int export_column(Batch *batch, Column *column, ColumnType *type, ArrowArray *out) noexcept nogil:
    cdef int width = value_width(type)
    cdef int status = begin_array(out, batch, 1 if width == -2 else 0)
    if status < 0:
        return status
    out.length, out.null_count = column.length, column.null_count
    out.n_buffers = 3 if width == -1 else 2
    out.buffers[0] = column.validity.data if column.null_count else NULL
    out.buffers[1] = column.values.data
    if width == -1:
        out.buffers[2] = column.data.data
    return export_column(batch, column.child, type.element, out.children[0]) if width == -2 else 0


cdef int export_batch(Batch *batch, ColumnType **types, ArrowArray *out) noexcept nogil:
    cdef uint32_t i
    cdef int status = begin_array(out, batch, batch.column_count)
    out.length, out.n_buffers = batch.length, 1
    for i in range(batch.column_count):
        if status == 0:
            status = export_column(batch, &batch.columns[i], types[i], out.children[i])
    if status < 0 and out.release != NULL:
        release_array(out)
    return status


cdef void release_schema(ArrowSchema *schema) noexcept nogil:
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i].release != NULL:
            schema.children[i].release(schema.children[i])
        free(schema.children[i])
    free(schema.children)
    free(schema.private_data)
    schema.release = NULL


cdef int export_schema(const char *format, const char *name, ColumnType **types, const char **names, uint32_t count,
                       ArrowSchema *out) noexcept nogil:
    """`types` and `names` are of the children."""
    cdef size_t format_size = strlen(format) + 1, name_size = strlen(name) + 1
    cdef char *texts = <char *> malloc(format_size + name_size)
    cdef const char *element_name = b"item"
    cdef ColumnType *type
    cdef uint32_t i
    cdef int status = 0
    memset(out, 0, sizeof(ArrowSchema))
    if texts == NULL:
        return NO_MEMORY
    memcpy(texts, format, format_size)
    memcpy(texts + format_size, name, name_size)
    out.format, out.name, out.private_data, out.release = texts, texts + format_size, texts, release_schema
    out.flags = NULLABLE
    out.children = <ArrowSchema **> calloc(count + 1, sizeof(ArrowSchema *))
    if out.children == NULL:
        status = NO_MEMORY
    for i in range(count):
        if status == 0:
            out.children[i] = <ArrowSchema *> calloc(1, sizeof(ArrowSchema))
            status = NO_MEMORY if out.children[i] == NULL else 0
        if status == 0:
            out.n_children = i + 1
            type = types[i]
            status = export_schema(type.format, names[i], &type.element, &element_name, type.element != NULL,
                                   out.children[i])
    if status < 0 and out.release != NULL:
        release_schema(out)
    return status
