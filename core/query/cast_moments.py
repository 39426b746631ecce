"""Dates, times and spans read from text as PostgreSQL reads them (datestyle ISO, MDY), and written in its ISO form.

A text is cut into fields, each field says what it is (a clock, a date in one of several orders, a month's name, a
zone, BC, am), and what was found is put together at the end. Moments are those of Python's datetime: years 1 to 9999,
no infinity; what PostgreSQL could hold beyond is DatetimeOutOfRange here.
"""
from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from decimal import Decimal

from phantomdb.core.query import context
from phantomdb.core.query.errors import DatetimeOutOfRange, InvalidDatetime, InvalidParameterValue, QueryError
from phantomdb.core.values import Interval

MONTHS = {name: number for number, names in enumerate(
    (("jan", "january"), ("feb", "february"), ("mar", "march"), ("apr", "april"), ("may",), ("jun", "june"),
     ("jul", "july"), ("aug", "august"), ("sep", "sept", "september"), ("oct", "october"), ("nov", "november"),
     ("dec", "december")), 1) for name in names}
_DAYS = {"sun", "sunday", "mon", "monday", "tue", "tues", "tuesday", "wed", "weds", "wednesday", "thu", "thur",
         "thurs", "thursday", "fri", "friday", "sat", "saturday"}
_ZONES = {"z": 0, "zulu": 0, "utc": 0, "gmt": 0, "ut": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7,
          "mdt": -6, "pst": -8, "pdt": -7, "cet": 1, "cest": 2, "eet": 2, "eest": 3, "wet": 0, "west": 1, "bst": 1,
          "msk": 3, "jst": 9}
_IGNORED = {"at", "on", "t"}
MICROSECONDS_PER_DAY = 86_400_000_000

_FIELD = re.compile(r"""
      (?P<clock>\d{1,2}:\d{1,2}(?::\d{1,2}(?:[.]\d*)?)?)
    | (?P<joined>\d+[-/. ]?[a-z]{3,9}[-/. ]?\d+|[a-z]{3,9}-\d+-\d+)
    | (?P<dashed>\d+-\d+-\d+|\d+/\d+/\d+|\d+[.]\d+[.]\d+)
    | (?P<offset>[+-]\d{1,2}:\d{2}(?::\d{2})?|[+-]\d{1,4}(?!\d))
    | (?P<number>\d+(?:[.]\d+)?)
    | (?P<word>[a-z][a-z_]*(?:/[a-z_+-]+\d*)*)
    | (?P<blank>[\s,]+)
    """, re.VERBOSE | re.ASCII)


@dataclass(slots=True)
class _Parts:
    year: int | None = None
    month: int | None = None
    day: int | None = None
    day_of_year: int | None = None
    clock: int | None = None             # microseconds since midnight
    is_afternoon: bool | None = None
    is_before_christ: bool = False
    offset: int | None = None            # seconds east of Greenwich
    zone: str | None = None
    special: str | None = None


def _bad(text: str, kind: str) -> InvalidDatetime:
    return InvalidDatetime(f'invalid input syntax for type {kind}: "{text}"')


def _out_of_range(text: str) -> DatetimeOutOfRange:
    return DatetimeOutOfRange(f'date/time field value out of range: "{text}"')


def _clock(hours: str, minutes: str, seconds: str, text: str) -> int:
    whole, _, fraction = seconds.partition(".")
    hour, minute, second = int(hours), int(minutes), int(whole or 0)
    microsecond = int((Decimal("0." + fraction) * 1_000_000).quantize(Decimal(1))) if fraction else 0
    clock = ((hour * 60 + minute) * 60 + second) * 1_000_000 + microsecond
    if minute > 59 or second > 60 or hour > 24 or clock > MICROSECONDS_PER_DAY:
        raise _out_of_range(text)
    return clock


def _offset(field: str, text: str) -> int:
    digits = field[1:].split(":")
    if len(digits) == 1 and len(field) > 3:
        digits = [field[1:-2], field[-2:]]
    hours, minutes, seconds = (int(part) for part in (*digits, "0", "0")[:3])
    if hours > 15 or minutes > 59 or seconds > 59:
        raise DatetimeOutOfRange(f'time zone displacement out of range: "{text}"')
    return (-1 if field[0] == "-" else 1) * (hours * 3600 + minutes * 60 + seconds)


def _year(digits: str) -> int:
    value = int(digits[:9])
    if len(digits) <= 2:
        return value + (2000 if value < 70 else 1900)
    return value


