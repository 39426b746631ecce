"""Memtable against a dict of versions: order, snapshots, repeated versions, limits, readers beside a writer."""
from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core._ext.memtable import MemtableHandle, entry_bytes
from phantomdb.core._ext.memtable_probe import MemtableCursor, fill, probe, seek_again, walk
from phantomdb.core.errors import CorruptionError, LimitExceeded

PUT, DELETE = 0, 1
NEWEST = 2**64 - 1
MIB = 1 << 20
Entry = tuple[bytes, int, int, bytes]

# Lengths around the eight bytes compared at once, so that keys and their prefixes often collide.
keys = st.one_of(st.sampled_from([b"", b"\0", b"a", b"a\0", b"prefix00", b"prefix00\0", b"prefix00prefix01"]),
                 st.text("ab\xff", max_size=3).map(lambda text: text.encode("latin-1")),
                 st.text("ab\0", max_size=9).map(lambda text: b"prefix00" + text.encode()))
entries = st.tuples(keys, st.integers(1, 6), st.sampled_from([PUT, DELETE]), st.binary(max_size=5))


class Model:
    """What a memtable holds: of each (key, ts) the version inserted last."""

    def __init__(self) -> None:
        self.versions: dict[tuple[bytes, int], tuple[int, bytes]] = {}

    def insert(self, key: bytes, ts: int, kind: int, value: bytes) -> None:
        self.versions[key, ts] = kind, value

    def rows(self) -> list[Entry]:
        return [(key, ts, *self.versions[key, ts])
                for key, ts in sorted(self.versions, key=lambda version: (version[0], -version[1]))]

    def get(self, key: bytes, snapshot: int) -> tuple[int, int, bytes] | None:
        seen = [ts for k, ts in self.versions if k == key and ts <= snapshot]
        return (self.versions[key, max(seen)][0], max(seen), self.versions[key, max(seen)][1]) if seen else None


def build(inserted: list[Entry], capacity: int = 64 << 10) -> tuple[MemtableHandle, Model]:
    memtable, model = MemtableHandle(capacity), Model()
    for entry in inserted:
        memtable.insert(*entry)
        model.insert(*entry)
    return memtable, model


def check_equal(memtable: MemtableHandle, model: Model, targets: list[bytes]) -> None:
    rows = model.rows()
    assert memtable.scan() == rows
    assert memtable.scan(reverse=True) == rows[::-1]
    for key in targets:
        assert memtable.scan(key) == [row for row in rows if row[0] >= key]
        assert memtable.scan(key, reverse=True) == [row for row in rows if row[0] < key][::-1]
        for snapshot in (0, 1, 3, 6, NEWEST):
            assert memtable.get(key, snapshot) == model.get(key, snapshot)


@given(st.lists(entries, max_size=60), st.lists(keys, max_size=5))
def test_equals_model_with_timestamps_in_any_order(inserted: list[Entry], targets: list[bytes]) -> None:
    memtable, model = build(inserted)
    check_equal(memtable, model, targets + [entry[0] for entry in inserted])
    assert memtable.entry_count == len(inserted)


