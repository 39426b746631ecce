"""Casts of values: results and SQLSTATEs are PostgreSQL 15's, taken from a running server; what differs on purpose is
in test_differences."""
from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core.query import context
from phantomdb.core.query.cast_json import read_json, write_json
from phantomdb.core.query.casts import cast, output_text, read_bytes, to_text, type_of
from phantomdb.core.query.errors import QueryError
from phantomdb.core.values import (
    ANY,
    BIGINT,
    BOOL,
    BYTES,
    DATE,
    DOUBLE,
    INT,
    INTERVAL,
    JSON,
    JSON_NULL,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID_TYPE,
    Interval,
    Type,
    array,
    char,
    decimal,
    varchar,
)

BERLIN = context.StatementContext(now=datetime.datetime(2024, 2, 29, 23, 30, tzinfo=datetime.UTC),
                                  timezone="Europe/Berlin")


def outcome(value: Any, source: Type, target: Type, is_explicit: bool = True) -> str:
    """The text of the result, or the SQLSTATE."""
    try:
        with context.use(BERLIN):
            return to_text(cast(value, source, target, is_explicit), target)
    except QueryError as error:
        return error.sqlstate


@pytest.mark.parametrize(("text", "target", "expected"), [
    (" 42 ", INT, "42"), ("+5", SMALLINT, "5"), ("1.5", INT, "22P02"), ("", INT, "22P02"), ("1_000", INT, "22P02"),
    ("2147483648", INT, "22003"), ("-2147483648", INT, "-2147483648"), ("\uff11", INT, "22P02"),
    ("9223372036854775808", BIGINT, "22003"),
    ("1e3", DOUBLE, "1000"), ("NaN", DOUBLE, "NaN"), ("-inf", DOUBLE, "-Infinity"), (".5", DOUBLE, "0.5"),
    ("1e400", DOUBLE, "22003"), ("1e-400", DOUBLE, "22003"), ("0e-400", DOUBLE, "0"), ("e5", DOUBLE, "22P02"),
    ("1e39", REAL, "22003"), ("0.1", REAL, "0.1"), ("16777217", REAL, "1.6777216e+07"),
    ("1e15", DOUBLE, "1e+15"), ("123456789012345678", DOUBLE, "1.2345678901234568e+17"),
    ("37230363750264896", DOUBLE, "3.7230363750264896e+16"), ("0.00001", DOUBLE, "1e-05"), ("-0", DOUBLE, "-0"),
    ("1e3", NUMERIC, "1000"), ("1.", NUMERIC, "1"), ("-0", NUMERIC, "0"), ("x", NUMERIC, "22P02"),
    ("1e200000", NUMERIC, "22003"), ("999.994", decimal(5, 2), "999.99"), ("999.995", decimal(5, 2), "22003"),
    ("2.345", decimal(5, 2), "2.35"), ("-2.345", decimal(5, 2), "-2.35"), ("12350", decimal(3, -2), "12400"),
    ("0.00123", decimal(3, 5), "0.00123"),
    ("tRu", BOOL, "true"), ("of", BOOL, "false"), ("o", BOOL, "22P02"), ("2", BOOL, "22P02"),
    ("{A0EEBC99-9c0b4ef8bb6d6bb9bd380a11}", UUID_TYPE, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("a0-eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", UUID_TYPE, "22P02"),
    ("\\x4142", BYTES, "\\x4142"), ("\\x4", BYTES, "22023"), ("a\\\\b\\101", BYTES, "\\x615c6241"),
    ("\\1", BYTES, "22P02"),
    ("{1,NULL, 3}", array(INT), "{1,NULL,3}"), ("{1,}", array(INT), "22P02"), ("1", array(INT), "22P02"),
    ('{a b,"c d"," e",NULL,"null",""}', array(TEXT), '{"a b","c d"," e",NULL,"null",""}'),
    ('{"a\\"b",c\\,d}', array(TEXT), '{"a\\"b","c,d"}'), ("{t,f}", array(BOOL), "{t,f}"),
    ("{{1,2},{3}}", array(array(INT)), "{{1,2},{3}}"),
    ('{"bb":1,"a":2,"a":3,"d":1.50,"c":1e3}', JSON, '{"a": 3, "c": 1000, "d": 1.50, "bb": 1}'),
    ("01", JSON, "22P02"), ("NaN", JSON, "22P02"), ("null", JSON, "null"), ("-0.0", JSON, "0.0"), ("", JSON, "22P02"),
])
def test_text_is_read(text: str, target: Type, expected: str) -> None:
    assert outcome(text, TEXT, target) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("1999-01-08", "1999-01-08"), ("January 8, 1999", "1999-01-08"), ("1/8/1999", "1999-01-08"),
    ("1/18/1999", "1999-01-18"),
    ("1999-Jan-08", "1999-01-08"), ("Jan-08-1999", "1999-01-08"), ("08-Jan-1999", "1999-01-08"),
    ("08-Jan-99", "1999-01-08"),
    ("19990108", "1999-01-08"), ("990108", "1999-01-08"), ("1999.008", "1999-01-08"), ("J2451187", "1999-01-08"),
    ("8 January 1999", "1999-01-08"), ("Monday, January 8, 1999 04:05", "1999-01-08"), ("epoch", "1970-01-01"),
    ("today", "2024-03-01"), ("tomorrow", "2024-03-02"), ("1999-13-01", "22008"), ("1999-02-29", "22008"),
    ("2000-02-29", "2000-02-29"), ("", "22007"), ("abc", "22007"), ("1999", "22007"), ("1999-01-08 BC", "22008"),
    ("10000-01-01", "22008"), ("infinity", "22008"),
])
def test_dates(text: str, expected: str) -> None:
    assert outcome(text, TEXT, DATE) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("2004-10-19 10:23:54", "2004-10-19 10:23:54+02"), ("2004-10-19T10:23:54.5Z", "2004-10-19 12:23:54.5+02"),
    ("2004-10-19 10:23:54-08:30", "2004-10-19 20:53:54+02"), ("2004-10-19 10:23:54 PST", "2004-10-19 20:23:54+02"),
    ("2004-10-19 10:23 America/New_York", "2004-10-19 16:23:00+02"),
    ("2004-10-19 01:23 PM", "2004-10-19 13:23:00+02"),
    ("20040506T102030", "2004-05-06 10:20:30+02"), ("2021-03-28 02:30", "2021-03-28 03:30:00+02"),
    ("2021-10-31 02:30", "2021-10-31 02:30:00+01"), ("now", "2024-03-01 00:30:00+01"),
    ("2004-10-19 25:00", "22008"), ("2004-10-19 10:23 nowhere/x", "22023"), ("2004-10-19 10:23:54.123456789",
                                                                             "2004-10-19 10:23:54.123457+02"),
])
def test_moments(text: str, expected: str) -> None:
    assert outcome(text, TEXT, TIMESTAMPTZ) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("1 day 2 hours", "1 day 02:00:00"), ("P1Y2M", "1 year 2 mons"), ("1-2", "1 year 2 mons"),
    ("01:02:03", "01:02:03"),
    ("1 year ago", "-1 years"), ("@ 1 year 2 mons -3 days 04:05:06 ago", "-1 years -2 mons +3 days -04:05:06"),
    ("1.5 days", "1 day 12:00:00"), ("1.5 months", "1 mon 15 days"), ("1.5 years", "1 year 6 mons"),
    ("1.5 weeks", "10 days 12:00:00"), ("3 4:05:06", "3 days 04:05:06"),
    ("1-2 3 4:05:06", "1 year 2 mons 3 days 04:05:06"),
    ("-1 2:03:04", "-1 days +02:03:04"), ("P1Y2M3DT4H5M6S", "1 year 2 mons 3 days 04:05:06"), ("PT36H", "36:00:00"),
    ("P0001-02-03T04:05:06", "1 year 2 mons 3 days 04:05:06"), ("1", "00:00:01"), ("1 2", "22007"),
    ("1 foo", "22007"),
    ("", "22007"), ("1 day 1 day", "22007"), ("99999999999 years", "22008"), ("1 mon -1 day", "1 mon -1 days"),
])
def test_intervals(text: str, expected: str) -> None:
    assert outcome(text, TEXT, INTERVAL) == expected


