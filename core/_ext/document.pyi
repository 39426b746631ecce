"""Documents: JSON and more as bytes, of which a field or a path is read without the rest."""
from typing import Final

from typing_extensions import Buffer

MISSING: Final[object]
"""What get() returns where the path leads nowhere; None is a value."""

MAX_DEPTH: Final[int]
"""Containers that may stand inside each other."""

def encode(value: object) -> bytes:
    """A value as a document: None, bool, int, float, Decimal, str, bytes, date, time, datetime, Interval, UUID, list or
    tuple, dict with str keys. TypeError: anything else; OverflowError: an int over 64 bits; LimitExceeded: too deep."""

def decode(data: Buffer) -> object:
    """The value. CorruptionError: it is no document."""

def get(data: Buffer, path: tuple[str | int, ...]) -> object:
    """The value at a path of names and positions (negative: from the end), or MISSING."""

def to_json_text(data: Buffer) -> bytes:
    """JSON in UTF-8 without blanks. What JSON lacks becomes a string: dates of ISO 8601, bytes in hexadecimal after
    \\x, intervals, "NaN"."""
