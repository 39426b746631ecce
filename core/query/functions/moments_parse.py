"""to_date and to_timestamp: text read by PostgreSQL's patterns.

    to_timestamp('29 Feb 2024 08:05', 'DD Mon YYYY HH24:MI')   ->   2024-02-29 08:05

A field takes as many digits as its pattern has letters, or all there are when what follows cannot be a digit. Blanks
and separators of the text may be more or fewer than those of the pattern, unless it begins with FX. What the fields
say is put together at the end; a day of the year, a week or a Julian day may stand for month and day.
"""
from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from phantomdb.core.query.errors import DatetimeOutOfRange, FeatureNotSupported, InvalidDatetime
from phantomdb.core.query.functions import zones
from phantomdb.core.query.functions.format_patterns import Part
from phantomdb.core.query.functions.moments_fields import JULIAN_DAY_OF_ORDINAL_0
from phantomdb.core.query.functions.moments_format import DAYS, MONTHS, ROMAN_MONTHS, parts_of

_MAX_OFFSET_HOURS = 15
_INT = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")
_NAMED = {"A.D.": ("a.d.", "b.c."), "B.C.": ("a.d.", "b.c."), "AD": ("ad", "bc"), "BC": ("ad", "bc"),
          "A.M.": ("a.m.", "p.m."), "P.M.": ("a.m.", "p.m."), "AM": ("am", "pm"), "PM": ("am", "pm"),
          "MONTH": tuple(name.lower() for name in MONTHS), "MON": tuple(name[:3].lower() for name in MONTHS),
          "DAY": tuple(name.lower() for name in DAYS), "DY": tuple(name[:3].lower() for name in DAYS),
          # the longer of two that begin alike stands first
          "RM": tuple(name.lower() for name in reversed(ROMAN_MONTHS))}
_NO_DIGITS = {*_NAMED, "FX", "OF", "TZH", "TZ"}
_ISO_WEEK = {"IYYY", "IYY", "IY", "I", "IDDD", "ID", "IW"}
_GREGORIAN = {"D", "DDD", "DD", "MONTH", "MON", "MM", "RM", "WW", "W", "Y,YYY", "YYYY", "YYY", "YY", "Y"}
# Pattern -> (what it sets, characters)
_NUMBERS = {"HH": ("hour", 2), "HH12": ("hour", 2), "HH24": ("hour", 2), "MI": ("minute", 2), "SS": ("second", 2),
            "SSSS": ("second_of_day", 4), "SSSSS": ("second_of_day", 5), "MM": ("month", 2), "DD": ("day", 2),
            "DDD": ("day_of_year", 3), "IDDD": ("day_of_year", 3), "D": ("weekday", 1), "ID": ("weekday", 1),
            "WW": ("week", 2), "IW": ("week", 2), "W": ("week_of_month", 1), "CC": ("century", 2), "J": ("julian", 1),
            "YYYY": ("year", 4), "YYY": ("year", 3), "YY": ("year", 2), "Y": ("year", 1), "IYYY": ("year", 4),
            "IYY": ("year", 3), "IY": ("year", 2), "I": ("year", 1), "TZM": ("offset_minutes", 2), "Q": ("", 1)}
_FRACTIONS = {"MS": ("millisecond", 3), "US": ("microsecond", 6),
              **{f"FF{digits}": ("microsecond", digits) for digits in range(1, 7)}}


@dataclass(slots=True)
class _Found:
    """What the fields said. 0 is not said, as in PostgreSQL."""

    values: dict[str, int] = field(default_factory=dict)
    convention: str = ""                 # "ISO week", "Gregorian"
    year_digits: int = 0
    has_12_hours: bool = False
    offset_sign: int = 0
    fraction_digits: int = 6             # FF1 to FF6: what the moment is rounded to

    def get(self, name: str) -> int:
        return self.values.get(name, 0)

    def put(self, name: str, written: int, part: Part, meant: int | None = None) -> None:
        """A field that was there already must be `written` as it is kept; `meant` is kept of it (None: as written)."""
        if name and self.values.get(name, 0) not in (0, written):
            raise InvalidDatetime(f'conflicting values for "{part.text}" field in formatting string')
        if name:
            self.values[name] = written if meant is None else meant


