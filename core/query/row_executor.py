"""The row executor: short work, row by row, without Arrow.

    prepare(query)  ->  RowPlan, or None when the vector executor is the better one
    plan.run(...)   ->  rows

A node becomes a function from (run, outer row) to rows; a row is a tuple, and where each column stands in it is known
when the plan is prepared. A join fetches the right side by key or index for each row of the left. What it takes on:
points and ranges of a primary key or index, filters, small joins by index, order and limit, rows written out.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.objects import Table
from phantomdb.core.query import plan
from phantomdb.core.query.access import Access, choose
from phantomdb.core.query.errors import InvalidParameterValue
from phantomdb.core.query.evaluate import EvaluationContext, Evaluator, compile_expression
from phantomdb.core.query.optimizer import conjuncts
from phantomdb.core.query.ordering import sort_key
from phantomdb.core.tables.indexes import fetch, scan_index
from phantomdb.core.tables.layout import LayoutCache, TableLayout
from phantomdb.core.tables.rows import RowTransaction

Row = tuple[Any, ...]
MAX_ESTIMATED_ROWS = 2000.0              # a statement that is expected to read more is left to the vector executor


class _NotForRows(Exception):
    """This plan is for the other executor."""


@dataclass(slots=True)
class Run:
    """One execution."""

    rows: RowTransaction
    context: EvaluationContext


# (run, outer row) -> rows of the node. The outer row stands in front of what a lateral or joined side evaluates over.
Producer = Callable[[Run, Row], Iterable[Row]]


@dataclass(slots=True)
class Prepared:
    """A node: where its columns stand in its rows, and what makes them."""

    columns: dict[int, int]
    produce: Producer
    estimated_rows: float = 1.0
    is_ordered_by: tuple[tuple[int, bool], ...] = ()         # (column, descending): the order the rows come in


@dataclass(slots=True)
class RowPlan:
    """A prepared query. `context` holds the parameters of the run that is on: one run at a time."""

    produce: Producer
    pick: Callable[[Row], Row]
    context: EvaluationContext
    accesses: list[tuple[Table, Access]] = field(default_factory=list)

    def run(self, rows: RowTransaction, parameters: Sequence[Any]) -> list[Row]:
        self.context.parameters = parameters
        pick = self.pick
        return [pick(row) for row in self.produce(Run(rows, self.context), ())]


def prepare(query: plan.Query, catalog: Catalog, layouts: LayoutCache | None = None) -> RowPlan | None:
    """The query for this executor, or None."""
    preparer = _Preparer(catalog, LayoutCache() if layouts is None else layouts)
    try:
        root = preparer.node(query.plan, {}, 0)
        if root.estimated_rows > MAX_ESTIMATED_ROWS:
            return None
        positions = [root.columns[column.id] for column in query.columns]
    except (_NotForRows, RecursionError):
        return None
    if positions == list(range(len(root.columns))):
        return RowPlan(root.produce, _same, preparer.context, preparer.accesses)
    from phantomdb.core.tables.layout import picker
    return RowPlan(root.produce, picker(positions), preparer.context, preparer.accesses)


def _same(row: Row) -> Row:
    return row


class _Preparer:
    def __init__(self, catalog: Catalog, layouts: LayoutCache) -> None:
        self.catalog, self.layouts = catalog, layouts
        self.context = EvaluationContext()
        self.accesses: list[tuple[Table, Access]] = []

    def expression(self, expression: plan.Expression, columns: Mapping[int, int]) -> Evaluator:
        from phantomdb.core.query.errors import FeatureNotSupported
        if any(isinstance(part, plan.Subquery) for part in _walk(expression)):
            raise _NotForRows
        try:
            return compile_expression(expression, columns, self.context)
        except (KeyError, FeatureNotSupported):
            raise _NotForRows from None

    def node(self, node: plan.Node, outer: dict[int, int], width: int) -> Prepared:
        """`outer`: columns of the row around it, which stand before the node's own; `width`: how many those are."""
        match node:
            case plan.Values():
                return self.values(node, outer, width)
            case plan.Scan():
                return self.scan(node, [], outer, width)
            case plan.Filter():
                return self.filter(node, outer, width)
            case plan.Project():
                return self.project(node, outer, width)
            case plan.Join():
                return self.join(node, outer, width)
            case plan.Sort():
                return self.sort(node, outer, width)
            case plan.Limit():
                return self.limit(node, outer, width)
        raise _NotForRows

    # ---------------------------------------------------------------- leaves

    def values(self, node: plan.Values, outer: dict[int, int], _width: int) -> Prepared:
        rows = [[self.expression(item, outer) for item in row] for row in node.rows]
        columns = {column.id: place for place, column in enumerate(node.columns)}

        def produce(_run: Run, outer_row: Row) -> Iterator[Row]:
            for row in rows:
                yield tuple([item(outer_row) for item in row])

        return Prepared(columns, produce, float(len(rows)))

    def scan(self, node: plan.Scan, conditions: list[plan.Expression], outer: dict[int, int], width: int) -> Prepared:
        if node.as_of is not None or node.for_update:
            raise _NotForRows
        table = self.catalog.table(node.table)
        access = choose(table, node, conditions)
        if access.is_everything:
            raise _NotForRows
        layout = self.layouts.of(table)
        columns, pick = _scanned(node, layout)
        self.accesses.append((table, access))
        produce = self.accessed(layout, access, outer)
        over = {**outer, **{number: place + width for number, place in columns.items()}}
        rest = [self.expression(condition, over) for condition in access.rest]

        def rows(run: Run, outer_row: Row) -> Iterator[Row]:
            for row_key, row in produce(run, outer_row):
                made = pick(row_key, row)
                if rest:
                    whole = outer_row + made
                    if not all(condition(whole) is True for condition in rest):
                        continue
                yield made

        order = _key_order(table, access, node)
        return Prepared(columns, rows, access.estimated_rows, order)

    def accessed(self, layout: TableLayout, access: Access, outer: dict[int, int]
                 ) -> Callable[[Run, Row], Iterable[tuple[bytes, Row]]]:
        """(row key, row) of a range."""
        equal = [self.expression(expression, outer) for expression in access.equal]
        low = None if access.low is None else self.expression(access.low.expression, outer)
        high = None if access.high is None else self.expression(access.high.expression, outer)
        low_inclusive = access.low is None or access.low.is_inclusive
        high_inclusive = access.high is None or access.high.is_inclusive
        index = None if access.index is None else layout.index(access.index.id)
        keys = layout.keys if index is None else index.keys
        is_point = access.is_unique and index is None

        def produce(run: Run, outer_row: Row) -> Iterable[tuple[bytes, Row]]:
            values = [evaluate(outer_row) for evaluate in equal]
            if None in values:
                return
            first = None if low is None else low(outer_row)
            last = None if high is None else high(outer_row)
            if (low is not None and first is None) or (high is not None and last is None):
                return
            if is_point:
                row_key = keys.encode(tuple(values))
                row = run.rows.get(layout, row_key)
                if row is not None:
                    yield row_key, row
                return
            start, stop = keys.range(values, first, last, low_inclusive=low_inclusive, high_inclusive=high_inclusive)
            if index is None:
                yield from run.rows.scan(layout, start, stop)
            else:
                yield from fetch(run.rows, layout, scan_index(run.rows, index, start, stop))

        return produce

    # ---------------------------------------------------------------- inner nodes

    def filter(self, node: plan.Filter, outer: dict[int, int], width: int) -> Prepared:
        if isinstance(node.input, plan.Scan):
            return self.scan(node.input, conjuncts(node.condition), outer, width)
        below = self.node(node.input, outer, width)
        over = {**outer, **{number: place + width for number, place in below.columns.items()}}
        condition = self.expression(node.condition, over)

        def produce(run: Run, outer_row: Row) -> Iterator[Row]:
            for row in below.produce(run, outer_row):
                if condition(outer_row + row) is True:
                    yield row

        return Prepared(below.columns, produce, below.estimated_rows, below.is_ordered_by)

    def project(self, node: plan.Project, outer: dict[int, int], width: int) -> Prepared:
        below = self.node(node.input, outer, width)
        columns = {item.column.id: place for place, item in enumerate(node.items)}
        renamed = {item.expression.id: item.column.id for item in node.items
                   if isinstance(item.expression, plan.Column)}
        order = []
        for number, descending in below.is_ordered_by:
            if number not in renamed:
                break
            order.append((renamed[number], descending))
        if all(isinstance(item.expression, plan.Column) and item.expression.id in below.columns for item in node.items):
            from phantomdb.core.tables.layout import picker
            pick = picker([below.columns[item.expression.id] for item in node.items      # type: ignore[attr-defined]
                           ])

            def picked(run: Run, outer_row: Row) -> Iterable[Row]:
                return map(pick, below.produce(run, outer_row))

            return Prepared(columns, picked, below.estimated_rows, tuple(order))
        over = {**outer, **{number: place + width for number, place in below.columns.items()}}
        items = [self.expression(item.expression, over) for item in node.items]

        def produce(run: Run, outer_row: Row) -> Iterator[Row]:
            for row in below.produce(run, outer_row):
                whole = outer_row + row
                yield tuple([item(whole) for item in items])

        return Prepared(columns, produce, below.estimated_rows, tuple(order))

    def join(self, node: plan.Join, outer: dict[int, int], width: int) -> Prepared:
        """For each row of one side those of the other, fetched by key or index; the sides may change places."""
        if node.kind not in (plan.JoinKind.INNER, plan.JoinKind.LEFT):
            raise _NotForRows
        sides = [(node.left, node.right)]
        if node.kind is plan.JoinKind.INNER and not node.is_lateral:
            sides.append((node.right, node.left))
        for driving, fetched in sides:
            kept = len(self.accesses)
            try:
                return self.joined(node, driving, fetched, outer, width)
            except _NotForRows:
                del self.accesses[kept:]
        raise _NotForRows

    def joined(self, node: plan.Join, driving: plan.Node, fetched: plan.Node, outer: dict[int, int], width: int
               ) -> Prepared:
        left = self.node(driving, outer, width)
        over = {**outer, **{number: place + width for number, place in left.columns.items()}}
        inner_width = width + len(left.columns)
        right = self.node(_with_condition(fetched, node.condition), over, inner_width)
        columns = {**left.columns, **{number: place + len(left.columns) for number, place in right.columns.items()}}
        nothing = (None,) * len(right.columns)
        keeps_left = node.kind is plan.JoinKind.LEFT

        def produce(run: Run, outer_row: Row) -> Iterator[Row]:
            for row in left.produce(run, outer_row):
                is_alone = keeps_left
                for other in right.produce(run, outer_row + row):
                    is_alone = False
                    yield row + other
                if is_alone:
                    yield row + nothing

        return Prepared(columns, produce, left.estimated_rows * max(1.0, right.estimated_rows), left.is_ordered_by)

    def sort(self, node: plan.Sort, outer: dict[int, int], width: int) -> Prepared:
        below = self.node(node.input, outer, width)
        wanted = tuple((key.expression.id, key.is_descending) for key in node.keys
                       if isinstance(key.expression, plan.Column) and key.nulls_first == key.is_descending)
        if len(wanted) == len(node.keys) and below.is_ordered_by[:len(wanted)] == wanted:
            return below
        over = {**outer, **{number: place + width for number, place in below.columns.items()}}
        keys = [(self.expression(key.expression, over), _placed(key), key.is_descending) for key in node.keys]

        def produce(run: Run, outer_row: Row) -> list[Row]:
            rows = list(below.produce(run, outer_row))
            for evaluate, place, is_reverse in reversed(keys):
                rows.sort(key=lambda row, e=evaluate, p=place: p(e(outer_row + row)),         # type: ignore[misc]
                          reverse=is_reverse)
            return rows

        return Prepared(below.columns, produce, below.estimated_rows, wanted if len(wanted) == len(node.keys) else ())

    def limit(self, node: plan.Limit, outer: dict[int, int], width: int) -> Prepared:
        if node.with_ties:
            raise _NotForRows
        below = self.node(node.input, outer, width)
        count = None if node.count is None else self.expression(node.count, {})
        offset = None if node.offset is None else self.expression(node.offset, {})

        def produce(run: Run, outer_row: Row) -> Iterator[Row]:
            first = _count(offset, "OFFSET") or 0
            most = _count(count, "LIMIT")
            return islice(below.produce(run, outer_row), first, None if most is None else first + most)

        known = node.count.value if isinstance(node.count, plan.Literal) else None
        rows = below.estimated_rows if not isinstance(known, int) else min(below.estimated_rows, float(known))
        return Prepared(below.columns, produce, rows, below.is_ordered_by)


