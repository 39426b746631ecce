"""The change feed as rows: decoded by the definitions of their moment, in order, resumed by token."""
from __future__ import annotations

import datetime
import random
import threading
from typing import Any

import pytest

import phantomdb
from phantomdb.core.errors import FeedLost
from phantomdb.core.query.errors import UndefinedTable


@pytest.fixture
def kept(opened: Any) -> phantomdb.Database:
    """With a table item (id, a), indexed, and all history."""
    db: phantomdb.Database = opened(retention_s=3600, sweep_interval_s=0)
    db.sql("CREATE TABLE item (id int PRIMARY KEY, a int)")
    db.sql("CREATE UNIQUE INDEX item_a ON item (a)")
    return db


def shown(batches: Any) -> list[list[Any]]:
    """(table, key, old, new) of each change of each batch."""
    return [[(change.table.name, change.key, change.values(change.old), change.values(change.new))
             for change in batch.changes] for batch in batches]


def seen(db: phantomdb.Database, *tables: str, since: int | None = None, with_old: bool = False) -> list[list[Any]]:
    return shown(db.changes(tables or None, since, with_old=with_old, timeout_s=0))


@pytest.mark.parametrize("is_flushed", [False, True])
def test_rows_that_come_change_and_go(kept: phantomdb.Database, is_flushed: bool) -> None:
    start = kept.timestamp
    kept.sql("INSERT INTO item VALUES (1, 10), (2, 20)")
    kept.sql("UPDATE item SET a = 11 WHERE id = 1")
    kept.sql("DELETE FROM item WHERE id = 2")
    kept.kv.put(b"raw", b"is none of it")
    kept.sql("UPDATE item SET id = 7 WHERE id = 1")
    if is_flushed:                                       # then the versions tell, not the log
        kept.flush()
    one, two, three, four = seen(kept, since=start, with_old=True)
    assert one == [("item", (1,), None, {"id": 1, "a": 10}), ("item", (2,), None, {"id": 2, "a": 20})]
    assert two == [("item", (1,), {"id": 1, "a": 10}, {"id": 1, "a": 11})]
    assert three == [("item", (2,), {"id": 2, "a": 20}, None)]
    assert sorted(four) == [("item", (1,), {"id": 1, "a": 11}, None), ("item", (7,), None, {"id": 7, "a": 11})]
    assert seen(kept, since=start)[1] == [("item", (1,), None, {"id": 1, "a": 11})]


def test_a_token_goes_on_behind_its_batch(opened: Any, kept: phantomdb.Database) -> None:
    start = kept.timestamp
    for number in range(10):
        kept.sql("INSERT INTO item VALUES (?, ?)", (number, number))
    batches = list(kept.changes(since=start, timeout_s=0))
    kept.close()
    again = opened(retention_s=3600)
    for number, batch in enumerate(batches):
        left = list(again.changes(["item"], batch.timestamp, timeout_s=0))
        assert [one.timestamp for one in left] == [one.timestamp for one in batches[number + 1:]]
        assert [one.changes[0].new for one in left] == [(n, n) for n in range(number + 1, 10)]


def test_chosen_tables(kept: phantomdb.Database) -> None:
    kept.sql("CREATE SCHEMA s")
    kept.sql("CREATE TABLE s.other (x text)")            # without a primary key
    start = kept.timestamp
    with kept.transaction() as txn:
        txn.sql("INSERT INTO item VALUES (1, 1)")
        txn.sql("INSERT INTO s.other VALUES ('a'), ('b')")
    kept.sql("INSERT INTO item VALUES (2, 2)")
    both, _ = seen(kept, since=start)
    assert [change[0] for change in both] == ["item", "other", "other"]
    assert seen(kept, "s.other", since=start) == [[
        ("other", (1,), None, {"x": "a"}), ("other", (2,), None, {"x": "b"})]]
    assert len(seen(kept, "item", "s.other", since=start)) == 2
    assert len(seen(kept, "public.item", since=start)) == 2
    with pytest.raises(UndefinedTable, match='"other"'):
        kept.changes(["other"])


def test_definitions_of_their_moment(kept: phantomdb.Database) -> None:
    start = kept.timestamp
    kept.sql("INSERT INTO item VALUES (1, 10)")
    kept.sql("ALTER TABLE item ADD COLUMN b text DEFAULT 'x'")
    kept.sql("INSERT INTO item VALUES (2, 20, 'y')")
    kept.sql("UPDATE item SET b = 'z' WHERE id = 1")
    kept.sql("ALTER TABLE item DROP COLUMN a")
    kept.sql("ALTER TABLE item RENAME TO thing")
    kept.sql("DELETE FROM thing WHERE id = 2")
    for wanted in ((), ("thing",)):
        assert seen(kept, *wanted, since=start, with_old=True) == [
            [("item", (1,), None, {"id": 1, "a": 10})],
            [("item", (2,), None, {"id": 2, "a": 20, "b": "y"})],
            [("item", (1,), {"id": 1, "a": 10, "b": "x"}, {"id": 1, "a": 10, "b": "z"})],
            [("thing", (2,), {"id": 2, "b": "y"}, None)]]


