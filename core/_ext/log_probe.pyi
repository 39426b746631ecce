"""The log for Python: without an engine, for tests and for tools that measure."""
import os
from collections.abc import Iterable
from typing import final

from phantomdb.core._ext.files import FileSystem

@final
class LogProbe:
    """A log of its own, without an engine: for tests and for tools that measure.

    `recovered` lists what was replayed as (segment, commit_ts, payload). Records with a commit_ts in
    `missing` are treated as if their values in the value log were gone. Thread-safe but for close().
    """
    recovered: list[tuple[int, int, bytes]]
    def __init__(self, file_system: FileSystem, directory: str | os.PathLike[str], segment_bytes: int,
                 zero_fill: bool, first_segment: int = 1, missing: Iterable[int] = ()) -> None: ...
    def append(self, payload: bytes, commit_ts: int) -> int:
        """Appends a record; returns the position after it."""
    def wait_durable(self, lsn: int) -> None:
        """Returns when all before `lsn` is on disk."""
    def prepare(self) -> None:
        """Makes the next segment ready."""
    def release(self, number: int) -> None:
        """Gives back the segments below `number`."""
    def pin(self, segment: int) -> None:
        """Keeps `segment` and newer ones, whatever is released; FeedLost when it is gone."""
    def unpin(self, segment: int) -> None:
        """Ends one pin of `segment`."""
    def close(self, remove_all: bool = False) -> None:
        """Syncs and closes, or removes every segment; again is allowed."""
    @property
    def end_lsn(self) -> int:
        """Position after the last record."""
    @property
    def durable_lsn(self) -> int:
        """Position up to which all is on disk."""
    @property
    def current_segment(self) -> int:
        """Number of the segment being written."""
    @property
    def oldest_segment(self) -> int:
        """Number of the oldest segment that is not released."""
    @property
    def live_bytes(self) -> int:
        """Bytes of headers and records that are not released."""
