"""Reading a table's file: the footer, the sections it names, and single blocks.

    footer -> offsets of all sections
           -> lengths section: where each block starts (kept as absolute offsets)
           -> top index block (kept decoded), fingerprint buckets (kept as they are)
    on demand: blocks, tombstones, properties

Nothing from the file is believed before its CRC was checked, and no length before it was compared with
the bytes that are there; a failure names the file and the offset of the piece that is wrong.
"""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy
from posix.mman cimport MADV_HUGEPAGE, madvise

from .batch cimport varint_get
from .block cimport BlockHeader, block_decode
from .cache cimport Cache, cache_charge, cache_drop
from .census cimport TABLE_READER, count_birth, count_death
from .compression cimport lz4_decompress
from .cursor cimport RangeTombstone
from .files cimport OPEN_READ, FileSystemHandle, file_close, file_pread_exact, file_size, fs_open
from .frames cimport Frame, frame_new, frame_release
from .hashing cimport crc32c
from .platform cimport HUGE_PAGE_BYTES, add_u32, get_u32, get_u64, sub_u32
from .status cimport CORRUPTION, NEWER_FORMAT, NO_MEMORY, NO_OFFSET, OK, fail, raise_status
from .table_format cimport (BUCKET_SLOTS, MAX_LOCATOR_BITS, MAX_STORED_RAW_BYTES, PROPERTY_DELETE_COUNT,
                            PROPERTY_ENTRY_COUNT, PROPERTY_KEY_COUNT, PROPERTY_LARGEST, PROPERTY_MAX_TS,
                            PROPERTY_MIN_TS, PROPERTY_RAW_BYTES, PROPERTY_SMALLEST, PROPERTY_TOMBSTONE_COUNT,
                            PROPERTY_VALUE_FILES, PROPERTY_VALUE_LOG_BYTES, STORED_LZ4, STORED_PLAIN,
                            STORED_TRAILER_BYTES, TABLE_FOOTER_BYTES, TABLE_FORMAT_VERSION, TableFooter)

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void **out, size_t alignment, size_t size) noexcept

cdef enum:
    STACK_BYTES = 16384              # blocks up to this size are read without an allocation


cdef int _damaged(TableReader *reader, const char *message, uint64_t offset) noexcept nogil:
    return fail(CORRUPTION, message, reader.file.path, offset)


cdef int _no_memory(TableReader *reader) noexcept nogil:
    return fail(NO_MEMORY, "no memory to read a table", reader.file.path, <uint64_t> NO_OFFSET)


# ---- stored pieces

# Checks a piece and says how many bytes it unpacks to.
cdef int _check_piece(TableReader *reader, const char *stored, uint64_t size, uint64_t offset,
                      uint32_t *raw_size) noexcept nogil:
    cdef const char *trailer = stored + size - STORED_TRAILER_BYTES
    cdef uint64_t packed = size - STORED_TRAILER_BYTES
    if crc32c(0, stored, size - 4) != get_u32(trailer + 5):
        return _damaged(reader, "checksum does not match", offset)
    raw_size[0] = get_u32(trailer)
    if trailer[4] == STORED_PLAIN and raw_size[0] == packed:
        return OK
    if trailer[4] == STORED_LZ4 and raw_size[0] > packed and raw_size[0] <= MAX_STORED_RAW_BYTES:
        return OK
    return _damaged(reader, "a stored size or type is wrong", offset)


cdef int _unpack_piece(TableReader *reader, const char *stored, uint64_t size, uint64_t offset, char *raw,
                       uint32_t raw_size) noexcept nogil:
    cdef uint64_t packed = size - STORED_TRAILER_BYTES
    if stored[packed + 4] == STORED_PLAIN:
        memcpy(raw, stored, raw_size)
    elif lz4_decompress(stored, <int> packed, raw, <int> raw_size) != <int> raw_size:
        return _damaged(reader, "cannot decompress", offset)
    return OK


cdef int reader_unpack_block(TableReader *reader, uint32_t number, const char *stored, Frame **out) noexcept nogil:
    cdef uint64_t offset = reader.offsets[number]
    cdef uint64_t size = reader.offsets[number + 1] - offset
    cdef uint32_t raw_size = 0
    cdef Frame *frame
    cdef int status = _check_piece(reader, stored, size, offset, &raw_size)
    if status < 0:
        return status
    frame = frame_new(reader.cache.pool if reader.cache != NULL else NULL, raw_size)
    if frame == NULL:
        return _no_memory(reader)
    status = _unpack_piece(reader, stored, size, offset, frame.data, raw_size)
    if status >= 0 and block_decode(frame.data, raw_size) < 0:
        status = _damaged(reader, "a block's structure is wrong", offset)
    if status < 0:
        frame_release(frame)
        return status
    out[0] = frame
    return OK


