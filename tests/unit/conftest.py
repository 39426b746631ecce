"""What the tests of this folder share: a database with small options, and the helpers in disks.py."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import phantomdb

sys.path.insert(0, str(Path(__file__).parent))      # for disks.py

SMALL: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "table_bytes": 64 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
    "value_file_bytes": 64 << 10, "level0_compaction_count": 2, "retention_s": 0, "block_cache_bytes": 1 << 20,
    "value_threshold_bytes": 64, "durability": "none",
}
Opener = Callable[..., phantomdb.Database]


@pytest.fixture
def small() -> dict[str, Any]:
    """Options under which little data makes many tables."""
    return SMALL


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens the test's database with small options, and closes what is open at the end."""
    databases: list[phantomdb.Database] = []

    def make(**options: Any) -> phantomdb.Database:
        databases.append(phantomdb.open(tmp_path / "db", **{**SMALL, **options}))
        return databases[-1]

    yield make
    for database in databases:
        database.close()


@pytest.fixture
def db(opened: Opener) -> phantomdb.Database:
    return opened()
