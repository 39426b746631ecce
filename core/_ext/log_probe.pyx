"""The log for Python: without an engine, for tests and for tools that measure."""
import os

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.stddef cimport size_t

from .files cimport FileSystem
from .log cimport (Log, log_append, log_bytes, log_close, log_current_segment, log_durable_lsn, log_end_lsn, log_open,
                   log_oldest_segment, log_pin, log_prepare, log_release, log_unpin, log_wait_durable)
from .platform cimport mutex_destroy, mutex_init, mutex_lock, mutex_t, mutex_unlock
from .status cimport CLOSED, NO_MEMORY, NO_OFFSET, fail, raise_status


cdef int _collect(void *context, uint64_t segment, uint64_t commit_ts, const char *payload,
                  size_t size) noexcept with gil:
    cdef LogProbe probe = <LogProbe> context
    try:
        if commit_ts in probe.missing:
            return 1
        probe.recovered.append((segment, commit_ts, PyBytes_FromStringAndSize(payload, size)))
        return 0
    except BaseException:
        return fail(NO_MEMORY, NULL, NULL, <uint64_t> NO_OFFSET)


@cython.final
@cython.no_gc_clear                  # closing needs the file system
cdef class LogProbe:
    """A log of its own, without an engine: for tests and for tools that measure.

    `recovered` lists what was replayed as (segment, commit_ts, payload). Records with a commit_ts in
    `missing` are treated as if their values in the value log were gone. Thread-safe but for close().
    """
    cdef Log *log
    cdef mutex_t commit_lock
    cdef FileSystem file_system
    cdef object missing
    cdef readonly list recovered

    def __cinit__(self):
        mutex_init(&self.commit_lock)

    def __init__(self, FileSystem file_system not None, directory, uint64_t segment_bytes, bint zero_fill,
                 uint64_t first_segment=1, missing=()):
        cdef bytes encoded = os.fsencode(directory)
        cdef const char *text = encoded
        cdef void *context = <void *> self
        cdef Log *log = NULL
        cdef int status
        if self.log != NULL:
            raise TypeError("a LogProbe cannot be initialised twice")
        self.file_system = file_system
        self.missing = frozenset(missing)
        self.recovered = []
        with nogil:
            status = log_open(&file_system.handle, text, first_segment, segment_bytes, zero_fill, _collect, context,
                              &log)
        if status < 0:
            raise_status(status)
        self.log = log

    def __dealloc__(self):
        if self.log != NULL:
            with nogil:
                log_close(self.log, False)
        mutex_destroy(&self.commit_lock)

    cdef Log *_log(self) except NULL:
        if self.log == NULL:
            raise_status(fail(CLOSED, "the log is closed", NULL, <uint64_t> NO_OFFSET))
        return self.log

    def append(self, bytes payload not None, uint64_t commit_ts):
        """Appends a record; returns the position after it."""
        cdef Log *log = self._log()
        cdef const char *data = payload
        cdef size_t size = len(payload)
        cdef uint64_t end_lsn = 0
        cdef int status
        with nogil:
            mutex_lock(&self.commit_lock)
            status = log_append(log, data, size, commit_ts, &end_lsn)
            mutex_unlock(&self.commit_lock)
        if status < 0:
            raise_status(status)
        return end_lsn

    def wait_durable(self, uint64_t lsn):
        """Returns when all before `lsn` is on disk."""
        cdef Log *log = self._log()
        cdef int status
        with nogil:
            status = log_wait_durable(log, lsn)
        if status < 0:
            raise_status(status)

    def prepare(self):
        """Makes the next segment ready."""
        cdef Log *log = self._log()
        cdef int status
        with nogil:
            status = log_prepare(log)
        if status < 0:
            raise_status(status)

    def release(self, uint64_t number):
        """Gives back the segments below `number`."""
        cdef Log *log = self._log()
        cdef int status
        with nogil:
            status = log_release(log, number)
        if status < 0:
            raise_status(status)

    def pin(self, uint64_t segment):
        """Keeps `segment` and newer ones, whatever is released; FeedLost when it is gone."""
        cdef int status = log_pin(self._log(), segment)
        if status < 0:
            raise_status(status)

    def unpin(self, uint64_t segment):
        """Ends one pin of `segment`."""
        log_unpin(self._log(), segment)

    def close(self, bint remove_all=False):
        """Syncs and closes, or removes every segment; again is allowed."""
        cdef Log *log = self.log
        cdef int status = 0
        self.log = NULL
        if log != NULL:
            with nogil:
                status = log_close(log, remove_all)
        if status < 0:
            raise_status(status)

    @property
    def end_lsn(self):
        """Position after the last record."""
        return log_end_lsn(self._log())

    @property
    def durable_lsn(self):
        """Position up to which all is on disk."""
        return log_durable_lsn(self._log())

    @property
    def current_segment(self):
        """Number of the segment being written."""
        return log_current_segment(self._log())

    @property
    def oldest_segment(self):
        """Number of the oldest segment that is not released."""
        return log_oldest_segment(self._log())

    @property
    def live_bytes(self):
        """Bytes of headers and records that are not released."""
        return log_bytes(self._log())
