"""Aggregates and window functions: the definitions by themselves, and as DuckDB runs them for the vector executor."""
from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from phantomdb.core.query import arrow_values, context, vector_functions
from phantomdb.core.query.errors import QueryError
from phantomdb.core.query.functions import registry
from phantomdb.core.query.functions.registry import FunctionKind
from phantomdb.core.values import (
    BIGINT,
    BOOL,
    BYTES,
    DOUBLE,
    INT,
    INTERVAL,
    NUMERIC,
    REAL,
    TEXT,
    Interval,
    Type,
    array,
    char,
    decimal,
)

D = Decimal

NAN = math.nan
MONEY = decimal(10, 2)
PAIRS = [(1.0, 2.0), (2.0, 3.0), (4.0, 7.0), (None, 1.0)]

# name, types, rows, result: as PostgreSQL 15 gives it, divisions rounded to 16 digits.
CASES: list[tuple[str, Sequence[Type], Sequence[tuple[Any, ...]], Any]] = [
    ("count", (INT,), [(1,), (None,), (2,)], 2),
    ("sum", (INT,), [(2**31 - 1,), (2**31 - 1,), (None,)], 2**32 - 2),
    ("sum", (BIGINT,), [(2**63 - 1,), (2**63 - 1,)], D(2**64 - 2)),
    ("sum", (MONEY,), [(D("0.10"),), (D("0.20"),)], D("0.30")),
    ("sum", (DOUBLE,), [(0.5,), (NAN,)], NAN),
    ("sum", (DOUBLE,), [(math.inf,), (1.0,)], math.inf),
    ("sum", (REAL,), [(0.5,), (0.25,)], 0.75),
    ("sum", (INTERVAL,), [(Interval(1, 0, 0),), (Interval(0, 1, 5),)], Interval(1, 1, 5)),
    ("avg", (INT,), [(1,), (2,), (4,)], D("2.3333333333333333")),
    ("avg", (MONEY,), [(D("-0.01"),), (D("-0.01"),), (D(0),)], D("-0.0066666666666667")),
    ("avg", (decimal(20, 18),), [(D("1e-18"),), (D("2e-18"),)], D("2e-18")),
    ("avg", (DOUBLE,), [(1.0,), (2.0,)], 1.5),
    ("avg", (INTERVAL,), [(Interval(1, 0, 0),), (Interval(0, 1, 0),)], Interval(0, 15, 43_200_000_000)),
    ("min", (TEXT,), [("b",), ("B",), (None,)], "B"),
    ("max", (DOUBLE,), [(math.inf,), (NAN,)], NAN),
    ("max", (char(2),), [("a ",), ("b ",)], "b "),
    ("min", (array(INT),), [([2],), ([1, None],)], [1, None]),
    ("bool_and", (BOOL,), [(True,), (None,), (False,)], False),
    ("every", (BOOL,), [(True,), (None,)], True),
    ("bool_or", (BOOL,), [(False,), (True,)], True),
    ("bit_and", (INT,), [(7,), (5,)], 5), ("bit_or", (INT,), [(1,), (4,)], 5), ("bit_xor", (INT,), [(7,), (5,)], 2),
    ("string_agg", (TEXT, TEXT), [("a", "1"), ("b", "2"), (None, "3"), ("c", None), ("d", "4")], "a2bc4d"),
    ("string_agg", (BYTES, BYTES), [(b"a", b","), (b"b", b",")], b"a,b"),
    ("array_agg", (INT,), [(1,), (None,)], [1, None]),
    ("jsonb_agg", (MONEY,), [(D("1.50"),), (None,)], [D("1.50"), None]),
    ("jsonb_object_agg", (TEXT, INT), [("a", 1), ("b", None), ("a", 3)], {"a": 3, "b": None}),
    ("stddev_pop", (INT,), [(1,), (2,), (4,)], D("1.2472191289246471")),
    ("stddev", (INT,), [(1,), (2,), (4,)], D("1.5275252316519467")),
    ("variance", (NUMERIC,), [(D(1),), (D(2),), (D(4),)], D("2.3333333333333333")),
    ("var_pop", (DOUBLE,), [(1.0,), (2.0,), (4.0,)], 1.5555555555555556),
    ("variance", (INT,), [(1,)], None), ("var_pop", (INT,), [(1,)], D(0)),
    ("corr", (DOUBLE, DOUBLE), PAIRS, 0.989743318610787), ("covar_pop", (DOUBLE, DOUBLE), PAIRS, 2.6666666666666665),
    ("covar_samp", (DOUBLE, DOUBLE), PAIRS, 4.0), ("regr_avgx", (DOUBLE, DOUBLE), PAIRS, 4.0),
    ("regr_avgy", (DOUBLE, DOUBLE), PAIRS, 2.3333333333333335), ("regr_count", (DOUBLE, DOUBLE), PAIRS, 3),
    ("regr_intercept", (DOUBLE, DOUBLE), PAIRS, 0.04761904761904775),
    ("regr_r2", (DOUBLE, DOUBLE), PAIRS, 0.979591836734694),
    ("regr_slope", (DOUBLE, DOUBLE), PAIRS, 0.5714285714285714), ("regr_sxx", (DOUBLE, DOUBLE), PAIRS, 14.0),
    ("regr_sxy", (DOUBLE, DOUBLE), PAIRS, 8.0), ("regr_syy", (DOUBLE, DOUBLE), PAIRS, 4.666666666666666),
    ("corr", (DOUBLE, DOUBLE), [(1.0, 1.0), (1.0, 1.0)], None),
    ("percentile_cont", (DOUBLE, DOUBLE), [(0.4, 1.0), (0.4, 2.0), (0.4, 4.0), (0.4, None)], 1.8),
    ("percentile_cont", (array(DOUBLE), DOUBLE), [([0.25, None, 0.5], x) for x in (1.0, 2.0, 4.0, 4.0)],
     [1.75, None, 3.0]),
    ("percentile_cont", (DOUBLE, INTERVAL), [(0.5, Interval(0, 1, 0)), (0.5, Interval(0, 2, 0))],
     Interval(0, 1, 43_200_000_000)),
    ("percentile_disc", (DOUBLE, TEXT), [(0.5, "a"), (0.5, "b"), (0.5, "c")], "b"),
    ("percentile_disc", (array(DOUBLE), INT), [([0.1, 0.9], x) for x in (1, 2, 4, 4)], [1, 4]),
    ("mode", (INT,), [(1,), (2,), (4,), (4,)], 4), ("mode", (TEXT,), [("a",), ("b",)], "a"),
    ("any_value", (INT,), [(None,), (3,)], 3),
]
IDS = [f"{name}({', '.join(map(str, types))})-{number}" for number, (name, types, _, _) in enumerate(CASES)]


