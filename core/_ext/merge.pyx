"""Merging cursors, and the rule of which versions a reader sees.

A key may have versions in the memtables, in several level-0 tables and once in every deeper level.
MergeCursor makes one ordered sequence of all of them with a binary heap:

    source 0 (newest)   b@9 d@4              place 0 of the heap is where the merge stands; a move
    source 1            a@7 b@9 b@3   -->    moves that one source and lets it sink to its place
    source 2 (oldest)   a@1 c@2
                                             a@7 a@1 b@9 b@3 c@2 d@4     (b@9 of source 1 is skipped)

Most comparisons are one of integers: each place caches the first eight bytes of its key, big-endian. And most
entries follow one of the same source: while it stays before its rival, the best of the others, a step is a
move and one comparison.

ReadCursor turns versions into rows at a snapshot s: of each key the newest version with ts <= s, and
no row when that is a delete or is older than a range tombstone with ts <= s over the key.

    going forward      a@9 a@7 [a@5] a@3 a@1 b@8 ...       s = 6: step over what is newer than s,
    going backward     ... z@8 a@1 a@3 [a@5] a@7 a@9       skip what is older, and the other way round

A key written thousands of times must not cost thousands of steps: after STEPS_BEFORE_SEEK steps over
one key both directions seek past it.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from .block cimport KIND_DELETE
from .census cimport MERGE_CURSOR, READ_CURSOR, count_birth, count_death
from .cursor cimport Cursor, RangeTombstone, compare_keys, compare_positions
from .held cimport Held, hold, holds, key_after
from .platform cimport get_u64
from .status cimport NO_MEMORY

cdef extern from *:
    uint64_t swap_bytes "__builtin_bswap64"(uint64_t value) noexcept nogil

cdef enum:
    STEPS_BEFORE_SEEK = 8
    FIRST_SETTLE_STEPS = 16


# ---------------------------------------------------------------------------- merge

cdef struct Source:                  # a place of the heap
    uint64_t prefix                  # first 8 bytes of the cursor's key, big-endian, padded with zeros
    Cursor *cursor
    uint32_t index                   # in the caller's array; the smaller one wins a tie

cdef struct MergeCursor:
    Cursor row                       # first, so that a MergeCursor * is a Cursor *
    size_t count
    size_t live                      # heap[:live] stand on entries, in heap order; the others have ended
    bint backward                    # direction of the last move
    size_t rival                     # the place that comes after the root's entry, truly after it; 0: not known
    int failure                      # status that ended this merge, until the next seek
    Source heap[0]                   # [count]

ctypedef enum Move:
    TO_FIRST
    TO_LAST
    TO_KEY
    BEFORE_KEY


cdef inline void _load_prefix(Source *source) noexcept nogil:
    cdef uint64_t raw = 0
    if source.cursor.key_size >= 8:
        raw = get_u64(source.cursor.key)
    else:
        memcpy(&raw, source.cursor.key, source.cursor.key_size)
    source.prefix = swap_bytes(raw)


# < 0: a's entry comes before b's in the direction of the merge. 0: both are the same version.
cdef inline int _order(const MergeCursor *merge, const Source *a, const Source *b) noexcept nogil:
    cdef int order
    if a.prefix != b.prefix:
        order = -1 if a.prefix < b.prefix else 1
    else:
        order = compare_positions(a.cursor, b.cursor)
    return -order if merge.backward else order


cdef inline bint _comes_first(const MergeCursor *merge, const Source *a, const Source *b) noexcept nogil:
    cdef int order = _order(merge, a, b)
    return order < 0 or (order == 0 and a.index < b.index)


cdef inline size_t _first_child(const MergeCursor *merge, size_t place) noexcept nogil:
    """The child of `place` that comes first; `merge.live` or more when there is none."""
    cdef size_t child = 2 * place + 1
    if child + 1 < merge.live and _comes_first(merge, &merge.heap[child + 1], &merge.heap[child]):
        return child + 1
    return child


cdef inline void _sink(MergeCursor *merge, size_t place) noexcept nogil:
    cdef Source moving = merge.heap[place]
    cdef size_t child = _first_child(merge, place)
    while child < merge.live and _comes_first(merge, &merge.heap[child], &moving):
        merge.heap[place] = merge.heap[child]
        place = child
        child = _first_child(merge, place)
    merge.heap[place] = moving


cdef inline int _fail_merge(MergeCursor *merge, int status) noexcept nogil:
    merge.failure = status
    merge.live = 0
    return status


cdef inline int _restore(MergeCursor *merge, size_t place, int moved) noexcept nogil:
    """Restores the heap after the source at `place`, the root or a child of it, made a move that returned `moved`."""
    cdef Source *source = &merge.heap[place]
    cdef Source ended
    if moved == 1:
        _load_prefix(source)
    elif moved == 0:
        merge.live -= 1
        ended = source[0]
        source[0] = merge.heap[merge.live]
        merge.heap[merge.live] = ended
    else:
        return _fail_merge(merge, moved)
    if place < merge.live:
        _sink(merge, place)
    return 0


cdef inline int _advance(MergeCursor *merge, size_t place) noexcept nogil:
    cdef Cursor *cursor = merge.heap[place].cursor
    return _restore(merge, place, cursor.previous(cursor) if merge.backward else cursor.next(cursor))


cdef inline int _show(MergeCursor *merge) noexcept nogil:
    cdef const Cursor *source
    if merge.live == 0:
        return 0
    source = merge.heap[0].cursor
    merge.row.key = source.key
    merge.row.value = source.value
    merge.row.key_size = source.key_size
    merge.row.value_size = source.value_size
    merge.row.ts = source.ts
    merge.row.kind = source.kind
    return 1


cdef int _step(MergeCursor *merge) noexcept nogil:
    cdef Source *top = merge.heap
    cdef const Cursor *was = top.cursor
    cdef size_t child
    cdef int status
    if merge.rival:
        status = top.cursor.previous(top.cursor) if merge.backward else top.cursor.next(top.cursor)
        if status == 1:
            _load_prefix(top)
            if _order(merge, top, &merge.heap[merge.rival]) < 0:
                return _show(merge)
        merge.rival = 0
        status = _restore(merge, 0, status)
        return status if status < 0 else _show(merge)
    while merge.live > 1:            # the same version in another source: the lowest index has shown it
        child = _first_child(merge, 0)
        if merge.heap[child].prefix != top.prefix or compare_positions(merge.heap[child].cursor, top.cursor) != 0:
            break
        status = _advance(merge, child)
        if status < 0:
            return status
    status = _advance(merge, 0)
    if status < 0:
        return status
    if merge.live > 1 and top.cursor == was:         # it may go on like this
        child = _first_child(merge, 0)
        if _order(merge, top, &merge.heap[child]) < 0:
            merge.rival = child
    return _show(merge)


cdef inline void _keep_live(MergeCursor *merge, size_t place) noexcept nogil:
    """Puts the source at `place` behind the live ones, which are now one more."""
    cdef Source source = merge.heap[place]
    _load_prefix(&source)
    merge.heap[place] = merge.heap[merge.live]
    merge.heap[merge.live] = source
    merge.live += 1


cdef void _make_heap(MergeCursor *merge) noexcept nogil:
    cdef size_t place = merge.live // 2
    while place > 0:
        place -= 1
        _sink(merge, place)


cdef int _turn(MergeCursor *merge) noexcept nogil:
    """Changes direction: every other source goes to its nearest entry on the other side of the current one.

    That is a step or two, not a seek: a live source stands just beyond the current entry already,
    and an ended one has its last entry just before it.
    """
    cdef size_t place, was_live = merge.live
    cdef const Cursor *current = merge.heap[0].cursor
    cdef Cursor *cursor
    cdef int moved, order
    merge.backward = not merge.backward
    merge.rival = 0
    merge.live = 1
    for place in range(1, merge.count):
        cursor = merge.heap[place].cursor
        if place < was_live:
            moved = 1
        else:
            moved = cursor.seek_last(cursor) if merge.backward else cursor.seek_first(cursor)
        while moved == 1:
            order = compare_positions(cursor, current)
            if order != 0 and (order < 0) == merge.backward:
                break
            moved = cursor.previous(cursor) if merge.backward else cursor.next(cursor)
        if moved < 0:
            return _fail_merge(merge, moved)
        if moved == 1:
            _keep_live(merge, place)
    _make_heap(merge)
    return 0


cdef int _merge_next(Cursor *self) noexcept nogil:
    cdef MergeCursor *merge = <MergeCursor *> self
    if merge.live == 0:
        return merge.failure
    if merge.backward and _turn(merge) < 0:
        return merge.failure
    return _step(merge)


cdef int _merge_previous(Cursor *self) noexcept nogil:
    cdef MergeCursor *merge = <MergeCursor *> self
    if merge.live == 0:
        return merge.failure
    if not merge.backward and _turn(merge) < 0:
        return merge.failure
    return _step(merge)


cdef int _merge_move(MergeCursor *merge, Move move, const char *key, size_t key_size) noexcept nogil:
    cdef Cursor *cursor
    cdef size_t place
    cdef int moved
    merge.live = 0
    merge.failure = 0
    merge.rival = 0
    merge.backward = move == TO_LAST or move == BEFORE_KEY
    for place in range(merge.count):
        cursor = merge.heap[place].cursor
        if move == TO_KEY:
            moved = cursor.seek(cursor, key, key_size)
        elif move == BEFORE_KEY:
            moved = cursor.seek_before(cursor, key, key_size)
        elif move == TO_FIRST:
            moved = cursor.seek_first(cursor)
        else:
            moved = cursor.seek_last(cursor)
        if moved < 0:
            return _fail_merge(merge, moved)
        if moved == 1:
            _keep_live(merge, place)
    _make_heap(merge)
    return _show(merge)


cdef int _merge_seek_first(Cursor *self) noexcept nogil:
    return _merge_move(<MergeCursor *> self, TO_FIRST, NULL, 0)

cdef int _merge_seek_last(Cursor *self) noexcept nogil:
    return _merge_move(<MergeCursor *> self, TO_LAST, NULL, 0)

cdef int _merge_seek(Cursor *self, const char *key, size_t key_size) noexcept nogil:
    return _merge_move(<MergeCursor *> self, TO_KEY, key, key_size)

cdef int _merge_seek_before(Cursor *self, const char *key, size_t key_size) noexcept nogil:
    return _merge_move(<MergeCursor *> self, BEFORE_KEY, key, key_size)

cdef void _merge_free(Cursor *self) noexcept nogil:
    cdef MergeCursor *merge = <MergeCursor *> self
    cdef size_t place
    for place in range(merge.count):
        merge.heap[place].cursor.free(merge.heap[place].cursor)
    free(merge)
    count_death(MERGE_CURSOR)


cdef Cursor *merge_cursor(Cursor **sources, size_t count) noexcept nogil:
    cdef MergeCursor *merge = NULL
    cdef size_t i, missing = 0
    for i in range(count):
        missing += sources[i] == NULL            # its maker had no memory
    if count == 1:
        return sources[0]
    if missing == 0:
        merge = <MergeCursor *> malloc(sizeof(MergeCursor) + count * sizeof(Source))
    if merge == NULL:
        for i in range(count):
            if sources[i] != NULL:
                sources[i].free(sources[i])
        return NULL
    memset(merge, 0, sizeof(MergeCursor))
    merge.count = count
    for i in range(count):
        merge.heap[i].cursor = sources[i]
        merge.heap[i].index = <uint32_t> i
        merge.heap[i].prefix = 0
    merge.row.seek_first = _merge_seek_first
    merge.row.seek_last = _merge_seek_last
    merge.row.seek = _merge_seek
    merge.row.seek_before = _merge_seek_before
    merge.row.next = _merge_next
    merge.row.previous = _merge_previous
    merge.row.free = _merge_free
    count_birth(MERGE_CURSOR)
    return &merge.row


# ---------------------------------------------------------------------------- visibility

cdef uint64_t covering_tombstone(const RangeTombstone *tombstones, size_t count, const char *key, size_t key_size,
                                 uint64_t snapshot) noexcept nogil:
    cdef const RangeTombstone *tombstone
    cdef uint64_t newest = 0
    cdef size_t i
    for i in range(count):
        tombstone = tombstones + i
        if (newest < tombstone.ts <= snapshot
                and compare_keys(tombstone.start, tombstone.start_size, key, key_size) <= 0
                and compare_keys(key, key_size, tombstone.stop, tombstone.stop_size) < 0):
            newest = tombstone.ts
    return newest


cdef enum Where:
    NOT_STARTED = 2                  # 1, 0, < 0: what the source's last move returned

cdef struct Reader:                  # what a ReadCursor * points to
    ReadCursor row
    Cursor *source
    uint64_t snapshot
    RangeTombstone *tombstones       # those that this snapshot sees and these bounds meet; strings borrowed
    size_t tombstone_count
    char *start                      # NULL: open
    char *stop
    size_t start_size
    size_t stop_size
    bint reverse
    int where
    Held key                         # of the key being looked at, with room for one byte more
    Held value                       # reverse only: its best version so far


cdef inline bint _same_key(const Reader *reader) noexcept nogil:
    return holds(&reader.key, reader.source.key, reader.source.key_size)


cdef int _pass_key(Reader *reader) noexcept nogil:
    """Moves beyond all versions of the held key, in the reader's direction."""
    cdef Cursor *source = reader.source
    cdef int moved = 1, step
    for step in range(STEPS_BEFORE_SEEK):
        moved = source.previous(source) if reader.reverse else source.next(source)
        if moved != 1 or not _same_key(reader):
            return moved
    if reader.reverse:
        return source.seek_before(source, reader.key.data, reader.key.size)
    return source.seek(source, key_after(&reader.key), reader.key.size + 1)


