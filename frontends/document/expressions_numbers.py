"""Expressions: arithmetic, bits, trigonometry.

A result is a decimal if an operand is one, else a double if one is, else an int; an int over 64 bits becomes a double.
"""
from __future__ import annotations

import datetime
import decimal
import math
import operator
import random
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.expression_base import (
    Compile,
    Evaluate,
    fail,
    is_null,
    need_whole,
    nullable,
    plain,
    special,
)
from phantomdb.frontends.document.values import DECIMAL_CONTEXT, Decimal128

_PI = Decimal("3.141592653589793238462643383279502884197")


def to_number(value: Any, name: str, number: int = 28765) -> Any:
    """An int, float or Decimal."""
    if not values.is_number(value):
        raise fail(number, f"{name} only supports numeric types, not {values.type_name(value)}")
    return values.number_of(value)


def result(value: Any) -> Any:
    """A number as a document holds it."""
    if isinstance(value, Decimal):
        return Decimal128("NaN" if value.is_nan() else value)
    if isinstance(value, int) and not -1 << 63 <= value < 1 << 63:
        return float(value)
    return value


def is_decimal(value: Any) -> bool:
    return isinstance(value, Decimal128 | Decimal)


def combine(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """A function of two numbers in their common class."""
    if is_decimal(a) or is_decimal(b):
        with _local():
            return result(function(values.to_decimal(a), values.to_decimal(b)))
    try:
        return result(function(a, b))
    except OverflowError:
        return math.inf


def _local() -> Any:
    return decimal.localcontext(DECIMAL_CONTEXT)


def add_numbers(a: Any, b: Any) -> Any:
    return combine(operator.add, a, b)


def milliseconds(value: Any) -> datetime.timedelta:
    number = values.number_of(value)
    return datetime.timedelta(milliseconds=round(float(number)) if not isinstance(number, int) else number)


def shift_moment(moment: datetime.datetime, delta: datetime.timedelta, name: str) -> datetime.datetime:
    try:
        return moment + delta
    except OverflowError:
        raise fail(5166405, f"{name}: the date is out of range") from None


@plain("$add", 0, None)
def add(*items: Any) -> Any:
    if any(map(is_null, items)):
        return None
    moment: datetime.datetime | None = None
    total: Any = 0
    for item in items:
        if isinstance(item, datetime.datetime):
            if moment is not None:
                raise fail(16612, "only one date allowed in an $add expression")
            moment = item
        elif values.is_number(item):
            total = add_numbers(total, item)
        else:
            raise fail(14, f"$add only supports numeric or date types, not {values.type_name(item)}")
    return total if moment is None else shift_moment(moment, milliseconds(total), "$add")


@nullable("$subtract", 2)
def subtract(a: Any, b: Any) -> Any:
    if isinstance(a, datetime.datetime):
        if isinstance(b, datetime.datetime):
            return (a - b) // datetime.timedelta(milliseconds=1)
        if values.is_number(b):
            return shift_moment(a, -milliseconds(b), "$subtract")
    if values.is_number(a) and values.is_number(b):
        return combine(operator.sub, a, b)
    raise fail(14, f"can't $subtract {values.type_name(b)} from {values.type_name(a)}")


@plain("$multiply", 0, None)
def multiply(*items: Any) -> Any:
    if any(map(is_null, items)):
        return None
    product: Any = 1
    for item in items:
        to_number(item, "$multiply", 14)
        product = combine(operator.mul, product, item)
    return product


@nullable("$divide", 2)
def divide(a: Any, b: Any) -> Any:
    if not values.is_number(a) or not values.is_number(b):
        raise fail(14, f"$divide only supports numeric types, not {values.type_name(a)} and {values.type_name(b)}")
    if values.number_of(b) == 0:
        raise fail(2, "can't $divide by zero")
    return combine(operator.truediv, a, b)


@nullable("$mod", 2)
def mod(a: Any, b: Any) -> Any:
    x, y = to_number(a, "$mod", 16611), to_number(b, "$mod", 16611)
    if y == 0:
        raise fail(16610, "can't $mod by zero")
    if isinstance(x, int) and isinstance(y, int):
        return abs(x) % abs(y) * (-1 if x < 0 else 1)
    return combine(lambda p, q: p % q if isinstance(p, Decimal) else math.fmod(p, q) if math.isfinite(p) else math.nan,
                   a, b)


def _one(name: str, of_float: Callable[[float], float], of_decimal: Callable[[Decimal], Decimal] | None = None,
         check: Callable[[Any], bool] | None = None, error: tuple[int, str] = (0, "")) -> None:
    """A function of one number that gives a double, or a decimal of a decimal. `check`: what it is defined for."""
    @nullable(name, 1)
    def function(value: Any) -> Any:
        number = to_number(value, name)
        if number != number:
            return value
        if check is not None and not check(number):
            raise fail(error[0], f"{name}{error[1]}, found {value}")
        if isinstance(number, Decimal):
            if of_decimal is not None:
                with _local():
                    return result(of_decimal(number))
            return result(DECIMAL_CONTEXT.create_decimal(repr(of_float(float(number)))))
        try:
            return of_float(float(number))
        except OverflowError:
            return math.inf


def _positive(number: Any) -> bool:
    return bool(number > 0)


_one("$exp", math.exp, Decimal.exp)
_one("$ln", math.log, Decimal.ln, _positive, (28766, "'s argument must be a positive number"))
_one("$log10", math.log10, Decimal.log10, _positive, (28761, "'s argument must be a positive number"))
_one("$sqrt", math.sqrt, Decimal.sqrt, lambda number: bool(number >= 0),
     (28714, "'s argument must be greater than or equal to 0"))
_FINITE = (50989, " cannot be applied to an infinite number")
for _name, _function in (("$sin", math.sin), ("$cos", math.cos), ("$tan", math.tan)):
    _one(_name, _function, None, math.isfinite, _FINITE)
for _name, _function in (("$asin", math.asin), ("$acos", math.acos)):
    _one(_name, _function, None, lambda number: bool(-1 <= number <= 1), (50989, " takes numbers from -1 to 1"))
for _name, _function in (("$atan", math.atan), ("$sinh", math.sinh), ("$cosh", math.cosh), ("$tanh", math.tanh),
                         ("$asinh", math.asinh)):
    _one(_name, _function)
_one("$acosh", math.acosh, None, lambda number: bool(number >= 1), (50989, " takes numbers from 1 on"))
_one("$atanh", lambda number: math.copysign(math.inf, number) if abs(number) == 1 else math.atanh(number), None,
     lambda number: bool(-1 <= number <= 1), (50989, " takes numbers from -1 to 1"))
_one("$degreesToRadians", math.radians, lambda number: number * _PI / 180)
_one("$radiansToDegrees", math.degrees, lambda number: number * 180 / _PI)


@nullable("$atan2", 2)
def atan2(a: Any, b: Any) -> Any:
    x, y = to_number(a, "$atan2", 51044), to_number(b, "$atan2", 51044)
    found = math.atan2(float(x), float(y))
    return result(DECIMAL_CONTEXT.create_decimal(repr(found))) if is_decimal(a) or is_decimal(b) else found


@nullable("$abs", 1)
def absolute(value: Any) -> Any:
    number = to_number(value, "$abs")
    if number == -1 << 63 and isinstance(number, int):
        raise fail(28680, "can't take $abs of long long min")
    return result(abs(number) if not isinstance(number, Decimal) else number.copy_abs())


@nullable("$log", 2)
def log(a: Any, b: Any) -> Any:
    number, base = to_number(a, "$log", 28756), to_number(b, "$log", 28757)
    if not number > 0 and number == number:
        raise fail(28758, f"$log's argument must be a positive number, but is {a}")
    if base == base and (not base > 0 or base == 1):
        raise fail(28759, f"$log's base must be a positive number not equal to 1, but is {b}")
    if is_decimal(a) or is_decimal(b):
        return combine(lambda x, y: x.ln() / y.ln(), a, b)
    return math.log(number) / math.log(base) if number == number and base == base else math.nan


@nullable("$pow", 2)
def power(a: Any, b: Any) -> Any:
    base, exponent = to_number(a, "$pow", 28762), to_number(b, "$pow", 28763)
    if base == 0 and exponent < 0:
        raise fail(28764, "$pow cannot take a base of 0 and a negative exponent")
    if is_decimal(a) or is_decimal(b):
        return combine(operator.pow, a, b)
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) <= 1:
            return base ** (exponent % 2 + 2 if exponent > 1 else exponent)
        if exponent <= 63:
            return result(base ** exponent)
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf if base > 0 or exponent % 2 == 0 else -math.inf
    except ValueError:
        return math.nan


