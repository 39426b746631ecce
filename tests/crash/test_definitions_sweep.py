"""Crash at each file operation of definitions: all of one is there or nothing of it, and the database works.

    scenario    statements before, then the statements under test
    crash       before each operation of the disk: what is lost, kept or torn opens, and is the state before one of
                the statements, or after the last that had begun; what was acknowledged is there

An index over rows is made in steps, each a commit: a crash in between leaves it in the making, and the opened database
goes on with it by itself. The check waits for that, and then asks the same.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sweep import ROOT, SMALL

import phantomdb
from phantomdb.core.catalog.objects import Sequence, StoredExpression, Table, View
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query.errors import QueryError
from phantomdb.core.tables import work
from phantomdb.core.tables.agreement import check_tables
from phantomdb.frontends.sql.frontend import SqlSession

ROWS = 40
SAMPLE = 6                               # operations of each scenario at which the fast tier looks
BUILD_TIMEOUT_S = 60.0
OPTIONS = {**SMALL, "durability": "commit"}
STOCK = (f"CREATE TABLE item (id integer PRIMARY KEY, name text, price numeric);"
         f"INSERT INTO item SELECT n, 'item ' || n, n * 1.5 FROM generate_series(1, {ROWS}) n;")

SCENARIOS: dict[str, tuple[str, list[str]]] = {
    "create table": ("", [
        "CREATE TABLE a (id serial PRIMARY KEY, b text UNIQUE DEFAULT 'x', CHECK (id > 0))",
        "CREATE TABLE b (a integer REFERENCES a, c integer GENERATED ALWAYS AS (a * 2) STORED)",
        "INSERT INTO a VALUES (5)"]),                        # not by the sequence: a crash may skip numbers
    "create table as": (STOCK, ["CREATE TABLE copied AS SELECT * FROM item WHERE id > 10"]),
    "create index": (STOCK, [
        "CREATE INDEX by_name ON item (name)", "CREATE UNIQUE INDEX by_price ON item ((price * 2) DESC) WHERE id > 5"]),
    "refused index": (STOCK + "UPDATE item SET name = 'same' WHERE id > 30;", [
        "CREATE UNIQUE INDEX by_name ON item (name)"]),
    "drop": (STOCK + "CREATE INDEX by_name ON item (name); CREATE VIEW v AS SELECT id FROM item;", [
        "DROP VIEW v", "DROP INDEX by_name", "DROP TABLE item"]),
    "drop cascade": (STOCK + "CREATE VIEW v AS SELECT id FROM item;"
                     "CREATE TABLE child (item integer REFERENCES item ON DELETE CASCADE);", [
        "DROP TABLE item CASCADE"]),
    "alter": (STOCK, [
        "ALTER TABLE item ADD COLUMN stock integer NOT NULL DEFAULT 7", "ALTER TABLE item ALTER COLUMN price TYPE text",
        "ALTER TABLE item DROP COLUMN name", "ALTER TABLE item RENAME TO goods",
        "ALTER TABLE goods ADD CONSTRAINT low CHECK (stock < 100), ADD UNIQUE (stock, id)"]),
    "another key": (STOCK + "CREATE INDEX by_price ON item (price);", [
        "ALTER TABLE item DROP CONSTRAINT item_pkey", "ALTER TABLE item ADD PRIMARY KEY (name)"]),
    "truncate": (STOCK + "CREATE INDEX by_name ON item (name);", [
        "TRUNCATE item", "INSERT INTO item VALUES (1, 'new', 1)"]),
    "views and sequences": (STOCK, [
        "CREATE VIEW v AS SELECT name FROM item WHERE id < 5", "CREATE SEQUENCE s START WITH 5 CACHE 10",
        "CREATE OR REPLACE VIEW v AS SELECT name, price FROM item", "ALTER SEQUENCE s RESTART WITH 100",
        "DROP SEQUENCE s"]),
    "several in a transaction": (STOCK, [
        ("BEGIN; CREATE TABLE a (id integer PRIMARY KEY); INSERT INTO a SELECT id FROM item; CREATE INDEX ON a (id);"
         "ALTER TABLE item DROP COLUMN price; DROP TABLE IF EXISTS nosuch; COMMIT")]),
    "schemas": ("", ["CREATE SCHEMA s", "CREATE TABLE s.t (id integer)", "DROP SCHEMA s CASCADE"]),
}

State = dict[str, Any]


def state_of(db: phantomdb.Database) -> State:
    """Everything in the catalog by name, and the rows of all tables. Without ids, which a crash may skip, and without
    the names made of them."""
    with db.transaction(isolation="snapshot") as transaction:
        rows = db.queries.tables.rows(transaction)
        objects = rows.catalog.objects
        found: State = {}
        for item in objects.values():
            schema = objects.get(getattr(item, "schema", 0))
            key = f"{type(item).__name__} {getattr(schema, 'name', '')}.{item.name}"
            match item:
                case Table():
                    names = {column.id: column.name for column in item.columns}
                    found[key] = (
                        [(column.name, str(column.type), column.is_nullable, _text(column.default),
                          _text(column.generated)) for column in item.columns],
                        [names[number] for number in item.primary_key if number in names],
                        sorted((index.name, index.state.name, index.is_unique, _text(index.predicate))
                               for index in item.indexes),
                        sorted(_text(check.condition) for check in item.checks),
                        sorted(foreign.name for foreign in item.foreign_keys),
                        sorted((row for _, row in rows.scan(rows.layout(item.id))), key=repr))
                case View():
                    found[key] = (item.column_names, item.text)
                case Sequence():
                    found[key] = (item.start, item.increment, item.cache)
                case _:
                    found[key] = ()
        return found


def _text(expression: StoredExpression | None) -> str:
    return "" if expression is None else expression.text


@dataclass
class Sweep:
    """Runs a scenario, and looks at what a crash before each operation, or so many of them, would leave."""

    name: str
    sample: int | None = None                                # at how many operations; None: at all
    torn_seeds: int = 1
    states: list[State] = field(default_factory=list)        # after each statement, the first before all
    disk: MemoryFileSystem = field(default_factory=MemoryFileSystem)
    is_rehearsal: bool = True
    stride: int = 1
    operations: int = 0
    begun: int = 0
    acknowledged: int = 0
    checked: int = 0
    failures: list[BaseException] = field(default_factory=list)

    def run(self) -> None:
        """Twice: the states, and the number of operations, are learnt in a run without crashes."""
        self._play(lambda db: self.states.append(state_of(db)))
        if self.sample is not None:
            self.stride = max(1, self.operations // self.sample)
        self.is_rehearsal = False
        self._play(lambda db: None)
        if self.failures:
            raise self.failures[0]

    def _play(self, after: Callable[[phantomdb.Database], None]) -> None:
        setup, statements = SCENARIOS[self.name]
        self.disk = MemoryFileSystem()
        self.operations = self.begun = self.acknowledged = 0
        with phantomdb.open(ROOT, file_system=self.disk, **OPTIONS) as db:
            session = SqlSession(db.session())
            if setup:
                session.execute(setup)
            after(db)
            self.disk.before_operation = self._before
            for number, statement in enumerate(statements, 1):
                self.begun = number
                try:
                    session.execute(statement)
                except QueryError:
                    assert "refused" in self.name
                self.acknowledged = number
                after(db)
                if number % 2:
                    db.flush()
            session.session.close()
            self.disk.before_operation = None

    def _before(self, _number: int, operation: str, path: str) -> None:
        self.operations += 1
        if self.is_rehearsal or self.operations % self.stride != self.stride // 2 or self.failures:
            return
        acknowledged, begun = self.acknowledged, self.begun
        torn = [("torn", self.operations * 10 + number) for number in range(self.torn_seeds)]
        for mode, seed in [("lost", 0), ("kept", 0), *torn]:
            try:
                self._check(self.disk.crash_image(mode, seed), acknowledged, begun)       # type: ignore[arg-type]
                self.checked += 1
            except BaseException as error:
                error.add_note(f"crash before operation {self.operations} ({operation} {path}), {mode} {seed}, in "
                               f"statement {begun} of {self.name!r}")
                self.failures.append(error)
                return

    def _check(self, image: MemoryFileSystem, acknowledged: int, begun: int) -> None:
        with phantomdb.open(ROOT, file_system=image, **OPTIONS) as db:
            wait_for_builds(db)
            found = state_of(db)
            place = next((at for at in range(acknowledged, begun + 1) if self.states[at] == found), None)
            if place is None:
                raise AssertionError(f"neither the state after statement {acknowledged} nor after {begun}: "
                                     f"{difference(found, self.states[begun])}")
            check_all(db)
            # and on: the rest can be done, and comes to the same end
            session = SqlSession(db.session())
            for statement in SCENARIOS[self.name][1][place:]:
                try:
                    session.execute(statement)
                except QueryError:
                    assert "refused" in self.name
            session.session.close()
            assert state_of(db) == self.states[-1]
            check_all(db)


def check_all(db: phantomdb.Database) -> None:
    with db.transaction(isolation="snapshot") as transaction:
        check_tables(db.queries.tables.rows(transaction))


def difference(found: State, expected: State) -> str:
    return "; ".join(f"{key}: {found.get(key)!r:.300} not {expected.get(key)!r:.300}"
                     for key in sorted({*found, *expected}) if found.get(key) != expected.get(key))


def wait_for_builds(db: phantomdb.Database) -> None:
    """The thread of the upkeep goes on with what a crash left unfinished."""
    _ = db.queries
    deadline = time.monotonic() + BUILD_TIMEOUT_S
    while db.stats()["index_builds"]:
        assert time.monotonic() < deadline, db.stats()["index_builds"]
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index over the rows is made in several commits, beside writers."""
    monkeypatch.setattr(work, "SMALL_TABLE_ROWS", 10)
    monkeypatch.setattr(work, "BATCH_ROWS", 15)


@pytest.mark.parametrize("name", SCENARIOS)
def test_sampled_crashes(name: str) -> None:
    sweep = Sweep(name, SAMPLE)
    sweep.run()
    assert sweep.checked >= SAMPLE


@pytest.mark.long
@pytest.mark.parametrize("name", SCENARIOS)
def test_long_every_crash(name: str) -> None:
    sweep = Sweep(name, torn_seeds=3)
    sweep.run()
    assert sweep.checked == 5 * sweep.operations > 5 * SAMPLE
