# Contract of platform.h: atomics, locks, clocks, unaligned loads. No function here can fail.
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t

cdef enum:
    HUGE_PAGE_BYTES = 2097152        # of x86-64, and of aarch64 with pages of 4 KiB

cdef extern from "platform.h" nogil:
    # acquire loads, release stores
    uint32_t load_u32(const uint32_t *p) noexcept
    uint64_t load_u64(const uint64_t *p) noexcept
    void *load_ptr(void **p) noexcept
    void store_u32(uint32_t *p, uint32_t v) noexcept
    void store_u64(uint64_t *p, uint64_t v) noexcept
    void store_ptr(void **p, void *v) noexcept
    uint32_t relaxed_u32(const uint32_t *p) noexcept
    uint64_t relaxed_u64(const uint64_t *p) noexcept
    void set_relaxed_u32(uint32_t *p, uint32_t v) noexcept
    void set_relaxed_u64(uint64_t *p, uint64_t v) noexcept
    # sequentially consistent; each returns the value before the operation
    uint32_t add_u32(uint32_t *p, uint32_t v) noexcept
    uint32_t sub_u32(uint32_t *p, uint32_t v) noexcept
    uint64_t add_u64(uint64_t *p, uint64_t v) noexcept
    uint64_t sub_u64(uint64_t *p, uint64_t v) noexcept
    void *swap_ptr(void **p, void *v) noexcept
    int cas_ptr(void **p, void *expected, void *desired) noexcept    # 1: swapped
    void full_fence() noexcept
    void prefetch(const void *p) noexcept

    ctypedef struct mutex_t:
        pass
    ctypedef struct condition_t:
        pass
    void mutex_init(mutex_t *m) noexcept
    void mutex_destroy(mutex_t *m) noexcept
    void mutex_lock(mutex_t *m) noexcept
    int mutex_trylock(mutex_t *m) noexcept                           # 1: taken
    void mutex_unlock(mutex_t *m) noexcept
    void condition_init(condition_t *c) noexcept
    void condition_destroy(condition_t *c) noexcept
    void condition_signal(condition_t *c) noexcept
    void condition_broadcast(condition_t *c) noexcept
    void condition_wait(condition_t *c, mutex_t *m) noexcept
    int condition_wait_ms(condition_t *c, mutex_t *m, uint64_t timeout_ms) noexcept   # 0: time is up

    uint64_t monotonic_ns() noexcept
    uint64_t coarse_unix_ms() noexcept
    void sleep_us(uint64_t us) noexcept

    # little-endian at any alignment
    uint16_t get_u16(const void *p) noexcept
    uint32_t get_u32(const void *p) noexcept
    uint64_t get_u64(const void *p) noexcept
    void put_u16(void *p, uint16_t v) noexcept
    void put_u32(void *p, uint32_t v) noexcept
    void put_u64(void *p, uint64_t v) noexcept

    uint32_t thread_stripe() noexcept
    int crc32c_in_hardware() noexcept
    uint32_t crc32c_hardware(uint32_t crc, const void *data, size_t n) noexcept
    uint32_t match16_u32(const uint32_t *slots, uint32_t mask, uint32_t want) noexcept
    uint32_t lowest_bit(uint32_t v) noexcept

    void watch_forks() noexcept
    uint32_t fork_generation() noexcept
