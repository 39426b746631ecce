"""Our values in Arrow columns, to and from Python: what DuckDB hands to our functions and what it gets back.

A uuid stands as text, a document as core/_ext/document encodes it, a span as months, days and nanoseconds, a moment as
microseconds of UTC. Imports pyarrow when first used.
"""
from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from phantomdb.core._ext import document
from phantomdb.core.query.cast_duckdb import DECIMAL_DIGITS_MAX, FREE_SCALE
from phantomdb.core.query.cast_numbers import round_half_away
from phantomdb.core.query.errors import DatetimeOutOfRange, NumericTooWide
from phantomdb.core.values import JSON_NULL, Interval, JsonNull, Kind, Type

Convert = Callable[[Any], Any]
_NANOSECONDS_MAX = 2**63 - 1


def arrow_type(type_: Type) -> Any:
    """The pyarrow type of a column."""
    import pyarrow as pa
    match type_.kind:
        case Kind.INT:
            return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[type_.bits]
        case Kind.FLOAT:
            return {32: pa.float32(), 64: pa.float64()}[type_.bits]
        case Kind.DECIMAL:
            if type_.precision is None:
                return pa.decimal128(DECIMAL_DIGITS_MAX, FREE_SCALE)
            scale = type_.scale or 0
            return pa.decimal128(min(max(type_.precision, scale), DECIMAL_DIGITS_MAX), scale)
        case Kind.ARRAY:
            assert type_.element is not None
            return pa.list_(arrow_type(type_.element))
        case Kind.BOOL:
            return pa.bool_()
        case Kind.BYTES | Kind.JSON | Kind.ANY:
            return pa.binary()
        case Kind.DATE:
            return pa.date32()
        case Kind.TIME:
            return pa.time64("us")
        case Kind.TIMESTAMP:
            return pa.timestamp("us")
        case Kind.TIMESTAMPTZ:
            return pa.timestamp("us", "UTC")
        case Kind.INTERVAL:
            return pa.month_day_nano_interval()
    return pa.string()


def _to_utc(value: datetime.datetime) -> datetime.datetime:
    return value.astimezone(datetime.UTC)


def _to_interval(value: Any) -> Interval:
    return Interval(value.months, value.days, value.nanoseconds // 1000)


def _from_interval(value: Interval) -> tuple[int, int, int]:
    nanoseconds = value.microseconds * 1000
    if abs(nanoseconds) > _NANOSECONDS_MAX:
        raise DatetimeOutOfRange("an interval of more than 292 years in microseconds is for the row executor")
    return value.months, value.days, nanoseconds


def _item_decoder(type_: Type, numerics_are_texts: bool) -> Convert | None:
    """None: pyarrow's own value is ours."""
    if type_.kind is Kind.ARRAY:
        assert type_.element is not None
        inner = _item_decoder(type_.element, numerics_are_texts)
        return None if inner is None else lambda items: [None if item is None else inner(item) for item in items]
    if type_.kind is Kind.DECIMAL and type_.precision is None and numerics_are_texts:
        return Decimal
    return _DECODERS.get(type_.kind)


def read_document(data: bytes) -> Any:
    """None is JSON's null there, at the top of a document."""
    value = document.decode(data)
    return JSON_NULL if value is None else value


def write_document(value: Any) -> bytes:
    return document.encode(None if isinstance(value, JsonNull) else value)


_DECODERS: dict[Kind, Convert] = {Kind.UUID: UUID, Kind.JSON: read_document, Kind.ANY: read_document,
                                  Kind.INTERVAL: _to_interval, Kind.TIMESTAMPTZ: _to_utc}
_ENCODERS: dict[Kind, Convert] = {Kind.UUID: str, Kind.JSON: write_document, Kind.ANY: write_document,
                                  Kind.INTERVAL: _from_interval}


def decoder(type_: Type, *, numerics_are_texts: bool = False) -> Callable[[Any], list[Any]]:
    """A function from a column to its values. `numerics_are_texts`: those without a declared precision."""
    convert = _item_decoder(type_, numerics_are_texts)

    def decode(column: Any) -> list[Any]:
        try:
            values: list[Any] = column.to_pylist()
        except (ValueError, OverflowError):                  # a year that Python's datetime does not have
            raise DatetimeOutOfRange("timestamp out of range") from None
        return values if convert is None else [None if value is None else convert(value) for value in values]
    return decode


def encoder(type_: Type) -> Convert | None:
    """From a value that is not None to what pyarrow takes; None: the value itself."""
    if type_.kind is Kind.ARRAY:
        assert type_.element is not None
        inner = encoder(type_.element)
        return None if inner is None else lambda items: [None if item is None else inner(item) for item in items]
    return _rescaled(type_) if type_.kind is Kind.DECIMAL else _ENCODERS.get(type_.kind)


def _rescaled(type_: Type) -> Convert:
    """A column has one scale. pyarrow makes 0 of a decimal with many more digits than the type has, and inside of lists
    takes only its scale."""
    if type_.precision is None:
        return exact_decimal(FREE_SCALE)
    scale = arrow_type(type_).scale
    return lambda value: round_half_away(value, scale)


def exact_decimal(scale: int) -> Convert:
    """To so many digits after the point, of 38. NumericTooWide: the value has more."""
    whole = DECIMAL_DIGITS_MAX - scale
    limit = Decimal(10) ** whole

    def exact(value: Decimal) -> Decimal:
        made = round_half_away(value, scale)
        if made != value or abs(made) >= limit:
            raise NumericTooWide(f"a numeric has more than the {scale} digits after the point, or than the {whole} "
                                 "before it, that this query has room for")
        return made
    return exact
