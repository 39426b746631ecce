"""The write-ahead log on a disk that crashes, life after life: nothing acknowledged is lost, nothing is reordered."""
from __future__ import annotations

import random

import pytest

from phantomdb.core._ext.files import BridgedFileSystem
from phantomdb.core._ext.log_probe import LogProbe
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.memory_disk import CrashMode

SEGMENT = 4096
MODES: list[CrashMode] = ["lost", "kept", "torn", "torn", "torn"]


def open_log(disk: MemoryFileSystem) -> LogProbe:
    return LogProbe(BridgedFileSystem(disk), "/", SEGMENT, False)


def test_a_replayed_log_is_synced_before_new_records_count() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    for ts in range(30):
        log.append(b"p" * 200, ts)
    killed = disk.crash_image("kept")
    log = open_log(killed)
    assert len(log.recovered) == 30 and log.durable_lsn < log.end_lsn
    log.wait_durable(log.append(b"n", 100))
    lost = open_log(killed.crash_image("lost"))
    assert [ts for _, ts, _ in lost.recovered] == [*range(30), 100]


class Life:
    """One run on a disk that may crash at any operation, and what must be true of the log afterwards."""

    def __init__(self, disk: MemoryFileSystem, first: int, expected: list[tuple[int, int]],
                 choose: random.Random) -> None:
        self.disk, self.first, self.choose = disk, first, choose
        self.written = expected                 # (segment, ts), as recovered, then as appended
        self.acknowledged = 0                   # so many of them are durable
        self.crash_at = disk.operations + choose.randint(0, choose.choice([10, 60]))
        self.image: MemoryFileSystem | None = None

    def crash(self, number: int, _operation: str, _path: str) -> None:
        if number == self.crash_at and self.image is None:
            self.take_image()

    def take_image(self) -> None:
        self.image = self.disk.crash_image(self.choose.choice(MODES), self.choose.randrange(1 << 30))
        self.first_then, self.acknowledged_then = self.first, self.acknowledged
        # An append may be under way; check() replaces the list, so this one goes on showing its time.
        self.written_then, self.count_then = self.written, len(self.written) + 1

    def run(self, next_ts: int) -> int:
        """Uses the log for a while; returns the next free timestamp."""
        choose = self.choose
        self.disk.before_operation = self.crash
        log = LogProbe(BridgedFileSystem(self.disk), "/", SEGMENT, choose.random() < 0.5, self.first)
        self.check(log)
        sync_rate = choose.choice([0.0, 0.0, 0.05, 0.3, 1.0])
        for _ in range(choose.randint(0, 80)):
            end = log.append(choose.randbytes(choose.choice([0, 5, 100, 300, 300, 2000, 5000])), next_ts)
            self.written.append((log.current_segment, next_ts))
            next_ts += 1
            if choose.random() < sync_rate:
                log.wait_durable(end)
                self.acknowledged = len(self.written)
            if choose.random() < 0.1:
                log.prepare()
            if choose.random() < 0.1:
                self.first = choose.randint(self.first, log.current_segment)        # the manifest says so
                if choose.random() < 0.7:
                    log.release(self.first)
        if self.image is None:
            self.take_image()
        self.disk.before_operation = None
        return next_ts

    def check(self, log: LogProbe) -> None:
        """What the log gave back is a prefix of what was written, and no acknowledged record is missing."""
        recovered = [(segment, ts) for segment, ts, _ in log.recovered]
        expected = [(segment, ts) for segment, ts in self.written if segment >= self.first]
        needed = sum(segment >= self.first for segment, _ in self.written[:self.acknowledged])
        assert recovered == expected[:len(recovered)]
        assert len(recovered) >= needed
        self.written, self.acknowledged = recovered, needed


@pytest.mark.parametrize("seed", range(150))
def test_no_crash_loses_or_reorders_acknowledged_records(seed: int) -> None:
    choose = random.Random(seed)
    life = Life(MemoryFileSystem(), 1, [], choose)
    next_ts = 0
    for _ in range(6):
        next_ts = life.run(next_ts)
        assert life.image is not None
        following = Life(life.image, life.first_then, life.written_then[:life.count_then], choose)
        following.acknowledged = life.acknowledged_then
        life = following
