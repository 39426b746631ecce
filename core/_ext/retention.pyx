"""What a compaction must keep, and what nobody may read any more.

Readers stand at the open snapshots S and at any timestamp from the horizon H on (AS OF reaches back
that far). Of each key a version is needed when one of them sees it, that is, when a reader's timestamp
falls between it and the next newer version:

    time          10        20        30        40        50
    versions      v1        v2        v3        v4        v5
    readers                      S=27           H=42 ------------------>
                  [ gone   )[ stays  )[ gone   )[ stays  )[ stays ......

A range tombstone over the key counts as a newer version of it: what is older than the tombstone has
ended there. Four things shrink further, the first three where no deeper level has a table over the key
("bottommost", so that nothing older can be below):

    a delete            goes when it is not newer than H and no older version of the key stays
    a range tombstone   goes when it is not newer than `floor` = min(H, all of S): of what it hides, all goes
    the only version    not newer than `floor`, its timestamp becomes 0: no reader can tell, since all
                        stand at `floor` or later, and a block of zeros stores no timestamps at all.
                        Not under a tombstone that stays, which would then seem newer than the version.
    equal tombstones    of two over the same range the older goes when no reader stands between them
"""
cimport cython

from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free

from .cursor cimport RangeTombstone, compare_keys


cdef void *_allocate(size_t size) except NULL:
    cdef void *memory = calloc(1, size + 1)
    if memory == NULL:
        raise MemoryError
    return memory


