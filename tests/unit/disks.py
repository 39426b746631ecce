"""Disks with a database on them, for tests that damage it or copy it."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import phantomdb
from phantomdb.core.database import Database
from phantomdb.core.filesystems import MemoryFileSystem

SMALL: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "table_bytes": 64 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
    "level0_compaction_count": 2, "retention_s": 0, "value_threshold_bytes": 64, "value_file_bytes": 64 << 10,
}
PARTITIONS = pytest.mark.parametrize("partitions", [1, 4])
State = dict[bytes, bytes]


def opened(disk: Any, path: str = "/db", **options: Any) -> Database:
    return phantomdb.open(path, file_system=disk, **{**SMALL, **options})


def key(number: int) -> bytes:
    return b"%05d" % number


def size_of(disk: MemoryFileSystem, path: str) -> int:
    file = disk.open(path, 0)
    try:
        return file.size()
    finally:
        file.close()


def read(disk: MemoryFileSystem, path: str) -> bytes:
    return disk.open(path, 0).pread(1 << 30, 0)


def rewrite(disk: MemoryFileSystem, path: str, data: bytes) -> None:
    file = disk.open(path, 1)
    file.pwrite(data, 0)
    file.sync()
    file.close()


def files_of(disk: MemoryFileSystem, suffix: str) -> list[str]:
    """The files of that kind that are in use, the largest first."""
    found = [name for name in disk.list_dir("/db") if name.endswith(suffix) or name.startswith(suffix)]
    return sorted(found, key=lambda name: -size_of(disk, f"/db/{name}"))


def settle(db: Database) -> None:
    """Waits until no compaction is under way or due, and the tables it replaced are gone."""
    background = db.store.background
    while True:
        with db.store.mutex:
            if not background._busy and background._pick() is None:
                break
        time.sleep(0.005)
    db.store.drop_unused()


def build(partitions: int = 1, *, close: bool = False) -> tuple[MemoryFileSystem, State]:
    """A disk with a database, as after a crash: tables on two levels, an ingested one, value files, range deletes,
    and writes that only the log has. Every third value is in the value log."""
    disk = MemoryFileSystem()
    db = opened(disk, partitions=partitions)
    for number in range(600):
        db.kv.put(key(number), b"%d" % number * (40 if number % 3 == 0 else 1))
    db.kv.delete_range(key(100), key(120))
    db.compact()
    db.ingest([(key(number), b"ingested%d" % number * (10 if number % 3 == 0 else 1)) for number in range(500, 700)])
    db.kv.put(key(5), b"flushed")
    db.kv.delete(key(6))
    db.kv.delete_range(key(200), key(210))
    db.flush()
    for number in range(0, 60, 2):
        db.kv.write([(key(number), b"logged%d" % number * (10 if number % 3 == 0 else 1)),
                     (b"both%d" % number, b"1"), (b"other%d" % number, b"1")])
    db.kv.delete_range(key(300), key(305))
    db.sync()
    settle(db)
    state = dict(db.kv.scan())
    if close:
        db.close()
        return disk, state
    image = disk.crash_image("kept")
    db.close()
    return image, state


def state_of(disk: MemoryFileSystem, path: str = "/db", *, merge: bool = True) -> State:
    """What is in the database, read in several ways that must agree, with `merge` also after everything was merged."""
    with opened(disk, path, create=False) as db:
        rows = dict(db.kv.scan())
        assert all(db.kv.get(name) == value for name, value in rows.items())
        db.verify()
        db.compact()
        assert dict(db.kv.scan()) == rows or not merge
        db.kv.put(b"goes", b"on")
    return rows


def spots(size: int, count: int) -> list[int]:
    return sorted({min(size - 1, size * place // count + place) for place in range(count)})


def damages(disk: MemoryFileSystem, count: int) -> Iterator[tuple[str, int, MemoryFileSystem]]:
    """(name, offset, disk with one bit flipped there), over all files whose every byte matters."""
    with opened(disk.crash_image("kept")) as db:
        tables = {f"{table.number:012d}.table" for table in db.store.tree.tables()}
    for name in disk.list_dir("/db"):
        if name in ("LOCK", "FORMAT") or (name.endswith(".table") and name not in tables):
            continue
        for offset in spots(size_of(disk, f"/db/{name}"), count):
            image = disk.crash_image("kept")
            image.flip_bit(f"/db/{name}", offset, offset % 8)
            yield name, offset, image


__all__ = ["PARTITIONS", "SMALL", "State", "build", "damages", "files_of", "key", "opened", "read", "rewrite",
           "size_of", "spots", "state_of"]
