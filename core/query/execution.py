"""Running a bound statement: which executor a query gets, and how changes reach the tables.

    Query     row executor when it can and few rows are expected, else the vector executor
    changes   the source is a query like any other; its rows go through TableWriter one by one
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from phantomdb.core._ext.row_operators import TooManyRows
from phantomdb.core.catalog.objects import Table
from phantomdb.core.query import locking, plan
from phantomdb.core.query.errors import CardinalityViolation, FeatureNotSupported, NumericTooWide
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression
from phantomdb.core.query.prepared import PreparedQuery
from phantomdb.core.query.result import Result, RowStream, result_of
from phantomdb.core.query.rewrite import outputs, references, walk
from phantomdb.core.query.row_plan import Shown
from phantomdb.core.query.sources import TransactionSource
from phantomdb.core.tables.rows import DEFAULT, RowTransaction
from phantomdb.core.tables.statement import RowStatement
from phantomdb.core.tables.writer import OnConflict, TableWriter

if TYPE_CHECKING:
    from phantomdb.core.query.session import Session

EXACT_COST = 5e6                         # of what the row executor does for numerics too wide for the other one

T = TypeVar("T")
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What running a query took: the row executor's operators have counted, or what DuckDB tells."""

    query: plan.Query
    row_count: int
    shown: Shown | None
    vector: dict[str, Any] | None

    @property
    def vector_rows(self) -> int:
        """Rows of the topmost of DuckDB's operators that counts them."""
        waiting = list((self.vector or {}).get("operator", ()))
        while waiting:
            item = waiting.pop(0)
            if item["type"] not in ("RESULT_COLLECTOR", "EXPLAIN_ANALYZE"):
                return int(item["intermediate_rows"])
            waiting = list(item.get("children", ())) + waiting
        return 0


