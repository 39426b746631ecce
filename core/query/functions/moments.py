"""Dates, times and intervals: operators, constructors, and the clock.

The definitions are in moments_arithmetic.py, moments_fields.py, moments_format.py and moments_parse.py; here each gets
its names, its types and DuckDB's form, of which the longer ones are in moments_forms.py.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from phantomdb.core.query import context
from phantomdb.core.query.cast_moments import MICROSECONDS_PER_DAY, clock_of, time_of
from phantomdb.core.query.errors import DatetimeOutOfRange, InvalidParameterValue
from phantomdb.core.query.functions import moments_arithmetic as arithmetic
from phantomdb.core.query.functions import moments_fields as fields
from phantomdb.core.query.functions import moments_format, moments_parse, number_format, zones
from phantomdb.core.query.functions import moments_forms as forms
from phantomdb.core.query.functions.numbers import scalar
from phantomdb.core.query.functions.registry import DuckForm, Pattern, Volatility
from phantomdb.core.values import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    INT,
    INTERVAL,
    NUMERIC,
    REAL,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    Interval,
    Type,
)

IMMUTABLE, STABLE, VOLATILE = Volatility.IMMUTABLE, Volatility.STABLE, Volatility.VOLATILE
_MICROSECONDS_PER_SECOND = arithmetic.MICROSECONDS_PER_SECOND


def _scalar(name: str, arguments: tuple[Pattern, ...], result: Type, python: Callable[..., Any],
            duckdb: DuckForm | None = None, volatility: Volatility = IMMUTABLE, *, summary: str, **more: Any) -> None:
    scalar(name, arguments, result, python, duckdb, summary, volatility=volatility, **more)


_python: Callable[..., Any]
_form: DuckForm | None


# ---- + and -

def _add_time(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock)


def _move_clock(clock: time, span: Interval) -> time:
    return time_of((clock_of(clock) + span.microseconds) % MICROSECONDS_PER_DAY)


def _swapped(python: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: python(b, a)


for _left, _right, _result, _python, _form, _volatility in (
        (DATE, INT, DATE, arithmetic.add_days, forms.in_years("({0} + {1})"), IMMUTABLE),
        (DATE, INTERVAL, TIMESTAMP, lambda d, i: arithmetic.add(arithmetic.midnight(d), i),
         forms.in_years("({0} + {1})"), IMMUTABLE),
        (DATE, TIME, TIMESTAMP, _add_time, "({0} + {1})", IMMUTABLE),
        (TIMESTAMP, INTERVAL, TIMESTAMP, arithmetic.add, forms.in_years("({0} + {1})"), IMMUTABLE),
        (TIMESTAMPTZ, INTERVAL, TIMESTAMPTZ, arithmetic.add_moment, forms.moved_moment("+"), STABLE),
        (TIME, INTERVAL, TIME, _move_clock, None, IMMUTABLE)):
    _scalar("+", (_left, _right), _result, _python, _form, _volatility, summary="later by so much")
    _mirror = _form
    if isinstance(_form, str):
        _mirror = "({1} + {0})"
    elif _left is TIMESTAMPTZ:
        _mirror = forms.moved_moment("+", is_span_first=True)
    elif _form is not None:
        _mirror = forms.in_years("({1} + {0})")
    _scalar("+", (_right, _left), _result, _swapped(_python), _mirror, _volatility, summary="later by so much")
_scalar("+", (INTERVAL, INTERVAL), INTERVAL, arithmetic.sum_of, forms.spans("+"),
        summary="the sum, part by part")

for _left, _right, _result, _python, _form, _volatility in (
        (DATE, DATE, INT, lambda a, b: (a - b).days, "CAST({0} - {1} AS INTEGER)", IMMUTABLE),
        (DATE, INT, DATE, lambda d, n: arithmetic.add_days(d, -n), forms.in_years("({0} - {1})"), IMMUTABLE),
        (DATE, INTERVAL, TIMESTAMP, lambda d, i: arithmetic.add(arithmetic.midnight(d), arithmetic.negate(i)),
         forms.in_years("({0} - {1})"), IMMUTABLE),
        (TIMESTAMP, TIMESTAMP, INTERVAL, arithmetic.difference, "({0} - {1})", IMMUTABLE),
        (TIMESTAMPTZ, TIMESTAMPTZ, INTERVAL, arithmetic.difference, forms.difference, IMMUTABLE),
        (TIMESTAMP, INTERVAL, TIMESTAMP, lambda t, i: arithmetic.add(t, arithmetic.negate(i)),
         forms.in_years("({0} - {1})"), IMMUTABLE),
        (TIMESTAMPTZ, INTERVAL, TIMESTAMPTZ, lambda t, i: arithmetic.add_moment(t, arithmetic.negate(i)),
         forms.moved_moment("-"), STABLE),
        (TIME, TIME, INTERVAL, lambda a, b: Interval(0, 0, clock_of(a) - clock_of(b)),
         "to_microseconds(epoch_us({0}) - epoch_us({1}))", IMMUTABLE),
        (TIME, INTERVAL, TIME, lambda t, i: _move_clock(t, arithmetic.negate(i)), None, IMMUTABLE)):
    _scalar("-", (_left, _right), _result, _python, _form, _volatility, summary="earlier by so much; the time between")
_scalar("-", (INTERVAL, INTERVAL), INTERVAL, lambda a, b: arithmetic.sum_of(a, arithmetic.negate(b)), forms.spans("-"),
        summary="the difference, part by part")
_scalar("negate", (INTERVAL,), INTERVAL, arithmetic.negate, forms.negated_span, summary="back as far")
_scalar("*", (INTERVAL, DOUBLE), INTERVAL, arithmetic.multiply, forms.multiplied_span(0),
        summary="so many times as long")
_scalar("*", (DOUBLE, INTERVAL), INTERVAL, _swapped(arithmetic.multiply), forms.multiplied_span(1),
        summary="so many times as long")
_scalar("/", (INTERVAL, DOUBLE), INTERVAL, arithmetic.divide, summary="the so manieth part")


# ---- fields

_EXTRACT = (
    (DATE, fields.extract_date, IMMUTABLE), (TIMESTAMP, fields.extract_timestamp, IMMUTABLE),
    (TIMESTAMPTZ, fields.extract_moment, STABLE), (TIME, fields.extract_time, IMMUTABLE),
    (INTERVAL, fields.extract_interval, IMMUTABLE))


def _as_float(python: Callable[[str, Any], Any]) -> Callable[[str, Any], float]:
    return lambda field, value: float(python(field, value))


for _type, _python, _volatility in _EXTRACT:
    _scalar("extract", (TEXT, _type), NUMERIC, _python, forms.extracted("DECIMAL(38,16)"), _volatility,
            summary="a field of a moment or interval")
    if _type is not DATE:
        _scalar("date_part", (TEXT, _type), DOUBLE, _as_float(_python), forms.extracted("DOUBLE"), _volatility,
                summary="extract, as a float")
_scalar("date_part", (TEXT, DATE), DOUBLE,
        lambda field, day: float(fields.extract_timestamp(field, arithmetic.midnight(day))), forms.extracted("DOUBLE"),
        summary="extract, as a float")

_scalar("date_trunc", (TEXT, TIMESTAMP), TIMESTAMP, fields.truncate_timestamp, forms.truncated,
        summary="the start of the year, month, day, ... it is in")
_scalar("date_trunc", (TEXT, TIMESTAMPTZ), TIMESTAMPTZ, fields.truncate_moment, forms.truncated_moment, STABLE,
        summary="... in the session's zone")
_scalar("date_trunc", (TEXT, TIMESTAMPTZ, TEXT), TIMESTAMPTZ, fields.truncate_moment, None, summary="... in a zone")
_scalar("date_trunc", (TEXT, INTERVAL), INTERVAL, fields.truncate_interval, summary="... of an interval")
for _type in (TIMESTAMP, TIMESTAMPTZ):
    _scalar("date_bin", (INTERVAL, _type, _type), _type, arithmetic.date_bin,
            summary="the start of the bin it is in, bins counted from the third")
for _type in (DATE, TIMESTAMP, TIMESTAMPTZ, INTERVAL):
    _scalar("isfinite", (_type,), BOOL, lambda _value: True, summary="true: infinite moments are not supported")


# ---- age, overlaps

def _age_of_moments(a: datetime, b: datetime) -> Interval:
    return arithmetic.age(zones.to_local(a), zones.to_local(b))


def _today() -> datetime:
    return arithmetic.midnight(zones.to_local(context.current().now).date())


_scalar("age", (TIMESTAMP, TIMESTAMP), INTERVAL, arithmetic.age, "age({0}, {1})",
        summary="years, months and days between")
_scalar("age", (TIMESTAMPTZ, TIMESTAMPTZ), INTERVAL, _age_of_moments, forms.age_of_moments, STABLE,
        summary="years, months and days between")
_scalar("age", (TIMESTAMP,), INTERVAL, lambda t: arithmetic.age(_today(), t), None, STABLE, summary="... until today")
_scalar("age", (TIMESTAMPTZ,), INTERVAL, lambda t: arithmetic.age(_today(), zones.to_local(t)), None, STABLE,
        summary="... until today")


def _overlaps_spans(add: Callable[[Any, Any], Any], first_is_span: bool, second_is_span: bool) -> Callable[..., Any]:
    """The second and the fourth argument may say how long instead of until when."""
    def python(start: Any, stop: Any, other_start: Any, other_stop: Any) -> bool | None:
        if first_is_span:
            stop = None if start is None or stop is None else add(start, stop)
        if second_is_span:
            other_stop = None if other_start is None or other_stop is None else add(other_start, other_stop)
        return arithmetic.overlaps(start, stop, other_start, other_stop)
    return python


for _type, _add, _volatility in ((TIMESTAMP, arithmetic.add, IMMUTABLE), (TIMESTAMPTZ, arithmetic.add_moment, STABLE),
                                 (TIME, _move_clock, IMMUTABLE)):
    for _first in (False, True):
        for _second in (False, True):
            _scalar("overlaps", (_type, INTERVAL if _first else _type, _type, INTERVAL if _second else _type), BOOL,
                    _overlaps_spans(_add, _first, _second), None,
                    _volatility if _first or _second else IMMUTABLE, is_strict=False,
                    summary="two periods have a moment in common")


# ---- intervals made and put in order

def _make_interval(years: int = 0, months: int = 0, weeks: int = 0, days: int = 0, hours: int = 0, minutes: int = 0,
                   seconds: float = 0.0) -> Interval:
    if not math.isfinite(seconds):
        raise DatetimeOutOfRange("interval out of range")
    clock = (hours * 60 + minutes) * 60 * _MICROSECONDS_PER_SECOND + round(seconds * _MICROSECONDS_PER_SECOND)
    return arithmetic.interval(years * 12 + months, weeks * 7 + days, clock)


_scalar("make_interval", (INT, INT, INT, INT, INT, INT, DOUBLE), INTERVAL, _make_interval, optional=7,
        summary="of years, months, weeks, days, hours, minutes, seconds")
_scalar("justify_days", (INTERVAL,), INTERVAL, arithmetic.justify_days, summary="30 days made a month")
_scalar("justify_hours", (INTERVAL,), INTERVAL, arithmetic.justify_hours, summary="24 hours made a day")
_scalar("justify_interval", (INTERVAL,), INTERVAL, arithmetic.justify_interval, summary="both, all of one sign")


# ---- moments made

def _make_date(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except (ValueError, OverflowError):
        raise DatetimeOutOfRange(f"date field value out of range: {year}-{month:02}-{day:02}") from None


def _clock(hour: int, minute: int, second: float) -> int:
    """Microseconds since midnight. As in PostgreSQL 24:00 and a 60th second are the start of what comes next."""
    clock = -1
    if 0 <= hour <= 24 and 0 <= minute < 60 and 0 <= second <= 60:           # false for NaN
        clock = (hour * 60 + minute) * 60 * _MICROSECONDS_PER_SECOND + round(second * _MICROSECONDS_PER_SECOND)
    if not 0 <= clock <= MICROSECONDS_PER_DAY:
        raise DatetimeOutOfRange(f"time field value out of range: {hour}:{minute:02}:{second:02g}")
    return clock


def _make_time(hour: int, minute: int, second: float) -> time:
    clock = _clock(hour, minute, second)
    if clock == MICROSECONDS_PER_DAY:
        raise DatetimeOutOfRange("the time 24:00:00 is not supported")
    return time_of(clock)


def _make_timestamp(year: int, month: int, day: int, hour: int, minute: int, second: float) -> datetime:
    local = arithmetic.midnight(_make_date(year, month, day))
    return arithmetic.add(local, Interval(0, 0, _clock(hour, minute, second)))


def _make_moment(year: int, month: int, day: int, hour: int, minute: int, second: float,
                 zone: str | None = None) -> datetime:
    return zones.to_moment(_make_timestamp(year, month, day, hour, minute, second),
                           None if zone is None else _constructor_zone(zone))


def _constructor_zone(name: str) -> Any:
    """Here, unlike AT TIME ZONE, +02 is two hours ahead of UTC."""
    if name[:1] in ("+", "-"):
        return zones.zone_of({"+": "-", "-": "+"}[name[0]] + name[1:])
    if name[:1].isdigit():
        raise InvalidParameterValue(f'invalid input syntax for type numeric time zone: "{name}"')
    return zones.zone_of(name)


def _from_epoch(seconds: float) -> datetime:
    if math.isnan(seconds):
        raise DatetimeOutOfRange("timestamp cannot be NaN")
    try:
        # counted from 2000, as PostgreSQL: that decides how the last digit is rounded
        microseconds = round((seconds - 946_684_800) * 1e6)
        return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        raise DatetimeOutOfRange(f'timestamp out of range: "{seconds:g}"') from None


_NUMBERS = (INT, INT, INT, INT, INT, DOUBLE)
_scalar("make_date", (INT, INT, INT), DATE, _make_date, summary="of year, month, day")
_scalar("make_time", (INT, INT, DOUBLE), TIME, _make_time, summary="of hour, minute, seconds")
_scalar("make_timestamp", _NUMBERS, TIMESTAMP, _make_timestamp, summary="of year, month, day, hour, minute, seconds")
_scalar("make_timestamptz", _NUMBERS, TIMESTAMPTZ, _make_moment, None, STABLE, summary="... in the session's zone")
_scalar("make_timestamptz", (*_NUMBERS, TEXT), TIMESTAMPTZ, _make_moment, summary="... in a zone")
_scalar("to_timestamp", (DOUBLE,), TIMESTAMPTZ, _from_epoch, summary="so many seconds after 1970")


# ---- zones

def _to_zone(moment: datetime, zone: str) -> datetime:
    return zones.to_local(moment, zones.zone_of(zone))


def _in_zone(local: datetime, zone: str) -> datetime:
    return zones.to_moment(local, zones.zone_of(zone))


def _to_offset(moment: datetime, offset: Interval) -> datetime:
    return zones.to_local(moment, zones.zone_of_interval(offset))


def _in_offset(local: datetime, offset: Interval) -> datetime:
    return zones.to_moment(local, zones.zone_of_interval(offset))


for _type, _zone_type, _result, _python in (
        (TIMESTAMPTZ, TEXT, TIMESTAMP, _to_zone), (TIMESTAMP, TEXT, TIMESTAMPTZ, _in_zone),
        (TIMESTAMPTZ, INTERVAL, TIMESTAMP, _to_offset), (TIMESTAMP, INTERVAL, TIMESTAMPTZ, _in_offset)):
    _form = None if _zone_type is INTERVAL else "make_timestamp({local_in}{1}, {0}))"
    if _form is not None and _type is TIMESTAMP:
        _form = "make_timestamptz({moment_in}{1}, {0}))"
    _scalar("at time zone", (_type, _zone_type), _result, _python, _form,
            summary="what a clock in a zone shows, and back")
    _mirror = _form and _form.replace("{1}, {0}", "{0}, {1}")
    _scalar("timezone", (_zone_type, _type), _result, _swapped(_python), _mirror,
            summary="at time zone, the zone first")


# ---- the clock

def _to_precision(moment: datetime, digits: int | None) -> datetime:
    if digits is None or digits >= 6:
        return moment
    if digits < 0:
        raise InvalidParameterValue(f"TIMESTAMP({digits}) precision must not be negative")
    step = 10 ** (6 - digits)
    return moment + timedelta(microseconds=(moment.microsecond + step // 2) // step * step - moment.microsecond)


def _now(digits: int | None = None) -> datetime:
    return _to_precision(context.current().now, digits)


def _local_now(digits: int | None = None) -> datetime:
    return zones.to_local(_now(digits))


def _statement_started() -> datetime:
    statement = context.current()
    return statement.statement_started or statement.now


def _clock_now() -> datetime:
    return datetime.now(UTC)


def _time_of_day() -> str:
    template = "Dy Mon DD HH24:MI:SS.US YYYY TZ"
    return moments_format.format_moment(_clock_now(), template) or ""


_scalar("now", (), TIMESTAMPTZ, _now, None, STABLE, summary="the start of the transaction")
_scalar("transaction_timestamp", (), TIMESTAMPTZ, _now, None, STABLE, summary="the start of the transaction")
_scalar("current_timestamp", (INT,), TIMESTAMPTZ, _now, None, STABLE, optional=1,
        summary="the start of the transaction")
_scalar("statement_timestamp", (), TIMESTAMPTZ, _statement_started, None, STABLE, summary="the start of the statement")
_scalar("clock_timestamp", (), TIMESTAMPTZ, _clock_now, None, VOLATILE, summary="now, also within a statement")
_scalar("timeofday", (), TEXT, _time_of_day, None, VOLATILE, summary="clock_timestamp as text")
_scalar("current_date", (), DATE, lambda: _local_now().date(), None, STABLE, summary="today in the session's zone")
_scalar("localtimestamp", (INT,), TIMESTAMP, _local_now, None, STABLE, optional=1,
        summary="the start of the transaction on the session's clock")
_scalar("localtime", (INT,), TIME, lambda digits=None: _local_now(digits).time(), None, STABLE, optional=1,
        summary="... the time of day")


# ---- as text

def _format_real(value: float, template: str) -> str | None:
    return number_format.format_float(value, template, REAL.bits)


for _type, _python, _volatility in (
        (TIMESTAMP, moments_format.format_timestamp, IMMUTABLE), (TIMESTAMPTZ, moments_format.format_moment, STABLE),
        (INTERVAL, moments_format.format_interval, IMMUTABLE),
        (TIME, moments_format.format_time, IMMUTABLE), (INT, number_format.format_int, IMMUTABLE),
        (BIGINT, number_format.format_int, IMMUTABLE), (NUMERIC, number_format.format_numeric, IMMUTABLE),
        (REAL, _format_real, IMMUTABLE), (DOUBLE, number_format.format_float, IMMUTABLE)):
    _scalar("to_char", (_type, TEXT), TEXT, _python, forms.written if _type in (TIMESTAMP, TIMESTAMPTZ) else None,
            _volatility, summary="written by a template")
_scalar("to_date", (TEXT, TEXT), DATE, moments_parse.parse_date, summary="read by a template")
_scalar("to_timestamp", (TEXT, TEXT), TIMESTAMPTZ, moments_parse.parse_timestamp, None, STABLE,
        summary="read by a template")
_scalar("to_number", (TEXT, TEXT), NUMERIC, number_format.parse_number, summary="read by a template")
