"""ALTER TABLE and COMMENT: columns are added, changed and dropped, as functions of the catalog.

A column that is added costs nothing where one value serves all rows there are: the rows stay as they are, and reading
them gives `missing`. A column that is dropped leaves its place in the records, which is skipped.
"""
from __future__ import annotations

from dataclasses import replace

from phantomdb.core.catalog import names
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.constraints import are_comparable, require_strict, without_primary_key
from phantomdb.core.catalog.definition import (
    MAX_TABLE_COLUMNS,
    ColumnDefinition,
    add_sequence,
    check_expressions,
    new_column,
)
from phantomdb.core.catalog.dependencies import (
    columns_of,
    describe,
    drop_relations,
    index_columns_of,
    require_cascade,
    uses_column,
    without_keys_to,
)
from phantomdb.core.catalog.objects import Column, StoredExpression, Table
from phantomdb.core.catalog.work import (
    Change,
    ConvertColumn,
    DropRange,
    FillColumn,
    RewriteRows,
    RowWork,
    ValidateForeignKey,
    ValidateNotNull,
)
from phantomdb.core.query import plan
from phantomdb.core.query.errors import (
    DatatypeMismatch,
    DuplicateColumn,
    FeatureNotSupported,
    InvalidDefinition,
    ProgramLimitExceeded,
    SyntaxFailure,
    UndefinedColumn,
)
from phantomdb.core.values import Kind, Type, Value

DROPPED = 0                          # in Table.record_columns


def add_column(catalog: Catalog, table: int, definition: ColumnDefinition, missing: Value = None, *,
               fill: bool = False) -> Change:
    """`missing`: the value of the default, for the rows that are there. `fill`: the default has another value for each
    row. Its constraints are added afterwards. DuplicateColumn, ProgramLimitExceeded, and all of create_table."""
    of = catalog.table(table)
    require_strict(of)
    if of.column(definition.name) is not None:
        raise DuplicateColumn(f'column "{definition.name}" of relation "{of.name}" already exists', table=of.name,
                              column=definition.name)
    kept = len(of.record_columns) + (0 if of.has_hidden_key else len(of.primary_key))
    if kept >= MAX_TABLE_COLUMNS:
        raise ProgramLimitExceeded(f"a table has at most {MAX_TABLE_COLUMNS} columns, dropped ones included",
                                   table=of.name)
    fill = fill or definition.generated is not None or definition.sequence is not None
    column = replace(new_column(of.name, of.columns, of.next_column_id, definition),
                     missing=None if fill else missing)
    after = replace(of, columns=(*of.columns, column), record_columns=(*of.record_columns, column.id),
                    next_column_id=column.id + 1)
    check_expressions(after, column)
    catalog = catalog.with_object(after)
    if definition.sequence is not None:
        catalog = add_sequence(catalog, table, column.id, definition.sequence)
    work: list[RowWork] = [FillColumn(table, column.id)] if fill else []
    if not column.is_nullable and column.missing is None:
        work.append(ValidateNotNull(table, column.id))
    return Change(catalog, tuple(work), column.id)


