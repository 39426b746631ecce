"""One statement's changes of rows, and what can be said about them only when all are made.

    statement = RowStatement(rows)
    writer = statement.writer(table id)
    writer.insert(...), writer.update(...), writer.delete(...)
    statement.finish()

finish() works in rounds until nothing is left to do:

    1. entries and rows that wait: UPDATE t SET x = x + 1 may pass through states in which two rows have one key
    2. parents that went: RESTRICT refuses; CASCADE, SET NULL and SET DEFAULT change the children, which may make
       more work for 1 and 2

Then foreign keys are checked: by now every row that the statement makes is there. A deferred one is checked at commit.

A statement that failed leaves its changes behind: the caller goes back to a mark made before it.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from phantomdb.core.tables.constraints import Departure, Orphan, act_on_children
from phantomdb.core.tables.writer import TableWriter

if TYPE_CHECKING:
    from phantomdb.core.tables.rows import RowTransaction


class RowStatement:
    """The writers of one statement and the checks at its end."""

    __slots__ = ("departures", "orphans", "rows", "writers")

    def __init__(self, rows: RowTransaction) -> None:
        self.rows = rows
        self.writers: dict[int, TableWriter] = {}
        self.departures: list[Departure] = []            # parents that are there no more
        self.orphans: list[Orphan] = []                  # children whose parent was not there when they were written

    def writer(self, table: int) -> TableWriter:
        """The one writer of the table. UndefinedTable."""
        found = self.writers.get(table)
        if found is None:
            found = self.writers[table] = TableWriter(self, self.rows.layout(table))
        return found

    def finish(self) -> None:
        """Checks and completes everything. UniqueViolation, ForeignKeyViolation, and what cascades raise."""
        gone: list[Departure] = []
        while True:
            for writer in list(self.writers.values()):
                writer.settle()
            if not self.departures:
                break
            batch, self.departures = self.departures, []
            gone += act_on_children(self, batch)
        checks: list[Orphan | Departure] = [*gone, *self.orphans]
        for check in checks:
            if not self.rows.pending.defer(check):
                check.verify(self.rows)
        self.orphans.clear()
