"""Opening the log after a crash, and telling a torn tail from corruption.

After a crash the end of the log may be damaged in any way: what was not synced reached the disk in
any order, or not at all. That is no error, nobody was told that those records are safe, and it
must be cut off silently. Damage in a part that was synced is an error and must never be cut off
silently, because acknowledged commits would vanish. Both look the same: a checksum that fails at
some position P. Therefore every record carries `durable_lsn`, the position up to which the log was
synced when the record was written:

    segment 7                                        segment 8
    | rec | rec | ##### | rec durable=P- | ...       | rec durable=Q | ...
                ^ P                                          Q > P: P had been synced: corruption
                                                             no such record anywhere: a torn tail

So recovery that meets damage at P searches everything behind P for a valid record, or the valid
header of a later segment, with durable_lsn > P. The search goes in steps of 8 bytes, as records are
aligned to that; almost every step ends at one comparison, because durable_lsn must lie between P
and the record's own position. Stale records of a recycled file fail by their CRC's seed.

A cut is remembered by the start_lsn of the next segment: what segment 7 holds beyond the start of
segment 8 does not count, valid or not.

The first segment to replay has no predecessor that tells where it starts. While its header is not
known to be on disk the log keeps the segments before it (log_release sees to that), which are then
read for the end of the last whole one. Without such a file the header had been synced, so that a
damaged one in front of valid records is corruption.
"""
import os

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.stddef cimport size_t
from libc.string cimport memset

from .files cimport FileSystemHandle
from .log cimport LOG_HEADER_BYTES, log_apply
from .log_reader cimport (BEFORE_ALL, HIGHEST_LSN, NO_BOUND, LogRecord, SegmentReader, log_damaged, log_reader_close,
                          log_reader_open, log_reader_record, log_reader_search)
from .status cimport IO_ERROR, NO_MEMORY, NO_OFFSET, fail, fail_errno


cdef int log_list(FileSystemHandle *fs, const char *directory, uint64_t **numbers, size_t *count) noexcept nogil:
    with gil:
        return _list(fs, directory, numbers, count)


cdef int _list(FileSystemHandle *fs, const char *directory, uint64_t **numbers, size_t *count) noexcept:
    cdef size_t i
    numbers[0] = NULL
    count[0] = 0
    try:
        path = os.fsdecode(<bytes> directory)
        names = os.listdir(path) if fs.target == NULL else (<object> fs.target).list_dir(path)
        found = sorted(int(name[:12]) for name in names
                       if len(name) == 16 and name[12:] == ".log" and name[:12].isdecimal() and name.isascii())
        numbers[0] = <uint64_t *> malloc((len(found) + 1) * sizeof(uint64_t))
        if numbers[0] == NULL:
            return fail(NO_MEMORY, NULL, directory, <uint64_t> NO_OFFSET)
        for i in range(<size_t> len(found)):
            numbers[0][i] = found[i]
        count[0] = <size_t> len(found)
        return 0
    except BaseException as error:
        errno_value = getattr(error, "errno", None)
        if errno_value:
            return fail_errno(errno_value, "cannot list the folder", directory)
        return fail(IO_ERROR, "cannot list the folder", directory, <uint64_t> NO_OFFSET)


# ---- recovery ------------------------------------------------------------------------------------

cdef struct Scan:                    # where the valid records of a segment end
    uint64_t offset
    uint64_t lsn
    uint64_t search_offset           # evidence is searched from here on
    uint64_t durable_lsn             # the largest seen


# Replays one segment up to position `bound` (the start of the next segment) or the first damage.
cdef int _scan(SegmentReader *reader, uint64_t bound, log_apply apply, void *context, Scan *scan) noexcept nogil:
    cdef LogRecord record
    cdef int status
    scan.offset = LOG_HEADER_BYTES
    scan.lsn = reader.header.start_lsn
    if reader.header.durable_lsn > scan.durable_lsn:
        scan.durable_lsn = reader.header.durable_lsn
    while scan.lsn < bound:
        scan.search_offset = scan.offset + 8
        status = log_reader_record(reader, scan.offset, &record)
        if status < 0:
            return status
        if status == 0 or record.end_lsn > bound:
            break
        if apply != NULL:
            status = apply(context, reader.header.number, record.commit_ts, record.payload, record.payload_size)
            if status < 0:
                return status
            if status == 1:          # what it refers to is not there: as good as damaged
                scan.search_offset = scan.offset + (record.end_lsn - record.lsn)
                break
        if record.durable_lsn > scan.durable_lsn:
            scan.durable_lsn = record.durable_lsn
        scan.offset += record.end_lsn - record.lsn
        scan.lsn = record.end_lsn
    return 0


# Looks for proof that the log was synced beyond `above`: in the segment that `reader` has open from `offset`
# on, then in the `count` segments after it. `highest`: no record of the first of them is beyond that.
# 1 + how many segments on the proof is, 0: none, < 0: status.
cdef int _evidence(SegmentReader *reader, FileSystemHandle *fs, const char *directory, uint64_t offset,
                   uint64_t above, uint64_t highest, size_t count) noexcept nogil:
    cdef LogRecord record
    cdef uint64_t number = reader.header.number
    cdef size_t i
    cdef int status
    for i in range(count + 1):
        if i > 0:
            status = log_reader_open(reader, fs, directory, number + i)
            if status < 0:
                return status
            offset = LOG_HEADER_BYTES
            if reader.header_valid and (above == <uint64_t> BEFORE_ALL or reader.header.durable_lsn > above):
                return <int> i + 1
            highest = (reader.header.start_lsn if reader.header_valid else highest) + reader.limit
        if not reader.header_valid:
            reader.header.start_lsn = highest        # unknown; accept every durable_lsn up to there
        status = log_reader_search(reader, offset, above, highest, &record)
        if status != 0:
            return status if status < 0 else <int> i + 1
    return 0


