"""How the row executor reads a table: the cheapest access, and the operator for it.

    WHERE id = ?                PointRead                       the row reader by primary key
    WHERE email = ?             UniqueRead                      a unique index that has exactly one entry
    WHERE day >= ? ...          RangeRead                       of the primary key or an index
    WHERE id IN (1, 2)          NestedLoop(EachValue, ...)      the same for each value
    SELECT day, id ...          RangeRead of the entries alone, where they have all that is wanted
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core._ext.row_collectors import DistinctRows
from phantomdb.core._ext.row_expressions import ColumnValue, FunctionValue, RowExpression, RowFunction
from phantomdb.core._ext.row_operators import INNER, EachValue, NestedLoop, Operator
from phantomdb.core._ext.row_reader import FROM_KEY, RowReader
from phantomdb.core._ext.row_reads import PointRead, RangeRead, UniqueRead
from phantomdb.core.catalog.objects import Table
from phantomdb.core.query import plan
from phantomdb.core.query.access import Access, candidates, order_match
from phantomdb.core.query.access_terms import Choice, document_values
from phantomdb.core.query.ordering import any_key, is_plain, sort_key
from phantomdb.core.query.row_plan import ROW_COST, SORT_COST, NotForRows, Prepared, Preparer, Shown, Wanted
from phantomdb.core.tables.layout import IndexLayout, TableLayout
from phantomdb.core.values import Kind

# Kinds of which an index entry has the very value; of others it has one that is equal.
_SAME_IN_KEYS = frozenset({Kind.BOOL, Kind.INT, Kind.TEXT, Kind.BYTES, Kind.DATE, Kind.TIME, Kind.TIMESTAMP,
                           Kind.TIMESTAMPTZ, Kind.UUID})


def scan(preparer: Preparer, node: plan.Scan, conditions: Sequence[plan.Expression], wanted: Wanted | None
         ) -> Prepared:
    """NotForRows: an earlier moment, whole documents."""
    if node.as_of is not None or any(item.source == plan.DOCUMENT for item in node.columns):
        raise NotForRows
    return _Scan(preparer, node, conditions, wanted).prepared()


class _Scan:
    def __init__(self, preparer: Preparer, node: plan.Scan, conditions: Sequence[plan.Expression],
                 wanted: Wanted | None) -> None:
        self.preparer, self.node = preparer, node
        self.table: Table = preparer.catalog.table(node.table)
        self.layout: TableLayout = preparer.engine.tables.layouts.of(self.table)
        self.figures = preparer.figures(self.table.id)
        sources = {item.column.id: item.source for item in node.columns}
        self.numbers = {item.source: item.column.id for item in node.columns}
        self.wanted: tuple[tuple[int, bool, bool], ...] = ()
        self.row_count = None if wanted is None else wanted.row_count
        if wanted is not None and all(number in sources for number, _, _ in wanted.order):
            self.wanted = tuple((sources[number], down, first) for number, down, first in wanted.order)
        else:
            self.row_count = None if wanted is None or wanted.order else wanted.row_count
        found = candidates(self.table, node, conditions, self.figures)
        self.access = min(found, key=self._cost)

    def _fixed(self, access: Access) -> list[int]:
        """Stored columns that have one value in all rows of the access."""
        parts = self.table.primary_key if access.index is None else [
            part.column or 0 if not part.path and not access.index.is_multi_key else 0 for part in access.index.columns]
        return [number for number, value in zip(parts, access.equal, strict=False)
                if number > 0 and not isinstance(value, Choice)]

    def _direction(self, access: Access) -> bool | None:
        """Whether it is to be read backwards to come in the wanted order; None: it cannot."""
        if access.is_unique and not access.choices:
            return False
        return order_match(access.order, self.wanted, self._fixed(access))

    def _cost(self, access: Access) -> float:
        whole = access.cost
        if not self.wanted and self.row_count is None:
            return whole
        share = access.estimated_rows / max(access.read_rows, 1e-9)
        if self._direction(access) is None:
            return whole + SORT_COST * access.estimated_rows
        if self.row_count is None:
            return whole
        return min(whole, whole * self.row_count / max(share, 1e-3) / max(access.read_rows, 1.0) + 2.0)

    # ---------------------------------------------------------------- parts

    def prepared(self) -> Prepared:
        access, preparer = self.access, self.preparer
        columns = tuple(item.column for item in self.node.columns)
        expiry = self.layout.expiry
        sources = [item.source for item in self.node.columns]
        extra: list[int] = []
        if expiry is not None:           # whether a row is still there depends on all of it
            extra += [column.id for column in self.table.columns]
        if not access.is_once:
            extra.append(plan.ROW_KEY)
        base = preparer.block(columns, len(extra))
        tests: list[RowExpression] = []
        if expiry is not None:
            start, stop, context = base + len(columns), base + len(columns) + len(self.table.columns), preparer.context
            alive = expiry
            tests.append(RowFunction(lambda frame: alive.is_alive(frame[start:stop], context.rows.now)))
        tests += [preparer.expression(condition) for condition in access.rest]
        operator, is_index_only = self._operator([*sources, *extra], tests, base)
        if not access.is_once:
            operator = DistinctRows(operator, [(ColumnValue(base + len(columns) + len(extra) - 1), None)])
        direction = self._direction(access) or False
        order = tuple((self.numbers[number], down != direction, None if nulls is None else nulls != direction)
                      for number, down, nulls in self._known_prefix(access))
        fixed = frozenset(self.numbers[number] for number in self._fixed(access) if number in self.numbers)
        details: dict[str, Any] = {"Access": access.describe(self.table)}
        if is_index_only:
            details["Access"] += ", entries alone"
        if direction:
            details["Access"] += ", backwards"
        if access.rest:
            details["Filter"] = access.rest
        cost = access.cost - access.read_rows * (1.5 if is_index_only else 0.0) + access.read_rows * ROW_COST * len(
            access.rest)
        rows = access.estimated_rows
        if self.row_count is not None and self._direction(access) is not None:
            share = max(access.estimated_rows / max(access.read_rows, 1e-9), 1e-3)
            cost = min(cost, cost * self.row_count / share / max(access.read_rows, 1.0) + 2.0)
        return Prepared(operator, columns, rows, cost, Shown(f"Scan on {self.table.name}", details), order, fixed)

    def _known_prefix(self, access: Access) -> list[tuple[int, bool, bool | None]]:
        """Of the order, as much as is among the columns of the scan."""
        found = []
        for item in access.order:
            if item[0] not in self.numbers:
                break
            found.append(item)
        return found

    def _operator(self, sources: Sequence[int], tests: list[RowExpression], base: int) -> tuple[Operator, bool]:
        """What reads, and whether from an index alone."""
        access, layout = self.access, self.layout
        engine = self.preparer.engine.store.engine
        index = None if access.index is None else layout.index(access.index.id)
        keys = layout.keys if index is None else index.keys
        loops: list[EachValue] = []
        equal = [self._key_value(value, keys.types[place].is_padded, loops) for place, value in enumerate(access.equal)]
        operator: Operator
        is_index_only = False
        if index is None and access.is_unique:
            operator = PointRead(layout.reader(engine, sources), equal, tests, base)
        elif index is not None and access.is_unique and not index.owns_by_value:
            operator = UniqueRead(layout.reader(engine, sources), keys.prefix, keys.codec, equal, tests, base)
        else:
            reader, codec = layout.reader(engine, sources), None if index is None else keys.codec
            if index is not None and (made := _entry_reader(engine, layout, index, sources)) is not None:
                reader, codec, is_index_only = made, None, True
            low, high = (
                None if bound is None else self._key_value(bound.expression, keys.types[len(equal)].is_padded, [])
                for bound in (access.low, access.high))
            operator = RangeRead(reader, keys.prefix, keys.codec, codec, equal, low, high, _bounds(access), tests,
                                 base, bool(self._direction(access)))
        for loop in loops:
            operator = NestedLoop(loop, operator, INNER, (), ())
        return operator, is_index_only

    def _key_value(self, value: plan.Expression, is_padded: bool, loops: list[EachValue]) -> RowExpression:
        """The value of a key; of a Choice what a loop around the read puts into the frame."""
        if isinstance(value, Choice):
            slot = self.preparer.new_slot()
            items = [self.preparer.expression(item) for item in value.items]
            if value.is_document:
                is_text = value.type.kind is Kind.TEXT
                given = list(items)
                items = [RowFunction(lambda frame: [found for item in given if (one := item(frame)) is not None
                                                    for found in document_values(one, is_text)])]
            key: Callable[[Any], Any] | None = any_key if value.is_document else None
            if not value.is_document and not is_plain(value.type):
                key = sort_key(value.type)
            loops.append(EachValue(items, slot, key, value.is_array or value.is_document))
            made: RowExpression = ColumnValue(slot)
        else:
            made = self.preparer.expression(value)
        return FunctionValue(_without_blanks, [made], True) if is_padded else made


def _without_blanks(text: str) -> str:
    return text.rstrip(" ")


def _bounds(access: Access) -> tuple[bool, bool] | None:
    """None: the equal values are all that is said."""
    if access.low is None and access.high is None and not access.is_not_null:
        return None
    return access.low is None or access.low.is_inclusive, access.high is None or access.high.is_inclusive


def _entry_reader(engine: Any, layout: TableLayout, index: IndexLayout, sources: Sequence[int]) -> RowReader | None:
    """Reads the entries of an index as rows, where they have all of `sources`: the key of an entry is that of a table
    whose primary key are the indexed columns and then the table's own."""
    if index.index.is_unique or index.index.is_multi_key:
        return None
    places: dict[int, int] = {}
    for at, part in enumerate(index.index.columns):
        if part.column is not None and not part.path and index.keys.types[at].kind in _SAME_IN_KEYS and not (
                index.keys.types[at].is_padded):
            places.setdefault(part.column, at)
    if not layout.has_hidden_key:
        for at, number in enumerate(layout.table.primary_key):
            if number not in places and layout.keys.types[at].kind in _SAME_IN_KEYS and not (
                    layout.keys.types[at].is_padded):
                places[number] = len(index.index.columns) + at
    if any(source not in places for source in sources):
        return None
    codec = KeyCodec([*index.keys.codec.columns, *layout.keys.codec.columns])
    return RowReader(engine, index.keys.prefix, codec, layout.record_codec,
                     [(FROM_KEY, places[source], None, None) for source in sources])
