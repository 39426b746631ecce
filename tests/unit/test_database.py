"""The public face: what a program may give, what it gets back, and which error it meets."""
from __future__ import annotations

import array
import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import phantomdb
from phantomdb.core import limits
from phantomdb.core.database import moment_of, timestamp_of
from phantomdb.core.errors import (DatabaseClosed, DatabaseLocked, FeedLost, FileMissing, ForkedProcess,
                                   InvalidArgument, LimitExceeded, PhantomError, RetryableConflict, SnapshotClosed,
                                   SnapshotTooOld, TransactionClosed)
from phantomdb.core.feed import Batch, Change
from phantomdb.core.filesystems import MemoryFileSystem

SMALL: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "table_bytes": 64 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
    "value_file_bytes": 64 << 10, "level0_compaction_count": 2, "retention_s": 0, "block_cache_bytes": 1 << 20,
    "value_threshold_bytes": 64, "durability": "none",
}
Opener = Callable[..., phantomdb.Database]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens the test's database with small options, and closes what is open at the end."""
    databases: list[phantomdb.Database] = []

    def make(**options: Any) -> phantomdb.Database:
        databases.append(phantomdb.open(tmp_path / "db", **{**SMALL, **options}))
        return databases[-1]

    yield make
    for database in databases:
        database.close()


@pytest.fixture
def db(opened: Opener) -> phantomdb.Database:
    return opened()


# ---------------------------------------------------------------- what goes in and comes out


def test_missing_keys_are_none(db: phantomdb.Database) -> None:
    assert db.kv.get(b"a") is None
    assert b"a" not in db.kv
    assert db.kv.multi_get([b"a", b"b"]) == [None, None]
    assert list(db.kv.scan()) == []
    db.kv.delete(b"a")
    db.kv.put(b"a", b"")
    assert db.kv.get(b"a") == b""                                # there, and empty
    assert b"a" in db.kv


@pytest.mark.parametrize("wrong", ["text", 7, 1.5, [b"a"], object(), None])
def test_what_is_not_bytes_is_a_type_error(db: phantomdb.Database, wrong: Any) -> None:
    txn = db.transaction()
    for kv in (db.kv, txn.kv):
        calls: list[Callable[[], Any]] = [
            lambda: kv.get(wrong), lambda: kv.put(wrong, b""), lambda: kv.put(b"a", wrong), lambda: kv.delete(wrong),
            lambda: kv.write([(wrong, b"")]), lambda: kv.multi_get([b"a", wrong]), lambda: wrong in kv]
        if wrong is not None:
            calls += [lambda: kv.write([(b"a", wrong)]), lambda: kv.scan(wrong), lambda: kv.scan(None, wrong),
                      lambda: kv.delete_range(wrong, b"z"), lambda: kv.delete_range(b"a", wrong)]
        for call in calls:
            with pytest.raises(TypeError):
                call()
    for call in (lambda: txn.kv.get_for_update(wrong), lambda: db.kv.range_scan(b"", "5"),      # type: ignore[arg-type]
                 lambda: db.kv.multi_get(5)):                                                    # type: ignore[arg-type]
        with pytest.raises(TypeError):
            call()
    txn.commit()
    assert list(db.kv.scan()) == [], "a refused call wrote something"


@pytest.mark.parametrize("wrong", [5, [1], [(b"a",)], [(b"a", b"b", b"c")], ["ab"], [b"ab"], None])
def test_write_wants_pairs(db: phantomdb.Database, wrong: Any) -> None:
    with db.transaction() as txn:
        for kv in (db.kv, txn.kv):
            with pytest.raises((TypeError, ValueError)):
                kv.write(wrong)
    assert list(db.kv.scan()) == []


def test_a_batch_that_is_refused_writes_nothing(db: phantomdb.Database) -> None:
    def pairs() -> Iterator[tuple[bytes, bytes]]:
        yield b"a", b"1"
        yield b"b", b"x" * 200
        raise KeyError("no more")

    with pytest.raises(KeyError):
        db.kv.write(pairs())
    with pytest.raises(TypeError):
        db.kv.write([(b"a", b"1"), (b"b", 5)])                   # type: ignore[list-item]
    assert list(db.kv.scan()) == []


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda given: array.array("B", given),
                                  lambda given: memoryview(b"__" + given)[2:]],
                         ids=["bytearray", "memoryview", "array", "slice"])