@pytest.mark.parametrize(("value", "source", "target", "expected"), [
    (2.5, DOUBLE, INT, "2"), (3.5, DOUBLE, INT, "4"), (Decimal("2.5"), NUMERIC, INT, "3"), (-0.5, DOUBLE, INT, "0"),
    (2147483648.0, DOUBLE, INT, "22003"), (70000, INT, SMALLINT, "22003"), (float("nan"), DOUBLE, BIGINT, "22003"),
    (0.1, DOUBLE, NUMERIC, "0.1"), (1 / 3, DOUBLE, NUMERIC, "0.333333333333333"),
    (123456789.0, REAL, NUMERIC, "123457000"),
    (1e300, DOUBLE, REAL, "22003"), (1e-60, DOUBLE, REAL, "22003"), (5, INT, decimal(3, 2), "5.00"),
    (10, INT, decimal(3, 2), "22003"), (1, INT, BOOL, "true"), (True, BOOL, INT, "1"), (True, BOOL, TEXT, "true"),
    (1, BIGINT, BOOL, "42846"), (5, INT, DATE, "42846"), (True, BOOL, BIGINT, "42846"),
    (datetime.date(2024, 7, 1), DATE, TIMESTAMP, "2024-07-01 00:00:00"),
    (datetime.date(2024, 7, 1), DATE, TIMESTAMPTZ, "2024-07-01 00:00:00+02"),
    (datetime.datetime(2024, 7, 1, 23, tzinfo=datetime.UTC), TIMESTAMPTZ, DATE, "2024-07-02"),
    (datetime.datetime(2024, 7, 1, 23, tzinfo=datetime.UTC), TIMESTAMPTZ, TIME, "01:00:00"),
    (datetime.time(1, 2, 3), TIME, INTERVAL, "01:02:03"), (Interval(1, 2, -1_000_000), INTERVAL, TIME, "23:59:59"),
    (Decimal("5.6"), JSON, INT, "6"), ("a", JSON, INT, "22023"), (JSON_NULL, JSON, INT, "22023"),
    (True, JSON, BOOL, "true"),
    ([1, None], array(INT), array(DOUBLE), "{1,NULL}"), ([70000], array(INT), array(SMALLINT), "22003"),
    ("abc  ", char(5), TEXT, "abc"), ("a", TEXT, char(3), "a  "), (5, ANY, TEXT, "5"), ("5", ANY, INT, "5"),
    ({"b": 1, "a": [None]}, ANY, TEXT, '{"a": [null], "b": 1}'),
])
def test_between_types(value: Any, source: Type, target: Type, expected: str) -> None:
    assert outcome(value, source, target) == expected


