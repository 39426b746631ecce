"""Documents: JSON and more as bytes, of which a field or a path is read without the rest."""
from typing import Final

from typing_extensions import Buffer

MISSING: Final[object]
"""What get() returns where the path leads nowhere; None is a value."""

MAX_DEPTH: Final[int]
"""Containers that may stand inside each other."""

def encode(value: object, is_bson: bool = False) -> bytes:
    """A value as a document: None, bool, int, float, Decimal, str, bytes, date, time, datetime, Interval, UUID, list or
    tuple, dict with str keys, and the registered classes of PyMongo. TypeError: anything else; LimitExceeded: too deep.
    With `is_bson` as PyMongo has it: moments in milliseconds, those without a zone in UTC; an int over 64 bits is an
    OverflowError, a name with the character of code 0 a ValueError."""

def decode(data: Buffer, is_bson: bool = False) -> object:
    """The value. CorruptionError: it is no document. With `is_bson` as PyMongo has it: decimals as Decimal128, moments
    without a zone."""

def get(data: Buffer, path: tuple[str | int, ...]) -> object:
    """The value at a path of names and positions (negative: from the end), or MISSING."""

def to_json_text(data: Buffer) -> bytes:
    """JSON in UTF-8 without blanks. What JSON lacks becomes a string: dates of ISO 8601, bytes in hexadecimal after
    \\x, intervals, "NaN"."""
