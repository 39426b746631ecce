"""Files as batches of rows for a load: text and CSV as PostgreSQL's COPY has them, JSON lines, Parquet, Arrow.

Bounded memory: a file is read in blocks of a few MiB. Text and CSV give columns of text, read by pyarrow. A block of
text with a backslash in it, or one that pyarrow refuses, is read here, line by line: slower, and with exact errors.

Two things more than PostgreSQL: a last field that is empty and one too many is passed over (`1|a|` for two columns),
because the files of TPC-H end each line with the delimiter; and in a CSV file of more than one column empty lines are
passed over (and not counted in messages).
"""
from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from phantomdb.core.errors import FileMissing, StorageError
from phantomdb.core.query.errors import (
    BadFileFormat, CharacterNotInRepertoire, InvalidParameterValue, UndefinedColumn,
)
from phantomdb.core.query.load_values import Batch

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 4 << 20
BATCH_ROWS = 65_536
JSON_ROWS = 8_192
Report = Callable[[int], None]       # bytes so far


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How a file is written; the defaults of `delimiter` and `null` depend on the kind."""

    kind: str = "text"                   # text, csv, jsonl, parquet, arrow
    delimiter: str = "\t"
    null: str = "\\N"
    quote: str = '"'
    has_header: bool = False
    matches_header: bool = False         # the names of the header must be those of the columns
    encoding: str = "utf-8"


class _ReportingFile(io.FileIO):
    """Tells how many bytes were read so far."""

    def __init__(self, path: str, report: Report) -> None:
        super().__init__(path)
        self._report, self._bytes = report, 0

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self._bytes += count or 0
        self._report(self._bytes)
        return count


def opened(path: str, mode: str = "rb", report: Report | None = None) -> IO[bytes]:
    """FileMissing, StorageError."""
    try:
        return open(path, mode) if report is None else io.BufferedReader(_ReportingFile(path, report), BLOCK_BYTES)
    except FileNotFoundError as error:
        raise FileMissing("there is no such file or folder", path=path, errno=error.errno) from None
    except OSError as error:
        raise StorageError(str(error.strerror), path=path, errno=error.errno) from None


def batches_of(path: str, form: FileFormat, names: Sequence[str], is_named: bool, report: Report | None = None
               ) -> tuple[Sequence[str], Iterator[Batch]]:
    """(columns, rows) of a file. Text and CSV go by position, the others by name: of those only the columns that are
    there, unless `is_named`. `report` is told how many bytes were read. BadFileFormat, CharacterNotInRepertoire,
    UndefinedColumn."""
    if form.kind == "text":
        return names, _Text(path, form, names).batches(report)
    if form.kind == "csv":
        return names, _csv(path, form, names, report)
    if form.kind == "jsonl":
        return names, _json_lines(path, names, report)
    return _columnar(path, form.kind, names, is_named, report)


# -------------------------------------------------------------------- text

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)


def _unescaped(field: str) -> str:
    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        if found[2]:
            return chr(int(found[2], 8) & 255)
        return _ESCAPES.get(found[3], found[3])

    return _ESCAPE.sub(one, field) if "\\" in field else field


class _Text:
    def __init__(self, path: str, form: FileFormat, names: Sequence[str]) -> None:
        self.path, self.form, self.names = path, form, names
        self.line = 1                                        # of the block's first row
        self.is_ended = False                                # by a line \.
        # split at delimiters that no backslash stands before
        self.fields = re.compile(rf"(?:[^\\{re.escape(form.delimiter)}]|\\.)*", re.DOTALL)

    def batches(self, report: Report | None) -> Iterator[Batch]:
        with opened(self.path, report=report) as file:
            rest = b""
            while not self.is_ended:
                data = file.read(BLOCK_BYTES)
                block, rest = _at_line_end(rest + data) if data else (rest, b"")
                if not data and not block:
                    return
                if block:
                    yield from self.block(block)
                if not data:
                    return

    def block(self, block: bytes) -> Iterator[Batch]:
        if self.form.encoding != "utf-8":
            try:
                block = block.decode(self.form.encoding).encode()
            except UnicodeDecodeError:
                raise CharacterNotInRepertoire(
                    f"after line {self.line}: the file is not in {self.form.encoding}") from None
        if self.line == 1 and self.form.has_header:
            header, _, block = block.partition(b"\n")
            self.line = 2
            if self.form.matches_header:
                _match(self.split(header.rstrip(b"\r").decode(errors="replace"), 1), self.names)
            if not block:
                return
        read = None if b"\\" in block else self.by_arrow(block)
        columns = self.by_line(block) if read is None else read
        count = len(columns[0])
        if count:
            yield Batch(self.names, columns, count, partial(_place, "line", self.line))
        self.line += count

    def by_arrow(self, block: bytes) -> list[Any] | None:
        """None: the block has something that is to be looked at line by line."""
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import csv as arrow_csv
        if block.count(b"\r") != block.count(b"\r\n") or b"\n\n" in block or b"\n\r" in block:
            return None                                      # pyarrow takes a lone \r and an empty line for rows
        first = block[:block.find(b"\n")] if b"\n" in block else block
        width = first.count(self.form.delimiter.encode()) + 1
        if width - len(self.names) not in (0, 1):
            return None
        names = [str(place) for place in range(width)]
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(block),
                arrow_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
                arrow_csv.ParseOptions(delimiter=self.form.delimiter, quote_char=False, double_quote=False,
                                       escape_char=False, ignore_empty_lines=False),
                arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True,
                                         null_values=[self.form.null]))
        except pa.ArrowInvalid:
            return None
        columns = table.columns
        if width > len(self.names):
            extra = columns.pop()
            if not pc.all(pc.equal(extra.fill_null(""), "")).as_py():
                return None
        return [column.combine_chunks() for column in columns]

    def by_line(self, block: bytes) -> list[Any]:
        import pyarrow as pa
        rows: list[list[str | None]] = []
        lines = block.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        for number, data in enumerate(lines, self.line):
            data = data.removesuffix(b"\r")
            if data == b"\\.":
                self.is_ended = True
                break
            if (len(data) - len(data.rstrip(b"\\"))) % 2:
                raise BadFileFormat(f"line {number}: a line break after a backslash; write \\n for one in a field")
            if b"\r" in data:
                raise BadFileFormat(f"line {number}: literal carriage return found in data")
            try:
                fields = self.split(data.decode(), number)
            except UnicodeDecodeError:
                raise CharacterNotInRepertoire(f"line {number}: invalid byte sequence for encoding UTF8") from None
            rows.append([None if field == self.form.null else _unescaped(field) for field in fields])
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(self.names)
        return [pa.array(column, pa.string()) for column in columns]

    def split(self, line: str, number: int) -> list[str]:
        fields = line.split(self.form.delimiter)
        if "\\" in line:
            fields, at = [], 0
            while True:
                found = self.fields.match(line, at)
                assert found is not None
                fields.append(found[0])
                at = found.end() + 1
                if at > len(line):
                    break
        return _right_width(fields, self.names, number)


def _place(word: str, first: int, row: int) -> str:
    return f"{word} {first + row}"


def _at_line_end(data: bytes) -> tuple[bytes, bytes]:
    """(whole lines, what is left)"""
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]


def _right_width(fields: list[str], names: Sequence[str], number: int) -> list[str]:
    if len(fields) == len(names) + 1 and fields[-1] == "":
        return fields[:-1]
    if len(fields) < len(names):
        raise BadFileFormat(f'line {number}: missing data for column "{names[len(fields)]}"')
    if len(fields) > len(names):
        raise BadFileFormat(f"line {number}: extra data after last expected column")
    return fields


def _match(header: Sequence[str], names: Sequence[str]) -> None:
    for place, (found, name) in enumerate(zip(header, names, strict=True), 1):
        if found != name:
            raise BadFileFormat(f'line 1: column {place} of the header is "{found}", expected "{name}"')


# -------------------------------------------------------------------- CSV

def _csv(path: str, form: FileFormat, names: Sequence[str], report: Report | None) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv
    first, lines = first_record(path, form)
    if first is None:
        return
    _right_width(list(first), names, 1)
    if form.has_header and form.matches_header:
        _match(first[:len(names)], names)
    given = [str(place) for place in range(len(first))]
    line = 1 + (lines if form.has_header else 0)
    with opened(path, report=report) as file:
        try:
            reader = arrow_csv.open_csv(
                file,
                arrow_csv.ReadOptions(block_size=BLOCK_BYTES, column_names=given, encoding=form.encoding,
                                      skip_rows=lines if form.has_header else 0),
                arrow_csv.ParseOptions(delimiter=form.delimiter, quote_char=form.quote, double_quote=True,
                                       newlines_in_values=True, ignore_empty_lines=len(given) > 1),
                arrow_csv.ConvertOptions(column_types=dict.fromkeys(given, pa.string()), strings_can_be_null=True,
                                         quoted_strings_can_be_null=False, null_values=[form.null]))
            for batch in reader:
                columns = batch.columns
                if len(columns) > len(names) and not pc.all(pc.equal(columns[-1].fill_null(""), "")).as_py():
                    raise BadFileFormat("extra data after last expected column")
                breaks = [pc.count_substring(column.fill_null(""), "\n") for column in columns]

                def place(row: int, first: int = line, counts: Sequence[Any] = breaks) -> str:
                    return f"line {first + row + sum(pc.sum(found.slice(0, row)).as_py() or 0 for found in counts)}"

                yield Batch(names, columns[:len(names)], batch.num_rows, place)
                line += batch.num_rows + sum(pc.sum(found).as_py() or 0 for found in breaks)
        except pa.ArrowInvalid as error:
            text = str(error).splitlines()[0]
            if "UTF8" in text or "utf8" in text or "UTF-8" in text:
                raise CharacterNotInRepertoire(f"after line {line}: {text}") from None
            raise BadFileFormat(f"after line {line}: {text}") from None
        except UnicodeDecodeError:
            raise CharacterNotInRepertoire(f"after line {line}: the file is not in {form.encoding}") from None


def first_record(path: str, form: FileFormat) -> tuple[list[str] | None, int]:
    """(fields of the first record of a CSV file, how many lines it takes); no record: None. An empty file or an empty
    first line counts as well. BadFileFormat."""
    with opened(path) as file:
        text = io.TextIOWrapper(file, form.encoding, "replace", newline="")
        reader = csv.reader(text, delimiter=form.delimiter, quotechar=form.quote, doublequote=True)
        try:
            for record in reader:
                return record or [""], reader.line_num
        except csv.Error as error:
            raise BadFileFormat(f"line 1: {error}") from None
    return None, 0


def header_of(path: str, form: FileFormat) -> list[str]:
    """The fields of the first line of a text or CSV file. BadFileFormat."""
    if form.kind == "csv":
        fields = first_record(path, form)[0] or []
    else:
        with opened(path) as file:
            fields = file.readline().decode(form.encoding, "replace").rstrip("\r\n").split(form.delimiter)
    return fields[:-1] if len(fields) > 1 and fields[-1] == "" else fields


# -------------------------------------------------------------------- JSON lines, Parquet, Arrow

def _json_lines(path: str, names: Sequence[str], report: Report | None) -> Iterator[Batch]:
    """An object in each line; a field that is not there is NULL. Read here and not by pyarrow, because numbers must
    keep all their digits."""
    import msgspec
    decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
    known = set(names)
    with opened(path, report=report) as file:
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        for number, data in enumerate(file, 1):
            if not data.strip():
                continue
            try:
                row = decoder.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise BadFileFormat(f"line {number}: {error}") from None
            if not row.keys() <= known:
                name = next(name for name in row if name not in known)
                raise UndefinedColumn(f'line {number}: column "{name}" does not exist', column=name)
            rows.append(row)
            lines.append(number)
            if len(rows) == JSON_ROWS:
                yield _json_batch(names, rows, lines)
                rows, lines = [], []
        if rows:
            yield _json_batch(names, rows, lines)


def json_names(path: str) -> list[str]:
    """The names of all fields of a file of JSON lines, in the order in which they first come. BadFileFormat."""
    import msgspec
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    names: dict[str, None] = {}
    with opened(path) as file:
        for number, data in enumerate(file, 1):
            try:
                found = decoder.decode(data) if data.strip() else {}
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise BadFileFormat(f"line {number}: {error}") from None
            if not found.keys() <= names.keys():
                names |= dict.fromkeys(found)
    return list(names)


def _json_batch(names: Sequence[str], rows: Sequence[dict[str, Any]], lines: Sequence[int]) -> Batch:
    columns = [[row.get(name) for row in rows] for name in names]
    return Batch(names, columns, len(rows), lambda row: f"line {lines[row]}")


def _columnar(path: str, kind: str, names: Sequence[str], is_named: bool, report: Report | None
              ) -> tuple[Sequence[str], Iterator[Batch]]:
    file = opened(path, report=report)
    try:
        there, batches = _columnar_batches(file, kind)
        wanted = list(names) if is_named else there.names
        for name in wanted:
            if name not in there.names or name not in names:
                where = "the file has no column" if name not in there.names else "the file has another column,"
                raise UndefinedColumn(f'{where} "{name}"', column=name)
    except BaseException:
        file.close()
        raise

    def made() -> Iterator[Batch]:
        done = 0
        with file:
            for batch in batches(wanted):
                columns = [batch.column(name) for name in wanted]
                yield Batch(wanted, columns, batch.num_rows, partial(_place, "row", done + 1))
                done += batch.num_rows

    return wanted, made()


def columnar_schema(path: str, kind: str) -> pa.Schema:
    """Of a Parquet or Arrow file. BadFileFormat."""
    with opened(path) as file:
        return _columnar_batches(file, kind)[0]


def _columnar_batches(file: IO[bytes], kind: str
                      ) -> tuple[pa.Schema, Callable[[Sequence[str]], Iterator[pa.RecordBatch]]]:
    """(schema, function from names of columns to batches with at least these columns)"""
    import pyarrow as pa
    from pyarrow import parquet
    try:
        if kind == "parquet":
            source = parquet.ParquetFile(file)
            return source.schema_arrow, lambda names: source.iter_batches(BATCH_ROWS, columns=list(names))
        if file.read(6) == b"ARROW1":                        # with an index at its end
            whole = pa.ipc.open_file(file)
            return whole.schema, lambda _names: map(whole.get_batch, range(whole.num_record_batches))
        file.seek(0)
        stream = pa.ipc.open_stream(file)
        return stream.schema, lambda _names: iter(stream)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadFileFormat(f"this is no {kind.capitalize()} file: {error}") from None


def encoding_named(name: str) -> str:
    """Python's name of an encoding in which a line break is one byte. InvalidParameterValue."""
    try:
        found = codecs.lookup(name.replace("SQL_ASCII", "ascii")).name
        if "\n".encode(found) == b"\n":
            return found
    except (LookupError, UnicodeError):
        pass
    raise InvalidParameterValue(f'"{name}" is not a valid encoding name')
