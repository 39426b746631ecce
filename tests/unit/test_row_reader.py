"""The row reader reads the rows that RowTransaction reads, and has them validated as that does."""
from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_values import VALUES
from table_tools import House

import phantomdb
from phantomdb.core._ext import row_reader
from phantomdb.core._ext.row_reader import STALE, RowReader
from phantomdb.core.catalog.keys import CATALOG_PREFIX, VERSION_KEY
from phantomdb.core.catalog.objects import IndexColumn
from phantomdb.core.catalog.storage import VERSION_BYTES
from phantomdb.core.errors import CorruptionError, LimitExceeded, RetryableConflict
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query.plan import ROW_KEY
from phantomdb.core.tables.indexes import fetch, scan_index
from phantomdb.core.tables.layout import ROWS_PREFIX, TableLayout
from phantomdb.core.tables.rows import RowTransaction
from phantomdb.core.values import BIGINT, INT, TEXT, Kind, Type, char, decimal


@pytest.fixture
def house() -> Iterator[House]:
    with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none", value_threshold_bytes=2000) as db:
        yield House(db)


def whole(house: House, layout: TableLayout) -> RowReader:
    """A reader of all columns, in their order."""
    return layout.reader(house.database.store.engine, [column.id for column in layout.table.columns])


def version_of(house: House) -> bytes:
    with house.transaction() as rows:
        return rows.catalog.version.to_bytes(VERSION_BYTES, "big")


def items(house: House) -> int:
    table = house.table("item", {"id": INT, "grp": INT, "name": TEXT}, key=["id"])
    house.index(table, 2)
    house.index(table, 3, is_unique=True)
    house.insert(table, *((number, number % 3, f"n{number}") for number in range(10)))
    return table


def test_numbers_of_other_modules() -> None:
    assert bytes((CATALOG_PREFIX,)) + VERSION_KEY == b"cv"   # in row_reader.pyx
    assert ROWS_PREFIX == 0x74
    assert (row_reader.FROM_KEY, row_reader.FROM_RECORD, row_reader.FROM_ROW_KEY) == (0, 1, 2)


# -------------------------------------------------------------------- the same as the Python way

@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_row_comes_back(data: Any) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES.keys() - {Kind.ANY})), min_size=1, max_size=6))
    types = [Type(Kind(kind), 64 if kind in (Kind.INT, Kind.FLOAT) else 0,
                  element=BIGINT if kind == Kind.ARRAY else None) for kind in kinds]
    with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
        house = House(db)
        table = house.table("t", {"id": INT, **{f"c{place}": type_ for place, type_ in enumerate(types)}}, key=["id"])
        stored = [tuple(data.draw(st.none() | VALUES[kind]) for kind in kinds) for _ in range(3)]
        house.insert(table, *((number, *row) for number, row in enumerate(stored)))
        with house.transaction() as rows:
            layout = rows.layout(table)
            reader = whole(house, layout)
            for number in range(3):
                wanted = rows.get(layout, layout.keys.encode((number,)))
                for core in (None, rows.transaction.core):
                    assert repr(reader.get(core, (number,))) == repr([wanted])


def test_outputs_in_any_order(house: House) -> None:
    table = house.table("t", {"a": TEXT, "b": INT, "c": TEXT, "d": decimal(6, 2)}, key=["d", "b"])
    house.insert(table, ("x", 7, None, Decimal("1.50")))
    with house.transaction() as rows:
        layout = rows.layout(table)
        reader = layout.reader(house.database.store.engine, [3, 2, 4, 1, 2, ROW_KEY])
    key = layout.keys.encode((Decimal("1.50"), 7))
    found = reader.get(None, [Decimal("1.5"), 7])
    assert found == [(None, 7, Decimal("1.50"), "x", 7, key)]
    assert str(found[0][2]) == "1.50"                        # declared digits, which the key does not have
    assert layout.reader(house.database.store.engine, []).get(None, (Decimal("1.5"), 7)) == [()]


