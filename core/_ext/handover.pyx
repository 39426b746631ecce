"""Handover: what was cached of tables that a compaction replaced gets cached of the tables it made.

    replaced   [a..c][d..f]*[g..k]*[l..p]      * cached: some keys of each such block are looked up
    made       [a..e]*[f..j]*[k..p]*             in the new tables, and the blocks they are in get cached

Without it each compaction empties the cache of what it touched, and readers fill it again one miss at a
time. The old block leaves the cache when the new one enters, so that the budget holds no pair of both.
"""
from libc.stdint cimport UINT32_MAX, uint32_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from .block cimport BlockEntry, BlockHeader, block_entry, block_prefix, block_prefix_size
from .cache cimport cache_drop
from .cursor cimport Cursor
from .frames cimport Frame, frame_release, frame_retain
from .guard cimport guard_enter, guard_exit
from .platform cimport load_ptr
from .status cimport OK
from .table cimport Table, TableHandle, TableReader
from .table_cursor cimport tables_cursor
from .table_format cimport Buffer, buffer_free, buffer_reserve


cdef enum:
    KEYS_OF_A_BLOCK = 5              # a block of a sparse table covers several of the new ones


cdef int _seek_entry(Cursor *cursor, const char *block, uint32_t index, Buffer *key) noexcept nogil:
    cdef size_t prefix_size = block_prefix_size(block)
    cdef BlockEntry entry
    cdef int status
    block_entry(block, index, &entry)
    status = buffer_reserve(key, prefix_size + entry.suffix_size)
    if status < 0:
        return status
    memcpy(key.data, block_prefix(block), prefix_size)
    memcpy(key.data + prefix_size, entry.suffix, entry.suffix_size)
    return cursor.seek(cursor, key.data, prefix_size + entry.suffix_size)


# The caller holds references on table and cursor; the table's reader cannot change while we are in the guard.
cdef int _hand_over_block(Table *table, uint32_t number, Cursor *cursor, Buffer *key, bint *found) noexcept nogil:
    cdef uint32_t token = guard_enter(table.owner.guard)
    cdef TableReader *reader = <TableReader *> load_ptr(<void **> &table.reader)
    cdef Frame *frame = NULL
    cdef uint32_t count, i
    cdef int status = OK
    found[0] = reader != NULL and number < reader.block_count
    if found[0]:
        frame = <Frame *> load_ptr(<void **> &reader.frames[number])
    if frame != NULL:
        frame_retain(frame)
        cache_drop(reader.cache, &reader.frames[number], 1)
    guard_exit(table.owner.guard, token)
    if frame != NULL:
        count = (<const BlockHeader *> frame.data).entry_count
        for i in range(KEYS_OF_A_BLOCK if count > 1 else count):
            if status >= 0:          # the first, the last, and others spread evenly between them
                status = _seek_entry(cursor, frame.data, i * (count - 1) // (KEYS_OF_A_BLOCK - 1), key)
        frame_release(frame)
    return status


def hand_over(TableHandle replaced not None, list made not None):
    """Caches of the tables `made` (ascending, disjoint) what is cached of `replaced`, which new readers no longer
    see. Advice: where a block cannot be read it stops in silence, and whoever needs that block gets the error."""
    cdef Table **tables = <Table **> malloc((len(made) + 1) * sizeof(Table *))
    cdef TableHandle handle
    cdef Cursor *cursor
    cdef Buffer key
    cdef uint32_t number = 0
    cdef size_t count = 0
    cdef bint found = True
    cdef int status = OK
    if tables == NULL:
        raise MemoryError()
    for handle in made:
        tables[count] = handle.table
        count += 1
    key.data = NULL
    key.size = key.capacity = 0
    with nogil:
        cursor = tables_cursor(tables, count, UINT32_MAX, 0)
        while cursor != NULL and found and status >= 0:
            status = _hand_over_block(replaced.table, number, cursor, &key, &found)
            number += 1
        if cursor != NULL:
            cursor.free(cursor)
        buffer_free(&key)
        free(tables)
