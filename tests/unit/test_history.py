"""The past: snapshots of earlier moments, what may be forgotten, and the change feed."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import phantomdb
from phantomdb.core.database import moment_of, timestamp_of
from phantomdb.core.errors import DatabaseClosed, FeedLost, InvalidArgument, SnapshotTooOld
from phantomdb.core.feed import Batch, Change
from phantomdb.core.filesystems import MemoryFileSystem

Opener = Callable[..., phantomdb.Database]


# ---------------------------------------------------------------- the past


def test_as_of_by_timestamp_moment_and_distance(opened: Opener) -> None:
    db = opened(retention_s=3600)
    for _ in range(2):                                           # in the memtable, then in tables
        timestamps = []
        moments = []
        for number in range(3):
            db.kv.put(b"a", b"%d" % number)
            timestamps.append(db.timestamp)
            time.sleep(0.02)
            moments.append(datetime.now(UTC))
            time.sleep(0.02)
        for number in range(3):
            moment = moments[number]
            for as_of in (timestamps[number], moment, moment.replace(tzinfo=None), moment.astimezone(None),
                          moment_of(timestamps[number])):
                with db.kv.snapshot(as_of) as snapshot:
                    assert snapshot.get(b"a") == b"%d" % number, as_of
                    assert [row[1] for row in snapshot.scan()] == [b"%d" % number]
        back = datetime.now(UTC) - moments[1]
        with db.kv.snapshot(back) as snapshot:
            assert snapshot.get(b"a") == b"1"
        with db.kv.snapshot(datetime.now() + timedelta(days=1)) as snapshot:
            assert snapshot.timestamp == db.timestamp            # the future has not happened: it is now
        db.compact()
    for wrong in (0, -5, "yesterday", 1.5, True, b"x"):
        with pytest.raises((TypeError, ValueError)):
            db.kv.snapshot(wrong)                                # type: ignore[arg-type]
    with pytest.raises((ValueError, OverflowError)):
        db.kv.snapshot(1 << 70)


def test_moments_and_timestamps_are_inverse() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert moment_of(timestamp_of(moment)) == moment
    assert timestamp_of(None) == 0
    with pytest.raises(InvalidArgument):
        timestamp_of(datetime(1960, 1, 1, tzinfo=UTC))


def test_too_old_a_snapshot(opened: Opener) -> None:
    db = opened(retention_s=0)
    db.kv.put(b"a", b"1")
    old = db.timestamp
    db.kv.put(b"a", b"2")
    db.compact()
    for as_of in (old, timedelta(hours=1), datetime(2020, 1, 1, tzinfo=UTC)):
        with pytest.raises(SnapshotTooOld) as refusal:
            db.kv.snapshot(as_of)
        assert refusal.value.code == "snapshot_too_old"
    with db.kv.snapshot(db.timestamp) as snapshot:
        assert snapshot.get(b"a") == b"2"
    db.close()
    db = opened(retention_s=3600)                                # what is gone does not come back
    with pytest.raises(SnapshotTooOld):
        db.kv.snapshot(old)


def entries(db: phantomdb.Database) -> int:
    return sum(level["entries"] for level in db.stats()["levels"])


def test_compaction_drops_what_nobody_can_read(opened: Opener) -> None:
    db = opened(retention_s=0)
    for number in range(5):
        db.kv.write([(b"%03d" % key, b"%d" % number) for key in range(100)])
        db.flush()
    with db.kv.snapshot() as snapshot:
        db.kv.write([(b"%03d" % key, b"new") for key in range(100)])
        db.compact()
        assert entries(db) == 200
        assert {value for _, value in snapshot.scan()} == {b"4"}
    db.compact()
    assert entries(db) == 100
    db.kv.delete_range(b"000", b"050")
    for key in range(50, 100):
        db.kv.delete(b"%03d" % key)
    db.compact()
    assert entries(db) == 0
    assert db.stats()["table_bytes"] == 0


def test_retention_keeps_versions(opened: Opener) -> None:
    db = opened(retention_s=3600)
    timestamps = []
    for number in range(5):
        db.kv.put(b"a", b"%d" % number)
        timestamps.append(db.timestamp)
        db.flush()
    db.kv.delete(b"a")
    db.compact()
    assert entries(db) == 6
    for number, timestamp in enumerate(timestamps):
        with db.kv.snapshot(timestamp) as snapshot:
            assert snapshot.get(b"a") == b"%d" % number


def test_dead_values_give_their_space_back(opened: Opener) -> None:
    db = opened(retention_s=0)
    for _ in range(5):
        for number in range(40):
            db.kv.put(b"%03d" % number, os.urandom(10_000))
        db.compact()
    for _ in range(3):
        db.compact()
    assert db.stats()["value_bytes"] < 3 * 400_000
    files = [file for file in os.scandir(db.path) if "val" in file.name]
    assert sum(file.stat().st_size for file in files) < 4 * 400_000
    db.kv.delete_range()
    for _ in range(3):
        db.compact()
    assert db.stats()["value_bytes"] - db.stats()["value_garbage_bytes"] == 0


# ---------------------------------------------------------------- the change feed


def test_watch_gives_batches_in_order(db: phantomdb.Database) -> None:
    db.kv.put(b"before", b"")
    feed = db.watch(timeout_s=0.1)
    expected = []
    db.kv.put(b"a", b"1")
    expected.append(Batch(db.timestamp, (Change(b"a", b"1", None),)))
    db.kv.write([(b"b", b"2" * 100), (b"a", None)])
    expected.append(Batch(db.timestamp, (Change(b"b", b"2" * 100, None), Change(b"a", None, None))))
    with db.transaction() as txn:
        txn.kv.put(b"c", b"3")
    expected.append(Batch(db.timestamp, (Change(b"c", b"3", None),)))
    db.kv.delete_range(b"a", b"z")
    expected.append(Batch(db.timestamp, (Change(b"a", None, b"z"),)))
    with db.transaction() as txn:
        txn.kv.put(b"lost", b"")
        txn.rollback()
    assert list(db.watch(expected[1].timestamp, timeout_s=0.05)) == expected[2:]
    assert list(feed) == expected


def test_watch_is_live(db: phantomdb.Database) -> None:
    got: list[Batch] = []
    feed = db.watch(timeout_s=5)

    def consume() -> None:
        for batch in feed:
            got.append(batch)
            if batch.changes[0].key == b"299":
                return

    thread = threading.Thread(target=consume)
    thread.start()
    for number in range(300):
        db.kv.put(b"%d" % number, b"v" * 500)
        if number % 50 == 0:
            db.compact()
    thread.join(20)
    assert not thread.is_alive()
    assert [batch.changes[0].key for batch in got] == [b"%d" % number for number in range(300)]
    assert [batch.changes[0].value for batch in got] == [b"v" * 500] * 300


@pytest.mark.parametrize("durability", ["none", "commit"])
def test_a_feed_misses_nothing_that_is_committed_while_it_begins(opened: Opener, durability: str) -> None:
    """With everything up to its beginning read from a snapshot, a feed has all the rest."""
    db = opened(durability=durability)
    stop = threading.Event()
    counts = [0] * 3

    def write(worker: int) -> None:
        while not stop.is_set():
            db.kv.put(b"%d.%08d" % (worker, counts[worker]), b"v" * 500)
            counts[worker] += 1
            if counts[worker] % 8 == 0:
                time.sleep(0.002)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(40):
            feed = db.watch(timeout_s=5)
            seen = {key for key, _ in db.kv.scan()}
            for _ in range(3):
                seen.update(change.key for change in next(feed).changes)
            for worker in range(3):
                mine = sorted(key for key in seen if key.startswith(b"%d." % worker))
                assert mine == [b"%d.%08d" % (worker, number) for number in range(len(mine))]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class HeldFile:
    """A file whose sync waits for somebody's permission."""

    def __init__(self, file: Any, before_sync: Callable[[], None]) -> None:
        self.file, self.before_sync = file, before_sync

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def sync(self) -> None:
        self.before_sync()
        self.file.sync()


