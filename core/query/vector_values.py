"""Columns of Python values as Arrow, and back: arrow_values.py, with what whole columns allow.

    numeric(10,2)  decimal128(10, 2)                json, any     string, holding JSON text
    numeric        decimal128 of any scale          uuid          string
    interval       month_day_nano                   timestamptz   timestamp[us, UTC]
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import arrow_values
from phantomdb.core.query.cast_duckdb import DECIMAL_DIGITS_MAX
from phantomdb.core.query.errors import NumericValueOutOfRange
from phantomdb.core.query.lower_literals import digits_of
from phantomdb.core.values import JSON, Kind, Type

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_type(type_: Type) -> pa.DataType:
    """The type of a column. Of a numeric without precision any decimal is right."""
    return arrow_values.arrow_type(type_)


def to_arrow(values: Sequence[Any], type_: Type) -> pa.Array:
    """Python values of one type as a column. NumericValueOutOfRange: decimals that no 38 digits hold."""
    import pyarrow as pa
    target = arrow_type(type_)
    if type_.kind is Kind.DECIMAL and type_.precision is None:
        target = _decimal_type([value for value in values if value is not None])
    encode = arrow_values.encoder(_as_json(type_))
    if encode is not None:
        values = [None if value is None else encode(value) for value in values]
    return pa.array(values, target)


def _decimal_type(values: Sequence[Any]) -> pa.DataType:
    """One that holds all of them without loss."""
    import pyarrow as pa
    sizes = [digits_of(value) for value in values]
    scale = max((scale for _, scale in sizes), default=0)
    if max((precision - scale for precision, scale in sizes), default=0) + scale > DECIMAL_DIGITS_MAX:
        raise NumericValueOutOfRange(f"numeric values that need more than {DECIMAL_DIGITS_MAX} digits in one column")
    return pa.decimal128(DECIMAL_DIGITS_MAX, scale)


def to_python(column: pa.ChunkedArray | pa.Array, type_: Type) -> list[Any]:
    """The values of a column as the API gives them; NULL is None."""
    if type_.kind in (Kind.INT, Kind.FLOAT) and column.null_count == 0:
        return list(column.to_numpy(zero_copy_only=False).tolist())    # several times as fast as to_pylist
    return arrow_values.decoder(_as_json(type_))(column)


def _as_json(type_: Type) -> Type:
    """A field of a flexible table is JSON text there."""
    return JSON if type_.kind is Kind.ANY else type_
