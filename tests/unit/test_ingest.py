"""Ingest: all pairs or none, at one moment, newer than everything before; feeds, transactions and crashes included."""
from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import phantomdb
from phantomdb.core.database import Database
from phantomdb.core.errors import (DatabaseClosed, DiskFull, FeedLost, InvalidArgument, LimitExceeded,
                                   RetryableConflict, StorageError)
from phantomdb.core.filesystems import FaultyFileSystem, MemoryFileSystem
from phantomdb.core import ingest as module
from phantomdb.core.ingest import ingest

SMALL: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "table_bytes": 64 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
    "level0_compaction_count": 2, "retention_s": 0, "value_threshold_bytes": 64,
}
PARTITIONS = pytest.mark.parametrize("partitions", [1, 4])


def opened(disk: Any, **options: Any) -> Database:
    return phantomdb.open("/db", file_system=disk, **{**SMALL, **options})


def key(number: int) -> bytes:
    return b"%05d" % number


def some_pairs(numbers: range, size: int = 10) -> list[tuple[bytes, bytes]]:
    """Every tenth value is large enough for the value log."""
    return [(key(number), b"v%d" % number * (size if number % 10 == 0 else 1)) for number in numbers]


def tables(disk: MemoryFileSystem) -> set[str]:
    return {name for name in disk.list_dir("/db") if name.endswith(".table")}


# ------------------------------------------------------------------ what is there afterwards

@PARTITIONS
def test_all_pairs_appear_at_once(partitions: int) -> None:
    disk = MemoryFileSystem()
    pairs = some_pairs(range(20_000), 30)
    with opened(disk, partitions=partitions) as db:
        db.kv.put(b"other", b"1")
        before = db.timestamp
        with db.kv.snapshot() as old:
            assert db.ingest(iter(pairs)) == 20_000
            assert list(old.scan()) == [(b"other", b"1")]
            assert old.get(key(5)) is None
        assert db.timestamp > before
        assert list(db.kv.scan()) == [*pairs, (b"other", b"1")]
        assert db.kv.multi_get([key(0), key(19_999), b"none"]) == [pairs[0][1], pairs[-1][1], None]
        assert len(tables(disk)) > partitions            # in tables of the size that was asked for
        db.verify()
        db.compact()
        assert list(db.kv.scan()) == [*pairs, (b"other", b"1")]
    with opened(disk) as db:
        assert list(db.kv.scan(reverse=True)) == [*pairs, (b"other", b"1")][::-1]


def test_a_mapping_buffers_and_nothing_at_all() -> None:
    with opened(MemoryFileSystem()) as db:
        before = db.timestamp
        assert db.ingest([]) == 0
        assert db.timestamp == before
        assert db.ingest({b"": b"", b"a": b"1"}) == 2
        assert db.ingest([(bytearray(b"b"), memoryview(b"2"))]) == 1     # type: ignore[list-item]
        assert dict(db.kv.scan()) == {b"": b"", b"a": b"1", b"b": b"2"}


@PARTITIONS
def test_history_tells_one_moment(partitions: int) -> None:
    with opened(MemoryFileSystem(), partitions=partitions, retention_s=60) as db:
        db.kv.put(key(3), b"old")
        before = db.timestamp
        db.ingest(some_pairs(range(10)))
        after = db.timestamp
        db.kv.put(key(4), b"newer")
        db.compact()
        with db.kv.snapshot(before) as then:
            assert list(then.scan()) == [(key(3), b"old")]
        with db.kv.snapshot(after - 1) as then:
            assert list(then.scan()) == [(key(3), b"old")]
        with db.kv.snapshot(after) as then:
            assert list(then.scan()) == some_pairs(range(10))


