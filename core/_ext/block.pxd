# Blocks: the unit of compression, checksum and cache. See docs/formats.md for the bytes.
#
#   in memory (a "frame")                       on disk (before LZ4)
#   +--------------------------------+          the same bytes, except that each descriptor's low
#   | BlockHeader, 32 bytes          |          16 bits hold the entry's length instead of its start
#   | prefix, padded to 4            |          (equal lengths compress to nothing); decoding turns
#   | descriptor u32 [entry_count]   |          lengths into starts in place.
#   | ts delta, ts_width bytes each  |
#   | payload: suffix value suffix.. |          descriptor = start:16 | kind:2 | suffix_size:14
#   +--------------------------------+
#
# All keys of a block share `prefix`; an entry holds the rest ("suffix") followed by its value, so
# every entry is a restart point: any one is read without decoding another. Entries are ordered by
# (key ascending, timestamp descending). timestamp = ts_base + delta.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from .platform cimport get_u32, get_u64

cdef enum Kind:                      # written to disk and log: never renumber
    KIND_PUT = 0
    KIND_DELETE = 1
    KIND_POINTER = 2                 # the value is a ValuePointer into the value log
    KIND_RANGE_DELETE = 3            # log and memtable only: key = start, value = stop (exclusive)

cdef enum:
    BLOCK_HEADER_BYTES = 32
    # an entry whose key is longer than this gets a block of its own (suffix_size has 14 bits)
    LONG_KEY_BYTES = 8192
    MAX_BLOCK_TARGET_BYTES = 32768   # starts must fit 16 bits
    MAX_PAYLOAD_BYTES = 65535        # of a block with two entries or more: every start and length fits 16 bits
    MAX_KEY_BYTES = 131071           # 17 bits, as the prefix size has
    MAX_VALUE_BYTES = 1073741824     # keeps a block below what LZ4 takes at once

cdef packed struct BlockHeader:
    uint32_t entry_count
    uint32_t payload_offset          # from the start of the block
    uint32_t payload_size
    uint16_t prefix_size_low         # prefix size is 17 bits: high bit in `flags`
    uint8_t ts_width                 # 0..8 bytes for each timestamp delta
    uint8_t flags
    uint64_t ts_base
    uint32_t longest_suffix          # zero on disk, set by block_decode
    uint32_t reserved                # zero

# A borrowed entry: valid as long as the frame is.
cdef struct BlockEntry:
    const char *suffix
    uint32_t suffix_size
    int kind
    const char *value
    uint32_t value_size

cdef inline uint32_t block_prefix_size(const char *block) noexcept nogil:
    cdef const BlockHeader *h = <const BlockHeader *> block
    return h.prefix_size_low | ((<uint32_t> (h.flags & 1)) << 16)

cdef inline const char *block_prefix(const char *block) noexcept nogil:
    return block + BLOCK_HEADER_BYTES

cdef inline const uint32_t *block_descriptors(const char *block) noexcept nogil:
    return <const uint32_t *> (block + BLOCK_HEADER_BYTES + ((block_prefix_size(block) + 3) & ~3))

cdef inline void block_entry(const char *block, uint32_t index, BlockEntry *out) noexcept nogil:
    cdef const BlockHeader *h = <const BlockHeader *> block
    cdef const uint32_t *d = block_descriptors(block) + index
    cdef uint32_t start = d[0] & 0xFFFF
    cdef uint32_t end = d[1] & 0xFFFF if index + 1 < h.entry_count else h.payload_size
    out.kind = (d[0] >> 16) & 3
    out.suffix_size = d[0] >> 18
    out.suffix = block + h.payload_offset + start
    out.value = out.suffix + out.suffix_size
    out.value_size = end - start - out.suffix_size

cdef inline uint64_t block_ts(const char *block, uint32_t index) noexcept nogil:
    cdef const BlockHeader *h = <const BlockHeader *> block
    cdef const uint8_t *p = <const uint8_t *> (block_descriptors(block) + h.entry_count)
    cdef uint64_t delta = 0
    cdef int i
    p += <size_t> index * h.ts_width
    for i in range(h.ts_width - 1, -1, -1):
        delta = (delta << 8) | p[i]
    return h.ts_base + delta

cdef inline bint equal_bytes(const char *a, const char *b, size_t size) noexcept nogil:
    # For keys of tens of bytes a call of memcmp costs more than the comparison.
    cdef size_t i = 0
    if size >= 8:
        while i + 8 < size:
            if get_u64(a + i) != get_u64(b + i):
                return False
            i += 8
        return get_u64(a + size - 8) == get_u64(b + size - 8)      # may overlap what was compared
    if size >= 4:
        return get_u32(a) == get_u32(b) and get_u32(a + size - 4) == get_u32(b + size - 4)
    while i < size:
        if a[i] != b[i]:
            return False
        i += 1
    return True

# How many of the first `limit` bytes of both are equal before the first difference.
cdef inline size_t common_prefix(const char *a, const char *b, size_t limit) noexcept nogil:
    cdef size_t i = 0
    while i + 8 <= limit and get_u64(a + i) == get_u64(b + i):
        i += 8
    while i < limit and a[i] == b[i]:
        i += 1
    return i

# <0, 0, >0 as the key of entry `index` is before, equal to or after `key`.
cdef int block_compare(const char *block, uint32_t index, const char *key, size_t key_size) noexcept nogil
# Index of the first entry whose key is >= `key` (its newest version), or entry_count.
cdef uint32_t block_seek(const char *block, const char *key, size_t key_size) noexcept nogil
# Checks a decompressed block of `size` bytes (all lengths, order of starts, timestamps' width) and
# turns lengths into starts. CORRUPTION when anything is out of bounds. Nothing may use the block before.
cdef int block_decode(char *block, size_t size) noexcept nogil

cdef struct BuilderEntry:
    uint64_t ts
    uint32_t key_size
    uint32_t value_size
    int kind

cdef struct BlockBuilder:            # owned by one table writer; grows to its largest block and stays
    size_t target_bytes
    uint32_t count
    uint32_t capacity                # of `entries`
    BuilderEntry *entries
    char *raw                        # key value key value ..., whole keys
    size_t raw_size
    size_t raw_capacity
    size_t prefix_size               # common to the first and the newest key, so to all between
    uint64_t min_ts
    uint64_t max_ts
    char *finished                   # the encoded block
    size_t finished_capacity

cdef BlockBuilder *block_builder_new(size_t target_bytes) noexcept nogil
cdef void block_builder_free(BlockBuilder *builder) noexcept nogil
# 1: added. 0: the block is full, finish it first. < 0: status. Entries must come in order.
cdef int block_builder_add(BlockBuilder *builder, const char *key, size_t key_size, uint64_t ts, int kind,
                           const char *value, size_t value_size) noexcept nogil
# The finished block in its on-disk form (before compression), valid until the next reset or add.
cdef int block_builder_finish(BlockBuilder *builder, const char **data, size_t *size) noexcept nogil
cdef void block_builder_reset(BlockBuilder *builder) noexcept nogil
cdef uint32_t block_builder_count(BlockBuilder *builder) noexcept nogil
# All entries of a decoded block as (key, ts, kind, value) tuples.
cdef list block_entries(const char *block)
