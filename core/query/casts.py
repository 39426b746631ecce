"""A value of one type made into a value of another, with PostgreSQL's results and errors.

    cast(value, source, target, is_explicit)    one value
    caster(source, target, is_explicit)         the function for a pair of types, chosen once
    to_text(value, type)                        as PostgreSQL prints it

`caster` looks up the pair of kinds in a table of factories; text is read by the table _READERS and written by
_WRITERS. Whether a cast may stand somewhere is coercion.py's question, not asked here. How DuckDB says the same is in
cast_duckdb.py.
"""
from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from phantomdb.core.query import cast_moments as moments
from phantomdb.core.query import cast_numbers as numbers
from phantomdb.core.query import context
from phantomdb.core.query.cast_arrays import read_array, write_array
from phantomdb.core.query.cast_json import read_json, write_json
from phantomdb.core.query.errors import (
    CannotCoerce,
    InvalidParameterValue,
    InvalidTextRepresentation,
    StringTooLong,
)
from phantomdb.core.values import (
    BIGINT,
    BOOL,
    BYTES,
    DATE,
    DOUBLE,
    INTERVAL,
    JSON,
    NULL,
    NUMERIC,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID_TYPE,
    Interval,
    JsonNull,
    Kind,
    Type,
    array,
)

Caster = Callable[[Any], Any]            # None stays None
_Factory = Callable[[Type, Type, bool], Caster]


def cast(value: Any, source: Type, target: Type, is_explicit: bool = False) -> Any:
    """CannotCoerce: there is no such cast. Errors of the value are those of PostgreSQL: InvalidTextRepresentation,
    NumericValueOutOfRange, StringTooLong, InvalidDatetime, DatetimeOutOfRange, ..."""
    return caster(source, target, is_explicit)(value)


@lru_cache(maxsize=4096)
def caster(source: Type, target: Type, is_explicit: bool = False) -> Caster:
    """The function that converts a value; None stays None."""
    if source == target or source.kind is Kind.NULL or target.kind in (Kind.ANY, Kind.NULL):
        return _same
    if source == array(NULL) and target.kind is Kind.JSON:
        return _same
    if source.kind is Kind.ANY:
        return lambda value: None if value is None else cast(value, type_of(value), target, is_explicit)
    if source.kind is Kind.TEXT and target.kind is Kind.TEXT:
        return _optional(_text_caster(source, target, is_explicit))
    if target.kind is Kind.TEXT:
        write, fit = writer(source), _text_caster(TEXT, target, is_explicit)
        return lambda value: None if value is None else fit(write(value))
    if source.kind is Kind.TEXT:
        return _optional(reader(target))
    if source.kind is Kind.ARRAY and target.kind is Kind.ARRAY:
        assert source.element is not None and target.element is not None
        convert = caster(source.element, target.element, is_explicit)
        return lambda value: None if value is None else [convert(item) for item in value]
    factory = _FACTORIES.get((source.kind, target.kind))
    if factory is None:
        raise CannotCoerce(f"cannot cast type {source} to {target}")
    return _optional(factory(source, target, is_explicit))


def _same(value: Any) -> Any:
    return value


def _optional(convert: Caster) -> Caster:
    if convert is _same:
        return convert
    return lambda value: None if value is None else convert(value)


def type_of(value: Any) -> Type:
    """The type a value of a flexible table tells by itself."""
    if isinstance(value, int) and not isinstance(value, bool) and not -2**63 <= value < 2**63:
        return NUMERIC
    if isinstance(value, datetime.datetime):
        return TIMESTAMP if value.tzinfo is None else TIMESTAMPTZ
    found = _TYPES.get(type(value))
    if found is None:
        raise CannotCoerce(f"a {type(value).__name__} is no value of a database")
    return found


_TYPES: dict[type, Type] = {bool: BOOL, int: BIGINT, float: DOUBLE, Decimal: NUMERIC, str: TEXT, bytes: BYTES,
                            datetime.date: DATE, datetime.time: TIME, Interval: INTERVAL, UUID: UUID_TYPE,
                            dict: JSON, list: JSON, JsonNull: JSON}


# -------------------------------------------------------------------- text

def _text_caster(source: Type, target: Type, is_explicit: bool) -> Caster:
    length = target.length
    if source.is_padded and not target.is_padded:            # blanks at the end of a character(n) are no part of it
        strip = lambda text: text.rstrip(" ")
        if length is None:
            return strip
        fit = _text_caster(TEXT, target, is_explicit)
        return lambda text: fit(text.rstrip(" "))
    if length is None or (source.length is not None and source.length <= length and not target.is_padded):
        return _same
    pad = length if target.is_padded else 0

    def fit_length(text: str) -> str:
        if len(text) > length:
            if not is_explicit and text[length:].strip(" "):
                raise StringTooLong(f"value too long for type {target}")
            return text[:length]
        return text.ljust(pad)
    return fit_length


