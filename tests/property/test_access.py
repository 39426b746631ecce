"""Every access to a table gives the same rows: random rows, indexes of all kinds, random conditions and orders.

The row executor takes the cheapest access; here it is made to take each one that `candidates` offers, and the answer is
compared with that of the whole table read row by row. How often an index took part is counted: a condition that no
index serves proves nothing.
"""
from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import phantomdb
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query import access, plan, row_executor, row_scans
from phantomdb.core.query.optimizer import optimize
from phantomdb.frontends.sql.frontend import SqlSession

COLUMNS = ("a integer", "b text", "c numeric", "d double precision", "e char(4)", "f boolean", "g integer[]",
           "j jsonb", "k bigint NOT NULL")

# Few different values, so that conditions meet rows.
ints = st.one_of(st.none(), st.integers(0, 3))
texts = st.one_of(st.none(), st.sampled_from(["a", "A", "b", "5", "true", "[5]"]))
scalars: st.SearchStrategy[Any] = st.sampled_from([5, "5", "a", 2.5, True, None])
arrays: st.SearchStrategy[Any] = st.lists(scalars, max_size=2)
documents = st.one_of(st.none(), st.fixed_dictionaries({"x": st.one_of(scalars, arrays, st.just({"z": 5}))}, optional={
    "y": st.one_of(scalars, st.fixed_dictionaries({"z": st.one_of(scalars, arrays)}),
                   st.lists(st.fixed_dictionaries({"z": scalars}), max_size=2))}))
rows = st.lists(st.tuples(
    ints, texts, st.one_of(st.none(), st.sampled_from(["1", "1.0", "2.50", "-1"])),
    st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf")])),
    st.one_of(st.none(), st.sampled_from(["a", "a ", "b"])), st.one_of(st.none(), st.booleans()),
    st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(0, 2)), max_size=3)), documents,
    st.integers(0, 3)), min_size=12, max_size=25)


def quoted(value: Any) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


number = st.integers(0, 3).map(str)
word = texts.filter(lambda item: item is not None).map(quoted)
comparison = st.sampled_from(["=", "<", "<=", ">", ">=", "<>"])
document = scalars.filter(lambda item: item is not None).map(lambda item: quoted(json.dumps(item)))


def built(pattern: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda given: pattern.format(*given))


of_a = st.one_of(
    built("a {} {}", comparison, number), built("{} {} a", number, comparison),
    st.sampled_from(["a IS NULL", "a IS NOT NULL"]), built("a IN ({}, {}, NULL)", number, number),
    built("a = ANY (ARRAY[{}, {}])", number, number), built("a BETWEEN {} AND {}", number, number),
    built("a = (SELECT max(a) FROM t WHERE k = {})", number))
of_b = st.one_of(built("b {} {}", comparison, word), st.just("b IS NOT NULL"), built("b IN ({}, {})", word, word))
of_c = st.one_of(built("c {} {}", comparison, number), built("c = {}", st.sampled_from(["1.00", "2.5"])))
of_d = built("d {} {}", comparison, st.sampled_from(["0", "1.5", "'NaN'::float8"]))
of_e = built("e {} {}", comparison, st.sampled_from(["'a'", "'a  '", "'b'", "'a'::char(4)"]))
of_f = st.sampled_from(["f", "NOT f", "f = true", "f"])
of_g = st.one_of(built("{} = ANY (g)", number), built("g @> ARRAY[{}]", number),
                 built("g @> ARRAY[{}, {}]", number, number), built("g && ARRAY[{}, {}]", number, number),
                 built("g && ARRAY[{}, {}, 1, 2]", number, number), st.just("g @> '{}'::integer[]"))
of_k = st.one_of(built("k {} {}", comparison, number), built("k IN ({}, {})", number, number))
of_x = st.one_of(
    built("j->>'x' = {}", word), built("j->>'x' IN ({}, {})", word, word), built("j->'x' = {}::jsonb", document),
    st.lists(scalars, max_size=2).map(lambda items: f"j->'x' = {quoted(json.dumps(items))}::jsonb"),
    st.sampled_from(["5", "2.5", "true", "[5]", '["a", 5]']).map(lambda text: f"j->>'x' = '{text}'"),
    *(scalars.map(lambda item, shape=shape: "j @> " + quoted(json.dumps(shape(item))))      # type: ignore[misc]
      for shape in (lambda item: {"x": item}, lambda item: {"x": [item]}, lambda item: {"x": {"z": item}})),
    scalars.map(lambda item: f"j->'x' @> {quoted(json.dumps([item]))}"))
of_z = st.one_of(built("j->'y'->>'z' = {}", word), built("j->'y'->'z' = {}::jsonb", document),
                 scalars.map(lambda item: f"j @> {quoted(json.dumps({'y': {'z': item}}))}"))

