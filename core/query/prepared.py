"""Queries made ready to run once, and kept: a statement that comes again is neither optimized nor planned.

    PreparedQueries.of(query, catalog)   ->  PreparedQuery        known by the plan object itself, which frontends keep
    PreparedQuery.rows(...)              ->  rows, or None: the vector executor is to run `query`

Which executor runs it is decided by estimates when it is prepared, and again when its tables have changed much. A run
that reads far more rows than expected gives up; then so many of the next ones go to the vector executor at once, twice
as many each time, because the parameters of one run say little about the next.
"""
from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from phantomdb.core._ext.row_operators import TooManyRows
from phantomdb.core.catalog.catalog import Catalog
from phantomdb.core.query import plan, row_executor
from phantomdb.core.query.optimizer import optimize
from phantomdb.core.query.row_executor import RowPlan

if TYPE_CHECKING:
    from phantomdb.core._ext.transaction import TransactionCore
    from phantomdb.core.query.engine import QueryEngine
    from phantomdb.core.tables.rows import RowTransaction

Row = tuple[Any, ...]
T = TypeVar("T")
U = TypeVar("U")
PREPARED_QUERIES = 1000                  # kept
MOST_PASSED = 64                         # runs left to the vector executor after one that gave up


class PreparedQuery:
    """Of one catalog. Any thread may run it."""

    def __init__(self, engine: QueryEngine, query: plan.Query, catalog: Catalog) -> None:
        self._engine, self.catalog, self.source = engine, catalog, query
        self.query = optimize(query)
        self._plan: RowPlan | None = None
        self._forced: RowPlan | None = None
        self._is_planned = False
        self._passed = self._to_pass = 0

    def row_plan(self, *, is_forced: bool = False, is_own: bool = False) -> RowPlan | None:
        """For the row executor; None: the other one is better, or `is_forced`, it cannot be. `is_own`: one that nobody
        else has, for its counters."""
        if is_own:
            return row_executor.prepare(self.query, self.catalog, self._engine, is_forced=is_forced)
        if is_forced:
            if self._forced is None:
                self._forced = row_executor.prepare(self.query, self.catalog, self._engine, is_forced=True)
            return self._forced
        if not self._is_planned or (self._plan is not None and self._plan.is_stale(self._engine)):
            self._plan = row_executor.prepare(self.query, self.catalog, self._engine)
            self._is_planned = True
            self._passed = self._to_pass = 0
        return self._plan

    def rows(self, core: TransactionCore | None, parameters: Sequence[Any], *, rows: RowTransaction | None = None,
             version: bytes | None = None, check: Callable[[], object] | None = None) -> Any:
        """As RowPlan.run(); None: this run is for the vector executor, or it needs `rows`, and they are not given."""
        found = self.row_plan()
        if found is None or (found.needs_rows and rows is None):
            return None
        if self._to_pass:
            self._to_pass -= 1
            return None
        try:
            made = found.run(core, parameters, rows=rows, version=version, check=check)
        except TooManyRows:
            self._to_pass = self._passed = min(2 * self._passed + 1, MOST_PASSED)
            return None
        self._passed = 0
        return made


class PreparedQueries:
    """Of one database; all sessions share it. A catalog that differs makes a new one, and so does another plan."""

    def __init__(self, engine: QueryEngine) -> None:
        self._engine = engine
        self._mutex = threading.Lock()
        self._known: OrderedDict[int, tuple[Any, Any]] = OrderedDict()      # by id of the object it was made of

    def of(self, query: plan.Query, catalog: Catalog) -> PreparedQuery:
        """Of a query that comes again: `query` is kept, with what was made of it."""
        found = self._kept(query)
        if isinstance(found, PreparedQuery) and (found.catalog is catalog or found.catalog.version == catalog.version):
            return found
        made = PreparedQuery(self._engine, query, catalog)
        self._keep(query, made)
        return made

    def derived(self, source: T, make: Callable[[T], U]) -> U:
        """What `make` gives for `source`, a part of a statement; the same object each time."""
        found = self._kept(source)
        if found is None:
            found = make(source)
            self._keep(source, found)
        made: U = found
        return made

    def _kept(self, source: Any) -> Any:
        found = self._known.get(id(source))
        return found[1] if found is not None and found[0] is source else None

    def _keep(self, source: Any, made: Any) -> None:
        with self._mutex:
            self._known[id(source)] = source, made
            self._known.move_to_end(id(source))
            while len(self._known) > PREPARED_QUERIES:
                self._known.popitem(last=False)
