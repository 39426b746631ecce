"""Which tables to compact next: pure functions of the tree, with no I/O, no clock and no state.

Leveled compaction with dynamic level sizes (Dong et al., "Optimizing Space Amplification in RocksDB",
CIDR 2017). The bottom level's real size decides what the levels above may hold, each a
`level_ratio`-th of the one below, until a level would be too small to be worth its merges:

    level 0     fresh tables, overlapping         count >= level0_compaction_count: merge into the base level
    level 1..4  empty                             target 0: whatever is left here moves down
    level 5     base level, target = S / 10       over its target: one table (round robin) merges into level 6
    level 6     bottom, S bytes                   never over its target

So nearly all bytes are always in the bottom level, and dead ones above it are at most a ninth of that.

What keeps reads right (tree.py, rule 1) while several compactions run side by side:
- All inputs of a running compaction are busy, and none of them is picked again.
- While any level-0 table is busy, no other is picked; a merge takes all of level 0. Hence an older
  table never ends up above a newer one that it overlaps.
- A merge takes every table of the output level between the first and the last key of its inputs. A
  table that lies there and is busy makes the pick impossible, so outputs never meet.
- No level between 0 and the base level holds anything.

Each pick either moves data down, or leaves fewer reasons to pick: every tree comes to rest. For
rewrites that takes an executor that drops, up to `horizon_ts`, all deletes nothing deeper needs and
all versions but the newest of each key, and that copies the values of the files being collected.
"""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from phantomdb.core import limits
from phantomdb.core.options import Options
from phantomdb.core.tree import Level, Levels, TableMeta, ValueFileMeta, level_bytes, overlapping, total_bytes

Kind = Literal["level0", "level", "trivial_move", "rewrite"]
Range = tuple[bytes | None, bytes | None]                # start inclusive, stop exclusive, None = open


@dataclass(frozen=True, slots=True)
class Compaction:
    """Work for one compaction: merge `inputs`, write tables of `output_level`, swap them in one Edit."""

    kind: Kind
    partition: int
    input_level: int
    output_level: int
    # Newest first. Each is a sorted run: one level-0 table, or tables of one deeper level.
    inputs: tuple[Level, ...]
    # Key ranges (inclusive, sorted, disjoint) in which something older than the inputs exists: a
    # delete of a key in none of them hides nothing and may be dropped.
    deeper: tuple[tuple[bytes, bytes], ...]
    # Cuts between keys; the parts are independent of each other and read a bounded number of bytes each.
    subranges: tuple[Range, ...]
    score: float

    @property
    def tables(self) -> Level:
        return tuple(table for run in self.inputs for table in run)

    @property
    def input_bytes(self) -> int:
        return total_bytes(self.tables)

    @property
    def pointer(self) -> bytes:
        """Last key taken from the input level: where the round robin of that level goes on."""
        return max(table.largest for table in self.tables if table.level == self.input_level)


@dataclass(frozen=True, slots=True)
class Shape:
    """Where level 0 goes, and how many bytes each level may hold before it must give some away."""

    base_level: int
    targets: tuple[int, ...]


# ------------------------------------------------------------------ sizes and scores

def base_bytes(options: Options) -> int:
    """What level 0 brings at a time, about, and so the smallest base level that is worth a merge of its own.

    A full memtable becomes a table of a quarter to four fifths of its size: nodes cost more in memory than
    entries on disk, and LZ4 takes its part. Too large a base level costs more than too small a one: level 0
    then merges with ever more, and until that is done readers look into every fresh table
    (docs/decisions/0010-compaction-in-small-steps.md has the figures).
    """
    return options.level0_compaction_count * options.memtable_capacity_bytes // 4


def shape(levels: Levels, options: Options) -> Shape:
    """The dynamic level sizes of a tree with these levels."""
    depth = bottom = len(levels) - 1
    targets = [0] * len(levels)
    targets[bottom] = max(total_bytes(levels[bottom]), 1)
    while depth > 1 and targets[depth] // options.level_ratio >= base_bytes(options):
        targets[depth - 1] = targets[depth] // options.level_ratio
        depth -= 1
    first_used = next((level for level in range(1, bottom) if levels[level]), bottom)
    return Shape(min(depth, first_used), tuple(targets))


