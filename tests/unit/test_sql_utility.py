"""Transactions, settings, prepared statements and upkeep as SQL; Database.sql and Transaction.sql."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import phantomdb
from phantomdb.core.errors import InvalidArgument
from phantomdb.core.frontends import frontend
from phantomdb.core.query import errors as e
from phantomdb.core.transactions import Transaction
from phantomdb.frontends.sql.frontend import SqlSession


@pytest.fixture
def database(tmp_path: Path) -> Iterator[phantomdb.Database]:
    with phantomdb.open(tmp_path / "db", durability="none") as made:
        made.sql("CREATE TABLE t (a int PRIMARY KEY, b text)")
        yield made


@pytest.fixture
def sql(database: phantomdb.Database) -> SqlSession:
    return SqlSession(database.session())


def values(sql: SqlSession, text: str, *parameters: Any) -> list[Any]:
    return [row[0] for row in sql.execute(text, parameters).fetchall()]


def show(sql: SqlSession, name: str) -> Any:
    return sql.execute(f"SHOW {name}").scalar()


# -------------------------------------------------------------------- transactions

@pytest.mark.parametrize(("text", "isolation", "is_read_only"), [
    ("BEGIN", "serializable", "off"), ("BEGIN WORK", "serializable", "off"),
    ("begin transaction", "serializable", "off"),
    ("START TRANSACTION", "serializable", "off"), ("BEGIN ISOLATION LEVEL SERIALIZABLE", "serializable", "off"),
    ("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", "repeatable read", "on"),
    ("START TRANSACTION ISOLATION LEVEL SNAPSHOT READ WRITE", "repeatable read", "off"),
    ("BEGIN ISOLATION LEVEL READ COMMITTED", "serializable", "off"),
    ("BEGIN TRANSACTION ISOLATION LEVEL READ UNCOMMITTED NOT DEFERRABLE", "serializable", "off"),
    ("BEGIN READ ONLY DEFERRABLE", "serializable", "on"),
])
def test_begin(sql: SqlSession, text: str, isolation: str, is_read_only: str) -> None:
    assert sql.execute(text).tag == "BEGIN"
    assert sql.session.in_transaction
    assert show(sql, "transaction_isolation") == isolation and show(sql, "TRANSACTION ISOLATION LEVEL") == isolation
    assert show(sql, "transaction_read_only") == is_read_only


def test_a_transaction_that_only_reads(sql: SqlSession) -> None:
    sql.execute("BEGIN READ ONLY")
    with pytest.raises(e.ReadOnlyTransaction):
        sql.execute("INSERT INTO t VALUES (1)")
    sql.execute("ROLLBACK")
    sql.execute("BEGIN; SET TRANSACTION READ ONLY")
    with pytest.raises(e.InvalidTransactionState, match="read-write"):
        sql.execute("SET TRANSACTION READ WRITE")
    sql.execute("ROLLBACK; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    for text in ("INSERT INTO t VALUES (1)", "BEGIN; INSERT INTO t VALUES (1)"):
        with pytest.raises(e.ReadOnlyTransaction):
            sql.execute(text)


@pytest.mark.parametrize("end", ["COMMIT", "END", "COMMIT WORK", "end transaction", "COMMIT AND NO CHAIN"])
def test_commit(sql: SqlSession, end: str) -> None:
    sql.execute("BEGIN; INSERT INTO t VALUES (1)")
    assert sql.execute(end).tag == "COMMIT"
    assert not sql.session.in_transaction and values(sql, "SELECT a FROM t") == [1]


@pytest.mark.parametrize("end", ["ROLLBACK", "ABORT", "ROLLBACK WORK", "abort transaction"])
def test_rollback(sql: SqlSession, end: str) -> None:
    sql.execute("BEGIN; INSERT INTO t VALUES (1)")
    assert sql.execute(end).tag == "ROLLBACK"
    assert not sql.session.in_transaction and values(sql, "SELECT a FROM t") == []


def test_what_makes_no_sense_is_remarked(sql: SqlSession) -> None:
    for text in ("COMMIT", "ROLLBACK", "SET TRANSACTION READ ONLY", "SET CONSTRAINTS ALL DEFERRED",
                 "SET LOCAL timezone = 'UTC'"):
        sql.execute(text)
        assert len(sql.notices) == 1, text
    sql.execute("BEGIN")
    assert not sql.notices
    sql.execute("BEGIN")
    assert sql.notices == ["there is already a transaction in progress"]


def test_a_failed_transaction_ends_in_a_rollback(sql: SqlSession) -> None:
    sql.execute("BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s")
    with pytest.raises(e.UniqueViolation):
        sql.execute("INSERT INTO t VALUES (1)")
    for text in ("SELECT 1", "SHOW timezone", "SAVEPOINT x", "SET timezone = 'UTC'", "BEGIN", "PREPARE p AS SELECT 1"):
        with pytest.raises(e.TransactionAborted):
            sql.execute(text)
    sql.execute("ROLLBACK TO s")
    assert values(sql, "SELECT a FROM t") == [1]
    with pytest.raises(e.UniqueViolation):
        sql.execute("INSERT INTO t VALUES (1)")
    assert sql.execute("COMMIT").tag == "ROLLBACK"
    assert values(sql, "SELECT a FROM t") == []


def test_savepoints(sql: SqlSession) -> None:
    sql.execute("BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2)")
    sql.execute("SAVEPOINT s; INSERT INTO t VALUES (3); RELEASE SAVEPOINT s; ROLLBACK TO SAVEPOINT s")
    assert values(sql, "SELECT a FROM t") == [1]
    sql.execute("RELEASE s; COMMIT")
    with pytest.raises(e.InvalidTransactionState):
        sql.execute("SAVEPOINT s")
    sql.execute("BEGIN")
    with pytest.raises(e.InvalidSavepoint):
        sql.execute("ROLLBACK TO s")


def test_isolation_is_set_before_the_first_query(sql: SqlSession) -> None:
    sql.execute("BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert show(sql, "transaction_isolation") == "repeatable read"
    sql.execute("SELECT count(*) FROM t")
    with pytest.raises(e.InvalidTransactionState, match="before the first query"):
        sql.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    sql.execute("ROLLBACK; SET default_transaction_isolation = 'repeatable read'; BEGIN")
    assert show(sql, "transaction_isolation") == "repeatable read"


def test_deferred_constraints(sql: SqlSession) -> None:
    sql.execute("CREATE TABLE child (a int CONSTRAINT to_t REFERENCES t DEFERRABLE, "
                "b int CONSTRAINT hard REFERENCES t)")
    with pytest.raises(e.ForeignKeyViolation):
        sql.execute("INSERT INTO child VALUES (7)")
    for names in ("ALL", "to_t", "public.to_t"):
        sql.execute(f"BEGIN; SET CONSTRAINTS {names} DEFERRED; INSERT INTO child VALUES (7)")
        with pytest.raises(e.ForeignKeyViolation):
            sql.execute("SET CONSTRAINTS to_t IMMEDIATE")
        sql.execute("ROLLBACK")
    sql.execute("BEGIN; SET CONSTRAINTS to_t DEFERRED; INSERT INTO child VALUES (7)")
    with pytest.raises(e.ForeignKeyViolation):
        sql.execute("COMMIT")
    assert not sql.session.in_transaction
    for names, kind in (("hard", e.WrongObjectType), ("nothing", e.UndefinedObject)):
        with pytest.raises(kind):
            sql.execute(f"BEGIN; SET CONSTRAINTS {names} DEFERRED")
        sql.execute("ROLLBACK")


# -------------------------------------------------------------------- settings

@pytest.mark.parametrize(("text", "name", "shown"), [
    ("SET timezone = 'Europe/Berlin'", "timezone", "Europe/Berlin"), ("SET TIME ZONE 'UTC'", "TIME ZONE", "UTC"),
    ("SET SESSION application_name TO 'x y'", "application_name", "x y"),
    ("SET client_encoding TO 'utf-8'", "client_encoding", "UTF8"), ("SET NAMES 'UTF8'", "client_encoding", "UTF8"),
    ("SET statement_timeout = 1500", "statement_timeout", "1500ms"),
    ("SET statement_timeout = '2min'", "statement_timeout", "2min"),
    ("SET statement_timeout = 0", "statement_timeout", "0"), ("SET lock_timeout = '5s'", "lock_timeout", "5s"),
    ("SET extra_float_digits = -3", "extra_float_digits", "-3"), ("SET datestyle TO ISO, mdy", "DateStyle", "ISO, MDY"),
    ("SET row_security = yes", "row_security", "on"), ("SET search_path = 'A b', public", "search_path",
                                                       '"A b", public'),
    ("SET SCHEMA 'public'", "search_path", "public"), ("SET app.name = 'me'", "app.name", "me"),
    ("SET default_transaction_isolation TO 'read committed'", "default_transaction_isolation", "serializable"),
    ("SELECT 1", "server_version_num", "150000"),
])
def test_set_and_show(sql: SqlSession, text: str, name: str, shown: str) -> None:
    sql.execute(text)
    assert show(sql, name) == shown


def test_settings_have_effects(sql: SqlSession) -> None:
    sql.execute("CREATE SCHEMA other; CREATE TABLE other.only_there (a int)")
    with pytest.raises(e.UndefinedTable):
        sql.execute("SELECT * FROM only_there")
    sql.execute("SET search_path TO other, public")
    assert values(sql, "SELECT a FROM only_there") == []
    sql.execute("SET timezone = 'Asia/Tokyo'")
    assert values(sql, "SELECT '2024-01-01 09:00+09'::timestamptz::timestamp::text") == ["2024-01-01 09:00:00"]
    assert values(sql, "SELECT current_setting('timezone')") == ["Asia/Tokyo"]
    sql.execute("SET statement_timeout = 100")
    with pytest.raises(e.StatementTimeout):
        sql.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b").fetchall()


def test_reset(sql: SqlSession) -> None:
    sql.execute("SET timezone = 'Asia/Tokyo'; SET statement_timeout = 5; SET search_path = x; SET app.a = 'b'")
    sql.execute("RESET timezone")
    assert show(sql, "timezone") == "UTC" and show(sql, "statement_timeout") == "5ms"
    sql.execute("SET statement_timeout TO DEFAULT")
    assert sql.session.statement_timeout_s is None
    sql.execute("RESET ALL")
    assert sql.session.search_path == ("public",) and sql.session.settings == {}


@pytest.mark.parametrize(("text", "kind"), [
    ("SET nothing = 1", e.UndefinedObject), ("SHOW nothing", e.UndefinedObject), ("RESET nothing", e.UndefinedObject),
    ("SET server_version = '16'", e.InvalidParameterValue), ("SET timezone = 'Mars'", e.InvalidParameterValue),
    ("SET client_encoding = 'LATIN1'", e.FeatureNotSupported),
    ("SET statement_timeout = 'soon'", e.InvalidParameterValue),
    ("SET statement_timeout = -1", e.InvalidParameterValue), ("SET row_security = maybe", e.InvalidParameterValue),
    ("SET extra_float_digits = 9", e.InvalidParameterValue), ("SET bytea_output = 'escape'", e.InvalidParameterValue),
    ("SET datestyle = 'German'", e.FeatureNotSupported), ("SET ROLE x", e.FeatureNotSupported),
    ("SET default_transaction_isolation = 'none'", e.InvalidParameterValue), ("SET timezone", e.SyntaxFailure),
    ("SET timezone =", e.SyntaxFailure), ("SET timezone = 'UTC' x", e.SyntaxFailure), ("SHOW", e.SyntaxFailure),
])
def test_settings_that_cannot_be(sql: SqlSession, text: str, kind: type[Exception]) -> None:
    before = dict(sql.session.settings)
    with pytest.raises(kind):
        sql.execute(text)
    assert sql.session.settings == before


def test_show_all(sql: SqlSession) -> None:
    sql.execute("SET application_name = 'me'")
    result = sql.execute("SHOW ALL")
    assert result.names == ("name", "setting", "description")
    rows = {row[0]: row[1] for row in result}
    assert rows["application_name"] == "me" and rows["server_encoding"] == "UTF8"


def test_rollback_takes_settings_back(sql: SqlSession) -> None:
    sql.execute("SET statement_timeout = 1; BEGIN; SET statement_timeout = 2; SAVEPOINT s; SET statement_timeout = 3")
    assert sql.session.statement_timeout_s == 0.003
    sql.execute("ROLLBACK TO s")
    assert sql.session.statement_timeout_s == 0.002
    sql.execute("ROLLBACK")
    assert sql.session.statement_timeout_s == 0.001 and show(sql, "statement_timeout") == "1ms"
    sql.execute("BEGIN; SAVEPOINT s; SET statement_timeout = 4; ROLLBACK TO s")
    assert show(sql, "statement_timeout") == "1ms"
    sql.execute("COMMIT; BEGIN; SET statement_timeout = 5; COMMIT")
    assert show(sql, "statement_timeout") == "5ms"


def test_local_settings_end_with_the_transaction(sql: SqlSession) -> None:
    sql.execute("SET app.a = 'before'; BEGIN; SET LOCAL app.a = 'local'")
    assert show(sql, "app.a") == "local"
    sql.execute("SET app.b = 'kept'; COMMIT")
    assert show(sql, "app.a") == "before" and show(sql, "app.b") == "kept"
    sql.execute("BEGIN; SET LOCAL app.a = 'local'; SET app.a = 'set'; SET LOCAL app.a = 'local'; COMMIT")
    assert show(sql, "app.a") == "set"
    sql.execute("BEGIN; SET LOCAL app.a = 'local'; ROLLBACK")
    assert show(sql, "app.a") == "set"


# -------------------------------------------------------------------- prepared statements

def test_prepared_statements(sql: SqlSession) -> None:
    sql.execute("PREPARE add (int, text) AS INSERT INTO t VALUES ($1, $2) RETURNING a")
    assert values(sql, "EXECUTE add (1 + 1, upper('x'))") == [2]
    assert values(sql, "EXECUTE add (?, ?)", 3, "y") == [3]
    assert sql.execute("SELECT * FROM t ORDER BY a").fetchall() == [(2, "X"), (3, "y")]
    sql.execute("PREPARE everything AS SELECT a FROM t ORDER BY a")
    assert values(sql, "EXECUTE everything") == [2, 3]
    with pytest.raises(e.DuplicateObject):
        sql.execute("PREPARE add AS SELECT 1")
    with pytest.raises(e.SyntaxFailure, match="expected 2 parameters but got 1"):
        sql.execute("EXECUTE add (1)")
    sql.execute("DEALLOCATE add")
    with pytest.raises(e.UndefinedObject):
        sql.execute("EXECUTE add (1, 'x')")
    sql.execute("DEALLOCATE PREPARE ALL")
    with pytest.raises(e.UndefinedObject):
        sql.execute("DEALLOCATE everything")
    with pytest.raises(e.SyntaxFailure):
        sql.execute("PREPARE p AS SELECT FROM WHERE")
    with pytest.raises(e.SyntaxFailure):
        sql.execute("PREPARE p AS BEGIN")


def test_declared_types_convert(sql: SqlSession) -> None:
    sql.execute("PREPARE p (numeric(5,1), date) AS SELECT pg_typeof($1), $2 + 1")
    assert [str(value) for value in sql.execute("EXECUTE p ('1.26', '2024-01-31')").fetchall()[0]] == [
        "numeric", "2024-02-01"]


def test_discard(sql: SqlSession) -> None:
    sql.execute("PREPARE p AS SELECT 1; SET app.a = 'x'; CREATE SEQUENCE s; SELECT nextval('s')")
    assert sql.execute("DISCARD ALL").tag == "DISCARD ALL"
    assert not sql.prepared and not sql.session.settings
    with pytest.raises(e.UndefinedObject):
        sql.execute("SELECT currval('s')")
    with pytest.raises(e.InvalidTransactionState):
        sql.execute("BEGIN; DISCARD ALL")


# -------------------------------------------------------------------- upkeep, and what is not there

def test_upkeep(sql: SqlSession, database: phantomdb.Database) -> None:
    sql.execute("INSERT INTO t VALUES (1, 'a')")
    assert sql.execute("CHECKPOINT").tag == "CHECKPOINT" and database.stats()["memtable_entries"] == 0
    for text in ("VACUUM", "VACUUM FULL t", "VACUUM (ANALYZE, VERBOSE OFF) t", "VACUUM ANALYZE"):
        assert sql.execute(text).tag == "VACUUM" and len(sql.notices) == 1
    with pytest.raises(e.UndefinedTable):
        sql.execute("VACUUM nowhere")
    with pytest.raises(e.InvalidTransactionState):
        sql.execute("BEGIN; VACUUM")


@pytest.mark.parametrize("text", [
    "LISTEN x", "NOTIFY x", "UNLISTEN *", "GRANT SELECT ON t TO x", "REVOKE ALL ON t FROM x", "CALL f()", "DO 'x'",
    "DECLARE c CURSOR FOR SELECT 1", "FETCH 1 FROM c", "CLOSE c", "REINDEX TABLE t", "CLUSTER t",
    "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "COMMIT PREPARED 'x'", "SET TRANSACTION SNAPSHOT 'x'",
])
def test_what_is_not_there_is_refused_by_its_name(sql: SqlSession, text: str) -> None:
    with pytest.raises(e.FeatureNotSupported) as caught:
        sql.execute(text)
    assert caught.value.position is not None


@pytest.mark.parametrize(("text", "position"), [
    ("SELECT 1; FOO bar", 11), ("BEGIN ISOLATION LEVEL CHAOS", 23), ("BEGIN READ ONLY,", 17), ("ROLLBACK TO", 12),
    ("COMMIT now", 8), ("DISCARD everything", 9), ("START", 6), ("  EXECUTE 1", 11), ("SET CONSTRAINTS ALL", 20),
])
def test_syntax_errors_have_a_position(sql: SqlSession, text: str, position: int) -> None:
    with pytest.raises(e.SyntaxFailure) as caught:
        sql.execute(text)
    assert caught.value.position == position


def test_a_statement_comes_again_with_other_types(sql: SqlSession) -> None:
    assert values(sql, "SELECT ?", 1) == [1] and values(sql, "SELECT ?", "a") == ["a"]


# -------------------------------------------------------------------- Database.sql, Transaction.sql

def test_each_thread_has_a_session(database: phantomdb.Database) -> None:
    database.sql("BEGIN")
    database.sql("INSERT INTO t VALUES (1)")
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(database.sql("SELECT count(*) FROM t").scalar()))
    thread.start()
    thread.join()
    assert seen == [0] and database.sql("SELECT count(*) FROM t WHERE a = :a", {"a": 1}).scalar() == 1
    database.close()                                         # rolls back
    with phantomdb.open(database.path) as again:
        assert again.sql("SELECT count(*) FROM t").scalar() == 0


def test_sql_in_a_transaction_of_the_program(database: phantomdb.Database) -> None:
    with database.transaction() as txn:
        txn.kv.put(b"k", b"v")
        txn.sql("INSERT INTO t VALUES (?, ?)", (1, "a"))
        with pytest.raises(e.UniqueViolation):
            txn.sql("INSERT INTO t VALUES (1, 'b')")         # undone alone
        assert txn.sql("SELECT b FROM t").fetchall() == [("a",)]
        assert database.sql("SELECT count(*) FROM t").scalar() == 0
        for text in ("COMMIT", "ROLLBACK"):
            with pytest.raises(e.InvalidTransactionState):
                txn.sql(text)
    assert database.sql("SELECT b FROM t").fetchall() == [("a",)] and database.kv.get(b"k") == b"v"
    with pytest.raises(ZeroDivisionError), database.transaction() as txn:
        txn.sql("DELETE FROM t")
        raise ZeroDivisionError
    assert database.sql("SELECT count(*) FROM t").scalar() == 1
    database.run(lambda txn: txn.sql("DELETE FROM t"))
    assert database.sql("SELECT count(*) FROM t").scalar() == 0


def test_a_transaction_checks_deferred_constraints(database: phantomdb.Database) -> None:
    database.sql("CREATE TABLE child (a int REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(e.ForeignKeyViolation):
        with database.transaction() as txn:
            txn.sql("INSERT INTO child VALUES (7)")
    assert database.sql("SELECT count(*) FROM child").scalar() == 0 and not txn.is_open


def test_frontends_by_name(database: phantomdb.Database) -> None:
    assert frontend("sql").name == "sql"
    with pytest.raises(e.FeatureNotSupported, match='"klingon"'):
        database.frontend("klingon")
    inner = Transaction(database.store, 0x6B)
    with pytest.raises(InvalidArgument):
        inner.sql("SELECT 1")
    inner.rollback()


def test_a_frontend_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        @staticmethod
        def load() -> Any:
            return lambda: "installed"

    monkeypatch.setattr("importlib.metadata.entry_points", lambda **given: [Entry] if given == {
        "group": "phantomdb.frontends", "name": "other"} else [])
    assert frontend.__wrapped__("other") == "installed"
