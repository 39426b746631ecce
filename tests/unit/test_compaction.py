"""Flush and compaction against a plain model: no reader may notice, and nothing stays that no reader needs."""
from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phantomdb.core._ext.compaction import (
    Cancel, CompactionCancelled, CompactionResult, RateLimiter, ValueLogHandle, write_tables)
from phantomdb.core._ext.files import BridgedFileSystem, PosixFileSystem
from phantomdb.core._ext.memtable import MemtableHandle
from phantomdb.core._ext.retention import Retention, joined_tombstones
from phantomdb.core._ext.table import TableCacheHandle, TableHandle
from phantomdb.core._ext.table_writer import write_table
from phantomdb.core._ext.value_probe import ValueLogProbe
from phantomdb.core.errors import InvalidArgument, StorageError
from phantomdb.core.filesystems import FaultyFileSystem
from phantomdb.core.memory_disk import MemoryFileSystem

PUT, DELETE, POINTER = 0, 1, 2
NEVER = 1 << 62
Row = tuple[bytes, int, int, bytes]
Tombstone = tuple[bytes, bytes, int]
KEYS = [bytes([letter]) * size for letter in b"abcdefgh" for size in (1, 2)]
BOUNDS = sorted([*KEYS, *(key + b"\0" for key in KEYS), b"", b"zz"])


def place(row: Row) -> tuple[bytes, int]:
    return row[0], -row[1]


def pointer(file_number: int, value_size: int, key: bytes) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in (file_number, 32, value_size)) \
        + len(key).to_bytes(4, "little") + bytes(4)


@dataclass
class Data:
    """Versions and range tombstones of one source."""

    rows: list[Row] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)


def view(sources: list[Data], ts: int) -> dict[bytes, bytes]:
    """What a reader at `ts` sees."""
    newest: dict[bytes, Row] = {}
    for row in sorted((row for source in sources for row in source.rows), key=place):
        if row[1] <= ts:
            newest.setdefault(row[0], row)
    hiding = [tombstone for source in sources for tombstone in source.tombstones if tombstone[2] <= ts]
    return {key: row[3] for key, row in newest.items() if row[2] != DELETE
            and not any(start <= key < stop and row[1] < at for start, stop, at in hiding)}


def inside(key: bytes, ranges: list[tuple[bytes, bytes]]) -> bool:
    return any(smallest <= key <= largest for smallest, largest in ranges)


def expected_rows(sources: list[Data], tombstones: list[Tombstone], snapshots: list[int], horizon: int,
                  deeper: list[tuple[bytes, bytes]]) -> list[Row]:
    """The rule of retention.pyx, reader by reader."""
    floor = min([horizon, *snapshots])
    end = max((row[1] for source in sources for row in source.rows), default=0)
    end = max([end, horizon, *(ts for _, _, ts in tombstones)]) + 1
    readers = {*snapshots, *range(horizon, end + 1)}
    kept: list[Row] = []
    everything = sorted((row for source in sources for row in source.rows), key=place)
    for key, group in itertools.groupby(everything, key=lambda row: row[0]):
        versions = list(group)
        over = [ts for start, stop, ts in tombstones if start <= key < stop]
        needed = [row for i, row in enumerate(versions) if any(
            row[1] <= ts and (i == 0 or versions[i - 1][1] > ts) and not any(row[1] < at <= ts for at in over)
            for ts in readers)]
        if not inside(key, deeper):
            while needed and needed[-1][2] == DELETE and needed[-1][1] <= horizon:
                needed.pop()
            staying = any(start <= key < stop and (ts > floor or any(
                low < stop and high >= start for low, high in deeper)) for start, stop, ts in tombstones)
            if len(needed) == 1 and needed[0][1] <= floor and not staying:
                needed = [(key, 0, *needed[0][2:])]
        kept += needed
    return kept