@cython.final
cdef class Retention:
    """The rule for one compaction: snapshots, horizon, (smallest, largest) of deeper tables, (start, stop, ts)."""

    def __cinit__(self, snapshots, uint64_t horizon, deeper=(), tombstones=()):
        cdef list ranges = _merged_ranges(deeper), ascending = sorted(snapshots)
        cdef bytes smallest, largest
        cdef size_t i
        self.horizon = self.floor_ts = horizon
        self.snapshots = <uint64_t *> _allocate(len(ascending) * sizeof(uint64_t))
        self.snapshot_count = len(ascending)
        for i in range(self.snapshot_count):
            self.snapshots[i] = ascending[i]
        if self.snapshot_count and self.snapshots[0] < horizon:
            self.floor_ts = self.snapshots[0]
        self.deeper = <KeyRange *> _allocate(len(ranges) * sizeof(KeyRange))
        self.deeper_count = len(ranges)
        for i in range(self.deeper_count):
            smallest, largest = ranges[i]
            self.deeper[i] = KeyRange(smallest, largest, <uint32_t> len(smallest), <uint32_t> len(largest))
        self.keep_alive = [ranges]
        self.set_tombstones(self.needed_tombstones(tombstones))

    def __dealloc__(self):
        free(self.snapshots)
        free(self.deeper)
        free(self.tombstones)
        free(self.covering)

    cdef int set_tombstones(self, list tombstones) except -1:
        cdef bytes start, stop
        cdef uint64_t ts
        cdef size_t i
        self.tombstones = <RangeTombstone *> _allocate(len(tombstones) * sizeof(RangeTombstone))
        self.covering = <RangeTombstone **> _allocate(len(tombstones) * sizeof(RangeTombstone *))
        self.tombstone_count = len(tombstones)
        self.keep_alive.append(tombstones)
        for i in range(self.tombstone_count):
            start, stop, ts = tombstones[i]
            self.tombstones[i] = RangeTombstone(<char *> start, <char *> stop, <uint32_t> len(start),
                                                <uint32_t> len(stop), ts)
        return 0

    def needed_tombstones(self, tombstones):
        """By start, without those that a newer one over the same range replaces for every reader."""
        cdef uint64_t newer_ts
        needed = []
        newest = {}
        for start, stop, ts in sorted(tombstones, key=lambda tombstone: -tombstone[2]):
            newer_ts = newest.get((start, stop), <uint64_t> INFINITE_TS)
            newest[start, stop] = ts
            if self.has_reader(ts, newer_ts):
                needed.append((start, stop, ts))
        return sorted(needed)

    cdef bint has_reader(self, uint64_t ts, uint64_t newer_ts) noexcept nogil:
        cdef size_t low = 0, high = self.snapshot_count, middle
        if newer_ts > self.horizon:
            return True
        while low < high:
            middle = (low + high) // 2
            if self.snapshots[middle] < ts:
                low = middle + 1
            else:
                high = middle
        return low < self.snapshot_count and self.snapshots[low] < newer_ts

    cdef bint needs_tombstone(self, const RangeTombstone *tombstone) noexcept nogil:
        cdef size_t low = 0, high = self.deeper_count, middle
        if tombstone.ts > self.floor_ts:
            return True
        while low < high:                # the first deeper range that does not end before the tombstone
            middle = (low + high) // 2
            if compare_keys(self.deeper[middle].largest, self.deeper[middle].largest_size,
                            tombstone.start, tombstone.start_size) < 0:
                low = middle + 1
            else:
                high = middle
        return low < self.deeper_count and compare_keys(
            self.deeper[low].smallest, self.deeper[low].smallest_size, tombstone.stop, tombstone.stop_size) < 0

    cdef void begin_key(self, const char *key, size_t key_size) noexcept nogil:
        cdef const KeyRange *deeper
        cdef RangeTombstone *tombstone
        cdef size_t i, kept = 0
        self.newer_ts = INFINITE_TS
        while self.deeper_at < self.deeper_count:
            deeper = &self.deeper[self.deeper_at]
            if compare_keys(deeper.largest, deeper.largest_size, key, key_size) >= 0:
                break
            self.deeper_at += 1
        self.bottommost = self.deeper_at == self.deeper_count or compare_keys(
            key, key_size, self.deeper[self.deeper_at].smallest, self.deeper[self.deeper_at].smallest_size) < 0
        while self.tombstone_at < self.tombstone_count:
            tombstone = &self.tombstones[self.tombstone_at]
            if compare_keys(tombstone.start, tombstone.start_size, key, key_size) > 0:
                break
            self.covering[self.covering_count] = tombstone
            self.covering_count += 1
            self.tombstone_at += 1
        for i in range(self.covering_count):
            tombstone = self.covering[i]
            if compare_keys(key, key_size, tombstone.stop, tombstone.stop_size) < 0:
                self.covering[kept] = tombstone
                kept += 1
        self.covering_count = kept

    cdef bint needs_version(self, uint64_t ts) noexcept nogil:
        cdef uint64_t end_ts = self.newer_ts
        cdef size_t i
        self.newer_ts = ts
        for i in range(self.covering_count):
            if ts < self.covering[i].ts < end_ts:
                end_ts = self.covering[i].ts
        return self.has_reader(ts, end_ts)

    cdef bint may_forget_ts(self, uint64_t ts) noexcept nogil:
        cdef size_t i
        if ts > self.floor_ts or not self.bottommost:
            return False
        for i in range(self.covering_count):
            if self.needs_tombstone(self.covering[i]):
                return False
        return True


def _merged_ranges(ranges):
    """Inclusive key ranges, in any order, as disjoint ascending ones."""
    merged = []
    for smallest, largest in sorted(ranges):
        if merged and smallest <= merged[len(merged) - 1][1]:
            before, end = merged.pop()
            merged.append((before, max(end, largest)))
        else:
            merged.append((smallest, largest))
    return merged


def joined_tombstones(tombstones, bytes start=None, bytes stop=None):
    """Tombstones clipped to [start, stop), with the pieces that earlier cuts made of one joined again."""
    clipped = [(ts, low if start is None else max(low, start), high if stop is None else min(high, stop))
               for low, high, ts in tombstones]
    joined = []
    for ts, low, high in sorted(clipped):
        if low >= high:
            continue
        if joined and joined[len(joined) - 1][2] == ts and low <= joined[len(joined) - 1][1]:
            before, end, ts = joined.pop()
            joined.append((before, max(end, high), ts))
        else:
            joined.append((low, high, ts))
    return joined
