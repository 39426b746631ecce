"""Plans run by DuckDB: each node and kind of expression, on values that tell right from nearly right."""
from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import plans
import pytest
from plans import (
    DUAL,
    MemorySource,
    aggregate_call,
    call,
    column,
    columns,
    down,
    items,
    null,
    outputs,
    project,
    query,
    up,
    value,
    values,
    window_call,
)

from phantomdb.core.query import plan as p
from phantomdb.core.query.errors import (
    CardinalityViolation,
    DivisionByZero,
    FeatureNotSupported,
    InvalidParameterValue,
    NumericValueOutOfRange,
    StatementTooComplex,
)
from phantomdb.core.query.vector import VectorExecutor
from phantomdb.core.values import (
    BIGINT,
    BOOL,
    BYTES,
    DATE,
    DOUBLE,
    INT,
    INTERVAL,
    JSON,
    JSON_NULL,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID_TYPE,
    Interval,
    Type,
    array,
    decimal,
    varchar,
)

N = None
Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def executor() -> Iterator[VectorExecutor]:
    made = plans.executor()
    yield made
    made.close()


class Runner:
    def __init__(self, executor: VectorExecutor) -> None:
        self.executor, self.source = executor, MemorySource()

    def __call__(self, node: p.Node, *wanted: p.Column, parameters: tuple[Any, ...] = ()) -> Rows:
        return self.executor.run(query(node, *wanted), parameters, self.source).fetchall()

    def sorted(self, node: p.Node, *wanted: p.Column) -> Rows:
        return sorted(self(node, *wanted), key=lambda row: [(item is None, item) for item in row])

    def one(self, expression: Any, *, parameters: tuple[Any, ...] = ()) -> Any:
        [(found,)] = self(project(DUAL, expression), parameters=parameters)
        return found


@pytest.fixture
def run(executor: VectorExecutor) -> Runner:
    return Runner(executor)


def numbers(run: Runner, *given: int | None) -> tuple[p.Scan, p.Column]:
    scan = run.source.add(INT, rows=[(number,) for number in given])
    return scan, outputs(scan)[0]


# -------------------------------------------------------------------- literals and parameters

UTC = datetime.UTC
SAMPLES: list[tuple[Type, Any]] = [
    (BOOL, True), (BOOL, False), (SMALLINT, -32768), (INT, 2147483647), (BIGINT, -9223372036854775808),
    (DOUBLE, 0.1), (DOUBLE, -1.7976931348623157e308), (DOUBLE, 5e-324), (DOUBLE, math.inf), (DOUBLE, -math.inf),
    (REAL, 1.5), (decimal(5, 2), Decimal("-1.50")), (decimal(38, 0), Decimal(10 ** 37)),
    (NUMERIC, Decimal("123456789012345678901234.567")), (NUMERIC, Decimal("1E+3")), (NUMERIC, Decimal("1E-20")),
    (TEXT, "it's \\ \"x\" $1 {0} \0 -- \U0001f600"), (TEXT, ""), (varchar(5), "abc"), (BYTES, b"\0\xff'"),
    (BYTES, b""), (DATE, datetime.date(1, 1, 1)), (DATE, datetime.date(9999, 12, 31)),
    (TIME, datetime.time(23, 59, 59, 999999)), (TIMESTAMP, datetime.datetime(1969, 12, 31, 23, 59, 59, 1)),
    (TIMESTAMPTZ, datetime.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)),
    (TIMESTAMPTZ, datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=-8)))),
    (INTERVAL, Interval(-14, 3, -1)), (INTERVAL, Interval()), (UUID_TYPE, UUID(int=255)),
    (JSON, {"a": [1, None, "x'y"], "b": {"c": Decimal("1.50")}}), (JSON, JSON_NULL), (JSON, "text"),
    (array(INT), [1, None, 3]), (array(INT), []), (array(TEXT), ["a'b", None]), (array(array(INT)), [[1], [2, 3]]),
    (array(UUID_TYPE), [UUID(int=1)]), (array(TIMESTAMPTZ), [datetime.datetime(2024, 1, 1, tzinfo=UTC)]),
]


