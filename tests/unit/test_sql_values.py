"""Values that have a syntax of their own: rows, whole rows, fields of collections, subscripts, `?` of jsonb, TRIM."""
from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sql_tools import sql_database

from phantomdb.core.query import errors as e
from phantomdb.core.query.errors import QueryError
from phantomdb.frontends.sql.frontend import SqlSession

SETUP = """
CREATE TABLE j (id integer PRIMARY KEY, data jsonb, a integer[], t text);
INSERT INTO j VALUES (1, '{"a": 1, "b": {"c": [2, 3]}}', '{1,2,3}', 'x'), (2, NULL, NULL, NULL);
CREATE COLLECTION c;
INSERT INTO c (_id, _fields) VALUES (1, '{"name": "a", "n": {"b": 2}, "tags": ["x", "y"], "age": 30}'),
                                    (2, '{"name": "b", "age": 4.5}');
"""


@pytest.fixture(scope="module")
def sql() -> Iterator[SqlSession]:
    with sql_database(SETUP) as session:
        yield session


@pytest.mark.parametrize(("text", "parameters", "expected"), [
    # `?` is an operator behind an operand, and a parameter elsewhere
    ("SELECT data ? 'a', j.data ? ?, data -> 'b' ? 'c', data -> 'b' ? ? FROM j WHERE id = ?", ["a", "c", 1],
     (True, True, True, True)),
    ("SELECT ? ? 'a', ? ? ?", [{"a": 1}, {"b": 1}, "x"], (True, False)),
    ("SELECT data ? $1, data ?| $2, data ?& $2 FROM j WHERE id = 1", ["a", ["a", "z"]], (True, True, False)),
    ("SELECT data ?| ?, data ?& array[?, ?] FROM j WHERE id = 1", [["z", "b"], "a", "b"], (True, True)),
    ("SELECT CASE WHEN ? THEN data END ? 'a' FROM j WHERE id IN (?, ?) AND id BETWEEN ? AND ? LIMIT ?",
     [True, 1, 7, 0, 1, 5], (True,)),
    ("SELECT jsonb_exists(data, 'a'), jsonb_exists_any(data, '{q}'), jsonb_exists_all(data, '{b}') FROM j LIMIT 1", [],
     (True, False, True)),
    # subscripts
    ("SELECT data['a'], data['b']['c'][1], data[?], data['b'][?]['c'] FROM j WHERE id = 1", ["a", "x"],
     (1, 3, 1, None)),
    ("SELECT a[id], a[id + 1], a[1:2], a[?], a[?:?], (array[4, 5])[2] FROM j WHERE id = 1", [2, 2, 3],
     (1, 2, [1, 2], 2, [2, 3], 5)),
    # TRIM
    ("SELECT trim(both from '  a '), trim(both 'x' from 'xax'), trim(from ' a'), trim(both from 'xax', 'x')", [],
     ("a", "a", "a", "a")),
    ("SELECT trim('xax', 'x'), trim(leading from '  a'), trim(trailing 'x' from 'axx'), trim(? from ?)", ["y", "yay"],
     ("a", "a", "a", "a")),
    # rows
    ("SELECT (1, 2) = (1, 2), (1, 2) < (1, 3), (1, 2) IN ((1, 2), (3, 4)), row(1, 2) <> row(1, 3)", [],
     (True, True, True, True)),
    ("SELECT (1, 2) = (SELECT 1, 2), (1, 2) < (SELECT 1, 1), (1, NULL) = (SELECT 1, 2), (1, 2) = (SELECT 1, 2 LIMIT 0)",
     [], (True, False, None, None)),
    ("SELECT (1, 2) IN (SELECT 1, 2), (1, 2) NOT IN (SELECT 3, 4), (1, 2) = ANY (SELECT 1, 2)", [], (True, True, True)),
    ("SELECT (1, NULL) IS NULL, (NULL, NULL) IS NULL, (1, 2) IS NOT NULL, (1, NULL) IS DISTINCT FROM (1, NULL)", [],
     (False, True, True, False)),
    # whole rows
    ("SELECT count(j), count(*) FROM j", [], (2, 2)),
    ("SELECT count(b), count(*) FROM j LEFT JOIN j b ON b.id = j.id + 1", [], (1, 2)),
    ("SELECT x = y, x IS NOT DISTINCT FROM y, x IS NULL FROM j x, j y WHERE x.id = 1 AND y.id = 1", [],
     (True, True, False)),
    ("SELECT v = (1, 'a'), v IN ((2, 'b'), (1, 'a')), v < row(1, 'b') FROM (VALUES (1, 'a')) v", [],
     (True, True, True)),
    ("SELECT to_jsonb(v), row_to_json(row(1, 'x')), row_to_json(v) ->> 'column2' FROM (VALUES (1, 'a')) v", [],
     ({"column1": 1, "column2": "a"}, {"f1": 1, "f2": "x"}, "a")),
    ("SELECT jsonb_agg(v ORDER BY v.column1) FROM (VALUES (2), (1)) v", [], ([{"column1": 1}, {"column1": 2}],)),
    ("SELECT t FROM (VALUES (1)) t (t)", [], (1,)),          # the column of that name
    # fields of a collection
    ("SELECT name, age, n.b, c.name, c.n.b, nothing FROM c WHERE _id = 1", [], ("a", 30, 2, "a", 2, None)),
    ("SELECT tags[0], (n).b FROM c WHERE name = 'a'", [], ("x", 2)),
    ("SELECT name FROM c WHERE age > ? ORDER BY age", [10], ("a",)),
    ("SELECT name::text || '!' FROM c WHERE age < 5", [], ("b!",)),
    ("SELECT (SELECT max(t) FROM j WHERE j.id = c._id) FROM c WHERE n.b = 2", [], ("x",)),
    # numbers of JSON that need more than 64 bits
    ("SELECT d -> 'x', d ->> 'x' FROM (SELECT ?::jsonb AS d) q", ['{"x": 123456789012345678901234567890}'],
     (Decimal("123456789012345678901234567890"), "123456789012345678901234567890")),
    # types and settings
    ("SELECT pg_typeof('x'), pg_typeof(NULL), pg_typeof('x'::varchar(3)), pg_typeof('x'::char(3))", [],
     ("unknown", "unknown", "character varying", "character")),
    ("SELECT current_setting('default_table_access_method'), current_setting('search_path')", [], ("heap", "public")),
    ("SELECT current_setting('app.x', true)", [], (None,)),
    ("SELECT make_interval(days => 2, hours => 3)::text, make_interval(1, secs => 2.5)::text", [],
     ("2 days 03:00:00", "1 year 00:00:02.5")),
    ("SELECT to_char(interval '1 day 02:03:04', 'DD HH24:MI:SS'), to_char(interval '15 months', 'YYYY MM')", [],
     ("01 02:03:04", "0001 03")),
    ("SELECT public.j.id, j.id FROM public.j WHERE public.j.t = 'x' OFFSET (0) ROWS FETCH FIRST (1) ROWS ONLY", [],
     (1, 1)),
])
def test_values(sql: SqlSession, text: str, parameters: list[Any], expected: tuple[Any, ...]) -> None:
    assert sql.execute(text, parameters).fetchall() == [expected]


