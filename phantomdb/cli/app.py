"""The commands: arguments in, one call, what it says out."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import phantomdb
from phantomdb.cli import inspection, maintenance

app = typer.Typer(
    name="phantomdb", help="Look into a PhantomDB database, check it, mend it.", no_args_is_help=True,
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
def version() -> None:
    """Print PhantomDB's version."""
    typer.echo(f"phantomdb {phantomdb.__version__}")
