"""The disk in memory keeps after a crash what it must, and only what it may; faults strike where told."""
from __future__ import annotations

import errno
import threading
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core import errors
from phantomdb.core._ext.files import CREATE, READ, WRITE, BridgedFileSystem
from phantomdb.core.filesystems import SECTOR_BYTES, FaultyFileSystem, FileSystemLike, MemoryFileSystem

Mode = Literal["lost", "kept", "torn"]


def write(disk: FileSystemLike, path: str, data: bytes, sync: bool = True) -> None:
    file = disk.open(path, CREATE)
    file.pwrite(data, 0)
    if sync:
        file.sync()
    file.close()


def read(disk: FileSystemLike, path: str) -> bytes:
    file = disk.open(path, READ)
    try:
        return file.pread(file.size(), 0)
    finally:
        file.close()


def durable(disk: FileSystemLike, path: str, data: bytes) -> None:
    write(disk, path, data)
    disk.sync_dir("/")


# ---- what a crash keeps

def test_file_needs_both_syncs() -> None:
    disk = MemoryFileSystem()
    write(disk, "/a", b"data", sync=False)
    assert not disk.crash_image("lost").exists("/a")
    disk.sync_dir("/")
    assert read(disk.crash_image("lost"), "/a") == b""
    file = disk.open("/a", WRITE)
    file.sync()
    assert read(disk.crash_image("lost"), "/a") == b"data"
    file.pwrite(b"DA", 0)
    file.truncate(3)
    assert read(disk.crash_image("lost"), "/a") == b"data"
    assert read(disk.crash_image("kept"), "/a") == b"DAt"


def test_name_needs_sync_dir_though_data_is_synced() -> None:
    disk = MemoryFileSystem()
    write(disk, "/a", b"data")
    assert not disk.crash_image("lost").exists("/a")
    assert read(disk.crash_image("kept"), "/a") == b"data"


def test_folder_needs_sync_dir_of_its_parent() -> None:
    disk = MemoryFileSystem()
    disk.make_dir("/folder")
    write(disk, "/folder/a", b"data")
    disk.sync_dir("/folder")
    assert not disk.crash_image("lost").exists("/folder")
    disk.sync_dir("/")
    assert read(disk.crash_image("lost"), "/folder/a") == b"data"


def test_unlink_and_rename_come_back_without_sync_dir() -> None:
    disk = MemoryFileSystem()
    durable(disk, "/a", b"A")
    durable(disk, "/b", b"B")
    disk.rename("/a", "/b")
    image = disk.crash_image("lost")
    assert (read(image, "/a"), read(image, "/b")) == (b"A", b"B")
    disk.sync_dir("/")
    assert disk.crash_image("lost").list_dir("/") == ["b"]
    disk.unlink("/b")
    assert read(disk.crash_image("lost"), "/b") == b"A"
    disk.sync_dir("/")
    assert disk.crash_image("lost").list_dir("/") == []


def test_rename_between_folders_brings_its_past_along() -> None:
    disk = MemoryFileSystem()
    disk.make_dir("/x")
    disk.make_dir("/y")
    disk.sync_dir("/")
    write(disk, "/x/a", b"data")
    write(disk, "/x/other", b"data")
    disk.rename("/x/a", "/y/a")
    disk.sync_dir("/y")
    image = disk.crash_image("lost")
    assert image.list_dir("/x") == []            # `other` is of no concern to /y
    assert read(image, "/y/a") == b"data"
    for seed in range(20):                       # and the earlier creation never reappears
        assert disk.crash_image("torn", seed).list_dir("/x") in ([], ["other"])


def test_torn_keeps_a_prefix_of_the_names() -> None:
    disk = MemoryFileSystem()
    for name in "abcd":
        write(disk, f"/{name}", b"")
    disk.rename("/a", "/z")
    prefixes = [[], ["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"], ["b", "c", "d", "z"]]
    seen = {tuple(disk.crash_image("torn", seed).list_dir("/")) for seed in range(100)}
    assert seen == {tuple(prefix) for prefix in prefixes}


def test_torn_mixes_sectors() -> None:
    disk = MemoryFileSystem()
    durable(disk, "/a", b"o" * SECTOR_BYTES * 8)
    file = disk.open("/a", WRITE)
    file.pwrite(b"n" * SECTOR_BYTES * 6, SECTOR_BYTES)
    mixes = set()
    for seed in range(200):
        data = read(disk.crash_image("torn", seed), "/a")
        assert len(data) == SECTOR_BYTES * 8
        sectors = [data[start:start + SECTOR_BYTES] for start in range(0, len(data), SECTOR_BYTES)]
        assert all(sector in (b"o" * SECTOR_BYTES, b"n" * SECTOR_BYTES) for sector in sectors)
        assert sectors[0] == sectors[7] == b"o" * SECTOR_BYTES
        mixes.add("".join(chr(sector[0]) for sector in sectors[1:7]))
    assert len(mixes) > 40


