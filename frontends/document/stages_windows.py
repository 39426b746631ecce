"""$setWindowFields: values computed over the neighbours of a document in its partition.

Frames that begin at the start of a partition are gathered once, each document adding to what was there; other frames
are gathered anew for each document.
"""
from __future__ import annotations

import datetime
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.accumulators import ACCUMULATORS, compile_accumulator
from phantomdb.frontends.document.errors import CommandNotSupported, FailedToParse
from phantomdb.frontends.document.expression_base import Evaluate, fail, is_null
from phantomdb.frontends.document.expressions import compile_evaluate, get_path
from phantomdb.frontends.document.expressions_dates import add_units, unit_of
from phantomdb.frontends.document.expressions_numbers import combine
from phantomdb.frontends.document.filters import whole
from phantomdb.frontends.document.paths import Route
from phantomdb.frontends.document.sorting import compile_sort_key, sort_fields
from phantomdb.frontends.document.stage_base import Context, Stage, evaluated, stage
from phantomdb.frontends.document.values import MISSING, Document, order_key

UNBOUNDED, CURRENT = "unbounded", "current"
_UNIT_MS = {"week": 604_800_000, "day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1000,
            "millisecond": 1}

Rows = list[Document]
Compute = Callable[[Rows], list[Any]]    # of a sorted partition: a value for each document


@dataclass(frozen=True)
class Output:
    context: Context
    sort_by: Mapping[str, Any] | None

    @property
    def only_path(self) -> tuple[str, ...]:
        """The path of a sort by one field going up."""
        fields = sort_fields(self.sort_by) if self.sort_by else []
        if len(fields) != 1 or fields[0][1] < 0:
            raise fail(5339902, "a range, $derivative, $integral or $linearFill needs a sortBy of one field in "
                                "ascending order")
        return fields[0][0]

    def need_sort(self, name: str) -> None:
        if not self.sort_by:
            raise fail(5371602, f"{name} must be specified with a top level sortBy expression")


# -------------------------------------------------------------------- frames

def _place(bound: Any, index: int, count: int, is_lower: bool) -> int:
    if bound == UNBOUNDED:
        return 0 if is_lower else count
    offset = 0 if bound == CURRENT else bound
    return max(index + offset, 0) if is_lower else min(index + offset + 1, count)


def _bounds(window: Mapping[str, Any], key: str) -> tuple[Any, Any]:
    given = window[key]
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise FailedToParse(f"Window bounds must be a 2-element array: {given!r:.60}")
    for bound in given:
        if bound in (UNBOUNDED, CURRENT):
            continue
        if key == "documents" and whole(bound) is None:
            raise FailedToParse(f"Numeric document-based bounds must be an integer, found {bound!r:.40}")
        if not values.is_number(bound):
            raise FailedToParse("Window bounds must be 'unbounded', 'current', or a number")
    low, high = given
    return (whole(low) if key == "documents" and low not in (UNBOUNDED, CURRENT) else low,
            whole(high) if key == "documents" and high not in (UNBOUNDED, CURRENT) else high)


def compile_frames(window: Mapping[str, Any] | None, output: Output) -> Callable[[Rows], list[tuple[int, int]]]:
    """For each document of a partition the positions its frame begins and ends at."""
    if window is None or not window:
        return lambda rows: [(0, len(rows))] * len(rows)
    for key in window:
        if key not in ("documents", "range", "unit"):
            raise FailedToParse(f"'window' field that has an unknown argument: {key}")
    if ("documents" in window) == ("range" in window):
        raise FailedToParse("Window bounds can specify either 'documents' or 'unit', not both, and one of them")
    if "documents" in window:
        low, high = _bounds(window, "documents")
        if (low, high) != (UNBOUNDED, UNBOUNDED):
            output.need_sort("Document-based bounds")
        return lambda rows: [(_place(low, index, len(rows), True), _place(high, index, len(rows), False))
                             for index in range(len(rows))]
    low, high = _bounds(window, "range")
    unit = unit_of(window["unit"], "window") if "unit" in window else None
    path = output.only_path

    def frames(rows: Rows) -> list[tuple[int, int]]:
        keys = [order_key(None if (value := get_path(row, path)) is MISSING else value) for row in rows]
        found = []
        for row in rows:
            value = get_path(row, path)
            if unit is None and not values.is_number(value):
                raise fail(5429414, "Invalid range: Expected the sortBy field to be a number, but it was "
                                    f"{values.type_name(value)}")
            if unit is not None and not isinstance(value, datetime.datetime):
                raise fail(5429513, "Invalid range: Expected the sortBy field to be a Date, but it was "
                                    f"{values.type_name(value)}")
            start = 0 if low == UNBOUNDED else bisect_left(keys, order_key(_shifted(value, low, unit)))
            end = len(rows) if high == UNBOUNDED else bisect_right(keys, order_key(_shifted(value, high, unit)))
            found.append((start, end))
        return found
    return frames


