"""Small catalogs for tests: tables of columns a, b, c; expressions and views over named columns."""
from __future__ import annotations

import itertools
from typing import Any


from phantomdb.core.catalog import definition as define
from phantomdb.core.catalog.catalog import PUBLIC_ID, Catalog
from phantomdb.core.catalog.constraints import KeyDefinition
from phantomdb.core.catalog.definition import ColumnDefinition, TableDefinition, ViewDefinition
from phantomdb.core.catalog.objects import (
    StoredExpression,
    Table,
)
from phantomdb.core.query import plan
from phantomdb.core.values import (
    BOOL,
    INT,
    Type,
)

def fresh() -> Catalog:
    return Catalog(new_id=itertools.count(3).__next__)


def uses(*columns: int, kind: Type = BOOL) -> StoredExpression:
    return StoredExpression("...", plan.Call(kind, "f", tuple(plan.Column(INT, column) for column in columns)))


def columns(*named: str, **typed: Type) -> tuple[ColumnDefinition, ...]:
    return tuple(ColumnDefinition(name, INT) for name in named) + tuple(
        ColumnDefinition(name, kind) for name, kind in typed.items())


def make(catalog: Catalog, name: str, *constraints: Any, of: Any = None) -> tuple[Catalog, Table]:
    change = define.create_table(catalog, PUBLIC_ID, TableDefinition(name, columns("a", "b", "c") if of is None else of,
                                                                     constraints))
    assert change.work == ()                                     # there are no rows
    return change.catalog, change.catalog.table(change.created)


def view_of(catalog: Catalog, name: str, *tables: tuple[int, tuple[int, ...]], views: tuple[int, ...] = (),
            or_replace: bool = False, of: tuple[str, ...] = ("x",), kind: Type = INT) -> Any:
    """A view that reads (table, columns)."""
    node: plan.Node = plan.Values((), ())
    for table, used in tables:
        made = [plan.Column(INT, 100 + column) for column in used]
        scan = plan.Scan(table, tuple(plan.ScanColumn(item, column) for item, column in zip(made, used, strict=True)))
        # a column is used where it is named outside of the scan
        named = plan.Project(scan, tuple(plan.Item(item, item) for item in made))
        node = plan.Join(plan.JoinKind.CROSS, node, named)
    query = plan.Query(node, of, tuple(plan.Column(kind, 100) for _ in of))
    return define.create_view(catalog, PUBLIC_ID, ViewDefinition(name, of, (kind,) * len(of), "select", query, views),
                              or_replace)


def find(catalog: Catalog, name: str) -> Any:
    return catalog.find((PUBLIC_ID,), name)


PRIMARY = KeyDefinition(("a",), is_primary=True)
