"""The picker: hand-drawn trees, and simulations in which a plain executor carries its picks out."""
from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phantomdb.core import limits
from phantomdb.core.options import Options
from phantomdb.core.picker import (
    Compaction,
    base_bytes,
    pending_bytes,
    pick,
    pick_full,
    scores,
    shape,
    value_files_to_collect,
    write_delay,
)
from phantomdb.core.tree import Edit, Level, Levels, TableMeta, Tree, ValueFileMeta, space_amplification, total_bytes

MB = 1 << 20
# base_bytes is 4 MB, a table 1 MB: small enough to draw by hand.
SMALL = Options(memtable_bytes=16 * MB, table_bytes=MB, level_ratio=4, level_count=5)


def table(number: int, level: int, smallest: str, largest: str, size: float = 1.0, **more: Any) -> TableMeta:
    values: dict[str, Any] = {"partition": 3, "file_size": int(size * MB), "entry_count": 10, "key_count": 10,
                              "delete_count": 0, "tombstone_count": 0, "raw_bytes": 0, "min_ts": number,
                              "max_ts": number} | more
    return TableMeta(number=number, level=level, smallest=smallest.encode(), largest=largest.encode(), **values)


def drawn(*tables: TableMeta) -> Levels:
    return Tree.empty(4, SMALL.level_count).apply(Edit(added=tables)).partitions[3]


def numbers(compaction: Compaction) -> list[list[int]]:
    return [[item.number for item in run] for run in compaction.inputs]


def picked(*tables: TableMeta, **more: Any) -> Compaction:
    found = pick(3, drawn(*tables), SMALL, **more)
    assert found is not None
    assert found.partition == 3
    return found


# ------------------------------------------------------------------ level 0

def test_an_empty_tree_needs_nothing() -> None:
    assert pick(3, drawn(), SMALL) is None


def test_few_fresh_tables_are_left_alone() -> None:
    assert pick(3, drawn(*(table(n, 0, "a", "z") for n in range(1, 4))), SMALL) is None


def test_level_0_merges_into_the_bottom_of_a_small_tree_newest_first() -> None:
    found = picked(*(table(n, 0, "b", "y") for n in range(1, 5)), table(9, 4, "a", "c"), table(8, 4, "d", "e"),
                   table(7, 4, "z", "z"))
    assert (found.kind, found.input_level, found.output_level) == ("level0", 0, 4)
    assert numbers(found) == [[4], [3], [2], [1], [9, 8]]
    assert found.deeper == ()
    assert found.pointer == b"y"
    assert found.input_bytes == 6 * MB


def test_the_hull_of_level_0_counts_not_each_table() -> None:
    """Between two tables of level 0 an output may lie over the gap."""
    found = picked(table(1, 0, "a", "b"), table(2, 0, "a", "b"), table(3, 0, "m", "n"), table(4, 0, "m", "n"),
                   table(9, 4, "b", "c"), table(8, 4, "f", "g"), table(7, 4, "n", "n"))
    assert numbers(found)[-1] == [9, 8, 7]


@pytest.mark.parametrize("busy", [1, 4, 9])
def test_level_0_waits_for_what_is_busy_in_it_or_below(busy: int) -> None:
    levels = drawn(*(table(n, 0, "b", "y") for n in range(1, 5)), table(9, 4, "a", "c"))
    assert pick(3, levels, SMALL, busy={busy}) is None


def test_the_oldest_table_that_overlaps_nothing_moves() -> None:
    tables = [table(1, 0, "a", "c"), table(2, 0, "c", "e"), table(3, 0, "f", "g"), table(4, 0, "a", "z")]
    found = picked(*tables)
    assert (found.kind, found.output_level, numbers(found)) == ("trivial_move", 4, [[1]])
    # Table 2 overlaps the older 1, so 3 is the oldest that may pass; 4 lies over all of them.
    found = picked(*tables, table(9, 4, "a", "b"))
    assert (found.kind, numbers(found)) == ("trivial_move", [[3]])
    found = picked(*tables, table(9, 4, "a", "b"), table(8, 4, "g", "h"))
    assert (found.kind, numbers(found)) == ("level0", [[4], [3], [2], [1], [9, 8]])


