"""Dates, times and intervals: values are those PostgreSQL 15 gives."""
from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core.query import context
from phantomdb.core.query.cast_moments import read_date, read_interval, read_time, read_timestamp, read_timestamptz
from phantomdb.core.query.casts import cast
from phantomdb.core.query.errors import (
    DatetimeOutOfRange,
    DivisionByZero,
    FeatureNotSupported,
    InvalidDatetime,
    InvalidParameterValue,
    InvalidTextRepresentation,
    NumericValueOutOfRange,
    QueryError,
    SyntaxFailure,
)
from phantomdb.core.query.functions import moments_arithmetic, registry, zones
from phantomdb.core.values import (
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

_READ = {DATE: read_date, TIME: read_time, TIMESTAMP: read_timestamp, TIMESTAMPTZ: read_timestamptz,
         INTERVAL: read_interval}


def call(name: str, *arguments: tuple[Type, Any]) -> Any:
    """The value of a function; moments and intervals are given as text."""
    resolved = registry.resolve(name, [type_ for type_, _ in arguments])
    values = [_READ[type_](value) if type_ in _READ and isinstance(value, str) else value for type_, value in arguments]
    return resolved.overload.python(*(cast(value, type_, wanted) for value, (type_, _), wanted in
                                      zip(values, arguments, resolved.arguments, strict=True)))


def in_zone(name: str) -> Any:
    return context.use(context.StatementContext(now=datetime(2024, 7, 4, 22, 30, 15, 123456, UTC), timezone=name))


# ---- operators

@pytest.mark.parametrize(("left", "operator", "right", "expected"), [
    ((DATE, "2001-09-28"), "+", (INT, 7), date(2001, 10, 5)),
    ((DATE, "2001-09-28"), "+", (INTERVAL, "1 hour"), datetime(2001, 9, 28, 1)),
    ((DATE, "2001-09-28"), "+", (TIME, "03:00"), datetime(2001, 9, 28, 3)),
    ((INT, 7), "+", (DATE, "2001-09-28"), date(2001, 10, 5)),
    ((INTERVAL, "1 day"), "+", (INTERVAL, "1 hour"), Interval(0, 1, 3_600_000_000)),
    ((TIMESTAMP, "2001-09-28 01:00"), "+", (INTERVAL, "23 hours"), datetime(2001, 9, 29)),
    ((TIME, "01:00"), "+", (INTERVAL, "3 hours"), time(4)),
    ((TIME, "22:00"), "+", (INTERVAL, "1 day 3 hours"), time(1)),
    ((DATE, "2001-10-01"), "-", (DATE, "2001-09-28"), 3),
    ((DATE, "2001-10-01"), "-", (INT, 7), date(2001, 9, 24)),
    ((DATE, "2001-09-28"), "-", (INTERVAL, "1 hour"), datetime(2001, 9, 27, 23)),
    ((TIME, "05:00"), "-", (TIME, "03:00"), Interval(0, 0, 7_200_000_000)),
    ((TIME, "05:00"), "-", (INTERVAL, "2 hours"), time(3)),
    ((TIMESTAMP, "2001-09-28 23:00"), "-", (INTERVAL, "23 hours"), datetime(2001, 9, 28)),
    ((INTERVAL, "1 day"), "-", (INTERVAL, "1 hour"), Interval(0, 1, -3_600_000_000)),
    ((TIMESTAMP, "2001-09-29 03:00"), "-", (TIMESTAMP, "2001-07-27 12:00"), Interval(0, 63, 54_000_000_000)),
    ((TIMESTAMP, "2001-07-27 12:00"), "-", (TIMESTAMP, "2001-09-29 03:00"), Interval(0, -63, -54_000_000_000)),
    ((INTERVAL, "1 second"), "*", (DOUBLE, 900.0), Interval(0, 0, 900_000_000)),
    ((DOUBLE, 21.0), "*", (INTERVAL, "1 day"), Interval(0, 21, 0)),
    ((INTERVAL, "1 hour"), "*", (DOUBLE, 3.5), Interval(0, 0, 12_600_000_000)),
    ((INTERVAL, "1 month"), "*", (DOUBLE, 1.55), Interval(1, 16, 43_200_000_000)),
    ((INTERVAL, "1 hour"), "/", (DOUBLE, 1.5), Interval(0, 0, 2_400_000_000)),
    ((TIMESTAMP, "2024-01-31 10:00"), "+", (INTERVAL, "1 month"), datetime(2024, 2, 29, 10)),
    ((TIMESTAMP, "2024-03-31 10:00"), "-", (INTERVAL, "1 month 1 day"), datetime(2024, 2, 28, 10)),
])
def test_operators(left: tuple[Type, Any], operator: str, right: tuple[Type, Any], expected: Any) -> None:
    value = call(operator, left, right)
    assert value == expected and type(value) is type(expected)


def test_negation() -> None:
    assert call("negate", (INTERVAL, "1 mon 2 days -3 seconds")) == Interval(-1, -2, 3_000_000)


@pytest.mark.parametrize(("left", "operator", "right", "error"), [
    ((DATE, "9999-12-31"), "+", (INT, 1), DatetimeOutOfRange),
    ((DATE, "0001-01-01"), "-", (INT, 1), DatetimeOutOfRange),
    ((TIMESTAMP, "9999-12-31 23:00"), "+", (INTERVAL, "1 hour"), DatetimeOutOfRange),
    ((TIMESTAMP, "0001-01-31 00:00"), "-", (INTERVAL, "1 month"), DatetimeOutOfRange),
    ((INTERVAL, "178956970 years"), "+", (INTERVAL, "8 months"), DatetimeOutOfRange),
    ((INTERVAL, "1 month"), "*", (DOUBLE, 1e10), DatetimeOutOfRange),
    ((INTERVAL, "1 month"), "*", (DOUBLE, float("nan")), DatetimeOutOfRange),
    ((INTERVAL, "1 month"), "/", (DOUBLE, 0.0), DivisionByZero),
])
def test_operators_out_of_range(left: tuple[Type, Any], operator: str, right: tuple[Type, Any],
                                error: type[QueryError]) -> None:
    with pytest.raises(error):
        call(operator, left, right)


def test_a_day_is_a_day_of_the_session_zone() -> None:
    with in_zone("America/New_York"):
        start = "2024-03-09 12:00-05"
        assert call("+", (TIMESTAMPTZ, start), (INTERVAL, "1 day")) == datetime(2024, 3, 10, 16, tzinfo=UTC)
        assert call("+", (TIMESTAMPTZ, start), (INTERVAL, "24 hours")) == datetime(2024, 3, 10, 17, tzinfo=UTC)
        # 02:30 is skipped on that day
        assert call("+", (TIMESTAMPTZ, "2024-03-09 02:30-05"), (INTERVAL, "1 day")) == datetime(
            2024, 3, 10, 7, 30, tzinfo=UTC)
    assert call("+", (TIMESTAMPTZ, start), (INTERVAL, "1 day")) == datetime(2024, 3, 10, 17, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(1, 2, 1), max_value=datetime(9999, 11, 1)), st.integers(-20, 20))
