"""Statements so plain that they need no executor: parameters in, one call of the row reader or writer, rows out.

    FastRead      a point, a range of the primary key or of an index, or a row and the one it leads to
    FastChange    INSERT of a row, UPDATE or DELETE of the row with a key

fast_plans.py and fast_changes.py make them. One is good for one version of the catalog, and any thread may run it.
Where a parameter is converted it is good for the Python classes of the parameters it was bound with; the others are
exact: codecs refuse what a column does not take as it is. `run` gives None whenever the usual way has to be taken, with
no trace left but ids and values of sequences that were taken: the catalog is another, a value needs more than a look, a
constraint is broken, another transaction was faster. So errors are raised in one place only, and what is here is free
to give up.

A statement by itself needs no Transaction: a read has the snapshot of its one call, a write a TransactionCore.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phantomdb.core._ext.row_reader import STALE
from phantomdb.core._ext.row_writer import begin
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.keys import CATALOG_PREFIX
from phantomdb.core.catalog.storage import VERSION_BYTES, fence_key
from phantomdb.core.errors import PhantomError, RetryableConflict
from phantomdb.core.query import plan
from phantomdb.core.query.result import Result
from phantomdb.core.tables.layout import IndexLayout, TableLayout, picker

if TYPE_CHECKING:
    from phantomdb.core._ext.row_reader import RowReader
    from phantomdb.core._ext.transaction import TransactionCore
    from phantomdb.core.query.session import Session
    from phantomdb.core.values import Type

Row = tuple[Any, ...]
Parameters = Sequence[Any]

_NONE = type(None)
# What a value or the store may raise on the way: the usual way raises it again, as what it is.
_GIVES_UP = (PhantomError, TypeError, ValueError, OverflowError, ArithmeticError, LookupError)


class FastStatement:
    """A prepared statement. `catalog`: the one it was prepared for. `is_exact`: it takes parameters of any classes;
    else of those it was bound with."""

    __slots__ = ("catalog", "is_exact", "tag", "version_row")

    def __init__(self, catalog: Catalog, tag: str, is_exact: bool) -> None:
        self.tag, self.catalog, self.is_exact = tag, catalog, is_exact
        self.version_row = catalog.version.to_bytes(VERSION_BYTES, "big")

    def is_for(self, catalog: Catalog) -> bool:
        return catalog is self.catalog or catalog.version == self.catalog.version

    def run(self, session: Session, parameters: Parameters) -> Result | None:
        """The result, or None: nothing has happened, and the statement is to be run the usual way."""
        raise NotImplementedError


# -------------------------------------------------------------------- operands

@dataclass(frozen=True, slots=True)
class Operand:
    """A value of a statement: parameter `index`, or the constant `value`; through `convert`, if there is one."""

    index: int | None
    value: Any = None
    convert: Callable[[Any], Any] | None = None

    def of(self, parameters: Parameters) -> Any:
        value = self.value if self.index is None else parameters[self.index]
        return value if self.convert is None else self.convert(value)


def is_straight(operands: Sequence[Operand]) -> bool:
    """Whether their values are just the parameters, in their order."""
    return all(operand.index == place and operand.convert is None for place, operand in enumerate(operands))


def are_exact(operands: Iterable[Operand]) -> bool:
    return all(operand.convert is None for operand in operands)


def values_of(operands: Sequence[Operand]) -> Callable[[Parameters], Row]:
    """parameters -> the values of all operands."""
    indexes = [operand.index for operand in operands if operand.index is not None and operand.convert is None]
    if len(indexes) == len(operands):
        return picker(indexes)
    return lambda parameters: tuple([operand.of(parameters) for operand in operands])


# -------------------------------------------------------------------- queries

class FastRead(FastStatement):
    """`read`: (transaction or None, parameters, version row or None) -> rows, STALE, or None to give up."""

    __slots__ = ("names", "read", "types")

    def __init__(self, catalog: Catalog, tag: str, is_exact: bool, query: plan.Query,
                 read: Callable[[TransactionCore | None, Parameters, bytes | None], Any]) -> None:
        super().__init__(catalog, tag, is_exact)
        self.names, self.types = tuple(query.names), tuple([column.type for column in query.columns])
        self.read = read

    def run(self, session: Session, parameters: Parameters) -> Result | None:
        rows = session.rows
        try:
            if rows is None:
                found = self.read(None, parameters, self.version_row)
            elif session.is_failed or (rows.catalog is not self.catalog and not self.is_for(rows.catalog)):
                return None
            else:
                found = self.read(rows.transaction.core, parameters, None)
        except _GIVES_UP:
            return None
        if found is None or found is STALE:
            return None
        return Result(self.names, self.types, found, None, self.tag, len(found))


def read_by_key(read: Callable[..., Any], key: Sequence[Operand]) -> Callable[..., Any]:
    """`read` takes the values of a key where the result takes the parameters."""
    if is_straight(key):
        return read
    values = values_of(key)
    return lambda core, parameters, version: read(core, values(parameters), version)


@dataclass(slots=True)
class RangeRead:
    """A range of the primary key (`index` None) or of an index."""

    reader: RowReader
    layout: TableLayout
    index: IndexLayout | None
    equal: Callable[[Parameters], Row]
    low: Operand | None
    high: Operand | None
    low_inclusive: bool
    high_inclusive: bool
    limit: Operand | None
    is_reverse: bool

    def __call__(self, core: TransactionCore | None, parameters: Parameters, version: bytes | None) -> Any:
        equal = self.equal(parameters)
        low = None if self.low is None else self.low.of(parameters)
        high = None if self.high is None else self.high.of(parameters)
        limit = None if self.limit is None else self.limit.of(parameters)
        if limit is not None and (limit.__class__ is not int or not 0 <= limit < 1 << 63):
            return None
        if None in equal or (low is None and self.low is not None) or (high is None and self.high is not None):
            # nothing is equal to NULL; go on, so that all values and the catalog are looked at
            limit = 0
        keys = self.layout.keys if self.index is None else self.index.keys
        start, stop = keys.range(equal, low, high, low_inclusive=self.low_inclusive, high_inclusive=self.high_inclusive)
        if self.index is None:
            return self.reader.range(core, start, stop, limit, self.is_reverse, version)
        return self.reader.through(core, keys.codec, start, stop, limit, self.is_reverse, version)


# -------------------------------------------------------------------- changes

# (transaction, parameters) -> how many rows were changed, or with RETURNING the list of its rows; None to give up.
Change = Callable[["TransactionCore", Parameters], Any]


class FastChange(FastStatement):
    """`apply_many`: (transaction, rows of parameters) -> how many rows were changed, or None to give up. `names` and
    `types` of the columns of RETURNING; no names: there is none."""

    __slots__ = ("apply", "apply_many", "fence", "names", "table", "types")

    def __init__(self, catalog: Catalog, tag: str, is_exact: bool, table: int, apply: Change,
                 apply_many: Callable[[TransactionCore, Sequence[Parameters]], int | None] | None = None,
                 names: tuple[str, ...] | None = None, types: tuple[Type, ...] = ()) -> None:
        super().__init__(catalog, tag, is_exact)
        self.table, self.apply, self.apply_many = table, apply, apply_many
        self.names, self.types = names, types
        self.fence = bytes((CATALOG_PREFIX,)) + fence_key(table)

    def run(self, session: Session, parameters: Parameters) -> Result | None:
        found = self._run(session, self.apply, parameters)
        if found is None:
            return None
        if self.names is None:
            session.engine.figures.note(self.table, found)
            return Result(tag=self.tag, row_count=found)
        session.engine.figures.note(self.table, len(found))
        return Result(self.names, self.types, found, None, self.tag, len(found))

    def run_many(self, session: Session, rows: Sequence[Parameters]) -> int | None:
        """run() for each row of parameters, all or none; how many rows were changed in all."""
        count: int | None = self._run(session, self.apply_many or self._one_by_one, rows)
        if count is not None:
            session.engine.figures.note(self.table, count)
        return count

    def _one_by_one(self, core: TransactionCore, rows: Sequence[Parameters]) -> int | None:
        classes = tuple(map(type, rows[0]))
        total = 0
        for parameters in rows:
            found = tuple(map(type, parameters))
            if found != classes and (len(found) != len(classes) or any(
                    one is not other and one is not _NONE for one, other in zip(found, classes, strict=True))):
                return None
            count = self.apply(core, parameters)
            if count is None:
                return None
            total += count if self.names is None else len(count)
        return total

    def _run(self, session: Session, apply: Callable[[TransactionCore, Any], Any], given: Any) -> Any:
        if session.rows is None:
            return self._run_alone(session, apply, given)
        rows = session.rows
        if session.is_failed or session.is_read_only or not self.is_for(rows.catalog):
            return None
        core = rows.transaction.core
        if not core.is_open:
            return None
        mark = core.mark()
        count = None
        try:
            rows.fence(self.table)
            count = apply(core, given)
        except _GIVES_UP:
            pass
        finally:
            if count is None and core.is_open:
                core.rollback_to(mark)
        return count

    def _run_alone(self, session: Session, apply: Callable[[TransactionCore, Any], Any], given: Any) -> Any:
        if session.settings.get("default_transaction_read_only") == "on":
            return None
        store = session.engine.store
        try:
            core = begin(store.engine, session.default_isolation == "serializable", store.options.transaction_bytes,
                         self.version_row, self.fence)
        except PhantomError:
            return None
        if core is None:
            return None
        count = None
        try:
            count = apply(core, given)
        except _GIVES_UP:
            pass
        finally:
            if count is None:
                core.rollback()
        if count is None:
            return None
        try:
            core.commit()
        except RetryableConflict:
            return None
        return count


def inserts(layout: TableLayout, next_ids: Callable[[int, int], range], build: Callable[[Parameters], Row],
            takes: Callable[[Row], bool] | None, resolve: Callable[[TransactionCore, Row, Parameters], Any] | None,
            give: Callable[[Row, Row, Parameters], Row] | None) -> Change:
    """An insert of one row. `takes`: whether the row may be stored as it is; None: it was made of converted values.
    `resolve`: what is done when a unique key is taken. `give`: what RETURNING gives of the new row."""
    writer, table = layout.writer, layout.table.id
    assert writer is not None
    insert, has_hidden_key, not_null = writer.insert, layout.has_hidden_key, layout.not_null
    checks = [holds for _, holds in layout.checks]

    def apply(core: TransactionCore, parameters: Parameters) -> Any:
        row = build(parameters)
        if takes is None:
            for position in not_null:
                if row[position] is None:
                    return None
        elif not takes(row):
            return None
        for holds in checks:
            if holds(row) is False:
                return None
        if not insert(core, row, next_ids(table, 1).start if has_hidden_key else None):
            return None if resolve is None else resolve(core, row, parameters)
        return 1 if give is None else [give(row, (), parameters)]

    return apply


def inserts_many(layout: TableLayout, next_ids: Callable[[int, int], range], build: Callable[[Parameters], Row] | None
                 ) -> Callable[[TransactionCore, Sequence[Parameters]], int | None]:
    """An insert of a row, stored as it is, for each row of parameters. No `build`: those are the rows."""
    writer, table, has_hidden_key = layout.writer, layout.table.id, layout.has_hidden_key
    assert writer is not None
    insert_many = writer.insert_many

    def apply(core: TransactionCore, rows: Sequence[Parameters]) -> int | None:
        count = len(rows)
        first = next_ids(table, count).start if has_hidden_key else None
        return count if insert_many(core, rows if build is None else map(build, rows), first) == count else None

    return apply