@pytest.mark.parametrize("type_, given", SAMPLES)
def test_values_come_back_as_they_went(run: Runner, type_: Type, given: Any) -> None:
    for found in (run.one(p.Literal(type_, given)), run.one(p.Parameter(type_, 0), parameters=(given,))):
        assert found == given and type(found) is type(given)
        if isinstance(given, datetime.datetime):
            assert found.tzinfo is (UTC if type_ is TIMESTAMPTZ else None)


@pytest.mark.parametrize("type_", sorted({type_ for type_, _ in SAMPLES}, key=str))
def test_null_has_its_type(run: Runner, type_: Type) -> None:
    result = run.executor.run(query(project(DUAL, null(type_))), (), run.source)
    assert result.fetchall() == [(None,)]
    assert run.one(p.Parameter(type_, 0), parameters=(None,)) is None


def test_nan(run: Runner) -> None:
    assert math.isnan(run.one(p.Literal(DOUBLE, math.nan)))
    assert math.isnan(run.one(p.Parameter(REAL, 0), parameters=(math.nan,)))


def test_a_parameter_cannot_break_out(run: Runner) -> None:
    evil = "'); DROP TABLE scan_0; --"
    scan = run.source.add(TEXT, rows=[(evil,), ("x",)])
    assert run(p.Filter(scan, call("=", outputs(scan)[0], p.Parameter(TEXT, 0))), parameters=(evil,)) == [(evil,)]
    assert run(p.Filter(scan, call("=", outputs(scan)[0], evil))) == [(evil,)]


@pytest.mark.parametrize("given", [Decimal("NaN"), Decimal("Infinity"), Decimal(10 ** 38), Decimal("1E-39")])
def test_decimals_that_do_not_fit_are_refused(run: Runner, given: Decimal) -> None:
    with pytest.raises(NumericValueOutOfRange):
        run.one(p.Literal(NUMERIC, given))


# -------------------------------------------------------------------- expressions

def test_three_values_of_truth(run: Runner) -> None:
    n = null(BOOL)
    assert run.one(call("and", n, False)) is False
    assert run.one(call("or", n, True)) is True
    assert run.one(call("not", n)) is None
    scan = run.source.add(BOOL, rows=[(True,), (False,), (None,)])
    [c] = outputs(scan)
    found = run(project(scan, call("and", c, n), call("or", c, n), call("not", c), call("is null", c),
                        call("is not null", c)))
    assert found == [(N, True, False, False, True), (False, N, True, False, True), (N, N, N, True, False)]


def test_case_protects_its_branches(run: Runner) -> None:
    scan, c = numbers(run, 0, 2)
    case = p.Case(INT, ((call("<>", c, 0), call("/", 10, c)),), null())
    assert run(project(scan, case)) == [(None,), (5,)]
    assert run.one(p.Case(INT, ((value(False), call("/", 1, 0)),), value(7))) == 7
    with pytest.raises(DivisionByZero):
        run(project(scan, call("/", 10, c)))


def test_a_constant_that_raises_raises_when_it_is_reached(run: Runner) -> None:
    scan, c = numbers(run)
    assert run(project(scan, call("/", 1, 0))) == []
    with pytest.raises(DivisionByZero):
        run.one(call("/", 1, 0))


def test_a_long_chain_of_conditions_is_one_level(run: Runner) -> None:
    scan, c = numbers(run, *range(10))
    condition: p.Expression = call("=", c, 0)
    for number in range(1, 3000):
        condition = p.Call(BOOL, "or", (condition, call("=", c, number * 2)))
    assert run.sorted(p.Filter(scan, condition)) == [(0,), (2,), (4,), (6,), (8,)]


def test_nesting(run: Runner) -> None:
    scan, c = numbers(run, 1)

    def chain(depth: int) -> p.Expression:
        found: p.Expression = c
        for _ in range(depth):
            found = p.Call(INT, "+", (found, value(1)))
        return found
    assert run(project(scan, chain(150))) == [(151,)]
    with pytest.raises(StatementTooComplex):
        run(project(scan, chain(500)))
    node: p.Node = scan
    for _ in range(150):
        node = project(node, call("+", outputs(node)[0], 1))
    assert run(node) == [(151,)]
    for _ in range(3000):
        node = p.Filter(project(node, outputs(node)[0]), call(">", c, 0))
    with pytest.raises(StatementTooComplex):
        run(node, c)


