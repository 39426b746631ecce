"""Foreign keys with every action, and constraints that are checked at commit."""
from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
from table_tools import House, literal, stored

import phantomdb
from phantomdb.core.catalog.constraints import SELF, ForeignKeyDefinition, KeyDefinition
from phantomdb.core.catalog.objects import Action
from phantomdb.core.errors import RetryableConflict
from phantomdb.core.query.errors import ForeignKeyViolation, NotNullViolation, UniqueViolation
from phantomdb.core.tables.indexes import find
from phantomdb.core.tables.statement import RowStatement
from phantomdb.core.values import DOUBLE, INT, NUMERIC, TEXT


@pytest.fixture
def house(db: phantomdb.Database) -> House:
    return House(db)


def family(house: House, is_indexed: bool = True, **options: Any) -> tuple[int, int]:
    """parent (id, name) and child (id, parent default 0)."""
    parent = house.table("parent", {"id": INT, "name": TEXT}, key=["id"])
    child = house.table("child", {"id": INT, "parent": {"type": INT, "default": stored(literal(0))}},
                        ForeignKeyDefinition(("parent",), parent, **options), key=["id"])
    if is_indexed:
        house.index(child, 2)
    house.insert(parent, (0, "zero"), (1, "one"), (2, "two"))
    house.insert(child, (10, 1), (11, 1), (20, 2), (30, None))
    return parent, child


def check(house: House, *tables: int) -> None:
    for table in tables:
        house.check(table)


def test_a_child_needs_its_parent(house: House) -> None:
    _, child = family(house)
    message = 'insert or update on table "child" violates foreign key constraint "child_parent_fkey"'
    with pytest.raises(ForeignKeyViolation, match=message) as caught:
        house.insert(child, (40, 4))
    assert caught.value.detail == 'Key (parent)=(4) is not present in table "parent".'
    assert (caught.value.table, caught.value.constraint) == ("child", "child_parent_fkey")
    with pytest.raises(ForeignKeyViolation):
        house.update(child, lambda row: (row[0], 4))
    house.update(child, lambda row: (row[0], 2))
    assert [row[1] for row in house.rows(child)] == [2, 2, 2, 2]


@pytest.mark.parametrize("action", [Action.NO_ACTION, Action.RESTRICT])
@pytest.mark.parametrize("is_indexed", [True, False])
def test_a_parent_with_children_stays(house: House, action: Action, is_indexed: bool) -> None:
    parent, child = family(house, is_indexed, on_delete=action, on_update=action)
    message = ('update or delete on table "parent" violates foreign key constraint "child_parent_fkey" on table '
               '"child"')
    with pytest.raises(ForeignKeyViolation, match=message) as caught:
        house.delete(parent, lambda row: row[0] == 1)
    assert caught.value.detail == 'Key (id)=(1) is still referenced from table "child".'
    with pytest.raises(ForeignKeyViolation):
        house.update(parent, lambda row: (9, row[1]) if row[0] == 2 else None)
    house.update(parent, lambda row: (row[0], "other"))
    house.delete(parent, lambda row: row[0] == 0)
    house.delete(child, lambda row: row[1] == 2)
    house.delete(parent, lambda row: row[0] == 2)
    check(house, parent, child)


@pytest.mark.parametrize("is_indexed", [True, False])
@pytest.mark.parametrize(("action", "after_delete", "after_update"), [
    (Action.CASCADE, [(20, 2), (30, None)], [(10, 2), (11, 2), (20, 1), (30, None)]),
    (Action.SET_NULL, [(10, None), (11, None), (20, 2), (30, None)], [(10, None), (11, None), (20, None), (30, None)]),
    (Action.SET_DEFAULT, [(10, 0), (11, 0), (20, 2), (30, None)], [(10, 0), (11, 0), (20, 0), (30, None)]),
])
def test_actions(house: House, is_indexed: bool, action: Action, after_delete: Any, after_update: Any) -> None:
    parent, child = family(house, is_indexed, on_delete=action, on_update=action)
    mark = None
    with house.database.transaction() as transaction:
        mark = transaction.core.mark()
        rows = house.tables.rows(transaction)
        statement = RowStatement(rows)
        for row_key, row in list(rows.scan(rows.layout(parent))):
            if row[0]:
                statement.writer(parent).update(row_key, row, (3 - row[0], row[1]))      # 1 and 2 change places
        statement.finish()
        assert [row for _, row in rows.scan(rows.layout(child))] == after_update
        transaction.core.rollback_to(mark)
    house.delete(parent, lambda row: row[0] == 1)
    assert house.rows(child) == after_delete
    check(house, parent, child)


