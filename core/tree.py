"""The LSM tree as a value: which tables exist, on which level, and what they cover.

    partition p      level 0   [c......m] [a....k] [b.........z]     newest first; ranges overlap
                     level 1
                     ...                                             empty until the bottom is large
                     level 5   [a.c] [d...h]   [k....p]              sorted by key, disjoint
                     level 6   [a..b][c.....g][h..l][m.....t][u..z]  the bottom: most of the data

A Tree never changes. What changes the database (a flush, a compaction, a collected value file) is an
Edit: small, complete in itself, written to the manifest, and turned into the next Tree by
`Tree.apply`. Readers that hold the old tree are not disturbed.

Two rules make reads right, and every new Tree is checked for the second:
1. Where two tables overlap, the one on the shallower level (in level 0: the one in front) is newer.
2. Tables of one level below 0 are disjoint, so one binary search finds the only candidate.
"""
from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from phantomdb.core.errors import CorruptionError


@dataclass(frozen=True, slots=True)
class TableMeta:
    """What is known about a table without opening it."""

    number: int
    partition: int
    level: int
    file_size: int                       # bytes on disk
    entry_count: int                     # versions, deletes included
    key_count: int                       # distinct keys
    delete_count: int                    # versions that are deletes
    tombstone_count: int                 # range tombstones, not among the entries
    raw_bytes: int                       # keys and values before compression
    min_ts: int
    max_ts: int
    smallest: bytes                      # user keys, both inclusive, range tombstones included
    largest: bytes
    value_files: tuple[tuple[int, int], ...] = ()    # (value file, bytes referenced there), by number
    base_ts: int = 0                     # the file's timestamps count from here; min_ts and max_ts include it

    def __post_init__(self) -> None:
        if self.smallest > self.largest or not self.base_ts <= self.min_ts <= self.max_ts:
            raise CorruptionError(f"table {self.number}: its keys or timestamps end before they begin")

    def overlaps(self, smallest: bytes, largest: bytes) -> bool:
        return self.smallest <= largest and smallest <= self.largest


def table_meta(made: Mapping[str, Any], partition: int, level: int) -> TableMeta:
    """What the table writer reports, as the tree keeps it."""
    return TableMeta(
        number=made["number"], partition=partition, level=level, file_size=made["file_size"],
        entry_count=made["entry_count"], key_count=made["key_count"], delete_count=made["delete_count"],
        tombstone_count=made["tombstone_count"], raw_bytes=made["raw_bytes"], min_ts=made["min_ts"],
        max_ts=made["max_ts"], smallest=made["smallest"], largest=made["largest"],
        value_files=tuple(sorted(made["value_files"].items())))


def table_properties(meta: TableMeta) -> dict[str, Any]:
    """What a TableHandle is made from."""
    return {"number": meta.number, "file_size": meta.file_size, "entry_count": meta.entry_count,
            "key_count": meta.key_count, "delete_count": meta.delete_count, "tombstone_count": meta.tombstone_count,
            "raw_bytes": meta.raw_bytes, "min_ts": meta.min_ts, "max_ts": meta.max_ts, "smallest": meta.smallest,
            "largest": meta.largest, "value_files": dict(meta.value_files), "base_ts": meta.base_ts}


Level = tuple[TableMeta, ...]
Levels = tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class ValueFileMeta:
    """A value file: `total_bytes` entered tables since it was made, `garbage_bytes` of them left again."""

    number: int
    total_bytes: int
    garbage_bytes: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.garbage_bytes <= self.total_bytes:
            raise CorruptionError(f"value file {self.number}: {self.garbage_bytes} bytes of garbage in "
                                  f"{self.total_bytes}")


