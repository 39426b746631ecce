"""JSON: what an operator or function of jsonb gives, as functions of Python values.

    '{"a": [1, {"b": null}]}' #> '{a,1,b}'   ->   JSON null, which is JSON_NULL; nothing there is NULL, which is None

json and jsonb are one type here, which keeps what jsonb keeps: each key once, numbers exact. The functions have both
names. At the top of a value JSON null is JSON_NULL, inside it is None: `_outer` and `_inner` go between the two.
DuckDB reads numbers with a fraction as floats: where such a number is in the result the definition is asked.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from phantomdb.core.query.cast_json import read_json
from phantomdb.core.query.cast_moments import write_timestamptz
from phantomdb.core.query.cast_numbers import write_float
from phantomdb.core.query.casts import type_of, writer
from phantomdb.core.query.errors import (
    ArraySubscriptError,
    InvalidParameterValue,
    NullValueNotAllowed,
    QueryError,
)
from phantomdb.core.query.functions import json_documents as documents
from phantomdb.core.query.functions.json_documents import inner, outer, text_of
from phantomdb.core.query.functions.numbers import scalar
from phantomdb.core.query.functions.registry import (
    DuckForm,
    FunctionKind,
    Like,
    Overload,
    Pattern,
    Volatility,
    register,
)
from phantomdb.core.values import BOOL, INT, JSON, TEXT, JsonNull, Kind, Type, array

TEXTS = array(TEXT)


def _both(name: str) -> tuple[str, str]:
    return f"jsonb_{name}", f"json_{name}"


def _register(names: str | tuple[str, ...], arguments: tuple[Pattern, ...], result: Type, python: Callable[..., Any],
              duckdb: DuckForm | None = None, summary: str = "", **options: Any) -> None:
    for name in (names,) if isinstance(names, str) else names:
        scalar(name, arguments, result, python, duckdb, summary, **options)


# ---- SQL values made JSON

def document_of(value: Any, type_: Type) -> Any:
    """A value of any type as part of a document: what has no JSON form is its text."""
    if value is None or isinstance(value, JsonNull):
        return None
    match type_.kind:
        case Kind.ANY:
            return document_of(value, type_of(value))
        case Kind.ARRAY:
            assert type_.element is not None
            return [document_of(item, type_.element) for item in value]
        case Kind.FLOAT:
            text = write_float(value, type_.bits)
            return _number_of(Decimal(text)) if math.isfinite(value) else text
        case Kind.DECIMAL:
            return _number_of(Decimal(writer(type_)(value)))
        case Kind.TIMESTAMP:
            return writer(type_)(value).replace(" ", "T")
        case Kind.TIMESTAMPTZ:
            written = write_timestamptz(value).replace(" ", "T")
            return written if ":" in written[-3:] else written + ":00"
        case Kind.JSON | Kind.BOOL | Kind.INT | Kind.TEXT:
            return value
    return writer(type_)(value)


def _number_of(value: Decimal) -> int | Decimal:
    exponent = value.as_tuple().exponent
    return int(value) if isinstance(exponent, int) and exponent >= 0 else value


def _to_json(types: Sequence[Type], value: Any) -> Any:
    return outer(document_of(value, types[0]))


def _build_array(types: Sequence[Type], *values: Any) -> list[Any]:
    return [document_of(value, type_) for value, type_ in zip(values, types, strict=True)]


def _build_object(types: Sequence[Type], *values: Any) -> dict[str, Any]:
    if len(values) % 2:
        raise InvalidParameterValue("argument list must have even number of elements")
    built: dict[str, Any] = {}
    for index in range(0, len(values), 2):
        if values[index] is None:
            raise InvalidParameterValue(f"argument {index + 1}: key must not be null")
        if types[index].kind in (Kind.ARRAY, Kind.JSON):
            raise InvalidParameterValue("key value must be scalar, not array, composite, or json")
        key = document_of(values[index], types[index])
        built[key if isinstance(key, str) else text_of(key) or ""] = document_of(values[index + 1], types[index + 1])
    return built


def _object_of_pairs(pairs: Iterable[tuple[str | None, str | None]]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key, value in pairs:
        if key is None:
            raise NullValueNotAllowed("null value not allowed for object key")
        built[key] = value
    return built


def _object_of_texts(items: list[str | None]) -> dict[str, Any]:
    if len(items) % 2:
        raise ArraySubscriptError("array must have even number of elements")
    return _object_of_pairs(zip(items[::2], items[1::2], strict=True))


def _object_of_rows(rows: list[list[str | None]]) -> dict[str, Any]:
    if any(len(row) != 2 for row in rows):
        raise ArraySubscriptError("array must have two columns")
    return _object_of_pairs((row[0], row[1]) for row in rows)


def _object_of_two(keys: list[str | None], values: list[str | None]) -> dict[str, Any]:
    if len(keys) != len(values):
        raise ArraySubscriptError("mismatched array dimensions")
    return _object_of_pairs(zip(keys, values, strict=True))


def _array_to_json(types: Sequence[Type], items: list[Any], _with_line_feeds: bool = False) -> Any:
    return document_of(items, types[0])


# what a moment's text is hangs on the session's zone
_register(("to_jsonb", "to_json"), (Like.ANY,), JSON, _to_json, None, "any value as JSON", takes_types=True,
          volatility=Volatility.STABLE)
_register(_both("build_array"), (Like.ANY,), JSON, _build_array, None, "the arguments as an array",
          is_variadic=True, is_strict=False, takes_types=True, volatility=Volatility.STABLE)
_register(_both("build_object"), (Like.ANY,), JSON, _build_object, None,
          "keys and values in turn as an object", is_variadic=True, is_strict=False, takes_types=True,
          volatility=Volatility.STABLE)
_register("array_to_json", (Like.ARRAY,), JSON, _array_to_json, None, "an array as JSON", takes_types=True,
          volatility=Volatility.STABLE)
_register("array_to_json", (Like.ARRAY, BOOL), JSON, _array_to_json, None, "... the boolean has no effect",
          takes_types=True, volatility=Volatility.STABLE)
_register(_both("object"), (TEXTS,), JSON, _object_of_texts, None, "keys and values in turn")
_register(_both("object"), (array(TEXTS),), JSON, _object_of_rows, None, "pairs of key and value")
_register(_both("object"), (TEXTS, TEXTS), JSON, _object_of_two, None, "keys, and the values to them")


# ---- a part of a document

def _field(document: Any, key: str) -> Any:
    return outer(document[key]) if isinstance(document, dict) and key in document else None


def _element(document: Any, index: int) -> Any:
    # a scalar is found at 0 of itself, as in PostgreSQL
    items = document if isinstance(document, list) else [] if isinstance(document, dict) else [inner(document)]
    return outer(items[index]) if -len(items) <= index < len(items) else None


def _at_path(document: Any, path: Sequence[str | None]) -> Any:
    found: Any = document
    for step in path:
        if step is None:
            return None
        if isinstance(found, list):
            index = documents.index_of(step)
            found = None if index is None else _element(found, index)
        else:
            found = _field(found, step)
        if found is None:
            return None
    return found


def _at_steps(document: Any, *path: str) -> Any:
    return _at_path(document, path)


def _as_text(python: Callable[..., Any]) -> Callable[..., str | None]:
    def function(*arguments: Any) -> str | None:
        found = python(*arguments)
        return None if found is None else text_of(found)
    return function


for _second, _python in ((TEXT, _field), (INT, _element)):
    _register("->", (JSON, _second), JSON, _python, None, "the field of an object, the element of an array")
    _register("->>", (JSON, _second), TEXT, _as_text(_python), None, "... as text")
_register("#>", (JSON, TEXTS), JSON, _at_path, None, "what stands at a path")
_register("#>>", (JSON, TEXTS), TEXT, _as_text(_at_path), None, "... as text")
_register(_both("extract_path"), (JSON, TEXT), JSON, _at_steps, None, "what stands at a path",
          is_variadic=True)
_register(_both("extract_path_text"), (JSON, TEXT), TEXT, _as_text(_at_steps), None,
          "... as text", is_variadic=True)


# ---- tests

def _has_key(document: Any, key: str) -> bool:
    if isinstance(document, dict):
        return key in document
    return key in document if isinstance(document, list) else document == key


def _has_any(document: Any, keys: list[str | None]) -> bool:
    return any(_has_key(document, key) for key in keys if key is not None)


def _has_all(document: Any, keys: list[str | None]) -> bool:
    return all(_has_key(document, key) for key in keys if key is not None)


_register("@>", (JSON, JSON), BOOL, documents.contains, None, "has all that the second has")
_register("<@", (JSON, JSON), BOOL, lambda a, b: documents.contains(b, a), None, "is all in the second")
for _name in ("?", "jsonb_exists"):
    _register(_name, (JSON, TEXT), BOOL, _has_key, None, "has the key, or the text as an element")
for _name in ("?|", "jsonb_exists_any"):
    _register(_name, (JSON, TEXTS), BOOL, _has_any, None, "has one of the keys")
for _name in ("?&", "jsonb_exists_all"):
    _register(_name, (JSON, TEXTS), BOOL, _has_all, None, "has all of the keys")


def _is_json(kinds: tuple[type, ...]) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        try:
            return isinstance(read_json(text), kinds)
        except QueryError:
            return False
    return test


for _name, _kinds in (("is json", (object,)), ("is json value", (object,)), ("is json object", (dict,)),
                      ("is json array", (list,)), ("is json scalar", (str, int, Decimal, bool, JsonNull))):
    _register(_name, (TEXT,), BOOL, _is_json(_kinds), None, "the text can be read as JSON of the kind")
    _register(_name, (JSON,), BOOL, lambda value, kinds=_kinds: isinstance(value, kinds), None, "is of the kind")

_register(_both("typeof"), (JSON,), TEXT, documents.kind_of, None,
          "object, array, string, number, boolean or null")


def _array_length(document: Any) -> int:
    if not isinstance(document, list):
        what = "non-array" if isinstance(document, dict) else "scalar"
        raise InvalidParameterValue(f"cannot get array length of a {what}")
    return len(document)


_register(_both("array_length"), (JSON,), INT, _array_length, None, "how many elements")


# ---- changed documents

_register("||", (JSON, JSON), JSON, documents.concatenate, None, "two objects merged, two arrays joined")
_register("-", (JSON, TEXT), JSON, documents.without_key, None, "without a key, or without elements of that text")
_register("-", (JSON, TEXTS), JSON, documents.without_keys, None, "without any of the keys")
_register("-", (JSON, INT), JSON, documents.without_element, None, "without an element")
_register("#-", (JSON, TEXTS), JSON, documents.without_path, None, "without what stands at a path")


def _set(document: Any, path: list[str | None], value: Any, creates: bool = True) -> Any:
    return documents.with_path(document, path, value, "set" if creates else "replace")


def _insert(document: Any, path: list[str | None], value: Any, is_after: bool = False) -> Any:
    return documents.with_path(document, path, value, "after" if is_after else "before")


def _set_lax(document: Any, path: list[str | None] | None, value: Any, creates: bool | None = True,
             null_treatment: str | None = "use_json_null") -> Any:
    if document is None or path is None or creates is None:
        return None
    if null_treatment is None:
        raise InvalidParameterValue(_NULL_TREATMENTS)
    if value is not None:
        return _set(document, path, value, creates)
    match null_treatment:
        case "use_json_null":
            return _set(document, path, outer(None), creates)
        case "delete_key":
            return documents.without_path(document, path)
        case "return_target":
            return document
        case "raise_exception":
            raise NullValueNotAllowed("JSON value must not be null")
    raise InvalidParameterValue(_NULL_TREATMENTS)


_NULL_TREATMENTS = ('null_value_treatment must be "delete_key", "return_target", "use_json_null", or '
                    '"raise_exception"')
_register("jsonb_set", (JSON, TEXTS, JSON, BOOL), JSON, _set, None, "with a new value at a path", optional=1)
_register("jsonb_set_lax", (JSON, TEXTS, JSON, BOOL, TEXT), JSON, _set_lax, None, "... that may be NULL", optional=2,
          is_strict=False)
_register("jsonb_insert", (JSON, TEXTS, JSON, BOOL), JSON, _insert, None, "with a value put in at a path", optional=1)
_register(_both("strip_nulls"), (JSON,), JSON, documents.without_nulls, None,
          "without fields that are null")
_register("jsonb_pretty", (JSON,), TEXT, documents.pretty, None, "as text with lines and indents")


# ---- documents as rows

def _elements(document: Any) -> list[Any]:
    if not isinstance(document, list):
        what = "an object" if isinstance(document, dict) else "a scalar"
        raise InvalidParameterValue(f"cannot extract elements from {what}")
    return [outer(item) for item in document]


def _pairs(name: str, convert: Callable[[Any], Any]) -> Callable[[Any], list[tuple[str, Any]]]:
    def python(document: Any) -> list[tuple[str, Any]]:
        if not isinstance(document, dict):
            raise InvalidParameterValue(f"cannot call {name} on a non-object")
        return [(key, convert(document[key])) for key in documents.keys_in_order(document)]
    return python


def _keys(document: Any) -> list[str]:
    if not isinstance(document, dict):
        what = "an array" if isinstance(document, list) else "a scalar"
        raise InvalidParameterValue(f"cannot call jsonb_object_keys on {what}")
    return documents.keys_in_order(document)


def _table(names: str | tuple[str, str], python: Callable[..., Any], result: Type, summary: str,
           columns: tuple[tuple[str, Type], ...] = ()) -> None:
    for name in (names,) if isinstance(names, str) else names:
        register(Overload(name, FunctionKind.TABLE, (JSON,), result, python, summary=summary, columns=columns))


_table(_both("array_elements"), _elements, JSON, "a row for each element")
_table(_both("array_elements_text"),
       lambda document: [text_of(item) for item in _elements(document)], TEXT, "... as text")
_table(_both("object_keys"), _keys, TEXT, "a row for each key")
for _prefix in ("jsonb", "json"):
    for _name, _convert, _value_type, _summary in ((f"{_prefix}_each", outer, JSON, "a row for each field"),
                                                   (f"{_prefix}_each_text", text_of, TEXT, "... as text")):
        _table(_name, _pairs(_name, _convert), _value_type, _summary, (("key", TEXT), ("value", _value_type)))
