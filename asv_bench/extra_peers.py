#!/usr/bin/env python3
"""What kv_peers.py does not measure: the tail of put while filling, and synced puts of several threads.

    python asv_bench/extra_peers.py latency --count 5000000
    python asv_bench/extra_peers.py sync --threads 8

Each engine runs in its own process and folder, one after the other, in one run of this script; the
disk's own rate is measured beside them. Peers: pip install rocksdict lmdb.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable
from typing import NoReturn

KEY_BYTES, VALUE_BYTES = 16, 100
MEMTABLE_BYTES, CACHE_BYTES = 64 << 20, 512 << 20


def open_phantomdb(path: str, sync: bool) -> Callable[[bytes, bytes], object]:
    import phantomdb
    database = phantomdb.open(path, durability="commit" if sync else "none", memtable_bytes=MEMTABLE_BYTES,
                              block_cache_bytes=CACHE_BYTES)
    return database.kv.put


def open_rocksdict(path: str, sync: bool) -> Callable[[bytes, bytes], object]:
    from rocksdict import DBCompressionType, Options, Rdict, WriteOptions
    options = Options(raw_mode=True)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_compression_type(DBCompressionType.lz4())
    database = Rdict(path, options)
    write_options = WriteOptions()
    write_options.sync = sync
    database.set_write_options(write_options)
    return database.put


def open_lmdb(path: str, sync: bool) -> Callable[[bytes, bytes], object]:
    import lmdb
    environment = lmdb.open(path, map_size=16 << 30, sync=sync, metasync=sync, writemap=not sync, map_async=not sync)

    def put(key: bytes, value: bytes) -> None:
        with environment.begin(write=True) as transaction:
            transaction.put(key, value)
    return put


ENGINES = {"phantomdb": open_phantomdb, "rocksdict": open_rocksdict, "lmdb": open_lmdb}


def latency(put: Callable[[bytes, bytes], object], count: int) -> dict[str, float]:
    """Nanoseconds of each put of a random fill; percentiles in microseconds, the longest in milliseconds."""
    order = list(range(count))
    random.Random(21).shuffle(order)
    values = [random.Random(7).randbytes(VALUE_BYTES // 2) * 2 for _ in range(1024)]
    taken = array("q", bytes(8 * count))
    clock = time.perf_counter_ns
    began = clock()
    for position, number in enumerate(order):
        key = b"%016d" % number
        value = values[position & 1023]
        before = clock()
        put(key, value)
        taken[position] = clock() - before
    seconds = (clock() - began) / 1e9
    ordered = sorted(taken)
    figures = {f"p{name}_us": ordered[min(count - 1, int(count * share))] / 1e3
               for name, share in (("50", .5), ("99", .99), ("99.9", .999), ("99.99", .9999))}
    return {"rate": count / seconds, **figures, "longest_ms": ordered[-1] / 1e6}


def synced(put: Callable[[bytes, bytes], object], count: int, threads: int) -> dict[str, float]:
    """Synced puts a second of `threads` threads together."""
    value = b"v" * VALUE_BYTES
    gate = threading.Barrier(threads + 1)

    def work(thread: int) -> None:
        gate.wait()
        for i in range(count):
            put(b"%04d%012d" % (thread, i), value)
    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    gate.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    return {f"{threads}_threads": threads * count / (time.perf_counter() - began)}


def disk_rate(folder: str, count: int = 1000) -> float:
    """fdatasync of a 128-byte append, a second."""
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        began = time.perf_counter()
        for _ in range(count):
            os.write(descriptor, b"x" * 128)
            os.fdatasync(descriptor)
        return count / (time.perf_counter() - began)
    finally:
        os.close(descriptor)
        os.remove(name)


def child(arguments: argparse.Namespace) -> NoReturn:
    put = ENGINES[arguments.child](arguments.path, arguments.what == "sync")
    if arguments.what == "latency":
        found = latency(put, arguments.count)
    else:
        found = {**synced(put, arguments.count, 1), **synced(put, arguments.count, arguments.threads)}
    print(json.dumps(found), flush=True)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["latency", "sync"])
    parser.add_argument("--engines", default="phantomdb,rocksdict,lmdb")
    parser.add_argument("--count", type=int, default=1000, help="puts (latency: in all; sync: a thread)")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "sync":
            print(f"disk            {disk_rate(folder):10.0f} fdatasync/s")
        for engine in arguments.engines.split(","):
            command = [sys.executable, os.path.abspath(__file__), arguments.what, "--child", engine, "--path",
                       os.path.join(folder, engine), "--count", str(arguments.count), "--threads",
                       str(arguments.threads)]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            print(f"{engine:12}", "  ".join(f"{name} {value:,.1f}" for name, value in json.loads(output).items()),
                  flush=True)


if __name__ == "__main__":
    main()