def test_buffers_are_accepted_everywhere(db: phantomdb.Database, make: Callable[[bytes], Any]) -> None:
    long = b"long" * 100
    db.kv.put(make(b"a"), make(b"1"))
    db.kv.put(make(long), make(long))
    db.kv.write({make(b"b") if False else b"b": make(b"2")})
    db.kv.write([(make(b"c"), make(long)), (make(b"d"), None)])
    assert db.kv.get(make(b"a")) == b"1"
    assert db.kv.get(make(long)) == long
    assert db.kv.multi_get([make(b"b"), make(b"c"), make(b"d")]) == [b"2", long, None]
    assert [row[0] for row in db.kv.scan(make(b"a"), make(b"c"))] == [b"a", b"b"]
    assert db.kv.range_scan(make(b"b"), 1) == [(b"b", b"2")]
    db.kv.delete(make(b"a"))
    db.kv.delete_range(make(b"b"), make(b"c"))
    with db.transaction() as txn:
        txn.kv.put(make(b"e"), make(b"5"))
        assert txn.kv.get(make(b"e")) == b"5"
        assert txn.kv.get_for_update(make(b"c")) == long
    assert [row[0] for row in db.kv.scan()] == [b"c", b"e", long]
    assert all(type(key) is bytes and type(value) is bytes for key, value in db.kv.scan())


def test_a_buffer_with_gaps_is_refused(db: phantomdb.Database) -> None:
    with pytest.raises((TypeError, ValueError, BufferError)):
        db.kv.put(memoryview(b"abcdef")[::2], b"")
    buffer = bytearray(b"key")
    db.kv.put(buffer, buffer)
    buffer.extend(b"more")                                       # no export is left open
    assert db.kv.get(b"key") == b"key"


def test_a_batch_may_be_a_mapping_and_the_last_write_of_a_key_counts(db: phantomdb.Database) -> None:
    db.kv.write({b"a": b"1", b"b": None})
    db.kv.write([(b"c", b"1"), (b"c", b"2"), (b"d", b"1"), (b"d", None), (b"e", None), (b"e", b"3")])
    db.kv.write([])
    assert list(db.kv.scan()) == [(b"a", b"1"), (b"c", b"2"), (b"e", b"3")]


def test_keys_up_to_the_limit_and_no_longer(opened: Opener) -> None:
    db = opened()
    assert limits.MAX_KEY_BYTES == 65_536
    longest = b"k" * 65_536
    db.kv.put(longest, b"1")
    db.kv.put(b"", b"empty")
    with db.transaction() as txn:
        txn.kv.put(longest, b"2")
    for call in (lambda: db.kv.put(longest + b"k", b""), lambda: db.kv.get(longest + b"k"),
                 lambda: db.kv.delete(longest + b"k"), lambda: db.kv.write([(longest + b"k", b"")]),
                 lambda: db.kv.scan(longest + b"k"), lambda: db.kv.delete_range(b"", longest + b"k"),
                 lambda: db.kv.multi_get([longest + b"k"]), lambda: db.transaction().kv.put(longest + b"k", b""),
                 lambda: db.transaction().kv.get_for_update(longest + b"k")):
        with pytest.raises(LimitExceeded) as refusal:
            call()
        assert refusal.value.code == "limit_exceeded"
    for _ in range(2):
        assert list(db.kv.scan()) == [(b"", b"empty"), (longest, b"2")]
        assert list(db.kv.scan(longest)) == [(longest, b"2")]
        assert list(db.kv.scan(b"", longest)) == [(b"", b"empty")]
        assert db.kv.get(longest) == b"2"
        db.compact()
    db.close()
    assert opened().kv.get(longest) == b"2"


