"""Virtual tables: how each is defined, and what makes its rows.

    @table("pg_catalog.pg_am", "oid oid, amname name, amhandler text=-, amtype char=i")
    def _access_methods(context): yield {"oid": 403, "amname": "btree"}

A row names the columns that matter; the others have the value behind `=` in the definition, or are NULL.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.virtual_types import COLUMN_TYPES
from phantomdb.core.values import Kind, Type, Value


@dataclass(frozen=True, slots=True)
class VirtualContext:
    """What the rows are made from: the catalog as the statement sees it, the name of the session's database."""

    catalog: Catalog
    database: str
    user: str = "phantomdb"
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VirtualTable:
    """`name`: with its schema. `rows`: a tuple for each row, with the values of all columns in their order."""

    name: str
    columns: tuple[tuple[str, Type], ...]
    rows: Callable[[VirtualContext], Iterable[tuple[Value, ...]]]


Row = Mapping[str, Any]
_Maker = Callable[[VirtualContext], Iterable[Row]]
TABLES: dict[str, VirtualTable] = {}


def table(name: str, definition: str) -> Callable[[_Maker], _Maker]:
    """Makes a virtual table of a function that gives its rows."""
    columns: list[tuple[str, Type]] = []
    defaults: dict[str, Value] = {}
    for item in definition.split(","):
        words, has_default, default = item.partition("=")
        column, type_name = words.split()
        type_ = COLUMN_TYPES[type_name]
        columns.append((column, type_))
        defaults[column] = _constant(default.strip(), type_) if has_default else None

    def register(make: _Maker) -> _Maker:
        def rows(context: VirtualContext) -> Iterator[tuple[Value, ...]]:
            for row in make(context):
                assert row.keys() <= defaults.keys(), row.keys() - defaults.keys()
                yield tuple((defaults | dict(row)).values())

        TABLES[name] = VirtualTable(name, tuple(columns), rows)
        return make

    return register


def empty(name: str, definition: str) -> None:
    """A table that never has a row here."""
    table(name, definition)(lambda _context: ())


def _constant(text: str, type_: Type) -> Value:
    if type_.kind is Kind.BOOL:
        return text == "t"
    if type_.kind is Kind.INT:
        return int(text)
    return float(text) if type_.kind is Kind.FLOAT else text
