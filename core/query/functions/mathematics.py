"""Mathematical functions beyond arithmetic: bits, divisors, digits, buckets, angles, chance."""
from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from phantomdb.core.query.cast_numbers import EXACT, INT_LIMITS, int_in_range, numeric_in_range
from phantomdb.core.query.errors import (
    DivisionByZero,
    InvalidWidthBucketArgument,
    NullValueNotAllowed,
    NumericValueOutOfRange,
)
from phantomdb.core.query.functions.forms import FINITE, fast
from phantomdb.core.query.functions.numbers import INTEGERS, int_quotient, scalar, scale_of
from phantomdb.core.query.functions.registry import DuckForm, Like, Volatility
from phantomdb.core.query.ordering import sort_key
from phantomdb.core.values import BIGINT, DOUBLE, INT, NUMERIC, Type

# -------------------------------------------------------------------- bits

def _shift_left(value: int, count: int, bits: int) -> int:
    """Bits that leave are lost; the count is taken modulo the width, as processors do."""
    shifted = (value << (count & (bits - 1))) & ((1 << bits) - 1)
    return shifted - (1 << bits) if shifted > INT_LIMITS[bits][1] else shifted


for _type in INTEGERS:
    _bits = max(_type.bits, 32)
    scalar("&", (_type, _type), _type, lambda a, b: a & b, "({0} & {1})", "bits in both")
    scalar("|", (_type, _type), _type, lambda a, b: a | b, "({0} | {1})", "bits in one or both")
    scalar("#", (_type, _type), _type, lambda a, b: a ^ b, "xor({0}, {1})", "bits in one, not in both")
    scalar("~", (_type,), _type, lambda a: ~a, "(~{0})", "the other bits")
    scalar(">>", (_type, INT), _type, lambda a, n, _bits=_bits: a >> (n & (_bits - 1)), None, "bits moved right")
    if _type.bits == 16:
        scalar("<<", (_type, INT), _type,
               lambda a, n: (_shift_left(a, n, 32) + 2**15) % 2**16 - 2**15, None, "bits moved left")
    else:
        scalar("<<", (_type, INT), _type, lambda a, n, _bits=_bits: _shift_left(a, n, _bits), None, "bits moved left")


# -------------------------------------------------------------------- divisors, digits

def _numeric_gcd(a: Decimal, b: Decimal) -> Decimal:
    scale = max(scale_of(a), scale_of(b))
    return EXACT.scaleb(Decimal(math.gcd(int(EXACT.scaleb(a, scale)), int(EXACT.scaleb(b, scale)))), -scale)


def _numeric_lcm(a: Decimal, b: Decimal) -> Decimal:
    scale = max(scale_of(a), scale_of(b))
    return numeric_in_range(
        EXACT.scaleb(Decimal(math.lcm(int(EXACT.scaleb(a, scale)), int(EXACT.scaleb(b, scale)))), -scale))


for _type in INTEGERS[1:]:
    scalar("gcd", (_type, _type), _type, lambda a, b, _bits=_type.bits: int_in_range(math.gcd(a, b), _bits), None,
           "greatest common divisor")
    scalar("lcm", (_type, _type), _type, lambda a, b, _bits=_type.bits: int_in_range(math.lcm(a, b), _bits), None,
           "least common multiple")
scalar("gcd", (NUMERIC, NUMERIC), NUMERIC, _numeric_gcd, None, "greatest common divisor")
scalar("lcm", (NUMERIC, NUMERIC), NUMERIC, _numeric_lcm, None, "least common multiple")


def _div(a: Decimal, b: Decimal) -> Decimal:
    if not b:
        raise DivisionByZero
    scale = max(scale_of(a), scale_of(b))
    return numeric_in_range(Decimal(int_quotient(int(EXACT.scaleb(a, scale)), int(EXACT.scaleb(b, scale)))))


_LARGEST_FACTORIAL = 32_177                                  # of what still is a numeric


def _factorial(n: int) -> Decimal:
    if n < 0:
        raise NumericValueOutOfRange("factorial of a negative number is undefined")
    if n > _LARGEST_FACTORIAL:
        raise NumericValueOutOfRange("value overflows numeric format")
    return Decimal(math.factorial(n))


def _trim_scale(value: Decimal) -> Decimal:
    shown = value.normalize(EXACT)
    return EXACT.quantize(shown, Decimal(1)) if shown.as_tuple().exponent > 0 else shown     # type: ignore[operator]


