"""Expressions over rows: three-valued logic, what is evaluated and what is not, constants, nesting."""
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from phantomdb.core.query import evaluate
from phantomdb.core.query.errors import (
    CardinalityViolation, DivisionByZero, FeatureNotSupported, InvalidTextRepresentation, StatementTooComplex,
)
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression
from phantomdb.core.query.functions import registry
from phantomdb.core.query.functions.registry import FunctionKind, Overload, Volatility
from phantomdb.core.query.plan import (
    FALSE, TRUE, AggregateCall, Call, Case, Cast, Column, Expression, Literal, Parameter, Subquery, SubqueryKind,
    Values,
)
from phantomdb.core.values import BOOL, DOUBLE, INT, NUMERIC, TEXT, Type, char

UNKNOWN = Literal(BOOL, None)
TRUTHS = [True, False, None]
MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def value(expression: Expression, row: Sequence[Any] = (), **context: Any) -> Any:
    """Of an expression over columns 1, 2, ..., which stand at 0, 1, ... of the row."""
    columns = {position + 1: position for position in range(len(row))}
    return compile_expression(expression, columns, EvaluationContext(**context))(row)


def of(item: Any, type_: Type = INT) -> Literal:
    return Literal(type_, item)


def col(number: int, type_: Type = INT) -> Column:
    return Column(type_, number)


def call(name: str, *arguments: Expression, type_: Type = BOOL) -> Call:
    return Call(type_, name, arguments)


BOOM = call("=", call("/", of(1), of(0), type_=INT), of(1))


def both(a: Any, b: Any) -> Any:
    return False if a is False or b is False else None if a is None or b is None else True


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_and_or_not(count: int) -> None:
    for row in itertools.product(TRUTHS, repeat=count):
        columns = [col(number + 1, BOOL) for number in range(count)]
        wanted = True
        for item in row:
            wanted = both(wanted, item)
        assert value(call("and", *columns), row) is wanted
        inverse = [None if item is None else not item for item in row]
        assert value(call("or", *columns), inverse) is (None if wanted is None else not wanted)
    assert [value(call("not", col(1, BOOL)), [item]) for item in TRUTHS] == [False, True, None]


def test_only_what_must_be_is_evaluated() -> None:
    assert value(call("and", FALSE, BOOM)) is False
    assert value(call("and", col(1, BOOL), BOOM), [False]) is False
    assert value(call("or", col(1, BOOL), TRUE, BOOM), [None]) is True
    assert value(call("coalesce", col(1), of(2), call("/", of(1), of(0), type_=INT), type_=INT), [None]) == 2
    case = Case(INT, ((call("=", col(1), of(0)), of(0)), (UNKNOWN, of(9))), call("/", of(1), col(1), type_=INT))
    assert [value(case, [item]) for item in (0, 1, None)] == [0, 1, None]
    assert value(Case(INT, ((FALSE, call("/", of(1), of(0), type_=INT)),), of(5))) == 5
    for expression in (call("and", TRUE, BOOM), call("or", FALSE, BOOM), call("and", UNKNOWN, BOOM), BOOM):
        compiled = compile_expression(expression, {}, EvaluationContext())        # it raises when it is reached
        with pytest.raises(DivisionByZero):
            compiled(())


@pytest.mark.parametrize(("name", "truths"), [
    ("=", [False, True, False]), ("<>", [True, False, True]), ("<", [True, False, False]), ("<=", [True, True, False]),
    (">", [False, False, True]), (">=", [False, True, True])])
def test_comparisons(name: str, truths: list[bool]) -> None:
    for type_, items in ((INT, (1, 2, 3)), (TEXT, ("a", "b", "c")),
                         (NUMERIC, (Decimal(1), Decimal("2.0"), Decimal("NaN"))), (DOUBLE, (1.0, 2.0, float("nan")))):
        for item, truth in zip(items, truths, strict=True):
            middle = Decimal(2) if type_ is NUMERIC else items[1]
            left, right = col(1, type_), of(middle, type_)
            assert value(call(name, left, right), [item]) is truth
            assert value(call(MIRRORED[name], right, left), [item]) is truth
            assert value(call(name, left, col(2, type_)), [item, middle]) is truth
            assert value(call(name, of(item, type_), right)) is truth
        for row in ([None, items[0]], [items[0], None]):
            assert value(call(name, col(1, type_), col(2, type_)), row) is None
        assert value(call(name, col(1, type_), of(None, type_)), [items[0]]) is None
        assert value(call(name, col(1, type_), of(items[0], type_)), [None]) is None


