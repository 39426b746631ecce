"""Filters in plain Python, written from MongoDB's documentation: what the matcher in C is held against."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from phantomdb.frontends.document.filters import has_operators, is_regex
from phantomdb.frontends.document.values import MISSING, is_number, number_of, order_key, type_name

Test = Callable[[Any], bool]


def reached(value: Any, steps: list[str]) -> Iterator[tuple[Any, bool]]:
    """What a path leads to, and whether it got there by a position in an array (such a value is not taken apart)."""
    if not steps:
        yield value, False
    elif isinstance(value, dict):
        if steps[0] not in value:
            yield MISSING, False
        elif isinstance(value[steps[0]], list) and len(steps) > 1:
            yield from in_array(value[steps[0]], steps[1:])
        elif isinstance(value[steps[0]], dict) or len(steps) == 1:
            yield from reached(value[steps[0]], steps[1:])
        else:
            yield MISSING, False


def in_array(items: list[Any], steps: list[str]) -> Iterator[tuple[Any, bool]]:
    for position, item in enumerate(items):
        if isinstance(item, dict):
            yield from reached(item, steps)
        if steps[0] == str(position):
            if len(steps) == 1:
                yield item, True
            elif isinstance(item, dict):
                yield from reached(item, steps[1:])
            elif isinstance(item, list):
                yield from in_array(item, steps[1:])


def anywhere(document: Any, path: str, test: Test, takes_arrays_apart: bool = True) -> bool:
    """Of an array at the end of a path its elements are tested, and itself."""
    if path == "":
        return test(document)
    for value, is_by_position in reached(document, path.split(".")):
        if takes_arrays_apart and isinstance(value, list) and not is_by_position and any(map(test, value)):
            return True
        if test(value):
            return True
    return False


def is_nan(value: Any) -> bool:
    return is_number(value) and number_of(value) != number_of(value)


def compare(operator: str, operand: Any) -> Test:
    def test(value: Any) -> bool:
        value = None if value is MISSING else value
        left, right = order_key(value), order_key(operand)
        if operator == "$eq":
            return left == right
        if left[0] != right[0] and type_name(operand) not in ("minKey", "maxKey"):
            return False
        if is_nan(value) != is_nan(operand) and left[0] == right[0]:
            return False
        return {"$lt": left < right, "$lte": left <= right, "$gt": left > right, "$gte": left >= right}[operator]
    return test


def matches(document: Any, filter_: dict[str, Any]) -> bool:
    for name, value in filter_.items():
        if name == "$and":
            found = all(matches(document, item) for item in value)
        elif name == "$or":
            found = any(matches(document, item) for item in value)
        elif name == "$nor":
            found = not any(matches(document, item) for item in value)
        elif has_operators(value):
            found = all(holds(document, name, operator, operand) for operator, operand in value.items())
        else:
            found = holds(document, name, "$regex" if is_regex(value) else "$eq", value)
        if not found:
            return False
    return True


def holds(document: Any, path: str, operator: str, operand: Any) -> bool:
    match operator:
        case "$eq" | "$lt" | "$lte" | "$gt" | "$gte":
            return anywhere(document, path, compare(operator, operand))
        case "$ne":
            return not holds(document, path, "$eq", operand)
        case "$in":
            return any(holds(document, path, "$regex" if is_regex(item) else "$eq", item) for item in operand)
        case "$nin":
            return not holds(document, path, "$in", operand)
        case "$exists":
            return anywhere(document, path, lambda value: value is not MISSING) == bool(operand)
        case "$type":
            return anywhere(document, path, lambda value: type_name(value) == operand)
        case "$size":
            return anywhere(document, path, lambda value: isinstance(value, list) and len(value) == operand, False)
        case "$all":
            return bool(operand) and all(holds(document, path, "$eq", item) for item in operand)
        case "$not":
            return not all(holds(document, path, inner, value) for inner, value in operand.items())
        case "$mod":
            return anywhere(document, path, lambda value: divides(value, *operand))
        case "$regex":
            return anywhere(document, path, lambda value: (
                re.search(operand.pattern, value) is not None if isinstance(value, str) and type(value) is str
                else is_regex(value) and order_key(value) == order_key(operand)))
        case "$elemMatch":
            return anywhere(document, path, lambda value: isinstance(value, list) and any(
                element_matches(item, operand) for item in value), False)
    raise NotImplementedError(operator)


def element_matches(item: Any, operand: dict[str, Any]) -> bool:
    if has_operators(operand) and next(iter(operand)) not in ("$and", "$or", "$nor"):
        return all(holds(item, "", operator, value) for operator, value in operand.items())
    if isinstance(item, list):
        item = {str(position): value for position, value in enumerate(item)}
    return isinstance(item, dict) and matches(item, operand)


def divides(value: Any, divisor: int, remainder: int) -> bool:
    if not is_number(value) or is_nan(value):
        return False
    number = number_of(value)
    if not -2**63 <= number < 2**63:
        return False
    whole = int(number)
    return (abs(whole) % abs(divisor)) * (-1 if whole < 0 else 1) == remainder
