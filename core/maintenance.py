"""Looking after a database as a whole: a copy, a check of everything, and repair of what is damaged."""
from __future__ import annotations

from phantomdb.core.checkpoint import checkpoint
from phantomdb.core.repair import repair
from phantomdb.core.salvage import RepairReport
from phantomdb.core.verification import verify, verify_store

__all__ = ["RepairReport", "checkpoint", "repair", "verify", "verify_store"]
