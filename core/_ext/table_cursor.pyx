"""A cursor over sorted tables: one table, or a level of them end to end.

    table 0                table 1                        one reader open at a time
    [blk][blk][blk] -----> [blk][blk][blk][blk] ---->
          ^ one frame held, decoded view of it in the cursor

A block's common prefix is copied into the key buffer when the cursor enters the block; a step inside
the block copies the suffix behind it and no more.

Blocks come from the cache where they are in it. Others are put there while the budget `fill_cache`
lasts; after that they are private, so that a long scan leaves the cache as it was. Such scans go
through a window: when a block is entered next to the last one, what follows it is read along.

A search goes top index -> partition -> block. Keys in the indexes may be cut short (table_writer.pyx
tells why that is safe), so the block found may be one too early; then the search walks on.
"""
cimport cython
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from .block cimport BlockEntry, BlockHeader, block_descriptors, block_entry, block_prefix, block_prefix_size, block_seek
from .cache cimport cache_insert
from .census cimport TABLE_CURSOR, count_birth, count_death
from .cursor cimport Cursor, compare_keys
from .files cimport file_pread_exact
from .frames cimport Frame, frame_release, frame_retain, frame_touch
from .guard cimport guard_enter, guard_exit
from .platform cimport get_u32, load_ptr, prefetch
from .status cimport CORRUPTION, NO_MEMORY, NO_OFFSET, OK, fail, raise_status
from .table cimport (Table, TableHandle, TableReader, count_block_read, table_open_reader)
from .table_format cimport INDEX_KEY_BYTES, Buffer, buffer_free, buffer_reserve
from .table_reader cimport reader_read_block, reader_release, reader_unpack_block

cdef enum:
    COPIED_AT_A_TIME = 16
    LINE_BYTES = 64
    PREFETCHED_BYTES = 4096          # of a block


cdef struct TablesCursor:
    Cursor row                       # first, so that a TablesCursor * is a Cursor *
    Table **tables                   # borrowed, the array and what it points to
    size_t count
    size_t position                  # of the table whose reader is open
    TableReader *reader              # NULL: none
    Frame *frame                     # retained; NULL: the cursor stands nowhere
    uint32_t block_number
    uint32_t entry
    # what a step needs of the frame
    uint32_t entry_count
    uint32_t payload_size
    uint32_t prefix_size
    uint32_t ts_width
    uint64_t ts_base
    const uint32_t *descriptors
    const char *ts_deltas
    const char *payload
    Buffer key
    uint32_t fill_left
    size_t readahead_bytes
    uint32_t last_block              # entered last in this table; NOWHERE when none
    Buffer window
    uint64_t window_offset           # in the file of the reader

cdef enum:
    NOWHERE = 0xFFFFFFFF


# ---- frames

cdef int _fill_window(TablesCursor *cursor, uint32_t number) noexcept nogil:
    cdef uint64_t start = cursor.reader.offsets[number], end = cursor.reader.offsets[number + 1]
    cdef uint64_t limit = cursor.reader.offsets[cursor.reader.block_count], ahead = cursor.readahead_bytes
    cdef int status
    if end - start >= ahead:
        pass                                         # a block larger than the window
    elif number + 1 == cursor.last_block:            # going backwards
        start = end - ahead if end > ahead else 0
    else:
        end = start + ahead if start + ahead < limit else limit
    cursor.window.size = 0
    status = buffer_reserve(&cursor.window, end - start)
    if status >= 0:
        status = file_pread_exact(cursor.reader.file, cursor.window.data, end - start, start)
    if status < 0:
        return status
    cursor.window_offset = start
    cursor.window.size = end - start
    return OK


cdef int _read_block(TablesCursor *cursor, uint32_t number, Frame **out) noexcept nogil:
    cdef TableReader *reader = cursor.reader
    cdef uint64_t start = reader.offsets[number], end = reader.offsets[number + 1]
    cdef bint adjacent = number == cursor.last_block + 1 or number + 1 == cursor.last_block
    cdef bint covered = start >= cursor.window_offset and end <= cursor.window_offset + cursor.window.size
    cdef int status
    count_block_read(cursor.tables[cursor.position].owner, reader, number)
    if not covered and (cursor.readahead_bytes == 0 or not adjacent or cursor.last_block == <uint32_t> NOWHERE):
        return reader_read_block(reader, number, out)
    if not covered:
        status = _fill_window(cursor, number)
        if status < 0:
            return status
    return reader_unpack_block(reader, number, cursor.window.data + (start - cursor.window_offset), out)