cdef int _read_and_unpack(TableReader *reader, uint32_t number, char *buffer, Frame **out) noexcept nogil:
    cdef uint64_t offset = reader.offsets[number]
    cdef int status = file_pread_exact(reader.file, buffer, reader.offsets[number + 1] - offset, offset)
    if status < 0:
        return status
    return reader_unpack_block(reader, number, buffer, out)


cdef int reader_read_block(TableReader *reader, uint32_t number, Frame **out) noexcept nogil:
    cdef char on_stack[STACK_BYTES]
    cdef size_t size = reader.offsets[number + 1] - reader.offsets[number]
    cdef char *buffer
    cdef int status
    if size <= STACK_BYTES:
        return _read_and_unpack(reader, number, on_stack, out)
    buffer = <char *> malloc(size)
    if buffer == NULL:
        return _no_memory(reader)
    status = _read_and_unpack(reader, number, buffer, out)
    free(buffer)
    return status


cdef int _unpack_section(TableReader *reader, const char *stored, uint64_t size, uint64_t offset, char **raw,
                         size_t *raw_size) noexcept nogil:
    cdef uint32_t unpacked_size = 0
    cdef int status = _check_piece(reader, stored, size, offset, &unpacked_size)
    if status < 0:
        return status
    raw[0] = <char *> malloc(<size_t> unpacked_size + 1)
    if raw[0] == NULL:
        return _no_memory(reader)
    raw_size[0] = unpacked_size
    status = _unpack_piece(reader, stored, size, offset, raw[0], unpacked_size)
    if status < 0:
        free(raw[0])
        raw[0] = NULL
    return status


cdef int reader_read_section(TableReader *reader, uint64_t offset, uint64_t size, char **raw,
                             size_t *raw_size) noexcept nogil:
    cdef char *stored = <char *> malloc(size)
    cdef int status
    if stored == NULL:
        return _no_memory(reader)
    status = file_pread_exact(reader.file, stored, size, offset)
    if status >= 0:
        status = _unpack_section(reader, stored, size, offset, raw, raw_size)
    free(stored)
    return status


# ---- opening

cdef int _read_footer(TableReader *reader, uint64_t *footer_offset) noexcept nogil:
    cdef TableFooter *footer = &reader.footer
    cdef int64_t size = file_size(reader.file)
    cdef uint64_t section = STORED_TRAILER_BYTES
    cdef int status
    if size < 0:
        return <int> size
    if size < TABLE_FOOTER_BYTES:
        return _damaged(reader, "too short for a table", 0)
    footer_offset[0] = <uint64_t> size - TABLE_FOOTER_BYTES
    status = file_pread_exact(reader.file, footer, TABLE_FOOTER_BYTES, footer_offset[0])
    if status < 0:
        return status
    if memcmp(footer.magic, b"PHANTTBL", 8) != 0:
        return _damaged(reader, "not a table, or cut off", footer_offset[0])
    if crc32c(0, footer, TABLE_FOOTER_BYTES - 12) != footer.crc:
        return _damaged(reader, "checksum of the footer does not match", footer_offset[0])
    if footer.format_version > TABLE_FORMAT_VERSION:
        return fail(NEWER_FORMAT, "the table was written by a newer release", reader.file.path, footer_offset[0])
    # each comparison can be made without overflow because the one before it held
    if (footer.properties_offset > footer_offset[0] or footer_offset[0] - footer.properties_offset < section
            or footer.lengths_offset > footer.properties_offset
            or footer.properties_offset - footer.lengths_offset < section
            or footer.tombstones_offset > footer.lengths_offset
            or footer.lengths_offset - footer.tombstones_offset < section
            or footer.fingerprints_offset > footer.tombstones_offset
            or footer.tombstones_offset - footer.fingerprints_offset
            != <uint64_t> footer.bucket_count * BUCKET_SLOTS * 4 + section
            or footer.top_index_offset > footer.fingerprints_offset
            or footer.fingerprints_offset - footer.top_index_offset < section
            or (<uint64_t> footer.block_count + footer.index_block_count) * section > footer.top_index_offset
            or footer.bucket_count == 0 or footer.locator_bits > MAX_LOCATOR_BITS
            or footer.index_bits > footer.locator_bits):
        return _damaged(reader, "the footer contradicts itself", footer_offset[0])
    return OK