def scores(levels: Levels, options: Options) -> tuple[float, ...]:
    """How urgent each level is; from 1.0 it should be compacted. The bottom level has 0."""
    sizes, targets = level_bytes(levels), shape(levels, options).targets
    result = [len(levels[0]) / options.level0_compaction_count]
    if result[0] >= 1:
        result[0] = max(result[0], sizes[0] / base_bytes(options))
    for size, target in zip(sizes[1:-1], targets[1:-1], strict=True):
        # A level above the base (the database shrank) is drained, but is not urgent for being small.
        result.append(size / target if target else (1 + size / base_bytes(options) if size else 0.0))
    return (*result, 0.0)


def pending_bytes(levels: Levels, options: Options) -> int:
    """Estimate of what compactions have to write until the tree is at rest."""
    sizes, targets = level_bytes(levels), shape(levels, options).targets
    carried = sizes[0] if len(levels[0]) >= options.level0_compaction_count else 0
    pending = float(carried)
    for depth in range(1, len(levels) - 1):
        size = sizes[depth] + carried
        carried = max(0, size - targets[depth])
        if sizes[depth] or targets[depth]:
            pending += carried * (1 + min(options.level_ratio, sizes[depth + 1] / max(size, 1)))
    return int(pending)


def write_delay(level0_count: int, pending: int, options: Options) -> float | Literal["stop"]:
    """Seconds a writer waits for each MB it writes; grows from nothing to the stop without a jump."""
    slow = limits.PENDING_SLOWDOWN_FACTOR * base_bytes(options)
    stop = limits.PENDING_STOP_FACTOR * base_bytes(options)
    pressure = max((level0_count - options.level0_slowdown_count)
                   / (options.level0_stop_count - options.level0_slowdown_count),
                   (pending - slow) / (stop - slow))
    if pressure >= 1:
        return "stop"
    return limits.MAX_DELAY_S_PER_MB * max(pressure, 0.0) ** 2


def value_files_to_collect(files: Iterable[ValueFileMeta], before: int = limits.MAX_U64) -> frozenset[int]:
    """Value files of which more than half is garbage. Those from number `before` on are still being
    written: values copied out of one could end up in it again, and collecting it would never end."""
    return frozenset(file.number for file in files
                     if file.number < before and 2 * file.garbage_bytes > file.total_bytes)


# ------------------------------------------------------------------ picks

def pick(partition: int, levels: Levels, options: Options, *, busy: Collection[int] = (),
         pointers: Mapping[int, bytes] | None = None, collect: Collection[int] = (),
         horizon_ts: int = 0) -> Compaction | None:
    """The most useful compaction that disturbs no running one, or None.

    `busy`: numbers of the tables being compacted. `pointers`: of each level, the last key compacted.
    `collect`: value files to be emptied. `horizon_ts`: no reader looks at or below this timestamp
    except for the newest version there.
    """
    picker = _Picker(partition, levels, options, frozenset(busy))
    urgency = scores(levels, options)
    for depth in sorted(range(len(levels)), key=lambda level: urgency[level], reverse=True):
        if urgency[depth] < 1:
            break
        found = picker.level0(urgency[0]) if depth == 0 else picker.level(
            depth, urgency[depth], (pointers or {}).get(depth))
        if found is not None:
            return found
    return picker.wasteful(frozenset(collect), horizon_ts)


