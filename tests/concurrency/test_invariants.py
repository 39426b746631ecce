"""Money moves between accounts from many threads while flushes and compactions go on: the sum never changes."""
from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workers import SMALL, and_then, run_together, until

import phantomdb
from phantomdb.core.errors import RetryableConflict
from phantomdb.core.filesystems import MemoryFileSystem

ACCOUNTS = 40
BALANCE = 1000


def account(number: int) -> bytes:
    return b"account%03d" % number


def total(rows: Any) -> int:
    return sum(int(value) for _, value in rows)


def bank(path: Path, *, threads: int, transfers: int, seed: int = 1, **options: Any) -> None:
    stop = threading.Event()
    with phantomdb.open(path, **{**SMALL, **options}) as db:
        db.kv.write([(account(number), b"%d" % BALANCE) for number in range(ACCOUNTS)])

        def move_money(worker: int) -> Callable[[], None]:
            choose = random.Random(seed * 100 + worker)

            def transfer(txn: phantomdb.Transaction) -> None:
                source, target = choose.sample(range(ACCOUNTS), 2)
                amount = choose.randint(1, 50)
                before = int(txn.kv.get(account(source)) or 0)
                txn.kv.put(account(source), b"%d" % (before - amount))
                txn.kv.put(account(target), b"%d" % (int(txn.kv.get(account(target)) or 0) + amount))

            def work() -> None:
                for _ in range(transfers):
                    db.run(transfer)
            return work

        def audit() -> None:
            with db.kv.snapshot() as snapshot:
                assert total(snapshot.scan()) == ACCOUNTS * BALANCE
                assert total(snapshot.scan(reverse=True)) == ACCOUNTS * BALANCE
                values = snapshot.multi_get([account(number) for number in range(ACCOUNTS)])
                assert sum(int(value or 0) for value in values) == ACCOUNTS * BALANCE
            assert total(db.kv.scan()) == ACCOUNTS * BALANCE
            with db.transaction() as txn:
                assert total(txn.kv.scan()) == ACCOUNTS * BALANCE
            time.sleep(0.002)

        def upkeep() -> None:
            db.flush()
            db.compact()
            time.sleep(0.005)

        left = threading.Semaphore(0)

        def all_done() -> None:
            for _ in range(threads):
                left.acquire()

        def counted(work: Callable[[], None]) -> Callable[[], None]:
            def call() -> None:
                try:
                    work()
                finally:
                    left.release()
            return call

        run_together([*(counted(move_money(worker)) for worker in range(threads)), and_then(all_done, stop),
                      until(stop, audit), until(stop, upkeep)])
        assert total(db.kv.scan()) == ACCOUNTS * BALANCE
    with phantomdb.open(path, **{**SMALL, **options}) as db:
        assert total(db.kv.scan()) == ACCOUNTS * BALANCE


@pytest.mark.parametrize("durability", ["none", "commit"])
@pytest.mark.parametrize("partitions", [1, 4])
def test_no_money_is_made_or_lost(tmp_path: Path, partitions: int, durability: str) -> None:
    bank(tmp_path / "db", threads=8, transfers=25, partitions=partitions, durability=durability)


@pytest.mark.long
@pytest.mark.parametrize("durability", ["none", "interval", "commit"])
@pytest.mark.parametrize("partitions", [1, 4])
def test_no_money_is_made_or_lost_long(tmp_path: Path, partitions: int, durability: str) -> None:
    bank(tmp_path / "db", threads=8, transfers=1000 if durability != "commit" else 300, partitions=partitions,
         durability=durability, seed=7)


# ---------------------------------------------------------------- waiting for one's turn


def test_counters_by_get_for_update_meet_no_conflict(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path / "db", durability="none", **SMALL) as db:
        def count() -> None:
            for _ in range(100):
                with db.transaction() as txn:
                    txn.kv.put(b"counter", b"%d" % (int(txn.kv.get_for_update(b"counter") or 0) + 1))

        run_together([count] * 8)
        assert db.kv.get(b"counter") == b"800"


def test_a_deadlock_ends_with_one_starting_again(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path / "db", durability="none", **SMALL) as db:
        met = threading.Barrier(2)

        def cross(first: bytes, second: bytes) -> Callable[[], int]:
            attempts = 0

            def both(txn: phantomdb.Transaction) -> None:
                nonlocal attempts
                attempts += 1
                for key in (first, second):
                    txn.kv.put(key, b"%d" % (int(txn.kv.get_for_update(key) or 0) + 1))
                    if key == first and attempts == 1:
                        met.wait(10)

            def call() -> int:
                db.run(both)
                return attempts
            return call

        began = time.monotonic()
        attempts = run_together([cross(b"a", b"b"), cross(b"b", b"a")])
        assert time.monotonic() - began < 5, "it was the timeout that ended it"
        assert sum(attempts) >= 3
        assert db.kv.multi_get([b"a", b"b"]) == [b"2", b"2"]


def test_waiting_for_a_lock_ends(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path / "db", durability="none", **SMALL) as db:
        holder, waiter = db.transaction(), db.transaction()
        assert holder.kv.get_for_update(b"a") is None
        with pytest.raises(RetryableConflict, match="waited"):
            waiter.kv.get_for_update(b"a", timeout_s=0.05)
        holder.rollback()
        assert waiter.kv.get_for_update(b"a", timeout_s=0.05) is None
        waiter.rollback()


# ---------------------------------------------------------------- group commit


class _SlowDisk(MemoryFileSystem):
    """Syncs of the log take a while, in which others may write, as on a disk; they are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.sync_count = 0

    def open(self, path: str, mode: int) -> Any:
        file = super().open(path, mode)
        return _SlowFile(self, file) if path.endswith(".log") else file


class _SlowFile:
    def __init__(self, disk: _SlowDisk, inner: Any) -> None:
        self._disk, self._inner = disk, inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sync(self) -> None:
        self._disk.sync_count += 1                               # only one sync of a log is ever under way
        time.sleep(0.005)
        self._inner.sync()


def test_threads_share_syncs() -> None:
    disk = _SlowDisk()
    with phantomdb.open("/db", file_system=disk, durability="commit", **SMALL) as db:
        def commit(worker: int) -> Callable[[], None]:
            def work() -> None:
                for number in range(25):
                    db.kv.put(b"%d.%d" % (worker, number), b"x")
            return work

        before = disk.sync_count
        run_together([commit(worker) for worker in range(8)])
        syncs = disk.sync_count - before
        assert len(list(db.kv.scan())) == 200
    assert 0 < syncs < 120, f"{syncs} syncs for 200 commits"
