"""CREATE, RENAME and DROP of databases, schemas, tables, views and sequences, as functions of the catalog.

    change = create_table(catalog, schema_id, TableDefinition("item", (ColumnDefinition("id", BIGINT), ...), (...)))

A function checks, and gives the catalog after it with the work on rows (work.py). Nothing here reads or writes rows.
Expressions come bound: a column of the table is plan.Column with the id of the column; in a new table the columns get
1, 2, 3, ... in their order.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from phantomdb.core.catalog import names
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.constraints import (
    CheckDefinition,
    ConstraintDefinition,
    KeyDefinition,
    add_constraint,
    require_columns,
    set_index_state,
)
from phantomdb.core.catalog.dependencies import columns_of, describe, drop_relations, require_cascade, tables_of
from phantomdb.core.catalog.objects import (
    DEFAULT_SCHEMA,
    ROW_ID,
    Column,
    Database,
    IndexState,
    Schema,
    Sequence,
    StoredExpression,
    Table,
    View,
)
from phantomdb.core.catalog.work import Change, RebindView, RowWork
from phantomdb.core.query import plan
from phantomdb.core.query.errors import (
    DuplicateColumn,
    DuplicateSchema,
    DuplicateTable,
    FeatureNotSupported,
    InvalidDefinition,
    InvalidParameterValue,
    ProgramLimitExceeded,
    ReservedName,
    SyntaxFailure,
    WrongObjectType,
)
from phantomdb.core.values import ANY, BIGINT, JSON, Kind, Type

MAX_TABLE_COLUMNS = 1600             # dropped ones too: their places in older records stay; as PostgreSQL
FLEXIBLE_KEY = "_id"                 # the two columns of a collection
FLEXIBLE_FIELDS = "_fields"


@dataclass(frozen=True, slots=True)
class SequenceDefinition:
    """None: as PostgreSQL has it, by the sign of the increment and the type."""

    name: str = ""                                       # of a column's sequence: nothing, and one is made
    start: int | None = None
    increment: int = 1
    minimum: int | None = None
    maximum: int | None = None
    is_cyclic: bool = False
    cache: int = 1


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """`sequence`: identity and serial columns have one; their values come from it, and they are NOT NULL."""

    name: str
    type: Type
    is_nullable: bool = True
    default: StoredExpression | None = None
    generated: StoredExpression | None = None
    identity: str = ""                                   # "always", "by default" or nothing
    sequence: SequenceDefinition | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class TableDefinition:
    name: str
    columns: tuple[ColumnDefinition, ...]
    constraints: tuple[ConstraintDefinition, ...] = ()
    is_flexible: bool = False
    validator: str = ""
    comment: str = ""


def collection(name: str, validator: str = "") -> TableDefinition:
    """A flexible table: a key of any type, and all other fields in one."""
    return TableDefinition(
        name, (ColumnDefinition(FLEXIBLE_KEY, ANY, False), ColumnDefinition(FLEXIBLE_FIELDS, JSON, False)),
        (KeyDefinition((FLEXIBLE_KEY,), is_primary=True),), is_flexible=True, validator=validator)


# -------------------------------------------------------------------- databases and schemas

def create_database(catalog: Catalog, name: str) -> Change:
    """With its schema "public". DuplicateObject."""
    database = Database(catalog.new_id(), names.checked(name))
    schema = Schema(catalog.new_id(), database.id, DEFAULT_SCHEMA)
    return Change(catalog.with_object(database).with_object(schema), created=database.id)


def drop_database(catalog: Catalog, database: int) -> Change:
    """With all that is in it."""
    work: list[RowWork] = []
    for schema in catalog.schemas(database):
        change = drop_schema(catalog, schema.id, cascade=True)
        catalog = change.catalog
        work += change.work
    return Change(catalog.without(database), tuple(work))


def create_schema(catalog: Catalog, database: int, name: str) -> Change:
    """DuplicateSchema, ReservedName."""
    schema = Schema(catalog.new_id(), database, _schema_name(name))
    return Change(catalog.with_object(schema), created=schema.id)


def rename_schema(catalog: Catalog, schema: int, name: str) -> Catalog:
    """DuplicateSchema, ReservedName."""
    of = catalog.schema_by_id(schema)
    if name == of.name:
        raise DuplicateSchema(f'schema "{name}" already exists')
    return catalog.with_object(replace(of, name=_schema_name(name)))


def drop_schema(catalog: Catalog, schema: int, cascade: bool = False) -> Change:
    """DependentObjects: it is not empty."""
    of = catalog.schema_by_id(schema)
    inside = catalog.relations(schema)
    require_cascade(cascade, f"schema {of.name}", [describe(item) for item in inside])
    change = drop_relations(catalog, [item.id for item in inside], cascade=True)
    return change._replace(catalog=change.catalog.without(schema))


def _schema_name(name: str) -> str:
    if name.startswith("pg_") or name == "information_schema":
        raise ReservedName(f'unacceptable schema name "{name}"')
    return names.checked(name)


# -------------------------------------------------------------------- tables

def create_table(catalog: Catalog, schema: int, definition: TableDefinition) -> Change:
    """The table with its sequences and constraints; no work: it has no rows. All errors of add_constraint, and
    DuplicateTable, DuplicateColumn, ProgramLimitExceeded, UndefinedSchema."""
    catalog.schema_by_id(schema)
    if len(definition.columns) > MAX_TABLE_COLUMNS:
        raise ProgramLimitExceeded(f"a table has at most {MAX_TABLE_COLUMNS} columns", table=definition.name)
    columns: list[Column] = []
    for number, column in enumerate(definition.columns, 1):
        columns.append(new_column(definition.name, columns, number, column, definition.is_flexible))
    table = Table(catalog.new_id(), schema, names.checked(definition.name), tuple(columns), (ROW_ID,),
                  tuple(column.id for column in columns), len(columns) + 1, is_flexible=definition.is_flexible,
                  validator=definition.validator, comment=definition.comment)
    for made in columns:
        check_expressions(table, made)
    catalog = catalog.with_object(table)
    for number, column in enumerate(definition.columns, 1):
        if column.sequence is not None:
            catalog = add_sequence(catalog, table.id, number, column.sequence)
    for constraint in _in_order(definition.constraints):
        change = add_constraint(catalog, table.id, constraint)
        catalog = change.catalog
        if change.created:
            catalog = set_index_state(catalog, table.id, change.created, IndexState.PUBLIC)
    return Change(catalog, created=table.id)


def _in_order(constraints: Iterable[ConstraintDefinition]) -> list[ConstraintDefinition]:
    """Primary key, unique keys, checks, foreign keys, which may need the keys; without keys that have no name and say
    what one before has said."""
    found: list[ConstraintDefinition] = []
    for item in sorted(constraints, key=_rank):
        if not (isinstance(item, KeyDefinition) and not item.name and not item.is_primary and any(
                replace(item, name=key.name, is_primary=key.is_primary) == key
                for key in found if isinstance(key, KeyDefinition))):
            found.append(item)
    return found


def _rank(item: ConstraintDefinition) -> int:
    if isinstance(item, KeyDefinition):
        return 0 if item.is_primary else 1
    return 2 if isinstance(item, CheckDefinition) else 3


def new_column(table: str, others: Iterable[Column], number: int, definition: ColumnDefinition,
               is_flexible: bool = False) -> Column:
    """DuplicateColumn, InvalidDefinition, InvalidParameterValue, SyntaxFailure."""
    name = names.checked(definition.name)
    if any(column.name == name for column in others):
        raise DuplicateColumn(f'column "{name}" specified more than once', table=table, column=name)
    if definition.type.kind is Kind.NULL or (definition.type.kind is Kind.ANY and not is_flexible):
        raise InvalidDefinition(f'column "{name}" cannot be of type {definition.type}', table=table, column=name)
    has_sequence = definition.sequence is not None
    if definition.identity not in ("", "always", "by default") or (definition.identity and not has_sequence):
        raise InvalidDefinition(f'column "{name}": no identity {definition.identity!r}', table=table, column=name)
    if has_sequence and definition.type.kind is not Kind.INT:
        raise InvalidParameterValue("identity column type must be smallint, integer, or bigint", table=table,
                                    column=name)
    if [definition.default is not None, definition.generated is not None, has_sequence].count(True) > 1:
        raise SyntaxFailure(f'multiple default values specified for column "{name}" of table "{table}"', table=table,
                            column=name)
    return Column(number, name, definition.type, definition.is_nullable and not has_sequence, definition.default,
                  definition.generated, definition.identity, comment=definition.comment)


def check_expressions(table: Table, column: Column) -> None:
    """What default and generated column may name. FeatureNotSupported, InvalidDefinition, UndefinedColumn."""
    if columns_of(column.default):
        raise FeatureNotSupported("cannot use column reference in DEFAULT expression", table=table.name,
                                  column=column.name)
    used = columns_of(column.generated)
    require_columns(table, used)
    for number in used:
        if table.column_by_id(number).generated is not None:
            raise InvalidDefinition("cannot use generated column "
                                    f'"{table.column_by_id(number).name}" in column generation expression',
                                    table=table.name, column=column.name)


# -------------------------------------------------------------------- sequences

def create_sequence(catalog: Catalog, schema: int, definition: SequenceDefinition, kind: Type = BIGINT,
                    owner: tuple[int, int] | None = None) -> Change:
    """DuplicateTable, InvalidParameterValue, UndefinedSchema."""
    catalog.schema_by_id(schema)
    named = Sequence(catalog.new_id(), schema, names.checked(definition.name), owner=owner)
    sequence = _sequence(named, definition, kind)
    return Change(catalog.with_object(sequence), created=sequence.id)


def alter_sequence(catalog: Catalog, sequence: int, definition: SequenceDefinition) -> Catalog:
    """All but name and owner as the definition says; its counter goes on. InvalidParameterValue."""
    old = catalog.sequence(sequence)
    kind = catalog.table(old.owner[0]).column_by_id(old.owner[1]).type if old.owner else BIGINT
    return catalog.with_object(_sequence(old, definition, kind))


def add_sequence(catalog: Catalog, table: int, column: int, definition: SequenceDefinition) -> Catalog:
    """Makes the sequence behind a column, which goes with the column."""
    of = catalog.table(table)
    found = of.column_by_id(column)
    if not definition.name:
        definition = replace(definition, name=names.for_relation(catalog, of, (found.name,), "seq"))
    change = create_sequence(catalog, of.schema, definition, found.type, (table, column))
    return change.catalog.with_object(replace(of, columns=tuple(
        replace(other, sequence=change.created) if other.id == column else other for other in of.columns)))


def _sequence(sequence: Sequence, definition: SequenceDefinition, kind: Type) -> Sequence:
    """A copy that counts as the definition says. InvalidParameterValue."""
    low, high = -(1 << kind.bits - 1), (1 << kind.bits - 1) - 1
    step = definition.increment
    minimum = definition.minimum if definition.minimum is not None else 1 if step > 0 else low
    maximum = definition.maximum if definition.maximum is not None else high if step > 0 else -1
    start = definition.start if definition.start is not None else minimum if step > 0 else maximum
    for is_wrong, reason in (
            (step == 0, "INCREMENT must not be zero"),
            (not low <= step <= high, f"INCREMENT ({step}) is out of range for type {kind}"),
            (not low <= minimum <= high, f"MINVALUE ({minimum}) is out of range for type {kind}"),
            (not low <= maximum <= high, f"MAXVALUE ({maximum}) is out of range for type {kind}"),
            (minimum >= maximum, f"MINVALUE ({minimum}) must be less than MAXVALUE ({maximum})"),
            (start < minimum, f"START value ({start}) cannot be less than MINVALUE ({minimum})"),
            (start > maximum, f"START value ({start}) cannot be greater than MAXVALUE ({maximum})"),
            (definition.cache < 1, f"CACHE ({definition.cache}) must be greater than zero")):
        if is_wrong:
            raise InvalidParameterValue(reason)
    return replace(sequence, start=start, increment=step, minimum=minimum, maximum=maximum,
                   is_cyclic=definition.is_cyclic, cache=definition.cache)


# -------------------------------------------------------------------- views

@dataclass(frozen=True, slots=True)
class ViewDefinition:
    name: str
    column_names: tuple[str, ...]
    column_types: tuple[Type, ...]
    text: str
    query: plan.Query
    views: tuple[int, ...] = ()                          # those named in the text; tables are found in the query


def create_view(catalog: Catalog, schema: int, definition: ViewDefinition, or_replace: bool = False) -> Change:
    """One that is replaced keeps its columns and may get more behind them; the views over it are to be bound anew.
    DuplicateTable, DuplicateColumn, InvalidDefinition, WrongObjectType, UndefinedTable."""
    catalog.schema_by_id(schema)
    for number, name in enumerate(definition.column_names):
        if names.checked(name) in definition.column_names[:number]:
            raise DuplicateColumn(f'column "{name}" specified more than once', table=definition.name, column=name)
    if len(definition.column_names) > MAX_TABLE_COLUMNS:
        raise ProgramLimitExceeded(f"a view has at most {MAX_TABLE_COLUMNS} columns", table=definition.name)
    if not len(definition.column_names) == len(definition.column_types) == len(definition.query.columns):
        raise InvalidDefinition("a view has a name and a type for each column of its query", table=definition.name)
    depends_on = tuple(sorted(tables_of(definition.query) | set(definition.views)))
    for number in depends_on:
        catalog.relation(number)
    old = catalog.find((schema,), definition.name) if or_replace else None
    if old is not None and not isinstance(old, View):
        raise WrongObjectType(f'"{old.name}" is not a view', table=old.name)
    view = View(old.id if old else catalog.new_id(), schema, names.checked(definition.name), definition.column_names,
                definition.column_types, definition.text, definition.query, depends_on)
    over: list[View] = []
    if old is not None:
        _check_replacement(old, view)
        over = _views_over(catalog, old.id)
        if view.id in depends_on or any(item.id in depends_on for item in over):
            raise InvalidDefinition(f'view "{view.name}" would be made of itself', table=view.name)
    return Change(catalog.with_object(view), tuple(RebindView(item.id) for item in over), view.id)


def _check_replacement(old: View, view: View) -> None:
    count = len(old.column_names)
    if len(view.column_names) < count:
        raise InvalidDefinition("cannot drop columns from view", table=view.name)
    for name, new, kind, new_kind in zip(old.column_names, view.column_names, old.column_types, view.column_types,
                                         strict=False):
        if name != new:
            raise InvalidDefinition(f'cannot change name of view column "{name}" to "{new}"', table=view.name)
        if kind != new_kind:
            raise InvalidDefinition(f'cannot change data type of view column "{name}" from {kind} to {new_kind}',
                                    table=view.name)


def _views_over(catalog: Catalog, number: int) -> list[View]:
    """All views over a view, each behind those it is made of."""
    found: dict[int, View] = {}
    waiting = [number]
    while waiting:
        for view in catalog.dependents(waiting.pop(0)):
            found.pop(view.id, None)                             # goes behind the one that leads to it now
            found[view.id] = view
            waiting.append(view.id)
    return list(found.values())


# -------------------------------------------------------------------- all relations

def rename_relation(catalog: Catalog, number: int, name: str) -> Catalog:
    """A table, view or sequence. DuplicateTable, UndefinedTable."""
    of = catalog.relation(number)
    if name == of.name:
        raise DuplicateTable(f'relation "{name}" already exists', table=name)
    return catalog.with_object(replace(of, name=names.checked(name)))