def _shifted(value: Any, bound: Any, unit: str | None) -> Any:
    if bound == CURRENT:
        return value
    if unit is None:
        return combine(lambda a, b: a + b, value, bound)
    return add_units(value, unit, int(bound))


# -------------------------------------------------------------------- functions

def _accumulating(name: str, argument: Any, window: Mapping[str, Any] | None, output: Output) -> Compute:
    accumulator = compile_accumulator({name: argument}, output.context.variables, output.context.variables)
    frames = compile_frames(window, output)

    def compute(rows: Rows) -> list[Any]:
        adds = [accumulator.evaluate(row, output.context.scope(row)) for row in rows]
        results: list[Any] = []
        growing, done = accumulator.start(), 0              # of the frames that begin with the partition
        last: tuple[int, int] | None = None
        for start, end in frames(rows):
            if (start, end) == last:
                results.append(results[-1])
                continue
            state = growing if start == 0 else accumulator.start()
            for value in adds[done if start == 0 else start:end]:
                state.add(value)
            done, last = end if start == 0 else done, (start, end)
            results.append(state.result())
        return results
    return compute


def _ranking(name: str, argument: Any, output: Output) -> Compute:
    if argument != {}:
        raise fail(5371603, f"{name} must be specified with '{{}}' as the value")
    output.need_sort(name)
    key = compile_sort_key(output.sort_by or {})

    def compute(rows: Rows) -> list[Any]:
        ranks: list[Any] = []
        dense, last = 0, None
        for index, row in enumerate(rows):
            here = key(row)
            is_new = index == 0 or here != last
            last, dense = here, dense + is_new
            ranks.append(index + 1 if name == "$documentNumber" or (is_new and name == "$rank")
                         else dense if name == "$denseRank" else ranks[-1])
        return ranks
    return compute


def _shift(argument: Any, output: Output) -> Compute:
    if not isinstance(argument, Mapping) or not {"output", "by"} <= set(argument) <= {"output", "by", "default"}:
        raise FailedToParse("$shift requires 'output' and 'by', and may have 'default'")
    output.need_sort("$shift")
    evaluate, by = compile_evaluate(argument["output"], output.context.variables), whole(argument["by"])
    if by is None:
        raise FailedToParse("'$shift:by' field must be an integer")
    default = evaluated(compile_evaluate(argument.get("default")), {}, output.context)

    def compute(rows: Rows) -> list[Any]:
        found = [evaluated(evaluate, row, output.context) for row in rows]
        return [found[index + by] if 0 <= index + by < len(rows) else default for index in range(len(rows))]
    return compute


def _point(row: Document, path: tuple[str, ...], evaluate: Evaluate, output: Output, unit: str | None
           ) -> tuple[float, Any]:
    """Where a document stands, in the unit, and its value."""
    value = get_path(row, path)
    if isinstance(value, datetime.datetime) != (unit is not None):
        raise fail(5624901, "$derivative and $integral take a 'unit' just when the sortBy field is a Date")
    if isinstance(value, datetime.datetime):
        milliseconds = (value - datetime.datetime(1970, 1, 1)) / datetime.timedelta(milliseconds=1)
        return milliseconds / _UNIT_MS[str(unit)], evaluate(row, output.context.scope(row))
    if not values.is_number(value):
        raise fail(5624902, "the sortBy field must be a number or a Date")
    return float(values.number_of(value)), evaluate(row, output.context.scope(row))