# -------------------------------------------------------------------- simple nodes

def test_values_without_columns_and_without_rows(run: Runner) -> None:
    assert run(project(DUAL, 1)) == [(1,)]
    assert run(project(p.Values((), ((), ())), 1)) == [(1,), (1,)]
    assert run(p.Values(columns(INT, TEXT), ())) == []
    assert run(project(p.Filter(DUAL, value(False)), 1)) == []
    assert run(values((1, "a"), (2, null(TEXT)))) == [(1, "a"), (2, None)]
    assert run(values((1, "a"))) == [(1, "a")]


def test_a_scan_without_columns_has_its_rows(run: Runner) -> None:
    run.source.add(INT, rows=[(1,), (2,), (3,)])
    assert run(p.Aggregate(p.Scan(1, ()), (), items(aggregate_call("count")))) == [(3,)]
    assert run(project(p.Scan(1, ()), "x")) == [("x",)] * 3


def test_sort_and_limit(run: Runner) -> None:
    scan = run.source.add(INT, TEXT, rows=[(2, "b"), (N, "n"), (1, "a"), (2, "a")])
    a, b = outputs(scan)
    assert run(p.Sort(scan, (up(a), down(b)))) == [(1, "a"), (2, "b"), (2, "a"), (N, "n")]
    assert run(p.Sort(scan, (down(a), up(b)))) == [(N, "n"), (2, "a"), (2, "b"), (1, "a")]
    assert run(p.Sort(scan, (up(a, nulls_first=True), up(b))))[0] == (N, "n")
    assert run(p.Limit(p.Sort(scan, (up(b), up(a))), value(2), value(1)), b) == [("a",), ("b",)]
    assert run(p.Limit(p.Sort(scan, (up(b),)), null(BIGINT), p.Parameter(BIGINT, 0)), b, parameters=(3,)) == [("n",)]
    assert run(p.Limit(p.Sort(scan, (up(value(1)), up(b), up(a))), value(1))) == [(1, "a")]
    with pytest.raises(InvalidParameterValue):
        run(p.Limit(scan, p.Parameter(BIGINT, 0)), parameters=(-1,))
    three = p.Subquery(BIGINT, p.SubqueryKind.SCALAR, (one := values((p.Literal(BIGINT, 1),))), outputs(one))
    assert run(p.Limit(p.Sort(scan, (up(b), up(a))), three), a) == [(1,)]


def test_an_order_stays_under_a_projection(run: Runner) -> None:
    scan, c = numbers(run, *[(number * 7919) % 300_007 for number in range(300_007)])
    found = run(project(p.Sort(scan, (up(c),)), call("+", c, 1)))
    assert [row[0] for row in found] == list(range(1, 300_008))


def test_limit_with_ties(run: Runner) -> None:
    scan, c = numbers(run, 1, 2, 2, 3, 3, N)

    def ties(count: int, offset: int = 0) -> list[Any]:
        return [row[0] for row in run(p.Limit(p.Sort(scan, (up(c),)), value(count), value(offset), True), c)]
    assert ties(2) == [1, 2, 2]
    assert ties(1, 1) == [2, 2]
    assert ties(2, 2) == [2, 3, 3]
    assert ties(0, 2) == []              # though a row of the same rank stands before
    assert ties(6) == [1, 2, 2, 3, 3, N]


def test_distinct(run: Runner) -> None:
    scan = run.source.add(INT, INT, rows=[(1, 5), (N, 1), (1, 4), (N, N), (1, 5), (N, 1)])
    a, b = outputs(scan)
    assert run.sorted(p.Distinct(scan, (a, b))) == [(1, 4), (1, 5), (N, 1), (N, N)]
    assert run.sorted(p.Distinct(scan, (a,))) == [(1,), (N,)]
    first = p.Distinct(scan, (a, b), (a,), (up(a), up(b)))
    assert run.sorted(first) == [(1, 4), (N, 1)]
    last = p.Distinct(scan, (b,), (call("is null", a),), (down(b, nulls_first=False),))
    assert run.sorted(last) == [(1,), (5,)]


