"""Sorts the nodes of a memtable that was filled without order, as recovery does.

Inserting one by one costs a search of some twenty scattered nodes each. Sorting all at once touches
each node a few times: the first 8 bytes of each key, after the bytes that all keys share, are copied
into an array beside the node's link, and a merge sort over that array seldom has to look at a node.
"""
from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from .cursor cimport bswap64, compare_keys
from .memtable_node cimport Node, node_at, node_following, node_key
from .platform cimport get_u64
from .status cimport NO_MEMORY, NO_OFFSET, OK, fail

cdef struct SortItem:
    uint64_t word                    # first 8 bytes of the key after the shared ones, big-endian
    uint32_t link


# Up to 8 bytes as a number that compares like the bytes; what is missing counts as zeros. Loads a
# whole word: a key is never the last thing in an arena, there is slack behind it.
cdef inline uint64_t _big_endian(const char *p, size_t size) noexcept nogil:
    if size >= 8:
        return bswap64(get_u64(p))
    return bswap64(get_u64(p)) & ~(UINT64_MAX >> (8 * size)) if size else 0


cdef inline bint _precedes(const char *arena, const SortItem *a, const SortItem *b) noexcept nogil:
    cdef Node *x
    cdef Node *y
    cdef int order
    if a.word != b.word:
        return a.word < b.word
    x = node_at(arena, a.link)
    y = node_at(arena, b.link)
    order = compare_keys(node_key(x), x.key_size, node_key(y), y.key_size)
    if order != 0:
        return order < 0
    if x.ts != y.ts:
        return x.ts > y.ts
    return a.link > b.link           # nodes lie in the order of insertion, and the later one stands first


cdef inline void _merge(const char *arena, const SortItem *source, size_t start, size_t middle, size_t stop,
                        SortItem *target) noexcept nogil:
    cdef size_t left = start, right = middle
    cdef bint take_right
    # Runs in order already (sequential writes) are copied as they are.
    if middle < stop and _precedes(arena, &source[middle], &source[middle - 1]):
        while left < middle and right < stop:
            take_right = _precedes(arena, &source[right], &source[left])
            target[start] = source[right if take_right else left]
            right += take_right
            left += not take_right
            start += 1
        memcpy(&target[start + middle - left], &source[right], (stop - right) * sizeof(SortItem))
        memcpy(&target[start], &source[left], (middle - left) * sizeof(SortItem))
    else:
        memcpy(&target[start], &source[start], (stop - start) * sizeof(SortItem))


# Bottom-up merge sort between the two arrays; returns the one that holds the result.
cdef SortItem *_sort(const char *arena, SortItem *source, SortItem *target, size_t count) noexcept nogil:
    cdef size_t width = 1, start, middle, stop
    cdef SortItem *swap
    while width < count:
        start = 0
        while start < count:
            middle = min(start + width, count)
            stop = min(middle + width, count)
            _merge(arena, source, start, middle, stop, target)
            start = stop
        swap = source
        source = target
        target = swap
        width *= 2
    return source


# How many first bytes all keys have in common.
cdef size_t _shared_bytes(const char *arena, uint32_t link, size_t count) noexcept nogil:
    cdef Node *node = node_at(arena, link)
    cdef const char *first = node_key(node)
    cdef const char *key
    cdef size_t shared = node.key_size, i, same
    for i in range(count):
        key = node_key(node)
        shared = min(shared, <size_t> node.key_size)
        if memcmp(first, key, shared) != 0:
            same = 0
            while first[same] == key[same]:
                same += 1
            shared = same
        if shared == 0:
            break
        link = node_following(node, link)
        node = node_at(arena, link)
    return shared


cdef int sort_nodes(const char *arena, uint32_t first, size_t count, uint32_t *links) noexcept nogil:
    cdef size_t shared, i
    cdef uint32_t link = first
    cdef SortItem *items
    cdef SortItem *result
    cdef Node *node
    if count == 0:
        return OK
    items = <SortItem *> malloc(2 * count * sizeof(SortItem))
    if items == NULL:
        return fail(NO_MEMORY, NULL, NULL, <uint64_t> NO_OFFSET)
    shared = _shared_bytes(arena, first, count)
    for i in range(count):
        node = node_at(arena, link)
        items[i].word = _big_endian(node_key(node) + shared, node.key_size - shared)
        items[i].link = link
        link = node_following(node, link)
    result = _sort(arena, items, items + count, count)
    for i in range(count):
        links[i] = result[i].link
    free(items)
    return OK
