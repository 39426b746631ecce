# Which versions and range tombstones a compaction must keep. See retention.pyx for the rule.
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from .cursor cimport RangeTombstone

cdef enum:
    INFINITE_TS = 0xFFFFFFFFFFFFFFFF

cdef struct KeyRange:                # inclusive
    const char *smallest
    const char *largest
    uint32_t smallest_size
    uint32_t largest_size

cdef class Retention:
    # constant
    cdef uint64_t *snapshots         # ascending
    cdef size_t snapshot_count
    cdef uint64_t horizon
    cdef uint64_t floor_ts           # every reader stands here or later
    cdef KeyRange *deeper            # ascending, disjoint
    cdef size_t deeper_count
    cdef RangeTombstone *tombstones  # by start
    cdef size_t tombstone_count
    cdef list keep_alive             # whose bytes are borrowed above

    # the current key
    cdef bint bottommost             # nothing older can be deeper
    cdef uint64_t newer_ts           # of the version met before; INFINITE_TS at the newest
    cdef size_t deeper_at            # first deeper range that does not end before the key
    cdef size_t tombstone_at         # first tombstone that starts after the key
    cdef RangeTombstone **covering   # [tombstone_count]; the first `covering_count` are over the key
    cdef size_t covering_count

    cdef int set_tombstones(self, list tombstones) except -1
    # Keys must come in ascending order.
    cdef void begin_key(self, const char *key, size_t key_size) noexcept nogil
    # Versions of a key must come newest first.
    cdef bint needs_version(self, uint64_t ts) noexcept nogil
    # Whether a reader stands in [ts, newer_ts).
    cdef bint has_reader(self, uint64_t ts, uint64_t newer_ts) noexcept nogil
    # For a tombstone or a piece of one.
    cdef bint needs_tombstone(self, const RangeTombstone *tombstone) noexcept nogil
    # Whether the timestamp of this version of the current key may become 0, if it is the only one that stays.
    cdef bint may_forget_ts(self, uint64_t ts) noexcept nogil