@pytest.mark.parametrize("kind, is_all, expected", [
    (p.SetKind.UNION, True, [1, 1, 1, 2, 3, N, N]), (p.SetKind.UNION, False, [1, 2, 3, N]),
    (p.SetKind.INTERSECT, True, [1, N]), (p.SetKind.INTERSECT, False, [1, N]),
    (p.SetKind.EXCEPT, True, [1, 2]), (p.SetKind.EXCEPT, False, [2])])
def test_set_operations(run: Runner, kind: p.SetKind, is_all: bool, expected: list[Any]) -> None:
    left, a = numbers(run, 1, 1, 2, N)
    right = run.source.add(TEXT, INT, rows=[("x", 1), ("y", N), ("z", 3)])
    _, b = outputs(right)
    node = p.SetOperation(kind, is_all, left, right, columns(INT), (a,), (b,))
    assert [row[0] for row in run.sorted(node)] == expected


# -------------------------------------------------------------------- aggregates and windows

def test_aggregates(run: Runner) -> None:
    scan = run.source.add(TEXT, INT, rows=[("a", 1), ("a", 2), ("a", 2), ("b", N), (N, 5)])
    k, v = outputs(scan)
    node = p.Aggregate(scan, items(k), items(
        aggregate_call("count"), aggregate_call("count", v), aggregate_call("count", v, distinct=True),
        aggregate_call("sum", v), aggregate_call("sum", v, distinct=True),
        aggregate_call("count", condition=call(">", v, 1))))
    assert run.sorted(node) == [("a", 3, 3, 2, 5, 3, 2), ("b", 1, 0, 0, N, N, 0), (N, 1, 1, 1, 5, 5, 1)]
    ordered = p.Aggregate(scan, (), items(aggregate_call("array_agg", v, order_by=(down(v), up(k))),
                                          aggregate_call("array_agg", v, distinct=True, order_by=(up(v),)),
                                          aggregate_call("string_agg", k, ",", order_by=(up(v), down(k)))))
    assert run(ordered) == [([N, 5, 2, 2, 1], [1, 2, 5, N], "a,a,a,b")]
    empty = p.Filter(scan, value(False))
    assert run(p.Aggregate(empty, (), items(aggregate_call("count"), aggregate_call("sum", v)))) == [(0, N)]
    assert run(p.Aggregate(empty, items(k), items(aggregate_call("count")))) == []
    computed = p.Aggregate(scan, items(call("is null", v), "const"), items(aggregate_call("count")))
    assert run.sorted(computed) == [(False, "const", 4), (True, "const", 1)]


def test_an_aggregate_of_python(run: Runner) -> None:
    plans.register_product()
    scan = run.source.add(INT, INT, rows=[(1, 3), (1, N), (1, 4), (2, N), (1, 4)])
    k, v = outputs(scan)
    node = p.Aggregate(scan, items(k), items(
        aggregate_call("test_product", v), aggregate_call("test_product", v, distinct=True),
        aggregate_call("test_product", v, condition=call("=", v, 3))))
    assert run.sorted(node) == [(1, 48, 12, 3), (2, 1, 1, 1)]
    windowed = p.Window(scan, items(window_call(aggregate_call("test_product", v), partition_by=(k,))))
    assert run.sorted(windowed, windowed.items[0].column) == [(1,), (48,), (48,), (48,), (48,)]


def test_grouping_sets(run: Runner) -> None:
    scan = run.source.add(TEXT, INT, INT, rows=[("a", 1, 10), ("a", 2, 20), (N, 1, 40)])
    k, m, v = outputs(scan)
    keys, g = items(k, m), column(INT)
    node = p.Aggregate(scan, keys, items(aggregate_call("sum", v)), ((0, 1), (0,), ()), ((g, (0, 1)),))
    assert run.sorted(node) == sorted([
        ("a", 1, 10, 0), ("a", 2, 20, 0), (N, 1, 40, 0), ("a", N, 30, 1), (N, N, 40, 1), (N, N, 70, 3)],
        key=lambda row: [(item is None, item) for item in row])
    # a key that no set has, a key that an aggregate reads too, and no rows at all
    node = p.Aggregate(scan, keys, items(aggregate_call("max", k)), ((1,), ()), ((g, (0, 1)),))
    assert run.sorted(node) == [(N, 1, "a", 2), (N, 2, "a", 2), (N, N, "a", 3)]
    twice = p.Aggregate(scan, items(m, m), items(aggregate_call("count")), ((0, 1), (0,)))
    assert run.sorted(twice) == [(1, 1, 2), (1, N, 2), (2, 2, 1), (2, N, 1)]
    empty = p.Filter(scan, value(False))
    assert run(p.Aggregate(empty, keys, items(aggregate_call("count")), ((0, 1), ()))) == [(N, N, 0)]
    assert run(p.Aggregate(empty, (), items(aggregate_call("count")), ((), ()))) == [(0,), (0,)]


