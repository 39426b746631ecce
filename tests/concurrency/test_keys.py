"""Keys hold while many write: ON CONFLICT, cascades, deferred constraints, at both isolation levels, through SQL.

What threads do is random; what must be so at the end is not. tests/unit/test_tables_constraints.py has single steps.
"""
from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import phantomdb
from phantomdb.core.errors import RetryableConflict
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query.errors import IntegrityViolation
from phantomdb.core.tables.agreement import check_tables
from phantomdb.core.transactions import Isolation
from phantomdb.frontends.sql.frontend import SqlSession

THREADS, STEPS = 4, 40
LEVELS = pytest.mark.parametrize("level", ["serializable", "snapshot"])


class Crowd:
    """Sessions in threads, and one to look with."""

    def __init__(self, db: phantomdb.Database) -> None:
        self.db = db
        self.sql = SqlSession(db.session())

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        return self.sql.execute(text).fetchall()

    def work(self, level: Isolation, step: Callable[[SqlSession, random.Random], int]) -> tuple[int, int]:
        """Each thread calls `step` STEPS times; (sum of what it gave, calls refused as a conflict or for a key)."""
        failures: list[BaseException] = []
        done = [0] * THREADS
        refused = [0] * THREADS
        gate = threading.Barrier(THREADS)

        def run(number: int) -> None:
            session = SqlSession(self.db.session())
            session.execute(f"SET default_transaction_isolation = '{level}'")
            chooser = random.Random(number)
            gate.wait()
            try:
                for _ in range(STEPS):
                    try:
                        done[number] += step(session, chooser)
                    except (RetryableConflict, IntegrityViolation):
                        refused[number] += 1
                        if session.session.in_transaction:
                            session.execute("ROLLBACK")
            except BaseException as error:
                failures.append(error)
            finally:
                session.session.close()

        threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        with self.db.transaction(isolation="snapshot") as transaction:
            check_tables(self.db.queries.tables.rows(transaction))
        return sum(done), sum(refused)


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
        made = Crowd(db)
        yield made
        made.sql.session.close()


@LEVELS
def test_on_conflict_do_update_counts_all(crowd: Crowd, level: Isolation) -> None:
    crowd.sql.execute("CREATE TABLE counter (id integer PRIMARY KEY, name text UNIQUE, n integer)")

    def step(session: SqlSession, chooser: random.Random) -> int:
        number = chooser.randrange(3)
        target = chooser.choice(["(id)", "(name)"])
        return session.execute(f"INSERT INTO counter VALUES (?, ?, 1) ON CONFLICT {target} DO UPDATE "
                               "SET n = counter.n + excluded.n", (number, f"name {number}")).row_count

    done, refused = crowd.work(level, step)
    assert done + refused == THREADS * STEPS and done > STEPS
    assert crowd.rows("SELECT sum(n), count(*) FROM counter") == [(done, 3)]


@LEVELS
def test_on_conflict_do_nothing_takes_each_key_once(crowd: Crowd, level: Isolation) -> None:
    crowd.sql.execute("CREATE TABLE t (id serial PRIMARY KEY, a integer, b integer, UNIQUE (a, b))")

    def step(session: SqlSession, chooser: random.Random) -> int:
        return session.execute("INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING",
                               [chooser.randrange(6) for _ in range(4)]).row_count

    done, _ = crowd.work(level, step)
    assert crowd.rows("SELECT count(*), count(DISTINCT (a * 10 + b)) FROM t") == [(done, done)]


ORPHANS = ("SELECT c.id FROM child c WHERE c.parent IS NOT NULL "
           "AND NOT EXISTS (SELECT 1 FROM parent p WHERE p.id = c.parent)")


@LEVELS
@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"])
def test_no_child_without_its_parent(crowd: Crowd, action: str, level: Isolation) -> None:
    crowd.sql.execute(f"CREATE TABLE parent (id integer PRIMARY KEY);"
                      f"CREATE TABLE child (id serial PRIMARY KEY, parent integer DEFAULT 0 REFERENCES parent "
                      f"ON DELETE {action} ON UPDATE {action});"
                      f"CREATE INDEX ON child (parent); INSERT INTO parent SELECT n FROM generate_series(0, 5) n")

    def step(session: SqlSession, chooser: random.Random) -> int:
        number = chooser.randrange(1, 6)
        match chooser.randrange(6):
            case 0:
                return session.execute("DELETE FROM parent WHERE id = ?", (number,)).row_count
            case 1:
                return session.execute("INSERT INTO parent VALUES (?) ON CONFLICT DO NOTHING", (number,)).row_count
            case 2:
                return session.execute("UPDATE parent SET id = ? WHERE id = ?",
                                       (chooser.randrange(1, 6), number)).row_count
            case 3:
                return session.execute("UPDATE child SET parent = ? WHERE id % 3 = 0", (number,)).row_count
        return session.execute("INSERT INTO child (parent) VALUES (?)", (number,)).row_count

    done, _ = crowd.work(level, step)
    assert done and crowd.rows(ORPHANS) == []


@LEVELS
def test_deferred_foreign_keys(crowd: Crowd, level: Isolation) -> None:
    """Children come before their parents, and parents go and come back, in one transaction."""
    crowd.sql.execute("CREATE TABLE parent (id integer PRIMARY KEY);"
                      "CREATE TABLE child (id serial PRIMARY KEY, parent integer REFERENCES parent "
                      "DEFERRABLE INITIALLY DEFERRED)")

    def step(session: SqlSession, chooser: random.Random) -> int:
        number = chooser.randrange(4)
        session.execute("BEGIN")
        match chooser.randrange(4):
            case 0:
                session.execute("DELETE FROM parent WHERE id = ?", (number,))
            case 1:
                session.execute("DELETE FROM parent WHERE id = ?", (number,))
                session.execute("INSERT INTO parent VALUES (?)", (number,))
            case 2:
                session.execute("INSERT INTO child (parent) VALUES (?)", (number,))
            case 3:
                session.execute("INSERT INTO child (parent) VALUES (?)", (number,))
                session.execute("INSERT INTO parent VALUES (?) ON CONFLICT DO NOTHING", (number,))
        session.execute("COMMIT")
        return 1

    done, refused = crowd.work(level, step)
    assert done and refused
    assert crowd.rows(ORPHANS) == []


@LEVELS
def test_deferred_unique_keys(crowd: Crowd, level: Isolation) -> None:
    """Places are exchanged, in two steps or in one; they stay a permutation."""
    count = 6
    crowd.sql.execute("CREATE TABLE place (id integer PRIMARY KEY, at integer NOT NULL UNIQUE DEFERRABLE INITIALLY "
                      f"DEFERRED); INSERT INTO place SELECT n, n FROM generate_series(1, {count}) n")

    def step(session: SqlSession, chooser: random.Random) -> int:
        one, other = chooser.sample(range(1, count + 1), 2)
        session.execute("BEGIN")
        first, second = (session.execute("SELECT at FROM place WHERE id = ?", (number,)).scalar()
                         for number in (one, other))
        session.execute("UPDATE place SET at = ? WHERE id = ?", (second, one))
        if chooser.random() < 0.8:                           # else two are at one place: refused at the commit
            session.execute("UPDATE place SET at = ? WHERE id = ?", (first, other))
        session.execute("COMMIT")
        return 1

    done, refused = crowd.work(level, step)
    assert done and refused
    assert crowd.rows("SELECT at FROM place ORDER BY at") == [(n,) for n in range(1, count + 1)]