class Shop:
    """Makes tables in a folder and reads them back."""

    def __init__(self, folder: Path | str, file_system: Any = None) -> None:
        self.folder = str(folder)
        self.file_system = file_system or PosixFileSystem()
        self.tables = TableCacheHandle.create(self.file_system)
        self.numbers = itertools.count(1)

    def memtable(self, data: Data) -> MemtableHandle:
        memtable = MemtableHandle(1 << 20)
        for key, ts, kind, value in sorted(data.rows, key=lambda row: row[1]):
            memtable.insert(key, ts, kind, value)
        for start, stop, ts in sorted(data.tombstones, key=lambda tombstone: tombstone[2]):
            memtable.add_tombstone(start, stop, ts)
        return memtable

    def run_of_tables(self, data: Data, cuts: list[bytes]) -> list[TableHandle]:
        """The data in tables that end after each key of `cuts`."""
        edges = [None, *(cut + b"\0" for cut in sorted(set(cuts))), None]
        run = []
        for start, stop in itertools.pairwise(edges):
            rows = sorted((row for row in data.rows if (start is None or row[0] >= start)
                           and (stop is None or row[0] < stop)), key=place)
            tombstones = joined_tombstones(data.tombstones, start, stop)
            if rows or tombstones:
                run.append(self.table(rows, tombstones))
        return run

    def table(self, rows: list[Row], tombstones: list[Tombstone]) -> TableHandle:
        path = f"{self.folder}/{next(self.numbers):012d}.input"
        made = write_table(self.file_system, path, rows, sorted(tombstones))
        ends = [stop.removesuffix(b"\0") if stop.endswith(b"\0") else stop for _, stop, _ in tombstones]
        made["largest"] = max([row[0] for row in rows[-1:]] + ends)
        return TableHandle.create(self.tables, path, made)

    def write(self, sources: list[Any], **options: Any) -> CompactionResult:
        defaults: dict[str, Any] = {"target_bytes": 1 << 30, "snapshots": [], "horizon": 0,
                                    "next_number": lambda: next(self.numbers)}
        return write_tables(self.file_system, self.folder, sources, **(defaults | options))

    def read(self, result: CompactionResult) -> list[Data]:
        found = []
        for made in result.tables:
            table = TableHandle.create(self.tables, made["path"], dict(made))
            rows = list(table.scan())
            assert len(rows) == made["entry_count"] and len(table.tombstones) == made["tombstone_count"]
            assert len({row[0] for row in rows}) == made["key_count"]
            found.append(Data(rows, table.tombstones))
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    yield Shop(tmp_path)


@pytest.fixture(scope="module")
def shared_shop() -> Shop:
    disk = MemoryFileSystem()            # thousands of small tables: too many to sync for real
    disk.make_dir("/tables")
    return Shop("/tables", BridgedFileSystem(disk))


