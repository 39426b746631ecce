"""Aggregation expressions: MongoDB's documented examples, its errors, and what holds for all values."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import mongomock
import pytest
from bson import Code, Decimal128, ObjectId, Regex, Timestamp
from document_values import BSON_LEAVES, NUMBERS, documents
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import DocumentError
from phantomdb.frontends.document.expressions import FAMILIES, OPERATORS, UNSUPPORTED, compile_expression
from phantomdb.frontends.document.values import MISSING

MOMENT = datetime.datetime(2024, 2, 29, 13, 5, 7, 123_000)
DOCUMENT: dict[str, Any] = {
    "a": 2,
    "b": [1, 2, 3],
    "s": "Hello",
    "t": "cafétéria",
    "d": MOMENT,
    "n": None,
    "o": {"x": {"y": 1}},
    "items": [{"x": 1, "y": [{"z": 1}]}, {"x": 2}, 3, [{"x": 9}]],
    "f": -2.5,
    "dec": Decimal128("1.50"),
    "z": [],
    "id": ObjectId("507c7f79bcf86cd7994f6c0e"),
    "ts": Timestamp(1637688118, 3),
}


def run(expression: Any, document: dict[str, Any] | None = None) -> Any:
    return compile_expression(expression)(DOCUMENT if document is None else document)


def day(*parts: int) -> datetime.datetime:
    return datetime.datetime(*parts)  # type: ignore[arg-type]


CASES: list[tuple[Any, Any]] = [
    # paths, literals, variables
    ("$a", 2),
    ("$nope", MISSING),
    ("$o.x.y", 1),
    ("$items.x", [1, 2, [9]]),
    ("$items.y.z", [[1], []]),
    ("$b.0", []),
    ("$$ROOT.a", 2),
    ("$$CURRENT.a", 2),
    ("$$REMOVE", MISSING),
    ({"x": "$a", "y": "$nope", "z": {"w": 1}}, {"x": 2, "z": {"w": 1}}),
    (["$a", "$nope"], [2, None]),
    ({}, {}),
    ({"$literal": "$a"}, "$a"),
    ({"$literal": {"$add": [1, 2]}}, {"$add": [1, 2]}),
    ({"$let": {"vars": {"low": 1, "high": "$$ROOT.a"}, "in": {"$gt": ["$$high", "$$low"]}}}, True),
    # arithmetic
    ({"$abs": -1}, 1),
    ({"$abs": "$f"}, 2.5),
    ({"$abs": Decimal128("-1.5")}, Decimal128("1.5")),
    ({"$abs": "$n"}, None),
    ({"$add": ["$a", 3, 0.5]}, 5.5),
    ({"$add": ["$d", 60_000]}, day(2024, 2, 29, 13, 6, 7, 123_000)),
    ({"$add": ["$a", None]}, None),
    ({"$add": [2**63 - 1, 1]}, float(2**63)),
    ({"$add": [1, Decimal128("0.10")]}, Decimal128("1.10")),
    ({"$add": []}, 0),
    ({"$ceil": 7.8}, 8.0),
    ({"$ceil": -2.3}, -2.0),
    ({"$ceil": 5}, 5),
    ({"$floor": -2.3}, -3.0),
    ({"$floor": Decimal128("2.7")}, Decimal128("2")),
    ({"$divide": [7, 2]}, 3.5),
    ({"$divide": ["$nope", 2]}, None),
    ({"$exp": 0}, 1.0),
    ({"$ln": 1}, 0.0),
    ({"$log": [100, 10]}, 2.0),
    ({"$log10": 1000}, 3.0),
    ({"$mod": [80, 7]}, 3),
    ({"$mod": [-7, 3]}, -1),
    ({"$mod": [7.5, 2]}, 1.5),
    ({"$multiply": ["$a", 3.0]}, 6.0),
    ({"$multiply": [2**62, 4]}, float(2**64)),
    ({"$pow": [2, 10]}, 1024),
    ({"$pow": [2, -1]}, 0.5),
    ({"$pow": [-1, 3]}, -1),
    ({"$pow": [10, 300]}, 1e300),
    ({"$pow": [10, 400]}, math.inf),
    ({"$round": [10.5]}, 10.0),
    ({"$round": [11.5]}, 12.0),
    ({"$round": [19.25, 1]}, 19.2),
    ({"$round": [1234.5678, -2]}, 1200.0),
    ({"$round": [1250, -2]}, 1200),
    ({"$round": [Decimal128("2.345"), 2]}, Decimal128("2.34")),
    ({"$sqrt": 25}, 5.0),
    ({"$subtract": [5, 2.5]}, 2.5),
    ({"$subtract": ["$d", day(2024, 2, 29)]}, 47_107_123),
    ({"$subtract": ["$d", 1000]}, day(2024, 2, 29, 13, 5, 6, 123_000)),
    ({"$trunc": [-2.7]}, -2.0),
    ({"$trunc": [1234.5678, 2]}, 1234.56),
    ({"$trunc": [1299, -2]}, 1200),
    ({"$bitAnd": [6, 3]}, 2),
    ({"$bitOr": [6, 3]}, 7),
    ({"$bitXor": [6, 3]}, 5),
    ({"$bitNot": 5}, -6),
    ({"$bitAnd": []}, -1),
    ({"$sin": 0}, 0.0),
    ({"$cos": 0}, 1.0),
    ({"$tan": 0}, 0.0),
    ({"$asin": 1}, math.pi / 2),
    ({"$acos": 1}, 0.0),
    ({"$atan": 1}, math.pi / 4),
    ({"$atan2": [1, 1]}, math.pi / 4),
    ({"$sinh": 0}, 0.0),
    ({"$cosh": 0}, 1.0),
    ({"$tanh": 0}, 0.0),
    ({"$asinh": 0}, 0.0),
    ({"$acosh": 1}, 0.0),
    ({"$atanh": 1}, math.inf),
    ({"$degreesToRadians": 180}, math.pi),
    ({"$radiansToDegrees": math.pi}, 180.0),
    # boolean, comparison, conditional
    ({"$and": [1, "green"]}, True),
    ({"$and": []}, True),
    ({"$and": [[None], [False], [0]]}, True),
    ({"$and": [None, True]}, False),
    ({"$or": [True, False]}, True),
    ({"$or": []}, False),
    ({"$not": [[True]]}, False),
    ({"$not": 0}, True),
    ({"$cmp": ["$a", 250]}, -1),
    ({"$eq": ["$a", 2.0]}, True),
    ({"$ne": ["$a", 2]}, False),
    ({"$gt": ["$s", "$a"]}, True),
    ({"$lt": ["$nope", None]}, True),
    ({"$lte": [1, 1]}, True),
    ({"$gte": [[1, 2], [1]]}, True),
    ({"$eq": [{"a": 1}, {"a": 1.0}]}, True),
    ({"$cond": {"if": {"$gte": ["$a", 2]}, "then": 30, "else": 20}}, 30),
    ({"$cond": ["$n", 1, 2]}, 2),
    ({"$ifNull": ["$n", "$nope", "$a"]}, 2),
    ({"$ifNull": ["$n", "$nope"]}, MISSING),
    (
        {
            "$switch": {
                "branches": [{"case": {"$eq": ["$a", 1]}, "then": "one"}, {"case": {"$gt": ["$a", 1]}, "then": "more"}]
            }
        },
        "more",
    ),
    ({"$switch": {"branches": [{"case": False, "then": 1}], "default": "no"}}, "no"),
    # arrays
    ({"$arrayElemAt": ["$b", 0]}, 1),
    ({"$arrayElemAt": ["$b", -1]}, 3),
    ({"$arrayElemAt": ["$b", 9]}, MISSING),
    ({"$arrayElemAt": ["$n", 0]}, None),
    ({"$first": "$b"}, 1),
    ({"$last": "$b"}, 3),
    ({"$first": "$z"}, MISSING),
    ({"$firstN": {"n": 2, "input": "$b"}}, [1, 2]),
    ({"$lastN": {"n": 2, "input": "$b"}}, [2, 3]),
    ({"$maxN": {"n": 2, "input": "$b"}}, [3, 2]),
    ({"$minN": {"n": 2, "input": [3, None, 1, 2]}}, [1, 2]),
    ({"$concatArrays": ["$b", ["x"]]}, [1, 2, 3, "x"]),
    ({"$concatArrays": ["$b", "$n"]}, None),
    ({"$filter": {"input": "$b", "as": "q", "cond": {"$gt": ["$$q", 1]}}}, [2, 3]),
    ({"$filter": {"input": "$b", "cond": True, "limit": 1}}, [1]),
    ({"$in": [2, "$b"]}, True),
    ({"$in": ["x", "$b"]}, False),
    ({"$indexOfArray": ["$b", 2]}, 1),
    ({"$indexOfArray": ["$b", 1, 1]}, -1),
    ({"$isArray": ["$b"]}, True),
    ({"$isArray": ["$a"]}, False),
    ({"$map": {"input": "$b", "as": "q", "in": {"$add": ["$$q", "$a"]}}}, [3, 4, 5]),
    ({"$map": {"input": "$items", "in": "$$this.x"}}, [1, 2, None, [9]]),
    ({"$range": [0, 10, 3]}, [0, 3, 6, 9]),
    ({"$range": [3, 0, -1]}, [3, 2, 1]),
    ({"$reduce": {"input": ["a", "b"], "initialValue": "", "in": {"$concat": ["$$value", "$$this"]}}}, "ab"),
    ({"$reverseArray": "$b"}, [3, 2, 1]),
    ({"$size": "$b"}, 3),
    ({"$slice": ["$b", 2]}, [1, 2]),
    ({"$slice": ["$b", -2]}, [2, 3]),
    ({"$slice": ["$b", 1, 1]}, [2]),
    ({"$slice": ["$b", -2, 1]}, [2]),
    ({"$sortArray": {"input": [3, 1, 2], "sortBy": -1}}, [3, 2, 1]),
    ({"$sortArray": {"input": [{"q": 2}, {"q": 1}], "sortBy": {"q": 1}}}, [{"q": 1}, {"q": 2}]),
    ({"$zip": {"inputs": [["a"], ["b"]]}}, [["a", "b"]]),
    ({"$zip": {"inputs": [[1, 2], [3]], "useLongestLength": True, "defaults": [0, 9]}}, [[1, 3], [2, 9]]),
    ({"$zip": {"inputs": [[1, 2], [3]]}}, [[1, 3]]),
    ({"$arrayToObject": [[["k", 1], ["l", 2]]]}, {"k": 1, "l": 2}),
    ({"$arrayToObject": {"$literal": [{"k": "q", "v": 5}]}}, {"q": 5}),
    ({"$objectToArray": {"q": 5}}, [{"k": "q", "v": 5}]),
    # sets
    ({"$setUnion": [["b", "a"], ["c", "a"]]}, ["a", "b", "c"]),
    ({"$setIntersection": [["a", "b", "a"], ["b", "a"]]}, ["a", "b"]),
    ({"$setDifference": [["a", "b", "a"], ["b"]]}, ["a"]),
    ({"$setEquals": [["a", "b"], ["b", "a", "b"]]}, True),
    ({"$setIsSubset": [["a"], ["b", "a"]]}, True),
    ({"$allElementsTrue": [[True, 1, "x"]]}, True),
    ({"$allElementsTrue": [[0]]}, False),
    ({"$anyElementTrue": [[0, None]]}, False),
    ({"$anyElementTrue": [[[0]]]}, True),
    # objects
    ({"$mergeObjects": [{"a": 1}, None, {"b": 2, "a": 3}]}, {"a": 3, "b": 2}),
    ({"$getField": "a"}, 2),
    ({"$getField": {"field": "x", "input": "$o"}}, {"y": 1}),
    ({"$getField": {"field": "q", "input": "$o"}}, MISSING),
    ({"$setField": {"field": "q.r", "input": "$o", "value": 5}}, {"x": {"y": 1}, "q.r": 5}),
    ({"$setField": {"field": "x", "input": "$o", "value": "$$REMOVE"}}, {}),
    ({"$unsetField": {"field": "x", "input": "$o"}}, {}),
    # strings
    ({"$concat": ["$s", " ", "x"]}, "Hello x"),
    ({"$concat": ["$s", "$n"]}, None),
    ({"$toLower": "$s"}, "hello"),
    ({"$toUpper": None}, ""),
    ({"$strcasecmp": ["$s", "HELLO"]}, 0),
    ({"$strLenCP": "$t"}, 9),
    ({"$strLenBytes": "$t"}, 11),
    ({"$substrCP": ["$t", 3, 3]}, "été"),
    ({"$substr": ["$s", 1, 2]}, "el"),
    ({"$substrBytes": ["$t", 0, 3]}, "caf"),
    ({"$substrBytes": ["$s", 1, -1]}, "ello"),
    ({"$split": ["a-b-c", "-"]}, ["a", "b", "c"]),
    ({"$indexOfCP": ["$t", "t"]}, 4),
    ({"$indexOfBytes": ["$t", "t"]}, 5),
    ({"$indexOfCP": ["$s", "l", 3]}, 3),
    ({"$indexOfCP": ["$s", "z"]}, -1),
    ({"$trim": {"input": " \tx\n"}}, "x"),
    ({"$trim": {"input": "xxaxx", "chars": "x"}}, "a"),
    ({"$ltrim": {"input": "  x "}}, "x "),
    ({"$rtrim": {"input": " x  "}}, " x"),
    ({"$replaceOne": {"input": "aa", "find": "a", "replacement": "b"}}, "ba"),
    ({"$replaceAll": {"input": "aa", "find": "a", "replacement": "b"}}, "bb"),
    ({"$regexMatch": {"input": "$s", "regex": "^h", "options": "i"}}, True),
    ({"$regexMatch": {"input": "$n", "regex": "x"}}, False),
    ({"$regexFind": {"input": "$t", "regex": Regex("(é)t")}}, {"match": "ét", "idx": 3, "captures": ["é"]}),
    ({"$regexFind": {"input": "$s", "regex": "z"}}, None),
    (
        {"$regexFindAll": {"input": "$s", "regex": "l"}},
        [{"match": "l", "idx": 2, "captures": []}, {"match": "l", "idx": 3, "captures": []}],
    ),
    # dates
    ({"$year": "$d"}, 2024),
    ({"$month": "$d"}, 2),
    ({"$dayOfMonth": "$d"}, 29),
    ({"$hour": "$d"}, 13),
    ({"$minute": "$d"}, 5),
    ({"$second": "$d"}, 7),
    ({"$millisecond": "$d"}, 123),
    ({"$dayOfYear": "$d"}, 60),
    ({"$dayOfWeek": "$d"}, 5),
    ({"$week": "$d"}, 8),
    ({"$isoWeek": "$d"}, 9),
    ({"$isoWeekYear": day(2016, 1, 1)}, 2015),
    ({"$isoDayOfWeek": "$d"}, 4),
    ({"$hour": {"date": "$d", "timezone": "+0530"}}, 18),
    ({"$hour": {"date": "$d", "timezone": "America/New_York"}}, 8),
    ({"$year": "$id"}, 2012),
    ({"$year": "$ts"}, 2021),
    ({"$week": day(2017, 1, 1)}, 1),
    ({"$week": day(2016, 1, 1)}, 0),
    ({"$dateToString": {"date": "$d", "format": "%Y-%m-%d"}}, "2024-02-29"),
    ({"$dateToString": {"date": "$d"}}, "2024-02-29T13:05:07.123Z"),
    (
        {
            "$dateToString": {
                "date": "$d",
                "format": "%H:%M:%S:%L%z %Z %j %u %U %V %G %b %B %w %%",
                "timezone": "America/New_York",
            }
        },
        "08:05:07:123-0500 -300 060 4 08 09 2024 Feb February 5 %",
    ),
    ({"$dateToString": {"date": "$n", "onNull": "no"}}, "no"),
    ({"$dateFromString": {"dateString": "2017-02-08T12:10:40.787"}}, day(2017, 2, 8, 12, 10, 40, 787_000)),
    ({"$dateFromString": {"dateString": "2017-02-08", "timezone": "America/New_York"}}, day(2017, 2, 8, 5)),
    ({"$dateFromString": {"dateString": "2017-02-08T10:00:00+0100"}}, day(2017, 2, 8, 9)),
    ({"$dateFromString": {"dateString": "06-15-2018", "format": "%m-%d-%Y"}}, day(2018, 6, 15)),
    ({"$dateFromString": {"dateString": "x", "onError": "bad"}}, "bad"),
    ({"$dateFromString": {"dateString": "15 March 2018 10h", "format": "%d %B %Y %Hh"}}, day(2018, 3, 15, 10)),
    ({"$dateFromParts": {"year": 2017, "month": 2, "day": 8, "hour": 12}}, day(2017, 2, 8, 12)),
    ({"$dateFromParts": {"year": 2017, "month": 14, "day": 0}}, day(2018, 1, 31)),
    ({"$dateFromParts": {"isoWeekYear": 2017, "isoWeek": 6, "isoDayOfWeek": 3}}, day(2017, 2, 8)),
    (
        {"$dateFromParts": {"year": 2016, "month": 12, "day": 31, "hour": 23, "timezone": "America/New_York"}},
        day(2017, 1, 1, 4),
    ),
    (
        {"$dateToParts": {"date": "$d"}},
        {"year": 2024, "month": 2, "day": 29, "hour": 13, "minute": 5, "second": 7, "millisecond": 123},
    ),
    (
        {"$dateToParts": {"date": day(2017, 1, 1), "iso8601": True}},
        {"isoWeekYear": 2016, "isoWeek": 52, "isoDayOfWeek": 7, "hour": 0, "minute": 0, "second": 0, "millisecond": 0},
    ),
    ({"$dateAdd": {"startDate": day(2020, 10, 31), "unit": "month", "amount": 1}}, day(2020, 11, 30)),
    ({"$dateSubtract": {"startDate": "$d", "unit": "year", "amount": 1}}, day(2023, 2, 28, 13, 5, 7, 123_000)),
    (
        {"$dateAdd": {"startDate": day(2021, 3, 13, 17), "unit": "day", "amount": 1, "timezone": "America/New_York"}},
        day(2021, 3, 14, 16),
    ),
    (
        {"$dateAdd": {"startDate": day(2021, 3, 13, 17), "unit": "hour", "amount": 24, "timezone": "America/New_York"}},
        day(2021, 3, 14, 17),
    ),
    ({"$dateDiff": {"startDate": day(2011, 1, 31), "endDate": day(2011, 2, 1), "unit": "month"}}, 1),
    ({"$dateDiff": {"startDate": day(2021, 1, 1), "endDate": day(2020, 12, 31), "unit": "year"}}, -1),
    ({"$dateDiff": {"startDate": day(2021, 1, 2), "endDate": day(2021, 1, 4), "unit": "week"}}, 1),
    ({"$dateDiff": {"startDate": day(2021, 1, 3), "endDate": day(2021, 1, 9), "unit": "week"}}, 0),
    (
        {
            "$dateDiff": {
                "startDate": day(2021, 1, 3),
                "endDate": day(2021, 1, 4),
                "unit": "week",
                "startOfWeek": "monday",
            }
        },
        1,
    ),
    ({"$dateDiff": {"startDate": day(2021, 1, 3, 1, 59), "endDate": day(2021, 1, 3, 2), "unit": "hour"}}, 1),
    (
        {
            "$dateDiff": {
                "startDate": day(2021, 1, 3, 23),
                "endDate": day(2021, 1, 4, 1),
                "unit": "day",
                "timezone": "+0200",
            }
        },
        0,
    ),
    ({"$dateTrunc": {"date": "$d", "unit": "hour"}}, day(2024, 2, 29, 13)),
    ({"$dateTrunc": {"date": "$d", "unit": "week", "startOfWeek": "Monday"}}, day(2024, 2, 26)),
    ({"$dateTrunc": {"date": day(2021, 3, 20, 11, 30, 5), "unit": "month", "binSize": 6}}, day(2021, 1, 1)),
    ({"$dateTrunc": {"date": day(2021, 3, 20, 11, 30, 5), "unit": "hour", "binSize": 2}}, day(2021, 3, 20, 10)),
    (
        {
            "$dateTrunc": {
                "date": day(2021, 3, 20, 11, 30, 5),
                "unit": "week",
                "binSize": 2,
                "timezone": "America/Los_Angeles",
                "startOfWeek": "Monday",
            }
        },
        day(2021, 3, 15, 7),
    ),
    ({"$dateTrunc": {"date": "$n", "unit": "day"}}, None),
    ({"$dateTrunc": {"date": day(1999, 12, 31), "unit": "quarter"}}, day(1999, 10, 1)),
    (
        {
            "$dateDiff": {
                "startDate": day(2021, 11, 7, 5, 30),
                "endDate": day(2021, 11, 7, 6, 30),
                "unit": "hour",
                "timezone": "America/New_York",
            }
        },
        1,
    ),
    # types
    ({"$type": "$nope"}, "missing"),
    ({"$type": "$dec"}, "decimal"),
    ({"$isNumber": "$a"}, True),
    ({"$isNumber": "$s"}, False),
    ({"$toBool": "$a"}, True),
    ({"$toBool": "false"}, True),
    ({"$toBool": 0.0}, False),
    ({"$toInt": "12"}, 12),
    ({"$toInt": 5.9}, 5),
    ({"$toLong": "$d"}, 1709211907123),
    ({"$toDouble": "1.5"}, 1.5),
    ({"$toDouble": True}, 1.0),
    ({"$toDecimal": "1.50"}, Decimal128("1.50")),
    ({"$toDecimal": 0.1}, Decimal128("0.1")),
    ({"$toString": 2.5}, "2.5"),
    ({"$toString": True}, "true"),
    ({"$toString": "$d"}, "2024-02-29T13:05:07.123Z"),
    ({"$toString": "$id"}, "507c7f79bcf86cd7994f6c0e"),
    ({"$toString": 3.0}, "3"),
    ({"$toDate": 120_000_000_000}, day(1973, 10, 20, 21, 20)),
    ({"$toDate": "2018-03-20"}, day(2018, 3, 20)),
    ({"$toDate": "$id"}, day(2012, 10, 15, 21, 26, 17)),
    ({"$toObjectId": "507c7f79bcf86cd7994f6c0e"}, ObjectId("507c7f79bcf86cd7994f6c0e")),
    ({"$toUUID": "00000000-0000-0000-0000-000000000007"}, UUID(int=7)),
    ({"$convert": {"input": "x", "to": "int", "onError": "bad"}}, "bad"),
    ({"$convert": {"input": None, "to": "int", "onNull": 0}}, 0),
    ({"$convert": {"input": "7", "to": 16}}, 7),
    ({"$binarySize": "été"}, 5),
    ({"$binarySize": b"abc"}, 3),
    ({"$bsonSize": {"a": 1}}, 12),
    ({"$tsSecond": "$ts"}, 1637688118),
    ({"$tsIncrement": "$ts"}, 3),
    # accumulators
    ({"$sum": "$b"}, 6),
    ({"$sum": ["$a", "$s", 5]}, 7),
    ({"$avg": ["$a", 4]}, 3.0),
    ({"$avg": "$s"}, None),
    ({"$min": "$b"}, 1),
    ({"$max": ["$a", "$s"]}, "Hello"),
    ({"$max": "$z"}, None),
    ({"$stdDevPop": [[1, 3]]}, 1.0),
    ({"$stdDevSamp": [[1, 2, 3]]}, 1.0),
    ({"$stdDevSamp": [[1]]}, None),
    ({"$median": {"input": [1, 2, 3], "method": "approximate"}}, 2.0),
    ({"$percentile": {"input": "$b", "p": [0.5, 1.0], "method": "approximate"}}, [2.0, 3.0]),
]


@pytest.mark.parametrize(("expression", "expected"), CASES, ids=str)
def test_documented(expression: Any, expected: Any) -> None:
    found = run(expression)
    if isinstance(expected, float) and isinstance(found, float):
        assert found == pytest.approx(expected, rel=1e-15)
        return
    assert type(found) is type(expected)
    assert found == expected


def test_every_operator_has_an_example() -> None:
    """$rand gives no value that could stand in the table."""
    shown: set[str] = set()

    def gather(value: Any) -> None:
        if isinstance(value, dict):
            shown.update(name for name in value if name.startswith("$"))
            for item in value.values():
                gather(item)
        elif isinstance(value, list):
            for item in value:
                gather(item)

    gather([expression for expression, _ in CASES])
    assert set(OPERATORS) - shown == {"$rand", "$const"}
    assert 0 <= run({"$rand": {}}) < 1
    assert run({"$const": 5}) == 5
    assert {f"expressions_{operator.family}" for operator in OPERATORS.values()} == {
        module.__name__.rpartition(".")[2] for module in FAMILIES
    }


@pytest.mark.parametrize(
    ("expression", "number", "text"),
    [
        ({"$nope": 1}, 168, "$nope"),
        ({"$add": 1, "$abs": 2}, 15983, "exactly one field"),
        ({"a": 1, "$b": 2}, 16410, "$b"),
        ({"a.b": 1}, 16412, "a.b"),
        ("$", 16872, "'$'"),
        ("$a..b", 15998, "empty"),
        ("$$nope", 17276, "nope"),
        ({"$abs": [1, 2]}, 16020, "$abs"),
        ({"$divide": [1]}, 16020, "$divide"),
        ({"$abs": "$s"}, 28765, "$abs"),
        ({"$add": ["$a", "$s"]}, 14, "$add"),
        ({"$add": ["$d", "$d"]}, 16612, "one date"),
        ({"$divide": ["$a", 0]}, 2, "by zero"),
        ({"$mod": [1, 0]}, 16610, "by zero"),
        ({"$sqrt": -1}, 28714, "$sqrt"),
        ({"$ln": 0}, 28766, "$ln"),
        ({"$pow": [0, -1]}, 28764, "$pow"),
        ({"$subtract": ["$a", "$d"]}, 14, "$subtract"),
        ({"$arrayElemAt": ["$a", 0]}, 28689, "$arrayElemAt"),
        ({"$size": "$a"}, 17124, "$size"),
        ({"$in": [1, "$a"]}, 40081, "$in"),
        ({"$range": [0, 5, 0]}, 34449, "$range"),
        ({"$slice": ["$b", 1, 0]}, 28729, "positive"),
        ({"$map": {"in": 1}}, 16880, "input"),
        ({"$filter": {"input": "$b", "cond": 1, "x": 1}}, 16879, "x"),
        ({"$switch": {"branches": []}}, 40068, "branch"),
        ({"$switch": {"branches": [{"case": False, "then": 1}]}}, 40066, "$switch"),
        ({"$cond": {"if": 1, "then": 2}}, 40414, "else"),
        ({"$concat": ["$s", 5]}, 16702, "$concat"),
        ({"$split": ["$s", ""]}, 40087, "separator"),
        ({"$substrCP": ["$s", -1, 1]}, 34455, "$substrCP"),
        ({"$substrBytes": ["$t", 4, 2]}, 28656, "UTF-8"),
        ({"$trim": {"input": 5}}, 50699, "$trim"),
        ({"$trim": {"input": "x", "y": 1}}, 40415, "y"),
        ({"$regexMatch": {"input": "x", "regex": "("}}, 51091, "invalid"),
        ({"$year": "$s"}, 16006, "Date"),
        ({"$hour": {"date": "$d", "timezone": "Nowhere/X"}}, 40485, "Nowhere/X"),
        ({"$dateToString": {"date": "$d", "format": "%Q"}}, 18536, "%Q"),
        ({"$dateFromString": {"dateString": "nope"}}, 241, "nope"),
        ({"$dateAdd": {"startDate": "$d", "unit": "eon", "amount": 1}}, 9, "eon"),
        ({"$dateFromParts": {"month": 1}}, 40516, "year"),
        ({"$toInt": "x"}, 241, "int"),
        ({"$toInt": 2**40}, 241, "overflow"),
        ({"$toObjectId": "x"}, 241, "objectId"),
        ({"$toDate": True}, 241, "date"),
        ({"$convert": {"input": 1, "to": "foo"}}, 2, "foo"),
        ({"$bsonSize": 5}, 31393, "$bsonSize"),
        ({"$mergeObjects": [1]}, 40400, "$mergeObjects"),
        ({"$getField": 5}, 3041704, "$getField"),
        ({"$bitAnd": [1.5]}, 14, "$bitAnd"),
        ({"$let": {"vars": {"X": 1}, "in": 1}}, 16867, "X"),
        ({"$median": {"input": [1], "method": "exact"}}, 2, "approximate"),
        ({"$firstN": {"n": 0, "input": []}}, 5787908, "$firstN"),
        *(({name: 1}, 115, name) for name in UNSUPPORTED),
        ("$$CLUSTER_TIME", 115, "CLUSTER_TIME"),
    ],
    ids=str,
)
def test_errors(expression: Any, number: int, text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        run(expression)
    assert caught.value.code == number
    assert text in str(caught.value)


@given(documents(BSON_LEAVES), documents(BSON_LEAVES))
@settings(max_examples=150, deadline=None)
def test_comparisons_follow_the_order_of_values(a: Any, b: Any) -> None:
    order = run({"$cmp": ["$a", "$b"]}, {"a": a, "b": b})
    left, right = values.order_key(a), values.order_key(b)
    assert order == (left > right) - (left < right)
    assert run({"$eq": ["$a", "$b"]}, {"a": a, "b": b}) == (order == 0)


@given(NUMBERS, NUMBERS)
@settings(max_examples=200, deadline=None)
def test_sums_have_the_wider_class(a: Any, b: Any) -> None:
    found = run({"$add": ["$a", "$b"]}, {"a": a, "b": b})
    names = {values.type_name(a), values.type_name(b)}
    if "decimal" in names:
        assert isinstance(found, Decimal128)
    elif "double" in names:
        assert isinstance(found, float)
        assert math.isnan(found) or found == a + b
    else:
        assert found == a + b or isinstance(found, float)
    values.encode(found)


@given(st.floats(-1e9, 1e9) | st.integers(-(10**12), 10**12), st.integers(-5, 8))
@settings(deadline=None)
def test_rounding_is_to_the_nearest(number: Any, place: int) -> None:
    found = run({"$round": ["$a", place]}, {"a": number})
    exact = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
    assert abs(Decimal(repr(found)) - exact) <= Decimal(10) ** -place / 2 + abs(exact) * Decimal("1e-15")


@given(
    st.recursive(
        st.integers(-9, 9) | st.sampled_from(["$a", "$b", 1.5]),
        lambda inner: st.builds(
            lambda name, x, y: {name: [x, y]}, st.sampled_from(["$add", "$multiply", "$subtract"]), inner, inner
        ),
        max_leaves=5,
    ),
    st.integers(-5, 5),
    st.floats(-9, 9),
)
@settings(max_examples=100, deadline=None)
def test_arithmetic_equals_mongomock(expression: Any, a: int, b: float) -> None:
    collection = mongomock.MongoClient().db.c
    collection.insert_one({"_id": 1, "a": a, "b": b})
    theirs = next(iter(collection.aggregate([{"$project": {"r": {"$add": [expression, 0]}}}])))["r"]
    assert run(expression, {"a": a, "b": b}) == pytest.approx(theirs)


def test_code_is_a_text_for_strings() -> None:
    assert run({"$toUpper": "$c"}, {"c": Code("ab")}) == "AB"


def test_variables_are_read_when_run() -> None:
    variables = {"x": 1}
    expression = compile_expression({"$add": ["$$x", "$a"]}, variables)
    assert expression({"a": 1}) == 2
    variables["x"] = 10
    assert expression({"a": 1}) == 11