def _slope(name: str, argument: Any, window: Mapping[str, Any] | None, output: Output) -> Compute:
    """$derivative: the rate between the ends of the frame. $integral: the area, by trapezoids."""
    if not isinstance(argument, Mapping) or "input" not in argument:
        raise FailedToParse(f"{name} expects an object with 'input'")
    unit = unit_of(argument["unit"], name) if "unit" in argument else None
    if unit is not None and unit not in _UNIT_MS:
        raise fail(5490704, "unit must be 'week' or smaller")
    if name == "$derivative" and window is None:
        raise fail(5490703, "$derivative requires explicit window bounds")
    evaluate, path, frames = compile_evaluate(argument["input"], output.context.variables), output.only_path, (
        compile_frames(window, output))

    def compute(rows: Rows) -> list[Any]:
        points = [_point(row, path, evaluate, output, unit) for row in rows]
        results: list[Any] = []
        for start, end in frames(rows):
            if name == "$derivative":
                (x, a), (y, b) = (points[start], points[end - 1]) if end > start else ((0.0, None), (0.0, None))
                usable = end - start > 1 and x != y and values.is_number(a) and values.is_number(b)
                results.append(combine(lambda p, q: p / q, combine(lambda p, q: p - q, b, a), y - x) if usable
                               else None)
            else:
                results.append(_area([point for point in points[start:end] if values.is_number(point[1])]))
        return results
    return compute


def _area(points: list[tuple[float, Any]]) -> Any:
    total: Any = None if not points else 0.0
    for (x, a), (y, b) in zip(points, points[1:], strict=False):
        total = combine(lambda p, q: p + q, total, combine(lambda p, q: p * q, combine(lambda p, q: p + q, a, b),
                                                           (y - x) / 2))
    return total


def _moving_average(argument: Any, output: Output) -> Compute:
    if not isinstance(argument, Mapping) or "input" not in argument or ("N" in argument) == ("alpha" in argument):
        raise FailedToParse("$expMovingAvg requires 'input' and either 'N' or 'alpha'")
    output.need_sort("$expMovingAvg")
    if "N" in argument:
        count = whole(argument["N"])
        if count is None or count < 1:
            raise FailedToParse("'N' field must be an integer greater than 0")
        weight = 2 / (count + 1)
    else:
        weight = float(values.number_of(argument["alpha"]))
        if not 0 < weight < 1:
            raise FailedToParse("'alpha' must be between 0 and 1 (exclusive)")
    evaluate = compile_evaluate(argument["input"], output.context.variables)

    def compute(rows: Rows) -> list[Any]:
        results: list[Any] = []
        average: Any = None
        for row in rows:
            value = evaluate(row, output.context.scope(row))
            if values.is_number(value):
                average = value if average is None else combine(
                    lambda a, b: a + b, combine(lambda a, b: a * b, value, weight),
                    combine(lambda a, b: a * b, average, 1 - weight))
            results.append(average)
        return results
    return compute


def _covariance(name: str, argument: Any, window: Mapping[str, Any] | None, output: Output) -> Compute:
    if not isinstance(argument, list | tuple) or len(argument) != 2:
        raise FailedToParse(f"{name} expects an array of two expressions")
    first, second = (compile_evaluate(item, output.context.variables) for item in argument)
    frames, is_sample = compile_frames(window, output), name == "$covarianceSamp"

    def compute(rows: Rows) -> list[Any]:
        pairs = [(first(row, scope), second(row, scope)) for row in rows for scope in (output.context.scope(row),)]
        results: list[Any] = []
        for start, end in frames(rows):
            usable = [(float(values.number_of(a)), float(values.number_of(b))) for a, b in pairs[start:end]
                      if values.is_number(a) and values.is_number(b)]
            divisor = len(usable) - is_sample
            if divisor < 1:
                results.append(None)
                continue
            mean_a = math.fsum(a for a, _ in usable) / len(usable)
            mean_b = math.fsum(b for _, b in usable) / len(usable)
            results.append(math.fsum((a - mean_a) * (b - mean_b) for a, b in usable) / divisor)
        return results
    return compute


def _carried(argument: Any, output: Output) -> Compute:
    """$locf: the last value that was neither null nor missing."""
    evaluate = compile_evaluate(argument, output.context.variables)

    def compute(rows: Rows) -> list[Any]:
        results: list[Any] = []
        last: Any = None
        for row in rows:
            value = evaluate(row, output.context.scope(row))
            last = last if is_null(value) else value
            results.append(last)
        return results
    return compute


