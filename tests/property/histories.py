"""Long histories from a seed, and the shortest part of one that still fails.

Hypothesis shrinks well and remembers, but it spends its draws on the shapes of lists: in a long one few operations
meet. Here the draws go to what matters: few keys, ranges that hold some of them, transactions that are whole.
"""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from driver import LONG, SHORT
from model import Operation, Place, Write

KEYS = SHORT + LONG
SIZES = [0, 1, 1, 1, 5, 20, 22, 33, 100, 400]
# Weights of what happens outside of transactions.
CHANGES = {"put": 6, "delete": 3, "write": 3, "fill": 3, "delete_range": 3, "snapshot": 3, "close_snapshot": 1,
           "flush": 5, "compact": 2, "reopen": 1, "begin": 8, "range_scan": 1, "multi_get": 1}
# And inside of one that is open.
STEPS = {"put": 6, "delete": 3, "write": 2, "fill": 1, "delete_range": 4, "get": 3, "multi_get": 1, "scan": 4,
         "savepoint": 3, "release": 1, "undo": 2, "commit": 4, "rollback": 1}


def random_operations(choose: random.Random, count: int) -> list[Operation]:
    operations: list[Operation] = []
    is_open = [False, False]
    for _ in range(count):
        slot = choose.randrange(2)
        if is_open[slot] and choose.random() < 0.6:
            name = choose.choices(list(STEPS), list(STEPS.values()))[0]
            is_open[slot] = name not in ("commit", "rollback")
            operations.append(_operation(choose, name, ("transaction", slot)))
            continue
        name = choose.choices(list(CHANGES), list(CHANGES.values()))[0]
        place: Place = None
        if name in ("snapshot", "close_snapshot"):
            place = ("snapshot", slot)
        elif name == "begin":
            is_open[slot], place = True, ("transaction", slot)
        elif name == "reopen":
            is_open = [False, False]
        operations.append(_operation(choose, name, place))
    return operations


def _operation(choose: random.Random, name: str, place: Place) -> Operation:
    bounds = [choose.choice([None, *KEYS]), choose.choice([None, *KEYS])]
    if None not in bounds and choose.random() < 0.9:
        bounds.sort()
    few = choose.choice([None, None, 0, 1, 2, 3, 5])
    arguments: dict[str, tuple[Any, ...]] = {
        "put": (choose.choice(KEYS), _value(choose)), "delete": (choose.choice(KEYS),), "get": (choose.choice(KEYS),),
        "write": ([_write(choose) for _ in range(choose.randrange(8))],), "delete_range": tuple(bounds),
        "fill": (choose.randrange(90), choose.randint(1, 80), choose.randrange(6), choose.randint(1, 12)),
        "scan": (*bounds, choose.random() < 0.5, few, choose.choice([None, None, 0, 1, 2, 4])),
        "range_scan": (choose.choice(KEYS), choose.randrange(6)), "multi_get": (choose.sample(KEYS, 5),),
        "snapshot": (choose.choice([None, None, choose.randrange(12)]),),
        "begin": (choose.choice(["serializable", "serializable", "snapshot"]),),
        "reopen": (choose.choice(["close", "abandon"]),)}
    return (name, place, *arguments.get(name, ()))


def _value(choose: random.Random) -> bytes:
    return b"%d." % choose.randrange(100) * choose.choice(SIZES)


def _write(choose: random.Random) -> Write:
    return choose.choice(KEYS), None if choose.random() < 0.3 else _value(choose)


def shortest(operations: list[Operation], fails: Callable[[list[Operation]], bool]) -> list[Operation]:
    """Leaves out what can be left out: halves first, single operations in the end."""
    size = len(operations) // 2
    while size:
        start = 0
        while start < len(operations):
            shorter = operations[:start] + operations[start + size:]
            if fails(shorter):
                operations = shorter
            else:
                start += size
        size //= 2
    return operations
