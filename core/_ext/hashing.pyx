"""CRC-32C for everything on disk and MurmurHash3 for everything in a hash table.

CRC-32C: Castagnoli polynomial, RFC 3720 appendix B.4; the processor's instruction where there is one.
MurmurHash3: Austin Appleby's x64_128 variant (public domain), the first 64 of its 128 bits.
The slot of a key is the top 16 bits; tables and memtables use the others.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .platform cimport crc32c_hardware, crc32c_in_hardware, get_u64

cdef uint32_t _crc_table[256]
cdef int _hardware = crc32c_in_hardware()


cdef int _fill_crc_table() noexcept nogil:
    cdef uint32_t i, j, value
    for i in range(256):
        value = i
        for j in range(8):
            value = (value >> 1) ^ (<uint32_t> 0x82F63B78 * (value & 1))
        _crc_table[i] = value
    return 0

_fill_crc_table()


cdef uint32_t _crc32c_software(uint32_t crc, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t i
    crc = ~crc
    for i in range(size):
        crc = (crc >> 8) ^ _crc_table[(crc ^ data[i]) & 0xFF]
    return ~crc


cdef uint32_t crc32c(uint32_t crc, const void *data, size_t size) noexcept nogil:
    if _hardware:
        return crc32c_hardware(crc, data, size)
    return _crc32c_software(crc, <const uint8_t *> data, size)


cdef inline uint64_t _rotate(uint64_t x, int bits) noexcept nogil:
    return (x << bits) | (x >> (64 - bits))


cdef inline uint64_t _final_mix(uint64_t x) noexcept nogil:
    x ^= x >> 33
    x *= <uint64_t> 0xFF51AFD7ED558CCD
    x ^= x >> 33
    x *= <uint64_t> 0xC4CEB9FE1A85EC53
    return x ^ (x >> 33)


cdef uint64_t key_hash(const void *data, size_t size) noexcept nogil:
    cdef const uint8_t *p = <const uint8_t *> data
    cdef uint64_t c1 = <uint64_t> 0x87C37B91114253D5, c2 = <uint64_t> 0x4CF5AD432745937F
    cdef uint64_t h1 = 0, h2 = 0, k1 = 0, k2 = 0
    cdef size_t rest = size
    cdef int i
    while rest >= 16:
        k1 = _rotate(get_u64(p) * c1, 31) * c2
        h1 = (_rotate(h1 ^ k1, 27) + h2) * 5 + 0x52DCE729
        k2 = _rotate(get_u64(p + 8) * c2, 33) * c1
        h2 = (_rotate(h2 ^ k2, 31) + h1) * 5 + 0x38495AB5
        p += 16
        rest -= 16
    if rest > 8:
        k2 = 0
        for i in range(<int> rest - 1, 7, -1):
            k2 = (k2 << 8) | p[i]
        h2 ^= _rotate(k2 * c2, 33) * c1
    if rest > 0:
        k1 = 0
        for i in range((8 if rest > 8 else <int> rest) - 1, -1, -1):
            k1 = (k1 << 8) | p[i]
        h1 ^= _rotate(k1 * c1, 31) * c2
    h1 ^= size
    h2 ^= size
    h1 += h2
    h2 += h1
    h1 = _final_mix(h1)
    h2 = _final_mix(h2)
    return h1 + h2


def crc32c_of(const uint8_t[::1] data not None, uint32_t crc=0):
    """CRC-32C of `data` (any contiguous buffer), continuing from `crc`."""
    return crc32c(crc, &data[0] if data.shape[0] else NULL, data.shape[0])


def crc32c_software(const uint8_t[::1] data not None, uint32_t crc=0):
    """The table-driven twin of the hardware CRC, reachable so that a test can compare both."""
    return _crc32c_software(crc, &data[0] if data.shape[0] else NULL, data.shape[0])


def hash_of(const uint8_t[::1] key not None):
    """64-bit MurmurHash3 of `key`; equals `mmh3.hash64(key, 0, signed=False)[0]`."""
    return key_hash(&key[0] if key.shape[0] else NULL, key.shape[0])


def slot_of(const uint8_t[::1] key not None):
    """The slot (0..65535) that owns `key`: the top 16 bits of its hash."""
    return slot_of_hash(key_hash(&key[0] if key.shape[0] else NULL, key.shape[0]))