def test_months_keep_the_day_or_end_the_month(moment: datetime, months: int) -> None:
    try:
        moved = moments_arithmetic.add(moment, Interval(months))
    except DatetimeOutOfRange:
        return
    assert (moved.year * 12 + moved.month) - (moment.year * 12 + moment.month) == months
    assert moved.day == moment.day or (moved.day < moment.day and (moved.date().toordinal() + 1) != 0
                                       and moments_arithmetic.add_days(moved.date(), 1).day == 1)
    assert moved.time() == moment.time()


@given(st.datetimes(), st.datetimes())
def test_difference_and_age_lead_back(a: datetime, b: datetime) -> None:
    assert moments_arithmetic.add(b, moments_arithmetic.difference(a, b)) == a
    low, high = min(a, b), max(a, b)
    age = moments_arithmetic.age(high, low)
    assert age.months >= 0 and 0 <= age.days <= 30 and 0 <= age.microseconds < 86_400_000_000
    assert moments_arithmetic.age(low, high) == moments_arithmetic.negate(age)


# ---- fields

@pytest.mark.parametrize(("field", "type_", "moment", "expected"), [
    ("century", TIMESTAMP, "2000-12-16 12:21:13", "20"),
    ("century", TIMESTAMP, "2001-02-16 20:38:40", "21"),
    ("day", TIMESTAMP, "2001-02-16 20:38:40", "16"),
    ("day", INTERVAL, "40 days 1 minute", "40"),
    ("decade", TIMESTAMP, "2001-02-16 20:38:40", "200"),
    ("dow", TIMESTAMP, "2001-02-16 20:38:40", "5"),
    ("doy", TIMESTAMP, "2001-02-16 20:38:40", "47"),
    ("epoch", TIMESTAMPTZ, "2001-02-16 20:38:40.12-08", "982384720.120000"),
    ("epoch", TIMESTAMP, "2001-02-16 20:38:40.12", "982355920.120000"),
    ("epoch", INTERVAL, "5 days 3 hours", "442800.000000"),
    ("epoch", INTERVAL, "1 year 2 mons", "36741600.000000"),
    ("epoch", DATE, "2020-01-01", "1577836800"),
    ("hour", TIMESTAMP, "2001-02-16 20:38:40", "20"),
    ("isodow", TIMESTAMP, "2001-02-18 20:38:40", "7"),
    ("isoyear", DATE, "2006-01-01", "2005"),
    ("isoyear", DATE, "2006-01-02", "2006"),
    ("julian", DATE, "2006-01-01", "2453737"),
    ("julian", TIMESTAMP, "2006-01-01 12:00", "2453737.5"),
    ("microseconds", TIME, "17:12:28.5", "28500000"),
    ("millennium", TIMESTAMP, "2001-02-16 20:38:40", "3"),
    ("milliseconds", TIME, "17:12:28.5", "28500.000"),
    ("minute", TIMESTAMP, "2001-02-16 20:38:40", "38"),
    ("month", INTERVAL, "2 years 3 months", "3"),
    ("month", INTERVAL, "2 years 13 months", "1"),
    ("quarter", TIMESTAMP, "2001-02-16 20:38:40", "1"),
    ("second", TIME, "17:12:28.5", "28.500000"),
    ("second", INTERVAL, "-00:00:01.5", "-1.500000"),
    ("week", TIMESTAMP, "2001-02-16 20:38:40", "7"),
    ("year", TIMESTAMP, "2001-02-16 20:38:40", "2001"),
    ("YEAR", INTERVAL, "-13 months", "-1"),
])
def test_extract(field: str, type_: Type, moment: str, expected: str) -> None:
    value = call("extract", (TEXT, field), (type_, moment))
    assert value == Decimal(expected) and isinstance(value, Decimal)
    assert call("date_part", (TEXT, field), (type_, moment)) == float(expected)


