# Rows read one at a time, from bytes to a tuple of values without an object in between.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .engine cimport Engine
from .key_tuple cimport KeyCodec
from .record cimport RecordCodec
from .scalars cimport Buffer
from .scan cimport Row, Scan
from .transaction cimport TransactionCore, TransactionScan

cdef enum:
    ROWS_PREFIX = 0x74               # core/tables/layout.py has the same
    ROW_STACK_BYTES = 1024
    GROUP_ROWS = 16

cdef enum RowSource:                 # where a value of a row is taken from
    ROW_FROM_KEY = 0
    ROW_FROM_RECORD = 1
    ROW_FROM_ROW_KEY = 2             # the encoded primary key itself

cdef struct RowOutput:
    int source
    uint32_t position                # in key or record

# The value of an internal key as of `snapshot`, appended to `out` (NULL: only whether it is there): 1, or 0.
cdef int read_committed(Engine engine, const char *key, size_t key_size, uint64_t hash_value, uint64_t snapshot,
                        Buffer *out) except -1
# The same as an open transaction sees it. Its commit validates the answer where all its reads are, or `is_validated`.
cdef int read_own(TransactionCore core, const char *key, size_t key_size, bint is_validated, Buffer *out) except -1

# The commit of the transaction validates that this internal key is as it was.
cdef int remember(TransactionCore core, const char *key, size_t key_size, uint64_t hash_value) except -1
# Whether the catalog of the snapshot has this version row.
cdef bint is_current(Engine engine, uint64_t snapshot, bytes version) except -1

cdef class RowReader:
    # constant after construction
    cdef Engine engine
    cdef bytes prefix                # of all keys of the table: ROWS_PREFIX and its id
    cdef KeyCodec keys
    cdef RecordCodec records
    cdef uint32_t count
    cdef RowOutput *outputs          # [count]
    cdef uint32_t key_depth          # key values up to the last that is asked for
    cdef bint reads_record
    cdef tuple defaults              # [count]: of fields the record was written without
    cdef tuple restores              # [count]: what makes a value out of its key again, or None
    cdef int open(self, TransactionCore core, bytes version, uint64_t *snapshot) except -1
    cdef int close(self, TransactionCore core, uint64_t snapshot) except -1
    cdef int read(self, TransactionCore core, uint64_t snapshot, const char *key, size_t size, Buffer *out) except -1
    cdef tuple point(self, TransactionCore core, uint64_t snapshot, object values)
    cdef tuple point_at(self, TransactionCore core, uint64_t snapshot, const char *key, size_t size)
    cdef tuple decode(self, const char *row_key, size_t row_key_size, const char *record, size_t record_size)
    cdef object value(self, uint32_t output, int kind, const char *p, size_t size)
    cdef int decode_key(self, const char *p, size_t size, tuple row) except -1

cdef class _Rows:                    # the rows of a range on their way
    cdef Scan scan
    cdef TransactionScan tracked     # None outside of a transaction
    cdef bytes last                  # key of the last row of a bufferful, where reads are tracked
    cdef int begin(self, Engine engine, TransactionCore core, uint64_t snapshot, object start, object stop,
                   object limit, bint reverse) except -1
    # The next row, borrowed until the next call; NULL at the end.
    cdef Row *next(self) except? NULL
    # What was read counts as read: after the last row; or when no more are wanted.
    cdef int end(self) except -1
    cdef int leave(self) except -1

cdef class _RowKeys:                 # whole keys of rows, taken from entries of an index, a group at a time
    cdef Buffer bytes
    cdef size_t ends[GROUP_ROWS + 1] # key i stands between ends[i] and ends[i + 1]
    cdef uint32_t count
    cdef Buffer scratch
    cdef Buffer spare
    cdef uint32_t gather(self, _Rows rows, bytes prefix, KeyCodec index) except? 0
    # The memory of the whole group is asked for before the first key is looked at.
    cdef void prefetch(self, Engine engine) noexcept
