"""Columns from outside as lists of our values: Arrow data of any fitting type, or Python values that tell their own.

    Arrow text, target not text    Arrow's own conversion where it has our rules, else ours, value by value
    few different values           each is converted once
    anything else                  Python values, then the cast of an assignment

The errors are those of our casts, with the place of the row in front.
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from phantomdb.core.query.cast_json import read_json, write_json
from phantomdb.core.query.casts import caster, type_of
from phantomdb.core.query.errors import DatatypeMismatch, FeatureNotSupported, QueryError
from phantomdb.core.query.coercion import Context, can_cast
from phantomdb.core.query.vector_values import arrow_type, to_python
from phantomdb.core.values import (
    BIGINT, BOOL, BYTES, DATE, DOUBLE, INT, INTERVAL, JSON, NULL, REAL, SMALLINT, TEXT, TIME, TIMESTAMP, TIMESTAMPTZ,
    Kind, Type, array, decimal,
)

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 512                        # looked at to see whether a column has few different values
FEW_VALUES = 128
SHORT_DECIMAL_DIGITS = 18                # fit 64 bits


_TEXT_OR_NULL = {str, type(None)}
_OWN_CLASSES = {Kind.TEXT, Kind.JSON, Kind.ANY, Kind.ARRAY}          # whose texts are values already, or not read by us


@dataclass(slots=True)
class Batch:
    """Some rows of a load. A column is Arrow data, or a list of Python values."""

    names: Sequence[str]
    columns: Sequence[Any]
    row_count: int
    place: Callable[[int], str]          # of a row in the batch, for messages: "line 7"


def values_of(column: Any, target: Type, place: Callable[[int], str]) -> list[Any]:
    """A column of a batch as values of a stored column's type. DatatypeMismatch, FeatureNotSupported, and the errors of
    casts."""
    if isinstance(column, list):
        if target.kind in _OWN_CLASSES or not _TEXT_OR_NULL.issuperset(map(type, column)):
            return _converted(column, _of_any_class(target), place)
        import pyarrow as pa
        column = pa.array(column, pa.string())               # texts are read faster there
    column = _plain(column)
    if target.kind is Kind.JSON and _is_nested(column.type):
        return [None if value is None else read_json(write_json(value)) for value in column.to_pylist()]
    source = source_type(column.type)
    if source.kind is Kind.TEXT and target.kind is not Kind.TEXT:
        read = _read_by_arrow(column, target)
        if read is not None:
            column, source = read, target
    if source != target and source.kind is Kind.INT and target.kind in (Kind.INT, Kind.FLOAT):
        read = _number_by_arrow(column, target)
        if read is not None:
            column, source = read, target
    if source.kind is not Kind.TEXT and not can_cast(source, target, Context.ASSIGNMENT):
        raise DatatypeMismatch(f"a column is of type {target} but the data is of type {source}")
    convert = caster(source, target, False)
    if source == target or _fits(column, source, target):
        convert = _same
    if _has_few_values(column, source):
        return _by_dictionary(column, source, convert, place)
    values = _python(column, source)
    return values if convert is _same else _converted(values, convert, place)


def _of_any_class(target: Type) -> Callable[[Any], Any]:
    """The cast of values that tell their own type; chosen once for each class."""
    if target.kind is Kind.JSON:
        return _as_document
    casts: dict[type, Callable[[Any], Any]] = {type(None): _same}
    element = None if target.element is None else _of_any_class(target.element)

    def convert(value: Any) -> Any:
        if value.__class__ is int and not -1 << 63 <= value < 1 << 63:
            value = Decimal(value)
        if value.__class__ is list and element is not None:
            return [element(item) for item in value]
        kind = datetime.tzinfo if getattr(value, "tzinfo", None) is not None else value.__class__
        found = casts.get(kind)
        if found is None:
            found = casts[kind] = caster(type_of(value), target, False)
        return found(value)

    return convert


def _as_document(value: Any) -> Any:
    """A value of a JSON file as it stands: its text "x" is the JSON text "x". null is NULL."""
    return None if value is None else read_json(write_json(value))


def _is_nested(kind: pa.DataType) -> bool:
    import pyarrow as pa
    return bool(pa.types.is_struct(kind) or pa.types.is_list(kind))


def _fits(column: pa.Array, source: Type, target: Type) -> bool:
    """Whether it is text no value of which is too long."""
    import pyarrow.compute as pc
    if source.kind is not Kind.TEXT or target.kind is not Kind.TEXT or target.is_padded:
        return False
    return target.length is None or (pc.max(pc.utf8_length(column)).as_py() or 0) <= target.length


def _has_few_values(column: pa.Array, source: Type) -> bool:
    """To make values different is cheap where they have a fixed width; else a sample decides."""
    import pyarrow.compute as pc
    if source.kind in (Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.ARRAY, Kind.JSON) or len(column) < SAMPLE_ROWS:
        return False
    if source.kind in (Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.DECIMAL):
        return bool(pc.count_distinct(column).as_py() < len(column) // 4)
    return len(column.slice(0, SAMPLE_ROWS).unique()) <= FEW_VALUES


def _same(value: Any) -> Any:
    return value


def _converted(values: Sequence[Any], convert: Callable[[Any], Any], place: Callable[[int], str]) -> list[Any]:
    try:
        return [convert(value) for value in values]
    except QueryError:
        for row, value in enumerate(values):
            try:
                convert(value)
            except QueryError as error:
                raise type(error)(f"{place(row)}: {error}", column=error.column) from None
        raise


def _by_dictionary(column: pa.Array, source: Type, convert: Callable[[Any], Any], place: Callable[[int], str]
                   ) -> list[Any]:
    encoded = column.dictionary_encode()
    try:
        different = [convert(value) for value in _python(encoded.dictionary, source)]
    except QueryError:
        return _converted(_python(column, source), convert, place)       # names the row
    different.append(None)
    places = encoded.indices.fill_null(len(different) - 1).to_numpy().tolist()
    return [different[at] for at in places]


def _python(column: pa.Array, type_: Type) -> list[Any]:
    if type_.kind is Kind.DECIMAL and type_.precision is not None and type_.precision <= SHORT_DECIMAL_DIGITS:
        return _short_decimals(column, type_)
    return to_python(column, type_)


def _short_decimals(column: pa.Array, type_: Type) -> list[Any]:
    """Three times as fast as through pyarrow's objects."""
    import numpy
    low = numpy.frombuffer(column.buffers()[1], dtype=numpy.int64)[::2][column.offset:column.offset + len(column)]
    unit = Decimal((0, (1,), -(type_.scale or 0)))
    values: list[Any] = [value * unit for value in map(Decimal, low.tolist())]
    if column.null_count:
        for row in numpy.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist():
            values[row] = None
    return values