def test_extract_of_a_moment_is_local() -> None:
    with in_zone("Asia/Kolkata"):
        moment = (TIMESTAMPTZ, "2024-01-01 00:00+00")
        names = ("hour", "minute", "timezone", "timezone_hour", "timezone_minute")
        assert [call("extract", (TEXT, name), moment) for name in names] == [5, 30, 19800, 5, 30]


@pytest.mark.parametrize(("field", "type_", "moment", "error"), [
    ("hour", DATE, "2001-02-16", FeatureNotSupported), ("day", TIME, "10:00", FeatureNotSupported),
    ("timezone", TIMESTAMP, "2001-02-16 20:38:40", FeatureNotSupported),
    ("dow", INTERVAL, "1 day", FeatureNotSupported),
    ("fortnight", TIMESTAMP, "2001-02-16 20:38:40", InvalidParameterValue),
])
def test_extract_refuses(field: str, type_: Type, moment: str, error: type[QueryError]) -> None:
    with pytest.raises(error, match=field):
        call("extract", (TEXT, field), (type_, moment))


def test_date_part_of_a_date_has_a_clock() -> None:
    assert call("date_part", (TEXT, "hour"), (DATE, "2001-02-16")) == 0.0


@pytest.mark.parametrize(("field", "expected"), [
    ("microseconds", "2001-02-16 20:38:40.123456"), ("milliseconds", "2001-02-16 20:38:40.123"),
    ("second", "2001-02-16 20:38:40"), ("minute", "2001-02-16 20:38:00"), ("hour", "2001-02-16 20:00:00"),
    ("day", "2001-02-16 00:00:00"), ("week", "2001-02-12 00:00:00"), ("month", "2001-02-01 00:00:00"),
    ("quarter", "2001-01-01 00:00:00"), ("year", "2001-01-01 00:00:00"), ("decade", "2000-01-01 00:00:00"),
    ("century", "2001-01-01 00:00:00"), ("millennium", "2001-01-01 00:00:00"),
])
def test_date_trunc(field: str, expected: str) -> None:
    moment = "2001-02-16 20:38:40.123456"
    assert call("date_trunc", (TEXT, field), (TIMESTAMP, moment)) == read_timestamp(expected)
    assert call("date_trunc", (TEXT, field), (TIMESTAMPTZ, moment)) == read_timestamptz(expected + "+00")


def test_date_trunc_in_a_zone() -> None:
    moment = (TIMESTAMPTZ, "2001-02-16 20:38:40+00")
    sydney = call("date_trunc", (TEXT, "day"), moment, (TEXT, "Australia/Sydney"))
    assert sydney == datetime(2001, 2, 16, 13, tzinfo=UTC)
    with in_zone("America/New_York"):
        assert call("date_trunc", (TEXT, "day"), moment) == datetime(2001, 2, 16, 5, tzinfo=UTC)
        # the hour from 1 to 2 comes twice; each is an hour of its own
        assert call("date_trunc", (TEXT, "hour"), (TIMESTAMPTZ, "2024-11-03 05:40+00")) == datetime(
            2024, 11, 3, 5, tzinfo=UTC)
        assert call("date_trunc", (TEXT, "hour"), (TIMESTAMPTZ, "2024-11-03 06:40+00")) == datetime(
            2024, 11, 3, 6, tzinfo=UTC)


