"""Repair: nothing is lost that could be read, and what is lost is told."""
from __future__ import annotations

import time
from typing import Any

import pytest
from disks import PARTITIONS, State, build, damages, files_of, key, opened, read, rewrite, size_of, state_of

from phantomdb.core import limits
from phantomdb.core._ext.files import BridgedFileSystem
from phantomdb.core._ext.table_salvage import find_block, unpack_block, unpack_piece
from phantomdb.core._ext.table_writer import write_table
from phantomdb.core.errors import CorruptionError, NewerFormat
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.maintenance import RepairReport, repair, verify
from phantomdb.core.manifest import Manifest
from phantomdb.core.salvage import DamagedTable


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
