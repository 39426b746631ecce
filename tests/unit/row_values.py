"""What the tests of rows share: Hypothesis strategies for values of each kind, and their order in plain Python."""
from __future__ import annotations

import datetime
import functools
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from phantomdb.core.values import Interval, Kind

UTC = datetime.UTC
INTS = st.integers(-2**63, 2**63 - 1) | st.integers(-300, 300)
FLOATS = st.floats()
DECIMALS = st.decimals(allow_nan=False) | st.decimals(-1000, 1000, places=2) | st.just(Decimal("NaN"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("\0\1\2a", max_size=12)
BYTES = st.binary(max_size=30) | st.lists(st.sampled_from([0, 1, 2, 253, 254, 255]), max_size=10).map(bytes)
TIMESTAMPTZ = st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 1, 1),
                           timezones=st.just(UTC) | st.timezones())
INTERVALS = st.builds(Interval, st.integers(-2**31, 2**31 - 1) | st.integers(-3, 3),
                      st.integers(-2**31, 2**31 - 1) | st.integers(-70, 70),
                      st.integers(-2**63 + 1, 2**63 - 1) | st.sampled_from([0, 86_400_000_000, -1, 1]))
SCALARS: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(), Kind.INT: INTS, Kind.FLOAT: FLOATS, Kind.DECIMAL: DECIMALS, Kind.TEXT: TEXTS,
    Kind.BYTES: BYTES, Kind.DATE: st.dates(), Kind.TIME: st.times(), Kind.TIMESTAMP: st.datetimes(),
    Kind.TIMESTAMPTZ: TIMESTAMPTZ, Kind.INTERVAL: INTERVALS, Kind.UUID: st.uuids(),
}
LEAVES = st.none() | st.one_of(*SCALARS.values())
DOCUMENTS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
                         max_leaves=12)
VALUES = SCALARS | {Kind.JSON: DOCUMENTS.filter(lambda value: value is not None),
                    Kind.ARRAY: st.lists(st.none() | INTS, max_size=6) | st.lists(TEXTS, max_size=4),
                    Kind.ANY: DOCUMENTS.filter(lambda value: value is not None)}
KINDS = list(VALUES)


def same(a: object, b: object) -> bool:
    """Equal and of one type; a NaN equals itself, and so does a moment in any zone."""
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, Decimal) and isinstance(b, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, Interval):
        return a == b and isinstance(b, Interval)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, datetime.datetime) and a.tzinfo is not None:
        return isinstance(b, datetime.datetime) and b.tzinfo is UTC and a.astimezone(UTC) == b
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    return type(a) is type(b) and a == b


CLASSES = [type(None), float, str, dict, list, bytes, UUID, bool, datetime.date, datetime.datetime, datetime.tzinfo,
           datetime.time, Interval]


def number(value: Any) -> tuple[int, Any]:
    """A number's place: a float counts as the decimal that repr() shows; NaN comes last."""
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return (1, 0) if exact.is_nan() else (0, exact)


def any_order(value: Any) -> Any:
    """A key for sorted(): the order of values whose kinds differ."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return (CLASSES.index(float), number(value))
    if isinstance(value, list | tuple) and not isinstance(value, Interval):
        return (CLASSES.index(list), [any_order(item) for item in value])
    if isinstance(value, dict):
        pairs = sorted((name.encode(), item) for name, item in value.items())
        return (CLASSES.index(dict), [(name, any_order(item)) for name, item in pairs])
    kind = type(value)
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return (CLASSES.index(datetime.tzinfo), scalar_order(value))
    return (CLASSES.index(kind), scalar_order(value))


def scalar_order(value: Any) -> Any:
    """The order of values of one kind."""
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value)
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, Interval):
        total = (value.months * 30 + value.days) * 86_400_000_000 + value.microseconds
        return (total, value.months, value.days)
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)                        # times in a gap of their zone are equal to nothing
    return 0 if value is None else value


def order_of(kind: Kind, value: Any) -> Any:
    return any_order(value) if kind in (Kind.JSON, Kind.ARRAY, Kind.ANY) else scalar_order(value)


def compare(kind: Kind, is_descending: bool, nulls_first: bool, a: Any, b: Any) -> int:
    """-1, 0, 1: how a column orders two values."""
    if a is None or b is None:
        return ((a is None) - (b is None)) * (-1 if nulls_first else 1)
    left, right = order_of(kind, a), order_of(kind, b)
    order = (left > right) - (left < right)
    return -order if is_descending else order


def compare_rows(columns: list[tuple[Kind, bool, bool]], a: tuple[Any, ...], b: tuple[Any, ...]) -> int:
    orders = (compare(*column, x, y) for column, x, y in zip(columns, a, b, strict=True))
    return functools.reduce(lambda found, order: found or order, orders, 0)
