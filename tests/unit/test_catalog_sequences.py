"""Sequences: every value once, whatever threads, rollbacks and crashes do."""
from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import disks
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phantomdb
from phantomdb.core._ext.keyspace import KeySpace
from phantomdb.core.catalog.keys import CATALOG_PREFIX, counter_key
from phantomdb.core.catalog.objects import Sequence
from phantomdb.core.catalog.sequences import BLOCK, ROW_ID_BLOCK, SequenceStore
from phantomdb.core.errors import CorruptionError
from phantomdb.core.filesystems import MemoryFileSystem
from phantomdb.core.query.errors import NumericValueOutOfRange, SequenceLimit, UndefinedTable

Opener = Callable[..., phantomdb.Database]

PLAIN = Sequence(7, 2, "s")


def counters(db: phantomdb.Database) -> SequenceStore:
    return SequenceStore(db.store)


def take(store: SequenceStore, sequence: Sequence, count: int) -> list[int]:
    return [store.next(sequence) for _ in range(count)]


def test_values_follow_each_other(db: phantomdb.Database) -> None:
    store = counters(db)
    assert take(store, PLAIN, 100) == list(range(1, 101))
    assert take(store, Sequence(8, 2, "other", start=5, increment=10), 3) == [5, 15, 25]
    down = Sequence(9, 2, "down", start=-1, increment=-3, minimum=-(1 << 63), maximum=-1)
    assert take(store, down, 50) == list(range(-1, -150, -3))


def test_the_ends(db: phantomdb.Database) -> None:
    store = counters(db)
    small = Sequence(7, 2, "small", start=2, minimum=1, maximum=4)
    assert take(store, small, 3) == [2, 3, 4]
    with pytest.raises(SequenceLimit, match=r'maximum value of sequence "small" \(4\)') as caught:
        store.next(small)
    assert (caught.value.code, caught.value.sqlstate) == ("sequence_limit", "2200H")
    down = Sequence(8, 2, "down", start=-1, increment=-2, minimum=-4, maximum=-1)
    assert take(store, down, 2) == [-1, -3]
    with pytest.raises(SequenceLimit, match=r"minimum value .* \(-4\)"):
        store.next(down)
    cycle = Sequence(9, 2, "cycle", start=2, minimum=1, maximum=4, is_cyclic=True)
    assert take(store, cycle, 8) == [2, 3, 4, 1, 2, 3, 4, 1]
    assert take(store, Sequence(10, 2, "back", 2, -1, 1, 3, True), 5) == [2, 1, 3, 2, 1]
    last = Sequence(11, 2, "last", start=(1 << 63) - 2)
    assert take(store, last, 2) == [(1 << 63) - 2, (1 << 63) - 1]
    with pytest.raises(SequenceLimit):
        store.next(last)


def test_set_and_current(db: phantomdb.Database) -> None:
    store = counters(db)
    assert store.current(PLAIN) == (1, False)
    assert store.next(PLAIN) == 1
    assert store.current(PLAIN) == (1, True)
    store.set(PLAIN, 40)
    assert store.current(PLAIN) == (40, True)
    assert store.next(PLAIN) == 41
    store.set(PLAIN, 40, is_called=False)
    assert store.current(PLAIN) == (40, False)
    assert store.next(PLAIN) == 40
    for wrong in (0, 1 << 63):
        with pytest.raises(NumericValueOutOfRange, match="out of bounds"):
            store.set(PLAIN, wrong)


def test_an_altered_sequence_forgets_its_block(db: phantomdb.Database) -> None:
    store = counters(db)
    assert take(store, PLAIN, 2) == [1, 2]
    altered = Sequence(7, 2, "s", increment=1000)
    assert store.next(altered) == BLOCK + 1000


def test_a_dropped_sequence_does_not_begin_again(db: phantomdb.Database) -> None:
    store = counters(db)
    take(store, PLAIN, 2)
    KeySpace(db.store.engine, CATALOG_PREFIX).delete(counter_key(7))
    take(store, PLAIN, BLOCK - 2)
    with pytest.raises(UndefinedTable, match='"s" does not exist'):
        store.next(PLAIN)


def test_a_damaged_counter(db: phantomdb.Database) -> None:
    for bad in (b"", b"\xc1", b"\x92\xa1a\xc3", b"\x05"):
        KeySpace(db.store.engine, CATALOG_PREFIX).put(counter_key(7), bad)
        with pytest.raises(CorruptionError, match="sequence 7"):
            counters(db).next(PLAIN)


