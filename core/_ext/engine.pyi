"""The engine: one log, one cache and one view over all partitions; core/store.py opens it."""
from collections.abc import Iterable
from typing import Self

from phantomdb.core._ext.files import FileSystem

class Engine:
    """Commits and reads; keyspaces, transactions and feeds hold it. Not usable before recover()."""

    def __new__(cls, file_system: FileSystem, directory: str, *, partitions: int, memtable_bytes: int,
                cache_bytes: int, block_bytes: int, max_open_tables: int, durability: int, value_threshold: int,
                value_file_bytes: int, log_segment_bytes: int, next_file_number: int, last_ts: int,
                gc_floor_ts: int) -> Self: ...
    @property
    def file_system(self) -> FileSystem:
        """Where its files are."""
    @property
    def directory(self) -> str:
        """The folder of its files."""
    @property
    def ingests(self) -> list[tuple[int, bytes, bytes]]:
        """(timestamp, first key, last key) of each batch added past the log, oldest first; feeds need them."""
    def check(self) -> None:
        """Raises DatabaseClosed or ForkedProcess unless it can be used."""
    @property
    def is_usable(self) -> bool:
        """Whether it is open, and this is the process that opened it."""
    @property
    def in_child(self) -> bool:
        """Whether this is a forked child of the process that opened the engine."""
    def recover(self, first_segment: int, flushed_ts: Iterable[int]) -> list[int]:
        """Replays the log from `first_segment` on and opens it for writing; the value files that it points into."""
    def collectable(self, retention_ms: int) -> tuple[list[int], int]:
        """(sorted open snapshots, horizon): what a compaction that starts now must keep."""
    def refuse(self) -> None:
        """From here on every call raises DatabaseClosed; background work may still finish."""
    def close(self, remove_log: bool) -> None:
        """Waits for those inside and closes the log; `remove_log`: every write is in a table."""
