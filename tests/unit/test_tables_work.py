"""What changes of the catalog do to rows: indexes built at once and in steps, constraints over rows that are there."""
from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest
from table_tools import House, call, column, literal, stored

import phantomdb
from phantomdb.core.catalog import alteration, constraints
from phantomdb.core.catalog.constraints import CheckDefinition, ForeignKeyDefinition, KeyDefinition
from phantomdb.core.catalog.definition import ColumnDefinition, SequenceDefinition
from phantomdb.core.catalog.objects import IndexState
from phantomdb.core.errors import RetryableConflict
from phantomdb.core.query.errors import CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation
from phantomdb.core.tables import work
from phantomdb.core.tables.layout import id_range
from phantomdb.core.values import BIGINT, BOOL, INT, TIMESTAMPTZ


@pytest.fixture
def house(db: phantomdb.Database) -> House:
    return House(db)


@pytest.fixture
def numbers(house: House) -> int:
    """numbers (id, a = id % 7, b = id), twenty rows."""
    table = house.table("numbers", {"id": INT, "a": INT, "b": INT}, key=["id"])
    house.insert(table, *((n, n % 7, n) for n in range(20)))
    return table


def entries(house: House, index: int) -> int:
    with house.transaction() as rows:
        return sum(1 for _ in rows.space.scan(*id_range(index)))


def state(house: House, table: int, index: int) -> IndexState | None:
    return next((item.state for item in house.definition(table).indexes if item.id == index), None)


def test_an_index_over_rows_that_are_there(house: House, numbers: int) -> None:
    index = house.index(numbers, 2)
    assert (entries(house, index), state(house, numbers, index)) == (20, IndexState.PUBLIC)
    unique = house.index(numbers, 3, is_unique=True)
    assert entries(house, unique) == 20
    house.check(numbers)
    with pytest.raises(UniqueViolation, match='"numbers_a_idx1"'):
        house.index(numbers, 2, is_unique=True)
    assert len(house.definition(numbers).indexes) == 2


def test_dropping_an_index_and_a_table(house: House, numbers: int) -> None:
    from phantomdb.core.catalog.dependencies import drop_relations
    index = house.index(numbers, 2)
    house.change(lambda catalog: constraints.drop_index(catalog, numbers, "numbers_a_idx"))
    assert entries(house, index) == 0
    other = house.index(numbers, 3)
    house.change(lambda catalog: drop_relations(catalog, [numbers], False))
    assert entries(house, numbers) == entries(house, other) == 0


def test_constraints_over_rows_that_are_there(house: House, numbers: int) -> None:
    def add(definition: Any) -> None:
        house.change(lambda catalog: constraints.add_constraint(catalog, numbers, definition))

    with pytest.raises(CheckViolation, match='"low" of relation "numbers" is violated by some row'):
        add(CheckDefinition(stored(call("<", column(3), literal(19))), "low"))
    add(CheckDefinition(stored(call("<", column(3), literal(20))), "low"))
    with pytest.raises(UniqueViolation):
        add(KeyDefinition(("a",)))
    add(KeyDefinition(("b",)))
    parent = house.table("p", {"id": INT}, key=["id"])
    house.insert(parent, *((n,) for n in range(6)))
    with pytest.raises(ForeignKeyViolation, match=r'insert or update on table "numbers"'):
        add(ForeignKeyDefinition(("a",), parent))
    house.insert(parent, (6,))
    add(ForeignKeyDefinition(("a",), parent))
    house.insert(numbers, (20, None, None))
    with pytest.raises(NotNullViolation, match='column "a" of relation "numbers" contains null values'):
        house.change(lambda catalog: alteration.set_not_null(catalog, numbers, "a"))
    house.delete(numbers, lambda row: row[1] is None)
    house.change(lambda catalog: alteration.set_not_null(catalog, numbers, "a"))
    house.check(numbers)


def test_a_new_column_with_a_value_for_each_row(house: House, numbers: int) -> None:
    house.change(lambda catalog: alteration.add_column(
        catalog, numbers, ColumnDefinition("serial", BIGINT, sequence=SequenceDefinition())))
    small = stored(call("<", column(3), literal(5)))
    house.change(lambda catalog: alteration.add_column(
        catalog, numbers, ColumnDefinition("small", BOOL, generated=small)))
    assert [row[3:] for row in house.rows(numbers)] == [(n + 1, n < 5) for n in range(20)]


def test_another_primary_key(house: House) -> None:
    table = house.table("t", {"a": INT, "b": INT})
    house.index(table, 2)
    house.insert(table, (3, 1), (1, 2), (2, 3))
    key = KeyDefinition(("a",), is_primary=True)
    house.change(lambda catalog: constraints.add_constraint(catalog, table, key))
    assert house.rows(table) == [(1, 2), (2, 3), (3, 1)]
    house.check(table)
    with pytest.raises(UniqueViolation):
        house.insert(table, (1, 5))
    house.change(lambda catalog: constraints.drop_constraint(catalog, table, "t_pkey"))
    house.insert(table, (1, 5))
    assert sorted(house.rows(table)) == [(1, 2), (1, 5), (2, 3), (3, 1)]
    house.check(table)
    with pytest.raises(UniqueViolation, match="t_pkey"):
        house.change(lambda catalog: constraints.add_constraint(catalog, table, key))


# ---- in steps

