"""Numbers as PostgreSQL has them: read from text, written as text, and one kind made from another.

A decimal is exact: all arithmetic on decimals goes through EXACT, which never rounds to a precision of its own. A real
is a Python float whose value a 32-bit float has.
"""
from __future__ import annotations

import math
import re
import struct
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow

from phantomdb.core.query.errors import (
    FeatureNotSupported,
    InvalidTextRepresentation,
    NumericValueOutOfRange,
)
from phantomdb.core.values import Kind, Type

DIGITS_BEFORE_POINT_MAX = 131_072
DIGITS_AFTER_POINT_MAX = 16_383
# More digits than any numeric has, so that sums and products are exact.
EXACT = Context(prec=2 * (DIGITS_BEFORE_POINT_MAX + DIGITS_AFTER_POINT_MAX), rounding=ROUND_HALF_UP,
                Emin=-(10**9), Emax=10**9, traps=[InvalidOperation, DivisionByZero, Overflow])

INT_LIMITS = {16: (-(2**15), 2**15 - 1), 32: (-(2**31), 2**31 - 1), 64: (-(2**63), 2**63 - 1)}
_INT_TEXT = re.compile(r"[ \t\n\r\f\v]*[+-]?[0-9]+[ \t\n\r\f\v]*", re.ASCII)
_NUMBER_TEXT = re.compile(r"[ \t\n\r\f\v]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t\n\r\f\v]*", re.ASCII)
_SPECIAL_TEXT = re.compile(r"\s*([+-]?inf(inity)?|nan)\s*", re.ASCII | re.IGNORECASE)


def int_in_range(value: int, bits: int) -> int:
    low, high = INT_LIMITS[bits]
    if not low <= value <= high:
        raise NumericValueOutOfRange(f"{Type(Kind.INT, bits)} out of range")
    return value


def numeric_in_range(value: Decimal) -> Decimal:
    """As a stored numeric: no negative zero, digits within PostgreSQL's limits."""
    if not value:
        return value.copy_abs()
    if value.adjusted() >= DIGITS_BEFORE_POINT_MAX:
        raise NumericValueOutOfRange("value overflows numeric format")
    return value


def float_in_range(value: float, bits: int, *, was_finite: bool = True) -> float:
    """A result that became infinite from finite arguments is an error. Of 32 bits: the nearest real."""
    if bits == 32:
        value = to_real(value)
    if was_finite and math.isinf(value):
        raise NumericValueOutOfRange("value out of range: overflow")
    return value