@dataclass(frozen=True, slots=True)
class Edit:
    """One atomic change. A table in both `removed` and `added` moves to another level."""

    added: tuple[TableMeta, ...] = ()
    removed: tuple[int, ...] = ()
    # None: as it was. Counters only grow: of two edits made side by side, the larger value stays.
    next_file_number: int | None = None
    last_ts: int | None = None
    gc_floor_ts: int | None = None
    first_log_segment: int | None = None
    # (partition, timestamp): logged writes of the partition up to there are in tables now.
    flushed: tuple[tuple[int, int], ...] = ()
    # A value file that is known already grows by these bytes.
    added_value_files: tuple[ValueFileMeta, ...] = ()
    value_garbage: tuple[tuple[int, int], ...] = ()      # (value file, bytes no table refers to any more)
    removed_value_files: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """All partitions, the counters and the value files."""

    partitions: tuple[Levels, ...]
    next_file_number: int = 1            # above every table and value file ever made
    last_ts: int = 0                     # no commit in a table is newer; the next one gets a larger timestamp
    gc_floor_ts: int = 0                 # reads below may find versions gone
    first_log_segment: int = 0           # older segments are no longer needed
    value_files: tuple[ValueFileMeta, ...] = ()          # by number
    # Per partition: what the log holds up to here is in tables. A replay must skip it: tables may be ahead of
    # what was dropped since, and of a log that lost its end.
    flushed_ts: tuple[int, ...] = ()

    @classmethod
    def empty(cls, partition_count: int, level_count: int) -> Tree:
        return cls(partitions=(((),) * level_count,) * partition_count, flushed_ts=(0,) * partition_count)

    def tables(self) -> Iterable[TableMeta]:
        return (table for levels in self.partitions for level in levels for table in level)

    def as_edit(self) -> Edit:
        """The edit that makes this tree out of an empty one."""
        return Edit(added=tuple(self.tables()), next_file_number=self.next_file_number, last_ts=self.last_ts,
                    gc_floor_ts=self.gc_floor_ts, first_log_segment=self.first_log_segment,
                    flushed=tuple((partition, ts) for partition, ts in enumerate(self.flushed_ts) if ts),
                    added_value_files=self.value_files)

    def apply(self, edit: Edit) -> Tree:
        """The tree after `edit`. One that does not fit this tree, or breaks a rule of trees, is CorruptionError."""
        counters = {name: max(getattr(self, name), value) for name in _COUNTERS
                    if (value := getattr(edit, name)) is not None}
        highest = max([table.number for table in edit.added] + [file.number for file in edit.added_value_files],
                      default=0)
        counters["next_file_number"] = max(counters.get("next_file_number", self.next_file_number), highest + 1)
        counters["last_ts"] = max([counters.get("last_ts", self.last_ts), *(table.max_ts for table in edit.added),
                                   *(ts for _, ts in edit.flushed)])
        return replace(self, partitions=self._apply_tables(edit), value_files=self._apply_values(edit),
                       flushed_ts=self._apply_flushed(edit), **counters)

    def _apply_flushed(self, edit: Edit) -> tuple[int, ...]:
        if not edit.flushed:
            return self.flushed_ts
        newest = list(self.flushed_ts)
        for partition, ts in edit.flushed:
            if partition >= len(newest):
                raise CorruptionError(f"an edit flushes partition {partition}, which the database does not have")
            newest[partition] = max(newest[partition], ts)
        return tuple(newest)

    def _apply_tables(self, edit: Edit) -> tuple[Levels, ...]:
        if not edit.added and not edit.removed:
            return self.partitions
        removed = set(edit.removed)
        changed: dict[tuple[int, int], list[TableMeta]] = {}
        numbers: set[int] = set()
        missing = set(removed)
        for partition, levels in enumerate(self.partitions):
            for depth, level in enumerate(levels):
                numbers.update(table.number for table in level)
                if not removed.isdisjoint(table.number for table in level):
                    changed[partition, depth] = [table for table in level if table.number not in removed]
                    missing.difference_update(table.number for table in level)
        if missing:
            raise CorruptionError(f"an edit removes tables that are not in the tree: {sorted(missing)}")
        numbers -= removed
        for table in edit.added:
            if table.number in numbers:
                raise CorruptionError(f"an edit adds table {table.number}, which is there already")
            if table.partition >= len(self.partitions) or table.level >= len(self.partitions[table.partition]):
                raise CorruptionError(f"table {table.number} is for partition {table.partition}, level {table.level}, "
                                      "which the database does not have")
            numbers.add(table.number)
            place = (table.partition, table.level)
            changed.setdefault(place, list(self.partitions[table.partition][table.level])).append(table)
        partitions = [list(levels) for levels in self.partitions]
        for (partition, depth), tables in changed.items():
            partitions[partition][depth] = arrange(depth, tables)
        return tuple(tuple(levels) for levels in partitions)

    def _apply_values(self, edit: Edit) -> tuple[ValueFileMeta, ...]:
        if not (edit.added_value_files or edit.value_garbage or edit.removed_value_files):
            return self.value_files
        files = {file.number: file for file in self.value_files}
        for added in edit.added_value_files:
            old = files.get(added.number, ValueFileMeta(added.number, 0))
            files[added.number] = ValueFileMeta(added.number, old.total_bytes + added.total_bytes,
                                                old.garbage_bytes + added.garbage_bytes)
        for number, garbage_bytes in edit.value_garbage:
            if number not in files:
                raise CorruptionError(f"an edit counts garbage in value file {number}, which is not in the tree")
            files[number] = replace(files[number], garbage_bytes=files[number].garbage_bytes + garbage_bytes)
        for number in edit.removed_value_files:
            if files.pop(number, None) is None:
                raise CorruptionError(f"an edit removes value file {number}, which is not in the tree")
        return tuple(files[number] for number in sorted(files))


_COUNTERS = ("next_file_number", "last_ts", "gc_floor_ts", "first_log_segment")
# A counter that is missing in one of the two classes would be lost without a word.
assert set(_COUNTERS) <= {item.name for item in fields(Tree)} & {item.name for item in fields(Edit)}


def arrange(depth: int, tables: Iterable[TableMeta]) -> Level:
    """The tables in the order their level demands; below level 0 they must be disjoint."""
    if depth == 0:
        return tuple(sorted(tables, key=lambda table: (table.max_ts, table.number), reverse=True))
    level = tuple(sorted(tables, key=lambda table: table.smallest))
    for left, right in zip(level, level[1:], strict=False):
        if left.largest >= right.smallest:
            raise CorruptionError(f"tables {left.number} and {right.number} overlap on level {depth}")
    return level


def overlapping(level: Sequence[TableMeta], smallest: bytes, largest: bytes) -> Level:
    """Tables of a sorted, disjoint level that overlap [smallest, largest]."""
    start = bisect_left(level, smallest, key=lambda table: table.largest)
    stop = bisect_right(level, largest, key=lambda table: table.smallest)
    return tuple(level[start:stop])


def total_bytes(tables: Iterable[TableMeta]) -> int:
    return sum(table.file_size for table in tables)


def level_bytes(levels: Levels) -> tuple[int, ...]:
    """Bytes on disk of each level."""
    return tuple(total_bytes(level) for level in levels)


def space_amplification(levels: Levels) -> float:
    """All bytes over those of the deepest level in use, which holds each key about once; 1.0 when empty."""
    sizes = level_bytes(levels)
    bottom = next((size for size in reversed(sizes) if size), 0)
    return sum(sizes) / bottom if bottom else 1.0
