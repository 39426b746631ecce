"""What clients ask about the objects of the catalog: names of types, definitions as text, comments, rights.

    pg_get_indexdef(oid)   format_type(oid, modifier)   to_regclass('schema.name')   has_table_privilege(...)

They read the catalog of the statement (context.py). Everybody who may connect has all rights, so the functions for
rights only look whether the object is there. A cast to regclass or regtype is a call of the function of that name:
text becomes the object's id, an id becomes the name.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from phantomdb.core.catalog import virtual_objects as o
from phantomdb.core.catalog.catalog import Catalog, Relation
from phantomdb.core.catalog.objects import Column, Table, View
from phantomdb.core.catalog.objects import Sequence as SequenceObject
from phantomdb.core.catalog.virtual_types import TYPES, format_type, oid_of_name
from phantomdb.core.query import context
from phantomdb.core.query.errors import FeatureNotSupported, UndefinedColumn, UndefinedObject, UndefinedTable
from phantomdb.core.query.functions.numbers import scalar
from phantomdb.core.query.functions.quoting import _parse_ident
from phantomdb.core.query.functions.registry import Like, Pattern, Volatility
from phantomdb.core.values import BIGINT, BOOL, INT, SMALLINT, TEXT, Type

_OID = BIGINT


def _define(name: str, arguments: tuple[Pattern, ...], result: Type, python: Callable[..., Any], summary: str,
            **more: Any) -> None:
    scalar(name, arguments, result, python, None, summary, volatility=Volatility.STABLE, **more)


def _catalog() -> Catalog:
    found = context.current().catalog
    if not isinstance(found, Catalog):
        raise FeatureNotSupported("there is no catalog outside of a database")
    return found


def _database() -> str:
    return context.current().database


# -------------------------------------------------------------------- names and ids

def _find(name: str) -> Relation | Table | None:
    """The relation a text names, or the table of an index."""
    parts = _parse_ident(name)
    catalog, database = _catalog(), _catalog().database(_database())
    if database is None or len(parts) > 2:
        return None
    path = [parts[0]] if len(parts) == 2 else context.current().search_path
    schemas = [schema.id for item in path if (schema := catalog.schema(database.id, item)) is not None]
    return catalog.find(schemas, parts[-1])


def _oid_of(name: str) -> int | None:
    """The id of a relation, an index, or a table of PostgreSQL's own; of a number, the number."""
    if name.strip().isdecimal():
        return int(name)
    found = _find(name)
    if found is not None:
        return found.id
    parts = _parse_ident(name)
    if parts[:-1] in ([], ["pg_catalog"]) and parts[-1] in o.SYSTEM_TABLES:
        return o.SYSTEM_TABLES[parts[-1]]
    for schema, table in o.tables(_catalog(), _database()):
        if parts[0] == schema.name if len(parts) == 2 else o.is_on_path(schema.name, context.current().search_path):
            for oid, index in o.indexes_of(table):
                if (table.primary_key_name if index is None else index.name) == parts[-1]:
                    return oid
    return None


def _regclass(name: str) -> int:
    found = _oid_of(name)
    if found is None:
        raise UndefinedTable(f'relation "{name}" does not exist')
    return found


def _relation(oid: int) -> Relation | None:
    found = _catalog().get(oid)
    return found if isinstance(found, (Table, View, SequenceObject)) else None


def _name_of(oid: int) -> str:
    """The name of a relation or index, as it must be written; of what is not there, the number."""
    found = _relation(oid)
    if found is not None:
        return o.qualified(_catalog(), found)
    for name, number in o.SYSTEM_TABLES.items():
        if number == oid:
            return name
    index = o.index_by_oid(_catalog(), _database(), oid)
    if index is None:
        return "-" if oid == 0 else str(oid)
    table, of = index
    schema = _catalog().schema_by_id(table.schema).name
    name = o.quoted(table.primary_key_name if of is None else of.name)
    return name if o.is_on_path(schema, context.current().search_path) else f"{o.quoted(schema)}.{name}"


def _regtype(name: str) -> int:
    found = oid_of_name(name)
    if found is None:
        raise UndefinedObject(f'type "{name}" does not exist')
    return found


def _schema_oid(name: str) -> int:
    for schema in o.schemas(_catalog(), _database()):
        if schema.name == _parse_ident(name)[-1]:
            return schema.id
    system = {"pg_catalog": o.PG_CATALOG, "information_schema": o.INFORMATION_SCHEMA}
    if name not in system:
        raise UndefinedObject(f'schema "{name}" does not exist')
    return system[name]


def _schema_name(oid: int) -> str:
    system = {o.PG_CATALOG: "pg_catalog", o.INFORMATION_SCHEMA: "information_schema"}
    return next((o.quoted(item.name) for item in o.schemas(_catalog(), _database()) if item.id == oid),
                system.get(oid, str(oid)))


