"""The one place where a status of the core becomes a Python exception.

core/errors.py owns the classes and registers them here, so that this lowest layer imports nothing.
"""
from libc.errno cimport EDQUOT, EEXIST, ENOENT, ENOSPC
from libc.stdint cimport uint64_t
from libc.string cimport strncpy

cdef extern from *:
    """
    /* one record a thread; large enough for ErrorDetail, aligned for its widest field */
    static __thread uint64_t phantomdb_detail_storage[128];
    """
    uint64_t *phantomdb_detail_storage

cdef dict _exceptions = {}          # status -> exception class, filled by core/errors.py


cdef ErrorDetail *error_detail() noexcept nogil:
    return <ErrorDetail *> phantomdb_detail_storage


cdef int fail(int status, const char *message, const char *path, uint64_t offset) noexcept nogil:
    cdef ErrorDetail *detail = error_detail()
    detail.status = status
    detail.errno_value = 0
    detail.offset = offset
    detail.path[0] = 0
    detail.message[0] = 0
    if path != NULL:
        strncpy(detail.path, path, sizeof(detail.path) - 1)
        detail.path[sizeof(detail.path) - 1] = 0
    if message != NULL:
        strncpy(detail.message, message, sizeof(detail.message) - 1)
        detail.message[sizeof(detail.message) - 1] = 0
    return status


cdef int fail_errno(int errno_value, const char *message, const char *path) noexcept nogil:
    cdef int status = IO_ERROR
    if errno_value == ENOSPC or errno_value == EDQUOT:
        status = NO_SPACE
    elif errno_value == ENOENT:
        status = NOT_FOUND
    elif errno_value == EEXIST:
        status = EXISTS
    fail(status, message, path, <uint64_t> NO_OFFSET)
    error_detail().errno_value = errno_value
    return status


cdef int raise_status(int status) except -1:
    cdef ErrorDetail *detail = error_detail()
    cdef object error_class = _exceptions.get(status, RuntimeError)
    if detail.status != status:         # a bare code without detail: say only what the class says
        raise error_class()
    message = (<bytes> detail.message).decode("utf-8", "replace")
    path = (<bytes> detail.path).decode("utf-8", "replace") or None
    offset = None if detail.offset == <uint64_t> NO_OFFSET else detail.offset
    errno_value = detail.errno_value or None
    detail.status = OK
    raise error_class(message, path=path, offset=offset, errno=errno_value)


def register_exception(int status, object error_class):
    """Let `status` be raised as `error_class(message, path=, offset=, errno=)`."""
    _exceptions[status] = error_class
