"""`phantomdb stats | verify | repair | compact`: one call each, with a bar while it runs and a report after."""
from __future__ import annotations

import time
from pathlib import Path

import phantomdb
from phantomdb.cli.output import cell, console, folder_bytes, print_facts, print_json, print_table, progress, size

EXIT_DAMAGED = 1


def stats(directory: Path, *, as_json: bool) -> None:
    with phantomdb.open(directory, create=False, partitions=None) as db:
        found = db.stats()
    if as_json:
        print_json(found)
        return
    print_facts({name: cell(name, value) for name, value in found.items() if not isinstance(value, list | dict)})
    for name, value in found.items():
        if isinstance(value, dict):
            console().print(f"\n{name}", style="bold")
            print_facts({key: cell(key, part) for key, part in value.items()})


def verify(directory: Path, *, as_json: bool) -> int:
    """The exit status."""
    from phantomdb.core.maintenance import verify as verify_database

    started = time.monotonic()
    with progress("verifying") as report:
        found = verify_database(directory, progress=report)
    if as_json:
        print_json({"files": found.files, "bytes": found.bytes, "entries": found.entries,
                    "problems": [str(problem) for problem in found.problems]})
    else:
        for problem in found.problems:
            console().print(f"damaged: {problem}", markup=False)
        verdict = f"{len(found.problems)} problems" if found.problems else "all is well"
        print_facts({"verified": f"{found.files:,} files, {size(found.bytes)}, {found.entries:,} entries "
                                 f"in {time.monotonic() - started:.1f} s: {verdict}"})
    return EXIT_DAMAGED if found.problems else 0


def repair(directory: Path, *, as_json: bool) -> None:
    from phantomdb.core.maintenance import repair as repair_database

    with progress("repairing") as report:
        found = repair_database(directory, progress=report)
    if as_json:
        print_json({"kept": found.kept, "lost": [str(loss) for loss in found.lost]})
        return
    print_table("Lost", ["what"], [[str(loss)] for loss in found.lost] or [["nothing"]])
    print_facts({"kept": found.kept})


def compact(directory: Path) -> None:
    before, started = folder_bytes(directory), time.monotonic()
    with progress("compacting"), phantomdb.open(directory, create=False, partitions=None) as db:
        db.compact()
    after = folder_bytes(directory)
    print_facts({"compacted": f"{size(before)} -> {size(after)} in {time.monotonic() - started:.1f} s"})
