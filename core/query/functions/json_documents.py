"""What jsonb's operators do to a document: containment, and changes at a path, which give a new document.

Arguments and results are whole values, so JSON null is JSON_NULL there; `inner` and `outer` go between that and the
None that stands for it inside of a document.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

from phantomdb.core.query.cast_json import write_json
from phantomdb.core.query.errors import InvalidParameterValue, InvalidTextRepresentation, NullValueNotAllowed
from phantomdb.core.query.ordering import json_key
from phantomdb.core.values import JSON_NULL, JsonNull

_INDEX = re.compile(r"[ \t\n\r\f\v]*[+-]?[0-9]+", re.ASCII)
_INDENT = "    "
# set: put or replace; replace: only what is there; before, after: put in, replace nothing
Change = Literal["set", "replace", "before", "after", "delete"]


def inner(value: Any) -> Any:
    return None if isinstance(value, JsonNull) else value


def outer(value: Any) -> Any:
    return JSON_NULL if value is None else value


def text_of(value: Any) -> str | None:
    """As ->> gives it: a string as it is, JSON null as NULL."""
    value = inner(value)
    return value if value is None or isinstance(value, str) else write_json(value)


def keys_in_order(document: dict[str, Any]) -> list[str]:
    """The shorter first, as jsonb keeps them."""
    return sorted(document, key=lambda key: (len(stored := key.encode("utf-8", "surrogatepass")), stored))


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    return {dict: "object", list: "array", JsonNull: "null", type(None): "null"}.get(type(value), "string")


def index_of(step: str) -> int | None:
    """A step of a path as the index of an array; None: it is none."""
    if not _INDEX.fullmatch(step) or len(step) > 20:
        return None
    index = int(step)
    return index if -(1 << 31) <= index < 1 << 31 else None


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list)


def contains(document: Any, part: Any) -> bool:
    """An array contains a scalar that is one of its elements, at the top only."""
    if isinstance(document, list) and not _is_container(part):
        return _has_element(document, inner(part))
    return _contains(inner(document), inner(part))


def _contains(document: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(document, dict) and all(
            key in document and _contains(document[key], value) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(document, list) and all(
            any(_is_container(item) and _contains(item, wanted) for item in document) if _is_container(wanted)
            else _has_element(document, wanted) for wanted in part)
    return not _is_container(document) and bool(json_key(document) == json_key(part))


def _has_element(items: list[Any], scalar: Any) -> bool:
    key = json_key(scalar)
    return any(not _is_container(item) and json_key(item) == key for item in items)


# ---- changes

def concatenate(a: Any, b: Any) -> Any:
    if isinstance(a, dict) and isinstance(b, dict):
        return a | b
    return [*(a if isinstance(a, list) else [inner(a)]), *(b if isinstance(b, list) else [inner(b)])]


def without_key(document: Any, key: str) -> Any:
    return without_keys(document, [key])


def without_keys(document: Any, keys: Sequence[str | None]) -> Any:
    if not _is_container(document):
        raise InvalidParameterValue("cannot delete from scalar")
    gone = {key for key in keys if key is not None}
    if isinstance(document, list):
        return [item for item in document if not (isinstance(item, str) and item in gone)]
    return {key: value for key, value in document.items() if key not in gone}


def without_element(document: Any, index: int) -> Any:
    if isinstance(document, dict):
        raise InvalidParameterValue("cannot delete from object using integer index")
    if not isinstance(document, list):
        raise InvalidParameterValue("cannot delete from scalar")
    return document if not -len(document) <= index < len(document) else [
        item for place, item in enumerate(document) if place != index % len(document)]


def without_path(document: Any, path: Sequence[str | None]) -> Any:
    if not _is_container(document):
        raise InvalidParameterValue("cannot delete path in scalar")
    return _changed(document, path, 0, None, "delete") if path and document else document


def with_path(document: Any, path: Sequence[str | None], value: Any, change: Change) -> Any:
    """InvalidParameterValue: the document is a scalar, or an insertion finds the key there already;
    InvalidTextRepresentation: a step into an array is no number."""
    if not _is_container(document):
        raise InvalidParameterValue("cannot set path in scalar")
    if not path or (not document and change == "replace"):
        return document
    return _changed(document, path, 0, inner(value), change)


def _changed(node: Any, path: Sequence[str | None], level: int, value: Any, change: Change) -> Any:
    step, is_last = path[level], level == len(path) - 1
    if not _is_container(node):
        return node
    if step is None:
        raise NullValueNotAllowed(f"path element at position {level + 1} is null")
    if isinstance(node, dict):
        return _changed_object(node, step, is_last, path, level, value, change)
    return _changed_array(node, step, is_last, path, level, value, change)


def _changed_object(node: dict[str, Any], step: str, is_last: bool, path: Sequence[str | None], level: int, value: Any,
                    change: Change) -> dict[str, Any]:
    if not is_last:
        return {**node, step: _changed(node[step], path, level + 1, value, change)} if step in node else node
    if change == "delete":
        return {key: item for key, item in node.items() if key != step}
    if step in node:
        if change in ("before", "after"):
            raise InvalidParameterValue("cannot replace existing key")
        return {**node, step: value}
    return node if change == "replace" else {**node, step: value}


def _changed_array(node: list[Any], step: str, is_last: bool, path: Sequence[str | None], level: int, value: Any,
                   change: Change) -> list[Any]:
    index = index_of(step)
    if index is None:
        raise InvalidTextRepresentation(f'path element at position {level + 1} is not an integer: "{step}"')
    place = index + len(node) if index < 0 else index
    is_there = 0 <= place < len(node)
    if not is_last:
        return [*node[:place], _changed(node[place], path, level + 1, value, change), *node[place + 1:]] if (
            is_there) else node
    if not is_there:
        if change in ("delete", "replace"):
            return node
        return [value, *node] if place < 0 else [*node, value]
    match change:
        case "before":
            return [*node[:place], value, *node[place:]]
        case "after":
            return [*node[:place + 1], value, *node[place + 1:]]
        case "delete":
            return [*node[:place], *node[place + 1:]]
    return [*node[:place], value, *node[place + 1:]]


def without_nulls(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: without_nulls(value) for key, value in document.items() if value is not None}
    return [without_nulls(item) for item in document] if isinstance(document, list) else document


def pretty(document: Any, indent: str = "") -> str:
    if not _is_container(document):
        return write_json(document)
    deeper = indent + _INDENT
    if isinstance(document, dict):
        lines = [f"{deeper}{write_json(key)}: {pretty(document[key], deeper)}" for key in keys_in_order(document)]
    else:
        lines = [deeper + pretty(item, deeper) for item in document]
    opening, closing = ("{", "}") if isinstance(document, dict) else ("[", "]")
    return "\n".join([opening, ",\n".join(lines), indent + closing] if lines else [opening, indent + closing])
