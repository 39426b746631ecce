"""Tables for the vector executor: what is read of them, what stays in memory, what is streamed."""
from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import phantomdb
import phantomdb.dbapi
from phantomdb.core._ext.arrow_reader import ArrowReader
from phantomdb.core.query import sources
from phantomdb.core.query.errors import NumericTooWide, StatementCancelled, StatementTimeout
from phantomdb.core.query.sources import TransactionSource
from phantomdb.core.query.vector_sessions import Stream
from phantomdb.frontends.sql.frontend import SqlSession

ROWS = 40_000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[phantomdb.Database]:
    """A table of ROWS rows; the queries below go to the vector executor."""
    database = phantomdb.open(tmp_path_factory.mktemp("sources") / "db", durability="none", retention_s=3600)
    database.sql("CREATE TABLE item (id bigint PRIMARY KEY, grp int, name text, price numeric)")
    database.sql("CREATE INDEX item_grp ON item (grp)")
    database.sql("INSERT INTO item SELECT i, i % 4000, 'name ' || i, i * 0.25 FROM generate_series(0, $1 - 1) AS s(i)",
                 [ROWS])
    yield database
    database.close()


@pytest.fixture
def database(shared: phantomdb.Database) -> phantomdb.Database:
    shared.queries.columns.clear()
    return shared


