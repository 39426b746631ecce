"""The commands: arguments in, one call, what it says out."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import phantomdb
from phantomdb.cli import inspection, maintenance

app = typer.Typer(
    name="phantomdb", help="Use a PhantomDB database, look into it, check it, mend it.", no_args_is_help=True,
    add_completion=False, pretty_exceptions_enable=False)

Directory = Annotated[Path, typer.Argument(
    metavar="DIR", help="The folder of a database.", exists=True, file_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON document.")]


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(
        metavar="PATH", help="The folder of a database, or one of its files.", exists=True)],
    limit: Annotated[int, typer.Option(help="Rows to show of a file's entries or of the list of tables.", min=0)] = 20,
    tables: Annotated[bool, typer.Option("--tables", help="For a folder: each table, not only each level.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the tree by level with sizes; or a log, table, value file or manifest in readable form.

    Reads only, takes no lock: the database may be open elsewhere.
    """
    if path.is_dir():
        inspection.show_database(path, limit=limit, tables=tables, as_json=as_json)
    else:
        inspection.show_file(path, limit=limit, as_json=as_json)


@app.command()
def stats(directory: Directory, as_json: AsJson = False) -> None:
    """Open the database and print what it counts about itself."""
    maintenance.stats(directory, as_json=as_json)


@app.command()
def verify(directory: Directory, as_json: AsJson = False) -> None:
    """Read every byte of a database that is not open, and check it. Damage found is exit status 1."""
    maintenance.verify(directory, as_json=as_json)


@app.command()
def repair(
    directory: Directory,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (a script is never asked).")] = False,
    as_json: AsJson = False,
) -> None:
    """Salvage what can be salvaged of a damaged database, in place, and say what is lost. Work on a copy."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Rewrite {directory}? Have you a copy?", abort=True)
    maintenance.repair(directory, as_json=as_json)


@app.command()
def compact(directory: Directory) -> None:
    """Merge everything down to the last level: smallest files, fastest reads."""
    maintenance.compact(directory)


@app.command()
def shell(
    directory: Annotated[Path, typer.Argument(
        metavar="DIR", help="The folder of a database; made if there is none.", file_okay=False)],
    command: Annotated[list[str] | None, typer.Option(
        "--command", "-c", help="Run this and leave; may be given again.", show_default=False)] = None,
    format_name: Annotated[str, typer.Option(
        "--format", help="How results are written: table, csv, jsonl, markdown.")] = "table",
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse statements that change something.")] = False,
) -> None:
    """Run SQL: from the keyboard, from a pipe, or from --command. \\? lists its commands."""
    from phantomdb.cli.shell import checked_format, run_shell

    raise typer.Exit(run_shell(directory, commands=command or (), format_name=checked_format(format_name),
                               read_only=read_only))


FileFormatName = Annotated[str | None, typer.Option(
    "--format", help="csv, jsonl, parquet, arrow or text; by the end of the file's name.", show_default=False)]
Delimiter = Annotated[str | None, typer.Option(help="Between fields: , in csv, a tab in text.", show_default=False)]
Null = Annotated[str | None, typer.Option(
    help="What stands for NULL: nothing in csv, \\N in text.", show_default=False)]
Quote = Annotated[str, typer.Option(help="Around fields of csv.")]
Header = Annotated[bool | None, typer.Option(
    "--header/--no-header", help="Names in the first line; csv has them.", show_default=False)]
Encoding = Annotated[str, typer.Option(help="Of csv and text.")]


@app.command("import")
def import_(
    directory: Annotated[Path, typer.Argument(
        metavar="DIR", help="The folder of a database; made if there is none.", file_okay=False)],
    file: Annotated[str, typer.Argument(metavar="FILE", help="What to read; - is standard input.")],
    table: Annotated[str | None, typer.Option(
        help="The table, maybe with its schema; by the file's name.", show_default=False)] = None,
    format_name: FileFormatName = None,
    create: Annotated[bool, typer.Option("--create", help="Make the table; columns and types are found in the "
                                                          "file.")] = False,
    append: Annotated[bool, typer.Option("--append", help="Add to the table.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="The rows that are there go.")] = False,
    columns: Annotated[str | None, typer.Option(
        help="a,b,c: the table's columns in the order of the file.", show_default=False)] = None,
    type_: Annotated[list[str] | None, typer.Option(
        "--type", help="NAME=TYPE of a column of a new table; may be given again.", show_default=False)] = None,
    primary_key: Annotated[str | None, typer.Option(help="a,b: of a new table.", show_default=False)] = None,
    batch: Annotated[int | None, typer.Option(
        min=1, help="Commit after so many rows, and pass over those that are refused; else it is all or nothing.",
        show_default=False)] = None,
    delimiter: Delimiter = None, null: Null = None, quote: Quote = '"', header: Header = None,
    encoding: Encoding = "utf-8",
) -> None:
    """Load a file into a table. Without --create, --append or --replace it must be a new one."""
    from phantomdb.cli import transfer
    from phantomdb.core.errors import InvalidArgument

    modes = [name for name, chosen in (("create", create), ("append", append), ("replace", replace)) if chosen]
    if len(modes) > 1:
        raise InvalidArgument("say one of --create, --append and --replace")
    if table is None and file == "-":
        raise InvalidArgument("standard input has no name: say --table")
    form = transfer.format_of(file, format_name, delimiter=delimiter, null=null, quote=quote, header=header,
                              encoding=encoding)
    transfer.import_file(directory, transfer.Import(
        file, form, transfer.Name.parse(table) if table else transfer.Name("public", transfer.table_name(file)),
        modes[0] if modes else None, _names(columns), type_ or (), _names(primary_key), batch))


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",")] if text else []


@app.command()
def export(
    directory: Directory,
    what: Annotated[str, typer.Argument(metavar="TABLE|QUERY", help="A table, maybe with its schema, or a query.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to write; - is standard output.")],
    format_name: FileFormatName = None, delimiter: Delimiter = None, null: Null = None, quote: Quote = '"',
    header: Header = None, encoding: Encoding = "utf-8",
) -> None:
    """Write a table or the rows of a query to a file."""
    from phantomdb.cli import transfer

    form = transfer.format_of(file, format_name or ("csv" if file == "-" else None), delimiter=delimiter, null=null,
                              quote=quote, header=header, encoding=encoding)
    transfer.export(directory, what, file, form)


@app.command()
def version() -> None:
    """Print PhantomDB's version."""
    typer.echo(f"phantomdb {phantomdb.__version__}")
