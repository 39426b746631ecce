"""Definitions that change while transactions read for long, and what is left of tables that are dropped."""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import disks
import pytest

import phantomdb
from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.catalog.keys import CATALOG_PREFIX
from phantomdb.core.errors import RetryableConflict, SnapshotTooOld
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query.errors import UndefinedColumn, UndefinedTable
from phantomdb.core.tables.layout import ROWS_PREFIX


@pytest.fixture
def items(db: phantomdb.Database) -> phantomdb.Database:
    """item (id, a), three rows; retention is 0, so what no open transaction sees goes at the next compaction."""
    db.sql("CREATE TABLE item (id int PRIMARY KEY, a int)")
    db.sql("INSERT INTO item VALUES (1, 10), (2, 20), (3, 30)")
    return db


# ---------------------------------------------------------------- long readers

CHANGES = [
    ["ALTER TABLE item ADD COLUMN b int DEFAULT 5"], ["ALTER TABLE item DROP COLUMN a"],
    ["ALTER TABLE item RENAME COLUMN a TO z"], ["ALTER TABLE item RENAME TO thing"], ["DROP TABLE item"],
    ["DROP TABLE item", "CREATE TABLE item (x text)", "INSERT INTO item VALUES ('new')"], ["TRUNCATE item"],
    ["ALTER TABLE item DROP CONSTRAINT item_pkey", "INSERT INTO item VALUES (1, 1)"],
    ["CREATE INDEX item_a ON item (a)", "UPDATE item SET a = a + 1"]]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
@pytest.mark.parametrize("changes", CHANGES, ids="; ".join)
def test_an_old_transaction_sees_the_definitions_of_its_beginning(
        items: phantomdb.Database, changes: list[str], isolation: Any, when: str) -> None:
    """Whether it has asked for the catalog before the change or only long after."""
    wanted = [(1, 10), (2, 20), (3, 30)]
    with items.transaction(isolation=isolation) as txn:
        if when == "before":
            assert txn.sql("SELECT * FROM item ORDER BY id").fetchall() == wanted
        for change in changes:
            items.sql(change)
        items.compact()
        assert txn.sql("SELECT * FROM item ORDER BY id").fetchall() == wanted
        assert txn.sql("SELECT a FROM item WHERE id = 2").fetchall() == [(20,)]
        assert txn.sql("SELECT count(*), sum(a) FROM item").fetchall() == [(3, 60)]
        assert txn.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'item' "
                       "ORDER BY ordinal_position").fetchall() == [("id",), ("a",)]
        with pytest.raises(UndefinedTable):
            txn.sql("SELECT * FROM thing")
        with pytest.raises(UndefinedColumn):
            txn.sql("SELECT z FROM item")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
@pytest.mark.parametrize("changes", CHANGES, ids="; ".join)
def test_an_old_transaction_does_not_write_by_old_definitions(
        items: phantomdb.Database, changes: list[str], isolation: Any, when: str) -> None:
    txn = items.transaction(isolation=isolation)
    if when == "before":
        txn.sql("SELECT * FROM item").fetchall()
    for change in changes:
        items.sql(change)
    items.compact()
    before = list(KeySpace(items.store.engine, ROWS_PREFIX).scan())
    with pytest.raises(RetryableConflict, match="run it again"):
        txn.sql("INSERT INTO item VALUES (4, 40)")
        txn.sql("UPDATE item SET a = a + 1 WHERE id = 1")
        txn.commit()
    assert list(KeySpace(items.store.engine, ROWS_PREFIX).scan()) == before


def test_other_tables_may_be_written_after_a_change(items: phantomdb.Database) -> None:
    """A change of one table is no conflict for those who use others."""
    items.sql("CREATE TABLE other (id int PRIMARY KEY)")
    with items.transaction() as txn:
        txn.sql("INSERT INTO other VALUES (1)")
        items.sql("ALTER TABLE item ADD COLUMN b int")
    assert items.sql("SELECT * FROM other").fetchall() == [(1,)]


def test_definitions_change_while_a_reader_is_open(opened: Any) -> None:
    """Each reader keeps its own catalog; none holds up a change, and newer ones see it at once."""
    db = opened()
    db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    db.sql("INSERT INTO t VALUES (1)")
    readers = []
    for number in range(40):                             # more than the catalogs kept in memory
        reader = db.transaction()
        if number % 3:
            reader.sql("SELECT 1").fetchall()
        readers.append(reader)
        db.sql(f"ALTER TABLE t ADD COLUMN c{number} int DEFAULT {number}")
        if number % 10 == 9:
            db.compact()
    for number, reader in enumerate(readers):
        assert reader.sql("SELECT * FROM t").fetchall() == [(1, *range(number))]
        reader.commit()                                  # it has read only
    assert len(db.sql("SELECT * FROM t").fetchall()[0]) == 41


def test_as_of_before_the_window(items: phantomdb.Database) -> None:
    """No transaction holds the moment: it is told, and never answered with another catalog."""
    moment = items.timestamp
    items.sql("ALTER TABLE item ADD COLUMN b int")
    items.compact()
    with pytest.raises(SnapshotTooOld):
        items.sql(f"SELECT * FROM item AS OF SYSTEM TIME {moment}").fetchall()


# ---------------------------------------------------------------- space and ids

def row_count(db: phantomdb.Database) -> int:
    return sum(1 for _ in KeySpace(db.store.engine, ROWS_PREFIX).scan())


def stored_entries(db: phantomdb.Database) -> int:
    return sum(level["entries"] for level in db.stats()["levels"])


