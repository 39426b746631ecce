"""The row executor: short work, row by row, without Arrow.

    prepare(query, ...)  ->  RowPlan, or None when the vector executor is the better one
    plan.run(...)        ->  rows

A query becomes a tree of operators over one frame (core/_ext/row_operators.pyx). It takes on what reads few rows:
points and ranges of keys and indexes, joins that find their rows by key or in a small table, filters, order, limit,
groups, subqueries. How many rows it will be is an estimate; a run that reads many more gives up (TooManyRows), and the
vector executor does the work.

A RowPlan is kept as long as its catalog and its estimates are right, so a statement that comes again is only run.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core._ext.row_collectors import AppendRows, DistinctRows, SortRows
from phantomdb.core._ext.row_expressions import RowExpression
from phantomdb.core._ext.row_operators import ComputeRows, FilterRows, LimitRows, RowProgram, SubqueryRows, ValuesRows
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.query import plan, row_aggregates, row_joins, row_scans
from phantomdb.core.query.access import order_match
from phantomdb.core.query.access_terms import is_volatile
from phantomdb.core.query.errors import FeatureNotSupported, InvalidParameterValue, StatementTooComplex
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression
from phantomdb.core.query.figures import TableFigures
from phantomdb.core.query.optimizer import conjuncts
from phantomdb.core.query.ordering import is_plain, sort_key
from phantomdb.core.query.rewrite import free_columns, walk
from phantomdb.core.query.row_plan import (
    ROW_COST, SORT_COST, NotForRows, Prepared, Shown, Wanted, positions,
)

if TYPE_CHECKING:
    from phantomdb.core._ext.transaction import TransactionCore
    from phantomdb.core.query.engine import QueryEngine
    from phantomdb.core.tables.rows import RowTransaction

Row = tuple[Any, ...]
MOST_COST = 4000.0                       # a statement that is expected to cost more is left to the vector executor,
TABLE_SHARE = 0.02                       # ... and such a part of the rows of its tables, all of which that one reads
READ_FACTOR = 4                          # so many times as many rows may be read before a run gives up
FILTER_FRACTION = 0.3                    # of rows that a condition leaves of which nothing is known


class RowPlan:
    """A prepared query. Any thread may run it: each run has a program to itself."""

    def __init__(self, make: Callable[[], tuple[RowProgram, EvaluationContext]], root: Prepared,
                 figures: Mapping[int, TableFigures], read_limit: int | None, needs_rows: bool) -> None:
        self._make = make
        self._idle: list[tuple[RowProgram, EvaluationContext]] = []
        self.shown, self.estimated_rows, self.cost = root.shown, root.rows, root.cost
        self._limits = [(table, known.changed_limit) for table, known in figures.items()]
        self.read_limit = read_limit
        self.needs_rows = needs_rows                         # a RowTransaction, for more than its core

    def is_stale(self, engine: QueryEngine) -> bool:
        """Whether its tables have changed so much that it may not be the best plan any more."""
        changed = engine.figures.changed
        return any(changed.get(table, 0) > limit for table, limit in self._limits)

    def run(self, core: TransactionCore | None, parameters: Sequence[Any], *, rows: RowTransaction | None = None,
            version: bytes | None = None, check: Callable[[], object] | None = None, is_profiled: bool = False,
            may_give_up: bool = True) -> Any:
        """The rows as a list; STALE, as RowReader. `core`: an open transaction, None: at the newest commit. TooManyRows
        if it `may_give_up`."""
        try:
            program, context = self._idle.pop()
        except IndexError:
            program, context = self._make()
        context.rows = rows
        try:
            return program.run(core, parameters, version, self.read_limit if may_give_up else None, check, is_profiled)
        finally:
            context.rows = None
            self._idle.append((program, context))


def prepare(query: plan.Query, catalog: Catalog, engine: QueryEngine, *, is_forced: bool = False) -> RowPlan | None:
    """The optimized query for this executor, or None. `is_forced`: also when the other one is cheaper."""
    made: list[_Preparer] = []

    def make() -> tuple[RowProgram, EvaluationContext]:
        preparer = _Preparer(catalog, engine)
        root = preparer.node(query.plan)
        made[:] = [preparer]
        preparer.root = root
        outputs = [preparer.slots[column.id] for column in query.columns]
        return (RowProgram(engine.store.engine, root.operator, preparer.width, outputs, preparer.context,
                           preparer.subqueries), preparer.context)

    try:
        first = make()
    except (NotForRows, RecursionError, StatementTooComplex):
        return None
    preparer = made[0]
    assert preparer.root is not None
    most = MOST_COST + TABLE_SHARE * sum(figures.row_count for figures in preparer.known.values())
    if preparer.root.cost > most and not is_forced:
        return None
    may_give_up = not is_forced and not any(
        isinstance(part, plan.Call) and is_volatile(part) for part in walk(query.plan))
    found = RowPlan(make, preparer.root, preparer.known, int(READ_FACTOR * most) if may_give_up else None,
                    preparer.needs_rows)
    found._idle.append(first)
    return found


class _Preparer:
    """Makes one program: see row_plan.Preparer."""

    def __init__(self, catalog: Catalog, engine: QueryEngine) -> None:
        self.catalog, self.engine = catalog, engine
        self.context = EvaluationContext(subquery=self._subquery)
        self.slots: dict[int, int] = {}
        self.width = 0
        self._blocks: dict[tuple[int, ...], int] = {}
        self.subqueries: list[SubqueryRows] = []
        self.known: dict[int, TableFigures] = {}
        self.root: Prepared | None = None
        self.needs_rows = False
        self._extra_cost = 0.0                               # of subqueries met in expressions
        self._shown: list[Shown] = []                        # ... and how they are shown
        self._common: dict[int, plan.CommonTable] = {}

    # ---------------------------------------------------------------- what all parts use

    def figures(self, table: int) -> TableFigures:
        if table not in self.known:
            definition = self.catalog.table(table)
            self.known[table] = self.engine.figures.of(definition)
            self.needs_rows = self.needs_rows or self.engine.tables.layouts.of(definition).expiry is not None
        return self.known[table]

    def new_slot(self) -> int:
        self.width += 1
        return self.width - 1

    def block(self, columns: Sequence[plan.Column], extra: int = 0) -> int:
        """The first of so many places in a row: for the columns, and for others behind them. The same columns get the
        same places again, because a node may be prepared in several ways before one is taken."""
        key = (*(column.id for column in columns), -extra)
        first = self._blocks.get(key, self.width)
        if first == self.width:
            self.width += len(columns) + extra
            if columns:
                self._blocks[key] = first
        self.slots |= {column.id: first + place for place, column in enumerate(columns)}
        return first

    def expression(self, expression: plan.Expression) -> RowExpression:
        try:
            return compile_expression(expression, self.slots, self.context)
        except (KeyError, FeatureNotSupported):
            raise NotForRows from None

    def _subquery(self, subquery: plan.Subquery, columns: Mapping[int, int]) -> SubqueryRows:
        """A subquery that is a value in an expression; all `columns` are in the frame."""
        inner = self.node(subquery.plan)
        limit = {plan.SubqueryKind.EXISTS: 1, plan.SubqueryKind.SCALAR: 2}.get(subquery.kind, 0)
        is_correlated = bool(free_columns(subquery.plan)) or is_volatile_plan(subquery.plan)
        made = SubqueryRows(inner.operator, [self.slots[column.id] for column in subquery.outputs], limit,
                            is_correlated)
        self.subqueries.append(made)
        self._extra_cost += inner.cost
        inner.shown.name = f"SubPlan {len(self.subqueries)}: {inner.shown.name}"
        self._shown.append(inner.shown)
        return made

    # ---------------------------------------------------------------- nodes

    def node(self, node: plan.Node, wanted: Wanted | None = None) -> Prepared:
        """NotForRows: not for this executor."""
        made = self._node(node, wanted)
        made.shown.inputs += self._shown
        self._shown.clear()
        return made

    def _node(self, node: plan.Node, wanted: Wanted | None) -> Prepared:
        match node:
            case plan.Values():
                return self.values(node)
            case plan.Scan():
                return row_scans.scan(self, node, (), wanted)
            case plan.Filter():
                return self.filter(node, wanted)
            case plan.Project():
                return self.project(node, wanted)
            case plan.Join():
                return row_joins.join(self, node, wanted)
            case plan.Sort():
                return self.sort(node, None)
            case plan.Limit():
                return self.limit(node)
            case plan.Aggregate():
                return row_aggregates.aggregate(self, node)
            case plan.Distinct():
                return self.distinct(node)
            case plan.SetOperation():
                return self.union(node)
            case plan.With():
                return self.common(node)
            case plan.CommonScan():
                return self.common_scan(node)
        raise NotForRows

    def values(self, node: plan.Values) -> Prepared:
        rows = [[self.expression(item) for item in row] for row in node.rows]
        base = self.block(node.columns)
        shown = Shown("Values" if node.columns else "Result")
        return Prepared(ValuesRows(rows, base), node.columns, float(len(rows)), ROW_COST * len(rows), shown)

    def filter(self, node: plan.Filter, wanted: Wanted | None) -> Prepared:
        conditions = conjuncts(node.condition)
        plain = [condition for condition in conditions if not _is_semi_join(condition)]
        joins = [condition for condition in conditions if _is_semi_join(condition)]
        before, self._extra_cost = self._extra_cost, 0.0
        if isinstance(node.input, plan.Scan):
            below = row_scans.scan(self, node.input, plain, None if joins else wanted)
            below.cost += self._extra_cost * max(1.0, below.rows)
        else:
            below = self.filtered(self.node(node.input, None if joins else wanted), plain)
        self._extra_cost = before
        for condition in joins:
            is_anti = isinstance(condition, plan.Call)
            subquery: Any = condition.arguments[0] if isinstance(condition, plan.Call) else condition
            joined = row_joins.semi_join(self, below, subquery, is_anti)
            below = self.filtered(below, [condition]) if joined is None else joined
        return below

    def filtered(self, below: Prepared, conditions: Sequence[plan.Expression]) -> Prepared:
        if not conditions:
            return below
        before, self._extra_cost = self._extra_cost, 0.0
        tests = [self.expression(condition) for condition in conditions]
        cost = below.cost + below.rows * (ROW_COST * len(tests) + self._extra_cost)
        self._extra_cost = before
        rows = max(min(1.0, below.rows), below.rows * FILTER_FRACTION ** len(tests))
        return Prepared(FilterRows(below.operator, tests), below.columns, rows, cost,
                        Shown("Filter", {"Condition": conditions}, [below.shown]), below.order, below.fixed)

    def project(self, node: plan.Project, wanted: Wanted | None) -> Prepared:
        below = self.node(node.input, _under(node, wanted))
        own = {column.id for column in below.columns}
        before, self._extra_cost = self._extra_cost, 0.0
        items: list[tuple[int, RowExpression]] = []
        renamed: dict[int, int] = {}
        places: dict[int, int] = {}
        for item in node.items:
            if isinstance(item.expression, plan.Column) and item.expression.id in own:
                renamed.setdefault(item.expression.id, item.column.id)
                places[item.column.id] = self.slots[item.expression.id]
            else:
                made = self.expression(item.expression)
                places[item.column.id] = self.slots.get(item.column.id, -1)
                if places[item.column.id] < 0 or item.column.id in own:
                    places[item.column.id] = self.new_slot()
                items.append((places[item.column.id], made))
        self.slots |= places
        cost = below.cost + below.rows * (ROW_COST * len(items) + self._extra_cost)
        self._extra_cost = before
        operator = ComputeRows(below.operator, items) if items else below.operator
        order = []
        for number, down, nulls in below.order:
            if number not in renamed:
                break
            order.append((renamed[number], down, nulls))
        return Prepared(operator, tuple(item.column for item in node.items), below.rows, cost,
                        Shown("Project", {"Items": [item.expression for item in node.items]}, [below.shown]),
                        tuple(order), frozenset(renamed[number] for number in below.fixed if number in renamed))

    # ---------------------------------------------------------------- order and limit

    def sort(self, node: plan.Sort, row_count: float | None) -> Prepared:
        keys = [(key.expression.id, key.is_descending, key.nulls_first) for key in node.keys
                if isinstance(key.expression, plan.Column)]
        wanted = Wanted(tuple(keys), row_count) if len(keys) == len(node.keys) else None
        below = self.node(node.input, wanted)
        if wanted is not None and order_match(below.order, wanted.order, list(below.fixed)) is False:
            return below
        made = [(self.expression(key.expression),
                 None if is_plain(key.expression.type) else sort_key(key.expression.type), key.is_descending,
                 key.nulls_first) for key in node.keys]
        operator = SortRows(below.operator, made, positions(self.slots, below.columns))
        order = tuple(keys) if wanted is not None else ()
        return Prepared(operator, below.columns, below.rows, below.cost + SORT_COST * below.rows,
                        Shown("Sort", {"Sort Key": node.keys}, [below.shown]), order, below.fixed)

    def limit(self, node: plan.Limit) -> Prepared:
        if node.with_ties:
            raise NotForRows
        known = _known_count(node.count)
        skipped = 0.0 if node.offset is None else _known_count(node.offset)
        most = None if known is None or skipped is None else known + skipped
        if isinstance(node.input, plan.Sort):
            below = self.sort(node.input, most)
        else:
            below = self.node(node.input, Wanted((), most))
        count = None if node.count is None else self.expression(node.count)
        offset = None if node.offset is None else self.expression(node.offset)
        details: dict[str, Any] = {} if node.count is None else {"Count": [node.count]}
        details |= {} if node.offset is None else {"Offset": [node.offset]}
        rows = below.rows if most is None else min(below.rows, most)
        return Prepared(LimitRows(below.operator, count, offset, _number), below.columns, rows, below.cost,
                        Shown("Limit", details, [below.shown]), below.order, below.fixed)

    # ---------------------------------------------------------------- duplicates, several inputs

    def distinct(self, node: plan.Distinct) -> Prepared:
        below = self.node(plan.Sort(node.input, node.order_by) if node.order_by else node.input)
        on: Sequence[plan.Expression] = node.columns if node.on is None else node.on
        keys = [(self.expression(item), None if is_plain(item.type) else sort_key(item.type)) for item in on]
        details: dict[str, Any] = {} if node.on is None else {"On": on}
        columns = node.columns if node.on is None else below.columns
        return Prepared(DistinctRows(below.operator, keys), columns, below.rows, below.cost + below.rows * SORT_COST,
                        Shown("Distinct", details, [below.shown]), below.order, below.fixed)

    def union(self, node: plan.SetOperation) -> Prepared:
        if node.kind is not plan.SetKind.UNION:
            raise NotForRows
        sides = [self.node(node.left), self.node(node.right)]
        sources = [[self.slots[column.id] for column in columns] for columns in (node.left_columns, node.right_columns)]
        base = self.block(node.columns)
        rows, cost = sum(side.rows for side in sides), sum(side.cost for side in sides)
        operator: Any = AppendRows([side.operator for side in sides], sources, range(base, base + len(node.columns)))
        if not node.is_all:
            operator = DistinctRows(operator, [(self.expression(column),
                                                None if is_plain(column.type) else sort_key(column.type))
                                               for column in node.columns])
            cost += rows * SORT_COST
        return Prepared(operator, node.columns, rows, cost + rows * ROW_COST,
                        Shown(f"Union{' All' if node.is_all else ''}", {}, [side.shown for side in sides]))

    def common(self, node: plan.With) -> Prepared:
        """WITH, where each table is read once at most: it stands where it is read."""
        for table in node.tables:
            readers = sum(1 for part in walk((node.input, *(other.plan for other in node.tables)))
                          if isinstance(part, plan.CommonScan) and part.table == table.id)
            if table.recursive is not None or readers > 1 or (readers and is_volatile_plan(table.plan)):
                raise NotForRows
            self._common[table.id] = table
        return self.node(node.input)

    def common_scan(self, node: plan.CommonScan) -> Prepared:
        table = self._common.get(node.table)
        if table is None:
            raise NotForRows
        items = tuple(plan.Item(column, output) for column, output in zip(node.columns, table.outputs, strict=True))
        made = self.project(plan.Project(table.plan, items), None)
        made.shown.name = f"Common Table Scan on w{node.table}"
        return made


# -------------------------------------------------------------------- parts

def is_volatile_plan(node: plan.Node) -> bool:
    return any(isinstance(part, plan.Call) and is_volatile(part) for part in walk(node))


def _is_semi_join(condition: plan.Expression) -> bool:
    """[NOT] EXISTS, or IN with a subquery."""
    if isinstance(condition, plan.Call) and condition.name == "not":
        inner = condition.arguments[0]
        return isinstance(inner, plan.Subquery) and inner.kind is plan.SubqueryKind.EXISTS
    return isinstance(condition, plan.Subquery) and (
        condition.kind is plan.SubqueryKind.EXISTS
        or (condition.kind is plan.SubqueryKind.ANY and condition.operator == "="))


def _under(node: plan.Project, wanted: Wanted | None) -> Wanted | None:
    """What is wanted, in the columns below a projection."""
    if wanted is None:
        return None
    meanings = {item.column.id: item.expression.id for item in node.items if isinstance(item.expression, plan.Column)}
    if any(number not in meanings for number, _, _ in wanted.order):
        return None
    return Wanted(tuple((meanings[number], down, first) for number, down, first in wanted.order), wanted.row_count)


def _known_count(expression: plan.Expression | None) -> float | None:
    """Of LIMIT: a parameter is taken for a small number."""
    match expression:
        case plan.Literal(value=int() as value) | plan.Cast(argument=plan.Literal(value=int() as value)):
            return float(value)
        case plan.Parameter() | plan.Cast(argument=plan.Parameter()):
            return 100.0
    return None


def _number(value: Any, is_count: bool) -> int | None:
    if value is None:
        return None
    if value < 0:
        raise InvalidParameterValue(f"{'LIMIT' if is_count else 'OFFSET'} must not be negative")
    return min(int(value), 1 << 62)


