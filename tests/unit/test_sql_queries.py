"""Queries of SQL: each clause once, with the answer PostgreSQL gives, and each error with its SQLSTATE and position."""
from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sql_tools import sql_database

from phantomdb.core.query.errors import QueryError
from phantomdb.frontends.sql.frontend import SqlSession


@pytest.fixture(scope="module")
def sql() -> Iterator[SqlSession]:
    with sql_database() as session:
        yield session


QUERIES: list[tuple[str, list[tuple[Any, ...]]]] = [
    # FROM and joins
    ("SELECT 1 + 1, 'x'", [(2, "x")]),
    ("SELECT * FROM item WHERE id = 7", []),
    ("SELECT id, name FROM item WHERE id >= 2 ORDER BY id LIMIT 1", [(2, "two")]),
    ("SELECT i.name, j.name FROM item i JOIN item j ON j.id = i.id WHERE i.id = 1", [("one", "one")]),
    ("SELECT a.id, b.id FROM item a LEFT JOIN item b ON b.id = a.id + 1 ORDER BY 1", [(1, 2), (2, 3), (3, None)]),
    ("SELECT id, a.name, b.price FROM item a FULL JOIN item b USING (id) ORDER BY id",
     [(1, "one", 1.5), (2, "two", 3.5), (3, "three", None)]),
    ("SELECT count(*) FROM item a CROSS JOIN item b", [(9,)]),
    ("SELECT count(*) FROM (item a CROSS JOIN item b) JOIN item c ON c.id = a.id", [(9,)]),
    ("SELECT count(*) FROM item a NATURAL JOIN item b", [(2,)]),              # NULL = NULL is not true
    ("SELECT x.id, y FROM item x, LATERAL (SELECT z.id AS y FROM item z WHERE z.id > x.id ORDER BY 1 LIMIT 1) q",
     [(1, 2), (2, 3)]),
    ("SELECT a, b FROM (VALUES (1, 'x'), (2, 'y')) v (a, b) WHERE b <> 'x'", [(2, "y")]),
    ("SELECT * FROM generate_series(1, 3) g (v)", [(1,), (2,), (3,)]),
    ("SELECT x, n FROM unnest(array[5, 6]) WITH ORDINALITY u (x, n)", [(5, 1), (6, 2)]),
    ("SELECT id, unnest(array[1, 2]) FROM item WHERE id < 3 ORDER BY 1, 2", [(1, 1), (1, 2), (2, 1), (2, 2)]),
    # subqueries
    ("SELECT id, (SELECT max(u.id) FROM item u WHERE u.id < item.id) FROM item ORDER BY 1",
     [(1, None), (2, 1), (3, 2)]),
    ("SELECT EXISTS (SELECT 1 FROM item WHERE id > 5), 3 IN (SELECT id FROM item), 1 NOT IN (1, 2, NULL)",
     [(False, True, False)]),
    ("SELECT id FROM item WHERE id = ANY (array[1, 3]) ORDER BY 1", [(1,), (3,)]),
    ("SELECT id FROM item WHERE (id, grp) IN ((1, 10), (2, 99))", [(1,)]),
    ("SELECT id FROM item WHERE price > ALL (SELECT price FROM item WHERE id < 2)", [(2,)]),
    ("SELECT array(SELECT id FROM item ORDER BY id)", [([1, 2, 3],)]),
    ("SELECT count(*) FROM (SELECT id FROM item LIMIT 2) x", [(2,)]),
    ("SELECT sum(id) FROM (SELECT id FROM item ORDER BY id) x", [(6,)]),
    ("SELECT grp + 1, count(*) FROM (SELECT * FROM item ORDER BY id LIMIT 2) x GROUP BY grp + 1", [(11, 2)]),
    ("SELECT DISTINCT grp FROM (SELECT * FROM item ORDER BY id DESC LIMIT 1) x", [(20,)]),
    ("SELECT id, count(*) OVER () FROM (SELECT * FROM item ORDER BY id LIMIT 2) x ORDER BY 1", [(1, 2), (2, 2)]),
    # grouping
    ("SELECT grp, count(*), sum(price) FROM item GROUP BY grp ORDER BY 1", [(10, 2, 5.0), (20, 1, None)]),
    ("SELECT grp + 1 AS g, count(*) FROM item GROUP BY g HAVING count(*) > 1", [(11, 2)]),
    ("SELECT item.id, item.name, count(*) FROM item GROUP BY item.id ORDER BY 1",
     [(1, "one", 1), (2, "two", 1), (3, "three", 1)]),
    ("SELECT grp, count(*), grouping(grp) FROM item GROUP BY GROUPING SETS ((grp), ()) ORDER BY 1 NULLS FIRST",
     [(None, 3, 1), (10, 2, 0), (20, 1, 0)]),
    ("SELECT grp, id, count(*) FROM item GROUP BY ROLLUP (grp, id) ORDER BY 1, 2",
     [(10, 1, 1), (10, 2, 1), (10, None, 2), (20, 3, 1), (20, None, 1), (None, None, 3)]),
    ("SELECT count(*) FILTER (WHERE id > 1), string_agg(name, ',' ORDER BY id DESC) FROM item", [(2, "three,two,one")]),
    ("SELECT count(DISTINCT grp), percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM item", [(2, 2.0)]),
    ("SELECT sum(id) FROM item WHERE id > 99", [(None,)]),
    ("SELECT count(*) FROM (SELECT max(id) FROM item) x", [(1,)]),            # one row, though nobody reads it
    ("SELECT count(*) FROM (SELECT 1 FROM item GROUP BY GROUPING SETS ((), ())) x", [(2,)]),
    ("SELECT grp FROM item GROUP BY GROUPING SETS ((grp), (grp)) ORDER BY 1", [(10,), (10,), (20,), (20,)]),
    # windows
    ("SELECT id, rank() OVER (PARTITION BY grp ORDER BY id DESC), sum(id) OVER w FROM item WINDOW w AS (ORDER BY id)",
     [(1, 2, 1), (2, 1, 3), (3, 1, 6)]),
    ("SELECT sum(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM item ORDER BY id",
     [(1,), (3,), (5,)]),
    ("SELECT grp, sum(count(*)) OVER (ORDER BY grp) FROM item GROUP BY grp ORDER BY 1", [(10, 2), (20, 3)]),
    # WITH, set operations
    ("WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n), count(*) FROM r",
     [(15, 5)]),
    ("WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) SELECT * FROM a, b", [(1, 2)]),
    ("SELECT 1 UNION SELECT 2 UNION ALL SELECT 2 ORDER BY 1", [(1,), (2,), (2,)]),
    ("SELECT 1 EXCEPT SELECT 1", []),
    ("(SELECT id FROM item ORDER BY id DESC LIMIT 1) UNION ALL SELECT 0 ORDER BY 1", [(0,), (3,)]),
    ("SELECT NULL UNION SELECT 1 ORDER BY 1", [(1,), (None,)]),
    ("VALUES (1, 'a'), (2, 'b') ORDER BY 1 DESC LIMIT 1", [(2, "b")]),
    # DISTINCT, ORDER BY, LIMIT
    ("SELECT DISTINCT grp FROM item ORDER BY grp", [(10,), (20,)]),
    ("SELECT DISTINCT ON (grp) grp, id FROM item ORDER BY grp, id DESC", [(10, 2), (20, 3)]),
    ("SELECT id FROM item ORDER BY price DESC NULLS LAST, id LIMIT 2 OFFSET 1", [(1,), (3,)]),
    ("SELECT id FROM item ORDER BY price DESC", [(3,), (2,), (1,)]),          # NULLs first when descending
    ("SELECT id FROM item ORDER BY -id", [(3,), (2,), (1,)]),
    ("SELECT grp, false, 'a' FROM item ORDER BY 2, 3, 1", [(10, False, "a"), (10, False, "a"), (20, False, "a")]),
    ("SELECT x FROM (SELECT DISTINCT ON (grp) name AS x, price AS y FROM item ORDER BY grp, id) z",
     [("one",), ("three",)]),
    # values DuckDB knows otherwise than we do
    ("SELECT v FROM (VALUES (array[1]), (array[]::int[]), (NULL)) t (v) WHERE v BETWEEN array[]::int[] AND array[0, 9]",
     [([],)]),
    ("SELECT coalesce(u, '00000000-0000-0000-0000-000000000001')::text FROM (VALUES (NULL::uuid)) t (u)",
     [("00000000-0000-0000-0000-000000000001",)]),
    ("SELECT grp FROM item ORDER BY grp FETCH FIRST 1 ROW WITH TIES", [(10,), (10,)]),
    # expressions
    ("SELECT 7 / 2, -7 / 2, 7 % 3, 7.0 / 2", [(3, -3, 1, Decimal("3.5"))]),
    ("SELECT CASE WHEN id = 1 THEN 'one' ELSE 'many' END, coalesce(price, 0) FROM item ORDER BY id",
     [("one", 1.5), ("many", 3.5), ("many", 0.0)]),
    ("SELECT CASE grp WHEN 10 THEN 1 END FROM item ORDER BY id", [(1,), (1,), (None,)]),
    ("SELECT CASE WHEN false THEN 1 / 0 ELSE 2 END", [(2,)]),
    ("SELECT id FROM item WHERE name LIKE 't%' ORDER BY id", [(2,), (3,)]),
    ("SELECT 5 BETWEEN 1 AND 9, 5 BETWEEN SYMMETRIC 9 AND 1, NULL IS NULL, 1 IS DISTINCT FROM NULL",
     [(True, True, True, True)]),
    ("SELECT (1, 2) < (1, 3), (1, NULL) = (2, 1)", [(True, False)]),
    ("SELECT date '2020-01-31' + interval '1 month', extract(year FROM date '2020-02-03')",
     [(datetime.datetime(2020, 2, 29), Decimal(2020))]),
    ("SELECT '{\"a\": [1, {\"b\": \"c\"}]}'::jsonb -> 'a' -> 1 ->> 'b', (array[1, 2, 3])[2]", [("c", 2)]),
    ("SELECT 1::bigint + 2, '5'::int, cast(2.5 AS integer), 'x'::varchar(1)", [(3, 5, 3, "x")]),
    ("SELECT substring('hello' FROM 2 FOR 3), position('l' IN 'hello'), trim(LEADING 'x' FROM 'xxa')",
     [("ell", 3, "a")]),
]


