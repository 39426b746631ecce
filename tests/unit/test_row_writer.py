"""The row writer writes what core/tables/writer.py writes by itself, and leaves alone what is not plain."""
from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_values import VALUES
from table_tools import House, call, column, stored

import phantomdb
from phantomdb.core._ext.row_writer import RowWriter, begin
from phantomdb.core.catalog.constraints import KeyDefinition
from phantomdb.core.catalog.keys import CATALOG_PREFIX
from phantomdb.core.catalog.objects import IndexColumn
from phantomdb.core.catalog.storage import VERSION_BYTES, fence_key
from phantomdb.core.errors import LimitExceeded, RetryableConflict, TransactionClosed
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query.errors import QueryError, UniqueViolation
from phantomdb.core.tables.layout import TableLayout
from phantomdb.core.values import (
    BIGINT, BOOL, BYTES, DATE, DOUBLE, INT, INTERVAL, JSON, NUMERIC, REAL, SMALLINT, TEXT, TIME, TIMESTAMP,
    TIMESTAMPTZ, UUID_TYPE, Interval, Kind, Type, char, decimal, varchar,
)


@pytest.fixture
def house() -> Iterator[House]:
    with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none", value_threshold_bytes=2000) as db:
        yield House(db)


def layout_of(house: House, table: int) -> TableLayout:
    with house.transaction() as rows:
        return rows.layout(table)


def writer_of(house: House, table: int) -> RowWriter:
    writer = layout_of(house, table).writer
    assert writer is not None
    return writer


def content(house: House) -> list[tuple[bytes, bytes]]:
    """Every row and entry of all tables."""
    with house.transaction() as rows:
        return list(rows.space.scan())


def version_of(house: House) -> bytes:
    with house.transaction() as rows:
        return rows.catalog.version.to_bytes(VERSION_BYTES, "big")


# -------------------------------------------------------------------- the same as without it

STATEMENTS = st.lists(st.tuples(st.sampled_from(["insert", "update", "delete"]), st.integers(0, 7),
                                st.none() | st.integers(0, 3), st.none() | st.sampled_from(["a", "b", "é\0"])),
                      max_size=25)


@settings(max_examples=60, deadline=None)
@given(STATEMENTS, st.booleans(), st.booleans(), st.booleans())
def test_the_same_content_as_by_the_writer_alone(statements: Any, is_unique: bool, nulls_distinct: bool,
                                                 has_key: bool) -> None:
    outcomes = []
    for is_plain in (True, False):
        with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
            house = House(db)
            table = house.table("t", {"id": INT, "a": INT, "b": TEXT}, key=["id"] if has_key else ())
            house.index(table, IndexColumn(2, is_descending=True, nulls_first=True), 3, is_unique=is_unique,
                        nulls_distinct=nulls_distinct)
            house.index(table, 3)
            if not is_plain:
                layout_of(house, table).writer = None        # the layout that all transactions use
            errors = [outcome_of(house, table, *statement) for statement in statements]
            house.check(table)
            outcomes.append((errors, content(house)))
    assert outcomes[0] == outcomes[1]


def outcome_of(house: House, table: int, what: str, number: int, a: Any, b: Any) -> str:
    """What a statement raises, or nothing."""
    try:
        if what == "insert":
            house.insert(table, (number, a, b))
        elif what == "update":                               # also the key, and values that stay the same object
            house.update(table, lambda row: (row[0] if a else number + 1, a, row[2] if b is None else b)
                         if row[0] == number else None)
        else:
            house.delete(table, lambda row: row[0] == number)
    except QueryError as error:
        return f"{error.sqlstate} {error}"
    return ""


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_values_of_all_kinds(data: Any) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES.keys() - {Kind.ANY})), min_size=1, max_size=5))
    types = [Type(Kind(kind), 64 if kind in (Kind.INT, Kind.FLOAT) else 0,
                  element=BIGINT if kind == Kind.ARRAY else None) for kind in kinds]
    rows = [tuple(data.draw(st.none() | VALUES[kind]) for kind in kinds) for _ in range(4)]
    contents = []
    for is_plain in (True, False):
        with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
            house = House(db)
            table = house.table("t", {"id": INT, **{f"c{at}": type_ for at, type_ in enumerate(types)}}, key=["id"])
            for at, kind in enumerate(kinds):
                if kind != Kind.JSON:
                    house.index(table, at + 2)
            assert layout_of(house, table).writer is not None
            if not is_plain:
                layout_of(house, table).writer = None
            house.insert(table, *((number, *row) for number, row in enumerate(rows)))
            house.update(table, lambda row: (row[0], *rows[-1]) if row[0] == 1 else None)
            house.delete(table, lambda row: row[0] == 2)
            house.check(table)
            contents.append(content(house))
    assert contents[0] == contents[1]


