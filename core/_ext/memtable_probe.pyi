"""Memtables driven from Python: a cursor move by move, and loops without the GIL for tests and measurements."""
from typing import final

from phantomdb.core._ext.memtable import MemtableHandle

def fill(handle: MemtableHandle, first: int, count: int, shuffled: bool = True, ts: int = 1,
         value_size: int = 100, padding: int = 0) -> None:
    """Insert numbered entries [first, first + count) without the GIL; `value_size` 16 to 4096.

    Keys begin with `padding` zero bytes, up to 4096: the more, the longer comparisons take.
    """

def probe(handle: MemtableHandle, first: int, count: int, shuffled: bool = True,
          snapshot: int = 0xFFFFFFFFFFFFFFFF) -> int:
    """How many of these entries of `fill` are found, without the GIL; CorruptionError for a wrong value."""

def seek_again(handle: MemtableHandle, number: int, times: int, shuffled: bool = True, padding: int = 0) -> None:
    """Seek an entry of `fill` so many times, without the GIL; CorruptionError when standing before it."""

def walk(handle: MemtableHandle, reverse: bool = False) -> int:
    """Number of versions met from end to end, without the GIL; CorruptionError when out of order."""

@final
class MemtableCursor:
    """A cursor over all versions; every move returns the entry (key, ts, kind, value) it stands on, or None."""

    def __init__(self, handle: MemtableHandle) -> None: ...
    def first(self) -> tuple[bytes, int, int, bytes] | None:
        """The first entry."""
    def last(self) -> tuple[bytes, int, int, bytes] | None:
        """The last entry."""
    def seek(self, key: bytes) -> tuple[bytes, int, int, bytes] | None:
        """The first entry with a key >= `key`."""
    def seek_before(self, key: bytes) -> tuple[bytes, int, int, bytes] | None:
        """The last entry with a key < `key`."""
    def next(self) -> tuple[bytes, int, int, bytes] | None:
        """The entry after the current one."""
    def previous(self) -> tuple[bytes, int, int, bytes] | None:
        """The entry before the current one."""