def test_a_move_into_the_base_level_is_refused_over_too_much_below() -> None:
    below = [table(100 + n, 4, f"b{n:03}", f"b{n:03}") for n in range(2 * limits.GRANDPARENT_TABLES + 1)]
    fresh = [table(n, 0, letter, letter + "z") for n, letter in enumerate("abcd", 1)]
    assert shape(drawn(*fresh, *below), SMALL).base_level == 3
    assert numbers(picked(*fresh, *below)) == [[1]]
    found = picked(*(table(n, 0, "b", "bz") for n in range(1, 5)), *below)
    assert (found.kind, found.output_level) == ("level0", 3)
    # The outputs are cut, so that none of them lies over too much, either.
    assert len(found.subranges) == 3
    assert found.deeper[0] == (b"b000", b"b000")
    assert len(found.deeper) == len(below)


# ------------------------------------------------------------------ deeper levels

def test_dynamic_sizes_follow_the_bottom() -> None:
    def bottom(size: float) -> Levels:
        return drawn(table(1, 4, "a", "z", size))

    assert base_bytes(SMALL) == 4 * MB
    assert shape(bottom(15), SMALL).base_level == 4
    assert shape(bottom(16), SMALL).base_level == 3
    assert shape(bottom(16), SMALL).targets == (0, 0, 0, 4 * MB, 16 * MB)
    assert shape(bottom(64), SMALL).targets == (0, 0, 4 * MB, 16 * MB, 64 * MB)
    assert shape(bottom(10_000), SMALL).base_level == 1
    # What lies above the base level keeps level 0 from jumping over it, and moves down.
    shrunk = drawn(table(1, 2, "a", "z"), table(2, 4, "a", "z", 5))
    assert shape(shrunk, SMALL).base_level == 2
    assert scores(shrunk, SMALL)[2] >= 1


def wide_tree(*more: TableMeta) -> tuple[TableMeta, ...]:
    """Level 3 may hold 5 MB and holds 6; level 4 has 20 tables."""
    letters = "abcdefghijklmnopqrst"
    return (*(table(20 + n, 4, letter, letter + "z") for n, letter in enumerate(letters)),
            *(table(50 + n, 3, letters[3 * n] + "n", letters[3 * n + 2] + "a") for n in range(6)), *more)


def test_a_level_over_its_target_gives_round_robin() -> None:
    found = picked(*wide_tree())
    assert (found.kind, found.input_level, found.output_level) == ("level", 3, 4)
    assert numbers(found) == [[50], [20, 21, 22]]
    assert found.pointer == b"ca"
    following = picked(*wide_tree(), pointers={3: found.pointer})
    assert numbers(following) == [[51], [23, 24, 25]]
    assert numbers(picked(*wide_tree(), pointers={3: b"zz"})) == [[50], [20, 21, 22]]


def test_what_is_busy_is_passed_over() -> None:
    assert numbers(picked(*wide_tree(), busy={50})) == [[51], [23, 24, 25]]
    assert numbers(picked(*wide_tree(), busy={21, 51})) == [[52], [26, 27, 28]]
    assert pick(3, drawn(*wide_tree()), SMALL, busy=set(range(50, 56))) is None


def test_neighbours_that_need_nothing_more_come_along() -> None:
    levels = (table(1, 4, "a", "f", 16), table(2, 4, "g", "z", 4),
              table(3, 3, "b", "c", 3), table(4, 3, "d", "e", 3), table(5, 3, "f", "g", 3))
    assert numbers(picked(*levels)) == [[3], [1]]        # with 4 comes 5, which needs 2
    assert numbers(picked(*levels[:4], table(5, 3, "h", "i", 3))) == [[3, 4], [1]]


def test_a_table_over_nothing_moves() -> None:
    found = picked(*wide_tree(table(60, 3, "A", "B")))
    assert (found.kind, numbers(found), found.output_level) == ("trivial_move", [[60]], 4)


def test_the_most_urgent_level_comes_first() -> None:
    fresh = [table(n, 0, "a", "z") for n in range(1, 8)]
    assert picked(*wide_tree(*fresh[:4])).input_level == 3           # 1.2 over 1.0
    assert picked(*wide_tree(*fresh)).input_level == 0               # 1.75 over 1.2
    assert picked(*wide_tree(*fresh), busy={7}).input_level == 3


