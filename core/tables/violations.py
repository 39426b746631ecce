"""The errors of constraints, with PostgreSQL's words."""
from __future__ import annotations

from collections.abc import Sequence

from phantomdb.core.catalog.objects import ForeignKey, Index, Table
from phantomdb.core.query.casts import to_text
from phantomdb.core.query.errors import CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation
from phantomdb.core.values import Type, Value

SHOWN_CHARACTERS = 64                # of a value in a row that failed


def not_null(table: Table, position: int, row: Sequence[Value]) -> NotNullViolation:
    name = table.columns[position].name
    return NotNullViolation(f'null value in column "{name}" of relation "{table.name}" violates not-null constraint',
                            table=table.name, column=name, detail=_failing_row(table, row))


def check(table: Table, name: str, row: Sequence[Value]) -> CheckViolation:
    return CheckViolation(f'new row for relation "{table.name}" violates check constraint "{name}"',
                          table=table.name, constraint=name, detail=_failing_row(table, row))


def null_in_column(table: Table, position: int) -> NotNullViolation:
    """Of a row that was there before the constraint."""
    name = table.columns[position].name
    return NotNullViolation(f'column "{name}" of relation "{table.name}" contains null values', table=table.name,
                            column=name)


def check_of_some_row(table: Table, name: str) -> CheckViolation:
    """Of a row that was there before the constraint."""
    return CheckViolation(f'check constraint "{name}" of relation "{table.name}" is violated by some row',
                          table=table.name, constraint=name)


def duplicate_key(table: Table, values: Sequence[Value]) -> UniqueViolation:
    """The primary key is there already."""
    columns = [table.column_by_id(number) for number in table.primary_key]
    return _duplicate(table, table.primary_key_name, [column.name for column in columns],
                      [column.type for column in columns], values)


def duplicate_entry(table: Table, index: Index, types: Sequence[Type], values: Sequence[Value]) -> UniqueViolation:
    """A unique index has these values already."""
    names = [table.column_by_id(part.column).name if part.column is not None
             else f"({part.expression.text})" if part.expression is not None else "" for part in index.columns]
    names = [name + "".join(f"[{step!r}]" for step in part.path)
             for name, part in zip(names, index.columns, strict=True)]
    return _duplicate(table, index.name, names, types, values)


def _duplicate(table: Table, constraint: str, names: Sequence[str], types: Sequence[Type],
               values: Sequence[Value]) -> UniqueViolation:
    return UniqueViolation(f'duplicate key value violates unique constraint "{constraint}"', table=table.name,
                           constraint=constraint, detail=f"Key {_pairs(names, types, values)} already exists.")


def missing_parent(table: Table, key: ForeignKey, target: Table, values: Sequence[Value]) -> ForeignKeyViolation:
    """A row names a parent that is not there."""
    columns = [table.column_by_id(number) for number in key.columns]
    shown = _pairs([column.name for column in columns], [column.type for column in columns], values)
    return ForeignKeyViolation(
        f'insert or update on table "{table.name}" violates foreign key constraint "{key.name}"', table=table.name,
        constraint=key.name, detail=f'Key {shown} is not present in table "{target.name}".')


def still_referenced(table: Table, key: ForeignKey, target: Table, values: Sequence[Value]) -> ForeignKeyViolation:
    """A parent goes while rows of `table` name it."""
    columns = [target.column_by_id(number) for number in key.target_columns]
    shown = _pairs([column.name for column in columns], [column.type for column in columns], values)
    return ForeignKeyViolation(
        f'update or delete on table "{target.name}" violates foreign key constraint "{key.name}" on table '
        f'"{table.name}"', table=table.name, constraint=key.name,
        detail=f'Key {shown} is still referenced from table "{table.name}".')


def _pairs(names: Sequence[str], types: Sequence[Type], values: Sequence[Value]) -> str:
    shown = ["null" if value is None else to_text(value, type_) for value, type_ in zip(values, types, strict=True)]
    return f"({', '.join(names)})=({', '.join(shown)})"


def _failing_row(table: Table, row: Sequence[Value]) -> str:
    shown = []
    for column, value in zip(table.columns, row, strict=True):
        text = "null" if value is None else to_text(value, column.type)
        shown.append(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")
    return f"Failing row contains ({', '.join(shown)})."
