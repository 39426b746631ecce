"""Sorted tables of the tree: point reads, and a bound on how many files are open.

A Table is small and always there; its TableReader (file, block offsets, fingerprints, slots of cached
blocks) comes with the first read and may be taken away again. table.pxd draws both.

Point read, all memory already in the cache:

    bucket of the hash --16 slots at once--> slots whose fingerprint matches (usually one or none)
       --> frames[block] --> entry [index] --> is its key the one we look for?

No lock, no search. Of an absent key the bucket alone says "no", but for about one in 150 at 11
fingerprint bits. Every version of a key but the newest is found by walking on from the newest.

Who may free what. Readers of `table.reader` and of `frames` are inside the read guard. A reader is
taken from its table by a store of NULL, and released through the guard; a table whose last reference
went is destroyed through the guard as well, because somebody inside may be about to open it.

Locks: `tables.mutex` guards the ring of open tables and every store to `table.reader`. It is never held
across file operations (they may need the GIL) nor while the cache's or the guard's lock is taken.
"""
cimport cython
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strlen

from .block cimport (BlockEntry, BlockHeader, block_descriptors, block_entry, block_prefix, block_prefix_size, block_ts,
                     equal_bytes)
from .cache cimport Cache, cache_free, cache_insert, cache_new
from .census cimport TABLE, count_birth, count_death
from .cursor cimport Found
from .files cimport FileSystem, FileSystemHandle, fs_unlink
from .frames cimport Frame, frame_release, frame_touch
from .guard cimport Guard, guard_defer, guard_enter, guard_exit, guard_free, guard_new, guard_synchronize
from .hashing cimport key_hash
from .platform cimport (add_u32, load_ptr, lowest_bit, match16_u32, mutex_destroy, mutex_init, mutex_lock, mutex_unlock,
                        prefetch, relaxed_u32, relaxed_u64, set_relaxed_u32, store_ptr, sub_u32)
from .status cimport BUSY, CORRUPTION, NO_MEMORY, NO_OFFSET, OK, fail, raise_status
from .table_format cimport BUCKET_SLOTS, fingerprint_of, home_bucket
from .table_reader cimport (reader_load_tombstones, reader_open, reader_read_block, reader_release, reader_retain,
                            tombstones_free)


# ---- which tables are open

cdef TableCache *table_cache_new(Cache *cache, Guard *guard, FileSystemHandle *fs, uint32_t limit) noexcept nogil:
    cdef TableCache *tables = <TableCache *> calloc(1, sizeof(TableCache))
    if tables == NULL:
        return NULL
    mutex_init(&tables.mutex)
    tables.cache = cache
    tables.guard = guard
    tables.fs = fs
    tables.limit = limit
    return tables


cdef void table_cache_free(TableCache *tables) noexcept nogil:
    if tables == NULL:
        return
    mutex_destroy(&tables.mutex)
    free(tables)


cdef void _link(Table *table) noexcept nogil:
    cdef TableCache *tables = table.owner
    if tables.first_open == NULL:
        table.next_open = table
        table.previous_open = table
        tables.first_open = table
    else:                                # last in the ring: the hand meets it last
        table.next_open = tables.first_open
        table.previous_open = tables.first_open.previous_open
        table.previous_open.next_open = table
        tables.first_open.previous_open = table
    tables.open_count += 1


# Closes the table as far as the ring is concerned; its reader is the caller's now.
cdef TableReader *_unlink(Table *table) noexcept nogil:
    cdef TableCache *tables = table.owner
    cdef TableReader *reader = table.reader
    if tables.first_open == table:
        tables.first_open = NULL if table.next_open == table else table.next_open
    table.next_open.previous_open = table.previous_open
    table.previous_open.next_open = table.next_open
    table.next_open = NULL
    table.previous_open = NULL
    tables.open_count -= 1
    store_ptr(<void **> &table.reader, NULL)
    return reader


# Second chance: tables read since the hand passed are spared once.
cdef TableReader *_take_victim(TableCache *tables) noexcept nogil:
    while relaxed_u32(&tables.first_open.touched) != 0:
        set_relaxed_u32(&tables.first_open.touched, 0)
        tables.first_open = tables.first_open.next_open
    return _unlink(tables.first_open)


cdef void _release_reader(void *reader) noexcept nogil:
    reader_release(<TableReader *> reader)


