"""The change feed: committed batches in commit order."""
from typing import Self, TypeAlias

from phantomdb.core._ext.engine import Engine

_Change: TypeAlias = tuple[bytes, bytes | None, bytes | None]

class FeedCursor:
    """Batches of one keyspace, those after `from_ts` (None: after now). For one thread at a time."""

    def __new__(cls, engine: Engine, prefix: int, from_ts: int | None, complete_from_ts: int) -> Self:
        """`complete_from_ts`: the log holds every batch after this timestamp."""
    @property
    def engine(self) -> Engine:
        """The engine it reads."""
    @property
    def position_ts(self) -> int:
        """Commit timestamp up to which batches were read; of a new feed, where it begins."""
    def next_batch(self) -> tuple[int, list[_Change]] | None:
        """(timestamp, [(key, value or None, stop or None), ...]), or None when there is none yet."""
    def wait(self, timeout_ms: int) -> None:
        """Waits until something newer than the last batch may be there, or the time is up."""
    def close(self) -> None:
        """Lets go of log and versions."""
