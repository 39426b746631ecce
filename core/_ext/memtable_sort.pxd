# Sorting the nodes of an arena, for memtables that were filled without order.
from libc.stdint cimport uint32_t
from libc.stddef cimport size_t

# Fills `links` with the `count` nodes that lie one after another from `first`, in the order
# (key, timestamp descending, inserted later first). OK or NO_MEMORY.
cdef int sort_nodes(const char *arena, uint32_t first, size_t count, uint32_t *links) noexcept nogil