class Executor:
    """Runs the statements of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.profiles: list[Profile] | None = None           # of the queries run, where somebody asks for them

    def execute(self, statement: plan.Statement, rows: RowTransaction, parameters: Sequence[Any], tag: str) -> Result:
        match statement:
            case plan.Query(locks=plan.RowLocks()):
                return locking.run(self, statement, rows, parameters, tag)
            case plan.Query():
                return self.query(statement, rows, parameters, tag)
            case plan.Insert():
                return _Change(self, statement, rows, parameters).insert(statement)
            case plan.Update():
                return _Change(self, statement, rows, parameters).update(statement)
            case plan.Delete():
                return _Change(self, statement, rows, parameters).delete(statement)
            case plan.Merge():
                return _Change(self, statement, rows, parameters).merge(statement)
        raise AssertionError(type(statement).__name__)

    def execute_many(self, statement: plan.Change, rows: RowTransaction, parameters: Sequence[Sequence[Any]]) -> int:
        """The change for each row of parameters; how many rows it changed in all."""
        if isinstance(statement, plan.Insert) and isinstance(statement.source, plan.Values) and (
                statement.on_conflict is None or not statement.on_conflict.assignments) and not any(
                isinstance(part, plan.Subquery) for part in walk(statement.source)):
            change = _Change(self, statement, rows, parameters[0])
            return change.insert(statement, parameters).row_count
        return sum(max(0, self.execute(statement, rows, given, "").row_count) for given in parameters)

    # ---------------------------------------------------------------- queries

    def query(self, query: plan.Query, rows: RowTransaction, parameters: Sequence[Any], tag: str = "SELECT") -> Result:
        """`query` is one that comes again, if the statement does."""
        prepared = self.session.engine.prepared.of(query, rows.catalog)
        found = self._by_rows(prepared, rows, parameters)
        if found is None:
            try:
                return self.vector(prepared.query, rows, parameters, tag)
            except NumericTooWide:
                row_plan = None if self.session.only_executor else prepared.row_plan(is_forced=True)
                if row_plan is None or row_plan.cost > EXACT_COST:
                    raise
                check = None if self.session.cancellation is None else self.session.cancellation.check
                found = row_plan.run(rows.transaction.core, parameters, rows=rows, check=check, may_give_up=False)
        return result_of(query.names, [column.type for column in query.columns], found, tag)

    def _by_rows(self, prepared: PreparedQuery, rows: RowTransaction, parameters: Sequence[Any]) -> list[Row] | None:
        """By the row executor; None: by the other one. FeatureNotSupported: the session allows no other."""
        cancellation, only = self.session.cancellation, self.session.only_executor
        check = None if cancellation is None else cancellation.check
        found: list[Row] | None = None
        if only is None and self.profiles is None:
            found = prepared.rows(rows.transaction.core, parameters, rows=rows, check=check)
            return found
        if only == "vector":
            return None
        row_plan = prepared.row_plan(is_forced=only == "row", is_own=self.profiles is not None)
        if row_plan is None and only == "row":
            raise FeatureNotSupported("this query is not for the row executor (phantomdb.executor)")
        if row_plan is not None:
            try:
                found = row_plan.run(rows.transaction.core, parameters, rows=rows, check=check,
                                     is_profiled=self.profiles is not None, may_give_up=only is None)
            except TooManyRows:
                return None
            if self.profiles is not None:
                self.profiles.append(Profile(prepared.source, len(found or ()), row_plan.shown, None))
        return found

    def profiled(self, query: plan.Query, rows: RowTransaction, parameters: Sequence[Any]) -> int:
        """How many rows a query gives; what each of its operators took is added to `profiles`."""
        prepared = self.session.engine.prepared.of(query, rows.catalog)
        found = self._by_rows(prepared, rows, parameters)
        if found is not None:
            return len(found)
        source = TransactionSource(self.session.engine, rows, self.session.name, parameters)
        profile = self.session.engine.vector.profile(prepared.query, parameters, source,
                                                     cancel=self.session.cancellation)
        assert self.profiles is not None
        made = Profile(query, 0, None, profile)
        self.profiles.append(made)
        return made.vector_rows

    def vector(self, query: plan.Query, rows: RowTransaction, parameters: Sequence[Any], tag: str = "SELECT") -> Result:
        """The same by the vector executor, whatever the size."""
        engine = self.session.engine
        source = TransactionSource(engine, rows, self.session.name, parameters)
        found = engine.vector.run(query, parameters, source, cancel=self.session.cancellation)
        return Result(query.names, tuple([column.type for column in query.columns]), None, found, tag)

    def stream(self, query: plan.Query, rows: RowTransaction, parameters: Sequence[Any], use: Callable[[RowStream], T]
               ) -> T:
        """Calls `use` with the rows, which the vector executor computes as `use` asks for them."""
        prepared = self.session.engine.prepared.of(query, rows.catalog)
        made = self._by_rows(prepared, rows, parameters)
        if made is not None:
            return use(result_of(query.names, [column.type for column in query.columns], made))
        source = TransactionSource(self.session.engine, rows, self.session.name, parameters)
        found = self.session.engine.vector.run(prepared.query, parameters, source, cancel=self.session.cancellation,
                                               is_streamed=True)
        try:
            return use(found)
        finally:
            found.close()

    def source(self, statement: T, make: Callable[[T], _Source]) -> _Source:
        """What a statement or subquery reads: the same query each time it comes."""
        return self.session.engine.prepared.derived(statement, make)

    def source_of(self, statement: plan.Change) -> plan.Query:
        """The query that a change reads, where it is always the same."""
        match statement:
            case plan.Insert():
                return self.source(statement, _insert_source).query
            case plan.Update():
                return self.source(statement, _update_source).query
            case plan.Delete():
                return self.source(statement, _delete_source).query
        return self.source(statement, _merge_source).query

    def rows_of(self, query: plan.Query, rows: RowTransaction, parameters: Sequence[Any]) -> list[Row]:
        """The rows of a query, all of them before the first change is made."""
        return self.query(query, rows, parameters, "").fetchall()


@dataclass(frozen=True, slots=True)
class _Source:
    """What a change reads: a query with these columns, and assignments that take their values from them."""

    query: plan.Query
    columns: tuple[plan.Column, ...]
    assignments: tuple[plan.Assignment, ...] = ()


def _source(node: plan.Node, columns: Iterable[plan.Column], assignments: Iterable[plan.Assignment] = ()) -> _Source:
    given = tuple(dict.fromkeys(columns))
    return _Source(plan.Query(node, tuple(column.name for column in given), given), given, tuple(assignments))


def _update_source(statement: plan.Update) -> _Source:
    computed, assignments = _computed(statement.assignments)
    columns = [statement.key, *(item.column for item in computed), *_returned_columns(statement)]
    columns = list(dict.fromkeys(columns))
    return _source(_with_items(statement.source, computed, columns), columns, assignments)


def _delete_source(statement: plan.Delete) -> _Source:
    return _source(statement.source, [statement.key, *_returned_columns(statement)])


def _insert_source(statement: plan.Insert) -> _Source:
    return _source(statement.source, _used_columns(statement, statement.source), statement.assignments)


def _merge_source(statement: plan.Merge) -> _Source:
    """Of a MERGE for EXPLAIN: what it reads besides is computed of the same rows."""
    return _source(statement.source, [statement.key])


def _subquery_source(subquery: plan.Subquery) -> _Source:
    return _source(subquery.plan, subquery.outputs)


class _Change:
    """One INSERT, UPDATE, DELETE or MERGE."""

    def __init__(self, executor: Executor, statement: plan.Change, rows: RowTransaction, parameters: Sequence[Any]
                 ) -> None:
        self.executor, self.rows, self.parameters = executor, rows, parameters
        self.table: Table = rows.catalog.table(statement.table)
        self.context = EvaluationContext(parameters)
        self.row_statement = RowStatement(rows)
        self.writer: TableWriter = self.row_statement.writer(statement.table)
        self.positions = {column.id: place for place, column in enumerate(self.table.columns)}
        self.returned: list[Row] = []
        self.count = 0

    def finish(self, tag: str, returning: plan.Returning | None) -> Result:
        self.row_statement.finish()
        self.executor.session.engine.figures.note(self.table.id, self.count)
        if returning is None:
            return Result(tag=tag, row_count=self.count)
        return Result(returning.names, tuple([item.column.type for item in returning.items]), self.returned, None, tag,
                      self.count)

    # ---------------------------------------------------------------- the four statements

    def insert(self, statement: plan.Insert, parameters: Sequence[Sequence[Any]] | None = None) -> Result:
        """`parameters`: VALUES is run for each of these, as one statement."""
        columns = _used_columns(statement, statement.source)
        build = self._builder(statement.assignments, columns, from_default=True)
        give = self._returner(statement.returning, columns)
        conflict = self._conflict(statement.on_conflict)
        source: Iterable[Row]
        if isinstance(statement.source, plan.Values):
            source = self._written_rows(statement.source, columns, parameters)
        else:
            query = self.executor.source(statement, _insert_source).query
            source = self.executor.rows_of(query, self.rows, self.parameters)
        for row in source:
            stored = self.writer.insert(build(row, None), conflict)
            if stored is not None:
                self.count += 1
                give(stored, row)
        return self.finish("INSERT", statement.returning)

    def _written_rows(self, node: plan.Values, columns: Sequence[plan.Column],
                      parameters: Sequence[Sequence[Any]] | None) -> Iterable[Row]:
        """VALUES: evaluated row by row, DEFAULT where it says so."""
        places = {column.id: place for place, column in enumerate(node.columns)}
        wanted = [places[column.id] for column in columns]
        context = self._with_subqueries()
        made = ([(lambda _: DEFAULT) if isinstance(row[place], plan.Default)
                 else compile_expression(row[place], {}, context) for place in wanted] for row in node.rows)
        if parameters is None:
            for evaluators in made:
                yield tuple([evaluate(()) for evaluate in evaluators])
            return
        compiled = list(made)
        for context.parameters in parameters:
            for evaluators in compiled:
                yield tuple([evaluate(()) for evaluate in evaluators])

    def _with_subqueries(self) -> EvaluationContext:
        if self.context.subquery is None:
            self.context.subquery = self._subquery
        return self.context

    def _subquery(self, subquery: plan.Subquery, columns: Any) -> Callable[[Sequence[Any]], Iterable[Row]]:
        """A subquery in VALUES, SET or RETURNING that depends on no row: run once."""
        if references(subquery.plan) & set(columns):
            raise FeatureNotSupported("a subquery here may not name columns of the row")
        found: list[Row] | None = None

        def run(_row: Sequence[Any]) -> Iterable[Row]:
            nonlocal found
            if found is None:
                query = self.executor.source(subquery, _subquery_source).query
                found = self.executor.rows_of(query, self.rows, self.parameters)
            return found

        return run

    def update(self, statement: plan.Update) -> Result:
        source = self.executor.source(statement, _update_source)
        build = self._builder(source.assignments, source.columns, from_default=False)
        give = self._returner(statement.returning, source.columns)
        layout = self.writer.layout
        for row in self.executor.rows_of(source.query, self.rows, self.parameters):
            old = self.rows.get(layout, row[0])
            if old is None:
                continue
            stored = self.writer.update(row[0], old, build(row, old))
            if stored is not None:
                self.count += 1
                give(stored, row)
        return self.finish("UPDATE", statement.returning)

    def delete(self, statement: plan.Delete) -> Result:
        source = self.executor.source(statement, _delete_source)
        give = self._returner(statement.returning, source.columns)
        layout = self.writer.layout
        for row in self.executor.rows_of(source.query, self.rows, self.parameters):
            old = self.rows.get(layout, row[0])
            if old is not None and self.writer.delete(row[0], old):
                self.count += 1
                give(old, row)
        return self.finish("DELETE", statement.returning)

    def merge(self, statement: plan.Merge) -> Result:
        computed: list[plan.Item] = []
        clauses = []
        for clause in statement.clauses:
            items, assignments = _computed(clause.assignments)
            condition = None
            if clause.condition is not None:
                condition = plan.Column(clause.condition.type, _number())
                items.append(plan.Item(condition, clause.condition))
            clauses.append((clause, condition, assignments))
            computed += items
        columns = [statement.key, *(item.column for item in computed)]
        source = _source(_with_items(statement.source, computed, columns), columns)
        rows = self.executor.rows_of(source.query, self.rows, self.parameters)
        places = {column.id: place for place, column in enumerate(columns)}
        builders = [(clause, None if condition is None else places[condition.id],
                     self._builder(assignments, columns, from_default=clause.action is plan.MergeAction.INSERT))
                    for clause, condition, assignments in clauses]
        for row in rows:
            for clause, test, build in builders:
                if clause.is_matched is (row[0] is not None) and (test is None or row[test] is True):
                    self._act(clause, row, build)
                    break
        return self.finish("MERGE", None)

    def _act(self, clause: plan.MergeClause, row: Row, build: Callable[[Row, Row | None], list[Any]]) -> None:
        if clause.action is plan.MergeAction.NOTHING:
            return
        if clause.action is plan.MergeAction.INSERT:
            self.writer.insert(build(row, None))
            self.count += 1
            return
        old = self.rows.get(self.writer.layout, row[0])
        changed: Any = None
        if old is not None:
            changed = self.writer.delete(row[0], old) if clause.action is plan.MergeAction.DELETE else \
                self.writer.update(row[0], old, build(row, old))
        if not changed:
            raise CardinalityViolation("MERGE command cannot affect row a second time", table=self.table.name)
        self.count += 1

    # ---------------------------------------------------------------- parts

    def _builder(self, assignments: Sequence[plan.Assignment], columns: Sequence[plan.Column], *, from_default: bool
                 ) -> Callable[[Row, Row | None], list[Any]]:
        """(row of the source, old row) -> values of the table's columns."""
        places = {column.id: place for place, column in enumerate(columns)}
        parts: list[tuple[int, Callable[[Any], Any]]] = []
        for assignment in assignments:
            position = self.positions[assignment.target]
            if isinstance(assignment.expression, plan.Default):
                parts.append((position, _default))
            else:
                parts.append((position, compile_expression(assignment.expression, places, self._with_subqueries())))
        count = len(self.table.columns)

        def build(row: Row, old: Row | None) -> list[Any]:
            values: list[Any] = [DEFAULT] * count if from_default or old is None else list(old)
            for position, evaluate in parts:
                values[position] = evaluate(row)
            return values

        return build

    def _returner(self, returning: plan.Returning | None, columns: Sequence[plan.Column]
                  ) -> Callable[[Row, Row], None]:
        if returning is None:
            return lambda stored, row: None
        places = {item.column.id: self.positions[item.source] for item in returning.stored if item.source > 0}
        width = len(self.table.columns)
        places |= {column.id: width + place for place, column in enumerate(columns)}
        items = [compile_expression(item.expression, places, self._with_subqueries()) for item in returning.items]

        def give(stored: Row, row: Row) -> None:
            whole = (*stored, *row)
            self.returned.append(tuple([item(whole) for item in items]))

        return give

    def _conflict(self, clause: plan.OnConflict | None) -> OnConflict | None:
        if clause is None:
            return None
        if not clause.assignments:
            return OnConflict(clause.index)
        width = len(self.table.columns)
        places = {item.column.id: self.positions[item.source] for item in clause.existing if item.source > 0}
        places |= {item.column.id: width + self.positions[item.source] for item in clause.proposed if item.source > 0}
        context = self._with_subqueries()
        condition = None if clause.condition is None else compile_expression(clause.condition, places, context)
        parts = [(self.positions[assignment.target],
                  _default if isinstance(assignment.expression, plan.Default)
                  else compile_expression(assignment.expression, places, context)) for assignment in clause.assignments]

        def update(existing: Row, proposed: Row) -> list[Any] | None:
            whole = (*existing, *proposed)
            if condition is not None and condition(whole) is not True:
                return None
            values = list(existing)
            for position, evaluate in parts:
                values[position] = evaluate(whole)
            return values

        return OnConflict(clause.index, update)


