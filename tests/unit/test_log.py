"""The write-ahead log: round trips, segments, damage, group commit, failing disks. Crashes: test_log_crash.py."""
from __future__ import annotations

import errno
import os
import random
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core._ext.files import CREATE, BridgedFileSystem, FileSystem, PosixFileSystem
from phantomdb.core._ext.hashing import crc32c_of
from phantomdb.core._ext.log_probe import LogProbe
from phantomdb.core._ext.log_reader import LogFeed, LogSegment
from phantomdb.core.errors import (CorruptionError, DatabaseClosed, DiskFull, FeedLost, FileMissing, InvalidArgument,
                                   NewerFormat, WritesStopped)
from phantomdb.core.filesystems import FaultyFileSystem, FileLike, MemoryFileSystem

SEGMENT = 4096
RECORD = 224             # bytes that a payload of 200 takes
FIT = 18                 # so many of them in a segment


def segment_path(directory: Path | str, number: int) -> str:
    return os.path.join(directory, f"{number:012d}.log")


def segment_numbers(directory: Path) -> list[int]:
    return sorted(int(name[:12]) for name in os.listdir(directory))


def records(directory: Path | str, number: int, fs: FileSystem | None = None) -> list[tuple[int, int, int, int, bytes]]:
    return list(LogSegment(fs or PosixFileSystem(), segment_path(directory, number)))


def open_log(directory: Path | str, first_segment: int = 1, segment_bytes: int = SEGMENT,
             fs: FileSystem | None = None, missing: tuple[int, ...] = ()) -> LogProbe:
    return LogProbe(fs or PosixFileSystem(), directory, segment_bytes, False, first_segment, missing)


def replay(directory: Path | str, first_segment: int = 1) -> list[int]:
    """The timestamps that a reopened log gives back."""
    log = open_log(directory, first_segment)
    log.close()
    return [ts for _, ts, _ in log.recovered]


def copy_directory(source: Path, target: Path) -> Path:
    """What a killed process leaves: the files as they are, without a close."""
    target.mkdir()
    for name in os.listdir(source):
        (target / name).write_bytes((source / name).read_bytes())
    return target


def flip(path: str, offset: int, bit: int = 0) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "db").mkdir()
    return tmp_path / "db"


# ---- round trips ---------------------------------------------------------------------------------

def test_records_come_back_in_order(folder: Path) -> None:
    log = open_log(folder)
    assert log.recovered == [] and log.end_lsn == log.durable_lsn == 0
    expected = [(1, ts, b"x" * ts) for ts in range(40)]
    for _, ts, payload in expected:
        end = log.append(payload, ts)
    assert end == log.end_lsn > log.durable_lsn
    log.wait_durable(end)
    assert log.durable_lsn == end
    log.close()
    log.close()
    with pytest.raises(DatabaseClosed):
        log.append(b"", 1)
    again = open_log(folder)
    assert again.recovered == expected
    assert again.end_lsn == end


@settings(max_examples=40, deadline=None)
@given(sessions=st.lists(st.lists(st.one_of(st.integers(0, 200), st.integers(3900, 4200), st.integers(0, 20_000)),
                                  max_size=12), min_size=1, max_size=4),
       bridged=st.booleans(), zero_fill=st.booleans(), prepare=st.booleans())
def test_any_sizes_over_several_sessions(tmp_path_factory: pytest.TempPathFactory, sessions: list[list[int]],
                                         bridged: bool, zero_fill: bool, prepare: bool) -> None:
    directory: Path | str = "/" if bridged else tmp_path_factory.mktemp("log")
    fs: FileSystem = BridgedFileSystem(MemoryFileSystem()) if bridged else PosixFileSystem()
    expected: list[tuple[int, bytes]] = []
    for sizes in sessions:
        log = LogProbe(fs, directory, SEGMENT, zero_fill)
        assert [(ts, payload) for _, ts, payload in log.recovered] == expected
        for size in sizes:
            if prepare and size % 3 == 0:
                log.prepare()
            expected.append((len(expected), random.Random(size).randbytes(size)))
            log.append(expected[-1][1], expected[-1][0])
        log.close()


