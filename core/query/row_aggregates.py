"""GROUP BY and aggregates of the row executor.

count, sum, avg, min and max of plain values are folded in the operator itself (core/_ext/row_collectors.pyx); all
others go through their Python definition, one add() for each row. A single min or max of a column is the first row in
its order, where an index has that.
"""
from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from phantomdb.core._ext.row_collectors import (
    ADD, CALL, COUNT, COUNT_ROWS, GATHER, GREATEST, LEAST, AggregateRows,
)
from phantomdb.core.query import plan
from phantomdb.core.query.errors import QueryError
from phantomdb.core.query.functions.registry import resolve
from phantomdb.core.query.optimizer import push_into
from phantomdb.core.query.ordering import is_plain, sort_key
from phantomdb.core.query.row_plan import ROW_COST, SORT_COST, NotForRows, Prepared, Preparer, Shown
from phantomdb.core.values import BOOL, Kind, Type

GROUPED_FRACTION = 0.3                   # groups there are, of the rows


def aggregate(preparer: Preparer, node: plan.Aggregate) -> Prepared:
    """NotForRows: grouping sets, ordered aggregates."""
    if node.sets is not None or node.grouping:
        raise NotForRows
    made = _made(preparer, node)
    edge = _edge(node)
    if edge is None:
        return made
    return min(made, _made(preparer, edge), key=lambda way: way.cost)


def _made(preparer: Preparer, node: plan.Aggregate) -> Prepared:
    below = preparer.node(node.input)
    keys = [(preparer.expression(item.expression),
             None if is_plain(item.expression.type) else sort_key(item.expression.type)) for item in node.keys]
    folds = [_fold(preparer, item.expression) for item in node.aggregates]
    columns = (*(item.column for item in node.keys), *(item.column for item in node.aggregates))
    base = preparer.block(columns)
    rows = max(1.0, below.rows * GROUPED_FRACTION) if node.keys else 1.0
    details: dict[str, Any] = {"Group Key": [item.expression for item in node.keys]} if node.keys else {}
    details["Aggregates"] = [item.expression for item in node.aggregates]
    return Prepared(AggregateRows(below.operator, keys, folds, range(base, base + len(columns))), columns, rows,
                    below.cost + below.rows * (SORT_COST + ROW_COST * len(folds)),
                    Shown("Aggregate", details, [below.shown]))


def _fold(preparer: Preparer, call: plan.Expression) -> tuple[Any, ...]:
    """See AggregateRows."""
    if not isinstance(call, plan.AggregateCall) or call.order_by:
        raise NotForRows
    arguments = [preparer.expression(argument) for argument in call.arguments]
    condition = None if call.condition is None else preparer.expression(call.condition)
    distinct = None
    if call.is_distinct:
        if len(arguments) != 1:
            raise NotForRows
        distinct = sort_key(call.arguments[0].type)
    if call.name == "count":
        return COUNT if arguments else COUNT_ROWS, arguments, condition, distinct, None
    types = [argument.type for argument in call.arguments]
    try:
        overload = resolve(call.name, types).overload
    except QueryError:
        raise NotForRows from None
    if call.name in ("min", "max") and is_plain(types[0]):
        return LEAST if call.name == "min" else GREATEST, arguments, condition, None, None
    if call.name in ("sum", "avg") and types[0].kind is Kind.INT:
        return ADD, arguments, condition, distinct, _finish_sum(overload.python)
    if call.name in ("sum", "avg") and types[0].kind is Kind.FLOAT:
        return GATHER, arguments, condition, distinct, _finish_floats(overload.python)
    if call.name not in _FOLDED:
        raise NotForRows
    return CALL, arguments, condition, distinct, overload.python


# Others that see the rows of a group in any order.
_FOLDED = frozenset({"sum", "avg", "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor"})


def _finish_sum(make: Callable[[], Any]) -> Callable[[int, int], Any]:
    def finish(count: int, total: int) -> Any:
        state = make()
        state.count, state.total = count, Decimal(total)
        return state.result()
    return finish


def _finish_floats(make: Callable[[], Any]) -> Callable[[list[float]], Any]:
    def finish(values: list[float]) -> Any:
        state = make()
        state.values = values
        return state.result()
    return finish


def _edge(node: plan.Aggregate) -> plan.Aggregate | None:
    """The same over the first row in order, for a single min or max of a column."""
    if node.keys or len(node.aggregates) != 1:
        return None
    call = node.aggregates[0].expression
    if not isinstance(call, plan.AggregateCall) or call.name not in ("min", "max") or call.condition is not None:
        return None
    [argument] = call.arguments
    if not isinstance(argument, plan.Column) or not _is_ordered(argument.type):
        return None
    is_there = plan.Call(BOOL, "is not null", (argument,))
    is_descending = call.name == "max"
    order = plan.Sort(push_into(node.input, [is_there]), (plan.SortKey(argument, is_descending, is_descending),))
    return plan.Aggregate(plan.Limit(order, plan.Literal(Type(Kind.INT, 32), 1)), node.keys, node.aggregates)


def _is_ordered(type_: Type) -> bool:
    return type_.kind not in (Kind.JSON, Kind.ANY, Kind.ARRAY)
