"""The catalog in the store: saved, loaded, as of a moment, inside transactions, under conflicts."""
from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

import phantomdb
from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core._ext.transaction import TransactionKeySpace
from phantomdb.core.catalog import storage
from phantomdb.core.catalog.catalog import MAIN_ID, PUBLIC_ID, Catalog
from phantomdb.core.catalog.constraints import ForeignKeyDefinition, KeyDefinition, add_constraint, drop_constraint
from phantomdb.core.catalog.definition import (
    ColumnDefinition,
    SequenceDefinition,
    TableDefinition,
    create_schema,
    create_table,
    drop_schema,
    rename_relation,
    rename_schema,
)
from phantomdb.core.catalog.dependencies import drop_relations
from phantomdb.core.catalog.keys import CATALOG_PREFIX, VERSION_KEY, counter_key, object_key, statistics_key
from phantomdb.core.catalog.objects import (
    Column,
    ColumnStatistics,
    Database,
    Schema,
    Sequence,
    Table,
    TableStatistics,
    View,
)
from phantomdb.core.catalog.sequences import SequenceStore
from phantomdb.core.catalog.storage import CatalogCache, fence_key, load, load_statistics, save, save_statistics
from phantomdb.core.errors import CorruptionError, RetryableConflict, SnapshotTooOld
from phantomdb.core.query import plan
from phantomdb.core.query.errors import DuplicateTable, UndefinedSchema, UndefinedTable, WrongObjectType
from phantomdb.core.values import BIGINT, INT, TEXT

Opener = Callable[..., phantomdb.Database]

ITEM = TableDefinition("item", (ColumnDefinition("id", BIGINT), ColumnDefinition("name", TEXT)),
                       (KeyDefinition(("id",), is_primary=True), KeyDefinition(("name",))))


def cache_of(db: phantomdb.Database) -> CatalogCache:
    return CatalogCache(db.store, SequenceStore(db.store).new_id)


def fresh() -> Catalog:
    return Catalog(new_id=itertools.count(3).__next__)


def keys_of(transaction: phantomdb.Transaction) -> TransactionKeySpace:
    return TransactionKeySpace(transaction.core, CATALOG_PREFIX)


def with_table(catalog: Catalog, name: str = "item", schema: int = PUBLIC_ID) -> Catalog:
    return create_table(catalog, schema, replace(ITEM, name=name)).catalog


def make(db: phantomdb.Database, cache: CatalogCache, *names: str) -> Catalog:
    """Makes tables in one transaction."""
    with db.transaction() as txn:
        for name in names:
            cache.change(txn, with_table(cache.at(txn), name))
        return cache.at(txn)


def names(catalog: Catalog, schema: int = PUBLIC_ID) -> list[str]:
    return [table.name for table in catalog.tables(schema)]


def table_named(catalog: Catalog, name: str) -> Table:
    found = catalog.find_table("main", "public", name)
    assert found is not None
    return found


# -------------------------------------------------------------------- the value

def test_a_new_catalog() -> None:
    catalog = Catalog()
    assert catalog.version == 0
    assert catalog.databases() == [Database(MAIN_ID, "main")]
    assert catalog.schemas(MAIN_ID) == [Schema(PUBLIC_ID, MAIN_ID, "public")]
    assert catalog.tables(PUBLIC_ID) == []
    with pytest.raises(RuntimeError, match="without a source of ids"):
        catalog.new_id()


