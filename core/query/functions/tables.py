"""Functions that yield rows: series, the elements of arrays, the pieces of texts. Those of JSON are in json.py.

`python` gives an iterable of values, or of tuples where the overload has columns. DuckDB's form is a list, which the
vector executor unnests.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from phantomdb.core.query.cast_numbers import EXACT
from phantomdb.core.query.errors import DatetimeOutOfRange, InvalidParameterValue
from phantomdb.core.query.functions import moments_arithmetic as arithmetic
from phantomdb.core.query.functions.arrays import TEXTS, base_type, flat, lengths, split
from phantomdb.core.query.functions.patterns import regular_expression, split_by
from phantomdb.core.query.functions.registry import (
    DuckForm,
    FunctionKind,
    Like,
    Overload,
    Pattern,
    Volatility,
    register,
)
from phantomdb.core.query.ordering import interval_key
from phantomdb.core.values import BIGINT, BOOL, INT, INTERVAL, NUMERIC, TEXT, TIMESTAMP, TIMESTAMPTZ, Interval, Type

_NOT_ZERO = re.compile(r"\(?-?[1-9]\d*\)?")


def _table(name: str, arguments: tuple[Pattern, ...], result: Pattern | Callable[[Sequence[Type]], Type],
           python: Callable[..., Iterable[Any]], duckdb: DuckForm | None, summary: str, **more: Any) -> None:
    register(Overload(name, FunctionKind.TABLE, arguments, result, python, duckdb, summary=summary, **more))


# ---- series

def _zero_step() -> InvalidParameterValue:
    return InvalidParameterValue("step size cannot equal zero")


def _integers(start: int, stop: int, step: int = 1) -> Iterable[int]:
    if step == 0:
        raise _zero_step()
    return range(start, stop + (1 if step > 0 else -1), step)


def _integers_form(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str | None:
    if len(arguments) == 3 and not _NOT_ZERO.fullmatch(arguments[2]):
        return None
    wide = ", ".join(f"CAST({argument} AS BIGINT)" for argument in arguments)
    return f"generate_series({wide})" if result == BIGINT else f"CAST(generate_series({wide}) AS INTEGER[])"


def _numbers(start: Decimal, stop: Decimal, step: Decimal = Decimal(1)) -> Iterable[Decimal]:
    if not step:
        raise _zero_step()
    return _steps(start, stop, lambda value: EXACT.add(value, step), is_up=step > 0)


def _steps(start: Any, stop: Any, following: Callable[[Any], Any], *, is_up: bool) -> Iterator[Any]:
    value = start
    while value <= stop if is_up else value >= stop:
        yield value
        try:
            value = following(value)
        except DatetimeOutOfRange:       # the last moment there is, and so beyond `stop`
            return


def _moments(add: Callable[[datetime, Interval], datetime]) -> Callable[..., Iterable[datetime]]:
    def python(start: datetime, stop: datetime, step: Interval) -> Iterable[datetime]:
        length = interval_key(step)
        if length == 0:
            raise _zero_step()
        return _steps(start, stop, lambda moment: add(moment, step), is_up=length > 0)
    return python


for _type in (INT, BIGINT):
    _table("generate_series", (_type, _type, _type), _type, _integers, _integers_form, "from, to, by steps of",
           optional=1)
_table("generate_series", (NUMERIC, NUMERIC, NUMERIC), NUMERIC, _numbers, None, "from, to, by steps of", optional=1)
_table("generate_series", (TIMESTAMP, TIMESTAMP, INTERVAL), TIMESTAMP, _moments(arithmetic.add), None,
       "from, to, by steps of an interval")
_table("generate_series", (TIMESTAMPTZ, TIMESTAMPTZ, INTERVAL), TIMESTAMPTZ, _moments(arithmetic.add_moment), None,
       "from, to, by steps of an interval in the session's zone", volatility=Volatility.STABLE)


# ---- arrays

def _unnest(types: Sequence[Type], items: list[Any]) -> Iterable[Any]:
    return flat(items, types[0])


def _unnest_form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str:
    text, element = arguments[0], types[0].element
    while element is not None and element.element is not None:
        text, element = f"flatten({text})", element.element
    return text


def _unnest_all(types: Sequence[Type], *arrays: list[Any] | None) -> Iterable[tuple[Any, ...]]:
    return zip_longest(*(flat(items or [], type_) for items, type_ in zip(arrays, types, strict=True)))


def _unnested_columns(types: Sequence[Type]) -> tuple[tuple[str, Type], ...] | None:
    return tuple(("unnest", base_type(type_)) for type_ in types) if all(type_.element for type_ in types) else None


def _subscripts(types: Sequence[Type], items: list[Any], dimension: int, is_backward: bool = False) -> Iterable[int]:
    found = lengths(items, types[0])
    if not 1 <= dimension <= len(found):
        return range(0)
    numbers = range(1, found[dimension - 1] + 1)
    return reversed(numbers) if is_backward else numbers


_table("unnest", (Like.ARRAY,), lambda types: base_type(types[0]), _unnest, _unnest_form, "a row for each element",
       takes_types=True)
_table("unnest", (Like.ANY, Like.ANY, Like.ANY), lambda types: base_type(types[0]), _unnest_all, None,
       "several arrays side by side, the shorter ones filled with NULL", is_variadic=True, is_strict=False,
       takes_types=True, columns_of=_unnested_columns)
_table("generate_subscripts", (Like.ARRAY, INT, BOOL), INT, _subscripts, None,
       "a row for each subscript of a dimension", optional=1, takes_types=True)


# ---- texts

def _matches(text: str, pattern: str, flags: str = "") -> Iterable[list[str | None]]:
    for match in regular_expression(pattern, flags).matches(text, count=None if "g" in flags else 1):
        yield list(match.groups()) or [match.group()]


def _split_rows(text: str, pattern: str, flags: str = "") -> Iterable[str]:
    if "g" in flags:
        raise InvalidParameterValue('regexp_split_to_table() does not support the "global" option')
    return split_by(text, pattern, flags)


def _string_rows(text: str | None, separator: str | None, null_text: str | None = None) -> Iterable[str | None]:
    return split(text, separator, null_text) or []


_table("regexp_matches", (TEXT, TEXT, TEXT), TEXTS, _matches, None,
       "what the groups of a pattern matched; g: of each match", optional=1)
_table("regexp_split_to_table", (TEXT, TEXT, TEXT), TEXT, _split_rows, None, "a text cut at each match", optional=1)
_table("string_to_table", (TEXT, TEXT, TEXT), TEXT, _string_rows, None, "a text cut at each separator", optional=1,
       is_strict=False)
