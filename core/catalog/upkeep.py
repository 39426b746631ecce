"""Whether a database has tables with work to do in the background, told without loading anything that tables need."""
from __future__ import annotations

from typing import Any

from phantomdb.core._ext.engine import Engine
from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.catalog.keys import CATALOG_PREFIX, UPKEEP, after

# The figures of core/tables/upkeep.py where it does not run.
NO_UPKEEP: dict[str, Any] = {"index_builds": [], "expired_rows_removed": 0, "expired_rows_kept": 0,
                             "upkeep_error": None}


def needs_upkeep(engine: Engine) -> bool:
    """Whether there are indexes to complete, or rows that expire. Reads one row."""
    return any(True for _ in KeySpace(engine, CATALOG_PREFIX).scan(UPKEEP, after(UPKEEP), False, 1))