def test_nan_equals_itself_and_blanks_do_not_count() -> None:
    assert value(call("=", col(1, DOUBLE), col(2, DOUBLE)), [float("nan"), float("nan")]) is True
    assert value(call("=", col(1, char(5)), col(2, char(3))), ["a    ", "a  "]) is True


def test_tests_for_null() -> None:
    assert [value(call("is null", col(1)), [item]) for item in (None, 0)] == [True, False]
    assert [value(call("is not null", col(1)), [item]) for item in (None, 0)] == [False, True]
    pairs = [(None, None, False), (None, 1, True), (1, None, True), (1, 1, False), (1, 2, True)]
    for left, right, truth in pairs:
        assert value(call("is distinct from", col(1), col(2)), [left, right]) is truth
        assert value(call("is not distinct from", col(1), col(2)), [left, right]) is not truth


def contains(item: Any, items: Sequence[Any]) -> Any:
    if not items:
        return False
    if item is None:
        return None
    return True if item in [i for i in items if i is not None] else None if None in items else False


def test_in() -> None:
    for items in ([1, 2], [1, None], [None]):
        for item in (1, 2, 3, None):
            wanted = contains(item, items)
            assert value(call("in", col(1), *map(of, items)), [item]) is wanted
            rest = [col(number + 2) for number in range(len(items))]
            assert value(call("in", col(1), *rest), [item, *items]) is wanted
    assert value(call("in", col(1)), [None]) is False
    assert value(call("in", col(1, NUMERIC), of(Decimal("1.0"), NUMERIC)), [Decimal(1)]) is True


def test_between() -> None:
    for item, low, high in itertools.product((None, 1, 2, 3), repeat=3):
        wanted = both(None if item is None or low is None else item >= low,
                      None if item is None or high is None else item <= high)
        assert value(call("between", col(1), col(2), col(3)), [item, low, high]) is wanted


def test_strict_functions_never_see_null() -> None:
    for row in ([None, 1], [1, None]):
        assert value(call("+", col(1), col(2), type_=INT), row) is None
    assert value(call("+", col(1), col(2), type_=INT), [3, 4]) == 7
    assert value(call("greatest", col(1), col(2), type_=INT), [None, 4]) == 4


# ---- constants

