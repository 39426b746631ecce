"""Documents as bytes in their order: what DuckDB sorts, groups and joins them by, since it knows only bytes.

    order_bytes(JSON)(value)     smaller, equal, greater as ordering.json_key(value) is
    order_bytes(ANY)(value)      ... as ordering.any_key(value): the key of an index

    null 00 | text 01 UTF-8, 00 as 00 FF, 00 00 | number 02 key | bool 03 byte | array 04 count items
    | object 05 count (length of the name, name, value)... | a value that JSON lacks 06 key
"""
from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from phantomdb.core._ext.key_tuple import KeyCodec
from phantomdb.core.values import JsonNull, Kind, Type

_NUMBERS = KeyCodec([(int(Kind.DECIMAL), False, False)])
_VALUES = KeyCodec([(int(Kind.ANY), False, True)])              # null comes first


def json_bytes(value: Any) -> bytes:
    """Of a jsonb value."""
    pieces = bytearray()
    _append(value, pieces)
    return bytes(pieces)


def any_bytes(value: Any) -> bytes:
    """Of a field of a flexible table."""
    return _VALUES.encode((None if isinstance(value, JsonNull) else value,))


def _append(value: Any, pieces: bytearray) -> None:
    if value is None or isinstance(value, JsonNull):
        pieces.append(0)
    elif isinstance(value, str):
        pieces += b"\1" + value.encode("utf-8", "surrogatepass").replace(b"\0", b"\0\xff") + b"\0\0"
    elif isinstance(value, bool):
        pieces += b"\3\1" if value else b"\3\0"
    elif isinstance(value, int | float | Decimal):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        pieces += b"\2" + _NUMBERS.encode((number,))
    elif isinstance(value, list):
        pieces += b"\4" + len(value).to_bytes(4, "big")
        for item in value:
            _append(item, pieces)
    elif isinstance(value, dict):
        pieces += b"\5" + len(value).to_bytes(4, "big")
        names = sorted((len(name), name, item) for name, item in
                       [(text.encode("utf-8", "surrogatepass"), text) for text in value])
        for length, name, text in names:
            pieces += length.to_bytes(4, "big") + name
            _append(value[text], pieces)
    else:
        pieces += b"\6" + any_bytes(value)


def order_bytes(type_: Type) -> Callable[[Any], Any] | None:
    """For values of a type that are not NULL, of an array a list; None: DuckDB orders them itself."""
    if type_.element is None:
        return {Kind.JSON: json_bytes, Kind.ANY: any_bytes}.get(type_.kind)
    of_item = order_bytes(type_.element)
    return None if of_item is None else lambda items: [None if item is None else of_item(item) for item in items]
