"""Functions that yield rows: values are those PostgreSQL 15 gives."""
from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from phantomdb.core.query import context
from phantomdb.core.query.errors import InvalidParameterValue, UndefinedFunction
from phantomdb.core.query.functions import registry
from phantomdb.core.values import (
    BIGINT,
    BOOL,
    DATE,
    INT,
    INTERVAL,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    TIMESTAMPTZ,
    Interval,
    Type,
    array,
)

INTS = array(INT)


def rows(name: str, *arguments: tuple[Type, Any]) -> list[Any]:
    resolved = registry.resolve(name, [type_ for type_, _ in arguments])
    assert resolved.overload.kind is registry.FunctionKind.TABLE
    return list(resolved.overload.python(*(value for _, value in arguments)))


@pytest.mark.parametrize(("bounds", "expected"), [
    ((2, 4), [2, 3, 4]), ((5, 1, -2), [5, 3, 1]), ((4, 3), []), ((1, 4, 2), [1, 3]), ((3, 3), [3]),
    ((2**31 - 2, 2**31 - 1), [2**31 - 2, 2**31 - 1])])
def test_integers(bounds: tuple[int, ...], expected: list[int]) -> None:
    for type_ in (INT, BIGINT):
        assert rows("generate_series", *((type_, bound) for bound in bounds)) == expected


def test_numbers() -> None:
    found = rows("generate_series", *((NUMERIC, Decimal(text)) for text in ("1.1", "4", "1.3")))
    assert [str(number) for number in found] == ["1.1", "2.4", "3.7"]
    found = rows("generate_series", (NUMERIC, Decimal(2)), (NUMERIC, Decimal(1)), (NUMERIC, Decimal("-0.5")))
    assert found == [2, Decimal("1.5"), 1]


def moments(start: datetime, stop: datetime, step: Interval) -> list[datetime]:
    return rows("generate_series", (TIMESTAMP, start), (TIMESTAMP, stop), (INTERVAL, step))


def test_moments() -> None:
    # each step goes from the one before
    assert [(moment.month, moment.day) for moment in moments(datetime(2020, 1, 31), datetime(2020, 4, 30), Interval(1))
            ] == [(1, 31), (2, 29), (3, 29), (4, 29)]
    assert moments(datetime(2020, 1, 2), datetime(2020, 1, 1), Interval(0, 0, -43_200_000_000)) == [
        datetime(2020, 1, 2), datetime(2020, 1, 1, 12), datetime(2020, 1, 1)]
    assert registry.resolve("generate_series", (DATE, DATE, INTERVAL)).result == TIMESTAMPTZ


def test_days_of_the_session_zone() -> None:
    start, stop = datetime(2024, 3, 9, 5, tzinfo=UTC), datetime(2024, 3, 11, 5, tzinfo=UTC)
    with context.use(context.StatementContext(timezone="America/New_York")):
        assert rows("generate_series", (TIMESTAMPTZ, start), (TIMESTAMPTZ, stop), (INTERVAL, Interval(0, 1))) == [
            start, datetime(2024, 3, 10, 5, tzinfo=UTC), datetime(2024, 3, 11, 4, tzinfo=UTC)]


def test_the_last_moment_ends_a_series() -> None:
    last = datetime(9999, 12, 31, 23)
    assert moments(last, last, Interval(0, 0, 3_600_000_000)) == [last]


@pytest.mark.parametrize("arguments", [
    ((INT, 1), (INT, 2), (INT, 0)), ((NUMERIC, Decimal(1)), (NUMERIC, Decimal(2)), (NUMERIC, Decimal(0))),
    ((TIMESTAMP, datetime(2020, 1, 1)), (TIMESTAMP, datetime(2020, 1, 2)), (INTERVAL, Interval(1, -30)))])
def test_no_step(arguments: tuple[tuple[Type, Any], ...]) -> None:
    with pytest.raises(InvalidParameterValue):
        rows("generate_series", *arguments)


def test_a_long_series_is_lazy() -> None:
    overload = registry.resolve("generate_series", (BIGINT, BIGINT)).overload
    assert list(islice(overload.python(1, 2**62), 2)) == [1, 2]


def test_unnest() -> None:
    assert rows("unnest", (INTS, [1, None, 2])) == [1, None, 2]
    assert rows("unnest", (array(INTS), [[1, 2], [3, 4]])) == [1, 2, 3, 4]
    assert registry.resolve("unnest", (array(INTS),)).result == INT


def test_unnest_of_several() -> None:
    arguments = (INTS, [1, 2]), (array(TEXT), ["a", "b", "c"]), (INTS, None)
    assert rows("unnest", *arguments) == [(1, "a", None), (2, "b", None), (None, "c", None)]
    overload = registry.resolve("unnest", [type_ for type_, _ in arguments]).overload
    assert overload.columns == (("unnest", INT), ("unnest", TEXT), ("unnest", INT))
    with pytest.raises(UndefinedFunction):
        registry.resolve("unnest", (INTS, INT))


def test_subscripts() -> None:
    assert rows("generate_subscripts", (INTS, [7, 8, 9]), (INT, 1)) == [1, 2, 3]
    assert rows("generate_subscripts", (array(INTS), [[7, 8, 9]]), (INT, 2), (BOOL, True)) == [3, 2, 1]
    assert rows("generate_subscripts", (INTS, [7]), (INT, 2)) == rows("generate_subscripts", (INTS, []), (INT, 1)) == []


def test_texts() -> None:
    text = (TEXT, "foobarbequebaz")
    assert rows("regexp_matches", text, (TEXT, "(bar)(beque)")) == [["bar", "beque"]]
    assert rows("regexp_matches", text, (TEXT, "ba.")) == [["bar"]]
    assert rows("regexp_matches", text, (TEXT, "BA."), (TEXT, "gi")) == [["bar"], ["baz"]]
    assert rows("regexp_matches", text, (TEXT, "x")) == []
    assert rows("regexp_matches", text, (TEXT, "(bar)|(foo)")) == [[None, "foo"]]
    assert rows("regexp_split_to_table", (TEXT, "hello world"), (TEXT, r"\s+")) == ["hello", "world"]
    assert rows("string_to_table", (TEXT, "xx~^~yy~^~zz"), (TEXT, "~^~"), (TEXT, "yy")) == ["xx", None, "zz"]
    assert rows("string_to_table", (TEXT, None), (TEXT, ",")) == []
    with pytest.raises(InvalidParameterValue):
        rows("regexp_split_to_table", (TEXT, "a"), (TEXT, "b"), (TEXT, "g"))
