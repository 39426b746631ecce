"""Options: every bound at its edge, and the table for the documentation."""
from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from phantomdb.core import limits
from phantomdb.core.errors import InvalidArgument
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.options import Options

BOUNDED = [item for item in dataclasses.fields(Options) if "low" in item.metadata]
# Others that must follow for the three level-0 counts to stay in order.
COMPANIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("level0_compaction_count", "high"): {"level0_slowdown_count": 1000, "level0_stop_count": 1001},
    ("level0_slowdown_count", "low"): {"level0_compaction_count": 1},
    ("level0_slowdown_count", "high"): {"level0_slowdown_count": 9_999, "level0_stop_count": 10_000},
    ("level0_stop_count", "low"): {"level0_compaction_count": 1, "level0_slowdown_count": 1},
}


def test_defaults_are_the_promised_ones() -> None:
    options = Options()
    assert (options.durability, options.partitions, options.memtable_bytes, options.block_cache_bytes) == (
        "commit", None, 64 << 20, 256 << 20)
    assert (options.level_count, options.level_ratio, options.table_bytes, options.retention_s) == (7, 10, 16 << 20, 60)


@pytest.mark.parametrize("item", BOUNDED, ids=lambda item: item.name)
@pytest.mark.parametrize("side", ["low", "high"])
def test_each_bound(item: dataclasses.Field[Any], side: str) -> None:
    bound = item.metadata[side]
    Options(**{item.name: bound, **COMPANIONS.get((item.name, side), {})})
    beyond = bound - 1 if side == "low" else bound + max(1, bound * 1e-9 if isinstance(bound, float) else 1)
    with pytest.raises(InvalidArgument) as caught:
        Options(**{item.name: beyond})
    assert item.name in str(caught.value)
    assert f"{bound:,}" in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [
    ("durability", "fsync"), ("durability", None), ("compression", "zstd"), ("compression", 1),
    ("memtable_bytes", "64M"), ("memtable_bytes", 1e8), ("memtable_bytes", True), ("memtable_bytes", None),
    ("partitions", 1.0), ("retention_s", math.nan), ("retention_s", math.inf), ("retention_s", "60"),
    ("create", 1), ("file_system", "disk"),
])
def test_wrong_values_name_their_option(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=name):
        Options(**{name: value})


@pytest.mark.parametrize("counts", [(13, 12, 24), (4, 24, 24), (4, 25, 24)])
def test_level0_counts_must_ascend(counts: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidArgument, match="level0_slowdown_count < level0_stop_count"):
        Options(level0_compaction_count=counts[0], level0_slowdown_count=counts[1], level0_stop_count=counts[2])


def test_values_that_are_fine() -> None:
    assert Options(partitions=None).partitions is None
    assert Options(retention_s=5).retention_s == 5
    disk = MemoryFileSystem()
    assert Options(file_system=disk).file_system is disk


def test_immutable_and_checked_again_when_replaced() -> None:
    options = Options()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.partitions = 2       # type: ignore[misc]
    with pytest.raises(InvalidArgument):
        dataclasses.replace(options, partitions=0)


def test_memtable_capacity_is_a_quarter_shared_by_partitions() -> None:
    assert Options(memtable_bytes=64 << 20).memtable_capacity_bytes == 16 << 20
    assert Options(memtable_bytes=64 << 20, partitions=4).memtable_capacity_bytes == 4 << 20
    assert Options(memtable_bytes=64 << 20, partitions=None).memtable_capacity_bytes == 16 << 20
    assert Options(memtable_bytes=64 << 20, partitions=256).memtable_capacity_bytes == limits.MIN_MEMTABLE_BYTES


def test_a_memtable_holds_the_largest_entry() -> None:
    assert limits.MIN_MEMTABLE_BYTES > 2 * (limits.MAX_KEY_BYTES + limits.MAX_INLINE_VALUE_BYTES)


def test_table_names_every_option_once() -> None:
    lines = Options.table().splitlines()
    names = [line.split("|")[1].strip() for line in lines[2:]]
    assert names == [f"`{item.name}`" for item in dataclasses.fields(Options)]
    assert {line.count("|") for line in lines} == {6}
    assert all(item.metadata["meaning"] for item in dataclasses.fields(Options))
