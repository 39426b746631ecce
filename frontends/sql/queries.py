"""SELECT, VALUES, set operations and WITH to plans.

    FROM  ->  WHERE  ->  GROUP BY  ->  HAVING  ->  windows  ->  SELECT list  ->  DISTINCT  ->  ORDER BY  ->  LIMIT
    join      Filter     Aggregate     Filter      Window       Project          Distinct     Sort          Limit

The clauses are bound in this order, but all expressions of one level first keep their aggregates in place; when all
are known, `Grouping` puts columns of the Aggregate where the aggregates and the grouped expressions stand.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import plan
from phantomdb.core.query.builder import Builder, is_untyped
from phantomdb.core.query.errors import (
    DatatypeMismatch, DuplicateAlias, FeatureNotSupported, InvalidColumnReference, QueryError, SyntaxFailure,
    UndefinedObject, WindowingError,
)
from phantomdb.core.query.rewrite import outputs, renumbered, substitute
from phantomdb.core.values import BIGINT, Type, array
from phantomdb.frontends.sql import expressions as e
from phantomdb.frontends.sql.expressions import Clause, ExpressionBinder
from phantomdb.frontends.sql.from_clause import FromBinder
from phantomdb.frontends.sql.grouping import Grouping
from phantomdb.frontends.sql.frames import bind_frame
from phantomdb.frontends.sql.locks import bind_locks
from phantomdb.frontends.sql.output_names import output_name
from phantomdb.frontends.sql.parse import name_of, position_of
from phantomdb.frontends.sql.scope import Relation, Scope

if TYPE_CHECKING:
    from phantomdb.frontends.sql.names import Names

# Parts of a SELECT of sqlglot that are handled; any other that is set is an error.
_HANDLED = {"with_", "kind", "expressions", "from_", "joins", "laterals", "where", "group", "having", "windows",
            "distinct", "order",
            "limit", "offset", "locks", "hint", "operation_modifiers", "into", "this", "alias", "expression",
            "by_name", "side", "on", "match", "settings", "format", "sample"}


class QueryBinder:
    """Binds the queries of one statement."""

    def __init__(self, builder: Builder, names: Names) -> None:
        self.builder, self.names = builder, names
        self.as_of: dict[int, list[Any]] = {}                # of the statement (parse.py)
        self.common: list[dict[str, tuple[int, tuple[str, ...], tuple[Type, ...]]]] = []     # WITH, innermost last
        self.untyped: dict[int, plan.Literal | plan.Parameter] = {}  # output columns that were quoted literals
        self._last_table = 0
        self._pending: list[list[plan.TableFunction]] = []   # set-returning calls of the SELECT lists being bound

    def new_table(self) -> int:
        self._last_table += 1
        return self._last_table

    # ---------------------------------------------------------------- entries

    def bind(self, node: Any, outer: Scope | None = None, *, may_lock: bool = False) -> plan.Query:
        """Any query: SELECT, VALUES, UNION, a query in parentheses. `may_lock`: it may say FOR UPDATE."""
        tables, depth = self._with(node, outer)
        try:
            kind = type(node).__name__
            if kind == "Select":
                query = self._select(node, outer)
            elif kind in ("Union", "Intersect", "Except"):
                query = self._modified(self._set_operation(node, outer), node, outer)
            elif kind == "Values":
                query = self._modified(self._values(node, outer), node, outer)
            elif kind in ("Subquery", "Paren"):
                query = self._modified(self.bind(node.this, outer, may_lock=may_lock), node, outer)
            else:
                raise FeatureNotSupported(f"{kind} as a query", position=position_of(node))
        finally:
            del self.common[depth:]
        if query.locks is not None and not may_lock:
            raise FeatureNotSupported("FOR UPDATE and FOR SHARE in a subquery, a view, a set operation or INSERT",
                                      position=position_of(node))
        if tables:
            query = replace(query, plan=plan.With(tuple(tables), query.plan))
        return query

    def subquery(self, node: Any, outer: Scope) -> plan.Query:
        """A query inside an expression; it may name columns of `outer`."""
        while type(node).__name__ in ("Subquery", "Paren") and not _modifiers(node):
            node = node.this
        return self.bind(node, outer)

    # ---------------------------------------------------------------- WITH

    def _with(self, node: Any, outer: Scope | None) -> tuple[list[plan.CommonTable], int]:
        depth = len(self.common)
        clause = node.args.get("with_")
        if clause is None:
            return [], depth
        if clause.args.get("search"):
            raise FeatureNotSupported("SEARCH and CYCLE", position=position_of(clause))
        tables = []
        for item in clause.expressions:
            name = name_of(item.args["alias"])
            if any(name in known for known in self.common[depth:]):
                raise DuplicateAlias(f'WITH query name "{name}" specified more than once', position=position_of(item))
            names = [name_of(column) for column in item.args["alias"].args.get("columns") or []]
            number = self.new_table()
            body = item.this
            recursive = clause.args.get("recursive") and self._recursive(body, name)
            table = (self._recursive_table(number, name, names, body, outer, item) if recursive
                     else self._plain_table(number, names, body, outer, item))
            shown = self._named_columns(names, table[1], item)
            self.common.append({name: (number, shown, tuple(column.type for column in table[0].outputs))})
            tables.append(table[0])
        return tables, depth

    @staticmethod
    def _named_columns(names: list[str], own: Sequence[str], node: Any) -> tuple[str, ...]:
        if len(names) > len(own):
            raise InvalidColumnReference(f"{len(names)} column names for {len(own)} columns",
                                         position=position_of(node))
        return tuple(names) + tuple(own[len(names):])

    def _plain_table(self, number: int, _names: list[str], body: Any, outer: Scope | None, item: Any
                     ) -> tuple[plan.CommonTable, tuple[str, ...]]:
        if type(body).__name__ in ("Insert", "Update", "Delete", "Merge"):
            raise FeatureNotSupported("INSERT, UPDATE and DELETE in WITH", position=position_of(item))
        query = self.bind(body, outer)
        return plan.CommonTable(number, query.plan, query.columns,
                                is_materialized=item.args.get("materialized")), query.names

    @staticmethod
    def _recursive(body: Any, name: str) -> bool:
        return type(body).__name__ == "Union" and any(
            type(part).__name__ == "Table" and name_of(part.this) == name for part in body.expression.walk())

    def _recursive_table(self, number: int, name: str, names: list[str], body: Any, outer: Scope | None, item: Any
                         ) -> tuple[plan.CommonTable, tuple[str, ...]]:
        if _modifiers(body):
            raise FeatureNotSupported("ORDER BY, LIMIT and OFFSET in a recursive query", position=position_of(item))
        first = self.settled(self.bind(body.this, outer))
        shown = self._named_columns(names, first.names, item)
        self.common.append({name: (number, shown, tuple(column.type for column in first.columns))})
        try:
            step = self.settled(self.bind(body.expression, outer))
        finally:
            self.common.pop()
        if len(step.columns) != len(first.columns):
            raise SyntaxFailure("each UNION query must have the same number of columns", position=position_of(item))
        for place, (a, b) in enumerate(zip(first.columns, step.columns, strict=True), 1):
            unified = self.builder.unify([a, b], "UNION")[0].type
            if unified != a.type and unified.kind is not a.type.kind:
                raise DatatypeMismatch(f'recursive query "{name}" column {place} has type {a.type} in non-recursive '
                                       f"term but type {unified} overall", position=position_of(item))
        step_plan, step_columns = self._converted(step, [column.type for column in first.columns])
        return plan.CommonTable(number, first.plan, first.columns, step_plan, step_columns,
                                not body.args.get("distinct"), item.args.get("materialized")), first.names

    # ---------------------------------------------------------------- set operations, VALUES

    def _set_operation(self, node: Any, outer: Scope | None) -> plan.Query:
        kind = plan.SetKind(type(node).__name__.lower())
        if node.args.get("by_name"):
            raise FeatureNotSupported("set operations BY NAME", position=position_of(node))
        # a UNION of a thousand parts leans to the left: no recursion on that side
        arms = [node]
        while type(arms[-1].this) is type(node) and not _modifiers(arms[-1].this):
            arms.append(arms[-1].this)
        is_free = kind is not plan.SetKind.EXCEPT and len({bool(arm.args.get("distinct")) for arm in arms}) == 1
        if is_free and len(arms) > 1:
            # the order of the steps means nothing: a tree that is as deep as it must be
            queries = [self.bind(arms[-1].this, outer), *(self.bind(arm.expression, outer) for arm in reversed(arms))]
            while len(queries) > 1:
                pairs = zip(queries[::2], queries[1::2], strict=False)
                queries = [self._combined(kind, node, a, b) for a, b in pairs] + queries[len(queries) & ~1:]
            return queries[0]
        left = self.bind(arms[-1].this, outer)
        for arm in reversed(arms):
            left = self._combined(kind, arm, left, self.bind(arm.expression, outer))
        return left

    def _combined(self, kind: plan.SetKind, node: Any, left: plan.Query, right: plan.Query) -> plan.Query:
        word = kind.value.upper()
        if len(left.columns) != len(right.columns):
            raise SyntaxFailure(f"each {word} query must have the same number of columns", position=position_of(node))
        try:
            types = [self.builder.unify([self.untyped.get(a.id, a), self.untyped.get(b.id, b)], word)[0].type
                     for a, b in zip(left.columns, right.columns, strict=True)]
        except QueryError as error:                          # to look for the position costs a walk through all of it
            error.position = error.position or position_of(node)
            raise
        left_plan, left_columns = self._converted(left, types)
        right_plan, right_columns = self._converted(right, types)
        columns = tuple(self.builder.column(type_, name) for type_, name in zip(types, left.names, strict=True))
        operation = plan.SetOperation(kind, not node.args.get("distinct"), left_plan, right_plan, columns, left_columns,
                                      right_columns)
        return plan.Query(operation, left.names, columns)

    def _converted(self, query: plan.Query, types: Sequence[Type], kept: Sequence[plan.Column] = ()
                   ) -> tuple[plan.Node, tuple[plan.Column, ...]]:
        """The query's plan with its columns as `types`, and those of `kept` as they are."""
        items, columns = [plan.Item(column, column) for column in kept], list[plan.Column]()
        changed = False
        for column, type_ in zip(query.columns, types, strict=True):
            value = self.builder.cast(self.untyped.get(column.id, column), type_, is_explicit=False)
            if value is column and column not in columns:
                items.append(plan.Item(column, column))
                columns.append(column)
            else:
                made = self.builder.column(type_, column.name)
                items.append(plan.Item(made, value))
                columns.append(made)
                changed = True
        return (plan.Project(query.plan, tuple(items)) if changed else query.plan), tuple(columns)

    def settled(self, query: plan.Query) -> plan.Query:
        """Quoted literals among the outputs become text."""
        if not any(column.id in self.untyped for column in query.columns):
            return query
        types = [self.builder.settle(self.untyped.get(column.id, column)).type for column in query.columns]
        kept = [lock.key for lock in query.locks.rows] if query.locks is not None else []
        node, columns = self._converted(query, types, kept)
        return replace(query, plan=node, columns=columns)

    def _values(self, node: Any, outer: Scope | None) -> plan.Query:
        binder = ExpressionBinder(self, Scope(outer=outer), e.VALUES)
        rows = [[binder.bind(item) for item in _row_items(row)] for row in node.expressions]
        return self.values(rows, position_of(node))

    def values(self, rows: Sequence[Sequence[plan.Expression]], position: int | None = None) -> plan.Query:
        """Rows of bound expressions, each column unified."""
        if len({len(row) for row in rows}) != 1:
            raise SyntaxFailure("VALUES lists must all be the same length", position=position)
        unified = [self.builder.unify(column, "VALUES", position) for column in zip(*rows, strict=True)]
        columns = tuple(self.builder.column(items[0].type, f"column{place}") for place, items in enumerate(unified, 1))
        if len(rows) == 1:
            self.untyped.update({column.id: item for column, item in zip(columns, rows[0], strict=True)
                                 if is_untyped(item) and isinstance(item, (plan.Literal, plan.Parameter))})
        node = plan.Values(columns, tuple(zip(*unified, strict=True)))
        return plan.Query(node, tuple(column.name for column in columns), columns)

    # ---------------------------------------------------------------- SELECT

    def _select(self, node: Any, outer: Scope | None) -> plan.Query:
        for name, value in node.args.items():
            if value and name not in _HANDLED:
                raise FeatureNotSupported(f"{name.strip('_').upper()} in SELECT", position=position_of(value)
                                          if hasattr(value, "walk") else None)
        if node.args.get("into"):
            raise FeatureNotSupported("SELECT INTO; use CREATE TABLE AS", position=position_of(node))
        source = FromBinder(self, outer).bind(node)
        windows = {name_of(window.this): window for window in node.args.get("windows") or []}
        where = None
        if (clause := node.args.get("where")) is not None:
            where = ExpressionBinder(self, source.scope, e.WHERE).condition(clause.this)
        locks = bind_locks(self.builder, node, source)
        tree = plan.Filter(source.plan, where) if where is not None else source.plan
        binder = ExpressionBinder(self, source.scope, e.SELECT, windows)
        self._pending.append([])
        items = self._select_list(node, binder)
        functions = self._pending.pop()
        having = None
        if (clause := node.args.get("having")) is not None:
            having = ExpressionBinder(self, source.scope, e.HAVING, windows).condition(clause.this)
        order = self._order(node.args.get("order"), binder, items)
        distinct_on = self._distinct_on(node, binder, items)
        grouping = Grouping(self, source, node.args.get("group"), items, having)
        values = [value for _, value in items]
        ungrouped = tree
        tree, (values, order, distinct_on, function_arguments) = grouping.apply(
            tree, (values, order, distinct_on, tuple(function.arguments for function in functions)))
        tree, (values, order, distinct_on, function_arguments) = self._extract_windows(
            tree, (values, order, distinct_on, function_arguments))
        called = [plan.TableFunction(function.name, arguments, function.columns)
                  for function, arguments in zip(functions, function_arguments, strict=True)]
        if called:
            tree = plan.Join(plan.JoinKind.CROSS, tree, _in_step(called), is_lateral=True)
        if locks is not None and (tree is not ungrouped or node.args.get("distinct") is not None):
            raise FeatureNotSupported("FOR UPDATE beside DISTINCT, GROUP BY, HAVING, aggregates, windows or "
                                      "set-returning functions", position=position_of(node))
        tree, columns = self._finish(node, tree, [name for name, _ in items], values, order, distinct_on,
                                     [lock.key for lock in locks.rows] if locks is not None else [])
        query = plan.Query(tree, tuple(name for name, _ in items), columns, locks)
        return self._limited(query, node, outer)

    def _select_list(self, node: Any, binder: ExpressionBinder) -> list[tuple[str, plan.Expression]]:
        items: list[tuple[str, plan.Expression]] = []
        for item in node.expressions:
            items += self.select_item(item, binder)
        return items

    def select_item(self, item: Any, binder: ExpressionBinder) -> list[tuple[str, plan.Expression]]:
        """(name, expression) of an item of a SELECT list; of several for `*`."""
        kind = type(item).__name__
        if kind == "Star":
            _no_star_options(item)
            if not binder.scope.relations:
                raise SyntaxFailure("SELECT * with no tables specified is not valid", position=position_of(item))
            return list(binder.scope.all_columns())
        if kind == "Column" and type(item.this).__name__ == "Star":
            _no_star_options(item.this)
            alias = name_of(item.args["table"])
            relation = binder.scope.relation(alias, name_of(item.args.get("db")))
            if relation is None:
                from phantomdb.core.query.errors import UndefinedTable
                raise UndefinedTable(f'missing FROM-clause entry for table "{alias}"', position=position_of(item))
            return list(relation.columns)
        if kind == "Alias":
            return [(name_of(item.args["alias"]), binder.bind(item.this))]
        return [(output_name(item), binder.bind(item))]

    def _order(self, clause: Any, binder: ExpressionBinder, items: list[tuple[str, plan.Expression]]
               ) -> list[plan.SortKey]:
        keys = []
        for item in clause.expressions if clause is not None else []:
            found = self._output(item.this, items, "ORDER BY")
            expression = self.builder.settle(found) if found is not None else binder.settled(item.this)
            keys.append(plan.SortKey(expression, bool(item.args.get("desc")), bool(item.args.get("nulls_first"))))
        return keys

    @staticmethod
    def _output(node: Any, items: list[tuple[str, plan.Expression]], clause: str) -> plan.Expression | None:
        """What ORDER BY 2 or ORDER BY alias means; None: an expression over the input."""
        kind = type(node).__name__
        if kind == "Literal" and not node.is_string:
            if not node.this.isdigit():
                raise SyntaxFailure(f"non-integer constant in {clause}", position=position_of(node))
            if not 1 <= int(node.this) <= len(items):
                raise InvalidColumnReference(f"{clause} position {node.this} is not in select list",
                                             position=position_of(node))
            return items[int(node.this) - 1][1]
        if kind == "Column" and not node.args.get("table"):
            name = name_of(node.this)
            found = [value for known, value in items if known == name]
            if found and any(value != found[0] for value in found[1:]):
                from phantomdb.core.query.errors import AmbiguousColumn
                raise AmbiguousColumn(f'{clause} "{name}" is ambiguous', position=position_of(node))
            return found[0] if found else None
        return None

    def _distinct_on(self, node: Any, binder: ExpressionBinder, items: list[tuple[str, plan.Expression]]
                     ) -> list[plan.Expression]:
        distinct = node.args.get("distinct")
        if distinct is None or distinct.args.get("on") is None:
            return []
        given = distinct.args["on"]
        nodes = given.expressions if type(given).__name__ == "Tuple" else [given.this if type(given).__name__ == "Paren"
                                                                          else given]
        return [found if (found := self._output(item, items, "DISTINCT ON")) is not None else binder.settled(item)
                for item in nodes]

    def _finish(self, node: Any, tree: plan.Node, names: Sequence[str], values: Sequence[plan.Expression],
                order: Sequence[plan.SortKey], distinct_on: Sequence[plan.Expression], kept: Sequence[plan.Column]
                ) -> tuple[plan.Node, tuple[plan.Column, ...]]:
        """Project, Distinct and Sort. `kept`: columns of the input that go along."""
        items: list[plan.Item] = []
        columns: list[plan.Column] = []
        made: dict[plan.Expression, plan.Column] = {}
        for name, value in zip(names, values, strict=True):
            column = self.builder.column(self.builder.settle(value).type, name)
            if is_untyped(value) and isinstance(value, (plan.Literal, plan.Parameter)):
                self.untyped[column.id] = value
            items.append(plan.Item(column, self.builder.settle(value)))
            columns.append(column)
            made.setdefault(self.builder.settle(value), column)
        is_distinct = node.args.get("distinct") is not None
        hidden = [plan.Item(column, column) for column in kept]

        def place(expression: plan.Expression, clause: str) -> plan.Expression:
            if isinstance(expression, plan.Literal):
                return expression
            if expression not in made:
                if is_distinct and not distinct_on:
                    raise InvalidColumnReference(f"for SELECT DISTINCT, {clause} expressions must appear in select "
                                                 "list")
                made[expression] = self.builder.column(expression.type)
                hidden.append(plan.Item(made[expression], expression))
            return made[expression]

        keys = [plan.SortKey(place(key.expression, "ORDER BY"), key.is_descending, key.nulls_first) for key in order]
        on = [place(expression, "DISTINCT ON") for expression in distinct_on]
        tree = plan.Project(tree, tuple(items + hidden))
        if on:
            leading = [key.expression for key in keys[:len(set(on))]]
            if keys and set(leading) - set(on):
                raise InvalidColumnReference("SELECT DISTINCT ON expressions must match initial ORDER BY expressions")
            tree = plan.Distinct(tree, tuple(outputs(tree)), tuple(on), tuple(keys))
        elif is_distinct:
            tree = plan.Distinct(tree, tuple(columns))
        if keys:
            tree = plan.Sort(tree, tuple(keys))
        return tree, tuple(columns)

    # ---------------------------------------------------------------- ORDER BY and LIMIT around a query

    def _modified(self, query: plan.Query, node: Any, outer: Scope | None) -> plan.Query:
        """ORDER BY, LIMIT and OFFSET of a set operation, of VALUES, or of a query in parentheses."""
        order = node.args.get("order")
        if order is not None:
            relation = Relation("", list(zip(query.names, query.columns, strict=True)))
            binder = ExpressionBinder(self, Scope([relation], outer), Clause("ORDER BY"))
            keys = self._order(order, binder, list(relation.columns))
            query = replace(query, plan=plan.Sort(query.plan, tuple(keys)))
        return self._limited(query, node, outer)

    def _limited(self, query: plan.Query, node: Any, outer: Scope | None) -> plan.Query:
        limit, offset = node.args.get("limit"), node.args.get("offset")
        if limit is None and offset is None:
            return query
        binder = ExpressionBinder(self, Scope(), e.LIMIT)
        count, with_ties = None, False
        if type(limit).__name__ == "Fetch":
            options = limit.args.get("limit_options")
            with_ties = bool(options is not None and options.args.get("with_ties"))
            if options is not None and options.args.get("percent"):
                raise FeatureNotSupported("FETCH ... PERCENT", position=position_of(limit))
            count = self._row_count(binder, limit.args["count"]) if limit.args.get("count") is not None \
                else self.builder.literal(1)
        elif limit is not None and type(limit.expression).__name__ not in ("Var", "Null"):
            count = self._row_count(binder, limit.expression)
        skipped = None if offset is None else self._row_count(binder, offset.expression)
        if with_ties and not isinstance(query.plan, plan.Sort):
            raise SyntaxFailure("WITH TIES cannot be specified without ORDER BY clause", position=position_of(limit))
        return replace(query, plan=plan.Limit(query.plan, count, skipped, with_ties))

    def _row_count(self, binder: ExpressionBinder, node: Any) -> plan.Expression:
        return self.builder.cast(binder.bind(node), BIGINT, is_explicit=False, position=position_of(node))

    # ---------------------------------------------------------------- set-returning functions, windows

    def set_returning(self, name: str, arguments: list[plan.Expression], clause: Clause, position: int | None
                      ) -> plan.Expression:
        """SELECT unnest(a): a lateral join with the function."""
        if clause is not e.SELECT or not self._pending:
            raise FeatureNotSupported(f"set-returning functions are not allowed in {clause.name}", position=position)
        call = self.builder.call(name, arguments, position)
        column = self.builder.column(call.type, name)
        self._pending[-1].append(plan.TableFunction(name, call.arguments, (column,)))
        return column

    def over(self, binder: ExpressionBinder, call: plan.AggregateCall, node: Any, ignore_nulls: bool
             ) -> plan.WindowCall:
        """The window an OVER names or spells out."""
        partition, order, spec = node.args.get("partition_by") or [], node.args.get("order"), node.args.get("spec")
        if (reference := node.args.get("alias")) is not None:
            name = name_of(reference)
            base = binder.windows.get(name)
            if base is None:
                raise UndefinedObject(f'window "{name}" does not exist', position=position_of(node))
            if partition:
                raise WindowingError(f'cannot override PARTITION BY clause of window "{name}"',
                                     position=position_of(node))
            partition = base.args.get("partition_by") or []
            order = order if order is not None else base.args.get("order")
            spec = spec if spec is not None else base.args.get("spec")
        inner = binder.within(e.WINDOW)
        keys = tuple(inner.sort_key(item) for item in (order.expressions if order is not None else []))
        frame = None if spec is None else bind_frame(self.builder, inner, spec, keys)
        return plan.WindowCall(call.type, call, tuple(inner.settled(item) for item in partition), keys, frame,
                               ignore_nulls)

    def _extract_windows(self, tree: plan.Node, parts: Any) -> tuple[plan.Node, Any]:
        """Columns of one Window node where the window calls stand."""
        calls: dict[plan.WindowCall, plan.Column] = {}

        def extract(part: Any, inside: bool) -> Any:
            if isinstance(part, plan.WindowCall) and not inside:
                if part not in calls:
                    calls[part] = self.builder.column(part.type, part.call.name)
                return calls[part]
            return None

        parts = tuple(type(part)(substitute(tuple(part), extract)) for part in parts)
        if calls:
            tree = plan.Window(tree, tuple(plan.Item(column, call) for call, column in calls.items()))
        return tree, parts

    # ---------------------------------------------------------------- what FROM needs

    def common_table(self, name: str) -> tuple[int, tuple[str, ...], tuple[Type, ...]] | None:
        for known in reversed(self.common):
            if name in known:
                return known[name]
        return None

    def stored_query(self, query: plan.Query) -> plan.Query:
        """A view's query, with numbers of its own."""
        return renumbered(query, self.builder.column, self.new_table)


def _in_step(functions: list[plan.TableFunction]) -> plan.TableFunction:
    """Set-returning functions of one SELECT list: their first rows together, then the second ones, NULL for those that
    have no more."""
    if len(functions) == 1:
        return functions[0]
    columns = tuple(column for function in functions for column in function.columns)
    arrays = tuple(plan.Subquery(array(column.type), plan.SubqueryKind.ARRAY, function, (column,))
                   for function in functions for column in function.columns)
    # each column is made twice: by the function inside the subquery, and by the one that takes the arrays apart
    return plan.TableFunction("unnest", arrays, columns)


def _modifiers(node: Any) -> bool:
    return any(node.args.get(name) is not None for name in ("order", "limit", "offset", "with_"))


def _row_items(row: Any) -> list[Any]:
    if type(row).__name__ == "Tuple":
        return list(row.expressions)
    return [row.this if type(row).__name__ == "Paren" else row]


def _no_star_options(star: Any) -> None:
    if any(star.args.get(name) for name in ("except_", "replace", "rename", "except")):
        raise FeatureNotSupported("* EXCEPT and * REPLACE", position=position_of(star))
