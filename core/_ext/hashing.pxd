# CRC-32C and MurmurHash3, without the GIL.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

# CRC-32C of `size` bytes, continuing from `crc` (0 to begin).
cdef uint32_t crc32c(uint32_t crc, const void *data, size_t size) noexcept nogil
# First 64 bits of MurmurHash3_x64_128 with seed 0: equals mmh3.hash64(key, 0, signed=False)[0].
cdef uint64_t key_hash(const void *data, size_t size) noexcept nogil

# The slot of a partition key: the top 16 bits of its key_hash.
cdef inline uint32_t slot_of_hash(uint64_t hash_value) noexcept nogil:
    return <uint32_t> (hash_value >> 48)