_define("regclass", (TEXT,), _OID, _regclass, "the id of a relation")
_define("regclass", (_OID,), TEXT, _name_of, "the name of a relation")
_define("to_regclass", (TEXT,), _OID, _oid_of, "the id of a relation, NULL if it is not there")
_define("regtype", (TEXT,), _OID, _regtype, "the id of a type")
_define("regtype", (_OID,), TEXT, lambda oid: format_type(oid, None), "the name of a type")
_define("to_regtype", (TEXT,), _OID, oid_of_name, "the id of a type, NULL if it is not there")
_define("regnamespace", (TEXT,), _OID, _schema_oid, "the id of a schema")
_define("regnamespace", (_OID,), TEXT, _schema_name, "the name of a schema")
_define("format_type", (_OID, INT), TEXT, format_type, "a type as SQL has it", is_strict=False)


# -------------------------------------------------------------------- definitions as text

def _index_definition(oid: int, column: int = 0, _is_pretty: bool = False) -> str | None:
    found = o.index_by_oid(_catalog(), _database(), oid)
    if found is None:
        return None
    table, index = found
    if column == 0:
        return o.index_definition(_catalog(), table, index)
    parts = ([o.quoted(table.column_by_id(number).name) for number in table.primary_key] if index is None
             else [o.index_part(table, part) for part in index.columns]
             + [o.quoted(table.column_by_id(number).name) for number in index.included])
    return parts[column - 1] if 0 < column <= len(parts) else ""


def _constraint_definition(oid: int, _is_pretty: bool = False) -> str | None:
    catalog = _catalog()
    return next((o.constraint_definition(catalog, item) for _, table in o.tables(catalog, _database())
                 for item in o.constraints_of(catalog, table) if item.oid == oid), None)


def _view_definition(view: int | str, _is_pretty: bool = False) -> str | None:
    found = _relation(_regclass(view) if isinstance(view, str) else view)
    return o.view_definition(found) if isinstance(found, View) else None


def _serial_sequence(table_name: str, column_name: str) -> str | None:
    catalog, table = _catalog(), _relation(_regclass(table_name))
    column = table.column(column_name) if isinstance(table, Table) else None
    if not isinstance(table, Table) or column is None:
        raise UndefinedColumn(f'column "{column_name}" of relation "{table_name}" does not exist')
    for sequence in catalog.owned_sequences(table.id):
        if sequence.owner == (table.id, column.id):
            return f"{o.quoted(catalog.schema_by_id(sequence.schema).name)}.{o.quoted(sequence.name)}"
    return None


_define("pg_get_expr", (TEXT, _OID, BOOL), TEXT, lambda text, _oid, _is_pretty=False: text, "an expression as text",
        optional=1)
_define("pg_get_indexdef", (_OID, INT, BOOL), TEXT, _index_definition, "the CREATE INDEX, or one column of it",
        optional=2)
_define("pg_get_constraintdef", (_OID, BOOL), TEXT, _constraint_definition, "a constraint as SQL has it", optional=1)
for _argument in (_OID, TEXT):
    _define("pg_get_viewdef", (_argument, BOOL), TEXT, _view_definition, "the query of a view", optional=1)
_define("pg_get_serial_sequence", (TEXT, TEXT), TEXT, _serial_sequence, "the sequence that a column owns")
# of objects that there are none of
for _name in ("pg_get_triggerdef", "pg_get_ruledef"):
    _define(_name, (_OID, BOOL), TEXT, lambda _oid, _is_pretty=False: None, "NULL: there is none", optional=1)
for _name in ("pg_get_statisticsobjdef_columns", "pg_get_partkeydef"):
    _define(_name, (_OID,), TEXT, lambda _oid: None, "NULL: there is none")


# -------------------------------------------------------------------- comments

def _column(oid: int, number: int) -> Column | None:
    found = _relation(oid)
    return next((column for column in found.columns if column.id == number), None) if isinstance(found, Table) else None


def _object_comment(oid: int, catalog_name: str = "pg_class") -> str | None:
    found = _relation(oid)
    return found.comment or None if isinstance(found, Table) and catalog_name.endswith("pg_class") else None


def _column_comment(oid: int, number: int) -> str | None:
    found = _column(oid, number)
    return (found.comment or None) if found is not None else None


_define("obj_description", (_OID, TEXT), TEXT, _object_comment, "the comment on an object", optional=1)
_define("col_description", (_OID, INT), TEXT, _column_comment, "the comment on a column")
_define("shobj_description", (_OID, TEXT), TEXT, lambda _oid, _catalog_name: None, "NULL: only tables have comments")


# -------------------------------------------------------------------- visible, allowed

