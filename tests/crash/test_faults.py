"""Disks that say no: a clear error, no lie, nothing acknowledged lost, and it goes on when the disk does."""
from __future__ import annotations

import contextlib
import errno
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from sweep import COUNTER, ROOT, SMALL, Run, Scenario, count_operations, new_run, scenario, state_of

import phantomdb
from phantomdb.core.errors import DatabaseClosed, DiskFull, PhantomError, StorageError, WritesStopped
from phantomdb.core.filesystems import FaultyFileSystem, MemoryFileSystem

T = TypeVar("T")

HANG_S = 60.0                        # far more than any step takes, even on a busy machine
RESUME_S = 20.0
FIRST_LOG = "000000000001.log"       # later ones are synced by the background, too, when they are made
NAMES = ["commit", "commit-none", "flush", "compaction", "manifest-roll", "recycling", "values", "values-none",
         "partitions", "reopening"]


def within(function: Callable[[], T], seconds: float = HANG_S) -> T:
    """The function's result, or a failure when it hangs."""
    outcome: list[Any] = []

    def call() -> None:
        try:
            outcome.append((True, function()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    fine, value = outcome[0]
    if not fine:
        raise value
    return value                                                 # type: ignore[no-any-return]


def resume(run: Run) -> bool:
    """Writes once more on a healed disk. False when writing stopped for good, because a sync had failed."""
    deadline = time.monotonic() + RESUME_S
    while True:
        try:
            run.write([(b"resumed", b"yes")])
            return True
        except WritesStopped:
            return False
        except StorageError:                                     # the background has not tried again yet
            assert time.monotonic() < deadline, "writing does not resume"
            time.sleep(0.02)


def check_fault(name: str, arm: Callable[[FaultyFileSystem, Run], None], heal: Callable[[FaultyFileSystem], None],
                *, expected: type[PhantomError] = StorageError, sync_fails: bool = False, seed: int = 1) -> bool:
    """Runs a scenario on a disk with a fault. Whether it was hit."""
    run = new_run(scenario(name), seed)
    disk = run.disk = FaultyFileSystem(run.disk)
    error: PhantomError | None = None
    arm(disk, run)
    try:
        run.open()
        scenario(name).work(run)
        run.close()
    except PhantomError as raised:
        error = raised
        assert raised.code and raised.code != "internal"
        assert isinstance(raised, (expected, WritesStopped)), f"{type(raised).__name__}: {raised}"
        if isinstance(raised, WritesStopped):
            assert sync_fails
    if run.database is not None and not run.database.store.is_closed:
        assert state_of(run.db) == run.history.states[run.history.acknowledged], "reads must go on, as if it never was"
    heal(disk)
    if run.database is not None and not run.database.store.is_closed:
        resumed = resume(run)
        assert resumed or sync_fails
        with contextlib.suppress(PhantomError):
            run.database.close()
    db = run.open()
    found = state_of(db)
    allowed = [run.history.states[run.history.acknowledged]]
    if sync_fails:                                               # what reached the disk is unknown
        allowed += run.history.refused
    assert found in allowed, f"{int(found.get(COUNTER, b'0'))} found, {run.history.acknowledged} acknowledged"
    db.kv.put(b"after", b"fault")
    db.flush()
    db.close()
    db = run.open()
    assert state_of(db) == {**found, b"after": b"fault"}
    db.close()
    return error is not None


class _NthOperation:
    """Fails the n-th operation of a kind other than sync, once or from then on."""

    def __init__(self, n: int, number: int, once: bool) -> None:
        self.n, self.number, self.once, self.on = n, number, once, True

    def __call__(self, number: int, operation: str, path: str) -> None:
        if self.on and number >= self.n and operation not in ("sync", "lock"):
            self.on = not self.once
            raise OSError(self.number, os.strerror(self.number), path)


def nth_operation_fails(name: str, n: int, number: int, *, once: bool, seed: int = 1) -> bool:
    hook = _NthOperation(n, number, once)

    def arm(disk: FaultyFileSystem, run: Run) -> None:
        disk.inner.before_operation = hook                       # type: ignore[attr-defined]

    def heal(disk: FaultyFileSystem) -> None:
        hook.on = False

    # What an unlink or a spare segment fails at is not reported to anyone; a failed sync of a folder stops the value
    # log, as does that of a file.
    return within(lambda: check_fault(name, arm, heal, expected=DiskFull if number == errno.ENOSPC else StorageError,
                                      sync_fails=True, seed=seed))


def nth_sync_fails(name: str, n: int, path: str, *, count: int | None, seed: int = 1) -> bool:
    return within(lambda: check_fault(
        name, lambda disk, run: disk.fail("sync", path, after=n, count=count), lambda disk: disk.heal(),
        sync_fails=True, seed=seed))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("name", NAMES)
def test_failing_operations(name: str, number: int) -> None:
    total = count_operations(scenario(name))
    hits = [nth_operation_fails(name, n, number, once=once)
            for once in (True, False) for n in range(total // 8, total, max(1, total // 4))]
    assert any(hits)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "commit-none"])
def test_failing_syncs(name: str) -> None:
    hits = [nth_sync_fails(name, n, path, count=count)
            for path, n, count in ((".log", 1, 1), (".log", 4, None), (".table", 0, 1), ("MANIFEST", 2, 1),
                                   (".values", 1, 1), ("", 9, 1))]
    assert any(hits)


@pytest.mark.long
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("name", NAMES)
def test_long_every_operation_fails(name: str, number: int) -> None:
    for n in range(count_operations(scenario(name))):
        for once in (True, False):
            nth_operation_fails(name, n, number, once=once)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_long_every_sync_fails(name: str) -> None:
    n = 0
    while nth_sync_fails(name, n, "", count=1) or n < 100:
        nth_sync_fails(name, n, "", count=None)
        n += 1


# ---------------------------------------------------------------- a full disk

def fill(run: Run, value_bytes: int) -> None:
    """Writes until the disk is full."""
    with pytest.raises(DiskFull) as caught:
        for i in range(20_000):
            run.write([(b"f%05d" % i, run.random.randbytes(value_bytes))])
    assert caught.value.code == "disk_full" and caught.value.retry


@pytest.mark.parametrize(("durability", "value_bytes", "options"), [
    ("commit", 100, {}), ("none", 1000, {}), ("interval", 1000, {"partitions": 3}), ("commit", 3000, {}),
    ("none", 5000, {"value_threshold_bytes": 64}), ("commit", 300, {"value_threshold_bytes": 64})])
def test_a_full_disk(durability: str, value_bytes: int, options: dict[str, Any]) -> None:
    run = new_run(Scenario("full", lambda run: None, options, durability))
    disk: MemoryFileSystem = run.disk
    run.open()
    for _ in range(20):
        run.write(run.some_pairs(4))
    disk.capacity_bytes = disk.used_bytes + 300_000
    for _ in range(2):                                           # full, more room, full again
        within(lambda: fill(run, value_bytes))
        for _ in range(3):                                       # an error each time, at once
            with pytest.raises(DiskFull):
                within(lambda: run.write([(b"g", run.random.randbytes(3_000_000))]))
        assert state_of(run.db) == run.history.states[-1]
        disk.capacity_bytes += 700_000
        assert within(lambda: resume(run))
        assert state_of(run.db) == run.history.states[-1]
    disk.capacity_bytes = None
    assert within(lambda: resume(run))
    run.db.flush()
    within(lambda: [run.write([(b"g%05d" % i, run.random.randbytes(4000))]) for i in range(700)])    # waits, no error
    disk.capacity_bytes = disk.used_bytes
    within(run.db.close)
    with contextlib.suppress(DiskFull):                          # opening may need room; it loses nothing
        within(run.open).close()
    disk.capacity_bytes = None
    db = within(run.open)
    assert state_of(db) == run.history.states[-1]
    db.kv.put(b"more", b"room")
    db.close()


def test_reading_fails_and_goes_on() -> None:
    disk = FaultyFileSystem(MemoryFileSystem())
    options = {**SMALL, "value_threshold_bytes": 64, "block_cache_bytes": 0}
    with phantomdb.open(ROOT, file_system=disk, **options) as db:
        rows = {b"%03d" % i: bytes([i]) * (i % 3 * 40 + 1) for i in range(200)}
        db.kv.write(rows.items())
        db.flush()
        for path in (".table", ".values"):
            disk.fail("pread", path, count=None)
            with pytest.raises(StorageError) as caught:
                list(db.kv.scan())
            assert path in str(caught.value) and caught.value.errno == errno.EIO
            with pytest.raises(StorageError):
                db.kv.multi_get(list(rows))
            with pytest.raises(StorageError):
                [db.kv.get(key) for key in rows]
            db.kv.put(b"000", rows[b"000"])                      # writing needs no reading
            disk.heal()
            assert dict(db.kv.scan()) == rows
            assert db.kv.multi_get(list(rows)) == list(rows.values())


@pytest.mark.parametrize("operation", ["open", "pread", "size", "list_dir", "lock", "sync", "exists"])
def test_opening_fails_and_leaves_nothing_locked(operation: str) -> None:
    disk = FaultyFileSystem(MemoryFileSystem())
    with phantomdb.open(ROOT, file_system=disk, **SMALL) as db:
        db.kv.put(b"a", b"1")
        db.flush()
        db.kv.put(b"b", b"2")
        db.store.abandon()
    for n in range(12):
        disk.fail(operation, after=n)
        with contextlib.suppress(StorageError):
            within(lambda: phantomdb.open(ROOT, file_system=disk, **SMALL)).store.abandon()
        disk.heal()
    with phantomdb.open(ROOT, file_system=disk, **SMALL) as db:
        assert dict(db.kv.scan()) == {b"a": b"1", b"b": b"2"}


# ---------------------------------------------------------------- failed syncs

def test_a_failed_sync_stops_writing() -> None:
    disk = FaultyFileSystem(MemoryFileSystem())
    db = phantomdb.open(ROOT, file_system=disk, **SMALL)
    db.kv.put(b"a", b"1")
    disk.fail("sync", FIRST_LOG)
    with pytest.raises(WritesStopped) as caught:
        db.kv.put(b"a", b"2")
    assert caught.value.code == "writes_stopped" and caught.value.errno == errno.EIO
    for attempt in (lambda: db.kv.put(b"b", b"1"), lambda: db.kv.delete(b"a"), lambda: db.kv.write([(b"b", b"1")]),
                    lambda: db.run(lambda txn: txn.kv.put(b"b", b"1")), db.sync):
        with pytest.raises(WritesStopped):
            within(attempt)
    assert db.kv.get(b"a") == b"1" and db.kv.get(b"b") is None
    with db.kv.snapshot() as snapshot:
        assert list(snapshot.scan()) == [(b"a", b"1")]
    assert db.stats()["writes_stopped"]
    within(db.close)
    with phantomdb.open(ROOT, file_system=disk, **SMALL) as db:
        assert db.kv.get(b"a") in (b"1", b"2") and db.kv.get(b"b") is None
        db.kv.put(b"b", b"3")
    with phantomdb.open(ROOT, file_system=disk.inner.crash_image("lost"), **SMALL) as db:  # type: ignore[attr-defined]
        assert db.kv.get(b"b") == b"3"


@pytest.mark.parametrize("value_bytes", [10, 1000])
def test_a_failed_sync_fails_all_who_wait_for_it(value_bytes: int) -> None:
    """Eight threads share syncs, one of which fails: each commit is either there for good or was refused."""
    disk = FaultyFileSystem(MemoryFileSystem())
    options = {**SMALL, "value_threshold_bytes": 64, "log_segment_bytes": 4 << 20}
    db = phantomdb.open(ROOT, file_system=disk, **options)
    acknowledged = [0] * 8
    refused: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(1, 1000):
                db.kv.put(b"%d" % number, b"%d" % step + b"." * value_bytes)
                acknowledged[number] = step
        except PhantomError as error:
            refused.append(error)

    for number in range(8):
        db.kv.put(b"%d" % number, b"0")
    disk.fail("sync", FIRST_LOG, after=40)
    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert not any(thread.is_alive() for thread in threads)
    assert len(refused) == 8 and all(isinstance(error, WritesStopped) for error in refused)
    visible = [int(db.kv.get(b"%d" % i).split(b".")[0]) for i in range(8)]    # type: ignore[union-attr]
    assert visible == acknowledged
    within(db.close)
    image = disk.inner.crash_image("lost")                                    # type: ignore[attr-defined]
    with phantomdb.open(ROOT, file_system=image, **options) as db:
        for i in range(8):
            found = int(db.kv.get(b"%d" % i).split(b".")[0])                  # type: ignore[union-attr]
            assert acknowledged[i] <= found <= acknowledged[i] + 1


@pytest.mark.parametrize("durability", ["none", "interval"])
def test_a_failed_sync_without_waiting(durability: str) -> None:
    """Nobody waits for this sync, but later ones must not pretend: db.sync() refuses, and so do writes."""
    disk = FaultyFileSystem(MemoryFileSystem())
    options = {**SMALL, "durability": durability, "sync_interval_ms": 10}
    db = phantomdb.open(ROOT, file_system=disk, **options)
    db.kv.put(b"a", b"1")
    disk.fail("sync", FIRST_LOG)
    if durability == "none":
        with pytest.raises(WritesStopped):
            db.sync()
    else:
        deadline = time.monotonic() + RESUME_S
        with contextlib.suppress(WritesStopped):
            while time.monotonic() < deadline:
                db.kv.put(b"a", b"1")
                time.sleep(0.005)
    with pytest.raises(WritesStopped):
        db.kv.put(b"b", b"1")
    with pytest.raises(WritesStopped):
        db.sync()
    assert db.kv.get(b"a") == b"1"
    within(db.close)
    with phantomdb.open(ROOT, file_system=disk, **options) as db:
        assert dict(db.kv.scan()) == {b"a": b"1"}


def test_closing_during_faults() -> None:
    for n in range(0, 40, 3):
        disk = FaultyFileSystem(MemoryFileSystem())
        db = phantomdb.open(ROOT, file_system=disk, **SMALL)
        choose = random.Random(n)
        rows = {b"%d" % choose.randrange(100): b"%d" % n for _ in range(50)}
        db.kv.write(rows.items())
        hook = _NthOperation(disk.inner.operations + n // 3, errno.EIO, once=n % 2 == 0)  # type: ignore[attr-defined]
        disk.inner.before_operation = hook  # type: ignore[attr-defined]
        with contextlib.suppress(StorageError, WritesStopped):
            within(db.close)
        with pytest.raises(DatabaseClosed):
            db.kv.get(b"0")
        disk.inner.before_operation = None  # type: ignore[attr-defined]
        with phantomdb.open(ROOT, file_system=disk, **SMALL) as db:
            assert dict(db.kv.scan()) == rows
