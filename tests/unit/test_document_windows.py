"""Window functions of $setWindowFields, after MongoDB's documentation."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest

from phantomdb.frontends.document.accumulators import ACCUMULATORS
from phantomdb.frontends.document.errors import DocumentError
from phantomdb.frontends.document.stages import Context, compile_pipeline
from phantomdb.frontends.document.stages_windows import UNSUPPORTED_WINDOW_FUNCTIONS, WINDOW_FUNCTIONS


def run(pipeline: list[dict[str, Any]], source: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(compile_pipeline(pipeline, Context())(source))


ROWS = [
    {"_id": i, "g": i % 2, "v": v, "x": x, "t": datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=i)}
    for i, (v, x) in enumerate([(10, 1), (20, 2), (30, 2), (None, 4), (50, 7), (60, 8)])
]
WINDOWS: list[tuple[dict[str, Any], list[Any]]] = [  # of the field, sorted by x in one partition
    ({"$sum": "$v", "window": {"documents": ["unbounded", "current"]}}, [10, 30, 60, 60, 110, 170]),
    ({"$sum": "$v", "window": {"documents": [-1, 1]}}, [30, 60, 50, 80, 110, 110]),
    ({"$sum": "$v"}, [170] * 6),
    ({"$sum": "$v", "window": {"documents": ["current", "unbounded"]}}, [170, 160, 140, 110, 110, 60]),
    ({"$avg": "$v", "window": {"documents": [-1, 0]}}, [10.0, 15.0, 25.0, 30.0, 50.0, 55.0]),
    ({"$sum": "$v", "window": {"range": [-1, 0]}}, [10, 60, 60, 0, 50, 110]),
    ({"$count": {}, "window": {"range": ["unbounded", "current"]}}, [1, 3, 3, 4, 5, 6]),
    ({"$push": "$_id", "window": {"range": [1, 3]}}, [[1, 2, 3], [3], [3], [4], [5], []]),
    ({"$first": "$_id", "window": {"documents": [1, 2]}}, [1, 2, 3, 4, 5, None]),
    ({"$rank": {}}, [1, 2, 2, 4, 5, 6]),
    ({"$denseRank": {}}, [1, 2, 2, 3, 4, 5]),
    ({"$documentNumber": {}}, [1, 2, 3, 4, 5, 6]),
    ({"$shift": {"output": "$v", "by": 1, "default": "end"}}, [20, 30, None, 50, 60, "end"]),
    ({"$shift": {"output": "$v", "by": -2}}, [None, None, 10, 20, 30, None]),
    ({"$derivative": {"input": "$_id"}, "window": {"documents": [-1, 0]}}, [None, 1.0, None, 0.5, 1 / 3, 1.0]),
    (
        {"$integral": {"input": "$_id"}, "window": {"documents": ["unbounded", "current"]}},
        [0.0, 0.5, 0.5, 5.5, 16.0, 20.5],
    ),
    ({"$expMovingAvg": {"input": "$_id", "alpha": 0.5}}, [0, 0.5, 1.25, 2.125, 3.0625, 4.03125]),
    ({"$expMovingAvg": {"input": "$_id", "N": 3}}, [0, 0.5, 1.25, 2.125, 3.0625, 4.03125]),
    ({"$locf": "$v"}, [10, 20, 30, 30, 50, 60]),
    ({"$linearFill": "$v"}, [10, 20, 30, 38.0, 50, 60]),
    ({"$covariancePop": ["$_id", "$x"], "window": {"documents": [-1, 0]}}, [0.0, 0.25, 0.0, 0.5, 0.75, 0.25]),
    ({"$covarianceSamp": ["$_id", "$x"], "window": {"documents": [-1, 0]}}, [None, 0.5, 0.0, 1.0, 1.5, 0.5]),
    ({"$min": "$v", "window": {"documents": [-2, -1]}}, [None, 10, 10, 20, 30, 50]),
    (
        {"$topN": {"n": 1, "sortBy": {"_id": -1}, "output": "$_id"}, "window": {"documents": [-1, 0]}},
        [[0], [1], [2], [3], [4], [5]],
    ),
]


@pytest.mark.parametrize(("output", "expected"), WINDOWS, ids=str)
def test_windows(output: dict[str, Any], expected: list[Any]) -> None:
    found = run([{"$setWindowFields": {"sortBy": {"x": 1}, "output": {"r.s": output}}}], ROWS)
    results = [document["r"]["s"] for document in found]
    assert [document["_id"] for document in found] == [0, 1, 2, 3, 4, 5]
    assert all(
        a == b or (isinstance(b, float) and math.isclose(a, b)) for a, b in zip(results, expected, strict=True)
    ), results


def test_windows_by_partition_and_time() -> None:
    found = run(
        [
            {
                "$setWindowFields": {
                    "partitionBy": "$g",
                    "sortBy": {"t": 1},
                    "output": {
                        "s": {"$sum": 1, "window": {"range": [-3, 0], "unit": "hour"}},
                        "d": {"$derivative": {"input": "$_id", "unit": "hour"}, "window": {"documents": [-1, 0]}},
                    },
                }
            }
        ],
        ROWS,
    )
    assert [(document["_id"], document["s"], document["d"]) for document in found] == [
        (0, 1, None),
        (2, 2, 1.0),
        (4, 2, 1.0),
        (1, 1, None),
        (3, 2, 1.0),
        (5, 2, 1.0),
    ]


def test_every_window_function_has_an_example() -> None:
    assert set(WINDOW_FUNCTIONS) <= {name for output, _ in WINDOWS for name in output}
    assert not set(WINDOW_FUNCTIONS) & set(ACCUMULATORS)


@pytest.mark.parametrize("name", UNSUPPORTED_WINDOW_FUNCTIONS)
def test_unsupported(name: str) -> None:
    with pytest.raises(DocumentError) as caught:
        run([{"$setWindowFields": {"output": {"a": {name: {}}}}}], ROWS)
    assert caught.value.code == 115
    assert name in str(caught.value)
