"""INSERT, UPDATE, DELETE and MERGE of SQL, alone and in transactions."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sql_tools import sql_database

from phantomdb.core.errors import RetryableConflict
from phantomdb.core.query.errors import (
    InvalidTransactionState, QueryError, TransactionAborted, UniqueViolation,
)
from phantomdb.frontends.sql.frontend import SqlSession


@pytest.fixture
def sql() -> Iterator[SqlSession]:
    with sql_database() as session:
        yield session


def rows(sql: SqlSession, columns: str = "*") -> list[tuple[Any, ...]]:
    return sql.execute(f"SELECT {columns} FROM item ORDER BY id").fetchall()


def test_insert_values_and_defaults(sql: SqlSession) -> None:
    sql.execute("CREATE TABLE d (id serial PRIMARY KEY, a integer DEFAULT 7, b text DEFAULT 'x', "
                "c integer GENERATED ALWAYS AS (a * 2) STORED)")
    result = sql.execute("INSERT INTO d (a, b) VALUES (1, 'p'), (DEFAULT, DEFAULT) RETURNING *")
    assert result.fetchall() == [(1, 1, "p", 2), (2, 7, "x", 14)]
    assert sql.execute("INSERT INTO d DEFAULT VALUES RETURNING id, c").fetchall() == [(3, 14)]
    with pytest.raises(QueryError) as caught:
        sql.execute("INSERT INTO d (c) VALUES (1)")
    assert caught.value.sqlstate == "428C9"


def test_insert_from_a_query_sees_the_table_as_it_was(sql: SqlSession) -> None:
    assert sql.execute("INSERT INTO item (id, name) SELECT id + 10, name || '!' FROM item").row_count == 3
    assert rows(sql, "id, name")[3:] == [(11, "one!"), (12, "two!"), (13, "three!")]


def test_on_conflict(sql: SqlSession) -> None:
    result = sql.execute("INSERT INTO item VALUES (1, 5, 'new', 0), (9, 9, 'nine', 9) ON CONFLICT DO NOTHING "
                         "RETURNING id")
    assert result.fetchall() == [(9,)]
    result = sql.execute("INSERT INTO item VALUES (1, 5, 'new', 0) ON CONFLICT (id) DO UPDATE "
                         "SET name = excluded.name || item.name WHERE item.id < 5 RETURNING *")
    assert result.fetchall() == [(1, 10, "newone", 1.5)]


def test_a_failed_statement_leaves_nothing(sql: SqlSession) -> None:
    with pytest.raises(UniqueViolation):
        sql.execute("INSERT INTO item (id) VALUES (4), (5), (1)")
    assert rows(sql, "id") == [(1,), (2,), (3,)]


def test_update(sql: SqlSession) -> None:
    assert sql.execute("UPDATE item SET price = price * 2, name = DEFAULT WHERE id < 3 RETURNING id, name, price"
                       ).fetchall() == [(1, None, 3.0), (2, None, 7.0)]
    assert sql.execute("UPDATE item SET price = s.total FROM (SELECT sum(id) AS total FROM item) s WHERE item.id = 3 "
                       "RETURNING item.price, s.total").fetchall() == [(6.0, 6)]
    assert sql.execute("UPDATE item SET id = id + 1").row_count == 3       # no clash on the way
    assert rows(sql, "id") == [(2,), (3,), (4,)]
    assert sql.execute("UPDATE item SET grp = (SELECT count(*) FROM item) WHERE id = 2 RETURNING grp").scalar() == 3


def test_delete(sql: SqlSession) -> None:
    assert sql.execute("DELETE FROM item USING (VALUES (1), (9)) v (x) WHERE item.id = v.x RETURNING id, v.x"
                       ).fetchall() == [(1, 1)]
    assert sql.execute("DELETE FROM item").row_count == 2
    assert rows(sql) == []


def test_merge(sql: SqlSession) -> None:
    result = sql.execute(
        "MERGE INTO item t USING (VALUES (1, 'm'), (2, 'gone'), (5, 'n')) s (k, v) ON t.id = s.k "
        "WHEN MATCHED AND s.v = 'gone' THEN DELETE WHEN MATCHED THEN UPDATE SET name = s.v "
        "WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.k, s.v)")
    assert result.row_count == 3
    assert rows(sql, "id, name") == [(1, "m"), (3, "three"), (5, "n")]


def test_own_writes_are_seen_and_rolled_back(sql: SqlSession) -> None:
    session = sql.session
    session.begin()
    sql.execute("INSERT INTO item (id, grp) VALUES (4, 40)")
    sql.execute("UPDATE item SET grp = 11 WHERE id = 1")
    assert sql.execute("SELECT grp, count(*) FROM item GROUP BY grp ORDER BY 1").fetchall() == [
        (10, 1), (11, 1), (20, 1), (40, 1)]
    session.rollback()
    assert rows(sql, "id, grp") == [(1, 10), (2, 10), (3, 20)]


def test_a_failed_transaction_refuses_until_rollback(sql: SqlSession) -> None:
    session = sql.session
    session.begin()
    sql.execute("UPDATE item SET grp = 0")
    session.savepoint("a")
    with pytest.raises(UniqueViolation):
        sql.execute("INSERT INTO item (id) VALUES (1)")
    with pytest.raises(TransactionAborted):
        sql.execute("SELECT 1")
    session.rollback_to("a")
    assert sql.execute("SELECT sum(grp) FROM item").scalar() == 0
    session.commit()
    assert rows(sql, "grp") == [(0,), (0,), (0,)]
    with pytest.raises(InvalidTransactionState):
        session.commit()


def test_a_statement_that_cannot_be_bound_fails_the_transaction(sql: SqlSession) -> None:
    sql.session.begin()
    with pytest.raises(QueryError):
        sql.execute("SELECT nosuch FROM item")
    with pytest.raises(TransactionAborted):
        sql.execute("SELECT nosuch FROM item")
    sql.session.rollback()
    assert len(rows(sql)) == 3


def test_definitions_are_part_of_the_transaction(sql: SqlSession) -> None:
    session = sql.session
    session.begin()
    sql.execute("CREATE TABLE made (a integer)")
    sql.execute("INSERT INTO made VALUES (1)")
    session.rollback()
    with pytest.raises(QueryError) as caught:
        sql.execute("SELECT * FROM made")
    assert caught.value.sqlstate == "42P01"


def test_an_index_made_over_rows_is_used(sql: SqlSession) -> None:
    sql.execute("INSERT INTO item (id, grp) SELECT i, i FROM generate_series(100, 300) AS g(i)")
    sql.execute("CREATE INDEX item_grp ON item (grp)")
    shown = "\n".join(row[0] for row in sql.execute("EXPLAIN SELECT id FROM item WHERE grp = 10").fetchall())
    assert "item_grp" in shown
    assert sorted(sql.execute("SELECT id FROM item WHERE grp = 10").fetchall()) == [(1,), (2,)]


def test_as_of_system_time(sql: SqlSession) -> None:
    before = sql.session._database.timestamp
    sql.execute("UPDATE item SET name = 'changed'")
    assert sql.execute(f"SELECT name FROM item AS OF SYSTEM TIME '{before}' WHERE id = 1").scalar() == "one"
    assert sql.execute("SELECT name FROM item WHERE id = 1").scalar() == "changed"


def test_for_update_is_validated_at_snapshot_isolation() -> None:
    with sql_database() as sql:
        other = SqlSession(sql.session._database.session())
        sql.session.begin("snapshot")
        assert sql.execute("SELECT grp FROM item WHERE id = 1 FOR UPDATE").scalar() == 10
        sql.execute("UPDATE item SET grp = 0 WHERE id = 2")
        other.execute("UPDATE item SET grp = 99 WHERE id = 1")
        with pytest.raises(RetryableConflict):
            sql.session.commit()


def test_create_table_as_keeps_declared_digits_only(sql: SqlSession) -> None:
    sql.execute("CREATE TABLE a (x numeric(4,2))")
    sql.execute("INSERT INTO a VALUES (1.25)")
    sql.execute("CREATE TABLE b AS SELECT x, x * 2.5 AS y FROM a")
    sql.execute("INSERT INTO b VALUES (99.99, 123456.7)")
    with pytest.raises(QueryError) as caught:
        sql.execute("INSERT INTO b VALUES (100, 0)")
    assert caught.value.sqlstate == "22003"
