"""Expressions of the plan as Python functions of a row: what the row executor, constraints and indexes call.

    c2 > 5 AND lower(c3) = 'a'   ->   row -> True, False or None

A plan's expression becomes a tree of closures once; for each row only they run. Whatever does not depend on the row
is done when the tree is made: functions are chosen, positions looked up, constant sub-expressions computed. A constant
that raises (1/0) raises only when it is reached, so a CASE protects its branches.

NULL is None. Strict functions yield it when an argument is; "and", "or", "in" and comparisons with subqueries know
three values. CASE, COALESCE, "and" and "or" evaluate only what they must, from left to right.
"""
from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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
    compiled once runs with others."""

    parameters: Sequence[Value] = ()
    subquery: SubqueryHook | None = None


def compile_expression(expression: Expression, columns: Mapping[int, int], context: EvaluationContext) -> Evaluator:
    """A function that computes `expression` for a row. `columns`: position in the row of each column, by its id.

    Errors: StatementTooComplex beyond MAX_NESTING levels; FeatureNotSupported for a subquery without a hook. The
    function raises what the expression's functions raise, and CardinalityViolation for a scalar subquery of many rows.
    """
    try:
        return _Compiler(columns, context).compile(expression, 0).evaluate
    except RecursionError:           # the caller stood deep already
        raise StatementTooComplex from None


class _Code(NamedTuple):
    """A compiled expression. `constant`: it yields `value`, whatever the row."""

    evaluate: Evaluator
    is_constant: bool = False
    value: Any = None


def _constant(value: Any) -> _Code:
    return _Code(lambda row: value, True, value)


def _folded(code: _Code) -> _Code:
    """`code`, which depends on no row, computed now; one that raises stays as it is."""
    try:
        return _constant(code.evaluate(()))
    except (QueryError, MemoryError):
        return code


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


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

    def compile(self, expression: Expression, depth: int) -> _Code:
        if depth > MAX_NESTING:
            raise StatementTooComplex(f"an expression is nested more than {MAX_NESTING} levels deep")
        match expression:
            case Column():
                return _Code(operator.itemgetter(self.columns[expression.id]))
            case Literal():
                return _constant(expression.value)
            case Parameter():
                context, index = self.context, expression.index
                return _Code(lambda row: context.parameters[index])
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

    def all(self, expressions: Iterable[Expression], depth: int) -> list[_Code]:
        return [self.compile(expression, depth) for expression in expressions]

    # ---- functions

    def call(self, call: Call, depth: int) -> _Code:
        codes = self.all(call.arguments, depth)
        overload = registry.resolve(call.name, [argument.type for argument in call.arguments]).overload
        code = _Code(_applied(overload.python, [code.evaluate for code in codes], overload.is_strict))
        if overload.volatility is Volatility.IMMUTABLE and all(code.is_constant for code in codes):
            return _folded(code)
        return code

    def compare(self, call: Call, depth: int) -> _Code:
        left, right = call.arguments
        function = comparison(call.name, left.type, right.type)
        first, second = self.compile(left, depth), self.compile(right, depth)
        if first.is_constant and second.is_constant:
            return _folded(_Code(_applied(function, [first.evaluate, second.evaluate], True)))
        if first.is_constant:        # 5 < x is x > 5
            left, right, first, second = right, left, second, first
            function = comparison(_MIRRORED[call.name], left.type, right.type)
        if second.is_constant:
            if second.value is None:
                return _constant(None)
            return self.compare_constant(left, first, function, second.value)
        return _Code(_applied(function, [first.evaluate, second.evaluate], True))

    def compare_constant(self, left: Expression, code: _Code, function: Callable[[Any, Any], Any],
                         constant: Any) -> _Code:
        if isinstance(left, Column):
            position = self.columns[left.id]

            def compare_column(row: Row) -> Any:
                value = row[position]
                return None if value is None else function(value, constant)
            return _Code(compare_column)
        evaluate = code.evaluate

        def compare(row: Row) -> Any:
            value = evaluate(row)
            return None if value is None else function(value, constant)
        return _Code(compare)

    def cast(self, cast: Cast, depth: int) -> _Code:
        code = self.compile(cast.argument, depth)
        function = casts.caster(cast.argument.type, cast.type, cast.is_explicit)
        result = _Code(_applied(function, [code.evaluate], True))
        if code.is_constant and is_immutable_cast(cast.argument.type, cast.type):
            return _folded(result)
        return result

    # ---- what evaluates only what it must

    def case(self, case: Case, depth: int) -> _Code:
        branches = [(self.compile(condition, depth).evaluate, self.compile(value, depth).evaluate)
                    for condition, value in case.branches]
        default = self.compile(case.default, depth).evaluate

        def evaluate(row: Row) -> Any:
            for condition, value in branches:
                if condition(row) is True:
                    return value(row)
            return default(row)
        return _Code(evaluate)

    def coalesce(self, call: Call, depth: int) -> _Code:
        arguments = [code.evaluate for code in self.all(call.arguments, depth)]

        def evaluate(row: Row) -> Any:
            for argument in arguments:
                if (value := argument(row)) is not None:
                    return value
            return None
        return _Code(evaluate)

    def connective(self, call: Call, depth: int) -> _Code:
        """"and", "or": a chain of them is one level."""
        decisive = call.name == "or"
        codes = self.all(_chain(call), depth)
        if any(code.is_constant and code.value is decisive for code in codes[:1]):
            return _constant(decisive)
        if len(codes) == 2:
            return _Code(_pair(codes[0].evaluate, codes[1].evaluate, decisive))
        arguments = [code.evaluate for code in codes]

        def evaluate(row: Row) -> Any:
            result: bool | None = not decisive
            for argument in arguments:
                value = argument(row)
                if value is decisive:
                    return decisive
                if value is None:
                    result = None
            return result
        return _Code(evaluate)

    def negation(self, call: Call, depth: int) -> _Code:
        argument = self.compile(call.arguments[0], depth)
        return _Code(_applied(operator.not_, [argument.evaluate], True))

    def null_test(self, call: Call, depth: int) -> _Code:
        is_wanted = call.name == "is null"
        evaluate = self.compile(call.arguments[0], depth).evaluate
        return _Code(lambda row: (evaluate(row) is None) is is_wanted)

    def distinct(self, call: Call, depth: int) -> _Code:
        left, right = (code.evaluate for code in self.all(call.arguments, depth))
        equal = comparison("=", *(argument.type for argument in call.arguments))
        is_wanted = call.name == "is distinct from"

        def evaluate(row: Row) -> bool:
            first, second = left(row), right(row)
            if first is None or second is None:
                return (first is not second) is is_wanted
            return bool(equal(first, second)) is not is_wanted
        return _Code(evaluate)

    def membership(self, call: Call, depth: int) -> _Code:
        first, *others = call.arguments
        codes = self.all(call.arguments, depth)
        evaluate, items = codes[0].evaluate, codes[1:]
        kinds = {argument.type.kind for argument, code in zip(others, items, strict=True) if code.value is not None}
        if all(code.is_constant for code in items) and kinds <= {first.type.kind} and is_plain(first.type):
            return _Code(_in_set(evaluate, [code.value for code in items]))
        tests = [(comparison("=", first.type, other.type), code.evaluate)
                 for other, code in zip(others, items, strict=True)]

        def contains(row: Row) -> bool | None:
            value = evaluate(row)
            if value is None:
                return None if tests else False
            result: bool | None = False
            for equal, item in tests:
                other = item(row)
                if other is None:
                    result = None
                elif equal(value, other):
                    return True
            return result
        return _Code(contains)

    def between(self, call: Call, depth: int) -> _Code:
        value, low, high = call.arguments
        evaluate, least, most = (code.evaluate for code in self.all(call.arguments, depth))
        not_less, not_more = comparison(">=", value.type, low.type), comparison("<=", value.type, high.type)

        def within(row: Row) -> bool | None:
            given, start, stop = evaluate(row), least(row), most(row)
            if given is None:
                return None
            above = None if start is None else not_less(given, start)
            if above is False:
                return False
            below = None if stop is None else not_more(given, stop)
            return False if below is False else None if above is None or below is None else True
        return _Code(within)

    # ---- subqueries

    def subquery(self, subquery: Subquery, depth: int) -> _Code:
        if self.context.subquery is None:
            raise FeatureNotSupported("a subquery cannot stand here")
        rows = self.context.subquery(subquery, self.columns)
        match subquery.kind:
            case SubqueryKind.SCALAR:
                return _Code(lambda outer: _only_value(rows(outer)))
            case SubqueryKind.EXISTS:
                return _Code(lambda outer: next(iter(rows(outer)), None) is not None)
            case SubqueryKind.ARRAY:
                return _Code(lambda outer: [row[0] for row in rows(outer)])
        left = [code.evaluate for code in self.all(subquery.left, depth)]
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
        return _Code(quantified)


_SPECIAL: dict[str, Callable[[_Compiler, Call, int], _Code]] = {
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


def _pair(left: Evaluator, right: Evaluator, decisive: bool) -> Evaluator:
    def both(row: Row) -> Any:
        first = left(row)
        if first is decisive:
            return decisive
        second = right(row)
        return None if first is None and second is not decisive else second
    return both


def _applied(function: Callable[..., Any], arguments: list[Evaluator], is_strict: bool) -> Evaluator:
    """`function` over the values of `arguments`; strict: NULL when one of them is."""
    if not is_strict:
        return lambda row: function(*[argument(row) for argument in arguments])
    if len(arguments) == 1:
        only = arguments[0]

        def unary(row: Row) -> Any:
            value = only(row)
            return None if value is None else function(value)
        return unary
    if len(arguments) == 2:
        left, right = arguments

        def binary(row: Row) -> Any:
            first, second = left(row), right(row)
            return None if first is None or second is None else function(first, second)
        return binary

    def many(row: Row) -> Any:
        values = [argument(row) for argument in arguments]
        for value in values:
            if value is None:
                return None
        return function(*values)
    return many


def _in_set(evaluate: Evaluator, items: Sequence[Any]) -> Evaluator:
    members = frozenset(item for item in items if item is not None)
    otherwise = None if None in items else False
    if not items:
        return lambda row: False

    def contains(row: Row) -> bool | None:
        value = evaluate(row)
        return None if value is None else True if value in members else otherwise
    return contains


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
