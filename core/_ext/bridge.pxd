# Calls from code without the GIL to a Python object that stands in for a file system or an open file.
# `target` is a borrowed reference to it, `path` goes into the detail of a failure; all return a status.
from libc.stdint cimport int64_t, uint64_t
from libc.stddef cimport size_t

# The status of a Python exception, its detail recorded. The caller holds the GIL.
cdef int fail_exception(object error, const char *message, const char *path) noexcept
# Stores a reference to the open file in `out`, to be given back by bridged_close.
cdef int bridged_open(void *target, const char *path, int mode, void **out) noexcept with gil
# Calls target.method(path) or, with a second path, target.method(path, second).
cdef int bridged_names(void *target, const char *method, const char *message, const char *path,
                       const char *second) noexcept with gil
cdef int64_t bridged_pread(void *target, const char *path, void *buffer, size_t size,
                           uint64_t offset) noexcept with gil
cdef int bridged_pwrite(void *target, const char *path, const void *data, size_t size,
                        uint64_t offset) noexcept with gil
cdef int bridged_sync(void *target, const char *path) noexcept with gil
cdef int bridged_allocate(void *target, const char *path, uint64_t size, bint zeros) noexcept with gil
cdef int bridged_truncate(void *target, const char *path, uint64_t size) noexcept with gil
cdef int64_t bridged_size(void *target, const char *path) noexcept with gil
cdef void bridged_close(void *target) noexcept with gil