@pytest.mark.parametrize(("text", "sqlstate"), [
    ("SELECT (1, 2) = (1, 2, 3)", "42601"), ("SELECT (1, 2) = (SELECT 1)", "42601"), ("SELECT j FROM j", "0A000"),
    ("SELECT (1, 2) = (SELECT i, i FROM generate_series(1, 2) i)", "21000"), ("SELECT nothing.x FROM j", "42P01"),
    ("SELECT nothing FROM j", "42703"), ("SELECT name FROM c, c d", "42703"), ("SELECT (id).x FROM j", "0A000"),
    ("SELECT make_interval(days => 1, days => 2)", "42883"), ("SELECT lower(x => 'a')", "0A000"),
    ("SELECT make_interval(days => 1, 2)", "42601"), ("SELECT current_setting('nothing')", "42704"),
    ("SELECT set_config('server_version', '1', false)", "22023"),
])
def test_what_is_refused(sql: SqlSession, text: str, sqlstate: str) -> None:
    with pytest.raises(QueryError) as caught:
        sql.execute(text)
    assert caught.value.sqlstate == sqlstate


def test_set_config_lasts_for_the_session_or_the_transaction(sql: SqlSession) -> None:
    def now(name: str) -> Any:
        return sql.execute("SELECT current_setting($1, true)", [name]).scalar()

    assert sql.execute("SELECT set_config('app.one', 'a', false)").scalar() == "a"
    sql.execute("BEGIN")
    assert sql.execute("SELECT set_config('app.two', 'b', true)").scalar() == "b"
    assert (now("app.one"), now("app.two")) == ("a", "b")
    sql.execute("COMMIT")
    assert (now("app.one"), now("app.two")) == ("a", None)
    assert sql.execute("SELECT set_config('lock_timeout', '2000', false)").scalar() == "2s"


