"""The log read without being opened: for verify and repair."""
from collections.abc import Callable

from phantomdb.core._ext.files import FileSystem

def replay_log(file_system: FileSystem, directory: str, first_segment: int,
               apply: Callable[[int, int, bytes], bool]) -> int:
    """Calls apply(segment, commit_ts, payload) for each record that opening the database would replay, in order, and
    raises what opening would raise. `apply` returns True when a value that the record points to is not there.
    Returns the position after the last record."""

def salvage_segment(file_system: FileSystem, directory: str,
                    number: int) -> tuple[list[tuple[int, int, bytes]], list[tuple[int, int]]]:
    """What is whole in segment `number`, wherever it stands: ([(offset, commit_ts, payload), ...], [(offset, bytes) of
    each piece of damage with something whole behind it, ...])."""

def check_records(file_system: FileSystem, directory: str, segment: int, end_lsn: int) -> tuple[int, int]:
    """Reads all records of a log in use, from the first of `segment` up to position `end_lsn`, all of which must be
    whole. (records, bytes); the caller sees to it that the segment stays."""
