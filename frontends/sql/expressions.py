"""Expressions of SQL to expressions of the plan: one method for each kind of node that sqlglot makes.

Aggregates and window calls stay in the tree where they stand (plan.AggregateCall, plan.WindowCall); queries.py takes
them out and puts columns in their place. `Clause` says whether they are allowed.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import plan
from phantomdb.core.query.builder import COMPARISONS, Builder, is_untyped
from phantomdb.core.query.cast_numbers import read_numeric
from phantomdb.core.query.errors import (
    FeatureNotSupported, GroupingError, IndeterminateDatatype, QueryError, SyntaxFailure, UndefinedFunction,
    WindowingError,
)
from phantomdb.core.query.functions.registry import FunctionKind
from phantomdb.core.values import ANY, BOOL, INT, JSON, TEXT, Kind, array
from phantomdb.frontends.sql.datatypes import NAMED_OBJECTS, type_of
from phantomdb.frontends.sql.parse import name_of, position_of
from phantomdb.frontends.sql.rows import RowBinder
from phantomdb.frontends.sql.scope import Field, Relation, Scope

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
NO_PARENTHESES = {"CurrentDate": "current_date", "CurrentTime": "current_time", "CurrentUser": "current_user",
                   "CurrentTimestamp": "current_timestamp", "Localtime": "localtime", "CurrentRole": "current_user",
                   "Localtimestamp": "localtimestamp", "SessionUser": "session_user", "CurrentSchema": "current_schema",
                   "CurrentDatetime": "localtimestamp", "CurrentCatalog": "current_catalog"}
# Functions that take a row as well.
_OF_ROWS = {"row_to_json", "to_json", "to_jsonb"}
# Names of arguments, all of them optional.
_PARAMETERS = {"make_interval": ("years", "months", "weeks", "days", "hours", "mins", "secs")}


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
        self.rows = RowBinder(self)

    def within(self, clause: Clause) -> ExpressionBinder:
        return ExpressionBinder(self.queries, self.scope, clause, self.windows)

    def bind(self, node: Any) -> plan.Expression:
        """The expression; its literal may still be untyped."""
        if node is None or isinstance(node, bool | str):         # what sqlglot has instead of what is not there
            raise SyntaxFailure("an expression is missing")
        name = type(node).__name__
        method: Callable[[Any], plan.Expression] | None = getattr(self, "_" + name.lower(), None)
        try:
            if name in _BINARY:
                return self._binary(_BINARY[name], node.this, node.expression, node)
            if name in NO_PARENTHESES:
                return self._named(NO_PARENTHESES[name], [node.this] if node.args.get("this") is not None else [],
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

    def bind_all(self, nodes: Sequence[Any]) -> list[plan.Expression]:
        return [self.bind(node) for node in nodes]

    # ---------------------------------------------------------------- leaves

    def _literal(self, node: Any) -> plan.Expression:
        if node.is_string:
            return self.builder.literal(node.this)
        text = node.this.replace("_", "")
        try:
            if text.lower().startswith("0x"):
                return self.builder.literal(int(text, 16))
            # one of many digits may be out of range, and takes int() its time
            is_short = text.isdigit() and len(text) < 100
            return self.builder.literal(int(text) if is_short else read_numeric(text))
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
        parts = [name_of(node.args[part]) for part in ("catalog", "db", "table") if node.args.get(part) is not None]
        found = self.scope.resolve([*parts, name_of(node.this)], position_of(node))
        return self._value(found, node)

    def _identifier(self, node: Any) -> plan.Expression:
        return self._value(self.scope.resolve([name_of(node)], position_of(node)), node)

    def _value(self, found: plan.Expression | Relation | Field, node: Any) -> plan.Expression:
        if isinstance(found, Relation):
            raise FeatureNotSupported(f'the whole row of "{found.alias}" as a value is not supported here; name its '
                                      "columns")
        if not isinstance(found, Field):
            return found
        value: plan.Expression = found.document
        for name in found.path:
            value = self.builder.call("->", [value, plan.Literal(TEXT, name)], position_of(node))
        return self.builder.cast(value, ANY)

    # ---------------------------------------------------------------- operators

    def _binary(self, operator: str, left: Any, right: Any, node: Any) -> plan.Expression:
        kind = type(right).__name__
        quantifier = {"Any": "any", "All": "all"}.get(kind)
        if kind == "Anonymous" and name_of(right.this) in ("some", "all") and len(right.expressions) == 1:
            quantifier, right = "all" if name_of(right.this) == "all" else "any", right.expressions[0]
        elif quantifier:
            right = right.this
        if quantifier:
            return self._quantified(operator, quantifier, left, right, node)
        if operator in COMPARISONS and any(self.rows.parts(side) is not None or self.rows.whole(side) is not None
                                           for side in (left, right)):
            return self.rows.comparison(operator, left, right)
        call = self.builder.call(operator, [self.bind(left), self.bind(right)], position_of(node))
        return self.builder.negate(call) if node.args.get("negate") else call

    def _quantified(self, operator: str, quantifier: str, left: Any, right: Any, node: Any) -> plan.Expression:
        while type(right).__name__ == "Paren":
            right = right.this
        if type(right).__name__ in ("Select", "Subquery", "Union", "Intersect", "Except", "Values"):
            return self.rows.subquery_comparison(operator, quantifier, left, right)
        value, items = self.bind(left), self.bind(right)
        if is_untyped(items):
            items = self.builder.cast(items, array(self.builder.settle(value).type))
        if is_untyped(value) and items.type.element is not None:
            value = self.builder.cast(value, items.type.element)
        return self.builder.call(f"{operator} {quantifier}", [value, items], position_of(node))

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
        is_negated, test = bool(node.args.get("negate")), node.expression
        if type(test).__name__ == "Not":
            is_negated, test = not is_negated, test.this
        kind = type(test).__name__
        if kind == "Null" and (row := self.rows.values(node.this)) is not None:
            return self.rows.test(row, is_negated)
        value = self.bind(node.this)
        if kind == "Null":
            return plan.Call(BOOL, "is not null" if is_negated else "is null", (self.builder.settle(value),))
        if kind == "Boolean":
            word = ("not " if is_negated else "") + ("true" if test.this else "false")
            return plan.Call(BOOL, f"is {word}", (self.builder.condition(value, "IS", position_of(node)),))
        raise FeatureNotSupported(f"IS {node.expression.sql('postgres')}")

    def _nullsafeeq(self, node: Any) -> plan.Expression:
        if (row := self.rows.differs(node, True)) is not None:
            return row
        return self.builder.call("is not distinct from", [self.bind(node.this), self.bind(node.expression)],
                                 position_of(node))

    def _nullsafeneq(self, node: Any) -> plan.Expression:
        if (row := self.rows.differs(node, False)) is not None:
            return row
        return self.builder.call("is distinct from", [self.bind(node.this), self.bind(node.expression)],
                                 position_of(node))

    def _escape(self, node: Any) -> plan.Expression:
        like = node.this
        name = _BINARY.get(type(like).__name__)
        if name not in ("like", "ilike", "similar to"):
            raise SyntaxFailure("ESCAPE belongs to LIKE, ILIKE or SIMILAR TO")
        call = self.builder.call(name, self.bind_all([like.this, like.expression, node.expression]), position_of(node))
        return self.builder.negate(call) if like.args.get("negate") else call

    def _between(self, node: Any) -> plan.Expression:
        value, low, high = self.bind_all([node.this, node.args["low"], node.args["high"]])
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
            return self.rows.subquery_comparison("=", "any", node.this, query)
        items = node.expressions
        if (field := node.args.get("field")) is not None:
            items = [field]
        if self.rows.values(node.this) is not None:
            tests = [self.rows.comparison("=", node.this, item) for item in items]
            return tests[0] if len(tests) == 1 else plan.Call(BOOL, "or", tuple(tests))
        value, *candidates = self.builder.unify([self.bind(node.this), *self.bind_all(items)], "IN", position_of(node))
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
        around = node.parent
        while type(around).__name__ in ("Array", "Paren"):
            around = around.parent
        if not items and type(around).__name__ not in ("Cast", "TryCast"):
            raise IndeterminateDatatype("cannot determine type of empty array", position=position_of(node))
        return self.builder.array(self.bind_all(items), position_of(node))

    def _bracket(self, node: Any) -> plan.Expression:
        value = self.bind(node.this)
        if value.type.kind is Kind.ANY:
            value = self.builder.cast(value, JSON)
        for subscript in node.expressions:
            if type(subscript).__name__ == "Slice":
                low = self.bind(subscript.this) if subscript.this is not None else self.builder.literal(None)
                high = self.bind(subscript.expression) if subscript.expression is not None else \
                    self.builder.literal(None)
                value = self.builder.call("slice", [value, self.builder.cast(low, INT), self.builder.cast(high, INT)],
                                          position_of(node))
                continue
            name = "->" if value.type.kind is Kind.JSON else "subscript"
            value = self.builder.call(name, [value, self.bind(subscript)], position_of(node))
        return value

    def _dot(self, node: Any) -> plan.Expression:
        if type(node.expression).__name__ == "Anonymous":
            if name_of(node.this) not in ("pg_catalog", "information_schema"):
                raise UndefinedFunction(f"function {name_of(node.this)}.{name_of(node.expression.this)} does not exist")
            return self.bind(node.expression)
        value = self.bind(node.this)
        if value.type.kind is Kind.ANY and type(node.expression).__name__ == "Identifier":
            return self._value(Field(self.builder.cast(value, JSON), (name_of(node.expression),)), node)
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
        if name in _OF_ROWS and len(arguments) == 1 and (made := self.rows.as_json(arguments[0])) is not None:
            return self.builder.call("to_jsonb", [made], position_of(node))
        kind = self.builder.kind_of(name, len(arguments))
        if name == "grouping":
            return plan.Call(INT, "grouping", tuple(self.within(ARGUMENT).bind_all(arguments)))
        if kind in (FunctionKind.AGGREGATE, FunctionKind.WINDOW):
            call = self._aggregate_call(name, arguments, node)
            if kind is FunctionKind.WINDOW:
                raise WindowingError(f"window function {name} requires an OVER clause", position=position_of(node))
            return self._allowed(call, node)
        if kind is FunctionKind.TABLE:
            return self.queries.set_returning(name, self.bind_all(arguments), self.clause, position_of(node))
        if name == "pg_typeof" and [type(argument).__name__ for argument in arguments] == ["Literal"] and (
                arguments[0].is_string):
            return plan.Literal(TEXT, "unknown")
        if any(type(argument).__name__ in ("Distinct", "Order", "Star") for argument in arguments):
            raise SyntaxFailure(f"{name} is not an aggregate function")
        if any(type(argument).__name__ in ("Kwarg", "PropertyEQ") for argument in arguments):
            return self.builder.call(name, self._named_arguments(name, arguments), position_of(node))
        if any(type(argument).__name__ == "Variadic" for argument in arguments):
            raise FeatureNotSupported("VARIADIC arguments are not supported")
        return self.builder.call(name, self.bind_all(arguments), position_of(node))

    def _named_arguments(self, name: str, arguments: Sequence[Any]) -> list[plan.Expression]:
        """make_interval(days => 3): those that are not named are 0."""
        known = _PARAMETERS.get(name)
        if known is None:
            raise FeatureNotSupported(f"arguments of {name} by name are not supported")
        given: dict[str, plan.Expression] = {}
        was_named = False
        for place, argument in enumerate(arguments):
            is_named = type(argument).__name__ in ("Kwarg", "PropertyEQ")
            if was_named and not is_named:
                raise SyntaxFailure("positional argument cannot follow named argument", position=position_of(argument))
            parameter = name_of(argument.this) if is_named else known[place] if place < len(known) else ""
            if parameter not in known or parameter in given:
                raise UndefinedFunction(f"function {name} has no such argument, or has it twice",
                                        position=position_of(argument))
            was_named = is_named
            given[parameter] = self.bind(argument.expression if is_named else argument)
        return [given.get(parameter, self.builder.literal(0)) for parameter in known]

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
        given = [inner.rows.counted(item) if name == "count" else inner.rows.aggregated(name, item) for item in plain]
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


