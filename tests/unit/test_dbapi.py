"""DB-API 2.0: each rule of PEP 249 once, and what goes beyond it."""
from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import phantomdb
from phantomdb import dbapi
from phantomdb.core.errors import DatabaseLocked, PhantomError, RetryableConflict
from phantomdb.core.query.errors import UniqueViolation
from phantomdb.core.values import Interval


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[dbapi.Connection]:
    made = dbapi.connect(tmp_path / "db", durability="none")
    made.execute("CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(10,2))")
    made.commit()
    yield made
    made.close()


def count(connection: dbapi.Connection) -> int:
    found = connection.execute("SELECT count(*) FROM item").fetchone()
    assert found is not None
    return int(found[0])


# -------------------------------------------------------------------- the module

def test_globals() -> None:
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 1, "qmark")


def test_exceptions_form_the_tree_of_pep_249() -> None:
    assert issubclass(dbapi.Warning, Exception) and not issubclass(dbapi.Warning, dbapi.Error)
    assert issubclass(dbapi.InterfaceError, dbapi.Error) and not issubclass(dbapi.InterfaceError, dbapi.DatabaseError)
    for kind in (dbapi.DataError, dbapi.OperationalError, dbapi.IntegrityError, dbapi.InternalError,
                 dbapi.ProgrammingError, dbapi.NotSupportedError):
        assert issubclass(kind, dbapi.DatabaseError)
        assert getattr(dbapi.Connection, kind.__name__) is kind


def test_constructors() -> None:
    assert dbapi.Date(2024, 2, 29) == datetime.date(2024, 2, 29)
    assert dbapi.Time(1, 2, 3) == datetime.time(1, 2, 3)
    assert dbapi.Timestamp(2024, 2, 29, 1, 2, 3) == datetime.datetime(2024, 2, 29, 1, 2, 3)
    moment = datetime.datetime(2024, 2, 29, 1, 2, 3)
    ticks = moment.timestamp()
    assert dbapi.TimestampFromTicks(ticks) == moment
    assert dbapi.DateFromTicks(ticks) == moment.date() and dbapi.TimeFromTicks(ticks) == moment.time()
    assert dbapi.Binary(b"\x00a") == b"\x00a"


def test_connections_to_one_path_share_a_database(tmp_path: Path) -> None:
    first = dbapi.connect(tmp_path / "db", durability="none")
    second = dbapi.connect(str(tmp_path) + "/./db")
    assert first.database is second.database
    with pytest.raises(dbapi.InterfaceError, match="other options"):
        dbapi.connect(tmp_path / "db", durability="commit")
    first.close()
    assert second.execute("SELECT 1").fetchall() == [(1,)]
    with pytest.raises(DatabaseLocked):
        phantomdb.open(tmp_path / "db")
    second.close()
    phantomdb.open(tmp_path / "db").close()                  # nobody has it any more


def test_a_database_that_is_open_stays_open(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path / "db") as database:
        with pytest.raises(dbapi.InterfaceError, match="open already"):
            dbapi.connect(database, durability="none")
        dbapi.connect(database).close()
        assert database.sql("SELECT 1").scalar() == 1


def test_connect_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(dbapi.ProgrammingError, match='database "other"'):
        dbapi.connect(tmp_path / "db", name="other")
    with pytest.raises(dbapi.InterfaceError, match="isolation"):
        dbapi.connect(tmp_path / "db", isolation="none")     # type: ignore[arg-type]
    with pytest.raises(dbapi.OperationalError):
        dbapi.connect(tmp_path / "nowhere", create=False)
    phantomdb.open(tmp_path / "db").close()                  # the failed ones hold nothing


# -------------------------------------------------------------------- connections

def test_commit_and_rollback(connection: dbapi.Connection) -> None:
    assert not connection.in_transaction
    connection.execute("INSERT INTO item VALUES (1, 'a', 1)")
    assert connection.in_transaction
    connection.rollback()
    assert count(connection) == 0
    connection.execute("INSERT INTO item VALUES (1, 'a', 1)")
    connection.commit()
    connection.rollback()
    assert count(connection) == 1
    connection.rollback()
    connection.commit()                                      # nothing to do is fine
    assert not connection.in_transaction


def test_closing_rolls_back(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path / "db") as database:
        database.sql("CREATE TABLE item (id int)")
        connection = dbapi.connect(database)
        connection.execute("INSERT INTO item VALUES (1)")
        connection.close()
        connection.close()
        assert database.sql("SELECT count(*) FROM item").scalar() == 0


