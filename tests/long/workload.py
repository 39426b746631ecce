"""Does everything a database can do, some of it badly, and leaves nothing behind.

    python workload.py FOLDER ROUNDS     prints one JSON line: live objects by kind, and memory (KiB) after each round

Run in a process of its own by test_debug_build.py, on builds that count objects or watch memory.
"""
from __future__ import annotations

import contextlib
import gc
import json
import random
import resource
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import phantomdb
from phantomdb.core._ext import census
from phantomdb.core.errors import DatabaseLocked, InvalidArgument, LimitExceeded, RetryableConflict, SnapshotTooOld
from phantomdb.core.filesystems import MemoryFileSystem

SMALL: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "table_bytes": 64 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
    "value_file_bytes": 64 << 10, "level0_compaction_count": 2, "retention_s": 0, "block_cache_bytes": 256 << 10,
    "value_threshold_bytes": 64, "durability": "none", "max_open_tables": 16,
}


def key_of(number: int) -> bytes:
    return b"key%05d" % number


def write_and_read(db: phantomdb.Database, choose: random.Random) -> None:
    for _ in range(40):
        db.kv.write([(key_of(choose.randrange(2000)), choose.randbytes(choose.choice([0, 10, 60, 100, 2000])))
                     for _ in range(20)])
    db.kv.delete_range(key_of(100), key_of(200))
    list(db.kv.scan(reverse=True))
    next(db.kv.scan())                                           # never read to its end
    db.kv.multi_get([key_of(number) for number in range(500)])
    db.kv.range_scan(key_of(50), 30)
    with db.kv.snapshot() as snapshot:
        list(snapshot.scan(limit=50))
    db.kv.snapshot()                                             # never closed


def transact(db: phantomdb.Database, choose: random.Random) -> None:
    for _ in range(20):
        with contextlib.suppress(RetryableConflict, KeyError), db.transaction() as txn:
            txn.kv.get(key_of(choose.randrange(2000)))
            with contextlib.suppress(ValueError), txn.savepoint():
                txn.kv.write([(key_of(choose.randrange(2000)), b"t" * 100) for _ in range(5)])
                raise ValueError
            txn.kv.delete_range(key_of(1), key_of(5))
            txn.kv.put(key_of(choose.randrange(2000)), b"txn")
            txn.kv.get_for_update(key_of(1))
            list(txn.kv.scan(limit=20))
            next(txn.kv.scan(reverse=True), None)
            if choose.random() < 0.3:
                db.kv.put(key_of(1), b"in the way")
            if choose.random() < 0.2:
                raise KeyError
    left_open = db.transaction(isolation="snapshot")
    left_open.kv.put(b"never", b"x" * 500)
    with contextlib.suppress(LimitExceeded):
        db.kv.write([(key_of(number), b"v" * 60) for number in range(5000)])
    threads = [threading.Thread(target=db.run, args=(lambda txn: txn.kv.put(
        b"counter", b"%d" % (int(txn.kv.get(b"counter") or 0) + 1)),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def keep_up(db: phantomdb.Database, folder: Path, in_memory: bool) -> None:
    feed = db.watch(timeout_s=0)
    db.kv.put(b"watched", b"w" * 100)
    assert len(list(feed)) == 1
    forgotten = db.watch()
    db.kv.put(b"watched", b"again")
    next(forgotten)
    db.flush()
    db.compact()
    with contextlib.suppress(SnapshotTooOld):
        db.kv.snapshot(5)
    db.verify()
    db.stats()
    if not in_memory:
        shutil.rmtree(folder / "copy", ignore_errors=True)
        db.checkpoint(folder / "copy")
        with phantomdb.open(folder / "copy", **SMALL) as copy:
            next(copy.kv.scan())
        with contextlib.suppress(DatabaseLocked):
            phantomdb.open(db.path)
        with contextlib.suppress(InvalidArgument):
            phantomdb.open(folder / "copy", partitions=7)
    db.ingest((b"zz%05d" % number, b"v" * 100) for number in range(300))


def one_round(folder: Path, number: int) -> None:
    choose = random.Random(number)
    in_memory = number % 4 == 3
    options = {**SMALL, "partitions": 1 + number % 2}
    if in_memory:
        options["file_system"] = MemoryFileSystem()
    path = "/db" if in_memory else folder / f"db{number % 2}"
    for ending in ("close", "abandon", "drop"):
        db = phantomdb.open(path, **options)
        write_and_read(db, choose)
        transact(db, choose)
        keep_up(db, folder, in_memory)
        scan = db.kv.scan()
        next(scan)
        if ending == "close":
            db.close()
        elif ending == "abandon":
            db.store.abandon()
        del db, scan
        gc.collect()


def main(folder: Path, rounds: int) -> None:
    memory = []
    for number in range(rounds):
        one_round(folder, number)
        memory.append(resident_kib())
    gc.collect()                                                 # what the threads of the last database still held
    print(json.dumps({"counts": census.counts(), "memory_kib": memory}))


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
