"""Statistical and ordered-set aggregates.

Variances of integers and numerics are exact and rounded like quotients; those of floats go by Youngs and Cramer's
recurrence, which keeps the digits that a difference of squares would lose.
"""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from phantomdb.core.query.cast_numbers import EXACT
from phantomdb.core.query.errors import InvalidParameterValue, NumericValueOutOfRange
from phantomdb.core.query.functions.aggregates import aggregate
from phantomdb.core.query.functions.forms import ORDER, TAIL
from phantomdb.core.query.functions.numbers import INTEGERS, QUOTIENT_DIGITS, quotient, scale_of, to_digits
from phantomdb.core.query.functions.registry import DuckForm, Like
from phantomdb.core.query.ordering import sort_key
from phantomdb.core.values import BIGINT, DOUBLE, INTERVAL, NUMERIC, Interval, Kind, Type, array

# -------------------------------------------------------------------- variance


class NumericVariance:
    def __init__(self, is_sample: bool, is_deviation: bool) -> None:
        self.is_sample, self.is_deviation = is_sample, is_deviation
        self.count, self.total, self.squares = 0, Decimal(0), Decimal(0)

    def add(self, value: Decimal | int | None) -> None:
        if value is not None:
            self.count += 1
            self.total = EXACT.add(self.total, value)
            self.squares = EXACT.add(self.squares, EXACT.multiply(value, value))

    def remove(self, value: Decimal | int | None) -> None:
        if value is not None:
            self.count -= 1
            self.total = EXACT.subtract(self.total, value)
            self.squares = EXACT.subtract(self.squares, EXACT.multiply(value, value))

    def result(self) -> Decimal | None:
        divisor = self.count * (self.count - 1 if self.is_sample else self.count)
        if divisor <= 0:
            return None
        top = EXACT.subtract(EXACT.multiply(self.squares, Decimal(self.count)), EXACT.multiply(self.total, self.total))
        if not self.is_deviation:
            return quotient(top, Decimal(divisor), QUOTIENT_DIGITS)
        exact = quotient(top, Decimal(divisor), 3 * QUOTIENT_DIGITS)
        return to_digits(Decimal(0), lambda context: context.sqrt(exact), exact.adjusted() // 2 + 2 + scale_of(exact))


class Moments:
    """Counts, means and sums of squares of pairs; a single column is y, with x always 0."""

    def __init__(self, finish: Callable[[Moments], float | int | None]) -> None:
        self.finish = finish
        self.count = 0
        self.mean_x = self.mean_y = self.xx = self.yy = self.xy = 0.0

    def add(self, y: float | None, x: float | None = 0.0) -> None:
        if y is None or x is None:
            return
        self.count += 1
        dx, dy = x - self.mean_x, y - self.mean_y
        self.mean_x += dx / self.count
        self.mean_y += dy / self.count
        self.xx += dx * (x - self.mean_x)
        self.yy += dy * (y - self.mean_y)
        self.xy += dx * (y - self.mean_y)

    def result(self) -> float | int | None:
        value = self.finish(self)
        if value is not None and math.isinf(value):
            raise NumericValueOutOfRange("value out of range: overflow")
        return value


def _variance(is_sample: bool, is_deviation: bool) -> Callable[[Moments], float | None]:
    def finish(moments: Moments) -> float | None:
        divisor = moments.count - is_sample
        if divisor <= 0:
            return None
        return math.sqrt(moments.yy / divisor) if is_deviation else moments.yy / divisor
    return finish


def _finite_form(name: str) -> DuckForm:
    """DuckDB raises where a float overflows; NaN it gives like us."""
    return f"{name}({{distinct}}{{0}}){{tail}}"


for _name, _duckdb, _is_sample, _is_deviation, _summary in (
        ("stddev", "stddev_samp", True, True, "standard deviation of a sample"),
        ("stddev_samp", "stddev_samp", True, True, "standard deviation of a sample"),
        ("stddev_pop", "stddev_pop", False, True, "standard deviation of all"),
        ("variance", "var_samp", True, False, "variance of a sample"),
        ("var_samp", "var_samp", True, False, "variance of a sample"),
        ("var_pop", "var_pop", False, False, "variance of all")):
    for _type in (*INTEGERS, NUMERIC):
        aggregate(_name, (_type,), NUMERIC,
                  lambda _s=_is_sample, _d=_is_deviation: NumericVariance(_s, _d), None, _summary)
    aggregate(_name, (DOUBLE,), DOUBLE,
              lambda _s=_is_sample, _d=_is_deviation: Moments(_variance(_s, _d)), _finite_form(_duckdb), _summary)


# -------------------------------------------------------------------- regression

def _if_any(compute: Callable[[Moments], float | None], least: int = 1) -> Callable[[Moments], float | None]:
    return lambda moments: compute(moments) if moments.count >= least else None


def _correlation(moments: Moments) -> float | None:
    if not moments.xx or not moments.yy:
        return None
    return max(-1.0, min(1.0, moments.xy / math.sqrt(moments.xx) / math.sqrt(moments.yy)))


def _determination(moments: Moments) -> float | None:
    if not moments.xx:
        return None
    return 1.0 if not moments.yy else moments.xy * moments.xy / (moments.xx * moments.yy)


_REGRESSION: list[tuple[str, Callable[[Moments], float | None], str]] = [
    ("corr", _if_any(_correlation), "correlation"),
    ("covar_pop", _if_any(lambda m: m.xy / m.count), "covariance of all"),
    ("covar_samp", _if_any(lambda m: m.xy / (m.count - 1), 2), "covariance of a sample"),
    ("regr_avgx", _if_any(lambda m: m.mean_x), "average of x"),
    ("regr_avgy", _if_any(lambda m: m.mean_y), "average of y"),
    ("regr_intercept", _if_any(lambda m: m.mean_y - m.mean_x * m.xy / m.xx if m.xx else None),
     "where the line of least squares crosses y"),
    ("regr_r2", _if_any(_determination), "square of the correlation"),
    ("regr_slope", _if_any(lambda m: m.xy / m.xx if m.xx else None), "slope of the line of least squares"),
    ("regr_sxx", _if_any(lambda m: m.xx), "sum of squares of x"),
    ("regr_sxy", _if_any(lambda m: m.xy), "sum of products"),
    ("regr_syy", _if_any(lambda m: m.yy), "sum of squares of y"),
]
for _name, _finish, _summary in _REGRESSION:
    aggregate(_name, (DOUBLE, DOUBLE), DOUBLE, lambda _finish=_finish: Moments(_finish), None, _summary)
aggregate("regr_count", (DOUBLE, DOUBLE), BIGINT, lambda: Moments(lambda m: m.count), "regr_count({0}, {1}){tail}",
          "rows in which both are not NULL")


# -------------------------------------------------------------------- ordered sets

def _check(fraction: float) -> float:
    if not 0 <= fraction <= 1:
        raise InvalidParameterValue(f"percentile value {fraction:g} is not between 0 and 1")
    return fraction


def _between(low: Any, high: Any, part: float) -> Any:
    if isinstance(low, Interval):
        exact = Decimal(part)
        months = (high.months - low.months) * exact
        days = (high.days - low.days) * exact + (months - int(months)) * 30
        microseconds = (high.microseconds - low.microseconds) * exact + (days - int(days)) * 86_400_000_000
        return Interval(low.months + int(months), low.days + int(days), low.microseconds + round(microseconds))
    return low + (high - low) * part if low != high else low


class _Sorted:
    """`fraction` is one number or a list of them; the values come in order."""

    def __init__(self) -> None:
        self.fraction: Any = None
        self.values: list[Any] = []

    def add(self, fraction: Any, value: Any) -> None:
        self.fraction = fraction
        if value is not None:
            self.values.append(value)

    def result(self) -> Any:
        if not self.values or self.fraction is None:
            return None
        if isinstance(self.fraction, list):
            return [None if fraction is None else self.pick(_check(fraction)) for fraction in self.fraction]
        return self.pick(_check(self.fraction))

    def pick(self, fraction: float) -> Any:
        raise NotImplementedError


class ContinuousPercentile(_Sorted):
    def pick(self, fraction: float) -> Any:
        place = fraction * (len(self.values) - 1)
        below = math.floor(place)
        above = math.ceil(place)
        return _between(self.values[below], self.values[above], place - below)


class DiscretePercentile(_Sorted):
    def pick(self, fraction: float) -> Any:
        return self.values[max(math.ceil(fraction * len(self.values)) - 1, 0)]


class Mode:
    """The most frequent value, the first in order of those."""

    def __init__(self, types: Sequence[Type]) -> None:
        self.key = sort_key(types[0])
        self.runs: list[list[Any]] = []                      # [key, value, how often]

    def add(self, value: Any) -> None:
        if value is None:
            return
        key = self.key(value)
        if self.runs and self.runs[-1][0] == key:
            self.runs[-1][2] += 1
        else:
            self.runs.append([key, value, 1])

    def result(self) -> Any:
        return max(self.runs, key=lambda run: run[2])[1] if self.runs else None


_FRACTION = re.compile(r"CAST\('(\d+(?:\.\d+)?(?:e-\d+)?)' AS DOUBLE\)")


def _percentile_form(name: str) -> DuckForm:
    def form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
        if types[1].kind in (Kind.JSON, Kind.ANY, Kind.ARRAY, Kind.INTERVAL) or types[1].is_padded:
            return None
        fraction = _FRACTION.fullmatch(arguments[0])         # DuckDB wants a constant
        if fraction is None or not 0 <= float(fraction.group(1)) <= 1:
            return None
        return f"{name}({arguments[0]}) WITHIN GROUP ({ORDER}){TAIL}"
    return form


aggregate("percentile_cont", (DOUBLE, DOUBLE), DOUBLE, ContinuousPercentile, _percentile_form("percentile_cont"),
          "the value at a fraction of the order, between two where it falls so")
aggregate("percentile_cont", (DOUBLE, INTERVAL), INTERVAL, ContinuousPercentile, None,
          "the value at a fraction of the order, between two where it falls so")
aggregate("percentile_cont", (array(DOUBLE), DOUBLE), array(DOUBLE), ContinuousPercentile, None,
          "the values at several fractions")
aggregate("percentile_cont", (array(DOUBLE), INTERVAL), array(INTERVAL), ContinuousPercentile, None,
          "the values at several fractions")
aggregate("percentile_disc", (DOUBLE, Like.ELEMENT), lambda types: types[1], DiscretePercentile,
          _percentile_form("percentile_disc"), "the first value at or after a fraction of the order")
aggregate("percentile_disc", (array(DOUBLE), Like.ELEMENT), lambda types: array(types[1]), DiscretePercentile, None,
          "the values at several fractions")
aggregate("mode", (Like.ELEMENT,), Like.ELEMENT, Mode, None, "the most frequent value", takes_types=True)
