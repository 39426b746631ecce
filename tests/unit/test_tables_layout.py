"""Keys and records of rows; ranges of keys against a plain filter and sort; an index against its table."""
from __future__ import annotations

import datetime
import itertools
import math
from decimal import Decimal
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_tools import House

import phantomdb
from phantomdb.core.catalog.constraints import CheckDefinition, KeyDefinition
from phantomdb.core.catalog.objects import Column, Index, IndexColumn, Table
from phantomdb.core.query.errors import ProgramLimitExceeded, QueryError, UniqueViolation
from phantomdb.core.tables.layout import LayoutCache, OrderedKeys, TableLayout, after, value_at
from phantomdb.core.tables.statement import RowStatement
from phantomdb.core.values import (
    BIGINT, BYTES, DATE, DOUBLE, INT, JSON, NUMERIC, TEXT, TIMESTAMPTZ, UUID_TYPE, Type, array, decimal,
)

VALUES: dict[Type, st.SearchStrategy[Any]] = {
    INT: st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-2, 2),
    BIGINT: st.integers(-(1 << 63), (1 << 63) - 1),
    DOUBLE: st.floats(width=64),
    TEXT: st.text(max_size=4),
    BYTES: st.binary(max_size=4),
    DATE: st.dates(),
    TIMESTAMPTZ: st.datetimes(timezones=st.just(datetime.UTC)),
    decimal(8, 2): st.decimals(-999999, 999999, places=2),
    NUMERIC: st.decimals(allow_infinity=False).map(lambda value: Decimal("NaN") if value.is_nan() else value),
    UUID_TYPE: st.builds(UUID, int=st.integers(0, (1 << 128) - 1)),
    array(INT): st.lists(st.none() | st.integers(-9, 9), max_size=3),
    JSON: st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), lambda inner: st.lists(
        inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2), max_leaves=4).filter(
            lambda value: value is not None),
}
KEYS = [INT, BIGINT, TEXT, BYTES, DATE, TIMESTAMPTZ, decimal(8, 2), UUID_TYPE]


def same(a: Any, b: Any) -> bool:
    """Equal, of one type, and of one scale; NaN is NaN."""
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (float, Decimal)):
        return type(a) is type(b) and ((a == b and str(a).strip("-") == str(b).strip("-")) or (a != a and b != b))
    return type(a) is type(b) and bool(a == b)


@st.composite
def tables_with_rows(draw: st.DrawFn) -> tuple[Table, list[tuple[Any, ...]]]:
    types = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=5))
    columns = tuple(Column(number, f"c{number}", type_) for number, type_ in enumerate(types, 1))
    able = [column.id for column in columns if column.type in KEYS]
    key = tuple(draw(st.lists(st.sampled_from(able), unique=True))) if able else ()
    table = Table(7, 2, "t", columns, key or (0,), tuple(column.id for column in columns if column.id not in key),
                  len(columns) + 1, "t_pkey" if key else "")
    row = st.tuples(*(VALUES[column.type] if column.id in key else st.none() | VALUES[column.type]
                      for column in columns))
    return table, draw(st.lists(row, max_size=5))


@given(tables_with_rows())
def test_a_row_is_what_it_was(given_: tuple[Table, list[tuple[Any, ...]]]) -> None:
    table, rows = given_
    layout = TableLayout(table)
    for number, row in enumerate(rows):
        key, record = layout.encode(row, number if table.has_hidden_key else None)
        assert key.startswith(b"\0\0\0\7")
        assert layout.range()[0] < key < layout.range()[1]
        assert same(layout.decode(key, record), row)


def _order(value: Any, type_: Type) -> Any:
    return (math.isnan(value), value) if isinstance(value, (float, Decimal)) else value