def test_a_closed_connection_refuses_everything(connection: dbapi.Connection) -> None:
    cursor = connection.execute("SELECT 1")
    connection.close()
    calls: list[Any] = [connection.cursor, connection.commit, connection.rollback, connection.__enter__,
                        lambda: connection.execute("SELECT 1"), lambda: cursor.execute("SELECT 1"), cursor.fetchone,
                        lambda: connection.executemany("SELECT 1", []), lambda: cursor.executemany("SELECT 1", [])]
    for call in calls:
        with pytest.raises(dbapi.InterfaceError, match="closed"):
            call()


def test_context_manager_commits_or_rolls_back(connection: dbapi.Connection) -> None:
    with connection:
        connection.execute("INSERT INTO item VALUES (1, 'a', 1)")
    assert not connection.in_transaction
    with pytest.raises(ZeroDivisionError), connection:
        connection.execute("INSERT INTO item VALUES (2, 'a', 1)")
        raise ZeroDivisionError
    assert count(connection) == 1


def test_autocommit(connection: dbapi.Connection) -> None:
    connection.execute("INSERT INTO item VALUES (1, 'a', 1)")
    connection.autocommit = True                             # commits
    assert not connection.in_transaction
    connection.execute("INSERT INTO item VALUES (2, 'a', 1)")
    assert not connection.in_transaction
    connection.rollback()
    assert count(connection) == 2
    connection.autocommit = False
    assert count(connection) == 2 and connection.in_transaction


def test_transactions_as_text(connection: dbapi.Connection) -> None:
    connection.autocommit = True
    connection.execute("BEGIN")
    connection.execute("INSERT INTO item VALUES (1, 'a', 1)")
    connection.execute("ROLLBACK")
    assert count(connection) == 0
    connection.autocommit = False
    connection.execute(" begin ISOLATION LEVEL REPEATABLE READ")
    assert connection.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
    connection.execute("INSERT INTO item VALUES (1, 'a', 1)")
    connection.execute("COMMIT")
    assert not connection.in_transaction and count(connection) == 1


def test_a_conflict_has_its_sqlstate(connection: dbapi.Connection) -> None:
    other = dbapi.connect(connection.database)
    for one in (connection, other):
        one.execute("SELECT count(*) FROM item").fetchall()
    connection.execute("INSERT INTO item VALUES (1, 'a', 1)")
    other.execute("INSERT INTO item VALUES (2, 'a', 1)")
    connection.commit()
    with pytest.raises(dbapi.OperationalError) as caught:
        other.commit()
    assert caught.value.sqlstate == "40001" and isinstance(caught.value.__cause__, RetryableConflict)
    other.close()


def test_interrupt_from_another_thread(connection: dbapi.Connection) -> None:
    timer = threading.Timer(0.2, connection.interrupt)
    timer.start()
    with pytest.raises(dbapi.OperationalError) as caught:
        connection.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b")
    timer.join()
    assert caught.value.sqlstate == "57014"
    connection.rollback()
    connection.interrupt()                                   # nothing runs
    assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_connection_is_dropped_without_closing(tmp_path: Path) -> None:
    dbapi.connect(tmp_path / "db")
    phantomdb.open(tmp_path / "db").close()


# -------------------------------------------------------------------- cursors

