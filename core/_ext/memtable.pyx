"""Memtable: the newest writes, in order, in one arena.

A commit lands here once it is in the log; when the arena is full the whole memtable is written out
as a sorted table and freed at once. Nothing is ever removed or moved in between, which is what lets
readers go without locks: a node is complete before the one store that makes it reachable.

    level 2  head ------------------> c9 -----------------> end
    level 1  head ------> b4 -------> c9 ------> f2 ------> end
    level 0  head -> a7 -> b4 -> b1 -> c9 -> d3 -> f2 -----> end      (key, timestamp descending)
                           ^
    slots    [..|head,tags|..] -> b4 -> f2            one node a key: the newest version

Skip list: Pugh, "Skip lists: a probabilistic alternative to balanced trees", CACM 1990. One writer
publishing by release stores is LevelDB's scheme. The hash table beside it makes a point read one
probe; a newer version takes the place of the older one in its chain, and a reader that still stands
on the older one goes on through the older one's own link, which never changes again.

The same (key, timestamp) may be inserted twice, the later call standing first. The older node is
marked REPLACED before the newer is linked, so that a reader who has seen the newer one also sees the
mark and passes over the older.
"""
cimport cython
from libc.stdint cimport UINT32_MAX, UINT64_MAX, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from posix.mman cimport (MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE,
                         madvise, mmap, munmap)

from .census cimport MEMTABLE, MEMTABLE_CURSOR, count_birth, count_death
from .cursor cimport Cursor, Found, RangeTombstone
from .hashing cimport key_hash
from .memtable_node cimport (REPLACED, Node, node_at, node_bytes, node_has_key, node_height, node_key,
                             node_precedes, node_same_version)
from .memtable_sort cimport sort_nodes
from .platform cimport (HUGE_PAGE_BYTES, add_u32, load_ptr, load_u32, load_u64, prefetch, relaxed_u32, relaxed_u64,
                        set_relaxed_u32, store_ptr, store_u32, store_u64, sub_u32)
from .status cimport NO_MEMORY, NO_OFFSET, OK, TOO_LARGE, fail, raise_status

cdef enum:
    ARENA_SLACK_BYTES = 8            # a key's last word may be loaded beyond the last node
    SLOT_RATIO_BYTES = 128           # one hash slot for so much arena
    MIN_SLOTS = 64
    SMALL_ARENA_BYTES = 262144       # not worth a mapping of its own

cdef struct TombstoneArray:
    TombstoneArray *older
    RangeTombstone items[0]


# Finds where (key, ts) belongs: before[level] = last node before it, returned = first node not
# before it (0: none). The two are neighbours as this search saw them; reading before[0]'s link again
# could meet a node inserted since.
cdef inline uint32_t _search(const Memtable *memtable, const char *key, size_t key_size, uint64_t ts,
                             uint32_t *before) noexcept nogil:
    cdef int level = <int> load_u32(&memtable.height) - 1
    cdef uint32_t here = memtable.head
    cdef uint32_t link, beyond = 0
    cdef Node *node = node_at(memtable.arena, here)
    cdef Node *candidate
    while True:
        link = load_u32(&node.next[level])
        if link != beyond:           # `beyond` was compared one level up already
            candidate = node_at(memtable.arena, link)
            if level > 0:            # where the search goes when the candidate is too far
                prefetch(node_at(memtable.arena, relaxed_u32(&node.next[level - 1])))
            prefetch(node_at(memtable.arena, relaxed_u32(&candidate.next[level])))
            if node_precedes(candidate, key, key_size, ts):
                node = candidate
                here = link
                continue
            beyond = link
        before[level] = here
        if level == 0:
            return beyond
        level -= 1


# ---- lifetime

