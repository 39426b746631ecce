"""Definitions: each rule with its error, each name as PostgreSQL makes it, each work on rows."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from catalogs import PRIMARY, columns, find, fresh, make, uses, view_of

from phantomdb.core.catalog import alteration as alter
from phantomdb.core.catalog import constraints as key
from phantomdb.core.catalog import definition as define
from phantomdb.core.catalog import names
from phantomdb.core.catalog.catalog import MAIN_ID, PUBLIC_ID
from phantomdb.core.catalog.constraints import CheckDefinition, ForeignKeyDefinition, IndexDefinition, KeyDefinition
from phantomdb.core.catalog.definition import ColumnDefinition, SequenceDefinition, TableDefinition
from phantomdb.core.catalog.dependencies import drop_relations
from phantomdb.core.catalog.objects import (
    ROW_ID,
    Action,
    Index,
    IndexColumn,
    IndexState,
    Sequence,
    StoredExpression,
)
from phantomdb.core.catalog.work import (
    BuildIndex,
    DropRange,
    RebindView,
    RewriteRows,
    ValidateCheck,
    ValidateForeignKey,
)
from phantomdb.core.query import errors, plan
from phantomdb.core.values import (
    ANY,
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    INT,
    JSON,
    NULL,
    SMALLINT,
    TEXT,
    TIMESTAMPTZ,
    Type,
    array,
    decimal,
    varchar,
)


# -------------------------------------------------------------------- tables

def test_create_table() -> None:
    catalog, item = make(fresh(), "item", KeyDefinition(("b", "a"), is_primary=True), KeyDefinition(("c",)),
                         CheckDefinition(uses(3)))
    assert [column.id for column in item.columns] == [1, 2, 3]
    assert item.primary_key == (2, 1) and item.record_columns == (3,) and item.next_column_id == 4
    assert [column.is_nullable for column in item.columns] == [False, False, True]
    (unique,) = item.indexes
    assert unique.is_unique and unique.is_constraint and unique.state == IndexState.PUBLIC
    catalog, bare = make(catalog, "bare")
    assert bare.primary_key == (ROW_ID,) and bare.record_columns == (1, 2, 3) and bare.primary_key_name == ""
    assert bare.has_hidden_key


def test_names_are_those_of_postgresql() -> None:
    of = columns("id", "grp", "name", "price", "item_id")
    definition = replace(of[0], sequence=SequenceDefinition())
    catalog, item = make(
        fresh(), "item", KeyDefinition(("id",), is_primary=True), KeyDefinition(("grp", "name")),
        CheckDefinition(uses(4)), CheckDefinition(uses(4, 2)), CheckDefinition(uses(4)), CheckDefinition(uses()),
        ForeignKeyDefinition(("item_id",), key.SELF), ForeignKeyDefinition(("item_id",), key.SELF),
        of=(definition, *of[1:]))
    assert item.primary_key_name == "item_pkey"
    assert [index.name for index in item.indexes] == ["item_grp_name_key"]
    assert [check.name for check in item.checks] == [
        "item_price_check", "item_check", "item_price_check1", "item_check1"]
    assert [foreign.name for foreign in item.foreign_keys] == ["item_item_id_fkey", "item_item_id_fkey1"]
    assert [sequence.name for sequence in catalog.sequences(PUBLIC_ID)] == ["item_id_seq"]
    by_grp = IndexDefinition((IndexColumn(2),))
    lower = StoredExpression("lower(x)", plan.Call(TEXT, "lower", (plan.Cast(TEXT, plan.Column(INT, 3)),)))
    plus = IndexColumn(expression=StoredExpression("id + 1", plan.Call(INT, "+", (plan.Column(INT, 1),))))
    for definition, name in (
            (by_grp, "item_grp_idx"), (by_grp, "item_grp_idx1"), (by_grp, "item_grp_idx2"),
            (IndexDefinition((IndexColumn(2), IndexColumn(3))), "item_grp_name_idx"),
            (IndexDefinition((plus, plus, IndexColumn(expression=lower))), "item_expr_expr1_lower_idx")):
        change = key.create_index(catalog, item.id, definition)
        catalog = change.catalog
        assert next(index.name for index in catalog.table(item.id).indexes if index.id == change.created) == name


def test_made_names_make_way_for_constraints() -> None:
    catalog, item = make(fresh(), "item", CheckDefinition(uses(1), "item_b_key"))
    change = key.add_constraint(catalog, item.id, KeyDefinition(("b",)))
    assert change.catalog.table(item.id).indexes[0].name == "item_b_key1"


def test_made_names_are_not_too_long() -> None:
    long = "t" * 63
    of = columns("c" * 40, "ß" * 20)
    catalog, table = make(fresh(), long, KeyDefinition((of[0].name,), is_primary=True),
                          KeyDefinition((of[1].name,)), of=of)
    assert table.primary_key_name == "t" * 58 + "_pkey"
    assert table.indexes[0].name == "t" * 29 + "_" + "ß" * 14 + "_key"           # 28 of 29 bytes: no half letters
    assert len(table.indexes[0].name.encode()) <= names.MAX_NAME_BYTES
    catalog, other = make(catalog, "t" * 62, PRIMARY)
    assert other.primary_key_name == "t" * 57 + "_pkey1"


@pytest.mark.parametrize(("definition", "error"), [
    (TableDefinition("x" * 64, ()), errors.ProgramLimitExceeded),
    (TableDefinition("ß" * 32, ()), errors.ProgramLimitExceeded),
    (TableDefinition("", ()), errors.InvalidDefinition),
    (TableDefinition("taken", ()), errors.DuplicateTable),
    (TableDefinition("t", columns("a" * 64)), errors.ProgramLimitExceeded),
    (TableDefinition("t", columns("a", "b", "a")), errors.DuplicateColumn),
    (TableDefinition("t", columns(*(f"c{number}" for number in range(1601)))), errors.ProgramLimitExceeded),
    (TableDefinition("t", columns(a=NULL)), errors.InvalidDefinition),
    (TableDefinition("t", columns(a=ANY)), errors.InvalidDefinition),
    (TableDefinition("t", columns("a"), (PRIMARY, PRIMARY)), errors.InvalidDefinition),
    (TableDefinition("t", columns("a"), (replace(PRIMARY, is_deferrable=True),)), errors.InvalidDefinition),
    (TableDefinition("t", columns("a"), (KeyDefinition(("z",)),)), errors.UndefinedColumn),
    (TableDefinition("t", columns("a"), (KeyDefinition(("a", "a")),)), errors.DuplicateColumn),
    (TableDefinition("t", columns("a"), (KeyDefinition(()),)), errors.InvalidDefinition),
    (TableDefinition("t", columns(*(f"c{i}" for i in range(33))), (KeyDefinition(tuple(f"c{i}" for i in range(33))),)),
     errors.ProgramLimitExceeded),
    (TableDefinition("t", columns("a"), (KeyDefinition(("a",), "taken"),)), errors.DuplicateTable),
    (TableDefinition("t", columns("a"), (KeyDefinition(("a",), "taken_pkey"),)), errors.DuplicateTable),
    (TableDefinition("t", columns("a"), (KeyDefinition(("a",), "t"),)), errors.DuplicateTable),
    (TableDefinition("t", columns("a"), (KeyDefinition(("a",), "x"), CheckDefinition(uses(1), "x"))),
     errors.DuplicateObject),
    (TableDefinition("t", columns("a"), (CheckDefinition(uses(1, kind=INT)),)), errors.DatatypeMismatch),
    (TableDefinition("t", columns("a"), (CheckDefinition(uses(2)),)), errors.UndefinedColumn),
    (TableDefinition("t", (ColumnDefinition("a", INT, default=uses(1)),)), errors.FeatureNotSupported),
    (TableDefinition("t", (ColumnDefinition("a", INT, default=uses(), generated=uses()),)), errors.SyntaxFailure),
    (TableDefinition("t", (ColumnDefinition("a", INT, default=uses(), sequence=SequenceDefinition()),)),
     errors.SyntaxFailure),
    (TableDefinition("t", (ColumnDefinition("a", INT, generated=uses(1)),)), errors.InvalidDefinition),
    (TableDefinition("t", (ColumnDefinition("a", INT, generated=uses(7)),)), errors.UndefinedColumn),
    (TableDefinition("t", (ColumnDefinition("a", INT, generated=uses()),
                           ColumnDefinition("b", INT, generated=uses(1)))),
     errors.InvalidDefinition),
    (TableDefinition("t", (ColumnDefinition("a", TEXT, sequence=SequenceDefinition()),)), errors.InvalidParameterValue),
    (TableDefinition("t", (ColumnDefinition("a", INT, identity="always"),)), errors.InvalidDefinition),
    (TableDefinition("t", (ColumnDefinition("a", INT, identity="often", sequence=SequenceDefinition()),)),
     errors.InvalidDefinition),
])
def test_tables_that_cannot_be(definition: TableDefinition, error: type[errors.QueryError]) -> None:
    catalog, _ = make(fresh(), "taken", PRIMARY)
    with pytest.raises(error):
        define.create_table(catalog, PUBLIC_ID, definition)


def test_limits_are_reached() -> None:
    of = columns(*(f"c{number}" for number in range(1600)))
    wide = KeyDefinition(tuple(f"c{number}" for number in range(32)), is_primary=True)
    _, table = make(fresh(), "x" * 63, wide, of=of)
    assert len(table.columns) == 1600 and len(table.primary_key) == 32


def test_a_key_said_twice_is_one() -> None:
    _, table = make(fresh(), "t", KeyDefinition(("a",)), PRIMARY, KeyDefinition(("b",), "named"), KeyDefinition(("b",)),
                    KeyDefinition(("c",)), KeyDefinition(("c",)))
    assert [index.name for index in table.indexes] == ["named", "t_c_key"]


def test_a_schema_that_is_not_there() -> None:
    with pytest.raises(errors.UndefinedSchema):
        define.create_table(fresh(), 77, TableDefinition("t", ()))


def test_collections() -> None:
    change = define.create_table(fresh(), PUBLIC_ID, define.collection("people", '{"type": "object"}'))
    people = change.catalog.table(change.created)
    assert people.is_flexible and people.columns[0].type == ANY and people.primary_key == (1,)
    assert people.record_columns == (2,) and people.validator
    catalog = alter.set_validator(change.catalog, people.id, "")
    assert catalog.table(people.id).validator == ""
    for attempt in (lambda: alter.add_column(catalog, people.id, ColumnDefinition("x", INT)),
                    lambda: alter.drop_column(catalog, people.id, "_id"),
                    lambda: alter.rename_column(catalog, people.id, "_id", "id")):
        with pytest.raises(errors.WrongObjectType):
            attempt()
    catalog, table = make(catalog, "strict")
    with pytest.raises(errors.InvalidDefinition):
        alter.set_validator(catalog, table.id, "{}")


# -------------------------------------------------------------------- foreign keys

def test_what_a_foreign_key_may_point_to() -> None:
    catalog, target = make(fresh(), "target", PRIMARY, KeyDefinition(("b", "c")))
    for given, expected in ((ForeignKeyDefinition(("c",), target.id), (1,)),
                            (ForeignKeyDefinition(("a", "b"), target.id, ("b", "c")), (2, 3)),
                            (ForeignKeyDefinition(("a", "b"), target.id, ("c", "b")), (3, 2))):
        _, user = make(catalog, "user", given)
        assert user.foreign_keys[0].target_columns == expected
        assert catalog.referencing(target.id) == []
    catalog, own = make(catalog, "own", PRIMARY, ForeignKeyDefinition(("b",), key.SELF))
    assert own.foreign_keys[0].target == own.id and catalog.referencing(own.id) == []    # of others only
    catalog, user = make(catalog, "user", ForeignKeyDefinition(("c",), target.id, on_delete=Action.CASCADE))
    assert catalog.referencing(target.id) == [(user, user.foreign_keys[0])]
    assert catalog.referencing(user.id) == []


@pytest.mark.parametrize("index", [
    {"predicate": uses(1)}, {"is_unique": False}, {"state": IndexState.WRITE_ONLY}, {"is_deferrable": True},
    {"columns": (IndexColumn(2), IndexColumn(3))}, {"columns": (IndexColumn(expression=uses(2)),)},
    {"columns": (IndexColumn(2, path=("x",)),)}, {"is_multi_key": True}], ids=str)
def test_indexes_no_foreign_key_may_point_to(index: dict[str, Any]) -> None:
    catalog, target = make(fresh(), "target", PRIMARY)
    good = Index(50, "i", (IndexColumn(2),), is_unique=True)
    wanted = ForeignKeyDefinition(("a",), target.id, ("b",))
    make(catalog.with_object(target.with_index(good)), "user", wanted)
    with pytest.raises(errors.InvalidForeignKey, match="no unique constraint matching"):
        make(catalog.with_object(target.with_index(replace(good, **index))), "user", wanted)


def test_foreign_keys_that_cannot_be() -> None:
    catalog, target = make(fresh(), "target", PRIMARY)
    catalog, bare = make(catalog, "bare")
    catalog = view_of(catalog, "v", (bare.id, (1,))).catalog
    elsewhere = define.create_database(catalog, "elsewhere").catalog
    far = define.create_table(elsewhere, elsewhere.schemas(elsewhere.databases()[0].id)[0].id,
                              TableDefinition("far", columns("a"), (PRIMARY,)))
    for definition, error in (
            (ForeignKeyDefinition(("a", "b"), target.id), errors.InvalidForeignKey),
            (ForeignKeyDefinition(("a",), target.id, ("b",)), errors.InvalidForeignKey),
            (ForeignKeyDefinition(("a",), bare.id), errors.UndefinedObject),
            (ForeignKeyDefinition(("a",), find(catalog, "v").id), errors.WrongObjectType),
            (ForeignKeyDefinition(("a",), 99), errors.UndefinedTable),
            (ForeignKeyDefinition(("a",), key.SELF), errors.UndefinedObject),
            (ForeignKeyDefinition(("z",), target.id), errors.UndefinedColumn),
            (ForeignKeyDefinition(("a",), target.id, ("z",)), errors.UndefinedColumn),
            (ForeignKeyDefinition(("a", "b"), target.id, ("a", "a")), errors.DuplicateColumn)):
        with pytest.raises(error):
            make(catalog, "user", definition)
    with pytest.raises(errors.InvalidForeignKey, match="another database"):
        make(far.catalog, "user", ForeignKeyDefinition(("a",), far.created))
    generated = (ColumnDefinition("a", INT, generated=uses()),)
    make(catalog, "user", ForeignKeyDefinition(("a",), target.id, on_delete=Action.CASCADE), of=generated)
    for actions in ({"on_delete": Action.SET_NULL}, {"on_update": Action.CASCADE}, {"on_update": Action.SET_DEFAULT}):
        with pytest.raises(errors.InvalidDefinition, match="generated"):
            make(catalog, "user", ForeignKeyDefinition(("a",), target.id, **actions), of=generated)


@pytest.mark.parametrize(("a", "b", "fits"), [
    (INT, BIGINT, True), (INT, decimal(5), True), (SMALLINT, DOUBLE, True), (TEXT, varchar(5), True),
    (DATE, TIMESTAMPTZ, True), (ANY, TEXT, True), (array(INT), array(BIGINT), True), (JSON, JSON, True),
    (INT, TEXT, False), (BOOL, INT, False), (array(INT), array(TEXT), False), (array(INT), INT, False),
    (JSON, TEXT, False), (DATE, INT, False)])
def test_types_of_foreign_keys(a: Type, b: Type, fits: bool) -> None:
    change = define.create_table(fresh(), PUBLIC_ID, TableDefinition(
        "target", (ColumnDefinition("a", a),), (PRIMARY,), is_flexible=True))
    user = TableDefinition("user", columns(b=b), (ForeignKeyDefinition(("b",), change.created),))
    if fits:
        define.create_table(change.catalog, PUBLIC_ID, user)
    else:
        with pytest.raises(errors.DatatypeMismatch, match="incompatible types"):
            define.create_table(change.catalog, PUBLIC_ID, user)


# -------------------------------------------------------------------- constraints of a table with rows

def test_added_constraints_are_work() -> None:
    catalog, item = make(fresh(), "item", PRIMARY)
    change = key.add_constraint(catalog, item.id, KeyDefinition(("b",)))
    unique = change.catalog.table(item.id).indexes[0]
    assert change.work == (BuildIndex(item.id, unique.id),) and unique.state == IndexState.WRITE_ONLY
    ready = key.set_index_state(change.catalog, item.id, unique.id, IndexState.PUBLIC).table(item.id)
    assert ready.indexes == (replace(unique, state=IndexState.PUBLIC),)
    with pytest.raises(errors.UndefinedObject):
        key.set_index_state(catalog, item.id, unique.id, IndexState.PUBLIC)
    assert key.add_constraint(catalog, item.id, CheckDefinition(uses(1))).work == (
        ValidateCheck(item.id, "item_a_check"),)
    assert key.add_constraint(catalog, item.id, ForeignKeyDefinition(("c",), item.id)).work == (
        ValidateForeignKey(item.id, "item_c_fkey"),)
    with pytest.raises(errors.InvalidDefinition, match="multiple primary keys"):
        key.add_constraint(catalog, item.id, KeyDefinition(("b",), is_primary=True))


def test_a_primary_key_added_and_dropped() -> None:
    catalog, before = make(fresh(), "item")
    catalog = alter.drop_column(catalog, before.id, "b").catalog
    before = catalog.table(before.id)
    change = key.add_constraint(catalog, before.id, KeyDefinition(("c",), "mine", is_primary=True))
    after = change.catalog.table(before.id)
    assert change.work == (RewriteRows(before, after),)
    assert after.primary_key == (3,) and after.record_columns == (1,) and after.column_by_id(3).is_nullable is False
    change = key.drop_constraint(change.catalog, before.id, "mine")
    hidden = change.catalog.table(before.id)
    assert change.work == (RewriteRows(after, hidden),)
    assert hidden.has_hidden_key and hidden.record_columns == (1, 3) and hidden.primary_key_name == ""
    assert not change.catalog.is_taken(PUBLIC_ID, "mine")
    with pytest.raises(errors.UndefinedObject):
        key.drop_constraint(change.catalog, before.id, "")


def test_drop_constraints() -> None:
    catalog, target = make(fresh(), "target", PRIMARY, KeyDefinition(("b",)), CheckDefinition(uses(1), "check"))
    catalog, user = make(catalog, "user", ForeignKeyDefinition(("a",), target.id),
                         ForeignKeyDefinition(("b",), target.id, ("b",), "to_b"))
    assert find(key.drop_constraint(catalog, target.id, "check").catalog, "target").checks == ()
    assert key.drop_constraint(catalog, user.id, "to_b").catalog.table(user.id).foreign_keys == user.foreign_keys[:1]
    with pytest.raises(errors.UndefinedObject):
        key.drop_constraint(catalog, target.id, "nothing")
    for name, left in (("target_pkey", "to_b"), ("target_b_key", "user_a_fkey")):
        with pytest.raises(errors.DependentObjects, match=r"constraint .* on table user") as caught:
            key.drop_constraint(catalog, target.id, name)
        assert left not in str(caught.value) and caught.value.sqlstate == "2BP01"
        after = key.drop_constraint(catalog, target.id, name, cascade=True)
        assert [foreign.name for foreign in after.catalog.table(user.id).foreign_keys] == [left]
    index = target.indexes[0]
    assert key.drop_constraint(catalog, target.id, "target_b_key", True).work == (DropRange(index.id),)
    # another key of the same columns holds the foreign key
    twice = key.create_index(catalog, target.id, IndexDefinition((IndexColumn(2),), is_unique=True))
    twice = key.set_index_state(twice.catalog, target.id, twice.created, IndexState.PUBLIC)
    assert key.drop_constraint(twice, target.id, "target_b_key").catalog.table(user.id) == user


def test_indexes() -> None:
    catalog, item = make(fresh(), "item", PRIMARY, KeyDefinition(("b",)),
                         of=columns("a", "b", doc=JSON, at=TIMESTAMPTZ, text=TEXT))
    with pytest.raises(errors.DependentObjects, match="requires it"):
        key.drop_index(catalog, item.id, "item_b_key")
    with pytest.raises(errors.DependentObjects, match="requires it"):
        key.drop_index(catalog, item.id, "item_pkey")
    with pytest.raises(errors.UndefinedObject):
        key.drop_index(catalog, item.id, "nothing")
    good = IndexDefinition((IndexColumn(4),), ttl_s=60)
    key.create_index(catalog, item.id, good)
    key.create_index(catalog, item.id, replace(good, columns=(IndexColumn(3, path=("at",)),)))
    for definition, error in (
            (IndexDefinition(()), errors.InvalidDefinition),
            (IndexDefinition((IndexColumn(9),)), errors.UndefinedColumn),
            (IndexDefinition((IndexColumn(),)), errors.InvalidDefinition),
            (IndexDefinition((IndexColumn(1, expression=uses(1)),)), errors.InvalidDefinition),
            (IndexDefinition((IndexColumn(expression=uses(9)),)), errors.UndefinedColumn),
            (IndexDefinition((IndexColumn(1, path=("x",)),)), errors.InvalidDefinition),
            (IndexDefinition((IndexColumn(1),), predicate=uses(9)), errors.UndefinedColumn),
            (IndexDefinition((IndexColumn(1),), predicate=uses(1, kind=INT)), errors.DatatypeMismatch),
            (IndexDefinition((IndexColumn(1),) * 33), errors.ProgramLimitExceeded),
            (IndexDefinition((IndexColumn(1),), "item"), errors.DuplicateTable),
            (IndexDefinition((IndexColumn(1),), "i" * 64), errors.ProgramLimitExceeded),
            (replace(good, columns=(IndexColumn(1),)), errors.InvalidDefinition),
            (replace(good, columns=(IndexColumn(4), IndexColumn(4))), errors.InvalidDefinition),
            (replace(good, ttl_s=-1), errors.InvalidDefinition), (replace(good, ttl_s=float("nan")),
                                                                  errors.InvalidDefinition)):
        with pytest.raises(error):
            key.create_index(catalog, item.id, definition)
    partial = IndexDefinition((IndexColumn(5, is_descending=True),), predicate=uses(1))
    change = key.create_index(catalog, item.id, partial)
    assert change.work == (BuildIndex(item.id, change.created),)
    gone = key.drop_index(change.catalog, item.id, "item_text_idx")
    assert gone.work == (DropRange(change.created),) and gone.catalog.table(item.id) == item


def test_a_unique_index_that_a_foreign_key_needs() -> None:
    catalog, target = make(fresh(), "target")
    change = key.create_index(catalog, target.id, IndexDefinition((IndexColumn(1),), "u", is_unique=True))
    catalog = key.set_index_state(change.catalog, target.id, change.created, IndexState.PUBLIC)
    catalog, user = make(catalog, "user", ForeignKeyDefinition(("a",), target.id, ("a",)))
    with pytest.raises(errors.DependentObjects, match="constraint user_a_fkey on table user"):
        key.drop_index(catalog, target.id, "u")
    assert key.drop_index(catalog, target.id, "u", cascade=True).catalog.table(user.id).foreign_keys == ()


# -------------------------------------------------------------------- views, sequences, schemas, databases

def test_views() -> None:
    catalog, table = make(fresh(), "t")
    change = view_of(catalog, "v", (table.id, (1, 2)))
    view = change.catalog.view(change.created)
    assert view.depends_on == (table.id,) and change.catalog.dependents(table.id) == [view]
    for attempt, error in (
            (lambda: view_of(change.catalog, "v", (table.id, ())), errors.DuplicateTable),
            (lambda: view_of(catalog, "t", or_replace=True), errors.WrongObjectType),
            (lambda: view_of(catalog, "w", (99, ())), errors.UndefinedTable),
            (lambda: view_of(catalog, "w", views=(99,)), errors.UndefinedTable),
            (lambda: view_of(catalog, "w", of=("x", "x")), errors.DuplicateColumn),
            (lambda: view_of(change.catalog, "v", of=(), or_replace=True), errors.InvalidDefinition),
            (lambda: view_of(change.catalog, "v", of=("y",), or_replace=True), errors.InvalidDefinition),
            (lambda: view_of(change.catalog, "v", kind=TEXT, or_replace=True), errors.InvalidDefinition),
            (lambda: view_of(change.catalog, "v", views=(view.id,), or_replace=True), errors.InvalidDefinition)):
        with pytest.raises(error):
            attempt()
    catalog = view_of(change.catalog, "over", views=(view.id,)).catalog
    catalog = view_of(catalog, "above", views=(find(catalog, "over").id, view.id)).catalog
    over, above = find(catalog, "over"), find(catalog, "above")
    change = view_of(catalog, "v", of=("x", "more"), or_replace=True)
    assert change.work == (RebindView(over.id), RebindView(above.id))
    assert change.created == view.id and change.catalog.view(view.id).depends_on == ()
    with pytest.raises(errors.InvalidDefinition, match="made of itself"):
        view_of(catalog, "v", views=(above.id,), or_replace=True)
    assert view_of(catalog, "new", or_replace=True).work == ()
    # each behind those it is made of, also where ids say otherwise
    catalog = view_of(catalog, "late", views=(view.id,)).catalog
    late = find(catalog, "late")
    catalog = view_of(catalog, "over", views=(view.id, late.id), or_replace=True).catalog
    assert view_of(catalog, "v", or_replace=True).work == tuple(
        RebindView(item.id) for item in (late, over, above))


@pytest.mark.parametrize(("given", "expected"), [
    ({}, (1, 1, 1, (1 << 31) - 1)), ({"increment": -2}, (-1, -2, -(1 << 31), -1)),
    ({"start": 5}, (5, 1, 1, (1 << 31) - 1)),
    ({"minimum": 0, "maximum": 9}, (0, 1, 0, 9))])
def test_sequences_of_columns(given: dict[str, Any], expected: tuple[int, ...]) -> None:
    column = ColumnDefinition("id", INT, identity="always", sequence=SequenceDefinition(**given))
    catalog, table = make(fresh(), "t", of=(column,))
    made = table.columns[0]
    assert made.sequence is not None and made.identity == "always" and not made.is_nullable
    sequence = catalog.sequence(made.sequence)
    assert (sequence.start, sequence.increment, sequence.minimum, sequence.maximum) == expected
    assert sequence.owner == (table.id, 1) and catalog.owned_sequences(table.id) == [sequence]
    assert catalog.sequence_users(sequence.id) == [table]


@pytest.mark.parametrize("given", [
    {"increment": 0}, {"minimum": 5, "maximum": 5}, {"start": 0}, {"start": 11, "maximum": 10}, {"cache": 0},
    {"maximum": 1 << 63}, {"minimum": -(1 << 63) - 1}, {"increment": 1 << 63}], ids=str)
def test_sequences_that_cannot_be(given: dict[str, Any]) -> None:
    catalog = define.create_sequence(fresh(), PUBLIC_ID, SequenceDefinition("fine")).catalog
    for attempt in (
            lambda: define.create_sequence(catalog, PUBLIC_ID, SequenceDefinition("s", **given)),
            lambda: define.alter_sequence(catalog, find(catalog, "fine").id, SequenceDefinition(**given))):
        with pytest.raises(errors.InvalidParameterValue):
            attempt()


def test_an_altered_sequence_keeps_to_the_type_of_its_column() -> None:
    catalog, _ = make(fresh(), "t", of=(ColumnDefinition("id", SMALLINT, sequence=SequenceDefinition()),))
    sequence = find(catalog, "t_id_seq")
    altered = define.alter_sequence(catalog, sequence.id, SequenceDefinition(increment=5)).sequence(sequence.id)
    assert altered == replace(sequence, increment=5) and altered.maximum == (1 << 15) - 1


def test_sequences() -> None:
    change = define.create_sequence(fresh(), PUBLIC_ID, SequenceDefinition("s"))
    assert change.catalog.sequence(change.created) == Sequence(change.created, PUBLIC_ID, "s")
    altered = define.alter_sequence(change.catalog, change.created, SequenceDefinition(increment=5, is_cyclic=True))
    assert altered.sequence(change.created) == Sequence(change.created, PUBLIC_ID, "s", increment=5, is_cyclic=True)
    assert drop_relations(altered, [change.created], cascade=False).catalog.sequences(PUBLIC_ID) == []


def test_schemas_and_databases() -> None:
    catalog = define.create_schema(fresh(), MAIN_ID, "s").catalog
    schema = catalog.schema(MAIN_ID, "s")
    assert schema is not None
    for name, error in (("s", errors.DuplicateSchema), ("public", errors.DuplicateSchema),
                        ("pg_x", errors.ReservedName),
                        ("information_schema", errors.ReservedName), ("x" * 64, errors.ProgramLimitExceeded)):
        with pytest.raises(error):
            define.create_schema(catalog, MAIN_ID, name)
        with pytest.raises(error):
            define.rename_schema(catalog, schema.id, name)
    definition = TableDefinition("t", columns("a"), (KeyDefinition(("a",)),))
    catalog = define.create_table(catalog, schema.id, definition).catalog
    inside = catalog.tables(schema.id)[0]
    assert define.rename_schema(catalog, schema.id, "r").find_table("main", "r", "t") == inside
    with pytest.raises(errors.DependentObjects, match="schema s because other objects depend on it: table t"):
        define.drop_schema(catalog, schema.id)
    change = define.drop_schema(catalog, schema.id, cascade=True)
    assert change.work == (DropRange(inside.id), DropRange(inside.indexes[0].id))
    assert change.catalog.schema(MAIN_ID, "s") is None and change.catalog.get(inside.id) is None

    change = define.create_database(catalog, "d")
    (public,) = change.catalog.schemas(change.created)
    assert public.name == "public"
    with pytest.raises(errors.DuplicateObject):
        define.create_database(catalog, "main")
    catalog = define.create_table(change.catalog, public.id, TableDefinition("t", columns("a"))).catalog
    dropped = define.drop_database(catalog, change.created)
    assert len(dropped.work) == 1 and dropped.catalog.database("d") is None and dropped.catalog.get(public.id) is None
