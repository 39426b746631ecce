"""SELECT ... FOR UPDATE and LOCK TABLE: who waits for whom, and what the commit refuses."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sql_tools import sql_database

from phantomdb.core.errors import RetryableConflict
from phantomdb.core.query import errors as e
from phantomdb.core.transactions import Isolation
from phantomdb.frontends.sql.frontend import SqlSession

SETUP = """
CREATE TABLE job (id integer PRIMARY KEY, state text);
CREATE TABLE part (id integer PRIMARY KEY, job integer, weight integer);
CREATE VIEW open_job AS SELECT * FROM job WHERE state = 'open';
INSERT INTO job VALUES (1, 'open'), (2, 'open'), (3, 'done'), (4, 'open');
INSERT INTO part VALUES (10, 1, 5), (11, 1, 6), (12, 2, 7);
"""


@pytest.fixture
def sql() -> Iterator[SqlSession]:
    with sql_database(SETUP) as session:
        yield session


@pytest.fixture
def other(sql: SqlSession) -> Iterator[SqlSession]:
    made = another(sql)
    yield made
    made.session.close()


def another(sql: SqlSession) -> SqlSession:
    return SqlSession(sql.session._database.session())


def rows(sql: SqlSession, text: str) -> list[tuple[Any, ...]]:
    return sql.execute(text).fetchall()


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_counters_meet_no_conflict(sql: SqlSession, isolation: Isolation) -> None:
    conflicts: list[BaseException] = []

    def count(times: int) -> None:
        session = another(sql)
        try:
            for _ in range(times):
                session.session.begin(isolation)
                (weight,) = session.execute("SELECT weight FROM part WHERE id = 10 FOR UPDATE").fetchall()[0]
                session.execute("UPDATE part SET weight = $1 WHERE id = 10", [weight + 1])
                session.session.commit()
        except RetryableConflict as error:
            conflicts.append(error)
        finally:
            session.session.close()

    threads = [threading.Thread(target=count, args=(20,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not conflicts
    assert rows(sql, "SELECT weight FROM part WHERE id = 10") == [(85,)]


def test_one_who_waited_sees_what_the_other_wrote(sql: SqlSession, other: SqlSession) -> None:
    sql.execute("BEGIN")
    assert rows(sql, "SELECT state FROM job WHERE id = 1 FOR UPDATE") == [("open",)]
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.extend(
        [other.execute("BEGIN"), *rows(other, "SELECT state FROM job WHERE state <> 'x' AND id = 1 FOR UPDATE")]))
    waiting.start()
    sql.execute("UPDATE job SET state = 'mine' WHERE id = 1")
    sql.execute("COMMIT")
    waiting.join()
    assert found[1:] == [("mine",)]
    other.execute("UPDATE job SET state = 'theirs' WHERE id = 1")
    other.execute("COMMIT")
    assert rows(sql, "SELECT state FROM job WHERE id = 1") == [("theirs",)]


def test_nowait_and_timeouts(sql: SqlSession, other: SqlSession) -> None:
    sql.execute("BEGIN")
    sql.execute("SELECT * FROM job WHERE id = 1 FOR NO KEY UPDATE")
    with pytest.raises(e.LockNotAvailable) as caught:
        other.execute("SELECT * FROM job FOR UPDATE NOWAIT")
    assert caught.value.sqlstate == "55P03"
    assert len(rows(other, "SELECT * FROM job WHERE id > 1 FOR UPDATE NOWAIT")) == 3
    other.execute("SET lock_timeout = '20ms'")
    other.execute("BEGIN")
    with pytest.raises(RetryableConflict, match=r"waited 0.02 s"):
        other.execute("SELECT * FROM job WHERE id = 1 FOR UPDATE")
    other.execute("ROLLBACK")
    sql.execute("ROLLBACK")
    assert len(rows(other, "SELECT * FROM job FOR UPDATE NOWAIT")) == 4


def test_a_queue_by_skip_locked(sql: SqlSession, other: SqlSession) -> None:
    text = "SELECT id FROM job WHERE state = 'open' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
    third = another(sql)
    for session in (sql, other, third):
        session.execute("BEGIN")
    assert [rows(session, text) for session in (sql, other, third)] == [[(1,)], [(2,)], [(4,)]]
    sql.execute("DELETE FROM job WHERE id = 1")
    sql.execute("COMMIT")
    other.execute("ROLLBACK")
    assert rows(sql, text.replace("LIMIT 1", "LIMIT 5 OFFSET 0")) == [(2,)]
    third.session.close()


def test_for_share_locks_nothing_and_is_validated(sql: SqlSession, other: SqlSession) -> None:
    sql.session.begin("snapshot")
    assert rows(sql, "SELECT state FROM job WHERE id = 1 FOR SHARE") == [("open",)]
    assert rows(other, "SELECT state FROM job WHERE id = 1 FOR KEY SHARE NOWAIT") == [("open",)]
    other.execute("UPDATE job SET state = 'x' WHERE id = 1")
    sql.execute("INSERT INTO part VALUES (13, 1, 1)")
    with pytest.raises(RetryableConflict):
        sql.session.commit()


def test_rows_outside_of_the_answer_are_free(sql: SqlSession, other: SqlSession) -> None:
    sql.session.begin("snapshot")
    assert rows(sql, "SELECT id FROM job ORDER BY id DESC LIMIT 1 FOR UPDATE") == [(4,)]
    other.execute("UPDATE job SET state = 'x' WHERE id = 3")
    sql.execute("INSERT INTO part VALUES (13, 1, 1)")
    sql.session.commit()


def test_tables_of_a_join(sql: SqlSession, other: SqlSession) -> None:
    sql.execute("BEGIN")
    text = "SELECT part.id FROM part JOIN job ON job.id = part.job WHERE job.id = 2 FOR UPDATE OF part"
    assert rows(sql, text) == [(12,)]
    assert len(rows(other, "SELECT * FROM job FOR UPDATE NOWAIT")) == 4
    with pytest.raises(e.LockNotAvailable):
        other.execute("SELECT * FROM part p LEFT JOIN job ON false FOR UPDATE NOWAIT")


def test_a_later_statement_that_waited_for_a_change_fails_at_once(sql: SqlSession, other: SqlSession) -> None:
    sql.execute("BEGIN")
    sql.execute("SELECT * FROM part")
    other.execute("UPDATE job SET state = 'x' WHERE id = 1")
    with pytest.raises(RetryableConflict, match="concurrent update"):
        sql.execute("SELECT * FROM job WHERE id = 1 FOR UPDATE")


@pytest.mark.parametrize("text", [
    "SELECT count(*) FROM job FOR UPDATE", "SELECT DISTINCT state FROM job FOR UPDATE",
    "SELECT state FROM job GROUP BY state FOR UPDATE", "SELECT unnest(array[1]) FROM job FOR SHARE",
    "SELECT row_number() OVER () FROM job FOR UPDATE", "SELECT * FROM open_job FOR UPDATE",
    "SELECT * FROM (SELECT * FROM job FOR UPDATE) x", "SELECT * FROM (SELECT * FROM job) x FOR UPDATE",
    "SELECT 1 UNION (SELECT id FROM job FOR UPDATE)", "INSERT INTO part SELECT id, id, 1 FROM job FOR UPDATE",
    "CREATE VIEW w AS SELECT * FROM job FOR UPDATE"])
def test_what_cannot_be_locked(sql: SqlSession, text: str) -> None:
    with pytest.raises(e.FeatureNotSupported):
        sql.execute(text)


def test_of_must_name_a_table_of_from(sql: SqlSession) -> None:
    with pytest.raises(e.WrongObjectType):
        sql.execute("SELECT * FROM job FOR UPDATE OF part")


def test_lock_table(sql: SqlSession, other: SqlSession) -> None:
    with pytest.raises(e.NoActiveTransaction) as caught:
        sql.execute("LOCK TABLE job")
    assert caught.value.sqlstate == "25P01"
    sql.session.begin("snapshot")
    assert sql.execute("LOCK TABLE job, ONLY part IN EXCLUSIVE MODE").tag == "LOCK TABLE"
    other.execute("BEGIN")
    other.execute("LOCK job IN ROW EXCLUSIVE MODE")
    with pytest.raises(e.LockNotAvailable):
        other.execute("LOCK TABLE part IN SHARE MODE NOWAIT")
    other.execute("ROLLBACK")
    sql.execute("INSERT INTO job VALUES (9, 'x')")
    sql.execute("COMMIT")


def test_lock_table_refuses_the_commit_when_another_has_written(sql: SqlSession, other: SqlSession) -> None:
    sql.session.begin("snapshot")
    sql.execute("LOCK TABLE job")
    other.execute("UPDATE job SET state = 'x' WHERE id = 3")
    sql.execute("INSERT INTO part VALUES (13, 1, 1)")
    with pytest.raises(RetryableConflict):
        sql.execute("COMMIT")


@pytest.mark.parametrize("text", ["LOCK TABLE", "LOCK TABLE job IN A MODE", "LOCK TABLE job IN SHARE", "LOCK job job"])
def test_wrong_lock_statements(sql: SqlSession, text: str) -> None:
    sql.execute("BEGIN")
    with pytest.raises(e.SyntaxFailure):
        sql.execute(text)


# -------------------------------------------------------------------- definitions and those who use them

@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
@pytest.mark.parametrize("change", ["CREATE OR REPLACE VIEW open_job AS SELECT * FROM job WHERE state = 'done'",
                                    "DROP VIEW open_job"])
def test_a_view_used_by_a_writer_must_stay(sql: SqlSession, other: SqlSession, change: str, isolation: Isolation
                                           ) -> None:
    sql.session.begin(isolation)
    sql.execute("INSERT INTO part SELECT id + 100, id, 0 FROM open_job")
    other.execute(change)
    with pytest.raises(RetryableConflict):
        sql.session.commit()


def test_a_definition_at_snapshot_isolation_validates_what_it_read(sql: SqlSession, other: SqlSession) -> None:
    sql.session.begin("snapshot")
    sql.execute("SELECT 1 FROM part")
    sql.execute("ALTER TABLE job ADD CHECK (state <> 'bad')")
    other.execute("INSERT INTO job VALUES (5, 'bad')")
    with pytest.raises(RetryableConflict):
        sql.session.commit()
