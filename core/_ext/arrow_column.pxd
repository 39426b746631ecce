# Arrow columns in the making, and their way out through the C data interface
# (https://arrow.apache.org/docs/format/CDataInterface.html).
from libc.stdint cimport int64_t, uint32_t
from libc.stddef cimport size_t

from .scalars cimport Buffer

cdef enum:
    FORMAT_BYTES = 32

cdef struct ArrowSchema:             # of the specification, as is ArrowArray
    const char *format
    const char *name
    const char *metadata
    int64_t flags
    int64_t n_children
    ArrowSchema **children
    ArrowSchema *dictionary
    void (*release)(ArrowSchema *schema) noexcept nogil
    void *private_data

cdef struct ArrowArray:
    int64_t length
    int64_t null_count
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void **buffers
    ArrowArray **children
    ArrowArray *dictionary
    void (*release)(ArrowArray *array) noexcept nogil
    void *private_data

cdef struct ColumnType:
    int kind                         # core/values.py Kind
    int bits                         # INT: 16, 32, 64; FLOAT: 32, 64
    int precision                    # DECIMAL
    int scale
    int needed_scale                 # 0, or what a value that did not fit asks for
    ColumnType *element              # ARRAY
    char format[FORMAT_BYTES]
    # Appends a value as a record holds it.
    int (*append)(Column *column, ColumnType *type, const char *p, size_t size) noexcept nogil

cdef struct Column:                  # the rows so far
    int64_t length
    int64_t null_count
    Buffer validity                  # bits; empty before the first NULL
    Buffer values                    # fixed-width values, bits, or offsets (32 bits)
    Buffer data                      # what the offsets point into
    Column *child                    # ARRAY: the elements

cdef struct Batch:
    uint32_t references              # the maker and each exported array that is not released; atomic
    uint32_t column_count
    int64_t length
    Column *columns

cdef Batch *batch_new(ColumnType **types, uint32_t count, size_t row_count) noexcept nogil       # NULL: no memory
cdef void batch_release(Batch *batch) noexcept nogil
cdef void batch_trim(Batch *batch) noexcept nogil                   # gives back what is reserved and not used
cdef size_t batch_bytes(const Batch *batch) noexcept nogil          # of texts and the like
cdef int column_null(Column *column, ColumnType *type) noexcept nogil

# Fills an array of the specification; 0 or NO_MEMORY.
cdef int export_batch(Batch *batch, ColumnType **types, ArrowArray *out) noexcept nogil
cdef int export_schema(const char *format, const char *name, ColumnType **types, const char **names, uint32_t count,
                       ArrowSchema *out) noexcept nogil
# Fills everything but `element`; INVALID: no such column.
cdef int column_type(ColumnType *type, int kind, int bits, int precision, int scale, ColumnType *element) noexcept nogil
cdef uint32_t live_batches() noexcept nogil