def test_date_trunc_of_a_date_is_a_moment() -> None:
    resolved = registry.resolve("date_trunc", (TEXT, DATE))
    assert resolved.result == TIMESTAMPTZ


@pytest.mark.parametrize(("field", "expected"), [
    ("hour", Interval(14, 3, 2 * 3_600_000_000)), ("day", Interval(14, 3, 0)), ("month", Interval(14, 0, 0)),
    ("quarter", Interval(12, 0, 0)), ("year", Interval(12, 0, 0)), ("decade", Interval(0, 0, 0))])
def test_date_trunc_of_an_interval(field: str, expected: Interval) -> None:
    assert call("date_trunc", (TEXT, field), (INTERVAL, "1 year 2 mons 3 days 02:47:33")) == expected


@pytest.mark.parametrize(("field", "type_", "value", "error"), [
    ("timezone", TIMESTAMP, "2001-02-16 20:38:40", FeatureNotSupported),
    ("dow", TIMESTAMP, "2001-02-16 20:38:40", InvalidParameterValue),
    ("week", INTERVAL, "1 day", FeatureNotSupported), ("epoch", INTERVAL, "1 day", InvalidParameterValue),
    ("decade", TIMESTAMP, "0005-01-01 00:00", DatetimeOutOfRange)])
def test_date_trunc_refuses(field: str, type_: Type, value: str, error: type[QueryError]) -> None:
    with pytest.raises(error):
        call("date_trunc", (TEXT, field), (type_, value))


@pytest.mark.parametrize(("stride", "moment", "origin", "expected"), [
    ("15 minutes", "2020-02-11 15:44:17", "2001-01-01 00:00", datetime(2020, 2, 11, 15, 30)),
    ("15 minutes", "2020-02-11 15:44:17", "2001-01-01 00:02:30", datetime(2020, 2, 11, 15, 32, 30)),
    ("1 day", "2020-02-11 15:44:17", "2021-01-01 00:00", datetime(2020, 2, 11)),
    ("1 day", "2020-02-11 00:00", "2021-01-01 00:00", datetime(2020, 2, 11)),
])
def test_date_bin(stride: str, moment: str, origin: str, expected: datetime) -> None:
    assert call("date_bin", (INTERVAL, stride), (TIMESTAMP, moment), (TIMESTAMP, origin)) == expected


@pytest.mark.parametrize(("stride", "error"), [("1 month", FeatureNotSupported), ("0 days", DatetimeOutOfRange),
                                               ("-1 days", DatetimeOutOfRange)])
def test_date_bin_refuses(stride: str, error: type[QueryError]) -> None:
    with pytest.raises(error):
        call("date_bin", (INTERVAL, stride), (TIMESTAMP, "2020-02-11 15:44"), (TIMESTAMP, "2020-01-01 00:00"))


# ---- age, overlaps, justify

def test_age() -> None:
    assert call("age", (TIMESTAMP, "2001-04-10 00:00"), (TIMESTAMP, "1957-06-13 00:00")) == Interval(43 * 12 + 9, 27, 0)
    assert call("age", (TIMESTAMP, "1957-06-13 00:00"), (TIMESTAMP, "2001-04-10 00:00")) == Interval(
        -(43 * 12 + 9), -27, 0)
    assert call("age", (DATE, "2024-03-01"), (DATE, "2024-01-31")) == Interval(1, 1, 0)
    with in_zone("UTC"):
        assert call("age", (TIMESTAMP, "2024-07-03 20:00")) == Interval(0, 0, 4 * 3_600_000_000)


@pytest.mark.parametrize(("first", "second", "expected"), [
    (("2001-02-16", "2001-12-21"), ("2001-10-30", "2002-10-30"), True),
    (("2001-02-16", 100), ("2001-10-30", "2002-10-30"), False),
    (("2001-10-29", "2001-10-30"), ("2001-10-30", "2001-10-31"), False),
    (("2001-10-30", "2001-10-30"), ("2001-10-30", "2001-10-31"), True),
    (("2001-12-21", "2001-02-16"), ("2001-10-30", "2002-10-30"), True),
    (("2001-10-30", None), ("2001-11-01", "2001-11-02"), None),
    (("2001-10-01", "2001-11-05"), ("2001-11-01", None), True),
    (("2001-10-01", "2001-10-05"), (None, "2001-11-01"), None),
    ((None, None), ("2001-11-01", "2001-11-02"), None),
])
def test_overlaps(first: tuple[Any, Any], second: tuple[Any, Any], expected: bool | None) -> None:
    arguments: list[tuple[Type, Any]] = []
    for start, stop in (first, second):
        arguments.append((TIMESTAMP, start))
        arguments.append((INTERVAL, Interval(0, stop, 0)) if isinstance(stop, int) else (TIMESTAMP, stop))
    assert call("overlaps", *arguments) is expected


