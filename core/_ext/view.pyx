"""Views: where the versions of a key live, from newest to oldest, and how a read walks them.

A point read asks each place in turn and stops at the first that has a version its snapshot may see;
the fingerprint lines of all candidate tables are requested from memory before the first is looked at,
so that their cache misses overlap. A range read merges one cursor per place.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from .block cimport KIND_DELETE
from .census cimport VIEW, count_birth, count_death
from .cursor cimport Cursor, Found, RangeTombstone, compare_keys
from .memtable cimport (Memtable, memtable_cursor, memtable_get, memtable_prefetch, memtable_release, memtable_retain)
from .merge cimport covering_tombstone
from .platform cimport add_u32, load_u32, relaxed_u64, sub_u32
from .status cimport NO_MEMORY, NO_OFFSET, fail
from .table cimport Table, table_get, table_prefetch, table_prefetch_entry, table_release, table_retain
from .table_cursor cimport tables_cursor


cdef View *view_new(uint32_t partition_count) noexcept nogil:
    cdef View *view = <View *> calloc(1, sizeof(View))
    if view == NULL:
        return NULL
    view.references = 1
    view.partition_count = partition_count
    view.partitions = <Partition *> calloc(partition_count, sizeof(Partition))
    if view.partitions == NULL:
        free(view)
        return NULL
    count_birth(VIEW)
    return view


cdef View *view_retain(View *view) noexcept nogil:
    add_u32(&view.references, 1)
    return view


cdef void view_release(View *view) noexcept nogil:
    cdef uint32_t i, j, k
    cdef Partition *partition
    if sub_u32(&view.references, 1) != 1:
        return
    for i in range(view.partition_count):
        partition = &view.partitions[i]
        for j in range(partition.memtable_count):
            memtable_release(partition.memtables[j])
        for j in range(partition.level0_count):
            table_release(partition.level0[j])
        for j in range(partition.level_count):
            for k in range(partition.levels[j].count):
                table_release(partition.levels[j].tables[k])
            free(partition.levels[j].tables)
        free(partition.memtables)
        free(partition.level0)
        free(partition.levels)
    free(view.partitions)
    free(view.tombstones)
    free(view)
    count_death(VIEW)


cdef Table **_copy_tables(Table **tables, uint32_t count) noexcept nogil:
    cdef Table **copy = <Table **> malloc((count if count else 1) * sizeof(Table *))
    cdef uint32_t i
    if copy != NULL:
        for i in range(count):
            copy[i] = table_retain(tables[i])
    return copy


cdef int _copy_partition(const Partition *source, Partition *target, Memtable *front) noexcept nogil:
    """Fills an empty `target`; counts are raised only for what holds references, so release stays right."""
    cdef uint32_t i, extra = 1 if front != NULL else 0
    target.memtables = <Memtable **> malloc((source.memtable_count + 1) * sizeof(Memtable *))
    if target.memtables == NULL:
        return NO_MEMORY
    if front != NULL:
        target.memtables[0] = memtable_retain(front)
    for i in range(source.memtable_count):
        target.memtables[i + extra] = memtable_retain(source.memtables[i])
    target.memtable_count = source.memtable_count + extra
    target.level0 = _copy_tables(source.level0, source.level0_count)
    if target.level0 == NULL:
        return NO_MEMORY
    target.level0_count = source.level0_count
    target.levels = <Level *> calloc(source.level_count + 1, sizeof(Level))
    if target.levels == NULL:
        return NO_MEMORY
    for i in range(source.level_count):
        target.levels[i].tables = _copy_tables(source.levels[i].tables, source.levels[i].count)
        if target.levels[i].tables == NULL:
            return NO_MEMORY
        target.levels[i].count = source.levels[i].count
        target.level_count = i + 1
    return 0


cdef View *view_with_memtable(View *view, uint32_t index, Memtable *memtable) noexcept nogil:
    cdef View *copy = view_new(view.partition_count)
    cdef uint32_t i
    if copy == NULL:
        return NULL
    for i in range(view.partition_count):
        if _copy_partition(&view.partitions[i], &copy.partitions[i], memtable if i == index else NULL) < 0:
            view_release(copy)
            return NULL
    if view_gather_tombstones(copy) < 0:
        view_release(copy)
        return NULL
    return copy


cdef int _append_tombstones(View *view, Table *table) noexcept nogil:
    cdef RangeTombstone *grown
    if table.tombstone_count == 0:
        return 0
    grown = <RangeTombstone *> realloc(
        view.tombstones, (view.tombstone_count + table.tombstone_count) * sizeof(RangeTombstone))
    if grown == NULL:
        return fail(NO_MEMORY, "range tombstones", NULL, <uint64_t> NO_OFFSET)
    view.tombstones = grown
    memcpy(&grown[view.tombstone_count], table.tombstones, table.tombstone_count * sizeof(RangeTombstone))
    view.tombstone_count += table.tombstone_count
    return 0


cdef int view_gather_tombstones(View *view) noexcept nogil:
    cdef uint32_t i, j, k
    cdef Partition *partition
    for i in range(view.partition_count):
        partition = &view.partitions[i]
        for j in range(partition.level0_count):
            if _append_tombstones(view, partition.level0[j]) < 0:
                return NO_MEMORY
        for j in range(partition.level_count):
            for k in range(partition.levels[j].count):
                if _append_tombstones(view, partition.levels[j].tables[k]) < 0:
                    return NO_MEMORY
    return 0


cdef inline bint _in_bounds(const Table *table, const char *key, size_t key_size) noexcept nogil:
    return (compare_keys(key, key_size, table.smallest, table.smallest_size) >= 0
            and compare_keys(key, key_size, table.largest, table.largest_size) <= 0)


cdef inline uint32_t _first_ending_from(const Level *level, uint32_t low, const char *key,
                                        size_t key_size) noexcept nogil:
    """The first table of the level, `low` or after it, that does not end before `key`; or the level's count."""
    cdef uint32_t high = level.count, middle
    cdef const Table *table
    while low < high:
        middle = (low + high) >> 1
        table = level.tables[middle]
        if compare_keys(table.largest, table.largest_size, key, key_size) < 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef Table *_table_of_level(const Level *level, const char *key, size_t key_size) noexcept nogil:
    """The one table of the level whose bounds include `key`, or NULL."""
    cdef uint32_t low = _first_ending_from(level, 0, key, key_size)
    cdef Table *table
    if low == level.count:
        return NULL
    table = level.tables[low]
    if compare_keys(key, key_size, table.smallest, table.smallest_size) < 0:
        return NULL
    return table


