"""Aggregates. `python` of one is a class (or a function that makes an object) for one group:

    state = overload.python()
    state.add(*values)           for each row; values may be None, as the aggregate sees them
    state.remove(*values)        where there is one: takes back an add() of the oldest row, for windows that move
    state.result()

Which rows there are (DISTINCT, FILTER) and in which order (ORDER BY, WITHIN GROUP) the caller sees to. Of the
ordered-set aggregates the last argument is the sorted value; the others are the same in each row.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from phantomdb.core.query import coercion
from phantomdb.core.query.cast_duckdb import duckdb_type
from phantomdb.core.query.cast_moments import MICROSECONDS_PER_DAY
from phantomdb.core.query.cast_numbers import EXACT, int_in_range, numeric_in_range, to_real
from phantomdb.core.query.errors import (
    DatetimeOutOfRange,
    NullValueNotAllowed,
    NumericValueOutOfRange,
)
from phantomdb.core.query.functions.forms import DISTINCT, DIVIDE, EACH, ORDER, TAIL, once
from phantomdb.core.query.functions.json import document_of
from phantomdb.core.query.functions.numbers import INTEGERS, numeric_quotient, quotient_type
from phantomdb.core.query.functions.registry import DuckForm, FunctionKind, Like, Overload, Pattern, register
from phantomdb.core.query.ordering import sort_key
from phantomdb.core.values import (
    BIGINT,
    BOOL,
    BYTES,
    DOUBLE,
    INT,
    INTERVAL,
    JSON,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
    Interval,
    Kind,
    Type,
    array,
    decimal,
)


def aggregate(name: str, arguments: tuple[Pattern, ...], result: Any, python: Callable[..., Any],
              duckdb: DuckForm | None = None, summary: str = "", *, takes_types: bool = False) -> None:
    register(Overload(name, FunctionKind.AGGREGATE, arguments, result, python, duckdb, is_strict=False,
                      takes_types=takes_types, summary=summary))


# -------------------------------------------------------------------- counting, sums

class Count:
    """Of rows without an argument, else of values that are not NULL."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, *values: Any) -> None:
        if not values or values[0] is not None:
            self.count += 1

    def remove(self, *values: Any) -> None:
        if not values or values[0] is not None:
            self.count -= 1

    def result(self) -> int:
        return self.count


class _Sum:
    """Exact: of integers and numerics."""

    def __init__(self) -> None:
        self.count, self.total = 0, Decimal(0)

    def add(self, value: int | Decimal | None) -> None:
        if value is not None:
            self.count += 1
            self.total = EXACT.add(self.total, value)

    def remove(self, value: int | Decimal | None) -> None:
        if value is not None:
            self.count -= 1
            self.total = EXACT.subtract(self.total, value)


class NumericSum(_Sum):
    def result(self) -> Decimal | None:
        return numeric_in_range(self.total) if self.count else None


class IntSum(_Sum):
    """Of smaller integers: a bigint."""

    def result(self) -> int | None:
        return int_in_range(int(self.total), 64) if self.count else None


class NumericAverage(_Sum):
    def result(self) -> Decimal | None:
        return numeric_quotient(self.total, Decimal(self.count)) if self.count else None


class _FloatSum:
    def __init__(self) -> None:
        self.values: list[float] = []

    def add(self, value: float | None) -> None:
        if value is not None:
            self.values.append(value)

    def total(self) -> float:
        try:
            return math.fsum(self.values)
        except OverflowError:
            raise NumericValueOutOfRange("value out of range: overflow") from None
        except ValueError:                                   # both infinities
            return math.nan


class DoubleSum(_FloatSum):
    def result(self) -> float | None:
        return self.total() if self.values else None


class RealSum(_FloatSum):
    def result(self) -> float | None:
        if not self.values:
            return None
        total = to_real(self.total())
        if math.isinf(total) and not any(map(math.isinf, self.values)):
            raise NumericValueOutOfRange("value out of range: overflow")
        return total


class FloatAverage(_FloatSum):
    def result(self) -> float | None:
        return self.total() / len(self.values) if self.values else None


class _IntervalSum:
    def __init__(self) -> None:
        self.count = self.months = self.days = self.microseconds = 0

    def add(self, value: Interval | None, sign: int = 1) -> None:
        if value is not None:
            self.count += sign
            self.months += sign * value.months
            self.days += sign * value.days
            self.microseconds += sign * value.microseconds

    def remove(self, value: Interval | None) -> None:
        self.add(value, -1)


class IntervalSum(_IntervalSum):
    def result(self) -> Interval | None:
        if not self.count:
            return None
        if max(abs(self.months), abs(self.days)) >= 2**31 or abs(self.microseconds) >= 2**63:
            raise DatetimeOutOfRange("interval out of range")
        return Interval(self.months, self.days, self.microseconds)


