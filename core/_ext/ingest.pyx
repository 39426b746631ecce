"""Turns sorted pairs into finished tables, past log and memtable; core/ingest.py makes them part of the database.

    pairs --in key order--> slot -> partition -> its open table --full--> finished, synced, another is begun
                       \\-> value log, for values over the threshold

The tables are written before anyone knows their commit timestamp, so all their entries have timestamp 0; the
tree adds the real one (TableMeta.base_ts) to whatever is read from them.
"""
cimport cython
import os

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free

from .block cimport KIND_POINTER, KIND_PUT
from .cursor cimport compare_keys
from .engine cimport Engine
from .files cimport fs_unlink
from .hashing cimport key_hash, slot_of_hash
from .keys cimport Input, Key, MAX_VALUE_BYTES, PREFIX_BYTES, input_close, input_open, key_build, key_free
from .platform cimport add_u32, add_u64, sub_u32
from .status cimport INVALID, NO_OFFSET, TOO_LARGE, fail, raise_status
from .table_format cimport Buffer, buffer_free, buffer_set
from .table_writer cimport (TableOptions, TableSummary, TableWriter, summary_dict, table_writer_add,
                            table_writer_finish, table_writer_free, table_writer_open, table_writer_size)
from .values cimport ValuePointer, value_log_append

cdef enum:
    SHOWN_KEY_BYTES = 40             # of a key in an error


cdef struct Output:                  # one partition's open table
    TableWriter *writer              # NULL: none is open
    uint64_t number


def _shown(bytes key not None):
    return repr(key[:SHOWN_KEY_BYTES]) + ("..." if len(key) > SHOWN_KEY_BYTES else "")


