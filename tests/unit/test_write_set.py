"""The write set against a plain list of operations: commit order, key order, savepoints, limits."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core._ext.hashing import slot_of
from phantomdb.core._ext.write_set import WriteSetProbe
from phantomdb.core.errors import InvalidArgument, LimitExceeded

PUT, DELETE, POINTER, RANGE_DELETE = range(4)
WALKED = 8              # up to so many operations no index is made for get
OPERATION_BYTES = 64    # charged for each operation besides its encoding


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def encoded(kind: int, key: bytes, value: bytes) -> bytes:
    return (bytes([kind]) + slot_of(key).to_bytes(2, "little") + varint(len(key)) + key + varint(len(value)) + value)


class Model:
    """The same in plain Python: a list of (kind, key, value)."""

    def __init__(self) -> None:
        self.operations: list[tuple[int, bytes, bytes]] = []

    def get(self, key: bytes) -> tuple[int, int, bytes] | None:
        found = None
        for sequence, (kind, start, value) in enumerate(self.operations, 1):
            if kind == RANGE_DELETE:
                if start <= key < value:
                    found = (DELETE, sequence, b"")
            elif start == key:
                found = (kind, sequence, value)
        return found

    def scan(self) -> list[tuple[bytes, int, int, bytes]]:
        rows = [(key, sequence, kind, value) for sequence, (kind, key, value) in enumerate(self.operations, 1)
                if kind != RANGE_DELETE]
        return sorted(rows, key=lambda row: (row[0], -row[1]))

    def tombstones(self) -> list[tuple[bytes, bytes, int]]:
        return [(start, stop, sequence) for sequence, (kind, start, stop) in enumerate(self.operations, 1)
                if kind == RANGE_DELETE]

    def payload(self) -> bytes:
        return b"".join(encoded(*operation) for operation in self.operations)


def apply(write_set: WriteSetProbe, kind: int, key: bytes, value: bytes) -> None:
    if kind == RANGE_DELETE:
        write_set.delete_range(key, value)
    elif kind == DELETE:
        write_set.delete(key)
    else:
        write_set.put(key, value, kind == POINTER)


def test_empty() -> None:
    write_set = WriteSetProbe()
    assert len(write_set) == 0
    assert write_set.payload() == b""
    assert write_set.get(b"k") is None
    assert list(write_set.scan()) == []
    assert write_set.tombstones() == []
    write_set.rollback(write_set.mark())


def test_payload_is_what_the_log_takes() -> None:
    write_set = WriteSetProbe()
    write_set.put(b"k", b"v" * 300)
    write_set.delete(b"k")
    write_set.put(b"p", b"x" * 32, pointer=True)
    write_set.delete_range(b"a", b"c")
    assert write_set.payload() == (encoded(PUT, b"k", b"v" * 300) + encoded(DELETE, b"k", b"")
                                   + encoded(POINTER, b"p", b"x" * 32) + encoded(RANGE_DELETE, b"a", b"c"))
    assert len(write_set) == 4


@pytest.mark.parametrize("others", [0, 50])     # by a walk, by the index
def test_the_latest_write_counts(others: int) -> None:
    write_set = WriteSetProbe()
    for i in range(others):
        write_set.put(b"other %d" % i, b"")
    write_set.put(b"k", b"one")
    assert write_set.get(b"k") == (PUT, others + 1, b"one")
    write_set.put(b"k", b"two")
    assert write_set.get(b"k") == (PUT, others + 2, b"two")
    write_set.delete(b"k")
    assert write_set.get(b"k") == (DELETE, others + 3, b"")
    write_set.put(b"k", b"pointer", pointer=True)
    assert write_set.get(b"k") == (POINTER, others + 4, b"pointer")
    write_set.delete_range(b"j", b"k")          # stop is exclusive
    assert write_set.get(b"k") == (POINTER, others + 4, b"pointer")
    assert write_set.get(b"j") == (DELETE, others + 5, b"")
    write_set.delete_range(b"k", b"l")
    assert write_set.get(b"k") == (DELETE, others + 6, b"")
    write_set.put(b"k", b"again")
    assert write_set.get(b"k") == (PUT, others + 7, b"again")
    assert write_set.get(b"") is None
    assert write_set.get(b"kk") == (DELETE, others + 6, b"")


def test_no_index_before_it_is_needed() -> None:
    write_set = WriteSetProbe()
    for i in range(WALKED):
        write_set.put(b"%d" % i, b"v")
        write_set.get(b"0")
    assert write_set.index_bytes() == 0
    for i in range(1000):
        write_set.put(b"%d" % i, b"v")
    assert write_set.index_bytes() == 0
    assert write_set.get(b"999") == (PUT, WALKED + 1000, b"v")
    assert write_set.index_bytes() >= 65536
    small = WriteSetProbe()
    small.put(b"k", b"v")
    assert list(small.scan()) == [(b"k", 1, PUT, b"v")]
    assert small.index_bytes() == 65536


def test_the_index_grows() -> None:
    write_set, sizes = WriteSetProbe(), set()
    for i in range(3000):
        write_set.put(b"key %05d" % i, b"v" * 200)
        if i % 100 == 0:
            assert write_set.get(b"key %05d" % (i // 2)) == (PUT, i // 2 + 1, b"v" * 200)
            sizes.add(write_set.index_bytes())
    assert {65536, 131072, 262144, 524288} <= sizes
    assert [row[0] for row in write_set.scan()] == [b"key %05d" % i for i in range(3000)]
    write_set.put(b"large", b"L" * 5_000_000)
    assert write_set.get(b"large") == (PUT, 3001, b"L" * 5_000_000)
    assert write_set.get(b"key 00000") == (PUT, 1, b"v" * 200)


def test_an_open_scan_sees_the_writes_that_were_there_when_it_began() -> None:
    write_set = WriteSetProbe()
    for i in range(20):
        write_set.put(b"%02d" % i, b"old")
    expected = list(write_set.scan())
    scan = write_set.scan()
    assert next(scan) == expected[0]
    for i in range(5, 2000):                    # makes newer versions, new keys and larger indexes
        write_set.put(b"%02d" % i, b"new" * 50)
        write_set.get(b"00")
    assert [next(scan) for _ in range(9)] == expected[1:10]
    write_set.rollback(0)
    write_set.put(b"zz", b"")
    del write_set
    assert list(scan) == expected[10:]


def test_a_scan_passes_over_later_writes_in_the_same_index() -> None:
    write_set = WriteSetProbe()
    write_set.put(b"a", b"1")
    scan = write_set.scan()
    write_set.put(b"a", b"2")
    write_set.put(b"b", b"3")
    assert list(write_set.scan()) == [(b"a", 2, PUT, b"2"), (b"a", 1, PUT, b"1"), (b"b", 3, PUT, b"3")]
    assert list(scan) == [(b"a", 1, PUT, b"1")]


def test_savepoints() -> None:
    write_set = WriteSetProbe()
    write_set.put(b"a", b"1")
    first = write_set.mark()
    write_set.put(b"a", b"2")
    second = write_set.mark()
    write_set.delete_range(b"a", b"z")
    write_set.rollback(second)
    assert write_set.get(b"a") == (PUT, 2, b"2")
    write_set.rollback(second)
    assert len(write_set) == 2
    write_set.rollback(first)
    assert write_set.get(b"a") == (PUT, 1, b"1")
    assert write_set.tombstones() == []
    assert write_set.payload() == encoded(PUT, b"a", b"1")
    with pytest.raises(InvalidArgument):
        write_set.rollback(second)              # gone with the rollback to `first`
    with pytest.raises(InvalidArgument):
        write_set.rollback(first - 1)
    write_set.rollback(0)
    assert len(write_set) == 0


def test_a_rollback_keeps_an_index_that_holds_nothing_of_it() -> None:
    write_set = WriteSetProbe()
    for i in range(100):
        write_set.put(b"%02d" % i, b"kept")
    write_set.get(b"00")
    mark = write_set.mark()
    write_set.put(b"00", b"gone")
    write_set.rollback(mark)
    assert write_set.index_bytes() > 0
    write_set.put(b"01", b"after")
    assert write_set.get(b"00") == (PUT, 1, b"kept")
    assert write_set.get(b"01") == (PUT, 101, b"after")
    write_set.rollback(mark)                    # now the index has the write of "01"
    assert write_set.index_bytes() == 0
    assert write_set.get(b"01") == (PUT, 2, b"kept")


def test_the_limit_is_named_and_exact() -> None:
    size = len(encoded(PUT, b"key", b"value")) + OPERATION_BYTES
    write_set = WriteSetProbe(limit_bytes=3 * size)
    for _ in range(3):
        write_set.put(b"key", b"value")
    before = write_set.payload()
    with pytest.raises(LimitExceeded, match=rf"limit of {3 * size} bytes \(write_set_bytes\)"):
        write_set.delete(b"k")
    assert write_set.payload() == before
    assert write_set.get(b"key") == (PUT, 3, b"value")
    write_set.rollback(len(before) // 3)        # a rollback gives room
    write_set.put(b"key", b"VALUE")
    assert len(write_set) == 2
    with pytest.raises(LimitExceeded):
        WriteSetProbe(limit_bytes=0).put(b"", b"")


keys = st.binary(max_size=2).map(lambda key: bytes(byte % 3 for byte in key))
values = st.binary(max_size=6) | st.integers(0, 3000).map(lambda size: b"v" * size)
operations = st.one_of(
    st.tuples(st.sampled_from([PUT, POINTER]), keys, values),
    st.tuples(st.just(DELETE), keys, st.just(b"")),
    st.tuples(st.just(RANGE_DELETE), keys, keys),
)
steps = st.one_of(operations, operations, operations, st.sampled_from(["get", "scan", "mark", "rollback"]))


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=80))
def test_any_history_equals_the_model(history: list[tuple[int, bytes, bytes] | str]) -> None:
    write_set, model = WriteSetProbe(), Model()
    marks: list[tuple[int, int]] = []
    for step in history:
        if isinstance(step, tuple):
            apply(write_set, *step)
            model.operations.append(step)
        elif step == "mark":
            marks.append((write_set.mark(), len(model.operations)))
        elif step == "rollback" and marks:
            mark, count = marks.pop()
            write_set.rollback(mark)
            del model.operations[count:]
        elif step == "scan":
            assert list(write_set.scan()) == model.scan()
        assert len(write_set) == len(model.operations)
        if step == "get":
            for key in {key for _, key, _ in model.operations} | {b"", b"\x01\x01"}:
                assert write_set.get(key) == model.get(key)
    assert write_set.payload() == model.payload()
    assert list(write_set.scan()) == model.scan()
    assert sorted(write_set.tombstones(), key=lambda row: row[2]) == model.tombstones()
