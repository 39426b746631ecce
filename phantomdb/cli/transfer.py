"""`phantomdb import | export`: files into tables, tables and queries into files, a few megabytes in memory at a time.

    create     the table is made, with types discovered in the whole file; it goes again if the load fails
    append     rows are added; replace: those that were there go, in the same transaction
    batch N    at most N rows a commit. Rows that are refused are named, and the others stay

Without `batch` it is all rows or none. A CSV file's header and the fields of other files name the columns, exactly or
in lower case, as SQL reads names without quotes.
"""
from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import phantomdb
from phantomdb.cli import EXIT_FAILED, fail
from phantomdb.cli.output import RowProgress, row_progress
from phantomdb.core.errors import InvalidArgument, LimitExceeded, PhantomError
from phantomdb.core.query.errors import (
    BadFileFormat, CharacterNotInRepertoire, DatatypeMismatch, DuplicateColumn, DuplicateTable, FeatureNotSupported,
    GeneratedColumn, InvalidDefinition, QueryError, SyntaxFailure, UndefinedColumn, UndefinedObject, UndefinedTable,
)
from phantomdb.core.query.load_files import FileFormat

if TYPE_CHECKING:
    from phantomdb.core.catalog.objects import Table
    from phantomdb.core.query.load_values import Batch
    from phantomdb.core.values import Type

KINDS = ("csv", "jsonl", "parquet", "arrow", "text")
_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
             ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow"}
SHOWN_REFUSALS = 20
RATED_ROWS = 1000                        # of fewer the time is that of the start
_NO_ROW_AT_FAULT = (DatatypeMismatch, DuplicateColumn, FeatureNotSupported, GeneratedColumn, InvalidDefinition,
                    SyntaxFailure, UndefinedColumn, UndefinedObject, UndefinedTable)
_QUERY = re.compile(r"\s*(\(|(select|with|values|table|show|explain)\b)", re.IGNORECASE)


def format_of(path: str, kind: str | None, *, delimiter: str | None = None, null: str | None = None,
              quote: str = '"', header: bool | None = None, encoding: str = "utf-8") -> FileFormat:
    """How a file is written, by what was said, else by the end of its name. InvalidArgument."""
    from phantomdb.core.query.load_files import encoding_named
    suffix = Path(path).suffix.lower()
    found = kind or _SUFFIXES.get(suffix)
    if found is None:
        raise InvalidArgument(f"the format of {path} is not known: say --format {', '.join(KINDS)}")
    if found not in KINDS:
        raise InvalidArgument(f"there is no format {found}: say --format {', '.join(KINDS)}")
    is_text = found in ("csv", "text")
    if not is_text and (delimiter is not None or null is not None):
        raise InvalidArgument("--delimiter and --null go with the formats csv and text")
    if delimiter is None:
        delimiter = "\t" if found == "text" or suffix == ".tsv" else ","
    delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
    if len(delimiter) != 1 or len(quote) != 1 or not (delimiter + quote).isascii() or delimiter in "\r\n":
        raise InvalidArgument("--delimiter and --quote are one ASCII character each (\\t is a tab)")
    return FileFormat(found, delimiter, null if null is not None else "\\N" if found == "text" else "", quote,
                      header if header is not None else found == "csv", False, encoding_named(encoding))