cdef int _read_offsets(TableReader *reader) noexcept nogil:
    cdef uint64_t at = reader.footer.lengths_offset, position = 0
    cdef uint32_t total = reader_total_blocks(reader), i, length = 0
    cdef char *raw = NULL
    cdef const char *p
    cdef size_t size = 0
    cdef int status = reader_read_section(reader, at, reader.footer.properties_offset - at, &raw, &size)
    if status < 0:
        return status
    p = raw
    for i in range(total):
        reader.offsets[i] = position
        p = varint_get(p, raw + size, &length)
        if p == NULL or length <= STORED_TRAILER_BYTES:
            break
        position += length
    reader.offsets[total] = position
    status = OK
    if p != raw + size or position != reader.footer.top_index_offset:
        status = _damaged(reader, "block lengths contradict the file", at)
    free(raw)
    return status


cdef int _read_top(TableReader *reader, size_t *size) noexcept nogil:
    cdef uint64_t at = reader.footer.top_index_offset
    cdef int status = reader_read_section(reader, at, reader.footer.fingerprints_offset - at, &reader.top_index, size)
    if status < 0:
        return status
    if (block_decode(reader.top_index, size[0]) < 0
            or (<BlockHeader *> reader.top_index).entry_count != reader.index_block_count):
        return _damaged(reader, "the top index block's structure is wrong", at)
    return OK


# Straight into aligned memory: the section is never compressed.
cdef int _read_buckets(TableReader *reader) noexcept nogil:
    cdef uint64_t at = reader.footer.fingerprints_offset
    cdef uint64_t size = reader.footer.tombstones_offset - at
    cdef uint32_t raw_size = 0
    cdef void *memory = NULL
    cdef int status
    if posix_memalign(&memory, HUGE_PAGE_BYTES if size >= HUGE_PAGE_BYTES else 64, size) != 0:
        return _no_memory(reader)
    reader.buckets = <uint32_t *> memory
    if size >= HUGE_PAGE_BYTES:          # advice only: a random probe then needs no walk through page tables
        madvise(memory, size & ~(<size_t> HUGE_PAGE_BYTES - 1), MADV_HUGEPAGE)
    status = file_pread_exact(reader.file, memory, size, at)
    if status >= 0:
        status = _check_piece(reader, <const char *> memory, size, at, &raw_size)
    if status >= 0 and raw_size != size - STORED_TRAILER_BYTES:
        status = _damaged(reader, "the fingerprint section is compressed", at)
    return status


cdef int _read_sections(TableReader *reader) noexcept nogil:
    cdef uint64_t footer_offset = 0
    cdef size_t total, top_size = 0
    cdef int status = _read_footer(reader, &footer_offset)
    if status < 0:
        return status
    reader.block_count = reader.footer.block_count
    reader.index_block_count = reader.footer.index_block_count
    reader.bucket_count = reader.footer.bucket_count
    reader.locator_bits = reader.footer.locator_bits
    reader.index_bits = reader.footer.index_bits
    total = reader_total_blocks(reader)
    reader.offsets = <uint64_t *> calloc(total + 1, sizeof(uint64_t))
    reader.frames = <Frame **> calloc(total + 1, sizeof(Frame *))
    if reader.offsets == NULL or reader.frames == NULL:
        return _no_memory(reader)
    status = _read_offsets(reader)
    if status >= 0:
        status = _read_top(reader, &top_size)
    if status >= 0:
        status = _read_buckets(reader)
    reader.charge = (sizeof(TableReader) + (total + 1) * (sizeof(uint64_t) + sizeof(Frame *)) + top_size
                     + <size_t> reader.bucket_count * BUCKET_SLOTS * 4)
    return status


cdef int reader_open(FileSystemHandle *fs, const char *path, Cache *cache, TableReader **out) noexcept nogil:
    cdef TableReader *reader = <TableReader *> calloc(1, sizeof(TableReader))
    cdef int status
    if reader == NULL:
        return fail(NO_MEMORY, "no memory to open a table", path, <uint64_t> NO_OFFSET)
    count_birth(TABLE_READER)
    reader.references = 1
    status = fs_open(fs, path, OPEN_READ, &reader.file)
    if status >= 0:
        status = _read_sections(reader)
    if status < 0:
        reader_release(reader)
        return status
    reader.cache = cache
    if cache != NULL:
        cache_charge(cache, <int64_t> reader.charge)
    out[0] = reader
    return OK


cdef TableReader *reader_retain(TableReader *reader) noexcept nogil:
    add_u32(&reader.references, 1)
    return reader


