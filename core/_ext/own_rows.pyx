"""A transaction reads its own writes: a sorted copy of them, laid over the committed rows.

Committed timestamps are even and a transaction reads at (snapshot + 1), a timestamp only its own rows
carry, so the ordinary rule of visibility puts them on top. A copy, because the scan must not move
under the program that writes while it reads (as in PostgreSQL, a scan sees what was there when it began).
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from .block cimport KIND_DELETE
from .census cimport OWN_ROWS, count_birth, count_death
from .cursor cimport Cursor, compare_keys
from .status cimport NO_MEMORY, NO_OFFSET, fail
from .write_set cimport WriteSet, write_set_count, write_set_cursor

cdef struct OwnRow:
    size_t key_offset                # in `bytes`; the value follows the key
    uint32_t key_size
    uint32_t value_size
    int kind

cdef struct OwnRows:
    Cursor cursor                    # first: a pointer to it is a pointer to the whole
    OwnRow *rows
    size_t count
    size_t capacity
    char *bytes
    size_t bytes_size
    size_t bytes_capacity
    size_t position


cdef int _stand(OwnRows *self, size_t position) noexcept nogil:
    cdef OwnRow *row
    self.position = position
    if position >= self.count:
        return 0
    row = &self.rows[position]
    self.cursor.key = self.bytes + row.key_offset
    self.cursor.key_size = row.key_size
    self.cursor.value = self.cursor.key + row.key_size
    self.cursor.value_size = row.value_size
    self.cursor.kind = row.kind
    return 1


cdef size_t _lower_bound(OwnRows *self, const char *key, size_t key_size) noexcept nogil:
    cdef size_t low = 0, high = self.count, middle
    while low < high:
        middle = (low + high) >> 1
        if compare_keys(self.bytes + self.rows[middle].key_offset, self.rows[middle].key_size, key, key_size) < 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef int _seek_first(Cursor *cursor) noexcept nogil:
    return _stand(<OwnRows *> cursor, 0)


cdef int _seek_last(Cursor *cursor) noexcept nogil:
    cdef OwnRows *self = <OwnRows *> cursor
    return _stand(self, self.count - 1)                     # of an empty set: past the end


cdef int _seek(Cursor *cursor, const char *key, size_t key_size) noexcept nogil:
    cdef OwnRows *self = <OwnRows *> cursor
    return _stand(self, _lower_bound(self, key, key_size))


cdef int _seek_before(Cursor *cursor, const char *key, size_t key_size) noexcept nogil:
    cdef OwnRows *self = <OwnRows *> cursor
    return _stand(self, _lower_bound(self, key, key_size) - 1)


cdef int _next(Cursor *cursor) noexcept nogil:
    cdef OwnRows *self = <OwnRows *> cursor
    return _stand(self, self.position + 1)


cdef int _previous(Cursor *cursor) noexcept nogil:
    cdef OwnRows *self = <OwnRows *> cursor
    return _stand(self, self.position - 1)


cdef void _free(Cursor *cursor) noexcept nogil:
    cdef OwnRows *self = <OwnRows *> cursor
    free(self.rows)
    free(self.bytes)
    free(self)
    count_death(OWN_ROWS)


cdef int _append(OwnRows *self, const Cursor *source, int kind) noexcept nogil:
    cdef size_t needed = source.key_size + (source.value_size if kind != KIND_DELETE else 0)
    cdef size_t capacity
    cdef OwnRow *rows
    cdef char *grown
    if self.count == self.capacity:
        capacity = self.capacity * 2 + 16
        rows = <OwnRow *> realloc(self.rows, capacity * sizeof(OwnRow))
        if rows == NULL:
            return NO_MEMORY
        self.rows, self.capacity = rows, capacity
    if self.bytes_size + needed > self.bytes_capacity:
        capacity = (self.bytes_size + needed) * 2 + 256
        grown = <char *> realloc(self.bytes, capacity)
        if grown == NULL:
            return NO_MEMORY
        self.bytes, self.bytes_capacity = grown, capacity
    rows = &self.rows[self.count]
    rows.key_offset, rows.key_size, rows.kind = self.bytes_size, source.key_size, kind
    rows.value_size = source.value_size if kind != KIND_DELETE else 0
    memcpy(self.bytes + self.bytes_size, source.key, source.key_size)
    memcpy(self.bytes + self.bytes_size + source.key_size, source.value, rows.value_size)
    self.bytes_size += needed
    self.count += 1
    return 0


cdef int _gather(OwnRows *self, Cursor *source, const char *start, size_t start_size, const char *stop,
                 size_t stop_size) noexcept nogil:
    """The last write of each key of the range, in key order. Range deletes need no look: one that met an own write
    has put a delete of that key behind it."""
    cdef OwnRow *last
    cdef int moved = source.seek(source, start, start_size)
    while moved == 1:
        if stop != NULL and compare_keys(source.key, source.key_size, stop, stop_size) >= 0:
            break
        last = &self.rows[self.count - 1] if self.count else NULL
        if last == NULL or compare_keys(self.bytes + last.key_offset, last.key_size, source.key, source.key_size) != 0:
            if _append(self, source, source.kind) < 0:
                return fail(NO_MEMORY, "own writes", NULL, <uint64_t> NO_OFFSET)
        moved = source.next(source)
    return moved if moved < 0 else 0


cdef int own_rows_cursor(WriteSet *writes, const char *start, size_t start_size, const char *stop, size_t stop_size,
                         uint64_t ts, Cursor **out) noexcept nogil:
    cdef OwnRows *self
    cdef Cursor *source
    cdef int status
    out[0] = NULL
    if write_set_count(writes) == 0:
        return 0
    status = write_set_cursor(writes, &source)
    if status < 0:
        return status
    self = <OwnRows *> calloc(1, sizeof(OwnRows))
    if self == NULL:
        source.free(source)
        return fail(NO_MEMORY, "own writes", NULL, <uint64_t> NO_OFFSET)
    count_birth(OWN_ROWS)
    self.cursor.ts = ts
    self.cursor.seek_first = _seek_first
    self.cursor.seek_last = _seek_last
    self.cursor.seek = _seek
    self.cursor.seek_before = _seek_before
    self.cursor.next = _next
    self.cursor.previous = _previous
    self.cursor.free = _free
    status = _gather(self, source, start, start_size, stop, stop_size)
    source.free(source)
    if status < 0 or self.count == 0:
        _free(&self.cursor)
        return status
    out[0] = &self.cursor
    return 0
