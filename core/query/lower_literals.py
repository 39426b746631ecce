"""Values as SQL text for DuckDB: exact, with their type written out, nothing left to its own guesses.

    Decimal("1.50"), numeric(5,2)   ->   CAST('1.50' AS DECIMAL(5,2))

Text is quoted, so no value can end the literal it stands in. Parameters travel beside the text instead
(`parameter_value`): plain ones as they are, all others as text that DuckDB reads back exactly.
"""
from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from phantomdb.core.query.arrow_values import write_document
from phantomdb.core.query.cast_duckdb import DECIMAL_DIGITS_MAX, duckdb_type
from phantomdb.core.query.errors import NumericTooWide
from phantomdb.core.values import Interval, Kind, Type



def literal(value: Any, type_: Type) -> str:
    """`value` of `type_` as SQL text. NumericTooWide: a decimal of more than 38 digits, NaN or infinite."""
    if type_.kind is Kind.NULL and value is None:
        return "NULL"
    if value is None:
        return f"CAST(NULL AS {duckdb_type(type_)})"
    match type_.kind:
        case Kind.BOOL:
            return "TRUE" if value else "FALSE"
        case Kind.INT:
            return f"CAST({value} AS {duckdb_type(type_)})"
        case Kind.TEXT | Kind.NULL:
            return quoted(str(value))
        case Kind.BYTES:
            return f"from_hex('{bytes(value).hex()}')"
        case Kind.INTERVAL:
            return f"(to_months({value.months}) + to_days({value.days}) + to_microseconds({value.microseconds}))"
        case Kind.JSON | Kind.ANY:
            return f"from_hex('{write_document(value).hex()}')"
        case Kind.ARRAY:
            assert type_.element is not None
            element = type_.element
            items = ", ".join(literal(item, element) for item in value)
            return f"CAST([{items}] AS {duckdb_type(type_)})"
        case Kind.DECIMAL:
            return f"CAST('{_digits(value)}' AS {_decimal_name(value, type_)})"
    return f"CAST('{_text(value, type_)}' AS {duckdb_type(type_)})"


def parameter_value(value: Any, type_: Type) -> Any:
    """`value` in a form that DuckDB takes as a parameter and CAST makes exactly the value again."""
    if value is None or type_.kind in (Kind.BOOL, Kind.INT, Kind.TEXT, Kind.BYTES, Kind.NULL):
        return value
    match type_.kind:
        case Kind.FLOAT:
            return float(value)
        case Kind.DECIMAL:
            return _digits(value)
        case Kind.JSON | Kind.ANY:
            return write_document(value)
        case Kind.INTERVAL:
            return f"{value.months} months {value.days} days {value.microseconds} microseconds"
    return _text(value, type_)


def parameter_type_name(value: Any, type_: Type) -> str:
    """The type a parameter is cast to: that of `type_`, for a decimal without one that of its digits."""
    if type_.kind is Kind.DECIMAL and value is not None:
        return _decimal_name(value, type_)
    return duckdb_type(type_)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def digits_of(value: Decimal) -> tuple[int, int]:
    """(precision, scale) that hold a decimal without loss. NumericTooWide: none does."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise NumericTooWide(f"{value} is not supported by this query; numeric values must be finite")
    scale = max(-exponent, 0)
    precision = max(len(digits) + max(exponent, 0), scale, 1)
    if precision > DECIMAL_DIGITS_MAX:
        raise NumericTooWide(f"a numeric value of {precision} digits; this query takes {DECIMAL_DIGITS_MAX}")
    return precision, scale


def _decimal_name(value: Any, type_: Type) -> str:
    if type_.precision is not None:
        return duckdb_type(type_)
    precision, scale = digits_of(Decimal(value))
    return f"DECIMAL({precision},{scale})"


def _digits(value: Any) -> str:
    number = Decimal(value)
    digits_of(number)
    return format(number, "f")


def _text(value: Any, type_: Type) -> str:
    if type_.kind is Kind.FLOAT:
        return repr(float(value))        # also inf and nan, as DuckDB spells them
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC)
        return str(value.isoformat(" "))
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    assert not isinstance(value, Interval)
    return str(value)
