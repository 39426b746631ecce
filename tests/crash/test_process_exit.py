"""A program that ends without closing anything: no word on stderr, and its data is there."""
from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sweep import SMALL

import phantomdb
from phantomdb.core.errors import DatabaseLocked

TIMEOUT_S = 60

# Each leaves something open; b"key" -> b"value" was written before.
LEFT_OPEN = {
    "nothing else": "",
    "in mid-scan": "rows = db.kv.scan(); next(rows)",
    "a snapshot and its scan": "snapshot = db.kv.snapshot(); rows = snapshot.scan(); next(rows)",
    "a transaction": "txn = db.transaction(); txn.kv.put(b'key', b'other'); rows = txn.kv.scan(); next(rows)",
    "a watcher": "feed = db.watch(); waiting = db.watch(timeout_s=0.01); list(waiting)",
    "a second database": "other = phantomdb.open(directory + '2'); other.kv.put(b'a', b'b')",
    "a cycle": "class Node: pass\nnode = Node(); node.self = node; node.db = db; node.rows = db.kv.scan(); del db",
    "dead cycles": """
        import gc
        from phantomdb.core.filesystems import MemoryFileSystem
        def leave(i):
            dying = phantomdb.open("/db", file_system=MemoryFileSystem(), memtable_bytes=1 << 20)
            dying.kv.write([(b"%04d" % j, b"value" * 30) for j in range(600)])
            dying.flush()
            txn = dying.transaction()
            txn.kv.put(b"other", b"value")
            snapshot = dying.kv.snapshot()
            scans = [dying.kv.scan(), snapshot.scan(reverse=True), txn.kv.scan()]
            for scan in scans:
                next(scan)
            cycle = [scans, txn, snapshot, dying.watch(), dying]
            if i % 3 == 2:
                cycle.reverse()
            cycle.append(cycle)
            if i % 2:
                dying.close()
        def fail(n):
            def stop(number, operation, path):
                if number == n:
                    raise OSError(5, "stop")
            disk = MemoryFileSystem()
            disk.before_operation = stop
            try:
                phantomdb.open("/db", file_system=disk).kv.put(b"key", b"value")
            except phantomdb.PhantomError as error:
                cycle = [error]                  # whose traceback knows the half-open database
                cycle.append(cycle)
        for i in range(12):
            leave(i)
            fail(2 * i)
            gc.collect()""",
    "a thread that writes": """
        import threading, time
        def work():
            i = 0
            while True:
                i += 1
                db.kv.put(b"thread", b"%d" % i)
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.1)""",
    "a thread that reads": """
        import threading, time
        def work():
            while True:
                list(db.kv.scan()); db.kv.get(b"key"); db.kv.multi_get([b"key", b"no"])
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.1)""",
    "a thread that waits for the feed": """
        import threading, time
        threading.Thread(target=lambda: [batch for batch in db.watch()], daemon=True).start()
        time.sleep(0.05)""",
    "a thread in a transaction": """
        import threading, time
        def work():
            while True:
                db.run(lambda txn: txn.kv.put(b"count", b"%d" % (int(txn.kv.get(b"count") or 0) + 1)))
        [threading.Thread(target=work, daemon=True).start() for _ in range(3)]
        time.sleep(0.1)""",
    "flushes and compactions under way": """
        for i in range(30000):
            db.kv.put(b"%06d" % (i * 7919 % 30000), b"v" * 100)""",
    "values apart": "db.kv.put(b'big', b'v' * 100_000)",
}
ENDINGS = {
    "at the end": ("", 0),
    "by sys.exit": ("sys.exit(3)", 3),
    "by sys.exit in with": (
        "with db, db.transaction() as txn:\n    txn.kv.put(b'key', b'no')\n    sys.exit(4)", 4),
    "by os._exit": ("os._exit(5)", 5),
}


def run(directory: Path, *, left_open: str = "", ending: str = "",
        durability: str = "none") -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent("""
        import os, sys
        import phantomdb
        directory = sys.argv[1]
        db = phantomdb.open(directory, durability=sys.argv[2], **{options!r})
        db.kv.put(b"key", b"value")
        """).format(options=SMALL) + textwrap.dedent(left_open) + "\n" + ending + "\n"
    environment = {**os.environ, "MALLOC_PERTURB_": "85"}         # what is used after it was freed shall not work
    return subprocess.run([sys.executable, "-X", "dev", "-c", code, str(directory), durability], text=True,
                          env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)


