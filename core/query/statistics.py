"""ANALYZE: what a table's columns look like, stored for those who estimate how many rows a condition leaves.

All rows are counted, and tens of thousands at equal distances are looked at. core/query/figures.py uses what is stored
as long as it is about right.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from phantomdb.core._ext.row_reads import sample_rows
from phantomdb.core.catalog.objects import Table, TableStatistics
from phantomdb.core.catalog.storage import save_statistics
from phantomdb.core.query.figures import column_statistics
from phantomdb.core.tables.rows import RowTransaction

if TYPE_CHECKING:
    from phantomdb.core.query.session import Session

SAMPLE_ROWS = 60_000
MOST_ROWS = 1 << 62


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
    session.engine.figures.analyzed(table)
    return made


def _saved(session: Session, rows: RowTransaction, table: int) -> TableStatistics:
    rows.fence(table)                                        # dropped meanwhile: nothing is saved
    made = _gathered(session, rows, rows.catalog.table(table))
    save_statistics(rows.catalog_space, made)
    return made


def _gathered(session: Session, rows: RowTransaction, table: Table) -> TableStatistics:
    layout = rows.layouts.of(table)
    numbers = [column.id for column in table.columns]
    reader = layout.reader(session.engine.store.engine, numbers)
    count, size, _, sample = sample_rows(reader, rows.transaction.core, *layout.range(), MOST_ROWS, SAMPLE_ROWS)
    if not count:
        return TableStatistics(table.id, 0, 0)
    return TableStatistics(table.id, count, size, {
        number: column_statistics([row[place] for row in sample], table, number, float(count))
        for place, number in enumerate(numbers)})
