"""Digits after the point that numerics without a declared scale have in DuckDB.

    avg(x) 16     x / y 16     0.2 * avg(x) 17     a column of such a type: not known, the scan finds out

DuckDB multiplies by itself, and exactly, where the scales are known and add up to no more than it can have.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from phantomdb.core.query.cast_duckdb import FREE_SCALE, PRODUCT_SCALE
from phantomdb.core.query.plan import (
    AggregateCall, Call, Cast, Column, Expression, Item, Literal, Node, Parameter, WindowCall,
)
from phantomdb.core.query.rewrite import walk
from phantomdb.core.values import NUMERIC, Kind

NATIVE_SCALE_MAX = 32                # of a product that DuckDB computes: six digits before the point at least


def made_columns(tree: Node) -> dict[int, Expression]:
    """What each column that a node of the tree computes is made of."""
    found: dict[int, Expression] = {}
    try:
        for node in walk(tree):
            for name in ("items", "keys", "aggregates"):
                for item in getattr(node, name, ()):
                    if isinstance(item, Item):
                        found[item.column.id] = item.expression
    except RecursionError:               # under a chain of thousands of terms; those not found are not known
        pass
    return found


def scale_of(expression: Expression, made: Mapping[int, Expression], parameters: Sequence[Any]) -> int | None:
    """Of a numeric expression; None: it is not known."""
    def of(part: Expression) -> int | None:
        return scale_of(part, made, parameters)
    if expression.type.kind is Kind.INT:
        return 0
    if expression.type.kind is not Kind.DECIMAL:
        return None
    if expression.type.precision is not None:
        return expression.type.scale or 0
    match expression:
        case Literal():
            return _digits(expression.value)
        case Parameter():
            return _digits(parameters[expression.index])
        case Column():
            return of(made[expression.id]) if expression.id in made else None
        case Cast():
            return of(expression.argument) if expression.argument.type.kind is Kind.DECIMAL else FREE_SCALE
        case WindowCall():
            return of(expression.call)
        case AggregateCall() if expression.name == "avg":
            return FREE_SCALE
        case AggregateCall() if expression.name in ("sum", "min", "max"):
            return of(expression.arguments[0])
        case Call() if expression.name == "/":
            return FREE_SCALE
        case Call() if expression.name == "*":
            return PRODUCT_SCALE if (found := native_product(expression, made, parameters)) is None else found
        case Call() if expression.name in ("+", "-") and len(expression.arguments) == 2:
            scales = [of(argument) for argument in expression.arguments]
            return None if None in scales else max(scale for scale in scales if scale is not None)
    return None


def native_product(call: Call, made: Mapping[int, Expression], parameters: Sequence[Any]) -> int | None:
    """The scale of a product that DuckDB may compute; None: it may not."""
    if call.name != "*" or call.type != NUMERIC:
        return None
    total = 0
    for argument in call.arguments:
        scale = scale_of(argument, made, parameters)
        if scale is None:
            return None
        total += scale
    return total if total <= NATIVE_SCALE_MAX else None


def _digits(value: Any) -> int | None:
    if not isinstance(value, Decimal):
        return None
    exponent = value.as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else None