def _parse(text: str, kind: str) -> _Parts:
    parts, position = _Parts(), 0
    loose: list[str] = []
    lowered = text.strip().lower()
    if not lowered:
        raise _bad(text, kind)
    lowered = re.sub(r"(?<=\d)t(?=\d)", " ", lowered)                       # 2004-10-19T10:23
    while position < len(lowered):
        match = _FIELD.match(lowered, position)
        if match is None:
            raise _bad(text, kind)
        position, field = match.end(), match.group()
        match match.lastgroup:
            case "clock" if parts.clock is None:
                hours, minutes, *seconds = field.split(":")
                parts.clock = _clock(hours, minutes, seconds[0] if seconds else "", text)
            case "dashed" if parts.day is None and parts.year is None:
                _dashed(parts, re.split(r"[-/.]", field), text, kind)
            case "joined" if parts.day is None and parts.month is None:
                _joined(parts, field, text, kind)
            case "offset" if parts.clock is not None and parts.offset is None:
                parts.offset = _offset(field, text)
            case "number":
                _number(parts, loose, field, text, kind)
            case "word":
                _word(parts, field, text, kind)
            case "blank":
                pass
            case _:
                raise _bad(text, kind)
    for digits in loose:
        if parts.month is None:
            parts.month = int(digits)
        elif parts.day is None and len(digits) <= 2:
            parts.day = int(digits)
        elif parts.year is None:
            parts.year = _year(digits)
        else:
            raise _bad(text, kind)
    return parts


def _dashed(parts: _Parts, numbers: list[str], text: str, kind: str) -> None:
    first, second, third = numbers
    if len(first) >= 3:
        parts.year, parts.month, parts.day = _year(first), int(second), int(third)
    elif len(second) <= 2:
        parts.month, parts.day, parts.year = int(first), int(second), _year(third)
    else:
        raise _bad(text, kind)


def _joined(parts: _Parts, field: str, text: str, kind: str) -> None:
    """1999-Jan-08, 08-Jan-1999, Jan-08-1999."""
    pieces = re.findall(r"\d+|[a-z]+", field)
    name = next(piece for piece in pieces if piece.isalpha())
    numbers = [piece for piece in pieces if not piece.isalpha()]
    if name not in MONTHS or len(numbers) != 2:
        raise _bad(text, kind)
    parts.month = MONTHS[name]
    day, year = numbers if len(numbers[0]) <= 2 else reversed(numbers)
    parts.day, parts.year = int(day), _year(year)


def _number(parts: _Parts, loose: list[str], field: str, text: str, kind: str) -> None:
    whole, point, fraction = field.partition(".")
    is_free = parts.day is None and parts.year is None
    if point and len(whole) == 4 and len(fraction) == 3 and is_free:
        parts.year, parts.day_of_year = int(whole), int(fraction)           # 1999.008
    elif len(whole) == 8 and not point and is_free:
        parts.year, parts.month, parts.day = int(whole[:4]), int(whole[4:6]), int(whole[6:])
    elif len(whole) == 6 and not point and is_free and kind != "time":
        parts.year, parts.month, parts.day = _year(whole[:2]), int(whole[2:4]), int(whole[4:])
    elif len(whole) == 6 and parts.clock is None:
        parts.clock = _clock(whole[:2], whole[2:4], whole[4:] + point + fraction, text)
    elif len(whole) == 4 and not point and parts.clock is None and (kind == "time" or parts.year is not None):
        parts.clock = _clock(whole[:2], whole[2:], "", text)
    elif point:
        raise _bad(text, kind)
    elif len(whole) >= 3 and parts.year is None:
        parts.year = _year(whole)
    else:
        loose.append(whole)


def _word(parts: _Parts, word: str, text: str, kind: str) -> None:
    if word in MONTHS:
        if parts.month is not None:
            # 8 January: the number before was the day
            raise _bad(text, kind)
        parts.month = MONTHS[word]
    elif word in ("am", "pm"):
        parts.is_afternoon = word == "pm"
    elif word in ("bc", "ad"):
        parts.is_before_christ = word == "bc"
    elif word in ("now", "today", "tomorrow", "yesterday", "epoch"):
        parts.special = word
    elif word == "allballs":
        parts.clock, parts.offset = 0, 0
    elif word == "infinity":
        raise DatetimeOutOfRange(f'infinite dates and times are not supported: "{text}"')
    elif word in _ZONES:
        parts.offset = _ZONES[word] * 3600
    elif word in _DAYS or word in _IGNORED:
        pass
    elif match := re.fullmatch(r"j(\d+)", word):
        _set_date(parts, datetime.date.fromordinal(int(match.group(1)) - 1_721_425))
    else:
        try:
            context.zone_named(word)
        except InvalidParameterValue:
            if "/" in word:
                raise InvalidParameterValue(f'time zone "{word}" not recognized') from None
            raise _bad(text, kind) from None
        parts.zone = word


