# A transaction's own writes as a merge source: of each key the last write, stamped one above the snapshot.
from libc.stdint cimport uint64_t
from libc.stddef cimport size_t

from .cursor cimport Cursor
from .write_set cimport WriteSet

# A cursor over the own writes in [start, stop) as they are now (a copy), all with timestamp `ts`; keys
# that were last deleted, by key or by range, come as KIND_DELETE. NULL with detail set: no memory.
# `*out` is NULL (and the answer 0) when there are none.
cdef int own_rows_cursor(WriteSet *writes, const char *start, size_t start_size, const char *stop, size_t stop_size,
                         uint64_t ts, Cursor **out) noexcept nogil
