"""CREATE INDEX.

    CREATE [UNIQUE] INDEX [CONCURRENTLY] [[IF NOT EXISTS] name] ON table [USING btree] (part, ...)
        [INCLUDE (column, ...)] [NULLS [NOT] DISTINCT] [WITH (option, ...)] [WHERE condition]

    part     column   (expression)   function(...)   column.field   [COLLATE "C"] [ASC | DESC] [NULLS FIRST | LAST]
    option   ttl_s = 3600    a row is gone that many seconds after the moment in the column
             multi_key       an array has an entry for each of its elements

A field is reached by dots: in a JSON column behind its name, in a collection by itself. It is looked for in each object
of an array on the way, as in documents; `(doc -> 'a' -> 'b')` and `(doc ->> 'a')` are expressions like any other, which
do not. CONCURRENTLY says nothing: no index stops writers. INCLUDE is kept in the definition and changes nothing else:
what a query needs beside the key is read from the row.
"""
from __future__ import annotations

from dataclasses import dataclass

from phantomdb.core.catalog import names
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.constraints import IndexDefinition, columns_named, create_index
from phantomdb.core.catalog.definition import FLEXIBLE_FIELDS
from phantomdb.core.catalog.objects import IndexColumn, Table
from phantomdb.core.catalog.work import Change
from phantomdb.core.query import plan
from phantomdb.core.query.errors import (
    FeatureNotSupported, InvalidParameterValue, UndefinedColumn, UndefinedObject, WrongObjectType,
)
from phantomdb.core.values import Kind
from phantomdb.frontends.sql import definitions_expressions as x
from phantomdb.frontends.sql.definitions_columns import read_collation
from phantomdb.frontends.sql.definitions_steps import Work
from phantomdb.frontends.sql.reader import Part, Reader

_PART_WORDS = {",", ")", "COLLATE", "ASC", "DESC", "NULLS"}


@dataclass(slots=True)
class _PartText:
    """One of `path`, names with dots, and `expression`."""

    path: list[str]
    expression: Part | None
    position: int
    is_descending: bool
    nulls_first: bool


@dataclass(slots=True)
class _IndexText:
    parts: list[_PartText]
    nulls_distinct: bool = True
    is_multi_key: bool = False
    ttl_s: float | None = None
    predicate: Part | None = None
    included: tuple[str, ...] = ()


def bind_create_index(work: Work, *, is_unique: bool) -> None:
    """Behind CREATE [UNIQUE] INDEX."""
    reader = work.reader
    reader.accept("CONCURRENTLY")
    may_exist = reader.accept("IF", "NOT", "EXISTS")
    name = "" if reader.word() == "ON" and not may_exist else reader.name()
    reader.expect("ON")
    reader.accept("ONLY")
    target = reader.qualified()
    table = work.names.table(target.name, target.schema, target.position)
    text = _read(reader)
    if may_exist and work.names.catalog.is_taken(table.schema, name):
        work.notice(f'relation "{name}" already exists, skipping')
        return

    def apply(catalog: Catalog) -> Change:
        of = catalog.table(table.id)
        columns = x.Columns.of(of)
        predicate = None if text.predicate is None else x.condition(work.queries, text.predicate, columns, x.PREDICATE)
        parts = tuple(_bind_part(work, of, columns, part) for part in text.parts)
        return create_index(catalog, of.id, IndexDefinition(
            parts, name or _made_name(catalog, of, parts), is_unique, text.nulls_distinct, predicate, text.is_multi_key,
            text.ttl_s, tuple(column.id for column in columns_named(of, text.included, "index"))
            if text.included else ()))

    work.add(apply)


# -------------------------------------------------------------------- reading

