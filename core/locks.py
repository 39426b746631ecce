"""Locks on keys, for transactions that want to wait rather than to fail (`get_for_update`).

The locks are a hint and correctness never rests on them: commit validates what a transaction read
whether it held locks or not, and a writer that takes no lock is not stopped by one. What they buy is
that two transactions which both announce that they will change a key do so one after the other,
instead of one of them having to start again at commit.

    key    held by    waiting, first come first served
    k1     A          B, C
    k2     B          -

An owner holds its locks until `release_all`; a released lock is handed to the first in its queue, so
nobody can slip in between. Owners wait for at most one key each, which makes deadlock easy to see:
from the holder of the key an owner wants, follow "waits for the holder of" until it ends, or comes
back to the owner. (That others stand in the queue before it adds nothing: they wait for the same
holder.) The check is made before waiting and under the table's mutex, so no deadlock ever forms; the
youngest transaction of the would-be circle is told to start again, which favours old ones and
lets each succeed in the end.
"""
from __future__ import annotations

import threading
import time
from collections import deque
from typing import Protocol

from phantomdb.core.errors import InvalidArgument, PhantomError, RetryableConflict, TransactionClosed

SHOWN_KEY_BYTES = 64


class LockOwner(Protocol):
    """A transaction: compared by identity. `age`: a number that is smaller in older ones."""

    @property
    def age(self) -> int: ...


class _Waiter:
    """One owner in the queue of one lock. Guarded by the table's mutex."""

    __slots__ = ("condition", "failure", "granted", "lock", "owner")

    def __init__(self, owner: LockOwner, lock: _Lock, mutex: threading.Lock) -> None:
        self.owner, self.lock = owner, lock
        self.condition = threading.Condition(mutex)
        self.granted = False
        self.failure: PhantomError | None = None


class _Lock:
    """A key that is held, and who waits for it. Guarded by the table's mutex."""

    __slots__ = ("key", "owner", "queue")

    def __init__(self, key: bytes, owner: LockOwner) -> None:
        self.key, self.owner = key, owner
        self.queue: deque[_Waiter] = deque()


class LockTable:
    """Exclusive locks on keys. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()                          # guards all that follows
        self._locks: dict[bytes, _Lock] = {}                    # only keys that are held
        self._held: dict[LockOwner, list[_Lock]] = {}           # only owners that hold something
        self._waiting: dict[LockOwner, _Waiter] = {}

    def acquire(self, owner: LockOwner, key: bytes, timeout_s: float) -> None:
        """Let `owner` hold `key`, waiting up to `timeout_s`; at once if it does already.

        RetryableConflict: the time is up, or waiting would be a deadlock. TransactionClosed: the
        owner's locks were released meanwhile. Locks held before stay held in both cases.
        """
        with self._mutex:
            if owner in self._waiting:
                raise InvalidArgument("the transaction is waiting for a lock in another thread")
            lock = self._locks.get(key)
            if lock is None:
                lock = self._locks[key] = _Lock(key, owner)
                self._held.setdefault(owner, []).append(lock)
            elif lock.owner is not owner:
                self._break_circle(owner, lock)
                self._wait(_Waiter(owner, lock, self._mutex), timeout_s)

    def release_all(self, owner: LockOwner) -> None:
        """Give up everything `owner` holds or waits for. Safe to call again, and for a stranger."""
        with self._mutex:
            waiter = self._waiting.get(owner)
            if waiter is not None:
                self._dismiss(waiter, TransactionClosed())
            for lock in self._held.pop(owner, ()):
                self._hand_over(lock)

    def holder(self, key: bytes) -> LockOwner | None:
        """Who holds `key` now."""
        with self._mutex:
            lock = self._locks.get(key)
            return lock.owner if lock is not None else None

    def waiter_count(self, key: bytes) -> int:
        """How many wait for `key` now."""
        with self._mutex:
            lock = self._locks.get(key)
            return len(lock.queue) if lock is not None else 0

    # ---- the mutex is held in all that follows

    def _wait(self, waiter: _Waiter, timeout_s: float) -> None:
        lock = waiter.lock
        deadline = time.monotonic() + timeout_s
        lock.queue.append(waiter)
        self._waiting[waiter.owner] = waiter
        try:
            while not waiter.granted and waiter.failure is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    waiter.failure = RetryableConflict(
                        f"waited {timeout_s:g} s for the lock on key {_shown(lock.key)}; run the transaction again")
                    break
                waiter.condition.wait(min(left, threading.TIMEOUT_MAX))
        finally:                                # also when Ctrl-C ends the wait
            if not waiter.granted:
                self._leave_queue(waiter)
        if waiter.failure is not None:
            raise waiter.failure

    def _hand_over(self, lock: _Lock) -> None:
        if not lock.queue:
            del self._locks[lock.key]
            return
        waiter = lock.queue.popleft()
        del self._waiting[waiter.owner]
        lock.owner = waiter.owner
        self._held.setdefault(waiter.owner, []).append(lock)
        waiter.granted = True
        waiter.condition.notify()

    def _dismiss(self, waiter: _Waiter, failure: PhantomError) -> None:
        self._leave_queue(waiter)
        waiter.failure = failure
        waiter.condition.notify()

    def _leave_queue(self, waiter: _Waiter) -> None:
        if self._waiting.get(waiter.owner) is waiter:       # not yet dismissed
            del self._waiting[waiter.owner]
            waiter.lock.queue.remove(waiter)

    def _break_circle(self, owner: LockOwner, wanted: _Lock) -> None:
        circle: list[LockOwner] = [owner]
        lock = wanted
        while lock.owner is not owner:
            waiter = self._waiting.get(lock.owner)
            if waiter is None:
                return                                      # that one is running: no circle
            circle.append(lock.owner)
            lock = waiter.lock
        victim = max(circle, key=lambda member: member.age)
        failure = RetryableConflict(
            f"deadlock: {len(circle)} transactions wait for each other, this one for the lock on key "
            f"{_shown(wanted.key if victim is owner else self._waiting[victim].lock.key)}; run it again")
        if victim is owner:
            raise failure
        self._dismiss(self._waiting[victim], failure)


def _shown(key: bytes) -> str:
    return repr(key[:SHOWN_KEY_BYTES]) + ("..." if len(key) > SHOWN_KEY_BYTES else "")
