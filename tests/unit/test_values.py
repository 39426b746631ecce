"""Value log: round trips, files, sync, full and failing disks, damage found and named, concurrent appends."""
from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core._ext.files import CREATE, WRITE, BridgedFileSystem, PosixFileSystem
from phantomdb.core._ext.hashing import crc32c_of
from phantomdb.core._ext.value_file import ValueFile, unpack_pointer
from phantomdb.core._ext.value_probe import ValueLogProbe
from phantomdb.core.errors import (CorruptionError, DatabaseClosed, DiskFull, FileMissing, InvalidArgument, NewerFormat,
                                   StorageError, WritesStopped)
from phantomdb.core.filesystems import FaultyFileSystem, MemoryFileSystem

MIB = 1 << 20
HEADER, RECORD_HEADER = 32, 16
ROOT = "/db"


def memory_disk(capacity_bytes: int | None = None) -> MemoryFileSystem:
    disk = MemoryFileSystem(capacity_bytes)
    disk.make_dir(ROOT)
    disk.sync_dir("/")
    return disk


def path_of(number: int) -> str:
    return f"{ROOT}/{number:012d}.values"


def record_of(key: bytes, value: bytes) -> bytes:
    rest = len(key).to_bytes(4, "little") + len(value).to_bytes(8, "little") + key + value
    return crc32c_of(rest).to_bytes(4, "little") + rest


# ---- round trips

@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=300)), max_size=30), st.integers(100, 2000))
def test_round_trips_through_several_files(pairs: list[tuple[bytes, bytes]], file_bytes: int) -> None:
    system = BridgedFileSystem(memory_disk())
    values = ValueLogProbe(system, ROOT, file_bytes, 5)
    pointers = [values.append(key, value) for key, value in pairs]
    expected: dict[int, list[tuple[int, bytes, int, bool]]] = {}
    for (key, value), pointer in zip(pairs, pointers, strict=True):
        number, offset, value_size, key_size, crc = unpack_pointer(pointer)
        assert (value_size, key_size, crc) == (len(value), len(key), crc32c_of(value))
        records = expected.setdefault(number, [])
        assert offset == HEADER + sum(RECORD_HEADER + len(k or b"") + size for _, k, size, _ in records)
        records.append((offset, key, len(value), True))
    values.close()
    assert list(expected) == list(range(5, 5 + len(expected)))
    again = ValueLogProbe(system, ROOT, file_bytes, 100)
    assert [again.read(pointer) for pointer in pointers] == [value for _, value in pairs]
    for number, records in expected.items():
        file = ValueFile(system, path_of(number))
        assert file.number == number
        assert list(file.records()) == records
        assert file.verify() == len(records) and file.torn_offset is None
        assert file.size <= max(file_bytes, HEADER + RECORD_HEADER + 20 + 300) and (
            file.size <= file_bytes or len(records) == 1)


def test_the_bytes_of_a_file(tmp_path: Path) -> None:
    values = ValueLogProbe(PosixFileSystem(), str(tmp_path), MIB, 7)
    values.append(b"key", b"value" * 2000)
    values.append(b"", b"")
    values.close()
    start = b"PHANTVAL" + (1).to_bytes(4, "little") + bytes(4) + (7).to_bytes(8, "little")
    header = start + crc32c_of(start).to_bytes(4, "little") + bytes(4)
    assert (tmp_path / "000000000007.values").read_bytes() == \
        header + record_of(b"key", b"value" * 2000) + record_of(b"", b"")


def test_values_around_the_copied_size_and_a_big_one(tmp_path: Path) -> None:
    values = ValueLogProbe(PosixFileSystem(), str(tmp_path), 8 * MIB)
    sizes = [65536 - RECORD_HEADER - 1 + i for i in range(-2, 3)] + [64 * MIB, 5]
    contents = [os.urandom(size) for size in sizes]
    pointers = [values.append(b"k", content) for content in contents]
    for pointer, content in zip(pointers, contents, strict=True):
        assert values.read(pointer) == content
    numbers = [unpack_pointer(pointer)[0] for pointer in pointers]
    assert numbers == [1] * 5 + [2, 3]       # the big one has a file of its own
    values.close()
    assert ValueFile(PosixFileSystem(), str(tmp_path / "000000000002.values")).verify() == 1


def test_rolling_and_removing() -> None:
    disk = memory_disk()
    values = ValueLogProbe(BridgedFileSystem(disk), ROOT, MIB)
    assert values.roll() == 0
    first = values.append(b"k", b"one")
    assert values.roll() == 1 and values.roll() == 0
    second = values.append(b"k", b"two")
    values.remove(1)
    assert not disk.exists(path_of(1))
    with pytest.raises(FileMissing, match="000000000001.values"):
        values.read(first)
    assert values.read(second) == b"two"
    values.remove(2)                         # the current one
    values.remove(2)
    assert unpack_pointer(values.append(b"k", b"three"))[0] == 3
    values.close()
    values.close()
    with pytest.raises(DatabaseClosed):
        values.read(second)