@pytest.mark.parametrize("flushed", [True, False])
@PARTITIONS
def test_newer_than_all_before_and_older_than_all_after(partitions: int, flushed: bool) -> None:
    disk = MemoryFileSystem()
    with opened(disk, partitions=partitions) as db:
        for number in range(100):
            db.kv.put(key(number), b"old")
        if flushed:
            db.flush()
        db.kv.delete_range(key(20), key(30))
        db.ingest(some_pairs(range(50)))
        db.kv.put(key(7), b"newer")
        db.kv.delete(key(8))
        db.kv.delete_range(key(40), key(45))
        expected = dict(some_pairs(range(50))) | {key(number): b"old" for number in range(50, 100)}
        expected |= {key(7): b"newer"}
        for number in (8, *range(40, 45)):
            del expected[key(number)]
        assert dict(db.kv.scan()) == expected
        assert all(db.kv.get(key(number)) == expected.get(key(number)) for number in range(100))
        db.flush()                                       # a memtable that is flushed later has newer timestamps
        assert all(db.kv.get(key(number)) == expected.get(key(number)) for number in range(100))
        db.compact()
        assert dict(db.kv.scan()) == expected
    with opened(disk) as db:
        assert dict(db.kv.scan()) == expected


ACTIONS = st.lists(st.tuples(
    st.sampled_from(("put", "delete", "range", "ingest", "ingest", "flush", "compact", "reopen")),
    st.integers(0, 30), st.integers(0, 30)), max_size=25)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS, st.sampled_from((1, 3)))
def test_equals_a_dictionary(actions: list[tuple[str, int, int]], partitions: int) -> None:
    disk = MemoryFileSystem()
    model: dict[bytes, bytes] = {}
    db = opened(disk, partitions=partitions)
    try:
        for step, (action, first, second) in enumerate(actions):
            low, high = min(first, second), max(first, second)
            if action == "put":
                db.kv.put(key(first), b"%d" % step)
                model[key(first)] = b"%d" % step
            elif action == "delete":
                db.kv.delete(key(first))
                model.pop(key(first), None)
            elif action == "range":
                db.kv.delete_range(key(low), key(high))
                model = {name: value for name, value in model.items() if not key(low) <= name < key(high)}
            elif action == "ingest":
                pairs = {key(number): b"%d" % step * (1 + number) for number in range(low, high, 1 + first % 3)}
                assert db.ingest(pairs) == len(pairs)
                model |= pairs
            elif action == "flush":
                db.flush()
            elif action == "compact":
                db.compact()
            else:
                db.close()
                db = opened(disk)
            assert dict(db.kv.scan()) == model
        assert all(db.kv.get(key(number)) == model.get(key(number)) for number in range(31))
        db.verify()
    finally:
        db.close()


# ------------------------------------------------------------------ where tables go

def levels(db: Database) -> list[int]:
    return [len(level) for level in db.store.tree.partitions[0]]


def test_tables_go_as_deep_as_nothing_is_in_the_way() -> None:
    with opened(MemoryFileSystem(), compaction_threads=1) as db:
        bottom = len(levels(db)) - 1
        db.ingest(some_pairs(range(100)))
        assert levels(db)[bottom] == 1                   # an empty tree
        db.ingest(some_pairs(range(200, 300)))
        db.ingest(some_pairs(range(100, 150)))
        assert levels(db)[bottom] == 3                   # behind, and between
        db.ingest([(key(120), b"new")])
        assert levels(db)[bottom] == 3
        assert sum(levels(db)) == 4                      # over older versions
        assert db.kv.get(key(120)) == b"new"
        db.ingest([(key(120), b"newest")])
        assert db.kv.get(key(120)) == b"newest"


# ------------------------------------------------------------------ what is refused

@pytest.mark.parametrize(("pairs", "named"), [
    ([(b"a", b""), (b"c", b""), (b"b", b"")], "key b'b' comes after b'c'"),
    ([(b"a", b""), (b"a", b"")], "key b'a' is given twice"),
    ([(b"a", b""), (b"b" * 50, b""), (b"b" * 50, b"")], r"key b'b{40}'\.\.\. is given twice"),
])
@PARTITIONS
def test_out_of_order_is_named_and_nothing_is_added(partitions: int, pairs: Any, named: str) -> None:
    disk = MemoryFileSystem()
    with opened(disk, partitions=partitions) as db:
        db.kv.put(b"x", b"1")
        db.flush()
        before = tables(disk)
        with pytest.raises(InvalidArgument, match=named):
            db.ingest(pairs)
        assert tables(disk) == before
        assert list(db.kv.scan()) == [(b"x", b"1")]
        assert db.ingest([(b"a", b"1")]) == 1