def test_windows(run: Runner) -> None:
    scan = run.source.add(TEXT, INT, rows=[("a", 1), ("a", 2), ("a", 2), ("b", 5), ("b", N)])
    k, v = outputs(scan)
    order = (up(v),)
    total = aggregate_call("sum", v)
    node = p.Window(scan, items(
        window_call(aggregate_call("row_number"), order_by=(up(k), up(v))),
        window_call(aggregate_call("rank"), partition_by=(k,), order_by=order),
        window_call(total, partition_by=(k,), order_by=order),
        window_call(total), window_call(aggregate_call("count", condition=call("=", k, "a")), partition_by=())))
    assert run.sorted(node) == [("a", 1, 1, 1, 1, 10, 3), ("a", 2, 2, 2, 5, 10, 3), ("a", 2, 3, 2, 5, 10, 3),
                                ("b", 5, 4, 1, 5, 10, 3), ("b", N, 5, 2, 5, 10, 3)]


B = p.BoundKind


@pytest.mark.parametrize("unit, start, before, stop, after, exclude, expected", [
    (p.FrameUnit.ROWS, B.PRECEDING, 1, B.CURRENT_ROW, N, "", [1, 3, 4, 7]),
    (p.FrameUnit.ROWS, B.UNBOUNDED_PRECEDING, N, B.UNBOUNDED_FOLLOWING, N, "current row", [9, 8, 8, 5]),
    (p.FrameUnit.RANGE, B.PRECEDING, 1, B.CURRENT_ROW, N, "", [1, 5, 5, 5]),
    (p.FrameUnit.RANGE, B.CURRENT_ROW, N, B.FOLLOWING, 3, "group", [4, 5, 5, N]),
    (p.FrameUnit.GROUPS, B.PRECEDING, 1, B.CURRENT_ROW, N, "ties", [1, 3, 3, 9]),
    (p.FrameUnit.GROUPS, B.FOLLOWING, 1, B.UNBOUNDED_FOLLOWING, N, "", [9, 5, 5, N]),
])
def test_frames(run: Runner, unit: p.FrameUnit, start: p.BoundKind, before: int | None, stop: p.BoundKind,
                after: int | None, exclude: str, expected: list[Any]) -> None:
    scan, c = numbers(run, 1, 2, 2, 5)
    frame = p.Frame(unit, start, None if before is None else value(before), stop,
                    None if after is None else value(after), exclude)
    node = p.Window(scan, items(window_call(aggregate_call("sum", c), order_by=(up(c),), frame=frame)))
    found = run(p.Sort(node, (up(c), up(outputs(node)[1], nulls_first=False))), outputs(node)[1])
    assert [row[0] for row in found] == expected


def test_ignore_nulls(run: Runner) -> None:
    scan = run.source.add(INT, INT, rows=[(1, 7), (2, N), (3, 8)])
    a, v = outputs(scan)
    node = p.Window(scan, items(window_call(aggregate_call("lag", v), order_by=(up(a),), ignore_nulls=True),
                                window_call(aggregate_call("lag", v), order_by=(up(a),))))
    assert run.sorted(node) == [(1, 7, N, N), (2, N, 7, 7), (3, 8, 7, N)]


# -------------------------------------------------------------------- joins

@pytest.mark.parametrize("kind, expected", [
    (p.JoinKind.INNER, [(2, 1), (3, 1), (3, 2)]), (p.JoinKind.LEFT, [(1, N), (2, 1), (3, 1), (3, 2), (N, N)]),
    (p.JoinKind.RIGHT, [(2, 1), (3, 1), (3, 2), (N, 9), (N, N)]),
    (p.JoinKind.FULL, [(1, N), (2, 1), (3, 1), (3, 2), (N, 9), (N, N), (N, N)])])