def _default(_row: Sequence[Any]) -> Any:
    return DEFAULT


def _computed(assignments: Sequence[plan.Assignment]) -> tuple[list[plan.Item], list[plan.Assignment]]:
    """Expressions the source is to compute, and assignments that take them from it."""
    items: list[plan.Item] = []
    made = []
    for assignment in assignments:
        expression = assignment.expression
        if not isinstance(expression, (plan.Default, plan.Literal)):
            column = plan.Column(expression.type, _number(), f"value {assignment.target}")
            items.append(plan.Item(column, expression))
            expression = column
        made.append(plan.Assignment(assignment.target, expression))
    return items, made


# Columns made here, beyond those that a builder numbers.
_numbers = iter(range(1_000_000_000, 1 << 62))


def _number() -> int:
    return next(_numbers)


def _with_items(node: plan.Node, items: Sequence[plan.Item], columns: Sequence[plan.Column]) -> plan.Node:
    made = {item.column.id: item for item in items}
    return plan.Project(node, tuple(made.get(column.id) or plan.Item(column, column) for column in columns))


def _returned_columns(statement: plan.Update | plan.Delete) -> list[plan.Column]:
    """Columns of the source that RETURNING reads."""
    if statement.returning is None:
        return []
    stored = {item.column.id for item in statement.returning.stored}
    wanted = references(tuple(item.expression for item in statement.returning.items)) - stored
    return [column for column in outputs(statement.source) if column.id in wanted]


def _used_columns(statement: plan.Insert, source: plan.Node) -> list[plan.Column]:
    wanted = references(tuple(item.expression for item in statement.assignments))
    return [column for column in outputs(source) if column.id in wanted]