cdef int _settle(Reader *reader) noexcept nogil:
    """Stands the source on the version of the held key that the snapshot sees; 0 when there is none.

    There may be many newer versions than that one, or many older, so it looks from both ends of the
    key in turn, each time four times as far: the cost is that of the shorter side.
    """
    cdef Cursor *source = reader.source
    cdef size_t step, steps = FIRST_SETTLE_STEPS
    cdef int moved
    while True:
        moved = source.seek(source, reader.key.data, reader.key.size)
        for step in range(steps):
            if moved != 1:
                return moved
            if not _same_key(reader):
                return 0
            if source.ts <= reader.snapshot:
                return 1
            moved = source.next(source)
        moved = source.seek_before(source, key_after(&reader.key), reader.key.size + 1)
        for step in range(steps):
            if moved != 1:
                return moved
            if source.ts > reader.snapshot:      # met at the latest at the key's newest version, seen above
                return 0 if step == 0 else source.next(source)
            moved = source.previous(source)
        steps *= 4


cdef inline bint _is_row(const Reader *reader, const char *key, size_t key_size, uint64_t ts, int kind) noexcept nogil:
    return kind != KIND_DELETE and (reader.tombstone_count == 0 or ts >= covering_tombstone(
        reader.tombstones, reader.tombstone_count, key, key_size, reader.snapshot))