def test_the_bytes_on_disk(folder: Path) -> None:
    log = open_log(folder)
    log.wait_durable(log.append(b"first", 11))
    log.append(b"second..9", 12)
    log.close()
    data = Path(segment_path(folder, 1)).read_bytes()
    assert len(data) == SEGMENT
    header = struct.pack("<8sIIQQQQ", b"PHANTLOG", 1, 0, 1, 0, 0, SEGMENT)
    assert data[:52] == header + struct.pack("<I", crc32c_of(header)) and data[52:64] == bytes(12)
    seed = crc32c_of(struct.pack("<Q", 1))
    offset = 64
    for payload, ts, durable in ((b"first", 11, 0), (b"second..9", 12, 32)):
        body = struct.pack("<IQQ", len(payload), ts, durable) + payload
        assert data[offset:offset + 4 + len(body)] == struct.pack("<I", crc32c_of(body, seed)) + body
        offset += (4 + len(body) + 7) // 8 * 8


def test_a_record_larger_than_a_segment_gets_one_of_its_own(folder: Path) -> None:
    log = open_log(folder)
    log.append(b"small", 1)
    log.prepare()                               # too small for what comes
    log.append(b"L" * 50_000, 2)
    log.append(b"small", 3)
    assert log.current_segment in (2, 3)
    assert os.path.getsize(segment_path(folder, 2)) == 53_248
    log.close()
    assert replay(folder) == [1, 2, 3]


def test_records_across_the_reading_window(folder: Path) -> None:
    log = open_log(folder, segment_bytes=8 << 20)
    sizes = [700_000, 400_000, 2_500_000, 0, 1 << 20, 999_999]
    for ts, size in enumerate(sizes):
        log.append(bytes([ts]) * size, ts)
    log.close()
    again = open_log(folder)
    assert again.recovered == [(1, ts, bytes([ts]) * size) for ts, size in enumerate(sizes)]


def test_waiting_for_what_was_never_logged_is_refused(folder: Path) -> None:
    log = open_log(folder)
    with pytest.raises(InvalidArgument):
        log.wait_durable(log.end_lsn + 8)


def test_reopening_without_writing_leaves_no_trail_of_segments(folder: Path) -> None:
    log = open_log(folder)
    end = log.append(b"x", 1)
    log.close()
    for _ in range(4):
        log = open_log(folder)
        assert log.current_segment == 2 and log.end_lsn == end
        log.close()
    assert segment_numbers(folder) == [1, 2]


# ---- segments ------------------------------------------------------------------------------------

def test_full_segments_are_followed_by_new_ones(folder: Path) -> None:
    log = open_log(folder)
    for ts in range(60):
        log.append(b"p" * 200, ts)
    assert log.current_segment == 4 and log.oldest_segment == 1
    assert log.live_bytes == 60 * RECORD + 4 * 64
    log.wait_durable(log.end_lsn)
    starts = [LogSegment(PosixFileSystem(), segment_path(folder, number)).start_lsn for number in (1, 2, 3, 4)]
    assert starts == [FIT * RECORD * i for i in range(4)]
    log.close()
    assert replay(folder) == list(range(60))
    assert replay(folder, 3) == list(range(2 * FIT, 60))


def test_a_prepared_segment_is_used_and_an_unused_one_removed(folder: Path) -> None:
    log = LogProbe(PosixFileSystem(), folder, SEGMENT, True)
    log.prepare()
    log.prepare()
    assert segment_numbers(folder) == [1, 2]
    for ts in range(20):
        log.append(b"p" * 200, ts)
    assert log.current_segment == 2 and segment_numbers(folder) == [1, 2]
    log.prepare()
    killed = copy_directory(folder, folder.parent / "killed")
    log.close()
    assert segment_numbers(folder) == [1, 2]
    assert replay(folder) == replay(killed) == list(range(20))