def pick_full(partition: int, levels: Levels, options: Options, *, before: int, until_ts: int,
              busy: Collection[int] = ()) -> Compaction | None:
    """The next step towards everything in the bottom level and no waste in it; None at the end.

    `before` and `until_ts`: next_file_number and last_ts of the tree when this began. What is written
    later is not waited for, so that the steps end under a steady load too. With busy tables None may
    also mean that they are in the way.
    """
    picker = _Picker(partition, levels, options, frozenset(busy))
    if any(table.number < before for table in levels[0]):
        return picker.level0(0.0)
    for depth in range(1, len(levels) - 1):
        for table in levels[depth]:
            if table.min_ts <= until_ts and (found := picker.push(table, 0.0)) is not None:
                return found
    for table in levels[-1]:
        wasteful = table.delete_count or table.tombstone_count or table.entry_count > table.key_count
        if table.number < before and wasteful and table.number not in picker.busy:
            return picker.rewrite(table)
    return None


class _Picker:
    """One pick: the tree and what is busy in it."""

    def __init__(self, partition: int, levels: Levels, options: Options, busy: frozenset[int]) -> None:
        self.partition, self.levels, self.options, self.busy = partition, levels, options, busy

    def level0(self, score: float) -> Compaction | None:
        """Move one table into the base level where that needs no merge, else merge all of level 0."""
        base = shape(self.levels, self.options).base_level
        tables = self.levels[0]
        if not tables or self._any_busy(tables):
            return None
        for index in range(len(tables) - 1, -1, -1):                     # oldest first
            table = tables[index]
            alone = not any(table.overlaps(older.smallest, older.largest) for older in tables[index + 1:])
            if alone and self._fits_unmerged(table, base):
                return self._move(table, base, score)
        below = overlapping(self.levels[base], *_hull(tables))
        if self._any_busy(below):
            return None
        return self._merge("level0", 0, base, (*((table,) for table in tables), below), score)

    def level(self, depth: int, score: float, pointer: bytes | None) -> Compaction | None:
        """The first table after `pointer`, round and round, that can go down."""
        tables = self.levels[depth]
        start = 0 if pointer is None else bisect_right(tables, pointer, key=lambda table: table.smallest)
        for table in (*tables[start:], *tables[:start]):
            if (found := self.push(table, score)) is not None:
                return found
        return None

    def push(self, table: TableMeta, score: float) -> Compaction | None:
        """`table`, which is not in level 0, one level down."""
        depth = table.level
        below = overlapping(self.levels[depth + 1], table.smallest, table.largest)
        if table.number in self.busy or self._any_busy(below):
            return None
        if self._fits_unmerged(table, depth + 1):
            return self._move(table, depth + 1, score)
        # Neighbours that need no further table of the next level come along for free.
        above = overlapping(self.levels[depth], *_hull((table, *below)))
        if (self._any_busy(above) or overlapping(self.levels[depth + 1], *_hull(above)) != below
                or total_bytes(above) > limits.SUBCOMPACTION_TABLES * self.options.table_bytes):
            above = (table,)
        return self._merge("level", depth, depth + 1, (above, below), score)

    def wasteful(self, collect: frozenset[int], horizon_ts: int) -> Compaction | None:
        """A table worth writing anew for what it would lose."""
        for depth, level in enumerate(self.levels):
            if depth == 0 and self._any_busy(level):
                continue
            for table in level:
                if table.number not in self.busy and (found := self._waste(table, collect, horizon_ts)) is not None:
                    return found
        return None

    def _waste(self, table: TableMeta, collect: frozenset[int], horizon_ts: int) -> Compaction | None:
        if any(number in collect for number, _ in table.value_files):
            return self.rewrite(table)
        if table.max_ts > horizon_ts:
            return None                                                  # what may go later would come back now
        if table.tombstone_count or 2 * table.delete_count > table.entry_count:
            # Deletes can go only where nothing is left below them.
            if table.level == 0:
                return self.level0(0.0)
            return self.push(table, 0.0) if self._deeper((table,), table.level) else self.rewrite(table)
        return self.rewrite(table) if table.entry_count > 2 * table.key_count else None

    def rewrite(self, table: TableMeta) -> Compaction:
        return self._merge("rewrite", table.level, table.level, ((table,),), 0.0)

    def _any_busy(self, tables: Iterable[TableMeta]) -> bool:
        return any(table.number in self.busy for table in tables)

    def _fits_unmerged(self, table: TableMeta, depth: int) -> bool:
        """Nothing is in its place at `depth`, and its next merge will not be a huge one."""
        if overlapping(self.levels[depth], table.smallest, table.largest):
            return False
        if depth + 1 == len(self.levels):
            return True
        after = overlapping(self.levels[depth + 1], table.smallest, table.largest)
        return total_bytes(after) <= limits.GRANDPARENT_TABLES * self.options.table_bytes

    def _move(self, table: TableMeta, output_level: int, score: float) -> Compaction:
        return Compaction("trivial_move", self.partition, table.level, output_level, ((table,),), (),
                          ((None, None),), score)

    def _merge(self, kind: Kind, input_level: int, output_level: int, runs: tuple[Level, ...],
               score: float) -> Compaction:
        runs = tuple(run for run in runs if run)
        tables = tuple(table for run in runs for table in run)
        after: Level = ()
        if output_level + 1 < len(self.levels):
            after = overlapping(self.levels[output_level + 1], *_hull(tables))
        return Compaction(kind, self.partition, input_level, output_level, runs, self._deeper(tables, output_level),
                          _subranges(tables, after, self.options), score)

    def _deeper(self, tables: Sequence[TableMeta], output_level: int) -> tuple[tuple[bytes, bytes], ...]:
        """Ranges of everything older than what `tables` become, where they are."""
        hull = _hull(tables)
        older = [table for level in self.levels[output_level + 1:] for table in overlapping(level, *hull)]
        if output_level == 0:            # a rewrite in level 0: the tables behind it are older
            position = self.levels[0].index(tables[-1])
            older += [table for table in self.levels[0][position + 1:] if table.overlaps(*hull)]
        ranges: list[tuple[bytes, bytes]] = []
        for table in sorted(older, key=lambda table: table.smallest):
            if ranges and table.smallest <= ranges[-1][1]:
                ranges[-1] = (ranges[-1][0], max(ranges[-1][1], table.largest))
            else:
                ranges.append((table.smallest, table.largest))
        return tuple(ranges)