@pytest.mark.parametrize("threshold", [64, 4096, 32_768])
def test_values_around_the_threshold(opened: Opener, threshold: int) -> None:
    db = opened(value_threshold_bytes=threshold)
    sizes = [0, 1, threshold - 1, threshold, threshold + 1, threshold * 3, 1 << 20]
    values = {b"%08d" % size: os.urandom(size) for size in sizes}
    for key, value in values.items():
        db.kv.put(key, value)
    with db.transaction() as txn:
        for key, value in values.items():
            txn.kv.put(b"t" + key, value)
            assert txn.kv.get(b"t" + key) == value
    expected = [*values.items(), *((b"t" + key, value) for key, value in values.items())]
    for _ in range(3):
        assert list(db.kv.scan()) == expected
        assert db.kv.multi_get([key for key, _ in expected]) == [value for _, value in expected]
        db.compact()
    db.close()
    db = opened(value_threshold_bytes=threshold)
    assert list(db.kv.scan(reverse=True)) == expected[::-1]


def test_a_transaction_larger_than_its_memory_is_refused(db: phantomdb.Database) -> None:
    with pytest.raises(LimitExceeded):
        db.kv.write([(b"%06d" % number, b"v" * 60) for number in range(10_000)])
    txn = db.transaction()
    with pytest.raises(LimitExceeded):
        for number in range(100_000):
            txn.kv.put(b"%06d" % number, b"v" * 60)
        txn.commit()
    assert list(db.kv.scan(limit=1)) == []
    db.kv.put(b"a", b"1")
    assert list(db.kv.scan()) == [(b"a", b"1")]


# ---------------------------------------------------------------- scans


def test_scan_bounds(db: phantomdb.Database) -> None:
    keys = [b"", b"\0", b"a", b"a\0", b"b", b"\xff", b"\xff\xff"]
    db.kv.write([(key, b"v" + key) for key in keys])
    bounds = [None, b"", b"\0", b"a", b"aa", b"b\0", b"\xff", b"\xff\xff\xff"]
    for _ in range(2):
        for start, stop in itertools.product(bounds, bounds):
            expected = [key for key in keys if key >= (start or b"") and (stop is None or key < stop)]
            assert [key for key, _ in db.kv.scan(start, stop)] == expected, (start, stop)
            assert [key for key, _ in db.kv.scan(start, stop, reverse=True)] == expected[::-1], (start, stop)
            assert [key for key, _ in db.kv.scan(start, stop, limit=2)] == expected[:2]
            assert [key for key, _ in db.kv.scan(start, stop, reverse=True, limit=2)] == expected[::-1][:2]
        db.flush()
    assert list(db.kv) == list(db.kv.scan())


def test_scan_limits(db: phantomdb.Database) -> None:
    rows = [(b"%04d" % number, b"x") for number in range(2000)]
    db.kv.write(rows)
    for limit in (0, 1, 23, 24, 25, 511, 512, 513, 1999, 2000, 2001, 10**12):
        assert list(db.kv.scan(limit=limit)) == rows[:limit]
        assert db.kv.range_scan(b"", limit) == rows[:limit]
        assert list(db.kv.scan(reverse=True, limit=limit)) == rows[::-1][:limit]
    for wrong in (-1, -10**30):
        with pytest.raises(ValueError):
            db.kv.scan(limit=wrong)
        with pytest.raises(ValueError):
            db.kv.range_scan(b"", wrong)
    with pytest.raises(TypeError):
        db.kv.scan(limit="5")                                    # type: ignore[arg-type]


def test_a_closed_scan_is_at_its_end(db: phantomdb.Database) -> None:
    db.kv.write([(b"%04d" % number, b"x") for number in range(100)])
    scan = db.kv.scan()
    next(scan)
    scan.close()
    scan.close()
    assert list(scan) == []


def test_a_scan_sees_the_moment_it_began(db: phantomdb.Database) -> None:
    rows = [(b"%04d" % number, b"old") for number in range(2000)]
    db.kv.write(rows)
    scan = db.kv.scan()
    first = next(scan)
    db.kv.write([(key, b"new") for key, _ in rows])
    db.kv.delete_range(b"1")
    db.compact()
    assert [first, *scan] == rows


