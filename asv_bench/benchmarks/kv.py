"""The raw keyspace: points, batches, ranges, transactions, opening, and what it takes in memory and on disk.

Each timed call does `OPERATIONS` operations on keys of 16 and values of 100 bytes, half of them compressible, as in
kv_peers.py; divide by that for the time of one. Durability is "none" unless the name says otherwise, so that the disk's
sync rate does not drown what is measured.
"""
from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import phantomdb

ENTRIES = 200_000
OPERATIONS = 10_000
BLOCK_CACHE_BYTES = 64 << 20
MEMTABLE_BYTES = 16 << 20

_random = random.Random(7)
# Children import the same phantomdb, also where asv found it by ASV_PYTHONPATH.
CHILD_ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(phantomdb.__file__).parents[1])}
VALUES = [_random.randbytes(50) * 2 for _ in range(4096)]


def key(number: int) -> bytes:
    return b"%016d" % number


def pairs(numbers: list[int]) -> list[tuple[bytes, bytes]]:
    return [(key(number), VALUES[number % len(VALUES)]) for number in numbers]


class Opened:
    """A database in a fresh folder, filled with the even numbers below 2 * ENTRIES, compacted on request."""

    durability = "none"
    filled = True
    compacted = True
    timeout = 300

    def setup(self, *_parameters: object) -> None:
        self.folder = tempfile.mkdtemp(prefix="phantomdb-asv-")
        self.db = self.open()
        numbers = list(range(0, 2 * ENTRIES, 2))
        random.Random(1).shuffle(numbers)
        if self.filled:
            for start in range(0, ENTRIES, 1000):
                self.db.kv.write(pairs(numbers[start:start + 1000]))
            if self.compacted:
                self.db.compact()
        self.hits = [key(number) for number in numbers[:OPERATIONS]]
        self.misses = [key(number + 1) for number in numbers[:OPERATIONS]]
        self.fresh = itertools.count(2 * ENTRIES)

    def open(self) -> Any:
        return phantomdb.open(self.folder, durability=self.durability, block_cache_bytes=BLOCK_CACHE_BYTES,
                              memtable_bytes=MEMTABLE_BYTES)

    def teardown(self, *_parameters: object) -> None:
        self.db.close()
        shutil.rmtree(self.folder)

    def fresh_pairs(self) -> list[tuple[bytes, bytes]]:
        return pairs(list(itertools.islice(self.fresh, OPERATIONS)))


class Get(Opened):
    """Point reads of a compacted database that fits the cache."""

    def time_hit(self) -> None:
        get = self.db.kv.get
        for name in self.hits:
            get(name)

    def time_miss(self) -> None:
        get = self.db.kv.get
        for name in self.misses:
            get(name)

    def time_multi_get(self) -> None:
        for start in range(0, OPERATIONS, 100):
            self.db.kv.multi_get(self.hits[start:start + 100])

    def time_snapshot_hit(self) -> None:
        with self.db.kv.snapshot() as snapshot:
            get = snapshot.get
            for name in self.hits:
                get(name)


class GetUncompacted(Get):
    """The same while entries are still spread over memtable and young tables."""

    compacted = False


class Put(Opened):
    """Writes; keys come in order, or at random over what is there."""

    def time_sequential(self) -> None:
        put = self.db.kv.put
        for name, value in self.fresh_pairs():
            put(name, value)

    def time_overwrite(self) -> None:
        put = self.db.kv.put
        for name in self.hits:
            put(name, VALUES[0])

    def time_batches_of_100(self) -> None:
        batch = self.fresh_pairs()
        for start in range(0, OPERATIONS, 100):
            self.db.kv.write(batch[start:start + 100])

    def time_delete(self) -> None:
        delete = self.db.kv.delete
        for name in self.hits:
            delete(name)


class PutDurable(Opened):
    """Each write synced before the answer: the disk sets the pace. 100 writes a call."""

    durability = "commit"
    filled = False

    def time_synced(self) -> None:
        for name, value in self.fresh_pairs()[:100]:
            self.db.kv.put(name, value)


class Scan(Opened):
    """Ranges: everything, or 100 entries at a time."""

    params = [False, True]
    param_names = ["reverse"]

    def time_everything(self, reverse: bool) -> None:
        assert sum(1 for _ in self.db.kv.scan(reverse=reverse)) == ENTRIES

    def time_ranges_of_100(self, reverse: bool) -> None:
        for name in self.hits[:OPERATIONS // 100]:
            bound = {"stop": name} if reverse else {"start": name}
            for _ in self.db.kv.scan(limit=100, reverse=reverse, **bound):
                pass


class Transactions(Opened):
    """Read, change, commit; 1,000 transactions a call."""

    params = ["serializable", "snapshot"]
    param_names = ["isolation"]

    def time_read_modify_write(self, isolation: str) -> None:
        for name in self.hits[:1000]:
            with self.db.transaction(isolation=isolation) as transaction:
                transaction.kv.put(name, transaction.kv.get(name) or VALUES[1])


class Open(Opened):
    """Opening: after a clean close, and after a kill -9 with unsynced writes in the log."""

    number = 1

    def setup(self, *_parameters: object) -> None:
        super().setup()
        self.db.close()
        self.killed = self.folder + "-killed"
        program = ("import os, signal, sys, phantomdb\n"
                   "db = phantomdb.open(sys.argv[1], durability='none')\n"
                   f"for n in range({ENTRIES}): db.kv.put(b'%016d' % n, b'v' * 100)\n"
                   "os.kill(os.getpid(), signal.SIGKILL)\n")
        child = subprocess.run([sys.executable, "-c", program, self.killed], check=False, env=CHILD_ENVIRONMENT)
        assert child.returncode == -signal.SIGKILL

    def time_after_close(self) -> None:
        self.open().close()

    def time_after_kill(self) -> None:
        phantomdb.open(self.killed, durability="none").close()

    def teardown(self, *_parameters: object) -> None:
        shutil.rmtree(self.folder)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.killed)


class Footprint(Opened):
    """What it costs beside time."""

    def track_bytes_per_entry(self) -> float:
        self.db.close()                         # tables that compaction replaced are gone then
        return sum(path.stat().st_size for path in Path(self.folder).rglob("*.table")) / ENTRIES

    track_bytes_per_entry.unit = "bytes"        # type: ignore[attr-defined]

    def peakmem_fill(self) -> None:
        for _ in range(10):
            self.db.kv.write(self.fresh_pairs())


class Import:
    """`import phantomdb`, the interpreter's own start included (time_nothing is that alone)."""

    def time_import(self) -> None:
        subprocess.run([sys.executable, "-c", "import phantomdb"], check=True, env=CHILD_ENVIRONMENT)

    def time_nothing(self) -> None:
        subprocess.run([sys.executable, "-c", ""], check=True, env=CHILD_ENVIRONMENT)
