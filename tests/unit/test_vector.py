"""The vector executor around DuckDB: results, streams, stopping, bounds, what is switched off."""
from __future__ import annotations

import datetime
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import plans
import pyarrow as pa
import pytest
from plans import (
    DUAL,
    MemorySource,
    aggregate_call,
    call,
    column,
    columns,
    items,
    outputs,
    project,
    query,
    value,
    values,
)

from phantomdb.core._ext.document import encode
from phantomdb.core.errors import DatabaseClosed
from phantomdb.core.query import context, vector_sessions
from phantomdb.core.query import plan as p
from phantomdb.core.query.errors import (
    DivisionByZero,
    OutOfQueryMemory,
    QueryError,
    StatementCancelled,
    StatementTimeout,
    UndefinedTable,
)
from phantomdb.core.query.cancellation import Cancellation
from phantomdb.core.query.vector import VectorExecutor
from phantomdb.core.query.vector_results import VectorResult
from phantomdb.core.query.vector_sessions import Stream, _slot_class
from phantomdb.core.values import (
    ANY,
    BIGINT,
    INT,
    INTERVAL,
    JSON,
    JSON_NULL,
    NUMERIC,
    TEXT,
    TIMESTAMPTZ,
    UUID_TYPE,
    Interval,
    array,
    decimal,
)


@pytest.fixture
def executor() -> Iterator[VectorExecutor]:
    made = plans.executor()
    yield made
    made.close()


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


def run(executor: VectorExecutor, node: p.Node, source: MemorySource | None = None, **more: Any) -> VectorResult:
    return executor.run(query(node), (), source or MemorySource(), **more)


def series(count: int) -> p.TableFunction:
    return p.TableFunction("generate_series", (p.Literal(BIGINT, 1), p.Literal(BIGINT, count)), columns(BIGINT))


def endless() -> p.Node:
    """Counts up for as long as it is let."""
    start, step = values((p.Literal(BIGINT, 1),)), p.CommonScan(1, columns(BIGINT))
    more = project(step, call("+", step.columns[0], p.Literal(BIGINT, 1)))
    last = p.CommonScan(1, columns(BIGINT))
    table = p.CommonTable(1, start, start.columns, more, outputs(more))
    return p.Aggregate(p.With((table,), last), (), items(aggregate_call("max", last.columns[0])))


# -------------------------------------------------------------------- results

def test_rows_in_pieces(executor: VectorExecutor) -> None:
    result = run(executor, project(series(300_000), value("x")))
    first = result.fetchmany(3)
    assert first == [("x",)] * 3 and len(result.fetchall()) == 299_997
    assert result.fetchall() == result.fetchmany(5) == []
    result = run(executor, series(10))
    assert [len(result.fetchmany(4)) for _ in range(4)] == [4, 4, 2, 0]


def test_rows_and_arrow_of_one_result(executor: VectorExecutor) -> None:
    result = run(executor, series(3))
    assert result.fetchmany(2) == [(1,), (2,)]
    assert result.arrow().num_rows == pa.table(result).num_rows == 3
    assert result.fetchall() == [(3,)] and result.arrow().num_rows == 3
    streamed = run(executor, series(300_000), is_streamed=True)
    assert len(streamed.arrow()) == 300_000 and len(streamed.arrow()) == 0


def test_arrow_has_the_users_names_and_our_types(executor: VectorExecutor, source: MemorySource) -> None:
    types = (INT, BIGINT, decimal(5, 2), NUMERIC, TEXT, TIMESTAMPTZ, INTERVAL, UUID_TYPE, JSON, array(TIMESTAMPTZ))
    scan = source.add(*types, rows=[(None,) * len(types)])
    given = outputs(scan)
    asked = p.Query(scan, tuple(["same"] * 2 + [f"name {number}" for number in range(8)]), given)
    table = executor.run(asked, (), source).arrow()
    assert table.schema.names == list(asked.names)
    assert table.schema.types == [
        pa.int32(), pa.int64(), pa.decimal128(5, 2), table.schema.types[3], pa.string(), pa.timestamp("us", "UTC"),
        pa.month_day_nano_interval(), pa.string(), pa.string(), pa.list_(pa.timestamp("us", "UTC"))]
    assert pa.types.is_decimal(table.schema.types[3])
    again = pa.table(executor.run(asked, (), source))
    assert again.schema == table.schema and again.num_rows == 1
    empty = executor.run(p.Query(p.Filter(scan, value(False)), asked.names, given), (), source).arrow()
    assert empty.schema == table.schema and empty.num_rows == 0