@given(st.data())
def test_ranges_are_filters(data: st.DataObject) -> None:
    """range() against the same condition on the rows, in the index's order."""
    types = data.draw(st.lists(st.sampled_from([INT, TEXT, DOUBLE, DATE, NUMERIC]), min_size=1, max_size=3))
    columns = tuple(Column(number, f"c{number}", type_) for number, type_ in enumerate(types, 1))
    flags = [data.draw(st.tuples(st.booleans(), st.booleans())) for _ in types]
    index = Index(9, "i", tuple(IndexColumn(column.id, is_descending=down, nulls_first=first)
                                for column, (down, first) in zip(columns, flags, strict=True)))
    table = Table(8, 2, "t", columns, (0,), tuple(column.id for column in columns), 9, indexes=(index,))
    layout = TableLayout(table)
    pools = [data.draw(st.lists(st.none() | VALUES[type_], min_size=1, max_size=3)) for type_ in types]
    rows = data.draw(st.lists(st.tuples(*(st.sampled_from(pool) for pool in pools)), max_size=8))
    (of,) = layout.indexes
    found = sorted((key, row) for number, row in enumerate(rows)
                   for key in of.entries(row, layout.hidden_row_key(number)))
    count = data.draw(st.integers(0, len(types) - 1))
    equal = data.draw(st.tuples(*(st.sampled_from(pool) for pool in pools[:count])))
    bounds = [value for value in pools[count] if value is not None]
    low, high = (data.draw(st.none() | st.sampled_from(bounds)) if bounds else None for _ in range(2))
    low_inclusive, high_inclusive = data.draw(st.booleans()), data.draw(st.booleans())
    start, stop = of.keys.range(equal, low, high, low_inclusive=low_inclusive, high_inclusive=high_inclusive)
    assert start <= stop

    def fits(row: tuple[Any, ...]) -> bool:
        if not all(a is b or (a is not None and b is not None and _order(a, INT) == _order(b, INT))
                   or (a is not None and b is not None and a != a and b != b)
                   for a, b in zip(row, equal, strict=False)):
            return False
        value = row[count]
        if low is None and high is None:
            return True
        if value is None:
            return False
        place = rank(value)
        return (low is None or place > rank(low) or (low_inclusive and place == rank(low))) and (
            high is None or place < rank(high) or (high_inclusive and place == rank(high)))

    def rank(value: Any) -> Any:
        return (1, 0) if value != value else (0, value)

    wanted = [key for key, row in found if fits(row)]
    assert [key for key, _ in found if start <= key < stop] == wanted


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
def test_bounds_leave_nulls_out(is_descending: bool, nulls_first: bool) -> None:
    keys = OrderedKeys(9, [INT, INT], [False, is_descending], [False, nulls_first])
    stored = {keys.prefix + keys.encode((group, value)): value for group in (1, 2, 3) for value in (None, 1, 2, 3)}
    for low, high in itertools.product((None, 2), repeat=2):
        for low_inclusive, high_inclusive in itertools.product((True, False), repeat=2):
            start, stop = keys.range((2,), low, high, low_inclusive=low_inclusive, high_inclusive=high_inclusive,
                                     is_bounded=True)
            wanted = [value for value in (1, 2, 3)
                      if (low is None or value > low or (low_inclusive and value == low))
                      and (high is None or value < high or (high_inclusive and value == high))]
            assert sorted(value for key, value in stored.items() if start <= key < stop) == wanted
    assert sum(start <= key < stop for start, stop in [keys.range((2,))] for key in stored) == 4
    assert sum(start <= key < stop for start, stop in [keys.range((2, None))] for key in stored) == 1


def test_successors() -> None:
    assert after(b"\0\1") == b"\0\2"
    assert after(b"\0\1\xff\xff") == b"\0\2"


@pytest.mark.parametrize(("path", "value"), [
    (("a",), 1), (("b", 0), "x"), (("b", 5), None), (("b", -1, "c"), [1, 2]), (("d",), None), (("a", "b"), None),
    (("e", "c"), [3, 4, 5]), (("n",), None), ((), None),
])
def test_paths(path: tuple[Any, ...], value: Any) -> None:
    document = {"a": 1, "b": ["x", {"c": [1, 2]}], "e": [{"c": 3}, {"c": [4, 5]}, 6], "n": None}
    assert value_at(document, path) == (document if path == () else value)


