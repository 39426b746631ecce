"""Writes sorted tables.

    entries -> data block -> LZ4 -> output buffer -> file         (256 KiB per write)
                  |  last key, first key of the next
                  +-> separator -> index partition -> kept in memory until the last data block is out
                  |                    |  last separator
                  |                    +-> top index (written, and read, as one block)
                  +-> hash of each key's newest version, block, index -> fingerprint buckets

A separator is a key that is not before the last key of a block and, where one exists, before the first
key of the next: one byte more than the two have in common is enough.

Index keys are cut to INDEX_KEY_BYTES, and the top index cuts further until it fits a single block, so
no choice of keys makes a table unwritable. Cutting is safe because cutting keeps the order (a <= b
gives cut(a) <= cut(b)): a search for cut(key) never lands behind the block that holds the key, only,
rarely, before it, and readers then walk on. Only keys with 1 KiB in common make them walk.

The slots of the fingerprint buckets can be filled only at the end, when the number of blocks, and so
the width of a locator, is known. Until then a key costs 16 bytes of memory.
"""
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from .batch cimport varint_get, varint_put
from .block cimport (KIND_DELETE, KIND_POINTER, KIND_PUT, BlockBuilder, block_builder_add, block_builder_count,
                     block_builder_finish, block_builder_free, block_builder_new, block_builder_reset, common_prefix)
from .census cimport TABLE_WRITER, count_birth, count_death
from .compression cimport lz4_compress
from .cursor cimport RangeTombstone, compare_keys
from .files cimport OPEN_CREATE, FileSystem, FileSystemHandle, file_close, file_pwrite, file_sync, fs_open
from .hashing cimport crc32c, key_hash
from .platform cimport lowest_bit, match16_u32, prefetch, put_u16, put_u32
from .status cimport INVALID, NO_MEMORY, NO_OFFSET, OK, TOO_LARGE, fail, raise_status
from .table_format cimport (BUCKET_SLOTS, FULL_LOCATOR_BITS, INDEX_KEY_BYTES, INDEX_PARTITION_BYTES, KEYS_PER_BUCKET,
                            MAX_LOCATOR_BITS, MAX_STORED_RAW_BYTES, PROPERTY_DELETE_COUNT, PROPERTY_ENTRY_COUNT,
                            PROPERTY_KEY_COUNT, PROPERTY_LARGEST, PROPERTY_MAX_TS, PROPERTY_MIN_TS,
                            PROPERTY_RAW_BYTES, PROPERTY_SMALLEST, PROPERTY_TOMBSTONE_COUNT, PROPERTY_VALUE_FILES,
                            PROPERTY_VALUE_LOG_BYTES, STORED_LZ4, STORED_PLAIN, STORED_TRAILER_BYTES,
                            TABLE_FOOTER_BYTES, TABLE_FORMAT_VERSION, Buffer, TableFooter, bits_for, buffer_append,
                            buffer_free, buffer_reserve, buffer_set, fingerprint_of, home_bucket)
from .values cimport VALUE_POINTER_BYTES, VALUE_RECORD_HEADER_BYTES, ValuePointer

cdef enum:
    WRITE_BYTES = 262144             # collected before one write
    PLACES_AHEAD = 16                # buckets fetched before their slot is filled

cdef struct KeyPlace:
    uint64_t hash_value
    uint32_t block_number
    uint32_t index


cdef int table_writer_open(FileSystemHandle *fs, const char *path, const TableOptions *options,
                           TableWriter **out) noexcept nogil:
    cdef TableWriter *writer = <TableWriter *> calloc(1, sizeof(TableWriter))
    cdef int status
    if writer == NULL:
        return fail(NO_MEMORY, "no memory for a table writer", path, <uint64_t> NO_OFFSET)
    count_birth(TABLE_WRITER)
    writer.options = options[0]
    writer.summary.min_ts = UINT64_MAX
    writer.block = block_builder_new(options.block_bytes)
    writer.index = block_builder_new(INDEX_PARTITION_BYTES)
    if writer.block == NULL or writer.index == NULL or buffer_reserve(&writer.output, 2 * WRITE_BYTES) < 0:
        table_writer_free(writer)
        return fail(NO_MEMORY, "no memory for a table writer", path, <uint64_t> NO_OFFSET)
    status = fs_open(fs, path, OPEN_CREATE, &writer.file)
    if status < 0:
        table_writer_free(writer)
        return status
    out[0] = writer
    return OK


