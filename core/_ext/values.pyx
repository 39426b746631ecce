"""Value log: where large values live, so that compaction moves only pointers to them.

    tree:  key -> [file 7 | offset 32 | sizes | crc]
                     |
    000000000007.values      header | record | record | record ...      appended to, never changed
    000000000009.values      header | record                            the current file

WiscKey (Lu et al., FAST 2016) separates values from keys; unlike there, each file is dropped as a
whole when few of its bytes are still pointed to, the others having been appended anew.

Order of things, so that a pointer never outlives its value: append, then value_log_sync, and only
then may a synced log record or an installed table hold the pointer. A file never takes a number
whose file exists, whatever the caller's counter says after a crash: it could still be pointed to.

Locks, taken in this order: sync_mutex (one sync at a time), append_mutex (the current file and the
queue of unsynced files), table_mutex (open files). An open file is counted: the table, the writer,
the queue and each reader hold one reference, and the last one to let go closes it.
"""
from libc.stdint cimport UINT32_MAX, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset, strlen

from .census cimport VALUE_LOG, count_birth, count_death
from .files cimport (OPEN_CREATE, OPEN_READ, FileHandle, FileSystemHandle, file_close, file_pread_exact,
                     file_pwrite, file_sync, file_truncate, fs_open, fs_sync_dir, fs_unlink)
from .hashing cimport crc32c
from .platform cimport (get_u32, get_u64, load_u32, mutex_destroy, mutex_init, mutex_lock, mutex_t, mutex_unlock,
                        put_u32, put_u64, store_u32)
from .status cimport (CORRUPTION, FAILED, NEWER_FORMAT, NO_MEMORY, NO_OFFSET, NOT_FOUND, OK, TOO_LARGE, ErrorDetail,
                      error_detail, fail)

cdef enum:
    OPEN_FILES_MAX = 64              # in the table; a file in use that drops out of it stays open until let go
    COPIED_RECORD_BYTES = 65536      # records up to this size are put together and written at once
    NUMBER_TEXT_BYTES = 32           # "/000000000007.values" and larger numbers

cdef struct OpenFile:
    uint64_t number                  # constant
    FileHandle *file                 # constant
    uint32_t references              # guarded by table_mutex
    uint64_t used_at                 # guarded by table_mutex; of the table's clock
    bint queued                      # guarded by append_mutex, as is next_queued
    OpenFile *next_queued

cdef struct ValueLog:
    # constant
    FileSystemHandle *fs
    char *directory
    uint64_t file_bytes
    next_file_number number
    void *context
    uint32_t failed                  # atomic; a sync failed
    mutex_t sync_mutex
    mutex_t append_mutex             # guards what follows, up to the next mutex
    OpenFile *current                # NULL: the next append starts a file
    uint64_t current_end
    OpenFile *queue_first            # files with unsynced bytes, each once
    OpenFile *queue_last
    uint32_t queue_count
    bint directory_changed           # a file was made since the folder's last sync
    mutex_t table_mutex              # guards what follows
    OpenFile *open_files[OPEN_FILES_MAX]
    uint32_t open_count
    uint64_t clock


# ---- open files

cdef char *_path(ValueLog *values, uint64_t number) noexcept nogil:
    cdef size_t size = strlen(values.directory) + NUMBER_TEXT_BYTES
    cdef char *path = <char *> malloc(size)
    if path == NULL:
        fail(NO_MEMORY, NULL, values.directory, <uint64_t> NO_OFFSET)
    else:
        snprintf(path, size, "%s/%012llu.values", values.directory, <unsigned long long> number)
    return path


cdef void _retain(ValueLog *values, OpenFile *file) noexcept nogil:
    mutex_lock(&values.table_mutex)
    file.references += 1
    mutex_unlock(&values.table_mutex)


cdef void _release(ValueLog *values, OpenFile *file) noexcept nogil:
    cdef bint last
    if file == NULL:
        return
    mutex_lock(&values.table_mutex)
    file.references -= 1
    last = file.references == 0
    mutex_unlock(&values.table_mutex)
    if last:
        file_close(file.file)
        free(file)


# The open file of that number with a reference for the caller, or NULL. Under table_mutex.
cdef OpenFile *_find(ValueLog *values, uint64_t number) noexcept nogil:
    cdef uint32_t i
    for i in range(values.open_count):
        if values.open_files[i].number == number:
            values.clock += 1
            values.open_files[i].used_at = values.clock
            values.open_files[i].references += 1
            return values.open_files[i]
    return NULL


# Takes a file out of the table; the table's reference passes to the caller. Under table_mutex.
cdef OpenFile *_take_out(ValueLog *values, uint32_t index) noexcept nogil:
    cdef OpenFile *file = values.open_files[index]
    values.open_count -= 1
    values.open_files[index] = values.open_files[values.open_count]
    return file


