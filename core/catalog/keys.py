"""Where the rows of the catalog stand. All under one prefix of the store; numbers big-endian, so in order of ids.

    v              version of the catalog            o | id     an object          (storage.py)
    n | id         counter                           s | id     statistics of a table
    u | table id   the table needs upkeep            b | index  how far its build is     (core/tables)
"""
from __future__ import annotations

from typing import Final

CATALOG_PREFIX: Final = 0x63         # b"c"

VERSION_KEY: Final = b"v"
OBJECTS: Final = b"o"
STATISTICS: Final = b"s"
COUNTERS: Final = b"n"
UPKEEP: Final = b"u"

ID_BYTES: Final = 4


def object_key(number: int) -> bytes:
    return OBJECTS + number.to_bytes(ID_BYTES, "big")


def statistics_key(table: int) -> bytes:
    return STATISTICS + table.to_bytes(ID_BYTES, "big")


def counter_key(number: int) -> bytes:
    return COUNTERS + number.to_bytes(ID_BYTES, "big")


def upkeep_key(table: int) -> bytes:
    return UPKEEP + table.to_bytes(ID_BYTES, "big")


def after(kind: bytes) -> bytes:
    """The end of all rows of a kind."""
    return bytes((kind[0] + 1,))