def test_a_column_added_later_has_its_default(house: House) -> None:
    table = house.table("t", {"id": INT, "a": TEXT}, key=["id"])
    house.insert(table, (1, "x"))
    with house.transaction() as rows:
        before = rows.layout(table)
    import dataclasses
    column = dataclasses.replace(before.table.columns[1], id=3, name="b", missing="later")
    after = TableLayout(dataclasses.replace(before.table, columns=(*before.table.columns, column),
                                            record_columns=(*before.table.record_columns, 3)))
    assert whole(house, after).get(None, (1,)) == [(1, "x", "later")]


def test_own_writes_come_first(house: House) -> None:
    table = items(house)
    with house.work() as made:
        layout, core = made.rows.layout(table), made.rows.transaction.core
        reader = whole(house, layout)
        writer = made.writer(table)
        writer.insert((100, 1, "new"))
        writer.delete(layout.keys.encode((1,)), (1, 1, "n1"))
        for row_key, row in list(made.rows.scan(layout)):
            if row[0] == 4:
                writer.update(row_key, row, (4, 2, row[2]))
        assert reader.get(core, (100,)) == [(100, 1, "new")]
        assert reader.get(core, (1,)) == []
        assert reader.get(None, (1,)) == [(1, 1, "n1")]      # others see it until the commit
        assert reader.range(core, *layout.range()) == [row for _, row in made.rows.scan(layout)]
        index = layout.indexes[0]
        for number in (1, 2):
            start, stop = index.keys.range((number,))
            wanted = [row for _, row in fetch(made.rows, layout, scan_index(made.rows, index, start, stop))]
            assert reader.through(core, index.keys.codec, start, stop) == wanted
        assert len(reader.through(core, index.keys.codec, *index.keys.range((2,)))) == 4


@pytest.mark.parametrize("is_own", [False, True])
def test_large_values(house: House, is_own: bool) -> None:
    table = house.table("t", {"id": INT, "a": TEXT}, key=["id"])
    text = "x" * 50_000
    with house.work() as made:
        layout = made.rows.layout(table)
        reader = whole(house, layout)
        made.writer(table).insert((1, text))
        if is_own:
            assert reader.get(made.rows.transaction.core, (1,)) == [(1, text)]
    assert reader.get(None, (1,)) == [(1, text)]
    assert reader.range(None, *layout.range()) == [(1, text)]
    house.database.flush()
    assert reader.get(None, (1,)) == [(1, text)]


def test_ranges(house: House) -> None:
    table = items(house)
    with house.transaction() as rows:
        layout = rows.layout(table)
        reader, every = whole(house, layout), [row for _, row in rows.scan(layout)]
        for core in (None, rows.transaction.core):
            start, stop = layout.keys.range((), 3, 8)
            assert reader.range(core, start, stop) == every[3:9]
            assert reader.range(core, start, stop, 2) == every[3:5]
            assert reader.range(core, start, stop, 2, True) == every[8:6:-1]
            assert reader.range(core, start, stop, 0) == []
            assert reader.range(core, stop, start) == []


def test_many_rows_in_several_buffers(house: House) -> None:
    table = house.table("t", {"id": INT, "grp": INT}, key=["id"])
    house.index(table, 2)
    house.insert(table, *((number, 5) for number in range(3000)))
    with house.transaction() as rows:
        layout = rows.layout(table)
        index, reader = layout.indexes[0], whole(house, rows.layout(table))
        for core in (None, rows.transaction.core):
            assert [row[0] for row in reader.range(core, *layout.range())] == list(range(3000))
            found = reader.through(core, index.keys.codec, *index.keys.range((5,)), 2500)
            assert [row[0] for row in found] == list(range(2500))
            found = reader.through(core, index.keys.codec, *index.keys.range((5,)), None, True)
            assert [row[0] for row in found] == list(range(2999, -1, -1))