# Opens the file and publishes its reader, unless another thread was first. The caller is inside the guard.
cdef int _open(Table *table, TableReader **out) noexcept nogil:
    cdef TableCache *tables = table.owner
    cdef TableReader *fresh = NULL
    cdef TableReader *victim = NULL
    cdef int status = reader_open(tables.fs, table.path, tables.cache, &fresh)
    if status < 0:
        return status
    if fresh.footer.entry_count != table.entry_count:
        reader_release(fresh)
        return fail(CORRUPTION, "the table is not the one that the manifest names", table.path, <uint64_t> NO_OFFSET)
    mutex_lock(&tables.mutex)
    if table.reader == NULL:
        store_ptr(<void **> &table.reader, fresh)
        out[0] = fresh
        _link(table)
        if tables.open_count > tables.limit:
            set_relaxed_u32(&table.touched, 1)
            victim = _take_victim(tables)
    else:
        out[0] = table.reader
        victim = fresh
    mutex_unlock(&tables.mutex)
    if victim != NULL:
        guard_defer(tables.guard, _release_reader, victim, victim.charge)
    return OK


cdef int table_open_reader(Table *table, TableReader **out) noexcept nogil:
    cdef uint32_t token = guard_enter(table.owner.guard)
    cdef TableReader *reader = <TableReader *> load_ptr(<void **> &table.reader)
    cdef int status = OK
    if reader == NULL:
        status = _open(table, &reader)
    if status >= 0:
        set_relaxed_u32(&table.touched, 1)
        out[0] = reader_retain(reader)
    guard_exit(table.owner.guard, token)
    return status


# ---- life of a table

cdef int _load_tombstones(Table *table, uint32_t expected) noexcept nogil:
    cdef TableReader *reader = NULL
    cdef int status = table_open_reader(table, &reader)
    if status < 0:
        return status
    status = reader_load_tombstones(reader, &table.tombstones, &table.tombstone_count)
    if status >= 0 and table.tombstone_count != expected:
        status = fail(CORRUPTION, "the table has not the range tombstones that the manifest counts", table.path,
                      reader.footer.tombstones_offset)
    reader_release(reader)
    return status


cdef int table_new(TableCache *tables, const char *path, uint64_t number, uint64_t file_size, uint64_t entry_count,
                   uint64_t min_ts, uint64_t max_ts, const char *smallest, size_t smallest_size, const char *largest,
                   size_t largest_size, uint32_t tombstone_count, Table **out) noexcept nogil:
    cdef size_t path_size = strlen(path) + 1
    # one allocation: the strings follow the struct
    cdef Table *table = <Table *> calloc(1, sizeof(Table) + path_size + smallest_size + largest_size)
    cdef int status = OK
    if table == NULL:
        return fail(NO_MEMORY, "no memory for a table", path, <uint64_t> NO_OFFSET)
    count_birth(TABLE)
    table.references = 1
    table.owner = tables
    table.number = number
    table.file_size = file_size
    table.entry_count = entry_count
    table.min_ts = min_ts
    table.max_ts = max_ts
    table.path = <char *> table + sizeof(Table)
    table.smallest = table.path + path_size
    table.largest = table.smallest + smallest_size
    table.smallest_size = <uint32_t> smallest_size
    table.largest_size = <uint32_t> largest_size
    memcpy(table.path, path, path_size)
    if smallest_size:
        memcpy(table.smallest, smallest, smallest_size)
    if largest_size:
        memcpy(table.largest, largest, largest_size)
    if tombstone_count:
        status = _load_tombstones(table, tombstone_count)
    if status < 0:
        table_release(table)
        return status
    out[0] = table
    return OK


cdef Table *table_retain(Table *table) noexcept nogil:
    add_u32(&table.references, 1)
    return table


# Nobody is inside the guard any more who could have found the table.
cdef void _destroy(void *argument) noexcept nogil:
    cdef Table *table = <Table *> argument
    cdef TableReader *reader = NULL
    mutex_lock(&table.owner.mutex)
    if table.reader != NULL:
        reader = _unlink(table)
    mutex_unlock(&table.owner.mutex)
    reader_release(reader)
    if table.delete_on_free:
        fs_unlink(table.owner.fs, table.path)     # a file left behind is removed when the database opens next
    tombstones_free(table.tombstones)
    free(table)
    count_death(TABLE)


cdef void table_release(Table *table) noexcept nogil:
    if table == NULL or sub_u32(&table.references, 1) != 1:
        return
    guard_defer(table.owner.guard, _destroy, table, 0)


