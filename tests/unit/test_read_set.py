"""The read set against a plain model: keys once and in order, ranges never smaller than what was read."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial

import mmh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core._ext.read_set import ReadSetProbe
from phantomdb.core.errors import InvalidArgument, LimitExceeded

keys_of_few_letters = st.binary(max_size=3).map(lambda key: bytes(byte % 4 for byte in key))


def test_empty() -> None:
    read_set = ReadSetProbe()
    assert read_set.keys_read() == []
    assert read_set.ranges_read() == []


def test_a_key_comes_back_with_hash_and_slot() -> None:
    read_set = ReadSetProbe()
    read_set.add_key(b"some key")
    hash_value = mmh3.hash64(b"some key", 0, signed=False)[0]
    assert read_set.keys_read() == [(b"some key", hash_value, hash_value >> 48)]


@given(st.lists(st.binary(max_size=40), max_size=200))
def test_keys_are_kept_once_in_order_of_first_reading(keys: list[bytes]) -> None:
    read_set = ReadSetProbe()
    for key in keys:
        read_set.add_key(key)
    assert [key for key, _, _ in read_set.keys_read()] == list(dict.fromkeys(keys))


@given(st.lists(st.tuples(st.binary(max_size=2), st.integers(0, 3)), max_size=100))
def test_keys_with_one_hash_are_told_apart(pairs: list[tuple[bytes, int]]) -> None:
    read_set = ReadSetProbe()
    hash_of = dict(pairs)
    for key, _ in pairs:
        read_set.add_key(key, hash_of[key])
    assert [(key, hash_value) for key, hash_value, _ in read_set.keys_read()] == list(hash_of.items())


def test_many_keys() -> None:
    read_set = ReadSetProbe()
    keys = [b"key %d" % i for i in range(20_000)]
    for key in keys + keys[::-1]:
        read_set.add_key(key)
    assert [key for key, _, _ in read_set.keys_read()] == keys
    assert read_set.arena_bytes() == sum(map(len, keys))


def test_limit_of_keys() -> None:
    read_set = ReadSetProbe(limit_keys=3)
    for key in (b"a", b"b", b"c", b"a"):
        read_set.add_key(key)
    with pytest.raises(LimitExceeded, match="limit of 3 keys"):
        read_set.add_key(b"d")
    read_set.add_key(b"c")                  # known: still fine
    assert [key for key, _, _ in read_set.keys_read()] == [b"a", b"b", b"c"]


def test_limit_of_bytes_counts_keys_and_ranges() -> None:
    read_set = ReadSetProbe(limit_bytes=1000)
    with pytest.raises(LimitExceeded, match="read_set_bytes"):
        read_set.add_key(b"k" * 1000)
    read_set.add_key(b"k" * 500)
    with pytest.raises(LimitExceeded, match="1000 bytes"):
        read_set.begin_range(b"s" * 450, b"t")
    assert read_set.ranges_read() == []
    index = read_set.begin_range(b"s", b"t")
    with pytest.raises(LimitExceeded):
        read_set.extend_range(index, b"u" * 500)
    assert read_set.ranges_read() == [(b"s", b"t")]
    assert [key for key, _, _ in read_set.keys_read()] == [b"k" * 500]


def test_many_small_things_reach_the_limit() -> None:
    read_set, count = ReadSetProbe(limit_bytes=10_000), 0
    while count < 1000 and not refused(partial(read_set.add_key, b"%03d" % count)):
        count += 1
    assert 100 < count < 400
    assert len(read_set.keys_read()) == count
    read_set, count = ReadSetProbe(limit_bytes=10_000), 0
    while count < 1000 and not refused(partial(read_set.begin_range, b"%03d" % count, b"%03d+" % count)):
        count += 1
    assert 50 < count < 300
    assert len(read_set.ranges_read()) == count


def refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except LimitExceeded:
        return True
    return False


def test_a_scan_forward() -> None:
    read_set = ReadSetProbe()
    index = read_set.begin_range(b"b", b"b")
    assert read_set.ranges_read() == [(b"b", b"b")]
    for row in (b"c", b"d", b"much longer than before" * 5, b"z"):
        read_set.extend_range(index, row + b"\0")
        assert read_set.ranges_read() == [(b"b", row + b"\0")]
    read_set.extend_range(index, b"c")      # never back
    assert read_set.ranges_read() == [(b"b", b"z\0")]
    read_set.extend_range(index)
    size = read_set.arena_bytes()
    read_set.extend_range(index, b"zz" * 1000)
    assert read_set.ranges_read() == [(b"b", None)]
    assert read_set.arena_bytes() == size


def test_a_scan_backwards() -> None:
    read_set = ReadSetProbe()
    index = read_set.begin_range(b"y", None)
    for row in (b"x", b"m" * 50, b""):
        read_set.lower_range(index, row)
        assert read_set.ranges_read() == [(row, None)]
    read_set.lower_range(index, b"q")
    assert read_set.ranges_read() == [(b"", None)]


def test_an_empty_range_from_the_lowest_key_is_not_open() -> None:
    read_set = ReadSetProbe()
    index = read_set.begin_range(b"", b"")
    assert read_set.ranges_read() == [(b"", b"")]
    read_set.extend_range(index, b"a")
    assert read_set.ranges_read() == [(b"", b"a")]


def test_pages_and_repeated_scans_stay_one_range() -> None:
    read_set = ReadSetProbe()
    for page in range(100):
        index = read_set.begin_range(b"%03d" % page, b"%03d" % page)
        read_set.extend_range(index, b"%03d" % (page + 1))
    assert read_set.ranges_read() == [(b"000", b"100")]
    for _ in range(100):
        assert read_set.begin_range(b"017", b"018") == 0
    assert read_set.begin_range(b"100\0", b"101") == 1          # a gap of one key
    assert read_set.ranges_read() == [(b"000", b"100"), (b"100\0", b"101")]
    assert read_set.begin_range(b"000", b"001") == 2            # only the last range is looked at


def test_upside_down_is_empty() -> None:
    read_set = ReadSetProbe()
    read_set.begin_range(b"m", b"c")
    assert read_set.ranges_read() == [(b"m", b"m")]


def test_ranges_that_do_not_exist() -> None:
    read_set = ReadSetProbe()
    read_set.begin_range(b"a", b"b")
    with pytest.raises(InvalidArgument):
        read_set.extend_range(1, b"c")
    with pytest.raises(InvalidArgument):
        read_set.lower_range(1, b"0")


def test_a_long_scan_does_not_grow_without_end() -> None:
    read_set = ReadSetProbe(limit_bytes=4096)
    index = read_set.begin_range(b"", b"")
    for i in range(100_000):
        read_set.extend_range(index, b"row %08d" % i + b"x" * (i % 300))
    assert read_set.arena_bytes() < 2048


def covered(ranges: list[tuple[bytes, bytes | None]]) -> set[bytes]:
    universe = [bytes(key) for size in range(4) for key in _words(size)]
    return {key for key in universe for start, stop in ranges if start <= key and (stop is None or key < stop)}


def _words(size: int) -> list[list[int]]:
    return [[]] if size == 0 else [[letter, *rest] for letter in range(4) for rest in _words(size - 1)]


@settings(deadline=None)
@given(st.lists(st.tuples(keys_of_few_letters, st.none() | keys_of_few_letters,
                          st.lists(st.tuples(st.booleans(), st.none() | keys_of_few_letters), max_size=4)), max_size=8))
def test_ranges_cover_what_was_read_and_nothing_else(
        scans: list[tuple[bytes, bytes | None, list[tuple[bool, bytes | None]]]]) -> None:
    read_set = ReadSetProbe()
    expected: set[bytes] = set()
    for start, stop, moves in scans:
        if stop is not None:
            stop = max(start, stop)
        index = read_set.begin_range(start, stop)
        for down, bound in moves:
            if not down:
                read_set.extend_range(index, bound)
                if stop is not None:
                    stop = None if bound is None else max(stop, bound)
            elif bound is not None:
                read_set.lower_range(index, bound)
                start = min(start, bound)
        expected |= covered([(start, stop)])
    assert covered(read_set.ranges_read()) == expected
    assert len(read_set.ranges_read()) <= len(scans)
