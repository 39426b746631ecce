"""What a condition says about the key of an index, and when a condition makes another one true.

    price > 5                    Term(column price, ">", 5)              index (price)
    lower(name) = ?              Term(lower(name), "=", ?)               index (lower(name))
    doc->>'a' = 'x'              Term(doc, path a, "=", 'x')             index (doc.a)
    ? = ANY (tags)               Term(elements of tags, "=", ?)          multi-key index (tags)

An indexed expression is kept over ids of stored columns, so the side of a condition that is about the table is
written that way too (`stored_form`), and two are the same when they are equal.

A term that is not `exact` finds all rows of its condition and perhaps others: the condition is tested all the same.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core.catalog.objects import Index, IndexColumn, Table
from phantomdb.core.errors import PhantomError
from phantomdb.core.query import plan
from phantomdb.core.query.functions.registry import Volatility, overloads, resolve
from phantomdb.core.query.rewrite import columns_of, references, substitute, walk
from phantomdb.core.values import JSON, JSON_NULL, Kind, Type

MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_UNORDERED = (Kind.JSON, Kind.ARRAY, Kind.ANY)


@dataclass(frozen=True, slots=True)
class Choice(plan.Expression):
    """One of several values: those of `items`, or with `is_array` the elements of the only one. With `is_document`
    each is what a JSON value is found by (`document_values`)."""

    items: tuple[plan.Expression, ...]
    is_array: bool = False
    is_document: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """`side` of a table, in stored form, compared with `value`, which does not depend on the row. `path`: into the
    JSON column that `side` is; `is_element`: any element of the array that `side` is."""

    condition: plan.Expression
    side: plan.Expression
    operator: str
    value: plan.Expression
    path: tuple[str | int, ...] = ()
    is_element: bool = False
    may_be_array: bool = False           # the value at the path, which a multi-key index has by its elements
    exact: bool = True

    def is_about(self, part: IndexColumn, is_multi_key: bool, table: Table) -> bool:
        """Whether the entries of the index for this part answer it."""
        if part.path:
            return self.path == part.path and isinstance(self.side, plan.Column) and self.side.id == part.column and (
                not self.may_be_array if is_multi_key else not self.is_element)
        if self.path or self.is_element:
            return self.is_element and is_multi_key and not self.path and part.column is not None and (
                isinstance(self.side, plan.Column) and self.side.id == part.column)
        if part.expression is not None:
            bound = part.expression.bound
            return not is_multi_key and self.side == bound and keeps_order(bound.type, self.side.type)
        if not isinstance(self.side, plan.Column) or self.side.id != part.column:
            return False
        kind = table.column_by_id(part.column).type.kind
        return not is_multi_key or kind not in _UNORDERED


def terms(conditions: Iterable[plan.Expression], sources: Mapping[int, int]) -> list[Term]:
    """What the conditions say; `sources`: the stored column of each of the scan's columns."""
    return [term for condition in conditions for term in _terms(condition, sources)]


def _terms(condition: plan.Expression, sources: Mapping[int, int]) -> Iterator[Term]:
    match condition:
        case plan.Column(type=Type(kind=Kind.BOOL)) if sources.get(condition.id, 0) > 0:
            yield Term(condition, stored_form(condition, sources), "=", plan.TRUE)
        case plan.Call(name="not", arguments=(plan.Column() as column,)) if sources.get(column.id, 0) > 0:
            yield Term(condition, stored_form(column, sources), "=", plan.FALSE)
        case plan.Call(name="is not null", arguments=(plan.Column() as column,)) if sources.get(column.id, 0) > 0:
            yield Term(condition, stored_form(column, sources), "not null", plan.TRUE)
        case plan.Call(name=name, arguments=(left, right)) if name in MIRRORED:
            for side, other, operator in ((left, right, name), (right, left, MIRRORED[name])):
                if is_fixed(other, sources):
                    yield from _comparison(condition, side, operator, other, sources)
        case plan.Call(name="in", arguments=(side, *items)) if all(is_fixed(item, sources) for item in items):
            kinds = {item.type.kind for item in items}
            if kinds <= {side.type.kind}:
                yield from _comparison(condition, side, "=", Choice(side.type, tuple(items)), sources)
        case plan.Call(name="= any", arguments=(side, array)):
            yield from _any(condition, side, array, sources)
        case plan.Call(name="@>" | "&&", arguments=(side, array)) if is_fixed(array, sources):
            yield from _contains(condition, side, array, sources)


def _comparison(condition: plan.Expression, side: plan.Expression, operator: str, value: plan.Expression,
                sources: Mapping[int, int]) -> Iterator[Term]:
    if not references(side) & sources.keys() or not _is_stored(side, sources):
        return
    column = _column(side)
    if column is not None:
        if keeps_order(column.type, side.type):
            yield Term(condition, stored_form(column, sources), operator, value)
        return
    if side.type.kind not in _UNORDERED:
        yield Term(condition, stored_form(side, sources), operator, value)
    if operator == "=" and (found := json_path(side)) is not None:
        document, path = found
        items = value.items if isinstance(value, Choice) else (value,)
        if isinstance(value, Choice) and value.is_array:
            return
        given = [item.value if isinstance(item, plan.Literal) else None for item in items]
        if side.type.kind is Kind.TEXT:
            may_be_array = any(not isinstance(item, str) or item.lstrip()[:1] == "[" for item in given)
        elif any(item is None or item is JSON_NULL for item in given):       # null is found as no value is
            return
        else:
            may_be_array = any(isinstance(item, list) for item in given)
        yield Term(condition, stored_form(document, sources), "=", Choice(side.type, items, is_document=True), path,
                   may_be_array=may_be_array, exact=False)


