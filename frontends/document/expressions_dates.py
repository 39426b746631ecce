"""Expressions: dates. A date is a moment in UTC in whole milliseconds; a time zone is an Olson name or an offset."""
from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bson import ObjectId, Timestamp

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import ConversionFailure
from phantomdb.frontends.document.expression_base import (
    Compile,
    Evaluate,
    compile_named,
    fail,
    is_null,
    named,
    need_text,
    need_whole,
    special,
)
from phantomdb.frontends.document.values import MISSING

_EPOCH = datetime.datetime(2000, 1, 1)                      # what $dateTrunc counts bins from
_UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond")
_SPANS = {"week": 604_800_000, "day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1000,
          "millisecond": 1}                                 # milliseconds
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MILLISECOND = datetime.timedelta(milliseconds=1)


# -------------------------------------------------------------------- moments and zones

def iso_text(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z".rjust(24, "0")


def moment_of(value: Any, name: str) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo is None else value.astimezone(datetime.UTC).replace(tzinfo=None)
    if isinstance(value, ObjectId):
        return value.generation_time.replace(tzinfo=None)
    if isinstance(value, Timestamp):
        return value.as_datetime().replace(tzinfo=None)
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    raise fail(16006, f"can't convert from BSON type {values.type_name(value)} to Date ({name})")


@lru_cache(maxsize=256)
def zone_of(text: str) -> datetime.tzinfo:
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)?", text)
    if match:
        offset = datetime.timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
        return datetime.timezone(-offset if match[1] == "-" else offset)
    if text in ("UTC", "GMT", "Z"):
        return datetime.UTC
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise fail(40485, f"unrecognized time zone identifier: \"{text}\"") from None


def local(moment: datetime.datetime, zone: Any, name: str) -> datetime.datetime:
    """As clocks there show it; the zone stays in it."""
    if zone is MISSING:
        return moment.replace(tzinfo=datetime.UTC)
    return moment.replace(tzinfo=datetime.UTC).astimezone(zone_of(need_text(zone, name, 40533)))


def universal(moment: datetime.datetime) -> datetime.datetime:
    return moment.astimezone(datetime.UTC).replace(tzinfo=None)


def _guarded(name: str, function: Callable[[], datetime.datetime]) -> datetime.datetime:
    try:
        return function()
    except (OverflowError, ValueError):
        raise fail(5976500, f"{name}: the date is out of range") from None


# -------------------------------------------------------------------- parts

def _part(name: str, read: Callable[[datetime.datetime], Any]) -> None:
    @special(name)
    def compile_part(argument: Any, compile_: Compile) -> Evaluate:
        if isinstance(argument, Mapping) and not next(iter(argument), "$").startswith("$"):
            parts = compile_named(name, argument, ("date",), ("timezone",), compile_)
        else:
            if isinstance(argument, list | tuple):
                if len(argument) != 1:
                    raise fail(40536, f"{name} accepts exactly one argument if given an array, but was given "
                                      f"{len(argument)}")
                argument = argument[0]
            parts = {"date": compile_(argument)}
        date, zone = parts["date"], parts.get("timezone")

        def evaluate(document: Any, variables: Any) -> Any:
            moment = date(document, variables)
            where = MISSING if zone is None else zone(document, variables)
            if is_null(moment) or where is None or (zone is not None and where is MISSING):
                return None
            return read(local(moment_of(moment, name), where, name))
        return evaluate


def _week(moment: datetime.datetime) -> int:
    """From 0: weeks begin on Sundays, days before the first Sunday are in week 0."""
    return (moment.timetuple().tm_yday + 6 - moment.isoweekday() % 7) // 7


for _name, _read in {
        "$year": lambda moment: moment.year, "$month": lambda moment: moment.month,
        "$dayOfMonth": lambda moment: moment.day, "$dayOfYear": lambda moment: moment.timetuple().tm_yday,
        "$dayOfWeek": lambda moment: moment.isoweekday() % 7 + 1, "$hour": lambda moment: moment.hour,
        "$minute": lambda moment: moment.minute, "$second": lambda moment: moment.second,
        "$millisecond": lambda moment: moment.microsecond // 1000, "$week": _week,
        "$isoWeek": lambda moment: moment.isocalendar().week, "$isoWeekYear": lambda moment: moment.isocalendar().year,
        "$isoDayOfWeek": lambda moment: moment.isoweekday()}.items():
    _part(_name, _read)