def _is_visible(oid: int) -> bool | None:
    catalog, path = _catalog(), context.current().search_path
    found = _relation(oid)
    table = None if found is not None else o.index_by_oid(catalog, _database(), oid)
    if found is None and table is None:
        return None
    of = found or (table[0] if table else None)
    assert of is not None
    database = catalog.database(_database())
    schema = catalog.schema_by_id(of.schema)
    if schema.name not in path or database is None:
        return False
    before = path[:path.index(schema.name)]
    return found is None or not any((other := catalog.schema(database.id, name)) is not None
                                    and catalog.is_taken(other.id, found.name) for name in before)


_define("pg_table_is_visible", (_OID,), BOOL, _is_visible, "whether a relation is found without its schema")
_define("pg_type_is_visible", (_OID,), BOOL, lambda oid: True if oid in TYPES else None, "whether a type is found")
for _name in ("pg_function_is_visible", "pg_collation_is_visible", "pg_opclass_is_visible", "pg_operator_is_visible"):
    _define(_name, (_OID,), BOOL, lambda _oid: True, "whether it is found without its schema")
_define("pg_relation_is_publishable", (_OID,), BOOL, lambda oid: isinstance(_relation(oid), Table),
        "whether it is a table")
_define("pg_get_userbyid", (_OID,), TEXT,
        lambda oid: context.current().user if oid == o.OWNER else f"unknown (OID={oid})", "the name of a role")
_define("pg_encoding_to_char", (INT,), TEXT, lambda number: "UTF8" if number == 6 else "", "the name of an encoding")
_define("pg_char_to_encoding", (TEXT,), INT, lambda name: 6 if name.upper() in ("UTF8", "UTF-8") else -1,
        "the number of an encoding")


def _require_relation(value: int | str) -> None:
    if isinstance(value, str):
        _regclass(value)


def _require_schema(value: int | str) -> None:
    if isinstance(value, str):
        _schema_oid(value)


def _require_database(value: int | str) -> None:
    if isinstance(value, str) and _catalog().database(_parse_ident(value)[-1]) is None:
        raise UndefinedObject(f'database "{value}" does not exist')


def _require_column(table: int | str, column: int | str) -> None:
    found = _relation(_regclass(table) if isinstance(table, str) else table)
    names = [item.name for item in found.columns] if isinstance(found, Table) else \
        list(found.column_names) if isinstance(found, View) else []
    if found is not None and isinstance(column, str) and column not in names:
        raise UndefinedColumn(f'column "{column}" of relation "{found.name}" does not exist')


def _right(require: Callable[..., None], count: int) -> Callable[..., bool]:
    """A has_..._privilege function: its last argument is the right, the `count` before it name the object."""
    def has(*arguments: Any) -> bool:
        require(*arguments[-1 - count:-1])
        return True
    return has


def _define_right(name: str, require: Callable[..., None], objects: Sequence[tuple[Type, ...]]) -> None:
    for given in objects:
        for user in ((), (TEXT,), (_OID,)):
            _define(name, (*user, *given, TEXT), BOOL, _right(require, len(given)), "whether the object may be used so")


_ONE: Sequence[tuple[Type, ...]] = ((TEXT,), (_OID,))
for _name in ("has_table_privilege", "has_any_column_privilege", "has_sequence_privilege"):
    _define_right(_name, _require_relation, _ONE)
_define_right("has_schema_privilege", _require_schema, _ONE)
_define_right("has_database_privilege", _require_database, _ONE)
_define_right("has_column_privilege", _require_column, [(table, column) for table in (TEXT, _OID)
                                                        for column in (TEXT, SMALLINT)])
for _name in ("has_function_privilege", "has_type_privilege", "has_tablespace_privilege", "pg_has_role"):
    _define_right(_name, lambda _object: None, _ONE)


# -------------------------------------------------------------------- sequences by id

def _sequence_name(oid: int) -> str:
    found = _relation(oid)
    if not isinstance(found, SequenceObject):
        raise UndefinedTable(f"sequence {oid} does not exist")
    return f"{o.quoted(_catalog().schema_by_id(found.schema).name)}.{o.quoted(found.name)}"


def _by_name(function: str, oid: int, *more: Any) -> int:
    made: int = getattr(context.current().sequences, function)(_sequence_name(oid), *more)
    return made


scalar("nextval", (_OID,), BIGINT, partial(_by_name, "next_value"), None, "next number of a sequence",
       volatility=Volatility.VOLATILE)
scalar("currval", (_OID,), BIGINT, partial(_by_name, "current_value"), None,
       "last number this session got of a sequence", volatility=Volatility.VOLATILE)
# ANY: with (BIGINT, BIGINT) a name in quotes beside a number would be read as a number
scalar("setval", (Like.ANY, BIGINT, BOOL), BIGINT,
       lambda oid, value, is_called=True: _by_name("set_value", oid, value, is_called), None, "sets a sequence",
       optional=1, volatility=Volatility.VOLATILE)