def test_declared_lengths() -> None:
    assert cast("abcdef", TEXT, varchar(3), True) == "abc"
    assert cast("abc   ", TEXT, varchar(3), False) == "abc"               # blanks too many are no error
    assert outcome("abcdef", TEXT, varchar(3), False) == "22001"
    with pytest.raises(QueryError, match=r"value too long for type character varying\(3\)"):
        cast("abcdef", TEXT, varchar(3), False)
    assert cast("ab", TEXT, char(4), False) == "ab  "
    assert outcome(12345, INT, varchar(3), False) == "22001"


def test_none_stays_none() -> None:
    for source, target in ((TEXT, INT), (INT, TEXT), (TEXT, varchar(1)), (DATE, TIMESTAMPTZ), (array(INT), array(TEXT)),
                           (ANY, INT), (INT, INT)):
        assert cast(None, source, target) is None


def test_messages() -> None:
    for value, target, message in (("abc", INT, 'invalid input syntax for type integer: "abc"'),
                                   ("99999", SMALLINT, 'value "99999" is out of range for type smallint'),
                                   ("x", TIMESTAMP, 'invalid input syntax for type timestamp: "x"'),
                                   ("x", array(INT), 'malformed array literal: "x"')):
        with pytest.raises(QueryError) as caught:
            cast(value, TEXT, target)
        assert str(caught.value) == message


