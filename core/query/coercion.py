"""Which type may become which: PostgreSQL 15's pg_cast and its rules for UNION and CASE, over our types.

    IMPLICIT     anywhere           integer -> bigint -> numeric -> real -> double precision; date -> timestamp
    ASSIGNMENT   into a column      bigint -> integer, double precision -> numeric, anything -> text
    EXPLICIT     CAST only          text -> anything, jsonb -> number, integer <-> boolean

Each allows what those above it allow. A declared precision or length never decides whether a conversion is allowed.
`any`, the type of a field of a flexible table, is what comparisons with such a field are made in: everything becomes
`any` implicitly; back it goes by assignment. Pure: types in, types out.
"""
from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from phantomdb.core.values import DOUBLE, MAX_DECIMAL_PRECISION, NULL, NUMERIC, TEXT, Kind, Type, array, decimal

__all__ = ["NUMERIC", "TEXT", "Context", "can_cast", "category", "common_type", "distance", "exact_decimal",
           "is_preferred", "product_of_digits", "same_shape", "sum_of_digits", "union_of_digits",
           "without_parameters"]


class Context(IntEnum):
    """Where a conversion stands; a larger one allows more."""

    IMPLICIT = 0
    ASSIGNMENT = 1
    EXPLICIT = 2


I, A, E = Context

# The least context that allows a cast from one kind to another; same kinds and text are handled in _least_context.
_CASTS: dict[tuple[Kind, Kind], Context] = {
    (Kind.INT, Kind.DECIMAL): I, (Kind.INT, Kind.FLOAT): I, (Kind.DECIMAL, Kind.FLOAT): I,
    (Kind.DECIMAL, Kind.INT): A, (Kind.FLOAT, Kind.INT): A, (Kind.FLOAT, Kind.DECIMAL): A,
    (Kind.DATE, Kind.TIMESTAMP): I, (Kind.DATE, Kind.TIMESTAMPTZ): I, (Kind.TIMESTAMP, Kind.TIMESTAMPTZ): I,
    (Kind.TIMESTAMPTZ, Kind.TIMESTAMP): A, (Kind.TIMESTAMP, Kind.DATE): A, (Kind.TIMESTAMPTZ, Kind.DATE): A,
    (Kind.TIMESTAMP, Kind.TIME): A, (Kind.TIMESTAMPTZ, Kind.TIME): A,
    (Kind.TIME, Kind.INTERVAL): I, (Kind.INTERVAL, Kind.TIME): A,
    (Kind.JSON, Kind.BOOL): E, (Kind.JSON, Kind.INT): E, (Kind.JSON, Kind.DECIMAL): E, (Kind.JSON, Kind.FLOAT): E,
}

_EMPTY = array(NULL)                     # of a parameter: a list without items, or of nothing but NULLs
_EXACT = (Kind.INT, Kind.DECIMAL)
_TOWER = (Kind.INT, Kind.DECIMAL, Kind.FLOAT)
_CATEGORIES = {Kind.INT: "number", Kind.FLOAT: "number", Kind.DECIMAL: "number", Kind.DATE: "moment",
               Kind.TIME: "moment", Kind.TIMESTAMP: "moment", Kind.TIMESTAMPTZ: "moment"}
# Of each category the type that a guess falls on; the others are the only ones of theirs.
_PREFERRED = (Kind.BOOL, Kind.TEXT, Kind.TIMESTAMPTZ, Kind.INTERVAL, Kind.ANY)


def category(type_: Type) -> str:
    """Types of one category have a common type; PostgreSQL's typcategory."""
    return _CATEGORIES.get(type_.kind, type_.kind.name.lower())


def is_preferred(type_: Type) -> bool:
    return type_.kind in _PREFERRED or type_ == DOUBLE


def can_cast(source: Type, target: Type, context: Context) -> bool:
    """Whether a value of `source` may be converted to `target` there. The conversion may still fail for a value."""
    least = _least_context(source, target)
    return least is not None and least <= context


def _least_context(source: Type, target: Type) -> Context | None:
    """None: there is no such cast."""
    if source.kind is Kind.NULL or target.kind is Kind.ANY:
        return I
    if source.kind is Kind.ANY:
        return None if target.kind is Kind.NULL else A
    if source == _EMPTY and target.kind is Kind.JSON:
        return I
    if source.kind is target.kind:
        if source.kind is Kind.ARRAY:
            assert source.element is not None and target.element is not None
            return _least_context(source.element, target.element)
        # int and float: a narrower one only by assignment
        return I if target.bits >= source.bits else A
    if target.kind is Kind.TEXT:
        return A
    if source.kind is Kind.TEXT:
        return None if target.kind is Kind.NULL else E
    if {source.kind, target.kind} == {Kind.BOOL, Kind.INT}:
        return E if 32 in (source.bits, target.bits) else None
    return _CASTS.get((source.kind, target.kind))