def _placed(key: plan.SortKey) -> Callable[[Any], Any]:
    """What a value of ORDER BY is sorted by, NULLs put where they belong; a descending sort is reversed as a whole."""
    of_value = sort_key(key.expression.type)
    null_is_less = key.nulls_first is not key.is_descending
    null, flag = ((0,), 1) if null_is_less else ((1,), 0)
    return lambda value: null if value is None else (flag, of_value(value))


def _count(evaluate: Evaluator | None, clause: str) -> int | None:
    value = None if evaluate is None else evaluate(())
    if value is None:
        return None
    if value < 0:
        raise InvalidParameterValue(f"{clause} must not be negative")
    return int(value)


def _with_condition(node: plan.Node, condition: plan.Expression | None) -> plan.Node:
    """The fetched side with the join's condition where it can serve an access."""
    if condition is None or condition == plan.TRUE:
        return node
    if isinstance(node, plan.Filter):
        return plan.Filter(node.input, plan.Call(condition.type, "and", (*conjuncts(condition),
                                                                         *conjuncts(node.condition))))
    return plan.Filter(node, condition)


def _scanned(node: plan.Scan, layout: TableLayout) -> tuple[dict[int, int], Callable[[bytes, Row], Row]]:
    """Where the scan's columns stand in its rows, and what makes such a row of a stored one."""
    columns = {item.column.id: place for place, item in enumerate(node.columns)}
    places = []
    for item in node.columns:
        if item.source == plan.DOCUMENT:
            raise _NotForRows
        places.append(-1 if item.source == plan.ROW_KEY else layout.positions[item.source])
    if -1 not in places:
        from phantomdb.core.tables.layout import picker
        pick = picker(places)
        return columns, lambda row_key, row: pick(row)
    return columns, lambda row_key, row: tuple([row_key if place < 0 else row[place] for place in places])


def _key_order(table: Table, access: Access, node: plan.Scan) -> tuple[tuple[int, bool], ...]:
    """The order in which a range comes: by the key's columns after the equal ones. Only of NOT NULL columns, whose
    place among NULLs does not matter."""
    numbers = {item.source: item.column.id for item in node.columns}
    parts = [(number, False) for number in table.primary_key] if access.index is None else \
        [(part.column or 0, part.is_descending) for part in access.index.columns if not part.path]
    order = []
    for source, descending in parts[len(access.equal):]:
        if source not in numbers or (table.column_by_id(source).is_nullable and source not in table.primary_key):
            break
        order.append((numbers[source], descending))
    return tuple(order)


def _walk(expression: plan.Expression) -> Iterator[Any]:
    from phantomdb.core.query.rewrite import walk
    return walk(expression)


