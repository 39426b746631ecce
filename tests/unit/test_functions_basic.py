"""Operators, numbers, text, patterns, bytes: values and SQLSTATEs as PostgreSQL 15 gives them."""
from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from function_calls import call, state_of

from phantomdb.core.query import context
from phantomdb.core.query.errors import UndefinedObject
from phantomdb.core.query.functions import registry
from phantomdb.core.values import BIGINT, BOOL, INT, JSON, REAL, SMALLINT, TEXT, Interval, array, char, decimal



D = Decimal


@pytest.mark.parametrize(("name", "arguments", "expected"), [
    ("+", (2, 3), 5), ("/", (7, 2), 3), ("/", (-7, 2), -3), ("%", (-7, 3), -1), ("%", (7, -3), 1),
    ("mod", (-(2**31), -1), 0),
    ("/", (D(1), D(3)), D("0.3333333333333333")), ("/", (D(2), D(3)), D("0.6666666666666667")),
    ("/", (D("-0.5"), D("1e16")), D("-0.0000000000000001")),
    ("/", (D("1e30"), D(7)), D("142857142857142857142857142857.1428571428571429")),
    ("+", (D("1e40"), D("1e-40")), D("1" + "0" * 40 + "." + "0" * 39 + "1")),
    ("*", (D("1.10"), D("1.10")), D("1.2100")), ("%", (D("-7.5"), D("2.25")), D("-0.75")),
    ("div", (D("-7.5"), D(2)), D(-3)),
    ("^", (2, 3), 8.0), ("^", (D("2.0"), D(3)), D(8)), ("|/", (25.0,), 5.0), ("@", (-5,), 5), ("&", (5, 3), 1),
    ("|", (5, 3), 7),
    ("#", (5, 3), 6), ("~", (5,), -6), ("<<", (1, 33), 2), ("<<", ((1, SMALLINT), 15), -32768), (">>", (-8, 1), -4),
    ("round", (2.5,), 2.0), ("round", (D("2.5"),), D(3)), ("round", (D("-2.5"),), D(-3)),
    ("round", (D("42.4382"), 2), D("42.44")),
    ("round", (D("1234.56"), -1), D(1230)), ("trunc", (D("-42.4382"), -1), D(-40)), ("ceil", (D("-0.8"),), D(0)),
    ("sqrt", (D(2),), D("1.4142135623730950")), ("exp", (D(1),), D("2.7182818284590452")),
    ("ln", (D(2),), D("0.6931471805599453")),
    ("log", (D(2), D(64)), D(6)), ("power", (D("2.5"), D("2.5")), D("9.8821176880261854")),
    ("factorial", (25,), D(math.factorial(25))),
    ("gcd", (12, 18), 6), ("lcm", (4, 6), 12), ("gcd", (D("1.5"), D("0.25")), D("0.25")),
    ("width_bucket", (5.35, 0.024, 10.06, 5), 3),
    ("width_bucket", (D("5.35"), D("10.06"), D("0.024"), 5), 3), ("width_bucket", (3, ([1, 3, 5], array(INT))), 2),
    ("scale", (D("8.410"),), 3), ("min_scale", (D("8.4100"),), 2), ("trim_scale", (D("8.4100"),), D("8.41")),
    ("sign", (-8.4,), -1.0),
    ("sind", (30.0,), 0.5), ("cosd", (60.0,), 0.5), ("tand", (45.0,), 1.0), ("cotd", (-0.0,), -math.inf),
    ("asind", (0.5,), 30.0),
    ("acosd", (0.5,), 60.0), ("atan2d", (1.0, 1.0), 45.0), ("atanh", (1.0,), math.inf),
    ("power", (math.inf, 0.0), 1.0),
    ("=", (math.nan, math.nan), True), ("<", (math.inf, math.nan), True), ("=", (0.0, -0.0), True),
    ("=", (Interval(1, 0, 0), Interval(0, 30, 0)), True), ("<", (Interval(1, 0, 0), Interval(0, 31, 0)), True),
    ("=", (("a  ", char(3)), ("a    ", char(5))), True), ("=", (D("1.50"), D("1.5")), True), ("<", ("B", "a"), True),
    ("=", (([1, None], array(INT)), ([1, None], array(INT))), True),
    ("<", (([1, 2], array(INT)), ([1, None], array(INT))), True),
    ("=", (({"a": 1, "b": 2}, JSON), ({"b": 2, "a": 1}, JSON)), True), ("=", ((True, JSON), (1, JSON)), False),
    ("<", (([9], JSON), ([1, 2], JSON)), True), ("<", (("z", JSON), (1, JSON)), True),
    ("in", (1, 2, None), None), ("in", (1, 2, 1), True), ("between", (1, 2, None), False),
    ("between", (3, 2, None), None),
    ("between symmetric", (2, 3, 1), True), ("and", (True, None), None), ("and", (None, False), False),
    ("or", (None, True), True),
    ("is distinct from", (None, "a"), True), ("is unknown", ((None, BOOL),), True),
    ("is not true", ((None, BOOL),), True),
    ("nullif", (1, 1), None), ("greatest", (1, 3, 2), 3), ("least", (1.5, math.nan), 1.5),
    ("coalesce", (None, "a"), "a"),
    ("num_nulls", (1, None, "a"), 1), ("num_nonnulls", (1, None, "a"), 2),
])
def test_numbers_and_operators(name: str, arguments: tuple[Any, ...], expected: Any) -> None:
    found = call(name, *arguments)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("name", "arguments", "sqlstate"), [
    ("+", (2**31 - 1, 1), "22003"), ("+", ((32767, SMALLINT), (1, SMALLINT)), "22003"), ("*", (2**62, 2), "22003"),
    ("negate", ((-(2**31), INT),), "22003"), ("abs", ((-(2**63), BIGINT),), "22003"),
    ("/", (1, 0), "22012"), ("/", ((-(2**31), INT), -1), "22003"), ("/", (D(1), D(0)), "22012"),
    ("/", (1.0, 0.0), "22012"),
    ("%", (1, 0), "22012"), ("*", (1e308, 10.0), "22003"), ("*", (1e-300, 1e-300), "22003"),
    ("+", ((3e38, REAL), (3e38, REAL)), "22003"),
    ("sqrt", (-1.0,), "2201F"), ("ln", (0.0,), "2201E"), ("ln", (D(-1),), "2201E"), ("power", (0.0, -1.0), "2201F"),
    ("power", (-1.0, 0.5), "2201F"), ("exp", (1000.0,), "22003"), ("exp", (-1000.0,), "22003"),
    ("exp", (D(6000),), "22003"),
    ("power", (D(10), D(200_000)), "22003"), ("factorial", (-1,), "22003"), ("factorial", (40_000,), "22003"),
    ("acos", (2.0,), "22003"),
    ("sin", (math.inf,), "22003"), ("gcd", ((-(2**31), INT), 0), "22003"),
    ("width_bucket", (5.0, 0.0, 10.0, 0), "2201G"),
    ("substring", ("a", 1, -1), "22011"), ("overlay", ("abc", "X", 0), "22011"),
    ("split_part", ("a", "b", 0), "22023"),
    ("chr", (0,), "54000"), ("chr", (-1,), "22023"), ("repeat", ("ab", 2**31 - 1), "54000"),
    ("format", ("%s",), "22023"),
    ("format", ("%I", None), "22004"), ("like", ("a", "a\\"), "22025"), ("like", ("a", "a", "xy"), "22025"),
    ("~", ("a", "("), "2201B"),
    ("~", ("a", "[a"), "2201B"), ("~", ("a", "a**"), "2201B"), ("~", ("a", "(?P<x>a)"), "2201B"),
    ("regexp_like", ("a", "a", "z"), "22023"),
    ("regexp_match", ("a", "a", "g"), "22023"), ("regexp_count", ("a", "a", 0), "22023"),
    ("get_byte", (b"a", 1), "2202E"),
    ("decode", ("zz", "hex"), "22023"), ("decode", ("a", "rot13"), "22023"),
    ("convert_from", (b"\xff", "UTF8"), "22021"),
])
def test_errors(name: str, arguments: tuple[Any, ...], sqlstate: str) -> None:
    assert state_of(name, *arguments) == sqlstate


