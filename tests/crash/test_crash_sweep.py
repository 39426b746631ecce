"""Crash at every file operation of every write path: what was acknowledged is there, and nothing by halves."""
from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Literal

import pytest
from sweep import ROOT, SCENARIOS, SMALL, Run, Scenario, check_recovery, count_operations, sweep

import phantomdb
from phantomdb.core import limits
from phantomdb.core.filesystems import FaultyFileSystem, MemoryFileSystem

SAMPLE = 16                          # operations of each scenario at which the fast tier looks
ALL = [pytest.param(scenario, id=scenario.name) for scenario in SCENARIOS]


@pytest.fixture(autouse=True)
def _small_manifests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests are replaced after a few edits where that is what a scenario is about."""
    if "roll" in request.node.name or "long" in request.node.name:
        monkeypatch.setattr(limits, "MANIFEST_ROLL_BYTES", 1)


@pytest.mark.parametrize("scenario", ALL)
def test_sampled_crashes_lose_nothing(scenario: Scenario) -> None:
    stride = max(1, count_operations(scenario) // SAMPLE)
    sweep(scenario, stride=stride, first=stride // 2, torn_seeds=2)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scenario", ALL)
def test_long_every_crash_loses_nothing(scenario: Scenario, seed: int) -> None:
    sweep(scenario, torn_seeds=5, seed=seed)


def recovery_scenarios() -> list[Scenario]:
    return [scenario for scenario in SCENARIOS if scenario.name in {
        "commit", "commit-none", "values", "values-none", "recycling-none", "partitions-none", "reopening",
        "compaction"}]


@pytest.mark.parametrize("scenario", recovery_scenarios(), ids=lambda scenario: scenario.name)
def test_crashes_during_recovery(scenario: Scenario) -> None:
    stride = count_operations(scenario) // 2
    sweep(scenario, stride=stride, first=stride - 7, torn_seeds=1, check=check_recovery)


@pytest.mark.long
@pytest.mark.parametrize("scenario", ALL)
def test_long_crashes_during_recovery(scenario: Scenario) -> None:
    sweep(scenario, stride=9, first=4, torn_seeds=2, check=functools.partial(check_recovery, stride=2))


class Threads:
    """Threads that commit at the same time, each to keys of its own, and check for each crash image that the
    commits there are a prefix of the commit order."""

    def __init__(self, durability: str, count: int, commits: int) -> None:
        self.durability, self.count, self.commits = durability, count, commits
        self.disk = MemoryFileSystem()
        self.timestamps: list[list[int]] = [[] for _ in range(count)]    # of acknowledged commits, by thread
        self.options = {**SMALL, "durability": durability, "partitions": 2}
        self.failures: list[BaseException] = []

    def work(self, db: phantomdb.Database, number: int) -> None:
        try:
            for step in range(1, self.commits + 1):
                with db.transaction() as txn:
                    for part in range(4):
                        txn.kv.put(b"%d-%d" % (number, part), b"%d" % step)
                assert txn.commit_timestamp is not None
                self.timestamps[number].append(txn.commit_timestamp)
        except BaseException as error:
            self.failures.append(error)

    def check(self, mode: str, seed: int) -> None:
        acknowledged = [list(timestamps) for timestamps in self.timestamps]
        image = self.disk.crash_image(mode, seed)        # type: ignore[arg-type]
        with phantomdb.open(ROOT, file_system=image, **self.options) as db:
            rows = dict(db.kv.scan())
        there = []
        for number, timestamps in enumerate(acknowledged):
            found = {rows.get(b"%d-%d" % (number, part), b"0") for part in range(4)}
            assert len(found) == 1, f"half a commit of thread {number}: {found}"
            there.append(int(found.pop()))
            if mode == "kept" or self.durability == "commit":
                assert there[-1] >= len(timestamps), f"thread {number} lost acknowledged commits"
        newest = max((timestamps[min(n, len(timestamps)) - 1]
                      for n, timestamps in zip(there, acknowledged, strict=True) if n and timestamps), default=0)
        for number, (n, timestamps) in enumerate(zip(there, acknowledged, strict=True)):
            older = sum(timestamp <= newest for timestamp in timestamps)
            assert n >= older, f"a commit of thread {number} is missing that is older than one that is there"

    def run(self, stride: int) -> None:
        def before(number: int, operation: str, path: str) -> None:
            if number % stride == 0 and not self.failures:
                try:
                    for mode, seed in (("lost", 0), ("kept", 0), ("torn", number), ("torn", number + 1)):
                        self.check(mode, seed)
                except BaseException as error:
                    error.add_note(f"crash before operation {number} ({operation} {path}), {mode} {seed}")
                    self.failures.append(error)

        with phantomdb.open(ROOT, file_system=self.disk, **self.options) as db:
            self.disk.before_operation = before
            threads = [threading.Thread(target=self.work, args=(db, i)) for i in range(self.count)]
            for thread in threads:
                thread.start()
            for _ in range(3):
                db.flush()
            for thread in threads:
                thread.join()
        if self.failures:
            raise self.failures[0]
        assert all(len(timestamps) == self.commits for timestamps in self.timestamps)


@pytest.mark.parametrize("durability", ["commit", "interval", "none"])
def test_crash_under_concurrent_commits(durability: str) -> None:
    Threads(durability, 4, 15).run(stride=12)


class WritesDuringSync(FaultyFileSystem):
    """Calls `write` in another thread in the middle of a sync: the values' files are done, the log is not. (The
    last step for a new value file is to sync its folder.)"""

    write: Callable[[], None] | None = None

    def _due(self, operation: str, path: str) -> Any:
        write = self.write
        if write is not None and operation == "sync_dir" and threading.current_thread() is threading.main_thread():
            self.write = None
            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
        return super()._due(operation, path)


@pytest.mark.parametrize("mode", ["lost", "kept", "torn"])
def test_a_sync_claims_no_record_whose_value_came_later(mode: Literal["lost", "kept", "torn"]) -> None:
    """The log's sync takes a record along that was appended meanwhile; its value is not on disk."""
    disk = WritesDuringSync(MemoryFileSystem())
    options = {**SMALL, "durability": "none", "value_threshold_bytes": 64}
    db = phantomdb.open(ROOT, file_system=disk, **options)
    db.kv.put(b"a", b"a" * 1000)
    disk.write = lambda: db.kv.put(b"b", b"b" * 1000)
    db.sync()
    db.kv.put(b"c", b"small")
    assert isinstance(disk.inner, MemoryFileSystem)
    for path in (f"{ROOT}/{name}" for name in disk.list_dir(ROOT) if name.endswith(".log")):
        disk.inner.open(path, 2).sync()                  # the system writes the log back first, by chance
    image = disk.inner.crash_image(mode, seed=1)
    db.store.abandon()
    with phantomdb.open(ROOT, file_system=image, **options) as db:
        rows = dict(db.kv.scan())
        assert rows.pop(b"a") == b"a" * 1000
        assert rows in ([{b"b": b"b" * 1000, b"c": b"small"}] if mode == "kept" else
                        [{}, {b"b": b"b" * 1000}, {b"b": b"b" * 1000, b"c": b"small"}])


@pytest.mark.long
@pytest.mark.parametrize("durability", ["commit", "interval", "none"])
def test_long_crash_under_concurrent_commits(durability: str) -> None:
    Threads(durability, 6, 60).run(stride=1)


def test_the_sweep_finds_a_lost_write() -> None:
    """The proof must be able to fail: a history that claims more than was written is found out."""
    def liar(run: Run) -> None:
        run.write([(b"a", b"1")])
        with run.history.batch([(b"b", b"2")]):
            pass                                 # acknowledged, but never written
        run.write([(b"c", b"3")])

    with pytest.raises(AssertionError, match="crash before operation"):
        sweep(Scenario("liar", liar), torn_seeds=1)
