# Memtable: the newest writes, ordered, in one arena. One writer at a time, any number of lock-free readers.
#
#   arena (one mapping, 32-bit offsets / 8)        node: height, kind, key_size, value_size, ts,
#   +-------+------+------+------+---- - - -             hash_next, next[height], key, value
#   | hash  | node | node | node | free
#   +-------+------+------+------+---- - - -
#
#   skip list over (key, ts descending)            order: scans, flush, older versions
#   hash table, chained, newest version of a key   point reads: one probe instead of 20 cache misses
#
# A hash slot is 64 bits: the chain's head and a 32-bit set of tags that tells most absent keys
# without touching a node. A newer version takes its predecessor's place in the chain, so chains
# hold one node per key; older versions are the next nodes of the skip list.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .cursor cimport Cursor, Found, RangeTombstone

cdef enum:
    MEMTABLE_MAX_HEIGHT = 12
    MEMTABLE_MIN_CAPACITY = 4096     # smaller capacities are raised to this

cdef struct Memtable:
    uint32_t references              # atomic
    char *arena                      # mapping of `capacity` bytes
    uint64_t capacity
    uint64_t used                    # atomic; bytes handed out
    uint64_t *slots                  # hash table, inside the arena
    uint32_t slot_mask
    uint32_t head                    # offset / 8 of the head node
    uint32_t height                  # atomic; tallest node so far
    uint64_t entry_count             # atomic
    uint64_t min_ts                  # written by the writer, read after the memtable is immutable
    uint64_t max_ts                  # atomic
    uint64_t random_state
    uint64_t first_log_segment       # oldest log segment that holds one of its writes; set by the engine
    uint64_t first_value_file        # oldest value-log file it points into; kept by the engine
    RangeTombstone *tombstones       # atomic pointer to an array, replaced as a whole when one is added
    uint32_t tombstone_count         # atomic; store order: array first, then count
    # the writer's own
    uint32_t tombstone_room          # entries `tombstones` has room for
    void *tombstone_arrays           # all arrays there were, chained; freed with the memtable
    size_t map_bytes                 # size of the mapping; 0: the arena came from calloc
    uint32_t first_node              # offset / 8 of the first node after the head
    uint32_t last                    # offset / 8 of the node inserted last, 0 when the splice is unknown
    uint32_t splice[MEMTABLE_MAX_HEIGHT]   # the nodes before `last`'s successor, by level
    bint deferred                    # between memtable_defer_order and memtable_restore_order

cdef Memtable *memtable_new(uint64_t capacity) noexcept nogil          # one reference; NULL: no memory
cdef Memtable *memtable_retain(Memtable *memtable) noexcept nogil
cdef void memtable_release(Memtable *memtable) noexcept nogil
# Upper bound of the arena bytes an entry takes.
cdef size_t memtable_entry_bytes(size_t key_size, size_t value_size) noexcept nogil
# The caller holds the commit lock and made sure that the entry fits (else TOO_LARGE). `ts` is not
# older than any version of the key that is here already. Equal (key, ts): the later call wins.
cdef int memtable_insert(Memtable *memtable, const char *key, size_t key_size, uint64_t hash_value, uint64_t ts,
                         int kind, const char *value, size_t value_size) noexcept nogil
cdef int memtable_add_tombstone(Memtable *memtable, const char *start, size_t start_size, const char *stop,
                                size_t stop_size, uint64_t ts) noexcept nogil
# 1: newest version with ts <= snapshot in `out` (may be a delete), borrowed while the memtable lives. 0: none.
cdef int memtable_get(Memtable *memtable, const char *key, size_t key_size, uint64_t hash_value,
                      uint64_t snapshot, Found *out) noexcept nogil
cdef void memtable_prefetch(Memtable *memtable, uint64_t hash_value) noexcept nogil
cdef Cursor *memtable_cursor(Memtable *memtable) noexcept nogil        # retains the memtable
# Recovery loads faster unordered: between the two calls inserts only append and keep the hash chains,
# then restore sorts everything at once. Until then no cursor and no read of an older version may run.
cdef int memtable_defer_order(Memtable *memtable) noexcept nogil
cdef int memtable_restore_order(Memtable *memtable) noexcept nogil     # NO_MEMORY: still deferred, may be called again

cdef class MemtableHandle:           # Python wrapper for flush and tests; owns one reference
    cdef Memtable *memtable
    @staticmethod
    cdef MemtableHandle wrap(Memtable *memtable)                       # retains