def test_scans_take_and_results_give_all_kinds(executor: VectorExecutor, source: MemorySource) -> None:
    types, row = zip(*[
        (NUMERIC, Decimal("1.2345")), (INTERVAL, Interval(1, -2, 3)), (JSON, JSON_NULL), (JSON, {"a": [1]}),
        (TIMESTAMPTZ, datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)), (array(INTERVAL), [Interval(5), None]),
    ], strict=True)
    scan = source.add(*types, rows=[row, (None,) * len(types)])
    found = run(executor, scan, source).fetchall()
    assert found == [row, (None,) * len(types)]
    assert found[0][4].tzinfo is datetime.UTC


def test_a_field_of_a_flexible_table(executor: VectorExecutor) -> None:
    class Documents:
        def scan(self, scan: Any, conditions: Any) -> pa.Table:
            return pa.table({"any name": pa.array([encode({"b": 1}), encode([1, 2]), None], pa.binary())})
    scan = p.Scan(1, (p.ScanColumn(column(ANY), 5),))
    result = executor.run(query(scan), (), Documents())
    assert result.fetchall() == [({"b": 1},), ([1, 2],), (None,)]


def test_streams_and_tables_of_any_size(executor: VectorExecutor, source: MemorySource) -> None:
    for count in (0, 1, 5, 50_000):
        for source.as_stream in (False, True):
            scan = source.add(BIGINT, rows=[(number,) for number in range(count)])
            total = p.Aggregate(scan, (), items(aggregate_call("count"), aggregate_call("max", outputs(scan)[0])))
            assert run(executor, total, source).fetchall() == [(count, count - 1 if count else None)]
            left, right = source.again(scan.table), source.again(scan.table)
            joined = p.Join(p.JoinKind.INNER, left, right, call("=", *outputs(left), *outputs(right)))
            assert run(executor, p.Aggregate(joined, (), items(aggregate_call("count"))), source).fetchall() == [
                (count,)]


def test_a_stream_that_duckdb_reads_twice_is_opened_twice(source: MemorySource) -> None:
    source.as_stream = True
    scan = source.add(INT, rows=[(1,), (2,), (3,)])
    slot = _slot_class()()
    slot.set(source.scan(scan, ()))
    for reads in (1, 2, 3):
        assert pa.table(slot).num_rows == 3 and source.openings == reads


def test_nothing_of_a_statement_is_left_for_the_next(executor: VectorExecutor, source: MemorySource) -> None:
    for rows in (1, 30_000, 2, 40_000):
        scan = source.add(INT, TEXT, rows=[(number, "x") for number in range(rows)])
        assert len(run(executor, scan, source).fetchall()) == rows
        other = source.add(TEXT, rows=[("y",)])
        assert run(executor, other, source).fetchall() == [("y",)]
    [session] = executor._idle
    assert len(session.slots) == 1 and session.slots[0]._data is None


# -------------------------------------------------------------------- texts that come again

def test_a_text_that_comes_again_is_prepared_and_reads_other_rows(executor: VectorExecutor, source: MemorySource,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_sessions, "PREPARED_TEXTS", 2)
    scan = source.add(BIGINT, rows=[(1,)])
    asked = query(p.Aggregate(scan, (), items(aggregate_call("sum", outputs(scan)[0]), aggregate_call("count"))))
    for total in (10, 20, 30, 40):
        source.tables[scan.table] = ((BIGINT,), [(total,)] * 2)
        assert executor.run(asked, (), source).fetchall() == [(2 * total, 2)]
    [session] = executor._idle
    assert len(executor._printed) == 1 and [name is not None for name in session._prepared.values()] == [True]
    source.tables[scan.table] = ((BIGINT,), [(1,)] * 100_000)             # so many more that it is planned anew
    assert executor.run(asked, (), source).fetchall() == [(100_000, 100_000)]
    source.tables[scan.table] = ((BIGINT,), [(0,)] * 2)
    failing = query(project(scan, call("/", 1, outputs(scan)[0])))
    for _ in range(3):
        with pytest.raises(DivisionByZero):
            executor.run(failing, (), source)
    for number in range(3):                                  # others push the first ones out
        other = query(project(scan, call("+", outputs(scan)[0], p.Literal(BIGINT, number))))
        for _ in range(3):
            assert executor.run(other, (), source).fetchall() == [(number,)] * 2
    assert len(session._prepared) == 2
    assert executor.run(asked, (), source).fetchall() == [(0, 2)]