def test_released_segments_are_reused_and_their_records_never_replayed(folder: Path) -> None:
    log = open_log(folder)
    live: list[tuple[int, int]] = []
    for ts in range(800):
        log.append(bytes([ts % 251]) * 200, ts)  # equal sizes: stale records sit exactly where new ones would
        live.append((log.current_segment, ts))
        if ts % 7 == 0 and log.current_segment > 2:
            log.release(log.current_segment - 1)
            assert log.oldest_segment == log.current_segment - 1
            assert len(segment_numbers(folder)) <= 2 + 3
    first = log.oldest_segment
    log.wait_durable(log.end_lsn)
    killed = copy_directory(folder, folder.parent / "killed")
    assert min(segment_numbers(killed)) < first, "no spare is left: the test shows nothing"
    assert replay(killed, first) == [ts for segment, ts in live if segment >= first]
    # the same with a segment that is as good as full of stale records
    log.append(b"x" * 4000, 800)
    log.append(b"tiny", 801)
    killed = copy_directory(folder, folder.parent / "killed2")
    assert replay(killed, log.current_segment) == [801]


def test_a_pin_holds_segments_back(folder: Path) -> None:
    log = open_log(folder)
    for ts in range(60):
        log.append(b"p" * 200, ts)
    log.pin(2)
    log.pin(2)
    log.release(4)
    assert log.oldest_segment == 2
    with pytest.raises(FeedLost):
        log.pin(1)
    log.unpin(2)
    log.release(4)
    assert log.oldest_segment == 2
    log.unpin(2)
    log.release(99)
    assert log.oldest_segment == log.current_segment == 4


def test_close_can_remove_everything(folder: Path) -> None:
    log = open_log(folder)
    for ts in range(100):
        log.append(b"p" * 200, ts)
    log.release(3)
    log.prepare()
    (folder / "other.file").touch()
    log.close(remove_all=True)
    assert os.listdir(folder) == ["other.file"]
    again = LogProbe(PosixFileSystem(), folder, SEGMENT, False, 9)
    assert again.recovered == [] and again.current_segment == 9


# ---- damage --------------------------------------------------------------------------------------

def test_a_last_record_torn_anywhere_is_cut() -> None:
    source = BridgedFileSystem(MemoryFileSystem())
    log = open_log("/", fs=source)
    for ts in range(5):
        log.append(b"w" * 50, ts)
    log.close()
    data = source.read_file(segment_path("/", 1))
    last = records("/", 1, source)[-1][0]
    for kept in range(24 + 50):
        for torn in (data[:last + kept].ljust(SEGMENT, b"\0"), data[:last + kept]):
            fs = BridgedFileSystem(MemoryFileSystem())
            with fs.open(segment_path("/", 1), CREATE) as file:
                file.pwrite(torn, 0)
            log = open_log("/", fs=fs)
            assert [ts for _, ts, _ in log.recovered] == [0, 1, 2, 3]
            log.append(b"next", 10)
            log.close()
            # the cut is remembered, even if the torn record should be whole again
            with fs.open(segment_path("/", 1), CREATE) as file:
                file.pwrite(data, 0)
            assert [ts for _, ts, _ in open_log("/", fs=fs).recovered] == [0, 1, 2, 3, 10]


def synced_log(folder: Path) -> Path:
    """Three segments; every record was synced before the next was written."""
    log = open_log(folder)
    for ts in range(45):
        log.wait_durable(log.append(b"p" * 200, ts))
    log.close()
    return folder


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("field", [0, 4, 8, 16, 24, 223 - 24])
def test_damage_to_what_was_synced_is_an_error(folder: Path, number: int, field: int) -> None:
    synced_log(folder)
    record = records(folder, number)[4]
    flip(segment_path(folder, number), record[0] + field)
    with pytest.raises(CorruptionError) as caught:
        open_log(folder)
    assert caught.value.path == segment_path(folder, number)
    assert caught.value.offset == record[0]
    assert segment_numbers(folder) == [1, 2, 3]


