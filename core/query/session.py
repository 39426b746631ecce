"""A session: statements one after the other, each in the open transaction or in one of its own.

    autocommit    BEGIN [statement] COMMIT            a conflict runs the statement again: nobody has seen a result
    explicit      begin() ... commit()                a failed statement is undone, and the transaction refuses all
                                                      further ones until rollback, as in PostgreSQL

A session belongs to one thread at a time. Frontends use it: they give plans, definitions and parameters, and know
nothing of executors.
"""
from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.work import BuildIndex, Change
from phantomdb.core.errors import RetryableConflict
from phantomdb.core.query import context as statement_context
from phantomdb.core.query import plan
from phantomdb.core.query.cancellation import Cancellation
from phantomdb.core.query.errors import (
    InvalidSavepoint, InvalidTransactionState, ReadOnlyTransaction, TransactionAborted,
)
from phantomdb.core.query.execution import Executor
from phantomdb.core.query.result import Result, RowStream
from phantomdb.core.tables import work as row_work
from phantomdb.core.tables.layout import id_range
from phantomdb.core.tables.rows import RowTransaction, cover_validated
from phantomdb.core.transactions import FIRST_PAUSE_S, LOCK_TIMEOUT_S, LONGEST_PAUSE_S, Isolation, Transaction

if TYPE_CHECKING:
    from phantomdb.core.database import Database
    from phantomdb.core.query.engine import QueryEngine

T = TypeVar("T")
ExecutorName = Literal["row", "vector"]
RETRY_TIMEOUT_S = 10.0                   # of a statement in a transaction of its own


class StalePlan(Exception):
    """The catalog has changed since the statement was bound: it is to be bound again. Nothing has happened."""


class _Settings(NamedTuple):
    """What SET changes."""

    values: dict[str, str]
    search_path: tuple[str, ...]
    statement_timeout_s: float | None
    default_isolation: Isolation
    lock_timeout_s: float
    only_executor: ExecutorName | None


