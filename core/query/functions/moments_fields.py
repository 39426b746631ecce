"""Fields of moments and intervals by name: extract and date_trunc.

    extract('month', 2024-02-29) = 2          date_trunc('month', 2024-02-29 10:00) = 2024-02-01 00:00

Units have PostgreSQL's names and abbreviations. A word that is no unit is InvalidParameterValue; a unit that the type
does not have is FeatureNotSupported.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from phantomdb.core.query.cast_moments import MICROSECONDS_PER_DAY, clock_of
from phantomdb.core.query.errors import DatetimeOutOfRange, FeatureNotSupported, InvalidParameterValue, QueryError
from phantomdb.core.query.functions import zones
from phantomdb.core.query.functions.moments_arithmetic import (
    DAYS_PER_MONTH,
    EPOCH,
    EPOCH_UTC,
    MICROSECOND,
    MICROSECONDS_PER_HOUR,
    MICROSECONDS_PER_SECOND,
    SECONDS_PER_DAY,
    interval,
    midnight,
)
from phantomdb.core.values import DATE, INTERVAL, TIME, TIMESTAMP, TIMESTAMPTZ, Interval, Type

JULIAN_DAY_OF_ORDINAL_0 = 1_721_425
MONTHS_PER_YEAR = 12
_JULIAN_STEP = Decimal("1e-20")

_UNITS = {
    "microsecond": "microseconds microsecon us usec usecs usecond useconds", "second": "s sec secs seconds",
    "millisecond": "milliseconds millisecon ms msec msecs msecond mseconds", "minute": "m min mins minutes",
    "hour": "h hr hrs hours", "day": "d days", "week": "w weeks", "month": "mon mons months", "quarter": "qtr",
    "year": "y yr yrs years", "decade": "dec decs decades", "century": "c cent centuries",
    "millennium": "mil mils millennia", "dow": "", "doy": "", "isodow": "", "isoyear": "", "julian": "j jd",
    "epoch": "", "timezone": "", "timezone_hour": "timezone_h", "timezone_minute": "timezone_m",
}
UNITS = {word: unit for unit, others in _UNITS.items() for word in (unit, *others.split())}

Argument = TypeVar("Argument", bound=Any)
Field = Callable[[Any], "int | Decimal"]


# Fields that are no span of time: date_trunc does not know them.
_FIELDS_ONLY = {"dow", "doy", "isodow", "isoyear", "julian", "epoch"}


def missing_unit(word: str, type_: Type, *, is_span: bool = False) -> QueryError:
    lowered = word.lower()
    if lowered in UNITS and not (is_span and UNITS[lowered] in _FIELDS_ONLY):
        return FeatureNotSupported(f'unit "{lowered}" not supported for type {type_}')
    return InvalidParameterValue(f'unit "{lowered}" not recognized for type {type_}')


def _unit_in(word: str, there: Mapping[str, Argument], type_: Type) -> Argument:
    found = there.get(UNITS.get(word.lower(), ""))
    if found is None:
        raise missing_unit(word, type_, is_span=there is _TRUNCATE)
    return found


def _scaled(number: int, digits: int) -> Decimal:
    return Decimal(number).scaleb(-digits)


# ---- extract

def _clock(instant: time | datetime) -> int:
    """Microseconds of the minute."""
    return instant.second * MICROSECONDS_PER_SECOND + instant.microsecond


_OF_DAY: dict[str, Field] = {
    "day": lambda d: d.day, "week": lambda d: d.isocalendar()[1], "month": lambda d: d.month,
    "quarter": lambda d: (d.month + 2) // 3, "year": lambda d: d.year, "decade": lambda d: d.year // 10,
    "century": lambda d: (d.year + 99) // 100, "millennium": lambda d: (d.year + 999) // 1000,
    "dow": lambda d: d.isoweekday() % 7, "doy": lambda d: d.timetuple().tm_yday, "isodow": lambda d: d.isoweekday(),
    "isoyear": lambda d: d.isocalendar()[0], "julian": lambda d: d.toordinal() + JULIAN_DAY_OF_ORDINAL_0,
}
_OF_CLOCK: dict[str, Field] = {
    "microsecond": _clock, "millisecond": lambda t: _scaled(_clock(t), 3), "second": lambda t: _scaled(_clock(t), 6),
    "minute": lambda t: t.minute, "hour": lambda t: t.hour,
}


def _julian(local: datetime) -> Decimal:
    fraction = Decimal(clock_of(local.time())) / MICROSECONDS_PER_DAY
    return local.toordinal() + JULIAN_DAY_OF_ORDINAL_0 + fraction.quantize(_JULIAN_STEP)


_OF_DATE: dict[str, Field] = _OF_DAY | {"epoch": lambda d: (d - EPOCH.date()).days * SECONDS_PER_DAY}
_OF_TIME: dict[str, Field] = _OF_CLOCK | {"epoch": lambda t: _scaled(clock_of(t), 6)}
_OF_TIMESTAMP: dict[str, Field] = _OF_DAY | _OF_CLOCK | {
    "julian": _julian, "epoch": lambda t: _scaled((t - EPOCH) // MICROSECOND, 6)}


def _offset(moment: datetime) -> int:
    """Of the session's clock at that moment, in seconds east of Greenwich."""
    return (zones.to_local(moment) - moment.replace(tzinfo=None)) // timedelta(seconds=1)


def _toward_zero(number: int, divisor: int) -> int:
    return number // divisor if number >= 0 else -(-number // divisor)


def _remainder(number: int, divisor: int) -> int:
    return number - _toward_zero(number, divisor) * divisor