class _Reader:
    def __init__(self, text: str, parts: Sequence[Part]) -> None:
        self.text, self.parts, self.at, self.found = text, parts, 0, _Found()

    def skip_blanks(self) -> int:
        start = self.at
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at - start

    def read(self) -> _Found:
        is_fixed, skipped = False, 0     # skipped: characters of the text beyond those of the pattern
        for index, part in enumerate(self.parts):
            if self.at >= len(self.text):
                break
            if not is_fixed and part.text.upper() != "FX" and (part.is_pattern or index == 0):
                skipped += self.skip_blanks()
            if part.is_space or part.is_separator:
                if is_fixed:
                    self.at += 1
                else:
                    skipped -= 1
                    if self.at < len(self.text) and _is_filler(self.text[self.at]):
                        self.at, skipped = self.at + 1, skipped + 1
            elif not part.is_pattern:
                if not is_fixed and skipped > 0:
                    skipped -= 1
                else:
                    self.at += 1
            else:
                if part.text.upper() == "FX":
                    is_fixed = True
                else:
                    self.field(index, part, skipped)
                skipped = 0 if is_fixed else self.skip_blanks()
        return self.found

    def field(self, index: int, part: Part, skipped: int) -> None:
        name, found = part.text.upper(), self.found
        convention = "ISO week" if name in _ISO_WEEK else "Gregorian" if name in _GREGORIAN else ""
        if convention and found.convention not in ("", convention):
            raise InvalidDatetime("invalid combination of date conventions")
        found.convention = convention or found.convention
        if name in _NAMED:
            self.named(name, part)
        elif name in _FRACTIONS:
            target, digits = _FRACTIONS[name]
            value, length = self.number(index, part, digits)
            # .25 and .250 are the same
            found.put(target, value, part, value * 10 ** max((3 if name == "MS" else 6) - length, 0))
            found.fraction_digits = digits if name.startswith("FF") else found.fraction_digits
            self.ordinal(part)
        elif name == "TZH":
            if self.text[self.at] in "+- ":
                found.offset_sign = -1 if self.text[self.at] == "-" else 1
                self.at += 1
            else:
                found.offset_sign = -1 if skipped > 0 and self.text[self.at - 1] == "-" else 1
            found.put("offset_hours", self.number(index, part, 2)[0], part)
        elif name == "Y,YYY":
            match = re.compile(r"\s*([+-]?\d+),\s*([+-]?\d{1,3})").match(self.text, self.at)
            if match is None:
                raise InvalidDatetime('invalid input string for "Y,YYY"')
            found.put("year", int(match[1]) * 1000 + int(match[2]), part)
            found.year_digits, self.at = 4, match.end()
            self.ordinal(part)
        elif name in _NUMBERS:
            self.counted(name, index, part)
        else:
            raise FeatureNotSupported(f'formatting field "{part.text}" is only supported in to_char')

    def counted(self, name: str, index: int, part: Part) -> None:
        target, digits = _NUMBERS[name]
        value, length = self.number(index, part, digits)
        found, meant = self.found, value
        if target == "hour":
            found.has_12_hours |= name != "HH24"
        elif target == "offset_minutes":
            found.offset_sign = found.offset_sign or 1
        elif name == "ID":
            meant = value + 1 if value < 7 else 1
        elif target == "year":
            if digits < 4 and length < 4:
                meant = _year_near_2020(value)
            found.year_digits = digits
        found.put(target, value, part, meant)
        self.ordinal(part)

    def ordinal(self, part: Part) -> None:
        self.at += 2 if part.ordinal else 0

    def named(self, name: str, part: Part) -> None:
        rest = self.text[self.at:self.at + 12].lower()
        choices = _NAMED[name]
        index = next((index for index, choice in enumerate(choices) if rest.startswith(choice)), None)
        if index is None:
            raise self.refused(part)
        self.at += len(choices[index])
        if name in ("A.M.", "P.M.", "AM", "PM"):
            self.found.put("is_afternoon", index, part)
            self.found.has_12_hours = True
        elif name in ("A.D.", "B.C.", "AD", "BC"):
            self.found.put("is_before_christ", index, part)
        elif name in ("DAY", "DY"):
            self.found.put("weekday", index, part, index + 1)
        else:
            self.found.put("month", 12 - index if name == "RM" else index + 1, part)

    def refused(self, part: Part) -> InvalidDatetime:
        word = self.text[self.at:].split(" ")[0]
        return InvalidDatetime(f'invalid value "{word}" for "{part.text}"')

    def number(self, index: int, part: Part, digits: int) -> tuple[int, int]:
        """(value, how many characters it took)"""
        start = self.at
        if part.fills or self.is_followed_by_no_digit(index):
            match = _INT.match(self.text, start)
        else:
            self.skip_blanks()
            window = self.text[self.at:self.at + digits]
            if len(window) < digits:
                raise InvalidDatetime(f'source string too short for "{part.text}" formatting field')
            match = _INT.match(window)
            if match is not None and match.end() < digits:
                raise InvalidDatetime(f'invalid value "{window}" for "{part.text}"')
        if match is None:
            raise InvalidDatetime(f'invalid value "{self.text[self.at:self.at + digits]}" for "{part.text}"')
        self.at = match.end() if match.string is self.text else self.at + match.end()
        value = int(match.group()) if len(match.group()) < 20 else 1 << 40
        if not -(1 << 31) <= value < 1 << 31:
            raise DatetimeOutOfRange(f'value for "{part.text}" in source string is out of range')
        return value, self.at - start

    def is_followed_by_no_digit(self, index: int) -> bool:
        if self.parts[index].ordinal or index + 1 == len(self.parts):
            return True
        after = self.parts[index + 1]
        return after.text.upper() in _NO_DIGITS if after.is_pattern else not after.text.isdigit()


def _is_filler(letter: str) -> bool:
    return letter.isspace() or ("!" <= letter <= "~" and not letter.isalnum())