# The frame of a block with one reference; index partitions are always worth caching.
cdef int _take_frame(TablesCursor *cursor, uint32_t number, Frame **out) noexcept nogil:
    cdef TableReader *reader = cursor.reader
    cdef bint is_index = number >= reader.block_count
    cdef uint32_t token = guard_enter(cursor.tables[cursor.position].owner.guard)
    cdef Frame *frame = <Frame *> load_ptr(<void **> &reader.frames[number])
    cdef int status
    if frame != NULL:
        frame_retain(frame)
    guard_exit(cursor.tables[cursor.position].owner.guard, token)
    if frame == NULL:
        status = reader_read_block(reader, number, &frame) if is_index else _read_block(cursor, number, &frame)
        if status < 0:
            return status
        if is_index or cursor.fill_left:
            cursor.fill_left -= not is_index
            frame = cache_insert(reader.cache, &reader.frames[number], frame)
    elif is_index or cursor.fill_left:
        frame_touch(frame)               # a scan beyond its budget does not mark what it passes
    out[0] = frame
    return OK


cdef inline void _leave_block(TablesCursor *cursor) noexcept nogil:
    frame_release(cursor.frame)
    cursor.frame = NULL


cdef int _damaged(TablesCursor *cursor, const char *message, uint32_t number) noexcept nogil:
    return fail(CORRUPTION, message, cursor.tables[cursor.position].path, cursor.reader.offsets[number])


cdef int _enter_block(TablesCursor *cursor, uint32_t number) noexcept nogil:
    cdef Frame *frame = NULL
    cdef const BlockHeader *header
    cdef int status
    if cursor.frame != NULL and cursor.block_number == number:
        return OK
    _leave_block(cursor)
    status = _take_frame(cursor, number, &frame)
    if status < 0:
        return status
    header = <const BlockHeader *> frame.data
    cursor.prefix_size = block_prefix_size(frame.data)
    cursor.key.size = 0
    if header.entry_count == 0:
        status = _damaged(cursor, "a data block is empty", number)
    else:
        status = buffer_reserve(&cursor.key, <size_t> cursor.prefix_size + header.longest_suffix + COPIED_AT_A_TIME)
    if status < 0:
        frame_release(frame)
        return status
    memcpy(cursor.key.data, block_prefix(frame.data), cursor.prefix_size)
    cursor.row.key = cursor.key.data
    cursor.frame = frame
    cursor.block_number = number
    cursor.last_block = number
    cursor.entry_count = header.entry_count
    cursor.payload_size = header.payload_size
    cursor.payload = frame.data + header.payload_offset
    cursor.descriptors = block_descriptors(frame.data)
    cursor.ts_deltas = <const char *> (cursor.descriptors + header.entry_count)
    cursor.ts_width = header.ts_width
    cursor.ts_base = cursor.tables[cursor.position].base_ts + header.ts_base
    return OK


# Most suffixes are short: where 16 bytes can be read, a copy of constant size spares the call.
cdef inline void _copy_suffix(TablesCursor *cursor, const char *suffix, uint32_t size) noexcept nogil:
    cdef char *target = cursor.key.data + cursor.prefix_size
    if size <= COPIED_AT_A_TIME and suffix + COPIED_AT_A_TIME <= cursor.payload + cursor.payload_size:
        memcpy(target, suffix, COPIED_AT_A_TIME)             # the key buffer has room for it
    else:
        memcpy(target, suffix, size)