_TRUE = {"t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"}
_FALSE = {"f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"}
_BLANKS = " \t\n\r\f\v"


def read_bool(text: str) -> bool:
    word = text.strip(_BLANKS).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise InvalidTextRepresentation(f'invalid input syntax for type boolean: "{text}"')


_UUID_TEXT = re.compile(r"\{?(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}\}?", re.ASCII | re.IGNORECASE)


def read_uuid(text: str) -> UUID:
    if not _UUID_TEXT.fullmatch(text) or text.startswith("{") != text.endswith("}"):
        raise InvalidTextRepresentation(f'invalid input syntax for type uuid: "{text}"')
    return UUID(text)


def read_bytes(text: str) -> bytes:
    """Hexadecimal after \\x, else with \\\\ and \\ooo as escapes."""
    if text.startswith("\\x"):
        digits = "".join(text[2:].split())
        wrong = re.search(r"[^0-9a-fA-F]", digits)
        if wrong is not None:
            raise InvalidParameterValue(f'invalid hexadecimal digit: "{wrong.group()}"')
        if len(digits) % 2:
            raise InvalidParameterValue("invalid hexadecimal data: odd number of digits")
        return bytes.fromhex(digits)
    if re.fullmatch(r"(?:[^\\]|\\\\|\\[0-3][0-7]{2})*", text, re.DOTALL) is None:
        raise InvalidTextRepresentation("invalid input syntax for type bytea")
    pieces = re.split(r"(\\\\|\\[0-3][0-7]{2})", text)
    return b"".join(piece.encode() if not piece.startswith("\\") else b"\\" if piece == "\\\\"
                    else bytes([int(piece[1:], 8)]) for piece in pieces)


_READERS: dict[Kind, Callable[[Type], Caster]] = {
    Kind.BOOL: lambda _: read_bool,
    Kind.INT: lambda target: lambda text: numbers.read_int(text, target.bits),
    Kind.FLOAT: lambda target: lambda text: numbers.read_float(text, target.bits),
    Kind.DECIMAL: lambda target: lambda text: numbers.fit_numeric(numbers.read_numeric(text), target),
    Kind.BYTES: lambda _: read_bytes,
    Kind.DATE: lambda _: moments.read_date,
    Kind.TIME: lambda _: moments.read_time,
    Kind.TIMESTAMP: lambda _: moments.read_timestamp,
    Kind.TIMESTAMPTZ: lambda _: moments.read_timestamptz,
    Kind.INTERVAL: lambda _: moments.read_interval,
    Kind.UUID: lambda _: read_uuid,
    Kind.JSON: lambda _: read_json,
    Kind.ARRAY: lambda target: lambda text: read_array(text, target, reader),
    Kind.TEXT: lambda target: _text_caster(TEXT, target, False),
}


def reader(target: Type) -> Caster:
    """Reads the text form of a type."""
    return _READERS[target.kind](target)


_WRITERS: dict[Kind, Callable[[Type], Callable[[Any], str]]] = {
    Kind.BOOL: lambda _: lambda value: "true" if value else "false",
    Kind.INT: lambda _: str,
    Kind.FLOAT: lambda source: lambda value: numbers.write_float(value, source.bits),
    Kind.DECIMAL: lambda source: lambda value: numbers.write_numeric(value, source),
    Kind.TEXT: lambda _: _same,
    Kind.BYTES: lambda _: lambda value: "\\x" + value.hex(),
    Kind.DATE: lambda _: moments.write_date,
    Kind.TIME: lambda _: moments.write_time,
    Kind.TIMESTAMP: lambda _: moments.write_timestamp,
    Kind.TIMESTAMPTZ: lambda _: moments.write_timestamptz,
    Kind.INTERVAL: lambda _: str,
    Kind.UUID: lambda _: str,
    Kind.JSON: lambda _: write_json,
    Kind.ARRAY: lambda source: lambda value: write_array(value, source, writer),
    Kind.ANY: lambda _: lambda value: to_text(value, type_of(value)),
    Kind.NULL: lambda _: _same,
}


def writer(source: Type) -> Callable[[Any], str]:
    """Writes the text form of a type."""
    return _WRITERS[source.kind](source)


def to_text(value: Any, type_: Type) -> str:
    """The text PostgreSQL would print; a boolean as true or false. `value` is not None."""
    return writer(type_)(value)


def output_text(value: Any, type_: Type) -> str:
    """As a client sees it, and concat(): like to_text, but a boolean is t or f."""
    return ("t" if value else "f") if type_.kind is Kind.BOOL else to_text(value, type_)


# -------------------------------------------------------------------- between kinds