# ---------------------------------------------------------------- after the end


def all_calls(db: phantomdb.Database) -> list[Callable[[], Any]]:
    return [
        lambda: db.kv.get(b"a"), lambda: db.kv.put(b"a", b"1"), lambda: db.kv.put(b"a", b"1" * 1000),
        lambda: db.kv.delete(b"a"), lambda: db.kv.write([(b"a", b"1")]), lambda: db.kv.multi_get([b"a"]),
        lambda: list(db.kv.scan()), lambda: db.kv.range_scan(b"", 5), lambda: db.kv.snapshot(), lambda: b"a" in db.kv,
        lambda: db.kv.delete_range(), lambda: db.kv.compact(), lambda: db.transaction(), lambda: db.run(lambda txn: 1),
        lambda: db.stats(), lambda: db.sync(), lambda: db.flush(), lambda: db.compact(), lambda: db.timestamp,
        lambda: next(db.watch(timeout_s=0.01)), lambda: db.__enter__()]


def test_use_after_close(opened: Opener) -> None:
    db = opened()
    db.kv.write([(b"%04d" % number, b"x") for number in range(1000)])
    snapshot, txn, scan = db.kv.snapshot(), db.transaction(), db.kv.scan()
    txn.kv.put(b"a", b"1")
    feed = db.watch(timeout_s=5)
    kv = db.kv
    db.close()
    db.close()
    for call in [*all_calls(db), lambda: snapshot.get(b"a"), lambda: list(snapshot.scan()), lambda: txn.kv.get(b"a"),
                 lambda: txn.commit(), lambda: list(scan), lambda: next(feed), lambda: txn.kv.put(b"a", b"1"),
                 lambda: txn.kv.scan(), lambda: kv.get(b"a")]:
        with pytest.raises(DatabaseClosed) as refusal:
            call()
        assert refusal.value.code == "closed"
    snapshot.close()
    txn.rollback()
    scan.close()
    assert "closed" in repr(db)
    assert b"a" not in opened().kv


def test_a_closed_snapshot(db: phantomdb.Database) -> None:
    db.kv.put(b"a", b"1")
    with db.kv.snapshot() as snapshot:
        db.kv.put(b"a", b"2")
        assert snapshot.get(b"a") == b"1"
        assert snapshot.multi_get([b"a"]) == [b"1"]
        rows = snapshot.scan()
    snapshot.close()
    for call in (lambda: snapshot.get(b"a"), lambda: snapshot.scan(), lambda: snapshot.multi_get([b"a"]),
                 lambda: list(rows), lambda: b"a" in snapshot, lambda: snapshot.range_scan(b"", 1),
                 lambda: snapshot.__enter__()):
        with pytest.raises(SnapshotClosed) as refusal:
            call()
        assert refusal.value.code == "snapshot_closed"


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_an_ended_transaction(db: phantomdb.Database, end: str) -> None:
    txn = db.transaction()
    txn.kv.put(b"a", b"1")
    getattr(txn, end)()
    assert not txn.is_open
    for call in (lambda: txn.kv.get(b"a"), lambda: txn.kv.put(b"a", b"2"), lambda: txn.kv.delete(b"a"),
                 lambda: list(txn.kv.scan()), lambda: txn.kv.write([(b"a", b"")]), lambda: txn.commit(),
                 lambda: txn.kv.get_for_update(b"a"), lambda: txn.savepoint().__enter__(), lambda: txn.__enter__(),
                 lambda: txn.kv.delete_range(), lambda: txn.kv.multi_get([b"a"])):
        with pytest.raises(TransactionClosed) as refusal:
            call()
        assert refusal.value.code == "transaction_closed"
    txn.rollback()
    assert db.kv.get(b"a") == (b"1" if end == "commit" else None)


def test_context_managers(opened: Opener) -> None:
    with opened() as db:
        with db.transaction() as txn:
            txn.kv.put(b"a", b"1")
        assert txn.commit_timestamp == db.timestamp
        with pytest.raises(KeyError), db.transaction() as txn:
            txn.kv.put(b"a", b"2")
            raise KeyError
        assert txn.commit_timestamp is None
        with db.transaction() as txn:                            # ended inside: the block adds nothing
            txn.kv.put(b"a", b"3")
            txn.rollback()
        assert db.kv.get(b"a") == b"1"
    with pytest.raises(DatabaseClosed):
        db.kv.get(b"a")


