"""Arithmetic and mathematical functions.

Integers that leave their width, floats that become infinite and decimals beyond PostgreSQL's limits raise
NumericValueOutOfRange. Decimals are exact under + - * %; quotients, roots, powers and logarithms are rounded half away
from zero to 16 digits after the point, or to the arguments' scale where that is more.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any

from phantomdb.core.query import coercion
from phantomdb.core.query.cast_numbers import (
    DIGITS_BEFORE_POINT_MAX,
    EXACT,
    float_in_range,
    int_in_range,
    numeric_in_range,
    round_half_away,
)
from phantomdb.core.query.errors import (
    DivisionByZero,
    InvalidLogarithmArgument,
    InvalidPowerArgument,
    NumericValueOutOfRange,
)
from phantomdb.core.query.functions.forms import FINITE, fast, int_of, once
from phantomdb.core.query.functions.registry import DuckForm, FunctionKind, Overload, Pattern, register
from phantomdb.core.values import BIGINT, DOUBLE, INT, NUMERIC, REAL, SMALLINT, Type, decimal

QUOTIENT_DIGITS = 16
INTEGERS = (SMALLINT, INT, BIGINT)
_Result = Pattern | Callable[[Sequence[Type]], Type]


def scalar(name: str, arguments: tuple[Pattern, ...], result: _Result, python: Callable[..., Any],
           duckdb: DuckForm | None = None, summary: str = "", **more: Any) -> None:
    register(Overload(name, FunctionKind.SCALAR, arguments, result, python, duckdb, summary=summary, **more))


def scale_of(value: Decimal) -> int:
    """Digits after the point."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(-exponent, 0)


# -------------------------------------------------------------------- integers

def _int_operator(compute: Callable[[int, int], int], bits: int) -> Callable[[int, int], int]:
    return lambda a, b: int_in_range(compute(a, b), bits)


def int_quotient(a: int, b: int) -> int:
    """Toward zero."""
    if b == 0:
        raise DivisionByZero
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def int_remainder(a: int, b: int) -> int:
    """With the sign of the dividend."""
    if b == 0:
        raise DivisionByZero
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


_NOT_MINUS_ONE = "{1} <> -1"
for _type in INTEGERS:
    _pair, _bits = (_type, _type), _type.bits
    scalar("+", _pair, _type, _int_operator(lambda a, b: a + b, _bits), "({0} + {1})", "sum")
    scalar("-", _pair, _type, _int_operator(lambda a, b: a - b, _bits), "({0} - {1})", "difference")
    scalar("*", _pair, _type, _int_operator(lambda a, b: a * b, _bits), "({0} * {1})", "product")
    scalar("/", _pair, _type, _int_operator(int_quotient, _bits), "({0} // {1})", "quotient, of integers toward zero")
    for _name in ("%", "mod"):
        # DuckDB has no remainder of the least integer by -1
        scalar(_name, _pair, _type, int_remainder, fast(_NOT_MINUS_ONE, "({0} % {1})"), "remainder")


# -------------------------------------------------------------------- decimals

def _sum_type(types: Sequence[Type]) -> Type:
    return coercion.sum_of_digits(types[0], types[1])


def _product_type(types: Sequence[Type]) -> Type:
    return coercion.product_of_digits(types[0], types[1])


_SMALL_DIGITS = 18                       # DuckDB computes decimals of so many digits in 64 bits, and raises beyond