def test_deeper_ranges_say_where_deletes_must_stay() -> None:
    found = picked(table(1, 1, "c", "p"), table(2, 2, "c", "d"), table(3, 3, "a", "e"), table(4, 4, "d", "g"),
                   table(5, 4, "k", "l"), table(6, 4, "q", "r"))
    assert (found.kind, found.output_level) == ("level", 2)
    assert found.deeper == ((b"a", b"g"), (b"k", b"l"))


def test_subranges_bound_the_work() -> None:
    below = [table(100 + n, 4, f"{n:03}", f"{n:03}z") for n in range(40)]
    fresh = [table(n, 0, "000", "999") for n in range(1, 5)]
    found = picked(*fresh, *below)
    assert (found.kind, found.output_level) == ("level0", 3)
    step = pick_full(3, drawn(table(1, 3, "000", "999"), *below), SMALL, before=1000, until_ts=1000)
    assert step is not None
    found = step
    assert (found.kind, len(found.tables)) == ("level", 41)
    assert found.subranges[0][0] is None
    assert found.subranges[-1][1] is None
    assert all(left[1] == right[0] for left, right in zip(found.subranges, found.subranges[1:], strict=False))
    bounds = [stop for _, stop in found.subranges[:-1]]
    assert bounds == sorted(set(bounds), key=lambda bound: bound or b"")
    assert len(found.subranges) == 6                     # 41 MB in parts of at most 8
    assert all(bound is not None and bound.endswith(b"z\0") for bound in bounds)
    for start, stop in found.subranges:
        inside = [item for item in below if (start is None or item.smallest >= start)
                  and (stop is None or item.smallest < stop)]
        assert total_bytes(inside) <= limits.SUBCOMPACTION_TABLES * SMALL.table_bytes


# ------------------------------------------------------------------ rewrites

def test_a_table_of_deletes_at_the_bottom_is_rewritten_once_they_may_go() -> None:
    heavy = table(7, 4, "a", "c", delete_count=6)
    found = picked(heavy, horizon_ts=7)
    assert (found.kind, found.input_level, found.output_level, numbers(found)) == ("rewrite", 4, 4, [[7]])
    assert pick(3, drawn(heavy), SMALL, horizon_ts=6) is None
    assert pick(3, drawn(heavy), SMALL, horizon_ts=7, busy={7}) is None
    assert pick(3, drawn(replace(heavy, delete_count=5)), SMALL, horizon_ts=7) is None
    assert picked(replace(heavy, delete_count=0, tombstone_count=1), horizon_ts=7).kind == "rewrite"
    assert picked(replace(heavy, delete_count=0, key_count=4), horizon_ts=7).kind == "rewrite"


def test_deletes_over_older_data_are_pushed_down_to_it() -> None:
    levels = (table(7, 3, "a", "c", delete_count=9), table(1, 4, "b", "d", 20))
    found = picked(*levels, horizon_ts=99)
    assert (found.kind, numbers(found), found.output_level) == ("level", [[7], [1]], 4)
    fresh = (table(7, 0, "a", "c", delete_count=9), table(1, 4, "b", "d", 5))
    assert picked(*fresh, horizon_ts=99).kind == "level0"


def test_tables_of_collected_value_files_are_rewritten_where_they_are() -> None:
    levels = (table(5, 0, "a", "z", value_files=((40, 10), (41, 9))), table(4, 0, "a", "b"),
              table(6, 4, "d", "m", value_files=((41, 7),)))
    assert pick(3, drawn(*levels), SMALL, collect={42}) is None
    found = picked(*levels, collect={40})
    assert (found.kind, found.output_level, numbers(found)) == ("rewrite", 0, [[5]])
    assert found.deeper == ((b"a", b"b"), (b"d", b"m"))  # the older table of level 0 and what is below it
    assert numbers(picked(*levels, collect={41}, busy={4})) == [[6]]


def test_merges_come_before_rewrites() -> None:
    assert picked(*wide_tree(), collect={40}, horizon_ts=99).kind == "level"


def test_value_files_worth_collecting() -> None:
    files = [ValueFileMeta(1, 100, 50), ValueFileMeta(2, 100, 51), ValueFileMeta(3, 0, 0), ValueFileMeta(4, 5, 5)]
    assert value_files_to_collect(files) == {2, 4}
    assert value_files_to_collect(files, before=4) == {2}


# ------------------------------------------------------------------ back-pressure