def test_repr_names_the_folder(opened: Opener, tmp_path: Path) -> None:
    db = opened()
    assert repr(db) == f"<phantomdb.Database '{tmp_path / 'db'}'>"
    assert db.path == str(tmp_path / "db")


def test_a_failed_open_has_a_repr_and_no_loose_ends(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        phantomdb.open(tmp_path / "none", create=False)
    database = phantomdb.Database.__new__(phantomdb.Database)
    del database                                                 # __del__ of one that was never opened


# ---------------------------------------------------------------- opening


@pytest.mark.parametrize("options", [
    {"durability": "always"}, {"partitions": 0}, {"partitions": 257}, {"memtable_bytes": 1}, {"memtable_bytes": 1.5},
    {"block_cache_bytes": -1}, {"compression": "zip"}, {"retention_s": -1}, {"create": 1}, {"file_system": 5},
    {"level0_stop_count": 3}, {"value_threshold_bytes": 40_000}, {"partitions": True}])
def test_options_are_checked(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        phantomdb.open(tmp_path / "db", **options)
    assert next(iter(options)) in str(refusal.value)
    assert not (tmp_path / "db").exists()


def test_an_unknown_option_is_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cache_size"):
        phantomdb.open(tmp_path / "db", cache_size=5)


@pytest.mark.parametrize("wrong", [5, None, [b"a"]])
def test_a_path_is_a_path(wrong: Any) -> None:
    with pytest.raises(TypeError):
        phantomdb.open(wrong)


def test_paths_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("plain", Path("object"), "with space", "with-ümläut"):
        with phantomdb.open(path, **SMALL) as db:
            db.kv.put(b"a", b"1")
            monkeypatch.chdir("/")                               # a relative path is of the moment it was given
            db.compact()
            monkeypatch.chdir(tmp_path)
        assert (tmp_path / path).is_dir()


def test_reopening_with_other_options(opened: Opener) -> None:
    rows = [(b"%04d" % number, b"%d" % number * 30) for number in range(3000)]
    variants: list[dict[str, Any]] = [
        {"partitions": 2}, {"compression": "none", "block_bytes": 4096}, {"level_count": 7, "table_bytes": 1 << 20},
        {"value_threshold_bytes": 4096, "block_cache_bytes": 0}, {"durability": "commit", "log_segment_bytes": 1 << 20},
        {"level_count": 7, "memtable_bytes": 8 << 20}, {"partitions": 2, "retention_s": 3600}]
    for number, options in enumerate(variants):
        db = opened(**options)
        assert db.options.partitions == 2
        assert list(db.kv.scan()) == rows[:number * 400]
        for start in range(number * 400, number * 400 + 400, 100):
            db.kv.write(rows[start:start + 100])
        if number % 2:
            db.compact()
        db.close()
    assert list(opened().kv.scan()) == rows[:len(variants) * 400]


def test_fewer_levels_than_before(opened: Opener) -> None:
    """A tree that is deeper than the options ask for is either taken over or refused by name, and never misread."""
    db = opened(level_count=7)
    db.kv.put(b"a", b"1")
    db.compact()
    db.close()
    try:
        db = opened(level_count=2)
    except InvalidArgument as refusal:
        assert "level_count" in str(refusal)
    else:
        assert db.kv.get(b"a") == b"1"
        db.kv.put(b"b", b"2")
        db.compact()
        assert list(db.kv.scan()) == [(b"a", b"1"), (b"b", b"2")]


def test_partitions_are_fixed_at_creation(opened: Opener) -> None:
    opened(partitions=4).close()
    with pytest.raises(InvalidArgument, match="4"):
        opened(partitions=3)
    assert opened().options.partitions == 4


def test_one_database_at_a_time(opened: Opener, tmp_path: Path) -> None:
    db = opened()
    with pytest.raises(DatabaseLocked) as refusal:
        opened()
    assert str(os.getpid()) in str(refusal.value)
    assert refusal.value.code == "locked"
    script = f"""
        import phantomdb
        try:
            phantomdb.open({str(tmp_path / 'db')!r})
        except phantomdb.errors.DatabaseLocked as refusal:
            print(refusal)
    """
    assert str(os.getpid()) in python(script)
    db.close()
    opened().close()


def python(script: str, *, env: dict[str, str] | None = None) -> str:
    """Output of a child process; its standard error must be empty."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(env or {})},
                          check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def test_a_forked_child_is_refused_and_does_no_harm(opened: Opener) -> None:
    db = opened()
    db.kv.put(b"a", b"1")
    snapshot, txn = db.kv.snapshot(), db.transaction()
    txn.kv.put(b"t", b"1")
    scan = db.kv.scan()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:                                               # nothing here may reach pytest
        try:
            report = ""
            for number, call in enumerate([*all_calls(db), lambda: snapshot.get(b"a"), lambda: txn.commit(),
                                           lambda: list(scan)]):
                try:
                    call()
                    report += f"call {number} worked; "
                except ForkedProcess:
                    pass
                except BaseException as error:
                    report += f"call {number}: {error!r}; "
            db.close()
            snapshot.close()
            txn.rollback()
            os.write(write_end, (report or "refused").encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as report:
        assert report.read() == "refused"
    assert os.waitpid(child, 0)[1] == 0
    assert db.kv.get(b"a") == b"1"
    txn.commit()
    db.compact()
    assert list(db.kv.scan()) == [(b"a", b"1"), (b"t", b"1")]


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "del db", "gc.collect()", "db.close()", "snapshot.close()"])
def test_a_child_that_closes_nothing_leaves_no_trace(tmp_path: Path, ending: str) -> None:
    script = f"""
        import gc, sys, threading
        import phantomdb
        db = phantomdb.open({str(tmp_path / 'db')!r}, durability="none", memtable_bytes=256 << 10)
        for number in range(3000):
            db.kv.put(b"%05d" % number, b"v" * 200)
        snapshot, scan, txn = db.kv.snapshot(), db.kv.scan(), db.transaction()
        next(scan)
        txn.kv.put(b"a", b"1")
        rows = txn.kv.scan()
        next(rows)
        feed = db.watch()
        cycle = [db, snapshot, scan, txn, rows, feed]
        cycle.append(cycle)
        {ending}
    """
    python(script)
    with phantomdb.open(tmp_path / "db") as db:
        assert len(list(db.kv.scan())) == 3000


def test_a_database_nobody_holds_lets_go_of_its_folder(tmp_path: Path) -> None:
    for number in range(3):
        db = phantomdb.open(tmp_path / "db", **SMALL)
        db.kv.put(b"%d" % number, b"x")
        kv = db.kv
        del db
        assert kv.get(b"0") == b"x"                              # its keyspace keeps it open
        del kv
        import gc
        gc.collect()
    with phantomdb.open(tmp_path / "db", **SMALL) as db:
        assert len(list(db.kv.scan())) == 3


def test_keyboard_interrupts_are_heard(tmp_path: Path) -> None:
    script = f"""
        import os, signal, threading, time
        import phantomdb
        with phantomdb.open({str(tmp_path / 'db')!r}, durability="none") as db:
            threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            try:
                next(db.watch())
            except KeyboardInterrupt:
                print("heard")
    """
    assert python(script) == "heard\n"


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
            moments.append(datetime.now(timezone.utc))
            time.sleep(0.02)
        for number in range(3):
            moment = moments[number]
            for as_of in (timestamps[number], moment, moment.replace(tzinfo=None), moment.astimezone(None),
                          moment_of(timestamps[number])):
                with db.kv.snapshot(as_of) as snapshot:
                    assert snapshot.get(b"a") == b"%d" % number, as_of
                    assert [row[1] for row in snapshot.scan()] == [b"%d" % number]
        back = datetime.now(timezone.utc) - moments[1]
        with db.kv.snapshot(back) as snapshot:
            assert snapshot.get(b"a") == b"1"
        with db.kv.snapshot(datetime.now() + timedelta(days=1)) as snapshot:     # noqa: DTZ005
            assert snapshot.timestamp == db.timestamp            # the future has not happened: it is now
        db.compact()
    for wrong in (0, -5, "yesterday", 1.5, True, b"x"):
        with pytest.raises((TypeError, ValueError)):
            db.kv.snapshot(wrong)                                # type: ignore[arg-type]
    with pytest.raises((ValueError, OverflowError)):
        db.kv.snapshot(1 << 70)


def test_moments_and_timestamps_are_inverse() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)
    assert moment_of(timestamp_of(moment)) == moment
    assert timestamp_of(None) == 0
    with pytest.raises(InvalidArgument):
        timestamp_of(datetime(1960, 1, 1, tzinfo=timezone.utc))


def test_too_old_a_snapshot(opened: Opener) -> None:
    db = opened(retention_s=0)
    db.kv.put(b"a", b"1")
    old = db.timestamp
    db.kv.put(b"a", b"2")
    db.compact()
    for as_of in (old, timedelta(hours=1), datetime(2020, 1, 1, tzinfo=timezone.utc)):
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


# ---------------------------------------------------------------- transactions


def test_run_retries_and_returns(db: phantomdb.Database) -> None:
    attempts = []

    def function(txn: phantomdb.Transaction) -> str:
        attempts.append(txn)
        txn.kv.put(b"a", (txn.kv.get(b"a") or b"") + b"x")
        if len(attempts) < 4:
            db.kv.put(b"a", b"%d" % len(attempts))               # somebody else is in the way
        return "done"

    assert db.run(function) == "done"
    assert len(attempts) == 4
    assert db.kv.get(b"a") == b"3x"
    assert all(not txn.is_open for txn in attempts)
    assert len({txn.age for txn in attempts}) == 1               # it kept its rank


def test_run_gives_up_after_its_time(db: phantomdb.Database) -> None:
    def function(txn: phantomdb.Transaction) -> None:
        txn.kv.put(b"a", (txn.kv.get(b"a") or b"") + b"x")
        db.kv.put(b"a", b"")

    began = time.monotonic()
    with pytest.raises(RetryableConflict):
        db.run(function, timeout_s=0.2)
    assert time.monotonic() - began < 5


def test_run_does_not_hide_other_errors(db: phantomdb.Database) -> None:
    calls = 0

    def function(txn: phantomdb.Transaction) -> None:
        nonlocal calls
        calls += 1
        txn.kv.put(b"a", b"1")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        db.run(function)
    assert calls == 1
    assert db.kv.get(b"a") is None


def test_isolation_is_named(db: phantomdb.Database) -> None:
    for wrong in ("read committed", None, 5):
        with pytest.raises(InvalidArgument):
            db.transaction(isolation=wrong)                      # type: ignore[arg-type]


def test_savepoints(db: phantomdb.Database) -> None:
    db.kv.write([(b"a", b"0"), (b"z", b"0")])
    with db.transaction() as txn:
        txn.kv.put(b"a", b"1")
        with pytest.raises(KeyError), txn.savepoint():
            txn.kv.put(b"a", b"2")
            txn.kv.put(b"b", b"v" * 1000)
            with txn.savepoint():
                txn.kv.delete_range()
                assert list(txn.kv.scan()) == []
            raise KeyError
        assert list(txn.kv.scan()) == [(b"a", b"1"), (b"z", b"0")]
        with txn.savepoint():
            txn.kv.put(b"c", b"3")
        with txn.savepoint():
            pass
    assert list(db.kv.scan()) == [(b"a", b"1"), (b"c", b"3"), (b"z", b"0")]


def test_a_savepoint_in_a_transaction_that_ended(db: phantomdb.Database) -> None:
    txn = db.transaction()
    with pytest.raises(KeyError), txn.savepoint():
        txn.rollback()
        raise KeyError
    with pytest.raises(KeyError), db.transaction() as txn, txn.savepoint():
        txn.commit()
        raise KeyError


def test_a_transaction_nobody_holds_is_rolled_back(db: phantomdb.Database) -> None:
    txn = db.transaction()
    txn.kv.get_for_update(b"a")
    txn.kv.put(b"a", b"1" * 1000)
    assert db.stats()["snapshots"] == 1
    del txn
    assert db.stats()["snapshots"] == 0
    with db.transaction() as txn:
        assert txn.kv.get_for_update(b"a", timeout_s=0.1) is None


def test_own_writes_are_read(db: phantomdb.Database) -> None:
    db.kv.write([(b"%d" % number, b"old") for number in range(6)])
    txn = db.transaction()
    txn.kv.delete(b"1")
    txn.kv.put(b"2", b"new")
    txn.kv.put(b"25", b"new")
    txn.kv.delete_range(b"3", b"5")
    txn.kv.put(b"4", b"again")
    expected = [(b"0", b"old"), (b"2", b"new"), (b"25", b"new"), (b"4", b"again"), (b"5", b"old")]
    assert list(txn.kv.scan()) == expected
    assert list(txn.kv.scan(reverse=True)) == expected[::-1]
    assert list(txn.kv.scan(limit=3)) == expected[:3]
    assert txn.kv.multi_get([b"1", b"2", b"3", b"4"]) == [None, b"new", None, b"again"]
    rows = txn.kv.scan()
    txn.kv.put(b"9", b"later")                                   # a scan sees what was there when it began
    assert list(rows) == expected
    txn.commit()
    assert list(db.kv.scan()) == [*expected, (b"9", b"later")]


# ---------------------------------------------------------------- figures


def test_stats_have_their_keys(db: phantomdb.Database) -> None:
    db.kv.write([(b"%04d" % number, b"v" * 100) for number in range(1000)])
    db.compact()
    stats = db.stats()
    assert {"partitions", "levels", "table_bytes", "value_bytes", "value_garbage_bytes", "write_amplification",
            "read_amplification", "space_amplification", "pending_compaction_bytes", "oldest_readable_ts", "newest_ts",
            "commits", "bytes_written", "memtables", "memtable_bytes", "memtable_entries", "log_bytes", "cache_bytes",
            "cache_budget_bytes", "block_reads", "open_tables", "snapshots", "flushes", "flushed_bytes", "compactions",
            "compacted_bytes", "background_error", "writes_stopped", "stall_ns"} <= stats.keys()
    assert stats["commits"] == 1
    assert stats["newest_ts"] == db.timestamp
    assert stats["memtable_entries"] == 0
    assert stats["background_error"] is None
    assert stats["write_amplification"] >= 1
    assert stats["cache_bytes"] <= stats["cache_budget_bytes"]
    with db.kv.snapshot(), db.transaction():
        assert db.stats()["snapshots"] == 2
    assert db.stats()["snapshots"] == 0


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
            db.kv.put(b"%d.%06d" % (worker, counts[worker]), b"v" * 50)
            counts[worker] += 1

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(60):
            feed = db.watch(timeout_s=1)
            seen = {key for key, _ in db.kv.scan()}
            for _ in range(3):
                for change in next(feed).changes:
                    seen.add(change.key)
            for worker in range(3):
                mine = sorted(key for key in seen if key.startswith(b"%d." % worker))
                assert mine == [b"%d.%06d" % (worker, number) for number in range(len(mine))]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


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


# ---------------------------------------------------------------- errors


def test_every_error_has_a_code_of_its_own() -> None:
    classes = [value for value in vars(phantomdb.errors).values()
               if isinstance(value, type) and issubclass(value, PhantomError)]
    assert len({cls.code for cls in classes}) == len(classes) > 10
    assert all(str(cls()) for cls in classes)


def test_the_simulated_disk_opens_by_the_same_call() -> None:
    disk = MemoryFileSystem()
    for number in range(3):
        with phantomdb.open("/db", file_system=disk, **SMALL) as db:
            db.kv.put(b"%d" % number, b"x" * 100)
            db.compact()
            assert len(list(db.kv.scan())) == number + 1