@pytest.mark.parametrize("is_flushed", [False, True])
def test_all_rows_at_once(kept: phantomdb.Database, is_flushed: bool) -> None:
    kept.sql("INSERT INTO item VALUES (1, 10), (2, 20)")
    start = kept.timestamp
    with kept.transaction() as txn:
        txn.sql("TRUNCATE item")
        txn.sql("INSERT INTO item VALUES (1, 30)")
    kept.sql("ALTER TABLE item DROP CONSTRAINT item_pkey")       # keys and records are written anew
    kept.sql("DROP TABLE item")
    kept.sql("CREATE TABLE item (z int)")
    if is_flushed:
        kept.flush()
    emptied, rewritten, dropped = seen(kept, since=start, with_old=True)
    assert emptied == [("item", None, None, None), ("item", (1,), None, {"id": 1, "a": 30})]
    assert rewritten == [("item", None, None, None), ("item", (1,), None, {"id": 1, "a": 30})]
    assert dropped == [("item", None, None, None)]


def test_expired_rows_go_with_the_sweep(kept: phantomdb.Database) -> None:
    from table_tools import House
    kept.sql("CREATE TABLE session (id int PRIMARY KEY, seen timestamptz)")
    kept.sql("INSERT INTO session VALUES (1, now() - interval '1 hour'), (2, now() + interval '1 hour')")
    house = House(kept)
    table = kept.session().catalog.find_table("main", "public", "session")
    assert table is not None
    house.index(table.id, 2, ttl_s=60.0)
    start = kept.timestamp
    kept.queries.upkeep.sweep()
    ((name, key, old, new),), = seen(kept, since=start, with_old=True)
    assert (name, key, new) == ("session", (1,), None)
    assert isinstance(old["seen"], datetime.datetime)


def test_live_from_the_call_on(kept: phantomdb.Database) -> None:
    """Nothing that is committed after changes() was called is missing, also by threads, also while definitions
    change."""
    feed = kept.changes(["item"], with_old=True, timeout_s=30)
    kept.sql("INSERT INTO item VALUES (-1, -1)")
    assert shown([next(feed)]) == [[("item", (-1,), None, {"id": -1, "a": -1})]]

    def write(first: int) -> None:
        choose = random.Random(first)
        for number in range(first, first + 30):
            kept.sql("INSERT INTO item (id, a) VALUES (?, ?)", (number, number))
            if choose.random() < 0.5:
                kept.sql("UPDATE item SET a = a + 100000 WHERE id = ?", (number,))

    threads = [threading.Thread(target=write, args=(n * 100,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for number in range(5):
        kept.sql(f"ALTER TABLE item ADD COLUMN c{number} int DEFAULT {number}")
    for thread in threads:
        thread.join()
    kept.sql("DELETE FROM item WHERE id = -1")
    state: dict[Any, Any] = {(-1,): -1}
    last = 0
    for batch in feed:
        assert batch.timestamp > last
        last = batch.timestamp
        (change,) = batch.changes
        assert (change.old and change.old[1]) == state.get(change.key)
        if change.new is None:
            break
        state[change.key] = change.new[1]
    assert {key[0]: a for key, a in state.items() if key != (-1,)} == dict(
        kept.sql("SELECT id, a FROM item").fetchall())
    feed.close()                                         # type: ignore[attr-defined]


def test_a_feed_keeps_what_it_needs(opened: Any) -> None:
    """Its place counts as a reader, so compaction leaves the rows and definitions of that moment, window or not."""
    db = opened(retention_s=0)
    db.sql("CREATE TABLE item (id int PRIMARY KEY, a int)")
    db.sql("INSERT INTO item VALUES (1, 1)")
    feed = db.changes(with_old=True, timeout_s=0)
    db.sql("UPDATE item SET a = 2")
    db.compact()
    assert shown([next(feed)]) == [[("item", (1,), {"id": 1, "a": 1}, {"id": 1, "a": 2})]]
    db.compact()
    db.sql("ALTER TABLE item ADD COLUMN b int")
    db.compact()
    db.sql("UPDATE item SET a = 3")
    assert shown([next(feed)]) == [[("item", (1,), {"id": 1, "a": 2, "b": None}, {"id": 1, "a": 3, "b": None})]]
    assert list(feed) == []


def test_a_token_that_is_too_old(opened: Any) -> None:
    db = opened(retention_s=0)
    db.sql("CREATE TABLE item (id int PRIMARY KEY, a int)")
    start = db.timestamp
    db.sql("INSERT INTO item VALUES (1, 1)")
    db.sql("ALTER TABLE item ADD COLUMN b int")
    db.compact()
    with pytest.raises(FeedLost):
        db.changes(since=start, timeout_s=0)


def test_closing_ends_a_feed(kept: phantomdb.Database) -> None:
    feed = kept.changes(with_old=True)
    kept.close()
    with pytest.raises(phantomdb.errors.DatabaseClosed):
        next(feed)