cdef Memtable *memtable_new(uint64_t capacity) noexcept nogil:
    cdef Memtable *memtable
    cdef uint64_t slot_count = MIN_SLOTS
    if capacity < MEMTABLE_MIN_CAPACITY:
        capacity = MEMTABLE_MIN_CAPACITY
    if capacity > (<uint64_t> UINT32_MAX) * 8:
        capacity = (<uint64_t> UINT32_MAX) * 8
    while slot_count * SLOT_RATIO_BYTES < capacity:
        slot_count *= 2
    memtable = <Memtable *> calloc(1, sizeof(Memtable))
    if memtable == NULL:
        return NULL
    if not _map_arena(memtable, capacity):
        free(memtable)
        return NULL
    memtable.references = 1
    memtable.capacity = capacity
    memtable.slots = <uint64_t *> memtable.arena
    memtable.slot_mask = <uint32_t> (slot_count - 1)
    memtable.head = <uint32_t> slot_count
    memtable.first_node = memtable.head + <uint32_t> (node_bytes(MEMTABLE_MAX_HEIGHT, 0, 0) >> 3)
    memtable.used = (<uint64_t> memtable.first_node) << 3
    memtable.height = 1
    memtable.min_ts = UINT64_MAX
    memtable.random_state = <uint64_t> 0x9E3779B97F4A7C15
    node_at(memtable.arena, memtable.head).shape = MEMTABLE_MAX_HEIGHT << 8
    count_birth(MEMTABLE)
    return memtable