def test_row_ids(db: phantomdb.Database) -> None:
    store = counters(db)
    assert store.next_row_ids(30) == range(1, 2)
    assert store.next_row_ids(30, 10) == range(2, 12)
    assert store.next_row_ids(31, 3 * ROW_ID_BLOCK) == range(1, 3 * ROW_ID_BLOCK + 1)
    assert store.next_row_ids(31) == range(3 * ROW_ID_BLOCK + 1, 3 * ROW_ID_BLOCK + 2)
    # over the end of a block: still one behind the other
    assert store.next_row_ids(30, ROW_ID_BLOCK) == range(12, ROW_ID_BLOCK + 12)


def test_row_ids_where_another_has_gone_on(db: phantomdb.Database) -> None:
    one, other = counters(db), counters(db)
    assert one.next_row_ids(30, 10) == range(1, 11)
    assert other.next_row_ids(30, 10).start == ROW_ID_BLOCK + 1
    run = one.next_row_ids(30, 2 * ROW_ID_BLOCK)
    assert len(run) == 2 * ROW_ID_BLOCK and run.start > 2 * ROW_ID_BLOCK
    assert counters(db).next_row_ids(30).start >= run.stop


def test_not_undone_by_rollback(db: phantomdb.Database) -> None:
    store = counters(db)
    with pytest.raises(KeyError), db.transaction() as txn:
        txn.kv.put(b"a", b"%d" % store.next(PLAIN))
        raise KeyError
    assert store.next(PLAIN) == 2


def test_nothing_is_lost_at_a_clean_end(opened: Opener) -> None:
    with opened() as db:
        store = counters(db)
        assert take(store, PLAIN, 5) == [1, 2, 3, 4, 5]
        assert store.new_id() == 3
        store.give_back()
    with opened() as db:
        assert (counters(db).next(PLAIN), counters(db).new_id()) == (6, 4)


def test_given_back_only_if_nobody_went_on(db: phantomdb.Database) -> None:
    one, other = counters(db), counters(db)
    assert (one.next(PLAIN), other.next(PLAIN)) == (1, BLOCK + 1)
    one.give_back()
    assert counters(db).next(PLAIN) == 2 * BLOCK + 1


@pytest.mark.parametrize("kind", ["values", "rows", "ids"])
def test_threads_get_each_value_once(db: phantomdb.Database, kind: str) -> None:
    """Two stores over one database stand for two processes: their blocks must not meet, either."""
    stores = [counters(db), counters(db)]
    found: list[list[int]] = [[] for _ in range(4)]
    call: dict[str, Callable[[SequenceStore], range]] = {
        "values": lambda store: range(value := store.next(PLAIN), value + 1),
        "rows": lambda store: store.next_row_ids(30, 97),
        "ids": lambda store: range(value := store.new_id(), value + 1)}

    def work(mine: list[int], store: SequenceStore) -> None:
        for _ in range(400):
            mine += call[kind](store)

    threads = [threading.Thread(target=work, args=(mine, stores[number % 2])) for number, mine in enumerate(found)]
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)                                  # threads take turns at nearly every step
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    values = [value for mine in found for value in mine]
    assert len(values) == 4 * 400 * (97 if kind == "rows" else 1) == len(set(values))


def test_one_thread_reserves_at_a_time(db: phantomdb.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    store, together, reserved = counters(db), threading.Barrier(2), []
    original = store._run

    def run(function: Callable[[phantomdb.Transaction], Any]) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.2)                                   # would be passed if the other came, too
        reserved.append(original(function))
        return reserved[-1]

    monkeypatch.setattr(store, "_run", run)
    values: list[int] = []
    threads = [threading.Thread(target=lambda: values.append(store.next(PLAIN))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values) == [1, 2] and reserved == [(1, BLOCK)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["take", "crash", "close", "rows", "id"]), st.integers(1, 80)), max_size=12))
def test_no_value_twice_over_crashes(steps: list[tuple[str, int]]) -> None:
    """A crash is a copy of the disk without what was not synced; the database is opened again on it."""
    disk = MemoryFileSystem()
    db = disks.opened(disk)
    store = counters(db)
    seen: dict[str, set[int]] = {"take": set(), "rows": set(), "id": set()}
    for step, count in steps:
        if step in ("crash", "close"):
            if step == "close":
                store.give_back()
                db.close()
            old, disk = db, disk.crash_image("torn", seed=count) if step == "crash" else disk
            db = disks.opened(disk)
            store = counters(db)
            old.close()
            continue
        values = (take(store, PLAIN, count) if step == "take" else list(store.next_row_ids(30, count))
                  if step == "rows" else [store.new_id() for _ in range(count)])
        assert len(set(values)) == count and not seen[step] & set(values)
        seen[step] |= set(values)
    db.close()