def test_damage_at_the_end_of_a_segment_is_an_error_because_the_next_one_says_so(folder: Path) -> None:
    synced_log(folder)
    record = records(folder, 1)[-1]
    flip(segment_path(folder, 1), record[0] + 30)
    with pytest.raises(CorruptionError) as caught:
        open_log(folder)
    assert (caught.value.path, caught.value.offset) == (segment_path(folder, 1), record[0])


def test_the_header_of_the_next_segment_alone_proves_that_a_record_was_synced(folder: Path) -> None:
    log = open_log(folder)
    for ts in range(FIT):
        end = log.append(b"p" * 200, ts)
    log.wait_durable(end)
    log.append(b"torn", FIT)
    killed = copy_directory(folder, folder.parent / "killed")
    flip(segment_path(killed, 2), 64)
    assert replay(killed) == list(range(FIT))
    flip(segment_path(killed, 1), 64 + (FIT - 1) * RECORD)
    with pytest.raises(CorruptionError):
        open_log(killed)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_damaged_header_of_a_synced_segment_is_an_error(folder: Path, number: int) -> None:
    synced_log(folder)
    for offset in (3, 9, 17, 25, 33, 41, 49):
        flip(segment_path(folder, number), offset)
        with pytest.raises(CorruptionError) as caught:
            open_log(folder)
        assert (caught.value.path, caught.value.offset) == (segment_path(folder, number), 0)
        flip(segment_path(folder, number), offset)
    assert replay(folder) == list(range(45))


def test_a_damaged_record_that_was_never_synced_is_cut_with_all_after_it(folder: Path) -> None:
    log = open_log(folder)
    for ts in range(3):
        log.wait_durable(log.append(b"p" * 200, ts))
    for ts in range(3, 60):
        log.append(b"p" * 200, ts)
    killed = copy_directory(folder, folder.parent / "killed")
    assert segment_numbers(killed) == [1, 2, 3, 4]
    record = records(killed, 2)[1]
    flip(segment_path(killed, 2), record[0] + 100)
    log = open_log(killed)
    assert [ts for _, ts, _ in log.recovered] == list(range(FIT + 1))
    assert log.end_lsn == record[1] and log.current_segment == 3
    assert segment_numbers(killed) == [1, 2, 3]
    for ts in range(100, 130):
        log.wait_durable(log.append(b"n" * 200, ts))
    log.close()
    assert replay(killed) == [*range(FIT + 1), *range(100, 130)]


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_header_that_was_never_synced_is_cut_with_all_after_it(folder: Path, number: int) -> None:
    log = open_log(folder)
    for ts in range(60):
        log.append(b"p" * 200, ts)
    killed = copy_directory(folder, folder.parent / "killed")
    flip(segment_path(killed, number), 20)
    assert replay(killed) == list(range(FIT * (number - 1)))
    assert replay(killed) == list(range(FIT * (number - 1)))


def test_a_missing_segment_is_an_error(folder: Path) -> None:
    synced_log(folder)
    for missing in (1, 2):
        data = Path(segment_path(folder, missing)).read_bytes()
        os.unlink(segment_path(folder, missing))
        with pytest.raises(CorruptionError) as caught:
            open_log(folder)
        assert caught.value.path == segment_path(folder, missing)
        Path(segment_path(folder, missing)).write_bytes(data)
    assert replay(folder, 2) == list(range(FIT, 45))


def test_a_segment_of_another_place_is_not_taken_for_its_namesake(folder: Path) -> None:
    synced_log(folder)
    Path(segment_path(folder, 2)).write_bytes(Path(segment_path(folder, 1)).read_bytes())
    with pytest.raises(CorruptionError):
        open_log(folder)


def test_a_newer_format_is_refused(folder: Path) -> None:
    synced_log(folder)
    data = bytearray(Path(segment_path(folder, 2)).read_bytes())
    data[8:12] = struct.pack("<I", 2)
    data[48:52] = struct.pack("<I", crc32c_of(bytes(data[:48])))
    Path(segment_path(folder, 2)).write_bytes(data)
    with pytest.raises(NewerFormat):
        open_log(folder)