class Scans:
    """Watches what scans give."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[Any] = []
        original = TransactionSource.scan

        def scan(source: TransactionSource, node: Any, conditions: Any) -> Any:
            found = original(source, node, conditions)
            self.given.append(found)
            return found
        monkeypatch.setattr(TransactionSource, "scan", scan)

    @property
    def row_counts(self) -> list[Any]:
        return ["stream" if isinstance(found, Stream) else found.num_rows for found in self.given]


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Scans:
    return Scans(monkeypatch)


def by_vector(database: phantomdb.Database, text: str, parameters: Any = ()) -> list[Any]:
    """The rows, by the vector executor whatever the estimates say."""
    session = database.session()
    session.only_executor = "vector"
    return SqlSession(session).execute(text, parameters).fetchall()


# -------------------------------------------------------------------- parts of tables

@pytest.mark.parametrize(("condition", "expected", "read"), [
    ("id BETWEEN 1000 AND 1999", 1000, 1000),
    ("id >= $1 AND id < $1 + 20000 AND name <> 'x'", 20000, 20000),
    ("id = 7", 1, 1), ("id IN (3, 5, 7)", 3, 3), ("id = $1", 0, 0), ("id > 39998", 1, 1),
    ("grp = 17", 10, 10), ("grp = 17 AND id < 10000", 3, 10), ("grp BETWEEN 5 AND 6", 20, 20),
    ("name = 'name 5'", 1, ROWS), ("id % 2 = 0", ROWS // 2, ROWS), ("grp >= 0", ROWS, ROWS),
])
def test_conditions_on_keys_restrict_what_is_read(database: phantomdb.Database, scans: Scans, condition: str,
                                                  expected: int, read: int) -> None:
    parameters = [None] if condition == "id = $1" else [50] if "$1" in condition else []
    found = by_vector(database, f"SELECT count(*), count(DISTINCT name) FROM item WHERE {condition}", parameters)
    assert found == [(expected, expected)]
    assert len(scans.row_counts) == 1 and scans.row_counts[0] <= read
    held = database.queries.columns.statistics().bytes
    assert (held > 0) is (read == ROWS)                      # a part does not bring the whole into memory


def test_the_side_of_a_join_that_has_a_condition_is_read_in_part(database: phantomdb.Database, scans: Scans) -> None:
    text = "SELECT count(*) FROM item a JOIN item b ON a.grp = b.grp WHERE a.id BETWEEN 10 AND 19"
    assert by_vector(database, text) == [(100,)]
    assert sorted(scans.row_counts) == [10, ROWS]


def test_columns_in_memory_serve_parts_too(database: phantomdb.Database, scans: Scans) -> None:
    by_vector(database, "SELECT sum(grp), max(id) FROM item")
    before = database.queries.columns.statistics().misses
    assert by_vector(database, "SELECT count(grp) FROM item WHERE id >= 10000") == [(30_000,)]
    assert database.queries.columns.statistics().misses == before
    assert len(scans.given) == 2


def test_a_condition_that_raises_is_left_to_the_query(database: phantomdb.Database) -> None:
    with pytest.raises(phantomdb.PhantomError, match="zero"):
        by_vector(database, "SELECT count(*) FROM item WHERE id > 1 / ($1 - 1)", [1])
    assert by_vector(database, "SELECT count(*) FROM item WHERE id > 1 / ($1 - 1)", [2]) == [(ROWS - 2,)]


def test_own_writes_are_in_parts_and_wholes(database: phantomdb.Database) -> None:
    with database.transaction() as transaction:
        transaction.sql("DELETE FROM item WHERE id = 1500")
        transaction.sql("UPDATE item SET grp = -1 WHERE id = 1600")
        text = "SELECT count(*), min(grp) FROM item WHERE id BETWEEN 1000 AND 1999 GROUP BY ()"
        assert transaction.sql(text).fetchall() == [(999, -1)]
        assert transaction.sql("SELECT count(*), min(grp), sum(length(name)) > 0 FROM item").fetchall() == [
            (ROWS - 1, -1, True)]
        transaction.rollback()
    assert by_vector(database, "SELECT count(*), min(grp) FROM item") == [(ROWS, 0)]


def test_expired_rows_are_in_no_scan(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path / "db", durability="none", sweep_interval_s=0) as database:
        database.sql("CREATE TABLE seen (id int PRIMARY KEY, at timestamptz, price numeric)")
        database.sql("INSERT INTO seen SELECT i, now() - i * interval '1 hour', i * 0.5 "
                     "FROM generate_series(1, 300) AS s(i)")
        database.sql("CREATE INDEX seen_at ON seen (at) WITH (ttl_s = 360000)")
        for condition, expected in (("TRUE", 99), ("id > 50", 49), ("price > 25", 49)):
            assert by_vector(database, f"SELECT count(*) FROM seen WHERE {condition}") == [(expected,)]
        assert by_vector(database, "SELECT sum(price), max(id) FROM seen") == [(Decimal("2475"), 99)]


def test_earlier_moments(database: phantomdb.Database) -> None:
    with database.transaction() as transaction:
        moment = transaction.snapshot_timestamp
    database.sql("UPDATE item SET name = 'other' WHERE id = 5")
    text = "SELECT count(*), max(name) FROM item {} WHERE id BETWEEN 5 AND 6"
    assert by_vector(database, text.format(f"AS OF SYSTEM TIME {moment}")) == [(2, "name 6")]
    assert by_vector(database, text.format("")) == [(2, "other")]
    database.sql("UPDATE item SET name = 'name 5' WHERE id = 5")


# -------------------------------------------------------------------- streams

@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[phantomdb.Database]:
    """A database that keeps no columns."""
    with phantomdb.open(tmp_path / "db", durability="none", column_cache_bytes=0) as database:
        yield database


def test_large_tables_are_streamed(narrow: phantomdb.Database, scans: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "EAGER_BYTES", 1000)
    narrow.sql("CREATE TABLE t (id int PRIMARY KEY, a int, price numeric)")
    narrow.sql("INSERT INTO t SELECT i, i % 10, i / 8.0 FROM generate_series(1, 80000) AS s(i)")
    total = sum(range(1, 80_001)) / Decimal(8)
    assert by_vector(narrow, "SELECT count(*), sum(price) FROM t") == [(80_000, total)]
    assert by_vector(narrow, "SELECT count(*) FROM t WHERE id > 40000") == [(40_000,)]
    assert by_vector(narrow, "SELECT count(*) FROM t a JOIN t b ON a.id = b.id AND a.a = b.a") == [(80_000,)]
    # one scan that DuckDB reads twice
    text = "WITH c AS (SELECT a, count(*) AS n FROM t GROUP BY a) SELECT sum(x.n * y.n) FROM c x JOIN c y USING (a)"
    assert by_vector(narrow, text) == [(640_000_000,)]
    assert set(scans.row_counts) == {"stream"}
    with narrow.transaction() as transaction:                # with own writes
        transaction.sql("DELETE FROM t WHERE id <= 1000")
        assert transaction.sql("SELECT count(*), sum(a) FROM t").fetchall() == [(79_000, 4500 * 79)]


MEMORY = """
import sys
import phantomdb

def now_and_peak():
    lines = open("/proc/self/status").read().splitlines()
    return [int(line.split()[1]) << 10 for name in ("VmRSS", "VmHWM") for line in lines if line.startswith(name)]

