"""JSON text read and written, as jsonb: keys once and in the order of their length, then of their bytes; numbers exact.

Equal documents have equal texts but for zeros at the end of a number. Inside a document null is None; at the top it is
JSON_NULL, since None is the absence of a value.
"""
from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal
from uuid import UUID

from phantomdb.core.query import cast_moments
from phantomdb.core.query.cast_numbers import EXACT, write_float
from phantomdb.core.query.errors import InvalidTextRepresentation, NumericValueOutOfRange, StatementTooComplex
from phantomdb.core.values import JSON_NULL, Interval, JsonNull

_ENCODE = json.JSONEncoder(ensure_ascii=False).encode
_LONGEST_INT = 131_072


def _read_number(text: str) -> Decimal:
    value = EXACT.create_decimal(text)
    if value and not -16_383 <= value.adjusted() < _LONGEST_INT:
        raise NumericValueOutOfRange("value overflows numeric format")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    value = EXACT.quantize(value, Decimal(1)) if exponent > 0 else value
    return value if value else value.copy_abs()


def _read_int(text: str) -> int | Decimal:
    return int(text) if len(text) < 4000 else _read_number(text)


def _refuse(_name: str) -> object:
    raise ValueError("not a JSON number")


_DECODER = json.JSONDecoder(parse_float=_read_number, parse_int=_read_int, parse_constant=_refuse)


def read_json(text: str) -> object:
    """The document, JSON_NULL for null."""
    try:
        value = _DECODER.decode(text.strip(" \t\r\n"))
    except RecursionError:
        raise StatementTooComplex("the JSON document is nested too deeply") from None
    except ValueError:
        shown = text if len(text) <= 100 else text[:100] + "..."
        raise InvalidTextRepresentation(f'invalid input syntax for type json: "{shown}"') from None
    if "\\u0000" in text and _has_zero(value):
        raise InvalidTextRepresentation("unsupported Unicode escape sequence: \\u0000 cannot be converted to text")
    if "\\u" in text and _has_surrogate(value):
        raise InvalidTextRepresentation('invalid input syntax for type json: a Unicode surrogate stands alone')
    return JSON_NULL if value is None else value


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *_strings(item))]
    return [text for item in value for text in _strings(item)] if isinstance(value, list) else []


def _has_zero(value: object) -> bool:
    return any("\0" in text for text in _strings(value))


def _has_surrogate(value: object) -> bool:
    return any("\ud800" <= letter <= "\udfff" for text in _strings(value) for letter in text)


def write_json(value: object) -> str:
    """What is no JSON in Python, a moment, a decimal, bytes, is written as a JSON string or number."""
    pieces: list[str] = []
    try:
        _write(value, pieces)
    except RecursionError:
        raise StatementTooComplex("the JSON document is nested too deeply") from None
    return "".join(pieces)


def _write(value: object, pieces: list[str]) -> None:
    if value is None or isinstance(value, JsonNull):
        pieces.append("null")
    elif isinstance(value, str):
        pieces.append(_ENCODE(value))
    elif isinstance(value, bool):
        pieces.append("true" if value else "false")
    elif isinstance(value, int):
        pieces.append(str(value))
    elif isinstance(value, Decimal):
        pieces.append(f"{value:f}")
    elif isinstance(value, float):
        # JSON has no NaN; as to_jsonb does
        pieces.append(f"{Decimal(repr(value)):f}" if math.isfinite(value) else f'"{write_float(value)}"')
    elif isinstance(value, dict):
        pieces.append("{")
        for index, key in enumerate(sorted(value, key=_key_order)):
            pieces.append(", " if index else "")
            pieces.append(_ENCODE(key))
            pieces.append(": ")
            _write(value[key], pieces)
        pieces.append("}")
    elif isinstance(value, list | tuple) and not isinstance(value, Interval):
        pieces.append("[")
        for index, item in enumerate(value):
            pieces.append(", " if index else "")
            _write(item, pieces)
        pieces.append("]")
    else:
        pieces.append(_ENCODE(_as_string(value)))


def _key_order(key: str) -> tuple[int, bytes]:
    stored = key.encode("utf-8", "surrogatepass")
    return len(stored), stored


def _as_string(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return cast_moments.write_timestamp(value).replace(" ", "T") + ("+00:00" if value.tzinfo else "")
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, datetime.date | datetime.time | UUID | Interval):
        return str(value)
    raise InvalidTextRepresentation(f"a {type(value).__name__} cannot be written as JSON")