def test_missing_outside_data_is_torn_or_corrupt_by_its_position(folder: Path) -> None:
    log = open_log(folder)
    for ts in range(3):
        log.wait_durable(log.append(b"p" * 200, ts))
    for ts in range(3, 8):
        log.append(b"p" * 200, ts)
    log.close()
    positions = {ts: offset for offset, _, ts, _, _ in records(folder, 1)}
    with pytest.raises(CorruptionError) as caught:
        open_log(folder, missing=(1,))
    assert caught.value.offset == positions[1]
    log = open_log(folder, missing=(5,))
    assert [ts for _, ts, _ in log.recovered] == [0, 1, 2, 3, 4]
    log.close()
    assert replay(folder) == [0, 1, 2, 3, 4], "the cut must hold although the record itself is whole"


def test_the_first_header_damaged_with_and_without_its_predecessor(folder: Path) -> None:
    log = open_log(folder)
    for ts in range(30):
        log.append(b"p" * 200, ts)              # nothing is synced; segment 2 has 12 records
    before = copy_directory(folder, folder.parent / "before")
    log.release(2)
    after = copy_directory(folder, folder.parent / "after")
    os.unlink(segment_path(after, 1))           # as if it had been reused
    for directory in (before, after):
        flip(segment_path(directory, 2), 20)
    # The manifest says 2 but nothing of 2 was synced when the machine died: torn.
    log = open_log(before, first_segment=2)
    assert log.recovered == [] and log.end_lsn == FIT * RECORD
    log.close()
    # Without segment 1 the header of 2 must have been synced: its loss is damage.
    with pytest.raises(CorruptionError) as caught:
        open_log(after, first_segment=2)
    assert (caught.value.path, caught.value.offset) == (segment_path(after, 2), 0)


# ---- reading -------------------------------------------------------------------------------------

def test_inspection_tells_header_records_and_why_they_end(folder: Path) -> None:
    synced_log(folder)
    fs = PosixFileSystem()
    segment = LogSegment(fs, segment_path(folder, 2))
    assert segment.header_valid
    assert (segment.number, segment.start_lsn, segment.durable_lsn, segment.size) == (
        2, FIT * RECORD, FIT * RECORD, SEGMENT)
    found = list(segment)
    assert [ts for _, _, ts, _, _ in found] == list(range(FIT, 2 * FIT))
    assert found[3] == (64 + 3 * RECORD, 21 * RECORD, 21, 21 * RECORD, b"p" * 200)
    assert segment.end_reason == "end of file" and segment.end_offset == 64 + FIT * RECORD
    flip(segment_path(folder, 2), 64 + 5 * RECORD + 50)
    segment = LogSegment(fs, segment_path(folder, 2))
    assert len(list(segment)) == 5 and segment.end_reason == "damaged record"
    flip(segment_path(folder, 2), 0)
    segment = LogSegment(fs, segment_path(folder, 2))
    assert list(segment) == [] and not segment.header_valid and segment.end_reason == "damaged header"
    segment = LogSegment(fs, segment_path(folder, 3))
    assert len(list(segment)) == 45 - 2 * FIT and segment.end_reason == "end of records"
    with pytest.raises(FileMissing):
        LogSegment(fs, segment_path(folder, 9))