scalar("div", (NUMERIC, NUMERIC), NUMERIC, _div, None, "quotient as a whole number, toward zero")
scalar("factorial", (BIGINT,), NUMERIC, _factorial, None, "product of the whole numbers up to it")
scalar("scale", (NUMERIC,), INT, scale_of, None, "digits after the point")
scalar("min_scale", (NUMERIC,), INT, lambda a: scale_of(_trim_scale(a)), None,
       "digits after the point that are needed")
scalar("trim_scale", (NUMERIC,), NUMERIC, _trim_scale, None, "without zeros at the end")
scalar("pi", (), DOUBLE, lambda: math.pi, "pi()", "3.14159...")
scalar("random", (), DOUBLE, random.random, "random()", "a chance value, 0 <= x < 1", volatility=Volatility.VOLATILE)


# -------------------------------------------------------------------- buckets

def _bucket(value: Any, low: Any, high: Any, count: int) -> int:
    if count <= 0:
        raise InvalidWidthBucketArgument("count must be greater than zero")
    if value != value or low != low or high != high:
        raise InvalidWidthBucketArgument("operand, lower bound, and upper bound cannot be NaN")
    if isinstance(low, float) and not (math.isfinite(low) and math.isfinite(high)):
        raise InvalidWidthBucketArgument("lower and upper bounds must be finite")
    if low == high:
        raise InvalidWidthBucketArgument("lower bound cannot equal upper bound")
    if low < high:
        if value < low:
            return 0
        if value >= high:
            return int_in_range(count + 1, 32)
    else:
        if value > low:
            return 0
        if value <= high:
            return int_in_range(count + 1, 32)
    if isinstance(value, float):
        return min(int((value / 2 - low / 2) / (high / 2 - low / 2) * count), count - 1) + 1
    part, whole = EXACT.multiply(EXACT.subtract(value, low), count), EXACT.subtract(high, low)
    return int(_div(part, whole)) + 1


def _bucket_of(types: Sequence[Type], value: Any, bounds: list[Any]) -> int:
    """How many of the sorted bounds are not above the value."""
    if None in bounds:
        raise NullValueNotAllowed("thresholds array must not contain NULLs")
    key = sort_key(types[0])
    return bisect.bisect_right(bounds, key(value), key=key)


for _type in (DOUBLE, NUMERIC):
    scalar("width_bucket", (_type, _type, _type, INT), INT, _bucket, None,
           "which of so many equal parts between two bounds")
scalar("width_bucket", (Like.ELEMENT, Like.ARRAY), INT, _bucket_of, None, "which of the parts between sorted bounds",
       takes_types=True)


# -------------------------------------------------------------------- angles

def _finite(function: Callable[[float], float]) -> Callable[[float], float]:
    """Of an infinite angle there is none."""
    def compute(value: float) -> float:
        if math.isinf(value):
            raise NumericValueOutOfRange("input is out of range")
        return function(value)
    return compute


def _within_one(function: Callable[[float], float]) -> Callable[[float], float]:
    def compute(value: float) -> float:
        if value < -1 or value > 1:
            raise NumericValueOutOfRange("input is out of range")
        return function(value)
    return compute


def _cot(value: float) -> float:
    tangent = math.tan(value)
    return 1 / tangent if tangent else math.copysign(math.inf, tangent)


