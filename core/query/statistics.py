"""ANALYZE: what a table's columns look like, for those who estimate how many rows a condition leaves.

The columns come as the vector executor reads them, in the transaction, so they are often in memory already. Of a large
table the rows of a few hundred places all over it are looked at. Counting is DuckDB's work; what it gives are values of
our types again.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phantomdb.core.catalog.objects import Column, ColumnStatistics, Table, TableStatistics
from phantomdb.core.catalog.storage import save_statistics
from phantomdb.core.query import plan
from phantomdb.core.query.sources import TransactionSource
from phantomdb.core.query.vector_values import to_python
from phantomdb.core.tables.rows import RowTransaction
from phantomdb.core.values import Kind

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from phantomdb.core.query.session import Session

SAMPLE_ROWS = 60_000
SAMPLE_PIECES = 200
MOST_COMMON = 20                         # values kept, if they are more common than the average
SLICES = 50                              # of a histogram
LONGEST_CHARACTERS = 200                 # of a value kept; longer ones are left out

# Kinds whose values can be compared and kept; of others the nulls and the size are known alone.
_COMPARED = {Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.TEXT, Kind.BYTES, Kind.DATE, Kind.TIME, Kind.TIMESTAMP,
             Kind.TIMESTAMPTZ, Kind.UUID}


def analyze(session: Session, table: int) -> TableStatistics:
    """Looks at a table and saves what it finds, in the session's transaction or one of its own. UndefinedTable."""
    if session.in_transaction:
        return session.run(lambda rows: _saved(session, rows, table))
    session.begin("snapshot")                                # others may go on writing to the table
    try:
        made = session.run(lambda rows: _saved(session, rows, table))
        session.commit()
    except BaseException:
        session.rollback()
        raise
    return made


def _saved(session: Session, rows: RowTransaction, table: int) -> TableStatistics:
    rows.fence(table)                                        # dropped meanwhile: nothing is saved
    made = _gathered(session, rows, rows.catalog.table(table))
    save_statistics(rows.catalog_space, made)
    return made


def _gathered(session: Session, rows: RowTransaction, table: Table) -> TableStatistics:
    import duckdb
    columns = list(table.columns)
    numbered = [plan.ScanColumn(plan.Column(column.type, place + 1), column.id) for place, column in enumerate(columns)]
    source = TransactionSource(session.engine, rows, session.name, ())
    whole = source.scan(plan.Scan(table.id, tuple(numbered)))
    row_count = whole.num_rows
    if not row_count:
        return TableStatistics(table.id, 0, 0)
    sample = _sample(whole)
    connection = duckdb.connect(":memory:", config={"threads": 1, "python_enable_replacements": False})
    try:
        found = {column.id: _column(connection, column, sample.column(place), row_count)
                 for place, column in enumerate(columns)}
    finally:
        connection.close()
    width = sum(item.average_bytes for item in found.values())
    return TableStatistics(table.id, row_count, round(width * row_count), found)


def _sample(whole: pa.Table) -> pa.Table:
    """Pieces at equal distances: rows that lie together are read together, and no part is left out."""
    import pyarrow as pa
    if whole.num_rows <= SAMPLE_ROWS:
        return whole
    size, step = SAMPLE_ROWS // SAMPLE_PIECES, whole.num_rows / SAMPLE_PIECES
    return pa.concat_tables([whole.slice(int(piece * step), size) for piece in range(SAMPLE_PIECES)])


def _column(connection: duckdb.DuckDBPyConnection, column: Column, values: pa.ChunkedArray, row_count: int
            ) -> ColumnStatistics:
    count = len(values)
    null_fraction = values.null_count / count
    average_bytes = max(0.125, values.nbytes / count)
    if column.type.kind not in _COMPARED or values.null_count == count:
        return ColumnStatistics(null_fraction, 0.0 if values.null_count == count else _unknown(row_count),
                                average_bytes=average_bytes)
    import pyarrow as pa
    connection.register("sample", pa.table({"v": values}))
    counts = connection.sql("SELECT v, count(*) AS n FROM sample WHERE v IS NOT NULL GROUP BY v ORDER BY v"
                            ).to_arrow_table()
    connection.unregister("sample")
    times: list[int] = counts.column("n").to_pylist()
    seen = sum(times)
    distinct = _distinct(times, seen, round(row_count * (1 - null_fraction)))
    common = sorted((place for place, found in enumerate(times) if found > 1 and found > seen / len(times)),
                    key=lambda place: -times[place])[:MOST_COMMON]
    if len(times) <= MOST_COMMON:                            # all there are
        common = sorted(range(len(times)), key=lambda place: -times[place])
    kept = _values(counts, column, common)
    return ColumnStatistics(
        null_fraction, distinct, tuple((value, times[place] / count) for place, value in zip(common, kept, strict=True)
                                       if _is_short(value)),
        _histogram(counts, column, times, set(common)), average_bytes)


def _unknown(row_count: int) -> float:
    """What is assumed where values cannot be compared."""
    return float(row_count)


def _distinct(times: Sequence[int], seen: int, row_count: int) -> float:
    """How many different values all rows have, from those in the sample (Haas and Stokes, as in PostgreSQL)."""
    different, once = len(times), sum(1 for found in times if found == 1)
    if seen >= row_count or not once:
        return float(different)
    if once == different:                                    # all different: a key, as far as one can see
        return float(row_count)
    estimate = seen * different / (seen - once + once * seen / row_count)
    return min(float(row_count), max(float(different), estimate))


def _histogram(counts: pa.Table, column: Column, times: Sequence[int], common: set[int]) -> tuple[object, ...]:
    """Bounds of slices with as many rows each, of the values that are not among the most common ones."""
    places = [place for place in range(len(times)) if place not in common]
    if len(places) < 2:
        return ()
    slices = min(SLICES, len(places) - 1)
    total = sum(times[place] for place in places)
    bounds, passed, wanted = [places[0]], 0, 1
    for place in places:
        passed += times[place]
        while wanted < slices and passed >= total * wanted / slices:
            bounds.append(place)
            wanted += 1
    bounds.append(places[-1])
    values = _values(counts, column, bounds)
    return tuple(values) if all(_is_short(value) for value in values) else ()


def _values(counts: pa.Table, column: Column, places: Sequence[int]) -> list[Any]:
    import pyarrow as pa
    return to_python(counts.column("v").take(pa.array(places, pa.int64())), column.type)


def _is_short(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) or len(value) <= LONGEST_CHARACTERS
