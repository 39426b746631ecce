"""Fast statements: used where they should be, with the results and errors of the usual way, and no other trace."""
from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phantomdb
from phantomdb.core.errors import PhantomError, RetryableConflict
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query import fast as fast_statements
from phantomdb.core.query.errors import (
    CheckViolation, NotNullViolation, QueryError, ReadOnlyTransaction, TransactionAborted, UniqueViolation,
)
from phantomdb.frontends.sql.frontend import Bound, SqlSession

TABLES = """
CREATE TABLE item (id integer PRIMARY KEY, grp integer, code smallint UNIQUE, name varchar(5), price double precision,
                   amount numeric(6,2), seen timestamp, CHECK (price < 1000));
CREATE INDEX item_grp ON item (grp, id);
CREATE INDEX item_name ON item (name);
CREATE TABLE line (id bigint PRIMARY KEY, item_id integer NOT NULL, qty integer);
CREATE TABLE pair (a integer, b text, c integer NOT NULL, PRIMARY KEY (a, b));
CREATE TABLE heap (a integer, b text);
CREATE INDEX heap_a ON heap (a);
"""


@pytest.fixture
def db() -> Iterator[phantomdb.Database]:
    with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as database:
        yield database


def opened(db: phantomdb.Database) -> SqlSession:
    sql = SqlSession(db.session())
    if sql.session.catalog.find_table("main", "public", "item") is None:
        sql.execute(TABLES)
    return sql


class UsualWay(SqlSession):
    """Never takes a fast statement."""

    def _learn(self, key: Any, bound: Bound) -> None:
        pass