def test_joins_by_any_condition(run: Runner, kind: p.JoinKind, expected: Rows) -> None:
    (left, a), (right, b) = numbers(run, 1, 2, 3, N), numbers(run, 1, 2, 9, N)
    assert run.sorted(p.Join(kind, left, right, call(">", a, b))) == expected


def test_joins_of_joins(run: Runner) -> None:
    (one, a), (two, b), (three, c) = numbers(run, 1, 2), numbers(run, 2, 3), numbers(run, 2, 4)
    inner = p.Join(p.JoinKind.LEFT, two, three, call("=", b, c))
    assert run.sorted(p.Join(p.JoinKind.LEFT, one, inner, call("=", a, b))) == [(1, N, N), (2, 2, 2)]
    cross = p.Join(p.JoinKind.CROSS, p.Join(p.JoinKind.CROSS, one, two), three)
    assert len(run(cross)) == 8
    full = p.Join(p.JoinKind.FULL, one, two, None)
    assert len(run(full)) == 4


def test_lateral(run: Runner) -> None:
    (left, a), (right, b) = numbers(run, 1, 2, 3), numbers(run, 1, 2)
    newest = p.Limit(p.Sort(p.Filter(right, call("<", b, a)), (down(b),)), value(1))
    for kind, expected in ((p.JoinKind.INNER, [(2, 1), (3, 2)]), (p.JoinKind.LEFT, [(1, N), (2, 1), (3, 2)])):
        assert run.sorted(p.Join(kind, left, newest, value(True), is_lateral=True)) == expected
    computed = values((call("+", a, 1),), (call("*", a, 10),))
    assert run.sorted(p.Join(p.JoinKind.CROSS, left, computed, None, True)) == [
        (1, 2), (1, 10), (2, 3), (2, 20), (3, 4), (3, 30)]
    both = p.Join(p.JoinKind.CROSS, p.Filter(right, call("=", b, a)), values((a,)))
    assert run.sorted(p.Join(p.JoinKind.CROSS, left, both, None, True)) == [(1, 1, 1), (2, 2, 2)]
    count = p.Aggregate(p.Filter(right, call("<", b, a)), (), items(aggregate_call("count")))
    assert run.sorted(p.Join(p.JoinKind.CROSS, left, count, None, True)) == [(1, 0), (2, 1), (3, 2)]


# -------------------------------------------------------------------- subqueries

def scalar(node: p.Node, wanted: p.Column | None = None) -> p.Subquery:
    found = wanted or outputs(node)[0]
    return p.Subquery(found.type, p.SubqueryKind.SCALAR, node, (found,))


def test_scalar_subqueries(run: Runner) -> None:
    (left, a), (right, b) = numbers(run, 1, 2, 3), numbers(run, 1, 2)
    assert run.one(scalar(p.Filter(right, value(False)))) is None
    with pytest.raises(CardinalityViolation):
        run.one(scalar(right))
    less = scalar(p.Aggregate(p.Filter(right, call("<", b, a)), (), items(aggregate_call("max", b))))
    assert run.sorted(project(left, a, less)) == [(1, N), (2, 1), (3, 2)]
    assert run.sorted(p.Filter(left, call("=", less, 2))) == [(3,)]
    assert run(p.Sort(left, (down(less, nulls_first=False),))) == [(3,), (2,), (1,)]
    grouped = p.Aggregate(left, items(less), items(aggregate_call("count")))
    assert run.sorted(grouped) == [(1, 1), (2, 1), (N, 1)]
    summed = p.Aggregate(left, (), items(aggregate_call("sum", less)))
    assert run(summed) == [(3,)]
    joined = p.Join(p.JoinKind.LEFT, left, values((1,)), call("is null", less))
    assert run.sorted(joined) == [(1, 1), (2, N), (3, N)]
    window = p.Window(left, items(window_call(aggregate_call("count"), partition_by=(call("is null", less),))))
    assert run.sorted(window) == [(1, 1), (2, 2), (3, 2)]
    case = p.Case(INT, ((call("=", a, 2), less),), value(0))
    assert run.sorted(project(left, case)) == [(0,), (0,), (1,)]


