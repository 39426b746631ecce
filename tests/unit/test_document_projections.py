"""Projections of find and sorting, after MongoDB's documentation."""

from __future__ import annotations

import random
from typing import Any

import mongomock
import pytest
from document_values import BSON_LEAVES, NAMES, documents
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import DocumentError
from phantomdb.frontends.document.filters import compile_filter
from phantomdb.frontends.document.projections import compile_projection
from phantomdb.frontends.document.sorting import compile_sort

DOCUMENT: dict[str, Any] = {
    "_id": 1,
    "item": "journal",
    "n": 5,
    "size": {"h": 14, "w": 21, "uom": "cm"},
    "stock": [{"w": "A", "qty": 5}, {"w": "B", "qty": 9}, 7],
    "tags": ["a", "b", "c"],
    "null": None,
}


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        (None, DOCUMENT),
        ({}, DOCUMENT),
        ({"item": 1}, {"_id": 1, "item": "journal"}),
        ({"item": True, "_id": 0}, {"item": "journal"}),
        ({"n": 1, "item": 1}, {"_id": 1, "item": "journal", "n": 5}),
        (["item", "nope"], {"_id": 1, "item": "journal"}),
        ([], {"_id": 1}),
        ({"_id": 1}, {"_id": 1}),
        ({"_id": 0, "n": 0, "size": 0, "stock": 0, "tags": 0}, {"item": "journal", "null": None}),
        ({"size.uom": 1}, {"_id": 1, "size": {"uom": "cm"}}),
        ({"size": {"uom": 1, "h": 1}}, {"_id": 1, "size": {"h": 14, "uom": "cm"}}),
        (
            {"size.uom": 0, "stock": 0, "tags": 0, "n": 0, "null": 0},
            {"_id": 1, "item": "journal", "size": {"h": 14, "w": 21}},
        ),
        ({"stock.qty": 1}, {"_id": 1, "stock": [{"qty": 5}, {"qty": 9}]}),
        (
            {"stock.w": 0, "size": 0, "tags": 0, "n": 0, "null": 0, "item": 0},
            {"_id": 1, "stock": [{"qty": 5}, {"qty": 9}, 7]},
        ),
        ({"null": 1, "item.x": 1}, {"_id": 1, "null": None}),
        ({"tags": {"$slice": 1}, "size": 0, "stock": 0, "n": 0, "null": 0, "item": 0}, {"_id": 1, "tags": ["a"]}),
        ({"tags": {"$slice": -1}, "n": 1}, {"_id": 1, "n": 5, "tags": ["c"]}),
        ({"tags": {"$slice": [1, 1]}, "n": 1}, {"_id": 1, "n": 5, "tags": ["b"]}),
        ({"tags": {"$slice": [-2, 1]}, "n": 1, "_id": 0}, {"n": 5, "tags": ["b"]}),
        ({"stock": {"$elemMatch": {"qty": {"$gt": 5}}}}, {"_id": 1, "stock": [{"w": "B", "qty": 9}]}),
        ({"stock": {"$elemMatch": {"qty": 99}}, "n": 1}, {"_id": 1, "n": 5}),
        ({"twice": {"$multiply": ["$n", 2]}}, {"_id": 1, "twice": 10}),
        ({"n": "$size.h", "item": 1}, {"_id": 1, "item": "journal", "n": 14}),
        ({"x.y": "$n", "_id": 0}, {"x": {"y": 5}}),
        ({"l": {"$literal": 1}}, {"_id": 1, "l": 1}),
        ({"stock.q": "$n", "_id": 0}, {"stock": [{"q": 5}, {"q": 5}, {"q": 5}]}),
        ({"item": 1, "n": {"$cond": [False, 1, "$$REMOVE"]}}, {"_id": 1, "item": "journal"}),
    ],
    ids=str,
)
def test_documented(projection: Any, expected: dict[str, Any]) -> None:
    compiled = compile_projection(projection)
    found = DOCUMENT if compiled is None else compiled.apply(DOCUMENT)
    assert found == expected
    assert list(found) == list(expected)


def test_positional() -> None:
    projection = compile_projection({"stock.$": 1})
    assert projection is not None and projection.needs_position
    position = compile_filter({"stock.qty": {"$gt": 5}}).position(DOCUMENT)
    assert projection.apply(DOCUMENT, position) == {"_id": 1, "stock": [{"w": "B", "qty": 9}]}
    with pytest.raises(DocumentError, match="positional operator"):
        projection.apply(DOCUMENT, None)


