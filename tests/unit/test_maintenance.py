"""Checkpoint and verify: whole copies, and no damage unnoticed."""
from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from disks import PARTITIONS, build, damages, files_of, key, opened, read, rewrite, size_of, state_of

import phantomdb
from phantomdb.core.errors import (CorruptionError, DatabaseLocked, FileAlreadyExists, FileMissing, PhantomError,
                                   StorageError)
from phantomdb.core.filesystems import FaultyFileSystem, MemoryFileSystem
from phantomdb.core.maintenance import repair, verify


# ------------------------------------------------------------------ checkpoint

@PARTITIONS
def test_a_checkpoint_holds_what_was_committed(partitions: int) -> None:
    disk, _ = build(partitions)
    with opened(disk) as db:
        expected = dict(db.kv.scan())
        db.checkpoint("/copy")
        db.kv.put(b"later", b"1")
        assert verify("/copy", file_system=disk)["entries"] > 0
        with opened(disk, "/copy", create=False) as copy:
            assert dict(copy.kv.scan()) == expected
            assert len(copy.store.tree.partitions) == partitions
            assert copy.store.manifest.database_id != db.store.manifest.database_id
            # neither can hurt the other
            copy.kv.delete_range(None, None)
            copy.compact()
        assert dict(db.kv.scan()) == expected | {b"later": b"1"}
        db.checkpoint("/copy2")
        db.kv.delete_range(None, None)
        db.compact()
    assert state_of(disk, "/copy2") == expected | {b"later": b"1"}


def test_a_checkpoint_of_nothing() -> None:
    disk = MemoryFileSystem()
    with opened(disk) as db:
        disk.make_dir("/copy")                           # an empty folder will do
        db.checkpoint("/copy")
    assert state_of(disk, "/copy") == {}


def test_a_checkpoint_shares_files(tmp_path: Path) -> None:
    with phantomdb.open(tmp_path / "db", value_threshold_bytes=64) as db:
        db.kv.put(b"a", b"1" * 1000)
        db.checkpoint(tmp_path / "copy")
        shared = [path for path in (tmp_path / "copy").iterdir() if path.suffix in (".table", ".values")]
        assert len(shared) == 2
        assert all(path.stat().st_nlink == 2 for path in shared)
        db.kv.put(b"b", b"2" * 1000)                     # goes to another file
        db.flush()
        assert (tmp_path / "copy" / shared[0].name).stat().st_size == shared[0].stat().st_size
    with phantomdb.open(tmp_path / "copy", create=False) as copy:
        assert dict(copy.kv.scan()) == {b"a": b"1" * 1000}


def test_a_checkpoint_on_another_device_copies() -> None:
    memory, expected = build()
    disk = FaultyFileSystem(memory)
    disk.fail("link", errno=errno.EXDEV, count=None)
    with opened(disk) as db:
        db.checkpoint("/copy")
    assert state_of(memory, "/copy") == expected


@pytest.mark.parametrize("fault", [("link", ".table"), ("pwrite", "MANIFEST"), ("sync_dir", "/copy"),
                                   ("rename", "CURRENT")])
def test_a_checkpoint_that_fails_leaves_an_empty_folder(fault: tuple[str, str]) -> None:
    memory, expected = build()
    disk = FaultyFileSystem(memory)
    with opened(disk) as db:
        disk.fail(fault[0], path_contains="/copy/" + fault[1] if fault[1] in ("MANIFEST", "CURRENT") else fault[1])
        with pytest.raises(StorageError):
            db.checkpoint("/copy")
        assert memory.list_dir("/copy") == []
        db.checkpoint("/copy")
    assert state_of(memory, "/copy") == expected


def test_a_checkpoint_never_overwrites() -> None:
    disk, _ = build()
    with opened(disk) as db:
        for path in ("/db", "/copy"):
            disk.make_dir("/copy")
            rewrite(disk, "/copy/precious", b"1")
            with pytest.raises(FileAlreadyExists):
                db.checkpoint(path)
        assert disk.list_dir("/copy") == ["precious"]