def test_a_new_file_spares_files_that_exist() -> None:
    """The counter may be behind after a crash; a pointer into file 2 must still find its value."""
    system = BridgedFileSystem(memory_disk())
    values = ValueLogProbe(system, ROOT, MIB, 2)
    pointer = values.append(b"k", b"kept")
    values.close()
    again = ValueLogProbe(system, ROOT, MIB, 2)
    assert unpack_pointer(again.append(b"k", b"new"))[0] == 3
    assert again.read(pointer) == b"kept"


def test_more_files_than_the_table_of_open_files_holds(tmp_path: Path) -> None:
    values = ValueLogProbe(PosixFileSystem(), str(tmp_path), 64)
    pointers = [values.append(b"k%d" % i, b"v%d" % i * 20) for i in range(200)]
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    assert values.open_count == 64
    values.sync()                            # of files that fell out of the table unsynced, too
    if descriptors is not None:
        assert len(os.listdir("/proc/self/fd")) <= descriptors - 200 + 64
    for _ in range(2):
        for i, pointer in enumerate(pointers):
            assert values.read(pointer) == b"v%d" % i * 20
    assert values.open_count == 64


# ---- sync

@pytest.mark.parametrize("seed", range(8))
def test_what_was_synced_survives_a_crash(seed: int) -> None:
    disk = memory_disk()
    values = ValueLogProbe(BridgedFileSystem(disk), ROOT, 3000)
    synced = [(values.append(b"k", content), content) for content in [os.urandom(700) for _ in range(12)]]
    values.sync()
    lost = [(values.append(b"k", content), content) for content in [os.urandom(700) for _ in range(6)]]
    after = BridgedFileSystem(disk.crash_image("torn", seed=seed))
    again = ValueLogProbe(after, ROOT, 3000, 100)
    for pointer, content in synced:
        assert again.read(pointer) == content
    for pointer, content in lost:
        try:
            assert again.read(pointer) == content
        except (CorruptionError, FileMissing):
            pass


def test_a_failed_sync_stops_writing_for_good() -> None:
    faulty = FaultyFileSystem(memory_disk())
    values = ValueLogProbe(BridgedFileSystem(faulty), ROOT, MIB)
    pointer = values.append(b"k", b"value")
    faulty.fail("sync", errno=errno.EIO)
    with pytest.raises(WritesStopped, match="000000000001.values") as caught:
        values.sync()
    assert caught.value.errno == errno.EIO
    faulty.heal()
    for attempt in (values.sync, lambda: values.append(b"k", b"more"), values.close):
        with pytest.raises(WritesStopped):
            attempt()
    assert unpack_pointer(pointer)[0] == 1


def test_a_failed_sync_of_the_folder_stops_writing() -> None:
    faulty = FaultyFileSystem(memory_disk())
    values = ValueLogProbe(BridgedFileSystem(faulty), ROOT, MIB)
    values.append(b"k", b"value")
    faulty.fail("sync_dir", errno=errno.EIO)
    with pytest.raises(WritesStopped):
        values.sync()


def test_sync_does_not_repeat_itself() -> None:
    disk = memory_disk()
    values = ValueLogProbe(BridgedFileSystem(disk), ROOT, MIB)
    operations: list[str] = []
    disk.before_operation = lambda number, operation, path: operations.append(operation)
    values.sync()
    assert operations == []
    values.append(b"k", b"value")
    operations.clear()
    values.sync()
    values.sync()
    assert operations == ["sync", "sync_dir"]
    values.append(b"k", b"value")
    operations.clear()
    values.sync()
    assert operations == ["sync"]


# ---- full and failing disks

def test_a_full_disk_leaves_nothing_and_recovers() -> None:
    disk = memory_disk(capacity_bytes=10_000)
    system = BridgedFileSystem(disk)
    values = ValueLogProbe(system, ROOT, MIB)
    kept = [(values.append(b"k", bytes([i]) * 1000), bytes([i]) * 1000) for i in range(8)]
    for _ in range(3):
        with pytest.raises(DiskFull):
            values.append(b"k", b"x" * 5000)
        with pytest.raises(DiskFull):
            values.append(b"k", b"x" * 200_000)      # in two writes, the second of which fails
    kept.append((values.append(b"k", b"y" * 500), b"y" * 500))
    assert {unpack_pointer(pointer)[0] for pointer, _ in kept} == {1}
    values.close()
    file = ValueFile(system, path_of(1))
    assert file.verify() == 9 and file.torn_offset is None
    again = ValueLogProbe(system, ROOT, MIB, 2)
    assert [again.read(pointer) for pointer, _ in kept] == [value for _, value in kept]


