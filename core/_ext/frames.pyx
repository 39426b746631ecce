"""Frames: the memory that decoded blocks live in, packed into huge pages.

Why not malloc alone: a cache of half a gigabyte spreads over 131,072 pages of 4 KiB, and a random read
touches three or four of them in turn, each a walk through the page tables. In huge pages the walks are
gone: random reads of 5 M keys gain a fifth (docs/decisions/0009-frames-in-huge-pages.md). Blocks are cut to
one target size, so slots of one size waste little and nothing needs to be searched.

A slot is an odd multiple of 64 bytes: frames' heads spread over all sets of the
processor's caches. Chunks whose frames are all free go back to the system, except one.
"""
from libc.stdint cimport uint32_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset
from posix.mman cimport (MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, madvise, mmap,
                         munmap)

from .census cimport FRAME, count_birth, count_death
from .platform cimport HUGE_PAGE_BYTES, add_u32, mutex_destroy, mutex_init, mutex_lock, mutex_unlock, sub_u32

cdef extern from *:
    """
    #if defined(__SANITIZE_ADDRESS__)
    #define PHANTOMDB_POOL_FRAMES 0      /* each frame an allocation of its own, so that misuse is seen */
    #else
    #define PHANTOMDB_POOL_FRAMES 1
    #endif
    """
    const bint POOL_FRAMES "PHANTOMDB_POOL_FRAMES"

cdef enum:
    ALLOCATION_BYTES = 16            # what malloc keeps beside each piece, about
    FRAME_BYTES_MAX = 0x7FFFFFFF     # `size` and `charge` have 32 bits
    LINE_BYTES = 64
    POISON = 0xDB

cdef bint _poison = False            # constant after test setup


# ---- the pool

cdef FramePool *frame_pool_new(size_t frame_bytes) noexcept nogil:
    cdef FramePool *pool = <FramePool *> calloc(1, sizeof(FramePool))
    if pool == NULL:
        return NULL
    mutex_init(&pool.mutex)
    pool.slot_bytes = (sizeof(Frame) + frame_bytes + LINE_BYTES - 1) & ~(<size_t> LINE_BYTES - 1)
    if pool.slot_bytes & LINE_BYTES == 0:
        pool.slot_bytes += LINE_BYTES                       # an odd number of lines
    return pool


cdef void frame_pool_free(FramePool *pool) noexcept nogil:
    cdef FrameChunk *chunk
    if pool == NULL:
        return
    while pool.open != NULL:
        chunk = pool.open
        _close_chunk(pool, chunk)
        munmap(chunk, HUGE_PAGE_BYTES)
    mutex_destroy(&pool.mutex)
    free(pool)


# 2 MiB at a multiple of 2 MiB: maps twice as much and gives back what lies around.
cdef char *_map_chunk() noexcept nogil:
    cdef char *mapping = <char *> mmap(NULL, 2 * HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                                       -1, 0)
    cdef size_t before
    if mapping == <char *> MAP_FAILED:
        return NULL
    before = (HUGE_PAGE_BYTES - (<size_t> mapping & (HUGE_PAGE_BYTES - 1))) & (HUGE_PAGE_BYTES - 1)
    if before:
        munmap(mapping, before)
    munmap(mapping + before + HUGE_PAGE_BYTES, HUGE_PAGE_BYTES - before)
    madvise(mapping + before, HUGE_PAGE_BYTES, MADV_HUGEPAGE)   # advice only
    return mapping + before


cdef void _open_chunk(FramePool *pool, FrameChunk *chunk) noexcept nogil:
    if pool.open == NULL:
        chunk.next = chunk.previous = chunk
        pool.open = chunk
        return
    chunk.next = pool.open               # last in the ring: fuller ones are filled first
    chunk.previous = pool.open.previous
    chunk.previous.next = chunk
    chunk.next.previous = chunk