class SlowDisk(MemoryFileSystem):
    """Syncs of the log wait while `slow` is set, and nothing else does."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = False
        self.stuck, self.go_on = threading.Event(), threading.Event()

    def open(self, path: str, *arguments: Any, **options: Any) -> Any:
        file = super().open(path, *arguments, **options)
        return HeldFile(file, self.before_sync) if path.endswith(".log") else file

    def before_sync(self) -> None:
        if self.slow:
            self.stuck.set()
            self.go_on.wait(10)


def test_a_feed_waits_for_commits_that_wait_for_their_sync(small: dict[str, Any]) -> None:
    """Else it would begin behind them in the log, although they become visible after its beginning."""
    disk = SlowDisk()
    with phantomdb.open("/db", file_system=disk, **{**small, "durability": "commit"}) as db:
        for number in range(20):
            db.kv.put(b"%02d" % number, b"before" * 10)
        disk.slow = True
        writers = [threading.Thread(target=db.kv.put, args=(b"first", b"1"))]
        writers[0].start()
        assert disk.stuck.wait(10)
        for number in range(6):                                  # goes on to the next log segment meanwhile
            pairs = [(b"more%d.%d" % (number, part), b"v" * 60) for part in range(250)]
            writers.append(threading.Thread(target=db.kv.write, args=(pairs,)))
            writers[-1].start()
        time.sleep(0.2)
        threading.Timer(0.2, disk.go_on.set).start()
        feed = db.watch(timeout_s=1)
        seen = {key for key, _ in db.kv.scan()}
        disk.go_on.set()
        for thread in writers:
            thread.join()
        seen.update(change.key for batch in feed for change in batch.changes)
        assert seen == {key for key, _ in db.kv.scan()}


def test_a_feed_notices_that_the_log_was_shortened_while_it_began(opened: Opener,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    from phantomdb.core import feed as module
    db = opened(retention_s=3600)
    db.kv.put(b"a", b"0")
    start = db.timestamp
    rows = [(b"%04d" % number, b"v" * 60) for number in range(2000)]
    for number in range(0, 2000, 100):
        db.kv.write(rows[number:number + 100])
    real, before = module.FeedCursor, db.store.log_complete_from_ts

    def shorten_first(*arguments: Any) -> Any:
        db.flush()
        return real(*arguments)

    monkeypatch.setattr(module, "FeedCursor", shorten_first)
    feed = db.watch(start, timeout_s=0.1)
    assert db.store.log_complete_from_ts > max(before, start), "the log was not shortened: the test shows nothing"
    assert sorted(change[:2] for batch in feed for change in batch.changes) == rows


def test_watch_catches_up_from_versions_after_reopening(opened: Opener) -> None:
    db = opened(retention_s=3600)
    db.kv.put(b"a", b"0")
    start = db.timestamp
    timestamps = []
    for number in range(5):
        db.kv.write([(b"a", b"%d" % number), (b"b%d" % number, b"v" * 100)])
        timestamps.append(db.timestamp)
    db.kv.delete(b"a")
    timestamps.append(db.timestamp)
    db.kv.delete_range(b"b0", b"b2")
    timestamps.append(db.timestamp)
    db.compact()
    db.close()
    db = opened(retention_s=3600)
    feed = db.watch(start, timeout_s=0.2)
    db.kv.put(b"live", b"1")
    got = list(feed)
    assert [batch.timestamp for batch in got] == [*timestamps, db.timestamp]
    for number in range(5):
        assert sorted(got[number].changes) == [Change(b"a", b"%d" % number, None),
                                               Change(b"b%d" % number, b"v" * 100, None)]
    assert got[5].changes == (Change(b"a", None, None),)
    assert got[6].changes == (Change(b"b0", None, b"b2"),)
    assert got[7].changes == (Change(b"live", b"1", None),)
    assert list(db.watch(timestamps[3], timeout_s=0.05)) == got[4:]


def test_a_feed_that_reaches_too_far_back_is_lost(opened: Opener) -> None:
    db = opened(retention_s=0)
    db.kv.put(b"a", b"0")
    start = db.timestamp
    db.kv.put(b"a", b"1")
    db.compact()
    db.close()
    db = opened(retention_s=0)
    with pytest.raises(FeedLost) as refusal:
        next(db.watch(start, timeout_s=0.1))
    assert refusal.value.code == "feed_lost"
    assert list(db.watch(db.timestamp, timeout_s=0.05)) == []


def test_watch_ends_after_its_time_without_a_commit(db: phantomdb.Database) -> None:
    began = time.monotonic()
    assert list(db.watch(timeout_s=0.3)) == []
    assert 0.25 < time.monotonic() - began < 5
    assert list(db.watch(timeout_s=0)) == []


def test_an_open_feed_does_not_hold_up_closing(opened: Opener) -> None:
    db = opened()
    feed = db.watch()
    failures: list[BaseException] = []

    def consume() -> None:
        try:
            list(feed)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    time.sleep(0.1)
    began = time.monotonic()
    db.close()
    assert time.monotonic() - began < 3
    thread.join(5)
    assert not thread.is_alive()
    assert [type(error) for error in failures] == [DatabaseClosed]


def test_a_feed_that_is_given_up_keeps_nothing(db: phantomdb.Database) -> None:
    feed = db.watch()
    assert db.stats()["snapshots"] == 1
    del feed
    assert db.stats()["snapshots"] == 0
    feed = db.watch(timeout_s=0)
    list(feed)
    assert db.stats()["snapshots"] == 0
