"""Cursors driven from Python, move by move: how tests and debugging sessions look at merges and reads.

A source is a list of (key, ts, kind, value) rows in memory. Its cursor is stricter than the real
ones: the row it stood on is overwritten as soon as it moves, so that whoever keeps a borrowed row too
long reads rubbish; it counts its moves, so that a test can tell a seek from a thousand steps; and
after `fail_after` moves it fails, so that every path of errors can be walked.
"""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from .cursor cimport Cursor, RangeTombstone, compare_keys
from .merge cimport ReadCursor, merge_cursor, read_cursor_free, read_cursor_new, read_cursor_next
from .status cimport IO_ERROR, NO_MEMORY, fail, raise_status

cdef enum:
    NO_LIMIT = 0xFFFFFFFFFFFFFFFF


cdef struct ArrayRow:
    const char *key                  # both in Python objects that the probe keeps
    const char *value
    uint32_t key_size
    uint32_t value_size
    uint64_t ts
    int kind

cdef struct Tally:                   # shared by all array cursors of a probe
    uint64_t moves
    uint64_t fail_after

cdef struct ArrayCursor:
    Cursor row                       # first, so that an ArrayCursor * is a Cursor *
    ArrayRow *rows
    size_t count
    size_t at                        # `count` when not on a row
    Tally *tally
    char *shown                      # copy of the current row's key and value
    size_t shown_size


cdef int _show(ArrayCursor *cursor, size_t at) noexcept nogil:
    """Stands on row `at`; `count` or beyond (also -1, as an unsigned number) is the end."""
    cdef ArrayRow *row = cursor.rows + at
    memset(cursor.shown, 0xDD, cursor.shown_size)
    cursor.row.ts = <uint64_t> 0xDDDDDDDDDDDDDDDD
    cursor.at = cursor.count
    cursor.tally.moves += 1
    if cursor.tally.moves > cursor.tally.fail_after:
        return fail(IO_ERROR, "the probe was told to fail here", NULL, <uint64_t> NO_LIMIT)
    if at >= cursor.count:
        return 0
    cursor.at = at
    memcpy(cursor.shown, row.key, row.key_size)
    memcpy(cursor.shown + row.key_size, row.value, row.value_size)
    cursor.row.key = cursor.shown
    cursor.row.value = cursor.shown + row.key_size
    cursor.row.key_size = row.key_size
    cursor.row.value_size = row.value_size
    cursor.row.ts = row.ts
    cursor.row.kind = row.kind
    return 1


cdef size_t _first_at_least(ArrayCursor *cursor, const char *key, size_t key_size) noexcept nogil:
    cdef size_t low = 0, high = cursor.count, middle
    while low < high:
        middle = (low + high) // 2
        if compare_keys(cursor.rows[middle].key, cursor.rows[middle].key_size, key, key_size) < 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef int _array_seek_first(Cursor *self) noexcept nogil:
    return _show(<ArrayCursor *> self, 0)

cdef int _array_seek_last(Cursor *self) noexcept nogil:
    return _show(<ArrayCursor *> self, (<ArrayCursor *> self).count - 1)

cdef int _array_seek(Cursor *self, const char *key, size_t key_size) noexcept nogil:
    return _show(<ArrayCursor *> self, _first_at_least(<ArrayCursor *> self, key, key_size))

cdef int _array_seek_before(Cursor *self, const char *key, size_t key_size) noexcept nogil:
    return _show(<ArrayCursor *> self, _first_at_least(<ArrayCursor *> self, key, key_size) - 1)

cdef int _array_next(Cursor *self) noexcept nogil:
    return _show(<ArrayCursor *> self, (<ArrayCursor *> self).at + 1)

cdef int _array_previous(Cursor *self) noexcept nogil:
    return _show(<ArrayCursor *> self, (<ArrayCursor *> self).at - 1)

cdef void _array_free(Cursor *self) noexcept nogil:
    free((<ArrayCursor *> self).rows)
    free((<ArrayCursor *> self).shown)
    free(self)


