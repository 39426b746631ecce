"""Expressions: types and conversions, sizes in bytes, timestamps."""
from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import bson
from bson import Binary, Decimal128, ObjectId, Timestamp

from phantomdb.frontends.document import values
from phantomdb.frontends.document.errors import BadValue, ConversionFailure, DocumentError
from phantomdb.frontends.document.expression_base import (
    Compile,
    Evaluate,
    compile_named,
    fail,
    is_null,
    nullable,
    plain,
    special,
)
from phantomdb.frontends.document.filters import TYPE_NUMBERS, whole
from phantomdb.frontends.document.values import DECIMAL_CONTEXT


@plain("$type", 1)
def type_(value: Any) -> str:
    return values.type_name(value)


@plain("$isNumber", 1)
def is_number(value: Any) -> bool:
    return values.is_number(value)


@nullable("$binarySize", 1)
def binary_size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, UUID):
        return 16
    if not isinstance(value, bytes):
        raise fail(51276, f"$binarySize requires a string or BinData argument, found: {values.type_name(value)}")
    return len(value)


@nullable("$bsonSize", 1)
def bson_size(value: Any) -> int:
    if not isinstance(value, dict):
        raise fail(31393, f"$bsonSize requires a document input, found: {values.type_name(value)}")
    options: Any = bson.codec_options.CodecOptions(uuid_representation=bson.binary.UuidRepresentation.STANDARD)
    return len(bson.encode(value, codec_options=options))


@nullable("$tsSecond", 1)
def ts_second(value: Any) -> int:
    if not isinstance(value, Timestamp):
        raise fail(5687301, f"$tsSecond requires a timestamp, found: {values.type_name(value)}")
    return value.time


@nullable("$tsIncrement", 1)
def ts_increment(value: Any) -> int:
    if not isinstance(value, Timestamp):
        raise fail(5687302, f"$tsIncrement requires a timestamp, found: {values.type_name(value)}")
    return value.inc


# -------------------------------------------------------------------- conversions

def number_text(value: Any) -> str:
    """A number as MongoDB writes it."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    return str(value)


def _cannot(value: Any, to: str, why: str = "") -> DocumentError:
    return ConversionFailure(f"Unsupported conversion from {values.type_name(value)} to {to} in $convert"
                             if not why else f"Failed to convert {value!r:.60} to {to} in $convert: {why}")


def _to_bool(value: Any) -> bool:
    return bool(values.number_of(value) != 0) if values.is_number(value) else value is not False


def _to_integer(to: str, bits: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, str):
            digits = value[1:] if value[:1] in ("+", "-") else value
            if not digits.isascii() or not digits.isdigit():
                raise _cannot(value, to, "it is no integer")
            number: Any = int(value)
        elif values.is_number(value):
            plain_number = values.number_of(value)
            if plain_number != plain_number or plain_number in (math.inf, -math.inf):
                raise _cannot(value, to, "it is not finite")
            number = int(plain_number)
        elif isinstance(value, datetime.datetime) and to == "long":
            number = milliseconds_of(value)
        else:
            raise _cannot(value, to)
        if not -1 << (bits - 1) <= number < 1 << (bits - 1):
            raise _cannot(value, to, "it would overflow")
        return int(number)
    return convert


def milliseconds_of(moment: datetime.datetime) -> int:
    """Since 1970, in UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(milliseconds=1)


def _to_double(value: Any) -> float:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            if value != value.strip() or "_" in value:
                raise ValueError
            return float(value)
        except ValueError:
            raise _cannot(value, "double", "it is no number") from None
    if isinstance(value, datetime.datetime):
        return float(milliseconds_of(value))
    if values.is_number(value):
        number = float(values.number_of(value))
        if math.isinf(number) and values.number_of(value) not in (math.inf, -math.inf):
            raise _cannot(value, "double", "it would overflow")
        return number
    raise _cannot(value, "double")


