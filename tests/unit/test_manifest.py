"""The manifest: what is appended is there after any crash, and damage is never taken for data."""
from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core import limits
from phantomdb.core import manifest as module
from phantomdb.core._ext.files import CREATE, BridgedFileSystem, PosixFileSystem
from phantomdb.core._ext.hashing import crc32c_of
from phantomdb.core.errors import (
    CorruptionError,
    DatabaseClosed,
    DiskFull,
    FileAlreadyExists,
    InvalidArgument,
    LimitExceeded,
    NewerFormat,
    PhantomError,
    StorageError,
)
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.manifest import Manifest, database_exists, decode_edit, encode_edit, orphans
from phantomdb.core.options import Options
from phantomdb.core.tree import Edit, TableMeta, Tree, ValueFileMeta

FOLDER = "db"
OPTIONS = Options()
DATABASE_ID = "00" * 16


def table(number: int, level: int = 0, smallest: bytes = b"\x00a", largest: bytes = b"z\xff",
          **more: Any) -> TableMeta:
    values: dict[str, Any] = {"partition": 0, "file_size": 100, "entry_count": 10, "key_count": 9, "delete_count": 1,
                              "tombstone_count": 2, "raw_bytes": 200, "min_ts": number, "max_ts": number + 1} | more
    return TableMeta(number=number, level=level, smallest=smallest, largest=largest, **values)


EDITS = [
    Edit(added=(table(1, value_files=((2, 50),)),), added_value_files=(ValueFileMeta(2, 50),), last_ts=2,
         first_log_segment=1, flushed=((0, 2),)),
    Edit(added=(table(3),), last_ts=limits.MAX_U64, next_file_number=9),
    Edit(added=(table(4, 6, b"", b"m"), table(5, 6, b"n", b"z")), removed=(1, 3), value_garbage=((2, 20),),
         gc_floor_ts=3),
    Edit(removed=(4,), value_garbage=((2, 30),), removed_value_files=(2,)),
]


def new_disk() -> tuple[MemoryFileSystem, BridgedFileSystem]:
    disk = MemoryFileSystem()
    disk.make_dir(FOLDER)
    disk.sync_dir(".")
    return disk, BridgedFileSystem(disk)


def create(file_system: BridgedFileSystem, partitions: int = 1) -> Manifest:
    return Manifest.create(file_system, FOLDER, OPTIONS, partitions, database_id=DATABASE_ID)[0]


def reopened(file_system: BridgedFileSystem, options: Options = OPTIONS) -> Tree:
    manifest, tree = Manifest.open(file_system, FOLDER, options)
    manifest.close()
    return tree


def current_path(file_system: BridgedFileSystem) -> str:
    return f"{FOLDER}/" + file_system.read_file(f"{FOLDER}/CURRENT").decode().strip()


def rewrite(file_system: BridgedFileSystem, path: str, data: bytes) -> None:
    with file_system.open(path, CREATE) as file:
        file.pwrite(data, 0)
        file.sync()
    file_system.sync_dir(FOLDER)


# ------------------------------------------------------------------ plain use

def test_a_new_database_on_a_real_disk(tmp_path: Path) -> None:
    files = PosixFileSystem()
    assert not database_exists(files, tmp_path)
    manifest, tree = Manifest.create(files, tmp_path, OPTIONS, 3)
    assert database_exists(files, tmp_path)
    assert tree == Tree.empty(3, 7)
    tree = manifest.append(Edit(added=(table(1, partition=2),)))
    manifest.close()
    again, found = Manifest.open(files, tmp_path, replace(OPTIONS, partitions=3))
    again.close()
    assert found == tree
    assert (again.partitions, again.database_id) == (3, manifest.database_id)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CURRENT", "FORMAT", "MANIFEST-000001"]
    assert (tmp_path / "FORMAT").read_text().splitlines()[0] == str(limits.FORMAT_VERSION)


