"""GROUP BY: from expressions with aggregates in them to an Aggregate node and expressions over its columns.

    SELECT a + 1, sum(b) * 2 FROM t GROUP BY a + 1 HAVING count(*) > 1

    Filter(c8 > 1)
      Aggregate(keys c6 = c1 + 1; c7 = sum(c2), c8 = count(*))        SELECT list over it: c6, c7 * 2
        Scan(c1 = a, c2 = b)

An expression that is equal to a key is that key; what is left of the input's columns then is an error, unless they
belong to a table whose whole primary key is grouped by: they depend on it, and become keys as well.
"""
from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import plan
from phantomdb.core.query.errors import FeatureNotSupported, GroupingError, StatementTooComplex
from phantomdb.core.query.rewrite import substitute, walk
from phantomdb.core.values import INT
from phantomdb.frontends.sql import expressions as e
from phantomdb.frontends.sql.expressions import ExpressionBinder
from phantomdb.frontends.sql.parse import name_of, position_of
from phantomdb.frontends.sql.scope import Scope

if TYPE_CHECKING:
    from phantomdb.frontends.sql.from_clause import FromItem
    from phantomdb.frontends.sql.queries import QueryBinder

MAX_GROUPING_SETS = 4096
_SETS = ("GroupingSets", "Rollup", "Cube")