@given(st.lists(entries, max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_deferred_order_gives_the_same_memtable(inserted: list[Entry], start: int, count: int) -> None:
    memtable, model = MemtableHandle(64 << 10), Model()
    for i, entry in enumerate(inserted):
        if i == start:
            memtable.defer_order()
        if i == start + count:
            memtable.restore_order()
        memtable.insert(*entry)
        model.insert(*entry)
    if start < len(inserted) <= start + count:
        memtable.restore_order()
    check_equal(memtable, model, [entry[0] for entry in inserted])


@given(st.lists(entries, min_size=1, max_size=30),
       st.lists(st.one_of(st.sampled_from(["first", "last", "next", "previous"]),
                          st.tuples(st.sampled_from(["seek", "seek_before"]), keys)), max_size=30))
def test_cursor_moves(inserted: list[Entry], moves: list[str | tuple[str, bytes]]) -> None:
    memtable, model = build(inserted)
    rows = model.rows()
    cursor = MemtableCursor(memtable)
    at: int | None = None
    for move in moves:
        if isinstance(move, tuple):
            entry = getattr(cursor, move[0])(move[1])
            less = sum(row[0] < move[1] for row in rows)
            at = less if move[0] == "seek" else less - 1
        else:
            entry = getattr(cursor, move)()
            if move in ("first", "last"):
                at = 0 if move == "first" else len(rows) - 1
            elif at is not None:
                at += 1 if move == "next" else -1
        if at is None or not 0 <= at < len(rows):
            at = None                        # past an end; next and previous stay there
            assert entry is None
        else:
            assert entry == rows[at]


def test_same_version_again_replaces_it_for_a_cursor_that_stands_there() -> None:
    memtable, _ = build([(b"a", 1, PUT, b""), (b"b", 5, PUT, b"old"), (b"c", 1, PUT, b"")])
    cursor = MemtableCursor(memtable)
    assert cursor.seek(b"b") == (b"b", 5, PUT, b"old")
    for value in (b"new", b"newest"):
        memtable.insert(b"b", 5, PUT, value)
    assert cursor.next() == (b"c", 1, PUT, b"")
    assert cursor.previous() == (b"b", 5, PUT, b"newest")
    assert cursor.previous() == (b"a", 1, PUT, b"")
    assert memtable.get(b"b", 5) == (PUT, 5, b"newest")


def test_an_empty_memtable() -> None:
    memtable = MemtableHandle(1)
    assert memtable.capacity == 4096         # raised to the least that makes sense
    cursor = MemtableCursor(memtable)
    assert [cursor.first(), cursor.last(), cursor.seek(b""), cursor.seek_before(b"z"), cursor.next(),
            cursor.previous(), memtable.get(b"", NEWEST)] == [None] * 7
    assert memtable.scan() == memtable.scan(reverse=True) == []
    assert memtable.timestamps is None
    memtable.defer_order()
    memtable.restore_order()
    memtable.insert(b"", 7, PUT, b"")
    assert memtable.scan() == [(b"", 7, PUT, b"")] and memtable.timestamps == (7, 7)


def test_keys_of_64_kib() -> None:
    long = b"k" * 65535
    memtable, model = build([(long + b"\xff", 1, PUT, b"last"), (long + b"\0", 2, PUT, b"middle"),
                             (long, 3, PUT, b"first"), (long, 4, DELETE, b"")], MIB)
    check_equal(memtable, model, [long, long + b"\0", long + b"\xff", long[:-1], long + b"\xff\xff"])


@pytest.mark.parametrize("capacity", [4096, 300_000])
def test_a_full_arena_refuses_and_stays_whole(capacity: int) -> None:
    memtable, model = MemtableHandle(capacity), Model()
    with pytest.raises(LimitExceeded):
        for i in range(capacity):
            entry = (f"{i * 7919 % 10007}".encode(), i + 1, PUT, b"v" * 100)
            promised = memtable.capacity - memtable.used >= entry_bytes(len(entry[0]), len(entry[3]))
            memtable.insert(*entry)
            model.insert(*entry)
    assert not promised                      # what entry_bytes says fits does fit
    assert capacity - 200 < memtable.used <= capacity
    assert memtable.scan() == model.rows()
    with pytest.raises(LimitExceeded):
        memtable.insert(b"k", 1, PUT, b"v" * capacity)
    assert memtable.scan() == model.rows()


def test_a_full_arena_ends_where_it_should() -> None:
    for capacity in range(4096, 4096 + 256, 8):
        memtable = MemtableHandle(capacity)
        with pytest.raises(LimitExceeded):
            for _ in range(capacity):
                memtable.insert(b"", 1, PUT, b"")
        assert memtable.used <= capacity


def test_the_newest_version_in_long_chains() -> None:
    memtable = MemtableHandle(400_000)
    for ts in (1, 2, 3):
        for i in range(1500):
            memtable.insert(b"%d" % (i * 7 * ts % 1500), ts, PUT, b"")
    newest = {b"%d" % (i * 7 * ts % 1500): ts for ts in (1, 2, 3) for i in range(1500)}
    assert {key: memtable.get(key, NEWEST) for key in newest} == {key: (PUT, ts, b"") for key, ts in newest.items()}


def test_a_thousand_versions_of_one_key() -> None:
    memtable = MemtableHandle(MIB)
    for ts in range(1, 1001):
        memtable.insert(b"counter", ts, PUT, b"%d" % ts)
    for snapshot in (1, 2, 500, 999, 1000, NEWEST):
        seen = min(snapshot, 1000)
        assert memtable.get(b"counter", snapshot) == (PUT, seen, b"%d" % seen)
    assert memtable.get(b"counter", 0) is None
    assert [row[1] for row in memtable.scan()] == list(range(1000, 0, -1))


def test_tombstones_are_kept_in_order() -> None:
    memtable = MemtableHandle(4096)
    expected = []
    for i in range(1, 40):                   # the array is replaced several times on the way
        tombstone = (b"s%d" % i, b"t" * (i % 3), i)
        memtable.add_tombstone(*tombstone)
        expected.append(tombstone)
        assert memtable.tombstones == expected
    assert memtable.timestamps == (1, 39)
    assert memtable.entry_count == 0


def test_probe_tells_a_wrong_value() -> None:
    memtable = MemtableHandle(MIB)
    fill(memtable, 0, 10)
    row = memtable.scan()[3]
    memtable.insert(row[0], 2, PUT, b"\xff" * 16)
    with pytest.raises(CorruptionError):
        probe(memtable, 0, 10)
    assert probe(memtable, 0, 10, snapshot=1) == 10


@pytest.mark.parametrize("shuffled", [False, True])
def test_many_entries_in_and_out_of_order(shuffled: bool) -> None:
    memtable = MemtableHandle(8 * MIB)
    fill(memtable, 0, 30_000, shuffled)
    assert probe(memtable, 0, 30_000, shuffled) == 30_000
    assert probe(memtable, 30_000, 30_000, shuffled) == 0
    assert walk(memtable) == walk(memtable, reverse=True) == memtable.entry_count == 30_000


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**40))
def test_readers_beside_a_writer(first: int) -> None:
    """Enough keys for chains to be long, and new versions that rebuild them under the readers' feet."""
    count, others, rounds = 8000, 500, 6
    total = count * rounds + others * (rounds - 1)
    memtable = MemtableHandle(4 * MIB)
    fill(memtable, first, count, ts=1, value_size=16)
    failures: list[BaseException] = []
    writing = threading.Event()
    writing.set()

    def read(reverse: bool) -> None:
        try:
            while writing.is_set():
                assert probe(memtable, first, count, snapshot=1) == count
                assert probe(memtable, first, count) == count
                assert count <= walk(memtable, reverse) <= total
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read, args=(reverse,)) for reverse in (False, True)]
    for thread in readers:
        thread.start()
    for version in range(2, rounds + 1):
        fill(memtable, first, count, ts=version, value_size=16)
        fill(memtable, first + count * version, others, ts=version, value_size=16)
    writing.clear()
    for thread in readers:
        thread.join()
    assert not failures
    assert probe(memtable, first, count, snapshot=3) == count
    assert walk(memtable) == memtable.entry_count == total