# ---- point reads

cdef void _release_frame(void *frame) noexcept nogil:
    frame_release(<Frame *> frame)


cdef int _damaged(const Table *table, const char *message) noexcept nogil:
    return fail(CORRUPTION, message, table.path, <uint64_t> NO_OFFSET)


# A block that is not cached. The frame stays valid until the caller leaves the guard.
cdef int _load_block(Table *table, TableReader *reader, uint32_t number, bint may_block, Frame **out) noexcept nogil:
    cdef Frame *frame = NULL
    cdef int status
    if not may_block:
        return BUSY
    status = reader_read_block(reader, number, &frame)
    if status < 0:
        return status
    count_block_read(table.owner, reader, number)
    frame = cache_insert(reader.cache, &reader.frames[number], frame)
    if load_ptr(<void **> &reader.frames[number]) == frame:
        frame_release(frame)             # the cache's own reference cannot go before we leave
    else:                                # larger than the cache, or evicted already
        guard_defer(table.owner.guard, _release_frame, frame, frame.charge)
    out[0] = frame
    return OK


cdef inline bint _is_key(const char *block, uint32_t index, const char *key, size_t key_size) noexcept nogil:
    cdef size_t prefix_size = block_prefix_size(block)
    cdef uint32_t descriptor = block_descriptors(block)[index]
    cdef const char *suffix = block + (<const BlockHeader *> block).payload_offset + (descriptor & 0xFFFF)
    # the suffix first: it is what tells keys of one block apart
    return (prefix_size + (descriptor >> 18) == key_size
            and equal_bytes(suffix, key + prefix_size, descriptor >> 18)
            and equal_bytes(block_prefix(block), key, prefix_size))


cdef inline int _answer(const Table *table, const char *block, uint32_t index, Found *out) noexcept nogil:
    cdef BlockEntry entry
    block_entry(block, index, &entry)
    out.kind = entry.kind
    out.ts = table.base_ts + block_ts(block, index)
    out.value = entry.value
    out.value_size = entry.value_size
    return 1


# The newest version at `index` is too new. Versions of a key follow each other, newest first, and may
# go on in the next blocks; inside one a binary search finds the first that is old enough.
cdef int _get_older(Table *table, TableReader *reader, Frame *frame, uint32_t number, uint32_t index, const char *key,
                    size_t key_size, uint64_t snapshot, bint may_block, Found *out) noexcept nogil:
    cdef uint32_t low = index, high, middle
    cdef int status
    while True:
        high = (<BlockHeader *> frame.data).entry_count
        while low < high:
            middle = (low + high) >> 1
            if (_is_key(frame.data, middle, key, key_size)
                    and table.base_ts + block_ts(frame.data, middle) > snapshot):
                low = middle + 1
            else:
                high = middle
        if low < (<BlockHeader *> frame.data).entry_count:
            return _answer(table, frame.data, low, out) if _is_key(frame.data, low, key, key_size) else 0
        number += 1
        if number == reader.block_count:
            return 0
        frame = <Frame *> load_ptr(<void **> &reader.frames[number])
        if frame == NULL:
            status = _load_block(table, reader, number, may_block, &frame)
            if status < 0:
                return status
        frame_touch(frame)
        low = 0


