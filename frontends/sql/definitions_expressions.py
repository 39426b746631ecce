"""Expressions in definitions: bound over the columns of one table, checked for what may not stand there, and kept.

    DEFAULT                 no column                   evaluated for each row that is written
    CHECK                   no subquery
    GENERATED ... STORED    no subquery, immutable      the same for the same row at any time, as it is stored
    index, partial index    no subquery, immutable
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from phantomdb.core.catalog.definition import FLEXIBLE_FIELDS
from phantomdb.core.catalog.dependencies import columns_of
from phantomdb.core.catalog.objects import Column, StoredExpression, Table
from phantomdb.core.query import plan
from phantomdb.core.query.errors import FeatureNotSupported, InvalidDefinition, QueryError
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression, is_immutable_cast
from phantomdb.core.query.functions.registry import Volatility, overloads, resolve
from phantomdb.core.query.rewrite import walk
from phantomdb.core.values import Type, Value
from phantomdb.frontends.sql.expressions import Clause, ExpressionBinder
from phantomdb.frontends.sql.scope import Relation, Scope

if TYPE_CHECKING:
    from phantomdb.frontends.sql.queries import QueryBinder
    from phantomdb.frontends.sql.reader import Part

DEFAULT = Clause("DEFAULT expressions", subqueries=False)
CHECK = Clause("check constraints", subqueries=False)
GENERATED = Clause("column generation expressions", subqueries=False)
INDEX = Clause("index expressions", subqueries=False)
USING = Clause("USING of ALTER COLUMN TYPE", subqueries=False)
PREDICATE = Clause("index predicates", subqueries=False)
_IMMUTABLE = {GENERATED: "generation expression is not immutable",
              INDEX: "functions in index expression must be marked IMMUTABLE",
              PREDICATE: "functions in index predicate must be marked IMMUTABLE"}


class Columns:
    """What an expression of a table may name: its stored columns, each by its id."""

    def __init__(self, name: str, columns: Iterable[plan.Column], is_flexible: bool = False) -> None:
        listed = list(columns)
        fields = next((column for column in listed if column.name == FLEXIBLE_FIELDS), None) if is_flexible else None
        self.scope = Scope([Relation(name, [(column.name, column) for column in listed],
                                     sources={column.id: column.id for column in listed}, is_flexible=is_flexible,
                                     document=fields)])

    @classmethod
    def of(cls, table: Table) -> Columns:
        return cls(table.name, map(plan_column, table.columns), table.is_flexible)


def plan_column(column: Column) -> plan.Column:
    return plan.Column(column.type, column.id, column.name)


def default(queries: QueryBinder, part: Part, type_: Type, name: str, columns: Columns) -> StoredExpression:
    """DEFAULT of column `name`. FeatureNotSupported, DatatypeMismatch, and all that binding raises."""
    bound = _bound(queries, part, columns, DEFAULT)
    _check(bound, part, DEFAULT)
    if columns_of(StoredExpression("", bound)):
        raise FeatureNotSupported("cannot use column reference in DEFAULT expression", position=part.position,
                                  column=name)
    return StoredExpression(part.text, queries.builder.assign(bound, type_, name, part.position))


def generated(queries: QueryBinder, part: Part, type_: Type, name: str, columns: Columns) -> StoredExpression:
    """GENERATED ALWAYS AS (...) STORED. FeatureNotSupported, InvalidDefinition, DatatypeMismatch."""
    bound = queries.builder.assign(_bound(queries, part, columns, GENERATED), type_, name, part.position)
    _check(bound, part, GENERATED)
    return StoredExpression(part.text, bound)


def condition(queries: QueryBinder, part: Part, columns: Columns, clause: Clause) -> StoredExpression:
    """CHECK (...), or WHERE of an index. FeatureNotSupported, InvalidDefinition, DatatypeMismatch."""
    word = "CHECK" if clause is CHECK else "WHERE"
    bound = queries.builder.condition(_bound(queries, part, columns, clause), word, part.position)
    _check(bound, part, clause)
    return StoredExpression(part.text, bound)


def indexed(queries: QueryBinder, part: Part, columns: Columns) -> StoredExpression:
    """What an index is over. FeatureNotSupported, InvalidDefinition."""
    bound = queries.builder.settle(_bound(queries, part, columns, INDEX))
    _check(bound, part, INDEX)
    return StoredExpression(part.text, bound)


def converted(queries: QueryBinder, part: Part, columns: Columns) -> StoredExpression:
    """USING of ALTER COLUMN TYPE. FeatureNotSupported, and all that binding raises."""
    bound = queries.builder.settle(_bound(queries, part, columns, USING))
    _check(bound, part, USING)
    return StoredExpression(part.text, bound)


def constant(expression: StoredExpression) -> tuple[Value, bool]:
    """(value of a default, True), or (None, False) if each row is to have its own. What its evaluation raises."""
    if volatility(expression.bound) is Volatility.VOLATILE:
        return None, False
    return compile_expression(expression.bound, {}, EvaluationContext())(()), True


def volatility(expression: plan.Expression) -> Volatility:
    """The worst of all functions and conversions in it."""
    found = {_volatility(part) for part in walk(expression)}
    return next(item for item in (Volatility.VOLATILE, Volatility.STABLE, Volatility.IMMUTABLE)
                if item in found or item is Volatility.IMMUTABLE)


def _volatility(part: object) -> Volatility:
    if isinstance(part, plan.Cast):
        same_always = is_immutable_cast(part.argument.type, part.type)
        return Volatility.IMMUTABLE if same_always else Volatility.STABLE
    if not isinstance(part, plan.Call) or not overloads(part.name):  # AND, IS NULL, IN: no functions
        return Volatility.IMMUTABLE
    return resolve(part.name, [argument.type for argument in part.arguments]).overload.volatility


def _bound(queries: QueryBinder, part: Part, columns: Columns, clause: Clause) -> plan.Expression:
    try:
        return ExpressionBinder(queries, columns.scope, clause).bind(part.expression())
    except QueryError as error:
        if error.position is None:
            error.position = part.position
        raise


def _check(bound: plan.Expression, part: Part, clause: Clause) -> None:
    parts: Sequence[object] = list(walk(bound))
    if any(isinstance(item, plan.Subquery) for item in parts):
        raise FeatureNotSupported(f"cannot use subquery in {clause.name}", position=part.position)
    if clause in _IMMUTABLE and volatility(bound) is not Volatility.IMMUTABLE:
        raise InvalidDefinition(_IMMUTABLE[clause], position=part.position)
