"""Expressions: objects."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.expression_base import (
    Compile,
    Evaluate,
    compile_named,
    fail,
    is_null,
    need_list,
    nullable,
    plain,
    special,
)
from phantomdb.frontends.document.values import MISSING


@plain("$mergeObjects", 0, None)
def merge_objects(*items: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for item in items[0] if len(items) == 1 and isinstance(items[0], list) else items:
        if is_null(item):
            continue
        if not isinstance(item, dict):
            raise fail(40400, f"$mergeObjects requires object inputs, but input is of type {values.type_name(item)}")
        merged.update(item)
    return merged


@nullable("$objectToArray", 1)
def object_to_array(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        raise fail(40390, f"$objectToArray requires a document input, found: {values.type_name(value)}")
    return [{"k": name, "v": item} for name, item in value.items()]


@nullable("$arrayToObject", 1)
def array_to_object(value: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for item in need_list(value, "$arrayToObject", 40386):
        if isinstance(item, dict) and set(item) == {"k", "v"}:
            name, member = item["k"], item["v"]
        elif isinstance(item, list | tuple) and len(item) == 2:
            name, member = item
        else:
            raise fail(40392, "$arrayToObject requires an array of key-value pairs, [k, v] or {k: ..., v: ...}")
        if not isinstance(name, str):
            raise fail(40394, "$arrayToObject requires names of type string, "
                              f"found: {values.type_name(name)}")
        made[name] = member
    return made


@special("$getField")
def get_field(argument: Any, compile_: Compile) -> Evaluate:
    if isinstance(argument, Mapping) and "field" in argument:
        parts = compile_named("$getField", argument, ("field",), ("input",), compile_)
        field = parts["field"]
        source = parts.get("input") or compile_("$$CURRENT")
    else:
        field, source = compile_(argument), compile_("$$CURRENT")

    def evaluate(document: Any, variables: Any) -> Any:
        name, value = field(document, variables), source(document, variables)
        if not isinstance(name, str):
            raise fail(3041704, f"$getField requires 'field' to evaluate to type String, found: "
                                f"{values.type_name(name)}")
        if value is None:
            return None
        return value.get(name, MISSING) if isinstance(value, dict) else MISSING
    return evaluate


def _set_field(name: str, argument: Any, compile_: Compile) -> Evaluate:
    required = ("field", "input", "value") if name == "$setField" else ("field", "input")
    parts = compile_named(name, argument, required, (), compile_)
    field, source = parts["field"], parts["input"]
    new = parts.get("value") or (lambda _document, _variables: MISSING)

    def evaluate(document: Any, variables: Any) -> Any:
        wanted, value = field(document, variables), source(document, variables)
        if not isinstance(wanted, str):
            raise fail(4161107, f"{name} requires 'field' to evaluate to a string")
        if is_null(value):
            return None
        if not isinstance(value, dict):
            raise fail(4161105, f"{name} requires 'input' to evaluate to type Object")
        item = new(document, variables)
        if item is MISSING:
            return {key: member for key, member in value.items() if key != wanted}
        return {**value, wanted: item}
    return evaluate


@special("$setField")
def set_field(argument: Any, compile_: Compile) -> Evaluate:
    return _set_field("$setField", argument, compile_)


@special("$unsetField")
def unset_field(argument: Any, compile_: Compile) -> Evaluate:
    return _set_field("$unsetField", argument, compile_)
