"""Whether indexes and rows agree: every row has its entries in every index, and no index has more.

    for each row of a table         its entries are there and lead to it
    for each index                  as many entries as all rows have together

Both together say that they are equal, and neither keeps more than a batch in memory. An index that is still being
built is left out: it has the entries of some rows.
"""
from __future__ import annotations

from itertools import islice

from phantomdb.core.catalog.objects import IndexState, Table
from phantomdb.core.errors import CorruptionError
from phantomdb.core.tables.layout import ID_BYTES, IndexLayout
from phantomdb.core.tables.rows import RowTransaction

BATCH_ROWS = 256


def check_tables(rows: RowTransaction) -> dict[str, int]:
    """All tables that the transaction sees; how many `row_tables`, `rows` and `index_entries` there are. Best at
    snapshot isolation: everything is read. CorruptionError names the first index that does not agree with its table."""
    counts = {"row_tables": 0, "rows": 0, "index_entries": 0}
    for table in rows.catalog.objects.values():
        if isinstance(table, Table):
            row_count, entry_count = check_table(rows, table)
            counts["row_tables"] += 1
            counts["rows"] += row_count
            counts["index_entries"] += entry_count
    return counts


def check_table(rows: RowTransaction, table: Table) -> tuple[int, int]:
    """(rows, entries in all indexes), those that have expired included. CorruptionError."""
    layout = rows.layout(table.id)
    indexes = [index for index in layout.indexes if index.index.state is IndexState.PUBLIC]
    expected = [0] * len(indexes)
    count = 0
    stored = rows.space.scan(*layout.range())
    while batch := list(islice(stored, BATCH_ROWS)):
        count += len(batch)
        decoded = [(key[ID_BYTES:], layout.decode(key, record)) for key, record in batch]
        for at, index in enumerate(indexes):
            entries: list[tuple[bytes, bytes]] = []
            for row_key, row in decoded:
                entries += index.entries(row, row_key).items()
            expected[at] += len(entries)
            found = rows.space.multi_get([key for key, _ in entries])
            if any(value != there for (_, value), there in zip(entries, found, strict=True)):
                raise _disagreement(table, index, "lacks an entry of a row")
    for index, number in zip(indexes, expected, strict=True):
        there = sum(1 for _ in rows.space.scan(index.keys.start, index.keys.stop))
        if there != number:
            raise _disagreement(table, index, f"has {there} entries, the rows of the table have {number}")
    return count, sum(expected)


def _disagreement(table: Table, index: IndexLayout, what: str) -> CorruptionError:
    return CorruptionError(f'index "{index.index.name}" of table "{table.name}" {what}; drop it and create it again')