cdef enum:
    MAX_LEVELS = 16


cdef int _find_version(Partition *partition, const char *key, size_t key_size, uint64_t hash_value,
                       uint64_t snapshot, bint may_block, Found *out) noexcept nogil:
    """The newest version with ts <= snapshot, deletes included."""
    cdef Table *of_level[MAX_LEVELS]
    cdef Table *table
    cdef uint32_t i
    cdef int found
    for i in range(partition.memtable_count):
        memtable_prefetch(partition.memtables[i], hash_value)
    for i in range(partition.level0_count):
        table_prefetch(partition.level0[i], hash_value)
    for i in range(partition.level_count):
        table = _table_of_level(&partition.levels[i], key, key_size)
        of_level[i] = table
        if table != NULL:
            table_prefetch(table, hash_value)
    for i in range(partition.memtable_count):
        if memtable_get(partition.memtables[i], key, key_size, hash_value, snapshot, out):
            return 1
    for i in range(partition.level0_count):
        table = partition.level0[i]
        if table.min_ts <= snapshot and _in_bounds(table, key, key_size):
            found = table_get(table, key, key_size, hash_value, snapshot, may_block, out)
            if found != 0:
                return found
    for i in range(partition.level_count):
        table = of_level[i]
        if table != NULL and table.min_ts <= snapshot:
            found = table_get(table, key, key_size, hash_value, snapshot, may_block, out)
            if found != 0:
                return found
    return 0


cdef inline void _prefetch_table(Table *table, uint64_t hash_value, int step) noexcept nogil:
    if step == 0:
        table_prefetch(table, hash_value)
    else:
        table_prefetch_entry(table, hash_value, step == 2)


cdef void view_prefetch(View *view, uint32_t partition, const char *key, size_t key_size, uint64_t hash_value,
                        int step) noexcept nogil:
    cdef Partition *place = &view.partitions[partition]
    cdef Table *table
    cdef uint32_t i
    if step == 0:
        for i in range(place.memtable_count):
            memtable_prefetch(place.memtables[i], hash_value)
    for i in range(place.level0_count):
        _prefetch_table(place.level0[i], hash_value, step)
    for i in range(place.level_count):
        table = _table_of_level(&place.levels[i], key, key_size)
        if table != NULL:
            _prefetch_table(table, hash_value, step)


cdef uint64_t _covering(View *view, Partition *partition, const char *key, size_t key_size,
                        uint64_t snapshot) noexcept nogil:
    """Newest range tombstone over `key` that `snapshot` sees, in tables and memtables; 0 for none."""
    cdef uint64_t best = 0, ts
    cdef uint32_t i, count
    cdef Memtable *memtable
    if view.tombstone_count:
        best = covering_tombstone(view.tombstones, view.tombstone_count, key, key_size, snapshot)
    for i in range(partition.memtable_count):
        memtable = partition.memtables[i]
        count = load_u32(&memtable.tombstone_count)
        if count:
            ts = covering_tombstone(memtable.tombstones, count, key, key_size, snapshot)
            if ts > best:
                best = ts
    return best