class Grouping:
    """The grouping of one SELECT."""

    def __init__(self, queries: QueryBinder, source: FromItem, clause: Any, items: list[tuple[str, plan.Expression]],
                 having: plan.Expression | None) -> None:
        self.queries, self.builder, self.source, self.having = queries, queries.builder, source, having
        self.clause, self.items = clause, items
        self.keys: list[plan.Item] = []
        self.aggregates: dict[plan.AggregateCall, plan.Column] = {}
        self.grouping_calls: dict[tuple[int, ...], plan.Column] = {}
        self.sets: list[tuple[int, ...]] | None = None

    def apply(self, tree: plan.Node, parts: Any) -> tuple[plan.Node, Any]:
        """(plan, parts) with the grouping in the plan; the same when there is nothing to group."""
        if self.clause is None and self.having is None and not _has_aggregate(parts):
            return tree, parts
        if self.clause is not None:
            self._bind_clause()
        self._add_dependent_columns(parts)
        parts = tuple(type(part)(substitute(tuple(part), self._replace)) for part in parts)
        having = substitute(self.having, self._replace) if self.having is not None else None
        self._require_grouped((parts, having))
        tree = plan.Aggregate(tree, tuple(self.keys),
                              tuple(plan.Item(column, call) for call, column in self.aggregates.items()),
                              None if self.sets is None else tuple(self.sets),
                              tuple((column, positions) for positions, column in self.grouping_calls.items()))
        return (plan.Filter(tree, having) if having is not None else tree), parts

    # ---------------------------------------------------------------- the clause

    def _bind_clause(self) -> None:
        """GROUP BY a, b, ROLLUP (c), GROUPING SETS (...): the product of all its parts."""
        factors: list[list[tuple[int, ...]]] = []
        sets = [node for node in self.clause.expressions if type(node).__name__ in _SETS]
        single = [node for node in self.clause.expressions if node not in sets]
        plain = tuple(self._key(node) for node in single if not _is_empty(node))
        if single:
            factors.append([plain])
        for name in ("grouping_sets", "rollup", "cube"):
            sets += self.clause.args.get(name) or []
        factors += [self._sets(node) for node in sets]
        if len(factors) == 1 and factors[0] == [plain] and plain:
            return
        count = 1
        for factor in factors:
            count *= len(factor)
        if count > MAX_GROUPING_SETS:
            raise StatementTooComplex(f"more than {MAX_GROUPING_SETS} grouping sets", position=position_of(self.clause))
        self.sets = [tuple(dict.fromkeys(key for part in parts for key in part)) for parts in product(*factors)]
        if self.clause.args.get("all") or self.clause.args.get("totals"):
            raise FeatureNotSupported("GROUP BY ALL and WITH TOTALS", position=position_of(self.clause))

    def _sets(self, node: Any) -> list[tuple[int, ...]]:
        kind = type(node).__name__
        if kind == "GroupingSets":
            result: list[tuple[int, ...]] = []
            for item in node.expressions:
                if type(item).__name__ in _SETS:
                    result += self._sets(item)
                else:
                    result.append(self._members(item))
            return result
        members = [self._members(item) for item in node.expressions]
        if kind == "Rollup":
            return [sum(members[:count], ()) for count in range(len(members), -1, -1)]
        if len(members) > 12:
            raise StatementTooComplex("CUBE is limited to 12 elements", position=position_of(node))
        return [sum((member for bit, member in enumerate(members) if mask >> (len(members) - 1 - bit) & 1), ())
                for mask in range((1 << len(members)) - 1, -1, -1)]

    def _members(self, node: Any) -> tuple[int, ...]:
        if type(node).__name__ == "Tuple":
            return tuple(self._key(item) for item in node.expressions)
        return (self._key(node.this if type(node).__name__ == "Paren" else node),)

    def _key(self, node: Any) -> int:
        """The place of a key, which is new or was there."""
        expression = self.builder.settle(self._meaning(node))
        for place, item in enumerate(self.keys):
            if item.expression == expression:
                return place
        if _has_aggregate([expression]):
            raise GroupingError("aggregate functions are not allowed in GROUP BY", position=position_of(node))
        self.keys.append(plan.Item(self.builder.column(expression.type, getattr(expression, "name", "")), expression))
        return len(self.keys) - 1

    def _meaning(self, node: Any) -> plan.Expression:
        """An input column, or else an output's place or name, or else an expression."""
        if type(node).__name__ == "Column" and not node.args.get("table"):
            name = name_of(node.this)
            local = Scope(self.source.scope.relations, None, self.source.scope.merged)
            if not any(known == name for known, _ in local.all_columns()):
                for known, value in self.items:
                    if known == name:
                        return value
        elif type(node).__name__ == "Literal":
            found = self.queries._output(node, self.items, "GROUP BY")
            if found is not None:
                return found
        binder = ExpressionBinder(self.queries, self.source.scope, e.GROUP_BY)
        return binder.bind(node)

    # ---------------------------------------------------------------- the expressions over it

    def _replace(self, part: Any, inside: bool) -> Any:
        for item in self.keys:
            if part == item.expression and not isinstance(part, plan.Literal):
                return item.column
        if inside:
            return None
        if isinstance(part, plan.AggregateCall):
            if any(isinstance(inner, (plan.AggregateCall, plan.WindowCall))
                   for inner in walk(part) if inner is not part):
                raise GroupingError("aggregate function calls cannot be nested")
            if part not in self.aggregates:
                self.aggregates[part] = self.builder.column(part.type, part.name)
            return self.aggregates[part]
        if isinstance(part, plan.WindowCall):
            # sum(x) OVER (...) is no aggregate of this level, but what it is called with may hold some
            call = part.call
            rebuilt = plan.AggregateCall(call.type, call.name, substitute(call.arguments, self._replace),
                                         call.is_distinct, substitute(call.order_by, self._replace),
                                         None if call.condition is None else substitute(call.condition, self._replace))
            return plan.WindowCall(part.type, rebuilt, substitute(part.partition_by, self._replace),
                                   substitute(part.order_by, self._replace), part.frame, part.ignore_nulls)
        if isinstance(part, plan.Call) and part.name == "grouping":
            return self._grouping_call(part)
        return None

    def _grouping_call(self, call: plan.Call) -> plan.Column:
        places = []
        for argument in call.arguments:
            place = next((place for place, item in enumerate(self.keys) if item.expression == argument), None)
            if place is None:
                raise GroupingError("arguments to GROUPING must be grouping expressions of the associated query level")
            places.append(place)
        if not 0 < len(places) < 32:
            raise GroupingError("GROUPING has between 1 and 31 arguments")
        if tuple(places) not in self.grouping_calls:
            self.grouping_calls[tuple(places)] = self.builder.column(INT, "grouping")
        return self.grouping_calls[tuple(places)]

    def _own_columns(self) -> set[int]:
        """Numbers of the input's columns at this level."""
        found: set[int] = set()
        for relation in self.source.scope.relations:
            for _, value in relation.columns:
                found.update(part.id for part in walk(value) if isinstance(part, plan.Column))
            if relation.document is not None:
                found.add(relation.document.id)
        return found

    def _add_dependent_columns(self, parts: Any) -> None:
        grouped = {item.expression.id for item in self.keys if isinstance(item.expression, plan.Column)}
        if self.sets is not None or not grouped:
            return
        for relation in self.source.scope.relations:
            if relation.table is None:
                continue
            table = self.queries.names.catalog.table(relation.table)
            by_source = {source: number for number, source in relation.sources.items()}
            if not table.has_hidden_key and all(by_source.get(key) in grouped for key in table.primary_key):
                used = {part.id: part for part in walk((tuple(tuple(part) for part in parts), self.having))
                        if isinstance(part, plan.Column) and part.id in relation.sources and part.id not in grouped}
                for column in used.values():
                    self.keys.append(plan.Item(self.builder.column(column.type, column.name), column))

    def _require_grouped(self, parts: Any) -> None:
        own = self._own_columns()
        for part in walk(_tuples(parts)):
            if isinstance(part, plan.Column) and part.id in own:
                relation = next((r.alias for r in self.source.scope.relations
                                 if any(value == part for _, value in r.columns)), "")
                shown = f"{relation}.{part.name}" if relation else part.name
                raise GroupingError(f'column "{shown}" must appear in the GROUP BY clause or be used in an aggregate '
                                    "function", column=part.name)


def _tuples(parts: Any) -> Any:
    return tuple(_tuples(part) for part in parts) if isinstance(parts, (list, tuple)) else parts


def _is_empty(node: Any) -> bool:
    return type(node).__name__ == "Tuple" and not node.expressions


def _has_aggregate(parts: Any) -> bool:
    """Whether an aggregate of this level is called; one under OVER is none."""
    found = False

    def look(part: Any, inside: bool) -> Any:
        nonlocal found
        if isinstance(part, plan.WindowCall) and not inside:
            inner = (part.call.arguments, part.call.order_by, part.partition_by, part.order_by)
            found = found or _has_aggregate([inner])
            return part
        found = found or (isinstance(part, plan.AggregateCall) and not inside)
        return None

    substitute(_tuples(parts), look)
    return found
