# The keys of single values: bytes that compare as the values do. Layout: docs/formats.md.
from libc.stdint cimport int64_t, uint8_t
from libc.stddef cimport size_t

from .scalars cimport Buffer

# First bytes; on disk.
cdef enum:
    GUARD_LOW = 0x01                 # in front of a first byte below 02
    GUARD_HIGH = 0xFE                # ... and above FD
    INT_BIAS = 0x19                  # first byte of 0
    INT_INLINE_MIN = -16
    INT_INLINE_MAX = 221
    INT_NEGATIVE = 0x09              # less the number of bytes that follow
    INT_POSITIVE = 0xF6              # plus that
    NUMBER_MINUS_INFINITY = 0x20     # decimals, and all numbers among values of kind ANY
    NUMBER_NEGATIVE = 0x21
    NUMBER_ZERO = 0x22
    NUMBER_POSITIVE = 0x23
    NUMBER_INFINITY = 0x24
    NUMBER_NAN = 0x25

# Where a key is being read; every byte counts after it was inverted by `mask`.
cdef struct Source:
    const uint8_t *p
    const uint8_t *end
    uint8_t mask                     # 0 or 0xFF

cdef inline int next_byte(Source *source) noexcept nogil:
    """The byte, or -1 at the end."""
    if source.p == source.end:
        return -1
    source.p += 1
    return (source.p - 1)[0] ^ source.mask

cdef int key_damaged() noexcept nogil
cdef void key_invert(Buffer *out, size_t start) noexcept nogil         # all bytes behind `start`
cdef int put_int(int64_t value, Buffer *out) noexcept nogil
cdef int read_int(Source *source, int64_t *out) noexcept nogil
cdef int put_fixed(const char *p, size_t size, Buffer *out) noexcept nogil     # bytes of a known number, at least one
cdef int read_fixed(Source *source, char *p, size_t size) noexcept nogil
cdef int put_float(double value, Buffer *out) noexcept nogil
cdef int read_float(Source *source, double *out) noexcept nogil
cdef int put_text(const char *p, size_t size, Buffer *out) noexcept nogil
cdef int read_text(Source *source, Buffer *out) noexcept nogil
# The same where a NULL might stand instead.
cdef int put_guarded_text(const char *p, size_t size, Buffer *out) noexcept nogil
cdef int read_guarded_text(Source *source, Buffer *out) noexcept nogil
# `value` and what is appended to `out` are decimals as records hold them.
cdef int put_decimal(const char *value, size_t size, Buffer *out) noexcept nogil
cdef int read_decimal(Source *source, Buffer *out) noexcept nogil
# A value of kind INT, FLOAT or DECIMAL by number alone; back comes a document.
cdef int put_any_number(int kind, const char *value, size_t size, Buffer *out) noexcept nogil
cdef int read_any_number(Source *source, int first, Buffer *out) noexcept nogil
