# Frames: reference-counted memory for one decoded block each.
#
#   chunk of 2 MiB, aligned, in a huge page where the system gives one
#   +--------+---------+---------+---------+- - -+------+
#   | header | frame   | free    | frame   |     | rest |     slots of one size: a block of the usual size
#   +--------+---------+---------+---------+- - -+------+     and its frame's head fit one
#
# What does not fit a slot, or would fill less than half of one, comes from malloc.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .platform cimport mutex_t

cdef struct Frame:                   # starts a cache line when pooled: a reader's first look takes one line
    uint32_t references              # atomic; the cache (or the private owner) holds one, cursors one each
    uint32_t touched                 # atomic; 1 = read since the cache's hand last passed
    uint32_t size                    # bytes of `data`
    uint32_t charge                  # bytes it takes in all
    Frame **slot                     # where the table points here; NULL once unlinked or for a private frame
    Frame *next                      # the cache's ring; guarded by its mutex
    Frame *previous
    FrameChunk *chunk                # NULL: the frame came from malloc
    char data[0]                     # the decoded block; 8-byte aligned

cdef struct FrameChunk:              # at the start of its 2 MiB
    FramePool *pool
    FrameChunk *next                 # ring of the chunks with a free slot; guarded by the pool's mutex
    FrameChunk *previous
    char *free_slots                 # given back, chained by their first word
    size_t unused_at                 # from here on never used
    uint32_t used

cdef struct FramePool:
    mutex_t mutex
    size_t slot_bytes
    FrameChunk *open                 # chunks with a free slot, NULL when there is none
    uint64_t chunk_count

cdef FramePool *frame_pool_new(size_t frame_bytes) noexcept nogil      # for blocks of up to `frame_bytes`
cdef void frame_pool_free(FramePool *pool) noexcept nogil              # all its frames must have been released
# A frame with room for `size` bytes and one reference; NULL when out of memory. `pool` may be NULL.
cdef Frame *frame_new(FramePool *pool, size_t size) noexcept nogil
# Adds a reference. The caller is inside the read guard or already holds one.
cdef Frame *frame_retain(Frame *frame) noexcept nogil
cdef void frame_release(Frame *frame) noexcept nogil                   # frees at zero
cdef inline void frame_touch(Frame *frame) noexcept nogil:
    if frame.touched == 0:
        frame.touched = 1
