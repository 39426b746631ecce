"""Sorted tables against sorted lists of versions: writing, point reads, cursors, damage, tiny caches."""
from __future__ import annotations

import bisect
import random
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core import errors
from phantomdb.core._ext import frames, hashing
from phantomdb.core._ext.files import PosixFileSystem
from phantomdb.core._ext.table import TableCacheHandle, TableHandle
from phantomdb.core._ext.table_cursor import TableScan
from phantomdb.core._ext.table_file import TableFile
from phantomdb.core._ext.table_writer import write_table

PUT, DELETE, POINTER = 0, 1, 2
NEWEST = 2**64 - 1
Entry = tuple[bytes, int, int, bytes]

files = PosixFileSystem()

_heads = st.sampled_from([b"", b"user/", b"user/profile/00000000", b"\xff" * 40])
_keys = st.one_of(st.builds(lambda head, tail: head + tail, _heads, st.binary(max_size=3)),
                  st.builds(lambda size, tail: b"L" * size + tail, st.sampled_from([1023, 1024, 8192, 8193, 65534]),
                            st.binary(max_size=3)))
_values = st.one_of(st.binary(max_size=30), st.sampled_from([100, 4000, 70_000]).map(lambda size: b"v" * size))
_versions = st.tuples(_keys, st.integers(0, 12), st.integers(0, 1), _values)


def in_order(entries: list[Entry]) -> list[Entry]:
    unique = {(key, ts): (key, ts, kind, value) for key, ts, kind, value in entries}
    return sorted(unique.values(), key=lambda entry: (entry[0], -entry[1]))


def expected_get(entries: list[Entry], key: bytes, snapshot: int) -> tuple[int, int, bytes] | None:
    for at in range(bisect.bisect_left(entries, key, key=lambda entry: entry[0]), len(entries)):
        found, ts, kind, value = entries[at]
        if found != key:
            break
        if ts <= snapshot:
            return ts, kind, value
    return None


def make(path: Path, entries: list[Entry], cache_bytes: int = 1 << 24, open_tables: int = 8,
         **options: Any) -> tuple[TableCacheHandle, TableHandle]:
    summary = write_table(files, str(path), entries, **options)
    tables = TableCacheHandle.create(files, cache_bytes, open_tables)
    return tables, TableHandle.create(tables, str(path), summary)


def counted(count: int, value_size: int = 100, seed: int = 0) -> list[Entry]:
    source = random.Random(seed)
    keys = sorted({source.randbytes(16) for _ in range(count)})
    return [(key, 5, PUT, source.randbytes(value_size)) for key in keys]


# ---- round trips

@given(st.lists(_versions, max_size=80), st.lists(_keys, max_size=8), st.sampled_from([512, 4096, 32768]),
       st.booleans(), st.sampled_from([0, 20_000, 1 << 24]))
@settings(max_examples=120, deadline=None)
def test_a_table_answers_as_a_sorted_list(versions: list[Entry], absent: list[bytes], block_bytes: int,
                                          compress: bool, cache_bytes: int) -> None:
    entries = in_order(versions)
    with tempfile.TemporaryDirectory() as folder:
        tables, table = make(Path(folder) / "t", entries, cache_bytes, block_bytes=block_bytes, compress=compress)
        for key in {key for key, *_ in entries} | set(absent):
            for snapshot in (0, 3, 6, 12, NEWEST):
                assert table.get(key, snapshot) == expected_get(entries, key, snapshot)
        assert list(table.scan()) == entries
        assert list(table.scan(reverse=True)) == entries[::-1]
        for key in [*absent, *(entry[0] for entry in entries[:10])]:
            at = bisect.bisect_left(entries, key, key=lambda entry: entry[0])
            assert list(table.scan(key)) == entries[at:]
            assert list(table.scan(key, reverse=True)) == entries[:at][::-1]
        whole = TableFile(files, str(Path(folder) / "t"))
        whole.verify()
        assert list(whole) == entries
        assert sum(each["entry_count"] for each in whole.blocks()) == len(entries)


