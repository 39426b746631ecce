"""The options of phantomdb.open(): declared once, with default, range, unit and meaning.

The checks and the table in the documentation are both made from the declarations below, so they
cannot disagree with each other. Options are immutable; a changed copy comes from dataclasses.replace,
which checks again.
"""
from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from phantomdb.core import limits
from phantomdb.core.errors import InvalidArgument

if TYPE_CHECKING:
    from phantomdb.core._ext.files import FileSystem
    from phantomdb.core.filesystems import FileSystemLike

Durability = Literal["commit", "interval", "none"]
Compression = Literal["lz4", "none"]

_KIB, _MIB, _TIB = 1 << 10, 1 << 20, 1 << 40


def _number(default: float, low: float, high: float, unit: str, meaning: str) -> Any:
    """A number in [low, high]; whole when the default is."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit, "meaning": meaning})


def _choice(default: str, choices: tuple[str, ...], meaning: str) -> Any:
    return field(default=default, metadata={"choices": choices, "unit": "", "meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything one may choose when opening a database. Only `partitions` is fixed at creation."""

    create: bool = field(default=True, metadata={
        "unit": "", "meaning": "make a new database where there is none; otherwise that is an error"})
    durability: Durability = _choice(
        "commit", get_args(Durability),
        "when a commit is on disk: `commit` before it returns (concurrent commits share a sync), `interval` at most"
        " `sync_interval_ms` later, `none` when the operating system likes (a crash of the process loses nothing)")
    sync_interval_ms: int = _number(100, 1, 60_000, "ms", "time between syncs with durability `interval`")
    partitions: int | None = field(default=None, metadata={
        "low": 1, "high": limits.MAX_PARTITIONS, "unit": "", "optional": True,
        "meaning": "trees the keys are spread over by hash; fixed at creation. None: 1 in a new database, and what it"
                   " was made with in an old one"})
    memtable_bytes: int = _number(
        64 * _MIB, limits.MIN_MEMTABLE_BYTES, limits.MAX_MEMTABLE_BYTES, "bytes",
        "write buffer of all partitions together: the memtables being filled take a quarter of it, so that at most"
        " four of a partition are in memory (each has at least 256 KiB, whatever this says)")
    block_cache_bytes: int = _number(
        256 * _MIB, 0, 64 * _TIB, "bytes",
        "memory for blocks of tables, their indexes and fingerprints included; what memtables leave unused of"
        " memtable_bytes serves blocks too")
    max_open_tables: int = _number(1000, 16, 1_000_000, "files", "tables whose file and index are held open at most")
    block_bytes: int = _number(
        4 * _KIB, limits.MIN_BLOCK_BYTES, limits.MAX_BLOCK_BYTES, "bytes",
        "size of a block before compression: small favours point reads, large favours scans and space")
    compression: Compression = _choice("lz4", get_args(Compression), "how blocks are compressed")
    value_threshold_bytes: int = _number(
        4 * _KIB, 64, limits.MAX_INLINE_VALUE_BYTES, "bytes",
        "larger values go to the value log, where compaction does not copy them")
    value_file_bytes: int = _number(256 * _MIB, 64 * _KIB, 64 << 30, "bytes", "size at which a value file is ended")
    log_segment_bytes: int = _number(16 * _MIB, 64 * _KIB, 1 << 30, "bytes", "size of a write-ahead log segment")
    table_bytes: int = _number(16 * _MIB, 64 * _KIB, 4 << 30, "bytes", "size compaction aims at for a table")
    level_ratio: int = _number(10, 2, 100, "", "how many times larger each level is than the one above")
    level_count: int = _number(
        7, limits.MIN_LEVELS, limits.MAX_LEVELS, "", "levels of a tree, level 0 (fresh tables) included")
    level0_compaction_count: int = _number(4, 1, 1000, "tables", "level-0 tables that start a compaction")
    level0_slowdown_count: int = _number(12, 1, 10_000, "tables", "level-0 tables from which writers are slowed")
    level0_stop_count: int = _number(24, 2, 10_000, "tables", "level-0 tables at which writers wait")
    compaction_threads: int = _number(1, 1, 64, "threads", "compactions at a time; flushes have a thread of their own")
    compaction_bytes_per_second: int = _number(
        0, 0, 64 << 30, "bytes/s", "what compactions may write; 0 is no limit")
    retention_s: float = _number(
        60.0, 0.0, 3.2e9, "s", "how far back AS OF may read; older versions go at compaction")
    sweep_interval_s: float = _number(
        60.0, 0.0, 3.2e9, "s",
        "time between removals of expired rows (they are invisible at once); 0 is never")
    column_cache_bytes: int = _number(
        512 * _MIB, 0, 64 * _TIB, "bytes",
        "memory for columns of tables that queries over whole tables read, kept while the table does not change")
    query_memory_bytes: int = _number(
        1024 * _MIB, 16 * _MIB, 64 * _TIB, "bytes",
        "memory of all running queries for joins, sorts and groups together; beyond it they use temporary files")
    query_temporary_bytes: int = _number(
        16 << 30, 0, 64 * _TIB, "bytes", "what queries may use of temporary files")
    temporary_folder: str | None = field(default=None, metadata={
        "unit": "", "meaning": "where temporary files of queries go; None is the system's folder for them"})
    file_system: FileSystem | FileSystemLike | None = field(default=None, metadata={
        "unit": "", "meaning": "object that does all file work, for tests and simulation; None is the disk"})

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            _check(item.name, getattr(self, item.name), item.metadata, whole=not isinstance(item.default, float))
        if not isinstance(self.create, bool):
            raise InvalidArgument(f"create must be True or False, not {self.create!r}")
        if self.temporary_folder is not None and not isinstance(self.temporary_folder, str):
            raise InvalidArgument(f"temporary_folder must be a path, not {self.temporary_folder!r}")
        if self.file_system is not None and not callable(getattr(self.file_system, "open", None)):
            raise InvalidArgument(f"file_system must be an object like phantomdb.core.filesystems.MemoryFileSystem, "
                                  f"not {self.file_system!r}")
        if not self.level0_compaction_count <= self.level0_slowdown_count < self.level0_stop_count:
            raise InvalidArgument(
                "level0_compaction_count <= level0_slowdown_count < level0_stop_count must hold, not "
                f"{self.level0_compaction_count}, {self.level0_slowdown_count}, {self.level0_stop_count}")

    @property
    def memtable_capacity_bytes(self) -> int:
        """What one memtable of one partition holds. `partitions` None counts as 1: resolve it first."""
        share = self.memtable_bytes // limits.MAX_MEMTABLES // (self.partitions or 1)
        return max(share, limits.MIN_MEMTABLE_BYTES)

    @property
    def transaction_bytes(self) -> int:
        """What one transaction may write: in each partition five of the eighths of its memtables."""
        return self.memtable_capacity_bytes * limits.MAX_MEMTABLES * (self.partitions or 1) * 5 // 8

    @classmethod
    def table(cls) -> str:
        """All options as a Markdown table."""
        lines = ["| option | default | allowed | unit | meaning |", "|---|---|---|---|---|"]
        for item in dataclasses.fields(cls):
            default = f"{item.default:,}" if type(item.default) is int else str(item.default)
            lines.append(f"| `{item.name}` | {default} | {_allowed(item.metadata)} | {item.metadata['unit']} "
                         f"| {item.metadata['meaning']} |")
        return "\n".join(lines) + "\n"


def _allowed(metadata: Any) -> str:
    if "choices" in metadata:
        return ", ".join(metadata["choices"])
    if "low" not in metadata:
        return ""
    return f"{metadata['low']:,} to {metadata['high']:,}" + (", or None" if metadata.get("optional") else "")


def _check(name: str, value: Any, metadata: Any, *, whole: bool) -> None:
    if value is None and metadata.get("optional"):
        return
    if "choices" in metadata and not (isinstance(value, str) and value in metadata["choices"]):
        raise InvalidArgument(f"{name} must be one of {_allowed(metadata)}, not {value!r}")
    if "low" not in metadata:
        return
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise InvalidArgument(f"{name} must be a {'whole number' if whole else 'number'} of {_allowed(metadata)}, "
                              f"not {value!r}")
    if math.isnan(value) or not metadata["low"] <= value <= metadata["high"]:
        raise InvalidArgument(f"{name} must be from {_allowed(metadata)}, not {value!r}")
