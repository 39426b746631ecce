"""Our functions inside of DuckDB: names, contexts of statements, and errors that come out as they were raised."""
from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from phantomdb.core.errors import PhantomError
from phantomdb.core.query import context, vector_functions
from phantomdb.core.query.context import StatementContext
from phantomdb.core.query.errors import (
    CardinalityViolation,
    DivisionByZero,
    FeatureNotSupported,
    InvalidTextRepresentation,
    NumericTooWide,
    NumericValueOutOfRange,
    StringTooLong,
)
from phantomdb.core.query.functions import registry
from phantomdb.core.query.functions.forms import once
from phantomdb.core.query.vector_functions import StatementFunctions, VectorFunctions, translate
from phantomdb.core.values import BOOL, DOUBLE, INT, NUMERIC, SMALLINT, TEXT, TIMESTAMPTZ, Type, decimal, varchar

NOON = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def connection() -> Any:
    return duckdb.connect(":memory:")


@pytest.fixture(scope="module")
def functions(connection: Any) -> VectorFunctions:
    return VectorFunctions(connection)


@pytest.fixture
def statement(functions: VectorFunctions) -> Iterator[StatementFunctions]:
    with functions.statement(StatementContext(now=NOON)) as made:
        yield made


def run(connection: Any, sql: str) -> Any:
    try:
        return connection.sql(f"SELECT {sql}").fetchall()[0][0]
    except duckdb.Error as error:
        raise translate(error) from None


def call(statement: StatementFunctions, name: str, types: Sequence[Type], arguments: Sequence[str]) -> str:
    return statement.call(registry.resolve(name, types), arguments)


def test_own_forms_are_plain_text(statement: StatementFunctions) -> None:
    assert call(statement, "+", (INT, INT), ["c1", "c2"]) == "(c1 + c2)"
    assert call(statement, "like", (TEXT, TEXT), ["c1", "'a%'"]) == "(c1 LIKE 'a%')"
    assert call(statement, "~", (TEXT, TEXT), ["c1", "'^abc'"]) == "starts_with(c1, 'abc')"
    assert call(statement, "*", (decimal(5, 2), decimal(5, 2)), ["c1", "c2"]) == "(c1 * c2)"
    assert statement.cast("c1", INT, decimal(10), False) == "CAST(c1 AS DECIMAL(10,0))"


def test_names_say_what_they_are(statement: StatementFunctions) -> None:
    assert call(statement, "initcap", (TEXT,), ["c1"]) == '"initcap(text) -> text"(c1)'
    assert statement.cast("c1", TEXT, BOOL, True) == '"cast text to boolean"(c1)'
    assert statement.cast("c1", TEXT, varchar(3), False) == '"assign text to character varying(3)"(c1)'


def test_errors_are_ours(connection: Any, statement: StatementFunctions) -> None:
    with pytest.raises(InvalidTextRepresentation, match='^invalid input syntax for type integer: "1.5"$'):
        run(connection, statement.cast("'1.5'", TEXT, INT, True))
    with pytest.raises(StringTooLong):
        run(connection, statement.cast("'abcd'", TEXT, varchar(3), False))
    for types, arguments, class_ in (((INT, INT), ["1::INTEGER", "0::INTEGER"], DivisionByZero),
                                     ((DOUBLE, DOUBLE), ["1e0", "0e0"], DivisionByZero),
                                     ((NUMERIC, NUMERIC), ["1.5", "0.0"], DivisionByZero)):
        with pytest.raises(class_):
            run(connection, call(statement, "/", types, arguments))
    for sql, message in (("2147483647::INTEGER + 1::INTEGER", "integer"), ("(70000::INTEGER)::SMALLINT", "smallint"),
                         ("32767::SMALLINT * 2::SMALLINT", "smallint"), ("9223372036854775807 + 1::BIGINT", "bigint"),
                         ("1e30::DOUBLE::BIGINT", "bigint"), ("99999.5::DECIMAL(10,1)::SMALLINT", "smallint")):
        with pytest.raises(NumericValueOutOfRange, match=f"^{message} out of range$"):
            run(connection, sql)
    with pytest.raises(CardinalityViolation):
        run(connection, "(SELECT * FROM range(2))")
    with pytest.raises(DivisionByZero, match="^by nothing$"):
        run(connection, vector_functions.raise_sql("division_by_zero", "by nothing"))
    with pytest.raises(PhantomError, match="the vector executor failed"):
        run(connection, "no_such_column")