cdef inline int _skip_newer(Reader *reader) noexcept nogil:
    """From a key's newest version, which the snapshot does not see, to the one it sees or to another key.

    1: stands on a version that may be seen or on another key's newest; else as a move.
    """
    cdef Cursor *source = reader.source
    cdef int moved, step
    if hold(&reader.key, source.key, source.key_size) < 0:
        return NO_MEMORY
    for step in range(STEPS_BEFORE_SEEK):
        moved = source.next(source)
        if moved != 1 or source.ts <= reader.snapshot or not _same_key(reader):
            return moved
    moved = _settle(reader)
    if moved != 0:
        return moved
    return source.seek(source, key_after(&reader.key), reader.key.size + 1)


cdef int _next_forward(Reader *reader) noexcept nogil:
    cdef Cursor *source = reader.source
    if reader.where == NOT_STARTED:
        if reader.start != NULL:
            reader.where = source.seek(source, reader.start, reader.start_size)
        else:
            reader.where = source.seek_first(source)
    elif reader.where == 1:                      # on the row given last
        reader.where = hold(&reader.key, source.key, source.key_size)
        if reader.where == 0:
            reader.where = _pass_key(reader)
    while reader.where == 1:
        if reader.stop != NULL and compare_keys(source.key, source.key_size, reader.stop, reader.stop_size) >= 0:
            reader.where = 0
        elif source.ts > reader.snapshot:
            reader.where = _skip_newer(reader)
        elif _is_row(reader, source.key, source.key_size, source.ts, source.kind):
            reader.row.key = source.key
            reader.row.value = source.value
            reader.row.key_size = source.key_size
            reader.row.value_size = source.value_size
            reader.row.ts = source.ts
            reader.row.kind = source.kind
            return 1
        else:
            reader.where = hold(&reader.key, source.key, source.key_size)
            if reader.where == 0:
                reader.where = _pass_key(reader)
    return reader.where


