"""Calls from code without the GIL to Python objects that stand in for files.

A bridged file system is an object with these methods (core/filesystems.py has two):

    fs.open(path: str, mode: int) -> file      fs.rename(source, target)   fs.link(source, target)
    fs.unlink(path)   fs.sync_dir(path)        fs.list_dir(path) -> list[str]   fs.make_dir(path)
    fs.exists(path) -> bool                    fs.lock(path) -> object with release()
    file.pread(size, offset) -> bytes          file.pwrite(data: bytes, offset)
    file.sync()   file.allocate(size, zeros)   file.truncate(size)   file.size() -> int   file.close()

They report failure by OSError with an errno, as the operating system would, or by an exception of
core/errors.py; both arrive at the caller as a status, like failures of POSIX calls.
"""
import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memcpy

from .status cimport (CLOSED, CORRUPTION, EXISTS, FAILED, INVALID, IO_ERROR, LOCKED, NEWER_FORMAT, NO_MEMORY,
                      NO_OFFSET, NO_SPACE, NOT_FOUND, TOO_LARGE, error_detail, fail, fail_errno)

# What an exception of core/errors.py means as a status; by `code`, which is its stable name.
cdef dict _STATUS_OF_CODE = {
    "out_of_memory": NO_MEMORY, "io_error": IO_ERROR, "disk_full": NO_SPACE, "corruption": CORRUPTION,
    "closed": CLOSED, "limit_exceeded": TOO_LARGE, "file_missing": NOT_FOUND, "writes_stopped": FAILED,
    "invalid_argument": INVALID, "newer_format": NEWER_FORMAT, "locked": LOCKED, "file_exists": EXISTS,
}


cdef int fail_exception(object error, const char *message, const char *path) noexcept:
    cdef int status = IO_ERROR
    cdef int errno_value = 0
    try:
        status = _STATUS_OF_CODE.get(getattr(error, "code", None), 0)
        errno_value = getattr(error, "errno", None) or 0
        if status == 0 and errno_value != 0:
            return fail_errno(errno_value, message, path)
        if status == 0:
            status = NO_MEMORY if isinstance(error, MemoryError) else IO_ERROR
        text = f"{(<bytes> message).decode()}: {type(error).__name__}: {error}".encode("utf-8", "replace")
        fail(status, text, path, <uint64_t> NO_OFFSET)
        error_detail().errno_value = errno_value
        return status
    except BaseException:
        return fail(IO_ERROR, message, path, <uint64_t> NO_OFFSET)


cdef int bridged_open(void *target, const char *path, int mode, void **out) noexcept with gil:
    try:
        opened = (<object> target).open(os.fsdecode(<bytes> path), mode)
        Py_INCREF(opened)            # the caller's own reference, until bridged_close
        out[0] = <void *> opened
        return 0
    except BaseException as error:
        return fail_exception(error, "cannot open", path)


cdef int bridged_names(void *target, const char *method, const char *message, const char *path,
                       const char *second) noexcept with gil:
    try:
        call = getattr(<object> target, (<bytes> method).decode())
        if second == NULL:
            call(os.fsdecode(<bytes> path))
        else:
            call(os.fsdecode(<bytes> path), os.fsdecode(<bytes> second))
        return 0
    except BaseException as error:
        return fail_exception(error, message, path)


cdef int64_t bridged_pread(void *target, const char *path, void *buffer, size_t size,
                           uint64_t offset) noexcept with gil:
    try:
        data = (<object> target).pread(size, offset)
        if not isinstance(data, bytes) or <size_t> PyBytes_GET_SIZE(data) > size:
            return fail(IO_ERROR, "pread gave no bytes, or more than were asked for", path, offset)
        memcpy(buffer, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        return PyBytes_GET_SIZE(data)
    except BaseException as error:
        return fail_exception(error, "cannot read", path)


cdef int bridged_pwrite(void *target, const char *path, const void *data, size_t size,
                        uint64_t offset) noexcept with gil:
    try:
        (<object> target).pwrite(PyBytes_FromStringAndSize(<const char *> data, size), offset)
        return 0
    except BaseException as error:
        return fail_exception(error, "cannot write", path)


cdef int bridged_sync(void *target, const char *path) noexcept with gil:
    try:
        (<object> target).sync()
        return 0
    except BaseException as error:
        return fail_exception(error, "cannot sync", path)


cdef int bridged_allocate(void *target, const char *path, uint64_t size, bint zeros) noexcept with gil:
    try:
        (<object> target).allocate(size, zeros)
        return 0
    except BaseException as error:
        return fail_exception(error, "cannot reserve space", path)


cdef int bridged_truncate(void *target, const char *path, uint64_t size) noexcept with gil:
    try:
        (<object> target).truncate(size)
        return 0
    except BaseException as error:
        return fail_exception(error, "cannot set the length", path)


cdef int64_t bridged_size(void *target, const char *path) noexcept with gil:
    try:
        return <int64_t> (<object> target).size()
    except BaseException as error:
        return fail_exception(error, "cannot read the length", path)


cdef void bridged_close(void *target) noexcept with gil:
    opened = <object> target
    Py_DECREF(opened)                # the reference that bridged_open took; `opened` still holds one
    try:
        opened.close()
    except BaseException:
        pass                         # as with close(2): what had to be durable was synced before
