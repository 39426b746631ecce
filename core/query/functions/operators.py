"""Operators of all types: logic, comparison, and what tests for NULL.

Comparison takes any two values of one type; how they compare is core/query/ordering.py. The row executor has shorter
ways for "and", "or", "in" and the like, which evaluate no more than they must; here they are ordinary functions.
Arithmetic is in numbers.py and moments.py.
"""
from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from phantomdb.core.query.functions.registry import FunctionKind, Like, Overload, register
from phantomdb.core.query.ordering import is_plain, sort_key
from phantomdb.core.values import BOOL, Kind, Type

_COMPARISONS = {"=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
                ">=": operator.ge}
_SUMMARIES = {"=": "equal", "<>": "not equal", "<": "less", "<=": "less or equal", ">": "greater",
              ">=": "greater or equal"}


def _compare(compare: Callable[[Any, Any], bool]) -> Callable[[Sequence[Type]], Callable[[Any, Any], bool]]:
    def for_types(types: Sequence[Type]) -> Callable[[Any, Any], bool]:
        if is_plain(types[0]) and is_plain(types[1]):
            return compare
        key = sort_key(types[0])
        return lambda left, right: compare(key(left), key(right))
    return for_types


def _is_known_to_duckdb(type_: Type) -> bool:
    """DuckDB orders values of the type as we do. Documents are texts there."""
    while type_.element is not None:
        type_ = type_.element
        if type_.is_padded:
            return False
    return type_.kind not in (Kind.JSON, Kind.ANY)


_LIST_ORDER = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def _in_duckdb(symbol: str) -> Callable[[Sequence[str], Sequence[Type], Type], str | None]:
    def form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
        if not all(_is_known_to_duckdb(type_) for type_ in types):
            return None
        left, right = (f"rtrim({argument}, ' ')" if type_.is_padded else argument
                       for argument, type_ in zip(arguments, types, strict=True))
        if types[0].element is not None and symbol in _LIST_ORDER:
            # DuckDB makes BETWEEN of two bounds of a list, which it then refuses
            return (f"(CASE WHEN {left} {symbol} {right} THEN TRUE "
                    f"WHEN {left} {_LIST_ORDER[symbol]} {right} THEN FALSE END)")
        return f"({left} {symbol} {right})"
    return form


def _scalar(name: str, arguments: tuple[Type | Like, ...], python: Callable[..., Any], duckdb: Any = None, *,
            is_strict: bool = True, is_variadic: bool = False, takes_types: bool = False, summary: str = "") -> None:
    register(Overload(name, FunctionKind.SCALAR, arguments, BOOL, python, duckdb, is_strict=is_strict,
                      is_variadic=is_variadic, takes_types=takes_types, summary=summary))


for _symbol, _function in _COMPARISONS.items():
    register(Overload(_symbol, FunctionKind.SCALAR, (Like.ELEMENT, Like.ELEMENT), BOOL, _compare(_function),
                      _in_duckdb(_symbol), is_made_for_types=True, summary=_SUMMARIES[_symbol]))


# ---- three values of truth

def _and(*values: bool | None) -> bool | None:
    return False if False in values else None if None in values else True


def _or(*values: bool | None) -> bool | None:
    return True if True in values else None if None in values else False


_scalar("and", (BOOL, BOOL), _and, lambda a, _t, _r: f"({' AND '.join(a)})", is_strict=False, is_variadic=True,
        summary="all are true")
_scalar("or", (BOOL, BOOL), _or, lambda a, _t, _r: f"({' OR '.join(a)})", is_strict=False, is_variadic=True,
        summary="one is true")
_scalar("not", (BOOL,), operator.not_, "(NOT {0})", summary="the opposite")
for _name, _test, _form, _summary in (
        ("is null", lambda value: value is None, "({0} IS NULL)", "there is no value"),
        ("is not null", lambda value: value is not None, "({0} IS NOT NULL)", "there is a value")):
    _scalar(_name, (Like.ANY,), _test, _form, is_strict=False, summary=_summary)
for _name, _test, _form in (
        ("is true", lambda value: value is True, "({0} IS NOT DISTINCT FROM TRUE)"),
        ("is not true", lambda value: value is not True, "({0} IS DISTINCT FROM TRUE)"),
        ("is false", lambda value: value is False, "({0} IS NOT DISTINCT FROM FALSE)"),
        ("is not false", lambda value: value is not False, "({0} IS DISTINCT FROM FALSE)"),
        ("is unknown", lambda value: value is None, "({0} IS NULL)"),
        ("is not unknown", lambda value: value is not None, "({0} IS NOT NULL)")):
    _scalar(_name, (BOOL,), _test, _form, is_strict=False, summary="a test that is never NULL")


def _differ(types: Sequence[Type], left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is not right
    key = sort_key(types[0])
    return bool(key(left) != key(right))


def _agree(types: Sequence[Type], left: Any, right: Any) -> bool:
    return not _differ(types, left, right)


_scalar("is distinct from", (Like.ELEMENT, Like.ELEMENT), _differ, _in_duckdb("IS DISTINCT FROM"), is_strict=False,
        takes_types=True, summary="different, NULL as a value like others")
_scalar("is not distinct from", (Like.ELEMENT, Like.ELEMENT), _agree, _in_duckdb("IS NOT DISTINCT FROM"),
        is_strict=False, takes_types=True, summary="the same, NULL as a value like others")


# ---- in, between

def _in(types: Sequence[Type], value: Any, *others: Any) -> bool | None:
    if value is None:
        return None if others else False
    key = sort_key(types[0])
    if any(other is not None and key(other) == key(value) for other in others):
        return True
    return None if None in others else False


def _in_form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
    if len(arguments) == 1:
        return "FALSE"
    if not all(_is_known_to_duckdb(type_) for type_ in types):
        return None
    if any(type_.is_padded for type_ in types):
        arguments = [f"rtrim({argument}, ' ')" for argument in arguments]
    return f"({arguments[0]} IN ({', '.join(arguments[1:])}))"


def _between(types: Sequence[Type], value: Any, low: Any, high: Any) -> bool | None:
    key = sort_key(types[0])
    above = None if value is None or low is None else key(value) >= key(low)
    below = None if value is None or high is None else key(value) <= key(high)
    return _and(above, below)


def _between_symmetric(types: Sequence[Type], value: Any, low: Any, high: Any) -> bool | None:
    return _or(_between(types, value, low, high), _between(types, value, high, low))


def _between_form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
    if not all(_is_known_to_duckdb(type_) for type_ in types):
        return None
    if any(type_.is_padded for type_ in types):
        arguments = [f"rtrim({argument}, ' ')" for argument in arguments]
    return f"({arguments[0]} BETWEEN {arguments[1]} AND {arguments[2]})"


def _symmetric_form(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str | None:
    if (there := _between_form(arguments, types, result)) is None:
        return None
    value, low, high = arguments
    return f"({there} OR {_between_form((value, high, low), types, result)})"


_scalar("in", (Like.ELEMENT, Like.ELEMENT), _in, _in_form, is_strict=False, is_variadic=True, takes_types=True,
        summary="the first equals one of the others")
_scalar("between", (Like.ELEMENT, Like.ELEMENT, Like.ELEMENT), _between, _between_form, is_strict=False,
        takes_types=True, summary="not before the second, not after the third")
_scalar("between symmetric", (Like.ELEMENT, Like.ELEMENT, Like.ELEMENT), _between_symmetric, _symmetric_form,
        is_strict=False, takes_types=True, summary="between the two, whichever is the lower")
