"""The tree as a value: edits, the order of levels, counters, figures."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core.errors import CorruptionError
from phantomdb.core.tree import (
    Edit,
    TableMeta,
    Tree,
    ValueFileMeta,
    level_bytes,
    overlapping,
    space_amplification,
)


def table(number: int, level: int = 0, smallest: str = "a", largest: str = "z", **more: Any) -> TableMeta:
    values: dict[str, Any] = {"partition": 0, "file_size": 100, "entry_count": 10, "key_count": 10, "delete_count": 0,
                              "tombstone_count": 0, "raw_bytes": 200, "min_ts": number, "max_ts": number} | more
    return TableMeta(number=number, level=level, smallest=smallest.encode(), largest=largest.encode(), **values)


def numbers(tree: Tree, level: int, partition: int = 0) -> list[int]:
    return [item.number for item in tree.partitions[partition][level]]


def test_level_0_is_newest_first_by_time_then_number() -> None:
    tree = Tree.empty(1, 3).apply(Edit(added=(table(5, max_ts=7), table(9, max_ts=6, min_ts=6), table(6, max_ts=7))))
    assert numbers(tree, 0) == [6, 5, 9]


def test_deeper_levels_are_sorted_by_key() -> None:
    tree = Tree.empty(2, 3).apply(Edit(added=(table(1, 2, "m", "p"), table(2, 2, "a", "c"), table(3, 1, "a", "z"))))
    assert numbers(tree, 2) == [2, 1]
    assert numbers(tree, 1) == [3]
    assert numbers(tree, 2, partition=1) == []


@pytest.mark.parametrize("other", [("c", "d"), ("a", "z"), ("b", "b"), ("a", "b")])
def test_overlap_below_level_0_is_refused(other: tuple[str, str]) -> None:
    with pytest.raises(CorruptionError, match="overlap on level 1"):
        Tree.empty(1, 3).apply(Edit(added=(table(1, 1, "b", "c"), table(2, 1, *other))))


def test_a_move_is_removal_and_addition_at_once() -> None:
    tree = Tree.empty(1, 3).apply(Edit(added=(table(1), table(2))))
    moved = tree.apply(Edit(added=(replace(tree.partitions[0][0][1], level=2),), removed=(1,)))
    assert (numbers(moved, 0), numbers(moved, 2)) == ([2], [1])
    assert numbers(tree, 0) == [2, 1]            # the old tree is as it was


@pytest.mark.parametrize(("edit", "message"), [
    (Edit(removed=(7,)), r"not in the tree: \[7\]"),
    (Edit(added=(table(1),)), "table 1, which is there already"),
    (Edit(added=(table(4), table(4))), "table 4, which is there already"),
    (Edit(added=(table(4, level=3),)), "level 3"),
    (Edit(added=(table(4, partition=1),)), "partition 1"),
    (Edit(value_garbage=((9, 1),)), "value file 9"),
    (Edit(removed_value_files=(9,)), "value file 9"),
    (Edit(value_garbage=((8, 101),)), "101 bytes of garbage in 100"),
])
def test_edits_that_do_not_fit(edit: Edit, message: str) -> None:
    tree = Tree.empty(1, 3).apply(Edit(added=(table(1),), added_value_files=(ValueFileMeta(8, 100),)))
    with pytest.raises(CorruptionError, match=message):
        tree.apply(edit)


@pytest.mark.parametrize("bounds", [{"smallest": "b", "largest": "a"}, {"min_ts": 5, "max_ts": 4}])
def test_tables_that_end_before_they_begin(bounds: dict[str, Any]) -> None:
    with pytest.raises(CorruptionError, match="table 1"):
        table(1, **bounds)


def test_counters_only_grow() -> None:
    tree = Tree.empty(1, 3).apply(Edit(next_file_number=10, last_ts=50, gc_floor_ts=20, first_log_segment=3))
    same = tree.apply(Edit(next_file_number=9, last_ts=49, gc_floor_ts=19, first_log_segment=2))
    assert same == tree
    assert tree.apply(Edit(last_ts=51)).last_ts == 51
    # No number and no timestamp is given out twice, whatever the edit says.
    assert tree.apply(Edit(added=(table(30, min_ts=7, max_ts=99),))).last_ts == 99
    assert tree.apply(Edit(added=(table(30),))).next_file_number == 31
    assert tree.apply(Edit(added_value_files=(ValueFileMeta(40, 1),))).next_file_number == 41


def test_what_is_flushed_is_kept_for_each_partition() -> None:
    tree = Tree.empty(3, 2).apply(Edit(flushed=((1, 7), (2, 5)))).apply(Edit(flushed=((1, 6), (2, 8))))
    assert (tree.flushed_ts, tree.last_ts) == ((0, 7, 8), 8)
    with pytest.raises(CorruptionError, match="partition 3"):
        tree.apply(Edit(flushed=((3, 1),)))


def test_value_files_grow_gather_garbage_and_go() -> None:
    tree = Tree.empty(1, 3).apply(Edit(added_value_files=(ValueFileMeta(2, 100), ValueFileMeta(1, 10))))
    tree = tree.apply(Edit(added_value_files=(ValueFileMeta(2, 50),), value_garbage=((2, 30), (1, 10))))
    assert tree.value_files == (ValueFileMeta(1, 10, 10), ValueFileMeta(2, 150, 30))
    assert tree.apply(Edit(removed_value_files=(1,))).value_files == (ValueFileMeta(2, 150, 30),)


def test_figures() -> None:
    tree = Tree.empty(1, 4).apply(Edit(added=(
        table(1, file_size=10), table(2, 2, "a", "b", file_size=90), table(3, 2, "c", "d", file_size=110))))
    assert level_bytes(tree.partitions[0]) == (10, 0, 200, 0)
    assert space_amplification(tree.partitions[0]) == pytest.approx(210 / 200)
    assert space_amplification(Tree.empty(1, 4).partitions[0]) == 1.0


LETTERS = st.text("abcdefgh", min_size=1, max_size=2)


@given(st.lists(LETTERS, unique=True).map(sorted), LETTERS, LETTERS)
def test_overlapping_finds_what_a_plain_search_finds(keys: list[str], one: str, other: str) -> None:
    level = tuple(table(index, 1, *pair) for index, pair in enumerate(zip(keys[::2], keys[1::2], strict=False)))
    smallest, largest = sorted((one.encode(), other.encode()))
    expected = tuple(item for item in level if item.overlaps(smallest, largest))
    assert overlapping(level, smallest, largest) == expected


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 1), st.integers(0, 3), st.booleans()), max_size=40))
def test_edits_against_a_dictionary(steps: list[tuple[int, int, int, bool]]) -> None:
    """Tables of one key each, its number: any set of them is a tree."""
    tree, model = Tree.empty(2, 4), dict[int, TableMeta]()
    for number, partition, level, remove in steps:
        key = f"{number:02}"
        new = table(number, level, key, key, partition=partition)
        if remove and number in model:
            tree = tree.apply(Edit(removed=(number,)))
            del model[number]
        else:
            tree = tree.apply(Edit(added=(new,), removed=(number,) if number in model else ()))
            model[number] = new
    assert {item.number: item for item in tree.tables()} == model
    assert all(item.partition == p and item.level == depth for p, levels in enumerate(tree.partitions)
               for depth, level in enumerate(levels) for item in level)
    assert Tree.empty(2, 4).apply(tree.as_edit()) == tree
