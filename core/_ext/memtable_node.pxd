# A memtable's node and how two are compared; shared by memtable.pyx and memtable_sort.pyx.
#
#   key_size | value_size | ts | hash_next | shape | next[height] | key | value | pad to 8
#
# Links are offsets in the arena divided by 8, 0 = none. A node never changes once it is reachable,
# except for its links and the REPLACED mark.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memcmp

from .cursor cimport compare_keys
from .platform cimport relaxed_u32

cdef enum:
    NODE_BYTES = 24                  # before the links
    REPLACED = 65536                 # in `shape`: a node with the same (key, ts) stands before this one

cdef struct Node:
    uint32_t key_size
    uint32_t value_size
    uint64_t ts
    uint32_t hash_next               # atomic
    uint32_t shape                   # atomic; kind | height << 8 | REPLACED
    uint32_t next[0]                 # atomic; [height]

cdef inline Node *node_at(const char *arena, uint32_t link) noexcept nogil:
    return <Node *> (arena + (<size_t> link << 3))

cdef inline uint32_t node_height(const Node *node) noexcept nogil:
    return (relaxed_u32(&node.shape) >> 8) & 0xFF

cdef inline const char *node_key(const Node *node) noexcept nogil:
    return <const char *> &node.next[node_height(node)]

cdef inline size_t node_bytes(uint32_t height, size_t key_size, size_t value_size) noexcept nogil:
    return (NODE_BYTES + 4 * height + key_size + value_size + 7) & ~(<size_t> 7)

# Where the node inserted next begins.
cdef inline uint32_t node_following(const Node *node, uint32_t link) noexcept nogil:
    return link + <uint32_t> (node_bytes(node_height(node), node.key_size, node.value_size) >> 3)

# Whether `node` stands before (key, ts).
cdef inline bint node_precedes(const Node *node, const char *key, size_t key_size, uint64_t ts) noexcept nogil:
    cdef int order = compare_keys(node_key(node), node.key_size, key, key_size)
    return order < 0 or (order == 0 and node.ts > ts)

cdef inline bint node_has_key(const Node *node, const char *key, size_t key_size) noexcept nogil:
    return node.key_size == key_size and memcmp(node_key(node), key, key_size) == 0

cdef inline bint node_same_version(const Node *a, const Node *b) noexcept nogil:
    return a.ts == b.ts and node_has_key(a, node_key(b), b.key_size)