cdef int _show(TablesCursor *cursor, uint32_t entry) noexcept nogil:
    cdef uint32_t descriptor = cursor.descriptors[entry]
    cdef uint32_t start = descriptor & 0xFFFF, end = cursor.payload_size
    cdef uint32_t suffix_size = descriptor >> 18
    cdef uint32_t i
    cdef uint64_t delta = 0
    cdef const char *p = cursor.ts_deltas + <size_t> entry * cursor.ts_width
    if entry + 1 < cursor.entry_count:
        end = cursor.descriptors[entry + 1] & 0xFFFF
    for i in range(cursor.ts_width):
        delta |= <uint64_t> <uint8_t> p[i] << (8 * i)
    _copy_suffix(cursor, cursor.payload + start, suffix_size)
    cursor.entry = entry
    cursor.row.key_size = cursor.prefix_size + suffix_size
    cursor.row.value = cursor.payload + start + suffix_size
    cursor.row.value_size = end - start - suffix_size
    cursor.row.ts = cursor.ts_base + delta
    cursor.row.kind = (descriptor >> 16) & 3
    return 1


# ---- tables

cdef void _close_table(TablesCursor *cursor) noexcept nogil:
    _leave_block(cursor)
    reader_release(cursor.reader)
    cursor.reader = NULL
    cursor.last_block = <uint32_t> NOWHERE
    cursor.window.size = 0


cdef int _open_table(TablesCursor *cursor, size_t position) noexcept nogil:
    if cursor.reader != NULL and cursor.position == position:
        return OK
    _close_table(cursor)
    cursor.position = position
    return table_open_reader(cursor.tables[position], &cursor.reader)


# Stands on the first entry of table `position`, or of the next one that has any.
cdef int _first_from(TablesCursor *cursor, size_t position) noexcept nogil:
    cdef int status
    while position < cursor.count:
        status = _open_table(cursor, position)
        if status < 0:
            return status
        if cursor.reader.block_count > 0:
            status = _enter_block(cursor, 0)
            return status if status < 0 else _show(cursor, 0)
        position += 1
    _leave_block(cursor)
    return 0


# Stands on the last entry of the last table before `position` that has any.
cdef int _last_before(TablesCursor *cursor, size_t position) noexcept nogil:
    cdef int status
    while position > 0:
        position -= 1
        status = _open_table(cursor, position)
        if status < 0:
            return status
        if cursor.reader.block_count > 0:
            status = _enter_block(cursor, cursor.reader.block_count - 1)
            return status if status < 0 else _show(cursor, cursor.entry_count - 1)
    _leave_block(cursor)
    return 0


# First table that may have a key >= `key`, or `count`.
cdef size_t _find_table(const TablesCursor *cursor, const char *key, size_t key_size) noexcept nogil:
    cdef size_t low = 0, high = cursor.count, middle
    while low < high:
        middle = (low + high) >> 1
        if compare_keys(cursor.tables[middle].largest, cursor.tables[middle].largest_size, key, key_size) < 0:
            low = middle + 1
        else:
            high = middle
    return low


# The first block of the open table that may have a key >= `key`, or block_count.
cdef int _find_block(TablesCursor *cursor, const char *key, size_t key_size, uint32_t *number) noexcept nogil:
    cdef TableReader *reader = cursor.reader
    cdef size_t top_size = reader.footer.top_key_limit
    cdef uint32_t partition = block_seek(reader.top_index, key, key_size if key_size < top_size else top_size)
    cdef uint32_t index
    cdef Frame *frame = NULL
    cdef BlockEntry entry
    cdef int status
    number[0] = reader.block_count
    while partition < reader.index_block_count:
        status = _take_frame(cursor, reader.block_count + partition, &frame)
        if status < 0:
            return status
        index = block_seek(frame.data, key, key_size if key_size < INDEX_KEY_BYTES else INDEX_KEY_BYTES)
        if index < (<BlockHeader *> frame.data).entry_count:
            block_entry(frame.data, index, &entry)
            if entry.value_size == 4:
                number[0] = get_u32(entry.value)
            frame_release(frame)
            if number[0] >= reader.block_count:
                return _damaged(cursor, "an index partition names a wrong block", reader.block_count + partition)
            return OK
        frame_release(frame)
        partition += 1
    return OK


