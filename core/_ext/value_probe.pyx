"""A value log driven from Python, for tests."""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.stddef cimport size_t
from libc.string cimport memcpy

from .files cimport FileSystem
from .status cimport CLOSED, NO_OFFSET, OK, fail, raise_status
from .values cimport (VALUE_POINTER_BYTES, ValueLog, ValuePointer, value_log_append, value_log_close, value_log_new,
                      value_log_open_count, value_log_read, value_log_remove, value_log_roll, value_log_sync)

from .value_file import unpack_pointer


cdef uint64_t _count_up(void *context) noexcept nogil:
    cdef uint64_t *next_number = <uint64_t *> context            # under append_mutex
    next_number[0] += 1
    return next_number[0] - 1


@cython.final
cdef class ValueLogProbe:
    """A value log driven from Python, for tests. Not to be closed while another thread uses it."""
    cdef ValueLog *values
    cdef uint64_t next_number
    cdef FileSystem file_system

    def __cinit__(self, FileSystem file_system not None, str directory not None, uint64_t file_bytes,
                  uint64_t first_number=1):
        cdef bytes encoded = directory.encode()
        self.file_system = file_system
        self.next_number = first_number
        self.values = value_log_new(&file_system.handle, encoded, file_bytes, _count_up, &self.next_number)
        if self.values == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.values != NULL:
            value_log_close(self.values)

    cdef ValueLog *_opened(self) except NULL:
        if self.values == NULL:
            raise_status(fail(CLOSED, "the value log is closed", NULL, <uint64_t> NO_OFFSET))
        return self.values

    def append(self, bytes key not None, bytes value not None):
        """Append a value; returns its pointer, 32 bytes."""
        cdef ValueLog *values = self._opened()
        cdef const char *key_data = key
        cdef const char *value_data = value
        cdef size_t key_size = len(key), value_size = len(value)
        cdef ValuePointer pointer
        cdef int status
        with nogil:
            status = value_log_append(values, key_data, key_size, value_data, value_size, &pointer)
        if status < 0:
            raise_status(status)
        return PyBytes_FromStringAndSize(<char *> &pointer, VALUE_POINTER_BYTES)

    def read(self, bytes pointer not None):
        """The value behind a pointer."""
        cdef ValueLog *values = self._opened()
        cdef ValuePointer fields
        cdef bytes value
        cdef char *buffer
        cdef int status
        value = PyBytes_FromStringAndSize(NULL, unpack_pointer(pointer)[2])
        buffer = PyBytes_AS_STRING(value)
        memcpy(&fields, PyBytes_AS_STRING(pointer), VALUE_POINTER_BYTES)
        with nogil:
            status = value_log_read(values, &fields, buffer)
        if status < 0:
            raise_status(status)
        return value

    def sync(self):
        """Everything appended before is on disk."""
        cdef ValueLog *values = self._opened()
        cdef int status
        with nogil:
            status = value_log_sync(values)
        if status < 0:
            raise_status(status)

    def roll(self):
        """End the current file; returns its number, 0 when there is none."""
        cdef ValueLog *values = self._opened()
        cdef uint64_t number
        with nogil:
            number = value_log_roll(values)
        return number

    def remove(self, uint64_t file_number):
        """Delete a file."""
        cdef ValueLog *values = self._opened()
        cdef int status
        with nogil:
            status = value_log_remove(values, file_number)
        if status < 0:
            raise_status(status)

    def close(self):
        """Sync and close; again is allowed."""
        cdef ValueLog *values = self.values
        cdef int status = OK
        self.values = NULL
        if values != NULL:
            with nogil:
                status = value_log_close(values)
        if status < 0:
            raise_status(status)

    @property
    def open_count(self):
        """Files in the table of open files."""
        return value_log_open_count(self._opened())
