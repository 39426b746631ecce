"""Which plans are fast statements (fast.py): queries here, changes in fast_changes.py.

    SELECT columns FROM t WHERE key = ?                       the row reader's get
    SELECT ... FROM a JOIN b ON b.key = a.x WHERE a.key = ?   its pair
    SELECT columns FROM t WHERE indexed = ? AND next > ?      its range or through,
        ORDER BY its order or the reverse LIMIT ?                 if all conditions are the range itself
    other queries that depend on nothing but their tables     the row executor, prepared (fast_queries.py)

Values are parameters and constants, through conversions that are always the same. A table whose rows expire is left to
the usual way.
"""
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.objects import Table
from phantomdb.core.query import fast_queries, plan
from phantomdb.core.query.access import Access
from phantomdb.core.query.errors import QueryError
from phantomdb.core.query.fast import FastRead, FastStatement, RangeRead, are_exact, read_by_key, values_of
from phantomdb.core.query.fast_changes import ChangePreparer
from phantomdb.core.query.fast_parts import NotFast, Preparer, Shape, column_of, operand_of, shape_of
from phantomdb.core.query.optimizer import conjuncts, optimize

if TYPE_CHECKING:
    from phantomdb.core.query.engine import QueryEngine


def prepare(statement: plan.Statement, engine: QueryEngine, catalog: Catalog, tag: str) -> FastStatement | None:
    """The statement for this way, or None. `catalog`: the one it was bound with."""
    try:
        match statement:
            case plan.Query(locks=None):
                return _QueryPreparer(engine, catalog, tag).query(optimize(statement))
            case plan.Insert():
                return ChangePreparer(engine, catalog, tag).insert(statement)
            case plan.Update():
                return ChangePreparer(engine, catalog, tag).update(statement)
            case plan.Delete():
                return ChangePreparer(engine, catalog, tag).delete(statement)
    except NotFast:
        if isinstance(statement, plan.Query):
            return fast_queries.prepare(statement, catalog, tag)
        return fast_queries.prepare_change(statement, engine, catalog, tag)
    except (QueryError, RecursionError):
        return None
    return None


class _QueryPreparer(Preparer):
    def query(self, query: plan.Query) -> FastStatement:
        if isinstance(query.plan, plan.Project) and isinstance(query.plan.input, plan.Join):
            return self.join(query, query.plan, query.plan.input)
        shape = shape_of(query.plan)
        layout = self.layout(shape.scan.table)
        access = self.access(shape.scan, shape.conditions)
        reader = layout.reader(self.engine, [self.source(shape.sources[column.id]) for column in query.columns])
        equal = [operand_of(expression) for expression in access.equal]
        if access.is_unique and access.index is None and layout.keys.is_plain and shape.limit is None:
            return FastRead(self.catalog, self.tag, are_exact(equal), query, read_by_key(reader.get, equal))
        index = None if access.index is None else layout.index(access.index.id)
        low, high = (None if bound is None else operand_of(bound.expression) for bound in (access.low, access.high))
        read = RangeRead(reader, layout, index, values_of(equal), low, high,
                      access.low is None or access.low.is_inclusive, access.high is None or access.high.is_inclusive,
                      shape.limit, _is_reverse(layout.table, access, shape))
        used = [operand for operand in (*equal, low, high, shape.limit) if operand is not None]
        return FastRead(self.catalog, self.tag, are_exact(used), query, read)

    @staticmethod
    def source(number: int) -> int:
        if number <= 0 and number != plan.ROW_KEY:
            raise NotFast
        return number

    def join(self, query: plan.Query, project: plan.Project, join: plan.Join) -> FastStatement:
        if join.kind is not plan.JoinKind.INNER or join.is_lateral:
            raise NotFast
        for first, second in ((join.left, join.right), (join.right, join.left)):
            try:
                return self.joined(query, project, shape_of(first), shape_of(second), conjuncts(join.condition))
            except NotFast:
                continue
        raise NotFast

    def joined(self, query: plan.Query, project: plan.Project, first: Shape, second: Shape,
               conditions: list[plan.Expression]) -> FastStatement:
        key = self.key_operands(first)
        linked = self.key(second.scan, conditions + second.conditions)
        items = {item.column.id: item.expression for item in project.items}
        wanted = [column_of(items[column.id]) for column in query.columns]
        # of the first row what the result wants, then the key of the second row
        ours = [column.id for column in wanted if column.id in first.sources]
        links = [column_of(expression).id for expression in linked]
        theirs = [column.id for column in wanted if column.id in second.sources]
        if len(ours) + len(theirs) != len(wanted) or not all(number in first.sources for number in links):
            raise NotFast
        reader = self.layout(first.scan.table).reader(
            self.engine, [self.source(first.sources[number]) for number in (*ours, *links)])
        other = self.layout(second.scan.table).reader(
            self.engine, [self.source(second.sources[number]) for number in theirs])
        width = len(ours) + len(links)
        places = [ours.index(column.id) if column.id in first.sources else width + theirs.index(column.id)
                  for column in wanted]
        read = partial(reader.pair, other, tuple(range(len(ours), width)), tuple(places))
        return FastRead(self.catalog, self.tag, are_exact(key), query, read_by_key(read, key))


def _is_reverse(table: Table, access: Access, shape: Shape) -> bool:
    """Whether the range is to be read backwards. Columns that may be NULL do not count as ordered: where the NULLs
    stand would matter."""
    if not shape.order or access.is_unique:
        return False
    parts: list[tuple[int, bool]] = []
    if access.index is not None:
        parts = [(part.column or 0, part.is_descending) for part in access.index.columns]
    # entries of one value stand in the order of the primary key; the hidden one is no column
    parts += [(number, False) for number in table.primary_key]
    order = []
    for number, is_descending in parts[len(access.equal):]:
        if number <= 0 or (table.column_by_id(number).is_nullable and number not in table.primary_key):
            break
        order.append((number, is_descending))
    wanted = shape.order
    if order[:len(wanted)] == wanted:
        return False
    if [(number, not is_descending) for number, is_descending in order[:len(wanted)]] == wanted:
        return True
    raise NotFast
