"""One table file looked at on its own: for `verify`, `inspect` and repair, no database needed.

verify() reads every byte. Gaps between the pieces of a table cannot exist (the reader sees to that when
it opens), so checking each piece's CRC covers the file. Beyond that it checks what no CRC can: that the
pieces agree with each other.

    data blocks   in order within and across blocks; counts, timestamps and bounds as the properties say
    index         block i is found under a separator in [last key of i, first key of i+1], in its
                  partition, and the partition under its own last separator in the top index
    fingerprints  every key's newest version has a slot that leads to it, and there are no other slots
"""
cimport cython
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memcpy, memset

from .block cimport (KIND_DELETE, KIND_POINTER, BlockEntry, BlockHeader, block_entries, block_entry, block_prefix,
                     block_prefix_size, block_ts)
from .cursor cimport RangeTombstone, compare_keys
from .files cimport FileSystem
from .frames cimport Frame, frame_release
from .hashing cimport key_hash
from .platform cimport get_u32
from .status cimport CORRUPTION, NO_MEMORY, OK, fail, raise_status
from .table cimport TableReader
from .table_format cimport (BUCKET_SLOTS, INDEX_KEY_BYTES, Buffer, buffer_append, buffer_free, buffer_set,
                            fingerprint_of, home_bucket)
from .table_reader cimport (reader_load_tombstones, reader_open, reader_properties, reader_read_block, reader_release,
                            tombstones_free)
from .values cimport VALUE_POINTER_BYTES, VALUE_RECORD_HEADER_BYTES, ValuePointer


cdef struct Check:                   # what verify() knows so far
    TableReader *reader
    Buffer key                       # of the entry looked at
    Buffer last_key                  # of the entry before
    uint64_t last_ts
    uint64_t entry_count
    uint64_t key_count
    uint64_t delete_count
    uint64_t raw_bytes
    uint64_t value_log_bytes
    uint64_t min_ts
    uint64_t max_ts
    Buffer smallest
    # walks the index beside the data blocks
    Frame *partition
    uint32_t partition_number        # the next one to read
    uint32_t separator_index         # the next separator in `partition`
    Buffer separator


cdef int _wrong(const Check *check, const char *message, uint64_t offset) noexcept nogil:
    return fail(CORRUPTION, message, check.reader.file.path, offset)


cdef int _set_key(Buffer *key, const char *block, const BlockEntry *entry) noexcept nogil:
    if buffer_set(key, block_prefix(block), block_prefix_size(block)) < 0:
        return NO_MEMORY
    return buffer_append(key, entry.suffix, entry.suffix_size)


cdef int _compare_cut(const Buffer *a, const Buffer *b, size_t limit) noexcept nogil:
    return compare_keys(a.data, a.size if a.size < limit else limit, b.data, b.size if b.size < limit else limit)


# ---- index

# The last separator of the partition just walked must be what the top index has for it.
cdef int _check_top(Check *check) noexcept nogil:
    cdef TableReader *reader = check.reader
    cdef Buffer top
    cdef BlockEntry entry
    cdef int status
    memset(&top, 0, sizeof(Buffer))
    block_entry(reader.top_index, check.partition_number - 1, &entry)
    status = _set_key(&top, reader.top_index, &entry)
    if status >= 0 and (entry.value_size != 4 or get_u32(entry.value) != check.partition_number - 1
                        or _compare_cut(&top, &check.separator, reader.footer.top_key_limit) != 0):
        status = _wrong(check, "the top index does not agree with its partitions", reader.footer.top_index_offset)
    buffer_free(&top)
    return status


cdef int _next_separator(Check *check, uint32_t *number) noexcept nogil:
    cdef TableReader *reader = check.reader
    cdef BlockEntry entry
    cdef int status
    while check.partition == NULL or check.separator_index == (<BlockHeader *> check.partition.data).entry_count:
        if check.partition != NULL:
            status = _check_top(check)
            if status < 0:
                return status
            frame_release(check.partition)
            check.partition = NULL
        if check.partition_number == reader.index_block_count:
            return 0
        status = reader_read_block(reader, reader.block_count + check.partition_number, &check.partition)
        if status < 0:
            return status
        check.partition_number += 1
        check.separator_index = 0
    block_entry(check.partition.data, check.separator_index, &entry)
    if entry.value_size != 4:
        return _wrong(check, "an index entry has no block number", reader.offsets[reader.block_count])
    number[0] = get_u32(entry.value)
    check.separator_index += 1
    status = _set_key(&check.separator, check.partition.data, &entry)
    return status if status < 0 else 1


