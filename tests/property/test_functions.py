"""Each function that DuckDB has a form of gives the same value, or an error of the same SQLSTATE, in Python and there.

The definition is the Python function. For each scalar overload with a form, and for each choice of types where it takes
any, Hypothesis makes rows of arguments; both sides compute them. Casts that are left to DuckDB are compared likewise.
"""
from __future__ import annotations

import dataclasses
import datetime
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core.query import arrow_values, cast_duckdb, casts, context, vector_functions
from phantomdb.core.query.cast_duckdb import FREE_SCALE
from phantomdb.core.query.cast_numbers import round_half_away, to_real
from phantomdb.core.query.errors import QueryError
from phantomdb.core.query.functions import registry
from phantomdb.core.query.lower_literals import literal
from phantomdb.core.query.functions.registry import FunctionKind, Like, Overload, Resolved, Volatility
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
    Kind,
    Type,
    array,
    char,
    decimal,
    varchar,
)


NOW = context.StatementContext(now=datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC),
                               timezone="Europe/Berlin")
EXAMPLES = 4                             # of up to ROWS_MAX rows each; of those that raise so many are run in DuckDB
ROWS_MAX = 20
ERRORS_MAX = 3
# What an argument of any type is in turn.
ANY_TYPES = (INT, TEXT, DOUBLE, decimal(10, 2), DATE, BOOL, INTERVAL, TIMESTAMPTZ, UUID_TYPE, BYTES, char(4),
             array(INT))
ELEMENT_TYPES = (INT, TEXT, DOUBLE, decimal(10, 2), TIMESTAMP, INTERVAL, UUID_TYPE, char(4), array(INT))

TEXTS = st.one_of(
    st.text(alphabet="abAB01 %_\\.,-'", max_size=6),
    st.text(alphabet=st.sampled_from("aAé\u0301ßİıΣς\U0001f468\u200d ñÑǆ\u00a0"), max_size=5),
    st.sampled_from(["", " ", "a b", "1.5", "2024-02-29", "{}", "[1, 2]", '{"a": 1}', "NULL", "year", "day"]))
DOCUMENTS = st.recursive(
    st.one_of(st.just(JSON_NULL), st.booleans(), st.integers(-10, 10), st.text("ab\"é", max_size=3),
              st.decimals(-10, 10, places=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3),
                            st.dictionaries(st.text("ab1", max_size=2), inner, max_size=3)),
    max_leaves=5).map(lambda value: _plain(value, True))


