"""Expressions of the plan as functions of a row: what the row executor, constraints and indexes call.

    c2 > 5 AND lower(c3) = 'a'   ->   row -> True, False or None

A plan's expression becomes a tree of objects (core/_ext/row_expressions) once; for each row only they run. Whatever
does not depend on the row is done when the tree is made: functions are chosen, positions looked up, constant
sub-expressions computed. A constant that raises (1/0) raises only when it is reached, so a CASE protects its branches.

NULL is None. Strict functions yield it when an argument is; "and", "or", "in" and comparisons with subqueries know
three values. CASE, COALESCE, "and" and "or" evaluate only what they must, from left to right.
"""
from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from phantomdb.core._ext.row_expressions import (
    BetweenTest, CaseValue, Coalesce, ColumnValue, Comparison, Connective, Constant, DistinctTest, FunctionValue,
    Membership, Negation, NullTest, ParameterValue, RowExpression, RowFunction, SetMembership,
)
from phantomdb.core.query import casts, coercion
from phantomdb.core.query.errors import CardinalityViolation, FeatureNotSupported, QueryError, StatementTooComplex
from phantomdb.core.query.functions import registry
from phantomdb.core.query.functions.registry import Volatility
from phantomdb.core.query.ordering import is_plain, sort_key
from phantomdb.core.query.plan import Call, Case, Cast, Column, Expression, Literal, Parameter, Subquery, SubqueryKind
from phantomdb.core.values import Kind, Type, Value

MAX_NESTING = 200                    # levels of an expression; a level takes three Python frames while it is compiled

Row = Sequence[Value]
Evaluator = Callable[[Row], Any]


class SubqueryHook(Protocol):
    """Prepares a subquery whose outer columns stand at `columns` of the outer row; gives a function of that row which
    yields the subquery's rows, each with the values of its outputs. Called once, when the expression is compiled."""

    def __call__(self, subquery: Subquery, columns: Mapping[int, int]) -> Callable[[Row], Iterable[Row]]: ...


@dataclass(slots=True)
class EvaluationContext:
    """What expressions ask of their surroundings. `parameters` may be exchanged between evaluations, so that what was
    compiled once runs with others. `rows`: the RowTransaction of a run of the row executor."""

    parameters: Sequence[Value] = ()
    subquery: SubqueryHook | None = None
    rows: Any = None


def compile_expression(expression: Expression, columns: Mapping[int, int], context: EvaluationContext
                       ) -> RowExpression:
    """A function that computes `expression` for a row. `columns`: position in the row of each column, by its id.

    Errors: StatementTooComplex beyond MAX_NESTING levels; FeatureNotSupported for a subquery without a hook. The
    function raises what the expression's functions raise, and CardinalityViolation for a scalar subquery of many rows.
    """
    try:
        return _Compiler(columns, context).compile(expression, 0)
    except RecursionError:           # the caller stood deep already
        raise StatementTooComplex from None


def _folded(expression: RowExpression) -> RowExpression:
    """`expression`, which depends on no row, computed now; one that raises stays as it is."""
    try:
        return Constant(expression(()))
    except (QueryError, MemoryError):
        return expression


def _is_constant(expression: RowExpression) -> bool:
    return isinstance(expression, Constant)


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def comparison(name: str, left: Type, right: Type) -> Callable[[Any, Any], Any]:
    """The function behind a comparison operator for values that are not NULL."""
    compare = _COMPARISONS[name]
    if not coercion.same_shape(coercion.without_parameters(left), coercion.without_parameters(right)):
        return registry.resolve(name, (left, right)).overload.python
    if is_plain(left):
        return compare
    key = sort_key(left)
    return lambda first, second: compare(key(first), key(second))