def test_differences() -> None:
    """Where we are not PostgreSQL: the range of Python's moments, no NaN among numerics, no zeros that say nothing."""
    assert outcome("NaN", TEXT, NUMERIC) == "0A000"
    assert outcome("24:00:00", TEXT, TIME) == "22008"
    assert outcome("1.50", TEXT, NUMERIC) == "1.5"
    assert outcome("1.5", TEXT, decimal(5, 2)) == "1.50"
    assert outcome("[2:3]={1,2}", TEXT, array(INT)) == "0A000"


def test_texts_of_values() -> None:
    assert to_text(True, BOOL) == "true" and output_text(True, BOOL) == "t"
    assert to_text(b"\x01\xff", BYTES) == "\\x01ff"
    assert to_text(["a\u00a0b", "a b"], array(TEXT)) == '{a\u00a0b,"a b"}'
    assert str(Interval(-12, 2, 0)) == "-1 years +2 days"
    assert str(Interval()) == "00:00:00"
    assert type_of(2**70) == NUMERIC and type_of(True) == BOOL and type_of([1]) == JSON


def test_deep_and_wrong_documents() -> None:
    assert outcome("[" * 100_000 + "]" * 100_000, TEXT, JSON) == "54001"
    assert outcome('"\\u0000"', TEXT, JSON) == "22P02"
    assert outcome('"\\ud800"', TEXT, JSON) == "22P02"
    assert write_json({"a": float("nan"), "b": 1e20, "c": b"\x01"}) == (
        '{"a": "NaN", "b": 100000000000000000000, "c": "\\\\x01"}')


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
DOCUMENTS = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
                         lambda inner: st.lists(inner) | st.dictionaries(st.text("ab\"\\é"), inner), max_leaves=10)


@given(DOCUMENTS)
def test_documents_come_back(document: Any) -> None:
    expected = JSON_NULL if document is None else document
    assert read_json(write_json(document)) == expected


@given(st.floats(), st.sampled_from([32, 64]))
def test_floats_come_back(value: float, bits: int) -> None:
    type_ = REAL if bits == 32 else DOUBLE
    if bits == 32:
        try:
            value = cast(value, DOUBLE, REAL)
        except QueryError:
            return
    again = cast(to_text(value, type_), TEXT, type_)
    assert again == value or (again != again and value != value)


@given(st.binary())
def test_bytes_come_back(value: bytes) -> None:
    assert read_bytes(to_text(value, BYTES)) == value


@given(st.lists(st.none() | st.text(st.characters(codec="utf-8")), max_size=5))
def test_arrays_come_back(value: list[str | None]) -> None:
    assert cast(to_text(value, array(TEXT)), TEXT, array(TEXT)) == value


@given(st.builds(Interval, st.integers(-2**31 + 1, 2**31 - 1), st.integers(-2**31 + 1, 2**31 - 1),
                 st.integers(-10**17, 10**17)))
def test_intervals_come_back(value: Interval) -> None:
    assert cast(to_text(value, INTERVAL), TEXT, INTERVAL) == value


@given(st.datetimes(datetime.datetime(1, 1, 3), datetime.datetime(9999, 12, 29)))
def test_moments_come_back(value: datetime.datetime) -> None:
    with context.use(BERLIN):
        assert cast(to_text(value, TIMESTAMP), TEXT, TIMESTAMP) == value
        moment = value.replace(tzinfo=datetime.UTC)
        assert cast(to_text(moment, TIMESTAMPTZ), TEXT, TIMESTAMPTZ) == moment
        assert cast(to_text(value.date(), DATE), TEXT, DATE) == value.date()