def _sinh(value: float) -> float:
    try:
        return math.sinh(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _cosh(value: float) -> float:
    try:
        return math.cosh(value)
    except OverflowError:
        return math.inf


def _acosh(value: float) -> float:
    if value < 1:
        raise NumericValueOutOfRange("input is out of range")
    return math.acosh(value)


def _atanh(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) == 1 else math.atanh(value)


def _radians(value: float) -> float:
    result = math.radians(value)
    if result == 0 and value != 0:
        raise NumericValueOutOfRange("value out of range: underflow")
    return result


def _degrees(value: float) -> float:
    result = value / 0.0174532925199432957692
    if math.isinf(result) and not math.isinf(value):
        raise NumericValueOutOfRange("value out of range: overflow")
    return result


_EXACT_SINES = {0.0: 0.0, 30.0: 0.5, 90.0: 1.0}


def _sind_quarter(degrees: float) -> float:
    """Of 0 to 90 degrees; exact where the sine is."""
    return _EXACT_SINES[degrees] if degrees in _EXACT_SINES else math.sin(math.radians(degrees))


def _cosd_quarter(degrees: float) -> float:
    return _sind_quarter(90.0 - degrees) if degrees in (0.0, 60.0, 90.0) else math.cos(math.radians(degrees))


def _sind(value: float) -> float:
    angle = math.fmod(value, 360.0)
    sign = 1.0
    if angle < 0:
        angle, sign = -angle, -sign
    if angle > 180:
        angle, sign = 360 - angle, -sign
    return sign * _sind_quarter(180 - angle if angle > 90 else angle)


def _cosd(value: float) -> float:
    angle, sign = abs(math.fmod(value, 360.0)), 1.0
    if angle > 180:
        angle = 360 - angle
    if angle > 90:
        angle, sign = 180 - angle, -1.0
    return sign * _cosd_quarter(angle)


def _tand(value: float) -> float:
    angle, sign = abs(math.fmod(value, 180.0)), math.copysign(1.0, value)
    if angle > 90:
        angle, sign = 180 - angle, -sign
    if angle == 45:
        return sign
    cosine = _cosd_quarter(angle)
    return sign * _sind_quarter(angle) / cosine if cosine else sign * math.inf


def _cotd(value: float) -> float:
    tangent = _tand(value)
    return 1 / tangent if tangent else math.copysign(math.inf, tangent)


def _asind(value: float) -> float:
    return {0.5: 30.0, -0.5: -30.0}.get(value, math.degrees(math.asin(value)))


def _acosd(value: float) -> float:
    return {0.5: 60.0, -0.5: 120.0}.get(value, math.degrees(math.acos(value)))


def _atand(value: float) -> float:
    return math.copysign(45.0, value) if abs(value) == 1 else math.degrees(math.atan(value))


def _atan2d(y: float, x: float) -> float:
    return math.degrees(math.atan2(y, x))


_UNIT = "abs({0}) <= 1"
_ANGLES: list[tuple[str, Callable[..., float], DuckForm | None, str]] = [
    ("sin", _finite(math.sin), fast("isfinite({0})", "sin({0})"), "sine"),
    ("cos", _finite(math.cos), fast("isfinite({0})", "cos({0})"), "cosine"),
    ("tan", _finite(math.tan), fast("isfinite({0})", "tan({0})"), "tangent"),
    ("cot", _finite(_cot), None, "cotangent"),
    ("asin", _within_one(math.asin), fast(_UNIT, "asin({0})"), "inverse sine"),
    ("acos", _within_one(math.acos), fast(_UNIT, "acos({0})"), "inverse cosine"),
    ("atan", math.atan, "atan({0})", "inverse tangent"),
    ("sinh", _sinh, "sinh({0})", "hyperbolic sine"),
    ("cosh", _cosh, "cosh({0})", "hyperbolic cosine"),
    ("tanh", math.tanh, "tanh({0})", "hyperbolic tangent"),
    ("asinh", math.asinh, "asinh({0})", "inverse hyperbolic sine"),
    ("acosh", _acosh, fast("{0} >= 1", "acosh({0})"), "inverse hyperbolic cosine"),
    ("atanh", _within_one(_atanh), fast("abs({0}) < 1", "atanh({0})"), "inverse hyperbolic tangent"),
    ("degrees", _degrees, fast(FINITE, "degrees({0})"), "radians to degrees"),
    ("radians", _radians, fast("{value} <> 0", "radians({0})"), "degrees to radians"),
    ("sind", _finite(_sind), None, "sine of degrees"),
    ("cosd", _finite(_cosd), None, "cosine of degrees"),
    ("tand", _finite(_tand), None, "tangent of degrees"),
    ("cotd", _finite(_cotd), None, "cotangent of degrees"),
    ("asind", _within_one(_asind), None, "inverse sine in degrees"),
    ("acosd", _within_one(_acosd), None, "inverse cosine in degrees"),
    ("atand", _atand, None, "inverse tangent in degrees"),
]
for _name, _python, _form, _summary in _ANGLES:
    scalar(_name, (DOUBLE,), DOUBLE, _python, _form, _summary)
scalar("atan2", (DOUBLE, DOUBLE), DOUBLE, math.atan2, "atan2({0}, {1})", "inverse tangent of y/x")
scalar("atan2d", (DOUBLE, DOUBLE), DOUBLE, _atan2d, None, "inverse tangent of y/x in degrees")
