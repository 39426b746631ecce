"""PhantomDB: one transactional store with SQL, document and GraphQL frontends.

    import phantomdb

    with phantomdb.open("data") as db:
        db.kv.put(b"key", b"value")
"""
from __future__ import annotations

import os
from typing import Any

from phantomdb.core import errors
from phantomdb.core.database import Database
from phantomdb.core.errors import PhantomError, RetryableConflict
from phantomdb.core.options import Options
from phantomdb.core.transactions import Transaction

__version__ = "0.1.0"
__all__ = ["Database", "Options", "PhantomError", "RetryableConflict", "Transaction", "errors", "open"]


def open(path: str | os.PathLike[str], **options: Any) -> Database:
    """Opens the database in the folder `path`, making it if there is none.

    Options are those of `phantomdb.Options`; the most used: `durability` ("commit", "interval", "none"),
    `memtable_bytes`, `block_cache_bytes`, `partitions`, `retention_s`. Raises DatabaseLocked when another process
    has it open, CorruptionError when a file is damaged, NewerFormat when a newer version wrote it.
    """
    return Database(path, Options(**options))
