# A view: all places a key may live at one moment, newest first. Immutable; replaced as a whole.
#
#   partition p:  memtables (active, then immutable) -> level-0 tables -> level 1 -> ... -> bottom
#
# A reader takes the engine's current view inside the read guard (or retains it for longer); every
# version of a key in an earlier place is newer than all its versions in later places.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .cursor cimport Cursor, Found, RangeTombstone
from .memtable cimport Memtable
from .table cimport Table

cdef struct Level:
    uint32_t count
    Table **tables                   # ascending, disjoint

cdef struct Partition:
    uint32_t memtable_count
    uint32_t level0_count
    uint32_t level_count             # non-empty levels below level 0
    Memtable **memtables             # newest first; the first is the active one
    Table **level0                   # newest first
    Level *levels

cdef struct View:
    uint32_t references              # atomic
    uint32_t partition_count
    Partition *partitions
    RangeTombstone *tombstones       # of all tables; the keys are borrowed from the tables
    uint32_t tombstone_count

cdef View *view_new(uint32_t partition_count) noexcept nogil           # empty; one reference
cdef View *view_retain(View *view) noexcept nogil
cdef void view_release(View *view) noexcept nogil
# A copy of `view` in which partition `index` has `memtable` in front (NULL for all others).
# Takes references of its own on everything. NULL: no memory.
cdef View *view_with_memtable(View *view, uint32_t index, Memtable *memtable) noexcept nogil
cdef int view_gather_tombstones(View *view) noexcept nogil             # fills `tombstones`

# Point read; the caller is inside the guard. 1: `out` holds a live value (KIND_PUT or KIND_POINTER),
# 0: there is none at `snapshot`, BUSY: needs a disk read and may_block is false.
cdef int view_get(View *view, uint32_t partition, const char *key, size_t key_size, uint64_t hash_value,
                  uint64_t snapshot, bint may_block, Found *out) noexcept nogil
# Brings closer to the processor what view_get of this key will touch; step 0, 1, 2 in turn, each for
# all keys of a group before the next.
cdef void view_prefetch(View *view, uint32_t partition, const char *key, size_t key_size, uint64_t hash_value,
                        int step) noexcept nogil
# Both inside the guard. 1: a version or covering tombstone newer than `since` exists for the key.
cdef int view_changed_key(View *view, uint32_t partition, const char *key, size_t key_size, uint64_t hash_value,
                          uint64_t since) noexcept nogil
# 1: a version or tombstone newer than `since` exists in [start, stop) of any partition; stop NULL: open.
cdef int view_changed_range(View *view, const char *start, size_t start_size, const char *stop, size_t stop_size,
                            uint64_t since) noexcept nogil
# Number of sources a merge over [start, stop) needs at most, and the cursors themselves.
# Fills `out` (room for view_source_limit cursors) and returns how many, or a status (out then is empty).
cdef size_t view_source_limit(View *view) noexcept nogil
cdef int view_sources(View *view, const char *start, size_t start_size, const char *stop, size_t stop_size,
                      uint32_t fill_cache, size_t readahead_bytes, Cursor **out) noexcept nogil
# Tombstones of tables and memtables in one array the caller frees (keys borrowed from the view).
cdef int view_tombstones(View *view, RangeTombstone **out, size_t *count) noexcept nogil