def test_torn_size_lies_between() -> None:
    disk = MemoryFileSystem()
    durable(disk, "/a", b"x" * 1000)
    file = disk.open("/a", WRITE)
    file.pwrite(b"y" * 3000, 1000)
    sizes = {len(read(disk.crash_image("torn", seed), "/a")) for seed in range(100)}
    assert {1000, 4000} <= sizes
    assert all(1000 <= size <= 4000 for size in sizes)
    assert len(sizes) > 10
    file.truncate(10)
    assert all(read(disk.crash_image("torn", seed), "/a")[:10] == b"x" * 10 for seed in range(20))


def test_truncated_bytes_do_not_come_back_after_a_sync() -> None:
    disk = MemoryFileSystem()
    durable(disk, "/a", b"x" * 2000)
    file = disk.open("/a", WRITE)
    file.truncate(10)
    file.truncate(2000)
    assert read(disk.crash_image("lost"), "/a") == b"x" * 2000
    file.sync()
    assert read(disk.crash_image("lost"), "/a") == b"x" * 10 + bytes(1990)


def test_torn_is_reproducible() -> None:
    disk = MemoryFileSystem()
    disk.make_dir("/folder")
    for name in "abc":
        write(disk, f"/folder/{name}", name.encode() * 5000, sync=False)

    def look(seed: int) -> object:
        image = disk.crash_image("torn", seed)
        return image.exists("/folder") and {name: read(image, f"/folder/{name}") for name in image.list_dir("/folder")}

    assert [look(seed) for seed in range(10)] == [look(seed) for seed in range(10)]


def test_images_are_independent() -> None:
    disk = MemoryFileSystem()
    durable(disk, "/a", b"before")
    modes: list[Mode] = ["lost", "kept", "torn"]
    for mode in modes:
        image = disk.crash_image(mode)
        write(image, "/a", b"image")
        write(image, "/new", b"image")
        assert disk.list_dir("/") == ["a"]
        write(disk, "/a", b"disk")
        assert read(image, "/a") == b"image"
        write(disk, "/a", b"before")


def test_killed_process_leaves_unsynced_data_unsynced() -> None:
    disk = MemoryFileSystem()
    write(disk, "/a", b"data", sync=False)
    killed = disk.crash_image("kept")
    assert read(killed, "/a") == b"data"
    assert not killed.crash_image("lost").exists("/a")
    killed.sync_dir("/")
    assert read(killed.crash_image("lost"), "/a") == b""
    killed.open("/a", WRITE).sync()
    assert read(killed.crash_image("lost"), "/a") == b"data"


def test_hard_links_stay_one_file() -> None:
    disk = MemoryFileSystem()
    durable(disk, "/a", b"data")
    disk.link("/a", "/b")
    disk.sync_dir("/")
    modes: list[Mode] = ["lost", "kept", "torn"]
    for mode in modes:
        image = disk.crash_image(mode)
        image.open("/a", WRITE).pwrite(b"X", 0)
        assert read(image, "/b") == b"Xata"


def test_locks_do_not_survive() -> None:
    disk = MemoryFileSystem()
    disk.lock("/LOCK")
    with pytest.raises(errors.DatabaseLocked):
        disk.lock("LOCK")
    disk.crash_image("kept").lock("/LOCK")


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match="torn"):
        MemoryFileSystem().crash_image("half")       # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from(["write", "truncate", "allocate", "sync"]), st.integers(0, 2000),
                          st.binary(min_size=1, max_size=30), st.integers(1, 60)), max_size=30), st.integers(0, 99))
