"""Transactions: optimistic, validated at commit.

    begin      snapshot s = newest visible timestamp
    read       own write if there is one, else the committed version at s; the key or the range read is remembered
    write      kept aside (write_set)
    commit     under the commit lock, timestamp c: nothing that was read has a version in (s, c] -> log, memtable

So a committed transaction could have run alone at c: what it read is what it would have read there
(Kung and Robinson, "On optimistic methods for concurrency control", 1981, backward validation). Ranges
are remembered as far as they were read, gaps included, so phantoms are conflicts too. With isolation
"snapshot" only the keys it writes are validated (first committer wins) and write skew is possible.

A transaction that only read needs no validation: it is serial at s.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from .block cimport KIND_DELETE, KIND_RANGE_DELETE
from .cursor cimport Cursor, Found, RangeTombstone
from .engine cimport DURABILITY_COMMIT, Engine, Validation
from .hashing cimport key_hash, slot_of_hash
from .keys cimport Key, PREFIX_BYTES, key_build, key_free
from .keyspace cimport Payload, load_value, payload_add, read_key
from .own_rows cimport own_rows_cursor
from .batch cimport Operation, operation_get
from .platform cimport add_u32, sub_u32
from .read_set cimport (read_set_add_key, read_set_begin_range, read_set_extend_range, read_set_free,
                        read_set_lower_range, read_set_new)
from .scan cimport Scan, open_scan
from .status cimport raise_status
from .write_set cimport (write_set_add, write_set_count, write_set_free, write_set_get, write_set_mark, write_set_new,
                         write_set_payload, write_set_rollback, write_set_tombstones)

cdef enum:
    MAX_READ_KEYS = 1 << 20          # core/limits.py has the same
    MAX_READ_BYTES = 256 << 20

cdef object _closed_error = None     # core/transactions.py sets the class for a transaction that has ended


def set_closed_error(error_class):
    """The exception class raised when a transaction is used after its end."""
    global _closed_error
    _closed_error = error_class


@cython.no_gc_clear                  # its end needs the engine, also inside a dying cycle
cdef class TransactionCore:
    """The engine's half of a transaction; core/transactions.py has what programs see."""

    def __cinit__(self, Engine engine not None, bint serializable, uint64_t as_of, size_t limit_bytes):
        cdef int status = engine.check_usable()
        self.engine = engine
        self.state = TRANSACTION_ROLLED_BACK
        if status == 0:
            with nogil:
                status = engine.open_snapshot(as_of, &self.snapshot_ts)
        if status < 0:
            raise_status(status)
        self.state = TRANSACTION_OPEN
        self.has_read = as_of != 0
        self.writes = write_set_new(limit_bytes)
        self.tracks_reads = serializable
        self.reads = read_set_new(MAX_READ_BYTES, MAX_READ_KEYS)
        if self.writes == NULL or self.reads == NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.engine is not None and self.state == TRANSACTION_OPEN and self.snapshot_ts:
            self.finish(TRANSACTION_ROLLED_BACK)
        write_set_free(self.writes)
        read_set_free(self.reads)

    cdef int require_open(self) except -1:
        cdef int status = self.engine.check_usable()
        if status < 0:
            return raise_status(status)
        if self.state != TRANSACTION_OPEN:
            raise _closed_error()
        return 0

    def check_open(self):
        """Raises when the transaction has ended (scans ask)."""
        self.require_open()

    cdef int remember_key(self, Key *key, uint64_t hash_value, uint32_t slot) except -1:
        cdef int status
        self.has_read = True
        status = read_set_add_key(self.reads, key.data, key.size, hash_value, slot)
        if status < 0:
            return raise_status(status)
        return 0

    cdef int add_write(self, uint8_t prefix, object key, object value) except -1:
        """Large values go to the value log at once; their pointers wait here."""
        cdef Payload encoded
        cdef Operation operation
        cdef int status
        self.require_open()
        memset(&encoded, 0, sizeof(Payload))
        if not self.counted_values:
            add_u32(&self.engine.value_writers, 1)
            self.counted_values = True
        try:
            payload_add(self.engine, &encoded, prefix, key, value)
            operation_get(encoded.data, encoded.data + encoded.size, &operation)
            status = write_set_add(self.writes, operation.kind, operation.slot, operation.key, operation.key_size,
                                   operation.value, operation.value_size)
        finally:
            free(encoded.data)
        if status < 0:
            return raise_status(status)
        return 0

    cdef int finish(self, int state) except -1:
        self.state = state
        self.engine.close_snapshot(self.snapshot_ts)
        if self.counted_values:
            sub_u32(&self.engine.value_writers, 1)
            self.counted_values = False
        return 0

    def refresh(self):
        """Moves the snapshot to now, if nothing has been read yet; whether it moved."""
        cdef uint64_t newer
        cdef int status
        self.require_open()
        if self.has_read:
            return False
        status = self.engine.open_snapshot(0, &newer)
        if status < 0:
            raise_status(status)
        self.engine.close_snapshot(self.snapshot_ts)
        self.snapshot_ts = newer
        return True

    def commit(self):
        """Validates and applies the writes; returns the commit timestamp (of the snapshot, when nothing was
        written). RetryableConflict: rolled back, run it again."""
        cdef Validation validation
        cdef const char *data
        cdef size_t size
        cdef uint64_t end_lsn = 0
        cdef int status
        self.require_open()
        if write_set_count(self.writes) == 0:
            self.committed_ts = self.snapshot_ts
            self.finish(TRANSACTION_COMMITTED)
            return self.committed_ts
        validation.since = self.snapshot_ts
        validation.reads = self.reads
        validation.written_keys = not self.tracks_reads
        write_set_payload(self.writes, &data, &size)
        with nogil:
            self.engine.pay_delay()
            status = self.engine.commit(data, size, &validation, True, &self.committed_ts, &end_lsn)
            if status == 0 and self.engine.durability == DURABILITY_COMMIT:
                status = self.engine.finish_commit(self.committed_ts, end_lsn)
        self.finish(TRANSACTION_COMMITTED if status == 0 else TRANSACTION_ROLLED_BACK)
        if status < 0:
            raise_status(status)
        return self.committed_ts

    def rollback(self):
        """Ends the transaction without effect; ending it twice is fine."""
        if self.state == TRANSACTION_OPEN:
            self.finish(TRANSACTION_ROLLED_BACK)

    def mark(self):
        """A place in the writes to go back to."""
        self.require_open()
        return write_set_mark(self.writes)

    def rollback_to(self, uint64_t mark):
        """Forgets the writes made since `mark`; what was read stays read. It needs no database: this is how errors
        pass by, and they must not be replaced by another one."""
        cdef int status
        if self.state != TRANSACTION_OPEN:
            raise _closed_error()
        status = write_set_rollback(self.writes, mark)
        if status < 0:
            raise_status(status)

    @property
    def is_open(self):
        return self.state == TRANSACTION_OPEN

    @property
    def snapshot_timestamp(self):
        """What it reads: the database as of this commit timestamp."""
        return self.snapshot_ts

    @property
    def commit_timestamp(self):
        """The timestamp of its commit, or None."""
        return self.committed_ts if self.state == TRANSACTION_COMMITTED else None

    @property
    def write_count(self):
        return write_set_count(self.writes)