# `check.last_key` is the last of block `number`; `check.key` the first of the next, if there is one.
cdef int _check_separator(Check *check, uint32_t number) noexcept nogil:
    cdef uint32_t named = 0
    cdef int status = _next_separator(check, &named)
    if status < 0:
        return status
    if (status == 0 or named != number or _compare_cut(&check.last_key, &check.separator, INDEX_KEY_BYTES) > 0
            or (number + 1 < check.reader.block_count
                and _compare_cut(&check.separator, &check.key, INDEX_KEY_BYTES) > 0)):
        return _wrong(check, "the index does not agree with a block", check.reader.offsets[number])
    return OK


# ---- fingerprints

cdef bint _has_slot(const TableReader *reader, const Buffer *key, uint32_t number, uint32_t index) noexcept nogil:
    cdef uint64_t hash_value = key_hash(key.data, key.size)
    cdef uint32_t bucket = home_bucket(hash_value, reader.bucket_count), walked, i
    cdef uint32_t want = fingerprint_of(hash_value, reader.locator_bits) | (number << reader.index_bits) | index
    cdef const uint32_t *slots
    for walked in range(reader.bucket_count):
        slots = reader.buckets + <size_t> bucket * BUCKET_SLOTS
        for i in range(BUCKET_SLOTS):
            if slots[i] == want:
                return True
        if slots[BUCKET_SLOTS - 1] == 0:
            return False
        bucket = bucket + 1 if bucket + 1 < reader.bucket_count else 0
    return False


cdef uint64_t _used_slots(const TableReader *reader) noexcept nogil:
    cdef uint64_t used = 0
    cdef size_t i
    for i in range(<size_t> reader.bucket_count * BUCKET_SLOTS):
        used += reader.buckets[i] != 0
    return used


# ---- entries

cdef int _count_entry(Check *check, const BlockEntry *entry, uint64_t ts, uint64_t at) noexcept nogil:
    cdef ValuePointer pointer
    check.entry_count += 1
    check.delete_count += entry.kind == KIND_DELETE
    check.raw_bytes += check.key.size + entry.value_size
    if ts < check.min_ts:
        check.min_ts = ts
    if ts > check.max_ts:
        check.max_ts = ts
    if entry.kind == KIND_POINTER:
        if entry.value_size != VALUE_POINTER_BYTES:
            return _wrong(check, "a value pointer has a wrong size", at)
        memcpy(&pointer, entry.value, sizeof(ValuePointer))
        check.value_log_bytes += VALUE_RECORD_HEADER_BYTES + <uint64_t> pointer.key_size + pointer.value_size
    return OK


cdef int _check_entry(Check *check, const char *block, uint32_t number, uint32_t index) noexcept nogil:
    cdef uint64_t ts = block_ts(block, index), at = check.reader.offsets[number]
    cdef BlockEntry entry
    cdef int order = -1, status
    block_entry(block, index, &entry)
    status = _set_key(&check.key, block, &entry)
    if status < 0:
        return status
    if check.entry_count > 0:
        order = compare_keys(check.last_key.data, check.last_key.size, check.key.data, check.key.size)
        if order > 0 or (order == 0 and check.last_ts <= ts):
            return _wrong(check, "entries are out of order", at)
        if index == 0:
            status = _check_separator(check, number - 1)
    elif buffer_set(&check.smallest, check.key.data, check.key.size) < 0:
        return NO_MEMORY
    if status >= 0:
        status = _count_entry(check, &entry, ts, at)
    if status >= 0 and order != 0:
        check.key_count += 1
        if not _has_slot(check.reader, &check.key, number, index):
            return _wrong(check, "the fingerprints do not lead to a key", at)
    check.last_ts = ts
    return buffer_set(&check.last_key, check.key.data, check.key.size) if status >= 0 else status


cdef int _check_block(Check *check, uint32_t number) noexcept nogil:
    cdef Frame *frame = NULL
    cdef uint32_t index = 0
    cdef int status = reader_read_block(check.reader, number, &frame)
    if status < 0:
        return status
    if (<BlockHeader *> frame.data).entry_count == 0:
        status = _wrong(check, "a data block is empty", check.reader.offsets[number])
    while status >= 0 and index < (<BlockHeader *> frame.data).entry_count:
        status = _check_entry(check, frame.data, number, index)
        index += 1
    frame_release(frame)
    return status


cdef int _check_table(Check *check) noexcept nogil:
    cdef TableReader *reader = check.reader
    cdef uint32_t number = 0
    cdef int status = OK
    while status >= 0 and number < reader.block_count:
        status = _check_block(check, number)
        number += 1
    if status >= 0 and reader.block_count > 0:
        status = _check_separator(check, reader.block_count - 1)
    if status >= 0:
        status = _next_separator(check, &number)
        if status == 1:
            status = _wrong(check, "the index has more entries than there are blocks", reader.footer.top_index_offset)
    if status < 0:
        return status
    if _used_slots(reader) != check.key_count:
        return _wrong(check, "there are fingerprints of no key", reader.footer.fingerprints_offset)
    if reader.footer.entry_count != check.entry_count or reader.footer.key_count != check.key_count:
        return _wrong(check, "the footer's counts are wrong", reader.footer.properties_offset)
    return OK


