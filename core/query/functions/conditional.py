"""Functions that choose among their arguments: coalesce, nullif, greatest, least, and counts of NULLs."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phantomdb.core.query.functions.registry import FunctionKind, Like, Overload, register
from phantomdb.core.query.ordering import sort_key
from phantomdb.core.values import INT, Kind, Type


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _nullif(types: Sequence[Type], value: Any, other: Any) -> Any:
    if value is None or other is None:
        return value
    key = sort_key(types[0])
    return None if key(value) == key(other) else value


def _greatest(types: Sequence[Type], *values: Any) -> Any:
    there = [value for value in values if value is not None]
    return max(there, key=sort_key(types[0])) if there else None


def _least(types: Sequence[Type], *values: Any) -> Any:
    there = [value for value in values if value is not None]
    return min(there, key=sort_key(types[0])) if there else None


def _is_ordered_alike(types: Sequence[Type]) -> bool:
    return all(type_.kind not in (Kind.JSON, Kind.ANY, Kind.ARRAY, Kind.INTERVAL) and not type_.is_padded
               for type_ in types)


def _call(name: str) -> Any:
    def form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
        return f"{name}({', '.join(arguments)})" if _is_ordered_alike(types) else None
    return form


def _coalesce_form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
    return f"coalesce({', '.join(arguments)})"


def _count_form(test: str) -> Any:
    def form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
        return "(" + " + ".join(f"CAST(({argument}) {test} AS INTEGER)" for argument in arguments) + ")"
    return form


for _name, _python, _form, _summary, _takes_types in (
        ("coalesce", _coalesce, _coalesce_form, "the first that is not NULL", False),
        ("greatest", _greatest, _call("greatest"), "the greatest, NULLs aside", True),
        ("least", _least, _call("least"), "the least, NULLs aside", True)):
    register(Overload(_name, FunctionKind.SCALAR, (Like.ELEMENT, Like.ELEMENT), Like.ELEMENT, _python, _form,
                      is_variadic=True, is_strict=False, takes_types=_takes_types, summary=_summary))
register(Overload("nullif", FunctionKind.SCALAR, (Like.ELEMENT, Like.ELEMENT), lambda types: types[0], _nullif,
                  _call("nullif"), is_strict=False, takes_types=True,
                  summary="NULL where the two are equal, else the first"))
register(Overload("num_nulls", FunctionKind.SCALAR, (Like.ANY, Like.ANY), INT,
                  lambda *values: sum(value is None for value in values), _count_form("IS NULL"), is_variadic=True,
                  is_strict=False, summary="how many arguments are NULL"))
register(Overload("num_nonnulls", FunctionKind.SCALAR, (Like.ANY, Like.ANY), INT,
                  lambda *values: sum(value is not None for value in values), _count_form("IS NOT NULL"),
                  is_variadic=True, is_strict=False, summary="how many arguments are not NULL"))
