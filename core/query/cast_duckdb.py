"""Our types and casts in DuckDB's SQL.

`native_cast` is DuckDB's own CAST where that gives the same values and errors as casts.py, else None: then the vector
executor calls the Python cast (vector_functions.py). A numeric without a declared precision is some DECIMAL there,
whichever its expression has; where one must be named it is DECIMAL(38,16). A uuid is its text, in the form that is
ordered as its bytes are; a JSON value, or a field of a flexible table, is a document as core/_ext/document encodes it.

The text may have marks of functions/forms.py: of the session's time zone, and of the Python cast for the values that
DuckDB does not convert as we do.
"""
from __future__ import annotations

from collections.abc import Sequence

from phantomdb.core.query.errors import FeatureNotSupported
from phantomdb.core.query.functions.forms import IS_UTC, LOCAL, PYTHON, local, moment, once
from phantomdb.core.values import Kind, Type

DECIMAL_DIGITS_MAX = 38
FREE_SCALE = 16                          # digits after the point of a numeric without a declared scale
PRODUCT_SCALE = 20                       # ... of a product whose scale is not known

_NAMES = {Kind.NULL: "VARCHAR", Kind.BOOL: "BOOLEAN", Kind.TEXT: "VARCHAR", Kind.BYTES: "BLOB", Kind.DATE: "DATE",
          Kind.TIME: "TIME", Kind.TIMESTAMP: "TIMESTAMP", Kind.TIMESTAMPTZ: "TIMESTAMPTZ", Kind.INTERVAL: "INTERVAL",
          Kind.UUID: "VARCHAR", Kind.JSON: "BLOB", Kind.ANY: "BLOB"}


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
    return _NAMES[type_.kind]


_EXACT = (Kind.INT, Kind.DECIMAL)
# Casts that DuckDB does as we do, whatever the parameters of the types.
_NATIVE = {(Kind.BOOL, Kind.INT), (Kind.INT, Kind.BOOL), (Kind.INT, Kind.INT), (Kind.INT, Kind.FLOAT),
           (Kind.FLOAT, Kind.INT), (Kind.DECIMAL, Kind.INT), (Kind.DATE, Kind.TIMESTAMP), (Kind.TIMESTAMP, Kind.DATE),
           (Kind.TIMESTAMP, Kind.TIME)}
_TEXT_ALIKE = (Kind.BOOL, Kind.INT, Kind.UUID, Kind.DATE, Kind.TIME, Kind.TIMESTAMP)
# Texts that DuckDB reads as we do, unless it gives NULL; with the year 0 and what else there is, Python is asked.
_DATE = r"(?:[1-9]\d{3}|0[1-9]\d\d|00[1-9]\d|000[1-9])-\d\d-\d\d"
_PLAIN_TEXTS = {Kind.DATE: _DATE, Kind.TIMESTAMP: _DATE + r"[ T][01]\d:[0-5]\d:[0-5]\d(?:\.\d{1,6})?"}


def native_cast(sql: str, source: Type, target: Type, is_explicit: bool) -> str | None:
    """SQL text that converts, None where DuckDB's conversion is not ours."""
    if source == target:
        return sql
    if source.kind is Kind.NULL:
        return f"CAST({sql} AS {duckdb_type(target)})"
    if source.kind is Kind.JSON and target.kind is Kind.ANY:
        return sql
    if source.kind is Kind.TEXT and target.kind is Kind.TEXT:
        return _text_cast(sql, source, target, is_explicit)
    if target.kind is Kind.TEXT and (target.length is not None or target.is_padded):
        return None
    if (source.kind, target.kind) in _NATIVE:
        return f"CAST({sql} AS {duckdb_type(target)})"
    if Kind.TIMESTAMPTZ in (source.kind, target.kind):
        return _zone_cast(sql, source, target)
    if source.kind is Kind.TEXT and not source.is_padded and (target.kind in _PLAIN_TEXTS or target.kind is Kind.INT):
        return _read(sql, target)
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


def _zone_cast(sql: str, source: Type, target: Type) -> str | None:
    """To and from the timestamp with time zone, by the session's clock."""
    match source.kind, target.kind:
        case Kind.TIMESTAMPTZ, Kind.TIMESTAMP:
            return local(sql)
        case Kind.TIMESTAMPTZ, (Kind.DATE | Kind.TIME):
            return f"CAST({local(sql)} AS {duckdb_type(target)})"
        case Kind.TIMESTAMP, Kind.TIMESTAMPTZ:
            return moment(sql)
        case Kind.DATE, Kind.TIMESTAMPTZ:
            return moment(f"CAST({sql} AS TIMESTAMP)")
        case Kind.TIMESTAMPTZ, Kind.TEXT:
            return once([sql], lambda names: (f"CASE WHEN {IS_UTC} THEN CAST({local(names[0])} AS VARCHAR) || '+00' "
                                              f"ELSE {_with_offset(names[0])} END"))
    return None


def _with_offset(sql: str) -> str:
    def body(names: Sequence[str]) -> str:
        clock, offset = names
        parts = (f"lpad(CAST(abs({offset}) // 3600 AS VARCHAR), 2, '0')",
                 *(f"CASE WHEN abs({offset}) % {unit} = 0 THEN '' "
                   f"ELSE ':' || lpad(CAST(abs({offset}) // {part} % 60 AS VARCHAR), 2, '0') END"
                   for unit, part in ((3600, 60), (60, 1))))
        sign = f"CASE WHEN {offset} < 0 THEN '-' ELSE '+' END"
        return " || ".join((f"CAST({clock} AS VARCHAR)", f"({sign})", *(f"({part})" for part in parts)))
    return once([local(sql), f"({LOCAL}{sql}) - epoch_us({sql})) // 1000000"], body)


def _read(sql: str, target: Type) -> str:
    plain = _PLAIN_TEXTS.get(target.kind, r"-?\d{1,9}" if target.bits > 16 else r"-?\d{1,4}")

    def body(names: Sequence[str]) -> str:
        name = duckdb_type(target)
        return (f"CASE WHEN {names[0]} IS NULL THEN NULL WHEN regexp_full_match({names[0]}, '{plain}') AND "
                f"TRY_CAST({names[0]} AS {name}) IS NOT NULL THEN TRY_CAST({names[0]} AS {name}) "
                f"ELSE {PYTHON}({names[0]}) END")
    return once([sql], body)


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
