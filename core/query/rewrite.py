"""Walking and changing plans: one generic pass over the dataclasses of plan.py, expressions and nodes alike.

`transform(tree, function)` rebuilds a tree from below: the function sees each expression or node after its parts, and
gives what is to stand there. Parts that do not change are shared, so a pass that finds nothing returns the tree itself.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from phantomdb.core.query import plan
from phantomdb.core.values import Type

T = TypeVar("T")

_LEAVES = (str, bytes, int, float, type(None), Type)


_names_of_fields: dict[type, tuple[str, ...]] = {}


def _field_names(cls: Any) -> tuple[str, ...]:
    """Fields that may hold a tree."""
    found = _names_of_fields.get(cls)
    if found is None:
        skipped = {"type", "value", "name", "names"}
        found = _names_of_fields[cls] = tuple(item.name for item in fields(cls) if item.name not in skipped)
    return found


def transform(tree: T, function: Callable[[Any], Any]) -> T:
    """`tree` with `function` applied to every expression and node in it, from the leaves up."""
    result: T = _transform(tree, function)
    return result


def _transform(tree: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(tree, _LEAVES):
        return tree
    if isinstance(tree, tuple):
        parts = [_transform(part, function) for part in tree]
        return tree if all(a is b for a, b in zip(parts, tree, strict=True)) else tuple(parts)
    if not is_dataclass(tree):
        return tree
    changed: dict[str, Any] = {}
    for name in _field_names(type(tree)):
        before = getattr(tree, name)
        if (after := _transform(before, function)) is not before:
            changed[name] = after
    if changed:
        values = {item.name: changed.get(item.name, getattr(tree, item.name)) for item in fields(tree)}
        tree = _remade(tree, values)
    return function(tree) if isinstance(tree, (plan.Expression, plan.Node)) else tree


def walk(tree: Any) -> Iterator[Any]:
    """Every expression and node in `tree`, itself included, from the top down; also those of subqueries."""
    if isinstance(tree, tuple):
        for part in tree:
            yield from walk(part)
    elif is_dataclass(tree) and not isinstance(tree, Type):
        if isinstance(tree, (plan.Expression, plan.Node)):
            yield tree
        for name in _field_names(type(tree)):
            part = getattr(tree, name)
            if not isinstance(part, _LEAVES):
                yield from walk(part)


def columns_of(tree: Any) -> set[int]:
    """Numbers of all columns that expressions in `tree` refer to or that its nodes put out."""
    return {part.id for part in walk(tree) if isinstance(part, plan.Column)}


# Fields that say which columns a part makes, not which it reads.
_MADE = {plan.ScanColumn: {"column"}, plan.Item: {"column"}, plan.Values: {"columns"}, plan.CommonScan: {"columns"},
         plan.TableFunction: {"columns", "ordinality"}, plan.SetOperation: {"columns"}, plan.Aggregate: {"grouping"}}


def references(tree: Any) -> set[int]:
    """Numbers of the columns that something in `tree` reads."""
    if isinstance(tree, _LEAVES):
        return set()
    if isinstance(tree, plan.Column):
        return {tree.id}
    if isinstance(tree, tuple):
        parts: Iterable[Any] = tree
    else:
        skipped = _MADE.get(type(tree), set())
        if isinstance(tree, plan.Distinct) and tree.on is not None:
            skipped = {"columns"}
        parts = [getattr(tree, name) for name in _field_names(type(tree)) if name not in skipped] \
            if is_dataclass(tree) else []
    found: set[int] = set()
    for part in parts:
        if not isinstance(part, _LEAVES):
            found |= references(part)
    return found


def outputs(node: plan.Node) -> tuple[plan.Column, ...]:
    """The columns a node puts out."""
    match node:
        case plan.Scan() | plan.VirtualTable():
            return tuple(item.column for item in node.columns)
        case plan.Values() | plan.CommonScan() | plan.SetOperation() | plan.Distinct(on=None):
            return node.columns
        case plan.TableFunction():
            return node.columns + ((node.ordinality,) if node.ordinality else ())
        case plan.Project():
            return tuple(item.column for item in node.items)
        case plan.Aggregate():
            return (*(item.column for item in node.keys), *(item.column for item in node.aggregates),
                    *(column for column, _ in node.grouping))
        case plan.Window():
            return (*outputs(node.input), *(item.column for item in node.items))
        case plan.Join():
            return (*outputs(node.left), *outputs(node.right))
        case plan.Filter() | plan.Sort() | plan.Limit() | plan.With() | plan.Distinct():
            return outputs(node.input)
    raise AssertionError(type(node).__name__)


def free_columns(tree: Any) -> set[int]:
    """Columns a tree refers to that no node inside it puts out: what a correlated subquery needs from outside."""
    made: set[int] = set()
    used: set[int] = set()
    for part in walk(tree):
        if isinstance(part, plan.Node) and not isinstance(part, (plan.Filter, plan.Sort, plan.Limit, plan.With,
                                                                 plan.Join)):
            made.update(column.id for column in _made(part))
        elif isinstance(part, plan.Column):
            used.add(part.id)
    return used - made


def _made(node: plan.Node) -> tuple[plan.Column, ...]:
    """Columns a node brings into being."""
    if isinstance(node, plan.Window):
        return tuple(item.column for item in node.items)
    if isinstance(node, plan.Distinct):
        return ()
    return outputs(node)


def substitute(tree: T, function: Callable[[Any, bool], Any]) -> T:
    """`tree` from the top down: where `function(part, inside)` gives something, that stands there and is not looked
    into. `inside`: the part belongs to a subquery of the expression and not to itself."""
    result: T = _substitute(tree, function, False)
    return result


def _substitute(tree: Any, function: Callable[[Any, bool], Any], inside: bool) -> Any:
    if isinstance(tree, _LEAVES):
        return tree
    if isinstance(tree, tuple):
        parts = [_substitute(part, function, inside) for part in tree]
        return tree if all(a is b for a, b in zip(parts, tree, strict=True)) else tuple(parts)
    if not is_dataclass(tree):
        return tree
    if isinstance(tree, plan.Expression) and (given := function(tree, inside)) is not None:
        return given
    inside = inside or isinstance(tree, plan.Node)
    changed: dict[str, Any] = {}
    for name in _field_names(type(tree)):
        before = getattr(tree, name)
        if (after := _substitute(before, function, inside)) is not before:
            changed[name] = after
    if not changed:
        return tree
    values = {item.name: changed.get(item.name, getattr(tree, item.name)) for item in fields(tree)}
    return _remade(tree, values)


def _remade(tree: Any, values: dict[str, Any]) -> Any:
    return type(tree)(**values)


def renumbered(query: plan.Query, new_column: Callable[[Type, str], plan.Column], new_table: Callable[[], int]
               ) -> plan.Query:
    """A copy of a stored query whose columns and common tables have numbers of their own."""
    columns: dict[int, plan.Column] = {}
    tables: dict[int, int] = {}

    def fresh(part: Any) -> Any:
        if isinstance(part, plan.Column):
            if part.id not in columns:
                columns[part.id] = new_column(part.type, part.name)
            return columns[part.id]
        if isinstance(part, plan.CommonScan):
            return plan.CommonScan(tables.setdefault(part.table, new_table()), part.columns)
        if isinstance(part, plan.With):
            return plan.With(tuple(_with_number(table, tables, new_table) for table in part.tables), part.input)
        return part

    return plan.Query(transform(query.plan, fresh), query.names,
                      tuple(columns.get(column.id, column) for column in query.columns))


def _with_number(table: plan.CommonTable, tables: dict[int, int], new_table: Callable[[], int]) -> plan.CommonTable:
    if table.id not in tables:
        tables[table.id] = new_table()
    values = {item.name: getattr(table, item.name) for item in fields(table)}
    return plan.CommonTable(**{**values, "id": tables[table.id]})
