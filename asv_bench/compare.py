"""PhantomDB beside LMDB, LevelDB and RocksDB, in two minutes: `python asv_bench/compare.py [--entries N] [--runs N]`.

Each engine and run is a fresh process with a fresh folder, runs are interleaved, a cell is the median in operations per
second. Keys have 16 bytes, values 100, half of them compressible; nothing is synced. What is not installed is left out.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CACHE_BYTES, MEMTABLE_BYTES = 512 << 20, 64 << 20
Face = dict[str, Callable[..., Any]]


def open_phantomdb(folder: str) -> Face:
    import phantomdb

    db = phantomdb.open(folder, durability="none", block_cache_bytes=CACHE_BYTES, memtable_bytes=MEMTABLE_BYTES)
    return {"get": db.kv.get, "put": db.kv.put, "scan": db.kv.scan, "close": db.close,
            "range": lambda start, count: list(db.kv.scan(start=start, limit=count))}


def open_lmdb(folder: str) -> Face:
    import lmdb

    env = lmdb.open(folder, map_size=8 << 30, writemap=True, map_async=True, sync=False, metasync=False)

    def put(key: bytes, value: bytes) -> None:
        with env.begin(write=True) as transaction:
            transaction.put(key, value)

    reader: list[Any] = []

    def get(key: bytes) -> bytes | None:         # one read transaction for a bulk of reads, its best case
        if not reader:
            reader.append(env.begin(buffers=False))
        return reader[0].get(key)                # type: ignore[no-any-return]

    def scan() -> Iterator[tuple[bytes, bytes]]:
        return iter(env.begin().cursor())

    def some(start: bytes, count: int) -> list[tuple[bytes, bytes]]:
        cursor = env.begin().cursor()
        cursor.set_range(start)
        return [pair for pair, _ in zip(cursor, range(count), strict=False)]

    return {"get": get, "put": put, "scan": scan, "range": some, "close": env.close}


def open_plyvel(folder: str) -> Face:
    import plyvel

    db = plyvel.DB(folder, create_if_missing=True, lru_cache_size=CACHE_BYTES, write_buffer_size=MEMTABLE_BYTES,
                   bloom_filter_bits=10)

    def some(start: bytes, count: int) -> list[tuple[bytes, bytes]]:
        return [pair for pair, _ in zip(db.iterator(start=start), range(count), strict=False)]

    return {"get": db.get, "put": db.put, "scan": db.iterator, "range": some, "close": db.close}


def open_rocksdict(folder: str) -> Face:
    from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict

    options, table = Options(raw_mode=True), BlockBasedOptions()
    table.set_bloom_filter(10, False)
    table.set_block_cache(Cache(CACHE_BYTES))
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_compression_type(DBCompressionType.lz4())
    db = Rdict(folder, options)

    def some(start: bytes, count: int) -> list[tuple[bytes, bytes]]:
        return [pair for pair, _ in zip(db.items(from_key=start), range(count), strict=False)]

    return {"get": db.get, "put": db.put, "scan": db.items, "range": some, "close": db.close}


ENGINES: dict[str, Callable[[str], Face]] = {
    "phantomdb": open_phantomdb, "lmdb": open_lmdb, "plyvel": open_plyvel, "rocksdict": open_rocksdict}


def timed(function: Callable[[], int]) -> float:
    start = time.perf_counter()
    count = function()
    return count / (time.perf_counter() - start)


def measure(engine: str, entries: int) -> dict[str, float]:
    """All phases of one engine, in this process."""
    order = list(range(0, 2 * entries, 2))
    random.Random(1).shuffle(order)
    pool = [random.Random(seed).randbytes(50) * 2 for seed in range(4096)]
    keys = [b"%016d" % number for number in order]
    absent = [b"%016d" % (number + 1) for number in order]
    values = [pool[number % len(pool)] for number in order]
    with tempfile.TemporaryDirectory(prefix="phantomdb-compare-") as folder:
        face = ENGINES[engine](str(Path(folder) / "data"))
        get, put, some = face["get"], face["put"], face["range"]

        def fill() -> int:
            for key, value in zip(keys, values, strict=True):
                put(key, value)
            return entries

        def read(names: list[bytes]) -> int:
            for name in names:
                get(name)
            return len(names)

        def ranges() -> int:
            return sum(bool(some(name, 100)) for name in keys[:entries // 100])

        rates = {"fill_random": timed(fill), "get_hit": timed(lambda: read(keys)),
                 "get_miss": timed(lambda: read(absent)),
                 "scan (entries)": timed(lambda: sum(1 for _ in face["scan"]())), "range of 100": timed(ranges)}
        face["close"]()
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.entries)))
        return
    engines = [name for name in ENGINES if importlib.util.find_spec(name)]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    for number in range(options.runs):
        for name in engines:
            print(f"run {number + 1} of {options.runs}: {name}", file=sys.stderr)
            command = [sys.executable, __file__, "--one", name, "--entries", str(options.entries)]
            runs[name].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(f"{'per second':16}" + "".join(f"{name:>14}" for name in engines))
    for phase in runs[engines[0]][0]:
        medians = [statistics.median(run[phase] for run in runs[name]) for name in engines]
        print(f"{phase:16}" + "".join(f"{median:14,.0f}" for median in medians))


if __name__ == "__main__":
    main()
