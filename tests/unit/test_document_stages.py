"""Pipelines: MongoDB's documented examples of each stage, accumulator and window function, and mongomock's answers."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import mongomock
import pytest
from bson import Decimal128
from document_values import BSON_LEAVES, documents
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.frontends.document import values
from phantomdb.frontends.document.accumulators import ACCUMULATORS, UNSUPPORTED_ACCUMULATORS
from phantomdb.frontends.document.errors import DocumentError
from phantomdb.frontends.document.filters import compile_filter
from phantomdb.frontends.document.stages import STAGES, UNSUPPORTED, Context, compile_pipeline, leading_filter

SALES: list[dict[str, Any]] = [
    {"_id": 1, "item": "abc", "price": 10, "quantity": 2, "date": datetime.datetime(2014, 1, 1, 8), "tags": ["x", "y"]},
    {"_id": 2, "item": "jkl", "price": 20, "quantity": 1, "date": datetime.datetime(2014, 2, 3, 9), "tags": []},
    {"_id": 3, "item": "xyz", "price": 5, "quantity": 5, "date": datetime.datetime(2014, 2, 3, 9, 5), "tags": "x"},
    {"_id": 4, "item": "abc", "price": 10, "quantity": 10, "date": datetime.datetime(2014, 2, 15, 8), "tags": None},
    {"_id": 5, "item": "xyz", "price": 5, "quantity": 10.5, "date": datetime.datetime(2014, 2, 15, 9, 12)},
]
OTHERS: dict[str, list[dict[str, Any]]] = {
    "stock": [
        {"_id": 1, "sku": "abc", "n": 120},
        {"_id": 2, "sku": "def", "n": 80},
        {"_id": 3, "sku": None, "n": 1},
        {"_id": 4, "n": 2},
        {"_id": 5, "sku": ["xyz", "q"], "n": 9},
    ],
    "people": [
        {"_id": 1, "name": "Dev"},
        {"_id": 2, "name": "Eliot", "boss": "Dev"},
        {"_id": 3, "name": "Ron", "boss": "Eliot"},
        {"_id": 4, "name": "Andrew", "boss": "Eliot"},
        {"_id": 5, "name": "Asya", "boss": "Ron"},
    ],
}
written: list[tuple[Any, list[Any]]] = []


def find(name: str, filter_: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    compiled = compile_filter(filter_)
    return (document for document in OTHERS[name] if compiled.matches(document))


def run(pipeline: list[dict[str, Any]], source: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    context = Context(
        find=find,
        out=lambda target, rows: written.append((target, list(rows))),
        merge=lambda target, rows: written.append((target, list(rows))),
    )
    return list(compile_pipeline(pipeline, context)(SALES if source is None else source))


ONLY_ID = {"$project": {"_id": 1}}
CASES: list[tuple[list[dict[str, Any]], list[Any]]] = [
    ([{"$match": {"price": {"$gt": 5}}}, {"$match": {"quantity": {"$lt": 3}}}, ONLY_ID], [{"_id": 1}, {"_id": 2}]),
    ([{"$match": {"$expr": {"$gt": ["$quantity", "$price"]}}}, ONLY_ID], [{"_id": 5}]),
    (
        [{"$limit": 1}, {"$project": {"item": 1, "total": {"$multiply": ["$price", "$quantity"]}}}],
        [{"_id": 1, "item": "abc", "total": 20}],
    ),
    ([{"$limit": 1}, {"$project": {"tags": 0, "date": 0, "_id": 0}}], [{"item": "abc", "price": 10, "quantity": 2}]),
    ([{"$limit": 1}, {"$project": {"_id": 0, "o": {"p": "$price", "q": 1}}}], [{"o": {"p": 10}}]),
    ([{"$limit": 1}, {"$project": {"_id": 0, "first": {"$arrayElemAt": ["$tags", 0]}}}], [{"first": "x"}]),
    (
        [{"$limit": 1}, {"$addFields": {"a.b": "$price", "tags": "$$REMOVE"}}, {"$unset": ["date", "item"]}],
        [{"_id": 1, "price": 10, "quantity": 2, "a": {"b": 10}}],
    ),
    (
        [{"$limit": 1}, {"$set": {"price": {"$add": ["$price", 1]}}}, {"$project": {"price": 1}}],
        [{"_id": 1, "price": 11}],
    ),
    ([{"$unset": "x"}, {"$skip": 4}, ONLY_ID], [{"_id": 5}]),
    (
        [{"$limit": 1}, {"$replaceRoot": {"newRoot": {"$mergeObjects": [{"z": 0}, {"p": "$price"}]}}}],
        [{"z": 0, "p": 10}],
    ),
    ([{"$limit": 1}, {"$replaceWith": {"p": "$price"}}], [{"p": 10}]),
    ([{"$sort": {"price": -1, "_id": -1}}, ONLY_ID], [{"_id": 2}, {"_id": 4}, {"_id": 1}, {"_id": 5}, {"_id": 3}]),
    ([{"$sort": {"price": 1}}, {"$skip": 1}, {"$limit": 2}, ONLY_ID], [{"_id": 5}, {"_id": 1}]),
    ([{"$sort": {"price": 1}}, {"$limit": 1}, ONLY_ID], [{"_id": 3}]),
    (
        [{"$unwind": "$tags"}, {"$project": {"tags": 1}}],
        [{"_id": 1, "tags": "x"}, {"_id": 1, "tags": "y"}, {"_id": 3, "tags": "x"}],
    ),
    (
        [
            {"$unwind": {"path": "$tags", "preserveNullAndEmptyArrays": True, "includeArrayIndex": "i"}},
            {"$project": {"tags": 1, "i": 1}},
        ],
        [
            {"_id": 1, "tags": "x", "i": 0},
            {"_id": 1, "tags": "y", "i": 1},
            {"_id": 2, "i": None},
            {"_id": 3, "tags": "x", "i": None},
            {"_id": 4, "tags": None, "i": None},
            {"_id": 5, "i": None},
        ],
    ),
    (
        [
            {
                "$group": {
                    "_id": "$item",
                    "n": {"$count": {}},
                    "total": {"$sum": {"$multiply": ["$price", "$quantity"]}},
                }
            },
            {"$sort": {"_id": 1}},
        ],
        [
            {"_id": "abc", "n": 2, "total": 120},
            {"_id": "jkl", "n": 1, "total": 20},
            {"_id": "xyz", "n": 2, "total": 77.5},
        ],
    ),
    (
        [
            {
                "$group": {
                    "_id": {"m": {"$month": "$date"}},
                    "avg": {"$avg": "$quantity"},
                    "min": {"$min": "$price"},
                    "max": {"$max": "$price"},
                    "first": {"$first": "$_id"},
                    "last": {"$last": "$_id"},
                    "all": {"$push": "$_id"},
                    "set": {"$addToSet": "$price"},
                }
            },
            {"$sort": {"_id": 1}},
        ],
        [
            {"_id": {"m": 1}, "avg": 2.0, "min": 10, "max": 10, "first": 1, "last": 1, "all": [1], "set": [10]},
            {
                "_id": {"m": 2},
                "avg": 6.625,
                "min": 5,
                "max": 20,
                "first": 2,
                "last": 5,
                "all": [2, 3, 4, 5],
                "set": [20, 5, 10],
            },
        ],
    ),
    (
        [
            {
                "$group": {
                    "_id": None,
                    "f": {"$firstN": {"n": 2, "input": "$_id"}},
                    "l": {"$lastN": {"n": 2, "input": "$_id"}},
                    "mi": {"$minN": {"n": 2, "input": "$price"}},
                    "ma": {"$maxN": {"n": {"$add": [1, 1]}, "input": "$price"}},
                    "t": {"$top": {"sortBy": {"price": -1}, "output": "$_id"}},
                    "tn": {"$topN": {"n": 2, "sortBy": {"price": -1}, "output": ["$_id", "$price"]}},
                    "b": {"$bottom": {"sortBy": {"price": 1}, "output": "$_id"}},
                    "bn": {"$bottomN": {"n": 2, "sortBy": {"_id": 1}, "output": "$_id"}},
                }
            }
        ],
        [
            {
                "_id": None,
                "f": [1, 2],
                "l": [4, 5],
                "mi": [5, 5],
                "ma": [20, 10],
                "t": 2,
                "tn": [[2, 20], [1, 10]],
                "b": 2,
                "bn": [4, 5],
            }
        ],
    ),
    (
        [
            {
                "$group": {
                    "_id": "$nope",
                    "p": {"$stdDevPop": "$price"},
                    "s": {"$stdDevSamp": "$price"},
                    "m": {"$median": {"input": "$price", "method": "approximate"}},
                    "q": {"$percentile": {"input": "$price", "p": [0.9], "method": "approximate"}},
                    "o": {"$mergeObjects": {"a": "$_id"}},
                }
            },
            {"$set": {"p": {"$round": ["$p", 3]}, "s": {"$round": ["$s", 3]}}},
        ],
        [{"_id": None, "p": 5.477, "s": 6.124, "m": 10.0, "q": [20.0], "o": {"a": 5}}],
    ),
    ([{"$sortByCount": "$item"}], [{"_id": "abc", "count": 2}, {"_id": "xyz", "count": 2}, {"_id": "jkl", "count": 1}]),
    ([{"$count": "n"}], [{"n": 5}]),
    ([{"$match": {"_id": 99}}, {"$count": "n"}], []),
    (
        [
            {
                "$bucket": {
                    "groupBy": "$price",
                    "boundaries": [0, 10, 20],
                    "default": "more",
                    "output": {"n": {"$sum": 1}, "ids": {"$push": "$_id"}},
                }
            }
        ],
        [{"_id": 0, "n": 2, "ids": [3, 5]}, {"_id": 10, "n": 2, "ids": [1, 4]}, {"_id": "more", "n": 1, "ids": [2]}],
    ),
    (
        [{"$bucketAuto": {"groupBy": "$price", "buckets": 2}}],
        [{"_id": {"min": 5, "max": 20}, "count": 4}, {"_id": {"min": 20, "max": 20}, "count": 1}],
    ),
    (
        [{"$bucketAuto": {"groupBy": "$_id", "buckets": 3}}],
        [
            {"_id": {"min": 1, "max": 3}, "count": 2},
            {"_id": {"min": 3, "max": 5}, "count": 2},
            {"_id": {"min": 5, "max": 5}, "count": 1},
        ],
    ),
    (
        [{"$facet": {"a": [{"$match": {"price": 5}}, {"$count": "n"}], "b": [{"$limit": 1}, ONLY_ID]}}],
        [{"a": [{"n": 2}], "b": [{"_id": 1}]}],
    ),
    (
        [
            {"$limit": 3},
            {"$lookup": {"from": "stock", "localField": "item", "foreignField": "sku", "as": "s"}},
            {"$project": {"s.n": 1}},
        ],
        [{"_id": 1, "s": [{"n": 120}]}, {"_id": 2, "s": []}, {"_id": 3, "s": [{"n": 9}]}],
    ),
    (
        [
            {"$limit": 1},
            {"$lookup": {"from": "stock", "localField": "nope", "foreignField": "sku", "as": "s"}},
            {"$project": {"s._id": 1}},
        ],
        [{"_id": 1, "s": [{"_id": 3}, {"_id": 4}]}],
    ),
    (
        [
            {"$limit": 2},
            {
                "$lookup": {
                    "from": "stock",
                    "let": {"i": "$item"},
                    "pipeline": [
                        {"$match": {"$expr": {"$eq": ["$sku", "$$i"]}}},
                        {"$project": {"_id": 0, "n": 1, "i": "$$i"}},
                    ],
                    "as": "s",
                }
            },
            {"$project": {"s": 1}},
        ],
        [{"_id": 1, "s": [{"n": 120, "i": "abc"}]}, {"_id": 2, "s": []}],
    ),
    (
        [
            {"$limit": 1},
            {
                "$lookup": {
                    "from": "stock",
                    "localField": "item",
                    "foreignField": "sku",
                    "pipeline": [{"$project": {"n": 1}}],
                    "as": "a.s",
                }
            },
            {"$project": {"a": 1}},
        ],
        [{"_id": 1, "a": {"s": [{"_id": 1, "n": 120}]}}],
    ),
    (
        [{"$limit": 1}, {"$lookup": {"pipeline": [{"$documents": [{"q": 1}]}], "as": "s"}}, {"$project": {"s": 1}}],
        [{"_id": 1, "s": [{"q": 1}]}],
    ),
    (
        [
            {"$limit": 1},
            {"$project": {"_id": 0, "item": 1}},
            {
                "$unionWith": {
                    "coll": "stock",
                    "pipeline": [{"$match": {"n": {"$gt": 100}}}, {"$project": {"_id": 0, "item": "$sku"}}],
                }
            },
        ],
        [{"item": "abc"}, {"item": "abc"}],
    ),
    ([{"$unionWith": "people"}, {"$count": "n"}], [{"n": 10}]),
    ([{"$documents": [{"a": 1}]}], [{"a": 1}]),
    ([{"$sample": {"size": 3}}, {"$count": "n"}], [{"n": 3}]),
    ([{"$sample": {"size": 99}}, {"$count": "n"}], [{"n": 5}]),
    (
        [
            {"$limit": 1},
            {"$set": {"o": {"secret": 1, "in": [{"secret": 2}, {"open": 1}]}}},
            {"$redact": {"$cond": [{"$gt": ["$secret", 1]}, "$$PRUNE", "$$DESCEND"]}},
            {"$project": {"o": 1}},
        ],
        [{"_id": 1, "o": {"secret": 1, "in": [{"open": 1}]}}],
    ),
    (
        [
            {"$project": {"price": 1}},
            {"$limit": 1},
            {"$unionWith": {"pipeline": [{"$documents": [{"price": 13}]}]}},
            {"$densify": {"field": "price", "range": {"step": 1, "bounds": "full"}}},
            {"$project": {"_id": 0}},
        ],
        [{"price": 10}, {"price": 11}, {"price": 12}, {"price": 13}],
    ),
    (
        [
            {"$replaceWith": {"t": "$date", "v": "$price"}},
            {"$limit": 2},
            {
                "$densify": {
                    "field": "t",
                    "range": {
                        "step": 1,
                        "unit": "day",
                        "bounds": [datetime.datetime(2014, 1, 1, 8), datetime.datetime(2014, 1, 3, 8)],
                    },
                }
            },
            {"$count": "n"},
        ],
        [{"n": 3}],
    ),
    (
        [
            {"$documents": [{"x": 1, "v": 10}, {"x": 2}, {"x": 3, "v": None}, {"x": 4, "v": 40}]},
            {"$fill": {"sortBy": {"x": 1}, "output": {"v": {"method": "linear"}, "w": {"value": 0}}}},
        ],
        [
            {"x": 1, "v": 10, "w": 0},
            {"x": 2, "v": 20.0, "w": 0},
            {"x": 3, "v": 30.0, "w": 0},
            {"x": 4, "v": 40, "w": 0},
        ],
    ),
    (
        [
            {"$documents": [{"x": 1, "v": 10}, {"x": 2}]},
            {"$fill": {"sortBy": {"x": 1}, "output": {"v": {"method": "locf"}}}},
        ],
        [{"x": 1, "v": 10}, {"x": 2, "v": 10}],
    ),
    ([{"$match": {"_id": 1}}, ONLY_ID, {"$out": "target"}], []),
    ([{"$match": {"_id": 1}}, ONLY_ID, {"$merge": {"into": "target", "whenMatched": "replace"}}], []),
    (
        [
            {
                "$graphLookup": {
                    "from": "people",
                    "startWith": "$boss",
                    "connectFromField": "boss",
                    "connectToField": "name",
                    "as": "h",
                    "depthField": "d",
                }
            },
            {"$project": {"h.name": 1, "h.d": 1}},
            {"$match": {"_id": 5}},
        ],
        [{"_id": 5, "h": [{"name": "Ron", "d": 0}, {"name": "Eliot", "d": 1}, {"name": "Dev", "d": 2}]}],
    ),
    (
        [
            {"$match": {"_id": 5}},
            {
                "$graphLookup": {
                    "from": "people",
                    "startWith": "$boss",
                    "connectFromField": "boss",
                    "connectToField": "name",
                    "as": "h",
                    "maxDepth": 5,
                    "restrictSearchWithMatch": {"name": {"$ne": "Eliot"}},
                }
            },
            {"$project": {"h.name": 1}},
        ],
        [{"_id": 5, "h": [{"name": "Ron"}]}],
    ),
]


@pytest.mark.parametrize(("pipeline", "expected"), CASES, ids=str)
def test_documented(pipeline: list[dict[str, Any]], expected: list[Any]) -> None:
    source = OTHERS["people"] if "$graphLookup" in str(pipeline) else SALES
    before = [values.encode(document) for document in source]
    found = run(pipeline, source)
    assert found == expected
    assert [list(document) for document in found] == [list(document) for document in expected]
    assert [values.encode(document) for document in source] == before


def test_every_name_has_an_example() -> None:
    for name in (*STAGES, *ACCUMULATORS):
        assert f"'{name}'" in str(CASES) or name == "$setWindowFields", name


def test_a_graph_with_a_cycle() -> None:
    rows = [{"_id": 1, "n": ["a", "b"], "to": "b"}, {"_id": 2, "n": "c", "to": "a"}, {"_id": 3, "n": "b", "to": "c"}]
    pipeline = [
        {
            "$graphLookup": {
                "from": "rows",
                "startWith": "a",
                "connectFromField": "to",
                "connectToField": "n",
                "as": "x",
                "depthField": "d",
            }
        }
    ]
    context = Context(find=lambda _, filter_: [row for row in rows if compile_filter(filter_).matches(row)])
    (found,) = compile_pipeline(pipeline, context)([{}])
    assert [(row["_id"], row["d"]) for row in found["x"]] == [(1, 0), (3, 1), (2, 2)]


def test_what_is_written() -> None:
    written.clear()
    run([{"$limit": 1}, ONLY_ID, {"$out": {"db": "d", "coll": "c"}}])
    run([{"$limit": 1}, ONLY_ID, {"$merge": "c"}])
    assert written == [
        ({"db": "d", "coll": "c"}, [{"_id": 1}]),
        ({"into": "c", "whenMatched": "merge", "whenNotMatched": "insert"}, [{"_id": 1}]),
    ]


@pytest.mark.parametrize(
    ("pipeline", "number", "text"),
    [
        ([{"$nope": 1}], 40324, "$nope"),
        ([{"$match": {}, "$limit": 1}], 40323, "exactly one field"),
        ([{"$match": 1}], 15959, "match"),
        ([{"$limit": 0}], 15958, "$limit"),
        ([{"$limit": "x"}], 15958, "$limit"),
        ([{"$skip": -1}], 5107200, "$skip"),
        ([{"$project": {}}], 51272, "at least one field"),
        ([{"$project": 1}], 15969, "object"),
        ([{"$project": {"a": 1, "b": 0}}], 31254, "b"),
        ([{"$addFields": 1}], 40272, "$addFields"),
        ([{"$unset": []}], 31002, "$unset"),
        ([{"$group": {}}], 15955, "_id"),
        ([{"$group": {"_id": 1, "a": 5}}], 40234, "accumulator"),
        ([{"$group": {"_id": 1, "a": {"$nope": 1}}}], 15952, "$nope"),
        ([{"$group": {"_id": 1, "a.b": {"$sum": 1}}}], 40235, "a.b"),
        ([{"$unwind": "x"}], 28818, "$"),
        ([{"$unwind": {"path": "$x", "y": 1}}], 28811, "y"),
        ([{"$sort": {}}], 15976, "at least one"),
        ([{"$count": "$x"}], 40156, "count"),
        ([{"$sample": {}}], 28745, "$sample"),
        ([{"$bucket": {"groupBy": "$a", "boundaries": [2, 1]}}], 40194, "ascending"),
        ([{"$bucket": {"groupBy": "$a", "boundaries": [1, "x"]}}], 40193, "same type"),
        ([{"$bucket": {"groupBy": "$price", "boundaries": [0, 1]}}], 40066, "branch"),
        ([{"$bucketAuto": {"groupBy": "$a", "buckets": 0}}], 40243, "buckets"),
        ([{"$bucketAuto": {"groupBy": "$a", "buckets": 1, "granularity": "R5"}}], 115, "granularity"),
        ([{"$facet": {"a": [{"$out": "x"}]}}], 40600, "$out"),
        ([{"$out": "x"}, {"$limit": 1}], 40601, "$out"),
        ([{"$lookup": {"from": "x"}}], 9, "as"),
        ([{"$lookup": {"from": "x", "as": "y", "localField": "z"}}], 9, "localField"),
        ([{"$graphLookup": {"from": "x"}}], 40105, "$graphLookup"),
        ([{"$replaceRoot": {"newRoot": "$price"}}], 40228, "newRoot"),
        ([{"$merge": {"into": "x", "whenMatched": "nope"}}], 9, "nope"),
        ([{"$redact": 5}], 17053, "$redact"),
        ([{"$setWindowFields": {}}], 9, "$setWindowFields"),
        ([{"$setWindowFields": {"output": {"a": {"$nope": 1}}}}], 9, "$nope"),
        ([{"$setWindowFields": {"output": {"a": {"$rank": {}}}}}], 5371602, "$rank"),
        ([{"$setWindowFields": {"sortBy": {"a": 1}, "output": {"a": {"$rank": {}, "window": {}}}}}], 9, "window"),
        (
            [{"$setWindowFields": {"sortBy": {"a": 1}, "output": {"a": {"$sum": 1, "window": {"documents": [1]}}}}}],
            9,
            "2-element",
        ),
        ([{"$densify": {"field": "price", "range": {"step": 0, "bounds": "full"}}}], 5733401, "step"),
        ([{"$fill": {"output": {"a": {"method": "x"}}}}], 6050202, "x"),
        ([{"$documents": 5}], 5858203, "$documents"),
        *(([{name: {}}], 115, name) for name in UNSUPPORTED),
        *(([{"$group": {"_id": 1, "a": {name: {}}}}], 115, name) for name in UNSUPPORTED_ACCUMULATORS),
    ],
    ids=str,
)
def test_errors(pipeline: list[dict[str, Any]], number: int, text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        run(pipeline)
    assert caught.value.code == number
    assert text in str(caught.value)


def test_a_pipeline_without_other_collections() -> None:
    for stage in ({"$lookup": {"from": "x", "as": "y", "pipeline": []}}, {"$out": "x"}, {"$merge": "x"}):
        with pytest.raises(DocumentError, match="not supported"):
            compile_pipeline([stage], Context())


def test_no_pipeline() -> None:
    with pytest.raises(TypeError):
        compile_pipeline({"$match": {}}, Context())  # type: ignore[arg-type]


def test_stages_take_no_more_than_they_need() -> None:
    taken = 0

    def source() -> Iterator[dict[str, Any]]:
        nonlocal taken
        while True:
            taken += 1
            yield {"_id": taken, "a": [1, 2]}

    found = compile_pipeline(
        [{"$match": {"_id": {"$gt": 5}}}, {"$unwind": "$a"}, {"$set": {"b": 1}}, {"$project": {"b": 1}}, {"$limit": 3}],
        Context(),
    )(source())
    assert len(list(found)) == 3 and taken == 7


def test_leading_filter() -> None:
    assert leading_filter([{"$match": {"a": 1}}, {"$limit": 1}]) == ({"a": 1}, 1)
    assert leading_filter([{"$match": {"a": 1}}, {"$match": {"b": 1}}, {"$sort": {"a": 1}}, {"$match": {"c": 1}}]) == (
        {"$and": [{"a": 1}, {"b": 1}]},
        2,
    )
    assert leading_filter([{"$limit": 1}]) == ({}, 0)


@given(st.lists(documents(BSON_LEAVES, 3), max_size=8))
@settings(max_examples=60, deadline=None)
def test_groups_hold_equal_values(items: list[Any]) -> None:
    rows = [{"_id": index, "v": item} for index, item in enumerate(items)]
    groups = run([{"$group": {"_id": "$v", "ids": {"$push": "$_id"}, "n": {"$sum": 1}}}], rows)
    assert sum(group["n"] for group in groups) == len(rows)
    for group in groups:
        assert all(values.equal(items[index], group["_id"]) for index in group["ids"])
    assert len({values.order_key(group["_id"]) for group in groups}) == len(groups)


NUMBERS = st.integers(-5, 5) | st.sampled_from([0.5, 1.5])
PLAIN_ROWS = st.lists(
    st.fixed_dictionaries(
        {"g": st.sampled_from(["x", "y"]), "n": NUMBERS, "l": st.lists(st.integers(0, 3), max_size=3)}
    ),
    max_size=6,
)
PLAIN_STAGES = st.lists(
    st.sampled_from(
        [
            {"$match": {"n": {"$gte": 0}}},
            {"$sort": {"n": 1, "_id": 1}},
            {"$sort": {"g": -1, "_id": -1}},
            {"$skip": 1},
            {"$limit": 3},
            {"$addFields": {"m": {"$multiply": ["$n", 2]}}},
            {"$set": {"g2": {"$concat": ["$g", "!"]}}},
            {"$project": {"g": 1, "n": 1, "l": 1}},
            {"$unwind": "$l"},
            {"$addFields": {"c": {"$cond": [{"$gt": ["$n", 1]}, "big", "small"]}}},
        ]
    ),
    max_size=3,
)
PLAIN_ENDS = st.sampled_from(
    [
        [],
        [
            {
                "$group": {
                    "_id": "$g",
                    "s": {"$sum": "$n"},
                    "a": {"$avg": "$n"},
                    "lo": {"$min": "$n"},
                    "hi": {"$max": "$n"},
                }
            },
            {"$sort": {"_id": 1}},
        ],
        [{"$group": {"_id": None, "all": {"$push": "$n"}, "k": {"$first": "$g"}, "z": {"$last": "$g"}}}],
        [{"$count": "n"}],
        [{"$bucket": {"groupBy": "$n", "boundaries": [-10, 0, 10]}}],
    ]
)


@given(PLAIN_ROWS, PLAIN_STAGES, PLAIN_ENDS)
@settings(max_examples=150, deadline=None)
def test_pipelines_equal_mongomock(rows: list[dict[str, Any]], stages: list[Any], end: list[Any]) -> None:
    source = [{"_id": index, **row} for index, row in enumerate(rows)]
    if end and not run(stages, source):
        return                           # of no documents mongomock makes a group, and counts 0
    collection = mongomock.MongoClient().db.c
    if source:
        collection.insert_many([dict(row) for row in source])
    theirs = list(collection.aggregate([*stages, *end]))
    assert run([*stages, *end], source) == theirs


def test_sums_of_decimals() -> None:
    rows = [{"_id": 1, "v": Decimal128("0.1")}, {"_id": 2, "v": Decimal128("0.2")}, {"_id": 3, "v": "x"}]
    assert run([{"$group": {"_id": None, "s": {"$sum": "$v"}, "a": {"$avg": "$v"}}}], rows) == [
        {"_id": None, "s": Decimal128("0.3"), "a": Decimal128("0.15")}
    ]
