"""Readers beside writers, flushes, compactions and close(): right values, or DatabaseClosed, and nothing else.

Each value carries its key and how often the key was written, so a reader can tell a wrong value from an old one,
and each reader knows the newest it has seen: time never runs backwards.
"""
from __future__ import annotations

import itertools
import random
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workers import SMALL, run_together

import phantomdb
from phantomdb.core.errors import DatabaseClosed

KEY_COUNT = 300


def key_of(number: int) -> bytes:
    return b"key%05d" % number


def value_of(key: bytes, count: int) -> bytes:
    body = b"%s|%d|" % (key, count)
    return body + b"x" * (count * 37 % 200) + b"|%08x" % zlib.crc32(body)


def count_in(key: bytes, value: bytes) -> int:
    owner, count, _, check = value.split(b"|")
    assert owner == key, f"{key!r} has the value of {owner!r}"
    assert b"%08x" % zlib.crc32(b"%s|%s|" % (owner, count)) == check, f"damaged value of {key!r}: {value!r}"
    assert value == value_of(key, int(count))
    return int(count)


class Reader:
    """One thread that reads in every way there is until the database closes."""

    def __init__(self, db: phantomdb.Database, seed: int) -> None:
        self.db, self.choose, self.newest, self.reads = db, random.Random(seed), [0] * KEY_COUNT, 0

    def see(self, key: bytes, value: bytes | None) -> None:
        assert value is not None, f"{key!r} is gone"
        number, count = int(key[3:]), count_in(key, value)
        assert count >= self.newest[number], f"{key!r} went back from {self.newest[number]} to {count}"
        self.newest[number] = count
        self.reads += 1

    def read(self) -> None:
        first = self.choose.randrange(KEY_COUNT)
        kv: Any = self.db.kv
        match self.choose.randrange(6):
            case 0:
                self.see(key_of(first), kv.get(key_of(first)))
            case 1:
                keys = [key_of((first + i) % KEY_COUNT) for i in range(20)]
                for key, value in zip(keys, kv.multi_get(keys), strict=True):
                    self.see(key, value)
            case 2 | 3:
                backwards = bool(self.choose.randrange(2))
                rows = list(kv.scan(key_of(first), None, reverse=backwards))
                keys = [key_of(number) for number in range(first, KEY_COUNT)]
                assert [row[0] for row in rows] == (keys[::-1] if backwards else keys)
                for key, value in rows:
                    self.see(key, value)
            case 4:
                for key, value in kv.range_scan(key_of(first), 10):
                    self.see(key, value)
            case 5:
                with kv.snapshot() as snapshot:
                    rows = dict(snapshot.scan())
                    assert len(rows) == KEY_COUNT
                    assert snapshot.get(key_of(first)) == rows[key_of(first)]
                    for key, value in rows.items():
                        self.see(key, value)

    def work(self) -> int:
        try:
            while True:
                self.read()
        except DatabaseClosed:
            return self.reads