def is_same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12) or (a != a and b != b)
    return bool(a == b) and (a is None) == (b is None)


@pytest.mark.parametrize(("name", "types", "rows", "expected"), CASES, ids=IDS)
def test_definition(name: str, types: Sequence[Type], rows: Sequence[tuple[Any, ...]], expected: Any) -> None:
    state = registry.resolve(name, types).overload.python()
    for row in rows:
        state.add(*row)
    assert is_same(state.result(), expected)
    if hasattr(state, "remove"):
        before = state.result()
        state.add(*rows[0])
        state.remove(*rows[0])
        assert is_same(state.result(), before)


@pytest.mark.parametrize(("name", "types", "rows", "expected"), CASES, ids=IDS)
def test_of_no_rows(name: str, types: Sequence[Type], rows: Sequence[tuple[Any, ...]], expected: Any) -> None:
    assert registry.resolve(name, types).overload.python().result() == (0 if "count" in name else None)


@pytest.fixture(scope="module")
def connection() -> Any:
    return duckdb.connect(":memory:")


@pytest.fixture(scope="module")
def functions(connection: Any) -> vector_functions.VectorFunctions:
    return vector_functions.VectorFunctions(connection)


def run_in_duckdb(connection: Any, functions: vector_functions.VectorFunctions, name: str, types: Sequence[Type],
                  rows: Sequence[tuple[Any, ...]], **more: Any) -> Any:
    resolved = registry.resolve(name, types)
    columns = {"n": pa.array(range(len(rows)))}
    for index, type_ in enumerate(types):
        encode = arrow_values.encoder(type_)
        values = [row[index] for row in rows]
        columns[f"c{index}"] = pa.array([encode(value) if encode and value is not None else value for value in values],
                                        arrow_values.arrow_type(type_))
    connection.register("t", pa.table(columns))
    order = f"c{len(types) - 1}" if name.startswith(("percentile", "mode")) else "n"
    try:
        with functions.statement(context.StatementContext()) as statement:
            arguments = [f"c{index}" for index in range(len(types))]
            if name == "string_agg" and len({row[1] for row in rows}) == 1 and types[0] == TEXT:
                arguments[1] = f"'{rows[0][1]}'"
            if name == "percentile_disc" and isinstance(rows[0][0], float):
                arguments[0] = str(rows[0][0])
            sql = statement.aggregate(resolved, arguments, order_by=more.pop("order_by", f"ORDER BY {order}"), **more)
            table = connection.sql(f"SELECT {sql} AS x FROM t").to_arrow_table()
            return arrow_values.decoder(resolved.result)(table.column("x"))
    except duckdb.Error as error:
        raise vector_functions.translate(error) from None


