"""Blocks: sorted entries under one common prefix, each readable without its neighbours.

A block is what is compressed, checksummed and cached as a unit. block.pxd draws its layout and holds
the accessors that readers inline; here are the search, the check of bytes that came from disk, and the
builder.

Why every entry is a restart point: prefix compression against the previous key (LevelDB) saves more
bytes, but then reading entry 20 decodes up to 15 others. Sorted keys that are close enough to share a
block share most of their prefix anyway, and LZ4 takes what is left, so we store the common prefix once.

Why lengths on disk and starts in memory: starts make any entry one load away; lengths are equal or
nearly so and vanish under LZ4. Decoding is one pass of additions.

A builder closes a block when the next entry would pass the target (unless the block is not yet half
full). With two entries or more the payload stays below 64 KiB; a larger entry stands alone, and so does
one with a key over LONG_KEY_BYTES: then the prefix is the whole key and the payload is the value.
"""
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from .cursor cimport compare_keys
from .platform cimport put_u64
from .status cimport CORRUPTION, NO_MEMORY, NO_OFFSET, OK, TOO_LARGE, fail, raise_status


# ---- search

cdef int block_compare(const char *block, uint32_t index, const char *key, size_t key_size) noexcept nogil:
    cdef size_t prefix_size = block_prefix_size(block)
    cdef const BlockHeader *header = <const BlockHeader *> block
    cdef uint32_t descriptor = block_descriptors(block)[index]
    cdef int order = memcmp(block_prefix(block), key, prefix_size if prefix_size < key_size else key_size)
    if order != 0:
        return order
    if key_size < prefix_size:
        return 1
    return compare_keys(block + header.payload_offset + (descriptor & 0xFFFF), descriptor >> 18,
                        key + prefix_size, key_size - prefix_size)


cdef uint32_t block_seek(const char *block, const char *key, size_t key_size) noexcept nogil:
    cdef size_t prefix_size = block_prefix_size(block)
    cdef const BlockHeader *header = <const BlockHeader *> block
    cdef const uint32_t *descriptors = block_descriptors(block)
    cdef const char *payload = block + header.payload_offset
    cdef uint32_t low = 0, high = header.entry_count, middle
    cdef int order = memcmp(block_prefix(block), key, prefix_size if prefix_size < key_size else key_size)
    if order > 0 or (order == 0 and key_size < prefix_size):
        return 0
    if order < 0:
        return high
    key += prefix_size
    key_size -= prefix_size
    while low < high:
        middle = (low + high) >> 1
        if compare_keys(payload + (descriptors[middle] & 0xFFFF), descriptors[middle] >> 18, key, key_size) < 0:
            low = middle + 1
        else:
            high = middle
    return low


# ---- what came from disk

cdef int block_decode(char *block, size_t size) noexcept nogil:
    cdef BlockHeader *header = <BlockHeader *> block
    cdef uint32_t *descriptors
    cdef uint64_t start = 0, offset
    cdef uint32_t i, length
    if size < BLOCK_HEADER_BYTES:
        return CORRUPTION
    offset = BLOCK_HEADER_BYTES + ((<uint64_t> block_prefix_size(block) + 3) & ~(<uint64_t> 3))
    offset += <uint64_t> header.entry_count * (4 + <uint64_t> header.ts_width)
    if (header.ts_width > 8 or header.flags > 1 or header.longest_suffix != 0 or header.reserved != 0
            or header.payload_offset != offset or offset + header.payload_size != size):
        return CORRUPTION
    descriptors = <uint32_t *> block_descriptors(block)
    if header.entry_count == 1:          # its length may not fit 16 bits; the payload is all its own
        if descriptors[0] >> 18 > header.payload_size or (descriptors[0] & 0xFFFF) != (header.payload_size & 0xFFFF):
            return CORRUPTION
        header.longest_suffix = descriptors[0] >> 18
        descriptors[0] &= <uint32_t> 0xFFFF0000
        return OK
    if header.payload_size > MAX_PAYLOAD_BYTES:
        return CORRUPTION
    for i in range(header.entry_count):
        length = descriptors[i] & 0xFFFF
        if descriptors[i] >> 18 > length or start > MAX_PAYLOAD_BYTES:
            return CORRUPTION
        if descriptors[i] >> 18 > header.longest_suffix:
            header.longest_suffix = descriptors[i] >> 18
        descriptors[i] = (descriptors[i] & <uint32_t> 0xFFFF0000) | <uint32_t> start
        start += length
    return OK if start == header.payload_size else CORRUPTION


# ---- builder

cdef BlockBuilder *block_builder_new(size_t target_bytes) noexcept nogil:
    cdef BlockBuilder *builder = <BlockBuilder *> calloc(1, sizeof(BlockBuilder))
    if builder != NULL:
        builder.target_bytes = target_bytes
    return builder