def test_every_edit_is_there_after_reopening() -> None:
    _, files = new_disk()
    manifest = create(files)
    for edit in EDITS:
        tree = manifest.append(edit)
        assert tree == manifest.tree == reopened(files)
    assert manifest.tree == Tree.empty(1, 7).apply(EDITS[0]).apply(EDITS[1]).apply(EDITS[2]).apply(EDITS[3])
    manifest.roll()
    assert reopened(files) == manifest.tree


def test_an_edit_that_does_not_fit_changes_nothing() -> None:
    disk, files = new_disk()
    manifest = create(files)
    before, operations = manifest.tree, disk.operations
    with pytest.raises(CorruptionError):
        manifest.append(Edit(removed=(99,)))
    assert (manifest.tree, disk.operations) == (before, operations)


def test_a_large_manifest_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANIFEST_ROLL_BYTES", 2000)
    _, files = new_disk()
    manifest = create(files)
    for number in range(1, 101):
        tree = manifest.append(Edit(added=(table(number),), removed=(number - 1,) if number > 1 else ()))
        assert files.size(current_path(files)) <= 2000
    assert manifest.name > "MANIFEST-000005"
    assert [name for name in files.list_dir(FOLDER) if name.startswith("M")] == [manifest.name]
    assert reopened(files) == tree


def test_a_large_snapshot_does_not_make_every_append_roll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANIFEST_ROLL_BYTES", 2000)
    _, files = new_disk()
    manifest = create(files)
    manifest.append(Edit(added=tuple(table(number) for number in range(1, 50))))
    name = manifest.name
    for number in range(100):
        manifest.append(Edit(last_ts=number))
    assert manifest.name == name


def test_create_refuses_a_folder_in_use() -> None:
    _, files = new_disk()
    create(files).close()
    with pytest.raises(FileAlreadyExists):
        create(files)


def test_append_after_close() -> None:
    _, files = new_disk()
    manifest = create(files)
    manifest.close()
    manifest.close()
    with pytest.raises(DatabaseClosed):
        manifest.append(Edit(last_ts=1))


# ------------------------------------------------------------------ options against what is stored

def test_partitions_must_match_or_be_none() -> None:
    _, files = new_disk()
    create(files, partitions=4).close()
    with pytest.raises(InvalidArgument, match="partitions=4, not 1"):
        reopened(files, replace(OPTIONS, partitions=1))
    assert len(reopened(files, replace(OPTIONS, partitions=None)).partitions) == 4
    assert len(reopened(files, replace(OPTIONS, partitions=4)).partitions) == 4


@pytest.mark.parametrize("partitions", [0, limits.MAX_PARTITIONS + 1])
def test_partitions_at_creation(partitions: int) -> None:
    _, files = new_disk()
    with pytest.raises(InvalidArgument, match="partitions"):
        create(files, partitions)


def test_level_count_may_change_as_long_as_no_level_in_use_goes() -> None:
    _, files = new_disk()
    manifest = create(files)
    manifest.append(Edit(added=(table(1), table(2, level=4))))
    manifest.close()
    assert [len(level) for level in reopened(files, replace(OPTIONS, level_count=9)).partitions[0]] == [
        1, 0, 0, 0, 1, 0, 0, 0, 0]
    assert [len(level) for level in reopened(files, replace(OPTIONS, level_count=5)).partitions[0]] == [1, 0, 0, 0, 1]
    with pytest.raises(InvalidArgument, match="level_count must be at least 5"):
        reopened(files, replace(OPTIONS, level_count=4))


def test_numbers_of_files_in_the_folder_are_not_given_out_again() -> None:
    _, files = new_disk()
    create(files).close()
    for name, expected in [("000000000007.table", 8), ("000000000011.values", 12), ("000000000099.log", 12)]:
        rewrite(files, f"{FOLDER}/{name}", b"")
        assert reopened(files).next_file_number == expected


