"""ALTER TABLE ... ALTER COLUMN ... TYPE: what is converted, what is bound again, and what is in the way."""
from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sql_tools import sql_database

from phantomdb.core.query import errors as e
from phantomdb.frontends.sql.frontend import SqlSession

SETUP = """
CREATE TABLE parent (id integer PRIMARY KEY, name varchar(5) NOT NULL UNIQUE DEFAULT 'x',
                     price numeric(5,2) CHECK (price > 0), number serial, twice integer);
CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES parent, name text REFERENCES parent (name));
CREATE INDEX lowered ON parent (lower(name)) WHERE length(name) > 0;
CREATE VIEW twices AS SELECT twice FROM parent;
INSERT INTO parent VALUES (1, 'a', 1.5, 1, 2), (2, 'b', 2.25, 2, 4), (3, '12', 3, 3, NULL);
INSERT INTO child VALUES (1, 1, 'a'), (2, 2, '12');
"""


@pytest.fixture
def sql() -> Iterator[SqlSession]:
    with sql_database(SETUP) as session:
        yield session


def rows(sql: SqlSession, text: str) -> list[tuple[Any, ...]]:
    return sql.execute(text).fetchall()


def types(sql: SqlSession, *columns: str) -> list[str]:
    return list(rows(sql, f"SELECT {', '.join(f'pg_typeof({column})' for column in columns)} FROM parent LIMIT 1")[0])


def test_a_wider_type_leaves_the_rows_as_they_are(sql: SqlSession) -> None:
    sql.execute("ALTER TABLE parent ALTER COLUMN name TYPE varchar(10), ALTER id SET DATA TYPE bigint, "
                "ALTER price TYPE numeric(8,2)")
    assert types(sql, "id", "name") == ["bigint", "character varying"]
    sql.execute("INSERT INTO parent (id, name, price) VALUES (9000000000, 'long enough', 12345.67)"
                .replace("long enough", "longer"))
    assert rows(sql, "SELECT price FROM parent WHERE id = 9000000000") == [(Decimal("12345.67"),)]
    assert rows(sql, "SELECT id FROM parent WHERE lower(name) = 'b'") == [(2,)]


def test_rows_are_converted(sql: SqlSession) -> None:
    sql.execute("ALTER TABLE parent ALTER price TYPE double precision, ALTER COLUMN name TYPE text COLLATE \"C\"")
    assert rows(sql, "SELECT id, name, price FROM parent ORDER BY id") == [
        (1, "a", 1.5), (2, "b", 2.25), (3, "12", 3.0)]
    assert types(sql, "price", "name") == ["double precision", "text"]
    with pytest.raises(e.CheckViolation):                    # the check is bound to the new type
        sql.execute("INSERT INTO parent (id, name, price) VALUES (5, 'e', -1)")


def test_using(sql: SqlSession) -> None:
    sql.execute("ALTER TABLE parent ALTER price TYPE integer USING (price * 100 + id)::integer")
    assert rows(sql, "SELECT price FROM parent ORDER BY id") == [(151,), (227,), (303,)]


def test_the_key_of_the_table(sql: SqlSession) -> None:
    sql.execute("ALTER TABLE child DROP CONSTRAINT child_parent_fkey")
    sql.execute("ALTER TABLE parent ALTER id TYPE text USING 'k' || id")
    assert rows(sql, "SELECT name FROM parent WHERE id = 'k2'") == [("b",)]
    assert rows(sql, "SELECT id FROM parent WHERE lower(name) = 'b'") == [("k2",)]
    with pytest.raises(e.UniqueViolation):
        sql.execute("INSERT INTO parent (id, name) VALUES ('k1', 'z')")


def test_children_must_still_have_their_parents(sql: SqlSession) -> None:
    with pytest.raises(e.ForeignKeyViolation):
        sql.execute("ALTER TABLE parent ALTER id TYPE bigint USING id + 10")
    with pytest.raises(e.UniqueViolation):
        sql.execute("ALTER TABLE parent ALTER id TYPE bigint USING id / 10")
    assert rows(sql, "SELECT count(*) FROM parent WHERE id < 4") == [(3,)]


