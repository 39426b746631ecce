"""Documents: values come back as they were, paths read one of them, JSON text says the same."""
from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_values import DECIMALS, DOCUMENTS, INTERVALS, TEXTS, same

from phantomdb.core._ext import document
from phantomdb.core.errors import CorruptionError, LimitExceeded
from phantomdb.core.values import Interval

JSON_VALUES = st.recursive(st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | TEXTS
                           | st.floats(allow_nan=False, allow_infinity=False),
                           lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20)
EXAMPLE = {"a": [10, {"b": "x", "": None}], "n": 1.5, "d": Decimal("1.50")}


@given(DOCUMENTS)
def test_round_trip(value: Any) -> None:
    assert same(value, document.decode(document.encode(value)))


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    """Every path of a value with what it leads to."""
    found = [(path, value)]
    if isinstance(value, dict):
        for name, item in value.items():
            found += paths(item, (*path, name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            found += paths(item, (*path, position))
    return found


@given(DOCUMENTS)
def test_every_path_leads_to_its_value(value: Any) -> None:
    data = document.encode(value)
    for path, expected in paths(value):
        assert same(expected, document.get(data, path))


@pytest.mark.parametrize(("path", "found"), [
    (("a", -1, "b"), "x"), (("a", -2), 10), (("a", 1, ""), None), (("a", 2), document.MISSING),
    (("a", -3), document.MISSING), (("a", "b"), document.MISSING), ((0,), document.MISSING),
    (("n", "x"), document.MISSING), (("aa",), document.MISSING), ((), EXAMPLE),
])
def test_paths(path: tuple[str | int, ...], found: object) -> None:
    assert document.get(document.encode(EXAMPLE), path) == found
    assert repr(document.MISSING) == "MISSING"


@given(JSON_VALUES)
def test_json_text(value: Any) -> None:
    text = document.to_json_text(document.encode(value)).decode()
    assert json.loads(text) == value
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(DECIMALS)
def test_json_text_of_decimals(value: Decimal) -> None:
    text = document.to_json_text(document.encode([value])).decode()
    assert text == f"[{value}]" if value.is_finite() else text == f'["{value}"]'


@pytest.mark.parametrize(("value", "text"), [
    (b"\x00\xff", r'"\\x00ff"'), (math.nan, '"NaN"'), (math.inf, '"Infinity"'), (-math.inf, '"-Infinity"'),
    (datetime.date(5, 2, 3), '"0005-02-03"'), (datetime.time(1, 2, 3, 400_000), '"01:02:03.4"'),
    (datetime.datetime(1969, 12, 31, 23, 59, 59, 1), '"1969-12-31T23:59:59.000001"'),
    (datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), '"2024-02-29T00:00:00+00:00"'),
    (UUID(int=0x0123456789ABCDEF0123456789ABCDEF), '"01234567-89ab-cdef-0123-456789abcdef"'),
    (Interval(), '"00:00:00"'), ("\x01\x1f\"\\\n", r'"\u0001\u001f\"\\\n"'),
])
def test_json_text_of_what_json_lacks(value: Any, text: str) -> None:
    assert document.to_json_text(document.encode(value)).decode() == text


@given(INTERVALS)
def test_json_text_of_intervals(value: Interval) -> None:
    assert document.to_json_text(document.encode(value)).decode() == f'"{value}"'


@given(st.dates(), st.integers(0, 86_399_999_999))
def test_moments_as_text(day: datetime.date, microseconds: int) -> None:
    moment = datetime.datetime.combine(day, datetime.time()) + datetime.timedelta(microseconds=microseconds)
    text = json.loads(document.to_json_text(document.encode(moment)))
    assert datetime.datetime.fromisoformat(text.ljust(26, "0") if "." in text else text) == moment


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth() -> None:
    deepest = nested(document.MAX_DEPTH)
    data = document.encode(deepest)
    assert document.decode(data) == deepest
    assert document.to_json_text(data) == b"[" * document.MAX_DEPTH + b"1" + b"]" * document.MAX_DEPTH
    with pytest.raises(LimitExceeded, match="nested"):
        document.encode([deepest])
    too_deep = b"\x02\x05"
    for _ in range(document.MAX_DEPTH + 1):                     # by hand: array of one piece
        too_deep = b"\x2e" + (1).to_bytes(4, "little") + len(too_deep).to_bytes(4, "little") + too_deep
    for read in (document.decode, document.to_json_text):
        with pytest.raises(CorruptionError, match="nested"):
            read(too_deep)


def test_a_list_that_holds_itself() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(LimitExceeded):
        document.encode(endless)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 255, 256, 65_535, 65_536])
def test_widths(count: int) -> None:
    for value in ([None] * count, {str(number): number for number in range(count)}, ["x" * count, 1]):
        data = document.encode(value)
        assert document.decode(data) == value
        assert document.get(data, (-1,) if isinstance(value, list) else (str(count - 1),)) == (
            value[-1] if isinstance(value, list) and value else count - 1 if count else document.MISSING)


@pytest.mark.parametrize("value", [{1: 2}, {1}, object(), [b"".join]])
def test_what_cannot_be_stored(value: Any) -> None:
    with pytest.raises(TypeError):
        document.encode(value)


def test_damaged_documents_never_crash() -> None:
    data = document.encode([EXAMPLE, b"x", datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1), UUID(int=5),
                            Interval(1, 2, 3), "ä", True, Decimal(10) ** 30])
    damaged = [data[:size] for size in range(len(data))]
    for position in range(len(data)):
        damaged += [data[:position] + bytes([byte]) + data[position + 1:] for byte in range(256)]
    refused = 0
    for bytes_ in damaged:
        for read in (document.decode, document.to_json_text, lambda data: document.get(data, (0, "a", 1, "b"))):
            try:
                read(bytes_)
            except CorruptionError:
                refused += 1
    assert refused > 1000
