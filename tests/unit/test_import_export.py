"""`phantomdb import` and `export`: what goes out comes in again; what is refused is named; memory stays bounded."""
from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

import phantomdb
from phantomdb import cli
from phantomdb.core.query.load_types import discover
from phantomdb.core.query.load_values import Batch
from phantomdb.core.values import Interval

Row = Sequence[Any]


class Command:
    """Calls `phantomdb ...` in this process on the database of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.monkeypatch, self.capsys, self.folder = monkeypatch, capsys, folder
        self.output = self.errors = ""

    def __call__(self, command: str, *arguments: str | Path) -> int:
        """The exit status."""
        words = ["phantomdb", command, str(self.folder), *map(str, arguments)]
        self.monkeypatch.setattr(sys, "argv", words)
        status: Any = 0
        self.capsys.readouterr()
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code or 0
        self.output, self.errors = self.capsys.readouterr()
        return int(status)

    def sql(self, text: str) -> list[Row]:
        with phantomdb.open(self.folder) as db:
            return list(db.sql(text).fetchall())


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Command]:
    yield Command(monkeypatch, capsys, tmp_path / "db")


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


# ---------------------------------------------------------------- there and back

COLUMNS = {
    "i": "integer", "s": "smallint", "b": "bigint", "f": "double precision", "r": "real", "n": "numeric(30,6)",
    "t": "text", "v": "varchar(9)", "o": "boolean", "d": "date", "m": "time", "ts": "timestamp", "tz": "timestamptz",
    "iv": "interval", "u": "uuid", "j": "jsonb", "y": "bytea", "a": "integer[]", "ta": "text[]",
}
VALUES: list[Row] = [
    (1, -32768, -1 << 63, 1.5, 0.25, Decimal("123456789012345678901234.567890"), "äöü €", "näme", True,
     datetime.date(2024, 2, 29), datetime.time(23, 59, 59, 999999), datetime.datetime(1, 1, 1, 0, 0),
     datetime.datetime(2024, 6, 1, 12, 30, tzinfo=datetime.UTC), Interval(14, 3, 4_500_000),
     UUID(int=7), '{"k": [1, null, "x"], "ü": 1.5}', b"\x00\xff", "{1,NULL,3}", '{"a,b",NULL,"\\"q\\"","NULL",""}'),
    (2, 0, 0, float("nan"), float("inf"), Decimal("0.000001"), "", "", False, datetime.date(1, 1, 1),
     datetime.time(0, 0), datetime.datetime(9999, 12, 31, 23, 59, 59),
     datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC), Interval(0, -1, -1), UUID(int=(1 << 128) - 1), '"a text"', b"",
     "{}", "{}"),
    (3, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None),
    (4, 1, 1, -0.0, 1e-30, Decimal("-5"), 'quote " comma , line\nbreak\ttab \\N \\ ', "\\.", None,
     datetime.date(9999, 12, 31), datetime.time(1, 2, 3), datetime.datetime(2024, 1, 1, 1, 1, 1, 1),
     datetime.datetime(2024, 1, 1, 1, 1, 1, 1, tzinfo=datetime.UTC), Interval(), UUID(int=1), "[]", b"abc", "{5}",
     '{"\n"}'),
]


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)      # NaN, -0.0


@pytest.mark.parametrize("kind", ["csv", "tsv", "text", "jsonl", "parquet", "arrow"])
def test_every_type_there_and_back(command: Command, tmp_path: Path, kind: str) -> None:
    # Parquet has no intervals
    kept = [place for place, name in enumerate(COLUMNS) if not (kind == "parquet" and name == "iv")]
    definition = ", ".join(f"{name} {COLUMNS[name]}" for name in [list(COLUMNS)[place] for place in kept])
    rows = [tuple(row[place] for place in kept) for row in VALUES]
    with phantomdb.open(command.folder) as db:
        for name in ("t", "t2"):
            db.sql(f"CREATE TABLE {name} ({definition}, PRIMARY KEY (i))")
        for row in rows:
            db.sql(f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", row)
        expected = db.sql("SELECT * FROM t ORDER BY i").fetchall()
    file = tmp_path / f"x.{kind}"
    form = ["--format", "text"] if kind == "text" else []
    assert command("export", "t", file, *form) == 0 and "4 rows exported" in command.output
    assert command("import", file, "--table", "t2", "--append", *form) == 0, command.errors
    found = command.sql("SELECT * FROM t2 ORDER BY i")
    assert same(found, expected), [pair for one, two in zip(found, expected, strict=True)
                                   for pair in zip(one, two, strict=True) if not same(*pair)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "arrow"])
def test_an_empty_table_there_and_back(command: Command, tmp_path: Path, kind: str) -> None:
    command.sql("CREATE TABLE t (a int, b text); CREATE TABLE t2 (a int, b text)")
    assert command("export", "t", tmp_path / f"x.{kind}") == 0
    assert command("import", tmp_path / f"x.{kind}", "--table", "t2", "--append") == 0, command.errors
    assert "0 rows imported into t2" in command.output
    assert command.sql("SELECT * FROM t2") == []


def test_generated_columns_are_made_again(command: Command, tmp_path: Path) -> None:
    definition = "(a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED)"
    command.sql(f"CREATE TABLE t {definition}; CREATE TABLE t2 {definition}; INSERT INTO t VALUES (1), (2)")
    assert command("export", "t", tmp_path / "x.csv") == 0
    assert (tmp_path / "x.csv").read_text() == "a\n1\n2\n"
    assert command("import", tmp_path / "x.csv", "--table", "t2", "--append") == 0, command.errors
    assert command.sql("SELECT * FROM t2 ORDER BY a") == [(1, 2), (2, 4)]


def test_queries_and_views_to_standard_output(command: Command) -> None:
    command.sql("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL); CREATE VIEW w AS TABLE t")
    assert command("export", "SELECT a, b FROM t ORDER BY a", "-") == 0
    assert command.output == "a,b\n1,x\n2,\n"
    assert command("export", "w", "-", "--format", "jsonl") == 0
    assert command.output == '{"a":1,"b":"x"}\n{"a":2,"b":null}\n'
    assert command("export", "INSERT INTO t VALUES (3) RETURNING a", "-") == 1      # not a query: a table's name
    assert command("export", "public.t", "-", "--no-header", "--delimiter", ";", "--null", "?") == 0
    assert command.output == "1;x\n2;?\n"


# ---------------------------------------------------------------- new tables

def test_types_are_discovered(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "My File-1.csv", "ID,Price,When,Flag,Zip,Note\n1,1.5,2024-01-01,true,00501,\n"
                                             "3000000000,2,2024-02-30,f,10001,x\n")
    assert command("import", file, "--primary-key", "id") == 0, command.errors
    assert command.output.startswith('CREATE TABLE my_file_1 (id bigint, price double precision, "when" text, '
                                     "flag boolean, zip text, note text, PRIMARY KEY (id))\n")
    assert command.sql("SELECT zip, note FROM my_file_1 WHERE id = 1") == [("00501", None)]


def test_types_may_be_said(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "a;b\n1;2\n")
    assert command("import", file, "--type", "a=numeric(8,2)", "--delimiter", ";", "--columns", "a,c") == 0
    assert "(a numeric(8,2), c integer)" in command.output
    assert command("import", file, "--table", "y", "--type", "z=int") == 1
    assert 'there is no column "z"; the file has a;b' in command.errors


@pytest.mark.parametrize(("values", "expected"), [
    (["1", "-2", None], "integer"), (["1", "3000000000"], "bigint"), (["1", "1.5"], "double precision"),
    (["-.5", "1e9", "0"], "double precision"), (["0.1234567890123456"], "numeric"), (["9" * 30], "numeric"),
    (["9" * 60], "text"),
    (["007"], "text"), (["true", "F"], "boolean"), (["1", "true"], "text"), (["2024-02-29"], "date"),
    (["2023-02-29"], "text"), (["2024-01-01 12:00", "2024-01-01T12:00:00.5"], "timestamp without time zone"),
    (["2024-01-01 12:00+02"], "timestamp with time zone"), (["12:30", "23:59:59.999"], "time without time zone"),
    (["24:30"], "text"), (["12345678-1234-1234-1234-123456789abc"], "uuid"), ([None], "text"), ([], "text"),
    ([""], "text"), (["."], "text"), (["-"], "text"), (["0001-01-01"], "date"), (["0000-01-01"], "text"),
])
def test_the_narrowest_type_of_texts(values: list[str | None], expected: str) -> None:
    batches = [Batch(["a"], [pa.array([value], pa.string())], 1, str) for value in values]
    assert str(discover(["a"], batches)[0]) == expected
    assert str(discover(["a"], [Batch(["a"], [pa.array(values, pa.string())], len(values), str)])[0]) == expected


@pytest.mark.parametrize(("values", "expected"), [
    ([1, None], "integer"), ([1, 1 << 40], "bigint"), ([1 << 70], "numeric"), ([1 << 300], "jsonb"),
    ([1, Decimal("1.5")], "double precision"),
    (["1"], "text"), (["2024-01-01"], "date"), ([1, "a"], "jsonb"), ([{"a": 1}], "jsonb"), ([[1], "x"], "jsonb"),
    ([True], "boolean"), ([True, 1], "jsonb"), ([None], "text"),
])
def test_the_narrowest_type_of_json(values: list[Any], expected: str) -> None:
    assert str(discover(["a"], [Batch(["a"], [values], len(values), str)])[0]) == expected


def test_json_lines_make_a_table(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", '{"a": 1, "b": "x"}\n\n{"b": "{}", "C": {"d": [1]}}\n{"C": "text"}\n')
    assert command("import", file) == 0, command.errors
    assert "(a integer, b text, c jsonb)" in command.output
    assert command.sql("SELECT * FROM x") == [(1, "x", None), (None, "{}", {"d": [1]}), (None, None, "text")]


def test_standard_input(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(write(tmp_path / "x.csv", "a,b\n1,x\n"), encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert command("import", "-") == 1 and "say --table" in command.errors
        assert command("import", "-", "--table", "t", "--format", "csv") == 0, command.errors
    assert command.sql("SELECT * FROM t") == [(1, "x")]


# ---------------------------------------------------------------- tables that are there

def test_columns_go_by_the_header(command: Command, tmp_path: Path) -> None:
    command.sql("CREATE TABLE t (a int, b text, c int DEFAULT 7)")
    assert command("import", write(tmp_path / "t.csv", "B,a\nx,1\n"), "--append") == 0, command.errors
    assert command("import", write(tmp_path / "t.csv", "2,y\n"), "--append", "--no-header", "--columns", "a,b") == 0
    assert command.sql("SELECT * FROM t ORDER BY a") == [(1, "x", 7), (2, "y", 7)]
    assert command("import", write(tmp_path / "t.csv", "a,z\n1,2\n"), "--append") == 1
    assert 'table t has no column "z" to put data into; it has a, b, c' in command.errors


def test_a_table_that_is_there_is_not_touched_by_accident(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "a\n1\n")
    assert command("import", file) == 0
    for mode in ([], ["--create"]):
        assert command("import", file, *mode) == 1
        assert "table t is there already: say --append to add to it, or --replace" in command.errors
    assert command("import", file, "--append") == 0 and command.sql("SELECT count(*) FROM t") == [(2,)]
    assert command("import", file, "--replace") == 0 and command.sql("SELECT count(*) FROM t") == [(1,)]
    assert command("import", file, "--append", "--replace") == 1
    assert command("import", file, "--append", "--table", "none") == 1 and "say --create" in command.errors


def test_a_missing_file_makes_no_database(command: Command, tmp_path: Path) -> None:
    assert command("import", tmp_path / "none.csv") == 1 and "file_missing" in command.errors
    assert not command.folder.exists()
    assert command("import", tmp_path / "none.xyz") == 1 and "say --format csv" in command.errors


# ---------------------------------------------------------------- what is refused

BAD = "a,b\n1,2\nx,3\n4,5\n1,9\n,7\n8,\n"


def test_all_or_nothing(command: Command, tmp_path: Path) -> None:
    command.sql("CREATE TABLE t (a int PRIMARY KEY, b int CHECK (b < 9)); INSERT INTO t VALUES (100, 1)")
    file = write(tmp_path / "t.csv", BAD)
    for mode, kept in (("--append", "nothing was imported"), ("--replace", "the old rows are still there")):
        assert command("import", file, mode) == 1
        assert f'line 3: invalid input syntax for type integer: "x"; {kept}' in command.errors
        assert command.sql("TABLE t") == [(100, 1)]
    write(file, "a,b\n1,2\n,3\n")
    assert command("import", file, "--append") == 1
    assert 'line 3: null value in column "a"' in command.errors
    write(file, "a,b\n1,2\n1,3\n")
    assert command("import", file, "--append") == 1
    assert "line 3: duplicate key value" in command.errors and "Key (a)=(1) already exists" in command.errors
    assert command.sql("TABLE t") == [(100, 1)]


def test_a_new_table_goes_again(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "a,b\n1,2\n1,3\n")
    assert command("import", file, "--primary-key", "a") == 1
    assert command.sql("SELECT * FROM pg_catalog.pg_tables WHERE schemaname = 'public'") == []
    write(file, "a,b\n1,2\n1,3,4\n")
    assert command("import", file) == 1
    assert "Mend the file" in command.errors


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_batches_pass_over_what_is_refused(command: Command, tmp_path: Path, rows: int) -> None:
    command.sql("CREATE TABLE t (a int PRIMARY KEY, b int CHECK (b < 9))")
    assert command("import", write(tmp_path / "t.csv", BAD), "--append", "--batch", str(rows)) == 1
    assert command.sql("SELECT * FROM t ORDER BY a") == [(1, 2), (4, 5), (8, None)]
    lines = command.errors.splitlines()
    assert [line.split(":")[1].strip() for line in lines[:3]] == ["line 3", "line 5", "line 6"]
    assert "check_violation" in lines[1] and "not_null_violation" in lines[2]
    assert "3 rows refused" in lines[3] and "3 rows imported" in command.output


def test_foreign_keys_name_the_line(command: Command, tmp_path: Path) -> None:
    command.sql("CREATE TABLE p (a int PRIMARY KEY); INSERT INTO p VALUES (1); CREATE TABLE t (a int REFERENCES p)")
    file = write(tmp_path / "t.csv", "a\n1\n2\n1\n")
    assert command("import", file, "--append", "--batch", "10") == 1
    assert "line 3: insert or update" in command.errors and "Key (a)=(2) is not present" in command.errors
    assert command.sql("TABLE t") == [(1,), (1,)]
    assert command("import", file, "--append") == 1
    assert "Key (a)=(2) is not present" in command.errors and "nothing was imported" in command.errors


def test_lines_are_named_in_a_large_load_too(command: Command, tmp_path: Path) -> None:
    """One that goes past the transaction."""
    command.sql("CREATE TABLE t (a int PRIMARY KEY, b int NOT NULL, c int CHECK (c >= 0))")
    lines = [f"{number},1,1" for number in range(30_000)]
    for bad, message in (("25000,,1", "line 25002: null value"), ("25000,1,-1", "line 25002: new row for relation"),
                         ("25000,1,x", "line 25002: invalid input"), ("7,1,1", "Key (a)=(7) already exists")):
        lines[25_000] = bad
        file = write(tmp_path / "t.csv", "a,b,c\n" + "\n".join(lines))
        assert command("import", file, "--append") == 1
        assert message in command.errors
    assert command.sql("SELECT count(*) FROM t") == [(0,)]


def test_too_much_for_a_transaction(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = phantomdb.open
    monkeypatch.setattr(phantomdb, "open", lambda path, **given: real(path, memtable_bytes=1 << 20, **given))
    command.sql("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (0, '')")
    file = write(tmp_path / "t.csv", "a,b\n" + "".join(f"{number},{'x' * 100}\n" for number in range(20_000)))
    assert command("import", file, "--append") == 1
    assert "Say --batch 10000" in command.errors and "limit_exceeded" in command.errors
    assert command("import", file, "--append", "--batch", "1000") == 0, command.errors
    assert command.sql("SELECT count(*) FROM t") == [(20_001,)]
    assert command("import", file, "--replace", "--batch", "10000") == 0, command.errors
    assert command.sql("SELECT count(*) FROM t") == [(20_000,)]


# ---------------------------------------------------------------- memory

MEASURED = """
import functools, resource, sys
import phantomdb
sys.argv = ["phantomdb", *sys.argv[1:]]
from phantomdb import cli
phantomdb.open = functools.partial(phantomdb.open, memtable_bytes=16 << 20, block_cache_bytes=16 << 20,
                                   column_cache_bytes=16 << 20, durability="none")