@cython.final
@cython.no_gc_clear                  # its end needs the engine
cdef class IngestWriter:
    """Writes the tables of one ingest. As long as it is not closed no value file is removed."""
    cdef Engine engine
    cdef uint8_t prefix
    cdef TableOptions options
    cdef uint64_t target_bytes
    cdef Output *outputs             # [partition_count]
    cdef Buffer last_key             # internal; empty before the first pair
    cdef list _paths                 # of all tables, finished or not
    cdef bint _is_writing
    cdef readonly uint64_t count     # pairs so far
    cdef readonly list tables        # what the writer of each finished table reports, with number and partition
    cdef readonly bytes first        # the first internal key

    def __cinit__(self, Engine engine not None, uint8_t prefix, *, size_t block_bytes, bint compress,
                  uint64_t target_bytes):
        self.outputs = <Output *> calloc(engine.partition_count, sizeof(Output))
        if self.outputs == NULL:
            raise MemoryError
        self.engine, self.prefix, self.target_bytes = engine, prefix, target_bytes
        self.options.block_bytes, self.options.compress = block_bytes, compress
        self._paths, self.tables = [], []
        add_u32(&engine.value_writers, 1)
        self._is_writing = True

    def __dealloc__(self):
        if self.outputs != NULL:
            self.close()
        free(self.outputs)
        buffer_free(&self.last_key)

    @property
    def last(self):
        """The last internal key so far."""
        return PyBytes_FromStringAndSize(self.last_key.data, self.last_key.size)

    def add_all(self, pairs not None):
        """Adds (key, value) pairs, which must go on in key order."""
        for key, value in (pairs.items() if hasattr(pairs, "items") else pairs):
            self.add(key, value)

    cdef int add(self, object key, object value) except -1:
        cdef Key built
        cdef Input given
        cdef ValuePointer pointer
        cdef Output *output
        cdef int kind = KIND_PUT, status = self.engine.check_usable()
        cdef uint32_t partition = 0
        if status < 0:
            raise_status(status)
        if value is None:
            raise TypeError("a value must be bytes or a buffer, not NoneType (an ingest cannot delete)")
        given.data, given.size, given.is_buffer = NULL, 0, False
        key_build(&built, self.prefix, key)
        try:
            self.check_order(&built)
            input_open(&given, value, "a value")
            if given.size > self.engine.value_threshold:
                self.store_value(&built, &given, &pointer)
                input_close(&given)
                given.data, given.size, given.is_buffer = <const char *> &pointer, sizeof(ValuePointer), False
                kind = KIND_POINTER
            if self.engine.partition_count > 1:
                partition = self.engine.partition_of(
                    slot_of_hash(key_hash(built.data + PREFIX_BYTES, built.size - PREFIX_BYTES)))
            output = &self.outputs[partition]
            if output.writer != NULL and table_writer_size(output.writer) >= self.target_bytes:
                self.finish_table(partition)
            if output.writer == NULL:
                self.open_table(output)
            status = table_writer_add(output.writer, built.data, built.size, 0, kind, given.data, given.size)
            if status >= 0:
                status = buffer_set(&self.last_key, built.data, built.size)
            if status < 0:
                raise_status(status)
            if self.first is None:
                self.first = built.data[:built.size]
            self.count += 1
        finally:
            input_close(&given)
            key_free(&built)
        return 0

    cdef int check_order(self, const Key *key) except -1:
        cdef int order
        if self.last_key.size == 0:
            return 0
        order = compare_keys(self.last_key.data, self.last_key.size, key.data, key.size)
        if order >= 0:
            shown = _shown(key.data[PREFIX_BYTES:key.size])
            after = _shown(self.last_key.data[PREFIX_BYTES:self.last_key.size])
            message = (f"key {shown} is given twice" if order == 0 else f"key {shown} comes after {after}, but pairs "
                       "must be sorted by key").encode()
            raise_status(fail(INVALID, message, NULL, <uint64_t> NO_OFFSET))
        return 0

    cdef int store_value(self, const Key *key, const Input *given, ValuePointer *pointer) except -1:
        cdef int status
        if given.size > MAX_VALUE_BYTES:
            raise_status(fail(TOO_LARGE, "a value is larger than 1 GiB (MAX_VALUE_BYTES)", NULL,
                              <uint64_t> NO_OFFSET))
        with nogil:                  # synced once, before the tables are installed
            status = value_log_append(self.engine.values, key.data, key.size, given.data, given.size, pointer)
        if status < 0:
            raise_status(status)
        return 0

    cdef int open_table(self, Output *output) except -1:
        cdef bytes path
        cdef const char *path_chars
        cdef int status
        output.number = add_u64(&self.engine.next_file_number, 1)
        path = os.fsencode(os.path.join(self.engine.directory, "%012d.table" % output.number))
        path_chars = path
        self._paths.append(path)
        with nogil:
            status = table_writer_open(&self.engine.file_system.handle, path_chars, &self.options, &output.writer)
        if status < 0:
            raise_status(status)
        return 0

    cdef int finish_table(self, uint32_t partition) except -1:
        cdef Output *output = &self.outputs[partition]
        cdef TableSummary summary
        cdef int status
        with nogil:
            status = table_writer_finish(output.writer, &summary)
        if status < 0:
            raise_status(status)
        table = summary_dict(&summary)
        table.update(number=output.number, partition=partition)
        self.tables.append(table)
        table_writer_free(output.writer)
        output.writer = NULL
        return 0

    def finish(self):
        """Ends and syncs the tables that are still open."""
        cdef uint32_t partition
        for partition in range(self.engine.partition_count):
            if self.outputs[partition].writer != NULL:
                self.finish_table(partition)

    def discard(self):
        """Removes all tables; one that cannot be removed is left for the next open to find."""
        cdef const char *path
        self.close()
        for name in self._paths:
            path = <bytes> name
            with nogil:
                fs_unlink(&self.engine.file_system.handle, path)
        self._paths.clear()

    def close(self):
        """Gives back memory; value files may go again. Closing twice is fine."""
        cdef uint32_t partition
        for partition in range(self.engine.partition_count):
            table_writer_free(self.outputs[partition].writer)
            self.outputs[partition].writer = NULL
        if self._is_writing:
            self._is_writing = False
            sub_u32(&self.engine.value_writers, 1)
