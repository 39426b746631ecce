"""COPY: rows from a file into a table, and of a table or query into a file.

    COPY t (a, b) FROM '/tmp/x.csv' (FORMAT csv, HEADER)          COPY t FROM 'x.tbl' DELIMITER '|'
    COPY (SELECT ...) TO 'x.parquet' (FORMAT parquet)             COPY t TO 'x.csv' WITH CSV HEADER

Both spellings of the options are read, the one in parentheses and PostgreSQL's older one. A path is one of the
process.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from phantomdb.core.query.errors import FeatureNotSupported, InvalidParameterValue, SyntaxFailure, UndefinedColumn
from phantomdb.core.query.export_files import export
from phantomdb.core.query.load import load_batches
from phantomdb.core.query.load_files import FileFormat, batches_of, encoding_named
from phantomdb.core.query.result import Result
from phantomdb.frontends.sql.parse import Statement, split
from phantomdb.frontends.sql.reader import QualifiedName, Reader
from phantomdb.frontends.sql.settings import is_true

if TYPE_CHECKING:
    from phantomdb.core.catalog.objects import Table
    from phantomdb.frontends.sql.frontend import Parameters, SqlSession

_KINDS = {"TEXT": "text", "CSV": "csv", "JSONL": "jsonl", "NDJSON": "jsonl", "JSON": "jsonl", "PARQUET": "parquet",
          "ARROW": "arrow"}
_UNSUPPORTED = ("FORCE_QUOTE", "FORCE_NOT_NULL", "FORCE_NULL", "FREEZE", "OIDS", "ON_ERROR", "DEFAULT", "LOG_VERBOSITY",
                "FORCE QUOTE", "FORCE NOT", "FORCE NULL", "BINARY", "REJECT_LIMIT")


def run(sql: SqlSession, reader: Reader, parameters: Parameters) -> Result:
    """SyntaxFailure, FeatureNotSupported, and what reading, writing and inserting raise."""
    reader.refuse("BINARY")
    query = None
    name = QualifiedName("", "", reader.position)
    columns: tuple[str, ...] | None = None
    if reader.word() == "(":
        query = reader.parenthesized()
    else:
        name = reader.qualified()
        if reader.word() == "(":
            columns = reader.names()
    direction = reader.accept_any("FROM", "TO") if query is None else reader.accept_any("TO")
    if not direction:
        raise reader.failure()
    reader.refuse("STDIN", "STDOUT", "PROGRAM")
    path = reader.string()
    form = _format(reader)
    if direction == "FROM":
        reader.refuse("WHERE")
        reader.end()
        return _load(sql, name, columns, path, form)
    reader.end()
    if query is None:
        table = _table(sql, name)
        for column in columns or ():
            _require(table, column)
        names = ", ".join(_quoted(column) for column in columns or [column.name for column in table.columns])
        schema = f"{_quoted(name.schema)}." if name.schema else ""
        source = split(f"SELECT {names} FROM {schema}{_quoted(name.name)}")[0]
        parameters = ()
    else:
        source = Statement(query.text, _words(query.tokens[0].text), list(query.tokens), query.position - 1)
    count = sql.stream(source, lambda rows: export(rows, path, form), parameters)
    return Result(tag="COPY", row_count=count)


def _words(first: str) -> tuple[str, ...]:
    return (first.upper(),) if first.isalpha() else ()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _table(sql: SqlSession, name: QualifiedName) -> Table:
    return sql.names().table(name.name, name.schema, name.position)


def _require(table: Table, column: str) -> None:
    if table.column(column) is None:
        raise UndefinedColumn(f'column "{column}" of relation "{table.name}" does not exist', column=column)


def _load(sql: SqlSession, name: QualifiedName, columns: tuple[str, ...] | None, path: str, form: FileFormat) -> Result:
    table = _table(sql, name)
    for column in columns or ():
        _require(table, column)
    wanted = columns or tuple(column.name for column in table.columns if column.generated is None)
    names, batches = batches_of(path, form, wanted, columns is not None)
    count = load_batches(sql.session, table, names, batches)
    return Result(tag="COPY", row_count=count)


# -------------------------------------------------------------------- options

def _format(reader: Reader) -> FileFormat:
    found: dict[str, str] = {}
    reader.accept("WITH")
    if reader.accept("("):
        while True:
            _option(reader, found)
            if not reader.accept(","):
                break
        reader.expect(")")
    else:
        while not reader.is_at_end() and reader.word() != "WHERE":
            _older_option(reader, found)
    return _made(reader, found)


def _option(reader: Reader, found: dict[str, str]) -> None:
    """NAME [value]"""
    position = reader.position
    reader.refuse(*_UNSUPPORTED)
    name = reader.accept_any("FORMAT", "DELIMITER", "NULL", "HEADER", "QUOTE", "ESCAPE", "ENCODING")
    if not name:
        raise reader.failure()
    value = ""
    if reader.word() not in (",", ")"):
        token = reader.tokens[reader.index]
        value = reader.string() if token.token_type.name.endswith("STRING") else token.text
        reader.index += 0 if token.token_type.name.endswith("STRING") else 1
    elif name != "HEADER":
        raise reader.failure()
    _put(found, name, value, position)


def _older_option(reader: Reader, found: dict[str, str]) -> None:
    position = reader.position
    reader.refuse(*_UNSUPPORTED)
    if kind := reader.accept_any("CSV", "PARQUET", "JSONL", "ARROW"):
        _put(found, "FORMAT", kind, position)
    elif reader.accept("HEADER"):
        _put(found, "HEADER", "", position)
    else:
        name = reader.accept_any("DELIMITER", "DELIMITERS", "NULL", "QUOTE", "ESCAPE", "ENCODING")
        if not name:
            raise reader.failure()
        reader.accept("AS")
        _put(found, name.removesuffix("S") if name == "DELIMITERS" else name, reader.string(), position)


def _put(found: dict[str, str], name: str, value: str, position: int) -> None:
    if name in found:
        raise SyntaxFailure("conflicting or redundant options", position=position)
    found[name] = value


def _made(reader: Reader, found: dict[str, str]) -> FileFormat:
    kind = _KINDS.get(found.get("FORMAT", "text").upper())
    if kind is None:
        raise InvalidParameterValue(f'COPY format "{found["FORMAT"]}" not recognized')
    if kind in ("jsonl", "parquet", "arrow") and found.keys() - {"FORMAT"}:
        raise InvalidParameterValue(f"COPY {next(iter(found.keys() - {'FORMAT'}))} goes with the formats text and csv")
    is_csv = kind == "csv"
    if not is_csv and found.keys() & {"QUOTE", "ESCAPE"}:
        raise InvalidParameterValue("COPY QUOTE and ESCAPE go with the format csv")
    form = FileFormat(kind, found.get("DELIMITER", "," if is_csv else "\t"), found.get("NULL", "" if is_csv else "\\N"),
                      found.get("QUOTE", '"'))
    for what, text in (("delimiter", form.delimiter), ("quote", form.quote)):
        if len(text) != 1 or text in "\r\n" or ord(text) > 127:
            raise InvalidParameterValue(f"COPY {what} must be a single one-byte character")
    if form.delimiter == form.quote and is_csv:
        raise InvalidParameterValue("COPY delimiter and quote must be different")
    if not is_csv and form.delimiter in "\\.abcdefghijklmnopqrstuvwxyz0123456789":
        raise InvalidParameterValue(f'COPY delimiter cannot be "{form.delimiter}"')
    if form.delimiter in form.null or "\n" in form.null or "\r" in form.null:
        raise InvalidParameterValue("COPY null representation cannot hold the delimiter or a line break")
    if found.get("ESCAPE", form.quote) != form.quote:
        raise FeatureNotSupported("COPY ESCAPE other than the quote")
    header = found.get("HEADER", "off") or "on"
    matches = header.upper() == "MATCH"
    encoding = encoding_named(found["ENCODING"]) if "ENCODING" in found else "utf-8"
    has_header = matches or is_true(header, "HEADER")
    return FileFormat(kind, form.delimiter, form.null, form.quote, has_header, matches, encoding)
