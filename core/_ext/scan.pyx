"""Scans: rows of a range in key order, gathered without the GIL.

    view, pinned --> a cursor for each source --> merge --> read cursor --> buffer of rows --> (key, value)

A bufferful at a time: few rows at first, for scans of a handful, then more and more. What a scan sees is what
its view and its timestamp say; both are taken when it begins.
"""
cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from .block cimport KIND_POINTER
from .cursor cimport Cursor, RangeTombstone
from .engine cimport Engine
from .guard cimport guard_enter, guard_exit
from .keys cimport Key, MAX_VALUE_BYTES, PREFIX_BYTES, bound_build, key_free
from .merge cimport ReadCursor, merge_cursor, read_cursor_free, read_cursor_new, read_cursor_next
from .platform cimport load_ptr, load_u64
from .status cimport CORRUPTION, NO_MEMORY, NO_OFFSET, fail, raise_status
from .values cimport ValuePointer, value_log_read
from .view cimport View, view_release, view_retain, view_source_limit, view_sources, view_tombstones

cdef enum:
    SCAN_FIRST_ROWS = 24
    SCAN_MOST_ROWS = 512
    SCAN_BUFFER_BYTES = 262144       # a refill stops when it holds this much
    SCAN_CACHED_BLOCKS = 64          # blocks a scan may add to the cache
    SCAN_READAHEAD_BYTES = 131072


@cython.no_gc_clear                  # its end needs the engine, also inside a dying cycle
cdef class Scan:
    """Iterator of (key, value) in key order; made by `scan()`. It sees the rows of the moment it began."""

    def __init__(self):
        raise TypeError("a Scan is made by scan()")

    def __dealloc__(self):
        self.release()
        free(self.buffer)
        free(self.rows)

    cdef void release(self) noexcept:
        read_cursor_free(self.cursor)
        self.cursor = NULL
        if self.view != NULL:
            view_release(self.view)
            self.view = NULL
        free(self.tombstones)
        self.tombstones = NULL

    def close(self):
        """Gives back what the scan holds; it is at its end then."""
        if self.is_filling:
            raise ValueError("the scan is being read by another thread")
        self.state = 1
        self.row_next = self.row_count
        self.release()

    def __iter__(self):
        return self

    def __next__(self):
        if self.is_filling:                                 # rows and buffer move under its hands
            raise ValueError("the scan is being read by another thread")
        if self.row_next == self.row_count:
            if self.state or self.refill() == 0:
                raise StopIteration
        return self.take_row()

    cdef object take_row(self):
        """The next gathered row as a (key, value) tuple."""
        cdef Row *row
        cdef object pair, key, value
        row = &self.rows[self.row_next]
        self.row_next += 1
        key = PyBytes_FromStringAndSize(self.buffer + row.key_offset, row.key_size)
        value = PyBytes_FromStringAndSize(self.buffer + row.value_offset, row.value_size)
        pair = PyTuple_New(2)
        Py_INCREF(key)
        PyTuple_SET_ITEM(pair, 0, key)
        Py_INCREF(value)
        PyTuple_SET_ITEM(pair, 1, value)
        return pair

    cdef int append_row(self) noexcept nogil:
        """Copies the cursor's row behind the others; 0, or a status."""
        cdef ReadCursor *cursor = self.cursor
        cdef Row *row = &self.rows[self.row_count]
        cdef ValuePointer pointer
        cdef size_t value_size = cursor.value_size, capacity
        cdef char *grown
        if cursor.kind == KIND_POINTER:
            if cursor.value_size != sizeof(ValuePointer):
                return fail(CORRUPTION, "a value pointer has a wrong size", NULL, <uint64_t> NO_OFFSET)
            memcpy(&pointer, cursor.value, sizeof(ValuePointer))
            value_size = pointer.value_size
            if value_size > MAX_VALUE_BYTES:
                return fail(CORRUPTION, "a value pointer names an impossible size", NULL, <uint64_t> NO_OFFSET)
        if self.buffer_size + cursor.key_size + value_size > self.buffer_capacity:
            capacity = (self.buffer_size + cursor.key_size + value_size) * 2 + 4096
            grown = <char *> realloc(self.buffer, capacity)
            if grown == NULL:
                return fail(NO_MEMORY, "scan", NULL, <uint64_t> NO_OFFSET)
            self.buffer, self.buffer_capacity = grown, capacity
        row.key_size = cursor.key_size - PREFIX_BYTES
        row.key_offset = self.buffer_size
        memcpy(self.buffer + self.buffer_size, cursor.key + PREFIX_BYTES, row.key_size)
        self.buffer_size += row.key_size
        row.value_size = <uint32_t> value_size
        row.value_offset = self.buffer_size
        self.buffer_size += value_size
        self.row_count += 1
        if cursor.kind == KIND_POINTER:
            return value_log_read(self.engine.values, &pointer, self.buffer + row.value_offset)
        memcpy(self.buffer + row.value_offset, cursor.value, value_size)
        return 0

    cdef int fill(self) noexcept nogil:
        """Rows until the goal or the buffer's size is reached; inside the guard, without the GIL."""
        cdef int moved
        cdef int status = self.engine.check_usable()
        if status < 0:
            return status
        while self.row_count < self.row_goal and self.buffer_size < SCAN_BUFFER_BYTES:
            if self.remaining == 0:
                self.state = 1
                return 0
            moved = read_cursor_next(self.cursor)
            if moved <= 0:
                self.state = 1
                return moved
            status = self.append_row()
            if status < 0:
                return status
            self.remaining -= 1
        return 0

    cdef int gather(self) noexcept nogil:
        """The next rows instead of those that are there: how many, or a status. `is_filling` keeps others away."""
        cdef uint32_t token
        cdef int status
        cdef Row *grown
        self.row_count = self.row_next = 0
        self.buffer_size = 0
        grown = <Row *> realloc(self.rows, self.row_goal * sizeof(Row))
        if grown == NULL:
            return fail(NO_MEMORY, "scan", NULL, <uint64_t> NO_OFFSET)
        self.rows = grown
        token = guard_enter(self.engine.guard)
        status = self.fill()
        guard_exit(self.engine.guard, token)
        if self.row_goal < SCAN_MOST_ROWS:
            self.row_goal *= 2
        if status < 0:
            self.row_count = 0
            self.state = 1
            return status
        return self.row_count

    cdef int refill(self) except -1:
        """Returns how many rows are there now."""
        cdef int status
        if self.is_filling:
            raise ValueError("the scan is being read by another thread")
        if self.owner is not None:
            self.owner.check_open()
        self.is_filling = True
        with nogil:
            status = self.gather()
        self.is_filling = False
        if status < 0:
            raise_status(status)
        if status == 0:
            self.release()
        return status