def drop_column(catalog: Catalog, table: int, name: str, cascade: bool = False) -> Change:
    """With the indexes, checks, keys and foreign keys of the table that have it among their columns.
    UndefinedColumn; DependentObjects: a view, a generated column or another table's foreign key needs it."""
    of = catalog.table(table)
    require_strict(of)
    column = _column(of, name)
    what = f"column {name} of table {of.name}"
    generated = [other for other in of.columns if column.id in columns_of(other.generated)]
    views = [view for view in catalog.dependents(table) if uses_column(view, table, column.id)]
    require_cascade(cascade, what, [f"column {other.name} of table {of.name}" for other in generated]
                    + [describe(view) for view in views])
    work: list[RowWork] = []
    if views:
        catalog = drop_relations(catalog, [view.id for view in views], cascade=True).catalog
    for other in generated:
        change = drop_column(catalog, table, other.name, cascade=True)
        catalog, work = change.catalog, [*work, *change.work]

    of = catalog.table(table)
    after = without_primary_key(of) if column.id in of.primary_key else of
    lost = [index for index in of.indexes if column.id in index_columns_of(index)]
    record_columns = tuple(DROPPED if number == column.id else number for number in after.record_columns)
    if after is not of:                                          # all rows are written anew
        record_columns = tuple(number for number in record_columns if number != DROPPED)
    after = replace(
        after, columns=tuple(other for other in of.columns if other.id != column.id), record_columns=record_columns,
        indexes=tuple(index for index in of.indexes if index not in lost),
        checks=tuple(check for check in of.checks if column.id not in columns_of(check.condition)),
        foreign_keys=tuple(key for key in of.foreign_keys if column.id not in key.columns))
    work += [DropRange(index.id) for index in lost]
    if after.primary_key != of.primary_key:
        work.append(RewriteRows(of, after))
    catalog = without_keys_to(catalog.with_object(after), after, cascade, what)
    owned = [item.id for item in catalog.owned_sequences(table) if item.owner == (table, column.id)]
    change = drop_relations(catalog, owned, cascade)
    return Change(change.catalog, (*work, *change.work))


def rename_column(catalog: Catalog, table: int, name: str, new_name: str) -> Catalog:
    """UndefinedColumn, DuplicateColumn, ProgramLimitExceeded."""
    of = catalog.table(table)
    require_strict(of)
    column = _column(of, name)
    if of.column(names.checked(new_name)) is not None:
        raise DuplicateColumn(f'column "{new_name}" of relation "{of.name}" already exists', table=of.name,
                              column=new_name)
    return _with_column(catalog, of, replace(column, name=new_name))


def set_default(catalog: Catalog, table: int, name: str, default: StoredExpression | None) -> Catalog:
    """None: no default any more. The rows that are there keep what they have. UndefinedColumn, SyntaxFailure,
    FeatureNotSupported."""
    of = catalog.table(table)
    column = _column(of, name)
    if column.generated is not None or column.identity:
        kind = "a generated" if column.generated else "an identity"
        raise SyntaxFailure(f'column "{name}" of relation "{of.name}" is {kind} column', table=of.name, column=name)
    after = replace(column, default=default, sequence=None)
    check_expressions(of, after)
    return _with_column(catalog, of, after)


def set_not_null(catalog: Catalog, table: int, name: str) -> Change:
    """UndefinedColumn."""
    of = catalog.table(table)
    column = _column(of, name)
    if not column.is_nullable:
        return Change(catalog)
    return Change(_with_column(catalog, of, replace(column, is_nullable=False)), (ValidateNotNull(table, column.id),))


def drop_not_null(catalog: Catalog, table: int, name: str) -> Catalog:
    """UndefinedColumn; InvalidDefinition: it belongs to the primary key; SyntaxFailure: it is an identity."""
    of = catalog.table(table)
    column = _column(of, name)
    if column.id in of.primary_key:
        raise InvalidDefinition(f'column "{name}" is in a primary key', table=of.name, column=name)
    if column.identity:
        raise SyntaxFailure(f'column "{name}" of relation "{of.name}" is an identity column', table=of.name,
                            column=name)
    return _with_column(catalog, of, replace(column, is_nullable=True))