@given(st.lists(_versions, min_size=1, max_size=60), st.integers(0, 2**32), st.sampled_from([0, 1000, 100_000]))
@settings(max_examples=80, deadline=None)
def test_a_cursor_over_tables_walks_like_an_index(versions: list[Entry], seed: int, readahead_bytes: int) -> None:
    entries = in_order(versions)
    source = random.Random(seed)
    keys = sorted({entry[0] for entry in entries})
    cuts = sorted(source.sample(keys, min(len(keys), source.randint(0, 3))))
    with tempfile.TemporaryDirectory() as folder:
        tables = TableCacheHandle.create(files, source.choice([0, 10_000, 1 << 24]), 2)
        handles = []
        for i, (start, stop) in enumerate(zip([None, *cuts], [*cuts, None], strict=True)):
            part = [e for e in entries if (start is None or e[0] >= start) and (stop is None or e[0] < stop)]
            path = str(Path(folder) / str(i))
            if part or i == 0:
                handles.append(TableHandle.create(tables, path, write_table(files, path, part, block_bytes=512)))
        scan = TableScan(handles, source.choice([0, 2, 1000]), readahead_bytes)
        at = -1
        for _ in range(150):
            move = source.choice(["first", "last", "seek", "seek_before"] + ["next", "previous"] * 6)
            if move in ("next", "previous") and not 0 <= at < len(entries):
                move = "seek"
            key = source.choice(keys) + source.choice([b"", b"", b"\0", b"\xff"])
            below = bisect.bisect_left(entries, key, key=lambda entry: entry[0])
            at = {"first": 0, "last": len(entries) - 1, "seek": below, "seek_before": below - 1, "next": at + 1,
                  "previous": at - 1}[move]
            found = getattr(scan, move)(key) if move.startswith("seek") else getattr(scan, move)()
            assert found == (entries[at] if 0 <= at < len(entries) else None), move


def test_an_empty_table_and_one_of_tombstones_only(tmp_path: Path) -> None:
    tables, empty = make(tmp_path / "empty", [])
    assert empty.get(b"") is None and list(empty.scan()) == [] and list(empty.scan(b"a", reverse=True)) == []
    TableFile(files, str(tmp_path / "empty")).verify()
    tombstones = [(b"b", b"k", 9), (b"", b"c", 4)]
    tables, only = make(tmp_path / "only", [], tombstones=tombstones)
    assert only.tombstones == tombstones and list(only.scan()) == []
    assert (only.properties["smallest"], only.properties["largest"]) == (b"", b"k")
    assert (only.properties["min_ts"], only.properties["max_ts"]) == (4, 9)
    full = counted(10)
    path = str(tmp_path / "full")
    last = TableHandle.create(tables, path, write_table(files, path, full))
    assert list(TableScan([only, last, only]).run()) == full
    assert list(TableScan([only, last, only]).run(reverse=True)) == full[::-1]


def test_versions_of_one_key_over_many_blocks(tmp_path: Path) -> None:
    entries: list[Entry] = [(b"a", 1, PUT, b"first")]
    entries += [(b"hot", ts, PUT, b"%d" % ts * 30) for ts in range(3000, 1000, -1)]
    entries += [(b"hot\0", 1, PUT, b"last")]
    tables, table = make(tmp_path / "t", entries, block_bytes=1024)
    assert len(TableFile(files, str(tmp_path / "t")).blocks()) > 50
    for snapshot in [*range(1000, 3002, 37), 1001, 3000, NEWEST]:
        assert table.get(b"hot", snapshot) == expected_get(entries, b"hot", snapshot)
    assert table.get(b"hot", 1000) is None
    assert table.get(b"hot\0", 0) is None and table.get(b"hot\0") == (1, PUT, b"last")
    assert list(table.scan(b"hot", reverse=True)) == entries[:1]
    assert next(iter(table.scan(b"hot\0"))) == entries[-1]


def test_keys_with_long_common_parts_are_found_through_cut_index_keys(tmp_path: Path) -> None:
    """Separators longer than the index holds: every search starts too early and walks on."""
    entries: list[Entry] = []
    for head in range(40):
        middle = bytes([head]) * 5000
        entries += [(middle + b"%04d" % i, 1, PUT, b"x" * 3000) for i in range(12)]
    tables, table = make(tmp_path / "t", entries)
    TableFile(files, str(tmp_path / "t")).verify()
    for at, (key, *_) in enumerate(entries):
        assert table.get(key) is not None
        if at % 7 == 0:
            assert next(iter(table.scan(key))) == entries[at]
            assert next(iter(table.scan(key, reverse=True)), None) == (entries[at - 1] if at else None)


def test_a_top_index_too_large_for_a_block_is_cut(tmp_path: Path) -> None:
    source = random.Random(3)
    heads = sorted(source.randbytes(1100) for _ in range(500))
    entries = [(head[:1100 - 80 * tail] + b"\xff%d" % tail, 1, PUT, b"v" * 3000) for head in heads for tail in range(6)]
    entries.sort()
    tables, table = make(tmp_path / "t", entries, compress=False)
    footer = (tmp_path / "t").read_bytes()[-96:]
    assert 0 < struct.unpack_from("<H", footer, 72)[0] < 1024
    TableFile(files, str(tmp_path / "t")).verify()
    for at in range(0, len(entries), 11):
        assert next(iter(table.scan(entries[at][0]))) == entries[at]