@pytest.mark.parametrize(("name", "span", "expected"), [
    ("justify_days", "1 year 65 days", Interval(14, 5, 0)),
    ("justify_hours", "50 hours 10 minutes", Interval(0, 2, 7.8e9)),
    ("justify_interval", "1 mon -1 hour", Interval(0, 29, 23 * 3.6e9)),
    ("justify_days", "-35 days", Interval(-1, -5, 0)),
    ("justify_interval", "-1 days 25 hours", Interval(0, 0, 3.6e9)),
    ("justify_hours", "1 day -1 hour", Interval(0, 0, 8.28e10)),
])
def test_justify(name: str, span: str, expected: Interval) -> None:
    assert call(name, (INTERVAL, span)) == expected


@given(st.builds(Interval, st.integers(-900, 900), st.integers(-900, 900), st.integers(-10**14, 10**14)))
def test_justified_parts_have_one_sign(span: Interval) -> None:
    months, days, microseconds = moments_arithmetic.justify_interval(span)
    assert len({part > 0 for part in (months, days, microseconds) if part}) <= 1
    assert abs(days) < 30 and abs(microseconds) < 86_400_000_000
    lengths = [(part.months * 30 + part.days) * 86_400_000_000 + part.microseconds
               for part in (span, Interval(months, days, microseconds))]
    assert lengths[0] == lengths[1]


# ---- made

def test_constructors() -> None:
    assert call("make_date", (INT, 2013), (INT, 7), (INT, 15)) == date(2013, 7, 15)
    assert call("make_time", (INT, 8), (INT, 15), (DOUBLE, 23.5)) == time(8, 15, 23, 500_000)
    parts = [(INT, 2013), (INT, 7), (INT, 15), (INT, 8), (INT, 15), (DOUBLE, 23.5)]
    assert call("make_timestamp", *parts) == datetime(2013, 7, 15, 8, 15, 23, 500_000)
    assert call("make_timestamptz", *parts, (TEXT, "America/New_York")) == datetime(
        2013, 7, 15, 12, 15, 23, 500_000, UTC)
    assert call("make_timestamptz", *parts, (TEXT, "+02")) == datetime(2013, 7, 15, 6, 15, 23, 500_000, UTC)
    assert call("make_timestamp", *parts[:3], (INT, 24), (INT, 0), (DOUBLE, 0.0)) == datetime(2013, 7, 16)
    assert call("make_interval", (INT, 1), (INT, 2), (INT, 1), (INT, 3), (INT, 4), (INT, 5), (DOUBLE, 6.5)) == Interval(
        14, 10, 14_706_500_000)
    assert call("make_interval") == Interval()
    assert call("to_timestamp", (DOUBLE, 1284352323.5)) == datetime(2010, 9, 13, 4, 32, 3, 500_000, UTC)


@pytest.mark.parametrize(("name", "numbers"), [
    ("make_date", (2013, 2, 30)), ("make_date", (0, 1, 1)), ("make_date", (10_000, 1, 1)), ("make_time", (25, 0, 0.0)),
    ("make_time", (24, 0, 0.0)), ("make_time", (1, 60, 0.0)), ("make_time", (1, 0, float("nan"))),
    ("make_timestamp", (2013, 1, 1, 24, 0, 1.0)), ("make_interval", (2**31 - 1,)), ("to_timestamp", (float("inf"),)),
    ("to_timestamp", (float("nan"),)), ("to_timestamp", (1e15,))])
def test_constructors_out_of_range(name: str, numbers: tuple[float, ...]) -> None:
    with pytest.raises(DatetimeOutOfRange):
        call(name, *((DOUBLE if isinstance(number, float) else INT, number) for number in numbers))


# ---- zones

