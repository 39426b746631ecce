"""to_char of moments and intervals: PostgreSQL's patterns.

    to_char(2024-02-29 08:05, 'FMDay, FMDDth Month YYYY, HH12:MI AM')   ->   'Thursday, 29th February  2024, 08:05 AM'

The patterns that need a calendar day raise InvalidDatetime for an interval.
"""
from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from phantomdb.core.query.errors import InvalidDatetime
from phantomdb.core.query.functions import zones
from phantomdb.core.query.functions.format_patterns import Part, ordinal_suffix, parse
from phantomdb.core.query.functions.moments_arithmetic import DAYS_PER_MONTH, MICROSECONDS_PER_SECOND
from phantomdb.core.query.functions.moments_fields import JULIAN_DAY_OF_ORDINAL_0, years_of
from phantomdb.core.values import Interval

MONTHS = tuple(calendar.month_name)[1:]
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ROMAN_MONTHS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_NAME_COLUMNS = 9                        # the longest name; shorter ones are filled with blanks

_UPPER = ("A.D. A.M. AD AM B.C. BC CC DAY DDD DD DY D FF1 FF2 FF3 FF4 FF5 FF6 FX HH24 HH12 HH IDDD ID IW IYYY IYY IY I "
          "J MI MM MONTH MON MS OF P.M. PM Q RM SSSSS SSSS SS TZH TZM TZ US WW W Y,YYY YYYY YYY YY Y").split()
PATTERNS = tuple(sorted([*_UPPER, *(pattern.lower() for pattern in _UPPER), "Day", "Dy", "Month", "Mon"],
                        key=len, reverse=True))


@lru_cache(maxsize=512)
def parts_of(template: str) -> tuple[Part, ...]:
    return parse(template, PATTERNS, has_modifiers=True)


@dataclass(slots=True)
class _Fields:
    year: int
    month: int
    day: int
    day_of_year: int
    hour: int
    minute: int
    second: int
    microsecond: int
    day_of_calendar: date | None         # None: an interval
    offset_seconds: int = 0
    zone_name: str = ""

    @property
    def calendar_day(self) -> date:
        if self.day_of_calendar is None:
            raise InvalidDatetime("invalid format specification for an interval value")
        return self.day_of_calendar

    @property
    def iso(self) -> tuple[int, int, int]:
        """Year, week, weekday. An interval counts as the day with its numbers, as in PostgreSQL."""
        if self.day_of_calendar is None:
            return _iso_of_numbers(self.year, self.month, self.day)
        year, week, weekday = self.day_of_calendar.isocalendar()
        return year, week, weekday


_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097   # after which the calendar is the same again


def _iso_of_numbers(year: int, month: int, day: int) -> tuple[int, int, int]:
    """Year, week, weekday of a day whose numbers may be any, also negative."""
    years, months = divmod(month - 1, 12)
    cycles, years = divmod(year + years, _CYCLE_YEARS)
    days = date(years + _CYCLE_YEARS, months + 1, 1).toordinal() + day - 1
    more, days = divmod(days, _CYCLE_DAYS)
    found = date.fromordinal(days + _CYCLE_DAYS).isocalendar()
    return found.year + (cycles + more - 2) * _CYCLE_YEARS, found.week, found.weekday


def format_timestamp(local: datetime, template: str) -> str | None:
    return _format(_fields(local), template)


def format_moment(moment: datetime, template: str) -> str | None:
    """In the session's time zone."""
    fields = _fields(zones.to_local(moment))
    zoned = moment.astimezone(zones.session_zone())
    fields.offset_seconds = (zoned.utcoffset() or timedelta()) // timedelta(seconds=1)
    fields.zone_name = zoned.tzname() or ""
    return _format(fields, template)


def format_time(clock: time, template: str) -> str | None:
    """A time is an interval since midnight."""
    return format_interval(Interval(0, 0, ((clock.hour * 60 + clock.minute) * 60 + clock.second)
                                    * MICROSECONDS_PER_SECOND + clock.microsecond), template)