def same_shape(a: Type, b: Type) -> bool:
    """Equal but for a declared precision or length: no conversion of a value is needed."""
    if a.kind is not b.kind or a.bits != b.bits or a.is_padded != b.is_padded:
        return False
    if a.kind is Kind.ARRAY:
        assert a.element is not None and b.element is not None
        return same_shape(a.element, b.element)
    return True


def without_parameters(type_: Type) -> Type:
    """The type that takes any value of the kind, whatever its precision or length."""
    if type_.kind is Kind.ARRAY:
        assert type_.element is not None
        return array(without_parameters(type_.element))
    if type_.precision is None and type_.length is None:
        return type_
    return Type(type_.kind, is_padded=type_.is_padded)


def exact_decimal(source: Type) -> Type:
    """The numeric type that has just room for every value of an integer type, so that products of columns keep a
    known number of digits; numeric for other types."""
    if source.kind is Kind.INT:
        return decimal({16: 5, 32: 10, 64: 19}[source.bits])
    return source if source.kind is Kind.DECIMAL else NUMERIC


def distance(source: Type, target: Type) -> int:
    """How far up an implicit conversion goes, 0 for none: of two overloads the nearer one is taken."""
    if source.kind is Kind.ARRAY and target.kind is Kind.ARRAY:
        assert source.element is not None and target.element is not None
        return distance(source.element, target.element)
    return abs(_rank(target) - _rank(source)) if category(source) == category(target) else 0


def _rank(type_: Type) -> int:
    if type_.kind in _TOWER:
        return 4 * _TOWER.index(type_.kind) + type_.bits // 32           # smallint 0, integer 1, bigint 2
    return {Kind.TIMESTAMP: 1, Kind.TIMESTAMPTZ: 2}.get(type_.kind, 0)


def common_type(types: Iterable[Type]) -> Type | None:
    """The type that values of all of these become in UNION, CASE, VALUES, coalesce() and comparison; None when there
    is none. Bare NULLs fit any; of nothing but NULLs it is text, of no types at all None."""
    found: Type | None = None
    is_empty = True
    for type_ in types:
        is_empty = False
        if type_.kind is Kind.NULL:
            continue
        if found is None or found == type_:
            found = type_
        elif (found := _meet(found, type_)) is None:
            return None
    return TEXT if found is None and not is_empty else found


def _meet(a: Type, b: Type) -> Type | None:
    if Kind.ANY in (a.kind, b.kind):
        return a if a.kind is Kind.ANY else b
    if a.kind in _EXACT and b.kind in _EXACT and Kind.DECIMAL in (a.kind, b.kind):
        return union_of_digits(exact_decimal(a), exact_decimal(b))
    if same_shape(a, b):
        return without_parameters(a)
    if a.kind is Kind.ARRAY and b.kind is Kind.ARRAY:
        assert a.element is not None and b.element is not None
        if Kind.NULL in (a.element.kind, b.element.kind):
            return a if b.element.kind is Kind.NULL else b
        element = _meet(a.element, b.element)
        return None if element is None else array(element)
    if category(a) != category(b):
        return None
    if a.kind is Kind.TEXT:
        return TEXT                      # one of them is padded, the other is not
    if can_cast(b, a, I):
        return a
    return b if can_cast(a, b, I) else None


def union_of_digits(a: Type, b: Type, more: int = 0) -> Type:
    """The numeric type that holds the values of both, with `more` digits before the point."""
    if a.precision is None or b.precision is None:
        return NUMERIC
    scale = max(a.scale or 0, b.scale or 0)
    whole = max(a.precision - (a.scale or 0), b.precision - (b.scale or 0))
    return _decimal(whole + scale + more, scale)


def sum_of_digits(a: Type, b: Type) -> Type:
    """The numeric type of a + b and a - b."""
    return union_of_digits(a, b, 1)


def product_of_digits(a: Type, b: Type) -> Type:
    """The numeric type of a * b."""
    if a.precision is None or b.precision is None:
        return NUMERIC
    return _decimal(a.precision + b.precision, (a.scale or 0) + (b.scale or 0))


def _decimal(precision: int, scale: int) -> Type:
    return decimal(precision, scale) if precision <= MAX_DECIMAL_PRECISION else NUMERIC
