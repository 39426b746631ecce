# Read guard: a reader announces itself with one atomic increment and leaves with one decrement;
# whoever has unlinked memory frees it only when every reader that might still see it has left.
# (Sleepable RCU after McKenney: two counters, new readers use one while the other drains.)
#
#   reader:     token = guard_enter(g); p = load_ptr(&shared); ... use p ...; guard_exit(g, token)
#   reclaimer:  store_ptr(&shared, new); guard_defer(g, free_function, old)
#
# A reader may block while inside (read a block); that only delays freeing, never correctness.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .platform cimport add_u32, mutex_t, relaxed_u32, sub_u32, thread_stripe

cdef enum:
    GUARD_STRIPES = 16

cdef struct GuardStripe:             # one cache line, so that threads do not share one
    uint32_t readers[2]
    uint32_t padding[14]

ctypedef void (*deferred_free)(void *) noexcept nogil

cdef struct Deferred:
    deferred_free function
    void *argument
    size_t size                      # bytes it will give back, for accounting
    Deferred *next

cdef struct Guard:
    GuardStripe stripes[GUARD_STRIPES]
    uint32_t parity                  # which of readers[2] new readers use
    mutex_t mutex                    # guards what follows
    Deferred *waiting                # unlinked, not yet in a grace period
    Deferred *draining               # in the current grace period
    uint32_t drained                 # bit i: readers[i] was seen at zero since `draining` was filled
    size_t deferred_bytes
    size_t deferred_count
    # batches are numbered: started >= detached >= finished, never more than one apart each
    uint64_t started                 # moved from waiting to draining
    uint64_t detached                # drained, taken out by the thread that frees it
    uint64_t finished                # freed
    uint64_t requested               # start batches up to this one, even empty ones (guard_synchronize)

cdef inline uint32_t guard_enter(Guard *guard) noexcept nogil:
    cdef uint32_t stripe = thread_stripe() & (GUARD_STRIPES - 1)
    cdef uint32_t side = relaxed_u32(&guard.parity)
    add_u32(&guard.stripes[stripe].readers[side], 1)
    return stripe * 2 + side

cdef inline void guard_exit(Guard *guard, uint32_t token) noexcept nogil:
    sub_u32(&guard.stripes[token >> 1].readers[token & 1], 1)

cdef Guard *guard_new() noexcept nogil                        # NULL when out of memory
cdef void guard_free(Guard *guard) noexcept nogil             # frees all that is deferred; no reader may be inside
# Takes over `argument`: `function(argument)` is called once no reader can hold it, by this call or a later one.
cdef void guard_defer(Guard *guard, deferred_free function, void *argument, size_t size) noexcept nogil
# Frees what can be freed now; cheap, never waits.
cdef void guard_poll(Guard *guard) noexcept nogil
# Waits until every reader that was inside at the call has left and frees all that was deferred before it.
# Not to be called by a reader inside, nor by a deferred function: both would wait for themselves.
cdef void guard_synchronize(Guard *guard) noexcept nogil