def test_at_time_zone() -> None:
    local, moment = (TIMESTAMP, "2001-02-16 20:38:40"), (TIMESTAMPTZ, "2001-02-16 20:38:40-05")
    assert call("at time zone", local, (TEXT, "America/Denver")) == datetime(2001, 2, 17, 3, 38, 40, tzinfo=UTC)
    assert call("at time zone", moment, (TEXT, "america/denver")) == datetime(2001, 2, 16, 18, 38, 40)
    assert call("timezone", (TEXT, "MST"), local) == datetime(2001, 2, 17, 3, 38, 40, tzinfo=UTC)
    # a POSIX offset counts to the west
    assert call("at time zone", local, (TEXT, "+02")) == datetime(2001, 2, 16, 22, 38, 40, tzinfo=UTC)
    assert call("at time zone", local, (INTERVAL, "02:00")) == datetime(2001, 2, 16, 18, 38, 40, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Nowhere/City", "", "../../etc/passwd", "+99"])
def test_unknown_zone(zone: str) -> None:
    with pytest.raises(InvalidParameterValue):
        call("at time zone", (TIMESTAMP, "2001-02-16 20:38:40"), (TEXT, zone))


def test_interval_zone_has_no_days() -> None:
    with pytest.raises(InvalidParameterValue):
        call("at time zone", (TIMESTAMP, "2001-02-16 20:38:40"), (INTERVAL, "1 day"))


def test_skipped_and_repeated_local_times() -> None:
    zone = zones.zone_of("America/New_York")
    assert zones.to_moment(datetime(2024, 3, 10, 2, 30), zone) == datetime(2024, 3, 10, 7, 30, tzinfo=UTC)
    assert zones.to_moment(datetime(2024, 11, 3, 1, 30), zone) == datetime(2024, 11, 3, 6, 30, tzinfo=UTC)


def test_the_clock() -> None:
    with in_zone("Asia/Tokyo"):
        now = datetime(2024, 7, 4, 22, 30, 15, 123456, UTC)
        assert call("now") == call("current_timestamp") == call("transaction_timestamp") == now
        assert call("statement_timestamp") == now
        assert call("current_timestamp", (INT, 2)) == now.replace(microsecond=120_000)
        assert call("current_date") == date(2024, 7, 5)
        assert call("localtimestamp", (INT, 0)) == datetime(2024, 7, 5, 7, 30, 15)
        assert call("localtime") == time(7, 30, 15, 123456)
        assert call("clock_timestamp") > now
        assert call("timeofday").endswith("JST")
        with pytest.raises(InvalidParameterValue):
            call("current_timestamp", (INT, -1))


def test_all_moments_are_finite() -> None:
    assert call("isfinite", (DATE, "2001-02-16")) is True
    assert call("isfinite", (INTERVAL, "4 hours")) is True


# ---- templates

@pytest.mark.parametrize(("template", "expected"), [
    ("Day, DD  HH12:MI:SS", "Wednesday, 05  10:18:15"), ("FMDay, FMDD  HH12:MI:SS", "Wednesday, 5  10:18:15"),
    ("Dy, DD Mon YYYY HH24:MI:SS.MS", "Wed, 05 Jun 2024 22:18:15.123"),
    ("DAY MONTH|Month|month", "WEDNESDAY JUNE     |June     |june     "),
    ("IYYY-\"W\"IW-ID", "2024-W23-3"), ("YYYY-DDD J", "2024-157 2460467"), ("Y,YYY YYY YY Y", "2,024 024 24 4"),
    ("HH12 AM p.m.", "10 PM p.m."), ("US FF1 FF3 SSSSS", "123456 1 123 80295"), ("Q CC WW W D", "2 21 23 1 4"),
    ("FMDDth FMMMTH RM|FMRM|rm", "5th 6TH VI  |VI|vi  "), ("AD b.c.", "AD a.d."),
    ("\"year:\" YYYY \\\"q\\\"", "year: 2024 \"2\""),
    ("TMMonth", "June"), ("YYYYth", "2024th"), ("tz TZ OF TZH:TZM", "  +00 +00:00"),
])
def test_to_char_of_a_timestamp(template: str, expected: str) -> None:
    assert call("to_char", (TIMESTAMP, "2024-06-05 22:18:15.123456"), (TEXT, template)) == expected


def test_to_char_of_midnight() -> None:
    assert call("to_char", (TIMESTAMP, "2024-06-05 00:05"), (TEXT, "HH12 HH HH24 AM")) == "12 12 00 AM"


def test_to_char_of_a_moment_is_local() -> None:
    with in_zone("America/New_York"):
        assert call("to_char", (TIMESTAMPTZ, "2024-06-05 22:18+00"), (TEXT, "HH24:MI TZ tz OF TZH:TZM")) == (
            "18:18 EDT edt -04 -04:00")


def test_to_char_of_intervals() -> None:
    assert call("to_char", (INTERVAL, "15 hours 2 minutes 12 seconds"), (TEXT, "HH24:MI:SS")) == "15:02:12"
    assert call("to_char", (INTERVAL, "3 years 2 months -50:00:00"), (TEXT, "YYYY MM HH24 HH12")) == "0003 02 -50 -02"
    assert call("to_char", (TIME, "10:05"), (TEXT, "HH12:MI")) == "10:05"
    assert call("to_char", (INTERVAL, "1 day"), (TEXT, "")) is None
    with pytest.raises(InvalidDatetime):
        call("to_char", (INTERVAL, "1 day"), (TEXT, "Month"))


@pytest.mark.parametrize(("span", "expected"), [            # what PostgreSQL 15 gives
    ("-20459year -256 days  -120hours 866seconds", "-20459 -20460 -59 -60 00 -256 AM -11 -119 -45 -34"),
    ("0year -256 days  -120hours", "0000 -001 00 -1 00 -256 AM 012 -120 00 00"),
    ("0year 0 days  0hours", "0000 -001 00 -1 00 00 AM 12 00 00 00"),
    ("1year 1month 1day 1hours 1minute 1second", "0001 0001 01 01 01 01 AM 01 01 01 01"),
    ("-1year -1month -1day -1hours -1minute -1second", "-0001 -0002 -01 -02 -01 -1 AM -01 -01 -01 -01")])
def test_to_char_of_intervals_in_iso_years(span: str, expected: str) -> None:
    template = "YYYY IYYY YY IY MM DD PM HH12 HH24 MI SS"
    assert call("to_char", (INTERVAL, span), (TEXT, template)) == expected


@pytest.mark.parametrize(("number", "template", "expected"), [
    ("-0.1", "99.99", "  -.10"), ("-0.1", "FM9.99", "-.1"), ("-0.1", "FM90.99", "-0.1"), ("0.1", "0.9", " 0.1"),
    ("12", "9990999.9", "    0012.0"), ("12", "FM9990999.9", "0012."), ("485", "999", " 485"), ("-485", "999", "-485"),
    ("485", "9 9 9", " 4 8 5"), ("1485", "9,999", " 1,485"), ("1485", "9G999", " 1,485"),
    ("148.5", "999.999", " 148.500"),
    ("148.5", "FM999.999", "148.5"), ("148.5", "FM999.990", "148.500"), ("3148.5", "9G999D999", " 3,148.500"),
    ("-485", "999S", "485-"), ("-485", "999MI", "485-"), ("485", "999MI", "485 "), ("485", "FM999MI", "485"),
    ("485", "PL999", "+ 485"), ("485", "SG999", "+485"), ("-485", "SG999", "-485"), ("-485", "9SG99", "4-85"),
    ("-485", "999PR", "<485>"), ("485", "L999", "  485"), ("485", "RN", "        CDLXXXV"), ("485", "FMRN", "CDLXXXV"),
    ("5.2", "FMRN", "V"), ("482", "999th", " 482nd"), ("485", "\"Good number:\"999", "Good number: 485"),
    ("485.8", "\"Pre:\"999\" Post:\" .999", "Pre: 485 Post: .800"), ("12", "99V999", " 12000"),
    ("12.4", "99V999", " 12400"),
    ("12.45", "99V9", " 125"), ("0.0004859", "9.99EEEE", " 4.86e-04"), ("1234", "999", " ###"), ("0", "9.9", "  .0"),
    ("0", "99G0D,99", "    0. 00"),
    ("9.99", "9.9EEEE", " 1.0e+01"),
    ("1234567.891", "FM9,999,999.00", "1,234,567.89"), ("-1234.5", "9G999D00S", "1,234.50-"),
])
def test_to_char_of_numbers(number: str, template: str, expected: str) -> None:
    assert call("to_char", (NUMERIC, Decimal(number)), (TEXT, template)) == expected


def test_to_char_of_other_numbers() -> None:
    assert call("to_char", (INT, 125), (TEXT, "999")) == " 125"
    assert call("to_char", (DOUBLE, 125.8), (TEXT, "999D9")) == " 125.8"
    assert call("to_char", (REAL, 125.80000305175781), (TEXT, "999D9999999")) == " 125.800"
    assert call("to_char", (DOUBLE, float("nan")), (TEXT, "9999")) == "  NaN"
    assert call("to_char", (DOUBLE, -1.5e-7), (TEXT, "9.9EEEE")) == "-1.5e-07"
    assert call("to_char", (DOUBLE, float("inf")), (TEXT, "9.9EEEE")) == " #.#####"


@pytest.mark.parametrize("template", ["9.9.9", "9V9.9", "9.9V9", "SS9", "S9PR", "S9MI", "MI9S", "PR9", "9EEEE9",
                                      "FM9EEEE"])
def test_templates_that_make_no_sense(template: str) -> None:
    with pytest.raises(SyntaxFailure):
        call("to_char", (NUMERIC, Decimal(1)), (TEXT, template))


@pytest.mark.parametrize(("text", "template", "expected"), [
    ("12,454.8-", "99G999D9S", "-12454.8"), ("$1,234.5", "L9,999.9", "1234.5"), (" 485", "999", "485"),
    ("<12>", "99PR", "-12"), ("1-", "9MI", "-1"), ("1234", "99V99", "12.34"), ("0.1", "9D99", "0.1"),
    ("+5", "S9", "5")])
def test_to_number(text: str, template: str, expected: str) -> None:
    assert call("to_number", (TEXT, text), (TEXT, template)) == Decimal(expected)


@pytest.mark.parametrize(("text", "template", "error"), [
    ("abc", "999", InvalidTextRepresentation), ("12", "RN", FeatureNotSupported), ("12", "9EEEE", FeatureNotSupported)])
def test_to_number_refuses(text: str, template: str, error: type[QueryError]) -> None:
    with pytest.raises(error):
        call("to_number", (TEXT, text), (TEXT, template))


@pytest.mark.parametrize(("text", "template", "expected"), [
    ("05 Dec 2000", "DD Mon YYYY", date(2000, 12, 5)), ("20000005", "YYYYMMDD", None),
    ("2000/JUN", "YYYY MON", date(2000, 6, 1)),
    ("2000   JUN", "YYYY MON", date(2000, 6, 1)), ("2006-001", "YYYY-DDD", date(2006, 1, 1)),
    ("2006-01-4", "IYYY-IW-ID", date(2006, 1, 5)),
    ("95-07-20", "YY-MM-DD", date(1995, 7, 20)), ("21-07-20", "YY-MM-DD", date(2021, 7, 20)),
    ("2453737", "J", date(2006, 1, 1)),
    ("5th of march 2001", "FMDDth \"of\" month YYYY", date(2001, 3, 5)), ("XII 1999", "RM YYYY", date(1999, 12, 1)),
    ("20 05", "CC YY", date(1905, 1, 1)), ("20000229", "YYYYMMDD", date(2000, 2, 29)),
    ("2001 05 3", "YYYY MM W", date(2001, 5, 15)),
    ("2,001 11", "Y,YYY MM", date(2001, 11, 1)),
])
def test_to_date(text: str, template: str, expected: date | None) -> None:
    if expected is None:
        with pytest.raises(DatetimeOutOfRange):
            call("to_date", (TEXT, "20001305"), (TEXT, template))
    else:
        assert call("to_date", (TEXT, text), (TEXT, template)) == expected


@pytest.mark.parametrize(("text", "template", "expected"), [
    ("2024-02-29 08:05:06.25", "YYYY-MM-DD HH24:MI:SS.MS", datetime(2024, 2, 29, 8, 5, 6, 250_000, UTC)),
    ("2024-02-29 08:05:06.025", "YYYY-MM-DD HH24:MI:SS.US", datetime(2024, 2, 29, 8, 5, 6, 25_000, UTC)),
    ("12:30 am 2024", "HH12:MI AM YYYY", datetime(2024, 1, 1, 0, 30, tzinfo=UTC)),
    ("2024-02-29T08:05:06-03:30", "YYYY-MM-DD\"T\"HH24:MI:SSTZH:TZM", datetime(2024, 2, 29, 11, 35, 6, tzinfo=UTC)),
    ("2024 30000", "YYYY SSSSS", datetime(2024, 1, 1, 8, 20, tzinfo=UTC)),
    ("2024 .987", "YYYY .FF1", datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)),
])
def test_to_timestamp(text: str, template: str, expected: datetime) -> None:
    assert call("to_timestamp", (TEXT, text), (TEXT, template)) == expected