def test_the_default_may_be_what_went(house: House) -> None:
    parent, child = family(house, on_delete=Action.SET_DEFAULT)
    house.insert(child, (1, 0))
    with pytest.raises(ForeignKeyViolation, match="insert or update"):
        house.delete(parent, lambda row: row[0] == 0)
    assert len(house.rows(parent)) == 3


def test_set_null_meets_not_null(house: House) -> None:
    parent = house.table("p", {"id": INT}, key=["id"])
    child = house.table("c", {"id": INT, "p": {"type": INT, "is_nullable": False}},
                        ForeignKeyDefinition(("p",), parent, on_delete=Action.SET_NULL), key=["id"])
    house.insert(parent, (1,))
    house.insert(child, (1, 1))
    with pytest.raises(NotNullViolation):
        house.delete(parent)


def test_a_tree_in_one_table(house: House) -> None:
    tree = house.table("tree", {"id": INT, "up": INT}, ForeignKeyDefinition(("up",), SELF, on_delete=Action.CASCADE),
                       key=["id"])
    house.insert(tree, (3, 2), (2, 1), (1, None), (4, 4), (5, 1))      # children before parents, and a loop
    with pytest.raises(ForeignKeyViolation):
        house.insert(tree, (6, 7))
    house.delete(tree, lambda row: row[0] == 1)
    assert house.rows(tree) == [(4, 4)]
    house.delete(tree)
    assert house.rows(tree) == []


def test_all_rows_of_a_tree_may_go_at_once(house: House) -> None:
    tree = house.table("tree", {"id": INT, "up": INT}, ForeignKeyDefinition(("up",), SELF), key=["id"])
    house.insert(tree, (1, None), (2, 1), (3, 2))
    with pytest.raises(ForeignKeyViolation):
        house.delete(tree, lambda row: row[0] == 2)
    house.update(tree, lambda row: (row[0] + 1, row[1] and row[1] + 1))
    assert house.rows(tree) == [(2, None), (3, 2), (4, 3)]
    house.delete(tree)


def test_cascades_through_a_cycle_of_tables(house: House) -> None:
    from phantomdb.core.catalog import constraints
    one = house.table("one", {"id": INT, "other": INT}, key=["id"])
    two = house.table("two", {"id": INT, "other": INT},
                      ForeignKeyDefinition(("other",), one, on_delete=Action.CASCADE), key=["id"])
    house.change(lambda catalog: constraints.add_constraint(
        catalog, one, ForeignKeyDefinition(("other",), two, on_delete=Action.CASCADE)))
    with house.work() as made:
        made.writer(one).insert((1, 2))
        made.writer(two).insert((2, 1))
        made.writer(one).insert((3, None))
        made.writer(two).insert((4, 3))
    house.delete(two, lambda row: row[0] == 2)
    assert (house.rows(one), house.rows(two)) == ([(3, None)], [(4, 3)])


def test_two_keys_to_one_parent(house: House) -> None:
    parent = house.table("p", {"id": INT}, key=["id"])
    child = house.table("c", {"id": INT, "a": INT, "b": INT},
                        ForeignKeyDefinition(("a",), parent, on_update=Action.CASCADE, on_delete=Action.SET_NULL),
                        ForeignKeyDefinition(("b",), parent, on_update=Action.CASCADE, on_delete=Action.CASCADE),
                        key=["id", "b"])
    house.insert(parent, (1,), (2,), (3,))
    house.insert(child, (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 3, 3))
    house.update(parent, lambda row: (row[0] * 10,))
    assert house.rows(child) == [(1, 10, 10), (2, 10, 20), (3, 20, 10), (4, 30, 30)]
    house.delete(parent, lambda row: row[0] == 10)
    assert house.rows(child) == [(2, None, 20), (4, 30, 30)]