@pytest.mark.parametrize(("pair", "error"), [
    ((b"b", None), TypeError), ((b"b", "text"), TypeError), (("b", b""), TypeError), ((b"b",), ValueError),
    ((b"b" * 65_537, b""), LimitExceeded),
])
def test_a_bad_pair_adds_nothing(pair: Any, error: type[Exception]) -> None:
    disk = MemoryFileSystem()
    with opened(disk) as db:
        with pytest.raises(error):
            db.ingest([(b"a", b"x" * 1000), pair])
        assert not tables(disk)
        assert not list(db.kv.scan())


def test_an_iterator_that_fails_adds_nothing() -> None:
    def failing() -> Iterator[tuple[bytes, bytes]]:
        yield from some_pairs(range(20_000))
        raise ZeroDivisionError

    disk = MemoryFileSystem()
    with opened(disk) as db:
        with pytest.raises(ZeroDivisionError):
            db.ingest(failing())
        assert not tables(disk)


# ------------------------------------------------------------------ beside others

@PARTITIONS
def test_writers_and_readers_go_on(partitions: int) -> None:
    """Readers see none or all of each ingest, and never an older one again; no write is lost."""
    failures: list[str] = []
    stop = threading.Event()
    with opened(MemoryFileSystem(), partitions=partitions, durability="none") as db:
        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                db.kv.write([(b"w1", b"%d" % number), (b"w2", b"%d" % number), (b"pad%d" % (number % 50), b"x" * 200)])

        def read() -> None:
            last = -1
            while not stop.is_set():
                rows = dict(db.kv.scan())
                if rows.get(b"w1") != rows.get(b"w2"):
                    failures.append("a write was seen by halves")
                seen = {rows.get(key(number)) for number in range(40)}
                if len(seen) != 1:
                    failures.append(f"an ingest was seen by halves: {seen}")
                now = int(seen.pop() or b"-1")
                if now < last:
                    failures.append(f"ingest {now} came after {last}")
                last = now

        threads = [threading.Thread(target=work) for work in (write, read, read)]
        for thread in threads:
            thread.start()
        for number in range(12):
            db.ingest([(key(place), b"%d" % number) for place in range(40)])
            assert db.kv.get(key(3)) == b"%d" % number
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures, failures[:3]
        assert db.kv.get(b"w1") == db.kv.get(b"w2")
        assert db.kv.get(key(39)) == b"11"


