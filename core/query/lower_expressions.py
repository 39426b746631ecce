"""Expressions of the plan as SQL text for DuckDB.

How functions and casts are printed is core/query/vector_functions.py. What depends on no row is computed here, once, by
the row evaluator, and printed as a literal: so now() is one moment for the whole statement. What raises there is
printed as it stands, and raises when it is reached, if it is.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, cast

from phantomdb.core.query.errors import FeatureNotSupported, QueryError, StatementTooComplex
from phantomdb.core.query.evaluate import EvaluationContext, compile_expression
from phantomdb.core.query.functions import registry
from phantomdb.core.query.functions.registry import Resolved, Volatility
from phantomdb.core.query.lower_scales import native_product
from phantomdb.core.query.lower_literals import literal, parameter_type_name, parameter_value
from phantomdb.core.query.order_bytes import order_bytes
from phantomdb.core.query.plan import (
    AggregateCall,
    BoundKind,
    Call,
    Case,
    Cast,
    Column,
    Expression,
    Frame,
    Literal,
    Node,
    Parameter,
    SortKey,
    Subquery,
    SubqueryKind,
    WindowCall,
)
from phantomdb.core.query.rewrite import walk
from phantomdb.core.query.vector_functions import asks_context
from phantomdb.core.values import Kind, Type, Value

MAX_NESTING = 200                    # levels of an expression
_SYMBOLS = {**{symbol: symbol for symbol in ("=", "<>", "<", "<=", ">", ">=")},
            "is distinct from": "IS DISTINCT FROM", "is not distinct from": "IS NOT DISTINCT FROM"}
_INVERSE = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


class Functions(Protocol):
    """The functions of one statement: core/query/vector_functions.py, StatementFunctions."""

    asks_context: bool                   # one that was printed does

    def cast(self, sql: str, source: Type, target: Type, is_explicit: bool = False) -> str: ...
    def place(self, sql: str, type_: Type) -> str: ...
    def call(self, resolved: Resolved, arguments: Sequence[str]) -> str: ...
    def aggregate(self, resolved: Resolved, arguments: Sequence[str], *, is_distinct: bool = False, order_by: str = "",
                  tail: str = "", ignore_nulls: bool = False) -> str: ...


@dataclass(slots=True)
class Environment:
    """What printing a statement asks of its surroundings."""

    functions: Functions
    parameters: Sequence[Value]
    is_for_now: bool = False             # a value was computed that another statement may not have

    @property
    def asks_context(self) -> bool:
        """Whether what was printed holds for this statement only: now() is in it, or the session's time zone."""
        return self.is_for_now or self.functions.asks_context

    def evaluate(self, expression: Expression) -> Value:
        """The value of an expression that depends on no row."""
        self.is_for_now = self.is_for_now or any(_asks_context(part) for part in walk(expression))
        return cast(Value, compile_expression(expression, {}, EvaluationContext(self.parameters))(()))


def _asks_context(part: Any) -> bool:
    match part:
        case Call():
            return part.name not in ("and", "or") and overload_of(part).overload.volatility is not Volatility.IMMUTABLE
        case Cast():
            return asks_context(part.argument.type, part.type)
    return False


SelectPrinter = Callable[[Node, Sequence[tuple[int, str]]], str]      # (plan, (column id, alias) ...) -> SELECT ...


@lru_cache(maxsize=4096)
def _resolved(name: str, types: tuple[Type, ...]) -> Resolved:
    return registry.resolve(name, types)


def overload_of(call: Call | AggregateCall) -> Resolved:
    """The overload a call means; its arguments have been converted already."""
    return _resolved(call.name, tuple([argument.type for argument in call.arguments]))


