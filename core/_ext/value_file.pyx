"""One value file, record by record: for inspection, verification and repair.

Records stand one after another with nothing between them, so one damaged length hides all that
follows. The reader finds its footing again by looking for the next place where a whole record with a
right checksum begins; a record is taken for one only when its sizes fit the file, which random bytes
almost never do, so that looking is cheap.

What a crash leaves at the end of a file (part of a record whose sync never came) cannot be told from
damage to the last record. Damage with no whole record behind it is therefore called torn: no error
here, but an error wherever a pointer leads into it.
"""
cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memcpy

from .files cimport OPEN_READ, File, FileHandle, FileSystem, file_pread, file_pread_exact
from .hashing cimport crc32c
from .platform cimport get_u32, get_u64
from .status cimport CORRUPTION, INVALID, NO_OFFSET, OK, fail, raise_status
from .values cimport (VALUE_FILE_HEADER_BYTES, VALUE_POINTER_BYTES, VALUE_RECORD_HEADER_BYTES, ValuePointer,
                      value_header_check, value_header_put)

cdef enum:
    CHUNK_BYTES = 1 << 20            # read at a time

cdef struct Record:
    uint64_t offset
    uint64_t end
    uint32_t crc
    uint32_t key_size
    uint64_t value_size


# 1: the header at `offset` describes a record that ends in the file. 0: it does not. < 0: status.
cdef int _describe(FileHandle *file, uint64_t size, uint64_t offset, Record *out) noexcept nogil:
    cdef char header[VALUE_RECORD_HEADER_BYTES]
    cdef int status
    if offset > size or size - offset < VALUE_RECORD_HEADER_BYTES:
        return 0
    status = file_pread_exact(file, header, VALUE_RECORD_HEADER_BYTES, offset)
    if status < 0:
        return status
    return _parse(header, size, offset, out)


cdef inline int _parse(const char *header, uint64_t size, uint64_t offset, Record *out) noexcept nogil:
    cdef uint64_t room = size - offset - VALUE_RECORD_HEADER_BYTES
    out.offset = offset
    out.crc = get_u32(header)
    out.key_size = get_u32(header + 4)
    out.value_size = get_u64(header + 8)
    if out.key_size > room or out.value_size > room - out.key_size:
        return 0
    out.end = offset + VALUE_RECORD_HEADER_BYTES + out.key_size + out.value_size
    return 1


# 1: the record's checksum is right. 0: it is wrong. < 0: status.
cdef int _is_intact(FileHandle *file, const Record *record, char *chunk) noexcept nogil:
    cdef uint64_t position = record.offset + 4
    cdef uint32_t crc = 0
    cdef size_t part
    cdef int status
    while position < record.end:
        part = <size_t> min(<uint64_t> CHUNK_BYTES, record.end - position)
        status = file_pread_exact(file, chunk, part, position)
        if status < 0:
            return status
        crc = crc32c(crc, chunk, part)
        position += part
    return crc == record.crc


# Where the next whole record begins, at `offset` or after it; `size` when there is none.
cdef int _find_intact(FileHandle *file, uint64_t size, uint64_t offset, char *chunk, char *window,
                      uint64_t *found) noexcept nogil:
    cdef Record record
    cdef int64_t filled
    cdef int64_t i
    cdef int status
    while offset < size and size - offset >= VALUE_RECORD_HEADER_BYTES:
        filled = file_pread(file, window, CHUNK_BYTES, offset)
        if filled < VALUE_RECORD_HEADER_BYTES:
            return <int> filled if filled < 0 else fail(CORRUPTION, "the file shrank", file.path, offset)
        for i in range(filled - VALUE_RECORD_HEADER_BYTES + 1):
            if _parse(window + i, size, offset + <uint64_t> i, &record):
                status = _is_intact(file, &record, chunk)
                if status < 0:
                    return status
                if status:
                    found[0] = record.offset
                    return OK
        offset += <uint64_t> filled - VALUE_RECORD_HEADER_BYTES + 1
    found[0] = size
    return OK


