"""Sorting documents as MongoDB does: by paths, up or down, in the order of all values.

A path that leads to several values counts with the smallest of them going up, the largest going down; an empty array
comes before null, and what is not there counts as null.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import BadValue, CommandNotSupported
from phantomdb.frontends.document.expression_base import fail
from phantomdb.frontends.document.values import MISSING, Document, order_key

SortSpecification = Mapping[str, Any] | Iterable[tuple[str, Any]]
_NULL_KEY = order_key(None)
_EMPTY_KEY = (0x0A,)                     # between MinKey and null


class Descending:
    """A key in the opposite order."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: Descending) -> bool:
        return bool(other.key < self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(other.key == self.key)

    __hash__ = None                      # type: ignore[assignment]


def direction(value: Any) -> int:
    """1 or -1."""
    if isinstance(value, Mapping):
        if "$meta" in value:
            raise CommandNotSupported("$meta is not supported")
        raise fail(15974, "Illegal key in $sort specification")
    if values.is_number(value) and values.number_of(value) in (1, -1):
        return int(values.number_of(value))
    raise fail(15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")


def sort_fields(specification: SortSpecification) -> list[tuple[tuple[str, ...], int]]:
    """Paths and directions, of a mapping or of pairs as PyMongo has them."""
    pairs = list(specification.items()) if isinstance(specification, Mapping) else list(specification)
    if not pairs:
        raise fail(15976, "$sort stage must have at least one sort key")
    fields = []
    for path, value in pairs:
        if not isinstance(path, str) or not path or any(not step for step in path.split(".")):
            raise BadValue(f"FieldPath field names may not be empty strings ($sort by {path!r})")
        if path.startswith("$"):
            raise fail(16410, f"FieldPath field names may not start with '$' ($sort by {path!r})")
        fields.append((tuple(path.split(".")), direction(value)))
    return fields


def compile_sort_key(specification: SortSpecification) -> Callable[[Document], Any]:
    """A function from a document to what sorted() compares."""
    fields = sort_fields(specification)
    if len(fields) == 1:
        (path, way), = fields
        if way > 0:
            return lambda document: value_key(document, path, 1)
        return lambda document: Descending(value_key(document, path, -1))
    return lambda document: [value_key(document, path, 1) if way > 0 else Descending(value_key(document, path, -1))
                             for path, way in fields]


def compile_sort(specification: SortSpecification) -> Callable[[Iterable[Document]], list[Document]]:
    key = compile_sort_key(specification)
    return lambda documents: sorted(documents, key=key)


def value_key(document: Any, path: tuple[str, ...], way: int) -> tuple[Any, ...]:
    if len(path) == 1 and isinstance(document, dict):
        value = document.get(path[0])
        if not isinstance(value, list):
            return order_key(value)
    found = [_EMPTY_KEY if value is _EMPTY else order_key(None if value is MISSING else value)
             for value in path_values(document, path)]
    if not found:
        return _NULL_KEY
    return min(found) if way > 0 else max(found)


class Empty:
    """What an array without elements counts as."""


_EMPTY = Empty()


def path_values(value: Any, path: tuple[str, ...], is_in_array: bool = False) -> Iterable[Any]:
    """All a path leads to: through arrays by element or by position; MISSING where it leads nowhere in an object, and
    for an array at its end the elements, or a mark where it has none."""
    if not path:
        if isinstance(value, list | tuple) and not is_in_array:
            yield from value if value else (_EMPTY,)
        else:
            yield value
    elif isinstance(value, dict):
        yield from path_values(value[path[0]], path[1:]) if path[0] in value else (MISSING,)
    elif isinstance(value, list | tuple) and not is_in_array:
        if path[0].isdigit() and int(path[0]) < len(value):
            yield from path_values(value[int(path[0])], path[1:])
            return
        for item in value:
            yield from path_values(item, path, True)
    else:
        yield MISSING