def test_what_hangs_on_the_moment_is_not_kept(executor: VectorExecutor) -> None:
    asked = query(project(series(2), call("now"), call("current_user")))
    for year in (2020, 2021):
        moment = datetime.datetime(year, 1, 2, tzinfo=datetime.UTC)
        with context.use(context.StatementContext(now=moment, user=f"user {year}")):
            assert executor.run(asked, (), MemorySource()).fetchall() == [(moment, f"user {year}")] * 2
    assert not executor._printed


def test_without_the_private_names_of_duckdb(source: MemorySource, monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(session: vector_sessions.Session, sql: str, parameters: Any) -> Any:
        return session.cursor.sql(sql, params=parameters).to_arrow_reader(vector_sessions.BATCH_ROWS)
    monkeypatch.setattr(vector_sessions, "_slot_class", lambda: vector_sessions._Slot)
    monkeypatch.setattr(vector_sessions.Session, "_submit", submit)
    executor = plans.executor()
    try:
        for source.as_stream in (False, True):
            scan = source.add(INT, rows=[(number,) for number in range(30_000)])
            other = source.again(scan.table)
            joined = p.Join(p.JoinKind.INNER, scan, other, call("=", *outputs(scan), *outputs(other)))
            asked = query(p.Aggregate(joined, (), items(aggregate_call("count"))))
            for _ in range(3):
                assert executor.run(asked, (), source).fetchall() == [(30_000,)]
    finally:
        executor.close()


# -------------------------------------------------------------------- sessions

def test_streamed_results_are_independent(executor: VectorExecutor) -> None:
    results = [run(executor, series(500_000), is_streamed=True) for _ in range(3)]
    assert len(executor._idle) == 0
    assert [result.fetchmany(2) for result in results] == [[(1,), (2,)]] * 3
    results[0].close()
    assert len(executor._idle) == 1
    assert len(results[1].fetchall()) == 499_998
    assert len(executor._idle) == 2
    del results
    gc.collect()
    assert len(executor._idle) == 3
    assert run(executor, project(DUAL, 1)).fetchall() == [(1,)]


def test_an_error_frees_its_session(executor: VectorExecutor, source: MemorySource) -> None:
    scan = source.add(INT, rows=[(number,) for number in range(5000)])
    for _ in range(3):
        with pytest.raises(DivisionByZero):
            run(executor, project(scan, call("/", 1, outputs(scan)[0])), source)
    assert len(executor._idle) == 1


def test_threads(executor: VectorExecutor) -> None:
    found: list[Any] = []

    def work(number: int) -> None:
        for _ in range(10):
            source = MemorySource()
            scan = source.add(INT, rows=[(number,)] * 100)
            total = p.Aggregate(scan, (), items(aggregate_call("max", outputs(scan)[0]), aggregate_call("count")))
            found.extend(run(executor, total, source).fetchall())
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted([(number, 100) for number in range(4)] * 10)


def test_closed(executor: VectorExecutor) -> None:
    run(executor, project(DUAL, 1))
    executor.close()
    executor.close()
    with pytest.raises(DatabaseClosed):
        run(executor, project(DUAL, 1))


def test_the_moment_and_user_are_those_of_the_statement(executor: VectorExecutor) -> None:
    moment = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    with context.use(context.StatementContext(now=moment, user="ann")):
        found = run(executor, project(series(2), call("now"), call("current_user"))).fetchall()
    assert found == [(moment, "ann")] * 2


# -------------------------------------------------------------------- stopping

def test_timeout(executor: VectorExecutor) -> None:
    with pytest.raises(StatementTimeout) as caught:
        run(executor, endless(), cancel=Cancellation(0.1))
    assert caught.value.code == "statement_timeout"
    assert run(executor, project(DUAL, 1), cancel=Cancellation(60)).fetchall() == [(1,)]


def test_a_timeout_counts_for_a_streamed_result_too(executor: VectorExecutor) -> None:
    result = run(executor, series(600_000), cancel=Cancellation(2), is_streamed=True)
    assert len(executor._idle) == 0
    time.sleep(2.1)
    with pytest.raises(StatementTimeout):
        while result.fetchmany(100_000):
            pass
    assert len(executor._idle) == 1


def test_cancel_from_another_thread(executor: VectorExecutor) -> None:
    cancellation, caught = Cancellation(), []

    def work() -> None:
        try:
            run(executor, endless(), cancel=cancellation)
        except StatementCancelled as error:
            caught.append(error)
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.2)
    cancellation.cancel()
    thread.join(30)
    assert [type(error) for error in caught] == [StatementCancelled]
    with pytest.raises(StatementCancelled):                  # cancelled before it began
        run(executor, project(DUAL, 1), cancel=cancellation)
    assert run(executor, project(DUAL, 1)).fetchall() == [(1,)]


