"""Keyspaces and snapshots: bytes in, bytes out."""
from collections.abc import Iterable, Mapping
from typing import Self, TypeAlias

from typing_extensions import Buffer

from phantomdb.core._ext.engine import Engine
from phantomdb.core._ext.scan import Scan

_Pairs: TypeAlias = Mapping[bytes, Buffer | None] | Iterable[tuple[Buffer, Buffer | None]]

class Reader:
    """What a keyspace and a snapshot of it have in common: reading."""

    def __init__(self, engine: Engine, prefix: int) -> None: ...
    @property
    def engine(self) -> Engine:
        """The engine it reads."""
    def check_open(self) -> None:
        """Raises SnapshotClosed after close()."""
    def get(self, key: Buffer) -> bytes | None:
        """The value of `key`, or None."""
    def __contains__(self, key: Buffer) -> bool: ...
    def multi_get(self, keys: Iterable[Buffer]) -> list[bytes | None]:
        """The values of `keys` in their order, None for a missing one; all as of the same moment."""
    def scan(self, start: Buffer | None = None, stop: Buffer | None = None, reverse: bool = False,
             limit: int | None = None) -> Scan:
        """(key, value) with start <= key < stop in key order, or backwards with `reverse`; at most `limit` of them."""
    def range_scan(self, start: Buffer | None, count: int) -> list[tuple[bytes, bytes]]:
        """The first `count` pairs with key >= start: scan() for short ranges, in one call."""
    def changed_since(self, timestamp: int, start: Buffer | None = None, stop: Buffer | None = None) -> bool:
        """Whether a key with start <= key < stop was written or deleted after commit timestamp `timestamp`."""
    def __iter__(self) -> Scan: ...

class KeySpace(Reader):
    """Ordered bytes to bytes. Each call is a transaction of its own."""

    def put(self, key: Buffer, value: Buffer) -> None:
        """Sets `key` to `value`."""
    def delete(self, key: Buffer) -> None:
        """Removes `key`; nothing happens when it is not there."""
    def write(self, pairs: _Pairs) -> None:
        """Applies all (key, value) pairs, or a mapping, at once; a value of None deletes."""
    def delete_range(self, start: Buffer | None = None, stop: Buffer | None = None) -> None:
        """Removes all keys with start <= key < stop in one step; None is an open end."""
    def snapshot_at(self, timestamp: int) -> Snapshot:
        """A Snapshot as of `timestamp` (0: now)."""

class Snapshot(Reader):
    """The keyspace as it was at one moment; made by KeySpace.snapshot_at()."""

    @property
    def timestamp(self) -> int:
        """The commit timestamp it shows: unix milliseconds << 18 | a counter."""
    def close(self) -> None:
        """Lets compaction discard what only this snapshot could see. Closing twice is fine."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