cdef int table_get(Table *table, const char *key, size_t key_size, uint64_t hash_value, uint64_t snapshot,
                   bint may_block, Found *out) noexcept nogil:
    cdef TableReader *reader = <TableReader *> load_ptr(<void **> &table.reader)
    cdef Frame *frame
    cdef const uint32_t *slots
    cdef uint32_t bucket, remaining, matches, locator, locator_mask, want, number, index
    cdef int status
    cdef bint loaded
    if snapshot < table.min_ts:
        return 0
    if reader == NULL:
        status = _open(table, &reader) if may_block else BUSY
        if status < 0:
            return status
    if table.touched == 0:
        set_relaxed_u32(&table.touched, 1)
    locator_mask = (<uint32_t> 1 << reader.locator_bits) - 1
    want = fingerprint_of(hash_value, reader.locator_bits)
    bucket = home_bucket(hash_value, reader.bucket_count)
    remaining = reader.bucket_count
    while remaining:
        slots = reader.buckets + <size_t> bucket * BUCKET_SLOTS
        matches = match16_u32(slots, ~locator_mask, want)
        while matches:
            locator = slots[lowest_bit(matches)] & locator_mask
            matches &= matches - 1
            number = locator >> reader.index_bits
            index = locator & ((<uint32_t> 1 << reader.index_bits) - 1)
            if number >= reader.block_count:
                return _damaged(table, "a fingerprint names a block that is not there")
            frame = <Frame *> load_ptr(<void **> &reader.frames[number])
            loaded = frame == NULL
            if loaded:
                status = _load_block(table, reader, number, may_block, &frame)
                if status < 0:
                    return status
            prefetch(frame.data + 64)    # descriptors: in flight while the header is
            prefetch(frame.data + 128)
            frame_touch(frame)
            if index >= (<BlockHeader *> frame.data).entry_count:
                return _damaged(table, "a fingerprint names an entry that is not there")
            if _is_key(frame.data, index, key, key_size):
                if table.max_ts <= snapshot or table.base_ts + block_ts(frame.data, index) <= snapshot:
                    return _answer(table, frame.data, index, out)
                return _get_older(table, reader, frame, number, index, key, key_size, snapshot, may_block, out)
            if loaded:
                add_u64(&table.owner.fingerprint_misses, 1)
        if slots[BUCKET_SLOTS - 1] == 0:
            return 0                     # slots are filled in order, so nothing spilled from this bucket
        bucket = bucket + 1 if bucket + 1 < reader.bucket_count else 0
        remaining -= 1
    return 0


cdef void table_prefetch(Table *table, uint64_t hash_value) noexcept nogil:
    cdef TableReader *reader = <TableReader *> load_ptr(<void **> &table.reader)
    if reader != NULL:
        prefetch(reader.buckets + <size_t> home_bucket(hash_value, reader.bucket_count) * BUCKET_SLOTS)


cdef void table_prefetch_entry(Table *table, uint64_t hash_value, bint frame_is_near) noexcept nogil:
    cdef TableReader *reader = <TableReader *> load_ptr(<void **> &table.reader)
    cdef const uint32_t *slots
    cdef Frame *frame
    cdef uint32_t locator_mask, matches, number, index
    if reader == NULL:
        return
    locator_mask = (<uint32_t> 1 << reader.locator_bits) - 1
    slots = reader.buckets + <size_t> home_bucket(hash_value, reader.bucket_count) * BUCKET_SLOTS
    matches = match16_u32(slots, ~locator_mask, fingerprint_of(hash_value, reader.locator_bits))
    if not matches:
        return
    number = (slots[lowest_bit(matches)] & locator_mask) >> reader.index_bits
    if number >= reader.block_count:
        return
    if not frame_is_near:
        prefetch(&reader.frames[number])
        return
    frame = <Frame *> load_ptr(<void **> &reader.frames[number])
    if frame != NULL:
        index = slots[lowest_bit(matches)] & ((<uint32_t> 1 << reader.index_bits) - 1)
        prefetch(frame)
        prefetch(frame.data + 4 * <size_t> index + 48)       # about where its descriptor is


# ---- Python face

@cython.final
@cython.no_gc_clear
cdef class TableCacheHandle:
    """Bounds how many tables are open and how much of them is cached."""

    def __cinit__(self):
        self.tables = NULL
        self._owns_tables = False

    def __init__(self):
        raise TypeError("use TableCacheHandle.create")

    @staticmethod
    cdef TableCacheHandle wrap(TableCache *tables, object owner):
        cdef TableCacheHandle self = TableCacheHandle.__new__(TableCacheHandle)
        self.tables = tables
        self._owner = owner
        return self

    @staticmethod
    def create(FileSystem file_system not None, uint64_t cache_bytes=32 << 20, uint32_t open_tables=256,
               size_t block_bytes=4096):
        """A table cache with a block cache of its own, apart from any database: for tools and tests."""
        cdef TableCacheHandle self = TableCacheHandle.__new__(TableCacheHandle)
        cdef Guard *guard = guard_new()
        cdef Cache *cache = cache_new(cache_bytes, guard, block_bytes)
        self.tables = table_cache_new(cache, guard, &file_system.handle, open_tables)
        if guard == NULL or cache == NULL or self.tables == NULL:
            table_cache_free(self.tables)
            self.tables = NULL
            cache_free(cache)
            guard_free(guard)
            raise MemoryError
        self._owner = file_system
        self._owns_tables = True
        return self

    def __dealloc__(self):
        cdef Guard *guard
        cdef Cache *cache
        if self._owns_tables:
            guard, cache = self.tables.guard, self.tables.cache
            guard_free(guard)            # destroys the last tables, which still need what follows
            table_cache_free(self.tables)
            cache_free(cache)

    def statistics(self):
        """Counters since the start, and what is open and cached now."""
        return {
            "block_reads": relaxed_u64(&self.tables.block_reads),
            "block_read_bytes": relaxed_u64(&self.tables.block_read_bytes),
            "fingerprint_misses": relaxed_u64(&self.tables.fingerprint_misses),
            "open_tables": self.tables.open_count,
            "cache_used_bytes": self.tables.cache.used,
            "cache_evictions": self.tables.cache.evictions,
        }

    def synchronize(self):
        """Free everything that was evicted or released and is no longer read."""
        with nogil:
            guard_synchronize(self.tables.guard)