def _linear(argument: Any, output: Output) -> Compute:
    """$linearFill: between the neighbours that are there, by the place in the order."""
    evaluate, path = compile_evaluate(argument, output.context.variables), output.only_path

    def place(row: Document) -> Any:
        value = get_path(row, path)
        if isinstance(value, datetime.datetime):
            return (value - datetime.datetime(1970, 1, 1)) / datetime.timedelta(milliseconds=1)
        if not values.is_number(value):
            raise fail(605001, "$linearFill needs a sortBy field of numbers or dates")
        return float(values.number_of(value))

    def compute(rows: Rows) -> list[Any]:
        found = [evaluated(evaluate, row, output.context) for row in rows]
        known = [index for index, value in enumerate(found) if value is not None]
        places = [place(row) for row in rows]
        for left, right in zip(known, known[1:], strict=False):
            for index in range(left + 1, right):
                share = (places[index] - places[left]) / (places[right] - places[left])
                step = combine(lambda a, b: a * b, combine(lambda a, b: a - b, found[right], found[left]), share)
                found[index] = combine(lambda a, b: a + b, found[left], step)
        return found
    return compute


WINDOW_FUNCTIONS: tuple[str, ...] = (
    "$rank", "$denseRank", "$documentNumber", "$shift", "$derivative", "$integral", "$expMovingAvg", "$covariancePop",
    "$covarianceSamp", "$linearFill", "$locf")
UNSUPPORTED_WINDOW_FUNCTIONS = ("$minMaxScaler",)


def compile_output(specification: Any, output: Output) -> Compute:
    if not isinstance(specification, Mapping):
        raise FailedToParse("$setWindowFields 'output' fields must be objects")
    window = specification.get("window")
    operators = [name for name in specification if name != "window"]
    if len(operators) != 1 or (window is not None and not isinstance(window, Mapping)):
        raise FailedToParse("a field of 'output' needs exactly one window function, and 'window' must be an object")
    name, = operators
    argument = specification[name]
    if name in ACCUMULATORS:
        return _accumulating(name, argument, window, output)
    if name in ("$derivative", "$integral"):
        return _slope(name, argument, window, output)
    if name in ("$covariancePop", "$covarianceSamp"):
        return _covariance(name, argument, window, output)
    if name in UNSUPPORTED_WINDOW_FUNCTIONS:
        raise CommandNotSupported(f"{name} is not supported")
    if name not in WINDOW_FUNCTIONS:
        raise FailedToParse(f"Unrecognized window function, {name}")
    if window is not None:
        raise FailedToParse(f"{name} does not accept a 'window' field")
    if name == "$shift":
        return _shift(argument, output)
    if name == "$expMovingAvg":
        return _moving_average(argument, output)
    if name == "$locf":
        return _carried(argument, output)
    return _linear(argument, output) if name == "$linearFill" else _ranking(name, argument, output)


def partitions(documents: Iterable[Document], by: Evaluate, context: Context) -> Iterator[Rows]:
    """In the order of their keys."""
    groups: dict[Any, Rows] = {}
    for document in documents:
        value = evaluated(by, document, context)
        if isinstance(value, list):
            raise fail(14, "An expression used to partition cannot evaluate to value of type array")
        groups.setdefault(order_key(value), []).append(document)
    for key in sorted(groups):
        yield groups[key]


@stage("$setWindowFields")
def set_window_fields_stage(argument: Any, context: Context) -> Stage:
    if not isinstance(argument, Mapping) or not isinstance(argument.get("output"), Mapping):
        raise FailedToParse("the $setWindowFields stage specification must be an object with an object 'output'")
    for key in argument:
        if key not in ("partitionBy", "sortBy", "output"):
            raise fail(40415, f"BSON field '$setWindowFields.{key}' is an unknown field.")
    by = compile_evaluate(argument.get("partitionBy"), context.variables)
    sort_by = argument.get("sortBy")
    key = compile_sort_key(sort_by) if sort_by else None
    output = Output(context, sort_by)
    fields = [(Route(tuple(path.split(".")), {}, True), compile_output(item, output))
              for path, item in argument["output"].items()]

    def run(documents: Iterable[Document]) -> Iterator[Document]:
        for rows in partitions(documents, by, context):
            ordered = sorted(rows, key=key) if key is not None else rows
            computed = [(route, compute(ordered)) for route, compute in fields]
            for index, document in enumerate(ordered):
                for route, found in computed:
                    document = route.change(document, lambda _old, value=found[index]: value)  # type: ignore[misc]
                yield document
    return run