# A search jumps about in the block, each jump a wait for memory, and what follows reads it line by line: to
# fetch all lines at once costs little more than one.
cdef inline void _prefetch_block(const Frame *frame) noexcept nogil:
    cdef size_t at = LINE_BYTES, end = frame.size
    if end > PREFETCHED_BYTES:
        end = PREFETCHED_BYTES
    while at < end:
        prefetch(frame.data + at)
        at += LINE_BYTES


# 1: stands on the first entry of the open table with a key >= `key`. 0: it has none.
cdef int _seek_in_table(TablesCursor *cursor, const char *key, size_t key_size) noexcept nogil:
    cdef uint32_t number = 0, index
    cdef int status = _find_block(cursor, key, key_size, &number)
    while status >= 0 and number < cursor.reader.block_count:
        status = _enter_block(cursor, number)
        if status < 0:
            break
        _prefetch_block(cursor.frame)
        index = block_seek(cursor.frame.data, key, key_size)
        if index < cursor.entry_count:
            return _show(cursor, index)
        number += 1
    return status


# ---- moves

cdef int _settle(TablesCursor *cursor, int moved) noexcept nogil:
    if moved < 0:
        _leave_block(cursor)
    return moved


cdef int _seek_first(Cursor *self) noexcept nogil:
    cdef TablesCursor *cursor = <TablesCursor *> self
    return _settle(cursor, _first_from(cursor, 0))


cdef int _seek_last(Cursor *self) noexcept nogil:
    cdef TablesCursor *cursor = <TablesCursor *> self
    return _settle(cursor, _last_before(cursor, cursor.count))


cdef int _seek(Cursor *self, const char *key, size_t key_size) noexcept nogil:
    cdef TablesCursor *cursor = <TablesCursor *> self
    cdef size_t position = _find_table(cursor, key, key_size)
    cdef int moved
    if position == cursor.count:
        _leave_block(cursor)
        return 0
    moved = _open_table(cursor, position)
    if moved >= 0:
        moved = _seek_in_table(cursor, key, key_size)
    if moved == 0:                       # between this table's keys and the next's
        moved = _first_from(cursor, position + 1)
    return _settle(cursor, moved)


cdef int _seek_before(Cursor *self, const char *key, size_t key_size) noexcept nogil:
    cdef TablesCursor *cursor = <TablesCursor *> self
    cdef size_t position = _find_table(cursor, key, key_size)
    cdef int moved
    if position == cursor.count:
        return _settle(cursor, _last_before(cursor, cursor.count))
    moved = _open_table(cursor, position)
    if moved >= 0:
        moved = _seek_in_table(cursor, key, key_size)
    if moved == 1:
        return _previous(self)
    if moved == 0:
        moved = _last_before(cursor, position + 1)
    return _settle(cursor, moved)


cdef int _next(Cursor *self) noexcept nogil:
    cdef TablesCursor *cursor = <TablesCursor *> self
    cdef int status
    if cursor.frame == NULL:
        return 0
    if cursor.entry + 1 < cursor.entry_count:
        return _show(cursor, cursor.entry + 1)
    if cursor.block_number + 1 < cursor.reader.block_count:
        status = _enter_block(cursor, cursor.block_number + 1)
        return _settle(cursor, status) if status < 0 else _show(cursor, 0)
    return _settle(cursor, _first_from(cursor, cursor.position + 1))


cdef int _previous(Cursor *self) noexcept nogil:
    cdef TablesCursor *cursor = <TablesCursor *> self
    cdef int status
    if cursor.frame == NULL:
        return 0
    if cursor.entry > 0:
        return _show(cursor, cursor.entry - 1)
    if cursor.block_number > 0:
        status = _enter_block(cursor, cursor.block_number - 1)
        return _settle(cursor, status) if status < 0 else _show(cursor, cursor.entry_count - 1)
    return _settle(cursor, _last_before(cursor, cursor.position))


cdef void _free(Cursor *self) noexcept nogil:
    cdef TablesCursor *cursor = <TablesCursor *> self
    _close_table(cursor)
    buffer_free(&cursor.key)
    buffer_free(&cursor.window)
    free(cursor)
    count_death(TABLE_CURSOR)


