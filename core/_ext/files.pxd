# The file seam: every byte the core reads or writes, and every rename, passes here.
#
#   engine, log, tables, manifest
#              |            C functions fs_*, file_* (below)      Python methods of FileSystem
#        +-----+--------------------------+
#   PosixFileSystem              BridgedFileSystem(object)
#   (nogil, mmap'd log)          any Python object: MemoryFileSystem, FaultyFileSystem (core/filesystems.py)
from libc.stdint cimport int64_t, uint64_t
from libc.stddef cimport size_t

cdef enum OpenMode:
    OPEN_READ = 0            # existing file, read only
    OPEN_CREATE = 1          # new empty file, read and write; an existing one is emptied
    OPEN_WRITE = 2           # existing file, read and write

cdef struct FileHandle:
    void *target             # PyObject* of the bridged file, or NULL for POSIX
    int descriptor           # POSIX only
    char *map                # writable mapping of [0, map_size), or NULL; POSIX only
    size_t map_size
    char *path               # for messages; owned

cdef struct FileSystemHandle:
    void *target             # PyObject* of the bridged file system, or NULL for POSIX

# All: no GIL needed; status < 0 with detail set (path included) on failure. Each of open, pwrite,
# sync, allocate, truncate, rename, link, unlink, sync_dir is one "operation" for crash tests.
cdef int fs_open(FileSystemHandle *fs, const char *path, int mode, FileHandle **out) noexcept nogil
cdef int fs_rename(FileSystemHandle *fs, const char *source, const char *target) noexcept nogil
cdef int fs_link(FileSystemHandle *fs, const char *source, const char *target) noexcept nogil
cdef int fs_unlink(FileSystemHandle *fs, const char *path) noexcept nogil
cdef int fs_sync_dir(FileSystemHandle *fs, const char *path) noexcept nogil

# Reads up to `size` bytes; returns how many (short only at end of file), or a status.
cdef int64_t file_pread(FileHandle *file, void *buffer, size_t size, uint64_t offset) noexcept nogil
# Reads exactly `size` bytes or returns CORRUPTION ("file is shorter than ...").
cdef int file_pread_exact(FileHandle *file, void *buffer, size_t size, uint64_t offset) noexcept nogil
# Writes all of it. Inside the mapping this is a memcpy: no system call, survives kill -9.
cdef int file_pwrite(FileHandle *file, const void *data, size_t size, uint64_t offset) noexcept nogil
cdef int file_sync(FileHandle *file) noexcept nogil                      # fdatasync
# Makes the file `size` bytes long with its space reserved, so that later writes inside it cannot
# meet a full disk; a longer file stays as long as it is. `zeros`: also write zeros to what was added,
# which makes a later overwrite+sync cheaper.
cdef int file_allocate(FileHandle *file, uint64_t size, bint zeros) noexcept nogil
# Maps [0, size) for writing (POSIX; a no-op when bridged). The space must be allocated.
cdef int file_map(FileHandle *file, size_t size) noexcept nogil
cdef int file_unmap(FileHandle *file) noexcept nogil
cdef int file_truncate(FileHandle *file, uint64_t size) noexcept nogil
cdef int64_t file_size(FileHandle *file) noexcept nogil
cdef void file_close(FileHandle *file) noexcept nogil                    # NULL is allowed

# Python face, used by manifest, checkpoint and tests; paths are str. All raise core.errors classes.
cdef class FileSystem:
    cdef FileSystemHandle handle
    cdef object _owner       # keeps a bridged Python object alive

cdef class File:
    cdef FileHandle *handle
    cdef FileSystem file_system