@PARTITIONS
def test_checkpoints_cut_between_batches(partitions: int) -> None:
    """A batch over several partitions is in the copy whole or not at all, and so is everything before it."""
    disk = MemoryFileSystem()
    stop = threading.Event()
    db = opened(disk, partitions=partitions, durability="none")

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            db.kv.write([(b"place%d" % place, b"%08d" % number * 20) for place in range(12)])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(6):
            before = int((db.kv.get(b"place0") or b"0" * 8)[:8])
            db.checkpoint(f"/copy{number}")
            with opened(disk, f"/copy{number}", create=False) as copy:
                values = {copy.kv.get(b"place%d" % place) for place in range(12)}
                assert len(values) == 1
                assert int((values.pop() or b"0" * 8)[:8]) >= before
    finally:
        stop.set()
        thread.join()
        db.close()


def checkpoint_crashes(partitions: int, stride: int) -> int:
    disk, expected = build(partitions)
    failures: list[str] = []
    images = 0
    db = opened(disk)

    def look(number: int, name: str, path: str) -> None:
        nonlocal images
        if number % stride:
            return
        for mode, seed in (("lost", 0), ("kept", 0), ("torn", number), ("torn", number + 1)):
            image = disk.crash_image(mode, seed)         # type: ignore[arg-type]
            images += 1
            try:
                if image.exists("/copy"):
                    with opened(image, "/copy") as copy:
                        found = dict(copy.kv.scan())
                        if found != expected and (found or copy.store.tree.last_ts):
                            failures.append(f"{number} {name} {path} {mode}: {len(found)} rows")
            except CorruptionError as error:             # files, and no CURRENT: it does not pass for a database
                if "CURRENT" not in str(error):
                    failures.append(f"{number} {name} {path} {mode}: {error}")

    disk.before_operation = look
    db.checkpoint("/copy")
    disk.before_operation = None
    for mode in ("lost", "kept"):
        image = disk.crash_image(mode)                   # type: ignore[arg-type]
        assert state_of(image, "/copy") == expected
    db.close()
    assert not failures, failures[:3]
    return images


@PARTITIONS
def test_a_crash_leaves_a_whole_copy_or_none(partitions: int) -> None:
    assert checkpoint_crashes(partitions, 3) > 10


@pytest.mark.long
@PARTITIONS
def test_long_a_crash_leaves_a_whole_copy_or_none(partitions: int) -> None:
    checkpoint_crashes(partitions, 1)


# ------------------------------------------------------------------ verify

@PARTITIONS
def test_verify_reads_everything_and_tells_how_much(partitions: int) -> None:
    disk, state = build(partitions)
    names = disk.list_dir("/db")
    seen: list[tuple[str, int, int]] = []
    counts = verify("/db", lambda *told: seen.append(told), disk)
    assert counts["entries"] >= 600
    assert counts["tables"] >= partitions
    assert counts["value_files"] >= 1
    assert counts["log_records"] >= 31
    assert {name for name, _, _ in seen} >= {
        name for name in names if name.endswith((".log", ".values")) or name in ("FORMAT", "CURRENT")}
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert all(done <= total for _, done, total in seen)
    assert seen[-1][1] == counts["bytes"]
    assert set(disk.list_dir("/db")) == {*names, "LOCK"}           # nothing is changed
    assert state_of(disk) == state


@PARTITIONS
def test_an_open_database_is_verified_while_it_is_written(partitions: int) -> None:
    stop = threading.Event()
    with opened(MemoryFileSystem(), partitions=partitions, durability="none") as db:
        def work() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                db.kv.put(key(number % 700), b"x" * (number % 300))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for _ in range(10):
                assert db.verify()["log_records"] >= 0
        finally:
            stop.set()
            thread.join()
        assert db.verify()["tables"] == sum(1 for _ in db.store.tree.tables())


def test_who_has_it_open_is_told() -> None:
    disk, _ = build()
    with opened(disk):
        for work in (verify, repair):
            with pytest.raises(DatabaseLocked):
                work("/db", file_system=disk)
    assert verify("/db", file_system=disk)


def test_a_folder_without_a_database() -> None:
    disk = MemoryFileSystem()
    disk.make_dir("/empty")
    for path in ("/empty", "/nowhere"):
        for work in (verify, repair):
            with pytest.raises(FileMissing):
                work(path, file_system=disk)
    assert disk.list_dir("/empty") == []


@PARTITIONS
def test_no_flipped_bit_in_tables_goes_unnoticed(partitions: int) -> None:
    disk, _ = build(partitions)
    for name, offset, image in damages(disk, 25):
        if name.endswith(".table"):
            with pytest.raises(CorruptionError) as caught:
                verify("/db", file_system=image)
            assert caught.value.path == f"/db/{name}", offset


