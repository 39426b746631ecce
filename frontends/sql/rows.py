"""Rows as values: (a, b), ROW(a, b), a whole row by the name of its relation, and subqueries of several columns.

There is no type for them. They are compared part by part, tested for NULL, and become JSON; what else PostgreSQL does
with a row is refused.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import plan
from phantomdb.core.query.errors import SyntaxFailure
from phantomdb.core.values import BOOL, TEXT
from phantomdb.frontends.sql.parse import name_of, position_of
from phantomdb.frontends.sql.scope import Relation

if TYPE_CHECKING:
    from phantomdb.frontends.sql.expressions import ExpressionBinder


class RowBinder:
    """Binds the rows of one ExpressionBinder."""

    def __init__(self, binder: ExpressionBinder) -> None:
        self.binder, self.builder = binder, binder.builder

    def subquery_comparison(self, operator: str, quantifier: str, left: Any, query: Any) -> plan.Expression:
        row = self.values(left)
        values = row if row is not None else [self.binder.bind(left)]
        bound = self.binder.queries.subquery(query, self.binder.scope)
        if len(bound.columns) != len(values):
            raise SyntaxFailure(f"subquery has too {'many' if len(bound.columns) > len(values) else 'few'} columns",
                                position=position_of(query))
        node, outputs, lefts = bound.plan, [], []
        items = []
        for value, column in zip(values, bound.columns, strict=True):
            compared = self.builder.compare(operator, value, column, position_of(left))
            lefts.append(compared.arguments[0])
            if compared.arguments[1] is not column:
                made = self.builder.column(compared.arguments[1].type, column.name)
                items.append(plan.Item(made, compared.arguments[1]))
                outputs.append(made)
            else:
                items.append(plan.Item(column, column))
                outputs.append(column)
        if any(item.column is not item.expression for item in items):
            # the columns that stay keep their numbers
            node = plan.Project(node, tuple(items))
        kind = plan.SubqueryKind.ANY if quantifier == "any" else plan.SubqueryKind.ALL
        return plan.Subquery(BOOL, kind, node, tuple(outputs), operator, tuple(lefts))

    def parts(self, node: Any) -> list[Any] | None:
        """The parts of (a, b) or ROW(a, b), as nodes."""
        while type(node).__name__ == "Paren":
            node = node.this
        if type(node).__name__ == "Tuple":
            return list(node.expressions)
        if type(node).__name__ == "Anonymous" and name_of(node.this) == "row":
            return list(node.expressions)
        return None

    def whole(self, node: Any) -> Relation | None:
        """The relation of FROM whose name stands where a value would."""
        while type(node).__name__ == "Paren":
            node = node.this
        if type(node).__name__ != "Column" or node.args.get("table") is not None or (
                type(node.this).__name__ != "Identifier"):
            return None
        found = self.binder.scope.whole_row(name_of(node))
        return found

    def values(self, node: Any) -> list[plan.Expression] | None:
        """The parts of a row: (a, b), ROW(a, b), or all columns of a relation by its name."""
        if (parts := self.parts(node)) is not None:
            return self.binder.bind_all(parts)
        relation = self.whole(node)
        return None if relation is None else [column for _, column in relation.columns]

    def of_subquery(self, node: Any, count: int) -> list[plan.Expression]:
        """(SELECT a, b, ...) as one scalar subquery for each column; it is bound anew for each, so that each has
        numbers of its own."""
        found: list[plan.Expression] = []
        for place in range(count):
            query = self.binder.queries.settled(self.binder.queries.subquery(node, self.binder.scope))
            if len(query.columns) != count:
                raise SyntaxFailure(f"subquery has too {'many' if len(query.columns) > count else 'few'} columns",
                                    position=position_of(node))
            column = query.columns[place]
            found.append(plan.Subquery(column.type, plan.SubqueryKind.SCALAR, query.plan, (column,)))
        return found

    def comparison(self, operator: str, left: Any, right: Any) -> plan.Expression:
        """(a, b) < (c, d): by the first parts that differ."""
        lefts = self.values(left)
        if lefts is not None and type(right).__name__ in ("Subquery", "Select"):
            rights: list[plan.Expression] | None = self.of_subquery(right, len(lefts))
        else:
            rights = self.values(right)
        if lefts is None or rights is None or len(lefts) != len(rights):
            raise SyntaxFailure("unequal number of entries in row expressions")
        return self._compared(operator, list(zip(lefts, rights, strict=True)))

    def _compared(self, operator: str, pairs: list[tuple[plan.Expression, plan.Expression]]) -> plan.Expression:
        builder = self.builder
        if operator in ("=", "<>"):
            equal = builder.both(*[builder.compare("=", a, b) for a, b in pairs])
            assert equal is not None
            return equal if operator == "=" else builder.negate(equal)
        strict = operator[0]
        result: plan.Expression = builder.compare(operator, *pairs[-1])
        for a, b in reversed(pairs[:-1]):
            tail = plan.Call(BOOL, "and", (builder.compare("=", a, b), result))
            result = plan.Call(BOOL, "or", (builder.compare(strict, a, b), tail))
        return result

    def test(self, values: list[plan.Expression], is_negated: bool) -> plan.Expression:
        """IS NULL: all are; IS NOT NULL: none is."""
        name = "is not null" if is_negated else "is null"
        return plan.Call(BOOL, "and", tuple(plan.Call(BOOL, name, (self.builder.settle(value),)) for value in values))

    def differs(self, node: Any, is_negated: bool) -> plan.Expression | None:
        """IS [NOT] DISTINCT FROM of rows; None: of other values."""
        lefts, rights = self.values(node.this), self.values(node.expression)
        if lefts is None or rights is None:
            return None
        if len(lefts) != len(rights):
            raise SyntaxFailure("unequal number of entries in row expressions")
        tests = [self.builder.call("is distinct from", [a, b], position_of(node))
                 for a, b in zip(lefts, rights, strict=True)]
        differs = plan.Call(BOOL, "or", tuple(tests))
        return self.builder.negate(differs) if is_negated else differs

    def as_json(self, node: Any) -> plan.Expression | None:
        """A row as an object, the parts of ROW(...) as f1, f2, ...; None: it is no row."""
        if (parts := self.parts(node)) is not None:
            named = [(f"f{place}", value) for place, value in enumerate(self.binder.bind_all(parts), 1)]
            return self._object(named)
        relation = self.whole(node)
        if relation is None:
            return None
        made = self._object(relation.columns)
        # of the side of an outer join that has no row, there is none
        missing = self.test([column for _, column in relation.columns], False)
        return self.builder.case([(missing, self.builder.cast(self.builder.literal(None), made.type))], made)

    def _object(self, named: Sequence[tuple[str, plan.Expression]]) -> plan.Expression:
        arguments: list[plan.Expression] = []
        for name, value in named:
            arguments += [plan.Literal(TEXT, name), self.builder.settle(value)]
        return self.builder.call("jsonb_build_object", arguments)

    def aggregated(self, name: str, node: Any) -> plan.Expression:
        """json_agg(t): of whole rows."""
        made = self.as_json(node) if name in ("json_agg", "jsonb_agg") else None
        return self.binder.bind(node) if made is None else made

    def counted(self, node: Any) -> plan.Expression:
        """count(t): its rows, of which an outer join may have none."""
        relation = self.whole(node)
        if relation is None:
            return self.binder.bind(node)
        missing = self.test([column for _, column in relation.columns], False)
        return self.builder.case([(missing, self.builder.literal(None))], self.builder.literal(1))