def test_delay_grows_smoothly_and_then_stops() -> None:
    options = Options()
    delays = [write_delay(count, 0, options) for count in range(options.level0_stop_count)]
    assert all(delay == 0 for delay in delays[:options.level0_slowdown_count + 1])
    rising = [delay for delay in delays[options.level0_slowdown_count:] if delay != "stop"]
    assert len(rising) == options.level0_stop_count - options.level0_slowdown_count
    assert rising == sorted(set(rising))
    assert rising[1] < 0.01
    assert rising[-1] < limits.MAX_DELAY_S_PER_MB
    assert write_delay(options.level0_stop_count, 0, options) == "stop"


def test_pending_bytes_slow_and_stop_too() -> None:
    options = Options()
    slow = limits.PENDING_SLOWDOWN_FACTOR * base_bytes(options)
    stop = limits.PENDING_STOP_FACTOR * base_bytes(options)
    assert write_delay(0, slow, options) == 0
    half = write_delay(0, (slow + stop) // 2, options)
    assert half == pytest.approx(limits.MAX_DELAY_S_PER_MB / 4, rel=0.01)
    assert write_delay(0, stop, options) == "stop"


def test_pending_bytes_count_what_is_over_target() -> None:
    assert pending_bytes(drawn(*(table(n, 0, "a", "z") for n in range(1, 4))), SMALL) == 0
    assert pending_bytes(drawn(*(table(n, 0, "a", "z") for n in range(1, 5))), SMALL) == 4 * MB
    assert pending_bytes(drawn(*wide_tree()[:24]), SMALL) == 0       # 4 of 5 MB
    assert pending_bytes(drawn(*wide_tree()), SMALL) == int(MB * (1 + 20 / 6))


# ------------------------------------------------------------------ simulation

@dataclass(frozen=True)
class Version:
    ts: int
    deleted: bool = False
    value_file: int = 0


Content = dict[int, Version]


def key_bytes(key: int) -> bytes:
    return key.to_bytes(8, "big")


class Simulation:
    """One partition whose tables are dictionaries; every key takes the same space."""

    def __init__(self, options: Options, bytes_each: int) -> None:
        self.options, self.bytes_each = options, bytes_each
        self.tree = Tree.empty(1, options.level_count)
        self.contents: dict[int, Content] = {}
        self.model: Content = {}
        self.pointers: dict[int, bytes] = {}
        self.running: list[Compaction] = []
        self.collect: set[int] = set()
        self.horizon_ts = 0
        self.ts = 0
        self.flushed_bytes = 0
        self.written_bytes = 0
        self.moves = 0

    @property
    def levels(self) -> Levels:
        return self.tree.partitions[0]

    @property
    def busy(self) -> set[int]:
        return {item.number for compaction in self.running for item in compaction.tables}

    def new_table(self, content: Content, level: int, number: int) -> TableMeta:
        self.contents[number] = content
        files = {version.value_file for version in content.values()} - {0}
        self.written_bytes += len(content) * self.bytes_each
        return TableMeta(
            number=number, partition=0, level=level, file_size=len(content) * self.bytes_each,
            entry_count=len(content), key_count=len(content), tombstone_count=0, raw_bytes=0,
            delete_count=sum(version.deleted for version in content.values()),
            min_ts=min(version.ts for version in content.values()), max_ts=max(v.ts for v in content.values()),
            smallest=key_bytes(min(content)), largest=key_bytes(max(content)),
            value_files=tuple((file, 1) for file in sorted(files)))

    def flush(self, keys: Iterable[int], deleted: bool = False, value_file: int = 0) -> None:
        self.ts += 1
        content = {key: Version(self.ts, deleted, 0 if deleted else value_file) for key in keys}
        self.model |= content
        added = self.new_table(content, 0, self.tree.next_file_number)
        self.flushed_bytes += added.file_size
        self.tree = self.tree.apply(Edit(added=(added,)))

    def start(self, compaction: Compaction | None) -> bool:
        if compaction is None:
            return False
        chosen = [item.number for item in compaction.tables]
        assert len(set(chosen)) == len(chosen)
        assert self.busy.isdisjoint(chosen), "a table was picked twice"
        self.pointers[compaction.input_level] = compaction.pointer
        self.running.append(compaction)
        return True

    def pick(self) -> bool:
        return self.start(pick(0, self.levels, self.options, busy=self.busy, pointers=self.pointers,
                               collect=self.collect, horizon_ts=self.horizon_ts))

    def finish(self, index: int = 0) -> None:
        compaction = self.running.pop(index)
        tables = compaction.tables
        if compaction.kind == "trivial_move":
            self.moves += 1
            added: Level = (replace(tables[0], level=compaction.output_level),)
        else:
            added = self.merge(compaction)
        self.tree = self.tree.apply(Edit(added=added, removed=tuple(item.number for item in tables)))

    def merge(self, compaction: Compaction) -> Level:
        merged: Content = {}
        for run in reversed(compaction.inputs):                      # oldest first
            for item in run:
                merged |= self.contents[item.number]
        deeper = compaction.deeper
        kept = {}
        for key in sorted(merged):
            version = merged[key]
            hides = any(first <= key_bytes(key) <= last for first, last in deeper)
            if version.deleted and version.ts <= self.horizon_ts and not hides:
                continue
            kept[key] = replace(version, value_file=0) if version.value_file in self.collect else version
        added: list[TableMeta] = []
        number = self.tree.next_file_number
        per_table = max(1, self.options.table_bytes // self.bytes_each)
        for start, stop in compaction.subranges:
            keys = [key for key in kept if (start is None or key_bytes(key) >= start)
                    and (stop is None or key_bytes(key) < stop)]
            for first in range(0, len(keys), per_table):
                part = {key: kept[key] for key in keys[first:first + per_table]}
                added.append(self.new_table(part, compaction.output_level, number + len(added)))
        assert sum(item.entry_count for item in added) == len(kept), "the parts do not cover everything"
        return tuple(added)

    def check_reads(self) -> None:
        """For each key, the first version from the top is the newest there is."""
        found: Content = {}
        for level in reversed(self.levels):
            for item in reversed(level):
                found |= self.contents[item.number]
        assert {key: version.ts for key, version in found.items() if not version.deleted} == {
            key: version.ts for key, version in self.model.items() if not version.deleted}

    def settle(self, steps_max: int = 2000) -> None:
        """Works until nothing is left to do."""
        steps = 0
        while self.pick() or self.running:
            steps += 1
            assert steps < steps_max, "compaction does not come to rest"
            self.finish()
        assert all(score < 1 for score in scores(self.levels, self.options))


# A flush of 16 keys makes a table of 256 KiB, a quarter of its memtable; a merged table has 4 keys, the base level 64.
TINY = Options(memtable_bytes=4 * MB, table_bytes=64 << 10, level_ratio=3, level_count=5)
KEYS = st.lists(st.integers(0, 400), min_size=1, max_size=16, unique=True)
RUN = st.builds(lambda start, count: list(range(start, start + count)), st.integers(0, 400), st.integers(1, 16))
STEP = st.one_of(
    st.tuples(st.just("flush"), KEYS | RUN, st.integers(0, 3)),
    st.tuples(st.just("flush"), KEYS | RUN, st.integers(0, 3)),
    st.tuples(st.just("delete"), KEYS | RUN, st.just(0)),
    st.tuples(st.just("pick"), st.just([]), st.just(0)),
    st.tuples(st.just("pick"), st.just([]), st.just(0)),
    st.tuples(st.just("finish"), st.just([]), st.integers(0, 9)),
    st.tuples(st.just("horizon"), st.just([]), st.integers(0, 9)),
    st.tuples(st.just("collect"), st.just([]), st.integers(1, 3)),
)
Step = tuple[str, list[int], int]


def simulate(steps: Iterable[Step]) -> Simulation:
    """Several compactions at a time, flushes in between; Tree.apply checks that levels stay disjoint."""
    world = Simulation(TINY, 16 << 10)
    for action, keys, argument in steps:
        if action == "flush":
            world.flush(keys, value_file=argument if argument not in world.collect else 0)
        elif action == "delete":
            world.flush(keys, deleted=True)
        elif action == "pick":
            world.pick()
        elif action == "finish" and world.running:
            world.finish(argument % len(world.running))
        elif action == "horizon":
            world.horizon_ts = max(world.horizon_ts, world.ts - argument)
        elif action == "collect":
            world.collect.add(argument)
        world.check_reads()
    return world


@settings(max_examples=60)
@given(st.lists(STEP, max_size=60))
@example([("flush", [1, 9], 0), ("flush", [5], 0), ("flush", [1, 9], 0), ("flush", [9], 0), ("pick", [], 0),
          ("flush", [5], 0), ("pick", [], 0), ("finish", [], 1), ("finish", [], 0)])
def test_any_history_reads_right_and_comes_to_rest(steps: list[Step]) -> None:
    world = simulate(steps)
    world.settle()
    world.check_reads()
    for item in world.tree.tables():
        assert not world.collect.intersection(file for file, _ in item.value_files)


@pytest.mark.parametrize("seed", range(6))
def test_long_random_histories(seed: int) -> None:
    choose = random.Random(seed)

    def keys() -> list[int]:
        start = choose.randrange(2000)
        return choose.choice((choose.sample(range(2000), 16), list(range(start, start + 16))))

    steps: list[Step] = []
    for _ in range(400):
        kind = choose.choices(("flush", "delete", "pick", "finish", "horizon", "collect"), (30, 10, 50, 50, 3, 1))[0]
        steps.append((kind, keys(), choose.randint(1, 3)))
    world = simulate(steps)
    assert max(len(world.levels) - 1 - depth for depth, level in enumerate(world.levels) if level) >= 2
    world.settle()
    world.check_reads()
    # Delete everything: nothing must be left once readers have moved on.
    live = [key for key, version in world.model.items() if not version.deleted]
    for start in range(0, len(live), 16):
        world.flush(live[start:start + 16], deleted=True)
        world.settle()
    world.horizon_ts = world.ts
    world.settle()
    world.check_reads()
    assert list(world.tree.tables()) == []


@settings(max_examples=30)
@given(st.lists(STEP, max_size=40))
def test_full_compaction_ends_with_everything_in_the_bottom(steps: list[Step]) -> None:
    world = simulate(steps)
    while world.running:
        world.finish()
    world.horizon_ts = world.ts
    before, until_ts = world.tree.next_file_number, world.ts
    for _ in range(1000):
        found = pick_full(0, world.levels, TINY, before=before, until_ts=until_ts, busy=world.busy)
        if not world.start(found):
            break
        world.finish()
        world.check_reads()
    assert all(not level for level in world.levels[:-1])
    assert sum(item.entry_count for item in world.tree.tables()) == sum(
        not version.deleted for version in world.model.values())


def test_full_compaction_does_not_wait_for_later_writes() -> None:
    world = Simulation(TINY, 16 << 10)
    for start in range(40):
        world.flush(range(start, 640, 40))
        world.settle()
    before, until_ts = world.tree.next_file_number, world.ts
    steps = 0
    while world.start(pick_full(0, world.levels, TINY, before=before, until_ts=until_ts)):
        world.finish()
        world.flush(range(steps % 40, 640, 40))
        world.settle()
        steps += 1
        assert steps < 200
    assert steps > 5
    assert all(item.min_ts > until_ts for level in world.levels[:-1] for item in level)
    world.check_reads()


def test_full_compaction_ends_when_deletes_must_stay() -> None:
    world = Simulation(TINY, 16 << 10)
    world.flush(range(16), deleted=True)
    steps = 0
    while world.start(pick_full(0, world.levels, TINY, before=world.ts + 1, until_ts=world.ts)):
        world.finish()
        steps += 1
        assert steps < 10
    assert sum(item.delete_count for item in world.levels[-1]) == 16
    assert steps == 2                                    # a move and one rewrite in vain


@pytest.fixture(scope="module")
def uniform_fill() -> Simulation:
    """100 full memtables of random new keys with the default options: 1.6 GB."""
    options, choose = Options(), random.Random(1)
    world = Simulation(options, options.memtable_capacity_bytes // 64)
    for _ in range(100):
        world.flush(choose.randrange(1 << 60) for _ in range(64))
        world.settle()
    return world


def test_write_amplification_of_a_uniform_fill(uniform_fill: Simulation) -> None:
    assert 2 < uniform_fill.written_bytes / uniform_fill.flushed_bytes < 12
    uniform_fill.check_reads()


def test_space_amplification_of_a_uniform_fill(uniform_fill: Simulation) -> None:
    assert space_amplification(uniform_fill.levels) < 1.2


def test_a_sequential_fill_writes_everything_once() -> None:
    options = Options()
    world = Simulation(options, options.memtable_capacity_bytes // 16)
    for start in range(0, 1600, 16):
        world.flush(range(start, start + 16))
        world.settle()
    assert world.written_bytes == world.flushed_bytes
    assert world.moves >= 97
    assert len(world.levels[0]) < options.level0_compaction_count