def format_interval(span: Interval, template: str) -> str | None:
    years = years_of(span)
    months = span.months - years * 12
    sign = -1 if span.microseconds < 0 else 1
    seconds, microsecond = divmod(abs(span.microseconds), MICROSECONDS_PER_SECOND)
    return _format(_Fields(years, months, span.days, span.months * DAYS_PER_MONTH + span.days, sign * (seconds // 3600),
                           sign * (seconds // 60 % 60), sign * (seconds % 60), sign * microsecond, None), template)


def _fields(local: datetime) -> _Fields:
    return _Fields(local.year, local.month, local.day, local.timetuple().tm_yday, local.hour, local.minute,
                   local.second, local.microsecond, local.date())


def _format(fields: _Fields, template: str) -> str | None:
    if not template:
        return None
    pieces = []
    for part in parts_of(template):
        if not part.is_pattern:
            pieces.append(part.text)
            continue
        text = _WRITERS[part.text.upper()](fields, part)
        if part.ordinal and part.text.upper() in _COUNTED:
            suffix = ordinal_suffix(text)
            text += suffix.upper() if part.ordinal == "TH" else suffix
        pieces.append(text)
    return "".join(pieces)


def _number(value: int, columns: int, part: Part) -> str:
    """With zeros in front; one more column for a minus."""
    if part.fills:
        return str(value)
    return f"{value:0{columns + (value < 0)}}"


def _name(names: tuple[str, ...], index: int, part: Part, *, is_short: bool = False) -> str:
    name = names[index][:3] if is_short else names[index]
    if part.text.isupper():
        name = name.upper()
    elif part.text.islower():
        name = name.lower()
    return name if part.fills or part.translates or is_short else name.ljust(_NAME_COLUMNS)


def _month(fields: _Fields, part: Part, *, is_short: bool = False) -> str:
    return _name(MONTHS, fields.calendar_day.month - 1, part, is_short=is_short)


def _roman_month(fields: _Fields, part: Part) -> str:
    if not fields.month and not fields.year:
        return ""
    if fields.month:
        month = fields.month - 1 if fields.month > 0 else fields.month + 12
    else:
        month = 11 if fields.year >= 0 else 0                # whole years
    name = ROMAN_MONTHS[month] if part.text == "RM" else ROMAN_MONTHS[month].lower()
    return name if part.fills else name.ljust(4)


def _era(word: str) -> Callable[[_Fields, Part], str]:
    def write(fields: _Fields, part: Part) -> str:
        fields.calendar_day                                  # noqa: B018 (not of an interval)
        return word if part.text.isupper() else word.lower()
    return write


def _half_day(dots: bool) -> Callable[[_Fields, Part], str]:
    def write(fields: _Fields, part: Part) -> str:
        letter = "P" if fields.hour >= 0 and fields.hour % 24 >= 12 else "A"
        word = f"{letter}.M." if dots else f"{letter}M"
        return word if part.text.isupper() else word.lower()
    return write


def _fraction(digits: int) -> Callable[[_Fields, Part], str]:
    def write(fields: _Fields, _part: Part) -> str:
        shown = abs(fields.microsecond) // 10 ** (6 - digits)
        return f"{'-' if fields.microsecond < 0 and shown else ''}{shown:0{digits}}"
    return write


def _hour12(fields: _Fields, part: Part) -> str:
    hour = abs(fields.hour) % 12 * (-1 if fields.hour < 0 else 1)
    columns = 2 if fields.hour >= 0 else 3
    return _number_in(12 if hour == 0 else hour, columns, part)


def _number_in(value: int, columns: int, part: Part) -> str:
    return str(value) if part.fills else f"{value:0{columns}}"


def _low_digits(digits: int, of_week: bool = False) -> Callable[[_Fields, Part], str]:
    def write(fields: _Fields, part: Part) -> str:
        year = fields.iso[0] if of_week else fields.year
        value = abs(year) % 10 ** digits * (-1 if year < 0 else 1)
        return _number_in(value, digits + (fields.year < 0), part)
    return write


def _century(fields: _Fields, part: Part) -> str:
    if fields.day_of_calendar is None:
        century = abs(fields.year) // 100 * (-1 if fields.year < 0 else 1)
    else:
        century = (fields.year + 99) // 100
    return _number(century, 2, part) if abs(century) <= 99 else str(century)


def _thousands(fields: _Fields, _part: Part) -> str:
    thousands = abs(fields.year) // 1000 * (-1 if fields.year < 0 else 1)
    return f"{thousands},{fields.year - thousands * 1000:03}"


def _quarter(fields: _Fields, _part: Part) -> str:
    if not fields.month:
        return ""
    return str(int((fields.month - 1) / 3) + 1)


def _offset(fields: _Fields, part: Part) -> str:
    fields.calendar_day                                      # noqa: B018 (not of an interval)
    sign, seconds = "-" if fields.offset_seconds < 0 else "+", abs(fields.offset_seconds)
    match part.text.upper():
        case "TZH":
            return f"{sign}{seconds // 3600:02}"
        case "TZM":
            return f"{seconds % 3600 // 60:02}"
    hours = sign + (str(seconds // 3600) if part.fills else f"{seconds // 3600:02}")
    return hours + (f":{seconds % 3600 // 60:02}" if seconds % 3600 else "")


def _zone(fields: _Fields, part: Part) -> str:
    fields.calendar_day                                      # noqa: B018 (not of an interval)
    return fields.zone_name if part.text == "TZ" else fields.zone_name.lower()


def _seconds_of_day(fields: _Fields, _part: Part) -> str:
    return str((fields.hour * 60 + fields.minute) * 60 + fields.second)


def _julian(fields: _Fields, _part: Part) -> str:
    return str(fields.calendar_day.toordinal() + JULIAN_DAY_OF_ORDINAL_0)


_WRITERS: dict[str, Callable[[_Fields, Part], str]] = {
    "A.D.": _era("A.D."), "B.C.": _era("A.D."), "AD": _era("AD"), "BC": _era("AD"),
    "A.M.": _half_day(True), "P.M.": _half_day(True), "AM": _half_day(False), "PM": _half_day(False),
    "CC": _century, "Q": _quarter, "RM": _roman_month, "OF": _offset, "TZH": _offset, "TZM": _offset, "TZ": _zone,
    "HH": _hour12, "HH12": _hour12, "HH24": lambda f, p: _number(f.hour, 2, p),
    "MI": lambda f, p: _number(f.minute, 2, p), "SS": lambda f, p: _number(f.second, 2, p),
    "SSSS": _seconds_of_day, "SSSSS": _seconds_of_day,
    "MS": _fraction(3), "US": _fraction(6), **{f"FF{digits}": _fraction(digits) for digits in range(1, 7)},
    "MONTH": _month, "MON": lambda f, p: _month(f, p, is_short=True), "MM": lambda f, p: _number(f.month, 2, p),
    "DAY": lambda f, p: _name(DAYS, f.calendar_day.isoweekday() % 7, p),
    "DY": lambda f, p: _name(DAYS, f.calendar_day.isoweekday() % 7, p, is_short=True),
    "DDD": lambda f, p: _number_in(f.day_of_year, 3, p), "DD": lambda f, p: _number_in(f.day, 2, p),
    "D": lambda f, p: str(f.calendar_day.isoweekday() % 7 + 1), "ID": lambda f, p: str(f.calendar_day.isoweekday()),
    "IDDD": lambda f, p: _number_in((f.iso[1] - 1) * 7 + f.iso[2], 3, p), "IW": lambda f, p: _number_in(f.iso[1], 2, p),
    "WW": lambda f, p: _number_in(int((f.day_of_year - 1) / 7) + 1, 2, p),
    "W": lambda f, p: str(int((f.day - 1) / 7) + 1), "J": _julian, "FX": lambda f, p: "",
    "Y,YYY": _thousands, "YYYY": lambda f, p: _number(f.year, 4, p), "YYY": _low_digits(3), "YY": _low_digits(2),
    "Y": _low_digits(1), "IYYY": lambda f, p: _number_in(f.iso[0], 4 + (f.year < 0), p), "IYY": _low_digits(3, True),
    "IY": _low_digits(2, True), "I": _low_digits(1, True),
}
# What th and TH may follow; after others they have no effect.
_COUNTED = set(_WRITERS) - {"A.D.", "B.C.", "AD", "BC", "A.M.", "P.M.", "AM", "PM", "OF", "TZH", "TZM", "TZ", "MONTH",
                            "MON", "DAY", "DY", "RM", "FX"}
