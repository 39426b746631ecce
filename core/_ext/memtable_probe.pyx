"""Memtables driven from Python: a cursor move by move, and loops without the GIL for tests and measurements.

`fill` inserts numbered entries whose value follows from the key and the timestamp, so that `probe`, in
other threads and at the same time, can tell a right answer from a wrong one without asking anybody.
"""
cimport cython
from libc.stdint cimport UINT64_MAX, int64_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memcmp, memset

from .cursor cimport Cursor, Found, bswap64, compare_keys, compare_positions
from .hashing cimport key_hash
from .memtable cimport Memtable, MemtableHandle, memtable_cursor, memtable_get, memtable_insert
from .platform cimport put_u64
from .status cimport CORRUPTION, OK, fail, raise_status


cdef enum:
    PADDING_MAX = 4096


# Entry number i of fill and probe: a 16-byte key in or out of order, and a value that names it.
cdef inline void _numbered(uint64_t number, bint shuffled, uint64_t ts, char *key, char *value) noexcept nogil:
    cdef uint64_t mixed = number * <uint64_t> 0x9E3779B97F4A7C15
    mixed = (mixed ^ (mixed >> 32)) * <uint64_t> 0xD6E8FEB86659FD93
    put_u64(key, mixed if shuffled else bswap64(number))
    put_u64(key + 8, bswap64(number))
    put_u64(value, number)
    put_u64(value + 8, ts)


cdef int _fill(Memtable *memtable, uint64_t first, uint64_t count, bint shuffled, uint64_t ts,
               size_t value_size, size_t padding) noexcept nogil:
    cdef char key[PADDING_MAX + 16]
    cdef char value[4096]
    cdef uint64_t number
    cdef int status = OK
    memset(key, 0, sizeof(key))
    memset(value, 0, sizeof(value))
    for number in range(first, first + count):
        _numbered(number, shuffled, ts, key + padding, value)
        status = memtable_insert(memtable, key, padding + 16, key_hash(key, padding + 16), ts, 0, value, value_size)
        if status < 0:
            break
    return status


cdef int64_t _probe(Memtable *memtable, uint64_t first, uint64_t count, bint shuffled,
                    uint64_t snapshot) noexcept nogil:
    cdef char key[16]
    cdef char value[16]
    cdef uint64_t number
    cdef int64_t found = 0
    cdef Found entry
    for number in range(first, first + count):
        _numbered(number, shuffled, 0, key, value)
        if memtable_get(memtable, key, 16, key_hash(key, 16), snapshot, &entry):
            put_u64(value + 8, entry.ts)
            if entry.ts > snapshot or entry.value_size < 16 or memcmp(entry.value, value, 16) != 0:
                return fail(CORRUPTION, "a key with another key's value", NULL, number)
            found += 1
    return found


cdef int64_t _walk(Cursor *cursor, bint reverse) noexcept nogil:
    cdef Cursor before
    cdef int64_t count = 0
    cdef int order
    cdef int status = cursor.seek_last(cursor) if reverse else cursor.seek_first(cursor)
    while status == 1:
        count += 1
        before = cursor[0]
        status = cursor.previous(cursor) if reverse else cursor.next(cursor)
        if status == 1:
            order = compare_positions(&before, cursor)
            if order == 0 or (order > 0) != reverse:
                return fail(CORRUPTION, "entries out of order", NULL, <uint64_t> count)
    return status if status < 0 else count


def fill(MemtableHandle handle not None, uint64_t first, uint64_t count, bint shuffled=True, uint64_t ts=1,
         size_t value_size=100, size_t padding=0):
    """Insert numbered entries [first, first + count) without the GIL; `value_size` 16 to 4096.

    Keys begin with `padding` zero bytes, up to 4096: the more, the longer comparisons take.
    """
    cdef int status
    if not 16 <= value_size <= 4096 or padding > PADDING_MAX:
        raise ValueError("value_size must be 16 to 4096, padding at most 4096")
    with nogil:
        status = _fill(handle.memtable, first, count, shuffled, ts, value_size, padding)
    if status < 0:
        raise_status(status)


def probe(MemtableHandle handle not None, uint64_t first, uint64_t count, bint shuffled=True,
          uint64_t snapshot=UINT64_MAX):
    """How many of these entries of `fill` are found, without the GIL; CorruptionError for a wrong value."""
    cdef int64_t found
    with nogil:
        found = _probe(handle.memtable, first, count, shuffled, snapshot)
    if found < 0:
        raise_status(<int> found)
    return found


cdef int _seek_again(Cursor *cursor, uint64_t number, uint64_t times, bint shuffled, size_t padding) noexcept nogil:
    cdef char key[PADDING_MAX + 16]
    cdef char value[16]
    cdef uint64_t i
    cdef int status = OK
    memset(key, 0, sizeof(key))
    _numbered(number, shuffled, 0, key + padding, value)
    for i in range(times):
        status = cursor.seek(cursor, key, padding + 16)
        if status == 1 and compare_keys(cursor.key, cursor.key_size, key, padding + 16) < 0:
            return fail(CORRUPTION, "a seek went short of its target", NULL, number)
    return status


def seek_again(MemtableHandle handle not None, uint64_t number, uint64_t times, bint shuffled=True,
               size_t padding=0):
    """Seek an entry of `fill` so many times, without the GIL; CorruptionError when standing before it."""
    cdef MemtableCursor cursor = MemtableCursor(handle)
    cdef int status
    if padding > PADDING_MAX:
        raise ValueError("padding must be at most 4096")
    with nogil:
        status = _seek_again(cursor.cursor, number, times, shuffled, padding)
    if status < 0:
        raise_status(status)


def walk(MemtableHandle handle not None, bint reverse=False):
    """Number of versions met from end to end, without the GIL; CorruptionError when out of order."""
    cdef int64_t count
    cdef MemtableCursor cursor = MemtableCursor(handle)
    with nogil:
        count = _walk(cursor.cursor, reverse)
    if count < 0:
        raise_status(<int> count)
    return count


@cython.final
cdef class MemtableCursor:
    """A cursor over all versions; every move returns the entry (key, ts, kind, value) it stands on, or None."""
    cdef Cursor *cursor

    def __cinit__(self, MemtableHandle handle not None):
        self.cursor = memtable_cursor(handle.memtable)
        if self.cursor == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.cursor != NULL:
            self.cursor.free(self.cursor)

    def first(self):
        """The first entry."""
        return self._entry(self.cursor.seek_first(self.cursor))

    def last(self):
        """The last entry."""
        return self._entry(self.cursor.seek_last(self.cursor))

    def seek(self, bytes key not None):
        """The first entry with a key >= `key`."""
        return self._entry(self.cursor.seek(self.cursor, key, len(key)))

    def seek_before(self, bytes key not None):
        """The last entry with a key < `key`."""
        return self._entry(self.cursor.seek_before(self.cursor, key, len(key)))

    def next(self):
        """The entry after the current one."""
        return self._entry(self.cursor.next(self.cursor))

    def previous(self):
        """The entry before the current one."""
        return self._entry(self.cursor.previous(self.cursor))

    cdef object _entry(self, int status):
        cdef Cursor *cursor = self.cursor
        if status == 0:
            return None
        return cursor.key[:cursor.key_size], cursor.ts, cursor.kind, cursor.value[:cursor.value_size]