def test_a_feed_follows_the_log_across_segments(folder: Path) -> None:
    log = open_log(folder)
    fs = PosixFileSystem()
    feed = LogFeed(fs, folder, 1)
    seen: list[int] = []
    ends = []
    for ts in range(200):
        ends.append(log.append(b"p" * (ts * 7 % 600), ts))
        if ts % 3 == 0:
            log.prepare()                       # a file without a valid header ahead of the feed
        if ts % 5 == 0:
            middle = ends[len(ends) // 2 + len(seen) // 2]
            seen += [record[3] for record in feed.read(middle)]
            seen += [record[3] for record in feed.read(log.end_lsn)]
            assert seen == list(range(ts + 1))
    assert feed.read(0) == []
    log.close()
    log = open_log(folder)
    assert [record[3] for record in LogFeed(fs, folder, 1).read(log.end_lsn)] == list(range(200))
    third = LogFeed(fs, folder, 3).read(ends[-1])
    assert third[0][0] == 3 and third[0][3] == next(ts for segment, ts, _ in log.recovered if segment == 3)


def test_a_feed_does_not_go_past_a_cut_or_over_damage(folder: Path) -> None:
    log = open_log(folder)
    for ts in range(8):
        log.append(b"p" * 200, ts)
    log.close()
    log = open_log(folder, missing=(5,))
    log.append(b"n" * 500, 10)
    feed = LogFeed(PosixFileSystem(), folder, 1)
    assert [record[3] for record in feed.read(log.end_lsn)] == [0, 1, 2, 3, 4, 10]
    flip(segment_path(folder, 1), 64 + 2 * RECORD)
    feed = LogFeed(PosixFileSystem(), folder, 1)
    with pytest.raises(CorruptionError) as caught:
        feed.read(log.end_lsn)
    assert (caught.value.path, caught.value.offset) == (segment_path(folder, 1), 64 + 2 * RECORD)


# ---- durability ----------------------------------------------------------------------------------

class SlowSyncs:
    """Counts syncs of a disk's files; each takes a while, without keeping others from writing."""

    def __init__(self, disk: MemoryFileSystem | FaultyFileSystem) -> None:
        self.disk = disk
        self.syncs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.disk, name)

    def open(self, path: str, mode: int) -> FileLike:
        return SlowFile(self, self.disk.open(path, mode))


class SlowFile:
    def __init__(self, owner: SlowSyncs, inner: FileLike) -> None:
        self.owner, self.inner = owner, inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def sync(self) -> None:
        self.owner.syncs += 1
        time.sleep(0.003)
        self.inner.sync()