def _plain(column: Any) -> pa.Array:
    """One array, without dictionaries and views."""
    import pyarrow as pa
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary())
    if pa.types.is_timestamp(kind) and kind.unit != "us":
        return column.cast(pa.timestamp("us", kind.tz))
    if pa.types.is_time(kind) and kind.unit != "us":
        return column.cast(pa.time64("us"))
    if pa.types.is_date64(kind):
        return column.cast(pa.date32())
    if pa.types.is_unsigned_integer(kind) or pa.types.is_int8(kind):
        wide = pa.decimal128(20, 0) if kind.bit_width == 64 else pa.int64()
        return column.cast(wide)
    if pa.types.is_float16(kind):
        return column.cast(pa.float32())
    if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return column.cast(pa.list_(kind.value_type))
    return column


def source_type(kind: pa.DataType) -> Type:
    """Our type of Arrow data, after _plain. FeatureNotSupported."""
    import pyarrow as pa
    types = pa.types
    simple = {pa.bool_(): BOOL, pa.int16(): SMALLINT, pa.int32(): INT, pa.int64(): BIGINT, pa.float32(): REAL,
              pa.float64(): DOUBLE, pa.string(): TEXT, pa.binary(): BYTES, pa.date32(): DATE, pa.time64("us"): TIME,
              pa.null(): NULL, pa.month_day_nano_interval(): INTERVAL, pa.timestamp("us"): TIMESTAMP}
    if kind in simple:
        return simple[kind]
    if types.is_timestamp(kind):
        return TIMESTAMPTZ
    if types.is_decimal(kind) and kind.scale >= 0 and kind.precision <= 38:
        return decimal(kind.precision, kind.scale)
    if types.is_list(kind):
        return array(source_type(kind.value_type))
    raise FeatureNotSupported(f"data of the Arrow type {kind}")


def _number_by_arrow(column: pa.Array, target: Type) -> pa.Array | None:
    """Whole numbers as numbers of another size; None: one of them does not fit."""
    import pyarrow as pa
    import pyarrow.compute as pc
    try:
        return pc.cast(column, arrow_type(target))
    except pa.ArrowInvalid:
        return None


def column_type(kind: pa.DataType) -> Type:
    """The type of a column for Arrow data of any type. FeatureNotSupported."""
    import pyarrow as pa
    plain = _plain(pa.array([], kind)).type
    if plain == pa.null():
        return TEXT
    if pa.types.is_struct(plain) or pa.types.is_map(plain) or (
            pa.types.is_list(plain) and _is_nested(plain.value_type)):
        return JSON
    return source_type(plain)


def _read_by_arrow(column: pa.Array, target: Type) -> pa.Array | None:
    """Text read by Arrow, where what it accepts is part of what we do and means the same."""
    import pyarrow as pa
    import pyarrow.compute as pc
    if target.kind not in (Kind.INT, Kind.DECIMAL, Kind.DATE, Kind.TIMESTAMP) or (
            target.kind is Kind.DECIMAL and (target.precision is None or target.precision > 38)):
        return None
    try:
        read = pc.cast(column, arrow_type(target))
    except pa.ArrowInvalid:
        return None
    if target.kind is Kind.INT and pc.any(pc.match_substring(column, "x", ignore_case=True)).as_py():
        return None                                          # hexadecimal digits are none here
    return read
