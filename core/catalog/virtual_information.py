"""information_schema: the views of the SQL standard, as far as they say something here."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phantomdb.core.catalog import virtual_objects as o
from phantomdb.core.catalog.objects import Column, Schema, Sequence, Table, View
from phantomdb.core.catalog.virtual_table import Row, VirtualContext, table
from phantomdb.core.catalog.virtual_types import TYPES, type_oid
from phantomdb.core.values import Kind, Type

_CONSTRAINT_KINDS = {"p": "PRIMARY KEY", "u": "UNIQUE", "c": "CHECK", "f": "FOREIGN KEY"}
_BYTES_PER_CHARACTER = 4                 # of UTF-8, at most
_MAX_TEXT_BYTES = 1 << 30                # as PostgreSQL says of text


@table("information_schema.schemata", """catalog_name name, schema_name name, schema_owner name,
    default_character_set_catalog name, default_character_set_schema name, default_character_set_name name, sql_path
    text""")
def _schemata(context: VirtualContext) -> Iterator[Row]:
    names = ["pg_catalog", "information_schema", *(item.name for item in o.schemas(context.catalog, context.database))]
    for name in names:
        yield {"catalog_name": context.database, "schema_name": name, "schema_owner": context.user}


@table("information_schema.tables", """table_catalog name, table_schema name, table_name name, table_type text,
    self_referencing_column_name name, reference_generation text, user_defined_type_catalog name,
    user_defined_type_schema name, user_defined_type_name name, is_insertable_into text, is_typed text=NO,
    commit_action text""")
def _tables(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.relations(context.catalog, context.database):
        if not isinstance(item, Sequence):
            is_view = isinstance(item, View)
            yield _place(context, schema, item.name) | {
                "table_type": "VIEW" if is_view else "BASE TABLE", "is_insertable_into": "NO" if is_view else "YES"}


@table("information_schema.columns", """table_catalog name, table_schema name, table_name name, column_name name,
    ordinal_position int, column_default text, is_nullable text, data_type text, character_maximum_length int,
    character_octet_length int, numeric_precision int, numeric_precision_radix int, numeric_scale int,
    datetime_precision int, interval_type text, interval_precision int, character_set_catalog name,
    character_set_schema name, character_set_name name, collation_catalog name, collation_schema name, collation_name
    name, domain_catalog name, domain_schema name, domain_name name, udt_catalog name, udt_schema name=pg_catalog,
    udt_name name, scope_catalog name, scope_schema name, scope_name name, maximum_cardinality int, dtd_identifier
    text, is_self_referencing text=NO, is_identity text=NO, identity_generation text, identity_start text,
    identity_increment text, identity_maximum text, identity_minimum text, identity_cycle text=NO, is_generated
    text=NEVER, generation_expression text, is_updatable text""")
def _columns(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.relations(context.catalog, context.database):
        place = _place(context, schema, item.name)
        if isinstance(item, View):
            for number, (name, type_) in enumerate(zip(item.column_names, item.column_types, strict=True), 1):
                yield place | _column(context, name, number, type_) | {"is_nullable": "YES", "is_updatable": "NO"}
        elif isinstance(item, Table):
            for column in item.columns:
                yield place | _column(context, column.name, column.id, column.type) | _properties(context, column)


def _place(context: VirtualContext, schema: Schema, table_name: str) -> dict[str, Any]:
    return {"table_catalog": context.database, "table_schema": schema.name, "table_name": table_name}


def _column(context: VirtualContext, name: str, number: int, type_: Type) -> dict[str, Any]:
    row = TYPES[type_oid(type_)]
    made: dict[str, Any] = {"column_name": name, "ordinal_position": number, "dtd_identifier": str(number),
                            "data_type": "ARRAY" if row.element else row.shown, "udt_catalog": context.database,
                            "udt_name": row.name}
    if type_.kind is Kind.TEXT:
        made["character_maximum_length"] = type_.length
        made["character_octet_length"] = type_.length * _BYTES_PER_CHARACTER if type_.length else _MAX_TEXT_BYTES
    elif type_.kind is Kind.INT:
        made |= {"numeric_precision": type_.bits, "numeric_precision_radix": 2, "numeric_scale": 0}
    elif type_.kind is Kind.FLOAT:
        made |= {"numeric_precision": {32: 24, 64: 53}[type_.bits], "numeric_precision_radix": 2}
    elif type_.kind is Kind.DECIMAL:
        made |= {"numeric_precision": type_.precision, "numeric_precision_radix": 10, "numeric_scale": type_.scale}
    elif type_.kind in (Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.INTERVAL, Kind.DATE):
        made["datetime_precision"] = 0 if type_.kind is Kind.DATE else 6
    return made


def _properties(context: VirtualContext, column: Column) -> dict[str, Any]:
    made: dict[str, Any] = {"is_nullable": "YES" if column.is_nullable else "NO", "is_updatable": "YES",
                            "column_default": o.default_of(context.catalog, column)}
    if column.generated is not None:
        made |= {"is_generated": "ALWAYS", "generation_expression": column.generated.text}
    if column.identity and column.sequence is not None:
        of = context.catalog.sequence(column.sequence)
        made |= {"is_identity": "YES", "identity_generation": column.identity.upper(), "identity_start": str(of.start),
                 "identity_increment": str(of.increment), "identity_maximum": str(of.maximum),
                 "identity_minimum": str(of.minimum), "identity_cycle": "YES" if of.is_cyclic else "NO"}
    return made


@table("information_schema.views", """table_catalog name, table_schema name, table_name name, view_definition text,
    check_option text=NONE, is_updatable text=NO, is_insertable_into text=NO, is_trigger_updatable text=NO,
    is_trigger_deletable text=NO, is_trigger_insertable_into text=NO""")
def _views(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.relations(context.catalog, context.database):
        if isinstance(item, View):
            yield _place(context, schema, item.name) | {"view_definition": o.view_definition(item)}


@table("information_schema.sequences", """sequence_catalog name, sequence_schema name, sequence_name name, data_type
    text=bigint, numeric_precision int=64, numeric_precision_radix int=2, numeric_scale int=0, start_value text,
    minimum_value text, maximum_value text, increment text, cycle_option text""")
def _sequences(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.relations(context.catalog, context.database):
        if isinstance(item, Sequence):
            yield {"sequence_catalog": context.database, "sequence_schema": schema.name, "sequence_name": item.name,
                   "start_value": str(item.start), "minimum_value": str(item.minimum),
                   "maximum_value": str(item.maximum),
                   "increment": str(item.increment), "cycle_option": "YES" if item.is_cyclic else "NO"}


# -------------------------------------------------------------------- constraints

@table("information_schema.table_constraints", """constraint_catalog name, constraint_schema name, constraint_name
    name, table_catalog name, table_schema name, table_name name, constraint_type text, is_deferrable text,
    initially_deferred text, enforced text=YES, nulls_distinct text""")
def _table_constraints(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.tables(context.catalog, context.database):
        for constraint in o.constraints_of(context.catalog, item):
            yield _named(context, schema, constraint.name) | _place(context, schema, item.name) | {
                "constraint_type": _CONSTRAINT_KINDS[constraint.kind],
                "is_deferrable": "YES" if constraint.is_deferrable else "NO",
                "initially_deferred": "YES" if constraint.is_deferred else "NO",
                "nulls_distinct": None if constraint.kind != "u" else "YES" if constraint.nulls_distinct else "NO"}
        for column in item.columns:
            if not column.is_nullable:
                yield _named(context, schema, _not_null(item, column)) | _place(context, schema, item.name) | {
                    "constraint_type": "CHECK", "is_deferrable": "NO", "initially_deferred": "NO"}


def _named(context: VirtualContext, schema: Schema, name: str) -> dict[str, Any]:
    return {"constraint_catalog": context.database, "constraint_schema": schema.name, "constraint_name": name}


def _not_null(of: Table, column: Column) -> str:
    """The standard has NOT NULL as a check; the name is made as PostgreSQL makes it."""
    return f"{of.schema}_{of.id}_{column.id}_not_null"


@table("information_schema.key_column_usage", """constraint_catalog name, constraint_schema name, constraint_name
    name, table_catalog name, table_schema name, table_name name, column_name name, ordinal_position int,
    position_in_unique_constraint int""")
def _key_columns(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.tables(context.catalog, context.database):
        for constraint in o.constraints_of(context.catalog, item):
            if constraint.kind == "c":
                continue
            for position, number in enumerate(constraint.columns, 1):
                yield _named(context, schema, constraint.name) | _place(context, schema, item.name) | {
                    "column_name": item.column_by_id(number).name, "ordinal_position": position,
                    "position_in_unique_constraint": _position_in_key(context, constraint, position - 1)}


def _position_in_key(context: VirtualContext, constraint: o.Constraint, place: int) -> int | None:
    """Where the column that a foreign key's column refers to stands in the key there."""
    if constraint.key is None:
        return None
    target = context.catalog.table(constraint.key.target)
    behind = o.constraint_behind(context.catalog, constraint.key)
    for other in o.constraints_of(context.catalog, target):
        if other.name == behind:
            return other.columns.index(constraint.key.target_columns[place]) + 1
    return None