cdef inline bint _has_tombstones(View *view, Partition *partition) noexcept nogil:
    cdef uint32_t i
    if view.tombstone_count:
        return True
    for i in range(partition.memtable_count):
        if partition.memtables[i].tombstone_count:
            return True
    return False


cdef int view_get(View *view, uint32_t partition, const char *key, size_t key_size, uint64_t hash_value,
                  uint64_t snapshot, bint may_block, Found *out) noexcept nogil:
    cdef Partition *place = &view.partitions[partition]
    cdef int found = _find_version(place, key, key_size, hash_value, snapshot, may_block, out)
    if found <= 0:
        return found
    if out.kind == KIND_DELETE:
        return 0
    if _has_tombstones(view, place) and _covering(view, place, key, key_size, snapshot) > out.ts:
        return 0
    return 1


cdef int view_changed_key(View *view, uint32_t partition, const char *key, size_t key_size, uint64_t hash_value,
                          uint64_t since) noexcept nogil:
    cdef Partition *place = &view.partitions[partition]
    cdef Table *table
    cdef Found found
    cdef uint32_t i
    cdef int status
    cdef uint64_t always = <uint64_t> -1
    for i in range(place.memtable_count):
        if relaxed_u64(&place.memtables[i].max_ts) > since:
            if memtable_get(place.memtables[i], key, key_size, hash_value, always, &found) and found.ts > since:
                return 1
    for i in range(place.level0_count):
        table = place.level0[i]
        if table.max_ts > since and _in_bounds(table, key, key_size):
            status = table_get(table, key, key_size, hash_value, always, True, &found)
            if status < 0 or (status == 1 and found.ts > since):
                return status
    for i in range(place.level_count):
        table = _table_of_level(&place.levels[i], key, key_size)
        if table != NULL and table.max_ts > since:
            status = table_get(table, key, key_size, hash_value, always, True, &found)
            if status < 0 or (status == 1 and found.ts > since):
                return status
    return _has_tombstones(view, place) and _covering(view, place, key, key_size, always) > since


cdef bint _overlaps(const char *a_start, size_t a_start_size, const char *a_stop, size_t a_stop_size,
                    const char *start, size_t start_size, const char *stop, size_t stop_size,
                    bint stop_inclusive) noexcept nogil:
    """[a_start, a_stop] or [a_start, a_stop) against [start, stop); NULL stop: open."""
    cdef int order
    if stop != NULL and compare_keys(a_start, a_start_size, stop, stop_size) >= 0:
        return False
    order = compare_keys(a_stop, a_stop_size, start, start_size)
    return order > 0 or (order == 0 and stop_inclusive)


cdef int _changed_in(Cursor *cursor, const char *start, size_t start_size, const char *stop, size_t stop_size,
                     uint64_t since) noexcept nogil:
    """Whether the cursor meets a version newer than `since` in the range; frees the cursor."""
    cdef int moved
    if cursor == NULL:
        return fail(NO_MEMORY, "range validation", NULL, <uint64_t> NO_OFFSET)
    moved = cursor.seek(cursor, start, start_size)
    while moved == 1:
        if stop != NULL and compare_keys(cursor.key, cursor.key_size, stop, stop_size) >= 0:
            moved = 0
            break
        if cursor.ts > since:
            break
        moved = cursor.next(cursor)
    cursor.free(cursor)
    return moved


cdef int _changed_table(Table *table, const char *start, size_t start_size, const char *stop, size_t stop_size,
                        uint64_t since) noexcept nogil:
    if table.max_ts <= since or not _overlaps(table.smallest, table.smallest_size, table.largest, table.largest_size,
                                              start, start_size, stop, stop_size, True):
        return 0
    return _changed_in(tables_cursor(&table, 1, 0, 0), start, start_size, stop, stop_size, since)


cdef int _changed_tombstone(const RangeTombstone *tombstones, size_t count, const char *start, size_t start_size,
                            const char *stop, size_t stop_size, uint64_t since) noexcept nogil:
    cdef const RangeTombstone *one
    cdef size_t i
    for i in range(count):
        one = tombstones + i
        if (one.ts > since and compare_keys(one.start, one.start_size, one.stop, one.stop_size) < 0    # not empty
                and _overlaps(one.start, one.start_size, one.stop, one.stop_size, start, start_size, stop, stop_size,
                              False)):
            return 1
    return 0