# The first segment's header is damaged: torn, so that the log is empty, or an error? `previous`: how many
# segments in a row before it are there. The last of them with a header tells where the log was synced at least.
cdef int _recover_headless(SegmentReader *reader, FileSystemHandle *fs, const char *directory, uint64_t first,
                           uint64_t previous, size_t count, Recovery *out) noexcept nogil:
    cdef Scan scan
    cdef uint64_t above = <uint64_t> BEFORE_ALL
    cdef uint64_t highest = <uint64_t> HIGHEST_LSN
    cdef uint64_t between = 0        # bytes of the segments without a header
    cdef uint64_t back = 1
    cdef int status
    memset(&scan, 0, sizeof(Scan))
    while above == <uint64_t> BEFORE_ALL and back <= previous:
        status = log_reader_open(reader, fs, directory, first - back)
        if status < 0:
            return status
        if reader.header_valid:
            status = _scan(reader, <uint64_t> NO_BOUND, NULL, NULL, &scan)
            if status < 0:
                return status
            above = out.end_lsn = scan.lsn
            highest = reader.header.start_lsn + reader.limit + between
        between += reader.limit
        back += 1
    status = log_reader_open(reader, fs, directory, first)
    if status == 0:
        status = _evidence(reader, fs, directory, LOG_HEADER_BYTES, above, highest + reader.limit, count - 1)
    if status > 0:
        return log_damaged(directory, first, 0, "the header of a log segment is damaged")
    return status


cdef int _recover(SegmentReader *reader, SegmentReader *next_reader, FileSystemHandle *fs, const char *directory,
                  uint64_t first, size_t count, uint64_t previous, log_apply apply, void *context,
                  Recovery *out) noexcept nogil:
    cdef Scan scan
    cdef RecoveredSegment *segment
    cdef uint64_t bound
    cdef size_t i
    cdef int status = log_reader_open(reader, fs, directory, first)
    if status < 0:
        return status
    if not reader.header_valid:
        return _recover_headless(reader, fs, directory, first, previous, count, out)
    memset(&scan, 0, sizeof(Scan))
    for i in range(count):
        bound = <uint64_t> NO_BOUND
        if i + 1 < count:
            status = log_reader_open(next_reader, fs, directory, first + i + 1)
            if status < 0:
                return status
            if next_reader.header_valid:
                bound = next_reader.header.start_lsn
        if i > 0:                    # valid, else the loop had ended
            status = log_reader_open(reader, fs, directory, first + i)
            if status < 0:
                return status
        segment = &out.segments[out.count]
        segment.number = first + i
        segment.start_lsn = reader.header.start_lsn
        segment.size = reader.limit
        status = _scan(reader, bound, apply, context, &scan)
        if status < 0:
            return status
        segment.end_lsn = scan.lsn
        out.count += 1
        out.end_lsn = scan.lsn
        out.durable_lsn = scan.durable_lsn
        if scan.lsn == bound:
            continue
        status = _evidence(reader, fs, directory, scan.search_offset, scan.lsn,
                           reader.header.start_lsn + reader.limit, count - i - 1)
        if status < 0:
            return status
        if status > 1 and not next_reader.header_valid:
            return log_damaged(directory, first + i + 1, 0, "the header of a log segment is damaged")
        if status > 0:
            return log_damaged(directory, first + i, scan.offset, "a log record that had been synced is damaged")
        break                        # a torn tail, or simply the end
    return 0


cdef int log_recover(FileSystemHandle *fs, const char *directory, uint64_t first_segment, const uint64_t *numbers,
                     size_t count, log_apply apply, void *context, Recovery *out) noexcept nogil:
    cdef SegmentReader reader, next_reader
    cdef size_t skipped = 0, previous = 0, i
    cdef uint64_t first
    cdef int status
    memset(out, 0, sizeof(Recovery))
    while skipped < count and numbers[skipped] < first_segment:
        skipped += 1
    if skipped == count:
        return 0
    first = first_segment if first_segment > 0 else 1
    for i in range(skipped, count):
        if numbers[i] != first + (i - skipped):
            return log_damaged(directory, first + (i - skipped), <uint64_t> NO_OFFSET, "a log segment is missing")
    while previous < skipped and numbers[skipped - 1 - previous] == first - 1 - previous:
        previous += 1
    out.segments = <RecoveredSegment *> calloc(count - skipped, sizeof(RecoveredSegment))
    if out.segments == NULL:
        return fail(NO_MEMORY, NULL, directory, <uint64_t> NO_OFFSET)
    memset(&reader, 0, sizeof(SegmentReader))
    memset(&next_reader, 0, sizeof(SegmentReader))
    status = _recover(&reader, &next_reader, fs, directory, first, count - skipped,
                      previous, apply, context, out)
    log_reader_close(&reader)
    log_reader_close(&next_reader)
    return status


cdef void log_recovery_free(Recovery *recovery) noexcept nogil:
    free(recovery.segments)
    recovery.segments = NULL