def test_orphans() -> None:
    _, files = new_disk()
    manifest = create(files)
    manifest.append(Edit(added=(table(1),), added_value_files=(ValueFileMeta(2, 9),)))
    stay = [module.table_name(1), module.values_name(2), module.values_name(4), module.log_name(1), "LOCK", "notes.txt"]
    leave = [module.table_name(3), module.values_name(1), module.values_name(3), "CURRENT.tmp", "000000000009.tmp",
             module.manifest_name(7)]
    for name in stay + leave:
        rewrite(files, f"{FOLDER}/{name}", b"")
    assert sorted(orphans(files, FOLDER, manifest.tree, value_files_in_log={4})) == sorted(leave)


# ------------------------------------------------------------------ crashes

class PowerCut(Exception):
    """Stops the work at a chosen operation."""


def work(files: BridgedFileSystem, trees: list[Tree]) -> None:
    """Creates, appends and rolls; puts each tree in `trees` before it is made durable."""
    tree = Tree.empty(1, OPTIONS.level_count)
    trees.append(tree)
    manifest = create(files)
    trees.append(tree)                               # the creation is acknowledged: from here one tree is certain
    for index, edit in enumerate(EDITS):
        tree = tree.apply(edit)
        trees.append(tree)
        assert manifest.append(edit) == tree
        if index == 1:
            trees.append(tree)
            manifest.roll()
    manifest.close()


def crash_cases() -> list[int]:
    disk, files = new_disk()
    before = disk.operations
    work(files, [])
    return list(range(before, disk.operations + 1))


@pytest.mark.parametrize("step", crash_cases())
@pytest.mark.parametrize("mode", ["lost", "kept", "torn"])
def test_a_crash_at_every_step(step: int, mode: Literal["lost", "kept", "torn"]) -> None:
    disk, files = new_disk()

    def cut(number: int, _operation: str, _path: str) -> None:
        if number >= step:
            raise PowerCut

    disk.before_operation = cut
    trees: list[Tree] = []
    acknowledged = True
    try:
        work(files, trees)
    except (PowerCut, PhantomError):
        acknowledged = False
    for seed in range(6 if mode == "torn" else 1):
        after = BridgedFileSystem(disk.crash_image(mode, seed))
        if not database_exists(after, FOLDER):
            assert len(trees) == 1                   # the creation was never acknowledged
            create(after).close()
            continue
        manifest, tree = Manifest.open(after, FOLDER, OPTIONS)
        allowed = trees[-1:] if acknowledged else trees[-2:]
        raised = tree.next_file_number
        assert tree in [replace(one, next_file_number=max(raised, one.next_file_number)) for one in allowed]
        # What was recovered stays, and work goes on.
        assert reopened(BridgedFileSystem(after.target.crash_image("lost"))) == tree
        tree = manifest.append(Edit(last_ts=limits.MAX_U64, gc_floor_ts=7))
        assert reopened(after) == tree
        assert reopened(BridgedFileSystem(after.target.crash_image("lost"))) == tree
        for name in orphans(after, FOLDER, tree, value_files_in_log=()):
            after.unlink(f"{FOLDER}/{name}")
        assert reopened(after) == tree


@pytest.mark.parametrize("operation", ["pwrite", "sync"])
@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_failed_append_does_not_count_and_is_not_written_behind(operation: str, failures: int) -> None:
    disk, files = new_disk()
    manifest = create(files)
    before = manifest.append(EDITS[0])
    left = [failures]

    def refuse(_number: int, name: str, path: str) -> None:
        if name == operation and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "no")

    disk.before_operation = refuse
    for _ in range(failures):
        with pytest.raises(StorageError):
            manifest.append(Edit(added=(table(100),)))
        assert manifest.tree == before
    old = manifest.name
    tree = manifest.append(EDITS[1])
    assert tree == before.apply(EDITS[1])
    assert manifest.name != old
    assert reopened(files) == tree
    assert [name for name in files.list_dir(FOLDER) if name.startswith("M")] == [manifest.name]


