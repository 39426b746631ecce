"""Expressions: boolean, comparison, conditional, literal, variables."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.expression_base import (
    Compile,
    Evaluate,
    arguments_of,
    compile_named,
    fail,
    is_null,
    is_true,
    plain,
    special,
)


@special("$and")
def and_(argument: Any, compile_: Compile) -> Evaluate:
    parts = [compile_(item) for item in arguments_of("$and", argument, 0, None)]
    return lambda document, variables: all(is_true(part(document, variables)) for part in parts)


@special("$or")
def or_(argument: Any, compile_: Compile) -> Evaluate:
    parts = [compile_(item) for item in arguments_of("$or", argument, 0, None)]
    return lambda document, variables: any(is_true(part(document, variables)) for part in parts)


@plain("$not", 1)
def not_(value: Any) -> bool:
    return not is_true(value)


def compare(a: Any, b: Any) -> int:
    """-1, 0, 1 in the order of all values; missing comes before null."""
    left, right = values.order_key(a), values.order_key(b)
    return (left > right) - (left < right)


plain("$cmp", 2)(compare)


def _comparison(name: str, holds: Callable[[int], bool]) -> None:
    def function(a: Any, b: Any) -> bool:
        return holds(compare(a, b))
    plain(name, 2)(function)


_comparison("$eq", lambda order: order == 0)
_comparison("$ne", lambda order: order != 0)
_comparison("$lt", lambda order: order < 0)
_comparison("$lte", lambda order: order <= 0)
_comparison("$gt", lambda order: order > 0)
_comparison("$gte", lambda order: order >= 0)


@special("$cond")
def cond(argument: Any, compile_: Compile) -> Evaluate:
    if isinstance(argument, Mapping):
        parts = compile_named("$cond", argument, ("if", "then", "else"), (), compile_)
        test, then, otherwise = parts["if"], parts["then"], parts["else"]
    else:
        test, then, otherwise = map(compile_, arguments_of("$cond", argument, 3, 3))
    return lambda document, variables: (then if is_true(test(document, variables)) else otherwise)(document, variables)


@special("$ifNull")
def if_null(argument: Any, compile_: Compile) -> Evaluate:
    parts = [compile_(item) for item in arguments_of("$ifNull", argument, 2, None)]

    def evaluate(document: Any, variables: Any) -> Any:
        value: Any = None
        for part in parts:
            value = part(document, variables)
            if not is_null(value):
                break
        return value
    return evaluate


@special("$switch")
def switch(argument: Any, compile_: Compile) -> Evaluate:
    if not isinstance(argument, Mapping):
        raise fail(40060, "$switch requires an object as an argument")
    for key in argument:
        if key not in ("branches", "default"):
            raise fail(40067, f"$switch found an unknown argument: {key}")
    branches = argument.get("branches")
    if not isinstance(branches, list | tuple):
        raise fail(40061, "$switch expected an array for 'branches'")
    if not branches:
        raise fail(40068, "$switch requires at least one branch.")
    compiled = []
    for branch in branches:
        if not isinstance(branch, Mapping) or set(branch) != {"case", "then"}:
            raise fail(40062, "$switch requires each branch to be an object with a 'case' and a 'then' expression")
        compiled.append((compile_(branch["case"]), compile_(branch["then"])))
    default = compile_(argument["default"]) if "default" in argument else None

    def evaluate(document: Any, variables: Any) -> Any:
        for case, then in compiled:
            if is_true(case(document, variables)):
                return then(document, variables)
        if default is None:
            raise fail(40066, "$switch could not find a matching branch for an input, and no default was specified.")
        return default(document, variables)
    return evaluate


@special("$literal", "$const")
def literal(argument: Any, _compile: Compile) -> Evaluate:
    return lambda _document, _variables: argument


@special("$let")
def let(argument: Any, compile_: Compile) -> Evaluate:
    if not isinstance(argument, Mapping) or not isinstance(argument.get("vars"), Mapping) or "in" not in argument:
        raise fail(16874, "$let only supports an object with 'vars', an object, and 'in'")
    for key in argument:
        if key not in ("vars", "in"):
            raise fail(16875, f"Unrecognized parameter to $let: {key}")
    parts = {name: compile_(item) for name, item in argument["vars"].items()}
    for name in parts:
        check_variable(name)
    inner = compile_.within(*parts)(argument["in"])
    return lambda document, variables: inner(document, {
        **variables, **{name: part(document, variables) for name, part in parts.items()}})


def check_variable(name: str) -> None:
    """Users' variables begin with a small letter or a letter beyond ASCII."""
    if not name or not (name[0].islower() or ord(name[0]) > 127) or not all(
            letter.isalnum() or letter == "_" or ord(letter) > 127 for letter in name):
        raise fail(16867, f"'{name}' starts with an invalid character for a user variable name")
