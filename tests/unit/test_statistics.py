"""ANALYZE: what is known of a table afterwards."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import phantomdb
from phantomdb.core.catalog.objects import Table, TableStatistics
from phantomdb.core.query import errors as e
from phantomdb.core.query import figures, statistics


@pytest.fixture
def database(tmp_path: Path) -> Iterator[phantomdb.Database]:
    with phantomdb.open(tmp_path / "db", durability="none") as made:
        made.sql("CREATE TABLE t (a int PRIMARY KEY, b text, c numeric, d date, j jsonb, u uuid, n int)")
        yield made


def fill(database: phantomdb.Database, count: int) -> None:
    database.sql("INSERT INTO t SELECT i, 'n' || i % 4, i / 2.0, CASE WHEN i % 4 = 0 THEN date '2024-01-01' + i END, "
                 "'{\"x\": 1}', gen_random_uuid(), NULL FROM generate_series(1, ?) AS g(i)", (count,))


def found(database: phantomdb.Database, name: str = "t") -> TableStatistics | None:
    table = database.session().catalog.find_table("main", "public", name)
    assert isinstance(table, Table)
    return database.queries.tables.catalogs.statistics(table.id)


def test_columns(database: phantomdb.Database) -> None:
    fill(database, 1000)
    assert found(database) is None
    assert database.sql("ANALYZE t").tag == "ANALYZE"
    made = found(database)
    assert made is not None and made.row_count == 1000 and made.bytes > 10_000
    key, text, number, day, document, uuid, nothing = (made.columns[place] for place in range(1, 8))
    assert key.null_fraction == 0 and key.distinct_count == 1000 and key.most_common == ()
    assert key.histogram[0] == 1 and key.histogram[-1] == 1000 and len(key.histogram) == figures.SLICES + 1
    assert abs(int(str(key.histogram[25])) - 500) <= 20
    assert text.distinct_count == 4
    assert dict(text.most_common) == pytest.approx({f"n{place}": 0.25 for place in range(4)})
    assert text.histogram == () and number.distinct_count == 1000
    assert day.null_fraction == 0.75 and day.distinct_count == 250
    assert document.distinct_count == 1000 and document.most_common == () and uuid.distinct_count == 1000
    assert nothing.null_fraction == 1 and nothing.distinct_count == 0 and nothing.histogram == ()


def test_common_values_stand_out(database: phantomdb.Database) -> None:
    database.sql("INSERT INTO t SELECT i, CASE WHEN i <= 500 THEN 'much' ELSE 'n' || i END "
                 "FROM generate_series(1, 1000) AS g(i)")
    database.sql("ANALYZE")
    made = found(database)
    assert made is not None
    assert made.columns[2].most_common == (("much", 0.5),)
    assert "much" not in made.columns[2].histogram and made.columns[2].distinct_count == 501


def test_a_sample_of_a_large_table(database: phantomdb.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SAMPLE_ROWS", 1000)
    fill(database, 5000)
    database.sql("ANALYZE t (a, b)")
    made = found(database)
    assert made is not None and made.row_count == 5000
    assert made.columns[1].distinct_count == 5000 and made.columns[2].distinct_count == 4
    assert made.columns[4].null_fraction == pytest.approx(0.75, abs=0.05)
    assert int(str(made.columns[1].histogram[0])) < 100 and int(str(made.columns[1].histogram[-1])) > 4900


def test_estimate_of_different_values() -> None:
    assert figures.distinct_estimate([1, 2, 3], 6, 6) == 3            # all rows were seen
    assert figures.distinct_estimate([2, 2, 2], 6, 600) == 3          # none was seen once: there are no others
    assert figures.distinct_estimate([1, 1, 1], 3, 300) == 300        # a key
    assert 4 < figures.distinct_estimate([1, 1, 4, 4], 10, 1000) < 1000


def test_empty_and_again(database: phantomdb.Database) -> None:
    database.sql("ANALYZE VERBOSE t")
    assert found(database) == TableStatistics(found_id(database), 0, 0)
    fill(database, 10)
    database.sql("BEGIN; ANALYZE; ROLLBACK")
    made = found(database)
    assert made is not None and made.row_count == 0
    database.sql("ANALYZE")
    made = found(database)
    assert made is not None and made.row_count == 10
    database.sql("DROP TABLE t; CREATE TABLE t (a int)")
    assert found(database) is None


def found_id(database: phantomdb.Database) -> int:
    table = database.session().catalog.find_table("main", "public", "t")
    assert table is not None
    return table.id


def test_errors(database: phantomdb.Database) -> None:
    with pytest.raises(e.UndefinedTable):
        database.sql("ANALYZE nowhere")
    with pytest.raises(e.UndefinedColumn):
        database.sql("ANALYZE t (nothing)")
    with pytest.raises(e.SyntaxFailure):
        database.sql("ANALYZE t, ")
