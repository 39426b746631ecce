# The encoded form of a set of writes: payload of a log record and input of a commit.
#
#   operation := kind u8 | slot u16 | varint key_size | key | varint value_size | value
#   payload   := operation*          (a delete has value_size 0)
#
# Keys are internal keys (keyspace prefix included). KIND_POINTER carries a ValuePointer as value.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memcpy

from .platform cimport get_u16, put_u16

cdef struct Operation:               # borrowed from the payload
    int kind
    uint32_t slot
    const char *key
    uint32_t key_size
    const char *value
    uint32_t value_size

cdef inline size_t varint_size(uint64_t value) noexcept nogil:
    cdef size_t size = 1
    while value >= 128:
        value >>= 7
        size += 1
    return size

cdef inline char *varint_put(char *p, uint64_t value) noexcept nogil:
    while value >= 128:
        p[0] = <char> (value | 128)
        p += 1
        value >>= 7
    p[0] = <char> value
    return p + 1

# Past the number, or NULL when it does not end before `end` or is longer than 5 bytes (32 bits).
cdef inline const char *varint_get(const char *p, const char *end, uint32_t *value) noexcept nogil:
    cdef uint64_t result = 0
    cdef int shift = 0
    cdef uint8_t byte
    while p < end and shift < 35:
        byte = <uint8_t> p[0]
        p += 1
        result |= (<uint64_t> (byte & 127)) << shift
        if byte < 128:
            if result > <uint64_t> 0xFFFFFFFF:
                return NULL
            value[0] = <uint32_t> result
            return p
        shift += 7
    return NULL

cdef inline size_t operation_size(size_t key_size, size_t value_size) noexcept nogil:
    return 3 + varint_size(key_size) + key_size + varint_size(value_size) + value_size

cdef inline char *operation_put(char *p, int kind, uint32_t slot, const char *key, size_t key_size,
                                const char *value, size_t value_size) noexcept nogil:
    p[0] = <char> kind
    put_u16(p + 1, <uint16_t> slot)
    p = varint_put(p + 3, key_size)
    memcpy(p, key, key_size)
    p = varint_put(p + key_size, value_size)
    if value_size:
        memcpy(p, value, value_size)
    return p + value_size

# Past the operation, or NULL when the bytes are not one.
cdef inline const char *operation_get(const char *p, const char *end, Operation *out) noexcept nogil:
    if end - p < 5:
        return NULL
    out.kind = <uint8_t> p[0]
    out.slot = get_u16(p + 1)
    p = varint_get(p + 3, end, &out.key_size)
    if out.kind > 3 or p == NULL or <size_t> (end - p) < out.key_size:
        return NULL
    out.key = p
    p = varint_get(p + out.key_size, end, &out.value_size)
    if p == NULL or <size_t> (end - p) < out.value_size:
        return NULL
    out.value = p
    return p + out.value_size
