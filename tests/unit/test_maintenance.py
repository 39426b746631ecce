"""Checkpoint, verify, repair: whole copies, no damage unnoticed, nothing lost that could be read."""
from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import phantomdb
from phantomdb.core import limits
from phantomdb.core._ext.files import BridgedFileSystem
from phantomdb.core._ext.table_salvage import find_block, unpack_block, unpack_piece
from phantomdb.core._ext.table_writer import write_table
from phantomdb.core.database import Database
from phantomdb.core.errors import (CorruptionError, DatabaseLocked, FileAlreadyExists, FileMissing, NewerFormat,
                                   PhantomError, StorageError)
from phantomdb.core.filesystems import FaultyFileSystem, MemoryFileSystem
from phantomdb.core.maintenance import RepairReport, repair, verify
from phantomdb.core.manifest import Manifest
from phantomdb.core.salvage import DamagedTable

SMALL: dict[str, Any] = {
    "memtable_bytes": 256 << 10, "table_bytes": 64 << 10, "block_bytes": 512, "log_segment_bytes": 64 << 10,
    "level0_compaction_count": 2, "retention_s": 0, "value_threshold_bytes": 64, "value_file_bytes": 64 << 10,
}
PARTITIONS = pytest.mark.parametrize("partitions", [1, 4])
State = dict[bytes, bytes]


def opened(disk: Any, path: str = "/db", **options: Any) -> Database:
    return phantomdb.open(path, file_system=disk, **{**SMALL, **options})


def key(number: int) -> bytes:
    return b"%05d" % number


def size_of(disk: MemoryFileSystem, path: str) -> int:
    file = disk.open(path, 0)
    try:
        return file.size()
    finally:
        file.close()


def read(disk: MemoryFileSystem, path: str) -> bytes:
    return disk.open(path, 0).pread(1 << 30, 0)


def rewrite(disk: MemoryFileSystem, path: str, data: bytes) -> None:
    file = disk.open(path, 1)
    file.pwrite(data, 0)
    file.sync()
    file.close()


def files_of(disk: MemoryFileSystem, suffix: str) -> list[str]:
    """The files of that kind that are in use, the largest first."""
    found = [name for name in disk.list_dir("/db") if name.endswith(suffix) or name.startswith(suffix)]
    return sorted(found, key=lambda name: -size_of(disk, f"/db/{name}"))


def settle(db: Database) -> None:
    """Waits until no compaction is under way or due, and the tables it replaced are gone."""
    background = db.store.background
    while True:
        with db.store.mutex:
            if not background._busy and background._pick() is None:
                break
        time.sleep(0.005)
    db.store.drop_unused()


def build(partitions: int = 1, *, close: bool = False) -> tuple[MemoryFileSystem, State]:
    """A disk with a database, as after a crash: tables on two levels, an ingested one, value files, range deletes,
    and writes that only the log has. Every third value is in the value log."""
    disk = MemoryFileSystem()
    db = opened(disk, partitions=partitions)
    for number in range(600):
        db.kv.put(key(number), b"%d" % number * (40 if number % 3 == 0 else 1))
    db.kv.delete_range(key(100), key(120))
    db.compact()
    db.ingest([(key(number), b"ingested%d" % number * (10 if number % 3 == 0 else 1)) for number in range(500, 700)])
    db.kv.put(key(5), b"flushed")
    db.kv.delete(key(6))
    db.kv.delete_range(key(200), key(210))
    db.flush()
    for number in range(0, 60, 2):
        db.kv.write([(key(number), b"logged%d" % number * (10 if number % 3 == 0 else 1)),
                     (b"both%d" % number, b"1"), (b"other%d" % number, b"1")])
    db.kv.delete_range(key(300), key(305))
    db.sync()
    settle(db)
    state = dict(db.kv.scan())
    if close:
        db.close()
        return disk, state
    image = disk.crash_image("kept")
    db.close()
    return image, state


def state_of(disk: MemoryFileSystem, path: str = "/db", *, merge: bool = True) -> State:
    """What is in the database, read in several ways that must agree, with `merge` also after everything was merged."""
    with opened(disk, path, create=False) as db:
        rows = dict(db.kv.scan())
        assert all(db.kv.get(name) == value for name, value in rows.items())
        db.verify()
        db.compact()
        assert dict(db.kv.scan()) == rows or not merge
        db.kv.put(b"goes", b"on")
    return rows


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