cdef class TransactionKeySpace:
    """A keyspace inside a transaction: reads see the snapshot and the transaction's own writes."""

    def __init__(self, TransactionCore core not None, uint8_t prefix):
        self.core, self.prefix = core, prefix

    def get(self, key):
        """The value of `key`, or None."""
        return self.read(key, self.core.tracks_reads)

    def get_validated(self, key):
        """get() whose answer must still be the same at commit, whatever the isolation."""
        return self.read(key, True)

    cdef object read(self, object key, bint is_validated):
        cdef Key built
        cdef Found found
        cdef uint64_t hash_value
        cdef int status
        self.core.require_open()
        key_build(&built, self.prefix, key)
        try:
            hash_value = key_hash(built.data, built.size)
            status = write_set_get(self.core.writes, built.data, built.size, hash_value, &found)
            if status < 0:
                raise_status(status)
            if status == 1:
                return None if found.kind == KIND_DELETE else load_value(self.core.engine, found.kind, found.value,
                                                                         found.value_size)
            self.core.has_read = True
            if is_validated:
                self.core.remember_key(&built, hash_value,
                                       slot_of_hash(key_hash(built.data + PREFIX_BYTES, built.size - PREFIX_BYTES)))
            return read_key(self.core.engine, self.prefix, key, self.core.snapshot_ts)
        finally:
            key_free(&built)

    def __contains__(self, key):
        return self.get(key) is not None

    def multi_get(self, keys):
        """The values of `keys` in their order, None for a missing one."""
        return [self.get(key) for key in keys]

    def put(self, key, value):
        """Sets `key` to `value` when the transaction commits."""
        if value is None:
            raise TypeError("a value must be bytes or a buffer, not NoneType (delete() removes a key)")
        self.core.add_write(self.prefix, key, value)

    def delete(self, key):
        """Removes `key` when the transaction commits."""
        self.core.add_write(self.prefix, key, None)

    def write(self, pairs):
        """put() for each pair, delete() where the value is None."""
        for key, value in (pairs.items() if hasattr(pairs, "items") else pairs):
            self.core.add_write(self.prefix, key, value)

    cdef int cover_own_writes(self, Key *low, Key *high) except -1:
        """All writes of a transaction get one timestamp, and a range tombstone hides older ones only: own writes
        inside the range are deleted one by one."""
        cdef Cursor *own
        cdef int status = own_rows_cursor(self.core.writes, low.data, low.size, high.data, high.size, 0, &own)
        cdef int moved
        if status < 0:
            return raise_status(status)
        if own == NULL:
            return 0
        moved = own.seek_first(own)
        while moved == 1 and status == 0:
            if own.kind != KIND_DELETE:
                status = write_set_add(self.core.writes, KIND_DELETE,
                                       slot_of_hash(key_hash(own.key + PREFIX_BYTES, own.key_size - PREFIX_BYTES)),
                                       own.key, own.key_size, NULL, 0)
            moved = own.next(own)
        own.free(own)
        if status < 0:
            return raise_status(status)
        return 0

    def delete_range(self, start=None, stop=None):
        """Removes all keys with start <= key < stop when the transaction commits; None is an open end."""
        cdef Key low, high
        cdef int status
        self.core.require_open()
        low.data = low.storage
        high.data = high.storage
        try:
            bound(&low, self.prefix, start, False)
            bound(&high, self.prefix, stop, True)
            self.cover_own_writes(&low, &high)
            status = write_set_add(self.core.writes, KIND_RANGE_DELETE, 0, low.data, low.size, high.data, high.size)
        finally:
            key_free(&low)
            key_free(&high)
        if status < 0:
            raise_status(status)

    def scan(self, start=None, stop=None, reverse=False, limit=None):
        """Iterator of (key, value) with start <= key < stop in key order (or backwards), own writes included. It
        sees the writes made before it began."""
        cdef TransactionCore core = self.core
        cdef TransactionScan result = TransactionScan.__new__(TransactionScan)
        cdef Cursor *own = NULL
        cdef Cursor *taken
        cdef const RangeTombstone *tombstones = NULL
        cdef RangeTombstone *hidden = NULL
        cdef size_t tombstone_count = 0
        cdef Key low, high
        cdef Scan scan
        cdef int status
        core.require_open()
        core.has_read = True
        low.data = low.storage
        high.data = high.storage
        try:
            bound(&low, self.prefix, start, False)
            bound(&high, self.prefix, stop, True)
            status = own_rows_cursor(core.writes, low.data, low.size, high.data, high.size, core.snapshot_ts + 1, &own)
            if status == 0 and write_set_count(core.writes):
                status = write_set_tombstones(core.writes, &tombstones, &tombstone_count)
            if status < 0:
                raise_status(status)
            if tombstone_count:
                hidden = copy_tombstones(tombstones, tombstone_count, core.snapshot_ts + 1, result)
            taken, own = own, NULL                          # open_scan owns it from here on, even when it raises
            scan = open_scan(core.engine, self.prefix, start, stop, reverse, limit, core.snapshot_ts + 1, taken, hidden,
                             tombstone_count)
            scan.owner = core
            result.core, result.scan, result.prefix, result.is_reverse = core, scan, self.prefix, reverse
            if core.tracks_reads:
                # an empty range at the end where the scan begins; it grows with each row given out
                result.is_tracked = True
                if reverse:
                    status = read_set_begin_range(core.reads, high.data, high.size, high.data, high.size,
                                                  &result.range_index)
                else:
                    status = read_set_begin_range(core.reads, low.data, low.size, low.data, low.size,
                                                  &result.range_index)
                if status < 0:
                    raise_status(status)
                result.far_bound = low.data[:low.size] if reverse else high.data[:high.size]
        finally:
            if own != NULL:
                own.free(own)
            key_free(&low)
            key_free(&high)
        return result

    def cover(self, start=None, stop=None, bint always=False):
        """Counts start <= key < stop as read, for one who knows its rows already: at isolation "serializable", or, with
        `always`, at any."""
        cdef Key low, high
        cdef size_t range_index
        cdef int status = 0
        self.core.require_open()
        self.core.has_read = True
        low.data = low.storage
        high.data = high.storage
        try:
            bound(&low, self.prefix, start, False)
            bound(&high, self.prefix, stop, True)
            if self.core.tracks_reads or always:
                status = read_set_begin_range(self.core.reads, low.data, low.size, high.data, high.size, &range_index)
        finally:
            key_free(&low)
            key_free(&high)
        if status < 0:
            raise_status(status)

    def __iter__(self):
        return self.scan()