def watched(original: Callable[..., Any], seen: list[bool]) -> Callable[..., Any]:
    def run(self: Any, session: Any, given: Any) -> Any:
        answer = original(self, session, given)
        seen.append(answer is not None)
        return answer
    return run


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each run of a fast statement, whether it gave an answer."""
    seen: list[bool] = []
    for class_, name in ((fast_statements.FastRead, "run"), (fast_statements.FastChange, "run"),
                         (fast_statements.FastChange, "run_many")):
        monkeypatch.setattr(class_, name, watched(getattr(class_, name), seen))
    return seen


# -------------------------------------------------------------------- which statements

FAST: list[tuple[str, Any]] = [
    ("SELECT id, name FROM item WHERE id = ?", (1,)),
    ("SELECT * FROM item WHERE id = 1", ()),
    ("SELECT name, name AS again FROM item i WHERE ? = i.id", (1,)),
    ("SELECT c FROM pair WHERE b = ? AND a = ?", ("x", 1)),
    ("SELECT id FROM item WHERE id = ? LIMIT 1", (1,)),
    ("SELECT name FROM item WHERE code = ?", (1,)),
    ("SELECT id, name FROM item WHERE grp = ?", (1,)),
    ("SELECT name FROM item WHERE grp = ? ORDER BY id LIMIT ?", (1, 2)),
    ("SELECT name FROM item WHERE grp = ? ORDER BY id DESC", (1,)),
    ("SELECT id FROM item WHERE grp = ? AND id > ? AND id <= ?", (1, 0, 5)),
    ("SELECT id FROM item WHERE id >= ? ORDER BY id LIMIT 100", (1,)),
    ("SELECT id FROM item WHERE id < ? ORDER BY id DESC", (9,)),
    ("SELECT c FROM pair WHERE a = ? ORDER BY b", (1,)),
    ("SELECT b FROM heap WHERE a = ?", (1,)),
    ("SELECT name FROM item WHERE name = ? ORDER BY id", ("a",)),
    ("SELECT line.qty, item.name FROM line JOIN item ON item.id = line.item_id WHERE line.id = ?", (1,)),
    ("SELECT item.name, line.* FROM item, line WHERE item.id = line.item_id AND line.id = ?", (1,)),
    ("INSERT INTO line VALUES (?, ?, ?)", (50, 1, 2)),
    ("INSERT INTO line (item_id, id) VALUES (?, ?)", (1, 51)),
    ("INSERT INTO item VALUES (?, 3, ?, 'x', 2.5, NULL, NULL)", (50, 50)),
    ("INSERT INTO heap VALUES (?, ?)", (1, "x")),
    ("UPDATE item SET name = ?, grp = 5 WHERE id = ?", ("b", 1)),
    ("UPDATE item SET price = ? WHERE id = ?", (None, 1)),
    ("UPDATE pair SET c = ? WHERE a = ? AND b = ?", (1, 1, "x")),
    ("DELETE FROM item WHERE id = ?", (1,)),
    ("DELETE FROM line WHERE id = ?", (77,)),
]
NOT_FAST = [
    "SELECT count(*) FROM item WHERE id = ?", "SELECT id + 1 FROM item WHERE id = ?",
    "SELECT id FROM item WHERE id = ? AND price > 1", "SELECT id FROM item WHERE price = ?",
    "SELECT id FROM item WHERE grp = ? ORDER BY price", "SELECT id FROM item WHERE id = ? FOR UPDATE",
    "SELECT DISTINCT id FROM item WHERE id = ?", "SELECT id FROM item WHERE id >= ? ORDER BY id OFFSET 1",
    "SELECT line.qty FROM line LEFT JOIN item ON item.id = line.item_id WHERE line.id = ?",
    "SELECT a.name FROM item a JOIN item b ON b.id = a.grp WHERE a.grp = ?",
    "INSERT INTO line VALUES (?, 1, 1) RETURNING id", "INSERT INTO line VALUES (?, 1, 1) ON CONFLICT DO NOTHING",
    "INSERT INTO line VALUES (?, 1, 1), (2, 2, 2)", "INSERT INTO line SELECT id, 1, 1 FROM item WHERE id = ?",
    "UPDATE item SET grp = grp + ? WHERE id = 1", "UPDATE item SET grp = 1 WHERE grp = ?",
    "DELETE FROM item WHERE grp = ?", "DELETE FROM line WHERE id = ? RETURNING id",
]


def fill(sql: SqlSession) -> None:
    sql.execute("INSERT INTO item VALUES (1, 1, 1, 'a', 1.5, 1.25, NULL), (2, 1, NULL, 'b', NULL, NULL, NULL), "
                "(3, 2, NULL, 'a', 2.5, 0, '2020-01-01')")
    sql.execute("INSERT INTO line VALUES (1, 1, 10), (2, 99, 20)")
    sql.execute("INSERT INTO pair VALUES (1, 'x', 5), (1, 'y', 6)")
    sql.execute("INSERT INTO heap VALUES (1, 'p'), (1, 'q'), (NULL, 'r')")


@pytest.mark.parametrize("text, parameters", FAST, ids=[text for text, _ in FAST])
@pytest.mark.parametrize("is_inside", [False, True])
def test_it_is_fast_and_says_the_same(db: phantomdb.Database, runs: list[bool], text: str, parameters: Any,
                                      is_inside: bool) -> None:
    outcomes = []
    for class_ in (SqlSession, UsualWay):
        sql = class_(opened(db).session)
        for table in ("item", "line", "pair", "heap"):
            sql.execute(f"TRUNCATE {table}")
        fill(sql)
        if is_inside:
            sql.execute("BEGIN")
        sql._learn((text, *map(type, parameters)), sql.bind(sql._plans.statements(text)[0], parameters))
        runs.clear()
        result = sql.execute(text, parameters)
        assert runs == ([True] if class_ is SqlSession else [])
        outcomes.append((result.names, result.types, result.tag, result.row_count, result.fetchall(),
                         [sorted(sql.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
                          for table in ("item", "line", "pair", "heap")]))
        if is_inside:
            sql.execute("COMMIT")
        sql._fast.clear()
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("text", NOT_FAST)
def test_it_is_not_fast(db: phantomdb.Database, text: str) -> None:
    sql = opened(db)
    assert sql.bind(sql._plans.statements(text)[0], (1,)).fast is None


def test_tables_that_are_not_written_fast(db: phantomdb.Database) -> None:
    sql = opened(db)
    sql.execute("""
        CREATE TABLE parent (id integer PRIMARY KEY, x integer);
        CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES parent);
        CREATE TABLE made (id integer PRIMARY KEY, x integer, y integer GENERATED ALWAYS AS (x + 1) STORED);
        CREATE TABLE serial (id serial PRIMARY KEY, x integer);
        CREATE TABLE lower (id integer PRIMARY KEY, x text);
        CREATE INDEX lower_x ON lower (lower(x))""")
    wanted = {"INSERT INTO parent VALUES (?, 1)": True, "DELETE FROM parent WHERE id = ?": False,
              "UPDATE parent SET x = 1 WHERE id = ?": False, "INSERT INTO child VALUES (?, 1)": False,
              "DELETE FROM child WHERE id = ?": False, "INSERT INTO made VALUES (?, 1)": False,
              "INSERT INTO serial (x) VALUES (?)": False, "INSERT INTO serial VALUES (1, ?)": True,
              "INSERT INTO lower VALUES (?, 'x')": False, "SELECT x FROM lower WHERE id = ?": True}
    for text, is_fast in wanted.items():
        assert (sql.bind(sql._plans.statements(text)[0], (1,)).fast is not None) is is_fast, text


# -------------------------------------------------------------------- the same as the usual way

INTS = st.none() | st.integers(-2, 6) | st.sampled_from([2**15, 2**31 - 1, 2**31, -2**63, 2**63 - 1, True])
ODD = st.sampled_from([1.0, 2.5, float("nan"), "1", "x", "", Decimal("1"), Decimal("2.505"), b"x",
                       datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1),
                       datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)])
ANYTHING = INTS | ODD
NAMES = st.none() | st.sampled_from(["", "a", "b", "abcde", "abcdef", "abc     ", "é\0"])
PRICES = st.none() | st.floats() | st.sampled_from([1, 999.5, 1000.0])
STEPS: st.SearchStrategy[tuple[str, tuple[Any, ...]]] = st.one_of(
    st.tuples(st.just("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?)"), st.tuples(
        INTS, INTS, INTS, NAMES, PRICES, st.none() | st.just(Decimal("1.255")), st.none() | st.datetimes())),
    st.tuples(st.just("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?)"), st.tuples(*[ANYTHING] * 7)),
    st.tuples(st.just("INSERT INTO line VALUES (?, ?, ?)"), st.tuples(INTS, INTS, INTS)),
    st.tuples(st.just("INSERT INTO heap (b, a) VALUES (?, ?)"), st.tuples(NAMES, INTS)),
    st.tuples(st.just("UPDATE item SET grp = ?, name = ? WHERE id = ?"), st.tuples(INTS, NAMES, INTS)),
    st.tuples(st.just("UPDATE item SET price = ?, code = ? WHERE id = ?"), st.tuples(PRICES, INTS, INTS)),
    st.tuples(st.just("UPDATE item SET price = ?, amount = ? WHERE id = ?"), st.tuples(ANYTHING, ANYTHING, INTS)),
    st.tuples(st.just("DELETE FROM item WHERE id = ?"), st.tuples(INTS)),
    st.tuples(st.just("SELECT * FROM item WHERE id = ?"), st.tuples(ANYTHING)),
    st.tuples(st.just("SELECT id, name FROM item WHERE grp = ? ORDER BY id DESC LIMIT ?"),
              st.tuples(ANYTHING, ANYTHING)),
    st.tuples(st.just("SELECT id, grp FROM item WHERE name = ? ORDER BY id"), st.tuples(NAMES | ODD)),
    st.tuples(st.just("SELECT * FROM item WHERE code = ?"), st.tuples(INTS)),
    st.tuples(st.just("SELECT id, price FROM item WHERE id > ? AND id <= ? ORDER BY id LIMIT 2"),
              st.tuples(INTS, INTS)),
    st.tuples(st.just("SELECT qty, name FROM line JOIN item ON item.id = item_id WHERE line.id = ?"), st.tuples(INTS)),
    st.tuples(st.sampled_from(["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s"]), st.just(())))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_random_statements(steps: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Each twice in a row, so that the second time it is a fast one where there is one."""
    outcomes = []
    for class_ in (SqlSession, UsualWay):
        with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
            sql = class_(opened(db).session)
            seen = [outcome_of(sql, text, parameters) for text, parameters in steps for _ in range(2)]
            outcome_of(sql, "ROLLBACK", ())
            seen += [sorted(map(repr, sql.execute(f"SELECT * FROM {table}").fetchall()))
                     for table in ("item", "line", "heap")]
            outcomes.append(seen)
    assert outcomes[0] == outcomes[1]