# Puts a handle into the table, which takes it over, in place of the file least recently used. When
# another thread has put one of the same number there, that one is used. A reference for the caller.
cdef int _put_in(ValueLog *values, uint64_t number, FileHandle *handle, OpenFile **out) noexcept nogil:
    cdef OpenFile *unused = NULL
    cdef OpenFile *file = <OpenFile *> calloc(1, sizeof(OpenFile))
    cdef uint32_t i, oldest = 0
    if file == NULL:
        file_close(handle)
        return fail(NO_MEMORY, NULL, values.directory, <uint64_t> NO_OFFSET)
    file.number = number
    file.file = handle
    file.references = 1
    mutex_lock(&values.table_mutex)
    out[0] = _find(values, number)
    if out[0] != NULL:
        unused = file
    else:
        if values.open_count == OPEN_FILES_MAX:
            for i in range(1, OPEN_FILES_MAX):
                if values.open_files[i].used_at < values.open_files[oldest].used_at:
                    oldest = i
            unused = _take_out(values, oldest)
        values.clock += 1
        file.used_at = values.clock
        values.open_files[values.open_count] = file
        values.open_count += 1
        file.references = 2
        out[0] = file
    mutex_unlock(&values.table_mutex)
    _release(values, unused)
    return OK


cdef int _open(ValueLog *values, uint64_t number, OpenFile **out) noexcept nogil:
    cdef FileHandle *handle = NULL
    cdef uint64_t found_number = 0
    cdef char *path
    cdef int status
    mutex_lock(&values.table_mutex)
    out[0] = _find(values, number)
    mutex_unlock(&values.table_mutex)
    if out[0] != NULL:
        return OK
    path = _path(values, number)
    if path == NULL:
        return NO_MEMORY
    status = fs_open(values.fs, path, OPEN_READ, &handle)
    if status >= 0:
        status = value_header_check(handle, &found_number)
        if status >= 0 and found_number != number:
            status = fail(CORRUPTION, "the file's header tells another number than its name", path, 16)
        if status < 0:
            file_close(handle)
    free(path)
    if status < 0:
        return status
    return _put_in(values, number, handle, out)


# ---- file header

cdef void value_header_put(char *header, uint64_t number) noexcept nogil:
    memset(header, 0, VALUE_FILE_HEADER_BYTES)
    memcpy(header, <const char *> b"PHANTVAL", 8)
    put_u32(header + 8, VALUE_FORMAT_VERSION)
    put_u64(header + 16, number)
    put_u32(header + 24, crc32c(0, header, 24))


cdef int _write_header(FileHandle *file, uint64_t number) noexcept nogil:
    cdef char header[VALUE_FILE_HEADER_BYTES]
    value_header_put(header, number)
    return file_pwrite(file, header, VALUE_FILE_HEADER_BYTES, 0)


cdef int value_header_check(FileHandle *file, uint64_t *number) noexcept nogil:
    cdef char header[VALUE_FILE_HEADER_BYTES]
    cdef int status = file_pread_exact(file, header, VALUE_FILE_HEADER_BYTES, 0)
    if status < 0:
        return status
    if memcmp(header, <const char *> b"PHANTVAL", 8) != 0:
        return fail(CORRUPTION, "not a value file", file.path, 0)
    if get_u32(header + 24) != crc32c(0, header, 24):
        return fail(CORRUPTION, "checksum of a value file's header", file.path, 24)
    if get_u32(header + 8) > VALUE_FORMAT_VERSION or get_u32(header + 12) != 0:
        return fail(NEWER_FORMAT, "value file of a newer version", file.path, 8)
    number[0] = get_u64(header + 16)
    return OK


# ---- lifetime

cdef ValueLog *value_log_new(FileSystemHandle *fs, const char *directory, uint64_t file_bytes,
                             next_file_number number, void *context) noexcept nogil:
    cdef ValueLog *values = <ValueLog *> calloc(1, sizeof(ValueLog))
    if values == NULL:
        return NULL
    values.directory = <char *> malloc(strlen(directory) + 1)
    if values.directory == NULL:
        free(values)
        return NULL
    memcpy(values.directory, directory, strlen(directory) + 1)
    values.fs = fs
    values.file_bytes = file_bytes
    values.number = number
    values.context = context
    mutex_init(&values.sync_mutex)
    mutex_init(&values.append_mutex)
    mutex_init(&values.table_mutex)
    count_birth(VALUE_LOG)
    return values


cdef int value_log_close(ValueLog *values) noexcept nogil:
    cdef int status = value_log_sync(values)
    _release(values, values.current)
    while values.queue_count:
        _release(values, _dequeue(values))
    while values.open_count:
        _release(values, _take_out(values, 0))
    mutex_destroy(&values.sync_mutex)
    mutex_destroy(&values.append_mutex)
    mutex_destroy(&values.table_mutex)
    free(values.directory)
    free(values)
    count_death(VALUE_LOG)
    return status


