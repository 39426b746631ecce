"""Our types and casts in DuckDB's SQL.

`native_cast` is DuckDB's own CAST where that gives the same values and errors as casts.py, else None: then the vector
executor calls the Python cast (vector_functions.py). A numeric without a declared precision is some DECIMAL there,
whichever its expression has; where one must be named it is DECIMAL(38,16). A JSON value is its text.
"""
from __future__ import annotations

from phantomdb.core.query.errors import FeatureNotSupported
from phantomdb.core.values import Kind, Type

DECIMAL_DIGITS_MAX = 38
FREE_SCALE = 16                          # digits after the point of a numeric without a declared scale

_NAMES = {Kind.NULL: "VARCHAR", Kind.BOOL: "BOOLEAN", Kind.TEXT: "VARCHAR", Kind.BYTES: "BLOB", Kind.DATE: "DATE",
          Kind.TIME: "TIME", Kind.TIMESTAMP: "TIMESTAMP", Kind.TIMESTAMPTZ: "TIMESTAMPTZ", Kind.INTERVAL: "INTERVAL",
          Kind.UUID: "UUID", Kind.JSON: "VARCHAR"}


def duckdb_type(type_: Type) -> str:
    """FeatureNotSupported: DuckDB has no such type; the row executor has."""
    match type_.kind:
        case Kind.INT:
            return {16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}[type_.bits]
        case Kind.FLOAT:
            return {32: "FLOAT", 64: "DOUBLE"}[type_.bits]
        case Kind.DECIMAL:
            scale = FREE_SCALE if type_.precision is None else type_.scale or 0
            if not 0 <= scale <= DECIMAL_DIGITS_MAX:
                raise FeatureNotSupported(f"{type_} is beyond the {DECIMAL_DIGITS_MAX} digits of the vector executor")
            precision = type_.precision or DECIMAL_DIGITS_MAX
            return f"DECIMAL({min(max(precision, scale), DECIMAL_DIGITS_MAX)},{scale})"
        case Kind.ARRAY:
            assert type_.element is not None
            return f"{duckdb_type(type_.element)}[]"
        case Kind.ANY:
            raise FeatureNotSupported("fields of a flexible table are for the row executor")
    return _NAMES[type_.kind]


_EXACT = (Kind.INT, Kind.DECIMAL)
# Casts that DuckDB does as we do, whatever the parameters of the types.
_NATIVE = {(Kind.BOOL, Kind.INT), (Kind.INT, Kind.BOOL), (Kind.INT, Kind.INT), (Kind.INT, Kind.FLOAT),
           (Kind.FLOAT, Kind.INT), (Kind.DECIMAL, Kind.INT), (Kind.DATE, Kind.TIMESTAMP), (Kind.TIMESTAMP, Kind.DATE),
           (Kind.TIMESTAMP, Kind.TIME)}
_TEXT_ALIKE = (Kind.BOOL, Kind.INT, Kind.UUID, Kind.DATE)


def native_cast(sql: str, source: Type, target: Type, is_explicit: bool) -> str | None:
    """SQL text that converts, None where DuckDB's conversion is not ours."""
    if source == target:
        return sql
    if source.kind is Kind.NULL:
        return f"CAST({sql} AS {duckdb_type(target)})"
    if source.kind is Kind.TEXT and target.kind is Kind.TEXT:
        return _text_cast(sql, source, target, is_explicit)
    if target.kind is Kind.TEXT and (target.length is not None or target.is_padded):
        return None
    if (source.kind, target.kind) in _NATIVE:
        return f"CAST({sql} AS {duckdb_type(target)})"
    if source.kind in _EXACT and target.kind is Kind.DECIMAL:
        return _decimal_cast(sql, source, target)
    if source.kind is Kind.FLOAT and target.kind is Kind.FLOAT and target.bits >= source.bits:
        return f"CAST({sql} AS {duckdb_type(target)})"
    if source.kind is Kind.DECIMAL and target.kind is Kind.FLOAT and target.bits == 64:
        return f"CAST({sql} AS DOUBLE)"
    if target.kind is Kind.TEXT:
        if source.kind in _TEXT_ALIKE:
            return f"CAST({sql} AS VARCHAR)"
        if source.kind is Kind.DECIMAL and source.precision is not None and (source.scale or 0) >= 0:
            return f"CAST(CAST({sql} AS {duckdb_type(source)}) AS VARCHAR)"
    return None


def _decimal_cast(sql: str, source: Type, target: Type) -> str | None:
    if target.precision is None:
        # a decimal stays what it is; a whole number gets what has room for it
        return sql if source.kind is Kind.DECIMAL else f"CAST({sql} AS {duckdb_type(target)})"
    if target.precision > DECIMAL_DIGITS_MAX or not 0 <= (target.scale or 0) <= target.precision:
        return None
    return f"CAST({sql} AS {duckdb_type(target)})"


def _text_cast(sql: str, source: Type, target: Type, is_explicit: bool) -> str | None:
    if target.is_padded:
        return None
    if target.length is None:
        return f"rtrim({sql}, ' ')" if source.is_padded else sql
    if is_explicit and not source.is_padded:
        return f"left({sql}, {target.length})"
    return None
