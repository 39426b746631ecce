# A copy of bytes that must outlive a cursor's next move. One owner, who frees `data`.
from libc.stddef cimport size_t
from libc.stdlib cimport realloc
from libc.string cimport memcmp, memcpy

from .status cimport NO_MEMORY, NO_OFFSET, fail

cdef struct Held:
    char *data                       # NULL until the first hold
    size_t size
    size_t capacity

# Copies; leaves room for one byte more, so that key_after needs none.
cdef inline int hold(Held *held, const char *data, size_t size) noexcept nogil:
    cdef size_t capacity
    cdef char *grown
    if size + 1 > held.capacity:
        capacity = (size + 1) * 2
        grown = <char *> realloc(held.data, capacity)
        if grown == NULL:
            return fail(NO_MEMORY, "no memory for a copy of a row", NULL, NO_OFFSET)
        held.data = grown
        held.capacity = capacity
    if size:
        memcpy(held.data, data, size)
    held.size = size
    return 0

cdef inline bint holds(const Held *held, const char *data, size_t size) noexcept nogil:
    return held.size == size and memcmp(held.data, data, size) == 0

# The smallest key after the held one: the same with a zero byte behind it. Its size is held.size + 1.
cdef inline const char *key_after(Held *held) noexcept nogil:
    held.data[held.size] = 0
    return held.data
