"""Read guard: frees unlinked memory once nobody can be reading it any more.

Readers never wait and never write to a line that another core is likely to hold. They count
themselves in and out on one of two sides; `parity` names the side that new readers take:

    readers[0]   ##########            old side: nobody new comes in, so it runs empty
    readers[1]   ####                  parity = 1: newcomers are counted here

Deferred items wait in two lists, so that those which come during a grace period have to wait for
the next one:

    guard_defer --> waiting --(batch starts)--> draining --(both sides seen empty)--> freed

Why it is safe. An item in `draining` was unlinked before the batch started. A reader that can
still see it counted itself in before the unlinking (its increment and our fence are sequentially
consistent) and stays counted in one stripe of one side until it leaves. So after the batch
started, each stripe of each side must be read as zero once; the reads may happen at any time and
in any order, and a side that was seen empty may fill again: whoever came later cannot find the item.

Why it ends. A side that newcomers still use might never be seen empty. When the other one was,
`parity` is flipped and this side starts to drain. The flip serves progress only: a reader that read
the old parity before the flip and counts itself in after it merely delays the batch. That is why
both sides must be seen, not only the old one.

The idea is sleepable RCU: McKenney, "Sleepable Read-Copy Update", 2006.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from .platform cimport (add_u64, full_fence, load_ptr, load_u32, load_u64, monotonic_ns, mutex_destroy, mutex_init,
                        mutex_lock, mutex_unlock, relaxed_u32, set_relaxed_u32, sleep_us, swap_ptr)

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void **out, size_t alignment, size_t size) noexcept
cdef extern from "sched.h" nogil:
    int sched_yield() noexcept

cdef enum:
    # beyond either of these guard_defer itself tries to free; below, it costs one lock and one push
    POLL_ITEMS = 64
    POLL_BYTES = 1 << 20
    # how often guard_synchronize yields before it sleeps; a read is usually over by then
    YIELDS = 64
    SLEEP_US = 50
    BOTH_SIDES = 3


cdef Guard *guard_new() noexcept nogil:
    cdef void *memory = NULL
    cdef Guard *guard
    if posix_memalign(&memory, sizeof(GuardStripe), sizeof(Guard)) != 0:
        return NULL
    memset(memory, 0, sizeof(Guard))
    guard = <Guard *> memory
    mutex_init(&guard.mutex)
    return guard


# Runs and frees the whole list; returns how many bytes that gave back. Never under the mutex: the
# functions may take locks and may defer more.
cdef size_t _run(Deferred *item, size_t *count) noexcept nogil:
    cdef Deferred *following
    cdef size_t size = 0
    count[0] = 0
    while item != NULL:
        following = item.next
        size += item.size
        count[0] += 1
        item.function(item.argument)
        free(item)
        item = following
    return size


cdef void guard_free(Guard *guard) noexcept nogil:
    cdef Deferred *waiting
    cdef Deferred *draining
    cdef size_t count
    if guard == NULL:
        return
    while guard.waiting != NULL or guard.draining != NULL:
        waiting = guard.waiting
        draining = guard.draining
        guard.waiting = NULL
        guard.draining = NULL
        _run(draining, &count)
        _run(waiting, &count)
    mutex_destroy(&guard.mutex)
    free(guard)


cdef bint _side_is_empty(Guard *guard, uint32_t side) noexcept nogil:
    cdef int stripe
    for stripe in range(GUARD_STRIPES):
        if load_u32(&guard.stripes[stripe].readers[side]) != 0:
            return False
    return True


# One look at the counters, under the mutex. 1: a batch has drained, it is now the caller's in `out`.
cdef bint _advance(Guard *guard, Deferred **out) noexcept nogil:
    cdef uint32_t side
    if guard.started == guard.detached:
        if guard.waiting == NULL and guard.started >= guard.requested:
            return False
        guard.draining = guard.waiting
        guard.waiting = NULL
        guard.drained = 0
        guard.started += 1
    # Orders the unlinking of every item in the batch before our look at the counters; pairs with
    # the increment in guard_enter.
    full_fence()
    for side in range(2):
        if not guard.drained & (1 << side) and _side_is_empty(guard, side):
            guard.drained |= 1 << side
    if guard.drained != BOTH_SIDES:
        side = relaxed_u32(&guard.parity)
        if guard.drained & (1 << (1 - side)):
            set_relaxed_u32(&guard.parity, 1 - side)
        return False
    if guard.detached != guard.finished:
        return False                 # the batch before is being freed; its thread comes back for this one
    out[0] = guard.draining
    guard.draining = NULL
    guard.detached += 1
    return True


cdef void guard_poll(Guard *guard) noexcept nogil:
    cdef Deferred *batch = NULL
    cdef size_t size, count
    mutex_lock(&guard.mutex)
    while _advance(guard, &batch):
        mutex_unlock(&guard.mutex)
        size = _run(batch, &count)
        mutex_lock(&guard.mutex)
        guard.finished += 1
        guard.deferred_bytes -= size
        guard.deferred_count -= count
    mutex_unlock(&guard.mutex)


cdef void guard_defer(Guard *guard, deferred_free function, void *argument, size_t size) noexcept nogil:
    cdef Deferred *item = <Deferred *> malloc(sizeof(Deferred))
    cdef bint poll
    if item == NULL:
        return                       # no memory: to lose `argument` is the one safe thing left
    item.function = function
    item.argument = argument
    item.size = size
    mutex_lock(&guard.mutex)
    item.next = guard.waiting
    guard.waiting = item
    guard.deferred_bytes += size
    guard.deferred_count += 1
    poll = guard.deferred_bytes > POLL_BYTES or guard.deferred_count > POLL_ITEMS
    mutex_unlock(&guard.mutex)
    if poll:
        guard_poll(guard)


cdef void guard_synchronize(Guard *guard) noexcept nogil:
    cdef uint64_t target
    cdef bint done = False
    cdef int turn = 0
    mutex_lock(&guard.mutex)
    # The first batch to start from now on holds all that waits now, and comes after all that drains.
    target = guard.started + 1
    if guard.requested < target:
        guard.requested = target
    mutex_unlock(&guard.mutex)
    while True:
        guard_poll(guard)
        mutex_lock(&guard.mutex)
        done = guard.finished >= target
        mutex_unlock(&guard.mutex)
        if done:
            return
        if turn < YIELDS:
            turn += 1
            sched_yield()
        else:
            sleep_us(SLEEP_US)


# ---- what tests see ------------------------------------------------------------------------------

cdef void _count_call(void *argument) noexcept nogil:
    add_u64(<uint64_t *> argument, 1)


cdef struct Cell:                    # what the hammer publishes and unlinks
    uint64_t value
    uint64_t check                   # ~value; anything else means that freed memory was read


cdef void _spoil_cell(void *argument) noexcept nogil:
    memset(argument, 0xDB, sizeof(Cell))
    free(argument)


cdef class GuardProbe:
    """A guard of its own, for tests: enter, leave and defer by hand, or hammer it from threads."""
    cdef Guard *guard
    cdef uint64_t *calls             # how many deferred items were freed; changed by one freeing thread at a time
    cdef void *shared                # the cell that hammer() publishes

    def __cinit__(self):
        self.guard = guard_new()
        self.calls = <uint64_t *> calloc(1, sizeof(uint64_t))
        self.shared = NULL
        if self.guard == NULL or self.calls == NULL:
            raise MemoryError()

    def __dealloc__(self):
        guard_free(self.guard)
        free(self.calls)
        free(self.shared)

    def enter(self):
        """Goes inside as a reader; returns the token that leave() takes."""
        return guard_enter(self.guard)

    def leave(self, uint32_t token):
        """Leaves; a token may be used once."""
        guard_exit(self.guard, token)

    def defer(self, size_t size=0):
        """Defers one item that counts itself in `freed`."""
        with nogil:
            guard_defer(self.guard, _count_call, self.calls, size)

    def poll(self):
        """Frees what can be freed now."""
        with nogil:
            guard_poll(self.guard)

    def synchronize(self):
        """Waits for the readers inside and frees all deferred before the call."""
        with nogil:
            guard_synchronize(self.guard)

    @property
    def freed(self):
        """How many items of defer() have been freed."""
        return self.calls[0]

    @property
    def deferred_bytes(self):
        """Bytes deferred and not freed yet."""
        return self.guard.deferred_bytes

    @property
    def deferred_count(self):
        """Items deferred and not freed yet."""
        return self.guard.deferred_count

    @property
    def parity(self):
        """The side that new readers take, 0 or 1."""
        return self.guard.parity

    def hammer_write(self, uint64_t rounds):
        """Replaces the shared cell `rounds` times, deferring the old one. One thread at a time."""
        cdef uint64_t round_number
        cdef Cell *cell
        cdef void *old
        with nogil:
            for round_number in range(rounds):
                cell = <Cell *> malloc(sizeof(Cell))
                if cell == NULL:
                    break
                cell.value = round_number
                cell.check = ~round_number
                old = swap_ptr(&self.shared, cell)
                if old != NULL:
                    guard_defer(self.guard, _spoil_cell, old, sizeof(Cell))

    def hammer_read(self, uint64_t duration_ms):
        """Reads the shared cell for that long; returns (reads, reads that saw freed memory)."""
        cdef uint64_t reads = 0, damaged = 0
        cdef uint64_t end = monotonic_ns() + duration_ms * 1000000
        cdef uint32_t token
        cdef Cell *cell
        cdef int pause
        with nogil:
            while monotonic_ns() < end:
                token = guard_enter(self.guard)
                cell = <Cell *> load_ptr(&self.shared)
                if cell != NULL:
                    for pause in range(<int> (reads & 63)):     # stay inside for differently long
                        if load_u64(&cell.check) != ~load_u64(&cell.value):
                            damaged += 1
                            break
                    if (reads & 255) == 0:
                        sched_yield()
                    if load_u64(&cell.check) != ~load_u64(&cell.value):
                        damaged += 1
                guard_exit(self.guard, token)
                reads += 1
        return reads, damaged