@pytest.mark.parametrize(("text", "error"), [
    ("ALTER TABLE parent ALTER nothing TYPE text", e.UndefinedColumn),
    ("ALTER TABLE parent ALTER name TYPE integer", e.DatatypeMismatch),              # no conversion by itself
    ("ALTER TABLE parent ALTER name TYPE varchar(1)", e.StringTooLong),
    ("ALTER TABLE parent ALTER id TYPE text", e.DatatypeMismatch),                   # a foreign key points to it
    ("ALTER TABLE parent ALTER twice TYPE text", e.FeatureNotSupported),             # a view is made of it
    ("ALTER TABLE parent ALTER number TYPE text", e.InvalidDefinition),              # it counts
    ("ALTER TABLE parent ALTER price TYPE text", e.UndefinedFunction),               # price > 0 makes no sense any more
    ("ALTER TABLE parent ALTER number TYPE bigint USING name", e.DatatypeMismatch),
    ("ALTER TABLE parent ALTER price TYPE numeric(2,1)", e.NumericValueOutOfRange),
    ("ALTER TABLE parent ALTER price TYPE serial", e.UndefinedObject),
    ("ALTER TABLE parent ALTER price TYPE", e.SyntaxFailure),
    ("ALTER TABLE parent ALTER price TYPE integer USING (SELECT 1)", e.FeatureNotSupported),
])
def test_what_is_refused(sql: SqlSession, text: str, error: type[Exception]) -> None:
    if "(2,1)" in text:
        sql.execute("INSERT INTO parent (id, price) VALUES (4, 100)")
    before = rows(sql, "SELECT * FROM parent ORDER BY id")
    with pytest.raises(error):
        sql.execute(text)
    assert rows(sql, "SELECT * FROM parent ORDER BY id") == before


def test_a_default_goes_along(sql: SqlSession) -> None:
    sql.execute("ALTER TABLE parent ALTER twice SET DEFAULT 7")
    sql.execute("DROP VIEW twices")
    sql.execute("ALTER TABLE parent ALTER twice TYPE text")
    sql.execute("INSERT INTO parent (id, name) VALUES (4, 'd')")
    assert rows(sql, "SELECT twice FROM parent ORDER BY id") == [("2",), ("4",), (None,), ("7",)]
    with pytest.raises(e.DatatypeMismatch, match="default"):
        sql.execute("ALTER TABLE parent ALTER twice TYPE integer USING twice::integer")


def test_a_column_that_old_rows_do_not_have(sql: SqlSession) -> None:
    sql.execute("ALTER TABLE parent ADD COLUMN late integer DEFAULT 5")
    sql.execute("ALTER TABLE parent ALTER late TYPE text")
    assert rows(sql, "SELECT DISTINCT late FROM parent") == [("5",)]


def test_many_rows_with_an_index(sql: SqlSession) -> None:
    sql.execute("CREATE TABLE many (id integer PRIMARY KEY, a text)")
    sql.execute("INSERT INTO many SELECT i, i::text FROM generate_series(1, 3000) i")
    sql.execute("CREATE INDEX many_a ON many (a)")
    sql.execute("BEGIN")
    sql.execute("ALTER TABLE many ALTER a TYPE integer USING a::integer + 1")
    assert rows(sql, "SELECT id FROM many WHERE a = 501") == [(500,)]
    sql.execute("ROLLBACK")
    assert rows(sql, "SELECT id FROM many WHERE a = '501'") == [(501,)]
    sql.execute("ALTER TABLE many ALTER a TYPE integer USING a::integer + 1")
    assert rows(sql, "SELECT count(*), sum(a), max(a) FROM many") == [(3000, 3000 * 3003 // 2, 3001)]
    assert rows(sql, "SELECT id FROM many WHERE a BETWEEN 10 AND 11 ORDER BY id") == [(9,), (10,)]
