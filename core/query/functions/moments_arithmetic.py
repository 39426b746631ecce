"""Arithmetic of dates, times and intervals, as PostgreSQL does it.

    Jan 31 + 1 month = Feb 29      months first, cut at the end of the month; then days; then the clock
    1 month * 1.5 = 1 month 15 days     what is lost of a month goes to days, of a day to the clock

Plain functions of Python values. Timestamps with time zone add months and days on the clock of the session's zone.
Moments are those of Python: years 1 to 9999. What leaves them raises DatetimeOutOfRange.
"""
from __future__ import annotations

import calendar
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar

from phantomdb.core.query.cast_moments import MICROSECONDS_PER_DAY, clock_of
from phantomdb.core.query.errors import DatetimeOutOfRange, DivisionByZero, FeatureNotSupported
from phantomdb.core.query.functions import zones
from phantomdb.core.values import Interval

MICROSECONDS_PER_SECOND = 1_000_000
MICROSECONDS_PER_HOUR = 3600 * MICROSECONDS_PER_SECOND
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=UTC)
DAYS_PER_MONTH = 30                  # where an interval's months must become days
SECONDS_PER_DAY = 86_400
_MAX_INT32, _MAX_INT64 = (1 << 31) - 1, (1 << 63) - 1


def interval(months: int, days: int, microseconds: int) -> Interval:
    """DatetimeOutOfRange: more than 32 bits of months or days, or 64 of microseconds."""
    if abs(months) > _MAX_INT32 or abs(days) > _MAX_INT32 or abs(microseconds) > _MAX_INT64:
        raise DatetimeOutOfRange("interval out of range")
    return Interval(months, days, microseconds)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


# ---- moments and intervals

