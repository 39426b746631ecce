"""The order of values: what <, =, ORDER BY, min() and GROUP BY go by.

    float       by number; -0.0 equals 0.0, NaN equals NaN and comes after all others; decimal alike
    text        by code point; character(n) without the blanks at its end
    interval    by its length, a month as 30 days, a day as 24 hours
    array       element by element, NULL after all values; then the shorter first
    jsonb       null, text, numbers, booleans, arrays, objects; arrays and objects with fewer members first
    any         null, numbers, text, objects, arrays, bytes, uuid, booleans, moments: core/_ext/key_tuple.pyx
    others      as Python compares them

`sort_key(type)` maps a value to something Python orders so. NULLs are the caller's.
"""
from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from phantomdb.core.values import Interval, JsonNull, Kind, Type

MICROSECONDS_PER_DAY = 86_400_000_000
Key = Callable[[Any], Any]


def interval_key(value: Interval) -> int:
    return (value.months * 30 + value.days) * MICROSECONDS_PER_DAY + value.microseconds


def float_key(value: float) -> tuple[bool, float]:
    return (True, 0.0) if value != value else (False, value)


def _same(value: Any) -> Any:
    return value


def _char_key(value: str) -> str:
    return value.rstrip(" ")


def json_key(value: Any) -> Any:
    """Of a document or a part of one, as jsonb is ordered."""
    if value is None or isinstance(value, JsonNull):
        return (0,)
    if isinstance(value, str):
        return 1, value
    if isinstance(value, bool):
        return 3, value
    if isinstance(value, int | Decimal | float):
        return 2, *float_key(value)                          # type: ignore[arg-type]
    if isinstance(value, dict):
        pairs = [(*_name_key(name), json_key(value[name])) for name in sorted(value, key=_name_key)]
        return 5, len(pairs), pairs
    return 4, len(value), [json_key(item) for item in value]


def _name_key(name: str) -> tuple[int, bytes]:
    stored = name.encode("utf-8", "surrogatepass")
    return len(stored), stored


_UTC = datetime.UTC


def any_key(value: Any) -> Any:
    """Of a field of a flexible table."""
    if value is None or isinstance(value, JsonNull):
        return (0,)
    if isinstance(value, bool):
        return 7, value
    if isinstance(value, int | float | Decimal):
        # a float is the decimal that it is written as
        is_exact = isinstance(value, int | Decimal) or not math.isfinite(value)
        return 1, *float_key(value if is_exact else Decimal(repr(value)))    # type: ignore[arg-type]
    if isinstance(value, str):
        return 2, value
    if isinstance(value, dict):
        return 3, [(name, any_key(value[name])) for name in sorted(value)]
    if isinstance(value, list):
        return 4, [any_key(item) for item in value]
    if isinstance(value, bytes):
        return 5, value
    if isinstance(value, UUID):
        return 6, value
    if isinstance(value, datetime.datetime):
        return (9, value) if value.tzinfo is None else (10, value)
    if isinstance(value, datetime.date):
        return 8, value
    if isinstance(value, datetime.time):
        return 11, value
    return 12, interval_key(value)


_KEYS: dict[Kind, Key] = {Kind.FLOAT: float_key, Kind.DECIMAL: float_key, Kind.INTERVAL: interval_key,
                         Kind.JSON: json_key, Kind.ANY: any_key}


def sort_key(type_: Type) -> Key:
    """For values of `type_` that are not NULL."""
    if type_.kind is Kind.ARRAY:
        assert type_.element is not None
        of_item = sort_key(type_.element)
        return lambda value: [(1,) if item is None else (0, of_item(item)) for item in value]
    if type_.is_padded:
        return _char_key
    return _KEYS.get(type_.kind, _same)


def is_plain(type_: Type) -> bool:
    """Python's own comparison of two values of the type is ours."""
    return sort_key(type_) is _same