# Each index with conditions that it may serve.
INDEXES: dict[str, tuple[st.SearchStrategy[str], ...]] = {
    "(a)": (of_a,), "(a DESC)": (of_a,), "(a, b)": (of_a, of_b), "(b, a DESC)": (of_b, of_a), "(c)": (of_c,),
    "(d)": (of_d,), "(e)": (of_e,), "(f, a)": (of_f, of_a), "(k)": (of_k,), "(k DESC, a)": (of_k, of_a),
    "(a NULLS FIRST)": (of_a,), "(k, a)": (of_k, of_a), "(e, a)": (of_e, of_a),
    "(lower(b))": (built("lower(b) = {}", word),), "((a + 1))": (built("a + 1 {} {}", comparison, number),),
    "((j->>'x'))": (of_x,), "(abs(a), b)": (built("abs(a) = {}", number), of_b), "(j.x)": (of_x,), "(j.y.z)": (of_z,),
    "(g) WITH (multi_key)": (of_g,), "(j.x) WITH (multi_key)": (of_x,), "(a, g) WITH (multi_key)": (of_a, of_g),
    "(b) WHERE a > 2": (of_b, built("a {} {}", st.sampled_from([">", ">=", "="]), number)),
    "(a) WHERE b IS NOT NULL": (of_a, of_b), "(c) WHERE f": (of_c, of_f),
    "(k) WHERE a = 1 AND f": (of_k, st.just("a = 1"), of_f),
    "(b) WHERE a IN (1, 2)": (of_b, st.sampled_from(["a IN (1, 2)", "a = 1", "a IN (1, 2, 3)"]))}
anything = st.one_of(of_a, of_b, of_c, of_d, of_e, of_f, of_g, of_k, of_x, of_z)

keys = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "k", "e"]), st.sampled_from(
    ["", " DESC", " NULLS FIRST", " DESC NULLS LAST"])), max_size=2, unique_by=lambda item: item[0])


@contextmanager
def only(place: int, used: Counter[str]) -> Iterator[list[int]]:
    """Of the accesses there are only the one at `place`, -1: the whole table."""
    original = access.candidates
    counts: list[int] = []

    def candidates(table: Any, scan: Any, given: Any, figures: Any = None) -> list[access.Access]:
        found = original(table, scan, given, figures)
        counts.append(len(found))
        if place < 0:
            return [access.Access(rest=list(given))]
        taken = found[min(place, len(found) - 1)]
        used["index" if taken.index is not None and not taken.is_everything else "other"] += 1
        return [taken]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_scans, "candidates", candidates)
        yield counts


def compare(sql: SqlSession, text: str, is_ordered: bool, used: Counter[str]) -> None:
    note(text)
    query = sql.bind(sql._plans.statements(text)[0]).statement
    assert isinstance(query, plan.Query)
    optimized = optimize(query)

    def answer(place: int) -> tuple[list[Any], int]:
        with only(place, used) as counts:
            made = row_executor.prepare(optimized, sql.session.catalog, sql.session.engine, is_forced=True)
        assert made is not None
        found = sql.session.run(lambda rows: made.run(rows.transaction.core, (), rows=rows), writes=False)
        shown = [tuple(map(repr, row)) for row in found]
        return (shown if is_ordered else sorted(shown)), max(counts)

    expected, count = answer(-1)
    for place in range(count):
        found, _ = answer(place)
        assert found == expected, (place, text)
    used["queries"] += 1


def check(count: int) -> Counter[str]:
    used: Counter[str] = Counter()

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows, st.lists(st.sampled_from(sorted(INDEXES)), min_size=1, max_size=4, unique=True), st.data())
    def run(given_rows: Any, indexes: list[str], data: st.DataObject) -> None:
        with phantomdb.open("/db", file_system=MemoryFileSystem(), durability="none") as db:
            sql = SqlSession(db.session())
            sql.execute(f"CREATE TABLE t (id integer PRIMARY KEY, {', '.join(COLUMNS)})")
            values = [(number, *row[:2], row[2], *row[3:6], row[6], None if row[7] is None else json.dumps(row[7]),
                       row[8]) for number, row in enumerate(given_rows)]
            sql.execute_many("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?::jsonb, ?)", values)
            for place, index in enumerate(indexes):
                sql.execute(f"CREATE INDEX i{place} ON t {index}")
            for index in [*indexes, *indexes, *indexes]:
                parts = [data.draw(part) for part in INDEXES[index]]
                parts += data.draw(st.lists(anything, max_size=1))
                order, limit = data.draw(keys), data.draw(st.integers(1, 5))
                where = " AND ".join(f"({part})" for part in parts)
                own = ", ".join(["id", *re.findall(r"\b[a-fk]\b", index.partition(" WHERE ")[0])])
                compare(sql, f"SELECT * FROM t WHERE {where}", False, used)
                compare(sql, f"SELECT {own} FROM t WHERE {where}", False, used)
                listed = ", ".join([*(name + how for name, how in order), "id"])
                compare(sql, f"SELECT id, a, k FROM t WHERE {where} ORDER BY {listed} LIMIT {limit}", True, used)
                edge = data.draw(st.sampled_from(["max(a)", "min(a)", "min(k)", "max(b)", "count(*), max(k)"]))
                compare(sql, f"SELECT {edge} FROM t WHERE {where}", True, used)
            sql.session.close()

    run()
    return used


def test_every_access_gives_the_same_rows() -> None:
    used = check(15)
    assert used["index"] > used["queries"] / 4


@pytest.mark.long
def test_every_access_gives_the_same_rows_many_times() -> None:
    check(3000)