class IntervalAverage(_IntervalSum):
    """What is left of a month becomes days, of a day the clock."""

    def result(self) -> Interval | None:
        if not self.count:
            return None
        months = int(self.months / self.count)
        days = Decimal(self.months - months * self.count) * 30 / self.count + Decimal(self.days) / self.count
        whole = int(days)
        microseconds = (days - whole) * MICROSECONDS_PER_DAY + Decimal(self.microseconds) / self.count
        return Interval(months, whole, int(microseconds.quantize(Decimal(1))))


def _sum_type(types: Sequence[Type]) -> Type:
    """19 digits more: of so many rows."""
    given = types[0]
    return NUMERIC if given.precision is None else decimal(min(given.precision + 19, 1000), given.scale or 0)


def _numeric_sum_form(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str:
    text = f"sum({DISTINCT}{arguments[0]}{ORDER}){TAIL}"
    return f"CAST({text} AS {duckdb_type(result)})" if types[0].kind is Kind.INT or types[0].precision else text


def _finite_form(name: str, type_name: str) -> DuckForm:
    """A sum of floats that became infinite is an error, unless one of them was."""
    def form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
        total = f"{name}({DISTINCT}{arguments[0]}{ORDER}){TAIL}"
        was_infinite = f"bool_or(isinf({arguments[0]})){TAIL}"

        def check(names: Sequence[str]) -> str:
            value, infinite = names
            return (f"CASE WHEN isinf(CAST({value} AS {type_name})) AND NOT {infinite} THEN "
                    "error('phantomdb[numeric_value_out_of_range] value out of range: overflow') "
                    f"ELSE CAST({value} AS {type_name}) END")
        return once([total, was_infinite], check)
    return form


def _interval_sum_form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
    """Part by part, of which there is no DISTINCT."""
    span = arguments[0]
    minutes = f"date_part('hour', {span}) * 60 + date_part('minute', {span})"
    parts = [f"sum({part}){TAIL}" for part in (
        f"date_part('year', {span}) * 12 + date_part('month', {span})", f"date_part('day', {span})",
        f"({minutes}) * 60000000 + date_part('microseconds', {span})")]

    def check(names: Sequence[str]) -> str:
        months, days, clock = names
        return (f"CASE WHEN greatest(abs({months}), abs({days})) >= {2**31} OR abs({clock}) >= {2**63} THEN "
                "error('phantomdb[datetime_out_of_range] interval out of range') "
                f"ELSE to_months(CAST({months} AS INTEGER)) + to_days(CAST({days} AS INTEGER)) "
                f"+ to_microseconds(CAST({clock} AS BIGINT)) END")
    return EACH + once(parts, check)


def _average_form(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str:
    digits = max(16, types[0].scale or 0)
    total = f"CAST(sum({DISTINCT}{arguments[0]}){TAIL} AS VARCHAR)"
    count = f"CAST(nullif(count({DISTINCT}{arguments[0]}){TAIL}, 0) AS VARCHAR)"
    return f"CAST({DIVIDE}({total}, {count}, {digits}) AS {duckdb_type(result)})"


aggregate("count", (), BIGINT, Count, "count(*){tail}", "number of rows")
aggregate("count", (Like.ANY,), BIGINT, Count, "count({distinct}{0}){tail}", "number of values that are not NULL")
for _type in (SMALLINT, INT):
    aggregate("sum", (_type,), BIGINT, IntSum, "CAST(sum({distinct}{0}){tail} AS BIGINT)", "sum")
aggregate("sum", (BIGINT,), decimal(38), NumericSum, _numeric_sum_form, "sum, exact")
aggregate("sum", (NUMERIC,), _sum_type, NumericSum, _numeric_sum_form, "sum, exact")
aggregate("sum", (REAL,), REAL, RealSum, _finite_form("sum", "FLOAT"), "sum")
aggregate("sum", (DOUBLE,), DOUBLE, DoubleSum, _finite_form("sum", "DOUBLE"), "sum")
aggregate("sum", (INTERVAL,), INTERVAL, IntervalSum, _interval_sum_form, "sum")
for _type in INTEGERS:
    aggregate("avg", (_type,), NUMERIC, NumericAverage, _average_form, "sum divided by count, as numerics are divided")
aggregate("avg", (NUMERIC,), lambda types: quotient_type((types[0], decimal(19))), NumericAverage, _average_form,
          "sum divided by count, as numerics are divided")
aggregate("avg", (REAL,), DOUBLE, FloatAverage, _finite_form("avg", "DOUBLE"), "average")
aggregate("avg", (DOUBLE,), DOUBLE, FloatAverage, _finite_form("avg", "DOUBLE"), "average")
aggregate("avg", (INTERVAL,), INTERVAL, IntervalAverage, None, "average")


# -------------------------------------------------------------------- least, greatest, any

class Extreme:
    def __init__(self, is_better: Callable[[Any, Any], bool], types: Sequence[Type]) -> None:
        self.key, self.is_better = sort_key(types[0]), is_better
        self.best: Any = None
        self.best_key: Any = None

    def add(self, value: Any) -> None:
        if value is not None:
            key = self.key(value)
            if self.best is None or self.is_better(key, self.best_key):
                self.best, self.best_key = value, key

    def result(self) -> Any:
        return self.best


class AnyValue:
    def __init__(self) -> None:
        self.value: Any = None

    def add(self, value: Any) -> None:
        if self.value is None:
            self.value = value

    def result(self) -> Any:
        return self.value


def _extreme_form(name: str) -> DuckForm:
    def form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
        if types[0].kind in (Kind.JSON, Kind.ANY, Kind.ARRAY) or types[0].is_padded:
            return None
        return f"{name}({arguments[0]}){TAIL}"
    return form


def minimum(types: Sequence[Type]) -> Extreme:
    return Extreme(lambda a, b: a < b, types)


def maximum(types: Sequence[Type]) -> Extreme:
    return Extreme(lambda a, b: a > b, types)


aggregate("min", (Like.ELEMENT,), Like.ELEMENT, minimum, _extreme_form("min"), "the least", takes_types=True)
aggregate("max", (Like.ELEMENT,), Like.ELEMENT, maximum, _extreme_form("max"), "the greatest", takes_types=True)
aggregate("any_value", (Like.ELEMENT,), Like.ELEMENT, AnyValue, "any_value({0}){tail}", "one that is not NULL")


# -------------------------------------------------------------------- folding

class Fold:
    """The values that are not NULL put together one by one; NULL for none."""

    def __init__(self, combine: Callable[[Any, Any], Any]) -> None:
        self.combine = combine
        self.value: Any = None

    def add(self, value: Any) -> None:
        if value is not None:
            self.value = value if self.value is None else self.combine(self.value, value)

    def result(self) -> Any:
        return self.value


def _folding(combine: Callable[[Any, Any], Any]) -> Callable[[], Fold]:
    return lambda: Fold(combine)


for _name in ("bool_and", "every"):
    aggregate(_name, (BOOL,), BOOL, _folding(lambda a, b: a and b), "bool_and({0}){tail}", "all are true")
aggregate("bool_or", (BOOL,), BOOL, _folding(lambda a, b: a or b), "bool_or({0}){tail}", "one is true")
for _type in INTEGERS:
    aggregate("bit_and", (_type,), _type, _folding(lambda a, b: a & b), "bit_and({0}){tail}", "bits set in all")
    aggregate("bit_or", (_type,), _type, _folding(lambda a, b: a | b), "bit_or({0}){tail}", "bits set in one")
    aggregate("bit_xor", (_type,), _type, _folding(lambda a, b: a ^ b), "bit_xor({distinct}{0}){tail}",
              "bits set in an odd number")


# -------------------------------------------------------------------- collecting

class StringAggregate:
    """Of texts or bytes: each but the first after its own delimiter."""

    def __init__(self, empty: Any) -> None:
        self.pieces: list[Any] = []
        self.empty = empty

    def add(self, value: Any, delimiter: Any) -> None:
        if value is not None:
            if self.pieces and delimiter is not None:
                self.pieces.append(delimiter)
            self.pieces.append(value)

    def result(self) -> Any:
        return self.empty.join(self.pieces) if self.pieces else None


class ArrayAggregate:
    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> None:
        self.values.append(value)

    def result(self) -> list[Any] | None:
        return self.values or None


class JsonArray(ArrayAggregate):
    def __init__(self, types: Sequence[Type]) -> None:
        super().__init__()
        self.type = types[0]

    def add(self, value: Any) -> None:
        self.values.append(document_of(value, self.type))


class JsonObject:
    def __init__(self, types: Sequence[Type]) -> None:
        self.types, self.count = types, 0
        self.pairs: dict[str, Any] = {}

    def add(self, key: Any, value: Any) -> None:
        if key is None:
            raise NullValueNotAllowed("field name must not be null")
        from phantomdb.core.query.casts import to_text
        self.count += 1
        self.pairs[to_text(key, self.types[0])] = document_of(value, self.types[1])

    def result(self) -> dict[str, Any] | None:
        return self.pairs if self.count else None


def _string_form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str | None:
    if not (arguments[1].startswith("'") and arguments[1].endswith("'")):
        return None                                          # DuckDB wants one delimiter
    return f"string_agg({DISTINCT}{arguments[0]}, {arguments[1]}{ORDER}){TAIL}"


aggregate("string_agg", (TEXT, TEXT), TEXT, lambda: StringAggregate(""), _string_form, "all with a delimiter between")
aggregate("string_agg", (BYTES, BYTES), BYTES, lambda: StringAggregate(b""), None, "all with a delimiter between")
aggregate("array_agg", (Like.ELEMENT,), lambda types: array(coercion.without_parameters(types[0])), ArrayAggregate,
          "list({distinct}{0}{order}){tail}", "all as an array, NULLs too")
for _name in ("json_agg", "jsonb_agg"):
    aggregate(_name, (Like.ANY,), JSON, JsonArray, None, "all as a JSON array, NULLs too", takes_types=True)
for _name in ("json_object_agg", "jsonb_object_agg"):
    aggregate(_name, (Like.ANY, Like.ANY), JSON, JsonObject, None, "keys and values as a JSON object", takes_types=True)