def test_appends_after_a_failed_roll_never_go_to_the_old_manifest() -> None:
    """The rename took effect, the sync of the folder failed: CURRENT may name either manifest."""
    disk, files = new_disk()
    manifest = create(files)
    manifest.append(EDITS[0])
    renamed: list[bool] = []

    def refuse(_number: int, name: str, _path: str) -> None:
        if renamed and name == "sync_dir":
            raise OSError(errno.EIO, "no")
        if name == "rename":
            renamed.append(True)

    disk.before_operation = refuse
    with pytest.raises(StorageError):
        manifest.roll()
    disk.before_operation = None
    tree = manifest.append(EDITS[1])
    for mode in ("lost", "kept"):
        assert reopened(BridgedFileSystem(disk.crash_image(mode))) == tree


def test_a_full_disk_is_survived() -> None:
    disk, files = new_disk()
    manifest = create(files)
    tree = manifest.append(EDITS[0])
    disk.capacity_bytes = disk.used_bytes + 100
    for _ in range(3):
        with pytest.raises(DiskFull):
            manifest.append(EDITS[1])
    assert reopened(files) == tree
    disk.capacity_bytes = None
    assert reopened(files) == tree
    assert manifest.append(EDITS[1]) == reopened(files)


def test_an_old_manifest_that_cannot_be_removed_is_no_failure() -> None:
    disk, files = new_disk()
    manifest = create(files)

    def refuse(_number: int, name: str, _path: str) -> None:
        if name == "unlink":
            raise OSError(errno.EPERM, "no")

    disk.before_operation = refuse
    manifest.roll()
    disk.before_operation = None
    assert orphans(files, FOLDER, manifest.tree, value_files_in_log=()) == ["MANIFEST-000001"]


# ------------------------------------------------------------------ damage

def written() -> tuple[BridgedFileSystem, str, bytes, list[Tree], list[int]]:
    """A manifest, its bytes, the tree after each record and where each record ends."""
    _, files = new_disk()
    manifest = create(files)
    path = current_path(files)
    trees, ends = [manifest.tree], [files.size(path)]
    for edit in EDITS:
        trees.append(manifest.append(edit))
        ends.append(files.size(path))
    manifest.close()
    return files, path, files.read_file(path), trees, ends


def test_a_torn_tail_of_any_length_is_cut_off() -> None:
    files, path, data, trees, ends = written()
    for size in range(ends[-2], ends[-1]):
        for tail in (b"", bytes(len(data) - size), b"\xff" * 3):
            rewrite(files, path, data[:size] + tail)
            manifest, tree = Manifest.open(files, FOLDER, OPTIONS)
            manifest.close()
            assert tree == trees[-2]
    manifest, _ = Manifest.open(files, FOLDER, OPTIONS)
    assert manifest.append(EDITS[3]) == trees[-1] == reopened(files)
    assert manifest.name != path.removeprefix(f"{FOLDER}/")          # nothing is written behind a torn tail


def test_a_flipped_bit_anywhere_is_found() -> None:
    files, path, data, trees, ends = written()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        rewrite(files, path, bytes(damaged))
        if position < ends[-2]:
            with pytest.raises(CorruptionError) as caught:
                reopened(files)
            assert caught.value.path == path
            begins = [0, module.HEADER_BYTES, *ends]
            assert caught.value.offset == max(start for start in begins if start <= position)
        else:
            assert reopened(files) == trees[-2]


def test_a_manifest_without_its_first_record() -> None:
    files, path, data, _, ends = written()
    for size in (0, 7, module.HEADER_BYTES - 1, module.HEADER_BYTES, ends[0] - 1):
        rewrite(files, path, data[:size])
        with pytest.raises(CorruptionError):
            reopened(files)


def record(payload: bytes) -> bytes:
    size = struct.pack("<I", len(payload))
    return size + struct.pack("<I", crc32c_of(payload, crc32c_of(size))) + payload


TABLE: dict[str, Any] = json.loads(json.dumps(encode_edit(Edit(added=(table(50),)))))["added"][0]


