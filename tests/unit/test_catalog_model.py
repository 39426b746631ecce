"""Any order of definitions, against a plain model: what is there, what it is called, and what a new opening finds.

The model knows nothing of maps, rows or versions: schemas with tables, each with columns, indexes and foreign keys by
name. What the model says cannot be must raise, and leave everything as it was.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import disks
from hypothesis import given, settings
from hypothesis import strategies as st

import phantomdb
from phantomdb.core.catalog import alteration as alter
from phantomdb.core.catalog import constraints as key
from phantomdb.core.catalog import definition as define
from phantomdb.core.catalog.catalog import MAIN_ID, Catalog
from phantomdb.core.catalog.constraints import ForeignKeyDefinition, IndexDefinition, KeyDefinition
from phantomdb.core.catalog.definition import ColumnDefinition, TableDefinition
from phantomdb.core.catalog.dependencies import drop_relations
from phantomdb.core.catalog.objects import IndexColumn, Table
from phantomdb.core.catalog.sequences import SequenceStore
from phantomdb.core.catalog.storage import CatalogCache
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query.errors import QueryError
from phantomdb.core.values import INT

NAMES = ("a", "b", "c")


@dataclass
class ModelTable:
    columns: list[str]
    key: str                                             # its one column
    key_name: str
    indexes: dict[str, str] = field(default_factory=dict)
    foreign: dict[str, tuple[str, str]] = field(default_factory=dict)    # name -> (column, table)


Model = dict[str, dict[str, ModelTable]]                 # schema -> table


class Refused(Exception):
    pass


def require(fact: bool) -> None:
    if not fact:
        raise Refused


def taken(tables: dict[str, ModelTable]) -> set[str]:
    return {name for table, of in tables.items() for name in (table, of.key_name, *of.indexes)}


def pointing(tables: dict[str, ModelTable], target: str) -> list[tuple[ModelTable, str]]:
    return [(of, name) for other, of in tables.items() for name, (_, to) in of.foreign.items()
            if to == target and other != target]


def step_model(model: Model, step: tuple[Any, ...]) -> None:
    kind, schema, name, new, position, target, flag = step
    if kind == "create schema":
        require(schema not in model)
        model[schema] = {}
        return
    require(schema in model)
    tables = model[schema]
    if kind == "drop schema":
        require(flag or not tables)
        del model[schema]
        return
    if kind == "create table":
        require(name not in taken(tables) and f"{name}_pkey" not in taken(tables))
        tables[name] = ModelTable([new, f"{new}2"], new, f"{name}_pkey")
        return
    require(name in tables)
    table = tables[name]
    column = table.columns[position % len(table.columns)]
    if kind == "drop table":
        users = pointing(tables, name)
        require(flag or not users)
        for user, foreign in users:
            del user.foreign[foreign]
        del tables[name]
    elif kind == "rename table":
        require(new not in taken(tables))
        tables[new] = tables.pop(name)
        for user in tables.values():
            user.foreign = {n: (of, new if to == name else to) for n, (of, to) in user.foreign.items()}
    elif kind == "add column":
        require(new not in table.columns)
        table.columns.append(new)
    elif kind == "drop column":
        require(column != table.key)
        table.columns.remove(column)
        table.indexes = {n: of for n, of in table.indexes.items() if of != column}
        table.foreign = {n: (of, to) for n, (of, to) in table.foreign.items() if of != column}
    elif kind == "rename column":
        require(new not in table.columns)
        table.columns[table.columns.index(column)] = new
        table.key = new if table.key == column else table.key
        table.indexes = {n: new if of == column else of for n, of in table.indexes.items()}
        table.foreign = {n: (new if of == column else of, to) for n, (of, to) in table.foreign.items()}
    elif kind == "create index":
        require(new not in taken(tables))
        table.indexes[new] = column
    elif kind == "drop index":
        require(bool(table.indexes))
        del table.indexes[list(table.indexes)[position % len(table.indexes)]]
    else:
        require(target in tables and f"f{flag}" not in table.foreign)
        table.foreign[f"f{flag}"] = (column, target)


def step_catalog(catalog: Catalog, step: tuple[Any, ...]) -> Catalog:
    kind, schema, name, new, position, target, flag = step
    if kind == "create schema":
        return define.create_schema(catalog, MAIN_ID, schema).catalog
    found = catalog.schema(MAIN_ID, schema)
    if found is None:
        raise Refused
    if kind == "drop schema":
        return define.drop_schema(catalog, found.id, flag).catalog
    if kind == "create table":
        return define.create_table(catalog, found.id, TableDefinition(
            name, (ColumnDefinition(new, INT), ColumnDefinition(f"{new}2", INT)),
            (KeyDefinition((new,), f"{name}_pkey", is_primary=True),))).catalog
    table = catalog.find((found.id,), name)
    if not isinstance(table, Table):
        raise Refused
    column = table.columns[position % len(table.columns)]
    if kind == "drop table":
        return drop_relations(catalog, [table.id], flag).catalog
    if kind == "rename table":
        return define.rename_relation(catalog, table.id, new)
    if kind == "add column":
        return alter.add_column(catalog, table.id, ColumnDefinition(new, INT), 5).catalog
    if kind == "drop column":
        if column.id in table.primary_key:
            raise Refused                                # has tests of its own
        return alter.drop_column(catalog, table.id, column.name).catalog
    if kind == "rename column":
        return alter.rename_column(catalog, table.id, column.name, new)
    if kind == "create index":
        return key.create_index(catalog, table.id, IndexDefinition((IndexColumn(column.id),), new)).catalog
    if kind == "drop index":
        if not table.indexes:
            raise Refused
        return key.drop_index(catalog, table.id, table.indexes[position % len(table.indexes)].name).catalog
    to = catalog.find((found.id,), target)
    if to is None:
        raise Refused
    return key.add_constraint(catalog, table.id, ForeignKeyDefinition((column.name,), to.id, name=f"f{flag}")).catalog


def shown(catalog: Catalog) -> Model:
    result: Model = {}
    for schema in catalog.schemas(MAIN_ID):
        tables = result[schema.name] = {}
        for table in catalog.tables(schema.id):
            of = {column.id: column.name for column in table.columns}
            assert catalog.table(table.id) is table is catalog.find((schema.id,), table.name)
            assert set(table.record_columns) - {0} == set(of) - set(table.primary_key)
            tables[table.name] = ModelTable(
                list(of.values()), of[table.primary_key[0]], table.primary_key_name,
                {index.name: of[index.columns[0].column or 0] for index in table.indexes},
                {foreign.name: (of[foreign.columns[0]], catalog.table(foreign.target).name)
                 for foreign in table.foreign_keys})
            for user, foreign in catalog.referencing(table.id):
                assert foreign in user.foreign_keys and user is catalog.table(user.id)
    return result


KINDS = ["rename table", "drop column", "rename column", "create index", "create index", "add foreign key",
         "add foreign key",
         "add column", "drop index", "create table", "drop table", "create schema", "drop schema"]
names = st.sampled_from(NAMES)
steps = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["public", "public", "public", "a"]), names,
                           st.sampled_from("abcdef"), st.integers(0, 5), names, st.booleans()),
                 min_size=10, max_size=40)
BEGIN = [("create table", "public", name, "a", 0, "", False) for name in NAMES[:2]]
ends = st.lists(st.sampled_from(["commit", "commit", "rollback", "reopen"]), min_size=40, max_size=40)


def opened(disk: MemoryFileSystem) -> tuple[phantomdb.Database, CatalogCache]:
    with mock.patch("phantomdb.core.database.needs_upkeep", return_value=False):     # nobody builds the indexes
        db = disks.opened(disk)
    return db, CatalogCache(db.store, SequenceStore(db.store).new_id)


@settings(max_examples=60, deadline=None)
@given(steps, ends)
def test_definitions_against_a_model(given_steps: list[tuple[Any, ...]], given_ends: list[str]) -> None:
    disk = MemoryFileSystem()
    db, cache = opened(disk)
    model: Model = {"public": {}}
    for step, end in zip([*BEGIN, *given_steps], ["commit", "reopen", *given_ends], strict=False):
        after = {schema: {name: ModelTable(list(of.columns), of.key, of.key_name, dict(of.indexes), dict(of.foreign))
                          for name, of in tables.items()} for schema, tables in model.items()}
        txn = db.transaction()
        before = cache.at(txn)
        try:
            step_model(after, step)
            expected = True
        except Refused:
            expected = False
        try:
            cache.change(txn, step_catalog(before, step))
            done = True
        except (QueryError, Refused):
            done = False
        assert done is expected
        assert shown(cache.at(txn)) == (after if done else model)
        if end == "rollback":
            txn.rollback()
        else:
            txn.commit()
            model = after if done else model
        if end == "reopen":
            kept = cache.as_of(0)
            db.close()
            db, cache = opened(disk)
            assert cache.as_of(0).objects == kept.objects and cache.as_of(0).version == kept.version
        assert shown(cache.as_of(0)) == model
    db.close()
