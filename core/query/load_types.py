"""Types discovered in data that says nothing of them: the narrowest one that all values of a column have.

    text    1, -20         smallest of integer, bigint, numeric          2024-05-01            date
            1.5, 1e9       double precision where it keeps all digits,   2024-05-01 12:00      timestamp
                           else numeric                                  2024-05-01T12:00Z     timestamp with time zone
            true, f        boolean                                       12:30, uuids          time, uuid
    JSON    numbers and truth as they are; texts only as moments and uuids; objects and lists are jsonb

All values are looked at, not a sample: what comes late in a file would refuse the load. 007 is text, or its zeros would
be lost.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from phantomdb.core.query.load_values import Batch
from phantomdb.core.values import (
    BIGINT, BOOL, DATE, DOUBLE, INT, JSON, NUMERIC, TEXT, TIME, TIMESTAMP, TIMESTAMPTZ, UUID_TYPE, Type,
)

if TYPE_CHECKING:
    import pyarrow as pa

DOUBLE_DIGITS = 15                       # kept by double precision, whatever they are
NUMERIC_DIGITS = 38                      # more are rather a text of digits; queries over whole tables take no more
_DAY, _CLOCK = r"\d{4}-\d{2}-\d{2}", r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
_ZONE = r"(Z|z|[+-](0\d|1[0-4])(:?[0-5]\d)?)"
_INTEGER = r"^-?(0|[1-9]\d{0,17})$"
_DECIMAL = r"^-?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d{1,3})?$"
_SHORT_DECIMAL = r"^-?(0\.)?0*[1-9]?(\.?\d){0,14}\.?([eE][+-]?\d{1,2})?$"
_MOMENTS = {DATE: f"^{_DAY}$", TIMESTAMP: f"^{_DAY}[ Tt]{_CLOCK}$", TIMESTAMPTZ: f"^{_DAY}[ Tt]{_CLOCK}{_ZONE}$",
            TIME: f"^{_CLOCK}$", UUID_TYPE: "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"}
_INT_MAX = (1 << 31) - 1


def discover(names: Sequence[str], batches: Iterable[Batch]) -> list[Type]:
    """The types of columns of text (Arrow), or of values of JSON (lists). A column without values is text."""
    columns: list[_Column] = [_Column() for _ in names]
    for batch in batches:
        for column, data in zip(columns, batch.columns, strict=True):
            column.add(data)
    return [column.type() for column in columns]


class _Column:
    """What the values of one column may be."""

    def __init__(self) -> None:
        self.possible: list[Type] | None = None              # narrowest first; None: no value was seen

    def add(self, data: Any) -> None:
        import pyarrow as pa
        if not isinstance(data, list):
            self.keep(data, _TESTS)
            return
        texts = [value for value in data if value.__class__ is str]
        others = {_class_of(value) for value in data if value is not None and value.__class__ is not str}
        if texts:
            self.keep(pa.array(texts, pa.string()), _JSON_TESTS)
        for found in others:
            self.narrow(found)

    def keep(self, values: pa.Array, tests: dict[Type, Callable[[pa.Array], bool]]) -> None:
        """Takes away the types that some of the texts do not have."""
        values = values.drop_null()
        if len(values):
            self.possible = [type_ for type_ in self.known() if type_ in tests and tests[type_](values)]

    def narrow(self, wider: Sequence[Type]) -> None:
        self.possible = [type_ for type_ in self.known() if type_ in wider]

    def known(self) -> list[Type]:
        return [*_TESTS, JSON] if self.possible is None else self.possible

    def type(self) -> Type:
        return self.possible[0] if self.possible else TEXT


def _class_of(value: Any) -> tuple[Type, ...]:
    """The types that hold a value of JSON that is no text."""
    if value.__class__ is bool:
        return (BOOL, JSON)
    if value.__class__ is int:
        if -_INT_MAX - 1 <= value <= _INT_MAX:
            return (INT, BIGINT, DOUBLE, NUMERIC, JSON)
        if -1 << 63 <= value < 1 << 63:
            return (BIGINT, NUMERIC, JSON)
        value = Decimal(value)
    if value.__class__ is Decimal:
        digits = len(value.as_tuple().digits)
        return (DOUBLE, NUMERIC, JSON) if digits <= DOUBLE_DIGITS else (NUMERIC, JSON) if digits <= NUMERIC_DIGITS \
            else (JSON,)
    return (JSON,)


def _matches(pattern: str) -> Callable[[pa.Array], bool]:
    def test(values: pa.Array) -> bool:
        import pyarrow.compute as pc
        return bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())
    return test


def _has_day(pattern: str) -> Callable[[pa.Array], bool]:
    """The pattern fits, and the calendar has such a day."""
    fits = _matches(pattern)

    def test(values: pa.Array) -> bool:
        import pyarrow as pa
        import pyarrow.compute as pc
        if not fits(values):
            return False
        try:
            days = pc.cast(pc.utf8_slice_codeunits(values, 0, 10), pa.date32())
        except pa.ArrowInvalid:
            return False
        return bool(pc.min(pc.year(days)).as_py() >= 1)
    return test


def _is_int(values: pa.Array) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc
    if not _matches(_INTEGER)(values):
        return False
    limits = pc.min_max(pc.cast(values, pa.int64()))
    return bool(limits["min"].as_py() >= -_INT_MAX - 1 and limits["max"].as_py() <= _INT_MAX)


def _is_decimal(values: pa.Array) -> bool:
    import pyarrow.compute as pc
    if pc.max(pc.utf8_length(values)).as_py() > NUMERIC_DIGITS:
        return False
    has_digit = pc.match_substring_regex(values, r"^-?\.?\d")
    return bool(pc.all(pc.and_(pc.match_substring_regex(values, _DECIMAL), has_digit)).as_py())


def _is_double(values: pa.Array) -> bool:
    return _is_decimal(values) and _matches(_SHORT_DECIMAL)(values)


# Narrowest first.
_TESTS: dict[Type, Callable[[Any], bool]] = {
    BOOL: _matches("^(?i:true|false|t|f)$"), INT: _is_int, BIGINT: _matches(_INTEGER), DOUBLE: _is_double,
    NUMERIC: _is_decimal,
    DATE: _has_day(_MOMENTS[DATE]), TIMESTAMP: _has_day(_MOMENTS[TIMESTAMP]),
    TIMESTAMPTZ: _has_day(_MOMENTS[TIMESTAMPTZ]), TIME: _matches(_MOMENTS[TIME]),
    UUID_TYPE: _matches(_MOMENTS[UUID_TYPE]), TEXT: lambda _values: True,
}
_JSON_TESTS = {type_: _TESTS[type_] for type_ in (*_MOMENTS, TEXT)} | {JSON: _TESTS[TEXT]}