def test_exists_and_array(run: Runner) -> None:
    (left, a), (right, b) = numbers(run, 1, 2, 3), numbers(run, 2, 1, N)
    fewer = p.Filter(right, call("<", b, a))
    exists = p.Subquery(BOOL, p.SubqueryKind.EXISTS, fewer, ())
    collected = p.Subquery(array(INT), p.SubqueryKind.ARRAY, p.Sort(fewer, (down(b),)), (b,))
    assert run.sorted(project(left, a, exists, collected)) == [(1, False, []), (2, True, [1]), (3, True, [2, 1])]
    assert run.sorted(p.Filter(left, call("not", exists))) == [(1,)]


def quantified(kind: p.SubqueryKind, operator: str, left: tuple[p.Expression, ...],
               *rows: tuple[Any, ...]) -> p.Subquery:
    node = p.Values(columns(*[INT] * len(left)),
                    tuple(tuple(null() if item is None else value(item) for item in row) for row in rows))
    return p.Subquery(BOOL, kind, node, node.columns, operator, left)


ROWS = [(1, 2), (1, N), (N, 2), (2, 3)]
OPERATORS = {"=": lambda a, b: a == b, "<>": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
             ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}


def compared(operator: str, left: tuple[Any, ...], right: tuple[Any, ...]) -> bool | None:
    """By SQL's rules for rows, written anew."""
    if operator in ("=", "<>"):
        equal = [None if a is None or b is None else a == b for a, b in zip(left, right, strict=True)]
        result = False if False in equal else None if None in equal else True
        return result if operator == "=" or result is None else not result
    for a, b in zip(left, right, strict=True):
        if a is None or b is None:
            return None
        if a != b:
            return OPERATORS[operator](a, b)
    return operator in ("<=", ">=")


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("width", [1, 2])
def test_any_and_all(run: Runner, operator: str, width: int) -> None:
    """All combinations of rows with NULLs, empty sets included, against SQL's definition."""
    left_rows = [row[:width] for row in (*ROWS, (2, 2), (N, N))]
    sets = [[], [ROWS[0]], [ROWS[1]], [ROWS[2]], [ROWS[0], ROWS[3]], [ROWS[1], ROWS[3]], ROWS]
    scan = run.source.add(*[INT] * width, rows=left_rows)
    left = outputs(scan)
    for set_ in sets:
        members = [row[:width] for row in set_]
        both = project(scan, *left, *[quantified(kind, operator, left, *members)
                                      for kind in (p.SubqueryKind.ANY, p.SubqueryKind.ALL)])
        for row in run(both):
            given, found = row[:width], row[width:]
            tests = [compared(operator, given, member) for member in members]
            some = True if True in tests else None if None in tests else False
            every = False if False in tests else None if None in tests else True
            assert found == (some, every), (given, operator, members)


def test_not_in_a_filter(run: Runner) -> None:
    scan, c = numbers(run, 1, 2, N)
    for members, expected in (([], [(1,), (2,), (N,)]), ([(1,)], [(2,)]), ([(1,), (N,)], [])):
        inside = quantified(p.SubqueryKind.ANY, "=", (c,), *members)
        assert run.sorted(p.Filter(scan, call("not", inside))) == expected


# -------------------------------------------------------------------- common tables

def test_with(run: Runner) -> None:
    scan, c = numbers(run, 1, 2)
    for how in (None, True, False):
        left, right = p.CommonScan(7, columns(INT)), p.CommonScan(7, columns(INT))
        inner = project(scan, call("+", c, 1))
        node = p.With((p.CommonTable(7, inner, outputs(inner), is_materialized=how),),
                      p.Join(p.JoinKind.INNER, left, right, call("<", left.columns[0], right.columns[0])))
        assert run(node, *left.columns, *right.columns) == [(2, 3)]


@pytest.mark.parametrize("is_all, expected", [(True, [1, 1, 2, 2, 3, 3]), (False, [1, 2, 3])])
def test_recursion(run: Runner, is_all: bool, expected: list[int]) -> None:
    start = values((1,), (1,))
    step = p.CommonScan(8, columns(INT))
    more = project(p.Filter(step, call("<", step.columns[0], 3)), call("+", step.columns[0], 1))
    table = p.CommonTable(8, start, start.columns, more, outputs(more), is_all)
    last = p.CommonScan(8, columns(INT))
    assert [row[0] for row in run.sorted(p.With((table,), last), *last.columns)] == expected


