"""Flush and compaction: several sorted sources become new tables, without what nobody may read any more."""
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias, TypedDict, final

from phantomdb.core._ext.files import FileSystem
from phantomdb.core._ext.memtable import MemtableHandle
from phantomdb.core._ext.table import TableHandle

_Source: TypeAlias = MemtableHandle | list[TableHandle]

class _Table(TypedDict):
    number: int
    path: str
    file_size: int
    entry_count: int
    key_count: int
    delete_count: int
    tombstone_count: int
    raw_bytes: int
    min_ts: int
    max_ts: int
    value_log_bytes: int
    smallest: bytes
    largest: bytes
    value_files: dict[int, int]

class CompactionCancelled(Exception):
    """The compaction was told to stop; it left nothing behind."""

@final
class RateLimiter:
    """Limits the bytes a second that all compactions sharing it write; 0 is no limit."""

    def __init__(self, bytes_per_second: int) -> None: ...
    @property
    def bytes_per_second(self) -> int:
        """The limit; 0 is none."""
    def take(self, size: int) -> None:
        """Wait until `size` more bytes may be written."""

@final
class Cancel:
    """A flag that stops the compactions it was given to, from any thread."""

    def set(self) -> None:
        """Stop them."""
    def is_set(self) -> bool:
        """Whether set() was called."""

@final
class ValueLogHandle:
    """Lends a value log to write_tables, so that it can relocate values."""

    @staticmethod
    def create(file_system: FileSystem, directory: str, *, first_number: int,
               file_bytes: int = ...) -> ValueLogHandle:
        """A value log of its own in `directory`, apart from any database: for tools and tests."""

@final
class CompactionResult:
    """What a run made of its sources."""

    tables: list[_Table]
    """In key order. `largest` is inclusive; see the module's text on range tombstones."""
    garbage: dict[int, int]
    """Value file number -> bytes of its records that no output points to any more."""
    relocated_bytes: int
    """Bytes of values appended to the value log anew."""
    entries_in: int
    entries_out: int
    bytes_written: int
    """Sizes of all outputs."""
    seconds: float

def write_tables(file_system: FileSystem, directory: str, sources: list[_Source] | list[list[TableHandle]], *,
                 next_number: Callable[[], int], name_format: str = "%012d.table", block_bytes: int = 4096,
                 compress: bool = True, target_bytes: int, snapshots: list[int], horizon: int,
                 deeper: Iterable[tuple[bytes, bytes]] = (), start: bytes | None = None, stop: bytes | None = None,
                 cancel: Cancel | None = None, limiter: RateLimiter | None = None,
                 relocate: Collection[int] = frozenset(), values: ValueLogHandle | None = None,
                 forget_ts: bool = True) -> CompactionResult:
    """Merge `sources` into new tables in `directory`; they are synced, and so is the directory.

    sources: newest first; each a memtable or a list of tables with ascending, disjoint ranges.
    next_number: called with no argument for the number of each output.
    snapshots, horizon: who still reads. Both are commit timestamps.
    deeper: (smallest, largest) of all tables in levels below the one the outputs go to.
    start, stop: only keys in [start, stop), for one of several parts that together make up the whole.
    relocate: numbers of value files whose values go to the current value file of `values`.
    forget_ts: timestamps may become 0. Not where range tombstones are known that are not among the sources.

    Raises CompactionCancelled after `cancel.set()`. When anything is raised, no output is left.
    """
