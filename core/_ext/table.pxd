# Sorted tables: immutable files of blocks, with a fingerprint index that is filter and locator in one.
#
#   Table (always in memory, small)             TableReader (opened on first use, evictable)
#     number, bounds, ts range, tombstones  -->   file, block offsets, frames[], top index block,
#                                                 fingerprint buckets
#
#   point read:  hash -> bucket (one cache line, 16 slots) -> block number and entry index -> entry
#   range read:  top index block -> index partition block -> data block, a binary search in each
#
# A slot is 32 bits: fingerprint (high bits, never 0) | block number | entry index; `locator_bits`
# tells how many low bits the last two take. A key's home bucket comes from the upper middle of its
# hash (below the 16 bits that choose the partition); a full bucket spills into the next. Only the
# newest version of a key in the table has a slot.
# (Chucky, Dayan and Twitto, SIGMOD 2021, has the idea: a filter whose payload is the location.)
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .cache cimport Cache
from .cursor cimport Found, RangeTombstone
from .files cimport FileHandle, FileSystemHandle
from .frames cimport Frame
from .guard cimport Guard
from .platform cimport add_u64, mutex_t
from .table_format cimport TableFooter

cdef struct TableReader:
    # what a point read needs, in one cache line
    uint32_t *buckets                # [bucket_count * 16], 64-byte aligned
    Frame **frames                   # [block_count + index_block_count] cached blocks, NULL where not cached
    uint32_t bucket_count
    uint32_t locator_bits
    uint32_t index_bits              # of the locator, low bits: entry index in the block
    uint32_t block_count             # data blocks
    uint32_t index_block_count       # index partitions; they follow the data blocks in `offsets`
    uint32_t references              # atomic; its table holds one, each cursor on it one
    uint64_t *offsets                # [block_count + index_block_count + 1] where each block starts in the file
    char *top_index                  # decoded block: last key of each index partition -> its number
    FileHandle *file
    Cache *cache                     # NULL: nothing is cached or charged
    size_t charge                    # bytes charged to the cache's budget
    TableFooter footer

cdef struct TableCache:              # limits how many readers are open; owns nothing else
    mutex_t mutex
    Cache *cache
    Guard *guard
    FileSystemHandle *fs
    uint32_t limit                   # open readers at most
    uint32_t open_count
    Table *first_open                # ring of tables with a reader; guarded by mutex
    uint64_t block_reads             # statistics, atomic
    uint64_t block_read_bytes
    uint64_t fingerprint_misses      # probes that read a block in vain

cdef struct Table:
    uint32_t references              # atomic
    uint32_t touched                 # for the table cache's second chance
    TableReader *reader              # atomic; NULL until first use
    TableCache *owner
    char *path
    # constant after construction, from the manifest:
    uint64_t number
    uint64_t file_size
    uint64_t entry_count
    uint64_t min_ts
    uint64_t max_ts
    char *smallest                   # user keys, inclusive; range tombstones included
    char *largest
    uint32_t smallest_size
    uint32_t largest_size
    RangeTombstone *tombstones       # loaded at construction
    uint32_t tombstone_count
    Table *next_open                 # ring links, guarded by owner.mutex
    Table *previous_open
    bint delete_on_free              # set when the table left the tree: unlink the file at the last release
    uint64_t base_ts                 # constant; what the file's timestamps count from: 0, or the commit of an ingest

cdef TableCache *table_cache_new(Cache *cache, Guard *guard, FileSystemHandle *fs, uint32_t limit) noexcept nogil
cdef void table_cache_free(TableCache *tables) noexcept nogil

cdef Table *table_retain(Table *table) noexcept nogil
cdef void table_release(Table *table) noexcept nogil

# The caller is inside the read guard; `out.value` stays valid until it leaves. 1: the newest version
# with ts <= snapshot is in `out` (it may be a delete). 0: none here. BUSY: a disk read is needed and
# `may_block` is false. Range tombstones are not looked at.
cdef int table_get(Table *table, const char *key, size_t key_size, uint64_t hash_value, uint64_t snapshot,
                   bint may_block, Found *out) noexcept nogil
# Brings the bucket of `hash_value` towards the processor's cache, if the reader is open.
cdef void table_prefetch(Table *table, uint64_t hash_value) noexcept nogil
# The next two steps, for reads of many keys at once: the pointer to the frame of the key's block, then
# (`frame_is_near`) the frame's head. Call for all keys of a group before taking the next step. Inside the guard.
cdef void table_prefetch_entry(Table *table, uint64_t hash_value, bint frame_is_near) noexcept nogil
# A table of the tree, one reference; copies its arguments and loads its tombstones (the only case in
# which it reads the file). `tables` must outlive it and the guard's deferred frees after its last release.
cdef int table_new(TableCache *tables, const char *path, uint64_t number, uint64_t file_size, uint64_t entry_count,
                   uint64_t min_ts, uint64_t max_ts, const char *smallest, size_t smallest_size, const char *largest,
                   size_t largest_size, uint32_t tombstone_count, Table **out) noexcept nogil
# The table's reader with one reference for the caller (table_reader.pxd releases it); opens the file if needed.
cdef int table_open_reader(Table *table, TableReader **out) noexcept nogil

cdef inline void count_block_read(TableCache *tables, const TableReader *reader, uint32_t number) noexcept nogil:
    add_u64(&tables.block_reads, 1)
    add_u64(&tables.block_read_bytes, reader.offsets[number + 1] - reader.offsets[number])

# Python wrapper that owns one reference.
cdef class TableHandle:
    cdef Table *table
    cdef readonly dict properties    # as written by the table writer
    cdef object _owner               # TableCacheHandle

cdef class TableCacheHandle:
    cdef TableCache *tables
    cdef object _owner               # keeps cache, guard and file system alive
    cdef bint _owns_tables           # made by create(): tables, cache and guard are this object's own
    # Borrows `tables`; `owner` keeps it, its cache, guard and file system alive.
    @staticmethod
    cdef TableCacheHandle wrap(TableCache *tables, object owner)