@PARTITIONS
def test_commits_wait_while_tables_are_installed(partitions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written once the memtables are empty must come after the ingest, or it would hide newer pairs."""
    reserve = module.doors.reserve_ts
    threads: list[threading.Thread] = []
    with opened(MemoryFileSystem(), partitions=partitions) as db:
        def reserve_late(engine: Any) -> int:
            for name in (b"a", b"b"):
                threads.append(threading.Thread(target=db.kv.put, args=(name, b"written")))
                threads[-1].start()
                threads[-1].join(0.05)
            assert all(thread.is_alive() for thread in threads)
            assert db.kv.get(b"a") is None               # reads do not wait
            return int(reserve(engine))

        monkeypatch.setattr(module.doors, "reserve_ts", reserve_late)
        db.ingest([(b"a", b"ingested"), (b"b", b"ingested"), (b"c", b"ingested")])
        for thread in threads:
            thread.join()
        assert dict(db.kv.scan()) == {b"a": b"written", b"b": b"written", b"c": b"ingested"}
        db.compact()
        assert dict(db.kv.scan()) == {b"a": b"written", b"b": b"written", b"c": b"ingested"}


def test_a_transaction_that_read_before_conflicts() -> None:
    with opened(MemoryFileSystem()) as db:
        db.kv.put(b"a", b"1")
        reader, ranger, stranger = db.transaction(), db.transaction(), db.transaction()
        assert reader.kv.get(b"a") == b"1"
        assert list(ranger.kv.scan(b"b", b"c")) == []
        assert stranger.kv.get(b"z") is None
        db.ingest([(b"a", b"2"), (b"b1", b"3")])
        for transaction in (reader, ranger, stranger):
            transaction.kv.put(b"result", b"x")
        for transaction in (reader, ranger):
            with pytest.raises(RetryableConflict):
                transaction.commit()
        stranger.commit()


def test_two_at_a_time() -> None:
    with opened(MemoryFileSystem()) as db:
        threads = [threading.Thread(target=db.ingest, args=([(b"%d-%04d" % (which, number), b"x")
                                                             for number in range(300)],)) for which in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(db.kv.scan())) == 1200


def test_close_ends_an_ingest_under_way() -> None:
    disk = MemoryFileSystem()
    db = opened(disk)
    begun, closing = threading.Event(), threading.Event()
    caught: list[BaseException] = []

    def slow() -> Iterator[tuple[bytes, bytes]]:
        yield from some_pairs(range(5000))
        begun.set()
        closing.wait(10)
        while not db.store.is_closed:
            pass
        yield b"z", b"z"

    def work() -> None:
        try:
            db.ingest(slow())
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(10)
    closing.set()
    db.close()
    thread.join(10)
    assert [type(error) for error in caught] == [DatabaseClosed]
    assert not tables(disk)
    with opened(disk) as db:
        assert not list(db.kv.scan())


# ------------------------------------------------------------------ the change feed

def batches(feed: Iterator[Any]) -> list[tuple[bytes, ...]]:
    return [tuple(change.key for change in batch.changes) for batch in feed]


@PARTITIONS
def test_an_open_feed_sees_ingests_in_commit_order(partitions: int) -> None:
    with opened(MemoryFileSystem(), partitions=partitions, retention_s=60) as db:
        feed = db.watch(timeout_s=0.2)
        db.kv.put(b"before", b"1")
        db.ingest([(b"a", b"x" * 100), (b"b", b"2")])
        first = db.timestamp
        db.kv.put(b"between", b"1")
        db.ingest([(b"c", b"3")])
        db.kv.put(b"after", b"1")
        found = list(feed)
        assert [[change.key for change in batch.changes] for batch in found] == [
            [b"before"], [b"a", b"b"], [b"between"], [b"c"], [b"after"]]
        assert [change.value for change in found[1].changes] == [b"x" * 100, b"2"]
        assert found[1].timestamp == first
        assert [batch.timestamp for batch in found] == sorted(batch.timestamp for batch in found)
        assert batches(db.watch(first, timeout_s=0)) == [(b"between",), (b"c",), (b"after",)]
        assert batches(db.watch(found[0].timestamp, timeout_s=0)) == [
            (b"a", b"b"), (b"between",), (b"c",), (b"after",)]


def test_a_slow_feed_still_gets_what_was_overwritten_since() -> None:
    """With no retention at all, what an open feed has not given out yet is kept for it."""
    with opened(MemoryFileSystem(), retention_s=0) as db:
        db.kv.put(b"start", b"1")
        feed = db.watch(timeout_s=0.2)
        db.ingest([(key(number), b"first") for number in range(50)])
        db.ingest([(key(number), b"second" * 20) for number in range(50)])
        for number in range(50):
            db.kv.put(key(number), b"third")
        db.compact()
        db.kv.put(b"a", b"1")
        db.compact()
        found = list(feed)
        assert [batch.changes[0].value for batch in found[:2]] == [b"first", b"second" * 20]
        assert [len(batch.changes) for batch in found] == [50, 50, *[1] * 51]


def test_a_feed_from_before_after_opening_again() -> None:
    disk = MemoryFileSystem()
    with opened(disk, retention_s=60) as db:
        db.kv.put(b"a", b"1")
        start = db.timestamp
        db.ingest([(b"b", b"2"), (b"c", b"3")])
        db.kv.put(b"d", b"4")
    with opened(disk, retention_s=60) as db:
        assert batches(db.watch(start, timeout_s=0)) == [(b"b", b"c"), (b"d",)]


def test_a_feed_of_another_keyspace_goes_past_it() -> None:
    with opened(MemoryFileSystem()) as db:
        feed = db.watch(timeout_s=0.1)
        assert ingest(db.store, 0x7A, [(b"a", b"1")]) == 1
        db.kv.put(b"b", b"2")
        assert batches(feed) == [(b"b",)]
        assert list(db.kv.scan()) == [(b"b", b"2")]


def test_a_token_too_old_is_refused_not_skipped() -> None:
    """No feed was open, and history is gone: the feed cannot tell what was overwritten, so it must say so."""
    with opened(MemoryFileSystem(), retention_s=0, durability="none") as db:
        db.kv.put(b"a", b"1")
        token = db.timestamp
        db.ingest([(b"b", b"2")])
        time.sleep(0.05)                                 # history ends with the millisecond before the last one
        db.kv.put(b"b", b"3")
        time.sleep(0.05)
        db.compact()
        with pytest.raises(FeedLost):
            list(db.watch(token, timeout_s=0))


# ------------------------------------------------------------------ when the disk fails

def crash_points(partitions: int, stride: int, first: int) -> int:
    """Crashes at every `stride`-th operation of an ingest; how many images were looked at."""
    disk = MemoryFileSystem()
    db = opened(disk, partitions=partitions)
    for number in range(60):
        db.kv.put(key(number * 2), b"old" * (1 + number % 40))
    db.flush()
    db.kv.put(b"last", b"1")
    old = dict(db.kv.scan())
    pairs = dict(some_pairs(range(0, 4000, 3), 30))
    new = old | pairs
    allowed = [old, new]
    failures: list[str] = []
    images = 0

    def look(number: int, name: str, path: str) -> None:
        nonlocal images
        if number % stride != first % stride:
            return
        for mode, seed in (("lost", 0), ("kept", 0), ("torn", number), ("torn", number + 1)):
            image = disk.crash_image(mode, seed)         # type: ignore[arg-type]
            with opened(image) as crashed:
                if dict(crashed.kv.scan()) not in allowed:           # an exception here would look like a bad disk
                    failures.append(f"before operation {number} ({name} {path}), {mode}")
                crashed.kv.put(b"goes", b"on")
                crashed.verify()
            images += 1

    disk.before_operation = look
    try:
        assert db.ingest(pairs) == len(pairs)
        allowed[:] = [new, new | {b"later": b"1"}]
        db.kv.put(b"later", b"1")
    finally:
        disk.before_operation = None
        db.close()
    for mode in ("lost", "kept"):
        with opened(disk.crash_image(mode)) as crashed:  # type: ignore[arg-type]
            assert dict(crashed.kv.scan()) == allowed[1]
    assert not failures, failures[:3]
    return images


@PARTITIONS
def test_a_crash_leaves_all_or_nothing(partitions: int) -> None:
    assert crash_points(partitions, 5, partitions) > 10


@pytest.mark.long
@PARTITIONS
def test_long_a_crash_leaves_all_or_nothing(partitions: int) -> None:
    assert crash_points(partitions, 1, 0) > 50


@pytest.mark.parametrize("operation", ["sync", "pwrite"])
def test_a_manifest_that_cannot_be_written(operation: str) -> None:
    """Nobody knows whether the edit is on disk; the tables must stay until that is settled."""
    memory = MemoryFileSystem()
    disk = FaultyFileSystem(memory)
    db = opened(disk)
    db.kv.put(b"a", b"old")
    db.flush()
    disk.fail(operation, "MANIFEST")
    with pytest.raises(StorageError):
        db.ingest([(b"a", b"new"), (b"b", b"1")])
    assert db.kv.get(b"a") == b"old"
    for mode in ("lost", "kept", "torn"):
        with opened(memory.crash_image(mode, 3)) as crashed:             # type: ignore[arg-type]
            assert dict(crashed.kv.scan()) in ({b"a": b"old"}, {b"a": b"new", b"b": b"1"})
    db.kv.put(b"c", b"1")
    assert db.ingest([(b"a", b"newer"), (b"b", b"2")]) == 2
    assert dict(db.kv.scan()) == {b"a": b"newer", b"b": b"2", b"c": b"1"}
    db.close()
    with opened(disk) as db:
        assert dict(db.kv.scan()) == {b"a": b"newer", b"b": b"2", b"c": b"1"}
        db.verify()


def test_a_full_disk_adds_nothing() -> None:
    memory = MemoryFileSystem()
    disk = FaultyFileSystem(memory)
    with opened(disk) as db:
        db.kv.put(b"a", b"1")
        disk.fail("pwrite", ".table", errno=errno.ENOSPC, count=None)
        with pytest.raises(DiskFull):
            db.ingest(some_pairs(range(100)))
        disk.heal()
        assert not tables(memory)
        assert list(db.kv.scan()) == [(b"a", b"1")]
        db.kv.put(b"b", b"2")                            # writers are not left waiting
        assert db.ingest(some_pairs(range(100))) == 100
