"""What frontends make plans with: typed expressions, conversions where they are needed, columns with numbers.

    builder = Builder(parameter_types=[BIGINT])
    price = builder.column(DOUBLE, "price")
    builder.call(">", [price, builder.literal(5)])         Call(">", (price, Cast(5 -> double precision))): boolean

A frontend knows its syntax and its names; how functions are found, which types meet and where a value is converted
is decided here, once, the same for all of them.
"""
from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NoReturn

from phantomdb.core.query import coercion, plan
from phantomdb.core.query.cast_numbers import numeric_in_range
from phantomdb.core.query.coercion import Context
from phantomdb.core.query.errors import CannotCoerce, DatatypeMismatch, FeatureNotSupported, UndefinedParameter
from phantomdb.core.query.functions.registry import FunctionKind, Resolved, resolve
from phantomdb.core.values import (
    BIGINT, BOOL, DOUBLE, INT, MAX_DECIMAL_PRECISION, NULL, NUMERIC, TEXT, Kind, Type, Value, array, decimal,
)

COMPARISONS = {"=", "<>", "<", "<=", ">", ">="}


def is_untyped(expression: plan.Expression) -> bool:
    """A bare NULL, a quoted literal or a text parameter: takes the type its place asks for."""
    return expression.type.kind is Kind.NULL or (
        isinstance(expression, (plan.Literal, plan.Parameter)) and expression.is_untyped)