cdef void reader_release(TableReader *reader) noexcept nogil:
    if reader == NULL or sub_u32(&reader.references, 1) != 1:
        return
    if reader.cache != NULL:
        cache_drop(reader.cache, reader.frames, reader_total_blocks(reader))
        cache_charge(reader.cache, -<int64_t> reader.charge)
    file_close(reader.file)
    free(reader.offsets)
    free(reader.frames)
    free(reader.top_index)
    free(reader.buckets)
    free(reader)
    count_death(TABLE_READER)


# ---- tombstones and properties

# One allocation: the array, then the bytes of all keys.
cdef int reader_load_tombstones(TableReader *reader, RangeTombstone **out, uint32_t *count) noexcept nogil:
    cdef uint64_t at = reader.footer.tombstones_offset
    cdef size_t size = 0, array_bytes = <size_t> reader.footer.tombstone_count * sizeof(RangeTombstone)
    cdef char *raw = NULL
    cdef const char *p
    cdef const char *end
    cdef RangeTombstone *tombstone
    cdef char *keys
    cdef uint32_t i
    cdef int status = reader_read_section(reader, at, reader.footer.lengths_offset - at, &raw, &size)
    if status < 0:
        return status
    if reader.footer.tombstone_count > size:         # each takes ten bytes and more
        free(raw)
        return _damaged(reader, "the number of range tombstones is wrong", at)
    tombstone = <RangeTombstone *> malloc(array_bytes + size + 1)
    if tombstone == NULL:
        free(raw)
        return _no_memory(reader)
    out[0] = tombstone
    keys = <char *> tombstone + array_bytes
    memcpy(keys, raw, size)
    free(raw)
    p = keys
    end = keys + size
    for i in range(reader.footer.tombstone_count):
        p = varint_get(p, end, &tombstone.start_size)
        if p == NULL or <size_t> (end - p) < tombstone.start_size:
            break
        tombstone.start = <char *> p
        p = varint_get(p + tombstone.start_size, end, &tombstone.stop_size)
        if p == NULL or <size_t> (end - p) < <size_t> tombstone.stop_size + 8:
            p = NULL
            break
        tombstone.stop = <char *> p
        tombstone.ts = get_u64(p + tombstone.stop_size)
        p += tombstone.stop_size + 8
        tombstone += 1
    if p != end:
        tombstones_free(out[0])
        out[0] = NULL
        return _damaged(reader, "the range tombstones are cut off", at)
    count[0] = reader.footer.tombstone_count
    return OK


cdef void tombstones_free(RangeTombstone *tombstones) noexcept nogil:
    free(tombstones)


_NUMBERS = {
    PROPERTY_ENTRY_COUNT: "entry_count", PROPERTY_KEY_COUNT: "key_count", PROPERTY_DELETE_COUNT: "delete_count",
    PROPERTY_TOMBSTONE_COUNT: "tombstone_count", PROPERTY_RAW_BYTES: "raw_bytes", PROPERTY_MIN_TS: "min_ts",
    PROPERTY_MAX_TS: "max_ts", PROPERTY_VALUE_LOG_BYTES: "value_log_bytes",
}
_KEYS = {PROPERTY_SMALLEST: "smallest", PROPERTY_LARGEST: "largest"}


cdef dict _parse_properties(bytes section):
    cdef int at = 0, tag, size
    properties = {}
    while at < len(section):
        tag = int.from_bytes(section[at:at + 2], "little")
        size = int.from_bytes(section[at + 2:at + 6], "little")
        data = section[at + 6:at + 6 + size]
        if len(data) != size:
            return None
        if tag in _NUMBERS:
            properties[_NUMBERS[tag]] = int.from_bytes(data, "little")
        elif tag in _KEYS:
            properties[_KEYS[tag]] = data
        elif tag == PROPERTY_VALUE_FILES:
            properties["value_files"] = {int.from_bytes(data[i:i + 8], "little"):
                                         int.from_bytes(data[i + 8:i + 16], "little") for i in range(0, size, 16)}
        at += 6 + size
    return properties


cdef dict reader_properties(TableReader *reader):
    cdef uint64_t at = reader.footer.properties_offset
    cdef char *raw = NULL
    cdef size_t size = 0
    cdef int status
    cdef int64_t end
    with nogil:
        end = file_size(reader.file)
        if end < 0:
            status = <int> end
        else:
            status = reader_read_section(reader, at, <uint64_t> end - TABLE_FOOTER_BYTES - at, &raw, &size)
    if status < 0:
        raise_status(status)
    try:
        properties = _parse_properties(PyBytes_FromStringAndSize(raw, size))
    finally:
        free(raw)
    if properties is None:
        raise_status(_damaged(reader, "the properties are cut off", at))
    properties["file_size"] = end
    return properties
