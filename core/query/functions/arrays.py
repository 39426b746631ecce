"""Arrays: lists of values of one type, NULL among them, counted from 1.

    {1,2} || 3 = {1,2,3}          2 = ANY ({1,2,NULL}) is true, 3 = ANY ({1,2,NULL}) is NULL

An array of arrays is a list of lists. Where PostgreSQL sees one array of several dimensions, so do the functions that
speak of dimensions; all lists of one level are equally long, which concatenation and the constructor check. Other than
there, one subscript of a two-dimensional array gives the inner array. `x = ANY (array)` is the operator "= any".
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from phantomdb.core.query.casts import writer
from phantomdb.core.query.errors import ArraySubscriptError, FeatureNotSupported, NullValueNotAllowed
from phantomdb.core.query.functions.forms import once
from phantomdb.core.query.functions.numbers import scalar
from phantomdb.core.query.functions.registry import DuckForm, Like, resolve
from phantomdb.core.query.ordering import sort_key
from phantomdb.core.values import BOOL, INT, TEXT, Kind, Type, array

TEXTS = array(TEXT)
MAX_ITEMS = 134_217_727                  # as PostgreSQL


# ---- shape

def base_type(type_: Type) -> Type:
    """Of the elements of an array of whatever dimensions."""
    while type_.element is not None:
        type_ = type_.element
    return type_


def flat(items: list[Any], type_: Type) -> Iterator[Any]:
    """All elements of an array of whatever dimensions, row by row."""
    assert type_.element is not None
    if type_.element.kind is not Kind.ARRAY:
        yield from items
        return
    for item in items:
        if item is not None:
            yield from flat(item, type_.element)


def lengths(items: list[Any], type_: Type) -> list[int]:
    """Of each dimension; an empty array has none."""
    found: list[int] = []
    level, kind = items, type_
    while kind.element is not None:
        if not level:
            return []
        found.append(len(level))
        level, kind = level[0], kind.element
    return found


def _is_nested(type_: Type) -> bool:
    return type_.element is not None and type_.element.kind is Kind.ARRAY


def _length(types: Sequence[Type], items: list[Any], dimension: int) -> int | None:
    found = lengths(items, types[0])
    return found[dimension - 1] if 1 <= dimension <= len(found) else None


def _length_form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
    if _is_nested(types[0]):
        return None
    return f"CASE WHEN {arguments[1]} = 1 THEN CAST(nullif(len({arguments[0]}), 0) AS INTEGER) END"


def _lower(types: Sequence[Type], items: list[Any], dimension: int) -> int | None:
    return None if _length(types, items, dimension) is None else 1


def _dimensions(types: Sequence[Type], items: list[Any]) -> str | None:
    return "".join(f"[1:{length}]" for length in lengths(items, types[0])) or None


def _dimension_count(types: Sequence[Type], items: list[Any]) -> int | None:
    return len(lengths(items, types[0])) or None


def _item_count(types: Sequence[Type], items: list[Any]) -> int:
    return sum(1 for _ in flat(items, types[0]))


def _count_form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
    return None if _is_nested(types[0]) else f"CAST(len({arguments[0]}) AS INTEGER)"


scalar("array_length", (Like.ARRAY, INT), INT, _length, _length_form, "the length of a dimension", takes_types=True)
scalar("array_upper", (Like.ARRAY, INT), INT, _length, _length_form, "the last subscript of a dimension",
       takes_types=True)
scalar("array_lower", (Like.ARRAY, INT), INT, _lower, None, "the first subscript of a dimension, which is 1",
       takes_types=True)
scalar("array_dims", (Like.ARRAY,), TEXT, _dimensions, None, "the dimensions as text", takes_types=True)
scalar("array_ndims", (Like.ARRAY,), INT, _dimension_count, None, "how many dimensions", takes_types=True)
scalar("cardinality", (Like.ARRAY,), INT, _item_count, _count_form, "how many elements", takes_types=True)


# ---- made and joined

def _construct(types: Sequence[Type], *items: Any) -> list[Any]:
    if types and types[0].kind is Kind.ARRAY and len({tuple(lengths(item or [], types[0])) for item in items}) > 1:
        raise ArraySubscriptError("multidimensional arrays must have array expressions with matching dimensions")
    return list(items)


def _append(types: Sequence[Type], items: list[Any] | None, item: Any) -> list[Any]:
    return _with_item(types[0], items, item, at_end=True)


def _prepend(types: Sequence[Type], item: Any, items: list[Any] | None) -> list[Any]:
    return _with_item(types[1], items, item, at_end=False)


def _with_item(type_: Type, items: list[Any] | None, item: Any, *, at_end: bool) -> list[Any]:
    assert type_.element is not None
    if items and _is_nested(type_) and lengths(items[0] or [], type_.element) != lengths(item or [], type_.element):
        raise ArraySubscriptError("cannot concatenate incompatible arrays")
    return [*(items or []), item] if at_end else [item, *(items or [])]


def _concatenate(types: Sequence[Type], a: list[Any] | None, b: list[Any] | None) -> list[Any] | None:
    if a is None or b is None:
        return b if a is None else a
    if a and b and lengths(a, types[0])[1:] != lengths(b, types[1])[1:]:
        raise ArraySubscriptError("cannot concatenate incompatible arrays")
    return a + b


def _flat_form(text: str) -> DuckForm:
    """For arrays of one dimension; DuckDB has no dimensions to check."""
    def form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
        if any(_is_nested(type_) for type_ in types):
            return None
        return text.format(*arguments)
    return form


def _construct_form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
    return None if not types or types[0].kind is Kind.ARRAY else f"[{', '.join(arguments)}]"


def _filled(value: Any, sizes: list[int | None], lower_bounds: list[int] | None = None) -> list[Any]:
    if lower_bounds is not None and any(bound != 1 for bound in lower_bounds):
        raise FeatureNotSupported("arrays whose subscripts do not begin at 1 are not supported")
    if len(sizes) > 1:
        raise FeatureNotSupported("array_fill makes arrays of one dimension only")
    if None in sizes:
        raise NullValueNotAllowed("dimension values cannot be null")
    size = sizes[0] if sizes and sizes[0] is not None else 0
    if not 0 <= size <= MAX_ITEMS:
        raise ArraySubscriptError(f"array size exceeds the maximum allowed ({MAX_ITEMS})")
    return [value] * size


def _fill(types: Sequence[Type], value: Any, sizes: list[int | None] | None,
          lower_bounds: list[int] | None = None) -> list[Any]:
    if sizes is None or (len(types) > 2 and lower_bounds is None):
        raise NullValueNotAllowed("dimension array or low bound array cannot be null")
    return _filled(value, sizes, lower_bounds)


scalar("array", (Like.ELEMENT,), Like.ARRAY, _construct, _construct_form, "ARRAY[...]", is_strict=False,
       takes_types=True, is_variadic=True)
for _name in ("array_cat", "||"):
    scalar(_name, (Like.ARRAY, Like.ARRAY), Like.ARRAY, _concatenate,
           _flat_form("CASE WHEN {0} IS NOT NULL OR {1} IS NOT NULL THEN list_concat({0}, {1}) END"),
           "one after the other", is_strict=False, takes_types=True)
for _name in ("array_append", "||"):
    scalar(_name, (Like.ARRAY, Like.ELEMENT), Like.ARRAY, _append, _flat_form("list_append(coalesce({0}, []), {1})"),
           "with an element at the end", is_strict=False, takes_types=True)
for _name in ("array_prepend", "||"):
    scalar(_name, (Like.ELEMENT, Like.ARRAY), Like.ARRAY, _prepend, _flat_form("list_prepend({0}, coalesce({1}, []))"),
           "with an element at the start", is_strict=False, takes_types=True)
scalar("array_fill", (Like.ELEMENT, array(INT)), lambda types: array(types[0]), _fill, None,
       "one value so many times", is_strict=False, takes_types=True)
scalar("array_fill", (Like.ELEMENT, array(INT), array(INT)), lambda types: array(types[0]), _fill, None,
       "... with subscripts from 1", is_strict=False, takes_types=True)


# ---- elements

def _subscript(items: list[Any], index: int) -> Any:
    return items[index - 1] if 1 <= index <= len(items) else None


def _subscript_form(arguments: Sequence[str], _types: Sequence[Type], _result: Type) -> str:
    return once(arguments, lambda names: f"CASE WHEN {names[1]} > 0 THEN {names[0]}[{names[1]}] END")


def _element_type(types: Sequence[Type]) -> Type:
    assert types[0].element is not None
    return types[0].element


def _slice(items: list[Any] | None, has_bounds: int, low: int | None, high: int | None) -> list[Any] | None:
    """has_bounds: 1 for the lower bound, 2 for the upper, 3 for both; one that was left out is the array's own."""
    if items is None or (has_bounds & 1 and low is None) or (has_bounds & 2 and high is None):
        return None
    first = max(low, 1) if has_bounds & 1 and low is not None else 1
    last = high if has_bounds & 2 and high is not None else len(items)
    return items[first - 1:max(last, 0)]