@pytest.mark.parametrize(
    ("projection", "number"),
    [
        ({"a": 1, "b": 0}, 31254),
        ({"a": 0, "b": "$x"}, 31252),
        ({"a": 1, "a.b": 1}, 31249),
        ({"a.b": 1, "a": 1}, 31250),
        ({"a": {}}, 51270),
        ({"a..b": 1}, 40353),
        ({"$a": 1}, 16410),
        ({"a": {"$slice": "x"}}, 28667),
        ({"a": {"$slice": [1, 0]}}, 28729),
        ({"a": {"$slice": [1]}}, 28667),
        ({"a": {"$elemMatch": 1}}, 31274),
        ({"a.b": {"$elemMatch": {"c": 1}}}, 31275),
        ({"a.$": 1, "b.$": 1}, 31276),
        ({"a.$": 1, "b": 0}, 31395),
        ({"a": {"$meta": "textScore"}}, 115),
        ({"a": {"$nope": 1}}, 168),
    ],
)
def test_errors(projection: Any, number: int) -> None:
    with pytest.raises(DocumentError) as caught:
        compile_projection(projection)
    assert caught.value.code == number


@pytest.mark.parametrize("projection", ["abc", [1], {1: 1}])
def test_no_projection(projection: Any) -> None:
    with pytest.raises(TypeError):
        compile_projection(projection)


PLAIN = st.recursive(
    st.integers(0, 3) | st.sampled_from(["x", None]),
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        | st.lists(st.dictionaries(st.sampled_from("abc"), inner, max_size=2), max_size=2)
    ),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from("abc"), PLAIN, max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "c.a", "c.b"]), st.just(1), min_size=1),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_projections_equal_mongomock(
    document: dict[str, Any], fields: dict[str, int], is_inclusive: bool, has_id: bool
) -> None:
    if not is_inclusive:  # mongomock drops a value through which an excluded path leads
        fields = {name: 0 for name in fields if "." not in name} or {"a": 0}
    projection = {name: int(is_inclusive) for name in fields} | ({} if has_id else {"_id": 0})
    collection = mongomock.MongoClient().db.c
    collection.insert_one({"_id": 1, **document})
    compiled = compile_projection(projection)
    assert compiled is not None
    found = compiled.apply({"_id": 1, **document})
    theirs = collection.find_one({}, projection)
    assert found == theirs


# -------------------------------------------------------------------- sorting


@pytest.mark.parametrize(
    ("sort", "ids"),
    [
        ({"a": 1}, [5, 6, 2, 1, 4, 3]),
        ({"a": -1}, [3, 4, 2, 1, 6, 5]),
        ({"b.c": 1, "_id": -1}, [6, 5, 4, 3, 2, 1]),
        ([("a", 1), ("_id", -1)], [5, 6, 2, 1, 4, 3]),
        ({"l.0": 1, "_id": 1}, [1, 4, 5, 6, 3, 2]),
    ],
)
def test_sort(sort: Any, ids: list[int]) -> None:
    rows = [
        {"_id": 1, "a": 1, "b": [{"c": 5}, {"c": 1}]},
        {"_id": 2, "a": [7, 0.5], "b": {"c": 1}, "l": [9]},
        {"_id": 3, "a": {"x": 1}, "b": {"c": 0}, "l": [3, 10]},
        {"_id": 4, "a": "x", "b": 5},
        {"_id": 5, "a": []},
        {"_id": 6},
    ]
    random.Random(1).shuffle(rows)
    assert [row["_id"] for row in compile_sort(sort)(rows)] == ids


@pytest.mark.parametrize(
    ("sort", "number"),
    [
        ({}, 15976),
        ({"a": 2}, 15975),
        ({"a": "x"}, 15975),
        ({"a": {"$meta": "x"}}, 115),
        ({"": 1}, 2),
        ({"$a": 1}, 16410),
        ({"a": {}}, 15974),
    ],
)
def test_sort_errors(sort: Any, number: int) -> None:
    with pytest.raises(DocumentError) as caught:
        compile_sort(sort)
    assert caught.value.code == number


@given(
    st.lists(
        st.dictionaries(NAMES, documents(BSON_LEAVES, 4).filter(lambda value: not isinstance(value, list)), max_size=2),
        max_size=6,
    ),
    st.sampled_from([1, -1]),
)
@settings(max_examples=100, deadline=None)
def test_sort_follows_the_order_of_values(rows: list[dict[str, Any]], way: int) -> None:
    found = compile_sort({"a": way})(rows)
    keys = [values.order_key(row.get("a")) for row in found]
    assert keys == sorted(keys, reverse=way < 0)
    assert all(any(row is other for other in rows) for row in found)
