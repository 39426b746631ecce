"""Expressions: arrays and sets. A set is an array in which order and repetition do not count."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.expression_base import (
    Compile,
    Evaluate,
    compile_named,
    fail,
    is_null,
    is_true,
    named,
    need_list,
    need_whole,
    nullable,
    null_if_missing,
    plain,
    special,
)
from phantomdb.frontends.document.expressions_logic import check_variable
from phantomdb.frontends.document.values import MISSING, order_key


@nullable("$arrayElemAt", 2)
def array_elem_at(items: Any, index: Any) -> Any:
    array, position = need_list(items, "$arrayElemAt", 28689), need_whole(index, "$arrayElemAt", 28690)
    return array[position] if -len(array) <= position < len(array) else MISSING


@nullable("$first", 1)
def first(items: Any) -> Any:
    array = need_list(items, "$first", 28689)
    return array[0] if array else MISSING


@nullable("$last", 1)
def last(items: Any) -> Any:
    array = need_list(items, "$last", 28689)
    return array[-1] if array else MISSING


def need_count(value: Any, name: str) -> int:
    """The n of $firstN and its kin."""
    count = need_whole(value, name, 5787902)
    if count < 1:
        raise fail(5787908, f"{name}: 'n' must be greater than 0, found {count}")
    return count


def _some(name: str, take: Callable[[list[Any], int], list[Any]]) -> None:
    @named(name, "n", "input")
    def function(arguments: dict[str, Any]) -> list[Any]:
        count = need_count(arguments["n"], name)
        return take(need_list(arguments["input"], name, 5788200), count)


def _present(items: list[Any]) -> list[Any]:
    return [item for item in items if not is_null(item)]


_some("$firstN", lambda items, count: items[:count])
_some("$lastN", lambda items, count: items[-count:])
_some("$minN", lambda items, count: sorted(_present(items), key=order_key)[:count])
_some("$maxN", lambda items, count: sorted(_present(items), key=order_key, reverse=True)[:count])


@nullable("$concatArrays", 0, None)
def concat_arrays(*arrays: Any) -> list[Any]:
    return [item for array in arrays for item in need_list(array, "$concatArrays", 28664)]


@plain("$isArray", 1)
def is_array(value: Any) -> bool:
    return isinstance(value, list | tuple)


@plain("$size", 1)
def size(value: Any) -> int:
    return len(need_list(value, "The argument to $size", 17124))


@plain("$in", 2)
def in_(value: Any, array: Any) -> bool:
    wanted = order_key(value)
    return any(order_key(item) == wanted for item in need_list(array, "$in", 40081))


@plain("$indexOfArray", 2, 4)
def index_of_array(array: Any, value: Any, start: Any = 0, end: Any = MISSING) -> Any:
    if is_null(array):
        return None
    items = need_list(array, "$indexOfArray", 40090)
    low = need_whole(start, "$indexOfArray", 40096)
    high = len(items) if end is MISSING else need_whole(end, "$indexOfArray", 40096)
    if low < 0 or high < 0:
        raise fail(40097, "$indexOfArray requires non-negative positions")
    wanted = order_key(value)
    return next((index for index in range(low, min(high, len(items))) if order_key(items[index]) == wanted), -1)


@plain("$range", 2, 3)
def range_(start: Any, end: Any, step: Any = 1) -> list[int]:
    numbers = [need_whole(value, "$range", 34443) for value in (start, end, step)]
    if numbers[2] == 0:
        raise fail(34449, "$range requires a non-zero step value")
    return list(range(*numbers))


@nullable("$reverseArray", 1)
def reverse_array(value: Any) -> list[Any]:
    return need_list(value, "The argument to $reverseArray", 34435)[::-1]


@plain("$slice", 2, 3)
def slice_(array: Any, a: Any, b: Any = MISSING) -> Any:
    if is_null(array) or is_null(a) or b is None:
        return None
    items = need_list(array, "$slice", 28724)
    start = need_whole(a, "$slice", 28725)
    if b is MISSING:
        return items[:start] if start >= 0 else items[start:]
    count = need_whole(b, "$slice", 28727)
    if count <= 0:
        raise fail(28729, f"Third argument to $slice must be positive: {count}")
    start = max(len(items) + start, 0) if start < 0 else start
    return items[start:start + count]


@special("$zip")
def zip_(argument: Any, compile_: Compile) -> Evaluate:
    if not isinstance(argument, Mapping):
        raise fail(34460, "$zip only supports an object as an argument")
    longest = argument.get("useLongestLength", False)
    if not isinstance(longest, bool):
        raise fail(34463, "useLongestLength must be a bool")
    parts = compile_named("$zip", argument, ("inputs",), ("useLongestLength", "defaults"), compile_)
    if "defaults" in argument and not longest:
        raise fail(34466, "cannot specify defaults unless useLongestLength is true")

    def evaluate(document: Any, variables: Any) -> Any:
        inputs = need_list(parts["inputs"](document, variables), "$zip", 34461)
        if any(map(is_null, inputs)):
            return None
        arrays = [need_list(item, "$zip", 34468) for item in inputs]
        defaults: Any = parts["defaults"](document, variables) if "defaults" in parts else [None] * len(arrays)
        if len(defaults) != len(arrays):
            raise fail(34467, "defaults and inputs must have the same length")
        length = (max if longest else min)(map(len, arrays), default=0)
        return [[array[index] if index < len(array) else default
                 for array, default in zip(arrays, defaults, strict=True)] for index in range(length)]
    return evaluate


@special("$map")
def map_(argument: Any, compile_: Compile) -> Evaluate:
    name, source = _loop("$map", argument, ("input", "in"), ("as",), compile_)
    inner = compile_.within(name)(argument["in"])

    def evaluate(document: Any, variables: Any) -> Any:
        items = source(document, variables)
        if is_null(items):
            return None
        return [null_if_missing(inner(document, {**variables, name: item}))
                for item in need_list(items, "input to $map", 16883)]
    return evaluate


@special("$filter")
def filter_(argument: Any, compile_: Compile) -> Evaluate:
    name, source = _loop("$filter", argument, ("input", "cond"), ("as", "limit"), compile_)
    condition = compile_.within(name)(argument["cond"])
    limit = compile_(argument.get("limit"))

    def evaluate(document: Any, variables: Any) -> Any:
        items = source(document, variables)
        if is_null(items):
            return None
        most = limit(document, variables)
        if not is_null(most):
            most = need_whole(most, "$filter", 327391)
            if most < 1:
                raise fail(327392, "$filter: limit must be greater than 0")
        found = []
        for item in need_list(items, "input to $filter", 28651):
            if is_true(condition(document, {**variables, name: item})):
                found.append(item)
                if len(found) == most:
                    break
        return found
    return evaluate


def _loop(operator: str, argument: Any, required: tuple[str, ...], optional: tuple[str, ...], compile_: Compile
          ) -> tuple[str, Evaluate]:
    """The variable, and the array."""
    if not isinstance(argument, Mapping):
        raise fail(16878, f"{operator} only supports an object as its argument")
    for key in argument:
        if key not in required and key not in optional:
            raise fail(16879, f"Unrecognized parameter to {operator}: {key}")
    for key in required:
        if key not in argument:
            raise fail(16880, f"Missing '{key}' parameter to {operator}")
    name = argument.get("as", "this")
    check_variable(name)
    return name, compile_(argument["input"])


@special("$reduce")
def reduce(argument: Any, compile_: Compile) -> Evaluate:
    inner_compile = compile_.within("this", "value")
    if not isinstance(argument, Mapping) or set(argument) != {"input", "initialValue", "in"}:
        raise fail(40075, "$reduce requires an object with 'input', 'initialValue' and 'in'")
    source, start = compile_(argument["input"]), compile_(argument["initialValue"])
    inner = inner_compile(argument["in"])

    def evaluate(document: Any, variables: Any) -> Any:
        items = source(document, variables)
        if is_null(items):
            return None
        value = start(document, variables)
        for item in need_list(items, "input to $reduce", 40080):
            value = inner(document, {**variables, "this": item, "value": value})
        return value
    return evaluate


@special("$sortArray")
def sort_array(argument: Any, compile_: Compile) -> Evaluate:
    from phantomdb.frontends.document.sorting import compile_sort, direction
    if not isinstance(argument, Mapping) or set(argument) != {"input", "sortBy"}:
        raise fail(2942500, "$sortArray requires an object with 'input' and 'sortBy'")
    source, by = compile_(argument["input"]), argument["sortBy"]
    if isinstance(by, Mapping):
        sort = compile_sort(by)
    else:
        is_down = direction(by) < 0
        sort = lambda items: sorted(items, key=order_key, reverse=is_down)

    def evaluate(document: Any, variables: Any) -> Any:
        items = source(document, variables)
        return None if is_null(items) else sort(need_list(items, "The input argument to $sortArray", 2942504))
    return evaluate


# -------------------------------------------------------------------- sets

def distinct(items: Iterable[Any]) -> dict[Any, Any]:
    """By key, the first of each value."""
    found: dict[Any, Any] = {}
    for item in items:
        found.setdefault(order_key(item), item)
    return found


def _sorted(found: dict[Any, Any]) -> list[Any]:
    return [found[key] for key in sorted(found)]


@nullable("$setUnion", 0, None)
def set_union(*arrays: Any) -> list[Any]:
    return _sorted(distinct(item for array in arrays for item in need_list(array, "$setUnion", 17043)))


@nullable("$setIntersection", 0, None)
def set_intersection(*arrays: Any) -> list[Any]:
    if not arrays:
        return []
    found = distinct(need_list(arrays[0], "$setIntersection", 17047))
    for array in arrays[1:]:
        others = distinct(need_list(array, "$setIntersection", 17047))
        found = {key: item for key, item in found.items() if key in others}
    return _sorted(found)


@nullable("$setDifference", 2)
def set_difference(a: Any, b: Any) -> list[Any]:
    others = distinct(need_list(b, "$setDifference", 17049))
    return [item for key, item in distinct(need_list(a, "$setDifference", 17048)).items() if key not in others]


@plain("$setEquals", 2, None)
def set_equals(*arrays: Any) -> bool:
    sets = [set(distinct(need_list(array, "All operands of $setEquals", 17044))) for array in arrays]
    return all(other == sets[0] for other in sets[1:])


@plain("$setIsSubset", 2)
def set_is_subset(a: Any, b: Any) -> bool:
    small = distinct(need_list(a, "both operands of $setIsSubset", 17046))
    return set(small) <= set(distinct(need_list(b, "both operands of $setIsSubset", 17042)))


@plain("$allElementsTrue", 1)
def all_elements_true(value: Any) -> bool:
    return all(map(is_true, need_list(value, "$allElementsTrue's argument", 17040)))


@plain("$anyElementTrue", 1)
def any_element_true(value: Any) -> bool:
    return any(map(is_true, need_list(value, "$anyElementTrue's argument", 17041)))


# -------------------------------------------------------------------- numbers of an array

def percentiles(numbers: list[Any], wanted: list[float]) -> list[float | None]:
    """The value at or below which the share lies: the discrete percentile, as MongoDB's approximation has it for few
    values."""
    floats = sorted(float(values.number_of(number)) for number in numbers if values.is_number(number))
    if not floats:
        return [None] * len(wanted)
    return [floats[max(math.ceil(share * len(floats)) - 1, 0)] for share in wanted]
