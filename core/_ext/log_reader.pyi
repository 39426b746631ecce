"""Reading segments of the write-ahead log, one checked record at a time."""
import os
from collections.abc import Iterator
from typing import final

from phantomdb.core._ext.files import FileSystem

@final
class LogSegment:
    """One segment's file, for `phantomdb inspect` and `verify`: its header, and its records by iteration.

    A record is (offset, lsn, commit_ts, durable_lsn, payload). When the iteration has ended,
    `end_reason` says why: "end of file", "end of records" (free space, or a torn tail), "damaged
    record" (a later one proves that it had been synced) or "damaged header" (nothing is read then).
    """
    path: str
    end_reason: str | None
    def __init__(self, file_system: FileSystem, path: str | os.PathLike[str]) -> None: ...
    def __iter__(self) -> Iterator[tuple[int, int, int, int, bytes]]: ...
    @property
    def header_valid(self) -> bool:
        """Whether the header's checksum is right; the other fields are 0 when it is not."""
    @property
    def number(self) -> int:
        """The segment's number as in its header."""
    @property
    def start_lsn(self) -> int:
        """Position of the first record."""
    @property
    def durable_lsn(self) -> int:
        """What had been synced when the segment was begun."""
    @property
    def size(self) -> int:
        """Bytes of the file as in its header."""
    @property
    def end_offset(self) -> int:
        """Where the records found so far end in the file."""

@final
class LogFeed:
    """Records in commit order across segments, from the first of `segment` on; a LogCursor for Python."""
    def __init__(self, file_system: FileSystem, directory: str | os.PathLike[str], segment: int) -> None: ...
    def read(self, end_lsn: int) -> list[tuple[int, int, int, int, bytes]]:
        """All further records before `end_lsn`, as a list of (segment, offset, lsn, commit_ts, payload)."""
