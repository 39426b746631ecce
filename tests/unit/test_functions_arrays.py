"""Arrays: values are those PostgreSQL 15 gives."""
from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core.query.errors import (
    ArraySubscriptError,
    FeatureNotSupported,
    NullValueNotAllowed,
    QueryError,
)
from phantomdb.core.query.functions import registry
from phantomdb.core.values import BOOL, DATE, DOUBLE, INT, NUMERIC, REAL, TEXT, Type, array, decimal

INTS, TEXTS, GRID = array(INT), array(TEXT), array(array(INT))


def call(name: str, *arguments: tuple[Type, Any]) -> Any:
    overload = registry.resolve(name, [type_ for type_, _ in arguments]).overload
    values = [value for _, value in arguments]
    return None if overload.is_strict and None in values else overload.python(*values)


@pytest.mark.parametrize(("name", "arguments", "expected"), [
    ("array_length", ((INTS, [1, 2, 3]), (INT, 1)), 3), ("array_length", ((INTS, []), (INT, 1)), None),
    ("array_length", ((INTS, [1]), (INT, 2)), None),
    ("array_length", ((GRID, [[1, 2, 3], [4, 5, 6]]), (INT, 2)), 3), ("array_length", ((INTS, [1]), (INT, 0)), None),
    ("array_upper", ((INTS, [1, 8, 3, 7]), (INT, 1)), 4), ("array_lower", ((INTS, [1]), (INT, 1)), 1),
    ("array_lower", ((INTS, []), (INT, 1)), None),
    ("array_dims", ((GRID, [[1, 2, 3], [4, 5, 6]]),), "[1:2][1:3]"), ("array_dims", ((INTS, []),), None),
    ("array_ndims", ((GRID, [[1, 2, 3], [4, 5, 6]]),), 2), ("array_ndims", ((INTS, []),), None),
    ("cardinality", ((GRID, [[1, 2], [3, 4]]),), 4),
    ("cardinality", ((INTS, []),), 0), ("trim_array", ((INTS, [1, 2, 3, 4]), (INT, 2)), [1, 2]),
    ("array_position", ((TEXTS, ["sun", "mon", "tue"]), (TEXT, "mon")), 2),
    ("array_position", ((INTS, [1, 2, 1]), (INT, 1), (INT, 2)), 3),
    ("array_position", ((INTS, [1, None]), (INT, None)), 2), ("array_position", ((INTS, [1]), (INT, 3)), None),
    ("array_position", ((INTS, [1, 2]), (INT, 1), (INT, -4)), 1),
    ("array_positions", ((TEXTS, ["A", "A", "B", "A"]), (TEXT, "A")), [1, 2, 4]),
    ("array_positions", ((INTS, [1, None]), (INT, None)), [2]),
    ("array_remove", ((INTS, [1, 2, 3, 2]), (INT, 2)), [1, 3]), ("array_remove", ((INTS, [1, None]), (INT, None)), [1]),
    ("array_replace", ((INTS, [1, 2, 5, 4]), (INT, 5), (INT, 3)), [1, 2, 3, 4]),
    ("array_replace", ((INTS, [None]), (INT, None), (INT, 3)), [3]),
    ("array_append", ((INTS, [1, 2]), (INT, 3)), [1, 2, 3]), ("array_append", ((INTS, None), (INT, 1)), [1]),
    ("array_append", ((INTS, [1]), (INT, None)), [1, None]), ("array_prepend", ((INT, 1), (INTS, [2, 3])), [1, 2, 3]),
    ("array_cat", ((INTS, [1, 2]), (INTS, [3])), [1, 2, 3]), ("array_cat", ((INTS, None), (INTS, [3])), [3]),
    ("array_cat", ((INTS, None), (INTS, None)), None),
    ("||", ((INTS, [1, 2, 3]), (INTS, [4])), [1, 2, 3, 4]), ("||", ((INT, 3), (INTS, [4])), [3, 4]),
    ("||", ((INTS, [4]), (INT, 7)), [4, 7]),
    ("||", ((GRID, [[4, 5]]), (INTS, [7, 8])), [[4, 5], [7, 8]]),
    ("||", ((INTS, [1, 2]), (GRID, [[4, 5]])), [[1, 2], [4, 5]]),
    ("array_fill", ((INT, 7), (INTS, [2])), [7, 7]), ("array_fill", ((INT, None), (INTS, [2])), [None, None]),
    ("array_fill", ((INT, 7), (INTS, [])), []),
    ("array", ((INT, 1), (INT, None)), [1, None]), ("array", ((INTS, [1]), (INTS, [2])), [[1], [2]]), ("array", (), []),
    ("subscript", ((INTS, [7, 8]), (INT, 1)), 7), ("subscript", ((INTS, [7, 8]), (INT, 0)), None),
    ("subscript", ((INTS, [7, 8]), (INT, -1)), None),
    ("subscript", ((GRID, [[1], [2]]), (INT, 2)), [2]), ("slice", ((INTS, [1, 2, 3]), (INT, 2), (INT, 3)), [2, 3]),
    ("slice", ((INTS, [1, 2, 3]), (INT, 0), (INT, 5)), [1, 2, 3]),
    ("slice", ((INTS, [1, 2, 3]), (INT, 3), (INT, 1)), []),
    ("slice", ((INTS, [1, 2]), (INT, -3), (INT, -1)), []), ("slice", ((INTS, [1, 2]), (INT, None), (INT, 1)), None),
    ("slice from", ((INTS, [1, 2, 3]), (INT, 2)), [2, 3]), ("slice to", ((INTS, [1, 2, 3]), (INT, 2)), [1, 2]),
])
def test_values(name: str, arguments: tuple[tuple[Type, Any], ...], expected: Any) -> None:
    assert call(name, *arguments) == expected


