"""What hangs on what: columns in expressions and views, and what goes when something is dropped.

RESTRICT names what depends on the object and refuses; CASCADE takes it along. What is part of the object (indexes,
checks, sequences it owns) goes either way.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import replace

from phantomdb.core.catalog.catalog import Catalog, Relation
from phantomdb.core.catalog.objects import ForeignKey, Index, StoredExpression, Table, View
from phantomdb.core.catalog.objects import Sequence as SequenceObject
from phantomdb.core.catalog.work import Change, DropRange, RowWork
from phantomdb.core.query import plan
from phantomdb.core.query.errors import DependentObjects

NAMED_COUNT = 20                     # dependents that a message names


# -------------------------------------------------------------------- columns

def parts(value: object) -> Iterator[object]:
    """A node of a plan or an expression, and all that is inside of it."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            waiting += item
        elif dataclasses.is_dataclass(item):
            yield item
            waiting += [getattr(item, field.name) for field in dataclasses.fields(item)]


def columns_of(expression: StoredExpression | None) -> set[int]:
    """Ids of the stored columns it names."""
    if expression is None:
        return set()
    return {part.id for part in parts(expression.bound) if isinstance(part, plan.Column)}


def index_columns_of(index: Index) -> set[int]:
    """Ids of the stored columns an index needs."""
    found = columns_of(index.predicate) | set(index.included)
    for column in index.columns:
        found |= columns_of(column.expression)
        if column.column is not None:
            found.add(column.column)
    return found


def tables_of(query: plan.Query) -> set[int]:
    """Ids of the tables it reads."""
    return {part.table for part in parts(query.plan) if isinstance(part, plan.Scan)}


def uses_column(view: View, table: int, column: int) -> bool:
    """Whether anything in the view names it: a scan lists all columns of its table."""
    scanned: set[int] = set()
    named: set[int] = set()
    waiting: list[object] = [view.query]
    while waiting:
        item = waiting.pop()
        if isinstance(item, plan.Scan):
            if item.table == table:
                scanned |= {part.column.id for part in item.columns if part.source == column}
            item = item.as_of
        if isinstance(item, plan.Column):
            named.add(item.id)
        elif isinstance(item, tuple):
            waiting += item
        elif dataclasses.is_dataclass(item):
            waiting += [getattr(item, field.name) for field in dataclasses.fields(item)]
    return not scanned.isdisjoint(named)


# -------------------------------------------------------------------- keys that others refer to

def is_key(table: Table, columns: Iterable[int]) -> bool:
    """Whether a foreign key may point to these columns: they are the primary key, or have a unique index of their own
    that is complete, for all rows, and checked at once."""
    wanted = set(columns)
    if set(table.primary_key) == wanted:
        return True
    return any(index.is_unique and index.state == "public" and index.predicate is None and not index.is_deferrable
               and not index.is_multi_key and all(part.column is not None and not part.path for part in index.columns)
               and {part.column for part in index.columns} == wanted for index in table.indexes)


def without_keys_to(catalog: Catalog, table: Table, cascade: bool, what: str) -> Catalog:
    """After `table` has become what is given (in the catalog already): foreign keys that find no key there any more
    are dropped. DependentObjects: without cascade there may be none."""
    lost = [(user, key) for user in [table, *_distinct(user for user, _ in catalog.referencing(table.id))]
            for key in user.foreign_keys
            if key.target == table.id and not (_has_columns(table, key) and is_key(table, key.target_columns))]
    require_cascade(cascade, what, [_describe_key(user, key) for user, key in lost])
    return _drop_keys(catalog, lost)


def _distinct(tables: Iterable[Table]) -> list[Table]:
    return list({table.id: table for table in tables}.values())


def _has_columns(table: Table, key: ForeignKey) -> bool:
    return set(key.target_columns) <= {column.id for column in table.columns}


def _drop_keys(catalog: Catalog, keys: Iterable[tuple[Table, ForeignKey]]) -> Catalog:
    for user, key in keys:
        now = catalog.table(user.id)
        catalog = catalog.with_object(replace(now, foreign_keys=tuple(
            other for other in now.foreign_keys if other.name != key.name)))
    return catalog


def _describe_key(user: Table, key: ForeignKey) -> str:
    return f"constraint {key.name} on table {user.name}"


# -------------------------------------------------------------------- dropping

def require_cascade(cascade: bool, what: str, dependents: list[str]) -> None:
    """DependentObjects: something depends on `what`, and cascade was not said."""
    if dependents and not cascade:
        named = ", ".join(dependents[:NAMED_COUNT])
        if len(dependents) > NAMED_COUNT:
            named += f" and {len(dependents) - NAMED_COUNT} more"
        raise DependentObjects(f"cannot drop {what} because other objects depend on it: {named}; drop them first, or "
                               "use CASCADE")


def describe(item: Relation) -> str:
    kind = {Table: "table", View: "view", SequenceObject: "sequence"}[type(item)]
    return f"{kind} {item.name}"


def drop_relations(catalog: Catalog, ids: Iterable[int], cascade: bool) -> Change:
    """Drops tables, views and sequences together: they may depend on each other. DependentObjects, UndefinedTable."""
    given = [catalog.relation(number) for number in ids]
    doomed: dict[int, Relation] = {item.id: item for item in given}
    waiting = list(doomed.values())
    dependents: list[str] = []
    while waiting:
        item = waiting.pop(0)
        over: list[Relation] = [view for view in catalog.dependents(item.id) if view.id not in doomed]
        dependents += [describe(view) for view in over]
        for more in [*catalog.owned_sequences(item.id), *over]:
            if more.id not in doomed:
                doomed[more.id] = more
                waiting.append(more)
    keys = [(user, key) for item in doomed.values() if isinstance(item, Table)
            for user, key in catalog.referencing(item.id) if user.id not in doomed]
    dependents += [_describe_key(user, key) for user, key in keys]
    users = [(user, column) for item in doomed.values() if isinstance(item, SequenceObject)
             for user in catalog.sequence_users(item.id) if user.id not in doomed
             for column in user.columns if column.sequence == item.id]
    for user, column in users:
        if column.identity:
            raise DependentObjects(f"cannot drop sequence {catalog.sequence(column.sequence or 0).name} because column "
                                   f"{column.name} of table {user.name} requires it", table=user.name,
                                   column=column.name)
        dependents.append(f"default value for column {column.name} of table {user.name}")
    require_cascade(cascade, ", ".join(map(describe, given)), dependents)

    catalog = _drop_keys(catalog, keys)
    for user, _ in users:
        now = catalog.table(user.id)
        catalog = catalog.with_object(replace(now, columns=tuple(
            replace(column, sequence=None) if column.sequence in doomed else column for column in now.columns)))
    work: list[RowWork] = []
    for item in doomed.values():
        catalog = catalog.without(item.id)
        if isinstance(item, Table):
            work += [DropRange(item.id), *(DropRange(index.id) for index in item.indexes)]
    return Change(catalog, tuple(work))
