"""What fast statements are made of: one range of one table, values that are parameters or constants, expressions.

An expression is a function of a row with the parameters behind it, so that any thread may run it. It may ask for
nothing but those: no time, no setting, no other table.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.query import plan
from phantomdb.core.query.access import Access, choose
from phantomdb.core.query.casts import caster
from phantomdb.core.query.evaluate import EvaluationContext, Evaluator, compile_expression, is_immutable_cast
from phantomdb.core.query.fast import Operand
from phantomdb.core.query.functions.registry import Volatility, overloads, resolve
from phantomdb.core.query.optimizer import conjuncts
from phantomdb.core.query.rewrite import references, transform, walk
from phantomdb.core.tables.layout import TableLayout
from phantomdb.core.values import BIGINT, Kind, Type

if TYPE_CHECKING:
    from phantomdb.core.query.engine import QueryEngine

# Kinds of parameters whose Python class tells the whole type; of whole numbers the size is looked at.
_TOLD = frozenset({Kind.NULL, Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.TEXT, Kind.BYTES, Kind.DATE,
                   Kind.UUID, Kind.INTERVAL})


class NotFast(Exception):
    """The plan is for an executor."""


@dataclass(slots=True)
class Shape:
    """A scan under conditions, in an order, up to a limit. `sources`: stored column of each of its columns."""

    scan: plan.Scan
    conditions: list[plan.Expression]
    sources: dict[int, int]
    order: list[tuple[int, bool]] | None = None
    limit: Operand | None = None


class Preparer:
    """Of one statement."""

    def __init__(self, engine: QueryEngine, catalog: Catalog, tag: str) -> None:
        self.tables, self.catalog, self.tag = engine.tables, catalog, tag
        self.engine = engine.store.engine

    def layout(self, table: int) -> TableLayout:
        layout = self.tables.layouts.of(self.catalog.table(table))
        if layout.expiry is not None:
            raise NotFast
        return layout

    def access(self, scan: plan.Scan, conditions: Sequence[plan.Expression]) -> Access:
        """A range that the conditions name completely."""
        access = choose(self.catalog.table(scan.table), scan, conditions)
        index = access.index
        if access.is_everything or access.rest or access.choices or (index is not None and (
                index.is_multi_key or index.predicate is not None
                or any(part.column is None or part.path for part in index.columns))):
            raise NotFast
        return access

    def key(self, scan: plan.Scan, conditions: Sequence[plan.Expression]) -> list[plan.Expression]:
        """The values of the whole primary key."""
        access = self.access(scan, conditions)
        if not access.is_unique or access.index is not None or not self.layout(scan.table).keys.is_plain:
            raise NotFast
        return access.equal

    def key_operands(self, shape: Shape) -> list[Operand]:
        return [operand_of(expression) for expression in self.key(shape.scan, shape.conditions)]


def shape_of(node: plan.Node) -> Shape:
    """The node as one."""
    match node:
        case plan.Scan():
            if node.as_of is not None:
                raise NotFast
            return Shape(node, [], {item.column.id: item.source for item in node.columns})
        case plan.Filter(input=plan.Scan()):
            shape = shape_of(node.input)
            shape.conditions = conjuncts(node.condition)
            return shape
        case plan.Project():
            shape = shape_of(node.input)
            shape.sources = {item.column.id: shape.sources[column_of(item.expression).id] for item in node.items}
            return shape
        case plan.Sort():
            shape = shape_of(node.input)
            if shape.order is not None or shape.limit is not None:
                raise NotFast
            shape.order = [(shape.sources[column_of(key.expression).id], key.is_descending) for key in node.keys]
            return shape
        case plan.Limit(offset=None, with_ties=False):
            shape = shape_of(node.input)
            if shape.limit is not None:
                raise NotFast
            shape.limit = None if node.count is None else operand_of(node.count)
            return shape
    raise NotFast


def column_of(expression: plan.Expression) -> plan.Column:
    if not isinstance(expression, plan.Column):
        raise NotFast
    return expression


def is_immutable(expression: plan.Expression) -> bool:
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

def operand_of(expression: plan.Expression) -> Operand:
    match expression:
        case plan.Literal():
            return Operand(None, expression.value)
        case plan.Parameter():
            return Operand(expression.index)
        case plan.Cast(argument=plan.Literal() | plan.Parameter() as inner):
            # one plan serves all ints up to 64 bits, whatever the size of the one it was bound with
            source = BIGINT if inner.type.kind is Kind.INT else inner.type
            # and a moment's class does not tell whether it has a time zone
            if not is_immutable_cast(source, expression.type) or (
                    isinstance(inner, plan.Parameter) and source.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ)):
                raise NotFast
            convert: Callable[[Any], Any] | None = caster(source, expression.type, expression.is_explicit)
            if convert is _SAME:
                convert = None
            if isinstance(inner, plan.Parameter):
                return Operand(inner.index, None, convert)
            return Operand(None, inner.value if convert is None else convert(inner.value))
    raise NotFast


_SAME = caster(BIGINT, BIGINT)


def assigned(expression: plan.Expression, type_: Type) -> Operand:
    """What a column of the type is given: an int is checked against its bounds."""
    operand = operand_of(expression)
    if isinstance(expression, plan.Parameter) and expression.type.kind is Kind.INT:
        convert = caster(BIGINT, type_)
        return operand if convert is _SAME else replace(operand, convert=convert)
    return operand


def unchecked(expression: plan.Expression, type_: Type) -> Operand:
    """The same for a writer that takes values as they are, and checks their bounds."""
    operand = operand_of(expression)
    if isinstance(expression, plan.Cast) and operand.index is not None and expression.type == type_ and (
            not type_.is_padded and expression.argument.type.kind is type_.kind in (Kind.INT, Kind.TEXT)):
        return replace(operand, convert=None)
    return operand


class Expressions:
    """Of one statement. `ints`: parameters that must be whole numbers of the size they were bound with, and whether
    that is one of 32 bits: functions may differ."""

    def __init__(self) -> None:
        self.ints: dict[int, bool] = {}
        self.has_parameters = False

    def compiled(self, expression: plan.Expression, places: Mapping[int, int], width: int) -> Evaluator:
        """row + parameters -> value. `places`: of columns in the row, which has `width` values."""
        positions = dict(places)

        def behind(part: Any) -> Any:
            if not isinstance(part, plan.Parameter):
                return part
            if part.type.kind not in _TOLD:
                raise NotFast
            self.has_parameters = True
            if part.type.kind is Kind.INT:
                self.ints[part.index] = part.type.bits == 32
            number = -1 - part.index                         # no column of a plan has such a number
            positions[number] = width + part.index
            return plan.Column(part.type, number)

        if not is_immutable(expression):
            raise NotFast
        moved = transform(expression, behind)
        if not references(moved) <= positions.keys():
            raise NotFast
        return compile_expression(moved, positions, EvaluationContext())
