"""What all sessions of one database share to run statements: catalogs, sequences, layouts, upkeep,
columns in memory, DuckDB.

    Database --- QueryEngine --< Session (session.py) --- at most one transaction at a time
"""
from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from phantomdb.core.catalog.objects import DEFAULT_DATABASE, DEFAULT_SCHEMA
from phantomdb.core.query.errors import UndefinedTable
from phantomdb.core.query.figures import FiguresCache
from phantomdb.core.query.prepared import PreparedQueries
from phantomdb.core.tables.rows import TableStore
from phantomdb.core.tables.upkeep import Upkeep

if TYPE_CHECKING:
    import tempfile

    from phantomdb.core.query.column_cache import ColumnCache
    from phantomdb.core.query.vector import VectorExecutor
    from phantomdb.core.store import LocalStore


class QueryEngine:
    """Made on first use; all threads may share it."""

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        self.tables = TableStore(store)
        self.upkeep = Upkeep(self.tables)
        self.figures = FiguresCache(self.tables)
        self.prepared = PreparedQueries(self)
        self._mutex = threading.Lock()
        self._vector: VectorExecutor | None = None
        self._columns: ColumnCache | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None      # where statements spill

    @property
    def columns(self) -> ColumnCache:
        with self._mutex:
            if self._columns is None:
                from phantomdb.core.query.column_cache import ColumnCache
                self._columns = ColumnCache(self.store.options.column_cache_bytes)
            return self._columns

    @property
    def vector(self) -> VectorExecutor:
        """DuckDB, loaded when the first statement needs it."""
        with self._mutex:
            if self._vector is None:
                import tempfile

                from phantomdb.core.query.vector import VectorExecutor
                options = self.store.options
                self._temporary = tempfile.TemporaryDirectory(prefix="phantomdb-", dir=options.temporary_folder)
                self._vector = VectorExecutor(
                    memory_limit_bytes=options.query_memory_bytes, temporary_folder=self._temporary.name,
                    temporary_bytes=options.query_temporary_bytes)
            return self._vector

    def table_ids(self, names: Iterable[str]) -> list[int]:
        """Of tables of the database "main", each "table" or "schema.table". UndefinedTable."""
        catalog = self.tables.catalogs.as_of(0)
        found = []
        for name in names:
            schema, _, plain = name.rpartition(".")
            table = catalog.find_table(DEFAULT_DATABASE, schema or DEFAULT_SCHEMA, plain)
            if table is None:
                raise UndefinedTable(f'relation "{name}" does not exist')
            found.append(table.id)
        return found

    def close(self) -> None:
        """Gives back what is held; a statement that runs is interrupted."""
        self.upkeep.stop()
        with self._mutex:
            if self._vector is not None:
                self._vector.close()
                self._vector = None
            if self._temporary is not None:
                self._temporary.cleanup()
                self._temporary = None
            self._columns = None
        self.tables.sequences.give_back()