def test_synced_data_is_what_was_there_at_the_sync(steps: list[tuple[str, int, bytes, int]], seed: int) -> None:
    disk = MemoryFileSystem()
    durable(disk, "/a", b"")
    file = disk.open("/a", WRITE)
    current, synced, touched = b"", b"", set[int]()
    for action, number, piece, times in steps:
        before = current
        if action == "write":
            file.pwrite(piece * times, number)
            current = current.ljust(number, b"\0")
            current = current[:number] + piece * times + current[number + len(piece * times):]
        elif action == "truncate":
            file.truncate(number)
            current = current[:number].ljust(number, b"\0")
        elif action == "allocate":
            file.allocate(number)
            current = current.ljust(number, b"\0")
        else:
            file.sync()
            synced, touched = current, set()
        if current != before:
            longer = max(len(current), len(before))
            changed = (i for i in range(longer) if current[i:i + 1] != before[i:i + 1])
            touched |= {i // SECTOR_BYTES for i in changed}
        assert read(disk.crash_image("kept"), "/a") == current
        assert read(disk.crash_image("lost"), "/a") == synced
    torn = read(disk.crash_image("torn", seed), "/a")
    assert min(len(synced), len(current)) <= len(torn) <= max(len(synced), len(current))
    for start in range(0, len(torn), SECTOR_BYTES):
        end = min(start + SECTOR_BYTES, len(torn))
        old, new = (data[start:end].ljust(end - start, b"\0") for data in (synced, current))
        assert torn[start:end] in (old, new)
        if start // SECTOR_BYTES not in touched:
            assert torn[start:end] == old


# ---- crash sweeps

def test_every_step_of_an_atomic_write() -> None:
    """The sweep that the module's docstring describes, on the one operation everybody relies on."""
    class PowerCut(Exception):
        pass

    def run(step: int | None) -> MemoryFileSystem:
        disk = MemoryFileSystem()
        fs = BridgedFileSystem(disk)
        fs.write_file_atomically("/CURRENT", b"old" * 500)
        first = disk.operations

        def cut(number: int, operation: str, path: str) -> None:
            if step is not None and number >= first + step:
                raise PowerCut
        disk.before_operation = cut
        try:
            fs.write_file_atomically("/CURRENT", b"new" * 500)
        except errors.StorageError as error:
            assert "PowerCut" in str(error)
            assert disk.operations == first + (step or 0)
        else:
            assert step is None
            assert disk.operations == first + 5          # open, pwrite, sync, rename, sync_dir
        disk.before_operation = None
        return disk

    assert read(run(None).crash_image("lost"), "/CURRENT") == b"new" * 500
    outcomes = set()
    for step in range(5):
        disk = run(step)
        for image in [disk.crash_image("lost"), *(disk.crash_image("torn", seed) for seed in range(20))]:
            outcomes.add((step, read(image, "/CURRENT")[:3]))
    assert outcomes == {(0, b"old"), (1, b"old"), (2, b"old"), (3, b"old"), (4, b"old"), (4, b"new")}


def test_sweep_finds_a_missing_sync() -> None:
    """The same without the sync: the model must show the empty or half file behind the new name."""
    disk = MemoryFileSystem()
    durable(disk, "/CURRENT", b"old" * 500)
    write(disk, "/CURRENT.tmp", b"new" * 500, sync=False)
    disk.rename("/CURRENT.tmp", "/CURRENT")
    disk.sync_dir("/")
    contents = {read(disk.crash_image("torn", seed), "/CURRENT") for seed in range(50)}
    assert not contents <= {b"old" * 500, b"new" * 500}


def test_hook_sees_every_changing_operation_and_may_take_images() -> None:
    disk = MemoryFileSystem()
    seen: list[tuple[int, str, str]] = []
    images: list[MemoryFileSystem] = []

    def look(number: int, operation: str, path: str) -> None:
        seen.append((number, operation, path))
        images.append(disk.crash_image("kept"))

    disk.before_operation = look
    disk.make_dir("/d")
    disk.make_dir("/d")
    file = disk.open("/d/a", CREATE)
    file.pwrite(b"x", 0)
    file.allocate(10, True)
    file.truncate(5)
    file.sync()
    file.pread(1, 0)
    file.size()
    disk.open("/d/a", READ)
    disk.link("/d/a", "/d/b")
    disk.rename("/d/a", "/d/c")
    disk.unlink("/d/c")
    disk.sync_dir("/d")
    disk.lock("/LOCK")
    disk.list_dir("/d")
    names = "make_dir open pwrite allocate truncate sync link rename unlink sync_dir lock".split()
    assert [operation for _, operation, _ in seen] == names
    assert [number for number, _, _ in seen] == list(range(len(names))) == list(range(disk.operations))
    assert not images[0].exists("/d")
    assert images[-1].list_dir("/d") == ["b"]


# ---- a full disk

def test_full_disk() -> None:
    disk = MemoryFileSystem(capacity_bytes=1000)
    file = disk.open("/a", CREATE)
    file.allocate(600)
    assert disk.used_bytes == 600
    other = disk.open("/b", CREATE)
    with pytest.raises(OSError) as caught:
        other.pwrite(b"x" * 500, 0)
    assert caught.value.errno == errno.ENOSPC
    assert other.size() == 400                       # a full disk takes what fits
    file.pwrite(b"y" * 600, 0)                       # reserved
    with pytest.raises(OSError):
        file.pwrite(b"y", 600)
    for grow in (other.truncate, other.allocate):
        with pytest.raises(OSError):
            grow(401)
    disk.unlink("/a")
    assert disk.used_bytes == 1000                   # still open
    file.close()
    assert disk.used_bytes == 400
    other.pwrite(b"x" * 600, 400)
    image = disk.crash_image("kept")
    assert image.used_bytes == image.capacity_bytes == 1000
    write(disk, "/b", b"")
    other.close()
    assert disk.used_bytes == 0


def test_full_disk_through_the_seam() -> None:
    fs = BridgedFileSystem(MemoryFileSystem(capacity_bytes=10))
    with fs.open("/a", CREATE) as file, pytest.raises(errors.DiskFull):
        file.allocate(11)


# ---- faults

def test_fault_strikes_the_operation_it_names() -> None:
    faulty = FaultyFileSystem(MemoryFileSystem())
    write(faulty, "/log.1", b"data")
    faulty.fail("pread", path_contains="log", after=2)
    write(faulty, "/table", b"data")
    file = faulty.open("/log.1", READ)
    for turn in range(5):
        assert read(faulty, "/table") == b"data"
        if turn == 2:
            with pytest.raises(OSError) as caught:
                file.pread(1, 0)
            assert (caught.value.errno, caught.value.filename) == (errno.EIO, "/log.1")
        else:
            file.pread(1, 0)
    assert faulty.failures == 1


def test_fault_for_ever_until_healed() -> None:
    faulty = FaultyFileSystem(MemoryFileSystem())
    faulty.fail("open", errno=errno.ENOSPC, count=None)
    fs = BridgedFileSystem(faulty)
    for _ in range(3):
        with pytest.raises(errors.DiskFull):
            fs.open("/a", CREATE)
    faulty.heal()
    fs.open("/a", CREATE).close()
    assert faulty.failures == 3


@pytest.mark.parametrize("operation", ["open", "rename", "link", "unlink", "sync_dir", "list_dir", "make_dir", "exists",
                                       "lock", "pread", "pwrite", "sync", "allocate", "truncate", "size"])
def test_each_operation_can_fail(operation: str) -> None:
    disk = MemoryFileSystem()
    faulty = FaultyFileSystem(disk)
    write(faulty, "/a", b"data")
    file = faulty.open("/a", WRITE)
    calls = {
        "open": lambda: faulty.open("/b", CREATE), "rename": lambda: faulty.rename("/a", "/b"),
        "link": lambda: faulty.link("/a", "/b"), "unlink": lambda: faulty.unlink("/a"),
        "sync_dir": lambda: faulty.sync_dir("/"), "list_dir": lambda: faulty.list_dir("/"),
        "make_dir": lambda: faulty.make_dir("/b"), "exists": lambda: faulty.exists("/a"),
        "lock": lambda: faulty.lock("/b"), "pread": lambda: file.pread(1, 0), "pwrite": lambda: file.pwrite(b"x", 0),
        "sync": file.sync, "allocate": lambda: file.allocate(100), "truncate": lambda: file.truncate(0),
        "size": file.size}
    faulty.fail(operation)
    before = disk.operations
    with pytest.raises(OSError):
        calls[operation]()
    assert disk.operations == before
    assert read(disk, "/a") == b"data"
    assert disk.list_dir("/") == ["a"]
    calls[operation]()


def test_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="pwrite"):
        FaultyFileSystem(MemoryFileSystem()).fail("write")