def _plain(value: Any, is_outer: bool = False) -> Any:
    """Inside of a document null is None."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if value is JSON_NULL and not is_outer else value


def _ints(bits: int) -> st.SearchStrategy[int]:
    edge = 2**(bits - 1)
    return st.one_of(st.integers(-4, 4), st.sampled_from([-edge, -edge + 1, edge - 1, 15, 31, 63, 64, 100, 1000]),
                     st.integers(-10_000, 10_000))


_FLOATS = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 1e308, -1e308, 5e-324, 1e-300, 1e19,
                                     math.inf, -math.inf, math.nan]),
                    st.floats(-1000, 1000), st.floats(allow_nan=False))
_MOMENTS = st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30)) | st.datetimes(
    datetime.datetime(2023, 1, 1), datetime.datetime(2025, 1, 1))


def values_of(type_: Type) -> st.SearchStrategy[Any]:
    """Values of a type, NULL now and then."""
    return st.one_of(_values_of(type_), _values_of(type_), _values_of(type_), st.none())


def _values_of(type_: Type) -> st.SearchStrategy[Any]:
    match type_.kind:
        case Kind.INT:
            return _ints(type_.bits)
        case Kind.FLOAT:
            return _FLOATS.map(lambda value: to_real(value) if type_.bits == 32 else value)
        case Kind.DECIMAL:
            limit = 10**((type_.precision or 18) - (type_.scale or 0)) - 1
            places = 4 if type_.precision is None else type_.scale or 0
            numbers = st.decimals(-20, 20, places=min(places, 2)) | st.decimals(-limit, limit, places=places)
            return numbers.map(lambda value: value if value else Decimal(0))
        case Kind.TEXT:
            texts = TEXTS if type_.length is None else TEXTS.map(lambda text: text[:type_.length])
            return texts.map(lambda text: text.ljust(type_.length or 0)) if type_.is_padded else texts
        case Kind.ARRAY:
            assert type_.element is not None
            return st.lists(values_of(type_.element), max_size=4)
        case Kind.TIMESTAMPTZ:
            return _MOMENTS.map(lambda value: value.replace(tzinfo=datetime.UTC))
    return {Kind.BOOL: st.booleans(), Kind.BYTES: st.binary(max_size=5),
            Kind.DATE: _MOMENTS.map(datetime.datetime.date), Kind.TIME: st.times(),
            Kind.TIMESTAMP: _MOMENTS, Kind.UUID: st.uuids(), Kind.JSON: DOCUMENTS,
            Kind.INTERVAL: st.builds(Interval, st.integers(-30, 30), st.integers(-400, 400),
                                     st.integers(-10**12, 10**12))}[type_.kind]


# -------------------------------------------------------------------- DuckDB's side

class Vector:
    def __init__(self) -> None:
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("SET TimeZone = 'UTC'")
        self.functions = vector_functions.VectorFunctions(self.connection)

    def compute(self, sql: str, rows: Sequence[Sequence[Any]], types: Sequence[Type], result: Type,
                expected: Sequence[Any]) -> list[Any]:
        """For each row ("value", value) or ("error", SQLSTATE). Those that should have a value go together."""
        found: list[Any] = [None] * len(rows)
        together = [index for index, (what, _) in enumerate(expected) if what == "value"]
        answer = self._run(sql, [rows[index] for index in together], types, result) if together else []
        if isinstance(answer, list):
            for index, value in zip(together, answer, strict=True):
                found[index] = "value", value
        errors = 0
        for index, row in enumerate(rows):
            if found[index] is None and expected[index][0] == "error":
                errors += 1
                if errors > ERRORS_MAX:
                    found[index] = expected[index]
            if found[index] is None:
                answer = self._run(sql, [row], types, result)
                is_list = isinstance(answer, list)
                found[index] = ("value", answer[0]) if is_list else ("error", getattr(answer, "sqlstate", repr(answer)))
        return found

    def _run(self, sql: str, rows: Sequence[Sequence[Any]], types: Sequence[Type], result: Type) -> Any:
        columns = {"row_number": pa.array(range(len(rows)))}
        for index, type_ in enumerate(types):
            columns[f"c{index}"] = arrow_column([row[index] for row in rows], type_)
        table = pa.table(columns)
        self.connection.register("arguments", table)
        try:
            answer = self.connection.sql(f"SELECT {sql} AS x FROM arguments ORDER BY row_number").to_arrow_table()
            return arrow_values.decoder(result)(answer.column("x"))
        except duckdb.Error as error:
            return vector_functions.translate(error)
        except QueryError as error:
            return error


def arrow_column(values: Sequence[Any], type_: Type) -> Any:
    encode = arrow_values.encoder(type_)
    stored = [None if value is None else encode(value) if encode else value for value in values]
    return pa.array(stored, arrow_values.arrow_type(type_))


def column_of(index: int, type_: Type) -> str:
    """Arrow has no type for uuid: those come as text."""
    return f"CAST(c{index} AS {cast_duckdb.duckdb_type(type_)})" if "uuid" in str(type_) else f"c{index}"


@pytest.fixture(scope="module")
def vector() -> Iterator[Vector]:
    made = Vector()
    yield made
    made.connection.close()


# -------------------------------------------------------------------- Python's side

def compute(python: Callable[..., Any], rows: Sequence[Sequence[Any]], *, is_strict: bool) -> list[Any]:
    found = []
    for row in rows:
        if is_strict and None in row:
            found.append(("value", None))
            continue
        try:
            found.append(("value", python(*row)))
        except QueryError as error:
            found.append(("error", error.sqlstate))
    return found


def is_same(a: Any, b: Any, type_: Type) -> bool:
    if a is None or b is None:
        return a is b
    if type_.kind is Kind.ARRAY:
        assert type_.element is not None
        return len(a) == len(b) and all(is_same(x, y, type_.element) for x, y in zip(a, b, strict=True))
    if type_.kind is Kind.FLOAT:
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return bool(a == b or math.isclose(a, b, rel_tol=1e-12 if type_.bits == 64 else 1e-6, abs_tol=1e-300))
    is_number = isinstance(a, int | Decimal) and isinstance(b, int | Decimal)
    return bool(a == b and (is_number or type(a) is type(b)))


def beyond_duckdb(value: Any, type_: Type) -> bool:
    """A numeric that 38 digits do not hold, those after the point included."""
    if type_.kind is not Kind.DECIMAL or not isinstance(value, Decimal) or not value:
        return False
    scale = FREE_SCALE if type_.precision is None else type_.scale or 0
    if type_.precision is None and round_half_away(value, scale) != value:
        return True
    return value.adjusted() + 1 + scale > 38


def check(expected: list[Any], actual: list[Any], rows: Sequence[Any], result: Type, what: str) -> None:
    for row, ours, theirs in zip(rows, expected, actual, strict=True):
        if ours[0] == "value" and beyond_duckdb(ours[1], result) and (
                theirs in (("error", "22003"), ours)):
            continue
        assert ours[0] == theirs[0] and (
            ours[1] == theirs[1] if ours[0] == "error" else is_same(ours[1], theirs[1], result)), (
            f"{what} of {row}: Python {ours}, DuckDB {theirs}")


# -------------------------------------------------------------------- the overloads

def concrete(overload: Overload) -> Iterator[tuple[Type, ...]]:
    """Argument types: as declared, and with the optional ones left out."""
    counts = range(len(overload.arguments) - overload.optional, len(overload.arguments) + 1 + overload.is_variadic)
    for count in counts:
        patterns = [overload.pattern(index) for index in range(count)]
        kinds = {pattern for pattern in patterns if isinstance(pattern, Like)}
        chosen = ELEMENT_TYPES if kinds & {Like.ELEMENT, Like.ARRAY} else ANY_TYPES if kinds else (INT,)
        for type_ in chosen:
            stand = {Like.ANY: type_, Like.ELEMENT: type_, Like.ARRAY: array(type_)}
            plain = [stand[pattern] if isinstance(pattern, Like) else pattern for pattern in patterns]
            yield tuple(plain)
            if NUMERIC in plain:
                yield tuple(decimal(10, 2) if given == NUMERIC else given for given in plain)
                yield tuple(decimal(12, 4 - index) if given == NUMERIC else given for index, given in enumerate(plain))
                yield tuple(decimal(18 - index, 2) if given == NUMERIC else given for index, given in enumerate(plain))


def cases() -> list[Any]:
    found: dict[str, Any] = {}
    for overload in registry.all_overloads():
        if overload.kind is not FunctionKind.SCALAR or overload.duckdb is None:
            continue
        if overload.volatility is Volatility.VOLATILE:
            continue
        for types in dict.fromkeys(concrete(overload)):
            fit = registry._fit(overload, types, [False] * len(types))
            if fit is None or None in map(_storable, (*types, fit[1].result)):
                continue
            resolved = fit[1]
            if isinstance(resolved.overload.duckdb, str) or resolved.overload.duckdb(       # type: ignore[misc]
                    [f"c{index}" for index in range(len(types))], resolved.arguments, resolved.result) is not None:
                name = f"{overload.name}({', '.join(map(str, types))})"
                found[name] = pytest.param(resolved, id=name)
    return list(found.values())


def _storable(type_: Type) -> str | None:
    try:
        return cast_duckdb.duckdb_type(type_)
    except QueryError:
        return None


@pytest.mark.parametrize("resolved", cases())
def test_python_and_duckdb_agree(resolved: Resolved, vector: Vector) -> None:
    types = resolved.arguments

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.lists(st.tuples(*map(values_of, types)), min_size=1, max_size=ROWS_MAX))
    def run(rows: list[tuple[Any, ...]]) -> None:
        with vector.functions.statement(NOW) as statement, context.use(NOW):
            sql = statement.call(resolved, [column_of(index, type_) for index, type_ in enumerate(types)])
            expected = compute(resolved.overload.python, rows, is_strict=resolved.overload.is_strict)
            actual = vector.compute(sql, rows, types, resolved.result, expected)
        check(expected, actual, rows, resolved.result, resolved.overload.name)
    run()


# -------------------------------------------------------------------- forms of literals

_UNITS = ("year", "Month", "day", "quarter", "dow", "isodow", "doy", "week", "isoyear", "hour", "minute", "second",
          "milliseconds", "us", "epoch", "century", "timezone")
_ZONES = ("America/New_York", "UTC", "CET", "+05:30")
_TEMPLATES = ("YYYY-MM-DD", "YYYY-MM-DD HH24:MI:SS.US", "HH24:MI", "Day", "MM/YYYY")
# (name, types, the literal, where it stands)
LITERALS = [
    *((name, (TEXT, type_), unit, 0) for name in ("extract", "date_part")
      for type_ in (DATE, TIMESTAMP, TIMESTAMPTZ, TIME, INTERVAL) for unit in _UNITS),
    *(("date_trunc", (TEXT, type_), unit, 0) for type_ in (TIMESTAMP, TIMESTAMPTZ) for unit in _UNITS),
    *(("to_char", (type_, TEXT), template, 1) for type_ in (TIMESTAMP, TIMESTAMPTZ) for template in _TEMPLATES),
    *(("at time zone", (type_, TEXT), zone, 1) for type_ in (TIMESTAMP, TIMESTAMPTZ) for zone in _ZONES),
    *((name, (type_, INT), digits, 1) for name in ("round", "trunc")
      for type_ in (NUMERIC, decimal(10, 2), decimal(12, 4)) for digits in (0, 1, 2, 5, -1)),
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize(("name", "types", "constant", "place"), [
    pytest.param(*case, id=f"{case[0]}({', '.join(map(str, case[1]))}) {case[2]}") for case in LITERALS])
def test_forms_of_literals_agree(name: str, types: tuple[Type, ...], constant: Any, place: int, zone: str,
                                 vector: Vector) -> None:
    """Units, templates and numbers of digits that are known when the form is written, in two zones."""
    resolved = registry.resolve(name, types)
    statement_context = dataclasses.replace(NOW, timezone=zone)

    @settings(max_examples=2, deadline=None, database=None)
    @given(st.lists(st.tuples(values_of(types[1 - place])), min_size=1, max_size=ROWS_MAX))
    def run(rows: list[tuple[Any, ...]]) -> None:
        given_rows = [(constant, row[0]) if place == 0 else (row[0], constant) for row in rows]
        arguments = [f"c{index}" for index in range(2)]
        arguments[place] = literal(constant, types[place])
        with vector.functions.statement(statement_context) as statement, context.use(statement_context):
            expected = compute(resolved.overload.python, given_rows, is_strict=True)
            sql = statement.call(resolved, arguments)
            actual = vector.compute(sql, given_rows, types, resolved.result, expected)
        check(expected, actual, given_rows, resolved.result, name)
    run()


# Around what a change to summer time skips and repeats, and where the years end.
EDGES = st.one_of(_MOMENTS, st.datetimes(datetime.datetime(2024, 3, 31), datetime.datetime(2024, 3, 31, 4)),
                  st.datetimes(datetime.datetime(2024, 10, 26, 22), datetime.datetime(2024, 10, 27, 4)),
                  st.datetimes(datetime.datetime(1893, 3, 31, 22), datetime.datetime(1893, 4, 1, 2)),
                  st.sampled_from([datetime.datetime.min, datetime.datetime.max]))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize(("source", "target"), [
    (TIMESTAMPTZ, TIMESTAMP), (TIMESTAMPTZ, DATE), (TIMESTAMPTZ, TIME), (TIMESTAMPTZ, TEXT), (TIMESTAMP, TIMESTAMPTZ)])
def test_clocks_of_zones_agree(source: Type, target: Type, zone: str, vector: Vector) -> None:
    """Moments on whichever side of a change of the clock; what leaves the years 1 to 9999 is an error."""
    statement_context = dataclasses.replace(NOW, timezone=zone)

    @settings(max_examples=10 * EXAMPLES, deadline=None, database=None)
    @given(st.lists(st.tuples(EDGES), min_size=1, max_size=ROWS_MAX))
    def run(rows: list[tuple[Any, ...]]) -> None:
        if source == TIMESTAMPTZ:
            rows = [(row[0].replace(tzinfo=datetime.UTC),) for row in rows]
        with vector.functions.statement(statement_context) as statement, context.use(statement_context):
            expected = compute(casts.caster(source, target, True), rows, is_strict=True)
            actual = vector.compute(statement.cast("c0", source, target, True), rows, (source,), target, expected)
        check(expected, actual, rows, target, f"{source} as {target}")
    run()


# -------------------------------------------------------------------- the casts

CAST_TYPES = (BOOL, SMALLINT, INT, BIGINT, REAL, DOUBLE, NUMERIC, decimal(5, 2), decimal(12, 4), TEXT, varchar(3),
              char(4), BYTES, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, UUID_TYPE, JSON, array(INT),
              array(decimal(5, 2)))


def cast_cases() -> list[Any]:
    found = []
    for source, target, is_explicit in itertools.product(CAST_TYPES, CAST_TYPES, (False, True)):
        try:
            casts.caster(source, target, is_explicit)
        except QueryError:
            continue
        if source != target:
            found.append(pytest.param(source, target, is_explicit,
                                      id=f"{source} {'as' if is_explicit else 'into'} {target}"))
    return found


@pytest.mark.parametrize(("source", "target", "is_explicit"), cast_cases())
def test_casts_agree(source: Type, target: Type, is_explicit: bool, vector: Vector) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.lists(st.tuples(values_of(source)), min_size=1, max_size=ROWS_MAX))
    def run(rows: list[tuple[Any, ...]]) -> None:
        with vector.functions.statement(NOW) as statement, context.use(NOW):
            sql = statement.cast(column_of(0, source), source, target, is_explicit)
            expected = compute(casts.caster(source, target, is_explicit), rows, is_strict=True)
            actual = vector.compute(sql, rows, (source,), target, expected)
        check(expected, actual, rows, target, f"cast of {source} to {target}")
    run()


def test_enough_is_compared() -> None:
    """The lists above are not empty by mistake."""
    assert len(cases()) > 200
    assert len(cast_cases()) > 200