def _from_bool(_source: Type, target: Type, _is_explicit: bool) -> Caster:
    if target.bits != 32:
        raise CannotCoerce(f"cannot cast type boolean to {target}")
    return int


def _to_bool(source: Type, _target: Type, _is_explicit: bool) -> Caster:
    if source.bits != 32:
        raise CannotCoerce(f"cannot cast type {source} to boolean")
    return bool


def _int_to_int(source: Type, target: Type, _is_explicit: bool) -> Caster:
    return _same if target.bits >= source.bits else lambda value: numbers.int_in_range(value, target.bits)


def _float_to_float(source: Type, target: Type, _is_explicit: bool) -> Caster:
    return _same if target.bits >= source.bits else lambda value: numbers.float_from_float(value, target.bits)


def _to_numeric(source: Type, target: Type, _is_explicit: bool) -> Caster:
    match source.kind:
        case Kind.INT:
            return lambda value: numbers.fit_numeric(Decimal(value), target)
        case Kind.FLOAT:
            return lambda value: numbers.fit_numeric(numbers.numeric_from_float(value, source.bits), target)
    return _same if target.precision is None else lambda value: numbers.fit_numeric(value, target)


def _midnight(value: datetime.date) -> datetime.datetime:
    return datetime.datetime(value.year, value.month, value.day)


def _interval_to_time(value: Interval) -> datetime.time:
    return moments.time_of(value.microseconds % moments.MICROSECONDS_PER_DAY)


_JSON_NAMES: dict[str, type] = {"object": dict, "array": list, "string": str}


def _from_json(_source: Type, target: Type, is_explicit: bool) -> Caster:
    def convert(value: Any) -> Any:
        if isinstance(value, bool):
            kind = "boolean"
        elif isinstance(value, int | float | Decimal):
            kind = "numeric"
        else:
            kind = next((name for name, class_ in _JSON_NAMES.items() if isinstance(value, class_)), "null")
        if kind == "boolean" and target.kind is Kind.BOOL:
            return value
        if kind == "numeric" and target.is_number:
            if isinstance(value, int):
                value = Decimal(value)
            return cast(value, type_of(value), target, is_explicit)
        raise InvalidParameterValue(f"cannot cast jsonb {kind} to type {target}")
    return convert


def _plain(convert: Caster) -> _Factory:
    return lambda _source, _target, _is_explicit: convert


_FACTORIES: dict[tuple[Kind, Kind], _Factory] = {
    (Kind.BOOL, Kind.INT): _from_bool,
    (Kind.INT, Kind.BOOL): _to_bool,
    (Kind.INT, Kind.INT): _int_to_int,
    (Kind.INT, Kind.FLOAT): lambda _s, target, _e: lambda value: numbers.float_from_numeric(value, target.bits),
    (Kind.INT, Kind.DECIMAL): _to_numeric,
    (Kind.FLOAT, Kind.FLOAT): _float_to_float,
    (Kind.FLOAT, Kind.INT): lambda _s, target, _e: lambda value: numbers.int_from_float(value, target.bits),
    (Kind.FLOAT, Kind.DECIMAL): _to_numeric,
    (Kind.DECIMAL, Kind.DECIMAL): _to_numeric,
    (Kind.DECIMAL, Kind.INT): lambda _s, target, _e: lambda value: numbers.int_from_numeric(value, target.bits),
    (Kind.DECIMAL, Kind.FLOAT): lambda _s, target, _e: lambda value: numbers.float_from_numeric(value, target.bits),
    (Kind.DATE, Kind.TIMESTAMP): _plain(_midnight),
    (Kind.DATE, Kind.TIMESTAMPTZ): _plain(
        lambda value: moments.in_utc(_midnight(value), context.current().zone)),
    (Kind.TIMESTAMP, Kind.DATE): _plain(datetime.datetime.date),
    (Kind.TIMESTAMP, Kind.TIME): _plain(datetime.datetime.time),
    (Kind.TIMESTAMP, Kind.TIMESTAMPTZ): _plain(
        lambda value: moments.in_utc(value, context.current().zone)),
    (Kind.TIMESTAMPTZ, Kind.TIMESTAMP): _plain(moments.to_local),
    (Kind.TIMESTAMPTZ, Kind.DATE): _plain(lambda value: moments.to_local(value).date()),
    (Kind.TIMESTAMPTZ, Kind.TIME): _plain(lambda value: moments.to_local(value).time()),
    (Kind.TIME, Kind.INTERVAL): _plain(lambda value: Interval(0, 0, moments.clock_of(value))),
    (Kind.INTERVAL, Kind.TIME): _plain(_interval_to_time),
    (Kind.JSON, Kind.BOOL): _from_json,
    (Kind.JSON, Kind.INT): _from_json,
    (Kind.JSON, Kind.DECIMAL): _from_json,
    (Kind.JSON, Kind.FLOAT): _from_json,
}