try:
    cli.main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def peak_mib(*arguments: str | Path) -> int:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(Path(phantomdb.__file__).parents[1])]))
    done = subprocess.run([sys.executable, "-c", MEASURED, *map(str, arguments)], capture_output=True, text=True,
                          check=True, env=os.environ | {"PYTHONPATH": path})
    return int(done.stdout.split()[-1])


@pytest.mark.long
@pytest.mark.sample
def test_two_hundred_thousand_rows_in_bounded_memory(tmp_path: Path) -> None:
    """And more rows take hardly more, with budgets of 48 MiB: neither way holds the rows."""
    peaks, sizes = [], []
    for name, count in (("small", 200_000), ("large", 450_000)):
        file = tmp_path / f"{name}.csv"
        with file.open("w") as target:
            target.write("id,text\n")
            target.writelines(f"{number},{f'x{number}' * 83}\n" for number in range(1_000_000, 1_000_000 + count))
        peaks.append((peak_mib("import", tmp_path / "db", file, "--batch", "5000"),
                      peak_mib("export", tmp_path / "db", name, tmp_path / "out.csv")))
        sizes.append(file.stat().st_size >> 20)
        with file.open("rb") as one, (tmp_path / "out.csv").open("rb") as other:
            assert all(a == b for a, b in zip(one, other, strict=True))
    imported, exported = (large - small for small, large in zip(*peaks, strict=True))
    assert max(imported, exported) < (sizes[1] - sizes[0]) * 3 // 4, (peaks, sizes)
