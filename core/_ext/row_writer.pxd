# Rows written one at a time, from a tuple of values to key, record and index entries without an object in between.
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .key_tuple cimport KeyCodec
from .record cimport RecordCodec
from .scalars cimport Buffer
from .transaction cimport TransactionCore

cdef struct ColumnRule:              # what a column takes as it is, without a conversion
    PyObject *value_class            # exactly this class; NULL: no value but NULL
    bint is_nullable
    int64_t limit                    # of an int the largest, of a str its characters at most; -1: any

cdef struct IndexRule:
    const char *prefix               # of all its keys
    size_t prefix_size
    PyObject *codec                  # its KeyCodec; RowWriter.kept has the reference
    uint32_t *positions              # in the row, of its columns
    bint is_unique
    bint nulls_distinct

# Hashes of the keys that one call has written. To look for a key among all own writes of a transaction costs an index
# over them; a call that began with none knows better: a key with another hash is none of them.
cdef struct Written:
    uint64_t *slots                  # 0: free
    size_t size                      # a power of two, or 0
    size_t count

cdef class RowWriter:
    # constant after construction
    cdef bytes prefix                # of all keys of the table: ROWS_PREFIX and its id
    cdef KeyCodec keys
    cdef RecordCodec records
    cdef list kept                   # objects that the rules point to
    cdef uint32_t column_count
    cdef ColumnRule *columns         # [column_count]
    cdef bint has_hidden_key
    cdef uint32_t *key_positions     # [keys.count] in the row
    cdef int64_t *record_positions   # [records.count] in the row; -1: of a dropped column
    cdef uint32_t index_count
    cdef IndexRule *indexes          # [index_count]
    cdef int add_index(self, bytes prefix, KeyCodec codec, object positions, bint is_unique,
                       bint nulls_distinct) except -1
    cdef bint is_taken_as_it_is(self, tuple row) except -1
    cdef int put_key(self, tuple row, object row_id, Buffer *out) except -1
    cdef int put_record(self, tuple row, Buffer *out) except -1
    cdef bint put_entry(self, const IndexRule *index, tuple row, const char *row_key, size_t row_key_size,
                        Buffer *out) except -1
    cdef bint insert_row(self, TransactionCore core, tuple row, object row_id, Written *written) except -1
    cdef int change_entries(self, TransactionCore core, const IndexRule *index, bytes row_key, tuple old,
                            tuple new) except -1
    cdef bint depends_on_change(self, const IndexRule *index, tuple old, tuple new) noexcept