def outcome_of(sql: SqlSession, text: str, parameters: tuple[Any, ...]) -> Any:
    try:
        result = sql.execute(text, parameters)
    except QueryError as error:
        return error.sqlstate, str(error), error.constraint, error.column
    except PhantomError as error:
        return error.code
    return result.tag, result.row_count, result.names, [list(map(repr, row)) for row in result.fetchall()]


MANY = st.lists(st.tuples(INTS, INTS, NAMES, PRICES), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(st.lists(MANY, max_size=4), st.booleans())
def test_random_batches(batches: list[list[Any]], is_inside: bool) -> None:
    outcomes = []
    for class_ in (SqlSession, UsualWay):
        with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
            sql = class_(opened(db).session)
            seen: list[Any] = []
            if is_inside:
                sql.execute("BEGIN")
            for rows in batches:
                for text in ("INSERT INTO item (id, grp, name, price) VALUES (?, ?, ?, ?)",
                             "UPDATE item SET grp = ?, name = ? WHERE id = ?", "INSERT INTO heap VALUES (?, ?)"):
                    given_rows = {4: rows, 3: [(row[1], row[2], row[0]) for row in rows],
                                  2: [(row[0], row[2]) for row in rows]}[text.count("?")]
                    try:
                        seen.append(sql.execute_many(text, given_rows))
                    except QueryError as error:
                        seen.append((error.sqlstate, str(error)))
            if is_inside:
                sql.execute("COMMIT")
            seen += [sorted(map(repr, sql.execute(f"SELECT * FROM {table}").fetchall())) for table in ("item", "heap")]
            outcomes.append(seen)
    assert outcomes[0] == outcomes[1]


def test_batches_are_fast(db: phantomdb.Database, runs: list[bool]) -> None:
    sql = opened(db)
    text = "INSERT INTO line VALUES (?, ?, ?)"
    sql.execute_many(text, [(0, 1, None)])
    assert runs == []
    assert sql.execute_many(text, [(n, n, None if n % 2 else n) for n in range(1, 500)]) == 499
    assert sql.execute_many("UPDATE line SET qty = ? WHERE id = ?", [(1, 1)]) == 1
    assert sql.execute_many("UPDATE line SET qty = ? WHERE id = ?", [(7, n) for n in range(600)]) == 500
    assert runs == [True, True]
    with pytest.raises(UniqueViolation):
        sql.execute_many(text, [(1000, 1, 1), (3, 1, 1)])
    assert runs == [True, True, False]
    assert sql.execute("SELECT count(*), sum(qty) FROM line").fetchall() == [(500, 3500)]


# -------------------------------------------------------------------- errors

def test_errors_leave_nothing_behind(db: phantomdb.Database) -> None:
    sql = opened(db)
    fill(sql)
    insert = "INSERT INTO item (id, code, price) VALUES (?, ?, ?)"
    for _ in range(2):
        sql.execute("DELETE FROM item WHERE id = ?", (50,))
        sql.execute(insert, (50, 50, 1.5))
    for parameters, error in [((1, 90, 1.0), UniqueViolation), ((90, 1, 1.0), UniqueViolation),
                              ((None, 90, 1.0), NotNullViolation), ((90, 90, 1000.0), CheckViolation)]:
        with pytest.raises(error):
            sql.execute(insert, parameters)
    update = "UPDATE item SET price = ? WHERE id = ?"
    assert [sql.execute(update, (2.5, number)).row_count for number in (1, 1, 90)] == [1, 1, 0]
    with pytest.raises(CheckViolation):
        sql.execute(update, (2000.0, 1))
    found = sql.execute("SELECT id, price FROM item ORDER BY id").fetchall()
    assert found == [(1, 2.5), (2, None), (3, 2.5), (50, 1.5)]


def test_a_failed_transaction_refuses_fast_statements(db: phantomdb.Database) -> None:
    sql = opened(db)
    fill(sql)
    read, write = "SELECT name FROM item WHERE id = ?", "UPDATE item SET name = ? WHERE id = ?"
    for _ in range(2):
        sql.execute(read, (1,))
        sql.execute(write, ("a", 1))
    sql.execute("BEGIN")
    with pytest.raises(UniqueViolation):
        sql.execute("INSERT INTO line VALUES (1, 1, 1)")
    for text, parameters in [(read, (1,)), (write, ("b", 1))]:
        with pytest.raises(TransactionAborted):
            sql.execute(text, parameters)
    sql.execute("ROLLBACK")
    assert sql.execute(read, (1,)).fetchall() == [("a",)]


def test_read_only_sessions_refuse_fast_changes(db: phantomdb.Database) -> None:
    sql = opened(db)
    fill(sql)
    write = "UPDATE item SET name = ? WHERE id = ?"
    for _ in range(2):
        sql.execute(write, ("a", 1))
    sql.execute("BEGIN READ ONLY")
    with pytest.raises(ReadOnlyTransaction):
        sql.execute(write, ("b", 1))
    sql.execute("ROLLBACK")
    sql.execute("SET default_transaction_read_only = on")
    with pytest.raises(ReadOnlyTransaction):
        sql.execute(write, ("b", 1))
    with pytest.raises(ReadOnlyTransaction):
        sql.execute_many(write, [("b", 1)])


# -------------------------------------------------------------------- the catalog changes

def test_a_change_of_the_table_is_noticed(db: phantomdb.Database, runs: list[bool]) -> None:
    sql, other = opened(db), opened(db)
    fill(sql)
    texts = {"SELECT * FROM item WHERE id = ?": (1,), "SELECT name FROM item WHERE grp = ?": (1,),
             "UPDATE line SET qty = ? WHERE id = ?": (1, 1), "INSERT INTO pair VALUES (?, ?, ?)": (7, "z", 1)}
    for _ in range(2):
        for text, parameters in texts.items():
            sql.execute(text, parameters)
            sql.execute("DELETE FROM pair WHERE a = 7")
    other.execute("ALTER TABLE item ADD COLUMN extra text DEFAULT 'new'; DROP INDEX item_grp; "
                  "ALTER TABLE line DROP COLUMN qty; ALTER TABLE line ADD COLUMN qty text; "
                  "ALTER TABLE pair ADD CHECK (b <> 'z')")
    assert sql.execute("SELECT * FROM item WHERE id = ?", (1,)).names[-1] == "extra"
    assert sorted(sql.execute("SELECT name FROM item WHERE grp = ?", (1,)).fetchall()) == [("a",), ("b",)]
    sql.execute("UPDATE line SET qty = ? WHERE id = ?", (12, 1))
    assert sql.execute("SELECT qty FROM line WHERE id = 1").fetchall() == [("12",)]
    with pytest.raises(CheckViolation):
        sql.execute("INSERT INTO pair VALUES (?, ?, ?)", (7, "z", 1))
    other.execute("ALTER TABLE item RENAME TO gone; CREATE TABLE item (id integer PRIMARY KEY)")
    assert sql.execute("SELECT * FROM item WHERE id = ?", (1,)).fetchall() == []
    runs.clear()
    sql.execute("SELECT * FROM item WHERE id = ?", (1,))
    assert runs == [True]


def test_a_change_inside_the_transaction(db: phantomdb.Database) -> None:
    sql = opened(db)
    fill(sql)
    text = "SELECT * FROM pair WHERE a = ? AND b = ?"
    for _ in range(2):
        assert sql.execute(text, (1, "x")).fetchall() == [(1, "x", 5)]
    sql.execute("BEGIN")
    sql.execute("ALTER TABLE pair DROP COLUMN c")
    for _ in range(2):
        assert sql.execute(text, (1, "x")).fetchall() == [(1, "x")]
        assert opened(db).execute(text, (1, "x")).fetchall() == [(1, "x", 5)]      # another session, the same plans
    sql.execute("ROLLBACK")
    for _ in range(2):
        assert sql.execute(text, (1, "x")).fetchall() == [(1, "x", 5)]


def test_an_old_transaction_sees_its_catalog(db: phantomdb.Database) -> None:
    sql, other = opened(db), opened(db)
    fill(sql)
    text = "SELECT * FROM heap WHERE a = ?"
    sql.execute("BEGIN")
    assert len(sql.execute(text, (1,)).names) == 2
    other.execute("ALTER TABLE heap ADD COLUMN c integer DEFAULT 3")
    assert len(other.execute(text, (1,)).names) == 3
    assert len(sql.execute(text, (1,)).names) == 2
    with pytest.raises(PhantomError):                        # its definition is no more when it commits
        sql.execute("INSERT INTO heap VALUES (?, ?)", (1, "x"))
        sql.execute("INSERT INTO heap VALUES (?, ?)", (1, "x"))
        sql.execute("COMMIT")
    sql.execute("ROLLBACK")


def test_a_search_path_has_statements_of_its_own(db: phantomdb.Database) -> None:
    sql = opened(db)
    fill(sql)
    sql.execute("CREATE SCHEMA other; CREATE TABLE other.item (id integer PRIMARY KEY, name text); "
                "INSERT INTO other.item VALUES (1, 'other')")
    text = "SELECT name FROM item WHERE id = ?"
    for _ in range(2):
        assert sql.execute(text, (1,)).fetchall() == [("a",)]
    sql.execute("SET search_path = other")
    for _ in range(2):
        assert sql.execute(text, (1,)).fetchall() == [("other",)]
    sql.execute("SET search_path = public")
    assert sql.execute(text, (1,)).fetchall() == [("a",)]


# -------------------------------------------------------------------- conflicts

def warmed(db: phantomdb.Database, *statements: tuple[str, Any]) -> list[SqlSession]:
    """Two sessions in transactions, the statements known to be fast."""
    sessions = [opened(db), opened(db)]
    if not sessions[0].execute("SELECT id FROM item").fetchall():
        fill(sessions[0])
    for text, parameters in statements:
        bound = sessions[0].bind(sessions[0]._plans.statements(text)[0], parameters)
        assert bound.fast is not None
        for sql in sessions:
            sql.execute("SELECT 1")
            sql._learn((text, *map(type, parameters)), bound)
    for sql in sessions:
        sql.execute("BEGIN")
    return sessions


@pytest.mark.parametrize("read", ["SELECT price FROM item WHERE id = ?",
                                  "SELECT price FROM item WHERE id = ? LIMIT 5"])
def test_write_skew_is_refused(db: phantomdb.Database, runs: list[bool], read: str) -> None:
    write = "UPDATE item SET price = ? WHERE id = ?"
    one, two = warmed(db, (read, (1,)), (write, (1.0, 1)))
    runs.clear()
    one.execute(read, (1,))
    one.execute(write, (0.0, 2))
    two.execute(read, (2,))
    two.execute(write, (0.0, 1))
    assert runs == [True] * 4
    one.execute("COMMIT")
    with pytest.raises(RetryableConflict):
        two.execute("COMMIT")


@pytest.mark.parametrize("read, parameters", [
    ("SELECT id FROM item WHERE id > ? ORDER BY id", (2,)),
    ("SELECT id FROM item WHERE grp = ?", (2,)),
    ("SELECT name FROM item WHERE id = ?", (10,)),
    ("SELECT qty, name FROM line JOIN item ON item.id = item_id WHERE line.id = ?", (1,))])
def test_phantoms_are_refused(db: phantomdb.Database, runs: list[bool], read: str, parameters: Any) -> None:
    write = "INSERT INTO heap VALUES (?, ?)"
    one, two = warmed(db, (read, parameters), (write, (1, "x")))
    runs.clear()
    one.execute(read, parameters)
    one.execute(write, (1, "x"))
    assert runs == [True, True]
    two.execute("INSERT INTO item VALUES (10, 2, NULL, 'new', 1.5, NULL, NULL)")
    two.execute("UPDATE item SET name = 'other' WHERE id = 1")
    two.execute("COMMIT")
    with pytest.raises(RetryableConflict):
        one.execute("COMMIT")


def test_one_of_two_inserts_of_a_key(db: phantomdb.Database, runs: list[bool]) -> None:
    write = "INSERT INTO line VALUES (?, ?, ?)"
    one, two = warmed(db, (write, (1, 1, 1)))
    runs.clear()
    for sql in (one, two):
        sql.execute(write, (500, 1, 1))
    assert runs == [True, True]
    one.execute("COMMIT")
    with pytest.raises(RetryableConflict):
        two.execute("COMMIT")


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_threads_lose_no_update(db: phantomdb.Database, isolation: Any) -> None:
    """Rows move between sessions by fast statements, each by itself; inserts of one key: one succeeds."""
    fill(opened(db))
    errors: list[BaseException] = []
    won: list[int] = []

    def work(number: int) -> None:
        try:
            sql = opened(db)
            sql.session.default_isolation = isolation
            for step in range(60):
                sql.execute("UPDATE item SET price = ?, grp = ? WHERE id = ?", (float(step), number * 100 + step, 1))
                row = sql.execute("SELECT price, grp FROM item WHERE id = ?", (1,)).fetchone()
                assert row is not None and row[1] % 100 == row[0]      # of one statement
                found = sql.execute("SELECT id, grp FROM item WHERE grp >= ?", (0,)).fetchall()
                assert len({id_ for id_, _ in found}) == len(found) == 3
                try:
                    sql.execute("INSERT INTO line VALUES (?, ?, ?)", (1000 + step, number, 1))
                    won.append(step)
                except UniqueViolation:
                    pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(won) == list(range(60))
    sql = opened(db)
    index = sql.execute("SELECT grp FROM item WHERE grp >= 0 AND id = 1").fetchall()
    assert index == sql.execute("SELECT grp FROM item WHERE id = 1").fetchall()


def test_a_statement_by_itself_is_run_again(db: phantomdb.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    sql, other = opened(db), opened(db)
    fill(sql)
    text = "UPDATE item SET price = ? WHERE id = ?"
    sql.execute(text, (1.0, 1))
    fast = sql._fast[text, float, int]
    assert isinstance(fast, fast_statements.FastChange)
    apply, calls = fast.apply, []

    def interrupted(core: Any, parameters: Any) -> Any:
        count = apply(core, parameters)
        calls.append(count)
        other.execute("UPDATE item SET name = 'mine' WHERE id = 1")
        return count

    monkeypatch.setattr(fast, "apply", interrupted)
    assert sql.execute(text, (9.0, 1)).row_count == 1
    assert calls == [1]
    assert sql.execute("SELECT name, price FROM item WHERE id = 1").fetchall() == [("mine", 9.0)]


def test_a_joined_transaction(db: phantomdb.Database, runs: list[bool]) -> None:
    fill(opened(db))
    with db.transaction() as transaction:
        for _ in range(2):
            transaction.sql("UPDATE line SET qty = ? WHERE id = ?", (77, 1))
            assert transaction.sql("SELECT qty FROM line WHERE id = ?", (1,)).fetchall() == [(77,)]
            assert db.sql("SELECT qty FROM line WHERE id = ?", (1,)).fetchall() == [(10,)]
    assert True in runs
    assert db.sql("SELECT qty FROM line WHERE id = ?", (1,)).fetchall() == [(77,)]
