"""A database answers every drawn list of operations as the plain ordered map of model.py does, whatever its options.

    drawn operations --> database (tiny blocks, tables, caches; 1 to 8 partitions) --> answer
    the same         --> model                               ... may it have been this one? ^

Lists are drawn by Hypothesis, or from a seed where histories must be long. Those that failed once stand in
regressions.py and run first.
"""
from __future__ import annotations

import itertools
import random
import tempfile
from typing import Any

import pytest
from driver import CHOICES, OPERATIONS, OPTIONS, SMALL, run
from histories import random_operations, shortest
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


@settings(max_examples=40)
@given(OPERATIONS, OPTIONS)
def test_every_answer_is_the_models(operations: list[Operation], options: dict[str, Any]) -> None:
    run_on_disk(operations, options)


@settings(max_examples=20)
@given(OPERATIONS, OPTIONS)
def test_on_the_simulated_disk(operations: list[Operation], options: dict[str, Any]) -> None:
    run_in_memory(operations, options)


def require_right_answers(seed: int) -> None:
    """A failing history is cut down to what matters; put it in regressions.py then."""
    choose = random.Random(seed)
    options = {name: choose.choice(values) for name, values in CHOICES.items()}
    operations = random_operations(choose, 150)

    def fails(shorter: list[Operation]) -> bool:
        try:
            run_on_disk(shorter, options)
        except Exception:
            return True
        return False

    if fails(operations):
        operations = shortest(operations, fails)
        print(f"seed {seed}, options {options}, operations:", *operations, sep="\n    ")
        run_on_disk(operations, options)
        raise AssertionError(f"the history of seed {seed} fails now and then")


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_random_histories(first: int) -> None:
    for seed in range(first, first + 10):
        require_right_answers(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 5000, 100))
def test_random_histories_many(first: int) -> None:
    for seed in range(first, first + 100):
        require_right_answers(seed)


def require_equal_histories(operations: list[Operation]) -> None:
    histories = {name: run_on_disk(operations, options) for name, options in OPTION_SETS.items()}
    for (one, first), (other, second) in itertools.pairwise(histories.items()):
        for number, ((operation, left), (_, right)) in enumerate(zip(first, second, strict=True)):
            if left != right and operation[0] in ("commit", "snapshot"):
                break                            # both were right, the model said so; from here on the histories differ
            assert left == right, f"operation {number}, {operation!r:.300}: {one} and {other} differ"


@settings(max_examples=8)
@given(OPERATIONS)
def test_equal_histories_under_all_options(operations: list[Operation]) -> None:
    require_equal_histories(operations)


@pytest.mark.long
@settings(max_examples=1000)
@given(OPERATIONS, OPTIONS)
def test_every_answer_is_the_models_many(operations: list[Operation], options: dict[str, Any]) -> None:
    run_on_disk(operations, options)


@pytest.mark.long
@settings(max_examples=300)
@given(OPERATIONS)
def test_equal_histories_under_all_options_many(operations: list[Operation]) -> None:
    require_equal_histories(operations)
