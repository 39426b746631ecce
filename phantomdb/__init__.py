"""PhantomDB: one transactional store with SQL, document and GraphQL frontends.

    import phantomdb

    with phantomdb.open("data") as db:
        db.kv.put(b"key", b"value")
"""
from __future__ import annotations

TYPE_CHECKING = False                # as typing's own, whose import takes longer than all the rest here

if TYPE_CHECKING:
    import os
    from typing import Any

    from phantomdb.core import errors
    from phantomdb.core.database import Database
    from phantomdb.core.errors import PhantomError, RetryableConflict
    from phantomdb.core.options import Options
    from phantomdb.core.transactions import Transaction

__version__ = "0.1.0"
__all__ = ["Database", "Options", "PhantomError", "RetryableConflict", "Transaction", "errors", "open"]

_MODULES = {"Database": "database", "Options": "options", "PhantomError": "errors", "RetryableConflict": "errors",
            "Transaction": "transactions", "errors": "errors"}


def open(path: str | os.PathLike[str], **options: Any) -> Database:
    """Opens the database in the folder `path`, making it if there is none.

    Options are those of `phantomdb.Options`; the most used: `durability` ("commit", "interval", "none"),
    `memtable_bytes`, `block_cache_bytes`, `partitions`, `retention_s`. Raises DatabaseLocked when another process
    has it open, CorruptionError when a file is damaged, NewerFormat when a newer version wrote it.
    """
    from phantomdb.core.database import Database
    from phantomdb.core.options import Options
    return Database(path, Options(**options))


def __getattr__(name: str) -> object:
    """The engine is loaded when it is first asked for: not every program that imports phantomdb opens a database."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    module = import_module(f"{__name__}.core.{_MODULES[name]}")
    value = globals()[name] = module if name == _MODULES[name] else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