# ---- appending; what begins with an underscore runs under append_mutex

cdef void _enqueue(ValueLog *values, OpenFile *file) noexcept nogil:
    if file.queued:
        return
    _retain(values, file)
    file.queued = True
    file.next_queued = NULL
    if values.queue_count:
        values.queue_last.next_queued = file
    else:
        values.queue_first = file
    values.queue_last = file
    values.queue_count += 1


# The caller gets the queue's reference.
cdef OpenFile *_dequeue(ValueLog *values) noexcept nogil:
    cdef OpenFile *file = values.queue_first
    values.queue_first = file.next_queued
    values.queue_count -= 1
    file.queued = False
    return file


cdef uint64_t _end_current(ValueLog *values) noexcept nogil:
    cdef uint64_t number = values.current.number if values.current != NULL else 0
    _release(values, values.current)
    values.current = NULL
    return number


# The path for a number of which there is no file.
cdef int _free_number(ValueLog *values, uint64_t *number, char **path) noexcept nogil:
    cdef FileHandle *handle
    cdef int status
    while True:
        number[0] = values.number(values.context)
        path[0] = _path(values, number[0])
        if path[0] == NULL:
            return NO_MEMORY
        handle = NULL
        status = fs_open(values.fs, path[0], OPEN_READ, &handle)
        if status == NOT_FOUND:
            return OK
        free(path[0])
        path[0] = NULL
        if status < 0:
            return status
        file_close(handle)


cdef int _start_file(ValueLog *values) noexcept nogil:
    cdef FileHandle *handle = NULL
    cdef uint64_t number = 0
    cdef char *path = NULL
    cdef ErrorDetail detail
    cdef int status = _free_number(values, &number, &path)
    if status < 0:
        return status
    status = fs_open(values.fs, path, OPEN_CREATE, &handle)
    if status >= 0:
        status = _write_header(handle, number)
        if status < 0:
            detail = error_detail()[0]
            file_close(handle)
            fs_unlink(values.fs, path)           # an empty file would do no harm either
            error_detail()[0] = detail
    free(path)
    if status >= 0:
        status = _put_in(values, number, handle, &values.current)
    if status < 0:
        return status
    values.current_end = VALUE_FILE_HEADER_BYTES
    values.directory_changed = True
    return OK


# The record in two parts: `head`, which may be all of it, and what is left of the value.
cdef int _append(ValueLog *values, const char *head, size_t head_size, const char *value, size_t value_size,
                 ValuePointer *out) noexcept nogil:
    cdef uint64_t size = <uint64_t> head_size + value_size
    cdef ErrorDetail detail
    cdef int status = OK
    if load_u32(&values.failed):
        return fail(FAILED, "a sync of the value log failed", values.directory, <uint64_t> NO_OFFSET)
    if values.current != NULL and values.current_end > VALUE_FILE_HEADER_BYTES and \
            values.current_end + size > values.file_bytes:
        _end_current(values)
    if values.current == NULL:
        status = _start_file(values)
        if status < 0:
            return status
    _enqueue(values, values.current)
    status = file_pwrite(values.current.file, head, head_size, values.current_end)
    if status >= 0 and value_size:
        status = file_pwrite(values.current.file, value, value_size, values.current_end + head_size)
    if status < 0:                   # what was written of it must not stay as a tail
        detail = error_detail()[0]
        if file_truncate(values.current.file, values.current_end) < 0:
            _end_current(values)
        error_detail()[0] = detail
        return status
    out.file_number = values.current.number
    out.offset = values.current_end
    values.current_end += size
    return OK


cdef int value_log_append(ValueLog *values, const char *key, size_t key_size, const char *value,
                          size_t value_size, ValuePointer *out) noexcept nogil:
    cdef size_t head_size = VALUE_RECORD_HEADER_BYTES + key_size
    cdef size_t copied = value_size if head_size + value_size <= COPIED_RECORD_BYTES else 0
    cdef char *head
    cdef int status
    if key_size > UINT32_MAX:
        return fail(TOO_LARGE, "a key of 4 GiB or more", values.directory, <uint64_t> NO_OFFSET)
    head = <char *> malloc(head_size + copied)
    if head == NULL:
        return fail(NO_MEMORY, NULL, values.directory, <uint64_t> NO_OFFSET)
    put_u32(head + 4, <uint32_t> key_size)
    put_u64(head + 8, value_size)
    memcpy(head + VALUE_RECORD_HEADER_BYTES, key, key_size)
    put_u32(head, crc32c(crc32c(0, head + 4, head_size - 4), value, value_size))
    memcpy(head + head_size, value, copied)
    out.value_size = value_size
    out.key_size = <uint32_t> key_size
    out.crc = crc32c(0, value, value_size)
    mutex_lock(&values.append_mutex)
    status = _append(values, head, head_size + copied, value + copied, value_size - copied, out)
    mutex_unlock(&values.append_mutex)
    free(head)
    return status