@pytest.mark.parametrize("query, expected", QUERIES, ids=[query for query, _ in QUERIES])
def test_queries(sql: SqlSession, query: str, expected: list[tuple[Any, ...]]) -> None:
    rows = sql.execute(query).fetchall()
    assert (rows if "ORDER BY" in query else sorted(rows)) == expected


@pytest.mark.parametrize(("expression", "expected"), [
    ("CAST(NULL AS integer) + id / 0", None), ("(id / 0) * NULL::integer IS NULL", True),
    ("NULL::text || id / 0", None), ("NULL::integer = id / 0", None), ("abs(NULL::integer - id / 0)", None),
    ("(NULL::integer + id) * 1.5 * (id / 0)", None), ("coalesce(NULL::integer + id / 0, 5)", 5),
    ("concat(NULL::text, 'x')", "x"), ("NULL::integer IS DISTINCT FROM id", True), ("greatest(NULL::integer, 7)", 7)])
def test_a_function_of_null_computes_nothing_else(sql: SqlSession, expression: str, expected: Any) -> None:
    """PostgreSQL sees it before a row is read, so what would raise beside the NULL does not."""
    for end in ("WHERE id = 1", "ORDER BY 1 LIMIT 1", "GROUP BY id LIMIT 1"):
        assert sql.execute(f"SELECT {expression} FROM item {end}").fetchall() == [(expected,)]


