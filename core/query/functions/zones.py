"""Time zones: from a wall clock to the moment it shows, and back.

    local 2024-03-10 02:30, America/New_York   a time that was skipped: as the clock before the change had it, 07:30 UTC
    local 2024-11-03 01:30, America/New_York   a time that came twice: the second one, 06:30 UTC

A zone is an IANA name, a common abbreviation, or a POSIX offset, whose sign counts west of Greenwich ('+02' is
two hours behind UTC), as in PostgreSQL.
"""
from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from phantomdb.core.query import context
from phantomdb.core.query.cast_moments import in_utc
from phantomdb.core.query.errors import DatetimeOutOfRange, InvalidParameterValue
from phantomdb.core.values import Interval

MAX_OFFSET_HOURS = 15

# Hours east of Greenwich of the abbreviations that PostgreSQL's default list and common use agree on.
_ABBREVIATIONS = {"Z": 0, "UT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3,
                  "JST": 9, "KST": 9, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7,
                  "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "NZST": 12, "NZDT": 13}
_POSIX = re.compile(r"(?:[A-Za-z]{3,}|<[^>]+>)?([+-]?)(\d{1,2})(?::?(\d\d))?(?::?(\d\d))?")


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo:
    """InvalidParameterValue: there is no such zone."""
    if (hours := _ABBREVIATIONS.get(name.upper())) is not None:
        return timezone(timedelta(hours=hours), name.upper())
    if found := _POSIX.fullmatch(name):
        sign, hours_text, minutes, seconds = found.groups()
        offset = timedelta(hours=int(hours_text), minutes=int(minutes or 0), seconds=int(seconds or 0))
        if int(hours_text) > MAX_OFFSET_HOURS:
            raise InvalidParameterValue(f'time zone "{name}" not recognized')
        return timezone(offset if sign == "-" else -offset)
    return context.zone_named(name)


def zone_of_interval(offset: Interval) -> tzinfo:
    """InvalidParameterValue: the interval has months or days, or is too long."""
    if offset.months or offset.days:
        raise InvalidParameterValue(f'interval time zone "{offset}" must not include months or days')
    span = timedelta(microseconds=offset.microseconds - offset.microseconds % 1_000_000)
    if not timedelta(hours=-24) < span < timedelta(hours=24):
        raise InvalidParameterValue(f'interval time zone "{offset}" is out of range')
    return timezone(span)


def session_zone() -> tzinfo:
    return context.current().zone


def to_local(moment: datetime, zone: tzinfo | None = None) -> datetime:
    """What a clock in `zone` (None: the session's) shows at a moment."""
    try:
        return moment.astimezone(zone or session_zone()).replace(tzinfo=None, fold=0)
    except (OverflowError, ValueError):
        raise DatetimeOutOfRange(f"timestamp out of range: {moment}") from None


def to_moment(local: datetime, zone: tzinfo | None = None) -> datetime:
    """The moment, in UTC, at which a clock in `zone` (None: the session's) shows `local`."""
    return in_utc(local, zone or session_zone())