def spots(size: int, count: int) -> list[int]:
    return sorted({min(size - 1, size * place // count + place) for place in range(count)})


def damages(disk: MemoryFileSystem, count: int) -> Iterator[tuple[str, int, MemoryFileSystem]]:
    """(name, offset, disk with one bit flipped there), over all files whose every byte matters."""
    with opened(disk.crash_image("kept")) as db:
        tables = {f"{table.number:012d}.table" for table in db.store.tree.tables()}
    for name in disk.list_dir("/db"):
        if name in ("LOCK", "FORMAT") or (name.endswith(".table") and name not in tables):
            continue
        for offset in spots(size_of(disk, f"/db/{name}"), count):
            image = disk.crash_image("kept")
            image.flip_bit(f"/db/{name}", offset, offset % 8)
            yield name, offset, image


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


# ------------------------------------------------------------------ repair

def repaired(image: MemoryFileSystem) -> tuple[RepairReport, State]:
    """Repairs, and looks whether the result is sound in every respect."""
    report = repair("/db", file_system=image)
    assert verify("/db", file_system=image)
    assert repair("/db", file_system=image).is_clean
    # one partition's range deletes are lost: those of the others hide what they had deleted until they are merged
    return report, state_of(image, merge=not any("range deletes" in note for note in report.notes))


def test_nothing_to_repair() -> None:
    disk, state = build()
    contents = {name: read(disk, f"/db/{name}") for name in disk.list_dir("/db") if name != "LOCK"}
    report = repair("/db", file_system=disk)
    assert report.is_clean
    assert str(report) == "nothing is damaged"
    assert report.as_dict()["files"] == []
    assert contents == {name: read(disk, f"/db/{name}") for name in disk.list_dir("/db") if name != "LOCK"}
    assert state_of(disk) == state


def check_repair(name: str, offset: int, image: MemoryFileSystem, state: State) -> None:
    where = f"{name} at {offset}"
    damaged = read(image, f"/db/{name}")
    report, found = repaired(image)
    lost = {row for row in state if row not in found}
    wrong = {row for row in state if row in found and found[row] != state[row]}
    new = {row for row in found if row not in state}
    assert not new or report.manifest != "read" or name.endswith((".table", ".log")), where
    assert len(lost) + len(wrong) + len(new) <= 60, where                # about a block, a record, a value
    if lost or wrong or new:
        assert not report.is_clean, where
    if not report.is_clean:
        text = str(report)
        entry = next((file for file in report.files if file.name == name), None)
        assert entry is not None and name in text, where
        assert entry.moved_to is not None, where
        assert read(image, f"/db/{entry.moved_to}") == damaged, where
        if (lost or wrong) and name.endswith((".table", ".values")):
            assert entry.losses, where


@PARTITIONS
def test_repair_keeps_all_but_what_is_damaged(partitions: int) -> None:
    disk, state = build(partitions)
    for name, offset, image in damages(disk, 3 if partitions == 1 else 2):
        check_repair(name, offset, image, state)


@pytest.mark.long
@PARTITIONS
def test_long_repair_keeps_all_but_what_is_damaged(partitions: int) -> None:
    disk, state = build(partitions)
    for name, offset, image in damages(disk, 40):
        check_repair(name, offset, image, state)


def test_a_lost_block_is_told_by_its_keys() -> None:
    disk, _ = build()
    name = files_of(disk, ".table")[0]
    disk.flip_bit(f"/db/{name}", 1500)
    report, _ = repaired(disk)
    (entry,) = report.files
    assert entry.name == name
    assert entry.entries_lost and entry.entries_kept
    (loss,) = entry.losses
    assert loss.after is not None and loss.before is not None and loss.after < loss.before
    assert f"between {loss.after[1:]!r} and {loss.before[1:]!r}" in str(report)
    assert report.as_dict()["files"][0]["lost_bytes"] == loss.size > 0


@PARTITIONS
@pytest.mark.parametrize("gone", ["CURRENT", "MANIFEST", "both"])
def test_the_manifest_is_rebuilt(partitions: int, gone: str) -> None:
    disk, state = build(partitions)
    manifest = files_of(disk, "MANIFEST")[0]
    for name in {"CURRENT": ["CURRENT"], "MANIFEST": [manifest], "both": ["CURRENT", manifest]}[gone]:
        disk.unlink(f"/db/{name}")
    with pytest.raises(CorruptionError):
        opened(disk)                                     # and not: makes a new database and removes the tables
    report, found = repaired(disk)
    if gone == "CURRENT":
        assert (report.manifest, found) == ("read", state)
        return
    assert report.manifest == "lost"
    # ingested pairs count as the oldest, and dropped deletes are gone with the tables they were in
    assert set(state) <= set(found)
    assert {row for row in state if found[row] != state[row]} <= {key(number) for number in range(500, 600)}
    assert any("partitions" in note for note in report.notes)


@PARTITIONS
def test_a_manifest_damaged_in_the_middle_still_helps(partitions: int) -> None:
    """Its whole records know the partitions, the ingested tables' timestamps and which tables were replaced."""
    disk, state = build(partitions)
    path = f"/db/{files_of(disk, 'MANIFEST')[0]}"
    records = read(disk, path)
    middle = records.index(b'{"edit"', len(records) // 4)
    disk.flip_bit(path, middle + 9)
    report, found = repaired(disk)
    assert report.manifest == "salvaged"
    assert set(state) <= set(found)
    with opened(disk) as db:
        assert len(db.store.tree.partitions) == partitions


def test_what_whole_records_of_the_manifest_say_is_not_forgotten() -> None:
    """Which tables were replaced, though their files are still there; and what of the log is in tables already, though
    these have forgotten their timestamps."""
    disk = MemoryFileSystem()
    with opened(disk) as db:
        db.kv.put(b"deleted", b"1")
        db.kv.put(b"ingested", b"old")
        db.flush()
        reader = db.kv.scan()
        next(reader)                                     # keeps its tables
        db.kv.delete(b"deleted")
        db.ingest([(b"ingested", b"new")])
        time.sleep(0.02)                                 # history ends in an earlier millisecond
        db.kv.put(b"last", b"1")
        db.compact()
        assert {table.max_ts for table in db.store.tree.tables()} == {0}
        image = disk.crash_image("kept")
        assert len(files_of(image, ".table")) > len(list(db.store.tree.tables()))
        assert any(b"old" in read(image, f"/db/{name}") for name in files_of(image, ".log"))
        del reader
    image.flip_bit(f"/db/{files_of(image, 'MANIFEST')[0]}", 0)
    report, found = repaired(image)
    assert report.manifest == "salvaged"
    assert found == {b"ingested": b"new", b"last": b"1"}


def test_several_files_damaged_at_once() -> None:
    disk, state = build(4)
    for kind in (".table", ".values", ".log", "MANIFEST"):
        for name in files_of(disk, kind)[:2]:
            for part in (3, 7):
                disk.flip_bit(f"/db/{name}", size_of(disk, f"/db/{name}") * part // 10)
    disk.unlink("/db/CURRENT")
    report, found = repaired(disk)
    assert len(report.files) >= 4
    assert len(found) > len(state) // 2
    assert "lost" in disk.list_dir("/db")


def test_a_newer_format_is_left_alone() -> None:
    disk, _ = build()
    rewrite(disk, "/db/FORMAT", b"%d\n" % (limits.FORMAT_VERSION + 1))
    names = disk.list_dir("/db")
    for work in (verify, repair):
        with pytest.raises(NewerFormat):
            work("/db", file_system=disk)
    assert set(disk.list_dir("/db")) == {*names, "LOCK"}


@pytest.mark.parametrize("text", [None, b"", b"one\n"])
def test_the_format_marker_is_written_anew(text: bytes | None) -> None:
    disk, state = build()
    disk.unlink("/db/FORMAT")
    if text is not None:
        rewrite(disk, "/db/FORMAT", text)
    report, found = repaired(disk)
    assert [file.name for file in report.files] == ["FORMAT"]
    assert found == state


def test_what_stands_behind_damage_in_the_log_is_kept() -> None:
    disk, state = build()
    log = next(name for name in files_of(disk, ".log") if b"logged" in read(disk, f"/db/{name}"))
    where = read(disk, f"/db/{log}").index(b"logged20")
    disk.flip_bit(f"/db/{log}", where)
    report, found = repaired(disk)
    assert [file.name for file in report.files] == [log]
    assert report.files[0].lost_bytes > 0
    assert {row for row in state if state[row] != found.get(row)} == {key(20), b"both20", b"other20"}
    assert found.keys() <= state.keys()


@PARTITIONS
def test_a_missing_table_is_told_with_its_keys(partitions: int) -> None:
    disk, _ = build(partitions, close=True)
    tree = Manifest.read(BridgedFileSystem(disk), "/db").tree
    table = max(tree.tables(), key=lambda table: table.file_size)
    name = f"{table.number:012d}.table"
    disk.unlink(f"/db/{name}")
    report, _ = repaired(disk)
    (entry,) = report.files
    assert (entry.name, entry.entries_lost, entry.moved_to) == (name, table.entry_count, None)
    assert (entry.losses[0].after, entry.losses[0].before) == (table.smallest, table.largest)


def test_a_crash_during_repair_costs_nothing_more() -> None:
    disk, _ = build(2)
    for name in (files_of(disk, ".table")[0], files_of(disk, ".values")[0]):
        disk.flip_bit(f"/db/{name}", size_of(disk, f"/db/{name}") // 3)
    disk.flip_bit(f"/db/{files_of(disk, '.log')[0]}", 90)
    _, expected = repaired(disk.crash_image("kept"))
    images = []

    def look(number: int, name: str, path: str) -> None:
        if number % 4 == 0:
            images.extend([(number, name, path, mode, disk.crash_image(mode, number))    # type: ignore[arg-type]
                           for mode in ("lost", "kept", "torn")])

    disk.before_operation = look
    repair("/db", file_system=disk)
    disk.before_operation = None
    assert len(images) > 15
    for number, name, path, mode, image in images:
        repair("/db", file_system=image)
        verify("/db", file_system=image)
        with opened(image, create=False) as db:
            assert dict(db.kv.scan()) == expected, f"crash before {number} ({name} {path}), {mode}"


# ------------------------------------------------------------------ parts of it

def table_bytes(count: int = 400) -> tuple[MemoryFileSystem, list[Any]]:
    disk = MemoryFileSystem()
    entries = [(b"k%05d" % number, 100 + number, 0, b"value%d" % number) for number in range(count)]
    write_table(BridgedFileSystem(disk), "/t", entries, [(b"k1", b"k2", 7)], 512)
    return disk, entries


@pytest.mark.parametrize("count", [1, 3, 400])
def test_blocks_are_found_without_footer_or_lengths(count: int) -> None:
    disk, entries = table_bytes(count)
    data = read(disk, "/t")
    for cut in (data[:-1], data[:-96], data[:-200], data + b"\0" * 10):
        rewrite(disk, "/t", cut)
        table = DamagedTable(BridgedFileSystem(disk), "/t")
        assert list(table.entries()) == entries
        assert not table.losses
        assert not table.has_all_tombstones


def test_one_damaged_block_without_lengths() -> None:
    disk, entries = table_bytes()
    data = bytearray(read(disk, "/t"))[:-96]
    data[1000] ^= 1
    rewrite(disk, "/t", bytes(data))
    table = DamagedTable(BridgedFileSystem(disk), "/t")
    found = list(table.entries())
    (loss,) = table.losses
    assert 0 < len(entries) - len(found) < 60
    assert set(found) < set(entries)
    assert loss.after == max(row[0] for row in found if row[0] < (loss.before or b""))


def test_pieces() -> None:
    disk, entries = table_bytes()
    data = read(disk, "/t")
    found = find_block(data, 0)
    assert found is not None and found[0] == 0
    piece = data[:found[1]]
    assert unpack_block(piece) == entries[:len(unpack_block(piece) or [])]
    for wrong in (b"", piece[:-1], piece[1:], bytes([piece[0] ^ 1]) + piece[1:]):
        assert unpack_piece(wrong) is None
        assert unpack_block(wrong) is None
    assert find_block(b"\0" * 300, 0) is None
    assert find_block(data, len(data)) is None


def test_a_manifest_read_is_not_changed() -> None:
    disk, _ = build()
    files = BridgedFileSystem(disk)
    before = disk.operations
    manifest = Manifest.read(files, "/db")
    assert disk.operations == before
    assert manifest.name == files_of(disk, "MANIFEST")[0]
