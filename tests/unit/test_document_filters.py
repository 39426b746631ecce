"""Filters: MongoDB's documented examples of each operator; the matcher against a model and against mongomock."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import document_model
import mongomock
import pytest
from bson import Binary, Decimal128, MaxKey, MinKey, ObjectId, Regex
from document_values import BSON_LEAVES, NAMES, documents
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phantomdb.core._ext.matcher import Matcher
from phantomdb.core.errors import CorruptionError
from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import BadValue, CommandNotSupported, DocumentError, InvalidRegex
from phantomdb.frontends.document.filters import Conjunct, compile_filter

INVENTORY = [
    {
        "_id": 1,
        "item": "journal",
        "qty": 25,
        "tags": ["blank", "red"],
        "dim_cm": [14, 21],
        "size": {"h": 14, "uom": "cm"},
    },
    {
        "_id": 2,
        "item": "notebook",
        "qty": 50,
        "tags": ["red", "blank"],
        "dim_cm": [14, 21],
        "size": {"h": 8.5, "uom": "in"},
    },
    {"_id": 3, "item": "paper", "qty": 100, "tags": ["red", "blank", "plain"], "dim_cm": [14, 21], "status": None},
    {
        "_id": 4,
        "item": "planner",
        "qty": 75.5,
        "tags": ["blank", "red"],
        "dim_cm": [22.85, 30],
        "instock": [{"warehouse": "A", "qty": 5}, {"warehouse": "C", "qty": 15}],
    },
    {
        "_id": 5,
        "item": "postcard",
        "qty": Decimal128("45"),
        "tags": "blue",
        "dim_cm": [10, 15.25],
        "x": [[1, 2], [3]],
        "instock": [{"warehouse": "B", "qty": 15}, {"warehouse": "A", "qty": 40}],
        "bits": 54,
        "data": Binary(b"\x36", 0),
    },
]


@pytest.mark.parametrize(
    ("filter_", "ids"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"_id": {"$gt": 3}}, [4, 5]),
        ({"item": "paper"}, [3]),
        ({"qty": 45}, [5]),
        ({"qty": 100.0}, [3]),
        ({"size": {"h": 14, "uom": "cm"}}, [1]),
        ({"size": {"uom": "cm", "h": 14}}, []),
        ({"size.h": {"$lt": 15}}, [1, 2]),
        ({"size.h": {"$lt": 15}, "size.uom": "in"}, [2]),
        ({"$or": [{"qty": {"$lt": 30}}, {"item": re.compile("^p")}]}, [1, 3, 4, 5]),
        ({"$and": [{"qty": {"$gte": 50}}, {"qty": {"$lt": 76}}]}, [2, 4]),
        ({"$nor": [{"qty": {"$lt": 60}}, {"item": "paper"}]}, [4]),
        ({"tags": ["red", "blank"]}, [2]),
        ({"tags": {"$all": ["red", "blank"]}}, [1, 2, 3, 4]),
        ({"tags": "red"}, [1, 2, 3, 4]),
        ({"tags": {"$all": ["blue"]}}, [5]),
        ({"tags": {"$all": []}}, []),
        ({"dim_cm": {"$gt": 25}}, [4]),
        ({"dim_cm": {"$gt": 15, "$lt": 20}}, [1, 2, 3, 5]),
        ({"dim_cm": {"$elemMatch": {"$gt": 22, "$lt": 30}}}, [4]),
        ({"dim_cm.1": {"$gt": 25}}, [4]),
        ({"tags": {"$size": 3}}, [3]),
        ({"tags": {"$size": 0}}, []),
        ({"instock": {"warehouse": "A", "qty": 5}}, [4]),
        ({"instock": {"qty": 5, "warehouse": "A"}}, []),
        ({"instock.qty": {"$lte": 20}}, [4, 5]),
        ({"instock.0.qty": {"$lte": 20}}, [4, 5]),
        ({"instock": {"$elemMatch": {"qty": 5, "warehouse": "A"}}}, [4]),
        ({"instock": {"$elemMatch": {"qty": {"$gt": 10, "$lte": 20}}}}, [4, 5]),
        ({"instock.qty": 5, "instock.warehouse": "C"}, [4]),
        ({"instock": {"$all": [{"$elemMatch": {"qty": 15}}, {"$elemMatch": {"warehouse": "A"}}]}}, [4, 5]),
        ({"status": None}, [1, 2, 3, 4, 5]),
        ({"status": {"$type": 10}}, [3]),
        ({"status": {"$exists": False}}, [1, 2, 4, 5]),
        ({"status": {"$exists": True}}, [3]),
        ({"status": {"$ne": None}}, []),
        ({"status": {"$in": [None, 1]}}, [1, 2, 3, 4, 5]),
        ({"status": {"$gte": None}}, [1, 2, 3, 4, 5]),
        ({"status": {"$lt": MaxKey()}}, [1, 2, 3, 4, 5]),
        ({"qty": {"$gt": MinKey()}}, [1, 2, 3, 4, 5]),
        ({"qty": {"$type": "number"}}, [1, 2, 3, 4, 5]),
        ({"qty": {"$type": ["double", "decimal"]}}, [4, 5]),
        ({"qty": {"$type": "int"}}, [1, 2, 3]),
        ({"tags": {"$type": "array"}}, [1, 2, 3, 4]),
        ({"tags": {"$type": "string"}}, [1, 2, 3, 4, 5]),
        ({"qty": {"$in": [25, 50.0]}}, [1, 2]),
        ({"qty": {"$nin": [25, 50.0]}}, [3, 4, 5]),
        ({"item": {"$in": [Regex("^pa"), "journal"]}}, [1, 3]),
        ({"nope": {"$nin": [1]}}, [1, 2, 3, 4, 5]),
        ({"qty": {"$mod": [25, 0]}}, [1, 2, 3, 4]),
        ({"qty": {"$mod": [4.9, 1.2]}}, [1, 5]),
        ({"item": {"$mod": [1, 0]}}, []),
        ({"item": {"$regex": "NOTE", "$options": "i"}}, [2]),
        ({"item": {"$not": re.compile("^p")}}, [1, 2]),
        ({"item": {"$regex": Regex("^NOTE", "i")}}, [2]),
        ({"item": {"$regex": r"^(?<first>p).*d\z"}}, [5]),
        ({"qty": {"$not": {"$gt": 46}}}, [1, 5]),
        ({"nope": {"$not": {"$gt": 5}}}, [1, 2, 3, 4, 5]),
        ({"bits": {"$bitsAllSet": 50}}, [5]),
        ({"bits": {"$bitsAllSet": [1, 5]}}, [5]),
        ({"bits": {"$bitsAllClear": [0, 3]}}, [5]),
        ({"bits": {"$bitsAllClear": 35}}, []),
        ({"bits": {"$bitsAnySet": [1, 3]}}, [5]),
        ({"bits": {"$bitsAnyClear": 35}}, [5]),
        ({"data": {"$bitsAllSet": Binary(b"\x32", 0)}}, [5]),
        ({"data": {"$bitsAnyClear": [100]}}, [5]),
        ({"bits": {"$bitsAnySet": [0, 63]}}, []),
        ({"x": [1, 2]}, [5]),
        ({"x": 1}, []),
        ({"x.0": [1, 2]}, [5]),
        ({"x.0.1": 2}, [5]),
        ({"x": {"$elemMatch": {"$size": 1}}}, [5]),
        ({"x": {"$elemMatch": {"$elemMatch": {"$gt": 2}}}}, [5]),
        ({"x": {"$elemMatch": {"0": 3}}}, [5]),
        ({"$expr": {"$gt": ["$qty", "$dim_cm"]}}, []),
        ({"$expr": {"$gt": ["$qty", 60]}}, [3, 4]),
        ({"$jsonSchema": {"required": ["instock"], "properties": {"tags": {"bsonType": "array"}}}}, [4]),
        ({"$comment": "why", "_id": 1}, [1]),
        ({"_id": {"$eq": 1, "$comment": "x"}}, [1]),
        ({"$alwaysTrue": 1}, [1, 2, 3, 4, 5]),
        ({"$alwaysFalse": 1}, []),
        ({"tags.0": "blank"}, [1, 4]),
        ({"instock.warehouse": {"$ne": "A"}}, [1, 2, 3]),
        ({"instock.nope": None}, [1, 2, 3, 4, 5]),
        ({"instock.nope": {"$exists": True}}, []),
        ({"dim_cm.x": None}, []),
        ({"item.x": None}, [1, 2, 3, 4, 5]),
        ({"tags": {"$gt": ["red"]}}, [2, 3]),
        ({"size": {"$gt": {"h": 9}}}, [1]),
        ({"instock": {"$elemMatch": {"$or": [{"qty": 40}, {"qty": 99}]}}}, [5]),
        ({"qty": {"$lt": float("nan")}}, []),
    ],
)
def test_documented(filter_: dict[str, Any], ids: list[int]) -> None:
    compiled = compile_filter(filter_)
    assert [document["_id"] for document in INVENTORY if compiled.matches(document)] == ids
    assert compiled.matcher.select([values.encode(document) for document in INVENTORY]) == [id_ - 1 for id_ in ids]


@pytest.mark.parametrize(
    ("filter_", "number", "text"),
    [
        ({"$and": 1}, 2, "$and must be an array"),
        ({"$or": []}, 2, "nonempty array"),
        ({"$nor": [1]}, 2, "full objects"),
        ({"$foo": 1}, 2, "unknown top level operator: $foo"),
        ({"a": {"$foo": 1}}, 2, "unknown operator: $foo"),
        ({"a": {"$gt": 1, "b": 2}}, 2, "unknown operator: b"),
        ({"a": {"$in": 1}}, 2, "$in needs an array"),
        ({"a": {"$nin": {}}}, 2, "$nin needs an array"),
        ({"a": {"$in": [{"$gt": 1}]}}, 2, "cannot nest $ under $in"),
        ({"a": {"$ne": Regex("x")}}, 2, "regex as arg to $ne"),
        ({"a": {"$gt": Regex("x")}}, 2, "$gt"),
        ({"a": {"$size": -1}}, 2, "$size"),
        ({"a": {"$size": 1.5}}, 2, "$size"),
        ({"a": {"$size": "x"}}, 2, "$size"),
        ({"a": {"$mod": [0, 1]}}, 2, "divisor cannot be 0"),
        ({"a": {"$mod": [1]}}, 2, "not enough elements"),
        ({"a": {"$mod": [1, 2, 3]}}, 2, "too many elements"),
        ({"a": {"$mod": 3}}, 2, "needs to be an array"),
        ({"a": {"$type": "foo"}}, 2, "Unknown type name alias: foo"),
        ({"a": {"$type": 99}}, 2, "Invalid numerical type code"),
        ({"a": {"$type": []}}, 2, "at least one type"),
        ({"a": {"$not": {}}}, 2, "$not cannot be empty"),
        ({"a": {"$not": 5}}, 2, "$not needs"),
        ({"a": {"$all": 1}}, 2, "$all needs an array"),
        ({"a": {"$all": [{"$gt": 1}]}}, 2, "no $ expressions in $all"),
        ({"a": {"$all": [{"$elemMatch": {"b": 1}}, 1]}}, 2, "$all/$elemMatch"),
        ({"a": {"$elemMatch": 1}}, 2, "$elemMatch needs"),
        ({"a": {"$regex": 5}}, 2, "$regex has to be a string"),
        ({"a": {"$options": "i"}}, 2, "$options needs a $regex"),
        ({"a": {"$regex": "a", "$options": "z"}}, 2, "invalid flag"),
        ({"a": {"$regex": "("}}, 51091, "invalid"),
        ({"a": {"$bitsAllSet": -1}}, 2, "$bitsAllSet"),
        ({"a": {"$bitsAnySet": [1.5]}}, 2, "$bitsAnySet"),
        ({"$where": "1"}, 115, "$where"),
        ({"$text": {"$search": "x"}}, 115, "$text"),
        ({"a": {"$near": []}}, 115, "$near"),
        ({"a": {"$geoWithin": {}}}, 115, "$geoWithin"),
        ({"$expr": {"$nope": 1}}, 168, "$nope"),
        ({"a": {"$elemMatch": {"$expr": 1}}}, 2, "$expr"),
        ({"$jsonSchema": {"nope": 1}}, 9, "nope"),
    ],
)
def test_errors(filter_: dict[str, Any], number: int, text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        compile_filter(filter_)
    assert caught.value.code == number
    assert text in str(caught.value)


def test_errors_are_both_of_pymongo_and_ours() -> None:
    import pymongo.errors

    from phantomdb.core.errors import PhantomError

    with pytest.raises(pymongo.errors.OperationFailure) as caught:
        compile_filter({"$foo": 1})
    assert isinstance(caught.value, PhantomError)
    assert isinstance(caught.value, BadValue) and caught.value.phantom_code == "document_bad_value"
    assert caught.value.details is not None and caught.value.details["codeName"] == "BadValue"
    assert issubclass(InvalidRegex, pymongo.errors.PyMongoError) and issubclass(CommandNotSupported, PhantomError)


@pytest.mark.parametrize("filter_", [1, "x", [{"a": 1}]])
def test_no_filter(filter_: Any) -> None:
    with pytest.raises(TypeError):
        compile_filter(filter_)


# -------------------------------------------------------------------- against a model

PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
OPERANDS = documents(BSON_LEAVES | st.integers(-3, 3) | st.sampled_from(["a", "b"]), 3)
PREDICATES: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.one_of(
        st.dictionaries(
            st.sampled_from(["$eq", "$lt", "$lte", "$gt", "$gte", "$ne"]),
            OPERANDS.filter(lambda value: not isinstance(value, Regex)),
            min_size=1,
            max_size=2,
        ),
        st.builds(lambda items, name: {name: items}, st.lists(OPERANDS, max_size=4), st.sampled_from(["$in", "$nin"])),
        st.builds(
            lambda items: {"$all": items},
            st.lists(OPERANDS.filter(lambda value: not isinstance(value, Regex)), max_size=2),
        ),
        st.booleans().map(lambda flag: {"$exists": flag}),
        st.sampled_from(
            ["int", "double", "string", "array", "object", "null", "decimal", "long", "regex", "binData"]
        ).map(lambda name: {"$type": name}),
        st.integers(0, 3).map(lambda size: {"$size": size}),
        st.builds(lambda divisor, rest: {"$mod": [divisor, rest]}, st.sampled_from([1, 2, 3, -2]), st.integers(-1, 2)),
        st.sampled_from(["a", "^b", "."]).map(lambda pattern: {"$regex": Regex(pattern)}),
        PREDICATES.map(lambda inner: {"$not": inner}),
        PREDICATES.map(lambda inner: {"$elemMatch": inner}),
        FILTERS.filter(lambda filter_: bool(filter_)).map(lambda inner: {"$elemMatch": inner}),
    )
)
FILTERS: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: (
        st.dictionaries(PATHS, PREDICATES | OPERANDS.filter(lambda value: not isinstance(value, dict)), max_size=2)
        | st.builds(
            lambda name, items: {name: items},
            st.sampled_from(["$and", "$or", "$nor"]),
            st.lists(FILTERS, min_size=1, max_size=2),
        )
    )
)
SMALL = st.recursive(
    st.integers(-3, 3) | st.sampled_from(["a", "b", 1.0, 1.5, None, True]) | BSON_LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, SMALL, max_size=4)


@given(DOCUMENTS, FILTERS)
@settings(max_examples=600, deadline=None)
@example({"a": [[1, 2], [3]]}, {"a.0": 1})
@example({"a": [4]}, {"a.b": None})
@example({"a": [{"0": 5}, 7]}, {"a.0": 5})
@example({"a": []}, {"a": {"$exists": True}})
def test_matcher_equals_the_model(document: dict[str, Any], filter_: dict[str, Any]) -> None:
    assert compile_filter(filter_).matches(document) == document_model.matches(document, filter_)


# mongomock does not follow MongoDB in: objects and arrays as operands of ranges, decimals, NaN, the order of mixed
# types, $not of a path that leads nowhere, {"a.b": null} where an array holds no objects, $elemMatch by position, $mod
# of what is no integer, $size of what is no array, and it takes true for 1.
PLAIN = st.integers(-3, 3) | st.sampled_from(["a", "b", None, 1.5])
PLAIN_DOCUMENTS = st.dictionaries(
    st.sampled_from("abc"),
    PLAIN
    | st.lists(PLAIN, max_size=3)
    | st.lists(st.dictionaries(st.sampled_from("ab"), PLAIN, min_size=1, max_size=2), min_size=1, max_size=2)
    | st.dictionaries(st.sampled_from("ab"), PLAIN, max_size=2),
    max_size=3,
)
PLAIN_OPERANDS = st.integers(-3, 3) | st.sampled_from(["a", "b", 1.5])
PLAIN_PREDICATES = st.one_of(
    PLAIN_OPERANDS,
    st.dictionaries(
        st.sampled_from(["$eq", "$lt", "$lte", "$gt", "$gte", "$ne"]), PLAIN_OPERANDS, min_size=1, max_size=2
    ),
    st.builds(
        lambda items, name: {name: items},
        st.lists(PLAIN_OPERANDS, min_size=1, max_size=3),
        st.sampled_from(["$in", "$nin", "$all"]),
    ),
    st.booleans().map(lambda flag: {"$exists": flag}),
)
PLAIN_FILTERS = st.recursive(
    st.dictionaries(st.sampled_from(["a", "b", "c", "a.b"]), PLAIN_PREDICATES, max_size=2),
    lambda inner: st.builds(
        lambda name, items: {name: items},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=2),
    ),
    max_leaves=3,
)


@given(PLAIN_DOCUMENTS, PLAIN_FILTERS)
@settings(max_examples=300, deadline=None)
def test_matcher_equals_mongomock(document: dict[str, Any], filter_: dict[str, Any]) -> None:
    collection = mongomock.MongoClient().db.c
    collection.insert_one({"_id": 1, **document})
    assert compile_filter(filter_).matches(document) == bool(list(collection.find(filter_)))


# -------------------------------------------------------------------- what the matcher tells


@pytest.mark.parametrize(
    ("filter_", "position"),
    [
        ({"a": 7}, 1),
        ({"a": {"$gt": 7}}, 2),
        ({"b.x": 2}, 1),
        ({"b": {"$elemMatch": {"x": 2, "y": 3}}}, 1),
        ({"n": 1}, -1),
        ({"a": [5, 7, 9]}, -1),
        ({"a": 1}, None),
        ({"a": 9, "n": 1}, 2),
        ({"$or": [{"a": 1}, {"a": 9}]}, 2),
        ({"a.2": 9}, 2),
    ],
)
def test_position(filter_: dict[str, Any], position: int | None) -> None:
    document = {"a": [5, 7, 9], "b": [{"x": 1}, {"x": 2, "y": 3}], "n": 1}
    assert compile_filter(filter_).position(document) == position


def test_an_id_kept_apart() -> None:
    matcher = compile_filter({"_id.a": 5, "b": 1}).matcher
    assert matcher.matches(values.encode({"b": 1}), values.encode({"a": 5}))
    assert not matcher.matches(values.encode({"b": 1}), values.encode({"a": 6}))
    assert not matcher.matches(values.encode({"b": 1}))
    assert compile_filter({"$expr": {"$eq": ["$_id", 7]}}).matcher.matches(values.encode({}), values.encode(7))
    assert compile_filter({"x._id": 1}).matcher.matches(values.encode({"x": {"_id": 1}}), values.encode(2))


@pytest.mark.parametrize(
    ("filter_", "conjuncts"),
    [
        ({"a": 1, "b.c": {"$gt": 2, "$lt": "x", "$ne": 3}}, [("a", "eq", 1), ("b.c", "gt", 2), ("b.c", "lt", "x")]),
        (
            {"$and": [{"a": {"$in": [1, None]}}, {"$or": [{"b": 1}]}, {"$or": [{"c": 1}, {"d": 1}]}]},
            [("a", "in", [1, None]), ("b", "eq", 1)],
        ),
        (
            {
                "a": Regex("x"),
                "b": [1],
                "c": {"$in": [[1]]},
                "d": float("nan"),
                "e": {"$gt": None},
                "f": {"$not": {"$eq": 1}},
            },
            [],
        ),
        ({"a": None}, [("a", "eq", None)]),
        ({"a": {"x": 1}}, [("a", "eq", {"x": 1})]),
        ({"a": {"$gt": {"x": 1}}}, []),
    ],
)
def test_conjuncts(filter_: dict[str, Any], conjuncts: list[tuple[str, str, Any]]) -> None:
    assert list(compile_filter(filter_).conjuncts) == [Conjunct(*conjunct) for conjunct in conjuncts]


@given(DOCUMENTS, FILTERS)
@settings(max_examples=150, deadline=None)
def test_conjuncts_hold_where_the_filter_does(document: dict[str, Any], filter_: dict[str, Any]) -> None:
    compiled = compile_filter(filter_)
    if compiled.matches(document):
        for conjunct in compiled.conjuncts:
            assert document_model.holds(document, conjunct.path, f"${conjunct.operator}", conjunct.value)


def test_what_a_function_of_a_filter_raises_is_passed_on() -> None:
    filter_ = compile_filter({"$expr": {"$divide": [1, "$a"]}})
    assert filter_.is_whole and filter_.matches({"a": 2})
    with pytest.raises(DocumentError, match="divide by zero"):
        filter_.matches({"a": 0})
    with pytest.raises(DocumentError, match="divide by zero"):
        filter_.matcher.select([values.encode({"a": 0})])


def test_damaged_documents_never_crash() -> None:
    data = values.encode({"a": [{"b": 1}, [1, 2.5], "x"], "b": Decimal128("1.5"), "c": UUID(int=4), "d": ObjectId()})
    matchers = [
        compile_filter(filter_).matcher
        for filter_ in (
            {"a.b": 1, "b": {"$gt": 1}},
            {"a": {"$elemMatch": {"$size": 2}}, "c": {"$ne": 1}},
            {"b": {"$mod": [2, 1]}},
            {"a.1.0": {"$in": [1, "x", 2.5]}},
            {"a": {"$type": "int"}},
            {"d": {"$bitsAllSet": [1]}},
            {"a": {"$gt": [{}]}},
        )
    ]
    refused = 0
    for position in range(len(data)):
        for byte in range(0, 256, 3):
            bent = data[:position] + bytes([byte]) + data[position + 1 :]
            for matcher in matchers:
                try:
                    matcher.matches(bent)
                except CorruptionError:
                    refused += 1
    assert refused > 1000


@pytest.mark.parametrize(
    "tree", [("nope",), ("eq", ("a",), b""), ("eq", ("a",), b"\xff"), ("eq", ("a",)), ("in", ("a",), [b"x"]), ()]
)
def test_no_tree(tree: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, IndexError)):
        Matcher(tree)


def test_depth() -> None:
    deep: Any = {"a": 1}
    for _ in range(140):
        deep = {"$and": [deep]}
    assert compile_filter(deep).matches({"a": 1})
    for _ in range(100):
        deep = {"$and": [deep]}
    with pytest.raises(BadValue, match="nested"):
        compile_filter(deep)
