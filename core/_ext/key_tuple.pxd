# Key tuples: values as bytes whose order is the order of the values. Layout: docs/formats.md.
from libc.stdint cimport uint8_t, uint32_t
from libc.stddef cimport size_t

from .scalars cimport Buffer

cdef enum:
    KEY_NULL_FIRST = 0x00            # the byte of a NULL; every value begins with one in between, inverted or not
    KEY_NULL_LAST = 0xFF

cdef struct KeyColumn:
    int kind                         # core/values.py Kind
    uint8_t mask                     # 0xFF: descending, all bytes of a value are inverted
    uint8_t null_byte

# Appends a value given as a record holds it (scalars.pxd; JSON, arrays and ANY as documents).
cdef int key_append(const KeyColumn *column, const char *value, size_t value_size, Buffer *out) noexcept nogil
cdef int key_append_null(const KeyColumn *column, Buffer *out) noexcept nogil
# The reverse: appends the value at `p` to `out` and moves `p` behind it. FIELD_VALUE, FIELD_NULL (record.pxd) or a
# status. `ends` is for its own use, empty before and after.
cdef int key_read(const KeyColumn *column, const char **p, const char *end, Buffer *out, Buffer *ends) noexcept nogil

cdef class KeyCodec:
    cdef readonly tuple columns
    cdef uint32_t count
    cdef KeyColumn *column_array     # [count]; constant after construction
    # Appends the key of `values`, a list or tuple of `count` of them (at most as many as columns).
    cdef int append(self, object values, uint32_t count, Buffer *out) except -1