def test_keys_of_other_types_and_orders(house: House) -> None:
    parent = house.table("p", {"id": INT, "a": NUMERIC, "b": TEXT}, KeyDefinition(("b", "a")), key=["id"])
    child = house.table("c", {"id": INT, "x": INT, "y": TEXT},
                        ForeignKeyDefinition(("x", "y"), parent, ("a", "b"), on_update=Action.CASCADE,
                                             on_delete=Action.CASCADE), key=["id"])
    house.index(child, 2, 3)                             # of no use: its keys have other types
    house.insert(parent, (1, Decimal("5.00"), "k"), (2, Decimal("5.5"), "k"))
    house.insert(child, (1, 5, "k"), (2, None, "nobody"), (3, 5, "k"))
    with pytest.raises(ForeignKeyViolation):
        house.insert(child, (4, 6, "k"))
    house.update(parent, lambda row: (row[0], Decimal(7), "l") if row[0] == 1 else None)
    assert house.rows(child) == [(1, 7, "l"), (2, None, "nobody"), (3, 7, "l")]
    house.delete(parent)
    assert house.rows(child) == [(2, None, "nobody")]


def test_a_value_that_no_parent_can_have(house: House) -> None:
    parent = house.table("p", {"f": DOUBLE}, key=["f"])
    child = house.table("c", {"id": INT, "n": NUMERIC}, ForeignKeyDefinition(("n",), parent), key=["id"])
    house.insert(parent, (2.5,))
    house.insert(child, (1, Decimal("2.50")))
    with pytest.raises(ForeignKeyViolation):
        house.insert(child, (2, Decimal("1e400")))


def test_an_equal_value_is_no_change_of_the_key(house: House) -> None:
    parent = house.table("p", {"id": NUMERIC, "a": INT}, key=["id"])
    child = house.table("c", {"id": INT, "p": NUMERIC},
                        ForeignKeyDefinition(("p",), parent, on_update=Action.RESTRICT), key=["id"])
    house.insert(parent, (Decimal("1.5"), 1))
    house.insert(child, (1, Decimal("1.5")))
    house.update(parent, lambda row: (Decimal("1.500"), 2))
    assert house.rows(parent) == [(Decimal("1.5"), 2)]


# ---- later

def test_a_deferred_key_is_checked_at_commit(house: House) -> None:
    parent, child = family(house, is_deferrable=True, is_deferred=True)
    with pytest.raises(ForeignKeyViolation, match="insert or update"):
        house.insert(child, (40, 4))
    with pytest.raises(ForeignKeyViolation, match="update or delete"):
        house.delete(parent, lambda row: row[0] == 1)
    with house.transaction() as rows:
        first, second = RowStatement(rows), RowStatement(rows)
        first.writer(child).insert((40, 4))
        first.writer(child).insert((50, 5))
        first.finish()
        second.writer(parent).insert((4, "four"))
        (row_key, row), = [found for found in rows.scan(rows.layout(child)) if found[1][0] == 50]
        second.writer(child).delete(row_key, row)
        second.finish()
    assert house.rows(child)[-1] == (40, 4)
    check(house, parent, child)


def test_set_constraints(house: House) -> None:
    _, child = family(house, is_deferrable=True)
    name = (child, "child_parent_fkey")
    with pytest.raises(ForeignKeyViolation):
        house.insert(child, (40, 4))
    with house.database.transaction() as transaction:
        rows = house.tables.rows(transaction)
        rows.pending.set_mode([name], True)
        statement = RowStatement(rows)
        statement.writer(child).insert((40, 4))
        statement.finish()
        rows.pending.set_mode([(child, "another")], False)
        for names in (None, [name]):
            with pytest.raises(ForeignKeyViolation):
                rows.pending.set_mode(names, False)
        rows.pending.set_mode(None, True)
        with pytest.raises(ForeignKeyViolation):
            rows.check_deferred()
        transaction.rollback()


def test_what_is_checked_early_is_checked_again_after_a_savepoint(house: House) -> None:
    parent, child = family(house, is_deferrable=True, is_deferred=True)
    with pytest.raises(ForeignKeyViolation), house.transaction() as rows:
        statement = RowStatement(rows)
        statement.writer(child).insert((40, 4))
        statement.finish()
        mark = rows.transaction.core.mark()
        other = RowStatement(rows)
        other.writer(parent).insert((4, "four"))
        other.finish()
        rows.pending.check_now()
        rows.transaction.core.rollback_to(mark)


