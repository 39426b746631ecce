# Value log: values over a threshold, kept out of the tree so that compaction does not copy them
# (WiscKey, Lu et al., FAST 2016). Files are append-only; a record is
#   crc u32 | key_size u32 | value_size u64 | key | value          crc over the rest
# and a pointer in the tree names file, offset of the record, sizes and CRC of the value.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .files cimport FileHandle, FileSystemHandle

cdef enum:
    VALUE_POINTER_BYTES = 32
    VALUE_RECORD_HEADER_BYTES = 16

cdef packed struct ValuePointer:     # as stored in memtable, log and tables; little-endian
    uint64_t file_number
    uint64_t offset                  # of the record in the file
    uint64_t value_size
    uint32_t key_size
    uint32_t crc                     # CRC-32C of the value alone

# A file begins with magic "PHANTVAL" | version u32 | flags u32 | number u64 | crc u32 | zeros u32.
cdef enum:
    VALUE_FILE_HEADER_BYTES = 32
    VALUE_FORMAT_VERSION = 1

cdef struct ValueLog

# `next_number`: called (without the GIL) for the number of a new file; the engine owns numbering.
ctypedef uint64_t (*next_file_number)(void *context) noexcept nogil

cdef ValueLog *value_log_new(FileSystemHandle *fs, const char *directory, uint64_t file_bytes,
                             next_file_number number, void *context) noexcept nogil
# Appends to the current file (thread-safe); nothing is synced yet. After a failure nothing was
# appended and appending may be tried again.
cdef int value_log_append(ValueLog *values, const char *key, size_t key_size, const char *value,
                          size_t value_size, ValuePointer *out) noexcept nogil
# Syncs all files written since their last sync, and the folder when a file is new. A failed sync fails
# this and every later sync and append with FAILED: what the disk kept is then unknown.
cdef int value_log_sync(ValueLog *values) noexcept nogil
# Queues a file of an earlier session to be synced: what was read from it may be in the page cache only.
cdef int value_log_adopt(ValueLog *values, uint64_t file_number) noexcept nogil
# Reads the value into `buffer` (value_size bytes) and checks its CRC; CORRUPTION names file and offset.
cdef int value_log_read(ValueLog *values, const ValuePointer *pointer, char *buffer) noexcept nogil
# Ends the current file: later appends go to a new one. Returns its number, 0 when there was none.
cdef uint64_t value_log_roll(ValueLog *values) noexcept nogil
# Forgets (closes) a file and removes it; fine when it is gone already.
cdef int value_log_remove(ValueLog *values, uint64_t file_number) noexcept nogil
cdef int value_log_close(ValueLog *values) noexcept nogil       # syncs, closes, frees

# The VALUE_FILE_HEADER_BYTES of a file's header.
cdef void value_header_put(char *header, uint64_t number) noexcept nogil
# Checks the header of an open value file; `number` receives the file's number.
cdef int value_header_check(FileHandle *file, uint64_t *number) noexcept nogil
# Files in the table of open files; for tests.
cdef uint32_t value_log_open_count(ValueLog *values) noexcept nogil
