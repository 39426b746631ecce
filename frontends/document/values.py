"""What a document holds: PyMongo's classes beside Python's own, their kinds on disk, their types, and their order.

    stored                  as documents have it                     MongoDB's type
    int                     int                                      int if it fits 32 bits, else long
    decimal                 bson.Decimal128; SQL: decimal.Decimal    decimal
    timestamptz             datetime without a zone, in UTC,         date
                            whole milliseconds when written here
    bytes, uuid, binary     bytes, uuid.UUID, bson.Binary            binData, subtype 0, 4, any other
    object id, regex ...    bson.ObjectId, bson.Regex ...

A Decimal is stored just as a Decimal128 is: who reads it decides the class. Numbers compare by value whatever their
kinds. Importing this module makes core read and write PyMongo's classes (core/_ext/objects.pyx).
"""
from __future__ import annotations

import datetime
import re
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.decimal128 import create_decimal128_context

from phantomdb.core._ext import document as _document
from phantomdb.core._ext import objects as _objects
from phantomdb.core.errors import CorruptionError
from phantomdb.core.values import Interval, Kind

__all__ = ["DECIMAL_CONTEXT", "MISSING", "Binary", "Code", "Decimal128", "Document", "Int64", "MaxKey", "MinKey",
           "Missing", "ObjectId", "Regex", "Timestamp", "decode", "decode_value", "encode", "equal", "is_number",
           "number_of", "order_key", "to_decimal", "type_name"]

Document = dict[str, Any]
DECIMAL_CONTEXT: Context = create_decimal128_context()


class Missing:
    """Of a field that is not there, which is not null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING = Missing()

# -------------------------------------------------------------------- kinds on disk

_FLAGS = {"i": re.IGNORECASE, "l": re.LOCALE, "m": re.MULTILINE, "s": re.DOTALL, "u": re.UNICODE, "x": re.VERBOSE}


def _write_regex(value: Any) -> tuple[int, bytes]:
    pattern = value.pattern.encode() if isinstance(value.pattern, str) else value.pattern
    if b"\0" in pattern:
        raise ValueError("a regex must not contain the character of code 0")
    # re.compile() of str sets UNICODE by itself; it says nothing.
    options = "".join(letter for letter, flag in _FLAGS.items() if value.flags & flag and letter != "u")
    return Kind.REGEX, pattern + b"\0" + options.encode()


def _read_regex(payload: bytes) -> Any:
    pattern, zero, options = payload.partition(b"\0")
    if not zero:
        raise CorruptionError("a regex is damaged")
    flags = 0
    for letter in options.decode("ascii", "replace"):
        flags |= _FLAGS.get(letter, 0)
    return Regex(_text(pattern), flags)


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise CorruptionError("a text is no UTF-8") from None


def _write_binary(value: Binary) -> tuple[int, bytes]:
    if value.subtype == 0:
        return Kind.BYTES, bytes(value)
    if value.subtype == 4 and len(value) == 16:
        return Kind.UUID, bytes(value)
    return Kind.BINARY, bytes([value.subtype]) + value


def _write_code(value: Code) -> tuple[int, bytes]:
    if value.scope is not None:
        raise TypeError("code with a scope cannot be stored")
    return Kind.CODE, str(value).encode()


def _write_decimal(value: Decimal128) -> tuple[int, str]:
    number = value.to_decimal()
    return Kind.DECIMAL, "NaN" if number.is_nan() else str(number)


def _sized(size: int, make: Any) -> Any:
    def read(payload: bytes) -> Any:
        if len(payload) != size:
            raise CorruptionError("a value has a wrong size")
        return make(payload)
    return read


def _read_timestamp(payload: bytes) -> Timestamp:
    number = int.from_bytes(payload, "little")
    return Timestamp(number >> 32, number & 0xFFFFFFFF)


def _read_binary(payload: bytes) -> Binary:
    if not payload:
        raise CorruptionError("a binary is damaged")
    return Binary(payload[1:], payload[0])


_objects.register_document_classes(
    {ObjectId: lambda value: (Kind.OBJECT_ID, value.binary), Regex: _write_regex, re.Pattern: _write_regex,
     MinKey: lambda _: (Kind.MIN_KEY, b""), MaxKey: lambda _: (Kind.MAX_KEY, b""), Binary: _write_binary,
     Timestamp: lambda value: (Kind.BSON_TIMESTAMP, (value.time << 32 | value.inc).to_bytes(8, "little")),
     Code: _write_code, Decimal128: _write_decimal},
    {Kind.OBJECT_ID: _sized(12, ObjectId), Kind.REGEX: _read_regex, Kind.MIN_KEY: _sized(0, lambda _: MinKey()),
     Kind.MAX_KEY: _sized(0, lambda _: MaxKey()), Kind.BSON_TIMESTAMP: _sized(8, _read_timestamp),
     Kind.BINARY: _read_binary, Kind.CODE: lambda payload: Code(_text(payload)),
     Kind.DECIMAL: lambda text: Decimal128(DECIMAL_CONTEXT.create_decimal(text))})


def encode(value: object) -> bytes:
    """A value as core keeps it. TypeError: a class no document holds; OverflowError: an int over 64 bits."""
    return _document.encode(value, True)


def decode_value(data: bytes) -> Any:
    return _document.decode(data, True)


def decode(data: bytes) -> Document:
    """An object's members."""
    value = _document.decode(data, True)
    if not isinstance(value, dict):
        raise CorruptionError("a document is no object")
    return value