# -------------------------------------------------------------------- bounds

def test_memory_is_bounded() -> None:
    executor = plans.executor(memory_limit_bytes=32 << 20)
    try:
        wide = project(series(1_000_000), "x" * 100)
        with pytest.raises(OutOfQueryMemory):                # the result itself
            run(executor, wide)
        base = series(4_000_000)
        grouped = p.Aggregate(base, items(call("*", outputs(base)[0], p.Literal(BIGINT, 7))),
                              items(aggregate_call("count")))
        total = p.Aggregate(grouped, (), items(aggregate_call("count")))
        with pytest.raises(OutOfQueryMemory):                # what it takes to compute it
            run(executor, total)
        assert run(executor, project(DUAL, 1)).fetchall() == [(1,)]
    finally:
        executor.close()


def test_it_spills(tmp_path: Path) -> None:
    executor = plans.executor(memory_limit_bytes=64 << 20, temporary_folder=str(tmp_path / "spill"),
                              temporary_bytes=2 << 30)
    try:
        base = series(4_000_000)
        grouped = p.Aggregate(base, items(call("*", outputs(base)[0], p.Literal(BIGINT, 7))),
                              items(aggregate_call("count")))
        total = p.Aggregate(grouped, (), items(aggregate_call("count")))
        assert run(executor, total).fetchall() == [(4_000_000,)]
    finally:
        executor.close()
    assert not any((tmp_path / "spill").glob("*"))


# -------------------------------------------------------------------- what DuckDB may not

def test_the_text_reaches_nothing_outside(executor: VectorExecutor, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    somewhere = pa.table({"a": [1]})
    session = executor._take_session()
    for text in (f"SELECT * FROM '{tmp_path}/t.csv'", f"SELECT * FROM read_csv('{tmp_path}/t.csv')",
                 "SELECT * FROM somewhere", f"COPY (SELECT 1) TO '{tmp_path}/out.csv'", f"ATTACH '{tmp_path}/x.db'",
                 "INSTALL httpfs", "LOAD httpfs", "SET enable_external_access = true", "SET threads = 1",
                 "SET memory_limit = '1TB'", "SET python_enable_replacements = true"):
        with pytest.raises(Exception, match=r"(?i)disabled|locked|does not exist|not allowed|permission"):
            session.cursor.execute(text).fetchall()
    assert somewhere.num_rows == 1 and sorted(tmp_path.iterdir()) == [tmp_path / "t.csv"]


def test_errors_of_the_source_come_out_as_they_are(executor: VectorExecutor) -> None:
    class Broken:
        def __init__(self, at_once: bool) -> None:
            self.at_once = at_once

        def scan(self, scan: Any, conditions: Any) -> Any:
            if self.at_once:
                raise UndefinedTable("gone")

            def batches() -> Iterator[pa.RecordBatch]:
                yield pa.record_batch({"c": pa.array([1], pa.int32())})
                raise UndefinedTable("gone")
            return Stream(pa.schema([("c", pa.int32())]), 1, batches)
    scan = p.Scan(1, (p.ScanColumn(column(INT), 0),))
    for at_once in (True, False):
        with pytest.raises(UndefinedTable, match="gone"):
            executor.run(query(scan), (), Broken(at_once))
    assert isinstance(UndefinedTable("gone"), QueryError)
    assert len(executor._idle) == 1


# -------------------------------------------------------------------- the end of the process

def test_an_open_database_is_closed_in_silence_when_the_process_ends(tmp_path: Path) -> None:
    text = (f"import phantomdb\ndatabase = phantomdb.open({str(tmp_path / 'db')!r})\n"
            "print(database.sql('SELECT sum(i) FROM generate_series(1, 100000) s(i) GROUP BY i % 2').fetchall())\n")
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
