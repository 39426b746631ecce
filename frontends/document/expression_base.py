"""How an operator of aggregation expressions is declared, and what their functions share.

    @plain("$abs", 1)               a function of evaluated arguments
    @nullable("$concat", 0, None)   the same; null where an argument is null or missing
    @named("$trim", "input", chars=None)    a function of a dict of evaluated, named arguments; {} holds the optional
    @special("$cond")               a function that compiles its own arguments

An evaluated argument that is not there is MISSING. A compiled expression is a function of document and variables.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import ExpressionError
from phantomdb.frontends.document.values import MISSING, Document

Variables = dict[str, Any]
Evaluate = Callable[[Document, Variables], Any]


class Compile(Protocol):
    """Compiles an expression inside another one."""

    def __call__(self, expression: Any) -> Evaluate: ...

    def within(self, *names: str) -> Compile:
        """One that knows these variables too."""


Special = Callable[[Any, Compile], Evaluate]


@dataclass(frozen=True, slots=True)
class Operator:
    name: str
    family: str                          # the module that has it
    compile: Special


OPERATORS: dict[str, Operator] = {}


def is_null(value: Any) -> bool:
    return value is None or value is MISSING


def fail(number: int, message: str) -> ExpressionError:
    return ExpressionError(number, message)


def _register(name: str, function: Callable[..., Any], compile_: Special) -> None:
    OPERATORS[name] = Operator(name, function.__module__.rpartition("_")[2], compile_)


def special(*names: str) -> Callable[[Special], Special]:
    def decorate(function: Special) -> Special:
        for name in names:
            _register(name, function, function)
        return function
    return decorate


def arguments_of(name: str, argument: Any, least: int, most: int | None) -> list[Any]:
    """The arguments of a call: a list of them, or one alone."""
    given = list(argument) if isinstance(argument, list | tuple) else [argument]
    if len(given) < least or (most is not None and len(given) > most):
        wanted = f"exactly {least} arguments" if least == most else (
            f"at least {least} arguments, and at most {most}" if most is not None else f"at least {least} arguments")
        raise fail(16020 if least == most else 28667, f"Expression {name} takes {wanted}. {len(given)} were passed in.")
    return given


def plain(name: str, least: int, most: int | None = -1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`most` None: any number of arguments; left out: just `least`."""
    upper = least if most == -1 else most

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def compile_(argument: Any, compile_expression: Compile) -> Evaluate:
            parts = [compile_expression(item) for item in arguments_of(name, argument, least, upper)]
            if len(parts) == 1:
                only = parts[0]
                return lambda document, variables: function(only(document, variables))
            if len(parts) == 2:
                first, second = parts
                return lambda document, variables: function(first(document, variables), second(document, variables))
            return lambda document, variables: function(*[part(document, variables) for part in parts])
        _register(name, function, compile_)
        return function
    return decorate


def nullable(name: str, least: int, most: int | None = -1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any) -> Any:
            for argument in arguments:
                if argument is None or argument is MISSING:
                    return None
            return function(*arguments)
        guarded.__module__ = function.__module__
        plain(name, least, most)(guarded)
        return function
    return decorate


def compile_named(name: str, argument: Any, required: tuple[str, ...], optional: tuple[str, ...],
                  compile_expression: Compile) -> dict[str, Evaluate]:
    """The named arguments that were given."""
    if not isinstance(argument, Mapping):
        raise fail(40425, f"{name} only supports an object as its argument")
    for key in argument:
        if key not in required and key not in optional:
            raise fail(40415, f"{name} found an unknown argument: {key}")
    for key in required:
        if key not in argument:
            raise fail(40414, f"{name} requires an '{key}' parameter")
    return {key: compile_expression(item) for key, item in argument.items()}


def named(name: str, *required: str, optional: tuple[str, ...] = ()
          ) -> Callable[[Callable[[dict[str, Any]], Any]], Callable[[dict[str, Any]], Any]]:
    def decorate(function: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def compile_(argument: Any, compile_expression: Compile) -> Evaluate:
            parts = compile_named(name, argument, required, optional, compile_expression)
            return lambda document, variables: function({key: part(document, variables)
                                                         for key, part in parts.items()})
        _register(name, function, compile_)
        return function
    return decorate


# -------------------------------------------------------------------- values

def is_true(value: Any) -> bool:
    """All but false, null, missing and zero."""
    if value is None or value is MISSING or value is False:
        return False
    if value is True or isinstance(value, str):
        return True
    if values.is_number(value):
        return bool(values.number_of(value) != 0)
    return True


def need_text(value: Any, name: str, number: int = 14) -> str:
    if not isinstance(value, str):
        raise fail(number, f"{name} requires a string argument, found: {values.type_name(value)}")
    return value


def need_list(value: Any, name: str, number: int) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise fail(number, f"{name} requires an array argument, found: {values.type_name(value)}")
    return value if isinstance(value, list) else list(value)


def need_whole(value: Any, name: str, number: int) -> int:
    """A number that is whole, whatever its class."""
    if values.is_number(value):
        plain_number = values.number_of(value)
        try:
            if int(plain_number) == plain_number:
                return int(plain_number)
        except (ValueError, OverflowError):
            pass
    raise fail(number, f"{name} requires a whole number, found: {values.type_name(value)} {value!r:.40}")


def null_if_missing(value: Any) -> Any:
    return None if value is MISSING else value
