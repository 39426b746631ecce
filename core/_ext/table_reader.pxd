# The open file of a sorted table: sections read once and kept, blocks on demand.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .cache cimport Cache
from .cursor cimport RangeTombstone
from .files cimport FileSystemHandle
from .frames cimport Frame
from .table cimport TableReader

# Opens and checks everything but the blocks. `cache`: where blocks go and memory is charged, or NULL.
cdef int reader_open(FileSystemHandle *fs, const char *path, Cache *cache, TableReader **out) noexcept nogil
cdef TableReader *reader_retain(TableReader *reader) noexcept nogil
# At the last reference: drops the cached blocks and closes the file. The reference of a table must be
# released through the guard: readers inside use the reader without retaining it. Then any can be the last.
cdef void reader_release(TableReader *reader) noexcept nogil

# A new frame of block `number`, read from the file / made from its stored bytes, decoded. Not cached.
cdef int reader_read_block(TableReader *reader, uint32_t number, Frame **out) noexcept nogil
cdef int reader_unpack_block(TableReader *reader, uint32_t number, const char *stored, Frame **out) noexcept nogil

# Reads the stored piece at [offset, offset + size): its raw bytes, to be freed by the caller.
cdef int reader_read_section(TableReader *reader, uint64_t offset, uint64_t size, char **raw,
                             size_t *raw_size) noexcept nogil
# The range tombstones; free with tombstones_free.
cdef int reader_load_tombstones(TableReader *reader, RangeTombstone **out, uint32_t *count) noexcept nogil
cdef void tombstones_free(RangeTombstone *tombstones) noexcept nogil
cdef dict reader_properties(TableReader *reader)

cdef inline uint32_t reader_total_blocks(const TableReader *reader) noexcept nogil:
    return reader.block_count + reader.index_block_count
