"""FROM: tables, subqueries, functions and the joins between them."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.definition import FLEXIBLE_FIELDS
from phantomdb.core.catalog.objects import Table, View
from phantomdb.core.query import plan
from phantomdb.core.query.errors import (
    DuplicateAlias, FeatureNotSupported, InvalidColumnReference, SyntaxFailure, UndefinedColumn, UndefinedFunction,
)
from phantomdb.core.query.functions.registry import FunctionKind
from phantomdb.core.values import BIGINT, Kind
from phantomdb.frontends.sql import expressions as e
from phantomdb.frontends.sql.expressions import ExpressionBinder
from phantomdb.frontends.sql.parse import name_of, position_of, split
from phantomdb.frontends.sql.scope import Relation, Scope

if TYPE_CHECKING:
    from phantomdb.frontends.sql.queries import QueryBinder


_FUNCTIONS = e.Clause("functions in FROM")


@dataclass(slots=True)
class FromItem:
    """What FROM has so far: a plan, and the names in it."""

    plan: plan.Node
    scope: Scope


class FromBinder:
    """Binds the FROM of one SELECT. `outer`: the scope around the SELECT."""

    def __init__(self, queries: QueryBinder, outer: Scope | None) -> None:
        self.queries, self.outer = queries, outer
        self.builder = queries.builder

    def bind(self, node: Any) -> FromItem:
        """FROM and its joins; without FROM one row without columns."""
        clause = node.args.get("from_")
        if clause is None:
            return FromItem(plan.Values((), ((),)), Scope(outer=self.outer))
        return self.joined(self.item(clause.this, Scope(outer=self.outer)), node.args.get("joins") or [],
                           node.args.get("laterals") or [])

    def bind_items(self, items: list[Any], left: FromItem) -> FromItem:
        """UPDATE ... FROM, DELETE ... USING: further items beside `left`."""
        for item in items:
            left = self._join(left, self.item(item, left.scope), plan.JoinKind.CROSS, None, item, is_lateral=True)
        return left

    def joined(self, left: FromItem, joins: Sequence[Any], laterals: Sequence[Any] = ()) -> FromItem:
        for join in joins:
            left = self._joined(left, join)
        for lateral in laterals:
            left = self._join(left, self.item(lateral, left.scope), plan.JoinKind.CROSS, None, lateral, is_lateral=True)
        return left

    # ---------------------------------------------------------------- joins

    def _joined(self, left: FromItem, join: Any) -> FromItem:
        side, kind = str(join.args.get("side") or ""), str(join.args.get("kind") or "")
        method = str(join.args.get("method") or "")
        if kind not in ("", "INNER", "CROSS", "OUTER") or method not in ("", "NATURAL"):
            raise FeatureNotSupported(f"{method or kind} JOIN", position=position_of(join))
        right = self.item(join.this, left.scope)
        is_lateral = _is_lateral(join.this)
        join_kind = plan.JoinKind(side.lower()) if side else \
            plan.JoinKind.CROSS if kind == "CROSS" or not (join.args.get("on") is not None or join.args.get("using")
                                                           or method or kind == "INNER") else plan.JoinKind.INNER
        names: list[str] | None = None
        if join.args.get("using"):
            names = [name_of(name) for name in join.args["using"]]
        elif method == "NATURAL":
            known = [name for name, _ in left.scope.all_columns()]
            names = [name for name, _ in right.scope.all_columns() if name in known]
            if not names:
                join_kind = plan.JoinKind.CROSS if join_kind is plan.JoinKind.INNER else join_kind
        condition = join.args.get("on")
        if condition is None and names is None and join_kind is not plan.JoinKind.CROSS:
            raise SyntaxFailure("a join needs ON or USING", position=position_of(join))
        return self._join(left, right, join_kind, condition, join, names, is_lateral=is_lateral)

    def _join(self, left: FromItem, right: FromItem, kind: plan.JoinKind, condition: Any, node: Any,
              names: list[str] | None = None, *, is_lateral: bool = False) -> FromItem:
        taken = {(relation.alias, relation.schema) for relation in left.scope.relations if relation.alias}
        for relation in right.scope.relations:
            if (relation.alias, relation.schema) in taken:
                raise DuplicateAlias(f'table name "{relation.alias}" specified more than once',
                                     position=position_of(node))
        scope = Scope([*left.scope.relations, *right.scope.relations], self.outer,
                      {**left.scope.merged, **right.scope.merged})
        bound: plan.Expression | None = None
        if names is not None:
            bound = self._using(left, right, kind, names, scope, node)
            if bound is None and kind is not plan.JoinKind.CROSS:
                bound = plan.TRUE
        elif condition is not None:
            bound = ExpressionBinder(self.queries, scope, e.ON).condition(condition)
        lateral = is_lateral and kind in (plan.JoinKind.CROSS, plan.JoinKind.INNER, plan.JoinKind.LEFT)
        return FromItem(plan.Join(kind, left.plan, right.plan, bound, lateral), scope)

    def _using(self, left: FromItem, right: FromItem, kind: plan.JoinKind, names: list[str], scope: Scope, node: Any
               ) -> plan.Expression | None:
        """The condition of USING (names); each of them becomes one column of the join."""
        tests: list[plan.Expression] = []
        for name in names:
            sides: list[plan.Expression] = []
            for item, word in ((left, "left"), (right, "right")):
                try:
                    local = Scope(item.scope.relations, None, item.scope.merged)
                    found = local.find(name, position=position_of(node))
                except UndefinedColumn:
                    raise UndefinedColumn(f'column "{name}" specified in USING clause does not exist in {word} table',
                                          position=position_of(node), column=name) from None
                assert isinstance(found, plan.Expression)
                sides.append(found)
            tests.append(self.builder.compare("=", sides[0], sides[1], position_of(node)))
            if kind is plan.JoinKind.FULL:
                scope.merged[name] = self.builder.call("coalesce", sides, position_of(node))
            else:
                scope.merged[name] = sides[1] if kind is plan.JoinKind.RIGHT else sides[0]
        for position, relation in enumerate(scope.relations):
            own = {name for name, _ in relation.columns}
            if own & set(names):
                scope.relations[position] = _copy(relation, relation.hidden | (own & set(names)))
        return self.builder.both(*tests)

    # ---------------------------------------------------------------- items

    def item(self, node: Any, left: Scope) -> FromItem:
        """One item of FROM. `left`: what stands before it, for LATERAL and functions."""
        kind = type(node).__name__
        if (kind == "Table" and type(node.this).__name__ in ("Anonymous", "Dot", "Func")) or kind == "Anonymous":
            return self._function(node, node, left)
        if kind == "Table":
            return self._table(node)
        if kind == "Lateral":
            inner = node.this
            if type(inner).__name__ in ("Subquery", "Select", "Values"):
                return self._subquery(inner, node, left)
            return self._function(node, node, left)
        if kind in ("Subquery", "Paren") and type(node.this).__name__ in ("Table", "Join", "Lateral"):
            item = self.joined(self.item(node.this, left), node.args.get("joins") or [])
            if node.args.get("alias") is not None:
                raise FeatureNotSupported("an alias for a join in parentheses", position=position_of(node))
            return item
        if kind in ("Subquery", "Select", "Union", "Values", "Intersect", "Except"):
            item = self._subquery(node, node, Scope(outer=self.outer))
            return item
        if kind == "Unnest":
            return self._function(node, node, left)
        raise FeatureNotSupported(f"{kind} in FROM", position=position_of(node))

    def _table(self, node: Any) -> FromItem:
        for option in ("sample", "pivots", "version", "when", "only", "hints", "partition", "changes"):
            if node.args.get(option) and option != "only":
                raise FeatureNotSupported(f"{option.upper()} on a table", position=position_of(node))
        name, schema = name_of(node.this), name_of(node.args.get("db"))
        position = position_of(node)
        database = name_of(node.args.get("catalog"))
        if database and database != self.queries.names.database.name:
            raise FeatureNotSupported(f"cross-database references are not implemented: {database}.{schema}.{name}",
                                      position=position)
        alias = name_of(node.args.get("alias")) or name
        if not schema and (common := self.queries.common_table(name)) is not None:
            number, names, types = common
            columns = [self.builder.column(type_, column) for column, type_ in zip(names, types, strict=True)]
            relation = Relation(alias, list(zip(names, columns, strict=True)))
            item = FromItem(plan.CommonScan(number, tuple(columns)), Scope([relation], self.outer))
        elif schema in ("information_schema", "pg_catalog") or (
                not schema and self.queries.names.find(name) is None and name.startswith("pg_")):
            item = self._virtual(name, schema, alias, position)
        else:
            found = self.queries.names.relation(name, schema, position)
            item = self._view(found, alias) if isinstance(found, View) else self.stored(found, alias,
                                                                                       self._as_of(node))
        self._rename(item, node)
        if node.args.get("joins"):
            return self.joined(item, node.args["joins"])
        return item

    def _as_of(self, node: Any) -> plan.Expression | None:
        """AS OF SYSTEM TIME after this table's name."""
        end = max((part.meta["end"] for part in node.walk() if part.meta and "end" in part.meta), default=None)
        tokens = self.queries.as_of.get(end) if end is not None else None
        if not tokens:
            return None
        text = " ".join(f"'{token.text}'" if token.token_type.name == "STRING" else token.text for token in tokens)
        tree = split("SELECT " + text)[0].tree()
        if len(tree.expressions) != 1:
            raise SyntaxFailure("AS OF SYSTEM TIME takes one moment", position=tokens[0].start + 1)
        binder = ExpressionBinder(self.queries, Scope(), e.Clause("AS OF SYSTEM TIME"))
        return binder.bind(tree.expressions[0])

    def stored(self, table: Table, alias: str, as_of: plan.Expression | None = None) -> FromItem:
        """All columns of a table; those that nobody uses are dropped later."""
        columns, scanned = [], []
        for column in table.columns:
            made = self.builder.column(column.type, column.name)
            columns.append((column.name, made))
            scanned.append(plan.ScanColumn(made, column.id))
        document = dict(columns).get(FLEXIBLE_FIELDS) if table.is_flexible else None
        relation = Relation(alias, list(columns), self._schema(table, alias), table.id,
                            {item.column.id: item.source for item in scanned}, table.is_flexible, document)
        return FromItem(plan.Scan(table.id, tuple(scanned), as_of), Scope([relation], self.outer))

    def _schema(self, relation: Table | View, alias: str) -> str:
        """What may stand before the name; nothing before an alias."""
        return self.queries.names.catalog.schema_by_id(relation.schema).name if alias == relation.name else ""

    def _view(self, view: View, alias: str) -> FromItem:
        query = self.queries.stored_query(view.query)
        relation = Relation(alias, list(zip(view.column_names, query.columns, strict=True)), self._schema(view, alias))
        return FromItem(query.plan, Scope([relation], self.outer))

    def _virtual(self, name: str, schema: str, alias: str, position: int | None) -> FromItem:
        table = self.queries.names.virtual(name, schema)
        if table is None:
            from phantomdb.core.query.errors import UndefinedTable
            raise UndefinedTable(f'relation "{schema + "." if schema else ""}{name}" does not exist', position=position,
                                 table=name)
        columns = [(column, self.builder.column(type_, column)) for column, type_ in table.columns]
        node = plan.VirtualTable(table.name, tuple(plan.ScanColumn(column, place)
                                                   for place, (_, column) in enumerate(columns)))
        return FromItem(node, Scope([Relation(alias, list(columns), schema)], self.outer))

    def _subquery(self, node: Any, holder: Any, left: Scope) -> FromItem:
        alias = holder.args.get("alias")
        inner = node
        while type(inner).__name__ == "Subquery" and not any(
                inner.args.get(name) is not None for name in ("order", "limit", "offset", "with_")):
            alias = alias if alias is not None else inner.args.get("alias")
            inner = inner.this
        query = self.queries.bind(inner, left if _is_lateral(holder) else self.outer)
        query = self.queries.settled(query)
        relation = Relation(name_of(alias), list(zip(query.names, query.columns, strict=True)))
        item = FromItem(query.plan, Scope([relation], self.outer))
        self._rename(item, holder if holder.args.get("alias") is not None else node)
        return self.joined(item, node.args.get("joins") or []) if node is holder else item

    def _function(self, node: Any, holder: Any, left: Scope) -> FromItem:
        """generate_series(1, 3) AS g(n), unnest(a, b) WITH ORDINALITY, ..."""
        call = node.this
        while type(call).__name__ in ("Table", "Lateral"):
            call = call.this
        binder = ExpressionBinder(self.queries, Scope(left.relations, self.outer, left.merged), _FUNCTIONS)
        if type(node).__name__ == "Unnest":
            name, arguments = "unnest", [binder.bind(item) for item in node.expressions]
        else:
            if type(call).__name__ == "Dot":
                call = call.expression
            if type(call).__name__ != "Anonymous":
                raise FeatureNotSupported(f"{type(call).__name__} as a table", position=position_of(node))
            name, arguments = name_of(call.this), [binder.bind(item) for item in call.expressions]
        kind = self.builder.kind_of(name, len(arguments))
        if kind is None:
            raise UndefinedFunction(f"function {name} does not exist", position=position_of(node))
        alias_node = holder.args.get("alias")
        alias = name_of(alias_node) or name
        if kind is FunctionKind.SCALAR:                      # a table of one row
            value = self.builder.call(name, arguments, position_of(node))
            column = self.builder.column(value.type, name)
            tree: plan.Node = plan.Project(plan.Values((), ((),)), (plan.Item(column, value),))
            columns, shown = [column], [alias]
        elif kind is FunctionKind.TABLE:
            tree, columns, shown = self._table_function(name, arguments, alias, node)
        else:
            raise FeatureNotSupported(f"{name} in FROM", position=position_of(node))
        if holder.args.get("ordinality") or holder.args.get("offset") or (
                type(node).__name__ == "Table" and node.args.get("ordinality")):
            assert isinstance(tree, plan.TableFunction)
            ordinal = self.builder.column(BIGINT, "ordinality")
            tree = plan.TableFunction(tree.name, tree.arguments, tree.columns, ordinal)
            columns, shown = [*columns, ordinal], [*shown, "ordinality"]
        item = FromItem(tree, Scope([Relation(alias, list(zip(shown, columns, strict=True)))], self.outer))
        self._rename(item, holder)
        return item

    def _table_function(self, name: str, arguments: list[plan.Expression], alias: str, node: Any
                        ) -> tuple[plan.Node, list[plan.Column], list[str]]:
        from phantomdb.core.query.functions.registry import resolve
        if name == "unnest" and len(arguments) > 1:
            types = [argument.type.element for argument in arguments]
            if any(argument.type.kind is not Kind.ARRAY for argument in arguments):
                raise UndefinedFunction("unnest takes arrays", position=position_of(node))
            columns = [self.builder.column(type_, name) for type_ in types if type_ is not None]
            return plan.TableFunction(name, tuple(arguments), tuple(columns)), columns, [name] * len(columns)
        call = self.builder.call(name, arguments, position_of(node))
        overload = resolve(name, [argument.type for argument in call.arguments]).overload
        if overload.columns:
            columns = [self.builder.column(type_, column) for column, type_ in overload.columns]
            shown = [column for column, _ in overload.columns]
        else:
            columns, shown = [self.builder.column(call.type, alias)], [alias]
        return plan.TableFunction(name, call.arguments, tuple(columns)), columns, shown

    def _rename(self, item: FromItem, node: Any) -> None:
        """AS alias (a, b, c)."""
        alias = node.args.get("alias")
        given = [] if alias is None else alias.args.get("columns") or []
        names = [name_of(column.this if type(column).__name__ == "ColumnDef" else column) for column in given]
        relation = item.scope.relations[0]
        if alias is not None and name_of(alias):
            relation.alias = name_of(alias)
        if len(names) > len(relation.columns):
            raise InvalidColumnReference(f'table "{relation.alias}" has {len(relation.columns)} columns available but '
                                         f"{len(names)} columns specified", position=position_of(node))
        for place, name in enumerate(names):
            relation.columns[place] = (name, relation.columns[place][1])


def _is_lateral(node: Any) -> bool:
    """LATERAL, or a function, which needs no such word."""
    return (type(node).__name__ in ("Lateral", "Unnest", "Anonymous")
            or (type(node).__name__ == "Table" and type(node.this).__name__ in ("Anonymous", "Dot")))


def _copy(relation: Relation, hidden: set[str]) -> Relation:
    return Relation(relation.alias, relation.columns, relation.schema, relation.table, relation.sources,
                    relation.is_flexible, relation.document, hidden)
