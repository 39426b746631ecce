"""Queries of the row executor as fast statements: parameters in, one run of a prepared program, rows out. Changes of
the rows that such a query finds, likewise.

A query may go this way when it asks for nothing but its tables and parameters: no time, no setting, no sequence. It
needs no Transaction then, only the snapshot of its run. Which executor is the better one is asked each time
(prepared.py); where it is the vector executor, the usual way is taken.
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from phantomdb.core._ext.row_operators import TooManyRows
from phantomdb.core._ext.row_reader import STALE
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.errors import PhantomError
from phantomdb.core.query import plan
from phantomdb.core.query.errors import QueryError
from phantomdb.core.query.evaluate import is_immutable_cast
from phantomdb.core.query.fast import FastChange, FastStatement, Parameters, Row, inserts
from phantomdb.core.query.fast_changes import ChangePreparer, writes
from phantomdb.core.query.fast_parts import NotFast
from phantomdb.core.query.functions.registry import Volatility, overloads, resolve
from phantomdb.core.query.result import Result
from phantomdb.core.query.rewrite import outputs, walk
from phantomdb.core.values import Kind, Type

if TYPE_CHECKING:
    from phantomdb.core._ext.transaction import TransactionCore
    from phantomdb.core.query.engine import QueryEngine
    from phantomdb.core.query.prepared import PreparedQuery
    from phantomdb.core.query.session import Session

_GIVES_UP = (PhantomError, TooManyRows, TypeError, ValueError, OverflowError, ArithmeticError, LookupError,
             AttributeError)
# Kinds of parameters whose Python class tells the whole type; of whole numbers the size is looked at.
_CLASSES: dict[Kind, type] = {
    Kind.NULL: type(None), Kind.BOOL: bool, Kind.INT: int, Kind.FLOAT: float, Kind.DECIMAL: Decimal, Kind.TEXT: str,
    Kind.BYTES: bytes, Kind.DATE: datetime.date, Kind.UUID: UUID}
_INT_MAX = (1 << 31) - 1


def prepare(query: plan.Query, catalog: Catalog, tag: str) -> FastStatement | None:
    """The query for this way, or None."""
    types = _parameter_types(query)
    return None if types is None else FastQuery(catalog, tag, query, types)


def _parameter_types(query: plan.Query) -> dict[int, Type] | None:
    """The type of each parameter, by index; None: the query is not for this way."""
    types: dict[int, Type] = {}
    for part in walk((query.plan, query.columns)):
        if isinstance(part, plan.Parameter):
            types[part.index] = part.type
        elif isinstance(part, (plan.VirtualTable, plan.TableFunction, plan.Window)) or (
                isinstance(part, plan.Scan) and part.as_of is not None):
            return None
    if any(type_.kind not in _CLASSES for type_ in types.values()) or not is_immutable_query(query):
        return None
    return types


def is_immutable_query(query: plan.Query) -> bool:
    """Whether it gives the same for the same rows at any time, in any session."""
    for part in walk(query.plan):
        if isinstance(part, plan.Cast) and not is_immutable_cast(part.argument.type, part.type):
            return False
        if isinstance(part, plan.Call) and overloads(part.name):       # others are no functions: AND, IS NULL, IN
            found = resolve(part.name, [argument.type for argument in part.arguments]).overload
            if found.volatility is not Volatility.IMMUTABLE:
                return False
    return True


class _Fitting:
    """Whether parameters have the `types` that a query was bound with, by index."""

    __slots__ = ("_ints", "_others")

    def __init__(self, types: dict[int, Type]) -> None:
        self._ints = [(index, type_.bits == 32) for index, type_ in types.items() if type_.kind is Kind.INT]
        self._others = [(index, _CLASSES[type_.kind]) for index, type_ in types.items() if type_.kind is not Kind.INT]

    def __call__(self, parameters: Parameters) -> bool:
        for index, is_small in self._ints:
            value = parameters[index]
            if value.__class__ is not int or (-_INT_MAX - 1 <= value <= _INT_MAX) is not is_small or (
                    not -1 << 63 <= value < 1 << 63):
                return False
        return all(parameters[index].__class__ is class_ for index, class_ in self._others)


class FastQuery(FastStatement):
    """`types`: those its parameters were bound with, by index."""

    __slots__ = ("columns", "fits", "names", "prepared", "query")

    def __init__(self, catalog: Catalog, tag: str, query: plan.Query, types: dict[int, Type]) -> None:
        super().__init__(catalog, tag, False)
        self.query, self.fits = query, _Fitting(types)
        self.prepared: PreparedQuery | None = None
        self.names, self.columns = tuple(query.names), tuple([column.type for column in query.columns])

    def run(self, session: Session, parameters: Parameters) -> Result | None:
        if session.statement_timeout_s is not None or session.is_failed or not self.fits(parameters):
            return None
        rows = session.rows
        if rows is not None and not self.is_for(rows.catalog):
            return None
        prepared = self.prepared
        if prepared is None:
            prepared = self.prepared = session.engine.prepared.of(self.query, self.catalog)
        found: Any
        try:
            if rows is None:
                found = prepared.rows(None, parameters, version=self.version_row)
            else:
                found = prepared.rows(rows.transaction.core, parameters, rows=rows)
        except _GIVES_UP:
            return None
        if found is None or found is STALE:
            return None
        return Result(self.names, self.columns, found, None, self.tag, len(found))


# -------------------------------------------------------------------- changes

def prepare_change(statement: plan.Change, engine: QueryEngine, catalog: Catalog, tag: str) -> FastStatement | None:
    """An UPDATE, DELETE or INSERT ... SELECT whose rows the row executor finds; None: not for this way."""
    try:
        preparer = ChangePreparer(engine, catalog, tag)
        match statement:
            case plan.Insert(on_conflict=None, returning=None):
                return _SelectedRows(preparer, engine, statement).insert(statement)
            case plan.Update(returning=None):
                return _SelectedRows(preparer, engine, statement).update(statement)
            case plan.Delete(returning=None):
                return _SelectedRows(preparer, engine, statement).delete(statement)
    except (NotFast, QueryError, RecursionError):
        return None
    return None


class RowChange(FastChange):
    """Of rows that a query finds."""

    __slots__ = ()


class _SelectedRows:
    """A change of rows that a query finds, all of them before the first is changed."""

    def __init__(self, preparer: ChangePreparer, engine: QueryEngine, statement: plan.Insert | plan.Update | plan.Delete
                 ) -> None:
        self.preparer, self.engine, self.table = preparer, engine, statement.table
        self.layout = preparer.writable(statement.table)
        assert self.layout.writer is not None
        self.writer = self.layout.writer

    def made(self, node: plan.Node, items: Sequence[plan.Item],
             change: Callable[[TransactionCore, list[Row], Parameters], int | None]) -> FastStatement:
        columns = tuple(item.column for item in items)
        query = plan.Query(plan.Project(node, tuple(items)), ("",) * len(items), columns)
        types = _parameter_types(query)
        if types is None:
            raise NotFast
        fits, engine, catalog = _Fitting(types), self.engine, self.preparer.catalog

        def apply(core: TransactionCore, parameters: Parameters) -> int | None:
            if not fits(parameters):
                return None
            found = engine.prepared.of(query, catalog).rows(core, parameters)
            return None if found is None else change(core, found, parameters)

        return RowChange(catalog, self.preparer.tag, False, self.table, apply)

    def old_rows(self, statement: plan.Update | plan.Delete) -> list[plan.Item]:
        """The columns of the row to be changed, and its key behind them."""
        if self.preparer.catalog.referencing(self.table):
            raise NotFast
        there = {column.id for column in outputs(statement.source)}
        scans = [part for part in walk(statement.source) if isinstance(part, plan.Scan) and any(
            item.source == plan.ROW_KEY and item.column.id == statement.key.id for item in part.columns)]
        if len(scans) != 1:
            raise NotFast
        columns = {item.source: item.column for item in scans[0].columns if item.column.id in there}
        wanted = [*(column.id for column in self.layout.table.columns), plan.ROW_KEY]
        if any(number not in columns for number in wanted):
            raise NotFast
        return [plan.Item(columns[number], columns[number]) for number in wanted]

    def update(self, statement: plan.Update) -> FastStatement:
        layout = self.layout
        items = self.old_rows(statement)
        width = len(items) - 1
        places: list[tuple[int, int]] = []                   # (position in the row, where the query has its value)
        for number, assignment in enumerate(statement.assignments):
            if isinstance(assignment.expression, plan.Default):
                raise NotFast
            places.append((layout.positions[assignment.target], len(items)))
            column = plan.Column(assignment.expression.type, -1 - number)
            items.append(plan.Item(column, assignment.expression))
        write = writes(layout, None)

        def change(core: TransactionCore, found: list[Row], parameters: Parameters) -> int | None:
            seen = set()
            for row in found:
                row_key = row[width]
                if row_key in seen:                          # of a join: the first one counts
                    continue
                seen.add(row_key)
                values = list(row[:width])
                for position, place in places:
                    values[position] = row[place]
                if write(core, row_key, row[:width], values, parameters) is None:
                    return None
            return len(seen)

        return self.made(statement.source, items, change)

    def delete(self, statement: plan.Delete) -> FastStatement:
        items = self.old_rows(statement)
        width, remove = len(items) - 1, self.writer.delete

        def change(core: TransactionCore, found: list[Row], _parameters: Parameters) -> int:
            rows = {row[width]: row[:width] for row in found}
            for row_key, row in rows.items():
                remove(core, row_key, row)
            return len(rows)

        return self.made(statement.source, items, change)

    def insert(self, statement: plan.Insert) -> FastStatement:
        if isinstance(statement.source, plan.Values):
            raise NotFast
        given = {assignment.target: assignment.expression for assignment in statement.assignments}
        items = []
        for number, column in enumerate(self.layout.table.columns):
            expression = given.get(column.id)
            if expression is None or isinstance(expression, plan.Default):
                if column.default is not None or column.sequence is not None:
                    raise NotFast
                expression = plan.Literal(column.type, None)
            items.append(plan.Item(plan.Column(expression.type, -1 - number), expression))
        insert = inserts(self.layout, self.engine.tables.sequences.next_row_ids, tuple, self.writer.takes, None, None)

        def change(core: TransactionCore, found: list[Row], _parameters: Parameters) -> int | None:
            for row in found:
                if insert(core, row) is None:
                    return None
            return len(found)

        return self.made(statement.source, items, change)
