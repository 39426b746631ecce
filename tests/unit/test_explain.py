"""EXPLAIN: what it shows of the plan, and what ANALYZE adds."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import phantomdb
from phantomdb.core.query import errors as e


@pytest.fixture
def database(tmp_path: Path) -> Iterator[phantomdb.Database]:
    with phantomdb.open(tmp_path / "db", durability="none") as made:
        made.sql("CREATE TABLE t (a int PRIMARY KEY, b text)")
        made.sql("INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 10) AS g(i)")
        yield made


def lines(database: phantomdb.Database, text: str, *parameters: Any) -> list[str]:
    return [row[0] for row in database.sql(text, parameters)]


def test_a_point_read(database: phantomdb.Database) -> None:
    shown = lines(database, "EXPLAIN SELECT b FROM t WHERE a = ? AND b <> 'x'", 5)
    assert "  ->  Scan on t  (estimated rows=1)" in shown
    assert "        Access: index t_pkey of t: 1 equal" in shown
    assert any("Filter: (b <> 'x')" in line for line in shown)
    assert shown[-1] == "Executor: rows"


def test_a_query_over_everything(database: phantomdb.Database) -> None:
    shown = lines(database, "EXPLAIN SELECT b, count(*) FROM t GROUP BY b ORDER BY 2 DESC LIMIT 3")
    assert [line.replace("->", "").split()[0] for line in shown if "->" in line or not line.startswith(" ")] == [
        "Limit", "Sort", "Project", "Aggregate", "Scan", "Executor:"]
    assert shown[-1] == "Executor: rows" and "Access: scan of t" in shown[-2]         # of ten rows
    database.sql("SET phantomdb.executor = 'vector'")
    shown = lines(database, "EXPLAIN SELECT b, count(*) FROM t GROUP BY b")
    assert shown[-1].startswith("Executor: vector") and "Access: columns of t" in shown[-2]
    database.sql("SET phantomdb.executor = 'auto'")
    assert lines(database, "EXPLAIN SELECT rank() OVER (ORDER BY b) FROM t")[-1].startswith("Executor: vector")


@pytest.mark.parametrize(("query", "found"), [
    ("SELECT * FROM t x JOIN t y ON x.a = y.a WHERE x.a = 1", "Nested Loop (inner)"),
    ("SELECT * FROM t x FULL JOIN t y ON x.a = y.a", "Join (full)"), ("VALUES (1), (2)", "Values"),
    ("SELECT 1 UNION ALL SELECT 2", "Union All"), ("SELECT DISTINCT b FROM t", "Distinct"),
    ("SELECT sum(a) FILTER (WHERE a > 1) OVER (PARTITION BY b) FROM t", "Window"),
    ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r", "(recursive)"),
    ("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM t y WHERE y.a > t.a)", "Nested Loop (semi)"),
    ("SELECT a, (SELECT max(y.b) FROM t y WHERE y.a > t.a) FROM t", "SubPlan 1: Project"),
    ("SELECT rank() OVER (ORDER BY a) FROM t WHERE b = (SELECT max(b) FROM t)", "SubPlan 1: Project"),
    ("SELECT * FROM t WHERE b IN (SELECT b FROM t y WHERE y.a < 3)", "Hash Join (semi)"),
    ("SELECT * FROM t x LEFT JOIN t y ON y.a = x.a", "(left)"),
    ("SELECT * FROM generate_series(1, 3)", "Function Scan on generate_series"),
    ("SELECT * FROM information_schema.tables", "Catalog Scan on information_schema.tables"),
    ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "Conflict Resolution: NOTHING"),
    ("UPDATE t SET b = 'x' WHERE a = 1", "Update on t"), ("DELETE FROM t", "Delete on t"),
    ("SELECT CASE WHEN a IS NULL THEN 1 ELSE 2 END FROM t WHERE NOT (a IN (1, 2) OR b LIKE 'x%')", "CASE WHEN"),
    ("SELECT * FROM t ORDER BY b NULLS FIRST, a DESC OFFSET 2", "Sort Key: b NULLS FIRST, a DESC"),
])
def test_nodes(database: phantomdb.Database, query: str, found: str) -> None:
    assert any(found in line for line in lines(database, f"EXPLAIN {query}"))


def test_explain_does_not_run(database: phantomdb.Database) -> None:
    lines(database, "EXPLAIN DELETE FROM t")
    assert database.sql("SELECT count(*) FROM t").scalar() == 10


def test_analyze_runs(database: phantomdb.Database) -> None:
    for text in ("EXPLAIN ANALYZE DELETE FROM t WHERE a <= 3", "EXPLAIN (ANALYZE ON) DELETE FROM t WHERE a <= 6"):
        shown = dict(line.split(": ", 1) for line in lines(database, text) if not line.startswith(" ") and ": " in line)
        assert shown["Actual Rows"] == "3" and shown["Execution Time"].endswith(" ms") and "Blocks Read" in shown
    assert database.sql("SELECT count(*) FROM t").scalar() == 4
    assert "Actual Rows: 4" in lines(database, "EXPLAIN ANALYZE SELECT * FROM t")
    assert lines(database, "EXPLAIN (ANALYZE false) DELETE FROM t")[-1].startswith("Executor")


def test_each_node_is_measured(database: phantomdb.Database) -> None:
    query = "SELECT count(*) FROM t x JOIN t y ON y.a = x.a + 1 WHERE x.a < 5 AND y.b <> 'n3'"
    shown = lines(database, f"EXPLAIN ANALYZE {query}")
    assert "Executor: rows" in shown and "Actual Rows: 1" in shown
    joined, first, second = (next(line for line in shown if found in line)
                             for found in ("(inner)", "Scan on t  (estimated rows=4)", "Scan on t  (estimated rows=1)"))
    assert "(actual rows=3 loops=1 " in joined and "(actual rows=4 loops=1 " in first
    assert "(actual rows=3 loops=4 " in second
    again = lines(database, f"EXPLAIN ANALYZE {query}")
    assert any("(actual rows=3 loops=4 " in line for line in again)                    # counted for each run by itself
    database.sql("SET phantomdb.executor = 'vector'")
    [found] = database.sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}").scalar()
    nodes = [found["Plan"]]
    names = {}
    while nodes:
        node = nodes.pop()
        names[node["Node Type"]] = node["Actual Rows"]
        nodes += node.get("Plans", [])
    assert found["Actual Rows"] == 1 and any("Join" in name and rows == 3 for name, rows in names.items())


def test_the_rows_of_a_change_are_measured(database: phantomdb.Database) -> None:
    shown = lines(database, "EXPLAIN ANALYZE UPDATE t SET b = 'x' WHERE a BETWEEN 2 AND 4")
    assert shown[0] == "Update on t" and any("Scan on t" in line and "actual rows=3" in line for line in shown)
    shown = lines(database, "EXPLAIN ANALYZE INSERT INTO t SELECT a + 10, b FROM t WHERE a IN (2, 3)")
    assert any("Scan on t" in line and "actual rows=2" in line for line in shown) and "Actual Rows: 2" in shown


def test_blocks_that_are_read_are_counted(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path / "db") as database:
        database.sql("CREATE TABLE t (a int PRIMARY KEY, b text)")
        database.sql("INSERT INTO t SELECT i, 'text ' || i FROM generate_series(1, 2000) AS g(i)")
    with phantomdb.open(tmp_path / "db") as database:
        [[plan]] = database.sql("EXPLAIN (ANALYZE, FORMAT JSON) SELECT count(b) FROM t").scalar(),
        assert plan["Blocks Read"] > 0 and plan["Bytes Read"] > plan["Blocks Read"]


def test_json(database: phantomdb.Database) -> None:
    [found] = database.sql("EXPLAIN (FORMAT JSON) SELECT b FROM t WHERE a = 1").scalar()
    assert found["Executor"] == "rows" and found["Plan"]["Node Type"] == "Project"
    [scan] = found["Plan"]["Plans"]
    assert scan["Node Type"] == "Scan on t" and scan["Plan Rows"] == 1


def test_verbose_and_prepared(database: phantomdb.Database) -> None:
    assert "  Output: b" in lines(database, "EXPLAIN VERBOSE SELECT b FROM t")
    database.sql("PREPARE p (int) AS SELECT b FROM t WHERE a = $1")
    assert "Actual Rows: 1" in lines(database, "EXPLAIN ANALYZE EXECUTE p (2)")


@pytest.mark.parametrize(("text", "kind"), [
    ("EXPLAIN CREATE TABLE x (a int)", e.FeatureNotSupported),
    ("EXPLAIN (FORMAT YAML) SELECT 1", e.FeatureNotSupported),
    ("EXPLAIN (FORMAT HTML) SELECT 1", e.InvalidParameterValue),
    ("EXPLAIN (ANALYZE, NONSENSE) SELECT 1", e.SyntaxFailure),
    ("EXPLAIN SELECT * FROM nowhere", e.UndefinedTable), ("EXPLAIN", e.SyntaxFailure),
    ("EXPLAIN ANALYZE", e.SyntaxFailure),
])
def test_errors(database: phantomdb.Database, text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        database.sql(text)
