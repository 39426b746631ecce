"""Updates: MongoDB's documented examples of each operator, its errors, upserts, and the same through mongomock."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import mongomock
import pytest
from bson import Decimal128, Regex, Timestamp
from document_values import BSON_LEAVES, NAMES, documents
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import DocumentError
from phantomdb.frontends.document.filters import compile_filter
from phantomdb.frontends.document.paths import get
from phantomdb.frontends.document.update_operators import UPDATE_OPERATORS
from phantomdb.frontends.document.updates import compile_update
from phantomdb.frontends.document.values import MISSING

CASES: list[tuple[dict[str, Any], Any, dict[str, Any]]] = [
    # fields
    ({"a": 1}, {"$set": {"a": 2, "b.c": 3, "d.0": 4}}, {"a": 2, "b": {"c": 3}, "d": {"0": 4}}),
    ({"a": [1, 2]}, {"$set": {"a.1": 5, "a.4": 6}}, {"a": [1, 5, None, None, 6]}),
    ({"a": {"b": 1}}, {"$set": {"a.c": 2}}, {"a": {"b": 1, "c": 2}}),
    ({"a": 1}, {"$set": {"b": 2, "B": 3, "10": 1, "9": 0}}, {"a": 1, "9": 0, "10": 1, "B": 3, "b": 2}),
    ({"a": 1}, {"$set": {}}, {"a": 1}),
    ({"a": 1, "b": 2}, {"$unset": {"a": "", "c.d": ""}}, {"b": 2}),
    ({"a": [1, 2]}, {"$unset": {"a.0": ""}}, {"a": [None, 2]}),
    ({"a": {"b": 1}}, {"$unset": {"a.b": 1}}, {"a": {}}),
    ({"a": 5}, {"$inc": {"a": -2, "b": 1}}, {"a": 3, "b": 1}),
    ({"a": 5}, {"$inc": {"a": 0.5}}, {"a": 5.5}),
    ({"a": Decimal128("1.1")}, {"$inc": {"a": 1}}, {"a": Decimal128("2.1")}),
    ({"a": 5}, {"$mul": {"a": 2.5, "b": 3, "c": 1.5}}, {"a": 12.5, "b": 0, "c": 0.0}),
    ({"a": 5}, {"$min": {"a": 3, "b": 1}}, {"a": 3, "b": 1}),
    ({"a": 5}, {"$min": {"a": 7}}, {"a": 5}),
    ({"a": 5}, {"$max": {"a": 9.5}}, {"a": 9.5}),
    ({"a": 5}, {"$max": {"a": "x"}}, {"a": "x"}),
    ({"a": 5, "b": {"c": 1}}, {"$rename": {"a": "z", "b.c": "b.d"}}, {"b": {"d": 1}, "z": 5}),
    ({"a": 5}, {"$rename": {"nope": "z"}}, {"a": 5}),
    ({"a": 1, "b": 2}, {"$rename": {"a": "b"}}, {"b": 1}),
    ({"a": 1}, {"$setOnInsert": {"b": 1}, "$set": {"c": 1}}, {"a": 1, "c": 1}),
    # arrays
    ({"a": [1]}, {"$push": {"a": 2, "b": 3}}, {"a": [1, 2], "b": [3]}),
    ({"a": [1]}, {"$push": {"a": [2]}}, {"a": [1, [2]]}),
    ({"a": [1]}, {"$push": {"a": {"$each": [2, 3]}}}, {"a": [1, 2, 3]}),
    ({"a": [1, 2, 3]}, {"$push": {"a": {"$each": [9], "$position": 0}}}, {"a": [9, 1, 2, 3]}),
    ({"a": [1, 2, 3]}, {"$push": {"a": {"$each": [9], "$position": -1}}}, {"a": [1, 2, 9, 3]}),
    ({"a": [1, 2, 3]}, {"$push": {"a": {"$each": [0], "$slice": -2}}}, {"a": [3, 0]}),
    ({"a": [1, 2, 3]}, {"$push": {"a": {"$each": [], "$slice": 1}}}, {"a": [1]}),
    ({"a": [3, 1]}, {"$push": {"a": {"$each": [2], "$sort": 1}}}, {"a": [1, 2, 3]}),
    (
        {"a": [{"s": 8}, {"s": 7}]},
        {"$push": {"a": {"$each": [{"s": 9}], "$sort": {"s": -1}, "$slice": 2}}},
        {"a": [{"s": 9}, {"s": 8}]},
    ),
    ({"a": [1]}, {"$addToSet": {"a": 1.0}}, {"a": [1]}),
    ({"a": [1]}, {"$addToSet": {"a": {"$each": [1, 2, 2]}, "b": 5}}, {"a": [1, 2], "b": [5]}),
    ({"a": [1]}, {"$addToSet": {"a": [1]}}, {"a": [1, [1]]}),
    ({"a": [1, 2, 3]}, {"$pop": {"a": 1}}, {"a": [1, 2]}),
    ({"a": [1, 2, 3]}, {"$pop": {"a": -1, "b": 1}}, {"a": [2, 3]}),
    ({"a": []}, {"$pop": {"a": 1}}, {"a": []}),
    ({"a": [1, 5, 9]}, {"$pull": {"a": {"$gte": 5}}}, {"a": [1]}),
    ({"a": [1, "x", 1]}, {"$pull": {"a": 1}}, {"a": ["x"]}),
    ({"a": ["ab", "c"]}, {"$pull": {"a": Regex("^a")}}, {"a": ["c"]}),
    (
        {"a": [{"i": "A", "s": 5}, {"i": "B", "s": 8, "c": 1}]},
        {"$pull": {"a": {"s": 8, "i": "B"}}},
        {"a": [{"i": "A", "s": 5}]},
    ),
    ({"a": [1, 2]}, {"$pull": {"a": {"$in": [2, 7]}}}, {"a": [1]}),
    (
        {"a": [{"x": [{"q": 1, "r": 5}]}, {"x": [{"q": 2, "r": 6}]}]},
        {"$pull": {"a": {"x": {"$elemMatch": {"q": 2, "r": {"$gte": 6}}}}}},
        {"a": [{"x": [{"q": 1, "r": 5}]}]},
    ),
    ({"a": [0, 2, 5, 5, 1, 0]}, {"$pullAll": {"a": [0, 5]}}, {"a": [2, 1]}),
    ({"a": [[1]]}, {"$pull": {"a": [1]}}, {"a": []}),
    ({"b": 1}, {"$pull": {"a": 1}}, {"b": 1}),
    ({"a": 13}, {"$bit": {"a": {"and": 10}}}, {"a": 8}),
    ({"a": 3}, {"$bit": {"a": {"or": 5}, "b": {"xor": 5}}}, {"a": 7, "b": 5}),
    ({"a": 1}, {"$bit": {"a": {"xor": 5}}}, {"a": 4}),
    # pipelines, replacements
    ({"a": 1, "b": 2}, [{"$set": {"c": {"$add": ["$a", "$b"]}}}, {"$unset": ["a"]}], {"b": 2, "c": 3}),
    ({"a": 1, "b": 2}, [{"$replaceWith": {"x": "$a"}}], {"x": 1}),
    ({"a": 1, "b": 2}, [{"$project": {"a": 1}}], {"a": 1}),
    ({"a": 1, "b": 2}, {"c": 3}, {"c": 3}),
    ({"a": 1}, {}, {}),
]


@pytest.mark.parametrize(("document", "update", "expected"), CASES, ids=str)
def test_documented(document: dict[str, Any], update: Any, expected: dict[str, Any]) -> None:
    given_ = {"_id": 7, **document}
    before = copy.deepcopy(given_)
    found = compile_update(update).apply(given_)
    assert list(found.items()) == list({"_id": 7, **expected}.items())
    assert values.encode(found) == values.encode({"_id": 7, **expected})
    assert given_ == before


def test_every_operator_has_an_example() -> None:
    shown = {name for _, update, _ in CASES if isinstance(update, dict) for name in update}
    assert set(UPDATE_OPERATORS) - shown == {"$currentDate"}


def test_current_date() -> None:
    update = compile_update({"$currentDate": {"a": True, "b.c": {"$type": "timestamp"}, "d": {"$type": "date"}}})
    found = update.apply({"_id": 1})
    assert isinstance(found["a"], datetime.datetime) and found["a"].tzinfo is None
    assert abs(found["a"] - datetime.datetime.now(datetime.UTC).replace(tzinfo=None)) < datetime.timedelta(minutes=5)
    assert found["a"].microsecond % 1000 == 0
    assert isinstance(found["b"]["c"], Timestamp) and isinstance(found["d"], datetime.datetime)


@pytest.mark.parametrize(
    ("document", "filter_", "update", "array_filters", "expected"),
    [
        ({"g": [80, 85, 90]}, {"g": 85}, {"$set": {"g.$": 82}}, None, {"g": [80, 82, 90]}),
        (
            {"g": [{"s": 1}, {"s": 2, "t": 5}]},
            {"g.s": 2},
            {"$set": {"g.$.t": 6}},
            None,
            {"g": [{"s": 1}, {"s": 2, "t": 6}]},
        ),
        (
            {"g": [{"s": 1, "t": 9}, {"s": 1, "t": 5}]},
            {"g": {"$elemMatch": {"s": 1, "t": {"$lt": 6}}}},
            {"$inc": {"g.$.s": 1}},
            None,
            {"g": [{"s": 1, "t": 9}, {"s": 2, "t": 5}]},
        ),
        ({"g": [85, 82]}, {}, {"$inc": {"g.$[]": 10}}, None, {"g": [95, 92]}),
        ({"g": [{"s": 1}, {"s": 2}]}, {}, {"$set": {"g.$[].t": 0}}, None, {"g": [{"s": 1, "t": 0}, {"s": 2, "t": 0}]}),
        ({"g": [95, 102, 110]}, {}, {"$set": {"g.$[e]": 100}}, [{"e": {"$gte": 100}}], {"g": [95, 100, 100]}),
        (
            {"g": [{"s": 80, "m": 75}, {"s": 90, "m": 60}]},
            {},
            {"$set": {"g.$[e].m": 100}},
            [{"e.s": {"$gte": 85}}],
            {"g": [{"s": 80, "m": 75}, {"s": 90, "m": 100}]},
        ),
        (
            {"g": [{"q": [4, 6, 9]}, {"q": [1, 6]}]},
            {},
            {"$inc": {"g.$[].q.$[big]": 10}},
            [{"$or": [{"big": 6}, {"big": 9}]}],
            {"g": [{"q": [4, 16, 19]}, {"q": [1, 16]}]},
        ),
        ({"g": [{"q": [1]}]}, {}, {"$push": {"g.$[].q": 2}}, None, {"g": [{"q": [1, 2]}]}),
        ({"g": [1, 2]}, {}, {"$unset": {"g.$[e]": 1}}, [{"e": 2}], {"g": [1, None]}),
    ],
)
def test_positional(
    document: dict[str, Any],
    filter_: dict[str, Any],
    update: dict[str, Any],
    array_filters: Any,
    expected: dict[str, Any],
) -> None:
    compiled = compile_update(update, array_filters)
    assert compiled.needs_position == (".$." in str(update) or ".$'" in str(update))
    assert compiled.apply(document, compile_filter(filter_).position(document)) == expected


@pytest.mark.parametrize(
    ("document", "update", "array_filters", "number", "text"),
    [
        ({}, {"$foo": {"a": 1}}, None, 9, "Unknown modifier: $foo"),
        ({}, {"$set": 5}, None, 9, "Modifiers operate on fields"),
        ({}, {"$set": {"a": 1, "a.b": 2}}, None, 40, "conflict at 'a'"),
        ({}, {"$set": {"a": 1}, "$inc": {"a": 2}}, None, 40, "conflict at 'a'"),
        ({}, {"$rename": {"a": "b"}, "$set": {"a": 1}}, None, 40, "'a'"),
        ({}, {"$set": {"": 1}}, None, 56, "empty"),
        ({}, {"$set": {"a..b": 1}}, None, 56, "empty field name"),
        ({}, {"$set": {"a.$b": 1}}, None, 52, "$b"),
        ({}, {"$set": {"$": 1}}, None, 2, "first position"),
        ({}, {"$set": {"a.$.b.$": 1}}, None, 2, "Too many positional"),
        ({"a": "x"}, {"$inc": {"a": 1}}, None, 14, "non-numeric"),
        ({"a": None}, {"$inc": {"a": 1}}, None, 14, "null"),
        ({}, {"$inc": {"a": "x"}}, None, 14, "non-numeric argument"),
        ({"a": 2**63 - 1}, {"$inc": {"a": 1}}, None, 2, "Failed to apply $inc"),
        ({"a": 1}, {"$push": {"a": 1}}, None, 2, "must be an array"),
        ({"a": 1}, {"$addToSet": {"a": 1}}, None, 2, "must be an array"),
        ({"a": 1}, {"$pop": {"a": 1}}, None, 14, "non-array"),
        ({}, {"$pop": {"a": 2}}, None, 9, "$pop expects"),
        ({"a": 1}, {"$pull": {"a": 1}}, None, 2, "non-array"),
        ({}, {"$pullAll": {"a": 1}}, None, 2, "$pullAll requires"),
        ({}, {"$push": {"a": {"$each": 1}}}, None, 2, "$each"),
        ({}, {"$push": {"a": {"$each": [], "$x": 1}}}, None, 2, "$x"),
        ({}, {"$push": {"a": {"$each": [], "$slice": 1.5}}}, None, 2, "$slice"),
        ({}, {"$push": {"a": {"$each": [], "$sort": 2}}}, None, 2, "$sort"),
        ({}, {"$push": {"a": {"$each": [], "$position": "x"}}}, None, 2, "$position"),
        ({"a": 5}, {"$set": {"a.b": 1}}, None, 28, "Cannot create field 'b'"),
        ({"a": [1]}, {"$set": {"a.b": 1}}, None, 28, "Cannot create field 'b'"),
        ({"_id": 1}, {"$set": {"_id": 2}}, None, 66, "_id"),
        ({"_id": 1}, {"$unset": {"_id": 1}}, None, 66, "_id"),
        ({"_id": 1}, {"_id": 2, "a": 1}, None, 66, "_id"),
        ({"_id": 1}, [{"$set": {"_id": 2}}], None, 66, "_id"),
        ({"_id": {"x": 1}}, {"$set": {"_id.x": 2}}, None, 66, "_id"),
        ({"a": [1]}, {"$set": {"a.$": 2}}, None, 2, "positional operator did not find"),
        ({"a": 1}, {"$set": {"a.$[]": 2}}, None, 2, "non-array element"),
        ({}, {"$set": {"a.$[]": 2}}, None, 2, "must exist"),
        ({}, {"$set": {"a.$[x]": 2}}, None, 2, "No array filter found for identifier 'x'"),
        ({}, {"$set": {"a": 2}}, [{"x": 1}], 9, "'x' was not used"),
        ({}, {"$set": {"a.$[x]": 2}}, [{"x": 1}, {"x": 2}], 9, "multiple array filters"),
        ({}, {"$set": {"a.$[x]": 2}}, [{"x": 1, "y": 2}], 9, "single top-level"),
        ({}, {"$set": {"a.$[X]": 2}}, [{"X": 1}], 2, "lowercase"),
        ({}, {"$rename": {"a": 5}}, None, 2, "must be a string"),
        ({}, {"$rename": {"a": "a"}}, None, 2, "must differ"),
        ({"a": [{"b": 1}]}, {"$rename": {"a.0.b": "c"}}, None, 2, "array element"),
        ({}, {"$currentDate": {"a": 5}}, None, 2, "$currentDate"),
        ({}, {"$currentDate": {"a": {"$type": "x"}}}, None, 2, "'date' or 'timestamp'"),
        ({}, {"$bit": {"a": {"nor": 1}}}, None, 2, "nor"),
        ({}, {"$bit": {"a": {"and": 1.5}}}, None, 2, "Integer"),
        ({"a": 1.5}, {"$bit": {"a": {"and": 1}}}, None, 2, "non-integral"),
        ({}, [{"$match": {}}], None, 72, "$match"),
        ({}, {"a": 1, "$set": {"b": 1}}, None, 52, "$set"),
    ],
    ids=str,
)
def test_errors(document: dict[str, Any], update: Any, array_filters: Any, number: int, text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        compile_update(update, array_filters).apply(document)
    assert caught.value.code == number
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("filter_", "update", "expected"),
    [
        (
            {"a": 5, "b.c": {"$eq": 2}, "d": {"$gt": 1}},
            {"$set": {"x": 1}, "$setOnInsert": {"y": 2}},
            {"a": 5, "b": {"c": 2}, "x": 1, "y": 2},
        ),
        ({"_id": 3, "a": 1}, {"$inc": {"n": 1}}, {"_id": 3, "a": 1, "n": 1}),
        ({"_id": 3, "a": 1}, {"n": 1}, {"_id": 3, "n": 1}),
        ({"$and": [{"a": 1}, {"b": {"$in": [2]}}]}, {"$set": {}}, {"a": 1, "b": 2}),
        ({"$or": [{"a": 1}, {"b": 2}]}, {"$set": {"c": 1}}, {"c": 1}),
        ({"a": {"$all": [1]}}, {"$set": {"c": 1}}, {"a": 1, "c": 1}),
        ({"a": 1}, {"$set": {"_id": 9}}, {"_id": 9, "a": 1}),
        ({"a": 1}, [{"$set": {"b": "$a"}}], {"a": 1, "b": 1}),
        ({"a": Regex("x")}, {"$set": {"b": 1}}, {"b": 1}),
        ({"a": 1}, {"$unset": {"a": 1}}, {}),
    ],
)
def test_upserts(filter_: dict[str, Any], update: Any, expected: dict[str, Any]) -> None:
    found = compile_update(update).insert(compile_filter(filter_))
    assert list(found.items()) == list(expected.items())


@pytest.mark.parametrize(
    ("filter_", "update", "number"),
    [
        ({"a": 1, "$and": [{"a": 2}]}, {"$set": {"x": 1}}, 54),
        ({"a": 1, "a.b": 2}, {"$set": {"x": 1}}, 54),
        ({"_id": 1}, {"$set": {"_id": 2}}, 66),
        ({"_id": 1}, {"_id": 2}, 66),
    ],
)
def test_upserts_that_cannot_be(filter_: dict[str, Any], update: Any, number: int) -> None:
    with pytest.raises(DocumentError) as caught:
        compile_update(update).insert(compile_filter(filter_))
    assert caught.value.code == number


def test_what_an_update_may_change() -> None:
    assert compile_update({"$set": {"a.b": 1}, "$rename": {"c": "d"}}).paths == ("a.b", "d", "c")
    assert compile_update({"a": 1}).paths is None


@pytest.mark.parametrize("update", [5, "x", None])
def test_no_update(update: Any) -> None:
    with pytest.raises(TypeError):
        compile_update(update)


# -------------------------------------------------------------------- properties

PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
LEAVES = documents(BSON_LEAVES | st.integers(-3, 3), 3)


@given(st.dictionaries(NAMES, LEAVES, max_size=4), PATHS, LEAVES)
@settings(max_examples=200, deadline=None)
def test_what_is_set_is_found(document: dict[str, Any], path: str, value: Any) -> None:
    before = values.encode(document)
    try:
        found = compile_update({"$set": {path: value}}).apply(document)
    except DocumentError as error:
        assert error.code == 28
        return
    assert values.encode(document) == before
    assert compile_filter({path: {"$eq": value}}).matches(found)
    gone = compile_update({"$unset": {path: 1}}).apply(found)
    steps = path.split(".")
    assert get(gone, tuple(steps)) in (None, MISSING)
    again = compile_update({"$set": {path: value}}).apply(gone)
    assert values.equal(get(again, tuple(steps)), get(found, tuple(steps)))


PLAIN = st.integers(-3, 3) | st.sampled_from(["a", "b"])
PLAIN_DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(-3, 3),
        "f": st.sampled_from([1.5, -2.0]),
        "s": st.sampled_from(["x", "y"]),
        "l": st.lists(st.integers(0, 3), max_size=4),
        "o": st.fixed_dictionaries({}, optional={"p": PLAIN, "q": PLAIN}),
    },
)
PLAIN_UPDATES = st.fixed_dictionaries(
    {},
    optional={
        "$set": st.fixed_dictionaries({}, optional={"s": PLAIN, "o.p": PLAIN}).filter(bool),
        "$inc": st.fixed_dictionaries({"n": st.integers(-3, 3)}),
        "$unset": st.fixed_dictionaries({"o.q": st.just("")}),
        "$min": st.fixed_dictionaries({"m": st.integers(0, 3)}),
    },
) | st.one_of(
    st.integers(0, 3).map(lambda value: {"$push": {"l": value}}),
    st.integers(0, 3).map(lambda value: {"$addToSet": {"l": value}}),
    st.integers(0, 3).map(lambda value: {"$pull": {"l": value}}),
    st.lists(st.integers(0, 3), max_size=3).map(lambda items: {"$pullAll": {"l": items}}),
    st.sampled_from([1, -1]).map(lambda end: {"$pop": {"l": end}}),
    st.lists(st.integers(0, 3), max_size=3).map(lambda items: {"$push": {"l": {"$each": items, "$slice": -3}}}),
)


# mongomock has no $mul, and is not asked for $pop and $pull of a field that is not there.
@given(PLAIN_DOCUMENTS, PLAIN_UPDATES.filter(bool))
@settings(max_examples=200, deadline=None)
def test_updates_equal_mongomock(document: dict[str, Any], update: dict[str, Any]) -> None:
    if "l" not in document and {"$pull", "$pullAll", "$pop"} & set(update):
        return
    collection = mongomock.MongoClient().db.c
    collection.insert_one({"_id": 1, **document})
    collection.update_one({"_id": 1}, update)
    theirs = collection.find_one({"_id": 1})
    assert compile_update(update).apply({"_id": 1, **document}) == theirs
