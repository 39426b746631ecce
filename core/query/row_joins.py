"""How the row executor joins: which table first, and how the next one is found.

Inner joins are taken apart into their tables and conditions. It begins with the table of which fewest rows remain, and
adds the one that costs least, until all are there: for each row so far by key or index (NestedLoop), or by a table in
memory of all its rows (HashJoin). Outer joins keep their order; EXISTS and IN in a condition are joins, too.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phantomdb.core._ext.row_collectors import HashJoin
from phantomdb.core._ext.row_operators import ANTI, INNER, LEFT, SEMI, NestedLoop, Operator
from phantomdb.core.query import plan
from phantomdb.core.query.optimizer import conjuncts, push_into
from phantomdb.core.query.ordering import is_plain, sort_key
from phantomdb.core.query.rewrite import columns_of, free_columns, outputs, walk
from phantomdb.core.query.row_plan import ROW_COST, NotForRows, Prepared, Preparer, Shown, Wanted, positions
from phantomdb.core.values import BOOL

MOST_TABLES = 8                          # of one chain of inner joins
_KINDS = {INNER: "inner", LEFT: "left", SEMI: "semi", ANTI: "anti"}


def join(preparer: Preparer, node: plan.Join, wanted: Wanted | None = None) -> Prepared:
    """NotForRows: a full join, or too many tables."""
    if node.kind is plan.JoinKind.FULL:
        raise NotForRows
    if node.kind in (plan.JoinKind.INNER, plan.JoinKind.CROSS) and not node.is_lateral:
        relations, conditions = _flat(node)
        if len(relations) > MOST_TABLES:
            raise NotForRows
        return _inner(preparer, relations, conditions, wanted)
    sides = (node.right, node.left) if node.kind is plan.JoinKind.RIGHT else (node.left, node.right)
    mode = INNER if node.kind in (plan.JoinKind.INNER, plan.JoinKind.CROSS) else LEFT
    left = preparer.node(sides[0], wanted)
    return _joined(preparer, left, sides[1], conjuncts(node.condition), mode, may_hash=not node.is_lateral)


def semi_join(preparer: Preparer, left: Prepared, subquery: plan.Subquery, is_anti: bool) -> Prepared | None:
    """The rows of `left` for which an EXISTS is true, or not; or x = ANY (subquery), which is IN. None: the condition
    is none of these."""
    if any(isinstance(part, plan.Subquery) for expression in subquery.left for part in walk(expression)):
        return None
    if subquery.kind is plan.SubqueryKind.EXISTS:
        return _joined(preparer, left, subquery.plan, [], ANTI if is_anti else SEMI, may_hash=False)
    if subquery.kind is plan.SubqueryKind.ANY and subquery.operator == "=" and not is_anti:
        conditions: list[plan.Expression] = [
            plan.Call(BOOL, "=", (given, column))
            for given, column in zip(subquery.left, subquery.outputs, strict=True)]
        return _joined(preparer, left, subquery.plan, conditions, SEMI, may_hash=True)
    return None


# -------------------------------------------------------------------- inner joins

def _flat(node: plan.Node) -> tuple[list[plan.Node], list[plan.Expression]]:
    """The inputs of a chain of inner joins, and all conditions."""
    if isinstance(node, plan.Join) and node.kind in (plan.JoinKind.INNER, plan.JoinKind.CROSS) and not node.is_lateral:
        left, first = _flat(node.left)
        right, second = _flat(node.right)
        return left + right, first + second + conjuncts(node.condition)
    return [node], []


def _inner(preparer: Preparer, relations: Sequence[plan.Node], conditions: list[plan.Expression],
           wanted: Wanted | None) -> Prepared:
    own = [{column.id for column in outputs(relation)} for relation in relations]
    everything = set().union(*own)
    waiting = list(range(len(relations)))
    left_over = list(conditions)

    def about(columns: set[int]) -> list[plan.Expression]:
        """Conditions that can be tested with these columns."""
        return [condition for condition in left_over if not (columns_of(condition) & everything) - columns]

    starts = []
    for number in waiting:
        mine = about(own[number])
        try:
            starts.append((preparer.node(push_into(relations[number], mine), wanted), number, mine))
        except NotForRows:
            continue
    if not starts:
        raise NotForRows
    current, first, used = min(starts, key=lambda start: (start[0].rows * 3 + start[0].cost))
    joined = set(own[first])
    waiting.remove(first)
    while True:
        left_over = [condition for condition in left_over if not any(condition is one for one in used)]
        if not waiting:
            break
        best: tuple[Prepared, int, list[plan.Expression]] | None = None
        for number in waiting:
            mine = about(joined | own[number])
            try:
                made = _joined(preparer, current, relations[number], mine, INNER, may_hash=True)
            except NotForRows:
                continue
            if best is None or made.cost + made.rows < best[0].cost + best[0].rows:
                best = made, number, mine
        if best is None:
            raise NotForRows
        current, added, used = best
        joined |= own[added]
        waiting.remove(added)
    return preparer.filtered(current, left_over) if left_over else current


def _joined(preparer: Preparer, left: Prepared, right: plan.Node, conditions: list[plan.Expression], mode: int, *,
            may_hash: bool) -> Prepared:
    """The cheaper way to find the partners of each row on the left."""
    ways = []
    try:
        ways.append(_nested(preparer, left, right, conditions, mode))
    except NotForRows:
        if not may_hash:
            raise
    if may_hash:
        try:
            hashed = _hashed(preparer, left, right, conditions, mode)
            if hashed is not None:
                ways.append(hashed)
        except NotForRows:
            pass
    if not ways:
        raise NotForRows
    return min(ways, key=lambda way: way.cost)


def _nested(preparer: Preparer, left: Prepared, right: plan.Node, conditions: list[plan.Expression], mode: int
            ) -> Prepared:
    one = Wanted((), 1.0) if mode in (SEMI, ANTI) else None
    inner = preparer.node(push_into(right, conditions), one)
    operator = NestedLoop(left.operator, inner.operator, mode, (), _nulls(preparer, inner, mode))
    cost = left.cost + left.rows * (inner.cost if one is None else min(inner.cost, inner.cost / max(1.0, inner.rows)
                                                                       + 2.0))
    return _made(left, inner, operator, mode, cost, left.rows * inner.rows, f"Nested Loop ({_KINDS[mode]})", {})


def _hashed(preparer: Preparer, left: Prepared, right: plan.Node, conditions: list[plan.Expression], mode: int
            ) -> Prepared | None:
    theirs = {column.id for column in outputs(right)}
    ours = {column.id for column in left.columns}
    if free_columns(right) & ours:
        return None
    pairs = [pair for condition in conditions if (pair := _pair(condition, ours, theirs)) is not None]
    if not pairs:
        return None
    keyed = [condition for _, _, condition in pairs]
    rest = [condition for condition in conditions if not any(condition is one for one in keyed)]
    pushed = [condition for condition in rest if not columns_of(condition) & ours]
    inner = preparer.node(push_into(right, pushed))
    tests = [preparer.expression(condition) for condition in rest
             if not any(condition is one for one in pushed)]
    operator = HashJoin(left.operator, inner.operator, [preparer.expression(one) for one, _, _ in pairs],
                        [preparer.expression(other) for _, other, _ in pairs],
                        [None if is_plain(one.type) else sort_key(one.type) for one, _, _ in pairs], mode, tests,
                        positions(preparer.slots, inner.columns))
    cost = left.cost + inner.cost + (left.rows + 2 * inner.rows) * ROW_COST
    rows = left.rows * inner.rows / max(1.0, left.rows, inner.rows)
    return _made(left, inner, operator, mode, cost, rows, f"Hash Join ({_KINDS[mode]})",
                 {"Condition": conditions})


def _pair(condition: plan.Expression, ours: set[int], theirs: set[int]
          ) -> tuple[plan.Expression, plan.Expression, plan.Expression] | None:
    """(left side, right side, condition) of an equality between the two inputs, of one type."""
    if not isinstance(condition, plan.Call) or condition.name != "=" or any(
            isinstance(part, plan.Subquery) for part in walk(condition)):
        return None
    for one, other in (condition.arguments, condition.arguments[::-1]):
        mine, its = columns_of(one), columns_of(other)
        if mine & ours and not mine & theirs and its & theirs and not its & ours and one.type.kind is other.type.kind \
                and one.type.is_padded == other.type.is_padded:
            return one, other, condition
    return None


def _nulls(preparer: Preparer, inner: Prepared, mode: int) -> Sequence[int]:
    return positions(preparer.slots, inner.columns) if mode == LEFT else ()


def _made(left: Prepared, inner: Prepared, operator: Operator, mode: int, cost: float, rows: float, name: str,
          details: dict[str, Any]) -> Prepared:
    shown = Shown(name, details, [left.shown, inner.shown])
    if mode in (SEMI, ANTI):
        return Prepared(operator, left.columns, max(1.0, left.rows * 0.5), cost, shown, left.order, left.fixed)
    rows = max(rows, left.rows) if mode == LEFT else rows
    fixed = left.fixed | inner.fixed if mode == INNER and left.rows <= 1 else left.fixed
    return Prepared(operator, (*left.columns, *inner.columns), rows, cost + rows * ROW_COST, shown, left.order, fixed)