cdef Cursor *tables_cursor(Table **tables, size_t count, uint32_t fill_cache, size_t readahead_bytes) noexcept nogil:
    cdef TablesCursor *cursor = <TablesCursor *> calloc(1, sizeof(TablesCursor))
    if cursor == NULL:
        fail(NO_MEMORY, "no memory for a cursor", NULL, <uint64_t> NO_OFFSET)
        return NULL
    cursor.tables = tables
    cursor.count = count
    cursor.fill_left = fill_cache
    cursor.readahead_bytes = readahead_bytes
    cursor.last_block = <uint32_t> NOWHERE
    cursor.row.seek_first = _seek_first
    cursor.row.seek_last = _seek_last
    cursor.row.seek = _seek
    cursor.row.seek_before = _seek_before
    cursor.row.next = _next
    cursor.row.previous = _previous
    cursor.row.free = _free
    count_birth(TABLE_CURSOR)
    return &cursor.row


# ---- Python face

@cython.final
@cython.no_gc_clear
cdef class TableScan:
    """A cursor over all versions in tables with ascending, disjoint ranges; for one thread at a time.

    Each move returns (key, ts, kind, value), or None when there is nothing.
    """
    cdef Cursor *cursor
    cdef Table **array
    cdef tuple _tables                   # keeps those in `array`

    def __cinit__(self, tables, uint32_t fill_cache=0, size_t readahead_bytes=0):
        cdef TableHandle handle
        cdef size_t i = 0
        self._tables = tuple(tables)
        self.array = <Table **> malloc((len(self._tables) + 1) * sizeof(Table *))
        if self.array == NULL:
            raise MemoryError
        for handle in self._tables:
            self.array[i] = handle.table
            i += 1
        self.cursor = tables_cursor(self.array, i, fill_cache, readahead_bytes)
        if self.cursor == NULL:
            raise_status(NO_MEMORY)

    def __dealloc__(self):
        if self.cursor != NULL:
            self.cursor.free(self.cursor)
        free(self.array)

    cdef object _entry(self, int moved):
        if moved < 0:
            raise_status(moved)
        if moved == 0:
            return None
        return (PyBytes_FromStringAndSize(self.cursor.key, self.cursor.key_size), self.cursor.ts, self.cursor.kind,
                PyBytes_FromStringAndSize(self.cursor.value, self.cursor.value_size))

    def first(self):
        """To the first entry."""
        cdef int moved
        with nogil:
            moved = self.cursor.seek_first(self.cursor)
        return self._entry(moved)

    def last(self):
        """To the last entry."""
        cdef int moved
        with nogil:
            moved = self.cursor.seek_last(self.cursor)
        return self._entry(moved)

    def seek(self, bytes key not None):
        """To the first entry whose key is `key` or after it."""
        cdef const char *key_at = PyBytes_AsString(key)
        cdef size_t key_size = len(key)
        cdef int moved
        with nogil:
            moved = self.cursor.seek(self.cursor, key_at, key_size)
        return self._entry(moved)

    def seek_before(self, bytes key not None):
        """To the last entry whose key is before `key`."""
        cdef const char *key_at = PyBytes_AsString(key)
        cdef size_t key_size = len(key)
        cdef int moved
        with nogil:
            moved = self.cursor.seek_before(self.cursor, key_at, key_size)
        return self._entry(moved)

    def next(self):
        """To the entry after the current one."""
        cdef int moved
        with nogil:
            moved = self.cursor.next(self.cursor)
        return self._entry(moved)

    def previous(self):
        """To the entry before the current one."""
        cdef int moved
        with nogil:
            moved = self.cursor.previous(self.cursor)
        return self._entry(moved)

    def run(self, bytes start=None, bint reverse=False):
        """Iterate from the first entry >= `start` (or the first of all), or backwards from the last < `start`."""
        if reverse:
            entry = self.last() if start is None else self.seek_before(start)
        else:
            entry = self.first() if start is None else self.seek(start)
        while entry is not None:
            yield entry
            entry = self.previous() if reverse else self.next()
