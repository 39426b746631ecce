"""Rows to a file, for COPY TO: text and CSV as PostgreSQL writes them, JSON lines, Parquet.

The file appears whole: it is written beside its place under another name, and then renamed.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO, Any

from phantomdb.core.errors import StorageError
from phantomdb.core.query.cast_json import write_json
from phantomdb.core.query.casts import output_text, to_text, writer
from phantomdb.core.query.errors import CharacterNotInRepertoire, FeatureNotSupported
from phantomdb.core.query.load_files import FileFormat, opened
from phantomdb.core.query.result import Result
from phantomdb.core.values import BOOL, Kind, Type

BATCH_ROWS = 10_000


def export(result: Result, path: str, form: FileFormat) -> int:
    """How many rows there were. StorageError, FeatureNotSupported, CharacterNotInRepertoire."""
    partial = f"{path}.part"
    file = opened(partial, "wb")
    try:
        with file:
            count = _WRITERS[form.kind](result, file, form)
        os.replace(partial, path)
    except BaseException as error:
        if os.path.exists(partial):
            os.unlink(partial)
        if isinstance(error, UnicodeEncodeError):
            raise CharacterNotInRepertoire(f"a character cannot be written in {form.encoding}") from None
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(str(error.strerror), path=path, errno=error.errno) from None
        raise
    return count


def _batches(result: Result) -> Iterator[list[tuple[Any, ...]]]:
    while rows := result.fetchmany(BATCH_ROWS):
        yield rows


def _texts(types: Sequence[Type]) -> list[Callable[[Any], str]]:
    return [_bool_text if type_.kind is Kind.BOOL else writer(type_) for type_ in types]


def _bool_text(value: Any) -> str:
    return output_text(value, BOOL)


_TEXT_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def _write_text(result: Result, file: IO[bytes], form: FileFormat) -> int:
    escapes = str.maketrans({form.delimiter: "\\" + form.delimiter, **_TEXT_ESCAPES})
    writers = _texts(result.types)
    count = 0
    if form.has_header:
        file.write((form.delimiter.join(name.translate(escapes) for name in result.names) + "\n").encode(form.encoding))
    for rows in _batches(result):
        lines = [form.delimiter.join([form.null if value is None else write(value).translate(escapes)
                                      for value, write in zip(row, writers, strict=True)]) for row in rows]
        file.write(("\n".join(lines) + "\n").encode(form.encoding))
        count += len(rows)
    return count


def _write_csv(result: Result, file: IO[bytes], form: FileFormat) -> int:
    quote, special = form.quote, {form.delimiter, form.quote, "\n", "\r"}

    def field(text: str) -> str:
        if text == form.null or text == "\\." or not special.isdisjoint(text):
            return quote + text.replace(quote, quote + quote) + quote
        return text

    writers = _texts(result.types)
    count = 0
    if form.has_header:
        file.write((form.delimiter.join(map(field, result.names)) + "\n").encode(form.encoding))
    for rows in _batches(result):
        lines = [form.delimiter.join([form.null if value is None else field(write(value))
                                      for value, write in zip(row, writers, strict=True)]) for row in rows]
        file.write(("\n".join(lines) + "\n").encode(form.encoding))
        count += len(rows)
    return count


def _write_json_lines(result: Result, file: IO[bytes], _form: FileFormat) -> int:
    plain = {Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.JSON, Kind.ANY, Kind.TEXT, Kind.ARRAY}
    writers = [write_json if type_.kind in plain else partial(_json_text, type_) for type_ in result.types]
    names = [write_json(name) for name in result.names]
    count = 0
    for rows in _batches(result):
        fields = ([f"{name}:{'null' if value is None else write(value)}"
                   for name, value, write in zip(names, row, writers, strict=True)] for row in rows)
        file.write("".join("{" + ",".join(row) + "}\n" for row in fields).encode())
        count += len(rows)
    return count


def _json_text(type_: Type, value: Any) -> str:
    return write_json(to_text(value, type_))


def _write_parquet(result: Result, file: IO[bytes], _form: FileFormat) -> int:
    import pyarrow as pa
    from pyarrow import parquet
    table = result.arrow()
    try:
        parquet.write_table(table, file)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise FeatureNotSupported(f"Parquet cannot hold this: {error}") from None
    return int(table.num_rows)


_WRITERS: dict[str, Callable[[Result, IO[bytes], FileFormat], int]] = {
    "text": _write_text, "csv": _write_csv, "jsonl": _write_json_lines, "parquet": _write_parquet}
