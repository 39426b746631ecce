"""The doors between the engine and its background work, which is plain Python (core/background.py)."""
from typing import Any, Final

from phantomdb.core._ext.compaction import ValueLogHandle
from phantomdb.core._ext.engine import Engine
from phantomdb.core._ext.memtable import MemtableHandle
from phantomdb.core._ext.table import TableCacheHandle, TableHandle

FLUSH: Final[int]
"""Work flag: an immutable memtable waits."""
COMPACT: Final[int]
"""Work flag: the tree has changed."""
LOG: Final[int]
"""Work flag: the log needs a spare segment, or a sync."""
STOP: Final[int]
"""Work flag, never cleared: the threads must end."""

def wait_for_work(engine: Engine, mask: int, timeout_ms: int) -> int:
    """Waits for a work flag of `mask`, clears and returns what is set of them (STOP stays); 0 when the time is up."""
def wake(engine: Engine, flags: int) -> None:
    """Sets work flags and wakes the threads that wait for them."""
def take_file_number(engine: Engine) -> int:
    """A file number never used before in this database."""
def next_file_number(engine: Engine) -> int:
    """The number the next file will get (what the manifest must remember)."""
def immutable_memtables(engine: Engine, partition: int) -> list[MemtableHandle]:
    """Memtables that wait to be flushed, oldest first."""
def rotate(engine: Engine, partition: int) -> bool:
    """Makes the active memtable immutable so that it can be flushed; False when it is empty."""
def cut(engine: Engine) -> list[list[MemtableHandle]]:
    """For each partition its memtables with all that is committed now, oldest first, and nothing later."""
def freeze(engine: Engine) -> None:
    """Commits wait from here on until thaw()."""
def thaw(engine: Engine) -> None:
    """Commits go on."""
def reserve_ts(engine: Engine) -> int:
    """A commit timestamp larger than all before, which no commit will get."""
def has_tombstones(engine: Engine, but: int) -> bool:
    """Whether a memtable of any partition except `but` holds a range tombstone."""

def publish_ingest(engine: Engine, ts: int, first: bytes | None, last: bytes | None) -> None:
    """Makes `ts` visible, at which the tables just installed have the keys from `first` to `last`."""
def oldest_log_segment(engine: Engine) -> tuple[int, int | None]:
    """(segment, partition): the oldest log segment a memtable still needs, and that memtable's partition."""
def install(engine: Engine, partitions: list[list[list[TableHandle]]], flushed: list[MemtableHandle]) -> None:
    """Makes `partitions` (levels of tables) what readers see and drops the `flushed` memtables, in one step."""
def reclaim(engine: Engine) -> None:
    """Waits for the readers inside, and frees what was unlinked before (old views)."""
def table_cache(engine: Engine) -> TableCacheHandle:
    """The engine's table cache, for making TableHandle objects."""
def value_log(engine: Engine) -> ValueLogHandle:
    """The engine's value log, for compactions that relocate values."""
def set_back_pressure(engine: Engine, delay_ns_per_kib: int, stopped: bool) -> None:
    """Slows writers down by so much for each KiB they write, or makes them wait at the next full memtable."""
def sync(engine: Engine) -> None:
    """Everything committed before the call is on disk when it returns."""
def sync_values(engine: Engine) -> None:
    """The value log is on disk: needed before a table that points into it is installed."""
def roll_values(engine: Engine) -> int:
    """Ends the current value file; its number, 0 when there is none."""
def remove_values(engine: Engine, file_number: int) -> None:
    """Deletes a value file nothing points into."""
def prepare_log(engine: Engine) -> None:
    """Makes the log's next segment ready."""
def release_log(engine: Engine, segment: int) -> None:
    """Segments below `segment` may go."""
def visible_ts(engine: Engine) -> int:
    """Newest timestamp a reader may use."""
def gc_floor_ts(engine: Engine) -> int:
    """Reads as of an earlier time are refused."""
def figures(engine: Engine) -> dict[str, Any]:
    """Counters and gauges of the engine, for stats()."""
def set_failure(engine: Engine, status: int) -> None:
    """Background work fails with `status` (0: no more): writers that would wait for it get this error instead."""
def oldest_value_file(engine: Engine) -> int:
    """Value files with a smaller number are pointed into by tables only, not by memtables or unfinished writes."""
def log_length(engine: Engine) -> int:
    """Bytes in all live log segments."""
