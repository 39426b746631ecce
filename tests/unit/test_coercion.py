"""Which type may become which, and what resolution of functions makes of it. Facts are PostgreSQL 15's."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core.query import coercion
from phantomdb.core.query.builder import type_of_value
from phantomdb.core.query.casts import cast
from phantomdb.core.query.coercion import Context, can_cast, common_type, distance, same_shape
from phantomdb.core.query.errors import UndefinedFunction
from phantomdb.core.query.functions import registry
from phantomdb.core.values import (
    ANY,
    BIGINT,
    BOOL,
    BYTES,
    DATE,
    DOUBLE,
    INT,
    INTERVAL,
    JSON,
    NULL,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID_TYPE,
    Type,
    array,
    char,
    decimal,
    varchar,
)

I, A, E = Context
ALL = [ANY, BIGINT, BOOL, BYTES, DATE, DOUBLE, INT, INTERVAL, JSON, NUMERIC, REAL, SMALLINT, TEXT, TIME, TIMESTAMP,
       TIMESTAMPTZ, UUID_TYPE, array(INT), array(TEXT), char(3), decimal(10, 2), decimal(5, 4), varchar(3)]


@pytest.mark.parametrize(("source", "target", "least"), [
    (SMALLINT, INT, I), (INT, BIGINT, I), (BIGINT, NUMERIC, I), (NUMERIC, DOUBLE, I), (REAL, DOUBLE, I),
    (BIGINT, INT, A), (DOUBLE, INT, A), (DOUBLE, REAL, A), (DOUBLE, NUMERIC, A), (NUMERIC, INT, A),
    (INT, TEXT, A), (JSON, TEXT, A), (array(INT), TEXT, A), (TEXT, INT, E), (TEXT, JSON, E), (TEXT, varchar(3), I),
    (char(3), TEXT, I), (BOOL, INT, E), (INT, BOOL, E), (BOOL, BIGINT, None), (SMALLINT, BOOL, None),
    (DATE, TIMESTAMP, I), (DATE, TIMESTAMPTZ, I), (TIMESTAMP, TIMESTAMPTZ, I), (TIMESTAMPTZ, DATE, A),
    (TIMESTAMP, TIME, A), (TIME, INTERVAL, I), (INTERVAL, TIME, A), (DATE, TIME, None), (TIME, TIMESTAMP, None),
    (JSON, INT, E), (JSON, DATE, None), (INT, JSON, None), (UUID_TYPE, BYTES, None), (NULL, UUID_TYPE, I),
    (array(INT), array(BIGINT), I), (array(BIGINT), array(INT), A), (array(INT), INT, None),
    (INT, ANY, I), (ANY, INT, A), (ANY, JSON, A), (decimal(10, 2), decimal(3, 1), I),
])
def test_contexts(source: Type, target: Type, least: Context | None) -> None:
    assert [can_cast(source, target, context) for context in Context] == [
        least is not None and context >= least for context in Context]


@pytest.mark.parametrize(("types", "expected"), [
    ([INT, BIGINT], BIGINT), ([INT, DOUBLE], DOUBLE), ([INT, REAL], REAL), ([NUMERIC, REAL], REAL),
    ([INT, NUMERIC], NUMERIC), ([INT, decimal(10, 2)], decimal(12, 2)), ([decimal(10, 2)] * 2, decimal(10, 2)),
    ([decimal(10, 2), decimal(10, 4)], decimal(12, 4)), ([decimal(10, 2), NUMERIC], NUMERIC),
    ([DATE, TIMESTAMPTZ], TIMESTAMPTZ), ([DATE, TIMESTAMP], TIMESTAMP), ([TEXT, varchar(3)], TEXT),
    ([varchar(3), varchar(3)], varchar(3)), ([varchar(3), varchar(5)], TEXT), ([char(3), TEXT], TEXT),
    ([char(3), char(5)], Type(TEXT.kind, is_padded=True)), ([NULL, INT], INT), ([NULL, NULL], TEXT), ([], None),
    ([INT, TEXT], None), ([INT, BOOL], None), ([DATE, INTERVAL], None), ([TIME, DATE], None), ([JSON, INT], None),
    ([array(INT), array(BIGINT)], array(BIGINT)), ([array(INT), INT], None), ([ANY, INT], ANY),
])
def test_common_types(types: list[Type], expected: Type | None) -> None:
    assert common_type(types) == expected
    assert common_type(reversed(types)) == expected


@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_a_common_type_takes_both(a: Type, b: Type) -> None:
    found = common_type([a, b])
    assert found == common_type([b, a])
    if found is not None:
        assert all(same_shape(given, found) or can_cast(given, found, I) for given in (a, b))


def test_the_numeric_tower() -> None:
    tower = [SMALLINT, INT, BIGINT, NUMERIC, REAL, DOUBLE]
    for number, source in enumerate(tower):
        steps = [distance(source, target) for target in tower[number:]]
        assert steps == sorted(set(steps))
    assert distance(DATE, TIMESTAMP) < distance(DATE, TIMESTAMPTZ)
    assert distance(array(INT), array(DOUBLE)) == distance(INT, DOUBLE)


def test_digits_of_sums_and_products() -> None:
    a, b = decimal(15, 2), decimal(10, 4)
    assert coercion.sum_of_digits(a, b) == decimal(18, 4)
    assert coercion.product_of_digits(a, b) == decimal(25, 6)
    assert coercion.sum_of_digits(a, NUMERIC) == NUMERIC
    assert coercion.product_of_digits(decimal(999), decimal(2)) == NUMERIC      # over 1000 digits
    assert [coercion.exact_decimal(type_).precision for type_ in (SMALLINT, INT, BIGINT)] == [5, 10, 19]


@pytest.mark.parametrize(("name", "types", "arguments", "result"), [
    ("+", (SMALLINT, BIGINT), (BIGINT, BIGINT), BIGINT), ("+", (INT, REAL), (DOUBLE, REAL), DOUBLE),
    ("*", (decimal(15, 2), INT), (decimal(15, 2), decimal(10)), decimal(25, 2)),
    ("/", (INT, INT), (INT, INT), INT), ("/", (decimal(15, 2), INT), (decimal(15, 2), decimal(10)), NUMERIC),
    ("sqrt", (INT,), (DOUBLE,), DOUBLE), ("sqrt", (NUMERIC,), (NUMERIC,), NUMERIC), ("^", (INT, INT),
    (DOUBLE,) * 2, DOUBLE),
    ("log", (INT, INT), (decimal(10),) * 2, NUMERIC), ("round", (BIGINT,), (DOUBLE,), DOUBLE),
    ("||", (TEXT, INT), (TEXT, INT), TEXT), ("||", (array(INT), INT), (array(INT), INT), array(INT)),
    ("sum", (INT,), (INT,), BIGINT), ("avg", (BIGINT,), (BIGINT,), NUMERIC), ("max", (varchar(3),),
    (varchar(3),), TEXT),
    ("=", (DATE, TIMESTAMPTZ), (TIMESTAMPTZ,) * 2, BOOL),
])
def test_resolution(name: str, types: tuple[Type, ...], arguments: tuple[Type, ...], result: Type) -> None:
    found = registry.resolve(name, types)
    assert [coercion.without_parameters(t) if name == "max" else t for t in found.arguments] == [
        coercion.without_parameters(t) if name == "max" else t for t in arguments]
    assert coercion.without_parameters(found.result) == result if name == "max" else found.result == result


@pytest.mark.parametrize(("name", "types", "untyped", "arguments"), [
    ("+", (INT, TEXT), (False, True), (INT, INT)),                    # 1 + '2'
    ("=", (decimal(5, 2), TEXT), (False, True), (decimal(5, 2), NUMERIC)),       # not cut to numeric(5,2)
    ("=", (char(3), TEXT), (False, True), (char(3), Type(TEXT.kind, is_padded=True))),
    ("sqrt", (TEXT,), (True,), (DOUBLE,)), ("lower", (TEXT,), (True,), (TEXT,)), ("coalesce", (NULL, NULL),
    (True, True),
                                                                                  (TEXT, TEXT)),
])
def test_untyped_literals(name: str, types: tuple[Type, ...], untyped: tuple[bool, ...],
                          arguments: tuple[Type, ...]) -> None:
    assert registry.resolve(name, types, untyped=untyped).arguments == arguments


@pytest.mark.parametrize(("name", "types"), [("+", (BOOL, BOOL)), ("lower", (INT,)), ("no_such", (INT,)),
                                             ("=", (INT, TEXT)), ("left", (TEXT,))])
def test_what_is_not_there(name: str, types: tuple[Type, ...]) -> None:
    with pytest.raises(UndefinedFunction):
        registry.resolve(name, types)


def test_a_list_without_items_fits_any_array_and_jsonb() -> None:
    empty = type_of_value([])
    assert empty == type_of_value([None, None])
    assert all(can_cast(empty, target, Context.IMPLICIT) for target in (array(INT), array(array(TEXT)), JSON))
    assert not can_cast(empty, INT, Context.EXPLICIT)
    assert common_type([empty, array(INT)]) == common_type([array(INT), empty]) == array(INT)
    assert cast([], empty, array(INT)) == cast([], empty, JSON) == []
