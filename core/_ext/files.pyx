"""The file seam: POSIX files without the GIL, or any Python object that speaks the same few methods.

What a durable change takes, here and in every caller: the data by file_sync, the name by
fs_sync_dir of the folder. A failed sync is never repeated: the kernel may have dropped the pages and
would report success the second time (Rebello et al., "Can Applications Recover from fsync
Failures?", 2020).
"""
import fcntl
import os
import weakref

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.stddef cimport size_t
from libc.string cimport memcpy

from .bridge cimport (bridged_allocate, bridged_close, bridged_names, bridged_open, bridged_pread, bridged_pwrite,
                      bridged_size, bridged_sync, bridged_truncate, fail_exception)
from .census cimport OPEN_FILE, count_birth, count_death
from .status cimport CLOSED, CORRUPTION, INVALID, LOCKED, NO_MEMORY, NO_OFFSET, fail, fail_errno, raise_status

cdef extern from "string.h" nogil:
    char *strdup(const char *text) noexcept
cdef extern from "stdio.h" nogil:
    int c_rename "rename"(const char *source, const char *target) noexcept
cdef extern from "unistd.h" nogil:
    ctypedef long ssize_t
    ctypedef long off_t
    ssize_t c_pread "pread"(int descriptor, void *buffer, size_t size, off_t offset) noexcept
    ssize_t c_pwrite "pwrite"(int descriptor, const void *data, size_t size, off_t offset) noexcept
    int c_close "close"(int descriptor) noexcept
    int c_link "link"(const char *source, const char *target) noexcept
    int c_unlink "unlink"(const char *path) noexcept
    int c_ftruncate "ftruncate"(int descriptor, off_t size) noexcept
    int c_fsync "fsync"(int descriptor) noexcept
    int c_fdatasync "fdatasync"(int descriptor) noexcept
cdef extern from "fcntl.h" nogil:
    int c_open "open"(const char *path, int flags, ...) noexcept
    int posix_fallocate(int descriptor, off_t offset, off_t size) noexcept
    int O_RDONLY, O_RDWR, O_CREAT, O_TRUNC, O_CLOEXEC, O_DIRECTORY
cdef extern from "sys/stat.h" nogil:
    cdef struct stat_result "stat":
        off_t st_size
    int c_fstat "fstat"(int descriptor, stat_result *out) noexcept
cdef extern from "sys/mman.h" nogil:
    void *c_mmap "mmap"(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) noexcept
    int c_munmap "munmap"(void *address, size_t size) noexcept
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED

cdef enum:
    FILE_PERMISSIONS = 0o644         # before the umask
    ZERO_CHUNK_BYTES = 1 << 20


# ---- names ---------------------------------------------------------------------------------------

cdef int fs_open(FileSystemHandle *fs, const char *path, int mode, FileHandle **out) noexcept nogil:
    cdef FileHandle *handle
    cdef int status, flags
    out[0] = NULL
    if mode == OPEN_READ:
        flags = O_RDONLY
    elif mode == OPEN_CREATE:
        flags = O_RDWR | O_CREAT | O_TRUNC
    elif mode == OPEN_WRITE:
        flags = O_RDWR
    else:
        return fail(INVALID, "no such open mode", path, <uint64_t> NO_OFFSET)
    handle = <FileHandle *> calloc(1, sizeof(FileHandle))
    if handle == NULL:
        return fail(NO_MEMORY, NULL, path, <uint64_t> NO_OFFSET)
    handle.descriptor = -1
    handle.path = strdup(path)
    if handle.path == NULL:
        free(handle)
        return fail(NO_MEMORY, NULL, path, <uint64_t> NO_OFFSET)
    if fs.target != NULL:
        status = bridged_open(fs.target, path, mode, &handle.target)
    else:
        status = 0
        handle.descriptor = c_open(path, flags | O_CLOEXEC, FILE_PERMISSIONS)
        while handle.descriptor < 0 and errno == EINTR:
            handle.descriptor = c_open(path, flags | O_CLOEXEC, FILE_PERMISSIONS)
        if handle.descriptor < 0:
            status = fail_errno(errno, "cannot open", path)
    if status < 0:
        free(handle.path)
        free(handle)
        return status
    count_birth(OPEN_FILE)
    out[0] = handle
    return 0


