"""Bad input: statements cut at each token, damaged, nested too deep, too large; parameters that are none.

Always an error with a code of its own or, where the text still is a statement, a result; and the session works
afterwards. A run of 100,000 damaged statements is in tests/long/test_fuzz.py.
"""
from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from statements import STATEMENTS, Target, damaged, fuzz, tokens_of

from phantomdb.core.errors import LimitExceeded, PhantomError
from phantomdb.core.query.errors import (
    CharacterNotInRepertoire,
    FeatureNotSupported,
    ProgramLimitExceeded,
    StatementTooComplex,
    SyntaxFailure,
    UndefinedParameter,
)

FUZZED = 500
CUTS_SKIPPED = 5                     # in the fast tier one cut of so many is made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    target = Target()
    yield target
    target.close()


@pytest.fixture
def target(shared: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.chdir(tmp_path)              # COPY writes files
    shared.reset()
    shared.outcomes.clear()
    return shared


def test_the_statements_are_valid(target: Target) -> None:
    """What is damaged below was whole before; a few follow from others (SAVEPOINT without BEGIN) and are refused."""
    refused = [text for text in STATEMENTS if target.try_out(text) is not None]
    assert len(STATEMENTS) >= 130 and len(refused) <= 8, refused


def cuts(texts: list[str]) -> list[str]:
    return ["".join(tokens[:end]) for text in texts if (tokens := tokens_of(text)) for end in range(len(tokens))]


def test_cut_at_tokens(target: Target) -> None:
    for text in cuts(STATEMENTS)[::CUTS_SKIPPED]:
        target.try_out(text)
    assert target.outcomes["refused"] > target.outcomes["done"] > 0


@pytest.mark.long
def test_long_cut_at_every_token(target: Target) -> None:
    for number, text in enumerate(cuts(STATEMENTS)):
        target.try_out(text)
        if number % 200 == 199:
            target.reset()


def test_damaged_statements(target: Target) -> None:
    fuzz(target, 1, FUZZED)
    assert target.outcomes["refused"] > FUZZED / 3
    assert target.outcomes["done"] > FUZZED / 30


def test_damage_is_the_same_for_the_same_seed() -> None:
    import random
    one, other = ([damaged(random.Random(seed)) for seed in range(20)] for _ in range(2))
    assert one == other and len(set(one)) > 15


# ---- deep

def wrapped(start: str, middle: str, end: str, count: int) -> str:
    return start * count + middle + end * count


DEEP = 10_000
NESTED = {
    "parentheses": "SELECT " + wrapped("(", "1", ")", DEEP),
    "parentheses that stay open": "SELECT " + "(" * DEEP,
    "nothing but parentheses": "(" * DEEP,
    "a query in parentheses": wrapped("(", "SELECT 1", ")", DEEP),
    "signs": "SELECT " + "- " * DEEP + "1",
    "NOT": "SELECT " + "NOT " * DEEP + "true",
    "CASE": "SELECT " + wrapped("CASE WHEN true THEN ", "1", " END", DEEP),
    "calls": "SELECT " + wrapped("abs(", "1", ")", DEEP),
    "arrays": "SELECT " + wrapped("array[", "1", "]", DEEP),
    "derived tables": "SELECT * FROM " + wrapped("(SELECT * FROM ", "item", ") x", 500),
    "scalar subqueries": "SELECT " + wrapped("(SELECT ", "1", ")", 500),
    "common tables": wrapped("WITH a AS (", "SELECT 1", ") SELECT * FROM a", 500),
    "a check": f"CREATE TABLE q (a integer CHECK ({wrapped('(', 'a > 1', ')', DEEP)}))",
    "comments": "SELECT 1 " + "/*" * DEEP,
    "joins": "SELECT 1 FROM item " + "JOIN item " * 50,
    "left joins": "SELECT 1 FROM item " + "LEFT JOIN item " * 50 + "ON true " * 50,
    "JSON": f"SELECT '{'[' * 100_000}{']' * 100_000}'::jsonb",
    "an array's text": f"SELECT '{'{' * 100_000}{'}' * 100_000}'::integer[]",
    "a pattern": f"SELECT 'a' ~ '{wrapped('(', 'a', ')', 5000)}'",
}


@pytest.mark.parametrize("name", NESTED)
def test_deep_nesting_is_refused(shared: Target, name: str) -> None:
    assert shared.try_out(NESTED[name]) is not None


CHAINS = {
    "sum": ("SELECT " + " + ".join(["1"] * 5000), [(5000,)]),
    "texts": ("SELECT length(" + " || ".join(["'a'"] * 5000) + ")", [(5000,)]),
    "casts": ("SELECT 1" + "::integer" * 5000, [(1,)]),
    "subscripts": ("SELECT a" + "[1]" * 2000 + " FROM (SELECT array[1] AS a) x", None),
    "arrows": ("SELECT '{}'::jsonb" + " -> 'a'" * 2000, [(None,)]),
    "names": ("SELECT " + ".".join(["a"] * 5000), None),
    "AND": ("SELECT id FROM item WHERE " + " AND ".join(f"id <> {n}" for n in range(2, 2000)), [(1,)]),
    "OR": ("SELECT id FROM item WHERE " + " OR ".join(f"id = {n}" for n in range(3, 2000)), [(3,)]),
    "IN": ("SELECT id FROM item WHERE id IN (" + ", ".join(map(str, range(2, 3000))) + ") ORDER BY 1", [(2,), (3,)]),
    "UNION": (" UNION ALL ".join(["SELECT 1"] * 1000), None),
    "joins": ("SELECT count(*) FROM item i0 " + " ".join(f"JOIN item i{n} USING (id)" for n in range(1, 250)), None),
    "statements": ("SELECT 1;" * 500, [(1,)]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_long_chains_are_right_or_refused(shared: Target, name: str) -> None:
    text, expected = CHAINS[name]
    if shared.try_out(text) is None and expected is not None:
        assert shared.sql.execute(text).fetchall() == expected


# ---- large

LARGE = {
    "a number": ("SELECT " + "9" * 2_000_000, None),
    "an exponent": ("SELECT 1e1000000000::numeric", None),
    "a power": ("SELECT 10::numeric ^ 100000000", None),
    "a name": ("SELECT " + "x" * 2_000_000, None),
    "a table of 10,000 columns": (f"CREATE TABLE t ({', '.join(f'c{n} integer' for n in range(10_000))})",
                                  ProgramLimitExceeded),
    "a repeated text": ("SELECT length(repeat('x', 2000000000))", ProgramLimitExceeded),
    "a padded text": ("SELECT length(lpad('x', 2000000000, 'y'))", ProgramLimitExceeded),
    "a factorial": ("SELECT factorial(1000000)", None),
    "parameters": ("SELECT " + ", ".join(["?"] * 66_000), None),
    "a cube": (f"SELECT count(*) FROM item GROUP BY CUBE ({', '.join(f'id + {n}' for n in range(30))})", None),
    "no end": ("WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r", None),
    "no end of a series": ("SELECT count(*) FROM generate_series(1, 1000000000000) x", None),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_too_large_is_refused(shared: Target, name: str) -> None:
    text, kind = LARGE[name]
    assert isinstance(shared.try_out(text), kind or PhantomError)


def test_a_large_text_is_none_too_large(shared: Target) -> None:
    size = 3_000_000
    assert shared.sql.execute(f"SELECT length('{'x' * size}')").scalar() == size
    assert shared.sql.execute("SELECT length(?)", ["\u00e9" * size]).scalar() == size
    row, = shared.sql.execute("SELECT " + ", ".join(f"{n} AS c{n}" for n in range(1600))).fetchall()
    assert row == tuple(range(1600))


def test_like_does_not_try_all_ways(shared: Target) -> None:
    text = f"SELECT repeat('a', 5000) LIKE '{'%a' * 50}b'"
    assert shared.sql.execute(text).scalar() is False


# ---- characters

@pytest.mark.parametrize("text", [
    "SELECT '\0'", "SELECT '\x01'", "SELECT 1 \0", "SELECT '\ud800'", 'SELECT 1 AS "\udfff"', "SELECT 'abc",
    'SELECT "abc', "SELECT $$abc", "SELECT $x$abc$y$", "SELECT 1 /* no end", "SELECT \u2019a\u2019", "SELECT @",
    "SELECT 1 FROM \U0001f600",
    "SELECT chr(0)", "SELECT chr(55296)", r"SELECT convert_from('\xff'::bytea, 'UTF8')",
])
def test_characters_that_cannot_be(shared: Target, text: str) -> None:
    assert shared.try_out(text) is not None


@pytest.mark.parametrize("frame", [
    "RANGE 1 PRECEDING", "ORDER BY name RANGE 1 PRECEDING", "ORDER BY id, grp RANGE 1 PRECEDING",
    "ORDER BY id RANGE 'x' PRECEDING", "ROWS -1 PRECEDING", "ROWS BETWEEN CURRENT ROW AND 1 PRECEDING",
    "ROWS BETWEEN UNBOUNDED FOLLOWING AND CURRENT ROW", "ROWS BETWEEN 1 AND CURRENT ROW",
    "ROWS BETWEEN (SELECT -1) PRECEDING AND CURRENT ROW", "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED PRECEDING"])
def test_frames_that_cannot_be(shared: Target, frame: str) -> None:
    assert shared.try_out(f"SELECT sum(id) OVER ({frame}) FROM item") is not None


@pytest.mark.parametrize("text", ["", " \n\t", ";;;", "-- nothing", "/* nothing */"])
def test_no_statement_at_all(shared: Target, text: str) -> None:
    assert shared.try_out(text) is None


# ---- parameters

class Odd:
    pass


def nested(container: Any, depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = container(value)
    return value


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
INSERT, INTO_JSON = "INSERT INTO item (id, name) VALUES (50, ?)", "INSERT INTO sale (note) VALUES (?)"
KEY = "SELECT * FROM item WHERE id = ?"
PARAMETERS: list[tuple[str, Any, type[PhantomError] | None]] = [
    ("SELECT ?", [Odd()], FeatureNotSupported), ("SELECT ?", [{1}], FeatureNotSupported),
    ("SELECT ?", [1j], FeatureNotSupported), ("SELECT ?", [[Odd()]], FeatureNotSupported),
    ("SELECT ?", [ENDLESS], StatementTooComplex),
    ("SELECT ?", [nested(lambda item: [item], DEEP)], StatementTooComplex),
    (INTO_JSON, [nested(lambda item: {"a": item}, DEEP)], LimitExceeded), (INTO_JSON, [{1: 2}], None),
    (INTO_JSON, [{"a": Odd()}], None), (INTO_JSON, [{"a": "\ud800"}], None), (INTO_JSON, [Odd()], None),
    (INSERT, ["\ud800"], CharacterNotInRepertoire), (INSERT, [Odd()], FeatureNotSupported),
    ("INSERT INTO item (id) VALUES (?)", [10**30], None), ("INSERT INTO item (id) VALUES (?)", ["x"], None),
    ("INSERT INTO item (id) VALUES (?)", [b"1"], None), ("INSERT INTO item (id) VALUES (?)", [10**5000], None),
    ("INSERT INTO item (id) VALUES (?)", [Decimal("1e1000000")], None),
    ("INSERT INTO item (id) VALUES (?)", [float("nan")], None),
    ("INSERT INTO sale (amount) VALUES (?)", [Decimal("Infinity")], None),
    ("SELECT ?", [Decimal("NaN")], FeatureNotSupported), ("INSERT INTO sale (day) VALUES (?)", [5], None),
    ("INSERT INTO sale (amount) VALUES (?)", [10**20], None),
    ("INSERT INTO sale (day) VALUES (?)", ["2024-02-30"], None),
    (KEY, ["x"], None), (KEY, [[1]], None), (KEY, [{}], None), (KEY, [True], None),
    ("SELECT ? + ?", [datetime.date.max, 5], None), ("SELECT * FROM item LIMIT ?", [-1], None),
    ("SELECT * FROM item LIMIT ?", ["a"], None), ("SELECT * FROM item LIMIT ?", [10**30], None),
    ("SELECT ?", [], UndefinedParameter), ("SELECT ?", [1, 2], UndefinedParameter),
    ("SELECT 1", [1], UndefinedParameter), (KEY, [], UndefinedParameter), (KEY, [1, 2], UndefinedParameter),
    (KEY, {"a": 1}, UndefinedParameter), ("SELECT :a", {}, UndefinedParameter),
    ("SELECT :a", {"b": 1}, UndefinedParameter), ("SELECT :a", [1], UndefinedParameter),
    ("SELECT $2", [1], UndefinedParameter), ("SELECT $0", [1], SyntaxFailure),
    ("SELECT $99999999999", [1], SyntaxFailure),
]


@pytest.mark.parametrize(("text", "parameters", "kind"), PARAMETERS, ids=range(len(PARAMETERS)))
def test_parameters_that_do_not_fit(shared: Target, text: str, parameters: Any, kind: type[PhantomError] | None
                                    ) -> None:
    assert isinstance(shared.try_out(text, parameters), kind or PhantomError)


@pytest.mark.parametrize(("text", "parameters"), [
    (b"SELECT 1", ()), (None, ()), (5, ()), ("SELECT ?", None), ("SELECT ?", 5), ("SELECT ?", "a"), ("SELECT ?", {1}),
])
def test_what_is_no_statement_and_no_parameters_is_a_type_error(shared: Target, text: Any, parameters: Any) -> None:
    with pytest.raises(TypeError, match=r"a statement is a str|parameters are a sequence or a mapping"):
        shared.sql.execute(text, parameters)
    shared.require_usable("")