def test_too_many_entries() -> None:
    columns = (Column(1, "a", array(INT)), Column(2, "b", array(INT)))
    index = Index(9, "i", (IndexColumn(1), IndexColumn(2)), is_multi_key=True)
    layout = TableLayout(Table(8, 2, "t", columns, (0,), (1, 2), 3, indexes=(index,)))
    assert len(layout.indexes[0].entries((list(range(100)), list(range(100))), b"\x80")) == 10_000
    with pytest.raises(ProgramLimitExceeded):
        layout.indexes[0].entries((list(range(101)), list(range(100))), b"\x80")


def test_layouts_are_kept_by_definition() -> None:
    cache = LayoutCache()
    table = Table(8, 2, "t", (Column(1, "a", INT),), (1,), (), 2)
    layout = cache.of(table)
    assert cache.of(table) is layout
    other = Table(8, 2, "u", (Column(1, "a", INT),), (1,), (), 2)
    assert cache.of(other).table is other
    cache.keep_only([])
    assert cache.of(table) is not layout


# ---- random statements against a list of rows

@settings(max_examples=30)
@given(st.data())
def test_index_equals_table_after_any_statements(data: st.DataObject) -> None:
    """A table with a composite key, a unique and two other indexes beside a plain dict; statements that must fail do
    so as a whole."""
    from table_tools import call, column, literal, stored
    with TemporaryDirectory() as folder, phantomdb.open(folder, durability="none") as database:
        house = House(database)
        limit = CheckDefinition(stored(call("<=", column(3), literal(5))), "limit")
        table = house.table("t", {"a": INT, "b": TEXT, "c": INT, "d": DOUBLE}, limit, KeyDefinition(("c", "b")),
                            key=["b", "a"])
        house.index(table, 4, IndexColumn(3, is_descending=True))
        house.index(table, IndexColumn(expression=stored(call("<", column(3), column(1)))),
                    predicate=stored(call("is not null", column(4))))
        small = st.integers(-1, 2)
        row = st.tuples(small, st.sampled_from(["", "x", "\0"]), st.none() | st.integers(-1, 6),
                        st.none() | st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf]))
        model: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for _ in range(data.draw(st.integers(1, 8))):
            kind = data.draw(st.sampled_from(["insert", "update", "delete"]))
            if kind == "insert":
                rows = data.draw(st.lists(row, min_size=1, max_size=4))
                after_, act = [*model.values(), *rows], lambda rows=rows: house.insert(table, *rows)
            elif kind == "delete":
                number = data.draw(small)
                after_ = [item for item in model.values() if item[0] != number]
                act = lambda number=number: house.delete(table, lambda gone: gone[0] == number)
            else:
                step, shift, new = data.draw(small), data.draw(small), data.draw(row)

                def change(item: Any, step: int = step, shift: int = shift, new: Any = new) -> Any:
                    return (item[0] + step, item[1], None if item[2] is None else item[2] + shift, new[3])
                after_ = [change(item) for item in model.values()]
                act = lambda change=change: house.update(table, change)
            expected = _judge(after_)
            try:
                act()
            except QueryError as error:
                assert expected is not None, error
                if not isinstance(error, UniqueViolation):
                    assert error.sqlstate == expected
            else:
                assert expected is None
                model = {(item[1], item[0]): item for item in after_}
            assert same(house.rows(table), [model[key] for key in sorted(model)])
            house.check(table)


def _judge(rows: list[Any]) -> str | None:
    """The SQLSTATE of a constraint that these rows break."""
    if any(row[2] is not None and row[2] > 5 for row in rows):
        return "23514"
    keys = [(row[1], row[0]) for row in rows]
    unique = [(row[2], row[1]) for row in rows if row[2] is not None]
    return "23505" if len(set(keys)) < len(keys) or len(set(unique)) < len(unique) else None


def test_statement_without_work_reads_and_writes_nothing(db: phantomdb.Database) -> None:
    house = House(db)
    with house.transaction() as rows:
        RowStatement(rows).finish()
        assert rows.transaction.core.write_count == 0