@cython.final
@cython.no_gc_clear
cdef class TableHandle:
    """One reference to a table of the tree."""

    def __cinit__(self):
        self.table = NULL

    def __init__(self):
        raise TypeError("use TableHandle.create")

    @staticmethod
    def create(TableCacheHandle tables not None, str path not None, dict properties not None):
        """The table at `path`, described by the summary that its writer returned (with "number" and "base_ts", if it
        has them)."""
        cdef TableHandle self = TableHandle.__new__(TableHandle)
        cdef bytes encoded = path.encode(), smallest = properties["smallest"], largest = properties["largest"]
        cdef uint64_t number = properties.get("number", 0)
        cdef uint64_t file_size = properties["file_size"], entry_count = properties["entry_count"]
        cdef uint64_t min_ts = properties["min_ts"], max_ts = properties["max_ts"]
        cdef uint32_t tombstone_count = properties["tombstone_count"]
        cdef const char *path_at = PyBytes_AsString(encoded)
        cdef const char *smallest_at = PyBytes_AsString(smallest)
        cdef const char *largest_at = PyBytes_AsString(largest)
        cdef size_t smallest_size = len(smallest), largest_size = len(largest)
        cdef int status
        self._owner = tables
        self.properties = properties
        with nogil:
            status = table_new(tables.tables, path_at, number, file_size, entry_count, min_ts, max_ts, smallest_at,
                               smallest_size, largest_at, largest_size, tombstone_count, &self.table)
        if status < 0:
            raise_status(status)
        self.table.base_ts = properties.get("base_ts", 0)
        return self

    def __dealloc__(self):
        table_release(self.table)

    @property
    def tombstones(self):
        """The range tombstones, as (start, stop, ts) tuples."""
        return [(PyBytes_FromStringAndSize(self.table.tombstones[i].start, self.table.tombstones[i].start_size),
                 PyBytes_FromStringAndSize(self.table.tombstones[i].stop, self.table.tombstones[i].stop_size),
                 self.table.tombstones[i].ts) for i in range(self.table.tombstone_count)]

    def delete_when_unused(self):
        """Remove the file once the last reader is through with it."""
        self.table.delete_on_free = True

    def is_shared(self):
        """Whether anyone else (a view that a reader holds) still refers to the table."""
        return relaxed_u32(&self.table.references) > 1

    def get(self, bytes key not None, uint64_t snapshot=UINT64_MAX, bint cached_only=False):
        """The newest version with ts <= `snapshot` as (ts, kind, value), or None.

        With `cached_only`, BlockingIOError tells that the answer takes a read from disk.
        """
        cdef Found found
        cdef const char *key_at = PyBytes_AsString(key)
        cdef size_t key_size = len(key)
        cdef Guard *guard = self.table.owner.guard
        cdef uint32_t token
        cdef int status
        with nogil:
            token = guard_enter(guard)
            status = table_get(self.table, key_at, key_size, key_hash(key_at, key_size), snapshot, not cached_only,
                               &found)
        try:
            if status == BUSY:
                raise BlockingIOError("the block is not cached")
            if status < 0:
                raise_status(status)
            if status == 0:
                return None
            return found.ts, found.kind, PyBytes_FromStringAndSize(found.value, found.value_size)
        finally:
            guard_exit(guard, token)

    def scan(self, bytes start=None, bint reverse=False):
        """All versions as (key, ts, kind, value), from the first key >= `start` on, or backwards from the last < it."""
        from phantomdb.core._ext.table_cursor import TableScan    # it stands above this module
        return TableScan([self]).run(start, reverse)
