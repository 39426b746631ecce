"""ALTER TABLE ... ALTER COLUMN ... [SET DATA] TYPE type [COLLATE "C"] [USING expression].

All rows are written anew in the transaction of the statement, unless the new type holds every value of the old one in
the same form (a longer varchar, bigint for integer, ...). What is said of the column elsewhere in the table - default,
checks, indexes - is bound again over the new type. A view or a generated column of it is in the way.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from phantomdb.core.catalog import alteration
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.dependencies import columns_of
from phantomdb.core.catalog.objects import Check, Column, Index, IndexColumn, StoredExpression, Table
from phantomdb.core.catalog.work import Change
from phantomdb.core.query.errors import DatatypeMismatch, QueryError, UndefinedColumn, UndefinedObject
from phantomdb.core.values import Type
from phantomdb.frontends.sql import definitions_expressions as x
from phantomdb.frontends.sql.definitions_columns import read_collation
from phantomdb.frontends.sql.definitions_steps import Work
from phantomdb.frontends.sql.parse import split
from phantomdb.frontends.sql.queries import QueryBinder
from phantomdb.frontends.sql.reader import Part


@dataclass(frozen=True, slots=True)
class TypeText:
    """What stands behind TYPE."""

    column: str
    type: Type
    using: Part | None


def read_type(work: Work, column: str) -> TypeText:
    """Behind ALTER COLUMN column [SET DATA] TYPE."""
    reader = work.reader
    part = reader.until({",", "COLLATE", "USING"})
    type_, is_serial = part.type()
    if is_serial:
        raise UndefinedObject(f'type "{part.text}" does not exist', position=part.position)
    if reader.accept("COLLATE"):
        read_collation(reader)
    return TypeText(column, type_, reader.until({","}) if reader.accept("USING") else None)


def change_type(work: Work, catalog: Catalog, table: int, text: TypeText) -> Change:
    """UndefinedColumn, DatatypeMismatch, and all of alteration.change_type()."""
    of, queries = catalog.table(table), work.queries
    column = of.column(text.column)
    if column is None:
        raise UndefinedColumn(f'column "{text.column}" of relation "{of.name}" does not exist', table=of.name,
                              column=text.column)
    after = replace(of, columns=tuple(replace(other, type=text.type, default=_default(queries, other, text.type))
                                      if other is column else other for other in of.columns))
    columns = x.Columns.of(after)

    def names_it(expression: StoredExpression | None) -> bool:
        return column.id in columns_of(expression)

    def rebound_check(check: Check) -> Check:
        if not names_it(check.condition):
            return check
        return replace(check, condition=x.condition(queries, _part(check.condition), columns, x.CHECK))

    def rebound_part(part: IndexColumn) -> IndexColumn:
        if part.expression is None or not names_it(part.expression):
            return part
        return replace(part, expression=x.indexed(queries, _part(part.expression), columns))

    def rebound_index(index: Index) -> Index:
        predicate = index.predicate
        if predicate is not None and names_it(predicate):
            predicate = x.condition(queries, _part(predicate), columns, x.PREDICATE)
        return replace(index, columns=tuple(map(rebound_part, index.columns)), predicate=predicate)

    after = replace(after, checks=tuple(map(rebound_check, of.checks)), indexes=tuple(map(rebound_index, of.indexes)))
    return alteration.change_type(catalog, after, column, _conversion(queries, of, column, text))


def _default(queries: QueryBinder, column: Column, type_: Type) -> StoredExpression | None:
    if column.default is None:
        return None
    try:
        bound = queries.builder.assign(column.default.bound, type_, column.name)
    except QueryError:
        raise DatatypeMismatch(f'default for column "{column.name}" cannot be cast automatically to type {type_}',
                               column=column.name) from None
    return StoredExpression(column.default.text, bound)


def _conversion(queries: QueryBinder, table: Table, column: Column, text: TypeText) -> StoredExpression:
    """The new value of a row, over its old columns."""
    builder = queries.builder
    if text.using is not None:
        stored = x.converted(queries, text.using, x.Columns.of(table))
        return StoredExpression(stored.text, builder.assign(stored.bound, text.type, column.name,
                                                            text.using.position))
    try:
        return StoredExpression("", builder.assign(x.plan_column(column), text.type, column.name))
    except DatatypeMismatch:
        raise DatatypeMismatch(f'column "{column.name}" cannot be cast automatically to type {text.type}; say USING '
                               f"{column.name}::{text.type}", column=column.name) from None


def _part(expression: StoredExpression) -> Part:
    """The text of a stored expression, to be bound again."""
    statement = split(expression.text)[0]
    return Part(statement, statement.tokens)
