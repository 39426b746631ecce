"""A cursor over the versions in sorted tables."""
from collections.abc import Iterable, Iterator
from typing import final

from phantomdb.core._ext.table import TableHandle

_Entry = tuple[bytes, int, int, bytes]

@final
class TableScan:
    """A cursor over tables with ascending, disjoint ranges; for one thread at a time."""

    def __init__(self, tables: Iterable[TableHandle], fill_cache: int = 0, readahead_bytes: int = 0) -> None: ...
    def first(self) -> _Entry | None:
        """To the first entry."""
    def last(self) -> _Entry | None:
        """To the last entry."""
    def seek(self, key: bytes) -> _Entry | None:
        """To the first entry whose key is `key` or after it."""
    def seek_before(self, key: bytes) -> _Entry | None:
        """To the last entry whose key is before `key`."""
    def next(self) -> _Entry | None:
        """To the entry after the current one."""
    def previous(self) -> _Entry | None:
        """To the entry before the current one."""
    def run(self, start: bytes | None = None, reverse: bool = False) -> Iterator[_Entry]:
        """Iterate from the first entry >= `start`, or backwards from the last < `start`."""
