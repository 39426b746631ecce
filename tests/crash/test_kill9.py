"""Real processes, really killed: SIGKILL at a random moment, reopen, and all that was acknowledged is there.

    child   writes, and reports each acknowledged commit through a pipe   <- the kernel keeps what was reported
    parent  waits a little, kills, reads the pipe to its end, opens the database, compares
"""
from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sweep import SMALL

import phantomdb
from phantomdb.core.errors import DatabaseLocked

START_S = 60.0
THREADS = 3
KEYS = 8                             # of each thread; all hold the same number in a whole commit

CHILD = """
import os, sys, threading
import phantomdb

directory, options, how, threads, keys, first = {directory!r}, {options!r}, {how!r}, {threads}, {keys}, {first!r}
db = phantomdb.open(directory, **options)

def work(number):
    step = first[number]
    while True:
        step += 1
        value = b"%d" % step + b"." * (step * 37 % 300)
        pairs = [(b"%d-%d" % (number, i), value) for i in range(keys)]
        if how == "put":
            for key, _ in pairs:                         # in this order: a prefix of the keys may be one ahead
                db.kv.put(key, value)
        elif how == "write":
            db.kv.write(pairs)
        else:
            with db.transaction() as txn:
                for key, _ in pairs:
                    txn.kv.put(key, value)
        os.write(1, b"%d %d\\n" % (number, step))

for i in range(threads - 1):
    threading.Thread(target=work, args=(i,), daemon=True).start()
work(threads - 1)
"""


def start(directory: Path, options: dict[str, Any], how: str, threads: int,
          first: list[int]) -> subprocess.Popen[bytes]:
    code = CHILD.format(directory=str(directory), options=options, how=how, threads=threads, keys=KEYS, first=first)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def kill_after(child: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Kills the child so long after its first word; everything it said."""
    assert child.stdout is not None
    assert child.stderr is not None
    said = b""
    deadline = time.monotonic() + START_S
    while not said:
        ready, _, _ = select.select([child.stdout], [], [], deadline - time.monotonic())
        assert ready, "the child does not begin"
        said = os.read(child.stdout.fileno(), 1 << 16)
        assert said, child.stderr.read().decode()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([child.stdout], [], [], left)[0]:
            part = os.read(child.stdout.fileno(), 1 << 16)
            assert part, child.stderr.read().decode()
            said += part
    child.send_signal(signal.SIGKILL)
    said += child.stdout.read()
    assert child.wait() == -signal.SIGKILL
    assert child.stderr.read() == b""
    child.stdout.close()
    child.stderr.close()
    return said


def acknowledged_in(said: bytes, threads: int, before: list[int]) -> list[int]:
    steps = list(before)
    for line in said.split(b"\n")[:-1]:
        number, step = map(int, line.split())
        assert step == steps[number] + 1
        steps[number] = step
    return steps


def check(directory: Path, options: dict[str, Any], how: str, acknowledged: list[int]) -> list[int]:
    """The steps found, which go beyond the acknowledged ones by one at most."""
    steps = []
    with phantomdb.open(directory, **options) as db:
        for number, least in enumerate(acknowledged):
            values = [db.kv.get(b"%d-%d" % (number, i)) or b"0" for i in range(KEYS)]
            found = [int(value.rstrip(b".")) for value in values]
            assert all(least <= step <= least + 1 for step in found), f"{found} found, {least} acknowledged"
            if how != "put":
                assert len(set(found)) == 1, f"half a commit: {found}"
            assert found == sorted(found, reverse=True)
            assert all(value.count(b".") == step * 37 % 300 for value, step in zip(values, found, strict=True) if step)
            steps.append(found[-1] if how == "put" else found[0])
        assert len(list(db.kv.scan())) == sum(1 for least in acknowledged for _ in range(KEYS) if least or steps[0])
    return steps


def rounds(directory: Path, how: str, threads: int, count: int, **options: Any) -> None:
    options = {**SMALL, "value_threshold_bytes": 200, **options}
    choose = random.Random(f"{how} {threads} {options}")
    steps = [0] * threads
    for number in range(count):
        child = start(directory, options, how, threads, steps)
        try:
            if number == 0:
                time.sleep(0.05)
            said = kill_after(child, choose.random() * 0.4)
        finally:
            child.kill()
            child.wait()
        steps = check(directory, options, how, acknowledged_in(said, threads, steps))
    assert sum(steps) > 0


CASES = [
    ("put", 1, {"durability": "none"}),
    ("write", 1, {"durability": "commit"}),
    ("write", THREADS, {"durability": "interval", "sync_interval_ms": 5}),
    ("transaction", THREADS, {"durability": "commit", "partitions": 4}),
    ("transaction", 2, {"durability": "none", "partitions": 4}),
]


@pytest.mark.parametrize("how, threads, options", CASES)
def test_kill_9(tmp_path: Path, how: str, threads: int, options: dict[str, Any]) -> None:
    rounds(tmp_path / "db", how, threads, 3, **options)


@pytest.mark.long
@pytest.mark.parametrize("how, threads, options", CASES)
def test_long_kill_9(tmp_path: Path, how: str, threads: int, options: dict[str, Any]) -> None:
    rounds(tmp_path / "db", how, threads, 60, **options)


def test_the_lock_of_a_dead_process_does_not_block(tmp_path: Path) -> None:
    child = start(tmp_path, SMALL, "put", 1, [0])
    try:
        assert child.stdout is not None and child.stdout.readline()
        with pytest.raises(DatabaseLocked, match=str(child.pid)):
            phantomdb.open(tmp_path)
    finally:
        child.kill()
        child.communicate()
    with phantomdb.open(tmp_path, **SMALL) as db:
        assert db.kv.get(b"0-0") is not None