cdef int fs_rename(FileSystemHandle *fs, const char *source, const char *target) noexcept nogil:
    if fs.target != NULL:
        return bridged_names(fs.target, "rename", "cannot rename", source, target)
    if c_rename(source, target) != 0:
        return fail_errno(errno, "cannot rename", source)
    return 0


cdef int fs_link(FileSystemHandle *fs, const char *source, const char *target) noexcept nogil:
    if fs.target != NULL:
        return bridged_names(fs.target, "link", "cannot link", source, target)
    if c_link(source, target) != 0:
        return fail_errno(errno, "cannot link", source)
    return 0


cdef int fs_unlink(FileSystemHandle *fs, const char *path) noexcept nogil:
    if fs.target != NULL:
        return bridged_names(fs.target, "unlink", "cannot remove", path, NULL)
    if c_unlink(path) != 0:
        return fail_errno(errno, "cannot remove", path)
    return 0


cdef int fs_sync_dir(FileSystemHandle *fs, const char *path) noexcept nogil:
    cdef int descriptor, status = 0
    if fs.target != NULL:
        return bridged_names(fs.target, "sync_dir", "cannot sync the folder", path, NULL)
    descriptor = c_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    while descriptor < 0 and errno == EINTR:
        descriptor = c_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0:
        return fail_errno(errno, "cannot open the folder", path)
    if c_fsync(descriptor) != 0:
        status = fail_errno(errno, "cannot sync the folder", path)
    c_close(descriptor)
    return status


# ---- contents ------------------------------------------------------------------------------------

cdef int64_t file_pread(FileHandle *file, void *buffer, size_t size, uint64_t offset) noexcept nogil:
    cdef size_t done = 0
    cdef ssize_t part
    if file.target != NULL:
        return bridged_pread(file.target, file.path, buffer, size, offset)
    while done < size:
        part = c_pread(file.descriptor, <char *> buffer + done, size - done, <off_t> (offset + done))
        if part == 0:
            break
        if part > 0:
            done += <size_t> part
        elif errno != EINTR:
            return fail_errno(errno, "cannot read", file.path)
    return <int64_t> done


cdef int file_pread_exact(FileHandle *file, void *buffer, size_t size, uint64_t offset) noexcept nogil:
    cdef int64_t done = file_pread(file, buffer, size, offset)
    if done < 0:
        return <int> done
    if <size_t> done != size:
        return fail(CORRUPTION, "file is shorter than it should be", file.path, offset + <uint64_t> done)
    return 0


cdef int _write_all(FileHandle *file, const char *data, size_t size, uint64_t offset) noexcept nogil:
    cdef size_t done = 0
    cdef ssize_t part
    while done < size:
        part = c_pwrite(file.descriptor, data + done, size - done, <off_t> (offset + done))
        if part >= 0:
            done += <size_t> part
        elif errno != EINTR:
            return fail_errno(errno, "cannot write", file.path)
    return 0


cdef int file_pwrite(FileHandle *file, const void *data, size_t size, uint64_t offset) noexcept nogil:
    if file.target != NULL:
        return bridged_pwrite(file.target, file.path, data, size, offset)
    if offset < file.map_size and size <= file.map_size - offset:
        memcpy(file.map + offset, data, size)
        return 0
    return _write_all(file, <const char *> data, size, offset)


# Pages written through the mapping are dirty pages of the file like any other: fdatasync covers them.
cdef int file_sync(FileHandle *file) noexcept nogil:
    if file.target != NULL:
        return bridged_sync(file.target, file.path)
    if c_fdatasync(file.descriptor) != 0:
        return fail_errno(errno, "cannot sync", file.path)
    return 0


