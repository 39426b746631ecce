"""The checked builds: one counts every object the extensions make, one has AddressSanitizer look on.

`make test-debug` and `make test-address` run the fast tests on them; here they run a workload that does everything
once, some of it badly, in a process of its own, of which nothing may be left.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
WORKLOAD = Path(__file__).with_name("workload.py")


def build(flavour: str) -> Path:
    """The folder to put on PYTHONPATH. Compiles only what changed since it was built last."""
    chosen = {"debug": {"PHANTOMDB_DEBUG": "1"}, "address": {"PHANTOMDB_SANITIZE": "address"}}[flavour]
    done = subprocess.run([sys.executable, "setup.py", "-q", "build"], cwd=ROOT, env={**os.environ, **chosen},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ROOT / "build" / flavour / "lib"


def run(folder: Path, rounds: int, **environment: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-X", "faulthandler", str(WORKLOAD), str(folder), str(rounds)],
                          env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_nothing_is_left_alive(tmp_path: Path) -> None:
    counts = run(tmp_path, 4, PYTHONPATH=str(build("debug")))["counts"]
    assert len(counts) > 10
    assert not any(counts.values()), f"left alive: { {kind: count for kind, count in counts.items() if count} }"


def test_a_census_sees_what_is_alive(tmp_path: Path) -> None:
    """Else the test above shows nothing."""
    script = f"""if True:
        import phantomdb
        from phantomdb.core._ext import census
        assert not any(census.counts().values())
        db = phantomdb.open({str(tmp_path / "db")!r}, durability="none")
        db.kv.put(b"a", b"1")
        db.flush()
        db.kv.put(b"a", b"2")
        scan, txn = db.kv.scan(), db.transaction()
        txn.kv.get(b"a")
        alive = census.counts()
        for kind in ("view", "memtable", "memtable_cursor", "table", "table_cursor", "merge_cursor", "read_cursor",
                     "read_set", "write_set", "log", "value_log", "open_file"):
            assert alive[kind] > 0, kind
    """
    # not in the project's folder, where `python -c` would find the package in place
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True,
                   env={**os.environ, "PYTHONPATH": str(build("debug"))})


def test_address_sanitizer_finds_nothing(tmp_path: Path) -> None:
    library = subprocess.run([os.environ.get("CC", "cc"), "-print-file-name=libasan.so"], capture_output=True,
                             text=True, check=True).stdout.strip()
    assert Path(library).is_absolute(), "the compiler has no AddressSanitizer: on Debian, apt-get install gcc"
    counts = run(tmp_path, 4, PYTHONPATH=str(build("address")), LD_PRELOAD=library, PYTHONMALLOC="malloc",
                 ASAN_OPTIONS="detect_leaks=0")["counts"]
    assert not any(counts.values())


def test_memory_does_not_grow(tmp_path: Path) -> None:
    """On the build users have: the same work again and again needs no more memory than before."""
    memory = run(tmp_path, 60, MALLOC_ARENA_MAX="1")["memory_kib"]
    warm, end = max(memory[15:25]), max(memory[50:])
    assert end < warm + 4096, f"{end - warm} KiB more after 30 further rounds: {memory}"