# Looks at what begins at `offset`. 1: a whole record. 0: damage, up to record.end; `sized`
# tells whether the record's own sizes led there. `chunks` has room for two chunks.
cdef int _step(FileHandle *file, uint64_t size, uint64_t offset, char *chunks, Record *record,
               bint *sized) noexcept nogil:
    cdef Record following
    cdef int status
    sized[0] = False
    status = _describe(file, size, offset, record)
    if status == 1:
        status = _is_intact(file, record, chunks)
        if status == 0 and _describe(file, size, record.end, &following) == 1:
            sized[0] = _is_intact(file, &following, chunks) == 1
    if status == 0 and not sized[0]:
        status = _find_intact(file, size, offset + 1, chunks, chunks + CHUNK_BYTES, &record.end)
    return status


def unpack_pointer(bytes pointer not None):
    """(file number, offset, value size, key size, CRC) of a pointer as it is stored."""
    cdef ValuePointer fields
    if len(pointer) != VALUE_POINTER_BYTES:
        raise_status(fail(INVALID, "a value pointer has 32 bytes", NULL, <uint64_t> NO_OFFSET))
    memcpy(&fields, PyBytes_AS_STRING(pointer), VALUE_POINTER_BYTES)
    return fields.file_number, fields.offset, fields.value_size, fields.key_size, fields.crc


def value_file_header(uint64_t number):
    """The header of a value file of that number."""
    cdef char header[VALUE_FILE_HEADER_BYTES]
    value_header_put(header, number)
    return header[:VALUE_FILE_HEADER_BYTES]


@cython.final
cdef class ValueFile:
    """A value file, open for reading. CorruptionError when its header is damaged."""
    cdef File file
    cdef readonly str path
    cdef readonly uint64_t number        # from the header
    cdef readonly uint64_t size          # bytes in the file
    cdef readonly object torn_offset     # set by records() and verify(): where the torn tail begins, or None

    def __init__(self, FileSystem file_system not None, str path not None):
        cdef int status
        self.file = file_system.open(path, OPEN_READ)
        self.path = path
        self.size = self.file.size()
        if self.size < VALUE_FILE_HEADER_BYTES:
            self.torn_offset = 0
            return
        with nogil:
            status = value_header_check(self.file.handle, &self.number)
        if status < 0:
            raise_status(status)

    def records(self):
        """Yield (offset, key, value size, whether the checksum is right).

        For bytes that do not even tell their sizes the key is None and the size is that of the gap up to
        the next whole record.
        """
        cdef uint64_t offset = VALUE_FILE_HEADER_BYTES
        cdef uint64_t size = self.size
        cdef Record record
        cdef bytearray room = bytearray(2 * CHUNK_BYTES)
        cdef char *chunks = PyByteArray_AS_STRING(room)
        cdef bint sized = False
        cdef int status
        self.torn_offset = 0 if size < VALUE_FILE_HEADER_BYTES else None
        while offset < size:
            with nogil:
                status = _step(self.file.handle, size, offset, chunks, &record, &sized)
            if status < 0:
                raise_status(status)
            if status == 0 and not sized and record.end == size:
                self.torn_offset = offset
                return
            if status == 1 or sized:
                key = self.file.pread(record.key_size, offset + VALUE_RECORD_HEADER_BYTES)
                yield offset, key, record.value_size, status == 1
            else:
                yield offset, None, record.end - offset, False
            offset = record.end

    def verify(self):
        """Read everything; CorruptionError names the first damaged record. Returns the number of records."""
        count = 0
        for offset, _, _, intact in self.records():
            if not intact:
                path = self.path.encode("utf-8", "surrogateescape")
                raise_status(fail(CORRUPTION, "a value record is damaged", path, offset))
            count += 1
        return count

    def read(self, uint64_t offset):
        """(key, value) of the record at `offset`, checked."""
        cdef Record record
        cdef bytes data
        cdef const char *text
        cdef int status = _describe(self.file.handle, self.size, offset, &record)
        if status == 1:
            data = self.file.pread(<size_t> (record.end - offset), offset)
            text = data
            if crc32c(0, text + 4, len(data) - 4) == record.crc:
                start = VALUE_RECORD_HEADER_BYTES + record.key_size
                return data[VALUE_RECORD_HEADER_BYTES:start], data[start:]
            status = 0
        if status == 0:
            path = self.path.encode("utf-8", "surrogateescape")
            status = fail(CORRUPTION, "no whole value record", path, offset)
        raise_status(status)

    def close(self):
        """Close the file; again is allowed."""
        self.file.close()