def test_what_is_not_plain_has_no_writer(house: House) -> None:
    columns = {"id": INT, "a": INT, "b": TEXT, "c": char(3), "d": JSON}
    lower = stored(call("lower", column(3, TEXT), type_=TEXT))
    table = house.table("partial", columns, key=["id"])
    assert layout_of(house, table).writer is not None
    house.index(table, 2, predicate=stored(call(">", column(2), column(1))))
    assert layout_of(house, table).writer is None
    deferrable = KeyDefinition(("a",), is_deferrable=True)
    assert layout_of(house, house.table("deferrable", columns, deferrable, key=["id"])).writer is None
    for name, part in [("expression", IndexColumn(expression=lower)), ("path", IndexColumn(5, path=("x",))),
                       ("padded", IndexColumn(4))]:
        table = house.table(name, columns, key=["id"])
        house.index(table, part)
        assert layout_of(house, table).writer is None
    assert layout_of(house, house.table("padded_key", columns, key=["c"])).writer is None


# -------------------------------------------------------------------- takes

UTC = datetime.UTC
TAKEN: list[tuple[Type, list[Any], list[Any]]] = [
    (BOOL, [True, None], [1, "t"]),
    (SMALLINT, [-2**15, 2**15 - 1, 0], [2**15, -2**15 - 1, True, 1.0, "1"]),
    (INT, [-2**31, 2**31 - 1], [2**31, -2**31 - 1, 2**70, -2**70]),
    (BIGINT, [-2**63, 2**63 - 1], [1.0, Decimal(1)]),
    (DOUBLE, [1.5, float("nan"), float("inf")], [1, Decimal("1.5"), "1.5"]),
    (REAL, [None], [1.5]),
    (NUMERIC, [Decimal("1.50"), Decimal("NaN")], [1, 1.5]),
    (decimal(5, 2), [None], [Decimal("1.5")]),
    (TEXT, ["", "x" * 100, "\0é"], [b"x", 1]),
    (varchar(3), ["", "abc", "éàü"], ["abcd", "abc "]),
    (char(3), [None], ["abc"]),
    (BYTES, [b"", b"\0"], [bytearray(b"x"), "x"]),
    (DATE, [datetime.date(2020, 1, 1)], [datetime.datetime(2020, 1, 1)]),
    (TIME, [datetime.time(1)], [datetime.datetime(2020, 1, 1)]),
    (TIMESTAMP, [datetime.datetime(2020, 1, 1)], [datetime.date(2020, 1, 1)]),
    (TIMESTAMPTZ, [datetime.datetime(2020, 1, 1, tzinfo=UTC)], [datetime.date(2020, 1, 1)]),
    (INTERVAL, [Interval(1)], [datetime.timedelta(1), (1, 0, 0)]),
    (UUID_TYPE, [UUID(int=1)], ["00000000-0000-0000-0000-000000000001"]),
    (JSON, [None], [{}, [], "x", 1]),
]


@pytest.mark.parametrize("type_, taken, refused", TAKEN, ids=[str(type_) for type_, _, _ in TAKEN])
def test_what_a_column_takes_as_it_is(house: House, type_: Type, taken: list[Any], refused: list[Any]) -> None:
    table = house.table("t", {"id": INT, "a": type_}, key=["id"])
    writer = writer_of(house, table)
    for value in taken:
        assert writer.takes((1, value)), value
        assert writer.takes([1, value])
        with house.work() as made:
            assert made.rows.layout(table).writer is not None
            assert writer.insert_many(made.rows.transaction.core, [(1, value)]) == 1
        assert repr(house.rows(table)) == repr([(1, value)])
        house.delete(table)
    for value in refused:
        assert not writer.takes((1, value)), value
        with house.transaction() as rows:
            assert writer.insert_many(rows.transaction.core, [(1, value)]) == 0
            assert rows.transaction.core.write_count == 0
    assert not writer.takes((None, taken[0]))                # the primary key
    assert not writer.takes((1,))
    assert not writer.takes((1, taken[0], taken[0]))