cdef int file_allocate(FileHandle *file, uint64_t size, bint zeros) noexcept nogil:
    cdef int64_t old_size
    cdef uint64_t position
    cdef size_t part
    cdef char *chunk
    cdef int result = EINTR
    cdef int status = 0
    if file.target != NULL:
        return bridged_allocate(file.target, file.path, size, zeros)
    old_size = file_size(file)
    if old_size < 0:
        return <int> old_size
    if size == 0:
        return 0
    while result == EINTR:           # this call returns the error and leaves errno alone
        result = posix_fallocate(file.descriptor, 0, <off_t> size)
    if result != 0:
        return fail_errno(result, "cannot reserve space", file.path)
    if not zeros or <uint64_t> old_size >= size:
        return 0
    chunk = <char *> calloc(1, ZERO_CHUNK_BYTES)
    if chunk == NULL:
        return fail(NO_MEMORY, NULL, file.path, <uint64_t> NO_OFFSET)
    position = <uint64_t> old_size
    while position < size and status == 0:
        part = <size_t> (size - position) if size - position < ZERO_CHUNK_BYTES else ZERO_CHUNK_BYTES
        status = _write_all(file, chunk, part, position)
        position += part
    free(chunk)
    return status


cdef int file_map(FileHandle *file, size_t size) noexcept nogil:
    cdef void *address
    cdef int status
    if file.target != NULL:
        return 0
    status = file_unmap(file)
    if status < 0 or size == 0:
        return status
    address = c_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor, 0)
    if address == MAP_FAILED:
        return fail_errno(errno, "cannot map", file.path)
    file.map = <char *> address
    file.map_size = size
    return 0


cdef int file_unmap(FileHandle *file) noexcept nogil:
    if file.map == NULL:
        return 0
    if c_munmap(file.map, file.map_size) != 0:
        return fail_errno(errno, "cannot unmap", file.path)
    file.map = NULL
    file.map_size = 0
    return 0


cdef int file_truncate(FileHandle *file, uint64_t size) noexcept nogil:
    cdef int status
    if file.target != NULL:
        return bridged_truncate(file.target, file.path, size)
    if size < file.map_size:         # a store to a mapped page beyond the end would kill the process
        status = file_unmap(file)
        if status < 0:
            return status
    while c_ftruncate(file.descriptor, <off_t> size) != 0:
        if errno != EINTR:
            return fail_errno(errno, "cannot set the length", file.path)
    return 0


cdef int64_t file_size(FileHandle *file) noexcept nogil:
    cdef stat_result result
    if file.target != NULL:
        return bridged_size(file.target, file.path)
    if c_fstat(file.descriptor, &result) != 0:
        return fail_errno(errno, "cannot read the length", file.path)
    return <int64_t> result.st_size


cdef void file_close(FileHandle *file) noexcept nogil:
    if file == NULL:
        return
    if file.target != NULL:
        bridged_close(file.target)
    else:
        file_unmap(file)
        c_close(file.descriptor)
    free(file.path)
    free(file)
    count_death(OPEN_FILE)


# ---- the Python face -----------------------------------------------------------------------------

cdef bytes _encoded(object path):
    cdef bytes encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise_status(fail(INVALID, "a path cannot hold a zero byte", NULL, <uint64_t> NO_OFFSET))
    return encoded


cdef int _raise_exception(object error, const char *message, object path) except -1:
    """Raises what `error` means in terms of core/errors.py."""
    cdef bytes encoded = _encoded(path)
    return raise_status(fail_exception(error, message, encoded))


cdef FileHandle *_open_handle(File file) except NULL:
    if file.handle == NULL:
        raise_status(fail(CLOSED, "the file is closed", NULL, <uint64_t> NO_OFFSET))
    return file.handle