def filled(db: phantomdb.Database, name: str, rows: int = 2000) -> None:
    db.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, a int, b text)")
    db.sql(f"CREATE INDEX {name.rpartition('.')[2]}_a ON {name} (a)")
    db.sql(f"INSERT INTO {name} SELECT i, i % 100, repeat('x', 100) || i FROM generate_series(1, {rows}) i")


GONE = [["DROP TABLE t"], ["TRUNCATE t"], ["BEGIN", "SAVEPOINT s", "TRUNCATE t", "RELEASE s", "DROP TABLE t", "COMMIT"],
        ["DROP SCHEMA public CASCADE"]]


@pytest.mark.parametrize("statements", GONE, ids="; ".join)
def test_dropped_rows_give_their_space_back(opened: Any, statements: list[str]) -> None:
    db = opened(value_threshold_bytes=4096)
    db.sql("CREATE SCHEMA other")
    filled(db, "other.kept" if "SCHEMA" in statements[0] else "kept", 100)
    db.compact()
    small, entries = db.stats()["table_bytes"], stored_entries(db)
    filled(db, "t")
    db.compact()
    assert db.stats()["table_bytes"] > 5 * small and row_count(db) == 4200
    for statement in statements:
        db.sql(statement)
    assert row_count(db) == 200
    db.compact()
    assert stored_entries(db) <= entries + 10            # rows, entries of indexes, and their deletes: all gone
    assert db.stats()["table_bytes"] < 2 * small
    db.verify()
    db.close()
    again = opened(value_threshold_bytes=4096)
    assert row_count(again) == 200


def test_nobody_has_to_ask_for_the_space(opened: Any) -> None:
    """Once the drop stands in a table, compaction does the rest."""
    db = opened(value_threshold_bytes=4096)
    filled(db, "t")
    db.compact()
    db.sql("DROP TABLE t")
    db.flush()
    disks.settle(db)
    assert stored_entries(db) <= 20


def test_large_values_of_a_dropped_table_go_too(opened: Any) -> None:
    db = opened()
    db.sql("CREATE TABLE t (id int PRIMARY KEY, b text)")
    db.sql("INSERT INTO t SELECT i, repeat('x', 1000) || i FROM generate_series(1, 500) i")
    db.compact()
    assert db.stats()["value_bytes"] > 400_000
    db.sql("DROP TABLE t")
    db.compact()
    disks.settle(db)
    assert db.stats()["value_bytes"] < 100_000


def test_a_dropped_index_gives_its_space_back(opened: Any) -> None:
    db = opened(value_threshold_bytes=4096)
    filled(db, "t")
    db.compact()
    before = stored_entries(db)
    db.sql("DROP INDEX t_a")
    db.compact()
    assert row_count(db) == 2000 and before - stored_entries(db) >= 1990
    db.sql("ALTER TABLE t ADD CONSTRAINT u UNIQUE (b)")
    db.sql("ALTER TABLE t DROP CONSTRAINT u")
    assert row_count(db) == 2000


def test_a_drop_that_is_rolled_back(items: phantomdb.Database) -> None:
    for statements in itertools.product(["DROP TABLE item", "TRUNCATE item"], ["ROLLBACK TO s", "ROLLBACK"]):
        for statement in ("BEGIN", "SAVEPOINT s", *statements):
            items.sql(statement)
        assert items.sql("SELECT count(*) FROM item").fetchall() == [(3,)]
        items.sql("ROLLBACK")


def ids_of(db: phantomdb.Database) -> set[int]:
    """All ids that objects and indexes have now."""
    found: set[int] = set()
    for item in db.session().catalog.objects.values():
        found |= {item.id, *(index.id for index in getattr(item, "indexes", ()))}
    return found


def images(disk: MemoryFileSystem) -> Iterator[MemoryFileSystem]:
    modes: list[Any] = ["kept", "lost", "torn"]
    for mode in modes:
        yield disk.crash_image(mode, 7)


def test_ids_are_not_given_out_again() -> None:
    """Not after a drop, a rollback, closing, or a crash. A row of an older table would be one of the new one."""
    disk = MemoryFileSystem()
    db = disks.opened(disk)
    seen: set[int] = set()
    for _ in range(3):
        for number in range(20):
            db.sql(f"CREATE TABLE t{number} (a serial, b int UNIQUE)")
            db.sql(f"INSERT INTO t{number} (b) VALUES (1), (2)")
        now = ids_of(db) - {1, 2}
        assert len(now) == 60 and not now & seen
        seen |= now
        db.sql("BEGIN")
        db.sql("CREATE TABLE undone (a serial)")
        now = {item.id for item in db.frontend("sql").session.catalog.objects.values()} - ids_of(db)
        db.sql("ROLLBACK")
        assert len(now) == 2 and not now & seen
        seen |= now
        for number in range(20):
            db.sql(f"DROP TABLE t{number}")
        assert row_count(db) == 0
        for image in images(disk):
            with disks.opened(image) as crashed:
                crashed.sql("CREATE TABLE t (a serial, b int UNIQUE)")
                assert not (ids_of(crashed) - {1, 2}) & seen
                assert crashed.sql("SELECT * FROM t").fetchall() == []
                assert row_count(crashed) == 0
        db.close()
        db = disks.opened(disk)
    db.close()


def test_what_a_dropped_table_leaves_in_the_catalog(items: phantomdb.Database) -> None:
    keys = KeySpace(items.store.engine, CATALOG_PREFIX)
    items.sql("DROP TABLE item")
    before = dict(keys.scan())
    items.sql("CREATE TABLE t (a serial, b int UNIQUE)")
    items.sql("INSERT INTO t (b) SELECT i FROM generate_series(1, 100) i")
    items.sql("ANALYZE t")
    items.sql("DROP TABLE t")
    left = {key for key in dict(keys.scan()) if key not in before}
    assert left == set()
