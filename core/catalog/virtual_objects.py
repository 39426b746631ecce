"""What the virtual tables and the functions beside them are made of: object ids, and definitions as text.

Relations, indexes, schemas and databases have the id of the catalog as object id. What has none of its own there gets
a number that is always the same, far above: the id of its table with a mark of the kind, or a hash of its name.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from phantomdb.core.catalog.catalog import Catalog, Relation
from phantomdb.core.catalog.objects import (
    Check, Column, ForeignKey, Index, IndexColumn, Schema, StoredExpression, Table, View,
)
from phantomdb.core.query import plan

# Not PostgreSQL's 11 and 13000, which a schema of the user may have.
PG_CATALOG, INFORMATION_SCHEMA = 2_000_000_011, 2_000_013_000
OWNER, BTREE, HEAP, COLLATION_DEFAULT, COLLATION_C = 10, 403, 2, 100, 950
# Of PostgreSQL's own tables, for obj_description(oid, 'pg_class') and comparisons with ...::regclass.
SYSTEM_TABLES = {"pg_class": 1259, "pg_type": 1247, "pg_attribute": 1249, "pg_proc": 1255, "pg_database": 1262,
                 "pg_authid": 1260, "pg_attrdef": 2604, "pg_constraint": 2606, "pg_namespace": 2615, "pg_index": 2610,
                 "pg_am": 2601, "pg_description": 2609, "pg_collation": 3456}
_PRIMARY_INDEX, _PRIMARY_KEY, _UNIQUE, _DEFAULT, _HASHED = (kind << 48 for kind in range(1, 6))
_COLUMN_BITS = 12


def primary_index_oid(table: Table) -> int:
    return _PRIMARY_INDEX | table.id


def default_oid(table: Table, column: Column) -> int:
    return _DEFAULT | table.id << _COLUMN_BITS | column.id


def hashed_oid(*parts: object) -> int:
    """For what has only a name."""
    return _HASHED | int.from_bytes(blake2b(repr(parts).encode(), digest_size=6).digest(), "big")


# -------------------------------------------------------------------- constraints

@dataclass(frozen=True, slots=True)
class Constraint:
    """Any constraint of a table. `kind`: as pg_constraint.contype. `index`: object id of the one behind it."""

    oid: int
    table: Table
    name: str
    kind: str
    columns: tuple[int, ...]
    index: int = 0
    is_deferrable: bool = False
    is_deferred: bool = False
    key: ForeignKey | None = None
    check: Check | None = None
    nulls_distinct: bool = True


def constraints_of(catalog: Catalog, table: Table) -> Iterator[Constraint]:
    if not table.has_hidden_key:
        yield Constraint(_PRIMARY_KEY | table.id, table, table.primary_key_name, "p", table.primary_key,
                         primary_index_oid(table))
    for index in table.indexes:
        if index.is_constraint:
            yield Constraint(_UNIQUE | index.id, table, index.name, "u", tuple(part.column or 0
                                                                               for part in index.columns),
                             index.id, index.is_deferrable, index.is_deferred, nulls_distinct=index.nulls_distinct)
    for check in table.checks:
        columns = tuple(sorted({part.id for part in _columns(check.condition.bound)}))
        yield Constraint(hashed_oid(table.id, check.name), table, check.name, "c", columns, check=check)
    for key in table.foreign_keys:
        target = catalog.table(key.target)
        yield Constraint(hashed_oid(table.id, key.name), table, key.name, "f", key.columns, index_behind(target, key),
                         key.is_deferrable, key.is_deferred, key)


def _columns(expression: plan.Expression) -> Iterator[plan.Column]:
    from phantomdb.core.query.rewrite import walk
    return (part for part in walk(expression) if isinstance(part, plan.Column))


def index_behind(target: Table, key: ForeignKey) -> int:
    """The index of the key that a foreign key refers to."""
    wanted = set(key.target_columns)
    if set(target.primary_key) == wanted:
        return primary_index_oid(target)
    return next((index.id for index in target.indexes if index.is_unique and index.predicate is None
                 and {part.column for part in index.columns} == wanted), 0)


def constraint_behind(catalog: Catalog, key: ForeignKey) -> str | None:
    """The name of the primary key or UNIQUE that a foreign key refers to; None: it is a plain unique index."""
    target = catalog.table(key.target)
    index = index_behind(target, key)
    return next((item.name for item in constraints_of(catalog, target) if item.index == index and item.kind in "pu"),
                None)


# -------------------------------------------------------------------- looking up

def relations(catalog: Catalog, database: str) -> Iterator[tuple[Schema, Relation]]:
    """All tables, views and sequences of a database."""
    for schema in schemas(catalog, database):
        for relation in catalog.relations(schema.id):
            yield schema, relation


def tables(catalog: Catalog, database: str) -> Iterator[tuple[Schema, Table]]:
    return ((schema, item) for schema, item in relations(catalog, database) if isinstance(item, Table))


def schemas(catalog: Catalog, database: str) -> list[Schema]:
    found = catalog.database(database)
    return [] if found is None else catalog.schemas(found.id)


def indexes_of(table: Table) -> Iterator[tuple[int, Index | None]]:
    """(object id, index); the index is None for the one of the primary key."""
    if not table.has_hidden_key:
        yield primary_index_oid(table), None
    for index in table.indexes:
        yield index.id, index


def index_by_oid(catalog: Catalog, database: str, oid: int) -> tuple[Table, Index | None] | None:
    for _, table in tables(catalog, database):
        for number, index in indexes_of(table):
            if number == oid:
                return table, index
    return None


def default_of(catalog: Catalog, column: Column) -> str | None:
    """The default as text: an expression, or a serial column's call of nextval. Not of identity columns."""
    if column.default is not None:
        return column.default.text
    if column.sequence is not None and not column.identity:
        sequence = catalog.sequence(column.sequence)
        return f"nextval('{_qualified(catalog, sequence.schema, sequence.name)}'::regclass)"
    return None


