"""Flush and compaction: several sorted sources become new tables, without what nobody may read any more.

What must stay is told in retention.pyx: versions that a reader can still see.

Outputs are cut between keys, at `target_bytes`. A range tombstone that lies over the cut is cut too, just
after the last key before it, so that no two outputs overlap:

    tombstone        [-----------------------------------)
    outputs      a   b   c   f | g   h   m | p  q
    pieces           [---------)                          until f + zero byte, the next key possible
                               [-----------)
                                           [-------------)

The bounds of a table are inclusive and a tombstone's end is not, so an output that was cut after f has
the bound f. Where nothing is cut the bound is the tombstone's end itself, one key too far, which is why
whoever picks tables must take bounds that touch for an overlap. Compactions split in parts by `start` and
`stop` cut tombstones in the same manner, after the last key any source has before the bound: each part
finds that key by itself and so agrees with its neighbour.

One class, _Job, holds the state of a run; all of its work happens without the GIL except for naming an
output and writing down what became of it.
"""
cimport cython
import os

from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from .block cimport KIND_DELETE, KIND_POINTER
from .cursor cimport Cursor, RangeTombstone, compare_keys
from .files cimport FileSystem, FileSystemHandle, fs_sync_dir, fs_unlink
from .held cimport Held, hold, holds, key_after
from .memtable cimport MemtableHandle, memtable_cursor
from .merge cimport merge_cursor
from .platform cimport (load_ptr, load_u32, monotonic_ns, mutex_destroy, mutex_init, mutex_lock, mutex_unlock,
                        sleep_us, store_u32)
from .retention cimport Retention
from .status cimport CORRUPTION, FAILED, INVALID, NO_MEMORY, NO_OFFSET, fail, raise_status
from .table cimport Table, TableHandle
from .table_cursor cimport tables_cursor
from .table_writer cimport (TableOptions, TableSummary, TableWriter, summary_dict,
                            table_writer_add, table_writer_add_tombstone, table_writer_finish, table_writer_free,
                            table_writer_open, table_writer_size)
from .values cimport (VALUE_POINTER_BYTES, VALUE_RECORD_HEADER_BYTES, ValueLog, ValuePointer, value_log_append,
                      value_log_close, value_log_new, value_log_read, value_log_sync)
from .retention import joined_tombstones

cdef enum:
    READAHEAD_BYTES = 256 * 1024
    ENTRIES_PER_CANCEL_CHECK = 1024
    LIMITER_GRAIN_BYTES = 64 * 1024
    LIMITER_BURST_NS = 100 * 1000 * 1000     # an idle limiter saves up this much time
    LIMITER_SLEEP_US = 20 * 1000             # at a time, so that a cancel is seen
    CANCELLED = -1000                        # beside the numbers of Status


class CompactionCancelled(Exception):
    """The compaction was told to stop; it left nothing behind."""


# ---------------------------------------------------------------------------- what a run can be given

cdef int bucket_take(Bucket *bucket, uint64_t size, const uint32_t *cancelled) noexcept nogil:
    cdef uint64_t now, free_at, wait_us
    if bucket.bytes_per_second == 0:
        return 0
    mutex_lock(&bucket.mutex)
    now = monotonic_ns()
    if bucket.free_at_ns + LIMITER_BURST_NS < now:
        bucket.free_at_ns = now - LIMITER_BURST_NS
    bucket.free_at_ns += <uint64_t> (<double> size * 1e9 / <double> bucket.bytes_per_second)
    free_at = bucket.free_at_ns
    mutex_unlock(&bucket.mutex)
    while now < free_at:
        if cancelled != NULL and load_u32(cancelled):
            return 1
        wait_us = (free_at - now + 999) // 1000
        sleep_us(wait_us if wait_us < LIMITER_SLEEP_US else LIMITER_SLEEP_US)
        now = monotonic_ns()
    return 0


@cython.final
cdef class RateLimiter:
    """Limits the bytes a second that all compactions sharing it write; 0 is no limit."""

    def __cinit__(self, uint64_t bytes_per_second):
        mutex_init(&self.bucket.mutex)
        self.bucket.bytes_per_second = bytes_per_second
        self.bucket.free_at_ns = 0

    def __dealloc__(self):
        mutex_destroy(&self.bucket.mutex)

    @property
    def bytes_per_second(self):
        """The limit; 0 is none."""
        return self.bucket.bytes_per_second

    def take(self, uint64_t size):
        """Wait until `size` more bytes may be written."""
        with nogil:
            bucket_take(&self.bucket, size, NULL)