def test_look_up() -> None:
    catalog = with_table(fresh())
    catalog = create_schema(catalog, MAIN_ID, "other").catalog
    other = catalog.schema(MAIN_ID, "other")
    assert other is not None
    catalog = with_table(with_table(catalog, "item", other.id), "thing", other.id)
    mine, theirs = table_named(catalog, "item"), catalog.find_table("main", "other", "item")
    assert theirs is not None and mine.id != theirs.id
    assert catalog.find((PUBLIC_ID, other.id), "item") is mine
    assert catalog.find((other.id, PUBLIC_ID), "item") is theirs
    assert catalog.find((999, PUBLIC_ID, other.id), "thing") is not None                 # a schema that is no more
    assert catalog.find((PUBLIC_ID,), "thing") is None
    assert catalog.find((PUBLIC_ID,), "item_pkey") is None                               # an index, no relation
    assert catalog.find_index((PUBLIC_ID,), "item_pkey") == (mine, None)
    assert catalog.find_index((PUBLIC_ID,), "item_name_key") == (mine, mine.indexes[0])
    assert catalog.find_index((PUBLIC_ID,), "item") is None
    assert names(catalog, other.id) == ["item", "thing"]
    assert catalog.is_taken(PUBLIC_ID, "item_pkey") and not catalog.is_taken(PUBLIC_ID, "thing")
    assert catalog.find_table("nowhere", "public", "item") is None
    assert catalog.find_table("main", "nowhere", "item") is None
    with pytest.raises(UndefinedTable):
        catalog.table(12345)
    with pytest.raises(WrongObjectType, match='"item" is not a view'):
        catalog.view(mine.id)
    with pytest.raises(UndefinedSchema):
        catalog.schema_by_id(mine.id)


def test_one_name_space_for_relations_and_indexes() -> None:
    catalog = with_table(fresh())
    item = table_named(catalog, "item")
    nothing = plan.Query(plan.Values((), ()), (), ())
    for name in ("item", "item_pkey", "item_name_key"):
        for made in (Sequence(90, PUBLIC_ID, name), View(90, PUBLIC_ID, name, (), (), "", nothing)):
            with pytest.raises(DuplicateTable, match=f'"{name}" already exists'):
                catalog.with_object(made)
    with pytest.raises(DuplicateTable):
        catalog.with_object(replace(item, indexes=(*item.indexes, replace(item.indexes[0], id=90))))
    assert catalog.with_object(Sequence(90, PUBLIC_ID, "free")).find((PUBLIC_ID,), "free") is not None


def test_a_change_leaves_the_catalog_before_as_it_was() -> None:
    before = with_table(fresh())
    content = dict(before.objects), names(before)
    item = table_named(before, "item")
    after = before.with_object(replace(item, name="renamed"))
    after = with_table(after, "item2").without(item.id)
    assert (dict(before.objects), names(before)) == content
    assert before.find_index((PUBLIC_ID,), "item_pkey") is not None
    assert names(after) == ["item2"]
    assert not after.is_taken(PUBLIC_ID, "renamed") and not after.is_taken(PUBLIC_ID, "item_pkey")


def test_versions_name_the_content() -> None:
    before = fresh()
    one, other = with_table(before), with_table(before)
    assert before.version < one.version != other.version > before.version
    assert with_table(one, "second").version > max(one.version, other.version)


# -------------------------------------------------------------------- in the store

def test_saved_and_loaded(opened: Opener) -> None:
    with opened() as db:
        saved = make(db, cache_of(db), "a", "b", "c")
        with db.transaction() as txn:
            cache = cache_of(db)
            cache.change(txn, drop_relations(cache.at(txn), [table_named(saved, "b").id], cascade=False).catalog)
            saved = cache.at(txn)
    with opened() as db:
        with db.transaction() as txn:
            loaded = cache_of(db).at(txn)
        assert loaded.objects == saved.objects and loaded.version == saved.version
        assert names(loaded) == ["a", "c"]


def test_ids_are_never_given_out_twice(opened: Opener) -> None:
    seen: set[int] = set()
    for attempt in range(3):
        with opened() as db:
            cache = cache_of(db)
            txn = db.transaction()
            cache.change(txn, with_table(cache.at(txn), "lost"))
            lost = cache.at(txn)
            txn.rollback()
            ids = set(lost.objects) - set(cache.at(db.transaction()).objects)
            ids |= {index.id for index in table_named(lost, "lost").indexes}
            made = table_named(make(db, cache, f"t{attempt}"), f"t{attempt}")
            ids |= {made.id, made.indexes[0].id}
            assert len(ids) == 4 and not ids & seen
            seen |= ids