@pytest.mark.parametrize(("text", "template", "error"), [
    ("2000    JUN", "FXYYYY MON", InvalidDatetime), ("abc", "YYYY", InvalidDatetime),
    ("13 2001", "HH12 YYYY", InvalidDatetime),
    ("2001 2002", "YYYY IYYY", InvalidDatetime), ("2001 2002", "YYYY YYYY", InvalidDatetime),
    ("1", "YYYYMM", InvalidDatetime),
    ("2001-02-30", "YYYY-MM-DD", DatetimeOutOfRange), ("2001 UTC", "YYYY TZ", FeatureNotSupported),
    ("001", "DDD", InvalidDatetime),
    ("44 BC", "YYYY BC", DatetimeOutOfRange), ("2001 25", "YYYY HH24", DatetimeOutOfRange),
    ("99999999999 2001", "FMDD YYYY", DatetimeOutOfRange)])
def test_to_timestamp_refuses(text: str, template: str, error: type[QueryError]) -> None:
    with pytest.raises(error):
        call("to_timestamp", (TEXT, text), (TEXT, template))


@given(st.datetimes())
def test_what_to_char_writes_to_timestamp_reads(moment: datetime) -> None:
    template = "YYYY-MM-DD HH24:MI:SS.US"
    text = call("to_char", (TIMESTAMP, moment), (TEXT, template))
    assert call("to_timestamp", (TEXT, text), (TEXT, template)) == moment.replace(tzinfo=UTC)


@given(st.decimals(-99999, 99999, places=3))
def test_what_to_char_writes_to_number_reads(number: Decimal) -> None:
    for template in ("S99999.999", "99G999D999MI", "00000.000PR"):
        text = call("to_char", (NUMERIC, number), (TEXT, template))
        assert call("to_number", (TEXT, text), (TEXT, template)) == number


def test_to_number_has_room_for_its_digits_only() -> None:
    with pytest.raises(NumericValueOutOfRange):
        # digits before the point that stand in places after it
        call("to_number", (TEXT, "123"), (TEXT, "9.99"))
