"""What is dropped, altered and renamed: what goes along, what is in the way, what is to be done to rows."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from catalogs import PRIMARY, columns, find, fresh, make, uses, view_of

from phantomdb.core.catalog import alteration as alter
from phantomdb.core.catalog import constraints as key
from phantomdb.core.catalog import definition as define
from phantomdb.core.catalog.catalog import PUBLIC_ID, Catalog
from phantomdb.core.catalog.constraints import CheckDefinition, ForeignKeyDefinition, IndexDefinition, KeyDefinition
from phantomdb.core.catalog.definition import ColumnDefinition, SequenceDefinition
from phantomdb.core.catalog.dependencies import drop_relations
from phantomdb.core.catalog.objects import (
    IndexColumn,
    View,
)
from phantomdb.core.catalog.work import (
    DropRange,
    FillColumn,
    RewriteRows,
    ValidateNotNull,
)
from phantomdb.core.query import errors
from phantomdb.core.values import (
    ANY,
    INT,
    TEXT,
)


# -------------------------------------------------------------------- drop

def test_drop_a_table_with_what_is_its_own() -> None:
    column = ColumnDefinition("a", INT, sequence=SequenceDefinition())
    catalog, table = make(fresh(), "t", KeyDefinition(("b",)), of=(column, *columns("b")))
    change = drop_relations(catalog, [table.id], cascade=False)
    assert change.work == (DropRange(table.id), DropRange(table.indexes[0].id))
    assert change.catalog.objects == fresh().objects


def test_drop_a_table_that_others_depend_on() -> None:
    catalog, target = make(fresh(), "target", PRIMARY, ForeignKeyDefinition(("b",), key.SELF))
    drop_relations(catalog, [target.id], cascade=False)          # a foreign key to itself is no obstacle
    catalog, user = make(catalog, "user", ForeignKeyDefinition(("a",), target.id), CheckDefinition(uses(1)))
    catalog = view_of(catalog, "v", (target.id, (1,)), (user.id, ())).catalog
    catalog = view_of(catalog, "w", views=(find(catalog, "v").id,)).catalog
    with pytest.raises(errors.DependentObjects) as caught:
        drop_relations(catalog, [target.id], cascade=False)
    assert str(caught.value).startswith("cannot drop table target because other objects depend on it: view v, view w, "
                                        "constraint user_a_fkey on table user; ")
    change = drop_relations(catalog, [target.id], cascade=True)
    assert change.work == (DropRange(target.id),)
    assert [item.name for item in change.catalog.relations(PUBLIC_ID)] == ["user"]
    assert change.catalog.table(user.id) == replace(user, foreign_keys=())
    # all named in one statement
    ids = [find(catalog, name).id for name in ("v", "target", "user", "w")]
    assert drop_relations(catalog, ids, cascade=False).catalog.objects == fresh().objects
    with pytest.raises(errors.UndefinedTable):
        drop_relations(catalog, [target.id, 999], cascade=True)


def test_many_dependents_are_not_all_named() -> None:
    catalog, table = make(fresh(), "t")
    for number in range(25):
        catalog = view_of(catalog, f"v{number}", (table.id, ())).catalog
    with pytest.raises(errors.DependentObjects, match=r"view v19 and 5 more;"):
        drop_relations(catalog, [table.id], cascade=False)


def test_drop_a_sequence_in_use() -> None:
    serial = ColumnDefinition("a", INT, sequence=SequenceDefinition())
    catalog, table = make(fresh(), "t", of=(serial,))
    (sequence,) = catalog.sequences(PUBLIC_ID)
    with pytest.raises(errors.DependentObjects, match="default value for column a of table t"):
        drop_relations(catalog, [sequence.id], cascade=False)
    after = drop_relations(catalog, [sequence.id], cascade=True).catalog
    assert after.table(table.id).columns[0].sequence is None and after.sequences(PUBLIC_ID) == []
    catalog, _ = make(fresh(), "t", of=(replace(serial, identity="always"),))
    for cascade in (False, True):
        with pytest.raises(errors.DependentObjects, match="column a of table t requires it"):
            drop_relations(catalog, [catalog.sequences(PUBLIC_ID)[0].id], cascade=cascade)


# -------------------------------------------------------------------- alter table

def test_add_column() -> None:
    catalog, table = make(fresh(), "t", PRIMARY)
    change = alter.add_column(catalog, table.id, ColumnDefinition("d", TEXT, default=uses()), "x")
    after = change.catalog.table(table.id)
    assert change.work == () and change.created == 4                             # instant
    assert after.column_by_id(4).missing == "x" and after.record_columns == (2, 3, 4) and after.next_column_id == 5
    for definition, fill, work in (
            (ColumnDefinition("d", INT, is_nullable=False), False, (ValidateNotNull(table.id, 4),)),
            (ColumnDefinition("d", INT, generated=uses(1)), False, (FillColumn(table.id, 4),)),
            (ColumnDefinition("d", INT, default=uses()), True, (FillColumn(table.id, 4),)),
            (ColumnDefinition("d", INT, sequence=SequenceDefinition()), False,
             (FillColumn(table.id, 4), ValidateNotNull(table.id, 4)))):
        change = alter.add_column(catalog, table.id, definition, fill=fill)
        assert change.work == work
        assert change.catalog.table(table.id).column_by_id(4).missing is None
    assert alter.add_column(catalog, table.id, ColumnDefinition("d", INT, False), 5).work == ()
    for definition, error in ((ColumnDefinition("a", INT), errors.DuplicateColumn),
                              (ColumnDefinition("d" * 64, INT), errors.ProgramLimitExceeded),
                              (ColumnDefinition("d", INT, generated=uses(4)), errors.InvalidDefinition),
                              (ColumnDefinition("d", ANY), errors.InvalidDefinition)):
        with pytest.raises(error):
            alter.add_column(catalog, table.id, definition)


def test_dropped_columns_count() -> None:
    catalog, table = make(fresh(), "t", PRIMARY, of=columns(*("a", *(f"c{number}" for number in range(1599)))))
    catalog = alter.drop_column(catalog, table.id, "c5").catalog
    with pytest.raises(errors.ProgramLimitExceeded, match="dropped ones included"):
        alter.add_column(catalog, table.id, ColumnDefinition("d", INT))


def test_drop_column() -> None:
    catalog, table = make(fresh(), "t", PRIMARY, KeyDefinition(("b", "c")), CheckDefinition(uses(2, 3)),
                          CheckDefinition(uses(3)), ForeignKeyDefinition(("b",), key.SELF))
    for definition in (IndexDefinition((IndexColumn(3),), "with_b", predicate=uses(2)),
                       IndexDefinition((IndexColumn(expression=uses(2)),), "of_b"), IndexDefinition((IndexColumn(3),))):
        catalog = key.create_index(catalog, table.id, definition).catalog
    before = catalog.table(table.id)
    change = alter.drop_column(catalog, table.id, "b")
    after = change.catalog.table(table.id)
    assert after.record_columns == (0, 3) and [column.name for column in after.columns] == ["a", "c"]
    assert [index.name for index in after.indexes] == ["t_c_idx"]
    assert [item.name for item in after.checks] == ["t_c_check"]
    assert after.foreign_keys == ()
    assert change.work == tuple(DropRange(index.id) for index in before.indexes[:3])
    again = alter.add_column(change.catalog, table.id, ColumnDefinition("b", INT)).catalog.table(table.id)
    assert again.record_columns == (0, 3, 4)                     # the old place is not used again
    with pytest.raises(errors.UndefinedColumn):
        alter.drop_column(change.catalog, table.id, "b")


def test_drop_a_column_of_the_primary_key() -> None:
    catalog, table = make(fresh(), "t", KeyDefinition(("a", "b"), is_primary=True))
    change = alter.drop_column(catalog, table.id, "a")
    after = change.catalog.table(table.id)
    assert change.work == (RewriteRows(table, after),)
    assert after.has_hidden_key and after.record_columns == (2, 3) and not change.catalog.is_taken(PUBLIC_ID, "t_pkey")


def test_drop_a_column_that_others_need() -> None:
    of = (*columns("a", "b"), ColumnDefinition("twice", INT, generated=uses(1)), *columns("c"))
    catalog, table = make(fresh(), "t", PRIMARY, KeyDefinition(("twice",)), of=of)
    catalog, user = make(catalog, "user", ForeignKeyDefinition(("a",), table.id))
    catalog = view_of(catalog, "v", (table.id, (1,))).catalog
    catalog = view_of(catalog, "w", (table.id, (2,))).catalog
    for _ in range(2):
        with pytest.raises(errors.DependentObjects, match=r"column twice of table t, view v; "):
            alter.drop_column(catalog, table.id, "a")
    change = alter.drop_column(catalog, table.id, "a", cascade=True)
    after = change.catalog.table(table.id)
    assert [column.name for column in after.columns] == ["b", "c"] and after.indexes == ()
    assert find(change.catalog, "v") is None and find(change.catalog, "w") is not None
    assert change.catalog.table(user.id).foreign_keys == ()
    index = table.indexes[0]
    assert change.work == (DropRange(index.id), RewriteRows(replace(
        table, columns=tuple(column for column in table.columns if column.name != "twice"), indexes=(),
        record_columns=(2, 0, 4)), after))
    with pytest.raises(errors.DependentObjects, match="view w"):
        alter.drop_column(catalog, table.id, "b")
    alter.drop_column(catalog, table.id, "c")
    catalog = drop_relations(catalog, [find(catalog, "v").id], cascade=False).catalog
    catalog = alter.drop_column(catalog, table.id, "twice").catalog
    with pytest.raises(errors.DependentObjects, match="constraint user_a_fkey on table user"):
        alter.drop_column(catalog, table.id, "a")


def test_drop_a_column_with_its_sequence() -> None:
    catalog, table = make(fresh(), "t", of=(ColumnDefinition("a", INT, sequence=SequenceDefinition()), *columns("b")))
    assert alter.drop_column(catalog, table.id, "a").catalog.sequences(PUBLIC_ID) == []
    moved = alter.set_default(catalog, table.id, "a", None)      # still goes with the column
    assert alter.drop_column(moved, table.id, "a").catalog.sequences(PUBLIC_ID) == []
    assert len(alter.drop_column(catalog, table.id, "b").catalog.sequences(PUBLIC_ID)) == 1


def test_alter_column() -> None:
    catalog, table = make(fresh(), "t", PRIMARY, of=(
        *columns("a", "b"), ColumnDefinition("g", INT, generated=uses(1)),
        ColumnDefinition("i", INT, identity="always", sequence=SequenceDefinition()),
        ColumnDefinition("s", INT, sequence=SequenceDefinition())))

    def column(of: Catalog, name: str) -> Any:
        return of.table(table.id).column(name)

    assert column(alter.set_default(catalog, table.id, "b", uses()), "b").default == uses()
    assert column(alter.set_default(catalog, table.id, "s", uses()), "s").sequence is None
    for name in ("g", "i"):
        with pytest.raises(errors.SyntaxFailure):
            alter.set_default(catalog, table.id, name, None)
    with pytest.raises(errors.FeatureNotSupported):
        alter.set_default(catalog, table.id, "b", uses(1))
    change = alter.set_not_null(catalog, table.id, "b")
    assert change.work == (ValidateNotNull(table.id, 2),) and not column(change.catalog, "b").is_nullable
    assert alter.set_not_null(change.catalog, table.id, "b") == (change.catalog, (), 0)
    assert column(alter.drop_not_null(change.catalog, table.id, "b"), "b").is_nullable
    with pytest.raises(errors.InvalidDefinition, match="in a primary key"):
        alter.drop_not_null(catalog, table.id, "a")
    with pytest.raises(errors.SyntaxFailure):
        alter.drop_not_null(catalog, table.id, "i")
    assert column(alter.set_comment(catalog, table.id, "hello", "b"), "b").comment == "hello"
    assert alter.set_comment(catalog, table.id, "hello").table(table.id).comment == "hello"
    for attempt in (lambda: alter.set_default(catalog, table.id, "z", None),
                    lambda: alter.set_not_null(catalog, table.id, "z"),
                    lambda: alter.drop_not_null(catalog, table.id, "z"),
                    lambda: alter.set_comment(catalog, table.id, "", "z")):
        with pytest.raises(errors.UndefinedColumn):
            attempt()


def test_rename() -> None:
    catalog, table = make(fresh(), "t", PRIMARY, KeyDefinition(("b",)), CheckDefinition(uses(1), "check"),
                          ForeignKeyDefinition(("c",), key.SELF, name="foreign"))
    catalog = key.create_index(catalog, table.id, IndexDefinition((IndexColumn(3),), "check")).catalog
    before = catalog.table(table.id)
    catalog = view_of(catalog, "v", (table.id, (1,))).catalog
    assert alter.rename_column(catalog, table.id, "a", "z").table(table.id).columns == (
        replace(before.columns[0], name="z"), *before.columns[1:])
    for wrong, error in (("b", errors.DuplicateColumn), ("a", errors.DuplicateColumn),
                         ("a" * 64, errors.ProgramLimitExceeded)):
        with pytest.raises(error):
            alter.rename_column(catalog, table.id, "a", wrong)
    with pytest.raises(errors.UndefinedColumn):
        alter.rename_column(catalog, table.id, "z", "y")

    renamed = define.rename_relation(catalog, table.id, "r")
    assert renamed.table(table.id) == replace(before, name="r") and find(renamed, "t") is None
    assert isinstance(find(define.rename_relation(catalog, find(catalog, "v").id, "w"), "w"), View)
    for wrong in ("t", "v", "t_pkey", "check"):
        with pytest.raises(errors.DuplicateTable):
            define.rename_relation(catalog, table.id, wrong)

    def shown(after: Catalog) -> list[str]:
        of = after.table(table.id)
        return [of.primary_key_name, *(item.name for item in (*of.indexes, *of.checks, *of.foreign_keys))]

    assert shown(catalog) == ["t_pkey", "t_b_key", "check", "check", "foreign"]
    for name, expected in (("t_pkey", ["n", "t_b_key", "check", "check", "foreign"]),
                           ("t_b_key", ["t_pkey", "n", "check", "check", "foreign"]),
                           ("check", ["t_pkey", "t_b_key", "check", "n", "foreign"]),
                           ("foreign", ["t_pkey", "t_b_key", "check", "check", "n"])):
        after = key.rename_constraint(catalog, table.id, name, "n")
        assert shown(after) == expected
        assert after.is_taken(PUBLIC_ID, "n") is (name in ("t_pkey", "t_b_key"))
    for name, expected in (("t_pkey", ["n", "t_b_key", "check", "check", "foreign"]),
                           ("t_b_key", ["t_pkey", "n", "check", "check", "foreign"]),
                           ("check", ["t_pkey", "t_b_key", "n", "check", "foreign"])):
        assert shown(key.rename_index(catalog, table.id, name, "n")) == expected
    for wrong in ("foreign", "nothing"):
        with pytest.raises(errors.UndefinedObject):
            key.rename_index(catalog, table.id, wrong, "n")
    with pytest.raises(errors.UndefinedObject):
        key.rename_constraint(catalog, table.id, "nothing", "n")
    with pytest.raises(errors.DuplicateObject):
        key.rename_constraint(catalog, table.id, "t_pkey", "foreign")
    with pytest.raises(errors.DuplicateTable):
        key.rename_constraint(catalog, table.id, "t_pkey", "v")
    with pytest.raises(errors.DuplicateTable):
        key.rename_index(catalog, table.id, "check", "t_pkey")