def _to_decimal(value: Any) -> Decimal128:
    if isinstance(value, bool):
        return Decimal128(str(int(value)))
    if isinstance(value, str):
        try:
            if value != value.strip() or "_" in value:
                raise InvalidOperation
            return Decimal128(DECIMAL_CONTEXT.create_decimal(value))
        except (InvalidOperation, ArithmeticError):
            raise _cannot(value, "decimal", "it is no number") from None
    if isinstance(value, datetime.datetime):
        return Decimal128(Decimal(milliseconds_of(value)))
    if values.is_number(value):
        return Decimal128(values.to_decimal(value))
    raise _cannot(value, "decimal")


def _to_date(value: Any) -> datetime.datetime:
    from phantomdb.frontends.document.expressions_dates import read_moment
    if isinstance(value, datetime.datetime):
        return value
    if isinstance(value, ObjectId):
        return value.generation_time.replace(tzinfo=None)
    if isinstance(value, Timestamp):
        return value.as_datetime().replace(tzinfo=None)
    if isinstance(value, str):
        return read_moment(value)
    if values.is_number(value):                             # an int of 32 bits too: what is a long here may be small
        try:
            return datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=int(values.number_of(value)))
        except (OverflowError, ValueError):
            raise _cannot(value, "date", "it is out of range") from None
    raise _cannot(value, "date")


def _to_object_id(value: Any) -> ObjectId:
    if isinstance(value, ObjectId):
        return value
    if isinstance(value, str) and ObjectId.is_valid(value) and len(value) == 24:
        return ObjectId(value)
    raise _cannot(value, "objectId", "it is no text of 24 hexadecimal digits" if isinstance(value, str) else "")


def _to_string(value: Any) -> str:
    from phantomdb.frontends.document.expressions_dates import iso_text
    if isinstance(value, bool):
        return "true" if value else "false"
    if values.is_number(value):
        return number_text(value)
    if isinstance(value, datetime.datetime):
        return iso_text(value)
    if isinstance(value, str | ObjectId | UUID | datetime.date | datetime.time):
        return str(value)
    raise _cannot(value, "string")


def _to_uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            raise _cannot(value, "binData", "it is no UUID") from None
    raise _cannot(value, "binData")


def _to_binary(value: Any) -> Any:
    if isinstance(value, bytes | UUID | Binary):
        return value
    return _to_uuid(value)


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "double": _to_double, "string": _to_string, "binData": _to_binary, "objectId": _to_object_id, "bool": _to_bool,
    "date": _to_date, "int": _to_integer("int", 32), "long": _to_integer("long", 64), "decimal": _to_decimal}
for _name, _conversion in {"$toBool": _to_bool, "$toDate": _to_date, "$toDecimal": _to_decimal,
                           "$toDouble": _to_double, "$toInt": CONVERSIONS["int"], "$toLong": CONVERSIONS["long"],
                           "$toObjectId": _to_object_id, "$toString": _to_string, "$toUUID": _to_uuid}.items():
    nullable(_name, 1)(_conversion)


def _target(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("type")
    if isinstance(value, str):
        if value not in TYPE_NUMBERS:
            raise BadValue(f"Unknown type name: {value} ($convert)")
        return value
    number = whole(value)
    name = next((name for name, known in TYPE_NUMBERS.items() if known == number), None)
    if number is None or name is None:
        raise fail(9, f"$convert's 'to' argument must be a type, found {value!r:.60}")
    return name


@special("$convert")
def convert(argument: Any, compile_: Compile) -> Evaluate:
    parts = compile_named("$convert", argument, ("input", "to"), ("onError", "onNull", "format", "byteOrder"), compile_)
    for key in ("format", "byteOrder"):
        if key in parts:
            raise fail(115, f"$convert: {key} is not supported")

    def evaluate(document: Any, variables: Any) -> Any:
        value, to = parts["input"](document, variables), parts["to"](document, variables)
        if is_null(value) or is_null(to):
            return parts["onNull"](document, variables) if "onNull" in parts and not is_null(to) else None
        name = _target(to)
        try:
            conversion = CONVERSIONS.get(name)
            if conversion is None:
                raise _cannot(value, name)
            return conversion(value)
        except ConversionFailure:
            if "onError" not in parts:
                raise
            return parts["onError"](document, variables)
    return evaluate
