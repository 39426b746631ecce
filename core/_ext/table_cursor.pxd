# The cursor over sorted tables.
from libc.stdint cimport uint32_t
from libc.stddef cimport size_t

from .cursor cimport Cursor
from .table cimport Table

# A cursor over `count` tables with ascending, disjoint key ranges (one table, or a whole level). It
# borrows the array and the tables: whoever holds the view or the handles must outlive it. `fill_cache`:
# how many blocks it may add to the cache (scans stay small); blocks beyond that are read into a frame of
# its own, with `readahead_bytes` per read (0: a block at a time). NULL: no memory.
# A move that returns 0 or a status leaves it nowhere: the next one must be a seek.
cdef Cursor *tables_cursor(Table **tables, size_t count, uint32_t fill_cache, size_t readahead_bytes) noexcept nogil