# ---- the writer

def test_entries_out_of_order_are_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    for wrong in ([(b"b", 1, PUT, b""), (b"a", 1, PUT, b"")], [(b"a", 1, PUT, b""), (b"a", 1, PUT, b"")],
                  [(b"a", 1, PUT, b""), (b"a", 2, PUT, b"")]):
        with pytest.raises(errors.PhantomError):
            write_table(files, path, wrong)
    with pytest.raises(errors.PhantomError):
        write_table(files, path, [], [(b"b", b"b", 1)])
    with pytest.raises(errors.PhantomError):
        write_table(files, path, [(b"a", 1, POINTER, b"short")])


def test_the_summary_counts_what_was_written(tmp_path: Path) -> None:
    def pointer(number: int, key: bytes, size: int) -> bytes:
        return struct.pack("<QQQII", number, 4096, size, len(key), 77)

    entries = [(b"a", 9, DELETE, b""), (b"a", 4, PUT, b"12345"), (b"bb", 6, POINTER, pointer(7, b"bb", 5000)),
               (b"bb", 5, POINTER, pointer(3, b"bb", 6000)), (b"c", 5, POINTER, pointer(7, b"c", 7000))]
    summary = write_table(files, str(tmp_path / "t"), entries, [(b"b", b"q", 11)])
    assert summary == {
        "file_size": (tmp_path / "t").stat().st_size, "entry_count": 5, "key_count": 3, "delete_count": 1,
        "tombstone_count": 1, "raw_bytes": 1 + 6 + 34 + 34 + 33, "min_ts": 4, "max_ts": 11, "smallest": b"a",
        "largest": b"q", "value_log_bytes": 5018 + 6018 + 7017, "value_files": {7: 5018 + 7017, 3: 6018},
    }
    table = TableFile(files, str(tmp_path / "t"))
    assert table.properties == summary
    table.verify()


def test_compression_is_kept_only_where_it_saves(tmp_path: Path) -> None:
    random_bytes, zeros = counted(500), [(b"%05d" % i, 1, PUT, bytes(100)) for i in range(500)]
    sizes = {}
    for name, entries in (("random", random_bytes), ("zeros", zeros)):
        for compress in (False, True):
            sizes[name, compress] = write_table(files, str(tmp_path / "t"), entries, compress=compress)["file_size"]
            assert list(TableFile(files, str(tmp_path / "t"))) == entries
    assert sizes["zeros", True] < sizes["zeros", False] / 4
    assert sizes["random", True] > sizes["random", False] * 0.95


# ---- fingerprints

def test_absent_keys_cost_almost_no_reads(tmp_path: Path) -> None:
    tables, table = make(tmp_path / "t", counted(50_000), cache_bytes=0)
    source = random.Random(99)
    for _ in range(10_000):
        assert table.get(source.randbytes(16)) is None
    statistics = tables.statistics()
    assert 0 < statistics["block_reads"] < 200
    assert statistics["fingerprint_misses"] == statistics["block_reads"]


def test_present_keys_cost_one_read(tmp_path: Path) -> None:
    entries = counted(20_000)
    tables, table = make(tmp_path / "t", entries, cache_bytes=0)
    for key, *_ in entries[::10]:
        assert table.get(key) is not None
    assert tables.statistics()["block_reads"] < 2000 * 1.02


def test_keys_of_one_partition_spread_over_the_buckets(tmp_path: Path) -> None:
    """A partition's keys agree in the top bits of their hash; the buckets must not depend on those."""
    source = random.Random(5)
    keys: set[bytes] = set()
    while len(keys) < 2000:
        key = source.randbytes(16)
        if hashing.hash_of(key) >> 60 == 3:
            keys.add(key)
    tables, table = make(tmp_path / "t", [(key, 1, PUT, b"v") for key in sorted(keys)])
    data = (tmp_path / "t").read_bytes()
    footer = struct.unpack("<7Q4IHBBIII8s", data[-96:])
    buckets, start = footer[9], footer[1]
    used = [sum(word != 0 for word in struct.unpack_from("<16I", data, start + bucket * 64))
            for bucket in range(buckets)]
    assert sum(used) == 2000 and min(used) >= 2
    assert all(table.get(key) is not None for key in keys)


# ---- caches

