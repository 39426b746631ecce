"""Rows written one statement at a time: defaults, checks, unique keys, entries of indexes, ON CONFLICT."""
from __future__ import annotations

import datetime
from typing import Any

import pytest
from table_tools import House, call, column, literal, stored

import phantomdb
from phantomdb.core.catalog.constraints import CheckDefinition, KeyDefinition
from phantomdb.core.catalog.definition import SequenceDefinition
from phantomdb.core.catalog.objects import IndexColumn
from phantomdb.core.errors import CorruptionError
from phantomdb.core.query.errors import CardinalityViolation, CheckViolation, NotNullViolation, UniqueViolation
from phantomdb.core.tables.indexes import fetch, find, scan_index
from phantomdb.core.tables.rows import DEFAULT
from phantomdb.core.tables.writer import OnConflict
from phantomdb.core.values import BIGINT, BOOL, DOUBLE, INT, JSON, NUMERIC, TEXT, TIMESTAMPTZ, array, char, decimal


@pytest.fixture
def house(db: phantomdb.Database) -> House:
    return House(db)


@pytest.fixture
def item(house: House) -> int:
    """item (id primary key, name unique, price, tag), index on price."""
    table = house.table("item", {"id": INT, "name": TEXT, "price": INT, "tag": TEXT}, KeyDefinition(("name",)),
                        key=["id"])
    house.index(table, 3)
    return table


def test_rows_come_back_in_key_order(house: House, item: int) -> None:
    house.insert(item, (2, "b", None, "x"), (-1, "a", 5, None), (1, None, 5, "y"))
    assert house.rows(item) == [(-1, "a", 5, None), (1, None, 5, "y"), (2, "b", None, "x")]
    house.check(item)


def test_a_table_without_a_key(house: House) -> None:
    table = house.table("log", {"text": TEXT})
    house.insert(table, ("b",), ("a",), ("b",))
    assert house.rows(table) == [("b",), ("a",), ("b",)]
    house.update(table, lambda row: ("c",) if row == ("a",) else None)
    house.delete(table, lambda row: row == ("b",))
    assert house.rows(table) == [("c",)]


def test_a_key_of_two_columns_in_another_order(house: House) -> None:
    table = house.table("t", {"a": TEXT, "b": INT, "c": INT}, key=["c", "a"])
    house.insert(table, ("x", 1, 2), ("y", 2, 1), ("a", 3, 2))
    assert house.rows(table) == [("y", 2, 1), ("a", 3, 2), ("x", 1, 2)]


def test_key_values_keep_their_form(house: House) -> None:
    table = house.table("t", {"d": decimal(6, 2), "c": char(3), "n": INT}, key=["d", "c"])
    from decimal import Decimal
    house.insert(table, (Decimal("1.50"), "a  ", 1), (Decimal("NaN"), "b  ", 2))
    assert [tuple(map(str, row)) for row in house.rows(table)] == [("1.50", "a  ", "1"), ("NaN", "b  ", "2")]


def test_not_null(house: House) -> None:
    table = house.table("t", {"id": INT, "a": {"type": INT, "is_nullable": False}}, key=["id"])
    with pytest.raises(NotNullViolation, match='null value in column "a" of relation "t" violates not-null') as caught:
        house.insert(table, (1, None))
    assert (caught.value.table, caught.value.column) == ("t", "a")
    assert caught.value.detail == "Failing row contains (1, null)."
    with pytest.raises(NotNullViolation, match='column "id"'):
        house.insert(table, (None, 1))
    house.insert(table, (1, 1))
    with pytest.raises(NotNullViolation):
        house.update(table, lambda row: (1, None))
    assert house.rows(table) == [(1, 1)]


def test_check_passes_null(house: House) -> None:
    check = CheckDefinition(stored(call(">", column(2), literal(0))), "positive")
    table = house.table("t", {"id": INT, "a": INT}, check, key=["id"])
    house.insert(table, (1, None), (2, 1))
    with pytest.raises(CheckViolation, match='new row for relation "t" violates check constraint "positive"') as caught:
        house.insert(table, (3, 0))
    assert (caught.value.constraint, caught.value.detail) == ("positive", "Failing row contains (3, 0).")
    with pytest.raises(CheckViolation):
        house.update(table, lambda row: (row[0], -1))