@pytest.mark.parametrize("query, sqlstate, position", [
    ("SELECT nosuch FROM item", "42703", 8),
    ("SELECT * FROM nosuch", "42P01", 15),
    ("SELECT id FROM item a, item b", "42702", 8),
    ("SELECT 1 FROM item, item", "42712", 21),
    ("SELECT id FROM item WHERE ALL (SELECT price FROM item)", "0A000", 39),
    ("SELECT grp.false FROM item", "42P01", 8),
    ("SELECT id, count(*) FROM item", "42803", None),
    ("SELECT id FROM item WHERE count(*) > 1", "42803", 27),
    ("SELECT id FROM item WHERE row_number() OVER () > 1", "42P20", 27),
    ("SELECT nosuch(1)", "42883", 8),
    ("SELECT true + 1", "42883", None),
    ("SELECT id FROM item WHERE id", "42804", 27),
    ("SELECT CASE WHEN true THEN 1 ELSE date '2020-01-01' END", "42804", 28),
    ("SELECT cast('abc' AS integer)", "22P02", 13),
    ("SELECT 1 / 0", "22012", None),
    ("SELECT 2147483647 + 1", "22003", None),
    ("SELECT (SELECT id FROM item)", "21000", None),
    ("SELECT 1 UNION SELECT 1, 2", "42601", None),
    ("SELECT 1 FROM", "42601", None),
    ("SELECT 'abc", "42601", None),
    ("SELECT id FROM item ORDER BY 4", "42P10", 30),
    ("SELECT DISTINCT id FROM item ORDER BY price", "42P10", None),
    ("SELECT $1", "42P02", None),
    ("SELECT ARRAY[]", "42P18", None),
    ("SELECT * FROM other.information_schema.tables", "0A000", None),
    ("SELECT * FROM item TABLESAMPLE BERNOULLI (10)", "0A000", None),
    ("SELECT " + "(" * 500 + "1" + ")" * 500, "54001", None),
])
def test_errors(sql: SqlSession, query: str, sqlstate: str, position: int | None) -> None:
    with pytest.raises(QueryError) as caught:
        sql.execute(query)
    assert caught.value.sqlstate == sqlstate
    if position is not None:
        assert caught.value.position == position


