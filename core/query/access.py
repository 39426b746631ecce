"""How a table is read: whole, or a part of its primary key or of an index, as its conditions allow.

    WHERE a = 1 AND b > ? AND c < 9      index on (a, b)       equal (1), next > ?, rest: c < 9

`candidates` gives every way there is, with an estimate of what it reads; `choose` takes the cheapest. An index serves
when its parts are columns, expressions, paths or elements that conditions compare (access_terms.py), and, if it is
partial, when the conditions imply its predicate. Read in the order of its keys it may save a sort as well.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from phantomdb.core.catalog.objects import ColumnStatistics, Index, IndexColumn, IndexState, Table
from phantomdb.core.query import plan
from phantomdb.core.query.access_terms import Choice, Term, implied, terms
from phantomdb.core.query.selectivity import DISTINCT_VALUES, fraction_of, fraction_of_rest
from phantomdb.core.values import Kind

ASSUMED_ROWS = 1000.0                    # of a table of which nothing is known
ENTRY_COST = 1.5                         # to fetch a row through an index, beside a row that is read in key order
START_COST = 2.0                         # to begin a range

# A column in the order in which rows come: (stored column, is it descending, do NULLs come first; None: it has none).
Ordered = tuple[int, bool, bool | None]


class Figures(Protocol):
    """What is known of a table."""

    row_count: float

    def column(self, number: int) -> ColumnStatistics | None: ...


class NoFigures:
    row_count = ASSUMED_ROWS

    def column(self, number: int) -> ColumnStatistics | None:
        return None


@dataclass(slots=True)
class Bound:
    expression: plan.Expression
    is_inclusive: bool


@dataclass(slots=True)
class Access:
    """A range of the primary key (`index` None) or of an index. No `equal` and no bound: all of it. One of `equal` may
    be a Choice: then there is a range for each of its values."""

    index: Index | None = None
    equal: list[plan.Expression] = field(default_factory=list)
    low: Bound | None = None
    high: Bound | None = None
    rest: list[plan.Expression] = field(default_factory=list)    # conditions that remain
    is_unique: bool = False                                      # at most one row for each value of a Choice
    read_rows: float = ASSUMED_ROWS
    estimated_rows: float = ASSUMED_ROWS                         # of those read, for which the rest holds
    order: tuple[Ordered, ...] = ()                              # in which they come
    is_not_null: bool = False                                    # entries with NULL in the next part are left out

    @property
    def is_everything(self) -> bool:
        """No condition has helped."""
        return not self.equal and self.low is None and self.high is None and not self.is_not_null and (
            self.index is None or self.index.predicate is None)

    @property
    def is_once(self) -> bool:
        """Whether no row comes twice."""
        if self.index is None or not self.index.is_multi_key:
            return True
        return len(self.equal) == len(self.index.columns) and not self.choices

    @property
    def choices(self) -> list[Choice]:
        return [value for value in self.equal if isinstance(value, Choice)]

    @property
    def cost(self) -> float:
        """In rows read in key order."""
        return START_COST + self.read_rows * (1.0 if self.index is None else 1.0 + ENTRY_COST)

    def describe(self, table: Table) -> str:
        """One line for EXPLAIN."""
        if self.index is None:
            if self.is_everything:
                return f"scan of {table.name}"
            name = table.primary_key_name or "primary key"
        else:
            name = self.index.name
        parts = [f"{len(self.equal)} equal"] if self.equal else []
        parts += [f"any of {len(choice.items)}" if not choice.is_array else "any of an array"
                  for choice in self.choices]
        parts += ["low bound"] if self.low else []
        parts += ["high bound"] if self.high else []
        parts += ["not null"] if self.is_not_null else []
        return f"index {name} of {table.name}: {', '.join(parts) or 'all'}"


def choose(table: Table, scan: plan.Scan, conditions: Sequence[plan.Expression],
           figures: Figures | None = None) -> Access:
    """The cheapest access for a scan under conditions that all must hold."""
    return min(candidates(table, scan, conditions, figures), key=lambda access: access.cost)


def candidates(table: Table, scan: plan.Scan, conditions: Sequence[plan.Expression],
               figures: Figures | None = None) -> list[Access]:
    """Every access there is. The first is the whole table, or what the primary key makes of it."""
    known = NoFigures() if figures is None else figures
    sources = {item.column.id: item.source for item in scan.columns}
    found = terms(conditions, sources)
    parts = () if table.has_hidden_key else tuple(IndexColumn(number) for number in table.primary_key)
    made = [_match(table, None, parts, found, list(conditions), known)]
    for index in table.indexes:
        if index.state is not IndexState.PUBLIC:
            continue
        covered = implied(index, conditions, sources)
        if covered is None:
            continue
        left = [condition for condition in conditions if condition not in covered]
        access = _match(table, index, index.columns, found, left, known)
        if not access.is_everything or not index.is_multi_key:
            made.append(access)
    return made


def _match(table: Table, index: Index | None, parts: Sequence[IndexColumn], found: list[Term],
           conditions: list[plan.Expression], known: Figures) -> Access:
    """What a key with these parts can do."""
    access = Access(index)
    is_multi_key = index is not None and index.is_multi_key
    used: list[Term] = []
    fraction = 1.0
    for part in parts:
        about = [term for term in found if term.is_about(part, is_multi_key, table)]
        same = min((term for term in about if term.operator == "="),
                   key=lambda term: (isinstance(term.value, Choice), not term.exact), default=None)
        if same is not None:
            access.equal.append(same.value)
            used.append(same)
            fraction *= fraction_of(same, known.column)
            continue
        for term in about:
            bound = Bound(term.value, len(term.operator) == 2)
            if isinstance(term.value, Choice):
                continue
            if term.operator == "not null":
                access.is_not_null = True
            elif term.operator[0] == ">" and access.low is None:
                access.low = bound
            elif term.operator[0] == "<" and access.high is None:
                access.high = bound
            else:
                continue
            used.append(term)
        bounds = [fraction_of(term, known.column) for term in used if term.operator[0] in "<>"]
        if len(bounds) == 2:             # a from .. b: what both leave, not one of the other
            fraction *= max(sum(bounds) - 1, min(bounds) / 20) if sum(bounds) > 1 else bounds[0] * bounds[1]
        elif bounds:
            fraction *= bounds[0]
        break
    exact = [id(term.condition) for term in used if term.exact]
    access.rest = [condition for condition in conditions if id(condition) not in exact]
    whole = len(access.equal) == len(parts) > 0
    access.is_unique = whole and (index is None or (index.is_unique and not is_multi_key))
    count = 1.0
    for choice in access.choices:
        count *= len(choice.items)
    rows = max(1.0, known.row_count) * _share(index)
    access.read_rows = count if access.is_unique else max(count, rows * fraction) if access.equal else \
        max(1.0, rows * fraction)
    access.estimated_rows = max(min(access.read_rows, 1.0), access.read_rows * fraction_of_rest(
        access.rest, [term for term in found if term.exact], known.column))
    access.order = _order(table, index, access)
    return access


def _share(index: Index | None) -> float:
    """Of all rows, those in the index."""
    return 1.0 if index is None or index.predicate is None else 10 / DISTINCT_VALUES


def _order(table: Table, index: Index | None, access: Access) -> tuple[Ordered, ...]:
    """The order in which a range comes: by the parts of the key after the equal ones, then by the primary key."""
    if access.choices or access.is_unique or (index is not None and index.is_multi_key):
        return ()
    order: list[Ordered] = []
    parts = () if index is None else index.columns
    for part in parts[len(access.equal):]:
        if part.column is None or part.path or table.column_by_id(part.column).type.kind in (Kind.JSON, Kind.ANY,
                                                                                            Kind.ARRAY):
            return tuple(order)
        column = table.column_by_id(part.column)
        has_nulls = column.is_nullable and part.column not in table.primary_key
        if not order and (access.low or access.high or access.is_not_null):
            has_nulls = False
        order.append((part.column, part.is_descending, part.nulls_first if has_nulls else None))
    if not table.has_hidden_key:
        skipped = len(access.equal) if index is None else 0
        order += [(number, False, None) for number in table.primary_key[skipped:]]
    return tuple(order)


def order_match(order: Sequence[Ordered], wanted: Sequence[tuple[int, bool, bool]], fixed: Sequence[int] = ()
                ) -> bool | None:
    """Whether rows that come in `order` are in the `wanted` one (column, is descending, NULLs first): False, read
    forward; True, read backwards; None: they are not. `fixed`: columns that have one value in all rows."""
    for is_reverse in (False, True):
        left = list(order)
        for number, is_descending, nulls_first in wanted:
            if number in fixed:
                continue
            if not left:
                break
            column, down, nulls = left.pop(0)
            if column != number or (down != is_descending) != is_reverse or (
                    nulls is not None and (nulls != nulls_first) != is_reverse):
                break
        else:
            return is_reverse
    return None
