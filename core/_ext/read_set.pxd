# Read set: what a serializable transaction has read, for commit to check that nobody wrote it since.
#
#   table   | 3 | . | 1 | . | 2 | . |      open addressing over the 64-bit hash; position in keys + 1
#   keys    | key 1 | key 2 | key 3 |      in the order of first reading
#   ranges  | [start, stop) | [start, - )  what scans passed over, gaps included; no stop: to the end
#   arena   the bytes of all these keys; addressed by offset, because it moves when it grows
#
# One thread at a time (the transaction's lock). Nothing is ever taken out: what was read stays read,
# a rollback to a savepoint included, since the program has seen it.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

cdef struct ReadKey:
    uint64_t hash_value
    uint64_t offset                  # in the arena
    uint32_t size
    uint32_t slot

cdef struct ReadRange:
    uint64_t start_offset            # in the arena
    uint64_t stop_offset
    uint32_t start_size
    uint32_t stop_size
    uint32_t start_capacity          # arena bytes set aside, so that a bound can move in place
    uint32_t stop_capacity
    bint open_end                    # no stop: to the last key there is

cdef struct ReadSet:
    size_t limit_bytes               # constant
    size_t limit_keys                # constant
    char *arena
    size_t arena_size
    size_t arena_capacity
    ReadKey *keys
    size_t key_count
    size_t key_capacity
    uint32_t *table                  # 0: free, else position in `keys` + 1
    size_t table_size                # a power of two
    ReadRange *ranges
    size_t range_count
    size_t range_capacity

cdef ReadSet *read_set_new(size_t limit_bytes, size_t limit_keys) noexcept nogil       # NULL: no memory
cdef void read_set_free(ReadSet *read_set) noexcept nogil                              # NULL is fine
# Remembers a key; one that is there already costs nothing. TOO_LARGE: over a limit, not remembered.
cdef int read_set_add_key(ReadSet *read_set, const char *key, size_t key_size, uint64_t hash_value,
                          uint32_t slot) noexcept nogil
# Remembers that [start, stop) was read; stop NULL: to the end. `index` receives the number by which
# the two functions below widen the range while its scan goes on. A scan forward begins with stop =
# start, an empty range. A range that overlaps or touches the last one is joined to it.
cdef int read_set_begin_range(ReadSet *read_set, const char *start, size_t start_size, const char *stop,
                              size_t stop_size, size_t *index) noexcept nogil
# Moves the stop up (NULL: to the end), as a forward scan goes on. Never shrinks the range.
cdef int read_set_extend_range(ReadSet *read_set, size_t index, const char *stop, size_t stop_size) noexcept nogil
# Moves the start down, as a scan backwards goes on. Never shrinks the range.
cdef int read_set_lower_range(ReadSet *read_set, size_t index, const char *start, size_t start_size) noexcept nogil

cdef inline size_t read_set_key_count(const ReadSet *read_set) noexcept nogil:
    return read_set.key_count

cdef inline size_t read_set_range_count(const ReadSet *read_set) noexcept nogil:
    return read_set.range_count

# What these two give is borrowed until the next call that remembers something.
cdef inline void read_set_key(const ReadSet *read_set, size_t i, const char **key, size_t *size,
                              uint64_t *hash_value, uint32_t *slot) noexcept nogil:
    key[0] = read_set.arena + read_set.keys[i].offset
    size[0] = read_set.keys[i].size
    hash_value[0] = read_set.keys[i].hash_value
    slot[0] = read_set.keys[i].slot

cdef inline void read_set_range(const ReadSet *read_set, size_t i, const char **start, size_t *start_size,
                                const char **stop, size_t *stop_size) noexcept nogil:
    cdef const ReadRange *bounds = &read_set.ranges[i]
    start[0] = read_set.arena + bounds.start_offset
    start_size[0] = bounds.start_size
    stop[0] = NULL if bounds.open_end else read_set.arena + bounds.stop_offset
    stop_size[0] = 0 if bounds.open_end else bounds.stop_size