def _year_near_2020(year: int) -> int:
    """Of two or three digits: the one nearest to 2020."""
    for limit, base in ((70, 2000), (100, 1900), (520, 2000), (1000, 1000)):
        if year < limit:
            return year + base
    return year


def _out_of_range(text: str) -> DatetimeOutOfRange:
    return DatetimeOutOfRange(f'date/time field value out of range: "{text}"')


def _year(found: _Found) -> int:
    """0 when it was not said. Years before 1 count down from 0."""
    century, year = found.get("century"), found.get("year")
    is_before = bool(found.get("is_before_christ"))
    if year and not (century and found.year_digits <= 2):
        year = -year if is_before else year
        return year + 1 if year < 0 else year
    if is_before:
        century = -century
    if not century:
        return 0
    if year:
        low = year % 100
        if low:
            return low + (century - 1) * 100 if century >= 0 else (century + 1) * 100 - low + 1
        return century * 100 + (0 if century >= 0 else 1)
    return (century - 1) * 100 + 1 if century >= 0 else century * 100 + 1


def _iso_week_start(year: int, week: int) -> int:
    """Ordinal of its Monday."""
    new_year = date(year, 1, 4).toordinal()
    return new_year - (new_year - 1) % 7 + (week - 1) * 7


def _day(found: _Found, text: str) -> date:
    year, month, day = _year(found), 1, 1
    day_of_year, weekday, week = found.get("day_of_year"), found.get("weekday"), found.get("week")
    is_iso = found.convention == "ISO week"
    ordinal = found.get("julian") - JULIAN_DAY_OF_ORDINAL_0 if found.get("julian") else None
    if week and is_iso:
        if not 1 <= year <= 9999:
            raise _out_of_range(text)
        # weekday 1 is Sunday, which ends the week
        ordinal = _iso_week_start(year, week) + ((weekday + 5) % 7 if weekday else 0)
    elif week:
        day_of_year = (week - 1) * 7 + 1
    if ordinal is not None:
        if not 1 <= ordinal <= date.max.toordinal():
            raise _out_of_range(text)
        told = date.fromordinal(ordinal)
        year, month, day = told.year, told.month, told.day
    if found.get("week_of_month"):
        found.values["day"] = (found.get("week_of_month") - 1) * 7 + 1
    month, day = found.get("month") or month, found.get("day") or day
    if day_of_year and (month <= 1 or day <= 1):
        if not year:
            raise InvalidDatetime("cannot calculate day of year without year information")
        if not 1 <= year <= 9999:
            raise _out_of_range(text)
        if is_iso:
            told = _ordinal(_iso_week_start(year, 1) + day_of_year - 1, text)
            year, month, day = told.year, told.month, told.day
        elif not 1 <= day_of_year <= 365 + calendar.isleap(year):
            raise _out_of_range(text)
        else:
            told = date(year, 1, 1) + timedelta(days=day_of_year - 1)
            month, day = (told.month if month <= 1 else month), (told.day if day <= 1 else day)
    try:
        return date(year, month, day)
    except (ValueError, OverflowError):
        raise _out_of_range(text) from None


def _ordinal(ordinal: int, text: str) -> date:
    try:
        return date.fromordinal(ordinal)
    except (ValueError, OverflowError):
        raise _out_of_range(text) from None


def _microseconds(found: _Found, text: str) -> int:
    minutes, second = divmod(found.get("second_of_day"), 60)
    hour, minute = divmod(minutes, 60)
    hour, minute = found.get("hour") or hour, found.get("minute") or minute
    second = found.get("second") or second
    if found.has_12_hours:
        if not 1 <= hour <= 12:
            raise InvalidDatetime(f'hour "{hour}" is invalid for the 12-hour clock')
        hour = hour % 12 + (12 if found.get("is_afternoon") else 0)
    fraction = found.get("millisecond") * 1000 + found.get("microsecond")
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60 and 0 <= fraction < 1_000_000):
        raise _out_of_range(text)
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction


def _read(text: str, template: str) -> _Found:
    return _Reader(text, parts_of(template)).read()


def parse_date(text: str, template: str) -> date:
    """InvalidDatetime: the text has not the form, or says what does not fit together. DatetimeOutOfRange: there is no
    such date, or none in the years 1 to 9999."""
    found = _read(text, template)
    _microseconds(found, text)
    return _day(found, text)


def parse_timestamp(text: str, template: str) -> datetime:
    """In the session's zone, unless TZH says another."""
    found = _read(text, template)
    day = _day(found, text)
    step = 10 ** (6 - found.fraction_digits)
    microseconds = (_microseconds(found, text) + step // 2) // step * step
    try:
        local = datetime(day.year, day.month, day.day) + timedelta(microseconds=microseconds)
    except OverflowError:
        raise _out_of_range(text) from None
    if not found.offset_sign:
        return zones.to_moment(local)
    hours, minutes = found.get("offset_hours"), found.get("offset_minutes")
    if not (0 <= hours <= _MAX_OFFSET_HOURS and 0 <= minutes < 60):
        raise _out_of_range(text)
    try:
        return (local - found.offset_sign * timedelta(hours=hours, minutes=minutes)).replace(tzinfo=UTC)
    except OverflowError:
        raise _out_of_range(text) from None