@pytest.mark.parametrize("content", [
    b"{", b"[]", b"{}", b'{"edit":[]}', b'{"edit":{},"more":1}', b'{"snapshot":{}}', b'{"edit":{"colour":1}}',
    b'{"edit":{"last_ts":-1}}', b'{"edit":{"last_ts":18446744073709551616}}', b'{"edit":{"last_ts":1.0}}',
    b'{"edit":{"last_ts":true}}', b'{"edit":{"last_ts":"1"}}', b'{"edit":{"last_ts":null}}',
    b'{"edit":{"removed":1}}', b'{"edit":{"removed":["1"]}}', b'{"edit":{"removed":[77]}}',
    b'{"edit":{"value_garbage":[[1]]}}', b'{"edit":{"added_value_files":[[1,2]]}}',
    b'{"edit":{"added_value_files":[[1,2,3]]}}', b'{"edit":' + b"[" * 100_000 + b"}", b"\xff\xfe",
    *(json.dumps({"edit": {"added": [TABLE | change]}}).encode() for change in (
        {"smallest": "?"}, {"smallest": 1}, {"smallest": "é"}, {"smallest": "eg==", "largest": "YQ=="},
        {"smallest": "", "largest": "/" * 4 * 30_000}, {"min_ts": 99}, {"level": 7}, {"partition": 1}, {"number": 5},
        {"value_files": [1]}, {"entry_count": None}, {"new": 1})),
    json.dumps({"edit": {"added": [{name: value for name, value in TABLE.items() if name != "level"}]}}).encode(),
], ids=range(34))
def test_records_that_make_no_sense(content: bytes) -> None:
    files, path, data, _, _ = written()
    rewrite(files, path, data + record(content))
    with pytest.raises(CorruptionError) as caught:
        reopened(files)
    assert (caught.value.path, caught.value.offset) == (path, len(data))


@pytest.mark.parametrize(("extra", "fits"), [(0, True), (1, True), (2, False)])
def test_the_longest_key(extra: int, fits: bool) -> None:
    _, files = new_disk()
    manifest = create(files)
    tree = manifest.append(Edit(added=(table(1, largest=b"z" * (limits.MAX_KEY_BYTES + extra)),)))
    if fits:
        assert reopened(files) == tree
    else:
        with pytest.raises(CorruptionError):
            reopened(files)


@pytest.mark.parametrize("change", [{"partitions": 0}, {"partitions": 257}, {"levels": 1}, {"levels": 17},
                                    {"database_id": 5}, {"tree": []}, {"colour": 1}])
def test_snapshots_that_make_no_sense(change: dict[str, Any]) -> None:
    files, path, data, _, ends = written()
    content = json.loads(data[module.HEADER_BYTES + module.RECORD_HEADER_BYTES:ends[0]])
    content["snapshot"] |= change
    rewrite(files, path, data[:module.HEADER_BYTES] + record(json.dumps(content).encode()))
    with pytest.raises(CorruptionError):
        reopened(files)


def test_records_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    files, path, data, trees, ends = written()
    largest = max(len(encoded) for encoded in (data[ends[i]:ends[i + 1]] for i in range(len(ends) - 1)))
    monkeypatch.setattr(limits, "MAX_MANIFEST_RECORD_BYTES", largest - module.RECORD_HEADER_BYTES)
    assert reopened(files) == trees[-1]
    manifest, _ = Manifest.open(files, FOLDER, OPTIONS)
    monkeypatch.setattr(limits, "MAX_MANIFEST_RECORD_BYTES", largest - module.RECORD_HEADER_BYTES - 1)
    with pytest.raises(CorruptionError):
        reopened(files)
    with pytest.raises(LimitExceeded):
        manifest.append(Edit(added=tuple(table(number) for number in range(60, 70))))
    assert manifest.append(Edit(last_ts=1)) == trees[-1]