scalar("subscript", (Like.ARRAY, INT), _element_type, _subscript, _subscript_form, "array[n]")
scalar("slice", (Like.ARRAY, INT, INT), Like.ARRAY, lambda items, low, high: _slice(items, 3, low, high), None,
       "array[m:n]")
scalar("slice from", (Like.ARRAY, INT), Like.ARRAY, lambda items, low: _slice(items, 1, low, None), None, "array[m:]")
scalar("slice to", (Like.ARRAY, INT), Like.ARRAY, lambda items, high: _slice(items, 2, None, high), None, "array[:n]")


def _equal_to(type_: Type, wanted: Any) -> Callable[[Any], bool]:
    """NULL equals NULL."""
    if wanted is None:
        return lambda item: item is None
    key = sort_key(type_)
    wanted_key = key(wanted)
    return lambda item: item is not None and bool(key(item) == wanted_key)


def _refuse_dimensions(type_: Type, doing: str) -> Type:
    assert type_.element is not None
    if _is_nested(type_):
        raise FeatureNotSupported(f"{doing} multidimensional arrays is not supported")
    return type_.element


def _position(types: Sequence[Type], items: list[Any] | None, wanted: Any, start: int | None = 1) -> int | None:
    element = _refuse_dimensions(types[0], "searching for elements in")
    if items is None:
        return None
    if start is None:
        raise NullValueNotAllowed("initial position must not be null")
    is_wanted, first = _equal_to(element, wanted), max(start, 1)
    return next((index for index, item in enumerate(items[first - 1:], first) if is_wanted(item)), None)