def _set_date(parts: _Parts, date: datetime.date) -> None:
    parts.year, parts.month, parts.day = date.year, date.month, date.day


def _date(parts: _Parts, text: str, kind: str) -> datetime.date:
    if parts.special is not None:
        if parts.special == "epoch":
            return datetime.date(1970, 1, 1)
        here = context.current().now.astimezone(context.current().zone).date()
        return here + datetime.timedelta({"tomorrow": 1, "yesterday": -1}.get(parts.special, 0))
    if parts.day_of_year is not None and parts.year is not None:
        try:
            found = datetime.date(parts.year, 1, 1) + datetime.timedelta(parts.day_of_year - 1)
        except (ValueError, OverflowError):
            raise _out_of_range(text) from None
        if parts.day_of_year < 1 or found.year != parts.year:
            raise _out_of_range(text)
        return found
    if parts.year is None or parts.month is None or parts.day is None:
        raise _bad(text, kind)
    if parts.is_before_christ:
        raise DatetimeOutOfRange(f'years before 1 are not supported: "{text}"')
    try:
        return datetime.date(parts.year, parts.month, parts.day)
    except (ValueError, OverflowError):
        raise _out_of_range(text) from None


def _clock_of(parts: _Parts, text: str) -> int:
    clock = parts.clock or 0
    if parts.is_afternoon is not None:
        if clock >= 13 * 3_600_000_000:
            raise _out_of_range(text)
        clock = clock % (12 * 3_600_000_000) + (12 * 3_600_000_000 if parts.is_afternoon else 0)
    return clock


def _prepare(text: str, kind: str) -> _Parts:
    """8 Jan 1999 and 18 January 2003: a number before a month's name is the day. J2451187 is one word."""
    swapped = re.sub(r"^(\s*)(\d{1,2})\s+([A-Za-z]{3,9})\b(?!/)",
                     lambda m: f"{m[1]}{m[3]} {m[2]}" if m[3].lower() in MONTHS else m[0], text)
    if match := re.fullmatch(r"\s*[jJ](\d{1,8})\s*", text):
        parts = _Parts()
        try:
            _set_date(parts, datetime.date.fromordinal(int(match.group(1)) - 1_721_425))
        except (ValueError, OverflowError):
            raise _out_of_range(text) from None
        return parts
    try:
        return _parse(swapped, kind)
    except QueryError as error:
        if swapped != text:
            raise type(error)(str(error).replace(swapped, text)) from None
        raise


def read_date(text: str) -> datetime.date:
    return _date(_prepare(text, "date"), text, "date")


def read_time(text: str) -> datetime.time:
    parts = _prepare(text, "time")
    if parts.special == "now":
        return context.current().now.astimezone(context.current().zone).time()
    if parts.clock is None:
        raise _bad(text, "time")
    clock = _clock_of(parts, text)
    if clock == MICROSECONDS_PER_DAY:
        raise DatetimeOutOfRange(f'the time 24:00:00 is not supported: "{text}"')
    return time_of(clock)


def _local(text: str, kind: str) -> tuple[datetime.datetime, _Parts]:
    parts = _prepare(text, kind)
    if parts.special == "now":
        return context.current().now.astimezone(context.current().zone).replace(tzinfo=None), parts
    date = _date(parts, text, kind)
    try:
        return datetime.datetime.combine(date, datetime.time()) + datetime.timedelta(
            microseconds=_clock_of(parts, text)), parts
    except OverflowError:
        raise DatetimeOutOfRange(f'timestamp out of range: "{text}"') from None


def read_timestamp(text: str) -> datetime.datetime:
    local, parts = _local(text, "timestamp")
    return local


def read_timestamptz(text: str) -> datetime.datetime:
    local, parts = _local(text, "timestamp with time zone")
    try:
        if parts.special == "epoch":
            return local.replace(tzinfo=datetime.UTC)
        if parts.offset is not None:
            return (local - datetime.timedelta(seconds=parts.offset)).replace(tzinfo=datetime.UTC)
        zone = context.zone_named(parts.zone) if parts.zone is not None else context.current().zone
        return in_utc(local, zone)
    except OverflowError:
        raise DatetimeOutOfRange(f'timestamp out of range: "{text}"') from None


