"""Expressions of a plan as text for people: columns by their names, conversions as ::type."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from phantomdb.core.query import plan
from phantomdb.core.query.casts import to_text
from phantomdb.core.values import Kind

_BARE = {Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.DECIMAL}


def printed(expression: plan.Expression | plan.SortKey) -> str:
    """One line."""
    match expression:
        case plan.SortKey():
            last = " NULLS FIRST" if expression.nulls_first and not expression.is_descending else (
                " NULLS LAST" if expression.is_descending and not expression.nulls_first else "")
            return f"{printed(expression.expression)}{' DESC' if expression.is_descending else ''}{last}"
        case plan.Column():
            return expression.name or f"c{expression.id}"
        case plan.Literal():
            return _literal(expression)
        case plan.Parameter():
            return f"${expression.index + 1}"
        case plan.Cast():
            return f"{printed(expression.argument)}::{expression.type}"
        case plan.Default():
            return "DEFAULT"
        case plan.Case():
            branches = " ".join(f"WHEN {printed(test)} THEN {printed(value)}" for test, value in expression.branches)
            return f"CASE {branches} ELSE {printed(expression.default)} END"
        case plan.Subquery():
            left = ", ".join(map(printed, expression.left))
            return f"{left}{' ' if left else ''}{expression.operator}{expression.kind.value} (SubPlan)"
        case plan.Call():
            return _call(expression)
        case plan.AggregateCall():
            return _aggregate(expression)
        case plan.WindowCall():
            parts = []
            if expression.partition_by:
                parts.append("PARTITION BY " + ", ".join(map(printed, expression.partition_by)))
            if expression.order_by:
                parts.append("ORDER BY " + ", ".join(map(printed, expression.order_by)))
            return f"{printed(expression.call)} OVER ({' '.join(parts)})"
    raise AssertionError(type(expression).__name__)


def _literal(expression: plan.Literal) -> str:
    value = expression.value
    if value is None:
        return "NULL"
    text = to_text(value, expression.type)
    return text if expression.type.kind in _BARE else "'" + text.replace("'", "''") + "'"


def _call(expression: plan.Call) -> str:
    name, arguments = expression.name, [printed(item) for item in expression.arguments]
    if name in ("and", "or"):
        return "(" + f" {name.upper()} ".join(arguments) + ")"
    if name == "not":
        return f"NOT {arguments[0]}"
    if name == "is null":
        return f"{arguments[0]} IS NULL"
    if name == "in":
        return f"{arguments[0]} IN ({', '.join(arguments[1:])})"
    if not name.replace("_", "").isalnum():
        return f"({f' {name} '.join(arguments)})" if len(arguments) == 2 else f"{name}{arguments[0]}"
    return f"{name}({', '.join(arguments)})"


def _aggregate(expression: plan.AggregateCall) -> str:
    arguments = ", ".join(map(printed, expression.arguments)) or ("*" if expression.name == "count" else "")
    order = " ORDER BY " + ", ".join(map(printed, expression.order_by)) if expression.order_by else ""
    text = f"{expression.name}({'DISTINCT ' if expression.is_distinct else ''}{arguments}{order})"
    return text if expression.condition is None else f"{text} FILTER (WHERE {printed(expression.condition)})"


def subqueries_in(node: plan.Node) -> Iterator[plan.Subquery]:
    """Those in the node's own expressions, not in its inputs."""
    for item in fields(node):
        value = getattr(node, item.name)
        if not isinstance(value, plan.Node):
            yield from _found(value)


def _found(value: Any) -> Iterator[plan.Subquery]:
    if isinstance(value, plan.Subquery):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _found(part)
    elif isinstance(value, (plan.Expression, plan.Item, plan.SortKey)):
        for item in fields(value):
            yield from _found(getattr(value, item.name))