@pytest.mark.parametrize(("name", "types", "rows", "expected"), CASES, ids=IDS)
def test_in_duckdb(connection: Any, functions: vector_functions.VectorFunctions, name: str, types: Sequence[Type],
                   rows: Sequence[tuple[Any, ...]], expected: Any) -> None:
    assert is_same(run_in_duckdb(connection, functions, name, types, rows)[0], expected)
    # over a window each row has the result of all
    every = run_in_duckdb(connection, functions, name, types, rows, tail="OVER ()") if not name.startswith(
        ("percentile", "mode")) else []
    assert all(is_same(value, expected) or isinstance(value, list | str | bytes) for value in every)


def test_filter_and_distinct(connection: Any, functions: vector_functions.VectorFunctions) -> None:
    rows = [(1,), (2,), (2,), (5,)]
    for name, expected in (("sum", D(3)), ("avg", D("1.5")), ("count", 2), ("array_agg", [1, 2])):
        order = "ORDER BY c0" if name == "array_agg" else ""
        found = run_in_duckdb(connection, functions, name, (BIGINT,), rows, is_distinct=True, order_by=order,
                              tail="FILTER (WHERE c0 < 5)")
        assert found == [expected], name
    found = run_in_duckdb(connection, functions, "jsonb_agg", (INT,), rows, tail="FILTER (WHERE c0 > 9)")
    assert found == [None]


@pytest.mark.parametrize(("name", "types", "rows", "sqlstate"), [
    ("sum", (INT,), [(2**31 - 1,)], None),
    ("sum", (DOUBLE,), [(1e308,), (1e308,)], "22003"), ("sum", (REAL,), [(3e38,), (3e38,)], "22003"),
    ("percentile_cont", (DOUBLE, DOUBLE), [(1.5, 1.0)], "22023"),
    ("jsonb_object_agg", (TEXT, INT), [(None, 1)], "22004"),
    ("sum", (decimal(38),), [(D(10**38 - 1),), (D(10**38 - 1),)], "22003"),
])
def test_errors(connection: Any, functions: vector_functions.VectorFunctions, name: str, types: Sequence[Type],
                rows: Sequence[tuple[Any, ...]], sqlstate: str | None) -> None:
    def state_of(run: Any) -> str | None:
        try:
            run()
        except QueryError as error:
            return error.sqlstate
        return None

    def define() -> None:
        state = registry.resolve(name, types).overload.python()
        for row in rows:
            state.add(*row)
        state.result()

    if types[0] != decimal(38):                              # those 39 digits only DuckDB does not have
        assert state_of(define) == sqlstate
    assert state_of(lambda: run_in_duckdb(connection, functions, name, types, rows)) == sqlstate