@pytest.mark.parametrize("left_open", LEFT_OPEN)
def test_ending_without_closing(tmp_path: Path, left_open: str) -> None:
    done = run(tmp_path / "db", left_open=LEFT_OPEN[left_open])
    assert (done.stderr, done.stdout, done.returncode) == ("", "", 0)
    with phantomdb.open(tmp_path / "db", **SMALL) as db:
        assert db.kv.get(b"key") == b"value"
        if left_open.startswith("flushes"):
            assert sum(1 for _ in db.kv.scan()) == 30_001


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("durability", ["none", "interval", "commit"])
def test_ways_to_end(tmp_path: Path, ending: str, durability: str) -> None:
    code, status = ENDINGS[ending]
    done = run(tmp_path / "db", ending=code, durability=durability)
    assert (done.stderr, done.returncode) == ("", status)
    with phantomdb.open(tmp_path / "db", **SMALL) as db:
        assert db.kv.get(b"key") == b"value"


def test_an_error_ends_it(tmp_path: Path) -> None:
    """Only Python's own traceback is there."""
    done = run(tmp_path / "db", ending="rows = db.kv.scan(); raise SystemError('mine')")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and done.stderr.endswith("SystemError: mine\n")
    assert done.stderr.count("Traceback") == 1
    with phantomdb.open(tmp_path / "db", **SMALL) as db:
        assert db.kv.get(b"key") == b"value"


def test_forked_children(tmp_path: Path) -> None:
    """A child gets ForkedProcess for everything, ends without a word, and disturbs nobody."""
    done = run(tmp_path / "db", left_open="""
        from phantomdb.core.errors import ForkedProcess
        snapshot, txn, rows = db.kv.snapshot(), db.transaction(), db.kv.scan()
        txn.kv.put(b"t", b"1")
        next(rows)

        def refuses(call):
            try:
                call()
            except ForkedProcess as error:
                return error.code == "forked"
            return False

        def child(ending):
            calls = [lambda: db.kv.get(b"key"), lambda: db.kv.put(b"key", b"child"), lambda: db.kv.delete(b"key"),
                     lambda: db.kv.write([(b"key", b"child")]), lambda: db.kv.multi_get([b"key"]),
                     lambda: list(db.kv.scan()), lambda: snapshot.get(b"key"), lambda: list(snapshot.scan()),
                     lambda: db.kv.snapshot(), lambda: db.transaction(), lambda: txn.kv.get(b"key"),
                     lambda: txn.kv.put(b"key", b"child"), lambda: txn.commit(), lambda: db.flush(),
                     lambda: db.compact(), lambda: db.stats(), lambda: db.sync(), lambda: db.watch(),
                     lambda: db.run(lambda txn: None), lambda: db.timestamp]
            wrong = [i for i, call in enumerate(calls) if not refuses(call)]
            db.close()
            if wrong:
                print("not refused:", wrong, flush=True)
            if ending == "exit":
                sys.exit(7)
            os._exit(7)

        for ending in ("exit", "_exit", "exit"):
            pid = os.fork()
            if pid == 0:
                child(ending)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            db.kv.put(b"parent", ending.encode())
        txn.commit()
        """)
    # Python 3.12 and newer warn of forks of processes with threads, which is the caller's business.
    lines = [line for line in done.stderr.splitlines() if "fork" not in line]
    assert (lines, done.stdout, done.returncode) == ([], "", 0)
    with phantomdb.open(tmp_path / "db", **SMALL) as db:
        assert dict(db.kv.scan()) == {b"key": b"value", b"parent": b"exit", b"t": b"1"}


def test_a_child_may_open_after_the_parent_closed(tmp_path: Path) -> None:
    done = run(tmp_path / "db", left_open="""
        db.close()
        pid = os.fork()
        if pid == 0:
            with phantomdb.open(directory) as again:
                again.kv.put(b"child", b"1")
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """)
    assert done.returncode == 0 and [line for line in done.stderr.splitlines() if "fork" not in line] == []
    with phantomdb.open(tmp_path / "db", **SMALL) as db:
        assert db.kv.get(b"child") == b"1"


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path, **SMALL) as db:
        db.kv.put(b"a", b"1")
        done = run(tmp_path)
        assert done.returncode == 1
        assert "DatabaseLocked" in done.stderr and f"pid {os.getpid()}" in done.stderr
        with pytest.raises(DatabaseLocked, match="this process"):
            phantomdb.open(tmp_path)
        assert db.kv.get(b"a") == b"1"
    assert run(tmp_path).returncode == 0