def _exact_form(symbol: str) -> DuckForm:
    """DuckDB is exact up to 38 digits, but takes 128 bits only where an argument has them already."""
    def form(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str | None:
        left, right = arguments
        if result.precision is None:
            # of a product it must be known how many digits there are after the point
            return None if symbol == "*" else f"({left} {symbol} {right})"
        if not 0 <= (result.scale or 0) <= 38 or any((type_.scale or 0) < 0 for type_ in types):
            return None
        if max(type_.precision or 0 for type_ in types) <= _SMALL_DIGITS < result.precision:
            left = f"CAST({left} AS DECIMAL({_SMALL_DIGITS + 1},{types[0].scale or 0}))"
        return f"({left} {symbol} {right})"
    return form


def numeric_quotient(a: Decimal, b: Decimal) -> Decimal:
    if not b:
        raise DivisionByZero
    digits = max(QUOTIENT_DIGITS, scale_of(a), scale_of(b))
    return quotient(a, b, digits)


def quotient(a: Decimal, b: Decimal, digits: int) -> Decimal:
    """a / b rounded half away from zero to `digits` after the point, computed in integers."""
    if not b:
        raise DivisionByZero
    (above, below), (divisor_above, divisor_below) = a.as_integer_ratio(), b.as_integer_ratio()
    upper, lower = above * divisor_below * 10**digits, below * divisor_above
    whole, remainder = divmod(abs(upper), abs(lower))
    whole += 2 * remainder >= abs(lower)
    return numeric_in_range(EXACT.scaleb(Decimal(-whole if (upper < 0) != (lower < 0) else whole), -digits))


def numeric_remainder(a: Decimal, b: Decimal) -> Decimal:
    """With the sign of the dividend."""
    if not b:
        raise DivisionByZero
    shift = max(scale_of(a), scale_of(b))
    remainder = int_remainder(int(EXACT.scaleb(a, shift)), int(EXACT.scaleb(b, shift)))
    return EXACT.scaleb(Decimal(remainder), -shift)


_numerics = (NUMERIC, NUMERIC)
scalar("+", _numerics, _sum_type, lambda a, b: numeric_in_range(EXACT.add(a, b)), _exact_form("+"), "sum")
scalar("-", _numerics, _sum_type, lambda a, b: numeric_in_range(EXACT.subtract(a, b)), _exact_form("-"), "difference")
scalar("*", _numerics, _product_type, lambda a, b: numeric_in_range(EXACT.multiply(a, b)), _exact_form("*"), "product")


def quotient_type(types: Sequence[Type]) -> Type:
    """More than 16 digits after the point only where an argument has them."""
    scale = max(types[0].scale or 0, types[-1].scale or 0)
    return coercion.union_of_digits(types[0], types[-1], QUOTIENT_DIGITS) if scale > QUOTIENT_DIGITS else NUMERIC


def _quotient_form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
    """Whole numbers of 128 bits divided, where the types say that they hold the dividend with 16 digits more."""
    (digits, scale), (divisor_digits, divisor_scale) = ((type_.precision or 99, type_.scale or 0) for type_ in types)
    shift = QUOTIENT_DIGITS + divisor_scale - scale
    if not (0 <= scale <= QUOTIENT_DIGITS and 0 <= divisor_scale <= QUOTIENT_DIGITS
            and max(digits + shift, digits + scale, divisor_digits + divisor_scale) <= 37):
        return None

    def divide(names: Sequence[str]) -> str:
        upper, lower = names
        rounding = (f"CASE WHEN 2 * abs({upper} % {lower}) >= abs({lower}) THEN sign({upper}) * sign({lower}) "
                    "ELSE 0 END")
        return f"CAST({upper} // {lower} + {rounding} AS DECIMAL(38,0)) * CAST('1e-16' AS DECIMAL(17,16))"
    ten = "CAST('1{}' AS {})".format
    more = ten("0" * shift, "HUGEINT")
    upper, lower = (f"CAST(CAST({argument} AS DECIMAL(38,{places})) * {ten('0' * places, 'DECIMAL(38,0)')} AS HUGEINT)"
                    for argument, places in zip(arguments, (scale, divisor_scale), strict=True))
    return f"({once([f'{upper} * {more}', lower], divide)})"


scalar("/", _numerics, quotient_type, numeric_quotient, _quotient_form,
       "quotient, of numerics to 16 digits after the point")
for _name in ("%", "mod"):
    scalar(_name, _numerics, lambda types: coercion.union_of_digits(types[0], types[1]), numeric_remainder, None,
           "remainder")


# -------------------------------------------------------------------- floats

def _float_sum(a: float, b: float, bits: int) -> float:
    return float_in_range(a + b, bits, was_finite=not (math.isinf(a) or math.isinf(b)))


def _float_difference(a: float, b: float, bits: int) -> float:
    return float_in_range(a - b, bits, was_finite=not (math.isinf(a) or math.isinf(b)))


def _underflow(result: float) -> float:
    if result == 0.0:
        raise NumericValueOutOfRange("value out of range: underflow")
    return result


def _float_product(a: float, b: float, bits: int) -> float:
    result = float_in_range(a * b, bits, was_finite=not (math.isinf(a) or math.isinf(b)))
    return _underflow(result) if a != 0.0 and b != 0.0 else result


def _float_quotient(a: float, b: float, bits: int) -> float:
    if b == 0.0:
        if math.isnan(a):
            return a
        raise DivisionByZero
    result = float_in_range(a / b, bits, was_finite=not math.isinf(a))
    return _underflow(result) if a != 0.0 and not math.isinf(b) else result


for _types, _result_type, _duckdb in (((REAL, REAL), REAL, "FLOAT"), ((DOUBLE, DOUBLE), DOUBLE, "DOUBLE"),
                                      ((DOUBLE, REAL), DOUBLE, "DOUBLE"), ((REAL, DOUBLE), DOUBLE, "DOUBLE")):
    for _symbol, _compute, _test, _summary in (
            ("+", _float_sum, FINITE, "sum"), ("-", _float_difference, FINITE, "difference"),
            ("*", _float_product, FINITE + " AND ({value} <> 0 OR {0} = 0 OR {1} = 0)", "product"),
            ("/", _float_quotient, FINITE + " AND ({value} <> 0 OR ({0} = 0 AND {1} <> 0))", "quotient")):
        scalar(_symbol, _types, _result_type,
               lambda a, b, _compute=_compute, _bits=_result_type.bits: _compute(a, b, _bits),
               fast(_test, f"({{0}} {_symbol} {{1}})"), _summary)


# -------------------------------------------------------------------- one number

def _numeric_sign(value: Decimal) -> int:
    return (value > 0) - (value < 0)


def _float_sign(value: float) -> float:
    return float((value > 0) - (value < 0))


def _to_whole(value: Decimal, rounding: str) -> Decimal:
    whole = value.to_integral_value(rounding=rounding)
    return numeric_in_range(whole if scale_of(whole) == 0 else EXACT.quantize(whole, Decimal(1)))


def _whole_type(types: Sequence[Type]) -> Type:
    """A whole number with room for the carry of rounding up."""
    given = types[0]
    return NUMERIC if given.precision is None else decimal(max(given.precision - (given.scale or 0), 0) + 1)


def _same_type(types: Sequence[Type]) -> Type:
    return types[0]


for _type in INTEGERS:
    _bits = _type.bits
    _least = f"{{0}} <> CAST({-2**(_bits - 1)} AS {('SMALLINT', 'INTEGER', 'BIGINT')[INTEGERS.index(_type)]})"
    scalar("negate", (_type,), _type, lambda a, _bits=_bits: int_in_range(-a, _bits), fast(_least, "(-{0})"), "minus")
    for _name in ("abs", "@"):
        scalar(_name, (_type,), _type, lambda a, _bits=_bits: int_in_range(abs(a), _bits), "abs({0})", "absolute value")
    scalar("plus", (_type,), _type, lambda a: a, "{0}", "the number itself")
scalar("negate", (NUMERIC,), _same_type, lambda a: numeric_in_range(a.copy_negate()), "(-{0})", "minus")
scalar("plus", (NUMERIC,), _same_type, lambda a: a, "{0}", "the number itself")
for _name in ("abs", "@"):
    scalar(_name, (NUMERIC,), _same_type, lambda a: a.copy_abs(), "abs({0})", "absolute value")
for _type in (REAL, DOUBLE):
    scalar("negate", (_type,), _type, lambda a: -a, "(-{0})", "minus")
    scalar("plus", (_type,), _type, lambda a: a, "{0}", "the number itself")
    for _name in ("abs", "@"):
        scalar(_name, (_type,), _type, abs, "abs({0})", "absolute value")

scalar("sign", (DOUBLE,), DOUBLE, _float_sign, fast("NOT isnan({0})", "CAST(sign({0}) AS DOUBLE)"), "-1, 0 or 1")
scalar("sign", (NUMERIC,), NUMERIC, lambda a: Decimal(_numeric_sign(a)), "CAST(sign({0}) AS DECIMAL(38,16))",
       "-1, 0 or 1")


def _declared(form: str) -> DuckForm:
    """For decimals whose number of digits is known; DuckDB's result is cast to what we say it is."""
    def filled(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str | None:
        if types[0].precision is None or types[0].precision > 37 or (types[0].scale or 0) > 38:
            return None
        if result.precision is None or result.precision > 38:
            return None
        return f"CAST({form.format(*arguments)} AS DECIMAL({result.precision},{result.scale or 0}))"
    return filled


for _names, _rounding, _whole_float, _form, _summary in (
        (("ceil", "ceiling"), ROUND_CEILING, math.ceil, "ceil({0})", "to a whole number, up"),
        (("floor",), ROUND_FLOOR, math.floor, "floor({0})", "to a whole number, down"),
        (("trunc",), ROUND_DOWN, math.trunc, "trunc({0})", "to a whole number, toward zero"),
        (("round",), ROUND_HALF_UP, round, "round({0})", "to the nearest whole number")):
    for _name in _names:
        scalar(_name, (NUMERIC,), _whole_type, lambda a, _rounding=_rounding: _to_whole(a, _rounding), _declared(_form),
               _summary)
        # floats round half to even
        scalar(_name, (DOUBLE,), DOUBLE,
               lambda a, _whole=_whole_float: math.copysign(float(_whole(a)), a) if math.isfinite(a) else a,
               "round_even({0}, 0)" if _name == "round" else _form, _summary)


def _cut(value: Decimal, digits: int) -> Decimal:
    kept = value.quantize(Decimal((0, (1,), -digits)), ROUND_DOWN, EXACT)
    return numeric_in_range(EXACT.quantize(kept, Decimal(1)) if digits < 0 else kept)


def _bounded(digits: int) -> int:
    return max(-2000, min(2000, digits))


def _digits_form(name: str) -> DuckForm:
    """DuckDB's are of a decimal what ours are, for a literal number of digits."""
    def form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
        digits = int_of(arguments[1])
        if digits is None or not 0 < digits <= QUOTIENT_DIGITS or not 0 <= (types[0].scale or 0) <= 38:
            return None
        return f"{name}({arguments[0]}, {digits})"
    return form


scalar("round", (NUMERIC, INT), NUMERIC, lambda a, n: numeric_in_range(round_half_away(a, _bounded(n))),
       _digits_form("round"),
       "to so many digits after the point")
scalar("trunc", (NUMERIC, INT), NUMERIC, lambda a, n: _cut(a, _bounded(n)), _digits_form("trunc"),
       "to so many digits after the point, toward zero")


# -------------------------------------------------------------------- roots, powers, logarithms

def to_digits(argument: Decimal, compute: Callable[[Context], Decimal], whole_digits: int) -> Decimal:
    """`compute` with as many digits as 16 after the point need, then rounded to them. `whole_digits`: of the result
    before the point, about."""
    if whole_digits > DIGITS_BEFORE_POINT_MAX:
        raise NumericValueOutOfRange("value overflows numeric format")
    digits = max(QUOTIENT_DIGITS, scale_of(argument))
    context = Context(prec=max(whole_digits, 1) + digits + 10, Emin=-(10**8), Emax=10**8, rounding=ROUND_HALF_UP)
    return numeric_in_range(round_half_away(compute(context), digits))


def _numeric_sqrt(value: Decimal) -> Decimal:
    if value < 0:
        raise InvalidPowerArgument("cannot take square root of a negative number")
    return to_digits(value, lambda context: context.sqrt(value), value.adjusted() // 2 + 1)


_LARGEST_EXPONENT = 6000                 # of e in numerics; as PostgreSQL


def _numeric_exp(value: Decimal) -> Decimal:
    if value >= _LARGEST_EXPONENT:
        raise NumericValueOutOfRange("value overflows numeric format")
    if value <= -_LARGEST_EXPONENT:
        return round_half_away(Decimal(0), max(QUOTIENT_DIGITS, scale_of(value)))
    return to_digits(value, lambda context: context.exp(value), int(value / Decimal("2.3025")) + 1)


def _check_logarithm(value: Any) -> None:
    if value == 0:
        raise InvalidLogarithmArgument("cannot take logarithm of zero")
    if value < 0:
        raise InvalidLogarithmArgument("cannot take logarithm of a negative number")


def _numeric_ln(value: Decimal) -> Decimal:
    _check_logarithm(value)
    return to_digits(value, lambda context: context.ln(value), 7)


def _numeric_log10(value: Decimal) -> Decimal:
    _check_logarithm(value)
    return to_digits(value, lambda context: context.log10(value), 7)


def _numeric_log(base: Decimal, value: Decimal) -> Decimal:
    _check_logarithm(base)
    _check_logarithm(value)
    if base == 1:
        raise DivisionByZero
    return to_digits(max(base, value, key=scale_of),
                     lambda context: context.divide(context.ln(value), context.ln(base)), 30)


def _numeric_power(base: Decimal, exponent: Decimal) -> Decimal:
    is_whole = exponent == exponent.to_integral_value()
    if not base and exponent < 0:
        raise InvalidPowerArgument("zero raised to a negative power is undefined")
    if base < 0 and not is_whole:
        raise InvalidPowerArgument("a negative number raised to a non-integer power yields a complex result")
    argument = max(base, exponent, key=scale_of)
    if not exponent:
        return round_half_away(Decimal(1), max(QUOTIENT_DIGITS, scale_of(argument)))
    if not base:
        return round_half_away(Decimal(0), max(QUOTIENT_DIGITS, scale_of(argument)))
    magnitude = float(abs(base).log10()) * float(exponent) if abs(exponent) < 10**12 else math.copysign(
        math.inf, (abs(base) - 1) * exponent) if abs(base) != 1 else 0.0
    if magnitude > (DIGITS_BEFORE_POINT_MAX if is_whole else _LARGEST_EXPONENT / math.log(10)):
        raise NumericValueOutOfRange("value overflows numeric format")
    if magnitude < -DIGITS_BEFORE_POINT_MAX:
        return round_half_away(Decimal(0), max(QUOTIENT_DIGITS, scale_of(argument)))
    return to_digits(argument, lambda context: context.power(base, exponent), int(max(magnitude, 0)) + 30)


def _float_power(base: float, exponent: float) -> float:
    if base == 0.0 and exponent < 0:
        raise InvalidPowerArgument("zero raised to a negative power is undefined")
    if math.isfinite(base) and base < 0 and math.isfinite(exponent) and exponent != math.floor(exponent):
        raise InvalidPowerArgument("a negative number raised to a non-integer power yields a complex result")
    try:
        result = math.pow(base, exponent)
    except OverflowError:
        raise NumericValueOutOfRange("value out of range: overflow") from None
    if result == 0.0 and base != 0.0 and math.isfinite(base) and math.isfinite(exponent):
        raise NumericValueOutOfRange("value out of range: underflow")
    return result


def _float_exp(value: float) -> float:
    try:
        result = math.exp(value)
    except OverflowError:
        raise NumericValueOutOfRange("value out of range: overflow") from None
    return _underflow(result) if math.isfinite(value) else result


def _float_sqrt(value: float) -> float:
    if value < 0:
        raise InvalidPowerArgument("cannot take square root of a negative number")
    return math.sqrt(value)


def _float_log(function: Callable[[float], float]) -> Callable[[float], float]:
    def compute(value: float) -> float:
        _check_logarithm(value)
        return function(value)
    return compute


def _cube_root(value: float) -> float:
    return math.cbrt(value)


_POSITIVE = "{0} > 0 AND isfinite({0})"
for _name in ("sqrt", "|/"):
    scalar(_name, (DOUBLE,), DOUBLE, _float_sqrt, fast("{0} >= 0 AND isfinite({0})", "sqrt({0})"), "square root")
scalar("sqrt", (NUMERIC,), NUMERIC, _numeric_sqrt, None, "square root")
for _name in ("cbrt", "||/"):
    scalar(_name, (DOUBLE,), DOUBLE, _cube_root, "cbrt({0})", "cube root")
scalar("exp", (DOUBLE,), DOUBLE, _float_exp, fast("{value} > 0 AND isfinite({value})", "exp({0})"), "e to the power")
scalar("exp", (NUMERIC,), NUMERIC, _numeric_exp, None, "e to the power")
scalar("ln", (DOUBLE,), DOUBLE, _float_log(math.log), fast(_POSITIVE, "ln({0})"), "natural logarithm")
scalar("ln", (NUMERIC,), NUMERIC, _numeric_ln, None, "natural logarithm")
for _name in ("log", "log10"):
    scalar(_name, (DOUBLE,), DOUBLE, _float_log(math.log10), fast(_POSITIVE, "log10({0})"), "logarithm to base 10")
    scalar(_name, (NUMERIC,), NUMERIC, _numeric_log10, None, "logarithm to base 10")
scalar("log", (NUMERIC, NUMERIC), NUMERIC, _numeric_log, None, "logarithm to the base given first")
for _name in ("power", "pow", "^"):
    scalar(_name, (DOUBLE, DOUBLE), DOUBLE, _float_power,
           fast("isfinite({0}) AND isfinite({1}) AND isfinite({value}) AND {value} <> 0 AND {0} <> 0",
                "power({0}, {1})"), "power")
    scalar(_name, (NUMERIC, NUMERIC), NUMERIC, _numeric_power, None, "power")