def test_defaults_identity_and_generated_columns(house: House) -> None:
    sign = stored(call(">", column(3), literal(3)))
    table = house.table("t", {"id": {"type": BIGINT, "sequence": SequenceDefinition()},
                              "a": {"type": INT, "default": stored(literal(7))}, "b": INT,
                              "large": {"type": BOOL, "generated": sign}}, key=["id"])
    assert house.insert(table, (DEFAULT, DEFAULT, DEFAULT, DEFAULT), (DEFAULT, 1, 4, DEFAULT), (50, None, 3, DEFAULT)) \
        == [(1, 7, None, None), (2, 1, 4, True), (50, None, 3, False)]
    house.update(table, lambda row: (*row[:2], 9, DEFAULT) if row[0] == 50 else (row[0], DEFAULT, *row[2:]))
    assert house.rows(table) == [(1, 7, None, None), (2, 7, 4, True), (50, None, 9, True)]


def test_duplicate_keys(house: House, item: int) -> None:
    house.insert(item, (1, "a", 1, None))
    with pytest.raises(UniqueViolation, match='duplicate key value violates unique constraint "item_pkey"') as caught:
        house.insert(item, (1, "b", 1, None))
    assert (caught.value.table, caught.value.constraint) == ("item", "item_pkey")
    assert caught.value.detail == "Key (id)=(1) already exists."
    with pytest.raises(UniqueViolation, match='"item_name_key"') as caught:
        house.insert(item, (2, "a", 1, None))
    assert caught.value.detail == "Key (name)=(a) already exists."
    with pytest.raises(UniqueViolation):
        house.insert(item, (2, "b", 1, None), (3, "b", 1, None))
    house.insert(item, (2, None, 1, None), (3, None, 1, None))       # NULLs are distinct
    assert [row[0] for row in house.rows(item)] == [1, 2, 3]
    house.check(item)


def test_finding_by_an_index(house: House, item: int) -> None:
    house.insert(item, (1, "a", 7, None), (2, None, 7, None), (3, None, None, None))
    with house.database.transaction() as transaction:
        rows = house.tables.rows(transaction)
        layout = rows.layout(item)
        name, price = layout.indexes
        for index, value, ids in ((name, "a", [1]), (name, "b", []), (name, None, [2, 3]), (price, 7, [1, 2])):
            assert [row[0] for _, row in fetch(rows, layout, find(rows, index, (value,)))] == ids
        backwards = scan_index(rows, price, price.keys.start, price.keys.stop, reverse=True)
        assert [row[0] for _, row in fetch(rows, layout, backwards)] == [3, 2, 1]
        rows.space.delete(layout.key_of(layout.row_key((1, "", 0, ""))))
        with pytest.raises(CorruptionError):
            list(fetch(rows, layout, find(rows, name, ("a",))))
        transaction.rollback()


def test_nulls_not_distinct(house: House) -> None:
    table = house.table("t", {"id": INT, "a": INT}, KeyDefinition(("a",), nulls_distinct=False), key=["id"])
    house.insert(table, (1, None))
    with pytest.raises(UniqueViolation):
        house.insert(table, (2, None))