# -------------------------------------------------------------------- definitions as text

def quoted(name: str) -> str:
    from phantomdb.core.query.functions.quoting import quote_ident
    return quote_ident(name)


def qualified(catalog: Catalog, relation: Relation) -> str:
    """The name, with the schema where the search path does not lead to it."""
    return _qualified(catalog, relation.schema, relation.name)


def _qualified(catalog: Catalog, schema: int, name: str) -> str:
    from phantomdb.core.query import context
    of = catalog.schema_by_id(schema).name
    return quoted(name) if is_on_path(of, context.current().search_path) else f"{quoted(of)}.{quoted(name)}"


def is_on_path(schema: str, path: Sequence[str]) -> bool:
    return schema in path or schema == "pg_catalog"


def index_definition(catalog: Catalog, table: Table, index: Index | None) -> str:
    """CREATE INDEX ..., as pg_get_indexdef; `index` None: of the primary key."""
    place = f"{quoted(catalog.schema_by_id(table.schema).name)}.{quoted(table.name)}"
    if index is None:
        columns = _names(table, table.primary_key)
        return f"CREATE UNIQUE INDEX {quoted(table.primary_key_name)} ON {place} USING btree ({columns})"
    parts = ", ".join(index_part(table, part) + _direction(part) for part in index.columns)
    text = f"CREATE {'UNIQUE ' * index.is_unique}INDEX {quoted(index.name)} ON {place} USING btree ({parts})"
    if index.included:
        text += f" INCLUDE ({_names(table, index.included)})"
    if index.is_unique and not index.nulls_distinct:
        text += " NULLS NOT DISTINCT"
    options = [f"ttl_s = {index.ttl_s:g}"] if index.ttl_s is not None else []
    options += ["multi_key"] if index.is_multi_key else []
    if options:
        text += f" WITH ({', '.join(options)})"
    return text + (f" WHERE ({index.predicate.text})" if index.predicate is not None else "")


def index_part(table: Table, part: IndexColumn) -> str:
    """A column, a path with dots, or an expression: in parentheses if it is no call."""
    if part.expression is not None:
        return _expression(part.expression)
    names = [table.column_by_id(part.column or 0).name, *map(str, part.path)]
    return ".".join(quoted(name) for name in (names[1:] if table.is_flexible and part.path else names))


def _expression(stored: StoredExpression) -> str:
    bound = stored.bound
    is_call = isinstance(bound, plan.Call) and stored.text.lower().startswith(f"{bound.name}(")
    return stored.text if is_call else f"({stored.text})"


def _direction(part: IndexColumn) -> str:
    text = " DESC" if part.is_descending else ""
    if part.nulls_first is not part.is_descending:
        text += " NULLS FIRST" if part.nulls_first else " NULLS LAST"
    return text


def constraint_definition(catalog: Catalog, constraint: Constraint) -> str:
    """As pg_get_constraintdef."""
    table = constraint.table
    if constraint.check is not None:
        return f"CHECK (({constraint.check.condition.text}))"
    columns = _names(table, constraint.columns)
    if constraint.key is None:
        word = "PRIMARY KEY" if constraint.kind == "p" else "UNIQUE"
        text = f"{word}{' NULLS NOT DISTINCT' * (not constraint.nulls_distinct)} ({columns})"
    else:
        key = constraint.key
        target = catalog.table(key.target)
        text = f"FOREIGN KEY ({columns}) REFERENCES {qualified(catalog, target)}({_names(target, key.target_columns)})"
        for event, action in (("UPDATE", key.on_update), ("DELETE", key.on_delete)):
            text += f" ON {event} {action.value.upper()}" if action.value != "no action" else ""
    return text + " DEFERRABLE" * constraint.is_deferrable + " INITIALLY DEFERRED" * constraint.is_deferred


def _names(table: Table, columns: Sequence[int]) -> str:
    return ", ".join(quoted(table.column_by_id(number).name) for number in columns)


def view_definition(view: View) -> str:
    return f" {view.text};"
