"""Row executor, vector executor and DuckDB alone give the same rows for the same queries.

Hypothesis makes a few tables and queries on them (queries.py). Each query runs in every way there is: as it comes, by
the vector executor, by the row executor where it takes the query, and, where the schema allows, on a plain DuckDB
database with the same rows. All answers must be equal. An error is an answer, too, with one freedom: which rows an
expression is evaluated for is the planner's choice (as in PostgreSQL), so where one way raises an error of the values
(SQLSTATE class 22) the others need not.
"""
from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from queries import Maker, Query
from schemas import Table, literal_of

import phantomdb
from phantomdb.core.errors import PhantomError
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query.cast_json import write_json
from phantomdb.core.query.errors import FeatureNotSupported, QueryError
from phantomdb.core.values import Interval
from phantomdb.frontends.sql.frontend import SqlSession


QUERIES_PER_SCHEMA = 6
EXECUTORS = ("auto", "vector", "row")


class Ways:
    """The databases that are asked, and what came of it."""

    def __init__(self, db: phantomdb.Database) -> None:
        self.sql = SqlSession(db.session())
        self.duck = duckdb.connect()
        self.duck.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
        self.duck.execute("SET TimeZone = 'UTC'")
        self.duck.execute("SET threads = 1")
        self.counts: Counter[str] = Counter()

    def close(self) -> None:
        self.duck.close()
        self.sql.session.close()

    def make(self, tables: Sequence[Table], is_portable: bool) -> None:
        for table in tables:
            # jsonb goes by its text: a parameter that is a number or a text is no document
            marks = ", ".join("?::jsonb" if type_.family == "json" else "?" for _, type_ in table.columns)
            rows = [[write_json(value) if type_.family == "json" and value is not None else value
                     for value, (_, type_) in zip(row, table.columns, strict=True)] for row in table.rows]
            for statement in table.definition(is_ours=True):
                self.sql.execute(statement)
            if rows:
                self.sql.execute_many(f"INSERT INTO {table.name} VALUES ({marks})", rows)
            if not is_portable:
                continue
            for statement in table.definition(is_ours=False):
                self.duck.execute(statement)
            for row in table.rows:
                values = ", ".join(literal_of(type_, value).duck
                                   for value, (_, type_) in zip(row, table.columns, strict=True))
                self.duck.execute(f"INSERT INTO {table.name} VALUES ({values})")

    def drop(self, tables: Sequence[Table]) -> None:
        self.sql.execute("SET phantomdb.executor = 'auto'")
        for table in tables:
            self.sql.execute(f"DROP TABLE IF EXISTS {table.name}")
            self.duck.execute(f"DROP TABLE IF EXISTS {table.name}")

    def answer(self, executor: str, text: str) -> Any:
        """Rows, or the error; None: the row executor leaves it to the other."""
        self.sql.execute(f"SET phantomdb.executor = '{executor}'")
        try:
            return [tuple(map(plain, row)) for row in self.sql.execute(text).fetchall()]
        except FeatureNotSupported as error:
            if executor == "row":
                return None
            return error
        except PhantomError as error:
            return error

    def oracle(self, text: str) -> Any:
        try:
            return [tuple(map(plain, row)) for row in self.duck.execute(text).fetchall()]
        except duckdb.Error as error:
            return error

    def compare(self, query: Query, is_portable: bool) -> None:
        note(query.sql.ours)
        answers = {executor: self.answer(executor, query.sql.ours) for executor in EXECUTORS}
        if is_portable:
            answers["DuckDB"] = self.oracle(query.sql.duck)
        self.counts["queries"] += 1
        self.counts.update(query.features)
        if answers["row"] is None:
            del answers["row"]
        else:
            self.counts["row"] += 1
            self.counts.update(f"row: {feature}" for feature in query.features)
        rows = {way: answer for way, answer in answers.items() if isinstance(answer, list)}
        for way, answer in answers.items():
            if isinstance(answer, PhantomError):
                assert isinstance(answer, QueryError) and answer.sqlstate.startswith("22"), f"{way}: {answer!r}"
            elif not isinstance(answer, list) and "auto" in rows:
                # DuckDB alone has errors where PostgreSQL has none: counted, and few
                self.counts["refused by DuckDB"] += 1
        self.counts["rows" if rows else "errors"] += 1
        if not rows:
            return
        first, expected = next(iter(rows.items()))
        for way, found in rows.items():
            if query.is_ordered:
                assert same_rows(found, expected), f"{way}: {found}\n{first}: {expected}"
            else:
                assert same_rows(ordered(found), ordered(expected)), f"{way}: {found}\n{first}: {expected}"


def plain(value: Any) -> Any:
    """A value such that equal ones of both databases are equal in Python."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    if isinstance(value, int | Decimal):
        return "NaN" if isinstance(value, Decimal) and value.is_nan() else value
    if isinstance(value, Interval):
        return datetime.timedelta(days=30 * value.months + value.days, microseconds=value.microseconds)
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.UTC)
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return value


def ordered(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: [(value is not None, "NaN" if value == "NaN" else _shown(value))
                                         for value in row])


def _shown(value: Any) -> str:
    """The same text for equal values."""
    if isinstance(value, int | float | Decimal):
        return f"{Decimal(value).normalize():f}" if math.isfinite(value) else repr(float(value))
    return repr(value)


def same_rows(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    return len(one) == len(other) and all(_same_row(a, b) for a, b in zip(one, other, strict=True))


def _same_row(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(a == b and isinstance(a, bool) is isinstance(b, bool)
                                          for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def ways() -> Iterator[Ways]:
    with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none", retention_s=0) as db:
        made = Ways(db)
        yield made
        made.close()


def check(ways: Ways, data: st.DataObject, is_portable: bool) -> None:
    maker = Maker(data.draw, is_portable)
    tables = maker.schema()
    try:
        ways.make(tables, is_portable)
        for table in tables:
            note("; ".join(table.definition(is_ours=True)) + f"  {table.rows}")
        for _ in range(QUERIES_PER_SCHEMA):
            ways.compare(maker.query(tables), is_portable)
    finally:
        ways.drop(tables)


def require_a_good_part(counts: Counter[str]) -> None:
    """That the comparison is one: enough queries run by the row executor, few that end in errors."""
    assert counts["row"] > counts["queries"] / 5, counts
    assert counts["rows"] > counts["queries"] * 0.8, counts
    assert counts["refused by DuckDB"] < counts["queries"] * 0.05, counts


@pytest.mark.parametrize("is_portable", [True, False], ids=["beside-duckdb", "own-types"])
def test_executors_agree(ways: Ways, is_portable: bool) -> None:
    ways.counts.clear()

    @settings(max_examples=15)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check(ways, data, is_portable)

    run()
    require_a_good_part(ways.counts)


@pytest.mark.long
@pytest.mark.parametrize("is_portable", [True, False], ids=["beside-duckdb", "own-types"])
def test_long_executors_agree(ways: Ways, is_portable: bool) -> None:
    ways.counts.clear()

    @settings(max_examples=420)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check(ways, data, is_portable)

    run()
    require_a_good_part(ways.counts)