def test_a_transaction_sees_its_own_changes_and_others_do_not(opened: Opener) -> None:
    db = opened(retention_s=3600)
    db.kv.put(b"a", b"b")
    cache = cache_of(db)
    txn, other = db.transaction(), db.transaction()
    cache.change(txn, with_table(cache.at(txn), "a"))
    cache.change(txn, with_table(cache.at(txn), "b"))
    assert names(cache.at(txn)) == ["a", "b"]
    assert names(cache.at(other)) == []
    txn.commit()
    assert names(cache.at(other)) == []                          # its snapshot is older
    assert names(cache.at(db.transaction())) == ["a", "b"]
    assert names(cache_of(db).at(other)) == []                   # also from the disk


def test_rollback_to_a_savepoint(db: phantomdb.Database) -> None:
    cache = cache_of(db)
    with db.transaction() as txn:
        with pytest.raises(KeyError), txn.savepoint():
            cache.change(txn, with_table(cache.at(txn), "gone"))
            raise KeyError
        assert names(cache.at(txn)) == []
        cache.change(txn, with_table(cache.at(txn), "a"))
        with pytest.raises(KeyError), txn.savepoint():
            for number in range(2 * storage.RECENT_COUNT):       # more than are kept in memory
                cache.change(txn, with_table(cache.at(txn), f"gone{number}"))
            raise KeyError
        assert names(cache.at(txn)) == ["a"]
        cache.change(txn, with_table(cache.at(txn), "b"))
    assert names(cache.at(db.transaction())) == ["a", "b"] == names(cache_of(db).at(db.transaction()))


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_two_changes_conflict(db: phantomdb.Database, isolation: str) -> None:
    cache = cache_of(db)
    one = db.transaction(isolation=isolation)                    # type: ignore[arg-type]
    other = db.transaction(isolation=isolation)                  # type: ignore[arg-type]
    cache.change(one, with_table(cache.at(one), "a"))
    cache.change(other, with_table(cache.at(other), "b"))        # not even of one name
    one.commit()
    with pytest.raises(RetryableConflict):
        other.commit()
    assert names(cache.at(db.transaction())) == ["a"]


def test_a_change_over_another_catalog_is_refused(db: phantomdb.Database) -> None:
    cache = cache_of(db)
    make(db, cache, "a")
    with db.transaction() as txn, pytest.raises(CorruptionError, match="not made of"):
        save(keys_of(txn), fresh(), with_table(fresh()))


def test_the_catalog_as_of_a_moment(opened: Opener) -> None:
    with opened(retention_s=3600) as db:
        cache = cache_of(db)
        db.kv.put(b"a", b"b")                                    # before its first commit a database has no time
        moments = [db.timestamp]
        for number in range(3):
            make(db, cache, f"t{number}")
            moments.append(db.timestamp)
        db.compact()
        for reader in (cache, cache_of(db)):
            for number in (2, 0, 3, 1):
                assert len(names(reader.as_of(moments[number]))) == number
            assert len(names(reader.at(db.transaction()))) == 3
            assert len(names(reader.as_of(0))) == 3
    with opened(retention_s=0) as db:
        db.kv.put(b"a", b"b")
        db.compact()
        with pytest.raises(SnapshotTooOld):
            cache_of(db).as_of(moments[1])


def test_an_older_transaction_after_a_newer_one_was_served(opened: Opener) -> None:
    db = opened(retention_s=3600)
    db.kv.put(b"a", b"b")
    cache = cache_of(db)
    old = db.transaction()
    make(db, cache, "a")
    middle = db.transaction()
    make(db, cache, "b")
    for _ in range(2):
        assert [len(names(cache.at(txn))) for txn in (old, db.transaction(), middle, db.transaction(), old)] == [
            0, 2, 1, 2, 0]