@named("$dateToParts", "date", optional=("timezone", "iso8601"))
def date_to_parts(arguments: dict[str, Any]) -> Any:
    zone, iso = arguments.get("timezone", MISSING), arguments.get("iso8601", False)
    if is_null(arguments["date"]) or zone is None or is_null(iso):
        return None
    if not isinstance(iso, bool):
        raise fail(40521, "iso8601 must evaluate to a bool ($dateToParts)")
    moment = local(moment_of(arguments["date"], "$dateToParts"), zone, "$dateToParts")
    if iso:
        year, week, day = moment.isocalendar()
        day_parts = {"isoWeekYear": year, "isoWeek": week, "isoDayOfWeek": day}
    else:
        day_parts = {"year": moment.year, "month": moment.month, "day": moment.day}
    return {**day_parts, "hour": moment.hour, "minute": moment.minute, "second": moment.second,
            "millisecond": moment.microsecond // 1000}


@named("$dateFromParts", optional=("year", "month", "day", "isoWeekYear", "isoWeek", "isoDayOfWeek", "hour", "minute",
                                   "second", "millisecond", "timezone"))
def date_from_parts(arguments: dict[str, Any]) -> Any:
    if any(is_null(value) for value in arguments.values()):
        return None
    name = "$dateFromParts"
    zone = arguments.get("timezone", "UTC")
    numbers = {key: need_whole(value, name, 40515) for key, value in arguments.items() if key != "timezone"}
    if ("year" in numbers) == ("isoWeekYear" in numbers):
        raise fail(40516, f"{name} requires either 'year' or 'isoWeekYear' to be present")

    def make() -> datetime.datetime:
        if "year" in numbers:
            months = numbers["year"] * 12 + numbers.get("month", 1) - 1
            day = datetime.datetime(months // 12, months % 12 + 1, 1) + datetime.timedelta(numbers.get("day", 1) - 1)
        else:
            day = datetime.datetime.fromisocalendar(numbers["isoWeekYear"], 1, 1) + datetime.timedelta(
                numbers.get("isoDayOfWeek", 1) - 1, weeks=numbers.get("isoWeek", 1) - 1)
        clock = datetime.timedelta(hours=numbers.get("hour", 0), minutes=numbers.get("minute", 0),
                                   seconds=numbers.get("second", 0), milliseconds=numbers.get("millisecond", 0))
        return universal((day + clock).replace(tzinfo=zone_of(need_text(zone, name, 40517))))
    return _guarded(name, make)


# -------------------------------------------------------------------- text

_WRITERS: dict[str, Callable[[datetime.datetime], str]] = {
    "d": lambda moment: f"{moment.day:02}", "G": lambda moment: f"{moment.isocalendar().year:04}",
    "H": lambda moment: f"{moment.hour:02}", "j": lambda moment: f"{moment.timetuple().tm_yday:03}",
    "L": lambda moment: f"{moment.microsecond // 1000:03}", "m": lambda moment: f"{moment.month:02}",
    "M": lambda moment: f"{moment.minute:02}", "S": lambda moment: f"{moment.second:02}",
    "w": lambda moment: str(moment.isoweekday() % 7 + 1), "u": lambda moment: str(moment.isoweekday()),
    "U": lambda moment: f"{_week(moment):02}", "V": lambda moment: f"{moment.isocalendar().week:02}",
    "Y": lambda moment: f"{moment.year:04}", "z": lambda moment: f"{moment:%z}",
    "Z": lambda moment: str(_offset_minutes(moment)), "%": lambda moment: "%",
    "b": lambda moment: calendar.month_abbr[moment.month], "B": lambda moment: calendar.month_name[moment.month]}


def _offset_minutes(moment: datetime.datetime) -> int:
    offset = moment.utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) // 60


def format_moment(moment: datetime.datetime, pattern: str, name: str) -> str:
    def write(match: re.Match[str]) -> str:
        writer = _WRITERS.get(match[1])
        if writer is None:
            raise fail(18536, f"Invalid format character '%{match[1]}' in format string ({name})")
        return writer(moment)
    if re.search(r"(?<!%)(?:%%)*%$", pattern):
        raise fail(18535, f"Unmatched '%' at end of format string ({name})")
    return re.sub(r"%(.)", write, pattern, flags=re.DOTALL)


@named("$dateToString", "date", optional=("format", "timezone", "onNull"))
def date_to_string(arguments: dict[str, Any]) -> Any:
    if is_null(arguments["date"]):
        return arguments.get("onNull")
    name = "$dateToString"
    zone = arguments.get("timezone", MISSING)
    pattern = arguments.get("format", "%Y-%m-%dT%H:%M:%S.%L" + ("Z" if zone is MISSING else ""))
    if is_null(pattern) or zone is None:
        return None
    return format_moment(local(moment_of(arguments["date"], name), zone, name), need_text(pattern, name, 18533), name)


_READERS = {"d": r"(?P<d>\d{1,2})", "G": r"(?P<G>\d{4})", "H": r"(?P<H>\d{1,2})", "j": r"(?P<j>\d{1,3})",
            "L": r"(?P<L>\d{1,3})", "m": r"(?P<m>\d{1,2})", "M": r"(?P<M>\d{1,2})", "S": r"(?P<S>\d{1,2})",
            "u": r"(?P<u>[1-7])", "V": r"(?P<V>\d{1,2})", "Y": r"(?P<Y>\d{4})", "z": r"(?P<z>[+-]\d\d:?\d\d|Z)",
            "Z": r"(?P<Z>[+-]\d+)", "%": "%", "b": r"(?P<b>[A-Za-z]{3})", "B": r"(?P<B>[A-Za-z]+)"}


def _unreadable(text: str) -> ConversionFailure:
    return ConversionFailure(f"Error parsing date string '{text:.80}'")


def read_moment(text: str, pattern: str | None = None, zone: str | None = None) -> datetime.datetime:
    """ConversionFailure: it is no date, or not of this pattern."""
    try:
        moment = _by_pattern(text, pattern) if pattern is not None else datetime.datetime.fromisoformat(
            re.sub(r"^(\d{4}-\d\d)$", r"\1-01", text.strip()).replace(" UTC", "+00:00").replace(" GMT", "+00:00"))
    except (ValueError, KeyError, OverflowError):
        raise _unreadable(text) from None
    if moment.tzinfo is not None:
        if zone is not None and zone not in ("UTC", "GMT"):
            raise ConversionFailure("you cannot pass in a date/time string with time zone information "
                                    f"('{text:.60}') together with a timezone argument")
    else:
        moment = moment.replace(tzinfo=zone_of(zone or "UTC"))
    moment = universal(moment)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _by_pattern(text: str, pattern: str) -> datetime.datetime:
    expression = "".join(_READERS[piece[1]] if len(piece) == 2 and piece[0] == "%" else re.escape(piece)
                         for piece in re.findall(r"%.|[^%]", pattern, re.DOTALL))
    match = re.fullmatch(expression, text)
    if match is None:
        raise ValueError
    found = match.groupdict()
    if found.get("b") or found.get("B"):
        names = [name.lower() for name in (calendar.month_abbr if found.get("b") else calendar.month_name)]
        found["m"] = str(names.index(str(found.get("b") or found.get("B")).lower()))
    number = {key: int(item) for key, item in found.items() if item is not None and key not in "bBzZ"}
    if "G" in number:
        day = datetime.datetime.fromisocalendar(number["G"], number.get("V", 1), number.get("u", 1))
    elif "j" in number:
        day = datetime.datetime(number["Y"], 1, 1) + datetime.timedelta(number["j"] - 1)
    else:
        day = datetime.datetime(number["Y"], number.get("m", 1), number.get("d", 1))
    moment = day.replace(hour=number.get("H", 0), minute=number.get("M", 0), second=number.get("S", 0),
                         microsecond=number.get("L", 0) * 1000)
    if found.get("z"):
        return moment.replace(tzinfo=zone_of(str(found["z"])))
    if found.get("Z"):
        return moment.replace(tzinfo=datetime.timezone(datetime.timedelta(minutes=int(str(found["Z"])))))
    return moment


@special("$dateFromString")
def date_from_string(argument: Any, compile_: Compile) -> Evaluate:
    parts = compile_named("$dateFromString", argument, ("dateString",), ("format", "timezone", "onError", "onNull"),
                          compile_)

    def evaluate(document: Any, variables: Any) -> Any:
        text = parts["dateString"](document, variables)
        if is_null(text):
            return parts["onNull"](document, variables) if "onNull" in parts else None
        pattern, zone = (parts[key](document, variables) if key in parts else None for key in ("format", "timezone"))
        try:
            if not isinstance(text, str):
                raise ConversionFailure("$dateFromString requires that 'dateString' be a string, found: "
                                        f"{values.type_name(text)}")
            return read_moment(text, None if is_null(pattern) else pattern, None if is_null(zone) else zone)
        except ConversionFailure:
            if "onError" not in parts:
                raise
            return parts["onError"](document, variables)
    return evaluate


# -------------------------------------------------------------------- arithmetic

def unit_of(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise fail(5439013, f"{name} requires 'unit' to be a string, found: {values.type_name(value)}")
    unit = value.lower()
    if unit not in _UNITS:
        raise fail(9, f"unknown time unit value: {value} ({name})")
    return unit


def add_units(moment: datetime.datetime, unit: str, amount: int, zone: Any = MISSING, name: str = "$dateAdd"
              ) -> datetime.datetime:
    """Days and longer by the calendar of the zone; the day of a month is moved back where a month is too short."""
    def add() -> datetime.datetime:
        if unit not in ("year", "quarter", "month", "week", "day"):
            return moment + datetime.timedelta(milliseconds=_SPANS[unit] * amount)
        there = local(moment, zone, name)
        if unit in ("week", "day"):
            return universal(there + datetime.timedelta(amount * (7 if unit == "week" else 1)))
        months = there.year * 12 + there.month - 1 + amount * {"year": 12, "quarter": 3, "month": 1}[unit]
        year, month = months // 12, months % 12 + 1
        return universal(there.replace(year=year, month=month,
                                       day=min(there.day, calendar.monthrange(year, month)[1])))
    return _guarded(name, add)


def _shifting(name: str, sign: int) -> None:
    @named(name, "startDate", "unit", "amount", optional=("timezone",))
    def function(arguments: dict[str, Any]) -> Any:
        if any(is_null(value) for value in arguments.values()):
            return None
        unit = unit_of(arguments["unit"], name)
        amount = need_whole(arguments["amount"], name, 5166405)
        return add_units(moment_of(arguments["startDate"], name), unit, sign * amount,
                         arguments.get("timezone", MISSING), name)


_shifting("$dateAdd", 1)
_shifting("$dateSubtract", -1)


def _weekday(value: Any, name: str) -> int:
    """0: Monday."""
    text = need_text(value, name, 5439015).lower()
    found = next((index for index, day in enumerate(_WEEKDAYS) if text in (day, day[:3])), None)
    if found is None:
        raise fail(9, f"{name}: unknown day of week value: {value}")
    return found


@named("$dateDiff", "startDate", "endDate", "unit", optional=("timezone", "startOfWeek"))
def date_diff(arguments: dict[str, Any]) -> Any:
    """How many limits of the unit lie between."""
    name = "$dateDiff"
    unit_value = arguments["unit"]
    if any(is_null(value) for key, value in arguments.items() if key != "startOfWeek" or unit_value == "week"):
        return None
    unit, zone = unit_of(unit_value, name), arguments.get("timezone", MISSING)
    start, end = (local(moment_of(arguments[key], name), zone, name) for key in ("startDate", "endDate"))
    if unit in ("year", "quarter", "month"):
        size = {"year": 12, "quarter": 3, "month": 1}[unit]
        return (end.year * 12 + end.month - 1) // size - (start.year * 12 + start.month - 1) // size
    if unit in ("week", "day"):
        if unit == "day":
            return end.toordinal() - start.toordinal()
        first = _weekday(arguments.get("startOfWeek", "sunday"), name)
        return (end.toordinal() - 1 - first) // 7 - (start.toordinal() - 1 - first) // 7
    offset_ms = [int((moment.utcoffset() or datetime.timedelta()) / _MILLISECOND) for moment in (start, end)]
    ticks = [(universal(moment) - _EPOCH) // _MILLISECOND + offset
             for moment, offset in zip((start, end), offset_ms, strict=True)]
    if unit in ("minute", "second", "millisecond"):
        ticks = [tick - offset for tick, offset in zip(ticks, offset_ms, strict=True)]
    elif unit == "hour":                                    # hours of the clock there, but those really passed
        ticks = [tick - offset + offset % 3_600_000 for tick, offset in zip(ticks, offset_ms, strict=True)]
    return ticks[1] // _SPANS[unit] - ticks[0] // _SPANS[unit]


@named("$dateTrunc", "date", "unit", optional=("binSize", "timezone", "startOfWeek"))
def date_trunc(arguments: dict[str, Any]) -> Any:
    """Bins are counted from 2000-01-01, those of weeks from the first such week."""
    name = "$dateTrunc"
    if any(is_null(value) for key, value in arguments.items() if key != "startOfWeek" or arguments["unit"] == "week"):
        return None
    unit, size = unit_of(arguments["unit"], name), need_whole(arguments.get("binSize", 1), name, 5439017)
    if size <= 0:
        raise fail(5439018, "$dateTrunc requires 'binSize' to be greater than 0")
    zone = arguments.get("timezone", MISSING)
    there = local(moment_of(arguments["date"], name), zone, name)

    def truncate() -> datetime.datetime:
        clock = there.replace(tzinfo=None)
        if unit in ("year", "quarter", "month"):
            months = {"year": 12, "quarter": 3, "month": 1}[unit] * size
            count = ((clock.year - 2000) * 12 + clock.month - 1) // months * months
            start = datetime.datetime(2000 + count // 12, count % 12 + 1, 1)
        elif unit in ("week", "day"):
            reference = _EPOCH
            if unit == "week":
                first = _weekday(arguments.get("startOfWeek", "sunday"), name)
                reference += datetime.timedelta((first - _EPOCH.weekday()) % 7)
            days = size * (7 if unit == "week" else 1)
            start = reference + datetime.timedelta((clock - reference).days // days * days)
        else:
            span = _SPANS[unit] * size
            offset = there.utcoffset() or datetime.timedelta()
            start = _EPOCH + (clock - _EPOCH) // _MILLISECOND // span * span * _MILLISECOND
            return start - offset
        return universal(start.replace(tzinfo=there.tzinfo))
    return _guarded(name, truncate)
