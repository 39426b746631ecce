"""Names of types in SQL to types of core."""
from __future__ import annotations

from typing import Any

from phantomdb.core import values as v
from phantomdb.core.query.errors import FeatureNotSupported, InvalidParameterValue, UndefinedObject
from phantomdb.core.values import Kind, Type

_BY_NAME: dict[str, Type] = {
    "BOOLEAN": v.BOOL, "SMALLINT": v.SMALLINT, "INT": v.INT, "BIGINT": v.BIGINT, "FLOAT": v.REAL, "DOUBLE": v.DOUBLE,
    "TEXT": v.TEXT, "NAME": v.varchar(63), "VARBINARY": v.BYTES, "BINARY": v.BYTES, "BLOB": v.BYTES, "DATE": v.DATE,
    "TIME": v.TIME, "TIMESTAMP": v.TIMESTAMP, "TIMESTAMPNTZ": v.TIMESTAMP, "DATETIME": v.TIMESTAMP,
    "TIMESTAMPTZ": v.TIMESTAMPTZ, "INTERVAL": v.INTERVAL, "UUID": v.UUID_TYPE, "JSON": v.JSON, "JSONB": v.JSON,
    "SMALLSERIAL": v.SMALLINT, "SERIAL": v.INT, "BIGSERIAL": v.BIGINT, "VARCHAR": v.TEXT, "DECIMAL": v.NUMERIC,
    "TINYINT": v.SMALLINT, "MEDIUMINT": v.INT, "NVARCHAR": v.TEXT, "BPCHAR": Type(Kind.TEXT, is_padded=True),
    "OBJECT_IDENTIFIER": v.BIGINT, "OID": v.BIGINT, "REGCLASS": v.BIGINT, "REGTYPE": v.BIGINT,
    "REGNAMESPACE": v.BIGINT, "MONEY": v.decimal(19, 2),
}
_USER_NAMES: dict[str, Type] = {
    "bytea": v.BYTES, "oid": v.BIGINT, "regclass": v.BIGINT, "regtype": v.BIGINT, "int2": v.SMALLINT, "int4": v.INT,
    "int8": v.BIGINT, "float4": v.REAL, "float8": v.DOUBLE, "bool": v.BOOL, "numeric": v.NUMERIC, "text": v.TEXT,
    "varchar": v.TEXT, "string": v.TEXT, "name": v.varchar(63), "int": v.INT, "bpchar": Type(Kind.TEXT, is_padded=True),
}
# A name becomes the number of what it names: functions of core, not casts.
NAMED_OBJECTS = {"regclass", "regtype", "regnamespace"}
SERIALS = {"SMALLSERIAL", "SERIAL", "BIGSERIAL"}


def is_serial(node: Any) -> bool:
    return node is not None and node.this.value in SERIALS


def type_of(node: Any, position: int | None = None) -> Type:
    """The type a DataType node of sqlglot names. UndefinedObject: there is none of that name."""
    name = getattr(node.this, "value", str(node.this)).upper()
    if name.startswith("TIME") and any(number != 6 for number in _precisions(node)):
        raise FeatureNotSupported(f"{name.lower()} with a precision; all have microseconds", position=position)
    parameters = _precisions(node)
    if name in ("ARRAY", "LIST"):
        if not node.expressions:
            raise UndefinedObject("an array needs the type of its elements", position=position)
        return v.array(type_of(node.expressions[0], position))
    if name == "INTERVAL" or type(node.this).__name__ == "Interval":
        return v.INTERVAL
    if name in ("DECIMAL", "BIGDECIMAL") and parameters:
        precision, scale = parameters[0], parameters[1] if len(parameters) > 1 else 0
        if not 1 <= precision <= v.MAX_DECIMAL_PRECISION or not 0 <= scale <= precision:
            raise InvalidParameterValue(f"numeric({precision},{scale}): precision must be from 1 to "
                                        f"{v.MAX_DECIMAL_PRECISION}, scale from 0 to precision", position=position)
        return v.decimal(precision, scale)
    if name == "FLOAT" and parameters:
        if not 1 <= parameters[0] <= 53:
            raise InvalidParameterValue("precision of float must be from 1 to 53", position=position)
        return v.REAL if parameters[0] <= 24 else v.DOUBLE
    if name in ("VARCHAR", "NVARCHAR", "CHAR", "NCHAR", "BPCHAR", "TEXT"):
        length = parameters[0] if parameters else None
        if length is not None and not 1 <= length <= v.MAX_TEXT_LENGTH:
            raise InvalidParameterValue(f"length of a text type must be from 1 to {v.MAX_TEXT_LENGTH}",
                                        position=position)
        if name in ("CHAR", "NCHAR"):
            return v.char(length or 1)
        return v.TEXT if length is None else v.varchar(length)
    if name in ("USERDEFINED", "USER-DEFINED", "UNKNOWN"):
        kind = node.args.get("kind")
        text = (kind if isinstance(kind, str) else getattr(kind, "name", str(kind))).lower().strip('"')
        text = text.removeprefix("pg_catalog.")
        if text in _USER_NAMES:
            return _USER_NAMES[text]
        raise UndefinedObject(f'type "{text}" does not exist', position=position)
    if name in _BY_NAME:
        return _BY_NAME[name]
    raise FeatureNotSupported(f"type {name.lower()} is not supported", position=position)


def _precisions(node: Any) -> list[int]:
    return [_whole_number(item) for item in node.expressions if type(item).__name__ == "DataTypeParam"]


def _whole_number(parameter: Any) -> int:
    try:
        return int(parameter.this.name)
    except (ValueError, AttributeError):
        raise InvalidParameterValue("a type takes whole numbers") from None