def test_threads_share_syncs() -> None:
    memory = MemoryFileSystem()
    disk = SlowSyncs(memory)
    log = open_log("/", fs=BridgedFileSystem(disk), segment_bytes=1 << 16)
    disk.syncs = 0
    waits = 15

    def commit(thread: int) -> None:
        for i in range(waits):
            end = log.append(b"c" * 30, thread * 1000 + i)
            log.wait_durable(end)
            assert log.durable_lsn >= end

    threads = [threading.Thread(target=commit, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.durable_lsn == log.end_lsn
    assert 0 < disk.syncs < 8 * waits // 2, "the threads did not share"
    lost = open_log("/", fs=BridgedFileSystem(memory.crash_image("lost")))
    assert len(lost.recovered) == 8 * waits


def test_many_threads_with_switches_preparation_and_release(folder: Path) -> None:
    log = LogProbe(PosixFileSystem(), folder, SEGMENT, True)
    stop = threading.Event()

    def background() -> None:
        while not stop.is_set():
            log.prepare()
            log.release(max(log.current_segment - 3, 1))

    def commit(thread: int) -> None:
        for i in range(150):
            end = log.append(bytes([thread]) * (i * 13 % 500), thread * 1000 + i)
            if i % 4 == 0:
                log.wait_durable(end)

    threads = [threading.Thread(target=commit, args=(n,)) for n in range(4)]
    helper = threading.Thread(target=background)
    helper.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    helper.join()
    first, end = log.oldest_segment, log.end_lsn
    log.close()
    again = open_log(folder, first_segment=first)
    assert again.end_lsn == end
    for thread_number in range(4):
        mine = [ts for _, ts, _ in again.recovered if ts // 1000 == thread_number]
        assert mine == list(range(thread_number * 1000 + 150 - len(mine), thread_number * 1000 + 150))


def test_opening_reuses_older_segments_only_when_the_first_header_is_on_disk() -> None:
    disk = MemoryFileSystem()
    log = open_log("/", fs=BridgedFileSystem(disk))
    for ts in range(2 * FIT):
        log.append(b"p" * 200, ts)              # nothing is synced
    killed = disk.crash_image("kept")
    log = open_log("/", 2, fs=BridgedFileSystem(killed))
    assert killed.list_dir("/") == ["000000000002.log", "000000000003.log"], "segment 1 was reused"
    lost = BridgedFileSystem(killed.crash_image("lost"))
    assert LogSegment(lost, segment_path("/", 2)).header_valid


def test_a_full_disk_at_a_switch_and_after() -> None:
    faulty = FaultyFileSystem(MemoryFileSystem())
    log = open_log("/", fs=BridgedFileSystem(faulty))
    written = list(range(FIT - 1))
    for ts in written:
        log.append(b"p" * 200, ts)
    for operation in ("allocate", "open", "sync_dir", "pwrite"):
        faulty.fail(operation, errno=errno.ENOSPC, count=None)
        end = log.end_lsn
        for _ in range(2):
            with pytest.raises(DiskFull):
                log.append(b"p" * 1000, 99)
        if operation != "pwrite":
            with pytest.raises(DiskFull):
                log.prepare()
            log.append(b"", len(written))       # there is room for a small one
            written.append(len(written))
            end += 24
        assert log.end_lsn == end
        faulty.heal()
    for _ in range(40):
        log.append(b"p" * 200, len(written))
        written.append(len(written))
    log.close()
    again = open_log("/", fs=BridgedFileSystem(faulty))
    assert [ts for _, ts, _ in again.recovered] == written


def test_close_removes_what_a_failed_switch_left() -> None:
    disk = MemoryFileSystem()
    faulty = FaultyFileSystem(disk)
    log = open_log("/", fs=BridgedFileSystem(faulty))
    faulty.fail("allocate", errno=errno.ENOSPC)
    faulty.fail("unlink")
    with pytest.raises(DiskFull):
        log.prepare()
    log.close(remove_all=True)
    assert disk.list_dir("/") == []


def test_a_write_that_fails_half_way_is_overwritten_by_the_next() -> None:
    faulty = FaultyFileSystem(MemoryFileSystem())
    log = open_log("/", fs=BridgedFileSystem(faulty))
    log.append(b"one", 1)
    faulty.fail("pwrite", errno=errno.EIO, short_write=True)
    with pytest.raises(OSError):
        log.append(b"t" * 1000, 2)
    log.append(b"three", 3)
    log.close()
    again = open_log("/", fs=BridgedFileSystem(faulty))
    assert [ts for _, ts, _ in again.recovered] == [1, 3]


def test_a_failed_sync_stops_writing_for_ever() -> None:
    disk = MemoryFileSystem()
    faulty = FaultyFileSystem(disk)
    log = open_log("/", fs=BridgedFileSystem(faulty))
    first = log.append(b"x", 1)
    log.wait_durable(first)
    second = log.append(b"y", 2)
    faulty.fail("sync", errno=errno.EIO)
    with pytest.raises(WritesStopped) as caught:
        log.wait_durable(second)
    assert caught.value.errno == errno.EIO
    with pytest.raises(WritesStopped):
        log.wait_durable(second)
    log.wait_durable(first)                     # had been synced before; others may have seen it already
    with pytest.raises(WritesStopped):
        log.append(b"z", 3)
    assert log.durable_lsn == first
    log.close()
    again = open_log("/", fs=BridgedFileSystem(disk.crash_image("lost")))
    assert [ts for _, ts, _ in again.recovered] == [1]


def test_a_failed_sync_reaches_every_waiter() -> None:
    faulty = FaultyFileSystem(MemoryFileSystem())
    log = open_log("/", fs=BridgedFileSystem(SlowSyncs(faulty)))
    faulty.fail("sync", errno=errno.EIO)        # a second sync would report success
    outcomes: list[str] = []

    def commit(ts: int) -> None:
        try:
            log.wait_durable(log.append(b"x", ts))
            outcomes.append("durable")
        except WritesStopped:
            outcomes.append("stopped")

    threads = [threading.Thread(target=commit, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["stopped"] * 6