def _hull(tables: Sequence[TableMeta]) -> tuple[bytes, bytes]:
    return min(table.smallest for table in tables), max(table.largest for table in tables)


def _subranges(tables: Sequence[TableMeta], after: Sequence[TableMeta], options: Options) -> tuple[Range, ...]:
    """Cuts just after last keys of tables, so that no part reads much more than the bound of `tables`, and
    no output lies over much more than the bound of `after`.

    A range tombstone that is cut there ends with a zero byte, so that the table's last key is exact
    and tables on both sides of the cut do not touch (compaction.pyx).
    """
    cuts = sorted({table.largest + b"\0" for table in (*tables, *after)})[:-1]
    read, covered = _spread(tables, cuts), _spread(after, cuts)
    bounds: list[bytes] = []
    read_bytes, covered_bytes = read[0], covered[0]
    for cut, more_read, more_covered in zip(cuts, read[1:], covered[1:], strict=True):
        if (read_bytes + more_read > limits.SUBCOMPACTION_TABLES * options.table_bytes
                or covered_bytes + more_covered > limits.GRANDPARENT_TABLES * options.table_bytes):
            bounds.append(cut)
            read_bytes = covered_bytes = 0.0
        read_bytes += more_read
        covered_bytes += more_covered
    edges = [None, *bounds, None]
    return tuple(zip(edges, edges[1:], strict=False))


def _spread(tables: Iterable[TableMeta], cuts: Sequence[bytes]) -> list[float]:
    """Bytes in each of the parts that `cuts` make, taking a table's bytes as spread evenly over its parts."""
    parts = [0.0] * (len(cuts) + 1)
    for table in tables:
        first, last = bisect_right(cuts, table.smallest), bisect_right(cuts, table.largest)
        for part in range(first, last + 1):
            parts[part] += table.file_size / (last - first + 1)
    return parts
