"""`phantomdb stats | verify | repair | compact`: one call each, with a bar while it runs and a report after."""
from __future__ import annotations

import time
from pathlib import Path

import typer

import phantomdb
from phantomdb.cli import EXIT_FAILED, fail
from phantomdb.cli.output import (Facts, cell, console, folder_bytes, print_facts, print_json, print_table, progress,
                                  size)
from phantomdb.core.errors import PhantomError


def stats(directory: Path, *, as_json: bool) -> None:
    with phantomdb.open(directory, create=False, partitions=None) as db:
        show(db.stats(), as_json=as_json)


def verify(directory: Path, *, as_json: bool) -> None:
    """All damage there is: each on a line of standard error, and status 1."""
    from phantomdb.core.maintenance import verify as verify_database

    started = time.monotonic()
    problems: list[PhantomError] = []
    with progress("verifying") as report:
        found: Facts = dict(verify_database(directory, progress=report, problems=problems))
    if as_json:
        print_json({**found, "problems": [{"code": error.code, "message": str(error), "path": error.path,
                                           "offset": error.offset} for error in problems]})
    else:
        show(found, as_json=False)
        outcome = f"damage in {len({error.path for error in problems})} files" if problems else "no damage"
        print_facts({"verified": f"{outcome}, in {time.monotonic() - started:.1f} s"})
    for error in problems:
        fail(f"{error} [{error.code}]")
    if problems:
        raise typer.Exit(EXIT_FAILED)


def repair(directory: Path, *, as_json: bool) -> None:
    from phantomdb.core.maintenance import repair as repair_database

    with progress("repairing") as report:
        found = repair_database(directory, progress=report)
    if as_json:
        print_json(found.as_dict())
    else:
        console().print(str(found), markup=False)


def show(found: Facts, *, as_json: bool) -> None:
    """Single values as a list of facts, lists of dictionaries as tables, other lists line by line."""
    if as_json:
        print_json(found)
        return
    print_facts({name: cell(name, value) for name, value in found.items() if not isinstance(value, list | dict)})
    for name, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            print_table(f"\n{name.replace('_', ' ')}", [f"{column}>" for column in value[0]],
                        [[cell(column, part) for column, part in row.items()] for row in value])
        elif isinstance(value, list):
            print_table(f"\n{name.replace('_', ' ')}", [""], [[str(item)] for item in value] or [["none"]])
        elif isinstance(value, dict):
            print_facts({f"{name} {key}": cell(key, part) for key, part in value.items()})


def compact(directory: Path) -> None:
    before, started = folder_bytes(directory), time.monotonic()
    with progress("compacting"), phantomdb.open(directory, create=False, partitions=None) as db:
        db.compact()
    after = folder_bytes(directory)
    print_facts({"compacted": f"{size(before)} -> {size(after)} in {time.monotonic() - started:.1f} s"})
