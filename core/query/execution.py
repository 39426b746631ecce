"""Running a bound statement: which executor a query gets, and how changes reach the tables.

    Query     row executor when it can and few rows are expected, else the vector executor
    changes   the source is a query like any other; its rows go through TableWriter one by one
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.objects import Table
from phantomdb.core.query import plan, row_executor
from phantomdb.core.query.errors import CardinalityViolation
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression
from phantomdb.core.query.optimizer import optimize
from phantomdb.core.query.result import Result, result_of
from phantomdb.core.query.rewrite import outputs, references, walk
from phantomdb.core.query.sources import TransactionSource
from phantomdb.core.query.vector import Cancellation
from phantomdb.core.tables.rows import DEFAULT, RowTransaction
from phantomdb.core.tables.statement import RowStatement
from phantomdb.core.tables.writer import OnConflict, TableWriter

if TYPE_CHECKING:
    from phantomdb.core.query.session import Session

Row = tuple[Any, ...]


class Executor:
    """Runs the statements of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def execute(self, statement: plan.Statement, rows: RowTransaction, parameters: Sequence[Any], tag: str) -> Result:
        match statement:
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
        types = [column.type for column in query.columns]
        optimized = optimize(query)
        prepared = row_executor.prepare(optimized, rows.catalog, rows.layouts)
        if prepared is not None:
            return result_of(query.names, types, prepared.run(rows, parameters), tag)
        return self.vector(optimized, rows, parameters, tag)

    def vector(self, query: plan.Query, rows: RowTransaction, parameters: Sequence[Any], tag: str = "SELECT") -> Result:
        """The same by the vector executor, whatever the size."""
        engine = self.session.engine
        source = TransactionSource(engine, rows, self.session.name, parameters)
        cancel = self.session.cancellation = Cancellation()
        found = engine.vector.run(query, parameters, source, timeout_s=self.session.statement_timeout_s, cancel=cancel)
        return Result(query.names, tuple([column.type for column in query.columns]), None, found, tag)

    def rows_of(self, node: plan.Node, columns: Sequence[plan.Column], rows: RowTransaction, parameters: Sequence[Any]
                ) -> list[Row]:
        """The rows of a node, all of them before the first change is made."""
        query = plan.Query(node, tuple(column.name for column in columns), tuple(columns))
        return self.query(query, rows, parameters).fetchall()


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
            source = self.executor.rows_of(statement.source, columns, self.rows, self.parameters)
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
            from phantomdb.core.query.errors import FeatureNotSupported
            raise FeatureNotSupported("a subquery here may not name columns of the row")
        found: list[Row] | None = None

        def run(_row: Sequence[Any]) -> Iterable[Row]:
            nonlocal found
            if found is None:
                found = self.executor.rows_of(subquery.plan, subquery.outputs, self.rows, self.parameters)
            return found

        return run

    def update(self, statement: plan.Update) -> Result:
        computed, assignments = _computed(statement.assignments)
        columns = [statement.key, *(item.column for item in computed), *_returned_columns(statement)]
        columns = list(dict.fromkeys(columns))
        node = _with_items(statement.source, computed, columns)
        build = self._builder(assignments, columns, from_default=False)
        give = self._returner(statement.returning, columns)
        layout = self.writer.layout
        for row in self.executor.rows_of(node, columns, self.rows, self.parameters):
            old = self.rows.get(layout, row[0])
            if old is None:
                continue
            stored = self.writer.update(row[0], old, build(row, old))
            if stored is not None:
                self.count += 1
                give(stored, row)
        return self.finish("UPDATE", statement.returning)

    def delete(self, statement: plan.Delete) -> Result:
        columns = list(dict.fromkeys([statement.key, *_returned_columns(statement)]))
        give = self._returner(statement.returning, columns)
        layout = self.writer.layout
        for row in self.executor.rows_of(statement.source, columns, self.rows, self.parameters):
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
        rows = self.executor.rows_of(_with_items(statement.source, computed, columns), columns, self.rows,
                                     self.parameters)
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