def test_a_recursion_inside_a_correlated_subquery(run: Runner) -> None:
    scan, c = numbers(run, 1, 4)
    start = values((c,))
    step = p.CommonScan(9, columns(INT))
    more = project(p.Filter(step, call("<", step.columns[0], 5)), call("+", step.columns[0], 1))
    last = p.CommonScan(9, columns(INT))
    total = p.Aggregate(last, (), items(aggregate_call("sum", last.columns[0])))
    node = p.With((p.CommonTable(9, start, start.columns, more, outputs(more)),), total)
    assert run.sorted(project(scan, c, scalar(node, outputs(total)[0]))) == [(1, 15), (4, 9)]


def test_a_common_table_over_a_stream(run: Runner) -> None:
    run.source.as_stream = True
    scan, c = numbers(run, 1, 2, 3)
    left, right = p.CommonScan(3, columns(INT)), p.CommonScan(3, columns(INT))
    union = p.SetOperation(p.SetKind.UNION, True, p.Filter(left, call("<", left.columns[0], 3)),
                           p.Filter(right, call(">", right.columns[0], 1)), columns(INT), left.columns, right.columns)
    node = p.With((p.CommonTable(3, scan, (c,), is_materialized=False),), union)
    assert run.sorted(node, *union.columns) == [(1,), (2,), (2,), (3,)]


# -------------------------------------------------------------------- table functions

def test_table_functions(run: Runner) -> None:
    plans.register_product()
    series = p.TableFunction("generate_series", (value(2), value(4)), columns(INT), column(BIGINT))
    assert run(series) == [(2, 1), (3, 2), (4, 3)]
    assert run(p.TableFunction("generate_series", (value(2), null()), columns(INT))) == []
    # known to Python only: of constants, of rows
    split = p.TableFunction("test_split", (value("a,b,c"), value(",")), columns(TEXT, INT), column(BIGINT))
    assert run(split) == [("a", 0, 1), ("b", 1, 2), ("c", 2, 3)]
    scan = run.source.add(TEXT, rows=[("x,y",), (N,), ("",), ("z",)])
    [c] = outputs(scan)
    split = p.TableFunction("test_split", (c, value(",")), columns(TEXT, INT), column(BIGINT))
    joined = p.Join(p.JoinKind.LEFT, scan, split, value(True), is_lateral=True)
    assert run.sorted(joined) == [("", "", 0, 1), ("x,y", "x", 0, 1), ("x,y", "y", 1, 2), ("z", "z", 0, 1),
                                  (N, N, N, N)]
    numbers_, n = numbers(run, 1, 3)
    series = p.TableFunction("generate_series", (value(2), n), columns(INT), column(BIGINT))
    assert run.sorted(p.Join(p.JoinKind.CROSS, numbers_, series, None, True)) == [(3, 2, 1), (3, 3, 2)]
    stepped = p.TableFunction("generate_series", (value(2), value(9), n), columns(INT))       # the step may be zero
    assert run.sorted(p.Join(p.JoinKind.CROSS, p.Filter(numbers_, call("=", n, 3)), stepped, None, True)) == [
        (3, 2), (3, 5), (3, 8)]
    empty = p.TableFunction("test_split", (null(TEXT), value(",")), columns(TEXT, INT))
    assert run(empty) == []


def test_what_is_no_table_function_is_refused(run: Runner) -> None:
    with pytest.raises(FeatureNotSupported):
        run(p.TableFunction("+", (value(1), value(2)), columns(INT)))


def test_a_series_of_constants(run: Runner) -> None:
    def series(*given: Any) -> list[int]:
        arguments = tuple(null() if item is None else value(item) for item in given)
        return [row[0] for row in run(p.TableFunction("generate_series", arguments, columns(INT)))]
    assert series(1, 3) == [1, 2, 3] and series(3, 1) == [] and series(5, 1, -2) == [5, 3, 1]
    assert series(1, None) == series(None, 1) == series(1, 2, None) == []
    assert series(-2147483648, -2147483647) == [-2147483648, -2147483647]
    with pytest.raises(InvalidParameterValue):
        series(1, 2, 0)