def test_damage_in_each_kind_of_file_is_named() -> None:
    disk, _ = build()
    manifest, log, values = (files_of(disk, kind)[0] for kind in ("MANIFEST", ".log", ".values"))
    where = read(disk, f"/db/{values}").index(key(420)) + 10     # in the value, which is in use
    for name, offset in ((manifest, 3), (manifest, 200), (log, 0), (log, 70), (log, 200), (values, 2), (values, where),
                         ("CURRENT", 3), ("CURRENT", 15)):
        image = disk.crash_image("kept")
        image.flip_bit(f"/db/{name}", offset, 1)
        with pytest.raises(CorruptionError) as caught:
            verify("/db", file_system=image)
        assert caught.value.path == f"/db/{name}"


def test_problems_are_collected() -> None:
    disk, _ = build()
    disk.flip_bit(f"/db/{files_of(disk, '.table')[0]}", 500)
    disk.flip_bit(f"/db/{files_of(disk, '.values')[0]}", 0)
    disk.flip_bit(f"/db/{files_of(disk, '.log')[0]}", 80)
    problems: list[PhantomError] = []
    verify("/db", file_system=disk, problems=problems)
    assert {os.path.splitext(str(problem.path))[1] for problem in problems} == {".table", ".values", ".log"}


@pytest.mark.parametrize("kind", [".table", ".values", "MANIFEST", "CURRENT", "FORMAT"])
def test_a_missing_file_is_damage(kind: str) -> None:
    disk, _ = build()
    name = files_of(disk, kind)[0]
    disk.unlink(f"/db/{name}")
    with pytest.raises(CorruptionError) as caught:
        verify("/db", file_system=disk)
    assert caught.value.path in (f"/db/{name}", "/db/CURRENT")


def test_an_open_database_finds_damage_too() -> None:
    disk, _ = build()
    with opened(disk) as db:
        table = next(iter(db.store.tree.tables()))
        disk.flip_bit(f"/db/{table.number:012d}.table", 30)
        with pytest.raises(CorruptionError) as caught:
            db.verify()
        assert caught.value.path == f"/db/{table.number:012d}.table"
        disk.flip_bit(f"/db/{table.number:012d}.table", 30)
        db.verify()
        log = max(name for name in disk.list_dir("/db") if name.endswith(".log") and read(disk, f"/db/{name}")[64:72]
                  != bytes(8))
        disk.flip_bit(f"/db/{log}", 100)
        with pytest.raises(CorruptionError):
            db.verify()


def test_what_the_manifest_says_of_a_table_is_compared() -> None:
    """A whole table in the wrong place: no checksum can tell."""
    disk, _ = build(2)
    first, second = (f"/db/{name}" for name in files_of(disk, ".table")[:2])
    contents = read(disk, first), read(disk, second)
    rewrite(disk, first, contents[1])
    rewrite(disk, second, contents[0])
    problems: list[PhantomError] = []
    verify("/db", file_system=disk, problems=problems)
    assert {problem.path for problem in problems} == {first, second}


def test_a_table_of_the_same_size_is_not_the_same_table() -> None:
    disk = MemoryFileSystem()
    for path, first in (("/db", b"a"), ("/other", b"b")):
        with opened(disk, path, compression="none") as db:
            for number in range(50):
                db.kv.put(first + key(number), b"1")
    name = files_of(disk, ".table")[0]
    assert size_of(disk, f"/db/{name}") == size_of(disk, f"/other/{name}")
    rewrite(disk, f"/db/{name}", read(disk, f"/other/{name}"))
    with pytest.raises(CorruptionError, match="smallest is b'kb00000', and b'ka00000' in the manifest"):
        verify("/db", file_system=disk)


def test_a_pointer_must_lead_to_the_value_of_its_key() -> None:
    """A value file in which every record is whole, but they changed places."""
    disk = MemoryFileSystem()
    with opened(disk) as db:
        db.kv.put(b"a", b"1" * 100)
        db.kv.put(b"b", b"2" * 100)
    path = f"/db/{files_of(disk, '.values')[0]}"
    data = read(disk, path)
    middle = 32 + (len(data) - 32) // 2
    rewrite(disk, path, data[:32] + data[middle:] + data[32:middle])
    with pytest.raises(CorruptionError, match="the value of key b'a' is not whole") as caught:
        verify("/db", file_system=disk)
    assert (caught.value.path, caught.value.offset) == (path, 32)