@cython.final
cdef class File:
    """An open file; made by FileSystem.open(). Not to be closed while another thread uses it."""

    def __init__(self):
        raise TypeError("files are opened by FileSystem.open()")

    def __dealloc__(self):
        file_close(self.handle)

    def pread(self, size_t size, uint64_t offset):
        """Up to `size` bytes from `offset` on; fewer only at the end of the file."""
        cdef FileHandle *handle = _open_handle(self)
        cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
        cdef char *buffer = PyBytes_AS_STRING(data)
        cdef int64_t done
        with nogil:
            done = file_pread(handle, buffer, size, offset)
        if done < 0:
            raise_status(<int> done)
        return data if <size_t> done == size else data[:done]

    def pwrite(self, data, uint64_t offset):
        """Writes all of `data` (any contiguous buffer) at `offset`."""
        cdef FileHandle *handle = _open_handle(self)
        cdef Py_buffer view
        cdef int status
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with nogil:
                status = file_pwrite(handle, view.buf, <size_t> view.len, offset)
        finally:
            PyBuffer_Release(&view)
        if status < 0:
            raise_status(status)

    def sync(self):
        """Returns when the contents are on disk."""
        cdef FileHandle *handle = _open_handle(self)
        cdef int status
        with nogil:
            status = file_sync(handle)
        if status < 0:
            raise_status(status)

    def allocate(self, uint64_t size, bint zeros=False):
        """Makes the file at least `size` bytes long, its space reserved; `zeros` writes zeros, too."""
        cdef FileHandle *handle = _open_handle(self)
        cdef int status
        with nogil:
            status = file_allocate(handle, size, zeros)
        if status < 0:
            raise_status(status)

    def map(self, size_t size):
        """Maps the first `size` bytes, which must be allocated: writes inside become memory copies."""
        cdef FileHandle *handle = _open_handle(self)
        cdef int status
        with nogil:
            status = file_map(handle, size)
        if status < 0:
            raise_status(status)

    def truncate(self, uint64_t size):
        """Cuts or extends (by zeros) the file to `size` bytes."""
        cdef FileHandle *handle = _open_handle(self)
        cdef int status
        with nogil:
            status = file_truncate(handle, size)
        if status < 0:
            raise_status(status)

    def size(self):
        """Length in bytes."""
        cdef FileHandle *handle = _open_handle(self)
        cdef int64_t size
        with nogil:
            size = file_size(handle)
        if size < 0:
            raise_status(<int> size)
        return size

    def close(self):
        """Closes; again is allowed. Nothing is synced."""
        cdef FileHandle *handle = self.handle
        self.handle = NULL
        with nogil:
            file_close(handle)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


@cython.no_gc_clear                  # handle.target must not outlive _owner, not even inside a dying cycle
cdef class FileSystem:
    """Files and folders by name. Use PosixFileSystem or BridgedFileSystem."""

    def __init__(self):
        raise TypeError("use PosixFileSystem() or BridgedFileSystem(target)")

    def open(self, path, int mode):
        """Opens a file: READ, CREATE (emptied or new, read and write) or WRITE (existing, read and write)."""
        cdef bytes encoded = _encoded(path)
        cdef const char *text = encoded
        cdef FileHandle *handle = NULL
        cdef File file
        cdef int status
        with nogil:
            status = fs_open(&self.handle, text, mode, &handle)
        if status < 0:
            raise_status(status)
        file = File.__new__(File)
        file.handle = handle
        file.file_system = self
        return file

    def rename(self, source, target):
        """Gives a file another name, replacing what had it, in one step."""
        cdef bytes encoded_source = _encoded(source), encoded_target = _encoded(target)
        cdef const char *source_text = encoded_source
        cdef const char *target_text = encoded_target
        cdef int status
        with nogil:
            status = fs_rename(&self.handle, source_text, target_text)
        if status < 0:
            raise_status(status)

    def link(self, source, target):
        """Gives a file a second name; the name must be free."""
        cdef bytes encoded_source = _encoded(source), encoded_target = _encoded(target)
        cdef const char *source_text = encoded_source
        cdef const char *target_text = encoded_target
        cdef int status
        with nogil:
            status = fs_link(&self.handle, source_text, target_text)
        if status < 0:
            raise_status(status)

    def unlink(self, path):
        """Removes a name; the file goes with its last name and its last open handle."""
        cdef bytes encoded = _encoded(path)
        cdef const char *text = encoded
        cdef int status
        with nogil:
            status = fs_unlink(&self.handle, text)
        if status < 0:
            raise_status(status)

    def sync_dir(self, path):
        """Returns when the names in a folder are on disk."""
        cdef bytes encoded = _encoded(path)
        cdef const char *text = encoded
        cdef int status
        with nogil:
            status = fs_sync_dir(&self.handle, text)
        if status < 0:
            raise_status(status)

    def list_dir(self, path):
        """The names in a folder, sorted."""
        raise NotImplementedError

    def make_dir(self, path):
        """Makes a folder; fine when it is there already."""
        raise NotImplementedError

    def exists(self, path):
        """Whether there is a file or folder of that name."""
        raise NotImplementedError

    def lock(self, path):
        """Takes the lock that `path` stands for, or raises DatabaseLocked."""
        raise NotImplementedError

    def size(self, path):
        """Length of a file in bytes."""
        with self.open(path, OPEN_READ) as file:
            return file.size()

    def read_file(self, path):
        """All bytes of a file."""
        with self.open(path, OPEN_READ) as file:
            return file.pread(file.size(), 0)

    def write_file_atomically(self, path, data):
        """Puts `data` under `path` so that after a crash there is either the old file or the new one."""
        path = os.fspath(path)
        temporary = path + ".tmp"
        with self.open(temporary, OPEN_CREATE) as file:
            file.pwrite(data, 0)
            file.sync()
        self.rename(temporary, path)
        self.sync_dir(os.path.dirname(path) or ".")