@pytest.mark.parametrize("also", [None, "truncate"])
def test_a_failed_write_gives_its_place_back_or_ends_the_file(also: str | None) -> None:
    faulty = FaultyFileSystem(memory_disk())
    system = BridgedFileSystem(faulty)
    values = ValueLogProbe(system, ROOT, MIB)
    first = values.append(b"k", b"first")
    faulty.fail("pwrite", errno=errno.ENOSPC, short_write=True)
    if also:
        faulty.fail(also, errno=errno.EIO)
    with pytest.raises(DiskFull, match="000000000001.values"):       # not the second failure
        values.append(b"k", b"x" * 3000)
    faulty.heal()
    second = values.append(b"k", b"second")
    assert unpack_pointer(second)[0] == (2 if also else 1)
    assert (values.read(first), values.read(second)) == (b"first", b"second")
    values.close()
    file = ValueFile(system, path_of(1))
    assert file.verify() == (1 if also else 2)
    assert file.torn_offset == (HEADER + RECORD_HEADER + 1 + 5 if also else None)


@pytest.mark.parametrize(("operation", "after"), [("open", 0), ("open", 1), ("pwrite", 0)])
def test_a_file_that_cannot_be_started(operation: str, after: int) -> None:
    faulty = FaultyFileSystem(memory_disk())
    values = ValueLogProbe(BridgedFileSystem(faulty), ROOT, MIB)
    faulty.fail(operation, after=after, errno=errno.EIO)
    with pytest.raises(StorageError):
        values.append(b"k", b"value")
    faulty.heal()
    assert not faulty.exists(path_of(1))
    assert values.read(values.append(b"k", b"value")) == b"value"


# ---- damage

def test_every_flipped_bit_is_found_and_named() -> None:
    disk = memory_disk()
    system = BridgedFileSystem(disk)
    values = ValueLogProbe(system, ROOT, MIB)
    contents = [b"one" * 5, b"", b"three" * 3]
    pointers = [values.append(b"key%d" % i, content) for i, content in enumerate(contents)]
    starts = [unpack_pointer(pointer)[1] for pointer in pointers]
    values.close()
    size = ValueFile(system, path_of(1)).size
    for offset in range(HEADER, size):
        damaged = max(i for i in range(3) if starts[i] <= offset)
        disk.flip_bit(path_of(1), offset, offset % 8)
        file = ValueFile(system, path_of(1))
        if damaged == 2:
            assert file.verify() == 2 and file.torn_offset == starts[2]
        else:
            with pytest.raises(CorruptionError, match="000000000001.values") as caught:
                file.verify()
            assert caught.value.offset == starts[damaged]
            intact = [record[0] for record in file.records() if record[3]]
            assert intact == [start for i, start in enumerate(starts) if i != damaged]
        again = ValueLogProbe(system, ROOT, MIB, 9)
        for i, pointer in enumerate(pointers):
            in_pointer = starts[i] + 4 <= offset < starts[i] + RECORD_HEADER or \
                starts[i] + RECORD_HEADER + 4 <= offset < starts[i] + RECORD_HEADER + 4 + len(contents[i])
            if in_pointer:
                with pytest.raises(CorruptionError, match="000000000001.values") as caught:
                    again.read(pointer)
                assert caught.value.offset == starts[i]
            else:                            # the key and the record's own checksum do not matter to readers
                assert again.read(pointer) == contents[i]
        disk.flip_bit(path_of(1), offset, offset % 8)


def test_every_flipped_bit_of_the_header_is_found() -> None:
    disk = memory_disk()
    system = BridgedFileSystem(disk)
    values = ValueLogProbe(system, ROOT, MIB)
    pointer = values.append(b"k", b"value")
    values.close()
    for offset in range(28):
        disk.flip_bit(path_of(1), offset)
        for attempt in (lambda: ValueFile(system, path_of(1)), lambda: ValueLogProbe(system, ROOT, MIB).read(pointer)):
            with pytest.raises(CorruptionError, match="000000000001.values"):
                attempt()
        disk.flip_bit(path_of(1), offset)


