"""SQLite's sqllogictest scripts, as PostgreSQL is to run them.

A script is a sequence of records: statements that must succeed or fail, and queries with the values they give, one
a line, sorted as the record says, or their number and MD5. `skipif postgresql` and `onlyif` of others are left out.
The fast tier runs every statement of most scripts and a sample of their queries; the long tier runs all.
"""
from __future__ import annotations

import hashlib
import lzma
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import phantomdb
from phantomdb.core.errors import PhantomError
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.frontends.sql.frontend import SqlSession

SCRIPTS = sorted((Path(__file__).parent / "sqllogictest").glob("*.test.xz"))
DIALECT = "postgresql"
SAMPLE = 0.02                        # of the queries, in the fast tier
# What PostgreSQL refuses as well: (part of a script's name, beginning of a statement, SQLSTATE).
REFUSED = [("index_view", "DROP VIEW", "2BP01"),             # of a view that another one uses
           ("aggfunc", "SELECT total(", "42883")]            # SQLite's own
# Answers that PostgreSQL's types make others: (part of a script's name, part of the query).
DIFFERENT = [("random_expr", "COALESCE ( - 81, + + 9, - AVG ( - 51 ) * + 47 ) / + + 14")]  # of numeric, as avg() is
LONG_SCRIPTS = ("index_delete",)     # thousands of statements


@dataclass(slots=True)
class Record:
    line: int
    kind: str                        # "ok", "error", or the types of a query's columns
    sql: str
    sort: str = "nosort"
    expected: list[str] = field(default_factory=list)


def records(text: str) -> Iterator[Record]:
    """Those that are for our dialect."""
    number = 0
    for block in text.split("\n\n"):
        lines = block.split("\n")
        first, number = number + 1, number + len(lines) + 1
        lines = [line for line in lines if not line.startswith("#")]
        is_ours = True
        while lines and lines[0].split(" ")[0] in ("skipif", "onlyif", ""):
            word, *rest = lines.pop(0).split()  or [""]
            if word:
                is_ours = is_ours and (rest[0] == DIALECT) is (word == "onlyif")
        if not lines or not is_ours:
            continue
        head = lines[0].split()
        if head[0] == "statement":
            yield Record(first, head[1], "\n".join(lines[1:]))
        elif head[0] == "query":
            sql, _, expected = "\n".join(lines[1:]).partition("\n----")
            yield Record(first, head[1], sql, head[2] if len(head) > 2 else "nosort", expected.strip("\n").split("\n"))


def shown(value: Any, kind: str) -> str:
    """A value as the scripts spell it."""
    if value is None:
        return "NULL"
    if kind == "I":
        return str(int(value))
    if kind == "R":
        return f"{float(value):.3f}"
    return "(empty)" if value == "" else "".join(c if " " <= c <= "~" else "@" for c in str(value))


def answer(record: Record, rows: list[tuple[Any, ...]]) -> list[str]:
    made = [[shown(value, kind) for value, kind in zip(row, record.kind, strict=True)] for row in rows]
    if record.sort == "rowsort":
        made.sort()
    values = [value for row in made for value in row]
    if record.sort == "valuesort":
        values.sort()
    if len(record.expected) == 1 and " values hashing to " in record.expected[0]:
        digest = hashlib.md5("".join(value + "\n" for value in values).encode(), usedforsecurity=False).hexdigest()
        return [f"{len(values)} values hashing to {digest}"]
    return values


def run(path: Path, sample: float) -> None:
    choose = random.Random(path.name)
    wrong: list[str] = []
    count = 0
    with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
        sql = SqlSession(db.session())
        for record in records(lzma.decompress(path.read_bytes()).decode()):
            if record.kind not in ("ok", "error") and choose.random() >= sample:
                continue
            if any(name in path.name and part in record.sql for name, part in DIFFERENT):
                continue
            count += 1
            try:
                rows = sql.execute(record.sql).fetchall()
            except PhantomError as error:
                state = getattr(error, "sqlstate", "")
                is_refused = any(name in path.name and record.sql.startswith(start) and state == expected
                                 for name, start, expected in REFUSED)
                if record.kind != "error" and not is_refused:
                    wrong.append(f"line {record.line}: {record.sql}: {error}")
            else:
                if record.kind == "error":
                    wrong.append(f"line {record.line}: no error: {record.sql}")
                elif record.kind != "ok" and (got := answer(record, rows)) != [v for v in record.expected if v]:
                    wrong.append(f"line {record.line}: {record.sql}: {got[:8]} instead of {record.expected[:8]}")
    assert count, "nothing was run"
    assert not wrong, "\n".join([f"{len(wrong)} of {count} records", *wrong[:20]])


@pytest.mark.parametrize("path", [path for path in SCRIPTS if not path.name.startswith(LONG_SCRIPTS)],
                         ids=lambda path: path.name.split(".")[0])
def test_sampled_records(path: Path) -> None:
    run(path, SAMPLE)


@pytest.mark.long
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name.split(".")[0])
def test_long_all_records(path: Path) -> None:
    run(path, 1.0)