# -------------------------------------------------------------------- types

_TYPE_NAMES: dict[type, str] = {
    Missing: "missing", type(None): "null", bool: "bool", float: "double", str: "string", dict: "object",
    list: "array", tuple: "array", bytes: "binData", UUID: "binData", Binary: "binData", ObjectId: "objectId",
    datetime.datetime: "date", Regex: "regex", re.Pattern: "regex", Code: "javascript", Timestamp: "timestamp",
    Decimal128: "decimal", Decimal: "decimal", MinKey: "minKey", MaxKey: "maxKey", Int64: "long",
    datetime.date: "date", datetime.time: "string", Interval: "string"}


def type_name(value: object) -> str:
    """As $type names it."""
    if type(value) is int:
        return "int" if -1 << 31 <= value < 1 << 31 else "long"
    name = _TYPE_NAMES.get(type(value))
    if name is None:
        for class_, name_ in _TYPE_NAMES.items():
            if isinstance(value, class_):
                return name_
        raise TypeError(f"a document cannot hold {type(value).__name__}")
    return name


def is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal128 | Decimal) and not isinstance(value, bool)


def number_of(value: Any) -> Any:
    """A number as one of Python's own classes: int, float or Decimal."""
    return value.to_decimal() if isinstance(value, Decimal128) else value


def to_decimal(value: Any) -> Decimal:
    """A number as a Decimal with the digits MongoDB gives it: of a float 15."""
    number = number_of(value)
    if isinstance(number, float):
        return DECIMAL_CONTEXT.create_decimal(f"{number:.15g}")
    return DECIMAL_CONTEXT.create_decimal(number)


# -------------------------------------------------------------------- order

# The classes of BSON's order: those of key tuples (docs/formats.md).
_MISSING, _MIN_KEY, _NULL, _NUMBER, _TEXT, _OBJECT, _ARRAY, _BYTES, _BINARY, _UUID, _OBJECT_ID, _BOOL = (
    0x0C, 0x08, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x64, 0x68, 0x6C, 0x70)
_DATE, _MOMENT, _TIME, _INTERVAL, _TIMESTAMP, _REGEX, _CODE, _MAX_KEY = 0x78, 0x7A, 0x7B, 0x7C, 0x80, 0x88, 0x90, 0xF0


def order_key(value: Any) -> tuple[Any, ...]:
    """A key for sorted() and dict: equal for equal values. Numbers by value, NaN before all others; objects member by
    member in their own order: class, name, value."""
    class_ = type(value)
    if class_ is str:
        return (_TEXT, value)                              # by code point, as bytes of UTF-8 are
    if class_ is int:
        return (_NUMBER, 1, value)
    if class_ is float:
        return (_NUMBER, 1, value) if value == value else (_NUMBER, 0)
    if value is None:
        return (_NULL,)
    return _other_key(value)


def _moment(value: datetime.datetime) -> datetime.datetime:
    return value if value.tzinfo is None else value.astimezone(datetime.UTC).replace(tzinfo=None)


def _regex_key(value: Any) -> tuple[Any, ...]:
    return (_REGEX, *_write_regex(value)[1].split(b"\0"))


def _other_key(value: Any) -> tuple[Any, ...]:
    match value:
        case dict():
            members = []
            for name, item in value.items():
                key = order_key(item)
                members.append((key[0], name, key))
            return (_OBJECT, tuple(members))
        case list() | tuple() if not isinstance(value, Interval):
            return (_ARRAY, tuple(map(order_key, value)))
        case bool():
            return (_BOOL, value)
        case int():
            return (_NUMBER, 1, int(value))
        case float():
            return (_NUMBER, 1, value) if value == value else (_NUMBER, 0)
        case Decimal128() | Decimal():
            number = number_of(value)
            return (_NUMBER, 0) if number.is_nan() else (_NUMBER, 1, number)
        case ObjectId():
            return (_OBJECT_ID, value.binary)
        case datetime.datetime():
            return (_MOMENT, _moment(value))
        case Code():
            return (_CODE, str(value))
        case str():
            return (_TEXT, str(value))
        case Binary() if value.subtype not in (0, 4):
            return (_BINARY, value.subtype, bytes(value))
        case Binary() if value.subtype == 4:
            return (_UUID, bytes(value))
        case bytes():
            return (_BYTES, bytes(value))
        case UUID():
            return (_UUID, value.bytes)
        case Timestamp():
            return (_TIMESTAMP, value.time, value.inc)
        case Regex() | re.Pattern():
            return _regex_key(value)
        case MinKey():
            return (_MIN_KEY,)
        case MaxKey():
            return (_MAX_KEY,)
        case Missing():
            return (_MISSING,)
        case datetime.date():
            return (_DATE, value)
        case datetime.time():
            return (_TIME, value)
        case Interval():
            days = (value.months * 30 + value.days) * 86_400_000_000 + value.microseconds
            return (_INTERVAL, days, value.months, value.days)
    raise TypeError(f"a document cannot hold {type(value).__name__} ({value!r:.80})")


def equal(a: Any, b: Any) -> bool:
    """By value, as MongoDB compares: 1 equals 1.0; the order of an object's members counts."""
    return order_key(a) == order_key(b)