def test_what_38_digits_do_not_hold_is_an_error(connection: Any, statement: StatementFunctions) -> None:
    for name, arguments in (("*", ["12345678901234567890.5", "12345678901234567890.5"]), ("exp", ["100.0"])):
        with pytest.raises(NumericValueOutOfRange):
            run(connection, call(statement, name, [NUMERIC] * len(arguments), arguments))
    # after the point there are 16 digits; the row executor has more
    for value in ("1e-200::DOUBLE", "2.5e-16::DOUBLE"):
        with pytest.raises(NumericTooWide):
            run(connection, statement.cast(value, DOUBLE, NUMERIC, True))
    assert run(connection, statement.cast("2e-16::DOUBLE", DOUBLE, NUMERIC, True)) == Decimal("2e-16")


def test_each_statement_has_its_context(connection: Any, functions: VectorFunctions) -> None:
    found: dict[str, Any] = {}
    start = threading.Barrier(2)

    def ask(zone: str) -> None:
        cursor = connection.cursor()
        with functions.statement(StatementContext(now=NOON, timezone=zone, user=zone)) as statement:
            text = statement.cast("c", TIMESTAMPTZ, TEXT, True)
            user = call(statement, "current_user", (), [])
            start.wait()
            sql = f"SELECT {text}, {user} FROM (SELECT TIMESTAMPTZ '2024-07-01 12:00:00+00' AS c FROM range(5000))"
            found[zone] = set(cursor.sql(sql).fetchall())

    threads = [threading.Thread(target=ask, args=(zone,)) for zone in ("Asia/Tokyo", "America/New_York")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"Asia/Tokyo": {("2024-07-01 21:00:00+09", "Asia/Tokyo")},
                     "America/New_York": {("2024-07-01 08:00:00-04", "America/New_York")}}
    assert functions.contexts == {}


def test_volatile_functions_run_for_each_row(connection: Any, statement: StatementFunctions) -> None:
    class Counter(context.NoSequences):
        value = 0

        def next_value(self, name: str) -> int:
            self.value += 1
            return self.value

    functions = VectorFunctions(duckdb.connect(":memory:"))
    with functions.statement(StatementContext(sequences=Counter())) as own:
        sql = call(own, "nextval", (TEXT,), ["'s'"])
        rows = functions._connection.sql(f"SELECT {sql} FROM range(4)").fetchall()
    assert sorted(rows) == [(1,), (2,), (3,), (4,)]
    functions._connection.close()


def test_an_argument_is_computed_once(connection: Any, statement: StatementFunctions) -> None:
    assert once(["c1"], lambda names: f"{names[0]} + {names[0]}") == "c1 + c1"
    assert "random()" in once(["random()"], lambda names: f"{names[0]} + {names[0]}")
    assert once(["random()"], lambda names: f"{names[0]} + {names[0]}").count("random()") == 1
    deep = "c"
    for _ in range(12):
        deep = call(statement, "*", (DOUBLE, DOUBLE), [deep, "c"])
    assert len(deep) < 5000
    assert run(connection, f"{deep} FROM (SELECT 2e0 AS c)") == 2.0**13


def test_a_user_text_is_no_mark(connection: Any, statement: StatementFunctions) -> None:
    text = "'{python} {0} {tail}'"
    assert run(connection, call(statement, "upper", (TEXT,), [text])) == "{PYTHON} {0} {TAIL}"
    assert run(connection, call(statement, "~", (TEXT, TEXT), [text, "'[{]tail[}]'"])) is True


def test_not_for_duckdb(statement: StatementFunctions) -> None:
    with pytest.raises(FeatureNotSupported):
        statement.cast("c1", TEXT, decimal(50, 40), True)


def test_null_through_a_definition(connection: Any, statement: StatementFunctions) -> None:
    assert run(connection, call(statement, "~", (TEXT, TEXT), ["NULL", "'a'"])) is None
    assert run(connection, call(statement, "concat", (TEXT, SMALLINT), ["NULL", "1::SMALLINT"])) == "1"