def test_a_transaction_older_than_the_retention_window(opened: Opener) -> None:
    db = opened(retention_s=0)
    cache = cache_of(db)
    make(db, cache, "a")
    txn = db.transaction()
    make(db, cache, "b")
    db.compact()
    assert names(cache.at(txn)) == names(cache_of(db).at(txn)) == ["a"]
    assert names(cache.at(db.transaction())) == ["a", "b"]


def test_unchanged_means_the_same_object(db: phantomdb.Database) -> None:
    cache = cache_of(db)
    make(db, cache, "a")
    first = cache.at(db.transaction())
    db.kv.put(b"x", b"y")
    assert cache.at(db.transaction()) is first


def test_reading_the_catalog_is_no_conflict(opened: Opener) -> None:
    """Otherwise each change of anything would end all that write."""
    db = opened(retention_s=3600)
    db.kv.put(b"a", b"b")                                        # before its first commit a database has no time
    cache = cache_of(db)
    txn = db.transaction()
    cache.at(txn)
    txn.kv.put(b"a", b"b")
    make(db, cache, "a")
    assert names(cache.at(txn)) == []
    txn.commit()


# -------------------------------------------------------------------- fences

def fenced(db: phantomdb.Database, table: int) -> phantomdb.Transaction:
    txn = db.transaction()
    assert keys_of(txn).get(fence_key(table)) is not None
    txn.kv.put(b"row", b"")
    return txn


def test_the_fence_of_a_changed_table(db: phantomdb.Database) -> None:
    cache = cache_of(db)
    catalog = make(db, cache, "a", "b")
    of_a, of_b = (fenced(db, table_named(catalog, name).id) for name in "ab")
    with db.transaction() as txn:
        cache.change(txn, rename_relation(cache.at(txn), table_named(catalog, "a").id, "c"))
    of_b.commit()
    with pytest.raises(RetryableConflict):
        of_a.commit()


@pytest.mark.parametrize("how", ["added", "dropped", "dropped with its table"])
def test_the_fence_of_a_table_that_is_referred_to(db: phantomdb.Database, how: str) -> None:
    """One that deletes rows of it must check the new foreign key, though its own definition has not changed."""
    cache = cache_of(db)
    catalog = make(db, cache, "target", "user", "bystander")
    target, user, bystander = (table_named(catalog, name).id for name in ("target", "user", "bystander"))
    added = add_constraint(catalog, user, ForeignKeyDefinition(("id",), target, name="fk")).catalog
    if how != "added":
        with db.transaction() as txn:
            cache.change(txn, added)
    writer, another = fenced(db, target), fenced(db, bystander)
    with db.transaction() as txn:
        now = cache.at(txn)
        cache.change(txn, added if how == "added" else drop_constraint(now, user, "fk").catalog if how == "dropped"
                     else drop_relations(now, [user], cascade=False).catalog)
    another.commit()
    with pytest.raises(RetryableConflict):
        writer.commit()


# -------------------------------------------------------------------- implied objects, rows that go along

def test_public_renamed_dropped_and_made_again(opened: Opener) -> None:
    for step in (lambda catalog: rename_schema(catalog, PUBLIC_ID, "mine"),
                 lambda catalog: drop_schema(catalog, PUBLIC_ID).catalog,
                 lambda catalog: create_schema(catalog, MAIN_ID, "public").catalog):
        with opened() as db:
            cache = cache_of(db)
            with db.transaction() as txn:
                cache.change(txn, step(cache.at(txn)))
                expected = cache.at(txn).objects
        with opened() as db:
            assert cache_of(db).as_of(0).objects == expected
    assert [item.name for item in Catalog(expected.values()).schemas(MAIN_ID)] == ["public"]
    assert PUBLIC_ID not in expected


