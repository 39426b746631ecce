"""Statements so plain that they need no executor: parameters in, one call of the row reader or writer, rows out.

    SELECT columns FROM t WHERE key = ?                       Point
    SELECT ... FROM a JOIN b ON b.key = a.x WHERE a.key = ?   Pair
    SELECT columns FROM t WHERE indexed = ? AND next > ?      Range: of the primary key or an index,
        ORDER BY its order or the reverse LIMIT ?                    if all conditions are the range itself
    INSERT INTO t VALUES (...)                                Insert
    UPDATE t SET a = ? WHERE key = ?                          Update
    DELETE FROM t WHERE key = ?                               Delete

`prepare` looks at a plan and gives a FastStatement, or None for all others. It is good for one version of the catalog,
and any thread may run it. Where a parameter is converted it is good for the Python classes of the parameters it was
bound with; the others are exact: codecs refuse what a column does not take as it is. `run` gives None whenever the
usual way has to be taken, with no trace left: the catalog is another, a value needs more than a look, a constraint is
broken, another transaction was faster. So errors are raised in one place only, and what is here is free to give up.

A statement by itself needs no Transaction: a read has the snapshot of its one call, a write a TransactionCore.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from phantomdb.core._ext.row_reader import STALE
from phantomdb.core._ext.row_writer import begin
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.keys import CATALOG_PREFIX
from phantomdb.core.catalog.objects import Table
from phantomdb.core.catalog.storage import VERSION_BYTES, fence_key
from phantomdb.core.errors import PhantomError, RetryableConflict
from phantomdb.core.query import plan
from phantomdb.core.query.access import Access, choose
from phantomdb.core.query.casts import caster
from phantomdb.core.query.errors import QueryError
from phantomdb.core.query.evaluate import is_immutable_cast
from phantomdb.core.query.functions.registry import Volatility, overloads, resolve
from phantomdb.core.query.optimizer import conjuncts, optimize
from phantomdb.core.query.result import Result
from phantomdb.core.query.rewrite import walk
from phantomdb.core.tables.layout import IndexLayout, TableLayout, picker, takes_values
from phantomdb.core.values import BIGINT, Kind, Type

if TYPE_CHECKING:
    from phantomdb.core._ext.row_reader import RowReader
    from phantomdb.core._ext.transaction import TransactionCore
    from phantomdb.core.query.engine import QueryEngine
    from phantomdb.core.query.session import Session

Row = tuple[Any, ...]
Parameters = Sequence[Any]

# What a value or the store may raise on the way: the usual way raises it again, as what it is.
_GIVES_UP = (PhantomError, TypeError, ValueError, OverflowError, ArithmeticError, LookupError)


class _NotFast(Exception):
    """The plan is for an executor."""


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


def prepare(statement: plan.Statement, engine: QueryEngine, catalog: Catalog, tag: str) -> FastStatement | None:
    """The statement for this way, or None. `catalog`: the one it was bound with."""
    preparer = _Preparer(engine, catalog, tag)
    try:
        match statement:
            case plan.Query():
                return preparer.query(optimize(statement))
            case plan.Insert():
                return preparer.insert(statement)
            case plan.Update():
                return preparer.update(statement)
            case plan.Delete():
                return preparer.delete(statement)
    except (_NotFast, QueryError, RecursionError):
        return None
    return None


# -------------------------------------------------------------------- operands

@dataclass(frozen=True, slots=True)
class _Operand:
    """A value of a statement: parameter `index`, or the constant `value`; through `convert`, if there is one."""

    index: int | None
    value: Any = None
    convert: Callable[[Any], Any] | None = None

    def of(self, parameters: Parameters) -> Any:
        value = self.value if self.index is None else parameters[self.index]
        return value if self.convert is None else self.convert(value)


def _operand(expression: plan.Expression) -> _Operand:
    match expression:
        case plan.Literal():
            return _Operand(None, expression.value)
        case plan.Parameter():
            return _Operand(expression.index)
        case plan.Cast(argument=plan.Literal() | plan.Parameter() as inner):
            # one plan serves all ints up to 64 bits, whatever the size of the one it was bound with
            source = BIGINT if inner.type.kind is Kind.INT else inner.type
            if not is_immutable_cast(source, expression.type):
                raise _NotFast
            convert: Callable[[Any], Any] | None = caster(source, expression.type, expression.is_explicit)
            if convert is _SAME:
                convert = None
            if isinstance(inner, plan.Parameter):
                return _Operand(inner.index, None, convert)
            return _Operand(None, inner.value if convert is None else convert(inner.value))
    raise _NotFast


_SAME = caster(BIGINT, BIGINT)


def _assigned(expression: plan.Expression, type_: Type) -> _Operand:
    """What a column of the type is given: an int is checked against its bounds."""
    operand = _operand(expression)
    if isinstance(expression, plan.Parameter) and expression.type.kind is Kind.INT:
        convert = caster(BIGINT, type_)
        return operand if convert is _SAME else replace(operand, convert=convert)
    return operand


def _unchecked(expression: plan.Expression, type_: Type) -> _Operand:
    """The same for a writer that takes values as they are, and checks their bounds."""
    operand = _operand(expression)
    if isinstance(expression, plan.Cast) and operand.index is not None and not type_.is_padded and (
            expression.argument.type.kind is type_.kind and type_.kind in (Kind.INT, Kind.TEXT)):
        return replace(operand, convert=None)
    return operand


def _is_straight(operands: Sequence[_Operand]) -> bool:
    """Whether their values are just the parameters, in their order."""
    return all(operand.index == place and operand.convert is None for place, operand in enumerate(operands))


def _is_exact(operands: Iterable[_Operand]) -> bool:
    return all(operand.convert is None for operand in operands)


def _all(operands: Sequence[_Operand]) -> Callable[[Parameters], Row]:
    """parameters -> the values of all operands."""
    indexes = [operand.index for operand in operands if operand.index is not None and operand.convert is None]
    if len(indexes) == len(operands):
        return picker(indexes)
    return lambda parameters: tuple([operand.of(parameters) for operand in operands])


# -------------------------------------------------------------------- queries

class _Read(FastStatement):
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


def _of_key(read: Callable[..., Any], key: Sequence[_Operand]) -> Callable[..., Any]:
    """`read` takes the values of a key where the result takes the parameters."""
    if _is_straight(key):
        return read
    values = _all(key)
    return lambda core, parameters, version: read(core, values(parameters), version)


@dataclass(slots=True)
class _Range:
    """A range of the primary key (`index` None) or of an index."""

    reader: RowReader
    layout: TableLayout
    index: IndexLayout | None
    equal: Callable[[Parameters], Row]
    low: _Operand | None
    high: _Operand | None
    low_inclusive: bool
    high_inclusive: bool
    limit: _Operand | None
    is_reverse: bool

    def __call__(self, core: TransactionCore | None, parameters: Parameters, version: bytes | None) -> Any:
        equal = self.equal(parameters)
        low = high = limit = None
        if self.limit is not None and (limit := self.limit.of(parameters)) is not None and (
                limit.__class__ is not int or limit < 0):
            return None
        if (None in equal or (self.low is not None and (low := self.low.of(parameters)) is None)
                or (self.high is not None and (high := self.high.of(parameters)) is None)):
            # nothing is equal to NULL; read, so that a catalog that has changed is seen
            limit = 0
        keys = self.layout.keys if self.index is None else self.index.keys
        start, stop = keys.range(equal, low, high, low_inclusive=self.low_inclusive, high_inclusive=self.high_inclusive)
        if self.index is None:
            return self.reader.range(core, start, stop, limit, self.is_reverse, version)
        return self.reader.through(core, keys.codec, start, stop, limit, self.is_reverse, version)


# -------------------------------------------------------------------- changes

class FastChange(FastStatement):
    """`apply`: (transaction, parameters) -> rows changed, or None to give up."""

    __slots__ = ("apply", "apply_many", "fence", "table")

    def __init__(self, catalog: Catalog, tag: str, is_exact: bool, table: int,
                 apply: Callable[[TransactionCore, Parameters], int | None],
                 apply_many: Callable[[TransactionCore, Sequence[Parameters]], int | None] | None = None) -> None:
        super().__init__(catalog, tag, is_exact)
        self.table, self.apply, self.apply_many = table, apply, apply_many
        self.fence = bytes((CATALOG_PREFIX,)) + fence_key(table)

    def run(self, session: Session, parameters: Parameters) -> Result | None:
        count = self._run(session, self.apply, parameters)
        return None if count is None else Result(tag=self.tag, row_count=count)

    def run_many(self, session: Session, rows: Sequence[Parameters]) -> int | None:
        """run() for each row of parameters, all or none; how many rows were changed in all."""
        return self._run(session, self.apply_many or self._one_by_one, rows)

    def _one_by_one(self, core: TransactionCore, rows: Sequence[Parameters]) -> int | None:
        classes = [value.__class__ for value in rows[0]]
        total = 0
        for parameters in rows:
            if [value.__class__ for value in parameters] != classes:
                return None
            count = self.apply(core, parameters)
            if count is None:
                return None
            total += count
        return total

    def _run(self, session: Session, apply: Callable[[TransactionCore, Any], int | None], given: Any) -> int | None:
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

    def _run_alone(self, session: Session, apply: Callable[[TransactionCore, Any], int | None], given: Any
                   ) -> int | None:
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


def _inserts(layout: TableLayout, next_ids: Callable[[int, int], range], build: Callable[[Parameters], Row],
             takes: Callable[[Row], bool] | None) -> Callable[[TransactionCore, Parameters], int | None]:
    """An insert of one row. `takes`: whether the row may be stored as it is; None: it was made of converted values."""
    writer, table = layout.writer, layout.table.id
    assert writer is not None
    insert, has_hidden_key, not_null = writer.insert, layout.has_hidden_key, layout.not_null
    checks = [holds for _, holds in layout.checks]

    def apply(core: TransactionCore, parameters: Parameters) -> int | None:
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
        return 1 if insert(core, row, next_ids(table, 1).start if has_hidden_key else None) else None

    return apply


def _inserts_many(layout: TableLayout, next_ids: Callable[[int, int], range], build: Callable[[Parameters], Row] | None
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


# -------------------------------------------------------------------- from plans

@dataclass(slots=True)
class _Shape:
    """A scan under conditions, in an order, up to a limit. `sources`: stored column of each of its columns."""

    scan: plan.Scan
    conditions: list[plan.Expression]
    sources: dict[int, int]
    order: list[tuple[int, bool]] | None = None
    limit: _Operand | None = None


class _Preparer:
    def __init__(self, engine: QueryEngine, catalog: Catalog, tag: str) -> None:
        self.tables, self.catalog, self.tag = engine.tables, catalog, tag
        self.engine = engine.store.engine

    def layout(self, table: int) -> TableLayout:
        layout = self.tables.layouts.of(self.catalog.table(table))
        if layout.expiry is not None:
            raise _NotFast
        return layout

    # ---- queries

    def query(self, query: plan.Query) -> FastStatement:
        if isinstance(query.plan, plan.Project) and isinstance(query.plan.input, plan.Join):
            return self.join(query, query.plan, query.plan.input)
        shape = _shape(query.plan)
        layout = self.layout(shape.scan.table)
        access = self.access(shape.scan, shape.conditions)
        reader = layout.reader(self.engine, [self.source(shape.sources[column.id]) for column in query.columns])
        equal = [_operand(expression) for expression in access.equal]
        if access.is_unique and access.index is None and layout.keys.is_plain and shape.limit is None:
            return _Read(self.catalog, self.tag, _is_exact(equal), query, _of_key(reader.get, equal))
        index = None if access.index is None else layout.index(access.index.id)
        low, high = (None if bound is None else _operand(bound.expression) for bound in (access.low, access.high))
        read = _Range(reader, layout, index, _all(equal), low, high,
                      access.low is None or access.low.is_inclusive, access.high is None or access.high.is_inclusive,
                      shape.limit, _is_reverse(layout.table, access, shape))
        used = [operand for operand in (*equal, low, high, shape.limit) if operand is not None]
        return _Read(self.catalog, self.tag, _is_exact(used), query, read)

    @staticmethod
    def source(number: int) -> int:
        if number <= 0 and number != plan.ROW_KEY:
            raise _NotFast
        return number

    def access(self, scan: plan.Scan, conditions: Sequence[plan.Expression]) -> Access:
        """A range that the conditions name completely."""
        access = choose(self.catalog.table(scan.table), scan, conditions)
        if access.is_everything or access.rest:
            raise _NotFast
        return access

    def key(self, scan: plan.Scan, conditions: Sequence[plan.Expression]) -> list[plan.Expression]:
        """The values of the whole primary key."""
        access = self.access(scan, conditions)
        if not access.is_unique or access.index is not None or not self.layout(scan.table).keys.is_plain:
            raise _NotFast
        return access.equal

    def join(self, query: plan.Query, project: plan.Project, join: plan.Join) -> FastStatement:
        if join.kind is not plan.JoinKind.INNER or join.is_lateral:
            raise _NotFast
        for first, second in ((join.left, join.right), (join.right, join.left)):
            try:
                return self.joined(query, project, _shape(first), _shape(second), conjuncts(join.condition))
            except _NotFast:
                continue
        raise _NotFast

    def joined(self, query: plan.Query, project: plan.Project, first: _Shape, second: _Shape,
               conditions: list[plan.Expression]) -> FastStatement:
        key = [_operand(expression) for expression in self.key(first.scan, first.conditions)]
        linked = self.key(second.scan, conditions + second.conditions)
        items = {item.column.id: item.expression for item in project.items}
        wanted = [_column(items[column.id]) for column in query.columns]
        # of the first row what the result wants, then the key of the second row
        ours = [column.id for column in wanted if column.id in first.sources]
        links = [_column(expression).id for expression in linked]
        theirs = [column.id for column in wanted if column.id in second.sources]
        if len(ours) + len(theirs) != len(wanted) or not all(number in first.sources for number in links):
            raise _NotFast
        reader = self.layout(first.scan.table).reader(
            self.engine, [self.source(first.sources[number]) for number in (*ours, *links)])
        other = self.layout(second.scan.table).reader(
            self.engine, [self.source(second.sources[number]) for number in theirs])
        width = len(ours) + len(links)
        places = [ours.index(column.id) if column.id in first.sources else width + theirs.index(column.id)
                  for column in wanted]
        read = partial(reader.pair, other, tuple(range(len(ours), width)), tuple(places))
        return _Read(self.catalog, self.tag, _is_exact(key), query, _of_key(read, key))

    # ---- changes

    def writable(self, table: int) -> TableLayout:
        """The layout of a table whose rows a RowWriter can keep."""
        layout = self.layout(table)
        if layout.writer is None or layout.generated or layout.table.foreign_keys or not all(
                _is_immutable(check.condition.bound) for check in layout.table.checks):
            raise _NotFast
        return layout

    def insert(self, statement: plan.Insert) -> FastStatement:
        layout, source = self.writable(statement.table), statement.source
        if (statement.on_conflict is not None or statement.returning is not None
                or not isinstance(source, plan.Values) or len(source.rows) != 1):
            raise _NotFast
        given = {column.id: expression for column, expression in zip(source.columns, source.rows[0], strict=True)}
        assigned = {item.target: item.expression for item in statement.assignments}
        parts: list[tuple[plan.Expression, Type]] = []
        for column in layout.table.columns:
            expression = assigned.get(column.id)
            if expression is None:
                if column.default is not None or column.sequence is not None:
                    raise _NotFast
                expression = plan.Literal(column.type, None)
            parts.append((given[expression.id] if isinstance(expression, plan.Column) else expression, column.type))
        operands = [_unchecked(*part) for part in parts]
        next_ids = self.tables.sequences.next_row_ids
        if any(operand.convert is not None for operand in operands) or not all(
                takes_values(type_) for _, type_ in parts):
            build = _all([_assigned(*part) for part in parts])
            return FastChange(self.catalog, self.tag, False, statement.table, _inserts(layout, next_ids, build, None))
        build = _all(operands)
        assert layout.writer is not None
        apply = _inserts(layout, next_ids, build, layout.writer.takes)
        if layout.checks:
            return FastChange(self.catalog, self.tag, True, statement.table, apply)
        many = _inserts_many(layout, next_ids, None if _is_straight(operands) else build)
        return FastChange(self.catalog, self.tag, True, statement.table, apply, many)

    def changed(self, statement: plan.Update | plan.Delete
                ) -> tuple[TableLayout, Callable[..., Any], bool]:
        """The layout, what reads the row to change, its row key behind it, and whether that takes any classes."""
        layout = self.writable(statement.table)
        if statement.returning is not None or self.catalog.referencing(statement.table):
            raise _NotFast
        shape = _shape(statement.source)
        if shape.scan.table != statement.table or shape.sources.get(statement.key.id) != plan.ROW_KEY:
            raise _NotFast
        key = [_operand(expression) for expression in self.key(shape.scan, shape.conditions)]
        reader = layout.reader(self.engine, [*(column.id for column in layout.table.columns), plan.ROW_KEY])
        values = _all(key)
        return layout, lambda core, parameters: reader.get(core, values(parameters)), _is_exact(key)

    def update(self, statement: plan.Update) -> FastStatement:
        layout, read, is_exact = self.changed(statement)
        columns = layout.table.columns
        parts = [(position := layout.positions[item.target], _assigned(item.expression, columns[position].type))
                 for item in statement.assignments]
        checks = [holds for _, holds in layout.checks]
        not_null = frozenset(layout.not_null)
        assert layout.writer is not None
        write = layout.writer.update

        def apply(core: TransactionCore, parameters: Parameters) -> int | None:
            found = read(core, parameters)
            if not found:
                return 0
            values = list(found[0])
            row_key = values.pop()
            old = tuple(values)
            for position, operand in parts:
                value = values[position] = operand.of(parameters)
                if value is None and position in not_null:
                    return None
            row = tuple(values)
            for holds in checks:
                if holds(row) is False:
                    return None
            return 1 if write(core, row_key, old, row) else None

        # a parameter that goes in unconverted, or is an int in its bounds: of another class, the codec refuses it
        is_exact = is_exact and not any(isinstance(item.expression, plan.Cast) and operand.convert is not None
                                        for item, (_, operand) in zip(statement.assignments, parts, strict=True))
        return FastChange(self.catalog, self.tag, is_exact, statement.table, apply)

    def delete(self, statement: plan.Delete) -> FastStatement:
        layout, read, is_exact = self.changed(statement)
        assert layout.writer is not None
        write = layout.writer.delete

        def apply(core: TransactionCore, parameters: Parameters) -> int:
            found = read(core, parameters)
            if not found:
                return 0
            *values, row_key = found[0]
            write(core, row_key, tuple(values))
            return 1

        return FastChange(self.catalog, self.tag, is_exact, statement.table, apply)


def _shape(node: plan.Node) -> _Shape:
    match node:
        case plan.Scan():
            if node.as_of is not None or node.for_update:
                raise _NotFast
            return _Shape(node, [], {item.column.id: item.source for item in node.columns})
        case plan.Filter(input=plan.Scan()):
            shape = _shape(node.input)
            shape.conditions = conjuncts(node.condition)
            return shape
        case plan.Project():
            shape = _shape(node.input)
            shape.sources = {item.column.id: shape.sources[_column(item.expression).id] for item in node.items}
            return shape
        case plan.Sort():
            shape = _shape(node.input)
            if shape.order is not None or shape.limit is not None:
                raise _NotFast
            shape.order = [(shape.sources[_column(key.expression).id], key.is_descending) for key in node.keys]
            return shape
        case plan.Limit(offset=None, with_ties=False):
            shape = _shape(node.input)
            if shape.limit is not None:
                raise _NotFast
            shape.limit = None if node.count is None else _operand(node.count)
            return shape
    raise _NotFast


def _column(expression: plan.Expression) -> plan.Column:
    if not isinstance(expression, plan.Column):
        raise _NotFast
    return expression


def _is_reverse(table: Table, access: Access, shape: _Shape) -> bool:
    """Whether the range is to be read backwards. Columns that may be NULL do not count as ordered: where the NULLs
    stand would matter."""
    if not shape.order or access.is_unique:
        return False
    parts: list[tuple[int, bool]] = []
    if access.index is not None:
        parts = [(part.column or 0, part.is_descending) for part in access.index.columns]
    # entries of one value stand in the order of the primary key; the hidden one is no column
    parts += [(number, False) for number in table.primary_key]
    order = []
    for number, is_descending in parts[len(access.equal):]:
        if number <= 0 or (table.column_by_id(number).is_nullable and number not in table.primary_key):
            break
        order.append((number, is_descending))
    wanted = shape.order
    if order[:len(wanted)] == wanted:
        return False
    if [(number, not is_descending) for number, is_descending in order[:len(wanted)]] == wanted:
        return True
    raise _NotFast


def _is_immutable(expression: plan.Expression) -> bool:
    """Whether it is the same for a row at any time, in any session."""
    for part in walk(expression):
        if isinstance(part, plan.Subquery):
            return False
        if isinstance(part, plan.Cast) and not is_immutable_cast(part.argument.type, part.type):
            return False
        if isinstance(part, plan.Call) and overloads(part.name):       # others are no functions: AND, IS NULL, IN
            found = resolve(part.name, [argument.type for argument in part.arguments]).overload
            if found.volatility is not Volatility.IMMUTABLE:
                return False
    return True