def read_write_close(path: Path, seconds: float, *, readers: int = 4, **options: Any) -> None:
    db = phantomdb.open(path, **{**SMALL, "durability": "none", "value_threshold_bytes": 64, **options})
    db.kv.write([(key_of(number), value_of(key_of(number), 0)) for number in range(KEY_COUNT)])
    begun, done = [0] * KEY_COUNT, [0] * KEY_COUNT

    def write(half: int) -> Callable[[], None]:
        choose = random.Random(half)

        def next_value(number: int) -> bytes:
            begun[number] += 1
            return value_of(key_of(number), begun[number])

        def work() -> None:
            try:
                for step in itertools.count():
                    numbers = [choose.randrange(KEY_COUNT // 2) * 2 + half for _ in range(1 + step % 5)]
                    if step % 3:
                        for number in numbers:
                            db.kv.put(key_of(number), next_value(number))
                            done[number] = begun[number]
                    else:
                        with db.transaction() as txn:
                            for number in numbers:
                                txn.kv.put(key_of(number), next_value(number))
                        for number in numbers:
                            done[number] = begun[number]
            except DatabaseClosed:
                pass
        return work

    def upkeep() -> None:
        try:
            while True:
                db.flush()
                db.stats()
                db.compact()
                db.sync()
        except DatabaseClosed:
            pass

    def close() -> None:
        time.sleep(seconds)
        db.close()

    workers = [Reader(db, seed) for seed in range(readers)]
    counts = run_together([*(worker.work for worker in workers), write(0), write(1), upkeep, close])
    assert seconds < 1 or all(counts[:readers])
    with phantomdb.open(path, **{**SMALL, **options}) as db:
        for number in range(KEY_COUNT):
            # what was under way when it closed may be there
            found = count_in(key_of(number), db.kv.get(key_of(number)) or b"")
            assert done[number] <= found <= begun[number]


@pytest.mark.parametrize("options", [{}, {"partitions": 4, "block_cache_bytes": 0}, {"durability": "commit"}],
                         ids=["one partition", "four partitions, no cache", "synced"])
def test_readers_see_right_values_until_the_database_closes(tmp_path: Path, options: dict[str, Any]) -> None:
    read_write_close(tmp_path / "db", 1.5, **options)


@pytest.mark.long
@pytest.mark.parametrize("round_", range(10))
@pytest.mark.parametrize("partitions", [1, 4])
def test_readers_see_right_values_long(tmp_path: Path, round_: int, partitions: int) -> None:
    read_write_close(tmp_path / "db", 5.0 if round_ == 0 else 0.3, partitions=partitions,
                     max_open_tables=16, block_cache_bytes=(round_ % 3) << 14)


def test_closing_while_everything_is_in_use(tmp_path: Path) -> None:
    for round_ in range(8):
        read_write_close(tmp_path / f"db{round_}", 0.02 * round_, readers=2)


def test_two_threads_on_one_scan(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path / "db", durability="none", **{**SMALL, "block_cache_bytes": 0}) as db:
        rows = [(key_of(number), b"v" * 500) for number in range(4000)]
        for start in range(0, 4000, 200):
            db.kv.write(rows[start:start + 200])
        db.flush()
        expected = dict(rows)
        refused = 0
        for _ in range(5):
            scan = db.kv.scan()

            def consume(scan: Any = scan) -> int:
                met = 0
                while True:
                    try:
                        key, value = next(scan)
                    except StopIteration:
                        return met
                    except ValueError:
                        met += 1
                        continue
                    assert expected[key] == value

            refused += sum(run_together([consume, consume, consume]))
        assert refused, "they never met inside the scan: the test shows nothing"


def test_scan_keeps_what_it_began_with(tmp_path: Path) -> None:
    """Rows, large values included, stay readable although all of it was overwritten and compacted away."""
    with phantomdb.open(tmp_path / "db", durability="none", **{**SMALL, "value_threshold_bytes": 64}) as db:
        for flushed in (False, True):
            rows = [(key_of(number), b"%d." % number * 100) for number in range(1000)]
            for start in range(0, 1000, 100):
                db.kv.write(rows[start:start + 100])
            if flushed:
                db.compact()
            scans = [db.kv.scan(), db.kv.scan(reverse=True)]
            first = [next(scan) for scan in scans]
            for _ in range(3):
                for start in range(0, 1000, 100):
                    db.kv.write([(key, b"new" * 100) for key, _ in rows[start:start + 100]])
                db.compact()
            db.kv.delete_range()
            db.compact()
            found = [[row, *scan] for row, scan in zip(first, scans, strict=True)]
            assert found[0] == rows
            assert found[1] == rows[::-1]


def test_closing_one_handle_in_another_thread(tmp_path: Path) -> None:
    from phantomdb.core.errors import SnapshotClosed
    with phantomdb.open(tmp_path / "db", durability="none", **SMALL) as db:
        db.kv.write([(key_of(number), b"v") for number in range(1000)])
        db.flush()
        for _ in range(20):
            snapshot = db.kv.snapshot()
            closing = threading.Event()

            def read(snapshot: Any = snapshot, closing: threading.Event = closing) -> None:
                try:
                    while True:
                        assert len(list(snapshot.scan())) == 1000
                        assert snapshot.get(key_of(1)) == b"v"
                        closing.set()
                except SnapshotClosed:
                    pass

            def close(snapshot: Any = snapshot, closing: threading.Event = closing) -> None:
                assert closing.wait(10)
                snapshot.close()

            run_together([read, read, close])