cdef inline int _hold_version(Reader *reader) noexcept nogil:
    reader.row.ts = reader.source.ts
    reader.row.kind = reader.source.kind
    return hold(&reader.value, reader.source.value, reader.source.value_size)


cdef int _key_backward(Reader *reader) noexcept nogil:
    """From the oldest version of a key over all its versions; the one the snapshot sees is held.

    1: there is one, 0: none, < 0: status. `where` tells where the source stands: on the key before.
    """
    cdef Cursor *source = reader.source
    cdef int step, found = 0
    if hold(&reader.key, source.key, source.key_size) < 0:
        return NO_MEMORY
    for step in range(STEPS_BEFORE_SEEK):
        if source.ts > reader.snapshot:          # and so are all that follow
            reader.where = _pass_key(reader)
            return reader.where if reader.where < 0 else found
        if _hold_version(reader) < 0:
            return NO_MEMORY
        found = 1
        reader.where = source.previous(source)
        if reader.where < 0:
            return reader.where
        if reader.where == 0 or not _same_key(reader):
            return 1
    found = _settle(reader)
    if found < 0 or (found == 1 and _hold_version(reader) < 0):
        return found if found < 0 else NO_MEMORY
    reader.where = source.seek_before(source, reader.key.data, reader.key.size)
    return reader.where if reader.where < 0 else found


