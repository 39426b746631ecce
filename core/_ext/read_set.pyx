"""What a serializable transaction has read: single keys and ranges.

A transaction reads at one timestamp and commits at a later one. It is serializable if, at commit,
everything it read still reads the same: no key of its read set and no key inside one of its ranges
has a version between the two timestamps (optimistic validation: Kung and Robinson, TODS 1981). A
range covers what a scan passed over, not only the rows it returned, so that a row inserted in a gap
(a phantom) is noticed. It is widened as the scan goes on, so a scan that stops early is charged for
what it saw and no more:

    scan [b, z)   begin [b, b)    saw "d": extend [b, d\\0)    saw "k": extend [b, k\\0)    stops here

Keys are deduplicated by a hash table. Ranges are joined with the last one only; that catches pages
of one listing and the same scan made again, without a search at every scan.

The bounds of a range live in the arena. A longer bound that no longer fits its place moves to a new
one with room to spare; the old place is lost, at most as many bytes again as the bound has.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy

from .census cimport READ_SET, count_birth, count_death
from .cursor cimport compare_keys
from .hashing cimport key_hash, slot_of_hash
from .status cimport INVALID, NO_MEMORY, NO_OFFSET, OK, TOO_LARGE, fail, raise_status

cdef size_t KEY_BYTES_MAX = 1 << 30                     # sizes and capacities have 32 bits
cdef size_t FIRST_TABLE_SIZE = 16


cdef ReadSet *read_set_new(size_t limit_bytes, size_t limit_keys) noexcept nogil:
    cdef ReadSet *read_set = <ReadSet *> calloc(1, sizeof(ReadSet))
    if read_set != NULL:
        count_birth(READ_SET)
        read_set.limit_bytes = limit_bytes
        # positions in the table have 32 bits
        read_set.limit_keys = limit_keys if limit_keys < 0x7FFFFFFF else 0x7FFFFFFF
    return read_set


cdef void read_set_free(ReadSet *read_set) noexcept nogil:
    if read_set == NULL:
        return
    free(read_set.arena)
    free(read_set.keys)
    free(read_set.table)
    free(read_set.ranges)
    free(read_set)
    count_death(READ_SET)


# ---- memory and limits

# OK when `more` bytes, bookkeeping included, keep to the limit.
cdef int _check_limit(const ReadSet *read_set, size_t more) noexcept nogil:
    cdef char message[160]
    cdef size_t used = (read_set.arena_size + read_set.range_count * sizeof(ReadRange)
                        + read_set.key_count * (sizeof(ReadKey) + 2 * sizeof(uint32_t)))
    if used <= read_set.limit_bytes and more <= read_set.limit_bytes - used:
        return OK
    snprintf(message, sizeof(message),
             "the transaction has read more than the limit of %llu bytes (read_set_bytes); "
             "read less at once or use snapshot isolation", <unsigned long long> read_set.limit_bytes)
    return fail(TOO_LARGE, message, NULL, <uint64_t> NO_OFFSET)


cdef int _fail_too_many_keys(const ReadSet *read_set) noexcept nogil:
    cdef char message[160]
    snprintf(message, sizeof(message),
             "the transaction has read more than the limit of %llu keys; "
             "scan a range instead or use snapshot isolation", <unsigned long long> read_set.limit_keys)
    return fail(TOO_LARGE, message, NULL, <uint64_t> NO_OFFSET)


# `array` with room for `needed` items, or NULL (and `array` is as it was).
cdef void *_grown(void *array, size_t *capacity, size_t needed, size_t item_bytes) noexcept nogil:
    cdef size_t larger = capacity[0] if capacity[0] else 16
    if needed <= capacity[0] and array != NULL:
        return array
    while larger < needed:
        larger *= 2
    array = realloc(array, larger * item_bytes)
    if array != NULL:
        capacity[0] = larger
    return array


cdef int _fail_no_memory() noexcept nogil:
    return fail(NO_MEMORY, NULL, NULL, <uint64_t> NO_OFFSET)


# Sets `capacity` bytes of the arena aside and copies `size` bytes there.
cdef int _store(ReadSet *read_set, const char *data, size_t size, size_t capacity, uint64_t *offset) noexcept nogil:
    cdef void *arena = _grown(read_set.arena, &read_set.arena_capacity, read_set.arena_size + capacity, 1)
    if arena == NULL:
        return _fail_no_memory()
    read_set.arena = <char *> arena
    offset[0] = read_set.arena_size
    if size:
        memcpy(read_set.arena + read_set.arena_size, data, size)
    read_set.arena_size += capacity
    return OK


# ---- keys

cdef int _grow_table(ReadSet *read_set) noexcept nogil:
    cdef size_t size = read_set.table_size * 2 if read_set.table_size else FIRST_TABLE_SIZE
    cdef uint32_t *table
    cdef size_t i, position
    if (read_set.key_count + 1) * 4 <= read_set.table_size * 3:
        return OK
    table = <uint32_t *> calloc(size, sizeof(uint32_t))
    if table == NULL:
        return _fail_no_memory()
    for i in range(read_set.key_count):
        position = read_set.keys[i].hash_value & (size - 1)
        while table[position]:
            position = (position + 1) & (size - 1)
        table[position] = <uint32_t> (i + 1)
    free(read_set.table)
    read_set.table = table
    read_set.table_size = size
    return OK


# Where the key is in the table, or the free place where it belongs.
cdef size_t _table_position(const ReadSet *read_set, const char *key, size_t key_size,
                            uint64_t hash_value) noexcept nogil:
    cdef size_t position = hash_value & (read_set.table_size - 1)
    cdef const ReadKey *known
    while read_set.table[position]:
        known = &read_set.keys[read_set.table[position] - 1]
        if (known.hash_value == hash_value and known.size == key_size
                and memcmp(read_set.arena + known.offset, key, key_size) == 0):
            break
        position = (position + 1) & (read_set.table_size - 1)
    return position


cdef int read_set_add_key(ReadSet *read_set, const char *key, size_t key_size, uint64_t hash_value,
                          uint32_t slot) noexcept nogil:
    cdef int status = _grow_table(read_set)
    cdef size_t position
    cdef void *keys
    cdef ReadKey *added
    if status < 0:
        return status
    position = _table_position(read_set, key, key_size, hash_value)
    if read_set.table[position]:
        return OK
    if read_set.key_count >= read_set.limit_keys:
        return _fail_too_many_keys(read_set)
    if key_size > KEY_BYTES_MAX:
        return fail(TOO_LARGE, "key too long", NULL, <uint64_t> NO_OFFSET)
    status = _check_limit(read_set, key_size + sizeof(ReadKey) + 2 * sizeof(uint32_t))
    if status < 0:
        return status
    keys = _grown(read_set.keys, &read_set.key_capacity, read_set.key_count + 1, sizeof(ReadKey))
    if keys == NULL:
        return _fail_no_memory()
    read_set.keys = <ReadKey *> keys
    added = &read_set.keys[read_set.key_count]
    status = _store(read_set, key, key_size, key_size, &added.offset)
    if status < 0:
        return status
    added.hash_value = hash_value
    added.size = <uint32_t> key_size
    added.slot = slot
    read_set.key_count += 1
    read_set.table[position] = <uint32_t> read_set.key_count
    return OK


# ---- ranges

# Writes a bound of a range, in place where it fits.
cdef int _set_bound(ReadSet *read_set, const char *data, size_t size, uint64_t *offset, uint32_t *bound_size,
                    uint32_t *capacity) noexcept nogil:
    cdef size_t room
    cdef int status
    if size > KEY_BYTES_MAX:
        return fail(TOO_LARGE, "key too long", NULL, <uint64_t> NO_OFFSET)
    if size <= capacity[0] and capacity[0]:              # an empty bound has a place too: NULL is an open end
        if size:
            memcpy(read_set.arena + offset[0], data, size)
    else:
        room = size + (size >> 1) + 8
        if capacity[0] and room < <size_t> capacity[0] * 2:
            room = <size_t> capacity[0] * 2
        status = _check_limit(read_set, room)
        if status == OK:
            status = _store(read_set, data, size, room, offset)
        if status < 0:
            return status
        capacity[0] = <uint32_t> room
    bound_size[0] = <uint32_t> size
    return OK


cdef int _fail_no_range() noexcept nogil:
    return fail(INVALID, "no such range in the read set", NULL, <uint64_t> NO_OFFSET)


cdef int read_set_extend_range(ReadSet *read_set, size_t index, const char *stop, size_t stop_size) noexcept nogil:
    cdef ReadRange *bounds
    if index >= read_set.range_count:
        return _fail_no_range()
    bounds = &read_set.ranges[index]
    if stop == NULL:
        bounds.open_end = True
    if bounds.open_end or compare_keys(stop, stop_size, read_set.arena + bounds.stop_offset, bounds.stop_size) <= 0:
        return OK
    return _set_bound(read_set, stop, stop_size, &bounds.stop_offset, &bounds.stop_size, &bounds.stop_capacity)


cdef int read_set_lower_range(ReadSet *read_set, size_t index, const char *start, size_t start_size) noexcept nogil:
    cdef ReadRange *bounds
    if index >= read_set.range_count:
        return _fail_no_range()
    bounds = &read_set.ranges[index]
    if compare_keys(start, start_size, read_set.arena + bounds.start_offset, bounds.start_size) >= 0:
        return OK
    return _set_bound(read_set, start, start_size, &bounds.start_offset, &bounds.start_size, &bounds.start_capacity)


# True if [start, stop) and the range have no gap between them.
cdef bint _touches(const ReadSet *read_set, const ReadRange *bounds, const char *start, size_t start_size,
                   const char *stop, size_t stop_size) noexcept nogil:
    if not bounds.open_end and compare_keys(start, start_size, read_set.arena + bounds.stop_offset,
                                            bounds.stop_size) > 0:
        return False
    return stop == NULL or compare_keys(read_set.arena + bounds.start_offset, bounds.start_size, stop, stop_size) <= 0


cdef int _append_range(ReadSet *read_set, const char *start, size_t start_size, const char *stop,
                       size_t stop_size) noexcept nogil:
    cdef ReadRange added
    cdef void *ranges
    cdef int status = _check_limit(read_set, sizeof(ReadRange))
    if status < 0:
        return status
    ranges = _grown(read_set.ranges, &read_set.range_capacity, read_set.range_count + 1, sizeof(ReadRange))
    if ranges == NULL:
        return _fail_no_memory()
    read_set.ranges = <ReadRange *> ranges
    added.start_capacity = added.stop_capacity = 0
    added.start_offset = added.stop_offset = 0
    added.stop_size = 0
    added.open_end = stop == NULL
    status = _set_bound(read_set, start, start_size, &added.start_offset, &added.start_size, &added.start_capacity)
    if status == OK and stop != NULL:
        status = _set_bound(read_set, stop, stop_size, &added.stop_offset, &added.stop_size, &added.stop_capacity)
    if status < 0:
        return status
    read_set.ranges[read_set.range_count] = added
    read_set.range_count += 1
    return OK


cdef int read_set_begin_range(ReadSet *read_set, const char *start, size_t start_size, const char *stop,
                              size_t stop_size, size_t *index) noexcept nogil:
    cdef int status
    if stop != NULL and compare_keys(start, start_size, stop, stop_size) > 0:
        stop, stop_size = start, start_size              # upside down: nothing lies in it
    if read_set.range_count and _touches(read_set, &read_set.ranges[read_set.range_count - 1], start, start_size,
                                         stop, stop_size):
        index[0] = read_set.range_count - 1
        status = read_set_lower_range(read_set, index[0], start, start_size)
        return status if status < 0 else read_set_extend_range(read_set, index[0], stop, stop_size)
    index[0] = read_set.range_count
    return _append_range(read_set, start, start_size, stop, stop_size)


# ---- seen from Python

cdef class ReadSetProbe:
    """A read set that tests and tools can reach; the engine uses the C functions."""
    cdef ReadSet *_read_set

    def __cinit__(self, size_t limit_bytes=1 << 30, size_t limit_keys=1 << 20):
        self._read_set = read_set_new(limit_bytes, limit_keys)
        if self._read_set == NULL:
            raise MemoryError

    def __dealloc__(self):
        read_set_free(self._read_set)

    def add_key(self, bytes key not None, hash_value=None):
        """Remember one key. `hash_value` stands in for its hash, to make keys collide."""
        cdef uint64_t hashed = key_hash(<const char *> key, len(key)) if hash_value is None else hash_value
        cdef int status = read_set_add_key(self._read_set, key, len(key), hashed, slot_of_hash(hashed))
        if status < 0:
            raise_status(status)

    def begin_range(self, bytes start not None, bytes stop=None):
        """Remember [start, stop), to the end when `stop` is None; the number to widen it by."""
        cdef size_t index
        cdef int status
        if stop is None:
            status = read_set_begin_range(self._read_set, start, len(start), NULL, 0, &index)
        else:
            status = read_set_begin_range(self._read_set, start, len(start), stop, len(stop), &index)
        if status < 0:
            raise_status(status)
        return index

    def extend_range(self, size_t index, bytes stop=None):
        """Move the stop of a range up, to the end when `stop` is None."""
        cdef int status
        if stop is None:
            status = read_set_extend_range(self._read_set, index, NULL, 0)
        else:
            status = read_set_extend_range(self._read_set, index, stop, len(stop))
        if status < 0:
            raise_status(status)

    def lower_range(self, size_t index, bytes start not None):
        """Move the start of a range down."""
        cdef int status = read_set_lower_range(self._read_set, index, start, len(start))
        if status < 0:
            raise_status(status)

    def keys_read(self):
        """[(key, hash, slot)] in the order of first reading."""
        cdef const char *key
        cdef size_t size, i
        cdef uint64_t hash_value
        cdef uint32_t slot
        cdef list found = []
        for i in range(read_set_key_count(self._read_set)):
            read_set_key(self._read_set, i, &key, &size, &hash_value, &slot)
            found.append((key[:size], hash_value, slot))
        return found

    def ranges_read(self):
        """[(start, stop or None)] in the order they began."""
        cdef const char *start
        cdef const char *stop
        cdef size_t start_size, stop_size, i
        cdef list found = []
        for i in range(read_set_range_count(self._read_set)):
            read_set_range(self._read_set, i, &start, &start_size, &stop, &stop_size)
            found.append((start[:start_size], None if stop == NULL else stop[:stop_size]))
        return found

    def arena_bytes(self):
        """Bytes that hold keys and bounds, lost ones included."""
        return self._read_set.arena_size