cdef int bound(Key *out, uint8_t prefix, object given, bint is_stop) except -1:
    if given is None:
        out.data = out.storage
        out.size = PREFIX_BYTES
        out.data[0] = <char> (prefix + 1 if is_stop else prefix)
        return 0
    return key_build(out, prefix, given)


cdef RangeTombstone *copy_tombstones(const RangeTombstone *tombstones, size_t count, uint64_t ts,
                                     TransactionScan scan) except NULL:
    """The own range deletes, keys included, in memory that lives as long as `scan`, all stamped `ts`."""
    cdef size_t needed = count * sizeof(RangeTombstone), i
    cdef RangeTombstone *copies
    cdef char *p
    for i in range(count):
        needed += tombstones[i].start_size + tombstones[i].stop_size
    scan.hidden = PyBytes_FromStringAndSize(NULL, needed)
    copies = <RangeTombstone *> PyBytes_AS_STRING(scan.hidden)
    p = <char *> (copies + count)
    for i in range(count):
        copies[i] = tombstones[i]
        copies[i].ts = ts
        copies[i].start = p
        memcpy(p, tombstones[i].start, tombstones[i].start_size)
        p += tombstones[i].start_size
        copies[i].stop = p
        memcpy(p, tombstones[i].stop, tombstones[i].stop_size)
        p += tombstones[i].stop_size
    return copies


