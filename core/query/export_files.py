"""Rows to a file: text and CSV as PostgreSQL writes them, JSON lines, Parquet, Arrow.

The file appears whole: it is written beside its place under another name, and then renamed. Rows are asked for some at
a time, so there may be more than memory holds.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from phantomdb.core.errors import StorageError
from phantomdb.core.query.cast_json import write_json
from phantomdb.core.query.casts import output_text, to_text, writer
from phantomdb.core.query.errors import CharacterNotInRepertoire, FeatureNotSupported
from phantomdb.core.query.load_files import FileFormat, opened
from phantomdb.core.query.result import RowStream
from phantomdb.core.values import BOOL, Kind, Type

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 10_000
Report = Callable[[int], None]       # rows so far


def export(result: RowStream, path: str, form: FileFormat, report: Report | None = None) -> int:
    """How many rows there were. `report` is told from time to time how many there are so far. StorageError,
    FeatureNotSupported, CharacterNotInRepertoire."""
    partial = f"{path}.part"
    file = opened(partial, "wb")
    try:
        with file:
            count = write(result, file, form, report)
        os.replace(partial, path)
    except BaseException as error:
        if os.path.exists(partial):
            os.unlink(partial)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(str(error.strerror), path=path, errno=error.errno) from None
        raise
    return count


def write(result: RowStream, file: IO[bytes], form: FileFormat, report: Report | None = None) -> int:
    """The same into an open file. What the file raises; FeatureNotSupported, CharacterNotInRepertoire."""
    try:
        return _WRITERS[form.kind](result, file, form, report or _ignore)
    except UnicodeEncodeError:
        raise CharacterNotInRepertoire(f"a character cannot be written in {form.encoding}") from None


def _ignore(_count: int) -> None:
    pass


def _batches(result: RowStream, report: Report) -> Iterator[list[tuple[Any, ...]]]:
    count = 0
    while rows := result.fetchmany(BATCH_ROWS):
        yield rows
        count += len(rows)
        report(count)


def _texts(types: Sequence[Type]) -> list[Callable[[Any], str]]:
    return [_bool_text if type_.kind is Kind.BOOL else writer(type_) for type_ in types]


def _bool_text(value: Any) -> str:
    return output_text(value, BOOL)


_TEXT_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def _write_text(result: RowStream, file: IO[bytes], form: FileFormat, report: Report) -> int:
    escapes = str.maketrans({form.delimiter: "\\" + form.delimiter, **_TEXT_ESCAPES})
    writers = _texts(result.types)
    count = 0
    if form.has_header:
        file.write((form.delimiter.join(name.translate(escapes) for name in result.names) + "\n").encode(form.encoding))
    for rows in _batches(result, report):
        lines = [form.delimiter.join([form.null if value is None else write(value).translate(escapes)
                                      for value, write in zip(row, writers, strict=True)]) for row in rows]
        file.write(("\n".join(lines) + "\n").encode(form.encoding))
        count += len(rows)
    return count


def _write_csv(result: RowStream, file: IO[bytes], form: FileFormat, report: Report) -> int:
    quote, special = form.quote, {form.delimiter, form.quote, "\n", "\r"}

    def field(text: str) -> str:
        if text == form.null or text == "\\." or not special.isdisjoint(text):
            return quote + text.replace(quote, quote + quote) + quote
        return text

    writers = _texts(result.types)
    count = 0
    if form.has_header:
        file.write((form.delimiter.join(map(field, result.names)) + "\n").encode(form.encoding))
    for rows in _batches(result, report):
        lines = [form.delimiter.join([form.null if value is None else field(write(value))
                                      for value, write in zip(row, writers, strict=True)]) for row in rows]
        file.write(("\n".join(lines) + "\n").encode(form.encoding))
        count += len(rows)
    return count


def _write_json_lines(result: RowStream, file: IO[bytes], _form: FileFormat, report: Report) -> int:
    plain = {Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.JSON, Kind.ANY, Kind.TEXT, Kind.ARRAY}
    writers = [write_json if type_.kind in plain else partial(_json_text, type_) for type_ in result.types]
    names = [write_json(name) for name in result.names]
    count = 0
    for rows in _batches(result, report):
        fields = ([f"{name}:{'null' if value is None else write(value)}"
                   for name, value, write in zip(names, row, writers, strict=True)] for row in rows)
        file.write("".join("{" + ",".join(row) + "}\n" for row in fields).encode())
        count += len(rows)
    return count


def _json_text(type_: Type, value: Any) -> str:
    return write_json(to_text(value, type_))


def _write_parquet(result: RowStream, file: IO[bytes], _form: FileFormat, report: Report) -> int:
    from pyarrow import parquet
    return _write_arrow_data(result, "Parquet", lambda schema: parquet.ParquetWriter(file, schema), report)


def _write_arrow(result: RowStream, file: IO[bytes], _form: FileFormat, report: Report) -> int:
    import pyarrow as pa
    return _write_arrow_data(result, "Arrow", lambda schema: pa.ipc.new_file(file, schema), report)


def _write_arrow_data(result: RowStream, kind: str, opened_for: Callable[[pa.Schema], Any], report: Report) -> int:
    import pyarrow as pa
    reader = pa.RecordBatchReader.from_stream(result)
    count = 0
    try:
        with opened_for(reader.schema) as target:
            for batch in reader:
                target.write_batch(batch)
                count += batch.num_rows
                report(count)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise FeatureNotSupported(f"{kind} cannot hold this: {error}") from None
    return count


_WRITERS: dict[str, Callable[[RowStream, IO[bytes], FileFormat, Report], int]] = {
    "text": _write_text, "csv": _write_csv, "jsonl": _write_json_lines, "parquet": _write_parquet,
    "arrow": _write_arrow}
