"""Which plans are fast statements (fast.py), and what each is made of.

    SELECT columns FROM t WHERE key = ?                       the row reader's get
    SELECT ... FROM a JOIN b ON b.key = a.x WHERE a.key = ?   its pair
    SELECT columns FROM t WHERE indexed = ? AND next > ?      its range or through,
        ORDER BY its order or the reverse LIMIT ?                 if all conditions are the range itself
    INSERT INTO t VALUES (...)                                the row writer's insert, insert_many
    UPDATE t SET a = ? WHERE key = ?                          get, then its update
    DELETE FROM t WHERE key = ?                               get, then its delete

Values are parameters and constants, through conversions that are always the same. A table with generated columns,
foreign keys or rows that expire, and one whose definition asks for a default here, is left to the usual way.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.objects import Table
from phantomdb.core.query import plan
from phantomdb.core.query.access import Access, choose
from phantomdb.core.query.casts import caster
from phantomdb.core.query.errors import QueryError
from phantomdb.core.query.evaluate import is_immutable_cast
from phantomdb.core.query.fast import (
    FastChange, FastRead, FastStatement, Operand, Parameters, RangeRead, are_exact, inserts, inserts_many, is_straight,
    read_by_key, values_of,
)
from phantomdb.core.query.functions.registry import Volatility, overloads, resolve
from phantomdb.core.query.optimizer import conjuncts, optimize
from phantomdb.core.query.rewrite import walk
from phantomdb.core.tables.layout import TableLayout, takes_values
from phantomdb.core.values import BIGINT, Kind, Type

if TYPE_CHECKING:
    from phantomdb.core._ext.transaction import TransactionCore
    from phantomdb.core.query.engine import QueryEngine


class _NotFast(Exception):
    """The plan is for an executor."""


def prepare(statement: plan.Statement, engine: QueryEngine, catalog: Catalog, tag: str) -> FastStatement | None:
    """The statement for this way, or None. `catalog`: the one it was bound with."""
    preparer = _Preparer(engine, catalog, tag)
    try:
        match statement:
            case plan.Query():
                return preparer.query(optimize(statement))
            case plan.Insert():
                return preparer.insert(statement)
            case plan.Update():
                return preparer.update(statement)
            case plan.Delete():
                return preparer.delete(statement)
    except (_NotFast, QueryError, RecursionError):
        return None
    return None


@dataclass(slots=True)
class _Shape:
    """A scan under conditions, in an order, up to a limit. `sources`: stored column of each of its columns."""

    scan: plan.Scan
    conditions: list[plan.Expression]
    sources: dict[int, int]
    order: list[tuple[int, bool]] | None = None
    limit: Operand | None = None


class _Preparer:
    def __init__(self, engine: QueryEngine, catalog: Catalog, tag: str) -> None:
        self.tables, self.catalog, self.tag = engine.tables, catalog, tag
        self.engine = engine.store.engine

    def layout(self, table: int) -> TableLayout:
        layout = self.tables.layouts.of(self.catalog.table(table))
        if layout.expiry is not None:
            raise _NotFast
        return layout

    # ---- queries

    def query(self, query: plan.Query) -> FastStatement:
        if isinstance(query.plan, plan.Project) and isinstance(query.plan.input, plan.Join):
            return self.join(query, query.plan, query.plan.input)
        shape = _shape(query.plan)
        layout = self.layout(shape.scan.table)
        access = self.access(shape.scan, shape.conditions)
        reader = layout.reader(self.engine, [self.source(shape.sources[column.id]) for column in query.columns])
        equal = [_operand(expression) for expression in access.equal]
        if access.is_unique and access.index is None and layout.keys.is_plain and shape.limit is None:
            return FastRead(self.catalog, self.tag, are_exact(equal), query, read_by_key(reader.get, equal))
        index = None if access.index is None else layout.index(access.index.id)
        low, high = (None if bound is None else _operand(bound.expression) for bound in (access.low, access.high))
        read = RangeRead(reader, layout, index, values_of(equal), low, high,
                      access.low is None or access.low.is_inclusive, access.high is None or access.high.is_inclusive,
                      shape.limit, _is_reverse(layout.table, access, shape))
        used = [operand for operand in (*equal, low, high, shape.limit) if operand is not None]
        return FastRead(self.catalog, self.tag, are_exact(used), query, read)

    @staticmethod
    def source(number: int) -> int:
        if number <= 0 and number != plan.ROW_KEY:
            raise _NotFast
        return number

    def access(self, scan: plan.Scan, conditions: Sequence[plan.Expression]) -> Access:
        """A range that the conditions name completely."""
        access = choose(self.catalog.table(scan.table), scan, conditions)
        if access.is_everything or access.rest:
            raise _NotFast
        return access

    def key(self, scan: plan.Scan, conditions: Sequence[plan.Expression]) -> list[plan.Expression]:
        """The values of the whole primary key."""
        access = self.access(scan, conditions)
        if not access.is_unique or access.index is not None or not self.layout(scan.table).keys.is_plain:
            raise _NotFast
        return access.equal

    def join(self, query: plan.Query, project: plan.Project, join: plan.Join) -> FastStatement:
        if join.kind is not plan.JoinKind.INNER or join.is_lateral:
            raise _NotFast
        for first, second in ((join.left, join.right), (join.right, join.left)):
            try:
                return self.joined(query, project, _shape(first), _shape(second), conjuncts(join.condition))
            except _NotFast:
                continue
        raise _NotFast

    def joined(self, query: plan.Query, project: plan.Project, first: _Shape, second: _Shape,
               conditions: list[plan.Expression]) -> FastStatement:
        key = [_operand(expression) for expression in self.key(first.scan, first.conditions)]
        linked = self.key(second.scan, conditions + second.conditions)
        items = {item.column.id: item.expression for item in project.items}
        wanted = [_column(items[column.id]) for column in query.columns]
        # of the first row what the result wants, then the key of the second row
        ours = [column.id for column in wanted if column.id in first.sources]
        links = [_column(expression).id for expression in linked]
        theirs = [column.id for column in wanted if column.id in second.sources]
        if len(ours) + len(theirs) != len(wanted) or not all(number in first.sources for number in links):
            raise _NotFast
        reader = self.layout(first.scan.table).reader(
            self.engine, [self.source(first.sources[number]) for number in (*ours, *links)])
        other = self.layout(second.scan.table).reader(
            self.engine, [self.source(second.sources[number]) for number in theirs])
        width = len(ours) + len(links)
        places = [ours.index(column.id) if column.id in first.sources else width + theirs.index(column.id)
                  for column in wanted]
        read = partial(reader.pair, other, tuple(range(len(ours), width)), tuple(places))
        return FastRead(self.catalog, self.tag, are_exact(key), query, read_by_key(read, key))

    # ---- changes

    def writable(self, table: int) -> TableLayout:
        """The layout of a table whose rows a RowWriter can keep."""
        layout = self.layout(table)
        if layout.writer is None or layout.generated or layout.table.foreign_keys or not all(
                _is_immutable(check.condition.bound) for check in layout.table.checks):
            raise _NotFast
        return layout

    def insert(self, statement: plan.Insert) -> FastStatement:
        layout, source = self.writable(statement.table), statement.source
        if (statement.on_conflict is not None or statement.returning is not None
                or not isinstance(source, plan.Values) or len(source.rows) != 1):
            raise _NotFast
        given = {column.id: expression for column, expression in zip(source.columns, source.rows[0], strict=True)}
        assigned = {item.target: item.expression for item in statement.assignments}
        parts: list[tuple[plan.Expression, Type]] = []
        for column in layout.table.columns:
            expression = assigned.get(column.id)
            if expression is None:
                if column.default is not None or column.sequence is not None:
                    raise _NotFast
                expression = plan.Literal(column.type, None)
            parts.append((given[expression.id] if isinstance(expression, plan.Column) else expression, column.type))
        operands = [_unchecked(*part) for part in parts]
        next_ids = self.tables.sequences.next_row_ids
        if any(operand.convert is not None for operand in operands) or not all(
                takes_values(type_) for _, type_ in parts):
            build = values_of([_assigned(*part) for part in parts])
            return FastChange(self.catalog, self.tag, False, statement.table, inserts(layout, next_ids, build, None))
        build = values_of(operands)
        assert layout.writer is not None
        apply = inserts(layout, next_ids, build, layout.writer.takes)
        if layout.checks:
            return FastChange(self.catalog, self.tag, True, statement.table, apply)
        many = inserts_many(layout, next_ids, None if is_straight(operands) else build)
        return FastChange(self.catalog, self.tag, True, statement.table, apply, many)

    def changed(self, statement: plan.Update | plan.Delete
                ) -> tuple[TableLayout, Callable[..., Any], bool]:
        """The layout, what reads the row to change, its row key behind it, and whether that takes any classes."""
        layout = self.writable(statement.table)
        if statement.returning is not None or self.catalog.referencing(statement.table):
            raise _NotFast
        shape = _shape(statement.source)
        if shape.scan.table != statement.table or shape.sources.get(statement.key.id) != plan.ROW_KEY:
            raise _NotFast
        key = [_operand(expression) for expression in self.key(shape.scan, shape.conditions)]
        reader = layout.reader(self.engine, [*(column.id for column in layout.table.columns), plan.ROW_KEY])
        values = values_of(key)
        return layout, lambda core, parameters: reader.get(core, values(parameters)), are_exact(key)

    def update(self, statement: plan.Update) -> FastStatement:
        layout, read, _ = self.changed(statement)
        columns = layout.table.columns
        parts = [(position := layout.positions[item.target], _assigned(item.expression, columns[position].type))
                 for item in statement.assignments]
        checks = [holds for _, holds in layout.checks]
        not_null = frozenset(layout.not_null)
        assert layout.writer is not None
        write = layout.writer.update

        def apply(core: TransactionCore, parameters: Parameters) -> int | None:
            found = read(core, parameters)
            if not found:
                return 0
            values = list(found[0])
            row_key = values.pop()
            old = tuple(values)
            for position, operand in parts:
                value = values[position] = operand.of(parameters)
                if value is None and position in not_null:
                    return None
            row = tuple(values)
            for holds in checks:
                if holds(row) is False:
                    return None
            return 1 if write(core, row_key, old, row) else None

        # not exact: where no row is found, no codec would look at the values
        return FastChange(self.catalog, self.tag, False, statement.table, apply)

    def delete(self, statement: plan.Delete) -> FastStatement:
        layout, read, is_exact = self.changed(statement)
        assert layout.writer is not None
        write = layout.writer.delete

        def apply(core: TransactionCore, parameters: Parameters) -> int:
            found = read(core, parameters)
            if not found:
                return 0
            *values, row_key = found[0]
            write(core, row_key, tuple(values))
            return 1

        return FastChange(self.catalog, self.tag, is_exact, statement.table, apply)


def _shape(node: plan.Node) -> _Shape:
    match node:
        case plan.Scan():
            if node.as_of is not None or node.for_update:
                raise _NotFast
            return _Shape(node, [], {item.column.id: item.source for item in node.columns})
        case plan.Filter(input=plan.Scan()):
            shape = _shape(node.input)
            shape.conditions = conjuncts(node.condition)
            return shape
        case plan.Project():
            shape = _shape(node.input)
            shape.sources = {item.column.id: shape.sources[_column(item.expression).id] for item in node.items}
            return shape
        case plan.Sort():
            shape = _shape(node.input)
            if shape.order is not None or shape.limit is not None:
                raise _NotFast
            shape.order = [(shape.sources[_column(key.expression).id], key.is_descending) for key in node.keys]
            return shape
        case plan.Limit(offset=None, with_ties=False):
            shape = _shape(node.input)
            if shape.limit is not None:
                raise _NotFast
            shape.limit = None if node.count is None else _operand(node.count)
            return shape
    raise _NotFast


def _column(expression: plan.Expression) -> plan.Column:
    if not isinstance(expression, plan.Column):
        raise _NotFast
    return expression


def _is_reverse(table: Table, access: Access, shape: _Shape) -> bool:
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
    raise _NotFast


def _is_immutable(expression: plan.Expression) -> bool:
    """Whether it is the same for a row at any time, in any session."""
    for part in walk(expression):
        if isinstance(part, plan.Subquery):
            return False
        if isinstance(part, plan.Cast) and not is_immutable_cast(part.argument.type, part.type):
            return False
        if isinstance(part, plan.Call) and overloads(part.name):       # others are no functions: AND, IS NULL, IN
            found = resolve(part.name, [argument.type for argument in part.arguments]).overload
            if found.volatility is not Volatility.IMMUTABLE:
                return False
    return True


# -------------------------------------------------------------------- values

def _operand(expression: plan.Expression) -> Operand:
    match expression:
        case plan.Literal():
            return Operand(None, expression.value)
        case plan.Parameter():
            return Operand(expression.index)
        case plan.Cast(argument=plan.Literal() | plan.Parameter() as inner):
            # one plan serves all ints up to 64 bits, whatever the size of the one it was bound with
            source = BIGINT if inner.type.kind is Kind.INT else inner.type
            if not is_immutable_cast(source, expression.type):
                raise _NotFast
            convert: Callable[[Any], Any] | None = caster(source, expression.type, expression.is_explicit)
            if convert is _SAME:
                convert = None
            if isinstance(inner, plan.Parameter):
                return Operand(inner.index, None, convert)
            return Operand(None, inner.value if convert is None else convert(inner.value))
    raise _NotFast


_SAME = caster(BIGINT, BIGINT)


def _assigned(expression: plan.Expression, type_: Type) -> Operand:
    """What a column of the type is given: an int is checked against its bounds."""
    operand = _operand(expression)
    if isinstance(expression, plan.Parameter) and expression.type.kind is Kind.INT:
        convert = caster(BIGINT, type_)
        return operand if convert is _SAME else replace(operand, convert=convert)
    return operand


def _unchecked(expression: plan.Expression, type_: Type) -> Operand:
    """The same for a writer that takes values as they are, and checks their bounds."""
    operand = _operand(expression)
    if isinstance(expression, plan.Cast) and operand.index is not None and not type_.is_padded and (
            expression.argument.type.kind is type_.kind and type_.kind in (Kind.INT, Kind.TEXT)):
        return replace(operand, convert=None)
    return operand