cdef Cursor *_array_cursor(list rows, Tally *tally) except? NULL:
    """The rows must be in order, and outlive the cursor."""
    cdef ArrayCursor *cursor = <ArrayCursor *> malloc(sizeof(ArrayCursor))
    cdef ArrayRow *row
    cdef bytes key, value
    cdef Py_ssize_t i
    if cursor == NULL:
        raise MemoryError
    memset(cursor, 0, sizeof(ArrayCursor))
    cursor.rows = <ArrayRow *> malloc((len(rows) + 1) * sizeof(ArrayRow))
    cursor.count = cursor.at = len(rows)
    cursor.tally = tally
    for i in range(len(rows)):
        row = cursor.rows + i
        key, ts, kind, value = rows[i]
        row.key = key
        row.key_size = <uint32_t> len(key)
        row.value = value
        row.value_size = <uint32_t> len(value)
        row.ts = ts
        row.kind = kind
        if row.key_size + row.value_size > cursor.shown_size:
            cursor.shown_size = row.key_size + row.value_size
    cursor.shown = <char *> malloc(cursor.shown_size + 1)
    cursor.row.seek_first = _array_seek_first
    cursor.row.seek_last = _array_seek_last
    cursor.row.seek = _array_seek
    cursor.row.seek_before = _array_seek_before
    cursor.row.next = _array_next
    cursor.row.previous = _array_previous
    cursor.row.free = _array_free
    return &cursor.row


cdef Cursor *_merged(list sources, Tally *tally) except? NULL:
    cdef Cursor **cursors = <Cursor **> malloc((len(sources) + 1) * sizeof(Cursor *))
    cdef Cursor *merged
    cdef Py_ssize_t i
    for i in range(len(sources)):
        cursors[i] = _array_cursor(sources[i], tally)
    merged = merge_cursor(cursors, len(sources))
    free(cursors)
    if merged == NULL:
        raise MemoryError
    return merged


@cython.final
cdef class CursorProbe:
    """A cursor over the merge of `sources`; each move returns (key, ts, kind, value), or None at the end."""
    cdef Cursor *cursor
    cdef Tally tally
    cdef list sources

    def __cinit__(self, list sources, *, fail_after=None):
        self.sources = sources
        self.tally.moves = 0
        self.tally.fail_after = <uint64_t> NO_LIMIT if fail_after is None else fail_after
        self.cursor = _merged(sources, &self.tally)

    def __dealloc__(self):
        if self.cursor != NULL:
            self.cursor.free(self.cursor)

    cdef object _row(self, int moved):
        if moved < 0:
            raise_status(moved)
        if moved == 0:
            return None
        return (self.cursor.key[:self.cursor.key_size], self.cursor.ts, self.cursor.kind,
                self.cursor.value[:self.cursor.value_size])

    @property
    def moves(self):
        """Moves made by all sources so far."""
        return self.tally.moves

    def first(self):
        """To the first row."""
        return self._row(self.cursor.seek_first(self.cursor))

    def last(self):
        """To the last row."""
        return self._row(self.cursor.seek_last(self.cursor))

    def seek(self, bytes key not None):
        """To the first row whose key is `key` or after it."""
        return self._row(self.cursor.seek(self.cursor, key, len(key)))

    def seek_before(self, bytes key not None):
        """To the last row whose key is before `key`."""
        return self._row(self.cursor.seek_before(self.cursor, key, len(key)))

    def next(self):
        """To the row after the current one."""
        return self._row(self.cursor.next(self.cursor))

    def previous(self):
        """To the row before the current one."""
        return self._row(self.cursor.previous(self.cursor))


def read_rows(list sources not None, uint64_t snapshot, *, tombstones=(), bytes start=None, bytes stop=None,
              bint reverse=False, fail_after=None):
    """The rows a reader sees at `snapshot`, as (key, ts, kind, value), and how many moves that took.

    `tombstones` are (start, stop, ts).
    """
    cdef Tally tally
    cdef ReadCursor *reader
    cdef RangeTombstone *ranges
    cdef list kept = list(tombstones), rows = []
    cdef bytes low, high
    cdef Py_ssize_t i
    cdef int moved
    tally.moves = 0
    tally.fail_after = <uint64_t> NO_LIMIT if fail_after is None else fail_after
    ranges = <RangeTombstone *> malloc((len(kept) + 1) * sizeof(RangeTombstone))
    for i in range(len(kept)):
        low, high, ts = kept[i]
        ranges[i].start = low
        ranges[i].start_size = <uint32_t> len(low)
        ranges[i].stop = high
        ranges[i].stop_size = <uint32_t> len(high)
        ranges[i].ts = ts
    reader = read_cursor_new(_merged(sources, &tally), snapshot, ranges, len(kept),
                             NULL if start is None else PyBytes_AS_STRING(start), 0 if start is None else len(start),
                             NULL if stop is None else PyBytes_AS_STRING(stop), 0 if stop is None else len(stop),
                             reverse)
    try:
        if reader == NULL:
            raise_status(NO_MEMORY)
        while True:
            moved = read_cursor_next(reader)
            if moved != 1:
                break
            rows.append((reader.key[:reader.key_size], reader.ts, reader.kind, reader.value[:reader.value_size]))
        if moved < 0:
            raise_status(moved)
        return rows, tally.moves
    finally:
        read_cursor_free(reader)
        free(ranges)