class Session:
    """Made by Database.session()."""

    def __init__(self, database: Database, name: str = "main", user: str = "phantomdb") -> None:
        self._database = database                            # keeps it open
        self.engine: QueryEngine = database.queries
        self.name, self.user = name, user
        self.configuration: statement_context.Configuration | None = None        # the frontend sets it
        self.settings: dict[str, str] = {}
        self.search_path: tuple[str, ...] = ("public",)
        self.statement_timeout_s: float | None = None
        self.default_isolation: Isolation = "serializable"
        self.lock_timeout_s = LOCK_TIMEOUT_S                 # that FOR UPDATE and LOCK TABLE wait
        self.only_executor: ExecutorName | None = None       # None: whichever fits
        self.is_read_only = False
        self.executor = Executor(self)
        self.cancellation: Cancellation | None = None        # of the statement that runs
        self._transaction: Transaction | None = None
        self._owns_transaction = True
        self.rows: RowTransaction | None = None               # of the open transaction
        self.is_failed = False                               # a statement failed: only a rollback is possible
        self._savepoints: list[tuple[str, int, Catalog, tuple[_Settings, _Settings | None] | None]] = []
        self._settings_before: _Settings | None = None       # of the transaction; None: it has changed none
        self._settings_after: _Settings | None = None        # what a commit leaves, where SET LOCAL made them others
        self._later: list[BuildIndex] = []                   # indexes to be built after the commit
        self.sequence_values: dict[int, int] = {}            # last taken, by sequence; 0: of any

    # ---------------------------------------------------------------- transactions

    @property
    def in_transaction(self) -> bool:
        """Whether begin() was called and neither commit() nor rollback() yet."""
        return self._transaction is not None

    def begin(self, isolation: Isolation | None = None, *, read_only: bool | None = None) -> None:
        if self._transaction is not None:
            raise InvalidTransactionState("there is already a transaction in progress")
        self._start(self._database.transaction(isolation=isolation or self.default_isolation))
        if read_only is None:
            read_only = self.settings.get("default_transaction_read_only") == "on"
        self.is_read_only = read_only

    def set_isolation(self, isolation: Isolation) -> None:
        """Of the open transaction, before it has read or written anything. InvalidTransactionState."""
        transaction, _ = self._require()
        if transaction.isolation == isolation:
            return
        if not self._owns_transaction or self._savepoints or transaction.core.write_count or (
                not transaction.core.refresh()):
            raise InvalidTransactionState("the isolation level must be set before the first query of the transaction")
        transaction.rollback()
        self._start(self._database.transaction(isolation=isolation))

    @property
    def isolation(self) -> Isolation:
        """Of the open transaction, or of those to come."""
        return self.default_isolation if self._transaction is None else self._transaction.isolation

    def probe(self) -> Transaction:
        """A transaction of its own, to look at what others have committed by now; to be rolled back."""
        return self._database.transaction(isolation="snapshot")

    def join(self, transaction: Transaction) -> None:
        """Uses an open transaction of the program: it is committed by whoever made it."""
        if self._transaction is not None:
            raise InvalidTransactionState("there is already a transaction in progress")
        self._start(transaction)
        self._owns_transaction = False

    def check_deferred(self) -> None:
        """Before a joined transaction commits. IntegrityViolation."""
        if self.rows is not None:
            self.rows.check_deferred()

    def leave(self) -> list[BuildIndex]:
        """A joined transaction has ended; what to hand to build() if it was committed."""
        later = list(self._later)
        self._end()
        return later

    def _start(self, transaction: Transaction) -> None:
        self._transaction, self._owns_transaction = transaction, True
        self.rows = self.engine.tables.rows(transaction)
        self.is_failed = False
        self._savepoints.clear()

    def commit(self) -> None:
        """InvalidTransactionState: none is open. A failed one is rolled back instead, as in PostgreSQL."""
        transaction, rows = self._require()
        if not self._owns_transaction:
            raise InvalidTransactionState("this transaction is committed by the program that opened it")
        if self.is_failed:
            self.rollback()
            return
        later, self._later = self._later, []
        is_committed = False
        try:
            rows.check_deferred()
            transaction.commit()
            is_committed = True
        except BaseException:
            transaction.rollback()
            raise
        finally:
            self._end(is_committed)
        self.build(later)

    def rollback(self) -> None:
        """Undoes everything since begin(); without a transaction it does nothing."""
        if self._transaction is not None:
            if not self._owns_transaction:
                raise InvalidTransactionState("this transaction is rolled back by the program that opened it")
            self._transaction.rollback()
            self._end()

    def _end(self, is_committed: bool = False) -> None:
        kept = self._settings_after if is_committed else self._settings_before
        if kept is not None:
            self._set_state(kept)
        self._settings_before = self._settings_after = None
        self._transaction = self.rows = None
        self.is_failed = False
        self._savepoints.clear()
        self._later.clear()
        self.is_read_only = False

    def _require(self) -> tuple[Transaction, RowTransaction]:
        if self._transaction is None or self.rows is None:
            raise InvalidTransactionState("there is no transaction in progress")
        return self._transaction, self.rows

    def savepoint(self, name: str) -> None:
        transaction, rows = self._require()
        if self.is_failed:
            raise TransactionAborted
        kept = None if self._settings_before is None else (self._state(), self._settings_after)
        self._savepoints.append((name, transaction.core.mark(), rows.catalog, kept))

    def release(self, name: str) -> None:
        """Forgets a savepoint and those after it; what was done stays."""
        del self._savepoints[self._find_savepoint(name):]

    def rollback_to(self, name: str) -> None:
        """Undoes what was done since the savepoint, which stays."""
        place = self._find_savepoint(name)
        transaction, rows = self._require()
        _, mark, catalog, kept = self._savepoints[place]
        del self._savepoints[place + 1:]
        transaction.core.rollback_to(mark)
        self._set_catalog(rows, catalog)
        if self._settings_before is not None:
            now, self._settings_after = kept or (self._settings_before, None)
            self._set_state(now)
        self.is_failed = False

    def _find_savepoint(self, name: str) -> int:
        self._require()
        for place in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[place][0] == name:
                return place
        raise InvalidSavepoint(f'savepoint "{name}" does not exist')

    # ---------------------------------------------------------------- settings

    def configure(self, change: Callable[[], None], *, is_local: bool = False) -> None:
        """Calls `change`, which changes settings of this session. A rollback takes it back; a local change is taken
        back by every end of the transaction, and without a transaction it is none."""
        if self._transaction is None:
            if not is_local:
                change()
            return
        before = self._state()
        change()
        self._settings_before = self._settings_before or before
        if is_local:
            self._settings_after = self._settings_after or before
        elif self._settings_after is not None:
            now = self._state()
            self._set_state(self._settings_after)
            change()
            self._settings_after = self._state()
            self._set_state(now)

    def _state(self) -> _Settings:
        return _Settings(dict(self.settings), self.search_path, self.statement_timeout_s, self.default_isolation,
                         self.lock_timeout_s, self.only_executor)

    def _set_state(self, state: _Settings) -> None:
        self.settings = dict(state.values)
        self.search_path, self.statement_timeout_s = state.search_path, state.statement_timeout_s
        self.default_isolation, self.only_executor = state.default_isolation, state.only_executor
        self.lock_timeout_s = state.lock_timeout_s

    # ---------------------------------------------------------------- statements

    @property
    def catalog(self) -> Catalog:
        """What the next statement sees."""
        if self.rows is not None:
            return self.rows.catalog
        transaction = self.probe()
        try:
            return self.engine.tables.catalogs.at(transaction)
        finally:
            transaction.rollback()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """For what comes before a statement runs: an error there fails the open transaction as well."""
        if self.is_failed:
            raise TransactionAborted
        try:
            yield
        except BaseException:
            self.is_failed = self._transaction is not None and self._owns_transaction
            raise

    def run(self, function: Callable[[RowTransaction], T], *, writes: bool = True) -> T:
        """Calls `function` with the rows of the open transaction, or of one made for it, which is then committed."""
        before, self.cancellation = self.cancellation, Cancellation(self.statement_timeout_s)
        try:
            if self._transaction is not None:
                return self._run_inside(function, writes)
            return self._run_alone(function, writes)
        finally:
            self.cancellation = before

    def _run_inside(self, function: Callable[[RowTransaction], T], writes: bool) -> T:
        transaction, rows = self._require()
        if self.is_failed:
            raise TransactionAborted
        if writes and self.is_read_only:
            raise ReadOnlyTransaction
        mark, catalog = transaction.core.mark(), rows.catalog
        try:
            with self._context(rows):
                return function(rows)
        except BaseException:
            self.is_failed = self._owns_transaction
            if transaction.is_open:
                transaction.core.rollback_to(mark)
                self._set_catalog(rows, catalog)
            raise

    def _run_alone(self, function: Callable[[RowTransaction], T], writes: bool) -> T:
        if writes and self.settings.get("default_transaction_read_only") == "on":
            raise ReadOnlyTransaction
        deadline = time.monotonic() + RETRY_TIMEOUT_S
        pause_s = FIRST_PAUSE_S
        while True:
            transaction = self._database.transaction(isolation=self.default_isolation)
            rows = self.engine.tables.rows(transaction)
            self._later.clear()
            try:
                with self._context(rows):
                    result = function(rows)
                    rows.check_deferred()
                transaction.commit()
            except RetryableConflict:
                transaction.rollback()
                if time.monotonic() + pause_s > deadline:
                    raise
            except BaseException:
                transaction.rollback()
                raise
            else:
                later, self._later = self._later, []
                self.build(later)
                return result
            time.sleep(random.uniform(0, pause_s))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    @contextmanager
    def _context(self, rows: RowTransaction) -> Iterator[None]:
        """now(), current_user and the like, for the time of a statement."""
        made = statement_context.StatementContext(
            now=rows.now, timezone=self.settings.get("timezone", "UTC"), user=self.user, database=self.name,
            search_path=self.search_path, configuration=self.configuration, sequences=SessionSequences(self, rows),
            catalog=rows.catalog, cancellation=self.cancellation)
        with statement_context.use(made):
            yield

    def execute(self, statement: plan.Statement, parameters: Sequence[Any] = (), tag: str = "",
                used: Iterable[int] = (), version: int | None = None) -> Result:
        """Runs a bound statement. `used`: the relations it names; unless it only reads, in a transaction of its own,
        the commit is refused when the definition of one has changed. StalePlan: the catalog is not that of `version`.
        """
        writes = not isinstance(statement, plan.Query)

        def work(rows: RowTransaction) -> Result:
            _require_version(rows, version)
            result = self.executor.execute(statement, rows, parameters, tag)
            if writes or self.in_transaction:                # afterwards: FOR UPDATE must be the first to read
                for relation in used:
                    rows.fence(relation)
            return result

        return self.run(work, writes=writes)

    def stream(self, query: plan.Query, parameters: Sequence[Any], use: Callable[[RowStream], T],
               version: int | None = None) -> T:
        """Calls `use` with the rows of a bound query while its transaction is open. They are computed as `use` asks for
        them, so there may be more than memory holds. StalePlan as of execute()."""
        def work(rows: RowTransaction) -> T:
            _require_version(rows, version)
            return self.executor.stream(query, rows, parameters, use)

        return self.run(work, writes=False)

    def execute_many(self, statement: plan.Change, parameters: Sequence[Sequence[Any]], version: int | None = None
                     ) -> int:
        """Runs a bound change for each row of parameters, all or none; how many rows it changed. StalePlan as of
        execute()."""
        def work(rows: RowTransaction) -> int:
            _require_version(rows, version)
            return self.executor.execute_many(statement, rows, parameters)

        return self.run(work)

    def interrupt(self) -> None:
        """From any thread: the statement that runs ends with StatementCancelled at the next occasion. One that is plain
        enough to be a single read or write (fast.py) runs to its end."""
        if (running := self.cancellation) is not None:
            running.cancel()

    # ---------------------------------------------------------------- definitions

    def define(self, rows: RowTransaction, apply: Callable[[Catalog], Change]) -> Change:
        """Changes the catalog inside the transaction of `rows` and does the work on rows that follows from it. What it
        reads for that is validated at any isolation."""
        change = apply(rows.catalog)
        if rows.transaction.isolation == "snapshot":
            for table in {item.table for item in change.work if hasattr(item, "table")}:
                cover_validated(rows.space, *id_range(table))
        change, later = row_work.put_off_builds(rows, change)
        self._set_catalog(rows, change.catalog)
        after = row_work.execute(rows, change.work)
        if after is not change.catalog:
            rows.catalog = change.catalog                    # execute() has left what is not saved yet
            self._set_catalog(rows, after)
        self._later += later
        return change

    def _set_catalog(self, rows: RowTransaction, catalog: Catalog) -> None:
        """What the transaction sees from here on. After going back to a savepoint its rows are the old ones again."""
        if catalog.version != rows.catalog.version:
            if catalog.version != self.engine.tables.catalogs.at(rows.transaction).version:
                self.engine.tables.catalogs.change(rows.transaction, catalog)
            rows.catalog = catalog

    def build(self, builds: Sequence[BuildIndex]) -> None:
        """Completes indexes whose definition is committed."""
        for item in builds:
            self.engine.upkeep.build(item)

    def close(self) -> None:
        """Rolls back what is open."""
        if self._transaction is not None and self._owns_transaction:
            self.rollback()


