# Records: the fields of a row, each found without the others. Layout: docs/formats.md.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .keys cimport Input
from .platform cimport get_u16, get_u32
from .scalars cimport Buffer
from .status cimport CORRUPTION, NO_OFFSET, fail

cdef enum FieldState:                # what stands at a place of a record or key
    FIELD_NULL = 0
    FIELD_VALUE = 1
    FIELD_MISSING = 2                # the record was written before the column was added

cdef enum:
    MAX_FIELDS = 65535
    RECORD_WIDTH_MASK = 3            # first byte: 0, 1, 2 for ends of 1, 2, 4 bytes
    RECORD_HAS_NULLS = 4
    RECORD_COUNT_SHIFT = 3
    RECORD_LONG_COUNT = 31           # the count is in the next two bytes

# A record taken apart; borrows its bytes.
cdef struct Record:
    uint32_t count
    int width
    const uint8_t *nulls             # a bit for each field, or NULL
    const char *ends                 # of each field but the last
    const char *payload
    size_t payload_size

cdef inline int record_open(const char *p, size_t size, Record *out) noexcept nogil:
    cdef size_t header = 1
    cdef int first
    if size == 0:
        return fail(CORRUPTION, "a record has no bytes", NULL, <uint64_t> NO_OFFSET)
    first = <uint8_t> p[0]
    out.count = first >> RECORD_COUNT_SHIFT
    out.width = 1 << (first & RECORD_WIDTH_MASK)
    if out.count == RECORD_LONG_COUNT:
        if size < 3:
            return fail(CORRUPTION, "a record is cut off", NULL, <uint64_t> NO_OFFSET)
        out.count = get_u16(p + 1)
        header = 3
    out.nulls = NULL
    if first & RECORD_HAS_NULLS:
        out.nulls = <const uint8_t *> p + header
        header += (out.count + 7) // 8
    out.ends = p + header
    if out.count:
        header += <size_t> (out.count - 1) * out.width
    if header > size or out.width == 8:
        return fail(CORRUPTION, "a record is cut off", NULL, <uint64_t> NO_OFFSET)
    out.payload = p + header
    out.payload_size = size - header
    return 0

cdef inline size_t record_end(const Record *record, uint32_t index) noexcept nogil:
    if record.width == 1:
        return (<const uint8_t *> record.ends)[index]
    return get_u16(record.ends + 2 * index) if record.width == 2 else get_u32(record.ends + 4 * <size_t> index)

# FieldState, or a status; `value` and `value_size` are set for FIELD_VALUE alone.
cdef inline int record_get(const Record *record, uint32_t index, const char **value, size_t *value_size) noexcept nogil:
    cdef size_t start = 0, end = record.payload_size
    if index >= record.count:
        return FIELD_MISSING
    if record.nulls != NULL and record.nulls[index >> 3] >> (index & 7) & 1:
        return FIELD_NULL
    if index:
        start = record_end(record, index - 1)
    if index + 1 < record.count:
        end = record_end(record, index)
    if start > end or end > record.payload_size:
        return fail(CORRUPTION, "a field of a record is out of bounds", NULL, <uint64_t> NO_OFFSET)
    value[0] = record.payload + start
    value_size[0] = end - start
    return FIELD_VALUE

cdef inline int record_field(const char *p, size_t size, uint32_t index, const char **value,
                             size_t *value_size) noexcept nogil:
    cdef Record record
    cdef int status = record_open(p, size, &record)
    return status if status < 0 else record_get(&record, index, value, value_size)

# A value of any kind, BOOL .. ANY, but NULL: scalars as they are, JSON, arrays and ANY as documents.
cdef int value_append(int kind, object value, Buffer *out) except -1
cdef object value_to_python(int kind, const char *p, size_t size)

cdef class RecordCodec:
    cdef readonly tuple kinds
    cdef uint32_t count
    cdef uint8_t *kind_array         # [count]; constant after construction
    # Appends the record of as many values as there are kinds, a list or tuple.
    cdef int append(self, object values, Buffer *out) except -1
    cdef int open(self, const Input *given, Record *record) except -1
