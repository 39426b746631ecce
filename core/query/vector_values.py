"""Columns of Python values as Arrow, and back: arrow_values.py, with what whole columns allow.

    numeric(10,2)  decimal128(10, 2)                json, any     binary: a document as it is stored
    numeric        decimal128 of any scale          uuid          string
    interval       month_day_nano                   timestamptz   timestamp[us, UTC]

What users get has JSON text in place of documents: shown_type() and shown().
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.query import arrow_values
from phantomdb.core.query.arrow_values import read_document
from phantomdb.core.query.cast_duckdb import DECIMAL_DIGITS_MAX
from phantomdb.core.query.cast_json import write_json
from phantomdb.core.query.errors import NumericTooWide
from phantomdb.core.query.lower_literals import digits_of
from phantomdb.core.values import Kind, Type

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_type(type_: Type) -> pa.DataType:
    """The type of a column. Of a numeric without precision any decimal is right."""
    return arrow_values.arrow_type(type_)


def to_arrow(values: Sequence[Any], type_: Type) -> pa.Array:
    """Python values of one type as a column. NumericTooWide: decimals that no 38 digits hold."""
    import pyarrow as pa
    if type_.kind is Kind.DECIMAL and type_.precision is None:
        return pa.array(values, _decimal_type([value for value in values if value is not None]))
    encode = arrow_values.encoder(type_)
    if encode is not None:
        values = [None if value is None else encode(value) for value in values]
    return pa.array(values, arrow_type(type_))


def _decimal_type(values: Sequence[Any]) -> pa.DataType:
    """One that holds all of them without loss."""
    import pyarrow as pa
    sizes = [digits_of(value) for value in values]
    scale = max((scale for _, scale in sizes), default=0)
    if max((precision - scale for precision, scale in sizes), default=0) + scale > DECIMAL_DIGITS_MAX:
        raise NumericTooWide(f"numeric values that need more than {DECIMAL_DIGITS_MAX} digits in one column")
    return pa.decimal128(DECIMAL_DIGITS_MAX, scale)


def to_python(column: pa.ChunkedArray | pa.Array, type_: Type) -> list[Any]:
    """The values of a column as the API gives them; NULL is None."""
    code = _CODES.get((type_.kind, type_.bits))
    if code is None or column.null_count:
        return arrow_values.decoder(type_)(column)
    # several times as fast as to_pylist(); and to_numpy() would load pandas, where it is installed
    values: list[Any] = []
    for chunk in getattr(column, "chunks", (column,)):
        if len(chunk):
            numbers: Any = memoryview(chunk.buffers()[1])
            values += numbers.cast(code)[chunk.offset:chunk.offset + len(chunk)].tolist()
    return values


# of array.array, for numbers as they lie in a buffer
_CODES = {(Kind.INT, 16): "h", (Kind.INT, 32): "i", (Kind.INT, 64): "q", (Kind.FLOAT, 32): "f", (Kind.FLOAT, 64): "d"}


def _is_document(type_: Type) -> bool:
    return type_.kind in (Kind.JSON, Kind.ANY) if type_.element is None else _is_document(type_.element)


def shown_type(type_: Type) -> pa.DataType:
    """The type of a column that users get."""
    import pyarrow as pa
    if not _is_document(type_):
        return arrow_type(type_)
    return pa.string() if type_.element is None else pa.list_(shown_type(type_.element))


def shown(column: pa.Array, type_: Type) -> pa.Array:
    """A column with documents as JSON text."""
    import pyarrow as pa
    if not _is_document(type_):
        return column
    if type_.element is not None:
        return pa.ListArray.from_arrays(column.offsets, shown(column.values, type_.element),
                                        mask=column.is_null() if column.null_count else None)
    return pa.array([None if data is None else write_json(read_document(data)) for data in column.to_pylist()],
                    pa.string())
