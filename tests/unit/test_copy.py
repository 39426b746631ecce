"""COPY and Database.load(): files and Arrow data into tables, tables and queries into files."""
from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import polars
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import phantomdb
from phantomdb.core.errors import FileMissing, LimitExceeded, RetryableConflict, StorageError
from phantomdb.core.query import errors as e
from phantomdb.core.query import load as loading
from phantomdb.core.query import load_files
from phantomdb.core.query.load_runs import SortedRuns


@pytest.fixture
def database(tmp_path: Path) -> Iterator[phantomdb.Database]:
    with phantomdb.open(tmp_path / "db", durability="none") as made:
        made.sql("CREATE TABLE t (a int PRIMARY KEY, b text, c numeric(10,2))")
        yield made


def write(tmp_path: Path, text: str | bytes, name: str = "x.txt") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def rows(database: phantomdb.Database, table: str = "t") -> list[Any]:
    return database.sql(f"SELECT * FROM {table} ORDER BY 1").fetchall()


# -------------------------------------------------------------------- text

def test_text(database: phantomdb.Database, tmp_path: Path) -> None:
    path = write(tmp_path, "1\tone\t1.5\n2\t\\N\t-2\n3\t\t\\N\n")
    result = database.sql(f"COPY t FROM '{path}'")
    assert (result.tag, result.row_count) == ("COPY", 3)
    assert rows(database) == [(1, "one", Decimal("1.50")), (2, None, Decimal("-2.00")), (3, "", None)]


def test_text_with_escapes(database: phantomdb.Database, tmp_path: Path) -> None:
    path = write(tmp_path, "1|a\\|b\\n\\t\\\\|1\r\n2|\\x41\\102\\q|2\r\n3|\\\\N|3\n\\.\nnot read")
    database.sql(f"COPY t FROM '{path}' DELIMITER '|'")
    assert [row[1] for row in rows(database)] == ["a|b\n\t\\", "ABq", "\\N"]


def test_a_delimiter_at_the_end_of_the_line(database: phantomdb.Database, tmp_path: Path) -> None:
    """As the files of TPC-H have it."""
    for text in ("1|a|1.5|\n2|b|2|\n", "1|a|1.5|\n2|b|2\n", "1|a\\b|1.5|\n2|b|2|\n"):
        path = write(tmp_path, text)
        assert database.sql(f"COPY t FROM '{path}' (DELIMITER '|')").row_count == 2
        database.sql("DELETE FROM t")