@pytest.mark.parametrize("step", [1, -1])
def test_an_update_may_pass_through_duplicates(house: House, step: int) -> None:
    table = house.table("t", {"id": INT, "a": INT}, KeyDefinition(("a",)), key=["id"])
    house.insert(table, *((n, n) for n in range(10)))
    house.update(table, lambda row: (row[0] + step, row[1] - step))
    assert house.rows(table) == [(n + step, n - step) for n in range(10)]
    house.check(table)
    house.index(table, 2)
    house.update(table, lambda row: (row[0] + step, 5 - row[1]))
    house.check(table)
    with pytest.raises(UniqueViolation):
        house.update(table, lambda row: (row[0], 0) if row[1] != 5 else None)
    with pytest.raises(UniqueViolation):
        house.update(table, lambda row: (row[0] // 2, row[1]))
    house.check(table)


def test_a_row_is_changed_once_in_a_statement(house: House, item: int) -> None:
    house.insert(item, (1, "a", 1, None))
    with house.work() as made:
        writer = made.writer(item)
        (row_key, row), = made.rows.scan(writer.layout)
        assert writer.update(row_key, row, (2, "a", 2, None)) == (2, "a", 2, None)
        assert writer.update(row_key, row, (1, "z", 3, None)) is None
        assert not writer.delete(row_key, row)
    assert house.rows(item) == [(2, "a", 2, None)]
    house.check(item)


def test_rollback_of_one_statement(house: House, item: int) -> None:
    with house.database.transaction() as transaction:
        rows = house.tables.rows(transaction)
        from phantomdb.core.tables.statement import RowStatement
        first = RowStatement(rows)
        first.writer(item).insert((1, "a", 1, None))
        first.finish()
        with pytest.raises(UniqueViolation), transaction.savepoint():
            second = RowStatement(rows)
            second.writer(item).insert((2, "b", 1, None))
            second.writer(item).insert((3, "a", 1, None))
    assert [row[0] for row in house.rows(item)] == [1]
    house.check(item)


# ---- ON CONFLICT

def test_on_conflict_do_nothing(house: House, item: int) -> None:
    name_key = house.definition(item).indexes[0].id
    house.insert(item, (1, "a", 1, None))
    with house.work() as made:
        writer = made.writer(item)
        assert writer.insert((1, "b", 0, None), OnConflict()) is None
        assert writer.insert((2, "a", 0, None), OnConflict()) is None
        assert writer.insert((2, "a", 0, None), OnConflict(name_key)) is None
        assert writer.insert((1, "c", 0, None), OnConflict(item)) is None
        assert writer.insert((2, "b", 0, None), OnConflict(name_key)) == (2, "b", 0, None)
        assert writer.insert((2, "b", 0, None), OnConflict(item)) is None
    with pytest.raises(UniqueViolation, match="item_pkey"), house.work() as made:
        made.writer(item).insert((1, "z", 0, None), OnConflict(name_key))
    assert house.rows(item) == [(1, "a", 1, None), (2, "b", 0, None)]
    house.check(item)


def test_on_conflict_do_update(house: House, item: int) -> None:
    house.insert(item, (1, "a", 1, "old"), (2, "b", 1, "old"))

    def add(existing: tuple[Any, ...], given: tuple[Any, ...]) -> Any:
        return None if given[3] == "skip" else (*existing[:2], existing[2] + given[2], given[3])

    rule = OnConflict(item, add)
    with house.work() as made:
        writer = made.writer(item)
        assert writer.insert((1, "x", 10, "new"), rule) == (1, "a", 11, "new")
        assert writer.insert((2, "x", 10, "skip"), rule) is None
        assert writer.insert((3, "c", 10, "new"), rule) == (3, "c", 10, "new")
    assert house.rows(item) == [(1, "a", 11, "new"), (2, "b", 1, "old"), (3, "c", 10, "new")]
    house.check(item)
    for ids in ((1, 1), (4, 4)):
        with pytest.raises(CardinalityViolation, match="cannot affect row a second time"), house.work() as made:
            for number in ids:
                made.writer(item).insert((number, f"n{number}", 1, "t"), rule)


# ---- kinds of indexes

def test_partial_unique_index(house: House) -> None:
    table = house.table("t", {"id": INT, "a": INT, "live": INT}, key=["id"])
    house.index(table, 2, is_unique=True, predicate=stored(call("=", column(3), literal(1))))
    house.insert(table, (1, 5, 1), (2, 5, 0), (3, 5, None))
    with pytest.raises(UniqueViolation):
        house.update(table, lambda row: (*row[:2], 1) if row[0] == 2 else None)
    house.update(table, lambda row: (row[0], row[1], None if row[2] is None else 1 - row[2]))
    house.check(table)
    with house.transaction() as rows:
        index = rows.layout(table).indexes[0]
        assert len(list(rows.space.scan(index.keys.start, index.keys.stop))) == 1


def test_an_entry_that_does_not_change(house: House) -> None:
    table = house.table("t", {"id": INT, "a": INT, "live": INT}, key=["id"])
    house.index(table, 2, is_unique=True, predicate=stored(call(">", column(3), literal(0))))
    house.insert(table, (1, 5, 1))
    house.update(table, lambda row: (*row[:2], 2))
    house.check(table)
    with pytest.raises(UniqueViolation):
        house.insert(table, (2, 5, 1))


def test_paths_and_arrays(house: House) -> None:
    table = house.table("t", {"id": INT, "doc": JSON, "tags": array(TEXT)}, key=["id"])
    house.index(table, IndexColumn(2, path=("a", "b")))
    house.index(table, IndexColumn(2, path=("list", "x")), is_multi_key=True)
    tags = house.index(table, 3, is_multi_key=True)
    house.insert(table, (1, {"a": {"b": 1}, "list": [{"x": 1}, {"x": [2, 3]}, 4]}, ["p", "q", "p"]),
                 (2, {"a": 3, "list": {"x": "t"}}, []), (3, [], None), (4, {"a": {"b": None}}, [None, "q"]))
    house.check(table)
    with house.transaction() as rows:
        layout = rows.layout(table)
        path, xs, _ = layout.indexes
        assert path.values(layout.decode(*next(rows.space.scan(*layout.range())))) == [(1,)]
        assert sorted(value[0] for value in xs.values(house.rows(table)[0])) == [1, 2, 3]
        index = layout.index(tags)
        for wanted, ids in (("q", [1, 4]), ("p", [1]), (None, [2, 3, 4])):
            start, stop = index.keys.range((wanted,))
            assert sorted(row[0] for _, row in fetch(rows, layout, scan_index(rows, index, start, stop))) == ids
        assert len(list(scan_index(rows, index, index.keys.start, index.keys.stop))) == 4
    house.update(table, lambda row: (*row[:2], ["q"]))
    house.delete(table, lambda row: row[0] == 1)
    house.check(table)


def test_expired_rows_are_not_there(house: House) -> None:
    table = house.table("t", {"id": INT, "name": TEXT, "seen": TIMESTAMPTZ}, KeyDefinition(("name",)), key=["id"])
    house.index(table, 3, ttl_s=60.0)
    now = datetime.datetime.now(datetime.UTC)
    old = now - datetime.timedelta(seconds=61)
    house.insert(table, (1, "a", old), (2, "b", now), (3, "c", None), (4, "d", old))
    assert [row[0] for row in house.rows(table)] == [2, 3]
    house.insert(table, (1, "z", now))                   # the primary key is free
    house.insert(table, (5, "d", now))                   # the name is free
    house.check(table)
    assert [row[0] for row in house.rows(table)] == [1, 2, 3, 5]


def test_only_rows_of_a_partial_index_expire(house: House) -> None:
    table = house.table("t", {"id": INT, "seen": TIMESTAMPTZ, "temporary": BOOL}, key=["id"])
    house.index(table, 2, ttl_s=1.0, predicate=stored(column(3, BOOL)))
    old = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    house.insert(table, (1, old, True), (2, old, False), (3, old, None))
    assert [row[0] for row in house.rows(table)] == [2, 3]


def test_truncate(house: House, item: int) -> None:
    house.insert(item, (1, "a", 1, None), (2, "b", 2, None))
    with house.transaction() as rows:
        rows.clear(rows.layout(item))
    assert house.rows(item) == []
    house.check(item)
    house.insert(item, (1, "a", 1, None))


# ---- later columns

def test_added_and_dropped_columns(house: House, item: int) -> None:
    from phantomdb.core.catalog import alteration
    from phantomdb.core.catalog.definition import ColumnDefinition
    house.insert(item, (1, "a", 1, "x"))
    house.change(lambda catalog: alteration.add_column(catalog, item, ColumnDefinition("late", INT), 42))
    house.insert(item, (2, "b", 2, "y", 0))
    assert house.rows(item) == [(1, "a", 1, "x", 42), (2, "b", 2, "y", 0)]
    house.change(lambda catalog: alteration.drop_column(catalog, item, "tag"))
    house.insert(item, (3, "c", 3, None))
    assert house.rows(item) == [(1, "a", 1, 42), (2, "b", 2, 0), (3, "c", 3, None)]
    house.update(item, lambda row: (*row[:3], 7))
    assert house.rows(item) == [(1, "a", 1, 7), (2, "b", 2, 7), (3, "c", 3, 7)]
    house.check(item)


def test_all_is_there_after_reopening(opened: Any) -> None:
    house = House(opened())
    table = house.table("t", {"id": INT, "a": DOUBLE, "n": NUMERIC}, KeyDefinition(("a",)), key=["id"])
    house.insert(table, (1, 1.5, None), (2, float("nan"), None))
    house.database.close()
    again = House(opened())
    assert [row[0] for row in again.rows(table)] == [1, 2]
    again.check(table)
    with pytest.raises(UniqueViolation):
        again.insert(table, (3, float("nan"), None))
