"""The lock table: exclusion, order, deadlock, time limits, owners that go away."""
from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from phantomdb.core.errors import InvalidArgument, PhantomError, RetryableConflict, TransactionClosed
from phantomdb.core.locks import LockTable

LONG_S = 10.0           # never reached unless something is broken


@dataclass(eq=False)
class Owner:
    age: int
    held: set[bytes] = field(default_factory=set)


class Attempt(threading.Thread):
    """acquire() in a thread; `result` is None or the exception."""

    def __init__(self, table: LockTable, owner: Owner, key: bytes, timeout_s: float = LONG_S) -> None:
        super().__init__(daemon=True)
        self.table, self.owner, self.key, self.timeout_s = table, owner, key, timeout_s
        self.result: PhantomError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.table.acquire(self.owner, self.key, self.timeout_s)
        except PhantomError as error:
            self.result = error

    def finish(self) -> PhantomError | None:
        self.join(LONG_S)
        assert not self.is_alive()
        return self.result


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def waiting(table: LockTable, key: bytes, count: int = 1) -> None:
    until(lambda: table.waiter_count(key) == count)


def is_empty(table: LockTable) -> bool:
    return not (table._locks or table._held or table._waiting)


def test_a_free_key_is_taken_at_once_and_again_by_its_holder() -> None:
    table, owner = LockTable(), Owner(1)
    table.acquire(owner, b"k", 0)
    table.acquire(owner, b"k", 0)
    assert table.holder(b"k") is owner
    table.release_all(owner)
    assert table.holder(b"k") is None
    table.release_all(owner)
    assert is_empty(table)


def test_keys_do_not_disturb_each_other() -> None:
    table, a, b = LockTable(), Owner(1), Owner(2)
    table.acquire(a, b"k1", 0)
    table.acquire(b, b"k2", 0)
    assert (table.holder(b"k1"), table.holder(b"k2")) == (a, b)


