# Block cache: decompressed blocks (frames) under one byte budget.
#
# A table owns an array with one slot a block; a cached block is found by one load from that array,
# no hash table. The cache keeps all frames on a ring and evicts by second chance (CLOCK): a frame
# read since the hand last passed is spared. Scans insert only their first blocks, so one scan over
# everything cannot empty the cache of what point reads need.
from libc.stdint cimport int64_t, uint64_t
from libc.stddef cimport size_t

from .frames cimport Frame, FramePool
from .guard cimport Guard
from .platform cimport mutex_t

cdef struct Cache:
    mutex_t mutex                    # guards ring, hand, used, and every store to a slot
    Guard *guard
    FramePool *pool                  # NULL: all frames come from malloc
    uint64_t budget                  # bytes
    uint64_t used                    # bytes of frames on the ring plus bytes charged from outside
    Frame *hand
    uint64_t frame_count             # on the ring
    uint64_t inserts                 # statistics
    uint64_t evictions

# `block_bytes`: the size blocks are cut to, for which memory is pooled.
cdef Cache *cache_new(uint64_t budget, Guard *guard, size_t block_bytes) noexcept nogil
cdef void cache_free(Cache *cache) noexcept nogil             # all tables must have dropped their frames
# Publishes `frame` in `*slot`, taking over the caller's reference, and evicts to stay in budget.
# When another thread was first, `frame` is released. Returns the frame now in the slot, with one
# reference added for the caller. A frame over the whole budget is not published: it comes back as
# the caller's own.
cdef Frame *cache_insert(Cache *cache, Frame **slot, Frame *frame) noexcept nogil
# Unlinks the frames of `count` slots (a table is being dropped, and no reader can reach it any more).
cdef void cache_drop(Cache *cache, Frame **slots, size_t count) noexcept nogil
# Another budget from now on; evicts what is too much.
cdef void cache_set_budget(Cache *cache, uint64_t budget) noexcept nogil
# Memory that lives outside frames (filters, indexes) but inside the budget; negative gives back.
cdef void cache_charge(Cache *cache, int64_t bytes) noexcept nogil
