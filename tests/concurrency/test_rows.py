"""Statements of many sessions at once, most of them fast ones: single ones, transactions, batches, changes of tables.

Money moves and its sum stays; every index says what its table says; unique keys are unique; no child is without its
parent; what is counted in the table is what the threads were told.
"""
from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from workers import SMALL, and_then, run_together, until

import phantomdb
from phantomdb.core.errors import RetryableConflict
from phantomdb.core.query.errors import CheckViolation, ForeignKeyViolation, UndefinedTable, UniqueViolation
from phantomdb.core.tables.rows import RowTransaction
from phantomdb.frontends.sql.frontend import SqlSession

ACCOUNTS, BALANCE, PARENTS = 30, 100, 8
TABLES = """
CREATE TABLE account (id integer PRIMARY KEY, owner integer, balance integer NOT NULL, code integer UNIQUE,
                      CHECK (balance >= 0));
CREATE INDEX account_owner ON account (owner, id);
CREATE TABLE entry (account integer, amount integer);
CREATE INDEX entry_account ON entry (account);
CREATE TABLE parent (id integer PRIMARY KEY, name text);
CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES parent);
"""


class Bank:
    """One database and what the threads do with it, `steps` times each."""

    def __init__(self, database: phantomdb.Database, steps: int, seed: int) -> None:
        self.database, self.steps, self.seed = database, steps, seed
        self.entries: list[int] = []                         # how many rows each thread has put into `entry`
        sql = self.session()
        sql.execute(TABLES)
        sql.execute_many("INSERT INTO account VALUES (?, ?, ?, ?)",
                         [(number, number % 5, BALANCE, number) for number in range(ACCOUNTS)])
        sql.execute_many("INSERT INTO parent VALUES (?, ?)", [(number, "first") for number in range(PARENTS)])

    def session(self) -> SqlSession:
        return SqlSession(self.database.session())

    def worker(self, step: Callable[[SqlSession, random.Random, int], None], number: int) -> None:
        sql, choose = self.session(), random.Random(f"{self.seed} {number}")
        for count in range(self.steps):
            step(sql, choose, count)

    # ---- steps

    def transfer(self, sql: SqlSession, choose: random.Random, _count: int) -> None:
        """In a transaction, or as one statement that gives nobody anything."""
        source, target = choose.sample(range(ACCOUNTS), 2)
        amount = choose.randint(0, 60)
        while True:
            try:
                sql.execute("BEGIN")
                sql.execute("UPDATE account SET balance = balance - ? WHERE id = ?", (amount, source))
                row = sql.execute("SELECT balance FROM account WHERE id = ?", (target,)).fetchone()
                assert row is not None
                sql.execute("UPDATE account SET balance = ? WHERE id = ?", (row[0] + amount, target))
                sql.execute("INSERT INTO entry VALUES (?, ?)", (source, -amount))
                sql.execute("INSERT INTO entry VALUES (?, ?)", (target, amount))
                sql.execute("COMMIT")
                self.entries.append(2)
                return
            except CheckViolation:
                sql.execute("ROLLBACK")
                return
            except RetryableConflict:
                sql.execute("ROLLBACK")

    def move(self, sql: SqlSession, choose: random.Random, _count: int) -> None:
        """Single statements that change indexes."""
        number = choose.randrange(ACCOUNTS)
        sql.execute("UPDATE account SET owner = ? WHERE id = ?", (choose.choice([None, 1, 2, 3, 4]), number))
        try:
            sql.execute("UPDATE account SET code = ? WHERE id = ?", (choose.randrange(2 * ACCOUNTS), number))
        except UniqueViolation:
            pass
        sql.execute("INSERT INTO account (id, owner, balance) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE "
                    "SET balance = account.balance + excluded.balance, owner = excluded.owner", (number, 1, 0))

    def come_and_go(self, sql: SqlSession, choose: random.Random, count: int) -> None:
        """Rows of empty accounts; one of those who want a key gets it."""
        number = ACCOUNTS + count % 10
        try:
            sql.execute("INSERT INTO account (id, owner, balance, code) VALUES (?, ?, ?, ?)",
                        (number, 3, 0, 1000 + choose.randrange(5)))
        except UniqueViolation:
            pass
        if choose.random() < 0.5:
            sql.execute("DELETE FROM account WHERE id = ?", (number,))

    def batch(self, sql: SqlSession, choose: random.Random, _count: int) -> None:
        """All of a batch or nothing."""
        rows = [(choose.randrange(ACCOUNTS), 0) for _ in range(choose.randint(1, 40))]
        self.entries.append(sql.execute_many("INSERT INTO entry VALUES (?, ?)", rows))
        sql.execute_many("UPDATE account SET owner = ? WHERE id = ?", [(2, number) for number, _ in rows[:5]])
        first = choose.randrange(10_000, 20_000)
        wanted = [(number, 1, 0, number) for number in (*range(first, first + 5), 5)]      # the last one is taken
        with pytest.raises(UniqueViolation):
            sql.execute_many("INSERT INTO account (id, owner, balance, code) VALUES (?, ?, ?, ?)", wanted)

    def families(self, sql: SqlSession, choose: random.Random, _count: int) -> None:
        parent, child = choose.randrange(PARENTS), choose.randrange(50)
        wanted: list[tuple[str, Sequence[Any]]] = [
            ("INSERT INTO child VALUES (?, ?)", (child, parent)), ("DELETE FROM parent WHERE id = ?", (parent,)),
            ("DELETE FROM child WHERE id = ?", (child,)), ("INSERT INTO parent VALUES (?, ?)", (parent, "again")),
            ("UPDATE child SET parent = ? WHERE id = ?", (parent, child)),
            ("UPDATE parent SET name = ? WHERE id = ?", ("other", parent))]
        for text, parameters in choose.sample(wanted, 3):
            try:
                sql.execute(text, parameters)
            except (ForeignKeyViolation, UniqueViolation):
                pass

    def define(self, sql: SqlSession, _choose: random.Random, count: int) -> None:
        """Makes plans stale all the time. Rows keep what they have."""
        if count % 5:
            return
        for text in (f"ALTER TABLE account ADD COLUMN more{count} integer DEFAULT 7",
                     f"CREATE INDEX account_more ON account (more{count}, owner)", "DROP INDEX account_more",
                     f"ALTER TABLE account DROP COLUMN more{count}"):
            while True:
                try:
                    sql.execute(text)
                    break
                except RetryableConflict:
                    pass

    def audit(self, sql: SqlSession) -> None:
        """One snapshot each."""
        rows = sql.execute("SELECT id, owner, balance FROM account WHERE id >= ?", (0,)).fetchall()
        assert sum(balance for _, _, balance in rows) == ACCOUNTS * BALANCE
        assert len({number for number, _, _ in rows}) == len(rows) >= ACCOUNTS
        sql.execute("BEGIN")
        rows = sql.execute("SELECT id, owner FROM account WHERE id >= ?", (0,)).fetchall()
        for owner in range(5):
            found = sql.execute("SELECT id FROM account WHERE owner = ?", (owner,)).fetchall()
            assert sorted(found) == sorted((number,) for number, wanted in rows if wanted == owner)
        sql.execute("ROLLBACK")

    # ---- at the end

    def check(self) -> None:
        sql = self.session()
        self.audit(sql)
        assert sql.execute("SELECT count(*) FROM entry").fetchall() == [(sum(self.entries),)]
        codes = [code for code, in sql.execute("SELECT code FROM account WHERE code IS NOT NULL").fetchall()]
        assert len(set(codes)) == len(codes)
        assert sql.execute("SELECT count(*) FROM child WHERE parent IS NOT NULL AND parent NOT IN "
                           "(SELECT id FROM parent)").fetchall() == [(0,)]
        sql.session.run(self._check_indexes, writes=False)

    @staticmethod
    def _check_indexes(rows: RowTransaction) -> None:
        """Every entry leads to its row, and every row has its entries."""
        for name in ("account", "entry", "parent", "child"):
            table = rows.catalog.find_table("main", "public", name)
            if table is None:
                raise UndefinedTable(name)
            layout = rows.layout(table.id)
            for index in layout.indexes:
                wanted: dict[bytes, bytes] = {}
                for key, record in rows.space.scan(*layout.range()):
                    wanted |= index.entries(layout.decode(key, record), key[len(layout.keys.prefix):])
                assert dict(rows.space.scan(index.keys.start, index.keys.stop)) == wanted, index.index.name


