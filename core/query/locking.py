"""SELECT ... FOR UPDATE: rows that the transaction keeps for itself, and LOCK TABLE.

    which rows?   a transaction of its own looks, as often as new rows come        (only while nothing has been read:
    lock them     wait, give up (NOWAIT) or pass by (SKIP LOCKED)                   afterwards the snapshot stands)
    read them     at a snapshot from after the wait, so that it has what the one before us wrote

The locks are those of `get_for_update`: they make those wait for each other who ask for them, and stop nobody else.
What makes them right is the commit: a row given by FOR UPDATE or FOR SHARE must still be the same then, whatever the
isolation. FOR SHARE therefore takes no lock. A lock is given back when the transaction ends.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.errors import RetryableConflict
from phantomdb.core.query import plan
from phantomdb.core.query.errors import LockNotAvailable
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression
from phantomdb.core.query.result import Result, result_of
from phantomdb.core.tables.layout import ROWS_PREFIX, id_range
from phantomdb.core.tables.rows import RowTransaction, cover_validated, get_validated

if TYPE_CHECKING:
    from phantomdb.core.query.execution import Executor
    from phantomdb.core.query.session import Session

MAX_LOOKS = 20                           # at rows that keep changing while their locks are taken

Row = tuple[Any, ...]


def run(executor: Executor, query: plan.Query, rows: RowTransaction, parameters: Sequence[Any], tag: str) -> Result:
    """The rows of a query with locks. LockNotAvailable: NOWAIT; RetryableConflict: the wait was too long, a deadlock,
    or a row has changed since the transaction began."""
    found = _LockingQuery(executor, query, rows, parameters).run()
    width = len(query.columns)
    return result_of(query.names, [column.type for column in query.columns], [row[:width] for row in found], tag)


def lock_table(session: Session, rows: RowTransaction, table: int, *, waits: bool) -> None:
    """Waits for others that lock the table, and nobody may have written to it when the transaction commits.
    LockNotAvailable, RetryableConflict."""
    start, stop = id_range(table)
    _Locks(rows, session.lock_timeout_s).take(start, waits)
    _refresh(session, rows)
    rows.fence(table)
    cover_validated(rows.space, start, stop)


def _refresh(session: Session, rows: RowTransaction) -> bool:
    """Moves the snapshot to now if nothing has been read yet; whether it did. RetryableConflict: the catalog, for which
    the statement is bound, is another one now."""
    moved = rows.transaction.core.refresh()
    if moved and session.engine.tables.catalogs.at(rows.transaction).version != rows.catalog.version:
        raise RetryableConflict("a definition has changed; run the transaction again")
    return moved


class _Locks:
    """Those that one statement takes. Keys are those of the store, without the prefix of rows."""

    def __init__(self, rows: RowTransaction, timeout_s: float) -> None:
        self._rows, self._timeout_s = rows, timeout_s
        self.held: set[bytes] = set()
        self.passed_by: set[bytes] = set()

    def take(self, key: bytes, waits: bool) -> None:
        """LockNotAvailable: another has it and `waits` is false."""
        try:
            self._rows.transaction.lock(bytes([ROWS_PREFIX]) + key, timeout_s=self._timeout_s if waits else 0.0)
        except RetryableConflict:
            if waits:
                raise
            raise LockNotAvailable("another transaction has locked it") from None
        self.held.add(key)

    def try_take(self, key: bytes) -> bool:
        try:
            self.take(key, False)
        except LockNotAvailable:
            self.passed_by.add(key)
            return False
        return True


class _LockingQuery:
    def __init__(self, executor: Executor, query: plan.Query, rows: RowTransaction, parameters: Sequence[Any]) -> None:
        assert query.locks is not None
        self._executor, self._rows, self._parameters = executor, rows, parameters
        self._wish = query.locks
        self._locks = _Locks(rows, executor.session.lock_timeout_s)
        self._width = len(query.columns)
        self._layouts = [rows.layout(lock.table) for lock in query.locks.rows]
        node, self._skipped, self._count = query.plan, 0, None
        if query.locks.wait is plan.LockWait.SKIP and isinstance(node, plan.Limit):
            # the limit counts rows that were not passed by
            self._skipped, self._count = self._number(node.offset) or 0, self._number(node.count)
            node = node.input
        keys = [lock.key for lock in query.locks.rows]
        self._query = replace(query, plan=node, names=(*query.names, *[""] * len(keys)),
                              columns=(*query.columns, *keys), locks=None)

    def _number(self, expression: plan.Expression | None) -> int | None:
        found: int | None = None if expression is None else compile_expression(
            expression, {}, EvaluationContext(self._parameters))(())
        return found

    def run(self) -> list[Row]:
        takes_locks = any(not lock.is_shared for lock in self._wish.rows)
        session = self._executor.session
        if takes_locks and _refresh(session, self._rows):
            self._lock_ahead()
            _refresh(session, self._rows)
        before = set(self._locks.held)
        found = self._taken(self._executor.execute(self._query, self._rows, self._parameters, "").fetchall())
        self._require_unchanged(self._locks.held - before)
        for row in found:
            for place in range(len(self._layouts)):
                if (key := self._key(row, place)) is not None:
                    get_validated(self._rows.space, key)
        return found

    def _lock_ahead(self) -> None:
        session = self._executor.session
        for _ in range(MAX_LOOKS):
            transaction = session.probe()
            try:
                rows = session.engine.tables.rows(transaction)
                if rows.catalog.version != self._rows.catalog.version:
                    raise RetryableConflict("a definition has changed; run the transaction again")
                found = self._executor.execute(self._query, rows, self._parameters, "").fetchall()
            finally:
                transaction.rollback()
            count = len(self._locks.held)
            self._taken(found)
            if len(self._locks.held) == count:
                return

    def _taken(self, found: Sequence[Row]) -> list[Row]:
        """The rows of `found` that are locked now."""
        kept: list[Row] = []
        for row in found:
            if self._count is not None and len(kept) >= self._skipped + self._count:
                break
            if self._take(row):
                kept.append(row)
        return kept[self._skipped:]

    def _take(self, row: Row) -> bool:
        for place, lock in enumerate(self._wish.rows):
            key = None if lock.is_shared else self._key(row, place)
            if key is None or key in self._locks.held:
                continue
            if self._wish.wait is not plan.LockWait.SKIP:
                self._locks.take(key, self._wish.wait is plan.LockWait.WAIT)
            elif key in self._locks.passed_by or not self._locks.try_take(key):
                return False
        return True

    def _key(self, row: Row, place: int) -> bytes | None:
        """Of the row of one table; None on the side of an outer join that has none."""
        row_key = row[self._width + place]
        return None if row_key is None else self._layouts[place].key_of(row_key)

    def _require_unchanged(self, keys: set[bytes]) -> None:
        """What was locked after the snapshot may be another's work by now: no use to go on until the commit."""
        since = self._rows.transaction.snapshot_timestamp
        space = KeySpace(self._executor.session.engine.store.engine, ROWS_PREFIX)
        if any(space.changed_since(since, key, key + b"\0") for key in keys):
            raise RetryableConflict("could not serialize access due to concurrent update; run the transaction again")