def test_unique_entries_of_both_forms(house: House) -> None:
    table = house.table("t", {"id": INT, "a": INT, "b": INT}, key=["id"])
    house.index(table, IndexColumn(2, is_descending=True), 3, is_unique=True)
    house.insert(table, (1, 5, 5), (2, 5, None), (3, 5, None), (4, 6, 1))
    with house.transaction() as rows:
        layout = rows.layout(table)
        index = layout.indexes[0]
        found = whole(house, layout).through(None, index.keys.codec, *index.keys.range((5,)))
        assert sorted(row[0] for row in found) == [1, 2, 3]
        assert whole(house, layout).through(None, index.keys.codec, *index.keys.range((5, 5))) == [(1, 5, 5)]


def test_pairs(house: House) -> None:
    table = items(house)
    lines = house.table("line", {"id": INT, "item": INT, "qty": INT}, key=["id"])
    house.insert(lines, (1, 4, 10), (2, None, 20), (3, 99, 30))
    with house.transaction() as rows:
        engine = house.database.store.engine
        line = rows.layout(lines).reader(engine, [3, 2])
        item = rows.layout(table).reader(engine, [3, 2])
        for core in (None, rows.transaction.core):
            assert line.pair(item, (1,), (0, 2, 3, 0), core, (1,)) == [(10, "n4", 1, 10)]
            for missing in (2, 3, 4):                        # NULL, no such item, no such line
                assert line.pair(item, (1,), (0, 2), core, (missing,)) == []


# -------------------------------------------------------------------- which catalog

def test_another_catalog_is_noticed(house: House) -> None:
    table = items(house)
    with house.transaction() as rows:
        layout = rows.layout(table)
    reader, index, known = whole(house, layout), layout.indexes[0], version_of(house)

    def answers(version: bytes) -> list[Any]:
        return [reader.get(None, (1,), version), reader.pair(reader, (0,), (0,), None, (1,), version),
                reader.range(None, *layout.range(), version=version),
                reader.through(None, index.keys.codec, *index.keys.range((1,)), version=version)]

    assert [len(found) for found in answers(known)] == [1, 1, 10, 3]
    house.table("other", {"id": INT})
    assert all(found is STALE for found in answers(known))
    assert [len(found) for found in answers(version_of(house))] == [1, 1, 10, 3]
    assert all(found is STALE for found in answers(b""))
    # no snapshot is left behind
    assert house.database.store.engine.collectable(0)[0] == []


# -------------------------------------------------------------------- what is validated

def reads_then_other_writes(house: House, table: int, read: Any, other: Any, isolation: str = "serializable") -> None:
    """`read(reader, core, layout)` in a transaction that writes, and is committed after `other`."""
    with house.database.transaction(isolation=isolation) as transaction:
        rows = RowTransaction(transaction, house.tables.catalogs.at(transaction), house.tables.layouts,
                              house.tables.sequences)
        layout = rows.layout(table)
        read(whole(house, layout), transaction.core, layout)
        rows.space.put(b"mark", b"")
        other()


@pytest.mark.parametrize("number", [3, 77])                  # one that is there, and one that is not
def test_a_point_read_is_validated(house: House, number: int) -> None:
    table = items(house)

    def change() -> None:
        if number == 3:
            house.update(table, lambda row: (3, 1, "changed") if row[0] == 3 else None)
        else:
            house.insert(table, (77, 1, "new"))

    with pytest.raises(RetryableConflict):
        reads_then_other_writes(house, table, lambda reader, core, _: reader.get(core, (number,)), change)


def test_snapshot_isolation_does_not_validate(house: House) -> None:
    table = items(house)
    reads_then_other_writes(house, table, lambda reader, core, _: reader.get(core, (3,)),
                            lambda: house.delete(table, lambda row: row[0] == 3), "snapshot")


