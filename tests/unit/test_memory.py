"""Memory: what the cache keeps through a compaction, what it borrows from memtables, and the sum of all."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import phantomdb

MIB = 1 << 20
KEYS = [b"%06d" % number for number in range(20_000)]


def block_reads(db: phantomdb.Database) -> int:
    count = db.stats()["block_reads"]
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize("cached_share", [1.0, 0.1])
def test_a_compaction_leaves_the_cache_as_warm_as_it_was(opened: Any, cached_share: float) -> None:
    db = opened(memtable_bytes=32 * MIB, block_cache_bytes=64 * MIB, block_bytes=4096, level0_compaction_count=1000,
                level0_slowdown_count=1000, level0_stop_count=2000)
    for half in (KEYS[::2], KEYS[1::2]):
        db.kv.write([(key, key * 10) for key in half])
        db.flush()
    warm = KEYS[:int(len(KEYS) * cached_share)]
    db.kv.multi_get(warm)
    before = block_reads(db)
    assert None not in db.kv.multi_get(warm)
    assert block_reads(db) == before                             # all of it is cached
    db.compact()
    assert db.stats()["levels"][0]["tables"] == 0
    before = block_reads(db)
    assert None not in db.kv.multi_get(warm)
    assert block_reads(db) - before <= 1
    if cached_share < 1:
        assert None not in db.kv.multi_get(KEYS)
        assert block_reads(db) - before > 100                    # what was cold is cold


def test_the_cache_borrows_what_memtables_do_not_use(opened: Any) -> None:
    db = opened(memtable_bytes=16 * MIB, block_cache_bytes=8 * MIB)
    assert db.stats()["cache_budget_bytes"] == (8 + 12) * MIB    # one memtable of four is there
    db.close()
    db = opened(memtable_bytes=16 * MIB, block_cache_bytes=0)
    assert db.stats()["cache_budget_bytes"] == 0                 # a cache was not wanted
    db.close()
    db = opened(memtable_bytes=16 * MIB, block_cache_bytes=8 * MIB)
    for number in range(60):
        db.kv.write([(b"%d-%d" % (number, item), b"v" * 1000) for item in range(300)])
        stats = db.stats()
        assert stats["cache_budget_bytes"] == (8 + 16 - 4 * stats["memtables"]) * MIB


PROGRAM = """
import gc, json, random, sys
import phantomdb
def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) << 10
options = json.loads(sys.argv[2])
values = [random.Random(number).randbytes(100) for number in range(1000)]
with phantomdb.open(sys.argv[1] + "/first", **options) as db:
    db.kv.put(b"a", b"b")                                         # everything is imported
gc.collect()
base = memory("VmRSS")                                            # the peak of the imports is far below the bound
with phantomdb.open(sys.argv[1] + "/db", **options) as db:
    for number in range(0, 1_000_000, 100):
        db.kv.write([(b"%016d" % (item * 7_368_787 % 1_000_003), values[item % 1000])
                     for item in range(number, number + 100)])
    for number in range(0, 400_000):
        db.kv.get(b"%016d" % (number * 7_368_787 % 1_000_003))
    assert sum(1 for _ in db.kv.scan()) == 1_000_000
print(memory("VmHWM") - base)
"""


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""),
                    reason="AddressSanitizer's shadow memory and quarantine are not ours; every other run measures it")
def test_the_sum_stays_inside_the_budgets(tmp_path: Path) -> None:
    """A million entries, 116 MB, through 16 MiB of memtables and 32 MiB of cache; 64 MiB are for all the rest."""
    options = {"memtable_bytes": 16 * MIB, "block_cache_bytes": 32 * MIB, "durability": "none"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), json.dumps(options)], text=True,
                          capture_output=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= (16 + 32 + 64) * MIB
    print(f"peak {int(done.stdout) >> 20} MiB")
