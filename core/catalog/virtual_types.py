"""Types as PostgreSQL's catalogs show them: object ids, modifiers, names. The ids are PostgreSQL's own."""
from __future__ import annotations

from typing import NamedTuple

from phantomdb.core import values as v
from phantomdb.core.values import Kind, Type


class TypeRow(NamedTuple):
    """A row of pg_type. `length`: -1 where it varies; `array`: the type of arrays of it, 0 for none."""

    oid: int
    name: str
    array: int
    length: int
    category: str
    shown: str                           # as format_type has it
    element: int = 0


_BASE = (
    TypeRow(16, "bool", 1000, 1, "B", "boolean"), TypeRow(17, "bytea", 1001, -1, "U", "bytea"),
    TypeRow(18, "char", 1002, 1, "Z", '"char"'), TypeRow(19, "name", 1003, 64, "S", "name"),
    TypeRow(20, "int8", 1016, 8, "N", "bigint"), TypeRow(21, "int2", 1005, 2, "N", "smallint"),
    TypeRow(23, "int4", 1007, 4, "N", "integer"), TypeRow(24, "regproc", 1008, 4, "N", "regproc"),
    TypeRow(25, "text", 1009, -1, "S", "text"), TypeRow(26, "oid", 1028, 4, "N", "oid"),
    TypeRow(114, "json", 199, -1, "U", "json"), TypeRow(700, "float4", 1021, 4, "N", "real"),
    TypeRow(701, "float8", 1022, 8, "N", "double precision"), TypeRow(705, "unknown", 0, -2, "X", "unknown"),
    TypeRow(1042, "bpchar", 1014, -1, "S", "character"), TypeRow(1043, "varchar", 1015, -1, "S", "character varying"),
    TypeRow(1082, "date", 1182, 4, "D", "date"), TypeRow(1083, "time", 1183, 8, "D", "time without time zone"),
    TypeRow(1114, "timestamp", 1115, 8, "D", "timestamp without time zone"),
    TypeRow(1184, "timestamptz", 1185, 8, "D", "timestamp with time zone"),
    TypeRow(1186, "interval", 1187, 16, "T", "interval"), TypeRow(1700, "numeric", 1231, -1, "N", "numeric"),
    TypeRow(2205, "regclass", 2210, 4, "N", "regclass"), TypeRow(2206, "regtype", 2211, 4, "N", "regtype"),
    TypeRow(2276, "any", 0, 4, "P", '"any"'), TypeRow(2278, "void", 0, 4, "P", "void"),
    TypeRow(2950, "uuid", 2951, 16, "U", "uuid"), TypeRow(3802, "jsonb", 3807, -1, "U", "jsonb"))
TYPES: dict[int, TypeRow] = {row.oid: row for row in _BASE}
TYPES |= {row.array: TypeRow(row.array, f"_{row.name}", 0, -1, "A", f"{row.shown}[]", row.oid)
          for row in _BASE if row.array}
_BY_NAME = {name: row.oid for row in TYPES.values() for name in (row.name, row.shown)}
_BY_NAME |= {"int": 23, "decimal": 1700, "char": 1042, "float": 701, "time": 1083, "timestamp": 1114}

_OIDS = {Kind.NULL: 705, Kind.BOOL: 16, Kind.DECIMAL: 1700, Kind.BYTES: 17, Kind.DATE: 1082, Kind.TIME: 1083,
         Kind.TIMESTAMP: 1114, Kind.TIMESTAMPTZ: 1184, Kind.INTERVAL: 1186, Kind.UUID: 2950, Kind.JSON: 3802,
         Kind.ANY: 2276}
_MODIFIER_HEADER = 4                     # PostgreSQL counts the length word of the value in


def type_oid(type_: Type) -> int:
    if type_.kind is Kind.ARRAY:
        assert type_.element is not None
        return TYPES[type_oid(type_.element)].array or _OIDS[Kind.ANY]
    if type_.kind is Kind.INT:
        return {16: 21, 32: 23, 64: 20}[type_.bits]
    if type_.kind is Kind.FLOAT:
        return {32: 700, 64: 701}[type_.bits]
    if type_.kind is Kind.TEXT:
        return 1042 if type_.is_padded else 25 if type_.length is None else 1043
    return _OIDS[type_.kind]


def type_modifier(type_: Type) -> int:
    """atttypmod: length, or precision and scale; -1 for none."""
    if type_.kind is Kind.ARRAY and type_.element is not None:
        return type_modifier(type_.element)
    if type_.kind is Kind.TEXT and type_.length is not None:
        return type_.length + _MODIFIER_HEADER
    if type_.kind is Kind.DECIMAL and type_.precision is not None:
        return ((type_.precision << 16) | (type_.scale or 0)) + _MODIFIER_HEADER
    return -1


def format_type(oid: int | None, modifier: int | None) -> str | None:
    """The name of a type as SQL has it: character varying(20)."""
    if oid is None:
        return None
    row = TYPES.get(oid)
    if row is None:
        return "-" if oid == 0 else "???"
    if row.element:
        return f"{format_type(row.element, modifier)}[]"
    if modifier is None or modifier < _MODIFIER_HEADER:
        return "bpchar" if oid == 1042 and modifier is not None else row.shown
    if oid in (1042, 1043):
        return f"{row.shown}({modifier - _MODIFIER_HEADER})"
    if oid == 1700:
        bits = modifier - _MODIFIER_HEADER
        return f"numeric({bits >> 16},{bits & 0xffff})"
    return row.shown


def oid_of_name(name: str) -> int | None:
    """By either of its names, with [] for an array."""
    text = name.strip().lower().removeprefix("pg_catalog.").split("(")[0].strip()
    if text.endswith("[]"):
        element = oid_of_name(text[:-2])
        return TYPES[element].array or None if element else None
    return _BY_NAME.get(text.strip('"'))


OID, NAME, TEXT, BOOL, INT, SMALLINT, BIGINT, DOUBLE = (
    v.BIGINT, v.TEXT, v.TEXT, v.BOOL, v.INT, v.SMALLINT, v.BIGINT, v.DOUBLE)
# Types of the columns of virtual tables, by the names in their definitions.
COLUMN_TYPES: dict[str, Type] = {
    "oid": OID, "name": NAME, "text": TEXT, "char": TEXT, "bool": BOOL, "int": INT, "smallint": SMALLINT,
    "bigint": BIGINT,
    "real": v.REAL, "double": DOUBLE, "smallint[]": v.array(SMALLINT), "oid[]": v.array(OID), "text[]": v.array(TEXT),
    "timestamptz": v.TIMESTAMPTZ}