cdef void table_writer_free(TableWriter *writer) noexcept nogil:
    if writer == NULL:
        return
    file_close(writer.file)
    block_builder_free(writer.block)
    block_builder_free(writer.index)
    buffer_free(&writer.output)
    buffer_free(&writer.partitions)
    buffer_free(&writer.lengths)
    buffer_free(&writer.partition_lengths)
    buffer_free(&writer.top_keys)
    buffer_free(&writer.places)
    buffer_free(&writer.tombstones)
    buffer_free(&writer.last_key)
    buffer_free(&writer.last_separator)
    buffer_free(&writer.smallest)
    buffer_free(&writer.largest)
    buffer_free(&writer.value_files)
    buffer_free(&writer.value_file_bytes)
    free(writer)
    count_death(TABLE_WRITER)


# ---- stored pieces

# Appends `raw` with its trailer to `out`; LZ4 only where it saves an eighth.
cdef int _store(Buffer *out, const char *raw, size_t size, bint compress, uint32_t *stored_size) noexcept nogil:
    cdef int packed = 0
    cdef char *start
    if size > MAX_STORED_RAW_BYTES:
        return fail(TOO_LARGE, "a section of a table is too large", NULL, <uint64_t> NO_OFFSET)
    if buffer_reserve(out, size + STORED_TRAILER_BYTES) < 0:
        return NO_MEMORY
    start = out.data + out.size
    if compress and size >= 32:
        packed = lz4_compress(raw, <int> size, start, <int> (size - size // 8))
    if packed > 0:
        start[packed + 4] = STORED_LZ4
    else:
        packed = <int> size
        if size:
            memcpy(start, raw, size)
        start[packed + 4] = STORED_PLAIN
    put_u32(start + packed, <uint32_t> size)
    put_u32(start + packed + 5, crc32c(0, start, packed + 5))
    stored_size[0] = <uint32_t> packed + STORED_TRAILER_BYTES
    out.size += stored_size[0]
    return OK


cdef int _flush(TableWriter *writer) noexcept nogil:
    cdef int status
    if writer.output.size == 0:
        return OK
    status = file_pwrite(writer.file, writer.output.data, writer.output.size, writer.written)
    if status < 0:
        return status
    writer.written += writer.output.size
    writer.output.size = 0
    return OK


cdef inline uint64_t _position(const TableWriter *writer) noexcept nogil:
    return writer.written + writer.output.size


cdef int _store_section(TableWriter *writer, const Buffer *section, bint compress) noexcept nogil:
    cdef uint32_t stored_size
    if _store(&writer.output, section.data, section.size, compress, &stored_size) < 0:
        return NO_MEMORY
    return _flush(writer)


# ---- index

cdef int _finish_partition(TableWriter *writer) noexcept nogil:
    cdef const char *raw = NULL
    cdef size_t size = 0
    cdef uint32_t stored_size = 0, key_size = <uint32_t> writer.last_separator.size
    if (block_builder_finish(writer.index, &raw, &size) < 0
            or _store(&writer.partitions, raw, size, writer.options.compress, &stored_size) < 0
            or buffer_append(&writer.partition_lengths, &stored_size, 4) < 0
            or buffer_append(&writer.top_keys, &key_size, 4) < 0
            or buffer_append(&writer.top_keys, writer.last_separator.data, key_size) < 0):
        return NO_MEMORY
    block_builder_reset(writer.index)
    writer.index_block_count += 1
    return OK


# The block just finished (the newest) can be found by keys up to `key`.
cdef int _add_separator(TableWriter *writer, const char *key, size_t key_size) noexcept nogil:
    cdef uint32_t number = writer.block_count - 1
    cdef int added
    if key_size > INDEX_KEY_BYTES:
        key_size = INDEX_KEY_BYTES
    added = block_builder_add(writer.index, key, key_size, 0, KIND_PUT, <const char *> &number, 4)
    if added == 0:
        if _finish_partition(writer) < 0:
            return NO_MEMORY
        added = block_builder_add(writer.index, key, key_size, 0, KIND_PUT, <const char *> &number, 4)
    if added < 0:
        return added
    return buffer_set(&writer.last_separator, key, key_size)


cdef int _separate(TableWriter *writer, const char *following, size_t following_size) noexcept nogil:
    cdef size_t last_size = writer.last_key.size
    cdef size_t common = common_prefix(writer.last_key.data, following,
                                       last_size if last_size < following_size else following_size)
    if common < last_size and common + 1 < following_size:
        return _add_separator(writer, following, common + 1)      # after the last key, before the following
    return _add_separator(writer, writer.last_key.data, last_size)


# Few partitions have a separator so long that cutting is needed; halve until all fit one block.
cdef int _build_top(TableWriter *writer, BlockBuilder *top, uint16_t *key_limit) noexcept nogil:
    cdef const char *p
    cdef uint32_t number, key_size
    cdef int added = 1
    key_limit[0] = INDEX_KEY_BYTES
    while True:
        p = writer.top_keys.data
        for number in range(writer.index_block_count):
            memcpy(&key_size, p, 4)
            added = block_builder_add(top, p + 4, key_size if key_size < key_limit[0] else key_limit[0], 0, KIND_PUT,
                                      <const char *> &number, 4)
            if added <= 0:
                break
            p += 4 + key_size
        if added != 0:
            return added
        if key_limit[0] == 0:
            return fail(TOO_LARGE, "a table has too many blocks", writer.file.path, <uint64_t> NO_OFFSET)
        block_builder_reset(top)
        key_limit[0] //= 2


cdef int _store_top(TableWriter *writer, TableFooter *footer) noexcept nogil:
    cdef BlockBuilder *top = block_builder_new(<size_t> 1 << 40)       # bounded by MAX_PAYLOAD_BYTES alone
    cdef const char *raw = NULL
    cdef size_t size = 0
    cdef uint32_t stored_size
    cdef uint16_t key_limit = 0
    cdef int status = NO_MEMORY
    if top == NULL:
        return fail(NO_MEMORY, "no memory for a table's index", writer.file.path, <uint64_t> NO_OFFSET)
    status = _build_top(writer, top, &key_limit)
    if status >= 0:
        status = block_builder_finish(top, &raw, &size)
    if status >= 0:
        status = _store(&writer.output, raw, size, writer.options.compress, &stored_size)
    block_builder_free(top)
    footer.top_key_limit = key_limit
    return status


# ---- entries

cdef uint32_t _locator_bits(const TableWriter *writer, uint32_t *index_bits) noexcept nogil:
    index_bits[0] = bits_for(writer.largest_block - 1 if writer.largest_block else 0)
    return index_bits[0] + bits_for(writer.block_count - 1 if writer.block_count else 0)


cdef int _finish_block(TableWriter *writer) noexcept nogil:
    cdef const char *raw = NULL
    cdef size_t size = 0
    cdef uint32_t stored_size = 0, index_bits, count = block_builder_count(writer.block)
    cdef int status = block_builder_finish(writer.block, &raw, &size)
    if status >= 0:
        status = _store(&writer.output, raw, size, writer.options.compress, &stored_size)
    if status >= 0:
        status = buffer_append(&writer.lengths, &stored_size, 4)
    if status < 0:
        return status
    block_builder_reset(writer.block)
    writer.block_count += 1
    if count > writer.largest_block:
        writer.largest_block = count
    if _locator_bits(writer, &index_bits) > MAX_LOCATOR_BITS:
        return fail(TOO_LARGE, "a table has too many blocks", writer.file.path, <uint64_t> NO_OFFSET)
    if writer.output.size >= WRITE_BYTES:
        return _flush(writer)
    return OK


cdef int _count_pointer(TableWriter *writer, const char *value, size_t value_size) noexcept nogil:
    cdef ValuePointer pointer
    cdef uint64_t *numbers = <uint64_t *> writer.value_files.data
    cdef uint64_t bytes_in_log, none = 0
    cdef size_t i, count = writer.value_files.size // 8
    if value_size != VALUE_POINTER_BYTES:
        return fail(INVALID, "a value pointer has a wrong size", writer.file.path, <uint64_t> NO_OFFSET)
    memcpy(&pointer, value, sizeof(ValuePointer))
    bytes_in_log = VALUE_RECORD_HEADER_BYTES + <uint64_t> pointer.key_size + pointer.value_size
    i = 0
    while i < count and numbers[i] != pointer.file_number:
        i += 1
    if i == count and (buffer_append(&writer.value_files, &pointer.file_number, 8) < 0
                       or buffer_append(&writer.value_file_bytes, &none, 8) < 0):
        return NO_MEMORY
    (<uint64_t *> writer.value_file_bytes.data)[i] += bytes_in_log
    writer.summary.value_log_bytes += bytes_in_log
    return OK


cdef inline void _include_ts(TableWriter *writer, uint64_t ts) noexcept nogil:
    if ts < writer.summary.min_ts:
        writer.summary.min_ts = ts
    if ts > writer.summary.max_ts:
        writer.summary.max_ts = ts


cdef int table_writer_add(TableWriter *writer, const char *key, size_t key_size, uint64_t ts, int kind,
                          const char *value, size_t value_size) noexcept nogil:
    cdef int order = -1, added = OK
    cdef KeyPlace *place
    if writer.summary.entry_count > 0:
        order = compare_keys(writer.last_key.data, writer.last_key.size, key, key_size)
        if order > 0 or (order == 0 and ts >= writer.last_ts):
            return fail(INVALID, "entries of a table must come in order", writer.file.path, <uint64_t> NO_OFFSET)
    if kind == KIND_POINTER:
        added = _count_pointer(writer, value, value_size)
        if added < 0:
            return added
    added = block_builder_add(writer.block, key, key_size, ts, kind, value, value_size)
    if added == 0:
        added = _finish_block(writer)
        if added >= 0:
            added = _separate(writer, key, key_size)
        if added >= 0:
            added = block_builder_add(writer.block, key, key_size, ts, kind, value, value_size)
    if added < 0:
        return added
    if order != 0:
        if buffer_reserve(&writer.places, sizeof(KeyPlace)) < 0 or buffer_set(&writer.last_key, key, key_size) < 0:
            return NO_MEMORY
        place = <KeyPlace *> (writer.places.data + writer.places.size)
        place.hash_value = key_hash(key, key_size)
        place.block_number = writer.block_count
        place.index = block_builder_count(writer.block) - 1
        writer.places.size += sizeof(KeyPlace)
        writer.summary.key_count += 1
        if writer.summary.entry_count == 0 and buffer_set(&writer.smallest, key, key_size) < 0:
            return NO_MEMORY
    writer.last_ts = ts
    _include_ts(writer, ts)
    writer.summary.entry_count += 1
    writer.summary.delete_count += kind == KIND_DELETE
    writer.summary.raw_bytes += key_size + value_size
    return OK


cdef int table_writer_add_tombstone(TableWriter *writer, const RangeTombstone *tombstone) noexcept nogil:
    cdef char *p
    cdef Buffer *section = &writer.tombstones
    if compare_keys(tombstone.start, tombstone.start_size, tombstone.stop, tombstone.stop_size) >= 0:
        return fail(INVALID, "a range tombstone covers nothing", writer.file.path, <uint64_t> NO_OFFSET)
    if buffer_reserve(section, <size_t> tombstone.start_size + tombstone.stop_size + 18) < 0:
        return NO_MEMORY
    p = varint_put(section.data + section.size, tombstone.start_size)
    if tombstone.start_size:
        memcpy(p, tombstone.start, tombstone.start_size)
    p = varint_put(p + tombstone.start_size, tombstone.stop_size)
    memcpy(p, tombstone.stop, tombstone.stop_size)
    memcpy(p + tombstone.stop_size, &tombstone.ts, 8)
    section.size = p + tombstone.stop_size + 8 - section.data
    writer.summary.tombstone_count += 1
    _include_ts(writer, tombstone.ts)
    return OK


cdef uint64_t table_writer_size(TableWriter *writer) noexcept nogil:
    cdef uint32_t index_bits
    if _locator_bits(writer, &index_bits) > FULL_LOCATOR_BITS:
        return UINT64_MAX
    return (_position(writer) + writer.block.raw_size + writer.partitions.size + writer.index.raw_size
            + writer.places.size // sizeof(KeyPlace) * (BUCKET_SLOTS * 4) // KEYS_PER_BUCKET
            + writer.tombstones.size + TABLE_FOOTER_BYTES)


# ---- finish

cdef int _fill_buckets(TableWriter *writer, TableFooter *footer, uint32_t *buckets) noexcept nogil:
    cdef KeyPlace *places = <KeyPlace *> writer.places.data
    cdef size_t count = writer.places.size // sizeof(KeyPlace), i
    cdef uint32_t bucket, free_slots, bucket_count = footer.bucket_count
    cdef uint32_t locator_bits = footer.locator_bits, index_bits = footer.index_bits
    for i in range(count):
        if i + PLACES_AHEAD < count:
            prefetch(buckets + <size_t> home_bucket(places[i + PLACES_AHEAD].hash_value, bucket_count) * BUCKET_SLOTS)
        bucket = home_bucket(places[i].hash_value, bucket_count)
        while True:                      # there are more slots than keys, so one is free
            free_slots = match16_u32(buckets + <size_t> bucket * BUCKET_SLOTS, <uint32_t> 0xFFFFFFFF, 0)
            if free_slots:
                break
            bucket = bucket + 1 if bucket + 1 < bucket_count else 0
        buckets[<size_t> bucket * BUCKET_SLOTS + lowest_bit(free_slots)] = (
            fingerprint_of(places[i].hash_value, locator_bits) | (places[i].block_number << index_bits)
            | places[i].index)
    return OK


cdef int _store_fingerprints(TableWriter *writer, TableFooter *footer) noexcept nogil:
    cdef Buffer section
    cdef uint32_t index_bits = 0
    cdef uint64_t bucket_count = (writer.summary.key_count + KEYS_PER_BUCKET - 1) // KEYS_PER_BUCKET
    cdef int status
    memset(&section, 0, sizeof(Buffer))
    if bucket_count == 0:
        bucket_count = 1
    if bucket_count * BUCKET_SLOTS * 4 > MAX_STORED_RAW_BYTES:
        return fail(TOO_LARGE, "a table has too many keys", writer.file.path, <uint64_t> NO_OFFSET)
    footer.bucket_count = <uint32_t> bucket_count
    footer.locator_bits = <uint8_t> _locator_bits(writer, &index_bits)
    footer.index_bits = <uint8_t> index_bits
    if buffer_reserve(&section, bucket_count * BUCKET_SLOTS * 4) < 0:
        return NO_MEMORY
    section.size = bucket_count * BUCKET_SLOTS * 4
    memset(section.data, 0, section.size)
    _fill_buckets(writer, footer, <uint32_t *> section.data)
    status = _store_section(writer, &section, False)
    buffer_free(&section)
    return status


cdef int _store_lengths(TableWriter *writer) noexcept nogil:
    cdef Buffer section
    cdef uint32_t i, length
    cdef uint32_t total = writer.block_count + writer.index_block_count
    cdef char *p
    cdef int status
    memset(&section, 0, sizeof(Buffer))
    if buffer_reserve(&section, <size_t> total * 5 + 1) < 0:
        return NO_MEMORY
    p = section.data
    for i in range(total):
        if i < writer.block_count:
            length = (<uint32_t *> writer.lengths.data)[i]
        else:
            length = (<uint32_t *> writer.partition_lengths.data)[i - writer.block_count]
        p = varint_put(p, length)
    section.size = p - section.data
    status = _store_section(writer, &section, writer.options.compress)
    buffer_free(&section)
    return status


cdef int _put_property(Buffer *section, uint16_t tag, const void *data, size_t size) noexcept nogil:
    cdef char head[6]
    put_u16(head, tag)
    put_u32(head + 2, <uint32_t> size)
    if buffer_append(section, head, 6) < 0:
        return NO_MEMORY
    return buffer_append(section, data, size)


cdef int _put_properties(Buffer *section, const TableSummary *summary) noexcept nogil:
    cdef Buffer files
    cdef uint32_t i
    cdef int status = OK
    memset(&files, 0, sizeof(Buffer))
    for i in range(summary.value_file_count):
        if (buffer_append(&files, &summary.value_files[i], 8) < 0
                or buffer_append(&files, &summary.value_file_bytes[i], 8) < 0):
            status = NO_MEMORY
    if (status < 0
            or _put_property(section, PROPERTY_ENTRY_COUNT, &summary.entry_count, 8) < 0
            or _put_property(section, PROPERTY_KEY_COUNT, &summary.key_count, 8) < 0
            or _put_property(section, PROPERTY_DELETE_COUNT, &summary.delete_count, 8) < 0
            or _put_property(section, PROPERTY_TOMBSTONE_COUNT, &summary.tombstone_count, 8) < 0
            or _put_property(section, PROPERTY_RAW_BYTES, &summary.raw_bytes, 8) < 0
            or _put_property(section, PROPERTY_MIN_TS, &summary.min_ts, 8) < 0
            or _put_property(section, PROPERTY_MAX_TS, &summary.max_ts, 8) < 0
            or _put_property(section, PROPERTY_VALUE_LOG_BYTES, &summary.value_log_bytes, 8) < 0
            or _put_property(section, PROPERTY_SMALLEST, summary.smallest, summary.smallest_size) < 0
            or _put_property(section, PROPERTY_LARGEST, summary.largest, summary.largest_size) < 0
            or _put_property(section, PROPERTY_VALUE_FILES, files.data, files.size) < 0):
        status = NO_MEMORY
    buffer_free(&files)
    return status


# Bounds cover the tombstones too. A tombstone ends before its stop, so `largest` may be a key that
# the table has nothing to say about.
cdef int _include_tombstone_bounds(TableWriter *writer) noexcept nogil:
    cdef const char *p = writer.tombstones.data
    cdef const char *end = p + writer.tombstones.size
    cdef uint32_t start_size, stop_size
    cdef bint bounded = writer.summary.entry_count > 0
    while p < end:
        p = varint_get(p, end, &start_size)
        if not bounded or compare_keys(p, start_size, writer.smallest.data, writer.smallest.size) < 0:
            if buffer_set(&writer.smallest, p, start_size) < 0:
                return NO_MEMORY
        p = varint_get(p + start_size, end, &stop_size)
        if not bounded or compare_keys(p, stop_size, writer.largest.data, writer.largest.size) > 0:
            if buffer_set(&writer.largest, p, stop_size) < 0:
                return NO_MEMORY
        bounded = True
        p += stop_size + 8
    return OK


cdef int _summarise(TableWriter *writer) noexcept nogil:
    cdef TableSummary *summary = &writer.summary
    if summary.min_ts == UINT64_MAX:
        summary.min_ts = summary.max_ts          # an empty table
    if (buffer_set(&writer.largest, writer.last_key.data, writer.last_key.size) < 0
            or _include_tombstone_bounds(writer) < 0 or buffer_reserve(&writer.smallest, 1) < 0):
        return NO_MEMORY
    summary.smallest = writer.smallest.data
    summary.smallest_size = <uint32_t> writer.smallest.size
    summary.largest = writer.largest.data
    summary.largest_size = <uint32_t> writer.largest.size
    summary.value_files = <uint64_t *> writer.value_files.data
    summary.value_file_bytes = <uint64_t *> writer.value_file_bytes.data
    summary.value_file_count = <uint32_t> (writer.value_files.size // 8)
    return OK


cdef int _store_properties(TableWriter *writer) noexcept nogil:
    cdef Buffer section
    cdef int status
    memset(&section, 0, sizeof(Buffer))
    status = _put_properties(&section, &writer.summary)
    if status >= 0:
        status = _store_section(writer, &section, writer.options.compress)
    buffer_free(&section)
    return status


cdef int _finish_blocks(TableWriter *writer) noexcept nogil:
    cdef int status = OK
    if block_builder_count(writer.block):
        status = _finish_block(writer)
        if status >= 0:
            status = _add_separator(writer, writer.last_key.data, writer.last_key.size)
        if status >= 0:
            status = _finish_partition(writer)
    if status >= 0:
        status = buffer_append(&writer.output, writer.partitions.data, writer.partitions.size)
    return status


cdef int table_writer_finish(TableWriter *writer, TableSummary *summary) noexcept nogil:
    cdef TableFooter footer
    cdef int status = _finish_blocks(writer)
    if status < 0 or _summarise(writer) < 0:
        return status if status < 0 else NO_MEMORY
    memset(&footer, 0, sizeof(TableFooter))
    footer.top_index_offset = _position(writer)
    status = _store_top(writer, &footer)
    footer.fingerprints_offset = _position(writer)
    if status >= 0:
        status = _store_fingerprints(writer, &footer)
    footer.tombstones_offset = _position(writer)
    if status >= 0:
        status = _store_section(writer, &writer.tombstones, writer.options.compress)
    footer.lengths_offset = _position(writer)
    if status >= 0:
        status = _store_lengths(writer)
    footer.properties_offset = _position(writer)
    if status >= 0:
        status = _store_properties(writer)
    if status < 0:
        return status
    footer.entry_count = writer.summary.entry_count
    footer.key_count = writer.summary.key_count
    footer.block_count = writer.block_count
    footer.index_block_count = writer.index_block_count
    footer.tombstone_count = <uint32_t> writer.summary.tombstone_count
    footer.format_version = TABLE_FORMAT_VERSION
    footer.crc = crc32c(0, &footer, TABLE_FOOTER_BYTES - 12)
    memcpy(footer.magic, b"PHANTTBL", 8)
    if buffer_append(&writer.output, &footer, TABLE_FOOTER_BYTES) < 0:
        return NO_MEMORY
    status = _flush(writer)
    if status >= 0:
        status = file_sync(writer.file)
    if status < 0:
        return status
    writer.summary.file_size = writer.written
    summary[0] = writer.summary
    return OK


# ---- Python face

cdef dict summary_dict(const TableSummary *summary):
    return {
        "file_size": summary.file_size,
        "entry_count": summary.entry_count,
        "key_count": summary.key_count,
        "delete_count": summary.delete_count,
        "tombstone_count": summary.tombstone_count,
        "raw_bytes": summary.raw_bytes,
        "min_ts": summary.min_ts,
        "max_ts": summary.max_ts,
        "value_log_bytes": summary.value_log_bytes,
        "smallest": PyBytes_FromStringAndSize(summary.smallest, summary.smallest_size),
        "largest": PyBytes_FromStringAndSize(summary.largest, summary.largest_size),
        "value_files": {summary.value_files[i]: summary.value_file_bytes[i] for i in range(summary.value_file_count)},
    }


cdef int _add_tombstone(TableWriter *writer, bytes start, bytes stop, uint64_t ts) except -1:
    cdef RangeTombstone tombstone
    tombstone.start = PyBytes_AsString(start)
    tombstone.stop = PyBytes_AsString(stop)
    tombstone.start_size = <uint32_t> len(start)
    tombstone.stop_size = <uint32_t> len(stop)
    tombstone.ts = ts
    cdef int status = table_writer_add_tombstone(writer, &tombstone)
    if status < 0:
        raise_status(status)
    return 0


def write_table(FileSystem file_system not None, str path not None, entries, tombstones=(), size_t block_bytes=4096,
                bint compress=True):
    """Write a table of (key, ts, kind, value) entries, in order, and (start, stop, ts) range tombstones.

    Returns the summary as a dict; it is what TableHandle.create takes.
    """
    cdef TableOptions options
    cdef TableWriter *writer = NULL
    cdef TableSummary summary
    cdef bytes key, value, start, stop
    cdef uint64_t ts
    cdef int kind, status
    options.block_bytes = block_bytes
    options.compress = compress
    encoded = path.encode()
    status = table_writer_open(&file_system.handle, PyBytes_AsString(encoded), &options, &writer)
    if status < 0:
        raise_status(status)
    try:
        for key, ts, kind, value in entries:
            status = table_writer_add(writer, PyBytes_AsString(key), len(key), ts, kind, PyBytes_AsString(value),
                                      len(value))
            if status < 0:
                raise_status(status)
        for start, stop, ts in tombstones:
            _add_tombstone(writer, start, stop, ts)
        with nogil:
            status = table_writer_finish(writer, &summary)
        if status < 0:
            raise_status(status)
        return summary_dict(&summary)
    finally:
        table_writer_free(writer)