def make_history(choose: random.Random, steps: int) -> list[Data]:
    """One history of writes, cut in time: newest source first, the last one is what lies deeper."""
    sources = [Data() for _ in range(choose.randint(2, 5))]
    keys = KEYS[:choose.choice([2, 5, 16])]
    ts = 0
    for step in range(steps):
        data = sources[-1 - step * len(sources) // steps]
        ts += choose.randint(1, 2)
        if choose.random() < 0.15:
            start, stop = sorted(choose.sample(BOUNDS, 2))
            data.tombstones.append((start, stop, ts))
            if choose.random() < 0.3:                # the same range once more
                ts += 1
                data.tombstones.append((start, stop, ts))
        for key in choose.sample(keys, choose.randint(0, 2)):
            kind = choose.choice([PUT, PUT, DELETE, POINTER])
            value = {PUT: b"%s@%d" % (key, ts), DELETE: b"",
                     POINTER: pointer(choose.randint(1, 3), 100 + ts, key)}[kind]
            data.rows.append((key, ts, kind, value))
    return sources


def make_plan(choose: random.Random, steps: int) -> dict[str, Any]:
    """A history, its readers, and in which shape the sources come."""
    history = make_history(choose, steps)
    end = max([1, *(row[1] for data in history for row in data.rows),
               *(ts for data in history for _, _, ts in data.tombstones)])
    if choose.random() < 0.5:
        history[-1] = Data()                         # the sources are the bottom
    return {"history": history, "horizon": choose.randint(0, end + 2),
            "snapshots": sorted(choose.sample(range(1, end + 2), min(end, choose.choice([0, 1, 3])))),
            "as_tables": [choose.random() < 0.5 for _ in history],
            "input_cuts": choose.sample(KEYS, choose.choice([0, 1, 3])),
            "deeper_tables": choose.randint(0, 3),
            "target_bytes": choose.choice([1, 1, 1 << 30]),
            "parts": sorted(choose.sample(BOUNDS[1:], choose.choice([0, 0, 1, 2])))}


# Drawn from a seed: Hypothesis' own draws are mostly tiny, and it takes a dozen writes to make the rules meet.
plans = st.builds(lambda seed, steps: make_plan(random.Random(seed), steps),
                  st.integers(0, 1 << 32), st.integers(10, 60))


def deeper_ranges(data: Data, count: int) -> list[tuple[bytes, bytes]]:
    """Ranges of `count` tables or fewer that together hold the data; with 0 one for each key."""
    keys = sorted({row[0] for row in data.rows})
    size = max(1, -(-len(keys) // count)) if count else 1
    return [(keys[i], keys[min(i + size, len(keys)) - 1]) for i in range(0, len(keys), size)]


@settings(max_examples=300)
@given(plan=plans)
@example(plan={"history": [Data([(b"a", 9, POINTER, pointer(1, 109, b"a"))], [(b"a", b"c", 7)]),
                           Data([(b"b", 5, PUT, b"old")])],
               "horizon": 8, "snapshots": [], "as_tables": [True, True], "input_cuts": [], "deeper_tables": 1,
               "target_bytes": 1, "parts": [b"b"]})
def test_no_reader_notices_and_nothing_else_stays(shared_shop: Shop, plan: dict[str, Any]) -> None:
    shop = shared_shop
    *sources, deep = plan["history"]
    snapshots, horizon = plan["snapshots"], plan["horizon"]
    deep = Data(deep.rows, [])           # its tombstones did their work; those of the sources are over it
    deeper = deeper_ranges(deep, plan["deeper_tables"])
    inputs = [shop.run_of_tables(data, plan["input_cuts"]) if as_tables else shop.memtable(data)
              for data, as_tables in zip(sources, plan["as_tables"], strict=False)]
    edges = [None, *plan["parts"], None]
    results = [shop.write(inputs, snapshots=snapshots, horizon=horizon, deeper=deeper, start=start, stop=stop,
                          target_bytes=plan["target_bytes"]) for start, stop in itertools.pairwise(edges)]
    made = [table for result in results for table in result.tables]
    outputs = [data for result in results for data in shop.read(result)]

    end = max([horizon, *(row[1] for data in sources for row in data.rows),
               *(ts for data in sources for _, _, ts in data.tombstones)]) + 1
    for ts in {*snapshots, *range(horizon, end + 1)}:
        assert view([*outputs, deep], ts) == view([*sources, deep], ts), ts

    tombstones = joined_tombstones(itertools.chain(*(data.tombstones for data in sources)))
    kept = [row for data in outputs for row in data.rows]
    if not plan["parts"] or not tombstones:
        assert kept == expected_rows(sources, tombstones, snapshots, horizon, deeper)
    else:                                # a part may know that its piece of a tombstone goes, and forget more times
        expected = expected_rows(sources, tombstones, snapshots, horizon, deeper)
        assert [(row[0], row[3]) for row in kept] == [(row[0], row[3]) for row in expected]
    assert sum(result.entries_in for result in results) == sum(len(data.rows) for data in sources)
    assert sum(result.entries_out for result in results) == len(kept)

    floor = min([horizon, *snapshots])
    for table, data in zip(made, outputs, strict=True):
        assert data.rows or data.tombstones
        assert all(table["smallest"] <= row[0] <= table["largest"] for row in data.rows)
        for start, stop, ts in data.tombstones:
            assert table["smallest"] <= start and (stop <= table["largest"] or stop == table["largest"] + b"\0")
            assert ts > floor or any(low < stop and high >= start for low, high in deeper)
    for left, right in itertools.pairwise(made):
        assert left["largest"] < right["smallest"]

    dropped: dict[int, int] = {}
    for key, ts, kind, value in itertools.chain(*(data.rows for data in sources)):
        if kind == POINTER and not any(row[0] == key and row[3] == value for row in kept):
            number = value[0]
            dropped[number] = dropped.get(number, 0) + 16 + len(key) + 100 + ts
    garbage: dict[int, int] = {}
    for result in results:
        for number, size in result.garbage.items():
            garbage[number] = garbage.get(number, 0) + size
    assert garbage == dropped
    referenced: dict[int, int] = {}
    for table in made:
        for number, size in table["value_files"].items():
            referenced[number] = referenced.get(number, 0) + size
    total = {number: referenced.get(number, 0) + garbage.get(number, 0) for number in referenced | garbage}
    for number, size in total.items():
        assert size == sum(16 + len(key) + 100 + ts for key, ts, kind, value
                           in itertools.chain(*(data.rows for data in sources))
                           if kind == POINTER and value[0] == number)


def test_flush_of_nothing_makes_no_table(shop: Shop) -> None:
    result = shop.write([shop.memtable(Data())])
    assert result.tables == [] and result.bytes_written == 0 and result.garbage == {}
    assert shop.write([]).tables == [] and shop.write([[]]).tables == []
    dead = Data([(b"a", 1, DELETE, b"")], [(b"a", b"b", 2)])
    assert shop.write([shop.memtable(dead)], horizon=5).tables == []
    assert list(Path(shop.folder).iterdir()) == []


def test_tombstones_alone_make_a_table(shop: Shop) -> None:
    result = shop.write([shop.memtable(Data([], [(b"b", b"m", 4), (b"a", b"c", 6)]))], deeper=[(b"c", b"d")])
    [made] = result.tables
    assert (made["smallest"], made["largest"], made["entry_count"]) == (b"a", b"m", 0)
    assert shop.read(result)[0].tombstones == [(b"a", b"c", 6), (b"b", b"m", 4)]


def test_a_version_keeps_its_time_under_a_tombstone_that_stays(shop: Shop) -> None:
    data = Data([(b"a", 5, PUT, b"x"), (b"c", 5, PUT, b"y")], [(b"a", b"b", 3)])
    result = shop.write([shop.memtable(data)], horizon=9, deeper=[(b"aa", b"aa")])
    assert shop.read(result)[0].rows == [(b"a", 5, PUT, b"x"), (b"c", 0, PUT, b"y")]


def test_of_equal_tombstones_only_those_stay_that_a_reader_tells_apart(shop: Shop) -> None:
    same = [(b"a", b"m", ts) for ts in (2, 4, 6, 8, 10)]
    other = [(b"a", b"n", 1)]
    needed = Retention([5], 8).needed_tombstones(other + same)
    assert needed == [(b"a", b"m", 4), (b"a", b"m", 8), (b"a", b"m", 10), (b"a", b"n", 1)]
    result = shop.write([shop.memtable(Data([], other + same))], snapshots=[5], horizon=8, deeper=[(b"a", b"b")])
    assert shop.read(result)[0].tombstones == needed


def test_tombstones_are_joined_only_where_they_touch_and_have_one_time() -> None:
    pieces = [(b"a", b"c", 1), (b"c", b"e", 1), (b"d", b"f", 1), (b"g", b"h", 1), (b"e", b"g", 2)]
    assert joined_tombstones(pieces) == [(b"a", b"f", 1), (b"g", b"h", 1), (b"e", b"g", 2)]
    assert joined_tombstones(pieces, b"b", b"ee") == [(b"b", b"ee", 1), (b"e", b"ee", 2)]
    assert joined_tombstones(pieces, None, b"") == []


def test_outputs_are_cut_between_keys_at_the_target(shop: Shop) -> None:
    rows = [(b"%06d" % (i // 3), 9000 - i, PUT, (b"%d" % i) * 10) for i in range(6000)]
    result = shop.write([shop.memtable(Data(rows))], target_bytes=32 << 10, compress=False)
    outputs = shop.read(result)
    assert len(outputs) > 5
    assert [row for data in outputs for row in data.rows] == rows
    for made in result.tables[:-1]:
        assert 32 << 10 <= made["file_size"] < 44 << 10
    for left, right in itertools.pairwise(outputs):
        assert left.rows[-1][0] < right.rows[0][0]
    assert [made["number"] for made in result.tables] == list(range(1, len(outputs) + 1))
    assert result.bytes_written == sum(Path(made["path"]).stat().st_size for made in result.tables)


def test_bounds_and_name(shop: Shop) -> None:
    rows = [(b"%03d" % i, 7, PUT, b"") for i in range(100)]
    result = shop.write([shop.memtable(Data(rows))], start=b"020", stop=b"030", name_format="out-%d.x")
    assert shop.read(result)[0].rows == rows[20:30]
    assert Path(result.tables[0]["path"]).name == "out-1.x"


def test_pieces_of_a_tombstone_are_joined_again(shop: Shop) -> None:
    data = Data([(key, 9, PUT, b"") for key in KEYS], [(b"a", b"zz", 5)])
    first = shop.write([shop.memtable(data)], target_bytes=1, snapshots=[2])
    assert len(first.tables) == len(KEYS)
    run = [TableHandle.create(shop.tables, made["path"], dict(made)) for made in first.tables]
    second = shop.write([run], snapshots=[2])
    assert shop.read(second)[0] == data


@pytest.mark.parametrize("operation", ["open", "pwrite", "sync", "sync_dir"])
@pytest.mark.parametrize("after", [0, 2])
def test_failure_leaves_nothing_behind(operation: str, after: int) -> None:
    disk = MemoryFileSystem()
    disk.make_dir("/d")
    faulty = FaultyFileSystem(disk)
    shop = Shop("/d", BridgedFileSystem(faulty))
    faulty.fail(operation, after=0 if operation == "sync_dir" else after)
    rows = [(b"%05d" % i, 1, PUT, b"%d" % i * 20) for i in range(5000)]
    with pytest.raises(StorageError):
        shop.write([shop.memtable(Data(rows))], target_bytes=20_000)
    assert faulty.failures == 1
    assert disk.list_dir("/d") == []


def test_what_was_written_survives_a_power_cut() -> None:
    disk = MemoryFileSystem()
    disk.make_dir("/d")
    disk.sync_dir("/")
    shop = Shop("/d", BridgedFileSystem(disk))
    rows = [(b"%05d" % i, 1, PUT, b"%d" % i) for i in range(3000)]
    result = shop.write([shop.memtable(Data(rows))], target_bytes=20_000, horizon=0)
    after = Shop("/d", BridgedFileSystem(disk.crash_image("lost")))
    assert [row for data in after.read(result) for row in data.rows] == rows


def test_exception_of_next_number_is_passed_on(shop: Shop) -> None:
    numbers = iter([7, 8])
    rows = [(b"%05d" % i, 1, PUT, b"%d" % i * 20) for i in range(5000)]

    def next_number() -> int:
        try:
            return next(numbers)
        except StopIteration:
            raise LookupError("no more numbers") from None

    with pytest.raises(LookupError, match="no more numbers"):
        shop.write([shop.memtable(Data(rows))], target_bytes=20_000, next_number=next_number)
    assert list(Path(shop.folder).iterdir()) == []


def test_wrong_sources(shop: Shop) -> None:
    for sources in ([1], [(1, 2)], [["x"]], [None]):
        with pytest.raises(TypeError):
            shop.write(sources)
    with pytest.raises(InvalidArgument):
        shop.write([], relocate={1})
    with pytest.raises(TypeError):
        ValueLogHandle()


def test_cancel(shop: Shop) -> None:
    cancel = Cancel()
    assert not cancel.is_set()
    rows = [(b"%05d" % i, 1, PUT, b"%d" % i * 20) for i in range(5000)]
    memtable = shop.memtable(Data(rows))
    assert len(shop.write([memtable], cancel=cancel).tables) == 1
    before = set(Path(shop.folder).iterdir())
    cancel.set()
    assert cancel.is_set()
    with pytest.raises(CompactionCancelled):
        shop.write([memtable], cancel=cancel, target_bytes=10_000)
    assert set(Path(shop.folder).iterdir()) == before


def test_cancel_while_the_limiter_sleeps(shop: Shop) -> None:
    cancel = Cancel()
    rows = [(b"%05d" % i, 1, PUT, bytes(100)) for i in range(5000)]
    memtable = shop.memtable(Data(rows))
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    with pytest.raises(CompactionCancelled):         # at this rate it would take minutes
        shop.write([memtable], cancel=cancel, limiter=RateLimiter(1000), target_bytes=64 << 10, compress=False)
    timer.join()
    assert list(Path(shop.folder).iterdir()) == []


def test_rate_limiter(shop: Shop) -> None:
    rows = [(b"%05d" % i, 1, PUT, bytes(200)) for i in range(4000)]
    limiter = RateLimiter(4 << 20)
    assert limiter.bytes_per_second == 4 << 20
    limiter.take(1)
    began = time.monotonic()
    result = shop.write([shop.memtable(Data(rows))], limiter=limiter, compress=False)
    took = time.monotonic() - began
    assert took > (result.bytes_written - (1 << 20)) / (4 << 20)      # 100 ms may be saved up
    began = time.monotonic()
    threads = [threading.Thread(target=limiter.take, args=(1 << 20,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began > 0.35                            # shared: 2 MiB at 4 MiB a second
    began = time.monotonic()
    RateLimiter(0).take(1 << 40)
    assert time.monotonic() - began < 1.0


def test_relocation(shop: Shop) -> None:
    old = ValueLogProbe(shop.file_system, shop.folder, 1 << 20, 1)
    values = {b"key%02d" % i: (b"%02d" % i) * 5000 for i in range(30)}
    pointers = {}
    for i, (key, value) in enumerate(values.items()):
        pointers[key] = old.append(key, value)
        if i % 10 == 9:
            old.roll()                               # ten values in each of the files 1, 2, 3
    old.sync()
    numbers = {pointers[key][0] for key in values}
    assert len(numbers) == 3
    emptied = sorted(numbers)[:2]
    rows = [(key, 5, POINTER, pointers[key]) for key in values]
    memtable = shop.memtable(Data(rows))
    handle = ValueLogHandle.create(shop.file_system, shop.folder, first_number=50)
    result = shop.write([memtable], relocate=frozenset(emptied), values=handle)
    assert result.relocated_bytes == 20 * 10_000
    assert result.garbage == dict.fromkeys(emptied, 10 * (16 + 5 + 10_000))
    [data] = shop.read(result)
    assert [row[0] for row in data.rows] == list(values)
    reader = ValueLogProbe(shop.file_system, shop.folder, 1 << 20, 100)
    for number in emptied:
        reader.remove(number)
    for key, _, kind, moved in data.rows:
        assert kind == POINTER and reader.read(moved) == values[key]
    assert set(result.tables[0]["value_files"]) == {max(numbers), 50}
    assert sum(result.tables[0]["value_files"].values()) == 30 * (16 + 5 + 10_000)


def test_relocated_values_survive_a_power_cut() -> None:
    disk = MemoryFileSystem()
    disk.make_dir("/d")
    disk.sync_dir("/")
    shop = Shop("/d", BridgedFileSystem(disk))
    old = ValueLogProbe(shop.file_system, "/d", 1 << 20, 1)
    memtable = shop.memtable(Data([(b"a", 5, POINTER, old.append(b"a", b"value" * 1000))]))
    handle = ValueLogHandle.create(shop.file_system, "/d", first_number=50)
    result = shop.write([memtable], relocate=[1], values=handle)
    after = Shop("/d", BridgedFileSystem(disk.crash_image("lost")))
    [row] = after.read(result)[0].rows
    assert ValueLogProbe(after.file_system, "/d", 1 << 20, 100).read(row[3]) == b"value" * 1000


def test_relocation_of_a_lost_value_fails(shop: Shop) -> None:
    handle = ValueLogHandle.create(shop.file_system, shop.folder, first_number=50)
    memtable = shop.memtable(Data([(b"a", 1, POINTER, pointer(3, 10, b"a"))]))
    with pytest.raises(StorageError):
        shop.write([memtable], relocate={3}, values=handle)
    assert not list(Path(shop.folder).glob("*.table"))