def _any(condition: plan.Expression, side: plan.Expression, items: plan.Expression, sources: Mapping[int, int]
         ) -> Iterator[Term]:
    """x = ANY (array): of a value in a fixed array, or of a fixed value in the table's."""
    if is_fixed(items, sources) and items.type.element is not None and items.type.element.kind is side.type.kind:
        yield from _comparison(condition, side, "=", Choice(side.type, (items,), is_array=True), sources)
    elif isinstance(items, plan.Column) and is_fixed(side, sources) and _is_stored(items, sources) and (
            items.type.element is not None and keeps_order(items.type.element, side.type)):
        yield Term(condition, stored_form(items, sources), "=", side, is_element=True, exact=False)


def _contains(condition: plan.Expression, side: plan.Expression, items: plan.Expression, sources: Mapping[int, int]
              ) -> Iterator[Term]:
    """array @> array, array && array, jsonb @> jsonb: by one element, or any of them."""
    if not isinstance(condition, plan.Call) or not references(side) & sources.keys():
        return
    if side.type.kind is Kind.JSON:
        if condition.name == "@>" and isinstance(items, plan.Literal) and items.value is not None and (
                (found := json_path(side, may_be_column=True)) is not None):
            column, path = found
            for more, value, is_element in _members(items.value, path):
                choice = Choice(JSON, (plan.Literal(JSON, value),), is_document=True)
                yield Term(condition, stored_form(column, sources), "=", choice, more, is_element, exact=False)
        return
    if not isinstance(side, plan.Column) or side.type.element is None or items.type.element is None or not (
            keeps_order(side.type.element, items.type.element)):
        return
    stored = stored_form(side, sources)
    if condition.name == "&&":
        choice = Choice(side.type.element, (items,), is_array=True)
        yield Term(condition, stored, "=", choice, is_element=True, exact=False)
        return
    if isinstance(items, plan.Call) and items.name == "array" and items.arguments:
        yield Term(condition, stored, "=", items.arguments[0], is_element=True, exact=False)
    elif isinstance(items, plan.Literal) and isinstance(items.value, list) and items.value:
        first: Any = items.value[0]
        yield Term(condition, stored, "=", plan.Literal(side.type.element, first), is_element=True, exact=False)


def _members(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any, bool]]:
    """(path, value, is it an element of an array there) of scalars that a document must have to contain `value`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _members(inner, (*path, name))
    elif path:
        is_element = isinstance(value, list)
        for inner in value[:1] if isinstance(value, list) else [value]:
            if inner is not None and inner is not JSON_NULL and not isinstance(inner, (dict, list)):
                yield path, inner, is_element


# -------------------------------------------------------------------- parts of conditions

def stored_form(expression: plan.Expression, sources: Mapping[int, int]) -> plan.Expression:
    """`expression` with the ids of stored columns in the place of the scan's numbers."""
    return substitute(expression, lambda part, _: plan.Column(part.type, sources[part.id])
                      if isinstance(part, plan.Column) and part.id in sources else None)


def is_fixed(expression: plan.Expression, sources: Mapping[int, int]) -> bool:
    """Whether it is one value for all rows of the scan."""
    return not references(expression) & sources.keys() and not is_volatile(expression)


def is_volatile(expression: plan.Expression) -> bool:
    """Whether it may be another value each time: random(), nextval()."""
    for part in walk(expression):
        if isinstance(part, plan.Call) and overloads(part.name):
            found = resolve(part.name, [argument.type for argument in part.arguments]).overload
            if found.volatility is Volatility.VOLATILE:
                return True
    return False


def _is_stored(side: plan.Expression, sources: Mapping[int, int]) -> bool:
    """Whether all of its columns are stored ones, and it holds no subquery."""
    return all(sources.get(number, 0) > 0 for number in columns_of(side)) and not any(
        isinstance(part, plan.Subquery) for part in walk(side)) and not is_volatile(side)


def _column(side: plan.Expression) -> plan.Column | None:
    """The column that `side` is, perhaps as a wider type of its kind."""
    inner = side.argument if isinstance(side, plan.Cast) else side
    if isinstance(inner, plan.Column) and inner.type.kind is side.type.kind and _has_room(side.type, inner.type):
        return inner
    return None


def _has_room(wide: Type, narrow: Type) -> bool:
    """Whether each value of `narrow` is the same as `wide`, a type of the same kind."""
    if wide.length is not None and (narrow.length is None or narrow.length > wide.length):
        return False
    if wide.precision is not None:
        if narrow.precision is None:
            return False
        scale, narrow_scale = wide.scale or 0, narrow.scale or 0
        return scale >= narrow_scale and wide.precision - scale >= narrow.precision - narrow_scale
    return wide.bits >= narrow.bits


