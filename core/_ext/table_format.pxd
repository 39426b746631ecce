# The bytes of a sorted table, shared by its writer and its readers. Changing anything here changes the
# format: raise TABLE_FORMAT_VERSION and keep reading the old one.
#
#   data blocks | index partitions | top index | fingerprints | tombstones | block lengths | properties | footer
#
# Everything before the footer is made of "stored" pieces without gaps between them:
#
#   stored bytes | raw_size u32 | type u8 | crc32c u32        crc over all that stands before it in the piece
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from .status cimport NO_MEMORY, NO_OFFSET, OK, fail

cdef enum:
    TABLE_FORMAT_VERSION = 1
    TABLE_FOOTER_BYTES = 96
    STORED_TRAILER_BYTES = 9
    STORED_PLAIN = 0
    STORED_LZ4 = 1
    MAX_STORED_RAW_BYTES = 0x7E000000     # the most LZ4 takes at once
    # index keys are cut to this length; see table_writer.pyx for why that is safe
    INDEX_KEY_BYTES = 1024
    INDEX_PARTITION_BYTES = 16384
    BUCKET_SLOTS = 16                     # of 4 bytes: one cache line
    KEYS_PER_BUCKET = 13                  # on average, so that few buckets spill
    # above the first the writer asks to be finished, above the second it refuses: 8 and 6 bits are
    # left for the fingerprint then, that is one vain block read in 20 and in 5 absent keys
    FULL_LOCATOR_BITS = 24
    MAX_LOCATOR_BITS = 26

cdef packed struct TableFooter:           # 96 bytes; a section ends where the next begins
    uint64_t top_index_offset             # = size of all blocks; they start at 0
    uint64_t fingerprints_offset
    uint64_t tombstones_offset
    uint64_t lengths_offset
    uint64_t properties_offset
    uint64_t entry_count
    uint64_t key_count
    uint32_t block_count
    uint32_t index_block_count
    uint32_t bucket_count
    uint32_t tombstone_count
    uint16_t top_key_limit                # keys of the top index are cut to this length
    uint8_t locator_bits
    uint8_t index_bits
    uint32_t reserved                     # zero
    uint32_t format_version
    uint32_t crc                          # over all that stands before
    char magic[8]                         # "PHANTTBL"

cdef enum PropertyTag:                    # property := tag u16 | size u32 | bytes; unknown tags are skipped
    PROPERTY_ENTRY_COUNT = 1
    PROPERTY_KEY_COUNT = 2
    PROPERTY_DELETE_COUNT = 3
    PROPERTY_TOMBSTONE_COUNT = 4
    PROPERTY_RAW_BYTES = 5
    PROPERTY_MIN_TS = 6
    PROPERTY_MAX_TS = 7
    PROPERTY_VALUE_LOG_BYTES = 8
    PROPERTY_SMALLEST = 9
    PROPERTY_LARGEST = 10
    PROPERTY_VALUE_FILES = 11             # (file number u64, bytes u64)*

# Not the top 16 bits of the hash: they choose the partition, so inside one they hardly differ.
cdef inline uint32_t home_bucket(uint64_t hash_value, uint32_t bucket_count) noexcept nogil:
    return <uint32_t> ((((hash_value >> 16) & <uint64_t> 0xFFFFFFFF) * bucket_count) >> 32)

# The slot of a key without its locator.
cdef inline uint32_t fingerprint_of(uint64_t hash_value, uint32_t locator_bits) noexcept nogil:
    cdef uint32_t fingerprint = <uint32_t> hash_value & (<uint32_t> 0xFFFFFFFF >> locator_bits)
    return (fingerprint if fingerprint != 0 else 1) << locator_bits

cdef inline uint32_t bits_for(uint64_t largest) noexcept nogil:
    cdef uint32_t bits = 0
    while largest != 0:
        bits += 1
        largest >>= 1
    return bits

# A growing piece of memory.
cdef struct Buffer:
    char *data
    size_t size
    size_t capacity

cdef inline int buffer_reserve(Buffer *buffer, size_t extra) noexcept nogil:
    cdef size_t larger = buffer.size + extra
    cdef char *moved
    if larger <= buffer.capacity:
        return OK
    if larger < buffer.capacity * 2:
        larger = buffer.capacity * 2
    moved = <char *> realloc(buffer.data, larger)
    if moved == NULL:
        return fail(NO_MEMORY, "no memory for a table", NULL, <uint64_t> NO_OFFSET)
    buffer.data = moved
    buffer.capacity = larger
    return OK

cdef inline int buffer_append(Buffer *buffer, const void *data, size_t size) noexcept nogil:
    if buffer_reserve(buffer, size if size else 1) < 0:
        return NO_MEMORY
    if size:
        memcpy(buffer.data + buffer.size, data, size)
        buffer.size += size
    return OK

cdef inline int buffer_set(Buffer *buffer, const void *data, size_t size) noexcept nogil:
    buffer.size = 0
    return buffer_append(buffer, data, size)

cdef inline void buffer_free(Buffer *buffer) noexcept nogil:
    free(buffer.data)
    buffer.data = NULL
    buffer.size = 0
    buffer.capacity = 0