cdef int _next_backward(Reader *reader) noexcept nogil:
    cdef Cursor *source = reader.source
    cdef int found
    if reader.where == NOT_STARTED:
        if reader.stop != NULL:
            reader.where = source.seek_before(source, reader.stop, reader.stop_size)
        else:
            reader.where = source.seek_last(source)
    while reader.where == 1:
        if reader.start != NULL and compare_keys(source.key, source.key_size, reader.start, reader.start_size) < 0:
            reader.where = 0
            break
        found = _key_backward(reader)
        if found < 0:
            reader.where = found
        elif found == 1 and _is_row(reader, reader.key.data, reader.key.size, reader.row.ts, reader.row.kind):
            reader.row.key = reader.key.data
            reader.row.key_size = <uint32_t> reader.key.size
            reader.row.value = reader.value.data
            reader.row.value_size = <uint32_t> reader.value.size
            return 1
    return reader.where


cdef int _copy_bound(const char *bound, size_t size, char **out, size_t *out_size) noexcept nogil:
    out_size[0] = size
    if bound == NULL:
        return 0
    out[0] = <char *> malloc(size + 1)
    if out[0] == NULL:
        return NO_MEMORY
    memcpy(out[0], bound, size)
    return 0


cdef int _copy_tombstones(Reader *reader, const RangeTombstone *tombstones, size_t count) noexcept nogil:
    cdef const RangeTombstone *one
    cdef size_t i
    if count == 0:
        return 0
    reader.tombstones = <RangeTombstone *> malloc(count * sizeof(RangeTombstone))
    if reader.tombstones == NULL:
        return NO_MEMORY
    for i in range(count):
        one = tombstones + i
        if (one.ts <= reader.snapshot
                and (reader.stop == NULL or compare_keys(one.start, one.start_size, reader.stop, reader.stop_size) < 0)
                and (reader.start == NULL or compare_keys(reader.start, reader.start_size, one.stop,
                                                          one.stop_size) < 0)):
            reader.tombstones[reader.tombstone_count] = one[0]
            reader.tombstone_count += 1
    return 0


cdef ReadCursor *read_cursor_new(Cursor *source, uint64_t snapshot, const RangeTombstone *tombstones,
                                 size_t tombstone_count, const char *start, size_t start_size,
                                 const char *stop, size_t stop_size, bint reverse) noexcept nogil:
    cdef Reader *reader
    if source == NULL:
        return NULL
    reader = <Reader *> malloc(sizeof(Reader))
    if reader == NULL:
        source.free(source)
        return NULL
    memset(reader, 0, sizeof(Reader))
    count_birth(READ_CURSOR)
    reader.source = source
    reader.snapshot = snapshot
    reader.reverse = reverse
    reader.where = NOT_STARTED
    if (_copy_bound(start, start_size, &reader.start, &reader.start_size) < 0
            or _copy_bound(stop, stop_size, &reader.stop, &reader.stop_size) < 0
            or _copy_tombstones(reader, tombstones, tombstone_count) < 0):
        read_cursor_free(&reader.row)
        return NULL
    return &reader.row


cdef int read_cursor_next(ReadCursor *cursor) noexcept nogil:
    cdef Reader *reader = <Reader *> cursor
    if reader.reverse:
        return _next_backward(reader)
    return _next_forward(reader)


cdef void read_cursor_free(ReadCursor *cursor) noexcept nogil:
    cdef Reader *reader = <Reader *> cursor
    if reader == NULL:
        return
    reader.source.free(reader.source)
    free(reader.tombstones)
    free(reader.start)
    free(reader.stop)
    free(reader.key.data)
    free(reader.value.data)
    free(reader)
    count_death(READ_CURSOR)
