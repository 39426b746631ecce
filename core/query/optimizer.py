"""Rules that make a plan cheaper and keep what it means. Each is a function from plan to plan.

    _null_call          a function of NULL is NULL, and its other arguments are not computed, as in PostgreSQL
    push_conditions     a condition moves down to the input whose columns it is about, at best to a scan
    prune               columns that nobody reads are not made, and not read from the table

The order of joins is left to the executors, which know the sizes of their inputs.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from phantomdb.core.query import plan
from phantomdb.core.query.functions import registry
from phantomdb.core.query.rewrite import columns_of, outputs, references, substitute, transform, walk
from phantomdb.core.values import BOOL


def optimize(query: plan.Query) -> plan.Query:
    """The query with all rules applied."""
    return prune(plan.Query(push_conditions(query.plan), query.names, query.columns))


# -------------------------------------------------------------------- conditions

def conjuncts(condition: plan.Expression | None) -> list[plan.Expression]:
    """The parts of a condition that all must be true."""
    if condition is None or condition == plan.TRUE:
        return []
    if isinstance(condition, plan.Call) and condition.name == "and":
        return [part for argument in condition.arguments for part in conjuncts(argument)]
    return [condition]


def conjunction(parts: Iterable[plan.Expression]) -> plan.Expression | None:
    there = list(parts)
    if len(there) < 2:
        return there[0] if there else None
    return plan.Call(BOOL, "and", tuple(there))


def filtered(node: plan.Node, parts: Iterable[plan.Expression]) -> plan.Node:
    condition = conjunction(parts)
    return node if condition is None else plan.Filter(node, condition)


def push_conditions(tree: plan.Node) -> plan.Node:
    """Filters as far down as they may go; an inner join's ON is a filter too."""
    return transform(tree, _push)


def _push(node: Any) -> Any:
    if isinstance(node, plan.Call):
        return _null_call(node)
    if isinstance(node, plan.Cast):
        return plan.Literal(node.type, None) if _is_null(node.argument) else node
    if isinstance(node, plan.Filter):
        return push_into(node.input, conjuncts(node.condition))
    if isinstance(node, plan.Join) and node.condition is not None and not node.is_lateral:
        return _join_with(node, [])
    return node


def _null_call(call: plan.Call) -> plan.Expression:
    """NULL for a call that is NULL whatever its other arguments are: also where one of them would raise."""
    if any(map(_is_null, call.arguments)) and registry.overloads(call.name):
        overload = registry.resolve(call.name, [argument.type for argument in call.arguments]).overload
        if overload.is_strict and overload.kind is registry.FunctionKind.SCALAR:
            return plan.Literal(call.type, None)
    return call


def _is_null(expression: plan.Expression) -> bool:
    return isinstance(expression, plan.Literal) and expression.value is None


def push_into(node: plan.Node, parts: list[plan.Expression]) -> plan.Node:
    """`node` under conditions, each as far down as it may go."""
    if not parts:
        return node
    match node:
        case plan.Filter():
            return push_into(node.input, conjuncts(node.condition) + parts)
        case plan.Join() if not node.is_lateral:
            # EXISTS and the like cost most: they are asked of the rows that the join leaves
            late = [part for part in parts if _asks_rows(part)]
            return filtered(_join_with(node, [part for part in parts if part not in late]), late)
        case plan.Project():
            meanings = {item.column.id: item.expression for item in node.items}
            movable = [part for part in parts if _may_move_through(part, meanings)]
            if movable:
                below = [_with_meanings(part, meanings) for part in movable]
                rest = [part for part in parts if part not in movable]
                return filtered(plan.Project(push_into(node.input, below), node.items), rest)
        case plan.Sort():
            return plan.Sort(push_into(node.input, parts), node.keys)
    return filtered(node, parts)


def _with_meanings(part: plan.Expression, meanings: dict[int, plan.Expression]) -> plan.Expression:
    return substitute(part, lambda e, _: meanings.get(e.id) if isinstance(e, plan.Column) else None)


def _asks_rows(part: plan.Expression) -> bool:
    return any(isinstance(inner, plan.Subquery) and inner.kind is not plan.SubqueryKind.SCALAR for inner in walk(part))


def _may_move_through(part: plan.Expression, meanings: dict[int, plan.Expression]) -> bool:
    """Not when it would compute something twice that is not cheap, or not the same the second time."""
    if any(isinstance(inner, plan.Subquery) for inner in walk(part)):
        return False
    used = [meanings[number] for number in columns_of(part) if number in meanings]
    return all(isinstance(meaning, (plan.Column, plan.Literal, plan.Parameter))
               or (isinstance(meaning, plan.Cast) and isinstance(meaning.argument, plan.Column)) for meaning in used)


def _join_with(join: plan.Join, parts: list[plan.Expression]) -> plan.Node:
    """A join under conditions `parts`: those about one side go to it, where the kind of join allows."""
    left = {column.id for column in outputs(join.left)}
    right = {column.id for column in outputs(join.right)}
    inner = join.kind in (plan.JoinKind.INNER, plan.JoinKind.CROSS)
    own = conjuncts(join.condition)
    to_left: list[plan.Expression] = []
    to_right: list[plan.Expression] = []
    above: list[plan.Expression] = []
    on: list[plan.Expression] = []
    for part in parts:
        used = columns_of(part)
        if used & left and not used & right and (inner or join.kind is plan.JoinKind.LEFT):
            to_left.append(part)
        elif used & right and not used & left and (inner or join.kind is plan.JoinKind.RIGHT):
            to_right.append(part)
        elif inner and used & left and used & right:
            on.append(part)
        else:
            above.append(part)
    for part in own:
        used = columns_of(part)
        if used & left and not used & right and (inner or join.kind is plan.JoinKind.RIGHT):
            to_left.append(part)
        elif used & right and not used & left and (inner or join.kind is plan.JoinKind.LEFT):
            to_right.append(part)
        else:
            on.append(part)
    kind = join.kind
    if inner:
        kind = plan.JoinKind.INNER if on else plan.JoinKind.CROSS
    condition = conjunction(on)
    if condition is None and not inner:
        condition = plan.TRUE
    made = plan.Join(kind, push_into(join.left, to_left), push_into(join.right, to_right), condition)
    return filtered(made, above)


# -------------------------------------------------------------------- columns

def prune(query: plan.Query) -> plan.Query:
    """Drops what nobody reads. Columns have numbers of their own in the whole statement, so whether one is read is
    seen from the references to it, wherever they stand."""
    while True:
        used = references((query.columns, query.plan))
        after = transform(query.plan, partial(_keep, used=used))
        if after is query.plan:
            return query
        query = plan.Query(after, query.names, query.columns)


def _keep(node: Any, used: set[int]) -> Any:
    def shorter(items: tuple[Any, ...]) -> tuple[Any, ...]:
        kept = tuple(item for item in items if item.column.id in used)
        return items if len(kept) == len(items) else kept

    match node:
        case plan.Scan() | plan.VirtualTable():
            columns = shorter(node.columns)
            return node if columns is node.columns else replace(node, columns=columns)
        case plan.Project():
            items = shorter(node.items)
            return node if items is node.items else plan.Project(node.input, items)
        case plan.Window():
            items = shorter(node.items)
            if not items:
                return node.input
            return node if items is node.items else plan.Window(node.input, items)
        case plan.Aggregate():
            items = shorter(node.aggregates)
            return node if items is node.aggregates else replace(node, aggregates=items)
        case plan.Distinct() if node.on is not None:
            kept = tuple(column for column in node.columns if column.id in used)
            return node if len(kept) == len(node.columns) else replace(node, columns=kept)
    return node