cdef int view_changed_range(View *view, const char *start, size_t start_size, const char *stop, size_t stop_size,
                            uint64_t since) noexcept nogil:
    cdef Partition *place
    cdef Memtable *memtable
    cdef uint32_t i, j, k
    cdef int changed
    if stop != NULL and compare_keys(start, start_size, stop, stop_size) >= 0:
        return 0                     # nothing was read of it: not even a tombstone around it matters
    for i in range(view.partition_count):
        place = &view.partitions[i]
        for j in range(place.memtable_count):
            memtable = place.memtables[j]
            if relaxed_u64(&memtable.max_ts) > since and memtable.entry_count:
                changed = _changed_in(memtable_cursor(memtable), start, start_size, stop, stop_size, since)
                if changed != 0:
                    return changed
            if memtable.tombstone_count and _changed_tombstone(memtable.tombstones, memtable.tombstone_count,
                                                               start, start_size, stop, stop_size, since):
                return 1
        for j in range(place.level0_count):
            changed = _changed_table(place.level0[j], start, start_size, stop, stop_size, since)
            if changed != 0:
                return changed
        for j in range(place.level_count):
            for k in range(place.levels[j].count):
                changed = _changed_table(place.levels[j].tables[k], start, start_size, stop, stop_size, since)
                if changed != 0:
                    return changed
    return _changed_tombstone(view.tombstones, view.tombstone_count, start, start_size, stop, stop_size, since)


cdef size_t view_source_limit(View *view) noexcept nogil:
    cdef size_t limit = 0
    cdef uint32_t i
    for i in range(view.partition_count):
        limit += (view.partitions[i].memtable_count + view.partitions[i].level0_count
                  + view.partitions[i].level_count)
    return limit


cdef int _add_source(Cursor *cursor, Cursor **out, size_t *count) noexcept nogil:
    cdef size_t i
    if cursor == NULL:
        for i in range(count[0]):
            out[i].free(out[i])
        count[0] = 0
        return fail(NO_MEMORY, "cursor", NULL, <uint64_t> NO_OFFSET)
    out[count[0]] = cursor
    count[0] += 1
    return 0


cdef int _level_source(Level *level, const char *start, size_t start_size, const char *stop, size_t stop_size,
                       uint32_t fill_cache, size_t readahead_bytes, Cursor **out, size_t *count) noexcept nogil:
    """One cursor over the tables of the level that meet the range."""
    cdef uint32_t first = 0, last = level.count
    if start != NULL:
        first = _first_ending_from(level, 0, start, start_size)
    if stop != NULL:
        last = _first_ending_from(level, first, stop, stop_size)
        if last < level.count and compare_keys(level.tables[last].smallest, level.tables[last].smallest_size,
                                               stop, stop_size) < 0:
            last += 1
    if first == last:
        return 0
    return _add_source(tables_cursor(level.tables + first, last - first, fill_cache, readahead_bytes), out, count)


cdef int view_sources(View *view, const char *start, size_t start_size, const char *stop, size_t stop_size,
                      uint32_t fill_cache, size_t readahead_bytes, Cursor **out) noexcept nogil:
    cdef Partition *place
    cdef Level single
    cdef size_t count = 0
    cdef uint32_t i, j
    for i in range(view.partition_count):
        place = &view.partitions[i]
        for j in range(place.memtable_count):
            if place.memtables[j].entry_count:
                if _add_source(memtable_cursor(place.memtables[j]), out, &count) < 0:
                    return NO_MEMORY
        for j in range(place.level0_count):
            single.count = 1
            single.tables = &place.level0[j]
            if _level_source(&single, start, start_size, stop, stop_size, fill_cache, readahead_bytes,
                             out, &count) < 0:
                return NO_MEMORY
        for j in range(place.level_count):
            if _level_source(&place.levels[j], start, start_size, stop, stop_size, fill_cache, readahead_bytes,
                             out, &count) < 0:
                return NO_MEMORY
    return <int> count


cdef int view_tombstones(View *view, RangeTombstone **out, size_t *count) noexcept nogil:
    cdef size_t total = view.tombstone_count, filled = 0
    cdef Memtable *memtable
    cdef uint32_t i, j, here
    out[0] = NULL
    count[0] = 0
    for i in range(view.partition_count):
        for j in range(view.partitions[i].memtable_count):
            total += view.partitions[i].memtables[j].tombstone_count
    if total == 0:
        return 0
    out[0] = <RangeTombstone *> malloc(total * sizeof(RangeTombstone))
    if out[0] == NULL:
        return fail(NO_MEMORY, "range tombstones", NULL, <uint64_t> NO_OFFSET)
    memcpy(out[0], view.tombstones, view.tombstone_count * sizeof(RangeTombstone))
    filled = view.tombstone_count
    for i in range(view.partition_count):
        for j in range(view.partitions[i].memtable_count):
            memtable = view.partitions[i].memtables[j]
            here = load_u32(&memtable.tombstone_count)     # a writer may add more meanwhile: never past `total`
            if here > total - filled:
                here = <uint32_t> (total - filled)
            if here:
                memcpy(&out[0][filled], memtable.tombstones, here * sizeof(RangeTombstone))
                filled += here
    count[0] = filled
    return 0
