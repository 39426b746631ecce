# How many objects of each kind are alive: counted in the invariants build (PHANTOMDB_DEBUG), and nothing at all in
# others, where the compiler sees an empty function. Called where a kind's memory is taken and where it is given back.
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #ifdef PHANTOMDB_DEBUG
    enum { CENSUS_IS_TAKEN = 1 };
    #else
    enum { CENSUS_IS_TAKEN = 0 };
    #endif
    """
    enum: CENSUS_IS_TAKEN

cdef enum Kind:                      # census.pyx names them in this order
    VIEW
    MEMTABLE
    MEMTABLE_CURSOR
    TABLE
    TABLE_READER
    TABLE_CURSOR
    TABLE_WRITER
    FRAME
    MERGE_CURSOR
    READ_CURSOR
    OWN_ROWS
    READ_SET
    WRITE_SET
    LOG
    LOG_CURSOR
    VALUE_LOG
    OPEN_FILE
    KIND_COUNT

# Not inline: each extension would have counters of its own.
cdef void census_change(Kind kind, uint64_t change) noexcept nogil

cdef inline void count_birth(Kind kind) noexcept nogil:
    if CENSUS_IS_TAKEN:
        census_change(kind, 1)

cdef inline void count_death(Kind kind) noexcept nogil:
    if CENSUS_IS_TAKEN:
        census_change(kind, <uint64_t> -1)