cdef class TransactionScan:
    """Iterator of (key, value); remembers for validation how far it was read, no further."""

    def __init__(self):
        raise TypeError("a TransactionScan is made by scan()")

    def close(self):
        """Gives back what the scan holds."""
        self.scan.close()

    def __iter__(self):
        return self

    def __next__(self):
        cdef object row
        if not self.is_tracked:
            return next(self.scan)
        try:
            row = next(self.scan)
        except StopIteration:
            if self.scan.remaining:                         # at the end of the range, not of the limit
                self.widen(None)
            raise
        self.widen(row[0])
        return row

    cdef int widen(self, object key) except -1:
        """The range read so far now includes `key`, or reaches to the far end of the scan (None)."""
        cdef ReadSet *reads = self.core.reads
        cdef bytes edge
        cdef int status
        if key is None:
            if self.is_reverse:
                status = read_set_lower_range(reads, self.range_index, self.far_bound, len(self.far_bound))
            else:
                status = read_set_extend_range(reads, self.range_index, self.far_bound, len(self.far_bound))
        elif self.is_reverse:
            edge = bytes((self.prefix,)) + key
            status = read_set_lower_range(reads, self.range_index, edge, len(edge))
        else:
            edge = bytes((self.prefix,)) + key + b"\0"      # the stop is exclusive
            status = read_set_extend_range(reads, self.range_index, edge, len(edge))
        if status < 0:
            return raise_status(status)
        return 0

    cdef Scan read_all(self):
        """The scan itself, for one who reads it to its end: all of the range counts as read from now on."""
        if self.is_tracked:
            self.widen(None)
        return self.scan