@pytest.mark.parametrize("is_deferred", [True, False])
def test_a_deferred_unique_key(house: House, is_deferred: bool) -> None:
    table = house.table("t", {"id": INT, "a": INT}, KeyDefinition(("a",), is_deferrable=True, is_deferred=is_deferred),
                        key=["id"])
    house.insert(table, (1, 1), (2, 2))
    with house.transaction() as rows:
        rows.pending.set_mode(None, True)
        for change in ((3, 1), (4, 1)):
            statement = RowStatement(rows)
            statement.writer(table).insert(change)
            statement.finish()
        index = rows.layout(table).indexes[0]
        assert len(list(find(rows, index, (1,)))) == 3   # none is lost to readers of the index
        assert len(list(find(rows, index, (2,)))) == 1
        statement = RowStatement(rows)
        for row_key, row in list(rows.scan(rows.layout(table))):
            if row[0] in (1, 3):
                statement.writer(table).delete(row_key, row)
        statement.finish()
    assert house.rows(table) == [(2, 2), (4, 1)]
    house.check(table)
    with pytest.raises(UniqueViolation, match="t_a_key"), house.transaction() as rows:
        rows.pending.set_mode(None, True)
        statement = RowStatement(rows)
        statement.writer(table).insert((5, 1))
        statement.finish()


# ---- at the same time

def in_threads(count: int, function: Any) -> list[Any]:
    """What `function(number)` returned or raised in each of so many threads."""
    results: list[Any] = [None] * count
    gate = threading.Barrier(count)

    def work(number: int) -> None:
        gate.wait()
        try:
            results[number] = function(number)
        except Exception as error:
            results[number] = error
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_one_of_many_gets_a_unique_key(house: House, isolation: Any) -> None:
    table = house.table("t", {"id": INT, "a": INT}, KeyDefinition(("a",)), key=["id"])

    def insert(number: int) -> str:
        for round_ in range(20):
            while True:
                try:
                    house.insert(table, (round_ * 100 + number, round_), isolation=isolation)
                    break
                except RetryableConflict:
                    continue
                except UniqueViolation:
                    break
        return "done"

    assert in_threads(8, insert) == ["done"] * 8
    assert sorted(row[1] for row in house.rows(table)) == list(range(20))
    house.check(table)


def test_foreign_keys_hold_under_concurrent_writers(house: House) -> None:
    parent = house.table("p", {"id": INT}, key=["id"])
    child = house.table("c", {"id": INT, "p": INT}, ForeignKeyDefinition(("p",), parent), key=["id"])
    house.index(child, 2)

    def work(number: int) -> str:
        for step in range(30):
            target = step % 5
            try:
                if number % 2:
                    house.insert(parent, (target,))
                    house.delete(parent, lambda row, target=target: row[0] == target)      # type: ignore[misc]
                else:
                    house.insert(child, (number * 100 + step, target))
            except (RetryableConflict, ForeignKeyViolation, UniqueViolation):
                pass
        return "done"

    assert in_threads(6, work) == ["done"] * 6
    parents = {row[0] for row in house.rows(parent)}
    assert {row[1] for row in house.rows(child)} <= parents
    check(house, parent, child)


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_a_child_that_comes_while_its_parent_goes(house: House, isolation: Any) -> None:
    parent, child = family(house)
    with pytest.raises(RetryableConflict), house.work(isolation=isolation) as made:
        for row_key, row in list(made.rows.scan(made.rows.layout(parent))):
            if row[0] == 0:
                made.writer(parent).delete(row_key, row)
        made.statement.finish()
        house.insert(child, (40, 0), isolation=isolation)


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_a_parent_that_goes_while_a_child_comes(house: House, isolation: Any) -> None:
    parent, child = family(house)
    with pytest.raises(RetryableConflict), house.work(isolation=isolation) as made:
        made.writer(child).insert((40, 0))
        house.delete(parent, lambda row: row[0] == 0)