def test_lookups_without_reading(tmp_path: Path) -> None:
    entries = counted(100)
    tables, table = make(tmp_path / "t", entries)
    with pytest.raises(BlockingIOError):
        table.get(entries[0][0], cached_only=True)
    assert table.get(entries[0][0]) is not None
    assert table.get(entries[0][0], cached_only=True) == (5, PUT, entries[0][3])
    with pytest.raises(BlockingIOError):
        table.get(entries[-1][0], cached_only=True)
    assert table.get(b"before everything", 4, cached_only=True) is None


def test_a_scan_adds_no_more_blocks_than_it_may(tmp_path: Path) -> None:
    entries = counted(5000)
    tables, table = make(tmp_path / "t", entries)
    assert list(TableScan([table], 3).run()) == entries
    before = tables.statistics()["block_reads"]
    assert list(TableScan([table], 0).run()) == entries
    assert tables.statistics()["block_reads"] - before == len(TableFile(files, str(tmp_path / "t")).blocks()) - 3


def test_open_tables_stay_within_their_limit(tmp_path: Path) -> None:
    tables = TableCacheHandle.create(files, 1 << 24, 3)
    handles, contents = [], []
    for i in range(10):
        entries = [(b"%d-%04d" % (i, j), 1, PUT, b"v" * 50) for j in range(300)]
        path = str(tmp_path / str(i))
        handles.append(TableHandle.create(tables, path, write_table(files, path, entries)))
        contents.append(entries)
    scan = TableScan(handles)
    source = random.Random(1)
    walked = [scan.first()]
    for _ in range(2000):
        i = source.randrange(10)
        key, ts, kind, value = source.choice(contents[i])
        assert handles[i].get(key) == (ts, kind, value)
        walked.append(scan.next())
        assert tables.statistics()["open_tables"] <= 3
    assert walked == [entry for entries in contents for entry in entries][:2001]
    del scan
    used = tables.statistics()["cache_used_bytes"]
    del handles
    tables.synchronize()
    statistics = tables.statistics()
    assert statistics["open_tables"] == 0 and statistics["cache_used_bytes"] == 0 < used


@pytest.fixture
def poisoned_frames() -> Iterator[None]:
    """Whoever reads a frame after it was freed reads rubbish."""
    frames.poison_freed_frames(True)
    yield
    frames.poison_freed_frames(False)


@pytest.mark.usefixtures("poisoned_frames")
def test_threads_share_tables_under_eviction(tmp_path: Path) -> None:
    tables = TableCacheHandle.create(files, 60_000, 2)
    handles, contents = [], []
    for i in range(5):
        entries = [(b"%d-%04d" % (i, j), 1, PUT, b"%d" % j * 20) for j in range(500)]
        path = str(tmp_path / str(i))
        handles.append(TableHandle.create(tables, path, write_table(files, path, entries)))
        contents.append(entries)
    everything = [entry for entries in contents for entry in entries]
    problems: list[object] = []

    def read(seed: int) -> None:
        source = random.Random(seed)
        for _ in range(1500):
            i = source.randrange(5)
            key, ts, kind, value = source.choice(contents[i])
            if handles[i].get(key) != (ts, kind, value):
                problems.append(key)

    def walk(seed: int) -> None:
        for _ in range(4):
            if list(TableScan(handles, seed, 4096 * seed).run()) != everything:
                problems.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3) for work in (read, walk)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_table_out_of_use_removes_its_file(tmp_path: Path) -> None:
    tables, table = make(tmp_path / "t", counted(100))
    scan = TableScan([table])
    first = scan.first()
    table.delete_when_unused()
    del table
    tables.synchronize()
    assert first is not None and scan.next() is not None and (tmp_path / "t").exists()
    del scan
    tables.synchronize()
    assert not (tmp_path / "t").exists()


# ---- damage

def small_table() -> tuple[list[Entry], list[tuple[bytes, bytes, int]]]:
    entries = in_order([(b"key%02d" % (i % 30), i, PUT, b"value %d" % i) for i in range(45)])
    return entries, [(b"key05", b"key07", 50)]


def verify_all(path: Path) -> tuple[list[Entry], list[tuple[bytes, bytes, int]]]:
    table = TableFile(files, str(path))
    table.verify()
    return list(table), table.tombstones