def rows_text(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def pace(rows: int, size_bytes: int, seconds: float) -> str:
    """How long it took, and how fast it was where that says something."""
    if rows < RATED_ROWS:
        return f"{seconds:.2f} s"
    return f"{seconds:.2f} s ({rows / seconds:,.0f} rows/s, {size_bytes / 1e6 / seconds:,.1f} MB/s)"


def quoted(name: str) -> str:
    """A name as SQL reads it, with quotes where it takes them."""
    from phantomdb.frontends.sql.reader import RESERVED
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name.upper() not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Name:
    """A table, maybe with its schema."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Name:
        schema, _, name = text.rpartition(".")
        return cls(schema or "public", name)

    def __str__(self) -> str:
        return quoted(self.name) if self.schema == "public" else f"{quoted(self.schema)}.{quoted(self.name)}"


def table_name(path: str) -> str:
    """The name of a file as one of a table: my flights-2013.csv is my_flights_2013."""
    return re.sub(r"\W+", "_", Path(path).stem.lower()).strip("_") or "imported"


# -------------------------------------------------------------------- import

@dataclass(slots=True)
class Import:
    """One import, as the command line says it."""

    path: str
    form: FileFormat
    name: Name
    mode: str | None = None              # create, append, replace; None: create what is not there
    columns: Sequence[str] = ()          # of the table, in the order of the file's fields
    types: Sequence[str] = ()            # NAME=TYPE
    primary_key: Sequence[str] = ()
    batch_rows: int | None = None


def import_file(directory: Path, job: Import) -> None:
    """Exit status 1 when rows were refused, or an error."""
    import typer
    from phantomdb.core.query.load_files import opened
    with _spooled(job.path) as job.path, opened(job.path), phantomdb.open(directory) as db:
        done = _Importer(db, job).run()
        for text in done.refused[:SHOWN_REFUSALS]:
            fail(text)
        if len(done.refused) > SHOWN_REFUSALS:
            fail(f"and {len(done.refused) - SHOWN_REFUSALS:,} more")
        print(f"{rows_text(done.rows)} imported into {job.name} in {pace(done.rows, done.bytes, done.seconds)}")
        if done.refused:
            fail(f"{rows_text(len(done.refused))} refused: mend what is named above, and import that with --append")
            raise typer.Exit(EXIT_FAILED)


@dataclass(slots=True)
class Done:
    """What an import did."""

    rows: int
    bytes: int
    seconds: float
    refused: list[str]


@contextmanager
def _spooled(path: str) -> Iterator[str]:
    """Standard input is kept in a temporary file: it is read more than once."""
    if path != "-":
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="phantomdb-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield file.name


class _Importer:
    def __init__(self, db: phantomdb.Database, job: Import) -> None:
        self.job, self.sql = job, db.frontend("sql")
        self.session = self.sql.session
        self.refused: list[str] = []

    def run(self) -> Done:
        job = self.job
        size = Path(job.path).stat().st_size
        started = time.perf_counter()
        table = self.find()
        mode = job.mode or ("create" if table is None else "")
        if not mode or (mode == "create" and table is not None):
            raise DuplicateTable(f"table {job.name} is there already: say --append to add to it, or --replace")
        if mode != "create" and (job.types or job.primary_key):
            raise InvalidArgument("--type and --primary-key go with a new table")
        if mode != "create" and table is None:
            raise UndefinedTable(f"there is no table {job.name}: say --create, and its columns are found in the file")
        with row_progress("importing", size) as progress:
            try:
                table = table or self.create()
                rows = self.load(table, mode, progress)
            except BaseException as error:
                if mode == "create" and table is not None and not progress.rows:
                    self.sql.execute(f"DROP TABLE {job.name}")
                if isinstance(error, PhantomError):
                    error.args = (self.told(error, mode, progress.rows), *error.args[1:])
                raise
        return Done(rows, size, time.perf_counter() - started, self.refused)

    def told(self, error: PhantomError, mode: str, rows: int) -> str:
        """What became of the import, and what to do."""
        detail = getattr(error, "detail", None)
        text = f"{error}{f' ({detail})' if detail else ''}"
        if self.job.batch_rows is not None:
            return f"{text}; {rows_text(rows)} committed, the import ends here"
        kept = "the old rows are still there" if mode == "replace" else "nothing was imported"
        if isinstance(error, LimitExceeded):
            return f"{text.partition('. A load')[0]}; {kept}. Say --batch 10000 to commit in parts"
        if isinstance(error, BadFileFormat | CharacterNotInRepertoire):
            return f"{text}; {kept}. Mend the file, or say how it is written (--delimiter, --quote, --encoding)"
        if isinstance(error, QueryError) and not isinstance(error, _NO_ROW_AT_FAULT):
            return f"{text}; {kept}. Mend it, or say --batch 10000 to import what can be, in parts"
        return f"{text}; {kept}"

    def find(self) -> Table | None:
        """The table, exactly or in lower case."""
        job = self.job
        for name in (job.name, Name(job.name.schema.lower(), job.name.name.lower())):
            found: Table | None = self.session.catalog.find_table(self.session.name, name.schema, name.name)
            if found is not None:
                job.name = name
                return found
        return None

    # ---------------------------------------------------------------- a new table

    def create(self) -> Table:
        job = self.job
        fields = self.fields()
        names = list(job.columns) or [field.lower() or f"column{place}" for place, field in enumerate(fields, 1)]
        if not names:
            raise InvalidArgument(f"{job.path} is empty: no columns can be found in it")
        types = dict(zip(names, self.discovered(fields), strict=True))
        chosen = dict(item.partition("=")[::2] for item in job.types)
        if unknown := next((name for name in (*chosen, *job.primary_key) if name not in types), None):
            raise UndefinedColumn(f'there is no column "{unknown}"; the file has {", ".join(names)}')
        parts = [f"{quoted(name)} {chosen.get(name) or types[name]}" for name in names]
        if job.primary_key:
            parts.append(f"PRIMARY KEY ({', '.join(map(quoted, job.primary_key))})")
        text = f"CREATE TABLE {job.name} ({', '.join(parts)})"
        self.sql.execute(text)
        print(text)
        found = self.find()
        assert found is not None
        return found

    def fields(self) -> list[str]:
        """The names in the file; of a text or CSV file without header made-up ones."""
        from phantomdb.core.query import load_files
        form, path = self.job.form, self.job.path
        if form.kind == "jsonl":
            return load_files.json_names(path)
        if form.kind in ("parquet", "arrow"):
            return list(load_files.columnar_schema(path, form.kind).names)
        header = load_files.header_of(path, form)
        return header if form.has_header else [f"column{place}" for place in range(1, len(header) + 1)]

    def discovered(self, fields: Sequence[str]) -> list[Type]:
        from phantomdb.core.query import load_files, load_types, load_values
        form, path = self.job.form, self.job.path
        if form.kind in ("parquet", "arrow"):
            return [load_values.column_type(kind) for kind in load_files.columnar_schema(path, form.kind).types]
        with row_progress("looking at types", Path(path).stat().st_size) as progress:
            _, batches = load_files.batches_of(path, form, fields, True, progress.set_bytes)
            return load_types.discover(fields, self.counted(batches, progress))

    # ---------------------------------------------------------------- rows

    def targets(self, table: Table) -> tuple[list[str], list[str]]:
        """(fields of the file that are read, the columns they go to)"""
        job = self.job
        known = [column.name for column in table.columns if column.generated is None]
        is_named = job.form.kind in ("jsonl", "parquet", "arrow")
        if job.columns:
            targets = [self.column(name, known) for name in job.columns]
            return (list(job.columns) if is_named else targets), targets
        if job.form.kind in ("csv", "text") and not job.form.has_header:
            return known, known
        fields = self.fields()
        return fields, [self.column(field, known) for field in fields]

    def column(self, field: str, known: Sequence[str]) -> str:
        for name in (field, field.lower()):
            if name in known:
                return name
        raise UndefinedColumn(f'table {self.job.name} has no column "{field}" to put data into; it has '
                              f'{", ".join(known)}. --columns says which ones the file has')

    def load(self, table: Table, mode: str, progress: RowProgress) -> int:
        from phantomdb.core.query.load import load_batches
        from phantomdb.core.query.load_files import batches_of
        fields, targets = self.targets(table)
        _, batches = batches_of(self.job.path, self.job.form, fields, True, progress.set_bytes)
        if self.job.batch_rows is not None:
            if mode == "replace":
                self.sql.execute(f"TRUNCATE {self.job.name}")
            for batch in batches:
                for piece in _pieces(batch, self.job.batch_rows):
                    progress.set_rows(progress.rows + self.load_piece(table, targets, piece))
            return progress.rows
        shown = self.counted(batches, progress)
        if mode != "replace":
            return self.undone(progress, lambda: load_batches(self.session, table, targets, shown))
        self.session.begin()
        try:
            self.sql.execute(f"TRUNCATE {self.job.name}")
            count = self.undone(progress, lambda: load_batches(self.session, table, targets, shown))
            self.session.commit()
        except BaseException:
            self.session.rollback()
            raise
        return count

    @staticmethod
    def undone(progress: RowProgress, load: Callable[[], int]) -> int:
        """All or nothing: after an error no rows are there."""
        try:
            return load()
        except BaseException:
            progress.set_rows(0)
            raise

    @staticmethod
    def counted(batches: Iterable[Batch], progress: RowProgress) -> Iterator[Batch]:
        for batch in batches:
            yield batch
            progress.set_rows(progress.rows + batch.row_count)

    def load_piece(self, table: Table, targets: Sequence[str], piece: Batch) -> int:
        """A commit; when it is refused, its halves, until the rows at fault are alone."""
        from phantomdb.core.query.load import load_batches
        try:
            return load_batches(self.session, table, targets, [piece])
        except (QueryError, LimitExceeded) as error:
            if piece.row_count > 1:
                half = (piece.row_count + 1) // 2
                return sum(self.load_piece(table, targets, part) for part in _pieces(piece, half))
            place, detail = piece.place(0), getattr(error, "detail", None)
            text = str(error).removeprefix(f"{place}: ")
            self.refused.append(f"{place}: {text}{f' ({detail})' if detail else ''} [{error.code}]")
            return 0


def _pieces(batch: Batch, row_count: int) -> Iterator[Batch]:
    from phantomdb.core.query.load_values import Batch
    for start in range(0, batch.row_count, row_count):
        stop = min(start + row_count, batch.row_count)

        def place(row: int, first: int = start) -> str:
            return batch.place(first + row)

        yield Batch(batch.names, [_cut(column, start, stop) for column in batch.columns], stop - start, place)


def _cut(column: Any, start: int, stop: int) -> Any:
    return column[start:stop] if isinstance(column, list) else column.slice(start, stop - start)


# -------------------------------------------------------------------- export

def export(directory: Path, what: str, target: str, form: FileFormat) -> None:
    """A table by its name, or a query."""
    from phantomdb.core.query import export_files
    started = time.perf_counter()
    with phantomdb.open(directory, create=False) as db, row_progress("exporting") as progress:
        sql = db.frontend("sql")
        text = what if _QUERY.match(what) else _selection(sql, Name.parse(what))
        if target == "-":
            sql.stream(text, lambda rows: export_files.write(rows, sys.stdout.buffer, form, progress.set_rows))
            sys.stdout.buffer.flush()
            return
        count = sql.stream(text, lambda rows: export_files.export(rows, target, form, progress.set_rows))
    seconds = time.perf_counter() - started
    print(f"{rows_text(count)} exported to {target} in {pace(count, Path(target).stat().st_size, seconds)}")


def _selection(sql: Any, name: Name) -> str:
    """The rows of a table without its generated columns, which an import makes again; of a view all columns."""
    for found in (name, Name(name.schema.lower(), name.name.lower())):
        table = sql.session.catalog.find_table(sql.session.name, found.schema, found.name)
        if table is not None:
            names = [quoted(column.name) for column in table.columns if column.generated is None]
            return f"SELECT {', '.join(names)} FROM {found}"
    return f"SELECT * FROM {name}"