def to_real(value: float) -> float:
    """The nearest 32-bit float; infinity for what is beyond."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def read_int(text: str, bits: int) -> int:
    if not _INT_TEXT.fullmatch(text):
        raise InvalidTextRepresentation(f'invalid input syntax for type {Type(Kind.INT, bits)}: "{text}"')
    low, high = INT_LIMITS[bits]
    # the limit of int() on digits is far above 19, but a text may be longer still
    value = int(text) if len(text) < 1000 else high + 1
    if not low <= value <= high:
        raise NumericValueOutOfRange(f'value "{text}" is out of range for type {Type(Kind.INT, bits)}')
    return value


def read_float(text: str, bits: int) -> float:
    if _SPECIAL_TEXT.fullmatch(text):
        return float(text)
    if not _NUMBER_TEXT.fullmatch(text):
        raise InvalidTextRepresentation(f'invalid input syntax for type {Type(Kind.FLOAT, bits)}: "{text}"')
    value = float(text)
    if bits == 32:
        value = to_real(value)
    is_zero = not re.search("[1-9]", re.split("[eE]", text)[0])
    if math.isinf(value) or (value == 0.0 and not is_zero):
        raise NumericValueOutOfRange(f'"{text.strip()}" is out of range for type {Type(Kind.FLOAT, bits)}')
    return value


def read_numeric(text: str) -> Decimal:
    if not _NUMBER_TEXT.fullmatch(text):
        if _SPECIAL_TEXT.fullmatch(text):
            raise FeatureNotSupported("numeric has no NaN and no infinity; use double precision")
        raise InvalidTextRepresentation(f'invalid input syntax for type numeric: "{text}"')
    value = EXACT.create_decimal(text.strip())
    exponent = value.as_tuple().exponent
    if value and value.adjusted() >= DIGITS_BEFORE_POINT_MAX:
        raise NumericValueOutOfRange("value overflows numeric format")
    assert isinstance(exponent, int)
    if exponent < -DIGITS_AFTER_POINT_MAX:
        value = EXACT.quantize(value, Decimal((0, (1,), -DIGITS_AFTER_POINT_MAX)))
    elif exponent > 0:
        value = EXACT.quantize(value, Decimal(1)) if value else Decimal(0)
    return numeric_in_range(value)


def round_half_away(value: Decimal, digits: int) -> Decimal:
    """To `digits` after the point; a negative number of digits rounds before it. Never an exponent above 0."""
    rounded = EXACT.quantize(value, Decimal((0, (1,), -digits)))
    if digits < 0:
        rounded = EXACT.quantize(rounded, Decimal(1))
    return rounded if rounded else rounded.copy_abs()


def fit_numeric(value: Decimal, target: Type) -> Decimal:
    """As numeric(p,s)."""
    if target.precision is None:
        return value
    scale = target.scale or 0
    rounded = round_half_away(value, scale)
    if rounded and rounded.adjusted() >= target.precision - scale:
        raise NumericValueOutOfRange(f"numeric field overflow: {target} holds no value of 10^"
                                     f"{target.precision - scale} and above")
    return rounded


def numeric_from_float(value: float, bits: int) -> Decimal:
    """Of the digits that a float certainly has: 15, of a real 6."""
    if not math.isfinite(value):
        raise FeatureNotSupported("numeric has no NaN and no infinity; use double precision")
    return read_numeric(f"{value:.{6 if bits == 32 else 15}g}")


def int_from_float(value: float, bits: int) -> int:
    """Half to even."""
    if not math.isfinite(value):
        raise NumericValueOutOfRange(f"{Type(Kind.INT, bits)} out of range")
    return int_in_range(round(value), bits)


def int_from_numeric(value: Decimal, bits: int) -> int:
    """Half away from zero."""
    if value and value.adjusted() > 30:
        raise NumericValueOutOfRange(f"{Type(Kind.INT, bits)} out of range")
    return int_in_range(int(round_half_away(value, 0)), bits)


def float_from_numeric(value: Decimal | int, bits: int) -> float:
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if bits == 32:
        result = to_real(result)
    if math.isinf(result) or (result == 0.0 and value):
        raise NumericValueOutOfRange(f'"{value}" is out of range for type {Type(Kind.FLOAT, bits)}')
    return result


def float_from_float(value: float, bits: int) -> float:
    if bits == 64:
        return value
    result = to_real(value)
    if math.isinf(result) and not math.isinf(value):
        raise NumericValueOutOfRange("value out of range: overflow")
    if result == 0.0 and value != 0.0:
        raise NumericValueOutOfRange("value out of range: underflow")
    return result


def write_float(value: float, bits: int = 64) -> str:
    """The shortest text that reads back as the same value; with an exponent from 15 digits (real: 6) up."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if bits == 64 and 1e-4 <= abs(value) < 1e15:
        return repr(value).removesuffix(".0")
    shortest = _shortest(value, bits)
    sign, digits, exponent = Decimal(shortest).as_tuple()
    assert isinstance(exponent, int)
    while len(digits) > 1 and digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1
    if not any(digits):
        return "-0" if sign else "0"
    power = exponent + len(digits) - 1
    text = "".join(map(str, digits))
    minus = "-" if sign else ""
    if -4 <= power < (15 if bits == 64 else 6):
        if power < 0:
            return f"{minus}0.{'0' * (-power - 1)}{text}"
        text = text.ljust(power + 1, "0")
        return minus + text[:power + 1] + ("." + text[power + 1:] if len(text) > power + 1 else "")
    point = "." if len(text) > 1 else ""
    return f"{minus}{text[0]}{point}{text[1:]}e{'-' if power < 0 else '+'}{abs(power):02}"


def _shortest(value: float, bits: int) -> str:
    """The fewest digits that read back as the value, not counting on which way a reader rounds a tie."""
    least = 1
    if bits == 64:
        shortest = repr(value)
        if abs(value) < 2**53 or not _is_tie(shortest, value, math.ulp(value)):
            return shortest                                  # between whole numbers no tie has so few digits
        least = len(shortest.split("e")[0].strip("-0").replace(".", ""))
    for digits in range(least, 18):
        text = f"{value:.{digits}g}"
        if bits == 32 and to_real(float(text)) == value and not (
                abs(value) >= 2**24 and _is_tie(text, value, math.ulp(value) * 2**29)):
            return text
        if bits == 64 and float(text) == value and not _is_tie(text, value, math.ulp(value)):
            return text
    return repr(value)


def _is_tie(text: str, value: float, unit: float) -> bool:
    """The text stands halfway between the value and its neighbour."""
    return abs(Decimal(text) - Decimal(value)) * 2 == Decimal(unit)


def write_numeric(value: Decimal, type_: Type) -> str:
    """Of numeric(p,s) s digits after the point; without a declared scale no zeros at the end, so that equal values
    have equal texts, whatever computed them."""
    if type_.precision is not None:
        return f"{round_half_away(value, max(type_.scale or 0, 0)):f}"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
