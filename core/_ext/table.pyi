"""Sorted tables of the tree: point reads, and a bound on how many files are open."""
from collections.abc import Iterator
from typing import Any, final

from phantomdb.core._ext.files import FileSystem

@final
class TableCacheHandle:
    """Bounds how many tables are open and how much of them is cached."""

    @staticmethod
    def create(file_system: FileSystem, cache_bytes: int = ..., open_tables: int = 256,
               block_bytes: int = 4096) -> TableCacheHandle:
        """A table cache with a block cache of its own, apart from any database: for tools and tests."""
    def statistics(self) -> dict[str, int]:
        """Counters since the start, and what is open and cached now."""
    def synchronize(self) -> None:
        """Free everything that was evicted or released and is no longer read."""

@final
class TableHandle:
    """One reference to a table of the tree."""

    @staticmethod
    def create(tables: TableCacheHandle, path: str, properties: dict[str, Any]) -> TableHandle:
        """The table at `path`, described by the summary that its writer returned (and "number", if it has one)."""
    @property
    def properties(self) -> dict[str, Any]:
        """The description it was created with."""
    @property
    def tombstones(self) -> list[tuple[bytes, bytes, int]]:
        """The range tombstones, as (start, stop, ts) tuples."""
    def delete_when_unused(self) -> None:
        """Remove the file once the last reader is through with it."""
    def is_shared(self) -> bool:
        """Whether anyone else (a view that a reader holds) still refers to the table."""
    def get(self, key: bytes, snapshot: int = ..., cached_only: bool = False) -> tuple[int, int, bytes] | None:
        """The newest version with ts <= `snapshot` as (ts, kind, value), or None."""
    def scan(self, start: bytes | None = None, reverse: bool = False) -> Iterator[tuple[bytes, int, int, bytes]]:
        """All versions from the first key >= `start` on, or backwards from the last < it."""