@cython.final
cdef class Cancel:
    """A flag that stops the compactions it was given to, from any thread."""

    def set(self):
        """Stop them."""
        store_u32(&self.flag, 1)

    def is_set(self):
        """Whether set() was called."""
        return load_u32(&self.flag) != 0


cdef uint64_t _count_up(void *context) noexcept nogil:
    cdef uint64_t *next_number = <uint64_t *> context            # values.pyx calls one at a time
    next_number[0] += 1
    return next_number[0] - 1


@cython.no_gc_clear                  # closing needs the file system
@cython.final
cdef class ValueLogHandle:
    """Lends a value log to write_tables, so that it can relocate values."""

    def __init__(self):
        raise TypeError("use ValueLogHandle.create")

    @staticmethod
    cdef ValueLogHandle wrap(ValueLog *values, object owner):
        cdef ValueLogHandle handle = ValueLogHandle.__new__(ValueLogHandle)
        handle.values = values
        handle._owner = owner
        return handle

    @staticmethod
    def create(FileSystem file_system not None, str directory not None, *, uint64_t first_number,
               uint64_t file_bytes=256 << 20):
        """A value log of its own in `directory`, apart from any database: for tools and tests."""
        cdef ValueLogHandle handle = ValueLogHandle.__new__(ValueLogHandle)
        cdef bytes encoded = os.fsencode(directory)
        handle._owner = file_system
        handle._next_number = first_number
        handle._owns_values = True
        handle.values = value_log_new(&file_system.handle, encoded, file_bytes, _count_up,
                                      &handle._next_number)
        if handle.values == NULL:
            raise MemoryError
        return handle

    def __dealloc__(self):
        if self._owns_values and self.values != NULL:
            value_log_close(self.values)


@cython.final
cdef class CompactionResult:
    """What a run made of its sources."""

    def __init__(self):
        self.tables = []
        self.garbage = {}


# ---------------------------------------------------------------------------- a run

cdef struct Garbage:
    uint64_t file_number
    uint64_t size

