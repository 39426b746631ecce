/* What C gives and Cython lacks: atomics with named orderings, locks, clocks, CRC-32C, prefetch.
 * Everything here is `static inline`; nothing else in the project is written in C. */
#ifndef PHANTOMDB_PLATFORM_H
#define PHANTOMDB_PLATFORM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif
#if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

/* ---- atomics: acquire on load, release on store, sequentially consistent on read-modify-write */
static inline uint32_t load_u32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint64_t load_u64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void *load_ptr(void *const *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void store_u32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void store_u64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void store_ptr(void **p, void *v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint32_t relaxed_u32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline uint64_t relaxed_u64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void set_relaxed_u32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline void set_relaxed_u64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
/* each returns the value before the operation */
static inline uint32_t add_u32(uint32_t *p, uint32_t v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
static inline uint32_t sub_u32(uint32_t *p, uint32_t v) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t add_u64(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t sub_u64(uint64_t *p, uint64_t v) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); }
static inline void *swap_ptr(void **p, void *v) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }
static inline int cas_ptr(void **p, void *expected, void *desired) {
    return __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}
static inline void full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }

/* ---- locks */
typedef pthread_mutex_t mutex_t;
typedef pthread_cond_t condition_t;
static inline void mutex_init(mutex_t *m) { pthread_mutex_init(m, NULL); }
static inline void mutex_destroy(mutex_t *m) { pthread_mutex_destroy(m); }
static inline void mutex_lock(mutex_t *m) { pthread_mutex_lock(m); }
static inline int mutex_trylock(mutex_t *m) { return pthread_mutex_trylock(m) == 0; }  /* 1: taken */
static inline void mutex_unlock(mutex_t *m) { pthread_mutex_unlock(m); }
static inline void condition_init(condition_t *c) {
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(c, &a);
    pthread_condattr_destroy(&a);
}
static inline void condition_destroy(condition_t *c) { pthread_cond_destroy(c); }
static inline void condition_signal(condition_t *c) { pthread_cond_signal(c); }
static inline void condition_broadcast(condition_t *c) { pthread_cond_broadcast(c); }
static inline void condition_wait(condition_t *c, mutex_t *m) { pthread_cond_wait(c, m); }
/* 1: woken (perhaps spuriously), 0: the time is up */
static inline int condition_wait_ms(condition_t *c, mutex_t *m, uint64_t timeout_ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(timeout_ms / 1000);
    t.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (t.tv_nsec >= 1000000000L) { t.tv_sec++; t.tv_nsec -= 1000000000L; }
    return pthread_cond_timedwait(c, m, &t) != ETIMEDOUT;
}

/* ---- clocks */
static inline uint64_t monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
/* wall clock, as of the kernel's last tick (1-4 ms): what a timestamp of millisecond grain needs */
static inline uint64_t coarse_unix_ms(void) {
    struct timespec t;
#ifdef CLOCK_REALTIME_COARSE
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
#else
    clock_gettime(CLOCK_REALTIME, &t);
#endif
    return (uint64_t)t.tv_sec * 1000ull + (uint64_t)t.tv_nsec / 1000000ull;
}
static inline void sleep_us(uint64_t us) {
    struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000L};
    nanosleep(&t, NULL);
}

/* ---- little-endian loads and stores at any alignment */
static inline uint16_t get_u16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t get_u32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t get_u64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void put_u16(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void put_u32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void put_u64(void *p, uint64_t v) { memcpy(p, &v, 8); }
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "PhantomDB's files are little-endian and so are the machines it runs on"
#endif

/* ---- a small number for the calling thread, to spread threads over striped counters */
static inline uint32_t thread_stripe(void) {
    uintptr_t x = (uintptr_t)pthread_self();
    return (uint32_t)((x >> 12) ^ (x >> 21));
}

/* ---- CRC-32C (Castagnoli, RFC 3720 appendix B.4), one step of 8 bytes / 1 byte in hardware */
#if defined(__x86_64__)
#define PHANTOMDB_CRC_TARGET __attribute__((target("sse4.2")))
static inline int crc32c_in_hardware(void) { return __builtin_cpu_supports("sse4.2"); }
PHANTOMDB_CRC_TARGET static inline uint64_t crc32c_step8(uint64_t c, uint64_t v) { return _mm_crc32_u64(c, v); }
PHANTOMDB_CRC_TARGET static inline uint32_t crc32c_step1(uint32_t c, uint8_t v) { return _mm_crc32_u8(c, v); }
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#define PHANTOMDB_CRC_TARGET
static inline int crc32c_in_hardware(void) { return 1; }
static inline uint64_t crc32c_step8(uint64_t c, uint64_t v) { return __crc32cd((uint32_t)c, v); }
static inline uint32_t crc32c_step1(uint32_t c, uint8_t v) { return __crc32cb(c, v); }
#else
#define PHANTOMDB_CRC_TARGET
static inline int crc32c_in_hardware(void) { return 0; }
static inline uint64_t crc32c_step8(uint64_t c, uint64_t v) { (void)v; return c; }
static inline uint32_t crc32c_step1(uint32_t c, uint8_t v) { (void)v; return c; }
#endif
/* the whole loop in one function, so that the target attribute covers it and it is inlined once */
PHANTOMDB_CRC_TARGET static uint32_t crc32c_hardware(uint32_t crc, const void *data, size_t n) {
    const uint8_t *p = (const uint8_t *)data;
    uint64_t c = crc ^ 0xffffffffu;
    while (n >= 8) { c = crc32c_step8(c, get_u64(p)); p += 8; n -= 8; }
    while (n--) c = crc32c_step1((uint32_t)c, *p++);
    return (uint32_t)c ^ 0xffffffffu;
}

/* ---- which of 16 slots hold `want` under `mask`: bit i of the answer for slots[i] */
static inline uint32_t match16_u32(const uint32_t *slots, uint32_t mask, uint32_t want) {
#if defined(__SSE2__)
    const __m128i m = _mm_set1_epi32((int)mask), w = _mm_set1_epi32((int)want);
    const __m128i *s = (const __m128i *)slots;
    __m128i a = _mm_cmpeq_epi32(_mm_and_si128(_mm_loadu_si128(s), m), w);
    __m128i b = _mm_cmpeq_epi32(_mm_and_si128(_mm_loadu_si128(s + 1), m), w);
    __m128i c = _mm_cmpeq_epi32(_mm_and_si128(_mm_loadu_si128(s + 2), m), w);
    __m128i d = _mm_cmpeq_epi32(_mm_and_si128(_mm_loadu_si128(s + 3), m), w);
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
#else
    uint32_t found = 0;
    for (int i = 0; i < 16; i++) found |= (uint32_t)((slots[i] & mask) == want) << i;
    return found;
#endif
}
static inline uint32_t lowest_bit(uint32_t v) { return (uint32_t)__builtin_ctz(v); }

/* ---- fork: a child must not touch the parent's databases; one counter tells them apart */
static uint32_t phantomdb_fork_generation = 0;
static void phantomdb_forked(void) { phantomdb_fork_generation++; }
static inline void watch_forks(void) { pthread_atfork(NULL, NULL, phantomdb_forked); }
static inline uint32_t fork_generation(void) { return phantomdb_fork_generation; }

#endif
