"""What tables made by Hypothesis are of: types of columns with their values, extremes among them, in two dialects.

queries.py makes tables and queries of them, and says what is left out.
"""
from __future__ import annotations

import datetime
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st

from phantomdb.core.query.cast_json import write_json
from phantomdb.core.values import JSON_NULL, Interval


class Sql(NamedTuple):
    """The same in both dialects."""

    ours: str
    duck: str


def same(text: str) -> Sql:
    return Sql(text, text)


def form(template: str | Sql, *parts: Sql) -> Sql:
    """`{}` filled with parts in both."""
    pair = same(template) if isinstance(template, str) else template
    return Sql(pair.ours.format(*[part.ours for part in parts]), pair.duck.format(*[part.duck for part in parts]))


def joined(separator: str, parts: Sequence[Sql]) -> Sql:
    return Sql(separator.join(part.ours for part in parts), separator.join(part.duck for part in parts))


# -------------------------------------------------------------------- types and values

@dataclass(frozen=True)
class ColumnType:
    """A type of a column. `family`: types of one are compared and computed with each other."""

    name: str
    duck: str
    family: str
    values: st.SearchStrategy[Any]
    is_portable: bool = True
    is_indexed: bool = True


def _whole(bits: int) -> st.SearchStrategy[int]:
    edge = 1 << (bits - 1)
    return st.sampled_from([0, 1, 2, -1, 3, edge - 1, -edge]) | st.integers(-5, 5)


def _to_real(value: float) -> float:
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found


_SPECIAL = [0.0, -0.0, 1.0, -1.5, 0.5, math.nan, math.inf, -math.inf]
_TEXTS = st.sampled_from(["", "a", "A", "b", "ab", "a%", "_", " ", "a ", "'", '"', "é", "e\u0301", "ß", "\U0001f468",
                          "\uffff", "\x7f", "zz", "NULL"])
_DAYS = st.sampled_from([datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(2024, 2, 29),
                         datetime.date(1969, 12, 31), datetime.date(2000, 1, 1)])
_CLOCKS = st.sampled_from([datetime.time(0), datetime.time(23, 59, 59, 999999), datetime.time(12, 30, 0, 1)])
_MOMENTS = st.builds(datetime.datetime.combine, _DAYS, _CLOCKS)
_UUIDS = st.sampled_from([UUID(int=0), UUID(int=(1 << 128) - 1), UUID(int=1 << 127), UUID(int=5)])
_SPANS = st.builds(Interval, st.integers(-2, 2), st.sampled_from([0, 1, -1, 30, -30, 60]),
                   st.sampled_from([0, 1, -1, 86_400_000_000]))


def _decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    edge = Decimal((0, (9,) * digits, -scale))
    unit = Decimal((0, (1,), -scale))
    small = Decimal("-1.5") if scale else Decimal(-2)
    return st.sampled_from([Decimal(0), Decimal(1), small, edge, edge.copy_negate(), unit])


TYPES = [
    ColumnType("boolean", "BOOLEAN", "bool", st.booleans()),
    ColumnType("smallint", "SMALLINT", "int", _whole(16)),
    ColumnType("integer", "INTEGER", "int", _whole(32)),
    ColumnType("integer", "INTEGER", "int", st.integers(0, 3)),
    ColumnType("bigint", "BIGINT", "int", _whole(64)),
    ColumnType("real", "FLOAT", "float", st.sampled_from([*_SPECIAL, _to_real(3.4e38), _to_real(1.1)])),
    ColumnType("double precision", "DOUBLE", "float", st.sampled_from([*_SPECIAL, 1.7e308, 5e-324, 0.1])),
    ColumnType("numeric(10, 2)", "DECIMAL(10, 2)", "decimal", _decimals(10, 2)),
    ColumnType("numeric(38, 9)", "DECIMAL(38, 9)", "decimal", _decimals(38, 9)),
    ColumnType("text", "VARCHAR", "text", _TEXTS),
    ColumnType("varchar(3)", "VARCHAR", "text", _TEXTS.map(lambda text: text[:3])),
    ColumnType("bytea", "BLOB", "bytes", st.sampled_from([b"", b"\x00", b"\xff", b"ab", b"ab\x00", b"\x80\x00"])),
    ColumnType("date", "DATE", "date", _DAYS),
    ColumnType("time", "TIME", "time", _CLOCKS),
    ColumnType("timestamp", "TIMESTAMP", "timestamp", _MOMENTS),
    ColumnType("timestamptz", "TIMESTAMPTZ", "timestamptz", _MOMENTS.map(lambda m: m.replace(tzinfo=datetime.UTC))),
    ColumnType("interval", "INTERVAL", "interval", _SPANS),
    ColumnType("uuid", "UUID", "uuid", _UUIDS),
    ColumnType("integer[]", "INTEGER[]", "array", st.lists(st.integers(-1, 1) | st.none(), max_size=3)),
    ColumnType("numeric", "", "decimal", _decimals(60, 20) | _decimals(3, 1) | _decimals(20, 0), False),
    ColumnType("char(3)", "", "char", st.sampled_from(["", "a", "ab ", "abc", "é"]), False),
    ColumnType("jsonb", "", "json", st.sampled_from(
        [JSON_NULL, True, 1, Decimal("1.0"), "a", [], [1, None], {}, {"a": 1}, {"a": {"b": [1]}}]), False, False),
]


def literal_of(type_: ColumnType, value: Any) -> Sql:
    """The value written out, with its type."""
    if value is None:
        return form("CAST(NULL AS {})", Sql(type_.name, type_.duck))
    ours = duck = _shown(value)
    if isinstance(value, bytes):
        ours, duck = "\\x" + value.hex(), "".join(f"\\x{byte:02X}" for byte in value)
    elif type_.family == "json":
        ours = write_json(value).replace("'", "''")
    elif isinstance(value, Interval):
        duck = f"{value.months} months {value.days} days {value.microseconds} microseconds"
    elif isinstance(value, list):
        ours = "{" + ",".join("NULL" if item is None else str(item) for item in value) + "}"
        duck = str(value).replace("None", "NULL")
    return Sql(f"CAST('{ours}' AS {type_.name})", f"CAST('{duck}' AS {type_.duck})")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return repr(value).replace("inf", "Infinity").replace("nan", "NaN")
    return str(value).replace("'", "''")


# -------------------------------------------------------------------- tables

@dataclass(frozen=True)
class Column:
    sql: Sql
    type: ColumnType


@dataclass
class Table:
    name: str
    columns: list[tuple[str, ColumnType]]
    key: str                                                 # "" for none
    indexes: list[str]
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def definition(self, is_ours: bool) -> list[str]:
        parts = [f"{name} {type_.name if is_ours else type_.duck}" for name, type_ in self.columns]
        if is_ours and self.key:
            parts.append(f"PRIMARY KEY ({self.key})")
        statements = [f"CREATE TABLE {self.name} ({', '.join(parts)})"]
        if is_ours:
            statements += [f"CREATE INDEX ON {self.name} ({index})" for index in self.indexes]
        return statements