@pytest.mark.parametrize(("text", "kind", "message"), [
    ("1\ta\t1\n2\tb\n", e.BadFileFormat, 'line 2: missing data for column "c"'),
    ("1\ta\t1\n2\tb\t1\tx\n", e.BadFileFormat, "line 2: extra data after last expected column"),
    ("1\ta\t1\tx\n", e.BadFileFormat, "line 1: extra data"),
    ("1\ta\t1\n\n", e.BadFileFormat, "line 2: missing data"),
    ("1\ta\t1\nx\tb\t1\n", e.InvalidTextRepresentation, 'line 2: invalid input syntax for type integer: "x"'),
    ("1\ta\t1\n0x2\tb\t1\n", e.InvalidTextRepresentation, "line 2"),
    ("1\ta\t1\n2\tb\t999999999\n", e.NumericValueOutOfRange, "line 2"),
    ("1\ta\t1\n\\N\tb\t1\n", e.NotNullViolation, "null value in column"),
    ("1\ta\t1\n1\tb\t1\n", e.UniqueViolation, "duplicate key"),
    ("1\ta\rb\t1\n", e.BadFileFormat, "line 1: literal carriage return"),
    (b"1\ta\t1\n2\t\xff\t1\n", e.CharacterNotInRepertoire, "line 2"),
    ("1\ta\\\nb\t1\n", e.BadFileFormat, "line 1: a line break after a backslash"),
])
def test_what_is_wrong_is_named_and_nothing_is_loaded(database: phantomdb.Database, tmp_path: Path, text: str | bytes,
                                                       kind: type[Exception], message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(kind, match=message):
        database.sql(f"COPY t FROM '{path}'")
    assert rows(database) == []


def test_columns_and_defaults(database: phantomdb.Database, tmp_path: Path) -> None:
    database.sql("CREATE TABLE d (a int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b text DEFAULT 'none', "
                 "c int GENERATED ALWAYS AS (e * 2) STORED, e int CHECK (e > 0))")
    database.sql(f"COPY d (e) FROM '{write(tmp_path, '1' + chr(10) + '2' + chr(10))}'")
    assert rows(database, "d") == [(1, "none", 2, 1), (2, "none", 4, 2)]
    with pytest.raises(e.CheckViolation):
        database.sql(f"COPY d (e) FROM '{write(tmp_path, '-1')}'")
    with pytest.raises(e.GeneratedColumn):
        database.sql(f"COPY d (c) FROM '{write(tmp_path, '1')}'")
    with pytest.raises(e.UndefinedColumn):
        database.sql(f"COPY d (nothing) FROM '{write(tmp_path, '1')}'")
    with pytest.raises(e.DuplicateColumn):
        database.sql(f"COPY d (e, e) FROM '{write(tmp_path, '1' + chr(9) + '1')}'")


def test_blocks(database: phantomdb.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_files, "BLOCK_BYTES", 64)
    lines = [f"{number}\t{'x' * (number % 90)}{chr(92) * 2 if number % 7 == 0 else ''}\t1" for number in range(200)]
    path = write(tmp_path, "\n".join(lines))                 # no line break at the end
    assert database.sql(f"COPY t FROM '{path}'").row_count == 200
    assert rows(database)[7][1] == "x" * 7 + "\\" and len(rows(database)[199][1]) == 19
    database.sql("DELETE FROM t")
    lines[150] = "y\t\t1"
    with pytest.raises(e.InvalidTextRepresentation, match="line 151"):
        database.sql(f"COPY t FROM '{write(tmp_path, chr(10).join(lines))}'")


def test_options_of_text(database: phantomdb.Database, tmp_path: Path) -> None:
    path = write(tmp_path, "a;b;c\n1;nil;2\n".encode("latin-1") + "2;ä;3\n".encode("latin-1"))
    database.sql(f"COPY t FROM '{path}' WITH (FORMAT text, DELIMITER ';', NULL 'nil', HEADER match, ENCODING 'latin1')")
    assert [row[1] for row in rows(database)] == [None, "ä"]
    with pytest.raises(e.BadFileFormat, match='column 1 of the header is "a", expected "c"'):
        database.sql(f"COPY t (c, b, a) FROM '{path}' (DELIMITER ';', HEADER MATCH)")
    assert database.sql(f"COPY t FROM '{write(tmp_path, '')}'").row_count == 0


# -------------------------------------------------------------------- CSV

def test_csv(database: phantomdb.Database, tmp_path: Path) -> None:
    path = write(tmp_path, 'a,b,c\n1,"x, ""y""\nz",1.5\n2,,\n3,"",3\n')
    for options in ("(FORMAT csv, HEADER)", "WITH CSV HEADER", "CSV HEADER DELIMITER AS ',' QUOTE '\"'",
                    "(FORMAT 'csv', HEADER MATCH)"):
        assert database.sql(f"COPY t FROM '{path}' {options}").row_count == 3
        assert rows(database) == [(1, 'x, "y"\nz', Decimal("1.50")), (2, None, None), (3, "", Decimal("3.00"))]
        database.sql("DELETE FROM t")
    path = write(tmp_path, "1,a,1\n\n2,b,1\n\n")
    assert database.sql(f"COPY t FROM '{path}' CSV").row_count == 2
    assert database.sql(f"COPY t (a) FROM '{write(tmp_path, '')}' CSV").row_count == 0
    with pytest.raises(e.NotNullViolation):
        database.sql(f"COPY t (a) FROM '{write(tmp_path, '7' + chr(10) * 2)}' CSV")


@pytest.mark.parametrize(("text", "kind", "message"), [
    ("1,a,1\n2,b\n", e.BadFileFormat, "after line 1"), ('1,"a\nb",1\nx,b,1\n', e.InvalidTextRepresentation, "line 3: "),
    ("1,a\n", e.BadFileFormat, 'line 1: missing data for column "c"'), ("1,a,1,5\n", e.BadFileFormat, "extra data"),
    (b"1,\xff,1\n", e.CharacterNotInRepertoire, "after line 1"),
])
def test_bad_csv(database: phantomdb.Database, tmp_path: Path, text: str | bytes, kind: type[Exception], message: str
                 ) -> None:
    with pytest.raises(kind, match=message):
        database.sql(f"COPY t FROM '{write(tmp_path, text)}' CSV")
    assert rows(database) == []


# -------------------------------------------------------------------- JSON lines, Parquet

def test_json_lines(database: phantomdb.Database, tmp_path: Path) -> None:
    database.sql("CREATE TABLE j (a bigint, d jsonb, n numeric, u uuid, m timestamptz, l int[])")
    path = write(tmp_path, '{"a": 9007199254740993, "d": {"x": [1, null]}, "n": 1.000000000000000000001, "l": [1, 2]}\n'
                           '\n{"u": "00000000-0000-0000-0000-000000000001", "m": "2024-01-01 00:00+01", "n": "5", '
                           '"a": 1}\n')
    assert database.sql(f"COPY j FROM '{path}' (FORMAT jsonl)").row_count == 2
    found = database.sql("SELECT a, d, n::text, u, m, l FROM j ORDER BY a DESC").fetchall()
    assert found[0] == (9007199254740993, {"x": [1, None]}, "1.000000000000000000001", None, None, [1, 2])
    assert found[1] == (1, None, "5", UUID(int=1), datetime.datetime(2023, 12, 31, 23, tzinfo=datetime.UTC), None)
    for text, kind, message in (('{"b": 1}', e.UndefinedColumn, "line 1"), ("[1]", e.BadFileFormat, "line 1"),
                                ('{"a": 1}\n{"a": 36893488147419103232}', e.NumericValueOutOfRange, "line 2"),
                                ('{"a": "x"}', e.InvalidTextRepresentation, "line 1")):
        with pytest.raises(kind, match=message):
            database.sql(f"COPY j FROM '{write(tmp_path, text)}' (FORMAT jsonl)")


def test_parquet_goes_by_name(database: phantomdb.Database, tmp_path: Path) -> None:
    path = str(tmp_path / "x.parquet")
    database.sql(f"COPY (SELECT 'x' AS b, 7 AS a) TO '{path}' (FORMAT parquet)")
    assert database.sql(f"COPY t FROM '{path}' (FORMAT parquet)").row_count == 1
    assert rows(database) == [(7, "x", None)]
    with pytest.raises(e.UndefinedColumn, match='no column "c"'):
        database.sql(f"COPY t (a, c) FROM '{path}' (FORMAT parquet)")
    database.sql(f"COPY (SELECT 1 AS z) TO '{path}' (FORMAT parquet)")
    with pytest.raises(e.UndefinedColumn, match='another column, "z"'):
        database.sql(f"COPY t FROM '{path}' (FORMAT parquet)")
    with pytest.raises(e.BadFileFormat):
        database.sql(f"COPY t FROM '{write(tmp_path, 'no')}' (FORMAT parquet)")


# -------------------------------------------------------------------- out, and both ways

def test_out(database: phantomdb.Database, tmp_path: Path) -> None:
    database.sql("INSERT INTO t VALUES (1, 'a|b\\c' || chr(10), 1.5), (2, NULL, NULL), (3, '', 0)")
    path = str(tmp_path / "out")
    assert database.sql(f"COPY t TO '{path}' (DELIMITER '|', HEADER)").row_count == 3
    assert Path(path).read_text() == "a|b|c\n1|a\\|b\\\\c\\n|1.50\n2|\\N|\\N\n3||0.00\n"
    database.sql(f"COPY t (b, a) TO '{path}' CSV HEADER")
    assert Path(path).read_text() == 'b,a\n"a|b\\c\n",1\n,2\n"",3\n'
    database.sql(f"COPY (SELECT a > 1 AS x, date '2024-01-01' AS d, '[1]'::jsonb AS j, c FROM t WHERE a = $1) TO "
                 f"'{path}' (FORMAT jsonl)", (1,))
    assert Path(path).read_text() == '{"x":false,"d":"2024-01-01","j":[1],"c":1.50}\n'
    database.sql(f"COPY (SELECT true) TO '{path}'")
    assert Path(path).read_text() == "t\n"
    database.sql(f"COPY (DELETE FROM t RETURNING a) TO '{path}'")
    assert rows(database) == []
    assert [item.name for item in tmp_path.iterdir() if item.name.endswith(".part")] == []


def test_a_failed_export_leaves_the_old_file(database: phantomdb.Database, tmp_path: Path) -> None:
    path = write(tmp_path, "old")
    with pytest.raises(e.DivisionByZero):
        database.sql(f"COPY (SELECT 1 / 0) TO '{path}'")
    with pytest.raises(e.CharacterNotInRepertoire):
        database.sql(f"COPY (SELECT 'ä') TO '{path}' (ENCODING 'ascii')")
    assert Path(path).read_text() == "old" and not Path(path + ".part").exists()
    with pytest.raises((StorageError, FileMissing)):
        database.sql(f"COPY t TO '{tmp_path}/nowhere/x'")


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
KINDS = {
    "i": st.integers(-2**31, 2**31 - 1), "f": st.floats(allow_nan=False),
    "n": st.decimals(-9_999_999, 9_999_999, places=2, allow_nan=False), "s": TEXTS, "d": st.dates(),
    "m": st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 1, 1)), "o": st.booleans(), "y": st.binary(),
    "u": st.uuids(), "l": st.lists(st.integers(0, 9), min_size=1)}