def add_days(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        raise DatetimeOutOfRange("date out of range") from None


def _add_calendar(local: datetime, months: int, days: int) -> datetime:
    try:
        if months:
            year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
            last_day = calendar.monthrange(year, month + 1)[1]
            local = local.replace(year=year, month=month + 1, day=min(local.day, last_day))
        return local + timedelta(days=days) if days else local
    except (OverflowError, ValueError):
        raise DatetimeOutOfRange("timestamp out of range") from None


def _add_clock(moment: datetime, microseconds: int) -> datetime:
    try:
        return moment + timedelta(microseconds=microseconds)
    except OverflowError:
        raise DatetimeOutOfRange("timestamp out of range") from None


def add(local: datetime, span: Interval) -> datetime:
    return _add_clock(_add_calendar(local, span.months, span.days), span.microseconds)


def add_moment(moment: datetime, span: Interval) -> datetime:
    """Of a timestamp with time zone."""
    if span.months or span.days:
        # each on its own: a clock that was moved in between is read anew
        for months, days in ((span.months, 0), (0, span.days)):
            if months or days:
                moment = zones.to_moment(_add_calendar(zones.to_local(moment), months, days))
    return _add_clock(moment, span.microseconds)


def difference(a: datetime, b: datetime) -> Interval:
    """a - b, in days and the clock."""
    microseconds = (a - b) // MICROSECOND
    days = abs(microseconds) // MICROSECONDS_PER_DAY * (-1 if microseconds < 0 else 1)
    return Interval(0, days, microseconds - days * MICROSECONDS_PER_DAY)


def age(a: datetime, b: datetime) -> Interval:
    """a - b counted on the calendar: years, months, days. Both without zone."""
    if a < b:
        return negate(age(b, a))
    months = (a.year - b.year) * 12 + a.month - b.month
    days = a.day - b.day
    clock = clock_of(a.time()) - clock_of(b.time())
    if clock < 0:
        clock, days = clock + MICROSECONDS_PER_DAY, days - 1
    while days < 0:
        days, months = days + calendar.monthrange(b.year, b.month)[1], months - 1
    return Interval(months, days, clock)


def date_bin(stride: Interval, moment: datetime, origin: datetime) -> datetime:
    """The start of the bin that `moment` is in; bins are `stride` long and one begins at `origin`."""
    if stride.months:
        raise FeatureNotSupported("timestamps cannot be binned into intervals containing months or years")
    step = stride.days * MICROSECONDS_PER_DAY + stride.microseconds
    if step <= 0:
        raise DatetimeOutOfRange("stride must be greater than zero")
    distance = (moment - origin) // MICROSECOND
    return _add_clock(origin, distance - distance % step)


# ---- intervals

def negate(span: Interval) -> Interval:
    return interval(-span.months, -span.days, -span.microseconds)


def sum_of(a: Interval, b: Interval) -> Interval:
    return interval(a.months + b.months, a.days + b.days, a.microseconds + b.microseconds)


def multiply(span: Interval, factor: float) -> Interval:
    return _scaled(span, lambda part: part * factor)


def divide(span: Interval, divisor: float) -> Interval:
    if divisor == 0:
        raise DivisionByZero
    return _scaled(span, lambda part: part / divisor)


def _to_microsecond(number: float) -> float:
    return round(number * 1e6) / 1e6


def _scaled(span: Interval, scale: Callable[[float], float]) -> Interval:
    """Each part scaled; what is lost of a month goes to the days, of a day to the clock. In floats, as PostgreSQL."""
    try:
        months_exact, days_exact, clock = scale(float(span.months)), scale(float(span.days)), scale(
            float(span.microseconds))
        months, days = int(months_exact), int(days_exact)
        rest_days = _to_microsecond((months_exact - months) * DAYS_PER_MONTH)
        rest_seconds = _to_microsecond((days_exact - days + rest_days - int(rest_days)) * SECONDS_PER_DAY)
        if abs(rest_seconds) >= SECONDS_PER_DAY:
            carried = int(rest_seconds / SECONDS_PER_DAY)
            days, rest_seconds = days + carried, rest_seconds - carried * SECONDS_PER_DAY
        return interval(months, days + int(rest_days), round(clock + rest_seconds * MICROSECONDS_PER_SECOND))
    except (OverflowError, ValueError):                      # infinity, NaN
        raise DatetimeOutOfRange("interval out of range") from None


def _carried(large: int, small: int, per_large: int) -> tuple[int, int]:
    """`small` units made into large ones as far as they go, both of one sign afterwards."""
    whole = int(math.copysign(abs(small) // per_large, small))
    large, small = large + whole, small - whole * per_large
    if large > 0 > small:
        return large - 1, small + per_large
    if large < 0 < small:
        return large + 1, small - per_large
    return large, small


def justify_hours(span: Interval) -> Interval:
    days, microseconds = _carried(span.days, span.microseconds, MICROSECONDS_PER_DAY)
    return interval(span.months, days, microseconds)


def justify_days(span: Interval) -> Interval:
    months, days = _carried(span.months, span.days, DAYS_PER_MONTH)
    return interval(months, days, span.microseconds)


def justify_interval(span: Interval) -> Interval:
    """Both, and all parts of one sign."""
    months, days, microseconds = span
    whole = abs(microseconds) // MICROSECONDS_PER_DAY * (-1 if microseconds < 0 else 1)
    days, microseconds = days + whole, microseconds - whole * MICROSECONDS_PER_DAY
    whole = abs(days) // DAYS_PER_MONTH * (-1 if days < 0 else 1)
    months, days = months + whole, days - whole * DAYS_PER_MONTH
    if months > 0 and (days < 0 or (days == 0 and microseconds < 0)):
        months, days = months - 1, days + DAYS_PER_MONTH
    elif months < 0 and (days > 0 or (days == 0 and microseconds > 0)):
        months, days = months + 1, days - DAYS_PER_MONTH
    if days > 0 > microseconds:
        days, microseconds = days - 1, microseconds + MICROSECONDS_PER_DAY
    elif days < 0 < microseconds:
        days, microseconds = days + 1, microseconds - MICROSECONDS_PER_DAY
    return interval(months, days, microseconds)


# ---- periods

Instant = TypeVar("Instant", datetime, time)


def overlaps(start: Instant | None, stop: Instant | None, other_start: Instant | None,
             other_stop: Instant | None) -> bool | None:
    """Whether two periods have a moment in common. A period holds its start but not its end, unless they are the same.
    Ends may be given in either order. NULL for an end that is not known, where the answer hangs on it."""
    first, second = _period(start, stop), _period(other_start, other_stop)
    if first is None or second is None:
        return None
    (a, a_end), (b, b_end) = first, second
    if a == b:                           # neither is empty of its start
        return None if a_end is None or b_end is None else True
    if a > b:
        (a, a_end), (b, b_end) = second, first
    if a_end is None:
        return None
    if b < a_end:
        return True
    # the first ends before the second begins; with an unknown end of the second nothing is said
    return None if b_end is None else False


def _period(start: Instant | None, stop: Instant | None) -> tuple[Instant, Instant | None] | None:
    """(earlier, later); an end that is NULL comes last."""
    if start is None:
        return None if stop is None else (stop, None)
    if stop is None or start <= stop:
        return start, stop
    return stop, start
