"""Work on tables in the background: builds that a crash left unfinished, and the removal of expired rows."""
from __future__ import annotations

import datetime
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import disks
import pytest
from table_tools import House, call, column, literal, stored

import phantomdb
from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.catalog import constraints, definition
from phantomdb.core.catalog.catalog import PUBLIC_ID
from phantomdb.core.catalog.constraints import ForeignKeyDefinition
from phantomdb.core.catalog.keys import CATALOG_PREFIX, UPKEEP, after
from phantomdb.core.catalog.objects import Action, IndexColumn, IndexState
from phantomdb.core.errors import DiskFull, RetryableConflict
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.tables import sweep, upkeep, work
from phantomdb.core.tables.layout import id_range
from phantomdb.core.tables.sweep import Swept
from phantomdb.core.values import DATE, INT, TIMESTAMP, TIMESTAMPTZ, Type

NOON = datetime.datetime(2030, 5, 5, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def wait_until(is_so: Callable[[], bool]) -> None:
    """For what another thread does. A minute is no measure of speed: it only ends a test that would hang."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_idle(db: phantomdb.Database) -> bool:
    return db.stats()["index_builds"] == []


class Stop(Exception):
    pass


def stop_after(rows: int) -> Callable[[int], None]:
    def stop(count: int) -> None:
        if count >= rows:
            raise Stop
    return stop


@contextmanager
def house_of(disk: Any, **options: Any) -> Iterator[House]:
    with disks.opened(disk, durability="none", **options) as db:
        yield House(db)


def state(house: House, table: int, index: int) -> IndexState | None:
    return next((item.state for item in house.definition(table).indexes if item.id == index), None)


# ---------------------------------------------------------------- builds

def half_built(disk: MemoryFileSystem, *, is_unique: bool, rows: int = 40) -> tuple[phantomdb.Database, int, int]:
    """A database with an index of which 12 rows are done; (database, table, index)."""
    db = disks.opened(disk)
    house = House(db)
    table = house.table("t", {"id": INT, "a": INT}, key=["id"])
    house.insert(table, *((n, n // 2 * 2 if is_unique and n > 30 else n) for n in range(rows)))
    index = house.index(table, 2, is_unique=is_unique, is_online=True)
    with pytest.raises(Stop):
        work.build_index(house.tables, table, index, stop_after(12))
    return db, table, index


@pytest.mark.parametrize("mode", ["lost", "kept", "torn"])
def test_opening_goes_on_with_a_build(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BATCH_ROWS", 4)
    disk = MemoryFileSystem()
    db, table, index = half_built(disk, is_unique=False)
    image = disk.crash_image(mode, 1)
    db.close()
    counts: list[int] = []
    build = work.build_index

    def counted(tables: Any, table: int, index: int, progress: Any, check: Any) -> None:
        build(tables, table, index, lambda rows: (counts.append(rows), progress(rows)), check)

    monkeypatch.setattr(upkeep, "build_index", counted)
    with house_of(image) as house:
        wait_until(lambda: state(house, table, index) is IndexState.PUBLIC)
        wait_until(lambda: is_idle(house.database))
        assert counts[-1] == 28                              # the first twelve rows are not done again
        house.check(table)
        house.database.verify()
        assert house.database.stats()["upkeep_error"] is None
        assert marks(house.database) == []
    with house_of(image) as house:                           # nothing to do: nothing is even loaded
        assert house.database._queries is None
        assert house.database.stats()["index_builds"] == []
        house.check(table)


def insert_beside(house: House, table: int, row: Any) -> None:
    """While an index is built: the writer that meets its end has to try again."""
    while True:
        try:
            house.insert(table, row)
            return
        except RetryableConflict:
            pass


def test_every_crash_of_a_build_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are taken at each batch of the build, and of the build that goes on after it."""
    monkeypatch.setattr(work, "BATCH_ROWS", 7)
    disk = MemoryFileSystem()
    images: list[MemoryFileSystem] = []
    with disks.opened(disk, durability="none") as db:
        house = House(db)
        table = house.table("t", {"id": INT, "a": INT}, key=["id"])
        house.insert(table, *((n, n % 5) for n in range(30)))
        index = house.index(table, 2, is_online=True)
        images.append(disk.crash_image("kept"))
        work.build_index(house.tables, table, index, lambda rows: images.append(disk.crash_image("kept")))
    assert len(images) == 6
    for image in images:
        with house_of(image) as again:
            insert_beside(again, table, (-1, 1))
            wait_until(lambda: state(again, table, index) is IndexState.PUBLIC)
            again.check(table)
            assert len(again.rows(table)) == 31


def test_a_unique_build_that_cannot_be_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BATCH_ROWS", 4)
    disk = MemoryFileSystem()
    db, table, index = half_built(disk, is_unique=True)
    db.close()
    with house_of(disk) as house:
        wait_until(lambda: house.database.stats()["upkeep_error"] is not None)
        assert "duplicate" in house.database.stats()["upkeep_error"] or "unique" in (
            house.database.stats()["upkeep_error"])
        wait_until(lambda: is_idle(house.database))
        assert state(house, table, index) is None
        assert marks(house.database) == []
        with house.transaction() as rows:
            assert list(rows.space.scan(*id_range(index))) == []


def test_a_build_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BATCH_ROWS", 4)
    monkeypatch.setattr(upkeep, "RETRY_S", 0.01)
    disk = MemoryFileSystem()
    db, table, index = half_built(disk, is_unique=False)
    db.close()
    build, is_full = work.build_index, threading.Event()
    is_full.set()

    def failing(*given: Any) -> None:
        if is_full.is_set():
            raise DiskFull
        build(*given)

    monkeypatch.setattr(upkeep, "build_index", failing)
    with house_of(disk) as house:
        wait_until(lambda: house.database.stats()["upkeep_error"] is not None)
        stats = house.database.stats()
        assert "the disk is full" in stats["upkeep_error"]
        assert [(item["table"], item["index"]) for item in stats["index_builds"]] == [("t", "t_a_idx")]
        is_full.clear()
        wait_until(lambda: state(house, table, index) is IndexState.PUBLIC)
        wait_until(lambda: house.database.stats()["upkeep_error"] is None)
        house.check(table)


def test_closing_in_the_middle_of_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread ends after the batch under way; the next opening goes on."""
    monkeypatch.setattr(work, "BATCH_ROWS", 1)
    disk = MemoryFileSystem()
    db, table, index = half_built(disk, is_unique=False, rows=300)
    db.close()
    threads = []
    for _ in range(3):
        with house_of(disk) as house:
            threads.append(house.database.queries.upkeep._thread)
    assert not any(thread.is_alive() for thread in threads)
    with house_of(disk) as house:
        wait_until(lambda: state(house, table, index) is IndexState.PUBLIC)
        house.check(table)


def test_create_index_is_shown_and_handed_over(db: phantomdb.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """CREATE INDEX builds in its own thread; when it cannot end, the background goes on."""
    monkeypatch.setattr(work, "SMALL_TABLE_ROWS", 5)
    monkeypatch.setattr(work, "BATCH_ROWS", 4)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, a int)")
    db.sql("INSERT INTO t SELECT i, i % 3 FROM generate_series(1, 20) i")
    build, seen = work.build_index, []

    def broken(tables: Any, table: int, index: int, progress: Any, check: Any) -> None:
        def stop(rows: int) -> None:
            progress(rows)
            seen.append(db.stats()["index_builds"])
            raise DiskFull
        build(tables, table, index, progress if seen else stop, check)

    monkeypatch.setattr(upkeep, "build_index", broken)
    with pytest.raises(DiskFull):
        db.sql("CREATE INDEX t_a ON t (a)")
    assert seen == [[{"table": "t", "index": "t_a", "rows": 4, "is_running": True}]]
    wait_until(lambda: is_idle(db))
    house = House(db)
    table = db.session().catalog.find((2,), "t")
    assert table is not None and [item.state for item in house.definition(table.id).indexes] == [IndexState.PUBLIC]
    house.check(table.id)


def marks(db: phantomdb.Database) -> list[int]:
    keys = KeySpace(db.store.engine, CATALOG_PREFIX)
    return [int.from_bytes(key[1:], "big") for key, _ in keys.scan(UPKEEP, after(UPKEEP))]


def test_tables_with_work_are_marked(db: phantomdb.Database) -> None:
    house = House(db)
    plain = house.table("plain", {"id": INT, "at": TIMESTAMPTZ}, key=["id"])
    assert marks(db) == []
    index = house.index(plain, 1, is_online=True)
    assert marks(db) == [plain]
    work.build_index(house.tables, plain, index)
    assert marks(db) == []
    house.index(plain, 2, ttl_s=5.0)
    assert marks(db) == [plain]
    house.change(lambda catalog: constraints.drop_index(catalog, plain, "plain_at_idx"))
    assert marks(db) == []
    house.index(plain, 2, ttl_s=5.0)
    from phantomdb.core.catalog.dependencies import drop_relations
    house.change(lambda catalog: drop_relations(catalog, [plain], False))
    assert marks(db) == []


# ---------------------------------------------------------------- expired rows

@pytest.fixture
def house(opened: Any) -> House:
    """Nothing is swept but by hand, and it is noon."""
    house = House(opened(sweep_interval_s=0))
    house.tables = house.database.queries.tables
    house.tables.clock = lambda: NOON
    return house


def removed(house: House) -> int:
    """By a sweep of now."""
    return house.database.queries.upkeep.sweep().removed


Convert = Callable[[datetime.datetime], Any]
DAY = datetime.timedelta(days=1)
KINDS = pytest.mark.parametrize(("type_", "convert"), [
    (TIMESTAMPTZ, lambda moment: moment), (TIMESTAMP, lambda moment: moment.replace(tzinfo=None)),
    (DATE, lambda moment: moment.date())])


def stored_count(house: House, table: int) -> int:
    """Rows, those that have expired included."""
    with house.transaction() as rows:
        return sum(1 for _ in rows.space.scan(*id_range(table)))


def check_days(house: House, table: int, other_count: int) -> None:
    """Of ten rows, of one day after the other up to four days after NOON, and others that have no moment."""
    assert len(house.rows(table)) == other_count + 5         # noon a day ago is over
    assert stored_count(house, table) == other_count + 10
    house.tables.clock = lambda: NOON + 3 * DAY
    assert removed(house) == 8
    house.check(table)
    assert stored_count(house, table) == len(house.rows(table)) == other_count + 2
    assert removed(house) == 0
    assert house.database.stats()["expired_rows_removed"] == 8
    house.tables.clock = lambda: datetime.datetime(9998, 1, 1, tzinfo=datetime.UTC)
    assert removed(house) == 2
    house.check(table)
    assert stored_count(house, table) == other_count


@KINDS
@pytest.mark.parametrize("is_descending", [False, True])
def test_what_is_removed(house: House, type_: Type, convert: Convert, is_descending: bool) -> None:
    table = house.table("t", {"id": INT, "at": type_, "a": INT}, key=["id"])
    house.index(table, 3)
    house.insert(table, *((n, convert(NOON + (n - 5) * DAY), n % 2) for n in range(10)), (100, None, 1))
    house.index(table, IndexColumn(2, is_descending=is_descending), ttl_s=DAY.total_seconds())
    check_days(house, table, 1)


@KINDS
def test_documents(house: House, type_: Type, convert: Convert) -> None:
    """A field may be anything; only moments make a row go."""
    table = house.change(lambda catalog: definition.create_table(catalog, PUBLIC_ID, definition.collection("t")))
    house.index(table, IndexColumn(2, path=("at",)), ttl_s=DAY.total_seconds(), is_multi_key=True)
    others = [None, "2020-01-01", 5, True, {"at": convert(NOON - 9 * DAY)}, [], ["x"]]
    house.insert(table, *((n, {"at": convert(NOON + (n - 5) * DAY)}) for n in range(9)), (
        9, {"at": ["x", convert(NOON + 9 * DAY), convert(NOON + 4 * DAY)]}), *(
        (100 + n, {"at": value}) for n, value in enumerate(others)), (200, {}))
    check_days(house, table, len(others) + 1)


def test_many_rows_in_small_transactions(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "BATCH_ROWS", 7)
    table = house.table("t", {"id": INT, "at": TIMESTAMPTZ, "a": INT}, key=["id"])
    house.index(table, 2, ttl_s=3600.0)
    house.index(table, 3, is_unique=True)
    house.insert(table, *((n, NOON + datetime.timedelta(seconds=n // 3), n) for n in range(100)))
    before = house.database.stats()["commits"]
    house.tables.clock = lambda: NOON + HOUR + datetime.timedelta(seconds=19)
    assert removed(house) == 60
    assert house.database.stats()["commits"] - before == 9
    house.check(table)
    assert [row[0] for row in house.rows(table)] == list(range(60, 100))


def test_several_rules_one_of_them_partial(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "BATCH_ROWS", 3)
    table = house.table("t", {"id": INT, "at": TIMESTAMPTZ, "until": TIMESTAMPTZ}, key=["id"])
    house.index(table, 2, ttl_s=3600.0, predicate=stored(call("<", column(1), literal(5))))
    house.index(table, 3, ttl_s=0.0)
    late = NOON + 9 * HOUR
    house.insert(table, *((n, NOON, late) for n in range(10)), *((20 + n, late, NOON + HOUR / 2) for n in range(5)),
                 (30, None, None), (31, late, None), (4 + 96, NOON - HOUR, NOON + HOUR))
    house.tables.clock = lambda: NOON + HOUR
    assert removed(house) == 5 + 5 + 1
    house.check(table)
    assert [row[0] for row in house.rows(table)] == [*range(5, 10), 30, 31]


def test_who_gives_a_row_more_time_keeps_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is read, then somebody changes it, then it would be removed."""
    table = house.table("t", {"id": INT, "at": TIMESTAMPTZ}, key=["id"])
    house.index(table, 2, ttl_s=3600.0)
    house.insert(table, (1, NOON), (2, NOON), (3, NOON + HOUR))
    remove, seen = sweep._remove, []

    def slow(rows: Any, layout: Any, row_keys: Any) -> Swept:
        result = remove(rows, layout, row_keys)
        if not seen:
            house.tables.clock = lambda: NOON
            house.update(table, lambda row: (2, NOON + HOUR) if row[0] == 2 else None)
            house.tables.clock = lambda: NOON + HOUR
        seen.append(result)
        return result

    monkeypatch.setattr(sweep, "_remove", slow)
    house.tables.clock = lambda: NOON + HOUR
    assert removed(house) == 1
    assert seen == [Swept(2, 0), Swept(1, 0)]                # the first one met a conflict
    assert [row[0] for row in house.rows(table)] == [2, 3]
    house.check(table)


@pytest.mark.parametrize(("action", "children", "kept"), [
    (Action.NO_ACTION, [(1, 1)], 1), (Action.RESTRICT, [(1, 1)], 1), (Action.CASCADE, [], 0),
    (Action.SET_NULL, [(1, None)], 0)])
@pytest.mark.parametrize("is_deferred", [False, True])
def test_foreign_keys(house: House, action: Action, children: Any, kept: int, is_deferred: bool) -> None:
    parent = house.table("p", {"id": INT, "at": TIMESTAMPTZ}, key=["id"])
    child = house.table("c", {"id": INT, "p": INT}, ForeignKeyDefinition(
        ("p",), parent, on_delete=action, is_deferrable=is_deferred, is_deferred=is_deferred), key=["id"])
    house.index(parent, 2, ttl_s=3600.0)
    house.insert(parent, (1, NOON), (2, NOON), (3, NOON))
    house.insert(child, (1, 1))
    house.tables.clock = lambda: NOON + HOUR
    for _ in range(2):
        house.database.queries.upkeep.sweep()
        stats = house.database.stats()
        assert (stats["expired_rows_removed"], stats["expired_rows_kept"]) == (3 - kept, kept)
    assert house.rows(parent) == []                          # invisible all the same
    assert house.rows(child) == children
    house.check(parent)
    house.check(child)


@pytest.mark.parametrize(("action", "left"), [(Action.CASCADE, 0), (Action.SET_NULL, 6)])
def test_a_table_that_refers_to_itself(house: House, action: Action, left: int) -> None:
    """What becomes of the children of a row happens before their own turn comes."""
    table = house.table("t", {"id": INT, "at": TIMESTAMPTZ, "root": INT}, key=["id"])
    house.change(lambda catalog: constraints.add_constraint(catalog, table, ForeignKeyDefinition(
        ("root",), table, on_delete=action)))
    house.index(table, 3)
    house.index(table, 2, ttl_s=3600.0)
    house.insert(table, *((n, NOON + n * HOUR, None if n == 0 else (n - 1) // 2) for n in range(10)))
    house.tables.clock = lambda: NOON + 4 * HOUR
    assert removed(house) == 4
    assert house.database.stats()["expired_rows_kept"] == 0
    assert stored_count(house, table) == len(house.rows(table)) == left
    house.check(table)


def test_a_row_that_is_alive_is_never_removed(house: House) -> None:
    table = house.table("t", {"id": INT, "at": TIMESTAMPTZ}, key=["id"])
    house.index(table, 2, ttl_s=0.0)
    house.insert(table, (1, NOON + HOUR))
    with house.transaction() as rows:
        layout = rows.layout(table)
        assert sweep._remove(rows, layout, [layout.row_key((1, None))]) == Swept(0, 0)
    assert [row[0] for row in house.rows(table)] == [1]


def test_the_thread_sweeps(opened: Any) -> None:
    """Also after opening, when no statement has loaded anything yet."""
    db = opened(sweep_interval_s=0)
    house = House(db)
    table = house.table("t", {"id": INT, "at": TIMESTAMPTZ}, key=["id"])
    house.index(table, 2, ttl_s=0.0)
    past = datetime.datetime.now(datetime.UTC) - HOUR
    house.insert(table, (1, past), (2, past + 1000 * HOUR))
    db.close()
    db = opened(sweep_interval_s=0.01)
    wait_until(lambda: db.stats()["expired_rows_removed"] == 1)
    house = House(db)
    house.insert(table, (3, past), (4, past))
    wait_until(lambda: db.stats()["expired_rows_removed"] == 3)
    house.check(table)
    assert [row[0] for row in house.rows(table)] == [2]


def test_never(opened: Any) -> None:
    db = opened(sweep_interval_s=0)
    upkeep_of = db.queries.upkeep
    assert not upkeep_of._is_sweep_due
    assert upkeep_of._interval_s == 0
    db.close()
    assert not upkeep_of._thread.is_alive()


def test_a_database_nobody_holds_ends_its_thread(tmp_path: Any) -> None:
    db = phantomdb.open(tmp_path / "db")
    thread = db.queries.upkeep._thread
    del db
    gc.collect()                                             # the database and its keyspace hold each other
    thread.join(60)
    assert not thread.is_alive()