def _towards(name: str, mode: str) -> None:
    @nullable(name, 1)
    def function(value: Any) -> Any:
        return _rounded(to_number(value, name), 0, mode)


def _rounded(number: Any, place: int, mode: str) -> Any:
    """To so many digits after the point."""
    if isinstance(number, int):
        if place >= 0:
            return number
        unit = 10 ** -place
        exact = Decimal(number).scaleb(place).quantize(Decimal(1), rounding=mode)
        return result(int(exact) * unit)
    if isinstance(number, float):
        if not math.isfinite(number):
            return number
        exact = _quantized(Decimal(number) if mode in (ROUND_CEILING, ROUND_FLOOR) and place == 0
                           else Decimal(repr(number)), place, mode)
        return math.copysign(float(exact), number)
    return result(number if not number.is_finite() else _quantized(number, place, mode))


def _quantized(number: Decimal, place: int, mode: str) -> Decimal:
    if -number.as_tuple().exponent <= place:                # type: ignore[operator]
        return number
    with decimal.localcontext() as context:
        context.prec = 1200
        return number.quantize(Decimal(1).scaleb(-place), rounding=mode)


_towards("$ceil", ROUND_CEILING)
_towards("$floor", ROUND_FLOOR)


def _to_place(name: str, mode: str) -> None:
    @plain(name, 1, 2)
    def function(value: Any, place: Any = 0) -> Any:
        if is_null(value) or is_null(place):
            return None
        digits = need_whole(place, name, 51082)
        if not -20 <= digits <= 100:
            raise fail(51083, f"cannot apply {name} with precision value {digits}: it must be in [-20, 100]")
        return _rounded(to_number(value, name, 51081), digits, mode)


_to_place("$round", ROUND_HALF_EVEN)
_to_place("$trunc", ROUND_DOWN)


@special("$rand")
def rand(argument: Any, _compile: Compile) -> Evaluate:
    if argument not in ({}, []):
        raise fail(3040501, "$rand does not currently accept arguments")
    return lambda _document, _variables: random.random()


def _bits(name: str, function: Callable[[int, int], int], start: int) -> None:
    @plain(name, 0, None)
    def combined(*items: Any) -> Any:
        if any(map(is_null, items)):
            return None
        total = start
        for item in items:
            if not isinstance(item, int) or isinstance(item, bool):
                raise fail(14, f"{name} only supports int and long operands, not {values.type_name(item)}")
            total = function(total, item)
        return total


_bits("$bitAnd", operator.and_, -1)
_bits("$bitOr", operator.or_, 0)
_bits("$bitXor", operator.xor, 0)


@nullable("$bitNot", 1)
def bit_not(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise fail(14, f"$bitNot only supports int and long operands, not {values.type_name(value)}")
    return ~value