path, cached = sys.argv[1], int(sys.argv[2])
database = phantomdb.open(path, column_cache_bytes=cached, block_cache_bytes=8 << 20, durability="none")
query = "SELECT a % 7, count(*), min(b), max(c), sum(d) FROM t {} GROUP BY 1 ORDER BY 1"
small = database.sql(query.format("WHERE id < 50000")).fetchall()            # loads what there is to load
open("/proc/self/clear_refs", "w").write("5")                               # the peak is what is taken now
before, _ = now_and_peak()
found = database.sql(query.format("")).fetchall()
assert sum(row[1] for row in found) == 1_000_000, found
print(now_and_peak()[1] - before, database.queries.columns.statistics().bytes)
database.close()
"""


@pytest.mark.long
@pytest.mark.sample
def test_a_group_by_over_more_than_the_cache_stays_inside_its_memory(tmp_path: Path) -> None:
    """The table has 64 MB as Arrow, the cache 8 MB."""
    with phantomdb.open(tmp_path / "db", durability="none") as database:
        database.sql("CREATE TABLE t (id bigint PRIMARY KEY, a bigint, b bigint, c text, d double precision)")
        for start in range(0, 1_000_000, 100_000):
            database.sql("INSERT INTO t SELECT i, i * 3, i * 5, 'a text of some length ' || i % 1000, i FROM "
                         "generate_series($1, $1 + 99999) AS s(i)", [start])

    def run(cached: int) -> tuple[int, int]:
        made = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path / "db"), str(cached)], capture_output=True,
                              text=True, check=False)
        assert made.returncode == 0, made.stderr
        grown, held = made.stdout.split()
        return int(grown), int(held)
    (grown, held), (grown_with_all, held_with_all) = run(8 << 20), run(512 << 20)
    assert held <= 8 << 20 and held_with_all > 50 << 20
    assert grown < 40 << 20 and grown < grown_with_all


# -------------------------------------------------------------------- stopping

def test_a_scan_stops(narrow: phantomdb.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both while it is read at once and while it is streamed."""
    narrow.sql("CREATE TABLE t (id int PRIMARY KEY, a int)")
    narrow.sql("INSERT INTO t SELECT i, i FROM generate_series(1, 200000) AS s(i)")
    go = threading.Event()
    monkeypatch.setattr(sources._Reading, "_reader", lambda reading, columns: _Slow(ArrowReader(
        reading.rows.space.scan(*reading.range), sources.ID_BYTES, reading.layout.keys.codec,
        reading.layout.record_codec, columns, 10_000), go))
    for size in (0, 1 << 30):
        monkeypatch.setattr(sources, "EAGER_BYTES", size)
        go.clear()
        connection = phantomdb.dbapi.connect(narrow, autocommit=True)
        interrupting = threading.Thread(target=_interrupt, args=(connection, go))
        interrupting.start()
        started = time.monotonic()
        with pytest.raises(phantomdb.dbapi.OperationalError) as caught:
            connection.execute("SELECT sum(a) FROM t").fetchall()
        assert isinstance(caught.value.__cause__, StatementCancelled) and time.monotonic() - started < 4
        interrupting.join()
        connection.execute("SET statement_timeout = 400")
        with pytest.raises(phantomdb.dbapi.OperationalError) as caught:
            connection.execute("SELECT sum(a) FROM t").fetchall()
        assert isinstance(caught.value.__cause__, StatementTimeout)
        connection.execute("SET statement_timeout = 0")
        assert connection.execute("SELECT id FROM t WHERE id = 3").fetchall() == [(3,)]
        connection.close()


def _interrupt(connection: phantomdb.dbapi.Connection, go: threading.Event) -> None:
    assert go.wait(30)
    connection.interrupt()


class _Slow:
    """A reader that takes its time."""

    def __init__(self, reader: Any, go: threading.Event) -> None:
        self.reader, self.go = reader, go
        self.close = reader.close

    def __arrow_c_schema__(self) -> object:
        return self.reader.__arrow_c_schema__()

    def __iter__(self) -> Iterator[Any]:
        for batch in self.reader:
            self.go.set()
            time.sleep(0.3)
            yield batch


# -------------------------------------------------------------------- numerics without a declared scale

@pytest.mark.parametrize(("expression", "expected"), [
    ("sum(x * 1.12345678901234567890)", "4.49382715604938271560"), ("max(x * y)", "5.0E-21"),
    ("sum((x + y) * 3)", "12.000000000000000000060"), ("max(('1' || repeat('0', 30))::numeric * x)", "2.5E+30"),
    ("sum(x::text::numeric * 2)", "8"), ("0.2 * avg(x) * 1.01", "0.0000269387210775488"),
])
def test_numerics_are_exact_or_left_to_the_row_executor(narrow: phantomdb.Database, expression: str, expected: str
                                                        ) -> None:
    """Also where the estimates say that the vector executor is to run it."""
    narrow.sql("CREATE TABLE n (id int PRIMARY KEY, x numeric, y numeric)")
    narrow.sql("INSERT INTO n SELECT i, 0, 0 FROM generate_series(10, 30000) AS s(i)")
    narrow.sql("INSERT INTO n VALUES (1, 1.5, 0), (2, 2.5, 0.000000000000000000002), (3, 0, 2e-20 - 2e-21)")
    assert narrow.sql(f"SELECT {expression} FROM n").fetchall() == [(Decimal(expected),)]


def test_what_neither_has_room_for_is_an_error(narrow: phantomdb.Database) -> None:
    narrow.sql("CREATE TABLE n (id int PRIMARY KEY, x numeric)")
    narrow.sql("INSERT INTO n VALUES (1, 1e-30), (2, 2.5)")
    with pytest.raises(NumericTooWide):
        by_vector(narrow, "SELECT stddev(x * x) FROM n")