# -------------------------------------------------------------------- many rows

def numbers(house: House, **options: Any) -> int:
    table = house.table("t", {"id": INT, "a": INT}, key=["id"])
    house.index(table, 2, **options)
    return table


def test_many_rows_stop_at_a_key_that_is_taken(house: House) -> None:
    table = numbers(house, is_unique=True)
    house.insert(table, (5, 50))
    writer = writer_of(house, table)
    for rows_given, count in [([(1, 1), (2, 2), (5, 3), (6, 6)], 2),          # key of a row that is there
                              ([(1, 1), (2, 50), (6, 6)], 1),                 # its unique entry
                              ([(1, 1), (2, 2), (1, 3)], 2),                  # a key of this very call
                              ([(1, 1), (2, 2), (3, 1)], 2),                  # an entry of it
                              ([(n, n) for n in range(100, 2000)], 1900),
                              ([(1, None), (2, None)], 2)]:
        with house.database.transaction() as transaction:
            assert writer.insert_many(transaction.core, rows_given) == count
            assert transaction.core.write_count == 2 * count
            transaction.rollback()


def test_many_rows_see_what_the_transaction_wrote_before(house: House) -> None:
    table = numbers(house, is_unique=True)
    house.insert(table, (5, 50))
    writer, key = writer_of(house, table), layout_of(house, table).keys.encode((5,))
    with house.database.transaction() as transaction:
        core = transaction.core
        writer.delete(core, key, (5, 50))
        assert writer.insert_many(core, [(5, 50), (6, 60)]) == 2
        assert writer.insert_many(core, [(7, 60)]) == 0
        assert writer.insert(core, (6, 61)) is False
        assert writer.insert(core, (8, 50)) is False
        assert writer.insert(core, (8, 80)) is True
    assert house.rows(table) == [(5, 50), (6, 60), (8, 80)]
    house.check(table)


def test_rows_that_come_while_something_else_is_written(house: House) -> None:
    table = numbers(house, is_unique=True)
    writer = writer_of(house, table)
    with house.database.transaction() as transaction:
        def rows() -> Iterator[tuple[int, int]]:
            yield 1, 1
            assert writer.insert(transaction.core, (2, 2))
            yield 2, 3
        assert writer.insert_many(transaction.core, rows()) == 1
    assert house.rows(table) == [(1, 1), (2, 2)]


def test_hidden_keys_count_up(house: House) -> None:
    table = house.table("t", {"a": INT})
    house.index(table, 1)
    writer, layout = writer_of(house, table), layout_of(house, table)
    with house.database.transaction() as transaction:
        assert writer.insert_many(transaction.core, [[7], (8,)], 41) == 2
        assert writer.insert(transaction.core, (9,), 43) is True
    with house.transaction() as rows:
        assert [layout.keys.codec.decode(key) for key, _ in rows.scan(layout)] == [(41,), (42,), (43,)]
    assert house.rows(table) == [(7,), (8,), (9,)]
    house.check(table)


def test_wrong_rows(house: House) -> None:
    writer = writer_of(house, numbers(house))
    with house.database.transaction() as transaction:
        core = transaction.core
        for rows in ([{"id": 1, "a": 2}], ["ab"], [1], [(1,)]):
            assert writer.insert_many(core, rows) == 0
        with pytest.raises(ValueError, match="1 values"):
            writer.insert(core, (1,))
        with pytest.raises(ValueError, match="values"):
            writer.update(core, b"x", (1, 2), (1,))
        with pytest.raises(ValueError, match="values"):
            writer.delete(core, b"x", (1,))
        with pytest.raises(TypeError):
            writer.insert(core, ("1", 2))
        assert core.write_count == 0
        transaction.rollback()
    for function in (lambda: writer.insert(core, (1, 2)), lambda: writer.insert_many(core, [(1, 2)]),
                     lambda: writer.update(core, b"x", (1, 2), (1, 3)), lambda: writer.delete(core, b"x", (1, 2))):
        with pytest.raises(TransactionClosed):
            function()


