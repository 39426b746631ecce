"""A database answers every drawn list of operations as the plain ordered map of model.py does, whatever its options.

    drawn operations --> database (tiny blocks, tables, caches; 1 to 8 partitions) --> answer
    the same         --> model                               ... may it have been this one? ^

Lists that failed once stand in regressions.py and run first.
"""
from __future__ import annotations

import itertools
import tempfile
from typing import Any

import pytest
from driver import OPERATIONS, OPTIONS, SMALL, run
from hypothesis import given, settings
from model import Operation
from regressions import REGRESSIONS

from phantomdb.core.filesystems import MemoryFileSystem

# Options that make the same history take different ways through the engine.
OPTION_SETS: dict[str, dict[str, Any]] = {
    "small": {},
    "two levels": {"level_count": 2, "level0_compaction_count": 1},
    "no compression, no cache": {"compression": "none", "block_cache_bytes": 0},
    "large blocks": {"block_bytes": 32_768, "value_threshold_bytes": 4096},
    "four partitions": {"partitions": 4},
    "eight partitions, every version kept": {"partitions": 8, "retention_s": 86_400},
    "every commit synced": {"durability": "commit", "level0_compaction_count": 4},
}


def run_on_disk(operations: list[Operation], options: dict[str, Any]) -> list[tuple[Operation, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        return run(operations, f"{folder}/db", **{**SMALL, **options})


def run_in_memory(operations: list[Operation], options: dict[str, Any]) -> list[tuple[Operation, Any]]:
    return run(operations, "/db", file_system=MemoryFileSystem(), **{**SMALL, **options})


@pytest.mark.parametrize("name", REGRESSIONS)
@pytest.mark.parametrize("options", OPTION_SETS.values(), ids=OPTION_SETS)
def test_what_failed_once(name: str, options: dict[str, Any]) -> None:
    run_on_disk(REGRESSIONS[name], options)


@settings(max_examples=80)
@given(OPERATIONS, OPTIONS)
def test_every_answer_is_the_models(operations: list[Operation], options: dict[str, Any]) -> None:
    run_on_disk(operations, options)


@settings(max_examples=20)
@given(OPERATIONS, OPTIONS)
def test_on_the_simulated_disk(operations: list[Operation], options: dict[str, Any]) -> None:
    run_in_memory(operations, options)


def require_equal_histories(operations: list[Operation]) -> None:
    histories = {name: run_on_disk(operations, options) for name, options in OPTION_SETS.items()}
    for (one, first), (other, second) in itertools.pairwise(histories.items()):
        for number, ((operation, left), (_, right)) in enumerate(zip(first, second, strict=True)):
            if left != right and operation[0] in ("commit", "snapshot"):
                break                            # both were right, the model said so; from here on the histories differ
            assert left == right, f"operation {number}, {operation!r:.300}: {one} and {other} differ"


@settings(max_examples=12)
@given(OPERATIONS)
def test_equal_histories_under_all_options(operations: list[Operation]) -> None:
    require_equal_histories(operations)


@pytest.mark.long
@settings(max_examples=3000)
@given(OPERATIONS, OPTIONS)
def test_every_answer_is_the_models_many(operations: list[Operation], options: dict[str, Any]) -> None:
    run_on_disk(operations, options)


@pytest.mark.long
@settings(max_examples=300)
@given(OPERATIONS)
def test_equal_histories_under_all_options_many(operations: list[Operation]) -> None:
    require_equal_histories(operations)
