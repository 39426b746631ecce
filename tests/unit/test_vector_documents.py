"""Documents in the vector executor: as bytes, in their order, grouped as jsonb compares; fields of flexible tables."""
from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql_tools import sql_database

from phantomdb.core._ext.document import encode
from phantomdb.core.query.errors import FeatureNotSupported
from phantomdb.core.query.functions import registry
from phantomdb.core.query.order_bytes import any_bytes, json_bytes, order_bytes
from phantomdb.core.query.ordering import any_key, json_key, sort_key
from phantomdb.core.query.vector_documents import on_bytes
from phantomdb.core.values import JSON, JSON_NULL, TEXT, Interval, array
from phantomdb.frontends.sql.frontend import SqlSession

NUMBERS = st.integers(-10**20, 10**20) | st.decimals(-1000, 1000, places=3) | st.sampled_from(
    [Decimal("1.0"), Decimal("1.00"), 1, 0, Decimal("-0"), Decimal("1e30")])
TEXTS = st.text(alphabet="ab\0é\U0001f600", max_size=4)
DOCUMENTS = st.recursive(st.none() | st.booleans() | NUMBERS | TEXTS, lambda inner: st.lists(inner, max_size=3)
                         | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8)
MOMENTS = (st.datetimes() | st.dates() | st.times() | st.uuids() | st.binary(max_size=3)
           | st.datetimes(timezones=st.just(datetime.UTC)))


def compared(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


@given(DOCUMENTS, DOCUMENTS)
def test_bytes_of_jsonb_are_in_its_order(left: Any, right: Any) -> None:
    for a, b in ((left, right), ([left], [left, right]), ({"a": left}, {"a": right})):
        assert compared(json_bytes(a), json_bytes(b)) == compared(json_key(a), json_key(b))


@given(DOCUMENTS | MOMENTS, DOCUMENTS | MOMENTS)
def test_bytes_of_fields_are_in_their_order(left: Any, right: Any) -> None:
    assert compared(any_bytes(left), any_bytes(right)) == compared(any_key(left), any_key(right))


def test_arrays_of_documents() -> None:
    place, key = order_bytes(array(JSON)), sort_key(array(JSON))
    assert place is not None and order_bytes(TEXT) is None and order_bytes(array(TEXT)) is None
    assert place([1, None]) == [json_bytes(1), None]
    assert compared(place([1]), place([2])) == compared(key([1]), key([2]))


@given(DOCUMENTS, TEXTS)
def test_fields_are_read_from_bytes_as_from_documents(document: Any, name: str) -> None:
    for operator in ("->", "->>"):
        resolved = registry.resolve(operator, (JSON, TEXT))
        of_bytes = on_bytes(resolved)
        assert of_bytes is not None
        expected = resolved.overload.python(JSON_NULL if document is None else document, name)
        if operator == "->" and expected is not None:
            expected = encode(None if expected is JSON_NULL else expected)
        assert of_bytes(encode(document), name) == expected


# -------------------------------------------------------------------- in SQL

@pytest.fixture(scope="module")
def session() -> Iterator[SqlSession]:
    with sql_database("CREATE TABLE doc (id int PRIMARY KEY, j jsonb); CREATE COLLECTION c") as sql:
        for number, text in enumerate(['{"a": 1, "bc": [1, 2]}', '{"bc": [1.0, 2.00], "a": 1.0}', "1", "1.0", '"1"',
                                       "null", "[]", "{}", '{"a": null}', None]):
            sql.execute("INSERT INTO doc VALUES (?, ?::jsonb)", (number, text))
        moment = datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC)
        for key, fields in [(1, {"a": 1, "d": "x"}), ("two", {"a": Decimal("1.0"), "d": "y"}),
                            (3, {"a": "1", "d": "x"}), (4, {"d": None}), (5, {"a": {"k": [1, 2]}, "d": "x"}),
                            (moment, {"a": moment}),
                            (UUID(int=7), {"a": b"\1\2", "d": Interval(1, 2, 3)})]:
            sql.execute("INSERT INTO c (_id, _fields) VALUES (?, ?)", (key, fields))
        yield sql


def by(session: SqlSession, executor: Any, text: str) -> list[Any]:
    session.session.only_executor = executor
    try:
        return session.execute(text).fetchall()
    finally:
        session.session.only_executor = None


def shown(rows: list[Any]) -> list[str]:
    return sorted(repr(row) for row in rows)


@pytest.mark.parametrize("text", [
    "SELECT * FROM c ORDER BY _id", "SELECT a FROM c WHERE d = 'x'", "SELECT _id FROM c WHERE a = 1",
    "SELECT count(*) FROM c GROUP BY a", "SELECT count(DISTINCT a), count(DISTINCT d) FROM c",
    "SELECT x._id, y._id FROM c x JOIN c y ON x.a = y.a", "SELECT _id FROM c WHERE a IN (1, 5)",
    "SELECT _id FROM c WHERE a > 0 ORDER BY a DESC, _id", "SELECT a.k FROM c", "SELECT _id FROM c WHERE a IS NULL",
    "SELECT id FROM doc WHERE j = '{\"bc\": [1, 2], \"a\": 1}'::jsonb ORDER BY id", "SELECT id FROM doc ORDER BY j, id",
    "SELECT id FROM doc ORDER BY j DESC NULLS LAST, id", "SELECT count(*) FROM doc GROUP BY j",
    "SELECT j->>'a', j->'bc'->0, j ? 'a', jsonb_typeof(j) FROM doc",
    "SELECT x.id, y.id FROM doc x JOIN doc y ON x.j = y.j", "SELECT id FROM doc WHERE j IS DISTINCT FROM '1'::jsonb",
])
def test_both_executors_agree(session: SqlSession, text: str) -> None:
    assert shown(by(session, "vector", text)) == shown(by(session, "row", text))
    if "ORDER BY" in text:
        assert by(session, "vector", text) == by(session, "row", text)


@pytest.mark.parametrize(("text", "count"), [
    ("SELECT DISTINCT j FROM doc", 8), ("SELECT count(DISTINCT j) FROM doc", 1), ("SELECT j FROM doc GROUP BY j", 8),
    ("SELECT j FROM doc UNION SELECT j FROM doc", 8), ("SELECT j FROM doc INTERSECT SELECT '1.00'::jsonb", 1),
    ("SELECT j FROM doc EXCEPT SELECT '1.00'::jsonb", 7), ("SELECT DISTINCT ON (j) id FROM doc ORDER BY j, id", 8),
    ("SELECT j, id, count(*) FROM doc GROUP BY GROUPING SETS ((j), (id), ())", 19),
    ("SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY j ORDER BY id) AS n FROM doc) s WHERE n = 1", 8),
])
def test_equal_documents_are_one(session: SqlSession, text: str, count: int) -> None:
    assert len(by(session, "vector", text)) == count


def test_what_is_not_supported_says_so(session: SqlSession) -> None:
    for text in ("SELECT json_agg(DISTINCT j) FROM doc", "SELECT j FROM doc EXCEPT ALL SELECT j FROM doc"):
        with pytest.raises(FeatureNotSupported):
            by(session, "vector", text)


def test_users_get_json_text_in_arrow(session: SqlSession) -> None:
    executors: tuple[Any, ...] = ("row", "vector")
    for executor in executors:
        session.session.only_executor = executor
        found = session.execute("SELECT j FROM doc WHERE id IN (1, 2, 9) ORDER BY id").arrow()
        assert found.column(0).to_pylist() == ['{"a": 1.0, "bc": [1.0, 2.00]}', "1", None]
        assert str(found.schema.types[0]) == "string"
    session.session.only_executor = None