_OF_MOMENT: dict[str, Field] = {
    "epoch": lambda m: _scaled((m - EPOCH_UTC) // MICROSECOND, 6), "timezone": _offset,
    "timezone_hour": lambda m: _toward_zero(_offset(m), 3600),
    "timezone_minute": lambda m: _remainder(_toward_zero(_offset(m), 60), 60),
}
_MINUTE = 60 * MICROSECONDS_PER_SECOND


def years_of(span: Interval) -> int:
    return _toward_zero(span.months, MONTHS_PER_YEAR)


def _interval_epoch(span: Interval) -> Decimal:
    years, months = years_of(span), _remainder(span.months, MONTHS_PER_YEAR)
    # a year has 365.25 days
    quarters_of_days = years * 1461 + (months * DAYS_PER_MONTH + span.days) * 4
    return _scaled(quarters_of_days * (MICROSECONDS_PER_DAY // 4) + span.microseconds, 6)


_OF_INTERVAL: dict[str, Field] = {
    "microsecond": lambda i: _remainder(i.microseconds, _MINUTE),
    "millisecond": lambda i: _scaled(_remainder(i.microseconds, _MINUTE), 3),
    "second": lambda i: _scaled(_remainder(i.microseconds, _MINUTE), 6),
    "minute": lambda i: _remainder(_toward_zero(i.microseconds, _MINUTE), 60),
    "hour": lambda i: _toward_zero(i.microseconds, MICROSECONDS_PER_HOUR), "day": lambda i: i.days,
    "month": lambda i: _remainder(i.months, MONTHS_PER_YEAR),
    "quarter": lambda i: _toward_zero(_remainder(i.months, MONTHS_PER_YEAR), 3) + 1, "year": years_of,
    "decade": lambda i: _toward_zero(years_of(i), 10), "century": lambda i: _toward_zero(years_of(i), 100),
    "millennium": lambda i: _toward_zero(years_of(i), 1000), "epoch": _interval_epoch,
}


def extract_date(field: str, day: date) -> Decimal:
    return Decimal(_unit_in(field, _OF_DATE, DATE)(day))


def extract_time(field: str, clock: time) -> Decimal:
    return Decimal(_unit_in(field, _OF_TIME, TIME)(clock))


def extract_timestamp(field: str, local: datetime) -> Decimal:
    return Decimal(_unit_in(field, _OF_TIMESTAMP, TIMESTAMP)(local))


def extract_moment(field: str, moment: datetime) -> Decimal:
    own = _OF_MOMENT.get(UNITS.get(field.lower(), ""))
    if own is not None:
        return Decimal(own(moment))
    return Decimal(_unit_in(field, _OF_TIMESTAMP, TIMESTAMPTZ)(zones.to_local(moment)))


def extract_interval(field: str, span: Interval) -> Decimal:
    return Decimal(_unit_in(field, _OF_INTERVAL, INTERVAL)(span))


# ---- date_trunc

def _truncate_microseconds(unit: int) -> Callable[[datetime], datetime]:
    return lambda t: t.replace(microsecond=t.microsecond - t.microsecond % unit)


def _first_of_year(day: datetime, year: int) -> datetime:
    if year < 1:
        raise DatetimeOutOfRange("timestamp out of range")
    return datetime(year, 1, 1)


_TRUNCATE_CLOCK: dict[str, Callable[[datetime], datetime]] = {
    "microsecond": lambda t: t, "millisecond": _truncate_microseconds(1000), "second": _truncate_microseconds(10**6),
    "minute": lambda t: t.replace(second=0, microsecond=0),
    "hour": lambda t: t.replace(minute=0, second=0, microsecond=0),
}
_TRUNCATE_DAY: dict[str, Callable[[datetime], datetime]] = {
    "day": midnight, "week": lambda t: midnight(t) - timedelta(days=t.weekday()),
    "month": lambda t: datetime(t.year, t.month, 1),
    "quarter": lambda t: datetime(t.year, (t.month - 1) // 3 * 3 + 1, 1), "year": lambda t: datetime(t.year, 1, 1),
    "decade": lambda t: _first_of_year(t, t.year // 10 * 10),
    "century": lambda t: _first_of_year(t, (t.year + 99) // 100 * 100 - 99),
    "millennium": lambda t: _first_of_year(t, (t.year + 999) // 1000 * 1000 - 999),
}
_TRUNCATE = _TRUNCATE_CLOCK | _TRUNCATE_DAY


def truncate_timestamp(field: str, local: datetime) -> datetime:
    return _unit_in(field, _TRUNCATE, TIMESTAMP)(local)


def truncate_moment(field: str, moment: datetime, zone_name: str | None = None) -> datetime:
    zone = zones.session_zone() if zone_name is None else zones.zone_of(zone_name)
    truncate, local = _unit_in(field, _TRUNCATE, TIMESTAMPTZ), zones.to_local(moment, zone)
    if UNITS[field.lower()] in _TRUNCATE_CLOCK:
        # inside a day the offset stays: 01:30 that comes twice is two hours, not one
        return moment - (local - truncate(local))
    return zones.to_moment(truncate(local), zone)


_MONTHS = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200, "millennium": 12_000}
_MICROSECONDS = {"microsecond": 1, "millisecond": 1000, "second": MICROSECONDS_PER_SECOND, "minute": _MINUTE,
                 "hour": MICROSECONDS_PER_HOUR}


def truncate_interval(field: str, span: Interval) -> Interval:
    unit = UNITS.get(field.lower(), "")
    if step := _MONTHS.get(unit):
        return interval(span.months - _remainder(span.months, step), 0, 0)
    if unit == "day":
        return Interval(span.months, span.days, 0)
    if step := _MICROSECONDS.get(unit):
        return Interval(span.months, span.days, span.microseconds - _remainder(span.microseconds, step))
    raise missing_unit(field, INTERVAL, is_span=True)
