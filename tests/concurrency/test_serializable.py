"""Random concurrent transactions are serializable; the schedules that usually are not are refused."""
from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from history import Elements, Transaction, check_history, check_timestamps, find_cycle
from workers import SMALL, and_then, run_together, until

import phantomdb
from phantomdb.core._ext.frames import poison_freed_frames
from phantomdb.core.errors import RetryableConflict

# ---------------------------------------------------------------- the checker can fail


def made(name: int, began: float, returned: float, reads: dict[bytes, Elements] | None = None,
         appends: dict[bytes, Elements] | None = None, timestamp: int = 0) -> Transaction:
    return Transaction(name, began, returned, timestamp, reads or {}, appends or {})


def test_the_checker_accepts_a_good_history() -> None:
    history = [made(1, 0, 1, {b"a": ()}, {b"a": (1,)}, 2), made(2, 2, 3, {b"a": (1,), b"b": ()}, {b"a": (2, 3)}, 4),
               made(3, 2, 5, {b"a": (1, 2, 3)}, {}, 4)]
    final = {b"a": (1, 2, 3)}
    check_history(history, final)
    check_timestamps(history, final)


@pytest.mark.parametrize("history, final, message", [
    ([made(1, 0, 9, {b"a": (), b"b": ()}, {b"a": (1,)}), made(2, 0, 9, {b"a": (), b"b": ()}, {b"b": (2,)})],
     {b"a": (1,), b"b": (2,)}, "cycle"),                                            # write skew
    ([made(1, 0, 9, {b"a": ()}, {b"a": (1,)}), made(2, 0, 9, {b"a": ()}, {b"a": (2,)})],
     {b"a": (2,)}, "lost"),                                                         # lost update
    ([made(1, 0, 1, {b"a": ()}, {b"a": (1,)}), made(2, 2, 3, {b"a": ()})],
     {b"a": (1,)}, "cycle"),                                                        # read of the past
    ([made(1, 0, 9, {}, {b"a": (1,), b"b": (2,)}), made(2, 0, 9, {b"a": (1,), b"b": ()})],
     {b"a": (1,), b"b": (2,)}, "cycle"),                                            # half of a commit
    ([made(1, 0, 9, {b"a": ()}, {b"a": (1,)}), made(2, 0, 9, {b"a": (7,)})],
     {b"a": (1,)}, "never the list"),                                               # a write that was rolled back
], ids=["write skew", "lost update", "stale read", "fractured read", "dirty read"])
def test_the_checker_refuses_bad_histories(history: list[Transaction], final: dict[bytes, Elements],
                                           message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_history(history, final)


def test_a_cycle_is_found_and_a_web_without_one_is_not() -> None:
    assert find_cycle({1: {2}, 2: {3}, 3: {4, 2}, 4: set()}) == [2, 3]
    assert find_cycle({n: set(range(n + 1, 30)) for n in range(30)}) is None


def test_the_timestamp_check_refuses_bad_histories() -> None:
    with pytest.raises(AssertionError, match="past"):
        check_timestamps([made(1, 0, 1, {}, {b"a": (1,)}, 4), made(2, 2, 3, {}, {b"b": (2,)}, 2)],
                         {b"a": (1,), b"b": (2,)})
    with pytest.raises(AssertionError, match="did not see"):
        check_timestamps([made(1, 0, 9, {}, {b"a": (1,)}, 2), made(2, 0, 9, {b"a": ()}, {b"b": (2,)}, 4)],
                         {b"a": (1,), b"b": (2,)})


# ---------------------------------------------------------------- random transactions

KEYS = [b"list%d" % number for number in range(8)]


def decode(value: bytes | None) -> Elements:
    return tuple(int(element) for element in value.split(b",")) if value else ()


def encode(elements: Elements) -> bytes:
    return b",".join(b"%d" % element for element in elements)


class ListAppend:
    """One thread's share of the workload."""

    def __init__(self, db: phantomdb.Database, seed: int, names: Iterator[int]) -> None:
        self.db, self.choose, self.names = db, random.Random(seed), names
        self.history: list[Transaction] = []
        self.refused = 0

    def work(self, count: int) -> None:
        for _ in range(count):
            self.transaction()

    def transaction(self) -> None:
        name = next(self.names)
        reads: dict[bytes, Elements] = {}
        appends: dict[bytes, Elements] = {}
        began = time.monotonic()
        txn = self.db.transaction()
        for step in range(self.choose.randint(1, 4)):
            key = self.choose.choice(KEYS)
            action = self.choose.random()
            if action < 0.5:                                     # append
                elements = decode(txn.kv.get(key))
                if key not in appends:
                    reads.setdefault(key, elements)
                element = name * 10 + step
                txn.kv.put(key, encode((*elements, element)))
                appends[key] = (*appends.get(key, ()), element)
            elif action < 0.75:                                  # read one
                elements = decode(txn.kv.get(key))
                if key not in appends:
                    reads.setdefault(key, elements)
                else:
                    assert elements[-len(appends[key]):] == appends[key]
            else:                                                # read several, absent ones included
                other = self.choose.choice(KEYS)
                start, stop = min(key, other), max(key, other)
                rows = {row[0]: decode(row[1]) for row in txn.kv.scan(start, stop, reverse=self.choose.random() < 0.5)}
                for found in KEYS:
                    if start <= found < stop and found not in appends:
                        reads.setdefault(found, rows.get(found, ()))
                        assert reads[found] == rows.get(found, ())
            if self.choose.random() < 0.3:
                time.sleep(0)
        try:
            timestamp = txn.commit()
        except RetryableConflict:
            self.refused += 1
            return
        self.history.append(Transaction(name, began, time.monotonic(), timestamp, reads, appends))


def list_append(path: Path, threads: int, transactions: int, seed: int, **options: Any) -> tuple[int, int]:
    """(committed, refused) of a checked run."""
    names = itertools.count(1)
    with phantomdb.open(path, **{**SMALL, "durability": "none", "value_threshold_bytes": 64, **options}) as db:
        workers = [ListAppend(db, seed * 100 + number, names) for number in range(threads)]
        stop = threading.Event()

        def upkeep() -> None:
            db.flush()
            db.compact()
            time.sleep(0.005)

        working: list[Callable[[], Any]] = [lambda worker=worker: worker.work(transactions) for worker in workers]
        done = threading.Semaphore(0)

        def all_done() -> None:
            for _ in workers:
                done.acquire()
        counted = [lambda work=work: (work(), done.release()) for work in working]
        run_together([*counted, and_then(all_done, stop), until(stop, upkeep)])
        final = {key: decode(value) for key, value in db.kv.scan()}
    history = [transaction for worker in workers for transaction in worker.history]
    check_history(history, final)
    check_timestamps(history, final)
    return len(history), sum(worker.refused for worker in workers)


@pytest.mark.parametrize("options", [{}, {"partitions": 4}, {"durability": "commit", "partitions": 2}],
                         ids=["one partition", "four partitions", "synced"])
def test_random_transactions_are_strictly_serializable(tmp_path: Path, options: dict[str, Any]) -> None:
    committed, refused = list_append(tmp_path / "db", 4, 80, 1, **options)
    assert committed > 50
    assert refused > 0, "they did not meet: the test shows nothing"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("durability", ["none", "commit"])
def test_random_transactions_are_strictly_serializable_many(tmp_path: Path, seed: int, partitions: int,
                                                            durability: str) -> None:
    list_append(tmp_path / "db", 8, 1000 if durability == "none" else 300, seed, partitions=partitions,
                durability=durability)


# ---------------------------------------------------------------- by hand: who must be refused


@pytest.fixture(params=[1, 4], ids=["one partition", "four partitions"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[phantomdb.Database]:
    with phantomdb.open(tmp_path / "db", durability="none", partitions=request.param, **SMALL) as database:
        yield database


@pytest.fixture(params=["memtable", "flushed", "compacted"])
def settle(request: pytest.FixtureRequest, db: phantomdb.Database) -> Callable[[], None]:
    """Moves what was committed to where validation must find it as well."""
    def move() -> None:
        if request.param != "memtable":
            db.flush()
        if request.param == "compacted":
            db.compact()
    return move


def test_write_skew(db: phantomdb.Database, settle: Callable[[], None]) -> None:
    """Two doctors on call; each may leave when the other stays."""
    for isolation, both in (("serializable", False), ("snapshot", True)):
        db.kv.write([(b"alice", b"on"), (b"bob", b"on")])
        one = db.transaction(isolation=isolation)                # type: ignore[arg-type]
        other = db.transaction(isolation=isolation)              # type: ignore[arg-type]
        for txn, leaving in ((one, b"alice"), (other, b"bob")):
            assert [txn.kv.get(b"alice"), txn.kv.get(b"bob")] == [b"on", b"on"]
            txn.kv.put(leaving, b"off")
        one.commit()
        settle()
        if both:
            other.commit()
            assert db.kv.multi_get([b"alice", b"bob"]) == [b"off", b"off"]
        else:
            with pytest.raises(RetryableConflict):
                other.commit()
            assert db.kv.multi_get([b"alice", b"bob"]) == [b"off", b"on"]


def test_validation_of_blocks_that_nothing_keeps(tmp_path: Path) -> None:
    """Without a cache a block goes as soon as nobody inside the guard reads it, also while a commit looks at it.
    Freeing happens every now and then: the one key that changed is each time another of those that were read."""
    options = {**SMALL, "block_cache_bytes": 0, "retention_s": 60, "value_threshold_bytes": 4096}
    keys = [b"%03d" % number for number in range(100)]
    poison_freed_frames(True)
    try:
        with phantomdb.open(tmp_path / "db", **options) as db:
            db.kv.write([(key, b"old" * 200) for key in keys])       # each in a block of its own
            db.compact()
            for changed in keys:
                txn = db.transaction()
                for key in keys:
                    assert txn.kv.get(key) is not None
                db.kv.put(changed, b"new" * 200)
                db.compact()
                txn.kv.put(b"other", b"")
                with pytest.raises(RetryableConflict):
                    txn.commit()
    finally:
        poison_freed_frames(False)


@pytest.mark.parametrize("reverse", [False, True])
def test_phantom(db: phantomdb.Database, settle: Callable[[], None], reverse: bool) -> None:
    for isolation, allowed in (("serializable", False), ("snapshot", True)):
        db.kv.delete_range()
        db.kv.write([(b"task1", b"3"), (b"task2", b"4")])
        txn = db.transaction(isolation=isolation)                # type: ignore[arg-type]
        total = sum(int(value) for _, value in txn.kv.scan(b"task", b"tasl", reverse=reverse))
        txn.kv.put(b"total", b"%d" % total)
        db.kv.put(b"task15", b"1")
        settle()
        if allowed:
            txn.commit()
            assert db.kv.get(b"total") == b"7"
        else:
            with pytest.raises(RetryableConflict):
                txn.commit()
            assert db.kv.get(b"total") is None


def test_phantom_by_delete_and_by_range_delete(db: phantomdb.Database, settle: Callable[[], None]) -> None:
    for remove in (lambda: db.kv.delete(b"b"), lambda: db.kv.delete_range(b"b", b"b\0"), lambda: db.kv.delete_range()):
        db.kv.write([(b"a", b"1"), (b"b", b"2")])
        scanning, reading, apart = db.transaction(), db.transaction(), db.transaction()
        assert len(list(scanning.kv.scan())) == 2 + (db.kv.get(b"seen") is not None)
        assert reading.kv.get(b"b") == b"2"
        for txn in (scanning, reading, apart):
            txn.kv.put(b"seen", b"")
        remove()
        settle()
        for txn in (scanning, reading):
            with pytest.raises(RetryableConflict):
                txn.commit()
        apart.commit()


def test_lost_update_is_refused_at_both(db: phantomdb.Database, settle: Callable[[], None]) -> None:
    db.kv.put(b"counter", b"0")
    for isolation in ("serializable", "snapshot"):
        one = db.transaction(isolation=isolation)                # type: ignore[arg-type]
        other = db.transaction(isolation=isolation)              # type: ignore[arg-type]
        for txn in (one, other):
            txn.kv.put(b"counter", b"%d" % (int(txn.kv.get(b"counter") or 0) + 1))
        one.commit()
        settle()
        with pytest.raises(RetryableConflict):
            other.commit()
    assert db.kv.get(b"counter") == b"2"


def test_snapshot_isolation_refuses_writes_that_meet_as_ranges(db: phantomdb.Database,
                                                               settle: Callable[[], None]) -> None:
    db.kv.put(b"m", b"1")
    deleting = db.transaction(isolation="snapshot")
    deleting.kv.delete_range(b"a", b"z")
    writing = db.transaction(isolation="snapshot")
    writing.kv.put(b"n", b"mine")
    outside = db.transaction(isolation="snapshot")
    outside.kv.put(b"zz", b"")
    db.kv.put(b"k", b"theirs")
    settle()
    with pytest.raises(RetryableConflict):
        deleting.commit()
    writing.commit()
    writing = db.transaction(isolation="snapshot")
    writing.kv.put(b"n", b"mine")
    db.kv.delete_range(b"a", b"z")
    settle()
    with pytest.raises(RetryableConflict):
        writing.commit()
    outside.commit()


def test_what_only_read_never_conflicts(db: phantomdb.Database, settle: Callable[[], None]) -> None:
    db.kv.write([(b"a", b"1"), (b"b", b"1")])
    txn = db.transaction()
    assert txn.kv.get(b"a") == b"1"
    db.kv.write([(b"a", b"2"), (b"b", b"2"), (b"c", b"2")])
    settle()
    assert list(txn.kv.scan()) == [(b"a", b"1"), (b"b", b"1")]
    assert txn.commit() == txn.snapshot_timestamp < db.timestamp


def test_blind_writes_never_conflict_at_the_default(db: phantomdb.Database) -> None:
    one, other = db.transaction(), db.transaction()
    for txn, value in ((one, b"1"), (other, b"2")):
        txn.kv.put(b"a", value)
        assert txn.kv.get(b"a") == value                         # its own: nothing of the database was read
    other.commit()
    one.commit()
    assert db.kv.get(b"a") == b"1"


def test_absent_keys_and_empty_ranges_are_validated(db: phantomdb.Database, settle: Callable[[], None]) -> None:
    for read in (lambda txn: txn.kv.get(b"q"), lambda txn: list(txn.kv.scan(b"q", b"r")),
                 lambda txn: list(txn.kv.scan(b"q", b"r", reverse=True)), lambda txn: b"q" in txn.kv,
                 lambda txn: txn.kv.multi_get([b"q"])):
        db.kv.delete(b"q")
        settle()
        txn = db.transaction()
        assert read(txn) in (None, [], False, [None])
        txn.kv.put(b"result", b"")
        db.kv.put(b"q", b"1")
        settle()
        with pytest.raises(RetryableConflict):
            txn.commit()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_conflicts_within_what_it_read_and_nowhere_else(db: phantomdb.Database, settle: Callable[[], None],
                                                               reverse: bool) -> None:
    keys = [b"%02d" % number for number in range(0, 20, 2)]
    order = keys[::-1] if reverse else keys

    def read_three(txn: phantomdb.Transaction) -> None:
        assert [row[0] for row in txn.kv.scan(reverse=reverse, limit=3)] == order[:3]

    def take_three(txn: phantomdb.Transaction) -> None:
        rows = txn.kv.scan(reverse=reverse)
        assert [next(rows)[0] for _ in range(3)] == order[:3]

    inside = [order[0], order[2], b"%02d" % (int(order[1]) + 1), b"99" if reverse else b"!"]
    outside = [order[3], order[9], b"%02d" % (int(order[2]) - 1 if reverse else int(order[2]) + 1)]
    for read in (read_three, take_three):
        for changed, refused in [(key, True) for key in inside] + [(key, False) for key in outside]:
            db.kv.delete_range()
            db.kv.write([(key, b"1") for key in keys])
            txn = db.transaction()
            read(txn)
            txn.kv.put(b"zz" if not reverse else b" ", b"")
            db.kv.put(changed, b"2")
            settle()
            if refused:
                with pytest.raises(RetryableConflict):
                    txn.commit()
            else:
                txn.commit()


def test_a_refused_transaction_leaves_nothing_and_is_over(db: phantomdb.Database) -> None:
    txn = db.transaction()
    assert txn.kv.get(b"a") is None
    txn.kv.write([(b"b", b"1"), (b"c", b"1")])
    db.kv.put(b"a", b"1")
    with pytest.raises(RetryableConflict) as refusal:
        txn.commit()
    assert refusal.value.code == "conflict" and refusal.value.retry
    assert not txn.is_open and txn.commit_timestamp is None
    assert list(db.kv.scan()) == [(b"a", b"1")]