@pytest.mark.parametrize(("name", "arguments", "expected"), [
    ("||", ("a", 1), "a1"), ("||", (True, "a"), "truea"), ("||", (("a  ", char(3)), "x"), "ax"),
    ("concat", (True, D("1.5"), None, "x"), "t1.5x"),
    ("concat_ws", (",", 1, None, True), "1,t"), ("length", (("a    ", char(5)),), 1),
    ("octet_length", ("\u00e9",), 2),
    ("lower", ("\u00c4\u0130\u03a3",), "\u00e4\u0130\u03c3"), ("upper", ("\u00df\u00e9",), "\u00df\u00c9"),
    ("initcap", ("hi THOMAS o'neil 3abc",), "Hi Thomas O'Neil 3abc"),
    ("lpad", ("hi", 5, "xyz"), "xyzhi"), ("rpad", ("hi", 1), "h"), ("lpad", ("hi", 5, ""), "hi"),
    ("overlay", ("Txxxxas", "hom", 2, 4), "Thomas"),
    ("overlay", ("abc", "X", 5), "abcX"), ("substring", ("hello", -1, 4), "he"), ("substring", ("hello", 0), "hello"),
    ("left", ("abcd", -1), "abc"), ("right", ("abcd", -9), ""), ("split_part", ("a,b,c", ",", -1), "c"),
    ("split_part", ("abc", "", 1), "abc"),
    ("strpos", ("abc", ""), 1), ("replace", ("aaa", "", "x"), "aaa"),
    ("translate", ("12345", "143", "ax"), "a2x5"), ("repeat", ("ab", -1), ""),
    ("btrim", ("xyxtrimyyx", "xyz"), "trim"), ("ltrim", (" \ta",), "\ta"), ("ascii", ("",), 0),
    ("to_hex", (-1,), "ffffffff"),
    ("quote_ident", ("Foo bar",), '"Foo bar"'), ("quote_ident", ("select",), '"select"'),
    ("quote_ident", ("foo",), "foo"),
    ("quote_literal", ("O'Re\\il",), "E'O''Re\\\\il'"), ("quote_nullable", (None,), "NULL"),
    ("format", ("%s %I %L %%", "a", "B c", None), 'a "B c" NULL %'),
    ("format", ("%3$s %s|%-4s|%4s", 1, 2, 3, 4, 5, 6), "3 4|5   |   6"),
    ("parse_ident", ('"SomeSchema".someTable',), ["SomeSchema", "sometable"]),
    ("unistr", ("d\\0061t\\+000061",), "data"),
    ("normalize", ("a\u0308",), "\u00e4"), ("is_normalized", ("a\u0308",), False), ("reverse", ("abc",), "cba"),
    ("like", ("a_c", "a\\_c"), True), ("like", ("abc", "a_c", ""), True), ("like", ("a\nb", "a%"), True),
    ("ilike", ("\u00c4B", "\u00e4b"), True),
    ("not like", ("abc", "b%"), True), ("similar to", ("abc", "%(b|d)%"), True),
    ("similar to", ("abc", "a"), False), ("similar to", ("abc", "a.c"), False),
    ("~", ("a\n", "a$"), False), ("~", ("a\nb", "(?n)a$"), True), ("~", ("a\nb", "a.b"), True),
    ("~", ("foo bar", "\\mbar\\M"), True),
    ("~", ("a]", "[]]"), True), ("~", ("x-1", "[[:alpha:]-][^[:alpha:]]"), True), ("~*", ("ABC", "b"), True),
    ("!~", ("abc", "d"), True),
    ("~", ("a+b", "***=a+b"), True), ("regexp_replace", ("Thomas", ".[mN]a.", "M"), "ThM"),
    ("regexp_replace", ("abc", "b", "\\\\[\\&\\1]", "g"), "a\\[b]c"),
    ("regexp_replace", ("A PostgreSQL function", "a|e|i|o|u", "X", 1, 3, "i"), "A PostgrXSQL function"),
    ("regexp_replace", ("abc", "", "-", "g"), "-a-b-c-"),
    ("regexp_match", ("foobarbequebaz", "(bar)(beque)"), ["bar", "beque"]),
    ("regexp_split_to_array", ("hello world", "\\s+"), ["hello", "world"]),
    ("regexp_split_to_array", ("abc", ""), ["a", "b", "c"]), ("regexp_count", ("123456789012", "\\d\\d\\d", 2), 3),
    ("regexp_instr", ("ABCDEF", "c(.)(..)", 1, 1, 0, "i", 2), 5),
    ("regexp_substr", ("ABCDEF", "c(.)(..)", 1, 1, "i", 2), "EF"),
    ("substring", ("Thomas", "...$"), "mas"), ("substring", ("foobar", "o(.)b"), "o"),
    ("substring", ("Thomas", '%#"o_a#"_', "#"), "oma"),
    ("encode", (b"\x00a\\", "escape"), "\\000a\\\\"), ("encode", (b"abc", "base64"), "YWJj"),
    ("decode", ("YW Jj", "base64"), b"abc"),
    ("set_bit", (b"\x00", 3, 1), b"\x08"), ("get_bit", (b"\x08", 3), 1), ("bit_count", (b"\x03\xff",), 10),
    ("md5", ("a",), "0cc175b9c0f1b6a831c399e269772661"),
    ("btrim", (b"xax", b"x"), b"a"),
    ("sha256", (b"",), bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
    ("pg_typeof", ((D(1), decimal(5, 2)),), "numeric"), ("pg_typeof", (("a", TEXT),), "text"),
    ("pg_typeof", ((None, array(INT)),), "integer[]"),
])
def test_text(name: str, arguments: tuple[Any, ...], expected: Any) -> None:
    assert call(name, *arguments) == expected


class Till:
    """The settings of a session that has one."""

    def show(self, name: str) -> str | None:
        return {"application_name": "till"}.get(name)

    def change(self, name: str, value: str, is_local: bool) -> str:
        return f"{name}={value} {is_local}"


def test_what_the_session_says() -> None:
    with context.use(context.StatementContext(user="ann", database="shop", search_path=("app", "public"),
                                              configuration=Till())):
        assert call("current_user") == "ann" and call("current_database") == "shop" and call("current_schema") == "app"
        assert call("current_schemas", True) == ["pg_catalog", "app", "public"]
        assert call("current_setting", "Application_Name") == "till"
        assert call("set_config", "A", "b", True) == "a=b True"
        assert call("current_setting", "nonsense", True) is None
        assert state_of("current_setting", "nonsense") == "42704"
        assert call("version").startswith("PostgreSQL 15")
        with pytest.raises(UndefinedObject):
            call("nextval", "s")


def test_all_is_said_of_each_overload() -> None:
    """A summary for the table, and a definition that takes as many arguments as are declared."""
    for overload in registry.all_overloads():
        assert overload.summary, overload.name
        assert overload.optional <= len(overload.arguments)
