"""Names of objects: their limit, and those that objects get which were given none, as PostgreSQL makes them.

    item_pkey   item_grp_name_key   item_grp_idx   item_price_check   item_order_id_fkey   item_id_seq
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.objects import IndexColumn, Table
from phantomdb.core.query import plan
from phantomdb.core.query.errors import InvalidDefinition, ProgramLimitExceeded

MAX_NAME_BYTES = 63                  # of UTF-8; as PostgreSQL, which cuts longer ones without a word


def checked(name: str) -> str:
    """The name. ProgramLimitExceeded, InvalidDefinition."""
    if not name:
        raise InvalidDefinition("a name must not be empty")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ProgramLimitExceeded(f'the name "{name}" is longer than {MAX_NAME_BYTES} bytes')
    return name


def constraint_names(table: Table) -> set[str]:
    names = {check.name for check in table.checks} | {key.name for key in table.foreign_keys}
    names |= {index.name for index in table.indexes if index.is_constraint}
    return names | {table.primary_key_name} - {""}


def for_relation(catalog: Catalog, table: Table, columns: Sequence[str], label: str) -> str:
    """A name for an index or a sequence of the table that nothing in its schema has."""
    taken = constraint_names(table)
    return _free(table.name, "_".join(columns), label,
                 lambda name: catalog.is_taken(table.schema, name) or name in taken)


def for_constraint(table: Table, columns: Sequence[str], label: str) -> str:
    """A name for a check or a foreign key that no constraint of the table has."""
    taken = constraint_names(table)
    return _free(table.name, "_".join(columns), label, taken.__contains__)


def index_columns(table: Table, columns: Sequence[IndexColumn]) -> list[str]:
    """What stands for each column in the name of an index."""
    names: list[str] = []
    for column in columns:
        if column.column is not None:
            base = table.column_by_id(column.column).name
        else:
            base = _expression_name(column.expression.bound) if column.expression else "expr"
        name, number = base, 0
        while name in names:
            number += 1
            name = f"{base}{number}"
        names.append(name)
    return names


def _expression_name(expression: plan.Expression) -> str:
    while isinstance(expression, plan.Cast):
        expression = expression.argument
    if isinstance(expression, plan.Call) and expression.name.isidentifier():
        return expression.name
    return "expr"


def _free(table: str, middle: str, label: str, is_taken: Callable[[str], bool]) -> str:
    name, number = _shortened(table, middle, label), 0
    while is_taken(name):
        number += 1
        name = _shortened(table, middle, f"{label}{number}")
    return name


def _shortened(first: str, second: str, label: str) -> str:
    """The parts with _ between them, the longer of the first two cut until the whole is no longer than a name may
    be."""
    room = MAX_NAME_BYTES - len(label.encode()) - (2 if second else 1)
    sizes = [len(first.encode()), len(second.encode())]
    while sum(sizes) > room:
        sizes[sizes[1] >= sizes[0]] -= 1
    parts = [part.encode()[:size].decode(errors="ignore") for part, size in zip((first, second), sizes, strict=True)]
    return "_".join([*filter(None, parts), label])