@pytest.mark.parametrize("query, parameters, expected", [
    ("SELECT name FROM item WHERE id = ?", [2], "two"),
    ("SELECT name FROM item WHERE id = $1", [2], "two"),
    ("SELECT name FROM item WHERE id = :1 OR id = :1", [2], "two"),
    ("SELECT name FROM item WHERE id = :key", {"key": 2}, "two"),
    ("SELECT name FROM item WHERE id = ?", ["2"], "two"),
    ("SELECT ?::text", [None], None),
    ("SELECT ? || ?", ["a", "b"], "ab"),
    ("SELECT ? + 1", [1], 2),
])
def test_parameters(sql: SqlSession, query: str, parameters: Any, expected: Any) -> None:
    assert sql.execute(query, parameters).scalar() == expected


def test_a_parameter_is_never_part_of_the_text(sql: SqlSession) -> None:
    evil = "'; DROP TABLE item; --"
    assert sql.execute("SELECT ?", [evil]).scalar() == evil
    assert sql.execute("SELECT count(*) FROM item WHERE name = ?", [evil]).scalar() == 0
    assert sql.execute("SELECT count(*) FROM item").scalar() == 3


def test_output_names(sql: SqlSession) -> None:
    result = sql.execute("SELECT id, id + 1, count(*) OVER (), 'a'::text, (SELECT 1 AS x), CASE WHEN true THEN 1 END, "
                         "id AS \"Mixed\", coalesce(id, 1) FROM item")
    assert result.names == ("id", "?column?", "count", "text", "x", "case", "Mixed", "coalesce")