@cython.final
cdef class _Job:
    # constant once prepared
    cdef object next_number, name_format
    cdef str directory
    cdef list keep_alive             # Python objects whose bytes are borrowed below
    cdef FileSystemHandle *fs
    cdef TableOptions options
    cdef uint64_t target_bytes
    cdef bint forget_ts
    cdef Retention retention
    cdef uint64_t *relocate          # ascending
    cdef size_t relocate_count
    cdef const char *start
    cdef const char *stop
    cdef size_t start_size, stop_size
    cdef Table ***table_lists        # [source_count] arrays handed to cursors; NULL for memtables
    cdef size_t source_count
    cdef Cursor *source
    cdef const uint32_t *cancelled
    cdef Bucket *bucket
    cdef ValueLog *values

    # the current key
    cdef Held key
    cdef size_t versions_kept        # of it, written to the output
    cdef uint64_t *pending_deletes   # timestamps; written only when an older version stays
    cdef size_t pending_count, pending_capacity

    # the current output
    cdef TableWriter *writer         # NULL: none is open
    cdef const char *path
    cdef uint64_t number
    cdef uint64_t charged_bytes      # told to the rate limiter
    cdef Held last_key               # written last to any output
    cdef Held cut                    # tombstones before this are in earlier outputs; data NULL: nothing is cut

    # what came of it
    cdef object error                # a Python exception that stopped the run
    cdef list paths                  # of all outputs, finished or not
    cdef CompactionResult result
    cdef Garbage *garbage
    cdef size_t garbage_count, garbage_capacity, garbage_last
    cdef Held value                  # being relocated

    def __dealloc__(self):
        cdef size_t i
        table_writer_free_if(self.writer)
        if self.source != NULL:
            self.source.free(self.source)
        if self.table_lists != NULL:
            for i in range(self.source_count):
                free(self.table_lists[i])
        free(self.table_lists)
        free(self.relocate)
        free(self.pending_deletes)
        free(self.garbage)
        free(self.key.data)
        free(self.last_key.data)
        free(self.cut.data)
        free(self.value.data)

    # ------------------------------------------------------------------------ preparation, with the GIL

    cdef int set_relocate(self, object file_numbers) except -1:
        cdef list ascending = sorted(file_numbers)
        cdef size_t i
        self.relocate = <uint64_t *> _allocate(len(ascending) * sizeof(uint64_t))
        self.relocate_count = len(ascending)
        for i in range(self.relocate_count):
            self.relocate[i] = ascending[i]
        return 0

    cdef int set_bounds(self, bytes start, bytes stop) except -1:
        self.keep_alive.append((start, stop))
        if start is not None:
            self.start, self.start_size = <const char *> start, len(start)
        if stop is not None:
            self.stop, self.stop_size = <const char *> stop, len(stop)
        return 0

    cdef int set_sources(self, list sources) except -1:
        cdef Cursor **cursors
        cdef TableHandle table
        cdef size_t i, j
        self.source_count = len(sources)
        self.table_lists = <Table ***> _allocate(len(sources) * sizeof(Table **))
        for i in range(self.source_count):
            if isinstance(sources[i], list):
                self.table_lists[i] = <Table **> _allocate(len(sources[i]) * sizeof(Table *))
                for j in range(<size_t> len(sources[i])):
                    table = sources[i][j]
                    self.table_lists[i][j] = table.table
        cursors = <Cursor **> _allocate(len(sources) * sizeof(Cursor *))
        for i in range(self.source_count):
            if self.table_lists[i] != NULL:
                cursors[i] = tables_cursor(self.table_lists[i], len(sources[i]), 0, READAHEAD_BYTES)
            else:
                cursors[i] = memtable_cursor((<MemtableHandle> sources[i]).memtable)
        self.source = merge_cursor(cursors, self.source_count)
        free(cursors)
        if self.source == NULL:
            raise MemoryError
        return 0

    cdef bytes after_last_key(self, bytes bound):
        """The key after the last one that any source has before `bound`; None when there is none."""
        cdef const char *key = bound
        cdef size_t size = len(bound)
        cdef int moved
        with nogil:
            moved = self.source.seek_before(self.source, key, size)
        if moved < 0:
            raise_status(moved)
        return self.source.key[:self.source.key_size] + b"\0" if moved else None

    cdef int set_retention(self, list tombstones, list snapshots, uint64_t horizon, object deeper, bytes start,
                           bytes stop) except -1:
        cdef bytes low = None, high = None
        if tombstones and start is not None:
            low = self.after_last_key(start)
        if tombstones and stop is not None:
            high = self.after_last_key(stop) or b""          # no key at all: tombstones are the next part's
        self.retention = Retention(snapshots, horizon, deeper, joined_tombstones(tombstones, low, high))
        return 0

    # ------------------------------------------------------------------------ versions

    cdef int take_version(self) noexcept nogil:
        """Keeps or drops the version the source stands on."""
        cdef const Cursor *source = self.source
        cdef uint64_t ts = source.ts
        cdef int status
        cdef size_t i
        if self.result.entries_in == 0 or not holds(&self.key, source.key, source.key_size):
            if hold(&self.key, source.key, source.key_size) < 0:
                return NO_MEMORY
            self.versions_kept = 0
            self.pending_count = 0
            self.retention.begin_key(source.key, source.key_size)
        if not self.retention.needs_version(ts):
            return self.count_garbage(source.kind, source.value, source.value_size)
        if source.kind == KIND_DELETE and self.retention.bottommost and ts <= self.retention.horizon:
            return self.postpone_delete(ts)
        for i in range(self.pending_count):
            status = self.write(self.pending_deletes[i], KIND_DELETE, NULL, 0)
            if status < 0:
                return status
        self.pending_count = 0
        if self.forget_ts and self.versions_kept == 0 and self.retention.may_forget_ts(ts):
            ts = 0
        return self.write(ts, source.kind, source.value, source.value_size)

    cdef int postpone_delete(self, uint64_t ts) noexcept nogil:
        cdef uint64_t *grown
        cdef size_t capacity
        if self.pending_count == self.pending_capacity:
            capacity = self.pending_capacity * 2 + 16
            grown = <uint64_t *> realloc(self.pending_deletes, capacity * sizeof(uint64_t))
            if grown == NULL:
                return fail(NO_MEMORY, "no memory for the deletes of a key", NULL, NO_OFFSET)
            self.pending_deletes = grown
            self.pending_capacity = capacity
        self.pending_deletes[self.pending_count] = ts
        self.pending_count += 1
        return 0

    # ------------------------------------------------------------------------ values

    cdef int count_garbage(self, int kind, const char *value, size_t value_size) noexcept nogil:
        """A pointer was dropped: its record takes up the value file for nothing."""
        cdef ValuePointer pointer
        cdef Garbage *grown
        cdef size_t i, capacity
        if kind != KIND_POINTER:
            return 0
        if value_size != VALUE_POINTER_BYTES:
            return fail(CORRUPTION, "a value pointer has the wrong size", NULL, NO_OFFSET)
        memcpy(&pointer, value, VALUE_POINTER_BYTES)
        i = self.garbage_last        # most often the same file as before
        if i == self.garbage_count or self.garbage[i].file_number != pointer.file_number:
            i = 0
            while i < self.garbage_count and self.garbage[i].file_number != pointer.file_number:
                i += 1
        if i == self.garbage_capacity:
            capacity = self.garbage_capacity * 2 + 16
            grown = <Garbage *> realloc(self.garbage, capacity * sizeof(Garbage))
            if grown == NULL:
                return fail(NO_MEMORY, "no memory to count garbage", NULL, NO_OFFSET)
            self.garbage = grown
            self.garbage_capacity = capacity
        if i == self.garbage_count:
            self.garbage[i].file_number = pointer.file_number
            self.garbage[i].size = 0
            self.garbage_count += 1
        self.garbage[i].size += VALUE_RECORD_HEADER_BYTES + pointer.key_size + pointer.value_size
        self.garbage_last = i
        return 0

    cdef bint is_relocated(self, uint64_t file_number) noexcept nogil:
        cdef size_t low = 0, high = self.relocate_count, middle
        while low < high:
            middle = (low + high) // 2
            if self.relocate[middle] < file_number:
                low = middle + 1
            else:
                high = middle
        return low < self.relocate_count and self.relocate[low] == file_number

    cdef int relocate_value(self, const char *value, size_t value_size, ValuePointer *moved) noexcept nogil:
        """1: the value was in a file to be emptied; it was appended anew, and `moved` points there. 0: it stays."""
        cdef ValuePointer pointer
        cdef char *grown
        cdef int status
        if value_size != VALUE_POINTER_BYTES:
            return fail(CORRUPTION, "a value pointer has the wrong size", NULL, NO_OFFSET)
        memcpy(&pointer, value, VALUE_POINTER_BYTES)
        if not self.is_relocated(pointer.file_number):
            return 0
        if pointer.value_size > self.value.capacity:
            grown = <char *> realloc(self.value.data, pointer.value_size)
            if grown == NULL:
                return fail(NO_MEMORY, "no memory for a large value", NULL, NO_OFFSET)
            self.value.data = grown
            self.value.capacity = pointer.value_size
        status = value_log_read(self.values, &pointer, self.value.data)
        if status == 0:
            status = value_log_append(self.values, self.key.data, self.key.size, self.value.data,
                                      pointer.value_size, moved)
        if status == 0:
            status = self.count_garbage(KIND_POINTER, value, value_size)
        if status < 0:
            return status
        self.result.relocated_bytes += pointer.value_size
        return 1

    # ------------------------------------------------------------------------ outputs

    cdef int write(self, uint64_t ts, int kind, const char *value, size_t value_size) noexcept nogil:
        """Writes a version of the current key; before the first one, an output that is full is ended."""
        cdef ValuePointer moved
        cdef int status = 0
        if self.versions_kept == 0:
            if self.writer != NULL and table_writer_size(self.writer) >= self.target_bytes:
                status = self.finish_output(False)
            if status == 0 and self.writer == NULL:
                status = self.open_output()
            if status == 0:
                status = hold(&self.last_key, self.key.data, self.key.size)
            if status < 0:
                return status
        if kind == KIND_POINTER and self.relocate_count:
            status = self.relocate_value(value, value_size, &moved)
            if status < 0:
                return status
            if status == 1:
                value = <const char *> &moved
        status = table_writer_add(self.writer, self.key.data, self.key.size, ts, kind, value, value_size)
        if status < 0:
            return status
        self.versions_kept += 1
        self.result.entries_out += 1
        if self.bucket != NULL:
            return self.throttle(table_writer_size(self.writer), LIMITER_GRAIN_BYTES)
        return 0

    cdef int throttle(self, uint64_t written_bytes, uint64_t grain_bytes) noexcept nogil:
        cdef uint64_t size
        if (self.bucket == NULL or written_bytes < self.charged_bytes + grain_bytes
                or written_bytes == UINT64_MAX):         # the writer says "finish me", not a size
            return 0
        size = written_bytes - self.charged_bytes
        self.charged_bytes = written_bytes
        return CANCELLED if bucket_take(self.bucket, size, self.cancelled) else 0

    cdef int open_output(self) noexcept nogil:
        if self.name_output() < 0:
            return FAILED
        self.charged_bytes = 0
        return table_writer_open(self.fs, self.path, &self.options, &self.writer)

    cdef int name_output(self) noexcept with gil:
        cdef bytes path
        try:
            self.number = self.next_number()
            path = os.fsencode(os.path.join(self.directory, self.name_format % self.number))
            self.paths.append(path)
            self.path = path
        except BaseException as error:
            self.error = error
            return -1
        return 0

    cdef bint clip(self, const RangeTombstone *tombstone, bint last, RangeTombstone *piece) noexcept nogil:
        """The part of the tombstone that belongs to the current output, if there is any."""
        piece[0] = tombstone[0]
        if self.cut.data != NULL and compare_keys(piece.start, piece.start_size, self.cut.data, self.cut.size) < 0:
            piece.start = self.cut.data
            piece.start_size = <uint32_t> self.cut.size
        if not last and compare_keys(piece.stop, piece.stop_size, key_after(&self.last_key),
                                     self.last_key.size + 1) > 0:
            piece.stop = <char *> key_after(&self.last_key)
            piece.stop_size = <uint32_t> self.last_key.size + 1
        return compare_keys(piece.start, piece.start_size, piece.stop, piece.stop_size) < 0

    cdef int finish_output(self, bint last) noexcept nogil:
        """Gives the output its tombstones and ends it. `last`: all tombstones to come go in here."""
        cdef RangeTombstone piece
        cdef TableSummary summary
        cdef const char *largest = NULL
        cdef size_t i, size, largest_size = 0
        cdef int status = 0
        if self.writer != NULL:
            largest, largest_size = self.last_key.data, self.last_key.size
        for i in range(self.retention.tombstone_count):
            if (not self.clip(&self.retention.tombstones[i], last, &piece)
                    or not self.retention.needs_tombstone(&piece)):
                continue
            if self.writer == NULL:
                status = self.open_output()
            if status == 0:
                status = table_writer_add_tombstone(self.writer, &piece)
            if status < 0:
                return status
            size = piece.stop_size - 1 if piece.stop[piece.stop_size - 1] == 0 else piece.stop_size
            if largest == NULL or compare_keys(piece.stop, size, largest, largest_size) > 0:
                largest, largest_size = piece.stop, size
        if self.writer == NULL:
            return 0
        status = table_writer_finish(self.writer, &summary)
        if status == 0:
            status = self.throttle(summary.file_size, 1)
        if status == 0:
            status = self.record(&summary, largest, largest_size)
        table_writer_free(self.writer)
        self.writer = NULL
        if status == 0 and not last:
            status = hold(&self.cut, key_after(&self.last_key), self.last_key.size + 1)
        return status

    cdef int record(self, const TableSummary *summary, const char *largest, size_t largest_size) noexcept with gil:
        try:
            self.result.bytes_written += summary.file_size
            table = summary_dict(summary)
            table.update(number=self.number, path=os.fsdecode(self.path), largest=largest[:largest_size])
            self.result.tables.append(table)
        except BaseException as error:
            self.error = error
            return FAILED
        return 0

    cdef int run(self) noexcept nogil:
        cdef Cursor *source = self.source
        cdef int status = 0, moved
        if self.start != NULL:
            moved = source.seek(source, self.start, self.start_size)
        else:
            moved = source.seek_first(source)
        while moved == 1:
            if self.stop != NULL and compare_keys(source.key, source.key_size, self.stop, self.stop_size) >= 0:
                break
            status = self.take_version()
            if status < 0:
                return status
            self.result.entries_in += 1
            if (self.result.entries_in % ENTRIES_PER_CANCEL_CHECK == 0 and self.cancelled != NULL
                    and load_u32(self.cancelled)):
                return CANCELLED
            moved = source.next(source)
        if moved < 0:
            return moved
        status = self.finish_output(True)
        if status == 0 and self.result.relocated_bytes:
            status = value_log_sync(self.values)     # the tables point there
        return status

    cdef int discard(self) except -1:
        """Removes every output; a file that cannot be removed is left for the next open to find."""
        cdef const char *path
        table_writer_free_if(self.writer)
        self.writer = NULL
        for name in self.paths:
            path = <bytes> name
            with nogil:
                fs_unlink(self.fs, path)
        return 0