def test_a_newer_file_and_a_renamed_one() -> None:
    disk = memory_disk()
    system = BridgedFileSystem(disk)
    values = ValueLogProbe(system, ROOT, MIB)
    pointer = values.append(b"k", b"value")
    values.close()
    start = b"PHANTVAL" + (2).to_bytes(4, "little") + bytes(4) + (1).to_bytes(8, "little")
    with system.open(path_of(1), WRITE) as file:
        original = file.pread(28, 0)
        file.pwrite(start + crc32c_of(start).to_bytes(4, "little"), 0)
    with pytest.raises(NewerFormat):
        ValueLogProbe(system, ROOT, MIB).read(pointer)
    with system.open(path_of(1), WRITE) as file:
        file.pwrite(original, 0)
    disk.rename(path_of(1), path_of(4))
    with pytest.raises(CorruptionError, match="another number"):
        ValueLogProbe(system, ROOT, MIB).read((4).to_bytes(8, "little") + pointer[8:])


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=6), st.data())
@settings(max_examples=60)
def test_a_torn_tail_is_told_from_damage(contents: list[bytes], data: st.DataObject) -> None:
    system = BridgedFileSystem(memory_disk())
    values = ValueLogProbe(system, ROOT, MIB)
    starts = [unpack_pointer(values.append(b"key", content))[1] for content in contents]
    values.close()
    with system.open(path_of(1), WRITE) as file:
        cut = data.draw(st.integers(0, file.size() - 1))
        file.truncate(cut)
    if cut < HEADER:
        damaged = ValueFile(system, path_of(1))
        assert damaged.torn_offset == 0 and damaged.verify() == 0 and damaged.torn_offset == 0
        return
    whole = sum(end <= cut for end in starts[1:])
    value_file = ValueFile(system, path_of(1))
    assert value_file.verify() == whole
    assert value_file.torn_offset == (None if cut == starts[whole] else starts[whole])
    for start, content in list(zip(starts, contents, strict=True))[:whole]:
        assert value_file.read(start) == (b"key", content)
    with pytest.raises(CorruptionError):
        value_file.read(starts[whole])


def test_a_damaged_value_keeps_its_key_and_sizes() -> None:
    disk = memory_disk()
    system = BridgedFileSystem(disk)
    values = ValueLogProbe(system, ROOT, MIB)
    starts = [unpack_pointer(values.append(b"key", content))[1] for content in (b"damaged", b"whole")]
    values.close()
    disk.flip_bit(path_of(1), HEADER + RECORD_HEADER + 3)
    assert list(ValueFile(system, path_of(1)).records()) == [(starts[0], b"key", 7, False),
                                                             (starts[1], b"key", 5, True)]


@pytest.mark.parametrize("second", [HEADER + 1 + MIB - i for i in range(RECORD_HEADER + 2)] + [2_500_003])
def test_records_behind_a_lost_length_are_found_again(second: int) -> None:
    """Also across the border of the reader's windows of 1 MiB, which begin one byte after the damaged record."""
    system = BridgedFileSystem(memory_disk())
    values = ValueLogProbe(system, ROOT, 8 * MIB)
    values.append(b"a", b"x" * (second - HEADER - RECORD_HEADER - 1))
    assert unpack_pointer(values.append(b"b", b"found"))[1] == second
    values.close()
    with system.open(path_of(1), WRITE) as file:
        file.pwrite(b"\xff" * 12, HEADER + 4)
    value_file = ValueFile(system, path_of(1))
    assert list(value_file.records()) == [(HEADER, None, second - HEADER, False), (second, b"b", 5, True)]
    assert value_file.read(second) == (b"b", b"found")


@pytest.mark.parametrize("in_memory", [False, True])
def test_pointers_that_make_no_sense(tmp_path: Path, in_memory: bool) -> None:
    system = BridgedFileSystem(memory_disk()) if in_memory else PosixFileSystem()
    directory = ROOT if in_memory else str(tmp_path)
    values = ValueLogProbe(system, directory, MIB)
    pointer = values.append(b"key", b"value")
    with pytest.raises(InvalidArgument):
        values.read(pointer[:-1])
    for offset in (0, 31, 33, 10_000, 2**64 - 8):
        with pytest.raises(CorruptionError):
            values.read(pointer[:8] + offset.to_bytes(8, "little") + pointer[16:])
    with pytest.raises(CorruptionError):
        values.read(pointer[:28] + bytes(4))
    with system.open(f"{directory}/000000000009.values", CREATE):
        pass
    with pytest.raises(CorruptionError):
        values.read((9).to_bytes(8, "little") + pointer[8:])


# ---- threads

def test_concurrent_appends_reads_and_syncs(tmp_path: Path) -> None:
    values = ValueLogProbe(PosixFileSystem(), str(tmp_path), 2 * MIB)
    written: list[list[tuple[bytes, bytes]]] = [[] for _ in range(4)]
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for i in range(600):
                content = bytes([worker]) * (i * 37 % 5000 + i % 3 * 40_000) + b"%d" % i
                written[worker].append((values.append(b"%d" % worker, content), content))
                if i % 60 == 0:
                    values.sync()
                pointer, expected = written[worker][i // 2]
                assert values.read(pointer) == expected
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert not failures
    everything = [item for part in written for item in part]
    assert [values.read(pointer) for pointer, _ in everything] == [content for _, content in everything]
    values.close()
    counts = [ValueFile(PosixFileSystem(), str(path)).verify() for path in tmp_path.iterdir()]
    assert sum(counts) == 2400 and len(counts) > 10