@pytest.mark.parametrize(("text", "zone"), [
    ("SET TIME ZONE -5", "Etc/GMT+5"), ("SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE", "Etc/GMT-2"),
    ("SET TIME ZONE 0", "UTC"), ("SET TIME ZONE 'Europe/Berlin'", "Europe/Berlin"), ("SET TIME ZONE DEFAULT", "UTC"),
    ("SET timezone TO '+3'", "Etc/GMT-3"), ("SET TIME ZONE LOCAL", "UTC")])
def test_time_zones(sql: SqlSession, text: str, zone: str) -> None:
    sql.execute(text)
    try:
        assert sql.execute("SHOW TIME ZONE").scalar() == zone
    finally:
        sql.execute("RESET TIME ZONE")


def test_a_zone_of_half_an_hour_needs_its_name(sql: SqlSession) -> None:
    with pytest.raises(e.FeatureNotSupported):
        sql.execute("SET TIME ZONE '05:30'")


def test_assignment_of_a_row(sql: SqlSession) -> None:
    sql.execute("BEGIN")
    sql.execute("UPDATE j SET (id, t) = (SELECT id + 10, 'q') WHERE id = 1")
    sql.execute("UPDATE j SET (t, a) = (SELECT o.t || 'x', array[9] FROM j o WHERE o.id = j.id) WHERE id = 11")
    sql.execute("UPDATE j SET (t, a) = row('r', NULL) WHERE id = 2")
    assert sql.execute("SELECT id, t, a FROM j ORDER BY id").fetchall() == [(2, "r", None), (11, "qx", [9])]
    sql.execute("ROLLBACK")


def test_included_columns_of_an_index(sql: SqlSession) -> None:
    sql.execute("CREATE INDEX j_t ON j (t) INCLUDE (id, a)")
    text = "SELECT pg_get_indexdef('j_t'::regclass), pg_get_indexdef('j_t'::regclass, 3, true)"
    assert sql.execute(text).fetchall() == [("CREATE INDEX j_t ON public.j USING btree (t) INCLUDE (id, a)", "a")]
    assert sql.execute("SELECT indnatts, indnkeyatts FROM pg_index WHERE indexrelid = 'j_t'::regclass").fetchall() == [
        (3, 1)]
    assert sql.execute("SELECT id FROM j WHERE t = 'x'").scalar() == 1
    with pytest.raises(e.UndefinedColumn):
        sql.execute("CREATE INDEX ON j (t) INCLUDE (nothing)")
    sql.execute("DROP INDEX j_t")
