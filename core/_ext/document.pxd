# Documents: JSON and more as bytes, of which a field or a path is read without the rest. Layout: docs/formats.md.
from libc.stdint cimport uint64_t
from libc.stddef cimport size_t

from .scalars cimport Buffer

cdef enum:
    MAX_DOCUMENT_DEPTH = 100         # containers inside each other
    DOCUMENT_KIND_MASK = 15          # of the first byte; the rest says how wide a container's numbers are

# An object or array taken apart; borrows the document. Pieces of an object are name, value, name, value ...
cdef struct Container:
    int kind                         # VALUE_JSON: object, VALUE_ARRAY
    int width                        # bytes of a number: 1, 2, 4
    uint64_t piece_count
    const char *ends                 # of each piece, in the payload
    const char *payload
    size_t payload_size

cdef int container_open(const char *p, size_t size, Container *out) noexcept nogil
cdef int container_piece(const Container *container, uint64_t index, const char **p, size_t *size) noexcept nogil
# 1: the member of this name is there, 0: it is not.
cdef int container_find(const Container *container, const char *name, size_t name_size, const char **found,
                        size_t *found_size) noexcept nogil
# Puts a container around the pieces that stand in `out` behind `start`. Their ends, from there, are the 32-bit numbers
# in `ends` behind `ends_start`, which are taken off.
cdef int container_finish(Buffer *out, size_t start, int kind, Buffer *ends, size_t ends_start) noexcept nogil
# Notes the end of a piece: what stands in `out` now.
cdef int piece_end(const Buffer *out, size_t start, Buffer *ends) noexcept nogil

# TypeError, OverflowError: not storable; LimitExceeded: nested too deeply.
cdef int document_append(object value, Buffer *out) except -1
cdef object document_to_python(const char *p, size_t size)
# The same as PyMongo has it: moments in milliseconds and without a zone, which is UTC; decimals as Decimal128.
cdef int document_append_bson(object value, Buffer *out) except -1
cdef object document_to_bson(const char *p, size_t size)
# 1: `found` is the value at the path of str and int, 0: there is none.
cdef int document_find(const char *p, size_t size, tuple path, const char **found, size_t *found_size) except -1
# Appends it as JSON, without blanks.
cdef int document_json(const char *p, size_t size, Buffer *out) noexcept nogil
