"""What the parts of the row executor's planning hand to each other.

    row_executor.py   a plan's nodes become operators (core/_ext/row_operators); whether that is the cheaper way
    row_scans.py      how a table is read
    row_joins.py      in which order tables are joined, and how

A node becomes a Prepared: the operator, what is expected of it, and how EXPLAIN shows it.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from phantomdb.core._ext.row_expressions import RowExpression
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.query import plan
from phantomdb.core.query.evaluate import EvaluationContext

if TYPE_CHECKING:
    from phantomdb.core._ext.row_operators import Operator
    from phantomdb.core.query.engine import QueryEngine
    from phantomdb.core.query.figures import TableFigures

# The cost of an operator is counted in rows of a table that are read in key order.
SORT_COST = 0.5                          # for each row kept and put in order
ROW_COST = 0.2                           # for each row that is computed, tested or joined

Detail = str | Sequence[plan.Expression | plan.SortKey]


class NotForRows(Exception):
    """This plan is for the other executor."""


@dataclass(slots=True)
class Shown:
    """A node as EXPLAIN shows it: expressions are for the frontend to print."""

    name: str
    details: dict[str, Detail] = field(default_factory=dict)
    inputs: list[Shown] = field(default_factory=list)
    estimated_rows: float = 1.0
    operator: Operator | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the nodes above would like: an order (column, is descending, NULLs first), and how many rows they take."""

    order: tuple[tuple[int, bool, bool], ...]
    row_count: float | None = None


@dataclass(slots=True)
class Prepared:
    """A node. `columns`: those it puts out; `order`: the one its rows come in, None for NULLs where there are none;
    `fixed`: columns that have one value in all rows."""

    operator: Operator
    columns: tuple[plan.Column, ...]
    rows: float
    cost: float
    shown: Shown
    order: tuple[tuple[int, bool, bool | None], ...] = ()
    fixed: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.shown.estimated_rows, self.shown.operator = self.rows, self.operator


class Preparer(Protocol):
    """Makes operators for one program. `slots`: the place in the frame of each column, by its number."""

    catalog: Catalog
    engine: QueryEngine
    context: EvaluationContext
    slots: dict[int, int]

    def node(self, node: plan.Node, wanted: Wanted | None = None) -> Prepared: ...
    def filtered(self, below: Prepared, conditions: Sequence[plan.Expression]) -> Prepared: ...
    def expression(self, expression: plan.Expression) -> RowExpression: ...
    def figures(self, table: int) -> TableFigures: ...
    def new_slot(self) -> int: ...
    def block(self, columns: Sequence[plan.Column], extra: int = 0) -> int: ...


def positions(slots: Mapping[int, int], columns: Sequence[plan.Column]) -> list[int]:
    """Where columns are in the frame, each place once."""
    return list(dict.fromkeys(slots[column.id] for column in columns))
