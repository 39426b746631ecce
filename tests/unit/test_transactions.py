"""Transactions as a program uses them: retries, savepoints, own writes."""
from __future__ import annotations

import time
from collections.abc import Callable

import pytest

import phantomdb
from phantomdb.core.errors import InvalidArgument, RetryableConflict

Opener = Callable[..., phantomdb.Database]


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