def test_description(connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    assert cursor.description is None
    cursor.execute("SELECT id, name AS label, price, current_date, ''::bytea FROM item")
    assert cursor.description is not None
    assert [item[0] for item in cursor.description][:3] == ["id", "label", "price"]
    kinds = [item[1] for item in cursor.description]
    assert kinds == [dbapi.NUMBER, dbapi.STRING, dbapi.NUMBER, dbapi.DATETIME, dbapi.BINARY]
    assert kinds[0] != dbapi.STRING and str(kinds[2]) == "numeric(10,2)"
    assert cursor.description[2][4:6] == (10, 2) and all(len(item) == 7 for item in cursor.description)
    cursor.execute("INSERT INTO item VALUES (1, 'a', 1)")
    assert cursor.description is None


def test_rowcount(connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    assert cursor.rowcount == -1
    assert cursor.execute("INSERT INTO item VALUES (1, 'a', 1), (2, 'b', 2)").rowcount == 2
    assert cursor.execute("UPDATE item SET price = 3").rowcount == 2
    assert cursor.execute("DELETE FROM item WHERE id = 1").rowcount == 1
    cursor.execute("SHOW timezone")
    assert cursor.execute("BEGIN").rowcount == -1


def test_fetching(connection: dbapi.Connection) -> None:
    cursor = connection.execute("SELECT * FROM generate_series(1, 7) AS t(n) ORDER BY n")
    assert cursor.arraysize == 1
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany() == [(2,)]
    assert cursor.fetchmany(2) == [(3,), (4,)]
    cursor.arraysize = 2
    assert cursor.fetchmany() == [(5,), (6,)]
    assert cursor.fetchall() == [(7,)]
    assert cursor.fetchone() is None and cursor.fetchmany() == [] and cursor.fetchall() == []
    cursor.execute("SELECT 1 WHERE false")
    assert cursor.fetchone() is None and cursor.fetchall() == []
    assert list(cursor.execute("VALUES (1), (2)")) == [(1,), (2,)]


def test_fetching_without_a_result(connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    for _ in range(2):
        for fetch in (cursor.fetchone, cursor.fetchmany, cursor.fetchall, cursor.arrow):
            with pytest.raises(dbapi.InterfaceError, match="no result"):
                fetch()
        cursor.execute("INSERT INTO item VALUES (1, 'a', 1) ON CONFLICT DO NOTHING")
    cursor.execute("SELECT 1")
    with pytest.raises(dbapi.ProgrammingError):
        cursor.execute("SELECT nothing")
    with pytest.raises(dbapi.InterfaceError, match="no result"):
        cursor.fetchall()


def test_a_closed_cursor_refuses(connection: dbapi.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    cursor.close()
    for call in (lambda: cursor.execute("SELECT 1"), cursor.fetchall, cursor.nextset):
        with pytest.raises(dbapi.InterfaceError, match="cursor is closed"):
            call()


@pytest.mark.parametrize(("text", "parameters"), [
    ("SELECT ?, ?", (1, "a")), ("SELECT $1, $2", [1, "a"]), ("SELECT :1, :2", (1, "a")), ("SELECT $2 + 0, $1",
    ("a", 1)),
    ("SELECT :n, :t", {"n": 1, "t": "a"}),
])
def test_parameters(connection: dbapi.Connection, text: str, parameters: Any) -> None:
    assert connection.execute(text, parameters).fetchall() == [(1, "a")]


def test_parameters_that_are_missing(connection: dbapi.Connection) -> None:
    for text, parameters in (("SELECT ?, ?", (1,)), ("SELECT :a", {"b": 1}), ("SELECT ?", (object(),))):
        with pytest.raises((dbapi.ProgrammingError, dbapi.NotSupportedError)):
            connection.execute(text, parameters)
        connection.rollback()


def test_values_go_in_and_come_out(connection: dbapi.Connection) -> None:
    moment = datetime.datetime(2024, 2, 29, 1, 2, 3, 4)
    for value in (1, -2**40, 1.5, "ä", b"\x00\xff", Decimal("1.50"), None, True, moment, moment.date(), moment.time(),
                  moment.replace(tzinfo=datetime.UTC)):
        assert connection.execute("SELECT ?", (value,)).fetchall() == [(value,)]


def test_executemany(connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    rows = [(number, f"n{number}", Decimal(number)) for number in range(100)]
    assert cursor.executemany("INSERT INTO item VALUES (?, ?, ?)", iter(rows)).rowcount == 100
    assert cursor.description is None
    assert cursor.executemany("UPDATE item SET name = :name WHERE id = :id",
                              [{"id": 1, "name": "x"}, {"id": 2, "name": None}, {"id": -1, "name": "y"}]).rowcount == 2
    assert connection.execute("SELECT id, name FROM item WHERE id IN (1, 2) ORDER BY id").fetchall() == [
        (1, "x"), (2, None)]
    assert cursor.executemany("DELETE FROM item WHERE id = ?", []).rowcount == 0


def test_executemany_with_values_of_many_types(connection: dbapi.Connection) -> None:
    connection.executemany("INSERT INTO item VALUES (?, ?, ?)",
                           [(1, None, 1), (2, "b", 2.5), (3, "c", Decimal("3.25"))])
    assert connection.execute("SELECT price FROM item ORDER BY id").fetchall() == [
        (Decimal("1.00"),), (Decimal("2.50"),), (Decimal("3.25"),)]
    connection.execute("CREATE TABLE d (d date)")
    days = ["2024-02-29", datetime.date(2024, 3, 1), None]
    assert connection.executemany("INSERT INTO d VALUES (?)", [(day,) for day in days]).rowcount == 3
    assert connection.execute("SELECT d FROM d ORDER BY d").fetchall() == [
        (datetime.date(2024, 2, 29),), (datetime.date(2024, 3, 1),), (None,)]


DAY, WEEK = datetime.timedelta(1), datetime.timedelta(7, 3)


@pytest.mark.parametrize("type_, value, rows, stored", [
    ("interval", "?", [DAY, None, WEEK], [Interval(0, 1, 0), None, Interval(0, 7, 3_000_000)]),
    ("integer[]", "?", [[1], None, [2, None]], [[1], None, [2, None]]),
    ("integer[]", "?::INTEGER[]", [[1], [], [None]], [[1], [], [None]]),
    ("bigint[]", "?::BIGINT[]", [[1], [2**40], []], [[1], [2**40], []]),
    ("text[]", "?", [["a"], [], ("b",)], [["a"], [], ["b"]]),
    ("bytea", "?", [bytearray(b"a"), memoryview(b"b"), b"c"], [b"a", b"b", b"c"]),
    ("numeric", "?", [-2**63, 2**63, 1], [Decimal(-2**63), Decimal(2**63), Decimal(1)])])
def test_executemany_converts_each_value(connection: dbapi.Connection, type_: str, value: str, rows: list[Any],
                                         stored: list[Any]) -> None:
    connection.execute(f"CREATE TABLE many (id integer, v {type_})")
    for _ in range(2):
        connection.executemany(f"INSERT INTO many VALUES (?, {value})", list(enumerate(rows)))
        found = connection.execute("SELECT id, v FROM many").fetchall()
        assert [value for _, value in sorted(found, key=lambda row: row[0])] == stored
        connection.execute("DELETE FROM many")


def test_executemany_checks_the_bounds_of_each_value(connection: dbapi.Connection) -> None:
    connection.execute("CREATE TABLE many (v integer)")
    connection.commit()
    for rows in ([(-2**31,), (2**31,)], [(1,), (2**63,)]):
        with pytest.raises(dbapi.DataError):
            connection.executemany("INSERT INTO many VALUES (?)", rows)
        connection.rollback()


def test_executemany_runs_a_subquery_for_each_row(connection: dbapi.Connection) -> None:
    connection.execute("INSERT INTO item VALUES (1, 'a', 1), (2, 'b', 2)")
    connection.executemany("INSERT INTO item VALUES (? + 10, (SELECT name FROM item WHERE id = ?), 0)",
                           [(1, 1), (2, 2)])
    assert connection.execute("SELECT name FROM item WHERE id > 10 ORDER BY id").fetchall() == [("a",), ("b",)]


@pytest.mark.parametrize("last", [(1, "b", 1), (1, "b", 2.5)])
def test_executemany_is_all_or_nothing(connection: dbapi.Connection, last: Any) -> None:
    connection.autocommit = True
    with pytest.raises(dbapi.IntegrityError):
        connection.executemany("INSERT INTO item VALUES (?, ?, ?)", [(1, "a", 1), last])
    assert count(connection) == 0 and not connection.in_transaction


def test_executemany_is_for_changes(connection: dbapi.Connection) -> None:
    with pytest.raises(dbapi.ProgrammingError, match="INSERT, UPDATE"):
        connection.executemany("SELECT ?", [(1,)])


def test_the_optional_rest(connection: dbapi.Connection) -> None:
    cursor = connection.execute("SELECT 1 AS a")
    cursor.setinputsizes([1])
    cursor.setoutputsize(1)
    assert cursor.nextset() is None and cursor.lastrowid is None and cursor.connection is connection
    with pytest.raises(dbapi.NotSupportedError):
        cursor.callproc("f")
    assert cursor.arrow().to_pydict() == {"a": [1]}


# -------------------------------------------------------------------- errors

@pytest.mark.parametrize(("text", "kind", "sqlstate"), [
    ("SELEC 1", dbapi.ProgrammingError, "42601"), ("SELECT * FROM nowhere", dbapi.ProgrammingError, "42P01"),
    ("SELECT 1 / 0", dbapi.DataError, "22012"), ("SELECT 'x'::int", dbapi.DataError, "22P02"),
    ("INSERT INTO item VALUES (NULL, 'a', 1)", dbapi.IntegrityError, "23502"),
    ("LISTEN x", dbapi.NotSupportedError, "0A000"), ("SAVEPOINT a; RELEASE b", dbapi.InternalError, "3B001"),
])
def test_errors_have_a_class_and_a_state(connection: dbapi.Connection, text: str, kind: Any, sqlstate: str) -> None:
    with pytest.raises(kind) as caught:
        connection.execute(text)
    assert type(caught.value) is kind and caught.value.sqlstate == sqlstate
    assert isinstance(caught.value.__cause__, PhantomError)


def test_after_an_error_the_transaction_must_be_rolled_back(connection: dbapi.Connection) -> None:
    connection.execute("INSERT INTO item VALUES (1, 'a', 1)")
    with pytest.raises(dbapi.IntegrityError) as caught:
        connection.execute("INSERT INTO item VALUES (1, 'a', 1)")
    assert isinstance(caught.value.__cause__, UniqueViolation)
    with pytest.raises(dbapi.InternalError) as refused:
        connection.execute("SELECT 1")
    assert refused.value.sqlstate == "25P02"
    connection.rollback()
    assert count(connection) == 0


def test_notices(connection: dbapi.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("BEGIN")
    assert connection.notices == ["there is already a transaction in progress"]