def _require_version(rows: RowTransaction, version: int | None) -> None:
    if version is not None and rows.catalog.version != version:
        raise StalePlan


class SessionSequences:
    """nextval() and its like for one statement: sequences by name, and what this session took last."""

    def __init__(self, session: Session, rows: RowTransaction) -> None:
        self._session, self._rows = session, rows

    def _find(self, name: str) -> Any:
        from phantomdb.core.catalog.objects import Sequence as SequenceObject
        from phantomdb.core.query.errors import UndefinedTable, WrongObjectType
        catalog = self._rows.catalog
        database = catalog.database(self._session.name)
        schema, _, plain = name.rpartition(".")
        names = [schema.strip('"')] if schema else self._session.search_path
        path = [known.id for item in names
                if database is not None and (known := catalog.schema(database.id, item)) is not None]
        found = catalog.find(path, plain.strip('"'))
        if found is None:
            raise UndefinedTable(f'relation "{name}" does not exist')
        if not isinstance(found, SequenceObject):
            raise WrongObjectType(f'"{name}" is not a sequence')
        return found

    def next_value(self, name: str) -> int:
        sequence = self._find(name)
        value = self._rows.sequences.next(sequence)
        self._session.sequence_values[sequence.id] = value
        self._session.sequence_values[0] = value
        return value

    def current_value(self, name: str) -> int:
        sequence = self._find(name)
        values = self._session.sequence_values
        if sequence.id not in values:
            from phantomdb.core.query.errors import UndefinedObject
            raise UndefinedObject(f'currval of sequence "{sequence.name}" is not yet defined in this session')
        return values[sequence.id]

    def last_value(self) -> int:
        values = self._session.sequence_values
        if 0 not in values:
            from phantomdb.core.query.errors import UndefinedObject
            raise UndefinedObject("lastval is not yet defined in this session")
        return values[0]

    def set_value(self, name: str, value: int, is_called: bool) -> int:
        sequence = self._find(name)
        self._rows.sequences.set(sequence, value, is_called)
        if is_called:
            self._session.sequence_values[sequence.id] = value
        return value