cdef uint64_t value_log_roll(ValueLog *values) noexcept nogil:
    cdef uint64_t number
    mutex_lock(&values.append_mutex)
    number = _end_current(values)
    mutex_unlock(&values.append_mutex)
    return number


# ---- syncing

# The files queued now, and the folder. Appends go on meanwhile: a file that is written to after it
# left the queue enters it again, behind.
cdef int _sync_queued(ValueLog *values) noexcept nogil:
    cdef OpenFile *file
    cdef uint32_t count
    cdef bint directory_changed
    cdef int status = OK
    mutex_lock(&values.append_mutex)
    count = values.queue_count
    directory_changed = values.directory_changed
    values.directory_changed = False
    mutex_unlock(&values.append_mutex)
    while count > 0 and status >= 0:
        mutex_lock(&values.append_mutex)
        file = _dequeue(values)
        mutex_unlock(&values.append_mutex)
        status = file_sync(file.file)
        _release(values, file)
        count -= 1
    if status >= 0 and directory_changed:
        status = fs_sync_dir(values.fs, values.directory)
    return status


cdef int value_log_sync(ValueLog *values) noexcept nogil:
    cdef int status
    mutex_lock(&values.sync_mutex)
    if load_u32(&values.failed):
        status = fail(FAILED, "an earlier sync of the value log failed", values.directory, <uint64_t> NO_OFFSET)
    else:
        status = _sync_queued(values)
        if status < 0:
            store_u32(&values.failed, 1)
            error_detail().status = FAILED       # its path, errno and message tell what happened
            status = FAILED
    mutex_unlock(&values.sync_mutex)
    return status


cdef int value_log_adopt(ValueLog *values, uint64_t file_number) noexcept nogil:
    cdef OpenFile *file = NULL
    cdef int status = _open(values, file_number, &file)
    if status < 0:
        return status
    mutex_lock(&values.append_mutex)
    _enqueue(values, file)
    mutex_unlock(&values.append_mutex)
    _release(values, file)
    return OK


cdef uint32_t value_log_open_count(ValueLog *values) noexcept nogil:
    cdef uint32_t count
    mutex_lock(&values.table_mutex)
    count = values.open_count
    mutex_unlock(&values.table_mutex)
    return count


# ---- reading and removing

cdef int _read(FileHandle *file, const ValuePointer *pointer, char *buffer) noexcept nogil:
    cdef char header[VALUE_RECORD_HEADER_BYTES]
    cdef uint64_t start = pointer.offset + VALUE_RECORD_HEADER_BYTES + pointer.key_size
    cdef int status
    if pointer.offset < VALUE_FILE_HEADER_BYTES or start < pointer.offset or start + pointer.value_size < start:
        return fail(CORRUPTION, "a value pointer out of bounds", file.path, pointer.offset)
    status = file_pread_exact(file, header, VALUE_RECORD_HEADER_BYTES, pointer.offset)
    if status < 0:
        return status
    if get_u32(header + 4) != pointer.key_size or get_u64(header + 8) != pointer.value_size:
        return fail(CORRUPTION, "a value record has other sizes than its pointer", file.path, pointer.offset)
    status = file_pread_exact(file, buffer, pointer.value_size, start)
    if status < 0:
        return status
    if crc32c(0, buffer, pointer.value_size) != pointer.crc:
        return fail(CORRUPTION, "checksum of a value", file.path, pointer.offset)
    return OK


cdef int value_log_read(ValueLog *values, const ValuePointer *pointer, char *buffer) noexcept nogil:
    cdef OpenFile *file = NULL
    cdef int status = _open(values, pointer.file_number, &file)
    if status < 0:
        return status
    status = _read(file.file, pointer, buffer)
    _release(values, file)
    return status


cdef int value_log_remove(ValueLog *values, uint64_t file_number) noexcept nogil:
    cdef OpenFile *file = NULL
    cdef char *path = _path(values, file_number)
    cdef uint32_t i
    cdef int status
    if path == NULL:
        return NO_MEMORY
    mutex_lock(&values.append_mutex)
    if values.current != NULL and values.current.number == file_number:
        _end_current(values)
    mutex_unlock(&values.append_mutex)
    mutex_lock(&values.table_mutex)
    for i in range(values.open_count):
        if values.open_files[i].number == file_number:
            file = _take_out(values, i)
            break
    mutex_unlock(&values.table_mutex)
    _release(values, file)
    status = fs_unlink(values.fs, path)
    free(path)
    return OK if status == NOT_FOUND else status
