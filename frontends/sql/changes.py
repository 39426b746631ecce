"""INSERT, UPDATE, DELETE and MERGE to plans."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from phantomdb.core.catalog.objects import Column, Table
from phantomdb.core.query import plan
from phantomdb.core.query.errors import (
    DuplicateColumn, FeatureNotSupported, GeneratedColumn, InvalidColumnReference, SyntaxFailure, UndefinedColumn,
    UndefinedObject, WrongObjectType,
)
from phantomdb.core.values import BYTES
from phantomdb.frontends.sql import expressions as e
from phantomdb.frontends.sql.expressions import Clause, ExpressionBinder
from phantomdb.frontends.sql.from_clause import FromBinder, FromItem
from phantomdb.frontends.sql.parse import name_of, position_of
from phantomdb.frontends.sql.queries import QueryBinder, _row_items
from phantomdb.frontends.sql.scope import Scope

_RETURNING = Clause("RETURNING")
_SET = Clause("UPDATE")


class ChangeBinder:
    """Binds one statement that changes rows. `overriding`: INSERT ... OVERRIDING."""

    def __init__(self, queries: QueryBinder, overriding: str = "") -> None:
        self.queries, self.builder, self.overriding = queries, queries.builder, overriding

    def bind(self, node: Any) -> plan.Change:
        methods: dict[str, Callable[[Any], plan.Change]] = {
            "Insert": self._insert, "Update": self._update, "Delete": self._delete, "Merge": self._merge}
        tables, depth = self.queries._with(node, None)
        try:
            change = methods[type(node).__name__](node)
        finally:
            del self.queries.common[depth:]
        if tables:
            change = replace(change, source=plan.With(tuple(tables), change.source))
        return change

    def _target(self, node: Any) -> tuple[Table, str]:
        """The table that is changed, and its name in the statement."""
        table_node = node.this if type(node).__name__ == "Schema" else node
        if type(table_node).__name__ != "Table":
            raise SyntaxFailure("a table is expected here", position=position_of(node))
        name, schema = name_of(table_node.this), name_of(table_node.args.get("db"))
        if schema in ("information_schema", "pg_catalog"):
            raise WrongObjectType(f'"{name}" cannot be changed', position=position_of(node))
        table = self.queries.names.table(name, schema, position_of(node))
        return table, name_of(table_node.args.get("alias")) or name

    @staticmethod
    def _column(table: Table, node: Any) -> Column:
        name = name_of(node.this) if type(node).__name__ == "Column" else name_of(node)
        found = table.column(name)
        if found is None:
            raise UndefinedColumn(f'column "{name}" of relation "{table.name}" does not exist', column=name,
                                  position=position_of(node))
        return found

    # ---------------------------------------------------------------- INSERT

    def _insert(self, node: Any) -> plan.Insert:
        if node.args.get("overwrite") or node.args.get("ignore") or node.args.get("partition") or \
                node.args.get("by_name"):
            raise FeatureNotSupported("this form of INSERT", position=position_of(node))
        table, alias = self._target(node.this)
        named = type(node.this).__name__ == "Schema"
        columns = [self._column(table, item) for item in node.this.expressions] if named else list(table.columns)
        if len({column.id for column in columns}) < len(columns):
            raise DuplicateColumn("a column is named twice in INSERT", position=position_of(node.this))
        source, values = self._insert_source(node, table, columns, named)
        assignments = []
        for column, value in zip(columns, values, strict=False):
            if self._is_default(column, value):
                continue
            assigned = value if isinstance(value, plan.Default) else self.builder.assign(
                self.queries.untyped.get(value.id, value) if isinstance(value, plan.Column) else value,
                column.type, column.name, position_of(node))
            assignments.append(plan.Assignment(column.id, assigned))
        conflict = node.args.get("conflict")
        return plan.Insert(table.id, source, tuple(assignments),
                           None if conflict is None else self._on_conflict(conflict, table, alias),
                           self._returning(node, table, alias, Scope()))

    def _is_default(self, column: Column, value: plan.Expression) -> bool:
        """Whether a column that is generated gets nothing but DEFAULT; raises when it gets a value."""
        if column.generated is None and column.identity != "always":
            return False
        if isinstance(value, plan.Default):
            return True
        if column.identity == "always" and self.overriding == "SYSTEM":
            return False
        if column.identity and self.overriding == "USER":
            return True
        hint = "; OVERRIDING SYSTEM VALUE allows it" if column.identity else ""
        raise GeneratedColumn(f'cannot insert a non-DEFAULT value into column "{column.name}"{hint}',
                              column=column.name)

    def _insert_source(self, node: Any, table: Table, columns: list[Column], named: bool
                       ) -> tuple[plan.Node, Sequence[plan.Expression]]:
        """(plan, one expression for each column that is given)."""
        query = node.expression
        if query is None or type(query).__name__ == "NoneType":
            if not node.args.get("default"):
                raise SyntaxFailure("INSERT needs VALUES, a query or DEFAULT VALUES", position=position_of(node))
            return plan.Values((), ((),)), []
        if type(query).__name__ == "Values" and not any(query.args.get(name) for name in ("order", "limit", "offset")):
            return self._insert_values(query, table, columns, named)
        bound = self.queries.bind(query)
        self._require_count(len(bound.columns), columns, named, node)
        return bound.plan, bound.columns

    def _insert_values(self, query: Any, table: Table, columns: list[Column], named: bool
                       ) -> tuple[plan.Node, Sequence[plan.Expression]]:
        binder = ExpressionBinder(self.queries, Scope(), e.VALUES)
        rows: list[list[plan.Expression]] = []
        for row in query.expressions:
            items = _row_items(row)
            self._require_count(len(items), columns, named, query)
            rows.append([])
            for column, item in zip(columns, items, strict=False):
                if _says_default(item):
                    rows[-1].append(plan.Default(column.type))
                else:
                    value = binder.bind(item)
                    if self._is_default(column, value):      # OVERRIDING USER VALUE
                        rows[-1].append(plan.Default(column.type))
                    else:
                        rows[-1].append(self.builder.assign(value, column.type, column.name, position_of(item)))
        if len({len(row) for row in rows}) != 1:
            raise SyntaxFailure("VALUES lists must all be the same length", position=position_of(query))
        made: list[plan.Expression] = []
        kept: list[int] = []
        for place, column in enumerate(columns[:len(rows[0])]):
            if all(isinstance(row[place], plan.Default) for row in rows):
                made.append(plan.Default(column.type))
            else:
                made.append(self.builder.column(column.type, column.name))
                kept.append(place)
        outputs = tuple(value for value in made if isinstance(value, plan.Column))
        return plan.Values(outputs, tuple(tuple(row[place] for place in kept) for row in rows)), made

    @staticmethod
    def _require_count(count: int, columns: list[Column], named: bool, node: Any) -> None:
        if count > len(columns):
            raise SyntaxFailure("INSERT has more expressions than target columns", position=position_of(node))
        if count < len(columns) and named:
            raise SyntaxFailure("INSERT has more target columns than expressions", position=position_of(node))

    def _on_conflict(self, node: Any, table: Table, alias: str) -> plan.OnConflict:
        index = self._arbiter(node, table)
        if "UPDATE" not in str(getattr(node.args.get("action"), "name", node.args.get("action") or "")).upper():
            return plan.OnConflict(index)
        if index is None:
            raise SyntaxFailure("ON CONFLICT DO UPDATE requires inference specification or constraint name",
                                position=position_of(node))
        existing, proposed = (FromBinder(self.queries, None).stored(table, name) for name in (alias, "excluded"))
        scope = Scope([*existing.scope.relations, *proposed.scope.relations])
        # a bare name means the row that is there
        scope.relations[1].hidden = {name for name, _ in scope.relations[1].columns}
        assignments = self._assignments(node.expressions, table, ExpressionBinder(self.queries, scope, _SET))
        where = node.args.get("where")
        condition = None if where is None else ExpressionBinder(self.queries, scope, e.WHERE).condition(where.this)
        assert isinstance(existing.plan, plan.Scan) and isinstance(proposed.plan, plan.Scan)
        return plan.OnConflict(index, assignments, existing.plan.columns, proposed.plan.columns, condition)

    def _arbiter(self, node: Any, table: Table) -> int | None:
        """Id of the index ON CONFLICT names: by its columns, or by the constraint."""
        if node.args.get("constraint") is not None:
            name = name_of(node.args["constraint"])
            if name == table.primary_key_name and not table.has_hidden_key:
                return table.id
            index = table.index(name)
            if index is None or not index.is_unique:
                raise UndefinedObject(f'constraint "{name}" for table "{table.name}" does not exist',
                                      position=position_of(node))
            return index.id
        keys = node.args.get("conflict_keys")
        if not keys:
            return None
        wanted = set()
        for key in keys:
            inner = key.this if type(key).__name__ == "Ordered" else key
            if type(inner).__name__ not in ("Column", "Identifier"):
                raise FeatureNotSupported("ON CONFLICT on an expression; name the constraint",
                                          position=position_of(key))
            wanted.add(self._column(table, inner).id)
        if wanted == set(table.primary_key):
            return table.id
        has_predicate = node.args.get("index_predicate") is not None
        for index in table.indexes:
            if index.is_unique and {column.column for column in index.columns} == wanted and (
                    index.predicate is None or has_predicate):
                return index.id
        raise InvalidColumnReference("there is no unique or exclusion constraint matching the ON CONFLICT "
                                     "specification", position=position_of(node))

    # ---------------------------------------------------------------- UPDATE, DELETE

    def _source(self, table: Table, alias: str, others: list[Any], node: Any) -> tuple[FromItem, plan.Column]:
        """The target with its ROW_KEY, beside the items of FROM or USING."""
        item = FromBinder(self.queries, None).stored(table, alias)
        assert isinstance(item.plan, plan.Scan)
        key = self.builder.column(BYTES, "row key")
        item.plan = plan.Scan(table.id, (*item.plan.columns, plan.ScanColumn(key, plan.ROW_KEY)))
        if others:
            binder = FromBinder(self.queries, None)
            item = binder.bind_items(others, item)
        where = node.args.get("where")
        if where is not None:
            condition = ExpressionBinder(self.queries, item.scope, e.WHERE).condition(where.this)
            item.plan = plan.Filter(item.plan, condition)
        return item, key

    def _update(self, node: Any) -> plan.Update:
        if node.args.get("order") or node.args.get("limit"):
            raise FeatureNotSupported("ORDER BY and LIMIT in UPDATE", position=position_of(node))
        table, alias = self._target(node.this)
        others = []
        if (clause := node.args.get("from_")) is not None:
            others = [clause.this]
        item, key = self._source(table, alias, others, node)
        assignments = self._assignments(node.expressions, table, ExpressionBinder(self.queries, item.scope, _SET))
        return plan.Update(table.id, item.plan, key, assignments, self._returning(node, table, alias, item.scope))

    def _delete(self, node: Any) -> plan.Delete:
        if node.args.get("order") or node.args.get("limit") or node.args.get("tables"):
            raise FeatureNotSupported("this form of DELETE", position=position_of(node))
        table, alias = self._target(node.this)
        item, key = self._source(table, alias, list(node.args.get("using") or []), node)
        return plan.Delete(table.id, item.plan, key, self._returning(node, table, alias, item.scope))

    def _assignments(self, nodes: Sequence[Any], table: Table, binder: ExpressionBinder) -> tuple[plan.Assignment, ...]:
        made: list[plan.Assignment] = []
        for node in nodes:
            if type(node).__name__ != "EQ":
                raise SyntaxFailure("SET column = value is expected", position=position_of(node))
            for target, value in self._pairs(node, binder):
                column = self._column(table, target)
                if any(item.target == column.id for item in made):
                    raise SyntaxFailure(f'multiple assignments to same column "{column.name}"',
                                        position=position_of(target))
                if _says_default(value):
                    made.append(plan.Assignment(column.id, plan.Default(column.type)))
                    continue
                if column.generated is not None or column.identity == "always":
                    raise GeneratedColumn(f'column "{column.name}" can only be updated to DEFAULT', column=column.name,
                                          position=position_of(target))
                bound = value if isinstance(value, plan.Expression) else binder.bind(value)
                made.append(plan.Assignment(column.id, self.builder.assign(bound, column.type, column.name,
                                                                           position_of(node))))
        return tuple(made)

    @staticmethod
    def _pairs(node: Any, binder: ExpressionBinder) -> list[tuple[Any, Any]]:
        """(a, b) = (1, 2) and a = 1 as pairs."""
        if type(node.this).__name__ not in ("Tuple", "Paren"):
            return [(node.this, node.expression)]
        targets = binder.rows.parts(node.this) or [node.this.this]
        values = binder.rows.parts(node.expression)
        if values is None and type(node.expression).__name__ in ("Paren",) and len(targets) == 1:
            values = [node.expression.this]
        if values is None and type(node.expression).__name__ in ("Subquery", "Select"):
            values = binder.rows.of_subquery(node.expression, len(targets))
        if values is None:
            raise SyntaxFailure("a row or a subquery is expected behind (a, b) =", position=position_of(node))
        if len(values) != len(targets):
            raise SyntaxFailure("number of columns does not match number of values", position=position_of(node))
        return list(zip(targets, values, strict=True))

    def _returning(self, node: Any, table: Table, alias: str, scope: Scope) -> plan.Returning | None:
        clause = node.args.get("returning")
        if clause is None:
            return None
        stored = FromBinder(self.queries, None).stored(table, alias)
        assert isinstance(stored.plan, plan.Scan)
        others = [relation for relation in scope.relations if relation.table != table.id or relation.alias != alias]
        binder = ExpressionBinder(self.queries, Scope([*stored.scope.relations, *others]), _RETURNING)
        pairs: list[tuple[str, plan.Expression]] = []
        for item in clause.expressions:
            pairs += self.queries.select_item(item, binder)
        items = [plan.Item(self.builder.column(value.type, name), value)
                 for name, value in ((name, self.builder.settle(value)) for name, value in pairs)]
        return plan.Returning(tuple(name for name, _ in pairs), tuple(items), stored.plan.columns)

    # ---------------------------------------------------------------- MERGE

    def _merge(self, node: Any) -> plan.Merge:
        table, alias = self._target(node.this)
        binder = FromBinder(self.queries, None)
        source = binder.item(node.args["using"], Scope())
        target = binder.stored(table, alias)
        assert isinstance(target.plan, plan.Scan)
        key = self.builder.column(BYTES, "row key")
        target.plan = plan.Scan(table.id, (*target.plan.columns, plan.ScanColumn(key, plan.ROW_KEY)))
        scope = Scope([*source.scope.relations, *target.scope.relations])
        condition = ExpressionBinder(self.queries, scope, e.ON).condition(node.args["on"])
        joined = plan.Join(plan.JoinKind.LEFT, source.plan, target.plan, condition)
        clauses = [self._when(item, table, scope, source.scope) for item in node.args["whens"].expressions]
        if node.args.get("returning") is not None:
            raise FeatureNotSupported("RETURNING in MERGE", position=position_of(node))
        return plan.Merge(table.id, joined, key, tuple(clauses))

    def _when(self, node: Any, table: Table, both: Scope, source: Scope) -> plan.MergeClause:
        if node.args.get("source"):
            raise FeatureNotSupported("WHEN NOT MATCHED BY SOURCE", position=position_of(node))
        is_matched = bool(node.args.get("matched"))
        scope = both if is_matched else source
        condition = node.args.get("condition")
        bound = None if condition is None else ExpressionBinder(
            self.queries, scope, Clause("MERGE WHEN")).condition(condition)
        then = node.args["then"]
        kind = type(then).__name__
        binder = ExpressionBinder(self.queries, scope, _SET)
        if kind == "Update" and is_matched:
            return plan.MergeClause(True, bound, plan.MergeAction.UPDATE,
                                    self._assignments(then.expressions, table, binder))
        if kind == "Insert" and not is_matched:
            return plan.MergeClause(False, bound, plan.MergeAction.INSERT, self._merge_insert(then, table, binder))
        word = getattr(then, "name", str(then)).upper()
        if "DELETE" in word and is_matched:
            return plan.MergeClause(True, bound, plan.MergeAction.DELETE)
        if "NOTHING" in word:
            return plan.MergeClause(is_matched, bound, plan.MergeAction.NOTHING)
        raise SyntaxFailure("this action is not allowed in this WHEN", position=position_of(node))

    def _merge_insert(self, node: Any, table: Table, binder: ExpressionBinder) -> tuple[plan.Assignment, ...]:
        is_named = type(node.this).__name__ == "Tuple"
        columns = [self._column(table, item) for item in node.this.expressions] if is_named else list(table.columns)
        values = (binder.rows.parts(node.expression) or [node.expression]) if node.expression is not None else []
        if values:
            self._require_count(len(values), columns, is_named, node)
        made = []
        for column, value in zip(columns, values, strict=False):
            if not _says_default(value):
                bound = binder.bind(value)
                if not self._is_default(column, bound):
                    made.append(plan.Assignment(column.id, self.builder.assign(bound, column.type, column.name,
                                                                               position_of(value))))
        return tuple(made)


def _says_default(node: Any) -> bool:
    """DEFAULT, which sqlglot reads as a word or as a column."""
    kind = type(node).__name__
    if kind == "Column":
        return not node.args.get("table") and not node.this.args.get("quoted") and name_of(node.this) == "default"
    return kind == "Var" and node.name.upper() == "DEFAULT"

