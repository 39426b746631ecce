# The engine: current view, commit path, snapshots, and the doors through which background work
# (plain Python in core/) exchanges views. Keyspaces, scans and transactions stand on it.
#
#   commit:   commit_mutex [ room in memtable? -> next ts -> validate reads -> append to log -> memtable ]
#             durability "commit": wait for the log to be on disk (shared fdatasync)  -> visible_ts
#   read:     guard_enter -> view -> visible_ts -> ... -> guard_exit          (no lock)
#
# Lock order: commit_mutex, then snapshot_mutex or work_mutex. A thread that may wait for a lock, or for
# a file of a bridged file system, does so without the GIL; a lock is taken with the GIL held only
# after a successful trylock.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .batch cimport Operation
from .cache cimport Cache
from .files cimport FileSystem
from .guard cimport Guard
from .log cimport Log
from .platform cimport condition_t, mutex_t
from .read_set cimport ReadSet
from .status cimport ErrorDetail
from .table cimport TableCache
from .values cimport ValueLog
from .view cimport View

cdef enum Durability:
    DURABILITY_NONE = 0              # handed to the operating system: survives kill -9
    DURABILITY_INTERVAL = 1          # the same, and synced by a background thread
    DURABILITY_COMMIT = 2            # on disk before the answer

cdef enum WorkFlag:                  # why the background threads are woken
    WORK_FLUSH = 1                   # an immutable memtable waits
    WORK_COMPACT = 2
    WORK_LOG = 4                     # the log could use a spare segment
    WORK_STOP = 8

cdef enum:
    # Commit timestamps are even; a transaction reads at (snapshot + 1), where only its own writes are.
    TIMESTAMP_STEP = 2
    TIMESTAMP_LOGICAL_BITS = 18      # timestamp = unix_ms << 18 | logical
    MAX_MEMTABLES = 4                # of one partition in memory at most, the active one included

# What a commit must check under the commit lock.
cdef struct Validation:
    uint64_t since                   # the transaction's snapshot
    ReadSet *reads                   # serializable: what it read. NULL: nothing to check
    bint written_keys                # snapshot isolation: the keys it writes

cdef class Engine:
    # constant after construction
    cdef readonly FileSystem file_system
    cdef readonly str directory
    cdef Guard *guard
    cdef Cache *cache
    cdef TableCache *tables
    cdef ValueLog *values
    cdef Log *log
    cdef uint32_t partition_count
    cdef uint64_t memtable_bytes                 # capacity of one memtable
    cdef uint64_t cache_bytes                    # what the cache has when all memtables are in use
    cdef uint64_t log_segment_bytes
    cdef int durability
    cdef size_t value_threshold
    cdef const uint32_t *fork_counter            # differs from fork_stamp in a child process
    cdef uint32_t fork_stamp
    # atomic
    cdef View *view
    cdef uint64_t visible_ts                     # newest timestamp a reader may use
    cdef uint32_t closed
    cdef uint32_t failed                         # writing stopped (a sync failed)
    cdef uint64_t next_file_number
    cdef uint32_t value_writers                  # appended a value, not yet committed
    cdef uint32_t watchers                       # open change feeds: commits wake them
    cdef uint64_t delay_ns_per_kib               # back-pressure, set by the background policy
    cdef uint32_t stopped                        # back-pressure: writers wait
    # guarded by commit_mutex
    cdef mutex_t commit_mutex
    cdef condition_t room_condition              # a memtable was flushed, or back-pressure eased
    cdef uint64_t last_ts
    cdef uint64_t delay_debt_ns
    cdef uint32_t finishing                      # atomic; commits between commit() and the end of their waiting
    cdef uint64_t log_segment                    # where the last record went
    cdef int background_status                   # < 0: background work fails with this status
    cdef bint frozen                             # commits wait: an ingest installs its tables
    cdef uint64_t commits                        # statistics, as the next two
    cdef uint64_t bytes_written
    cdef uint64_t stall_ns
    # guarded by snapshot_mutex
    cdef mutex_t snapshot_mutex
    cdef uint64_t *snapshots                     # open snapshot timestamps, unordered
    cdef size_t snapshot_count
    cdef size_t snapshot_capacity
    cdef uint64_t gc_floor_ts                    # versions older than what it sees may be gone
    # guarded by work_mutex
    cdef mutex_t work_mutex
    cdef condition_t work_condition
    cdef uint32_t work
    cdef void _replace_view(self, View *view) noexcept nogil
    cdef void _lend_unused_memory(self) noexcept nogil
    cdef int _rotate(self, uint32_t partition, uint64_t capacity) noexcept nogil
    cdef int _make_room(self, uint32_t partition, size_t bytes_needed, bint may_wait) noexcept nogil
    cdef int _room_for_batch(self, const char *payload, size_t size, bint may_wait) noexcept nogil
    cdef int _validate(self, Validation *validation, const char *payload, size_t size) noexcept nogil
    cdef int _apply(self, const char *payload, size_t size, uint64_t ts) noexcept nogil
    cdef bint _is_flushed(self, uint32_t partition, uint64_t ts) noexcept nogil
    cdef int _commit_locked(self, const char *payload, size_t size, Validation *validation, bint may_wait,
                            uint64_t *commit_ts, uint64_t *end_lsn) noexcept nogil
    cdef int _check_replayed_value(self, const Operation *operation) noexcept nogil
    cdef int replay_record(self, uint64_t segment, uint64_t ts, const char *payload, size_t size) noexcept nogil
    # while replaying the log: what is in tables already, by partition
    cdef uint64_t *flushed_ts
    # value files met while replaying the log; guarded by commit_mutex
    cdef uint64_t *replayed_values
    cdef size_t replayed_value_count
    cdef ErrorDetail missing_value               # what is wrong with the value that ended the replay, if one did
    # (timestamp, first, last internal key) of each ingest since opening, oldest first: what the log lacks and a feed
    # must take from the tables. Each is here before its timestamp is visible.
    cdef readonly list ingests

    # 0, or why the engine cannot be used: CLOSED or FORKED
    cdef int check_usable(self) noexcept nogil
    # Partition that owns a slot.
    cdef uint32_t partition_of(self, uint32_t slot) noexcept nogil
    # Commits encoded operations (batch.pxd). `may_wait` false: BUSY instead of waiting for a lock or
    # for room; nothing has happened then. On return the writes are in the log (and, in durability
    # "commit", the caller must still call `finish_commit`).
    cdef int commit(self, const char *payload, size_t size, Validation *validation, bint may_wait,
                    uint64_t *commit_ts, uint64_t *end_lsn) noexcept nogil
    # Durability "commit": waits until the log is on disk up to `end_lsn`, then makes `commit_ts` visible.
    cdef int finish_commit(self, uint64_t commit_ts, uint64_t end_lsn) noexcept nogil
    # Waits as back-pressure demands for `size` bytes just written; no lock held, no GIL.
    cdef void pay_delay(self) noexcept nogil
    # Registers a snapshot at `at_ts`, or at the newest timestamp when at_ts is 0.
    cdef int open_snapshot(self, uint64_t at_ts, uint64_t *ts) noexcept nogil
    cdef void close_snapshot(self, uint64_t ts) noexcept nogil
    cdef void wake(self, uint32_t flags) noexcept nogil