cdef void block_builder_free(BlockBuilder *builder) noexcept nogil:
    if builder == NULL:
        return
    free(builder.entries)
    free(builder.raw)
    free(builder.finished)
    free(builder)


cdef int _grow(char **buffer, size_t *capacity, size_t needed) noexcept nogil:
    cdef size_t larger = capacity[0] * 2 if capacity[0] * 2 > needed else needed
    cdef char *moved
    if needed <= capacity[0]:
        return OK
    moved = <char *> realloc(buffer[0], larger)
    if moved == NULL:
        return fail(NO_MEMORY, "no memory to build a block", NULL, <uint64_t> NO_OFFSET)
    buffer[0] = moved
    capacity[0] = larger
    return OK


cdef int _grow_entries(BlockBuilder *builder) noexcept nogil:
    cdef size_t bytes = <size_t> builder.capacity * sizeof(BuilderEntry)
    cdef int status = _grow(<char **> &builder.entries, &bytes, (<size_t> builder.count + 64) * sizeof(BuilderEntry))
    builder.capacity = <uint32_t> (bytes // sizeof(BuilderEntry))
    return status


# How many bytes hold every number up to `largest`.
cdef inline uint8_t _width(uint64_t largest) noexcept nogil:
    cdef uint8_t width = 0
    while largest != 0:
        width += 1
        largest >>= 8
    return width


cdef inline size_t _total_bytes(size_t prefix, size_t count, uint8_t ts_width, size_t payload) noexcept nogil:
    return BLOCK_HEADER_BYTES + ((prefix + 3) & ~(<size_t> 3)) + count * (4 + <size_t> ts_width) + payload


cdef int block_builder_add(BlockBuilder *builder, const char *key, size_t key_size, uint64_t ts, int kind,
                           const char *value, size_t value_size) noexcept nogil:
    cdef uint8_t ts_width
    cdef size_t count = builder.count, prefix = key_size, start, payload
    cdef BuilderEntry *entry
    cdef char *p
    if key_size > MAX_KEY_BYTES or value_size > MAX_VALUE_BYTES:
        return fail(TOO_LARGE, "a key or value is too large for a block", NULL, <uint64_t> NO_OFFSET)
    if count > 0:
        if key_size > LONG_KEY_BYTES or builder.entries[0].key_size > LONG_KEY_BYTES:
            return 0
        prefix = builder.prefix_size if builder.prefix_size < key_size else key_size
        prefix = common_prefix(builder.raw, key, prefix)
        start = builder.raw_size - count * prefix
        payload = start + key_size - prefix + value_size
        if payload > MAX_PAYLOAD_BYTES:
            return 0
        ts_width = _width((ts if ts > builder.max_ts else builder.max_ts)
                          - (ts if ts < builder.min_ts else builder.min_ts))
        if (_total_bytes(prefix, count + 1, ts_width, payload) > builder.target_bytes
                and _total_bytes(prefix, count, ts_width, start) >= builder.target_bytes // 2):
            return 0
    if count == builder.capacity and _grow_entries(builder) < 0:
        return NO_MEMORY
    if _grow(&builder.raw, &builder.raw_capacity, builder.raw_size + key_size + value_size) < 0:
        return NO_MEMORY
    p = builder.raw + builder.raw_size
    if key_size:
        memcpy(p, key, key_size)
    if value_size:
        memcpy(p + key_size, value, value_size)
    builder.raw_size += key_size + value_size
    builder.prefix_size = prefix
    entry = &builder.entries[count]
    entry.ts = ts
    entry.key_size = <uint32_t> key_size
    entry.value_size = <uint32_t> value_size
    entry.kind = kind
    if count == 0 or ts < builder.min_ts:
        builder.min_ts = ts
    if count == 0 or ts > builder.max_ts:
        builder.max_ts = ts
    builder.count += 1
    return 1


cdef int block_builder_finish(BlockBuilder *builder, const char **data, size_t *size) noexcept nogil:
    cdef size_t count = builder.count, prefix = builder.prefix_size, i, length
    cdef size_t payload = builder.raw_size - count * prefix
    cdef size_t padded = (prefix + 3) & ~(<size_t> 3)
    cdef uint8_t ts_width = _width(builder.max_ts - builder.min_ts)
    cdef size_t total = _total_bytes(prefix, count, ts_width, payload)
    cdef BuilderEntry *entry
    cdef BlockHeader *header
    cdef uint32_t *descriptors
    cdef const char *source = builder.raw
    cdef char *ts_at
    cdef char *target
    # 8 bytes more: timestamps are stored as whole words, of which the next store overwrites the rest
    if _grow(&builder.finished, &builder.finished_capacity, total + 8) < 0:
        return NO_MEMORY
    header = <BlockHeader *> builder.finished
    header.entry_count = <uint32_t> count
    header.payload_offset = <uint32_t> (total - payload)
    header.payload_size = <uint32_t> payload
    header.prefix_size_low = <uint16_t> (prefix & 0xFFFF)
    header.flags = <uint8_t> (prefix >> 16)
    header.ts_width = ts_width
    header.ts_base = builder.min_ts
    header.longest_suffix = 0
    header.reserved = 0
    target = builder.finished + BLOCK_HEADER_BYTES
    if padded:
        memset(target + padded - 4, 0, 4)        # the padding, and up to 3 bytes of what the prefix fills next
    if prefix:
        memcpy(target, source, prefix)
    descriptors = <uint32_t *> (target + padded)
    ts_at = <char *> (descriptors + count)
    for i in range(count):
        put_u64(ts_at, builder.entries[i].ts - builder.min_ts)
        ts_at += ts_width
    target = builder.finished + header.payload_offset
    for i in range(count):
        entry = &builder.entries[i]
        length = entry.key_size - prefix + entry.value_size
        descriptors[i] = (<uint32_t> length & 0xFFFF) | (<uint32_t> entry.kind << 16)
        descriptors[i] |= <uint32_t> (entry.key_size - prefix) << 18
        if length:
            memcpy(target, source + prefix, length)
        source += entry.key_size + entry.value_size
        target += length
    data[0] = builder.finished
    size[0] = total
    return OK


cdef void block_builder_reset(BlockBuilder *builder) noexcept nogil:
    builder.count = 0
    builder.raw_size = 0
    builder.prefix_size = 0
    builder.min_ts = 0
    builder.max_ts = 0


cdef uint32_t block_builder_count(BlockBuilder *builder) noexcept nogil:
    return builder.count


# ---- Python face: for tests and for `inspect`

cdef bytes _finished(BlockBuilder *builder):
    cdef const char *data = NULL
    cdef size_t size = 0
    cdef int status = block_builder_finish(builder, &data, &size)
    if status < 0:
        raise_status(status)
    block_builder_reset(builder)
    return PyBytes_FromStringAndSize(data, size)


def encode_blocks(entries, size_t target_bytes=4096):
    """Pack (key, ts, kind, value) tuples, in order, into as many blocks as they need (on-disk form, uncompressed)."""
    cdef BlockBuilder *builder = block_builder_new(target_bytes)
    cdef bytes key, value
    cdef int status
    blocks = []
    if builder == NULL:
        raise MemoryError
    try:
        for key, ts, kind, value in entries:
            status = 0
            while status == 0:
                status = block_builder_add(builder, PyBytes_AsString(key), len(key), ts, kind,
                                           PyBytes_AsString(value), len(value))
                if status == 0:
                    blocks.append(_finished(builder))
            if status < 0:
                raise_status(status)
        if builder.count:
            blocks.append(_finished(builder))
    finally:
        block_builder_free(builder)
    return blocks


cdef list block_entries(const char *block):
    cdef const BlockHeader *header = <const BlockHeader *> block
    cdef BlockEntry entry
    cdef uint32_t i
    cdef bytes prefix = PyBytes_FromStringAndSize(block_prefix(block), block_prefix_size(block))
    entries = []
    for i in range(header.entry_count):
        block_entry(block, i, &entry)
        entries.append((prefix + PyBytes_FromStringAndSize(entry.suffix, entry.suffix_size), block_ts(block, i),
                        entry.kind, PyBytes_FromStringAndSize(entry.value, entry.value_size)))
    return entries


cdef char *_decoded_copy(bytes data) except NULL:
    cdef char *block = <char *> malloc(len(data) + 1)
    if block == NULL:
        raise MemoryError
    memcpy(block, PyBytes_AsString(data), len(data))
    if block_decode(block, len(data)) < 0:
        free(block)
        raise_status(fail(CORRUPTION, "not a block", NULL, <uint64_t> NO_OFFSET))
    return block


def decode_block(bytes data not None):
    """The (key, ts, kind, value) tuples of a block in on-disk form; CorruptionError when it is not one."""
    cdef char *block = _decoded_copy(data)
    try:
        return block_entries(block)
    finally:
        free(block)


def seek_block(bytes data not None, bytes key not None):
    """Index of the first entry of an on-disk block whose key is >= `key`, and how that entry compares to it."""
    cdef char *block = _decoded_copy(data)
    cdef uint32_t index
    try:
        index = block_seek(block, PyBytes_AsString(key), len(key))
        if index == (<BlockHeader *> block).entry_count:
            return index, None
        return index, block_compare(block, index, PyBytes_AsString(key), len(key))
    finally:
        free(block)