@pytest.mark.parametrize("is_reverse", [False, True])
@pytest.mark.parametrize("number, conflicts", [(100, True), (250, True), (301, False), (50, False)])
def test_a_range_is_validated_as_far_as_it_was_read(house: House, number: int, conflicts: bool, is_reverse: bool
                                                    ) -> None:
    table = house.table("t", {"id": INT, "grp": INT, "name": TEXT}, key=["id"])
    house.insert(table, *((n * 2, 0, "") for n in range(200)))

    def read(reader: RowReader, core: Any, layout: TableLayout) -> None:
        if is_reverse:
            start, stop = layout.keys.range((), None, 300)
            found = reader.range(core, start, stop, 101, True)
            assert (found[0][0], found[-1][0]) == (300, 100)
        else:
            start, stop = layout.keys.range((), 100)
            found = reader.range(core, start, stop, 101)
            assert (found[0][0], found[-1][0]) == (100, 300)

    def other() -> None:
        odd = number | 1                                     # new rows
        if number == 100:
            house.update(table, lambda row: (100, 1, "x") if row[0] == 100 else None)
        else:
            house.insert(table, (odd, 0, "phantom"))

    if conflicts:
        with pytest.raises(RetryableConflict):
            reads_then_other_writes(house, table, read, other)
    else:
        reads_then_other_writes(house, table, read, other)


def test_a_range_without_limit_is_validated_to_its_end(house: House) -> None:
    table = items(house)

    def read(reader: RowReader, core: Any, layout: TableLayout) -> None:
        assert len(reader.range(core, *layout.keys.range((), 5))) == 5

    with pytest.raises(RetryableConflict):
        reads_then_other_writes(house, table, read, lambda: house.insert(table, (1000, 1, "phantom")))


@pytest.mark.parametrize("change", ["entry", "row"])
def test_an_index_lookup_validates_entries_and_rows(house: House, change: str) -> None:
    table = items(house)

    def read(reader: RowReader, core: Any, layout: TableLayout) -> None:
        index = layout.indexes[0]
        assert len(reader.through(core, index.keys.codec, *index.keys.range((1,)))) == 3

    def other() -> None:
        if change == "entry":
            house.insert(table, (50, 1, "phantom"))
        else:
            house.update(table, lambda row: (4, 1, "changed") if row[0] == 4 else None)

    with pytest.raises(RetryableConflict):
        reads_then_other_writes(house, table, read, other)


# -------------------------------------------------------------------- refusals

def test_wrong_arguments(house: House) -> None:
    table = items(house)
    with house.transaction() as rows:
        layout = rows.layout(table)
    reader = whole(house, layout)
    for values, error in [((), ValueError), ((1, 2), ValueError), (("1",), TypeError), ((True,), TypeError),
                          ((1 << 70,), OverflowError), ({1: 2}, TypeError), ("1", TypeError)]:
        with pytest.raises(error):
            reader.get(None, values)
    with pytest.raises(ValueError, match="no place"):
        RowReader(house.database.store.engine, b"", layout.keys.codec, layout.record_codec, [(0, 1, None, None)])
    assert house.database.store.engine.collectable(0)[0] == []


def test_a_key_that_is_too_long(house: House) -> None:
    table = house.table("t", {"id": TEXT}, key=["id"])
    with house.transaction() as rows:
        reader = whole(house, rows.layout(table))
    with pytest.raises(LimitExceeded):
        reader.get(None, ("x" * 70_000,))


def test_an_entry_without_its_row(house: House) -> None:
    table = items(house)
    with house.transaction() as rows:
        layout = rows.layout(table)
        rows.space.delete(layout.key_of(layout.keys.encode((4,))))
    index = layout.indexes[0]
    with pytest.raises(CorruptionError, match="not there"):
        whole(house, layout).through(None, index.keys.codec, *index.keys.range((1,)))


def test_a_closed_database() -> None:
    with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
        house = House(db)
        table = items(house)
        with house.transaction() as rows:
            reader = whole(house, rows.layout(table))
    with pytest.raises(phantomdb.errors.DatabaseClosed):
        reader.get(None, (1,))


def test_padded_text_is_given_back_padded(house: House) -> None:
    table = house.table("t", {"id": char(5), "a": INT}, key=["id"])
    house.insert(table, ("ab   ", 1))
    with house.transaction() as rows:
        layout = rows.layout(table)
    assert not layout.keys.is_plain
    assert whole(house, layout).range(None, *layout.range()) == [("ab   ", 1)]