def test_an_index_in_steps(house: House, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BATCH_ROWS", 3)
    index = house.index(numbers, 2, is_online=True)
    assert (entries(house, index), state(house, numbers, index)) == (0, IndexState.WRITE_ONLY)
    house.insert(numbers, (100, 1, 1))                   # writers keep it up to date
    assert entries(house, index) == 1
    house.delete(numbers, lambda row: row[0] == 1)
    seen: list[int] = []

    def interfere(count: int) -> None:
        """Changes between two batches, before and behind the place they have reached."""
        seen.append(count)
        house.update(numbers, lambda row: (row[0], 50 + count, row[2]) if row[0] in (0, 19, count) else None)
        house.delete(numbers, lambda row: row[0] == count + 3)
        house.insert(numbers, (-count, 8, 8), (200 + count, 8, 8))

    work.build_index(house.tables, numbers, index, interfere)
    assert seen[:2] == [3, 6] and len(seen) >= 7
    assert state(house, numbers, index) is IndexState.PUBLIC
    house.check(numbers)
    with house.transaction() as rows:
        assert list(rows.catalog_space.scan(work.PROGRESS, b"c")) == []
    work.build_index(house.tables, numbers, index)       # nothing to do


def test_a_build_goes_on_where_it_stopped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BATCH_ROWS", 4)
    table = house.table("t", {"id": INT, "a": INT}, key=["id"])
    house.insert(table, *((n, n) for n in range(20)))
    index = house.index(table, 2, is_unique=True, is_online=True)

    class Stop(Exception):
        pass

    def stop(count: int) -> None:
        if count >= 8:
            raise Stop
    with pytest.raises(Stop):
        work.build_index(house.tables, table, index, stop)
    with house.transaction() as rows:
        assert work.unfinished_builds(rows.catalog) == [work.BuildIndex(table, index)]
    counts: list[int] = []
    work.build_index(house.tables, table, index, counts.append)
    assert counts == [4, 8, 12]
    house.check(table)


def test_a_unique_build_that_fails_is_dropped(house: House, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BATCH_ROWS", 3)
    index = house.index(numbers, 2, is_unique=True, is_online=True)
    with pytest.raises(UniqueViolation, match="numbers_a_idx"):
        work.build_index(house.tables, numbers, index)
    assert (entries(house, index), state(house, numbers, index)) == (0, None)
    with house.transaction() as rows:
        assert list(rows.catalog_space.scan(work.PROGRESS, b"c")) == []
    house.insert(numbers, (100, 1, 1))


def test_a_row_not_yet_indexed_does_not_take_anothers_entry_away(house: House) -> None:
    table = house.table("t", {"id": INT, "a": INT}, key=["id"])
    house.insert(table, (1, 5), (2, 6))
    index = house.index(table, 2, is_unique=True, is_online=True)
    house.insert(table, (3, 5))                          # the duplicate is not seen: row 1 has no entry yet
    house.delete(table, lambda row: row[0] == 1)
    work.build_index(house.tables, table, index)
    house.check(table)
    with pytest.raises(UniqueViolation):
        house.insert(table, (4, 5))


def test_expired_rows_are_removed_by_a_build(house: House) -> None:
    table = house.table("t", {"id": INT, "a": INT, "seen": TIMESTAMPTZ}, key=["id"])
    old = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    house.insert(table, (1, 5, old), (2, 5, None))
    house.index(table, 3, ttl_s=1.0)
    house.index(table, 2, is_unique=True)                # of the two rows with 5 one is gone
    house.check(table)
    with pytest.raises(UniqueViolation):
        house.insert(table, (3, 5, None))


def test_an_index_dropped_while_it_is_built(house: House, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BATCH_ROWS", 3)
    index = house.index(numbers, 2, is_online=True)

    def drop(count: int) -> None:
        if count == 6:
            house.change(lambda catalog: constraints.drop_index(catalog, numbers, "numbers_a_idx"))
    work.build_index(house.tables, numbers, index, drop)
    assert (entries(house, index), state(house, numbers, index)) == (0, None)


def test_writers_at_the_same_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BATCH_ROWS", 10)
    table = house.table("t", {"id": INT, "a": INT}, key=["id"])
    house.insert(table, *((n, n) for n in range(300)))
    index = house.index(table, 2, is_online=True)
    done = threading.Event()
    errors: list[BaseException] = []

    def write(number: int) -> None:
        step = 0
        try:
            while not done.is_set():
                step += 1
                try:
                    with house.work() as made:
                        layout = made.rows.layout(table)
                        row_key = layout.row_key(((step * 7 + number) % 300, 0))
                        row = made.rows.get(layout, row_key)
                        if row is None:
                            made.writer(table).insert(((step * 7 + number) % 300, step))
                        elif step % 3:
                            made.writer(table).update(row_key, row, (row[0], step))
                        else:
                            made.writer(table).delete(row_key, row)
                except (RetryableConflict, UniqueViolation):
                    pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        work.build_index(house.tables, table, index)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert state(house, table, index) is IndexState.PUBLIC
    house.check(table)


def test_a_writer_with_the_old_definition_cannot_commit(house: House, numbers: int) -> None:
    with pytest.raises(RetryableConflict), house.work() as made:
        made.writer(numbers).insert((100, 1, 1))
        house.index(numbers, 2, is_online=True)


def test_small_and_large_tables(house: House, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from phantomdb.core.catalog.objects import IndexColumn
    for limit, put_off in ((20, 0), (19, 1)):
        monkeypatch.setattr(work, "SMALL_TABLE_ROWS", limit)
        with house.transaction() as rows:
            change = constraints.create_index(rows.catalog, numbers, constraints.IndexDefinition((IndexColumn(2),)))
            kept, later = work.put_off_builds(rows, change)
            assert (len(kept.work), len(later)) == (1 - put_off, put_off)