def test_only_one_holds_a_key() -> None:
    table, inside, most, total = LockTable(), 0, 0, 0

    def work(age: int) -> None:
        nonlocal inside, most, total
        for _ in range(50):
            owner = Owner(age)
            table.acquire(owner, b"k", LONG_S)
            inside += 1
            most = max(most, inside)
            time.sleep(0)
            total += 1
            inside -= 1
            table.release_all(owner)

    threads = [threading.Thread(target=work, args=(age,)) for age in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert (most, total) == (1, 400)
    assert is_empty(table)


def test_first_come_first_served() -> None:
    table, holder = LockTable(), Owner(0)
    table.acquire(holder, b"k", 0)
    attempts = []
    for number, age in enumerate([5, 3, 9, 1]):         # age plays no part here
        attempts.append(Attempt(table, Owner(age), b"k"))
        waiting(table, b"k", number + 1)
    order = [holder]
    for attempt in attempts:
        table.release_all(order[-1])
        assert attempt.finish() is None
        assert table.holder(b"k") is attempt.owner
        order.append(attempt.owner)


def test_a_newcomer_cannot_overtake_the_queue() -> None:
    table, holder, newcomer = LockTable(), Owner(0), Owner(2)
    table.acquire(holder, b"k", 0)
    first = Attempt(table, Owner(1), b"k")
    waiting(table, b"k")
    table.release_all(holder)
    with pytest.raises(RetryableConflict):
        table.acquire(newcomer, b"k", 0)
    assert first.finish() is None


def test_time_limit_names_the_key_and_the_wait() -> None:
    table, holder, other = LockTable(), Owner(1), Owner(2)
    table.acquire(holder, b"\x01" + b"k" * 200, 0)
    began = time.monotonic()
    with pytest.raises(RetryableConflict) as raised:
        table.acquire(other, b"\x01" + b"k" * 200, 0.05)
    assert 0.04 < time.monotonic() - began < LONG_S / 2
    message = str(raised.value)
    assert repr(b"\x01" + b"k" * 63) + "..." in message
    assert "0.05 s" in message
    assert "k" * 64 not in message
    assert raised.value.retry
    assert table.waiter_count(b"\x01" + b"k" * 200) == 0
    table.release_all(holder)
    table.acquire(other, b"\x01" + b"k" * 200, 0)       # nothing was left behind


def test_no_time_to_wait_fails_at_once_and_endless_time_is_allowed() -> None:
    table, holder, other = LockTable(), Owner(1), Owner(2)
    table.acquire(holder, b"k", 0)
    with pytest.raises(RetryableConflict):
        table.acquire(other, b"k", 0)
    endless = Attempt(table, other, b"k", float("inf"))
    waiting(table, b"k")
    table.release_all(holder)
    assert endless.finish() is None


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("youngest", [0, 1, -1])
def test_the_youngest_of_a_circle_is_sent_back_at_once(size: int, youngest: int) -> None:
    table = LockTable()
    owners = [Owner(age) for age in range(size)]
    owners[youngest].age = 100
    keys = [b"k%d" % i for i in range(size)]
    for owner, key in zip(owners, keys, strict=True):
        table.acquire(owner, key, 0)
    attempts = []
    for i in range(size):                               # each wants its neighbour's key; the last closes the circle
        attempts.append(Attempt(table, owners[i], keys[(i + 1) % size]))
        if i < size - 1:
            waiting(table, keys[i + 1])
    failure = attempts[youngest].finish()
    assert isinstance(failure, RetryableConflict)
    assert f"deadlock: {size} " in str(failure)
    assert repr(attempts[youngest].key) in str(failure)
    assert table.holder(keys[youngest]) is owners[youngest]      # until it gives up
    table.release_all(owners[youngest])
    for i in range(size - 2, -1, -1):                   # the others now come through, one after the other
        attempt = attempts[(youngest + 1 + i) % size]
        assert attempt.finish() is None
        table.release_all(attempt.owner)
    assert is_empty(table)


def test_a_deadlock_through_a_queue_is_seen() -> None:
    # c waits behind b for k1; when b gets k1, b's wish for c's key closes the circle
    table, a, b, c = LockTable(), Owner(1), Owner(2), Owner(3)
    table.acquire(a, b"k1", 0)
    table.acquire(c, b"k2", 0)
    second = Attempt(table, b, b"k1")
    waiting(table, b"k1", 1)
    third = Attempt(table, c, b"k1")
    waiting(table, b"k1", 2)
    table.release_all(a)
    assert second.finish() is None
    wish = Attempt(table, b, b"k2")
    assert isinstance(third.finish(), RetryableConflict)
    table.release_all(c)
    assert wish.finish() is None


def test_a_chain_without_a_circle_just_waits() -> None:
    table, a, b, c = LockTable(), Owner(1), Owner(2), Owner(3)
    table.acquire(a, b"k1", 0)
    table.acquire(b, b"k2", 0)
    first = Attempt(table, b, b"k1")
    waiting(table, b"k1")
    second = Attempt(table, c, b"k2")
    waiting(table, b"k2")
    table.release_all(a)
    assert first.finish() is None
    assert second.is_alive()
    table.release_all(b)
    assert second.finish() is None


def test_an_owner_that_ends_frees_those_who_wait_for_any_of_its_keys() -> None:
    table, dying = LockTable(), Owner(1)
    attempts = []
    for i in range(4):
        table.acquire(dying, b"%d" % i, 0)
        attempts.append(Attempt(table, Owner(i + 2), b"%d" % i))
        waiting(table, b"%d" % i)
    table.release_all(dying)
    assert [attempt.finish() for attempt in attempts] == [None] * 4


def test_an_owner_that_ends_while_it_waits_stops_waiting() -> None:
    table, holder, dying, last = LockTable(), Owner(1), Owner(2), Owner(3)
    table.acquire(holder, b"k", 0)
    attempt = Attempt(table, dying, b"k")
    waiting(table, b"k", 1)
    behind = Attempt(table, last, b"k")
    waiting(table, b"k", 2)
    table.release_all(dying)
    assert isinstance(attempt.finish(), TransactionClosed)
    table.release_all(holder)
    assert behind.finish() is None
    assert table.holder(b"k") is last


def test_an_owner_waits_in_one_thread_only() -> None:
    table, holder, other = LockTable(), Owner(1), Owner(2)
    table.acquire(holder, b"k", 0)
    attempt = Attempt(table, other, b"k")
    waiting(table, b"k")
    with pytest.raises(InvalidArgument):
        table.acquire(other, b"free", 0)
    table.release_all(holder)
    assert attempt.finish() is None


def test_many_owners_and_few_keys_all_come_through() -> None:
    table, keys = LockTable(), [b"a", b"b", b"c", b"d"]
    done: list[int] = []
    owned: dict[bytes, Owner] = {}

    def work(seed: int) -> None:
        choose = random.Random(seed)
        for round_number in range(15):
            age = seed + round_number * 100             # kept when it has to start again
            while True:
                owner = Owner(age)
                try:
                    for key in choose.sample(keys, 3):
                        table.acquire(owner, key, LONG_S)
                        assert key not in owned
                        owned[key] = owner
                        owner.held.add(key)
                        time.sleep(0)
                except RetryableConflict:
                    continue
                else:
                    break
                finally:
                    for key in owner.held:
                        del owned[key]
                    table.release_all(owner)
            done.append(age)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert len(done) == 90
    assert is_empty(table)
