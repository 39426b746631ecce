"""The row executor: which access and join it takes, when it gives up, what it keeps, how it is stopped."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import phantomdb
from phantomdb.core.catalog.objects import Table
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query import fast_queries, figures, prepared, row_executor
from phantomdb.core.query.errors import StatementCancelled, StatementTimeout
from phantomdb.frontends.sql.frontend import SqlSession

TABLES = """
CREATE TABLE customer (id integer PRIMARY KEY, name text NOT NULL, city text, tags text[], info jsonb);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer NOT NULL, total integer, state text, day integer)
"""
INDEXES = """
CREATE INDEX customer_lower ON customer (lower(name));
CREATE INDEX customer_tags ON customer (tags) WITH (multi_key);
CREATE INDEX customer_vip ON customer (info.vip);
CREATE INDEX customer_city ON customer (city) WHERE city IS NOT NULL;
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX orders_day ON orders (day DESC, total);
CREATE INDEX orders_open ON orders (total) WHERE state = 'open'
"""


@contextmanager
def opened(name: str) -> Iterator[SqlSession]:
    with phantomdb.open(name, file_system=MemoryFileSystem(), durability="none") as db:
        sql = SqlSession(db.session())
        yield sql
        sql.session.close()


def filled(sql: SqlSession) -> SqlSession:
    sql.execute(TABLES)
    sql.execute("INSERT INTO customer SELECT i, 'Name ' || i, CASE WHEN i % 3 > 0 THEN 'city ' || i % 40 END, "
                "ARRAY['t' || i % 7, 't' || i % 11], jsonb_build_object('vip', i % 90) "
                "FROM generate_series(1, 600) AS g(i)")
    sql.execute("INSERT INTO orders SELECT i, i % 600 + 1, i % 500, "
                "CASE WHEN i % 9 = 0 THEN 'open' ELSE 'done' END, i / 50 FROM generate_series(1, 3000) AS g(i)")
    return sql


@pytest.fixture(scope="module")
def shop() -> Iterator[SqlSession]:
    with opened("/db") as sql:
        filled(sql).execute(INDEXES)
        yield sql


@pytest.fixture(scope="module")
def bare() -> Iterator[SqlSession]:
    """The same without indexes, by the vector executor."""
    with opened("/bare") as sql:
        filled(sql).execute("SET phantomdb.executor = 'vector'")
        yield sql


def explained(sql: SqlSession, query: str, parameters: tuple[Any, ...] = ()) -> str:
    return "\n".join(row[0] for row in sql.execute(f"EXPLAIN {query}", parameters).fetchall())


@pytest.mark.parametrize(("query", "access"), [
    ("SELECT * FROM customer WHERE id = 5", "index customer_pkey of customer: 1 equal"),
    ("SELECT * FROM customer WHERE id IN (5, 7, 9)", "index customer_pkey of customer: 1 equal, any of 3"),
    ("SELECT * FROM customer WHERE id = ANY (ARRAY[1, 2])", "any of an array"),
    ("SELECT * FROM customer WHERE lower(name) = 'name 5'", "index customer_lower of customer: 1 equal"),
    ("SELECT * FROM customer WHERE 't3' = ANY (tags)", "index customer_tags of customer: 1 equal"),
    ("SELECT * FROM customer WHERE tags @> ARRAY['t3']", "index customer_tags of customer: 1 equal"),
    ("SELECT * FROM customer WHERE tags && ARRAY['t3', 't9']", "index customer_tags of customer: 1 equal, any of"),
    ("SELECT * FROM customer WHERE info->>'vip' = '5'", "index customer_vip of customer: 1 equal"),
    ("SELECT * FROM customer WHERE info @> '{\"vip\": 5}'", "index customer_vip of customer: 1 equal"),
    ("SELECT * FROM customer WHERE city = 'city 5'", "index customer_city of customer: 1 equal"),
    ("SELECT id FROM orders WHERE state = 'open' AND total < 50", "index orders_open of orders: high bound"),
    ("SELECT id FROM orders WHERE day = 7 AND total > 380",
     "index orders_day of orders: 1 equal, low bound, entries alone"),
    ("SELECT * FROM orders WHERE day BETWEEN 7 AND 8", "index orders_day of orders: low bound, high bound"),
    ("SELECT id FROM orders ORDER BY day DESC, total LIMIT 5", "index orders_day of orders: all, entries alone"),
    ("SELECT * FROM orders ORDER BY id DESC LIMIT 5", "scan of orders, backwards"),
    ("SELECT max(customer_id) FROM orders", "index orders_customer of orders: not null, entries alone, backwards"),
    ("SELECT min(id) FROM orders WHERE id > 10", "index orders_pkey of orders: low bound"),
    ("SELECT count(*) FROM orders WHERE customer_id = 5", "1 equal, entries alone"),
])
def test_the_access_that_is_taken(shop: SqlSession, bare: SqlSession, query: str, access: str) -> None:
    shown = explained(shop, query)
    assert access in shown and "Executor: rows" in shown
    found, expected = shop.execute(query).fetchall(), bare.execute(query).fetchall()
    assert expected and sorted(map(repr, found)) == sorted(map(repr, expected))


@pytest.mark.parametrize(("query", "access"), [
    ("SELECT * FROM customer WHERE city > 'city 38' OR city IS NULL", "scan of customer"),       # NULLs are not in it
    ("SELECT id FROM orders WHERE total < 3", "scan of orders"),
    ("SELECT id FROM orders WHERE state = 'done' AND total < 3", "columns of orders"),
    ("SELECT id FROM orders WHERE customer_id = floor(random() * 10)::int", "scan of orders"),
])
def test_an_index_that_does_not_serve(shop: SqlSession, query: str, access: str) -> None:
    assert access in explained(shop, query)


@pytest.mark.parametrize("index", ["(j.x)", "(j.x) WITH (multi_key)"])
def test_documents_by_a_path(index: str) -> None:
    """What ->> gives as text may be any value of JSON; a multi-key index has an array by its elements."""
    given = ["5", '"5"', '"a"', "[5]", "[]", '["a", 5]', '{"z": 5}', "null", "true", '"true"', '"[5]"', "2.50"]
    queries = []
    for text in ("5", "a", "[5]", "[]", '["a", 5]', "true", "2.50", '{"z": 5}', "null", "none"):
        queries += [f"SELECT a FROM t WHERE j->>'x' = '{text}'", f"SELECT a FROM t WHERE j->>'x' IN ('{text}', 'a')"]
        if text not in ("a", "none"):
            queries += [f"SELECT a FROM t WHERE j->'x' = '{text}'", f"SELECT a FROM t WHERE j @> '{{\"x\": {text}}}'",
                        f"SELECT a FROM t WHERE j @> '{{\"x\": [{text}]}}'"]
    with opened("/documents") as sql:
        sql.execute("CREATE TABLE t (a integer PRIMARY KEY, j jsonb)")
        sql.execute_many("INSERT INTO t VALUES (?, ?::jsonb)", [
            (place, None if place % 40 == 39 else f'{{"x": {given[place % 40]}}}' if place % 40 < len(given) else "{}")
            for place in range(200)])
        expected = [sorted(sql.execute(query).fetchall()) for query in queries]
        sql.execute(f"CREATE INDEX t_j ON t {index}")
        for query, wanted in zip(queries, expected, strict=True):
            assert sorted(sql.execute(query).fetchall()) == wanted, query
        assert sum("t_j" in explained(sql, query) for query in queries) > 15


def test_joins_begin_with_the_fewest_rows(shop: SqlSession) -> None:
    for tables in ("orders o JOIN customer c ON c.id = o.customer_id",
                   "customer c JOIN orders o ON c.id = o.customer_id"):
        shown = explained(shop, f"SELECT c.name, o.total FROM {tables} WHERE lower(c.name) = 'name 5'")
        assert shown.index("Scan on customer") < shown.index("Scan on orders") and "orders_customer" in shown
        shown = explained(shop, f"SELECT c.name, o.total FROM {tables} WHERE o.id = 77")
        assert shown.index("Scan on orders") < shown.index("Scan on customer") and "Nested Loop" in shown
    shown = explained(shop, "SELECT count(*) FROM customer a JOIN customer b ON a.city = b.name")
    assert "Hash Join (inner)" in shown


def test_many_rows_are_for_the_vector_executor(shop: SqlSession) -> None:
    assert "Executor: vector" in explained(shop, "SELECT a.id FROM orders a JOIN orders b ON a.state = b.state")
    assert "Executor: rows" in explained(shop, "SELECT count(*) FROM customer")


def test_a_run_that_reads_too_much_gives_up(shop: SqlSession, monkeypatch: pytest.MonkeyPatch) -> None:
    query = "SELECT id FROM orders WHERE customer_id >= ? AND state = 'done' ORDER BY id"
    monkeypatch.setattr(row_executor, "MOST_COST", 5000.0)
    monkeypatch.setattr(row_executor, "READ_FACTOR", 0.2)
    monkeypatch.setattr(row_executor, "TABLE_SHARE", 0.0)
    shop.session.engine.prepared = prepared.PreparedQueries(shop.session.engine)
    bound = shop.bind(shop._plans.statements(query)[0], (1,))
    kept = shop.session.engine.prepared.of(bound.statement, shop.session.catalog)               # type: ignore[arg-type]
    runs: list[Any] = []
    run = kept.rows

    def watched(*given: Any, **named: Any) -> Any:
        runs.append(run(*given, **named))
        return runs[-1]

    monkeypatch.setattr(kept, "rows", watched)
    few, many = (600,), (1,)
    expected = [shop.execute(query, many).fetchall(), shop.execute(query, few).fetchall()]
    assert len(expected[0]) > 2000 and len(expected[1]) <= 5
    assert runs[0] is None and runs[1] is None               # the second was not tried: the first gave up
    for _ in range(8):
        assert [shop.execute(query, given).fetchall() for given in (few, few, many)] == [expected[1], expected[1],
                                                                                        expected[0]]
    assert any(found is not None for found in runs) and kept._passed == 1


def test_plans_follow_the_tables(shop: SqlSession) -> None:
    with phantomdb.open("/db2", file_system=MemoryFileSystem(), durability="none") as db:
        sql = SqlSession(db.session())
        sql.execute("CREATE TABLE t (a integer PRIMARY KEY, b integer)")
        sql.execute("INSERT INTO t SELECT i, i FROM generate_series(1, 5) AS g(i)")
        query = "SELECT a FROM t WHERE b = ?"
        for _ in range(3):
            assert sql.execute(query, (3,)).fetchall() == [(3,)] and "Executor: rows" in explained(sql, query, (3,))
        sql.execute_many("INSERT INTO t VALUES (?, ?)", [(i, i) for i in range(6, 9000)])
        assert "Executor: vector" in explained(sql, query, (3,))
        assert sql.execute(query, (3,)).fetchall() == [(3,)]
        sql.execute("CREATE INDEX t_b ON t (b)")
        assert "index t_b of t" in explained(sql, query, (3,))
        assert sql.execute(query, (3,)).fetchall() == [(3,)]
        sql.execute("DELETE FROM t WHERE b > 100")
        sql.execute("DROP INDEX t_b")
        assert "scan of t" in explained(sql, query, (3,))
        sql.session.close()


def test_figures_of_a_table(shop: SqlSession) -> None:
    table = shop.session.catalog.find_table("main", "public", "orders")
    assert isinstance(table, Table)
    known = shop.session.engine.figures.of(table)
    assert known.row_count == 3000
    total, state, day = (known.column(number) for number in (3, 4, 5))
    assert total is not None and state is not None and day is not None
    assert 350 <= total.distinct_count <= 650 and dict(state.most_common)["done"] == pytest.approx(8 / 9, abs=0.05)
    assert 55 <= day.distinct_count <= 65
    assert known.column(1).distinct_count == 3000            # type: ignore[union-attr]
    assert known is shop.session.engine.figures.of(table)


def test_figures_of_a_large_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "COUNTED_ROWS", 500)
    with phantomdb.open("/db3", file_system=MemoryFileSystem(), durability="none") as db:
        sql = SqlSession(db.session())
        for name, key in (("t", "i, i % 10"), ("u", "'k' || lpad(i::text, 6, '0'), i % 10"), ("e", "i, 1")):
            sql.execute(f"CREATE TABLE {name} (a {'text' if name == 'u' else 'bigint'} PRIMARY KEY, b integer)")
            if name != "e":
                sql.execute(f"INSERT INTO {name} SELECT {key} FROM generate_series(1, 20000) AS g(i)")
        for name, low, high in (("t", 18_000, 22_000), ("u", 2_000, 200_000), ("e", 0, 0)):
            table = sql.session.catalog.find_table("main", "public", name)
            assert isinstance(table, Table)
            known = sql.session.engine.figures.of(table)
            assert low <= known.row_count <= high
            if high:
                assert known.column(2).distinct_count == 10  # type: ignore[union-attr]
        sql.session.close()


def test_a_program_is_kept_and_runs_side_by_side(shop: SqlSession) -> None:
    query = ("SELECT c.name, count(*) FROM customer c JOIN orders o ON o.customer_id = c.id WHERE c.id = ? "
             "GROUP BY c.name")
    bound = shop.bind(shop._plans.statements(query)[0], (5,))
    assert isinstance(bound.fast, fast_queries.FastQuery)
    for _ in range(3):
        assert shop.execute(query, (5,)).fetchall() == [("Name 5", 5)]
    kept = shop.session.engine.prepared.of(bound.statement, shop.session.catalog)               # type: ignore[arg-type]
    plan = kept.row_plan()
    assert plan is not None and len(plan._idle) == 1
    failures: list[Any] = []

    def work(number: int) -> None:
        sql = SqlSession(shop.session._database.session())
        for _ in range(200):
            if sql.execute(query, (number,)).fetchall() != [(f"Name {number}", 5)]:
                failures.append(number)
        sql.session.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("query", [
    "SELECT sum(x.total + y.total) FROM orders x, orders y WHERE y.id > x.id",
    "SELECT count(*) FROM customer c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.total > c.id + 5000)"])
def test_it_can_be_stopped(shop: SqlSession, query: str) -> None:
    shop.execute("SET phantomdb.executor = 'row'")
    try:
        shop.execute("SET statement_timeout = '50ms'")
        with pytest.raises(StatementTimeout):
            shop.execute(query)
        shop.execute("SET statement_timeout = 0")
        timer = threading.Timer(0.2, shop.session.interrupt)
        timer.start()
        with pytest.raises(StatementCancelled):
            shop.execute(query)
        timer.join()
        assert shop.execute("SELECT name FROM customer WHERE id = 1").scalar() == "Name 1"
    finally:
        shop.execute("SET statement_timeout = 0")
        shop.execute("SET phantomdb.executor = 'auto'")


def test_changes_of_rows_that_a_query_finds(shop: SqlSession) -> None:
    with phantomdb.open("/db4", file_system=MemoryFileSystem(), durability="none") as db:
        sql = SqlSession(db.session())
        sql.execute("CREATE TABLE t (a integer PRIMARY KEY, b integer NOT NULL, c text, CHECK (b < 1000))")
        sql.execute("CREATE INDEX t_b ON t (b)")
        sql.execute("CREATE TABLE u (a bigint PRIMARY KEY, c text)")
        sql.execute("INSERT INTO t SELECT i, i % 10, 'c' || i FROM generate_series(1, 100) AS g(i)")
        insert, update, delete = (
            "INSERT INTO u SELECT a, c FROM t WHERE b = ?", "UPDATE t SET b = b + ?, c = 'new' WHERE b = ?",
            "DELETE FROM t WHERE b = ?")
        for text, given in ((insert, (1,)), (update, (100, 2)), (delete, (3,))):
            bound = sql.bind(sql._plans.statements(text)[0], given)
            assert isinstance(bound.fast, fast_queries.RowChange)
            sql.execute(text, given)                         # learned
        assert sql.execute(insert, (4,)).row_count == 10 and sql.execute(update, (100, 5)).row_count == 10
        assert sql.execute(delete, (6,)).row_count == 10 and sql.execute(delete, (6,)).row_count == 0
        with pytest.raises(phantomdb.core.query.errors.CheckViolation):
            sql.execute(update, (5000, 7))
        with pytest.raises(phantomdb.core.query.errors.UniqueViolation):
            sql.execute(insert, (4,))
        assert sql.execute("SELECT count(*), sum(b) FROM t").fetchall() == [(80, sum(
            10 * b for b in (0, 1, 4, 7, 8, 9)) + 10 * 102 + 10 * 105)]
        assert sql.execute("SELECT count(*) FROM t WHERE c = 'new'").scalar() == 20
        assert sql.execute("SELECT count(*) FROM u").scalar() == 20
        sql.execute("BEGIN")
        assert sql.execute(update, (1, 8)).row_count == 10 and sql.execute(update, (1, 9)).row_count == 20
        sql.execute("ROLLBACK")
        assert sql.execute("SELECT count(*) FROM t WHERE b = 9").scalar() == 10
        sql.session.close()
