# The files behind the log's segments: made ahead of need, reused, removed. Internal to log.pyx.
from libc.stdint cimport uint64_t
from libc.stddef cimport size_t

from .files cimport FileHandle, FileSystemHandle
from .platform cimport mutex_t

cdef enum:
    LOG_PATH_BYTES = 4096            # room for a path, its end included
    SPARE_SEGMENTS = 3               # files kept for reuse
    SEGMENT_GRAIN_BYTES = 4096       # sizes of segments are multiples of it

cdef struct Segment:
    uint64_t number
    uint64_t size                    # bytes of the file
    uint64_t start_lsn
    uint64_t end_lsn                 # set when it is sealed
    uint64_t synced_lsn              # set by the thread that has Log.syncing
    bint header_synced               # likewise
    FileHandle *file                 # NULL: sealed and synced, header included
    Segment *next                    # newer; set when it is sealed

cdef struct SegmentPool:
    # constant
    FileSystemHandle *fs
    char *directory
    uint64_t segment_bytes           # of an ordinary segment
    # guarded by `making`
    mutex_t making                   # see segments_lock
    Segment *prepared                # the next segment but for its header
    uint64_t spares[SPARE_SEGMENTS]  # numbers that name files for reuse
    size_t spare_count

cdef inline uint64_t segment_grain(uint64_t size) noexcept nogil:
    return (size + SEGMENT_GRAIN_BYTES - 1) & ~<uint64_t> (SEGMENT_GRAIN_BYTES - 1)

# The path of segment `number` into `out` (LOG_PATH_BYTES); INVALID when it is too long.
cdef int log_path(const char *directory, uint64_t number, char *out) noexcept nogil
cdef int segments_init(SegmentPool *pool, FileSystemHandle *fs, const char *directory,
                       uint64_t segment_bytes) noexcept nogil
cdef void segments_free(SegmentPool *pool) noexcept nogil        # files stay
# Takes `making`. A holder may need the GIL (bridged file systems), so it is awaited without.
cdef void segments_lock(SegmentPool *pool) noexcept nogil
cdef void segments_unlock(SegmentPool *pool) noexcept nogil
# With `making`: sees to it that `prepared` is segment `number`, with at least `size` bytes.
# `zeros`: a new file is also filled and synced, so that later syncs write records alone.
cdef int segments_prepare(SegmentPool *pool, uint64_t number, uint64_t size, bint zeros) noexcept nogil
# With `making`: the file of a segment that is no longer needed becomes a spare or goes.
cdef int segments_recycle(SegmentPool *pool, uint64_t number, uint64_t size) noexcept nogil
cdef int segments_unlink(SegmentPool *pool, uint64_t number) noexcept nogil
cdef void segment_free(Segment *segment) noexcept nogil          # closes; NULL is allowed