class Builder:
    """One for each statement: it numbers the columns."""

    def __init__(self, parameter_types: Sequence[Type] = ()) -> None:
        self.parameter_types = list(parameter_types)
        self._last_column = 0

    # ---------------------------------------------------------------- leaves

    def column(self, type_: Type, name: str = "") -> plan.Column:
        """A new column."""
        self._last_column += 1
        return plan.Column(type_, self._last_column, name)

    def literal(self, value: Value, type_: Type | None = None) -> plan.Literal:
        """A constant; without a type it has the one of its Python class, and a str is untyped."""
        if type_ is not None:
            return plan.Literal(type_, value)
        match value:
            case None:
                return plan.Literal(NULL, None, is_untyped=True)
            case bool():
                return plan.Literal(BOOL, value)
            case int():
                return plan.Literal(integer_type(value), value if -1 << 63 <= value < 1 << 63 else Decimal(value))
            case float():
                return plan.Literal(DOUBLE, value)
            case Decimal():
                return plan.Literal(decimal_type(value), value)
            case str():
                return plan.Literal(TEXT, value, is_untyped=True)
        raise FeatureNotSupported(f"a constant of type {type(value).__name__}")

    def parameter(self, index: int, position: int | None = None) -> plan.Parameter:
        """Parameter `index`, from 0."""
        if index >= len(self.parameter_types):
            raise UndefinedParameter(f"there is no parameter ${index + 1}: {len(self.parameter_types)} were given",
                                     position=position)
        type_ = self.parameter_types[index]
        return plan.Parameter(type_, index, is_untyped=type_.kind in (Kind.TEXT, Kind.NULL))

    # ---------------------------------------------------------------- conversions

    def cast(self, expression: plan.Expression, target: Type, *, is_explicit: bool = True,
             position: int | None = None) -> plan.Expression:
        """`expression` as `target`. CannotCoerce: there is no such conversion."""
        source = expression.type
        if isinstance(expression, plan.Literal) and is_untyped(expression):
            return self._typed(expression, target, is_explicit, position)
        if isinstance(expression, plan.Parameter) and is_untyped(expression):
            typed = plan.Parameter(source, expression.index)
            return typed if source == target else plan.Cast(target, typed, is_explicit)
        if source == target or (coercion.same_shape(source, target) and coercion.without_parameters(target) == target):
            return expression
        context = Context.EXPLICIT if is_explicit else Context.ASSIGNMENT
        if not coercion.can_cast(source, target, context):
            raise CannotCoerce(f"cannot cast type {source} to {target}", position=position)
        return plan.Cast(target, expression, is_explicit)

    def _typed(self, literal: plan.Literal, target: Type, is_explicit: bool, position: int | None) -> plan.Expression:
        """A quoted literal where `target` is asked for: read now, so that a wrong one is an error of the text."""
        if literal.value is None:
            return plan.Literal(target, None)
        from phantomdb.core.query import casts
        from phantomdb.core.query.errors import QueryError
        try:
            return plan.Literal(target, casts.cast(literal.value, TEXT, target, is_explicit))
        except QueryError as error:
            error.position = error.position or position
            raise

    def settle(self, expression: plan.Expression) -> plan.Expression:
        """An expression whose type nobody asked for: a quoted literal is text."""
        return self.cast(expression, TEXT) if is_untyped(expression) else expression

    def assign(self, expression: plan.Expression, target: Type, name: str, position: int | None = None
               ) -> plan.Expression:
        """`expression` as the new value of column `name`."""
        if not is_untyped(expression) and not coercion.can_cast(expression.type, target, Context.ASSIGNMENT):
            raise DatatypeMismatch(f'column "{name}" is of type {target} but expression is of type {expression.type}',
                                   position=position, column=name)
        return self.cast(expression, target, is_explicit=False, position=position)

    def condition(self, expression: plan.Expression, where: str, position: int | None = None) -> plan.Expression:
        """`expression` as a condition of WHERE, ON, HAVING, ..."""
        if is_untyped(expression):
            return self.cast(expression, BOOL, position=position)
        if expression.type.kind is not Kind.BOOL:
            raise DatatypeMismatch(f"argument of {where} must be type boolean, not type {expression.type}",
                                   position=position)
        return expression

    def unify(self, expressions: Sequence[plan.Expression], what: str, position: int | None = None
              ) -> list[plan.Expression]:
        """All of them as their one common type."""
        typed = [expression.type for expression in expressions if not is_untyped(expression)]
        target = coercion.common_type(typed) if typed else TEXT
        if target is None:
            self._do_not_match(what, typed, position)
        return [self.cast(expression, target, is_explicit=False, position=position)
                if is_untyped(expression) or expression.type != target else expression for expression in expressions]

    @staticmethod
    def _do_not_match(what: str, types: Sequence[Type], position: int | None) -> NoReturn:
        first = types[0]
        other = next(type_ for type_ in types if coercion.common_type([first, type_]) is None)
        raise DatatypeMismatch(f"{what} types {first} and {other} cannot be matched", position=position)

    # ---------------------------------------------------------------- calls

    def call(self, name: str, arguments: Sequence[plan.Expression], position: int | None = None) -> plan.Call:
        """A scalar function or operator."""
        arguments, resolved = self._resolved(name, arguments, position)
        return plan.Call(resolved.result, name, tuple(arguments))

    def _resolved(self, name: str, arguments: Sequence[plan.Expression], position: int | None
                  ) -> tuple[list[plan.Expression], Resolved]:
        resolved = resolve(name, [argument.type for argument in arguments],
                           untyped=[is_untyped(argument) for argument in arguments], position=position)
        return [self.cast(argument, type_, is_explicit=False, position=position)
                if is_untyped(argument) or argument.type != type_ else argument
                for argument, type_ in zip(arguments, resolved.arguments, strict=True)], resolved

    def kind_of(self, name: str, count: int) -> FunctionKind | None:
        """Which kind of function `name` is; None when there is none of that name."""
        from phantomdb.core.query.functions.registry import overloads
        known = overloads(name)
        fitting = [overload for overload in known if overload.accepts_count(count)] or known
        return fitting[0].kind if fitting else None

    def aggregate(self, name: str, arguments: Sequence[plan.Expression], *, is_distinct: bool = False,
                  order_by: Sequence[plan.SortKey] = (), condition: plan.Expression | None = None,
                  position: int | None = None) -> plan.AggregateCall:
        """An aggregate function, or a window function on its way into `window`."""
        arguments, resolved = self._resolved(name, arguments, position)
        return plan.AggregateCall(resolved.result, name, tuple(arguments), is_distinct, tuple(order_by), condition)

    def compare(self, operator: str, left: plan.Expression, right: plan.Expression, position: int | None = None
                ) -> plan.Call:
        return self.call(operator, [left, right], position)

    def case(self, branches: Sequence[tuple[plan.Expression, plan.Expression]], default: plan.Expression | None,
             position: int | None = None) -> plan.Case:
        values = [value for _, value in branches] + [default if default is not None else self.literal(None)]
        *values, last = self.unify(values, "CASE", position)
        return plan.Case(last.type, tuple((condition, value) for (condition, _), value
                                          in zip(branches, values, strict=True)), last)

    def array(self, items: Sequence[plan.Expression], position: int | None = None) -> plan.Call:
        """ARRAY[...]."""
        unified = self.unify(items, "ARRAY", position) if items else []
        element = unified[0].type if unified else TEXT
        return plan.Call(array(coercion.without_parameters(element)), "array", tuple(unified))

    @staticmethod
    def both(*conditions: plan.Expression | None) -> plan.Expression | None:
        """AND of those that are there."""
        there = [condition for condition in conditions if condition is not None]
        if len(there) < 2:
            return there[0] if there else None
        return plan.Call(BOOL, "and", tuple(there))

    @staticmethod
    def negate(condition: plan.Expression) -> plan.Call:
        return plan.Call(BOOL, "not", (condition,))


