"""How a table is read: whole, or a part of its primary key or of an index, as its conditions allow.

    WHERE a = 1 AND b > ? AND c < 9      index on (a, b)       equal (1), next > ?, rest: c < 9

A condition serves when one side is an indexed column of the scan and the other does not depend on the scan.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from phantomdb.core.catalog.objects import Index, IndexState, Table, TableStatistics
from phantomdb.core.query import plan
from phantomdb.core.query.rewrite import references
from phantomdb.core.values import BOOL, Kind, Type

# What is assumed of a table without statistics.
ASSUMED_ROWS = 1000.0
ASSUMED_DISTINCT = 50.0
RANGE_FRACTION = 1 / 3                   # of the rows, for each bound whose selectivity is not known


@dataclass(slots=True)
class Bound:
    expression: plan.Expression
    is_inclusive: bool


@dataclass(slots=True)
class Access:
    """A range of the primary key (`index` None) or of an index. No `equal` and no bound: all of it."""

    index: Index | None = None
    equal: list[plan.Expression] = field(default_factory=list)
    low: Bound | None = None
    high: Bound | None = None
    rest: list[plan.Expression] = field(default_factory=list)    # conditions that remain
    is_unique: bool = False                                      # at most one row
    estimated_rows: float = ASSUMED_ROWS

    @property
    def is_everything(self) -> bool:
        return not self.equal and self.low is None and self.high is None

    def describe(self, table: Table) -> str:
        """One line for EXPLAIN."""
        if self.is_everything:
            return f"scan of {table.name}"
        name = table.primary_key_name or "primary key" if self.index is None else self.index.name
        parts = [f"{len(self.equal)} equal"] if self.equal else []
        parts += ["low bound"] if self.low else []
        parts += ["high bound"] if self.high else []
        return f"index {name} of {table.name}: {', '.join(parts)}"


_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def choose(table: Table, scan: plan.Scan, conditions: Sequence[plan.Expression],
           statistics: TableStatistics | None = None) -> Access:
    """The cheapest access for a scan under conditions that all must hold."""
    sources = {item.column.id: item.source for item in scan.columns}
    terms = [(condition, term) for condition in conditions if (term := _term(condition, sources)) is not None]
    rows = float(statistics.row_count) if statistics else ASSUMED_ROWS
    best = Access(rest=list(conditions), estimated_rows=rows)
    if not table.has_hidden_key:
        best = min(best, _match(table, None, table.primary_key, terms, conditions, rows, statistics), key=_cost)
    for index in table.indexes:
        columns = _plain_columns(index)
        if columns is not None:
            found = _match(table, index, columns, terms, conditions, rows, statistics)
            if not found.is_everything:
                best = min(best, found, key=_cost)
    return best


def _cost(access: Access) -> float:
    """Rows that are read; through an index each is fetched by itself."""
    return access.estimated_rows * (1.0 if access.index is None else 3.0) + (0.0 if access.equal else 0.5)


def _plain_columns(index: Index) -> tuple[int, ...] | None:
    """The columns of an index that may serve any query; None for all others."""
    if index.state is not IndexState.PUBLIC or index.predicate is not None or index.is_multi_key:
        return None
    columns = []
    for part in index.columns:
        if part.column is None or part.path:
            break
        columns.append(part.column)
    return tuple(columns) or None


def _term(condition: plan.Expression, sources: dict[int, int]) -> tuple[int, str, plan.Expression] | None:
    """(stored column, operator, other side) of a comparison an index can serve."""
    if not isinstance(condition, plan.Call) or condition.name not in _MIRRORED or len(condition.arguments) != 2:
        return None
    left, right = condition.arguments
    for side, other, name in ((left, right, condition.name), (right, left, _MIRRORED[condition.name])):
        column = _stored(side, sources)
        if column is not None and not references(other) & sources.keys() and _keeps_order(column.type, side.type):
            return sources[column.id], name, other
    return None


def _stored(side: plan.Expression, sources: dict[int, int]) -> plan.Column | None:
    inner = side.argument if isinstance(side, plan.Cast) else side
    if isinstance(inner, plan.Column) and sources.get(inner.id, -1) > 0:
        return inner
    return None


def _keeps_order(column: Type, compared: Type) -> bool:
    """Whether the column's keys are ordered as the values it is compared as: of the same kind. A whole number in an
    index is the same bytes for all widths."""
    if column.kind is not compared.kind or column.is_padded != compared.is_padded:
        return False
    return column.kind not in (Kind.JSON, Kind.ARRAY, Kind.ANY)


def _match(table: Table, index: Index | None, columns: Sequence[int],
           terms: list[tuple[plan.Expression, tuple[int, str, plan.Expression]]], conditions: Sequence[plan.Expression],
           rows: float, statistics: TableStatistics | None) -> Access:
    """What a key with these columns can do."""
    access = Access(index)
    used: list[plan.Expression] = []
    fraction = 1.0
    for column in columns:
        same = next(((condition, term) for condition, term in terms if term[0] == column and term[1] == "="), None)
        if same is not None:
            access.equal.append(same[1][2])
            used.append(same[0])
            fraction /= _distinct(column, statistics)
            continue
        for condition, (found, name, other) in terms:
            if found != column or name == "=":
                continue
            if name in (">", ">=") and access.low is None:
                access.low = Bound(other, name == ">=")
            elif name in ("<", "<=") and access.high is None:
                access.high = Bound(other, name == "<=")
            else:
                continue
            used.append(condition)
            fraction *= RANGE_FRACTION
        break
    whole = len(access.equal) == len(table.primary_key if index is None else index.columns)
    access.is_unique = whole and (index is None or index.is_unique)
    access.rest = [condition for condition in conditions if condition not in used]
    access.estimated_rows = 1.0 if access.is_unique else max(1.0, rows * fraction)
    return access


def _distinct(column: int, statistics: TableStatistics | None) -> float:
    if statistics is None or column not in statistics.columns:
        return ASSUMED_DISTINCT
    return max(1.0, statistics.columns[column].distinct_count)


ALWAYS = plan.Literal(BOOL, True)