@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Registers a function that notes what it is called with."""
    def register(name: str, volatility: Volatility) -> list[Any]:
        calls: list[Any] = []

        def function(argument: Any) -> Any:
            calls.append(argument)
            return argument
        registry.overloads(name)
        monkeypatch.setitem(registry._OVERLOADS, name, [
            Overload(name, FunctionKind.SCALAR, (INT,), INT, function, volatility=volatility)])
        return calls
    return register


@pytest.mark.parametrize(("volatility", "times"), [(Volatility.IMMUTABLE, 1), (Volatility.STABLE, 3),
                                                   (Volatility.VOLATILE, 3)])
def test_constants_are_computed_once(counted: Callable[..., list[Any]], volatility: Volatility, times: int) -> None:
    calls = counted("test_once", volatility)
    inner = call("test_once", of(5), type_=INT)
    compiled = compile_expression(call("+", col(1), inner, type_=INT), {1: 0}, EvaluationContext())
    assert [compiled((number,)) for number in range(3)] == [5, 6, 7]
    assert len(calls) == times


def test_parameters_may_be_exchanged(counted: Callable[..., list[Any]]) -> None:
    calls = counted("test_once", Volatility.IMMUTABLE)
    context = EvaluationContext([1, None])
    compiled = compile_expression(call("test_once", Parameter(INT, 0), type_=INT), {}, context)
    assert compiled(()) == 1
    context.parameters = [2]
    assert compiled(()) == 2
    assert calls == [1, 2]


def test_casts() -> None:
    assert value(Cast(INT, col(1, TEXT)), ["12"]) == 12
    assert value(Cast(INT, col(1, TEXT)), [None]) is None
    wrong = compile_expression(Cast(INT, of("x", TEXT)), {}, EvaluationContext())
    with pytest.raises(InvalidTextRepresentation):
        wrong(())


# ---- subqueries

def plan_of(kind: SubqueryKind, *left: Expression, operator: str = "", width: int = 1) -> Subquery:
    outputs = tuple(col(100 + number) for number in range(width))
    return Subquery(BOOL, kind, Values((), ((),)), outputs, operator, left)


def hook(rows: Iterable[Sequence[Any]]) -> Any:
    def subquery(_subquery: Subquery, columns: Mapping[int, int]) -> Callable[[Sequence[Any]], Iterable[Sequence[Any]]]:
        assert columns
        return lambda outer: rows
    return subquery


def test_scalar_subqueries() -> None:
    for rows, wanted in (([], None), ([(3,)], 3), ([(None,)], None)):
        assert value(plan_of(SubqueryKind.SCALAR), [0], subquery=hook(rows)) is wanted
    with pytest.raises(CardinalityViolation, match="more than one row returned by a subquery"):
        value(plan_of(SubqueryKind.SCALAR), [0], subquery=hook([(1,), (1,)]))
    assert value(plan_of(SubqueryKind.ARRAY), [0], subquery=hook([(1,), (None,)])) == [1, None]
    assert value(plan_of(SubqueryKind.EXISTS), [0], subquery=hook([(None,)])) is True
    assert value(plan_of(SubqueryKind.EXISTS), [0], subquery=hook([])) is False
    with pytest.raises(FeatureNotSupported):
        value(plan_of(SubqueryKind.EXISTS), [0])


@pytest.mark.parametrize("kind", [SubqueryKind.ANY, SubqueryKind.ALL])
def test_any_and_all(kind: SubqueryKind) -> None:
    for name in ("=", "<>", "<", "<=", ">", ">="):
        compare = evaluate._COMPARISONS[name]
        for rows in ([], [1], [None], [1, None], [1, 2], [2, None, 3]):
            for item in (None, 1, 2):
                truths = [None if item is None or other is None else compare(item, other) for other in rows]
                decisive = kind is SubqueryKind.ANY
                wanted = decisive if decisive in truths else None if None in truths else not decisive
                found = value(plan_of(kind, col(1), operator=name), [item], subquery=hook([(row,) for row in rows]))
                assert found is wanted, (name, item, rows)


@pytest.mark.parametrize(("operator", "left", "right", "wanted"), [
    ("=", (1, 2), (1, 2), True), ("=", (1, None), (1, 2), None), ("=", (1, None), (2, 2), False),
    ("<>", (1, None), (2, 2), True), ("<>", (1, None), (1, 2), None), ("<>", (1, 2), (1, 2), False),
    ("<", (1, 9), (2, 0), True), ("<", (1, 9), (1, 9), False), ("<=", (1, 9), (1, 9), True),
    ("<", (1, None), (2, 0), True), ("<", (1, None), (1, 0), None), (">", (None, 1), (0, 0), None),
    (">=", (2, 1), (2, 2), False)])
def test_rows_of_several_values(operator: str, left: Any, right: Any, wanted: Any) -> None:
    subquery = plan_of(SubqueryKind.ANY, col(1), col(2), operator=operator, width=2)
    assert value(subquery, left, subquery=hook([right])) is wanted


# ---- limits

def nested(depth: int) -> Expression:
    found: Expression = col(1, BOOL)
    for _ in range(depth):
        found = call("not", found)
    return found


def test_nesting_has_a_limit() -> None:
    assert value(nested(evaluate.MAX_NESTING), [True]) is True
    for depth in (evaluate.MAX_NESTING + 1, 100_000):
        with pytest.raises(StatementTooComplex):
            value(nested(depth), [True])


def test_long_chains_are_not_nested() -> None:
    found: Expression = call("=", col(1), of(0))
    for number in range(1, 5000):
        found = call("or", found, call("=", col(1), of(number)))
    assert [value(found, [item]) for item in (4999, 5000, None)] == [True, False, None]


def test_no_recursion_error_for_a_caller_deep_down() -> None:
    def deeper(levels: int) -> Any:
        return deeper(levels - 1) if levels else value(nested(150), [True])
    import sys
    used = len(__import__("inspect").stack())
    with pytest.raises(StatementTooComplex):
        deeper(sys.getrecursionlimit() - used - 60)


def test_what_is_no_scalar_expression() -> None:
    with pytest.raises(FeatureNotSupported, match="AggregateCall"):
        value(AggregateCall(INT, "count", ()))