def integer_type(value: int) -> Type:
    """The type a whole number in a text has: integer, or bigint, or numeric, as it fits."""
    if -1 << 31 <= value < 1 << 31:
        return INT
    return BIGINT if -1 << 63 <= value < 1 << 63 else NUMERIC


def decimal_type(value: Decimal) -> Type:
    """The type of a decimal in a text: with just its digits, so that what is computed of it has a known number."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return NUMERIC
    scale = max(0, -exponent)
    precision = max(len(digits) + max(0, exponent), scale, 1)
    return decimal(precision, scale) if precision <= MAX_DECIMAL_PRECISION else NUMERIC


def type_of_value(value: object) -> Type:
    """The type of a parameter by its Python class."""
    import datetime
    from uuid import UUID

    from phantomdb.core import values as v
    match value:
        case None:
            return NULL
        case bool():
            return BOOL
        case int():
            return INT if -1 << 31 <= value < 1 << 31 else BIGINT if -1 << 63 <= value < 1 << 63 else NUMERIC
        case float():
            return DOUBLE
        case str():
            return TEXT
        case bytes() | bytearray() | memoryview():
            return v.BYTES
        case Decimal():
            if not value.is_finite():
                raise FeatureNotSupported("numeric has no NaN and no infinity; use double precision")
            numeric_in_range(value)
            return NUMERIC
        case datetime.datetime():
            return v.TIMESTAMPTZ if value.tzinfo else v.TIMESTAMP
        case datetime.date():
            return v.DATE
        case datetime.time():
            return v.TIME
        case datetime.timedelta() | v.Interval():
            return v.INTERVAL
        case UUID():
            return v.UUID_TYPE
        case dict() | v.JsonNull():
            return _json_type(value)
        case list() | tuple():
            types = [type_of_value(item) for item in value]
            if all(type_ == NULL for type_ in types):
                return array(NULL)                           # fits where an array or jsonb fits
            element = coercion.common_type(types)
            return _json_type(value) if element is None else array(element)
    raise FeatureNotSupported(f"a parameter of type {type(value).__name__}")


def _json_type(value: object) -> Type:
    """JSON, for a value that can be one. FeatureNotSupported, LimitExceeded."""
    from phantomdb.core import values as v
    from phantomdb.core._ext import document
    if value is not v.JSON_NULL:
        try:
            document.encode(value)
        except TypeError as error:
            raise FeatureNotSupported(str(error)) from None
    return v.JSON
