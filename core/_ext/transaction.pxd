# Transactions: reads at one snapshot, writes kept aside until commit.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .engine cimport Engine
from .keys cimport Key
from .scan cimport Scan
from .read_set cimport ReadSet
from .write_set cimport WriteSet

cdef enum TransactionState:
    TRANSACTION_OPEN = 0
    TRANSACTION_COMMITTED = 1
    TRANSACTION_ROLLED_BACK = 2

cdef class TransactionCore:
    cdef readonly Engine engine
    cdef WriteSet *writes
    cdef ReadSet *reads              # what the commit validates
    cdef bint tracks_reads           # isolation "serializable": every read goes there; else only those that ask
    cdef uint64_t snapshot_ts
    cdef uint64_t committed_ts       # 0 until committed
    cdef int state
    cdef bint has_read               # the snapshot may not move any more
    cdef bint counted_values         # this transaction counts in engine.value_writers
    cdef int require_open(self) except -1
    cdef int remember_key(self, Key *key, uint64_t hash_value, uint32_t slot) except -1
    cdef int add_write(self, uint8_t prefix, object key, object value) except -1
    cdef int finish(self, int state) except -1

cdef class TransactionKeySpace:
    cdef TransactionCore core
    cdef uint8_t prefix
    cdef object read(self, object key, bint is_validated)
    cdef int cover_own_writes(self, Key *low, Key *high) except -1

cdef class TransactionScan:
    cdef TransactionCore core
    cdef Scan scan
    cdef bytes hidden                # keeps the copied range deletes
    cdef size_t range_index
    cdef bint is_reverse
    cdef bint is_tracked
    cdef uint8_t prefix
    cdef bytes far_bound            # where the scan ends if it is read to its end
    cdef int widen(self, object key) except -1
    cdef Scan read_all(self)
