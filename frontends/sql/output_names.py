"""The names that columns of a result have when the query gives them none."""
from __future__ import annotations

from typing import Any

from phantomdb.core.values import Kind, Type
from phantomdb.frontends.sql.datatypes import type_of
from phantomdb.frontends.sql.expressions import NO_PARENTHESES
from phantomdb.frontends.sql.parse import name_of


def output_name(node: Any) -> str:
    """The name PostgreSQL gives an output without an alias."""
    kind = type(node).__name__
    if kind in ("Column", "Identifier"):
        return name_of(node.this) if kind == "Column" else name_of(node)
    if kind == "Anonymous":
        return name_of(node.this)
    if kind in ("Window", "Filter", "WithinGroup", "IgnoreNulls", "RespectNulls", "Paren", "Bracket"):
        return output_name(node.this)
    if kind == "Dot":
        return output_name(node.expression)
    if kind == "Cast":
        inner = output_name(node.this)
        if inner != "?column?":
            return inner
        return _internal_name(type_of(node.args["to"]))
    if kind == "Case":
        default = node.args.get("default")
        inner = output_name(default) if default is not None else "case"
        return inner if inner != "?column?" else "case"
    if kind in ("Subquery", "Select"):
        inner_node = node
        while type(inner_node).__name__ == "Subquery":
            inner_node = inner_node.this
        if type(inner_node).__name__ == "Select" and len(inner_node.expressions) == 1:
            first = inner_node.expressions[0]
            return name_of(first.args["alias"]) if type(first).__name__ == "Alias" else output_name(first)
        return "?column?"
    fixed = {"Exists": "exists", "Array": "array", "Extract": "extract", "Substring": "substring", "Trim": "btrim",
             "Overlay": "overlay", "StrPosition": "position", "AtTimeZone": "timezone", "Boolean": "bool",
             "Interval": "interval"}
    return fixed.get(kind) or NO_PARENTHESES.get(kind, "?column?")


def _internal_name(type_: Type) -> str:
    if type_.kind is Kind.INT:
        return {16: "int2", 32: "int4", 64: "int8"}[type_.bits]
    if type_.kind is Kind.FLOAT:
        return {32: "float4", 64: "float8"}[type_.bits]
    return {Kind.BOOL: "bool", Kind.DECIMAL: "numeric", Kind.TIMESTAMP: "timestamp", Kind.TIME: "time",
            Kind.TIMESTAMPTZ: "timestamptz"}.get(type_.kind, str(type_).split("(")[0])