@cython.final
cdef class PosixFileSystem(FileSystem):
    """The operating system's files."""

    def __init__(self):
        self.handle.target = NULL

    def list_dir(self, path):
        """The names in a folder, sorted."""
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            _raise_exception(error, "cannot list", path)

    def make_dir(self, path):
        """Makes a folder; fine when it is there already."""
        try:
            os.mkdir(path)
        except OSError as error:
            if not os.path.isdir(path):
                _raise_exception(error, "cannot make the folder", path)

    def exists(self, path):
        """Whether there is a file or folder of that name."""
        return os.path.exists(path)

    def lock(self, path):
        """Takes the lock that `path` stands for, or raises DatabaseLocked naming the process that has it.

        The lock ends with release() or with the process. The file stays: removing it would let two
        processes hold locks on two files that had the same name.
        """
        try:
            return _PosixLock(os.fspath(path))
        except OSError as error:
            if isinstance(error, BlockingIOError):
                _raise_locked(path, self.read_file(path))
            _raise_exception(error, "cannot lock", path)


cdef int _raise_locked(object path, bytes holder) except -1:
    cdef bytes encoded = _encoded(path)
    cdef bytes text
    pid = holder.decode("ascii", "replace").strip()
    if pid == str(os.getpid()):
        text = f"this process (pid {pid}) has the database open already".encode()
    else:
        text = f"another process (pid {pid or 'unknown'}) has the database open".encode()
    return raise_status(fail(LOCKED, text, encoded, <uint64_t> NO_OFFSET))


class _PosixLock:
    """flock on a file that names its holder; refuses a second open in the same process as well."""

    def __init__(self, path):
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_PERMISSIONS)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            self._close()
            raise
        _held_locks.add(self)

    def _close(self):
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def release(self):
        """Lets others in; again is allowed."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._close()

    def __del__(self):
        self._close()


# A forked child shares the parent's lock and would hold it after the parent's death: it lets go.
# (Closing does not unlock while the parent has the file open.)
_held_locks = weakref.WeakSet()


def _close_inherited_locks():
    for lock in list(_held_locks):
        lock._close()


os.register_at_fork(after_in_child=_close_inherited_locks)


@cython.final
cdef class BridgedFileSystem(FileSystem):
    """A Python object's files; see the module's docstring for the methods it needs."""

    def __init__(self, target):
        self._owner = target
        self.handle.target = <void *> target

    @property
    def target(self):
        """The Python object behind."""
        return self._owner

    def list_dir(self, path):
        """The names in a folder, sorted."""
        try:
            return sorted(self._owner.list_dir(os.fspath(path)))
        except Exception as error:
            _raise_exception(error, "cannot list", path)

    def make_dir(self, path):
        """Makes a folder; fine when it is there already."""
        try:
            self._owner.make_dir(os.fspath(path))
        except Exception as error:
            _raise_exception(error, "cannot make the folder", path)

    def exists(self, path):
        """Whether there is a file or folder of that name."""
        try:
            return bool(self._owner.exists(os.fspath(path)))
        except Exception as error:
            _raise_exception(error, "cannot look for", path)

    def lock(self, path):
        """Takes the lock that `path` stands for; release() gives it back."""
        try:
            return self._owner.lock(os.fspath(path))
        except Exception as error:
            _raise_exception(error, "cannot lock", path)


# open modes for Python
READ, CREATE, WRITE = OPEN_READ, OPEN_CREATE, OPEN_WRITE
