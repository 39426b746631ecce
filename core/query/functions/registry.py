"""Functions and operators: each defined once, in Python; beside it, where there is one, DuckDB's way to say the same.

    name, argument types  --resolve()-->  Overload, with the type each argument is to be converted to

The Python function is the definition: the row executor calls it, the documentation's examples run it. `duckdb` is a
faster way to the same value for the vector executor; where it is None that one calls the Python function row by row.
tests/property/test_functions.py compares the two.

Resolution follows PostgreSQL 15, chapter 10: the overload that most arguments fit unchanged, then the one with the
most preferred types; an untyped literal is what the other argument is, else text, else of a preferred type.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial
from importlib import import_module
from typing import Any

from phantomdb.core.query import coercion
from phantomdb.core.query.errors import UndefinedFunction
from phantomdb.core.values import Kind, Type


class FunctionKind(StrEnum):
    SCALAR = "scalar"
    AGGREGATE = "aggregate"
    WINDOW = "window"                    # only with OVER
    TABLE = "table"                      # yields rows


class Volatility(StrEnum):
    IMMUTABLE = "immutable"              # same arguments, same value: may be computed when the statement is planned
    STABLE = "stable"                    # ... within one statement: now()
    VOLATILE = "volatile"                # random(), nextval()


class Like(StrEnum):
    """Argument and result types that hang on each other."""

    ANY = "any"                          # any type, each on its own
    ELEMENT = "anyelement"               # all of them one common type
    ARRAY = "anyarray"                   # array of ELEMENT


Pattern = Type | Like
# The duckdb form: a template with {0}, {1}, ... for the arguments (already in parentheses where needed; `{{` for a
# brace), or a function of (arguments as SQL text, their types, result type) -> SQL text, None: not for these types.
# forms.py helps to write them; vector_functions.py fills them in and says which other marks they may have.
DuckForm = str | Callable[[Sequence[str], Sequence[Type], Type], str | None]


@dataclass(frozen=True, slots=True)
class Overload:
    name: str
    kind: FunctionKind
    arguments: tuple[Pattern, ...]
    result: Pattern | Callable[[Sequence[Type]], Type]       # of table functions: of the one column
    python: Callable[..., Any]           # scalar: values -> value; aggregate: see functions/aggregates.py
    duckdb: DuckForm | None = None
    is_variadic: bool = False            # the last argument any number of times, also none
    optional: int = 0                    # how many arguments at the end may be left out
    is_strict: bool = True               # NULL in, NULL out: `python` never sees None
    takes_types: bool = False            # `python` gets the tuple of argument types before the arguments
    is_made_for_types: bool = False      # `python` gets the tuple of argument types and gives the function
    volatility: Volatility = Volatility.IMMUTABLE
    is_long: bool = False                # one call may take seconds: it is told the statement, to be stopped with it
    summary: str = ""                    # one line for the status table
    # table functions with more than one column: their names and types
    columns: tuple[tuple[str, Type], ...] = ()
    # ... that hang on the types of the arguments, which resolve() puts into `columns`; None: they do not fit
    columns_of: Callable[[Sequence[Type]], tuple[tuple[str, Type], ...] | None] | None = None

    def accepts_count(self, count: int) -> bool:
        most = len(self.arguments)
        if self.is_variadic:
            return count >= most - 1 - self.optional
        return most - self.optional <= count <= most

    def pattern(self, index: int) -> Pattern:
        return self.arguments[min(index, len(self.arguments) - 1)]


@dataclass(frozen=True, slots=True)
class Resolved:
    """An overload, the types its arguments must have, and the type of its value. Its `python` has the types already."""

    overload: Overload
    arguments: tuple[Type, ...]
    result: Type


_OVERLOADS: dict[str, list[Overload]] = {}
FOUND_MAX = 4096
_Key = tuple[str, tuple[Type, ...], tuple[bool, ...]]
_FOUND: dict[_Key, tuple[Sequence[Overload] | None, int, Resolved | None]] = {}


def register(overload: Overload) -> Overload:
    _OVERLOADS.setdefault(overload.name, []).append(overload)
    return overload


def overloads(name: str) -> Sequence[Overload]:
    _load()
    return _OVERLOADS.get(name, ())


def all_overloads() -> list[Overload]:
    _load()
    return [overload for name in sorted(_OVERLOADS) for overload in _OVERLOADS[name]]


@cache
def _load() -> None:
    """The modules that register functions, on first use."""
    for module in ("operators", "numbers", "mathematics", "strings", "quoting", "patterns", "binary", "moments", "json",
                   "arrays", "conditional", "aggregates", "statistics", "windows", "tables", "system", "catalog"):
        import_module(f"phantomdb.core.query.functions.{module}")


def resolve(name: str, types: Sequence[Type], *, untyped: Sequence[bool] | None = None,
            position: int | None = None) -> Resolved:
    """The overload of `name` for arguments of `types`. `untyped[i]`: the argument is a quoted literal or a
    text parameter, which takes the type its place asks for. UndefinedFunction: none fits, or more than one."""
    free = tuple(untyped) if untyped is not None else tuple(type_.kind is Kind.NULL for type_ in types)
    candidates = overloads(name)
    key = (name, tuple(types), free)
    # what was found before, as long as no overload has come since
    known, count, found = _FOUND.get(key, (None, 0, None))
    if known is candidates and count == len(candidates) and found is not None:
        return found
    fits = [fit for overload in candidates if overload.accepts_count(len(types))
            and (fit := _fit(overload, types, free)) is not None]
    if fits:
        best = min(fits, key=lambda fit: fit[0])[1]          # of the same cost the one registered first
        if len(_FOUND) >= FOUND_MAX:
            _FOUND.clear()
        _FOUND[key] = (candidates, len(candidates), best)
        return best
    shown = f"{name}({', '.join('unknown' if u else str(t) for t, u in zip(types, free, strict=True))})"
    if candidates:
        raise UndefinedFunction(f"no function matches {shown}; convert the arguments with CAST", position=position)
    raise UndefinedFunction(f"function {shown} does not exist", position=position)


def _fit(overload: Overload, types: Sequence[Type], free: Sequence[bool]) -> tuple[tuple[int, ...], Resolved] | None:
    """(cost, types), or None when an argument cannot be what the overload takes. Less cost is, in this order: more
    arguments taken as they are; an untyped argument taken as the type of the other one; more preferred types among
    the conversions; untyped arguments taken as text, else as a preferred type; shorter ways up the numeric tower."""
    element = _element(overload, types, free)
    wanted: list[Type] = []
    exact = mismatched = preferred = guessed = distance = 0
    for index, (given, is_free) in enumerate(zip(types, free, strict=True)):
        pattern = overload.pattern(index)
        if pattern is Like.ANY:
            target = given
        elif pattern is Like.ELEMENT:
            if element is None:
                return None
            target = element
        elif pattern is Like.ARRAY:
            if element is None:
                return None
            target = Type(Kind.ARRAY, element=element)
        else:
            assert isinstance(pattern, Type)
            # a whole number is a numeric of so many digits
            is_whole = pattern == coercion.NUMERIC and given.kind is Kind.INT
            target = coercion.exact_decimal(given) if is_whole else pattern
        if is_free:
            guessed += 0 if target.kind is Kind.TEXT else 1 if coercion.is_preferred(target) else 2
            if len(types) == 2 and not free[1 - index]:
                mismatched += not coercion.same_shape(target, types[1 - index])
        elif coercion.same_shape(given, target):
            exact += isinstance(pattern, Type)
        elif coercion.can_cast(given, target, coercion.Context.IMPLICIT):
            preferred += coercion.is_preferred(target)
            distance += coercion.distance(given, target)     # int4 -> int8 before int4 -> numeric before int4 -> float8
        else:
            return None
        # a declared precision or length says nothing about the value of an expression; only where the value of an
        # argument may be the result, all have to be of its type
        is_fine = coercion.same_shape(given, target) and not is_free and overload.result is not Like.ELEMENT
        wanted.append(given if is_fine else target)
    if overload.result is Like.ELEMENT:
        result = element
    elif overload.result is Like.ARRAY:
        result = Type(Kind.ARRAY, element=element) if element is not None else None
    elif isinstance(overload.result, Type):
        result = overload.result
    else:
        assert callable(overload.result)
        result = overload.result(wanted)
    if result is None:
        return None
    if overload.columns_of is not None:
        if (columns := overload.columns_of(wanted)) is None:
            return None
        overload = replace(overload, columns=columns)
    if overload.takes_types:
        overload = replace(overload, python=partial(overload.python, tuple(wanted)), takes_types=False)
    elif overload.is_made_for_types:
        overload = replace(overload, python=overload.python(tuple(wanted)), is_made_for_types=False)
    cost = (-exact, mismatched, -preferred, guessed, distance)
    return cost, Resolved(overload, tuple(wanted), result)


def _element(overload: Overload, types: Sequence[Type], free: Sequence[bool]) -> Type | None:
    """The one type that all ELEMENT arguments, and the elements of all ARRAY arguments, become."""
    found = []
    for index, (given, is_free) in enumerate(zip(types, free, strict=True)):
        pattern = overload.pattern(index)
        if pattern is Like.ELEMENT and not is_free:
            found.append(given)
        elif pattern is Like.ARRAY and not is_free:
            if given.kind is not Kind.ARRAY or given.element is None:
                return None
            found.append(given.element)
    if not found:
        return coercion.TEXT if any(isinstance(p, Like) and p is not Like.ANY for p in overload.arguments) else None
    common = coercion.common_type(found)
    # an untyped text beside a numeric(5,2) is any numeric
    return coercion.without_parameters(common) if common is not None and any(free) else common