cdef inline void table_writer_free_if(TableWriter *writer) noexcept nogil:
    if writer != NULL:
        table_writer_free(writer)


cdef void *_allocate(size_t size) except NULL:
    cdef void *memory = calloc(1, size + 1)
    if memory == NULL:
        raise MemoryError
    return memory


cdef list _copy_tombstones(const RangeTombstone *tombstones, uint32_t count):
    cdef uint32_t i
    return [(tombstones[i].start[:tombstones[i].start_size], tombstones[i].stop[:tombstones[i].stop_size],
             tombstones[i].ts) for i in range(count)]


def _source_tombstones(source):
    """All range tombstones of a source, as (start, stop, ts); TypeError when it is not a source."""
    cdef MemtableHandle memtable
    cdef TableHandle table
    if isinstance(source, MemtableHandle):
        memtable = source
        return _copy_tombstones(<RangeTombstone *> load_ptr(<void **> &memtable.memtable.tombstones),
                                load_u32(&memtable.memtable.tombstone_count))
    if not isinstance(source, list):
        raise TypeError(f"a source is a MemtableHandle or a list of TableHandle, not {type(source).__name__}")
    found = []
    for table in source:
        found += _copy_tombstones(table.table.tombstones, table.table.tombstone_count)
    return found


def write_tables(FileSystem file_system not None, str directory not None, list sources not None, *, next_number,
                 str name_format="%012d.table", size_t block_bytes=4096, bint compress=True, uint64_t target_bytes,
                 list snapshots not None, uint64_t horizon, object deeper=(), bytes start=None, bytes stop=None,
                 Cancel cancel=None, RateLimiter limiter=None, object relocate=frozenset(),
                 ValueLogHandle values=None, bint forget_ts=True):
    """Merge `sources` into new tables in `directory`; they are synced, and so is the directory.

    sources: newest first; each a MemtableHandle or a list of TableHandle with ascending, disjoint ranges.
    next_number: called with no argument for the number of each output.
    snapshots, horizon: who still reads; see the module's text. Both are commit timestamps.
    deeper: (smallest, largest) of all tables in levels below the one the outputs go to.
    start, stop: only keys in [start, stop), for one of several parts that together make up the whole.
    relocate: numbers of value files whose values go to the current value file of `values`.
    forget_ts: timestamps may become 0 (retention.pyx). Not where range tombstones are known that are not among the
        sources: a key's timestamp tells that it is newer.

    Raises CompactionCancelled after `cancel.set()`. When anything is raised, no output is left.
    """
    cdef uint64_t started_ns = monotonic_ns()
    cdef _Job job = _Job()
    cdef CompactionResult result = CompactionResult()
    cdef bytes encoded_directory = os.fsencode(directory)
    cdef const char *directory_path = encoded_directory
    cdef list tombstones = []
    cdef int status
    cdef size_t i
    if relocate and values is None:
        raise_status(fail(INVALID, "relocating values needs their value log", NULL, NO_OFFSET))
    job.next_number, job.name_format, job.directory = next_number, name_format, directory
    job.keep_alive = [sources, file_system]
    job.paths = []
    job.result = result
    job.fs = &file_system.handle
    job.options.block_bytes = block_bytes
    job.options.compress = compress
    job.target_bytes = target_bytes
    job.forget_ts = forget_ts
    job.cancelled = NULL if cancel is None else &cancel.flag
    job.bucket = NULL if limiter is None else &limiter.bucket
    job.values = NULL if values is None else values.values
    job.set_relocate(relocate)
    job.set_bounds(start, stop)
    for source in sources:
        tombstones += _source_tombstones(source)
    job.set_sources([source for source in sources if source != []])
    job.set_retention(tombstones, snapshots, horizon, deeper, start, stop)
    try:
        with nogil:
            status = job.run()
            if status == 0 and result.bytes_written:
                status = fs_sync_dir(job.fs, directory_path)
        if job.error is not None:
            raise job.error
        if status == CANCELLED:
            raise CompactionCancelled
        if status < 0:
            raise_status(status)
    except BaseException:
        job.discard()
        raise
    result.garbage = {job.garbage[i].file_number: job.garbage[i].size for i in range(job.garbage_count)}
    result.seconds = (monotonic_ns() - started_ns) / 1e9
    return result