def test_result_types() -> None:
    assert registry.resolve("||", (GRID, INTS)).result == GRID
    assert registry.resolve("||", (INTS, INT)).result == INTS
    assert registry.resolve("subscript", (GRID, INT)).result == INTS
    assert registry.resolve("array", (INT, NUMERIC)).result == array(NUMERIC)


@pytest.mark.parametrize(("name", "arguments", "error"), [
    ("trim_array", ((INTS, [1]), (INT, 2)), ArraySubscriptError),
    ("trim_array", ((INTS, [1]), (INT, -1)), ArraySubscriptError),
    ("array_position", ((GRID, [[1]]), (INTS, [1])), FeatureNotSupported),
    ("array_remove", ((GRID, [[1]]), (INTS, [1])), FeatureNotSupported),
    ("array_position", ((INTS, [1]), (INT, 1), (INT, None)), NullValueNotAllowed),
    ("array", ((INTS, [1]), (INTS, [1, 2])), ArraySubscriptError),
    ("||", ((GRID, [[1]]), (GRID, [[1, 2]])), ArraySubscriptError),
    ("||", ((GRID, [[1]]), (INTS, [1, 2])), ArraySubscriptError),
    ("array_fill", ((INT, 1), (INTS, [-1])), ArraySubscriptError),
    ("array_fill", ((INT, 1), (INTS, [2, 2])), FeatureNotSupported),
    ("array_fill", ((INT, 1), (INTS, [2]), (INTS, [0])), FeatureNotSupported),
    ("array_fill", ((INT, 1), (INTS, None)), NullValueNotAllowed),
    ("array_fill", ((INT, 1), (INTS, [None])), NullValueNotAllowed),
    ("array_replace", ((GRID, [[1]]), (INTS, [1]), (INTS, [2])), FeatureNotSupported),
])
def test_refusals(name: str, arguments: tuple[tuple[Type, Any], ...], error: type[QueryError]) -> None:
    with pytest.raises(error):
        call(name, *arguments)


@pytest.mark.parametrize(("a", "b", "contains", "overlaps"), [
    ([1, 4, 3], [3, 1, 3], True, True), ([1, 2], [2, 7], False, True), ([1], [], True, False),
    ([1, None], [None], False, False),
    ([1, None], [1], True, True), ([], [], True, False), ([1], [2], False, False)])
def test_sets(a: list[int | None], b: list[int | None], contains: bool, overlaps: bool) -> None:
    assert call("@>", (INTS, a), (INTS, b)) is contains
    assert call("<@", (INTS, b), (INTS, a)) is contains
    assert call("&&", (INTS, a), (INTS, b)) is overlaps


