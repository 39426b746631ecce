"""Files for the write-ahead log: made ahead of need, reused, removed.

Overwriting a file that has its blocks is about twice as fast to sync as extending one: hence spares,
zeros, and a segment that is prepared while its predecessor fills. All that can fail or take long (a
full disk, zeros, the sync of the folder) happens before the segment is used.

A spare keeps its old name and bytes until it is used; recovery ignores numbers below the manifest's
first segment, and the CRCs of its stale records begin with another segment number.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.stddef cimport size_t

from .files cimport (OPEN_CREATE, OPEN_WRITE, FileSystemHandle, file_allocate, file_close, file_map, file_size,
                     file_sync, file_truncate, fs_open, fs_rename, fs_sync_dir, fs_unlink)
from .platform cimport mutex_destroy, mutex_init, mutex_lock, mutex_trylock, mutex_unlock
from .status cimport INVALID, NO_MEMORY, NO_OFFSET, ErrorDetail, error_detail, fail

cdef extern from "string.h" nogil:
    char *strdup(const char *text) noexcept
cdef extern from "stdio.h" nogil:
    int snprintf(char *out, size_t size, const char *format, ...) noexcept
cdef extern from "Python.h" nogil:
    ctypedef struct PyThreadState:
        pass
    int PyGILState_Check() noexcept
    PyThreadState *PyEval_SaveThread() noexcept
    void PyEval_RestoreThread(PyThreadState *state) noexcept


cdef int log_path(const char *directory, uint64_t number, char *out) noexcept nogil:
    if snprintf(out, LOG_PATH_BYTES, "%s/%012llu.log", directory, <unsigned long long> number) >= LOG_PATH_BYTES:
        return fail(INVALID, "the path is too long", directory, <uint64_t> NO_OFFSET)
    return 0


cdef int segments_init(SegmentPool *pool, FileSystemHandle *fs, const char *directory,
                       uint64_t segment_bytes) noexcept nogil:
    mutex_init(&pool.making)
    pool.fs = fs
    pool.prepared = NULL
    pool.spare_count = 0
    pool.segment_bytes = segment_grain(segment_bytes)
    pool.directory = strdup(directory)
    return 0 if pool.directory != NULL else fail(NO_MEMORY, NULL, directory, <uint64_t> NO_OFFSET)


cdef void segment_free(Segment *segment) noexcept nogil:
    if segment != NULL:
        file_close(segment.file)
        free(segment)


cdef void segments_free(SegmentPool *pool) noexcept nogil:
    segment_free(pool.prepared)
    free(pool.directory)
    mutex_destroy(&pool.making)


cdef void segments_lock(SegmentPool *pool) noexcept nogil:
    cdef PyThreadState *state
    if mutex_trylock(&pool.making):
        return
    if not PyGILState_Check():
        mutex_lock(&pool.making)
        return
    state = PyEval_SaveThread()
    mutex_lock(&pool.making)
    PyEval_RestoreThread(state)


cdef void segments_unlock(SegmentPool *pool) noexcept nogil:
    mutex_unlock(&pool.making)


cdef int segments_unlink(SegmentPool *pool, uint64_t number) noexcept nogil:
    cdef char path[LOG_PATH_BYTES]
    cdef int status = log_path(pool.directory, number, path)
    return fs_unlink(pool.fs, path) if status == 0 else status


# Creates or renames the file and readies it for a header. What is left after failure is the caller's.
cdef int _make_file(SegmentPool *pool, const char *path, Segment *segment, bint zeros) noexcept nogil:
    cdef char spare[LOG_PATH_BYTES]
    cdef bint reused = pool.spare_count > 0 and segment.size == pool.segment_bytes
    cdef int64_t size
    cdef int status = 0
    if reused:
        status = log_path(pool.directory, pool.spares[pool.spare_count - 1], spare)
        if status == 0:
            status = fs_rename(pool.fs, spare, path)
        if status == 0:
            pool.spare_count -= 1
            status = fs_open(pool.fs, path, OPEN_WRITE, &segment.file)
    else:
        status = fs_open(pool.fs, path, OPEN_CREATE, &segment.file)
    if status == 0:
        status = file_allocate(segment.file, segment.size, zeros and not reused)
    if status == 0 and reused:       # of another size when segment_bytes was changed
        size = file_size(segment.file)
        if size < 0:
            status = <int> size
        elif <uint64_t> size > segment.size:
            status = file_truncate(segment.file, segment.size)
    if status == 0 and zeros and not reused:
        status = file_sync(segment.file)             # now, so that later syncs write records alone
    if status == 0:
        status = file_map(segment.file, <size_t> segment.size)
    if status == 0:
        status = fs_sync_dir(pool.fs, pool.directory)
    return status


cdef int segments_prepare(SegmentPool *pool, uint64_t number, uint64_t size, bint zeros) noexcept nogil:
    cdef char path[LOG_PATH_BYTES]
    cdef ErrorDetail detail
    cdef Segment *segment
    cdef int status
    if pool.prepared != NULL:
        if pool.prepared.size >= size:
            return 0
        segment_free(pool.prepared)  # the name is needed; making it anew empties the file
        pool.prepared = NULL
    status = log_path(pool.directory, number, path)
    if status < 0:
        return status
    segment = <Segment *> calloc(1, sizeof(Segment))
    if segment == NULL:
        return fail(NO_MEMORY, NULL, path, <uint64_t> NO_OFFSET)
    segment.number = number
    segment.size = size
    status = _make_file(pool, path, segment, zeros)
    if status < 0:
        detail = error_detail()[0]
        segment_free(segment)
        fs_unlink(pool.fs, path)     # best effort: the next attempt empties what is left
        error_detail()[0] = detail
        return status
    pool.prepared = segment
    return 0


cdef int segments_recycle(SegmentPool *pool, uint64_t number, uint64_t size) noexcept nogil:
    if pool.spare_count < SPARE_SEGMENTS and size == pool.segment_bytes:
        pool.spares[pool.spare_count] = number
        pool.spare_count += 1
        return 0
    return segments_unlink(pool, number)