@pytest.mark.parametrize(("name", "text", "error"), [
    ("FORMAT", b"2\nPhantomDB", NewerFormat), ("FORMAT", b"999999999", NewerFormat),
    ("FORMAT", b"0\n", CorruptionError), ("FORMAT", b"", CorruptionError),
    ("FORMAT", b"one\n", CorruptionError), ("FORMAT", b"-1\n", CorruptionError),
    ("CURRENT", b"", CorruptionError), ("CURRENT", b"MANIFEST-000001", CorruptionError),
    ("CURRENT", b"../MANIFEST-000001\n", CorruptionError), ("CURRENT", b"MANIFEST-000009\n", CorruptionError),
])
def test_unreadable_marker_files(name: str, text: bytes, error: type[PhantomError]) -> None:
    _, files = new_disk()
    create(files).close()
    rewrite(files, f"{FOLDER}/{name}", text)
    with pytest.raises(error) as caught:
        reopened(files)
    assert caught.value.path is not None


def test_a_newer_format_is_named_and_never_overwritten() -> None:
    _, files = new_disk()
    rewrite(files, f"{FOLDER}/FORMAT", b"7\n")
    with pytest.raises(NewerFormat, match=f"format 7, this PhantomDB reads up to {limits.FORMAT_VERSION}"):
        create(files)


def test_a_newer_manifest_is_refused() -> None:
    files, path, data, _, _ = written()
    header = module.MAGIC + struct.pack("<I", limits.FORMAT_VERSION + 1)
    rewrite(files, path, header + struct.pack("<I", crc32c_of(header)) + data[module.HEADER_BYTES:])
    with pytest.raises(NewerFormat):
        reopened(files)


# ------------------------------------------------------------------ JSON

U64 = st.integers(0, limits.MAX_U64)
KEY = st.binary(max_size=20)
OPTIONAL: Callable[[], st.SearchStrategy[int | None]] = lambda: st.none() | U64


@st.composite
def tables(draw: st.DrawFn) -> TableMeta:
    smallest, largest = sorted((draw(KEY), draw(KEY)))
    base_ts, min_ts, max_ts = sorted((draw(U64), draw(U64), draw(U64)))
    numbers: dict[str, Any] = {name: draw(U64) for name in module._NUMBER_FIELDS} | {
        "base_ts": draw(st.sampled_from((0, base_ts))), "min_ts": min_ts, "max_ts": max_ts}
    return TableMeta(**numbers, smallest=smallest, largest=largest,
                     value_files=tuple(draw(st.lists(st.tuples(U64, U64), max_size=3))))


EDIT = st.builds(
    Edit, added=st.lists(tables(), max_size=3).map(tuple), removed=st.lists(U64, max_size=3).map(tuple),
    next_file_number=OPTIONAL(), last_ts=OPTIONAL(), gc_floor_ts=OPTIONAL(), first_log_segment=OPTIONAL(),
    added_value_files=st.lists(st.tuples(U64, U64, U64), max_size=3).map(
        lambda items: tuple(ValueFileMeta(number, max(a, b), min(a, b)) for number, a, b in items)),
    value_garbage=st.lists(st.tuples(U64, U64), max_size=3).map(tuple),
    flushed=st.lists(st.tuples(U64, U64), max_size=3).map(tuple),
    removed_value_files=st.lists(U64, max_size=3).map(tuple))


@settings(max_examples=50)
@given(EDIT)
def test_edits_survive_json(edit: Edit) -> None:
    assert decode_edit(json.loads(json.dumps(encode_edit(edit)))) == edit


def test_every_field_of_an_edit_is_written() -> None:
    full = Edit(added=(table(1),), removed=(2,), next_file_number=9, last_ts=8, gc_floor_ts=1, first_log_segment=4,
                flushed=((0, 5),), added_value_files=(ValueFileMeta(3, 7, 1),), value_garbage=((3, 2),),
                removed_value_files=(6,))
    names = {item.name for item in fields(Edit)}
    assert {name for name in names if getattr(full, name) != getattr(Edit(), name)} == names == set(encode_edit(full))
    assert decode_edit(json.loads(json.dumps(encode_edit(full)))) == full
