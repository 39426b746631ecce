"""Results as text: tables with frames or without, one column below the other, Markdown, CSV, JSON lines.

A value is written as a client of PostgreSQL sees it. Characters that would move the cursor of a terminal are escaped.
"""
from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from phantomdb.core.query.casts import output_text
from phantomdb.core.values import Kind, Type

FORMATS = ("table", "csv", "jsonl", "markdown")
NULL = "NULL"
_NUMBERS = {Kind.INT, Kind.FLOAT, Kind.DECIMAL}
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Rows:
    """A result that is all there."""

    names: Sequence[str]
    types: Sequence[Type]
    rows: Sequence[Sequence[Any]]

    def texts(self, null: str = NULL) -> list[list[str]]:
        """Each row as texts."""
        writers = [partial(output_text, type_=type_) for type_ in self.types]
        return [[null if value is None else shown(write(value)) for value, write in zip(row, writers, strict=True)]
                for row in self.rows]

    @property
    def rights(self) -> list[bool]:
        """Whether a column stands to the right."""
        return [type_.kind in _NUMBERS for type_ in self.types]


@dataclass(frozen=True, slots=True)
class Frame:
    """What a table is drawn with: left, between and right of cells, for the lines of the table and in rows."""

    top: str                             # four characters each; "" leaves the line out
    middle: str
    bottom: str
    row: str                             # left, between, right


PLAIN = Frame("", " -+ ", "", " | ")
BOXED = Frame("┌─┬┐", "├─┼┤", "└─┴┘", "│││")


def shown(text: str) -> str:
    """Without characters that move the cursor, line breaks excepted."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}" if found[0] != "\t" else "    ", text)


def width_of(text: str) -> int:
    """In columns of a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len
    return cell_len(text)


def padded(text: str, columns: int, is_right: bool) -> str:
    blanks = " " * (columns - width_of(text))
    return blanks + text if is_right else text + blanks


def table(result: Rows, frame: Frame = PLAIN, *, is_counted: bool = True) -> str:
    """All rows below each other, and how many there are."""
    cells = result.texts()
    heads = [shown(name) for name in result.names]
    widths = [max(width_of(head), *(width_of(line) for row in cells for line in row[place].split("\n")), 0)
              for place, head in enumerate(heads)]
    lines = [_rule(frame.top, widths), *_row(frame, heads, widths, [False] * len(heads)), _rule(frame.middle, widths)]
    rights = result.rights
    for row in cells:
        lines += _row(frame, row, widths, rights)
    lines += [_rule(frame.bottom, widths), counted(len(cells)) if is_counted else ""]
    return "\n".join(line for line in lines if line)


def _rule(parts: str, widths: Sequence[int]) -> str:
    if not parts:
        return ""
    left, line, between, right = tuple(parts)
    return (left + between.join(line * (width + 2) for width in widths) + right).strip()


def _row(frame: Frame, cells: Sequence[str], widths: Sequence[int], rights: Sequence[bool]) -> list[str]:
    """One line, or as many as the cell with most line breaks has."""
    left, between, right = tuple(frame.row)
    parts = [cell.split("\n") for cell in cells]
    lines = []
    for number in range(max(map(len, parts))):
        texts = [padded(part[number] if number < len(part) else "", width, is_right)
                 for part, width, is_right in zip(parts, widths, rights, strict=True)]
        line = left + between.join(f" {text} " for text in texts) + right
        lines.append(line[1:].rstrip() if left == " " else line)
    return lines


def counted(count: int) -> str:
    return f"({count:,} row{'s' * (count != 1)})"


def expanded(result: Rows) -> str:
    """Each row as a list of names and values."""
    width = max(map(width_of, result.names), default=0)
    lines = []
    for number, row in enumerate(result.texts(), 1):
        lines.append(f"-[ row {number} ]".ljust(max(width + 3, 20), "-"))
        for name, text in zip(result.names, row, strict=True):
            first, *others = text.split("\n")
            lines.append(f"{padded(shown(name), width, False)} | {first}")
            lines += [f"{' ' * width} | {other}" for other in others]
    return "\n".join([*lines, counted(len(result.rows))])


def markdown(result: Rows) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"

    rules = ["---:" if is_right else "---" for is_right in result.rights]
    return "\n".join([line([shown(name) for name in result.names]), "|" + "|".join(rules) + "|",
                      *map(line, result.texts())])


def _file(kind: str, result: Rows) -> str:
    from phantomdb.core.query.export_files import write
    from phantomdb.core.query.load_files import FileFormat
    from phantomdb.core.query.result import result_of
    file = io.BytesIO()
    write(result_of(result.names, result.types, list(map(tuple, result.rows))), file,
          FileFormat(kind, ",", "", has_header=True))
    return file.getvalue().decode().removesuffix("\n")


def drawer(name: str, *, is_boxed: bool = False, is_expanded: bool = False) -> Callable[[Rows], str]:
    """What turns a result into text, for one of FORMATS."""
    if name == "table":
        return expanded if is_expanded else partial(table, frame=BOXED if is_boxed else PLAIN)
    return markdown if name == "markdown" else partial(_file, name)