def test_sets_of_floats_and_grids() -> None:
    nan = float("nan")
    assert call("@>", (array(DOUBLE), [nan, 0.0]), (array(DOUBLE), [-0.0, nan])) is True
    assert call("@>", (GRID, [[1, 2], [3, 4]]), (GRID, [[4, 1]])) is True


@pytest.mark.parametrize(("operator", "value", "items", "any_", "all_"), [
    ("=", 1, [1, None], True, None), ("=", 2, [1, None], None, False), ("<>", 1, [1, 1], False, False),
    ("<>", 2, [1, None], True, None),
    ("<", 2, [1, 3], True, False), (">=", 3, [1, 3], True, True), ("=", None, [1], None, None),
    ("=", None, [], False, True),
    ("=", 1, [], False, True), ("=", 1, None, None, None), (">", 0, [1], False, False), ("<=", 1, [2], True, True)])
def test_any_and_all(operator: str, value: int | None, items: list[int | None] | None, any_: bool | None,
                     all_: bool | None) -> None:
    assert call(f"{operator} any", (INT, value), (INTS, items)) is any_
    assert call(f"{operator} all", (INT, value), (INTS, items)) is all_


def test_any_and_all_of_texts() -> None:
    assert call("like any", (TEXT, "apple"), (TEXTS, ["b%", "a%"])) is True
    assert call("not like all", (TEXT, "apple"), (TEXTS, ["b%", "c%"])) is True
    assert call("ilike all", (TEXT, "Apple"), (TEXTS, ["a%", "b%"])) is False
    assert call("~ any", (TEXT, "apple"), (TEXTS, ["^b", None])) is None
    assert call("!~ any", (TEXT, "apple"), (TEXTS, ["^a"])) is False


@pytest.mark.parametrize(("type_", "items", "null_text", "expected"), [
    (INTS, [1, 2, 3, None, 5], "*", "1,2,3,*,5"), (INTS, [1, None], None, "1"),
    (array(BOOL), [True, False], None, "t,f"), (GRID, [[1, 2], [3, 4]], None, "1,2,3,4"),
    (INTS, [], None, ""), (array(NUMERIC), [Decimal("1.50")], None, "1.5"),
    (array(decimal(5, 2)), [Decimal("1.50")], None, "1.50"),
    (array(REAL), [0.10000000149011612], None, "0.1"),
    (array(DATE), [date(2020, 1, 2)], None, "2020-01-02"), (array(DOUBLE), [1e20], None, "1e+20")])
def test_array_to_string(type_: Type, items: list[Any], null_text: str | None, expected: str) -> None:
    assert call("array_to_string", (type_, items), (TEXT, ","), (TEXT, null_text)) == expected
    assert call("array_to_string", (type_, items), (TEXT, None)) is None


@pytest.mark.parametrize(("text", "separator", "null_text", "expected"), [
    ("xx~~yy~~zz", "~~", "yy", ["xx", None, "zz"]), ("abc", None, None, ["a", "b", "c"]), ("a,b", "", None, ["a,b"]),
    ("", ",", "", []),
    ("a,,b", ",", "", ["a", None, "b"]), (None, ",", None, None)])
def test_string_to_array(text: str | None, separator: str | None, null_text: str | None,
                         expected: list[str | None] | None) -> None:
    assert call("string_to_array", (TEXT, text), (TEXT, separator), (TEXT, null_text)) == expected


@given(st.lists(st.integers(0, 5) | st.none(), max_size=6), st.integers(0, 5) | st.none())
def test_search_and_removal_agree(items: list[int | None], wanted: int | None) -> None:
    positions = call("array_positions", (INTS, items), (INT, wanted))
    assert call("array_position", (INTS, items), (INT, wanted)) == (positions[0] if positions else None)
    assert len(call("array_remove", (INTS, items), (INT, wanted))) == len(items) - len(positions)
    assert [call("subscript", (INTS, items), (INT, position)) for position in positions] == [wanted] * len(positions)
    if wanted is not None:
        assert bool(call("= any", (INT, wanted), (INTS, items))) is bool(positions)


@given(st.lists(st.text("ab,", max_size=3), max_size=4))
def test_split_and_join(texts: list[str]) -> None:
    joined = call("array_to_string", (TEXTS, texts), (TEXT, ";"))
    assert call("string_to_array", (TEXT, joined), (TEXT, ";")) == (texts if joined else [])
