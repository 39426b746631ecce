# Writes one sorted table: blocks, index partitions, fingerprints, tombstones, properties, footer.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .block cimport BlockBuilder
from .cursor cimport RangeTombstone
from .files cimport FileHandle, FileSystemHandle
from .table_format cimport Buffer

cdef struct TableOptions:
    size_t block_bytes               # target size of a data block before compression
    bint compress                    # LZ4 where it saves at least an eighth

# Filled by finish; the Python side turns it into a manifest entry.
cdef struct TableSummary:
    uint64_t file_size
    uint64_t entry_count             # versions
    uint64_t key_count               # distinct user keys
    uint64_t delete_count            # KIND_DELETE versions
    uint64_t tombstone_count         # range tombstones
    uint64_t raw_bytes               # keys and values before compression
    uint64_t min_ts
    uint64_t max_ts
    uint64_t value_log_bytes         # sum over value_file_bytes
    char *smallest
    char *largest
    uint32_t smallest_size
    uint32_t largest_size
    uint64_t *value_files            # [value_file_count] value-log file numbers referenced
    uint64_t *value_file_bytes       # bytes referenced in each
    uint32_t value_file_count

cdef struct TableWriter:
    FileHandle *file
    TableOptions options
    BlockBuilder *block              # the data block being built; number = block_count
    BlockBuilder *index              # the index partition being built; number = index_block_count
    Buffer output                    # stored pieces not yet written, at `written` in the file
    uint64_t written
    Buffer partitions                # stored index partitions: they follow the last data block
    Buffer lengths                   # u32 each: stored size of each data block
    Buffer partition_lengths
    Buffer top_keys                  # size u32, bytes: last key of each partition
    Buffer places                    # KeyPlace of each key's newest version
    Buffer tombstones                # their section
    Buffer last_key
    Buffer last_separator
    Buffer smallest
    Buffer largest
    Buffer value_files               # u64 each
    Buffer value_file_bytes
    uint64_t last_ts
    uint32_t block_count
    uint32_t index_block_count
    uint32_t largest_block           # most entries in one block
    TableSummary summary

cdef int table_writer_open(FileSystemHandle *fs, const char *path, const TableOptions *options,
                           TableWriter **out) noexcept nogil
# In order (key ascending, ts descending).
cdef int table_writer_add(TableWriter *writer, const char *key, size_t key_size, uint64_t ts, int kind,
                          const char *value, size_t value_size) noexcept nogil
cdef int table_writer_add_tombstone(TableWriter *writer, const RangeTombstone *tombstone) noexcept nogil
# Estimate of the file so far. UINT64_MAX when it has so many blocks that the fingerprints would become
# too short to be useful: finish it, whatever its size.
cdef uint64_t table_writer_size(TableWriter *writer) noexcept nogil
# Writes the rest and syncs the file. The summary's pointers stay valid until the writer is freed.
cdef int table_writer_finish(TableWriter *writer, TableSummary *summary) noexcept nogil
cdef void table_writer_free(TableWriter *writer) noexcept nogil              # an unfinished file is left to its caller
# The summary as a dict with the same names; value_files maps file number to bytes.
cdef dict summary_dict(const TableSummary *summary)
