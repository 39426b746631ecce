# Block cache: decompressed blocks (frames) under one byte budget.
#
# A table owns an array with one slot a block; a cached block is found by one load from that array,
# no hash table. The cache keeps all frames on a ring and evicts by second chance (CLOCK): a frame
# read since the hand last passed is spared. Scans insert only their first blocks, so one scan over
# everything cannot empty the cache of what point reads need.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .guard cimport Guard
from .platform cimport mutex_t

cdef struct Frame:
    uint32_t references              # atomic; the cache (or the private owner) holds one, cursors one each
    uint32_t touched                 # atomic; 1 = read since the hand last passed
    uint32_t size                    # bytes of `data`
    uint32_t charge                  # bytes taken from the budget
    Frame **slot                     # where the table points here; NULL once unlinked or for a private frame
    Frame *next                      # ring; guarded by the cache's mutex
    Frame *previous
    char data[0]                     # the decoded block; 8-byte aligned

cdef struct Cache:
    mutex_t mutex                    # guards ring, hand, used, and every store to a slot
    Guard *guard
    uint64_t budget                  # bytes; constant
    uint64_t used                    # bytes of frames on the ring plus bytes charged from outside
    Frame *hand
    uint64_t frame_count             # on the ring
    uint64_t inserts                 # statistics
    uint64_t evictions

cdef Cache *cache_new(uint64_t budget, Guard *guard) noexcept nogil
cdef void cache_free(Cache *cache) noexcept nogil             # all tables must have dropped their frames
# A frame with room for `size` bytes, one reference, not yet in the cache; NULL when out of memory.
cdef Frame *frame_new(size_t size) noexcept nogil
# Adds a reference. The caller is inside the read guard or already holds one.
cdef Frame *frame_retain(Frame *frame) noexcept nogil
cdef void frame_release(Frame *frame) noexcept nogil          # frees at zero
# Publishes `frame` in `*slot`, taking over the caller's reference, and evicts to stay in budget.
# When another thread was first, `frame` is released. Returns the frame now in the slot, with one
# reference added for the caller. A frame over the whole budget is not published: it comes back as
# the caller's own.
cdef Frame *cache_insert(Cache *cache, Frame **slot, Frame *frame) noexcept nogil
# Unlinks the frames of `count` slots (a table is being dropped, and no reader can reach it any more).
cdef void cache_drop(Cache *cache, Frame **slots, size_t count) noexcept nogil
# Memory that lives outside frames (filters, indexes) but inside the budget; negative gives back.
cdef void cache_charge(Cache *cache, int64_t bytes) noexcept nogil
cdef inline void frame_touch(Frame *frame) noexcept nogil:
    if frame.touched == 0:
        frame.touched = 1
