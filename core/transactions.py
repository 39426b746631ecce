"""Transactions as programs see them, and the helper that runs one until it commits.

    with db.transaction() as txn:          commits at the end of the block, rolls back on an exception
        balance = txn.kv.get(b"a")
        txn.kv.put(b"a", ...)

Optimistic: nothing waits for anything until commit, which may refuse with RetryableConflict; `run`
starts again then. `get_for_update` is the exception: it waits for its turn on a key.
"""
from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from phantomdb.core._ext.transaction import TransactionCore, TransactionKeySpace, set_closed_error
from phantomdb.core.errors import InvalidArgument, RetryableConflict, TransactionClosed

if TYPE_CHECKING:
    from phantomdb.core.database import Database
    from phantomdb.core.locks import LockTable
    from phantomdb.core.query.result import Result
    from phantomdb.core.query.session import Session
    from phantomdb.core.store import LocalStore

Isolation = Literal["serializable", "snapshot"]
T = TypeVar("T")

set_closed_error(TransactionClosed)

LOCK_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.0005               # of run(): doubled at each conflict, with full jitter
LONGEST_PAUSE_S = 0.1


class LockHolder:
    """A transaction as the lock table sees it. An object of its own, so that transaction and keyspace are no cycle:
    a transaction that nobody holds any more then ends at once, and not when the garbage collector comes by."""

    __slots__ = ("age",)

    def __init__(self, age: int) -> None:
        self.age = age


class TransactionKeyValue(TransactionKeySpace):
    """The raw keyspace inside a transaction."""

    def __init__(self, core: TransactionCore, prefix: int, locks: LockTable, holder: LockHolder) -> None:
        super().__init__(core, prefix)
        self._core, self._locks, self._holder = core, locks, holder

    def get_for_update(self, key: bytes, *, timeout_s: float = LOCK_TIMEOUT_S) -> bytes | None:
        """get(), after waiting until no other transaction holds `key` by get_for_update.

        Meant for "read, change, write back" on hot keys: those who ask wait for each other instead of failing at
        commit. When it is the transaction's first read, the snapshot moves to after the wait, so that it sees what
        the one before it wrote. RetryableConflict: the wait was too long, or a deadlock.
        """
        self._core.check_open()
        self._locks.acquire(self._holder, bytes(memoryview(key)), timeout_s)
        self._core.refresh()
        return self.get(key)


class Transaction:
    """A unit of work: everything or nothing, as if alone. For one thread at a time."""

    def __init__(self, store: LocalStore, prefix: int, isolation: Isolation = "serializable",
                 age: int | None = None, database: Database | None = None) -> None:
        if isolation not in ("serializable", "snapshot"):
            raise InvalidArgument(f"isolation must be 'serializable' or 'snapshot', not {isolation!r}")
        store.check_usable()
        self.isolation: Isolation = isolation
        self._database = database                        # for frontends
        self._session: Session | None = None             # of all frontends in this transaction
        self._frontends: dict[str, Any] = {}
        self.core = TransactionCore(store.engine, isolation == "serializable", 0,
                                    store.options.transaction_bytes)
        self._locks = store.locks
        self._holder = LockHolder(self.core.snapshot_timestamp if age is None else age)
        self.kv = TransactionKeyValue(self.core, prefix, self._locks, self._holder)

    def commit(self) -> int:
        """Applies all writes at once; returns the commit timestamp. RetryableConflict: nothing was applied.
        IntegrityViolation: a deferred constraint does not hold; rolled back."""
        session, self._session = self._session, None
        try:
            if session is not None:
                session.check_deferred()
            timestamp = self.core.commit()
        except BaseException:
            self.core.rollback()
            raise
        finally:
            self._locks.release_all(self._holder)
            if session is not None:
                self._frontends.clear()
                later = session.leave()
        if session is not None:
            session.build(later)
        return timestamp

    def rollback(self) -> None:
        """Ends the transaction without effect."""
        self.core.rollback()
        self._locks.release_all(self._holder)
        if self._session is not None:
            self._session.leave()
            self._session = None
            self._frontends.clear()

    def lock(self, key: bytes, *, timeout_s: float = LOCK_TIMEOUT_S) -> None:
        """Waits until no other transaction holds `key`, one of the whole store, and holds it to the end. Reads nothing,
        and stops nobody who does not ask. RetryableConflict: the wait was too long, or a deadlock."""
        self.core.check_open()
        self._locks.acquire(self._holder, key, timeout_s)

    def sql(self, text: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Result:
        """Runs SQL in this transaction. A statement that fails is undone; the transaction goes on."""
        result: Result = self.frontend("sql").execute(text, parameters)
        return result

    def frontend(self, name: str) -> Any:
        """A session of the frontend `name` in this transaction; all of them see the same rows."""
        self.core.check_open()
        found = self._frontends.get(name)
        if found is None:
            from phantomdb.core.frontends import frontend
            if self._database is None:
                raise InvalidArgument("only a transaction of Database.transaction() or run() has frontends")
            if self._session is None:
                self._session = self._database.session()
                self._session.join(self)
            found = self._frontends[name] = frontend(name).session(self._session)
        return found

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A block whose writes are undone when it raises; the transaction goes on."""
        mark = self.core.mark()
        try:
            yield
        except BaseException:
            if self.core.is_open:
                self.core.rollback_to(mark)
            raise

    @property
    def age(self) -> int:
        """Rank among those that wait for locks: the smaller, the older."""
        return self._holder.age

    @property
    def is_open(self) -> bool:
        return self.core.is_open

    @property
    def snapshot_timestamp(self) -> int:
        """The commit timestamp as of which it reads."""
        return self.core.snapshot_timestamp

    @property
    def commit_timestamp(self) -> int | None:
        """Set once committed."""
        return self.core.commit_timestamp

    def __enter__(self) -> Transaction:
        self.core.check_open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if kind is not None:
            self.rollback()
        elif self.core.is_open:
            self.commit()

    def __del__(self) -> None:
        if hasattr(self, "kv") and self.core.is_open:
            self.rollback()


def run(begin: Callable[[int | None], Transaction], function: Callable[[Transaction], T], *,
        timeout_s: float) -> T:
    """Runs `function` in a transaction and commits, again and again while the error is retryable and time is left."""
    deadline = time.monotonic() + timeout_s
    pause_s = FIRST_PAUSE_S
    age: int | None = None
    while True:
        transaction = begin(age)
        age = transaction.age                # keeps its rank among waiters, so that it gets its turn in the end
        try:
            with transaction:
                result = function(transaction)
            return result
        except RetryableConflict:
            if time.monotonic() + pause_s > deadline:
                raise
        time.sleep(random.uniform(0, pause_s))
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