def _positions(types: Sequence[Type], items: list[Any] | None, wanted: Any) -> list[int] | None:
    element = _refuse_dimensions(types[0], "searching for elements in")
    if items is None:
        return None
    is_wanted = _equal_to(element, wanted)
    return [index for index, item in enumerate(items, 1) if is_wanted(item)]


def _remove(types: Sequence[Type], items: list[Any] | None, unwanted: Any) -> list[Any] | None:
    element = _refuse_dimensions(types[0], "removing elements from")
    if items is None:
        return None
    is_unwanted = _equal_to(element, unwanted)
    return [item for item in items if not is_unwanted(item)]


def _replace(types: Sequence[Type], items: list[Any] | None, old: Any, new: Any) -> list[Any] | None:
    if items is None:
        return None
    element = types[0].element
    if element is None or element.kind is Kind.ARRAY:
        raise FeatureNotSupported("array_replace works on arrays of one dimension only")
    is_old = _equal_to(element, old)
    return [new if is_old(item) else item for item in items]


def _trim(items: list[Any], count: int) -> list[Any]:
    if not 0 <= count <= len(items):
        raise ArraySubscriptError(f"number of elements to trim must be between 0 and {len(items)}")
    return items[:len(items) - count]


scalar("array_position", (Like.ARRAY, Like.ELEMENT, INT), INT, _position, None, "where an element first is",
       optional=1, is_strict=False, takes_types=True)
scalar("array_positions", (Like.ARRAY, Like.ELEMENT), array(INT), _positions, None, "all places of an element",
       is_strict=False, takes_types=True)
scalar("array_remove", (Like.ARRAY, Like.ELEMENT), Like.ARRAY, _remove, None, "without an element",
       is_strict=False, takes_types=True)
scalar("array_replace", (Like.ARRAY, Like.ELEMENT, Like.ELEMENT), Like.ARRAY, _replace, None,
       "with one element in the place of another", is_strict=False, takes_types=True)
scalar("trim_array", (Like.ARRAY, INT), Like.ARRAY, _trim, None, "without the last so many")


# ---- sets

def _keys(items: list[Any], type_: Type) -> tuple[list[Any], bool]:
    """What the elements compare by, and whether there is a NULL."""
    key, has_null, keys = sort_key(base_type(type_)), False, []
    for item in flat(items, type_):
        if item is None:
            has_null = True
        else:
            keys.append(key(item))
    return keys, has_null


def _contains(types: Sequence[Type], items: list[Any], part: list[Any]) -> bool:
    wanted, has_null = _keys(part, types[1])
    there = _keys(items, types[0])[0]
    return not has_null and all(key in there for key in wanted)