@given(data=st.lists(st.tuples(*[kind | st.none() for kind in KINDS.values()]), max_size=8),
       form=st.sampled_from(["text", "csv", "jsonl", "parquet"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_out_comes_in_again(database: phantomdb.Database, tmp_path: Path, data: list[Any], form: str) -> None:
    columns = ("i int, f double precision, n numeric(9,2), s text, d date, m timestamp, o boolean, y bytea, u uuid, "
               "l int[]")
    database.sql(f"DROP TABLE IF EXISTS x; DROP TABLE IF EXISTS y; CREATE TABLE x (row int PRIMARY KEY, {columns}); "
                 f"CREATE TABLE y (row int PRIMARY KEY, {columns})")
    for number, row in enumerate(data):
        database.sql(f"INSERT INTO x VALUES ({', '.join('?' * 11)})", (number, *row))
    path = str(tmp_path / "x")
    database.sql(f"COPY x TO '{path}' (FORMAT {form})")
    assert database.sql(f"COPY y FROM '{path}' (FORMAT {form})").row_count == len(data)
    assert rows(database, "y") == rows(database, "x")
    assert [math.copysign(1, row[2]) for row in rows(database, "y") if row[2] is not None] == [
        math.copysign(1, row[2]) for row in rows(database, "x") if row[2] is not None]


# -------------------------------------------------------------------- the statement

@pytest.mark.parametrize(("text", "kind"), [
    ("COPY t FROM STDIN", e.FeatureNotSupported), ("COPY t TO STDOUT", e.FeatureNotSupported),
    ("COPY t FROM PROGRAM 'x'", e.FeatureNotSupported), ("COPY BINARY t FROM 'x'", e.FeatureNotSupported),
    ("COPY t FROM 'x' WHERE a > 1", e.FeatureNotSupported), ("COPY t FROM 'x' (FORCE_NULL (a))", e.FeatureNotSupported),
    ("COPY t FROM 'x' (FORMAT csv, ESCAPE '\\')", e.FeatureNotSupported), ("COPY (SELECT 1) FROM 'x'", e.SyntaxFailure),
    ("COPY t FROM 'x' (FORMAT xml)", e.InvalidParameterValue),
    ("COPY t FROM 'x' (DELIMITER '||')", e.InvalidParameterValue),
    ("COPY t FROM 'x' (DELIMITER 'a')", e.InvalidParameterValue),
    ("COPY t FROM 'x' (QUOTE '''')", e.InvalidParameterValue),
    ("COPY t FROM 'x' (FORMAT csv, DELIMITER '\"')", e.InvalidParameterValue),
    ("COPY t FROM 'x' (NULL 'a|', DELIMITER '|')", e.InvalidParameterValue),
    ("COPY t FROM 'x' (HEADER maybe)", e.InvalidParameterValue),
    ("COPY t FROM 'x' (ENCODING 'utf-16')", e.InvalidParameterValue),
    ("COPY t FROM 'x' (FORMAT parquet, HEADER)", e.InvalidParameterValue),
    ("COPY t FROM 'x' (HEADER, HEADER)", e.SyntaxFailure),
    ("COPY t FROM 'x' (NONSENSE 1)", e.SyntaxFailure), ("COPY t FROM 'x' NONSENSE", e.SyntaxFailure),
    ("COPY t", e.SyntaxFailure),
    ("COPY t FROM x", e.SyntaxFailure), ("COPY nowhere FROM 'x'", e.UndefinedTable),
    ("COPY t (z) TO 'x'", e.UndefinedColumn),
    ("COPY t FROM '/nowhere/at all'", FileMissing), ("COPY (DELETE FROM t) TO '/tmp/x'", e.FeatureNotSupported),
])
def test_errors(database: phantomdb.Database, text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        database.sql(text)


def test_copy_in_a_transaction(database: phantomdb.Database, tmp_path: Path) -> None:
    path = write(tmp_path, "1\ta\t1\n")
    database.sql(f"BEGIN; COPY t FROM '{path}'; ROLLBACK")
    assert rows(database) == []
    database.sql("SET default_transaction_read_only = on")
    with pytest.raises(e.ReadOnlyTransaction):
        database.sql(f"COPY t FROM '{path}'")


# -------------------------------------------------------------------- load

def test_load_takes_arrow_and_frames(database: phantomdb.Database) -> None:
    table = pa.table({"b": ["x", None], "a": pa.array([1, 2], pa.uint8())})
    assert database.load("t", table) == 2
    assert database.load("t", polars.DataFrame({"a": [3], "c": [1.5]})) == 1
    assert database.load("t", table.to_pandas().assign(a=[4, 5])) == 2
    assert database.load("t", pa.table({"x": [6], "y": ["z"]}), ["a", "b"]) == 1
    assert rows(database) == [(1, "x", None), (2, None, None), (3, None, Decimal("1.50")), (4, "x", None),
    (5, None, None),
                              (6, "z", None)]


@pytest.mark.parametrize(("data", "columns", "kind"), [
    ({"a": [1]}, ["a", "b"], e.DatatypeMismatch), ({"z": [1]}, None, e.UndefinedColumn),
    ({"a": [True]}, None, e.DatatypeMismatch), ({"a": [2**40]}, None, e.NumericValueOutOfRange),
    ({"a": pa.array([[(1, 2)]], pa.map_(pa.int32(), pa.int32()))},
     None, e.FeatureNotSupported),
])
def test_load_refuses(database: phantomdb.Database, data: Any, columns: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        database.load("t", pa.table(data), columns)
    with pytest.raises(e.UndefinedTable):
        database.load("nowhere", pa.table({"a": [1]}))
    with pytest.raises(e.DatatypeMismatch):
        database.load("t", [1])


def test_types_of_arrow(database: phantomdb.Database) -> None:
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3, 4)
    database.sql("CREATE TABLE k (a int, s varchar(3), p char(3), d date, m timestamp, z timestamptz, w time, y bytea, "
                 "j jsonb, l text[], n numeric, r real)")
    table = pa.table({
        "a": pa.array([1, None], pa.int8()), "s": pa.array(["ä", "bcd"], pa.large_string()),
        "p": pa.array(["x", "y"]).dictionary_encode(), "d": pa.array([day, None], pa.date64()),
        "m": pa.array([moment, None], pa.timestamp("ns")).cast(pa.timestamp("ns")),
        "z": pa.array([moment, None], pa.timestamp("us", "Asia/Tokyo")),
        "w": pa.array([moment.time(), None], pa.time64("ns")),
        "y": pa.array([b"\0", None], pa.large_binary()), "j": pa.array([{"x": 1}, None]),
        "l": pa.array([["p", None], []], pa.large_list(pa.string())), "n": pa.array([Decimal("1.10"), None]),
        "r": pa.array([0.1, None], pa.float64())})
    assert database.load("k", table) == 2
    first, second = database.sql("SELECT * FROM k ORDER BY a").fetchall()
    assert first[:8] == (1, "ä", "x  ", day, moment, moment.replace(tzinfo=datetime.UTC), moment.time(), b"\0")
    assert first[8:11] == ({"x": 1}, ["p", None], Decimal("1.10")) and first[11] == pytest.approx(0.1)
    assert second == (None, "bcd", "y  ", None, None, None, None, None, None, [], None, None)
    with pytest.raises(e.StringTooLong, match="row 2"):
        database.load("k", pa.table({"s": ["abc", "abcd"]}))


# -------------------------------------------------------------------- past the transaction

@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything is a large load, in small batches that do not all fit memory."""
    monkeypatch.setattr(loading, "FEW_ROWS", 0)
    monkeypatch.setattr(loading, "BATCH_ROWS", 100)
    monkeypatch.setattr(loading, "SORT_BYTES", 40_000)


def numbers(count: int, **more: Any) -> pa.Table:
    return pa.table({"a": pa.array([(number * 7919) % count for number in range(count)], pa.int64()), **more})


@pytest.mark.usefixtures("large")
def test_a_large_load(database: phantomdb.Database) -> None:
    database.sql("CREATE INDEX by_b ON t (b); CREATE UNIQUE INDEX by_c ON t (c)")
    before = database.stats()["commits"]
    table = numbers(1000, b=[f"b{number % 10}" for number in range(1000)],
                    c=[None] * 500 + [float(n) for n in range(500)])
    assert database.load("t", table) == 1000
    assert database.stats()["commits"] == before and database.stats()["levels"][-1]["entries"] >= 3000
    assert [row[0] for row in rows(database)] == list(range(1000))
    assert database.sql("SELECT b FROM t WHERE a = 7919 % 1000").scalar() == "b1"
    assert database.sql("SELECT count(*) FROM t WHERE b = 'b3'").scalar() == 100
    with pytest.raises(e.UniqueViolation):
        database.sql("INSERT INTO t VALUES (5)")
    with pytest.raises(e.UniqueViolation):
        database.sql("INSERT INTO t VALUES (-1, 'x', 499)")
    with pytest.raises(e.UniqueViolation):
        database.load("t", table)                            # no longer empty: through the transaction
    path = database.path
    database.close()
    with phantomdb.open(path) as again:
        assert again.sql("SELECT count(*) FROM t").scalar() == 1000
        assert again.verify()


@pytest.mark.usefixtures("large")
def test_a_large_load_without_a_key_gets_row_ids(database: phantomdb.Database) -> None:
    database.sql("CREATE TABLE h (a int, d int DEFAULT 7, g int GENERATED ALWAYS AS (a + 1) STORED, s serial)")
    assert database.load("h", numbers(300)) == 300
    database.sql("INSERT INTO h (a) VALUES (1000)")
    assert database.sql("SELECT count(*), sum(d), max(g), count(DISTINCT s) FROM h").fetchall() == [
        (301, 301 * 7, 1001, 301)]


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(("ddl", "table", "kind"), [
    ("a int PRIMARY KEY", pa.table({"a": [*range(500), 250]}), e.UniqueViolation),
    ("a int UNIQUE", pa.table({"a": [*range(500), 250]}), e.UniqueViolation),
    ("a int CHECK (a < 499)", numbers(500), e.CheckViolation),
    ("a int NOT NULL", pa.table({"a": [1, None]}), e.NotNullViolation),
    ("a int, b int NOT NULL", numbers(10), e.NotNullViolation),
    ("a int REFERENCES t", numbers(500), e.ForeignKeyViolation),
    ("a smallint", pa.table({"a": [1] * 200 + [40000]}), e.NumericValueOutOfRange),
])
def test_a_large_load_is_checked(database: phantomdb.Database, ddl: str, table: pa.Table,
                                 kind: type[Exception]) -> None:
    database.sql(f"CREATE TABLE n ({ddl}); INSERT INTO t SELECT i FROM generate_series(0, 498) AS g(i)")
    with pytest.raises(kind):
        database.load("n", table)
    assert rows(database, "n") == [] and not database.session().in_transaction
    with phantomdb.core.database.Database.session(database)._database.transaction() as txn:    # nothing is held up
        txn.kv.put(b"k", b"v")


@pytest.mark.usefixtures("large")
def test_parents_of_a_large_load(database: phantomdb.Database) -> None:
    database.sql("INSERT INTO t SELECT i FROM generate_series(0, 499) AS g(i); CREATE TABLE n (a int REFERENCES t)")
    assert database.load("n", pa.table({"a": [*range(500), None, 3]})) == 502
    database.sql("CREATE TABLE self (a int PRIMARY KEY, p int REFERENCES self)")
    assert database.load("self", pa.table({"a": [1, 2], "p": [2, 1]})) == 2          # in a transaction


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("change", [
    "INSERT INTO n VALUES (-1)", "DELETE FROM t WHERE a = 3", "DROP TABLE n", "CREATE INDEX i ON n (a)",
    "INSERT INTO n VALUES (-1); DELETE FROM n",
])
def test_a_large_load_notices_what_others_do(database: phantomdb.Database, change: str) -> None:
    database.sql("INSERT INTO t SELECT i FROM generate_series(-1, 499) AS g(i); CREATE TABLE n (a int REFERENCES t)")

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"a": pa.array([1], pa.int64())})
        other = database.session()
        from phantomdb.frontends.sql.frontend import SqlSession
        SqlSession(other).execute(change)
        yield pa.record_batch({"a": pa.array([2], pa.int64())})

    reader = pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), batches())
    with pytest.raises(RetryableConflict, match="changed during the load"):
        database.load("n", reader)
    if "DROP" not in change:
        assert database.sql("SELECT count(*) FROM n WHERE a > 0").scalar() == 0


@pytest.mark.usefixtures("large")
def test_readers_see_all_or_nothing(database: phantomdb.Database) -> None:
    txn = database.transaction()
    assert txn.sql("SELECT count(*) FROM t").scalar() == 0
    database.load("t", numbers(300))
    assert txn.sql("SELECT count(*) FROM t").scalar() == 0
    assert database.sql("SELECT count(*) FROM t").scalar() == 300
    txn.sql("INSERT INTO t VALUES (1000)")
    with pytest.raises(RetryableConflict):
        txn.commit()                                         # it has read the table as it was


def test_a_load_that_is_too_large_for_a_transaction(tmp_path: Path) -> None:
    table = numbers(60_000, b=["x" * 100] * 60_000)
    with phantomdb.open(tmp_path / "db", durability="none", memtable_bytes=1 << 20) as database:
        database.sql("CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (-1)")
        with pytest.raises(LimitExceeded, match="empty table"):
            database.load("t", table)
        assert database.sql("SELECT count(*) FROM t").scalar() == 1
        database.sql("DELETE FROM t")
        with pytest.raises(LimitExceeded), database.transaction() as txn:
            loading.load(txn.frontend("sql").session, "t", table)
        assert database.load("t", table) == 60_000
        assert database.sql("SELECT count(*), min(a), max(a) FROM t").fetchall() == [(60_000, 0, 59_999)]


@given(pairs=st.lists(st.lists(st.tuples(st.binary(max_size=4), st.binary(max_size=3)), max_size=9), max_size=9),
       limit=st.sampled_from([1, 700, 1 << 20]))
def test_runs_come_out_in_order(pairs: list[list[tuple[bytes, bytes]]], limit: int) -> None:
    with SortedRuns(limit) as runs:
        for batch in pairs:
            runs.add(batch)
        assert list(runs) == sorted(pair for batch in pairs for pair in batch)


# -------------------------------------------------------------------- streams, Arrow files

def test_a_stream_gives_all_rows_once(database: phantomdb.Database) -> None:
    database.sql("INSERT INTO t SELECT i, 'n' || i, i FROM generate_series(1, 25000) AS g(i)")
    sql = database.frontend("sql")
    for where, count in (("", 25_000), (" WHERE a = 7", 1), (" WHERE a < 0", 0)):
        sizes: list[int] = []

        def use(stream: Any, sizes: list[int] = sizes) -> set[int]:
            found = set()
            while rows := stream.fetchmany(1000):
                sizes.append(len(rows))
                found |= {row[0] for row in rows}
            return found

        assert len(sql.stream(f"SELECT a, b FROM t{where}", use)) == count == sum(sizes)
        assert max(sizes, default=0) <= 1000
    assert sql.stream("SELECT a FROM t", lambda stream: pa.table(stream).num_rows) == 25_000
    assert sql.stream("DELETE FROM t WHERE a = 1 RETURNING a", lambda stream: stream.fetchmany(5)) == [(1,)]
    for text in ("DELETE FROM t WHERE a = 2", "SELECT 1; SELECT 2", ""):
        with pytest.raises(e.QueryError):
            sql.stream(text, lambda stream: None)


def test_a_stream_sees_one_snapshot_and_its_own_writes(database: phantomdb.Database) -> None:
    database.sql("INSERT INTO t SELECT i, 'n', i FROM generate_series(1, 25000) AS g(i)")
    sql = database.frontend("sql")

    def use_later(stream: Any) -> int:
        count = len(stream.fetchmany(10))
        database.run(lambda txn: txn.sql("DELETE FROM t WHERE a > 20000"))
        while rows := stream.fetchmany(5000):
            count += len(rows)
        return count

    assert sql.stream("SELECT a FROM t", use_later) == 25_000
    sql.execute("BEGIN; DELETE FROM t WHERE a > 100")
    assert sql.stream("SELECT a FROM t", lambda stream: pa.table(stream).num_rows) == 100
    sql.execute("ROLLBACK")
    with pytest.raises(ZeroDivisionError):
        sql.stream("SELECT a FROM t", lambda stream: 1 // 0)
    assert database.sql("SELECT count(*) FROM t").scalar() == 20_000


def test_arrow_streams_and_files_are_read(database: phantomdb.Database, tmp_path: Path) -> None:
    data = pa.table({"a": pa.array([1, 2], pa.int64()), "b": ["x", None]})
    for name, make in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        path = str(tmp_path / name)
        with make(path, data.schema) as writer:
            writer.write_table(data)
        assert database.sql(f"COPY t FROM '{path}' (FORMAT arrow)").row_count == 2
        assert rows(database) == [(1, "x", None), (2, None, None)]
        database.sql("DELETE FROM t")
    with pytest.raises(e.BadFileFormat, match="no Arrow file"):
        database.sql(f"COPY t FROM '{write(tmp_path, 'a,b')}' (FORMAT arrow)")


def test_json_values_of_json_lines_stay_what_they_are(database: phantomdb.Database, tmp_path: Path) -> None:
    """The text "{}" is a text, and no document."""
    database.sql("CREATE TABLE j (a int, d jsonb)")
    values: list[Any] = ["x", "{}", 1, 1.5, True, [1, "a", None], {"k": []}]
    lines = [f'{{"a":{place},"d":{value}}}' for place, value in enumerate(
        ['"x"', '"{}"', "1", "1.5", "true", '[1,"a",null]', '{"k":[]}'])]
    database.sql(f"COPY j FROM '{write(tmp_path, chr(10).join(lines))}' (FORMAT jsonl)")
    assert [row[1] for row in rows(database, "j")] == values
    database.sql(f"COPY j TO '{tmp_path}/out.jsonl' (FORMAT jsonl)")
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == list(
        map(json.loads, lines))


def test_whole_numbers_of_other_sizes(database: phantomdb.Database) -> None:
    database.sql("CREATE TABLE n (s smallint, i int, b bigint, r real, d double precision)")
    big = (1 << 53) + 1
    database.load("n", pa.table({"s": pa.array([1, None], pa.int64()), "i": pa.array([2, 3], pa.int16()),
                                 "b": pa.array([4, 5], pa.uint8()), "r": pa.array([6, 7], pa.int64()),
                                 "d": pa.array([big, 9], pa.int64())}))
    assert rows(database, "n") == [(1, 2, 4, 6.0, float(big)), (None, 3, 5, 7.0, 9.0)]
    with pytest.raises(e.NumericValueOutOfRange, match="row 2"):
        database.load("n", pa.table({"s": pa.array([1, 40_000], pa.int64())}))
