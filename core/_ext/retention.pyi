"""What a compaction must keep, and what nobody may read any more."""
from collections.abc import Iterable
from typing import TypeAlias, final

_Tombstone: TypeAlias = tuple[bytes, bytes, int]

@final
class Retention:
    """The rule for one compaction: snapshots, horizon, (smallest, largest) of deeper tables, (start, stop, ts)."""

    def __init__(self, snapshots: Iterable[int], horizon: int, deeper: Iterable[tuple[bytes, bytes]] = (),
                 tombstones: Iterable[_Tombstone] = ()) -> None: ...
    def needed_tombstones(self, tombstones: Iterable[_Tombstone]) -> list[_Tombstone]:
        """By start, without those that a newer one over the same range replaces for every reader."""

def joined_tombstones(tombstones: Iterable[_Tombstone], start: bytes | None = None,
                      stop: bytes | None = None) -> list[_Tombstone]:
    """Tombstones clipped to [start, stop), with the pieces that earlier cuts made of one joined again."""
