"""Memtable: the newest writes, in order, in one arena."""
from typing import final

@final
class MemtableHandle:
    """A memtable seen from Python: for inspection and tests. One thread may write, any number may read."""

    def __init__(self, capacity: int) -> None:
        """An empty memtable with an arena of `capacity` bytes (at least 4 KiB)."""
    def is_shared(self) -> bool:
        """Whether anyone else (a view, perhaps one that only a scan still holds) refers to the memtable."""
    @property
    def first_value_file(self) -> int:
        """Smallest number of a value file it points into; the largest number there is when it points into none."""
    def insert(self, key: bytes, ts: int, kind: int, value: bytes) -> None:
        """Add a version; LimitExceeded when the arena is full."""
    def add_tombstone(self, start: bytes, stop: bytes, ts: int) -> None:
        """Add a range tombstone over [start, stop)."""
    def get(self, key: bytes, snapshot: int) -> tuple[int, int, bytes] | None:
        """(kind, ts, value) of the newest version not after `snapshot`, or None."""
    def scan(self, start: bytes | None = None, reverse: bool = False) -> list[tuple[bytes, int, int, bytes]]:
        """All (key, ts, kind, value) from the first key >= `start`; reversed: from the last key < `start`."""
    def defer_order(self) -> None:
        """Let inserts only append until `restore_order`; no cursor and no old snapshot until then."""
    def restore_order(self) -> None:
        """Bring all entries into order after `defer_order`."""
    @property
    def entry_count(self) -> int:
        """Versions inserted (a repeated (key, ts) counts each time)."""
    @property
    def used(self) -> int:
        """Bytes of the arena handed out, hash table included."""
    @property
    def capacity(self) -> int:
        """Bytes of the arena."""
    @property
    def timestamps(self) -> tuple[int, int] | None:
        """(smallest, largest) timestamp of all versions and tombstones, or None."""
    @property
    def tombstones(self) -> list[tuple[bytes, bytes, int]]:
        """All range tombstones as (start, stop, ts), oldest first."""

def entry_bytes(key_size: int, value_size: int) -> int:
    """Upper bound of the arena bytes an entry takes."""