def many_sessions(path: Path, *, steps: int, seed: int, **options: Any) -> None:
    with phantomdb.open(path, **{**SMALL, **options}) as db:
        bank, stop = Bank(db, steps, seed), threading.Event()
        jobs = [bank.transfer, bank.transfer, bank.move, bank.come_and_go, bank.batch, bank.families, bank.families,
                bank.define]
        work = [partial(bank.worker, job, number) for number, job in enumerate(jobs)]
        left = threading.Semaphore(0)

        def all_done() -> None:
            for _ in work:
                left.acquire()

        def counted(job: Callable[[], None]) -> Callable[[], None]:
            def call() -> None:
                try:
                    job()
                finally:
                    left.release()
            return call

        run_together([*map(counted, work), and_then(all_done, stop), until(stop, partial(bank.audit, bank.session()))])
        bank.check()
        entries = bank.entries
    with phantomdb.open(path, **{**SMALL, **options}) as db:
        again = Bank.__new__(Bank)
        again.database, again.entries = db, entries
        again.check()


@pytest.mark.parametrize("partitions", [1, 4])
def test_statements_of_many_sessions(tmp_path: Path, partitions: int) -> None:
    many_sessions(tmp_path / "db", steps=15, seed=1, partitions=partitions, durability="none")


@pytest.mark.long
@pytest.mark.parametrize("durability", ["none", "commit"])
@pytest.mark.parametrize("partitions, seed", [(1, 2), (4, 3)])
def test_statements_of_many_sessions_long(tmp_path: Path, partitions: int, seed: int, durability: Any) -> None:
    many_sessions(tmp_path / "db", steps=400, seed=seed, partitions=partitions, durability=durability)
