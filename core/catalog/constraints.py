"""Keys, checks, foreign keys and indexes of a table: made, dropped, renamed.

    change = add_constraint(catalog, table_id, KeyDefinition(("a", "b"), is_primary=True))

Each function takes a catalog and gives a Change: the catalog after it, and the work on the rows that are there.
A UNIQUE constraint is a unique index that is marked as one.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from phantomdb.core.catalog import names
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.dependencies import columns_of, is_key, without_keys_to
from phantomdb.core.catalog.objects import (
    ROW_ID,
    Action,
    Check,
    Column,
    ForeignKey,
    Index,
    IndexColumn,
    IndexState,
    StoredExpression,
    Table,
)
from phantomdb.core.catalog.work import (
    BuildIndex,
    Change,
    DropRange,
    RewriteRows,
    ValidateCheck,
    ValidateForeignKey,
)
from phantomdb.core.query.errors import (
    DatatypeMismatch,
    DependentObjects,
    DuplicateColumn,
    DuplicateObject,
    InvalidDefinition,
    InvalidForeignKey,
    ProgramLimitExceeded,
    UndefinedColumn,
    UndefinedObject,
    WrongObjectType,
)
from phantomdb.core.values import Kind, Type

MAX_KEY_COLUMNS = 32                 # of an index, a key or a foreign key; as PostgreSQL
SELF = 0                             # ForeignKeyDefinition.target: the table itself


@dataclass(frozen=True, slots=True)
class KeyDefinition:
    """PRIMARY KEY or UNIQUE (columns)."""

    columns: tuple[str, ...]
    name: str = ""                                       # nothing: one is made
    is_primary: bool = False
    is_deferrable: bool = False
    is_deferred: bool = False
    nulls_distinct: bool = True


@dataclass(frozen=True, slots=True)
class CheckDefinition:
    condition: StoredExpression
    name: str = ""


@dataclass(frozen=True, slots=True)
class ForeignKeyDefinition:
    columns: tuple[str, ...]
    target: int                                          # id of the table, or SELF
    target_columns: tuple[str, ...] = ()                 # none: its primary key
    name: str = ""
    on_delete: Action = Action.NO_ACTION
    on_update: Action = Action.NO_ACTION
    is_deferrable: bool = False
    is_deferred: bool = False


ConstraintDefinition = KeyDefinition | CheckDefinition | ForeignKeyDefinition


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """CREATE INDEX: columns by id, see objects.IndexColumn."""

    columns: tuple[IndexColumn, ...]
    name: str = ""
    is_unique: bool = False
    nulls_distinct: bool = True
    predicate: StoredExpression | None = None
    is_multi_key: bool = False
    ttl_s: float | None = None
    included: tuple[int, ...] = ()


# -------------------------------------------------------------------- adding

def add_constraint(catalog: Catalog, table: int, definition: ConstraintDefinition) -> Change:
    """UndefinedColumn, DuplicateColumn, DuplicateObject, DuplicateTable, InvalidDefinition, InvalidForeignKey,
    DatatypeMismatch, ProgramLimitExceeded."""
    of = catalog.table(table)
    if definition.name and names.checked(definition.name) in names.constraint_names(of):
        raise DuplicateObject(f'constraint "{definition.name}" for relation "{of.name}" already exists', table=of.name,
                              constraint=definition.name)
    if isinstance(definition, CheckDefinition):
        return _add_check(catalog, of, definition)
    if isinstance(definition, ForeignKeyDefinition):
        return _add_foreign_key(catalog, of, definition)
    return _add_primary_key(catalog, of, definition) if definition.is_primary else _add_unique(catalog, of, definition)


def _add_primary_key(catalog: Catalog, table: Table, definition: KeyDefinition) -> Change:
    if not table.has_hidden_key:
        raise InvalidDefinition(f'multiple primary keys for table "{table.name}" are not allowed', table=table.name)
    if definition.is_deferrable or definition.is_deferred:
        raise InvalidDefinition("a primary key cannot be deferrable: rows are stored by it", table=table.name)
    key = tuple(column.id for column in columns_named(table, definition.columns, "primary key constraint"))
    name = definition.name or names.for_relation(catalog, table, (), "pkey")
    after = replace(
        table, primary_key=key, primary_key_name=name,
        columns=tuple(replace(column, is_nullable=False) if column.id in key else column for column in table.columns),
        record_columns=tuple(column.id for column in table.columns if column.id not in key))
    return Change(catalog.with_object(after), (RewriteRows(table, after),))


def _add_unique(catalog: Catalog, table: Table, definition: KeyDefinition) -> Change:
    columns = columns_named(table, definition.columns, "unique constraint")
    name = definition.name or names.for_relation(catalog, table, definition.columns, "key")
    index = Index(catalog.new_id(), name, tuple(IndexColumn(column.id) for column in columns), is_unique=True,
                  is_constraint=True, is_deferrable=definition.is_deferrable, is_deferred=definition.is_deferred,
                  nulls_distinct=definition.nulls_distinct, state=IndexState.WRITE_ONLY)
    return Change(catalog.with_object(table.with_index(index)), (BuildIndex(table.id, index.id),), index.id)


def _add_check(catalog: Catalog, table: Table, definition: CheckDefinition) -> Change:
    condition = definition.condition
    if condition.bound.type.kind not in (Kind.BOOL, Kind.NULL):
        raise DatatypeMismatch(f"argument of CHECK must be type boolean, not type {condition.bound.type}",
                               table=table.name)
    used = columns_of(condition)
    require_columns(table, used)
    name = definition.name or names.for_constraint(
        table, [table.column_by_id(column).name for column in used] if len(used) == 1 else (), "check")
    after = replace(table, checks=(*table.checks, Check(name, condition)))
    return Change(catalog.with_object(after), (ValidateCheck(table.id, name),))


def _add_foreign_key(catalog: Catalog, table: Table, definition: ForeignKeyDefinition) -> Change:
    target = catalog.table(definition.target) if definition.target != SELF else table
    columns = columns_named(table, definition.columns, "foreign key constraint", may_repeat=True)
    if definition.target_columns:
        target_columns = columns_named(target, definition.target_columns, "foreign key constraint")
    elif target.has_hidden_key:
        raise UndefinedObject(f'there is no primary key for referenced table "{target.name}"', table=table.name)
    else:
        target_columns = [target.column_by_id(number) for number in target.primary_key]
    name = definition.name or names.for_constraint(table, definition.columns, "fkey")

    def refuse(reason: str) -> InvalidForeignKey:
        return InvalidForeignKey(reason, table=table.name, constraint=name)

    if len(columns) != len(target_columns):
        raise refuse("number of referencing and referenced columns for foreign key disagree")
    if catalog.schema_by_id(target.schema).database != catalog.schema_by_id(table.schema).database:
        raise refuse(f'table "{target.name}" is in another database')
    if not is_key(target, (column.id for column in target_columns)):
        raise refuse(f'there is no unique constraint matching given keys for referenced table "{target.name}"')
    for column, other in zip(columns, target_columns, strict=True):
        if not are_comparable(column.type, other.type):
            raise DatatypeMismatch(
                f'foreign key constraint "{name}" cannot be implemented: key columns "{column.name}" and '
                f'"{other.name}" are of incompatible types: {column.type} and {other.type}',
                table=table.name, column=column.name, constraint=name)
        for action in (definition.on_delete, definition.on_update):
            if column.generated and (action in (Action.SET_NULL, Action.SET_DEFAULT)
                                     or definition.on_update is Action.CASCADE):
                raise InvalidDefinition(f'the action of foreign key "{name}" would write generated column '
                                        f'"{column.name}"', table=table.name, column=column.name, constraint=name)
    key = ForeignKey(name, tuple(column.id for column in columns), target.id,
                     tuple(column.id for column in target_columns), definition.on_delete, definition.on_update,
                     definition.is_deferrable, definition.is_deferred)
    after = replace(table, foreign_keys=(*table.foreign_keys, key))
    return Change(catalog.with_object(after), (ValidateForeignKey(table.id, name),))


def create_index(catalog: Catalog, table: int, definition: IndexDefinition) -> Change:
    """The index is WRITE_ONLY until it is built. UndefinedColumn, DuplicateTable, InvalidDefinition,
    ProgramLimitExceeded."""
    of = catalog.table(table)
    _check_count(definition.columns, "an index", of)
    require_columns(of, columns_of(definition.predicate) | set(definition.included))
    for part in definition.columns:
        if (part.column is None) == (part.expression is None):
            raise InvalidDefinition("a part of an index is either a column or an expression", table=of.name)
        require_columns(of, columns_of(part.expression) if part.column is None else {part.column})
        if part.path and part.column and of.column_by_id(part.column).type.kind not in (Kind.JSON, Kind.ANY):
            raise InvalidDefinition("only a JSON column has paths", table=of.name)
    if definition.predicate and definition.predicate.bound.type.kind is not Kind.BOOL:
        raise DatatypeMismatch("argument of WHERE must be type boolean", table=of.name)
    if definition.ttl_s is not None:
        _check_ttl(of, definition)
    name = names.checked(definition.name) if definition.name else names.for_relation(
        catalog, of, names.index_columns(of, definition.columns), "idx")
    index = Index(catalog.new_id(), name, definition.columns, is_unique=definition.is_unique,
                  nulls_distinct=definition.nulls_distinct, predicate=definition.predicate,
                  is_multi_key=definition.is_multi_key, ttl_s=definition.ttl_s, state=IndexState.WRITE_ONLY,
                  included=definition.included)
    return Change(catalog.with_object(of.with_index(index)), (BuildIndex(of.id, index.id),), index.id)


def _check_ttl(table: Table, definition: IndexDefinition) -> None:
    (part, *others) = definition.columns
    kind = part.expression.bound.type if part.expression else table.column_by_id(part.column or 0).type
    may_be_moment = kind.is_moment or kind.kind is Kind.ANY or part.path     # what a field is, its value tells
    if others or not may_be_moment:
        raise InvalidDefinition("an index with a time to live has one column, a date or a timestamp", table=table.name)
    if not (definition.ttl_s or 0) >= 0:
        raise InvalidDefinition("the time to live must not be negative", table=table.name)


def set_index_state(catalog: Catalog, table: int, index: int, state: IndexState) -> Catalog:
    """UndefinedObject."""
    of = catalog.table(table)
    found = next((item for item in of.indexes if item.id == index), None)
    if found is None:
        raise UndefinedObject(f"index {index} does not exist", table=of.name)
    return catalog.with_object(of.with_index(replace(found, state=state)))


# -------------------------------------------------------------------- dropping and renaming

def drop_index(catalog: Catalog, table: int, name: str, cascade: bool = False) -> Change:
    """UndefinedObject; DependentObjects: it is a constraint, or foreign keys need it."""
    of = catalog.table(table)
    index = of.index(name)
    if name == of.primary_key_name or (index and index.is_constraint):
        raise DependentObjects(f"cannot drop index {name} because constraint {name} on table {of.name} requires it",
                               table=of.name, constraint=name)
    if index is None:
        raise UndefinedObject(f'index "{name}" does not exist', table=of.name)
    return _drop_index(catalog, of, index, cascade, f"index {name}")


def drop_constraint(catalog: Catalog, table: int, name: str, cascade: bool = False) -> Change:
    """UndefinedObject; DependentObjects: foreign keys need it."""
    of = catalog.table(table)
    what = f"constraint {name} on table {of.name}"
    index = of.index(name)
    if index and index.is_constraint:
        return _drop_index(catalog, of, index, cascade, what)
    if name and name == of.primary_key_name:
        after = without_primary_key(of)
        return Change(without_keys_to(catalog.with_object(after), after, cascade, what),
                      (RewriteRows(of, after),))
    after = replace(of, checks=tuple(check for check in of.checks if check.name != name),
                    foreign_keys=tuple(key for key in of.foreign_keys if key.name != name))
    if after == of:
        raise UndefinedObject(f'constraint "{name}" of relation "{of.name}" does not exist', table=of.name)
    return Change(catalog.with_object(after))


def without_primary_key(table: Table) -> Table:
    """The table with hidden keys."""
    return replace(table, primary_key=(ROW_ID,), primary_key_name="",
                   record_columns=tuple(column.id for column in table.columns))


def _drop_index(catalog: Catalog, table: Table, index: Index, cascade: bool, what: str) -> Change:
    after = replace(table, indexes=tuple(other for other in table.indexes if other.id != index.id))
    return Change(without_keys_to(catalog.with_object(after), after, cascade, what), (DropRange(index.id),))


def rename_constraint(catalog: Catalog, table: int, name: str, new_name: str) -> Catalog:
    """Also the index of a key. UndefinedObject, DuplicateObject, DuplicateTable."""
    of = catalog.table(table)
    taken = names.constraint_names(of)
    if name not in taken:
        raise UndefinedObject(f'constraint "{name}" of relation "{of.name}" does not exist', table=of.name)
    if names.checked(new_name) in taken:
        raise DuplicateObject(f'constraint "{new_name}" for relation "{of.name}" already exists', table=of.name,
                              constraint=new_name)
    return catalog.with_object(_with_renamed_index(replace(
        of, checks=tuple(replace(check, name=new_name) if check.name == name else check for check in of.checks),
        foreign_keys=tuple(replace(key, name=new_name) if key.name == name else key for key in of.foreign_keys)),
        name, new_name, only_constraints=True))


def rename_index(catalog: Catalog, table: int, name: str, new_name: str) -> Catalog:
    """Also the constraint, where it is one. UndefinedObject, DuplicateTable, DuplicateObject."""
    of = catalog.table(table)
    index = of.index(name)
    if (name and name == of.primary_key_name) or (index and index.is_constraint):
        return rename_constraint(catalog, table, name, new_name)
    if index is None:
        raise UndefinedObject(f'index "{name}" does not exist', table=of.name)
    return catalog.with_object(_with_renamed_index(of, name, names.checked(new_name)))


def _with_renamed_index(table: Table, name: str, new_name: str, only_constraints: bool = False) -> Table:
    return replace(
        table, primary_key_name=new_name if table.primary_key_name == name else table.primary_key_name,
        indexes=tuple(replace(index, name=new_name)
                      if index.name == name and (index.is_constraint or not only_constraints) else index
                      for index in table.indexes))


# -------------------------------------------------------------------- checks that several need

def columns_named(table: Table, given: Sequence[str], what: str, *, may_repeat: bool = False) -> list[Column]:
    """The columns of a key. UndefinedColumn, DuplicateColumn, ProgramLimitExceeded."""
    _check_count(given, f"a {what}", table)
    found: list[Column] = []
    for name in given:
        column = table.column(name)
        if column is None:
            raise UndefinedColumn(f'column "{name}" named in key does not exist', table=table.name, column=name)
        if column in found and not may_repeat:
            raise DuplicateColumn(f'column "{name}" appears twice in {what}', table=table.name, column=name)
        found.append(column)
    return found


def _check_count(columns: Sequence[object], what: str, table: Table) -> None:
    if not columns:
        raise InvalidDefinition(f"{what} needs a column", table=table.name)
    if len(columns) > MAX_KEY_COLUMNS:
        raise ProgramLimitExceeded(f"{what} has at most {MAX_KEY_COLUMNS} columns, not {len(columns)}",
                                   table=table.name)


def require_columns(table: Table, ids: Iterable[int]) -> None:
    """UndefinedColumn."""
    there = {column.id for column in table.columns}
    for number in ids:
        if number not in there:
            raise UndefinedColumn(f'column {number} of relation "{table.name}" does not exist', table=table.name)


def are_comparable(a: Type, b: Type) -> bool:
    """Whether values of both may be equal."""
    if Kind.ANY in (a.kind, b.kind):
        return True
    if a.kind is Kind.ARRAY and b.kind is Kind.ARRAY and a.element and b.element:
        return are_comparable(a.element, b.element)
    return a.kind is b.kind or (a.is_number and b.is_number) or (a.is_moment and b.is_moment)


def require_strict(table: Table) -> None:
    """WrongObjectType: a collection's fields have no definition to change."""
    if table.is_flexible:
        raise WrongObjectType(f'"{table.name}" is a collection: its fields are not defined', table=table.name)
