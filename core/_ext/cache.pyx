"""Block cache: one byte budget, second chance, and lookups that take no lock.

    table A slots  [ * | . | * | . ]      a lookup is load_ptr(&slots[i]) under the read guard;
                     |       |            it writes one word of the frame, and only when that is 0
                     v       v
    ring        .-> F7 <--> F3 <--> F9 <-.
                '------------------------'
                             ^ hand

A frame read since the hand last passed carries touched = 1: the hand clears the mark and spares it;
an unmarked frame goes. New frames come in right behind the hand, unmarked, so the hand meets them
last and what is never read again goes after one turn. (CLOCK, after Corbato, "A Paging Experiment
with the Multics System", 1968.)

Who may free a frame. The ring's reference is dropped through the read guard, after the slot was
cleared: a reader inside the guard that loaded the slot before may still use the frame, or retain it
and use it after it left. An evicted frame held by a cursor no longer counts towards the budget.

A table clears its slots with cache_drop when no reader can reach it any more (from its own deferred
release); a reader that still could would publish new frames into slots that are about to be freed.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_FromStringAndSize

from .frames cimport Frame, frame_new, frame_pool_free, frame_pool_new, frame_release, frame_retain, frame_touch
from .guard cimport (Guard, guard_defer, guard_enter, guard_exit, guard_free, guard_new, guard_synchronize)
from .platform cimport (HUGE_PAGE_BYTES, load_ptr, mutex_destroy, mutex_init, mutex_lock, mutex_unlock, prefetch,
                        relaxed_u32, set_relaxed_u32, store_ptr)

cdef enum:
    POOL_MIN_BUDGET = 33554432       # a smaller cache would feel that pools grow by chunks of 2 MiB
    POOL_MAX_BLOCK_BYTES = 65536


cdef Cache *cache_new(uint64_t budget, Guard *guard, size_t block_bytes) noexcept nogil:
    cdef Cache *cache = <Cache *> calloc(1, sizeof(Cache))
    if cache == NULL:
        return NULL
    if budget >= POOL_MIN_BUDGET and block_bytes <= POOL_MAX_BLOCK_BYTES:
        cache.pool = frame_pool_new(block_bytes)
        if cache.pool == NULL:
            free(cache)
            return NULL
    mutex_init(&cache.mutex)
    cache.guard = guard
    cache.budget = budget
    return cache


cdef void cache_free(Cache *cache) noexcept nogil:
    if cache == NULL:
        return
    frame_pool_free(cache.pool)
    mutex_destroy(&cache.mutex)
    free(cache)


cdef void _release_deferred(void *frame) noexcept nogil:
    frame_release(<Frame *> frame)


# Takes `frame` off the ring and out of its slot and pushes it onto `chain`. Under the mutex.
cdef void _unlink(Cache *cache, Frame *frame, Frame **chain) noexcept nogil:
    if frame.next == frame:
        cache.hand = NULL
    else:
        if cache.hand == frame:
            cache.hand = frame.next
        frame.next.previous = frame.previous
        frame.previous.next = frame.next
    store_ptr(<void **> frame.slot, NULL)
    frame.slot = NULL
    frame.previous = NULL
    frame.next = chain[0]
    chain[0] = frame
    cache.used -= frame.charge
    cache.frame_count -= 1


# Brings `used` under the budget if two turns of the hand can; spares `newest`. Under the mutex.
# Two turns, because the first one may only clear marks; readers may set them again meanwhile, and
# then a little too much stays until the next insert.
cdef void _evict(Cache *cache, Frame *newest, Frame **chain) noexcept nogil:
    cdef uint64_t steps = 2 * cache.frame_count
    cdef Frame *frame
    while cache.used > cache.budget and steps != 0 and cache.hand != NULL:
        steps -= 1
        frame = cache.hand
        if frame == newest:
            cache.hand = frame.next
        elif relaxed_u32(&frame.touched) != 0:
            set_relaxed_u32(&frame.touched, 0)
            cache.hand = frame.next
        else:
            _unlink(cache, frame, chain)
            cache.evictions += 1
    if cache.hand != NULL:
        prefetch(cache.hand)             # the next insert looks at it first


# Drops the ring's reference of each frame once no reader can be about to retain it. Not under the
# mutex: guard_defer may free what others deferred, and that may come back into the cache.
cdef void _release_chain(Cache *cache, Frame *frame) noexcept nogil:
    cdef Frame *following
    while frame != NULL:
        following = frame.next
        guard_defer(cache.guard, _release_deferred, frame, frame.charge)
        frame = following


cdef Frame *cache_insert(Cache *cache, Frame **slot, Frame *frame) noexcept nogil:
    cdef Frame *present
    cdef Frame *chain = NULL
    mutex_lock(&cache.mutex)
    if frame.charge > cache.budget:
        mutex_unlock(&cache.mutex)
        return frame                 # could never stay: it remains the caller's own
    present = slot[0]
    if present != NULL:
        frame_retain(present)        # the ring's reference cannot go while we hold the mutex
        mutex_unlock(&cache.mutex)
        frame_release(frame)
        return present
    frame_retain(frame)
    frame.touched = 0
    frame.slot = slot
    if cache.hand == NULL:
        frame.next = frame
        frame.previous = frame
        cache.hand = frame
    else:
        frame.next = cache.hand
        frame.previous = cache.hand.previous
        frame.previous.next = frame
        cache.hand.previous = frame
    cache.used += frame.charge
    cache.frame_count += 1
    cache.inserts += 1
    store_ptr(<void **> slot, frame)
    _evict(cache, frame, &chain)
    mutex_unlock(&cache.mutex)
    _release_chain(cache, chain)
    return frame


cdef void cache_drop(Cache *cache, Frame **slots, size_t count) noexcept nogil:
    cdef Frame *chain = NULL
    cdef size_t i
    mutex_lock(&cache.mutex)
    for i in range(count):
        if slots[i] != NULL:
            _unlink(cache, slots[i], &chain)
    mutex_unlock(&cache.mutex)
    _release_chain(cache, chain)


cdef void cache_set_budget(Cache *cache, uint64_t budget) noexcept nogil:
    cdef Frame *chain = NULL
    mutex_lock(&cache.mutex)
    cache.budget = budget
    _evict(cache, NULL, &chain)
    mutex_unlock(&cache.mutex)
    _release_chain(cache, chain)


cdef void cache_charge(Cache *cache, int64_t bytes) noexcept nogil:
    cdef Frame *chain = NULL
    mutex_lock(&cache.mutex)
    cache.used += <uint64_t> bytes   # two's complement: a negative number gives back
    _evict(cache, NULL, &chain)
    mutex_unlock(&cache.mutex)
    _release_chain(cache, chain)


# ---- what tests see ------------------------------------------------------------------------------

cdef class CacheProbe:
    """A cache with a guard and one array of slots of its own, for tests."""
    cdef Guard *guard
    cdef Cache *cache
    cdef Frame **slots
    cdef readonly size_t slot_count

    def __cinit__(self, uint64_t budget, size_t slot_count, size_t block_bytes=4096):
        self.slot_count = slot_count
        self.guard = guard_new()
        self.slots = <Frame **> calloc(slot_count + 1, sizeof(Frame *))
        self.cache = cache_new(budget, self.guard, block_bytes)
        if self.guard == NULL or self.slots == NULL or self.cache == NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.cache != NULL and self.slots != NULL:
            cache_drop(self.cache, self.slots, self.slot_count)
        guard_free(self.guard)
        cache_free(self.cache)
        free(self.slots)

    cdef int _check(self, size_t index) except -1:
        if index >= self.slot_count:
            raise IndexError(index)
        return 0

    def insert(self, size_t index, bytes data not None):
        """Caches `data` in a slot; returns what the slot holds then, or `data` if it is too large to stay."""
        cdef Frame *frame
        cdef const char *source = data
        cdef size_t size = len(data)
        self._check(index)
        frame = frame_new(self.cache.pool, size)
        if frame == NULL:
            raise MemoryError()
        with nogil:
            memcpy(frame.data, source, size)
            frame = cache_insert(self.cache, &self.slots[index], frame)
        try:
            return PyBytes_FromStringAndSize(frame.data, frame.size)
        finally:
            frame_release(frame)

    def get(self, size_t index):
        """The bytes cached in a slot, marked as read, or None."""
        cdef uint32_t token
        cdef Frame *frame
        self._check(index)
        token = guard_enter(self.guard)
        frame = <Frame *> load_ptr(<void **> &self.slots[index])
        if frame != NULL:
            frame_touch(frame)
            frame_retain(frame)
        guard_exit(self.guard, token)
        if frame == NULL:
            return None
        try:
            return PyBytes_FromStringAndSize(frame.data, frame.size)
        finally:
            frame_release(frame)

    def contains(self, size_t index):
        """Whether a slot is filled; does not mark the frame as read."""
        self._check(index)
        return self.slots[index] != NULL

    def drop(self, size_t start, size_t count):
        """Unlinks the frames of `count` slots from `start` on."""
        if start + count > self.slot_count:
            raise IndexError(start + count)
        with nogil:
            cache_drop(self.cache, self.slots + start, count)

    def charge(self, int64_t size):
        """Takes memory outside frames from the budget; negative gives back."""
        with nogil:
            cache_charge(self.cache, size)

    def set_budget(self, uint64_t budget):
        """From now on so many bytes."""
        with nogil:
            cache_set_budget(self.cache, budget)

    def synchronize(self):
        """Frees every evicted frame that nobody holds."""
        with nogil:
            guard_synchronize(self.guard)

    def frame_charge(self, size_t size):
        """What a frame of `size` bytes takes from the budget."""
        cdef Frame *frame = frame_new(self.cache.pool, size)
        if frame == NULL:
            raise MemoryError()
        try:
            return frame.charge
        finally:
            frame_release(frame)

    @property
    def used(self):
        """Bytes taken from the budget."""
        return self.cache.used

    @property
    def pool_bytes(self):
        """Memory that pooled frames have from the system."""
        return self.cache.pool.chunk_count * HUGE_PAGE_BYTES if self.cache.pool != NULL else 0

    @property
    def inserts(self):
        """Frames published so far."""
        return self.cache.inserts

    @property
    def evictions(self):
        """Frames evicted so far."""
        return self.cache.evictions

    @property
    def frame_count(self):
        """Frames on the ring; checks the ring's links on the way."""
        cdef uint64_t count = 0
        cdef Frame *frame
        mutex_lock(&self.cache.mutex)
        frame = self.cache.hand
        while frame != NULL and count <= self.cache.frame_count:
            if frame.slot[0] != frame or frame.next.previous != frame:
                break
            count += 1
            frame = frame.next
            if frame == self.cache.hand:
                break
        mutex_unlock(&self.cache.mutex)
        if count != self.cache.frame_count:
            raise AssertionError(f"ring holds {count} frames, counted {self.cache.frame_count}")
        return count

    def hammer(self, uint64_t seed, uint64_t rounds, size_t frame_words):
        """Random lookups and inserts without the GIL; returns (hits, misses, damaged frames seen).

        Every word of a frame holds its slot's number, so a frame freed too early shows. Some frames
        are held beyond the read guard, some slots are dropped.
        """
        cdef uint64_t hits = 0, misses = 0, damaged = 0, state = seed * 2 + 1
        cdef uint64_t round_number
        cdef uint32_t token
        cdef size_t index, word
        cdef Frame *frame
        cdef bint hold
        with nogil:
            for round_number in range(rounds):
                state = state * <uint64_t> 6364136223846793005 + <uint64_t> 1442695040888963407
                index = <size_t> ((state >> 33) % self.slot_count)
                hold = (state >> 40) & 1
                token = guard_enter(self.guard)
                frame = <Frame *> load_ptr(<void **> &self.slots[index])
                if frame == NULL:
                    misses += 1
                    hold = True
                    frame = frame_new(self.cache.pool, frame_words * sizeof(uint64_t))
                    if frame == NULL:
                        guard_exit(self.guard, token)
                        break
                    for word in range(frame_words):
                        (<uint64_t *> frame.data)[word] = index
                    frame = cache_insert(self.cache, &self.slots[index], frame)
                else:
                    hits += 1
                    frame_touch(frame)
                    if hold:
                        frame_retain(frame)
                if hold:
                    guard_exit(self.guard, token)
                for word in range(frame_words):
                    if (<uint64_t *> frame.data)[word] != index:
                        damaged += 1
                        break
                if hold:
                    frame_release(frame)
                else:
                    guard_exit(self.guard, token)
                if (state >> 50) % 64 == 0:
                    cache_drop(self.cache, &self.slots[index], 1)
        return hits, misses, damaged
