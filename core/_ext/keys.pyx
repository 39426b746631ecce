"""Arguments a user hands in as keys and values: `bytes` or anything with the buffer protocol."""
from libc.stdint cimport uint8_t, uint64_t

from .status cimport NO_OFFSET, TOO_LARGE, fail, raise_status


cdef int key_too_long() except -1:
    fail(TOO_LARGE, "a key is longer than 65,536 bytes (MAX_KEY_BYTES)", NULL, <uint64_t> NO_OFFSET)
    return raise_status(TOO_LARGE)


cdef int not_bytes(object value, str what) except -1:
    raise TypeError(f"{what} must be bytes or a buffer, not {type(value).__name__}")


cdef int bound_build(Key *out, uint8_t prefix, object bound, bint is_stop) except -1:
    if bound is None:
        out.data = out.storage
        out.size = PREFIX_BYTES
        out.data[0] = <char> (prefix + 1 if is_stop else prefix)
        return 0
    return key_build(out, prefix, bound)
