"""The value types, once for all frontends: what a column, an expression and a stored field can be.

    kind         Python value                      stored order
    null         None                              before or after all others, as the key says
    bool         bool                              false, true
    int          int, 16, 32 or 64 bits            by number
    float        float, 32 or 64 bits              by number; NaN last, -0.0 equals 0.0
    decimal      decimal.Decimal                   by number
    text         str                               by code point (bytes of UTF-8)
    bytes        bytes                             byte by byte, the shorter first
    date         datetime.date                     by day
    time         datetime.time                     by microsecond
    timestamp    datetime.datetime, without zone   by microsecond
    timestamptz  datetime.datetime, UTC            by microsecond
    interval     Interval                          30 days a month, 24 hours a day
    uuid         uuid.UUID                         byte by byte
    json         dict, list, str, int, ...         core/documents.py
    array        list of one element type          element by element, the shorter first

A type is a value: compare and hash it. The numbers of Kind are on disk, in catalog and records: they never change.
"""
from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from importlib import import_module
from typing import NamedTuple
from uuid import UUID

from phantomdb.core._ext import objects as _objects

MAX_DECIMAL_PRECISION = 1000             # declared; as PostgreSQL
MAX_TEXT_LENGTH = 10_485_760             # declared, in characters; as PostgreSQL


class Kind(IntEnum):
    """On disk: never renumber."""

    NULL = 0                             # of a bare NULL: fits wherever a value fits
    BOOL = 1
    INT = 2
    FLOAT = 3
    DECIMAL = 4
    TEXT = 5
    BYTES = 6
    DATE = 7
    TIME = 8
    TIMESTAMP = 9
    TIMESTAMPTZ = 10
    INTERVAL = 11
    UUID = 12
    JSON = 13
    ARRAY = 14
    ANY = 15                             # a stored field of a flexible table: the value tells its own type
    # Inside documents only; their classes are the document frontend's.
    OBJECT_ID = 16
    REGEX = 17
    MIN_KEY = 18
    MAX_KEY = 19
    BSON_TIMESTAMP = 20
    BINARY = 21                          # bytes with a subtype other than 0
    CODE = 22


class Interval(NamedTuple):
    """A span of time in three parts that do not convert into each other exactly (as in PostgreSQL)."""

    months: int = 0
    days: int = 0
    microseconds: int = 0

    def __str__(self) -> str:
        """As PostgreSQL's intervalstyle postgres: 1 year 2 mons -3 days +04:05:06."""
        years, months = divmod(abs(self.months), 12)
        sign = -1 if self.months < 0 else 1
        parts: list[str] = []
        is_after_negative = False
        for count, unit in ((sign * years, "year"), (sign * months, "mon"), (self.days, "day")):
            if count:
                parts.append(f"{'+' * (is_after_negative and count > 0)}{count} {unit}{'s' * (count != 1)}")
                is_after_negative = count < 0
        if self.microseconds or not parts:
            seconds, fraction = divmod(abs(self.microseconds), 1_000_000)
            clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
            clock += f".{fraction:06}".rstrip("0") if fraction else ""
            parts.append(("-" if self.microseconds < 0 else "+" * is_after_negative) + clock)
        return " ".join(parts)


class JsonNull:
    """The JSON value null at the top, which is a value; None is the absence of one. Inside a document null is None."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "JSON_NULL"

    def __bool__(self) -> bool:
        return False


JSON_NULL = JsonNull()
_objects.register_values(Interval, JSON_NULL)


def _load_document_classes() -> None:
    """By name: core stands below the frontends and may not import them."""
    try:
        import_module("phantomdb.frontends.document.values")
    except ModuleNotFoundError as error:
        raise TypeError("object ids and the like are read with the classes of PyMongo: "
                        "pip install phantomdb[document]") from error


_objects.register_document_loader(_load_document_classes)

Value = (None | bool | int | float | Decimal | str | bytes | datetime.date | datetime.time | datetime.datetime
         | Interval | UUID | JsonNull | list[object] | dict[str, object])


@dataclass(frozen=True, slots=True)
class Type:
    """A kind and its parameters. Use the constants and functions below."""

    kind: Kind
    bits: int = 0                        # int: 16, 32, 64; float: 32, 64
    precision: int | None = None         # decimal: digits in all; None: any decimal
    scale: int | None = None             # decimal: digits after the point
    length: int | None = None            # text: characters at most
    is_padded: bool = False              # text: character(n), blanks at the end do not count
    element: Type | None = None          # array

    @property
    def is_number(self) -> bool:
        return self.kind in (Kind.INT, Kind.FLOAT, Kind.DECIMAL)

    @property
    def is_moment(self) -> bool:
        return self.kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)

    def __str__(self) -> str:
        """As PostgreSQL spells it."""
        match self.kind:
            case Kind.ARRAY:
                return f"{self.element}[]"
            case Kind.INT:
                return {16: "smallint", 32: "integer", 64: "bigint"}[self.bits]
            case Kind.FLOAT:
                return {32: "real", 64: "double precision"}[self.bits]
            case Kind.DECIMAL:
                return "numeric" if self.precision is None else f"numeric({self.precision},{self.scale})"
            case Kind.TEXT if self.is_padded:
                return f"character({self.length})"
            case Kind.TEXT if self.length is not None:
                return f"character varying({self.length})"
        return _NAMES[self.kind]


_NAMES = {Kind.NULL: "unknown", Kind.BOOL: "boolean", Kind.TEXT: "text", Kind.BYTES: "bytea", Kind.DATE: "date",
          Kind.TIME: "time without time zone", Kind.TIMESTAMP: "timestamp without time zone",
          Kind.TIMESTAMPTZ: "timestamp with time zone", Kind.INTERVAL: "interval", Kind.UUID: "uuid",
          Kind.JSON: "jsonb", Kind.ANY: "any"}

NULL = Type(Kind.NULL)
BOOL = Type(Kind.BOOL)
SMALLINT = Type(Kind.INT, 16)
INT = Type(Kind.INT, 32)
BIGINT = Type(Kind.INT, 64)
REAL = Type(Kind.FLOAT, 32)
DOUBLE = Type(Kind.FLOAT, 64)
NUMERIC = Type(Kind.DECIMAL)
TEXT = Type(Kind.TEXT)
BYTES = Type(Kind.BYTES)
DATE = Type(Kind.DATE)
TIME = Type(Kind.TIME)
TIMESTAMP = Type(Kind.TIMESTAMP)
TIMESTAMPTZ = Type(Kind.TIMESTAMPTZ)
INTERVAL = Type(Kind.INTERVAL)
UUID_TYPE = Type(Kind.UUID)
JSON = Type(Kind.JSON)
ANY = Type(Kind.ANY)


def decimal(precision: int, scale: int = 0) -> Type:
    return Type(Kind.DECIMAL, precision=precision, scale=scale)


def varchar(length: int) -> Type:
    return Type(Kind.TEXT, length=length)


def char(length: int) -> Type:
    return Type(Kind.TEXT, length=length, is_padded=True)


def array(element: Type) -> Type:
    return Type(Kind.ARRAY, element=element)