class _Compiler:
    def __init__(self, columns: Mapping[int, int], context: EvaluationContext) -> None:
        self.columns, self.context = columns, context

    def compile(self, expression: Expression, depth: int) -> RowExpression:
        if depth > MAX_NESTING:
            raise StatementTooComplex(f"an expression is nested more than {MAX_NESTING} levels deep")
        match expression:
            case Column():
                return ColumnValue(self.columns[expression.id])
            case Literal():
                return Constant(expression.value)
            case Parameter():
                return ParameterValue(self.context, expression.index)
            case Call():
                special = _SPECIAL.get(expression.name)
                return special(self, expression, depth + 1) if special else self.call(expression, depth + 1)
            case Cast():
                return self.cast(expression, depth + 1)
            case Case():
                return self.case(expression, depth + 1)
            case Subquery():
                return self.subquery(expression, depth + 1)
        raise FeatureNotSupported(f"{type(expression).__name__} cannot be evaluated for a row")

    def all(self, expressions: Iterable[Expression], depth: int) -> list[RowExpression]:
        return [self.compile(expression, depth) for expression in expressions]

    # ---- functions

    def call(self, call: Call, depth: int) -> RowExpression:
        arguments = self.all(call.arguments, depth)
        overload = registry.resolve(call.name, [argument.type for argument in call.arguments]).overload
        made = FunctionValue(overload.python, arguments, overload.is_strict)
        return _folded(made) if overload.volatility is Volatility.IMMUTABLE and all(map(_is_constant, arguments)) \
            else made

    def compare(self, call: Call, depth: int) -> RowExpression:
        left, right = call.arguments
        arguments = self.all(call.arguments, depth)
        if any(isinstance(argument, Constant) and argument.constant is None for argument in arguments):
            return Constant(None)
        made: RowExpression
        if coercion.same_shape(coercion.without_parameters(left.type), coercion.without_parameters(right.type)) and (
                is_plain(left.type)):
            made = Comparison(call.name, *arguments)
        else:
            made = FunctionValue(comparison(call.name, left.type, right.type), arguments, True)
        return _folded(made) if all(map(_is_constant, arguments)) else made

    def cast(self, cast: Cast, depth: int) -> RowExpression:
        argument = self.compile(cast.argument, depth)
        function = casts.caster(cast.argument.type, cast.type, cast.is_explicit)
        made = FunctionValue(function, [argument], True)
        return _folded(made) if _is_constant(argument) and is_immutable_cast(cast.argument.type, cast.type) else made

    # ---- what evaluates only what it must

    def case(self, case: Case, depth: int) -> RowExpression:
        return CaseValue([(self.compile(condition, depth), self.compile(value, depth))
                          for condition, value in case.branches], self.compile(case.default, depth))

    def coalesce(self, call: Call, depth: int) -> RowExpression:
        return Coalesce(self.all(call.arguments, depth))

    def connective(self, call: Call, depth: int) -> RowExpression:
        """"and", "or": a chain of them is one level."""
        decisive = call.name == "or"
        arguments = self.all(_chain(call), depth)
        first = arguments[0]
        return first if isinstance(first, Constant) and first.constant is decisive else Connective(arguments, decisive)

    def negation(self, call: Call, depth: int) -> RowExpression:
        return Negation(self.compile(call.arguments[0], depth))

    def null_test(self, call: Call, depth: int) -> RowExpression:
        return NullTest(self.compile(call.arguments[0], depth), call.name == "is null")

    def distinct(self, call: Call, depth: int) -> RowExpression:
        equal = comparison("=", *(argument.type for argument in call.arguments))
        left, right = self.all(call.arguments, depth)
        return DistinctTest(equal, left, right, call.name == "is distinct from")

    def membership(self, call: Call, depth: int) -> RowExpression:
        first, *others = call.arguments
        argument, *items = self.all(call.arguments, depth)
        constants = [item.constant for item in items if isinstance(item, Constant)]
        kinds = {other.type.kind for other, item in zip(others, items, strict=True)
                 if not isinstance(item, Constant) or item.constant is not None}
        if len(constants) == len(items) and kinds <= {first.type.kind} and is_plain(first.type):
            return SetMembership(argument, constants) if items else Constant(False)
        return Membership(argument, [(comparison("=", first.type, other.type), item)
                                     for other, item in zip(others, items, strict=True)])

    def between(self, call: Call, depth: int) -> RowExpression:
        argument, low, high = self.all(call.arguments, depth)
        types = [expression.type for expression in call.arguments]
        return BetweenTest(argument, low, high, comparison(">=", types[0], types[1]),
                           comparison("<=", types[0], types[2]))

    # ---- subqueries

    def subquery(self, subquery: Subquery, depth: int) -> RowExpression:
        if self.context.subquery is None:
            raise FeatureNotSupported("a subquery cannot stand here")
        rows = self.context.subquery(subquery, self.columns)
        match subquery.kind:
            case SubqueryKind.SCALAR:
                return RowFunction(lambda outer: _only_value(rows(outer)))
            case SubqueryKind.EXISTS:
                return RowFunction(lambda outer: next(iter(rows(outer)), None) is not None)
            case SubqueryKind.ARRAY:
                return RowFunction(lambda outer: [row[0] for row in rows(outer)])
        left = self.all(subquery.left, depth)
        compare = _row_comparison(subquery)
        decisive = subquery.kind is SubqueryKind.ANY

        def quantified(outer: Row) -> bool | None:
            given = [evaluate(outer) for evaluate in left]
            result: bool | None = not decisive
            for row in rows(outer):
                value = compare(given, row)
                if value is decisive:
                    return decisive
                if value is None:
                    result = None
            return result
        return RowFunction(quantified)


