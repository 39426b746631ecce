"""Work on tables that nobody waits for: one thread of each open database that has tables.

    at the beginning           builds of indexes that a crash, or a close, left unfinished go on      (work.py)
    every sweep_interval_s     rows that have expired are removed                                     (sweep.py)

All of it is done in small transactions beside those of the program. An error does not end the thread: it is shown in
the figures, and the work is tried again.

CREATE INDEX builds in the thread of its caller, through build(), so that all builds are shown in one place. Where that
fails for want of space or time, the thread goes on with it.
"""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.catalog.keys import CATALOG_PREFIX, UPKEEP, after
from phantomdb.core.catalog.objects import Table
from phantomdb.core.catalog.work import BuildIndex
from phantomdb.core.errors import DatabaseClosed
from phantomdb.core.query.errors import UniqueViolation
from phantomdb.core.tables.sweep import Swept, sweep_table
from phantomdb.core.tables.work import build_index, unfinished_builds

if TYPE_CHECKING:
    from phantomdb.core.tables.rows import TableStore

RETRY_S = 1.0                        # after a failure


class _Stopped(Exception):
    """The thread is to end."""


class Upkeep:
    """Made before the first session, so that what is unfinished now was left by an earlier process."""

    def __init__(self, tables: TableStore) -> None:
        self._tables = tables
        self._interval_s = tables.store.options.sweep_interval_s
        self._condition = threading.Condition()                  # guards what is below
        self._is_stopped = False
        self._waiting = unfinished_builds(tables.catalogs.as_of(0))
        self._running: dict[BuildIndex, int] = {}                # rows so far
        self._errors: dict[str, str] = {}                        # by what was tried and is not done
        self._swept = Swept()
        self._is_sweep_due = bool(self._interval_s)
        self._thread = threading.Thread(target=self._loop, name="phantomdb-upkeep", daemon=True)
        self._thread.start()

    def stop(self, *, waits: bool = True) -> None:
        """Ends the thread after the transaction under way."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()
        if waits and self._thread is not threading.current_thread():
            self._thread.join()

    def build(self, item: BuildIndex) -> None:
        """Completes an index whose definition is committed. Errors as of build_index(); after all but UniqueViolation
        the thread tries again."""
        try:
            self._build(item)
        except (UniqueViolation, DatabaseClosed):
            raise
        except BaseException:
            with self._condition:
                self._waiting.append(item)
                self._condition.notify_all()
            raise

    def sweep(self, check: Callable[[], None] = lambda: None) -> Swept:
        """Removes all rows that have expired by now."""
        keys = KeySpace(self._tables.store.engine, CATALOG_PREFIX)
        total = Swept()
        for key, _ in keys.scan(UPKEEP, after(UPKEEP)):
            swept = sweep_table(self._tables, int.from_bytes(key[1:], "big"), check)
            total = total.plus(swept)
            with self._condition:                                # kept ones are seen by every sweep
                self._swept = Swept(self._swept.removed + swept.removed, total.kept)
        return total

    def figures(self) -> dict[str, Any]:
        """For stats()."""
        catalog = self._tables.catalogs.as_of(0)
        with self._condition:
            running, waiting = dict(self._running), list(self._waiting)
            error, swept = next(iter(list(self._errors.values())), None), self._swept
        builds = [(item, running.get(item, 0)) for item in dict.fromkeys([*running, *waiting])]
        return {"index_builds": [{**_names(catalog, item), "rows": rows, "is_running": item in running}
                                 for item, rows in builds],
                "expired_rows_removed": swept.removed, "expired_rows_kept": swept.kept, "upkeep_error": error}

    # ---------------------------------------------------------------- the thread

    def _loop(self) -> None:
        try:
            while self._wait():
                if not self._attempt():
                    with self._condition:
                        self._condition.wait_for(lambda: self._is_stopped, RETRY_S)
        except (_Stopped, DatabaseClosed):
            pass

    def _wait(self) -> bool:
        """Until there is something to do; False: the end. A sweep is due each time the interval is over."""
        with self._condition:
            is_asked = self._condition.wait_for(
                lambda: self._is_stopped or self._waiting or self._is_sweep_due, self._interval_s or None)
            self._is_sweep_due = self._is_sweep_due or not is_asked
            return not self._is_stopped

    def _check(self) -> None:
        if self._is_stopped:
            raise _Stopped

    def _attempt(self) -> bool:
        """Does one thing that is due; whether it is over."""
        with self._condition:
            item = self._waiting[0] if self._waiting else None
        what = "removal of expired rows" if item is None else f"index {item.index}"
        try:
            if item is None:
                self.sweep(self._check)
            else:
                self._build(item, self._check)
        except (_Stopped, DatabaseClosed):
            raise
        except Exception as error:  # noqa: BLE001  whatever it is: it must be told, and the thread must live
            self._errors[what] = f"{what}: {error}"
            if not isinstance(error, UniqueViolation):       # then the index is gone, and its message stays
                return False
        else:
            self._errors.pop(what, None)
        if item is None:
            self._is_sweep_due = False
        else:
            with self._condition:
                self._waiting.remove(item)
        return True

    def _build(self, item: BuildIndex, check: Callable[[], None] = lambda: None) -> None:
        def progress(rows: int) -> None:
            self._running[item] = rows

        with self._condition:
            self._running[item] = 0
        try:
            build_index(self._tables, item.table, item.index, progress, check)
        finally:
            with self._condition:
                self._running.pop(item, None)


def _names(catalog: Catalog, item: BuildIndex) -> dict[str, str]:
    table = catalog.get(item.table)
    if not isinstance(table, Table):
        return {"table": "", "index": ""}
    return {"table": table.name, "index": next((index.name for index in table.indexes if index.id == item.index), "")}