def in_utc(local: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """The moment a clock of the zone shows `local`. In the gap of a change to summer time the standard offset counts,
    in the doubled hour the later one does: as PostgreSQL."""
    try:
        before, after = local.replace(tzinfo=zone, fold=0), local.replace(tzinfo=zone, fold=1)
        offsets = before.utcoffset() or datetime.timedelta(), after.utcoffset() or datetime.timedelta()
        # both cases are: the smaller of the two offsets, which is the standard one
        return (local - min(offsets)).replace(tzinfo=datetime.UTC)
    except OverflowError:
        raise DatetimeOutOfRange("timestamp out of range") from None


def to_local(moment: datetime.datetime) -> datetime.datetime:
    """What a clock of the session's zone shows."""
    try:
        return moment.astimezone(context.current().zone).replace(tzinfo=None)
    except OverflowError:
        raise DatetimeOutOfRange("timestamp out of range") from None


def time_of(clock: int) -> datetime.time:
    """Of microseconds since midnight, less than a day."""
    seconds, microsecond = divmod(clock, 1_000_000)
    return datetime.time(seconds // 3600, seconds // 60 % 60, seconds % 60, microsecond)


def clock_of(time: datetime.time) -> int:
    return ((time.hour * 60 + time.minute) * 60 + time.second) * 1_000_000 + time.microsecond


# -------------------------------------------------------------------- as text

def write_date(value: datetime.date) -> str:
    return f"{value.year:04}-{value.month:02}-{value.day:02}"


def write_time(value: datetime.time) -> str:
    text = f"{value.hour:02}:{value.minute:02}:{value.second:02}"
    return text + f".{value.microsecond:06}".rstrip("0") if value.microsecond else text


def write_timestamp(value: datetime.datetime) -> str:
    return f"{write_date(value)} {write_time(value.time())}"


def write_timestamptz(value: datetime.datetime) -> str:
    """In the session's time zone, with the offset it has then."""
    try:
        local = value.astimezone(context.current().zone)
    except OverflowError:
        raise DatetimeOutOfRange("timestamp out of range") from None
    seconds = round((local.utcoffset() or datetime.timedelta()).total_seconds())
    sign, seconds = "-" if seconds < 0 else "+", abs(seconds)
    offset = f"{sign}{seconds // 3600:02}"
    if seconds % 3600:
        offset += f":{seconds // 60 % 60:02}"
    if seconds % 60:
        offset += f":{seconds % 60:02}"
    return write_timestamp(local) + offset


# -------------------------------------------------------------------- spans

_MONTHS_PER = {"year": 12, "decade": 120, "century": 1200, "millennium": 12000, "month": 1}
_DAYS_PER = {"week": 7, "day": 1}
_MICROSECONDS_PER = {"hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000, "millisecond": 1000,
                     "microsecond": 1}
UNITS = {name: unit for unit, names in {
    "millennium": "millennia mil mils millenium millennium", "century": "c cent century centuries",
    "decade": "dec decs decade decades", "year": "y yr yrs year years", "month": "mon mons month months",
    "week": "w week weeks", "day": "d day days", "hour": "h hr hrs hour hours",
    "minute": "m min mins minute minutes", "second": "s sec secs second seconds",
    "millisecond": "ms msec msecs msecond mseconds millisecond milliseconds",
    "microsecond": "us usec usecs usecond useconds microsecond microseconds"}.items() for name in names.split()}
_SPAN_FIELD = re.compile(r"""
      (?P<clock>(?P<sign>[+-]?)(?P<hours>\d+):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}(?:[.]\d*)?))?)
    | (?P<years>[+-]?\d+-\d{1,2})(?![\d-])
    | (?P<count>[+-]?(?:\d+[.]?\d*|[.]\d+))
    | (?P<unit>[a-z]+)
    | (?P<blank>[\s,]+)
    """, re.VERBOSE | re.ASCII)


class _Span:
    """Months, days and microseconds gathered; a fraction of a unit spills into the smaller ones."""

    def __init__(self) -> None:
        self.months = self.days = self.microseconds = Decimal(0)

    def add(self, count: Decimal, unit: str) -> None:
        if unit in _MONTHS_PER:
            months = count * _MONTHS_PER[unit]
            if unit == "month":
                self.months += int(months)
                self._add_days((months - int(months)) * 30)
            else:
                # a fraction of a year is rounded to whole months
                self.months += months.quantize(Decimal(1))
        elif unit in _DAYS_PER:
            self._add_days(count * _DAYS_PER[unit])
        else:
            self.microseconds += count * _MICROSECONDS_PER[unit]

    def _add_days(self, days: Decimal) -> None:
        self.days += int(days)
        self.microseconds += (days - int(days)) * MICROSECONDS_PER_DAY

    def result(self, text: str, sign: int = 1) -> Interval:
        months, days = sign * int(self.months), sign * int(self.days)
        microseconds = sign * int(self.microseconds.quantize(Decimal(1)))
        if not (-2**31 <= months < 2**31 and -2**31 <= days < 2**31 and -2**63 <= microseconds < 2**63):
            raise DatetimeOutOfRange(f'interval field value out of range: "{text}"')
        return Interval(months, days, microseconds)


def read_interval(text: str) -> Interval:
    lowered = text.strip().lower()
    if len(text) > 1000:                                     # no sense in it, and Decimal keeps 28 digits
        raise _bad(text[:100], "interval")
    if lowered.startswith("p"):
        return _read_iso_interval(lowered[1:], text)
    if lowered.lstrip("+-") == "infinity":
        raise DatetimeOutOfRange(f'infinite intervals are not supported: "{text}"')
    lowered = lowered.removeprefix("@").strip()
    is_ago = lowered.endswith("ago")
    body = lowered.removesuffix("ago") if is_ago else lowered
    span, position, pending = _Span(), 0, None
    seen: set[str] = set()

    def take(count: Decimal, unit: str) -> None:
        if unit in seen:
            raise _bad(text, "interval")
        seen.add(unit)
        span.add(count, unit)

    if not body.strip():
        raise _bad(text, "interval")
    while position < len(body):
        match = _SPAN_FIELD.match(body, position)
        if match is None:
            raise _bad(text, "interval")
        position = match.end()
        if match["clock"]:
            if pending is not None:
                take(pending, "day")                         # 3 04:05:06
                pending = None
            minus = -1 if match["sign"] == "-" else 1
            if int(match["minutes"]) > 59 or Decimal(match["seconds"] or 0) >= 60:
                raise DatetimeOutOfRange(f'interval field value out of range: "{text}"')
            for count, unit in ((match["hours"], "hour"), (match["minutes"], "minute"), (match["seconds"], "second")):
                if count is not None:
                    take(minus * Decimal(count), unit)
        elif match["years"]:
            years, months = match["years"].lstrip("+-").split("-")
            if int(months) > 11:
                raise DatetimeOutOfRange(f'interval field value out of range: "{text}"')
            minus = -1 if match["years"].startswith("-") else 1
            take(Decimal(minus * int(years)), "year")
            take(Decimal(minus * int(months)), "month")
        elif match["count"]:
            if pending is not None:
                raise _bad(text, "interval")
            pending = Decimal(match["count"])
        elif match["unit"]:
            known = UNITS.get(match["unit"])
            if known is None or pending is None:
                raise _bad(text, "interval")
            take(pending, known)
            pending = None
    if pending is not None:
        if "second" in seen:
            raise _bad(text, "interval")
        take(pending, "second")                              # a number alone is seconds
    return span.result(text, -1 if is_ago else 1)


def _read_iso_interval(body: str, text: str) -> Interval:
    """P1Y2M3DT4H5M6S, and P0001-02-03T04:05:06."""
    span = _Span()
    dates, _, clock = body.partition("t")
    if match := re.fullmatch(r"(-?\d+)-(\d+)-(\d+)", dates):
        for count, unit in zip(match.groups(), ("year", "month", "day"), strict=True):
            span.add(Decimal(count), unit)
        dates = ""
    if match := re.fullmatch(r"(-?\d+):(\d+)(?::(\d+(?:[.]\d*)?))?", clock):
        for digits, unit in zip(match.groups("0"), ("hour", "minute", "second"), strict=True):
            span.add(Decimal(digits), unit)
        clock = ""
    for pieces, letters in ((dates, {"y": "year", "m": "month", "w": "week", "d": "day"}),
                            (clock, {"h": "hour", "m": "minute", "s": "second"})):
        position = 0
        while position < len(pieces):
            match = re.compile(r"([+-]?(?:\d+[.]?\d*|[.]\d+))([a-z])", re.ASCII).match(pieces, position)
            if match is None or match.group(2) not in letters:
                raise _bad(text, "interval")
            span.add(Decimal(match.group(1)), letters[match.group(2)])
            position = match.end()
    if not body:
        raise _bad(text, "interval")
    return span.result(text)