# Zeroed memory that costs nothing until it is touched.
cdef bint _map_arena(Memtable *memtable, uint64_t capacity) noexcept nogil:
    cdef void *mapping
    if capacity <= SMALL_ARENA_BYTES:
        memtable.arena = <char *> calloc(1, capacity + ARENA_SLACK_BYTES)
        return memtable.arena != NULL
    mapping = mmap(NULL, capacity + ARENA_SLACK_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if mapping == MAP_FAILED:
        return False
    memtable.arena = <char *> mapping
    memtable.map_bytes = capacity + ARENA_SLACK_BYTES
    if capacity >= 2 * HUGE_PAGE_BYTES:
        madvise(mapping, memtable.map_bytes, MADV_HUGEPAGE)      # advice only: fewer faults and TLB misses
    return True


cdef Memtable *memtable_retain(Memtable *memtable) noexcept nogil:
    add_u32(&memtable.references, 1)
    return memtable


cdef void memtable_release(Memtable *memtable) noexcept nogil:
    cdef TombstoneArray *array
    cdef TombstoneArray *older
    cdef uint32_t i
    if memtable == NULL or sub_u32(&memtable.references, 1) != 1:
        return
    for i in range(memtable.tombstone_count):
        free(memtable.tombstones[i].start)
    array = <TombstoneArray *> memtable.tombstone_arrays
    while array != NULL:
        older = array.older
        free(array)
        array = older
    if memtable.map_bytes:
        munmap(memtable.arena, memtable.map_bytes)
    else:
        free(memtable.arena)
    free(memtable)
    count_death(MEMTABLE)


# ---- writing

cdef size_t memtable_entry_bytes(size_t key_size, size_t value_size) noexcept nogil:
    return node_bytes(MEMTABLE_MAX_HEIGHT, key_size, value_size)


# A quarter of the nodes reaches each next level.
cdef inline uint32_t _random_height(Memtable *memtable) noexcept nogil:
    cdef uint64_t x = memtable.random_state      # xorshift64*, Marsaglia 2003 / Vigna 2016
    cdef uint32_t height = 1
    x ^= x >> 12
    x ^= x << 25
    x ^= x >> 27
    memtable.random_state = x
    x = (x * <uint64_t> 0x2545F4914F6CDD1D) >> 32
    while height < MEMTABLE_MAX_HEIGHT and (x & 3) == 0:
        height += 1
        x >>= 2
    return height


cdef inline uint64_t _tag(uint64_t hash_value) noexcept nogil:       # in place for a slot
    return (<uint64_t> 1) << (32 + ((hash_value >> 32) & 31))


cdef inline uint64_t *_slot(const Memtable *memtable, uint64_t hash_value) noexcept nogil:
    return &memtable.slots[<uint32_t> hash_value & memtable.slot_mask]


# Puts the node into its hash chain: in the place of the key's former newest version, else in front.
cdef inline void _chain(Memtable *memtable, Node *node, uint32_t link, uint64_t hash_value) noexcept nogil:
    cdef uint64_t *slot = _slot(memtable, hash_value)
    cdef uint64_t chain = relaxed_u64(slot)
    cdef uint32_t other_link = <uint32_t> chain
    cdef Node *other
    cdef Node *previous = NULL
    if chain & _tag(hash_value):
        while other_link:
            other = node_at(memtable.arena, other_link)
            if node_has_key(other, node_key(node), node.key_size):
                if other.ts > node.ts:
                    return           # out of order: the chain keeps the newest
                set_relaxed_u32(&node.hash_next, relaxed_u32(&other.hash_next))
                if previous == NULL:
                    store_u64(slot, (chain & ~(<uint64_t> UINT32_MAX)) | link)
                else:
                    store_u32(&previous.hash_next, link)
                return
            previous = other
            other_link = relaxed_u32(&other.hash_next)
    set_relaxed_u32(&node.hash_next, <uint32_t> chain)
    store_u64(slot, (chain & ~(<uint64_t> UINT32_MAX)) | _tag(hash_value) | link)


# Puts the node into the skip list.
cdef inline void _link(Memtable *memtable, Node *node, uint32_t link) noexcept nogil:
    cdef const char *key = node_key(node)
    cdef uint32_t *before = memtable.splice
    cdef uint32_t height = node_height(node)
    cdef uint32_t level, after
    cdef Node *neighbour
    # Sequential writes: behind the last one inserted and before its successor, the splice still holds.
    if memtable.last and node_precedes(node_at(memtable.arena, memtable.last), key, node.key_size, node.ts):
        after = relaxed_u32(&node_at(memtable.arena, memtable.last).next[0])
        if after and node_precedes(node_at(memtable.arena, after), key, node.key_size, node.ts):
            after = _search(memtable, key, node.key_size, node.ts, before)
    else:
        after = _search(memtable, key, node.key_size, node.ts, before)
    if height > memtable.height:
        for level in range(memtable.height, height):
            before[level] = memtable.head
        store_u32(&memtable.height, height)      # a reader that sees it early finds the head's links empty
    if after:
        neighbour = node_at(memtable.arena, after)
        if node_same_version(neighbour, node):
            set_relaxed_u32(&neighbour.shape, neighbour.shape | REPLACED)
    for level in range(height):      # whoever comes by a level follows that level's link or a lower one
        neighbour = node_at(memtable.arena, before[level])
        set_relaxed_u32(&node.next[level], relaxed_u32(&neighbour.next[level]))
        store_u32(&neighbour.next[level], link)
        before[level] = link
    memtable.last = link


cdef int memtable_insert(Memtable *memtable, const char *key, size_t key_size, uint64_t hash_value, uint64_t ts,
                         int kind, const char *value, size_t value_size) noexcept nogil:
    cdef uint32_t height = _random_height(memtable)
    cdef uint32_t link = <uint32_t> (memtable.used >> 3)
    cdef size_t size
    cdef Node *node
    if key_size > UINT32_MAX or value_size > UINT32_MAX:
        return fail(TOO_LARGE, "a key or value of 4 GiB or more", NULL, <uint64_t> NO_OFFSET)
    size = node_bytes(height, key_size, value_size)
    if size > memtable.capacity - memtable.used:
        return fail(TOO_LARGE, "the entry does not fit into the memtable", NULL, <uint64_t> NO_OFFSET)
    prefetch(_slot(memtable, hash_value))
    node = node_at(memtable.arena, link)
    node.key_size = <uint32_t> key_size
    node.value_size = <uint32_t> value_size
    node.ts = ts
    node.shape = <uint32_t> kind | height << 8
    memcpy(<char *> node_key(node), key, key_size)
    if value_size:
        memcpy(<char *> node_key(node) + key_size, value, value_size)
    store_u64(&memtable.used, memtable.used + size)
    if not memtable.deferred:
        _link(memtable, node, link)
    _chain(memtable, node, link, hash_value)
    store_u64(&memtable.entry_count, memtable.entry_count + 1)
    _widen(memtable, ts)
    return OK


cdef inline void _widen(Memtable *memtable, uint64_t ts) noexcept nogil:
    if ts < memtable.min_ts:
        memtable.min_ts = ts
    if ts > memtable.max_ts:
        store_u64(&memtable.max_ts, ts)


# Readers load count, then array: an array they get has at least so many entries, and entries never
# change. So one with room is appended to in place, a full one is copied to one twice as large.
cdef int memtable_add_tombstone(Memtable *memtable, const char *start, size_t start_size, const char *stop,
                                size_t stop_size, uint64_t ts) noexcept nogil:
    cdef TombstoneArray *array
    cdef RangeTombstone *item
    cdef uint32_t count = memtable.tombstone_count
    cdef uint32_t room = 2 * count if count else 4
    cdef char *keys
    if start_size > UINT32_MAX or stop_size > UINT32_MAX:
        return fail(TOO_LARGE, "a key of 4 GiB or more", NULL, <uint64_t> NO_OFFSET)
    keys = <char *> malloc(start_size + stop_size + 1)
    if keys == NULL:
        return fail(NO_MEMORY, NULL, NULL, <uint64_t> NO_OFFSET)
    if count == memtable.tombstone_room:
        array = <TombstoneArray *> malloc(sizeof(TombstoneArray) + room * sizeof(RangeTombstone))
        if array == NULL:
            free(keys)
            return fail(NO_MEMORY, NULL, NULL, <uint64_t> NO_OFFSET)
        array.older = <TombstoneArray *> memtable.tombstone_arrays
        if count:
            memcpy(array.items, memtable.tombstones, count * sizeof(RangeTombstone))
        memtable.tombstone_arrays = array
        memtable.tombstone_room = room
        store_ptr(<void **> &memtable.tombstones, array.items)
    memcpy(keys, start, start_size)
    memcpy(keys + start_size, stop, stop_size)
    item = &memtable.tombstones[count]
    item.start = keys
    item.start_size = <uint32_t> start_size
    item.stop = keys + start_size
    item.stop_size = <uint32_t> stop_size
    item.ts = ts
    store_u32(&memtable.tombstone_count, count + 1)
    _widen(memtable, ts)
    return OK


# ---- point reads

cdef void memtable_prefetch(Memtable *memtable, uint64_t hash_value) noexcept nogil:
    prefetch(_slot(memtable, hash_value))


cdef int memtable_get(Memtable *memtable, const char *key, size_t key_size, uint64_t hash_value,
                      uint64_t snapshot, Found *out) noexcept nogil:
    cdef uint64_t chain = load_u64(_slot(memtable, hash_value))
    cdef uint32_t link = <uint32_t> chain
    cdef Node *node = NULL
    if not chain & _tag(hash_value):
        return 0
    while True:
        if link == 0:
            return 0
        node = node_at(memtable.arena, link)
        if node_has_key(node, key, key_size):
            break
        link = load_u32(&node.hash_next)
    while node.ts > snapshot:        # older versions follow on level 0
        link = load_u32(&node.next[0])
        if link == 0:
            return 0
        node = node_at(memtable.arena, link)
        if not node_has_key(node, key, key_size):
            return 0
    out.kind = <int> (node.shape & 0xFF)
    out.ts = node.ts
    out.value = node_key(node) + key_size
    out.value_size = node.value_size
    return 1


# ---- loading without order

cdef int memtable_defer_order(Memtable *memtable) noexcept nogil:
    memtable.deferred = True
    return OK


cdef int memtable_restore_order(Memtable *memtable) noexcept nogil:
    cdef size_t count = memtable.entry_count
    cdef uint32_t *links = <uint32_t *> malloc((count + 1) * sizeof(uint32_t))
    cdef int status
    if links == NULL:
        return fail(NO_MEMORY, NULL, NULL, <uint64_t> NO_OFFSET)
    status = sort_nodes(memtable.arena, memtable.first_node, count, links)
    if status == OK:
        _link_all(memtable, links, count)
        memtable.deferred = False
    free(links)
    return status


# Links all levels anew, from front to back.
cdef void _link_all(Memtable *memtable, const uint32_t *links, size_t count) noexcept nogil:
    cdef uint32_t *before = memtable.splice
    cdef uint32_t level
    cdef size_t i
    cdef Node *node
    cdef Node *neighbour = NULL
    for level in range(MEMTABLE_MAX_HEIGHT):
        before[level] = memtable.head
    for i in range(count):
        if i + 8 < count:
            prefetch(node_at(memtable.arena, links[i + 8]))
        node = node_at(memtable.arena, links[i])
        for level in range(node_height(node)):
            store_u32(&node_at(memtable.arena, before[level]).next[level], links[i])
            before[level] = links[i]
        if neighbour != NULL and node_same_version(neighbour, node):
            set_relaxed_u32(&node.shape, node.shape | REPLACED)
        if node_height(node) > memtable.height:
            store_u32(&memtable.height, node_height(node))
        neighbour = node
    for level in range(MEMTABLE_MAX_HEIGHT):
        store_u32(&node_at(memtable.arena, before[level]).next[level], 0)
    memtable.last = links[count - 1] if count else 0


# ---- cursors

cdef struct NodeCursor:
    Cursor base                      # first, so that a NodeCursor is a Cursor
    Memtable *memtable
    uint32_t here                    # 0: on no entry


cdef inline int _stand(NodeCursor *cursor, uint32_t link) noexcept nogil:
    cdef Node *node
    cursor.here = link
    if link == 0:
        return 0
    node = node_at(cursor.memtable.arena, link)
    cursor.base.key = node_key(node)
    cursor.base.key_size = node.key_size
    cursor.base.value = cursor.base.key + node.key_size
    cursor.base.value_size = node.value_size
    cursor.base.ts = node.ts
    cursor.base.kind = <int> (relaxed_u32(&node.shape) & 0xFF)
    return 1


# Stands on `link`, found from behind, or on the one inserted later with the same (key, ts).
cdef inline int _stand_backward(NodeCursor *cursor, uint32_t link) noexcept nogil:
    cdef uint32_t before[MEMTABLE_MAX_HEIGHT]
    cdef Node *node = node_at(cursor.memtable.arena, link)
    if link == cursor.memtable.head:
        link = 0
    elif relaxed_u32(&node.shape) & REPLACED:
        link = _search(cursor.memtable, node_key(node), node.key_size, node.ts, before)
    return _stand(cursor, link)


cdef int _seek_first(Cursor *self) noexcept nogil:
    cdef NodeCursor *cursor = <NodeCursor *> self
    return _stand(cursor, load_u32(&node_at(cursor.memtable.arena, cursor.memtable.head).next[0]))


cdef int _seek_last(Cursor *self) noexcept nogil:
    cdef NodeCursor *cursor = <NodeCursor *> self
    cdef uint32_t here = cursor.memtable.head, link
    cdef int level = <int> load_u32(&cursor.memtable.height) - 1
    while level >= 0:
        link = load_u32(&node_at(cursor.memtable.arena, here).next[level])
        if link:
            here = link
        else:
            level -= 1
    return _stand_backward(cursor, here)


cdef int _seek(Cursor *self, const char *key, size_t key_size) noexcept nogil:
    cdef uint32_t before[MEMTABLE_MAX_HEIGHT]
    cdef NodeCursor *cursor = <NodeCursor *> self
    return _stand(cursor, _search(cursor.memtable, key, key_size, UINT64_MAX, before))


cdef int _seek_before(Cursor *self, const char *key, size_t key_size) noexcept nogil:
    cdef uint32_t before[MEMTABLE_MAX_HEIGHT]
    cdef NodeCursor *cursor = <NodeCursor *> self
    _search(cursor.memtable, key, key_size, UINT64_MAX, before)
    return _stand_backward(cursor, before[0])


cdef int _next(Cursor *self) noexcept nogil:
    cdef NodeCursor *cursor = <NodeCursor *> self
    cdef Node *here
    cdef Node *node
    cdef uint32_t link
    if cursor.here == 0:
        return 0
    here = node_at(cursor.memtable.arena, cursor.here)
    link = load_u32(&here.next[0])
    while link:
        node = node_at(cursor.memtable.arena, link)
        if not relaxed_u32(&node.shape) & REPLACED or not node_same_version(here, node):
            break
        link = load_u32(&node.next[0])
    if link:
        prefetch(node_at(cursor.memtable.arena, relaxed_u32(&node.next[0])))
    return _stand(cursor, link)


# Links lead forward only: the one before is found by a search from the head.
cdef int _previous(Cursor *self) noexcept nogil:
    cdef uint32_t before[MEMTABLE_MAX_HEIGHT]
    cdef NodeCursor *cursor = <NodeCursor *> self
    if cursor.here == 0:
        return 0
    _search(cursor.memtable, self.key, self.key_size, self.ts, before)
    return _stand_backward(cursor, before[0])


cdef void _free(Cursor *self) noexcept nogil:
    memtable_release((<NodeCursor *> self).memtable)
    free(self)
    count_death(MEMTABLE_CURSOR)


cdef Cursor *memtable_cursor(Memtable *memtable) noexcept nogil:
    cdef NodeCursor *cursor = <NodeCursor *> calloc(1, sizeof(NodeCursor))
    if cursor == NULL:
        return NULL
    cursor.memtable = memtable_retain(memtable)
    cursor.base.seek_first = _seek_first
    cursor.base.seek_last = _seek_last
    cursor.base.seek = _seek
    cursor.base.seek_before = _seek_before
    cursor.base.next = _next
    cursor.base.previous = _previous
    cursor.base.free = _free
    count_birth(MEMTABLE_CURSOR)
    return &cursor.base


# ---- the Python face

@cython.final
cdef class MemtableHandle:
    """A memtable seen from Python: for inspection and tests. One thread may write, any number may read."""

    def __cinit__(self, uint64_t capacity):
        self.memtable = memtable_new(capacity)
        if self.memtable == NULL:
            raise MemoryError

    def __init__(self, uint64_t capacity):
        """An empty memtable with an arena of `capacity` bytes (at least 4 KiB)."""

    def __dealloc__(self):
        memtable_release(self.memtable)

    @staticmethod
    cdef MemtableHandle wrap(Memtable *memtable):
        cdef MemtableHandle handle = MemtableHandle.__new__(MemtableHandle, MEMTABLE_MIN_CAPACITY)
        memtable_release(handle.memtable)
        handle.memtable = memtable_retain(memtable)
        return handle

    def is_shared(self):
        """Whether anyone else (a view, perhaps one that only a scan still holds) refers to the memtable."""
        return relaxed_u32(&self.memtable.references) > 1

    @property
    def first_value_file(self):
        """Smallest number of a value file it points into; the largest number there is when it points into none."""
        return self.memtable.first_value_file

    def insert(self, bytes key not None, uint64_t ts, int kind, bytes value not None):
        """Add a version; LimitExceeded when the arena is full."""
        cdef uint64_t hash_value = key_hash(<const char *> key, len(key))
        cdef int status = memtable_insert(self.memtable, key, len(key), hash_value, ts, kind, value, len(value))
        if status < 0:
            raise_status(status)

    def add_tombstone(self, bytes start not None, bytes stop not None, uint64_t ts):
        """Add a range tombstone over [start, stop)."""
        cdef int status = memtable_add_tombstone(self.memtable, start, len(start), stop, len(stop), ts)
        if status < 0:
            raise_status(status)

    def get(self, bytes key not None, uint64_t snapshot):
        """(kind, ts, value) of the newest version not after `snapshot`, or None."""
        cdef Found found
        if not memtable_get(self.memtable, key, len(key), key_hash(<const char *> key, len(key)), snapshot, &found):
            return None
        return found.kind, found.ts, found.value[:found.value_size]

    def scan(self, bytes start=None, bint reverse=False):
        """All (key, ts, kind, value) from the first key >= `start`; reversed: from the last key < `start`."""
        cdef Cursor *cursor = memtable_cursor(self.memtable)
        cdef int status
        if cursor == NULL:
            raise MemoryError
        if start is None:
            status = cursor.seek_last(cursor) if reverse else cursor.seek_first(cursor)
        elif reverse:
            status = cursor.seek_before(cursor, start, len(start))
        else:
            status = cursor.seek(cursor, start, len(start))
        entries = []
        try:
            while status == 1:
                entries.append((cursor.key[:cursor.key_size], cursor.ts, cursor.kind, cursor.value[:cursor.value_size]))
                status = cursor.previous(cursor) if reverse else cursor.next(cursor)
        finally:
            cursor.free(cursor)
        return entries

    def defer_order(self):
        """Let inserts only append until `restore_order`; no cursor and no old snapshot until then."""
        memtable_defer_order(self.memtable)

    def restore_order(self):
        """Bring all entries into order after `defer_order`."""
        cdef int status
        with nogil:
            status = memtable_restore_order(self.memtable)
        if status < 0:
            raise_status(status)

    @property
    def entry_count(self):
        """Versions inserted (a repeated (key, ts) counts each time)."""
        return load_u64(&self.memtable.entry_count)

    @property
    def used(self):
        """Bytes of the arena handed out, hash table included."""
        return load_u64(&self.memtable.used)

    @property
    def capacity(self):
        """Bytes of the arena."""
        return self.memtable.capacity

    @property
    def timestamps(self):
        """(smallest, largest) timestamp of all versions and tombstones, or None."""
        if self.memtable.min_ts > self.memtable.max_ts:
            return None
        return self.memtable.min_ts, load_u64(&self.memtable.max_ts)

    @property
    def tombstones(self):
        """All range tombstones as (start, stop, ts), oldest first."""
        cdef uint32_t count = load_u32(&self.memtable.tombstone_count)
        cdef RangeTombstone *items = <RangeTombstone *> load_ptr(<void **> &self.memtable.tombstones)
        return [(items[i].start[:items[i].start_size], items[i].stop[:items[i].stop_size], items[i].ts)
                for i in range(count)]


def entry_bytes(size_t key_size, size_t value_size):
    """Upper bound of the arena bytes an entry takes."""
    return memtable_entry_bytes(key_size, value_size)