def _contained(types: Sequence[Type], part: list[Any], items: list[Any]) -> bool:
    return _contains((types[1], types[0]), items, part)


def _overlap(types: Sequence[Type], a: list[Any], b: list[Any]) -> bool:
    there = _keys(b, types[1])[0]
    return any(key in there for key in _keys(a, types[0])[0])


scalar("@>", (Like.ARRAY, Like.ARRAY), BOOL, _contains, None, "has all elements of the second", takes_types=True)
scalar("<@", (Like.ARRAY, Like.ARRAY), BOOL, _contained, None, "all elements are in the second", takes_types=True)
scalar("&&", (Like.ARRAY, Like.ARRAY), BOOL, _overlap, None, "have an element in common", takes_types=True)


# ---- ANY and ALL

@lru_cache(maxsize=1024)
def _comparison(operator: str, left: Type, right: Type) -> Callable[[Any, Any], Any]:
    return resolve(operator, (left, right)).overload.python


def _quantified(operator: str, *, is_any: bool) -> Callable[..., bool | None]:
    """Three-valued: a NULL among the elements leaves the answer open unless another decides it."""
    def python(types: Sequence[Type], value: Any, items: list[Any] | None) -> bool | None:
        if items is None:
            return None
        compare = _comparison(operator, types[0], base_type(types[1]))
        is_open = False
        for item in flat(items, types[1]):
            if value is None or item is None:
                is_open = True
                continue
            if bool(compare(value, item)) == is_any:
                return is_any
        return None if is_open else not is_any
    return python


def _equal_any_form(arguments: Sequence[str], types: Sequence[Type], _result: Type) -> str | None:
    if _is_nested(types[1]) or types[0].kind in (Kind.JSON, Kind.ANY) or types[0].is_padded:
        return None
    return once(arguments, lambda names: (
        f"CASE WHEN {names[1]} IS NULL THEN NULL WHEN len({names[1]}) = 0 THEN FALSE WHEN {names[0]} IS NULL THEN NULL "
        f"WHEN list_contains({names[1]}, {names[0]}) THEN TRUE "
        f"WHEN len({names[1]}) <> list_count({names[1]}) THEN NULL "
        f"ELSE FALSE END"))


def _different_all_form(arguments: Sequence[str], types: Sequence[Type], result: Type) -> str | None:
    there = _equal_any_form(arguments, types, result)
    return None if there is None else f"(NOT {there})"


for _operator in ("=", "<>", "<", "<=", ">", ">="):
    scalar(f"{_operator} any", (Like.ELEMENT, Like.ARRAY), BOOL, _quantified(_operator, is_any=True),
           _equal_any_form if _operator == "=" else None, "true for an element", is_strict=False, takes_types=True)
    scalar(f"{_operator} all", (Like.ELEMENT, Like.ARRAY), BOOL, _quantified(_operator, is_any=False),
           _different_all_form if _operator == "<>" else None, "true for all elements", is_strict=False,
           takes_types=True)
for _operator in ("like", "not like", "ilike", "not ilike", "~", "!~", "~*", "!~*"):
    for _is_any in (True, False):
        scalar(f"{_operator} {'any' if _is_any else 'all'}", (TEXT, TEXTS), BOOL,
               _quantified(_operator, is_any=_is_any), None,
               "true for an element" if _is_any else "true for all elements", is_strict=False, takes_types=True)


# ---- and text

def _write_bool(value: bool) -> str:
    return "t" if value else "f"


def _to_text(types: Sequence[Type], items: list[Any] | None, separator: str | None,
             null_text: str | None = None) -> str | None:
    if items is None or separator is None:
        return None
    element = base_type(types[0])
    write = _write_bool if element.kind is Kind.BOOL else writer(element)
    texts = (null_text if item is None else write(item) for item in flat(items, types[0]))
    return separator.join(text for text in texts if text is not None)


def split(text: str | None, separator: str | None, null_text: str | None = None) -> list[str | None] | None:
    """No separator: letter by letter; an empty one: the text as one piece."""
    if text is None:
        return None
    if not text:
        return []
    pieces = list(text) if separator is None else text.split(separator) if separator else [text]
    return [None if piece == null_text else piece for piece in pieces]


scalar("array_to_string", (Like.ARRAY, TEXT, TEXT), TEXT, _to_text, None, "the elements with a text between them",
       optional=1, is_strict=False, takes_types=True)
scalar("string_to_array", (TEXT, TEXT, TEXT), TEXTS, split, None, "a text cut at each separator", optional=1,
       is_strict=False)
