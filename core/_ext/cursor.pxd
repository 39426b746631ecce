# A cursor over versions in (key ascending, timestamp descending) order: what memtables, tables,
# levels and merges of them have in common. One struct with function pointers, no Python object.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .platform cimport get_u64

cdef extern from *:
    uint64_t bswap64 "__builtin_bswap64"(uint64_t value) noexcept nogil

cdef struct Cursor:
    # where it stands; meaningful only after a move returned 1. Borrowed until the next move.
    const char *key
    const char *value
    uint32_t key_size
    uint32_t value_size
    uint64_t ts
    int kind
    # moves: 1 = standing on an entry, 0 = past the end, < 0 = status. They may read from disk.
    int (*seek_first)(Cursor *self) noexcept nogil
    int (*seek_last)(Cursor *self) noexcept nogil
    # first entry with key >= target (so the newest version of that key)
    int (*seek)(Cursor *self, const char *key, size_t key_size) noexcept nogil
    # last entry with key < target (so the oldest version of that key)
    int (*seek_before)(Cursor *self, const char *key, size_t key_size) noexcept nogil
    int (*next)(Cursor *self) noexcept nogil
    int (*previous)(Cursor *self) noexcept nogil
    void (*free)(Cursor *self) noexcept nogil          # releases all it holds, itself included

# A range tombstone: hides versions with ts < `ts` of keys in [start, stop).
cdef struct RangeTombstone:
    char *start
    char *stop
    uint32_t start_size
    uint32_t stop_size
    uint64_t ts

# What a point lookup found; `value` is borrowed as its source says.
cdef struct Found:
    int kind
    uint64_t ts
    const char *value
    uint32_t value_size

# Byte order, shorter first. The words of short keys are compared in place: a call of memcmp costs more
# than it does, and this is what every search spends its time on.
cdef inline int compare_keys(const char *a, size_t a_size, const char *b, size_t b_size) noexcept nogil:
    cdef size_t common = a_size if a_size < b_size else b_size
    cdef size_t done = 0
    cdef uint64_t x, y
    while done + 8 <= common:
        x = get_u64(a + done)
        y = get_u64(b + done)
        if x != y:
            return -1 if bswap64(x) < bswap64(y) else 1
        done += 8
    while done < common:
        if a[done] != b[done]:
            return -1 if <uint8_t> a[done] < <uint8_t> b[done] else 1
        done += 1
    return (a_size > b_size) - (a_size < b_size)

# (key, ts descending): < 0 when a stands before b
cdef inline int compare_positions(const Cursor *a, const Cursor *b) noexcept nogil:
    cdef int order = compare_keys(a.key, a.key_size, b.key, b.key_size)
    if order != 0:
        return order
    return (a.ts < b.ts) - (a.ts > b.ts)
