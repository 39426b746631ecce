"""DuckDB's forms of the functions of dates, times and intervals.

What a session's clock shows comes from local(), a moment from moment() (forms.py). A unit or a template that is a
literal is chosen while the form is written; of any other text the definition, in Python, makes what it will.
DuckDB's parts of an interval are cut toward zero, as ours are.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from phantomdb.core.query.functions.forms import IS_UTC, LOCAL, PYTHON, local, moment, once, text_of, without_zone
from phantomdb.core.query.functions.moments_fields import UNITS
from phantomdb.core.query.functions.registry import DuckForm
from phantomdb.core.values import Kind, Type

_DOUBLE_EXACT_MAX = 2**53                # whole numbers up to that are exact as floats


# ---- arithmetic

def in_years(value: str) -> DuckForm:
    """DuckDB's years go beyond 1 to 9999, where the definition raises."""
    def form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
        def body(names: Sequence[str]) -> str:
            computed = value.format(*names)
            return (f"CASE WHEN (year({computed}) BETWEEN 1 AND 9999) IS NOT FALSE THEN {computed} "
                    f"ELSE {PYTHON}({', '.join(names)}) END")
        return once(arguments, body)
    return form


def difference(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
    """Of moments: in days of 24 hours and the clock, in any zone."""
    return f"({without_zone(arguments[0])} - {without_zone(arguments[1])})"


def moved_moment(symbol: str, *, is_span_first: bool = False) -> DuckForm:
    """Hours and less count the same in any zone. Months and days are the clock's: by the definition, unless in UTC."""
    def form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
        def body(names: Sequence[str]) -> str:
            start, span = reversed(names) if is_span_first else names
            moved = f"({without_zone(start)} {symbol} {span})"
            is_clock = f"{_months(span)} = 0 AND date_part('day', {span}) = 0"
            return (f"CASE WHEN (({IS_UTC} OR ({is_clock})) AND year({moved}) BETWEEN 1 AND 9999) IS NOT FALSE "
                    f"THEN make_timestamptz(epoch_us({moved})) ELSE {PYTHON}({', '.join(names)}) END")
        return once(arguments, body)
    return form


def age_of_moments(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
    return f"age({local(arguments[0])}, {local(arguments[1])})"


# ---- intervals

def _months(span: str) -> str:
    return f"(date_part('year', {span}) * 12 + date_part('month', {span}))"


def _clock(span: str) -> str:
    """Microseconds, without the days."""
    return (f"((date_part('hour', {span}) * 60 + date_part('minute', {span})) * 60000000 "
            f"+ date_part('microseconds', {span}))")


def _is_ordinary(span: str) -> str:
    """No sum or difference of such intervals leaves the range."""
    return f"abs({_months(span)}) < 1000000 AND abs(date_part('day', {span})) < 1000000000 AND {_is_short(span)}"


def _is_short(span: str) -> str:
    return f"abs(date_part('hour', {span})) < 1000000"


def _guarded(test: Callable[[Sequence[str]], str], value: Callable[[Sequence[str]], str]) -> DuckForm:
    def form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
        return once(arguments, lambda names: (f"CASE WHEN ({test(names)}) IS NOT FALSE THEN {value(names)} "
                                              f"ELSE {PYTHON}({', '.join(names)}) END"))
    return form


def spans(symbol: str) -> DuckForm:
    return _guarded(lambda names: " AND ".join(map(_is_ordinary, names)),
                    lambda names: f"({names[0]} {symbol} {names[1]})")


negated_span: DuckForm = _guarded(lambda names: _is_ordinary(names[0]), lambda names: f"(-{names[0]})")


def multiplied_span(place: int) -> DuckForm:
    """By whole numbers, where nothing is lost of any part. `place`: where the interval stands."""
    def test(names: Sequence[str]) -> str:
        span, factor = names[place], names[1 - place]
        parts = " AND ".join((f"abs({_months(span)} * {factor}) < 1000000",
                              f"abs(date_part('day', {span}) * {factor}) < 1000000000",
                              f"abs({_clock(span)} * {factor}) < {_DOUBLE_EXACT_MAX}"))
        return f"isfinite({factor}) AND abs({factor}) < 1e9 AND {factor} = trunc({factor}) AND {parts}"
    return _guarded(test, lambda names: f"({names[place]} * CAST({names[1 - place]} AS BIGINT))")


# ---- fields

_OF_DAY = {"year": "year({0})", "month": "month({0})", "day": "day({0})", "quarter": "quarter({0})",
           "dow": "dayofweek({0})", "isodow": "isodow({0})", "doy": "dayofyear({0})", "week": "weekofyear({0})",
           "isoyear": "isoyear({0})"}
_OF_CLOCK = {"hour": "hour({0})", "minute": "minute({0})",
             "second": "(CAST(date_part('microseconds', {0}) AS DECIMAL(18,0)) * 0.000001)",
             "millisecond": "(CAST(date_part('microseconds', {0}) AS DECIMAL(18,0)) * 0.001)",
             "microsecond": "date_part('microseconds', {0})"}
_EPOCH = "(CAST(epoch_us({0}) AS DECIMAL(20,0)) * 0.000001)"
_MICROSECONDS_PER_QUARTER_OF_A_DAY = 21_600_000_000
# a year has 365.25 days
_EPOCH_OF_SPAN = ("(CAST((date_part('year', {0}) * 1461 + (date_part('month', {0}) * 30 + date_part('day', {0})) * 4)"
                  f" * {_MICROSECONDS_PER_QUARTER_OF_A_DAY} + {_clock('{0}')} AS DECIMAL(20,0)) * 0.000001)")
_OF_SPAN = {unit: f"date_part('{unit}', {{0}})" for unit in ("year", "month", "day", "hour", "minute")}
_FIELDS: dict[Kind, dict[str, str]] = {
    Kind.DATE: _OF_DAY,
    Kind.TIMESTAMP: _OF_DAY | _OF_CLOCK | {"epoch": _EPOCH},
    Kind.TIMESTAMPTZ: _OF_DAY | _OF_CLOCK,
    Kind.TIME: _OF_CLOCK,
    Kind.INTERVAL: _OF_SPAN | {unit: _OF_CLOCK[unit] for unit in ("second", "millisecond", "microsecond")}
                   | {"epoch": _EPOCH_OF_SPAN},
}


def extracted(type_name: str) -> DuckForm:
    """extract and date_part; the field is a number of the type `type_name` of DuckDB."""
    def form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
        unit = UNITS.get((text_of(arguments[0]) or "").lower(), "")
        if types[1].kind is Kind.TIMESTAMPTZ and unit == "epoch":
            field, value = _EPOCH, arguments[1]
        else:
            field = _FIELDS[types[1].kind].get(unit, "")
            value = local(arguments[1]) if types[1].kind is Kind.TIMESTAMPTZ else arguments[1]
        if not field:
            return None
        there = f"CAST({{}} AS {type_name})".format
        if field.count("{0}") == 1:
            return there(field.format(value))
        return once([value], lambda names: there(field.format(names[0])))
    return form


# ---- date_trunc

_UNITS_OF_CLOCK = ("microsecond", "millisecond", "second", "minute", "hour")
_UNITS_OF_DAY = ("day", "week", "month", "quarter", "year")


def _unit(argument: str) -> str | None:
    unit = UNITS.get((text_of(argument) or "").lower(), "")
    return unit if unit in _UNITS_OF_CLOCK or unit in _UNITS_OF_DAY else None


def _truncated(unit: str, local_time: str) -> str:
    return f"CAST(date_trunc('{unit}', {local_time}) AS TIMESTAMP)"


def truncated(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str | None:
    unit = _unit(arguments[0])
    return None if unit is None else _truncated(unit, arguments[1])


def truncated_moment(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str | None:
    unit = _unit(arguments[0])
    if unit is None:
        return None
    if unit in _UNITS_OF_DAY:
        return moment(_truncated(unit, local(arguments[1])))

    # inside a day the offset stays: 01:30 that comes twice is two hours, not one
    def body(names: Sequence[str]) -> str:
        there, clock = names
        return f"make_timestamptz({there} - ({clock} - epoch_us({_truncated(unit, f'make_timestamp({clock})')})))"
    return (f"CASE WHEN {IS_UTC} THEN make_timestamptz(epoch_us({_truncated(unit, without_zone(arguments[1]))})) "
            f"ELSE {once([f'epoch_us({arguments[1]})', f'{LOCAL}{arguments[1]})'], body)} END")


# ---- to_char

_SPECIFIERS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S", "US": "%f"}
_TEMPLATE = re.compile(r"YYYY|MM|DD|HH24|MI|SS|US|[-/:. ]")


def written(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
    """Numbers of fixed width with marks between them; the others by the definition."""
    template = text_of(arguments[1])
    if not template or "".join(_TEMPLATE.findall(template)) != template:
        return None
    pieces = "".join(_SPECIFIERS.get(piece, piece) for piece in _TEMPLATE.findall(template))
    value = local(arguments[0]) if types[0].kind is Kind.TIMESTAMPTZ else arguments[0]
    return f"strftime({value}, '{pieces}')"
