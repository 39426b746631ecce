"""Expressions of SQL to expressions of the plan: one method for each kind of node that sqlglot makes.

Aggregates and window calls stay in the tree where they stand (plan.AggregateCall, plan.WindowCall); queries.py takes
them out and puts columns in their place. `Clause` says whether they are allowed.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import plan
from phantomdb.core.query.builder import COMPARISONS, Builder, is_untyped
from phantomdb.core.query.errors import (
    FeatureNotSupported, GroupingError, QueryError, SyntaxFailure, UndefinedFunction, WindowingError,
)
from phantomdb.core.query.functions.registry import FunctionKind
from phantomdb.core.values import BOOL, INT, TEXT, array
from phantomdb.frontends.sql.datatypes import NAMED_OBJECTS, type_of
from phantomdb.frontends.sql.parse import name_of, position_of
from phantomdb.frontends.sql.scope import Relation, Scope

if TYPE_CHECKING:
    from phantomdb.frontends.sql.queries import QueryBinder

_BINARY = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Mod": "%", "Pow": "^", "DPipe": "||", "EQ": "=",
           "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">=", "Like": "like", "ILike": "ilike",
           "SimilarTo": "similar to", "RegexpLike": "~", "RegexpILike": "~*", "BitwiseAnd": "&", "BitwiseOr": "|",
           "BitwiseXor": "#", "BitwiseLeftShift": "<<", "BitwiseRightShift": ">>", "JSONExtract": "->",
           "JSONExtractScalar": "->>", "JSONBExtract": "#>", "JSONBExtractScalar": "#>>", "ArrayContainsAll": "@>",
           "ArrayContainedBy": "<@", "ArrayOverlaps": "&&", "JSONBContains": "?", "JSONBContainsTopKey": "?",
           "JSONBContainsAnyTopKeys": "?|", "JSONBContainsAllTopKeys": "?&", "JSONBDeleteAtPath": "#-", "IntDiv": "/",
           "Glob": "~~"}
_NO_PARENTHESES = {"CurrentDate": "current_date", "CurrentTime": "current_time", "CurrentUser": "current_user",
                   "CurrentTimestamp": "current_timestamp", "Localtime": "localtime", "CurrentRole": "current_user",
                   "Localtimestamp": "localtimestamp", "SessionUser": "session_user", "CurrentSchema": "current_schema",
                   "CurrentDatetime": "localtimestamp", "CurrentCatalog": "current_catalog"}


@dataclass(frozen=True, slots=True)
class Clause:
    """Where an expression stands, and what may stand in it."""

    name: str
    aggregates: bool = False
    windows: bool = False
    subqueries: bool = True


WHERE = Clause("WHERE")
ON = Clause("JOIN conditions")
SELECT = Clause("SELECT", aggregates=True, windows=True)
HAVING = Clause("HAVING", aggregates=True)
GROUP_BY = Clause("GROUP BY")
LIMIT = Clause("LIMIT")
ARGUMENT = Clause("an aggregate's arguments")
WINDOW = Clause("a window definition", aggregates=True)
VALUES = Clause("VALUES")


class ExpressionBinder:
    """Binds expressions of one query level."""

    def __init__(self, queries: QueryBinder, scope: Scope, clause: Clause, windows: dict[str, Any] | None = None
                 ) -> None:
        self.queries, self.scope, self.clause = queries, scope, clause
        self.builder: Builder = queries.builder
        self.windows = windows or {}                         # WINDOW name AS (...)

    def within(self, clause: Clause) -> ExpressionBinder:
        return ExpressionBinder(self.queries, self.scope, clause, self.windows)

    def bind(self, node: Any) -> plan.Expression:
        """The expression; its literal may still be untyped."""
        name = type(node).__name__
        method: Callable[[Any], plan.Expression] | None = getattr(self, "_" + name.lower(), None)
        try:
            if name in _BINARY:
                return self._binary(_BINARY[name], node.this, node.expression, node)
            if name in _NO_PARENTHESES:
                return self._named(_NO_PARENTHESES[name], [node.this] if node.args.get("this") is not None else [],
                                   node)
            if method is not None:
                return method(node)
        except QueryError as error:
            if error.position is None:
                error.position = position_of(node)
            raise
        raise FeatureNotSupported(f"{name} is not supported: {node.sql('postgres')[:60]}", position=position_of(node))

    def settled(self, node: Any) -> plan.Expression:
        return self.builder.settle(self.bind(node))

    def condition(self, node: Any) -> plan.Expression:
        return self.builder.condition(self.bind(node), self.clause.name, position_of(node))

    def _all(self, nodes: Sequence[Any]) -> list[plan.Expression]:
        return [self.bind(node) for node in nodes]

    # ---------------------------------------------------------------- leaves

    def _literal(self, node: Any) -> plan.Expression:
        if node.is_string:
            return self.builder.literal(node.this)
        text = node.this.replace("_", "")
        try:
            if text.lower().startswith("0x"):
                return self.builder.literal(int(text, 16))
            return self.builder.literal(int(text) if text.isdigit() else Decimal(text))
        except (ValueError, ArithmeticError):
            raise SyntaxFailure(f'invalid number "{node.this}"') from None

    def _boolean(self, node: Any) -> plan.Expression:
        return plan.TRUE if node.this else plan.FALSE

    def _null(self, _node: Any) -> plan.Expression:
        return self.builder.literal(None)

    def _rawstring(self, node: Any) -> plan.Expression:
        return self.builder.literal(node.this)

    _bytestring = _unicodestring = _national = _rawstring

    def _hexstring(self, node: Any) -> plan.Expression:
        raise FeatureNotSupported("bit strings are not supported; write '\\x1f'::bytea for bytes")

    _bitstring = _hexstring

    def _parameter(self, node: Any) -> plan.Expression:
        return self.builder.parameter(int(node.this.this) - 1)

    def _placeholder(self, node: Any) -> plan.Expression:
        raise SyntaxFailure("write parameters as ?, $1, :1 or :name")

    def _paren(self, node: Any) -> plan.Expression:
        return self.bind(node.this)

    def _column(self, node: Any) -> plan.Expression:
        if type(node.this).__name__ == "Star":
            raise SyntaxFailure("* is not allowed here")
        name = name_of(node.this)
        if node.args.get("catalog") is not None:
            raise FeatureNotSupported("a name of four parts")
        found = self.scope.find(name, name_of(node.args.get("table")), name_of(node.args.get("db")), position_of(node))
        if isinstance(found, Relation):
            raise FeatureNotSupported(f'the whole row of "{name}" as a value is not supported; name its columns')
        return found

    def _identifier(self, node: Any) -> plan.Expression:
        found = self.scope.find(name_of(node), position=position_of(node))
        if isinstance(found, Relation):
            raise FeatureNotSupported("a whole row as a value is not supported; name its columns")
        return found

    # ---------------------------------------------------------------- operators

    def _binary(self, operator: str, left: Any, right: Any, node: Any) -> plan.Expression:
        kind = type(right).__name__
        quantifier = {"Any": "any", "All": "all"}.get(kind)
        if kind == "Anonymous" and name_of(right.this) == "some":
            quantifier, right = "any", right.expressions[0]
        elif quantifier:
            right = right.this
        if quantifier:
            return self._quantified(operator, quantifier, left, right, node)
        if operator in COMPARISONS and "Tuple" in (type(left).__name__, kind):
            return self._row_comparison(operator, left, right)
        if operator in COMPARISONS and self._row(left) is not None and self._row(right) is not None:
            return self._row_comparison(operator, left, right)
        call = self.builder.call(operator, [self.bind(left), self.bind(right)], position_of(node))
        return self.builder.negate(call) if node.args.get("negate") else call

    def _quantified(self, operator: str, quantifier: str, left: Any, right: Any, node: Any) -> plan.Expression:
        while type(right).__name__ == "Paren":
            right = right.this
        if type(right).__name__ in ("Select", "Subquery", "Union", "Intersect", "Except", "Values"):
            return self._subquery_comparison(operator, quantifier, left, right)
        value, items = self.bind(left), self.bind(right)
        if is_untyped(items):
            items = self.builder.cast(items, array(self.builder.settle(value).type))
        if is_untyped(value) and items.type.element is not None:
            value = self.builder.cast(value, items.type.element)
        return self.builder.call(f"{operator} {quantifier}", [value, items], position_of(node))

    def _subquery_comparison(self, operator: str, quantifier: str, left: Any, query: Any) -> plan.Expression:
        row = self._row(left)
        values = [self.bind(item) for item in (row if row is not None else [left])]
        bound = self.queries.subquery(query, self.scope)
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

    def _row(self, node: Any) -> list[Any] | None:
        """The parts of (a, b) or ROW(a, b)."""
        while type(node).__name__ == "Paren":
            node = node.this
        if type(node).__name__ == "Tuple":
            return list(node.expressions)
        if type(node).__name__ == "Anonymous" and name_of(node.this) == "row":
            return list(node.expressions)
        return None

    def _row_comparison(self, operator: str, left: Any, right: Any) -> plan.Expression:
        """(a, b) < (c, d): by the first parts that differ."""
        if type(right).__name__ in ("Subquery", "Select"):
            raise FeatureNotSupported("comparing a row with a subquery; use IN, or compare the columns")
        lefts, rights = self._row(left), self._row(right)
        if lefts is None or rights is None or len(lefts) != len(rights):
            raise SyntaxFailure("unequal number of entries in row expressions")
        pairs = [(self.bind(a), self.bind(b)) for a, b in zip(lefts, rights, strict=True)]
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

    def _and(self, node: Any) -> plan.Expression:
        return self._chain("and", node)

    def _or(self, node: Any) -> plan.Expression:
        return self._chain("or", node)

    def _chain(self, name: str, node: Any) -> plan.Expression:
        """a AND b AND c as one call: a condition of a thousand parts must not be a thousand levels deep."""
        parts, kind = [], type(node)
        while type(node) is kind:
            parts.append(node.expression)
            node = node.this
        parts.append(node)
        bound = [self.builder.condition(self.bind(part), name.upper(), position_of(part)) for part in reversed(parts)]
        return plan.Call(BOOL, name, tuple(bound))

    def _not(self, node: Any) -> plan.Expression:
        return self.builder.negate(self.builder.condition(self.bind(node.this), "NOT", position_of(node)))

    def _neg(self, node: Any) -> plan.Expression:
        if type(node.this).__name__ == "Literal" and not node.this.is_string and node.this.this.isdigit():
            return self.builder.literal(-int(node.this.this))
        return self.builder.call("negate", [self.bind(node.this)], position_of(node))

    def _bitwisenot(self, node: Any) -> plan.Expression:
        return self.builder.call("~", [self.bind(node.this)], position_of(node))

    def _sqrt(self, node: Any) -> plan.Expression:
        return self._named("sqrt", [node.this], node)

    def _cbrt(self, node: Any) -> plan.Expression:
        return self._named("cbrt", [node.this], node)

    def _is(self, node: Any) -> plan.Expression:
        is_negated = bool(node.args.get("negate"))
        value, test = self.bind(node.this), node.expression
        kind = type(test).__name__
        if kind == "Not":
            is_negated, test = not is_negated, test.this
            kind = type(test).__name__
        if kind == "Null":
            return plan.Call(BOOL, "is not null" if is_negated else "is null", (self.builder.settle(value),))
        if kind == "Boolean":
            word = ("not " if is_negated else "") + ("true" if test.this else "false")
            return plan.Call(BOOL, f"is {word}", (self.builder.condition(value, "IS", position_of(node)),))
        raise FeatureNotSupported(f"IS {node.expression.sql('postgres')}")

    def _nullsafeeq(self, node: Any) -> plan.Expression:
        return self.builder.call("is not distinct from", [self.bind(node.this), self.bind(node.expression)],
                                 position_of(node))

    def _nullsafeneq(self, node: Any) -> plan.Expression:
        return self.builder.call("is distinct from", [self.bind(node.this), self.bind(node.expression)],
                                 position_of(node))

    def _escape(self, node: Any) -> plan.Expression:
        like = node.this
        name = _BINARY.get(type(like).__name__)
        if name not in ("like", "ilike", "similar to"):
            raise SyntaxFailure("ESCAPE belongs to LIKE, ILIKE or SIMILAR TO")
        call = self.builder.call(name, self._all([like.this, like.expression, node.expression]), position_of(node))
        return self.builder.negate(call) if like.args.get("negate") else call

    def _between(self, node: Any) -> plan.Expression:
        value, low, high = self._all([node.this, node.args["low"], node.args["high"]])
        builder = self.builder
        inside = builder.both(builder.compare(">=", value, low, position_of(node)),
                              builder.compare("<=", value, high, position_of(node)))
        assert inside is not None
        if node.args.get("symmetric"):
            swapped = builder.both(builder.compare(">=", value, high), builder.compare("<=", value, low))
            assert swapped is not None
            return plan.Call(BOOL, "or", (inside, swapped))
        return inside

    def _in(self, node: Any) -> plan.Expression:
        if (query := node.args.get("query")) is not None:
            return self._subquery_comparison("=", "any", node.this, query)
        items = node.expressions
        if (field := node.args.get("field")) is not None:
            items = [field]
        if self._row(node.this) is not None:
            tests = [self._row_comparison("=", node.this, item) for item in items]
            return tests[0] if len(tests) == 1 else plan.Call(BOOL, "or", tuple(tests))
        value, *candidates = self.builder.unify([self.bind(node.this), *self._all(items)], "IN", position_of(node))
        return plan.Call(BOOL, "in", (value, *candidates))

    def _attimezone(self, node: Any) -> plan.Expression:
        return self.builder.call("at time zone", [self.bind(node.this), self.bind(node.args["zone"])],
                                 position_of(node))

    def _collate(self, node: Any) -> plan.Expression:
        if name_of(node.expression) not in ("C", "c", "POSIX", "posix", "default", "ucs_basic"):
            raise FeatureNotSupported('collations other than "C" are not supported: text is ordered by code point')
        return self.bind(node.this)

    # ---------------------------------------------------------------- conversions, CASE, arrays

    def _cast(self, node: Any) -> plan.Expression:
        names = node.args["to"]
        if type(names).__name__ == "ObjectIdentifier" and str(names.this).lower() in NAMED_OBJECTS:
            return self.builder.call(str(names.this).lower(), [self.bind(node.this)], position_of(node))
        return self.builder.cast(self.bind(node.this), type_of(node.args["to"], position_of(node)),
                                 position=position_of(node))

    def _interval(self, node: Any) -> plan.Expression:
        from phantomdb.core.values import INTERVAL
        unit = node.args.get("unit")
        if unit is None:
            return self.builder.cast(self.bind(node.this), INTERVAL)
        if type(unit).__name__ != "Var" or not node.this.is_string:
            raise FeatureNotSupported("an interval with a range of units; write them in the text: '1 day 02:00'")
        text = node.this.this
        number = text.strip().lstrip("+-")
        if not number.replace(".", "", 1).isdigit():         # '1 day 2 hours' HOUR: the text says it all
            return self.builder.cast(self.builder.literal(text), INTERVAL)
        return self.builder.cast(self.builder.literal(f"{text} {unit.this}"), INTERVAL)

    def _case(self, node: Any) -> plan.Expression:
        subject = node.args.get("this")
        branches = []
        for branch in node.args["ifs"]:
            if subject is None:
                condition = self.builder.condition(self.bind(branch.this), "CASE WHEN", position_of(branch))
            else:
                condition = self.builder.compare("=", self.bind(subject), self.bind(branch.this), position_of(branch))
            branches.append((condition, self.bind(branch.args["true"])))
        default = node.args.get("default")
        return self.builder.case(branches, None if default is None else self.bind(default), position_of(node))

    def _array(self, node: Any) -> plan.Expression:
        items = node.expressions
        if len(items) == 1 and type(items[0]).__name__ in ("Select", "Union", "Subquery", "Intersect", "Except"):
            query = self.queries.subquery(items[0], self.scope)
            if len(query.columns) != 1:
                raise SyntaxFailure("subquery must return only one column")
            return plan.Subquery(array(query.columns[0].type), plan.SubqueryKind.ARRAY, query.plan, query.columns)
        return self.builder.array(self._all(items), position_of(node))

    def _bracket(self, node: Any) -> plan.Expression:
        value = self.bind(node.this)
        for subscript in node.expressions:
            if type(subscript).__name__ == "Slice":
                low = self.bind(subscript.this) if subscript.this is not None else self.builder.literal(None)
                high = self.bind(subscript.expression) if subscript.expression is not None else \
                    self.builder.literal(None)
                value = self.builder.call("slice", [value, self.builder.cast(low, INT), self.builder.cast(high, INT)],
                                          position_of(node))
                continue
            # sqlglot counts from 0 and has taken 1 off
            index = self.builder.call("+", [self.bind(subscript), self.builder.literal(1)])
            value = self.builder.call("subscript", [value, index], position_of(node))
        return value

    def _dot(self, node: Any) -> plan.Expression:
        if type(node.expression).__name__ == "Anonymous":
            if name_of(node.this) not in ("pg_catalog", "information_schema"):
                raise UndefinedFunction(f"function {name_of(node.this)}.{name_of(node.expression.this)} does not exist")
            return self.bind(node.expression)
        raise FeatureNotSupported("fields of composite values are not supported")

    # ---------------------------------------------------------------- subqueries

    def _subquery(self, node: Any) -> plan.Expression:
        query = self.queries.subquery(node, self.scope)
        if len(query.columns) != 1:
            raise SyntaxFailure("subquery must return only one column")
        return plan.Subquery(query.columns[0].type, plan.SubqueryKind.SCALAR, query.plan, query.columns)

    def _select(self, node: Any) -> plan.Expression:
        return self._subquery(node)

    def _exists(self, node: Any) -> plan.Expression:
        query = self.queries.subquery(node.this, self.scope)
        return plan.Subquery(BOOL, plan.SubqueryKind.EXISTS, query.plan, query.columns)

    # ---------------------------------------------------------------- calls

    def _anonymous(self, node: Any) -> plan.Expression:
        return self._named(name_of(node.this), node.expressions, node)

    def _extract(self, node: Any) -> plan.Expression:
        field = node.this.this if isinstance(node.this.this, str) else node.this.name
        return self.builder.call("extract", [plan.Literal(TEXT, field.lower()), self.bind(node.expression)],
                                 position_of(node))

    def _substring(self, node: Any) -> plan.Expression:
        parts = [node.this, node.args.get("start"), node.args.get("length")]
        return self._named("substring", [part for part in parts if part is not None], node)

    def _strposition(self, node: Any) -> plan.Expression:
        return self._named("strpos", [node.this, node.args["substr"]], node)

    def _overlay(self, node: Any) -> plan.Expression:
        parts = [node.this, node.expression, node.args["from_"], node.args.get("for_")]
        return self._named("overlay", [part for part in parts if part is not None], node)

    def _trim(self, node: Any) -> plan.Expression:
        name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or "BOTH"), "btrim")
        parts = [node.this, node.args.get("expression")]
        return self._named(name, [part for part in parts if part is not None], node)

    def _named(self, name: str, arguments: Sequence[Any], node: Any) -> plan.Expression:
        if name == "row":
            raise FeatureNotSupported("row values are supported in comparisons and IN only")
        kind = self.builder.kind_of(name, len(arguments))
        if name == "grouping":
            return plan.Call(INT, "grouping", tuple(self.within(ARGUMENT)._all(arguments)))
        if kind in (FunctionKind.AGGREGATE, FunctionKind.WINDOW):
            call = self._aggregate_call(name, arguments, node)
            if kind is FunctionKind.WINDOW:
                raise WindowingError(f"window function {name} requires an OVER clause", position=position_of(node))
            return self._allowed(call, node)
        if kind is FunctionKind.TABLE:
            return self.queries.set_returning(name, self._all(arguments), self.clause, position_of(node))
        if any(type(argument).__name__ in ("Distinct", "Order", "Star") for argument in arguments):
            raise SyntaxFailure(f"{name} is not an aggregate function")
        if any(type(argument).__name__ in ("Kwarg", "PropertyEQ", "Variadic") for argument in arguments):
            raise FeatureNotSupported("named and VARIADIC arguments are not supported")
        return self.builder.call(name, self._all(arguments), position_of(node))

    def _allowed(self, call: plan.AggregateCall, node: Any) -> plan.AggregateCall:
        if not self.clause.aggregates:
            raise GroupingError(f"aggregate functions are not allowed in {self.clause.name}",
                                position=position_of(node))
        return call

    def _aggregate_call(self, name: str, arguments: Sequence[Any], node: Any, *, order: Any = None,
                        condition: Any = None, clause: Clause = ARGUMENT) -> plan.AggregateCall:
        """count(*), sum(DISTINCT x), array_agg(x ORDER BY y), percentile_cont(p) WITHIN GROUP (ORDER BY x)."""
        inner = self.within(clause)
        is_distinct = False
        order_nodes: list[Any] = list(order.expressions) if order is not None else []
        plain: list[Any] = []
        for argument in arguments:
            if type(argument).__name__ == "Order":
                order_nodes += argument.expressions
                argument = argument.this
            if type(argument).__name__ == "Distinct":
                is_distinct = True
                plain += argument.expressions
            elif type(argument).__name__ != "Star":
                plain.append(argument)
        keys = [inner.sort_key(item) for item in order_nodes]
        given = inner._all(plain)
        if order is not None:                                # an ordered-set aggregate: what it sorts is its argument
            given += [key.expression for key in keys]
        filtered = None if condition is None else self.within(ARGUMENT).condition(condition)
        return self.builder.aggregate(name, given, is_distinct=is_distinct, order_by=keys, condition=filtered,
                                      position=position_of(node))

    def sort_key(self, node: Any) -> plan.SortKey:
        """An item of ORDER BY; sqlglot has filled in PostgreSQL's place of NULLs."""
        expression = self.settled(node.this)
        return plan.SortKey(expression, bool(node.args.get("desc")), bool(node.args.get("nulls_first")))

    def _filter(self, node: Any) -> plan.Expression:
        call, order = node.this, None
        if type(call).__name__ == "WithinGroup":
            call, order = call.this, call.expression
        made = self._aggregate_call(name_of(call.this), call.expressions, node, order=order,
                                    condition=node.expression.this)
        return self._allowed(made, node)

    def _withingroup(self, node: Any) -> plan.Expression:
        call = node.this
        made = self._aggregate_call(name_of(call.this), call.expressions, node, order=node.expression)
        return self._allowed(made, node)

    def _window(self, node: Any) -> plan.Expression:
        if not self.clause.windows:
            raise WindowingError(f"window functions are not allowed in {self.clause.name}", position=position_of(node))
        call, condition, ignore_nulls = node.this, None, False
        if type(call).__name__ in ("IgnoreNulls", "RespectNulls"):
            ignore_nulls, call = type(call).__name__ == "IgnoreNulls", call.this
        if type(call).__name__ == "Filter":
            condition, call = call.expression.this, call.this
        if type(call).__name__ != "Anonymous":
            raise SyntaxFailure("OVER follows a call of an aggregate or window function")
        name = name_of(call.this)
        if self.builder.kind_of(name, len(call.expressions)) not in (FunctionKind.AGGREGATE, FunctionKind.WINDOW):
            raise WindowingError(f"{name} is not a window function nor an aggregate function",
                                 position=position_of(node))
        made = self._aggregate_call(name, call.expressions, node, condition=condition, clause=WINDOW)
        return self.queries.over(self, made, node, ignore_nulls)