def change_type(catalog: Catalog, after: Table, column: Column, conversion: StoredExpression) -> Change:
    """`after`: the table with the new type and all expressions over the column bound to it; `column`: as it was.
    `conversion`: see ConvertColumn. FeatureNotSupported: a view or a generated column is made of it; InvalidDefinition:
    an identity that would be no whole number; DatatypeMismatch: a foreign key would not fit."""
    of = catalog.table(after.id)
    require_strict(of)
    changed = after.column_by_id(column.id)
    users = [describe(view) for view in catalog.dependents(of.id) if uses_column(view, of.id, column.id)]
    users += [f"column {other.name}" for other in of.columns if column.id in columns_of(other.generated)]
    if users:
        raise FeatureNotSupported(f'cannot alter type of column "{column.name}": {", ".join(users)} is made of it',
                                  table=of.name, column=column.name)
    if column.generated is not None:
        raise FeatureNotSupported("changing the type of a generated column", table=of.name, column=column.name)
    if (column.identity or column.sequence is not None) and changed.type.kind is not Kind.INT:
        raise InvalidDefinition(f'column "{column.name}" takes its values from a sequence: its type must be smallint, '
                                "integer or bigint", table=of.name, column=column.name)
    keys = [(user, key) for user, key in catalog.referencing(of.id) if column.id in key.target_columns]
    for user, key in [*keys, *((of, key) for key in of.foreign_keys if column.id in key.columns)]:
        target = after if key.target == of.id else catalog.table(key.target)
        child = after if user.id == of.id else user
        for number, other in zip(key.columns, key.target_columns, strict=True):
            a, b = child.column_by_id(number), target.column_by_id(other)
            if not are_comparable(a.type, b.type):
                raise DatatypeMismatch(f'foreign key constraint "{key.name}" cannot be implemented: "{a.name}" would '
                                       f'be of type {a.type}, "{b.name}" of type {b.type}', table=user.name,
                                       constraint=key.name)
    if isinstance(conversion.bound, plan.Column) or (isinstance(conversion.bound, plan.Cast) and isinstance(
            conversion.bound.argument, plan.Column) and _holds_all_of(changed.type, column.type)):
        return Change(catalog.with_object(after))
    after = _with_all_stored(after, changed)
    return Change(catalog.with_object(after), (ConvertColumn(of, after, column.id, conversion),
                                               *(ValidateForeignKey(user.id, key.name) for user, key in keys
                                                 if user.id != of.id)))


def _with_all_stored(table: Table, column: Column) -> Table:
    """Every row is written anew, so that none is without a value."""
    return replace(table, columns=tuple(replace(other, missing=None) if other is column else other
                                        for other in table.columns))


def _holds_all_of(new: Type, old: Type) -> bool:
    """Whether every value of the old type is one of the new type, stored in the same form."""
    if new.kind is not old.kind or new.is_padded or old.is_padded:
        return False
    match new.kind:
        case Kind.TEXT:
            return new.length is None or (old.length is not None and old.length <= new.length)
        case Kind.INT:
            return old.bits <= new.bits
        case Kind.DECIMAL:
            return new.precision is None or (old.precision is not None and old.scale == new.scale
                                             and old.precision <= new.precision)
    return False


def set_comment(catalog: Catalog, table: int, comment: str, column: str | None = None) -> Catalog:
    """Of the table or one of its columns; "" removes it. UndefinedColumn."""
    of = catalog.table(table)
    if column is None:
        return catalog.with_object(replace(of, comment=comment))
    return _with_column(catalog, of, replace(_column(of, column), comment=comment))


def set_validator(catalog: Catalog, table: int, validator: str) -> Catalog:
    """JSON Schema text for the documents written from now on; "" for none. InvalidDefinition: no collection."""
    of = catalog.table(table)
    if not of.is_flexible:
        raise InvalidDefinition(f'table "{of.name}" is no collection', table=of.name)
    return catalog.with_object(replace(of, validator=validator))


def _column(table: Table, name: str) -> Column:
    """UndefinedColumn."""
    column = table.column(name)
    if column is None:
        raise UndefinedColumn(f'column "{name}" of relation "{table.name}" does not exist', table=table.name,
                              column=name)
    return column


def _with_column(catalog: Catalog, table: Table, column: Column) -> Catalog:
    return catalog.with_object(replace(table, columns=tuple(
        column if other.id == column.id else other for other in table.columns)))