# -------------------------------------------------------------------- windows

ORDERED = [1, 1, 2, 5, 5, 5]
GROUPS = [0, 0, 1, 2, 2, 2]
FRAMES = [range(index + 1) for index in range(6)]
WINDOWS: list[tuple[str, Sequence[Type], tuple[Any, ...], Sequence[Any]]] = [
    ("row_number", (), (), [1, 2, 3, 4, 5, 6]), ("rank", (), (), [1, 1, 3, 4, 4, 4]),
    ("dense_rank", (), (), [1, 1, 2, 3, 3, 3]),
    ("percent_rank", (), (), [0.0, 0.0, 0.4, 0.6, 0.6, 0.6]), ("cume_dist", (), (), [1 / 3, 1 / 3, 0.5, 1.0, 1.0, 1.0]),
    ("ntile", (INT,), (4,), [1, 1, 2, 2, 3, 4]), ("lag", (INT,), ("x",), [None, 1, 1, 2, 5, 5]),
    ("lead", (INT, INT), ("x", 2), [2, 5, 5, 5, None, None]), ("lag", (INT, INT, INT), ("x", 3, 0), [0, 0, 0, 1, 1, 2]),
    ("first_value", (INT,), ("x",), [1] * 6), ("last_value", (INT,), ("x",), ORDERED),
    ("nth_value", (INT, INT), ("x", 3), [None, None, 2, 2, 2, 2]),
]


@pytest.mark.parametrize(("name", "types", "arguments", "expected"), WINDOWS)
def test_windows(connection: Any, functions: vector_functions.VectorFunctions, name: str, types: Sequence[Type],
                 arguments: tuple[Any, ...], expected: Sequence[Any]) -> None:
    resolved = registry.resolve(name, types)
    assert resolved.overload.kind is FunctionKind.WINDOW
    rows = [tuple(x if argument == "x" else argument for argument in arguments) for x in ORDERED]
    assert resolved.overload.python(rows, GROUPS, FRAMES) == pytest.approx(list(expected))
    connection.register("w", pa.table({"n": list(range(6)), "x": pa.array(ORDERED, pa.int32())}))
    order = "x" if name in ("rank", "dense_rank", "percent_rank", "cume_dist") else "x, n"
    with functions.statement(context.StatementContext()) as statement:
        sql = statement.aggregate(resolved, list(map(str, arguments)), tail=f"OVER (ORDER BY {order})")
        table = connection.sql(f"SELECT {sql} AS x FROM w ORDER BY n").to_arrow_table()
    assert arrow_values.decoder(resolved.result)(table.column("x")) == pytest.approx(list(expected))


def test_wrong_counts(connection: Any, functions: vector_functions.VectorFunctions) -> None:
    for name, types, arguments, sqlstate in (("ntile", (INT,), ["0"], "22014"),
                                             ("nth_value", (INT, INT), ["1", "(0)"], "22016")):
        resolved = registry.resolve(name, types)
        with pytest.raises(QueryError) as caught:
            resolved.overload.python([tuple(int(argument.strip("()")) for argument in arguments)], [0], [[0]])
        assert caught.value.sqlstate == sqlstate
        with functions.statement(context.StatementContext()) as statement, pytest.raises(QueryError) as caught:
            try:
                sql = statement.aggregate(resolved, arguments, tail="OVER ()")
                connection.sql(f"SELECT {sql} AS x FROM range(3)").fetchall()
            except duckdb.Error as error:
                raise vector_functions.translate(error) from None
        assert caught.value.sqlstate == sqlstate