cdef void _close_chunk(FramePool *pool, FrameChunk *chunk) noexcept nogil:
    if pool.open == chunk:
        pool.open = chunk.next if chunk.next != chunk else NULL
    chunk.next.previous = chunk.previous
    chunk.previous.next = chunk.next


cdef bint _add_chunk(FramePool *pool) noexcept nogil:
    cdef FrameChunk *chunk = <FrameChunk *> _map_chunk()
    if chunk == NULL:
        return False
    chunk.pool = pool
    chunk.unused_at = (sizeof(FrameChunk) + LINE_BYTES - 1) & ~(<size_t> LINE_BYTES - 1)
    _open_chunk(pool, chunk)
    pool.chunk_count += 1
    return True


cdef inline bint _is_full(const FrameChunk *chunk) noexcept nogil:
    return chunk.free_slots == NULL and chunk.unused_at + chunk.pool.slot_bytes > HUGE_PAGE_BYTES


cdef Frame *_take_slot(FramePool *pool, FrameChunk **out) noexcept nogil:
    cdef FrameChunk *chunk
    cdef char *slot = NULL
    mutex_lock(&pool.mutex)
    if pool.open != NULL or _add_chunk(pool):
        chunk = pool.open
        slot = chunk.free_slots
        if slot != NULL:
            chunk.free_slots = (<char **> slot)[0]
        else:
            slot = <char *> chunk + chunk.unused_at
            chunk.unused_at += pool.slot_bytes
        chunk.used += 1
        if _is_full(chunk):
            _close_chunk(pool, chunk)
        out[0] = chunk
    mutex_unlock(&pool.mutex)
    return <Frame *> slot


cdef void _give_slot(FrameChunk *chunk, char *slot) noexcept nogil:
    cdef FramePool *pool = chunk.pool
    cdef bint unmap = False
    mutex_lock(&pool.mutex)
    if _is_full(chunk):
        _open_chunk(pool, chunk)
    (<char **> slot)[0] = chunk.free_slots
    chunk.free_slots = slot
    chunk.used -= 1
    if chunk.used == 0 and chunk.next != chunk:
        _close_chunk(pool, chunk)
        pool.chunk_count -= 1
        unmap = True
    mutex_unlock(&pool.mutex)
    if unmap:
        munmap(chunk, HUGE_PAGE_BYTES)


# ---- frames

cdef Frame *frame_new(FramePool *pool, size_t size) noexcept nogil:
    cdef Frame *frame = NULL
    cdef FrameChunk *chunk = NULL
    cdef size_t taken = sizeof(Frame) + size
    if size > <size_t> FRAME_BYTES_MAX:
        return NULL
    if POOL_FRAMES and pool != NULL and taken <= pool.slot_bytes and taken > pool.slot_bytes // 2:
        frame = _take_slot(pool, &chunk)
    if chunk != NULL:
        taken = pool.slot_bytes
    else:                                # also when the system gives no further mapping
        frame = <Frame *> malloc(taken)
        taken += ALLOCATION_BYTES
    if frame == NULL:
        return NULL
    memset(frame, 0, sizeof(Frame))
    frame.references = 1
    frame.size = <uint32_t> size
    frame.charge = <uint32_t> taken
    frame.chunk = chunk
    count_birth(FRAME)
    return frame


cdef Frame *frame_retain(Frame *frame) noexcept nogil:
    add_u32(&frame.references, 1)
    return frame


cdef void frame_release(Frame *frame) noexcept nogil:
    if frame == NULL or sub_u32(&frame.references, 1) != 1:
        return
    if _poison:
        memset(frame.data, POISON, frame.size)
    if frame.chunk != NULL:
        _give_slot(frame.chunk, <char *> frame)
    else:
        free(frame)
    count_death(FRAME)


# ---- what tests see ------------------------------------------------------------------------------

def poison_freed_frames(bint enabled):
    """Overwrites frames before they are freed, so that a use after it shows. For tests; off by default."""
    global _poison
    _poison = enabled
