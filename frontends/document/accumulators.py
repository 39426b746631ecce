"""Accumulators: what $group, $bucket and $setWindowFields gather from many documents, and $sum, $avg ... of an array.

    compile_accumulator({"$sum": "$a"}, names)      an Accumulator: `evaluate` gives a document's value,
                                                    `start()` a state with add(value) and result()

Each state holds as little as its nature allows: sums and extremes a number, $push all values.
"""
from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import CommandNotSupported
from phantomdb.frontends.document.expression_base import Evaluate, Variables, fail, is_null
from phantomdb.frontends.document.expressions_arrays import need_count, percentiles
from phantomdb.frontends.document.expressions_numbers import add_numbers, combine
from phantomdb.frontends.document.values import MISSING, Document, order_key


class State(Protocol):
    """What one group has gathered."""

    def add(self, value: Any) -> None: ...
    def result(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Accumulator:
    evaluate: Evaluate                   # the value a document adds
    start: Callable[[], State]


class Sum:
    def __init__(self) -> None:
        self.total: Any = 0

    def add(self, value: Any) -> None:
        if type(value) is int and type(self.total) is int:
            total = self.total + value
            self.total = total if -1 << 63 <= total < 1 << 63 else float(total)
        elif values.is_number(value):
            self.total = add_numbers(self.total, value)

    def result(self) -> Any:
        return self.total


class Average(Sum):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def add(self, value: Any) -> None:
        if values.is_number(value):
            self.count += 1
            super().add(value)

    def result(self) -> Any:
        if self.count == 0:
            return None
        return combine(lambda a, b: a / b, self.total, self.count)


class Extreme:
    """Null and missing do not count."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.key: Any = None
        self.value: Any = None

    def add(self, value: Any) -> None:
        if is_null(value):
            return
        key = order_key(value)
        if self.key is None or (key < self.key if self.sign < 0 else key > self.key):
            self.key, self.value = key, value

    def result(self) -> Any:
        return self.value


class First:
    def __init__(self) -> None:
        self.value: Any = MISSING
        self.is_set = False

    def add(self, value: Any) -> None:
        if not self.is_set:
            self.value, self.is_set = value, True

    def result(self) -> Any:
        return None if self.value is MISSING else self.value


class Last:
    def __init__(self) -> None:
        self.value: Any = MISSING

    def add(self, value: Any) -> None:
        self.value = value

    def result(self) -> Any:
        return None if self.value is MISSING else self.value


class Push:
    def __init__(self) -> None:
        self.items: list[Any] = []

    def add(self, value: Any) -> None:
        if value is not MISSING:
            self.items.append(value)

    def result(self) -> Any:
        return list(self.items)


class AddToSet:
    def __init__(self) -> None:
        self.items: dict[Any, Any] = {}

    def add(self, value: Any) -> None:
        if value is not MISSING:
            self.items.setdefault(order_key(value), value)

    def result(self) -> Any:
        return list(self.items.values())


class Count:
    def __init__(self) -> None:
        self.count = 0

    def add(self, value: Any) -> None:
        self.count += 1

    def result(self) -> Any:
        return self.count


class MergeObjects:
    def __init__(self) -> None:
        self.merged: Document = {}

    def add(self, value: Any) -> None:
        if is_null(value):
            return
        if not isinstance(value, dict):
            raise fail(40400, f"$mergeObjects requires object inputs, but input is of type {values.type_name(value)}")
        self.merged.update(value)

    def result(self) -> Any:
        return dict(self.merged)


class Deviation:
    """Welford's way: one pass, no loss by large means."""

    def __init__(self, is_sample: bool) -> None:
        self.is_sample, self.count, self.mean, self.squares = is_sample, 0, 0.0, 0.0

    def add(self, value: Any) -> None:
        if not values.is_number(value):
            return
        number = float(values.number_of(value))
        self.count += 1
        delta = number - self.mean
        self.mean += delta / self.count
        self.squares += delta * (number - self.mean)

    def result(self) -> Any:
        below = self.count - self.is_sample
        return None if below <= 0 else math.sqrt(self.squares / below)


class Some:
    """$firstN, $lastN, $minN, $maxN."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count, self.items = name, count, list[Any]()
        self.order = itertools.count()

    def add(self, value: Any) -> None:
        if self.name in ("$firstN", "$lastN"):
            value = None if value is MISSING else value
            if self.name == "$lastN" or len(self.items) < self.count:
                self.items.append(value)
            if len(self.items) > self.count:
                del self.items[0]
        elif not is_null(value):
            self.items.append(value)
            if len(self.items) > 2 * self.count + 16:
                self.items = self.best()

    def best(self) -> list[Any]:
        choose = heapq.nsmallest if self.name == "$minN" else heapq.nlargest
        return choose(self.count, self.items, key=order_key)

    def result(self) -> Any:
        return self.best() if self.name in ("$minN", "$maxN") else list(self.items)


class Sorted:
    """$top, $bottom and their N: values as (sort key, output)."""

    def __init__(self, is_top: bool, count: int | None) -> None:
        self.is_top, self.limit, self.items = is_top, count, list[tuple[Any, Any]]()

    def add(self, value: Any) -> None:
        self.items.append(value)
        if len(self.items) > 2 * (self.limit or 1) + 16:
            self.items = self.best()

    def best(self) -> list[tuple[Any, Any]]:
        ordered = sorted(self.items, key=lambda item: item[0])
        count = self.limit or 1
        return ordered[:count] if self.is_top else ordered[-count:]

    def result(self) -> Any:
        outputs = [None if output is MISSING else output for _, output in self.best()]
        if self.limit is None:
            return outputs[0] if outputs else None
        return outputs


class Percentile:
    def __init__(self, wanted: list[float], is_median: bool) -> None:
        self.wanted, self.is_median, self.items = wanted, is_median, list[Any]()

    def add(self, value: Any) -> None:
        if values.is_number(value):
            self.items.append(value)

    def result(self) -> Any:
        found = percentiles(self.items, self.wanted)
        return found[0] if self.is_median else found


_SIMPLE: dict[str, Callable[[], State]] = {
    "$sum": Sum, "$avg": Average, "$min": lambda: Extreme(-1), "$max": lambda: Extreme(1), "$first": First,
    "$last": Last, "$push": Push, "$addToSet": AddToSet, "$mergeObjects": MergeObjects,
    "$stdDevPop": lambda: Deviation(False), "$stdDevSamp": lambda: Deviation(True)}


def start_state(name: str) -> State:
    """Of an accumulator that takes no parameters."""
    return _SIMPLE[name]()


_COUNTED = ("$firstN", "$lastN", "$minN", "$maxN")
_SORTED = ("$top", "$topN", "$bottom", "$bottomN")
ACCUMULATORS: tuple[str, ...] = (*_SIMPLE, "$count", *_COUNTED, *_SORTED, "$median", "$percentile")
UNSUPPORTED_ACCUMULATORS = ("$accumulator",)


def compile_accumulator(specification: Any, names: Iterable[str] = (), constants: Variables | None = None
                        ) -> Accumulator:
    """`constants`: variables an `n` may be computed from."""
    from phantomdb.frontends.document.expressions import compile_evaluate
    names = tuple(names)
    if not isinstance(specification, Mapping) or len(specification) != 1:
        raise fail(40234, "The field must be an accumulator object with exactly one accumulator operator")
    (name, argument), = specification.items()
    if name in _SIMPLE:
        if isinstance(argument, list) and name not in ("$push", "$addToSet", "$first", "$last", "$min", "$max"):
            if len(argument) != 1:
                raise fail(40237, f"The {name} accumulator is a unary operator")
            argument = argument[0]
        return Accumulator(compile_evaluate(argument, names), _SIMPLE[name])
    if name == "$count":
        if argument != {}:
            raise fail(9, "$count takes no arguments, i.e. $count:{}")
        return Accumulator(lambda _document, _variables: None, Count)
    if name in UNSUPPORTED_ACCUMULATORS:
        raise CommandNotSupported(f"{name} is not supported")
    if name not in ACCUMULATORS:
        raise fail(15952, f"unknown group operator '{name}'")
    if not isinstance(argument, Mapping):
        raise fail(5787900, f"{name} requires an object as its argument")
    given = dict(constants or {})
    if name in _COUNTED:
        _check_names(name, argument, ("input", "n"), ())
        count = need_count(compile_evaluate(argument["n"], names)({}, {"ROOT": {}, **given}), name)
        return Accumulator(compile_evaluate(argument["input"], names), lambda: Some(name, count))
    if name in _SORTED:
        return _compile_sorted(name, argument, names, given)
    _check_names(name, argument, ("input", "method") if name == "$median" else ("input", "method", "p"), ())
    wanted = percentile_shares(name, argument)
    return Accumulator(compile_evaluate(argument["input"], names), lambda: Percentile(wanted, name == "$median"))


def percentile_shares(name: str, argument: Mapping[str, Any]) -> list[float]:
    if argument.get("method") != "approximate":
        raise fail(2, f"{name}: 'method' must be 'approximate'")
    wanted = [0.5] if name == "$median" else argument["p"]
    if not isinstance(wanted, list) or not wanted or not all(
            isinstance(share, int | float) and 0 <= share <= 1 for share in wanted):
        raise fail(7750301, f"{name}: 'p' must be a non-empty array of numbers from 0 to 1")
    return wanted


def _check_names(name: str, argument: Mapping[str, Any], required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    for key in argument:
        if key not in required and key not in optional:
            raise fail(5787901, f"{name} found an unknown argument: {key}")
    for key in required:
        if key not in argument:
            raise fail(5787907, f"{name} requires an '{key}' argument")


def _compile_sorted(name: str, argument: Mapping[str, Any], names: tuple[str, ...], given: Variables) -> Accumulator:
    from phantomdb.frontends.document.expressions import compile_evaluate
    from phantomdb.frontends.document.sorting import compile_sort_key
    is_many = name.endswith("N")
    _check_names(name, argument, ("sortBy", "output", "n") if is_many else ("sortBy", "output"), ())
    key = compile_sort_key(argument["sortBy"])
    output = compile_evaluate(argument["output"], names)
    count = need_count(compile_evaluate(argument["n"], names)({}, {"ROOT": {}, **given}), name) if is_many else None
    return Accumulator(lambda document, variables: (key(document), output(document, variables)),
                       lambda: Sorted(name.startswith("$top"), count))