def test_every_damaged_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t"
    entries, tombstones = small_table()
    write_table(files, str(path), entries, tombstones, block_bytes=256)
    good = path.read_bytes()
    assert verify_all(path) == (entries, tombstones)
    for at in range(len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        with pytest.raises(errors.CorruptionError) as caught:
            verify_all(path)
        assert caught.value.path == str(path)


def test_every_length_of_a_cut_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write_table(files, str(path), *small_table())
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        with pytest.raises(errors.CorruptionError):
            verify_all(path)


def test_point_reads_and_scans_report_damage_and_go_on(tmp_path: Path) -> None:
    entries = counted(1000)
    path = tmp_path / "t"
    summary = write_table(files, str(path), entries, compress=False)
    blocks = TableFile(files, str(path)).blocks()
    damaged = bytearray(path.read_bytes())
    damaged[blocks[3]["offset"] + 500] ^= 1
    path.write_bytes(damaged)
    tables = TableCacheHandle.create(files)
    table = TableHandle.create(tables, str(path), summary)
    start = sum(each["entry_count"] for each in blocks[:3])
    stop = start + blocks[3]["entry_count"]
    for at, (key, ts, kind, value) in enumerate(entries):
        if start <= at < stop:
            with pytest.raises(errors.CorruptionError) as caught:
                table.get(key)
            assert caught.value.path == str(path) and caught.value.offset == blocks[3]["offset"]
        else:
            assert table.get(key) == (ts, kind, value)
    with pytest.raises(errors.CorruptionError):
        list(table.scan())
    whole = TableFile(files, str(path))
    salvaged = [entry for number in range(whole.block_count) if number != 3 for entry in whole.read_block(number)]
    assert salvaged == entries[:start] + entries[stop:]


def test_a_newer_format_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write_table(files, str(path), *small_table())
    data = bytearray(path.read_bytes())
    footer = bytearray(data[-96:])
    struct.pack_into("<I", footer, 80, 2)
    struct.pack_into("<I", footer, 84, hashing.crc32c_of(footer[:84]))
    path.write_bytes(data[:-96] + footer)
    with pytest.raises(errors.PhantomError) as caught:
        TableFile(files, str(path))
    assert not isinstance(caught.value, errors.CorruptionError)


def test_another_table_under_the_name_is_noticed(tmp_path: Path) -> None:
    tables, table = make(tmp_path / "t", counted(100))
    write_table(files, str(tmp_path / "t"), counted(101, seed=4))
    with pytest.raises(errors.CorruptionError):
        table.get(b"any")


# ---- parts that do not fit each other, behind correct checksums

def resealed(data: bytes, start: int, stop: int, change: dict[int, bytes]) -> bytes:
    """`data` with bytes of the plain stored piece [start, stop) replaced and its checksum made right."""
    piece = bytearray(data[start:stop])
    for at, replacement in change.items():
        piece[at:at + len(replacement)] = replacement
    piece[-4:] = struct.pack("<I", hashing.crc32c_of(piece[:-4]))
    return data[:start] + bytes(piece) + data[stop:]


def contradictions(data: bytes, blocks: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    footer = struct.unpack("<7Q4IHBBIII8s", data[-96:])
    top, fingerprints, tombstones = footer[0], footer[1], footer[2]
    first, second = blocks[0], blocks[1]
    slot = next(at for at in range(0, tombstones - fingerprints - 9, 4) if any(data[fingerprints + at:][:4]))
    yield "a slot that leads nowhere", resealed(data, fingerprints, tombstones, {slot: b"\0\0\0\0"})
    free = next(at for at in range(0, tombstones - fingerprints - 9, 4) if not any(data[fingerprints + at:][:4]))
    yield "a slot of no key", resealed(data, fingerprints, tombstones, {free: b"\1\1\1\1"})
    index = blocks[-1]["offset"] + blocks[-1]["stored_bytes"]
    value = data.rindex(struct.pack("<I", len(blocks) - 1), index, top - 9) - index
    yield "an index entry naming another block", resealed(data, index, top, {value: struct.pack("<I", 0)})
    at = top + data[top:fingerprints].rindex(struct.pack("<I", 0), 0, fingerprints - top - 9) - top
    yield "a partition under a wrong number", resealed(data, top, fingerprints, {at: struct.pack("<I", 1)})
    key = data.index(second["first_key"][-1:], second["offset"] + 32) - second["offset"]
    yield "a first key before the block", resealed(data, second["offset"], second["offset"] + second["stored_bytes"],
                                                   {key: b"\0"})
    yield "an other timestamp base", resealed(data, first["offset"], first["offset"] + first["stored_bytes"],
                                              {16: struct.pack("<Q", 10**6)})


def test_parts_that_contradict_each_other_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write_table(files, str(path), *small_table(), block_bytes=256, compress=False)
    good = path.read_bytes()
    for what, data in contradictions(good, TableFile(files, str(path)).blocks()):
        assert data != good, what
        path.write_bytes(data)
        with pytest.raises(errors.CorruptionError):
            verify_all(path)
            pytest.fail(what)