_SPECIAL: dict[str, Callable[[_Compiler, Call, int], RowExpression]] = {
    **dict.fromkeys(_COMPARISONS, _Compiler.compare),
    "and": _Compiler.connective, "or": _Compiler.connective, "not": _Compiler.negation,
    "is null": _Compiler.null_test, "is not null": _Compiler.null_test,
    "is distinct from": _Compiler.distinct, "is not distinct from": _Compiler.distinct,
    "in": _Compiler.membership, "between": _Compiler.between, "coalesce": _Compiler.coalesce,
}


_MOMENTS = frozenset({Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ})


def is_immutable_cast(source: Type, target: Type) -> bool:
    """Not so: what depends on the time zone, or reads a text that may be "now"."""
    kinds = [_element(source).kind, _element(target).kind]
    if kinds[0] is Kind.TEXT and kinds[1] in _MOMENTS:
        return False
    return kinds[0] is kinds[1] or Kind.TIMESTAMPTZ not in kinds


def _element(type_: Type) -> Type:
    return type_ if type_.element is None else _element(type_.element)


def _chain(call: Call) -> list[Expression]:
    """The terms of a AND (b AND c) AND ..., in order, without recursion: such chains may be long."""
    found: list[Expression] = []
    waiting = list(reversed(call.arguments))
    while waiting:
        term = waiting.pop()
        if isinstance(term, Call) and term.name == call.name:
            waiting.extend(reversed(term.arguments))
        else:
            found.append(term)
    return found


def _only_value(rows: Iterable[Row]) -> Value:
    found: Value = None
    for number, row in enumerate(rows):
        if number:
            raise CardinalityViolation("more than one row returned by a subquery used as an expression")
        found = row[0]
    return found


def _row_comparison(subquery: Subquery) -> Callable[[Row, Row], bool | None]:
    """(left, right) -> whether they compare so; rows of several values as SQL has it: "=" by each value, "<" by the
    first that differs."""
    pairs = [(left.type, right.type) for left, right in zip(subquery.left, subquery.outputs, strict=True)]
    name = subquery.operator
    if len(pairs) == 1:
        compare = comparison(name, *pairs[0])

        def single(left: Row, right: Row) -> bool | None:
            return None if left[0] is None or right[0] is None else bool(compare(left[0], right[0]))
        return single
    equals = [comparison("=", *types) for types in pairs]
    if name in ("=", "<>"):
        is_wanted = name == "="

        def equality(left: Row, right: Row) -> bool | None:
            result: bool | None = is_wanted
            for equal, first, second in zip(equals, left, right, strict=True):
                if first is None or second is None:
                    result = None
                elif not equal(first, second):
                    return not is_wanted
            return result
        return equality
    before = [comparison(name[0], *types) for types in pairs]

    def order(left: Row, right: Row) -> bool | None:
        for equal, precedes, first, second in zip(equals, before, left, right, strict=True):
            if first is None or second is None:
                return None
            if not equal(first, second):
                return bool(precedes(first, second))
        return len(name) == 2
    return order
