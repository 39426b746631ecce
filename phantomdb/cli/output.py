"""How keys, sizes and times are written, and tables and progress bars that turn plain where nobody watches."""
from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (BarColumn, DownloadColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn,
                           TransferSpeedColumn)
from rich.table import Table

TIMESTAMP_LOGICAL_BITS = 18
SHOWN_BYTES = 48                     # of a key or value in a table; JSON has all of it
PLAIN_COLUMNS = 160                  # width where there is no terminal to ask

Facts = dict[str, Any]
Report = Callable[[str, int, int], None]      # what is being done, bytes done, bytes in all


def console() -> Console:
    """Standard output; without colours and cut lines when it is not a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_COLUMNS)


def text_of(data: bytes) -> str:
    """Readable and unambiguous: ASCII as it is, everything else escaped as Python does."""
    return repr(data)[2:-1]


def short(data: bytes | str) -> str:
    text = data if isinstance(data, str) else text_of(data)
    return text if len(text) <= SHOWN_BYTES else text[:SHOWN_BYTES - 3] + "..."


def size(count: float) -> str:
    """Bytes as people say them: 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def time_of(timestamp: int) -> str:
    """A commit timestamp as UTC time and the count within its millisecond."""
    if not timestamp:
        return "-"
    milliseconds, logical = timestamp >> TIMESTAMP_LOGICAL_BITS, timestamp & ((1 << TIMESTAMP_LOGICAL_BITS) - 1)
    try:
        moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    except (OverflowError, ValueError):
        return str(timestamp)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{milliseconds % 1000:03}" + (f"+{logical}" if logical else "")


def is_timestamp(column: str) -> bool:
    return column == "ts" or column.endswith("_ts")


def cell(column: str, value: Any) -> str:
    """A value as it stands in a table, by what its column is called."""
    if isinstance(value, bytes):
        return short(value)
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return short(", ".join(str(item) for item in value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return short(str(value))
    if is_timestamp(column):
        return time_of(int(value))
    return size(value) if column.endswith("bytes") else f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, default=lambda item: text_of(bytes(item)))
    sys.stdout.write("\n")


def print_table(title: str, columns: list[str], rows: list[list[str]], *, note: str = "") -> None:
    """Columns whose heading ends with ">" stand to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", caption=note or None, caption_justify="left",
                  box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        # Square brackets in keys are not markup.
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    console().print(table)


def print_facts(facts: dict[str, Any]) -> None:
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        console().print(f"{name.replace('_', ' '):{width}}  {value}", markup=False)


@contextmanager
def progress(label: str) -> Iterator[Report]:
    """A bar on stderr where that is a terminal; otherwise nothing."""
    bar = Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True),
                   TimeRemainingColumn(), console=Console(stderr=True), transient=True,
                   disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task(label, total=None)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{label} {what}", completed=done, total=total)

        yield report


class RowProgress:
    """Rows and bytes of a transfer, told from any thread."""

    def __init__(self, bar: Progress, label: str, total_bytes: int | None) -> None:
        self.rows = self.bytes = 0
        self._bar, self._task = bar, bar.add_task(label, total=total_bytes, rows=0)

    def set_rows(self, count: int) -> None:
        self.rows = count
        self._bar.update(self._task, rows=count)

    def set_bytes(self, count: int) -> None:
        self.bytes = count
        self._bar.update(self._task, completed=count)


@contextmanager
def row_progress(label: str, total_bytes: int | None = None) -> Iterator[RowProgress]:
    """A bar with rows and MB/s on stderr where that is a terminal; otherwise nothing. Without a total a moving bar."""
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(),
                                     TextColumn("{task.fields[rows]:,} rows")]
    if total_bytes is not None:
        columns += [DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        yield RowProgress(bar, label, total_bytes)