def test_opening_writes_nothing(db: phantomdb.Database) -> None:
    before = db.timestamp
    cache_of(db).at(db.transaction())
    assert db.timestamp == before


def test_what_is_dropped_leaves_nothing(db: phantomdb.Database) -> None:
    sequences, cache = SequenceStore(db.store), cache_of(db)
    keys = KeySpace(db.store.engine, CATALOG_PREFIX)
    with db.transaction() as txn:
        column = ColumnDefinition("id", INT, sequence=SequenceDefinition())
        cache.change(txn, create_table(cache.at(txn), PUBLIC_ID, TableDefinition("t", (column,))).catalog)
        table = table_named(cache.at(txn), "t")
        (sequence,) = cache.at(txn).sequences(PUBLIC_ID)
    sequences.next(sequence)
    sequences.next_row_ids(table.id)
    save_statistics(keys, TableStatistics(table.id, 5, 50))
    owned = [object_key(table.id), object_key(sequence.id), counter_key(sequence.id), counter_key(table.id),
             statistics_key(table.id)]
    assert None not in keys.multi_get(owned)
    with db.transaction() as txn:
        cache.change(txn, drop_relations(cache.at(txn), [table.id], cascade=False).catalog)
    assert keys.multi_get(owned) == [None] * 5


def test_statistics(db: phantomdb.Database) -> None:
    cache = cache_of(db)
    catalog = make(db, cache, "a")
    table = table_named(catalog, "a").id
    found = TableStatistics(table, 1000, 5000, {1: ColumnStatistics(0.5, 10.0, ((5, 0.25),), (1, "x"), 4.0)})
    keys = KeySpace(db.store.engine, CATALOG_PREFIX)
    assert cache.statistics(table) is None
    with db.transaction() as txn:
        save_statistics(keys_of(txn), found)
    assert cache.statistics(table) == found == load_statistics(keys, table)
    assert storage.all_statistics(keys) == {table: found}
    assert cache.at(db.transaction()).version == catalog.version


# -------------------------------------------------------------------- damage, threads

def test_damage(db: phantomdb.Database) -> None:
    catalog = make(db, cache_of(db), "a", "b")
    keys = KeySpace(db.store.engine, CATALOG_PREFIX)
    a, b = (table_named(catalog, name).id for name in "ab")
    other = storage.encode(replace(table_named(catalog, "b"), id=a + 1000, name="c", primary_key_name="", indexes=()))
    rows = {object_key(a): [b"\xc1", b"\x05", other], object_key(b): [storage.encode(Column(1, "a", INT))],
            VERSION_KEY: [b"", b"x" * 15]}
    for key, bad in rows.items():
        good = keys.get(key)
        assert good is not None
        for data in bad:
            keys.put(key, data)
            with keys.snapshot_at(0) as snapshot, pytest.raises(CorruptionError):
                load(snapshot, catalog.new_id)
        keys.put(key, good)
    keys.put(object_key(a), storage.encode(replace(table_named(catalog, "b"), id=a)))    # two tables of one name
    with keys.snapshot_at(0) as snapshot, pytest.raises(CorruptionError, match="contradicts itself"):
        load(snapshot, catalog.new_id)


def test_threads(db: phantomdb.Database) -> None:
    """Each adds tables of its own, all retry; each reader sees whole changes only: tables come in pairs."""
    cache = cache_of(db)
    errors: list[BaseException] = []

    def change(number: int) -> None:
        def function(txn: phantomdb.Transaction) -> None:
            for name in ("a", "b"):
                cache.change(txn, with_table(cache.at(txn), f"t{number}_{name}"))
        try:
            db.run(function)
        except BaseException as error:
            errors.append(error)

    def look() -> None:
        try:
            while len(found := names(cache.at(db.transaction()))) < 16 and not errors:
                assert len(found) % 2 == 0
                assert all(name[:-1] + "b" in found for name in found)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    threads += [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(names(cache_of(db).at(db.transaction()))) == 16
