"""FOR UPDATE and FOR SHARE: which rows of which tables of FROM they mean (core/query/locking.py takes the locks)."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import plan
from phantomdb.core.query.errors import FeatureNotSupported, WrongObjectType
from phantomdb.core.query.rewrite import transform, walk
from phantomdb.core.values import BYTES
from phantomdb.frontends.sql.parse import name_of, position_of
from phantomdb.frontends.sql.scope import Relation

if TYPE_CHECKING:
    from phantomdb.core.query.builder import Builder
    from phantomdb.frontends.sql.from_clause import FromItem

# What sqlglot makes of nothing, NOWAIT and SKIP LOCKED.
_WAITS: dict[Any, plan.LockWait] = {None: plan.LockWait.WAIT, True: plan.LockWait.NOWAIT, False: plan.LockWait.SKIP}


def bind_locks(builder: Builder, node: Any, source: FromItem) -> plan.RowLocks | None:
    """What FOR UPDATE and FOR SHARE lock: rows of the tables in FROM, whose scans get a column for their keys."""
    clauses = node.args.get("locks")
    if not clauses:
        return None
    waits = {clause.args.get("wait") for clause in clauses}
    if len(waits) > 1 or not waits <= _WAITS.keys():
        raise FeatureNotSupported("more than one way to wait for locks, or WAIT", position=position_of(node))
    stored = {relation.alias: relation for relation in source.scope.relations if relation.table is not None}
    shared: dict[str, bool] = {}
    for clause in clauses:
        for table in clause.expressions:
            if name_of(table.this) not in stored:
                raise WrongObjectType(f'FOR UPDATE OF "{name_of(table.this)}": FROM has no such table',
                                      position=position_of(table))
        for alias in [name_of(table.this) for table in clause.expressions] or stored:
            shared[alias] = not clause.args["update"] and shared.get(alias, True)
    if any(not clause.expressions for clause in clauses):
        _require_all_stored(source.plan, stored.values(), node)
    found: list[plan.RowLock] = []

    def with_key(part: Any) -> Any:
        if not isinstance(part, plan.Scan):
            return part
        alias = next((alias for alias in shared if part.columns
                      and part.columns[0].column.id in stored[alias].sources), None)
        if alias is None:
            return part
        if part.as_of is not None:
            raise FeatureNotSupported("FOR UPDATE with AS OF SYSTEM TIME", position=position_of(node))
        key = builder.column(BYTES, "row key")
        found.append(plan.RowLock(part.table, key, shared[alias]))
        return replace(part, columns=(*part.columns, plan.ScanColumn(key, plan.ROW_KEY)))

    source.plan = transform(source.plan, with_key)
    return plan.RowLocks(tuple(found), _WAITS[waits.pop()]) if found else None


def _require_all_stored(node: plan.Node, stored: Iterable[Relation], clause: Any) -> None:
    """FeatureNotSupported: a view or a subquery in FROM reads tables, whose rows would have to be locked."""
    known = {number for relation in stored for number in relation.sources}
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, plan.Join):
            waiting += [part.left, part.right]
        elif any(isinstance(inner, plan.Scan) and inner.columns and inner.columns[0].column.id not in known
                 for inner in walk(part)):
            raise FeatureNotSupported("FOR UPDATE of a view or a subquery; name the tables: FOR UPDATE OF",
                                      position=position_of(clause))
