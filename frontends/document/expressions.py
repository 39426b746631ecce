"""Aggregation expressions, compiled to closures.

    compile_expression({"$add": ["$a", 1]})({"a": 2})  ->  3

A field path goes through arrays and gives a list of what it finds in their objects. What is not there is MISSING, which
disappears from objects and becomes null in lists. The operators stand in the modules expressions_*.py and are listed in
OPERATORS, from which docs/documents.md has its table; UNSUPPORTED names those of MongoDB that are not there.
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from phantomdb.frontends.document import (
    expressions_accumulators,
    expressions_arrays,
    expressions_dates,
    expressions_logic,
    expressions_numbers,
    expressions_objects,
    expressions_strings,
    expressions_types,
)
from phantomdb.frontends.document.errors import CommandNotSupported, InvalidPipelineOperator
from phantomdb.frontends.document.expression_base import OPERATORS, Evaluate, fail
from phantomdb.frontends.document.values import MISSING, Document

__all__ = ["FAMILIES", "OPERATORS", "UNSUPPORTED", "compile_evaluate", "compile_expression", "get_path"]

FAMILIES = (expressions_logic, expressions_numbers, expressions_strings, expressions_arrays, expressions_objects,
            expressions_dates, expressions_types, expressions_accumulators)
UNSUPPORTED = ("$accumulator", "$function", "$meta", "$toHashedIndexKey", "$encStrContains", "$encStrEndsWith",
               "$encStrNormalizedEq", "$encStrStartsWith", "$createObjectId", "$sigmoid")
_SYSTEM = ("ROOT", "CURRENT", "NOW", "REMOVE")
_SYSTEM_UNSUPPORTED = ("CLUSTER_TIME", "DESCEND_", "SEARCH_META", "USER_ROLES")


def compile_expression(expression: Any, variables: Mapping[str, Any] | None = None) -> Callable[[Document], Any]:
    """A function from document to value or MISSING. `variables`: those of `let`, by name without dollars; their names
    are fixed now, their values are read when the function is run."""
    given: Mapping[str, Any] = {} if variables is None else variables
    moment = now()
    evaluate = compile_evaluate(expression, given)

    def run(document: Document) -> Any:
        return evaluate(document, {"NOW": moment, **given, "ROOT": document})
    return run


def compile_evaluate(expression: Any, names: Iterable[str] = ()) -> Evaluate:
    """A function of document and variables; the latter must have ROOT, NOW and `names` when it is called."""
    return Compiler(frozenset(names))(expression)


def now() -> datetime.datetime:
    moment = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Compiler:
    """Compiles expressions that may use these variables."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def within(self, *names: str) -> Compiler:
        return Compiler(self.names.union(names))

    def __call__(self, expression: Any) -> Evaluate:
        if isinstance(expression, str):
            if expression.startswith("$$"):
                return self.variable(expression[2:])
            if expression.startswith("$"):
                return field_path(expression[1:])
        elif isinstance(expression, Mapping):
            return self.object(expression)
        elif isinstance(expression, list | tuple):
            parts = [self(item) for item in expression]
            return lambda document, variables: [None if (value := part(document, variables)) is MISSING else value
                                                for part in parts]
        return lambda _document, _variables: expression

    def object(self, expression: Mapping[str, Any]) -> Evaluate:
        first = next(iter(expression), "")
        if first.startswith("$"):
            if len(expression) != 1:
                raise fail(15983, "an object representing an expression must have exactly one field: "
                                  f"{dict(expression)!r:.100}")
            return self.operator(first, expression[first])
        parts: list[tuple[str, Evaluate]] = []
        for name, item in expression.items():
            if name.startswith("$"):
                raise fail(16410, f"FieldPath field names may not start with '$', given {name!r}")
            if "." in name:
                raise fail(16412, f"FieldPath field names may not contain '.', given {name!r}")
            parts.append((name, self(item)))
        return lambda document, variables: {name: value for name, part in parts
                                            if (value := part(document, variables)) is not MISSING}

    def operator(self, name: str, argument: Any) -> Evaluate:
        operator = OPERATORS.get(name)
        if operator is None:
            if name in UNSUPPORTED:
                raise CommandNotSupported(f"{name} is not supported")
            raise InvalidPipelineOperator(f"Unrecognized expression '{name}'")
        return operator.compile(argument, self)

    def variable(self, text: str) -> Evaluate:
        name, dot, rest = text.partition(".")
        steps = _steps(rest) if dot else ()
        if name == "CURRENT":
            return field_path(rest) if dot else lambda document, _variables: document
        if name == "REMOVE":
            return lambda _document, _variables: MISSING
        if name in _SYSTEM_UNSUPPORTED:
            raise CommandNotSupported(f"$${name} is not supported")
        if name not in self.names and name not in _SYSTEM:
            raise fail(17276, f"Use of undefined variable: {name}")
        if not steps:
            return lambda _document, variables: variables[name]
        return lambda _document, variables: get_path(variables[name], steps)


def _steps(path: str) -> tuple[str, ...]:
    steps = tuple(path.split("."))
    for step in steps:
        if not step:
            raise fail(15998 if path else 16872, "FieldPath field names may not be empty strings.")
        if step.startswith("$"):
            raise fail(16410, f"FieldPath field names may not start with '$', given {step!r}")
    return steps


def field_path(path: str) -> Evaluate:
    if not path:
        raise fail(16872, "'$' by itself is not a valid FieldPath")
    steps = _steps(path)
    if len(steps) == 1:
        only = steps[0]
        return lambda document, _variables: document.get(only, MISSING)
    return lambda document, _variables: get_path(document, steps)


def get_path(value: Any, steps: tuple[str, ...]) -> Any:
    """Through objects by name, through arrays element by element."""
    for position, step in enumerate(steps):
        if isinstance(value, dict):
            value = value.get(step, MISSING)
            if value is MISSING:
                return MISSING
        elif isinstance(value, list | tuple):
            found = [get_path(item, steps[position:]) for item in value if isinstance(item, dict | list | tuple)]
            return [item for item in found if item is not MISSING]
        else:
            return MISSING
    return value