def _read(reader: Reader) -> _IndexText:
    if reader.accept("USING"):
        position, method = reader.position, reader.name()
        if method not in ("btree", "hash", "gin", "gist", "brin", "spgist"):
            raise UndefinedObject(f'access method "{method}" does not exist', position=position)
        if method != "btree":
            raise FeatureNotSupported(f"access method {method} is not supported; all indexes are ordered (btree)",
                                      position=position)
    reader.expect("(")
    text = _IndexText([_read_part(reader)])
    while reader.accept(","):
        text.parts.append(_read_part(reader))
    reader.expect(")")
    if reader.accept("INCLUDE"):
        text.included = reader.names()
    if reader.accept("NULLS"):
        text.nulls_distinct = not reader.accept("NOT")
        reader.expect("DISTINCT")
    if reader.accept("WITH"):
        _read_options(reader, text)
    reader.refuse("TABLESPACE")
    if reader.accept("WHERE"):
        text.predicate = reader.rest()
    reader.end()
    return text


def _read_part(reader: Reader) -> _PartText:
    position = reader.position
    path: list[str] = []
    expression = None
    if reader.word() == "(":
        expression = reader.parenthesized()
    elif reader.word(1) == "(":
        expression = reader.until(_PART_WORDS)
    else:
        path = reader.dotted()
    if reader.accept("COLLATE"):
        read_collation(reader)
    if reader.word() not in (",", ")", "ASC", "DESC", "NULLS"):
        raise reader.unsupported("an operator class")
    is_descending = reader.accept_any("ASC", "DESC") == "DESC"
    nulls_first = is_descending
    if reader.accept("NULLS"):
        nulls_first = reader.accept("FIRST")
        if not nulls_first:
            reader.expect("LAST")
    return _PartText(path, expression, position, is_descending, nulls_first)


def _read_options(reader: Reader, text: _IndexText) -> None:
    reader.expect("(")
    while True:
        position, option = reader.position, reader.name()
        if option == "ttl_s":
            reader.expect("=")
            text.ttl_s = reader.number()
        elif option == "multi_key":
            if reader.accept("="):
                text.is_multi_key = reader.accept("TRUE")
                if not text.is_multi_key:
                    reader.expect("FALSE")
            else:
                text.is_multi_key = True
        elif option in ("fillfactor", "deduplicate_items"):
            raise FeatureNotSupported(f"{option} is not supported", position=position)
        else:
            raise InvalidParameterValue(f'unrecognized parameter "{option}"', position=position)
        if not reader.accept(","):
            break
    reader.expect(")")


# -------------------------------------------------------------------- binding

def _made_name(catalog: Catalog, table: Table, parts: tuple[IndexColumn, ...]) -> str:
    """Of an index over fields, by them; "": core makes it."""
    if not any(part.path for part in parts):
        return ""
    plain = names.index_columns(table, parts)
    shown = ["_".join(map(str, part.path)) if part.path and table.is_flexible else "_".join([own, *map(str, part.path)])
             for part, own in zip(parts, plain, strict=True)]
    return names.for_relation(catalog, table, shown, "idx")


def _bind_part(work: Work, table: Table, columns: x.Columns, part: _PartText) -> IndexColumn:
    if part.expression is None:
        return _path_column(table, part, part.path)
    stored = x.indexed(work.queries, part.expression, columns)
    if isinstance(stored.bound, plan.Column):
        return IndexColumn(stored.bound.id, is_descending=part.is_descending, nulls_first=part.nulls_first)
    return IndexColumn(expression=stored, is_descending=part.is_descending, nulls_first=part.nulls_first)


def _path_column(table: Table, part: _PartText, path: list[str]) -> IndexColumn:
    column = table.column(path[0])
    if column is None and table.is_flexible:
        column, path = table.column(FLEXIBLE_FIELDS), [FLEXIBLE_FIELDS, *path]
    if column is None:
        raise UndefinedColumn(f'column "{path[0]}" does not exist', position=part.position, column=path[0],
                              table=table.name)
    if len(path) > 1 and column.type.kind not in (Kind.JSON, Kind.ANY):
        raise WrongObjectType(f'column "{path[0]}" is of type {column.type}, which has no fields',
                              position=part.position, column=path[0], table=table.name)
    return IndexColumn(column.id, path=tuple(path[1:]), is_descending=part.is_descending, nulls_first=part.nulls_first)