def test_short_write() -> None:
    faulty = FaultyFileSystem(MemoryFileSystem())
    faulty.fail("pwrite", short_write=True, errno=errno.ENOSPC)
    file = faulty.open("/a", CREATE)
    with pytest.raises(OSError):
        file.pwrite(b"12345678", 0)
    assert file.pread(10, 0) == b"1234"


def test_data_of_a_failed_sync_never_reaches_the_disk() -> None:
    disk = MemoryFileSystem()
    faulty = FaultyFileSystem(disk)
    durable(faulty, "/a", b"old")
    faulty.fail("sync")
    file = faulty.open("/a", WRITE)
    file.pwrite(b"new", 0)
    with pytest.raises(OSError):
        file.sync()
    file.sync()                                      # reports success, as Linux does
    assert file.pread(3, 0) == b"new"
    assert read(disk.crash_image("lost"), "/a") == b"old"


def test_flip_bit() -> None:
    disk = MemoryFileSystem()
    durable(disk, "/a", b"abc")
    disk.flip_bit("/a", 1, 3)
    assert read(disk, "/a") == read(disk.crash_image("lost"), "/a") == b"ajc"
    with pytest.raises(OSError):
        disk.flip_bit("/a", 3)


def test_threads() -> None:
    disk = MemoryFileSystem()

    def work(number: int) -> None:
        for turn in range(100):
            write(disk, f"/{number}.{turn}", b"x" * 10)
            disk.rename(f"/{number}.{turn}", f"/{number}")
            disk.sync_dir("/")
            disk.crash_image("torn", turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert disk.list_dir("/") == ["0", "1", "2"]
    assert disk.used_bytes == 30
    assert disk.operations == 3 * 100 * 5


def test_a_folder_renamed_to_its_own_name_stays() -> None:
    disk = MemoryFileSystem()
    disk.make_dir("/a")
    disk.rename("/a", "/a")
    assert disk.list_dir("/a") == []
