"""Calls a function as a statement would: overload resolved by the types, arguments converted, value as text."""
from __future__ import annotations

from typing import Any

from phantomdb.core.query import casts
from phantomdb.core.query.errors import QueryError
from phantomdb.core.query.functions import registry
from phantomdb.core.values import INT, NULL, Type


def call(name: str, *arguments: Any) -> Any:
    """Arguments are values, typed by their Python class (a small int is an integer), or pairs (value, type)."""
    pairs = [argument if isinstance(argument, tuple) and len(argument) == 2 and isinstance(argument[1], Type)
             else (argument, type_of(argument)) for argument in arguments]
    resolved = registry.resolve(name, [type_ for _, type_ in pairs])
    values = [casts.cast(value, given, wanted)
              for (value, given), wanted in zip(pairs, resolved.arguments, strict=True)]
    if resolved.overload.is_strict and None in values:
        return None
    return resolved.overload.python(*values)


def type_of(value: Any) -> Type:
    if value is None:
        return NULL
    is_small = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    return INT if is_small else casts.type_of(value)


def state_of(name: str, *arguments: Any) -> str:
    """The SQLSTATE it raises."""
    try:
        call(name, *arguments)
    except QueryError as error:
        return error.sqlstate
    return "no error"