# -------------------------------------------------------------------- updates

def test_an_update_leaves_keys_alone(house: House) -> None:
    table = house.table("t", {"id": INT, "a": INT, "b": INT, "c": TEXT}, key=["id"])
    house.index(table, 2, is_unique=True)
    house.index(table, 3)
    old = (1000, 2000, 3000, "x")
    house.insert(table, old)
    writer, key = writer_of(house, table), layout_of(house, table).keys.encode((1000,))
    with house.database.transaction() as transaction:
        core = transaction.core
        assert writer.update(core, key, old, (1001, *old[1:])) is False
        assert writer.update(core, key, old, (old[0], 2001, *old[2:])) is False
        assert core.write_count == 0
        assert writer.update(core, key, old, (*old[:3], "y")) is True
        assert core.write_count == 1                         # the row alone
        equal = int("3000")
        assert equal is not old[2]
        assert writer.update(core, key, old, (*old[:2], equal, "y")) is True
        assert core.write_count == 2                         # the entry is the same
        assert writer.update(core, key, old, (*old[:2], 3001, "z")) is True
        assert core.write_count == 5
    assert house.rows(table) == [(1000, 2000, 3001, "z")]
    house.check(table)


# -------------------------------------------------------------------- the store

def test_large_values_go_to_the_value_log(house: House) -> None:
    table = house.table("t", {"id": INT, "a": TEXT}, key=["id"])
    text = "x" * 50_000
    house.insert(table, (1, text), (2, "short"))
    house.update(table, lambda row: (row[0], text + "y"))
    assert house.rows(table) == [(1, text + "y"), (2, text + "y")]
    house.database.flush()
    assert house.rows(table) == [(1, text + "y"), (2, text + "y")]


def test_a_key_that_is_too_long(house: House) -> None:
    table = house.table("t", {"id": INT, "a": TEXT}, key=["id"])
    house.index(table, 2)
    with pytest.raises(LimitExceeded):
        house.insert(table, (1, "x" * 70_000))
    assert house.rows(table) == []


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_two_transactions_write_one_unique_key(house: House, isolation: Any) -> None:
    table = numbers(house, is_unique=True)
    writer = writer_of(house, table)
    for first, second in [((1, 1), (1, 2)), ((3, 3), (4, 3))]:
        one, two = (house.database.transaction(isolation=isolation) for _ in range(2))
        assert writer.insert_many(one.core, [first]) == writer.insert_many(two.core, [second]) == 1
        one.commit()
        with pytest.raises(RetryableConflict):
            two.commit()
    house.check(table)


def test_a_transaction_of_a_known_catalog(house: House) -> None:
    table = numbers(house)
    store, version = house.database.store, version_of(house)
    fence = bytes((CATALOG_PREFIX,)) + fence_key(table)

    def start() -> Any:
        return begin(store.engine, True, store.options.transaction_bytes, version, fence)

    core = start()
    assert writer_of(house, table).insert(core, (1, 1))
    core.commit()
    assert house.rows(table) == [(1, 1)]
    core = start()
    writer_of(house, table).insert(core, (2, 2))
    house.index(table, 1)                                    # the definition changes before the commit
    with pytest.raises(RetryableConflict):
        core.commit()
    assert start() is None
    assert store.engine.collectable(0)[0] == []
    assert house.rows(table) == [(1, 1)]


def test_errors_are_those_of_the_writer(house: House) -> None:
    table = numbers(house, is_unique=True)
    house.insert(table, (1, 1))
    for row in ((1, 2), (2, 1)):
        with pytest.raises(UniqueViolation):
            house.insert(table, row)
    house.update(table, lambda row: (2, 2))                  # moves the row
    assert house.rows(table) == [(2, 2)]
    house.check(table)