# ---- Python face

@cython.final
@cython.no_gc_clear
cdef class TableFile:
    """A table file opened on its own. Iterating gives every version as (key, ts, kind, value)."""
    cdef TableReader *reader
    cdef FileSystem _file_system
    cdef readonly str path

    def __cinit__(self, FileSystem file_system not None, str path not None):
        cdef bytes encoded = path.encode()
        cdef int status = reader_open(&file_system.handle, PyBytes_AsString(encoded), NULL, &self.reader)
        if status < 0:
            raise_status(status)
        self._file_system = file_system
        self.path = path

    def __dealloc__(self):
        reader_release(self.reader)

    @property
    def properties(self):
        """What the writer recorded about the table; same names as its summary."""
        return reader_properties(self.reader)

    @property
    def block_count(self):
        """How many data blocks there are."""
        return self.reader.block_count

    @property
    def tombstones(self):
        """The range tombstones, as (start, stop, ts) tuples."""
        cdef RangeTombstone *array = NULL
        cdef uint32_t count = 0, i
        cdef int status = reader_load_tombstones(self.reader, &array, &count)
        if status < 0:
            raise_status(status)
        try:
            return [(PyBytes_FromStringAndSize(array[i].start, array[i].start_size),
                     PyBytes_FromStringAndSize(array[i].stop, array[i].stop_size), array[i].ts) for i in range(count)]
        finally:
            tombstones_free(array)

    def read_block(self, uint32_t number):
        """The entries of data block `number`; a damaged one raises and the others can still be read."""
        cdef Frame *frame = NULL
        cdef int status
        if number >= self.reader.block_count:
            raise IndexError(number)
        with nogil:
            status = reader_read_block(self.reader, number, &frame)
        if status < 0:
            raise_status(status)
        try:
            return block_entries(frame.data)
        finally:
            frame_release(frame)

    def __iter__(self):
        for number in range(self.block_count):
            yield from self.read_block(number)

    def blocks(self):
        """A dict for each data block: number, offset, stored and raw bytes, entries and first key."""
        cdef Frame *frame = NULL
        cdef uint32_t number
        cdef int status
        described = []
        for number in range(self.reader.block_count):
            status = reader_read_block(self.reader, number, &frame)
            if status < 0:
                raise_status(status)
            described.append({
                "number": number,
                "offset": self.reader.offsets[number],
                "stored_bytes": self.reader.offsets[number + 1] - self.reader.offsets[number],
                "raw_bytes": frame.size,
                "entry_count": (<BlockHeader *> frame.data).entry_count,
                "first_key": block_entries(frame.data)[0][0] if (<BlockHeader *> frame.data).entry_count else None,
            })
            frame_release(frame)
        return described

    def verify(self):
        """Check every byte, and that all parts agree; CorruptionError names the file and the offset."""
        cdef Check check
        cdef int status
        memset(&check, 0, sizeof(Check))
        check.reader = self.reader
        check.min_ts = UINT64_MAX
        try:
            with nogil:
                status = _check_table(&check)
            if status < 0:
                raise_status(status)
            self._verify_properties(&check)
        finally:
            frame_release(check.partition)
            buffer_free(&check.key)
            buffer_free(&check.last_key)
            buffer_free(&check.smallest)
            buffer_free(&check.separator)

    cdef int _verify_properties(self, const Check *check) except -1:
        tombstones = self.tombstones
        keys = [start for start, _, _ in tombstones] + [stop for _, stop, _ in tombstones]
        stamps = [ts for _, _, ts in tombstones]
        if check.entry_count:
            keys += [PyBytes_FromStringAndSize(check.smallest.data, check.smallest.size),
                     PyBytes_FromStringAndSize(check.last_key.data, check.last_key.size)]
            stamps += [check.min_ts, check.max_ts]
        properties = self.properties
        expected = {
            "entry_count": check.entry_count, "key_count": check.key_count, "delete_count": check.delete_count,
            "tombstone_count": len(tombstones), "raw_bytes": check.raw_bytes,
            "value_log_bytes": check.value_log_bytes, "min_ts": min(stamps, default=0),
            "max_ts": max(stamps, default=0), "smallest": min(keys, default=b""), "largest": max(keys, default=b""),
        }
        for name, value in expected.items():
            if properties.get(name) != value:
                message = f"property {name} is wrong".encode()
                raise_status(_wrong(check, PyBytes_AsString(message), self.reader.footer.properties_offset))
        if sum(properties.get("value_files", {}).values()) != check.value_log_bytes:
            raise_status(_wrong(check, "property value_files is wrong", self.reader.footer.properties_offset))
        return 0