def test_a_seek_beside_a_writer_does_not_fall_short() -> None:
    """Each entry written takes its place right before the one that the reader is busy comparing."""
    memtable, target = MemtableHandle(64 * MIB), 2**40
    fill(memtable, target, 1, shuffled=False, padding=4096)
    writer = threading.Thread(target=fill, args=(memtable, 0, 12_000, False), kwargs={"padding": 4096})
    writer.start()
    while writer.is_alive():
        seek_again(memtable, target, 100, shuffled=False, padding=4096)
    writer.join()
    assert memtable.entry_count == 12_001


def test_inserts_after_the_order_was_restored() -> None:
    for late in range(-1, 60, 2):
        memtable = MemtableHandle(64 << 10)
        memtable.defer_order()
        for i in range(58, -1, -2):
            memtable.insert(b"%02d" % (i + 10), 1, PUT, b"")
        memtable.restore_order()
        memtable.insert(b"%02d" % (late + 10), 1, PUT, b"")
        assert [row[0] for row in memtable.scan()] == sorted(b"%02d" % (i + 10) for i in [late, *range(0, 60, 2)])


def test_a_cursor_keeps_the_arena() -> None:
    memtable, model = build([(b"a", 1, PUT, b"x" * 100), (b"b", 1, PUT, b"y" * 100)], MIB)
    cursor = MemtableCursor(memtable)
    del memtable
    assert [cursor.first(), cursor.next()] == model.rows()
