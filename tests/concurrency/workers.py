"""Runs functions in threads of their own, together, and hands on what they return or raise."""
from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

TIMEOUT_S = 120.0

SMALL: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "table_bytes": 64 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
    "value_file_bytes": 64 << 10, "level0_compaction_count": 2, "retention_s": 0, "block_cache_bytes": 1 << 20,
}


def run_together(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Starts all at once, waits for all, and raises the first error."""
    gate = threading.Barrier(len(functions))
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []

    def call(index: int, function: Callable[[], Any]) -> None:
        try:
            gate.wait(TIMEOUT_S)
            results[index] = function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=item, daemon=True) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
    return results


def until(stop: threading.Event, step: Callable[[], Any]) -> Callable[[], int]:
    """A function that repeats `step` until `stop` is set and returns how often that was."""
    def loop() -> int:
        count = 0
        while not stop.is_set():
            step()
            count += 1
        return count
    return loop


def and_then(function: Callable[[], Any], event: threading.Event) -> Callable[[], Any]:
    """`function`, setting `event` at its end, whatever happens."""
    def call() -> Any:
        try:
            return function()
        finally:
            event.set()
    return call