cdef int pin_view(Engine engine, Scan scan, uint64_t *snapshot) noexcept nogil:
    cdef uint32_t token = guard_enter(engine.guard)
    cdef int status = engine.check_usable()
    cdef bint is_pinned = snapshot[0] != 0
    cdef View *view
    cdef View *newer
    if status == 0:
        newer = <View *> load_ptr(<void **> &engine.view)
        view = NULL
        while view != newer:                                # else an ingest up to that time may not be in the view
            view = newer
            if not is_pinned:
                snapshot[0] = load_u64(&engine.visible_ts)  # after the view: see engine.pyx
            newer = <View *> load_ptr(<void **> &engine.view)
        scan.view = view_retain(view)
    guard_exit(engine.guard, token)
    return status


cdef int scan_sources(Scan scan, Cursor *extra, const RangeTombstone *hidden, size_t hidden_count, Key *start,
                      Key *stop, bint reverse, uint64_t snapshot, bint small) noexcept nogil:
    """Builds the cursor stack of a scan; takes over `extra` whatever happens."""
    cdef size_t limit = view_source_limit(scan.view) + 1
    cdef Cursor **sources = <Cursor **> malloc(limit * sizeof(Cursor *))
    cdef Cursor *merged
    cdef RangeTombstone *grown
    cdef size_t tombstone_count = 0
    cdef int count = 0, at = 0
    if sources == NULL:
        if extra != NULL:
            extra.free(extra)
        return fail(NO_MEMORY, "scan", NULL, <uint64_t> NO_OFFSET)
    if extra != NULL:
        sources[0] = extra
        at = 1
    count = view_sources(scan.view, start.data, start.size, stop.data, stop.size, SCAN_CACHED_BLOCKS,
                         0 if small else SCAN_READAHEAD_BYTES, sources + at)
    if count >= 0 and view_tombstones(scan.view, &scan.tombstones, &tombstone_count) < 0:
        count = NO_MEMORY
    if count >= 0 and hidden_count:
        grown = <RangeTombstone *> realloc(scan.tombstones, (tombstone_count + hidden_count) * sizeof(RangeTombstone))
        if grown == NULL:
            count = NO_MEMORY
        else:
            memcpy(&grown[tombstone_count], hidden, hidden_count * sizeof(RangeTombstone))
            scan.tombstones = grown
            tombstone_count += hidden_count
    if count < 0:
        if extra != NULL:
            extra.free(extra)
        free(sources)
        return count
    merged = merge_cursor(sources, count + at)
    free(sources)
    if merged == NULL:
        return fail(NO_MEMORY, "scan", NULL, <uint64_t> NO_OFFSET)
    scan.cursor = read_cursor_new(merged, snapshot, scan.tombstones, tombstone_count, start.data, start.size,
                                  stop.data, stop.size, reverse)
    if scan.cursor == NULL:
        return fail(NO_MEMORY, "scan", NULL, <uint64_t> NO_OFFSET)
    return 0


cdef Scan open_scan(Engine engine, uint8_t prefix, object start, object stop, bint reverse, object limit,
                    uint64_t snapshot, Cursor *extra, const RangeTombstone *hidden, size_t hidden_count):
    cdef Scan scan = Scan.__new__(Scan)
    cdef Key low, high
    cdef int status
    low.data = low.storage
    high.data = high.storage
    scan.engine = engine
    scan.remaining = <uint64_t> -1
    if limit is not None:
        if limit < 0:
            raise ValueError("limit must not be negative")
        scan.remaining = limit
    scan.row_goal = SCAN_FIRST_ROWS
    if limit is not None and limit < SCAN_MOST_ROWS:
        scan.row_goal = limit if limit else 1
    try:
        bound_build(&low, prefix, start, False)
        bound_build(&high, prefix, stop, True)
        status = pin_view(engine, scan, &snapshot)
        if status == 0:
            status = scan_sources(scan, extra, hidden, hidden_count, &low, &high, reverse, snapshot,
                                  limit is not None and limit <= 1000)
            extra = NULL
    finally:
        if extra != NULL:
            extra.free(extra)
        key_free(&low)
        key_free(&high)
    if status < 0:
        raise_status(status)
    return scan