@table("information_schema.constraint_column_usage", """table_catalog name, table_schema name, table_name name,
    column_name name, constraint_catalog name, constraint_schema name, constraint_name name""")
def _column_usage(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.tables(context.catalog, context.database):
        for constraint in o.constraints_of(context.catalog, item):
            of, columns = item, constraint.columns
            if constraint.key is not None:                   # the columns it refers to
                of, columns = context.catalog.table(constraint.key.target), constraint.key.target_columns
            place = _place(context, context.catalog.schema_by_id(of.schema), of.name)
            for number in columns:
                yield place | _named(context, schema, constraint.name) | {"column_name": of.column_by_id(number).name}


@table("information_schema.referential_constraints", """constraint_catalog name, constraint_schema name,
    constraint_name name, unique_constraint_catalog name, unique_constraint_schema name, unique_constraint_name name,
    match_option text=NONE, update_rule text, delete_rule text""")
def _references(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.tables(context.catalog, context.database):
        for key in item.foreign_keys:
            target = context.catalog.table(key.target)
            behind = o.constraint_behind(context.catalog, key)
            there = None if behind is None else context.catalog.schema_by_id(target.schema).name
            yield _named(context, schema, key.name) | {
                "unique_constraint_catalog": None if behind is None else context.database,
                "unique_constraint_schema": there, "unique_constraint_name": behind,
                "update_rule": key.on_update.value.upper(), "delete_rule": key.on_delete.value.upper()}


@table("information_schema.check_constraints", """constraint_catalog name, constraint_schema name, constraint_name
    name, check_clause text""")
def _checks(context: VirtualContext) -> Iterator[Row]:
    for schema, item in o.tables(context.catalog, context.database):
        for check in item.checks:
            yield _named(context, schema, check.name) | {"check_clause": f"({check.condition.text})"}
        for column in item.columns:
            if not column.is_nullable:
                yield _named(context, schema, _not_null(item, column)) | {
                    "check_clause": f"{o.quoted(column.name)} IS NOT NULL"}


@table("information_schema.character_sets", """character_set_catalog name, character_set_schema name,
    character_set_name name=UTF8, character_repertoire name=UCS, form_of_use name=UTF8, default_collate_catalog name,
    default_collate_schema name=pg_catalog, default_collate_name name=C""")
def _character_sets(context: VirtualContext) -> Iterator[Row]:
    yield {"default_collate_catalog": context.database}


@table("information_schema.collations", """collation_catalog name, collation_schema name=pg_catalog, collation_name
    name, pad_attribute text=NO PAD""")
def _collations(context: VirtualContext) -> Iterator[Row]:
    for name in ("default", "C"):
        yield {"collation_catalog": context.database, "collation_name": name}
