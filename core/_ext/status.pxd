# How the core reports failure: a negative int from a `noexcept nogil` function, with the detail
# (path, offset, errno, message) left in a record of the calling thread. One function, raise_status,
# turns the pair into a Python exception; nothing else in the core raises for a failed operation.
from libc.stdint cimport uint64_t

# Stable inside the process only; what users see is the exception class and its `code`.
cdef enum Status:
    OK = 0
    NO_MEMORY = -1
    IO_ERROR = -2            # the operating system said no; errno in the detail
    NO_SPACE = -3            # ENOSPC or EDQUOT
    CORRUPTION = -4          # a checksum, length or structure is wrong; path and offset in the detail
    CLOSED = -5
    SNAPSHOT_CLOSED = -6
    FORKED = -7              # used in a child process
    CONFLICT = -8            # a transaction must be retried
    TOO_LARGE = -9           # over a named limit
    NOT_FOUND = -10          # a file that should be there
    FAILED = -11             # writing stopped after an error that may have lost data (fsync)
    INVALID = -12            # an argument makes no sense
    NEWER_FORMAT = -13
    LOCKED = -14             # another process holds the database
    EXISTS = -15
    SNAPSHOT_TOO_OLD = -16   # below the retention window
    FEED_LOST = -17          # the change feed no longer reaches back that far
    BUSY = -18               # internal: would block; take the slow path

cdef struct ErrorDetail:
    int status
    int errno_value          # 0 when the operating system was not involved
    uint64_t offset          # NO_OFFSET when there is none
    char path[512]
    char message[256]

cdef enum:
    NO_OFFSET = 0xFFFFFFFFFFFFFFFF

# Records the detail for this thread and returns `status`, so that callers write `return fail(...)`.
cdef int fail(int status, const char *message, const char *path, uint64_t offset) noexcept nogil
# The same with errno turned into NO_SPACE or IO_ERROR (NOT_FOUND for ENOENT, EXISTS for EEXIST).
cdef int fail_errno(int errno_value, const char *message, const char *path) noexcept nogil
cdef ErrorDetail *error_detail() noexcept nogil
# Raises the exception registered for `status` (always returns -1 with an exception set).
cdef int raise_status(int status) except -1