def keeps_order(column: Type, compared: Type) -> bool:
    """Whether the column's keys are ordered as the values it is compared as: of the same kind. A whole number in an
    index is the same bytes for all widths."""
    if column.kind is not compared.kind or column.is_padded != compared.is_padded:
        return False
    return column.kind not in _UNORDERED


# -------------------------------------------------------------------- documents

def json_path(side: plan.Expression, *, may_be_column: bool = False
              ) -> tuple[plan.Column, tuple[str | int, ...]] | None:
    """(column, path) of column -> 'a' -> 'b', the last step perhaps ->>."""
    path: list[str | int] = []
    is_last = True
    while isinstance(side, plan.Call) and (side.name == "->" or (side.name == "->>" and is_last)):
        side, step = side.arguments
        if not isinstance(step, plan.Literal) or not isinstance(step.value, str):
            return None
        path.insert(0, step.value)
        is_last = False
    if isinstance(side, plan.Column) and side.type.kind is Kind.JSON and (path or may_be_column):
        return side, tuple(path)
    return None


def document_values(value: Any, is_text: bool) -> list[Any]:
    """What an index over a path may hold where the path's value is `value`, or with `is_text`, where ->> gives it."""
    found = [value]
    if is_text:
        try:
            found.append(json.loads(value, parse_float=Decimal, parse_constant=_refused))
        except (ValueError, RecursionError):
            pass
    return [item for item in found if item is not None and item is not JSON_NULL and _has_key(item)]


def _refused(name: str) -> Any:
    raise ValueError(name)


_DOCUMENT_KEYS = KeyCodec([(int(Kind.ANY), False, False)])


def _has_key(value: Any) -> bool:
    """What cannot be written into an index is not in one."""
    try:
        _DOCUMENT_KEYS.encode((value,))
    except (PhantomError, ValueError, OverflowError, TypeError):
        return False
    return True


# -------------------------------------------------------------------- partial indexes

def implied(index: Index, conditions: Sequence[plan.Expression], sources: Mapping[int, int]
            ) -> list[plan.Expression] | None:
    """Whether every row for which the conditions hold is in the index: those of them that its predicate says as well;
    None: not so."""
    if index.predicate is None:
        return []
    from phantomdb.core.query.optimizer import conjuncts
    stored = [(condition, stored_form(condition, sources)) for condition in conditions
              if _is_stored(condition, sources)]
    same: list[plan.Expression] = []
    for part in conjuncts(index.predicate.bound):
        equal = next((condition for condition, form in stored if form == part), None)
        if equal is not None:
            same.append(equal)
        elif not any(_makes_true(form, part) for _, form in stored):
            return None
    return same


def _makes_true(given: plan.Expression, wanted: plan.Expression) -> bool:
    """Whether `wanted` is true wherever `given` is: of comparisons of one thing with constants, and IS NOT NULL."""
    if isinstance(wanted, plan.Call) and wanted.name == "or":
        return any(_makes_true(given, part) or given == part for part in wanted.arguments)
    if not isinstance(given, plan.Call) or not isinstance(wanted, plan.Call):
        return False
    if wanted.name == "is not null":
        compared = given.arguments if given.name in MIRRORED or given.name == "<>" else given.arguments[:1] \
            if given.name in ("in", "= any") else ()
        return any(_column(side) == wanted.arguments[0] or side == wanted.arguments[0] for side in compared)
    have, want = _constant_comparison(given), _constant_comparison(wanted)
    if have is None or want is None or have[0] != want[0]:
        return False
    _, operator, value = have
    _, needed, bound = want
    if type(value) is not type(bound) or value != value or bound != bound:
        return False
    tests: dict[str, tuple[str, ...]] = {"<": ("<", "<=", "="), "<=": ("<", "<=", "="), ">": (">", ">=", "="),
                                         ">=": (">", ">=", "="), "=": ("=",)}
    if operator not in tests.get(needed, ()):
        return needed == "<>" and operator == "=" and bool(value != bound)
    if needed == "=":
        return bool(value == bound)
    is_strict = len(needed) == 1 and operator != needed
    if needed[0] == "<":
        return bool(value < bound) if is_strict else bool(value <= bound)
    return bool(value > bound) if is_strict else bool(value >= bound)


def _constant_comparison(condition: plan.Call) -> tuple[plan.Expression, str, Any] | None:
    """(side, operator, value) of a comparison with a constant of an ordered kind."""
    if len(condition.arguments) != 2 or condition.name not in (*MIRRORED, "<>"):
        return None
    left, right = condition.arguments
    for side, other, operator in ((left, right, condition.name),
                                  (right, left, MIRRORED.get(condition.name, "<>"))):
        if isinstance(other, plan.Literal) and other.value is not None and other.type.kind in (
                Kind.INT, Kind.DECIMAL, Kind.TEXT, Kind.BOOL, Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ) and not (
                other.type.is_padded):
            return _column(side) or side, operator, other.value
    return None


