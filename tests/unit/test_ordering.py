"""The order of values, against the order of their bytes as keys (core/_ext/key_tuple.pyx)."""
from __future__ import annotations

import datetime
import itertools
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core.query.ordering import is_plain, sort_key
from phantomdb.core.values import ANY, DOUBLE, INT, INTERVAL, JSON_NULL, TEXT, Interval, Kind, Type, array, char

FIELDS = [
    JSON_NULL, 1, -5, 2.5, Decimal("2.5"), 0.1, Decimal("0.1"), 1e300, math.inf, -math.inf, math.nan, 0.0, -0.0,
    "", "a", "b", "\u00e9", {}, {"a": 1}, {"a": 2}, {"b": 1, "a": 1}, {"a": 1, "b": 1}, {"a": {"x": 1}},
    [], [1], [1, 2], [2], [None], b"", b"a", UUID(int=1), UUID(int=2**127), True, False,
    datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    datetime.time(1, 2), Interval(1, 0, 0), Interval(0, 31, 0),
]


def sign(a: Any, b: Any) -> int:
    return (a > b) - (a < b)


@pytest.mark.parametrize(("type_", "values"), [
    (ANY, FIELDS), (DOUBLE, [0.0, -0.0, 1.5, -1.5, math.inf, -math.inf, math.nan]),
    (TEXT, ["", "a", "Z", "\u00e9", "\U0001f468"]),
    (INTERVAL, [Interval(1, 0, 0), Interval(0, 31, 0), Interval(0, 0, -1), Interval(0, 29, 86_400_000_001)]),
    (array(INT), [[], [1], [1, 2], [2], [1, None], [None]]),
])
def test_as_keys_are_ordered(type_: Type, values: list[Any]) -> None:
    codec, key = KeyCodec([(int(type_.kind), False, False)]), sort_key(type_)
    for a, b in itertools.product(values, values):
        if type_.kind is Kind.ARRAY and (None in a or None in b):
            continue
        assert sign(key(a), key(b)) == sign(codec.encode((a,)), codec.encode((b,))), (a, b)


def test_null_in_arrays_comes_last() -> None:
    key = sort_key(array(INT))
    assert sorted([[1, None], [1, 2], [1], [None]], key=key) == [[1], [1, 2], [1, None], [None]]


def test_blanks_at_the_end() -> None:
    assert sort_key(char(3))("a  ") == sort_key(char(3))("a")
    assert is_plain(TEXT) and is_plain(INT)
    assert not any(map(is_plain, (DOUBLE, INTERVAL, ANY, char(3), array(INT))))
