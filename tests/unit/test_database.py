"""The public face: what a program may give, what it gets back, and which error it meets."""
from __future__ import annotations

import array
import itertools
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import phantomdb
from phantomdb.core import limits
from phantomdb.core.errors import (DatabaseClosed, DatabaseLocked, FileMissing, ForkedProcess,
                                   InvalidArgument, LimitExceeded, PhantomError, SnapshotClosed,
                                   TransactionClosed)
from phantomdb.core.filesystems import MemoryFileSystem

Opener = Callable[..., phantomdb.Database]


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
    def refuses(kv: Any) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: kv.get(wrong), lambda: kv.put(wrong, b""), lambda: kv.put(b"a", wrong), lambda: kv.delete(wrong),
            lambda: kv.write([(wrong, b"")]), lambda: kv.multi_get([b"a", wrong]), lambda: wrong in kv]
        if wrong is not None:
            calls += [lambda: kv.write([(b"a", wrong)]), lambda: kv.scan(wrong), lambda: kv.scan(None, wrong),
                      lambda: kv.delete_range(wrong, b"z"), lambda: kv.delete_range(b"a", wrong)]
        for call in calls:
            with pytest.raises(TypeError):
                call()

    txn = db.transaction()
    refuses(db.kv)
    refuses(txn.kv)
    for call in (lambda: txn.kv.get_for_update(wrong), lambda: db.kv.range_scan(b"", "5"),  # type: ignore[arg-type]
                 lambda: db.kv.multi_get(5)):                                                # type: ignore[arg-type]
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
    txn = db.transaction()
    for call in (lambda: db.kv.put(longest + b"k", b""), lambda: db.kv.get(longest + b"k"),
                 lambda: db.kv.delete(longest + b"k"), lambda: db.kv.write([(longest + b"k", b"")]),
                 lambda: db.kv.scan(longest + b"k"), lambda: db.kv.delete_range(b"", longest + b"k"),
                 lambda: db.kv.multi_get([longest + b"k"]), lambda: txn.kv.put(longest + b"k", b""),
                 lambda: txn.kv.get(longest + b"k"), lambda: txn.kv.get_for_update(longest + b"k")):
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


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_transaction_larger_than_a_memtable(opened: Any, partitions: int) -> None:
    """It gets a memtable of its own size, within the budget, as often as one comes; and is there after a crash."""
    options: dict[str, Any] = {"memtable_bytes": 4 << 20, "value_threshold_bytes": 4096, "block_cache_bytes": 1 << 20}
    db = opened(partitions=partitions, **options)
    db.kv.write([(b"%06d" % number, b"first" * 20) for number in range(14_000)])     # the first one finds an empty one
    db.flush()
    for step in range(6):
        db.kv.write([(b"%06d" % number, b"%d" % step * 100) for number in range(3_000)])
        with db.transaction() as txn:                            # 2.2 MiB; a memtable has 1 MiB, or a third of that
            for number in range(14_000):
                txn.kv.put(b"%06d" % number, b"%d" % (step + 1) * 100)
        # what is lent to the cache is what is left of the memtables' budget
        assert db.stats()["cache_budget_bytes"] >= options["block_cache_bytes"]
        assert db.stats()["memtable_bytes"] <= options["memtable_bytes"]
    assert {value for _, value in db.kv.scan()} == {b"6" * 100}
    with pytest.raises(LimitExceeded):
        db.kv.write([(b"%06d" % number, b"v" * 100) for number in range(60_000)])


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


def test_paths_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: dict[str, Any]) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("plain", Path("object"), "with space", "with-ümläut"):
        with phantomdb.open(path, **small) as db:
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


def test_a_database_nobody_holds_lets_go_of_its_folder(tmp_path: Path, small: dict[str, Any]) -> None:
    for number in range(3):
        db = phantomdb.open(tmp_path / "db", **small)
        db.kv.put(b"%d" % number, b"x")
        kv = db.kv
        del db
        assert kv.get(b"0") == b"x"                              # its keyspace keeps it open
        del kv
        import gc
        gc.collect()
    with phantomdb.open(tmp_path / "db", **small) as db:
        assert len(list(db.kv.scan())) == 3


def test_keyboard_interrupts_are_heard(tmp_path: Path) -> None:
    script = f"""
        import os, signal, threading, time
        import phantomdb
        signal.signal(signal.SIGINT, signal.default_int_handler)     # whoever started the tests may ignore it
        with phantomdb.open({str(tmp_path / 'db')!r}, durability="none") as db:
            threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            try:
                next(db.watch())
            except KeyboardInterrupt:
                print("heard")
    """
    assert python(script) == "heard\n"


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


# ---------------------------------------------------------------- errors


def test_every_error_has_a_code_of_its_own() -> None:
    classes = {value for value in vars(phantomdb.errors).values()
               if isinstance(value, type) and issubclass(value, PhantomError)}
    assert len({cls.code for cls in classes}) == len(classes) > 10
    assert all(str(cls()) for cls in classes)


def test_the_simulated_disk_opens_by_the_same_call(small: dict[str, Any]) -> None:
    disk = MemoryFileSystem()
    for number in range(3):
        with phantomdb.open("/db", file_system=disk, **small) as db:
            db.kv.put(b"%d" % number, b"x" * 100)
            db.compact()
            assert len(list(db.kv.scan())) == number + 1
