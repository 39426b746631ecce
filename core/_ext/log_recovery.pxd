# Replay of the log when a database is opened.
from libc.stdint cimport uint64_t
from libc.stddef cimport size_t

from .files cimport FileSystemHandle
from .log cimport log_apply

cdef struct RecoveredSegment:
    uint64_t number
    uint64_t start_lsn
    uint64_t end_lsn
    uint64_t size                    # bytes of the file

cdef struct Recovery:
    RecoveredSegment *segments       # those that count, in order; owned, see log_recovery_free
    size_t count
    uint64_t end_lsn                 # new records go here
    uint64_t durable_lsn             # what the records themselves say was synced; <= end_lsn

# Numbers of all segment files in `directory`, ascending; `*numbers` is the caller's to free.
cdef int log_list(FileSystemHandle *fs, const char *directory, uint64_t **numbers, size_t *count) noexcept nogil
# Replays numbers[i] >= first_segment through `apply`; log_recovery.pyx tells the rule on damage. Nothing
# is changed on disk. `out` is to be freed after failure as well.
cdef int log_recover(FileSystemHandle *fs, const char *directory, uint64_t first_segment, const uint64_t *numbers,
                     size_t count, log_apply apply, void *context, Recovery *out) noexcept nogil
cdef void log_recovery_free(Recovery *recovery) noexcept nogil
