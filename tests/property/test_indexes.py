"""Every index has the entries of the rows and no others, whatever happened: changes, failed statements, savepoints,
rollbacks, indexes that come and go, crashes, reopening. All kinds of index at once.

check_tables (core/tables/agreement.py) compares, as Database.verify() does; here it is also shown to find each kind of
disagreement.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phantomdb
from phantomdb.core.errors import CorruptionError
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query.errors import QueryError
from phantomdb.core.tables.agreement import check_tables
from phantomdb.core.tables.rows import RowTransaction
from phantomdb.frontends.sql.frontend import SqlSession

OPTIONS: dict[str, Any] = {"memtable_bytes": 256 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
                           "retention_s": 0, "durability": "commit"}
TABLE = "CREATE TABLE t (id integer PRIMARY KEY, a integer, b text, c numeric, tags integer[], doc jsonb)"
INDEXES = {
    "plain": "CREATE INDEX plain ON t (a)",
    "unique_text": "CREATE UNIQUE INDEX unique_text ON t (b)",
    "partial": "CREATE UNIQUE INDEX partial ON t (a) WHERE c > 0",
    "computed": "CREATE INDEX computed ON t (lower(b), (a * 2))",
    "descending": "CREATE INDEX descending ON t (a DESC NULLS LAST, b)",
    "elements": "CREATE INDEX elements ON t (tags) WITH (multi_key = true)",
    "field": "CREATE INDEX field ON t (doc.x.y)",
    "field_elements": "CREATE INDEX field_elements ON t (doc.tags, a) WITH (multi_key = true)",
    "nulls_too": "CREATE UNIQUE INDEX nulls_too ON t (a, b) NULLS NOT DISTINCT",
}
DOCUMENTS = ["{}", '{"x": {"y": 1}}', '{"x": [{"y": 2}, {"y": 3}]}', '{"tags": [1, "a", null]}', '{"tags": []}', "null"]
Step = tuple[Any, ...]

_ids = st.integers(1, 8)
_values = st.tuples(st.integers(0, 3) | st.none(), st.sampled_from(["a", "A", "b", "\u00df", ""]) | st.none(),
                    st.sampled_from([-1, 0, 1]) | st.none(), st.lists(st.integers(0, 2), max_size=3) | st.none(),
                    st.sampled_from(DOCUMENTS) | st.none())
STEPS = st.one_of(
    st.tuples(st.just("insert"), _ids, _values), st.tuples(st.just("insert"), _ids, _values),
    st.tuples(st.just("upsert"), _ids, _values), st.tuples(st.just("update"), _ids, _values),
    st.tuples(st.just("update_many"), st.integers(0, 3)), st.tuples(st.just("move"), _ids, _ids),
    st.tuples(st.just("delete"), _ids), st.tuples(st.just("insert_many"), _ids, _values),
    st.sampled_from([("truncate",), ("savepoint",), ("roll back to",), ("release",), ("roll back to",)]),
    st.sampled_from([("begin",), ("begin",), ("commit",), ("roll back",)]),
    st.sampled_from([("reopen",), ("crash", "lost"), ("crash", "kept"), ("crash", "torn"), ("compact",)]),
    st.tuples(st.sampled_from(["drop index", "create index"]), st.sampled_from(sorted(INDEXES))),
    st.sampled_from([("add column",), ("drop column",), ("retype",)]),
)


class Machine:
    """A database in memory, and what a program does with it."""

    def __init__(self) -> None:
        self.disk = MemoryFileSystem()
        self.open()
        self.sql.execute(TABLE)
        for statement in INDEXES.values():
            self.sql.execute(statement)
        self.done = 0

    def open(self) -> None:
        self.db = phantomdb.open("/db", file_system=self.disk, **OPTIONS)
        self.sql = SqlSession(self.db.session())

    def close(self) -> None:
        self.sql.session.close()
        self.db.close()

    def run(self, text: str, parameters: Any = ()) -> None:
        """A statement that may be refused: keys collide, savepoints are not there."""
        try:
            self.sql.execute(text, parameters)
            self.done += 1
        except QueryError:
            pass

    def apply(self, step: Step) -> None:
        match step:
            case ("insert", number, values):
                self.run("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?::jsonb)", (number, *values))
            case ("insert_many", number, values):
                self.run("INSERT INTO t (id, a, b) SELECT n, n % 4, ? || n FROM generate_series(?, 9) n",
                         (values[1], number))
            case ("upsert", number, values):
                self.run("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?::jsonb) ON CONFLICT (id) DO UPDATE SET "
                         "a = excluded.a, b = excluded.b, c = excluded.c, tags = excluded.tags", (number, *values))
            case ("update", number, values):
                self.run("UPDATE t SET a = ?, b = ?, c = ?, tags = ?, doc = ?::jsonb WHERE id = ?", (*values, number))
            case ("update_many", value):
                self.run("UPDATE t SET a = a + 1, c = -c WHERE a <= ?", (value,))
            case ("move", number, to):
                self.run("UPDATE t SET id = ? WHERE id = ?", (to, number))
            case ("delete", number):
                self.run("DELETE FROM t WHERE id = ? OR a = ?", (number, number))
            case ("truncate",):
                self.run("TRUNCATE t")
            case ("savepoint",):
                self.run("SAVEPOINT s")
            case ("roll back to",):
                self.run("ROLLBACK TO s")
            case ("release",):
                self.run("RELEASE s")
            case ("begin",):
                self.run("BEGIN")
            case ("commit",):
                self.run("COMMIT")
            case ("roll back",):
                self.run("ROLLBACK")
            case ("drop index", name):
                self.run(f"DROP INDEX {name}")
            case ("create index", name):
                self.run(INDEXES[name])
            case ("add column",):
                self.run("ALTER TABLE t ADD COLUMN extra integer DEFAULT 5")
            case ("drop column",):
                self.run("ALTER TABLE t DROP COLUMN extra")
            case ("retype",):
                self.run("ALTER TABLE t ALTER COLUMN a TYPE bigint")
            case ("compact",):
                self.db.compact()
            case ("reopen",):
                self.close()
                self.open()
            case ("crash", mode):
                if self.sql.session.in_transaction:
                    self.run("ROLLBACK")
                before = self.rows()
                self.disk = self.disk.crash_image(mode, self.done)
                self.close()
                self.open()
                assert self.rows() == before             # durability "commit": nothing acknowledged is lost

    def rows(self) -> list[tuple[Any, ...]]:
        return self.sql.execute("SELECT * FROM t ORDER BY id").fetchall()

    def check(self) -> dict[str, int]:
        """Also inside of the open transaction, as it sees its own writes."""
        session = self.sql.session
        if session.rows is not None and not session.is_failed:
            check_tables(session.rows)
        with self.transaction() as rows:
            return check_tables(rows)

    @contextmanager
    def transaction(self) -> Iterator[RowTransaction]:
        with self.db.transaction(isolation="snapshot") as transaction:
            yield self.db.queries.tables.rows(transaction)


def play(steps: list[Step]) -> None:
    machine = Machine()
    for number, letter in enumerate("abcdef", 1):
        machine.apply(("insert", number, (number, letter, number % 3, [number, 1], DOCUMENTS[number % 6])))
    try:
        for step in steps:
            machine.apply(step)
            machine.check()
        machine.apply(("roll back",))
        machine.apply(("crash", "kept"))
        counts = machine.check()
        assert counts["row_tables"] == 1 and counts["rows"] == len(machine.rows())
    finally:
        machine.close()


@settings(max_examples=25)
@given(st.lists(STEPS, min_size=4, max_size=25))
def test_indexes_agree_with_rows(steps: list[Step]) -> None:
    play(steps)


@pytest.mark.long
@settings(max_examples=1500)
@given(st.lists(STEPS, min_size=10, max_size=60))
def test_long_indexes_agree_with_rows(steps: list[Step]) -> None:
    play(steps)


# ---- the check finds what there is to find

@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    made.apply(("insert", 1, (1, "a", 1, [1, 2], DOCUMENTS[2])))
    made.apply(("insert", 2, (2, "b", None, None, None)))
    yield made
    made.close()


def test_all_is_counted(machine: Machine) -> None:
    # of row 1 every index has an entry, the two over elements more; of row 2 the partial one has none
    assert machine.check() == {"row_tables": 1, "rows": 2, "index_entries": 10 + 8}
    assert machine.db.verify()["index_entries"] == 18


@pytest.mark.parametrize("name", sorted(INDEXES))
@pytest.mark.parametrize("damage", ["missing", "other row", "one too many"])
def test_a_disagreement_is_found(machine: Machine, name: str, damage: str) -> None:
    with machine.transaction() as rows:
        table, = (item for item in rows.catalog.objects.values() if getattr(item, "name", "") == "t")
        index, = (layout for layout in rows.layout(table.id).indexes if layout.index.name == name)
        key, value = next(iter(rows.space.scan(index.keys.start, index.keys.stop)))
        if damage == "one too many":
            rows.space.put(key + b"\x01", value)
        elif damage == "missing":
            rows.space.delete(key)
        else:
            rows.space.put(key, value + b"\x1a")
    with pytest.raises(CorruptionError, match=f'index "{name}" of table "t"'):
        machine.db.verify()
