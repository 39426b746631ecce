# Merging cursors and the rule of visibility.
#
#   sources: memtables, level-0 tables, one cursor per deeper level, over all partitions
#      -> MergeCursor: all versions in (key, ts descending) order
#      -> ReadCursor:  at snapshot s, of each key the newest version with ts <= s that is neither
#                      deleted nor hidden by a range tombstone with ts <= s; both directions
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .cursor cimport Cursor, RangeTombstone

# Takes over the cursors in `sources` (freed with the merge, also on failure: then NULL).
# Equal (key, ts) in two sources: the source with the smaller index wins, the other is skipped.
cdef Cursor *merge_cursor(Cursor **sources, size_t count) noexcept nogil

cdef struct ReadCursor:
    # current row; borrowed until the next move
    const char *key
    const char *value
    uint32_t key_size
    uint32_t value_size
    uint64_t ts
    int kind                         # KIND_PUT or KIND_POINTER

# Takes over `source`; borrows the tombstones (they must outlive it). Bounds are copied: start
# inclusive, stop exclusive, NULL = open.
cdef ReadCursor *read_cursor_new(Cursor *source, uint64_t snapshot, const RangeTombstone *tombstones,
                                 size_t tombstone_count, const char *start, size_t start_size,
                                 const char *stop, size_t stop_size, bint reverse) noexcept nogil
# 1: the next row is current, 0: end, < 0: status.
cdef int read_cursor_next(ReadCursor *cursor) noexcept nogil
cdef void read_cursor_free(ReadCursor *cursor) noexcept nogil

# Largest timestamp <= snapshot of a tombstone covering `key`, or 0.
cdef uint64_t covering_tombstone(const RangeTombstone *tombstones, size_t count, const char *key, size_t key_size,
                                 uint64_t snapshot) noexcept nogil