@dataclass(slots=True)
class ExpressionPrinter:
    environment: Environment
    select: SelectPrinter
    used_parameters: dict[int, int] = field(default_factory=dict)     # index in the plan -> number in the text
    values: list[Any] = field(default_factory=list)                   # of those numbers, for DuckDB
    made: dict[int, Expression] = field(default_factory=dict)         # what columns are made of, by id
    _depth: int = 0
    _constants: dict[int, tuple[bool, Expression]] = field(default_factory=dict)

    def print(self, expression: Expression) -> str:
        """SQL text, in parentheses where it would need them as an operand."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise StatementTooComplex(f"an expression is nested more than {MAX_NESTING} levels deep")
        try:
            return self._print(expression)
        finally:
            self._depth -= 1

    def _print(self, expression: Expression) -> str:
        match expression:
            case Column():
                return f"c{expression.id}"
            case Literal():
                return self.literal(expression.value, expression.type)
            case Parameter():
                return self.parameter(expression)
        if self.is_constant(expression):
            try:
                return self.literal(self.environment.evaluate(expression), expression.type)
            except (QueryError, MemoryError):
                pass                 # raises when it is reached, by the text below
        match expression:
            case Call():
                return self.call(expression)
            case Cast():
                return self.environment.functions.cast(self.print(expression.argument), expression.argument.type,
                                                       expression.type, expression.is_explicit)
            case Case():
                branches = " ".join(f"WHEN {self.print(condition)} THEN {self.print(value)}"
                                    for condition, value in expression.branches)
                return f"(CASE {branches} ELSE {self.print(expression.default)} END)"
            case Subquery():
                return self.subquery(expression)
        raise FeatureNotSupported(f"{type(expression).__name__} cannot stand here")

    def list(self, expressions: Iterable[Expression]) -> str:
        return ", ".join(self.print(expression) for expression in expressions)

    def literal(self, value: Value, type_: Type) -> str:
        return literal(value, type_)

    def parameter(self, parameter: Parameter) -> str:
        value = self.environment.parameters[parameter.index]
        if parameter.type.kind is Kind.ARRAY:
            return self.literal(value, parameter.type)
        number = self.used_parameters.get(parameter.index)
        if number is None:
            self.values.append(parameter_value(value, parameter.type))
            number = self.used_parameters[parameter.index] = len(self.values)
        if parameter.type.kind is Kind.NULL:
            return f"${number}"
        return f"CAST(${number} AS {parameter_type_name(value, parameter.type)})"

    def is_constant(self, expression: Expression) -> bool:
        """Depends on no row and has the same value throughout the statement."""
        match expression:
            case Literal() | Parameter():
                return True
            case Call() | Cast() | Case():
                pass
            case _:
                return False
        found = self._constants.get(id(expression))
        if found is None:
            # the expression is kept so that its id stays its own
            found = self._constants[id(expression)] = (self._is_constant(expression), expression)
        return found[0]

    def _is_constant(self, expression: Call | Cast | Case) -> bool:
        match expression:
            case Cast():
                return self.is_constant(expression.argument)
            case Case():
                return self.is_constant(expression.default) and all(
                    self.is_constant(condition) and self.is_constant(value) for condition, value in expression.branches)
        if expression.name in ("and", "or"):
            return all(self.is_constant(term) for term in _chain(expression))
        if not all(self.is_constant(argument) for argument in expression.arguments):
            return False
        return overload_of(expression).overload.volatility is not Volatility.VOLATILE

    @staticmethod
    def is_volatile(call: Call) -> bool:
        """Another value each time it is asked."""
        return call.name not in ("and", "or") and overload_of(call).overload.volatility is Volatility.VOLATILE

    # ---- functions

    def call(self, call: Call) -> str:
        if call.name in ("and", "or"):
            return "(" + f" {call.name.upper()} ".join(self.print(term) for term in _chain(call)) + ")"
        if call.name == "*" and native_product(call, self.made, self.environment.parameters) is not None:
            return f"({self.print(call.arguments[0])} * {self.print(call.arguments[1])})"
        if call.name in _SYMBOLS and any(_is_placed(argument.type) for argument in call.arguments):
            return self.compare_places(_SYMBOLS[call.name], *call.arguments)
        return self.environment.functions.call(overload_of(call), [self.print(argument) for argument in call.arguments])

    def place(self, expression: Expression) -> str:
        """What DuckDB orders and groups it by."""
        return self.environment.functions.place(self.print(expression), expression.type)

    def compare_places(self, symbol: str, left: Expression, right: Expression) -> str:
        """Documents are compared by bytes, by which DuckDB can also join them."""
        return f"({self.place(left)} {symbol} {self.place(right)})"

    # ---- subqueries

    def subquery(self, subquery: Subquery) -> str:
        ids = [column.id for column in subquery.outputs]
        match subquery.kind:
            case SubqueryKind.SCALAR:
                return f"({self.select(subquery.plan, [(ids[0], f'c{ids[0]}')])})"
            case SubqueryKind.EXISTS:
                return f"EXISTS ({self.select(subquery.plan, [])})"
            case SubqueryKind.ARRAY:
                return f"ARRAY({self.select(subquery.plan, [(ids[0], f'c{ids[0]}')])})"
        return self.quantified(subquery)

    def quantified(self, subquery: Subquery) -> str:
        """ANY and ALL. DuckDB's own where it compares as the plan does; else by counting what the comparison gives."""
        outputs = [(column.id, f"c{column.id}") for column in subquery.outputs]
        name, is_any = subquery.operator, subquery.kind is SubqueryKind.ANY
        pairs = list(zip(subquery.left, subquery.outputs, strict=True))
        equality = name if is_any else _INVERSE[name]        # x <> ALL (...) is NOT x = ANY (...)
        if all(self._compares_plainly(name, left.type, right.type) for left, right in pairs) and (
                len(pairs) == 1 or equality == "="):
            left = self.list(subquery.left)
            plan = self.select(subquery.plan, outputs)
            if len(pairs) > 1:
                left = f"({left})"
            if equality == "=":
                return f"({left} {'IN' if is_any else 'NOT IN'} ({plan}))"
            return f"({left} {name} {'ANY' if is_any else 'ALL'} ({plan}))"
        test = self.compare_rows(name, pairs)
        decisive, other = ("TRUE", "FALSE") if is_any else ("FALSE", "TRUE")
        decided = "bool_or(x)" if is_any else "NOT bool_and(x)"
        return (f"(SELECT CASE WHEN {decided} THEN {decisive} WHEN count(*) > count(x) THEN NULL ELSE {other} END "
                f"FROM (SELECT {test} AS x FROM ({self.select(subquery.plan, outputs)})))")

    def _compares_plainly(self, name: str, left: Type, right: Type) -> bool:
        if left.is_padded or right.is_padded:
            return False
        test = self.environment.functions.call(_resolved(name, (left, right)), ["l", "r"])
        return test.strip("()") == f"l {name} r"

    def compare(self, name: str, left: Expression, right: Expression) -> str:
        if _is_placed(left.type):
            return self.compare_places(name, left, right)
        return self.environment.functions.call(_resolved(name, (left.type, right.type)),
                                               [self.print(left), self.print(right)])

    def compare_rows(self, name: str, pairs: Sequence[tuple[Expression, Expression]]) -> str:
        """Rows are equal when all values are; one is less by the first value that is not equal."""
        if name in ("=", "<>"):
            joined = " AND " if name == "=" else " OR "
            return "(" + joined.join(self.compare(name, left, right) for left, right in pairs) + ")"
        *others, last = pairs
        branches = []
        for left, right in others:
            equal = self.compare("=", left, right)
            branches.append(f"WHEN {equal} IS NULL THEN NULL "
                            f"WHEN NOT {equal} THEN {self.compare(name[0], left, right)}")
        test = self.compare(name, *last)
        return f"(CASE {' '.join(branches)} ELSE {test} END)" if branches else test

    # ---- order, aggregates, windows

    def order(self, keys: Sequence[SortKey]) -> str:
        return ", ".join(f"{self.place(key.expression)} {'DESC' if key.is_descending else 'ASC'} "
                         f"NULLS {'FIRST' if key.nulls_first else 'LAST'}" for key in keys)

    def aggregate(self, call: AggregateCall, over: str = "", ignore_nulls: bool = False) -> str:
        """`over`: the text of OVER (...), where there is one."""
        tail = [f"FILTER (WHERE {self.print(call.condition)})"] if call.condition is not None else []
        arguments = [self.print(argument) for argument in call.arguments]
        if call.is_distinct and any(_is_placed(argument.type) for argument in call.arguments):
            if call.name != "count":
                raise FeatureNotSupported(f"{call.name}(DISTINCT ...) of documents")
            arguments = [self.place(argument) for argument in call.arguments]
        return self.environment.functions.aggregate(
            overload_of(call), arguments, is_distinct=call.is_distinct,
            order_by=f"ORDER BY {self.order(call.order_by)}" if call.order_by else "",
            tail=" ".join([*tail, over] if over else tail), ignore_nulls=ignore_nulls)

    def window(self, call: WindowCall) -> str:
        parts = []
        if call.partition_by:
            parts.append(f"PARTITION BY {', '.join(map(self.place, call.partition_by))}")
        if call.order_by:
            parts.append(f"ORDER BY {self.order(call.order_by)}")
        if call.frame is not None:
            parts.append(self.frame(call.frame))
        return self.aggregate(call.call, f"OVER ({' '.join(parts)})", call.ignore_nulls)

    def frame(self, frame: Frame) -> str:
        start, stop = self._bound(frame.start, frame.start_offset), self._bound(frame.stop, frame.stop_offset)
        exclude = f" EXCLUDE {frame.exclude.upper()}" if frame.exclude else ""
        return f"{frame.unit.upper()} BETWEEN {start} AND {stop}{exclude}"

    def _bound(self, kind: BoundKind, offset: Expression | None) -> str:
        return kind.upper() if offset is None else f"{self.print(offset)} {kind.upper()}"


def _is_placed(type_: Type) -> bool:
    return order_bytes(type_) is not None


def _chain(call: Call) -> list[Expression]:
    """The terms of a AND (b AND c) AND ..., in order, without recursion: such chains may be long."""
    found: list[Expression] = []
    waiting = list(reversed(call.arguments))
    while waiting:
        term = waiting.pop()
        if isinstance(term, Call) and term.name == call.name:
            waiting.extend(reversed(term.arguments))
        else:
            found.append(term)
    return found


def conjuncts_of(condition: Expression) -> list[Expression]:
    """The terms of a condition that all must be true."""
    return _chain(condition) if isinstance(condition, Call) and condition.name == "and" else [condition]
