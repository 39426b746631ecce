"""The block cache: budget, second chance, and no frame freed under a reader."""
from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomdb.core._ext.cache import CacheProbe
from phantomdb.core._ext.frames import poison_freed_frames

FRAME = 1000
CHARGE = CacheProbe(0, 1).frame_charge(FRAME)


@pytest.fixture(autouse=True)
def poison() -> Iterator[None]:
    poison_freed_frames(True)
    yield
    poison_freed_frames(False)


def block(number: int) -> bytes:
    return bytes([number % 256]) * FRAME


def test_insert_and_get() -> None:
    cache = CacheProbe(10 * CHARGE, 4)
    assert cache.get(1) is None
    assert cache.insert(1, block(1)) == block(1)
    assert cache.get(1) == block(1)
    assert cache.used == CHARGE
    assert cache.frame_count == 1


def test_second_insert_into_a_slot_gets_the_first_frame() -> None:
    cache = CacheProbe(10 * CHARGE, 4)
    cache.insert(1, b"first")
    assert cache.insert(1, b"second") == b"first"
    assert cache.inserts == 1


def test_budget_is_kept_and_the_newest_frame_stays() -> None:
    cache = CacheProbe(3 * CHARGE, 100)
    for number in range(100):
        cache.insert(number, block(number))
        assert cache.used <= 3 * CHARGE
        assert cache.contains(number)
    assert cache.frame_count == 3
    assert cache.evictions == 97


def test_frames_that_are_read_outlive_a_scan() -> None:
    cache = CacheProbe(10 * CHARGE, 1000)
    hot = range(5)
    for number in hot:
        cache.insert(number, block(number))
    for number in range(100, 1000):
        for favourite in hot:
            assert cache.get(favourite) == block(favourite), number
        cache.insert(number, block(number))


def test_unread_frames_go_oldest_first() -> None:
    cache = CacheProbe(3 * CHARGE, 10)
    for number in range(3):
        cache.insert(number, block(number))
    cache.get(0)
    cache.insert(3, block(3))        # spares 0, takes 1
    assert [cache.contains(number) for number in range(4)] == [True, False, True, True]
    cache.insert(4, block(4))
    assert [cache.contains(number) for number in range(5)] == [True, False, False, True, True]


def test_all_read_frames_still_make_room() -> None:
    cache = CacheProbe(3 * CHARGE, 10)
    for number in range(3):
        cache.insert(number, block(number))
        cache.get(number)
    cache.insert(3, block(3))
    assert cache.used == 3 * CHARGE
    assert cache.contains(3)


@pytest.mark.parametrize("budget", [0, CHARGE - 1])
def test_frame_over_the_whole_budget_is_not_kept(budget: int) -> None:
    cache = CacheProbe(budget, 1)
    assert cache.insert(0, block(7)) == block(7)
    assert not cache.contains(0)
    assert cache.used == 0


def test_charge_from_outside_evicts_and_gives_back() -> None:
    cache = CacheProbe(10 * CHARGE, 10)
    for number in range(10):
        cache.insert(number, block(number))
    cache.charge(4 * CHARGE)
    assert cache.frame_count == 6
    assert cache.used == 10 * CHARGE
    cache.charge(-4 * CHARGE)
    assert cache.used == 6 * CHARGE
    cache.charge(100 * CHARGE)       # more than there is: the cache is empty, nothing else happens
    assert cache.frame_count == 0
    cache.insert(0, block(0))
    assert cache.contains(0)


def test_drop_empties_a_range_of_slots() -> None:
    cache = CacheProbe(100 * CHARGE, 10)
    for number in range(10):
        cache.insert(number, block(number))
    cache.drop(2, 5)
    assert [cache.contains(number) for number in range(10)] == [n < 2 or n >= 7 for n in range(10)]
    assert cache.used == 5 * CHARGE
    cache.drop(0, 10)
    assert cache.used == 0
    assert cache.frame_count == 0


@given(st.lists(st.tuples(st.sampled_from(["insert", "get", "drop", "charge"]), st.integers(0, 19)), max_size=150))
def test_against_model(steps: list[tuple[str, int]]) -> None:
    """A slot holds its own bytes or nothing, `used` is the sum of what is there, the budget holds."""
    cache = CacheProbe(6 * CHARGE, 20)
    charged = 0
    for action, number in steps:
        if action == "insert":
            assert cache.insert(number, block(number)) == block(number)
            assert cache.contains(number)
        elif action == "get":
            assert cache.get(number) in (None, block(number))
        elif action == "drop":
            cache.drop(number, 1)
            assert not cache.contains(number)
        else:
            cache.charge(number * 100 - charged)
            charged = number * 100
        present = sum(cache.contains(slot) for slot in range(20))
        assert cache.frame_count == present
        assert cache.used == present * CHARGE + charged
        assert cache.used <= 6 * CHARGE


def test_no_frame_is_freed_under_a_reader() -> None:
    words = 32
    cache = CacheProbe(CacheProbe(0, 1).frame_charge(words * 8) * 20, 64)
    results: list[tuple[int, int, int]] = []

    def work(seed: int) -> None:
        results.append(cache.hammer(seed, 150_000, words))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [damaged for _, _, damaged in results] == [0] * 4
    assert all(hits > 1000 and misses > 1000 for hits, misses, _ in results)
    assert cache.frame_count <= 20
    cache.drop(0, 64)
    assert cache.used == 0
    cache.synchronize()


POOLED = 64 << 20                    # a budget from which frames of about a block's size are pooled


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def test_pooled_frames_hold_their_bytes_and_the_budget() -> None:
    cache = CacheProbe(POOLED, 40_000, 4096)
    for number in range(40_000):
        data = number.to_bytes(4, "big") * (1000 + number % 24)
        assert cache.insert(number, data) == data
    assert cache.evictions > 20_000
    assert POOLED - 5000 < cache.used <= POOLED
    cache.synchronize()
    assert cache.pool_bytes <= POOLED + (4 << 20)
    for number in range(40_000):
        assert cache.get(number) in (None, number.to_bytes(4, "big") * (1000 + number % 24))
    before, pooled = resident_bytes(), cache.pool_bytes
    cache.drop(0, 40_000)
    cache.synchronize()
    assert cache.used == 0
    if pooled:                                   # there is no pool under AddressSanitizer
        assert cache.pool_bytes == 2 << 20       # one chunk stays
        assert before - resident_bytes() > POOLED // 2


def test_frames_of_unusual_size_are_not_pooled() -> None:
    cache = CacheProbe(POOLED, 3, 4096)
    for number, size in enumerate((100, 2000, 5000)):
        cache.insert(number, b"x" * size)
    assert cache.pool_bytes == 0
    assert 7100 < cache.used < 7500


def test_no_pooled_frame_is_freed_under_a_reader() -> None:
    cache = CacheProbe(POOLED, 50_000, 4096)
    results: list[tuple[int, int, int]] = []
    threads = [threading.Thread(target=lambda seed=seed: results.append(cache.hammer(seed, 60_000, 512)))
               for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [damaged for _, _, damaged in results] == [0] * 4
    assert cache.evictions > 10_000


def test_a_smaller_budget_evicts() -> None:
    cache = CacheProbe(100 * CHARGE, 100)
    for number in range(100):
        cache.insert(number, block(number))
    cache.set_budget(40 * CHARGE)
    assert cache.frame_count == 40
    cache.set_budget(50 * CHARGE)
    for number in range(100):
        cache.insert(number, block(number))
    assert cache.frame_count == 50
